//! Giving a sign-in up: wiping here always happens; revoking there is tried, and what came of it is said.
//!
//! 1. The record is opened, and what must be revoked is written down (`owed`): so that nothing is lost if we die now, or
//!    the network is down.
//! 2. The record and its key are wiped.
//! 3. What is owed is delivered. What cannot be delivered now stays owed, and later commands try again.

use std::path::PathBuf;
use std::time::Duration;

use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::TokenResponse;
use serde::{Deserialize, Serialize};

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::lock;
use crate::owed::{DELIVERY_TIME_OUT, Debt, Delivered, OfKey, OwedFile};
use crate::provider::NoAnswer;
use crate::record::Record;
use crate::shelf::{Loaded, Unreadable, Wiped};
use crate::vault::Rung;

/// How long a renewal under way is waited for: so that what it brings is revoked too. A renewal that takes longer gives
/// its tokens back itself, when it finds the record gone.
const RENEWAL_WAIT: Duration = Duration::from_secs(5);
/// How long one revocation may take where it is not what was asked for.
const GIVE_BACK_TIME_OUT: Duration = Duration::from_secs(5);

/// What a logout did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Receipt {
    /// Of which sign-in. `None` where its record does not even say that.
    pub identity: Option<Identity>,
    /// Each credential, and what became of it.
    pub credentials: Vec<Credential>,
    /// The file that was wiped.
    pub wiped_file: Option<PathBuf>,
    /// Where a key was wiped.
    pub wiped_key: Option<Rung>,
    /// What could not be wiped, and why.
    pub not_wiped: Option<String>,
    /// Why what is not revoked could not be written down, so that nobody tries again.
    pub not_owed: Option<String>,
}

/// One credential of a sign-in that was given up.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Credential {
    /// What it is: `the refresh token`.
    pub what: String,
    /// What became of it at its issuer.
    #[serde(flatten)]
    pub fate: Fate,
    /// When it is over by itself at the latest, if that is known.
    pub lives_until: Option<Timestamp>,
}

/// What became of a credential at its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It was revoked.
    Revoked,
    /// It ended with its session.
    EndedWithSession,
    /// Not yet: later commands try again.
    Owed {
        /// Why.
        why: String,
    },
    /// It was not, and nobody tries again.
    Alive {
        /// Why.
        why: String,
    },
}

impl Credential {
    /// Whether it may still be alive.
    pub fn may_be_alive(&self) -> bool {
        matches!(self.fate, Fate::Owed { .. } | Fate::Alive { .. })
    }
}

impl Receipt {
    /// Whether anything may still be alive, there or here.
    pub fn may_be_alive(&self) -> bool {
        self.not_wiped.is_some() || self.credentials.iter().any(Credential::may_be_alive)
    }

    /// When the last of what may be alive is over by itself, if that is known of all of it.
    pub fn lives_until(&self) -> Option<Timestamp> {
        let alive = self.credentials.iter().filter(|credential| credential.may_be_alive());
        let ends: Option<Vec<Timestamp>> = alive.map(|credential| credential.lives_until).collect();
        ends?.into_iter().max()
    }

    fn wiped(&mut self, wiped: Result<Wiped, HolderError>) {
        match wiped {
            Ok(wiped) => {
                (self.wiped_file, self.wiped_key, self.not_wiped) = (wiped.file, wiped.key, wiped.key_left);
            }
            Err(error) => self.not_wiped = Some(error.to_string()),
        }
    }

    fn alive(&mut self, why: String) {
        let fate = Fate::Alive { why };
        self.credentials.push(Credential { what: SESSION.into(), fate, lives_until: None });
    }
}

impl Holder {
    /// Revokes a sign-in at its issuer and wipes it here. What cannot be revoked now is written down, encrypted, and
    /// tried again by later commands ([`retry_owed`](Self::retry_owed)).
    ///
    /// # Errors
    /// `NotSignedIn` if there is nothing to give up, `Cancelled` if the person stopped it at the prompt for a passphrase;
    /// then nothing was done. Everything else stands in the receipt.
    ///
    /// An API key is wiped here and lives on: it may be others' as well. The receipt says until when.
    pub async fn logout(&self, identity: &Identity) -> Result<Receipt, HolderError> {
        self.sign_out(identity, OfKey::LivesOn).await
    }

    /// The same, and an API key is revoked at its issuer, for everybody who has it.
    ///
    /// # Errors
    /// Those of [`logout`](Self::logout).
    pub async fn logout_revoking_key(&self, identity: &Identity) -> Result<Receipt, HolderError> {
        self.sign_out(identity, OfKey::Revoked).await
    }

    async fn sign_out(&self, identity: &Identity, api_key: OfKey) -> Result<Receipt, HolderError> {
        if let Some(receipt) = self.daemon_logout(identity, api_key).await {
            return Ok(receipt);
        }
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
        let owed = match &found {
            Ok(Some(loaded)) => Some(self.written_down(loaded, api_key, &mut receipt)),
            _ => None,
        };
        receipt.wiped(self.shelf.wipe(identity));
        self.daemon_forgets(identity);
        // The record is in memory now; nobody waits for the lock for anything that is still there.
        drop(renewing);
        match (found, owed) {
            (Ok(Some(loaded)), Some((debt, file))) => {
                self.revoke_all(&loaded, debt, file, &mut receipt).await;
                receipt.credentials.extend(lives_on(&loaded.record, api_key));
            }
            (Err(error), _) => receipt.alive(error.to_string()),
            _ => {}
        }
        Ok(receipt)
    }

