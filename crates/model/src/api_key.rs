//! API keys: the exception among credentials. A secret that lives for weeks, belongs to somebody, and buys tokens that live
//! for minutes.
//!
//! 1. A key is how a client proves who it is where nothing better is to be had: tokens it buys are about the client.
//! 2. It has scopes, APIs of one environment, and, if wanted, networks it may come from. A token is within all of them and
//!    never outlives the key.
//! 3. It has one [`KeySecret`], and two while it is rotated. Both descend from the key, so one cut ends all that came of it.
//! 4. To send it to an API directly is an exception of its own, with an end.
//!
//! What is decided here is pure: the store has found the rows, and asks.

use std::net::IpAddr;

use crate::cut::Why;
use crate::id::{ClientId, CredentialId, OrgId};
use crate::network::Network;
use crate::principal::{Handle, OrgLimits, Owner};
use crate::purpose::Purpose;
use crate::spelling::{self, BadSpelling, Prefix, RANDOM_BYTES};
use crate::time::{Lifetime, Timestamp};
use crate::wire::oauth::Scopes;

/// APIs of one key at most: one that opens more is a master key.
pub const RESOURCES_MAX: usize = 8;
/// Source networks of one key at most.
pub const NETWORKS_MAX: usize = 16;
/// Secrets of one key that are good at the same time: the old one and the new.
pub const SECRETS_ALIVE_MAX: usize = 2;

/// A key, with all that its secrets have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, and the ancestor of its secrets and of every token they buy.
    pub id: CredentialId,
    /// The tenant it is of.
    pub org: OrgId,
    /// Its short name, unique in the org. The name of the whole line: a rotation keeps it.
    pub handle: Handle,
    /// Who comes in by it.
    pub client: ClientId,
    /// Who answers for it.
    pub owner: Owner,
    /// The environment of its APIs.
    pub environment: Handle,
    /// The most that its tokens allow.
    pub scopes: Scopes,
    /// The APIs they are for, by URL.
    pub resources: Vec<String>,
    /// Where it may come from; anywhere if there is none.
    pub networks: Vec<Network>,
    /// Until when it may be sent to its APIs directly, and why: an exception.
    pub direct: Option<Excepted>,
    /// Why there is a key at all, where the org asks.
    pub exception: Option<Excepted>,
    /// Since when its users are being moved to something better.
    pub migrating_since: Option<Timestamp>,
    /// When all of it is over, whatever its secrets say: by then its users have moved.
    pub ends: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
}

/// One secret of a key: what is written down as `hpk_...`. Of the secret itself only a fingerprint is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySecret {
    /// Its id.
    pub id: CredentialId,
    /// The key it is of.
    pub key: CredentialId,
    /// The one it took the place of.
    pub succeeds: Option<CredentialId>,
    /// When it was made.
    pub created: Timestamp,
    /// When it is over.
    pub expires: Timestamp,
    /// When and why it was taken back, if it was: it, its key, its client or its org.
    pub revoked: Option<(Timestamp, Why)>,
}

/// An exception: why, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excepted {
    /// Why.
    pub reason: Purpose,
    /// Until when.
    pub until: Timestamp,
}

/// How a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// It buys a token (RFC 8693).
    Exchange,
    /// It was sent to an API, which asks about it (RFC 7662).
    Direct,
}

impl Way {
    /// The word the store keeps.
    pub fn text(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Direct => "direct",
        }
    }
}

impl std::str::FromStr for Way {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Exchange, Self::Direct].into_iter().find(|way| way.text() == text).ok_or(())
    }
}

/// What a token is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The API, by URL; the key's only one where none is named.
    pub resource: Option<&'a str>,
    /// How far; as far as the key goes where nothing is said.
    pub scopes: Option<&'a Scopes>,
    /// How long; the org's usual time where nothing is said.
    pub lifetime: Option<Lifetime>,
}

/// What a token is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The API.
    pub resource: String,
    /// How far. What the API does not know is still to be left out.
    pub scopes: Scopes,
    /// Until when.
    pub expires: Timestamp,
}

