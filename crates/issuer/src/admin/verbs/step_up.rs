//! What clients and scopes demand of how a person proved who they are (RFC 9470).

use hallpass_model::grant::Acr;
use hallpass_model::step_up::Demand;
use hallpass_store::{ScopeDemandSet, SetClientDemand, SetScopeDemand};

use super::{clients, resources};
use crate::admin::forms::{ClientRequire, DemandShown, ResourceRequire};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn client(office: &Office, form: ClientRequire) -> Result<DemandShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let demand = demand(form.acr.as_deref(), form.max_age)?;
    let client = clients::load(office, &org, &form.handle).await?;
    let set = SetClientDemand { org: org.id, client: client.id, demand, pushed_only: form.pushed_requests };
    match office.change(set).await? {
        true => Ok(DemandShown {
            pushed_requests: form.pushed_requests,
            ..shown(format!("client:{}", form.handle), None, demand)
        }),
        false => Err(Refused::not_there(format_args!("there is no client `{}`", form.handle))),
    }
}

pub(super) async fn resource(office: &Office, form: ResourceRequire) -> Result<DemandShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let demand = demand(form.acr.as_deref(), form.max_age)?;
    let resource = resources::load(office, &org, &form.url).await?;
    let set = SetScopeDemand { org: org.id, resource: resource.id, scope: form.scope.clone(), demand };
    match office.change(set).await? {
        ScopeDemandSet::Done => Ok(shown(format!("resource:{}", form.url), Some(form.scope), demand)),
        ScopeDemandSet::NotThere => {
            Err(Refused::not_there(format_args!("there is no resource `{}`", form.url)))
        }
        ScopeDemandSet::NoScope => Err(Refused::not_there(format_args!(
            "`{}` does not understand the scope `{}`",
            form.url, form.scope
        ))
        .hint("`hallpass admin resource show` lists its scopes")),
    }
}

pub(super) fn demand(
    acr: Option<&str>,
    max_age: Option<hallpass_model::time::Lifetime>,
) -> Result<Demand, Refused> {
    let acr = match acr {
        None => None,
        Some(typed) => Some(Acr::parse(typed).ok_or_else(|| {
            Refused::usage(format_args!("nobody can log in here with `acr` `{typed}`"))
                .hint("`phr`: a passkey, with the person verified by it")
        })?),
    };
    Ok(Demand { acr, max_age, sso: false })
}

fn shown(thing: String, scope: Option<String>, demand: Demand) -> DemandShown {
    let acr = demand.acr.map(|acr| acr.text().to_owned());
    DemandShown { thing, scope, acr, max_age: demand.max_age, pushed_requests: false }
}
