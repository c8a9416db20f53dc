//! `hallpass admin owner`, and what is said where an owner leaves.

use clap::{Args, Subcommand};

use super::table::Table;
use super::{OrgArg, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{OwnedBy, OwnedShown, OwnerShown, OwnerTransfer};

/// See who answers for what, and have somebody else answer for it
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Have somebody else answer for clients and resources
    ///
    /// Whoever takes them over must be able to: an active person, or a team with one in it. All are taken over, or none.
    /// What was suspended since its owner left is back in use. Recorded as `owner_changed`. A client's trusts go with it, and
    /// are listed after it.
    #[command(after_help = "\
Examples:
  hallpass admin owner transfer client:notes-api --to team:platform
  hallpass admin owner transfer --from person:grace --all --to team:platform --dry-run
  hallpass admin owner transfer --from person:grace --client notes-api --to person:ada")]
    Transfer(TransferArgs),
    /// List what somebody answers for: you and your teams, with `--at`
    #[command(after_help = "\
Examples:
  hallpass admin owner list team:platform
  hallpass admin --at https://id.example/acme owner list")]
    List(OwnerListArgs),
}

#[derive(Debug, Args)]
pub(super) struct OwnerListArgs {
    /// Whose: `person:HANDLE` or `team:HANDLE`
    #[arg(value_name = "OWNER")]
    owner: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct TransferArgs {
    /// What: `client:HANDLE`, `resource:URL` or `key:HANDLE`
    #[arg(value_name = "THING")]
    things: Vec<String>,

    /// A client, by its short name; give it once for each
    #[arg(long = "client", value_name = "HANDLE")]
    clients: Vec<String>,

    /// A resource, by its URL; give it once for each
    #[arg(long = "resource", value_name = "URL")]
    resources: Vec<String>,

    /// Whose they must be: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    from: Option<String>,

    /// Everything that the owner of `--from` answers for
    #[arg(long, requires = "from", conflicts_with_all = ["things", "clients", "resources"])]
    all: bool,

    /// Who answers for it from now on: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    to: String,

    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: OwnerCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let args = match command {
        OwnerCommand::Transfer(args) => args,
        OwnerCommand::List(args) => return list(args, server, out).await,
    };
    let mut things = args.things;
    things.extend(args.clients.into_iter().map(|handle| format!("client:{handle}")));
    things.extend(args.resources.into_iter().map(|url| format!("resource:{url}")));
    let form = OwnerTransfer {
        org: args.org.org,
        from: args.from,
        things,
        all: args.all,
        to: args.to,
        dry_run: args.dry_run,
    };
    let taken: Vec<OwnerShown> = server.ask("owner.transfer", &form).await?;
    if form.dry_run {
        out.say("nothing was changed: this is what would be");
    }
    give_list(out, "hallpass.admin.owners/1", &taken, "they answer for nothing", |taken| {
        let mut table = Table::new(["THING", "FROM", "TO", "CHANGE"]);
        for one in taken {
            let change = match &one.with {
                Some(client) => format!("with {client}"),
                None => one.change.clone(),
            };
            table.row([&one.thing, &one.from, &one.to, &change]);
        }
        table
    })
}

async fn list(args: OwnerListArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let form = OwnedBy { org: args.org.org, owner: args.owner };
    let owned: Vec<OwnedShown> = server.ask("owner.list", &form).await?;
    give_list(out, "hallpass.admin.owned/1", &owned, "they answer for nothing", |owned| {
        let mut table = Table::new(["THING", "OWNER", "STATE"]);
        for one in owned {
            table.row([&one.thing, &one.owner, &one.state]);
        }
        table
    })
}

/// Says what became of what somebody answered for who left.
pub(super) fn say_left(suspended: &[String], handed_over: &[String], out: &mut Output) {
    for thing in suspended {
        out.say(format_args!("suspended `{thing}`: nobody answers for it"));
    }
    for thing in handed_over {
        out.say(format_args!("handed `{thing}` over to `team:administrators`"));
    }
    if !suspended.is_empty() {
        out.say(
            "what is suspended is back in use once somebody takes it over: `hallpass admin owner transfer`",
        );
    }
}
