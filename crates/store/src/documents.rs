//! Clients that are known by the address of a document of their own, and where such documents are taken from.
//!
//! 1. An org names the hosts whose documents it takes, what their clients may ask for at most, and who answers for them.
//! 2. A client is admitted when its document was first read: no administrator was asked about it, so it may do nothing that
//!    needs no person's yes.
//! 3. One that nobody ever said yes to is forgotten after [`DOCUMENT_CLIENT_UNUSED`]: strangers buy no room here for long.

use hallpass_model::client::ClientKind;
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, OrgId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::lifetimes::DOCUMENT_CLIENT_UNUSED;
use hallpass_model::principal::{Handle, Owner};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::client_document::{ClientDocument, DocumentHost, DocumentUrl};
use hallpass_model::wire::oauth::{GrantType, Scopes};
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::clients::{AddClient, insert_client, key_columns};
use crate::directory::{NotAdded, accepts_from, may_own, registered, standing_of};
use crate::error::StoreError;
use crate::open::Store;
use crate::owners::{OwnedId, stand};
use crate::sql::{Columns, Sql, disabled_column, owner_columns, unreadable};
use crate::terms::{Terms, most};

/// Clients of this sort in one org that nobody has said yes to: a bound on what strangers can have kept.
pub const DOCUMENT_CLIENTS_MAX: usize = 1_000;

/// A host whose documents are taken, and what its clients may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// Which.
    pub host: DocumentHost,
    /// Who answers for its clients.
    pub owner: Owner,
    /// The most they may ask for, beside who the person is.
    pub scopes: Scopes,
    /// The environment whose resources they may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
    /// Since when.
    pub created: Timestamp,
}

/// Takes a host's documents from now on, or says anew what its clients may have.
#[derive(Debug, Clone)]
pub struct AllowDocuments {
    /// Where.
    pub org: OrgId,
    /// Which host's.
    pub host: DocumentHost,
    /// Who answers for its clients.
    pub owner: Owner,
    /// The most they may ask for, beside who the person is.
    pub scopes: Scopes,
    /// The environment whose resources they may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
}

impl Change for AllowDocuments {
    type Outcome = Result<(), NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = accepts_from(tx.db(), self.org, &self.owner)? {
            return Ok(Err(why));
        }
        let terms = self.terms();
        let (person, team) = owner_columns(&self.owner);
        tx.db().run(
            "INSERT INTO document_hosts (org, host, owner_person, owner_team, scopes, environment, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (org, host) DO UPDATE SET \
             owner_person = ?3, owner_team = ?4, scopes = ?5, environment = ?6",
            (
                self.org.bytes(),
                self.host.as_str(),
                person,
                team,
                self.scopes.to_string(),
                terms.environment(),
                tx.now.millis(),
            ),
        )?;
        // Those that were admitted under an older word may have what the new one says, no more and no less.
        for (id, document) in admitted(tx.db(), self.org)? {
            if governing(tx.db(), self.org, &document)?.is_some_and(|rule| rule.host == self.host) {
                terms.hold(tx, id, &most(&self.scopes))?;
            }
        }
        terms.record(tx, self.org, "document_host", self.host.as_str());
        Ok(Ok(()))
    }
}

impl AllowDocuments {
    fn terms(&self) -> Terms<'_> {
        Terms { owner: &self.owner, scopes: &self.scopes, environment: self.environment.as_ref() }
    }
}

/// Takes a host's documents no more, and cuts everything that was issued to clients of its.
#[derive(Debug, Clone)]
pub struct ForbidDocuments {
    /// Where.
    pub org: OrgId,
    /// Which host's.
    pub host: DocumentHost,
}

impl Change for ForbidDocuments {
    /// How many clients were cut; `None` if the host was not named.
    type Outcome = Option<usize>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let key = (self.org.bytes(), self.host.as_str());
        if tx.db().run("DELETE FROM document_hosts WHERE org = ?1 AND host = ?2", key)? == 0 {
            return Ok(None);
        }
        let detail = registered("document_host", self.host.as_str(), None);
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Disabled) });
        let mut count = 0;
        for (id, document) in admitted(tx.db(), self.org)? {
            // Another host's word may cover it still: any host's.
            if governing(tx.db(), self.org, &document)?.is_none() {
                stand(tx, OwnedId::Client(id), standing_of(false, tx.now))?;
                crate::cuts::cut(tx, Some(self.org), Target::Client(id), Why::Disabled)?;
                count += 1;
            }
        }
        tx.announce(News::Directory);
        Ok(Some(count))
    }
}

