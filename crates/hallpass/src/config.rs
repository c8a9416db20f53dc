//! The holder's settings of this person: `config.toml` in the folder of settings, by default `~/.config/hallpass`.
//!
//! ```toml
//! store = "keyring"             # where keys of new sign-ins rest
//! default_profile = "work"      # the sign-in that is meant when nothing else says so
//!
//! [profile.work]                # what `hallpass login --profile work` asks for
//! issuer = "https://id.example/acme"
//! client_id = "hallpass-cli"
//! org = "acme"                  # whoever signs in is of this organisation, or is signed out again
//! resource = ["https://api.example"]
//! scope = ["notes:read"]
//! store = "passphrase"
//!
//! [profile.git]                 # at a provider that publishes no metadata
//! issuer = "https://git.example"
//! client_id = "0123456789abcdef"
//! token_endpoint = "https://git.example/login/oauth/access_token"
//! device_authorization_endpoint = "https://git.example/login/device/code"
//! authorization_endpoint = "https://git.example/login/oauth/authorize"
//! revocation_endpoint = "https://git.example/login/oauth/revoke"
//! userinfo_endpoint = "https://git.example/api/user"
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hallpass_holder::{Endpoints, ProfileName, Rung};

use crate::env;
use crate::failure::Failure;
use crate::holding::{parse_resource, parse_scope};
use crate::targets::Target;
use crate::written::{Table, Written};

const STORE: &str = "store";
const DEFAULT_PROFILE: &str = "default_profile";
const PROFILE: &str = "profile";
const TARGET: &str = "target";
/// Mode bits by which others could write.
const OTHERS_WRITE: u32 = 0o022;

/// What this person set for the holder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where the keys of new sign-ins rest.
    pub(crate) store: Option<Rung>,
    /// The sign-in that is meant when nothing else says so.
    pub(crate) default_profile: Option<ProfileName>,
    /// What is known about profiles before anybody signs in.
    pub(crate) profiles: BTreeMap<ProfileName, ProfileConfig>,
    /// Which program is handed what.
    pub(crate) targets: Vec<Target>,
}

/// What a login under a profile asks for, unless flags say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProfileConfig {
    /// The issuer.
    pub(crate) issuer: Option<String>,
    /// Its endpoints, where it does not say.
    pub(crate) endpoints: Endpoints,
    /// The client.
    pub(crate) client_id: Option<String>,
    /// The organisation that whoever signs in must be of.
    pub(crate) org: Option<String>,
    /// The APIs.
    pub(crate) resources: Vec<String>,
    /// The scopes.
    pub(crate) scopes: Vec<String>,
    /// Where its key rests.
    pub(crate) store: Option<Rung>,
}

impl Config {
    /// Reads it; one that is not there sets nothing.
    pub(crate) fn load() -> Result<Self, Failure> {
        match file() {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        match Written::read(path)? {
            None => Ok(Self::default()),
            Some(written) => {
                nobody_else_writes(path)?;
                written.judge(Self::judge)
            }
        }
    }

    fn judge(table: Table<'_>) -> Result<Self, Failure> {
        table.only(&[STORE, DEFAULT_PROFILE, PROFILE, TARGET])?;
        let profiles = table.named(PROFILE)?.into_iter();
        Ok(Self {
            store: table.one(STORE)?,
            default_profile: table.one(DEFAULT_PROFILE)?,
            profiles: profiles
                .map(|(name, table)| Ok((name, ProfileConfig::judge(table)?)))
                .collect::<Result<_, Failure>>()?,
            targets: table.list(TARGET)?.into_iter().map(Target::judge).collect::<Result<_, _>>()?,
        })
    }
}

impl ProfileConfig {
    fn judge(table: Table<'_>) -> Result<Self, Failure> {
        table.only(&[
            "issuer",
            "client_id",
            "org",
            "resource",
            "scope",
            STORE,
            "token_endpoint",
            "device_authorization_endpoint",
            "authorization_endpoint",
            "revocation_endpoint",
            "userinfo_endpoint",
        ])?;
        Ok(Self {
            issuer: table.text("issuer")?,
            endpoints: Endpoints {
                authorization: table.text("authorization_endpoint")?,
                token: table.text("token_endpoint")?,
                device_authorization: table.text("device_authorization_endpoint")?,
                revocation: table.text("revocation_endpoint")?,
                userinfo: table.text("userinfo_endpoint")?,
            },
            client_id: table.text("client_id")?,
            org: table.text("org")?,
            resources: table.each("resource", parse_resource)?,
            scopes: table.each("scope", parse_scope)?,
            store: table.one(STORE)?,
        })
    }
}

/// Where it is: `HALLPASS_CONFIG`, or in the folder of settings (XDG Base Directory).
pub(crate) fn file() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    env::HALLPASS_CONFIG.path().or_else(|| {
        let own = env::XDG_CONFIG_HOME.path().and_then(absolute);
        let own = own.or_else(|| Some(env::HOME.path().and_then(absolute)?.join(".config")));
        own.map(|folder| folder.join("hallpass/config.toml"))
    })
}

