//! The program is two files: the small one that is called, the front, and the whole one behind it, which the front becomes for
//! whatever it does not know itself (docs/decisions/0008).
//!
//! What holds between the two is a command line and an environment, and nothing else: in the middle of an upgrade, the old one
//! of either and the new one of the other get on.
//!
//! SECURITY: the whole one is found from where the front's own file really is, by the kernel's word, and never by what anybody
//! calls it, by the environment or by PATH; and only one is run that nobody can have put there who could not as well have
//! changed the front.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// The file of the process that runs, even if another was put at its place since.
const RUNNING: &str = "/proc/self/exe";
/// What the system writes behind the place of a file that is gone.
const GONE: &str = " (deleted)";
/// The front's name.
const FRONT: &str = "hallpass";
/// Where the whole program is, from the folder that the front is in: beside it, as it is built, or where it is installed.
pub(crate) const BEHIND: [&str; 2] = ["hallpass-main", "../libexec/hallpass/hallpass-main"];
/// And where the front is, from there.
const BEFORE: [&str; 2] = ["", "../../bin"];
/// Mode bits by which the group and others could write.
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// In a folder with this bit, what is somebody's stays theirs, whoever else may write there.
const STICKY: u32 = 0o1000;

/// Becomes the whole program, with the same command line. Comes back only where that cannot be, and says why.
pub(crate) fn step_aside(mut arguments: impl Iterator<Item = OsString>) -> Failure {
    let whole = match own_place().and_then(|front| whole(&front)) {
        Ok(whole) => whole,
        Err(failure) => return failure,
    };
    let mut command = Command::new(&whole);
    command.arg0(arguments.next().unwrap_or_else(|| FRONT.into()));
    let error = command.args(arguments).exec();
    Failure::could_not_run(format_args!("`{}` cannot be run: {error}", whole.display())).hint(REINSTALL)
}

const REINSTALL: &str = "install hallpass again: it is two programs, and this is only the smaller one";

/// Whoever lists processes finds this one by the name it was called by, not by its file's.
pub(crate) fn keep_name() {
    let _ = rustix::thread::set_name(c"hallpass"); // it is only a name
}

/// The front that leads to this program: what other programs' files are to name. This very file where there is none.
pub(crate) fn front() -> io::Result<PathBuf> {
    let own = without_mark(std::fs::read_link(RUNNING)?);
    let folder = own.parent().unwrap_or(Path::new("/"));
    let fronts = BEFORE.iter().map(|place| folder.join(place).join(FRONT));
    let leads_here = |front: &PathBuf| whole_of(front).is_some_and(|whole| whole == own);
    let front = fronts.filter_map(|front| std::fs::canonicalize(front).ok()).find(leads_here);
    Ok(front.unwrap_or(own))
}

/// The places that the two files have. Both are this one, where there is no front.
pub(crate) fn both() -> io::Result<[PathBuf; 2]> {
    Ok([front()?, without_mark(std::fs::read_link(RUNNING)?)])
}

/// Where the front really is.
fn own_place() -> Result<(PathBuf, Metadata), Failure> {
    if let (Ok(place), Ok(found)) = (std::fs::read_link(RUNNING), std::fs::metadata(RUNNING)) {
        return Ok((without_mark(place), found));
    }
    // Without /proc: where it was a moment ago. SECURITY: a link on that way may lead elsewhere by now, so what it leads to must
    // be ours or root's. Without any, only who could have put another front there can have put another there since; and
    // whose it is may not be known, as in a user namespace that has no name for root.
    let said = started_from();
    let place = said.and_then(|place| std::fs::canonicalize(place).ok());
    let straight = place.as_deref() == said;
    let found = place.and_then(|place| std::fs::metadata(&place).ok().map(|found| (place, found)));
    let own_uid = rustix::process::geteuid().as_raw();
    found.filter(|(_, found)| straight || [0, own_uid].contains(&found.uid())).ok_or_else(|| {
        let why =
            format!("`{RUNNING}` is not there, and the rest of this program is found from where its file is");
        Failure::could_not_run(why).hint("mount /proc here, or run `hallpass-main`, which is whole by itself")
    })
}

/// The path that the kernel was given to start this process from (getauxval(3), `AT_EXECFN`).
#[expect(unsafe_code, reason = "the C library's word for it, without a library between that reads /proc")]
fn started_from() -> Option<&'static Path> {
    const AT_EXECFN: std::ffi::c_ulong = 31;
    unsafe extern "C" {
        fn getauxval(kind: std::ffi::c_ulong) -> std::ffi::c_ulong;
    }
    // SAFETY: the kernel writes a string with its end above the stack, which nobody changes, or there is none.
    let path = unsafe {
        let place = getauxval(AT_EXECFN) as *const std::ffi::c_char;
        (!place.is_null()).then(|| std::ffi::CStr::from_ptr(place))?
    };
    Some(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())))
}

