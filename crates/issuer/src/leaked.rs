//! Where anybody says that they found a credential of ours where it should not be: `POST /{org}/leaked`, ours.
//!
//! Whoever found it holds it whole, which is all that is asked of them: they need not log in, nor say who they are. It dies
//! at once, with what came of it, and whoever answers for it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use hallpass_model::jose::peek_unverified;
use hallpass_model::ledger::Actor;
use hallpass_model::purpose::plain;
use hallpass_model::secret::Secret;
use hallpass_model::session::RefreshToken;
use hallpass_model::spelling::{BadSpelling, Prefix, judge, without_secrets};
use hallpass_model::time::Timestamp;
use hallpass_store::{Leaked, RecordLeak, StoreError};
use http::StatusCode;

use crate::Issuer;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::org::OrgIssuer;

/// Every report is answered so long after it came, and not before. SECURITY: else the time that a commit takes would tell
/// whoever guesses which credentials are alive. Many times what one takes.
const ANSWERED_AFTER: Duration = Duration::from_millis(250);
/// What is kept of where it was found, in characters: an address or a path. It is text from anybody, and nothing is fetched.
pub(crate) const FOUND_LEN_MAX: usize = 200;

/// Takes a report. The answer is the same whatever was reported.
pub(crate) async fn report(asked: Asked) -> Result<Response, OAuthError> {
    taken(&asked).await.map_err(|error| asked.refuse(error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn taken(asked: &Asked) -> Result<(), OAuthError> {
    asked.slow_down()?;
    // Whoever read it from a file has the end of its line, too.
    let token = asked.form.required("token")?.trim();
    if !is_spelled_so(token) {
        let told = "the token is no credential of a Hallpass issuer, or not all of it";
        return Err(OAuthError::invalid_request(told));
    }
    // Each is looked up, and holds a connection for a moment.
    asked.count_write()?;
    take(&asked.issuer, &asked.org, asked.now, token, asked.form.find("found")).await?;
    Ok(())
}

/// Ends it, if it is a credential of this org, alive; and is done no sooner if it is not.
pub(crate) async fn take(
    issuer: &Issuer,
    org: &Arc<OrgIssuer>,
    now: Timestamp,
    token: &str,
    found: Option<&str>,
) -> Result<(), StoreError> {
    let came = Instant::now();
    let ended = match read(issuer, org, now, token).await? {
        Some(leaked) => {
            let found = found.map(|found| told(found, token));
            issuer.store.change(Actor::Nobody, now, RecordLeak { org: org.id(), leaked, found }).await?
        }
        None => false,
    };
    if !ended {
        issuer.store.count_stranger("unknown leak");
    }
    tokio::time::sleep_until((came + ANSWERED_AFTER).into()).await;
    Ok(())
}

/// What is kept of what somebody says of it. Characters that are not seen go first: they could stand within a secret.
fn told(found: &str, token: &str) -> String {
    let seen = plain(found, usize::MAX).replace(token, "…");
    without_secrets(&seen).chars().take(FOUND_LEN_MAX).collect()
}

/// Whether it could be a credential of an issuer like this one, by its spelling alone.
pub(crate) fn is_spelled_so(text: &str) -> bool {
    match judge(text) {
        Err(BadSpelling::Prefix) => peek_unverified(text).is_ok(),
        judged => judged.is_ok(),
    }
}

/// What it is, by its spelling; nothing, if it is no credential that could be one of this org's.
async fn read(
    issuer: &Issuer,
    org: &Arc<OrgIssuer>,
    now: Timestamp,
    text: &str,
) -> Result<Option<Leaked>, StoreError> {
    let prefix = match judge(text) {
        Ok(Prefix::Refresh) => return Ok(RefreshToken::parse(text).ok().map(Leaked::RefreshToken)),
        Ok(prefix) => prefix,
        Err(BadSpelling::Prefix) => {
            let token = issuer.own_token(org, text, now).await?;
            return Ok(token.ok().map(|token| Leaked::AccessToken {
                place: token.place.clone(),
                audience: token.claims.aud.single().map(str::to_owned),
            }));
        }
        Err(_) => return Ok(None),
    };
    let text = text.to_owned();
    Ok(Some(match prefix {
        Prefix::Refresh => return Ok(None), // parsed above
        Prefix::ApiKey => Leaked::ApiKey(Secret::from_text(text)),
        Prefix::ClientSecret => Leaked::ClientSecret(Secret::from_text(text)),
        Prefix::InitialAccess => Leaked::InitialAccessToken(Secret::from_text(text)),
        Prefix::Registration => Leaked::RegistrationToken(Secret::from_text(text)),
        Prefix::Link => Leaked::OneTimeLink(Secret::from_text(text)),
        Prefix::Web => Leaked::WebCookie(Secret::from_text(text)),
        Prefix::Code => Leaked::AuthorizationCode(Secret::from_text(text)),
        Prefix::Device => Leaked::DeviceCode(Secret::from_text(text)),
    }))
}