/// Writes down which profile is the default, and changes nothing else in the file. Where that is.
pub(crate) fn set_default(profile: Option<&ProfileName>) -> Result<PathBuf, Failure> {
    let path = file().ok_or_else(|| {
        Failure::could_not_run("there is no home folder to keep settings in")
            .hint("set HOME or HALLPASS_CONFIG")
    })?;
    // Whoever keeps their settings elsewhere and links to them has them written there.
    let path = path.canonicalize().unwrap_or(path);
    let cannot = |error: std::io::Error| {
        Failure::could_not_run(format_args!("cannot write `{}`: {error}", path.display()))
    };
    let written = Written::read(&path)?.unwrap_or_else(|| Written::new(&path, String::new()));
    written.judge(Config::judge)?;
    let text = written.with_text(DEFAULT_PROFILE, profile.map(ProfileName::as_str))?;
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mode = std::fs::metadata(&path).map_or(0o600, |found| found.mode() & 0o777);
    let written = std::fs::File::options().write(true).create_new(true).mode(mode).open(&beside).and_then(
        |mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)
        },
    );
    written.inspect_err(|_| _ = std::fs::remove_file(&beside)).map_err(cannot)?;
    Ok(path)
}

/// SECURITY: whoever can write it says at which issuer this person signs in.
fn nobody_else_writes(path: &Path) -> Result<(), Failure> {
    let found = std::fs::metadata(path)
        .map_err(|error| Failure::usage(format_args!("cannot read `{}`: {error}", path.display())))?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    match ours && found.mode() & OTHERS_WRITE == 0 {
        true => Ok(()),
        false => Err(Failure::could_not_run(format_args!(
            "`{}` is not safe to use: others can write it",
            path.display()
        ))
        .hint(format_args!("look at what it says, then `chmod go-w {}`", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str) -> Result<Config, Failure> {
        Written::new(Path::new("config.toml"), text.to_owned()).judge(Config::judge)
    }

    #[test]
    fn what_the_documentation_shows_is_read_whole() {
        let shown = crate::written::shown_in(include_str!("config.rs"));
        let config = read(&shown).unwrap();
        assert_eq!(config.store, Some(Rung::Keyring));
        let work: ProfileName = "work".parse().unwrap();
        assert_eq!(config.default_profile.as_ref(), Some(&work));
        let profile = &config.profiles[&work];
        assert_eq!(profile.issuer.as_deref(), Some("https://id.example/acme"));
        assert_eq!((profile.resources.len(), profile.scopes.len()), (1, 1));
        assert_eq!(profile.store, Some(Rung::Passphrase));
        assert!(profile.endpoints.is_empty());
        let git = config.profiles[&"git".parse().unwrap()].endpoints.clone();
        assert_eq!(git.userinfo.as_deref(), Some("https://git.example/api/user"));
        assert!(
            [git.token, git.device_authorization, git.authorization, git.revocation]
                .iter()
                .all(Option::is_some)
        );
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest() {
        for (text, line, near) in [
            ("defualt_profile = 'x'", 1, "default_profile"),
            ("\n[profile.a]\nisuer = 'x'", 3, "issuer"),
            ("stores = 'keyring'", 1, "store"),
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.message().contains(&format!("line {line}")), "{}", failure.message());
            assert_eq!(failure.hint_text(), Some(&*format!("did you mean `{near}`?")));
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_line() {
        for text in [
            "store = 'plaintext'",
            "store = 1",
            "default_profile = '../x'",
            "profile = 'x'",
            "[profile.'a b']",
            "[profile.a]\nresource = 'not an address'",
            "store = ",
        ] {
            let failure = read(text).unwrap_err();
            assert!(failure.message().contains("`config.toml`, line"), "{text}: {}", failure.message());
        }
    }

    #[test]
    fn one_that_others_can_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        assert_eq!(Config::read(&path).unwrap(), Config::default());
        std::fs::write(&path, "store = 'keyring'").unwrap();
        for (mode, read) in [(0o644, true), (0o664, false), (0o602, false), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Config::read(&path).is_ok(), read, "{mode:o}");
        }
    }

    #[test]
    fn another_default_changes_one_line_and_nothing_else() {
        let with = |text: &str, value| {
            let written = Written::new(Path::new("config.toml"), text.to_owned());
            written.with_text(DEFAULT_PROFILE, value).unwrap()
        };
        let text =
            "# mine\nstore = 'keyring' # why\ndefault_profile = 'a' # was b\n\n[profile.a]\nissuer = 'x'\n";
        let changed = with(text, Some("home"));
        assert_eq!(changed, text.replace("default_profile = 'a' # was b", "default_profile = \"home\""));
        assert_eq!(with(text, None), text.replace("default_profile = 'a' # was b\n", ""));
        let bare = "[profile.a]\nissuer = 'x'";
        assert_eq!(with(bare, Some("a")), format!("default_profile = \"a\"\n{bare}"));
        assert_eq!(
            (with(bare, None).as_str(), with("", Some("a")).as_str()),
            (bare, "default_profile = \"a\"\n")
        );
    }
}
