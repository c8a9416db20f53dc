//! Renewing a sign-in so that nothing is ever lost: not by two processes at once, not by a crash, not by a lost answer.
//!
//! 1. One process at a time: a lock of its own (`lock`), waited for a minute at most, never held while a person is
//!    asked.
//! 2. With the lock held, and while it is waited for, the record is read again: if somebody else has renewed, theirs is
//!    used.
//! 3. A mark is saved before the request; the answer is saved durably before anybody sees the token. What cannot be
//!    saved is an error. Nobody who stops waiting stops this half way: it has a task of its own.
//! 4. A write names the version it read (`shelf`): a late renewal neither overwrites a newer record nor brings back one
//!    that was logged out. Tokens that no record will hold are given back to the issuer.
//! 5. Only `invalid_grant` means "sign in again", and only if the record, read once more, still holds the token that
//!    was refused. The network, a 5xx, a time-out keep everything. No record is removed here.
//! 6. What comes back is compared with what was pinned at login; another tenant's token is refused, revoked and
//!    quarantined.

use hallpass_model::secret::{AccessToken, Kind, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::errors::{ErrorCode, OAuthErrorBody};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{GrantType, TokenResponse, TokenType};

use crate::Holder;
use crate::client::OurClient;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::lock;
use crate::pins::Differs;
use crate::provider::{Fields, NoAnswer, With, fits};
use crate::record::{AccessHeld, Record, Standing, Version};
use crate::shelf::{Identity, Loaded, Saved};

/// A token is renewed when it is good for less than this: a request with it, over a slow line, must still be in time.
const RENEW_EARLY: Lifetime = Lifetime::seconds(30);
/// Where it cannot be renewed just now, it is handed out if it is good for this much more.
const STILL_OF_USE: Lifetime = Lifetime::seconds(5);
/// How often to start over when others write in between. Each time somebody else has made progress.
const TRIES: usize = 5;

/// What became of a renewal.
enum Renewed {
    /// The record holds a new token, durably.
    Done,
    /// Somebody else wrote: read again.
    ReadAgain,
}

impl Holder {
    /// The sign-in with an access token that is good for a while. `refused` is one that an endpoint did not take, so
    /// that it is not handed out again however long it says it lives.
    pub(crate) async fn fresh(
        &self,
        identity: &Identity,
        refused: Option<&Secret<AccessToken>>,
    ) -> Result<Loaded, HolderError> {
        let loaded = self.standing(identity)?;
        if usable(&loaded.record, (self.clock)(), RENEW_EARLY, refused) {
            return Ok(loaded);
        }
        match self.beside_owed(self.renewed(identity, &loaded.header.version, refused)).await {
            // Rule 5: what is here is kept, and used while it can be.
            Err(HolderError::Unreachable { .. } | HolderError::Locked { .. })
                if usable(&loaded.record, (self.clock)(), STILL_OF_USE, refused) =>
            {
                Ok(loaded)
            }
            outcome => outcome,
        }
    }

    /// Renews a sign-in now, however long its token is still good. A renewal by somebody else that ends after this was
    /// called will do: what it brought is as new.
    ///
    /// # Errors
    /// `Unsupported` where the provider gave nothing to renew with; otherwise as [`token`](Self::token), but that a token
    /// from before is never made do with.
    pub async fn renew(&self, identity: &Identity) -> Result<(), HolderError> {
        let loaded = self.standing(identity)?;
        if loaded.record.api_key.is_some() {
            return Ok(()); // there is no session, and so nothing that grows old: each pass is bought with the key
        }
        if loaded.record.refresh.is_none() {
            let what = format!("`{}` gave nothing to renew with: sign in again instead", identity.issuer);
            return Err(HolderError::Unsupported { what });
        }
        let held = loaded.record.access.as_ref().map(|access| copy(&access.token));
        self.renewed(identity, &loaded.header.version, held.as_ref()).await.map(|_| ())
    }

    /// Waits until no renewal is under way here. A renewal goes on when nobody waits for its token any more; a program
    /// that leaves before it is over throws away what may be the only token its provider takes from then on.
    pub async fn settled(&self) {
        let _ = self.renewals.write().await;
    }

    /// `read` is the version in which it needed renewing.
    async fn renewed(
        &self,
        identity: &Identity,
        read: &Version,
        refused: Option<&Secret<AccessToken>>,
    ) -> Result<Loaded, HolderError> {
        let mut brought = None;
        let mut known = read.clone();
        // Rule 2, already while it waits: a header is cheap to read, and says whether there is anything new.
        let by_another = || {
            let Ok(Some(header)) = self.shelf.header(identity) else { return false };
            if std::mem::replace(&mut known, header.version.clone()) == header.version {
                return false;
            }
            let now = (self.clock)();
            brought = self.standing(identity).ok().filter(|it| usable(&it.record, now, RENEW_EARLY, refused));
            brought.is_some()
        };
        let renewing = lock::renewing_unless(identity, &self.locks, by_another).await?;
        if let Some(brought) = brought {
            return Ok(brought);
        }
        let under_way = self.renewals.clone().read_owned().await;
        let (holder, identity, refused) = (self.clone(), identity.clone(), refused.map(copy));
        let renewal = tokio::spawn(async move {
            let outcome = holder.renewed_alone(&identity, refused.as_ref()).await;
            drop((renewing, under_way));
            outcome
        });
        match renewal.await {
            Ok(outcome) => outcome,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(HolderError::Cancelled), // the whole runtime is going
            },
        }
    }

    /// The lock is held.
    async fn renewed_alone(
        &self,
        identity: &Identity,
        refused: Option<&Secret<AccessToken>>,
    ) -> Result<Loaded, HolderError> {
        for _ in 0..TRIES {
            let mut loaded = self.standing(identity)?;
            if usable(&loaded.record, (self.clock)(), RENEW_EARLY, refused) {
                return Ok(loaded);
            }
            if let Renewed::Done = self.renew_once(&mut loaded).await? {
                self.report_copies(identity, &loaded.record).await;
                return Ok(loaded);
            }
        }
        Err(HolderError::Locked { waited_seconds: 0 })
    }

    /// One renewal, rules 3 to 6. The lock is held.
    async fn renew_once(&self, loaded: &mut Loaded) -> Result<Renewed, HolderError> {
        let identity = loaded.header.identity();
        let Some(presented) = loaded.record.refresh.as_ref().map(copy) else {
            let why = "the access token is over, and the provider gave no refresh token".to_owned();
            return Err(ended(&identity, why));
        };
        let unanswered = loaded.record.renewing.replace((self.clock)());
        match self.shelf.save(loaded, (self.clock)())? {
            Saved::Yes => {}
            Saved::Overtaken => return Ok(Renewed::ReadAgain),
            Saved::Gone => return Err(gone(&identity)),
        }

        let client = OurClient::of(loaded);
        let key = session_key(loaded)?;
        let metadata = &loaded.record.metadata;
        let form = Fields::new()
            .with("grant_type", GrantType::RefreshToken.text())
            .with_secret("refresh_token", &presented);
        // The same audience as at login (RFC 8707, section 2.2): left out, some providers take it for another.
        let form = match loaded.record.ours {
            true => form
                .with("resource", metadata.issuer.as_str())
                .with("device_class", loaded.record.device_class.to_string())
                .with("device_rung", loaded.record.device_rung.text()),
            false => form.with_each("resource", &loaded.record.resources),
        };
        let form = client.proven_in(form, metadata);
        self.recall_nonce(&loaded.record);
        let with = With { key: key.as_ref(), ..client.with(metadata) };
        match self.provider.token(metadata, &form, with).await {
            Ok(tokens) => self.take(loaded, &presented, tokens, &client).await,
            Err(NoAnswer::Refused { body, .. }) if body.error == ErrorCode::InvalidGrant => {
                self.rejected(&identity, &presented, &body, unanswered)
            }
            Err(none) => {
                let place = metadata.token_endpoint.clone().expect("a request was sent there");
                Err(none.into_error(&place, &identity.issuer))
            }
        }
    }

    /// Rules 3, 4 and 6: takes an answer over into the record.
    async fn take<K: Kind>(
        &self,
        loaded: &mut Loaded,
        presented: &Secret<K>,
        tokens: TokenResponse,
        client: &OurClient,
    ) -> Result<Renewed, HolderError> {
        let identity = loaded.header.identity();
        if let Err(error) = self.believed(loaded, &tokens) {
            let mut given_back = self.give_back(&loaded.record.metadata, client, &tokens).await;
            if tokens.refresh_token.is_none() {
                // It goes on to mint for somebody else.
                let revoked = self.revoke(&loaded.record.metadata, client, presented, "refresh_token").await;
                given_back = given_back.and(revoked.map_err(crate::logout::words));
            }
            let error = error.after_giving_back(given_back);
            self.quarantine(loaded, presented, &error)?;
            return Err(error);
        }
        let nonce = loaded.record.metadata.token_endpoint.as_ref().and_then(|url| self.provider.nonce(url));
        for _ in 0..TRIES {
            let at_server = self.server_now(&loaded.record.metadata);
            put(&mut loaded.record, &tokens, nonce.clone(), (self.clock)(), at_server);
            match self.shelf.save(loaded, (self.clock)())? {
                Saved::Yes => return Ok(Renewed::Done),
                Saved::Gone => break,
                Saved::Overtaken => {}
            }
            // Somebody kept a pass, or renewed without our lock. If the token we traded is still the one on disk, ours
            // is the newer and goes in beside what they wrote; if it is not, theirs is.
            match self.shelf.find(&identity)? {
                Some(again) if refresh_is(&again.record, presented) => *loaded = again,
                Some(_) => return Ok(Renewed::ReadAgain),
                None => break,
            }
        }
        let _ = self.give_back(&loaded.record.metadata, client, &tokens).await;
        Err(gone(&identity))
    }

    /// Rule 6: nothing is handed out from this record any more, whoever else wrote to it meanwhile. Only another login
    /// takes its place.
    fn quarantine<K: Kind>(
        &self,
        loaded: &mut Loaded,
        presented: &Secret<K>,
        error: &HolderError,
    ) -> Result<(), HolderError> {
        let identity = loaded.header.identity();
        for _ in 0..TRIES {
            loaded.record.standing = Standing::Quarantined { why: error.to_string() };
            loaded.record.renewing = None;
            if self.shelf.save(loaded, (self.clock)())? != Saved::Overtaken {
                return Ok(());
            }
            match self.shelf.find(&identity)? {
                Some(again) if refresh_is(&again.record, presented) => *loaded = again,
                _ => return Ok(()), // another login, or none: not what this answer was for
            }
        }
        Err(HolderError::Locked { waited_seconds: 0 })
    }

    /// Rule 5: a definite rejection.
    fn rejected<K: Kind>(
        &self,
        identity: &Identity,
        presented: &Secret<K>,
        body: &OAuthErrorBody,
        unanswered: Option<Timestamp>,
    ) -> Result<Renewed, HolderError> {
        let Some(mut again) = self.shelf.find(identity)? else {
            return Err(gone(identity));
        };
        if !refresh_is(&again.record, presented) {
            return Ok(Renewed::ReadAgain);
        }
        let mut why = body.error_description.clone().unwrap_or_else(|| "the issuer says it is over".into());
        if let Some(at) = unanswered {
            why.push_str(&format!(
                " (a renewal at {at} was never answered; some providers take trying again for a theft)"
            ));
        }
        again.record.standing = Standing::Ended { why: why.clone() };
        again.record.renewing = None;
        // Overtaken or gone: then somebody else knows better, and the next command will see it.
        self.shelf.save(&mut again, (self.clock)())?;
        Err(ended(identity, why))
    }

    /// Rule 6.
    pub(crate) fn believed(&self, loaded: &Loaded, tokens: &TokenResponse) -> Result<(), HolderError> {
        fits(tokens)?;
        let bound = loaded.record.key.is_some();
        let expected = if bound { TokenType::Dpop } else { TokenType::Bearer };
        if tokens.token_type != expected {
            let why = format!("its token is not of type `{}` any more", expected.text());
            return Err(HolderError::NotBelieved { why });
        }
        let identity = loaded.header.identity();
        loaded.record.pins.compare(&identity, tokens.id_token.as_ref(), &tokens.access_token).map_err(
            |Differs { what, pinned, came }| HolderError::AnotherTenant {
                what,
                pinned,
                came,
                not_revoked: None,
            },
        )
    }

    /// Reads a record that still stands.
    pub(crate) fn standing(&self, identity: &Identity) -> Result<Loaded, HolderError> {
        let loaded = self.shelf.find(identity)?.ok_or_else(|| gone(identity))?;
        match &loaded.record.standing {
            Standing::Good => Ok(loaded),
            Standing::Ended { why } => Err(ended(identity, why.clone())),
            Standing::Quarantined { why } => Err(ended(identity, quarantined(why))),
        }
    }

    /// What time it is at the issuer.
    pub(crate) fn server_now(&self, metadata: &IssuerMetadata) -> Timestamp {
        let at = metadata.token_endpoint.as_ref();
        at.map_or_else(|| (self.clock)(), |url| self.provider.server_time(url))
    }

    /// Uses the nonce that was saved with the record, while it may still be good: it saves a round trip.
    pub(crate) fn recall_nonce(&self, record: &Record) {
        let fresh = (self.clock)().since(record.renewed) < crate::provider::NONCE_REMEMBERED;
        if let (true, Some(nonce), Some(url)) = (fresh, &record.nonce, &record.metadata.token_endpoint) {
            self.provider.remember_nonce(url, nonce.clone());
        }
    }
}

