//! Keys in files of their own: made once, durably, and never made again over a database that needs the old one.
//!
//! A key file is one line of text, 0600, a plain file of the server's own uid. What is wider, foreign or a symbolic
//! link is refused: whoever could have put it there, or read it, could have the key. What systemd hands in as a credential
//! is root's, and readable by us alone in its own way; that is taken from the folder it names, and from nowhere else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::ledger::LedgerKey;
use hallpass_model::random::Entropy;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::env;

/// How a key-encryption key's line begins: which key it is, and the version of the form.
const KEK_WORD: &str = "hallpass-key-encryption-key-1";
/// A key's line is under 200 characters; more than this is another file, named by mistake.
const FILE_MAX: u64 = 4096;
/// 256 bits, for AES-256-GCM.
const KEK_LEN: usize = 32;

/// Which of the two keys a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// The key that the database's keys are encrypted under.
    Encryption,
    /// The key that signs the ledger's checkpoints.
    Ledger,
}

impl KeyKind {
    fn name(self) -> &'static str {
        match self {
            Self::Encryption => "key-encryption key",
            Self::Ledger => "ledger key",
        }
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// It is not there, and a database needs the very key that was in it.
    #[error("the {kind} is missing: there is no `{path}`, and the database was made with one", kind = .0.name(), path = .1.display())]
    Missing(KeyKind, PathBuf),
    /// It is a symbolic link.
    #[error("the {kind} `{path}` is a symbolic link", kind = .0.name(), path = .1.display())]
    Link(KeyKind, PathBuf),
    /// It is a folder, a socket or the like.
    #[error("the {kind} `{path}` is not a plain file", kind = .0.name(), path = .1.display())]
    NotAFile(KeyKind, PathBuf),
    /// Others may read or write it.
    #[error("the {kind} `{path}` is open to others (mode {mode:04o})", kind = .kind.name(), path = .path.display())]
    Wide {
        /// Which key.
        kind: KeyKind,
        /// Its file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another uid owns it.
    #[error("the {kind} `{path}` belongs to uid {owner}, not to the server's own", kind = .kind.name(), path = .path.display())]
    Foreign {
        /// Which key.
        kind: KeyKind,
        /// Its file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// It holds something else.
    #[error("`{path}` does not hold a {kind}: {why}", kind = .kind.name(), path = .path.display())]
    Malformed {
        /// Which key was wanted.
        kind: KeyKind,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        why: String,
    },
    /// The system refused.
    #[error("cannot {act} the {kind} `{path}`: {source}", kind = .kind.name(), path = .path.display())]
    System {
        /// `read` or `make`.
        act: &'static str,
        /// Which key.
        kind: KeyKind,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Missing(KeyKind::Encryption, path) => format!(
                "put the key back from its own backup, to `{}` or where `--kek` says; without it the database cannot be read, and a new key would not open it",
                path.display()
            ),
            Self::Missing(KeyKind::Ledger, path) => format!(
                "put the key back from its own backup, to `{}` or where `--ledger-key` says; a new key could not vouch for what is written",
                path.display()
            ),
            Self::Link(..) => {
                "name the file itself; a link can be turned to another file by whoever owns it".to_owned()
            }
            Self::NotAFile(..) => "name a plain file".to_owned(),
            Self::Wide { path, .. } => {
                format!("`chmod 600 {}`, and think about who could have read it until now", path.display())
            }
            Self::Foreign { path, .. } => {
                format!("run the server as the owner of `{}`, or `chown` it", path.display())
            }
            Self::Malformed { .. } => "put the right file there; key files are never made over".to_owned(),
            Self::System { act: "make", path, .. } => {
                format!("make the folder of `{}` and let the server's own uid write in it", path.display())
            }
            Self::System { .. } => "let the server's own uid read it".to_owned(),
        }
    }
}

/// Reads the key-encryption key; makes it first if it is not there and `may_make`.
///
/// `may_make` is false once a database exists: its keys open under the old key only.
pub(crate) fn encryption_key(
    path: &Path,
    may_make: bool,
    entropy: &dyn Entropy,
) -> Result<Zeroizing<[u8; KEK_LEN]>, KeyFileError> {
    let kind = KeyKind::Encryption;
    let text = read_or_make(kind, path, may_make, || {
        let mut key = Zeroizing::new([0u8; KEK_LEN]);
        entropy.fill(key.as_mut());
        // The whole length is known beforehand, so that no shorter buffer is left behind unwiped.
        let mut line = Zeroizing::new(String::with_capacity(KEK_WORD.len() + 2 + KEK_LEN * 2));
        line.push_str(KEK_WORD);
        line.push(' ');
        STANDARD.encode_string(key.as_ref(), &mut line);
        line.push('\n');
        line
    })?;
    let malformed = |why: &str| KeyFileError::Malformed { kind, path: path.to_owned(), why: why.to_owned() };
    let encoded = text
        .trim_end()
        .strip_prefix(KEK_WORD)
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(|| malformed("its first word is another's"))?;
    let mut key = Zeroizing::new([0u8; KEK_LEN]);
    // The decoder wants room for a whole group more than it writes.
    let mut room = Zeroizing::new([0u8; KEK_LEN + 3]);
    let len =
        STANDARD.decode_slice(encoded, room.as_mut()).map_err(|_| malformed("part of it may be missing"))?;
    if len != KEK_LEN {
        return Err(malformed("it is not 256 bits long"));
    }
    key.copy_from_slice(&room[..KEK_LEN]);
    Ok(key)
}

/// Reads the ledger key; makes it first, under `name`, if it is not there and `may_make`.
pub(crate) fn ledger_key(
    path: &Path,
    may_make: bool,
    name: &str,
    entropy: &dyn Entropy,
) -> Result<LedgerKey, KeyFileError> {
    let kind = KeyKind::Ledger;
    let text = read_or_make(kind, path, may_make, || {
        let key =
            LedgerKey::generate(name, entropy).expect("the ledger's name is made of a host name and digits");
        let mut line = Zeroizing::new(String::with_capacity(256));
        line.push_str(key.to_text().expose_text());
        line.push('\n');
        line
    })?;
    LedgerKey::from_text(&text).map_err(|bad| KeyFileError::Malformed {
        kind,
        path: path.to_owned(),
        why: bad.to_string(),
    })
}

/// Writes the private half of a client's key pair: a new file, 0600, never over another.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    make_file(path, text.as_bytes())
}

