//! Where secrets rest: the 32-byte key of a record. The record itself is an encrypted file (`record`).
//!
//! | rung | where the key is | it lives until |
//! |---|---|---|
//! | secret-service | the keyring of a desktop session (GNOME Keyring, KWallet) | logout |
//! | keychain, credential-manager | the same on macOS and on Windows | logout |
//! | keyring | the user's persistent keyring in the kernel | logout, reboot, or some days without use |
//! | tpm | nowhere: in the state folder, sealed by the machine's TPM | logout, or the TPM is cleared |
//! | passphrase | nowhere: it is worked out from what the person types | logout |
//! | daemon | the daemon's memory, and the record with it | the daemon's end |
//! | memory | this process | the end of the command |
//!
//! The best one that works is taken: proven by a real write and read before anybody is sent to a browser, so that no
//! token is minted and lost. It stands in the record, and a later login goes lower only if it is told to. There is no
//! plaintext rung.

mod bounded; // nobody is waited for longer than this
mod secret_service; // of a desktop session
#[cfg(target_os = "macos")]
mod keychain; // untested
#[cfg(windows)]
mod credential_manager; // untested
mod keyring; // the user's persistent keyring
mod tpm; // sealed by the machine's TPM
mod passphrase; // worked out from what the person types
mod memory; // this process alone

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::secret::{Passphrase, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::HolderError;

pub use hallpass_model::rung::Rung;
pub(crate) use keyring::goes_with_its_namespace as keyring_is_apart;
pub use keyring::idle_life as keyring_idle_life;
pub use tpm::TPM_DEVICE;

/// The key of one record.
pub(crate) type RecordKey = Zeroizing<[u8; 32]>;

/// Where the places are that a machine keeps keys in, as the program that embeds the holder knows them. Nothing is read
/// from the environment here.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Places {
    /// The addresses of the person's session bus (`DBUS_SESSION_BUS_ADDRESS`). None is ever started.
    pub session_bus: Option<String>,
    /// The TPM: a device such as [`TPM_DEVICE`], or a Unix socket that takes the same bytes. `None`: none is used.
    pub tpm: Option<PathBuf>,
}

/// Where keys are kept by name: what stands behind every rung but a passphrase.
trait Keeper: Send + Sync {
    /// Puts a key in, or replaces it.
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault>;

    /// Finds a key.
    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault>;

    /// Removes a key. Whether there was one.
    fn wipe(&self, name: &str) -> Result<bool, Fault>;

    /// Removes every key whose name begins so, but for one. Whether there was one.
    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault>;

    /// Writes a key, reads it back and removes it.
    fn probe(&self) -> Result<(), Fault> {
        let written = random_key();
        // Named apart, so that two probes at once do not remove one another's key.
        let unique = hallpass_model::jose::base64url::render(&random_key()[..12]);
        let name = format!("hallpass:probe:{unique}");
        self.save(&name, &written)?;
        let found = self.find(&name);
        self.wipe(&name)?;
        match found? {
            Some(found) if *found == *written => Ok(()),
            _ => Err(Fault::Failing("does not give back what was put in".into())),
        }
    }
}

/// Why a rung cannot be used, in words that follow its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This machine has none, as many do not.
    Absent(String),
    /// It is there, and does not do it.
    Failing(String),
    /// It is there, for others.
    Forbidden {
        /// The device or socket.
        place: PathBuf,
    },
    /// It works, and the key is one that only another machine's opens.
    Elsewhere,
}

impl Fault {
    fn why(&self) -> &str {
        match self {
            Self::Absent(why) | Self::Failing(why) => why,
            Self::Forbidden { .. } => "may not be used by this user",
            Self::Elsewhere => "did not seal it: another machine's did",
        }
    }
}

