//! The files of a tool that insists on keeping its tokens itself, kept for it: encrypted here, in memory where it runs.
//!
//! What a tool keeps is one sealed file, named for the folders it is about. It is opened before the tool runs, with the lock
//! of those folders held, written again whenever the tool has changed something, and removed when nothing is left. Its key is on
//! the best rung there is, as a sign-in's.

use std::fs::File;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use hallpass_model::jose::base64url;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Holder;
use crate::error::HolderError;
use crate::private;
use crate::sealing;
use crate::vault::{KeyPlace, RecordKey, Rung};

const MAGIC: &[u8] = b"HALLPASS-WRAPPED 1\n";
const EXTENSION: &str = "wrapped";
/// Room for a few files, taken at once: growing would leave copies behind.
const BODY_LEN_USUAL: usize = 64 * 1024;
/// What a tool keeps at most, in bytes, over all its files: a private file is not larger, and tokens are small.
pub const KEPT_LEN_MAX: usize = 512 * 1024;

/// A file that is kept for a tool.
#[derive(Debug)]
pub struct KeptFile {
    /// Where the tool wants it.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// What is in it.
    pub contents: Secret<KeyMaterial>,
}

/// What is kept for a tool. While it is there, nobody else has it.
pub struct Wrapped {
    file: PathBuf,
    header: Header,
    key: RecordKey,
    kept: Vec<KeptFile>,
    lock: File,
}

/// What stands in the clear, authenticated with the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    folders: Vec<PathBuf>,
    key: KeyPlace,
    written: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Shown {
    files: Vec<ShownFile>,
}

#[derive(Serialize, Deserialize)]
struct ShownFile {
    path: PathBuf,
    mode: u32,
    contents: Zeroizing<String>,
}

impl Holder {
    /// Opens what is kept for a tool whose files are in these folders, or makes room for it. The caller holds it alone.
    ///
    /// # Errors
    /// `Locked` if another run of the tool has it, `NoRung` if there is nowhere to keep a key, and whatever is wrong with the
    /// disk. A passphrase may be asked for.
    pub fn wrapped(&self, folders: &[PathBuf]) -> Result<Wrapped, HolderError> {
        let folder = self.shelf.make_folder()?;
        let name = name(folders);
        let lock_path = folder.join(format!("{name}.wrapping"));
        let lock = private::lock_file(&lock_path)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(HolderError::Locked { waited_seconds: 0 }),
            Err(error) => return Err(HolderError::disk("cannot lock", &lock_path)(error.into())),
        }
        let file = folder.join(&name).with_extension(EXTENSION);
        let vault = self.shelf.vault();
        let Some(bytes) = private::read(&file)? else {
            let (place, key) = vault.new_key(self.shelf.choose_for_others()?, &name, "")?;
            let header = Header { folders: folders.to_vec(), key: place, written: (self.clock)() };
            return Ok(Wrapped { file, header, key, kept: Vec::new(), lock });
        };
        let damaged = |why| HolderError::Damaged { path: file.clone(), why };
        let parts = sealing::parts::<Header>(MAGIC, sealing::HEADER_LEN_MAX, &bytes)
            .map_err(|_| damaged("its header cannot be read"))?;
        let rung = parts.header.key.rung();
        let gone = || HolderError::NoRung {
            why: format!("the key of what is kept in `{}` is no longer in the {rung}", file.display()),
        };
        let key = vault.find_key(&parts.header.key)?.ok_or_else(gone)?;
        let body = parts.open(&key).ok_or_else(|| match rung {
            Rung::Passphrase => HolderError::WrongPassphrase,
            _ => damaged("it does not open with its key; it was changed, or copied from elsewhere"),
        })?;
        let kept = parse(&body).ok_or_else(|| damaged("its contents cannot be read"))?;
        Ok(Wrapped { header: parts.header, key, kept, lock, file })
    }

    /// Writes what a tool keeps now; removes the file, and its key, if that is nothing.
    ///
    /// # Errors
    /// If it cannot be written: then what was there before is there still.
    pub fn keep(&self, wrapped: &mut Wrapped, kept: Vec<KeptFile>) -> Result<(), HolderError> {
        if kept.is_empty() {
            private::remove(&wrapped.file)?;
        } else {
            let len: usize = kept.iter().map(|file| file.contents.expose().len()).sum();
            if len > KEPT_LEN_MAX {
                return Err(HolderError::Unsupported {
                    what: format!(
                        "the tool keeps {len} bytes, and {KEPT_LEN_MAX} is the most that is kept for it"
                    ),
                });
            }
            wrapped.header.written = (self.clock)();
            let mut body = render(&kept);
            let bytes = sealing::seal(MAGIC, &wrapped.header, Some((&wrapped.key, &mut body)));
            private::write(&wrapped.file, &bytes)?;
        }
        wrapped.kept = kept;
        Ok(())
    }

    /// Lets it go. A key that nothing is kept under is wiped.
    pub fn let_go(&self, wrapped: Wrapped) {
        if wrapped.kept.is_empty() && wrapped.header.key.rung() != Rung::Passphrase {
            let _ = self.shelf.vault().wipe_key(&wrapped.header.key);
        }
    }
}

impl Wrapped {
    /// What is kept.
    pub fn kept(&self) -> &[KeptFile] {
        &self.kept
    }

    /// Where its key rests.
    pub fn rung(&self) -> Rung {
        self.header.key.rung()
    }

    /// Lets whatever is started from here on hold the lock too, until the last of it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn share_lock(&self) -> std::io::Result<()> {
        Ok(rustix::io::fcntl_setfd(&self.lock, rustix::io::FdFlags::empty())?)
    }

    /// The encrypted file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl std::fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wrapped").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A name for files and locks, different for each set of folders.
fn name(folders: &[PathBuf]) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut hash = digest::Context::new(&digest::SHA256);
    for folder in folders {
        hash.update(folder.as_os_str().as_bytes());
        hash.update(&[0]);
    }
    let hash = hash.finish();
    let hex: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("wrapped-{hex}")
}

fn render(kept: &[KeptFile]) -> Zeroizing<Vec<u8>> {
    let file = |file: &KeptFile| ShownFile {
        path: file.path.clone(),
        mode: file.mode,
        contents: base64url::render(file.contents.expose()).into(),
    };
    let shown = Shown { files: kept.iter().map(file).collect() };
    let len = BODY_LEN_USUAL + shown.files.iter().map(|file| file.contents.len() + 1024).sum::<usize>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    serde_json::to_writer(&mut *bytes, &shown).expect("what is kept is a struct of JSON values");
    bytes
}

fn parse(bytes: &[u8]) -> Option<Vec<KeptFile>> {
    let shown: Shown = serde_json::from_slice(bytes).ok()?;
    let file = |file: &ShownFile| {
        Some(KeptFile {
            path: file.path.clone(),
            mode: file.mode,
            contents: Secret::new(base64url::parse(&file.contents)?),
        })
    };
    shown.files.iter().map(file).collect()
}
