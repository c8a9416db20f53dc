//! A key worked out from what the person types: Argon2id (RFC 9106).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Mutex;

use argon2::{Algorithm, Argon2, Params, Version};
use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{Passphrase, Secret};
use serde::{Deserialize, Serialize};

use super::{AskPassphrase, Asking, RecordKey};
use crate::error::HolderError;

/// RFC 9106, section 4, second recommendation: 64 MiB and three passes, where memory is short. One lane, as lanes
/// would only help a guesser with more cores than we use.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// A record that asks for more than this was changed: its header is not proven until the key is worked out.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;
/// Shorter ones are guessed in an afternoon, whatever the cost of each guess.
const LEN_MIN: usize = 8;

/// The salt of one record and what working its key out costs. Not secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What was typed, and the keys worked out from it: each costs a tenth of a second, so once a process.
pub(super) struct Passphrases {
    ask: AskPassphrase,
    new: Mutex<Option<Secret<Passphrase>>>,
    keys: Mutex<HashMap<Cost, RecordKey>>,
}

impl Passphrases {
    pub(super) fn new(ask: AskPassphrase) -> Self {
        Self { ask, new: Mutex::default(), keys: Mutex::default() }
    }

    /// Gets the passphrase of a record to be. False if nobody is there to give one.
    pub(super) fn prepare(&self) -> Result<bool, HolderError> {
        let Some(passphrase) = self.asked(Asking::New)? else {
            return Ok(false);
        };
        if passphrase.expose().len() < LEN_MIN {
            return Err(HolderError::Usage {
                what: format!("a passphrase has {LEN_MIN} characters or more"),
            });
        }
        *self.new.lock().expect("no thread panics holding this") = Some(passphrase);
        Ok(true)
    }

