//! Who answers for what, and taking it over from somebody else.

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId, ResourceId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::principal::{Owner, Standing};
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::cuts::cut;
use crate::directory::{NotAdded, StandingSet, may_own, record_standing, standing_of, stands_already};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql, disabled_column, owner_columns};

/// A thing that somebody answers for, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// A client, by its `client_id`.
    Client(String),
    /// A resource, by its URL.
    Resource(String),
    /// An API key, by its short name.
    ApiKey(String),
    /// A trust, by its short name. It has no owner of its own: whoever answers for its client does.
    Trust {
        /// Its short name.
        handle: String,
        /// The client that goes with it, by its `client_id`.
        client: String,
    },
}

/// A thing that somebody answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedId {
    /// A client.
    Client(ClientId),
    /// A resource.
    Resource(ResourceId),
    /// An API key.
    ApiKey(CredentialId),
}

/// Which things somebody else is to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// These, whoever answers for them now.
    These(Vec<OwnedId>),
    /// These, each of which this owner answers for; else nothing is changed.
    TheseOf(Owner, Vec<OwnedId>),
    /// Everything that this owner answers for.
    AllOf(Owner),
}

/// Has somebody else answer for things, all of them or none. Whatever of it is suspended is in use again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOwned {
    /// Where.
    pub org: OrgId,
    /// Which things.
    pub which: Which,
    /// Who answers for them from now on.
    pub to: Owner,
}

/// A thing that is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Which.
    pub thing: Owned,
    /// Who answered for it before.
    pub from: Owner,
    /// What that changes.
    pub change: Takeover,
}

/// What taking a thing over changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Nothing: they answered for it already.
    Nothing,
    /// Who answers for it.
    Owner,
    /// It was suspended since then, and is in use again.
    Lifted(Standing),
    /// Whatever it changes for the client that it is of: a trust has no owner of its own.
    WithClient,
}

/// Why nothing is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTransferred {
    /// One of the things is none of this org's.
    NotThere,
    /// Somebody else answers for this one.
    NotTheirs(Owned),
    /// Whoever it was meant for cannot answer for anything.
    Refused(NotAdded),
}

impl Change for TransferOwned {
    type Outcome = Result<Vec<TakenOver>, NotTransferred>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let things = match self.judge(tx.db())? {
            Ok(things) => things,
            Err(why) => return Ok(Err(why)),
        };
        let mut taken = Vec::with_capacity(things.len());
        for thing in things {
            if thing.owner != self.to {
                set_owner(tx, self.org, &thing, self.to, "transferred")?;
            }
            if let Standing::Suspended(_) = thing.standing {
                stand(tx, thing.id, Standing::Active)?;
                let entry = about(Entry { org: Some(self.org), ..tx.entry(Event::Changed) }, &thing);
                let detail = entry.detail.clone().with(Key::CHANGE, "suspension_lifted");
                tx.record(Entry { detail, ..entry });
            }
            self.taken(tx.db(), thing, &mut taken)?;
        }
        tx.announce(News::Directory);
        Ok(Ok(taken))
    }
}

impl TransferOwned {
    /// The things, as they stand now, if all of them may be taken over.
    fn judge(&self, db: &Connection) -> Result<Result<Vec<Thing>, NotTransferred>, StoreError> {
        if let Err(why) = may_own(db, self.org, &self.to)? {
            return Ok(Err(NotTransferred::Refused(why)));
        }
        let (of, ids) = match &self.which {
            Which::AllOf(owner) => return Ok(Ok(owned_by(db, self.org, *owner)?)),
            Which::These(ids) => (None, ids),
            Which::TheseOf(owner, ids) => (Some(owner), ids),
        };
        let mut things: Vec<Thing> = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(thing) = find(db, self.org, *id)? else { return Ok(Err(NotTransferred::NotThere)) };
            if of.is_some_and(|of| *of != thing.owner) {
                return Ok(Err(NotTransferred::NotTheirs(thing.into())));
            }
            if !things.iter().any(|known| known.id == thing.id) {
                things.push(thing);
            }
        }
        Ok(Ok(things))
    }

    /// Adds what it changes for a thing, and for the trusts that go with it.
    fn taken(&self, db: &Connection, thing: Thing, taken: &mut Vec<TakenOver>) -> Result<(), StoreError> {
        let change = match thing.standing {
            Standing::Suspended(_) => Takeover::Lifted(thing.standing),
            _ if thing.owner == self.to => Takeover::Nothing,
            _ => Takeover::Owner,
        };
        let (from, trusts) = (thing.owner, trusts_of(db, &thing, Trusts::All)?);
        taken.push(TakenOver { from, thing: thing.into(), change });
        let with = |thing| TakenOver { from, thing, change: Takeover::WithClient };
        taken.extend(trusts.into_iter().map(with));
        Ok(())
    }
}

