//! Forms: what is asked for, and the question that comes of what was typed.

use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Form;
use serde_json::{Map, Value, json};

use super::kinds::{Action, Field, Given, Input, Only};
use super::look::{at, text};
use crate::admin::Refused;
use crate::pages::console::{FieldShown, InputShown};

/// What is known of a question without anybody being asked.
pub(super) struct Known<'a> {
    pub(super) name: &'a str,
    pub(super) id: String,
    pub(super) which: &'a str,
}

/// The question that an action asks of its verb.
pub(super) fn question(action: &Action, known: &Known<'_>, form: &Form) -> Result<Value, Refused> {
    let mut question = Map::new();
    for (member, given) in action.given {
        let value = match given {
            Given::Name => json!(known.name),
            Given::Id => json!(known.id),
            Given::Which => json!(known.which),
            Given::Text(text) => json!(text),
            Given::Things(kind) => json!([format!("{kind}{}", known.name)]),
        };
        question.insert((*member).to_owned(), value);
    }
    for field in action.fields {
        let typed = form.find(field.name).map(str::trim).filter(|typed| !typed.is_empty());
        if typed.is_none() && field.required {
            return Err(Refused::usage(format_args!("“{}” is missing", field.label)));
        }
        let value =
            match (field.input, typed) {
                (Input::Yes, typed) => json!(typed.is_some()),
                (Input::Lines, typed) => {
                    let lines = typed.unwrap_or_default().lines().map(str::trim);
                    json!(lines.filter(|line| !line.is_empty()).collect::<Vec<_>>())
                }
                (Input::Several(choices), _) => {
                    let ticked = choices.iter().map(|(name, _)| *name);
                    json!(ticked.filter(|name| is_ticked(form, field.name, name)).collect::<Vec<_>>())
                }
                (_, None) => continue,
                (Input::Keys, Some(typed)) => serde_json::from_str(typed)
                    .map_err(|error| Refused::usage(format_args!("“{}” is no JSON: {error}", field.label)))?,
                (Input::Number, Some(typed)) => json!(typed.parse::<u32>().map_err(|_| Refused::usage(
                    format_args!("“{}” is no number: `{typed}`", field.label)
                ))?),
                (_, Some(typed)) => json!(typed),
            };
        question.insert(field.name.to_owned(), value);
    }
    Ok(Value::Object(question))
}

/// The fields of a form: with what was typed, where it came back, or with what is so already.
pub(super) fn shown_fields(action: &Action, thing: Option<&Value>, typed: Option<&Form>) -> Vec<FieldShown> {
    action.fields.iter().map(|field| shown_field(field, thing, typed)).collect()
}

fn shown_field(field: &Field, thing: Option<&Value>, typed: Option<&Form>) -> FieldShown {
    let so = field.from.and_then(|member| thing.map(|thing| at(thing, member)));
    let value = match typed {
        Some(form) => form.find(field.name).unwrap_or_default().to_owned(),
        None => so.map(|so| already(so, field.input)).unwrap_or_default(),
    };
    let ticked = |name: &str| match typed {
        Some(form) => is_ticked(form, field.name, name),
        None => so.and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name)),
    };
    FieldShown {
        name: field.name,
        label: field.label,
        help: field.help,
        required: field.required,
        input: match field.input {
            Input::Line => InputShown::Line(value),
            Input::Number => InputShown::Number(value),
            Input::Lines => InputShown::Lines(value),
            Input::Several(choices) => InputShown::Several(
                choices.iter().map(|(name, words)| (*name, *words, ticked(name))).collect(),
            ),
            Input::Yes => InputShown::Yes(!value.is_empty()),
            // SECURITY: what may be a secret is not shown again.
            Input::Secret => InputShown::Secret,
            Input::Keys | Input::Token => InputShown::Lines(String::new()),
            Input::Choice(choices) => InputShown::Choice(
                choices.iter().map(|(name, words)| (*name, *words, *name == value)).collect(),
            ),
        },
    }
}

/// Whether one of several is ticked: each is a box of its own.
fn is_ticked(form: &Form, field: &str, name: &str) -> bool {
    form.find(&format!("{field}.{name}")).is_some()
}

/// What a member says, as somebody would type it.
fn already(value: &Value, input: Input) -> String {
    match (value, input) {
        (Value::Bool(yes), _) => if *yes { "yes" } else { "" }.to_owned(),
        (Value::Array(lines), Input::Lines) => {
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        (Value::Number(millis), _) => millis
            .as_u64()
            .and_then(|millis| u32::try_from(millis / 1_000).ok())
            .map(|seconds| Lifetime::seconds(seconds).to_string())
            .unwrap_or_default(),
        (Value::String(text), _) => text.clone(),
        _ => String::new(),
    }
}

impl Only {
    /// Whether it is so of this thing.
    pub(super) fn fits(self, thing: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Is(member, wanted) => text(thing, member).as_deref() == Some(wanted),
            Self::IsNot(member, wanted) => text(thing, member).as_deref() != Some(wanted),
            Self::Has(member) => !at(thing, member).is_null(),
            Self::HasNot(member) => at(thing, member).is_null(),
            Self::All(all) => all.iter().all(|only| only.fits(thing)),
        }
    }
}

/// What a verb tells, as a sentence for a page: what stands in backticks there stands in quotes here.
pub(super) fn sentence(fragment: &str) -> String {
    let mut sentence = String::with_capacity(fragment.len() + 8);
    let mut inside = false;
    for letter in fragment.chars() {
        match letter {
            '`' => {
                sentence.push(if inside { '”' } else { '“' });
                inside = !inside;
            }
            letter => sentence.push(letter),
        }
    }
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    capital(&sentence)
}

/// The same, with a capital where it begins.
pub(super) fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY: a page that comes back must hold no secret.
    #[test]
    fn what_may_be_a_secret_is_not_shown_again_and_what_is_none_is() {
        let form = Form::parse(b"a=typed&b=typed&c=typed&d=typed").unwrap();
        let field = |name, input| Field { name, label: "", help: "", input, required: false, from: None };
        let fields = [
            field("a", Input::Secret),
            field("b", Input::Keys),
            field("c", Input::Token),
            field("d", Input::Line),
        ];
        let shown: Vec<_> = fields.iter().map(|field| shown_field(field, None, Some(&form))).collect();
        let said: Vec<_> = shown.iter().map(|field| format!("{:?}", field.input).contains("typed")).collect();
        assert_eq!(said, [false, false, false, true]);
    }

    #[test]
    fn what_a_verb_tells_is_a_sentence() {
        assert_eq!(sentence("there is no client `x` in `acme`"), "There is no client “x” in “acme”.");
        assert_eq!(sentence("did you mean `issued`?"), "Did you mean “issued”?");
    }
}
