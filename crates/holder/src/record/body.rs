//! What a record holds, secrets included. It is serialized here alone, into memory that is wiped, to be encrypted.

use std::fmt;

use hallpass_model::device::DeviceClass;
use hallpass_model::jose::base64url;
use hallpass_model::rung::Rung;
use hallpass_model::secret::{AccessToken, ApiKey, KeyMaterial, RefreshToken, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{Scopes, TokenResponse, TokenType};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::login::Flow;
use crate::pins::Pins;
use crate::sealing;

/// Room for a record with a few large tokens, taken at once: growing would leave copies behind.
const BODY_LEN_USUAL: usize = 64 * 1024;
/// Passes kept for reuse at most: one for each API of a busy day.
const PASSES_MAX: usize = 16;
/// Sessions of roles kept at most: one for each account of a busy day.
const ROLES_MAX: usize = 16;

/// One sign-in.
pub(crate) struct Record {
    /// Where the issuer's endpoints are, as found at login.
    pub(crate) metadata: IssuerMetadata,
    /// Whether it is a Hallpass issuer: bound tokens, exchange, run connections.
    pub(crate) ours: bool,
    /// For providers that give public clients a secret all the same.
    pub(crate) client_secret: Option<Secret<KeyMaterial>>,
    /// What every later answer is compared with.
    pub(crate) pins: Pins,
    /// Who signed in, for people: a name or an address. Claimed by the provider.
    pub(crate) person: Option<String>,
    /// The key the session is bound to (PKCS#8).
    pub(crate) key: Option<Secret<KeyMaterial>>,
    /// The session's own access token.
    pub(crate) access: Option<AccessHeld>,
    /// Trades itself for the next one.
    pub(crate) refresh: Option<Secret<RefreshToken>>,
    /// Buys passes, where nobody signed in and a key is all there is.
    pub(crate) api_key: Option<ApiKeyHeld>,
    /// Passes got by exchange, until they expire.
    pub(crate) passes: Vec<PassHeld>,
    /// Sessions of roles at AWS, the newest last.
    pub(crate) roles: Vec<RoleHeld>,
    /// What was granted.
    pub(crate) scope: Scopes,
    /// For which APIs.
    pub(crate) resources: Vec<String>,
    /// Why, as said at login.
    pub(crate) purpose: Option<String>,
    /// What sort of machine it is, as known at login.
    pub(crate) device_class: DeviceClass,
    /// Where its key was to rest, as the issuer was told: the daemon's own record of it is in memory.
    pub(crate) device_rung: Rung,
    /// How the person was asked.
    pub(crate) flow: Flow,
    /// When.
    pub(crate) signed_in: Timestamp,
    /// When the session was last renewed.
    pub(crate) renewed: Timestamp,
    /// The write-ahead mark: a renewal was sent at this time, and its answer is not saved yet.
    pub(crate) renewing: Option<Timestamp>,
    /// Whether it still stands.
    pub(crate) standing: Standing,
    /// The last DPoP nonce the issuer gave: saves a round trip while it is fresh.
    pub(crate) nonce: Option<String>,
}

/// An API key, and how long it is good as far as its issuer has said.
pub(crate) struct ApiKeyHeld {
    pub(crate) key: Secret<ApiKey>,
    pub(crate) ends: Option<Timestamp>,
}

/// An access token and how long it is good.
pub(crate) struct AccessHeld {
    pub(crate) token: Secret<AccessToken>,
    pub(crate) token_type: TokenType,
    pub(crate) expires: Expiry,
    pub(crate) scope: Option<Scopes>,
}

/// When an access token is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// The provider says so, beside the token or in it.
    Said(Timestamp),
    /// It does not, and the token can be renewed: it is taken to be over then.
    Assumed(Timestamp),
    /// It does not, and there is nothing to renew it with. It is used for as long as it is taken.
    Unknown,
}

/// How long a token that can be renewed is taken to live where nobody says (RFC 6749, section 5.1, leaves it open). Few
/// providers' tokens live shorter, and a renewal too many costs less than a token that is over.
const ASSUMED_LIFE: Lifetime = Lifetime::minutes(10);

impl Expiry {
    /// When it is over, as far as that is known or assumed.
    pub(crate) fn at(self) -> Option<Timestamp> {
        match self {
            Expiry::Said(at) | Expiry::Assumed(at) => Some(at),
            Expiry::Unknown => None,
        }
    }

