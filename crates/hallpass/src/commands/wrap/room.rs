//! A mount namespace of our own, in which some folders are memory.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

use crate::namespace;

/// How often to look whether something has changed: what a tool wrote is at risk for so long.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(50);
/// What memory a folder takes at most: a tool that keeps more than this keeps no tokens.
const SIZE: &str = "16m";

/// The room we are in.
pub(super) struct Room {
    /// Each folder, and the one on disk beneath it.
    folders: Vec<PathBuf>,
    beneath: Vec<OwnedFd>,
}

impl Room {
    /// Enters a new room, in which these folders are empty memory. There is no way back.
    pub(super) fn enter(folders: &[PathBuf]) -> io::Result<Self> {
        let open = |folder: &PathBuf| {
            Ok(rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
        };
        let beneath = folders.iter().map(open).collect::<io::Result<_>>()?;
        namespace::enter(UnshareFlags::NEWNS)?;
        // SECURITY: nothing that is mounted from here on is seen outside.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        for folder in folders {
            memory(folder)?;
        }
        Ok(Self { folders: folders.to_vec(), beneath })
    }

    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Removes a file of a folder as it is on disk, durably.
    pub(super) fn remove_on_disk(&self, file: &Path) -> io::Result<()> {
        let at = self.folders.iter().position(|folder| file.parent() == Some(folder));
        let (Some(at), Some(name)) = (at, file.file_name()) else {
            return Err(io::Error::other("it is in none of the folders"));
        };
        rustix::fs::unlinkat(&self.beneath[at], name, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&self.beneath[at])?)
    }
}

/// SECURITY: memory that is swapped out is on disk. Only root may forbid that for a tmpfs; a ramfs never is, and has no bound
/// of its own.
fn memory(folder: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = |text: String| std::ffi::CString::new(text).expect("there is no zero byte in it");
    let bounded = options(format!("mode=0700,size={SIZE},noswap"));
    if mount("hallpass", folder, "tmpfs", flags, Some(bounded.as_c_str())).is_ok() {
        return Ok(());
    }
    Ok(mount("hallpass", folder, "ramfs", flags, Some(options("mode=0700".into()).as_c_str()))?)
}

/// Says when something in some folders has changed.
pub(super) struct Changes(OwnedFd);

impl Changes {
    pub(super) fn watch(folders: &[PathBuf]) -> io::Result<Self> {
        let watcher = rustix::fs::inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let what =
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        let mut all = folders.to_vec();
        while let Some(folder) = all.pop() {
            rustix::fs::inotify::add_watch(&watcher, &folder, what)?;
            all.extend(subfolders(&folder));
        }
        Ok(Self(watcher))
    }

    /// Waits until something has.
    pub(super) async fn some(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut some = false;
        loop {
            ticks.tick().await;
            // What exactly does not matter: everything is looked at.
            let mut events = [0u8; 4096];
            while rustix::io::read(&self.0, &mut events[..]).is_ok_and(|len| len > 0) {
                some = true;
            }
            if some {
                return;
            }
        }
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
