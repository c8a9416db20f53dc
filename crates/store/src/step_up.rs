//! What orgs, clients, and scopes of resources demand of how a person proved who they are (RFC 9470). Checked where tokens are
//! issued, inside the change that issues them.

use std::collections::BTreeMap;

use hallpass_model::grant::Authentication;
use hallpass_model::id::{ClientId, OrgId, ResourceId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::session::Session;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql, json};

/// What each scope of a resource demands, of those that demand something.
pub type ScopeDemands = BTreeMap<String, Demand>;

/// Says what a client demands of every grant to it, in place of what it did.
#[derive(Debug, Clone, Copy)]
pub struct SetClientDemand {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub client: ClientId,
    /// What: nothing, by default.
    pub demand: Demand,
    /// Whether its authorization requests must be pushed (RFC 9126, section 6).
    pub pushed_only: bool,
}

impl Change for SetClientDemand {
    /// Whether there is such a client in this org.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let changed = tx.db().run(
            "UPDATE clients SET demand = ?3, pushed_only = ?4 WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes(), demand_column(&self.demand), self.pushed_only),
        )?;
        if changed == 0 {
            return Ok(false);
        }
        let detail = demand_changed("client", &self.demand);
        let detail = if self.pushed_only { detail.with(Key::RULE, "not_pushed") } else { detail };
        let entry = tx.entry(Event::Changed);
        tx.record(Entry { org: Some(self.org), client: Some(self.client), detail, ..entry });
        tx.announce(News::Directory);
        Ok(true)
    }
}

/// Says what a scope of a resource demands of every grant of it, in place of what it did.
#[derive(Debug, Clone)]
pub struct SetScopeDemand {
    /// Where.
    pub org: OrgId,
    /// Of which resource.
    pub resource: ResourceId,
    /// Which scope: one that the resource understands.
    pub scope: String,
    /// What: nothing, by default.
    pub demand: Demand,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeDemandSet {
    /// It is so from now on.
    Done,
    /// There is no such resource in this org.
    NotThere,
    /// The resource does not understand that scope.
    NoScope,
}

impl Change for SetScopeDemand {
    type Outcome = ScopeDemandSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = tx.db().one(
            "SELECT scopes, demands FROM resources WHERE id = ?1 AND org = ?2",
            (self.resource.bytes(), self.org.bytes()),
            |row| Ok((row.word::<Scopes>(0)?, row.maybe_json::<ScopeDemands>(1)?)),
        )?;
        let Some((scopes, demands)) = found else { return Ok(ScopeDemandSet::NotThere) };
        if !scopes.has(&self.scope) {
            return Ok(ScopeDemandSet::NoScope);
        }
        let mut demands = demands.unwrap_or_default();
        match self.demand.is_nothing() {
            true => demands.remove(&self.scope),
            false => demands.insert(self.scope.clone(), self.demand),
        };
        let demands = (!demands.is_empty()).then(|| json(&demands));
        tx.db().run("UPDATE resources SET demands = ?2 WHERE id = ?1", (self.resource.bytes(), demands))?;
        let detail = demand_changed("resource", &self.demand).with(Key::SCOPE, self.scope);
        let entry = tx.entry(Event::Changed);
        tx.record(Entry { org: Some(self.org), resource: Some(self.resource), detail, ..entry });
        tx.announce(News::Directory);
        Ok(ScopeDemandSet::Done)
    }
}

pub(crate) fn demand_changed(kind: &'static str, demand: &Demand) -> Detail {
    let detail = Detail::new().with(Key::KIND, kind).with(Key::CHANGE, "step_up");
    let detail = match demand.acr {
        Some(acr) => detail.with(Key::ACR, acr.text()),
        None => detail,
    };
    match demand.max_age {
        Some(most) => detail.with(Key::MAX_AGE, most.as_seconds()),
        None => detail,
    }
}

/// A demand's column: empty where nothing is demanded.
pub(crate) fn demand_column(demand: &Demand) -> Option<String> {
    (!demand.is_nothing()).then(|| json(demand))
}

impl Store {
    /// What a client demands of every grant to it, beside what its org does.
    pub async fn client_demand(&self, client: ClientId) -> Result<Demand, StoreError> {
        self.read(|db| {
            let demand = db.one("SELECT demand FROM clients WHERE id = ?1", [client.bytes()], |row| {
                row.maybe_json::<Demand>(0)
            })?;
            Ok(demand.flatten().unwrap_or_default())
        })
    }

