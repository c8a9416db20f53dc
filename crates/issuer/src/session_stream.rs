//! A session's own stream: its holder hears at once that it was cut, and wipes what it has.
//!
//! Server-sent events. `open` once, a comment every few seconds, so that both sides notice a dead network; `ended` with the
//! reason when the session is over. A stream that ends without that says nothing: the holder opens another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use hallpass_model::cut::{Place, Target};
use hallpass_model::id::SessionId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::caller::TokenCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::lease::heard_of;
use crate::{Issuer, limits};

/// How often a comment says that the stream is open. What is told of cuts is heard at once; this is also how often the
/// rows are looked at, in case a hint was missed.
const EVERY: Duration = Duration::from_secs(15);
/// A stream at most: then its holder comes back with a token of then, which proves that it still is who it was.
const LASTS: Duration = Duration::from_secs(60 * 60);
/// Streams of one session: its holder's, and one that it has not noticed is dead.
const OF_ONE_SESSION: usize = 4;

/// The streams that are open.
#[derive(Default)]
pub(crate) struct Watchers(Arc<Mutex<HashMap<SessionId, usize>>>);

/// One of them. Given back when dropped.
struct Held {
    all: Arc<Mutex<HashMap<SessionId, usize>>>,
    session: SessionId,
}

impl Watchers {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("no thread panics holding this").values().sum()
    }

    fn take(&self, session: SessionId) -> Option<Held> {
        let mut all = self.0.lock().expect("no thread panics holding this");
        if all.values().sum::<usize>() >= limits::WATCHERS_MAX {
            return None;
        }
        let own = all.entry(session).or_default();
        if *own >= OF_ONE_SESSION {
            return None;
        }
        *own += 1;
        Some(Held { all: self.0.clone(), session })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.all.lock().expect("no thread panics holding this");
        if let Some(own) = all.get_mut(&self.session) {
            *own -= 1;
            if *own == 0 {
                all.remove(&self.session);
            }
        }
    }
}

/// Opens the stream of the session that the token is of.
pub(crate) async fn watch(asked: Asked) -> Result<Response, OAuthError> {
    watched(&asked).await.map_err(|error| asked.refuse(error))
}

async fn watched(asked: &Asked) -> Result<Response, OAuthError> {
    asked.slow_down()?;
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint("session")).await?;
    caller.require_audience(asked).await?;
    let Some(session) = caller.token.place.session else {
        return Err(caller.refused(asked, "no_session", "the access token is of no session").await);
    };
    let issuer = &asked.issuer;
    let held = issuer.watchers.take(session).ok_or_else(OAuthError::busy)?;
    let watched = Watched {
        issuer: issuer.clone(),
        // Before the first look, so that none falls between the two.
        cuts: issuer.store.cuts_made(),
        // The session's own place: that this one token is over says nothing about it.
        place: Place { credentials: Vec::new(), ..caller.token.place.clone() },
        until: Instant::now() + LASTS,
        first: true,
        _held: held,
    };
    let events = stream::unfold(Some(watched), async |watched| {
        let mut watched = watched?;
        match watched.next().await {
            Next::Open => {
                Some((Ok::<_, Infallible>(Bytes::from_static(b"event: open\ndata: {}\n\n")), Some(watched)))
            }
            Next::Still => Some((Ok(Bytes::from_static(b": still open\n\n")), Some(watched))),
            Next::Ended(why) => {
                let data = serde_json::json!({ "why": why });
                Some((Ok(format!("event: ended\ndata: {data}\n\n").into()), None))
            }
            Next::Over => None,
        }
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(Box::pin(events))).into_response())
}

/// A stream that is open.
struct Watched {
    issuer: Issuer,
    cuts: broadcast::Receiver<Target>,
    place: Place,
    until: Instant,
    first: bool,
    _held: Held,
}

enum Next {
    Open,
    Still,
    Ended(&'static str),
    Over,
}

impl Watched {
    /// What is said next: at once the first time, then after a while, or when the session is over.
    async fn next(&mut self) -> Next {
        let comment = Instant::now() + EVERY;
        loop {
            // What is told of cuts is a hint; this is what is so.
            if let Ok(Some(why)) = self.issuer.store.is_dead(&self.place).await {
                return Next::Ended(why.text());
            }
            if std::mem::take(&mut self.first) {
                return Next::Open;
            }
            tokio::select! {
                () = tokio::time::sleep_until(comment) => return Next::Still,
                () = tokio::time::sleep_until(self.until) => return Next::Over,
                () = self.issuer.stopped() => return Next::Over,
                () = heard_of(&mut self.cuts, &self.place) => {}
            }
        }
    }
}
