//! The organisation itself.

use super::{ACR, MAX_AGE, OWNER};
use crate::console::kinds::Look::{Code, Hint, Length, Of, State, Text, Thing, Time, Words, Yes};
use crate::console::kinds::{Action, Field, From, Given, Input, Kind, Only, Part, column};

pub(super) const ORGANISATION: Kind = Kind {
    page: "org",
    title: "Organisation",
    about: "What this organisation requires, and the keys that it signs with.",
    none: None,
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
        column("People must log in", "requires/demand/acr", Words),
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
            each: false,
            columns: &[
                column("Thing", "thing", Thing),
                column("What", "told", Text),
                column("What to do", "hint", Hint),
            ],
            which: "thing",
            actions: &[],
        },
        Part {
            title: "A login of its own",
            empty: "None: people log in with passkeys that they make here.",
            from: From::Verb { verb: "org.login.show", by: None, inside: None },
            only: Only::Any,
            each: false,
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
            each: false,
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
            each: false,
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
        Action::new("rungs", "org.rungs", "Say where keys of sign-ins may rest")
            .told("A sign-in whose key rests elsewhere is not begun, and not renewed. It is what the program on that machine says of itself: it keeps people from doing worse than they mean to, and proves nothing.")
            .done("From now on keys rest where you said.")
            .given(&[])
            .asks(&[Field::new(
                "rungs",
                "They may rest in",
                "The best first. Where none is ticked, they may rest anywhere.",
                Input::Several(&[
                    ("secret-service", "the keyring of a Linux desktop (Secret Service)"),
                    ("keychain", "the Keychain of macOS"),
                    ("credential-manager", "the Credential Manager of Windows"),
                    ("tpm", "the machine’s TPM"),
                    ("keyring", "the kernel’s keyring, until the machine restarts"),
                    ("passphrase", "a file that a passphrase opens"),
                    ("daemon", "the daemon’s memory, until it ends"),
                    ("memory", "the memory of one program, until it ends"),
                ]),
            )
            .from("limits/rungs")]),
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
