//! Tenants: each an issuer of its own, born with its administrators, its signing key and `hallpass-cli`.

use std::sync::Arc;

use hallpass_model::client::{ClientKind, HALLPASS_CLI};
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, OrgId, PrincipalId, TeamId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::principal::{ADMINISTRATORS, Handle, Org, OrgLimits, Requirements};
use hallpass_model::time::Lifetime;
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, org_accepts, registered};
use crate::error::StoreError;
use crate::keys::{SigningKeyRow, insert_key};
use crate::open::Store;
use crate::page::Page;
use crate::sql::{Columns, Sql, unreadable};
use crate::step_up::{demand_changed, demand_column};

/// Adds an org, with its first administrator, their team, its signing key and its public client.
#[derive(Debug)]
pub struct AddOrg {
    /// The path segment of its issuer URL ([`Handle::org_name`]).
    pub name: Handle,
    /// The name shown to people.
    pub title: String,
    /// The first administrator: short name, and name shown to people.
    pub administrator: (Handle, String),
    /// The key it signs with.
    pub signing: SigningKeyRow,
}

/// What an org began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrgAdded {
    /// Its id.
    pub org: OrgId,
    /// Its first administrator.
    pub administrator: PrincipalId,
}

/// The name is in use, or was: names of orgs are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name is taken: names of orgs are never reused")]
pub struct Taken;

impl Change for AddOrg {
    type Outcome = Result<OrgAdded, Taken>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        add_org(tx, self)
    }
}

/// The same, inside another change.
pub(crate) fn add_org(tx: &mut Tx<'_>, add: AddOrg) -> Result<Result<OrgAdded, Taken>, StoreError> {
    let taken = tx.db().one("SELECT 1 FROM orgs WHERE name = ?1", [add.name.as_str()], |_| Ok(()))?;
    if taken.is_some() {
        return Ok(Err(Taken));
    }
    let org = OrgId::new(tx.now, tx.entropy());
    let team = TeamId::new(tx.now, tx.entropy());
    tx.db().run(
        "INSERT INTO orgs (id, name, title, administrators, created) VALUES (?1, ?2, ?3, ?4, ?5)",
        (org.bytes(), add.name.as_str(), &add.title, team.bytes(), tx.now.millis()),
    )?;
    let detail = registered("org", add.name.as_str(), None);
    tx.record(Entry { org: Some(org), detail, ..tx.entry(Event::Registered) });

    tx.db().run(
        "INSERT INTO teams (id, org, handle, created) VALUES (?1, ?2, ?3, ?4)",
        (team.bytes(), org.bytes(), ADMINISTRATORS, tx.now.millis()),
    )?;
    let detail = registered("team", ADMINISTRATORS, None).with(Key::TEAM, team.to_string());
    tx.record(Entry { org: Some(org), detail, ..tx.entry(Event::Registered) });

    let administrator =
        crate::people::insert_person(tx, org, team, &add.administrator.0, &add.administrator.1)?;
    tx.db()
        .run("INSERT INTO members (team, person) VALUES (?1, ?2)", (team.bytes(), administrator.bytes()))?;
    insert_key(tx, org, &add.signing)?;
    insert_hallpass_cli(tx, org, administrator)?;
    tx.announce(News::Directory);
    Ok(Ok(OrgAdded { org, administrator }))
}

fn insert_hallpass_cli(tx: &mut Tx<'_>, org: OrgId, owner: PrincipalId) -> Result<(), StoreError> {
    let id = ClientId::new(tx.now, tx.entropy());
    let owner = hallpass_model::principal::Owner::Person(owner);
    crate::clients::insert_client(
        tx,
        id,
        &crate::clients::AddClient {
            org,
            handle: HALLPASS_CLI.parse().expect("it is a short name"),
            name: "Hallpass command line".to_owned(),
            kind: ClientKind::Cli,
            owner,
            authentication: hallpass_model::client::ClientAuthentication::None,
            grant_types: ClientKind::Cli.grant_types().to_vec(),
            redirect_uris: HALLPASS_CLI_REDIRECTS.iter().map(|uri| (*uri).to_owned()).collect(),
            scopes: crate::clients::always_asked(),
            any_scope: true,
            device_flow_barred: hallpass_model::wire::oauth::Scopes::none(),
            older_assertions_until: None,
            environment: None,
            secrets_until: None,
        },
    )
}

