//! Persons.

use hallpass_model::id::{OrgId, PrincipalId, TeamId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::principal::{Handle, Owner, Principal, PrincipalKind};
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, org_accepts, record_standing, standing_of};
use crate::error::StoreError;
use crate::leaving::{LeftBehind, OwnerSet, person_left};
use crate::open::Store;
use crate::page::Page;
use crate::sql::{Columns, Sql, disabled_column};

/// Adds a person. The org's administrators' team answers for them.
#[derive(Debug, Clone)]
pub struct AddPerson {
    /// Where.
    pub org: OrgId,
    /// The short name typed at login.
    pub handle: Handle,
    /// The name shown to people.
    pub name: String,
}

impl Change for AddPerson {
    type Outcome = Result<PrincipalId, NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = org_accepts(tx.db(), self.org)? {
            return Ok(Err(why));
        }
        if find_by_handle(tx.db(), self.org, self.handle.as_str())?.is_some() {
            return Ok(Err(NotAdded::Taken));
        }
        let team: Option<TeamId> =
            tx.db()
                .one("SELECT administrators FROM orgs WHERE id = ?1", [self.org.bytes()], |row| row.id(0))?;
        let Some(team) = team else { return Ok(Err(NotAdded::NoOrg)) };
        let person = insert_person(tx, self.org, team, &self.handle, &self.name)?;
        tx.announce(News::Directory);
        Ok(Ok(person))
    }
}

/// Writes the row and its record. The short name must be free.
pub(crate) fn insert_person(
    tx: &mut Tx<'_>,
    org: OrgId,
    administrators: TeamId,
    handle: &Handle,
    name: &str,
) -> Result<PrincipalId, StoreError> {
    let id = PrincipalId::new(tx.now, tx.entropy());
    tx.db().run(
        "INSERT INTO principals (id, org, handle, name, created) VALUES (?1, ?2, ?3, ?4, ?5)",
        (id.bytes(), org.bytes(), handle.as_str(), name, tx.now.millis()),
    )?;
    let detail = Detail::new().with(Key::KIND, "person").with(Key::OWNER, administrators.to_string());
    let entry = Entry { org: Some(org), principal: Some(id), detail, ..tx.entry(Event::Registered) };
    // A person's short name is personal, an org's or a client's is not.
    tx.record_personal(entry, &[(Field::Name, name), (Field::Remark, handle.as_str())]);
    Ok(id)
}

/// Takes a person out of use, which also ends everything they hold and suspends what they answered for, or puts them back
/// into use.
#[derive(Debug, Clone, Copy)]
pub struct SetPersonStanding {
    /// Where.
    pub org: OrgId,
    /// Who.
    pub person: PrincipalId,
    /// Whether they are in use from now on.
    pub active: bool,
}

impl Change for SetPersonStanding {
    type Outcome = OwnerSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let standing = tx.db().one(
            "SELECT disabled FROM principals WHERE id = ?1 AND org = ?2",
            (self.person.bytes(), self.org.bytes()),
            |row| row.standing(0),
        )?;
        let Some(standing) = standing else { return Ok(StandingSet::NotThere.into()) };
        if standing.is_active() == self.active {
            return Ok(StandingSet::Already(standing).into());
        }
        if !self.active && crate::teams::is_last_administrator(tx.db(), self.org, self.person)? {
            return Ok(StandingSet::LastAdministrator.into());
        }
        let standing = standing_of(self.active, tx.now);
        tx.db().run(
            "UPDATE principals SET disabled = ?2 WHERE id = ?1",
            (self.person.bytes(), disabled_column(standing)),
        )?;
        let entry = Entry { org: Some(self.org), principal: Some(self.person), ..tx.entry(Event::Disabled) };
        record_standing(tx, entry, "person", self.active);
        let left = match self.active {
            true => LeftBehind::default(),
            false => person_left(tx, self.org, self.person)?,
        };
        tx.announce(News::Directory);
        Ok(OwnerSet { standing: StandingSet::Done(standing), left })
    }
}

impl Store {
    /// The person of this id.
    pub async fn find_person(&self, person: PrincipalId) -> Result<Option<Principal>, StoreError> {
        self.read(|db| find_person(db, person))
    }

    /// The person of this short name.
    pub async fn find_person_by_handle(
        &self,
        org: OrgId,
        handle: &str,
    ) -> Result<Option<Principal>, StoreError> {
        self.read(|db| find_by_handle(db, org, handle))
    }

    /// The persons of an org, by short name, after the one given.
    pub async fn list_people(
        &self,
        org: OrgId,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Page<Principal>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT p.id, p.org, p.handle, p.name, o.administrators, p.disabled, p.created \
                 FROM principals p JOIN orgs o ON o.id = p.org \
                 WHERE p.org = ?1 AND p.handle > ?2 ORDER BY p.handle LIMIT ?3",
                (org.bytes(), after.map_or("", Handle::as_str), Page::<Principal>::rows(limit)),
                read_person,
            )
        })?;
        Ok(Page::of(rows, limit))
    }
}

pub(crate) fn find_person(db: &Connection, person: PrincipalId) -> Result<Option<Principal>, StoreError> {
    db.one(
        "SELECT p.id, p.org, p.handle, p.name, o.administrators, p.disabled, p.created \
         FROM principals p JOIN orgs o ON o.id = p.org WHERE p.id = ?1",
        [person.bytes()],
        read_person,
    )
}

pub(crate) fn find_by_handle(
    db: &Connection,
    org: OrgId,
    handle: &str,
) -> Result<Option<Principal>, StoreError> {
    db.one(
        "SELECT p.id, p.org, p.handle, p.name, o.administrators, p.disabled, p.created \
         FROM principals p JOIN orgs o ON o.id = p.org WHERE p.org = ?1 AND p.handle = ?2",
        (org.bytes(), handle),
        read_person,
    )
}

fn read_person(row: &Row<'_>) -> rusqlite::Result<Principal> {
    Ok(Principal {
        id: row.id(0)?,
        org: row.id(1)?,
        kind: PrincipalKind::Person,
        handle: row.word(2)?,
        name: row.text(3)?,
        owner: Owner::Team(row.id(4)?),
        standing: row.standing(5)?,
        created: row.time(6)?,
    })
}
