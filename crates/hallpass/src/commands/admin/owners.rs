//! `hallpass admin owner`, and what is said where an owner leaves.

use clap::{Args, Subcommand};

use super::{OrgArg, give};
use crate::admin_socket::client::AdminClient;
use crate::admin_socket::forms::{OwnerShown, OwnerTransfer};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Have somebody else answer for a client or a resource
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Have somebody else answer for a client or a resource
    ///
    /// Whoever takes it over must be able to: an active person, or a team with one in it. Recorded as `owner_changed`.
    #[command(after_help = "\
Examples:
  hallpass admin owner transfer client:notes-api --to team:platform
  hallpass admin owner transfer resource:https://notes.example --to person:grace")]
    Transfer(TransferArgs),
}

#[derive(Debug, Args)]
pub(super) struct TransferArgs {
    /// What: `client:HANDLE` or `resource:URL`
    #[arg(value_name = "THING")]
    thing: String,

    /// Who answers for it from now on: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    to: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: OwnerCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let OwnerCommand::Transfer(args) = command;
    let form = OwnerTransfer { org: args.org.org, thing: args.thing, to: args.to };
    let owner: OwnerShown = server.ask("owner.transfer", &form).await?;
    out.say(match owner.anew {
        true => format!("`{}` answers for `{}` now", owner.owner, owner.thing),
        false => format!("`{}` answers for `{}` already", owner.owner, owner.thing),
    });
    give(out, "hallpass.admin.owner/1", &owner, |_| String::new())
}

/// Says what the administrators answer for from now on, where somebody left who did.
pub(super) fn say_handed_over(things: &[String], out: &mut Output) {
    for thing in things {
        out.say(format_args!("handed `{thing}` over to `team:administrators`"));
    }
}
