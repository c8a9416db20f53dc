//! `hallpass serve` on a folder of its own, and the commands that speak to it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The program under test.
pub(super) use crate::program::PROGRAM;
/// The mark in the environment by which the processes of a run are found.
pub(super) const MARK: &str = "PROMISE_RUN";
/// Everything that is waited for comes within this, on a busy machine too.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// A server that runs, or did.
pub(crate) struct Server {
    /// Its data folder.
    pub(super) data: PathBuf,
    /// What it and its commands say goes here.
    folder: PathBuf,
    /// The port it listens on.
    pub(super) port: u16,
    /// The port in its own URL.
    pub(super) public: u16,
    child: Option<Child>,
}

impl Server {
    /// A server that was never started, with its data in `folder`. `public` is the port its clients use.
    pub(crate) fn new(folder: &Path, port: u16, public: u16) -> Self {
        Self { data: folder.join("data"), folder: folder.to_owned(), port, public, child: None }
    }

    /// Where its clients reach it.
    pub(super) fn base_url(&self) -> String {
        format!("http://localhost:{}", self.public)
    }

    /// The issuer of the org `acme`.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/acme", self.base_url())
    }

    /// What it has logged.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Starts it and returns at once. A core dump would be as large as it likes, if there were one.
    pub(super) fn spawn(&mut self) {
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"", PROGRAM, "serve", "--json"])
            .args(["--local-approval", "--log", "debug", "--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--base-url", &format!("http://localhost:{}", self.public), "--data"])
            .arg(&self.data)
            .current_dir(&self.folder)
            .env(MARK, "server")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(append(&self.log()))
            .kill_on_drop(true);
        self.child = Some(command.spawn().expect("a shell starts"));
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        let child = self.child.as_mut().expect("it was just started");
        let mut said = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let line = timeout(DEADLINE, said.next_line()).await.expect("a server starts in time");
        let line = line.expect("its output is text").unwrap_or_default();
        assert!(line.contains("hallpass.serve.ready/1"), "it said `{line}`: {}", self.last_words());
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Ends it by this signal and waits until it is gone.
    pub(crate) async fn end(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process id")).expect("not zero");
        rustix::process::kill_process(pid, signal).expect("it is ours to signal");
        let mut child = self.child.take().expect("it runs");
        timeout(DEADLINE, child.wait()).await.expect("it goes in time").expect("it is our child")
    }

    /// Runs `hallpass admin` or `hallpass ledger` on its folder; it must succeed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--data").arg(&self.data).env(MARK, "operator");
        let output = finished(&mut command).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
    }
}

/// Runs a command to its end, with nobody to ask.
pub(super) async fn finished(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    timeout(DEADLINE, output).await.expect("a command ends in time").expect("a command starts")
}

/// A file to append to.
pub(super) fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a file in the test's own folder")
}

/// A port nobody listens on, below those the system takes for the near end of connections: so that no connection of
/// the test's own holds it when the server comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let first = (std::process::id() % 10_000) as u16;
    loop {
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let port = 20_000 + (first + nth) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The first word of a command's answer that begins so.
pub(super) fn word(output: &[u8], beginning: &str) -> String {
    let text = String::from_utf8_lossy(output).into_owned();
    let found = text.split_whitespace().find(|word| word.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no `{beginning}` in `{text}`")).to_owned()
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> &str {
    OsStr::to_str(path.as_os_str()).expect("temporary folders have plain names")
}
