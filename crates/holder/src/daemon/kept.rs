//! Answers that are good for a while, so that a token that was given once is given again without a look at anything but
//! the folder of records: sealed, until they are over, the folder changes, or somebody says to forget.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hallpass_model::time::{Lifetime, Timestamp};
use zeroize::Zeroizing;

use super::wire::TokenAsked;
use crate::locked::{LockedKey, Sealed};

/// Different questions whose answers are kept: one for each API of a busy day, in a few shapes.
const ANSWERS_MAX: usize = 64;
/// An answer is handed out again while it is good for this much more: the command it is for must still be in time.
const GOOD_FOR: Lifetime = Lifetime::seconds(30);
/// The kernel's stamps of files are as coarse as its ticks: a folder that changed so lately may change once more
/// without showing it.
const STAMPS_SETTLE: Duration = Duration::from_millis(50);

/// The answers.
pub(super) struct Kept {
    key: LockedKey,
    answers: Mutex<HashMap<TokenAsked, Answer>>,
}

struct Answer {
    sealed: Sealed,
    until: Until,
    stamp: Stamp,
    last_used: Duration,
    /// Whether anybody asked for it since it was kept.
    used: bool,
}

/// Until when: by the clock on the wall, and by one that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until {
    wall: Timestamp,
    steady: Duration,
}

impl Until {
    /// What lives so long from now on.
    pub(super) fn of(expires: Timestamp, now: Moment) -> Self {
        let lives = expires.since(now.wall).to_std();
        Self { wall: expires, steady: now.steady + lives }
    }

    fn good(self, now: Moment, margin: Lifetime) -> bool {
        now.wall + margin < self.wall && now.steady + margin.to_std() < self.steady
    }
}

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: Timestamp,
    pub(super) steady: Duration,
}

impl Moment {
    pub(super) fn at(wall: Timestamp) -> Self {
        Self { wall, steady: steady() }
    }
}

/// Time since the machine started, asleep or not: no clock that is set, or wrong, moves it.
pub(super) fn steady() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What the folder of records looked like. Every write there is a rename, which shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// There is none, so nobody else can write.
    NoFolder,
    /// As it was.
    At { inode: u64, seconds: i64, nanos: i64 },
    /// It changed so lately that it may change again without showing it.
    Unsettled,
}

impl Stamp {
    pub(super) fn of(folder: Option<&Path>, wall: Timestamp) -> Self {
        let Some(found) = folder.and_then(|folder| std::fs::metadata(folder).ok()) else {
            return Stamp::NoFolder;
        };
        let changed = Timestamp::from_millis(found.mtime() * 1_000 + found.mtime_nsec() / 1_000_000);
        // A stamp ahead of the clock says nothing about how long ago it was made.
        match changed <= wall && wall.since(changed).to_std() > STAMPS_SETTLE {
            true => Stamp::At { inode: found.ino(), seconds: found.mtime(), nanos: found.mtime_nsec() },
            false => Stamp::Unsettled,
        }
    }
}

impl Kept {
    pub(super) fn new() -> Self {
        Self { key: LockedKey::default(), answers: Mutex::default() }
    }

    /// Whether the key of all this is never written to disk.
    pub(super) fn is_locked(&self) -> bool {
        self.key.is_locked()
    }

    /// The questions whose answers were used and are over before long. What is over is dropped.
    pub(super) fn due(&self, now: Moment, ahead: Lifetime) -> Vec<TokenAsked> {
        let mut answers = self.answers();
        answers.retain(|_, answer| answer.until.good(now, Lifetime::millis(0)));
        let due = answers.iter().filter(|(_, answer)| answer.used && !answer.until.good(now, ahead));
        due.map(|(asked, _)| asked.clone()).collect()
    }

    /// The answer to this very question, if it is as good as one that is asked for anew.
    pub(super) fn find(&self, asked: &TokenAsked, stamp: Stamp, now: Moment) -> Option<Zeroizing<Vec<u8>>> {
        let mut answers = self.answers();
        let answer = answers.get_mut(asked)?;
        if stamp == Stamp::Unsettled || answer.stamp != stamp {
            return None;
        }
        if !answer.until.good(now, GOOD_FOR) {
            answers.remove(asked);
            return None;
        }
        (answer.used, answer.last_used) = (true, now.steady);
        Some(self.key.open(&answer.sealed))
    }

