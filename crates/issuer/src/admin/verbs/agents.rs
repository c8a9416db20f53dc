//! Agents of people, and their runs.

use hallpass_model::agent::Agent;
use hallpass_model::cut::Why;
use hallpass_model::id::CredentialId;
use hallpass_store::{EndRuns, RetireAgent, Run, WhichRuns};

use super::clients::list_scopes;
use crate::admin::forms::{AgentOf, AgentShown, OneOf, RunOf, RunShown, RunsEnded};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn list(office: &Office, form: OneOf) -> Result<Vec<AgentShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let agents = office.store().list_agents_of(person.id).await?;
    Ok(agents.into_iter().map(shown).collect())
}

/// Takes an agent out of use, with all its runs. Its person may register it again.
pub(super) async fn retire(office: &Office, form: AgentOf) -> Result<RunsEnded, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let handle = form.agent.parse().map_err(Refused::usage)?;
    let retire = RetireAgent { org: org.id, person: person.id, handle, why: Why::EndedByAdministrator };
    match office.change(retire).await? {
        Some(ended) => Ok(RunsEnded { runs: ended.runs }),
        None => {
            Err(Refused::not_there(format_args!("`{}` has no agent `{}` in use", form.handle, form.agent)))
        }
    }
}

pub(super) async fn list_runs(office: &Office, form: OneOf) -> Result<Vec<RunShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let runs = office.store().list_runs_of(person.id, office.now()).await?;
    Ok(runs.into_iter().map(run_shown).collect())
}

pub(super) async fn end_run(office: &Office, form: RunOf) -> Result<RunsEnded, Refused> {
    let absent = || Refused::not_there(format_args!("there is no run `{}`", form.run));
    let id: CredentialId = form.run.parse().map_err(Refused::usage)?;
    let run = office.store().find_run(id).await?.ok_or_else(absent)?;
    if form.org.is_some() && office.org(form.org.as_deref()).await?.id != run.org {
        return Err(absent());
    }
    end(office, run.org, run.person, WhichRuns::One(id)).await
}

/// Every run of every agent of a person's. Their own sessions go on.
pub(super) async fn end_all(office: &Office, form: OneOf) -> Result<RunsEnded, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    end(office, org.id, person.id, WhichRuns::All).await
}

async fn end(
    office: &Office,
    org: hallpass_model::id::OrgId,
    person: hallpass_model::id::PrincipalId,
    which: WhichRuns,
) -> Result<RunsEnded, Refused> {
    let ended = office.change(EndRuns { org, person, which, why: Why::EndedByAdministrator }).await?;
    Ok(RunsEnded { runs: ended.runs })
}

fn shown(agent: Agent) -> AgentShown {
    AgentShown {
        id: agent.id.to_string(),
        name: agent.handle.to_string(),
        kind: agent.kind.text().to_owned(),
        scopes: list_scopes(&agent.scopes),
        longest: agent.longest,
        state: agent.retired.map_or_else(|| "active".to_owned(), |at| format!("retired {at}")),
        created: agent.created.to_string(),
    }
}

fn run_shown(run: Run) -> RunShown {
    RunShown {
        id: run.id.to_string(),
        agent: run.handle.to_string(),
        purpose: run.purpose.to_string(),
        scopes: list_scopes(&run.scopes),
        resources: run.resources,
        session: run.session.to_string(),
        above: run.above.map(|above| above.to_string()),
        waits: run.spent.map(|(spent, _)| spent.text().to_owned()),
        created: run.created.to_string(),
        seen: run.seen.to_string(),
        expires: run.expires.to_string(),
    }
}
