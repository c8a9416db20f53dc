//! Revocations that are still owed: what was wiped here and may be alive there, until it is revoked or has ended by itself.
//!
//! 1. What a record held to be revoked is sealed into a file of its own *before* the record is wiped (`sealed`), so that
//!    neither a dead network nor a death in between loses it.
//! 2. It is delivered at once. What is delivered, or definitely refused, leaves the file; an empty file is removed.
//! 3. What is left is tried again beside whatever is asked of a provider anyway, ever more rarely, and never waited for
//!    longer than [`BESIDE`]; or when a person says so.
//! 4. What has ended by itself meanwhile is given up: its secrets are wiped, and that stays to be seen until a person
//!    has asked for a retry.
//!
//! The key of such a file is one of its own on the rung of its record. On the passphrase's rung it is the record's own
//! key, so that nobody is asked for a passphrase to sign out; later commands try again where the passphrase is to be had
//! without asking. A sign-in in memory alone writes nothing here either: the watcher of its run goes on trying.

mod sealed;

use std::path::PathBuf;
use std::time::Duration;

use hallpass_model::lifetimes::SESSION_ABSOLUTE;
use hallpass_model::secret::{AccessToken, KeyMaterial, Kind, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::metadata::IssuerMetadata;

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::logout::words;
use crate::private;
use crate::provider::NoAnswer;
use crate::record::Record;
use crate::shelf::Loaded;
use crate::vault::Rung;

pub(crate) use sealed::OwedFile;
use sealed::{Header, State};

/// How long the retry of what is owed may keep a command waiting that is done with its own request.
const BESIDE: Duration = Duration::from_millis(250);
/// How long all revocations of one file may take, where that is what was asked for.
pub(crate) const DELIVERY_TIME_OUT: Duration = Duration::from_secs(10);
/// After how long what is owed is tried again, the first time, the second, and then always: a dead network is often back
/// in a minute, or in the morning.
const RETRY_PAUSES: [Lifetime; 4] =
    [Lifetime::seconds(30), Lifetime::minutes(2), Lifetime::minutes(10), Lifetime::hours(1)];
/// A token whose end nobody told us is given up after this: the longest that a refresh token of a large provider stays
/// good unused.
const KEPT_WITHOUT_END: Lifetime = Lifetime::days(180);

/// What a sign-in held that must be revoked at its provider, in this order.
pub(crate) struct Debt {
    pub(crate) metadata: IssuerMetadata,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret<KeyMaterial>>,
    pub(crate) tokens: Vec<OwedToken>,
}

/// What is to become of an API key by which a sign-in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfKey {
    /// It is wiped here, and goes on elsewhere: it may be others' as well.
    LivesOn,
    /// It is revoked, for everybody.
    Revoked,
}

/// One token to be revoked.
pub(crate) struct OwedToken {
    /// For people: `the access token`.
    pub(crate) what: String,
    /// RFC 7009, section 2.1.
    pub(crate) hint: String,
    pub(crate) token: Secret<AccessToken>,
    /// When it is over by itself, if that is known.
    pub(crate) until: Option<Timestamp>,
}

/// A revocation that is still owed, for a person to see.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Owed {
    /// Of which sign-in.
    pub identity: Identity,
    /// What may be alive there.
    pub what: Vec<String>,
    /// Since when.
    pub since: Timestamp,
    /// When the last of it is over by itself, if that is known.
    pub until: Option<Timestamp>,
    /// How often it was tried.
    pub tried: u32,
    /// Why the last try failed.
    pub why: String,
    /// Whether it was given up: it ended by itself, or nobody can open it any more.
    pub given_up: bool,
    /// The encrypted file.
    pub file: PathBuf,
}

/// What came of trying again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Retried {
    /// What was owed.
    pub owed: Owed,
    /// What came of it.
    pub fate: RetryFate,
}

/// What came of trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryFate {
    /// Revoked at the issuer.
    Revoked,
    /// Still owed.
    StillOwed {
        /// Why.
        why: String,
    },
    /// Not tried any more.
    GivenUp {
        /// Why.
        why: String,
    },
}

impl OwedToken {
    /// A copy, to be dropped soon.
    fn copy(&self) -> Self {
        let token = as_access(&self.token);
        Self { what: self.what.clone(), hint: self.hint.clone(), token, until: self.until }
    }
}