/// The key a sign-in is bound to, if it is.
pub(crate) fn session_key(loaded: &Loaded) -> Result<Option<SessionKey>, HolderError> {
    match &loaded.record.key {
        None => Ok(None),
        Some(document) => SessionKey::parse(document)
            .map(Some)
            .ok_or_else(|| ended(&loaded.header.identity(), "its key cannot be read".into())),
    }
}

/// A copy of a secret, to be dropped soon.
pub(crate) fn copy<K: Kind>(secret: &Secret<K>) -> Secret<K> {
    Secret::new(secret.expose().to_vec())
}

fn usable(record: &Record, now: Timestamp, margin: Lifetime, refused: Option<&Secret<AccessToken>>) -> bool {
    record.access.as_ref().is_some_and(|access| {
        access.good(now, margin) && refused.is_none_or(|refused| !access.token.matches(refused.expose()))
    })
}

fn refresh_is<K: Kind>(record: &Record, presented: &Secret<K>) -> bool {
    record.refresh.as_ref().is_some_and(|refresh| refresh.matches(presented.expose()))
}

/// Puts an answer into a record.
fn put(
    record: &mut Record,
    tokens: &TokenResponse,
    nonce: Option<String>,
    now: Timestamp,
    at_server: Timestamp,
) {
    let renewable = tokens.refresh_token.is_some() || record.refresh.is_some();
    record.access = Some(AccessHeld::of(tokens, renewable, now, at_server));
    if let Some(next) = &tokens.refresh_token {
        record.refresh = Some(copy(next)); // no new one means the old one goes on (RFC 6749, section 6)
    }
    if let Some(scope) = &tokens.scope {
        record.scope = scope.clone();
    }
    record.renewed = now;
    record.renewing = None;
    record.nonce = nonce;
}

pub(crate) fn gone(identity: &Identity) -> HolderError {
    HolderError::NotSignedIn { issuer: Some(identity.issuer.clone()), profile: identity.profile.clone() }
}

/// Why a quarantined sign-in is over.
pub(crate) fn quarantined(why: &str) -> String {
    format!("it is quarantined until somebody signs in again: {why}")
}

/// A sign-in that is over.
pub(crate) fn ended(identity: &Identity, why: String) -> HolderError {
    HolderError::SignInEnded { issuer: identity.issuer.clone(), profile: identity.profile.clone(), why }
}
