//! What it answers, endpoint by endpoint.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hallpass_model::jose::JwkSet;
use serde_json::json;

use super::{Asked, SmallProvider};

/// The time there, in every answer.
pub(super) async fn dated(State(provider): State<SmallProvider>, mut answer: Response) -> Response {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_millis(provider.now().millis() as u64);
    let date = HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap();
    answer.headers_mut().insert(header::DATE, date);
    answer
}

/// Who it is, in words of its own (OIDC has others).
pub(super) async fn user(State(provider): State<SmallProvider>, headers: HeaderMap) -> Response {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token {
        Some(token) if !provider.revoked().iter().any(|revoked| revoked == token) => {
            json!({ "login": "ada", "id": 4711 }).to_string().into_response()
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

pub(super) async fn metadata(State(provider): State<SmallProvider>) -> Response {
    if !provider.manner().publishes {
        return (StatusCode::NOT_FOUND, "<html>no such page</html>").into_response();
    }
    let (issuer, manner) = (provider.issuer.clone(), provider.manner());
    let mut document = json!({
        "issuer": manner.says_issuer.clone().unwrap_or_else(|| issuer.clone()),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "authorization_response_iss_parameter_supported": manner.ours,
        "hallpass_device_wait_supported": manner.ours,
    });
    if manner.revokes {
        document["revocation_endpoint"] = format!("{issuer}/revoke").into();
    }
    document.to_string().into_response()
}

pub(super) async fn jwks(State(provider): State<SmallProvider>) -> String {
    provider.hold("jwks").await;
    serde_json::to_string(&JwkSet::new(vec![provider.key.public().clone()])).unwrap()
}

pub(super) async fn authorize(
    State(provider): State<SmallProvider>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let code = format!("code-{}", provider.minted.fetch_add(1, Ordering::Relaxed));
    let asked = Asked {
        challenge: query.get("code_challenge").cloned(),
        nonce: query.get("nonce").cloned(),
        redirect_uri: query.get("redirect_uri").cloned(),
        jkt: query.get("dpop_jkt").cloned(),
    };
    provider.forms.lock().unwrap().push(("authorize".into(), query.clone()));
    provider.codes.lock().unwrap().insert(code.clone(), asked);
    let answer = match provider.manner().approves {
        Some(true) => ("code", code.as_str()),
        _ => ("error", "access_denied"),
    };
    let mut back: url::Url = query["redirect_uri"].parse().unwrap();
    back.query_pairs_mut().append_pair(answer.0, answer.1).append_pair("state", &query["state"]);
    if provider.manner().ours {
        back.query_pairs_mut().append_pair("iss", &provider.issuer);
    }
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

pub(super) async fn device_authorization(State(provider): State<SmallProvider>, body: Bytes) -> Response {
    let form = provider.note("device_authorization", &body);
    match provider.manner().refuses_codes {
        None => {}
        Some("404") => return StatusCode::NOT_FOUND.into_response(),
        Some(error) => return provider.error_saying(error, "AADSTS53003: blocked by a policy of the tenant"),
    }
    let code = format!("device-{}", provider.minted.fetch_add(1, Ordering::Relaxed));
    let asked = Asked {
        challenge: None,
        nonce: None,
        redirect_uri: None,
        jkt: form.find("dpop_jkt").map(str::to_owned),
    };
    provider.codes.lock().unwrap().insert(code.clone(), asked);
    let mut answer = json!({
        "device_code": code, "user_code": "BCDF-GHJK", "verification_uri": format!("{}/device", provider.issuer),
        "expires_in": 60, "interval": 1,
    });
    if provider.manner().says_complete {
        answer["verification_uri_complete"] =
            format!("{}/device?user_code=BCDF-GHJK", provider.issuer).into();
    }
    provider.answer(StatusCode::OK, answer)
}

pub(super) async fn token(
    State(provider): State<SmallProvider>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(status) = provider.manner().broken {
        return (StatusCode::from_u16(status).unwrap(), "<html>out of order</html>").into_response();
    }
    let key = match provider.proven(&headers) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    let form = provider.note("token", &body);
    let grant_type = form.find("grant_type").unwrap_or_default().to_owned();
    *provider.asked.lock().unwrap().entry(grant_type.clone()).or_default() += 1;
    let last_word = grant_type.rsplit(':').next().unwrap_or_default();
    provider.hold(last_word).await;
    match last_word {
        "device_code" => {
            if let Some(error) = provider.manner.lock().unwrap().polls.pop() {
                return provider_error(error);
            }
            match provider.manner().approves {
                None if headers.get("prefer").is_some() => {
                    // Not for 25 seconds: a test's person makes up their mind quickly.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    ([("preference-applied", "wait=25")], provider.error("authorization_pending"))
                        .into_response()
                }
                None => provider.error("authorization_pending"),
                Some(false) => provider.error("access_denied"),
                Some(true) => provider.redeem(form.find("device_code"), &form, key),
            }
        }
        "authorization_code" => provider.redeem(form.find("code"), &form, key),
        "refresh_token" => provider.refresh(&form, key).await,
        "token-exchange" => provider.exchange(&form),
        _ => provider.error("unsupported_grant_type"),
    }
}

pub(super) fn provider_error(code: &str) -> Response {
    if code == "503" {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    (StatusCode::BAD_REQUEST, json!({ "error": code }).to_string()).into_response()
}

pub(super) async fn revoke(State(provider): State<SmallProvider>, body: Bytes) -> Response {
    *provider.asked.lock().unwrap().entry("revoke".into()).or_default() += 1;
    provider.hold("revoke").await;
    if provider.manner().cannot_revoke_now {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some((status, error)) = provider.manner().answers_revocation {
        let status = StatusCode::from_u16(status).unwrap();
        return match error {
            Some(error) => (status, json!({ "error": error }).to_string()).into_response(),
            None => status.into_response(),
        };
    }
    let form = provider.note("revoke", &body);
    let token = form.find("token").unwrap_or_default().to_owned();
    if let Some(rest) = token.strip_prefix("refresh-") {
        let id: usize = rest.split('-').next().unwrap().parse().unwrap();
        if let Some(session) = provider.sessions.lock().unwrap().get_mut(&id) {
            session.ended = true;
        }
    }
    provider.revoked.lock().unwrap().push(token);
    StatusCode::OK.into_response()
}