    pub(super) fn put(&self, asked: TokenAsked, answer: &[u8], until: Until, stamp: Stamp, now: Moment) {
        let sealed = self.key.seal(answer);
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(&asked) {
            let oldest =
                answers.iter().min_by_key(|(_, answer)| answer.last_used).map(|(asked, _)| asked.clone());
            oldest.map(|oldest| answers.remove(&oldest));
        }
        answers.insert(asked, Answer { sealed, until, stamp, last_used: now.steady, used: false });
    }

    /// Forgets everything: what is asked for next is looked at anew.
    pub(super) fn clear(&self) {
        *self.answers() = HashMap::new();
    }

    pub(super) fn len(&self) -> usize {
        self.answers().len()
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<TokenAsked, Answer>> {
        self.answers.lock().expect("no thread panics holding this")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn moment(seconds: u32) -> Moment {
        Moment { wall: WALL + Lifetime::seconds(seconds), steady: Duration::from_secs(u64::from(seconds)) }
    }

    fn stamp(seconds: i64) -> Stamp {
        Stamp::At { inode: 1, seconds, nanos: 0 }
    }

    fn with_one(kept: &Kept) -> TokenAsked {
        let asked = TokenAsked::default();
        let until = Until::of(WALL + Lifetime::minutes(5), moment(0));
        kept.put(asked.clone(), b"canary", until, stamp(1), moment(0));
        asked
    }

    #[test]
    fn an_answer_is_given_again_until_shortly_before_it_is_over() {
        let kept = Kept::new();
        let asked = with_one(&kept);
        assert_eq!(kept.find(&asked, stamp(1), moment(200)).unwrap().as_slice(), b"canary");
        let other = TokenAsked { scope: Some("a".into()), ..asked.clone() };
        assert!(kept.find(&other, stamp(1), moment(0)).is_none());
        assert!(kept.find(&asked, stamp(1), moment(271)).is_none());
        assert_eq!(kept.len(), 0);
    }

    #[test]
    fn what_was_used_is_due_before_it_is_over_and_what_was_not_is_let_go() {
        let kept = Kept::new();
        let asked = with_one(&kept);
        assert!(kept.due(moment(290), Lifetime::seconds(50)).is_empty(), "nobody used it");
        assert!(kept.find(&asked, stamp(1), moment(10)).is_some());
        assert!(kept.due(moment(249), Lifetime::seconds(50)).is_empty());
        assert_eq!(kept.due(moment(250), Lifetime::seconds(50)), [asked]);
        assert!(kept.due(moment(300), Lifetime::seconds(50)).is_empty());
        assert_eq!(kept.len(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_answer_alive() {
        let kept = Kept::new();
        let asked = with_one(&kept);
        let set_back = Moment { wall: WALL, steady: Duration::from_secs(300) };
        assert!(kept.find(&asked, stamp(1), set_back).is_none());
    }

    #[test]
    fn an_answer_is_not_given_once_the_folder_has_changed_or_may_have() {
        let kept = Kept::new();
        let asked = with_one(&kept);
        assert!(kept.find(&asked, stamp(2), moment(1)).is_none());
        assert!(kept.find(&asked, Stamp::Unsettled, moment(1)).is_none());
        assert!(kept.find(&asked, Stamp::NoFolder, moment(1)).is_none());
        assert!(kept.find(&asked, stamp(1), moment(1)).is_some());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let kept = Kept::new();
        with_one(&kept);
        for n in 0..100 {
            let asked =
                TokenAsked { resource: Some(format!("https://{n}.example")), ..TokenAsked::default() };
            kept.put(asked, b"x", Until::of(WALL + Lifetime::minutes(5), moment(n)), stamp(1), moment(n));
        }
        assert_eq!(kept.len(), ANSWERS_MAX);
        assert!(kept.find(&TokenAsked::default(), stamp(1), moment(100)).is_none(), "the oldest went first");
    }
}