/// Where `hallpass-cli` listens: the loopback literals, on any port (RFC 8252, section 7.3).
const HALLPASS_CLI_REDIRECTS: [&str; 2] = ["http://127.0.0.1/callback", "http://[::1]/callback"];

/// Shortens lifetimes in an org and narrows where keys may rest, or gives both back.
#[derive(Debug, Clone, Copy)]
pub struct SetOrgLimits {
    /// The org.
    pub org: OrgId,
    /// All its limits.
    pub limits: OrgLimits,
}

impl Change for SetOrgLimits {
    /// `None` if there is no such org.
    type Outcome = Option<()>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let seconds = |limit: Option<Lifetime>| limit.map(Lifetime::as_seconds);
        let changed = tx.db().run(
            "UPDATE orgs SET access_token = ?2, session_idle = ?3, session_absolute = ?4, rungs = ?5, api_key = ?6 \
             WHERE id = ?1",
            (
                self.org.bytes(),
                seconds(self.limits.access_token),
                seconds(self.limits.session_idle),
                seconds(self.limits.session_absolute),
                self.limits.rungs.map(|rungs| rungs.to_string()),
                seconds(self.limits.api_key),
            ),
        )?;
        if changed == 0 {
            return Ok(None);
        }
        let detail = Detail::new().with(Key::KIND, "org").with(Key::CHANGE, "limits");
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Changed) });
        tx.announce(News::Directory);
        Ok(Some(()))
    }
}

/// Says what an org requires of everything in it, in place of what it did. What is there already and does not meet it is not
/// cut: it is refused where it next asks, or shown to whoever checks.
#[derive(Debug, Clone, Copy)]
pub struct SetOrgRequirements {
    /// The org.
    pub org: OrgId,
    /// All it requires: nothing, by default.
    pub requires: Requirements,
}

impl Change for SetOrgRequirements {
    /// `None` if there is no such org.
    type Outcome = Option<()>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Requirements { demand, static_by_exception } = self.requires;
        let changed = tx.db().run(
            "UPDATE orgs SET demand = ?2, static_by_exception = ?3 WHERE id = ?1",
            (self.org.bytes(), demand_column(&demand), static_by_exception),
        )?;
        if changed == 0 {
            return Ok(None);
        }
        let detail = demand_changed("org", &demand);
        let detail = match static_by_exception {
            true => detail.with(Key::RULE, "static_credential"),
            false => detail,
        };
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Changed) });
        tx.announce(News::Directory);
        Ok(Some(()))
    }
}

/// Takes an org out of use, which also cuts everything issued in it, or puts it back into use.
#[derive(Debug, Clone, Copy)]
pub struct SetOrgStanding {
    /// The org.
    pub org: OrgId,
    /// Whether it is in use from now on.
    pub active: bool,
}

impl Change for SetOrgStanding {
    type Outcome = StandingSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let standing = tx
            .db()
            .one("SELECT disabled FROM orgs WHERE id = ?1", [self.org.bytes()], |row| row.standing(0))?;
        let Some(standing) = standing else { return Ok(StandingSet::NotThere) };
        if standing.is_active() == self.active {
            return Ok(StandingSet::Already(standing));
        }
        let standing = crate::directory::standing_of(self.active, tx.now);
        tx.db().run(
            "UPDATE orgs SET disabled = ?2 WHERE id = ?1",
            (self.org.bytes(), crate::sql::disabled_column(standing)),
        )?;
        let entry = Entry { org: Some(self.org), ..tx.entry(Event::Disabled) };
        crate::directory::record_standing(tx, entry, "org", self.active);
        if !self.active {
            crate::cuts::cut(tx, Some(self.org), Target::Org(self.org), Why::Disabled)?;
        }
        tx.announce(News::Directory);
        Ok(StandingSet::Done(standing))
    }
}

/// Gives an org whose administrators are out of reach a new one. Recorded as `recovered`.
#[derive(Debug, Clone)]
pub struct RecoverAdministrator {
    /// The org.
    pub org: OrgId,
    /// The person's short name. If there is such a person they are put back into use and into the team.
    pub handle: Handle,
    /// The name shown to people, where the person is new.
    pub name: String,
}

