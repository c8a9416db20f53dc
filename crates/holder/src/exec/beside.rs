//! What runs beside a command: our own program, started with a hidden command. It says when it stands on its own feet.

use std::ffi::OsString;
use std::io::Error;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::error::HolderError;

/// What it says when it stands on its own feet.
pub(super) const READY: &[u8] = b"ready\n";
/// How long it may take to start: it is this very program, on this very machine.
const START_TIME_OUT: Duration = Duration::from_secs(10);

/// How to start what runs beside a command.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Our own program.
    pub program: PathBuf,
    /// The arguments that make it the watcher ([`watch`](super::watch)). Nothing secret.
    pub watcher: Vec<OsString>,
    /// The arguments that make it the witness ([`witness`](super::witness())). Nothing secret.
    pub witness: Vec<OsString>,
    /// The arguments that make it the holder of files ([`hold_files`](super::hold_files())). Nothing secret.
    pub files: Vec<OsString>,
    /// The arguments that make it the monitor of a command with a terminal of its own ([`monitor`](super::monitor())).
    /// Nothing secret.
    pub terminal: Vec<OsString>,
    /// What replaces variables of ours: paths that are relative to our folder, which the watcher leaves.
    pub environment: Vec<(OsString, OsString)>,
}

/// One that runs.
pub(super) struct Running {
    pub(super) process: Child,
    /// Its end of file says that we are gone.
    pub(super) pipe: ChildStdin,
    pub(super) says: ChildStdout,
    what: &'static str,
}

impl Beside {
    pub(super) fn start_watcher(&self) -> Result<Running, HolderError> {
        Running::start(self, &self.watcher, "hallpass-watcher", "cannot start the watcher of this run")
    }

    pub(super) fn start_witness(&self) -> Result<Running, HolderError> {
        Running::start(self, &self.witness, "hallpass-witness", "cannot start the witness of this run")
    }
}

impl Beside {
    /// With nothing of the environment: its process can be looked into.
    pub(super) fn start_files(&self, socket: Stdio) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.files)
            .arg0("hallpass-files")
            .env_clear()
            .current_dir("/")
            .stdin(socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

impl Running {
    fn start(
        beside: &Beside,
        arguments: &[OsString],
        name: &str,
        what: &'static str,
    ) -> Result<Self, HolderError> {
        let mut process = Command::new(&beside.program)
            .args(arguments)
            .arg0(name)
            .envs(beside.environment.iter().map(|(name, value)| (name, value)))
            // Nothing of the person's is kept busy: not their folder, not the pipe their output goes to.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| HolderError::Run { doing: what, source })?;
        let pipe = process.stdin.take().expect("its input is a pipe");
        let says = process.stdout.take().expect("its output is a pipe");
        Ok(Self { process, pipe, says, what })
    }

    /// Waits until it stands on its own feet.
    pub(super) async fn ready(&mut self) -> Result<(), HolderError> {
        let mut word = [0u8; READY.len()];
        let read = tokio::time::timeout(START_TIME_OUT, self.says.read_exact(&mut word)).await;
        match read {
            Ok(Ok(_)) if word == READY => Ok(()),
            Ok(Err(source)) => Err(HolderError::Run { doing: self.what, source }),
            _ => {
                let source = Error::other("it does not say that it is ready");
                Err(HolderError::Run { doing: self.what, source })
            }
        }
    }
}
