//! A door: a port that leads one process at a time to the provider, and knows which.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot;

use super::super::chain::Print;
use super::super::wire::{Answer, Request};

/// How long a scenario waits for a renewal that it holds: longer than the process itself would.
const HELD_AT_MOST: Duration = Duration::from_secs(60);

/// A door.
pub(in super::super) struct Door {
    port: u16,
    /// Which sign-in the processes behind it share.
    sign_in: usize,
    proxy: String,
    authorization: String,
    child: Mutex<Option<Arc<Process>>>,
    pub(super) holding: Mutex<Option<Holding>>,
    pub(super) rewriting: Mutex<Option<Rewrite>>,
    /// Whether the next answer with tokens is lost.
    pub(super) losing: AtomicBool,
}

/// A process behind a door.
pub(super) struct Process {
    /// A descriptor and not a number: a number may be somebody else's by the time it is killed.
    descriptor: OwnedFd,
    killed: AtomicBool,
    /// The refresh token that it presented last.
    pub(super) presented: Mutex<Option<Print>>,
}

impl Process {
    /// Kills it. Whether it was there.
    pub(super) fn kill(&self) -> bool {
        self.killed.store(true, Ordering::Relaxed);
        pidfd_send_signal(&self.descriptor, Signal::KILL).is_ok()
    }

    /// Whether nothing that is delivered to it from now on is saved.
    pub(super) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }
}

/// How the next answer with tokens is changed. None if there is nothing in it to change.
pub(super) type Rewrite = fn(&Answer) -> Option<Answer>;

/// The proxy's end of a renewal that a scenario holds.
pub(super) struct Holding {
    pub(super) answered: oneshot::Sender<u16>,
    pub(super) go: oneshot::Receiver<()>,
}

/// A renewal that is held when the provider has answered it.
pub(in super::super) struct Held {
    answered: oneshot::Receiver<u16>,
    go: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the provider has answered. Its status; none if nothing came to be held.
    pub(in super::super) async fn answered(&mut self) -> Option<u16> {
        tokio::time::timeout(HELD_AT_MOST, &mut self.answered).await.ok()?.ok()
    }

    /// Lets the answer go.
    pub(in super::super) fn let_go(self) {
        let _ = self.go.send(()); // its process may have gone
    }
}

impl Door {
    pub(super) fn new(port: u16, sign_in: usize, password: &str) -> Self {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("torture:{password}"));
        Self {
            port,
            sign_in,
            proxy: format!("http://torture:{password}@127.0.0.1:{port}"),
            authorization: format!("Basic {basic}"),
            child: Mutex::default(),
            holding: Mutex::default(),
            rewriting: Mutex::default(),
            losing: AtomicBool::new(false),
        }
    }

    /// Which sign-in the processes behind it share.
    pub(in super::super) fn sign_in(&self) -> usize {
        self.sign_in
    }

    /// What `HTTPS_PROXY` is to be. SECURITY: with the password.
    pub(in super::super) fn proxy(&self) -> &str {
        &self.proxy
    }

    /// Whether whoever asks is one of this run's.
    pub(super) fn may_pass(&self, connect: &Request) -> bool {
        let ours = self.authorization.as_bytes();
        connect.headers.iter().any(|(name, value)| name == "proxy-authorization" && value == ours)
    }

    /// Says who stands behind it now.
    pub(in super::super) fn behind(&self, child: Option<u32>) {
        let pid = child.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let descriptor = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let process =
            |descriptor| Process { descriptor, killed: AtomicBool::new(false), presented: Mutex::default() };
        *self.child.lock().expect("no thread panics holding this") = descriptor.map(process).map(Arc::new);
    }

    /// Who stands behind it now.
    pub(super) fn child(&self) -> Option<Arc<Process>> {
        self.child.lock().expect("no thread panics holding this").clone()
    }

    /// Holds the answer of the next renewal.
    pub(in super::super) fn hold(&self) -> Held {
        let ((say, answered), (go, wait)) = (oneshot::channel(), oneshot::channel());
        *self.holding.lock().expect("no thread panics holding this") =
            Some(Holding { answered: say, go: wait });
        Held { answered, go }
    }

    /// Loses the answer of the next renewal.
    pub(in super::super) fn lose_next_answer(&self) {
        self.losing.store(true, Ordering::Relaxed);
    }

    /// Changes the next answer with tokens.
    pub(in super::super) fn rewrite(&self, how: Rewrite) {
        *self.rewriting.lock().expect("no thread panics holding this") = Some(how);
    }

    /// Whether the change that was asked for has still not been made.
    pub(in super::super) fn still_to_rewrite(&self) -> bool {
        self.rewriting.lock().expect("no thread panics holding this").take().is_some()
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("port", &self.port).finish_non_exhaustive()
    }
}
