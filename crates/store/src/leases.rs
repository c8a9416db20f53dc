//! Leases: a pass that was handed to one run, and dies with it.
//!
//! The run keeps a connection open. If it drops, or never comes, and is not there again in time, the pass is cut.

use hallpass_model::agent::Acting;
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, CredentialId, DeviceId, LeaseId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::RUN_RESUME;
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, Row};

use crate::change::{Change, Tx};
use crate::cuts::cut_recording;
use crate::error::StoreError;
use crate::open::Store;
use crate::runs::with_acting;
use crate::sql::{Columns, Sql};

/// A lease that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Where.
    pub org: OrgId,
    /// The client it was issued to.
    pub client: ClientId,
    /// The session it hangs on.
    pub session: Option<SessionId>,
    /// The pass that was handed over.
    pub credential: CredentialId,
    /// The run of an agent that it was handed to, if it was to one.
    pub run: Option<CredentialId>,
    /// Whether its run is there.
    pub state: LeaseState,
    /// When the pass ends in any case.
    pub expires: Timestamp,
}

/// Whether a lease's run is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// It is connected, for the so-many-eth time.
    Connected {
        /// Which connection: a later one has a greater number.
        connection: u32,
    },
    /// It must connect before this moment.
    Awaited {
        /// The moment.
        until: Timestamp,
    },
}

/// Opens a lease inside an exchange: its run has a few seconds to connect.
pub(crate) fn open_lease(
    tx: &mut Tx<'_>,
    about: &Entry,
    credential: CredentialId,
    expires: Timestamp,
    acting: Option<Acting>,
) -> Result<LeaseId, StoreError> {
    let id = LeaseId::new(tx.now, tx.entropy());
    let (Some(org), Some(client)) = (about.org, about.client) else {
        return Err(StoreError::Damaged("a lease of nobody".into()));
    };
    tx.db().run(
        "INSERT INTO leases (id, org, principal, client, device, session, credential, connection, deadline, expires, \
         agent, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11)",
        (
            id.bytes(),
            org.bytes(),
            about.principal.as_ref().map(PrincipalId::bytes),
            client.bytes(),
            about.device.as_ref().map(DeviceId::bytes),
            about.session.as_ref().map(SessionId::bytes),
            credential.bytes(),
            (tx.now + RUN_RESUME).millis(),
            expires.millis(),
            acting.as_ref().map(|acting| acting.agent.bytes()),
            acting.as_ref().map(|acting| acting.run.bytes()),
        ),
    )?;
    let detail = Detail::new().with(Key::EXPIRES, expires.millis());
    let detail = match acting {
        Some(acting) => with_acting(detail, acting),
        None => detail,
    };
    tx.record(Entry {
        event: Event::Leased,
        credential: Some(credential),
        lease: Some(id),
        detail,
        ..about.clone()
    });
    Ok(id)
}

/// Notes that a lease's run is there. Not recorded.
#[derive(Debug, Clone, Copy)]
pub struct LeaseConnected {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub lease: LeaseId,
    /// The pass it presented.
    pub credential: CredentialId,
}

impl Change for LeaseConnected {
    /// The lease; `None` if there is no such open lease of this pass, or it is over.
    type Outcome = Option<Lease>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        tx.db().run(
            "UPDATE leases SET connection = connection + 1, deadline = NULL \
             WHERE id = ?1 AND org = ?2 AND credential = ?3 AND expires > ?4",
            (self.lease.bytes(), self.org.bytes(), self.credential.bytes(), tx.now.millis()),
        )?;
        let lease = find(tx.db(), self.lease)?;
        Ok(lease.filter(|lease| {
            lease.org == self.org && lease.credential == self.credential && lease.expires > tx.now
        }))
    }
}

/// Notes that a lease's connection dropped: it has a few seconds to come back. Not recorded.
#[derive(Debug, Clone, Copy)]
pub struct LeaseDropped {
    /// Which.
    pub lease: LeaseId,
    /// Which connection. An older one than the newest has been replaced already, and its end means nothing.
    pub connection: u32,
}

impl Change for LeaseDropped {
    /// When it must be back; `None` if it is over or connected anew.
    type Outcome = Option<Timestamp>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let until = tx.now + RUN_RESUME;
        let changed = tx.db().run(
            "UPDATE leases SET deadline = ?2 WHERE id = ?1 AND connection = ?3",
            (self.lease.bytes(), until.millis(), self.connection),
        )?;
        Ok((changed == 1).then_some(until))
    }
}

/// When the issuer starts, and before anybody can connect: every run from before has the same time to come back as one
/// whose connection dropped. All of them in one change, so that none that came back is awaited again. Not recorded.
#[derive(Debug, Clone, Copy)]
pub struct AwaitAllRuns;

impl Change for AwaitAllRuns {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let until = (tx.now + RUN_RESUME).millis();
        tx.db().run("UPDATE leases SET deadline = ?1 WHERE deadline IS NULL", [until])?;
        tx.db().run("UPDATE leases SET deadline = ?1 WHERE deadline < ?1", [until])?;
        Ok(())
    }
}