/// The rung to use, and what was passed over on the way to it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) rung: Rung,
    /// What a person would want to know: a better place that is there and does not work, or one given up.
    pub(crate) notes: Vec<String>,
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
    /// In the Secret Service, under this name.
    SecretService {
        /// `hallpass:...`.
        name: String,
    },
    /// In the macOS Keychain, under this name.
    Keychain {
        /// Likewise.
        name: String,
    },
    /// In the Windows Credential Manager, under this name.
    CredentialManager {
        /// Likewise.
        name: String,
    },
    /// In the state folder under this name, sealed by the TPM.
    Tpm {
        /// Likewise.
        name: String,
    },
    /// In the persistent keyring, under this name.
    Keyring {
        /// Likewise.
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
            KeyPlace::SecretService { .. } => Rung::SecretService,
            KeyPlace::Keychain { .. } => Rung::Keychain,
            KeyPlace::CredentialManager { .. } => Rung::CredentialManager,
            KeyPlace::Tpm { .. } => Rung::Tpm,
            KeyPlace::Keyring { .. } => Rung::Keyring,
            KeyPlace::Passphrase(_) => Rung::Passphrase,
            KeyPlace::Memory { .. } => Rung::Memory,
        }
    }

    /// What the key is called there.
    fn name(&self) -> Option<&str> {
        match self {
            KeyPlace::SecretService { name }
            | KeyPlace::Keychain { name }
            | KeyPlace::CredentialManager { name }
            | KeyPlace::Tpm { name }
            | KeyPlace::Keyring { name }
            | KeyPlace::Memory { name } => Some(name),
            KeyPlace::Passphrase(_) => None,
        }
    }

    fn kept(rung: Rung, name: String) -> Option<Self> {
        Some(match rung {
            Rung::SecretService => Self::SecretService { name },
            Rung::Keychain => Self::Keychain { name },
            Rung::CredentialManager => Self::CredentialManager { name },
            Rung::Tpm => Self::Tpm { name },
            Rung::Keyring => Self::Keyring { name },
            Rung::Memory => Self::Memory { name },
            Rung::Passphrase | Rung::Daemon => return None,
        })
    }
}

/// The rungs of this machine.
pub(crate) struct Vault {
    /// Those that keep keys by name, the best first, and whether one is taken without being asked for.
    keepers: Vec<(Rung, bool, Box<dyn Keeper>)>,
    /// The same as the rung of that name, for what is not ours in it.
    desktop: secret_service::SecretService,
    passphrases: passphrase::Passphrases,
}

impl Vault {
    /// `folder` is where records are, for what must stand beside them.
    pub(crate) fn new(ask: AskPassphrase, places: Places, folder: Option<&Path>) -> Self {
        let desktop = secret_service::SecretService::new(places.session_bus.clone());
        let mut keepers: Vec<(Rung, bool, Box<dyn Keeper>)> = Vec::new();
        let mut add = |rung, unasked, keeper| keepers.push((rung, unasked, keeper));
        add(Rung::SecretService, true, Box::new(secret_service::SecretService::new(places.session_bus)));
        #[cfg(target_os = "macos")]
        add(Rung::Keychain, true, Box::new(keychain::Keychain));
        #[cfg(windows)]
        add(Rung::CredentialManager, true, Box::new(credential_manager::CredentialManager));
        add(Rung::Keyring, !keyring::goes_with_its_namespace(), Box::new(keyring::Keyring));
        // Below the keyring: it is slow, and serves one program at a time.
        add(Rung::Tpm, true, Box::new(tpm::Tpm::new(places.tpm, folder.map(Path::to_owned))));
        add(Rung::Memory, false, Box::<memory::Memory>::default());
        Self { keepers, desktop, passphrases: passphrase::Passphrases::new(ask) }
    }

    /// The rung to use: the one asked for, or the best that works and is not below the one where the sign-in rests
    /// already. Proven by a real write and read, or by having the passphrase in hand.
    pub(crate) fn choose(&self, wanted: Option<Rung>, pinned: Option<Rung>) -> Result<Chosen, HolderError> {
        let Some(rung) = wanted else { return self.best(pinned) };
        match rung {
            Rung::Passphrase if !self.passphrases.prepare()? => return Err(HolderError::PassphraseNeeded),
            // It was proven by asking it.
            Rung::Passphrase | Rung::Daemon => {}
            rung => self.keeper(rung).and_then(Keeper::probe).map_err(|fault| no_rung(rung, fault))?,
        }
        let lowered = pinned.filter(|pinned| pinned.is_above(rung));
        let note = lowered.map(|pinned| {
            format!("it rested in the {pinned}; from now on it will rest lower, as you asked: {rung}")
        });
        Ok(Chosen { rung, notes: note.into_iter().collect() })
    }

