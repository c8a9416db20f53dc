//! Time that moves only when a test moves it, or with the machine's where processes run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The time of the machine, for tests with processes that no test moves the time of.
#[expect(clippy::disallowed_methods, reason = "processes run in real time")]
pub fn real_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    Timestamp::from_millis(since.as_millis() as i64)
}

/// Keeps a clock at the time of the machine until it is dropped.
#[derive(Debug)]
pub struct Following(tokio::task::JoinHandle<()>);

impl TestClock {
    /// Goes with the time of the machine from now on.
    pub fn follow_real(self: &Arc<Self>) -> Following {
        self.set(real_now());
        let clock = self.clone();
        Following(tokio::spawn(async move {
            loop {
                tokio::time::sleep(FOLLOWED_EVERY).await;
                clock.set(real_now());
            }
        }))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a followed clock may be behind: less than anything that is waited for.
const FOLLOWED_EVERY: Duration = Duration::from_millis(20);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn ticked(&self) -> Lifetime {
        Lifetime::from_std(Duration::from_millis(self.ticked.load(Ordering::SeqCst)))
    }
}
