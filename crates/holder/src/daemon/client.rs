//! Asking the daemon: a connection a question, and nothing is said before the kernel has told whose socket it is.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hallpass_model::secret::{Passphrase, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::{Zeroize, Zeroizing};

use super::http;
use super::problem::Problem;
use super::wire::{self, DaemonStatus, Done, Ended, Locking, Stopped};
use super::{Start, Use};
use crate::error::HolderError;
use crate::private::own_uid;

/// How long the daemon may take to say what it knows without asking anybody.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long it may take where it must ask an issuer: as long as two renewals in turn.
const WHILE_RENEWING: Duration = Duration::from_secs(130);
/// How long a daemon that was started may take to answer.
const START_TIME_OUT: Duration = Duration::from_secs(10);
/// How often to look whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The daemon, as somebody who asks sees it.
#[derive(Debug, Clone)]
pub struct Daemon {
    socket: PathBuf,
    wanted: Use,
    start: Option<Start>,
    pub(super) state: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// None runs there.
    Nobody,
    /// One does, and something went wrong on the way.
    Broken(String),
    /// It said no.
    Problem(Problem),
}

impl NoAnswer {
    /// As an error of the one who asked, where nobody else can answer.
    pub(crate) fn into_error(self) -> HolderError {
        match self {
            NoAnswer::Nobody => HolderError::NoDaemon { why: "none runs".into() },
            NoAnswer::Broken(why) => HolderError::NoDaemon { why },
            NoAnswer::Problem(problem) => {
                let why = problem.message.clone();
                problem.into_error().unwrap_or(HolderError::NoDaemon { why })
            }
        }
    }
}

impl From<io::Error> for NoAnswer {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => NoAnswer::Nobody,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                NoAnswer::Broken("it did not answer in time".into())
            }
            _ => NoAnswer::Broken(error.to_string()),
        }
    }
}

impl Daemon {
    /// The daemon at this socket. `state` is the folder of the asker's own records; `start` is how one is started.
    pub fn new(socket: PathBuf, wanted: Use, state: Option<PathBuf>, start: Option<Start>) -> Self {
        Self { socket, wanted, start, state }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it is asked at all; started first, where it is wanted always.
    pub(super) fn is_asked(&self) -> bool {
        match self.wanted {
            Use::Off => false,
            Use::Auto => true,
            // That it cannot be started is found out by asking it.
            Use::On => self.runs() || self.start().is_ok() || self.runs(),
        }
    }

    /// Whether one answers.
    pub fn runs(&self) -> bool {
        connect(&self.socket).is_ok()
    }

    /// What it says of itself. `None` if none runs.
    ///
    /// # Errors
    /// If something is there that does not answer as a daemon does.
    pub fn status(&self) -> Result<Option<DaemonStatus>, HolderError> {
        match self.ask_at_once("GET", wire::STATUS, &wire::Done {}) {
            Ok(status) => Ok(Some(status)),
            Err(NoAnswer::Nobody) => Ok(None),
            Err(none) => Err(none.into_error()),
        }
    }

    /// Starts one, unless one runs, and waits until it answers. Whether it was started.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn start(&self) -> Result<bool, HolderError> {
        if self.runs() {
            return Ok(false);
        }
        let failed = |why: String| HolderError::NoDaemon { why };
        let start = self.start.as_ref().ok_or_else(|| failed("none runs, and none can be started".into()))?;
        let mut process = Command::new(&start.program)
            .args(&start.arguments)
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            // Nothing of the person's is kept busy: not their folder, not the pipe their output goes to.
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("it cannot be started: {error}")))?;
        let give_up = std::time::Instant::now() + START_TIME_OUT;
        loop {
            if self.runs() {
                return Ok(true);
            }
            let ended = process.try_wait().ok().flatten().is_some();
            if ended && !self.runs() {
                let mut said = String::new();
                if let Some(stderr) = process.stderr.take() {
                    let _ = stderr.take(4096).read_to_string(&mut said);
                }
                let said = hallpass_model::purpose::plain(said.trim().trim_start_matches("error: "), 400);
                return Err(failed(format!("it ended at once: {said}")));
            }
            if std::time::Instant::now() >= give_up {
                let _ = process.kill();
                return Err(failed("it was started and does not answer".into()));
            }
            pause();
        }
    }

    /// Stops it, and says which sign-ins ended with it. `None` if none runs.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn stop(&self) -> Result<Option<Vec<Ended>>, HolderError> {
        let stopped: Stopped = match self.ask_for("POST", wire::STOP, &wire::Done {}, WHILE_RENEWING) {
            Ok(stopped) => stopped,
            Err(NoAnswer::Nobody) => return Ok(None),
            Err(none) => return Err(none.into_error()),
        };
        let give_up = std::time::Instant::now() + START_TIME_OUT;
        while self.runs() && std::time::Instant::now() < give_up {
            pause();
        }
        Ok(Some(stopped.ended))
    }

    /// Locks it, under a passphrase if there is one. False if none runs.
    ///
    /// # Errors
    /// `PassphraseNeeded` if it alone holds something, and there is none.
    pub fn lock(&self, passphrase: Option<&Secret<Passphrase>>) -> Result<bool, HolderError> {
        self.locking(wire::LOCK, passphrase)
    }

    /// Unlocks it, and opens what on disk waits for this passphrase. False if none runs.
    ///
    /// # Errors
    /// `PassphraseNeeded` or `WrongPassphrase`.
    pub fn unlock(&self, passphrase: Option<&Secret<Passphrase>>) -> Result<bool, HolderError> {
        self.locking(wire::UNLOCK, passphrase)
    }

    fn locking(&self, path: &str, passphrase: Option<&Secret<Passphrase>>) -> Result<bool, HolderError> {
        let mut question = Locking { passphrase: passphrase.map(|text| text.expose_text().to_owned()) };
        let answer = self.ask_for::<Done>("POST", path, &question, WHILE_RENEWING);
        question.passphrase.zeroize();
        match answer {
            Ok(_) => Ok(true),
            Err(NoAnswer::Nobody) => Ok(false),
            Err(none) => Err(none.into_error()),
        }
    }

    pub(super) fn ask_at_once<A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A, NoAnswer> {
        self.ask_for(method, path, question, AT_ONCE)
    }

    pub(super) fn ask_slowly<A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A, NoAnswer> {
        self.ask_for(method, path, question, WHILE_RENEWING)
    }

    fn ask_for<A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        question: &impl Serialize,
        time_out: Duration,
    ) -> Result<A, NoAnswer> {
        let mut stream = connect(&self.socket)?;
        stream.set_read_timeout(Some(time_out))?;
        stream.set_write_timeout(Some(AT_ONCE))?;
        stream.write_all(&http::question(method, path, &body(question)))?;
        read(&whole(&stream)?)
    }

    /// The same for what may take as long as an issuer takes.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A, NoAnswer> {
        ask_over(connect(&self.socket)?, method, path, question).await
    }
}

