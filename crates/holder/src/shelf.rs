//! Where records stand: one file each, or the memory of this process for a login that dies with one command.
//!
//! Whoever writes names the version they read. Comparing and renaming happen under a short lock beside the records,
//! never held over the network, so that a late writer can neither overwrite a newer record nor bring back one that
//! was logged out in between.
//!
//! A record in memory stands beside the one on disk and, while it is there, before it. Neither touches the other, and
//! the one in memory needs no folder, no lock and no disk.

mod disk; // the files
mod foreign; // those of other machines

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use hallpass_model::time::Timestamp;
use zeroize::Zeroizing;

use crate::error::HolderError;
pub(crate) use crate::identity::Identity;
use crate::identity::ProfileName;
use crate::private;
use crate::record::{Header, Record, SealedRecord, Version, seal};
use crate::vault::{AskPassphrase, Chosen, Places, RecordKey, Rung, Vault, keyring_is_apart};
use disk::Disk;

pub use disk::Unreadable;
pub use foreign::Foreign;
pub(crate) use foreign::INSTALL;

/// How often a person may try to open one record with a passphrase: a slip of the finger or two.
const PASSPHRASES_TRIED: usize = 3;

/// The records of this user on this machine.
pub(crate) struct Shelf {
    /// What this machine is called, as its folder is.
    machine: String,
    disk: Disk,
    vault: Vault,
    memory: Mutex<HashMap<String, Vec<u8>>>,
}

/// A record as it was when it was read.
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) record: Record,
    key: RecordKey,
}

impl Loaded {
    /// Its key.
    pub(crate) fn key(&self) -> &RecordKey {
        &self.key
    }
}

/// The records that are here.
#[derive(Default)]
pub(crate) struct Listed {
    /// Each sign-in once, in the order of their names.
    pub(crate) headers: Vec<Header>,
    /// Files that should be records and do not even say whose.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It is on disk.
    Yes,
    /// Somebody wrote a newer one first; nothing was written.
    Overtaken,
    /// It was logged out, or replaced by another login; nothing was written.
    Gone,
}

/// What was wiped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wiped {
    pub(crate) file: Option<PathBuf>,
    pub(crate) key: Option<Rung>,
    /// Why the key may still be where it was. Without the file it opens nothing here.
    pub(crate) key_left: Option<String>,
}

