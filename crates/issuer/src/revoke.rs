//! The revocation endpoint (RFC 7009): whoever holds a token may end it.
//!
//! The answer is the same whether there was anything to end: an unknown token, another client's, or one that is
//! dead already tell nothing. An access token is cut alone; a refresh token is its session, and ends it; a device code is
//! the login that was begun with it, and ends that, answered or not: it is how a client says that nobody waits any more.
//! An API key is revoked by whoever holds it, who need not say which client they are: the key says so. It alone dies, and what
//! it bought; the key it is a secret of, and its successor, do not.

use axum::response::{IntoResponse, Response};
use hallpass_model::api_key::judge_spelling;
use hallpass_model::ledger::Actor;
use hallpass_model::role::Act;
use hallpass_model::secret::Secret;
use hallpass_model::session::RefreshToken;
use hallpass_model::spelling::Prefix;
use hallpass_store::{RevokeAccessToken, RevokeByKey, RevokeDeviceCode, RevokeRefreshToken};
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
    if asked.form.find("token").is_some_and(|text| text.starts_with(Prefix::ApiKey.text())) {
        return api_key(asked).await;
    }
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

/// SECURITY: the whole secret is needed, and is all the proof there is: whoever found it somewhere may end it, and can
/// end nothing else.
async fn api_key(asked: &Asked) -> Result<(), OAuthError> {
    let text = asked.form.required("token")?;
    if judge_spelling(text).is_ok() {
        let secret = Secret::from_text(text.to_owned());
        let known = asked.issuer.store.find_api_key_by_secret(asked.org.id(), &secret).await?;
        if known.is_some() {
            let revoke = RevokeByKey { org: asked.org.id(), secret };
            asked.issuer.store.change(Actor::Nobody, asked.now, revoke).await?;
            return Ok(());
        }
    }
    asked.issuer.store.count_stranger("unknown API key");
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
        // Ours: what is over with it is not the pass alone, but the run of an agent that it is of.
        let run_over = asked.form.find("run_over") == Some("true");
        let revoke = RevokeAccessToken { place: token.place.clone(), run_over };
        asked.issuer.store.change(Actor::Nobody, asked.now, revoke).await?;
    } else {
        asked.record_refusal_of((&token.place).into(), "token_of_other_client").await?;
    }
    Ok(())
}
