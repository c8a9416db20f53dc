//! API keys: made, and read. How they end is in [`key_ends`](crate::key_ends), what they buy in [`buy`](crate::buy), who uses
//! them in [`key_users`](crate::key_users).

use hallpass_model::api_key::{
    ApiKey, Excepted, KeySecret, NETWORKS_MAX, NotExcepted, RESOURCES_MAX, judge_exception,
};
use hallpass_model::client::ClientKind;
use hallpass_model::cut::{Stamp, Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::lifetimes::{API_KEY, API_KEY_MAX};
use hallpass_model::network::Network;
use hallpass_model::principal::{Handle, OrgLimits, Owner, Standing};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{self, Secret};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::change::{Change, Tx};
use crate::cuts::{any_of, last_made};
use crate::directory::{NotAdded, may_own, org_accepts, registered};
use crate::error::StoreError;
use crate::open::Store;
use crate::orgs::find_org;
use crate::page::Page;
use crate::sql::{Columns, Sql, owner_columns, unreadable};
use crate::teams::has_active_member;

/// Makes a key.
#[derive(Debug, Clone)]
pub struct AddApiKey {
    /// Where.
    pub org: OrgId,
    /// Its short name.
    pub handle: Handle,
    /// Who comes in by it.
    pub client: ClientId,
    /// Who answers for it; whoever answers for the client where nobody is named.
    pub owner: Option<Owner>,
    /// The most that its tokens allow.
    pub scopes: Scopes,
    /// The APIs they are for.
    pub resources: Vec<String>,
    /// Where it may come from; anywhere if there is none.
    pub networks: Vec<Network>,
    /// How long it lives; the table's, or the org's if that is less, where nothing is said.
    pub lasts: Option<Lifetime>,
    /// By which exception it may be sent to its APIs directly.
    pub direct: Option<Excepted>,
    /// By which exception there is a key at all; an org may require one.
    pub exception: Option<Excepted>,
}

/// A secret that was just made. It is nowhere else.
#[derive(Debug)]
pub struct KeyMade {
    /// The key it is of.
    pub key: CredentialId,
    /// Its own id.
    pub id: CredentialId,
    /// The secret.
    pub secret: Secret<secret::ApiKey>,
    /// When it is over.
    pub expires: Timestamp,
}

/// Why a key was not made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyNotAdded {
    /// For the same reasons as anything else.
    #[error(transparent)]
    Directory(#[from] NotAdded),
    /// There is no such client in this org.
    #[error("there is no such client")]
    NoClient,
    /// Nobody comes in as a client of this kind.
    #[error("only a `ci` or a `service` client comes in by a key")]
    Kind,
    /// The client may not ask for one of the scopes, or none of the APIs knows it, or there is none.
    #[error("the client may not ask for one of the scopes, or none of the resources knows it")]
    Scope,
    /// There is no such API in use.
    #[error("there is no resource `{0}` in use")]
    NoResource(String),
    /// They are of several environments.
    #[error("the resources are of several environments")]
    Environments,
    /// The client is of another.
    #[error("the client is of another environment than the resources")]
    Environment,
    /// Too many APIs, or none.
    #[error("a key is for 1 to {RESOURCES_MAX} resources")]
    Resources,
    /// Too many networks.
    #[error("a key has {NETWORKS_MAX} source networks at most")]
    Networks,
    /// Longer than any key lives here.
    #[error("an API key lives {0} at most here")]
    TooLong(Lifetime),
    /// The exception that lets it be sent is over before it begins, or outlives the key.
    #[error("an exception lasts no longer than the key, and not for no time at all")]
    Direct,
    /// There is no exception for it, or too short a one.
    #[error(transparent)]
    Exception(#[from] NotExcepted),
}

impl Change for AddApiKey {
    type Outcome = Result<KeyMade, KeyNotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let judged = match self.judge(tx)? {
            Ok(judged) => judged,
            Err(why) => return Ok(Err(why)),
        };
        let id = CredentialId::new(tx.now, tx.entropy());
        let (person, team) = owner_columns(&judged.owner);
        let networks: Vec<String> = self.networks.iter().map(Network::to_string).collect();
        let excepted = |excepted: &Option<Excepted>| {
            excepted
                .as_ref()
                .map(|excepted| (excepted.until.millis(), excepted.reason.as_str().to_owned()))
                .unzip()
        };
        let (direct_until, direct_reason) = excepted(&self.direct);
        let (exception_until, exception_reason) = excepted(&self.exception);
        tx.db().run(
            "INSERT INTO api_keys (id, org, handle, client, owner_person, owner_team, environment, scopes, resources, \
             networks, direct_until, direct_reason, exception_until, exception_reason, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            (
                id.bytes(),
                self.org.bytes(),
                self.handle.as_str(),
                self.client.bytes(),
                person,
                team,
                judged.environment.as_str(),
                self.scopes.to_string(),
                self.resources.join("\n"),
                networks.join(" "),
                direct_until,
                direct_reason,
                exception_until,
                exception_reason,
                tx.now.millis(),
            ),
        )?;
        let made = insert_secret(tx, id, None, judged.expires)?;
        let detail = registered("api_key", self.handle.as_str(), Some(&judged.owner))
            .with(Key::SCOPE, self.scopes.to_string())
            .with(Key::URL, self.resources.join(" "))
            .with(Key::ENVIRONMENT, judged.environment.to_string())
            .with(Key::EXPIRES, made.expires.millis());
        let entry = Entry {
            org: Some(self.org),
            client: Some(self.client),
            credential: Some(id),
            ..tx.entry(Event::Registered)
        };
        tx.record(Entry { detail, ..entry.clone() });
        for (rule, excepted) in [("static_credential", &self.exception), ("api_key_direct", &self.direct)] {
            if let Some(excepted) = excepted {
                record_exception(tx, &entry, rule, excepted);
            }
        }
        Ok(Ok(made))
    }
}

