//! A person's agents, for the person's own tool: registered, listed, taken out of use; their runs ended, and let go on. Ours:
//! no standard has it. `GET` and `POST /{org}/api/agents`, `POST /{org}/api/agents/retire`, `/api/runs/end` and
//! `/api/runs/continue`.
//!
//! SECURITY: it is the person who says what an agent may, over their own session with its key proven. A token with `act` in it
//! says nothing here, whatever it may do elsewhere.

use axum::response::Response;
use hallpass_model::agent::{Agent, BUDGET_MAX, Budget, longest};
use hallpass_model::cut::Why;
use hallpass_model::id::PrincipalId;
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::AGENT_RUN_MAX;
use hallpass_model::principal::Handle;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::agents::{AgentLine, AgentsList, RunLine, RunsEnded};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, Scopes};
use hallpass_store::{
    AgentRegistered, Change, EndRuns, ExtendRun, RegisterAgent, RetireAgent, Run, WhichRuns,
};
use http::StatusCode;

use crate::caller::TokenCaller;
use crate::error::{OAuthError, json};
use crate::form::Asked;

/// Where each stands below the issuer.
const AGENTS: &str = "api/agents";
const RETIRE: &str = "api/agents/retire";
const END: &str = "api/runs/end";
const CONTINUE: &str = "api/runs/continue";

/// `GET /{org}/api/agents`.
pub(crate) async fn list(asked: Asked) -> Result<Response, OAuthError> {
    answered(&asked, async { Ok(json(StatusCode::OK, &listed(&asked).await?)) }).await
}

/// `POST /{org}/api/agents`.
pub(crate) async fn register(asked: Asked) -> Result<Response, OAuthError> {
    answered(&asked, async {
        let person = person(&asked, AGENTS).await?;
        let wanted = wanted(&asked, person)?;
        let (status, agent) = match change(&asked, person, wanted).await? {
            AgentRegistered::Added(agent) => (StatusCode::CREATED, agent),
            AgentRegistered::Changed(agent) => (StatusCode::OK, agent),
            AgentRegistered::TooMany => {
                return Err(refused("there are as many agents as one person may have"));
            }
            AgentRegistered::NoPerson => return Err(refused("the person is not in use")),
        };
        Ok(json(status, &agent_line(agent)))
    })
    .await
}

/// `POST /{org}/api/agents/retire`.
pub(crate) async fn retire(asked: Asked) -> Result<Response, OAuthError> {
    answered(&asked, async {
        let person = person(&asked, RETIRE).await?;
        let retire = RetireAgent {
            org: asked.org.id(),
            person,
            handle: handle(&asked.form, "agent")?,
            why: Why::EndedByPerson,
        };
        let ended = change(&asked, person, retire).await?.ok_or_else(no_agent)?;
        Ok(json(StatusCode::OK, &RunsEnded { ended: ended.runs }))
    })
    .await
}

/// `POST /{org}/api/runs/end`.
pub(crate) async fn end(asked: Asked) -> Result<Response, OAuthError> {
    answered(&asked, async {
        let person = person(&asked, END).await?;
        let which = match (asked.form.find("run"), asked.form.find("agent"), asked.form.find("all")) {
            (Some(run), None, None) => WhichRuns::One(run.parse().map_err(|_| no_run())?),
            (None, Some(_), None) => WhichRuns::OfAgent(handle(&asked.form, "agent")?),
            (None, None, Some("true")) => WhichRuns::All,
            _ => return Err(OAuthError::invalid_request("say which: run, agent, or all=true")),
        };
        let end = EndRuns { org: asked.org.id(), person, which, why: Why::EndedByPerson };
        let ended = change(&asked, person, end).await?;
        Ok(json(StatusCode::OK, &RunsEnded { ended: ended.runs }))
    })
    .await
}

/// `POST /{org}/api/runs/continue`.
pub(crate) async fn go_on(asked: Asked) -> Result<Response, OAuthError> {
    answered(&asked, async {
        let person = person(&asked, CONTINUE).await?;
        let run = asked.form.required("run")?.parse().map_err(|_| no_run())?;
        let extend = ExtendRun { org: asked.org.id(), person, run };
        let run = change(&asked, person, extend).await?.ok_or_else(no_run)?;
        Ok(json(StatusCode::OK, &run_line(run)))
    })
    .await
}

async fn answered(
    asked: &Asked,
    answer: impl Future<Output = Result<Response, OAuthError>>,
) -> Result<Response, OAuthError> {
    answer.await.map_err(|error| asked.refuse(error))
}

