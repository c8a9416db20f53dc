//! What is in some folders: read, laid out, and compared.

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hallpass_holder::{KEPT_LEN_MAX, KeptFile};
use hallpass_model::secret::{KeyMaterial, Secret};
use rustix::fs::OFlags;

/// A tool's folder with more than this in it is not one of tokens and settings.
const ENTRIES_MAX: usize = 1_000;
/// What is on disk there at most, in bytes: it is all laid out in memory.
const DISK_LEN_MAX: usize = 8 * 1024 * 1024;

/// Files by their paths, with what is in them, and folders and links that are just made again.
#[derive(Default)]
pub(super) struct Contents {
    files: BTreeMap<PathBuf, (u32, Secret<KeyMaterial>)>,
    folders: Vec<PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Contents {
    /// All that is in these folders.
    pub(super) fn read(folders: &[PathBuf]) -> io::Result<Self> {
        let mut all = Self::default();
        let (mut to_do, mut len, mut entries) = (folders.to_vec(), 0, 0);
        while let Some(folder) = to_do.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let found = path.symlink_metadata()?;
                entries += 1;
                if found.is_dir() {
                    all.folders.push(path.clone());
                    to_do.push(path);
                } else if found.file_type().is_symlink() {
                    all.links.push((path.clone(), std::fs::read_link(&path)?));
                } else if found.is_file() {
                    let contents = read(&path, DISK_LEN_MAX)?;
                    len += contents.expose().len();
                    all.files.insert(path, (found.mode() & 0o7777, contents));
                }
                // Sockets and pipes are of whoever listens there, and stay where they are.
                if entries > ENTRIES_MAX || len > DISK_LEN_MAX {
                    return Err(io::Error::other(format!("there is too much in `{}`", folder.display())));
                }
            }
        }
        Ok(all)
    }

    /// Lays it all out again.
    pub(super) fn lay_out(&self) -> io::Result<()> {
        for folder in &self.folders {
            std::fs::create_dir_all(folder)?;
        }
        for (link, leads_to) in &self.links {
            std::os::unix::fs::symlink(leads_to, link)?;
        }
        self.files.iter().try_for_each(|(path, (mode, contents))| write(path, *mode, contents.expose()))
    }

    pub(super) fn has(&self, file: &Path) -> bool {
        self.files.contains_key(file)
    }

    /// Whether a file is other than here, or not here.
    pub(super) fn differs(&self, file: &KeptFile) -> bool {
        let here = self.files.get(&file.path);
        here.is_none_or(|(mode, contents)| *mode != file.mode || !contents.matches(file.contents.expose()))
    }
}

/// Lays out what was kept, over whatever is there.
pub(super) fn lay_out(kept: &[KeptFile]) -> io::Result<()> {
    for file in kept {
        if let Some(folder) = file.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write(&file.path, file.mode, file.contents.expose())?;
    }
    Ok(())
}

/// What is in these folders now that is not on disk as well, but for files that are being written: those among the named that
/// are empty.
pub(super) fn snapshot(
    on_disk: &Contents,
    folders: &[PathBuf],
    being_written: &[PathBuf],
) -> io::Result<Vec<KeptFile>> {
    let now = Contents::read(folders)?;
    let kept = now.files.into_iter().map(|(path, (mode, contents))| KeptFile { path, mode, contents });
    let kept = kept.filter(|file| on_disk.differs(file));
    Ok(kept
        .filter(|file| !(file.contents.expose().is_empty() && being_written.contains(&file.path)))
        .collect())
}

/// Whether two are the same.
pub(super) fn same(one: &[KeptFile], other: &[KeptFile]) -> bool {
    let equal = |(a, b): (&KeptFile, &KeptFile)| {
        a.path == b.path && a.mode == b.mode && a.contents.matches(b.contents.expose())
    };
    one.len() == other.len() && one.iter().zip(other).all(equal)
}

fn read(path: &Path, len_max: usize) -> io::Result<Secret<KeyMaterial>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::with_capacity((file.metadata()?.len() as usize).min(KEPT_LEN_MAX) + 1);
    file.take(len_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn write(path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)?;
    file.write_all(contents)?;
    file.set_permissions(Permissions::from_mode(mode))
}