struct Judged {
    owner: Owner,
    environment: Handle,
    expires: Timestamp,
}

impl AddApiKey {
    fn judge(&self, tx: &Tx<'_>) -> Result<Result<Judged, KeyNotAdded>, StoreError> {
        if let Err(why) = org_accepts(tx.db(), self.org)? {
            return Ok(Err(why.into()));
        }
        let client = tx.db().one(
            "SELECT kind, scopes, any_scope, owner_person, owner_team, environment FROM clients WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes()),
            |row| {
                let may_ask = (row.word::<Scopes>(1)?, row.get::<_, bool>(2)?);
                Ok((row.json::<ClientKind>(0)?, may_ask, row.owner(3)?, row.maybe_word::<Handle>(5)?))
            },
        )?;
        let Some((kind, (scopes, any_scope), its_owner, its_environment)) = client else {
            return Ok(Err(KeyNotAdded::NoClient));
        };
        let owner = self.owner.unwrap_or(its_owner);
        if let Err(why) = may_own(tx.db(), self.org, &owner)? {
            return Ok(Err(why.into()));
        }
        if !matches!(kind, ClientKind::Ci | ClientKind::Service) {
            return Ok(Err(KeyNotAdded::Kind));
        }
        if self.networks.len() > NETWORKS_MAX {
            return Ok(Err(KeyNotAdded::Networks));
        }
        let (environment, known) = match self.apis(tx.db())? {
            Ok(apis) => apis,
            Err(why) => return Ok(Err(why)),
        };
        // Used, it would be refused; whoever makes it learns that now.
        if its_environment.is_some_and(|its| its != environment) {
            return Ok(Err(KeyNotAdded::Environment));
        }
        let asks_too_much = !any_scope && !scopes.include(&self.scopes);
        if self.scopes.is_empty() || asks_too_much || !known.include(&self.scopes) {
            return Ok(Err(KeyNotAdded::Scope));
        }
        let expires = match expiry(tx, self.org, self.lasts)? {
            Ok(expires) => expires,
            Err(most) => return Ok(Err(KeyNotAdded::TooLong(most))),
        };
        if self.direct.as_ref().is_some_and(|direct| direct.until <= tx.now || direct.until > expires) {
            return Ok(Err(KeyNotAdded::Direct));
        }
        let requires = requires_exception(tx.db(), self.org)?;
        if let Err(why) = judge_exception(requires, self.exception.as_ref(), expires) {
            return Ok(Err(why.into()));
        }
        if find_by_handle(tx.db(), self.org, self.handle.as_str())?.is_some() {
            return Ok(Err(NotAdded::Taken.into()));
        }
        Ok(Ok(Judged { owner, environment, expires }))
    }