    /// As it is written down: the time, and whether that is an assumption.
    fn written(self) -> (Option<Timestamp>, bool) {
        (self.at(), matches!(self, Expiry::Assumed(_)))
    }

    fn read(at: Option<Timestamp>, assumed: bool) -> Self {
        match at {
            None => Expiry::Unknown,
            Some(at) if assumed => Expiry::Assumed(at),
            Some(at) => Expiry::Said(at),
        }
    }
}

/// A pass got by exchange, and what it was asked for.
pub(crate) struct PassHeld {
    pub(crate) resource: String,
    pub(crate) asked: Scopes,
    pub(crate) purpose: Option<String>,
    pub(crate) access: AccessHeld,
    /// The last DPoP nonce of the API, for a pass that is bound to a key.
    pub(crate) nonce: Option<String>,
}

/// A session of a role, and what it was asked for.
pub(crate) struct RoleHeld {
    /// All that the request said, but for the token.
    pub(crate) asked: String,
    pub(crate) session: Secret<KeyMaterial>,
}

/// Whether a sign-in still stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// As far as is known here.
    Good,
    /// The issuer said definitely that it is over.
    Ended {
        /// Its words, or ours.
        why: String,
    },
    /// SECURITY: an answer was for somebody else. Nothing is handed out from this record any more.
    Quarantined {
        /// What differed.
        why: String,
    },
}

impl AccessHeld {
    /// As it came. A JWT without an `expires_in` says itself when it is over, by the clock of who issued it; it is read, not
    /// verified (RFC 9068, section 2.2: whoever takes it does that).
    pub(crate) fn of(tokens: &TokenResponse, renewable: bool, now: Timestamp, at_server: Timestamp) -> Self {
        let in_it = || {
            let lasts = crate::pins::expiry(&tokens.access_token)?.since(at_server);
            (lasts.as_millis() > 0).then_some(lasts)
        };
        let expires = match tokens.expires_in.or_else(in_it) {
            Some(lasts) => Expiry::Said(now + lasts),
            None if renewable => Expiry::Assumed(now + ASSUMED_LIFE),
            None => Expiry::Unknown,
        };
        Self {
            token: Secret::new(tokens.access_token.expose().to_vec()),
            token_type: tokens.token_type.clone(),
            expires,
            scope: tokens.scope.clone(),
        }
    }

    /// Whether it is good for `margin` more. Where that is not known, it is taken to be good.
    pub(crate) fn good(&self, now: Timestamp, margin: Lifetime) -> bool {
        self.expires.at().is_none_or(|expires| now + margin < expires)
    }
}

impl Record {
    /// Gives up every secret, and keeps what happened.
    pub(crate) fn give_up(&mut self, standing: Standing) {
        (self.client_secret, self.key, self.access, self.refresh) = (None, None, None, None);
        self.api_key = None;
        (self.passes, self.roles, self.nonce, self.renewing) = (Vec::new(), Vec::new(), None, None);
        self.standing = standing;
    }

    /// Keeps a pass for reuse, and drops those that are over.
    pub(crate) fn keep_pass(&mut self, pass: PassHeld, now: Timestamp) {
        self.passes.retain(|held| {
            let same = held.resource == pass.resource
                && held.access.token_type == pass.access.token_type
                && held.asked == pass.asked
                && held.purpose == pass.purpose;
            !same && held.access.good(now, Lifetime::millis(0))
        });
        if self.passes.len() >= PASSES_MAX {
            self.passes.remove(0);
        }
        self.passes.push(pass);
    }

    /// Keeps a session of a role in the place of the one that was asked for in the same words.
    pub(crate) fn keep_role(&mut self, role: RoleHeld) {
        self.roles.retain(|held| held.asked != role.asked);
        if self.roles.len() >= ROLES_MAX {
            self.roles.remove(0);
        }
        self.roles.push(role);
    }

