//! How to ask the person: can a browser they see reach a port here?
//!
//! The question is not whether there is a display. A pure function of facts, so that a table can test it.

use super::Flow;
use crate::error::HolderError;

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// The provider has an authorization endpoint.
    pub browser: bool,
    /// The provider has a device authorization endpoint.
    pub device: bool,
    /// The program can ask for a pasted line.
    pub paste: bool,
}

/// What is known about where the person sits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Surroundings {
    /// They came in over SSH (`SSH_CONNECTION`, `SSH_CLIENT` or `SSH_TTY`).
    pub ssh: bool,
    /// With a terminal of SSH's own (`SSH_TTY`).
    pub ssh_terminal: bool,
    /// Inside a container or pod.
    pub container: bool,
    /// A continuous-integration job.
    pub ci: bool,
    /// A shell in a web page: Codespaces, Cloud Shell.
    pub web_shell: bool,
    /// A desktop (`DISPLAY`, `WAYLAND_DISPLAY`).
    pub desktop: bool,
    /// The Windows Subsystem for Linux.
    pub wsl: bool,
    /// It may start Windows programs (`WSL_INTEROP`).
    pub wsl_interop: bool,
    /// A terminal of VS Code (`VSCODE_IPC_HOOK_CLI`).
    pub vscode: bool,
    /// In a VS Code dev container (`REMOTE_CONTAINERS`).
    pub dev_container: bool,
    /// A program that opens addresses is named (`HALLPASS_BROWSER`, `BROWSER`).
    pub browser_named: bool,
    /// The person wants no browser started (`HALLPASS_BROWSER=none`).
    pub browser_forbidden: bool,
    /// Somebody is at a terminal and may be asked.
    pub terminal: bool,
}

/// A flow, and the reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// How the person is asked.
    pub flow: Flow,
    /// Why so, to be shown after a colon.
    pub why: &'static str,
}

/// Why there is no way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoFlow {
    /// The provider has neither flow, or not the one asked for.
    NotOffered(&'static str),
    /// Nobody is there to be asked, or nobody is to be.
    NobodyThere,
}

impl From<NoFlow> for HolderError {
    fn from(no: NoFlow) -> Self {
        match no {
            NoFlow::NotOffered(what) => HolderError::Unsupported { what: what.to_owned() },
            NoFlow::NobodyThere => HolderError::NobodyThere,
        }
    }
}

/// Chooses. An explicit wish comes first; then what the provider offers; then where the person sits.
pub fn choose(asked: Option<Flow>, offers: Offers, at: &Surroundings) -> Result<Choice, NoFlow> {
    let choice = |flow, why| Ok(Choice { flow, why });
    match asked {
        Some(Flow::Browser | Flow::Paste) if !offers.browser => {
            return Err(NoFlow::NotOffered("this provider does not offer sign-in by a browser"));
        }
        Some(Flow::Paste) if !(offers.paste && at.terminal) => return Err(NoFlow::NobodyThere),
        Some(Flow::Device) if !offers.device => {
            return Err(NoFlow::NotOffered(
                "this provider does not offer sign-in by a code on another device",
            ));
        }
        Some(flow) => return choice(flow, "you asked for it"),
        None => {}
    }
    if !at.terminal {
        return Err(NoFlow::NobodyThere);
    }
    match (offers.browser, offers.device) {
        (false, false) => Err(NoFlow::NotOffered("this provider offers no way to sign a person in")),
        (false, true) => choice(Flow::Device, "this provider offers no other way"),
        (true, false) => match without_codes(offers, at) {
            Some(choice) => Ok(choice),
            None => choice(Flow::Browser, "this provider offers no other way"),
        },
        (true, true) => {
            let (flow, why) = by_surroundings(at);
            choice(flow, why)
        }
    }
}

/// Chooses where the provider gives no codes. `None` where a browser reaches no port here, and nothing can be pasted.
pub(super) fn without_codes(offers: Offers, at: &Surroundings) -> Option<Choice> {
    // A browser that must not be started here can be by hand, if it reaches a port here.
    let by_hand = Surroundings { browser_forbidden: false, ..at.clone() };
    match by_surroundings(&by_hand) {
        _ if !offers.browser => None,
        (Flow::Browser, _) => Some(Choice { flow: Flow::Browser, why: "this provider gives no codes" }),
        _ if !offers.paste => None,
        _ => Some(Choice {
            flow: Flow::Paste,
            why: "this provider gives no codes, and your browser cannot reach a port here",
        }),
    }
}

