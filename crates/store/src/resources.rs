//! APIs that accept tokens.

use std::sync::Arc;

use hallpass_model::client::Resource;
use hallpass_model::id::{ClientId, OrgId, ResourceId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::principal::{Handle, Owner};
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, accepts_from, registered};
use crate::error::StoreError;
use crate::open::Store;
use crate::owners::{OwnedId, set_standing};
use crate::page::Page;
use crate::readers::Known;
use crate::sql::{Columns, Sql, owner_columns};

/// Registers a resource.
#[derive(Debug, Clone)]
pub struct AddResource {
    /// Where.
    pub org: OrgId,
    /// The `aud` of tokens for it: an absolute URL without a fragment. The caller has checked its form.
    pub url: String,
    /// The name shown to people.
    pub name: String,
    /// Who answers for it.
    pub owner: Owner,
    /// `dev`, `stage`, `prod` or another word.
    pub environment: Handle,
    /// The scopes it understands.
    pub scopes: Scopes,
    /// The client that may introspect tokens meant for it.
    pub server: Option<ClientId>,
}

impl Change for AddResource {
    type Outcome = Result<ResourceId, NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = accepts_from(tx.db(), self.org, &self.owner)? {
            return Ok(Err(why));
        }
        if let Some(server) = self.server {
            let ours = tx.db().one(
                "SELECT 1 FROM clients WHERE id = ?1 AND org = ?2",
                (server.bytes(), self.org.bytes()),
                |_| Ok(()),
            )?;
            if ours.is_none() {
                return Ok(Err(NotAdded::NoServer));
            }
        }
        if find_by_url(tx.db(), self.org, &self.url)?.is_some() {
            return Ok(Err(NotAdded::Taken));
        }
        let id = ResourceId::new(tx.now, tx.entropy());
        let (person, team) = owner_columns(&self.owner);
        tx.db().run(
            "INSERT INTO resources (id, org, url, name, owner_person, owner_team, environment, scopes, server, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            (
                id.bytes(),
                self.org.bytes(),
                &self.url,
                &self.name,
                person,
                team,
                self.environment.as_str(),
                self.scopes.to_string(),
                self.server.as_ref().map(ClientId::bytes),
                tx.now.millis(),
            ),
        )?;
        let detail = registered("resource", &self.name, Some(&self.owner))
            .with(Key::URL, self.url)
            .with(Key::ENVIRONMENT, self.environment.to_string())
            .with(Key::SCOPE, self.scopes.to_string());
        let entry = tx.entry(Event::Registered);
        tx.record(Entry { org: Some(self.org), client: self.server, resource: Some(id), detail, ..entry });
        tx.announce(News::Directory);
        Ok(Ok(id))
    }
}

/// Takes a resource out of use, so that no tokens are issued for it, or puts it back into use.
#[derive(Debug, Clone, Copy)]
pub struct SetResourceStanding {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub resource: ResourceId,
    /// Whether it is in use from now on.
    pub active: bool,
}

impl Change for SetResourceStanding {
    type Outcome = StandingSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        set_standing(tx, self.org, OwnedId::Resource(self.resource), self.active)
    }
}

impl Store {
    /// The resource of this URL, compared byte for byte. Remembered until the directory changes.
    pub async fn find_resource_by_url(
        &self,
        org: OrgId,
        url: &str,
    ) -> Result<Option<Arc<Resource>>, StoreError> {
        self.remember(Known::Resource(org, url.to_owned()), |db| find_by_url(db, org, url))
    }

    /// The resources of an org, by URL, after the one given.
    pub async fn list_resources(
        &self,
        org: OrgId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Resource>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT id, org, url, name, owner_person, owner_team, environment, scopes, server, disabled, created \
                 FROM resources WHERE org = ?1 AND url > ?2 ORDER BY url LIMIT ?3",
                (org.bytes(), after.unwrap_or_default(), Page::<Resource>::rows(limit)),
                read_resource,
            )
        })?;
        Ok(Page::of(rows, limit))
    }
}

pub(crate) fn find_by_url(db: &Connection, org: OrgId, url: &str) -> Result<Option<Resource>, StoreError> {
    db.one(
        "SELECT id, org, url, name, owner_person, owner_team, environment, scopes, server, disabled, created \
         FROM resources WHERE org = ?1 AND url = ?2",
        (org.bytes(), url),
        read_resource,
    )
}

fn read_resource(row: &Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource {
        id: row.id(0)?,
        org: row.id(1)?,
        url: row.text(2)?,
        name: row.text(3)?,
        owner: row.owner(4)?,
        environment: row.word(6)?,
        scopes: row.word(7)?,
        server: row.maybe_id(8)?,
        standing: row.standing(9)?,
        created: row.time(10)?,
    })
}
