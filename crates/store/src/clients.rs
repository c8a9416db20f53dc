//! Software that asks for credentials.

use std::sync::Arc;

use hallpass_model::client::{Client, ClientAuthentication, ClientKind, ClientSecrets};
use hallpass_model::id::{ClientId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{CLIENT_SECRETS, OLDER_ASSERTIONS};
use hallpass_model::principal::{Handle, Owner};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, accepts_from, registered};
use crate::error::StoreError;
use crate::open::Store;
use crate::owners::{OwnedId, set_standing};
use crate::page::Page;
use crate::readers::Known;
use crate::sql::{Columns, Sql, json, owner_columns};

/// Registers a client.
#[derive(Debug, Clone)]
pub struct AddClient {
    /// Where.
    pub org: OrgId,
    /// Its `client_id` on the wire.
    pub handle: Handle,
    /// The name shown to people.
    pub name: String,
    /// Where it runs.
    pub kind: ClientKind,
    /// Who answers for it.
    pub owner: Owner,
    /// How it proves that it is itself.
    pub authentication: ClientAuthentication,
    /// The grant types it may use: some of its kind's.
    pub grant_types: Vec<GrantType>,
    /// Where the authorization endpoint may send its answer.
    pub redirect_uris: Vec<String>,
    /// The most it may ask for.
    pub scopes: Scopes,
    /// Whether it may ask for whatever the org's resources define, besides.
    pub any_scope: bool,
    /// Scopes that may not be asked for through the device flow.
    pub device_flow_barred: Scopes,
    /// Until when its assertions may be of the form before RFC 10070: recorded as the exception that it is.
    pub older_assertions_until: Option<Timestamp>,
    /// Until when it may prove itself by a secret, if it may: likewise. [`RotateClientSecret`] makes one.
    ///
    /// [`RotateClientSecret`]: crate::RotateClientSecret
    pub secrets_until: Option<Timestamp>,
    /// The environment whose resources it may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
}

impl Change for AddClient {
    type Outcome = Result<ClientId, NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = accepts_from(tx.db(), self.org, &self.owner)? {
            return Ok(Err(why));
        }
        if !self.grant_types.iter().all(|grant_type| self.kind.grant_types().contains(grant_type)) {
            return Ok(Err(NotAdded::GrantType));
        }
        if self.older_assertions_until.is_some_and(|until| until > tx.now + OLDER_ASSERTIONS) {
            return Ok(Err(NotAdded::ExceptionTooLong));
        }
        if self.secrets_until.is_some_and(|until| until > tx.now + CLIENT_SECRETS) {
            return Ok(Err(NotAdded::ExceptionTooLong));
        }
        if self.secrets_until.is_some() && self.kind != ClientKind::Service {
            return Ok(Err(NotAdded::NoSecretKeeper));
        }
        if self.secrets_until.is_none() && self.authentication == ClientAuthentication::Secret {
            return Ok(Err(NotAdded::NoException));
        }
        if find_by_handle(tx.db(), self.org, self.handle.as_str())?.is_some() {
            return Ok(Err(NotAdded::Taken));
        }
        let id = ClientId::new(tx.now, tx.entropy());
        insert_client(tx, id, &self)?;
        tx.announce(News::Directory);
        Ok(Ok(id))
    }
}

/// A client's keys as the columns `jwks` and `jwks_uri`.
pub(crate) fn key_columns(authentication: &ClientAuthentication) -> (Option<String>, Option<&str>) {
    match authentication {
        ClientAuthentication::None | ClientAuthentication::Secret => (None, None),
        ClientAuthentication::PrivateKeyJwt(keys) => (Some(json(keys)), None),
        ClientAuthentication::PrivateKeyJwtAt(url) => (None, Some(url.as_str())),
    }
}

/// Writes the row and its record. The short name must be free, the owner checked.
pub(crate) fn insert_client(tx: &mut Tx<'_>, id: ClientId, add: &AddClient) -> Result<(), StoreError> {
    let (person, team) = owner_columns(&add.owner);
    let (jwks, jwks_uri) = key_columns(&add.authentication);
    let grant_types: Vec<&str> = add.grant_types.iter().map(GrantType::text).collect();
    tx.db().run(
        "INSERT INTO clients (id, org, handle, name, kind, owner_person, owner_team, jwks, grant_types, redirect_uris, \
         scopes, any_scope, device_flow_barred, older_assertions_until, created, jwks_uri, secrets_until, environment) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        rusqlite::params![
            id.bytes(),
            add.org.bytes(),
            add.handle.as_str(),
            &add.name,
            json(&add.kind),
            person,
            team,
            jwks,
            grant_types.join(" "),
            add.redirect_uris.join("\n"),
            add.scopes.to_string(),
            add.any_scope,
            add.device_flow_barred.to_string(),
            add.older_assertions_until.map(Timestamp::millis),
            tx.now.millis(),
            jwks_uri,
            add.secrets_until.map(Timestamp::millis),
            add.environment.as_ref().map(Handle::as_str),
        ],
    )?;
    let detail = registered("client", add.handle.as_str(), Some(&add.owner))
        .with(Key::GRANT_TYPE, grant_types.join(" "))
        .with(Key::SCOPE, add.scopes.to_string());
    let detail = match &add.environment {
        Some(environment) => detail.with(Key::ENVIRONMENT, environment.to_string()),
        None => detail,
    };
    tx.record(Entry { org: Some(add.org), client: Some(id), detail, ..tx.entry(Event::Registered) });
    if let Some(until) = add.older_assertions_until {
        except(tx, add.org, id, "client_assertion_type", until);
    }
    if let Some(until) = add.secrets_until {
        except(tx, add.org, id, "client_secret", until);
    }
    Ok(())
}

