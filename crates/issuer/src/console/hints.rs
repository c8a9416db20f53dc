//! What a verb says to do next names commands. Where the console does the same, its page is named in their place, and led to.

use super::address;
use super::asking::capital;
use super::kinds::{Action, From, Kind, TABLE};
use super::look::Looking;
use crate::pages::console::Said;

/// Where somebody is told.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'a> {
    pub(super) kind: Option<&'static Kind>,
    /// What they wanted to do.
    pub(super) action: Option<&'static Action>,
    /// The thing's name.
    pub(super) of: Option<&'a str>,
}

/// A page, and what it is called.
struct Page {
    href: String,
    label: &'static str,
}

impl Looking<'_> {
    /// What a verb says to do next, as a sentence: in backticks there stand commands, options, and what is to be typed.
    pub(super) fn hint(&self, hint: &str, place: Place<'_>) -> Vec<Said> {
        let mut said: Vec<Said> = Vec::new();
        let mut text = String::new();
        for (at, part) in hint.split('`').enumerate() {
            if at % 2 == 0 {
                text.push_str(part);
            } else if let Some(page) = self.page(part, place) {
                said.push(Said::Text(std::mem::take(&mut text)));
                said.push(Said::Link(page.href, page.label));
            } else {
                let typed = place.action.and_then(|action| labels(part, action));
                text.push_str(&typed.unwrap_or_else(|| format!("“{part}”")));
            }
        }
        if !text.ends_with(['.', '?', '!']) {
            text.push('.');
        }
        said.push(Said::Text(text));
        if let Some(Said::Text(first)) = said.first_mut() {
            *first = capital(first);
        }
        said
    }

    /// The page that does what this command does, if they may do that.
    fn page(&self, command: &str, place: Place<'_>) -> Option<Page> {
        let words: Vec<&str> =
            command.strip_prefix("hallpass admin ").unwrap_or(command).split(' ').collect();
        // A word alone may be anything: `cut` is an event, too.
        let (verb, rest) = (words.len() > 1).then(|| verb(&words)).flatten()?;
        if !self.seat.may(verb, None) {
            return None;
        }
        // In capitals stands what is to be filled in.
        let named = rest.first().filter(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
        let here = place.kind.filter(|kind| kind.actions.iter().any(|action| action.verb == verb));
        let kind = here.or_else(|| TABLE.iter().find(|kind| kind.asks(verb)))?;
        let here = place.of.filter(|_| place.kind.is_some_and(|at| at.page == kind.page));
        let of = named.copied().or(here).filter(|_| !kind.is_only_one() && kind.list != Some(verb));
        let to = |query: &[(&str, &str)]| address(self.org, kind.page, query);
        if let Some(add) = kind.add.as_ref().filter(|add| add.verb == verb) {
            return Some(Page { href: to(&[("do", add.name)]), label: add.label });
        }
        // What the command says, the page of the thing says here; it has the button beside.
        let action = kind.actions.iter().find(|action| action.verb == verb && verb != "key.migrate");
        Some(match (action, of) {
            (Some(action), Some(of)) => {
                Page { href: to(&[("do", action.name), ("of", of)]), label: action.label }
            }
            (Some(action), None) if kind.is_only_one() => {
                Page { href: to(&[("do", action.name)]), label: action.label }
            }
            (_, Some(of)) => Page { href: to(&[("of", of)]), label: kind.title },
            (_, None) => Page { href: to(&[]), label: kind.title },
        })
    }
}

impl Kind {
    /// Whether its pages ask this verb.
    fn asks(&self, verb: &str) -> bool {
        let of_parts = self.parts.iter().flat_map(|part| part.actions);
        let acts = self.add.iter().chain(self.actions).chain(of_parts).any(|action| action.verb == verb);
        let lists = self
            .parts
            .iter()
            .any(|part| matches!(part.from, From::Verb { verb: asked, .. } if asked == verb));
        acts || lists || self.show == verb || self.list == Some(verb)
    }
}

/// The verb that a command asks, and the words after its own.
fn verb<'a, 'w>(words: &'a [&'w str]) -> Option<(&'static str, &'a [&'w str])> {
    // Longer names begin with shorter ones: `client.key.add`.
    (1..=words.len().min(3)).rev().find_map(|long| {
        let name = words[..long].join(".").replace('-', "_");
        let name = OTHERWISE.iter().find(|(command, _)| *command == name).map_or(&*name, |(_, verb)| verb);
        let verb = crate::admin::find(name)?;
        Some((verb.name(), &words[long..]))
    })
}

/// Commands whose verb has another name, or whose answer another verb's page shows.
const OTHERWISE: [(&str, &str); 2] = [("limits", "org.limits"), ("trust.lint", "trust.list")];

/// How a form asks for what these options of a command say.
fn labels(options: &str, action: &Action) -> Option<String> {
    let options = options.split(' ').filter_map(|word| word.strip_prefix("--"));
    let labels: Option<Vec<_>> = options.map(|option| label(option, action)).collect();
    labels.filter(|labels| !labels.is_empty()).map(|labels| labels.join(" and "))
}

fn label(option: &str, action: &Action) -> Option<String> {
    let name = option.replace('-', "_");
    // An option that is given more than once is a list in the form.
    let field =
        action.fields.iter().find(|field| field.name == name || field.name.strip_suffix('s') == Some(&name));
    field.map(|field| format!("“{}”", field.label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_verb_of_its_longest_name() {
        let found = |command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            verb(&words).map(|(verb, rest)| (verb, rest.join(" ")))
        };
        let is = |verb, rest: &str| Some((verb, rest.to_owned()));
        assert_eq!(found("key migrate nightly"), is("key.migrate", "nightly"));
        assert_eq!(found("client key list notes-api"), is("client.key.list", "notes-api"));
        assert_eq!(found("org rotate-key --emergency"), is("org.rotate_key", "--emergency"));
        assert_eq!(found("limits acme"), is("org.limits", "acme"));
        assert_eq!(found("trust lint"), is("trust.list", ""));
        assert_eq!(found("person:HANDLE"), None);
    }
}
