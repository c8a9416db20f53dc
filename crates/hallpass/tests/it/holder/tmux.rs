//! In a pane of tmux: it is where the person sits that counts, not where tmux was started.

use std::process::Stdio;

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::process::Command;

use super::machine::{Home, in_time, until};
use super::terminal::{CTRL_C, Terminal};

/// A tmux of the test's own, which ends with it.
struct Tmux<'a>(&'a Home);

impl Tmux<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        let prepared = self.0.hallpass::<&str>(&[]);
        command
            .env_clear()
            .envs(prepared.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("HALLPASS", env!("CARGO_BIN_EXE_hallpass")).env("TERM", "xterm").env("SHELL", "/bin/sh");
        command.env("NO_COLOR", "1").arg("-S").arg(self.0.path("tmux.sock")).args(["-f", "/dev/null"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let run = self.command().args(arguments).envs(environment.iter().copied()).output();
        let said = in_time(run).await.unwrap();
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    /// A session that is started there, with a shell in it that reads what is typed.
    async fn start<'a>(home: &'a Home, environment: &[(&str, &str)]) -> Tmux<'a> {
        let tmux = Tmux(home);
        tmux.run(&["new-session", "-d", "-x", "200", "-y", "60", "/bin/sh"], environment).await;
        tmux
    }

    async fn attach(&self, environment: &[(&str, &str)]) -> Terminal {
        let before = self.clients().await;
        let line = format!("tmux -S {} attach", self.0.path("tmux.sock").display());
        let terminal = Terminal::run(self.0, &line, environment);
        until("it is attached", async || self.clients().await == before + 1).await;
        terminal
    }

    async fn clients(&self) -> usize {
        self.run(&["list-clients"], &[]).await.lines().count()
    }

    /// The lines of the pane that have these words in them, those that were scrolled away too.
    async fn lines(&self, words: &str) -> Vec<String> {
        let shown = self.run(&["capture-pane", "-p", "-J", "-S", "-"], &[]).await;
        shown.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Types a sign-in there, and stops it. What was said of the flow.
    async fn login(&self, terminal: &mut Terminal, issuer: &str) -> String {
        let (said, stopped) = ("signing in to", "nothing was kept");
        let before = self.lines(stopped).await.len();
        terminal.press(&format!("\"$HALLPASS\" login {issuer} --client-id hallpass-cli\r")).await;
        until("it says by which flow", async || self.lines(said).await.len() == before + 1).await;
        until("it waits", async || self.lines(" left").await.len() == 1).await;
        terminal.press(CTRL_C).await;
        until("it has stopped", async || self.lines(stopped).await.len() == before + 1).await;
        self.lines(said).await.pop().unwrap()
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.command().as_std_mut().arg("kill-server").status(); // it may have ended by itself
    }
}

const DESKTOP: (&str, &str) = ("DISPLAY", ":9");
/// So that nothing of the desktop of whoever runs the tests is started.
const NO_OPENER: (&str, &str) = ("BROWSER", "w3m");
const SSH: (&str, &str) = ("SSH_CONNECTION", "x");
const SSH_TTY: (&str, &str) = ("SSH_TTY", "/dev/pts/9");
const OVER_SSH: &str = "by a code to type in any browser: you came in over SSH";

/// What is said at a desktop: in a container, where tests often run, no browser of it reaches a port.
fn at_a_desktop() -> &'static str {
    match ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| std::path::Path::new(mark).exists()) {
        true => "this is a container",
        false => "by a browser here: a browser on this desktop reaches a port here",
    }
}

#[tokio::test]
async fn in_tmux_it_counts_where_the_person_sits_who_types_and_not_where_it_was_started() {
    let provider = SmallProvider::start(Manner { ours: false, approves: None, ..Manner::default() }).await;
    let issuer = provider.issuer.as_str();

    let home = Home::new();
    let tmux = Tmux::start(&home, &[DESKTOP, NO_OPENER]).await;
    let mut over_ssh = tmux.attach(&[SSH, SSH_TTY]).await;
    let said = tmux.login(&mut over_ssh, issuer).await;
    assert!(said.contains(OVER_SSH), "{said}");

    let home = Home::new();
    let tmux = Tmux::start(&home, &[SSH, SSH_TTY]).await;
    let mut at_the_desktop = tmux.attach(&[DESKTOP]).await;
    let said = tmux.login(&mut at_the_desktop, issuer).await;
    assert!(said.contains(at_a_desktop()), "{said}");
    // Of two that are attached, the one that was typed at.
    let mut over_ssh = tmux.attach(&[SSH, SSH_TTY]).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await; // tmux notes the second in which somebody typed
    let said = tmux.login(&mut over_ssh, issuer).await;
    assert!(said.contains(OVER_SSH), "{said}");
}
