//! The command's end: of the admin socket, or of an org's API.

use std::io::ErrorKind;
use std::path::Path;

use bytes::Bytes;
use hallpass_holder::api::{ApiClient, ApiError};
use hallpass_holder::{Holder, Identity, PassRequest};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use url::Url;

use crate::failure::Failure;

/// An answer is a page of rows; more than this is not from our server.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Where the verbs of administration are asked: at a server that runs here, or at an org's API elsewhere.
pub(crate) struct AdminClient {
    way: Way,
    name: String,
}

enum Way {
    /// The admin socket, as the operator.
    Socket(SendRequest<Full<Bytes>>),
    /// The administrators' API, as the person who is signed in.
    Api(ApiClient),
}

impl AdminClient {
    /// Connects to the server whose data folder this is.
    pub(crate) async fn connect(data: &Path) -> Result<Self, Failure> {
        let stream = open(data).await?;
        let name = data.display().to_string();
        // SECURITY: whoever else could listen here could hand out links of their own.
        let peer = stream.peer_cred().map_err(|error| lost(&name, &error))?.uid();
        let own = rustix::process::geteuid();
        if peer != 0 && !own.is_root() && peer != own.as_raw() {
            return Err(Failure::could_not_run(format_args!("what answers on `{name}` runs as uid {peer}"))
                .hint("stop it: it is not your server"));
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&name, &error))?;
        tokio::spawn(connection);
        Ok(Self { way: Way::Socket(sender), name })
    }

    /// An org's own API, asked with the tokens of a sign-in there.
    ///
    /// A token for the issuer itself stays bound to the sign-in's key, and goes nowhere else.
    pub(crate) fn of_sign_in(holder: &Holder, identity: &Identity) -> Result<Self, Failure> {
        let name = identity.issuer.trim_end_matches('/').to_owned();
        let request = PassRequest::default().resource(identity.issuer.clone());
        let base = format!("{name}/api/admin/");
        let base: Url = base.parse().map_err(|why| Failure::usage(format_args!("`{base}`: {why}")))?;
        Ok(Self { way: Way::Api(ApiClient::new(holder, identity, request)?.at(base)), name })
    }

    /// Asks one question.
    pub(crate) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        verb: &str,
        question: &Q,
    ) -> Result<A, Failure> {
        let bytes = self.post(verb, question).await?.whole(&self.name).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::could_not_run(format_args!(
                "the server's answer to `{verb}` is not as expected: {error}"
            ))
        })
    }

    /// Asks one question that is answered line by line.
    pub(crate) async fn ask_lines<Q: Serialize>(
        &mut self,
        verb: &str,
        question: &Q,
    ) -> Result<Lines, Failure> {
        let body = self.post(verb, question).await?;
        Ok(Lines { body, rest: Vec::new(), name: self.name.clone() })
    }

    async fn post<Q: Serialize>(&mut self, verb: &str, question: &Q) -> Result<Answer, Failure> {
        let (status, answer) = match &mut self.way {
            Way::Socket(sender) => {
                let body = serde_json::to_vec(question).expect("a question is plain data");
                let request = Request::post(format!("/v1/{verb}"))
                    .header(header::HOST, "admin")
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .expect("the request line is made of our own words");
                let response =
                    sender.send_request(request).await.map_err(|error| lost(&self.name, &error))?;
                (response.status(), Answer::Socket(response.into_body()))
            }
            Way::Api(api) => {
                let response = match api.post(verb).with(|builder| builder.json(question)).send().await {
                    Ok(response) => response,
                    Err(ApiError::Holder(error)) => return Err(error.into()),
                    Err(error) => return Err(lost(&self.name, &error)),
                };
                (response.status(), Answer::Api(response))
            }
        };
        if status.is_success() {
            return Ok(answer);
        }
        Err(told(status, &answer.whole(&self.name).await?))
    }
}

