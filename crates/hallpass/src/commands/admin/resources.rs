//! `hallpass admin resource`.

use clap::{Args, Subcommand};

use super::step_up;
use super::table::{Table, facts};
use super::{OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{ListOf, OneResource, ResourceAdd, ResourceShown};

/// Add, list, show, disable and enable resources: APIs that accept tokens
#[derive(Debug, Subcommand)]
pub(super) enum ResourceCommand {
    /// Register an API
    #[command(after_help = "\
Example:
  hallpass admin resource add https://notes.example --owner team:platform --environment prod \\
      --scope notes:read --scope notes:write --server notes-api")]
    Add(ResourceAddArgs),
    /// List the resources of an org
    List(OrgArg),
    /// Show a resource
    Show(ResourceArgs),
    /// Take a resource out of use: no token is issued for it
    Disable(ResourceArgs),
    /// Put a resource back to use
    Enable(ResourceArgs),
    /// Demand of a scope that people prove who they are strongly, or lately, before they have it (RFC 9470)
    #[command(after_help = "\
Example:
  hallpass admin resource require https://notes.example --scope notes:purge --max-age 5m")]
    Require(step_up::ResourceRequireArgs),
}

#[derive(Debug, Args)]
pub(super) struct ResourceAddArgs {
    /// Its URL, which is the audience of tokens for it
    #[arg(value_name = "URL")]
    url: String,

    /// Who answers for it: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    owner: String,

    /// What it is for: `dev`, `stage`, `prod` or another word of the org's
    #[arg(long, value_name = "WORD")]
    environment: String,

    /// A scope it understands
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<String>,

    /// The name shown to people; the URL if left out
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// The service client that may ask whether tokens for it still live
    #[arg(long, value_name = "CLIENT")]
    server: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct ResourceArgs {
    /// Its URL
    #[arg(value_name = "URL")]
    url: String,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: ResourceCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        ResourceCommand::Add(args) => {
            let form = ResourceAdd {
                org: args.org.org,
                url: args.url,
                name: args.name,
                owner: args.owner,
                environment: args.environment,
                scopes: args.scopes,
                server: args.server,
            };
            show(server.ask("resource.add", &form).await?, out)
        }
        ResourceCommand::List(args) => {
            let resources: Vec<ResourceShown> =
                server.ask("resource.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.resources/1", &resources, "no resource yet", |resources| {
                let mut table = Table::new(["URL", "ENVIRONMENT", "OWNER", "STATE", "SCOPES"]);
                for resource in resources {
                    let scopes = resource.scopes.join(" ");
                    table.row([
                        &resource.url,
                        &resource.environment,
                        &resource.owner,
                        &resource.state,
                        &scopes,
                    ]);
                }
                table
            })
        }
        ResourceCommand::Show(args) => show(server.ask("resource.show", &one(args)).await?, out),
        ResourceCommand::Disable(args) => {
            let resource: ResourceShown = server.ask("resource.disable", &one(args)).await?;
            out.say(format_args!("disabled `{}`: no token is issued for it", resource.url));
            show(resource, out)
        }
        ResourceCommand::Require(args) => step_up::resource(args, server, out).await,
        ResourceCommand::Enable(args) => {
            let resource: ResourceShown = server.ask("resource.enable", &one(args)).await?;
            out.say(format_args!("enabled `{}`", resource.url));
            show(resource, out)
        }
    }
}

fn one(args: ResourceArgs) -> OneResource {
    OneResource { org: args.org.org, url: args.url }
}

fn show(resource: ResourceShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.resource/1", &resource, |resource| {
        facts([
            ("url", resource.url.clone()),
            ("name", resource.name.clone()),
            ("id", resource.id.clone()),
            ("owner", resource.owner.clone()),
            ("environment", resource.environment.clone()),
            ("state", resource.state.clone()),
            ("scopes", resource.scopes.join(" ")),
            ("server", resource.server.clone().unwrap_or_default()),
            ("added", resource.created.clone()),
        ])
    })
}
