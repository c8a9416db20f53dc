//! The token endpoint (RFC 6749, section 3.2): trades what a client holds for new credentials.

mod api_key;
mod client;
mod code;
mod device;
mod exchange;
mod federated;
mod refresh;

pub(crate) use device::HeldPolls;

use axum::response::{IntoResponse, Response};
use hallpass_model::client::Client;
use hallpass_model::jose::Thumbprint;
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::session::Binding;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{GrantType, Scopes, TokenResponse, TokenType};
use hallpass_store::{ClientToken, Opened, RefreshTokens, Wanted};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::caller::ClientCaller;
use crate::error::{DPOP_NONCE, OAuthError, json};
use crate::form::Asked;
use crate::target::{audience, wanted};
use crate::tokens::{NewAccessToken, NewIdToken};

/// What the endpoint answers, and whether the request was held (RFC 7240, section 3).
pub(crate) struct Answer {
    tokens: TokenResponse,
    preference_applied: Option<String>,
}

impl From<TokenResponse> for Answer {
    fn from(tokens: TokenResponse) -> Self {
        Self { tokens, preference_applied: None }
    }
}

pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Redeems what the grant type says.
pub(crate) async fn redeem(asked: Asked) -> Response {
    let answered = answer(&asked).await;
    let grant_type = asked.form.find("grant_type").map(GrantType::parse);
    let grant_type = grant_type.unwrap_or_else(|| GrantType::Unknown(String::new()));
    asked.issuer.metrics.grant(&grant_type, answered.as_ref().err());
    let mut response = match answered {
        Ok(answer) => {
            let mut response = json(StatusCode::OK, &answer.tokens.reveal());
            let applied = answer.preference_applied.and_then(|text| HeaderValue::from_str(&text).ok());
            response.headers_mut().extend(applied.map(|value| (PREFERENCE_APPLIED, value)));
            response
        }
        Err(error) => asked.refuse(error).into_response(),
    };
    // A client that proves a key is always handed the nonce for its next proof (RFC 9449, section 8.2).
    if asked.headers.contains_key("dpop")
        && let Ok(nonce) = HeaderValue::from_str(&asked.issuer.proofs.nonce(asked.now))
    {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

async fn answer(asked: &Asked) -> Result<Answer, OAuthError> {
    asked.slow_down()?;
    let grant_type = GrantType::parse(asked.form.required("grant_type")?);
    if grant_type == GrantType::TokenExchange && federated::is_asked(&asked.form) {
        return federated::exchange(asked).await;
    }
    if grant_type == GrantType::JwtBearer {
        return federated::bearer(asked).await;
    }
    if grant_type == GrantType::TokenExchange && api_key::is_asked(&asked.form) {
        return api_key::redeem(asked).await;
    }
    let caller = ClientCaller::authenticate(asked).await?;
    may_use(asked, &caller.client, &grant_type).await?;
    let proof =
        asked.issuer.proofs.at_token_endpoint(&asked.headers, &asked.org.endpoint("token"), asked.now)?;
    // FAPI 2.0 security profile, section 5.3.2.1: nothing but tokens that are bound to a key.
    if caller.client.fapi && proof.is_none() {
        asked.record_refusal(caller.client.id, "fapi_bearer").await?;
        return Err(OAuthError::new(
            ErrorCode::InvalidDpopProof,
            "this client's tokens are bound to a key: send a DPoP proof",
        )
        .rule("fapi_bearer"));
    }
    match grant_type {
        GrantType::AuthorizationCode => code::redeem(asked, &caller, proof).await,
        GrantType::DeviceCode => device::redeem(asked, &caller, proof).await,
        GrantType::RefreshToken => refresh::redeem(asked, &caller, proof).await,
        GrantType::TokenExchange => exchange::redeem(asked, &caller, proof).await,
        GrantType::ClientCredentials => client::issue(asked, &caller, proof).await,
        GrantType::JwtBearer | GrantType::Unknown(_) => Err(unsupported()),
    }
}

fn unsupported() -> OAuthError {
    OAuthError::new(ErrorCode::UnsupportedGrantType, "the grant type is not one this issuer knows")
}

/// Whether the session is to be one that nothing renews: the holder asks for that where others are the same user as its
/// person. Asking for less is anybody's right.
fn brief(asked: &Asked) -> bool {
    asked.form.find("session") == Some("brief")
}

/// The refresh tokens of a session that is opened.
fn refresh_tokens(asked: &Asked, caller: &ClientCaller) -> RefreshTokens {
    if brief(asked) { RefreshTokens::Never } else { caller.refresh() }
}

/// What the first access token of a session is asked for. One that nothing renews lives as long as any may.
fn wanted_at_opening(asked: &Asked) -> Result<Wanted, OAuthError> {
    let lifetime = brief(asked).then_some(ACCESS_TOKEN_MAX);
    Ok(Wanted { lifetime, ..wanted(asked)? })
}

/// Whether the client is registered for this grant type; if not, says what it should use in its place.
pub(crate) async fn may_use(
    asked: &Asked,
    client: &Client,
    grant_type: &GrantType,
) -> Result<(), OAuthError> {
    if matches!(grant_type, GrantType::JwtBearer | GrantType::Unknown(_)) {
        return Err(unsupported());
    }
    if client.may_use(grant_type) {
        return Ok(());
    }
    asked.record_refusal(client.id, "grant_type").await?;
    let refused = OAuthError::new(ErrorCode::UnauthorizedClient, client.kind.better_pattern());
    Err(refused.because(format!("{} of kind {:?} may not use {grant_type}", client.id, client.kind)))
}

/// The tokens of a session that was just opened: as [`tokens`], and an ID token where `openid` was agreed to.
fn open(asked: &Asked, caller: &ClientCaller, mut opened: Opened) -> TokenResponse {
    let nonce = opened.nonce.take();
    let session = opened.session.clone();
    let mut tokens = tokens(asked, caller, opened);
    if session.grant.scopes.has("openid") {
        let id_token = NewIdToken {
            subject: session.principal.to_string(),
            client: &caller.client,
            nonce,
            authentication: &session.grant.authentication,
            access_token: &tokens.access_token,
            session: session.id,
        };
        tokens.id_token = Some(id_token.mint(&asked.org, asked.now));
    }
    tokens
}

/// The tokens of a session that was just opened or refreshed.
fn tokens(asked: &Asked, caller: &ClientCaller, opened: Opened) -> TokenResponse {
    let Opened { session, refresh_token, credential, stamp, reached, scopes, expires, raised, .. } = opened;
    let key = match session.binding {
        Binding::Key(key) => Some(key),
        Binding::Bearer => None,
    };
    let access_token = NewAccessToken {
        subject: session.principal.to_string(),
        client: &caller.client,
        audience: audience(&asked.org, reached),
        scope: scopes.clone(),
        credential,
        stamp,
        expires,
        session: Some(session.id),
        device: session.device,
        authentication: Some(&session.grant.authentication),
        key,
        purpose: session.grant.purpose.as_ref(),
        // The session is named in a claim of its own, and nothing else stands between.
        lineage: Vec::new(),
        acting: Vec::new(),
    }
    .mint(&asked.issuer, &asked.org, asked.now);
    TokenResponse {
        session_expires_in: raised.then(|| session.expires.since(asked.now)),
        refresh_token_expires_in: refresh_token.as_ref().map(|_| session.idle_until.since(asked.now)),
        refresh_token,
        ..alone(access_token, key, scopes, expires.since(asked.now))
    }
}

/// An access token and nothing besides.
fn alone(
    access_token: Secret<AccessToken>,
    key: Option<Thumbprint>,
    scopes: Scopes,
    lasts: Lifetime,
) -> TokenResponse {
    TokenResponse {
        access_token,
        token_type: if key.is_some() { TokenType::Dpop } else { TokenType::Bearer },
        expires_in: Some(lasts),
        refresh_token: None,
        refresh_token_expires_in: None,
        scope: Some(scopes).filter(|scopes| !scopes.is_empty()),
        id_token: None,
        issued_token_type: None,
        lease: None,
        run: None,
        api_key_expires_in: None,
        session_expires_in: None,
    }
}

/// A token about a client, which acts for itself: by its own proof, by a trust, or by an API key.
struct AboutClient<'a> {
    client: &'a Client,
    token: ClientToken,
    key: Option<Thumbprint>,
    purpose: Option<&'a Purpose>,
}

impl AboutClient<'_> {
    /// It, and nothing to keep: never a refresh token (RFC 6749, section 4.4.3).
    fn answer(self, asked: &Asked) -> TokenResponse {
        let ClientToken { credential, lin, stamp, reached, scopes, expires } = self.token;
        let access_token = NewAccessToken {
            // SECURITY: a client's id is of another form than a person's, so neither can pass for the other.
            subject: self.client.id.to_string(),
            client: self.client,
            audience: audience(&asked.org, reached),
            scope: scopes.clone(),
            credential,
            stamp,
            expires,
            session: None,
            device: None,
            authentication: None,
            key: self.key,
            purpose: self.purpose,
            lineage: lin,
            acting: Vec::new(),
        }
        .mint(&asked.issuer, &asked.org, asked.now);
        alone(access_token, self.key, scopes, expires.since(asked.now))
    }
}
