//! `lock` and `unlock`: nothing is given out in between.
//!
//! As with `ssh-agent -x`, a passphrase is chosen at `lock` and asked for at `unlock`. The keys of what the daemon alone holds
//! are sealed under it and wiped, so that nothing here opens those records, whoever reads this memory; what is only kept
//! ready is wiped. What rests on disk is as safe there as its own rung makes it: so where the daemon alone holds nothing, and
//! nobody is there to choose a passphrase (a screen that locks itself), it locks without one.

use std::time::Duration;

use hallpass_model::secret::{Passphrase, Secret};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::conversation::{Answer, read, render};
use super::office::Office;
use super::problem::{LOCKED, Problem};
use super::sealing::Sealing;
use super::wire::{Done, Locking};
use crate::identity::Identity;
use crate::vault::{KeyPlace, RecordKey};

/// Shorter ones are guessed in an afternoon, whatever the cost of each guess.
const LEN_MIN: usize = 8;
/// A wrong passphrase is answered after this, doubling with each: a program of ours that guesses does not guess fast.
const WRONG_PAUSE: Duration = Duration::from_millis(250);
const WRONG_PAUSES_MAX: u32 = 7;
/// How long a renewal under way is waited for.
const SETTLE_TIME_OUT: Duration = Duration::from_secs(35);

/// Whether it is locked.
#[derive(Default)]
pub(super) enum State {
    #[default]
    Open,
    /// With the keys of what is here alone, unless nothing was.
    Locked(Option<Sealing>),
}

impl State {
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, State::Locked(_))
    }
}

/// A key that was here.
#[derive(Serialize, Deserialize)]
pub(super) struct HeldKey {
    pub(super) place: KeyPlace,
    pub(super) key: [u8; 32],
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Office {
    pub(super) async fn lock(&self, body: &[u8]) -> Result<Answer, Problem> {
        let passphrase = passphrase(body)?;
        if self.state().is_locked() {
            return Err(Problem::new(LOCKED, "it is locked already"));
        }
        self.mute(None);
        // A renewal that ends later would leave what it brought in memory.
        let _ = tokio::time::timeout(SETTLE_TIME_OUT, self.settled()).await;
        let keys = self.keys()?;
        let sealing = match &passphrase {
            Some(passphrase) => {
                let mut plain = Zeroizing::new(Vec::with_capacity(8 * 1024));
                serde_json::to_writer(&mut *plain, &keys).expect("keys are structs of JSON values");
                Some(Sealing::new(passphrase.expose(), &plain))
            }
            None if keys.is_empty() => None,
            None => {
                let what =
                    "what the daemon alone holds must be sealed under a passphrase, or it would be lost";
                return Err(Problem::new("passphrase_needed", what));
            }
        };
        *self.state() = State::Locked(sealing);
        for key in &keys {
            let _ = self.holder().shelf.vault().wipe_key(&key.place);
        }
        self.holder().shelf.vault().forget_passphrases();
        self.forget_all();
        Ok(render(&Done {}))
    }

    pub(super) async fn unlock(&self, body: &[u8]) -> Result<Answer, Problem> {
        let passphrase = passphrase(body)?;
        // One at a time: many at once would guess as fast as one that is not made to wait.
        let mut wrong = self.wrong_passphrases().lock().await;
        let opened = match &*self.state() {
            State::Open => Ok(None),
            State::Locked(None) => Ok(None),
            State::Locked(Some(sealing)) => match &passphrase {
                None => Err(Problem::new("passphrase_needed", "it was locked with a passphrase")),
                Some(passphrase) => sealing
                    .open(passphrase.expose())
                    .map(Some)
                    .ok_or_else(|| Problem::new("wrong_passphrase", "that passphrase does not unlock it")),
            },
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(problem) => {
                if passphrase.is_some() {
                    tokio::time::sleep(WRONG_PAUSE * 2u32.pow((*wrong).min(WRONG_PAUSES_MAX))).await;
                    *wrong += 1;
                }
                return Err(problem);
            }
        };
        *wrong = 0;
        if let Some(plain) = opened {
            let keys: Vec<HeldKey> = serde_json::from_slice(&plain).expect("it was written here");
            self.put_back(&keys)?;
        }
        *self.state() = State::Open;
        if let Some(passphrase) = passphrase {
            self.offer(passphrase);
        }
        self.forget_all();
        self.listen_to_all();
        Ok(render(&Done {}))
    }

    /// The keys of what is here alone.
    pub(super) fn keys(&self) -> Result<Vec<HeldKey>, Problem> {
        let shelf = &self.holder().shelf;
        let key = |identity: Identity| match shelf.find(&identity)? {
            Some(loaded) => Ok(Some(HeldKey { place: loaded.header.key.clone(), key: **loaded.key() })),
            None => Ok(None),
        };
        self.held().into_iter().filter_map(|identity| key(identity).transpose()).collect()
    }

    pub(super) fn put_back(&self, keys: &[HeldKey]) -> Result<(), Problem> {
        for held in keys {
            self.holder().shelf.vault().put_back(&held.place, &RecordKey::new(held.key))?;
        }
        Ok(())
    }

    /// Opens the records on disk that wait for a passphrase, if it is this one.
    fn offer(&self, passphrase: Secret<Passphrase>) {
        let (holder, offered) = (self.holder(), self.offered());
        *offered.lock().expect("no thread panics holding this") = Some(passphrase);
        for identity in holder.list().unwrap_or_default() {
            // That it is of another passphrase is found out, and said, when it is asked for.
            let _ = holder.shelf.find(&identity);
        }
        *offered.lock().expect("no thread panics holding this") = None;
    }
}

fn passphrase(body: &[u8]) -> Result<Option<Secret<Passphrase>>, Problem> {
    let Locking { passphrase } = read(body)?;
    let passphrase: Option<Secret<Passphrase>> = passphrase.map(Secret::from_text);
    match &passphrase {
        Some(short) if short.expose().len() < LEN_MIN => {
            Err(Problem::new("usage", format!("a passphrase has {LEN_MIN} characters or more")))
        }
        _ => Ok(passphrase),
    }
}
