//! Runs of agents ended: by their person, by whatever ends one above them, by any cut that reaches them.
//!
//! 1. That a run is over stands in its own row, for as long as it might have gone on: the cut of its passes is forgotten when
//!    they are over.
//! 2. Ending one ends those it started.

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{CredentialId, OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::principal::Handle;

use crate::change::{Change, Tx};
use crate::cuts::{CutMade, cut_recording};
use crate::error::StoreError;
use crate::runs::{Run, entry_of, find, live_runs, with_acting};
use crate::sql::{Columns, Sql};

/// What ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndedRuns {
    /// How many runs, those that were started by others included.
    pub runs: usize,
}

/// Which runs of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichRuns {
    /// This one, and what it started.
    One(CredentialId),
    /// All of one agent.
    OfAgent(Handle),
    /// All there are.
    All,
}

/// Ends runs, as their person does.
#[derive(Debug, Clone)]
pub struct EndRuns {
    /// Where.
    pub org: OrgId,
    /// Whose they must be.
    pub person: PrincipalId,
    /// Which.
    pub which: WhichRuns,
    /// Why.
    pub why: Why,
}

impl Change for EndRuns {
    type Outcome = EndedRuns;

    fn apply(self, tx: &mut Tx<'_>) -> Result<EndedRuns, StoreError> {
        let org = self.org;
        match self.which {
            WhichRuns::One(id) => end_where(tx, self.person, |run| run.org == org && run.id == id, self.why),
            WhichRuns::OfAgent(handle) => {
                end_where(tx, self.person, |run| run.org == org && run.handle == handle, self.why)
            }
            WhichRuns::All => end_where(tx, self.person, |run| run.org == org, self.why),
        }
    }
}

/// Ends every live run of a person that fits, and what those started.
pub(crate) fn end_where(
    tx: &mut Tx<'_>,
    person: PrincipalId,
    fits: impl Fn(&Run) -> bool,
    why: Why,
) -> Result<EndedRuns, StoreError> {
    let mut ended = EndedRuns::default();
    for run in live_runs(tx.db(), person, tx.now)?.into_iter().filter(fits) {
        ended.runs += end(tx, &run, why)?;
    }
    Ok(ended)
}

/// Ends a run and those it started; says how many.
pub(crate) fn end(tx: &mut Tx<'_>, run: &Run, why: Why) -> Result<usize, StoreError> {
    let ended = tx.db().run(
        "UPDATE runs SET ended = ?2, why = ?3 WHERE id = ?1 AND ended IS NULL",
        (run.id.bytes(), tx.now.millis(), why.text()),
    )?;
    if ended == 0 {
        return Ok(0);
    }
    let detail =
        with_acting(Detail::new().with(Key::AXIS, "credential").with(Key::REASON, why.text()), run.acting());
    let entry = Entry { detail, ..entry_of(tx, Event::RunEnded, run) };
    let _: CutMade = cut_recording(tx, Target::Credential(run.id), why, entry)?;
    let mut count = 1;
    let below: Vec<CredentialId> =
        tx.db().all("SELECT id FROM runs WHERE above = ?1 AND ended IS NULL", [run.id.bytes()], |row| {
            row.id(0)
        })?;
    for id in below {
        if let Some(run) = find(tx.db(), id)? {
            count += end(tx, &run, why)?;
        }
    }
    Ok(count)
}

/// Notes in the rows of runs that a cut was made that ends them.
pub(crate) fn note_cut(tx: &mut Tx<'_>, target: Target, why: Why) -> Result<(), StoreError> {
    let over = (tx.now.millis(), why.text());
    match target {
        Target::Credential(id) => {
            if let Some(run) = find(tx.db(), id)?.filter(|run| run.ended.is_none()) {
                end(tx, &run, why)?;
            }
        }
        // Their passes name these themselves, so a row is all there is to change.
        Target::Session(id) => {
            tx.db().run(
                "UPDATE runs SET ended = ?2, why = ?3 WHERE session = ?1 AND ended IS NULL",
                (id.bytes(), over.0, over.1),
            )?;
        }
        Target::Principal(id) => {
            tx.db().run(
                "UPDATE runs SET ended = ?2, why = ?3 WHERE person = ?1 AND expires > ?2 AND ended IS NULL",
                (id.bytes(), over.0, over.1),
            )?;
        }
        // Rarer, and of many: what is asked next finds out by its session.
        Target::Org(_) | Target::Client(_) | Target::Device(_) => {}
    }
    Ok(())
}