/// Records that a client is let off a rule until then.
pub(crate) fn except(tx: &mut Tx<'_>, org: OrgId, client: ClientId, rule: &'static str, until: Timestamp) {
    let detail = Detail::new().with(Key::RULE, rule).with(Key::EXPIRES, until.millis());
    tx.record(Entry { org: Some(org), client: Some(client), detail, ..tx.entry(Event::Excepted) });
}

/// The scopes of OpenID Connect, which are no resource's.
pub(crate) fn always_asked() -> Scopes {
    Scopes::parse("openid profile offline_access").expect("these are scopes")
}

/// Holds a client to FAPI 2.0's security profile (final, February 2025), or lets it off again.
#[derive(Debug, Clone, Copy)]
pub struct SetClientFapi {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub client: ClientId,
    /// Whether it is from now on.
    pub fapi: bool,
}

/// Why a client cannot be held to it: it would be able to do nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFapi {
    /// There is no such client in this org.
    #[error("there is no such client")]
    NotThere,
    /// It has no key to prove itself by (section 5.3.2.1).
    #[error("it has no key to prove itself by, and nothing else will do")]
    NoKey,
    /// It may prove itself by a secret.
    #[error("it may prove itself by a secret")]
    Secret,
    /// An answer may be sent to an app's private scheme.
    #[error("one of its redirect URIs is neither https nor a loopback literal")]
    Redirect,
}

impl Change for SetClientFapi {
    type Outcome = Result<(), NotFapi>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = tx.db().one(
            "SELECT jwks IS NOT NULL OR jwks_uri IS NOT NULL, secrets_until IS NOT NULL, redirect_uris FROM clients \
             WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes()),
            |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?, row.text(2)?)),
        )?;
        let Some((has_key, has_secret, redirects)) = found else { return Ok(Err(NotFapi::NotThere)) };
        if self.fapi {
            if !has_key {
                return Ok(Err(NotFapi::NoKey));
            }
            if has_secret {
                return Ok(Err(NotFapi::Secret));
            }
            if redirects.lines().any(|uri| !uri.starts_with("https://") && !uri.starts_with("http://")) {
                return Ok(Err(NotFapi::Redirect));
            }
        }
        tx.db().run("UPDATE clients SET fapi = ?2 WHERE id = ?1", (self.client.bytes(), self.fapi))?;
        let detail = Detail::new()
            .with(Key::KIND, "client")
            .with(Key::CHANGE, "fapi")
            .with(Key::REASON, if self.fapi { "held to it" } else { "let off" });
        let entry = tx.entry(Event::Changed);
        tx.record(Entry { org: Some(self.org), client: Some(self.client), detail, ..entry });
        tx.announce(News::Directory);
        Ok(Ok(()))
    }
}

/// Says of which environment's resources a client may have tokens. Those it has live out their minutes.
#[derive(Debug, Clone)]
pub struct SetClientEnvironment {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub client: ClientId,
    /// The environment; any, if there is none.
    pub environment: Option<Handle>,
}

impl Change for SetClientEnvironment {
    /// Whether there is such a client in this org.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let environment = self.environment.as_ref().map(Handle::as_str);
        let changed = tx.db().run(
            "UPDATE clients SET environment = ?3 WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes(), environment),
        )?;
        if changed == 0 {
            return Ok(false);
        }
        let detail = Detail::new()
            .with(Key::KIND, "client")
            .with(Key::CHANGE, "environment")
            .with(Key::ENVIRONMENT, environment.unwrap_or("any").to_owned());
        let entry = tx.entry(Event::Changed);
        tx.record(Entry { org: Some(self.org), client: Some(self.client), detail, ..entry });
        tx.announce(News::Directory);
        Ok(true)
    }
}

/// Takes a client out of use, which also cuts everything issued to it, or puts it back into use.
#[derive(Debug, Clone, Copy)]
pub struct SetClientStanding {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub client: ClientId,
    /// Whether it is in use from now on.
    pub active: bool,
}

