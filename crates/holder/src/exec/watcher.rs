//! The watcher: a process that outlives the one it watches, and ends what that one could not.
//!
//! It is our own program, started with a hidden command. It leaves our session and process group at once, so that
//! nothing that kills those kills it; what it must know comes over a pipe, never in arguments or environment. It keeps
//! the run's connection to the issuer open. Then:
//!
//! - a line that says so: there is nothing left to do, and it goes;
//! - end of file: we died. It revokes what it was entrusted with, trying again until that is over by itself.

mod charge;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub(super) use charge::{Charge, Entrusted, Hint};

use crate::Clock;
use crate::error::HolderError;
use crate::provider::{Fields, NoAnswer, Provider, Trust};

/// What the watcher says when it stands on its own feet.
const READY: &[u8] = b"ready\n";
/// What it is told when there is nothing left to do.
const DISMISSED: &[u8] = b"dismissed\n";
/// How long a watcher may take to start: it is this very program, on this very machine.
const START_TIME_OUT: Duration = Duration::from_secs(10);
/// How long it may take to go.
const DISMISS_TIME_OUT: Duration = Duration::from_secs(1);
/// A watcher that dies is replaced after this pause: well within `lifetimes::RUN_RESUME`, and no busy loop.
const REPLACE_PAUSE: Duration = Duration::from_millis(200);
const REPLACE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// The issuer says every five seconds that a run's connection is open: three missed, and it is not.
const QUIET_AT_MOST: Duration = Duration::from_secs(15);
/// A dropped connection is opened again after this pause, doubling: the issuer waits `lifetimes::RUN_RESUME`.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// A revocation that failed is tried again after this pause, doubling.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A charge at most, in bytes: a few tokens.
const CHARGE_LEN_MAX: u64 = 256 * 1024;
/// A line of the run's connection at most, in bytes: each is a word or two.
const LINE_LEN_MAX: usize = 64 * 1024;

/// How to start the watcher: our own program, and the hidden command.
#[derive(Debug, Clone)]
pub struct WatcherProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments. Nothing secret.
    pub arguments: Vec<OsString>,
}

/// A watcher, seen from the process it watches.
pub(super) struct Watcher {
    program: WatcherProgram,
    running: Running,
}

struct Running {
    process: Child,
    pipe: ChildStdin,
    says: Option<ChildStdout>,
}

impl Watcher {
    /// Starts one. It is not ready yet.
    pub(super) fn start(program: &WatcherProgram) -> Result<Self, HolderError> {
        Ok(Self { running: Running::start(program)?, program: program.clone() })
    }

    /// Waits until it stands on its own feet: from then on, killing our process group does not kill it.
    pub(super) async fn ready(&mut self) -> Result<(), HolderError> {
        self.running.ready().await
    }

    /// Tells it what to see to.
    pub(super) async fn entrust(&mut self, charge: &Charge) -> Result<(), HolderError> {
        self.running.pipe.write_all(&charge.render()).await.map_err(not_started)
    }

    /// Goes on for ever, replacing the watcher when it dies.
    pub(super) async fn keep_up(&mut self, charge: Option<&Charge>) -> std::convert::Infallible {
        let Some(charge) = charge else {
            return std::future::pending().await;
        };
        let mut pause = REPLACE_PAUSE;
        loop {
            // Nothing but its death wakes us: it goes by itself only when we tell it to.
            let _ = self.running.process.wait().await;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(REPLACE_PAUSE_MAX);
            if let Ok(mut again) = Running::start(&self.program)
                && again.ready().await.is_ok()
                && again.pipe.write_all(&charge.render()).await.is_ok()
            {
                self.running = again;
            }
        }
    }

    /// Sends it away: there is nothing left to do.
    pub(super) async fn dismiss(mut self) {
        let _ = self.running.pipe.write_all(DISMISSED).await;
        let _ = tokio::time::timeout(DISMISS_TIME_OUT, self.running.process.wait()).await;
    }
}

impl Running {
    fn start(program: &WatcherProgram) -> Result<Self, HolderError> {
        let mut process = Command::new(&program.program)
            .args(&program.arguments)
            .arg0("hallpass-watcher")
            // Nothing of the person's is kept busy: not their folder, not the pipe their output goes to.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        let pipe = process.stdin.take().expect("its input is a pipe");
        let says = process.stdout.take();
        Ok(Self { process, pipe, says })
    }

