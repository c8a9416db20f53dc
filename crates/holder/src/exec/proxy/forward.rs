//! One request on its way, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use hallpass_model::time::Lifetime;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use url::Url;

use super::body::{self, Body, Scrubbed, say};
use super::named::{Named, origin};
use super::{Place, Shared, headers};
use crate::exec::scrub::Current;
use crate::exec::supply::Held;
use crate::provider::{is_loopback, words};

/// A body that is kept so that its request can be sent again, in bytes.
const KEPT_LEN_MAX: u64 = 64 * 1024;
/// After a token was refused that was not over, and renewed: how long a second refusal is the API's own opinion. An API
/// that refuses everything shall not make us renew for each request.
const REFUSED_AGAIN: Lifetime = Lifetime::seconds(30);

/// A request with the parts of it that are sent.
struct Outgoing {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Content,
}

enum Content {
    None,
    Kept(Bytes),
    Streamed(Incoming),
}

/// Sends a request to a named origin, with the token. `here` is the reverse proxy's address for it, if that was asked.
pub(super) async fn with_token(
    shared: &Arc<Shared>,
    named: &Named,
    mut url: Url,
    mut request: Request<Incoming>,
    place: &Place,
    here: Option<&str>,
) -> Response<Body> {
    let method = request.method().clone();
    // SECURITY: it answers with what was sent (RFC 9110, section 9.3.8), and no program needs it.
    if method == Method::TRACE || method.as_str().eq_ignore_ascii_case("TRACK") {
        return say(StatusCode::METHOD_NOT_ALLOWED, "TRACE would show the token");
    }
    let upgrade = Upgrade::wanted(&mut request);
    let (parts, content) = request.into_parts();
    let mut sent = parts.headers;
    headers::leave_connection(&mut sent);
    headers::leave_credentials(&mut sent, &mut url);
    for name in [header::HOST, header::EXPECT, HeaderName::from_static("sec-websocket-extensions")] {
        sent.remove(name); // an extension compresses, and nobody could look into it
    }
    sent.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    upgrade.ask_for(&mut sent);
    let body = match Content::of(content, is_idempotent(&method)).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let mut outgoing = Outgoing { method, url, headers: sent, body };
    let held = match shared.supply.fresh().await {
        Ok(held) => held,
        Err(why) => return say(StatusCode::BAD_GATEWAY, &format!("there is no token that is good: {why}")),
    };
    let again = outgoing.again();
    let mut answer = send(shared, &mut outgoing, Some(&held)).await;
    if let Ok(refused) = &answer
        && refused.status() == StatusCode::UNAUTHORIZED
        && let Some(another) = another(shared, &held).await
        && let Some(mut again) = again
    {
        answer = send(shared, &mut again, Some(&another)).await;
    }
    let response = match answer {
        Ok(response) => response,
        Err(why) => return cannot_reach(&outgoing.url, &why),
    };
    let encoded = headers::is_encoded(response.headers());
    if encoded && !response.body().is_end_stream() && outgoing.method != Method::HEAD {
        let why = "the API answers compressed though it was asked not to, and nobody could look into that";
        return say(StatusCode::BAD_GATEWAY, why);
    }
    let current: Current = {
        let shared = shared.clone();
        Arc::new(move || shared.supply.words())
    };
    let mut response = upgrade.answered(response, shared, place, Some(current.clone()));
    let words = current();
    headers::scrub(response.headers_mut(), &words);
    // Another way to the same host, which does not lead through here.
    response.headers_mut().remove(header::ALT_SVC);
    if let Some(here) = here {
        headers::lead_back(response.headers_mut(), named, here);
    }
    response.map(|body| Scrubbed::new(body, current).boxed_unsync())
}

/// Sends a request to a host that was not named, as it came.
pub(super) async fn untouched(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    place: &Place,
) -> Response<Body> {
    let uri = request.uri();
    let url = uri.authority().and_then(|authority| origin(uri.scheme_str()?, authority));
    let url = url.and_then(|url| url.join(uri.path_and_query()?.as_str()).ok());
    let Some(url) = url.filter(|url| ["http", "https"].contains(&url.scheme())) else {
        return say(StatusCode::BAD_REQUEST, "that is no address");
    };
    let upgrade = Upgrade::wanted(&mut request);
    let (parts, content) = request.into_parts();
    let mut sent = parts.headers;
    headers::leave_connection(&mut sent);
    for name in [header::HOST, header::EXPECT] {
        sent.remove(name);
    }
    upgrade.ask_for(&mut sent);
    let body = if content.is_end_stream() { Content::None } else { Content::Streamed(content) };
    let mut outgoing = Outgoing { method: parts.method, url, headers: sent, body };
    match send(shared, &mut outgoing, None).await {
        Ok(response) => upgrade
            .answered(response, shared, place, None)
            .map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(why) => cannot_reach(&outgoing.url, &why),
    }
}

