//! Clients that register themselves (RFC 7591), and manage that (RFC 7592), where their org lets them: off, unless it says.
//!
//! 1. Whoever registers has an initial access token, which an administrator made: so often, and until then.
//! 2. What they say of themselves is their word; what they may have at most is the org's, as it stands at that moment.
//! 3. From then on a client manages its registration with a token of its own, and nobody else's.

use axum::response::{IntoResponse, Response};
use hallpass_model::client::Client;
use hallpass_model::ledger::Actor;
use hallpass_model::secret::{Kind, RegistrationToken, Secret};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::registration::{Registered, Registration};
use hallpass_store::{
    ChangeRegistration, EndRegistration, NotRegistered, RefusedSubject, RegisterClient, RenewRegistration,
};
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};

use crate::caller::bearer;
use crate::error::{OAuthError, json};
use crate::form::{Asked, AskedAt, AskedInJson};

/// Where it stands below the issuer.
const REGISTER: &str = "register";

/// The rule by which an org that says nothing lets nobody register.
const RULE: &str = "registration";

/// `POST /{org}/register` (RFC 7591, section 3.1).
pub(crate) async fn register(json: AskedInJson) -> Result<Response, OAuthError> {
    registered(&json).await.map_err(|error| json.asked.refuse(error))
}

async fn registered(json: &AskedInJson) -> Result<Response, OAuthError> {
    let asked = &json.asked;
    asked.slow_down()?;
    let (store, org) = (&asked.issuer.store, asked.org.id());
    // Said before anything is asked for: where nobody registers, no token helps.
    if store.registration_policy(org).await?.is_none() {
        store.count_stranger("registration where none is allowed");
        return Err(not_registered(asked, NotRegistered::Forbidden));
    }
    let token = presented(asked)?;
    if let Err(why) = store.may_register(org, &token, asked.now).await? {
        store.count_stranger("unknown initial access token");
        return Err(not_registered(asked, why));
    }
    let registration = Registration::read(&json.body).map_err(OAuthError::registration)?;
    asked.count_write()?;
    let register = RegisterClient { org, token, registration };
    let made = store.change(Actor::Nobody, asked.now, register).await?;
    match made {
        Ok(made) => Ok(told(asked, StatusCode::CREATED, &made.client, &made.token)),
        Err(why) => {
            if let Some(rule) = recorded(why) {
                asked.record_refusal_of(RefusedSubject::org(org), rule).await?;
            }
            Err(not_registered(asked, why))
        }
    }
}

/// `GET /{org}/register/{client_id}` (RFC 7592, section 2.1).
pub(crate) async fn show(at: AskedAt) -> Result<Response, OAuthError> {
    shown(&at).await.map_err(|error| at.asked.refuse(error))
}

async fn shown(at: &AskedAt) -> Result<Response, OAuthError> {
    let (asked, client_id) = (&at.asked, client_id(&at.path));
    asked.slow_down()?;
    let token = presented(asked)?;
    let (client, note) = managed(asked, &client_id, &token).await?;
    let shown = told(asked, StatusCode::OK, &client, &token);
    if note {
        let renew = RenewRegistration { org: asked.org.id(), client_id, token };
        asked.issuer.store.change(Actor::Client(client.id), asked.now, renew).await?;
    }
    Ok(shown)
}

/// `PUT /{org}/register/{client_id}` (RFC 7592, section 2.2).
pub(crate) async fn replace(json: AskedInJson) -> Result<Response, OAuthError> {
    replaced(&json).await.map_err(|error| json.asked.refuse(error))
}

async fn replaced(json: &AskedInJson) -> Result<Response, OAuthError> {
    let (asked, client_id) = (&json.asked, client_id(&json.path));
    asked.slow_down()?;
    let token = presented(asked)?;
    let (client, _) = managed(asked, &client_id, &token).await?;
    let registration = Registration::read_anew(&client_id, &json.body).map_err(OAuthError::registration)?;
    let change = ChangeRegistration { org: asked.org.id(), client_id, token, registration };
    match asked.issuer.store.change(Actor::Nobody, asked.now, change).await? {
        Ok(made) => Ok(told(asked, StatusCode::OK, &made.client, &made.token)),
        Err(why) => {
            if let Some(rule) = recorded(why) {
                asked.record_refusal(client.id, rule).await?;
            }
            Err(not_registered(asked, why))
        }
    }
}

