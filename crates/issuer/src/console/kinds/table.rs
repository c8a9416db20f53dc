//! All kinds of things that the console shows, a file each, and what several of them ask for.

use super::{Action, Field, From, Given, Input, Kind, Only};

mod clients;
mod keys;
mod lineage;
mod organisation;
mod people;
mod registration;
mod resources;
mod teams;
mod trusts;

pub(in crate::console) use lineage::LINEAGE;

/// Every kind that has pages of its own, as the navigation shows them.
pub(in crate::console) const TABLE: &[Kind] = &[
    people::PEOPLE,
    teams::TEAMS,
    clients::CLIENTS,
    registration::REGISTRATION,
    resources::RESOURCES,
    trusts::TRUSTS,
    keys::KEYS,
    organisation::ORGANISATION,
];

const OWNER: Field = Field::new(
    "owner",
    "Who answers for it",
    "person:SHORT-NAME or team:SHORT-NAME. A team is better: it stays when somebody leaves.",
    Input::Line,
)
.required();
const ENVIRONMENT: &str = "Such as dev, stage or prod.";
const ACR: Field = Field::new(
    "acr",
    "How people must have logged in",
    "",
    Input::Choice(&[("", "in any way"), ("phr", "with a passkey, verified by PIN, finger or face")]),
);
const MAX_AGE: Field = Field::new(
    "max_age",
    "How long ago at most",
    "A length of time, such as 15m or 8h. Empty for however long ago.",
    Input::Line,
);
const ACTIVE: Only = Only::Is("state", "active");
const STOPPED: Only = Only::IsNot("state", "active");

const fn by_handle(verb: &'static str) -> From {
    From::Verb { verb, by: Some("handle"), inside: None }
}

const fn handle(help: &'static str) -> Field {
    Field::new("handle", "Short name", help, Input::Line).required()
}

const SHORT: &str = "Small letters, digits and hyphens. It is never given out a second time.";

const TO: &[Field] =
    &[Field::new("to", "Who answers for it", "person:SHORT-NAME or team:SHORT-NAME.", Input::Line)
        .required()
        .from("owner")];

const fn transfer(given: &'static [(&'static str, Given)]) -> Action {
    Action::new("transfer", "owner.transfer", "Have somebody else answer for it")
        .told("What was suspended because its owner left is put back to use by this.")
        .done("They answer for it from now on.")
        .given(given)
        .asks(TO)
}
