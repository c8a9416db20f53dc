//! Time that moves only when a test moves it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hallpass_model::time::{Clock, Lifetime, Timestamp};

/// The moment at which tests begin: 2027-01-15.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A clock for tests.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    /// Milliseconds it has ticked.
    ticked: AtomicU64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { now: AtomicI64::new(START.millis()), ticked: AtomicU64::new(0) }
    }
}

impl TestClock {
    /// Moves time on.
    pub fn advance(&self, by: Lifetime) {
        self.now.fetch_add(by.as_millis(), Ordering::SeqCst);
        self.ticked.fetch_add(by.as_millis().unsigned_abs(), Ordering::SeqCst);
    }

    /// Moves time to anywhere, as a clock that is set does: no time passes.
    pub fn set(&self, to: Timestamp) {
        self.now.store(to.millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn ticked(&self) -> Lifetime {
        Lifetime::from_std(Duration::from_millis(self.ticked.load(Ordering::SeqCst)))
    }
}
