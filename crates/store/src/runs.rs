//! Runs of agents: begun by an exchange, counted against their budget with each pass, and listed. How they end is in
//! [`run_ends`](crate::run_ends).
//!
//! 1. A run is a credential: all its passes descend from it, so that one cut ends it.
//! 2. It is looked at again with each pass: whether it, or a run above it, is over, whether its agent is in use, and what of
//!    its budget is left. What ends the session it runs below ends it too, for without that there is no exchange.

use hallpass_model::agent::{Acting, Budget, CHAIN_MAX, RUNS_OF_PERSON_MAX, Spent};
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{AgentId, ClientId, CredentialId, DeviceId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::principal::Handle;
use hallpass_model::purpose::Purpose;
use hallpass_model::session::Session;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::agents::find_agent;
use crate::change::{Change, Tx};
use crate::cuts::find_cut;
use crate::error::StoreError;
use crate::open::Store;
use crate::sessions::{about, is_session_dead, load};
use crate::sql::{Columns, Sql, json};

/// For whom an exchange is, besides the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActingFor {
    /// A run that begins: of the person's agent of this name.
    NewRun(Handle),
    /// One that goes on.
    Run(CredentialId),
}

/// A run of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id, as a credential.
    pub id: CredentialId,
    /// Where.
    pub org: OrgId,
    /// Of which agent.
    pub agent: AgentId,
    /// The agent's name.
    pub handle: Handle,
    /// For whom.
    pub person: PrincipalId,
    /// Through which client.
    pub client: ClientId,
    /// On which device.
    pub device: Option<DeviceId>,
    /// Below which session.
    pub session: SessionId,
    /// Which run started it, if one did.
    pub above: Option<CredentialId>,
    /// How deep it is: 1 for what the person started.
    pub depth: u32,
    /// What it may have at most.
    pub scopes: Scopes,
    /// Why, as claimed.
    pub purpose: Purpose,
    /// What it may use.
    pub budget: Budget,
    /// What it has used.
    pub used: Budget,
    /// The APIs it had passes for.
    pub resources: Vec<String>,
    /// What it ran out of, and when: its person is asked.
    pub spent: Option<(Spent, Timestamp)>,
    /// Since when.
    pub created: Timestamp,
    /// When it last asked for anything.
    pub seen: Timestamp,
    /// When it is over in any case.
    pub expires: Timestamp,
    /// When it ended, and why.
    pub ended: Option<(Timestamp, Why)>,
}

impl Run {
    /// Which agent acts, in this run.
    pub fn acting(&self) -> Acting {
        Acting { agent: self.agent, run: self.id }
    }
}

/// Why a run gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RunRefusal {
    /// The person has no agent of this name.
    #[error("there is no such agent")]
    NoAgent,
    /// It was taken out of use.
    #[error("the agent is retired")]
    Retired,
    /// Its person has as many runs going as anybody may have.
    #[error("too many runs are going on")]
    TooMany,
    /// It would be one run too many below another.
    #[error("an agent started an agent too many times over")]
    TooDeep,
    /// Nobody begins a run for no reason.
    #[error("a run has a purpose")]
    NoPurpose,
    /// There is no such run below this session, or the asker is another run.
    #[error("there is no such run")]
    Unknown,
    /// It is over.
    #[error("the run is over")]
    Over,
    /// It has used up what it may use: its person is asked.
    #[error("the run has used up its budget of {}", .0.text())]
    Spent(Spent),
    /// The agent may not have what was asked for, though its person may.
    #[error("the agent may not have that")]
    Scope,
}

impl RunRefusal {
    /// The word it is recorded under.
    pub fn rule(self) -> &'static str {
        match self {
            Self::NoAgent => "agent_unknown",
            Self::Retired => "agent_retired",
            Self::TooMany => "runs_too_many",
            Self::TooDeep => "runs_too_deep",
            Self::NoPurpose => "run_purpose",
            Self::Unknown => "run_unknown",
            Self::Over => "run_over",
            Self::Spent(spent) => spent.rule(),
            Self::Scope => "agent_scope",
        }
    }
}

