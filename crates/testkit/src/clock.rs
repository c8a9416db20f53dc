//! Time that moves only when a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};

use hallpass_model::time::{Clock, Lifetime, Timestamp};

/// The moment at which tests begin: 2027-01-15.
pub const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A clock for tests.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicI64::new(START.millis()))
    }
}

impl TestClock {
    /// Moves time on.
    pub fn advance(&self, by: Lifetime) {
        self.0.fetch_add(by.as_millis(), Ordering::SeqCst);
    }

    /// Moves time to anywhere, as a clock that is set does.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.millis(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
