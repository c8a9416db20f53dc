//! Where records stand: one file each, or the memory of this process for a login that dies with one command.
//!
//! Whoever writes names the version they read. Comparing and renaming happen under a short lock beside the records,
//! never held over the network, so that a late writer can neither overwrite a newer record nor bring back one that
//! was logged out in between.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aws_lc_rs::digest;
use hallpass_model::time::Timestamp;
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use crate::error::HolderError;
use crate::private;
use crate::record::{Header, Record, SealedRecord, Version, seal};
use crate::vault::{RecordKey, Rung, Vault};

const EXTENSION: &str = "record";

/// Which sign-in: an issuer and the client we are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The client.
    pub client_id: String,
}

impl Identity {
    /// A name for files and locks: short, of harmless characters, and different for every identity.
    pub(crate) fn name(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.issuer.as_bytes());
        hash.update(&[0]);
        hash.update(self.client_id.as_bytes());
        hash.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The records of this user on this machine.
pub(crate) struct Shelf {
    folder: PathBuf,
    vault: Vault,
    memory: Mutex<HashMap<String, Vec<u8>>>,
}

/// A record as it was when it was read.
pub(crate) struct Loaded {
    pub(crate) header: Header,
    pub(crate) record: Record,
    key: RecordKey,
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
}

impl Shelf {
    /// `state` is the program's own state folder; made private if need be. Records of different machines stand in
    /// different folders, so that two hosts on one exported home never overwrite each other's.
    pub(crate) fn open(state: &Path, machine: &str, vault: Vault) -> Self {
        Self { folder: state.join(machine), vault, memory: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The headers of all records here. Those that cannot be read are left out: each has its own error when used.
    pub(crate) fn list(&self) -> Result<Vec<Header>, HolderError> {
        let mut headers: Vec<Header> = Vec::new();
        for bytes in self.memory.lock().expect("no thread panics holding this").values() {
            headers.extend(SealedRecord::parse(bytes, Path::new("memory")).map(|sealed| sealed.header));
        }
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(headers),
            Err(source) => return Err(HolderError::disk("cannot read", &self.folder)(source)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Ok(Some(bytes)) = private::read(&path)
                && let Ok(sealed) = SealedRecord::parse(&bytes, &path)
            {
                headers.push(sealed.header);
            }
        }
        headers.sort_by(|a, b| (&a.issuer, &a.client_id).cmp(&(&b.issuer, &b.client_id)));
        Ok(headers)
    }

    /// The header alone, for what must not need the key. `None` if there is no record.
    pub(crate) fn header(&self, identity: &Identity) -> Result<Option<Header>, HolderError> {
        let path = self.file(identity);
        match self.bytes(identity)? {
            Some(bytes) => SealedRecord::parse(&bytes, &path).map(|sealed| Some(sealed.header)),
            None => Ok(None),
        }
    }

    /// Reads and opens a record. `None` if there is none.
    pub(crate) fn find(&self, identity: &Identity) -> Result<Option<Loaded>, HolderError> {
        let path = self.file(identity);
        let Some(bytes) = self.bytes(identity)? else {
            return Ok(None);
        };
        let sealed = SealedRecord::parse(&bytes, &path)?;
        if sealed.header.issuer != identity.issuer || sealed.header.client_id != identity.client_id {
            return Err(HolderError::Damaged { path, why: "it is the record of another sign-in" });
        }
        let place = &sealed.header.key;
        let key = self
            .vault
            .find_key(place)?
            .ok_or_else(|| HolderError::KeyGone { issuer: identity.issuer.clone(), rung: place.rung() })?;
        let record = sealed.open(&key, &path).inspect_err(|_| {
            if place.rung() == Rung::Passphrase {
                self.vault.wipe_key(place); // so that the next try asks again
            }
        })?;
        Ok(Some(Loaded { header: sealed.header, record, key }))
    }

    /// Writes a record that was read here, if nobody else has since. `loaded` then has the new version.
    pub(crate) fn save(&self, loaded: &mut Loaded, now: Timestamp) -> Result<Saved, HolderError> {
        let identity = loaded.header.identity();
        let _writing = self.writing()?;
        match self.header(&identity)? {
            None => return Ok(Saved::Gone),
            Some(header) if header.version.login != loaded.header.version.login => return Ok(Saved::Gone),
            Some(header) if header.version != loaded.header.version => return Ok(Saved::Overtaken),
            Some(_) => {}
        }
        let header = Header { version: loaded.header.version.next(), written: now, ..loaded.header.clone() };
        self.put(&identity, &header, &seal(&header, &loaded.record, &loaded.key))?;
        loaded.header = header;
        Ok(Saved::Yes)
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
        private::folder(self.folder.parent().expect("the folder was joined to another"))?;
        private::folder(&self.folder)?;
        let version = Version::first();
        let (place, key) = self.vault.new_key(rung, &format!("{}:{}", identity.name(), version.login))?;
        let header = Header {
            issuer: identity.issuer.clone(),
            client_id: identity.client_id.clone(),
            key: place,
            version,
            written: now,
        };
        let _writing = self.writing()?;
        let earlier = self.header(identity).ok().flatten();
        if let Err(error) = self.put(identity, &header, &seal(&header, record, &key)) {
            self.vault.wipe_key(&header.key);
            return Err(error);
        }
        if let Some(earlier) = earlier {
            self.vault.wipe_key(&earlier.key);
        }
        Ok((header, key))
    }

    /// Wipes a record and its key. Always possible, even where the record cannot be opened.
    pub(crate) fn wipe(&self, identity: &Identity) -> Result<Wiped, HolderError> {
        let path = self.file(identity);
        let mut wiped = Wiped::default();
        let _writing = if self.folder.exists() { Some(self.writing()?) } else { None };
        // The key first: without it the file is noise, wherever copies of it are.
        if let Ok(Some(header)) = self.header(identity)
            && self.vault.wipe_key(&header.key)
        {
            wiped.key = Some(header.key.rung());
        }
        self.memory.lock().expect("no thread panics holding this").remove(&identity.name());
        if private::remove(&path)? {
            wiped.file = Some(path);
        }
        Ok(wiped)
    }

    /// The file of a record, whether it is there or not.
    pub(crate) fn file(&self, identity: &Identity) -> PathBuf {
        self.folder.join(format!("{}.{EXTENSION}", identity.name()))
    }

    fn bytes(&self, identity: &Identity) -> Result<Option<Zeroizing<Vec<u8>>>, HolderError> {
        if let Some(bytes) = self.memory.lock().expect("no thread panics holding this").get(&identity.name())
        {
            return Ok(Some(Zeroizing::new(bytes.clone())));
        }
        private::read(&self.file(identity))
    }

    fn put(&self, identity: &Identity, header: &Header, bytes: &[u8]) -> Result<(), HolderError> {
        if header.key.rung() == Rung::Memory {
            let mut memory = self.memory.lock().expect("no thread panics holding this");
            memory.insert(identity.name(), bytes.to_vec());
            return Ok(());
        }
        private::write(&self.file(identity), bytes)
    }

    /// The short lock around comparing and writing.
    fn writing(&self) -> Result<std::fs::File, HolderError> {
        let path = self.folder.join(".writing");
        let file = private::lock_file(&path)?;
        // Held for one small file's write and sync, so waiting for it is bounded by the disk.
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| HolderError::disk("cannot lock", &path)(error.into()))?;
        Ok(file)
    }
}

impl Header {
    pub(crate) fn identity(&self) -> Identity {
        Identity { issuer: self.issuer.clone(), client_id: self.client_id.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hallpass_model::secret::Secret;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn shelf(state: &Path) -> Shelf {
        let typed = Arc::new(|_| Ok(Some(Secret::from_text("correct horse".into()))));
        Shelf::open(&state.join("hallpass"), "here", Vault::new(typed))
    }

    fn identity() -> Identity {
        Identity { issuer: "https://id.example/acme".into(), client_id: "hallpass-cli".into() }
    }

    fn with_login(state: &Path) -> Shelf {
        let shelf = shelf(state);
        shelf.vault.choose(Some(Rung::Passphrase)).unwrap();
        shelf.replace(&identity(), Rung::Passphrase, Record::for_tests("refresh-1"), NOW).unwrap();
        shelf
    }

    fn refresh_in(loaded: &Loaded) -> &str {
        loaded.record.refresh.as_ref().unwrap().expose_text()
    }

    #[test]
    fn a_saved_record_is_found_and_listed() {
        let state = tempfile::tempdir().unwrap();
        let shelf = with_login(state.path());
        let mut loaded = shelf.find(&identity()).unwrap().unwrap();
        loaded.record.refresh = Some(Secret::from_text("refresh-2".into()));
        assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Yes);
        assert_eq!(refresh_in(&shelf.find(&identity()).unwrap().unwrap()), "refresh-2");
        assert_eq!(shelf.list().unwrap().len(), 1);
    }

    #[test]
    fn a_late_writer_neither_overwrites_a_newer_record_nor_brings_back_a_logged_out_one() {
        let state = tempfile::tempdir().unwrap();
        let shelf = with_login(state.path());
        let mut late = shelf.find(&identity()).unwrap().unwrap();
        let mut quick = shelf.find(&identity()).unwrap().unwrap();
        assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Yes);
        assert_eq!(shelf.save(&mut late, NOW).unwrap(), Saved::Overtaken);
        assert!(shelf.wipe(&identity()).unwrap().file.is_some());
        assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Gone);
        assert!(shelf.find(&identity()).unwrap().is_none());
        // A new login is not the old one, whatever its generation.
        let shelf = with_login(state.path());
        assert_eq!(shelf.save(&mut quick, NOW).unwrap(), Saved::Gone);
    }

