//! Resources: APIs that accept passes.

use super::{ACR, ACTIVE, ENVIRONMENT, MAX_AGE, OWNER, STOPPED, transfer};
use crate::console::kinds::Look::{Code, Name, Of, State, Text, Thing, Time};
use crate::console::kinds::{Action, Field, Given, Input, Kind, column};

pub(super) const RESOURCES: Kind = Kind {
    page: "resources",
    title: "Resources",
    about: "APIs that passes are for.",
    none: None,
    list: Some("resource.list"),
    show: "resource.show",
    name: "url",
    heading: "name",
    columns: &[
        column("Name", "name", Name),
        column("Address", "url", Code),
        column("Environment", "environment", Text),
        column("Answered for by", "owner", Thing),
        column("State", "state", State),
    ],
    facts: &[
        column("Address", "url", Code),
        column("State", "state", State),
        column("Environment", "environment", Text),
        column("Answered for by", "owner", Thing),
        column("Scopes", "scopes", Code),
        column("Its own server", "server", Of("clients")),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[],
    add: Some(
        Action::new("add", "resource.add", "Add a resource").done("Added.").given(&[]).asks(&[
            Field::new("url", "Address", "The https address of the API, as its passes name it.", Input::Line)
                .required(),
            Field::new(
                "name",
                "Name",
                "People read it when they are asked to let a program reach it.",
                Input::Line,
            ),
            OWNER,
            Field::new("environment", "Environment", ENVIRONMENT, Input::Line).required(),
            Field::new(
                "scopes",
                "Scopes",
                "What can be done there, one a line, such as notes:read.",
                Input::Lines,
            )
            .required(),
            Field::new(
                "server",
                "Its own server",
                "The short name of the client that may look passes up for it.",
                Input::Line,
            ),
        ]),
    ),
    actions: &[
        Action::new("require", "resource.require", "Say how people must log in for a scope")
            .told("It is asked of them when a program asks for this scope.")
            .done("From now on this is asked of people.")
            .given(BY_URL)
            .asks(&[
                Field::new("scope", "Scope", "One of those that the resource has.", Input::Line).required(),
                ACR,
                MAX_AGE,
            ]),
        transfer(&[("things", Given::Things("resource:"))]),
        Action::new("disable", "resource.disable", "Disable")
            .told("No pass is given out for it any more.")
            .done("Disabled.")
            .given(BY_URL)
            .only(ACTIVE)
            .ends(),
        Action::new("enable", "resource.enable", "Enable")
            .told("Passes for it are given out again.")
            .done("Enabled.")
            .given(BY_URL)
            .only(STOPPED),
    ],
};

const BY_URL: &[(&str, Given)] = &[("url", Given::Name)];
