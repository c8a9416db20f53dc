//! One client on our standard input and output, one server by HTTP (MCP, Streamable HTTP).
//!
//! 1. Each message of the client's is a POST of its own, with a token that is good now. What comes back, whole or as a stream of
//!    events, is written line by line.
//! 2. A server of the revisions before 2026-07-28 may have a session, and a stream of its own beside the answers.
//! 3. Whoever waits for an answer gets one: where the server gives none, ours says why.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hallpass_holder::api::{ApiClient, ApiError, ApiRequest};
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::Response;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::events::{EVENT_LEN_MAX, Events};
use super::message::{Message, Tools, answers, failed, misses_a_header};
use crate::failure::{Failure, STEP_UP};

/// Tries to take up a stream that broke off, before whoever waits is told.
const RESUMED_AT_MOST: u32 = 5;
/// The first wait between them; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// And the longest, for the server's own stream, which is taken up for as long as we run.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Pages of tools that are read to learn which headers a call needs.
const PAGES_MAX: usize = 20;
/// How long the server may take to hear that its session is over.
const GOODBYE: Duration = Duration::from_secs(5);

/// The way between the two. Cheap to clone.
#[derive(Clone)]
pub(super) struct Relay(Arc<Inner>);

struct Inner {
    api: ApiClient,
    /// The path and query of the server, below its origin.
    place: String,
    /// Lines for the client.
    lines: mpsc::Sender<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<String>,
    /// The revision that was agreed on at the beginning, before 2026-07-28.
    revision: Option<String>,
    tools: Tools,
    /// Requests under way, by their id.
    waiting: HashMap<String, AbortHandle>,
    stream: Option<AbortHandle>,
}

