//! Copies of a machine's sign-ins that were found on another: a signal, not a proof of anything.

use hallpass_model::id::{DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{COPY_RECORDED_AGAIN, COPY_TOLD};
use hallpass_model::time::Timestamp;

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql};

/// Notes that a holder found a copy of the sign-ins of another machine of the same person.
#[derive(Debug, Clone)]
pub struct NoteCopy {
    /// The tenant.
    pub org: OrgId,
    /// Whose session says so, and whose the copied machine is.
    pub principal: PrincipalId,
    /// The session that says so.
    pub session: SessionId,
    /// The machine it was found on, where that is known.
    pub found_on: Option<DeviceId>,
    /// The install id of the machine that the copy is of.
    pub install: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyNoted {
    /// It is recorded, and its person is told.
    Noted,
    /// It was recorded not long ago.
    Already,
    /// There is no such machine of this person's, or it is the one that speaks. Nothing is recorded.
    NotThere,
}

impl Change for NoteCopy {
    type Outcome = CopyNoted;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found: Option<(DeviceId, Option<Timestamp>)> = tx.db().one(
            "SELECT id, copied FROM devices WHERE principal = ?1 AND install = ?2",
            (self.principal.bytes(), &self.install),
            |row| Ok((row.id(0)?, row.maybe_time(1)?)),
        )?;
        let Some((device, copied)) = found.filter(|(device, _)| Some(*device) != self.found_on) else {
            return Ok(CopyNoted::NotThere);
        };
        if copied.is_some_and(|at| tx.now.since(at) < COPY_RECORDED_AGAIN) {
            return Ok(CopyNoted::Already);
        }
        tx.db().run(
            "UPDATE devices SET copied = ?2, copied_to = ?3 WHERE id = ?1",
            (device.bytes(), tx.now.millis(), self.found_on.as_ref().map(DeviceId::bytes)),
        )?;
        tx.record(Entry {
            org: Some(self.org),
            principal: Some(self.principal),
            device: Some(device),
            session: Some(self.session),
            detail: Detail::new().with(Key::KIND, "record"),
            ..tx.entry(Event::Copied)
        });
        Ok(CopyNoted::Noted)
    }
}

/// A machine whose sign-ins were found elsewhere, as its person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedDevice {
    /// Its name.
    pub name: String,
    /// The name of the machine that found the copy, where that is known.
    pub found_on: Option<String>,
    /// When that was last said.
    pub at: Timestamp,
}

impl Store {
    /// A person's machines whose sign-ins were found elsewhere, for as long as that is told.
    pub async fn list_copied_of(
        &self,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<Vec<CopiedDevice>, StoreError> {
        let all = self.read(|db| {
            db.all(
                "SELECT d.name, f.name, d.copied FROM devices d LEFT JOIN devices f ON f.id = d.copied_to \
                 WHERE d.principal = ?1 AND d.copied IS NOT NULL",
                [principal.bytes()],
                |row| Ok(CopiedDevice { name: row.text(0)?, found_on: row.get(1)?, at: row.time(2)? }),
            )
        })?;
        Ok(all.into_iter().filter(|copied| now.since(copied.at) < COPY_TOLD).collect())
    }
}
