//! One-time links, and the recovery of an org that lost its administrators.

use hallpass_model::id::PrincipalId;
use hallpass_model::principal::{Handle, Org};
use hallpass_store::{LinkPurpose, MakeLink, RecoverAdministrator};

use super::people::shown;
use crate::admin::forms::{LinkShown, Nothing, OneOf, PersonAdded, Recover};
use crate::admin::links::{enrolment_url, setup_url};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn setup_link(office: &Office, Nothing {}: Nothing) -> Result<LinkShown, Refused> {
    if !office.store().list_orgs(None, 1).await?.items.is_empty() {
        return Err(Refused::conflict("this server is set up already")
            .hint("`hallpass admin org add` adds an org, `hallpass admin recover` an administrator"));
    }
    let made = office.change(MakeLink { purpose: LinkPurpose::SetUp }).await?;
    let made = made.ok_or_else(|| Refused::broken("the store made no link"))?;
    Ok(LinkShown { url: setup_url(office.base_url(), &made.link), expires: made.expires.to_string() })
}

pub(super) async fn enrolment_link(office: &Office, form: OneOf) -> Result<LinkShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    enrol(office, &org, person.id).await
}

pub(super) async fn recover(office: &Office, form: Recover) -> Result<PersonAdded, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let name = form.name.unwrap_or_else(|| form.handle.clone());
    let id = office.change(RecoverAdministrator { org: org.id, handle, name }).await?.map_err(|why| {
        Refused::not_added(why, &format!("the person `{}`", form.handle), "team:administrators")
    })?;
    let person = office.person(&org, &form.handle).await?;
    let link = enrol(office, &org, id).await?;
    Ok(PersonAdded { person: shown(office, &org, person).await?, link })
}

/// A new enrolment link for a person; one they had before is void.
pub(super) async fn enrol(office: &Office, org: &Org, person: PrincipalId) -> Result<LinkShown, Refused> {
    let made = office.change(MakeLink { purpose: LinkPurpose::Enrol { person } }).await?;
    let made = made.ok_or_else(|| {
        Refused::by_rule("the person is disabled, and cannot enrol")
            .hint("`hallpass admin person enable` puts them back")
    })?;
    Ok(LinkShown {
        url: enrolment_url(office.base_url(), &org.name, &made.link),
        expires: made.expires.to_string(),
    })
}
