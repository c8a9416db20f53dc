//! Devices, and logins by device flow answered without a browser.

use hallpass_model::grant::{Acr, Amr, Approval, Authentication};
use hallpass_store::{Answer, AnswerDevice, Approver, DeviceAnswered};

use crate::admin::forms::{Approve, Approved, DeviceShown, OneOf};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn list(office: &Office, form: OneOf) -> Result<Vec<DeviceShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let devices = office.store().list_devices(person.id).await?;
    let shown = devices.into_iter().map(|device| DeviceShown {
        id: device.id.to_string(),
        name: device.name,
        class: device.class.to_string(),
        created: device.created.to_string(),
        seen: device.seen.to_string(),
    });
    Ok(shown.collect())
}

pub(super) async fn approve(office: &Office, form: Approve) -> Result<Approved, Refused> {
    // SECURITY: off unless the server was started for it: whoever may type here could be anybody of the org.
    if !office.local_approval() {
        return Err(Refused::by_rule("this server does not let the operator approve logins")
            .hint("start it with `hallpass serve --local-approval`, or approve in a browser"));
    }
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.person).await?;
    let no_code = || {
        Refused::not_there(format_args!("no login waits with that code in `{}`", org.name))
            .hint("compare it with what the terminal shows; a code lives ten minutes and works once")
    };
    let grant = office.store().find_device_by_user_code(org.id, &form.code).await?.ok_or_else(no_code)?;
    let client = office.store().find_client(grant.client).await?;
    let client = client.map_or_else(|| grant.client.to_string(), |client| client.handle.to_string());
    let authentication = Authentication { at: office.now(), acr: Acr::Local, amr: vec![Amr::Local] };
    let answer = AnswerDevice {
        org: org.id,
        grant: grant.id,
        by: Approver { principal: person.id, authentication, approval: Approval::AdminSocket },
        answer: if form.deny { Answer::No } else { Answer::Yes },
        address: "admin socket".to_owned(),
    };
    match office.change(answer).await? {
        DeviceAnswered::Approved => Ok(Approved { approved: true, person: form.person, client }),
        DeviceAnswered::Denied => Ok(Approved { approved: false, person: form.person, client }),
        DeviceAnswered::Already(_) => Err(Refused::conflict("that login was answered before")),
        DeviceAnswered::Expired => {
            Err(Refused::conflict("that code's time is over").hint("start the login again"))
        }
        DeviceAnswered::NotThere => Err(no_code()),
        // SECURITY: nobody proved who they are here, so no step-up is satisfied.
        DeviceAnswered::Unmet(_) | DeviceAnswered::NotRaised(_) => {
            Err(Refused::by_rule("that login must be approved by the person, who proves who they are")
                .hint("they log in with their passkey and enter the code in a browser"))
        }
        DeviceAnswered::Refused(refusal) => {
            Err(Refused::by_rule(format_args!("the login is refused: {refusal}")))
        }
    }
}