    /// The one environment of its APIs, and the scopes they know.
    fn apis(&self, db: &Connection) -> Result<Result<(Handle, Scopes), KeyNotAdded>, StoreError> {
        if self.resources.is_empty() || self.resources.len() > RESOURCES_MAX {
            return Ok(Err(KeyNotAdded::Resources));
        }
        let mut found: Vec<(Handle, Scopes)> = Vec::new();
        for url in &self.resources {
            let api = db.one(
                "SELECT environment, scopes FROM resources WHERE org = ?1 AND url = ?2 AND disabled IS NULL",
                (self.org.bytes(), url),
                |row| Ok((row.word::<Handle>(0)?, row.word::<Scopes>(1)?)),
            )?;
            match api {
                None => return Ok(Err(KeyNotAdded::NoResource(url.clone()))),
                Some(api) => found.push(api),
            }
        }
        let environment = found[0].0.clone();
        if found.iter().any(|(other, _)| *other != environment) {
            return Ok(Err(KeyNotAdded::Environments));
        }
        let known: Vec<&str> = found.iter().flat_map(|(_, scopes)| scopes.iter()).collect();
        let known = self.scopes.iter().filter(|scope| known.contains(scope));
        Ok(Ok((environment, Scopes::collect(known).expect("they are some of its own"))))
    }
}

/// When a secret that is made now is over; how long it lives at most where it was to live longer.
pub(crate) fn expiry(
    tx: &Tx<'_>,
    org: OrgId,
    lasts: Option<Lifetime>,
) -> Result<Result<Timestamp, Lifetime>, StoreError> {
    let limits = find_org(tx.db(), org)?.map_or(OrgLimits::default(), |org| org.limits);
    let most = limits.api_key();
    let lasts = lasts.unwrap_or_else(|| API_KEY.min(most));
    Ok(if lasts > most || lasts == Lifetime::millis(0) { Err(most) } else { Ok(tx.now + lasts) })
}

/// Whether an org has long-lived secrets only by exception.
pub(crate) fn requires_exception(db: &Connection, org: OrgId) -> Result<bool, StoreError> {
    Ok(find_org(db, org)?.is_some_and(|org| org.requires.static_by_exception))
}

pub(crate) fn insert_secret(
    tx: &mut Tx<'_>,
    key: CredentialId,
    succeeds: Option<CredentialId>,
    expires: Timestamp,
) -> Result<KeyMade, StoreError> {
    let (secret, fingerprint) = tx.new_secret::<secret::ApiKey>(Prefix::ApiKey);
    let id = CredentialId::new(tx.now, tx.entropy());
    let stamp = tx.issue_stamp();
    tx.db().run(
        "INSERT INTO api_key_secrets (id, key, fingerprint, succeeds, stamp, created, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            id.bytes(),
            key.bytes(),
            &fingerprint.0,
            succeeds.as_ref().map(CredentialId::bytes),
            stamp.0,
            tx.now.millis(),
            expires.millis(),
        ),
    )?;
    Ok(KeyMade { key, id, secret, expires })
}

/// An exception is on record with its end; its reason is free text, and so may be erased.
fn record_exception(tx: &mut Tx<'_>, about: &Entry, rule: &'static str, excepted: &Excepted) {
    let detail = Detail::new().with(Key::RULE, rule).with(Key::EXPIRES, excepted.until.millis());
    let entry = Entry { event: Event::Excepted, detail, ..about.clone() };
    tx.record_personal(entry, &[(Field::Purpose, excepted.reason.as_str())]);
}

/// An entry about a key.
pub(crate) fn about(tx: &Tx<'_>, event: Event, key: &ApiKey) -> Entry {
    Entry { org: Some(key.org), client: Some(key.client), credential: Some(key.id), ..tx.entry(event) }
}