/// Whose tool asks.
async fn person(asked: &Asked, endpoint: &'static str) -> Result<PrincipalId, OAuthError> {
    asked.slow_down()?;
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint(endpoint)).await?;
    caller.require_audience(asked).await?;
    let place = &caller.token.place;
    let (Some(person), Some(_)) = (place.principal, place.session) else {
        return Err(caller.refused(asked, "no_person", "the access token is of no person's session").await);
    };
    // SECURITY: an agent does not say what agents may, nor how much longer it may go on.
    if place.acting.is_some() {
        let told = "an agent acts with this token, and only its person decides about agents";
        return Err(caller.refused(asked, "agent_decides", told).await);
    }
    match may(Role::Person, Act::RunOwnAgents) {
        true => Ok(person),
        false => Err(caller.refused(asked, "role", "nobody may do this here").await),
    }
}

async fn listed(asked: &Asked) -> Result<AgentsList, OAuthError> {
    let person = person(asked, AGENTS).await?;
    let store = &asked.issuer.store;
    Ok(AgentsList {
        agents: store.list_agents_of(person).await?.into_iter().map(agent_line).collect(),
        runs: store.list_runs_of(person, asked.now).await?.into_iter().map(run_line).collect(),
    })
}

async fn change<C: Change>(asked: &Asked, person: PrincipalId, change: C) -> Result<C::Outcome, OAuthError> {
    asked.count_write()?;
    Ok(asked.issuer.store.change(Actor::Principal(person), asked.now, change).await?)
}

fn wanted(asked: &Asked, person: PrincipalId) -> Result<RegisterAgent, OAuthError> {
    let form = &asked.form;
    let scopes = Scopes::parse(form.required("scope")?).map_err(|bad| {
        OAuthError::new(ErrorCode::InvalidScope, "the scopes are not well-formed").because(bad)
    })?;
    let kind = form.find("kind").unwrap_or("other").parse().map_err(OAuthError::invalid_request)?;
    let longest = match form.find("longest") {
        None => longest(None),
        Some(seconds) => seconds.parse().ok().and_then(|seconds| longest(Some(Lifetime::seconds(seconds)))),
    };
    debug_assert_eq!(AGENT_RUN_MAX, Lifetime::hours(24), "what is told below");
    let longest = longest.ok_or_else(|| {
        OAuthError::invalid_request("longest is a number of seconds above zero, 24 hours at most")
    })?;
    let usual = Budget::default();
    let budget = Budget {
        tokens: number(form, "tokens", usual.tokens)?,
        exchanges: number(form, "exchanges", usual.exchanges)?,
        resources: number(form, "resources", usual.resources)?,
    };
    let handle = handle(form, "name")?;
    Ok(RegisterAgent { org: asked.org.id(), person, handle, kind, scopes, longest, budget })
}

fn number(form: &Form, name: &'static str, usual: u32) -> Result<u32, OAuthError> {
    let Some(text) = form.find(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| (1..=BUDGET_MAX).contains(number));
    number.ok_or_else(|| {
        OAuthError::invalid_request("tokens, exchanges and resources are numbers from 1 to 100000")
    })
}

fn handle(form: &Form, name: &'static str) -> Result<Handle, OAuthError> {
    form.required(name)?.parse().map_err(|bad: hallpass_model::principal::BadHandle| {
        OAuthError::invalid_request("an agent's name is short, of lower-case letters, digits and hyphens")
            .because(bad)
    })
}

fn refused(told: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::AccessDenied, told)
}

fn no_agent() -> OAuthError {
    OAuthError::invalid_request("there is no such agent in use").status(StatusCode::NOT_FOUND)
}

fn no_run() -> OAuthError {
    OAuthError::invalid_request("there is no such run that goes on").status(StatusCode::NOT_FOUND)
}

fn agent_line(agent: Agent) -> AgentLine {
    AgentLine {
        id: agent.id,
        name: agent.handle.to_string(),
        kind: agent.kind,
        scope: agent.scopes,
        longest: agent.longest,
        budget: agent.budget,
        created: agent.created,
        retired: agent.retired,
    }
}

fn run_line(run: Run) -> RunLine {
    RunLine {
        run: run.id,
        agent: run.handle.to_string(),
        purpose: run.purpose.to_string(),
        scope: run.scopes,
        resources: run.resources,
        session: run.session,
        device: run.device,
        above: run.above,
        budget: run.budget,
        used: run.used,
        spent: run.spent.map(|(spent, _)| spent),
        began: run.created,
        seen: run.seen,
        expires: run.expires,
    }
}
