//! Refusals: recorded once a minute for each subject and rule, so that nobody buys disk by being refused.
//!
//! 1. The first in a minute is recorded at once.
//! 2. Later ones of the same subject and rule are counted beside it.
//! 3. When the minute is over, one more entry says how many there were. A refusal that names no existing subject is
//!    only counted, in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hallpass_model::agent::Acting;
use hallpass_model::cut::Place;
use hallpass_model::id::{ClientId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::secret::Assertion;
use hallpass_model::time::Lifetime;
use rusqlite::Row;

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::runs::with_acting;
use crate::sql::{Columns, Sql};

/// Whom a refusal is about. At least the org exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedSubject {
    /// Where.
    pub org: OrgId,
    /// Whom.
    pub principal: Option<PrincipalId>,
    /// Which client.
    pub client: Option<ClientId>,
    /// Which device.
    pub device: Option<DeviceId>,
    /// Which session.
    pub session: Option<SessionId>,
    /// Which agent acted, in which run.
    pub acting: Option<Acting>,
}

impl RefusedSubject {
    /// Nobody in particular, in this org.
    pub fn org(org: OrgId) -> Self {
        Self { org, principal: None, client: None, device: None, session: None, acting: None }
    }
}

impl From<Entry> for RefusedSubject {
    fn from(entry: Entry) -> Self {
        Self {
            org: entry.org.unwrap_or_else(|| OrgId::from_bytes([0; 16])),
            principal: entry.principal,
            client: entry.client,
            device: entry.device,
            session: entry.session,
            acting: None,
        }
    }
}

/// Whom a verified token of ours is about.
impl From<&Place> for RefusedSubject {
    fn from(place: &Place) -> Self {
        Self {
            org: place.org,
            principal: place.principal,
            client: Some(place.client),
            device: place.device,
            session: place.session,
            acting: place.acting,
        }
    }
}

/// Records a refusal about an existing subject.
#[derive(Debug, Clone, Copy)]
pub struct RecordRefusal {
    /// Whom it is about.
    pub subject: RefusedSubject,
    /// Which rule refused: a fixed word.
    pub rule: &'static str,
}

impl Change for RecordRefusal {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        refuse(tx, &self.subject, self.rule)
    }
}

/// How long refusals of one kind are counted together.
const WINDOW: Lifetime = Lifetime::minutes(1);

/// The same, inside another change.
pub(crate) fn refuse(
    tx: &mut Tx<'_>,
    subject: &RefusedSubject,
    rule: &'static str,
) -> Result<(), StoreError> {
    let key = key(tx, subject, rule);
    let running: Option<bool> = tx.db().one(
        "SELECT expires > ?2 FROM refusals WHERE fingerprint = ?1",
        (&key, tx.now.millis()),
        |row| row.get(0),
    )?;
    if running == Some(true) {
        tx.db().run("UPDATE refusals SET more = more + 1 WHERE fingerprint = ?1", [&key])?;
        return Ok(());
    }
    close(tx, &key)?;
    tx.db().run(
        "INSERT INTO refusals (fingerprint, org, principal, client, device, session, rule, more, expires, agent, run) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10)",
        (
            &key,
            subject.org.bytes(),
            subject.principal.as_ref().map(PrincipalId::bytes),
            subject.client.as_ref().map(ClientId::bytes),
            subject.device.as_ref().map(DeviceId::bytes),
            subject.session.as_ref().map(SessionId::bytes),
            rule,
            (tx.now + WINDOW).millis(),
            subject.acting.as_ref().map(|acting| acting.agent.bytes()),
            subject.acting.as_ref().map(|acting| acting.run.bytes()),
        ),
    )?;
    let entry = tx.entry(Event::Denied);
    tx.record(counted(entry, subject, rule.to_owned(), 1));
    Ok(())
}

/// Ends a minute: records how many more there were, and forgets it.
pub(crate) fn close(tx: &mut Tx<'_>, key: &[u8; 32]) -> Result<(), StoreError> {
    let over = tx.db().one(
        "DELETE FROM refusals WHERE fingerprint = ?1 RETURNING org, principal, client, device, session, rule, more, \
         agent, run",
        [key],
        read_counted,
    )?;
    if let Some((subject, rule, more)) = over.filter(|(_, _, more)| *more > 0) {
        let entry = tx.entry(Event::Denied);
        tx.record(counted(entry, &subject, rule, more));
    }
    Ok(())
}

fn counted(entry: Entry, subject: &RefusedSubject, rule: String, count: u32) -> Entry {
    let detail = Detail::new().with(Key::RULE, rule).with(Key::COUNT, count);
    Entry {
        org: Some(subject.org),
        principal: subject.principal,
        client: subject.client,
        device: subject.device,
        session: subject.session,
        detail: match subject.acting {
            Some(acting) => with_acting(detail, acting),
            None => detail,
        },
        ..entry
    }
}

fn read_counted(row: &Row<'_>) -> rusqlite::Result<(RefusedSubject, String, u32)> {
    let subject = RefusedSubject {
        org: row.id(0)?,
        principal: row.maybe_id(1)?,
        client: row.maybe_id(2)?,
        device: row.maybe_id(3)?,
        session: row.maybe_id(4)?,
        acting: match (row.maybe_id(7)?, row.maybe_id(8)?) {
            (Some(agent), Some(run)) => Some(Acting { agent, run }),
            _ => None,
        },
    };
    Ok((subject, row.text(5)?, row.get(6)?))
}

fn key(tx: &Tx<'_>, subject: &RefusedSubject, rule: &str) -> [u8; 32] {
    let nobody: &[u8] = &[0u8; 16];
    tx.keys()
        .mark::<Assertion>(&[
            rule.as_bytes(),
            subject.org.bytes(),
            subject.principal.as_ref().map_or(nobody, |id| id.bytes()),
            subject.client.as_ref().map_or(nobody, |id| id.bytes()),
            subject.device.as_ref().map_or(nobody, |id| id.bytes()),
            subject.session.as_ref().map_or(nobody, |id| id.bytes()),
            subject.acting.as_ref().map_or(nobody, |acting| acting.run.bytes()),
        ])
        .0
}

/// Refusals of strangers, by rule.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<BTreeMap<&'static str, u64>>);

impl Store {
    /// Counts a refusal that names no existing subject. Nothing is written.
    pub fn count_stranger(&self, rule: &'static str) {
        let mut counts = self.inner.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(rule).or_default() += 1;
    }

    /// How many strangers were refused since the start, by rule.
    pub fn strangers(&self) -> BTreeMap<&'static str, u64> {
        self.inner.strangers.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