/// The whole program behind this front, if it is one to run.
fn whole((front, found): &(PathBuf, Metadata)) -> Result<PathBuf, Failure> {
    let Some(whole) = whole_of(front) else {
        let folder = front.parent().unwrap_or(Path::new("/")).display();
        let [beside, installed] = BEHIND;
        let why = format!(
            "the rest of this program is missing: there is no `{beside}` in `{folder}`, and no `{installed}`"
        );
        return Err(Failure::could_not_run(why).hint(REINSTALL));
    };
    let refused = |why: String| {
        Failure::could_not_run(format_args!("`{}` is not run: {why}", whole.display())).hint(REINSTALL)
    };
    let there = std::fs::metadata(&whole).map_err(|error| refused(error.to_string()))?;
    let own_uid = rustix::process::geteuid().as_raw();
    as_safe(&there, found, own_uid).map_err(|why| refused(why.into()))?;
    // Beside the front it is the front's own folder: whoever may write there may as well replace the front.
    let folder = whole.parent().unwrap_or(Path::new("/"));
    if Some(folder) != front.parent() {
        let folder = std::fs::metadata(folder).map_err(|error| refused(error.to_string()))?;
        if folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0 {
            return Err(refused("others can write to its folder".into()));
        }
    }
    Ok(whole)
}

/// The first file that there is at one of the places behind this front.
fn whole_of(front: &Path) -> Option<PathBuf> {
    let folder = front.parent()?;
    BEHIND.iter().map(|place| folder.join(place)).find_map(|place| std::fs::canonicalize(place).ok())
}

/// Whether nobody can have put the whole program there who could not as well have changed the front.
fn as_safe(whole: &Metadata, front: &Metadata, own_uid: u32) -> Result<(), &'static str> {
    if !whole.is_file() {
        return Err("it is no file");
    }
    if ![0, own_uid, front.uid()].contains(&whole.uid()) {
        return Err("it belongs to another user");
    }
    let more = whole.mode() & !front.mode();
    let by_group = more & GROUP_WRITES != 0 || whole.mode() & GROUP_WRITES != 0 && whole.gid() != front.gid();
    if more & OTHERS_WRITE != 0 || by_group {
        return Err("others can change it");
    }
    Ok(())
}

fn without_mark(place: PathBuf) -> PathBuf {
    match place.to_str().and_then(|text| text.strip_suffix(GONE)) {
        Some(place) => place.into(),
        None => place,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Two files as they are installed: the front's place, and the whole one's.
    fn installed(root: &Path) -> [PathBuf; 2] {
        let [front, whole] = [root.join("bin/hallpass"), root.join("libexec/hallpass/hallpass-main")];
        for file in [&front, &whole] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
            mode(file, 0o755);
        }
        [front, whole]
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn found(front: &Path) -> Result<PathBuf, Failure> {
        whole(&(front.to_owned(), std::fs::metadata(front).unwrap()))
    }

    fn refused(front: &Path, why: &str) {
        let failure = found(front).unwrap_err();
        assert!(failure.message().contains(why), "{}", failure.message());
        assert!(failure.hint_text().unwrap().contains("install hallpass again"));
    }

    #[test]
    fn it_is_found_beside_the_front_or_where_it_is_installed_and_nowhere_else() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let [front, whole] = installed(&root);
        assert_eq!(found(&front).unwrap(), whole);
        let beside = root.join("bin/hallpass-main");
        std::fs::write(&beside, "").unwrap();
        assert_eq!(found(&front).unwrap(), beside);
        std::fs::remove_file(beside).unwrap();
        std::fs::remove_file(whole).unwrap();
        refused(&front, "missing");
    }

    /// SECURITY: somebody who copies the front alone to a folder that is everybody's runs nobody else's program.
    #[test]
    fn one_that_somebody_else_can_have_put_there_is_not_run() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let [front, whole] = installed(&root);
        for open in [0o775, 0o757] {
            mode(&whole, open);
            refused(&front, "others can change it");
        }
        // Where a umask leaves both to the group, whoever is of it can change either.
        mode(&whole, 0o775);
        mode(&front, 0o775);
        assert!(found(&front).is_ok());
        mode(&whole, 0o755);
        let folder = whole.parent().unwrap();
        mode(folder, 0o777);
        refused(&front, "others can write to its folder");
        mode(folder, 0o1777);
        assert!(found(&front).is_ok(), "what is ours stays ours there");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&whole, Some(65_534), None).unwrap();
            refused(&front, "another user");
            std::os::unix::fs::chown(&front, Some(65_534), None).unwrap();
            assert!(found(&front).is_ok(), "whoever owns the front owns both");
        }
        std::fs::remove_file(&whole).unwrap();
        std::fs::create_dir(&whole).unwrap();
        refused(&front, "it is no file");
    }

    #[test]
    fn the_kernel_tells_where_a_process_was_started_from_without_proc_too() {
        let place = started_from().unwrap().canonicalize().unwrap();
        assert_eq!(place, std::env::current_exe().unwrap().canonicalize().unwrap());
    }

    #[test]
    fn a_file_that_was_replaced_while_it_runs_is_looked_for_where_it_was() {
        assert_eq!(without_mark("/x/hallpass (deleted)".into()), Path::new("/x/hallpass"));
        assert_eq!(without_mark("/x/hallpass".into()), Path::new("/x/hallpass"));
    }
}
