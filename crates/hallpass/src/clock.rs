//! The clock: the one place that asks what time it is.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hallpass_model::time::{Clock, Lifetime, Timestamp};

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn ticked(&self) -> Lifetime {
        Lifetime::from_std(FIRST_ASKED.elapsed())
    }
}

/// Ticks are counted from here; only how many lie between two moments matters.
static FIRST_ASKED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The system's time, now. A machine whose clock stands before 1970 is in 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