/// The body of an answer, as it comes.
enum Answer {
    Socket(Incoming),
    Api(reqwest::Response),
}

impl Answer {
    /// The next of it; none at the end.
    async fn next(&mut self, name: &str) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Api(response) => response.chunk().await.map_err(|error| lost(name, &error.without_url())),
            Self::Socket(body) => loop {
                let Some(frame) = body.frame().await else { return Ok(None) };
                // What is no data is a trailer, and says nothing here.
                if let Ok(bytes) = frame.map_err(|error| lost(name, &error))?.into_data() {
                    return Ok(Some(bytes));
                }
            },
        }
    }

    /// All of it.
    async fn whole(mut self, name: &str) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next(name).await? {
            whole.extend_from_slice(&bytes);
            if whole.len() > ANSWER_MAX {
                return Err(Failure::could_not_run("the server's answer has no end"));
            }
        }
        Ok(whole)
    }
}

/// The lines of an answer, as they come.
pub(crate) struct Lines {
    body: Answer,
    rest: Vec<u8>,
    name: String,
}

impl Lines {
    /// The next line; none at the end.
    pub(crate) async fn next<A: DeserializeOwned>(&mut self) -> Result<Option<A>, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.len() == 1 {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    Failure::could_not_run(format_args!("the server's answer is not as expected: {error}"))
                });
            }
            if self.rest.len() > ANSWER_MAX {
                return Err(Failure::could_not_run("the server's answer has no end"));
            }
            match self.body.next(&self.name).await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(lost(&self.name, &"the answer was cut short")),
            }
        }
    }
}

async fn open(data: &Path) -> Result<UnixStream, Failure> {
    let shown = data.display();
    let (path, _folder) = super::short_place(data).map_err(|error| no_server(data, &error))?;
    UnixStream::connect(&path).await.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure::refused(format_args!("the admin socket in `{shown}` is its owner's only"))
                .hint("run this as the server's own user, or as root")
        }
        _ => no_server(data, &error),
    })
}

fn no_server(data: &Path, error: &std::io::Error) -> Failure {
    let shown = data.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure::refused(format_args!("the data folder `{shown}` is its owner's only"))
                .hint("run this as the server's own user, or as root")
        }
        _ => {
            Failure::try_later(format_args!("no server is running on `{shown}`: {error}")).hint(format_args!(
                "start one with `hallpass serve --data {shown}`, or name another folder with `--data`"
            ))
        }
    }
}

fn lost(name: &str, cause: &dyn std::fmt::Display) -> Failure {
    Failure::try_later(format_args!("lost the server on `{name}`: {cause}"))
        .hint("look whether it still runs; what was asked may have been done")
}

/// A problem as either way tells it.
#[derive(Deserialize)]
struct Told {
    /// A sentence; by the API a word that stays.
    error: String,
    /// The sentence, by the API.
    error_description: Option<String>,
    hint: Option<String>,
}

/// A problem that the server told, with the exit code of its kind.
fn told(status: StatusCode, body: &[u8]) -> Failure {
    let Ok(Told { error, error_description, hint }) = serde_json::from_slice(body) else {
        return Failure::could_not_run(format_args!("the server answered {status}"));
    };
    let hint = hint.or_else(|| {
        let next = match error.as_str() {
            "insufficient_scope" => {
                "`hallpass login ISSUER --scope hallpass:admin`, or `hallpass:read` to look alone"
            }
            "insufficient_user_authentication" => "`hallpass login --step-up`, then the same again",
            _ => return None,
        };
        Some(next.to_owned())
    });
    let message = error_description.unwrap_or(error);
    let failure = match status {
        StatusCode::BAD_REQUEST => Failure::usage(message),
        StatusCode::UNAUTHORIZED => Failure::needs_person(message),
        StatusCode::FORBIDDEN => Failure::refused(message),
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => Failure::no(message),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Failure::try_later(message),
        _ => Failure::could_not_run(message),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
