//! What the environment says about where a person sits, and where a program's state belongs.
//!
//! Nothing in this crate reads an environment variable by itself: whoever wants it to be read hands in how.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_model::device::DeviceClass;
use hallpass_model::secret::Secret;
use url::Url;

use crate::error::HolderError;
use crate::login::{Opener, Surroundings};
use crate::vault::{Places, TPM_DEVICE};
use crate::workload::{Ambient, JobCommand, MetadataService, SpiffeSocket};

mod tmux; // who looks at one

/// The word that stands for no browser at all.
const NO_BROWSER: &str = "none";
/// What container engines leave in a container's root.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// Where WSL's Windows programs are registered with the kernel.
const WSL_MARK: &str = "/proc/sys/fs/binfmt_misc/WSLInterop";
/// What a machine's firmware says of it (the kernel's "ABI/testing/sysfs-class-dmi").
const FIRMWARE: &str = "/sys/class/dmi/id";
/// What names a desktop's display: X11's, Wayland's.
const DESKTOP: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];
/// Browsers that show pages in a terminal. The program's is in use, and without one they show nothing.
const TEXT_BROWSERS: [&str; 8] =
    ["browsh", "carbonyl", "elinks", "links", "links2", "lynx", "w3m", "www-browser"];

/// An environment, read through whatever the program hands in: `std::env::var_os`, or a table in a test.
///
/// An empty variable counts as one that is not set.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    find: &'a dyn Fn(&str) -> Option<OsString>,
    browser: Option<&'a str>,
    asks_tmux: bool,
}

impl<'a> Environment<'a> {
    /// Read by `find`, a variable at a time.
    pub fn new(find: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { find, browser: None, asks_tmux: false }
    }

    /// With a variable of the program's own that names the browser, before `BROWSER`; `none` in it forbids any.
    #[must_use]
    pub fn with_browser_variable(self, name: &'a str) -> Self {
        Self { browser: Some(name), ..self }
    }

    /// In a pane of tmux, with where the person sits who is attached to it, not where it was started: `tmux` is asked which
    /// client was last typed at (at most a second), and what that one was started with is looked at. Where that cannot be
    /// known, nothing changes.
    #[must_use]
    pub fn asking_tmux(self) -> Self {
        Self { asks_tmux: true, ..self }
    }

    /// Where the state of the program `name` belongs (XDG Base Directory): in `XDG_STATE_HOME`, or below `HOME`. `None`
    /// where there is no home.
    pub fn state_folder(&self, name: &str) -> Option<PathBuf> {
        let folder = |variable: &str| {
            self.value(variable).map(PathBuf::from).filter(|folder: &PathBuf| folder.is_absolute())
        };
        let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
        state.map(|state| state.join(name))
    }