impl Change for RecoverAdministrator {
    type Outcome = Result<PrincipalId, NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = org_accepts(tx.db(), self.org)? {
            return Ok(Err(why));
        }
        let team: TeamId = tx
            .db()
            .one("SELECT administrators FROM orgs WHERE id = ?1", [self.org.bytes()], |row| row.id(0))?
            .ok_or_else(|| StoreError::Damaged("an org without administrators".into()))?;
        let known: Option<PrincipalId> = tx.db().one(
            "SELECT id FROM principals WHERE org = ?1 AND handle = ?2",
            (self.org.bytes(), self.handle.as_str()),
            |row| row.id(0),
        )?;
        let person = match known {
            Some(person) => {
                tx.db().run("UPDATE principals SET disabled = NULL WHERE id = ?1", [person.bytes()])?;
                person
            }
            None => crate::people::insert_person(tx, self.org, team, &self.handle, &self.name)?,
        };
        tx.db().run("UPDATE teams SET disabled = NULL WHERE id = ?1", [team.bytes()])?;
        tx.db().run(
            "INSERT INTO members (team, person) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (team.bytes(), person.bytes()),
        )?;
        let entry = Entry { org: Some(self.org), principal: Some(person), ..tx.entry(Event::Recovered) };
        tx.record_personal(entry, &[(Field::Name, &self.name)]);
        tx.announce(News::Directory);
        Ok(Ok(person))
    }
}

impl Store {
    /// The org of this name.
    pub async fn find_org_by_name(&self, name: &str) -> Result<Option<Arc<Org>>, StoreError> {
        self.remember(crate::readers::Known::OrgName(name.to_owned()), |db| {
            db.one(
                "SELECT id, name, title, administrators, access_token, session_idle, session_absolute, disabled, created, \
                 rungs, api_key, demand, static_by_exception \
                 FROM orgs WHERE name = ?1",
                [name],
                read_org,
            )
        })
    }

    /// The org of this id.
    pub async fn find_org(&self, org: OrgId) -> Result<Option<Org>, StoreError> {
        self.read(|db| find_org(db, org))
    }

    /// Every org, by name, after the one given.
    pub async fn list_orgs(&self, after: Option<&Handle>, limit: u32) -> Result<Page<Org>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT id, name, title, administrators, access_token, session_idle, session_absolute, disabled, created, \
                 rungs, api_key, demand, static_by_exception \
                 FROM orgs WHERE name > ?1 ORDER BY name LIMIT ?2",
                (after.map_or("", Handle::as_str), Page::<Org>::rows(limit)),
                read_org,
            )
        })?;
        Ok(Page::of(rows, limit))
    }
}

pub(crate) fn find_org(db: &Connection, org: OrgId) -> Result<Option<Org>, StoreError> {
    db.one(
        "SELECT id, name, title, administrators, access_token, session_idle, session_absolute, disabled, created, \
                 rungs, api_key, demand, static_by_exception \
         FROM orgs WHERE id = ?1",
        [org.bytes()],
        read_org,
    )
}

fn read_org(row: &Row<'_>) -> rusqlite::Result<Org> {
    Ok(Org {
        id: row.id(0)?,
        name: row.word(1)?,
        title: row.text(2)?,
        administrators: row.id(3)?,
        limits: OrgLimits {
            api_key: row.get::<_, Option<u32>>("api_key")?.map(Lifetime::seconds),
            ..read_limits(row, 4)?
        },
        requires: Requirements {
            demand: row.maybe_json(row.as_ref().column_index("demand")?)?.unwrap_or_default(),
            static_by_exception: row.get("static_by_exception")?,
        },
        standing: row.standing(7)?,
        created: row.time(8)?,
    })
}

/// The three lifetimes that an org may have shortened, from this column on; and its `rungs`, wherever they stand. What it
/// has shortened API keys to is read where one is made.
pub(crate) fn read_limits(row: &Row<'_>, at: usize) -> rusqlite::Result<OrgLimits> {
    Ok(OrgLimits {
        access_token: row.maybe_lifetime(at)?,
        session_idle: row.maybe_lifetime(at + 1)?,
        session_absolute: row.maybe_lifetime(at + 2)?,
        api_key: None,
        rungs: match row.get::<_, Option<String>>("rungs")? {
            // A word that this version does not know allows nothing by itself, and the others stand. With none left,
            // nothing may be said of where keys may rest.
            Some(words) => Some(words.parse().map_err(|_| unreadable(at + 3))?),
            None => None,
        },
    })
}
