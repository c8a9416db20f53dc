//! Agents: registered by the person they act for, listed, and taken out of use. Their runs are in [`runs`](crate::runs).

use hallpass_model::agent::{AGENTS_OF_PERSON_MAX, Agent, AgentKind, Budget};
use hallpass_model::cut::Why;
use hallpass_model::id::{AgentId, OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::principal::Handle;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::run_ends::{EndedRuns, end_where};
use crate::sql::{Columns, Sql, json};

/// Registers an agent, or says anew what the one of this name may have. What runs already keeps what it began with.
#[derive(Debug, Clone)]
pub struct RegisterAgent {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub person: PrincipalId,
    /// Its name.
    pub handle: Handle,
    /// What it is.
    pub kind: AgentKind,
    /// The most it may do.
    pub scopes: Scopes,
    /// How long a run may last.
    pub longest: Lifetime,
    /// What a run may use.
    pub budget: Budget,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRegistered {
    /// It is new.
    Added(Agent),
    /// There was one of this name, which is as said now. One that was retired is in use again.
    Changed(Agent),
    /// Its person has as many as anybody may have.
    TooMany,
    /// There is no such person in this org, in use.
    NoPerson,
}

impl Change for RegisterAgent {
    type Outcome = AgentRegistered;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let known = tx.db().one(
            "SELECT 1 FROM principals WHERE id = ?1 AND org = ?2 AND disabled IS NULL",
            (self.person.bytes(), self.org.bytes()),
            |_| Ok(()),
        )?;
        if known.is_none() {
            return Ok(AgentRegistered::NoPerson);
        }
        let before = find_agent(tx.db(), self.person, &self.handle)?;
        if before.is_none() && list(tx.db(), self.person)?.len() >= AGENTS_OF_PERSON_MAX {
            return Ok(AgentRegistered::TooMany);
        }
        let agent = Agent {
            id: before.as_ref().map_or_else(|| AgentId::new(tx.now, tx.entropy()), |agent| agent.id),
            org: self.org,
            person: self.person,
            handle: self.handle,
            kind: self.kind,
            scopes: self.scopes,
            longest: self.longest,
            budget: self.budget,
            created: before.as_ref().map_or(tx.now, |agent| agent.created),
            retired: None,
        };
        tx.db().run(
            "INSERT INTO agents (id, org, person, handle, kind, scopes, longest, budget, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (person, handle) DO UPDATE SET kind = excluded.kind, scopes = excluded.scopes, \
             longest = excluded.longest, budget = excluded.budget, retired = NULL",
            (
                agent.id.bytes(),
                agent.org.bytes(),
                agent.person.bytes(),
                agent.handle.as_str(),
                agent.kind.text(),
                agent.scopes.to_string(),
                agent.longest.as_seconds(),
                json(&agent.budget),
                agent.created.millis(),
            ),
        )?;
        let event = if before.is_some() { Event::Changed } else { Event::Registered };
        let detail = Detail::new()
            .with(Key::KIND, "agent")
            .with(Key::AGENT, agent.id.to_string())
            .with(Key::SCOPE, agent.scopes.to_string());
        let detail = if before.is_some() { detail.with(Key::CHANGE, "agent") } else { detail };
        let entry = tx.entry(event);
        tx.record(Entry { org: Some(agent.org), principal: Some(agent.person), detail, ..entry });
        Ok(if before.is_some() { AgentRegistered::Changed(agent) } else { AgentRegistered::Added(agent) })
    }
}

/// Takes an agent out of use, and ends its runs.
#[derive(Debug, Clone)]
pub struct RetireAgent {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub person: PrincipalId,
    /// Its name.
    pub handle: Handle,
    /// Why.
    pub why: Why,
}

impl Change for RetireAgent {
    /// What ended with it; `None` if there is no such agent in use.
    type Outcome = Option<EndedRuns>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = find_agent(tx.db(), self.person, &self.handle)?;
        let Some(agent) = found.filter(|agent| agent.org == self.org && agent.retired.is_none()) else {
            return Ok(None);
        };
        tx.db().run("UPDATE agents SET retired = ?2 WHERE id = ?1", (agent.id.bytes(), tx.now.millis()))?;
        let detail = Detail::new().with(Key::KIND, "agent").with(Key::AGENT, agent.id.to_string());
        let entry = tx.entry(Event::Disabled);
        tx.record(Entry { org: Some(agent.org), principal: Some(agent.person), detail, ..entry });
        end_where(tx, self.person, |run| run.agent == agent.id, self.why).map(Some)
    }
}

impl Store {
    /// The agents of a person, those that are out of use included.
    pub async fn list_agents_of(&self, person: PrincipalId) -> Result<Vec<Agent>, StoreError> {
        self.read(|db| list(db, person))
    }
}

pub(crate) fn find_agent(
    db: &Connection,
    person: PrincipalId,
    handle: &Handle,
) -> Result<Option<Agent>, StoreError> {
    db.one(
        "SELECT id, org, person, handle, kind, scopes, longest, budget, created, retired FROM agents \
         WHERE person = ?1 AND handle = ?2",
        (person.bytes(), handle.as_str()),
        read,
    )
}

fn list(db: &Connection, person: PrincipalId) -> Result<Vec<Agent>, StoreError> {
    db.all(
        "SELECT id, org, person, handle, kind, scopes, longest, budget, created, retired FROM agents \
         WHERE person = ?1 ORDER BY handle",
        [person.bytes()],
        read,
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<Agent> {
    Ok(Agent {
        id: row.id(0)?,
        org: row.id(1)?,
        person: row.id(2)?,
        handle: row.word(3)?,
        kind: row.word(4)?,
        scopes: row.word(5)?,
        longest: Lifetime::seconds(row.get(6)?),
        budget: row.json(7)?,
        created: row.time(8)?,
        retired: row.maybe_time(9)?,
    })
}
