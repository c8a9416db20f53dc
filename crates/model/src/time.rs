//! Time: UTC milliseconds inside, whole seconds on the wire. Nobody here asks what time it is.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::lifetimes;

/// What time it is: the machine's clock in use, one that a test moves in tests. Read once an operation.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// How long it has been ticking. This goes on evenly, whatever the time is set to, and begins anew with the process.
    fn ticked(&self) -> Lifetime;
}

/// Whether a clock may be believed about what is over for good: it has gone evenly for [`STEADY_CLOCK`].
///
/// A clock that was set forward looks like one that was put right. Refusing what is over by it can be undone when it is
/// set back; throwing away cannot. So whatever throws away waits until the clock has gone on, for a while, no faster and
/// no slower than it ticked; a process that just started has yet to see that.
///
/// [`STEADY_CLOCK`]: lifetimes::STEADY_CLOCK
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steady {
    /// What the clock said, and how long it had ticked, when it began to go evenly.
    since: Option<(Timestamp, Lifetime)>,
}

impl Steady {
    /// Looks at the clock, and says whether it may be believed now.
    pub fn look(&mut self, now: Timestamp, ticked: Lifetime) -> bool {
        let (began, then) = *self.since.get_or_insert((now, ticked));
        let (by_clock, by_ticks) = (now.0.saturating_sub(began.0), ticked.0.saturating_sub(then.0));
        if by_ticks < 0 || by_clock.abs_diff(by_ticks) > lifetimes::CLOCK_SKEW.0.unsigned_abs() {
            self.since = Some((now, ticked));
            return false;
        }
        by_ticks >= lifetimes::STEADY_CLOCK.0
    }
}

/// A moment, in milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970 UTC, as the wire has them.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since 1970 UTC.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 UTC, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Timestamp) -> Lifetime {
        let gap = self.0.saturating_sub(earlier.0);
        Lifetime(if gap > 0 { gap } else { 0 })
    }
}

impl Add<Lifetime> for Timestamp {
    type Output = Timestamp;
    fn add(self, lifetime: Lifetime) -> Timestamp {
        Timestamp(self.0.saturating_add(lifetime.0))
    }
}

impl Sub<Lifetime> for Timestamp {
    type Output = Timestamp;
    fn sub(self, lifetime: Lifetime) -> Timestamp {
        Timestamp(self.0.saturating_sub(lifetime.0))
    }
}

/// `2026-11-22T09:30:00Z`: RFC 3339 to the second, for logs and `--json`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days since 1970 to a date of the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// A length of time, never negative. There is no "for ever".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Lifetime(i64);

/// From milliseconds, or from what [`Lifetime::parse`] reads.
impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a length of time: milliseconds, or text such as `15m`")]
        enum Said {
            Millis(u64),
            Text(String),
        }
        match Said::deserialize(from)? {
            Said::Millis(millis) => i64::try_from(millis).map(Self).map_err(serde::de::Error::custom),
            Said::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Lifetime {
    /// So many milliseconds.
    pub const fn millis(n: u32) -> Self {
        Self(n as i64)
    }

    /// So many seconds.
    pub const fn seconds(n: u32) -> Self {
        Self(n as i64 * 1_000)
    }

    /// So many minutes.
    pub const fn minutes(n: u32) -> Self {
        Self(n as i64 * 60_000)
    }

    /// So many hours.
    pub const fn hours(n: u32) -> Self {
        Self(n as i64 * 3_600_000)
    }

    /// So many days.
    pub const fn days(n: u32) -> Self {
        Self(n as i64 * 86_400_000)
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// In whole seconds, rounded down: the wire's `expires_in`.
    pub const fn as_seconds(self) -> i64 {
        self.0 / 1_000
    }

    /// As it was measured. What no number holds is as long as a number can say.
    pub fn from_std(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }

    /// For timers.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0 as u64)
    }

    /// Reads `90s`, `10m`, `12h`, `30d`: a whole number above zero and one unit.
    pub fn parse(text: &str) -> Result<Self, BadLifetime> {
        let bad = || BadLifetime(text.chars().take(32).collect());
        let (number, unit) = text.split_at(text.len().checked_sub(1).ok_or_else(bad)?.min(text.len()));
        let number: u32 = number.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
        match unit {
            "s" => Ok(Self::seconds(number)),
            "m" => Ok(Self::minutes(number)),
            "h" => Ok(Self::hours(number)),
            "d" => Ok(Self::days(number)),
            _ => Err(bad()),
        }
    }
}

impl std::str::FromStr for Lifetime {
    type Err = BadLifetime;
    fn from_str(text: &str) -> Result<Self, BadLifetime> {
        if text.is_ascii() { Self::parse(text) } else { Err(BadLifetime(text.chars().take(32).collect())) }
    }
}

impl Add for Lifetime {
    type Output = Lifetime;
    fn add(self, more: Lifetime) -> Lifetime {
        Lifetime(self.0.saturating_add(more.0))
    }
}

/// `10m`, `12h`, `90s`: the largest unit that divides it.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.as_seconds();
        match seconds {
            0 => write!(f, "0s"),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

/// Text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time such as `90s`, `10m`, `12h` or `30d`")]
pub struct BadLifetime(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_seconds(1_709_210_096).to_string(), "2024-02-29T12:34:56Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn a_length_reads_and_prints() {
        for text in ["90s", "10m", "12h", "30d"] {
            assert_eq!(text.parse::<Lifetime>().unwrap().to_string(), text);
        }
        for bad in ["", "s", "0m", "-1m", "10", "10 m", "1.5h", "never", "10m ", "٣m", "99999999999s"] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_saturates_and_never_wraps() {
        assert_eq!(Timestamp::from_millis(i64::MAX) + Lifetime::days(1), Timestamp::from_millis(i64::MAX));
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Lifetime::millis(0));
    }

    #[test]
    fn a_clock_is_believed_once_it_has_gone_evenly_for_a_while() {
        let (mut steady, hour) = (Steady::default(), lifetimes::STEADY_CLOCK);
        let at = |hours: i64, off: i64| Timestamp::from_millis(hours * hour.0 + off);
        let ticked = |hours: i64, off: i64| Lifetime(hours * hour.0 + off);
        assert!(!steady.look(at(0, 0), ticked(0, 0)), "it has not been seen to go at all");
        assert!(!steady.look(at(1, -1), ticked(1, -1)));
        assert!(steady.look(at(1, 0), ticked(1, 0)));
        assert!(
            steady.look(at(2, lifetimes::CLOCK_SKEW.0), ticked(2, 0)),
            "clocks are put right by a little"
        );
        for jump in [31 * 24, 200 * 24, -1] {
            let mut steady = steady;
            assert!(!steady.look(at(2 + jump, 0), ticked(2, 0)), "{jump}");
            assert!(!steady.look(at(2, 0), ticked(2, 0)), "{jump}, and back");
            assert!(!steady.look(at(3, -1), ticked(3, -1)), "{jump}: the hour begins anew");
            assert!(steady.look(at(3, 0), ticked(3, 0)), "{jump}");
        }
        assert!(!steady.look(at(9, 0), ticked(0, 0)), "another process's ticks are not these");
    }

    #[test]
    fn small_steps_add_up_to_a_jump() {
        let mut steady = Steady::default();
        let believed = (0..600).filter(|minute| {
            // Each minute the clock is set on by another twenty seconds.
            let now = Timestamp::from_millis(minute * 80_000);
            steady.look(now, Lifetime(minute * 60_000))
        });
        assert_eq!(believed.count(), 0);
    }
}
