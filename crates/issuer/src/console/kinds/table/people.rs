//! People: who can log in.

use super::{ACTIVE, SHORT, STOPPED, by_handle, handle};
use crate::console::kinds::Look::{Claimed, Code, Length, Lineage, Name, Of, State, Text, Time};
use crate::console::kinds::{Action, Field, From, Given, Input, Kind, Only, Part, column};

pub(super) const PEOPLE: Kind = Kind {
    page: "people",
    title: "People",
    about: "Who can log in to this organisation.",
    none: None,
    list: Some("person.list"),
    show: "person.show",
    name: "handle",
    heading: "name",
    columns: &[
        column("Name", "name", Name),
        column("Short name", "handle", Code),
        column("Teams", "teams", Of("teams")),
        column("State", "state", State),
    ],
    facts: &[
        column("Short name", "handle", Code),
        column("State", "state", State),
        column("Teams", "teams", Of("teams")),
        column("Here since", "created", Time),
        column("Id", "id", Code),
        column("What came of it", "id", Lineage),
    ],
    parts: &[
        Part {
            title: "Passkeys",
            empty: "None: they cannot log in by one. An enrolment link lets them make one.",
            from: by_handle("person.passkey.list"),
            only: Only::Any,
            each: false,
            columns: &[
                column("Name", "name", Claimed),
                column("Added", "created", Time),
                column("Last used", "used", Time),
            ],
            which: "id",
            actions: &[Action::new("remove-passkey", "person.passkey.remove", "Remove as lost")
                .told("They can no longer log in with it. What was begun with it goes on: end that, too, if it was stolen.")
                .done("The passkey is removed. What was begun with it goes on: end that, too, if it was stolen.")
                .given(&[("handle", Given::Name), ("passkey", Given::Which)])
                .ends()
                .on_others()],
        },
        Part {
            title: "Sessions",
            empty: "No program can act for them.",
            from: From::Verb { verb: "session.list", by: Some("person"), inside: None },
            only: Only::Any,
            each: false,
            columns: &[
                column("Program", "client", Of("clients")),
                column("On", "device", Claimed),
                column("For", "purpose", Claimed),
                column("Last used", "used", Time),
                column("Ends", "expires", Time),
                column("What came of it", "id", Lineage),
            ],
            which: "id",
            actions: &[Action::new("end-session", "session.end", "End")
                .told("The program loses its access at once, with everything that came of this session.")
                .done("Ended. Nothing that came of it works any more.")
                .given(&[("session", Given::Which)])
                .ends()],
        },
        Part {
            title: "Machines",
            empty: "None yet.",
            from: by_handle("device.list"),
            only: Only::Any,
            each: false,
            columns: &[
                column("Name", "name", Claimed),
                column("Sort", "class", Text),
                column("First seen", "created", Time),
                column("Last seen", "seen", Time),
            ],
            which: "id",
            actions: &[Action::new("cut-device", "cut", "End all on it")
                .told("Everything that was given to programs on this machine stops working at once. They can log in again there.")
                .done("Everything on that machine is ended.")
                .given(&[("axis", Given::Text("device")), ("id", Given::Which)])
                .ends()],
        },
        Part {
            title: "Runs of agents",
            empty: "Nothing runs.",
            from: by_handle("run.list"),
            only: Only::Any,
            each: false,
            columns: &[
                column("Agent", "agent", Text),
                column("For", "purpose", Claimed),
                column("May", "scopes", Code),
                column("Began", "created", Time),
                column("Ends", "expires", Time),
                column("Waits for them", "waits", Text),
                column("What came of it", "id", Lineage),
            ],
            which: "id",
            actions: &[Action::new("end-run", "run.end", "End")
                .told("The agent loses what it was given at once, and so do the agents that it started.")
                .done("Ended. Nothing that the run was given works any more.")
                .given(&[("run", Given::Which)])
                .ends()],
        },
        Part {
            title: "Agents",
            empty: "None.",
            from: by_handle("agent.list"),
            only: Only::Any,
            each: false,
            columns: &[
                column("Name", "name", Text),
                column("Sort", "kind", Text),
                column("May have", "scopes", Code),
                column("A run lasts at most", "longest", Length),
                column("State", "state", State),
            ],
            which: "name",
            actions: &[Action::new("retire-agent", "agent.retire", "Retire")
                .told("It starts nothing any more, and its runs end at once. The person can register it again.")
                .done("The agent starts nothing any more, and its runs are ended.")
                .only(ACTIVE)
                .given(&[("handle", Given::Name), ("agent", Given::Which)])
                .ends()],
        },
    ],
    add: Some(
        Action::new("add", "person.add", "Add a person")
            .told("You get a link to send them. They make their own passkey with it.")
            .given(&[])
            .asks(&[handle(SHORT), Field::new("name", "Name", "As other people read it.", Input::Line).required()])
            .reveals("link/url", "Send them this link", ENROL),
    ),
    actions: &[
        Action::new("link", "person.link", "Make an enrolment link")
            .told("Lets them make another passkey. An older link stops working.")
            .only(ACTIVE)
            .reveals("url", "Send them this link", ENROL),
        Action::new("end-runs", "run.end_all", "End all runs of their agents")
            .told("Every run of every agent of theirs ends at once. They stay logged in.")
            .done("All runs of their agents are ended.")
            .ends(),
        Action::new("end", "cut", "End everything they hold")
            .told("Every program loses its access at once, and every browser is logged out. They can log in again.")
            .done("Everything they held is ended, and they are logged out everywhere.")
            .given(&[("axis", Given::Text("principal")), ("id", Given::Id)])
            .ends()
            .on_others(),
        Action::new("disable", "person.disable", "Disable")
            .told("Ends everything they hold, and they cannot log in until they are enabled again. Clients and resources they answered for are suspended until somebody takes them over.")
            .done("Disabled. Everything they held is ended.")
            .only(ACTIVE)
            .ends()
            .on_others(),
        Action::new("enable", "person.enable", "Enable")
            .told("They can log in again with the passkeys they have. What was ended stays ended, and what was handed over stays with the administrators.")
            .done("Enabled.")
            .only(STOPPED)
            .on_others(),
    ],
};

const ENROL: &str = "It works once, within a day, for whoever holds it: send it to nobody else.";
