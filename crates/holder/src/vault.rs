//! Where secrets rest: the 32-byte key of a record. The record itself is an encrypted file (`record`).
//!
//! | rung | where the key is | it lives until |
//! |---|---|---|
//! | keyring | the user's persistent keyring in the kernel | logout, reboot, or some days without use |
//! | passphrase | nowhere: it is worked out from what the person types | logout |
//! | memory | this process | the end of the command |
//!
//! A rung is proven by a real write and read before anybody is sent to a browser, so that no token is minted and
//! lost; the one that worked stands in the record and is never lowered. There is no plaintext rung.

mod keyring; // the user's persistent keyring
mod passphrase; // worked out from what the person types
mod memory; // this process alone

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hallpass_model::secret::{Passphrase, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::HolderError;

pub use keyring::idle_life as keyring_idle_life;

/// The key of one record.
pub(crate) type RecordKey = Zeroizing<[u8; 32]>;

/// Where the key of a record rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// The user's persistent keyring in the kernel.
    Keyring,
    /// What the person types.
    Passphrase,
    /// This process alone.
    Memory,
}

impl Rung {
    /// Its name, as flags and JSON have it.
    pub const fn text(self) -> &'static str {
        match self {
            Rung::Keyring => "keyring",
            Rung::Passphrase => "passphrase",
            Rung::Memory => "memory",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::Keyring => "kernel keyring",
            Rung::Passphrase => "passphrase",
            Rung::Memory => "memory of this process",
        })
    }
}

impl FromStr for Rung {
    type Err = &'static str;
    /// The rungs a person may ask for; `memory` has a flag of its own.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keyring" => Ok(Rung::Keyring),
            "passphrase" => Ok(Rung::Passphrase),
            _ => Err("it is `keyring` or `passphrase`"),
        }
    }
}

/// What a passphrase is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// To protect a new record: typed twice.
    New,
    /// To open one.
    Open,
    /// To open one that the last one did not. `None` where asking again brings nothing else.
    Again,
    /// To do something nobody is waiting for: `None` unless it is to be had without asking anybody.
    Quietly,
}

/// Asks for a passphrase: a terminal, a file. `None` if nobody is there to give one.
pub type AskPassphrase = Arc<dyn Fn(Asking) -> std::io::Result<Option<Secret<Passphrase>>> + Send + Sync>;

/// Where the key of one record is, as its file says beside the ciphertext. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rung", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum KeyPlace {
    /// In the persistent keyring, under this name.
    Keyring {
        /// `hallpass:...`.
        name: String,
    },
    /// Argon2id of a passphrase.
    Passphrase(passphrase::Cost),
    /// In the memory of the process that made it, under this name. Never in a file.
    Memory {
        /// The record's.
        name: String,
    },
}

impl KeyPlace {
    pub(crate) fn rung(&self) -> Rung {
        match self {
            KeyPlace::Keyring { .. } => Rung::Keyring,
            KeyPlace::Passphrase(_) => Rung::Passphrase,
            KeyPlace::Memory { .. } => Rung::Memory,
        }
    }
}

/// The rungs of this machine.
pub(crate) struct Vault {
    passphrases: passphrase::Passphrases,
    memory: memory::Memory,
}

impl Vault {
    pub(crate) fn new(ask: AskPassphrase) -> Self {
        Self { passphrases: passphrase::Passphrases::new(ask), memory: memory::Memory::default() }
    }

