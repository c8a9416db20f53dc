//! `hallpass ledger list`.

use clap::Args;

use crate::admin_socket::client::AdminClient;
use crate::commands::admin::plain;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};
use hallpass_issuer::admin::forms::{EntryShown, LedgerAsk};

/// List what was decided and changed, oldest first
///
/// One line an entry: when, what happened, who did it, to what, and why. What was said in person (names, addresses,
/// purposes) is shown until it is erased; the entry itself stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass ledger list --since 2h
  hallpass ledger list --session ses_01h455vb4pex5vsknk084sn02q
  hallpass ledger list --event reused --json
  hallpass ledger list --follow")]
pub(super) struct ListArgs {
    /// Only what happened since: a moment such as `2026-11-22T09:30:00Z`, or how long ago, such as `2h`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only what a person did or was done to: an id or, with one org, a short name
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,

    /// Only what concerns a client
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,

    /// Only what concerns a device
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only what concerns a session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,

    /// Only one kind of event, such as `refreshed`, `reused` or `cut`
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,

    /// Go on with what happens from now on, until interrupted
    #[arg(long, short)]
    follow: bool,

    /// Only what happened in an org
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
}

pub(super) async fn list(args: ListArgs, mut server: AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let question = LedgerAsk {
        org: args.org,
        since: args.since,
        principal: args.principal,
        client: args.client,
        device: args.device,
        session: args.session,
        event: args.event,
        follow: args.follow,
    };
    let mut lines = server.ask_lines("ledger.list", &question).await?;
    let mut shown = 0u64;
    while let Some(entry) = lines.next::<EntryShown>().await? {
        shown += 1;
        match out.form() {
            Form::Json => out.json("hallpass.ledger.entry/1", &entry)?,
            Form::Text => out.answer(line(&entry))?,
        }
    }
    if shown == 0 {
        out.say("no entry");
    }
    Ok(Exit::DONE)
}

/// Time, event, who, what, why.
fn line(entry: &EntryShown) -> String {
    let mut line =
        format!("{}  {:<14}  {:<12}  {}", entry.at, entry.event, plain(&entry.who), plain(&entry.what));
    if !entry.why.is_empty() {
        line.push_str("  ");
        line.push_str(&plain(&entry.why));
    }
    line
}
