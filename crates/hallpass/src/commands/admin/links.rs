//! `hallpass admin setup-link` and `hallpass admin recover`.

use clap::Args;

use super::give;
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{LinkShown, Nothing, PersonAdded, Recover};

/// Print a new link for setting up the first org; the one before it is void
#[derive(Debug, Args)]
pub(super) struct SetupLinkArgs {}

/// Make a person administrator of an org that has lost its last one
///
/// Prints an enrolment link, once. It is written in the ledger as a recovery.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hallpass admin recover acme --handle grace --name 'Grace Hopper'")]
pub(super) struct RecoverArgs {
    /// The org's short name
    #[arg(value_name = "ORG")]
    org: String,

    /// The short name of the person, who is added if there is none
    #[arg(long, value_name = "HANDLE")]
    handle: String,

    /// Their name as shown to people; the short name if left out
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

pub(super) async fn setup_link(
    SetupLinkArgs {}: SetupLinkArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let link: LinkShown = server.ask("setup.link", &Nothing {}).await?;
    out.say(format_args!(
        "whoever opens it first sets the server up; it works once, until {}:",
        link.expires
    ));
    give(out, "hallpass.admin.link/1", &link, |link| link.url.text().to_owned())
}

pub(super) async fn recover(
    args: RecoverArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = Recover { org: Some(args.org), handle: args.handle, name: args.name };
    let made: PersonAdded = server.ask("org.recover", &form).await?;
    out.say(format_args!(
        "`{}` is administrator now, and enrols here, once, until {}:",
        made.person.handle, made.link.expires
    ));
    give(out, "hallpass.admin.person-added/1", &made, |made| made.link.url.text().to_owned())
}