/// The run that an exchange is for, as far as it has come. One that begins is kept once something came of it: an agent that
/// was told no has not begun anything.
pub(crate) struct Entered {
    pub(crate) run: Run,
    begins: bool,
}

impl Entered {
    /// Who acts, for the record of a refusal. SECURITY: not a run that only began with the request: each would be another
    /// subject, and whoever asks in a loop would buy an entry each time.
    pub(crate) fn known(&self) -> Option<Acting> {
        (!self.begins).then(|| self.run.acting())
    }
}

/// Finds or begins the run that an exchange is for. `above` is the run whose token was the subject.
pub(crate) fn enter(
    tx: &mut Tx<'_>,
    session: &Session,
    acting: Option<&ActingFor>,
    above: Option<CredentialId>,
    purpose: Option<&Purpose>,
) -> Result<Result<Option<Entered>, RunRefusal>, StoreError> {
    let goes_on = |run| Entered { run, begins: false };
    match (acting, above) {
        (None, None) => Ok(Ok(None)),
        // Its token was the subject: what is made of that stays the run's.
        (None, Some(run)) => Ok(alive(tx, session, run)?.map(|run| Some(goes_on(run)))),
        (Some(ActingFor::Run(run)), above) => Ok(match alive(tx, session, *run)? {
            // SECURITY: a run asks for itself, or its starter does; nobody beside it.
            Ok(run) if run.above == above || above == Some(run.id) => Ok(Some(goes_on(run))),
            Ok(_) => Err(RunRefusal::Unknown),
            Err(why) => Err(why),
        }),
        (Some(ActingFor::NewRun(handle)), above) => {
            let above = match above {
                None => None,
                Some(above) => match alive(tx, session, above)? {
                    Ok(above) => Some(above),
                    Err(why) => return Ok(Err(why)),
                },
            };
            Ok(begin(tx, session, handle, above, purpose)?.map(|run| Some(Entered { run, begins: true })))
        }
    }
}

/// A run below this session that is not over.
fn alive(
    tx: &mut Tx<'_>,
    session: &Session,
    run: CredentialId,
) -> Result<Result<Run, RunRefusal>, StoreError> {
    let Some(run) = find(tx.db(), run)?.filter(|run| run.session == session.id) else {
        return Ok(Err(RunRefusal::Unknown));
    };
    // The chain is as short as `begin` lets it be.
    let (mut link, mut retired) = (Some(run.clone()), false);
    while let Some(one) = link {
        if one.ended.is_some() || tx.now >= one.expires || is_cut(tx.db(), one.id)? {
            return Ok(Err(RunRefusal::Over));
        }
        retired |= is_retired(tx.db(), one.agent)?;
        link = match one.above {
            Some(above) => find(tx.db(), above)?,
            None => None,
        };
    }
    Ok(if retired { Err(RunRefusal::Retired) } else { Ok(run) })
}

/// The cut and the row's own word come in one change; this is for whoever forgot the second.
fn is_cut(db: &Connection, run: CredentialId) -> Result<bool, StoreError> {
    Ok(find_cut(db, Target::Credential(run))?.is_some())
}

fn is_retired(db: &Connection, agent: AgentId) -> Result<bool, StoreError> {
    let retired: Option<bool> =
        db.one("SELECT retired IS NOT NULL FROM agents WHERE id = ?1", [agent.bytes()], |row| row.get(0))?;
    Ok(retired.unwrap_or(true))
}