impl Change for SetClientStanding {
    type Outcome = StandingSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        set_standing(tx, self.org, OwnedId::Client(self.client), self.active)
    }
}

impl Store {
    /// The client of this `client_id` or short name. Remembered until the directory changes.
    pub async fn find_client_by_handle(
        &self,
        org: OrgId,
        handle: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        self.remember(Known::Client(org, handle.to_owned()), |db| find_by_handle(db, org, handle))
    }

    /// The client that has this `client_id` on the wire: what is no name of its own for it there does not count.
    pub async fn find_client_by_client_id(
        &self,
        org: OrgId,
        client_id: &str,
    ) -> Result<Option<Arc<Client>>, StoreError> {
        let found = self.find_client_by_handle(org, client_id).await?;
        Ok(found.filter(|client| client.client_id() == client_id))
    }

    /// The client of this id.
    pub async fn find_client(&self, client: ClientId) -> Result<Option<Client>, StoreError> {
        self.read(|db| find_by_id(db, client))
    }

    /// The clients of an org, by short name, after the one given.
    pub async fn list_clients(
        &self,
        org: OrgId,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Page<Client>, StoreError> {
        let rows: Vec<Client> = self.read(|db| {
            db.all(
                "SELECT id, org, handle, name, kind, owner_person, owner_team, jwks, grant_types, redirect_uris, scopes, \
                 any_scope, device_flow_barred, older_assertions_until, disabled, created, jwks_uri, secrets_until, \
                 pushed_only, environment, document, fapi FROM clients \
                 WHERE org = ?1 AND handle > ?2 AND name <> '' ORDER BY handle LIMIT ?3",
                (org.bytes(), after.map_or("", Handle::as_str), Page::<Client>::rows(limit)),
                read_client,
            )?
            .into_iter()
            .map(|client| with_secrets(db, client))
            .collect()
        })?;
        Ok(Page::of(rows, limit))
    }
}

pub(crate) fn find_by_id(db: &Connection, client: ClientId) -> Result<Option<Client>, StoreError> {
    db.one(
        "SELECT id, org, handle, name, kind, owner_person, owner_team, jwks, grant_types, redirect_uris, scopes, \
         any_scope, device_flow_barred, older_assertions_until, disabled, created, jwks_uri, secrets_until, \
         pushed_only, environment, document, fapi FROM clients WHERE id = ?1",
        [client.bytes()],
        read_client,
    )?
    .map(|client| with_secrets(db, client))
    .transpose()
}

pub(crate) fn find_by_handle(
    db: &Connection,
    org: OrgId,
    handle: &str,
) -> Result<Option<Client>, StoreError> {
    db.one(
        "SELECT id, org, handle, name, kind, owner_person, owner_team, jwks, grant_types, redirect_uris, scopes, \
         any_scope, device_flow_barred, older_assertions_until, disabled, created, jwks_uri, secrets_until, \
         pushed_only, environment, document, fapi FROM clients WHERE org = ?1 AND (handle = ?2 OR document = ?2)",
        (org.bytes(), handle),
        read_client,
    )?
    .map(|client| with_secrets(db, client))
    .transpose()
}

/// A client with what is kept of its secrets, where it may have any.
fn with_secrets(db: &Connection, mut client: Client) -> Result<Client, StoreError> {
    if let Some(secrets) = &mut client.secrets {
        secrets.kept = crate::client_secrets::kept(db, client.id)?;
    }
    Ok(client)
}

fn read_client(row: &Row<'_>) -> rusqlite::Result<Client> {
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    let secrets_until = row.maybe_time(17)?;
    Ok(Client {
        id: row.id(0)?,
        org: row.id(1)?,
        handle: row.word(2)?,
        document: row.get(20)?,
        fapi: row.get(21)?,
        name: row.text(3)?,
        kind: row.json(4)?,
        owner: row.owner(5)?,
        authentication: match (row.maybe_json(7)?, row.get(16)?, secrets_until) {
            (Some(keys), _, _) => ClientAuthentication::PrivateKeyJwt(keys),
            (None, Some(url), _) => ClientAuthentication::PrivateKeyJwtAt(url),
            (None, None, Some(_)) => ClientAuthentication::Secret,
            (None, None, None) => ClientAuthentication::None,
        },
        grant_types: row.text(8)?.split_ascii_whitespace().map(GrantType::parse).collect(),
        redirect_uris: lines(row.text(9)?),
        scopes: row.word(10)?,
        any_scope: row.get(11)?,
        device_flow_barred: row.word(12)?,
        older_assertions_until: row.maybe_time(13)?,
        pushed_only: row.get(18)?,
        environment: row.maybe_word(19)?,
        secrets: secrets_until.map(|until| ClientSecrets { until, kept: Vec::new() }),
        standing: row.standing(14)?,
        created: row.time(15)?,
    })
}