/// Why a key is of no use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum KeyRefusal {
    /// It was taken back.
    #[error("the API key was revoked")]
    Revoked,
    /// It is over.
    #[error("the API key is over")]
    Expired,
    /// It came from elsewhere than it may.
    #[error("the API key may not be used from this network")]
    Network,
    /// It may come from some networks alone, and nobody said where it came from.
    #[error("the API key is for certain networks, and the API did not say where it came from")]
    AddressUnsaid,
    /// It is to be exchanged, and not to be sent.
    #[error("the API key buys tokens, and is not to be sent to an API")]
    NotDirect,
    /// The exception by which it was sent is over.
    #[error("the exception by which the API key was sent to an API is over")]
    DirectOver,
    /// The key's client, its owner or its org is out of use.
    #[error("the API key's client, its owner or the org is disabled")]
    Disabled,
    /// The API is none of the key's.
    #[error("the resource is not one of the API key's")]
    Resource,
    /// It has several APIs, and none was named.
    #[error("the API key is for several resources: name one")]
    Ambiguous,
    /// The API is out of use.
    #[error("the resource is disabled")]
    ResourceDisabled,
    /// The API is of another environment than the key's client is now, or than it was itself when the key was made.
    #[error("the resource is of another environment than the API key or its client")]
    Environment,
    /// Whoever answered for the API left, and nobody has taken it over.
    #[error("the resource is suspended")]
    ResourceSuspended,
    /// A person must prove who they are for that scope, and a key is nobody.
    #[error("the scope is for people who prove who they are")]
    Unmet,
    /// More than the key has, or nothing that the API knows.
    #[error("the scope is not within the API key's")]
    Scope,
}

impl KeyRefusal {
    /// The word it is recorded under.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Revoked => "key_revoked",
            Self::Expired => "key_expired",
            Self::Network => "key_network",
            Self::AddressUnsaid => "key_address_unsaid",
            Self::NotDirect => "key_not_direct",
            Self::DirectOver => "key_direct_over",
            Self::Disabled => "disabled",
            Self::Resource => "resource",
            Self::ResourceSuspended => "resource_suspended",
            Self::Unmet => "step_up",
            Self::Ambiguous => "resource_unsaid",
            Self::ResourceDisabled => "resource_disabled",
            Self::Environment => "environment",
            Self::Scope => "scope",
        }
    }
}

impl KeySecret {
    /// When it is over, for this key of its.
    pub fn ends(&self, key: &ApiKey) -> Timestamp {
        key.ends.map_or(self.expires, |ends| ends.min(self.expires))
    }

    /// Whether it opens anything now.
    pub fn is_alive(&self, key: &ApiKey, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.ends(key)
    }
}

impl ApiKey {
    /// Whether this secret of the key may be used so, from there, now. `from` is where it came from, if that is known.
    pub fn may_be_used(
        &self,
        secret: &KeySecret,
        way: Way,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), KeyRefusal> {
        if secret.revoked.is_some() {
            return Err(KeyRefusal::Revoked);
        }
        if now >= secret.ends(self) {
            return Err(KeyRefusal::Expired);
        }
        if way == Way::Direct {
            match &self.direct {
                None => return Err(KeyRefusal::NotDirect),
                Some(excepted) if now >= excepted.until => return Err(KeyRefusal::DirectOver),
                Some(_) => {}
            }
        }
        // SECURITY: a key for certain networks opens nothing where it is not known that it came from one.
        match from {
            _ if self.networks.is_empty() => Ok(()),
            None => Err(KeyRefusal::AddressUnsaid),
            Some(from) if self.networks.iter().any(|network| network.contains(from)) => Ok(()),
            Some(_) => Err(KeyRefusal::Network),
        }
    }

    /// What a token that this secret buys is given: never more than the key has, never longer than it lives.
    pub fn give(
        &self,
        secret: &KeySecret,
        asked: Asked<'_>,
        limits: &OrgLimits,
        now: Timestamp,
    ) -> Result<Given, KeyRefusal> {
        let resource = match (asked.resource, self.resources.as_slice()) {
            (None, [only]) => only,
            (None, _) => return Err(KeyRefusal::Ambiguous),
            (Some(named), all) => all.iter().find(|one| *one == named).ok_or(KeyRefusal::Resource)?,
        };
        let scopes = match asked.scopes {
            Some(scopes) if !self.scopes.include(scopes) => return Err(KeyRefusal::Scope),
            Some(scopes) => scopes.clone(),
            None => self.scopes.clone(),
        };
        let expires = (now + limits.access_token(asked.lifetime)).min(secret.ends(self));
        Ok(Given { resource: resource.clone(), scopes, expires })
    }
}

/// Why a key may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotExcepted {
    /// The org has static credentials only by exception, and there is none.
    #[error("the org has long-lived secrets only by exception, and none is given")]
    None,
    /// The exception is over before the key.
    #[error("the exception is over before the key is")]
    TooShort,
}

/// Whether a key that lives until `ends` may be made, where an org `requires` an exception for each, or does not. One that is
/// given is held to in any case.
pub fn judge_exception(
    requires: bool,
    exception: Option<&Excepted>,
    ends: Timestamp,
) -> Result<(), NotExcepted> {
    match exception {
        None if requires => Err(NotExcepted::None),
        Some(excepted) if excepted.until < ends => Err(NotExcepted::TooShort),
        _ => Ok(()),
    }
}

/// Whether text can be a key: by its spelling alone, before anybody is asked.
pub fn judge_spelling(text: &str) -> Result<(), BadSpelling> {
    spelling::parse::<RANDOM_BYTES>(Prefix::ApiKey, text).map(|_| ())
}

#[cfg(test)]
mod tests;
