//! Passkeys, and the ceremonies in which browsers make and use them.

use hallpass_model::id::{OrgId, PasskeyId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::CEREMONY;
use hallpass_model::secret::{Secret, WebCookie};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::Timestamp;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::refusals::{RefusedSubject, refuse};
use crate::sql::{Columns, Sql, json};

/// What a ceremony is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CeremonyKind {
    /// The first administrator's passkey.
    SetUp,
    /// A person's first, by their link.
    Enrol {
        /// Who.
        person: PrincipalId,
    },
    /// One more, by a person who is logged in.
    AddPasskey {
        /// Who.
        person: PrincipalId,
    },
    /// Logging in to this org's pages.
    Login {
        /// Where.
        org: OrgId,
    },
    /// The same by the org's own provider.
    Provider {
        /// Where.
        org: OrgId,
    },
}

/// Begins a ceremony: keeps the server's half of it for a few minutes. Not recorded, as nothing happened yet.
#[derive(Debug)]
pub struct BeginCeremony {
    /// What for.
    pub kind: CeremonyKind,
    /// The secret of the browser it began in: only that browser can end it.
    pub bound_to: Option<Secret<WebCookie>>,
    /// The WebAuthn library's state.
    pub state: Vec<u8>,
}

impl Change for BeginCeremony {
    /// The handle it is taken by, once.
    type Outcome = Secret<WebCookie>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let (handle, fingerprint) = tx.new_secret::<WebCookie>(Prefix::Web);
        let bound_to = self.bound_to.as_ref().map(|secret| tx.keys().fingerprint(secret).0);
        tx.db().run(
            "INSERT INTO ceremonies (fingerprint, kind, bound_to, state, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            (&fingerprint.0, json(&self.kind), bound_to, &self.state, (tx.now + CEREMONY).millis()),
        )?;
        Ok(handle)
    }
}

/// Takes a ceremony back, to end it. It can be taken once, and by the browser it began in.
#[derive(Debug)]
pub struct TakeCeremony {
    /// The handle it was given.
    pub handle: Secret<WebCookie>,
    /// The browser's secret, as at its beginning.
    pub bound_to: Option<Secret<WebCookie>>,
}

/// A ceremony that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// What for.
    pub kind: CeremonyKind,
    /// The WebAuthn library's state.
    pub state: Vec<u8>,
}

impl Change for TakeCeremony {
    type Outcome = Option<Ceremony>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.handle);
        let bound_to = self.bound_to.as_ref().map(|secret| tx.keys().fingerprint(secret).0);
        // SECURITY: found and gone in one statement, so that it is taken once. Another browser takes nothing.
        tx.db().one(
            "DELETE FROM ceremonies WHERE fingerprint = ?1 AND bound_to IS ?2 AND expires > ?3 RETURNING kind, state",
            (&fingerprint.0, bound_to, tx.now.millis()),
            |row| Ok(Ceremony { kind: row.json(0)?, state: row.get(1)? }),
        )
    }
}

/// A passkey to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPasskey {
    /// The authenticator's own id of it.
    pub credential: Vec<u8>,
    /// What the person calls it.
    pub name: String,
    /// Public key and counter, as the WebAuthn library writes them.
    pub state: String,
}

/// A passkey as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// Where it logs in.
    pub org: OrgId,
    /// Whose it is.
    pub person: PrincipalId,
    /// The authenticator's own id of it.
    pub credential: Vec<u8>,
    /// What the person calls it.
    pub name: String,
    /// Public key and counter, as the WebAuthn library writes them.
    pub state: String,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last used.
    pub used: Option<Timestamp>,
}

/// Adds a passkey to a person who is logged in.
#[derive(Debug, Clone)]
pub struct AddPasskey {
    /// Whose.
    pub person: PrincipalId,
    /// The passkey.
    pub passkey: NewPasskey,
}

/// Why a passkey was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PasskeyRefusal {
    /// The org knows this authenticator's credential already.
    #[error("this passkey is known already")]
    Taken,
    /// There is no such active person.
    #[error("there is no such active person")]
    NoPerson,
    /// They have as many as a person may have.
    #[error("a person has at most {PASSKEYS_MAX} passkeys")]
    TooMany,
}

/// One for each device a person has, several times over.
pub(crate) const PASSKEYS_MAX: usize = 32;

impl Change for AddPasskey {
    type Outcome = Result<PasskeyId, PasskeyRefusal>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        add_passkey(tx, self.person, &self.passkey)
    }
}

