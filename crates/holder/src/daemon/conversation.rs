//! The answering end of a connection: one question, bounded in length and time, and one answer in JSON. What listens on a
//! Unix socket of ours speaks so, the daemon and a run's pass socket alike.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::problem::{BAD_REQUEST, Problem};
use super::wire::{TokenAsked, TokenGiven};
use crate::pass::{ActingFor, PassRequest};

/// A question is a record of a few large tokens at most.
const QUESTION_MAX: usize = 1024 * 1024;
/// A whole question must have come after this: both ends are on one machine.
const QUESTION_TIME_OUT: Duration = Duration::from_secs(5);
/// The head of a question at most, in bytes: ours has a few lines.
const HEAD_MAX: usize = 16 * 1024;

/// An answer, secrets and all. Wiped when dropped.
pub(crate) type Answer = Zeroizing<Vec<u8>>;

/// A question that came whole.
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// Reads the connection's one question, and gives it the answer that comes of it.
pub(crate) async fn converse<F>(stream: UnixStream, answer: impl Fn(Question) -> F)
where
    F: Future<Output = Result<Answer, Problem>>,
{
    let service = service_fn(|request| {
        let answer = &answer;
        async move { Ok::<_, Infallible>(respond(request, answer).await) }
    });
    // One question a connection: its buffers, which saw a token, go with it.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(QUESTION_TIME_OUT)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

async fn respond<F>(request: Request<Incoming>, answer: &impl Fn(Question) -> F) -> Response<Full<Bytes>>
where
    F: Future<Output = Result<Answer, Problem>>,
{
    let answered = match whole(request).await {
        Ok(question) => answer(question).await,
        Err(problem) => Err(problem),
    };
    let (status, answer) = match answered {
        Ok(answer) => (StatusCode::OK, answer),
        Err(problem) => {
            let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Zeroizing::new(serde_json::to_vec(&problem).expect("a problem is a few texts")))
        }
    };
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(Bytes::from_owner(Body(answer))))
        .expect("the headers are constants")
}

async fn whole(request: Request<Incoming>) -> Result<Question, Problem> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, QUESTION_MAX).collect();
    let body = match tokio::time::timeout(QUESTION_TIME_OUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(Problem::new(BAD_REQUEST, "the question is too long, or was cut short")),
        Err(_) => return Err(Problem::new(BAD_REQUEST, "the question did not come in time")),
    };
    Ok(Question { method: parts.method, path: parts.uri.path().to_owned(), body })
}

/// Wiped when the last of the connection is done with it.
struct Body(Answer);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An answer with a token in it. Wiped when dropped.
pub(crate) struct Shown(pub(crate) TokenGiven);

impl Drop for Shown {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0.access_token);
    }
}

/// What a question for a token is as a request of ours.
pub(crate) fn request(asked: &TokenAsked) -> Result<PassRequest, Problem> {
    let bad = |what: &str| Problem::new("usage", what);
    if let Some(resource) = &asked.resource
        && !url::Url::parse(resource).is_ok_and(|url| !url.cannot_be_a_base() && !resource.contains('#'))
    {
        return Err(bad("`resource` is not an absolute address without a fragment"));
    }
    let scopes = match &asked.scope {
        Some(scope) => Scopes::parse_tolerant(scope).map_err(|why| bad(&format!("`scope`: {why}")))?,
        None => Scopes::none(),
    };
    let purpose = asked.purpose.as_deref().map(str::parse::<Purpose>).transpose();
    let acting = match (&asked.agent, asked.run) {
        (None, None) => None,
        (None, Some(run)) => Some(ActingFor::Run(run)),
        (Some(agent), None) => match agent.parse() {
            Ok(agent) => Some(ActingFor::NewRun(agent)),
            Err(_) => return Err(bad("`agent` is not the name of an agent")),
        },
        (Some(_), Some(_)) => return Err(bad("`agent` begins a run, and `run` goes on with one")),
    };
    Ok(PassRequest {
        acting,
        resource: asked.resource.clone(),
        scopes,
        lifetime: asked.lifetime.map(Lifetime::seconds),
        purpose: purpose.map_err(|why| bad(&format!("`purpose`: {why}")))?,
    })
}

/// Reads the question of a body.
pub(crate) fn read<'a, Q: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<Q, Problem> {
    let bad = || Problem::new(BAD_REQUEST, "the question is not the JSON object it should be");
    // A list would do for a struct, too.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad());
    }
    // The parser's own words may repeat what it read.
    serde_json::from_slice(body).map_err(|_| bad())
}

/// Writes an answer down.
pub(crate) fn render(answer: &impl Serialize) -> Answer {
    let mut bytes = Zeroizing::new(Vec::with_capacity(super::http::ANSWER_USUAL));
    serde_json::to_writer(&mut *bytes, answer).expect("an answer is a struct of JSON values");
    bytes
}
