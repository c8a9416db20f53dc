//! Why the server did not do what the operator asked.

use std::fmt::Display;

use hallpass_store::{NotAdded, StandingSet, StoreError};
use http::StatusCode;

/// A refusal: what is told, and what to do next.
#[derive(Debug)]
pub struct Refused {
    /// Of what sort.
    pub kind: Kind,
    /// What happened, and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What sort of refusal, and so the exit code at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The question makes no sense (2).
    Usage,
    /// A rule says no (5).
    Refused,
    /// There is no such thing (1).
    NotThere,
    /// There is one already (1).
    Conflict,
    /// Busy, full (75).
    Later,
    /// A mistake of ours, or of the disk's (70).
    Broken,
}

impl Kind {
    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Usage => StatusCode::BAD_REQUEST,
            Self::Refused => StatusCode::FORBIDDEN,
            Self::NotThere => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Later => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A word for it that stays.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Usage => "invalid_request",
            Self::Refused => "refused",
            Self::NotThere => "not_found",
            Self::Conflict => "conflict",
            Self::Later => "temporarily_unavailable",
            Self::Broken => "server_error",
        }
    }

    /// Every sort.
    pub(crate) const ALL: [Self; 6] =
        [Self::Usage, Self::Refused, Self::NotThere, Self::Conflict, Self::Later, Self::Broken];
}

impl Refused {
    /// The question makes no sense.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A rule says no.
    pub fn by_rule(message: impl Display) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// There is no such thing.
    pub fn not_there(message: impl Display) -> Self {
        Self::new(Kind::NotThere, message)
    }

    /// There is one already.
    pub fn conflict(message: impl Display) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// It could not be done.
    pub fn broken(message: impl Display) -> Self {
        Self::new(Kind::Broken, message)
    }

    /// With what to do next.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// A thing that was not added, named as it was typed.
    pub(crate) fn not_added(why: NotAdded, what: &str, owner: &str) -> Self {
        match why {
            NotAdded::Taken => Self::conflict(format_args!("{what} is there already, or was")),
            NotAdded::NoOrg => Self::not_there("there is no such org"),
            NotAdded::OrgDisabled => {
                Self::by_rule("the org is disabled").hint("`hallpass admin org enable` puts it back to use")
            }
            NotAdded::NoOwner => Self::not_there(format_args!("the owner `{owner}` is nobody in this org")),
            NotAdded::OwnerDisabled => {
                Self::by_rule(format_args!("the owner `{owner}` is disabled, and cannot answer for anything"))
                    .hint("name an owner who is there")
            }
            NotAdded::OwnerEmpty => {
                Self::by_rule(format_args!("nobody active is in `{owner}`, so it cannot answer for anything"))
                    .hint("add somebody with `hallpass admin team members`, or name another owner")
            }
            NotAdded::NoMember => Self::not_there("one of the members is no active person of this org"),
            NotAdded::NoServer => Self::not_there("the server's client is none of this org"),
            NotAdded::ExceptionTooLong | NotAdded::NoException => Self::by_rule(why),
            NotAdded::NoSecretKeeper => Self::by_rule(why)
                .hint("a person's tool, a job and an agent need none: `hallpass advise` says what each uses"),
            NotAdded::GrantType => Self::by_rule("this kind of client may not use one of the grant types"),
        }
    }

    /// What came of a change of standing, where it did not come about.
    pub(crate) fn unless_set(outcome: StandingSet, what: &str) -> Result<(), Self> {
        match outcome {
            StandingSet::Done(_) | StandingSet::Already(_) => Ok(()),
            StandingSet::NotThere => Err(Self::not_there(format_args!("there is no {what} in this org"))),
            StandingSet::Unowned => Err(Self::by_rule(format_args!(
                "nobody answers for {what}: whoever did left, and nobody has taken it over"
            ))
            .hint("`hallpass admin owner transfer` has somebody take it over, which puts a suspended one back to use")),
            StandingSet::LastAdministrator => Err(Self::by_rule(format_args!(
                "{what} is the org's last administrator"
            ))
            .hint("make somebody else administrator first: `hallpass admin team members administrators`")),
        }
    }

    fn new(kind: Kind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), hint: None }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Busy | StoreError::Full | StoreError::Closed => Kind::Later,
            StoreError::ReadOnly | StoreError::Damaged(_) | StoreError::Broken | StoreError::Backend(_) => {
                Kind::Broken
            }
        };
        if kind == Kind::Broken {
            tracing::error!(%error, "a command of the operator's failed");
        }
        let refused = Self::new(kind, &error);
        match error {
            StoreError::Full => refused.hint("make room on the disk of the data folder, then try again"),
            StoreError::Busy => refused.hint("try again shortly"),
            _ => refused,
        }
    }
}
