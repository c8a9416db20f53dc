//! What can go wrong with one renewal on its way, and which of it is next.

use std::time::Duration;

use hallpass_model::random::{Entropy, SystemEntropy};

/// How often something goes wrong, in 1,000 requests: most must go well, or nothing is being renewed.
const FAULTS_IN_1000: u64 = 90;
/// Every so many requests meet a kill: 500 and more go with 20,000 renewals.
const KILL_EVERY: u64 = 33;
/// How long an answer is held at most. Longer, and a run is nothing but waiting; what waits is held by a lock meanwhile.
const HELD_AT_MOST: u64 = 150;
/// How long after an answer a kill comes at most, in microseconds: a save with its syncs takes about as long.
const KILL_WITHIN: u64 = 12_000;

/// What happens to one renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The request never arrives.
    LoseRequest,
    /// It arrives; its answer does not.
    LoseAnswer,
    /// Half of its answer arrives.
    CutAnswer,
    /// Its answer takes its time.
    Hold(Duration),
    /// It arrives long after its sender gave up, and others were answered.
    Late(Duration),
    /// It arrives twice, as if something between had tried again.
    AskTwice,
    /// Its answer arrives twice.
    AnswerTwice,
    /// Somebody between is in trouble, and answers in the provider's stead.
    Trouble(u16),
    /// Its process is killed; it never arrives.
    KillBefore,
    /// Its process is killed; it arrives all the same.
    KillWhileAsked,
    /// Its process is killed when the answer is on its way.
    KillWhileAnswered,
    /// Its process is killed so long after its answer arrived.
    KillAfter(Duration),
}

/// Which faults a provider may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// None: the provider itself is looked at.
    Calm,
    /// Only those after which no provider has a reason to end a session.
    Mild,
    /// And those that lose an answer: a provider without a retry rule ends the session for it.
    Hard,
    /// And requests that come late or twice: a provider without a retry rule takes them for theft.
    Full,
}

impl Fault {
    /// That of the `nth` request: kills in turn, so that a short run has some, the others by chance.
    pub(super) fn of(severity: Severity, nth: u64) -> Self {
        let held = || Duration::from_millis(below(HELD_AT_MOST));
        let hard = severity != Severity::Mild;
        if severity != Severity::Calm && nth % KILL_EVERY == KILL_EVERY - 1 {
            return match below(4) {
                0 => Self::KillBefore,
                1 if hard => Self::KillWhileAsked,
                2 if hard => Self::KillWhileAnswered,
                _ if hard => Self::KillAfter(Duration::from_micros(below(KILL_WITHIN))),
                _ => Self::KillBefore,
            };
        }
        if severity == Severity::Calm || below(1000) >= FAULTS_IN_1000 {
            return Self::None;
        }
        match below(8) {
            0 => Self::LoseRequest,
            1 => Self::Trouble([429, 500, 502, 503][below(4) as usize]),
            2 => Self::AnswerTwice,
            3 if hard => Self::LoseAnswer,
            4 if hard => Self::CutAnswer,
            5 if severity == Severity::Full => Self::AskTwice,
            6 if severity == Severity::Full => Self::Late(held() * 4),
            _ => Self::Hold(held()),
        }
    }

    /// Its name, as it is counted.
    pub(super) fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::None => return None,
            Self::LoseRequest => "request lost",
            Self::LoseAnswer => "answer lost",
            Self::CutAnswer => "answer cut in two",
            Self::Hold(_) => "answer held",
            Self::Late(_) => "request came late",
            Self::AskTwice => "request came twice",
            Self::AnswerTwice => "answer came twice",
            Self::Trouble(_) => "provider in trouble",
            Self::KillBefore => "killed when the request was seen",
            Self::KillWhileAsked => "killed while the provider answered",
            Self::KillWhileAnswered => "killed while the answer was held",
            Self::KillAfter(_) => "killed when the answer was delivered",
        })
    }
}

/// A number below `end`, by chance.
pub(super) fn below(end: u64) -> u64 {
    let mut bytes = [0u8; 8];
    SystemEntropy.fill(&mut bytes);
    u64::from_le_bytes(bytes) % end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mild_run_loses_no_answer_and_a_calm_one_nothing() {
        for nth in 0..5_000 {
            assert_eq!(Fault::of(Severity::Calm, nth), Fault::None);
            let mild = Fault::of(Severity::Mild, nth);
            let harmless = matches!(
                mild,
                Fault::None
                    | Fault::LoseRequest
                    | Fault::Hold(_)
                    | Fault::AnswerTwice
                    | Fault::Trouble(_)
                    | Fault::KillBefore
            );
            assert!(harmless, "{mild:?}");
            assert!(!matches!(Fault::of(Severity::Hard, nth), Fault::AskTwice | Fault::Late(_)));
        }
    }

    #[test]
    fn a_full_run_shows_every_fault() {
        let mut seen: Vec<&str> =
            (0..20_000).filter_map(|nth| Fault::of(Severity::Full, nth).name()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 12, "{seen:?}");
    }
}
