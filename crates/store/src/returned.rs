//! What a restore brings back to life: passkeys that were removed since the backup, people who were disabled since.
//!
//! A cut of every session does not help there: a passkey that is back opens a new one. The operator is told, and removes
//! or disables again.

use hallpass_model::id::{PasskeyId, PrincipalId};
use rusqlite::Connection;

use crate::error::StoreError;
use crate::sql::{Columns, Sql};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returned {
    /// Passkeys that had been removed. At most [`Returned::NAMED_MAX`].
    pub passkeys: Vec<PasskeyReturned>,
    /// People who had been disabled. At most [`Returned::NAMED_MAX`].
    pub people: Vec<PersonReturned>,
    /// How many more there were of both.
    pub unnamed: u64,
}

/// A passkey that had been removed, and opens the door again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyReturned {
    /// The org's name.
    pub org: String,
    /// Whose, by their short name.
    pub person: String,
    /// Which.
    pub passkey: PasskeyId,
    /// What its person called it.
    pub name: String,
}

/// A person who had been disabled, and is active again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonReturned {
    /// The org's name.
    pub org: String,
    /// Their short name.
    pub person: String,
}

impl Returned {
    /// A person acts on no longer a list; the rest is counted.
    pub const NAMED_MAX: usize = 1_000;

    /// Compares a backup with the database that it takes the place of.
    pub(crate) fn of(backup: &Connection, before: &Connection) -> Result<Self, StoreError> {
        let mut returned = Self::default();
        returned.find_passkeys(backup, before)?;
        returned.find_people(backup, before)?;
        Ok(returned)
    }

    fn find_passkeys(&mut self, backup: &Connection, before: &Connection) -> Result<(), StoreError> {
        let mut passkeys = backup.prepare(
            "SELECT k.id, k.person, k.name, p.handle, o.name FROM passkeys k \
             JOIN principals p ON p.id = k.person JOIN orgs o ON o.id = k.org",
        )?;
        let mut rows = passkeys.query(())?;
        while let Some(row) = rows.next()? {
            let (passkey, person): (PasskeyId, PrincipalId) = (row.id(0)?, row.id(1)?);
            // Whoever is not there is of another store altogether.
            let gone: Option<bool> = before.one(
                "SELECT NOT EXISTS (SELECT 1 FROM passkeys WHERE id = ?2) FROM principals WHERE id = ?1",
                (person.bytes(), passkey.bytes()),
                |row| row.get(0),
            )?;
            if gone != Some(true) {
                continue;
            }
            match self.passkeys.len() < Self::NAMED_MAX {
                true => self.passkeys.push(PasskeyReturned {
                    org: row.text(4)?,
                    person: row.text(3)?,
                    passkey,
                    name: row.text(2)?,
                }),
                false => self.unnamed += 1,
            }
        }
        Ok(())
    }

    fn find_people(&mut self, backup: &Connection, before: &Connection) -> Result<(), StoreError> {
        let mut people = backup.prepare(
            "SELECT p.id, p.handle, o.name FROM principals p JOIN orgs o ON o.id = p.org WHERE p.disabled IS NULL",
        )?;
        let mut rows = people.query(())?;
        while let Some(row) = rows.next()? {
            let id: PrincipalId = row.id(0)?;
            let disabled: Option<bool> = before.one(
                "SELECT disabled IS NOT NULL FROM principals WHERE id = ?1",
                [id.bytes()],
                |row| row.get(0),
            )?;
            if disabled != Some(true) {
                continue;
            }
            match self.people.len() < Self::NAMED_MAX {
                true => self.people.push(PersonReturned { org: row.text(2)?, person: row.text(1)? }),
                false => self.unnamed += 1,
            }
        }
        Ok(())
    }
}
