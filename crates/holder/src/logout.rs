//! Giving a sign-in up: wiping here always happens; revoking there is tried, and what came of it is said.

use std::path::PathBuf;
use std::time::Duration;

use hallpass_model::secret::{Kind, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::TokenResponse;

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::lock;
use crate::provider::{Fields, NoAnswer};
use crate::record::Record;
use crate::shelf::{Identity, Loaded, Unreadable, Wiped};
use crate::vault::Rung;

/// How long a renewal under way is waited for: so that what it brings is revoked too. A renewal that takes longer gives
/// its tokens back itself, when it finds the record gone.
const RENEWAL_WAIT: Duration = Duration::from_secs(5);
/// How long one revocation may take where it is not what was asked for.
const GIVE_BACK_TIME_OUT: Duration = Duration::from_secs(5);

/// What a logout did.
#[derive(Debug, Default)]
pub struct Receipt {
    /// Of which sign-in. `None` where its record does not even say that.
    pub identity: Option<Identity>,
    /// What was revoked at the issuer.
    pub revoked: Vec<&'static str>,
    /// What was not, and why.
    pub not_revoked: Vec<(&'static str, String)>,
    /// The file that was wiped.
    pub wiped_file: Option<PathBuf>,
    /// Where a key was wiped.
    pub wiped_key: Option<Rung>,
    /// What could not be wiped, and why.
    pub not_wiped: Option<String>,
    /// When the last of what was not revoked is over, if that is known.
    pub lives_until: Option<Timestamp>,
}

impl Receipt {
    /// Whether anything may still be alive, there or here.
    pub fn may_be_alive(&self) -> bool {
        !self.not_revoked.is_empty() || self.not_wiped.is_some()
    }

    fn wiped(&mut self, wiped: Result<Wiped, HolderError>) {
        match wiped {
            Ok(wiped) => {
                (self.wiped_file, self.wiped_key, self.not_wiped) = (wiped.file, wiped.key, wiped.key_left);
            }
            Err(error) => self.not_wiped = Some(error.to_string()),
        }
    }
}

impl Holder {
    /// Revokes a sign-in at its issuer and wipes it here.
    ///
    /// # Errors
    /// `NotSignedIn` if there is nothing to give up, `Cancelled` if the person stopped it at the prompt for a passphrase;
    /// then nothing was done. Everything else stands in the receipt.
    pub async fn logout(&self, identity: &Identity) -> Result<Receipt, HolderError> {
        if self.shelf.header(identity).is_ok_and(|header| header.is_none()) {
            return Err(crate::refresh::gone(identity));
        }
        // Opened once before the lock is held, which nobody keeps while a person is asked for a passphrase.
        let opened = self.shelf.find(identity).map(|_| ());
        if let Err(HolderError::Cancelled) = opened {
            return Err(HolderError::Cancelled);
        }
        let renewing = tokio::time::timeout(RENEWAL_WAIT, lock::renewing(identity, &self.locks)).await;
        let mut receipt = Receipt { identity: Some(identity.clone()), ..Receipt::default() };
        let found = opened.and_then(|()| self.shelf.find(identity));
        receipt.wiped(self.shelf.wipe(identity));
        // The record is in memory now; nobody waits for the lock for anything that is still there.
        drop(renewing);
        match found {
            Ok(Some(loaded)) => self.revoke_all(&loaded, &mut receipt).await,
            Ok(None) => {}
            Err(error) => receipt.not_revoked.push((SESSION, error.to_string())),
        }
        Ok(receipt)
    }

    /// Wipes a record that cannot be read. What it held cannot be revoked from here.
    pub fn wipe_unreadable(&self, unreadable: Unreadable) -> Receipt {
        let mut receipt = Receipt::default();
        receipt.wiped(self.shelf.wipe_unreadable(&unreadable));
        receipt.not_revoked.push((SESSION, unreadable.why.to_string()));
        receipt
    }

    async fn revoke_all(&self, loaded: &Loaded, receipt: &mut Receipt) {
        let record = &loaded.record;
        let client = OurClient::of(loaded);
        if let Some(refresh) = &record.refresh {
            let what = if record.ours { "the session and every pass from it" } else { "the refresh token" };
            match self.revoke(&record.metadata, &client, refresh, "refresh_token").await {
                Ok(()) => receipt.revoked.push(what),
                Err(none) => receipt.not_revoked.push((what, words(none))),
            }
        }
        if record.ours && !receipt.revoked.is_empty() {
            return; // nothing outlives its session there
        }
        if let Some(access) = record.access.as_ref().filter(|access| access.good((self.clock)(), NONE)) {
            match self.revoke(&record.metadata, &client, &access.token, "access_token").await {
                Ok(()) => receipt.revoked.push("the access token"),
                Err(none) => {
                    receipt.not_revoked.push(("the access token", words(none)));
                    receipt.lives_until = access.expires.filter(|_| record.refresh.is_none());
                }
            }
        }
    }

    /// Revokes one token (RFC 7009).
    pub(crate) async fn revoke<K: Kind>(
        &self,
        metadata: &IssuerMetadata,
        client: &OurClient,
        token: &Secret<K>,
        hint: &'static str,
    ) -> Result<(), NoAnswer> {
        let Some(url) = &metadata.revocation_endpoint else {
            return Err(NoAnswer::Unexpected { what: "no revocation endpoint".into() });
        };
        let form = Fields::new().with_secret("token", token).with("token_type_hint", hint);
        let form = client.proven_in(form, metadata);
        self.provider.post(url, &form, client.with(metadata)).await.map(|_| ())
    }

    /// Gives back what no record will hold. Best effort, and brief. An error says in a few words what may still be alive.
    pub(crate) async fn give_back(
        &self,
        metadata: &IssuerMetadata,
        client: &OurClient,
        tokens: &TokenResponse,
    ) -> Result<(), String> {
        let all = async {
            let mut outcome = Ok(());
            if let Some(refresh) = &tokens.refresh_token {
                outcome = self.revoke(metadata, client, refresh, "refresh_token").await;
            }
            outcome.and(self.revoke(metadata, client, &tokens.access_token, "access_token").await)
        };
        match tokio::time::timeout(GIVE_BACK_TIME_OUT, all).await {
            Ok(given_back) => given_back.map_err(words),
            Err(_) => Err("the issuer did not answer in time".into()),
        }
    }

    /// The same for a whole record. An error says in a few words what may still be alive.
    pub(crate) async fn give_back_record(&self, record: &Record, client: &OurClient) -> Result<(), String> {
        let all = async {
            let mut outcome = Ok(());
            if let Some(refresh) = &record.refresh {
                outcome = self.revoke(&record.metadata, client, refresh, "refresh_token").await;
            }
            if let Some(access) = record.access.as_ref().filter(|_| !record.ours || record.refresh.is_none())
            {
                let revoked = self.revoke(&record.metadata, client, &access.token, "access_token").await;
                outcome = outcome.and(revoked);
            }
            outcome
        };
        match tokio::time::timeout(GIVE_BACK_TIME_OUT, all).await {
            Ok(given_back) => given_back.map_err(words),
            Err(_) => Err("the issuer did not answer in time".into()),
        }
    }
}

/// What is not revoked where the record cannot be opened.
const SESSION: &str = "the session";
const NONE: hallpass_model::time::Lifetime = hallpass_model::time::Lifetime::millis(0);

/// In a few words, after a colon.
pub(crate) fn words(none: NoAnswer) -> String {
    match none {
        NoAnswer::Refused { body, .. } => format!("the issuer refused: {}", body.error),
        NoAnswer::Unreachable { why, .. } => why,
        NoAnswer::Unexpected { what } => format!("the issuer has {what}"),
        NoAnswer::NotSent { why } => why,
    }
}
