//! The table holds: each verb is there, and is asked and answered as the table says.

use serde_json::Value;

use super::*;
use crate::admin::Verb;

struct Described {
    schemas: crate::admin::Schemas,
}

impl Described {
    fn verb(&mut self, name: &str) -> (Value, Value) {
        let verb: &Verb = crate::admin::find(name).unwrap_or_else(|| panic!("there is no verb `{name}`"));
        verb.shapes(&mut self.schemas)
    }

    /// The schema of an object: itself, what a reference names, or what a list is of.
    fn object<'a>(&'a self, shape: &'a Value) -> &'a Value {
        if let Some(name) = shape["$ref"].as_str() {
            return &self.schemas[name.rsplit('/').next().unwrap()];
        }
        if shape["items"].is_object() {
            return self.object(&shape["items"]);
        }
        if let Some(either) = shape["anyOf"].as_array() {
            return self.object(&either[0]);
        }
        shape
    }

    fn has(&self, shape: &Value, path: &str) -> bool {
        let mut shape = self.object(shape).clone();
        for name in path.split('/') {
            // What the model says of itself has no members written down.
            if shape["type"] == "object" && shape["properties"].is_null() {
                return true;
            }
            let Some(member) = shape["properties"].get(name) else { return false };
            shape = self.object(&member.clone()).clone();
        }
        true
    }
}

fn kinds() -> impl Iterator<Item = &'static Kind> {
    TABLE.iter().chain([&LINEAGE])
}

#[test]
fn each_column_is_a_member_of_the_answer() {
    let mut described = Described { schemas: Default::default() };
    let mut wrong = Vec::new();
    for kind in kinds() {
        let (_, shown) = described.verb(kind.show);
        for column in kind.facts {
            if !described.has(&shown, column.member) {
                wrong.push(format!("{}: {}", kind.show, column.member));
            }
        }
        if let Some(list) = kind.list {
            let (_, listed) = described.verb(list);
            for column in kind.columns {
                if !described.has(&listed, column.member) {
                    wrong.push(format!("{list}: {}", column.member));
                }
            }
            assert!(described.has(&listed, kind.name), "{list}: {}", kind.name);
        }
        for part in kind.parts {
            let listed = match part.from {
                From::Member(member) => described.object(&shown)["properties"][member].clone(),
                From::Verb { verb, by, inside } => {
                    let (question, answer) = described.verb(verb);
                    assert!(by.is_none_or(|by| described.has(&question, by)), "{verb}: {by:?}");
                    match inside {
                        Some(inside) => described.object(&answer)["properties"][inside].clone(),
                        None => answer,
                    }
                }
            };
            assert!(!part.each || part.actions.is_empty(), "buttons stand in tables alone: {}", part.title);
            for member in part.columns.iter().map(|column| column.member).chain([part.which]) {
                if !described.has(&listed, member) {
                    wrong.push(format!("{} {}: {member}", kind.page, part.title));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_action_asks_for_what_its_verb_wants_to_know() {
    let mut described = Described { schemas: Default::default() };
    for kind in kinds() {
        let parts = kind.parts.iter().flat_map(|part| part.actions);
        for action in kind.add.iter().chain(kind.actions).chain(parts) {
            let (question, answer) = described.verb(action.verb);
            let asked = action.given.iter().map(|(member, _)| *member);
            let asked: Vec<_> = asked.chain(action.fields.iter().map(|field| field.name)).collect();
            let question = described.object(&question);
            for member in &asked {
                assert!(!question["properties"][member].is_null(), "{}: {member}", action.verb);
            }
            for wanted in question["required"].as_array().into_iter().flatten() {
                let wanted = wanted.as_str().unwrap();
                assert!(asked.contains(&wanted), "{} {}: {wanted}", kind.page, action.name);
            }
            if let Some(reveal) = action.reveals {
                assert!(described.has(&answer, reveal.member), "{}: {}", action.verb, reveal.member);
            }
        }
    }
}

/// What a verb shows once must not be lost, nor be led away from.
#[test]
fn whatever_makes_a_secret_shows_it() {
    let mut described = Described { schemas: Default::default() };
    for kind in kinds() {
        let parts = kind.parts.iter().flat_map(|part| part.actions);
        for action in kind.add.iter().chain(kind.actions).chain(parts) {
            let (_, answer) = described.verb(action.verb);
            let answer = described.object(&answer).to_string();
            let makes = answer.contains("It is shown this once") || answer.contains("LinkShown");
            assert_eq!(makes, action.reveals.is_some(), "{} {}", kind.page, action.name);
        }
    }
}

#[test]
fn names_of_actions_are_told_apart_and_what_ends_something_says_so() {
    for kind in kinds() {
        let parts = kind.parts.iter().flat_map(|part| part.actions);
        let all: Vec<_> = kind.add.iter().chain(kind.actions).chain(parts).collect();
        for action in &all {
            assert_eq!(all.iter().filter(|other| other.name == action.name).count(), 1, "{}", action.name);
            assert!(!action.ends || !action.told.is_empty(), "{}", action.name);
            assert_eq!(find(kind.page).unwrap().action(action.name).unwrap().0.verb, action.verb);
        }
    }
}

#[test]
fn what_a_trust_can_be_from_is_what_there_is() {
    let from = TABLE.iter().find(|kind| kind.page == "trusts").unwrap().add.as_ref().unwrap();
    let field = from.fields.iter().find(|field| field.name == "preset").unwrap();
    let Input::Choice(choices) = field.input else { panic!("it is a choice") };
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, hallpass_model::trust::Preset::ALL.map(|preset| preset.name()));
}

#[test]
fn where_keys_may_rest_is_where_they_can() {
    let org = TABLE.iter().find(|kind| kind.page == "org").unwrap();
    let (action, _) = org.action("rungs").unwrap();
    let Input::Several(choices) = action.fields[0].input else { panic!("it is several") };
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, hallpass_model::rung::Rung::ALL.map(|rung| rung.text()));
}
