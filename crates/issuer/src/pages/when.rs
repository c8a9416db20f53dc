//! Moments and lengths of time, in words. Pages know no time zone but UTC, so near moments are told as distances.

use hallpass_model::time::{Lifetime, Timestamp};

/// A moment as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// RFC 3339, for the `datetime` attribute.
    pub(crate) machine: String,
    /// Date and time in UTC, shown on hover.
    pub(crate) full: String,
    /// `12 minutes ago`, `in 3 days`, `22 Nov 2026`.
    pub(crate) short: String,
}

impl Moment {
    /// `at`, as seen at `now`.
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        let machine = at.to_string();
        let (date, time) = (date(&machine), machine.get(11..16).unwrap_or_default());
        let full = format!("{date}, {time} UTC");
        let (distance, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
        let short = if distance < Lifetime::minutes(1) {
            if ahead { "in a moment".to_owned() } else { "just now".to_owned() }
        } else if distance >= FAR {
            date
        } else if ahead {
            format!("in {}", length(distance))
        } else {
            format!("{} ago", length(distance))
        };
        Self { machine, full, short }
    }
}

/// Beyond this a date says more than a distance.
const FAR: Lifetime = Lifetime::days(14);

/// `3 hours`, `12 days`: the largest whole unit, rounded down.
pub(crate) fn length(length: Lifetime) -> String {
    let seconds = length.as_seconds();
    let (count, unit) = match seconds {
        s if s >= 2 * 86_400 => (s / 86_400, "day"),
        s if s >= 2 * 3_600 => (s / 3_600, "hour"),
        s if s >= 60 => (s / 60, "minute"),
        s => (s, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `2026-11-22T...` to `22 Nov 2026`.
fn date(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = rfc3339.split(['-', 'T']);
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|m| m.parse::<usize>().ok()).and_then(|m| MONTHS.get(m.wrapping_sub(1)));
    match (year, month, day) {
        (Some(year), Some(month), Some(day)) => format!("{} {month} {year}", day.trim_start_matches('0')),
        _ => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_moments_are_distances_and_far_ones_dates() {
        let now = Timestamp::from_seconds(1_795_339_800); // 2026-11-22T09:30:00Z
        let short = |at: Timestamp| Moment::new(at, now).short;
        assert_eq!(short(now), "just now");
        assert_eq!(short(now - Lifetime::seconds(61)), "1 minute ago");
        assert_eq!(short(now - Lifetime::minutes(90)), "90 minutes ago");
        assert_eq!(short(now - Lifetime::hours(47)), "47 hours ago");
        assert_eq!(short(now + Lifetime::days(3)), "in 3 days");
        assert_eq!(short(now - Lifetime::days(20)), "2 Nov 2026");
        assert_eq!(Moment::new(now, now).full, "22 Nov 2026, 09:30 UTC");
    }
}
