//! The introspection endpoint (RFC 7662): a resource's own server asks whether a token is alive, this very moment.
//!
//! The hot path: the caller's own token and the one asked about are usually known already (`tokens::Verified`), so
//! what is left is two looks at the cuts. Whether something was cut is never remembered.

use axum::response::Response;
use hallpass_model::id::ClientId;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::wire::oauth::IntrospectionResponse;
use http::StatusCode;
use http::header::AUTHORIZATION;

use crate::caller::{ClientCaller, TokenCaller};
use crate::error::{OAuthError, json};
use crate::form::Asked;

/// Says what a token is, to the one it is meant for. To anybody else every token is not active (section 2.2).
pub(crate) async fn introspect(asked: Asked) -> Result<Response, OAuthError> {
    let answer = introspected(&asked).await.map_err(|error| asked.refuse(error))?;
    Ok(json(StatusCode::OK, &answer))
}

async fn introspected(asked: &Asked) -> Result<IntrospectionResponse, OAuthError> {
    asked.slow_down()?;
    let caller = verifier(asked).await?;
    let text = asked.form.required("token")?;
    let inactive = Ok(IntrospectionResponse::inactive());
    let Ok(token) = asked.issuer.own_token(&asked.org, text, asked.now).await? else { return inactive };
    let Some(audience) = token.claims.aud.single() else { return inactive };
    // SECURITY: meant for the caller, or not told of at all.
    let resource = asked.issuer.store.find_resource_by_url(asked.org.id(), audience).await?;
    if !resource.is_some_and(|resource| resource.standing.is_active() && resource.server == Some(caller)) {
        return inactive;
    }
    if asked.issuer.store.is_dead(&token.place).await?.is_some() {
        return inactive;
    }
    Ok(IntrospectionResponse::active(token.claims.clone()))
}

/// Who asks: a client by its key, or by a token of its own for the issuer.
async fn verifier(asked: &Asked) -> Result<ClientId, OAuthError> {
    if !asked.headers.contains_key(AUTHORIZATION) {
        let caller = ClientCaller::authenticate(asked).await?;
        // Anybody may say that they are a public client, so none learns anything.
        if caller.client.is_public() {
            asked.record_refusal(caller.client.id, "public_client").await?;
            return Err(OAuthError::invalid_client().because("a public client at introspection"));
        }
        caller.permit(asked, Act::Introspect).await?;
        caller.use_up(asked).await?;
        return Ok(caller.client.id);
    }
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint("introspect")).await?;
    caller.require_audience(asked).await?;
    if caller.token.place.principal.is_some() {
        let told = "a client's own token is needed here, not a person's";
        return Err(caller.refused(asked, "token_of_a_person", told).await);
    }
    if !may(Role::Client, Act::Introspect) {
        return Err(caller.refused(asked, "role", "no client may do this here").await);
    }
    Ok(caller.token.place.client)
}
