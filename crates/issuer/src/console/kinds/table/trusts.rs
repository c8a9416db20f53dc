//! Trusts: who comes in without a secret.

use super::{ACTIVE, ENVIRONMENT, SHORT, STOPPED, handle};
use crate::console::kinds::Look::{Code, Hint, Length, Name, Of, State, Text, Thing, Time};
use crate::console::kinds::{Action, Field, From, Given, Input, Kind, Only, Part, column};

pub(super) const TRUSTS: Kind = Kind {
    page: "trusts",
    title: "Trusts",
    about: "Rules by which a CI job, a pod or a service of elsewhere becomes a client here, without a secret.",
    none: None,
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
        each: false,
        columns: &[
            column("How bad", "gravity", Text),
            column("What", "told", Text),
            column("What to do", "hint", Hint),
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
        Action::new("test", "trust.test", "Test a token")
            .told("Says line by line whether this trust lets a token in, and why not. Nobody comes in by it, and nothing is given out.")
            .given(&[("trust", Given::Name)])
            .asks(&[Field::new(
                "token",
                "The token",
                "As the job, the pod or the service shows it. It is looked at, and neither kept nor shown again.",
                Input::Token,
            )
            .required()])
            .weighs(),
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
