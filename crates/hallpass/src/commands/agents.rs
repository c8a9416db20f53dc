//! `hallpass agents`: what acts for a person and as itself, and what of it runs.

use clap::{Args, Subcommand};
use hallpass_holder::api::{ApiClient, ApiError};
use hallpass_holder::{Holder, Identity, PassRequest};
use hallpass_model::agent::{AgentKind, Budget};
use hallpass_model::id::CredentialId;
use hallpass_model::lifetimes::AGENT_RUN;
use hallpass_model::principal::Handle;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::agents::{AgentLine, AgentsList, RunLine, RunsEnded};
use hallpass_model::wire::errors::OAuthErrorBody;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::admin::table::{Table, plain};
use crate::failure::{Exit, Failure};
use crate::holding::{WhichArgs, parse_scope, scopes};
use crate::output::{Form, Output};

/// A page of an answer at most: as many agents and runs as one person may have, and room.
const ANSWER_MAX: usize = 1024 * 1024;

/// List what acts for you as itself, end it, or let it go on
///
/// An agent is software that acts for you and is seen as itself: what it does is recorded with its name beside yours. You
/// say once what it may have at most; `hallpass exec --agent NAME` starts a run of it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  hallpass agents add coder --kind coding --scope notes:read --longest 4h
  hallpass exec --agent coder --purpose 'fix the build' -- ./agent.sh
  hallpass agents
  hallpass agents end --all"
)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    command: Option<AgentsCommand>,

    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Subcommand)]
enum AgentsCommand {
    /// Register an agent, or say anew what one may have
    Add(Box<AddArgs>),
    /// Take an agent out of use and end its runs
    Retire(RetireArgs),
    /// End runs: one, all of an agent, or all there are
    End(EndArgs),
    /// Let a run that has used up its budget use as much again
    Continue(ContinueArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Handle,

    /// What it is: `coding`, `assistant`, `automation` or `other`
    #[arg(long, value_name = "KIND", default_value_t = AgentKind::Other)]
    kind: AgentKind,

    /// A scope it may have; what you have not it never gets
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = parse_scope)]
    scopes: Vec<String>,

    /// How long one run may last, such as `30m` or `8h`; 24h is the longest there is
    #[arg(long, value_name = "TIME", default_value_t = AGENT_RUN)]
    longest: Lifetime,

    /// Tokens that a run may have before you are asked
    #[arg(long, value_name = "N", default_value_t = Budget::default().tokens)]
    tokens: u32,

    /// Requests for tokens that a run may make before you are asked, those that are refused included
    #[arg(long, value_name = "N", default_value_t = Budget::default().exchanges)]
    exchanges: u32,

    /// Different APIs that a run may reach before you are asked
    #[arg(long, value_name = "N", default_value_t = Budget::default().resources)]
    resources: u32,

    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Args)]
struct RetireArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Handle,

    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Args)]
struct EndArgs {
    /// The run, as `hallpass agents` lists it
    #[arg(value_name = "RUN", required_unless_present_any = ["agent", "all"], conflicts_with_all = ["agent", "all"])]
    run: Option<CredentialId>,

    /// All runs of this agent
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    agent: Option<Handle>,

    /// All runs of all your agents
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    which: WhichArgs,
}

#[derive(Debug, Args)]
struct ContinueArgs {
    /// The run, as `hallpass agents` lists it
    #[arg(value_name = "RUN")]
    run: CredentialId,

    #[command(flatten)]
    which: WhichArgs,
}

/// `hallpass.agents/1`: times as people and programs read them.
#[derive(Serialize)]
struct Listed<'a> {
    agents: Vec<ShownAgent<'a>>,
    runs: Vec<ShownRun<'a>>,
}

/// `hallpass.agent/1`, and one of those.
#[derive(Serialize)]
struct ShownAgent<'a> {
    id: String,
    name: &'a str,
    kind: AgentKind,
    scope: String,
    longest_seconds: i64,
    budget: Budget,
    created: String,
    retired: Option<String>,
}

/// `hallpass.agent_run/1`, and one of those.
#[derive(Serialize)]
struct ShownRun<'a> {
    run: String,
    agent: &'a str,
    purpose: &'a str,
    scope: String,
    resources: &'a [String],
    session: String,
    started_by: Option<String>,
    budget: Budget,
    used: Budget,
    waits_for_you: Option<&'static str>,
    began: String,
    last_asked: String,
    ends: String,
}