/// Admits a client whose document was read just now, or takes over what that says anew.
#[derive(Debug, Clone)]
pub struct AdmitClient {
    /// Where.
    pub org: OrgId,
    /// Where the document is.
    pub url: DocumentUrl,
    /// What it says.
    pub document: ClientDocument,
}

/// Why a client is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The org does not take documents from there.
    #[error("documents of that host are not taken here")]
    Host,
    /// Nobody answers for the clients of that host at present.
    #[error("nobody answers for clients of that host")]
    Unowned,
    /// There are [`DOCUMENT_CLIENTS_MAX`].
    #[error("there are too many such clients")]
    Full,
}

impl Change for AdmitClient {
    type Outcome = Result<ClientId, NotAdmitted>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(rule) = governing(tx.db(), self.org, self.url.as_str())? else {
            return Ok(Err(NotAdmitted::Host));
        };
        let found = crate::clients::find_by_handle(tx.db(), self.org, self.url.as_str())?;
        if let Some(client) = found {
            self.renew(tx, &client)?;
            return Ok(Ok(client.id));
        }
        if may_own(tx.db(), self.org, &rule.owner)?.is_err() {
            return Ok(Err(NotAdmitted::Unowned));
        }
        let limit = i64::try_from(DOCUMENT_CLIENTS_MAX).unwrap_or(i64::MAX);
        let there = tx.db().all(
            "SELECT 1 FROM clients WHERE org = ?1 AND document IS NOT NULL AND agreed IS NULL LIMIT ?2",
            (self.org.bytes(), limit),
            |_| Ok(()),
        )?;
        if there.len() >= DOCUMENT_CLIENTS_MAX {
            return Ok(Err(NotAdmitted::Full));
        }
        let id = ClientId::new(tx.now, tx.entropy());
        let add = AddClient {
            org: self.org,
            handle: self.url.handle(),
            name: self.document.name.clone(),
            kind: ClientKind::Agent,
            owner: rule.owner,
            authentication: self.document.authentication.clone(),
            grant_types: grant_types(&self.document),
            redirect_uris: self.document.redirect_uris.clone(),
            scopes: most(&rule.scopes),
            any_scope: false,
            device_flow_barred: Scopes::default(),
            older_assertions_until: None,
            secrets_until: None,
            environment: rule.environment,
        };
        insert_client(tx, id, &add)?;
        tx.db().run("UPDATE clients SET document = ?2 WHERE id = ?1", (id.bytes(), self.url.as_str()))?;
        tx.announce(News::Directory);
        Ok(Ok(id))
    }
}

impl AdmitClient {
    /// What the document says now counts from now on. That it changed is recorded.
    fn renew(&self, tx: &mut Tx<'_>, client: &hallpass_model::client::Client) -> Result<(), StoreError> {
        let said = &self.document;
        let same = client.name == said.name
            && client.redirect_uris == said.redirect_uris
            && client.authentication == said.authentication
            && client.grant_types == grant_types(said);
        if same {
            return Ok(());
        }
        let (jwks, jwks_uri) = key_columns(&said.authentication);
        let grant_types = grant_types(said);
        let grant_types: Vec<&str> = grant_types.iter().map(GrantType::text).collect();
        tx.db().run(
            "UPDATE clients SET name = ?2, redirect_uris = ?3, jwks = ?4, jwks_uri = ?5, grant_types = ?6 WHERE id = ?1",
            (
                client.id.bytes(),
                &said.name,
                said.redirect_uris.join("\n"),
                jwks,
                jwks_uri,
                grant_types.join(" "),
            ),
        )?;
        let detail = hallpass_model::ledger::Detail::new()
            .with(Key::KIND, "client")
            .with(Key::CHANGE, "document")
            .with(Key::GRANT_TYPE, grant_types.join(" "));
        tx.record(Entry { org: Some(self.org), client: Some(client.id), detail, ..tx.entry(Event::Changed) });
        tx.announce(News::Directory);
        Ok(())
    }
}