    /// What the scopes of a resource demand.
    pub async fn scope_demands(&self, resource: ResourceId) -> Result<ScopeDemands, StoreError> {
        self.read(|db| {
            let demands =
                db.one("SELECT demands FROM resources WHERE id = ?1", [resource.bytes()], |row| {
                    row.maybe_json::<ScopeDemands>(0)
                })?;
            Ok(demands.flatten().unwrap_or_default())
        })
    }

    /// All that a grant to this client of these scopes at these resources, by their URLs, demands.
    pub async fn demand_of(
        &self,
        org: OrgId,
        client: ClientId,
        scopes: &Scopes,
        resources: &[String],
    ) -> Result<Demand, StoreError> {
        self.read(|db| {
            let mut all = client_demand(db, client)?;
            for url in resources {
                let demands = db.one(
                    "SELECT demands FROM resources WHERE org = ?1 AND url = ?2",
                    (org.bytes(), url),
                    |row| row.maybe_json::<ScopeDemands>(0),
                )?;
                let demands = demands.flatten().unwrap_or_default();
                let asked = demands.iter().filter(|(scope, _)| scopes.has(scope));
                all = asked.fold(all, |all, (_, demand)| all.and(*demand));
            }
            Ok(all)
        })
    }
}

/// What is demanded of every grant to a client: by it, and by its org.
pub(crate) fn client_demand(db: &Connection, client: ClientId) -> Result<Demand, StoreError> {
    let demands = db.one(
        "SELECT c.demand, o.demand FROM clients c JOIN orgs o ON o.id = c.org WHERE c.id = ?1",
        [client.bytes()],
        |row| Ok((row.maybe_json::<Demand>(0)?, row.maybe_json::<Demand>(1)?)),
    )?;
    let (own, of_org) = demands.unwrap_or_default();
    Ok(own.unwrap_or_default().and(of_org.unwrap_or_default()))
}

/// Who asks for a token: through which client, and how the person it acts for proved who they are; none where a client acts
/// for itself.
#[derive(Clone, Copy)]
pub(crate) struct Proved<'a> {
    pub(crate) client: ClientId,
    pub(crate) authentication: Option<&'a Authentication>,
    pub(crate) now: Timestamp,
}

impl<'a> Proved<'a> {
    /// By the login that a session came of.
    pub(crate) fn by(session: &'a Session, now: Timestamp) -> Self {
        Self { client: session.client, authentication: Some(&session.grant.authentication), now }
    }

    /// What of `asked` may be had, as far as the scopes' own demands go. Where they were named one by one, all of them or
    /// the demand that is not met; else those whose demand is met.
    ///
    /// SECURITY: a client that acts for itself never meets one: there is no person who could prove anything.
    pub(crate) fn within(
        &self,
        asked: Scopes,
        demands: &ScopeDemands,
        explicit: bool,
    ) -> Result<Scopes, Demand> {
        let met = |demand: &Demand| {
            self.authentication.is_some_and(|authentication| demand.is_met_by(authentication, self.now))
        };
        let unmet: Vec<(&str, Demand)> = demands
            .iter()
            .filter(|(scope, demand)| asked.has(scope) && !met(demand))
            .map(|(scope, demand)| (scope.as_str(), *demand))
            .collect();
        if unmet.is_empty() {
            return Ok(asked);
        }
        let wanting = unmet.iter().fold(Demand::default(), |all, (_, demand)| all.and(*demand));
        let left = Scopes::collect(asked.iter().filter(|scope| !unmet.iter().any(|(un, _)| un == scope)));
        match left {
            Ok(left) if !explicit && !left.is_empty() => Ok(left),
            _ => Err(wanting),
        }
    }

    /// What the client or its org demands, if a person is there who does not meet it.
    pub(crate) fn client_wants(&self, db: &Connection) -> Result<Option<Demand>, StoreError> {
        let Some(authentication) = self.authentication else { return Ok(None) };
        let demand = client_demand(db, self.client)?;
        Ok((!demand.is_met_by(authentication, self.now)).then_some(demand))
    }
}
