//! Where clients are taken from that are known by a document of their own.

use hallpass_model::principal::{Handle, Org};
use hallpass_model::wire::client_document::DocumentHost;
use hallpass_store::{AllowDocuments, AllowedHost, ForbidDocuments};

use super::clients::{list_scopes, parse_environment, scopes};
use crate::admin::forms::{DocumentsAllow, DocumentsForbid, DocumentsForbidden, DocumentsShown, InOrg};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn allow(office: &Office, form: DocumentsAllow) -> Result<DocumentsShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let host = parse(&form.host)?;
    let allow = AllowDocuments {
        org: org.id,
        host: host.clone(),
        owner: office.owner(&org, &form.owner).await?,
        scopes: scopes(&form.scopes)?,
        environment: parse_environment(form.environment.as_deref())?,
    };
    let what = format!("the host `{}`", form.host);
    office.change(allow).await?.map_err(|why| Refused::not_added(why, &what, &form.owner))?;
    let all = office.store().document_hosts(org.id).await?;
    let allowed = all.iter().find(|allowed| allowed.host == host);
    let allowed = allowed.ok_or_else(|| Refused::not_there("it was forbidden again meanwhile"))?;
    shown(office, &org, allowed).await
}

pub(super) async fn list(office: &Office, form: InOrg) -> Result<Vec<DocumentsShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut all = Vec::new();
    for allowed in office.store().document_hosts(org.id).await? {
        all.push(shown(office, &org, &allowed).await?);
    }
    Ok(all)
}

pub(super) async fn forbid(office: &Office, form: DocumentsForbid) -> Result<DocumentsForbidden, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let forbid = ForbidDocuments { org: org.id, host: parse(&form.host)? };
    match office.change(forbid).await? {
        Some(clients_cut) => {
            Ok(DocumentsForbidden { org: org.name.to_string(), host: form.host, clients_cut })
        }
        None => Err(Refused::not_there(format_args!("`{}` takes no documents of `{}`", org.name, form.host))
            .hint("`hallpass admin client documents list` names the hosts")),
    }
}

fn parse(host: &str) -> Result<DocumentHost, Refused> {
    DocumentHost::parse(host)
        .map_err(|bad| Refused::usage(format_args!("`{host}` cannot be taken documents of: {bad}")))
}

async fn shown(office: &Office, org: &Org, allowed: &AllowedHost) -> Result<DocumentsShown, Refused> {
    Ok(DocumentsShown {
        org: org.name.to_string(),
        host: allowed.host.as_str().to_owned(),
        owner: office.render_owner(&allowed.owner).await?,
        scopes: list_scopes(&allowed.scopes),
        environment: allowed.environment.as_ref().map(Handle::to_string),
        created: allowed.created.to_string(),
    })
}