fn by_surroundings(at: &Surroundings) -> (Flow, &'static str) {
    use Flow::{Browser, Device};
    if at.browser_forbidden {
        return (Device, "no browser is to be started here");
    }
    // VS Code names a program that opens addresses on the person's own machine, and forwards ports to it; but not
    // through its tunnels, which look like SSH without being it.
    if at.vscode && at.browser_named && (at.dev_container || (at.ssh && !at.ssh_terminal)) {
        return (Browser, "VS Code opens it on your machine and forwards the port");
    }
    if at.web_shell {
        return (Device, "this shell is in a web page, whose browser cannot reach a port here");
    }
    if at.ssh {
        return (Device, "you came in over SSH, and your browser cannot reach a port here");
    }
    if at.container {
        return (Device, "this is a container, and your browser cannot reach a port in it");
    }
    if at.wsl {
        return match at.wsl_interop {
            true => (Browser, "the browser of Windows reaches a port here"),
            false => (Device, "this WSL may not start programs of Windows"),
        };
    }
    if at.browser_named {
        return (Browser, "a browser is named for this machine");
    }
    if at.desktop {
        return (Browser, "a browser on this desktop reaches a port here");
    }
    (Device, "there is no desktop here")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Offers = Offers { browser: true, device: true, paste: true };

    /// What a row's facts say, at a terminal.
    fn surroundings(facts: &str) -> Surroundings {
        let mut at = Surroundings { terminal: true, ..Surroundings::default() };
        for fact in facts.split(',').map(str::trim).filter(|fact| !fact.is_empty()) {
            let place = match fact {
                "ssh" => &mut at.ssh,
                "ssh_terminal" => &mut at.ssh_terminal,
                "container" => &mut at.container,
                "ci" => &mut at.ci,
                "web_shell" => &mut at.web_shell,
                "desktop" => &mut at.desktop,
                "wsl" => &mut at.wsl,
                "wsl_interop" => &mut at.wsl_interop,
                "vscode" => &mut at.vscode,
                "dev_container" => &mut at.dev_container,
                "browser_named" => &mut at.browser_named,
                "browser_forbidden" => &mut at.browser_forbidden,
                other => panic!("`{other}` is no fact"),
            };
            *place = true;
        }
        at
    }

    #[test]
    fn where_the_person_sits_decides() {
        let table = include_str!("../../../../docs/reference/flows.md");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| where"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 21 + 9, "every row is read");
        for row in rows {
            let (offered, [place, facts, flow, said]) = match row[..] {
                [place, facts, flow, said] => ("both", [place, facts, flow, said]),
                [place, facts, offered, flow, said] => (offered, [place, facts, flow, said]),
                _ => panic!("a row of another form: {row:?}"),
            };
            let (at, no_codes) = (surroundings(facts), Offers { device: false, ..BOTH });
            let choice = match offered {
                "both" => choose(None, BOTH, &at).ok(),
                "no codes" => choose(None, no_codes, &at).ok(),
                "codes alone" => choose(None, Offers { browser: false, ..BOTH }, &at).ok(),
                "no codes, nobody pastes" => choose(None, Offers { paste: false, ..no_codes }, &at).ok(),
                "both, then refuses" => without_codes(BOTH, &at),
                other => panic!("`{other}` is not offered"),
            };
            let choice = choice.unwrap();
            assert_eq!((choice.flow.to_string().as_str(), choice.why), (flow, said), "{place}: {offered}");
        }
    }

    #[test]
    fn a_wish_comes_first_where_it_can_be_met() {
        let somebody = Surroundings { terminal: true, ..Surroundings::default() };
        let ssh = Surroundings { ssh: true, ..somebody.clone() };
        assert_eq!(choose(Some(Flow::Browser), BOTH, &ssh).unwrap().flow, Flow::Browser);
        let no_device = Offers { browser: true, device: false, paste: false };
        assert!(choose(Some(Flow::Device), no_device, &ssh).is_err());
        assert_eq!(choose(None, no_device, &ssh).unwrap().flow, Flow::Browser);
        let no_browser = Offers { browser: false, device: true, paste: true };
        assert!(choose(Some(Flow::Paste), no_browser, &ssh).is_err());
        assert_eq!(choose(None, no_browser, &somebody).unwrap().flow, Flow::Device);
        assert!(choose(None, Offers { browser: false, device: false, paste: true }, &ssh).is_err());
    }

    #[test]
    fn where_nobody_is_there_nobody_is_waited_for_unless_it_was_asked_for() {
        let desktop = Surroundings { desktop: true, ..Surroundings::default() };
        let job = Surroundings { ci: true, ..Surroundings::default() };
        for at in [Surroundings::default(), desktop, job] {
            assert_eq!(choose(None, BOTH, &at), Err(NoFlow::NobodyThere));
            assert!(choose(Some(Flow::Device), BOTH, &at).is_ok());
            assert_eq!(choose(Some(Flow::Paste), BOTH, &at), Err(NoFlow::NobodyThere));
        }
    }
}