fn read_or_make(
    kind: KeyKind,
    path: &Path,
    may_make: bool,
    make: impl FnOnce() -> Zeroizing<String>,
) -> Result<Zeroizing<String>, KeyFileError> {
    match read(kind, path) {
        Err(KeyFileError::System { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    if !may_make {
        return Err(KeyFileError::Missing(kind, path.to_owned()));
    }
    let line = make();
    match make_file(path, line.as_bytes()) {
        // Another process made it in between: that one is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(kind, path),
        Err(source) => Err(KeyFileError::System { act: "make", kind, path: path.to_owned(), source }),
        Ok(()) => read(kind, path),
    }
}

/// Reads a key file, and refuses one that anybody else could have read or put there.
fn read(kind: KeyKind, path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let system =
        |source: io::Error| KeyFileError::System { act: "read", kind, path: path.to_owned(), source };
    // SECURITY: opened first and asked about afterwards, so that what is checked is what is read. NONBLOCK: a pipe
    // put in its place must not hold the server.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Err(KeyFileError::Link(kind, path.to_owned())),
        Err(error) => return Err(system(error.into())),
    };
    let about = file.metadata().map_err(system)?;
    if !about.is_file() {
        return Err(KeyFileError::NotAFile(kind, path.to_owned()));
    }
    let mode = about.mode() & 0o7777;
    let handed_in = is_credential(path, env::CREDENTIALS_DIRECTORY.path().as_deref());
    let (others, owners) = match handed_in {
        // systemd.exec(5): the group's bits are the mask of the list that names our user, and root made it.
        true => (0o037, [0, rustix::process::geteuid().as_raw()]),
        false => (0o077, [rustix::process::geteuid().as_raw(); 2]),
    };
    if mode & others != 0 {
        return Err(KeyFileError::Wide { kind, path: path.to_owned(), mode });
    }
    if !owners.contains(&about.uid()) {
        return Err(KeyFileError::Foreign { kind, path: path.to_owned(), owner: about.uid() });
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX as usize + 1));
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(system)?;
    if text.len() as u64 > FILE_MAX {
        return Err(KeyFileError::Malformed {
            kind,
            path: path.to_owned(),
            why: "it is too long".to_owned(),
        });
    }
    Ok(text)
}

/// Whether a file is one of the credentials that systemd put into this folder for us. SECURITY: right in it; what leads out of it
/// is not.
fn is_credential(path: &Path, folder: Option<&Path>) -> bool {
    folder.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(folder))
        && path.file_name().is_some_and(|name| name != "..")
}

