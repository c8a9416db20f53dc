//! One login on one device, and the rotation of its refresh tokens that cannot lose it.
//!
//! 1. Each session has a random key and counts generations. The refresh token of generation *g* is
//!    session id ‖ *g* ‖ HMAC-SHA-256(session key, kind ‖ session id ‖ *g*), so the same successor can be
//!    handed out twice without being stored.
//! 2. [`RefreshToken::authenticate`] checks the MAC first, in constant time. Nothing that fails it, and no
//!    missing or malformed proof, wrong client or wrong org, ever cuts anything: session ids are public.
//! 3. [`Session::redeem`] then decides, from the row as it stands inside one transaction.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cut::{Stamp, Why};
use crate::grant::Grant;
use crate::id::{ClientId, CredentialId, DeviceId, OrgId, PrincipalId, SessionId};
use crate::jose::Thumbprint;
use crate::lifetimes;
use crate::random::Entropy;
use crate::secret::{RefreshToken as RefreshTokenKind, Secret};
use crate::spelling::{self, BadSpelling, Prefix};
use crate::time::{Lifetime, Timestamp};

/// What a session's refresh tokens are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// A key: each refresh needs a DPoP proof by it (RFC 9449, section 5).
    Key(Thumbprint),
    /// Nothing but possession.
    Bearer,
}

/// One login on one device: a family of refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id; public.
    pub id: SessionId,
    /// The tenant.
    pub org: OrgId,
    /// Who logged in.
    pub principal: PrincipalId,
    /// With which software.
    pub client: ClientId,
    /// On which machine, where the holder said so.
    pub device: Option<DeviceId>,
    /// What was agreed to.
    pub grant: Grant,
    /// What its refresh tokens are bound to.
    pub binding: Binding,
    /// The authorization code or device code it came of: cut that and it is dead.
    pub origin: CredentialId,
    /// Where its rotation stands.
    pub rotation: Rotation,
    /// When it was opened, on the store's clock of stamps.
    pub stamp: Stamp,
    /// When it was opened.
    pub created: Timestamp,
    /// When it ends if nobody refreshes it.
    pub idle_until: Timestamp,
    /// When it ends in any case.
    pub expires: Timestamp,
}

/// Where a session's rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rotation {
    /// The newest generation handed out. It is unconfirmed: nobody has presented it yet.
    pub newest: u64,
    /// When the newest was first handed out, which is when the one before it was first presented.
    pub since: Timestamp,
    /// How often the one before it was presented again.
    pub retries: u32,
    /// A short hash of the network the last refresh came from.
    pub from: Option<u32>,
    /// How often two refreshes of one generation came from different networks.
    pub alternations: u32,
}

/// More retries of one generation than this are a signal: two machines may share a cloned key.
pub const RETRIES_BEFORE_SIGNAL: u32 = 3;

/// Everything about a refresh that the rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Redemption {
    /// The token's generation, its MAC already checked.
    pub token: Authentic,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
    /// The DPoP proof that came with it, if one did and it was valid.
    pub proof: Option<ProofOfKey>,
    /// A short hash of the network it came from.
    pub from: Option<u32>,
    /// Whether a token ahead of the row is believed: only after a restore that was told to keep sessions.
    pub after_restore: bool,
}

/// A valid DPoP proof: by which key, and when it says it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProofOfKey {
    /// The key's RFC 7638 thumbprint.
    pub key: Thumbprint,
    /// Its `iat`, in whole seconds.
    pub made: Timestamp,
}

impl ProofOfKey {
    /// A proof by `key` that says it was made at `issued`. Where our nonce vouches for its freshness its own time was
    /// not checked: outside `DPOP_WINDOW` it is not believed, and the proof counts as made now.
    pub fn new(key: Thumbprint, issued: Timestamp, now: Timestamp) -> Self {
        let near = issued + lifetimes::DPOP_WINDOW >= now && issued <= now;
        Self { key, made: if near { issued } else { now } }
    }
}

/// What a refresh comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The presented generation is confirmed; the row advances and its newest generation is handed out.
    Next(Rotation),
    /// An answer was lost, or two asked at once: the same successor again.
    Again(Rotation, Option<Signal>),
    /// The row was behind, as it was restored from a backup: it is brought level, then as `Next`.
    Adopted(Rotation),
    /// Somebody who is not whom we gave it to: the session is cut, as reuse.
    Replay(Replay),
    /// A bearer-only session's retry that came too late to be told from theft: the session ends, and says why.
    RetryTooLate,
    /// Nothing happens to the session.
    Refused(Refusal),
}

/// How a replay was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// A generation whose successor was already used.
    OldGeneration,
    /// A valid proof, by another key.
    OtherKey,
}

/// Something odd that does not prove theft by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// One generation was asked for more than [`RETRIES_BEFORE_SIGNAL`] times.
    ManyRetries,
    /// Retries of one generation come from alternating networks.
    AlternatingNetworks,
}