impl Shelf {
    /// `state` is the program's own state folder; made private if need be. Records of different machines stand in
    /// different folders, so that two hosts on one exported home never overwrite each other's. Without it there is
    /// memory alone.
    pub(crate) fn open(state: Option<&Path>, machine: &str, ask: AskPassphrase, places: Places) -> Self {
        let disk = Disk::new(state.map(|state| state.join(machine)));
        let vault = Vault::new(ask, places, disk.folder());
        Self { machine: machine.to_owned(), disk, vault, memory: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.disk.folder()
    }

    /// The folder, made and made private.
    pub(crate) fn make_folder(&self) -> Result<&Path, HolderError> {
        self.disk.make()
    }

    /// Where keys rest.
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The rung to use, with a disk under it that takes a record: proven before anybody is sent anywhere.
    pub(crate) fn choose(&self, wanted: Option<Rung>, identity: &Identity) -> Result<Chosen, HolderError> {
        if wanted.is_none_or(Rung::is_at_rest) {
            self.disk.prove()?;
        }
        // A record that cannot be read says nothing of where it rested.
        let pinned = self.disk.header(&identity.name()).ok().flatten().map(|header| header.key.rung());
        self.vault.choose(wanted, pinned)
    }

    /// The same for what is no sign-in's.
    pub(crate) fn choose_for_others(&self) -> Result<Rung, HolderError> {
        self.disk.prove()?;
        Ok(self.vault.choose(None, None)?.rung)
    }

    /// Proves that a record can be written.
    pub(crate) fn prove(&self) -> Result<(), HolderError> {
        self.disk.prove()
    }

    /// What is here, readable or not.
    pub(crate) fn list(&self) -> Result<Listed, HolderError> {
        let mut listed = Listed::default();
        for bytes in self.memory().values() {
            listed
                .headers
                .extend(SealedRecord::parse(bytes, Path::new("memory")).map(|sealed| sealed.header));
        }
        self.disk.list(&mut listed)?;
        listed.headers.sort_by(|a, b| a.sorted_by().cmp(&b.sorted_by()));
        listed.headers.dedup_by(|a, b| a.identity() == b.identity());
        Ok(listed)
    }

    /// The header alone, for what must not need the key. `None` if there is no record.
    pub(crate) fn header(&self, identity: &Identity) -> Result<Option<Header>, HolderError> {
        match self.header_in_memory(identity) {
            Some(header) => Ok(Some(header)),
            None => self.disk.header(&identity.name()),
        }
    }

    /// Reads and opens a record. `None` if there is none.
    pub(crate) fn find(&self, identity: &Identity) -> Result<Option<Loaded>, HolderError> {
        match self.in_memory(identity) {
            Some(bytes) => self.unseal(&bytes, identity).map(Some),
            None => self.find_on_disk(identity),
        }
    }

    /// The same, of the record that a login on this rung would replace.
    pub(crate) fn find_replaced(
        &self,
        identity: &Identity,
        rung: Rung,
    ) -> Result<Option<Loaded>, HolderError> {
        match rung {
            Rung::Memory => self.in_memory(identity).map(|bytes| self.unseal(&bytes, identity)).transpose(),
            _ => self.find_on_disk(identity),
        }
    }

    fn find_on_disk(&self, identity: &Identity) -> Result<Option<Loaded>, HolderError> {
        match self.disk.read(&identity.name())? {
            Some(bytes) => self.unseal(&bytes, identity).map(Some),
            None => Ok(None),
        }
    }

    /// Opens a record. Where it is a passphrase that does not, the person may try again.
    fn unseal(&self, bytes: &[u8], identity: &Identity) -> Result<Loaded, HolderError> {
        let path = self.file(identity);
        let sealed = SealedRecord::parse(bytes, &path)?;
        if sealed.header.identity() != *identity {
            return Err(HolderError::Damaged { path, why: disk::ANOTHERS });
        }
        let elsewhere = self.is_from_elsewhere(&sealed.header);
        let opened = self.open_sealed(&sealed, &path);
        let (record, key) = match opened {
            Ok(opened) => opened,
            Err(why) if elsewhere || matches!(why, HolderError::SealedElsewhere { .. }) => {
                return Err(foreign::named(why, &identity.issuer, &path));
            }
            Err(why) => return Err(why),
        };
        Ok(Loaded { header: sealed.header, record, key })
    }

    fn open_sealed(
        &self,
        sealed: &SealedRecord<'_>,
        path: &Path,
    ) -> Result<(Record, RecordKey), HolderError> {
        let place = &sealed.header.key;
        let rung = place.rung();
        // A record of this very machine, and nobody took its key away: it is only not to be seen from inside.
        let apart = rung == Rung::Keyring && !self.is_from_elsewhere(&sealed.header) && keyring_is_apart();
        let gone = || match apart {
            true => HolderError::RungFailed {
                rung,
                why: "is another one in this user namespace, or has lost it".into(),
            },
            false => HolderError::KeyGone {
                issuer: sealed.header.issuer.clone(),
                profile: sealed.header.profile.clone(),
                rung,
            },
        };
        let mut key = self.vault.find_key(place)?.ok_or_else(gone)?;
        let mut tried = 1;
        let record = loop {
            match sealed.record(&key, path) {
                Err(HolderError::WrongPassphrase) => {
                    self.vault.wipe_key(place)?; // so that whoever tries next is asked
                    if tried == PASSPHRASES_TRIED {
                        return Err(HolderError::WrongPassphrase);
                    }
                    key = self.vault.find_key_again(place, tried)?.ok_or(HolderError::WrongPassphrase)?;
                    tried += 1;
                }
                opened => break opened?,
            }
        };
        Ok((record, key))
    }

    /// Writes a record that was read here, if nobody else has since. `loaded` then has the new version.
    pub(crate) fn save(&self, loaded: &mut Loaded, now: Timestamp) -> Result<Saved, HolderError> {
        let identity = loaded.header.identity();
        let header = Header { version: loaded.header.version.next(), written: now, ..loaded.header.clone() };
        let sealed = seal(&header, &loaded.record, &loaded.key);
        let saved = match header.key.rung() {
            Rung::Memory => {
                let mut memory = self.memory();
                let saved = may_follow(of_memory(&memory, &identity), loaded);
                if saved == Saved::Yes {
                    memory.insert(identity.name(), sealed);
                }
                saved
            }
            _ => {
                let _writing = self.disk.writing()?;
                let saved = may_follow(self.disk.header(&identity.name())?, loaded);
                if saved == Saved::Yes {
                    self.disk.write(&identity.name(), &sealed)?;
                }
                saved
            }
        };
        if saved == Saved::Yes {
            loaded.header = header;
        }
        Ok(saved)
    }

    /// Writes the record of a new login over whatever was there, and wipes the key of what was. A record that cannot
    /// be written is given back, so that what is in it can be revoked.
    pub(crate) fn replace(
        &self,
        identity: &Identity,
        rung: Rung,
        record: Record,
        now: Timestamp,
    ) -> Result<Loaded, (HolderError, Box<Record>)> {
        match self.write_new(identity, rung, &record, now) {
            Ok((header, key)) => Ok(Loaded { header, record, key }),
            Err(error) => Err((error, Box::new(record))),
        }
    }

    fn write_new(
        &self,
        identity: &Identity,
        rung: Rung,
        record: &Record,
        now: Timestamp,
    ) -> Result<(Header, RecordKey), HolderError> {
        if rung != Rung::Memory {
            self.disk.make()?;
        }
        let (name, version) = (identity.name(), Version::first());
        let (place, key) = self.vault.new_key(rung, &name, &version.login)?;
        let header = Header {
            issuer: identity.issuer.clone(),
            client_id: identity.client_id.clone(),
            profile: identity.profile.clone(),
            key: place,
            version,
            written: now,
            machine: self.machine.clone(),
            install: self.install(),
        };
        let sealed = seal(&header, record, &key);
        if rung == Rung::Memory {
            let mut memory = self.memory();
            let earlier = of_memory(&memory, identity);
            memory.insert(name, sealed);
            if let Some(earlier) = earlier {
                self.vault.wipe_key(&earlier.key)?;
            }
            return Ok((header, key));
        }
        let written = self.disk.writing().and_then(|writing| {
            let earlier = self.disk.header(&name);
            self.disk.write(&name, &sealed)?;
            drop(writing);
            Ok(earlier)
        });
        match written {
            Ok(Ok(None)) => {}
            // Its key opens nothing that is still here, so a rung that cannot be reached now is no reason to fail.
            Ok(Ok(Some(earlier))) => _ = self.vault.wipe_key(&earlier.key),
            Ok(Err(_)) => _ = self.vault.wipe_keys_of(&name, Some(&header.key)),
            Err(error) => {
                let _ = self.vault.wipe_key(&header.key); // it would open nothing
                return Err(error);
            }
        }
        Ok((header, key))
    }

    /// Moves a record under another profile. It stays the same sign-in, and its key where it is.
    pub(crate) fn rename(
        &self,
        identity: &Identity,
        profile: Option<ProfileName>,
        now: Timestamp,
    ) -> Result<Identity, HolderError> {
        let loaded = self.find(identity)?.ok_or_else(|| crate::refresh::gone(identity))?;
        let header =
            Header { profile, version: loaded.header.version.next(), written: now, ..loaded.header.clone() };
        let (to, sealed) = (header.identity(), seal(&header, &loaded.record, &loaded.key));
        if header.key.rung() == Rung::Memory {
            let mut memory = self.memory();
            memory.remove(&identity.name());
            memory.insert(to.name(), sealed);
            return Ok(to);
        }
        let _writing = self.disk.writing()?;
        if may_follow(self.disk.header(&identity.name())?, &loaded) != Saved::Yes {
            return Err(HolderError::Locked { waited_seconds: 0 });
        }
        // The new one first: a crash between the two leaves a record too many, never one too few.
        self.disk.write(&to.name(), &sealed)?;
        private::remove(&self.file(identity))?;
        Ok(to)
    }

    /// Wipes a record and its key. Always possible, even where the record cannot be opened.
    pub(crate) fn wipe(&self, identity: &Identity) -> Result<Wiped, HolderError> {
        let in_memory = self.memory().remove(&identity.name());
        match in_memory {
            Some(bytes) => {
                if let Ok(sealed) = SealedRecord::parse(&bytes, Path::new("memory")) {
                    self.vault.wipe_key(&sealed.header.key)?;
                }
                Ok(Wiped { file: None, key: Some(Rung::Memory), key_left: None })
            }
            None => self.wipe_on_disk(&identity.name(), &self.file(identity)),
        }
    }

    /// Wipes a record that does not say whose it is, and every key that can be its.
    pub(crate) fn wipe_unreadable(&self, unreadable: &Unreadable) -> Result<Wiped, HolderError> {
        self.wipe_on_disk(&unreadable.name(), &unreadable.file)
    }

    fn wipe_on_disk(&self, name: &str, file: &Path) -> Result<Wiped, HolderError> {
        if !self.disk.exists() {
            return Ok(Wiped::default());
        }
        let writing = self.disk.writing();
        // The key first: without it the file is noise, wherever copies of it are, and whatever the disk says now.
        let mut key_left = None;
        let key = match self.disk.header(name) {
            Ok(None) => None,
            Ok(Some(header)) if header.identity().name() == name => match self.vault.wipe_key(&header.key) {
                Ok(wiped) => wiped.then(|| header.key.rung()),
                Err(why) => {
                    key_left = Some(why.to_string());
                    None
                }
            },
            // A copy under another's name: the key it speaks of is that other's.
            Ok(Some(_)) | Err(_) => self.vault.wipe_keys_of(name, None),
        };
        let _writing = writing?;
        Ok(Wiped { file: private::remove(file)?.then(|| file.to_owned()), key, key_left })
    }

    /// The file of a record, whether it is there or not.
    pub(crate) fn file(&self, identity: &Identity) -> PathBuf {
        self.disk.file(&identity.name())
    }

    /// Whether a record is in the memory of this process.
    pub(crate) fn is_in_memory(&self, identity: &Identity) -> bool {
        self.memory().contains_key(&identity.name())
    }

    /// The records that are in the memory of this process, as they are sealed.
    pub(crate) fn sealed_in_memory(&self) -> Vec<Vec<u8>> {
        self.memory().values().cloned().collect()
    }

    /// Takes over what was in the memory of another process. Its keys are the vault's.
    pub(crate) fn put_in_memory(&self, sealed: Vec<Vec<u8>>) -> Result<(), HolderError> {
        for bytes in sealed {
            let name = SealedRecord::parse(&bytes, Path::new("memory"))?.header.identity().name();
            self.memory().insert(name, bytes);
        }
        Ok(())
    }

    /// Forgets what is in the memory of this process.
    pub(crate) fn clear_memory(&self) {
        for bytes in std::mem::take(&mut *self.memory()).into_values() {
            if let Ok(sealed) = SealedRecord::parse(&bytes, Path::new("memory")) {
                let _ = self.vault.wipe_key(&sealed.header.key); // memory does not fail
            }
        }
    }

    /// The sign-ins that are in the memory of this process, in the order of their names.
    pub(crate) fn list_memory(&self) -> Vec<Identity> {
        let memory = self.memory();
        let sealed = memory.values().filter_map(|bytes| SealedRecord::parse(bytes, Path::new("memory")).ok());
        let mut headers: Vec<Header> = sealed.map(|sealed| sealed.header).collect();
        headers.sort_by(|a, b| a.sorted_by().cmp(&b.sorted_by()));
        headers.iter().map(Header::identity).collect()
    }

    fn header_in_memory(&self, identity: &Identity) -> Option<Header> {
        of_memory(&self.memory(), identity)
    }

    fn in_memory(&self, identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
        self.memory().get(&identity.name()).map(|bytes| Zeroizing::new(bytes.clone()))
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.memory.lock().expect("no thread panics holding this")
    }
}

/// The header of a record in memory.
fn of_memory(memory: &HashMap<String, Vec<u8>>, identity: &Identity) -> Option<Header> {
    let sealed = SealedRecord::parse(memory.get(&identity.name())?, Path::new("memory"));
    Some(sealed.expect("what is in memory was sealed here").header)
}

/// Whether a record that was read may be written over what is there now.
fn may_follow(there: Option<Header>, read: &Loaded) -> Saved {
    match there.map(|there| there.version) {
        None => Saved::Gone,
        Some(there) if there.login != read.header.version.login => Saved::Gone,
        Some(there) if there != read.header.version => Saved::Overtaken,
        Some(_) => Saved::Yes,
    }
}

impl Header {
    fn sorted_by(&self) -> (&str, &str, Option<&ProfileName>) {
        (&self.issuer, &self.client_id, self.profile.as_ref())
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::new(&*self.issuer, &*self.client_id).under(self.profile.clone())
    }
}

#[cfg(test)]
mod tests;
