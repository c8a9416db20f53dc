//! Resources.

use hallpass_model::client::Resource;
use hallpass_model::principal::{Handle, Org};
use hallpass_store::{AddResource, SetResourceStanding};
use url::Url;

use super::clients::{list_scopes, scopes};
use crate::admin::forms::{ListOf, OneResource, ResourceAdd, ResourceShown};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;
use crate::metadata::OWN_SCOPES;

pub(super) async fn add(office: &Office, form: ResourceAdd) -> Result<ResourceShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    check_url(&form.url, &office.base_url().issuer(&org.name))?;
    let environment: Handle = form.environment.parse().map_err(Refused::usage)?;
    let scopes = scopes(&form.scopes)?;
    if scopes.is_empty() {
        return Err(Refused::usage("a resource understands at least one scope").hint("give `--scope`"));
    }
    // SECURITY: whoever could define one would be given the org with it.
    if let Some(own) = scopes.iter().find(|scope| OWN_SCOPES.contains(scope)) {
        return Err(Refused::by_rule(format_args!("`{own}` is a scope of the issuer's own"))
            .hint("name the resource's scopes after the resource"));
    }
    let owner = office.owner(&org, &form.owner).await?;
    let server = match &form.server {
        Some(handle) => {
            let client = office.store().find_client_by_handle(org.id, handle).await?;
            Some(
                client
                    .ok_or_else(|| {
                        Refused::not_there(format_args!("there is no client `{handle}` in `{}`", org.name))
                    })?
                    .id,
            )
        }
        None => None,
    };
    let name = form.name.unwrap_or_else(|| form.url.clone());
    let add = AddResource { org: org.id, url: form.url.clone(), name, owner, environment, scopes, server };
    office
        .change(add)
        .await?
        .map_err(|why| Refused::not_added(why, &format!("the resource `{}`", form.url), &form.owner))?;
    find(office, &org, &form.url).await
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<ResourceShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_resources(org.id, after.map(String::as_str), size).await?;
        pages.turn(&page, |resource| resource.url.clone());
        for resource in &page.items {
            all.push(shown(office, &org, resource).await?);
        }
    }
    Ok(all)
}

pub(super) async fn show(office: &Office, form: OneResource) -> Result<ResourceShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    find(office, &org, &form.url).await
}

pub(super) async fn disable(office: &Office, form: OneResource) -> Result<ResourceShown, Refused> {
    stand(office, form, false).await
}

pub(super) async fn enable(office: &Office, form: OneResource) -> Result<ResourceShown, Refused> {
    stand(office, form, true).await
}

async fn stand(office: &Office, form: OneResource, active: bool) -> Result<ResourceShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let resource = load(office, &org, &form.url).await?;
    let outcome = office.change(SetResourceStanding { org: org.id, resource: resource.id, active }).await?;
    Refused::unless_set(outcome, &format!("resource `{}`", form.url))?;
    find(office, &org, &form.url).await
}

/// RFC 8707, section 2: an absolute URI without a fragment. Ours is a URL, and https but on this machine.
fn check_url(text: &str, issuer: &str) -> Result<(), Refused> {
    let refuse = |why: &str| Err(Refused::usage(format_args!("`{text}` cannot be a resource: {why}")));
    let Ok(url) = Url::parse(text) else { return refuse("it is not an absolute URL") };
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return refuse("it has no host"),
    };
    if url.fragment().is_some() {
        return refuse("it has a fragment (RFC 8707)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it holds a user name or password");
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return refuse("it must be https, or http on this machine");
    }
    if text == issuer {
        return refuse("it is the issuer itself, which every token can be for");
    }
    Ok(())
}

pub(super) async fn load(office: &Office, org: &Org, url: &str) -> Result<std::sync::Arc<Resource>, Refused> {
    let resource = office.store().find_resource_by_url(org.id, url).await?;
    resource.ok_or_else(|| {
        Refused::not_there(format_args!("there is no resource `{url}` in `{}`", org.name))
            .hint("the URL must be exactly as it was added: `hallpass admin resource list`")
    })
}

async fn find(office: &Office, org: &Org, url: &str) -> Result<ResourceShown, Refused> {
    let resource = load(office, org, url).await?;
    shown(office, org, &resource).await
}

async fn shown(office: &Office, org: &Org, resource: &Resource) -> Result<ResourceShown, Refused> {
    let server = match resource.server {
        Some(id) => {
            let client = office.store().find_client(id).await?;
            Some(client.map_or_else(|| id.to_string(), |client| client.handle.to_string()))
        }
        None => None,
    };
    Ok(ResourceShown {
        id: resource.id.to_string(),
        org: org.name.to_string(),
        url: resource.url.clone(),
        name: resource.name.clone(),
        owner: office.render_owner(&resource.owner).await?,
        environment: resource.environment.to_string(),
        scopes: list_scopes(&resource.scopes),
        server,
        state: render_standing(resource.standing),
        created: resource.created.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_an_absolute_url_without_a_fragment_and_not_the_issuer() {
        let check = |text: &str| check_url(text, "http://localhost:8484/acme").is_ok();
        for good in [
            "https://notes.example",
            "https://notes.example/v1",
            "http://localhost:9/",
            "http://127.0.0.1:9",
            "http://[::1]:9",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "notes",
            "urn:notes",
            "https://notes.example/#x",
            "http://notes.example",
            "https://u:p@notes.example",
            "ftp://notes.example",
            "http://localhost:8484/acme",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }
}
