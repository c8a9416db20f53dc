//! Answers of verbs, as cells of a page.

use hallpass_model::time::{Lifetime, Timestamp};
use serde_json::Value;

use super::address;
use super::hints::Place;
use super::kinds::{Column, Kind, Look};
use super::seat::Seat;
use crate::pages::console::{Cell, Piece};
use crate::pages::when::{Moment, length};

/// What cells are made with.
pub(super) struct Looking<'a> {
    pub(super) org: &'a str,
    pub(super) now: Timestamp,
    pub(super) seat: &'a Seat,
}

impl Looking<'_> {
    /// The cells that these columns show of a thing.
    pub(super) fn cells(&self, kind: &Kind, columns: &[Column], thing: &Value) -> Vec<Cell> {
        columns
            .iter()
            .map(|column| {
                let value = at(thing, column.member);
                let pieces = match value {
                    Value::Array(values) if column.look == Look::Commands => {
                        let commands = values.iter().filter_map(Value::as_str).map(str::to_owned);
                        vec![Piece::Commands(commands.collect())]
                    }
                    Value::Array(values) => {
                        values.iter().map(|value| self.piece(kind, column.look, thing, value)).collect()
                    }
                    value => vec![self.piece(kind, column.look, thing, value)],
                };
                let pieces = pieces.into_iter().filter(|piece| *piece != Piece::Nothing).collect();
                Cell { label: column.label, pieces }
            })
            .collect()
    }

    fn piece(&self, kind: &Kind, look: Look, thing: &Value, value: &Value) -> Piece {
        let said = match value {
            Value::Null => return Piece::Nothing,
            Value::Bool(false) => return Piece::Nothing,
            Value::Bool(true) => return Piece::Text("yes".to_owned()),
            Value::Number(number) if look == Look::Length => {
                let seconds = number.as_u64().unwrap_or_default() / 1_000;
                return Piece::Text(length(Lifetime::seconds(u32::try_from(seconds).unwrap_or(u32::MAX))));
            }
            Value::Number(number) if look == Look::Still => {
                return match number.as_u64().unwrap_or_default() {
                    0 => Piece::Text("not once".to_owned()),
                    1 => Piece::Tag("warn", "once".to_owned()),
                    times => Piece::Tag("warn", format!("{times} times")),
                };
            }
            Value::Number(number) => number.to_string(),
            Value::String(said) if said.is_empty() => return Piece::Nothing,
            Value::String(said) => said.clone(),
            other => other.to_string(),
        };
        match look {
            Look::Text | Look::Length | Look::Yes | Look::Still | Look::Commands => Piece::Text(said),
            Look::Hint => Piece::Hint(self.hint(&said, Place::default())),
            Look::Words => Piece::Text(words(&said).to_owned()),
            Look::Code => Piece::Code(said),
            Look::Claimed => Piece::Claimed(said),
            Look::Time => self.moment(&said).map_or(Piece::Text(said), Piece::Time),
            Look::State => self.state(&said),
            Look::Of(page) => self.link(page, &said, &said),
            Look::Thing => self.thing(&said),
            Look::Name => match text(thing, kind.name) {
                Some(name) => self.link(kind.page, &name, &said),
                None => Piece::Text(said),
            },
            Look::Lineage => match self.seat.may("lineage.show", None) {
                true => Piece::Link(address(self.org, "lineage", &[("of", &said)]), "drawn".to_owned()),
                false => Piece::Nothing,
            },
        }
    }

    /// A thing that they may see leads to its page.
    fn link(&self, page: &str, name: &str, said: &str) -> Piece {
        let show = super::kinds::find(page).map(|kind| kind.show);
        match show.is_some_and(|show| self.seat.may(show, None)) {
            true => Piece::Link(address(self.org, page, &[("of", name)]), said.to_owned()),
            false => Piece::Text(said.to_owned()),
        }
    }

    /// `team:platform`: what it is, and its name.
    fn thing(&self, said: &str) -> Piece {
        let Some((sort, name)) = said.split_once(':') else { return Piece::Text(said.to_owned()) };
        let page = match sort {
            "person" => "people",
            "team" => "teams",
            "client" => "clients",
            "resource" => "resources",
            "key" => "keys",
            "trust" => "trusts",
            _ => return Piece::Text(said.to_owned()),
        };
        let told = format!("{sort} {name}");
        // What they answer for they may see, whatever else they may.
        match matches!(page, "clients" | "resources" | "keys") {
            true => Piece::Link(address(self.org, page, &[("of", name)]), told),
            false => self.link(page, name, &told),
        }
    }

    fn state(&self, said: &str) -> Piece {
        let (word, since) = said.split_once(' ').unwrap_or((said, ""));
        let class = match word {
            "active" | "good" | "alive" => "",
            "suspended" => "warn",
            _ => "stop",
        };
        let since = self.moment(since).map(|since| format!(" {}", since.short)).unwrap_or_default();
        Piece::Tag(class, format!("{word}{since}"))
    }

    pub(super) fn moment(&self, said: &str) -> Option<Moment> {
        let moment: jiff::Timestamp = said.parse().ok()?;
        Some(Moment::new(Timestamp::from_millis(moment.as_millisecond()), self.now))
    }
}

/// What a word of the protocols means, where it is one that people meet here.
fn words(said: &str) -> &str {
    match said {
        "private_key_jwt" => "a key",
        "client_secret" => "a secret",
        "none" => "nothing: people prove who they are",
        "phr" => "with a passkey, verified by PIN, finger or face",
        other => other,
    }
}

/// What stands at this place of an answer: a name, or a path with `/`.
pub(super) fn at<'a>(thing: &'a Value, member: &str) -> &'a Value {
    member.split('/').fold(thing, |value, name| &value[name])
}

/// The same, as text, if there is any.
pub(super) fn text(thing: &Value, member: &str) -> Option<String> {
    at(thing, member).as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
