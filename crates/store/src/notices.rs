//! What owners are told: that something was ended which they answer for, on both sides of it. In the very commit that ends it.
//!
//! 1. A cut of a session or a credential tells whoever answers for its client, and for the APIs it was for.
//! 2. One of a client, or of a secret of its own, tells whoever answers for it, and for the resources whose scopes it has.
//! 3. One of a person, or of a machine of theirs, tells the person, and of a person the administrators too; one of the org tells these.
//! 4. What ends as it should is no notice: a logout, a run that is over, a person's own button. Nor is anybody told what they did
//!    themselves; but a copy of somebody's token that is used speaks in their name, and they are told of that.
//!
//! A notice is the entry of the ledger, by its number: nothing of it is written a second time.

use std::collections::BTreeSet;

use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId, PrincipalId};
use hallpass_model::ledger::{Actor, Entry};
use hallpass_model::lifetimes::NOTICES_KEPT;
use hallpass_model::principal::Owner;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::Connection;

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::sessions::load;
use crate::sql::{Columns, Sql};

/// Notices kept for one owner: as many as anybody reads. What is older stands in the ledger.
const KEPT_BY_OWNER: u32 = 500;
/// Resources looked at for those whose scopes a client has: an org with more tells the owners of the first of them.
const RESOURCES_MAX: u32 = 500;

/// An owner, by the bytes of the id of the person or the team.
pub(crate) type OwnerBytes = [u8; 16];

/// Tells who answers for what was just cut, by the entry that was recorded last.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    target: Target,
    why: Why,
    entry: &Entry,
    also: BTreeSet<OwnerBytes>,
) -> Result<(), StoreError> {
    let told = told(why);
    if told == Told::Nobody {
        return Ok(());
    }
    let Some(org) = entry.org else { return Ok(()) };
    let mut owners = concerned(tx.db(), org, target, entry)?;
    owners.extend(also);
    if why == Why::Suspended {
        owners.extend(administrators(tx.db(), org)?);
    }
    if let (Told::AllButWhoDidIt, Actor::Principal(who)) = (told, entry.actor) {
        owners.remove(who.bytes());
    }
    tell_these(tx, org, owners)
}

/// Tells these, by the entry that was recorded last.
pub(crate) fn tell_these(
    tx: &mut Tx<'_>,
    org: OrgId,
    owners: BTreeSet<OwnerBytes>,
) -> Result<(), StoreError> {
    let seq = column(tx.last_recorded());
    for owner in owners {
        tx.db().run(
            "INSERT INTO notices (owner, seq, org, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (&owner, seq, org.bytes(), tx.now.millis()),
        )?;
        tx.db().run(
            "DELETE FROM notices WHERE owner = ?1 AND seq <= \
             (SELECT seq FROM notices WHERE owner = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            (&owner, KEPT_BY_OWNER),
        )?;
    }
    Ok(())
}

/// Who is told of an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nobody,
    AllButWhoDidIt,
    All,
}

fn told(why: Why) -> Told {
    match why {
        Why::EndedByAdministrator | Why::Disabled | Why::Suspended => Told::AllButWhoDidIt,
        // SECURITY: whoever comes with a copy acts, as far as the token says, as the person it was stolen from.
        Why::Reuse | Why::CodeReplayed | Why::RetryTooLate | Why::Leaked => Told::All,
        Why::SignedOut
        | Why::EndedByPerson
        | Why::RunOver
        | Why::RunLost
        | Why::Restored
        | Why::Forgotten => Told::Nobody,
    }
}

/// Who answers for what this cut kills.
fn concerned(
    db: &Connection,
    org: OrgId,
    target: Target,
    entry: &Entry,
) -> Result<BTreeSet<OwnerBytes>, StoreError> {
    let mut owners = BTreeSet::new();
    match target {
        Target::Session(id) => {
            if let Some(loaded) = load(db, id)? {
                owners.extend(of_client(db, loaded.session.client)?);
                for url in &loaded.session.grant.resources {
                    owners.extend(of_resource(db, org, url)?);
                }
                owners.insert(*loaded.session.principal.bytes());
            }
        }
        Target::Credential(id) => {
            if let Some(client) = entry.client {
                owners.extend(of_client(db, client)?);
            }
            if let Some(resource) = entry.resource {
                let by_id = "SELECT owner_person, owner_team FROM resources WHERE id = ?1";
                owners.extend(db.one(by_id, [resource.bytes()], |row| row.owner(0))?.map(bytes));
            }
            if let Some((owner, resources)) = of_api_key(db, id)? {
                owners.insert(bytes(owner));
                for url in resources.lines() {
                    owners.extend(of_resource(db, org, url)?);
                }
            }
            let of_client: Option<ClientId> =
                db.one("SELECT client FROM client_secrets WHERE id = ?1", [id.bytes()], |row| row.id(0))?;
            if let Some(client) = of_client {
                owners.extend(whose_scopes(db, org, client)?);
            }
            owners.extend(entry.principal.map(|person| *person.bytes()));
        }
        Target::Client(id) => {
            owners.extend(of_client(db, id)?);
            owners.extend(whose_scopes(db, org, id)?);
        }
        Target::Principal(person) => {
            owners.insert(*person.bytes());
            owners.extend(administrators(db, org)?);
        }
        Target::Device(device) => {
            let of: Option<PrincipalId> =
                db.one("SELECT principal FROM devices WHERE id = ?1", [device.bytes()], |row| row.id(0))?;
            owners.extend(of.map(|person| *person.bytes()));
        }
        Target::Org(org) => owners.extend(administrators(db, org)?),
    }
    Ok(owners)
}

