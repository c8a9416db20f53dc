//! A person at a terminal: what they see and type there, and how they stop. `script` (util-linux) makes the terminal.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use hallpass_model::grant::Approval;
use hallpass_store::{Answer, AnswerDevice, Approver, DeviceAnswered};
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use super::machine::{Home, Machine, in_time, until};

/// A terminal in which a shell runs one line. `$HALLPASS` is the program.
pub(super) struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    seen: JoinHandle<()>,
}

impl Terminal {
    pub(super) fn run(machine: &Home, line: &str, environment: &[(&str, &str)]) -> Self {
        let prepared = machine.hallpass::<&str>(&[]);
        let given = prepared.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        // Whoever started the tests may have them ignore what is typed at a terminal, and what ignores a signal hands that on.
        let mut child = Command::new("env")
            .args([
                "--default-signal=INT,QUIT",
                "script",
                "--quiet",
                "--return",
                "--command",
                line,
                "/dev/null",
            ])
            .env_clear()
            .envs(given)
            .env("HALLPASS", env!("CARGO_BIN_EXE_hallpass"))
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .current_dir(machine.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (keys, mut shown) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let noting = screen.clone();
        let seen = tokio::spawn(async move {
            let mut chunk = [0; 1024];
            while let Ok(read @ 1..) = shown.read(&mut chunk).await {
                noting.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
        });
        Self { child, keys, screen, seen }
    }

    pub(super) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub(super) async fn shows(&self, words: &str) {
        until(words, async || self.screen().contains(words)).await;
    }

    pub(super) async fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// The one that makes it.
    pub(super) fn child(&self) -> &Child {
        &self.child
    }

    pub(super) async fn end(mut self) -> String {
        in_time(self.child.wait()).await.unwrap();
        in_time(&mut self.seen).await.unwrap(); // all that it showed
        self.screen()
    }
}

pub(super) const CTRL_C: &str = "\x03";
const NO_FILE: (&str, &str) = ("HALLPASS_PASSPHRASE_FILE", "");

#[tokio::test]
async fn ctrl_c_at_the_prompt_stops_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let machine = Machine::signed_in().await;
    for command in ["token", "status", "logout", "exec --purpose x -- true"] {
        let line = format!(
            "stty -a > before; \"$HALLPASS\" {command}; echo left with $?; stty -a > after; cmp before after && echo same"
        );
        let mut terminal = Terminal::run(&machine, &line, &[NO_FILE]);
        terminal.shows("passphrase of your sign-ins: ").await;
        terminal.press(&format!("half of it{CTRL_C}")).await;
        let screen = terminal.end().await;
        assert!(screen.contains("error: cancelled") && screen.contains("same"), "{command}: {screen}");
        assert!(!screen.contains("half of it"), "{command}: {screen}");
        assert!(screen.contains("left with 130"), "{command}: {screen}");
    }
    assert_eq!(machine.run(&["token"]).await.code(), 0, "nothing was wiped");
}

#[tokio::test]
async fn the_passphrase_is_typed_at_the_terminal_wherever_input_and_output_go() {
    let machine = Machine::signed_in().await;
    let line = "echo data | \"$HALLPASS\" token > out 2> err; echo left with $?";
    let mut terminal = Terminal::run(&machine, line, &[NO_FILE]);
    terminal.shows("passphrase of your sign-ins: ").await;
    terminal.press("correct horsse\x7f\x7fe\r").await;
    let screen = terminal.end().await;
    assert!(screen.contains("left with 0") && !screen.contains("horse"), "{screen}");
    let token = std::fs::read_to_string(machine.path("out")).unwrap();
    assert!(machine.world.accepts(token.trim()).await);
}

#[tokio::test]
async fn a_mistyped_passphrase_is_asked_for_again_before_anything_is_wiped() {
    let machine = Machine::signed_in().await;
    let token = machine.run(&["token"]).await.out().trim().to_owned();
    let mut terminal = Terminal::run(&machine, "\"$HALLPASS\" logout; echo left with $?", &[NO_FILE]);
    terminal.shows("passphrase of your sign-ins: ").await;
    terminal.press("corect horse\r").await;
    terminal.shows("that one does not open it").await;
    terminal.press("correct horse\r").await;
    let screen = terminal.end().await;
    assert!(screen.contains("revoked there: the session") && screen.contains("left with 0"), "{screen}");
    assert!(!machine.world.accepts(&token).await);
}

#[tokio::test]
async fn a_login_is_told_before_it_is_approved_that_the_earlier_one_will_live_on() {
    let machine = Machine::signed_in().await;
    let line = format!("\"$HALLPASS\" login {} --flow device --resource {NOTES}", machine.world.issuer_url);
    let mut terminal = Terminal::run(&machine, &line, &[NO_FILE]);
    for typed in ["choose a passphrase", "the same again"] {
        terminal.shows(typed).await;
        terminal.press("another horse\r").await;
    }
    // The one just chosen was tried first, and is not this one's.
    terminal.shows("passphrase of your sign-ins: ").await;
    terminal.press("forgotten\r").await;
    terminal.shows("Enter to give up").await;
    terminal.press("\r").await;
    terminal.shows("Enter  ").await;
    let screen = terminal.screen();
    let (note, code) = (screen.find("will not be revoked").unwrap(), screen.find("Enter  ").unwrap());
    assert!(note < code, "{screen}");
    terminal.press(CTRL_C).await;
    terminal.end().await;
}

#[tokio::test]
async fn stopping_a_login_leaves_no_code_that_somebody_could_approve() {
    let machine = Machine::new().await;
    let line = format!("\"$HALLPASS\" login {} --resource {NOTES}", machine.world.issuer_url);
    let mut terminal = Terminal::run(&machine, &line, &[("SSH_CONNECTION", "x")]);
    terminal.shows("left").await; // it counts down
    let screen = terminal.screen();
    assert!(screen.contains("\x1b[2K") && screen.contains('█'), "{screen}");
    let code = screen.split("Enter  ").nth(1).unwrap().split('\r').next().unwrap();
    let world = &machine.world;
    let waiting = world.store.find_device_by_user_code(world.org, code).await.unwrap().unwrap();
    terminal.press(CTRL_C).await;
    assert!(terminal.end().await.contains("nothing was kept"));

    assert!(world.store.find_device_by_user_code(world.org, code).await.unwrap().is_none());
    let by =
        Approver { principal: world.ada, authentication: world.by_passkey(), approval: Approval::DevicePage };
    let address = "127.0.0.1".to_owned();
    let yes = AnswerDevice { org: world.org, grant: waiting.id, by, answer: Answer::Yes, address };
    assert_eq!(world.change(yes).await, DeviceAnswered::NotThere);
}

#[tokio::test]
async fn a_terminal_that_only_prints_is_not_drawn_over_and_the_address_alone_has_a_picture_too() {
    let provider =
        SmallProvider::start(Manner { approves: None, says_complete: false, ..Manner::default() }).await;
    let machine = Machine::new().await;
    let line = format!("\"$HALLPASS\" login {} --flow device; echo left with $?", provider.issuer);
    let mut terminal = Terminal::run(&machine, &line, &[("TERM", "dumb"), ("NO_COLOR", "")]);
    terminal.shows("waiting for you to approve it, at most").await;
    until("it has polled", async || provider.asked("device_code") > 1).await;
    terminal.press(CTRL_C).await;
    let screen = terminal.end().await;
    assert!(!screen.contains('\x1b'), "{screen:?}");
    assert!(screen.contains('█') && screen.contains("BCDF-GHJK"), "{screen}");
}

#[tokio::test]
async fn a_browser_that_needs_the_terminal_is_not_started_and_not_said_to_be() {
    let machine = Machine::new().await;
    for (flow, words) in [
        ("", "a code to type in any browser"),
        ("--flow browser", "open this address in a browser on this machine"),
    ] {
        let line = format!("\"$HALLPASS\" login {} --resource {NOTES} {flow}", machine.world.issuer_url);
        let mut terminal = Terminal::run(&machine, &line, &[("BROWSER", "w3m")]);
        terminal.shows(words).await;
        terminal.shows("left").await;
        assert!(!terminal.screen().contains("was opened"), "{}", terminal.screen());
        terminal.press(CTRL_C).await;
        terminal.end().await;
    }
}

#[tokio::test]
async fn a_restore_that_may_ask_nobody_does_not_even_at_a_terminal() {
    let machine = Machine::new().await;
    std::fs::write(machine.path("backup.db"), "").unwrap();
    let line = "\"$HALLPASS\" admin restore backup.db --data data --no-input; echo left with $?";
    let screen = Terminal::run(&machine, line, &[]).end().await;
    assert!(screen.contains("needs a yes") && screen.contains("left with 2"), "{screen}");
    assert!(!screen.contains("[y/N]"), "{screen}");
}

/// Nothing stands between: no pipe that would take its colours, no other process group that would take its keys.
#[tokio::test]
async fn a_command_has_the_terminal_itself() {
    let machine = Machine::signed_in().await;
    let script =
        "test -t 0 && test -t 1 && test -t 2 && stty size && read -r typed && echo \\\"heard $typed\\\"";
    let line = format!("stty rows 33 cols 99; \"$HALLPASS\" exec --quiet --purpose x -- sh -c \"{script}\"");
    let line = line.replace("$typed", "\\$typed");
    let mut terminal = Terminal::run(&machine, &line, &[]);
    terminal.shows("33 99").await;
    terminal.press("hello\n").await;
    terminal.shows("heard hello").await;
    terminal.end().await;
}
