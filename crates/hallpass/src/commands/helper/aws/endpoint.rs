//! The endpoint that AWS programs ask in a container (`AWS_CONTAINER_CREDENTIALS_FULL_URI`), for one command: a three-hour
//! command on a one-hour role asks again by itself.
//!
//! SECURITY: it listens on the loopback alone, and answers whoever shows the secret that stands in the command's environment.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;

use bytes::Bytes;
use hallpass_holder::adapters::aws::container_refusal;
use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{KeyMaterial, Secret};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::{remedy, session};
use crate::failure::{Exit, Failure};

/// Where the endpoint answers.
const PATH: &str = "/credentials";
/// Bytes of the secret: more than anybody guesses.
const SECRET_LEN: usize = 32;
/// Names under which a command would find other credentials before ours.
const BEFORE_OURS: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Runs the command beside its endpoint, and leaves with its code.
pub(super) async fn run(role: String, command: &[OsString]) -> Result<Exit, Failure> {
    let cannot = |what: &str, error: std::io::Error| Failure::could_not_run(format_args!("{what}: {error}"));
    session(&role).await?; // what cannot work is said before the command starts
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| cannot("cannot listen", error))?;
    let port = listener.local_addr().map_err(|error| cannot("cannot listen", error))?.port();
    let mut secret = [0u8; SECRET_LEN];
    SystemEntropy.fill(&mut secret);
    let secret: Secret<KeyMaterial> = Secret::from_text(base64url::render(secret));

    let (program, arguments) = command.split_first().expect("clap requires it");
    let mut child = Command::new(program);
    child.args(arguments);
    for name in BEFORE_OURS {
        child.env_remove(name);
    }
    child
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://127.0.0.1:{port}{PATH}"))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", secret.expose_text());
    let mut child = child.spawn().map_err(|error| cannot("cannot run the command", error))?;
    let asked = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let answer = service_fn(|request| answered(request, &role, &secret, port));
            // One at a time: SDKs ask once an hour. A client that went away is no concern of the command's.
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        }
    };
    let id = child.id();
    let signals = passed_on(id).map_err(|error| cannot("cannot listen for signals", error))?;
    let ended = tokio::select! {
        ended = child.wait() => ended.map_err(|error| cannot("cannot wait for the command", error))?,
        never = asked => never,
        never = signals => match never {},
    };
    Ok(match (ended.code(), ended.signal()) {
        (Some(code), _) => Exit::of_child(code as u8),
        (None, signal) => Exit::of_signal(signal.unwrap_or_default()),
    })
}

/// Lets the command decide what a signal means: whoever ends us ends it, and as long as it goes on it is answered.
fn passed_on(command: Option<u32>) -> std::io::Result<impl Future<Output = Infallible>> {
    let command = command.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let [mut term, mut hup, mut int, mut quit] = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
    ];
    Ok(async move {
        loop {
            let heard = tokio::select! {
                _ = term.recv() => Some(Signal::TERM),
                _ = hup.recv() => Some(Signal::HUP),
                // A terminal sends these to the command itself.
                _ = int.recv() => None,
                _ = quit.recv() => None,
            };
            if let (Some(signal), Some(command)) = (heard, command) {
                let _ = kill_process(command, signal); // it may have ended just now
            }
        }
    })
}

async fn answered(
    request: Request<Incoming>,
    role: &str,
    secret: &Secret<KeyMaterial>,
    port: u16,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name| request.headers().get(name).map(http::HeaderValue::as_bytes).unwrap_or_default();
    // A page in a browser that made its own name point here does not know the port's name, nor the secret.
    let named = header(HOST) == format!("127.0.0.1:{port}").as_bytes();
    let refused =
        |status: StatusCode, code, message: &str| (status, container_refusal(code, message).into_bytes());
    let (status, body) = if !named || !secret.matches(header(AUTHORIZATION)) {
        refused(StatusCode::FORBIDDEN, "Forbidden", "this endpoint is for another command")
    } else if request.uri().path() != PATH || request.method() != http::Method::GET {
        refused(StatusCode::NOT_FOUND, "NotFound", "nothing is here")
    } else {
        match session(role).await {
            Ok(session) => (StatusCode::OK, session.for_container().to_vec()),
            Err(failure) => refused(StatusCode::BAD_GATEWAY, "CredentialsUnavailable", &remedy(&failure)),
        }
    };
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(Bytes::from(body)));
    Ok(response.expect("three headers and a body are a response"))
}
