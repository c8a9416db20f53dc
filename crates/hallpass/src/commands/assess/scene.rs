//! Where a tool is run: a home of its own, no display, and a proxy that notes what goes through it.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hallpass_holder::exec::TRUST_VARIABLES;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::proxy::Proxy;
use super::run::{self, Session};
use crate::failure::Failure;
use crate::{env, roots};

/// Where the scratch home is made: in memory, where there is such a place.
const IN_MEMORY: &str = "/dev/shm";
/// Variables that name the proxy. Some programs look for one spelling, some for the other.
const PROXY_VARIABLES: &[&str] = &["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
/// A proxy that nobody is behind, for systems where the network cannot be taken away.
const NOBODY: &str = "http://127.0.0.1:1";

/// A home of its own.
pub(super) struct Scene {
    root: TempDir,
    proxy: Arc<Proxy>,
    /// The tool's whole environment.
    pub(super) given: Vec<(String, String)>,
}

/// What a line of the shell answered.
pub(super) struct Asked {
    pub(super) code: i32,
    pub(super) out: Zeroizing<String>,
    pub(super) err: Zeroizing<String>,
}

/// Whether a command has the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    There,
    /// None at all: a network namespace with nothing in it.
    Cut,
    /// Only the proxy says that there is none; a tool that does not ask it has one.
    Refused,
}

impl Scene {
    pub(super) fn new(more: &[(String, String)], proxy: Arc<Proxy>) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::could_not_run(format_args!("cannot make a place to run it: {error}"))
        };
        let private = PermissionsExt::from_mode(0o700);
        let root =
            tempfile::Builder::new().prefix("hallpass-assess-").permissions(private).tempdir_in(IN_MEMORY);
        let root = root.or_else(|_| tempfile::tempdir()).map_err(cannot)?;
        let home = root.path().join("home");
        std::fs::create_dir(&home).map_err(cannot)?;
        let certificates = root.path().join("certificates.pem");
        std::fs::write(&certificates, bundle(&proxy)).map_err(cannot)?;
        let path = |name: &str| home.join(name).display().to_string();
        let mut given: Vec<(String, String)> = [
            ("HOME", home.display().to_string()),
            ("XDG_CONFIG_HOME", path(".config")),
            ("XDG_DATA_HOME", path(".local/share")),
            ("XDG_STATE_HOME", path(".local/state")),
            ("XDG_CACHE_HOME", path(".cache")),
            ("XDG_RUNTIME_DIR", path("run")),
            ("PATH", env::PATH.text().unwrap_or_default()),
            ("TERM", "xterm".into()),
            ("LANG", "C.UTF-8".into()),
            ("NODE_USE_ENV_PROXY", "1".into()), // Node.js looks at those below only then
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        given.extend(PROXY_VARIABLES.iter().map(|name| ((*name).to_owned(), proxy.address.clone())));
        let certificates = certificates.display().to_string();
        given.extend(TRUST_VARIABLES.iter().map(|name| ((*name).to_owned(), certificates.clone())));
        given.extend(more.iter().cloned());
        std::fs::create_dir(home.join("run")).map_err(cannot)?;
        std::fs::set_permissions(home.join("run"), PermissionsExt::from_mode(0o700)).map_err(cannot)?;
        Ok(Self { root, proxy, given })
    }

    /// Another home, as empty as the first was.
    pub(super) fn another(&self, more: &[(String, String)]) -> Result<Self, Failure> {
        Self::new(more, self.proxy.clone())
    }

    pub(super) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// What a command is given, by what it shall have of the network.
    pub(super) fn environment(&self, network: Network) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(move |(name, value)| {
            let refused = network == Network::Refused && PROXY_VARIABLES.contains(&name.as_str());
            (name.as_str(), if refused { NOBODY } else { value.as_str() })
        })
    }

    /// Runs a line of the shell in this home, without a terminal, and gives what it answers; none if it does not end in time.
    pub(super) async fn ask(&self, line: &str, at_most: Duration, network: Network) -> Option<Asked> {
        let command = ["/bin/sh", "-c", line].map(OsString::from);
        let mut shell = run::becoming(&command, false, network == Network::Cut);
        shell.env_clear().envs(self.environment(network)).current_dir(self.home());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = Session::of(tokio::process::Command::from(shell).spawn().ok()?);
        let answer = tokio::time::timeout(at_most, shell.answer()).await.ok()?.ok()?;
        let text = |bytes: Vec<u8>| {
            let bytes = Zeroizing::new(bytes);
            Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        Some(Asked { code: run::code_of(answer.0), out: text(answer.1), err: text(answer.2) })
    }
}

/// Whom the tool is to trust: the run's own authority, and whom it would trust without us.
fn bundle(proxy: &Proxy) -> Vec<u8> {
    let mut bundle = proxy.pem().as_bytes().to_vec();
    for path in roots::files() {
        bundle.push(b'\n');
        // One that cannot be read is one that the tool could not have used either.
        bundle.extend(std::fs::read(path).unwrap_or_default());
    }
    bundle
}
