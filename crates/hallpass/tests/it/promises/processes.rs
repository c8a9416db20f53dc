//! What the processes of a run show to everybody who may look: their arguments and their environment.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::server::{MARK, PROGRAM};
use crate::program::WHOLE;

/// Between two looks at all processes.
const PAUSE: Duration = Duration::from_millis(5);

/// What one process showed at one time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    pub(super) pid: u32,
    pub(super) arguments: Vec<u8>,
    pub(super) environment: Vec<u8>,
}

/// Looks at every process of the run until it is told to stop.
pub(super) struct Lookout {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<HashSet<Shown>>>,
    thread: JoinHandle<()>,
}

impl Lookout {
    /// Begins to look.
    pub(super) fn begin() -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(HashSet::new())));
        let (told, noted) = (stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                noted.lock().expect("nobody panics here").extend(look());
                std::thread::park_timeout(PAUSE);
            }
        });
        Self { stop, seen, thread }
    }

    /// Whether a process showed this in its arguments.
    pub(super) fn saw(&self, argument: &str) -> bool {
        let seen = self.seen.lock().expect("nobody panics here");
        seen.iter().any(|shown| String::from_utf8_lossy(&shown.arguments).contains(argument))
    }

    /// Whether this process showed this in its environment.
    pub(super) fn saw_in_environment(&self, pid: u32, text: &str) -> bool {
        let seen = self.seen.lock().expect("nobody panics here");
        let mut of_it = seen.iter().filter(|shown| shown.pid == pid);
        of_it.any(|shown| String::from_utf8_lossy(&shown.environment).contains(text))
    }

    /// All that was seen.
    pub(super) fn end(self) -> HashSet<Shown> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("looking does not panic");
        std::mem::take(&mut *self.seen.lock().expect("nobody panics here"))
    }
}

/// The processes of the run now: those with the mark of it, and those of our program that wiped their environment.
fn look() -> Vec<Shown> {
    let folders = std::fs::read_dir("/proc").expect("there is a /proc").filter_map(Result::ok);
    folders.filter_map(|folder| process(&folder.path())).collect()
}

fn process(folder: &Path) -> Option<Shown> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    if pid == std::process::id() {
        return None;
    }
    let environment = std::fs::read(folder.join("environ")).ok()?;
    let marked = environment.split(|byte| *byte == 0).any(|pair| pair.starts_with(MARK.as_bytes()));
    let ours = || {
        std::fs::read_link(folder.join("exe"))
            .is_ok_and(|exe| [PROGRAM, WHOLE].iter().any(|ours| exe == Path::new(ours)))
    };
    if !marked && !ours() {
        return None;
    }
    Some(Shown { pid, arguments: std::fs::read(folder.join("cmdline")).ok()?, environment })
}
