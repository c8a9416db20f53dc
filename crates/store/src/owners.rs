//! Who answers for what. When an owner leaves, what they answered for is handed over in the very change in which they
//! leave: to the org's administrators, of whom there is always one who can answer.

use hallpass_model::id::{ClientId, OrgId, PrincipalId, ResourceId, TeamId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::principal::Owner;
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, may_own};
use crate::error::StoreError;
use crate::sql::{Columns, Sql, owner_columns};
use crate::teams::has_active_member;

/// A thing that somebody answers for, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// A client, by its `client_id`.
    Client(String),
    /// A resource, by its URL.
    Resource(String),
}

/// What came of taking an owner, a person or a team, out of use, or back into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerSet {
    /// How it stands.
    pub standing: StandingSet,
    /// What the administrators answer for from now on, as whoever did has left.
    pub handed_over: Vec<Owned>,
}

impl From<StandingSet> for OwnerSet {
    /// Nothing was handed over.
    fn from(standing: StandingSet) -> Self {
        Self { standing, handed_over: Vec::new() }
    }
}

/// Hands over what a person answered for who was just taken out of use, alone or as the last who could in a team.
pub(crate) fn person_left(
    tx: &mut Tx<'_>,
    org: OrgId,
    person: PrincipalId,
) -> Result<Vec<Owned>, StoreError> {
    let mut handed_over = hand_over(tx, org, Owner::Person(person))?;
    let teams: Vec<TeamId> =
        tx.db().all("SELECT team FROM members WHERE person = ?1", [person.bytes()], |row| row.id(0))?;
    for team in teams {
        handed_over.extend(team_left(tx, org, team)?);
    }
    Ok(handed_over)
}

/// Hands over what a team answered for, if nobody in it can any more.
pub(crate) fn team_left(tx: &mut Tx<'_>, org: OrgId, team: TeamId) -> Result<Vec<Owned>, StoreError> {
    match has_active_member(tx.db(), team)? {
        true => Ok(Vec::new()),
        false => hand_over(tx, org, Owner::Team(team)),
    }
}

/// Hands everything over to the administrators that `from` answered for.
pub(crate) fn hand_over(tx: &mut Tx<'_>, org: OrgId, from: Owner) -> Result<Vec<Owned>, StoreError> {
    let administrators: Option<TeamId> =
        tx.db().one("SELECT administrators FROM orgs WHERE id = ?1", [org.bytes()], |row| row.id(0))?;
    let administrators =
        administrators.ok_or_else(|| StoreError::Damaged("an org without administrators".into()))?;
    let to = Owner::Team(administrators);
    if from == to {
        return Ok(Vec::new());
    }
    let things = owned_by(tx.db(), org, from)?;
    for thing in &things {
        set_owner(tx, org, thing, (from, to), "owner_left")?;
    }
    Ok(things.into_iter().map(Owned::from).collect())
}

/// Has somebody else answer for a thing.
#[derive(Debug, Clone, Copy)]
pub struct TransferOwner {
    /// Where.
    pub org: OrgId,
    /// Which thing.
    pub thing: OwnedId,
    /// Who answers for it from now on.
    pub to: Owner,
}

/// A thing that somebody answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedId {
    /// A client.
    Client(ClientId),
    /// A resource.
    Resource(ResourceId),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerTransferred {
    /// They answer for it now.
    Done,
    /// They did before; nothing was changed.
    Already,
    /// There is no such thing in this org.
    NotThere,
    /// They cannot answer for anything.
    Refused(NotAdded),
}

impl Change for TransferOwner {
    type Outcome = OwnerTransferred;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = match self.thing {
            OwnedId::Client(id) => tx.db().one(
                "SELECT handle, owner_person, owner_team FROM clients WHERE id = ?1 AND org = ?2",
                (id.bytes(), self.org.bytes()),
                |row| Ok((row.text(0)?, row.owner(1)?)),
            )?,
            OwnedId::Resource(id) => tx.db().one(
                "SELECT url, owner_person, owner_team FROM resources WHERE id = ?1 AND org = ?2",
                (id.bytes(), self.org.bytes()),
                |row| Ok((row.text(0)?, row.owner(1)?)),
            )?,
        };
        let Some((name, from)) = found else { return Ok(OwnerTransferred::NotThere) };
        if from == self.to {
            return Ok(OwnerTransferred::Already);
        }
        if let Err(why) = may_own(tx.db(), self.org, &self.to)? {
            return Ok(OwnerTransferred::Refused(why));
        }
        set_owner(tx, self.org, &Thing { id: self.thing, name }, (from, self.to), "transferred")?;
        tx.announce(News::Directory);
        Ok(OwnerTransferred::Done)
    }
}

struct Thing {
    id: OwnedId,
    name: String,
}

impl From<Thing> for Owned {
    fn from(thing: Thing) -> Self {
        match thing.id {
            OwnedId::Client(_) => Self::Client(thing.name),
            OwnedId::Resource(_) => Self::Resource(thing.name),
        }
    }
}

fn owned_by(db: &Connection, org: OrgId, owner: Owner) -> Result<Vec<Thing>, StoreError> {
    let (person, team) = owner_columns(&owner);
    let mut things = db.all(
        "SELECT id, handle FROM clients WHERE org = ?1 AND owner_person IS ?2 AND owner_team IS ?3 ORDER BY handle",
        (org.bytes(), person, team),
        |row| Ok(Thing { id: OwnedId::Client(row.id(0)?), name: row.text(1)? }),
    )?;
    things.extend(db.all(
        "SELECT id, url FROM resources WHERE org = ?1 AND owner_person IS ?2 AND owner_team IS ?3 ORDER BY url",
        (org.bytes(), person, team),
        |row| Ok(Thing { id: OwnedId::Resource(row.id(0)?), name: row.text(1)? }),
    )?);
    Ok(things)
}

/// Writes the row and its record, which names who answered before, and who does now.
fn set_owner(
    tx: &mut Tx<'_>,
    org: OrgId,
    thing: &Thing,
    (from, to): (Owner, Owner),
    reason: &'static str,
) -> Result<(), StoreError> {
    let (person, team) = owner_columns(&to);
    let entry = Entry { org: Some(org), ..tx.entry(Event::OwnerChanged) };
    let (entry, detail) = match thing.id {
        OwnedId::Client(id) => {
            tx.db().run(
                "UPDATE clients SET owner_person = ?2, owner_team = ?3 WHERE id = ?1",
                (id.bytes(), person, team),
            )?;
            let detail = Detail::new().with(Key::KIND, "client").with(Key::SLUG, thing.name.clone());
            (Entry { client: Some(id), ..entry }, detail)
        }
        OwnedId::Resource(id) => {
            tx.db().run(
                "UPDATE resources SET owner_person = ?2, owner_team = ?3 WHERE id = ?1",
                (id.bytes(), person, team),
            )?;
            let detail = Detail::new().with(Key::KIND, "resource").with(Key::URL, thing.name.clone());
            (Entry { resource: Some(id), ..entry }, detail)
        }
    };
    let detail = detail.with(Key::REASON, reason);
    let detail = match to {
        Owner::Person(id) => detail.with(Key::OWNER, id.to_string()),
        Owner::Team(id) => detail.with(Key::OWNER, id.to_string()),
    };
    tx.record(match from {
        Owner::Person(id) => Entry { principal: Some(id), detail, ..entry },
        Owner::Team(id) => Entry { detail: detail.with(Key::TEAM, id.to_string()), ..entry },
    });
    Ok(())
}
