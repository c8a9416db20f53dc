//! One curl, from its start to its end. What it answers is held back until its first headers are judged.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use hallpass_holder::Headers;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::head::{HEAD_MAX, Head};
use super::scrub::Scrubber;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What is read at once of what curl says.
const PIECE: usize = 64 * 1024;

/// A curl under way.
pub(super) struct Ride {
    child: Child,
    answer: ChildStdout,
    said: ChildStderr,
    /// What it said before its headers were there.
    held: Vec<u8>,
    head: Receiver,
    dumped: Vec<u8>,
    scrubber: Scrubber,
}

impl Ride {
    /// Starts curl. `quiet`: without its progress meter, as curl itself does at a terminal.
    pub(super) fn start(
        arguments: &[OsString],
        headers: Option<&Headers>,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::could_not_run(format_args!("cannot prepare curl: {error}"));
        let (config, given) = pipe().map_err(failed)?;
        let (head, dump) = pipe().map_err(failed)?;
        // SECURITY: by a pipe. Arguments and environment of a process are its user's to read, and root's.
        File::from(given).write_all(written(headers).as_bytes()).map_err(failed)?;
        inherited(&config).map_err(failed)?;
        inherited(&dump).map_err(failed)?;
        let mut command = Command::new("curl");
        // First, as curl wants it: the person's own file could send the token elsewhere, or print it.
        command.args(["--disable", "--globoff", "--suppress-connect-headers"]);
        command.arg("--config").arg(format!("/dev/fd/{}", config.as_raw_fd()));
        command.arg("--dump-header").arg(format!("/dev/fd/{}", dump.as_raw_fd()));
        if quiet {
            command.arg("--no-progress-meter");
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(not_started)?;
        let secrets = headers.map(secrets).unwrap_or_default();
        Ok(Self {
            answer: child.stdout.take().expect("it is piped"),
            said: child.stderr.take().expect("it is piped"),
            child,
            held: Vec::new(),
            head: Receiver::from_owned_fd(head).map_err(failed)?,
            dumped: Vec::new(),
            scrubber: Scrubber::new(secrets),
        })
    }

    /// The head of the answer. `None` if curl ended without one.
    pub(super) async fn head(&mut self) -> Option<Head> {
        let mut saying = true;
        loop {
            if let Some(head) = Head::read(&self.dumped) {
                return Some(head);
            }
            if self.dumped.len() > HEAD_MAX {
                return None;
            }
            tokio::select! {
                read = self.head.read_buf(&mut self.dumped) => if !matches!(read, Ok(1..)) {
                    return None;
                },
                // A pipe that nobody empties would hold curl up.
                read = self.said.read_buf(&mut self.held), if saying => saying = matches!(read, Ok(1..)),
            }
        }
    }

    /// The headers of the answer as they came.
    pub(super) fn dumped(&self) -> &[u8] {
        &self.dumped
    }

    /// Its answer is not for the person.
    pub(super) async fn stop(mut self) {
        let _ = self.child.kill().await;
    }

    /// Passes on what it answers and says, and leaves with its code.
    pub(super) async fn finish(mut self, out: &mut Output) -> Result<Exit, Failure> {
        let shown = self.scrubber.take(&self.held);
        out.pass_on(&shown);
        let (mut answering, mut saying, mut heading) = (true, true, true);
        let (mut answer, mut said) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
        while answering || saying {
            tokio::select! {
                more = piece(&mut self.answer, &mut answer), if answering => {
                    answering = more;
                    out.piece(&answer)?;
                }
                more = piece(&mut self.said, &mut said), if saying => {
                    saying = more;
                    out.pass_on(&self.scrubber.take(&said));
                }
                // Trailers come here too; nobody asks for them, and nothing may wait for us to read them.
                read = self.head.read_buf(&mut self.dumped), if heading => {
                    heading = matches!(read, Ok(1..)) && self.dumped.len() <= HEAD_MAX;
                }
            }
        }
        out.pass_on(&self.scrubber.end());
        let status = self.child.wait().await;
        let status =
            status.map_err(|error| Failure::could_not_run(format_args!("cannot wait for curl: {error}")))?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::of_child(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Exit::of_signal(signal.unwrap_or_default()),
        })
    }
}

/// Why there is no curl.
pub(super) fn not_started(error: std::io::Error) -> Failure {
    let (exit, hint) = match error.kind() {
        ErrorKind::NotFound => (Exit::NOT_FOUND, "install curl, or use `hallpass token --dpop METHOD URL`"),
        _ => (Exit::NOT_RUNNABLE, "`hallpass token --dpop METHOD URL` prints the headers for another client"),
    };
    Failure::could_not_run(format_args!("cannot run `curl`: {error}")).leaving_with(exit).hint(hint)
}

/// The headers in curl's own words (curl(1), `--config`).
fn written(headers: Option<&Headers>) -> zeroize::Zeroizing<String> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(16 * 1024));
    if let Some(headers) = headers {
        for (name, value) in
            [("Authorization", Some(headers.authorization.expose_text())), ("DPoP", headers.proof.as_deref())]
        {
            let Some(value) = value else { continue };
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("header = \"{name}: {escaped}\"\n"));
        }
    }
    text
}

/// What must not be seen in what curl says.
fn secrets(headers: &Headers) -> Vec<String> {
    let token = headers.authorization.expose_text().split(' ').next_back().unwrap_or_default();
    [Some(token.to_owned()), headers.proof.clone()].into_iter().flatten().collect()
}

/// Both ends of a pipe that no child gets by accident.
fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// For the next child to have.
fn inherited(end: &OwnedFd) -> std::io::Result<()> {
    Ok(fcntl_setfd(end, FdFlags::empty())?)
}

/// Reads a piece. Whether there may be more.
async fn piece(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> bool {
    into.clear();
    matches!(from.read_buf(into).await, Ok(1..))
}
