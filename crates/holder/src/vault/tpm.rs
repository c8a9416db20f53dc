//! A TPM 2.0: each key sealed under the storage key of the machine's own, in a file beside the record.
//!
//! The file is not secret: without that very TPM it is noise, and another one says so. It is no protection against who runs
//! as this user or as root on this machine, nor against who has the whole machine: it binds a record to the machine, so that
//! a copy of the disk or of a backup opens nothing.
//!
//! The key crosses the bus to the chip encrypted, in a session that only that TPM can follow. Whoever merely listens there
//! learns nothing. Whoever changes what crosses is found out when a key is opened, for the storage key is known by its
//! name then; not when a sign-in is new, where nothing says yet which TPM it is.
//!
//! Tested with a software TPM (swtpm), not with hardware.

mod chip; // the commands
mod codes; // what it says instead of doing them
mod device; // the way there
mod session; // what hides what crosses
mod wire; // how it is written

use std::path::{Path, PathBuf};

use hallpass_model::jose::base64url;
use serde::{Deserialize, Serialize};

use super::{Fault, Keeper, RecordKey, random_key};
use crate::error::HolderError;
use crate::{private, sealing};
use chip::{Blob, Chip, Name, Trouble};

/// The kernel's way to the TPM, with its resource manager between: many programs can use it at once.
pub const TPM_DEVICE: &str = "/dev/tpmrm0";

/// How a sealed key's file begins.
const MAGIC: &[u8] = b"hallpass sealed key 1\n";
/// It is all header: names and a blob of some hundred bytes.
const HEADER_LEN_MAX: usize = 8 * 1024;
/// What such a file is called at its end.
const EXTENSION: &str = "sealed";
/// What all names of keys begin with.
const OURS: &str = "hallpass:";

/// The TPM at one place, and the folder of what it sealed.
pub(super) struct Tpm {
    place: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// A sealed key, as its file has it: base64url of what the TPM gave.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// The name of the storage key it is sealed under.
    under: String,
    /// The name of a key that the TPM always has, if one could be had: says whether it was cleared, or is another.
    by: Option<String>,
    public: String,
    private: String,
}

impl Tpm {
    pub(super) fn new(place: Option<PathBuf>, folder: Option<PathBuf>) -> Self {
        Self { place, folder }
    }

    fn open(&self) -> Result<Chip, Fault> {
        let place = self.place.as_deref().ok_or_else(|| Fault::Absent("is not on this machine".into()))?;
        Chip::open(place)
    }

    fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        let folder = self.folder.as_deref();
        let folder = folder.ok_or_else(|| Fault::Absent("has no folder to keep sealed keys in".into()))?;
        Ok(folder.join(format!("{}.{EXTENSION}", stem(name))))
    }

    fn seal(&self, key: &RecordKey) -> Result<Sealed, Fault> {
        let mut chip = self.open()?;
        // First, so that it is out again before there are others: the smallest of TPMs hold three.
        let by = chip.own_name()?;
        let under = chip.storage_key(None)?.expect("any will do");
        let blob = chip.seal(&under, key)?;
        Ok(Sealed {
            under: base64url::render(under.name),
            by: by.map(base64url::render),
            public: base64url::render(blob.public),
            private: base64url::render(blob.private),
        })
    }

    /// Opens a sealed key. `None` if nobody ever will: the TPM was cleared since, or the file was changed.
    fn unseal(&self, sealed: &Sealed) -> Result<Option<RecordKey>, Fault> {
        let parsed = (|| {
            let under: Name = base64url::parse_exact(&sealed.under)?;
            let blob = Blob {
                public: base64url::parse(&sealed.public)?,
                private: base64url::parse(&sealed.private)?,
            };
            Some((under, blob))
        })();
        let Some((name, blob)) = parsed else { return Ok(None) };
        let mut chip = self.open()?;
        let Some(under) = chip.storage_key(Some(&name))? else {
            drop(chip);
            return self.another_or_cleared(sealed);
        };
        match chip.unseal(&under, &blob) {
            Ok(key) => Ok(key.as_slice().try_into().map(RecordKey::new).ok()),
            Err(Trouble::Code(code)) if [codes::INTEGRITY, codes::SIZE].contains(&codes::kind(code)) => {
                Ok(None)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The storage key is another than it was: whether the TPM is, too.
    fn another_or_cleared(&self, sealed: &Sealed) -> Result<Option<RecordKey>, Fault> {
        let now = self.open()?.own_name()?.map(base64url::render);
        match (&sealed.by, now) {
            (Some(by), Some(now)) if *by != now => Err(Fault::Elsewhere),
            _ => Ok(None),
        }
    }
}

impl Keeper for Tpm {
    fn save(&self, name: &str, key: &RecordKey) -> Result<(), Fault> {
        let file = self.file(name)?;
        let sealed = self.seal(key)?;
        private::write(&file, &sealing::seal(MAGIC, &sealed, None)).map_err(|why| in_words(&why))
    }

    fn find(&self, name: &str) -> Result<Option<RecordKey>, Fault> {
        let Some(bytes) = private::read(&self.file(name)?).map_err(|why| in_words(&why))? else {
            return Ok(None);
        };
        match sealing::parts::<Sealed>(MAGIC, HEADER_LEN_MAX, &bytes) {
            Ok(parts) => self.unseal(&parts.header),
            Err(_) => Ok(None), // what nobody can read opens nothing
        }
    }

    fn wipe(&self, name: &str) -> Result<bool, Fault> {
        private::remove(&self.file(name)?).map_err(|why| in_words(&why))
    }

    fn wipe_all(&self, beginning: &str, but: Option<&str>) -> Result<bool, Fault> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let (beginning, but) = (stem(beginning), but.map(|but| self.file(but)).transpose()?);
        let mut any = false;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path();
            let begins = entry.file_name().to_str().is_some_and(|name| name.starts_with(&beginning));
            if begins && is_sealed_key(&file) && but.as_ref() != Some(&file) {
                any |= private::remove(&file).map_err(|why| in_words(&why))?;
            }
        }
        Ok(any)
    }

    /// The disk is proven where records are.
    fn probe(&self) -> Result<(), Fault> {
        let key = random_key();
        match self.unseal(&self.seal(&key)?)? {
            Some(opened) if *opened == *key => Ok(()),
            _ => Err(Fault::Failing("does not give back what was put in".into())),
        }
    }
}

/// What a key's file is called: as the key is, without the characters that file names cannot have everywhere.
fn stem(name: &str) -> String {
    name.strip_prefix(OURS).unwrap_or(name).replace(':', ".")
}

fn is_sealed_key(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == EXTENSION)
}

fn in_words(why: &HolderError) -> Fault {
    Fault::Failing(format!("has its sealed keys in a folder that cannot be used: {why}"))
}

#[cfg(test)]
mod tests;
