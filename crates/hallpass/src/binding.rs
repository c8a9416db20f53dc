//! Which sign-in a directory asks for: the nearest `.hallpass.toml`, upwards from here.
//!
//! ```toml
//! profile = "work"                   # the sign-in that is meant in here
//! issuer = "https://id.example/acme" # or any at this issuer
//! org = "acme"                       # and it must be of this organisation, or nothing is handed out
//! resource = "https://api.example"   # the API that tokens are for, unless a flag says otherwise
//! scope = ["notes:read"]             # and how far they reach
//! ```
//!
//! SECURITY: anybody who can have a repository checked out can write one. So it is followed only once somebody has
//! looked at it and said `hallpass trust`, only while it is byte for byte what they saw, and it can say nothing that runs
//! a program, sends traffic elsewhere or changes whom we believe.

mod trusted; // what was looked at

use std::path::{Path, PathBuf};

use hallpass_holder::ProfileName;

use crate::failure::Failure;
use crate::holding::{parse_resource, parse_scope};
use crate::written::{Table, Written, is_missing};

pub(crate) use trusted::{trust, undo};

/// What it is called.
pub(crate) const FILE: &str = ".hallpass.toml";
/// A few lines; anything larger is not one.
const FILE_MAX: u64 = 64 * 1024;
const KEYS: [&str; 5] = ["profile", "issuer", "org", "resource", "scope"];

/// What a directory asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The file.
    pub(crate) file: PathBuf,
    /// The profile.
    pub(crate) profile: Option<ProfileName>,
    /// The issuer.
    pub(crate) issuer: Option<String>,
    /// The organisation that a sign-in must be of to be used in here.
    pub(crate) org: Option<String>,
    /// The APIs.
    pub(crate) resources: Vec<String>,
    /// The scopes.
    pub(crate) scopes: Vec<String>,
}

/// What there is above here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Nearest {
    /// Nothing.
    None,
    /// One that somebody looked at.
    Trusted(Binding),
    /// One that nobody has looked at, or not as it is now. It is not followed.
    NotTrusted {
        /// The file.
        file: PathBuf,
        /// Somebody has looked at what it was before.
        changed: bool,
    },
}

impl Nearest {
    /// The nearest one, upwards from this process's folder.
    pub(crate) fn find() -> Result<Self, Failure> {
        // Whoever stands in a folder that is gone stands in no repository.
        let Ok(here) = std::env::current_dir() else { return Ok(Self::None) };
        Self::find_from(&here, &trusted::folder())
    }

    fn find_from(here: &Path, trusted: &Option<PathBuf>) -> Result<Self, Failure> {
        for folder in here.ancestors() {
            let file = folder.join(FILE);
            let Some(text) = read(&file)? else { continue };
            return match trusted::judge(trusted.as_deref(), &file, &text)? {
                trusted::Verdict::Trusted => Binding::parse(&file, text).map(Self::Trusted),
                trusted::Verdict::Changed => Ok(Self::NotTrusted { file, changed: true }),
                trusted::Verdict::Unknown => Ok(Self::NotTrusted { file, changed: false }),
            };
        }
        Ok(Self::None)
    }

    /// What is to be said about it, if it is not followed.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self::NotTrusted { file, changed } = self else { return None };
        let why = if *changed { "has changed since you trusted it" } else { "is not trusted" };
        let file = hallpass_model::purpose::plain(&file.display().to_string(), 400);
        Some(format!("`{file}` {why}, and is not followed: look at it, then `hallpass trust`"))
    }
}

impl Binding {
    /// Reads what a file says. Whatever it says besides what it may is an error.
    pub(crate) fn parse(file: &Path, text: String) -> Result<Self, Failure> {
        Written::new(file, text).judge(|table| Self::judge(file, table))
    }

    fn judge(file: &Path, table: Table<'_>) -> Result<Self, Failure> {
        table.only(&KEYS)?;
        Ok(Self {
            file: file.to_owned(),
            profile: table.one("profile")?,
            issuer: table.text("issuer")?,
            org: table.text("org")?,
            resources: table.each("resource", parse_resource)?,
            scopes: table.each("scope", parse_scope)?,
        })
    }

    /// Its file, for people.
    pub(crate) fn place(&self) -> String {
        hallpass_model::purpose::plain(&self.file.display().to_string(), 400)
    }
}

/// Reads one. `None` if there is none; a folder or a pipe of that name is none either.
pub(crate) fn read(file: &Path) -> Result<Option<String>, Failure> {
    let cannot = |why: String| Failure::usage(format_args!("cannot read `{}`: {why}", file.display()));
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => return Ok(None),
        Ok(found) if found.len() > FILE_MAX => {
            return Err(cannot("it is too large to be what it is called".into()));
        }
        Ok(_) => {}
        // A folder above us that we may not look into is somebody else's.
        Err(error) if is_missing(&error) || error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Ok(None);
        }
        Err(error) => return Err(cannot(error.to_string())),
    }
    std::fs::read_to_string(file).map(Some).map_err(|error| cannot(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_documentation_shows_is_read_whole() {
        let shown = crate::written::shown_in(include_str!("binding.rs"));
        let binding = Binding::parse(Path::new(FILE), shown).unwrap();
        assert_eq!(binding.profile, "work".parse().ok());
        assert_eq!(binding.issuer.as_deref(), Some("https://id.example/acme"));
        assert_eq!(
            (binding.org.as_deref(), binding.resources.len(), binding.scopes.len()),
            (Some("acme"), 1, 1)
        );
    }

    #[test]
    fn a_repository_cannot_name_a_program_a_proxy_or_whom_to_believe() {
        for text in [
            "command = 'sh'",
            "browser = 'sh'",
            "proxy = 'http://evil.example'",
            "ca_file = 'ca.pem'",
            "store = 'passphrase'",
            "client_id = 'x'",
            "[profile.work]\nissuer = 'https://evil.example'",
        ] {
            assert!(Binding::parse(Path::new(FILE), text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_nearest_is_found_from_below_and_followed_only_as_it_was_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let (state, repository) = (Some(root.path().join("state")), root.path().join("repository"));
        let below = repository.join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let find = || Nearest::find_from(&below, &state).unwrap();
        assert_eq!(find(), Nearest::None);

        let file = repository.join(FILE);
        std::fs::write(&file, "profile = 'work'").unwrap();
        assert_eq!(find(), Nearest::NotTrusted { file: file.clone(), changed: false });
        assert!(find().warning().unwrap().contains("hallpass trust"));
        trusted::trust_in(state.as_deref(), &file, "profile = 'work'").unwrap();
        let Nearest::Trusted(binding) = find() else { panic!("it was looked at") };
        assert_eq!(binding.profile, "work".parse().ok());

        std::fs::write(&file, "profile = 'evil'").unwrap();
        assert_eq!(find(), Nearest::NotTrusted { file: file.clone(), changed: true });
        std::fs::write(&file, "profile = 'work'").unwrap();
        assert!(matches!(find(), Nearest::Trusted(_)), "it is what it was");
        // Elsewhere the same bytes are another's.
        std::fs::write(below.join(FILE), "profile = 'work'").unwrap();
        assert!(
            matches!(find(), Nearest::NotTrusted { changed: false, .. }),
            "the nearer one hides the other"
        );
        std::fs::remove_file(below.join(FILE)).unwrap();
        assert!(trusted::undo_in(state.as_deref(), &file).unwrap());
        assert!(matches!(find(), Nearest::NotTrusted { changed: false, .. }));
    }
}