    /// Where the sign-in rests already, or else the best that works: never one below.
    fn best(&self, pinned: Option<Rung>) -> Result<Chosen, HolderError> {
        if pinned == Some(Rung::Passphrase) && self.passphrases.prepare()? {
            return Ok(Chosen { rung: Rung::Passphrase, notes: Vec::new() });
        }
        let pinned = pinned.filter(|pinned| *pinned != Rung::Passphrase);
        let unasked = self.keepers.iter().filter(|(_, unasked, _)| *unasked).map(|(rung, ..)| *rung);
        let others = unasked.filter(|rung| pinned.is_none_or(|own| own != *rung && !own.is_above(*rung)));
        let (mut notes, mut faults) = (Vec::new(), Vec::new());
        for rung in pinned.into_iter().chain(others) {
            match self.keeper(rung).and_then(Keeper::probe) {
                Ok(()) => return Ok(Chosen { rung, notes }),
                Err(fault) => {
                    if !matches!(fault, Fault::Absent(_)) {
                        notes.push(format!("the {rung} {}", fault.why()));
                    }
                    faults.push((rung, fault));
                }
            }
        }
        if let (Some(rung), Some((_, fault))) = (pinned, faults.first()) {
            return Err(HolderError::WouldLower { rung, why: fault.why().to_owned() });
        }
        if self.passphrases.prepare()? {
            return Ok(Chosen { rung: Rung::Passphrase, notes });
        }
        let mut why: Vec<_> =
            faults.iter().map(|(rung, fault)| format!("the {rung} {}", fault.why())).collect();
        if keyring::goes_with_its_namespace() {
            why.push(
                "the kernel keyring of this user namespace goes with it, so it is taken only if asked for"
                    .into(),
            );
        }
        why.push("nobody is there to type a passphrase".into());
        Err(HolderError::NoRung { why: why.join(", ") })
    }

    fn keeper(&self, rung: Rung) -> Result<&dyn Keeper, Fault> {
        let found = self.keepers.iter().find(|(own, ..)| *own == rung).map(|(.., keeper)| &**keeper);
        found.ok_or_else(|| Fault::Absent("is not on this machine".into()))
    }

    /// Tries each that keeps keys at rest; why not follows its name.
    pub(crate) fn try_all(&self) -> Vec<(Rung, Result<(), String>)> {
        let at_rest = self.keepers.iter().filter(|(rung, ..)| rung.is_at_rest());
        at_rest
            .map(|(rung, _, keeper)| (*rung, keeper.probe().map_err(|fault| fault.why().to_owned())))
            .collect()
    }

    /// How many items with these attributes stand in the desktop's keyring. None is opened.
    pub(crate) fn count_on_desktop(&self, attributes: &[(&str, &str)]) -> Result<usize, String> {
        self.desktop.count(attributes)
    }

    /// Makes the key of a new record and puts it where its rung keeps it. `name` is the identity's.
    pub(crate) fn new_key(
        &self,
        rung: Rung,
        name: &str,
        login: &str,
    ) -> Result<(KeyPlace, RecordKey), HolderError> {
        let Some(place) = KeyPlace::kept(rung, kept_as(name, login)) else {
            let (cost, key) = self.passphrases.new_key()?;
            return Ok((KeyPlace::Passphrase(cost), key));
        };
        let key = random_key();
        let saved = self.keeper(rung).and_then(|keeper| keeper.save(&kept_as(name, login), &key));
        saved.map_err(|fault| no_rung(rung, fault))?;
        Ok((place, key))
    }

