//! Which pattern is right: who acts, where, and what is required of it.
//!
//! The first that fits is taken, and what speaks against it is said. A pattern that would need a long-lived secret is never the
//! first choice.

use crate::device::DeviceClass;
use crate::time::Lifetime;
use crate::trust::Preset;

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A person, at a command line.
    Person,
    /// A job of continuous integration.
    Job,
    /// A service, or a pod of one.
    Service,
    /// Software that acts for a person.
    Agent,
}

/// Where it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A machine with a browser that reaches a port there.
    Desktop,
    /// One without: SSH, a container, a server.
    Terminal,
    /// Where what runs it says what it is.
    Identified(Preset),
    /// Anywhere else.
    Anywhere,
}

/// What is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Required {
    /// A person must have proved who they are, by more than one means.
    pub mfa: bool,
    /// It must be known which person it was.
    pub attribution: bool,
    /// An API must be able to judge the token without asking anybody.
    pub offline: bool,
    /// How long it may go on at most, if that is limited.
    pub longest: Option<Lifetime>,
}

/// What to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Authorization code with PKCE, to a port of this machine (RFC 8252).
    Browser,
    /// The device flow (RFC 8628).
    Device,
    /// A trust, and token exchange (RFC 8693).
    Trust,
    /// Client credentials with a key (RFC 7523).
    ClientKey,
    /// A run of a person's own sign-in, for whatever acts for them.
    Run,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What to use.
    pub pattern: Pattern,
    /// Why.
    pub because: &'static str,
    /// What is to be known about it: what is required and cannot be had so, and what to look at.
    pub but: Vec<&'static str>,
    /// What to type, in order.
    pub commands: Vec<String>,
}

impl Pattern {
    /// Its name, in the field's words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "authorization code with PKCE, in a browser here",
            Self::Device => "device flow",
            Self::Trust => "workload federation, by a trust",
            Self::ClientKey => "client credentials with private_key_jwt",
            Self::Run => "a run of the person's own sign-in",
        }
    }
}

/// What to use for this.
pub fn advise(actor: Actor, place: Place, required: Required) -> Advice {
    let mut advice = match (actor, place) {
        (Actor::Person, Place::Desktop) => Advice {
            pattern: Pattern::Browser,
            because: "a person who is there proves who they are in their own browser, and nothing can be phished by a code",
            but: Vec::new(),
            commands: vec!["hallpass login ISSUER --resource URL --scope SCOPE".into()],
        },
        (Actor::Person, _) => Advice {
            pattern: Pattern::Device,
            because: "a browser elsewhere cannot reach this machine, and a code crosses over",
            but: vec!["a code can be talked out of somebody: bar the scopes that matter from it, `--bar-device-scope`"],
            commands: vec!["hallpass login ISSUER --flow device --resource URL --scope SCOPE".into()],
        },
        (Actor::Job | Actor::Service, Place::Identified(preset)) => by_trust(actor, preset),
        (Actor::Service | Actor::Job, _) => Advice {
            pattern: Pattern::ClientKey,
            because: "nothing that runs it says what it is, so it needs a key of its own; the issuer has the public half alone",
            but: vec![
                "the key is a secret at rest: where what runs it can say what it is, a trust needs none",
                "software that can send a secret alone gets one until a date: `--secrets-until DATE` in place of `--new-key`",
            ],
            commands: vec![
                "hallpass admin client add NAME --kind service --owner team:TEAM --scope SCOPE --new-key NAME.pem".into(),
            ],
        },
        (Actor::Agent, _) => Advice {
            pattern: Pattern::Run,
            because: "what acts for a person is registered by them once, and each command of it gets passes that name both, within a \
                      budget, and die with it",
            but: vec![
                "with `--as proxy` it never sees the token at all",
                "over its budget it gets nothing more before the person says so: `hallpass agents continue RUN`",
            ],
            commands: vec![
                "hallpass agents add NAME --scope SCOPE --longest 4h".into(),
                "hallpass exec --agent NAME --as proxy --only --resource URL --purpose TEXT -- COMMAND".into(),
            ],
        },
    };
    let nobody = matches!(advice.pattern, Pattern::Trust | Pattern::ClientKey);
    if required.attribution && nobody {
        advice
            .but
            .push("it names a client and its owner, and no person: whose change it runs is in what runs it");
    }
    if required.mfa && nobody {
        advice
            .but
            .push("no person is there to prove who they are: ask for that where the change is approved");
    }
    if required.offline {
        advice
            .but
            .push("an API that asks nobody learns of an end when the token is over: keep its life short");
    }
    if required.longest.is_some_and(|longest| longest < crate::lifetimes::ACCESS_TOKEN) {
        advice.but.push("ask for shorter tokens: `--ttl` of `exec` and `token`, `--longest` of a trust, or the org's limits");
    }
    advice
}