impl Store {
    /// What somebody answers for, a client's trusts after it.
    pub async fn list_owned(&self, org: OrgId, owner: Owner) -> Result<Vec<(Owned, Standing)>, StoreError> {
        self.read(|db| {
            let mut all = Vec::new();
            for thing in owned_by(db, org, owner)? {
                let (standing, trusts) = (thing.standing, trusts_of(db, &thing, Trusts::InUse)?);
                all.push((thing.into(), standing));
                all.extend(trusts.into_iter().map(|trust| (trust, standing)));
            }
            Ok(all)
        })
    }

    /// Whether any of these answers for anything of the org.
    pub async fn owns_anything(&self, owners: &[Owner]) -> Result<bool, StoreError> {
        self.read(|db| {
            for owner in owners {
                let (person, team) = owner_columns(owner);
                let found: Option<bool> = db.one(
                    "SELECT EXISTS (SELECT 1 FROM clients WHERE owner_person = ?1) \
                     OR EXISTS (SELECT 1 FROM clients WHERE owner_team = ?2) \
                     OR EXISTS (SELECT 1 FROM resources WHERE owner_person = ?1) \
                     OR EXISTS (SELECT 1 FROM resources WHERE owner_team = ?2) \
                     OR EXISTS (SELECT 1 FROM api_keys WHERE owner_person = ?1) \
                     OR EXISTS (SELECT 1 FROM api_keys WHERE owner_team = ?2)",
                    (person, team),
                    |row| row.get(0),
                )?;
                if found == Some(true) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// What a transfer would change, if it were made now. It changes nothing.
    pub async fn preview_transfer(
        &self,
        transfer: &TransferOwned,
    ) -> Result<Result<Vec<TakenOver>, NotTransferred>, StoreError> {
        self.read(|db| {
            let things = match transfer.judge(db)? {
                Ok(things) => things,
                Err(why) => return Ok(Err(why)),
            };
            let mut taken = Vec::with_capacity(things.len());
            for thing in things {
                transfer.taken(db, thing, &mut taken)?;
            }
            Ok(Ok(taken))
        })
    }
}

/// A thing with its row's owner and standing.
pub(crate) struct Thing {
    pub(crate) id: OwnedId,
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) standing: Standing,
}

impl From<Thing> for Owned {
    fn from(thing: Thing) -> Self {
        match thing.id {
            OwnedId::Client(_) => Self::Client(thing.name),
            OwnedId::Resource(_) => Self::Resource(thing.name),
            OwnedId::ApiKey(_) => Self::ApiKey(thing.name),
        }
    }
}

/// Which trusts of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusts {
    /// All of them.
    All,
    /// Those that let somebody in.
    InUse,
}

/// The trusts of a client, which go with it; none of anything else.
pub(crate) fn trusts_of(db: &Connection, thing: &Thing, which: Trusts) -> Result<Vec<Owned>, StoreError> {
    let OwnedId::Client(client) = thing.id else { return Ok(Vec::new()) };
    let mut trusts: Vec<Owned> = db.all(
        "SELECT handle FROM trusts WHERE client = ?1 AND (?2 OR disabled IS NULL)",
        (client.bytes(), which == Trusts::All),
        |row| Ok(Owned::Trust { handle: row.text(0)?, client: thing.name.clone() }),
    )?;
    trusts.sort();
    Ok(trusts)
}

fn find(db: &Connection, org: OrgId, id: OwnedId) -> Result<Option<Thing>, StoreError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Thing { id, name: row.text(0)?, owner: row.owner(1)?, standing: row.standing(3)? })
    };
    match id {
        OwnedId::Client(client) => db.one(
            "SELECT handle, owner_person, owner_team, disabled FROM clients WHERE id = ?1 AND org = ?2",
            (client.bytes(), org.bytes()),
            read,
        ),
        OwnedId::Resource(resource) => db.one(
            "SELECT url, owner_person, owner_team, disabled FROM resources WHERE id = ?1 AND org = ?2",
            (resource.bytes(), org.bytes()),
            read,
        ),
        OwnedId::ApiKey(key) => db.one(
            "SELECT handle, owner_person, owner_team, NULL FROM api_keys WHERE id = ?1 AND org = ?2",
            (key.bytes(), org.bytes()),
            read,
        ),
    }
}

/// Everything that this owner answers for.
pub(crate) fn owned_by(db: &Connection, org: OrgId, owner: Owner) -> Result<Vec<Thing>, StoreError> {
    let (person, team) = owner_columns(&owner);
    let mut things = db.all(
        "SELECT id, handle, disabled FROM clients \
         WHERE org = ?1 AND owner_person IS ?2 AND owner_team IS ?3 ORDER BY handle",
        (org.bytes(), person, team),
        |row| {
            let id = OwnedId::Client(row.id(0)?);
            Ok(Thing { id, name: row.text(1)?, owner, standing: row.standing(2)? })
        },
    )?;
    things.extend(db.all(
        "SELECT id, url, disabled FROM resources \
         WHERE org = ?1 AND owner_person IS ?2 AND owner_team IS ?3 ORDER BY url",
        (org.bytes(), person, team),
        |row| {
            let id = OwnedId::Resource(row.id(0)?);
            Ok(Thing { id, name: row.text(1)?, owner, standing: row.standing(2)? })
        },
    )?);
    // What was taken back needs nobody to answer for it. Whether a key opens anything is asked of its owner at each use.
    things.extend(db.all(
        "SELECT id, handle FROM api_keys k WHERE org = ?1 AND owner_person IS ?2 AND owner_team IS ?3 \
         AND EXISTS (SELECT 1 FROM api_key_secrets s WHERE s.key = k.id AND s.revoked IS NULL) ORDER BY handle",
        (org.bytes(), person, team),
        |row| {
            let id = OwnedId::ApiKey(row.id(0)?);
            Ok(Thing { id, name: row.text(1)?, owner, standing: Standing::Active })
        },
    )?);
    Ok(things)
}

