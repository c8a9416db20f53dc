//! All kinds of things that the console shows.

use super::Look::{Claimed, Code, Length, Lineage, Name, Of, State, Text, Thing, Time, Yes};
use super::{Action, Field, From, Given, Input, Kind, Only, Part, column};

/// Every kind that has pages of its own, as the navigation shows them.
pub(in crate::console) const TABLE: &[Kind] =
    &[PEOPLE, TEAMS, CLIENTS, RESOURCES, TRUSTS, KEYS, ORGANISATION];

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

const PEOPLE: Kind = Kind {
    page: "people",
    title: "People",
    about: "Who can log in to this organisation.",
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
        column("Id", "id", Lineage),
    ],
    parts: &[
        Part {
            title: "Passkeys",
            empty: "None: they cannot log in by one. An enrolment link lets them make one.",
            from: by_handle("person.passkey.list"),
            only: Only::Any,
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
                .to_others()],
        },
        Part {
            title: "Sessions",
            empty: "No program can act for them.",
            from: From::Verb { verb: "session.list", by: Some("person"), inside: None },
            only: Only::Any,
            columns: &[
                column("Program", "client", Of("clients")),
                column("On", "device", Claimed),
                column("For", "purpose", Claimed),
                column("Last used", "used", Time),
                column("Ends", "expires", Time),
                column("Id", "id", Lineage),
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
            columns: &[
                column("Agent", "agent", Text),
                column("For", "purpose", Claimed),
                column("May", "scopes", Code),
                column("Began", "created", Time),
                column("Ends", "expires", Time),
                column("Waits for them", "waits", Text),
                column("Id", "id", Lineage),
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
            .to_others(),
        Action::new("disable", "person.disable", "Disable")
            .told("Ends everything they hold, and they cannot log in until they are enabled again. Clients and resources they answered for are suspended until somebody takes them over.")
            .done("Disabled. Everything they held is ended.")
            .only(ACTIVE)
            .ends()
            .to_others(),
        Action::new("enable", "person.enable", "Enable")
            .told("They can log in again with the passkeys they have. What was ended stays ended, and what was handed over stays with the administrators.")
            .done("Enabled.")
            .only(STOPPED)
            .to_others(),
    ],
};

const ENROL: &str = "It works once, within a day, for whoever holds it: send it to nobody else.";

const TEAMS: Kind = Kind {
    page: "teams",
    title: "Teams",
    about: "People who answer for things together. Some teams have a role.",
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

const CLIENTS: Kind = Kind {
    page: "clients",
    title: "Clients",
    about: "Software that asks for passes: tools, services, CI jobs, agents.",
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
        column("Proves itself by", "authentication", Text),
        column("Keys published at", "jwks_uri", Code),
        column("May have secrets until", "secrets_until", Time),
        column("Ways to get a pass", "grant_types", Code),
        column("Scopes", "scopes", Code),
        column("Any scope", "any_scope", Yes),
        column("Environment", "environment", Text),
        column("Redirect URIs", "redirect_uris", Code),
        column("Known by its document", "document", Code),
        column("People must log in", "acr", Text),
        column("Not longer ago than", "max_age", Length),
        column("Held to FAPI 2.0", "fapi", Yes),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[
        Part {
            title: "Secrets",
            empty: "None.",
            from: by_handle("client.secret.list"),
            only: Only::Is("authentication", "client_secret"),
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

const RESOURCES: Kind = Kind {
    page: "resources",
    title: "Resources",
    about: "APIs that passes are for.",
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

const TRUSTS: Kind = Kind {
    page: "trusts",
    title: "Trusts",
    about: "Rules by which a CI job, a pod or a service of elsewhere becomes a client here, without a secret.",
    list: Some("trust.list"),
    show: "trust.show",
    name: "handle",
    heading: "handle",
    columns: &[
        column("Short name", "handle", Name),
        column("Becomes", "client", Of("clients")),
        column("From", "preset", Text),
        column("Environment", "environment", Text),
        column("State", "state", State),
    ],
    facts: &[
        column("State", "state", State),
        column("Becomes", "client", Of("clients")),
        column("Answered for by", "owner", Thing),
        column("From", "preset", Text),
        column("Its issuer", "issuer", Code),
        column("For whom its tokens are", "audience", Code),
        column("Only when", "when", Code),
        column("Keys", "keys", Code),
        column("Environment", "environment", Text),
        column("Scopes", "scopes", Code),
        column("A pass lasts at most", "longest", Length),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[Part {
        title: "What is wrong with its rule",
        empty: "Nothing that is known.",
        from: From::Member("findings"),
        only: Only::Any,
        columns: &[
            column("How bad", "gravity", Text),
            column("What", "told", Text),
            column("What to do", "hint", Text),
        ],
        which: "rule",
        actions: &[],
    }],
    add: Some(
        Action::new("add", "trust.add", "Add a trust").done("Added.").given(&[]).asks(&[
            handle(SHORT),
            Field::new(
                "client",
                "Becomes",
                "The short name of the client that whoever comes in becomes.",
                Input::Line,
            )
            .required(),
            Field::new(
                "preset",
                "From",
                "",
                Input::Choice(&[
                    ("github", "GitHub Actions"),
                    ("gitlab", "GitLab CI"),
                    ("buildkite", "Buildkite"),
                    ("circleci", "CircleCI"),
                    ("bitbucket", "Bitbucket Pipelines"),
                    ("kubernetes", "Kubernetes"),
                    ("gcp", "Google Cloud"),
                    ("azure", "Azure"),
                    ("spiffe", "SPIFFE"),
                    ("oidc", "any other OIDC issuer"),
                ]),
            )
            .required(),
            Field::new("environment", "Environment", ENVIRONMENT, Input::Line).required(),
            Field::new(
                "when",
                "Only when",
                "CLAIM=PATTERN, one a line, such as repository_id=1234. All of them must hold.",
                Input::Lines,
            ),
            Field::new("issuer", "Its issuer", "Empty where there is only one.", Input::Line),
            Field::new(
                "audience",
                "For whom its tokens are",
                "Empty for this organisation’s own issuer.",
                Input::Line,
            ),
            Field::new(
                "jwks_uri",
                "Address of its keys",
                "Empty where its discovery document says so.",
                Input::Line,
            ),
            Field::new("scopes", "Scopes", "What it may have at most, one a line.", Input::Lines),
            Field::new(
                "longest",
                "A pass lasts at most",
                "Such as 10m. Empty for the usual time.",
                Input::Line,
            ),
        ]),
    ),
    actions: &[
        Action::new("disable", "trust.disable", "Disable")
            .told("Nobody comes in by it any more, and what came in by it is ended.")
            .done("Disabled.")
            .only(ACTIVE)
            .ends(),
        Action::new("enable", "trust.enable", "Enable")
            .told("Whoever fits its rule comes in again.")
            .done("Enabled.")
            .only(STOPPED),
    ],
};

const KEYS: Kind = Kind {
    page: "keys",
    title: "API keys",
    about: "Long-lived secrets that buy short passes, for what cannot do better yet.",
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
        column("Uses", "uses", Text),
        column("Last used", "last_used", Time),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[
        Part {
            title: "Secrets",
            empty: "None.",
            from: From::Member("secrets"),
            only: Only::Any,
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
        Part {
            title: "Who uses it",
            empty: "Nobody has used it.",
            from: From::Member("users"),
            only: Only::Any,
            columns: &[
                column("Machine", "machine", Claimed),
                column("Network", "network", Text),
                column("For", "purpose", Claimed),
                column("Way", "way", Text),
                column("Uses", "uses", Text),
                column("Last", "last", Time),
            ],
            which: "secret",
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

const ORGANISATION: Kind = Kind {
    page: "org",
    title: "Organisation",
    about: "What this organisation requires, and the keys that it signs with.",
    list: None,
    show: "org.show",
    name: "name",
    heading: "title",
    columns: &[],
    facts: &[
        column("Short name", "name", Code),
        column("State", "state", State),
        column("Issuer", "issuer", Code),
        column("Administrators", "administrators", Of("people")),
        column("Passes last at most", "limits/access_token", Length),
        column("Sessions end when unused for", "limits/session_idle", Length),
        column("Sessions end in any case after", "limits/session_absolute", Length),
        column("API keys last at most", "limits/api_key", Length),
        column("Sign-ins may rest in", "limits/rungs", Code),
        column("People must log in", "requires/demand/acr", Text),
        column("Not longer ago than", "requires/demand/max_age", Length),
        column("By its own login alone", "requires/demand/sso", Yes),
        column("Long-lived secrets by exception", "requires/static_by_exception", Yes),
        column("Here since", "created", Time),
        column("Id", "id", Code),
    ],
    parts: &[
        Part {
            title: "What does not meet what is required",
            empty: "Everything does.",
            from: From::Verb { verb: "org.check", by: None, inside: None },
            only: Only::Any,
            columns: &[
                column("Thing", "thing", Thing),
                column("What", "told", Text),
                column("What to do", "hint", Text),
            ],
            which: "thing",
            actions: &[],
        },
        Part {
            title: "A login of its own",
            empty: "None: people log in with passkeys that they make here.",
            from: From::Verb { verb: "org.login.show", by: None, inside: None },
            only: Only::Any,
            columns: &[
                column("Called", "title", Text),
                column("Issuer", "issuer", Code),
                column("Client id there", "client_id", Code),
                column("Redirect URI", "redirect_uri", Code),
                column("Our keys", "jwks_uri", Code),
                column("Lets newcomers in", "newcomers", Yes),
            ],
            which: "issuer",
            actions: &[Action::new("remove-login", "org.login.remove", "Remove")
                .told("Nobody logs in by it any more. Whoever has no passkey needs an enrolment link.")
                .done("Nobody logs in by it any more.")
                .given(&[])
                .ends()],
        },
        Part {
            title: "Signing keys",
            empty: "None.",
            from: From::Verb { verb: "org.keys", by: None, inside: Some("keys") },
            only: Only::Any,
            columns: &[
                column("Id", "kid", Code),
                column("Algorithm", "algorithm", Text),
                column("State", "state", Text),
                column("Signs from", "signs_from", Time),
                column("Signed until", "signed_until", Time),
            ],
            which: "kid",
            actions: &[],
        },
        Part {
            title: "Hosts whose clients say themselves what they are",
            empty: "None.",
            from: From::Verb { verb: "client.documents.list", by: None, inside: None },
            only: Only::Any,
            columns: &[
                column("Host", "host", Code),
                column("Answered for by", "owner", Thing),
                column("Scopes", "scopes", Code),
                column("Environment", "environment", Text),
            ],
            which: "host",
            actions: &[Action::new("forbid-host", "client.documents.forbid", "Forbid")
                .told("Its clients get no pass any more, and everything they have stops working at once.")
                .done("Its clients are no longer let in.")
                .given(&[("host", Given::Which)])
                .ends()],
        },
    ],
    add: None,
    actions: &[
        Action::new("limits", "org.limits", "Shorten how long things last")
            .told("Nothing can be made longer than the server allows. What is left empty stays as it is.")
            .done("From now on things last as long as you said.")
            .given(&[])
            .asks(&[
                Field::new("access_token", "Passes", "Such as 5m.", Input::Line).from("limits/access_token"),
                Field::new("session_idle", "Sessions that nobody uses", "Such as 7d.", Input::Line).from("limits/session_idle"),
                Field::new("session_absolute", "Sessions in any case", "Such as 30d.", Input::Line).from("limits/session_absolute"),
                Field::new("api_key", "API keys", "Such as 60d.", Input::Line).from("limits/api_key"),
                Field::new("reset", "Put everything back to what the server allows, whatever is typed above", "", Input::Yes),
            ]),
        Action::new("require", "org.require", "Say what is required")
            .told("This takes the place of everything that was required before.")
            .done("From now on this is required.")
            .given(&[])
            .asks(&[
                ACR.from("requires/demand/acr"),
                MAX_AGE.from("requires/demand/max_age"),
                Field::new("static_by_exception", "A long-lived secret needs a reason and an end", "", Input::Yes)
                    .from("requires/static_by_exception"),
                Field::new("sso_only", "People log in by the organisation’s own login alone", "", Input::Yes)
                    .from("requires/demand/sso"),
            ]),
        Action::new("login", "org.login.set", "Let people log in by your own provider")
            .told("Register this server there first. It takes the place of the one there is.")
            .done("People can log in by it from now on.")
            .given(&[])
            .asks(&[
                Field::new("issuer", "Issuer", "The https address of your OIDC provider.", Input::Line).required(),
                Field::new("client_id", "Client id there", "", Input::Line).required(),
                Field::new("client_secret", "Client secret there", "Empty where this server signs with its own key, which is better.", Input::Secret),
                Field::new("title", "What people call it", "It stands on the button.", Input::Line),
                Field::new("newcomers", "Whoever it knows becomes a person here", "", Input::Yes),
            ]),
        Action::new("allow-host", "client.documents.allow", "Allow a host’s clients")
            .told("Clients that say at an address of this host what they are can then ask people to let them act.")
            .done("Its clients can ask from now on.")
            .given(&[])
            .asks(&[
                Field::new("host", "Host", "Such as tools.example, or * for any.", Input::Line).required(),
                OWNER,
                Field::new("scopes", "Scopes", "What they may ask for, one a line.", Input::Lines),
                Field::new("environment", "Environment", "Empty for any. Such as dev, stage or prod.", Input::Line),
            ]),
        Action::new("rotate-key", "org.rotate_key", "Sign with another key")
            .told("The next key is published first, so that everybody knows it before it signs. In an emergency it signs at once, and what the present key signed is refused.")
            .done("Another key signs soon, or signs already.")
            .given(&[])
            .asks(&[
                Field::new(
                    "algorithm",
                    "Algorithm",
                    "",
                    Input::Choice(&[("", "as now"), ("ES256", "ES256"), ("EdDSA", "EdDSA")]),
                ),
                Field::new("emergency", "The present key may be known to others: at once", "", Input::Yes),
            ])
            .ends(),
    ],
};

/// What came of what: no list, but a picture.
pub(in crate::console) const LINEAGE: Kind = Kind {
    page: "lineage",
    title: "What came of what",
    about: "",
    list: None,
    show: "lineage.show",
    name: "of",
    heading: "of",
    columns: &[],
    facts: &[],
    parts: &[Part {
        title: "",
        empty: "",
        from: From::Member("nodes"),
        only: Only::Any,
        columns: &[column("", "name", Text)],
        which: "id",
        actions: &[
            below("person", "cut", &[("axis", Given::Text("principal")), ("id", Given::Which)]),
            below("device", "cut", &[("axis", Given::Text("device")), ("id", Given::Which)]),
            below("session", "session.end", &[("session", Given::Which)]),
            below("run", "run.end", &[("run", Given::Which)]),
            below("pass", "cut", &[("axis", Given::Text("credential")), ("id", Given::Which)]),
        ],
    }],
    add: None,
    actions: &[],
};

/// Ends a node of this sort. Its name is the sort's.
const fn below(sort: &'static str, verb: &'static str, given: &'static [(&'static str, Given)]) -> Action {
    Action::new(sort, verb, "End")
        .told("It, and everything below it, stops working at once. This cannot be undone; people can log in again.")
        .done("Ended, with everything below it.")
        .given(given)
        .ends()
}