impl<'a> ShownAgent<'a> {
    fn of(agent: &'a AgentLine) -> Self {
        Self {
            id: agent.id.to_string(),
            name: &agent.name,
            kind: agent.kind,
            scope: agent.scope.to_string(),
            longest_seconds: agent.longest.as_seconds(),
            budget: agent.budget,
            created: agent.created.to_string(),
            retired: agent.retired.map(|at| at.to_string()),
        }
    }
}

impl<'a> ShownRun<'a> {
    fn of(run: &'a RunLine) -> Self {
        Self {
            run: run.run.to_string(),
            agent: &run.agent,
            purpose: &run.purpose,
            scope: run.scope.to_string(),
            resources: &run.resources,
            session: run.session.to_string(),
            started_by: run.above.map(|above| above.to_string()),
            budget: run.budget,
            used: run.used,
            waits_for_you: run.spent.map(|spent| spent.text()),
            began: run.began.to_string(),
            last_asked: run.seen.to_string(),
            ends: run.expires.to_string(),
        }
    }
}

pub(crate) async fn agents(args: AgentsArgs, out: &mut Output) -> Result<Exit, Failure> {
    match args.command {
        None => list(&args.which, out).await,
        Some(AgentsCommand::Add(args)) => add(&args, out).await,
        Some(AgentsCommand::Retire(args)) => retire(&args, out).await,
        Some(AgentsCommand::End(args)) => end(&args, out).await,
        Some(AgentsCommand::Continue(args)) => go_on(&args, out).await,
    }
}

async fn list(which: &WhichArgs, out: &mut Output) -> Result<Exit, Failure> {
    let AgentsList { agents, runs } = Issuer::of(which, out)?.get("api/agents").await?;
    if out.form() == Form::Json {
        let (agents, runs) = (agents.iter().map(ShownAgent::of), runs.iter().map(ShownRun::of));
        out.json("hallpass.agents/1", &Listed { agents: agents.collect(), runs: runs.collect() })?;
        return Ok(Exit::DONE);
    }
    if agents.is_empty() {
        out.say("you have no agents: `hallpass agents add NAME --scope SCOPE` registers one");
        return Ok(Exit::DONE);
    }
    if runs.is_empty() {
        out.say("nothing runs");
    } else {
        let mut table = Table::new(["RUN", "AGENT", "PURPOSE", "BEGAN", "LAST ASKED", "USED", "STATE"]);
        for run in &runs {
            let state = match run.spent {
                Some(spent) => format!("over its {}: waits for you", spent.text()),
                None => format!("until {}", run.expires),
            };
            let used = format!("{}/{} tokens", run.used.tokens, run.budget.tokens);
            let (began, seen) = (run.began.to_string(), run.seen.to_string());
            table.row([&run.run.to_string(), &run.agent, &run.purpose, &began, &seen, &used, &state]);
        }
        out.answer(table.to_string().trim_end())?;
        out.answer("")?;
    }
    let mut table = Table::new(["AGENT", "KIND", "SCOPES", "LONGEST RUN", "STATE"]);
    for agent in &agents {
        let state = agent.retired.map(|at| format!("retired {at}")).unwrap_or_else(|| "in use".into());
        let (scope, longest) = (agent.scope.to_string(), agent.longest.to_string());
        table.row([&agent.name, agent.kind.text(), &scope, &longest, &state]);
    }
    out.answer(table.to_string().trim_end())?;
    Ok(Exit::DONE)
}

async fn add(args: &AddArgs, out: &mut Output) -> Result<Exit, Failure> {
    let form = [
        ("name", args.name.to_string()),
        ("kind", args.kind.to_string()),
        ("scope", scopes(&args.scopes).to_string()),
        ("longest", args.longest.as_seconds().to_string()),
        ("tokens", args.tokens.to_string()),
        ("exchanges", args.exchanges.to_string()),
        ("resources", args.resources.to_string()),
    ];
    let agent: AgentLine = Issuer::of(&args.which, out)?.post("api/agents", &form).await?;
    if out.form() == Form::Json {
        out.json("hallpass.agent/1", &ShownAgent::of(&agent))?;
        return Ok(Exit::DONE);
    }
    out.say(format_args!(
        "`{}` may have `{}`, for {} at a time: `hallpass exec --agent {} --purpose TEXT -- COMMAND`",
        agent.name, agent.scope, agent.longest, agent.name
    ));
    Ok(Exit::DONE)
}

async fn retire(args: &RetireArgs, out: &mut Output) -> Result<Exit, Failure> {
    let form = [("agent", args.name.to_string())];
    let ended: RunsEnded = Issuer::of(&args.which, out)?.post("api/agents/retire", &form).await?;
    told(&ended, &format!("`{}` is retired", args.name), out)
}

