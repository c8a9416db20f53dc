//! Who acts, and who answers for things.

use serde::{Deserialize, Serialize};

use crate::id::{OrgId, PrincipalId, TeamId};
use crate::role::TeamRole;
use crate::time::Timestamp;

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A human being.
    Person,
    /// A CI job, a pod, a service.
    Workload,
    /// Software that acts for a person.
    Agent,
}

/// The person or team that answers for a thing and is told when it leaks. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// One person.
    Person(PrincipalId),
    /// People who answer together.
    Team(TeamId),
}

/// Whether a thing may be used. Checked at issue; ending what was issued before is a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In use.
    Active,
    /// Out of use since whoever answered for it left, at this moment, until somebody takes it over. Its owner is still
    /// the one who left. Nothing is issued to, by or for it.
    Suspended(Timestamp),
    /// Taken out of use, at this moment. Nothing is issued to, by or for it.
    Disabled(Timestamp),
}

impl Standing {
    /// Whether it may be used.
    pub fn is_active(self) -> bool {
        matches!(self, Standing::Active)
    }
}

/// Someone or something that acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id; the `sub` of tokens. Never reassigned.
    pub id: PrincipalId,
    /// The tenant it belongs to, and the only one.
    pub org: OrgId,
    /// What it is.
    pub kind: PrincipalKind,
    /// The short name typed at login, unique in the org.
    pub handle: Handle,
    /// The name shown to people.
    pub name: String,
    /// Who answers for it. A person's own owner is the org's administrators' team.
    pub owner: Owner,
    /// Whether it may act.
    pub standing: Standing,
    /// When it was added.
    pub created: Timestamp,
}

/// People who answer together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// The tenant it belongs to.
    pub org: OrgId,
    /// Its short name, unique in the org.
    pub handle: Handle,
    /// Who is in it.
    pub members: Vec<PrincipalId>,
    /// What its members are in the org, beside what they are as people.
    pub role: Option<TeamRole>,
    /// Whether it may own.
    pub standing: Standing,
    /// When it was added.
    pub created: Timestamp,
}

/// The team every org is born with: its administrators.
pub const ADMINISTRATORS: &str = "administrators";

/// A tenant: an OAuth issuer of its own at `{base}/{name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// The path segment of its issuer URL. Never reused, even after the org is gone.
    pub name: Handle,
    /// The name shown to people.
    pub title: String,
    /// The team of its administrators.
    pub administrators: TeamId,
    /// Lifetimes it has shortened.
    pub limits: OrgLimits,
    /// What every grant in it must meet.
    pub requires: Requirements,
    /// Whether anything is issued in it.
    pub standing: Standing,
    /// When it was added.
    pub created: Timestamp,
}

/// What an org requires of everything in it, beside what it has narrowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    /// How people must have proved who they are, for any grant: as if every client demanded it.
    pub demand: crate::step_up::Demand,
    /// Whether long-lived secrets are there only by an exception, each with a reason and an end.
    pub static_by_exception: bool,
}

/// What an org has narrowed. `None` is what every org has; a longer lifetime cannot be set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrgLimits {
    /// Access tokens.
    pub access_token: Option<crate::time::Lifetime>,
    /// Sessions, when nobody refreshes them.
    pub session_idle: Option<crate::time::Lifetime>,
    /// Sessions, however busy.
    pub session_absolute: Option<crate::time::Lifetime>,
    /// API keys.
    pub api_key: Option<crate::time::Lifetime>,
    /// Where the keys of people's sign-ins may rest. `None` is anywhere.
    pub rungs: Option<crate::rung::Rungs>,
}

impl OrgLimits {
    /// How long an access token lives here, where `wanted` was asked for (`None`: the default).
    pub fn access_token(&self, wanted: Option<crate::time::Lifetime>) -> crate::time::Lifetime {
        use crate::lifetimes::{ACCESS_TOKEN, ACCESS_TOKEN_MAX};
        let most = self.access_token.map_or(ACCESS_TOKEN_MAX, |own| own.min(ACCESS_TOKEN_MAX));
        wanted.unwrap_or(ACCESS_TOKEN).min(most)
    }

