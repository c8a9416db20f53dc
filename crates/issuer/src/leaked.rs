//! Where anybody says that they found a credential of ours where it should not be: `POST /{org}/leaked`, ours.
//!
//! Whoever found it holds it whole, which is all that is asked of them: they need not log in, nor say who they are. It dies
//! at once, with what came of it, and whoever answers for it is told.

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use hallpass_model::ledger::Actor;
use hallpass_model::purpose::plain;
use hallpass_model::secret::Secret;
use hallpass_model::session::RefreshToken;
use hallpass_model::spelling::{Prefix, RANDOM_BYTES, parse, without_secrets};
use hallpass_store::{Leaked, RecordLeak};
use http::StatusCode;

use crate::error::OAuthError;
use crate::form::Asked;

/// Every report is answered so long after it came, and not before. SECURITY: else the time that a commit takes would tell
/// whoever guesses which credentials are alive. Many times what one takes.
const ANSWERED_AFTER: Duration = Duration::from_millis(250);
/// What is kept of where it was found, in characters: an address or a path. It is text from anybody, and nothing is fetched.
const FOUND_LEN_MAX: usize = 200;

/// Takes a report. The answer is the same whatever was reported.
pub(crate) async fn report(asked: Asked) -> Result<Response, OAuthError> {
    let came = Instant::now();
    taken(&asked).await.map_err(|error| asked.refuse(error))?;
    tokio::time::sleep_until((came + ANSWERED_AFTER).into()).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn taken(asked: &Asked) -> Result<(), OAuthError> {
    asked.slow_down()?;
    let text = asked.form.required("token")?;
    // Each is looked up, and holds a connection for a moment.
    asked.count_write()?;
    let Some(leaked) = read(asked, text).await? else {
        asked.issuer.store.count_stranger("unknown leak");
        return Ok(());
    };
    let found = asked.form.find("found").map(|found| plain(&without_secrets(found), FOUND_LEN_MAX));
    let record = RecordLeak { org: asked.org.id(), leaked, found };
    if !asked.issuer.store.change(Actor::Nobody, asked.now, record).await? {
        asked.issuer.store.count_stranger("unknown leak");
    }
    Ok(())
}

/// What it is, by its spelling; nothing, if it is no credential that could be one of this org's.
async fn read(asked: &Asked, text: &str) -> Result<Option<Leaked>, OAuthError> {
    let Some(prefix) = Prefix::ALL.into_iter().find(|prefix| text.starts_with(prefix.text())) else {
        let token = asked.issuer.own_token(&asked.org, text, asked.now).await?;
        return Ok(token.ok().map(|token| Leaked::AccessToken {
            place: token.place.clone(),
            audience: token.claims.aud.single().map(str::to_owned),
        }));
    };
    if prefix == Prefix::Refresh {
        return Ok(RefreshToken::parse(text).ok().map(Leaked::RefreshToken));
    }
    if parse::<RANDOM_BYTES>(prefix, text).is_err() {
        return Ok(None);
    }
    let text = text.to_owned();
    Ok(Some(match prefix {
        Prefix::Refresh => return Ok(None),
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