/// The same, inside another change.
pub(crate) fn add_passkey(
    tx: &mut Tx<'_>,
    person: PrincipalId,
    passkey: &NewPasskey,
) -> Result<Result<PasskeyId, PasskeyRefusal>, StoreError> {
    let org: Option<OrgId> = tx.db().one(
        "SELECT p.org FROM principals p JOIN orgs o ON o.id = p.org \
         WHERE p.id = ?1 AND p.disabled IS NULL AND o.disabled IS NULL",
        [person.bytes()],
        |row| row.id(0),
    )?;
    let Some(org) = org else { return Ok(Err(PasskeyRefusal::NoPerson)) };
    let subject = RefusedSubject { principal: Some(person), ..RefusedSubject::org(org) };
    let taken = tx.db().one(
        "SELECT 1 FROM passkeys WHERE org = ?1 AND credential = ?2",
        (org.bytes(), &passkey.credential),
        |_| Ok(()),
    )?;
    if taken.is_some() {
        refuse(tx, &subject, "passkey_taken")?;
        return Ok(Err(PasskeyRefusal::Taken));
    }
    if passkeys_of(tx, person)?.len() >= PASSKEYS_MAX {
        refuse(tx, &subject, "passkeys_too_many")?;
        return Ok(Err(PasskeyRefusal::TooMany));
    }
    let id = PasskeyId::new(tx.now, tx.entropy());
    tx.db().run(
        "INSERT INTO passkeys (id, org, person, credential, name, state, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            id.bytes(),
            org.bytes(),
            person.bytes(),
            &passkey.credential,
            &passkey.name,
            &passkey.state,
            tx.now.millis(),
        ),
    )?;
    let detail = Detail::new().with(Key::PASSKEY, id.to_string());
    tx.record(Entry { org: Some(org), principal: Some(person), detail, ..tx.entry(Event::Enrolled) });
    Ok(Ok(id))
}

/// Who takes a passkey away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedBy {
    /// Its own person, who must keep one.
    Themselves(PrincipalId),
    /// An administrator or the operator, of somebody who lost it.
    Administrator,
}

/// Takes a passkey away.
#[derive(Debug, Clone, Copy)]
pub struct RemovePasskey {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub passkey: PasskeyId,
    /// By whom.
    pub by: RemovedBy,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyRemoved {
    /// It logs in no more.
    Removed,
    /// There is no such passkey, or it is somebody else's.
    NotThere,
    /// It is the last one: nobody locks themselves out.
    LastOne,
}

impl Change for RemovePasskey {
    type Outcome = PasskeyRemoved;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let person: Option<PrincipalId> = tx.db().one(
            "SELECT person FROM passkeys WHERE id = ?1 AND org = ?2",
            (self.passkey.bytes(), self.org.bytes()),
            |row| row.id(0),
        )?;
        let Some(person) = person else { return Ok(PasskeyRemoved::NotThere) };
        let refused = |by| RefusedSubject { principal: Some(by), ..RefusedSubject::org(self.org) };
        let reason = match self.by {
            RemovedBy::Themselves(own) if own != person => {
                refuse(tx, &refused(own), "passkey_of_another")?;
                return Ok(PasskeyRemoved::NotThere);
            }
            RemovedBy::Themselves(own) if passkeys_of(tx, person)?.len() < 2 => {
                refuse(tx, &refused(own), "passkey_last")?;
                return Ok(PasskeyRemoved::LastOne);
            }
            RemovedBy::Themselves(_) => "own",
            RemovedBy::Administrator => "lost",
        };
        tx.db().run("DELETE FROM passkeys WHERE id = ?1", [self.passkey.bytes()])?;
        let detail = Detail::new().with(Key::PASSKEY, self.passkey.to_string()).with(Key::REASON, reason);
        let entry = tx.entry(Event::Removed);
        tx.record(Entry { org: Some(self.org), principal: Some(person), detail, ..entry });
        Ok(PasskeyRemoved::Removed)
    }
}

fn passkeys_of(tx: &Tx<'_>, person: PrincipalId) -> Result<Vec<PasskeyId>, StoreError> {
    tx.db().all("SELECT id FROM passkeys WHERE person = ?1", [person.bytes()], |row| row.id(0))
}

impl Store {
    /// The passkey with this credential id, in this org and no other.
    pub async fn find_passkey(&self, org: OrgId, credential: &[u8]) -> Result<Option<Passkey>, StoreError> {
        self.read(|db| {
            db.one(
                "SELECT id, org, person, credential, name, state, created, used FROM passkeys \
                 WHERE org = ?1 AND credential = ?2",
                (org.bytes(), credential),
                read_passkey,
            )
        })
    }

    /// A person's passkeys, oldest first. There are at most a few.
    pub async fn list_passkeys(&self, person: PrincipalId) -> Result<Vec<Passkey>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT id, org, person, credential, name, state, created, used FROM passkeys \
                 WHERE person = ?1 ORDER BY id",
                [person.bytes()],
                read_passkey,
            )
        })
    }
}

fn read_passkey(row: &Row<'_>) -> rusqlite::Result<Passkey> {
    Ok(Passkey {
        id: row.id(0)?,
        org: row.id(1)?,
        person: row.id(2)?,
        credential: row.get(3)?,
        name: row.text(4)?,
        state: row.text(5)?,
        created: row.time(6)?,
        used: row.maybe_time(7)?,
    })
}
