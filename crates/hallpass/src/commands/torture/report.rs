//! What was tried, what held, what broke.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stage::Stage;
use super::storm::Storm;
use crate::failure::Failure;
use crate::output::{Form, Output};

/// How a scenario came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// All was as it should be.
    Held,
    /// Something was not.
    Broke,
    /// It could not be tried here, or not with this provider.
    NotTried,
}

/// One scenario.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// Its name.
    pub(super) name: &'static str,
    /// What was done.
    pub(super) tried: &'static str,
    pub(super) outcome: Outcome,
    /// What was seen, or why it was not tried.
    pub(super) why: String,
}

impl Finding {
    /// Held if nothing is wrong; `seen` says what was there to see.
    pub(super) fn of(name: &'static str, tried: &'static str, wrong: &[String], seen: String) -> Self {
        let (outcome, why) = match wrong {
            [] => (Outcome::Held, seen),
            wrong => (Outcome::Broke, wrong.join("; ")),
        };
        Self { name, tried, outcome, why }
    }

    pub(super) fn not_tried(name: &'static str, tried: &'static str, why: impl Into<String>) -> Self {
        Self { name, tried, outcome: Outcome::NotTried, why: why.into() }
    }
}

/// All of a run.
pub(super) struct Report {
    pub(super) processes: usize,
    pub(super) forgives_lost_answers: Option<bool>,
    pub(super) storm: Storm,
    pub(super) findings: Vec<Finding>,
}

/// `hallpass.torture/1`.
#[derive(Serialize)]
struct Answer<'a> {
    issuer: &'a str,
    /// Whether it is an issuer of our own, whose ledger was read.
    ours: bool,
    processes: usize,
    seconds: f64,
    refreshes: u64,
    retries: u64,
    kills: u64,
    faults: &'a BTreeMap<&'static str, u64>,
    /// Sign-ins after the first, in the storm.
    signed_in_again: u64,
    /// How the processes' renewals ended: exit codes, and how often.
    codes: BTreeMap<String, u64>,
    /// Sign-ins that were lost though no answer was, or though the provider forgives that.
    lost_sessions: u64,
    /// Sign-ins that the provider ended because an answer was lost.
    ended_by_a_lost_answer: u64,
    replays: u64,
    renewals_at_once: u64,
    forgives_lost_answers: Option<bool>,
    findings: &'a [Finding],
    held: bool,
}

impl Report {
    /// Whether nothing broke.
    pub(super) fn held(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome != Outcome::Broke)
    }

    /// Sign-ins that should not have been lost, and those that this provider ends.
    fn losses(&self) -> (u64, u64) {
        let (excused, unexcused) = (self.storm.tally.excused, self.storm.tally.unexcused);
        match self.forgives_lost_answers {
            Some(true) => (excused + unexcused, 0),
            _ => (unexcused, excused),
        }
    }

    pub(super) fn write(&self, stage: &Stage, out: &mut Output) -> Result<(), Failure> {
        match out.form() {
            Form::Json => out.json("hallpass.torture/1", &self.answer(stage)),
            Form::Text => self.say(out),
        }
    }

    fn answer<'a>(&'a self, stage: &'a Stage) -> Answer<'a> {
        let tally = &self.storm.tally;
        let (lost_sessions, ended_by_a_lost_answer) = self.losses();
        Answer {
            issuer: &stage.issuer,
            ours: stage.ours,
            processes: self.processes,
            seconds: (self.storm.seconds * 10.0).round() / 10.0,
            refreshes: tally.refreshes,
            retries: tally.retries,
            kills: tally.kills,
            faults: &tally.faults,
            signed_in_again: self.storm.signed_in_again,
            codes: self.storm.codes.iter().map(|(code, often)| (code.to_string(), *often)).collect(),
            lost_sessions,
            ended_by_a_lost_answer,
            replays: tally.replays,
            renewals_at_once: tally.at_once,
            forgives_lost_answers: self.forgives_lost_answers,
            findings: &self.findings,
            held: self.held(),
        }
    }

    fn say(&self, out: &mut Output) -> Result<(), Failure> {
        let tally = &self.storm.tally;
        out.answer(format_args!(
            "{} renewals by {} processes in {:.0} s, {} kills, {} answers asked for again",
            tally.refreshes, self.processes, self.storm.seconds, tally.kills, tally.retries
        ))?;
        for (name, often) in &tally.faults {
            out.answer(format_args!("  {often:>6}  {name}"))?;
        }
        for finding in &self.findings {
            let outcome = match finding.outcome {
                Outcome::Held => "held",
                Outcome::Broke => "BROKE",
                Outcome::NotTried => "not tried",
            };
            out.answer(format_args!("{outcome:<9}  {}: {}", finding.name, finding.tried))?;
            out.answer(format_args!("{:<9}  {}", "", finding.why))?;
        }
        let (lost, ended) = self.losses();
        out.answer(format_args!(
            "lost sessions: {lost}; ended by a lost answer: {ended}; replays: {}",
            tally.replays
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(forgives_lost_answers: Option<bool>, wrong: &[String]) -> Report {
        let mut storm = Storm::default();
        (storm.tally.excused, storm.tally.unexcused) = (3, 1);
        let findings = vec![
            Finding::of("a", "b", wrong, "c".into()),
            Finding::not_tried("d", "e", "this machine has none"),
        ];
        Report { processes: 1, forgives_lost_answers, storm, findings }
    }

    #[test]
    fn what_was_not_tried_did_not_break_and_what_broke_did() {
        assert!(report(None, &[]).held());
        assert!(!report(None, &["x".into()]).held());
    }

    #[test]
    fn a_lost_answer_excuses_only_where_the_provider_does_not_forgive_it() {
        assert_eq!(report(Some(true), &[]).losses(), (4, 0));
        assert_eq!(report(Some(false), &[]).losses(), (1, 3));
    }
}
