//! Teams, and what their members are.

use super::{ACTIVE, SHORT, STOPPED, handle};
use crate::console::kinds::Look::{Code, Name, Of, State, Text, Time};
use crate::console::kinds::{Action, Field, Input, Kind, Only, column};

pub(super) const TEAMS: Kind = Kind {
    page: "teams",
    title: "Teams",
    about: "People who answer for things together. Some teams have a role.",
    none: None,
    list: Some("team.list"),
    show: "team.show",
    name: "handle",
    heading: "handle",
    columns: &[
        column("Short name", "handle", Name),
        column("Role", "role", Text),
        column("Members", "members", Of("people")),
        column("State", "state", State),
    ],
    facts: &[
        column("State", "state", State),
        column("Role", "role", Text),
        column("Members", "members", Of("people")),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[],
    add: Some(
        Action::new("add", "team.add", "Add a team")
            .done("Added.")
            .given(&[])
            .asks(&[
                handle(SHORT),
                Field::new("members", "Members", "Short names of people, one a line.", Input::Lines),
            ]),
    ),
    actions: &[
        Action::new("members", "team.members", "Say who is in it")
            .told("From then on these are its members, and nobody else.")
            .done("The team’s members are as you said.")
            .asks(&[Field::new("members", "Members", "Short names of people, one a line.", Input::Lines)
                .from("members")]),
        Action::new("role", "team.role", "Give it a role")
            .told("What its members may do in this organisation, beside what they may as people.")
            .done("The team’s role is as you said.")
            .only(Only::IsNot("role", "administrator"))
            .asks(&[Field::new(
                "role",
                "Role",
                "",
                Input::Choice(&[
                    ("", "none"),
                    ("responder", "responder: may stop anything, and grant nothing"),
                    ("auditor", "auditor: may see everything, and change nothing"),
                ]),
            )
            .from("role")]),
        Action::new("disable", "team.disable", "Disable")
            .told("It answers for nothing any more: what it answered for is suspended until somebody takes it over. Its members stay.")
            .done("Disabled.")
            .only(ACTIVE)
            .ends(),
        Action::new("enable", "team.enable", "Enable").told("It can answer for things again.").done("Enabled.").only(STOPPED),
    ],
};
