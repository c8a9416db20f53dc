//! Trusts: rules by which an outside identity becomes a client here.

use hallpass_model::client::ClientKind;
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId, TrustId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::principal::Handle;
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{IssuerKeys, Rule, Trust};
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::change::{Change, Tx};
use crate::directory::{NotAdded, StandingSet, org_accepts, record_standing, registered, standing_of};
use crate::error::StoreError;
use crate::open::Store;
use crate::page::Page;
use crate::sql::{Columns, Sql, disabled_column, json};

/// Trusts of one outside issuer in one org at most. Each is weighed against each of its tokens, so there is an end to
/// them: a thousand repositories that deploy on their own are a thousand trusts.
pub(crate) const TRUSTS_BY_ISSUER_MAX: u32 = 1_000;

/// Adds a trust. The caller has linted its rule.
#[derive(Debug, Clone)]
pub struct AddTrust {
    /// Where.
    pub org: OrgId,
    /// Its short name.
    pub handle: Handle,
    /// Who comes in by it.
    pub client: ClientId,
    /// What its tokens are for.
    pub environment: Handle,
    /// What a token from outside must say.
    pub rule: Rule,
    /// Where the outside issuer's keys are.
    pub keys: IssuerKeys,
    /// The most that its tokens allow.
    pub scopes: Scopes,
    /// How long they live at most.
    pub longest: Lifetime,
}

/// Why a trust was not added. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TrustNotAdded {
    /// For the same reasons as anything else.
    #[error(transparent)]
    Directory(#[from] NotAdded),
    /// The client is of another environment.
    #[error("the client is of another environment than the trust")]
    Environment,
    /// There is no such client in this org.
    #[error("there is no such client")]
    NoClient,
    /// Nobody comes in as a client of this kind.
    #[error("only a `ci` or a `service` client is what an outside identity becomes")]
    Kind,
    /// The client may not ask for one of the scopes.
    #[error("the client may not ask for one of the scopes")]
    Scope,
    /// Longer than any access token.
    #[error("its tokens live {ACCESS_TOKEN_MAX} at most")]
    TooLong,
    /// There are too many of this issuer's.
    #[error("an org has {TRUSTS_BY_ISSUER_MAX} trusts of one issuer at most")]
    TooMany,
}

impl Change for AddTrust {
    type Outcome = Result<TrustId, TrustNotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = self.judge(tx)? {
            return Ok(Err(why));
        }
        let id = TrustId::new(tx.now, tx.entropy());
        let root = CredentialId::new(tx.now, tx.entropy());
        tx.db().run(
            "INSERT INTO trusts (id, org, handle, client, environment, issuer, rule, keys, scopes, longest, root, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            (
                id.bytes(),
                self.org.bytes(),
                self.handle.as_str(),
                self.client.bytes(),
                self.environment.as_str(),
                &self.rule.issuer,
                json(&self.rule),
                json(&self.keys),
                self.scopes.to_string(),
                self.longest.as_seconds(),
                root.bytes(),
                tx.now.millis(),
            ),
        )?;
        let rule: Vec<String> = self.rule.conditions.iter().map(ToString::to_string).collect();
        let detail = registered("trust", self.handle.as_str(), None)
            .with(Key::TRUST, id.to_string())
            .with(Key::URL, self.rule.issuer)
            .with(Key::RULE, rule.join(" "))
            .with(Key::ENVIRONMENT, self.environment.to_string())
            .with(Key::SCOPE, self.scopes.to_string());
        let entry = tx.entry(Event::Registered);
        tx.record(Entry { org: Some(self.org), client: Some(self.client), detail, ..entry });
        Ok(Ok(id))
    }
}

impl AddTrust {
    fn judge(&self, tx: &Tx<'_>) -> Result<Result<(), TrustNotAdded>, StoreError> {
        if let Err(why) = org_accepts(tx.db(), self.org)? {
            return Ok(Err(why.into()));
        }
        let client = tx.db().one(
            "SELECT kind, scopes, any_scope, environment FROM clients WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes()),
            |row| {
                let environment: Option<String> = row.get(3)?;
                Ok((row.json::<ClientKind>(0)?, row.word::<Scopes>(1)?, row.get::<_, bool>(2)?, environment))
            },
        )?;
        let Some((kind, scopes, any_scope, environment)) = client else {
            return Ok(Err(TrustNotAdded::NoClient));
        };
        if !matches!(kind, ClientKind::Ci | ClientKind::Service) {
            return Ok(Err(TrustNotAdded::Kind));
        }
        if environment.is_some_and(|environment| environment != self.environment.as_str()) {
            return Ok(Err(TrustNotAdded::Environment));
        }
        if !any_scope && !scopes.include(&self.scopes) {
            return Ok(Err(TrustNotAdded::Scope));
        }
        if self.longest > ACCESS_TOKEN_MAX {
            return Ok(Err(TrustNotAdded::TooLong));
        }
        if find_by_handle(tx.db(), self.org, self.handle.as_str())?.is_some() {
            return Ok(Err(NotAdded::Taken.into()));
        }
        let there: Option<u32> = tx.db().one(
            "SELECT count(*) FROM trusts WHERE org = ?1 AND issuer = ?2",
            (self.org.bytes(), &self.rule.issuer),
            |row| row.get(0),
        )?;
        Ok(match there.unwrap_or_default() >= TRUSTS_BY_ISSUER_MAX {
            true => Err(TrustNotAdded::TooMany),
            false => Ok(()),
        })
    }
}