fn begin(
    tx: &mut Tx<'_>,
    session: &Session,
    handle: &Handle,
    above: Option<Run>,
    purpose: Option<&Purpose>,
) -> Result<Result<Run, RunRefusal>, StoreError> {
    let Some(purpose) = purpose else { return Ok(Err(RunRefusal::NoPurpose)) };
    let agent = find_agent(tx.db(), session.principal, handle)?.filter(|agent| agent.org == session.org);
    let Some(agent) = agent else { return Ok(Err(RunRefusal::NoAgent)) };
    if agent.retired.is_some() {
        return Ok(Err(RunRefusal::Retired));
    }
    let depth = above.as_ref().map_or(1, |above| above.depth + 1);
    if depth as usize > CHAIN_MAX {
        return Ok(Err(RunRefusal::TooDeep));
    }
    if live_of(tx.db(), session.principal, tx.now)? >= RUNS_OF_PERSON_MAX {
        return Ok(Err(RunRefusal::TooMany));
    }
    // SECURITY: never more than the session, the agent, and the run that starts it.
    let scopes = session.grant.scopes.within(&agent.scopes);
    let (scopes, latest) = match &above {
        Some(above) => (scopes.within(&above.scopes), above.expires),
        None => (scopes, session.expires),
    };
    let run = Run {
        id: CredentialId::new(tx.now, tx.entropy()),
        org: session.org,
        agent: agent.id,
        handle: agent.handle,
        person: session.principal,
        client: session.client,
        device: session.device,
        session: session.id,
        above: above.as_ref().map(|above| above.id),
        depth,
        scopes,
        purpose: purpose.clone(),
        budget: agent.budget,
        used: Budget { tokens: 0, exchanges: 0, resources: 0 },
        resources: Vec::new(),
        spent: None,
        created: tx.now,
        seen: tx.now,
        expires: (tx.now + agent.longest).min(latest),
        ended: None,
    };
    Ok(Ok(run))
}

/// Keeps a run that began.
fn insert(tx: &mut Tx<'_>, session: &Session, run: &Run) -> Result<(), StoreError> {
    tx.db().run(
        "INSERT INTO runs (id, org, agent, person, client, device, session, above, depth, scopes, purpose, budget, used, \
         resources, created, seen, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?16)",
        (
            run.id.bytes(),
            run.org.bytes(),
            run.agent.bytes(),
            run.person.bytes(),
            run.client.bytes(),
            run.device.as_ref().map(DeviceId::bytes),
            run.session.bytes(),
            run.above.as_ref().map(CredentialId::bytes),
            run.depth,
            run.scopes.to_string(),
            run.purpose.as_str(),
            json(&run.budget),
            json(&run.used),
            run.resources.join("\n"),
            run.created.millis(),
            run.expires.millis(),
        ),
    )?;
    let detail = with_acting(Detail::new(), run.acting())
        .with(Key::SCOPE, run.scopes.to_string())
        .with(Key::EXPIRES, run.expires.millis());
    let detail = match run.above {
        Some(above) => detail.with(Key::PARENT, above.to_string()),
        None => detail,
    };
    let entry = Entry { credential: Some(run.id), detail, ..about(tx, Event::RunStarted, session) };
    tx.record_personal(entry, &[(Field::Purpose, run.purpose.as_str())]);
    Ok(())
}

/// Counts a request against a run's budget, before it is known whether anything comes of it. `wanted` is the API it is for, if
/// it is for one that the grant reaches.
pub(crate) fn charge(
    tx: &mut Tx<'_>,
    run: &mut Run,
    wanted: Option<&str>,
) -> Result<Result<(), RunRefusal>, StoreError> {
    let is_new = wanted.is_some_and(|url| run.resources.iter().all(|known| known != url));
    let spent = run.budget.spent(&run.used, is_new);
    run.seen = tx.now;
    match (spent, run.spent) {
        // It waits for its person, and asks now and then: what it is let have then is not used up by the waiting.
        (Some(_), Some(_)) => {}
        (Some(spent), None) => {
            run.spent = Some((spent, tx.now));
            run.used.exchanges = run.used.exchanges.saturating_add(1);
        }
        (None, _) => run.used.exchanges = run.used.exchanges.saturating_add(1),
    }
    keep(tx.db(), run)?;
    Ok(spent.map_or(Ok(()), |spent| Err(RunRefusal::Spent(spent))))
}

