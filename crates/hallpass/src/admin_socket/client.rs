//! The command's end of the admin socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hallpass_issuer::admin::forms::Problem;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::failure::Failure;

/// An answer is a page of rows; more than this is not from our server.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// A connection to a running server.
pub(crate) struct AdminClient {
    sender: SendRequest<Full<Bytes>>,
    data: PathBuf,
}

impl AdminClient {
    /// Connects to the server whose data folder this is.
    pub(crate) async fn connect(data: &Path) -> Result<Self, Failure> {
        let stream = open(data).await?;
        // SECURITY: whoever else could listen here could hand out links of their own.
        let peer = stream.peer_cred().map_err(|error| lost(data, &error))?.uid();
        let own = rustix::process::geteuid();
        if peer != 0 && !own.is_root() && peer != own.as_raw() {
            return Err(Failure::could_not_run(format_args!(
                "what answers on `{}` runs as uid {peer}",
                data.display()
            ))
            .hint("stop it: it is not your server"));
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(data, &error))?;
        tokio::spawn(connection);
        Ok(Self { sender, data: data.to_owned() })
    }

    /// Asks one question.
    pub(crate) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        verb: &str,
        question: &Q,
    ) -> Result<A, Failure> {
        let body = self.post(verb, question).await?;
        let bytes = Limited::new(body, ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| lost(&self.data, &error))?
            .to_bytes();
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
        Ok(Lines { body, rest: Vec::new(), data: self.data.clone() })
    }

    async fn post<Q: Serialize>(&mut self, verb: &str, question: &Q) -> Result<Incoming, Failure> {
        let body = serde_json::to_vec(question).expect("a question is plain data");
        let request = Request::post(format!("/v1/{verb}"))
            .header(header::HOST, "admin")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("the request line is made of our own words");
        let response = self.sender.send_request(request).await.map_err(|error| lost(&self.data, &error))?;
        let status = response.status();
        let body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let bytes = Limited::new(body, ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| lost(&self.data, &error))?
            .to_bytes();
        Err(told(status, &bytes))
    }
}

/// The lines of an answer, as they come.
pub(crate) struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    data: PathBuf,
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
            match self.body.frame().await {
                Some(frame) => {
                    let frame = frame.map_err(|error| lost(&self.data, &error))?;
                    if let Some(bytes) = frame.data_ref() {
                        self.rest.extend_from_slice(bytes);
                    }
                }
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(lost(&self.data, &"the answer was cut short")),
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

fn lost(data: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::try_later(format_args!("lost the server on `{}`: {cause}", data.display()))
        .hint("look whether it still runs; what was asked may have been done")
}

/// A problem that the server told, with the exit code of its kind.
fn told(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Problem = serde_json::from_slice(body)
        .unwrap_or_else(|_| Problem { error: format!("the server answered {status}"), hint: None });
    let failure = match status {
        StatusCode::BAD_REQUEST => Failure::usage(problem.error),
        StatusCode::FORBIDDEN => Failure::refused(problem.error),
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => Failure::no(problem.error),
        StatusCode::SERVICE_UNAVAILABLE => Failure::try_later(problem.error),
        _ => Failure::could_not_run(problem.error),
    };
    match problem.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