/// What such a client may use: its kind's, as far as its document asks.
fn grant_types(document: &ClientDocument) -> Vec<GrantType> {
    match document.refreshes {
        true => vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        false => vec![GrantType::AuthorizationCode],
    }
}

/// The clients of an org that have a document.
fn admitted(db: &Connection, org: OrgId) -> Result<Vec<(ClientId, String)>, StoreError> {
    db.all("SELECT id, document FROM clients WHERE org = ?1 AND document IS NOT NULL", [org.bytes()], |row| {
        Ok((row.id(0)?, row.text(1)?))
    })
}

/// The word that counts for a document: its host's own before any host's.
fn governing(db: &Connection, org: OrgId, document: &str) -> Result<Option<AllowedHost>, StoreError> {
    let Ok(url) = DocumentUrl::parse(document) else { return Ok(None) };
    db.one(
        "SELECT host, owner_person, owner_team, scopes, environment, created FROM document_hosts \
         WHERE org = ?1 AND host IN (?2, ?3) ORDER BY host = ?3 LIMIT 1",
        (org.bytes(), url.host(), DocumentHost::ANY),
        read_host,
    )
}

fn read_host(row: &Row<'_>) -> rusqlite::Result<AllowedHost> {
    Ok(AllowedHost {
        host: DocumentHost::parse(&row.text(0)?).map_err(|_| unreadable(0))?,
        owner: row.owner(1)?,
        scopes: row.word(3)?,
        environment: row.maybe_word(4)?,
        created: row.time(5)?,
    })
}

/// Notes that somebody said yes to a client, if it has a document: from then on it is not forgotten.
pub(crate) fn agreed(tx: &Tx<'_>, client: ClientId) -> Result<(), StoreError> {
    tx.db().run(
        "UPDATE clients SET agreed = ?2 WHERE id = ?1 AND document IS NOT NULL AND agreed IS NULL",
        (client.bytes(), tx.now.millis()),
    )?;
    Ok(())
}

/// Forgets clients that were admitted a while ago and that nobody ever said yes to, a piece of them.
///
/// An empty row stays, out of use: taking it away would look for what refers to it through all that has no index for that.
pub(crate) fn forget_unused(tx: &mut Tx<'_>, piece: u32) -> Result<usize, StoreError> {
    let before = (tx.now - DOCUMENT_CLIENT_UNUSED).millis();
    let unused: Vec<ClientId> = tx.db().all(
        "SELECT id FROM clients WHERE document IS NOT NULL AND agreed IS NULL AND created < ?1 LIMIT ?2",
        (before, piece),
        |row| row.id(0),
    )?;
    let disabled = disabled_column(standing_of(false, tx.now));
    for client in &unused {
        let hex: String = client.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        tx.db().run(
            "UPDATE clients SET document = NULL, handle = ?2, name = '', redirect_uris = '', jwks = NULL, \
             jwks_uri = NULL, disabled = ?3 WHERE id = ?1",
            (client.bytes(), format!("forgotten-{hex}"), disabled),
        )?;
    }
    if !unused.is_empty() {
        tx.announce(News::Directory);
    }
    Ok(unused.len())
}

impl Store {
    /// Where this org takes documents from, by host.
    pub async fn document_hosts(&self, org: OrgId) -> Result<Vec<AllowedHost>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT host, owner_person, owner_team, scopes, environment, created FROM document_hosts \
                 WHERE org = ?1 ORDER BY host",
                [org.bytes()],
                read_host,
            )
        })
    }

    /// The word of this org that counts for a document there: none, if it takes none of that host.
    pub async fn document_host(
        &self,
        org: OrgId,
        url: &DocumentUrl,
    ) -> Result<Option<AllowedHost>, StoreError> {
        self.read(|db| governing(db, org, url.as_str()))
    }
}