/// Why a refresh, an exchange or another use of a session was refused, with nothing else changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such session, or the MAC does not fit.
    #[error("it is not a token of ours")]
    Unknown,
    /// Presented at another tenant's endpoint.
    #[error("it belongs to another org")]
    OtherOrg,
    /// Presented by another client.
    #[error("it was issued to another client")]
    OtherClient,
    /// The session is bound to a key and no valid proof came.
    #[error("the session is bound to a key, and no proof of it came")]
    ProofMissing,
    /// A message by the right key that was overtaken on its way: a newer one of its own was answered first.
    #[error("a newer refresh by the same key was answered first")]
    Overtaken,
    /// A generation we never handed out.
    #[error("the token is ahead of the store: the store was restored from a backup")]
    Ahead,
    /// Nobody refreshed it in time.
    #[error("the session was idle for too long")]
    Idle,
    /// Its absolute life is over.
    #[error("the session has reached its end")]
    Expired,
    /// It, or something above it, was cut.
    #[error("the session was revoked: {}", .0.text())]
    Cut(Why),
    /// Its org, principal or client is disabled.
    #[error("its org, person or client is disabled")]
    Disabled,
}

impl Session {
    /// Decides what a refresh comes to. Pure: the store carries the verdict out in the transaction it read the row in.
    ///
    /// It does not know of cuts and disabled states: the store asks those first.
    pub fn redeem(&self, asked: &Redemption, now: Timestamp) -> Verdict {
        if asked.org != self.org {
            return Verdict::Refused(Refusal::OtherOrg);
        }
        if asked.client != self.client {
            return Verdict::Refused(Refusal::OtherClient);
        }
        if let Err(refusal) = self.alive(now) {
            return Verdict::Refused(refusal);
        }
        // SECURITY: a proof that is missing proves nothing against the holder; a valid one by another key does.
        if let Binding::Key(key) = self.binding {
            match asked.proof {
                None => return Verdict::Refused(Refusal::ProofMissing),
                Some(proof) if proof.key != key => return Verdict::Replay(Replay::OtherKey),
                Some(_) => {}
            }
        }

        let (presented, newest) = (asked.token.generation, self.rotation.newest);
        if presented == newest {
            Verdict::Next(self.rotation.advance(newest, asked.from, now))
        } else if presented > newest {
            match asked.after_restore {
                true => Verdict::Adopted(self.rotation.advance(presented, asked.from, now)),
                false => Verdict::Refused(Refusal::Ahead),
            }
        } else if presented + 1 == newest {
            self.retry(asked, now)
        } else if self.was_overtaken(asked) {
            Verdict::Refused(Refusal::Overtaken)
        } else {
            Verdict::Replay(Replay::OldGeneration)
        }
    }

    /// Whether it may be used at `now`: until, and not at, its ends.
    pub fn alive(&self, now: Timestamp) -> Result<(), Refusal> {
        if now >= self.expires {
            Err(Refusal::Expired)
        } else if now >= self.idle_until {
            Err(Refusal::Idle)
        } else {
            Ok(())
        }
    }

    /// When it ends if it is refreshed at `now`.
    pub fn idle_until_after(&self, now: Timestamp, idle: Lifetime) -> Timestamp {
        (now + idle).min(self.expires)
    }

    fn retry(&self, asked: &Redemption, now: Timestamp) -> Verdict {
        // SECURITY: a clock that was set back must not hold the window open until it has caught up. How late the retry
        // is cannot be known then, so it counts as too late, as it does from as far ahead.
        let apart = now.since(self.rotation.since).max(self.rotation.since.since(now));
        if self.binding == Binding::Bearer && apart > lifetimes::BEARER_RETRY {
            return Verdict::RetryTooLate;
        }
        let mut rotation = self.rotation;
        rotation.retries = rotation.retries.saturating_add(1);
        if rotation.from.is_some() && asked.from.is_some() && rotation.from != asked.from {
            rotation.alternations = rotation.alternations.saturating_add(1);
        }
        rotation.from = asked.from;
        let signal = if rotation.alternations > 1 {
            Some(Signal::AlternatingNetworks)
        } else {
            (rotation.retries > RETRIES_BEFORE_SIGNAL).then_some(Signal::ManyRetries)
        };
        Verdict::Again(rotation, signal)
    }

    /// Whether an old generation by the right key is only late: its proof was made before the newest rotation, so
    /// the holder sent it first and another message of theirs (from a process that has since died, say) won.
    ///
    /// It gets nothing. But it is no evidence of theft either, and a legitimate session does not die of bad luck.
    /// A bearer token proves nothing about when it was sent, so there an old generation is always a replay.
    fn was_overtaken(&self, asked: &Redemption) -> bool {
        matches!(self.binding, Binding::Key(_))
            && asked.proof.is_some_and(|proof| proof.made < self.rotation.since)
    }
}

impl Rotation {
    /// As a session begins: generation 0 handed out, never presented.
    pub fn first(now: Timestamp) -> Self {
        Self { newest: 0, since: now, retries: 0, from: None, alternations: 0 }
    }