    /// What is known about where the person sits. Also looks at whether standard input and error are terminals.
    pub fn surroundings(&self) -> Surroundings {
        let browser = self.browser();
        let ci = self.is_ci();
        let any = |names: &[&str]| names.iter().any(|name| self.is_set(name));
        let seat = self.seat();
        // What says where the person sits, and not what this machine is or what they want.
        let there = |name: &str| match &seat {
            Some(seat) => seat.value(name).is_some(),
            None => self.is_set(name),
        };
        Surroundings {
            ssh: ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].into_iter().any(there),
            ssh_terminal: there("SSH_TTY"),
            container: any(&["container", "KUBERNETES_SERVICE_HOST"])
                || CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()),
            ci,
            web_shell: any(&["CODESPACES", "CLOUD_SHELL"]),
            desktop: DESKTOP.into_iter().any(there),
            wsl: any(&["WSL_DISTRO_NAME", "WSL_INTEROP"]),
            wsl_interop: self.wsl_interop(),
            vscode: there("VSCODE_IPC_HOOK_CLI"),
            dev_container: self.is_set("REMOTE_CONTAINERS"),
            browser_named: matches!(browser, Browser::Program(_) | Browser::OneOf),
            browser_forbidden: browser == Browser::Forbidden,
            terminal: somebody_is_there(ci),
        }
    }

    /// What opens addresses here.
    pub fn opener(&self) -> Opener {
        match self.browser() {
            Browser::Program(program) => Opener::Program(program),
            Browser::OneOf => Opener::Desktop,
            // Where there is no desktop its opener finds a text browser at best.
            Browser::Unnamed if self.desktop() || self.wsl_interop() => Opener::Desktop,
            Browser::Unnamed | Browser::Forbidden | Browser::Text => Opener::Nobody,
        }
    }

    /// Where this machine keeps keys, besides the kernel: the person's session bus, if there is one, and the TPM's device.
    pub fn places(&self) -> Places {
        let usual = || {
            let bus = PathBuf::from(self.value("XDG_RUNTIME_DIR")?).join("bus");
            bus.exists().then(|| format!("unix:path={}", bus.display()))
        };
        Places {
            session_bus: self.text("DBUS_SESSION_BUS_ADDRESS").or_else(usual),
            tpm: Some(TPM_DEVICE.into()),
        }
    }

    /// Whether this is a job of continuous integration.
    pub fn is_ci(&self) -> bool {
        self.text("CI").is_some_and(|ci| ci != "false")
    }

    /// What says what runs here, where that is a workload: first what is named for this, then what a job or a container is
    /// given by what runs it.
    ///
    /// # Errors
    /// What names one and cannot be read.
    pub fn ambient(&self) -> Result<Option<Ambient>, HolderError> {
        let given = |token| Ambient::Given(Arc::new(Secret::from_text(token)));
        if let Some(path) = self.value("HALLPASS_ID_TOKEN_FILE") {
            return Ok(Some(Ambient::File(path.into())));
        }
        if let Some(token) = self.text("HALLPASS_ID_TOKEN") {
            return Ok(Some(given(token)));
        }
        if let (Some(url), Some(key)) =
            (self.text("ACTIONS_ID_TOKEN_REQUEST_URL"), self.text("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
        {
            let url = address("ACTIONS_ID_TOKEN_REQUEST_URL", &url)?;
            return Ok(Some(Ambient::Github { url, key: Arc::new(Secret::from_text(key)) }));
        }
        if self.is_set("BUILDKITE_AGENT_ACCESS_TOKEN") {
            return Ok(Some(Ambient::Command(JobCommand::Buildkite)));
        }
        // What is in it is for another audience; that it is there says that there is one to be had.
        if self.is_set("CIRCLE_OIDC_TOKEN_V2") {
            return Ok(Some(Ambient::Command(JobCommand::Circleci)));
        }
        if let Some(token) = self.text("BITBUCKET_STEP_OIDC_TOKEN") {
            return Ok(Some(given(token)));
        }
        if let Some(socket) = self.text("SPIFFE_ENDPOINT_SOCKET") {
            return SpiffeSocket::parse(&socket).map(|socket| Some(Ambient::Spiffe(socket)));
        }
        // With the third, it is a machine of Azure Arc, which is asked in another way.
        if let (Some(endpoint), Some(key), false) =
            (self.text("IDENTITY_ENDPOINT"), self.text("IDENTITY_HEADER"), self.is_set("IMDS_ENDPOINT"))
        {
            let endpoint = address("IDENTITY_ENDPOINT", &endpoint)?;
            let service = MetadataService::azure_app(endpoint, Secret::from_text(key));
            return Ok(Some(Ambient::Metadata(service)));
        }
        // Cloud Run: services, and jobs.
        let runs = ["K_SERVICE", "CLOUD_RUN_JOB"].into_iter().any(|name| self.is_set(name));
        Ok(runs.then(|| Ambient::Metadata(MetadataService::google(self.text("GCE_METADATA_HOST")))))
    }

    /// What says what this machine is, where that is one of a cloud: by what its firmware says. People use such machines too,
    /// and what runs there need not be what it is for: this comes after every sign-in.
    pub fn machine(&self) -> Option<Ambient> {
        let is = |file: &str, maker: &str| {
            std::fs::read_to_string(Path::new(FIRMWARE).join(file)).is_ok_and(|text| text.trim() == maker)
        };
        let google = self.text("GCE_METADATA_HOST");
        if google.is_some() || is("product_name", "Google Compute Engine") {
            return Some(Ambient::Metadata(MetadataService::google(google)));
        }
        // Of every machine of Azure's, and of no other ("Azure Instance Metadata Service").
        let azure = self.text("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        let host = azure
            .as_deref()
            .map(|host| host.strip_prefix("http://").unwrap_or(host).trim_end_matches('/').to_owned());
        (host.is_some() || is("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"))
            .then(|| Ambient::Metadata(MetadataService::azure(host)))
    }

    fn desktop(&self) -> bool {
        DESKTOP.into_iter().any(|name| self.is_set(name))
    }

    /// Where the person sits who looks at this pane of tmux.
    fn seat(&self) -> Option<tmux::Seat> {
        let (tmux, pane) = (self.value("TMUX")?, self.value("TMUX_PANE")?);
        self.asks_tmux.then(|| tmux::Seat::find(&tmux, &pane))?
    }

    fn wsl_interop(&self) -> bool {
        self.is_set("WSL_INTEROP") && Path::new(WSL_MARK).exists()
    }

    fn browser(&self) -> Browser {
        match self.browser.and_then(|name| self.text(name)) {
            Some(named) => judge_browsers(vec![named]),
            None => {
                let named = self.text("BROWSER").unwrap_or_default();
                judge_browsers(named.split(':').filter(|one| !one.is_empty()).map(str::to_owned).collect())
            }
        }
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.find)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.into_string().ok()
    }

    fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<environment>") // it has secrets in it, as often as not
    }
}