async fn end(args: &EndArgs, out: &mut Output) -> Result<Exit, Failure> {
    let form = match (&args.run, &args.agent) {
        (Some(run), _) => [("run", run.to_string())],
        (None, Some(agent)) => [("agent", agent.to_string())],
        (None, None) => [("all", "true".to_owned())],
    };
    let ended: RunsEnded = Issuer::of(&args.which, out)?.post("api/runs/end", &form).await?;
    if ended.ended == 0 && args.run.is_some() {
        return Err(
            Failure::no("there is no such run that goes on").hint("`hallpass agents` lists what does")
        );
    }
    told(&ended, "ended", out)
}

async fn go_on(args: &ContinueArgs, out: &mut Output) -> Result<Exit, Failure> {
    let form = [("run", args.run.to_string())];
    let run: RunLine = Issuer::of(&args.which, out)?.post("api/runs/continue", &form).await?;
    if out.form() == Form::Json {
        out.json("hallpass.agent_run/1", &ShownRun::of(&run))?;
        return Ok(Exit::DONE);
    }
    let Budget { tokens, exchanges, resources } = run.budget;
    out.say(format_args!(
        "`{}` goes on: {tokens} tokens, {exchanges} requests and {resources} APIs in all, until {}",
        plain(&run.agent),
        run.expires
    ));
    Ok(Exit::DONE)
}

fn told(ended: &RunsEnded, what: &str, out: &mut Output) -> Result<Exit, Failure> {
    if out.form() == Form::Json {
        out.json("hallpass.agent_runs_ended/1", ended)?;
        return Ok(Exit::DONE);
    }
    out.say(match ended.ended {
        0 => format!("{what}; nothing was running"),
        1 => format!("{what}: 1 run, and every token it had"),
        more => format!("{what}: {more} runs, and every token they had"),
    });
    Ok(Exit::DONE)
}

/// Ends a run that could not be ended by giving its token back, because that was over. What cannot be done is over by itself
/// when the run's time is up.
pub(super) async fn end_quietly(holder: &Holder, identity: &Identity, run: CredentialId) {
    if let Ok(issuer) = Issuer::at(holder, identity) {
        let form = [("run", run.to_string())];
        let ending = issuer.post::<RunsEnded>("api/runs/end", &form);
        let _ = tokio::time::timeout(END_TIME_OUT, ending).await;
    }
}

/// How long the end of a run may keep a person waiting.
const END_TIME_OUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The issuer, asked as the person.
struct Issuer(ApiClient);

impl Issuer {
    fn of(which: &WhichArgs, out: &mut Output) -> Result<Self, Failure> {
        let (holder, identity) = which.whose(out)?;
        Self::at(&holder, &identity)
    }

    /// A token for the issuer itself stays bound to the sign-in's key, and goes nowhere else.
    fn at(holder: &Holder, identity: &Identity) -> Result<Self, Failure> {
        let request = PassRequest::default().resource(identity.issuer.clone());
        let base = format!("{}/", identity.issuer.trim_end_matches('/'));
        let base: Url = base.parse().map_err(|why| Failure::usage(format_args!("`{base}`: {why}")))?;
        Ok(Self(ApiClient::new(holder, identity, request)?.at(base)))
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Failure> {
        read(self.0.get(path).send().await).await
    }

    async fn post<A: DeserializeOwned>(&self, path: &str, form: &[(&str, String)]) -> Result<A, Failure> {
        read(self.0.post(path).with(|builder| builder.form(form)).send().await).await
    }
}

async fn read<A: DeserializeOwned>(answer: Result<reqwest::Response, ApiError>) -> Result<A, Failure> {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(ApiError::Holder(error)) => return Err(error.into()),
        Err(other) => return Err(unreachable(other)),
    };
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(no_agents("its answer is too long"));
        }
    }
    if answer.status().is_success() {
        return serde_json::from_slice(&body).map_err(|_| no_agents("its answer is not one of Hallpass's"));
    }
    match OAuthErrorBody::parse(&body) {
        Some(said) => {
            let told = said.error_description.unwrap_or_else(|| said.error.text().to_owned());
            Err(Failure::refused(format_args!("refused: {}", plain(&told))))
        }
        None => Err(no_agents("there is nothing at its address for agents")),
    }
}

fn unreachable(why: impl std::fmt::Display) -> Failure {
    Failure::try_later(format_args!("the issuer did not answer: {why}"))
        .hint("nothing was changed, as far as is known; `hallpass agents` says what runs")
}

fn no_agents(why: &str) -> Failure {
    Failure::refused(format_args!("the issuer knows no agents: {why}"))
        .hint("agents are registered at a Hallpass issuer; with another, a command has your own token")
}
