//! `hallpass admin notice`.

use clap::{Args, Subcommand};

use super::table::Table;
use super::{OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{NoticeShown, NoticesOf, NoticesRead, NoticesReadShown};

/// See what owners are told: that something was ended which they answer for
#[derive(Debug, Subcommand)]
pub(super) enum NoticeCommand {
    /// List what somebody is told, newest first: you, with `--at`
    ///
    /// Whoever answers for a client or for an API is told when somebody else ends what it has, or when it ends because something
    /// was used twice that is used once. So is the person whose session it was. A logout is no notice.
    #[command(after_help = "\
Examples:
  hallpass admin --at https://id.example/acme notice list --unread
  hallpass admin notice list --person ada")]
    List(ListArgs),
    /// Note that you have read them, up to this entry of the ledger
    Read(ReadArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Whose, by their short name
    #[arg(long, value_name = "HANDLE")]
    person: Option<String>,

    /// Those alone that were not read
    #[arg(long)]
    unread: bool,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// The entry of the newest of them, as `list` shows it
    #[arg(value_name = "ENTRY")]
    upto: u64,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: NoticeCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        NoticeCommand::List(args) => {
            let form = NoticesOf { org: args.org.org, person: args.person, unread: args.unread };
            let notices: Vec<NoticeShown> = server.ask("notice.list", &form).await?;
            give_list(out, "hallpass.admin.notices/1", &notices, "nothing is to be told", |notices| {
                let mut table = Table::new(["ENTRY", "AT", "EVENT", "WHO", "WHAT", "WHY", "STATE"]);
                for NoticeShown { read, entry } in notices {
                    let state = if *read { "read" } else { "new" };
                    let seq = entry.seq.to_string();
                    table.row([&seq, &entry.at, &entry.event, &entry.who, &entry.what, &entry.why, state]);
                }
                table
            })
        }
        NoticeCommand::Read(args) => {
            let form = NoticesRead { org: args.org.org, upto: args.upto };
            let read: NoticesReadShown = server.ask("notice.read", &form).await?;
            give(out, "hallpass.admin.notices_read/1", &read, |read| format!("read up to {}", read.upto))
        }
    }
}
