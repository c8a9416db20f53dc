//! The revocation endpoint (RFC 7009): whoever holds a token may end it.
//!
//! The answer is the same whether there was anything to end: an unknown token, another client's, or one that is
//! dead already tell nothing. An access token is cut alone; a refresh token is its session, and ends it; a device code is
//! the login that was begun with it, and ends that, answered or not: it is how a client says that nobody waits any more.

use axum::response::{IntoResponse, Response};
use hallpass_model::ledger::Actor;
use hallpass_model::role::Act;
use hallpass_model::secret::Secret;
use hallpass_model::session::RefreshToken;
use hallpass_model::spelling::Prefix;
use hallpass_store::{RevokeAccessToken, RevokeDeviceCode, RevokeRefreshToken};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;

/// Revokes a token.
pub(crate) async fn revoke(asked: Asked) -> Result<Response, OAuthError> {
    revoked(&asked).await.map_err(|error| asked.refuse(error))?;
    Ok((StatusCode::OK, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))]).into_response())
}

async fn revoked(asked: &Asked) -> Result<(), OAuthError> {
    asked.slow_down()?;
    let caller = ClientCaller::authenticate(asked).await?;
    caller.permit(asked, Act::RevokeOwnToken).await?;
    // Which kind it is shows in its spelling, so the hint (section 2.1) is not needed.
    let text = asked.form.required("token")?;
    caller.use_up(asked).await?;
    if text.starts_with(Prefix::Refresh.text()) {
        refresh_token(asked, &caller, text).await
    } else if text.starts_with(Prefix::Device.text()) {
        device_code(asked, &caller, text).await
    } else {
        access_token(asked, &caller, text).await
    }
}

async fn refresh_token(asked: &Asked, caller: &ClientCaller, text: &str) -> Result<(), OAuthError> {
    let Ok(token) = RefreshToken::parse(text) else { return Ok(()) };
    // SECURITY: the store checks the MAC and the client; a session that is only named is not ended.
    let revoke = RevokeRefreshToken { token, org: asked.org.id(), client: caller.client.id };
    asked.issuer.store.change(Actor::Nobody, asked.now, revoke).await?;
    Ok(())
}

async fn device_code(asked: &Asked, caller: &ClientCaller, text: &str) -> Result<(), OAuthError> {
    let device_code = Secret::from_text(text.to_owned());
    let revoke = RevokeDeviceCode { device_code, org: asked.org.id(), client: caller.client.id };
    asked.issuer.store.change(Actor::Nobody, asked.now, revoke).await?;
    Ok(())
}

async fn access_token(asked: &Asked, caller: &ClientCaller, text: &str) -> Result<(), OAuthError> {
    let Ok(token) = asked.issuer.own_token(&asked.org, text, asked.now).await? else { return Ok(()) };
    if token.place.client == caller.client.id {
        let revoke = RevokeAccessToken { place: token.place.clone() };
        asked.issuer.store.change(Actor::Nobody, asked.now, revoke).await?;
    } else {
        asked.record_refusal_of((&token.place).into(), "token_of_other_client").await?;
    }
    Ok(())
}