/// Counts a pass that was handed out.
pub(crate) fn handed(
    tx: &mut Tx<'_>,
    session: &Session,
    entered: &mut Entered,
    resource: Option<&str>,
) -> Result<(), StoreError> {
    let run = &mut entered.run;
    run.used.tokens = run.used.tokens.saturating_add(1);
    if let Some(url) = resource.filter(|url| run.resources.iter().all(|known| known != url)) {
        run.resources.push(url.to_owned());
        run.used.resources = run.used.resources.saturating_add(1);
    }
    match entered.begins {
        true => insert(tx, session, run),
        false => keep(tx.db(), run),
    }
}

fn keep(db: &Connection, run: &Run) -> Result<(), StoreError> {
    let (spent, at) = match run.spent {
        Some((spent, at)) => (Some(spent.text()), Some(at.millis())),
        None => (None, None),
    };
    db.run(
        "UPDATE runs SET used = ?2, resources = ?3, seen = ?4, spent = ?5, spent_at = ?6, budget = ?7 WHERE id = ?1",
        (
            run.id.bytes(),
            json(&run.used),
            run.resources.join("\n"),
            run.seen.millis(),
            spent,
            at,
            json(&run.budget),
        ),
    )?;
    Ok(())
}

/// The agents of a run and of those above it, the one that acts first.
pub(crate) fn chain(db: &Connection, run: &Run) -> Result<Vec<Acting>, StoreError> {
    let mut chain = vec![run.acting()];
    let mut above = run.above;
    while let Some(id) = above {
        let Some(run) = find(db, id)? else { break };
        chain.push(run.acting());
        above = run.above;
    }
    Ok(chain)
}

/// The same detail with who acts.
pub(crate) fn with_acting(detail: Detail, acting: Acting) -> Detail {
    detail.with(Key::AGENT, acting.agent.to_string()).with(Key::RUN, acting.run.to_string())
}

/// Lets a run use as much again as its agent's budget, as its person does who was asked.
#[derive(Debug, Clone, Copy)]
pub struct ExtendRun {
    /// Where.
    pub org: OrgId,
    /// Whose it must be.
    pub person: PrincipalId,
    /// Which.
    pub run: CredentialId,
}

impl Change for ExtendRun {
    /// The run as it is now; `None` if there is no such run of theirs that still goes on.
    type Outcome = Option<Run>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = find(tx.db(), self.run)?.filter(|run| {
            run.org == self.org && run.person == self.person && run.ended.is_none() && tx.now < run.expires
        });
        let Some(mut run) = found else { return Ok(None) };
        let more: Option<Budget> =
            tx.db().one("SELECT budget FROM agents WHERE id = ?1", [run.agent.bytes()], |row| row.json(0))?;
        run.budget = run.budget.and_again(more.unwrap_or_default());
        run.spent = None;
        keep(tx.db(), &run)?;
        let detail = with_acting(Detail::new().with(Key::CHANGE, "budget"), run.acting());
        let entry = Entry { detail, ..entry_of(tx, Event::Changed, &run) };
        tx.record(entry);
        Ok(Some(run))
    }
}

pub(crate) fn entry_of(tx: &Tx<'_>, event: Event, run: &Run) -> Entry {
    Entry {
        org: Some(run.org),
        principal: Some(run.person),
        client: Some(run.client),
        device: run.device,
        session: Some(run.session),
        credential: Some(run.id),
        ..tx.entry(event)
    }
}

impl Store {
    /// The runs of a person that are not over, the newest first.
    pub async fn list_runs_of(&self, person: PrincipalId, now: Timestamp) -> Result<Vec<Run>, StoreError> {
        self.read(|db| live_runs(db, person, now))
    }