    #[test]
    fn a_record_moved_under_another_identity_s_name_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let shelf = with_login(state.path());
        let other = Identity { issuer: "https://id.example/rival".into(), ..identity() };
        std::fs::rename(shelf.file(&identity()), shelf.file(&other)).unwrap();
        assert!(matches!(shelf.find(&other), Err(HolderError::Damaged { .. })));
    }

    #[test]
    fn a_wrong_passphrase_opens_nothing_and_a_wipe_needs_none() {
        let state = tempfile::tempdir().unwrap();
        with_login(state.path());
        let wrong = Vault::new(Arc::new(|_| Ok(Some(Secret::from_text("wrong horse".into())))));
        let shelf = Shelf::open(&state.path().join("hallpass"), "here", wrong);
        assert!(matches!(shelf.find(&identity()), Err(HolderError::WrongPassphrase)));
        assert!(shelf.wipe(&identity()).unwrap().file.is_some());
        assert!(shelf.find(&identity()).unwrap().is_none());
    }

    #[test]
    fn a_login_in_memory_leaves_no_file() {
        let state = tempfile::tempdir().unwrap();
        let shelf = shelf(state.path());
        shelf.replace(&identity(), Rung::Memory, Record::for_tests("refresh-1"), NOW).unwrap();
        let mut loaded = shelf.find(&identity()).unwrap().unwrap();
        assert_eq!(shelf.save(&mut loaded, NOW).unwrap(), Saved::Yes);
        let files = std::fs::read_dir(&shelf.folder).unwrap().flatten().map(|entry| entry.file_name());
        assert_eq!(files.collect::<Vec<_>>(), [".writing"]);
        shelf.wipe(&identity()).unwrap();
        assert!(shelf.find(&identity()).unwrap().is_none());
    }

    #[test]
    fn where_the_keyring_is_allowed_the_key_is_there_and_goes_with_the_record() {
        let state = tempfile::tempdir().unwrap();
        let shelf = shelf(state.path());
        if shelf.vault.choose(Some(Rung::Keyring)).is_err() {
            return; // a container that forbids it
        }
        shelf.replace(&identity(), Rung::Keyring, Record::for_tests("refresh-1"), NOW).unwrap();
        let header = shelf.find(&identity()).unwrap().unwrap().header;
        let copy = std::fs::read(shelf.file(&identity())).unwrap();
        assert_eq!(shelf.wipe(&identity()).unwrap().key, Some(Rung::Keyring));
        // A copy of the file opens nothing any more.
        private::write(&shelf.file(&identity()), &copy).unwrap();
        assert!(matches!(shelf.find(&identity()), Err(HolderError::KeyGone { .. })));
        assert!(!shelf.vault.wipe_key(&header.key));
    }
}
