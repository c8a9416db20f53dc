//! Clients, and what they prove themselves by.

use super::{ACR, ACTIVE, MAX_AGE, OWNER, SHORT, STOPPED, by_handle, handle, transfer};
use crate::console::kinds::Look::{Code, Length, Lineage, Name, State, Text, Thing, Time, Words, Yes};
use crate::console::kinds::{Action, Field, Given, Input, Kind, Only, Part, column};

pub(super) const CLIENTS: Kind = Kind {
    page: "clients",
    title: "Clients",
    about: "Software that asks for passes: tools, services, CI jobs, agents.",
    none: None,
    list: Some("client.list"),
    show: "client.show",
    name: "handle",
    heading: "name",
    columns: &[
        column("Name", "name", Name),
        column("Short name", "handle", Code),
        column("Kind", "kind", Text),
        column("Answered for by", "owner", Thing),
        column("State", "state", State),
    ],
    facts: &[
        column("Short name", "handle", Code),
        column("State", "state", State),
        column("Kind", "kind", Text),
        column("Answered for by", "owner", Thing),
        column("Proves itself by", "authentication", Words),
        column("Keys published at", "jwks_uri", Code),
        column("May have secrets until", "secrets_until", Time),
        column("Ways to get a pass", "grant_types", Code),
        column("Scopes", "scopes", Code),
        column("Any scope", "any_scope", Yes),
        column("Environment", "environment", Text),
        column("Redirect URIs", "redirect_uris", Code),
        column("Known by its document", "document", Code),
        column("People must log in", "acr", Words),
        column("Not longer ago than", "max_age", Length),
        column("Held to FAPI 2.0", "fapi", Yes),
        column("Here since", "created", Time),
        column("Id", "id", Code),
        column("What came of it", "id", Lineage),
    ],
    parts: &[
        Part {
            title: "Secrets",
            empty: "None.",
            from: by_handle("client.secret.list"),
            only: Only::Is("authentication", "client_secret"),
            each: false,
            columns: &[
                column("Id", "id", Code),
                column("State", "state", State),
                column("Made", "created", Time),
                column("Ends", "expires", Time),
                column("Last used", "used", Time),
            ],
            which: "id",
            actions: &[Action::new("remove-secret", "client.secret.remove", "Take back")
                .told("Whoever still uses this secret is refused from now on.")
                .done("The secret is taken back.")
                .given(&[("handle", Given::Name), ("secret", Given::Which)])
                .ends()],
        },
        Part {
            title: "Keys",
            empty: "None that are kept here.",
            from: by_handle("client.key.list"),
            only: Only::Is("authentication", "private_key_jwt"),
            each: false,
            columns: &[column("Id", "kid", Code), column("Thumbprint", "thumbprint", Code)],
            which: "kid",
            actions: &[Action::new("remove-key", "client.key.remove", "Remove")
                .told("What is signed with this key is refused from now on.")
                .done("The key is removed.")
                .given(&[("handle", Given::Name), ("kid", Given::Which)])
                .ends()],
        },
    ],
    add: Some(
        Action::new("add", "client.add", "Add a client").done("Added.").given(&[]).asks(&[
            handle(SHORT),
            Field::new(
                "name",
                "Name",
                "People read it when they are asked to let it act for them.",
                Input::Line,
            ),
            Field::new(
                "kind",
                "Kind",
                "It fixes in which ways it can get a pass.",
                Input::Choice(&[
                    ("cli", "cli: a tool that people use"),
                    ("service", "service: a server that acts for itself"),
                    ("ci", "ci: jobs that prove what they are"),
                    ("agent", "agent: software that acts for a person"),
                ]),
            )
            .required(),
            OWNER,
            Field::new("scopes", "Scopes", "What it may ask for, one a line.", Input::Lines),
            Field::new(
                "environment",
                "Environment",
                "If it may have passes for one alone. Such as dev, stage or prod.",
                Input::Line,
            ),
            Field::new(
                "redirect_uris",
                "Redirect URIs",
                "Where a browser goes back to, one a line. For tools that log in by a browser.",
                Input::Lines,
            ),
            Field::new(
                "jwks",
                "Public keys",
                "A JWK set. A service needs this, or an address, or a date for secrets.",
                Input::Keys,
            ),
            Field::new(
                "jwks_uri",
                "Address of its public keys",
                "An https address, if it publishes them itself.",
                Input::Line,
            ),
            Field::new(
                "secrets_until",
                "May have secrets until",
                "A date, such as 2027-03-31, for a service that cannot have a key yet.",
                Input::Line,
            ),
        ]),
    ),
    actions: &[
        Action::new("rotate", "client.rotate", "Make a new secret")
            .told("The one before it goes on for a while, so that you can put the new one in place.")
            .only(Only::Is("authentication", "client_secret"))
            .asks(&[
                Field::new(
                    "lifetime",
                    "How long it lasts",
                    "Such as 30d. Empty for as long as is allowed.",
                    Input::Line,
                ),
                Field::new(
                    "overlap",
                    "How long the older one goes on",
                    "Such as 1d. Empty for the usual time.",
                    Input::Line,
                ),
            ])
            .reveals("secret", "The new secret", "Put it where the client reads it, and keep no other copy."),
        Action::new("add-keys", "client.key.add", "Give it another key")
            .told("Its older keys go on until you remove them.")
            .done("The keys are added.")
            .only(Only::Is("authentication", "private_key_jwt"))
            .asks(&[Field::new("jwks", "Public keys", "A JWK set, with public keys only.", Input::Keys)
                .required()]),
        Action::new("require", "client.require", "Say how people must log in for it")
            .told("It is asked of them when the client asks for a pass, and of a session when it is renewed.")
            .done("From now on this is asked of people.")
            .asks(&[
                ACR.from("acr"),
                MAX_AGE.from("max_age"),
                Field::new("pushed_requests", "Its requests must be pushed first", "", Input::Yes)
                    .from("pushed_requests"),
            ]),
        Action::new("environment", "client.environment", "Say for which environment it is")
            .told("It then has passes for the resources of this environment alone.")
            .done("The environment is as you said.")
            .asks(&[Field::new(
                "environment",
                "Environment",
                "Empty for any. Such as dev, stage or prod.",
                Input::Line,
            )
            .from("environment")]),
        Action::new("fapi", "client.fapi", "Hold it to FAPI 2.0")
            .told("The strictest rules there are for clients: signed, pushed and bound to a key.")
            .done("It is as you said.")
            .asks(&[
                Field::new("fapi", "It is held to FAPI 2.0’s security profile", "", Input::Yes).from("fapi")
            ]),
        transfer(&[("things", Given::Things("client:"))]),
        Action::new("disable", "client.disable", "Disable")
            .told("It gets no pass any more, and everything it has stops working at once.")
            .done("Disabled. Everything it had is ended.")
            .only(ACTIVE)
            .ends(),
        Action::new("enable", "client.enable", "Enable")
            .told("It can ask for passes again. What was ended stays ended.")
            .done("Enabled.")
            .only(STOPPED),
    ],
};
