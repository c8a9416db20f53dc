//! A file before and after, shown as a difference, and written whole or not at all.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::Output;

/// A file of settings at most, in bytes.
const FILE_LEN_MAX: u64 = 4 * 1024 * 1024;
/// Lines around a difference that are shown.
const AROUND: usize = 2;
/// Of a file that is new: what is in it is nobody else's business.
const MODE: u32 = 0o600;
/// Of a program that is new.
const MODE_PROGRAM: u32 = 0o700;

/// What becomes of one file.
#[derive(Debug)]
pub(super) struct Change {
    /// The file, links on the way to it followed.
    pub(super) path: PathBuf,
    /// Its text; `None` where it is not there.
    pub(super) before: Option<String>,
    /// Its text to be; `None` where it is to go.
    pub(super) after: Option<String>,
    /// Whether it is a program.
    pub(super) program: bool,
}

/// A link to be there, or to be gone.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    /// Where it points to; `None` where it is to go.
    pub(super) to: Option<PathBuf>,
}

/// Reads a file that is to be changed. SECURITY: it must be inside `home`, links and all: a link that leads elsewhere is not
/// followed, since what it leads to may be another's.
pub(super) fn read(path: &Path, home: &Path) -> Result<(PathBuf, Option<String>), Failure> {
    let cannot =
        |why: String| Failure::could_not_run(format_args!("cannot change `{}`: {why}", path.display()));
    let real = real(path).map_err(|error| cannot(error.to_string()))?;
    let home = std::fs::canonicalize(home).map_err(|error| cannot(error.to_string()))?;
    if !real.starts_with(&home) {
        return Err(cannot(format!("it is, by a link, outside of `{}`", home.display())));
    }
    match std::fs::symlink_metadata(&real) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((real, None)),
        Err(error) => return Err(cannot(error.to_string())),
        Ok(found) if !found.is_file() => return Err(cannot("it is not a plain file".into())),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            return Err(cannot("it belongs to another user".into()));
        }
        Ok(found) if found.len() > FILE_LEN_MAX => return Err(cannot("it is too long".into())),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(&real).map_err(|error| cannot(error.to_string()))?;
    Ok((real, Some(text)))
}

/// A path with the links on it followed, as far as it is there.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(std::io::Error::new(ErrorKind::NotFound, "it is a link to nothing"));
            }
            let name = path.file_name().ok_or(error)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(real(folder.unwrap_or(Path::new("/")))?.join(name))
        }
        found => found,
    }
}

impl Change {
    /// Whether anything becomes of it.
    pub(super) fn is_one(&self) -> bool {
        self.before != self.after
    }

    /// Shows what changes, on standard error: it is a question, and no answer.
    pub(super) fn show(&self, out: &mut Output) {
        let name = self.path.display();
        match (&self.before, &self.after) {
            (None, _) => out.tell(format_args!("--- (new)\n+++ {name}")),
            (_, None) => out.tell(format_args!("--- {name}\n+++ (removed)")),
            _ => out.tell(format_args!("--- {name}\n+++ {name}")),
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        for line in difference(&text(&self.before), &text(&self.after)) {
            out.tell(line);
        }
    }

    /// Does it: another file beside it, synced, then renamed over it. What somebody else wrote since it was shown is not
    /// lost: then nothing is done.
    pub(super) fn apply(&self) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::could_not_run(format_args!("cannot write `{}`: {error}", self.path.display()))
        };
        let now = match std::fs::read_to_string(&self.path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(error)),
        };
        if now != self.before {
            return Err(Failure::try_later(format_args!("`{}` was changed meanwhile", self.path.display()))
                .hint("run it again, to see what would change now"));
        }
        let folder = self.path.parent().expect("a file stands in a folder");
        let Some(after) = &self.after else {
            return std::fs::remove_file(&self.path).map_err(cannot);
        };
        make_folder(folder).map_err(cannot)?;
        let mode = match std::fs::metadata(&self.path) {
            Ok(found) => found.mode() & 0o7777,
            Err(_) if self.program => MODE_PROGRAM,
            Err(_) => MODE,
        };
        let mut beside = tempfile::Builder::new().prefix(".hallpass-").tempfile_in(folder).map_err(cannot)?;
        beside.write_all(after.as_bytes()).map_err(cannot)?;
        beside.as_file().set_permissions(Permissions::from_mode(mode)).map_err(cannot)?;
        beside.as_file().sync_all().map_err(cannot)?;
        beside.persist(&self.path).map_err(|error| cannot(error.error))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot)
    }
}