/// Makes a file that was not there, 0600: whole and durable, or not at all.
fn make_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".hallpass-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Makes the folder of the default key files, 0700, if it is not there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match folder.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hallpass_model::random::Seeded;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn make(path: &Path) -> Zeroizing<[u8; KEK_LEN]> {
        encryption_key(path, true, &Seeded::new(1)).unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_read_back_ever_after() {
        let folder = folder();
        let path = folder.path().join("kek");
        let key = make(&path);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        // Other randomness and leave to make: the file that is there is the key.
        assert_eq!(encryption_key(&path, true, &Seeded::new(2)).unwrap(), key);
        assert_eq!(encryption_key(&path, false, &Seeded::new(2)).unwrap(), key);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_missing_key_is_not_made_where_a_database_needs_the_old_one() {
        let folder = folder();
        let path = folder.path().join("kek");
        let error = encryption_key(&path, false, &Seeded::new(1)).unwrap_err();
        assert!(matches!(error, KeyFileError::Missing(KeyKind::Encryption, _)), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = folder();
        let path = folder.path().join("kek");
        make(&path);
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = encryption_key(&path, true, &Seeded::new(1)).unwrap_err();
            assert!(matches!(error, KeyFileError::Wide { .. }), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_link_a_folder_and_a_pipe_are_refused() {
        let folder = folder();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        make(&real);
        symlink(&real, &link).unwrap();
        assert!(matches!(encryption_key(&link, true, &Seeded::new(1)), Err(KeyFileError::Link(..))));
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(matches!(encryption_key(&dangling, true, &Seeded::new(1)), Err(KeyFileError::Link(..))));
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(encryption_key(&pipe, true, &Seeded::new(1)), Err(KeyFileError::NotAFile(..))));
        assert!(matches!(
            encryption_key(folder.path(), true, &Seeded::new(1)),
            Err(KeyFileError::NotAFile(..))
        ));
    }

    #[test]
    fn another_text_is_refused_and_never_repeated() {
        let folder = folder();
        let path = folder.path().join("kek");
        let key = ledger_key(&path, true, "localhost/ledger", &Seeded::new(1)).unwrap();
        let error = encryption_key(&path, true, &Seeded::new(1)).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }));
        let said = format!("{error} {error:?} {}", error.hint());
        assert!(!said.contains(key.to_text().expose_text().trim_end()), "{said}");
        std::fs::write(&path, format!("{KEK_WORD} AAAA\n")).unwrap();
        assert!(matches!(encryption_key(&path, true, &Seeded::new(1)), Err(KeyFileError::Malformed { .. })));
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(encryption_key(&path, true, &Seeded::new(1)), Err(KeyFileError::Malformed { .. })));
    }

    #[test]
    fn the_two_keys_read_back_as_what_they_are() {
        let folder = folder();
        let path = folder.path().join("ledger");
        let made = ledger_key(&path, true, "id.example/ledger", &Seeded::new(1)).unwrap();
        let read = ledger_key(&path, false, "another/name", &Seeded::new(2)).unwrap();
        assert_eq!(made.verifier(), read.verifier());
    }

    #[test]
    fn a_credential_is_right_in_the_folder_that_systemd_names() {
        let folder = Path::new("/run/credentials/hallpass.service");
        assert!(is_credential(&folder.join("kek"), Some(folder)));
        for elsewhere in ["kek", "..", "sub/kek", "../other.service/kek"] {
            let path = if elsewhere == "kek" { PathBuf::from("/etc/kek") } else { folder.join(elsewhere) };
            assert!(!is_credential(&path, Some(folder)), "{elsewhere}");
        }
        assert!(!is_credential(&folder.join("kek"), None));
        assert!(!is_credential(Path::new("credentials/kek"), Some(Path::new("credentials"))));
    }
}