impl Debt {
    /// What a record owes if it is wiped. With our issuer the session takes along whatever came from it.
    pub(crate) fn of(record: &Record, client_id: &str, now: Timestamp, api_key: OfKey) -> Self {
        let mut tokens = Vec::new();
        let mut owe = |what: String, hint: &str, token: Secret<AccessToken>, until| {
            tokens.push(OwedToken { what, hint: hint.to_owned(), token, until });
        };
        if let (Some(held), OfKey::Revoked) = (&record.api_key, api_key) {
            owe(API_KEY.into(), crate::api_key::HINT, as_access(&held.key), held.ends);
        }
        if let Some(refresh) = &record.refresh {
            let (what, until) = match record.ours {
                true => (SESSION_AND_PASSES, Some(record.signed_in + SESSION_ABSOLUTE)),
                false => (REFRESH_TOKEN, None),
            };
            owe(what.into(), "refresh_token", as_access(refresh), until);
        }
        if !record.ours || record.refresh.is_none() {
            let good = |held: &&crate::record::AccessHeld| held.good(now, Lifetime::millis(0));
            if let Some(access) = record.access.as_ref().filter(good) {
                owe(ACCESS_TOKEN.into(), "access_token", as_access(&access.token), access.expires.at());
            }
            for pass in record.passes.iter().filter(|pass| good(&&pass.access)) {
                let what = format!("the pass for {}", pass.resource);
                owe(what, "access_token", as_access(&pass.access.token), pass.access.expires.at());
            }
        }
        Self {
            metadata: record.metadata.clone(),
            client_id: client_id.to_owned(),
            client_secret: record.client_secret.as_ref().map(|secret| Secret::new(secret.expose().to_vec())),
            tokens,
        }
    }

    fn client(&self) -> OurClient {
        let secret = self.client_secret.as_ref().map(|secret| Secret::new(secret.expose().to_vec()));
        OurClient::new(self.client_id.clone(), secret)
    }

    /// When the last of it is over by itself, if that is known of all of it.
    fn until(&self) -> Option<Timestamp> {
        self.tokens
            .iter()
            .map(|token| token.until)
            .try_fold(Timestamp::from_millis(0), |last, until| until.map(|until| last.max(until)))
    }

    fn what(&self) -> Vec<String> {
        self.tokens.iter().map(|token| token.what.clone()).collect()
    }
}

/// What became of one token.
pub(crate) enum Delivered {
    /// Revoked.
    Yes,
    /// It will never be: there is no endpoint, or the issuer refused.
    Never(String),
    /// Not yet.
    NotYet(String),
}

impl Holder {
    /// Writes down what will be owed when a record is wiped. `None` where nothing can be owed: no endpoint takes it, or
    /// nothing of this sign-in is ever written.
    pub(crate) fn owe(&self, loaded: &Loaded, debt: &Debt) -> Result<Option<OwedFile>, HolderError> {
        if debt.tokens.is_empty() || debt.metadata.revocation_endpoint.is_none() {
            return Ok(None);
        }
        let vault = self.shelf.vault();
        let name = OwedFile::new_name();
        let (place, key) = match loaded.header.key.rung() {
            rung if !rung.is_at_rest() => return Ok(None),
            Rung::Passphrase => (loaded.header.key.clone(), loaded.key().clone()),
            rung => vault.new_key(rung, &name, "")?,
        };
        let now = (self.clock)();
        let header = Header {
            issuer: debt.metadata.issuer.clone(),
            client_id: debt.client_id.clone(),
            profile: loaded.header.profile.clone(),
            key: place,
            what: debt.what(),
            since: now,
            until: debt.until(),
            tried: 0,
            // Whoever writes it is about to try: nobody else does meanwhile.
            next: now + RETRY_PAUSES[0],
            why: "its logout did not come to an end".into(),
            state: State::Waiting,
        };
        let folder = self.shelf.make_folder()?;
        let owed =
            OwedFile { path: folder.join(name).with_extension(sealed::EXTENSION), header, key: Some(key) };
        match owed.write(Some(debt)) {
            Ok(()) => Ok(Some(owed)),
            Err(error) => {
                self.wipe_key_of(&owed);
                Err(error)
            }
        }
    }

