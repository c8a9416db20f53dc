//! `hallpass admin client documents`.

use clap::{Args, Subcommand};

use super::table::{Table, facts};
use super::{OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    DocumentsAllow, DocumentsForbid, DocumentsForbidden, DocumentsShown, InOrg,
};

/// Say which hosts' programs may sign people in without being registered one by one
///
/// Such a program's `client_id` is the https address of a document that says what it is (Client ID Metadata Documents), as
/// clients of MCP have it. People see its host, and are asked each time.
#[derive(Debug, Subcommand)]
pub(super) enum DocumentsCommand {
    /// Take documents of a host, or say anew what its programs may ask for
    #[command(after_help = "\
Examples:
  hallpass admin client documents allow editor.example --owner team:platform --scope notes:read
  hallpass admin client documents allow '*' --owner team:security --scope docs:read --environment dev")]
    Allow(AllowArgs),
    /// List the hosts
    List(OrgArg),
    /// Take documents of a host no more, and cut everything that was issued to its programs
    Forbid(ForbidArgs),
}

#[derive(Debug, Args)]
pub(super) struct AllowArgs {
    /// The host, with its port if that is not 443; `*` for any
    #[arg(value_name = "HOST")]
    host: String,

    /// Who answers for its programs: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    owner: String,

    /// A scope that they may ask for, beside who the person is
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// The environment whose resources they may have tokens for, such as `prod`; any if left out
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct ForbidArgs {
    /// The host, as it was allowed
    #[arg(value_name = "HOST")]
    host: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: DocumentsCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        DocumentsCommand::Allow(args) => {
            let AllowArgs { host, owner, scopes, environment, org } = args;
            let form = DocumentsAllow { org: org.org, host, owner, scopes, environment };
            let allowed: DocumentsShown = server.ask("client.documents.allow", &form).await?;
            if allowed.host == "*" {
                out.warn("anybody's program may ask your people now; they see its host, and nothing else is known of it");
            }
            give(out, "hallpass.admin.documents/1", &allowed, |allowed| {
                facts([
                    ("host", allowed.host.clone()),
                    ("owner", allowed.owner.clone()),
                    ("scopes", allowed.scopes.join(" ")),
                    ("environment", allowed.environment.clone().unwrap_or_else(|| "any".to_owned())),
                    ("since", allowed.created.clone()),
                ])
            })
        }
        DocumentsCommand::List(args) => {
            let hosts: Vec<DocumentsShown> =
                server.ask("client.documents.list", &InOrg { org: args.org }).await?;
            give_list(
                out,
                "hallpass.admin.documents_list/1",
                &hosts,
                "documents of no host are taken",
                |hosts| {
                    let mut table = Table::new(["HOST", "OWNER", "SCOPES", "ENVIRONMENT"]);
                    for one in hosts {
                        let environment = one.environment.as_deref().unwrap_or("any");
                        table.row([&one.host, &one.owner, &one.scopes.join(" "), environment]);
                    }
                    table
                },
            )
        }
        DocumentsCommand::Forbid(args) => {
            let form = DocumentsForbid { org: args.org.org, host: args.host };
            let forbidden: DocumentsForbidden = server.ask("client.documents.forbid", &form).await?;
            out.say(format_args!(
                "took `{}` off the list, and cut {} of its programs",
                forbidden.host, forbidden.clients_cut
            ));
            give(out, "hallpass.admin.documents_forbidden/1", &forbidden, |_| String::new())
        }
    }
}
