//! The data folder: the server's own and nobody else's, or the server does not start.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;

use crate::failure::Failure;

/// Makes the data folder if it is not there, 0700, and refuses one that others may enter or own.
pub(crate) fn own(data: &Path) -> Result<(), Failure> {
    let shown = data.display();
    make(data).map_err(|error| {
        Failure::could_not_run(format_args!("cannot make the data folder `{shown}`: {error}"))
            .hint("name another with `--data`, or make it yourself: 0700, owned by the server's own user")
    })?;
    // SECURITY: opened first and asked about afterwards, so that what is judged is what is used.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::open(data, flags, Mode::empty()) {
        Ok(folder) => File::from(folder),
        Err(Errno::NOTDIR | Errno::LOOP) if data.is_symlink() => {
            return Err(Failure::could_not_run(format_args!("the data folder `{shown}` is a symbolic link"))
                .hint("name the folder itself; a link can be turned elsewhere by whoever owns it"));
        }
        Err(Errno::NOTDIR) => {
            return Err(Failure::could_not_run(format_args!("the data folder `{shown}` is not a folder")));
        }
        Err(error) => {
            return Err(Failure::could_not_run(format_args!(
                "cannot open the data folder `{shown}`: {error}"
            )));
        }
    };
    let about = folder.metadata().map_err(|error| {
        Failure::could_not_run(format_args!("cannot look at the data folder `{shown}`: {error}"))
    })?;
    let own = rustix::process::geteuid().as_raw();
    if about.uid() != own {
        return Err(Failure::could_not_run(format_args!(
            "the data folder `{shown}` belongs to uid {}, and the server runs as uid {own}",
            about.uid()
        ))
        .hint(format_args!("run the server as the folder's owner, or `chown -R {own} {shown}`")));
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Failure::could_not_run(format_args!(
            "the data folder `{shown}` is open to others (mode {mode:04o})"
        ))
        .hint(format_args!("`chmod 700 {shown}`, and think about who could have been in it until now")));
    }
    match rustix::fs::access(data, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(error) => Err(unwritable(data, error.into())),
    }
}

/// A folder that cannot be written to.
pub(crate) fn unwritable(data: &Path, error: io::Error) -> Failure {
    Failure::could_not_run(format_args!("the data folder `{}` cannot be written to: {error}", data.display()))
        .hint("make it writable for the server's own user, or name another with `--data`")
}

fn make(data: &Path) -> io::Result<()> {
    if data.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    match data.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn refusal(data: &Path) -> String {
        let failure = own(data).unwrap_err();
        format!("{} | {}", failure.message(), failure.hint_text().unwrap_or_default())
    }

    #[test]
    fn a_missing_folder_is_made_for_the_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("a/b");
        own(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o700);
        own(&data).unwrap();
    }

    #[test]
    fn a_folder_open_to_others_is_refused_and_left_as_it_is() {
        let data = tempfile::tempdir().unwrap();
        for mode in [0o750, 0o705, 0o711, 0o770] {
            std::fs::set_permissions(data.path(), PermissionsExt::from_mode(mode)).unwrap();
            assert!(refusal(data.path()).contains("chmod 700"), "{mode:o}");
            assert_eq!(std::fs::metadata(data.path()).unwrap().permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_link_and_a_file_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (real, link, file) =
            (root.path().join("real"), root.path().join("link"), root.path().join("file"));
        own(&real).unwrap();
        symlink(&real, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        assert!(refusal(&link).contains("symbolic link"));
        assert!(refusal(&file).contains("is not a folder"));
    }

    #[test]
    fn a_folder_of_another_user_s_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return; // Only root can give a folder away.
        }
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(data.path(), Some(12345), None).unwrap();
        assert!(refusal(data.path()).contains("belongs to uid 12345"));
    }
}
