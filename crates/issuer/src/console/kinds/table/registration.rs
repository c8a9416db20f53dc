//! Clients that register themselves: whether any may, what they may have, and which there are.

use super::OWNER;
use crate::console::kinds::Look::{Claimed, Code, Of, Text, Thing, Time};
use crate::console::kinds::{Action, Field, From, Input, Kind, Only, Part, column};

pub(super) const REGISTRATION: Kind = Kind {
    page: "registration",
    title: "Registration",
    about: "Programs that become clients by themselves, each with a token that you make for it.",
    none: Some("No program may register itself."),
    list: None,
    show: "client.registration.show",
    name: "org",
    heading: "",
    columns: &[],
    facts: &[
        column("They register at", "endpoint", Code),
        column("Answered for by", "owner", Thing),
        column("Scopes they may ask for", "scopes", Code),
        column("Environment", "environment", Text),
        column("Allowed since", "created", Time),
        column("Uses left of the token", "uses", Text),
        column("The token ends", "expires", Time),
    ],
    parts: &[Part {
        title: "Those that registered",
        empty: "None.",
        from: From::Member("clients"),
        only: Only::Has("created"),
        each: false,
        columns: &[
            column("Calls itself", "name", Claimed),
            column("Short name", "handle", Of("clients")),
            column("Here since", "created", Time),
        ],
        which: "handle",
        actions: &[],
    }],
    add: None,
    actions: &[
        Action::new("allow", "client.registration.allow", "Let programs register themselves")
            .told("Whoever has a token of yours registers a program that people can let act for them. It asks for no more than you say here.")
            .done("Programs can register themselves. Each needs a token: make one.")
            .only(Only::HasNot("created"))
            .given(&[])
            .asks(MAY_HAVE),
        Action::new("token", "client.registration.token", "Make a token to register with")
            .told("An older one stops working.")
            .only(Only::Has("created"))
            .given(&[])
            .asks(&[
                Field::new("uses", "How many programs register with it", "Empty for one.", Input::Number),
                Field::new(
                    "lifetime",
                    "How long it lasts",
                    "Such as 2h. Empty for a day; a week at most.",
                    Input::Line,
                ),
            ])
            .reveals("token", "The token", "Whoever has it can register a client: give it to them alone."),
        Action::new("change", "client.registration.allow", "Say anew what they may have")
            .told("It holds for those that registered, too: they keep no more than you say here, and get no more by it.")
            .done("They may have what you said.")
            .only(Only::Has("created"))
            .given(&[])
            .asks(MAY_HAVE),
        Action::new("forbid", "client.registration.forbid", "Let no program register itself any more")
            .told("The token stops working. Those that registered stay, and change nothing about themselves any more; each is taken out of use on its own page.")
            .done("No program registers itself any more. Those that did stay.")
            .only(Only::Has("created"))
            .given(&[])
            .ends(),
    ],
};

const MAY_HAVE: &[Field] = &[
    OWNER.from("owner"),
    Field::new(
        "scopes",
        "Scopes",
        "What they may ask for, one a line, beside who the person is.",
        Input::Lines,
    )
    .from("scopes"),
    Field::new("environment", "Environment", "Empty for any. Such as dev, stage or prod.", Input::Line)
        .from("environment"),
];
