//! What happened, for those in this process who wait for it: hints alone, the rows are what is so.

use std::sync::atomic::{AtomicU64, Ordering};

use hallpass_model::cut::Target;
use hallpass_model::id::GrantId;
use tokio::sync::{broadcast, watch};

use crate::change::News;

/// Somebody slower than this many pieces of news learns that they missed some, and looks at the rows.
const NEWS_KEPT: usize = 1024;

/// Where news is told.
pub(crate) struct Board {
    answers: broadcast::Sender<GrantId>,
    cuts: broadcast::Sender<Target>,
    ledger: watch::Sender<u64>,
    directory: AtomicU64,
}

impl Board {
    pub(crate) fn new(ledger_size: u64) -> Self {
        Self {
            answers: broadcast::Sender::new(NEWS_KEPT),
            cuts: broadcast::Sender::new(NEWS_KEPT),
            ledger: watch::Sender::new(ledger_size),
            directory: AtomicU64::new(0),
        }
    }

    pub(crate) fn tell(&self, news: News) {
        // That nobody listens is ordinary.
        match news {
            News::Answered(grant) => drop(self.answers.send(grant)),
            News::Cut(target) => drop(self.cuts.send(target)),
            News::Directory => drop(self.directory.fetch_add(1, Ordering::SeqCst)),
        }
    }

    pub(crate) fn ledger_size(&self, size: u64) {
        self.ledger.send_if_modified(|known| std::mem::replace(known, size) != size);
    }

    pub(crate) fn answers(&self) -> broadcast::Receiver<GrantId> {
        self.answers.subscribe()
    }

    pub(crate) fn cuts(&self) -> broadcast::Receiver<Target> {
        self.cuts.subscribe()
    }

    pub(crate) fn ledger(&self) -> watch::Receiver<u64> {
        self.ledger.subscribe()
    }

    /// Counts up with every change of the directory.
    pub(crate) fn directory(&self) -> u64 {
        self.directory.load(Ordering::SeqCst)
    }
}
