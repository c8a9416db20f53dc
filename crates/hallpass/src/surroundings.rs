//! Where the person sits, as far as the environment tells.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

use hallpass_holder::{Opener, Surroundings};
use hallpass_model::device::DeviceClass;

use crate::env;

/// The word that stands for no browser at all.
const NO_BROWSER: &str = "none";
/// What container engines leave in a container's root.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// Where WSL's Windows programs are registered with the kernel.
const WSL_MARK: &str = "/proc/sys/fs/binfmt_misc/WSLInterop";

/// The terminal we were started from, wherever our input and output go.
pub(crate) const TERMINAL: &str = "/dev/tty";
/// Browsers that show pages in a terminal. Ours is in use, and without one they show nothing.
const TEXT_BROWSERS: [&str; 8] =
    ["browsh", "carbonyl", "elinks", "links", "links2", "lynx", "w3m", "www-browser"];

/// What is known about where the person sits.
pub(crate) fn surroundings() -> Surroundings {
    let browser = browser();
    let ci = env::CI.text().is_some_and(|ci| ci != "false");
    Surroundings {
        ssh: [env::SSH_CONNECTION, env::SSH_CLIENT, env::SSH_TTY].iter().any(|variable| variable.is_set()),
        ssh_terminal: env::SSH_TTY.is_set(),
        container: env::container.is_set()
            || env::KUBERNETES_SERVICE_HOST.is_set()
            || CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()),
        ci,
        web_shell: env::CODESPACES.is_set() || env::CLOUD_SHELL.is_set(),
        desktop: desktop(),
        wsl: env::WSL_DISTRO_NAME.is_set() || env::WSL_INTEROP.is_set(),
        wsl_interop: wsl_interop(),
        vscode: env::VSCODE_IPC_HOOK_CLI.is_set(),
        dev_container: env::REMOTE_CONTAINERS.is_set(),
        browser_named: matches!(browser, Browser::Program(_) | Browser::OneOf),
        browser_forbidden: browser == Browser::Forbidden,
        terminal: somebody_is_there(ci),
    }
}

/// Whether somebody sits at a terminal: one that they see, or, where what is said goes through a pipe to them, one that they
/// type at. A CI job is often given one of the two, to have colours in its log.
fn somebody_is_there(ci: bool) -> bool {
    let (types, sees) = (std::io::stdin().is_terminal(), std::io::stderr().is_terminal());
    if ci { types && sees } else { types || sees }
}

/// Whether somebody sits at a terminal who sees a question and types the answer.
pub(crate) fn somebody_answers() -> bool {
    let ci = env::CI.text().is_some_and(|ci| ci != "false");
    !ci && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether there is a terminal to ask at.
pub(crate) fn a_terminal_is_there() -> bool {
    File::options().read(true).write(true).open(TERMINAL).is_ok()
}

/// What opens addresses here.
pub(crate) fn opener() -> Opener {
    match browser() {
        Browser::Program(program) => Opener::Program(program),
        Browser::OneOf => Opener::Desktop,
        // Where there is no desktop its opener finds a text browser at best.
        Browser::Unnamed if desktop() || wsl_interop() => Opener::Desktop,
        Browser::Unnamed | Browser::Forbidden | Browser::Text => Opener::Nobody,
    }
}

fn desktop() -> bool {
    env::DISPLAY.is_set() || env::WAYLAND_DISPLAY.is_set()
}

fn wsl_interop() -> bool {
    env::WSL_INTEROP.is_set() && Path::new(WSL_MARK).exists()
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

fn browser() -> Browser {
    match env::HALLPASS_BROWSER.text() {
        Some(named) => judge_browsers(vec![named]),
        None => {
            let named = env::BROWSER.text().unwrap_or_default();
            judge_browsers(named.split(':').filter(|one| !one.is_empty()).map(str::to_owned).collect())
        }
    }
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

/// What sort of machine this is, for the approval page.
pub(crate) fn device_class(at: &Surroundings) -> DeviceClass {
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

/// What this machine is called.
pub(crate) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
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
}
