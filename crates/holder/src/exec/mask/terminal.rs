//! The person's terminal, while the command has one of its own: it does nothing with keys, and they go to the command's,
//! which does with them what the command wants.
//!
//! It is touched in the foreground alone: in the background it belongs to somebody else.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios};

use super::relay::write_all;

/// Keys are few; a paste is long.
const PIECE_LEN: usize = 4 * 1024;
/// How often we look whether we are in the foreground again, where that was not said.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The person's terminal.
pub(super) struct Terminal {
    state: Arc<State>,
}

struct State {
    /// As it was before.
    before: Termios,
    /// Whether it is ours now.
    taken: Mutex<bool>,
    over: AtomicBool,
}

impl Terminal {
    /// Takes it, and passes its keys on.
    pub(super) fn take(pseudo: OwnedFd) -> std::io::Result<Self> {
        let before = rustix::termios::tcgetattr(std::io::stdin())?;
        let state = Arc::new(State { before, taken: Mutex::new(false), over: AtomicBool::new(false) });
        let keys = state.clone();
        std::thread::Builder::new().name("keys".into()).spawn(move || keys.pass_on(&pseudo))?;
        Ok(Self { state })
    }

    /// We go on, or begin: takes it, if it is ours to take.
    pub(super) fn go_on(&self) {
        self.state.take();
    }

    /// Leaves it as it was.
    pub(super) fn give_back(&self) {
        self.state.give_back();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        self.state.give_back();
    }
}

impl State {
    fn take(&self) {
        let mut taken = self.taken.lock().expect("no thread panics holding this");
        if !*taken && is_in_foreground() && !self.over.load(Ordering::Relaxed) {
            let mut raw = self.before.clone();
            raw.make_raw();
            *taken = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).is_ok();
        }
    }

    fn give_back(&self) {
        let mut taken = self.taken.lock().expect("no thread panics holding this");
        if *taken && is_in_foreground() {
            let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
        }
        *taken = false;
    }

    /// Passes keys on until it is over.
    fn pass_on(&self, pseudo: &OwnedFd) {
        let mut piece = [0; PIECE_LEN];
        let keys = std::io::stdin();
        while !self.over.load(Ordering::Relaxed) {
            let taken = *self.taken.lock().expect("no thread panics holding this");
            let polled = &mut [PollFd::new(&keys, if taken { PollFlags::IN } else { PollFlags::empty() })];
            let wait = Timespec { tv_sec: 0, tv_nsec: LOOK_AGAIN.subsec_nanos().into() };
            let ready = poll(polled, Some(&wait)).unwrap_or_default() > 0;
            // In the background, reading would stop us.
            if !ready || !taken || !is_in_foreground() {
                if ready && polled[0].revents().contains(PollFlags::HUP) {
                    return; // there is no terminal any more
                }
                continue;
            }
            match rustix::io::read(keys.as_fd(), &mut piece) {
                Ok(0) => return,
                Ok(read) if write_all(pseudo, &piece[..read]).is_ok() => {}
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                _ => return,
            }
        }
    }
}

fn is_in_foreground() -> bool {
    rustix::termios::tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}