    async fn ready(&mut self) -> Result<(), HolderError> {
        let mut says = self.says.take().expect("a watcher says once that it is ready");
        let mut word = [0u8; READY.len()];
        let read = tokio::time::timeout(START_TIME_OUT, says.read_exact(&mut word)).await;
        match read {
            Ok(Ok(_)) if word == READY => Ok(()),
            Ok(Err(error)) => Err(not_started(error)),
            _ => Err(not_started(std::io::Error::other("it does not say that it is ready"))),
        }
    }
}

fn not_started(source: std::io::Error) -> HolderError {
    HolderError::Start { command: "the watcher of this run".into(), source }
}

/// The watcher's whole life: what the hidden command does.
///
/// # Errors
/// If it cannot leave its session or read its pipe: then there is nothing it was entrusted with.
pub async fn watch(clock: Clock) -> std::io::Result<()> {
    // A leader of a group of its own already, as a shell's job, cannot lead a session; it then has what it needs.
    let _ = rustix::process::setsid();
    let mut says = tokio::io::stdout();
    says.write_all(READY).await?;
    says.flush().await?;
    let input = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?;
    let input = tokio::net::unix::pipe::Receiver::from_owned_fd(input)?;
    let mut input = BufReader::new(input);
    let Some(charge) = Charge::read(&mut input, CHARGE_LEN_MAX).await else {
        return Ok(()); // we died before there was anything
    };
    let provider = Provider::new(Trust { ca_file: charge.ca_file.clone() }, clock.clone());
    let mut told = Vec::with_capacity(DISMISSED.len());
    tokio::select! {
        // However long the command goes on: our end of the pipe closes when it is over, or when we are.
        _ = input.read_until(b'\n', &mut told) => {}
        never = run_connection(&provider, &charge) => match never {},
    }
    if told != DISMISSED {
        revoke_all(&provider, &charge, &clock).await;
    }
    Ok(())
}

/// Keeps the run's connection open while there is a point, and then does nothing for ever.
async fn run_connection(provider: &Provider, charge: &Charge) -> std::convert::Infallible {
    if let (Some(url), Some(lease), Some(pass)) =
        (charge.lease_endpoint(), charge.lease, charge.entrusted.first())
    {
        let form = Fields::new().with("lease", lease.to_string());
        let mut pause = RECONNECT_PAUSE;
        loop {
            match provider.open(&url, &form, &pass.token, QUIET_AT_MOST).await {
                Ok(mut response) => {
                    pause = RECONNECT_PAUSE;
                    if read_until_ended(&mut response).await {
                        break;
                    }
                }
                // The pass is over, or cut.
                Err(NoAnswer::Refused { .. }) => break,
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
    }
    std::future::pending().await
}

/// Reads the lines of a run's connection. True if the issuer said that the run has ended, false if the connection
/// dropped.
async fn read_until_ended(response: &mut reqwest::Response) -> bool {
    #[derive(serde::Deserialize)]
    struct Line {
        state: String,
    }
    let mut line = Vec::new();
    loop {
        let Ok(Ok(Some(chunk))) = tokio::time::timeout(QUIET_AT_MOST, response.chunk()).await else {
            return false;
        };
        for byte in chunk {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if serde_json::from_slice::<Line>(&line).is_ok_and(|said| said.state == "ended") {
                return true;
            }
            line.clear();
        }
        if line.len() > LINE_LEN_MAX {
            return false;
        }
    }
}

/// Revokes everything, trying again until it is over by itself.
async fn revoke_all(provider: &Provider, charge: &Charge, clock: &Clock) {
    let Some(url) = &charge.metadata.revocation_endpoint else {
        return;
    };
    for one in &charge.entrusted {
        let form = Fields::new().with_secret("token", &one.token).with("token_type_hint", one.hint.text());
        let form = charge.client.proven_in(form, &charge.metadata);
        let mut pause = RETRY_PAUSE;
        loop {
            match provider.post(url, &form, charge.client.with(&charge.metadata)).await {
                Err(
                    NoAnswer::Unreachable { .. } | NoAnswer::Unexpected { .. } | NoAnswer::NotSent { .. },
                ) if clock() < one.until => {}
                _ => break,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }
}