    /// The record as JSON, secrets shown. SECURITY: to be encrypted in place, or to be given to the daemon.
    pub(crate) fn render(&self) -> Zeroizing<Vec<u8>> {
        let access = |held: &AccessHeld| {
            let (expires, assumed) = held.expires.written();
            ShownAccess {
                token: held.token.expose_text().to_owned().into(),
                token_type: held.token_type.clone(),
                expires,
                assumed,
                scope: held.scope.clone(),
            }
        };
        let shown = Shown {
            metadata: self.metadata.clone(),
            ours: self.ours,
            client_secret: self.client_secret.as_ref().map(|s| s.expose_text().to_owned().into()),
            pins: self.pins.clone(),
            person: self.person.clone(),
            key: self.key.as_ref().map(|key| base64url::render(key.expose()).into()),
            access: self.access.as_ref().map(access),
            refresh: self.refresh.as_ref().map(|token| token.expose_text().to_owned().into()),
            api_key: self
                .api_key
                .as_ref()
                .map(|held| ShownKey { key: held.key.expose_text().to_owned().into(), ends: held.ends }),
            passes: self
                .passes
                .iter()
                .map(|held| ShownPass {
                    resource: held.resource.clone(),
                    asked: held.asked.clone(),
                    purpose: held.purpose.clone(),
                    access: access(&held.access),
                    nonce: held.nonce.clone(),
                })
                .collect(),
            roles: self
                .roles
                .iter()
                .map(|held| ShownRole {
                    asked: held.asked.clone(),
                    session: held.session.expose_text().to_owned().into(),
                })
                .collect(),
            scope: self.scope.clone(),
            resources: self.resources.clone(),
            purpose: self.purpose.clone(),
            device_class: self.device_class,
            device_rung: self.device_rung,
            flow: self.flow,
            signed_in: self.signed_in,
            renewed: self.renewed,
            renewing: self.renewing,
            standing: self.standing.clone(),
            nonce: self.nonce.clone(),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_LEN_USUAL));
        serde_json::to_writer(&mut *bytes, &shown).expect("a record is a struct of JSON values");
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let shown: Shown = serde_json::from_slice(bytes).ok()?;
        let access = |held: ShownAccess| AccessHeld {
            token: sealing::secret(held.token),
            token_type: held.token_type,
            expires: Expiry::read(held.expires, held.assumed),
            scope: held.scope,
        };
        let key = match shown.key {
            Some(text) => Some(Secret::new(base64url::parse(&text)?)),
            None => None,
        };
        Some(Self {
            metadata: shown.metadata,
            ours: shown.ours,
            client_secret: shown.client_secret.map(sealing::secret),
            pins: shown.pins,
            person: shown.person,
            key,
            access: shown.access.map(access),
            refresh: shown.refresh.map(sealing::secret),
            api_key: shown.api_key.map(|held| ApiKeyHeld { key: sealing::secret(held.key), ends: held.ends }),
            passes: shown
                .passes
                .into_iter()
                .map(|held| PassHeld {
                    resource: held.resource,
                    asked: held.asked,
                    purpose: held.purpose,
                    access: access(held.access),
                    nonce: held.nonce,
                })
                .collect(),
            roles: shown
                .roles
                .into_iter()
                .map(|held| RoleHeld { asked: held.asked, session: sealing::secret(held.session) })
                .collect(),
            scope: shown.scope,
            resources: shown.resources,
            purpose: shown.purpose,
            device_class: shown.device_class,
            device_rung: shown.device_rung,
            flow: shown.flow,
            signed_in: shown.signed_in,
            renewed: shown.renewed,
            renewing: shown.renewing,
            standing: shown.standing,
            nonce: shown.nonce,
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<record of {}>", self.metadata.issuer)
    }
}

/// The body with its secrets shown. Private to this file; wiped when dropped.
#[derive(Serialize, Deserialize)]
struct Shown {
    metadata: IssuerMetadata,
    ours: bool,
    client_secret: Option<Zeroizing<String>>,
    pins: Pins,
    person: Option<String>,
    key: Option<Zeroizing<String>>,
    access: Option<ShownAccess>,
    refresh: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api_key: Option<ShownKey>,
    passes: Vec<ShownPass>,
    #[serde(default)]
    roles: Vec<ShownRole>,
    scope: Scopes,
    resources: Vec<String>,
    purpose: Option<String>,
    device_class: DeviceClass,
    device_rung: Rung,
    flow: Flow,
    signed_in: Timestamp,
    renewed: Timestamp,
    renewing: Option<Timestamp>,
    standing: Standing,
    nonce: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ShownKey {
    key: Zeroizing<String>,
    ends: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct ShownAccess {
    token: Zeroizing<String>,
    token_type: TokenType,
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    assumed: bool,
    scope: Option<Scopes>,
}

#[derive(Serialize, Deserialize)]
struct ShownPass {
    resource: String,
    asked: Scopes,
    purpose: Option<String>,
    access: ShownAccess,
    #[serde(default)]
    nonce: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ShownRole {
    asked: String,
    session: Zeroizing<String>,
}

#[cfg(test)]
impl Record {
    pub(crate) fn for_tests(refresh: &str) -> Self {
        let start = Timestamp::from_seconds(1_700_000_000);
        Self {
            metadata: IssuerMetadata::new("https://id.example/acme"),
            ours: false,
            client_secret: None,
            pins: Pins::default(),
            person: None,
            key: None,
            access: Some(AccessHeld {
                token: Secret::from_text("access-1".into()),
                token_type: TokenType::Bearer,
                expires: Expiry::Said(start + Lifetime::minutes(5)),
                scope: None,
            }),
            refresh: Some(Secret::from_text(refresh.into())),
            api_key: None,
            passes: Vec::new(),
            roles: Vec::new(),
            scope: Scopes::none(),
            resources: Vec::new(),
            purpose: None,
            device_class: DeviceClass::Unknown,
            device_rung: Rung::Memory,
            flow: Flow::Device,
            signed_in: start,
            renewed: start,
            renewing: None,
            standing: Standing::Good,
            nonce: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_token_lives_is_said_beside_it_in_it_or_assumed_where_it_can_be_renewed() {
        let (now, start) = (Timestamp::from_seconds(1_700_000_000), 1_700_000_000);
        let answer =
            |members: serde_json::Value| TokenResponse::parse(members.to_string().as_bytes()).unwrap();
        let jwt = |exp: i64| {
            let claims = base64url::render(serde_json::json!({ "exp": exp }).to_string());
            format!("e30.{claims}.c2ln")
        };
        let held = |members, renewable, ahead: u32| {
            AccessHeld::of(&answer(members), renewable, now, now + Lifetime::seconds(ahead)).expires
        };
        let opaque = || serde_json::json!({ "access_token": "a" });
        assert_eq!(held(opaque(), true, 0), Expiry::Assumed(now + ASSUMED_LIFE));
        assert_eq!(held(opaque(), false, 0), Expiry::Unknown);
        let text = serde_json::json!({ "access_token": jwt(start + 600), "expires_in": "60" });
        assert_eq!(held(text, true, 0), Expiry::Said(now + Lifetime::minutes(1)));
        // By the issuer's clock, which is five minutes ahead.
        let own = || serde_json::json!({ "access_token": jwt(start + 600) });
        assert_eq!(held(own(), false, 300), Expiry::Said(now + Lifetime::minutes(5)));
        assert_eq!(held(own(), false, 900), Expiry::Unknown, "nobody issues a token that is over");
        let read = AccessHeld::of(&answer(opaque()), true, now, now);
        assert!(!read.good(now + ASSUMED_LIFE, Lifetime::millis(0)));
    }

    #[test]
    fn a_record_reads_back_whole() {
        let mut record = Record::for_tests("refresh-1");
        record.key = Some(Secret::new(vec![1, 2, 3]));
        record.renewing = Some(Timestamp::from_seconds(9));
        record.standing = Standing::Ended { why: "cut".into() };
        let now = Timestamp::from_seconds(1_700_000_000);
        let later = now + Lifetime::minutes(5);
        let pass = |n: i64| PassHeld {
            resource: format!("https://api{n}.example"),
            asked: Scopes::none(),
            purpose: None,
            access: AccessHeld {
                token: Secret::from_text(format!("pass-{n}")),
                token_type: TokenType::Bearer,
                expires: if n % 2 == 0 { Expiry::Said(later) } else { Expiry::Assumed(later) },
                scope: None,
            },
            nonce: None,
        };
        for n in 0..20 {
            record.keep_pass(pass(n), now);
        }
        record.keep_pass(pass(19), now);
        assert_eq!(record.passes.len(), PASSES_MAX);
        for n in 0..20 {
            let session = || Secret::from_text(format!("session-{n}"));
            record.keep_role(RoleHeld { asked: format!("role-{n}"), session: session() });
            record.keep_role(RoleHeld { asked: format!("role-{n}"), session: session() });
        }
        assert_eq!(record.roles.len(), ROLES_MAX);
        let back = Record::parse(&record.render()).unwrap();
        assert_eq!(back.render(), record.render());
        assert!(back.key.unwrap().matches(&[1, 2, 3]));
        assert_eq!(back.standing, Standing::Ended { why: "cut".into() });
    }
}