/// What whoever uses an API key should have in its place, by the sort of machine they say it is.
pub fn instead_of_key(class: DeviceClass) -> Advice {
    let advice = |actor, place| advise(actor, place, Required::default());
    match class {
        DeviceClass::Laptop => advice(Actor::Person, Place::Desktop),
        DeviceClass::SharedHost => advice(Actor::Person, Place::Terminal),
        DeviceClass::Container => advice(Actor::Service, Place::Identified(Preset::Kubernetes)),
        DeviceClass::Server => advice(Actor::Service, Place::Anywhere),
        DeviceClass::BuildAgent => {
            let mut advice = advice(Actor::Job, Place::Identified(Preset::Oidc));
            advice.but.push("GitHub, GitLab, Buildkite, CircleCI and Bitbucket have presets of their own, with fewer traps");
            advice
        }
        DeviceClass::Unknown => {
            let mut advice = advice(Actor::Service, Place::Anywhere);
            advice.but.push("it did not say what it is: find out first, and ask `hallpass advise` again");
            advice
        }
    }
}

/// What to write in place of the words that must be filled in.
#[derive(Debug, Clone, Copy)]
pub struct Blanks<'a> {
    /// A short name for what is set up.
    pub name: &'a str,
    /// Who answers for it: `team:data`.
    pub owner: &'a str,
    /// The issuer.
    pub issuer: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The scopes.
    pub scopes: &'a [String],
    /// The API.
    pub resource: &'a str,
}

impl Advice {
    /// The same, with what is known filled in. What is not stays in capitals.
    #[must_use]
    pub fn filled(mut self, blanks: &Blanks<'_>) -> Self {
        for command in &mut self.commands {
            let mut before = "";
            let words: Vec<String> = command
                .split(' ')
                .map(|word| {
                    let filled = match (before, word) {
                        (_, "NAME") => blanks.name.to_owned(),
                        (_, "NAME.pem") => format!("{}.pem", blanks.name),
                        (_, "team:TEAM") => blanks.owner.to_owned(),
                        (_, "ISSUER") => blanks.issuer.to_owned(),
                        ("--environment", "prod") => blanks.environment.to_owned(),
                        ("--resource", "URL") => blanks.resource.to_owned(),
                        ("--scope", "SCOPE") if !blanks.scopes.is_empty() => blanks.scopes.join(" --scope "),
                        (_, other) => other.to_owned(),
                    };
                    before = word;
                    filled
                })
                .collect();
            *command = words.join(" ");
        }
        self
    }
}

fn by_trust(actor: Actor, preset: Preset) -> Advice {
    let kind = if actor == Actor::Job { "ci" } else { "service" };
    let issuer = if preset.issuer().is_some() { "" } else { " --issuer URL" };
    let key = if kind == "service" { " --new-key NAME.pem" } else { "" };
    Advice {
        pattern: Pattern::Trust,
        because: "what runs it says what it is, so no secret need be stored on either side",
        but: vec!["a rule lets in whoever fits it: pin what cannot change hands, and look at what `trust lint` says"],
        commands: vec![
            format!("hallpass admin client add NAME --kind {kind} --owner team:TEAM --scope SCOPE{key}"),
            format!(
                "hallpass admin trust add NAME --client NAME --preset {preset}{issuer} --environment prod {} --scope SCOPE",
                preset.example_condition()
            ),
            "hallpass admin trust test --token FILE".into(),
            "hallpass exec --resource URL --scope SCOPE --purpose TEXT -- COMMAND   # in the job, with HALLPASS_ISSUER".into(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_say_what_it_is_needs_no_secret_and_what_cannot_has_a_key() {
        for preset in Preset::ALL {
            for actor in [Actor::Job, Actor::Service] {
                let advice = advise(actor, Place::Identified(preset), Required::default());
                assert_eq!(advice.pattern, Pattern::Trust, "{preset}");
                assert!(advice.commands[1].contains(preset.name()) && advice.commands[1].contains("--when"));
            }
        }
        for actor in [Actor::Job, Actor::Service] {
            assert_eq!(advise(actor, Place::Anywhere, Required::default()).pattern, Pattern::ClientKey);
        }
    }

    #[test]
    fn a_person_uses_the_browser_that_reaches_them_and_an_agent_a_run_of_theirs() {
        let pattern = |actor, place| advise(actor, place, Required::default()).pattern;
        assert_eq!(pattern(Actor::Person, Place::Desktop), Pattern::Browser);
        for place in [Place::Terminal, Place::Anywhere, Place::Identified(Preset::Github)] {
            assert_eq!(pattern(Actor::Person, place), Pattern::Device);
        }
        assert_eq!(pattern(Actor::Agent, Place::Desktop), Pattern::Run);
    }

    #[test]
    fn what_is_required_and_cannot_be_had_is_said() {
        let required =
            Required { mfa: true, attribution: true, offline: true, longest: Some(Lifetime::minutes(1)) };
        assert_eq!(advise(Actor::Job, Place::Anywhere, required).but.len(), 6);
        assert_eq!(
            advise(Actor::Person, Place::Desktop, Required { offline: false, longest: None, ..required })
                .but
                .len(),
            0
        );
    }
}
