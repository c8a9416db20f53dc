//! What came of a session: its runs and the passes handed to commands, as far as they are known, to be drawn.

use hallpass_model::cut::Why;
use hallpass_model::id::SessionId;
use hallpass_model::time::Timestamp;

use crate::error::StoreError;
use crate::leases::{self, Lease};
use crate::open::Store;
use crate::runs::{self, Run};
use crate::session_list::{SessionSummary, summary};
use crate::sessions::is_session_dead;

/// A session and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLineage {
    /// The session.
    pub summary: SessionSummary,
    /// Why it is dead, if it, or anything above it, was cut.
    pub cut: Option<Why>,
    /// Its runs, over or not, the newest first.
    pub runs: Vec<Run>,
    /// The passes that commands hold on to now, the newest first.
    pub leases: Vec<Lease>,
    /// Whether there are more of either.
    pub more: bool,
}

impl Store {
    /// What came of a session, while its row is kept: at most so many runs, and so many leases.
    ///
    /// It looks at no row beyond these, by an index, however much came of it.
    pub async fn lineage_of(
        &self,
        session: SessionId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<SessionLineage>, StoreError> {
        self.read(|db| {
            let Some(summary) = summary(db, session)? else { return Ok(None) };
            let mut runs = runs::of_session(db, session, limit + 1)?;
            let mut leases = leases::of_session(db, session, now, limit + 1)?;
            let more = runs.len().max(leases.len()) > limit as usize;
            runs.truncate(limit as usize);
            leases.truncate(limit as usize);
            let cut = is_session_dead(db, &summary.session)?;
            Ok(Some(SessionLineage { summary, cut, runs, leases, more }))
        })
    }
}