    fn advance(self, presented: u64, from: Option<u32>, now: Timestamp) -> Self {
        Self { newest: presented + 1, since: now, retries: 0, from, alternations: 0 }
    }
}

/// A session's random key. Encrypted at rest; never leaves the issuer.
pub struct SessionKey(Zeroizing<[u8; 32]>);

impl SessionKey {
    /// A new one.
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut key[..]);
        Self(key)
    }

    /// From its bytes, as decrypted.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Its bytes, to encrypt.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn mac(&self, session: SessionId, generation: u64) -> hmac::Context {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0[..]));
        context.update(b"hallpass refresh token v1\0");
        context.update(session.bytes());
        context.update(&generation.to_be_bytes());
        context
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<session key>")
    }
}

/// A refresh token as presented: whose it claims to be, and its MAC, not yet checked.
pub struct RefreshToken {
    session: SessionId,
    generation: u64,
    mac: Zeroizing<[u8; 32]>,
}

/// Session id, generation, MAC.
const REFRESH_TOKEN_BYTES: usize = 16 + 8 + 32;

impl RefreshToken {
    /// Reads one. Nothing is believed yet but its checksum.
    pub fn parse(text: &str) -> Result<Self, BadSpelling> {
        let bytes = spelling::parse::<REFRESH_TOKEN_BYTES>(Prefix::Refresh, text)?;
        let mut mac = Zeroizing::new([0u8; 32]);
        mac.copy_from_slice(&bytes[24..]);
        Ok(Self {
            session: SessionId::from_bytes(bytes[..16].try_into().expect("16 bytes of 56")),
            generation: u64::from_be_bytes(bytes[16..24].try_into().expect("8 bytes of 56")),
            mac,
        })
    }

    /// Writes down the token of one generation.
    pub fn render(key: &SessionKey, session: SessionId, generation: u64) -> Secret<RefreshTokenKind> {
        let mut bytes = Zeroizing::new([0u8; REFRESH_TOKEN_BYTES]);
        bytes[..16].copy_from_slice(session.bytes());
        bytes[16..24].copy_from_slice(&generation.to_be_bytes());
        bytes[24..].copy_from_slice(key.mac(session, generation).sign().as_ref());
        Secret::new(spelling::render(Prefix::Refresh, &bytes[..]).as_bytes().to_vec())
    }

    /// The session it claims to be of. Public, and not yet believed.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Checks the MAC, in constant time. Only then may anything be decided from the token.
    pub fn authenticate(&self, key: &SessionKey) -> Result<Authentic, Refusal> {
        let tag = key.mac(self.session, self.generation).sign();
        let same: bool = subtle::ConstantTimeEq::ct_eq(tag.as_ref(), &self.mac[..]).into();
        if same { Ok(Authentic { generation: self.generation }) } else { Err(Refusal::Unknown) }
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<refresh token of {}>", self.session)
    }
}

/// A refresh token whose MAC was checked: the only thing [`Session::redeem`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authentic {
    generation: u64,
}

impl Authentic {
    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;

    fn token(generation: u64) -> (SessionKey, SessionId, Secret<RefreshTokenKind>) {
        let entropy = Seeded::new(3);
        let key = SessionKey::new(&entropy);
        let id = SessionId::new(Timestamp::from_millis(0), &entropy);
        let token = RefreshToken::render(&key, id, generation);
        (key, id, token)
    }

    #[test]
    fn the_same_generation_is_the_same_token_and_another_is_not() {
        let (key, id, token) = token(4);
        assert!(RefreshToken::render(&key, id, 4).matches(token.expose()));
        assert!(!RefreshToken::render(&key, id, 5).matches(token.expose()));
        let parsed = RefreshToken::parse(token.expose_text()).unwrap();
        assert_eq!(parsed.session(), id);
        assert_eq!(parsed.authenticate(&key).unwrap().generation(), 4);
    }

    /// Holds T-08: nobody may kill a session by naming it.
    #[test]
    fn a_token_made_up_for_a_known_session_is_not_authentic() {
        let (key, id, _) = token(4);
        let forged = RefreshToken::render(&SessionKey::new(&Seeded::new(99)), id, 0);
        let parsed = RefreshToken::parse(forged.expose_text()).unwrap();
        assert_eq!(parsed.session(), id);
        assert_eq!(parsed.authenticate(&key), Err(Refusal::Unknown));
    }

    #[test]
    fn a_proof_s_own_time_counts_only_near_the_present() {
        let (key, now) = (Thumbprint::from_bytes([1; 32]), Timestamp::from_seconds(1_000));
        let made = |issued| ProofOfKey::new(key, Timestamp::from_seconds(issued), now).made.seconds();
        assert_eq!((made(990), made(940), made(939), made(1_001)), (990, 940, 1_000, 1_000));
    }

    #[test]
    fn nothing_of_a_token_or_key_is_in_debug_text() {
        let (key, _, token) = token(1);
        let parsed = RefreshToken::parse(token.expose_text()).unwrap();
        let text = format!("{key:?} {token:?} {parsed:?}");
        assert!(!text.contains("hpr_") && text.len() < 120, "{text}");
    }
}
