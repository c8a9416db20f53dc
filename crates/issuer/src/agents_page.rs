//! Your agents: what acts for a person, what for, and the buttons that end it or let it go on.

use axum::response::Response;
use hallpass_model::agent::{Agent, Budget};
use hallpass_model::cut::Why;
use hallpass_model::role::Act;
use hallpass_model::time::Timestamp;
use hallpass_store::{EndRuns, ExtendRun, RetireAgent, Run, WhichRuns};
use http::StatusCode;

use crate::authorize::see_other;
use crate::pages::Here;
use crate::pages::account::{AgentEntry, AgentsPage, RunEntry};
use crate::pages::answer::page;
use crate::pages::when::Moment;
use crate::trouble::Trouble;
use crate::web::Person;

/// `GET /{org}/agents`.
pub(crate) async fn show(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::RunOwnAgents).await?;
    let (store, now) = (&person.visit.issuer.store, person.visit.now);
    let runs = store.list_runs_of(person.person.id, now).await?;
    let agents = store.list_agents_of(person.person.id).await?;
    let shown = AgentsPage {
        frame: person.frame(Here::Agents, "Your agents"),
        org: person.head(),
        csrf: person.csrf.clone(),
        runs: runs.iter().map(|run| run_entry(run, now)).collect(),
        agents: agents.iter().filter(|agent| agent.retired.is_none()).map(agent_entry).collect(),
        notice: person.visit.form.find("done").and_then(notice),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// `POST /{org}/agents`: ends runs, lets one go on, or takes an agent out of use.
pub(crate) async fn change(person: Person) -> Result<Response, Trouble> {
    let (org, id) = (person.org.id(), person.person.id);
    let missing = |_| Trouble::not_found().at(person.head());
    let form = &person.visit.form;
    let end = |which| EndRuns { org, person: id, which, why: Why::EndedByPerson };
    let done = match form.find("act") {
        Some("end") => {
            let run = form.required("run")?.parse().map_err(missing)?;
            match person.change(Act::RunOwnAgents, end(WhichRuns::One(run))).await?.runs {
                0 => "gone",
                _ => "ended",
            }
        }
        Some("continue") => {
            let run = form.required("run")?.parse().map_err(missing)?;
            match person.change(Act::RunOwnAgents, ExtendRun { org, person: id, run }).await? {
                Some(_) => "on",
                None => "gone",
            }
        }
        Some("retire") => {
            let handle =
                form.required("agent")?.parse().map_err(|_| Trouble::not_found().at(person.head()))?;
            let retire = RetireAgent { org, person: id, handle, why: Why::EndedByPerson };
            match person.change(Act::RunOwnAgents, retire).await? {
                Some(_) => "retired",
                None => "gone",
            }
        }
        Some("end-all") => {
            person.change(Act::RunOwnAgents, end(WhichRuns::All)).await?;
            "all"
        }
        _ => return Err(Trouble::no_answer().at(person.head())),
    };
    Ok(see_other(&format!("{}?done={done}", person.path("agents"))))
}

fn notice(done: &str) -> Option<&'static str> {
    match done {
        "ended" => Some("Ended. Nothing that the run was given works any more."),
        "all" => Some("All runs ended. Nothing that they were given works any more."),
        "on" => Some("It may go on, and use as much again."),
        "retired" => Some("The agent starts nothing any more, and its runs are ended."),
        "gone" => Some("That was over already."),
        _ => None,
    }
}

fn run_entry(run: &Run, now: Timestamp) -> RunEntry {
    RunEntry {
        id: run.id.to_string(),
        agent: run.handle.to_string(),
        purpose: run.purpose.to_string(),
        scope: run.scopes.to_string(),
        resources: run.resources.join(", "),
        used: used(&run.used, &run.budget),
        spent: run.spent.map(|(spent, _)| spent.text()),
        started_by_run: run.above.is_some(),
        began: Moment::new(run.created, now),
        seen: Moment::new(run.seen, now),
        ends: Moment::new(run.expires, now),
    }
}

fn used(used: &Budget, of: &Budget) -> String {
    format!(
        "{} of {} tokens, {} of {} requests, {} of {} APIs",
        used.tokens, of.tokens, used.exchanges, of.exchanges, used.resources, of.resources
    )
}

fn agent_entry(agent: &Agent) -> AgentEntry {
    AgentEntry {
        name: agent.handle.to_string(),
        kind: agent.kind.text(),
        scope: agent.scopes.to_string(),
        longest: agent.longest.to_string(),
    }
}
