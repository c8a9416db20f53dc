//! Records that were made on another machine. They are never removed here: on a home that several hosts share they are
//! another host's, and alive.

use std::path::{Path, PathBuf};

use super::Shelf;
use super::disk::{EXTENSION, header};
use crate::error::HolderError;
use crate::record::Header;
use crate::vault::Rung;

/// Foreign records looked at, at most: many times what a person signs in to.
const FOREIGN_MAX: usize = 100;
/// Where an install id is kept, beside the records.
pub(crate) const INSTALL: &str = "install";

/// A record that was made on another machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Foreign {
    /// Its file.
    pub file: PathBuf,
    /// The issuer.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// The install id of the machine it was made on.
    pub(crate) install: Option<String>,
    /// Which login it is of.
    pub(crate) login: String,
}

impl Shelf {
    /// The records under this state folder that were made on another machine: those that stand in its folder, and those
    /// that were put into ours.
    pub(crate) fn foreign(&self) -> Vec<Foreign> {
        let Some(own) = self.folder() else { return Vec::new() };
        let beside = own.parent().into_iter().flat_map(listed).filter(|folder| is_machine(folder));
        let mut all = Vec::new();
        for file in beside.flat_map(|folder| listed(&folder)) {
            if all.len() == FOREIGN_MAX {
                break;
            }
            if file.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            let in_ours = file.parent() == Some(own);
            if let Ok(Some(header)) = header(&file)
                && (!in_ours || self.is_from_elsewhere(&header))
            {
                all.push(Foreign {
                    file,
                    issuer: header.issuer,
                    client_id: header.client_id,
                    install: header.install,
                    login: header.version.login,
                });
            }
        }
        all.sort_by(|a, b| a.file.cmp(&b.file));
        all
    }

    /// Whether a record was made on another machine, as it says itself.
    pub(super) fn is_from_elsewhere(&self, header: &Header) -> bool {
        header.machine != self.machine
    }

    /// Whether this machine has another install id than when the record was made, though the record is its own.
    pub(crate) fn is_moved(&self, header: &Header) -> bool {
        let now = self.install();
        self.is_from_elsewhere(header) || (header.install.is_some() && now.is_some() && header.install != now)
    }

    /// The install id that stands here, if one does.
    pub(super) fn install(&self) -> Option<String> {
        let bytes = crate::private::read(&self.folder()?.join(INSTALL)).ok().flatten()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

/// What a record that does not open is called, where it came from elsewhere.
pub(super) fn named(why: HolderError, issuer: &str, path: &Path) -> HolderError {
    match why {
        HolderError::KeyGone { .. }
        | HolderError::Damaged { .. }
        | HolderError::WrongPassphrase
        | HolderError::SealedElsewhere { .. }
        // A TPM does not move, and what another one sealed needs none here to be foreign.
        | HolderError::RungFailed { rung: Rung::Tpm, .. }
        | HolderError::RungForbidden { .. } => {
            HolderError::ForeignCopy { issuer: issuer.to_owned(), path: path.to_owned() }
        }
        other => other,
    }
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether a folder is named as a machine's.
fn is_machine(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == crate::machine::NAME_LEN && name.iter().all(u8::is_ascii_hexdigit)
}
