//! What is asked and answered on the socket: `docs/reference/daemon.md` documents it for everybody. SECURITY: the answers
//! here are all there are, and none has room for a refresh token or a key.

use std::path::PathBuf;

use hallpass_model::id::{CredentialId, LeaseId};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::metadata::IssuerMetadata;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::identity::{Identity, ProfileName};
use crate::logout::Credential;
use crate::pins::Pins;
use crate::present::Binding;
use crate::status::Opened;

pub(crate) const STATUS: &str = "/v1/status";
pub(crate) const TOKEN: &str = "/v1/token";
pub(super) const RECORDS: &str = "/v1/records";
pub(super) const LOGOUT: &str = "/v1/logout";
pub(super) const FORGET: &str = "/v1/forget";
pub(super) const NOT_TAKEN: &str = "/v1/not-taken";
pub(super) const LOCK: &str = "/v1/lock";
pub(super) const UNLOCK: &str = "/v1/unlock";
pub(super) const STOP: &str = "/v1/stop";
pub(super) const HAND_OVER: &str = "/v1/hand-over";
pub(super) const HEADERS: &str = "/v1/headers";
pub(super) const RENAME: &str = "/v1/rename";

/// Every path there is, for tests that walk them.
pub(super) const ALL: [(&str, &str); 13] = [
    ("GET", STATUS),
    ("POST", TOKEN),
    ("GET", RECORDS),
    ("POST", RECORDS),
    ("POST", LOGOUT),
    ("POST", FORGET),
    ("POST", LOCK),
    ("POST", UNLOCK),
    ("POST", NOT_TAKEN),
    ("POST", STOP),
    ("POST", HAND_OVER),
    ("POST", HEADERS),
    ("POST", RENAME),
];

/// `POST /v1/token`: an access token for an API. Every member may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenAsked {
    /// The issuer of the sign-in that is meant; needed where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The client of the sign-in that is meant; needed where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The profile of the sign-in that is meant; empty for the one without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The organisation that the sign-in must be of, or nothing is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The API; needed where the sign-in has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Scopes, with spaces between them; all that was granted for the API otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// How many seconds it is to live; the issuer may cut it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u32>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The person's agent that it is for: a run of it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The run of an agent that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<CredentialId>,
    /// For one run, under a lease.
    #[serde(skip_serializing_if = "is_false")]
    pub lease: bool,
    /// From nothing that is kept: the sign-in is renewed first.
    #[serde(skip_serializing_if = "is_false")]
    pub fresh: bool,
    /// How it is to be presented; as bearer, unless it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
    /// The folder of records that the asker has in mind: a daemon of another one refuses, instead of answering for
    /// somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
}

impl TokenAsked {
    /// Whether the answer is for this one who asks, and is neither kept nor given again.
    pub(super) fn is_of_a_run(&self) -> bool {
        self.lease || self.agent.is_some() || self.run.is_some()
    }
}

/// Its answer.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TokenGiven {
    /// The token. SECURITY: the one secret there is in any answer.
    pub(crate) access_token: String,
    /// `Bearer`, or `DPoP` where it is bound to the sign-in's key.
    pub(crate) token_type: String,
    /// When it is over, if the provider says.
    pub(crate) expires: Option<Timestamp>,
    /// How far it reaches, if the provider says.
    pub(crate) scope: Option<String>,
    /// The API it is for, if that is known.
    pub(crate) resource: Option<String>,
    /// The sign-in it comes from.
    #[serde(flatten)]
    pub(crate) identity: Identity,
    /// Whether it is a token of its own, which can be revoked alone.
    pub(crate) own: bool,
    /// The last nonce of its API, where a proof goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    /// For a run: the lease, and how its pass is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Box<Run>>,
}

/// The same for whoever wants nothing but the token: what is not looked at is not taken apart.
#[derive(Deserialize)]
pub(super) struct TokenAlone {
    pub(super) access_token: String,
}

impl std::fmt::Debug for TokenGiven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenGiven").field("issuer", &self.identity.issuer).finish_non_exhaustive()
    }
}