/// Asks what may take as long as an issuer takes, over this connection.
pub(crate) async fn ask_over<A: DeserializeOwned>(
    stream: UnixStream,
    method: &str,
    path: &str,
    question: &impl Serialize,
) -> Result<A, NoAnswer> {
    let asked = http::question(method, path, &body(question));
    let exchange = async {
        stream.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(stream)?;
        stream.write_all(&asked).await?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(http::ANSWER_USUAL));
        stream.take(http::ANSWER_MAX as u64).read_to_end(&mut bytes).await?;
        Ok::<_, io::Error>(bytes)
    };
    match tokio::time::timeout(WHILE_RENEWING, exchange).await {
        Ok(bytes) => read(&bytes?),
        Err(_) => Err(NoAnswer::Broken("it did not answer in time".into())),
    }
}

/// SECURITY: a socket that somebody else listens on is not spoken to, wherever it is.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())?;
    match peer.uid.as_raw() == own_uid() {
        true => Ok(stream),
        false => Err(io::Error::other("the socket belongs to another user")),
    }
}

fn body(question: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let written = "a question is a struct of JSON values";
    let mut room = Room(0);
    serde_json::to_writer(&mut room, question).expect(written);
    // Growing would leave copies behind, and all the room there is gets wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.0));
    serde_json::to_writer(&mut *bytes, question).expect(written);
    bytes
}

/// Counts what is written, and keeps none of it.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads an answer to its end, which is there before the daemon has hung up: nobody waits for that.
fn whole(stream: &UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(http::ANSWER_SHORT));
    while http::answer(&bytes).is_none() && bytes.len() < http::ANSWER_MAX {
        if bytes.len() == bytes.capacity() {
            // What is too small is wiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.len() * 2));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        match rustix::io::read(stream, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

fn read<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, NoAnswer> {
    let broken = || NoAnswer::Broken("its answer cannot be read; is it of another version?".into());
    let (status, body) = http::answer(bytes).ok_or_else(broken)?;
    match status {
        200..300 => serde_json::from_slice(body).map_err(|_| broken()),
        _ => Err(NoAnswer::Problem(serde_json::from_slice(body).map_err(|_| broken())?)),
    }
}

fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "another process is waited for, and nothing else is to be done"
    )]
    std::thread::sleep(LOOK_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of any length, in pieces, by a daemon that does not hang up.
    #[test]
    fn an_answer_is_whole_where_it_says_so_and_not_when_the_daemon_hangs_up() {
        for len in [0, 1, http::ANSWER_USUAL, 5 * http::ANSWER_USUAL + 1] {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{}", "x".repeat(len));
            let (here, mut there) = UnixStream::pair().unwrap();
            let (sent, whole_of_it) = (answer.clone(), std::sync::mpsc::channel::<()>());
            let daemon = std::thread::spawn(move || {
                sent.as_bytes().chunks(1 + len / 3).for_each(|piece| there.write_all(piece).unwrap());
                whole_of_it.1.recv().unwrap(); // until then it is there
            });
            assert_eq!(whole(&here).unwrap().as_slice(), answer.as_bytes(), "{len}");
            whole_of_it.0.send(()).unwrap();
            daemon.join().unwrap();
        }
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell").unwrap();
        drop(there);
        assert!(http::answer(&whole(&here).unwrap()).is_none(), "it was cut short");
    }
}