/// Writes how a thing stands. The record is the caller's.
pub(crate) fn stand(tx: &mut Tx<'_>, id: OwnedId, standing: Standing) -> Result<(), StoreError> {
    let disabled = disabled_column(standing);
    match id {
        OwnedId::Client(id) => {
            tx.db().run("UPDATE clients SET disabled = ?2 WHERE id = ?1", (id.bytes(), disabled))
        }
        OwnedId::Resource(id) => {
            tx.db().run("UPDATE resources SET disabled = ?2 WHERE id = ?1", (id.bytes(), disabled))
        }
        // A key stands as its owner does, and so has no column for it.
        OwnedId::ApiKey(_) => Ok(0),
    }?;
    Ok(())
}

/// Takes a client or a resource out of use, or puts it back into it, and records that. What was issued to a client is cut.
pub(crate) fn set_standing(
    tx: &mut Tx<'_>,
    org: OrgId,
    id: OwnedId,
    active: bool,
) -> Result<StandingSet, StoreError> {
    let Some(thing) = find(tx.db(), org, id)? else { return Ok(StandingSet::NotThere) };
    if let Some(set) = stands_already(tx.db(), org, (thing.standing, &thing.owner), active)? {
        return Ok(set);
    }
    let standing = standing_of(active, tx.now);
    stand(tx, id, standing)?;
    let entry = Entry { org: Some(org), ..tx.entry(Event::Disabled) };
    match id {
        OwnedId::Client(client) => {
            record_standing(tx, Entry { client: Some(client), ..entry }, "client", active);
            if !active {
                cut(tx, Some(org), Target::Client(client), Why::Disabled)?;
            }
        }
        OwnedId::Resource(resource) => {
            record_standing(tx, Entry { resource: Some(resource), ..entry }, "resource", active);
        }
        OwnedId::ApiKey(key) => {
            record_standing(tx, Entry { credential: Some(key), ..entry }, "api_key", active);
        }
    }
    tx.announce(News::Directory);
    Ok(StandingSet::Done(standing))
}

/// An entry about a thing: which it is, and its name.
pub(crate) fn about(entry: Entry, thing: &Thing) -> Entry {
    match thing.id {
        OwnedId::Client(id) => {
            let detail = Detail::new().with(Key::KIND, "client").with(Key::SLUG, thing.name.clone());
            Entry { client: Some(id), detail, ..entry }
        }
        OwnedId::Resource(id) => {
            let detail = Detail::new().with(Key::KIND, "resource").with(Key::URL, thing.name.clone());
            Entry { resource: Some(id), detail, ..entry }
        }
        OwnedId::ApiKey(id) => {
            let detail = Detail::new().with(Key::KIND, "api_key").with(Key::SLUG, thing.name.clone());
            Entry { credential: Some(id), detail, ..entry }
        }
    }
}

/// Writes the row and its record, which names who answered before, and who does now.
pub(crate) fn set_owner(
    tx: &mut Tx<'_>,
    org: OrgId,
    thing: &Thing,
    to: Owner,
    reason: &'static str,
) -> Result<(), StoreError> {
    let (person, team) = owner_columns(&to);
    match thing.id {
        OwnedId::Client(id) => tx.db().run(
            "UPDATE clients SET owner_person = ?2, owner_team = ?3 WHERE id = ?1",
            (id.bytes(), person, team),
        ),
        OwnedId::Resource(id) => tx.db().run(
            "UPDATE resources SET owner_person = ?2, owner_team = ?3 WHERE id = ?1",
            (id.bytes(), person, team),
        ),
        OwnedId::ApiKey(id) => tx.db().run(
            "UPDATE api_keys SET owner_person = ?2, owner_team = ?3 WHERE id = ?1",
            (id.bytes(), person, team),
        ),
    }?;
    let entry = about(Entry { org: Some(org), ..tx.entry(Event::OwnerChanged) }, thing);
    let detail = entry.detail.clone().with(Key::REASON, reason);
    let detail = match to {
        Owner::Person(id) => detail.with(Key::OWNER, id.to_string()),
        Owner::Team(id) => detail.with(Key::OWNER, id.to_string()),
    };
    tx.record(match thing.owner {
        Owner::Person(id) => Entry { principal: Some(id), detail, ..entry },
        Owner::Team(id) => Entry { detail: detail.with(Key::TEAM, id.to_string()), ..entry },
    });
    Ok(())
}
