//! What is over is tidied away, a bounded piece at a time.

use hallpass_model::cut::Why;
use hallpass_model::id::{LeaseId, SessionId};
use hallpass_model::ledger::{Actor, Event};
use hallpass_model::lifetimes::{CLOCK_SKEW, WEB_IDLE};
use hallpass_model::time::Timestamp;

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::sessions::{about, load};
use crate::sql::{Columns, Sql};

/// Tidies away what is over: once a minute or so, again at once while there is more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweep {
    /// The session to go on after: what the last pass gave.
    pub after: Option<SessionId>,
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
        let over = (tx.now - CLOCK_SKEW).millis();
        for statement in [
            "DELETE FROM links WHERE fingerprint IN (SELECT fingerprint FROM links WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM ceremonies WHERE fingerprint IN (SELECT fingerprint FROM ceremonies WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM requests WHERE fingerprint IN (SELECT fingerprint FROM requests WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM codes WHERE fingerprint IN (SELECT fingerprint FROM codes WHERE keep_until < ?1 LIMIT ?2)",
            "DELETE FROM device_grants WHERE id IN (SELECT id FROM device_grants WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM guesses WHERE fingerprint IN (SELECT fingerprint FROM guesses WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM assertions WHERE fingerprint IN (SELECT fingerprint FROM assertions WHERE expires < ?1 LIMIT ?2)",
            "DELETE FROM cuts WHERE target IN (SELECT target FROM cuts WHERE keep_until < ?1 LIMIT ?2)",
            "DELETE FROM web_sessions WHERE fingerprint IN \
             (SELECT fingerprint FROM web_sessions WHERE expires < ?1 LIMIT ?2)",
        ] {
            let removed = tx.db().run(statement, (over, PIECE))?;
            swept.removed += removed;
            swept.more |= is_whole(removed);
        }
        self.idle_web(tx, &mut swept)?;
        self.refusals(tx, over, &mut swept)?;
        self.leases(tx, &mut swept)?;
        self.sessions(tx, over, &mut swept)?;
        Ok(swept)
    }
}

impl Sweep {
    /// Web logins nobody uses end by idleness long before their absolute end.
    fn idle_web(self, tx: &Tx<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        let idle = (tx.now - WEB_IDLE - CLOCK_SKEW).millis();
        swept.removed += tx.db().run(
            "DELETE FROM web_sessions WHERE fingerprint IN \
             (SELECT fingerprint FROM web_sessions WHERE expires > ?1 AND seen < ?2 LIMIT ?3)",
            (tx.now.millis(), idle, PIECE),
        )?;
        Ok(())
    }

    /// Minutes of refusals that are over are recorded.
    fn refusals(self, tx: &mut Tx<'_>, over: i64, swept: &mut Swept) -> Result<(), StoreError> {
        let minutes: Vec<[u8; 32]> = tx.db().all(
            "SELECT fingerprint FROM refusals WHERE expires < ?1 LIMIT ?2",
            (over, PIECE),
            |row| row.get(0),
        )?;
        for key in &minutes {
            crate::refusals::close(tx, key)?;
        }
        swept.removed += minutes.len();
        swept.more |= is_whole(minutes.len());
        Ok(())
    }

    /// Runs that did not come back in time, and passes that reached their end.
    fn leases(self, tx: &mut Tx<'_>, swept: &mut Swept) -> Result<(), StoreError> {
        let now = tx.now.millis();
        let lost: Vec<LeaseId> =
            tx.db()
                .all("SELECT id FROM leases WHERE deadline <= ?1 LIMIT ?2", (now, PIECE), |row| row.id(0))?;
        let over: Vec<LeaseId> =
            tx.db()
                .all("SELECT id FROM leases WHERE expires <= ?1 LIMIT ?2", (now, PIECE), |row| row.id(0))?;
        swept.more |= is_whole(lost.len()) || is_whole(over.len());
        for (leases, why) in [(over, Why::RunOver), (lost, Why::RunLost)] {
            for lease in leases {
                swept.removed += usize::from(crate::leases::end(tx, lease, why)?);
            }
        }
        Ok(())
    }

    /// Sessions that reached their end, looked for piece by piece in the order of their ids: an index over a time that
    /// every refresh moves would cost every refresh.
    fn sessions(self, tx: &mut Tx<'_>, over: i64, swept: &mut Swept) -> Result<(), StoreError> {
        let seen: Vec<(SessionId, Timestamp)> = tx.db().all(
            "SELECT id, idle_until FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2",
            (self.after.map_or([0; 16], |session| *session.bytes()), PIECE),
            |row| Ok((row.id(0)?, row.time(1)?)),
        )?;
        swept.after = if is_whole(seen.len()) { seen.last().map(|(id, _)| *id) } else { None };
        for (id, idle_until) in seen {
            if idle_until.millis() >= over {
                continue;
            }
            if let Some(loaded) = load(tx.db(), id)? {
                let entry = about(tx, Event::Expired, &loaded.session);
                tx.record(entry);
            }
            tx.db().run("DELETE FROM sessions WHERE id = ?1", [id.bytes()])?;
            swept.removed += 1;
        }
        Ok(())
    }
}

/// Whether a pass took as much as it may, so that there may be more.
fn is_whole(taken: usize) -> bool {
    taken >= PIECE as usize
}

/// Rows of one kind in one pass at most: a few milliseconds, in which refreshes wait.
const PIECE: u32 = 200;