/// Why there is no answer of the server's.
enum Trouble {
    /// It could not be asked.
    Api(Box<ApiError>),
    /// It refused, or answered something that is no message.
    Answer { why: String, hint: Option<String> },
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl Relay {
    pub(super) fn new(api: ApiClient, place: String, lines: mpsc::Sender<String>) -> Self {
        Self(Arc::new(Inner { api, place, lines, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message of the client's on, and goes on at once.
    pub(super) fn send(&self, message: Message) {
        let called_off = message.calls_off().and_then(|id| self.state().waiting.remove(&id));
        if let Some(waiting) = called_off {
            // From 2026-07-28 on the end of the answer's stream says it; before, the message does.
            waiting.abort();
            if self.state().revision.is_none() {
                return;
            }
        }
        let ids = message.ids();
        let relay = self.clone();
        let own = message.ids();
        let task = tokio::spawn(async move {
            let outcome = relay.exchange(&message).await;
            for id in &own {
                relay.state().waiting.remove(&id.to_string());
            }
            if let Err(trouble) = outcome {
                relay.tell(&own, trouble).await;
            }
        });
        let mut state = self.state();
        for id in ids {
            if !task.is_finished() {
                state.waiting.insert(id.to_string(), task.abort_handle());
            }
        }
    }

    async fn tell(&self, ids: &[Value], trouble: Trouble) {
        let (why, hint) = match trouble {
            Trouble::Api(error) => match *error {
                ApiError::Holder(error) => {
                    let failure = Failure::from(error);
                    (failure.message().to_owned(), failure.hint_text().map(str::to_owned))
                }
                other => (other.to_string(), None),
            },
            Trouble::Answer { why, hint } => (why, hint),
        };
        for id in ids {
            self.write(&failed(id, &format!("hallpass: {why}"), hint.as_deref())).await;
        }
        if ids.is_empty() {
            tracing::warn!(error.because = why, "a notification did not reach the server");
        }
    }

    /// Gives the client a line. SECURITY: a token that the server repeats is taken out of it.
    async fn write(&self, line: &str) {
        let line = match self.0.api.without_tokens(line.as_bytes()).await {
            Some(masked) => String::from_utf8_lossy(&masked).into_owned(),
            None => line.to_owned(),
        };
        // Whoever reads no more has gone, and we are about to.
        let _ = self.0.lines.send(line).await;
    }

    /// Gives the client a message, on one line, and learns from it what the transport must know.
    async fn hand_over(&self, text: &str) -> Option<Value> {
        let message: Value = serde_json::from_str(text).ok()?;
        self.state().tools.learn(&message);
        // A message within an event may go over several lines; here it is one.
        self.write(&message.to_string()).await;
        Some(message)
    }

    fn request(&self, method: http::Method, accept: &str) -> ApiRequest {
        let state = self.state();
        let request = self.0.api.request(method, &self.0.place).header(ACCEPT.as_str(), accept);
        let request = match &state.revision {
            Some(revision) => request.header("mcp-protocol-version", revision),
            None => request,
        };
        match &state.session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
    }

    async fn post(&self, message: &Message) -> Result<Response, Trouble> {
        let mut request = self.request(http::Method::POST, "application/json, text/event-stream");
        for (name, value) in message.headers(&self.state().tools) {
            request = request.header(&name, &value);
        }
        Ok(request.header(CONTENT_TYPE.as_str(), "application/json").body(&message.text).send().await?)
    }

    async fn exchange(&self, message: &Message) -> Result<(), Trouble> {
        let begins = message.method() == Some("initialize");
        if begins {
            let mut state = self.state();
            (state.session, state.revision) = (None, None);
        }
        let mut response = self.post(message).await?;
        if response.status() == StatusCode::BAD_REQUEST {
            let refusal = read(&mut response).await?;
            let read: Option<Value> = serde_json::from_slice(&refusal).ok();
            match read {
                // It says which headers a call needs only in its list.
                Some(answer) if misses_a_header(&answer) && self.learn_tools(message).await => {
                    response = self.post(message).await?;
                }
                Some(answer) if answers(&answer, &message.ids()) => {
                    self.write(&answer.to_string()).await;
                    return Ok(());
                }
                _ => return Err(refused(StatusCode::BAD_REQUEST, "")),
            }
        }
        if !response.status().is_success() {
            return self.not_taken(message, response).await;
        }
        if begins {
            let session = response.headers().get("mcp-session-id").and_then(|value| value.to_str().ok());
            self.state().session = session.map(str::to_owned);
        }
        if message.ids().is_empty() {
            if message.method() == Some("notifications/initialized") && self.state().revision.is_some() {
                self.listen();
            }
            return Ok(());
        }
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => self.follow(message, response).await,
            "application/json" => {
                let body = read(&mut response).await?;
                let text = String::from_utf8_lossy(&body);
                let answer = self.hand_over(&text).await;
                let answer = answer.ok_or_else(|| no_message("something that is no message"))?;
                self.agreed(message, &answer);
                match answers(&answer, &message.ids()) {
                    true => Ok(()),
                    false => Err(no_message("a message that is no answer")),
                }
            }
            _ => Err(no_message("something that is neither JSON nor a stream of events")),
        }
    }

    /// Keeps the revision that the first answer agrees on.
    fn agreed(&self, message: &Message, answer: &Value) {
        if message.method() == Some("initialize")
            && let Some(revision) = answer["result"]["protocolVersion"].as_str()
        {
            self.state().revision = Some(revision.to_owned());
        }
    }

    /// Reads a stream until what was asked is answered. One that breaks off is taken up where it may be.
    async fn follow(&self, message: &Message, response: Response) -> Result<(), Trouble> {
        let ids = message.ids();
        let mut response = response;
        let mut last_id: Option<String> = None;
        for tried in 0..=RESUMED_AT_MOST {
            let mut events = Events::after(last_id.take());
            let mut answered = false;
            let broken = self
                .read_events(&mut response, &mut events, |answer| {
                    self.agreed(message, answer);
                    answered |= answers(answer, &ids);
                })
                .await;
            if answered {
                return Ok(());
            }
            last_id = events.last_id.filter(|id| !id.is_empty());
            let Some(id) = last_id.as_deref().filter(|_| tried < RESUMED_AT_MOST) else {
                return Err(broken
                    .err()
                    .unwrap_or_else(|| no_message("a stream that ended without the answer")));
            };
            tokio::time::sleep(FIRST_WAIT * 2u32.pow(tried)).await;
            response = self.resumed(id).await?;
        }
        Err(no_message("a stream that ended without the answer"))
    }

    async fn read_events(
        &self,
        response: &mut Response,
        events: &mut Events,
        mut seen: impl FnMut(&Value),
    ) -> Result<(), Trouble> {
        while let Some(piece) = response.chunk().await.map_err(http_error)? {
            let complete = events.push(&piece).map_err(|long| no_message(&long.to_string()))?;
            for event in complete {
                if let Some(message) = self.hand_over(&event.data).await {
                    seen(&message);
                }
            }
        }
        Ok(())
    }

    async fn resumed(&self, last_id: &str) -> Result<Response, Trouble> {
        let request = self.request(http::Method::GET, "text/event-stream").header("last-event-id", last_id);
        let response = request.send().await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(refused(response.status(), "")),
        }
    }

    /// The stream on which a server of an earlier revision asks and tells of its own accord. Many have none.
    fn listen(&self) {
        let relay = self.clone();
        let task = tokio::spawn(async move {
            let (mut wait, mut last_id) = (FIRST_WAIT, None::<String>);
            loop {
                let mut request = relay.request(http::Method::GET, "text/event-stream");
                if let Some(id) = &last_id {
                    request = request.header("last-event-id", id);
                }
                match request.send().await {
                    Ok(mut response) if response.status().is_success() => {
                        wait = FIRST_WAIT;
                        let mut events = Events::after(last_id.take());
                        let _ = relay.read_events(&mut response, &mut events, |_| ()).await;
                        last_id = events.last_id.filter(|id| !id.is_empty());
                    }
                    // 405: it has no such stream. 404: it has no such session any more.
                    Ok(response) if response.status().is_client_error() => return,
                    Ok(_) | Err(_) => {}
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        });
        if let Some(before) = self.state().stream.replace(task.abort_handle()) {
            before.abort();
        }
    }

    /// Asks for the list of tools, which says what headers their calls need. Whether that was learned.
    async fn learn_tools(&self, message: &Message) -> bool {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let question = message.tools_question(&self.state().tools, cursor.as_deref());
            let Some(question) = question else { return cursor.is_some() };
            let Ok(mut response) = self.post(&question).await else { return false };
            let Ok(body) = read(&mut response).await else { return false };
            let text = String::from_utf8_lossy(&body);
            let answer = serde_json::from_slice(&body).ok().or_else(|| {
                let mut events = Events::default();
                let all = events.push(text.as_bytes()).ok()?;
                all.iter().find_map(|event| serde_json::from_str(&event.data).ok())
            });
            let Some(answer): Option<Value> = answer else { return false };
            cursor = self.state().tools.learn(&answer);
            if cursor.is_none() {
                return true;
            }
        }
        true
    }

    /// What is said of an answer that is none: the server's own message where it is one, ours otherwise.
    async fn not_taken(&self, message: &Message, mut response: Response) -> Result<(), Trouble> {
        let status = response.status();
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join("\n");
        let body = read(&mut response).await.unwrap_or_default();
        let own: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(own) = own.filter(|own| answers(own, &message.ids())) {
            self.write(&own.to_string()).await;
            return Ok(());
        }
        if status == StatusCode::NOT_FOUND && self.state().session.take().is_some() {
            let why = "the server knows this session no more".to_owned();
            return Err(Trouble::Answer { why, hint: Some("connect again".to_owned()) });
        }
        Err(refused(status, &challenge))
    }

    /// The client has gone: tells a server that has a session.
    pub(super) async fn end(&self) {
        let (stream, session) = {
            let mut state = self.state();
            state.waiting.drain().for_each(|(_, waiting)| waiting.abort());
            (state.stream.take(), state.session.clone())
        };
        if let Some(stream) = stream {
            stream.abort();
        }
        if session.is_some() {
            let goodbye = self.request(http::Method::DELETE, "application/json").send();
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        }
    }
}

/// A body, whole.
async fn read(response: &mut Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(http_error)? {
        if body.len() + piece.len() > EVENT_LEN_MAX {
            return Err(no_message(&format!("more than {} MiB", EVENT_LEN_MAX / 1024 / 1024)));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn http_error(error: reqwest::Error) -> Trouble {
    ApiError::Http(error.without_url()).into()
}

fn no_message(what: &str) -> Trouble {
    Trouble::Answer { why: format!("the server answered with {what}"), hint: None }
}

/// A refusal of the server's, in words.
fn refused(status: StatusCode, challenge: &str) -> Trouble {
    let names = |error: &str| challenge.contains(&format!("error=\"{error}\""));
    let (why, hint) = if names("insufficient_scope") {
        let scope = challenge.split_once("scope=\"").and_then(|(_, rest)| rest.split_once('"'));
        let scope = scope.map_or("another scope", |(scope, _)| scope);
        let scope: String = scope.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
        let hint = "sign in with it, or leave `--scope` out if your sign-in has it".to_owned();
        (format!("the server wants a token with `{scope}`"), Some(hint))
    } else if names("insufficient_user_authentication") {
        let hint = format!("{STEP_UP}, then try again");
        ("the server wants a stronger or more recent login".to_owned(), Some(hint))
    } else if status == StatusCode::UNAUTHORIZED {
        let hint = "`hallpass status` shows what your sign-in is".to_owned();
        ("the server does not take this token".to_owned(), Some(hint))
    } else if status.is_redirection() {
        let hint = "name the address that it leads to".to_owned();
        ("the server sends elsewhere, and no token goes there".to_owned(), Some(hint))
    } else {
        (format!("the server answered with status {}", status.as_u16()), None)
    };
    Trouble::Answer { why, hint }
}
