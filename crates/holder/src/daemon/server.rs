//! The daemon's end of the socket.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustix::fs::FlockOperation;
use tokio::sync::Semaphore;

use super::Offered;
use super::conversation::{Answer, Question, converse};
use super::office::Office;
use super::problem::{BAD_REQUEST, NOT_FOUND, Problem};
use super::wire;
use crate::Holder;
use crate::error::HolderError;
use crate::private::{self, own_uid};

/// Questions at once. More wait their turn in the kernel, which keeps thousands: memory stays small whoever asks.
const CONNECTIONS_MAX: usize = 128;
/// How long the accept loop rests when the system has no more sockets to give.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long questions under way may take to be answered when the daemon stops.
const DRAIN_TIME_OUT: Duration = Duration::from_secs(10);

/// A socket that is listened on, and the lock that makes us the only ones.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    place: PathBuf,
    _lock: File,
}

/// What a daemon is made of.
pub struct Serve {
    /// The holder whose sign-ins it hands tokens out from. It asks no daemon itself.
    pub holder: Holder,
    /// The folder of its records, as askers name it.
    pub state: Option<PathBuf>,
    /// The program's version.
    pub version: String,
    /// Where the holder finds a passphrase that the daemon was given.
    pub offered: Offered,
    /// How often it looks at the clock: [`LOOK_EVERY`](super::LOOK_EVERY).
    pub look_every: Duration,
}

/// Listens at this place, alone.
///
/// # Errors
/// If another daemon does already, or the folder is not ours alone.
pub fn bind(place: &Path) -> Result<Bound, HolderError> {
    let folder = place.parent().filter(|folder| folder.is_absolute()).ok_or_else(|| {
        HolderError::NoDaemon { why: format!("`{}` is not an absolute path", place.display()) }
    })?;
    private::runtime_folder(folder)?;
    let lock = private::lock_file(&place.with_extension("lock"))?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(HolderError::NoDaemon { why: format!("one runs already at `{}`", place.display()) });
    }
    // The lock is ours, so a socket that is there is a dead one's.
    private::remove(place)?;
    let failed = |source| HolderError::disk("cannot listen at", place)(source);
    let listener = UnixListener::bind(place).map_err(failed)?;
    // SECURITY: until here the folder's 0700 kept everybody else out; the kernel is asked who connects all the same.
    std::fs::set_permissions(place, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Bound { listener, place: place.to_owned(), _lock: lock })
}

impl Bound {
    /// Answers until it is told to stop, by a question or by `stop`.
    ///
    /// # Errors
    /// If the runtime cannot have the socket.
    pub async fn serve(self, serve: Serve, stop: impl Future<Output = ()>) -> io::Result<()> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let office = Office::new(serve.holder, serve.version, serve.state, serve.offered);
        let tended = office.clone();
        let tending = tokio::spawn(async move { tended.tend(serve.look_every).await });
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = std::pin::pin!(stop);
        loop {
            let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            let accepted = tokio::select! {
                () = office.stopped() => break,
                () = stop.as_mut() => {
                    office.end_all().await;
                    break;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // SECURITY: the kernel says who connected, nothing else does. Whoever else it is gets no word.
                Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| peer.uid() == own_uid()) => {
                    let office = office.clone();
                    tokio::spawn(async move {
                        converse(stream, |question| answer(&office, question)).await;
                        drop(place);
                    });
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(ACCEPT_REST).await,
            }
        }
        tending.abort();
        // Nobody connects any more; what is under way is answered.
        let _ = std::fs::remove_file(&self.place);
        drop(listener);
        let drained = places.acquire_many(CONNECTIONS_MAX as u32);
        let _ = tokio::time::timeout(DRAIN_TIME_OUT, drained).await;
        office.settled().await;
        Ok(())
    }
}

async fn answer(office: &Office, question: Question) -> Result<Answer, Problem> {
    let Question { method, path, body } = question;
    match (&method, path.as_str()) {
        (&Method::GET, wire::STATUS) => office.status(),
        (&Method::POST, wire::TOKEN) => office.token(&body).await,
        (&Method::GET, wire::RECORDS) => office.records(),
        (&Method::POST, wire::RECORDS) => office.deposit(&body).await,
        (&Method::POST, wire::LOGOUT) => office.logout(&body).await,
        (&Method::POST, wire::FORGET) => office.forget(&body),
        (&Method::POST, wire::LOCK) => office.lock(&body).await,
        (&Method::POST, wire::UNLOCK) => office.unlock(&body).await,
        (&Method::POST, wire::NOT_TAKEN) => office.not_taken(&body),
        (&Method::POST, wire::STOP) => office.stop().await,
        (_, path) if wire::ALL.iter().any(|(_, known)| *known == path) => {
            Err(Problem::new(BAD_REQUEST, "that is asked by another method"))
        }
        _ => {
            Err(Problem::new(NOT_FOUND, "this daemon does not know that question; is it of another version?"))
        }
    }
}