impl Store {
    /// The key of this short name.
    pub async fn find_api_key_by_handle(
        &self,
        org: OrgId,
        handle: &str,
    ) -> Result<Option<ApiKey>, StoreError> {
        self.read(|db| find_by_handle(db, org, handle))
    }

    /// The keys of an org, by short name, after the one given.
    pub async fn list_api_keys(
        &self,
        org: OrgId,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Page<ApiKey>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT id, org, handle, client, owner_person, owner_team, environment, scopes, resources, networks, \
                 direct_until, direct_reason, exception_until, exception_reason, migrating_since, ends, created \
                 FROM api_keys WHERE org = ?1 AND handle > ?2 ORDER BY handle LIMIT ?3",
                (org.bytes(), after.map_or("", Handle::as_str), Page::<ApiKey>::rows(limit)),
                read_key,
            )
        })?;
        Ok(Page::of(rows, limit))
    }

    /// The secrets of a key, oldest first: its line.
    pub async fn api_key_secrets(&self, key: &ApiKey) -> Result<Vec<KeySecret>, StoreError> {
        self.read(|db| secrets_of(db, key))
    }

    /// The key that this secret is of, if it is one of this org's.
    pub async fn find_api_key_by_secret(
        &self,
        org: OrgId,
        secret: &Secret<secret::ApiKey>,
    ) -> Result<Option<(ApiKey, KeySecret)>, StoreError> {
        let fingerprint = self.inner.keys.fingerprint(secret);
        self.read(|db| find_by_fingerprint(db, org, &fingerprint.0))
    }
}

fn find_by_handle(db: &Connection, org: OrgId, handle: &str) -> Result<Option<ApiKey>, StoreError> {
    db.one(
        "SELECT id, org, handle, client, owner_person, owner_team, environment, scopes, resources, networks, \
         direct_until, direct_reason, exception_until, exception_reason, migrating_since, ends, created \
         FROM api_keys WHERE org = ?1 AND handle = ?2",
        (org.bytes(), handle),
        read_key,
    )
}

pub(crate) fn find(db: &Connection, org: OrgId, key: CredentialId) -> Result<Option<ApiKey>, StoreError> {
    db.one(
        "SELECT id, org, handle, client, owner_person, owner_team, environment, scopes, resources, networks, \
         direct_until, direct_reason, exception_until, exception_reason, migrating_since, ends, created \
         FROM api_keys WHERE id = ?1 AND org = ?2",
        (key.bytes(), org.bytes()),
        read_key,
    )
}

/// The keys by which somebody comes in as this client, the newest first; so many at most.
pub(crate) fn of_client(db: &Connection, client: ClientId, limit: u32) -> Result<Vec<ApiKey>, StoreError> {
    db.all(
        "SELECT id, org, handle, client, owner_person, owner_team, environment, scopes, resources, networks, \
         direct_until, direct_reason, exception_until, exception_reason, migrating_since, ends, created \
         FROM api_keys WHERE client = ?1 ORDER BY id DESC LIMIT ?2",
        (client.bytes(), limit),
        read_key,
    )
}

/// The client that somebody with this key, or with this secret of one, comes in as.
pub(crate) fn client_of(db: &Connection, id: CredentialId) -> Result<Option<ClientId>, StoreError> {
    let key = db.one("SELECT key FROM api_key_secrets WHERE id = ?1", [id.bytes()], |row| row.id(0))?;
    let key: CredentialId = key.unwrap_or(id);
    db.one("SELECT client FROM api_keys WHERE id = ?1", [key.bytes()], |row| row.id(0))
}

/// The secret of this fingerprint and its key, dead or alive.
pub(crate) fn find_by_fingerprint(
    db: &Connection,
    org: OrgId,
    fingerprint: &[u8; 32],
) -> Result<Option<(ApiKey, KeySecret)>, StoreError> {
    let found: Option<(CredentialId, CredentialId)> =
        db.one("SELECT key, id FROM api_key_secrets WHERE fingerprint = ?1", [fingerprint], |row| {
            Ok((row.id(0)?, row.id(1)?))
        })?;
    let Some((key, secret)) = found else { return Ok(None) };
    let Some(key) = find(db, org, key)? else { return Ok(None) };
    let found = secrets_of(db, &key)?.into_iter().find(|one| one.id == secret);
    Ok(found.map(|secret| (key, secret)))
}