    /// Delivers what is owed, as far as it goes within a time. What is left stays in the debt and, where there is one, in
    /// the file.
    pub(crate) async fn deliver(
        &self,
        debt: &mut Debt,
        file: Option<OwedFile>,
        time_out: Duration,
    ) -> Vec<(OwedToken, Delivered)> {
        let end = tokio::time::Instant::now() + time_out;
        let (client, mut fates, mut left) = (debt.client(), Vec::new(), Vec::new());
        let mut stuck: Option<String> = None;
        for token in std::mem::take(&mut debt.tokens) {
            let fate = match &stuck {
                // The same server, a moment later.
                Some(why) => Delivered::NotYet(why.clone()),
                None => {
                    let revoked = self.revoke(&debt.metadata, &client, &token.token, &token.hint);
                    match tokio::time::timeout_at(end, revoked).await {
                        Ok(Ok(())) => Delivered::Yes,
                        Ok(Err(none)) => not_delivered(none, debt.metadata.revocation_endpoint.is_some()),
                        Err(_) => Delivered::NotYet("the issuer did not answer in time".into()),
                    }
                }
            };
            if let Delivered::NotYet(why) = &fate {
                stuck = Some(why.clone());
                left.push(token.copy());
            }
            fates.push((token, fate));
        }
        debt.tokens = left;
        if let Some(file) = file {
            self.put_back(file, debt, stuck);
        }
        fates
    }

    /// Writes what is still owed, or removes the file. Best effort: what cannot be written stays as it was, and a token
    /// that is revoked twice is revoked.
    fn put_back(&self, mut file: OwedFile, debt: &Debt, why: Option<String>) {
        let Some(why) = why.filter(|_| !debt.tokens.is_empty()) else {
            let _ = private::remove(&file.path);
            self.wipe_key_of(&file);
            return;
        };
        let header = &mut file.header;
        header.next = (self.clock)() + RETRY_PAUSES[RETRY_PAUSES.len().min(header.tried as usize + 1) - 1];
        header.tried += 1;
        header.why = why;
        header.what = debt.what();
        header.until = debt.until();
        let _ = file.write(Some(debt));
    }

    /// The key of a file that is gone. A passphrase's rests nowhere, and is forgotten with its record.
    fn wipe_key_of(&self, file: &OwedFile) {
        if file.header.key.rung() != Rung::Passphrase {
            let _ = self.shelf.vault().wipe_key(&file.header.key); // it would open nothing
        }
    }

