//! The introspection endpoint (RFC 7662): a resource's own server asks whether a token is alive, this very moment.
//!
//! The hot path: the caller's own token and the one asked about are usually known already (`tokens::Verified`), so
//! what is left is two looks at the cuts. Whether something was cut is never remembered.
//!
//! An API key is judged here only where it may be sent to this API, by an exception of its own. Where it may come from certain
//! networks alone, the API says where it came from, with `client_address`; a key for certain networks is not active for an API
//! that does not.

use std::net::IpAddr;

use axum::response::Response;
use hallpass_model::api_key::{Way, judge_spelling};
use hallpass_model::device::DeviceClass;
use hallpass_model::id::ClientId;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::secret::Secret;
use hallpass_model::spelling::Prefix;
use hallpass_model::wire::claims::Audience;
use hallpass_model::wire::oauth::{IntrospectionResponse, TokenType};
use hallpass_store::Presenter;
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
    if text.starts_with(Prefix::ApiKey.text()) {
        return api_key(asked, caller, text).await;
    }
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

/// A key that was sent to the caller's API directly.
async fn api_key(asked: &Asked, caller: ClientId, text: &str) -> Result<IntrospectionResponse, OAuthError> {
    let from = match asked.form.find("client_address").map(str::parse::<IpAddr>) {
        None => None,
        Some(Ok(address)) => Some(address),
        Some(Err(_)) => return Err(OAuthError::invalid_request("client_address is an IP address")),
    };
    if judge_spelling(text).is_err() {
        asked.issuer.store.count_stranger("unknown API key");
        return Ok(IntrospectionResponse::inactive());
    }
    let (store, org) = (&asked.issuer.store, asked.org.id());
    let secret = Secret::from_text(text.to_owned());
    let Some(used) = store.judge_direct_use(org, &secret, caller, from, asked.now).await? else {
        return Ok(IntrospectionResponse::inactive());
    };
    let client = store.find_client(used.client).await?;
    let Some(client) = client else { return Ok(IntrospectionResponse::inactive()) };
    let presenter = Presenter { from, machine: String::new(), class: DeviceClass::Unknown, purpose: None };
    store.count_key_use(org, used.credential, Way::Direct, &presenter, asked.now);
    Ok(IntrospectionResponse {
        active: true,
        scope: (!used.scopes.is_empty()).then_some(used.scopes),
        client_id: Some(client.client_id().to_owned()),
        token_type: Some(TokenType::Bearer),
        exp: Some(used.expires.seconds()),
        iat: Some(used.issued.seconds()),
        sub: Some(client.id.to_string()),
        aud: Some(Audience::one(used.resource)),
        iss: Some(asked.org.issuer.clone()),
        jti: Some(used.credential.to_string()),
        lin: vec![used.key.to_string()],
        ..IntrospectionResponse::default()
    })
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
