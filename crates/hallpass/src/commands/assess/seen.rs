//! What anybody of the same user can see of a tool while it runs: arguments, environments, files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::secrets::Text;

/// A file at most, in bytes; a larger one is no credential.
const FILE_LEN_MAX: u64 = 1024 * 1024;
/// Files at most: a tool that writes more keeps no credentials in most of them.
const FILES_MAX: usize = 2_000;

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Each argument list, once.
    pub(super) arguments: BTreeSet<Text>,
    /// What processes had in their environments that we did not put there.
    pub(super) environments: BTreeSet<Text>,
    /// Processes that could not be looked into: they protect themselves.
    pub(super) closed: BTreeSet<i32>,
    /// Files by path, as they were last.
    pub(super) files: BTreeMap<PathBuf, Kept>,
}

/// A file.
pub(super) struct Kept {
    pub(super) contents: Zeroizing<Vec<u8>>,
    /// Its permission bits.
    pub(super) mode: u32,
}

impl Kept {
    /// Who may read it besides its owner, by its mode.
    pub(super) fn readers(&self) -> &'static str {
        match (self.mode & 0o004 != 0, self.mode & 0o040 != 0) {
            (true, _) => "everyone may read it",
            (false, true) => "its group may read it",
            (false, false) => "only its owner may read it",
        }
    }
}

impl Seen {
    /// Looks at every process of a session.
    pub(super) fn look_at_processes(&mut self, session: i32, given: &[(String, String)]) {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if session_of(pid) != Some(session) {
                continue;
            }
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if !arguments.is_empty() {
                self.arguments.insert(joined(&arguments));
            }
            match std::fs::read(format!("/proc/{pid}/environ")) {
                Ok(environment) => {
                    let ours = |one: &&[u8]| {
                        given.iter().any(|(name, value)| format!("{name}={value}").as_bytes() == *one)
                    };
                    let new =
                        environment.split(|byte| *byte == 0).filter(|one| !one.is_empty() && !ours(one));
                    self.environments.extend(new.map(joined));
                }
                Err(_) => _ = self.closed.insert(pid),
            }
        }
    }

    /// Looks at every file below a folder, links not followed.
    pub(super) fn look_at_files(&mut self, folder: &Path) {
        let mut to_do = vec![folder.to_owned()];
        while let Some(folder) = to_do.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, Ok(found)) = (entry.path(), entry.metadata()) else { continue };
                if found.is_dir() {
                    to_do.push(path);
                } else if found.is_file() && found.len() <= FILE_LEN_MAX && self.files.len() < FILES_MAX {
                    let contents = std::fs::read(&path).unwrap_or_default();
                    let kept = Kept {
                        contents: Zeroizing::new(contents),
                        mode: found.permissions().mode() & 0o7777,
                    };
                    self.files.insert(path, kept);
                }
            }
        }
    }
}

/// As text, one blank between the parts.
fn joined(bytes: &[u8]) -> Text {
    String::from_utf8_lossy(bytes).replace('\0', " ").into()
}

/// The session of a process (proc_pid_stat(5)): the sixth field; the second may have blanks in it.
fn session_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(3)?.parse().ok()
}
