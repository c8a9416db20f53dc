//! Authorization requests that a client sends ahead, itself and not by the browser (RFC 9126): `POST /{org}/par`.
//!
//! 1. The client proves who it is as at the token endpoint, and every rule of the authorization endpoint is asked here, where the
//!    answer is the client's alone.
//! 2. What comes back names the request for [`PUSHED_REQUEST`], once, and for this client. At the authorization endpoint all that
//!    counts beside it is the `client_id` (section 4; RFC 9101, section 5).
//! 3. A key that is proved here is the key that the code is bound to (RFC 9449, section 10.1).
//!
//! [`PUSHED_REQUEST`]: hallpass_model::lifetimes::PUSHED_REQUEST

use axum::response::{IntoResponse, Response};
use hallpass_model::client::Client;
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::PUSHED_REQUEST;
use hallpass_model::secret::Secret;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{PushRequest, TakePushed};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::authorize::{self, AuthorizeRequest};
use crate::caller::ClientCaller;
use crate::client_document;
use crate::error::{DPOP_NONCE, OAuthError, json};
use crate::form::Asked;
use crate::raise;

/// What a `request_uri` begins with (RFC 9126, section 2.2).
const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// RFC 9126, section 2.2.
#[derive(Serialize)]
struct Pushed {
    request_uri: String,
    expires_in: i64,
}

/// Takes a request.
pub(crate) async fn push(asked: Asked) -> Response {
    let mut response = match pushed(&asked).await {
        Ok(pushed) => json(StatusCode::CREATED, &pushed),
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

async fn pushed(asked: &Asked) -> Result<Pushed, OAuthError> {
    asked.slow_down()?;
    client_document::admit(asked).await?;
    let caller = ClientCaller::authenticate(asked).await?;
    // Section 2.1: one that names another is none.
    if asked.form.find("request_uri").is_some() {
        return Err(OAuthError::invalid_request("a request that is pushed has no request_uri"));
    }
    let (client, redirect_uri) = authorize::recipient(asked).await?;
    // SECURITY: nobody pushes in another's name.
    if client.id != caller.client.id {
        asked.record_refusal(caller.client.id, "request_of_other_client").await?;
        return Err(OAuthError::invalid_request("the client_id is not that of the client that pushes"));
    }
    let proof =
        asked.issuer.proofs.at_token_endpoint(&asked.headers, &asked.org.endpoint("par"), asked.now)?;
    let raises = raise::shown(asked, &client, proof).await?;
    let request = match authorize::read(asked, &client, &redirect_uri, raises.as_ref()).await {
        Ok(request) => request,
        Err(error) => return Err(asked.record_beyond(client.id, error).await),
    };
    let request = match proof {
        None => request,
        Some(proof) => request.bound_to(proof.key).ok_or_else(|| {
            let told = "the proof is not by the key that dpop_jkt names";
            OAuthError::new(ErrorCode::InvalidDpopProof, told)
        })?,
    };
    caller.use_up(asked).await?;
    asked.count_write()?;
    let kept = request.render();
    let push = PushRequest { org: asked.org.id(), client: client.id, request: kept };
    let handle = asked.issuer.store.change(caller.actor(), asked.now, push).await?;
    let request_uri = format!("{URN}{}", handle.expose_text());
    Ok(Pushed { request_uri, expires_in: PUSHED_REQUEST.as_seconds() })
}

/// The handle of a request that this org gave a name to, if the name is of that form.
fn handle(asked: &Asked) -> Option<&str> {
    asked.form.find("request_uri")?.strip_prefix(URN)
}

/// What the authorization endpoint has before it.
pub(crate) enum Named {
    /// A request that was pushed: kept anew under this handle, for its person to answer.
    Kept(String),
    /// Parameters, which speak for themselves.
    Plain,
}

/// Takes out the request that is named, if one is.
pub(crate) async fn named(asked: &Asked) -> Result<Named, OAuthError> {
    let Some(handle) = handle(asked) else { return Ok(Named::Plain) };
    let unknown = || {
        OAuthError::invalid_request(
            "the request_uri is not known here: it is good once, for a minute, for the client that pushed it; start again",
        )
    };
    let client = asked.form.required("client_id")?;
    let client = asked.issuer.store.find_client_by_client_id(asked.org.id(), client).await?;
    let Some(client) = client.filter(|client| client.standing.is_active()) else {
        asked.issuer.store.count_stranger("unknown client");
        return Err(unknown());
    };
    asked.count_write()?;
    let handle = Secret::from_text(handle.to_owned());
    let take = TakePushed { handle, org: asked.org.id(), client: client.id };
    match asked.issuer.store.change(Actor::Nobody, asked.now, take).await? {
        Some(kept) => Ok(Named::Kept(kept.expose_text().to_owned())),
        None => {
            asked.record_refusal(client.id, "pushed_request").await?;
            Err(unknown())
        }
    }
}

/// Refuses plain parameters of a client whose requests must be pushed (RFC 9126, section 6).
pub(crate) async fn may_be_plain(asked: &Asked, client: &Client) -> Result<(), OAuthError> {
    if !client.pushed_only && !client.fapi {
        return Ok(());
    }
    asked.record_refusal(client.id, "not_pushed").await?;
    Err(OAuthError::invalid_request("this client pushes its requests: post them to the par endpoint first")
        .rule("not_pushed"))
}

impl AuthorizeRequest {
    /// As the store keeps it.
    pub(crate) fn render(&self) -> String {
        serde_json::to_string(self).expect("a request is a struct of JSON values")
    }
}