    /// The rung to use: the one asked for, or the best that works. Proven by a real write and read (the keyring),
    /// or by having the passphrase in hand.
    pub(crate) fn choose(&self, wanted: Option<Rung>) -> Result<Rung, HolderError> {
        let no_keyring = match wanted {
            Some(Rung::Memory) => return Ok(Rung::Memory),
            Some(Rung::Passphrase) => None,
            Some(Rung::Keyring) | None => match keyring::probe() {
                Ok(()) => return Ok(Rung::Keyring),
                Err(why) => Some(why),
            },
        };
        if wanted == Some(Rung::Keyring) {
            let why = no_keyring.expect("the keyring was tried just now");
            return Err(HolderError::NoRung { why: format!("the kernel keyring {why}") });
        }
        match (self.passphrases.prepare()?, no_keyring) {
            (true, _) => Ok(Rung::Passphrase),
            (false, None) => Err(HolderError::PassphraseNeeded),
            (false, Some(why)) => Err(HolderError::NoRung {
                why: format!("the kernel keyring {why}, and nobody is there to type a passphrase"),
            }),
        }
    }

    /// Makes the key of a new record and puts it where its rung keeps it. `name` is the identity's.
    pub(crate) fn new_key(
        &self,
        rung: Rung,
        name: &str,
        login: &str,
    ) -> Result<(KeyPlace, RecordKey), HolderError> {
        match rung {
            Rung::Keyring => {
                let name = in_keyring(name, login);
                let key = random_key();
                keyring::save(&name, &key)
                    .map_err(|why| HolderError::NoRung { why: format!("the kernel keyring {why}") })?;
                Ok((KeyPlace::Keyring { name }, key))
            }
            Rung::Passphrase => {
                let (cost, key) = self.passphrases.new_key()?;
                Ok((KeyPlace::Passphrase(cost), key))
            }
            Rung::Memory => {
                let key = random_key();
                self.memory.save(name, &key);
                Ok((KeyPlace::Memory { name: name.to_owned() }, key))
            }
        }
    }

    /// Finds the key of a record. `None` if it is gone. Renews the keyring's timer.
    pub(crate) fn find_key(&self, place: &KeyPlace) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Keyring { name } => keyring::find(name)
                .map_err(|why| HolderError::NoRung { why: format!("the kernel keyring {why}") }),
            KeyPlace::Passphrase(cost) => self.passphrases.key(cost).map(Some),
            KeyPlace::Memory { name } => Ok(self.memory.find(name)),
        }
    }

    /// Finds a key without asking anybody. `None` if it is gone, or only a person has it.
    pub(crate) fn find_key_quietly(&self, place: &KeyPlace) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => self.passphrases.key_quietly(cost),
            place => self.find_key(place),
        }
    }

    /// Finds a key once more, after so many that did not open the record. `None` if there is no other to be had.
    pub(crate) fn find_key_again(
        &self,
        place: &KeyPlace,
        tried: usize,
    ) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => self.passphrases.key_again(cost, tried),
            KeyPlace::Keyring { .. } | KeyPlace::Memory { .. } => Ok(None),
        }
    }

    /// Wipes every key that can be of this identity's records, but for one: for records that cannot be read, and so do
    /// not say where their key is. Which rung there was one in.
    pub(crate) fn wipe_keys_of(&self, name: &str, but: Option<&KeyPlace>) -> Option<Rung> {
        let but = match but {
            Some(KeyPlace::Keyring { name }) => Some(name.as_str()),
            _ => None,
        };
        keyring::wipe_all(&in_keyring(name, ""), but).then_some(Rung::Keyring)
    }

    /// Wipes the key of a record. Whether there was one at rest.
    pub(crate) fn wipe_key(&self, place: &KeyPlace) -> bool {
        match place {
            KeyPlace::Keyring { name } => keyring::wipe(name),
            KeyPlace::Passphrase(cost) => {
                self.passphrases.forget(cost);
                false // it rests nowhere
            }
            KeyPlace::Memory { name } => self.memory.wipe(name),
        }
    }
}

/// What a key is called in the keyring: which identity's it is, and of which login.
fn in_keyring(name: &str, login: &str) -> String {
    format!("hallpass:{name}:{login}")
}

fn random_key() -> RecordKey {
    use hallpass_model::random::{Entropy, SystemEntropy};
    let mut key = RecordKey::default();
    SystemEntropy.fill(&mut key[..]);
    key
}
