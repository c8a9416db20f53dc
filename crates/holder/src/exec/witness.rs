//! The witness: a process that stays in our process group, and says whether a signal that reached us reached the whole
//! group.
//!
//! The kernel tells who sent a signal, but not to how many. Both happen every day: `kill $!` in a script and the
//! `terminate()` of a parent mean us alone, and the command must be told; `kill %1`, `timeout` and a supervisor's
//! `kill -- -PGID` mean the group, and the command has heard already. Many programs take a second signal for "now at
//! once, whatever is lost". Who sent it does not tell the two apart: each may be our parent, in our group or not. A
//! group of the command's own would take the terminal from the rest of a pipeline.
//!
//! 1. It catches what we pass on, notes it, and says that it is ready.
//! 2. For each byte it reads, the number of a signal, it answers with one that says whether that came since it was last
//!    asked. Zero makes it forget everything.
//! 3. End of file: we are gone, and so is it.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::beside::{Beside, READY, Running};
use super::child::PASSED_ON;
use crate::error::HolderError;

/// Makes it forget all it noted.
const FORGET: u8 = 0;
/// How long an answer is waited for: it takes no more than a pipe and back. A witness that was stopped, or has died,
/// does not keep a signal from the command.
const ANSWER_TIME_OUT: Duration = Duration::from_millis(500);

/// A witness, seen from the process in whose group it is.
pub(super) struct Witness {
    running: Running,
    /// Out of step, or gone: it is not asked again.
    lost: bool,
}

impl Witness {
    /// Starts one. It is not ready yet.
    pub(super) fn start(beside: &Beside) -> Result<Self, HolderError> {
        Ok(Self { running: beside.start_witness()?, lost: false })
    }

    /// Waits until it notes what comes.
    pub(super) async fn ready(&mut self) -> Result<(), HolderError> {
        self.running.ready().await
    }

    /// Whether this signal came to the whole group since it was last asked about. In doubt it did not: better twice than
    /// never.
    pub(super) async fn heard(&mut self, signal: i32) -> bool {
        match u8::try_from(signal) {
            Ok(signal) => self.ask(signal).await,
            Err(_) => false,
        }
    }

    /// Makes it forget what came until now.
    pub(super) async fn forget(&mut self) {
        self.ask(FORGET).await;
    }

    async fn ask(&mut self, byte: u8) -> bool {
        if self.lost {
            return false;
        }
        let running = &mut self.running;
        let mut answer = [0u8; 1];
        let asked = async {
            running.pipe.write_all(&[byte]).await?;
            running.says.read_exact(&mut answer).await
        };
        self.lost = !matches!(tokio::time::timeout(ANSWER_TIME_OUT, asked).await, Ok(Ok(_)));
        !self.lost && answer[0] == 1
    }
}

/// The witness's whole life: what its hidden command does.
///
/// # Errors
/// If it cannot catch signals or write: then nobody listens to it.
pub fn witness() -> std::io::Result<()> {
    let mut noted = HashMap::new();
    for signal in PASSED_ON {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, came.clone())?;
        noted.insert(signal, came);
    }
    let (mut asked, mut says) = (std::io::stdin().lock(), std::io::stdout().lock());
    says.write_all(READY)?;
    says.flush()?;
    let mut byte = [FORGET];
    loop {
        match asked.read_exact(&mut byte) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let came = match byte[0] {
            FORGET => {
                noted.values().for_each(|came| came.store(false, Ordering::Relaxed));
                false
            }
            signal => noted.get(&i32::from(signal)).is_some_and(|came| came.swap(false, Ordering::Relaxed)),
        };
        says.write_all(&[u8::from(came)])?;
        says.flush()?;
    }
}
