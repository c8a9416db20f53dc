//! Where a passphrase comes from: a private file that is named, or the person at the terminal.

use std::fs::File;
use std::io::{Error, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hallpass_holder::Asking;
use hallpass_model::secret::{Kind, Passphrase, Secret};
use zeroize::Zeroizing;

use crate::typed::typed;

/// A secret in a file, or typed, at most, in bytes: a page of it helps nobody, and a wrong path may lead to a large file.
pub(crate) const PASSPHRASE_LEN_MAX: usize = 4 * 1024;

/// Finds the passphrase. `None` if there is no file and nobody to ask, or there is no point in asking again.
pub(crate) fn find(
    asking: Asking,
    file: Option<&Path>,
    somebody_is_there: bool,
) -> Result<Option<Secret<Passphrase>>, Error> {
    match (asking, file) {
        (Asking::Again, Some(_)) => return Ok(None), // a file says the same again
        (_, Some(path)) => return secret_file(path).map(Some),
        (Asking::Quietly, None) => return Ok(None),
        (_, None) if !somebody_is_there => return Ok(None),
        (_, None) => {}
    }
    match asking {
        Asking::Quietly => Ok(None),
        Asking::Open => typed("passphrase of your sign-ins: ").map(Some),
        Asking::Again => {
            let again = typed("that one does not open it; try again, or Enter to give up: ")?;
            Ok(Some(again).filter(|typed| !typed.expose().is_empty()))
        }
        Asking::New => {
            let first = typed("choose a passphrase for your sign-in (8 characters or more): ")?;
            let again = typed("the same again: ")?;
            if !first.matches(again.expose()) {
                return Err(Error::other("the two are not the same"));
            }
            Ok(Some(first))
        }
    }
}

/// Reads a secret from a private file, less the end of its last line.
pub(crate) fn secret_file<K: Kind>(path: &Path) -> Result<Secret<K>, Error> {
    let named = |why: &str| Error::other(format!("`{}` {why}", path.display()));
    let file = File::open(path).map_err(|error| named(&format!("cannot be opened: {error}")))?;
    let found = file.metadata()?;
    // A pipe or descriptor is whoever opened it's; a file that others can read protects nothing.
    if found.is_file() && found.mode() & 0o077 != 0 {
        return Err(named("can be read by others: make it 0600"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_LEN_MAX + 1));
    file.take(PASSPHRASE_LEN_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(&format!("cannot be read: {error}")))?;
    if bytes.len() > PASSPHRASE_LEN_MAX {
        return Err(named("is too long for a secret"));
    }
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    if end == 0 {
        return Err(named("is empty"));
    }
    Ok(Secret::new(bytes[..end].to_vec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_passphrase_is_the_file_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        std::fs::write(&path, " correct horse \n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = find(Asking::Open, Some(&path), false).unwrap().unwrap();
        assert!(found.matches(b" correct horse "));
        std::fs::write(&path, "\n").unwrap();
        assert!(find(Asking::Open, Some(&path), false).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let why = find(Asking::Open, Some(&path), false).unwrap_err().to_string();
        assert!(why.contains("0600"), "{why}");
        assert!(find(Asking::Open, None, false).unwrap().is_none());
        assert!(find(Asking::Again, Some(&path), false).unwrap().is_none());
    }
}