    /// What is still owed, without asking anybody anything.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn owed(&self) -> Result<Vec<Owed>, HolderError> {
        Ok(self.owed_files()?.iter().map(OwedFile::shown).collect())
    }

    /// Tries again to revoke all that is still owed, whenever it was last tried, and gives up what has ended by itself.
    /// The person may be asked for a passphrase.
    ///
    /// # Errors
    /// `Cancelled` if the person stopped at the prompt for a passphrase, or the folder cannot be read.
    pub async fn retry_owed(&self) -> Result<Vec<Retried>, HolderError> {
        let mut all = Vec::new();
        for file in self.owed_files()? {
            let owed = file.shown();
            let fate = match file.header.state {
                State::GivenUp => {
                    private::remove(&file.path)?;
                    RetryFate::GivenUp { why: file.header.why.clone() }
                }
                State::Waiting if self.is_over(&file.header) => {
                    let why = OVER.to_owned();
                    private::remove(&file.path)?;
                    self.wipe_key_of(&file);
                    RetryFate::GivenUp { why }
                }
                State::Waiting => match self.retry(file, false, DELIVERY_TIME_OUT).await {
                    Err(HolderError::Cancelled) => return Err(HolderError::Cancelled),
                    Err(error) => RetryFate::StillOwed { why: error.to_string() },
                    Ok(fate) => fate,
                },
            };
            all.push(Retried { owed, fate });
        }
        Ok(all)
    }

    /// One file.
    async fn retry(
        &self,
        mut file: OwedFile,
        quietly: bool,
        time_out: Duration,
    ) -> Result<RetryFate, HolderError> {
        let key = match quietly {
            true => self.shelf.vault().find_key_quietly(&file.header.key)?,
            false => self.shelf.vault().find_key(&file.header.key)?,
        };
        let Some(key) = key else {
            if file.header.key.rung() == Rung::Passphrase {
                return Ok(RetryFate::StillOwed { why: "its passphrase is needed".into() });
            }
            let why = format!("its key is no longer in the {}", file.header.key.rung());
            return self.give_up(file, &why);
        };
        let mut debt = file.open(&key)?;
        file.key = Some(key);
        let path = file.path.clone();
        let fates = self.deliver(&mut debt, Some(file), time_out).await;
        let mut never = None;
        for (_, fate) in &fates {
            match fate {
                Delivered::NotYet(why) => return Ok(RetryFate::StillOwed { why: why.clone() }),
                Delivered::Never(why) => never = Some(why.clone()),
                Delivered::Yes => {}
            }
        }
        debug_assert!(!path.exists(), "what is not owed any more has no file");
        Ok(never.map_or(RetryFate::Revoked, |why| RetryFate::GivenUp { why }))
    }

    /// Wipes the secrets of a file, and leaves what a person should see.
    fn give_up(&self, mut file: OwedFile, why: &str) -> Result<RetryFate, HolderError> {
        self.wipe_key_of(&file);
        file.header.state = State::GivenUp;
        file.header.why = why.to_owned();
        file.write(None)?;
        Ok(RetryFate::GivenUp { why: why.to_owned() })
    }

    fn is_over(&self, header: &Header) -> bool {
        (self.clock)() >= header.until.unwrap_or(header.since + KEPT_WITHOUT_END)
    }

    /// Something that is asked of a provider, and beside it what is still owed, if it is time for that: at most
    /// [`BESIDE`] longer. One process at a time tries.
    pub(crate) async fn beside_owed<T>(&self, asked: impl Future<Output = T>) -> T {
        let due = self.due();
        if due.is_empty() {
            return asked.await;
        }
        let folder = self.shelf.folder().map(|folder| folder.join(sealed::LOCK));
        let Some(lock) = folder.and_then(|path| private::lock_file(&path).ok()) else {
            return asked.await;
        };
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return asked.await;
        }
        let mut owed = std::pin::pin!(async {
            for file in due {
                // A failure stands in the file, and is shown by status.
                let _ = match self.is_over(&file.header) {
                    true => self.give_up(file, OVER).map(|_| ()),
                    false => self.retry(file, true, DELIVERY_TIME_OUT).await.map(|_| ()),
                };
            }
        });
        let mut asked = std::pin::pin!(asked);
        let answer = tokio::select! {
            answer = &mut asked => answer,
            () = &mut owed => return asked.await,
        };
        let _ = tokio::time::timeout(BESIDE, owed).await;
        answer
    }

    /// What it is time to try again.
    fn due(&self) -> Vec<OwedFile> {
        let mut files = self.owed_files().unwrap_or_default();
        let now = (self.clock)();
        files.retain(|file| file.header.state == State::Waiting && file.header.next <= now);
        files
    }

    fn owed_files(&self) -> Result<Vec<OwedFile>, HolderError> {
        match self.shelf.folder() {
            Some(folder) => OwedFile::list(folder),
            None => Ok(Vec::new()),
        }
    }
}

/// A refusal is an answer: asking again brings no other. Anything else may be the network's.
fn not_delivered(none: NoAnswer, endpoint: bool) -> Delivered {
    match none {
        NoAnswer::Refused { .. } => Delivered::Never(words(none)),
        none if !endpoint => Delivered::Never(words(none)),
        none => Delivered::NotYet(words(none)),
    }
}

/// What is revoked, as people read it.
pub(crate) const SESSION_AND_PASSES: &str = "the session and every pass from it";
pub(crate) const API_KEY: &str = "the API key and every pass it bought";
const REFRESH_TOKEN: &str = "the refresh token";
const ACCESS_TOKEN: &str = "the access token";
const OVER: &str = "its time was up before the issuer could be told";

/// Any token, as what a revocation endpoint is given.
fn as_access<K: Kind>(token: &Secret<K>) -> Secret<AccessToken> {
    Secret::new(token.expose().to_vec())
}