pub(crate) fn bytes(owner: Owner) -> OwnerBytes {
    match owner {
        Owner::Person(id) => *id.bytes(),
        Owner::Team(id) => *id.bytes(),
    }
}

/// Who answers for the API key that this is, or is a secret of; and the resources it is for, a line each.
pub(crate) fn of_api_key(db: &Connection, id: CredentialId) -> Result<Option<(Owner, String)>, StoreError> {
    db.one(
        "SELECT owner_person, owner_team, resources FROM api_keys WHERE id = ?1 OR id = \
         (SELECT key FROM api_key_secrets WHERE id = ?1)",
        [id.bytes()],
        |row| Ok((row.owner(0)?, row.text(2)?)),
    )
}

pub(crate) fn of_client(db: &Connection, client: ClientId) -> Result<Option<OwnerBytes>, StoreError> {
    let by_id = "SELECT owner_person, owner_team FROM clients WHERE id = ?1";
    Ok(db.one(by_id, [client.bytes()], |row| row.owner(0))?.map(bytes))
}

pub(crate) fn of_resource(db: &Connection, org: OrgId, url: &str) -> Result<Option<OwnerBytes>, StoreError> {
    let by_url = "SELECT owner_person, owner_team FROM resources WHERE org = ?1 AND url = ?2";
    Ok(db.one(by_url, (org.bytes(), url), |row| row.owner(0))?.map(bytes))
}

/// Who answers for the resources whose scopes this client has.
fn whose_scopes(db: &Connection, org: OrgId, client: ClientId) -> Result<Vec<OwnerBytes>, StoreError> {
    let by_id = "SELECT scopes FROM clients WHERE id = ?1";
    let Some(scopes): Option<Scopes> = db.one(by_id, [client.bytes()], |row| row.word(0))? else {
        return Ok(Vec::new());
    };
    let resources: Vec<(Owner, Scopes)> = db.all(
        "SELECT owner_person, owner_team, scopes FROM resources WHERE org = ?1 ORDER BY url LIMIT ?2",
        (org.bytes(), RESOURCES_MAX),
        |row| Ok((row.owner(0)?, row.word(2)?)),
    )?;
    let known = resources.into_iter().filter(|(_, known)| !known.within(&scopes).is_empty());
    Ok(known.map(|(owner, _)| bytes(owner)).collect())
}

pub(crate) fn administrators(db: &Connection, org: OrgId) -> Result<Option<OwnerBytes>, StoreError> {
    db.one("SELECT administrators FROM orgs WHERE id = ?1", [org.bytes()], |row| row.get(0))
}

/// The number of an entry as a column holds it.
fn column(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Forgets notices that are older than anybody is told of, at most so many; says how many.
pub(crate) fn forget_old(tx: &Tx<'_>, over: Timestamp, limit: u32) -> Result<usize, StoreError> {
    tx.db().run(
        "DELETE FROM notices WHERE (owner, seq) IN (SELECT owner, seq FROM notices WHERE at < ?1 LIMIT ?2)",
        ((over - NOTICES_KEPT).millis(), limit),
    )
}

/// Notes that a person has read their notices, up to this entry of the ledger. Not recorded.
#[derive(Debug, Clone, Copy)]
pub struct ReadNotices {
    /// Who.
    pub person: PrincipalId,
    /// Up to which entry.
    pub upto: u64,
}

impl Change for ReadNotices {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.db().run(
            "INSERT INTO notices_read (person, upto) VALUES (?1, ?2) \
             ON CONFLICT (person) DO UPDATE SET upto = max(upto, excluded.upto)",
            (self.person.bytes(), column(self.upto)),
        )?;
        Ok(())
    }
}

/// A notice: the number of the entry of the ledger, and whether it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Which entry.
    pub seq: u64,
    /// Whether the person has read it.
    pub read: bool,
}

impl Store {
    /// What a person is told, themselves and as one of the teams given, newest first.
    pub async fn list_notices(
        &self,
        org: OrgId,
        person: PrincipalId,
        owners: &[Owner],
        limit: u32,
    ) -> Result<Vec<Notice>, StoreError> {
        self.read(|db| {
            let read =
                db.one("SELECT upto FROM notices_read WHERE person = ?1", [person.bytes()], |row| {
                    row.get::<_, i64>(0)
                })?;
            let mut seqs = BTreeSet::new();
            for owner in owners {
                let of: Vec<i64> = db.all(
                    "SELECT seq FROM notices WHERE owner = ?1 AND org = ?2 ORDER BY seq DESC LIMIT ?3",
                    (bytes(*owner), org.bytes(), limit),
                    |row| row.get(0),
                )?;
                seqs.extend(of);
            }
            let notice =
                |seq: i64| Notice { seq: seq.unsigned_abs(), read: read.is_some_and(|upto| seq <= upto) };
            Ok(seqs.into_iter().rev().take(limit as usize).map(notice).collect())
        })
    }
}