/// `POST /v1/headers`: what goes with one request to an API. `method` and `url` are needed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadersAsked {
    /// The request's.
    pub(super) method: String,
    /// Likewise.
    pub(super) url: Url,
    /// Which token; without `resource`, for the API that the address belongs to, and without `binding`, as the sign-in is.
    #[serde(default)]
    pub(super) token: TokenAsked,
    /// The nonce that the API asked for (RFC 9449, section 9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nonce: Option<String>,
    /// How far the API's clock is ahead of ours, in milliseconds.
    #[serde(default)]
    pub(super) ahead: i64,
}

/// Its answer.
#[derive(Serialize, Deserialize)]
pub(super) struct HeadersGiven {
    /// `Authorization`. SECURITY: the token is in it.
    pub(super) authorization: String,
    /// `DPoP`: good for this one request.
    pub(super) dpop: Option<String>,
    /// When the token is over, if the provider says.
    pub(super) expires: Option<Timestamp>,
    /// The API it is for, if that is known.
    pub(super) resource: Option<String>,
}

impl Drop for HeadersGiven {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.authorization);
    }
}

/// `POST /v1/rename`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameAsked {
    pub(super) identity: Identity,
    pub(super) to: ProfileName,
}

/// What a run needs to give its pass back, whoever holds the sign-in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) lease: Option<LeaseId>,
    pub(crate) metadata: IssuerMetadata,
    /// The agent's, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agents: Option<CredentialId>,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DaemonStatus {
    /// The version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub started: Timestamp,
    /// The folder whose records it reads, if there is one.
    pub state: Option<PathBuf>,
    /// Whether it is locked.
    pub locked: bool,
    /// Whether a passphrase unlocks it.
    pub sealed: bool,
    /// What of its memory is never written to disk: `locked` (all of it), `keys-locked` (the keys that the rest is sealed
    /// under) or `not-locked`.
    pub memory: String,
    /// How many sign-ins it alone holds.
    pub held: usize,
    /// How many tokens it keeps ready.
    pub ready: usize,
    /// The file of its program: where another is put there, that takes over.
    #[serde(default)]
    pub program: Option<PathBuf>,
    /// Why the program that is there now has not taken over, if it was tried.
    #[serde(default)]
    pub not_handed_over: Option<String>,
}

/// `POST /v1/lock` and `POST /v1/unlock`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Locking {
    /// SECURITY: goes in, and never comes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<String>,
}

/// Which sign-in: `POST /v1/logout` and `POST /v1/forget`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Which {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Whether an API key is to be revoked, too, for everybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) revoke_key: bool,
}

/// `POST /v1/not-taken`: a token that a server did not take, or whichever is kept for an API and scopes.
#[derive(Serialize, Deserialize)]
pub(super) struct NotTakenAsked {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// The token. SECURITY: a secret, though one that is of little use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
}

impl Drop for NotTakenAsked {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

/// `GET /v1/records`: what the daemon alone holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Records {
    pub(super) records: Vec<Held>,
}

/// A sign-in that the daemon alone holds. No secret.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// What is known about it; not while the daemon is locked.
    pub(super) opened: Option<Opened>,
    /// Why it cannot be opened, then.
    pub(super) problem: Option<String>,
    /// Whom and what it was pinned to at login: a new login is compared with that.
    #[serde(default)]
    pub(super) pins: Option<Pins>,
}

/// `POST /v1/records`: a sign-in to hold. It goes in, and never comes out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deposit {
    pub(super) identity: Identity,
    /// The record's own JSON in base64url. SECURITY: all its secrets.
    pub(super) record: String,
}

/// The receipt of `POST /v1/logout`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignedOut {
    pub(super) credentials: Vec<Credential>,
    pub(super) wiped: bool,
    pub(super) not_owed: Option<String>,
}

/// `POST /v1/stop`, and what it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stopped {
    pub(super) ended: Vec<Ended>,
}

/// A sign-in that ended with the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ended {
    /// Its issuer.
    pub issuer: String,
    /// Whether it was revoked there.
    pub revoked: bool,
}

/// `POST /v1/hand-over`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandedOver {
    /// Whether another program answers from now on.
    pub handed_over: bool,
    /// The process that does.
    pub pid: u32,
    /// Where its program is, if it knows.
    pub program: Option<PathBuf>,
    /// Why not, where there is another program.
    pub why: Option<String>,
}

/// Nothing more to say.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {}

fn is_false(flag: &bool) -> bool {
    !flag
}
