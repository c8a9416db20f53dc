//! Those that are measured, and what a running one offers to the load.

use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::http::ask_once;
use crate::{Failure, ours, peer, process};

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// `hallpass serve`, durable and recorded.
    Ours,
    /// npm's oidc-provider, in memory.
    Peer,
    /// The same, its access tokens signed as ours are.
    PeerSigned,
}

impl Side {
    /// Starts it with so many sessions open. With none, the time to the first answer is that of an empty start.
    pub(crate) fn start(self, sessions: usize) -> Result<Server, Failure> {
        match self {
            Self::Ours => ours::start(sessions),
            Self::Peer => peer::start(sessions, false),
            Self::PeerSigned => peer::start(sessions, true),
        }
    }

    /// So many access tokens that nobody has introspected yet, and how to ask about them.
    pub(crate) fn introspection(self, server: &Server, tokens: usize) -> Result<Question, Failure> {
        match self {
            Self::Ours => ours::introspection(server, tokens),
            Self::Peer | Self::PeerSigned => peer::introspection(server, tokens),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "hallpass",
            Self::Peer => "oidc-provider",
            Self::PeerSigned => "oidc-provider, signing",
        })
    }
}

/// A form post of one token.
#[derive(Debug)]
pub(crate) struct Question {
    /// Request line and headers.
    pub(crate) head: String,
    /// The form, to which the token is appended.
    pub(crate) form: String,
    /// A file of tokens, one a line.
    pub(crate) tokens: PathBuf,
}

/// A running server. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// HOST:PORT where it listens.
    pub(crate) address: String,
    /// From the start of the process to its first answer.
    pub(crate) first_answer: Duration,
    /// What is asked of it for a refresh.
    pub(crate) refresh: Question,
    /// Its files, and those of the load.
    pub(crate) folder: tempfile::TempDir,
    /// How many sessions it was started with.
    pub(crate) sessions: usize,
}

impl Server {
    /// Runs `command`, which must listen at `address`, and waits until `path` answers 200.
    pub(crate) fn launch(
        mut command: Command,
        address: String,
        path: &str,
        folder: tempfile::TempDir,
        refresh: Question,
        sessions: usize,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let child =
            command.spawn().map_err(|source| format!("start {:?}: {source}", command.get_program()))?;
        let mut server = Self { child, address, first_answer: Duration::ZERO, refresh, folder, sessions };
        loop {
            if ask_once(&server.address, "GET", path).is_ok_and(|(status, _)| status == 200) {
                server.first_answer = started.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                server.folder.disable_cleanup(true);
                return Err(
                    format!("the server ended ({status}): see {}", server.folder.path().display()).into()
                );
            }
            if started.elapsed() > START_LIMIT {
                return Err("the server does not answer".into());
            }
            process::pause(Duration::from_millis(1));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

const START_LIMIT: Duration = Duration::from_secs(30);
