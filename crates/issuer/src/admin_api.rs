//! The administrators' API: the verbs of [`admin`](crate::admin) over HTTP, for whoever has a role in the org or answers for the thing.
//! Ours: no standard has it. `POST /{org}/api/admin/{verb}`, and `GET /{org}/api/admin/openapi.json`, which says what there is.
//!
//! SECURITY: a person's own session says it, with a scope that they agreed to, and for a change with a login of that day. A token
//! with `act` in it says nothing here: no agent administers an org.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hallpass_model::grant::{Acr, Authentication};
use hallpass_model::lifetimes::ADMINISTERING_LOGIN;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::CameBy;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

use crate::Issuer;
use crate::admin::{Member, Office, Refused, Verb, find, openapi};
use crate::caller::TokenCaller;
use crate::error::OAuthError;
use crate::form::{AskedInJson, at_org};

/// To see whatever one's roles in the org let one see.
pub(crate) const READ_SCOPE: &str = "hallpass:read";
/// To do whatever one's roles in the org let one do.
pub(crate) const CHANGE_SCOPE: &str = "hallpass:admin";

/// Where it stands below the issuer.
const BASE: &str = "api/admin";

/// How long others may keep the description: a day, as it changes with the server's version alone.
const DESCRIPTION_KEPT: &str = "public, max-age=86400";

/// `GET /{org}/api/admin/openapi.json`.
pub(crate) async fn describe(State(issuer): State<Issuer>, request: Request) -> Result<Response, OAuthError> {
    let (mut parts, _) = request.into_parts();
    let org = at_org(&mut parts, &issuer).await?;
    let described = openapi(&org.endpoint(BASE));
    Ok(([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, DESCRIPTION_KEPT)], described).into_response())
}

/// `POST /{org}/api/admin/{verb}`.
pub(crate) async fn answer(json: AskedInJson) -> Result<Response, OAuthError> {
    answered(&json).await.map_err(|error| json.asked.refuse(error))
}

async fn answered(json: &AskedInJson) -> Result<Response, OAuthError> {
    let asked = &json.asked;
    asked.slow_down()?;
    let name = json.path.get("verb").map(String::as_str).unwrap_or_default();
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint(&format!("{BASE}/{name}"))).await?;
    caller.require_audience(asked).await?;
    let place = &caller.token.place;
    let (Some(person), Some(_)) = (place.principal, place.session) else {
        return Err(caller.refused(asked, "no_person", "the access token is of no person's session").await);
    };
    if place.acting.is_some() {
        let told = "an agent acts with this token, and no agent administers an org";
        return Err(caller.refused(asked, "agent_administers", told).await);
    }
    let Some(verb) = find(name) else {
        return Ok(problem(
            Refused::not_there("there is no such verb").hint("openapi.json, beside it, lists them"),
        ));
    };
    enough(json, &caller, verb).await?;
    let member = Member::new(asked.org.org.clone(), person, CameBy::Token(place.clone()));
    let office = Office::of_member(asked.issuer.clone(), member);
    Ok(match verb.answer(office, json.body.clone()).await {
        Ok(body) => {
            let kind = if verb.is_by_line() { "application/jsonl" } else { "application/json" };
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], Body::new(body)).into_response()
        }
        Err(refused) => problem(refused),
    })
}

/// Refuses a token without the scope for it, and for a change one whose person proved who they are too long ago, or not at all.
async fn enough(json: &AskedInJson, caller: &TokenCaller, verb: &Verb) -> Result<(), OAuthError> {
    let (asked, claims) = (&json.asked, &caller.token.claims);
    let has = |scope| claims.scope.has(scope);
    if !(has(CHANGE_SCOPE) || verb.is_reading() && has(READ_SCOPE)) {
        asked.record_refusal_of((&caller.token.place).into(), "scope").await?;
        let told = match verb.is_reading() {
            true => "the access token lacks the scope hallpass:read",
            false => "the access token lacks the scope hallpass:admin",
        };
        return Err(OAuthError::new(ErrorCode::InsufficientScope, told).challenge(&asked.org.issuer, true));
    }
    let demand = Demand { max_age: Some(ADMINISTERING_LOGIN), ..Demand::default() };
    let proved = claims.acr.as_deref().and_then(Acr::parse).zip(claims.auth_time);
    let proved =
        proved.map(|(acr, at)| Authentication { at: Timestamp::from_seconds(at), acr, amr: Vec::new() });
    if verb.is_reading() || proved.is_some_and(|proved| demand.is_met_by(&proved, asked.now)) {
        return Ok(());
    }
    asked.record_refusal_of((&caller.token.place).into(), "step_up").await?;
    Err(OAuthError::step_up(demand).status(StatusCode::UNAUTHORIZED).challenge(&asked.org.issuer, true))
}

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

fn problem(refused: Refused) -> Response {
    let body = Problem {
        error: refused.kind.text(),
        error_description: &refused.message,
        hint: refused.hint.as_deref(),
    };
    crate::error::json(refused.kind.status(), &body)
}