    /// Works out the key of a new record.
    pub(super) fn new_key(&self) -> Result<(Cost, RecordKey), HolderError> {
        let passphrase = self.new.lock().expect("no thread panics holding this").take();
        let passphrase = passphrase.ok_or(HolderError::PassphraseNeeded)?;
        let mut salt = [0u8; 16];
        SystemEntropy.fill(&mut salt);
        let cost =
            Cost { salt: base64url::render(salt), memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        let key = derive(&passphrase, &cost)?;
        self.keys.lock().expect("no thread panics holding this").insert(cost.clone(), key.clone());
        Ok((cost, key))
    }

    /// Works out the key of a record, asking if need be.
    pub(super) fn key(&self, cost: &Cost) -> Result<RecordKey, HolderError> {
        if let Some(key) = self.keys.lock().expect("no thread panics holding this").get(cost) {
            return Ok(key.clone());
        }
        // Whoever just chose one most likely chose it as before.
        let new = self.new.lock().expect("no thread panics holding this").as_ref().map(copy);
        let passphrase = match new {
            Some(new) => new,
            None => self.asked(Asking::Open)?.ok_or(HolderError::PassphraseNeeded)?,
        };
        self.remember(cost, &passphrase)
    }

    /// The same, asking nobody. `None` if only a person has it.
    pub(super) fn key_quietly(&self, cost: &Cost) -> Result<Option<RecordKey>, HolderError> {
        if let Some(key) = self.keys.lock().expect("no thread panics holding this").get(cost) {
            return Ok(Some(key.clone()));
        }
        self.asked(Asking::Quietly)?.map(|passphrase| self.remember(cost, &passphrase)).transpose()
    }

    /// Works it out once more, after so many that did not open the record. `None` if there is no other to be had.
    pub(super) fn key_again(&self, cost: &Cost, tried: usize) -> Result<Option<RecordKey>, HolderError> {
        let new = self.new.lock().expect("no thread panics holding this").is_some();
        // The first one was then the one just chosen, and nobody was asked for this record's.
        let asking = if new && tried == 1 { Asking::Open } else { Asking::Again };
        self.asked(asking)?.map(|passphrase| self.remember(cost, &passphrase)).transpose()
    }

    fn remember(&self, cost: &Cost, passphrase: &Secret<Passphrase>) -> Result<RecordKey, HolderError> {
        let key = derive(passphrase, cost)?;
        self.keys.lock().expect("no thread panics holding this").insert(cost.clone(), key.clone());
        Ok(key)
    }

    /// All that was worked out.
    pub(super) fn all(&self) -> Vec<(Cost, RecordKey)> {
        let keys = self.keys.lock().expect("no thread panics holding this");
        keys.iter().map(|(cost, key)| (cost.clone(), key.clone())).collect()
    }

    /// Takes back what was worked out before, by another process.
    pub(super) fn put_back(&self, cost: &Cost, key: &RecordKey) {
        self.keys.lock().expect("no thread panics holding this").insert(cost.clone(), key.clone());
    }

    pub(super) fn forget_all(&self) {
        self.keys.lock().expect("no thread panics holding this").clear();
        *self.new.lock().expect("no thread panics holding this") = None;
    }

    pub(super) fn forget(&self, cost: &Cost) {
        self.keys.lock().expect("no thread panics holding this").remove(cost);
    }

    fn asked(&self, asking: Asking) -> Result<Option<Secret<Passphrase>>, HolderError> {
        (self.ask)(asking).map_err(|why| match why.kind() {
            // Ctrl-C at the prompt: the person stopped it, and nothing is wrong.
            ErrorKind::Interrupted => HolderError::Cancelled,
            _ => HolderError::NoRung { why: format!("the passphrase: {why}") },
        })
    }
}

/// A copy, to be dropped soon.
fn copy(passphrase: &Secret<Passphrase>) -> Secret<Passphrase> {
    Secret::new(passphrase.expose().to_vec())
}

fn derive(passphrase: &Secret<Passphrase>, cost: &Cost) -> Result<RecordKey, HolderError> {
    let changed = || HolderError::WrongPassphrase;
    let salt: [u8; 16] = base64url::parse_exact(&cost.salt).ok_or_else(changed)?;
    if cost.memory_kib > MEMORY_KIB_MAX || cost.passes > PASSES_MAX || cost.lanes > LANES_MAX {
        return Err(changed());
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| changed())?;
    let mut key = RecordKey::default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), &salt, &mut key[..])
        .map_err(|_| changed())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn typed(text: &'static str, times: Arc<AtomicUsize>) -> Passphrases {
        Passphrases::new(Arc::new(move |_| {
            times.fetch_add(1, Ordering::Relaxed);
            Ok(Some(Secret::from_text(text.into())))
        }))
    }

    #[test]
    fn the_same_passphrase_gives_the_same_key_and_is_asked_for_once() {
        let times = Arc::new(AtomicUsize::new(0));
        let at_login = typed("correct horse", times.clone());
        assert!(at_login.prepare().unwrap());
        let (cost, key) = at_login.new_key().unwrap();
        let later = typed("correct horse", times.clone());
        assert_eq!(*later.key(&cost).unwrap(), *key);
        assert_eq!(*later.key(&cost).unwrap(), *key);
        assert_eq!(times.load(Ordering::Relaxed), 2);
        assert_ne!(*typed("wrong horse", times).key(&cost).unwrap(), *key);
    }

    #[test]
    fn a_short_one_is_refused_and_nobody_to_ask_is_said() {
        assert!(typed("seven77", Arc::default()).prepare().is_err());
        let nobody = Passphrases::new(Arc::new(|_| Ok(None)));
        assert!(!nobody.prepare().unwrap());
        assert!(matches!(nobody.new_key(), Err(HolderError::PassphraseNeeded)));
    }

    #[test]
    fn a_changed_header_cannot_ask_for_all_memory() {
        let cost = Cost { salt: base64url::render([0; 16]), memory_kib: u32::MAX, passes: 3, lanes: 1 };
        assert!(matches!(
            typed("correct horse", Arc::default()).key(&cost),
            Err(HolderError::WrongPassphrase)
        ));
    }
}