fn address(name: &str, text: &str) -> Result<Url, HolderError> {
    text.parse().map_err(|_| HolderError::Usage { what: format!("{name} is no address") })
}

/// Whether somebody sits at a terminal: one that they see, or, where what is said goes through a pipe to them, one that they
/// type at. A CI job is often given one of the two, to have colours in its log.
fn somebody_is_there(ci: bool) -> bool {
    let (types, sees) = (std::io::stdin().is_terminal(), std::io::stderr().is_terminal());
    if ci { types && sees } else { types || sees }
}

/// What sort of machine this is, for the approval page.
pub fn device_class(at: &Surroundings) -> DeviceClass {
    if at.ci {
        DeviceClass::BuildAgent
    } else if at.container || at.web_shell {
        DeviceClass::Container
    } else if at.desktop || at.wsl {
        DeviceClass::Laptop
    } else {
        DeviceClass::Server
    }
}

/// What this machine is called: its node name.
pub fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the environment says about browsers.
#[derive(Debug, PartialEq, Eq)]
enum Browser {
    /// Nothing.
    Unnamed,
    /// That none is to be started.
    Forbidden,
    /// This one.
    Program(String),
    /// One of several: the desktop's opener takes the first that is there.
    OneOf,
    /// Only such as need a terminal.
    Text,
}

fn judge_browsers(mut named: Vec<String>) -> Browser {
    if named.iter().any(|one| one == NO_BROWSER) {
        return Browser::Forbidden;
    }
    let all = named.len();
    named.retain(|one| {
        let program = one.split_ascii_whitespace().next().map(Path::new).and_then(Path::file_name);
        !program.is_some_and(|program| TEXT_BROWSERS.iter().any(|text| program == *text))
    });
    match (all, named.len()) {
        (0, _) => Browser::Unnamed,
        (_, 0) => Browser::Text,
        (2.., left) if left == all => Browser::OneOf,
        // The desktop's opener would try the text browsers too.
        _ => Browser::Program(named.remove(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_needs_a_terminal_is_never_started() {
        let program = |program: &str| Browser::Program(program.into());
        for (named, judged) in [
            ("", Browser::Unnamed),
            ("none", Browser::Forbidden),
            ("firefox", program("firefox")),
            ("firefox --new-window %s", program("firefox --new-window %s")),
            ("w3m", Browser::Text),
            ("/usr/bin/lynx -accept_all_cookies", Browser::Text),
            ("links2:elinks", Browser::Text),
            ("firefox:chromium", Browser::OneOf),
            ("w3m:firefox", program("firefox")),
            ("firefox:chromium:w3m", program("firefox")),
        ] {
            let each = named.split(':').filter(|one| !one.is_empty()).map(str::to_owned).collect();
            assert_eq!(judge_browsers(each), judged, "{named}");
        }
    }

    #[test]
    fn what_is_handed_in_is_all_that_is_read() {
        let table =
            [("HOME", "/home/ada"), ("ACME_BROWSER", "none"), ("BROWSER", "firefox"), ("DISPLAY", ":0")];
        let find = |name: &str| table.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        let environment = Environment::new(&find);
        assert_eq!(environment.state_folder("acme"), Some("/home/ada/.local/state/acme".into()));
        assert_eq!(environment.opener(), Opener::Program("firefox".into()));
        assert!(environment.surroundings().desktop && !environment.surroundings().ssh);
        let own = environment.with_browser_variable("ACME_BROWSER");
        assert_eq!((own.opener(), own.surroundings().browser_forbidden), (Opener::Nobody, true));
        let nothing = Environment::new(&|_| None);
        assert_eq!((nothing.state_folder("acme"), nothing.opener()), (None, Opener::Nobody));
        let relative = Environment::new(&|name| (name == "XDG_STATE_HOME").then(|| "state".into()));
        assert_eq!(relative.state_folder("acme"), None, "a relative one is to be ignored");
    }
}
