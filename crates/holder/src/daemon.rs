//! The daemon: one process of the person's that keeps sign-ins warm and hands out access tokens to the others.
//!
//! - It answers HTTP/1.1 with JSON on a Unix socket (`docs/reference/daemon.md`): 0600 in a folder of 0700, and the kernel
//!   is asked who connected.
//! - It hands out access tokens. No refresh token and no key ever leaves it, whoever asks.
//! - Everybody who would renew asks it instead, so there is one renewal at a time without a lock being waited for.
//! - What rests on disk rests there as without it: it reads the same records under the same locks, and notices when
//!   another process writes one. What was signed in with `--store daemon` is in its memory alone, and ends with it.
//! - Everything works without it, but for what it alone holds.

pub(crate) mod wire; // what is asked and answered
pub(crate) mod problem; // errors on the wire
mod http; // HTTP/1.1 as far as two of us need it
pub(crate) mod client; // asking
mod asking; // what the holder asks for
#[cfg(any(feature = "daemon", feature = "exec"))]
pub(crate) mod conversation; // answering one question
#[cfg(feature = "daemon")]
mod server; // listening
#[cfg(feature = "daemon")]
mod office; // what it holds, and the answers
#[cfg(feature = "daemon")]
mod kept; // answers that are good for a while
#[cfg(feature = "daemon")]
mod ahead; // what it does when nobody asks
#[cfg(feature = "daemon")]
mod ears; // hearing that a session was cut
#[cfg(feature = "daemon")]
mod lock; // nothing is given out in between
#[cfg(feature = "daemon")]
mod sealing; // under a passphrase
#[cfg(feature = "daemon")]
mod memory; // kept off the disk

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use hallpass_model::secret::{Passphrase, Secret};

use crate::private::own_uid;

#[cfg(feature = "daemon")]
pub use ahead::LOOK_EVERY;
pub use asking::Fast;
pub use client::Daemon;
#[cfg(feature = "daemon")]
pub use server::{Bound, Serve, bind};
pub use wire::{DaemonStatus, Ended, TokenAsked};

/// The socket's own name.
const SOCKET: &str = "daemon.sock";

/// Whether the daemon is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Use {
    /// Where one runs. A sign-in that is to rest in it starts one.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always: it is started where none runs.
    On,
}

impl FromStr for Use {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Use::Auto),
            "off" => Ok(Use::Off),
            "on" => Ok(Use::On),
            _ => Err("it is `auto`, `on` or `off`"),
        }
    }
}

/// A passphrase that the daemon was given to open records with, while it does.
pub type Offered = Arc<Mutex<Option<Secret<Passphrase>>>>;

/// How to start a daemon: our own program, and the arguments that make it one. Nothing secret.
#[derive(Debug, Clone)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What replaces variables of ours: paths that are relative to our folder, which the daemon leaves.
    pub environment: Vec<(OsString, OsString)>,
}

/// Where the socket is: where it was said to be, in the session's runtime folder, in the one that the system makes for
/// every user who is logged in, or, where there is none, in a folder that is always there.
pub fn place(named: Option<PathBuf>, runtime: Option<&Path>) -> PathBuf {
    if let Some(named) = named {
        return named;
    }
    let runtime = runtime.filter(|folder| folder.is_absolute()).map(Path::to_owned);
    let uid = own_uid();
    let runtime = runtime.or_else(|| {
        let folder = PathBuf::from(format!("/run/user/{uid}"));
        folder.is_dir().then_some(folder)
    });
    match runtime {
        Some(folder) => folder.join("hallpass").join(SOCKET),
        None => PathBuf::from(format!("/var/tmp/hallpass-{uid}")).join(SOCKET),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_where_it_was_said_to_be_or_in_the_runtime_folder() {
        let named = place(Some("/x/s".into()), Some(Path::new("/run/user/1")));
        assert_eq!(named, Path::new("/x/s"));
        let runtime = place(None, Some(Path::new("/run/user/1")));
        assert_eq!(runtime, Path::new("/run/user/1/hallpass/daemon.sock"));
        assert!(place(None, Some(Path::new("relative"))).is_absolute());
    }
}