    /// The run of this id, over or not, for as long as it is known.
    pub async fn find_run(&self, run: CredentialId) -> Result<Option<Run>, StoreError> {
        self.read(|db| find(db, run))
    }
}

fn live_of(db: &Connection, person: PrincipalId, now: Timestamp) -> Result<usize, StoreError> {
    let live: Option<u32> = db.one(
        "SELECT count(*) FROM runs WHERE person = ?1 AND expires > ?2 AND ended IS NULL",
        (person.bytes(), now.millis()),
        |row| row.get(0),
    )?;
    Ok(live.unwrap_or_default() as usize)
}

pub(crate) fn live_runs(
    db: &Connection,
    person: PrincipalId,
    now: Timestamp,
) -> Result<Vec<Run>, StoreError> {
    let runs = db.all(
        "SELECT r.id, r.org, r.agent, a.handle, r.person, r.client, r.device, r.session, r.above, r.depth, r.scopes, r.purpose, \
         r.budget, r.used, r.resources, r.spent, r.spent_at, r.created, r.seen, r.expires, r.ended, r.why \
         FROM runs r JOIN agents a ON a.id = r.agent WHERE r.person = ?1 AND r.expires > ?2 AND r.ended IS NULL \
         ORDER BY r.id DESC",
        (person.bytes(), now.millis()),
        read,
    )?;
    let mut live = Vec::with_capacity(runs.len());
    for run in runs {
        // What ended with its device, client or org stands in no row of its own.
        if let Some(loaded) = load(db, run.session)?
            && is_session_dead(db, &loaded.session)?.is_none()
        {
            live.push(run);
        }
    }
    Ok(live)
}

/// Runs below a session, over or not, for as long as they are known: the newest first.
pub(crate) fn of_session(db: &Connection, session: SessionId, limit: u32) -> Result<Vec<Run>, StoreError> {
    db.all(
        "SELECT r.id, r.org, r.agent, a.handle, r.person, r.client, r.device, r.session, r.above, r.depth, r.scopes, r.purpose, \
         r.budget, r.used, r.resources, r.spent, r.spent_at, r.created, r.seen, r.expires, r.ended, r.why \
         FROM runs r JOIN agents a ON a.id = r.agent WHERE r.session = ?1 ORDER BY r.id DESC LIMIT ?2",
        (session.bytes(), limit),
        read,
    )
}

pub(crate) fn find(db: &Connection, run: CredentialId) -> Result<Option<Run>, StoreError> {
    db.one(
        "SELECT r.id, r.org, r.agent, a.handle, r.person, r.client, r.device, r.session, r.above, r.depth, r.scopes, r.purpose, \
         r.budget, r.used, r.resources, r.spent, r.spent_at, r.created, r.seen, r.expires, r.ended, r.why \
         FROM runs r JOIN agents a ON a.id = r.agent WHERE r.id = ?1",
        [run.bytes()],
        read,
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    let spent = match row.maybe_time(16)? {
        Some(at) => Some((row.word::<Spent>(15)?, at)),
        None => None,
    };
    let ended = match row.maybe_time(20)? {
        Some(at) => Some((at, row.word::<Why>(21)?)),
        None => None,
    };
    let resources = row.text(14)?;
    Ok(Run {
        id: row.id(0)?,
        org: row.id(1)?,
        agent: row.id(2)?,
        handle: row.word(3)?,
        person: row.id(4)?,
        client: row.id(5)?,
        device: row.maybe_id(6)?,
        session: row.id(7)?,
        above: row.maybe_id(8)?,
        depth: row.get(9)?,
        scopes: row.word(10)?,
        purpose: row.word(11)?,
        budget: row.json(12)?,
        used: row.json(13)?,
        resources: resources.lines().map(str::to_owned).collect(),
        spent,
        created: row.time(17)?,
        seen: row.time(18)?,
        expires: row.time(19)?,
        ended,
    })
}