    /// How long a session nobody refreshes lives here.
    pub fn session_idle(&self) -> crate::time::Lifetime {
        shorter(self.session_idle, crate::lifetimes::SESSION_IDLE)
    }

    /// How long an API key lives here at most.
    pub fn api_key(&self) -> crate::time::Lifetime {
        shorter(self.api_key, crate::lifetimes::API_KEY_MAX)
    }

    /// How long any session lives here.
    pub fn session_absolute(&self) -> crate::time::Lifetime {
        shorter(self.session_absolute, crate::lifetimes::SESSION_ABSOLUTE)
    }
}

fn shorter(own: Option<crate::time::Lifetime>, table: crate::time::Lifetime) -> crate::time::Lifetime {
    own.map_or(table, |own| own.min(table))
}

/// A short name: 1 to 63 of `a-z 0-9 -`, beginning with a letter, not ending with a dash. Unique in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// A host name's label is at most this long; a handle may become one.
const HANDLE_MAX: usize = 63;

/// Words that may not name an org: they are, or may become, paths of the server itself.
pub const RESERVED_ORG_NAMES: &[&str] = &[
    "admin",
    "api",
    "assets",
    "healthz",
    "hallpass",
    "jwks",
    "livez",
    "login",
    "logout",
    "metrics",
    "readyz",
    "setup",
    "static",
    "status",
    "well-known",
    "www",
];

impl Handle {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an org: a handle that is not a word of the server's own.
    pub fn org_name(text: &str) -> Result<Self, BadHandle> {
        if RESERVED_ORG_NAMES.contains(&text) {
            return Err(BadHandle::Reserved(text.to_owned()));
        }
        text.parse()
    }
}

impl std::fmt::Display for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> String {
        handle.0
    }
}

impl TryFrom<String> for Handle {
    type Error = BadHandle;
    fn try_from(text: String) -> Result<Self, BadHandle> {
        text.parse()
    }
}

impl std::str::FromStr for Handle {
    type Err = BadHandle;
    fn from_str(text: &str) -> Result<Self, BadHandle> {
        let fits = !text.is_empty()
            && text.len() <= HANDLE_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadHandle::Malformed(text.chars().take(80).collect()))
        }
    }
}

/// Text that cannot be a short name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHandle {
    /// Of the wrong letters or length.
    #[error("`{0}` is not a short name: 1 to 63 of a-z, 0-9 and -, beginning with a letter")]
    Malformed(String),
    /// A path of the server's own.
    #[error("`{0}` is reserved for the server itself")]
    Reserved(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Lifetime;

    #[test]
    fn a_handle_is_short_plain_and_lower_case() {
        for good in ["a", "acme", "acme-2"] {
            assert!(good.parse::<Handle>().is_ok(), "{good}");
        }
        for bad in ["", "Acme", "2fast", "-a", "a-", "a_b", "a.b", "a/b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<Handle>().is_err(), "{bad}");
        }
        assert_eq!(Handle::org_name("healthz"), Err(BadHandle::Reserved("healthz".into())));
    }

    #[test]
    fn an_org_may_shorten_and_never_lengthen() {
        let long = OrgLimits {
            access_token: Some(Lifetime::days(1)),
            session_idle: Some(Lifetime::days(400)),
            session_absolute: Some(Lifetime::hours(1)),
            api_key: Some(Lifetime::days(400)),
            rungs: None,
        };
        assert_eq!(long.access_token(Some(Lifetime::hours(9))), crate::lifetimes::ACCESS_TOKEN_MAX);
        assert_eq!(long.access_token(None), crate::lifetimes::ACCESS_TOKEN);
        assert_eq!(long.session_idle(), crate::lifetimes::SESSION_IDLE);
        assert_eq!(long.session_absolute(), Lifetime::hours(1));
        assert_eq!(long.api_key(), crate::lifetimes::API_KEY_MAX);
    }
}