/// `DELETE /{org}/register/{client_id}` (RFC 7592, section 2.3).
pub(crate) async fn end(at: AskedAt) -> Result<Response, OAuthError> {
    ended(&at).await.map_err(|error| at.asked.refuse(error))
}

async fn ended(at: &AskedAt) -> Result<Response, OAuthError> {
    let (asked, client_id) = (&at.asked, client_id(&at.path));
    asked.slow_down()?;
    let token = presented(asked)?;
    managed(asked, &client_id, &token).await?;
    let end = EndRegistration { org: asked.org.id(), client_id, token };
    match asked.issuer.store.change(Actor::Nobody, asked.now, end).await? {
        true => {
            Ok((StatusCode::NO_CONTENT, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))])
                .into_response())
        }
        false => Err(no_token(asked)),
    }
}

/// The client that a token manages.
///
/// SECURITY: one answer, whether there is no such client, it is another org's or another's, or the token is over.
async fn managed(
    asked: &Asked,
    client_id: &str,
    token: &Secret<RegistrationToken>,
) -> Result<(Client, bool), OAuthError> {
    let store = &asked.issuer.store;
    let found = store.find_registration(asked.org.id(), client_id, token, asked.now).await?;
    found.ok_or_else(|| {
        store.count_stranger("unknown registration access token");
        no_token(asked)
    })
}

fn client_id(path: &std::collections::HashMap<String, String>) -> String {
    path.get("client_id").cloned().unwrap_or_default()
}

fn presented<K: Kind>(asked: &Asked) -> Result<Secret<K>, OAuthError> {
    bearer(asked).map(|text| Secret::from_text(text.to_owned())).ok_or_else(|| no_token(asked))
}

/// The rule by which a refusal of somebody with a good token is recorded.
fn recorded(why: NotRegistered) -> Option<&'static str> {
    match why {
        NotRegistered::Scope => Some("scope"),
        NotRegistered::Forbidden | NotRegistered::Unowned | NotRegistered::Full => Some(RULE),
        NotRegistered::Fapi => Some("fapi"),
        NotRegistered::Token => None,
    }
}

fn no_token(asked: &Asked) -> OAuthError {
    let told = "the token is none that is good here; an administrator makes one to register with, a client has its own to manage that";
    // Only the scheme that is taken (RFC 7591, section 3; RFC 7592, section 2).
    let challenge = format!("Bearer realm=\"{}\", error=\"invalid_token\"", asked.org.issuer);
    OAuthError::new(ErrorCode::InvalidToken, told).header(WWW_AUTHENTICATE, challenge)
}

fn not_registered(asked: &Asked, why: NotRegistered) -> OAuthError {
    let by_rule = |told| {
        OAuthError::new(ErrorCode::AccessDenied, told).status(StatusCode::FORBIDDEN).rule(RULE).because(why)
    };
    let bad = |told| OAuthError::new(ErrorCode::InvalidClientMetadata, told).because(why);
    match why {
        NotRegistered::Token => no_token(asked).because(why),
        NotRegistered::Forbidden => by_rule(
            "the rule registration refused it: clients do not register themselves in this organisation; an administrator lets them, hallpass admin client registration allow, or takes clients by a document of their own",
        ),
        NotRegistered::Unowned => by_rule(
            "the rule registration refused it: nobody answers for clients that register themselves here at present; an administrator says who does, hallpass admin client registration allow",
        ),
        NotRegistered::Full => by_rule(
            "the rule registration refused it: as many clients as may be have registered themselves here; an administrator takes some out of use",
        ),
        NotRegistered::Scope => bad(
            "scope has more than clients that register themselves may have here; leave it out for all that they may",
        ),
        NotRegistered::Fapi => bad(
            "this client is held to FAPI 2.0: it keeps private_key_jwt, and redirect_uris that are https or loopback",
        ),
    }
}

fn told(asked: &Asked, status: StatusCode, client: &Client, token: &Secret<RegistrationToken>) -> Response {
    let uri = asked.org.endpoint(&format!("{REGISTER}/{}", client.client_id()));
    let registered = Registered {
        client_id: client.client_id(),
        issued: client.created,
        token,
        uri: &uri,
        name: &client.name,
        redirect_uris: &client.redirect_uris,
        grant_types: &client.grant_types,
        scopes: &client.scopes,
        authentication: &client.authentication,
    };
    json(status, &registered.reveal())
}
