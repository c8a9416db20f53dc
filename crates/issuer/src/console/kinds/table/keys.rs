//! API keys, their secrets and their users.

use super::{ACTIVE, SHORT, handle, transfer};
use crate::console::kinds::Look::{
    Claimed, Code, Commands, Hint, Lineage, Name, Of, State, Still, Text, Thing, Time,
};
use crate::console::kinds::{Action, Field, From, Given, Input, Kind, Only, Part, column};

pub(super) const KEYS: Kind = Kind {
    page: "keys",
    title: "API keys",
    about: "Long-lived secrets that buy short passes, for what cannot do better yet.",
    none: None,
    list: Some("key.list"),
    show: "key.show",
    name: "handle",
    heading: "handle",
    columns: &[
        column("Short name", "handle", Name),
        column("Client", "client", Of("clients")),
        column("Answered for by", "owner", Thing),
        column("Ends", "ends", Time),
        column("Last used", "last_used", Time),
        column("State", "state", State),
    ],
    facts: &[
        column("State", "state", State),
        column("Client", "client", Of("clients")),
        column("Answered for by", "owner", Thing),
        column("Environment", "environment", Text),
        column("Scopes", "scopes", Code),
        column("Resources", "resources", Code),
        column("Only from", "networks", Code),
        column("Sent to APIs directly until", "direct_until", Time),
        column("Why", "direct_reason", Claimed),
        column("Exception until", "exception_until", Time),
        column("Exception because", "exception_reason", Claimed),
        column("Ends", "ends", Time),
        column("Left behind since", "migrating_since", Time),
        column("Uses", "uses", Text),
        column("Last used", "last_used", Time),
        column("Here since", "created", Time),
        column("Id", "id", Code),
        column("What came of it", "id", Lineage),
    ],
    parts: &[
        Part {
            title: "Secrets",
            empty: "None.",
            from: From::Member("secrets"),
            only: Only::Any,
            each: false,
            columns: &[
                column("Id", "id", Code),
                column("State", "state", State),
                column("Made", "created", Time),
                column("Ends", "ends", Time),
                column("Uses", "uses", Text),
                column("Last used", "last_used", Time),
            ],
            which: "id",
            actions: &[Action::new("revoke-secret", "key.revoke", "Take back")
                .told("Whoever still uses this secret is refused from now on, and what it bought is ended.")
                .done("The secret is taken back.")
                .only(Only::Is("state", "active"))
                .given(&[("handle", Given::Name), ("secret", Given::Which)])
                .ends()],
        },
        // What they say of themselves nobody has proved.
        Part {
            title: "Who uses it, and what they should have in its place",
            empty: "Nobody has used it.",
            from: From::Verb { verb: "key.users", by: Some("handle"), inside: None },
            only: Only::Any,
            each: true,
            columns: &[
                column("Machine", "machine", Claimed),
                column("Sort of machine, as claimed", "class", Text),
                column("Network", "network", Text),
                column("For", "purpose", Claimed),
                column("Way", "way", Text),
                column("Uses", "uses", Text),
                column("Since the key is left behind", "uses_since", Still),
                column("Last", "last", Time),
                column("In its place", "pattern", Text),
                column("Because", "because", Text),
                column("But", "but", Hint),
                column("To set that up", "commands", Commands),
            ],
            which: "last",
            actions: &[],
        },
    ],
    add: Some(
        Action::new("add", "key.add", "Add an API key")
            .given(&[])
            .asks(&[
                handle(SHORT),
                Field::new(
                    "client",
                    "Client",
                    "The short name of the client that whoever has it comes in as.",
                    Input::Line,
                )
                .required(),
                Field::new(
                    "owner",
                    "Who answers for it",
                    "Empty for whoever answers for the client.",
                    Input::Line,
                ),
                Field::new("scopes", "Scopes", "What it buys, one a line.", Input::Lines),
                Field::new(
                    "resources",
                    "Resources",
                    "Addresses of the APIs that it is for, one a line.",
                    Input::Lines,
                ),
                Field::new(
                    "networks",
                    "Only from",
                    "Networks, one a line, such as 203.0.113.0/24. Empty for anywhere.",
                    Input::Lines,
                ),
                Field::new(
                    "lasts",
                    "How long it lasts",
                    "Such as 30d. Empty for the usual time.",
                    Input::Line,
                ),
                Field::new(
                    "exception",
                    "Exception because",
                    "Why it must be a long-lived secret, where the organisation asks for a reason.",
                    Input::Line,
                ),
                Field::new("exception_until", "Exception until", "A date, such as 2027-03-31.", Input::Line),
            ])
            .reveals("secret", "The key", KEPT),
    ),
    actions: &[
        Action::new("rotate", "key.rotate", "Make a new secret")
            .told("The one before it goes on for a while, so that you can put the new one in place.")
            .asks(&[
                Field::new(
                    "lasts",
                    "How long it lasts",
                    "Such as 30d. Empty for the usual time.",
                    Input::Line,
                ),
                Field::new(
                    "overlap",
                    "How long the older one goes on",
                    "Such as 1d. Empty for the usual time.",
                    Input::Line,
                ),
            ])
            .reveals("secret", "The new secret", KEPT),
        Action::new("migrate", "key.migrate", "Move its users to something better")
            .told("From now on it is counted who still comes by the key. It goes on beside what takes its place, until the date that you name.")
            .done("From now on it is counted who still comes by the key.")
            .only(Only::All(&[ACTIVE, Only::HasNot("migrating_since")]))
            .asks(&[Field::new(
                "end",
                "When the key is over, whoever still uses it",
                "A date, such as 2027-03-31. You can name it later.",
                Input::Line,
            )]),
        Action::new("end", "key.migrate", "Say when it is over")
            .told("Whoever still has the key then is refused. The date can come nearer later, and is not put off.")
            .done("The key is over on that date.")
            .only(Only::All(&[ACTIVE, Only::Has("migrating_since")]))
            .asks(&[Field::new("end", "When the key is over, whoever still uses it", "A date, such as 2027-03-31.", Input::Line)
                .required()]),
        transfer(&[("things", Given::Things("key:"))]),
        Action::new("revoke", "key.revoke", "Take it back")
            .told(
                "All its secrets stop working at once, and what they bought is ended. It cannot be put back.",
            )
            .done("The key is taken back. Nothing that it bought works any more.")
            .ends(),
    ],
};

const KEPT: &str = "Put it where it is used, and keep no other copy.";
