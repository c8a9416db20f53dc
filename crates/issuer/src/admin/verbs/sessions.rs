//! Sessions and cuts.

use hallpass_model::cut::{Axis, Target, Why};
use hallpass_model::grant::Approval;
use hallpass_model::id::{OrgId, SessionId};
use hallpass_store::{CutMade as Outcome, EndSession, MakeCut, SessionEnded, SessionSummary};

use crate::admin::forms::{CutMade, CutMake, SessionEnd, SessionList, SessionShown};
use crate::admin::office::{Office, PAGE};
use crate::admin::refused::Refused;

pub(super) async fn list(office: &Office, form: SessionList) -> Result<Vec<SessionShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.person).await?;
    let mut all = Vec::new();
    let mut before: Option<SessionId> = None;
    loop {
        let listed = office.store().list_sessions_of(person.id, before, PAGE, office.now()).await?;
        all.extend(listed.items.into_iter().map(shown));
        before = listed.next;
        if before.is_none() {
            return Ok(all);
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn end(office: &Office, form: SessionEnd) -> Result<CutMade, Refused> {
    let session: SessionId = form.session.parse().map_err(Refused::usage)?;
    let absent = || Refused::not_there(format_args!("there is no session `{session}`"));
    let org = office.store().find_session(session).await?.ok_or_else(absent)?.org;
    if of(office, form.org.as_deref()).await?.is_some_and(|own| own != org) {
        return Err(absent());
    }
    let end = EndSession { org, session, of: None, why: Why::EndedByAdministrator };
    let anew = match office.change(end).await? {
        SessionEnded::Ended => true,
        SessionEnded::Already => false,
        SessionEnded::NotThere => return Err(absent()),
    };
    Ok(CutMade { axis: Axis::Session.text().to_owned(), id: session.to_string(), anew })
}

pub(super) async fn cut(office: &Office, form: CutMake) -> Result<CutMade, Refused> {
    let axis = Axis::ALL
        .into_iter()
        .find(|axis| axis.text() == form.axis)
        .ok_or_else(|| Refused::usage(format_args!("`{}` is no axis to cut on", form.axis)))?;
    let target = target(axis, &form.id)?;
    let org = of(office, form.org.as_deref()).await?;
    let anew = match office.change(MakeCut { org, target, why: Why::EndedByAdministrator }).await? {
        Outcome::Cut(_) => true,
        Outcome::Already(_) => false,
        Outcome::NotThere => {
            return Err(Refused::not_there(format_args!("there is no {} `{}`", form.axis, form.id)));
        }
    };
    Ok(CutMade { axis: form.axis, id: form.id, anew })
}

/// Of which org a thing must be that is named by its id alone: any, where the operator names none.
async fn of(office: &Office, org: Option<&str>) -> Result<Option<OrgId>, Refused> {
    match (org, office.confined_to()) {
        (None, None) => Ok(None),
        (org, _) => Ok(Some(office.org(org).await?.id)),
    }
}

/// The thing of this axis that `id` names. An id of another kind is refused, so that nothing else is cut by mistake.
fn target(axis: Axis, id: &str) -> Result<Target, Refused> {
    let target = match axis {
        Axis::Org => id.parse().map(Target::Org),
        Axis::Principal => id.parse().map(Target::Principal),
        Axis::Client => id.parse().map(Target::Client),
        Axis::Device => id.parse().map(Target::Device),
        Axis::Session => id.parse().map(Target::Session),
        Axis::Credential => id.parse().map(Target::Credential),
    };
    target.map_err(Refused::usage)
}

fn shown(summary: SessionSummary) -> SessionShown {
    let session = summary.session;
    SessionShown {
        id: session.id.to_string(),
        client: summary.client,
        device: summary.device.map(|device| device.name),
        class: summary.class.map(|class| class.to_string()),
        rung: summary.rung.map(|rung| rung.text().to_owned()),
        purpose: session.grant.purpose.map(|purpose| purpose.to_string()),
        scopes: super::clients::list_scopes(&session.grant.scopes),
        resources: session.grant.resources,
        approval: match session.grant.approval {
            Approval::Browser => "browser",
            Approval::DevicePage => "device page",
            Approval::AdminSocket => "admin socket",
        }
        .to_owned(),
        created: session.created.to_string(),
        used: summary.used.to_string(),
        expires: session.expires.min(session.idle_until).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_kind_is_not_cut_by_mistake() {
        assert!(target(Axis::Device, "dev_01h455vb4pex5vsknk084sn02q").is_ok());
        assert!(target(Axis::Device, "ses_01h455vb4pex5vsknk084sn02q").is_err());
        assert!(target(Axis::Org, "acme").is_err());
    }
}
