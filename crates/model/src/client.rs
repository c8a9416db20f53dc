//! Software registered to ask for credentials, and the APIs it asks them for.

use serde::{Deserialize, Serialize};

use crate::id::{ClientId, CredentialId, OrgId, ResourceId};
use crate::jose::JwkSet;
use crate::principal::{Handle, Owner, Standing};
use crate::secret::Fingerprint;
use crate::time::Timestamp;
use crate::wire::oauth::{GrantType, Scopes};

/// The public client every org is born with.
pub const HALLPASS_CLI: &str = "hallpass-cli";

/// Where a client runs, which fixes how it may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// On a person's machine; keeps no secret of its own.
    Cli,
    /// A server of the organisation's; has a key of its own.
    Service,
    /// A job in CI.
    Ci,
    /// Software that acts for a person.
    Agent,
}

impl ClientKind {
    /// The grant types a client of this kind may be registered for.
    pub fn grant_types(self) -> &'static [GrantType] {
        match self {
            Self::Cli => &[
                GrantType::AuthorizationCode,
                GrantType::DeviceCode,
                GrantType::RefreshToken,
                GrantType::TokenExchange,
            ],
            Self::Agent => &[GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::TokenExchange],
            Self::Service => &[GrantType::ClientCredentials],
            Self::Ci => &[GrantType::TokenExchange],
        }
    }

    /// What to do instead, for a person whose client asked for a grant type its kind may not use.
    pub fn better_pattern(self) -> &'static str {
        match self {
            Self::Cli => "a person's tool logs in with the authorization code or the device flow",
            Self::Agent => {
                "an agent logs in with the authorization code, or is given a narrower token by exchange"
            }
            Self::Service => {
                "a service uses client_credentials with private_key_jwt, or a trust where what runs it says what it is"
            }
            Self::Ci => "a CI job exchanges the identity it already has",
        }
    }
}

/// How a client proves that it is itself at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// It cannot: a public client (RFC 6749, section 2.1).
    None,
    /// It signs an assertion with one of these keys (RFC 7523, RFC 10070).
    PrivateKeyJwt(JwkSet),
    /// The same, with keys that it publishes at this address (RFC 7591, section 2: `jwks_uri`).
    PrivateKeyJwtAt(String),
    /// It sends a secret (RFC 6749, section 2.3.1), and has no key: the exception, which [`ClientSecrets`] has the end of.
    Secret,
}

/// Keys of one client at most: the one in use and the next, for each of a few places it runs in.
pub const CLIENT_KEYS_MAX: usize = 8;
/// Secrets of one client that are good at once: the one in use, and its successor while that is carried out.
pub const CLIENT_SECRETS_MAX: usize = 2;

/// The exception by which a client may prove itself by a secret, and its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecrets {
    /// When the exception ends, and with it every secret.
    pub until: Timestamp,
    /// Those there are, over or not.
    pub kept: Vec<KeptSecret>,
}

/// What is kept of a client's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// Its id, which is no secret: the ancestor of every token it opened the door to.
    pub id: CredentialId,
    /// It, as a keyed hash.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub created: Timestamp,
    /// When it is over.
    pub expires: Timestamp,
}

impl ClientSecrets {
    /// Those that are good now.
    pub fn good(&self, now: Timestamp) -> impl Iterator<Item = &KeptSecret> {
        self.kept.iter().filter(move |secret| now < secret.expires && now < self.until)
    }
}

/// Software registered to ask for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id; the `sub` of tokens it gets for itself, so that it never collides with a person.
    pub id: ClientId,
    /// The tenant it is registered in.
    pub org: OrgId,
    /// Its short name, unique in the org: its `client_id` on the wire, if it has no document.
    pub handle: Handle,
    /// The address of its document, if it is known by that: then its `client_id` on the wire.
    pub document: Option<String>,
    /// The name shown to people.
    pub name: String,
    /// Where it runs.
    pub kind: ClientKind,
    /// Who answers for it.
    pub owner: Owner,
    /// How it proves that it is itself.
    pub authentication: ClientAuthentication,
    /// The grant types it may use: some of its kind's.
    pub grant_types: Vec<GrantType>,
    /// Where the authorization endpoint may send its answer.
    pub redirect_uris: Vec<String>,
    /// The most it may ask for.
    pub scopes: Scopes,
    /// Whether it may ask for whatever the org's resources define, besides.
    pub any_scope: bool,
    /// Scopes that may not be asked for through the device flow (RFC 10027: the flow is phishable).
    pub device_flow_barred: Scopes,
    /// Until when its assertions may be of the form before RFC 10070: an exception, which has an end.
    pub older_assertions_until: Option<Timestamp>,
    /// The environment whose resources it may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
    /// Whether its authorization requests must be pushed (RFC 9126, section 6).
    pub pushed_only: bool,
    /// Whether it is held to FAPI 2.0's security profile: pushed requests, a key of its own, and tokens bound to one.
    pub fapi: bool,
    /// Its secrets: an exception, which has an end. It may have them beside its keys, while it moves to those.
    pub secrets: Option<ClientSecrets>,
    /// Whether it may be used.
    pub standing: Standing,
    /// When it was registered.
    pub created: Timestamp,
}

impl Client {
    /// Its `client_id` on the wire.
    pub fn client_id(&self) -> &str {
        self.document.as_deref().unwrap_or(self.handle.as_str())
    }

    /// Whether it is registered for this grant type.
    pub fn may_use(&self, grant_type: &GrantType) -> bool {
        self.grant_types.contains(grant_type)
    }

    /// Whether it may ask for this scope. That some resource defines it is another question.
    pub fn may_ask_for(&self, scope: &str) -> bool {
        self.any_scope || self.scopes.has(scope)
    }

    /// Whether an assertion of the form before RFC 10070 is taken from it now.
    pub fn takes_older_assertions(&self, now: Timestamp) -> bool {
        self.older_assertions_until.is_some_and(|until| now < until)
    }

    /// Whether it cannot prove that it is itself.
    pub fn is_public(&self) -> bool {
        matches!(self.authentication, ClientAuthentication::None)
    }
}

/// An API that accepts tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// The tenant whose tokens it accepts.
    pub org: OrgId,
    /// Its identifier: the `aud` of tokens for it (RFC 8707), an absolute URL without a fragment.
    pub url: String,
    /// The name shown to people.
    pub name: String,
    /// Who answers for it.
    pub owner: Owner,
    /// `dev`, `stage`, `prod` or another word of the org's.
    pub environment: Handle,
    /// The scopes it understands. A token for it holds no other.
    pub scopes: Scopes,
    /// The service client that may introspect tokens meant for it.
    pub server: Option<ClientId>,
    /// Whether tokens are issued for it.
    pub standing: Standing,
    /// When it was registered.
    pub created: Timestamp,
}
