//! The program that the daemon is, and the one that is at its place now: where an upgrade put another there, the daemon hands
//! itself over to that (`hand_over`). Where people call a small program that becomes it, its place is found from that one's.
//!
//! SECURITY: whoever asks does not say which program it is to be. It is the file at the place that the daemon itself was started
//! from, and only while nobody but its user and root can have put it there: whoever can merely reach the socket, from a
//! container say, could otherwise have what the daemon holds handed to a program of their own.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::private::own_uid;

/// The program that runs, even if its file was replaced since it started.
const RUNNING: &str = "/proc/self/exe";
/// What the system writes behind the place of a program whose file is gone.
const GONE: &str = " (deleted)";
/// As many symbolic links on the way as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The program of a daemon: where it was started from, and what makes that one take over.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) place: PathBuf,
    behind: Option<&'static str>,
    pub(super) arguments: Vec<OsString>,
    pub(super) own: FileId,
}

/// Which file, and of what contents, as far as the system tells without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

/// Another program than the one that runs, held open: what was looked at is what is started.
pub(super) struct Another {
    pub(super) id: FileId,
    pub(super) file: File,
}

impl FileId {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }
}

impl Program {
    /// The one that runs, which was called by this name: a path, or a word that was looked up in the folders of `path`. What is
    /// called so may be another file that becomes it: then it is at one of the places `behind`, from the folder that file
    /// really is in. With `arguments` it takes over from a daemon.
    ///
    /// # Errors
    /// If the system does not say what runs.
    pub fn running(
        called: &OsStr,
        path: Option<&OsStr>,
        behind: &[&'static str],
        arguments: Vec<OsString>,
    ) -> io::Result<Self> {
        let own = FileId::of(&std::fs::metadata(RUNNING)?);
        let leads = |place: &Path, behind| {
            let file = file(place, behind).and_then(std::fs::metadata);
            file.is_ok_and(|found| FileId::of(&found) == own)
        };
        let way = |place: PathBuf| {
            let mut ways = [None].into_iter().chain(behind.iter().copied().map(Some));
            let way = ways.find(|way| leads(&place, *way))?;
            Some((place, way))
        };
        let folders = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
        // A symbolic link is kept as it is: an upgrade may lay it elsewhere.
        let named = match Path::new(called) {
            alone if alone.components().count() == 1 => {
                folders.into_iter().map(|folder| folder.join(alone)).find_map(way)
            }
            relative => std::path::absolute(relative).ok().and_then(way),
        };
        let (place, behind) = match named.filter(|(place, _)| !place.starts_with("/proc")) {
            Some(named) => named,
            None => (without_mark(&std::fs::read_link(RUNNING)?), None),
        };
        Ok(Self { place, behind, arguments, own })
    }

    /// Where it is looked for: the place of what people call.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Which file is there now, if it is another than the one that runs.
    pub(super) fn replaced(&self) -> Option<FileId> {
        let file = file(&self.place, self.behind).and_then(std::fs::metadata);
        let there = FileId::of(&file.ok()?);
        (there != self.own).then_some(there)
    }

    /// The program that is there now, if it is another than the one that runs.
    ///
    /// # Errors
    /// Why it is not one to hand anything to.
    pub(super) fn another(&self) -> Result<Option<Another>, String> {
        let place = file(&self.place, self.behind)
            .map_err(|why| format!("`{}` cannot be looked at: {why}", self.place.display()))?;
        let shown = place.display();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(&place, flags, Mode::empty())
            .map(File::from)
            .map_err(|why| format!("`{shown}` cannot be looked at: {why}"))?;
        let found = file.metadata().map_err(|why| format!("`{shown}` cannot be looked at: {why}"))?;
        let id = FileId::of(&found);
        if id == self.own {
            return Ok(None);
        }
        if !found.is_file() {
            return Err(format!("`{shown}` is no program"));
        }
        only_ours(&place, &found)?;
        safe_way(&place)?;
        if self.behind.is_some() {
            safe_way(&self.place)?; // which leads there
        }
        Ok(Some(Another { id, file }))
    }
}

/// The program's own file.
fn file(place: &Path, behind: Option<&str>) -> io::Result<PathBuf> {
    let Some(behind) = behind else { return Ok(place.to_owned()) };
    let place = place.canonicalize()?;
    Ok(place.parent().unwrap_or(Path::new("/")).join(behind))
}

fn without_mark(place: &Path) -> PathBuf {
    let text = place.as_os_str().to_string_lossy();
    text.strip_suffix(GONE).map_or_else(|| place.to_owned(), PathBuf::from)
}

/// Whether nobody but this user and root can have changed it.
fn only_ours(path: &Path, found: &Metadata) -> Result<(), String> {
    let shown = path.display();
    if found.uid() != 0 && found.uid() != own_uid() {
        return Err(format!("`{shown}` belongs to another user"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(format!("others can change `{shown}`: `chmod go-w` it"));
    }
    Ok(())
}

/// The same of every folder and link on the way to it. In one that others may write to, what is there already stays ours where
/// it is sticky.
fn safe_way(place: &Path) -> Result<(), String> {
    let mut links = 0;
    let mut way = PathBuf::new();
    let mut ahead: Vec<OsString> = parts(place);
    while let Some(next) = ahead.pop() {
        if next == ".." {
            way.pop();
            continue;
        }
        way.push(&next);
        let look = |why: io::Error| format!("`{}` cannot be looked at: {why}", way.display());
        let found = std::fs::symlink_metadata(&way).map_err(look)?;
        if found.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(format!("`{}` leads round in a circle", place.display()));
            }
            if found.uid() != 0 && found.uid() != own_uid() {
                return Err(format!("`{}` belongs to another user", way.display()));
            }
            let to = std::fs::read_link(&way).map_err(look)?;
            way.pop();
            ahead.extend(parts(&to));
        } else if found.is_dir() && found.mode() & Mode::SVTX.bits() == 0 {
            only_ours(&way, &found)?;
        } else if found.uid() != 0 && found.uid() != own_uid() {
            return Err(format!("`{}` belongs to another user", way.display()));
        }
    }
    Ok(())
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let mut parts: Vec<OsString> = parts.map(|part| part.as_os_str().to_owned()).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// The program of somebody who was started from here.
    fn at(place: PathBuf) -> Program {
        let own = FileId { device: 0, inode: 0, len: 0, modified: (0, 0) };
        Program { place, behind: None, arguments: Vec::new(), own }
    }

    fn why(program: &Program) -> String {
        program.another().err().unwrap_or_default()
    }

    #[test]
    fn only_a_program_that_others_cannot_have_put_there_is_one_to_hand_over_to() {
        let root = tempfile::tempdir().unwrap();
        let (folder, program) = (root.path().join("bin"), root.path().join("bin/program"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&program, "one").unwrap();
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(&program, 0o755);
        mode(&folder, 0o755);
        let known = at(program.clone());
        assert!(known.another().unwrap().is_some());
        for (path, open) in [(&program, 0o775), (&program, 0o757), (&folder, 0o775), (&folder, 0o757)] {
            mode(path, open);
            assert!(why(&known).contains("others can change"), "{path:?} {open:o}");
            mode(path, 0o755);
        }
        mode(&folder, 0o1777);
        assert!(known.another().unwrap().is_some(), "in a sticky folder what is ours stays ours");
        mode(&folder, 0o755);

        // By a link, the way there counts as well as the way on from it.
        let open = root.path().join("open");
        std::fs::create_dir(&open).unwrap();
        symlink("../bin/program", open.join("program")).unwrap();
        let linked = at(open.join("program"));
        assert!(linked.another().unwrap().is_some());
        mode(&open, 0o777);
        assert!(why(&linked).contains("others can change"));
        mode(&open, 0o755);
        mode(&folder, 0o777);
        assert!(why(&linked).contains("others can change"));
        mode(&folder, 0o755);

        if own_uid() == 0 {
            std::os::unix::fs::chown(&program, Some(65_534), None).unwrap();
            assert!(why(&known).contains("another user"));
        }
        assert!(why(&at(folder)).contains("no program"));
        assert!(why(&at(root.path().join("nothing"))).contains("cannot be looked at"));
    }

    #[test]
    fn a_file_that_was_replaced_is_told_from_the_one_that_runs() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("program");
        std::fs::write(&path, "one").unwrap();
        let own = FileId::of(&std::fs::metadata(&path).unwrap());
        let known = Program { own, ..at(path.clone()) };
        assert!(known.replaced().is_none() && known.another().unwrap().is_none());
        std::fs::write(root.path().join("new"), "two").unwrap();
        std::fs::rename(root.path().join("new"), &path).unwrap();
        assert!(known.replaced().is_some() && known.another().unwrap().is_some());
    }

    #[test]
    fn it_is_looked_for_where_it_was_started_from() {
        let own = std::env::current_exe().unwrap();
        let (folder, name) = (own.parent().unwrap().to_owned(), own.file_name().unwrap().to_owned());
        let place = |called: &OsStr, path: &Path| {
            Program::running(called, Some(path.as_os_str()), &[], Vec::new()).unwrap().place
        };
        assert_eq!(place(own.as_os_str(), Path::new("")), own);
        assert_eq!(place(&name, &folder), own, "looked up as a shell does");
        assert_eq!(place(OsStr::new(RUNNING), Path::new("")), own);
        assert_eq!(place(OsStr::new("/bin/sh"), Path::new("/bin")), own, "another file is not it");
        let root = tempfile::tempdir().unwrap();
        symlink(&own, root.path().join("current")).unwrap();
        let linked = root.path().join("current");
        assert_eq!(place(linked.as_os_str(), Path::new("")), linked, "an upgrade may lay it elsewhere");
        assert_eq!(without_mark(Path::new("/x/hallpass (deleted)")), Path::new("/x/hallpass"));
    }

    /// What people call is a link to the front of one version, beside which its program is.
    #[test]
    fn behind_a_front_it_is_looked_for_from_where_that_really_is() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (one, two, current) = (root.join("1"), root.join("2"), root.join("current"));
        for version in [&one, &two] {
            std::fs::create_dir_all(version.join("libexec")).unwrap();
            std::fs::create_dir_all(version.join("bin")).unwrap();
            std::fs::write(version.join("bin/front"), "front").unwrap();
            std::fs::write(version.join("libexec/main"), version.as_os_str().as_encoded_bytes()).unwrap();
            set_permissions(version.join("libexec/main"), Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::remove_file(one.join("libexec/main")).unwrap();
        symlink(std::env::current_exe().unwrap(), one.join("libexec/main")).unwrap();
        symlink(&one, &current).unwrap();
        let front = current.join("bin/front");
        let behind = &["main", "../libexec/main"];
        let known = Program::running(front.as_os_str(), None, behind, Vec::new()).unwrap();
        assert_eq!(known.place(), front);
        assert!(known.replaced().is_none());

        std::fs::remove_file(&current).unwrap();
        symlink(&two, &current).unwrap();
        assert!(known.replaced().is_some());
        assert!(known.another().unwrap().is_some());
        // SECURITY: whoever can lay the link elsewhere says which program it is.
        set_permissions(&root, Permissions::from_mode(0o777)).unwrap();
        assert!(why(&known).contains("others can change"));
    }
}
