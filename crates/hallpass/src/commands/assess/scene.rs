//! Where a tool is run: a home of its own, a terminal of its own, no display, and a proxy that notes what goes through it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tempfile::TempDir;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::proxy::Proxy;
use super::seen::Seen;
use crate::env;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The hidden command that becomes the tool, once it has a terminal of its own.
pub(crate) const RUN: &str = "assess-run";
/// How often to look at processes and files.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where the scratch home is made: in memory, where there is such a place.
const IN_MEMORY: &str = "/dev/shm";

/// A home of its own.
pub(super) struct Scene {
    home: TempDir,
    proxy: Proxy,
    given: Vec<(String, String)>,
}

/// How a run went.
pub(super) struct Ran {
    /// Its exit code; `None` if it was still going when its time was up.
    pub(super) code: Option<i32>,
    /// What it said on its terminal.
    pub(super) said: Zeroizing<String>,
    /// After how long it first said something.
    pub(super) first_word: Option<Duration>,
}

impl Scene {
    pub(super) async fn new(more: &[(String, String)]) -> std::io::Result<Self> {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let home =
            tempfile::Builder::new().prefix("hallpass-assess-").permissions(private).tempdir_in(IN_MEMORY);
        let home = home.or_else(|_| tempfile::tempdir())?;
        let proxy = Proxy::start().await?;
        let path = |name: &str| home.path().join(name).display().to_string();
        let mut given: Vec<(String, String)> = [
            ("HOME", home.path().display().to_string()),
            ("XDG_CONFIG_HOME", path(".config")),
            ("XDG_DATA_HOME", path(".local/share")),
            ("XDG_STATE_HOME", path(".local/state")),
            ("XDG_CACHE_HOME", path(".cache")),
            ("XDG_RUNTIME_DIR", path("run")),
            ("PATH", env::PATH.text().unwrap_or_default()),
            ("TERM", "xterm".into()),
            ("LANG", "C.UTF-8".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for name in ["HTTPS_PROXY", "https_proxy", "http_proxy"] {
            given.push((name.into(), proxy.address.clone()));
        }
        given.extend(more.iter().cloned());
        std::fs::create_dir(home.path().join("run"))?;
        std::fs::set_permissions(
            home.path().join("run"),
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )?;
        Ok(Self { home, proxy, given })
    }

    pub(super) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Runs a command on a terminal of its own, and watches it. What it says is passed on, so that a person can do what it
    /// asks for.
    pub(super) async fn run(
        &self,
        command: &[OsString],
        at_most: Duration,
        seen: &mut Seen,
        out: &mut Output,
    ) -> Result<Ran, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::could_not_run(format_args!("cannot give it a terminal: {error}"))
        };
        let (ours, theirs) = terminal().map_err(cannot)?;
        let stdio = || theirs.try_clone().map(Stdio::from).map_err(cannot);
        let mut child = Command::new("/proc/self/exe");
        child.arg0("hallpass-assess").arg(RUN).args(command).env_clear();
        child.envs(self.given.iter().map(|(name, value)| (name, value)));
        child.current_dir(self.home.path()).stdin(stdio()?).stdout(stdio()?).stderr(stdio()?);
        let mut child = child.spawn().map_err(cannot)?;
        drop(theirs);
        let (heard, words) = mpsc::channel::<Vec<u8>>();
        let mut listens = std::fs::File::from(ours.try_clone().map_err(cannot)?);
        std::thread::spawn(move || {
            let mut chunk = [0u8; 4096];
            // A terminal whose last reader is gone is an error, and the end.
            while let Ok(len @ 1..) = listens.read(&mut chunk) {
                if heard.send(chunk[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        typed_through(ours);
        let started = Instant::now();
        let session = i32::try_from(child.id()).unwrap_or_default();
        let mut ran = Ran { code: None, said: Zeroizing::new(String::new()), first_word: None };
        loop {
            seen.look_at_processes(session, &self.given);
            seen.look_at_files(self.home.path());
            let over = child.try_wait().map_err(cannot)?;
            for chunk in words.try_iter() {
                ran.first_word.get_or_insert(started.elapsed());
                let text = String::from_utf8_lossy(&chunk).into_owned();
                out.prompt(&text);
                ran.said.push_str(&text);
            }
            if let Some(status) = over {
                ran.code = Some(code_of(status));
                break;
            }
            if started.elapsed() >= at_most {
                let _ = child.kill();
                let _ = child.wait();
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        for chunk in words.try_iter() {
            ran.said.push_str(&String::from_utf8_lossy(&chunk));
        }
        seen.look_at_files(self.home.path());
        Ok(ran)
    }

    /// Runs a line of the shell in the same home, without a terminal, and gives what it answers.
    pub(super) async fn ask(&self, line: &str, at_most: Duration) -> Option<(i32, Zeroizing<String>)> {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell.args(["-c", line]).env_clear().envs(self.given.iter().map(|(name, value)| (name, value)));
        shell.current_dir(self.home.path()).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let answer = tokio::time::timeout(at_most, shell.output()).await.ok()?.ok()?;
        let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        Some((code_of(answer.status), Zeroizing::new(text)))
    }
}

/// Our end of a new terminal, and the other.
fn terminal() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((ours, theirs))
}

/// What a person types goes to the tool.
fn typed_through(terminal: OwnedFd) {
    std::thread::spawn(move || {
        let (mut terminal, mut line) = (std::fs::File::from(terminal), String::new());
        while std::io::stdin().read_line(&mut line).is_ok_and(|len| len > 0) {
            if terminal.write_all(line.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
        // Its terminal stays open for as long as we are here: one that hangs up would end it.
        std::thread::park();
    });
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The hidden command's whole life: it takes the terminal it was given for its own, and becomes the tool.
pub(crate) fn become_tool(command: &[OsString]) -> Result<Exit, Failure> {
    let cannot =
        |error: std::io::Error| Failure::could_not_run(format_args!("cannot take the terminal: {error}"));
    rustix::process::setsid().map_err(|error| cannot(error.into()))?;
    rustix::process::ioctl_tiocsctty(std::io::stdin()).map_err(|error| cannot(error.into()))?;
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::usage("there is no command"))?;
    let error = Command::new(program).args(arguments).exec();
    let exit =
        if error.kind() == std::io::ErrorKind::NotFound { Exit::NOT_FOUND } else { Exit::NOT_RUNNABLE };
    Err(Failure::could_not_run(format_args!("cannot run `{}`: {error}", program.to_string_lossy()))
        .leaving_with(exit))
}
