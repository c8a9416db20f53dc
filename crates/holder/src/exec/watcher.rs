//! The watcher: a process that outlives the one it watches, and ends what that one could not.
//!
//! It is our own program, started with a hidden command. It leaves our session and process group at once, so that
//! nothing that kills those kills it; what it must know comes over a pipe, never in arguments or environment. It keeps
//! the run's connections to the issuer open, one for each pass. Then:
//!
//! - another charge: the run's pass was renewed, and this is all there is to see to from now on;
//! - a line that says so: there is nothing left to do, and it goes;
//! - end of file: we died. It revokes what it was entrusted with, trying again until that is over by itself.

mod charge;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hallpass_model::id::LeaseId;
use hallpass_model::secret::{AccessToken, Secret};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use url::Url;

use charge::Told;
pub(super) use charge::{Charge, Entrusted, Hint};

use super::beside::{Beside, READY, Running};
use crate::Clock;
use crate::error::HolderError;
use crate::provider::{Fields, NoAnswer, Provider, Trust};
use crate::refresh::copy;

/// What it is told when there is nothing left to do.
const DISMISSED: &[u8] = b"dismissed\n";
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
/// A charge at most, in bytes: a few tokens, each of a few KiB.
const CHARGE_LEN_MAX: u64 = 256 * 1024;
/// A line of the run's connection at most, in bytes: each is a word or two.
const LINE_LEN_MAX: usize = 64 * 1024;

/// A watcher, seen from the process it watches.
pub(super) struct Watcher {
    beside: Beside,
    running: Running,
    charge: Option<Charge>,
}

/// A charge in place of the one before, and who is told when the watcher has it.
pub(super) struct Recharge {
    pub(super) charge: Charge,
    pub(super) taken: oneshot::Sender<()>,
}

impl Watcher {
    /// Starts one. It is not ready yet.
    pub(super) fn start(beside: &Beside) -> Result<Self, HolderError> {
        Ok(Self { running: beside.start_watcher()?, beside: beside.clone(), charge: None })
    }

    /// Waits until it stands on its own feet: from then on, killing our process group does not kill it.
    pub(super) async fn ready(&mut self) -> Result<(), HolderError> {
        self.running.ready().await
    }

    /// Tells it what to see to.
    pub(super) async fn entrust(&mut self, charge: Charge) -> Result<(), HolderError> {
        let failed = |source| HolderError::Run { doing: "cannot speak to the watcher of this run", source };
        let charge = self.charge.insert(charge);
        self.running.pipe.write_all(&charge.render()).await.map_err(failed)
    }

    /// Goes on for ever, telling the watcher of what is renewed, and replacing it when it dies.
    pub(super) async fn keep_up(
        &mut self,
        recharges: &mut mpsc::Receiver<Recharge>,
    ) -> std::convert::Infallible {
        let mut pause = REPLACE_PAUSE;
        loop {
            let charged = self.charge.is_some();
            tokio::select! {
                Some(recharge) = recharges.recv() => {
                    // One that has just died is replaced, and the next one is told.
                    if self.entrust(recharge.charge).await.is_err() {
                        self.replace(&mut pause).await;
                    }
                    let _ = recharge.taken.send(());
                }
                // Nothing but its death wakes us: it goes by itself only when we tell it to.
                _ = self.running.process.wait(), if charged => self.replace(&mut pause).await,
            }
        }
    }

    /// Starts another in its place, until there is one that has the charge.
    async fn replace(&mut self, pause: &mut Duration) {
        loop {
            tokio::time::sleep(*pause).await;
            *pause = (*pause * 2).min(REPLACE_PAUSE_MAX);
            let Some(charge) = &self.charge else { return };
            if let Ok(mut again) = self.beside.start_watcher()
                && again.ready().await.is_ok()
                && again.pipe.write_all(&charge.render()).await.is_ok()
            {
                self.running = again;
                return;
            }
        }
    }

    /// Sends it away: there is nothing left to do.
    pub(super) async fn dismiss(mut self) {
        let _ = self.running.pipe.write_all(DISMISSED).await;
        let _ = tokio::time::timeout(DISMISS_TIME_OUT, self.running.process.wait()).await;
    }
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
    let Told::Charge(mut charge) = Told::read(&mut input, CHARGE_LEN_MAX).await else {
        return Ok(()); // we died before there was anything
    };
    let provider = Provider::new(Trust { ca_file: charge.ca_file.clone(), no_proxy: false }, clock.clone());
    let mut connections = Connections::default();
    loop {
        connections.keep(&provider, &charge);
        // However long the command goes on: our end of the pipe closes when it is over, or when we are.
        match Told::read(&mut input, CHARGE_LEN_MAX).await {
            Told::Charge(renewed) => charge = renewed,
            Told::Dismissed => return Ok(()),
            Told::Nothing => break,
        }
    }
    if let Some(socket) = &charge.socket {
        super::socket::take_away(socket);
    }
    drop(connections);
    revoke_all(&provider, &charge, &clock).await;
    Ok(())
}

/// The run's connections: one for each pass that is held under a lease.
#[derive(Default)]
struct Connections(HashMap<LeaseId, AbortHandle>);

impl Connections {
    /// Opens those of new passes, and closes those of passes that are over.
    fn keep(&mut self, provider: &Arc<Provider>, charge: &Charge) {
        let Some(url) = charge.lease_endpoint() else { return };
        self.0.retain(|lease, connection| {
            let goes_on = charge.entrusted.iter().any(|one| one.lease == Some(*lease));
            if !goes_on {
                connection.abort();
            }
            goes_on
        });
        for one in &charge.entrusted {
            let Some(lease) = one.lease else { continue };
            self.0.entry(lease).or_insert_with(|| {
                let connection = run_connection(provider.clone(), url.clone(), lease, copy(&one.token));
                tokio::spawn(connection).abort_handle()
            });
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.values().for_each(AbortHandle::abort);
    }
}

/// Keeps a pass's connection open while there is a point.
async fn run_connection(provider: Arc<Provider>, url: Url, lease: LeaseId, pass: Secret<AccessToken>) {
    let form = Fields::new().with("lease", lease.to_string());
    let mut pause = RECONNECT_PAUSE;
    loop {
        match provider.open(&url, &form, &pass, QUIET_AT_MOST).await {
            Ok(mut response) => {
                pause = RECONNECT_PAUSE;
                if read_until_ended(&mut response).await {
                    return;
                }
            }
            // The pass is over, or cut.
            Err(NoAnswer::Refused { .. }) => return,
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
    }
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
        let form = Fields::new()
            .with_secret("token", &one.token)
            .with("token_type_hint", one.hint.text())
            .with_some("run_over", one.hint.run_over());
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
