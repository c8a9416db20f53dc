//! The device authorization endpoint (RFC 8628, section 3.1): a login begun where there is no browser.
//!
//! RFC 10027 asks for a choice of mitigations, as the flow is phishable. Chosen here: codes that are short-lived,
//! single-use and rate-limited; clients and scopes that may be barred from the flow; the code bound to the
//! requester's key (`dpop_jkt`) before anybody approves it; and what the page shows the person.

use axum::response::Response;
use hallpass_model::device::DeviceClaim;
use hallpass_model::jose::Thumbprint;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::Secret;
use hallpass_model::session::Session;
use hallpass_model::spelling::user_code;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{DeviceAuthorization, GrantType, Scopes};
use hallpass_store::StartDevice;
use http::StatusCode;

use crate::caller::ClientCaller;
use crate::error::{OAuthError, json};
use crate::form::Asked;
use crate::target::{consented_resources, consented_scopes};
use crate::{authorize, raise, token};

/// Begins a device login.
pub(crate) async fn start(asked: Asked) -> Result<Response, OAuthError> {
    begin(&asked).await.map_err(|error| asked.refuse(error))
}

async fn begin(asked: &Asked) -> Result<Response, OAuthError> {
    asked.slow_down()?;
    let caller = ClientCaller::authenticate(asked).await?;
    token::may_use(asked, &caller.client, &GrantType::DeviceCode).await?;
    let form = &asked.form;
    let raises = raised(asked, &caller).await?;
    let (scopes, resources) = match reach(asked, &caller, raises.as_ref().map(|(session, _)| session)).await {
        Ok(reach) => reach,
        Err(error) => return Err(asked.record_beyond(caller.client.id, error).await),
    };
    let demand = authorize::demand(asked, caller.client.id, &scopes, &resources).await?;
    let (jkt, demand) = match &raises {
        // The code is bound to the key that the session is.
        Some((session, key)) => (Some(*key), demand.and(raise::demand(session))),
        None => (authorize::dpop_jkt(form)?, demand),
    };
    caller.use_up(asked).await?;
    asked.count_write()?;
    let device = DeviceClaim::parse(
        form.find("device_install"),
        form.find("device_name"),
        form.find("device_class"),
        form.find("device_rung"),
    );
    let device = if raises.is_some() { None } else { device };
    if raises.is_none() {
        authorize::rung_is_allowed(asked, &caller.client, device.as_ref()).await?;
    }
    let start = StartDevice {
        org: asked.org.id(),
        client: caller.client.id,
        scopes,
        resources,
        purpose: form.find("purpose").and_then(Purpose::parse),
        device,
        requester_address: asked.address_text().unwrap_or_else(|| "unknown".to_owned()),
        jkt,
        demand,
        raises: raises.map(|(session, _)| session.id),
    };
    let started = asked.issuer.store.change(caller.actor(), asked.now, start).await?;
    let page = asked.org.endpoint("device");
    let user_code = user_code::render(started.user_code.expose_text());
    let complete = format!("{page}?user_code={user_code}");
    let answer = DeviceAuthorization {
        device_code: started.device_code,
        user_code: Secret::from_text(user_code),
        verification_uri: page,
        verification_uri_complete: Some(Secret::from_text(complete)),
        expires_in: started.expires.since(asked.now),
        interval: started.interval,
    };
    Ok(json(StatusCode::OK, &answer.reveal()))
}

/// What the person will be asked for, as far as this client may ask, and in this way.
async fn reach(
    asked: &Asked,
    caller: &ClientCaller,
    raises: Option<&Session>,
) -> Result<(Scopes, Vec<String>), OAuthError> {
    let scopes = match raises {
        Some(session) => session.grant.scopes.clone(),
        None => consented_scopes(&asked.form, &caller.client, &asked.org)?,
    };
    if !scopes.within(&caller.client.device_flow_barred).is_empty() {
        let told =
            "a scope may not be asked for through the device flow; log in with a browser on this machine";
        return Err(OAuthError::new(ErrorCode::InvalidScope, told));
    }
    let resources = match raises {
        Some(session) => session.grant.resources.clone(),
        None => {
            let resources = consented_resources(asked, &caller.client).await?;
            resources.iter().map(|resource| resource.url.clone()).collect()
        }
    };
    Ok((scopes, resources))
}

/// The session that is to be raised, and the key that was proved for it, if one is shown.
async fn raised(asked: &Asked, caller: &ClientCaller) -> Result<Option<(Session, Thumbprint)>, OAuthError> {
    if asked.form.find(raise::STEP_UP_TOKEN).is_none() {
        return Ok(None);
    }
    let place = asked.org.endpoint("device_authorization");
    let proof = asked.issuer.proofs.at_token_endpoint(&asked.headers, &place, asked.now)?;
    let session = raise::shown(asked, &caller.client, proof).await?;
    Ok(session.zip(proof.map(|proof| proof.key)))
}