    /// Finds the key of a record. `None` if it is gone. Renews the keyring's timer.
    pub(crate) fn find_key(&self, place: &KeyPlace) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => self.passphrases.key(cost).map(Some),
            place => {
                let (rung, name) = (place.rung(), place.name().unwrap_or_default());
                let found = self.keeper(rung).and_then(|keeper| keeper.find(name));
                found.map_err(|fault| failed(rung, fault))
            }
        }
    }

    /// Finds a key without asking anybody. `None` if it is gone, or only a person has it.
    pub(crate) fn find_key_quietly(&self, place: &KeyPlace) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => self.passphrases.key_quietly(cost),
            place => self.find_key(place),
        }
    }

    /// Puts a key back where it was.
    pub(crate) fn put_back(&self, place: &KeyPlace, key: &RecordKey) -> Result<(), HolderError> {
        if let KeyPlace::Passphrase(cost) = place {
            self.passphrases.put_back(cost, key);
            return Ok(());
        }
        let (rung, name) = (place.rung(), place.name().unwrap_or_default());
        self.keeper(rung).and_then(|keeper| keeper.save(name, key)).map_err(|fault| no_rung(rung, fault))
    }

    /// What was worked out from passphrases, and for which records.
    pub(crate) fn worked_out(&self) -> Vec<(KeyPlace, RecordKey)> {
        self.passphrases.all().into_iter().map(|(cost, key)| (KeyPlace::Passphrase(cost), key)).collect()
    }

    /// Forgets what was worked out from passphrases: they are asked for again.
    pub(crate) fn forget_passphrases(&self) {
        self.passphrases.forget_all();
    }

    /// Finds a key once more, after so many that did not open the record. `None` if there is no other to be had.
    pub(crate) fn find_key_again(
        &self,
        place: &KeyPlace,
        tried: usize,
    ) -> Result<Option<RecordKey>, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => self.passphrases.key_again(cost, tried),
            _ => Ok(None),
        }
    }

    /// Wipes every key that can be of this identity's records, but for one: for records that cannot be read, and so do
    /// not say where their key is. Which rung there was one in.
    pub(crate) fn wipe_keys_of(&self, name: &str, but: Option<&KeyPlace>) -> Option<Rung> {
        let mut wiped = None;
        for (rung, _, keeper) in &self.keepers {
            let but = but.filter(|but| but.rung() == *rung).and_then(KeyPlace::name);
            if let Ok(true) = keeper.wipe_all(&kept_as(name, ""), but) {
                wiped = wiped.or(Some(*rung));
            }
        }
        wiped
    }

    /// Wipes the key of a record. Whether there was one at rest; an error if it may still be there.
    pub(crate) fn wipe_key(&self, place: &KeyPlace) -> Result<bool, HolderError> {
        match place {
            KeyPlace::Passphrase(cost) => {
                self.passphrases.forget(cost);
                Ok(false) // it rests nowhere
            }
            place => {
                let (rung, name) = (place.rung(), place.name().unwrap_or_default());
                let wiped = self.keeper(rung).and_then(|keeper| keeper.wipe(name));
                wiped.map_err(|fault| failed(rung, fault))
            }
        }
    }
}

/// A key cannot be put there.
fn no_rung(rung: Rung, fault: Fault) -> HolderError {
    match fault {
        Fault::Forbidden { place } => HolderError::RungForbidden { rung, place },
        fault => HolderError::NoRung { why: format!("the {rung} {}", fault.why()) },
    }
}

/// A key that is there cannot be had.
fn failed(rung: Rung, fault: Fault) -> HolderError {
    match fault {
        Fault::Forbidden { place } => HolderError::RungForbidden { rung, place },
        Fault::Elsewhere => HolderError::SealedElsewhere { rung },
        fault => HolderError::RungFailed { rung, why: fault.why().to_owned() },
    }
}

/// What a key is called where it is kept: which identity's it is, and of which login.
fn kept_as(name: &str, login: &str) -> String {
    format!("hallpass:{name}:{login}")
}

fn random_key() -> RecordKey {
    use hallpass_model::random::{Entropy, SystemEntropy};
    let mut key = RecordKey::default();
    SystemEntropy.fill(&mut key[..]);
    key
}

#[cfg(test)]
mod tests;