/// Takes a trust out of use, which also cuts every token it gave, or puts it back into use.
#[derive(Debug, Clone, Copy)]
pub struct SetTrustStanding {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub trust: TrustId,
    /// Whether it is in use from now on.
    pub active: bool,
}

impl Change for SetTrustStanding {
    type Outcome = StandingSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = tx.db().one(
            "SELECT disabled, client, root FROM trusts WHERE id = ?1 AND org = ?2",
            (self.trust.bytes(), self.org.bytes()),
            |row| Ok((row.standing(0)?, row.id::<ClientId>(1)?, row.id::<CredentialId>(2)?)),
        )?;
        let Some((standing, client, root)) = found else { return Ok(StandingSet::NotThere) };
        if standing.is_active() == self.active {
            return Ok(StandingSet::Already(standing));
        }
        let standing = standing_of(self.active, tx.now);
        // A cut credential stays dead: whoever comes in from now on descends from another.
        let next = if self.active { CredentialId::new(tx.now, tx.entropy()) } else { root };
        tx.db().run(
            "UPDATE trusts SET disabled = ?2, root = ?3 WHERE id = ?1",
            (self.trust.bytes(), disabled_column(standing), next.bytes()),
        )?;
        let entry = tx.entry(Event::Disabled);
        let detail = entry.detail.clone().with(Key::TRUST, self.trust.to_string());
        let entry = Entry { org: Some(self.org), client: Some(client), detail, ..entry };
        record_standing(tx, entry, "trust", self.active);
        if !self.active {
            crate::cuts::cut(tx, Some(self.org), Target::Credential(root), Why::Disabled)?;
        }
        Ok(StandingSet::Done(standing))
    }
}

impl Store {
    /// The trust of this short name.
    pub async fn find_trust_by_handle(&self, org: OrgId, handle: &str) -> Result<Option<Trust>, StoreError> {
        self.read(|db| find_by_handle(db, org, handle))
    }

    /// The trusts of an org, by short name, after the one given.
    pub async fn list_trusts(
        &self,
        org: OrgId,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Page<Trust>, StoreError> {
        let rows = self.read(|db| {
            db.all(
                "SELECT id, org, handle, client, environment, rule, keys, scopes, longest, root, disabled, created \
                 FROM trusts WHERE org = ?1 AND handle > ?2 ORDER BY handle LIMIT ?3",
                (org.bytes(), after.map_or("", Handle::as_str), Page::<Trust>::rows(limit)),
                read_trust,
            )
        })?;
        Ok(Page::of(rows, limit))
    }

    /// The trusts by which a token of this issuer may come in, those in use, oldest first.
    pub async fn trusts_of_issuer(&self, org: OrgId, issuer: &str) -> Result<Vec<Trust>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT id, org, handle, client, environment, rule, keys, scopes, longest, root, disabled, created \
                 FROM trusts WHERE org = ?1 AND issuer = ?2 AND disabled IS NULL ORDER BY id LIMIT ?3",
                (org.bytes(), issuer, TRUSTS_BY_ISSUER_MAX),
                read_trust,
            )
        })
    }
}

fn find_by_handle(db: &Connection, org: OrgId, handle: &str) -> Result<Option<Trust>, StoreError> {
    db.one(
        "SELECT id, org, handle, client, environment, rule, keys, scopes, longest, root, disabled, created \
         FROM trusts WHERE org = ?1 AND handle = ?2",
        (org.bytes(), handle),
        read_trust,
    )
}

/// The trusts by which somebody comes in as this client, the newest first; so many at most.
pub(crate) fn of_client(db: &Connection, client: ClientId, limit: u32) -> Result<Vec<Trust>, StoreError> {
    db.all(
        "SELECT id, org, handle, client, environment, rule, keys, scopes, longest, root, disabled, created \
         FROM trusts WHERE client = ?1 ORDER BY id DESC LIMIT ?2",
        (client.bytes(), limit),
        read_trust,
    )
}

fn read_trust(row: &Row<'_>) -> rusqlite::Result<Trust> {
    Ok(Trust {
        id: row.id(0)?,
        org: row.id(1)?,
        handle: row.word(2)?,
        client: row.id(3)?,
        environment: row.word(4)?,
        rule: row.json(5)?,
        keys: row.json(6)?,
        scopes: row.word(7)?,
        longest: Lifetime::seconds(row.get(8)?),
        root: row.id(9)?,
        standing: row.standing(10)?,
        created: row.time(11)?,
    })
}