impl Link {
    /// Whether it is not as it should be. A file of that name that is no link is somebody else's.
    pub(super) fn is_one(&self) -> Result<bool, Failure> {
        match std::fs::read_link(&self.path) {
            Ok(now) => Ok(self.to.as_ref() != Some(&now)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.to.is_some()),
            Err(_) => {
                Err(Failure::could_not_run(format_args!("`{}` is not a link of ours", self.path.display())))
            }
        }
    }

    pub(super) fn show(&self, out: &mut Output) {
        match &self.to {
            Some(to) => out.tell(format_args!("+ {} -> {}", self.path.display(), to.display())),
            None => out.tell(format_args!("- {}", self.path.display())),
        }
    }

    pub(super) fn apply(&self) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::could_not_run(format_args!("cannot write `{}`: {error}", self.path.display()))
        };
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        let folder = self.path.parent().expect("a link stands in a folder");
        match &self.to {
            Some(to) => {
                make_folder(folder).map_err(cannot)?;
                std::os::unix::fs::symlink(to, &self.path).map_err(cannot)
            }
            None => {
                let _ = std::fs::remove_dir(folder); // if it is empty now
                Ok(())
            }
        }
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The lines that differ, with a few around them.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let all = if let Some(all) = grown(&old, &new, '+') {
        all
    } else if let Some(all) = grown(&new, &old, '-') {
        all
    } else {
        let first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let rest =
            old[first..].iter().rev().zip(new[first..].iter().rev()).take_while(|(a, b)| a == b).count();
        let same = |line: &&str| (' ', (*line).to_owned());
        let mut all: Vec<_> = old[..first].iter().map(same).collect();
        all.extend(old[first..old.len() - rest].iter().map(|line| ('-', (*line).to_owned())));
        all.extend(new[first..new.len() - rest].iter().map(|line| ('+', (*line).to_owned())));
        all.extend(old[old.len() - rest..].iter().map(same));
        all
    };
    let near = |at: usize| {
        let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(all.len());
        all[around].iter().any(|(sign, _)| *sign != ' ')
    };
    let shown = all.iter().enumerate().filter(|(at, _)| near(*at));
    shown.map(|(_, (sign, line))| format!("{sign}{line}")).collect()
}

/// The lines of `new`, each with the sign of what is more in it than in `old`. `None` if that is not all there is to it.
fn grown(old: &[&str], new: &[&str], sign: char) -> Option<Vec<(char, String)>> {
    let mut left = old.iter().peekable();
    let all = new.iter().map(|line| match left.next_if(|old| *old == line) {
        Some(_) => (' ', (*line).to_owned()),
        None => (sign, (*line).to_owned()),
    });
    let all = all.collect();
    left.peek().is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changes_and_a_little_around_it() {
        let before = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(difference(before, "a\nb\nc\nd\nX\ne\nf\n"), [" c", " d", "+X", " e", " f"]);
        assert_eq!(difference(before, "a\nb\nc\nd\ne\n"), [" d", " e", "-f"]);
        assert_eq!(difference("{}\n", "{\n1\n}\n"), ["-{}", "+{", "+1", "+}"]);
        assert!(difference(before, before).is_empty());
    }

    #[test]
    fn a_file_keeps_its_mode_and_is_not_written_over_what_came_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x/config");
        let (path, before) = read(&path, folder.path()).unwrap();
        let change = Change { path: path.clone(), before, after: Some("one\n".into()), program: false };
        change.apply().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert!(change.apply().unwrap_err().message().contains("changed meanwhile"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let (_, before) = read(&path, folder.path()).unwrap();
        Change { path: path.clone(), before, after: Some("two\n".into()), program: false }.apply().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn a_link_is_followed_inside_of_home_and_nowhere_else() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = |name: &str, to: &Path| {
            let path = home.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path
        };
        let dotfiles = home.path().join("dotfiles");
        std::fs::write(&dotfiles, "mine\n").unwrap();
        let (real, text) = read(&link(".gitconfig", &dotfiles), home.path()).unwrap();
        assert_eq!((real, text.as_deref()), (std::fs::canonicalize(&dotfiles).unwrap(), Some("mine\n")));
        let other = elsewhere.path().join("config");
        std::fs::write(&other, "another's\n").unwrap();
        assert!(read(&link("a", &other), home.path()).is_err());
        assert!(read(&link("b", elsewhere.path()).join("new"), home.path()).is_err());
        assert!(read(&link("c", &home.path().join("nothing")), home.path()).is_err());
        assert!(read(home.path(), home.path()).is_err(), "a folder is no file");
    }
}