/// Sends it. The answer's body is still to come.
async fn send(
    shared: &Shared,
    outgoing: &mut Outgoing,
    held: Option<&Arc<Held>>,
) -> Result<Response<reqwest::Body>, String> {
    let client = if is_loopback(&outgoing.url) { &shared.near } else { &shared.far };
    let mut headers = outgoing.headers.clone();
    if let Some(held) = held {
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", held.pass.token.expose_text()));
        let mut value = HeaderValue::from_str(&bearer).map_err(|_| "the token does not fit into a header")?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let request = client.request(outgoing.method.clone(), outgoing.url.clone()).headers(headers);
    let request = match std::mem::replace(&mut outgoing.body, Content::None) {
        Content::None => request,
        Content::Kept(bytes) => request.body(bytes),
        Content::Streamed(body) => request.body(reqwest::Body::wrap(body)),
    };
    request.send().await.map(Response::from).map_err(|error| words(&error))
}

/// Another token in place of one that was refused, unless that was tried a moment ago.
async fn another(shared: &Shared, refused: &Arc<Held>) -> Option<Arc<Held>> {
    let newest = shared.supply.newest();
    if !Arc::ptr_eq(&newest, refused) {
        return Some(newest); // it was renewed meanwhile
    }
    let now = shared.supply.now();
    {
        let mut last = shared.refused.lock().expect("no thread panics holding this");
        if last.is_some_and(|last| now.since(last) < REFUSED_AGAIN) {
            return None;
        }
        *last = Some(now);
    }
    shared.supply.in_place_of(refused).await.ok().filter(|another| !Arc::ptr_eq(another, refused))
}

impl Content {
    /// Keeps a short body of a request that may be sent again.
    async fn of(content: Incoming, again: bool) -> Result<Self, Response<Body>> {
        if content.is_end_stream() {
            return Ok(Content::None);
        }
        let short = content.size_hint().exact().is_some_and(|len| len <= KEPT_LEN_MAX);
        if !again || !short {
            return Ok(Content::Streamed(content));
        }
        match content.collect().await {
            Ok(kept) => Ok(Content::Kept(kept.to_bytes())),
            Err(_) => Err(say(StatusCode::BAD_REQUEST, "the request's body ended too soon")),
        }
    }
}

impl Outgoing {
    /// The same once more, where that does nothing twice.
    fn again(&self) -> Option<Self> {
        let body = match &self.body {
            _ if !is_idempotent(&self.method) => return None,
            Content::None => Content::None,
            Content::Kept(bytes) => Content::Kept(bytes.clone()),
            Content::Streamed(_) => return None,
        };
        let (method, url, headers) = (self.method.clone(), self.url.clone(), self.headers.clone());
        Some(Self { method, url, headers, body })
    }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

fn cannot_reach(url: &Url, why: &str) -> Response<Body> {
    let place = url.origin().ascii_serialization();
    say(StatusCode::BAD_GATEWAY, &format!("`{place}` cannot be reached: {why}"))
}

/// A connection that is to become something else.
struct Upgrade(Option<(HeaderValue, OnUpgrade)>);

impl Upgrade {
    fn wanted(request: &mut Request<Incoming>) -> Self {
        let wanted = headers::wanted_upgrade(request.headers());
        Self(wanted.map(|to| (to, hyper::upgrade::on(request))))
    }

    fn ask_for(&self, sent: &mut HeaderMap) {
        if let Some((to, _)) = &self.0 {
            sent.insert(header::UPGRADE, to.clone());
            sent.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
    }

    /// Takes the answer's headers of the connection out, and where it became something else, copies both ways.
    fn answered(
        self,
        mut response: Response<reqwest::Body>,
        shared: &Arc<Shared>,
        place: &Place,
        words: Option<Current>,
    ) -> Response<reqwest::Body> {
        let to = response.headers().get(header::UPGRADE).cloned();
        headers::leave_connection(response.headers_mut());
        let mut answer = Response::new(reqwest::Body::default());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        if let (StatusCode::SWITCHING_PROTOCOLS, Some((_, here)), Some(to)) = (response.status(), self.0, to)
        {
            answer.headers_mut().insert(header::UPGRADE, to);
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            let there = hyper::upgrade::on(response);
            let place = place.clone();
            shared.spawn(async move {
                let _place = place;
                let Ok((here, there)) = tokio::try_join!(here, there) else { return };
                let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                let _ = match words {
                    Some(words) => body::copy_scrubbed(here, there, words).await,
                    None => tokio::io::copy_bidirectional(&mut here, &mut there).await.map(|_| ()),
                };
            });
            return answer;
        }
        *answer.body_mut() = response.into_body();
        answer
    }
}
