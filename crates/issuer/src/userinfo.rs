//! The userinfo endpoint (OIDC Core, section 5.3): who logged in, to a client they agreed to tell.

use axum::response::Response;
use hallpass_model::wire::claims::Act;
use hallpass_model::wire::errors::ErrorCode;
use http::StatusCode;
use serde::Serialize;

use crate::caller::TokenCaller;
use crate::error::{OAuthError, json};
use crate::form::Asked;

#[derive(Serialize)]
struct UserInfo {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    /// Who acts for them (RFC 8693, section 4.1): whoever asks must be able to tell an agent from its person.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
}

/// Says who the token's subject is: `sub` always, names where `profile` was agreed to.
pub(crate) async fn show(asked: Asked) -> Result<Response, OAuthError> {
    told(&asked).await.map_err(|error| asked.refuse(error))
}

async fn told(asked: &Asked) -> Result<Response, OAuthError> {
    asked.slow_down()?;
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint("userinfo")).await?;
    caller.require_audience(asked).await?;
    let Some(principal) = caller.token.place.principal else {
        let told = "the access token is a client's own, and nobody logged in";
        return Err(caller.refused(asked, "no_person", told).await);
    };
    if !caller.token.claims.scope.has("openid") {
        asked.record_refusal_of((&caller.token.place).into(), "scope").await?;
        let error = OAuthError::new(ErrorCode::InsufficientScope, "the access token lacks the scope openid");
        return Err(error.challenge(&asked.org.issuer, true));
    }
    let profile = caller.token.claims.scope.has("profile");
    let person = match profile {
        true => {
            asked.issuer.store.find_person(principal).await?.filter(|person| person.org == asked.org.id())
        }
        false => None,
    };
    let info = UserInfo {
        sub: principal.to_string(),
        preferred_username: person.as_ref().map(|person| person.handle.to_string()),
        name: person.map(|person| person.name),
        act: caller.token.claims.act.clone(),
    };
    Ok(json(StatusCode::OK, &info))
}
