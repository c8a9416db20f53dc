//! What is over is tidied away, a bounded piece at a time.

use hallpass_model::cut::Why;
use hallpass_model::id::{LeaseId, SessionId};
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, API_KEY_USERS_KEPT, CLOCK_SKEW, WEB_IDLE};
use hallpass_model::time::Timestamp;

use crate::change::{Change, Tx};
use crate::cuts::forget_old;
use crate::error::StoreError;
use crate::sessions::{Loaded, about, is_session_dead, load};
use crate::sql::{Columns, Sql};

/// Tidies away what is over: once a minute or so, again at once while there is more.
///
/// What is thrown away does not come back when the clock does, so without a steady clock nothing is. Nothing revoked lives
/// again in any case: of a session and its cut neither goes before the other, and what was cut stays dead (`cuts.rs` says how).
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweep {
    /// The session to go on after: what the last pass gave.
    pub after: Option<SessionId>,
    /// Whether the clock may be believed about what is over ([`Steady`]).
    ///
    /// [`Steady`]: hallpass_model::time::Steady
    pub steady: bool,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many rows it removed.
    pub removed: usize,
    /// Where the next pass goes on.
    pub after: Option<SessionId>,
    /// Whether there may be more to remove right now.
    pub more: bool,
}

impl Change for Sweep {
    type Outcome = Swept;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Swept, StoreError> {
        tx.actor = Actor::System;
        let mut swept = Swept::default();
        // What ended a moment ago may yet be asked about by somebody whose clock is behind.
        let over = tx.now - CLOCK_SKEW;
        self.refusals(tx, over, &mut swept)?;
        let lost = crate::leases::lost(tx.db(), tx.now, PIECE)?;
        self.leases(tx, lost, Why::RunLost, &mut swept)?;
        if self.steady {
            self.rows(tx, over, &mut swept)?;
            self.sessions(tx, over, &mut swept)?;
        }
        Ok(swept)
    }
}

impl Sweep {
    fn rows(self, tx: &mut Tx<'_>, over: Timestamp, swept: &mut Swept) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM links WHERE fingerprint IN (SELECT fingerprint FROM links WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM ceremonies WHERE fingerprint IN (SELECT fingerprint FROM ceremonies WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM requests WHERE fingerprint IN (SELECT fingerprint FROM requests WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM pushed_requests WHERE fingerprint IN \
             (SELECT fingerprint FROM pushed_requests WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM codes WHERE fingerprint IN (SELECT fingerprint FROM codes WHERE keep_until < ?1 LIMIT ?2)",
            "DELETE FROM device_grants WHERE id IN (SELECT id FROM device_grants WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM guesses WHERE fingerprint IN (SELECT fingerprint FROM guesses WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM leaks_told WHERE subject IN (SELECT subject FROM leaks_told WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM web_sessions WHERE fingerprint IN \
             (SELECT fingerprint FROM web_sessions WHERE expires < ?1 LIMIT ?2)",
        ] {
            swept.took(tx.db().run(statement, (over.millis(), PIECE))?);
        }
        let (forgotten, more) = tx.core.used.forget(&tx.core.db, over, ASSERTIONS_PIECE)?;
        swept.removed += forgotten;
        swept.more |= more;
        // Web logins nobody uses end by idleness long before their absolute end.
        swept.took(tx.db().run(
            "DELETE FROM web_sessions WHERE fingerprint IN \
             (SELECT fingerprint FROM web_sessions WHERE seen < ?1 LIMIT ?2)",
            ((over - WEB_IDLE).millis(), PIECE),
        )?);
        swept.took(tx.db().run(
            "DELETE FROM api_key_users WHERE (secret, way, network, machine, class, purpose) IN \
             (SELECT secret, way, network, machine, class, purpose FROM api_key_users WHERE last < ?1 LIMIT ?2)",
            ((over - API_KEY_USERS_KEPT).millis(), PIECE),
        )?);
        swept.took(crate::documents::forget_unused(tx, PIECE)?);
        swept.took(crate::notices::forget_old(tx, over, PIECE)?);
        swept.took(forget_old(tx, over, PIECE)?);
        // Passes that reached their end, and with them their runs.
        let ended: Vec<LeaseId> = tx.db().all(
            "SELECT id FROM leases WHERE expires <= ?1 LIMIT ?2",
            (tx.now.millis(), PIECE),
            |row| row.id(0),
        )?;
        self.leases(tx, ended, Why::RunOver, swept)
    }

    /// Minutes of refusals that are over are recorded.
    fn refusals(self, tx: &mut Tx<'_>, over: Timestamp, swept: &mut Swept) -> Result<(), StoreError> {
        let minutes: Vec<[u8; 32]> = tx.db().all(
            "SELECT fingerprint FROM refusals WHERE expires < ?1 LIMIT ?2",
            (over.millis(), PIECE),
            |row| row.get(0),
        )?;
        for key in &minutes {
            crate::refusals::close(tx, key)?;
        }
        swept.took(minutes.len());
        Ok(())
    }

    fn leases(
        self,
        tx: &mut Tx<'_>,
        leases: Vec<LeaseId>,
        why: Why,
        swept: &mut Swept,
    ) -> Result<(), StoreError> {
        swept.more |= is_whole(leases.len());
        for lease in leases {
            swept.removed += usize::from(crate::leases::end(tx, lease, why)?);
        }
        Ok(())
    }

    /// Sessions that reached their end, looked for piece by piece in the order of their ids: an index over a time that
    /// every refresh moves would cost every refresh.
    fn sessions(self, tx: &mut Tx<'_>, over: Timestamp, swept: &mut Swept) -> Result<(), StoreError> {
        let seen: Vec<(SessionId, Timestamp)> = tx.db().all(
            "SELECT id, idle_until FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2",
            (self.after.map_or([0; 16], |session| *session.bytes()), PIECE),
            |row| Ok((row.id(0)?, row.time(1)?)),
        )?;
        swept.after = if is_whole(seen.len()) { seen.last().map(|(id, _)| *id) } else { None };
        swept.more |= swept.after.is_some();
        for (id, idle_until) in seen {
            // INVARIANT: a token whose session has no row is dead, so the row outlives the last token there can be.
            if idle_until + ACCESS_TOKEN_MAX >= over {
                continue;
            }
            // What was cut ended then, and is on record as that.
            if let Some(Loaded { session, .. }) = load(tx.db(), id)?
                && is_session_dead(tx.db(), &session)?.is_none()
            {
                let entry = about(tx, Event::Expired, &session);
                tx.record(entry);
            }
            tx.db().run("DELETE FROM sessions WHERE id = ?1", [id.bytes()])?;
            swept.removed += 1;
        }
        Ok(())
    }
}

impl Swept {
    fn took(&mut self, removed: usize) {
        self.removed += removed;
        self.more |= is_whole(removed);
    }
}

/// Whether a pass took as much as it may, so that there may be more.
fn is_whole(taken: usize) -> bool {
    taken >= PIECE as usize
}

/// Rows of one kind in one pass at most: a few milliseconds, in which refreshes wait.
const PIECE: u32 = 200;
/// Used assertions looked at in one pass: they stand in a row, so five times as many take no longer.
const ASSERTIONS_PIECE: u32 = 1_000;
