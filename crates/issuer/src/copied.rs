//! Where a holder says that it found a copy of another machine's sign-ins: `POST /{org}/copied`, ours.
//!
//! It is said over the finder's own session, with its key proven, and about machines of the same person alone. The answer
//! is always the same, so nobody learns which install ids exist.

use axum::response::{IntoResponse, Response};
use hallpass_model::device::DeviceClaim;
use hallpass_model::ledger::Actor;
use hallpass_store::NoteCopy;
use http::StatusCode;

use crate::caller::TokenCaller;
use crate::error::OAuthError;
use crate::form::Asked;

/// Notes it.
pub(crate) async fn report(asked: Asked) -> Result<Response, OAuthError> {
    noted(&asked).await.map_err(|error| asked.refuse(error))
}

async fn noted(asked: &Asked) -> Result<Response, OAuthError> {
    asked.slow_down()?;
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint("copied")).await?;
    caller.require_audience(asked).await?;
    let place = &caller.token.place;
    let (Some(principal), Some(session)) = (place.principal, place.session) else {
        return Err(caller.refused(asked, "no_person", "the access token is of no person's session").await);
    };
    let claim = DeviceClaim::parse(Some(asked.form.required("install")?), None, None, None);
    let install =
        claim.ok_or_else(|| OAuthError::invalid_request("the install is not an install id"))?.install;
    asked.count_write()?;
    let note = NoteCopy { org: asked.org.id(), principal, session, found_on: place.device, install };
    asked.issuer.store.change(Actor::Principal(principal), asked.now, note).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
