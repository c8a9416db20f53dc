//! Where the person sits, as far as the environment tells.

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

/// What is known about where the person sits.
pub(crate) fn surroundings() -> Surroundings {
    let named = env::HALLPASS_BROWSER.text().or_else(|| env::BROWSER.text());
    Surroundings {
        ssh: [env::SSH_CONNECTION, env::SSH_CLIENT, env::SSH_TTY].iter().any(|variable| variable.is_set()),
        ssh_terminal: env::SSH_TTY.is_set(),
        container: env::container.is_set()
            || env::KUBERNETES_SERVICE_HOST.is_set()
            || CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()),
        ci: env::CI.text().is_some_and(|ci| ci != "false"),
        web_shell: env::CODESPACES.is_set() || env::CLOUD_SHELL.is_set(),
        desktop: env::DISPLAY.is_set() || env::WAYLAND_DISPLAY.is_set(),
        wsl: env::WSL_DISTRO_NAME.is_set() || env::WSL_INTEROP.is_set(),
        wsl_interop: env::WSL_INTEROP.is_set() && Path::new(WSL_MARK).exists(),
        vscode: env::VSCODE_IPC_HOOK_CLI.is_set(),
        dev_container: env::REMOTE_CONTAINERS.is_set(),
        browser_named: named.as_deref().is_some_and(|named| named != NO_BROWSER),
        browser_forbidden: named.as_deref() == Some(NO_BROWSER),
        terminal: somebody_is_there(),
    }
}

/// Whether somebody can be asked: what they see and what they type are both a terminal.
pub(crate) fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// What opens addresses here.
pub(crate) fn opener() -> Opener {
    match env::HALLPASS_BROWSER.text() {
        Some(named) if named == NO_BROWSER => Opener::Nobody,
        Some(program) => Opener::Program(program),
        None => match env::BROWSER.text() {
            Some(named) if named == NO_BROWSER => Opener::Nobody,
            // A list of programs is the desktop opener's to walk through.
            Some(program) if !program.contains(':') => Opener::Program(program),
            _ => Opener::Desktop,
        },
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
