//! `hallpass admin client require` and `hallpass admin resource require`: step-up (RFC 9470).

use clap::{ArgGroup, Args};
use hallpass_model::time::Lifetime;

use super::table::facts;
use super::{OrgArg, give};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{ClientRequire, DemandShown, ResourceRequire};

/// What is demanded.
#[derive(Debug, Args)]
struct DemandArgs {
    /// How strongly at least: `phr`, a passkey with the person verified by it
    #[arg(long, value_name = "ACR")]
    acr: Option<String>,

    /// How long ago at most, such as `15m`
    #[arg(long, value_name = "TIME")]
    max_age: Option<Lifetime>,

    /// Demand nothing any more
    #[arg(long, conflicts_with_all = ["acr", "max_age"])]
    nothing: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["acr", "max_age", "nothing", "pushed_requests"])))]
pub(super) struct ClientRequireArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// That it pushes its authorization requests itself, and sends none by the browser (RFC 9126)
    #[arg(long, conflicts_with = "nothing")]
    pushed_requests: bool,

    #[command(flatten)]
    demand: DemandArgs,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["acr", "max_age", "nothing"])))]
pub(super) struct ResourceRequireArgs {
    /// Its URL
    #[arg(value_name = "URL")]
    url: String,

    /// The scope that demands it
    #[arg(long, value_name = "SCOPE")]
    scope: String,

    #[command(flatten)]
    demand: DemandArgs,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn client(
    args: ClientRequireArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let DemandArgs { acr, max_age, nothing: _ } = args.demand;
    let pushed_requests = args.pushed_requests;
    let form = ClientRequire { org: args.org.org, handle: args.handle, acr, max_age, pushed_requests };
    show(&server.ask("client.require", &form).await?, out)
}

pub(super) async fn resource(
    args: ResourceRequireArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let DemandArgs { acr, max_age, nothing: _ } = args.demand;
    let form = ResourceRequire { org: args.org.org, url: args.url, scope: args.scope, acr, max_age };
    show(&server.ask("resource.require", &form).await?, out)
}

fn show(shown: &DemandShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.demand/1", shown, |shown| {
        let none = || "any".to_owned();
        facts([
            ("thing", shown.thing.clone()),
            ("scope", shown.scope.clone().unwrap_or_else(none)),
            ("acr", shown.acr.clone().unwrap_or_else(none)),
            ("max age", shown.max_age.map_or_else(none, |most| most.to_string())),
            ("requests", if shown.pushed_requests { "pushed alone".to_owned() } else { none() }),
        ])
    })
}