/// Ends a lease, and cuts its pass.
#[derive(Debug, Clone, Copy)]
pub struct EndLease {
    /// Which.
    pub lease: LeaseId,
    /// Why: [`Why::RunOver`], or [`Why::RunLost`], which does nothing to a lease whose run is back or still has time.
    pub why: Why,
}

impl Change for EndLease {
    /// Whether it ended now.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let Some(lease) = find(tx.db(), self.lease)? else { return Ok(false) };
        if self.why == Why::RunLost {
            match lease.state {
                LeaseState::Awaited { until } if tx.now >= until => {}
                _ => return Ok(false),
            }
        }
        end(tx, self.lease, self.why)
    }
}

/// Ends a lease whose time has come.
pub(crate) fn end(tx: &mut Tx<'_>, lease: LeaseId, why: Why) -> Result<bool, StoreError> {
    let ended = tx.db().one(
        "DELETE FROM leases WHERE id = ?1 RETURNING id, org, principal, client, device, session, credential, \
         agent, run",
        [lease.bytes()],
        |row| released(tx, row, why),
    )?;
    let Some(entry) = ended else { return Ok(false) };
    match entry.credential {
        Some(credential) => cut_recording(tx, Target::Credential(credential), why, entry).map(|_| true),
        None => Ok(true),
    }
}

/// Ends the lease of a pass that was just cut, if it is under one: whoever revoked it has said that the run is over.
pub(crate) fn forget(tx: &mut Tx<'_>, credential: CredentialId, why: Why) -> Result<(), StoreError> {
    let ended = tx.db().one(
        "DELETE FROM leases WHERE credential = ?1 RETURNING id, org, principal, client, device, session, credential, \
         agent, run",
        [credential.bytes()],
        |row| released(tx, row, why),
    )?;
    if let Some(entry) = ended {
        tx.record(entry);
    }
    Ok(())
}

fn released(tx: &Tx<'_>, row: &Row<'_>, why: Why) -> rusqlite::Result<Entry> {
    let detail = Detail::new().with(Key::AXIS, "credential").with(Key::REASON, why.text());
    let detail = match (row.maybe_id(7)?, row.maybe_id(8)?) {
        (Some(agent), Some(run)) => with_acting(detail, Acting { agent, run }),
        _ => detail,
    };
    Ok(Entry {
        lease: row.maybe_id(0)?,
        org: row.maybe_id(1)?,
        principal: row.maybe_id(2)?,
        client: row.maybe_id(3)?,
        device: row.maybe_id(4)?,
        session: row.maybe_id(5)?,
        credential: row.maybe_id(6)?,
        detail,
        ..tx.entry(Event::Released)
    })
}

impl Store {
    /// The lease of this id, if it is open.
    pub async fn find_lease(&self, lease: LeaseId) -> Result<Option<Lease>, StoreError> {
        self.read(|db| find(db, lease))
    }

    /// The lease that this pass was handed over by, if it is open.
    pub async fn find_lease_of(&self, credential: CredentialId) -> Result<Option<Lease>, StoreError> {
        self.read(|db| of_credential(db, credential))
    }

    /// Leases whose run did not come (back) in time, some of them if they are many.
    pub async fn lost_runs(&self, now: Timestamp) -> Result<Vec<LeaseId>, StoreError> {
        self.read(|db| lost(db, now, LOST_AT_ONCE))
    }
}

/// Lost runs on one list: each is ended by a change of its own.
const LOST_AT_ONCE: u32 = 200;

/// The same, inside a change.
pub(crate) fn lost(db: &Connection, now: Timestamp, limit: u32) -> Result<Vec<LeaseId>, StoreError> {
    db.all("SELECT id FROM leases WHERE deadline <= ?1 LIMIT ?2", (now.millis(), limit), |row| row.id(0))
}

fn find(db: &Connection, lease: LeaseId) -> Result<Option<Lease>, StoreError> {
    db.one(
        "SELECT id, org, client, session, credential, connection, deadline, expires, run FROM leases WHERE id = ?1",
        [lease.bytes()],
        read_lease,
    )
}

/// Leases of a session that are open, the newest first.
pub(crate) fn of_session(
    db: &Connection,
    session: SessionId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>, StoreError> {
    db.all(
        "SELECT id, org, client, session, credential, connection, deadline, expires, run FROM leases \
         WHERE session = ?1 AND expires > ?2 ORDER BY id DESC LIMIT ?3",
        (session.bytes(), now.millis(), limit),
        read_lease,
    )
}

/// The lease that this pass was handed over by, if it is open.
pub(crate) fn of_credential(db: &Connection, credential: CredentialId) -> Result<Option<Lease>, StoreError> {
    db.one(
        "SELECT id, org, client, session, credential, connection, deadline, expires, run FROM leases \
         WHERE credential = ?1",
        [credential.bytes()],
        read_lease,
    )
}

fn read_lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    let connection = row.get(5)?;
    Ok(Lease {
        id: row.id(0)?,
        org: row.id(1)?,
        client: row.id(2)?,
        session: row.maybe_id(3)?,
        credential: row.id(4)?,
        state: match row.maybe_time(6)? {
            Some(until) => LeaseState::Awaited { until },
            None => LeaseState::Connected { connection },
        },
        expires: row.time(7)?,
        run: row.maybe_id(8)?,
    })
}
