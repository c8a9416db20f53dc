//! `hallpass admin session`, `hallpass admin cut` and `hallpass admin approve`.

use clap::{Args, Subcommand};

use super::table::Table;
use super::{OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    Approve, Approved, CutMade, CutMake, SessionEnd, SessionList, SessionShown,
};

/// List and end sessions
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List a person's sessions
    List(SessionListArgs),
    /// End a session, and everything that came of it
    End(SessionEndArgs),
}

#[derive(Debug, Args)]
pub(super) struct SessionListArgs {
    /// The person's short name
    #[arg(long, value_name = "HANDLE")]
    person: String,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct SessionEndArgs {
    /// The session, such as `ses_01h455vb4pex5vsknk084sn02q`
    #[arg(value_name = "SESSION")]
    session: String,
}

/// Cut everything on one axis, at once
///
/// On `session` and `credential` dead is dead. On the others what was issued until now is dead, and what is
/// issued later lives; `disable` also stops the issuing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass admin cut device dev_01h455vb4pex5vsknk084sn02q
  hallpass admin cut credential crd_01h455vb4pex5vsknk084sn02q")]
pub(super) struct CutArgs {
    /// The axis
    #[arg(value_parser = ["org", "principal", "client", "device", "session", "credential"])]
    axis: String,

    /// The id of what is cut
    #[arg(value_name = "ID")]
    id: String,
}

/// Answer a login by device flow, for a person, without a browser
///
/// Works only with `hallpass serve --local-approval`. The session says for ever that it was approved here, and never
/// counts as a strong login.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hallpass admin approve BCDF-GHJK --org acme --as ada")]
pub(super) struct ApproveArgs {
    /// The code that the terminal shows
    #[arg(value_name = "CODE")]
    code: String,

    /// The person to approve it as
    #[arg(long = "as", value_name = "HANDLE")]
    person: String,

    /// Say no
    #[arg(long)]
    deny: bool,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: SessionCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        SessionCommand::List(args) => {
            let form = SessionList { org: args.org.org, person: args.person };
            let sessions: Vec<SessionShown> = server.ask("session.list", &form).await?;
            give_list(out, "hallpass.admin.sessions/1", &sessions, "no session", |sessions| {
                let mut table = Table::new([
                    "SESSION",
                    "CLIENT",
                    "DEVICE",
                    "CLASS",
                    "KEY",
                    "PURPOSE",
                    "APPROVED BY",
                    "LAST USED",
                    "STATE",
                ]);
                for session in sessions {
                    table.row([
                        &session.id,
                        &session.client,
                        session.device.as_deref().unwrap_or(""),
                        session.class.as_deref().unwrap_or(""),
                        session.rung.as_deref().unwrap_or(""),
                        session.purpose.as_deref().unwrap_or(""),
                        &session.approval,
                        &session.used,
                        &session.expires,
                    ]);
                }
                table
            })
        }
        SessionCommand::End(args) => {
            let made: CutMade =
                server.ask("session.end", &SessionEnd { org: None, session: args.session }).await?;
            tell_cut(made, out)
        }
    }
}

pub(super) async fn cut(args: CutArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let made: CutMade = server.ask("cut", &CutMake { org: None, axis: args.axis, id: args.id }).await?;
    tell_cut(made, out)
}

pub(super) async fn approve(
    args: ApproveArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = Approve { org: args.org.org, code: args.code, person: args.person, deny: args.deny };
    let approved: Approved = server.ask("device.approve", &form).await?;
    let word = if approved.approved { "approved" } else { "denied" };
    out.say(format_args!("{word} the login of `{}` with `{}`", approved.person, approved.client));
    give(out, "hallpass.admin.approved/1", &approved, |_| String::new())
}

fn tell_cut(made: CutMade, out: &mut Output) -> Result<Exit, Failure> {
    match made.anew {
        true => out.say(format_args!("cut the {} `{}` and everything under it", made.axis, made.id)),
        false => out.say(format_args!("the {} `{}` was dead already", made.axis, made.id)),
    }
    give(out, "hallpass.admin.cut/1", &made, |_| String::new())
}