/// A key's secrets, oldest first, with what any cut has done to them.
pub(crate) fn secrets_of(db: &Connection, key: &ApiKey) -> Result<Vec<KeySecret>, StoreError> {
    let rows = db.all(
        "SELECT id, key, succeeds, created, expires, revoked, why, stamp FROM api_key_secrets WHERE key = ?1 ORDER BY id",
        [key.id.bytes()],
        |row| Ok((read_secret(row)?, row.stamp(7)?)),
    )?;
    rows.into_iter().map(|(secret, stamp)| as_cut(db, key, secret, stamp)).collect()
}

/// What a cut on another axis than its own has done to a secret. Nothing lives longer than such a cut is kept.
fn as_cut(db: &Connection, key: &ApiKey, secret: KeySecret, stamp: Stamp) -> Result<KeySecret, StoreError> {
    const { assert!(API_KEY_MAX.as_millis() <= hallpass_model::lifetimes::SESSION_ABSOLUTE.as_millis()) };
    if secret.revoked.is_some() {
        return Ok(secret);
    }
    let targets = [Target::Org(key.org), Target::Client(key.client)];
    let Some(why) = any_of(db, targets, stamp)? else { return Ok(secret) };
    Ok(KeySecret { revoked: Some((last_made(db, targets)?.unwrap_or(secret.created), why)), ..secret })
}

fn read_secret(row: &Row<'_>) -> rusqlite::Result<KeySecret> {
    let revoked = match row.maybe_time(5)? {
        Some(at) => Some((at, row.text(6)?.parse::<Why>().map_err(|()| unreadable(6))?)),
        None => None,
    };
    Ok(KeySecret {
        id: row.id(0)?,
        key: row.id(1)?,
        succeeds: row.maybe_id(2)?,
        created: row.time(3)?,
        expires: row.time(4)?,
        revoked,
    })
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let networks: Result<Vec<Network>, _> = row.text(9)?.split_ascii_whitespace().map(str::parse).collect();
    Ok(ApiKey {
        id: row.id(0)?,
        org: row.id(1)?,
        handle: row.word(2)?,
        client: row.id(3)?,
        owner: row.owner(4)?,
        environment: row.word(6)?,
        scopes: row.word(7)?,
        resources: row.text(8)?.lines().map(str::to_owned).collect(),
        networks: networks.map_err(|_| unreadable(9))?,
        direct: excepted(row, 10)?,
        exception: excepted(row, 12)?,
        migrating_since: row.maybe_time(14)?,
        ends: row.maybe_time(15)?,
        created: row.time(16)?,
    })
}

fn excepted(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Excepted>> {
    let Some(until) = row.maybe_time(at)? else { return Ok(None) };
    let reason = Purpose::parse(&row.text(at + 1)?).ok_or_else(|| unreadable(at + 1))?;
    Ok(Some(Excepted { reason, until }))
}

/// Whether whoever answers for a key is there to do so, its client is in use, and its org.
pub(crate) fn is_in_use(db: &Connection, key: &ApiKey) -> Result<bool, StoreError> {
    let in_use: Option<bool> = db.one(
        "SELECT o.disabled IS NULL AND c.disabled IS NULL FROM clients c JOIN orgs o ON o.id = c.org WHERE c.id = ?1",
        [key.client.bytes()],
        |row| row.get(0),
    )?;
    if in_use != Some(true) {
        return Ok(false);
    }
    let (person, team) = owner_columns(&key.owner);
    let standing: Option<Standing> = match (person, team) {
        (Some(person), _) => {
            db.one("SELECT disabled FROM principals WHERE id = ?1", [person], |row| row.standing(0))?
        }
        (None, Some(team)) => {
            db.one("SELECT disabled FROM teams WHERE id = ?1", [team], |row| row.standing(0))?
        }
        (None, None) => None,
    };
    let somebody = match key.owner {
        Owner::Person(_) => true,
        Owner::Team(team) => has_active_member(db, team)?,
    };
    Ok(somebody && standing.is_some_and(Standing::is_active))
}