    /// Wipes a record that cannot be read. What it held cannot be revoked from here.
    pub fn wipe_unreadable(&self, unreadable: Unreadable) -> Receipt {
        let mut receipt = Receipt::default();
        receipt.wiped(self.shelf.wipe_unreadable(&unreadable));
        receipt.alive(unreadable.why.to_string());
        receipt
    }

    fn written_down(
        &self,
        loaded: &Loaded,
        api_key: OfKey,
        receipt: &mut Receipt,
    ) -> (Debt, Option<OwedFile>) {
        let debt = Debt::of(&loaded.record, &loaded.header.client_id, (self.clock)(), api_key);
        let file = self.owe(loaded, &debt).unwrap_or_else(|error| {
            receipt.not_owed = Some(error.to_string());
            None
        });
        (debt, file)
    }

    async fn revoke_all(
        &self,
        loaded: &Loaded,
        mut debt: Debt,
        file: Option<OwedFile>,
        receipt: &mut Receipt,
    ) {
        let record = &loaded.record;
        let tried_again = file.is_some();
        for (token, delivered) in self.deliver(&mut debt, file, DELIVERY_TIME_OUT).await {
            let fate = match delivered {
                Delivered::Yes => Fate::Revoked,
                Delivered::NotYet(why) if tried_again => Fate::Owed { why },
                Delivered::NotYet(why) | Delivered::Never(why) => Fate::Alive { why },
            };
            receipt.credentials.push(Credential { what: token.what, fate, lives_until: token.until });
        }
        if record.ours && record.refresh.is_some() {
            receipt.credentials.extend(with_session(record, (self.clock)(), &receipt.credentials[0].fate));
        }
        if !receipt.may_be_alive() {
            receipt.not_owed = None; // there was no need
        }
    }

    /// What a sign-in that was replaced or could not be kept owes: delivered now, or later. An error says in a few words
    /// what may still be alive, and whether it is tried again.
    pub(crate) async fn give_up_replaced(&self, earlier: &Loaded) -> Result<(), String> {
        let mut receipt = Receipt::default();
        let (mut debt, file) = self.written_down(earlier, OfKey::LivesOn, &mut receipt);
        let tried_again = file.is_some();
        for (_, delivered) in self.deliver(&mut debt, file, GIVE_BACK_TIME_OUT).await {
            match delivered {
                Delivered::Yes => {}
                Delivered::NotYet(why) if tried_again => {
                    return Err(format!("{why}; later commands try again"));
                }
                Delivered::NotYet(why) | Delivered::Never(why) => {
                    return Err(format!("end it on the issuer's own pages: {why}"));
                }
            }
        }
        Ok(())
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

    /// The same for a whole record.
    pub(crate) async fn give_back_record(&self, record: &Record, client: &OurClient) {
        let mut debt = Debt::of(record, client.id(), (self.clock)(), OfKey::LivesOn);
        let _ = self.deliver(&mut debt, None, GIVE_BACK_TIME_OUT).await;
    }
}

/// What stands or falls with a session of ours: each pass that was kept, until it is over.
fn with_session(record: &Record, now: Timestamp, session: &Fate) -> Vec<Credential> {
    let good = record.passes.iter().filter(|pass| pass.access.good(now, Lifetime::millis(0)));
    let each = good.map(|pass| Credential {
        what: format!("the pass for {}", pass.resource),
        fate: match session {
            Fate::Revoked => Fate::EndedWithSession,
            fate => fate.clone(),
        },
        lives_until: pass.access.expires.at(),
    });
    each.collect()
}

/// An API key that was wiped here alone: whoever else has it goes on, and so does whoever copied it.
fn lives_on(record: &Record, api_key: OfKey) -> Option<Credential> {
    let held = record.api_key.as_ref().filter(|_| api_key == OfKey::LivesOn)?;
    let why = "it may be others' as well; whoever answers for it ends it, and so does `hallpass logout --revoke-key`";
    Some(Credential {
        what: API_KEY_ITSELF.into(),
        fate: Fate::Alive { why: why.into() },
        lives_until: held.ends,
    })
}

/// What lives on when an API key is wiped here.
const API_KEY_ITSELF: &str = "the API key";
/// What is not revoked where the record cannot be opened.
const SESSION: &str = "the session";

/// In a few words, after a colon.
pub(crate) fn words(none: NoAnswer) -> String {
    match none {
        NoAnswer::Refused { body, .. } => format!("the issuer refused: {}", body.error),
        NoAnswer::Unreachable { why, .. } => why,
        NoAnswer::Unexpected { what } => format!("the issuer has {what}"),
        NoAnswer::NotSent { why } => why,
    }
}
