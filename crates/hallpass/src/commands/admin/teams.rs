//! `hallpass admin team`.

use clap::{Args, Subcommand};

use super::owners::say_left;
use super::table::{Table, facts};
use super::{HandleArgs, OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{ListOf, OneOf, TeamAdd, TeamMembers, TeamRoleSet, TeamShown};

/// Add, list, show, change, disable and enable teams
#[derive(Debug, Subcommand)]
pub(super) enum TeamCommand {
    /// Add a team of people who answer together
    #[command(after_help = "\
Example:
  hallpass admin team add platform --member ada --member grace")]
    Add(TeamAddArgs),
    /// List the teams of an org
    List(OrgArg),
    /// Show a team
    Show(HandleArgs),
    /// Have people join a team; whoever is in it stays
    #[command(after_help = "\
Example:
  hallpass admin team join platform --member linus")]
    Join(TeamAddArgs),
    /// Have people leave a team; the others stay
    ///
    /// Where nobody active is left in it, what it answered for is suspended until somebody takes it over, and listed.
    Leave(TeamAddArgs),
    /// Say who is in a team, in place of who was
    ///
    /// Where nobody active is left in it, what it answered for is suspended until somebody takes it over, and listed.
    Members(TeamAddArgs),
    /// Say what a team's members are in the org: responders, auditors, or neither
    ///
    /// A responder may stop anything of the org and grant nothing; an auditor may see everything, with proofs, and change
    /// nothing. Both do it by the console, or by `hallpass admin --issuer`.
    #[command(after_help = "\
Example:
  hallpass admin team add security --member grace
  hallpass admin team role security responder")]
    Role(TeamRoleArgs),
    /// Take a team out of use: it can own nothing
    ///
    /// What it answered for is suspended in the same step, and listed, until somebody takes it over: `hallpass admin owner
    /// transfer`.
    Disable(HandleArgs),
    /// Put a team back to use; what is suspended stays so until somebody takes it over
    Enable(HandleArgs),
}

#[derive(Debug, Args)]
pub(super) struct TeamAddArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// A member's short name; give it once for each
    #[arg(long = "member", required = true, value_name = "HANDLE")]
    members: Vec<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct TeamRoleArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// `responder`, `auditor` or `none`
    #[arg(value_name = "ROLE", value_parser = ["responder", "auditor", "none"])]
    role: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: TeamCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        TeamCommand::Add(args) => {
            let form = TeamAdd { org: args.org.org, handle: args.handle, members: args.members };
            show(server.ask("team.add", &form).await?, out)
        }
        TeamCommand::List(args) => {
            let teams: Vec<TeamShown> =
                server.ask("team.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.teams/1", &teams, "no team yet", |teams| {
                let mut table = Table::new(["HANDLE", "STATE", "ROLE", "MEMBERS", "ID"]);
                for team in teams {
                    let role = team.role.as_deref().unwrap_or_default();
                    table.row([&team.handle, &team.state, role, &team.members.join(","), &team.id]);
                }
                table
            })
        }
        TeamCommand::Show(args) => show(server.ask("team.show", &one(args)).await?, out),
        TeamCommand::Join(args) => change("team.join", args, server, out).await,
        TeamCommand::Leave(args) => change("team.leave", args, server, out).await,
        TeamCommand::Members(args) => change("team.members", args, server, out).await,
        TeamCommand::Role(args) => {
            let role = Some(args.role).filter(|role| role != "none");
            let form = TeamRoleSet { org: args.org.org, handle: args.handle, role };
            show(server.ask("team.role", &form).await?, out)
        }
        TeamCommand::Disable(args) => {
            let team: TeamShown = server.ask("team.disable", &one(args)).await?;
            out.say(format_args!("disabled the team `{}`: it can own nothing", team.handle));
            say_left(&team.suspended, &team.handed_over, out);
            show(team, out)
        }
        TeamCommand::Enable(args) => {
            let team: TeamShown = server.ask("team.enable", &one(args)).await?;
            out.say(format_args!("enabled the team `{}`", team.handle));
            show(team, out)
        }
    }
}

async fn change(
    verb: &str,
    args: TeamAddArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = TeamMembers { org: args.org.org, handle: args.handle, members: args.members };
    let team: TeamShown = server.ask(verb, &form).await?;
    say_left(&team.suspended, &team.handed_over, out);
    show(team, out)
}

fn one(args: HandleArgs) -> OneOf {
    OneOf { org: args.org.org, handle: args.handle }
}

fn show(team: TeamShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.team/1", &team, |team| {
        facts([
            ("handle", team.handle.clone()),
            ("id", team.id.clone()),
            ("state", team.state.clone()),
            ("members", team.members.join(", ")),
            ("role", team.role.clone().unwrap_or_default()),
            ("added", team.created.clone()),
        ])
    })
}
