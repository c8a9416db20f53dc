//! `hallpass admin agent`, and what came of what.

use clap::{Args, Subcommand};

use super::table::Table;
use super::{HandleArgs, OrgArg, give, give_list, plain};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    AgentOf, AgentShown, LineageAsk, LineageNode, LineageShown, OneOf, RunOf, RunShown, RunsEnded,
};

/// List people's agents and their runs, and end them
#[derive(Debug, Subcommand)]
pub(super) enum AgentCommand {
    /// List a person's agents
    List(HandleArgs),
    /// List the runs of a person's agents
    Runs(HandleArgs),
    /// End a run, and the runs that it started
    End(RunArgs),
    /// End every run of a person's agents; the person stays logged in
    EndAll(HandleArgs),
    /// Take an agent of a person's out of use, and end its runs
    Retire(RetireArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The run, such as `crd_01h455vb4pex5vsknk084sn02q`
    #[arg(value_name = "RUN")]
    run: String,
}

#[derive(Debug, Args)]
pub(super) struct RetireArgs {
    /// The agent's short name
    #[arg(value_name = "AGENT")]
    agent: String,

    /// The person's short name
    #[arg(long, value_name = "HANDLE")]
    person: String,

    #[command(flatten)]
    org: OrgArg,
}

/// Show what came of what, below a person or a session
///
/// Of a run, a lease or its pass, the session that it hangs on is shown, with all that hangs on that.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hallpass admin lineage ses_01h455vb4pex5vsknk084sn02q")]
pub(super) struct LineageArgs {
    /// The id of a person, a session, a run, a lease or its pass
    #[arg(value_name = "ID")]
    of: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: AgentCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        AgentCommand::List(args) => {
            let agents: Vec<AgentShown> = server.ask("agent.list", &one(args)).await?;
            give_list(out, "hallpass.admin.agents/1", &agents, "no agent", |agents| {
                let mut table = Table::new(["AGENT", "KIND", "MAY HAVE", "RUN AT MOST", "STATE"]);
                for agent in agents {
                    let scopes = agent.scopes.join(" ");
                    table.row([&agent.name, &agent.kind, &scopes, &agent.longest.to_string(), &agent.state]);
                }
                table
            })
        }
        AgentCommand::Runs(args) => {
            let runs: Vec<RunShown> = server.ask("run.list", &one(args)).await?;
            give_list(out, "hallpass.admin.runs/1", &runs, "nothing runs", |runs| {
                let mut table = Table::new(["RUN", "AGENT", "PURPOSE", "MAY HAVE", "BEGAN", "ENDS"]);
                for run in runs {
                    let scopes = run.scopes.join(" ");
                    table.row([&run.id, &run.agent, &run.purpose, &scopes, &run.created, &run.expires]);
                }
                table
            })
        }
        AgentCommand::End(args) => {
            let form = RunOf { org: None, run: args.run };
            tell_ended(server.ask("run.end", &form).await?, out)
        }
        AgentCommand::EndAll(args) => tell_ended(server.ask("run.end_all", &one(args)).await?, out),
        AgentCommand::Retire(args) => {
            let form = AgentOf { org: args.org.org, handle: args.person, agent: args.agent };
            tell_ended(server.ask("agent.retire", &form).await?, out)
        }
    }
}

fn one(args: HandleArgs) -> OneOf {
    OneOf { org: args.org.org, handle: args.handle }
}

fn tell_ended(ended: RunsEnded, out: &mut Output) -> Result<Exit, Failure> {
    match ended.runs {
        0 => out.say(format_args!("no run was going on")),
        1 => out.say(format_args!("ended one run")),
        runs => out.say(format_args!("ended {runs} runs")),
    }
    give(out, "hallpass.admin.runs-ended/1", &ended, |_| String::new())
}

pub(super) async fn lineage(
    args: LineageArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let lineage: LineageShown =
        server.ask("lineage.show", &LineageAsk { org: args.org.org, of: args.of }).await?;
    if lineage.more {
        out.say(format_args!("there is more: these are the newest"));
    }
    give(out, "hallpass.admin.lineage/1", &lineage, |lineage| {
        let mut lines = String::new();
        indent(&lineage.nodes, None, 0, &mut lines);
        lines.trim_end().to_owned()
    })
}

/// Each node under what it came of.
fn indent(nodes: &[LineageNode], above: Option<&str>, depth: usize, lines: &mut String) {
    for node in nodes.iter().filter(|node| node.above.as_deref() == above) {
        let why = node.why.as_deref().map(|why| format!(": {}", why.replace('_', " "))).unwrap_or_default();
        let about = if node.about.is_empty() { String::new() } else { format!(" ({})", plain(&node.about)) };
        lines.push_str(&format!(
            "{:width$}{} {}{about}, {}{why}, {}\n",
            "",
            node.sort,
            plain(&node.name),
            node.state,
            node.id,
            width = 2 * depth,
        ));
        indent(nodes, Some(&node.id), depth + 1, lines);
    }
}
