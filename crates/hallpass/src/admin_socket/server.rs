//! The server's end of the admin socket.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hallpass_issuer::admin::forms::Problem;
use hallpass_issuer::admin::{Body, Office, Refused, find, whole};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// A question is a form with a JWK set at most.
const QUESTION_MAX: usize = 256 * 1024;
/// A whole question must have come after this: both ends are on one machine.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands at once. A person types one; a script that loops must not take the server's sockets.
const CONNECTIONS_MAX: usize = 32;
/// How long the accept loop rests when the system has no more sockets to give.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A bound admin socket. Its file is removed when it is dropped.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    place: PathBuf,
}

impl AdminSocket {
    /// Binds the socket in this data folder, which the caller holds the lock of: a socket that is there is a dead one's.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let (short, _folder) = super::short_place(data)?;
        let place = super::place(data);
        match std::fs::remove_file(&place) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&short)?;
        // SECURITY: until here the folder's 0700 kept everybody else out; `allowed` asks the kernel all the same.
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o600))?;
        Ok(Self { listener, place })
    }

    /// Answers until the office closes.
    pub(crate) async fn serve(self, office: Office) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            let accepted = tokio::select! {
                () = office.closed() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if allowed(&stream) => {
                    let office = office.clone();
                    tokio::spawn(async move {
                        answer(stream, office).await;
                        drop(place);
                    });
                }
                Ok(_) => tracing::warn!("hung up on another user at the admin socket"),
                Err(error) => {
                    tracing::warn!(%error, "a command could not be accepted at the admin socket");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // What cannot be removed is found dead by the next server.
        let _ = std::fs::remove_file(&self.place);
    }
}

/// SECURITY: the server's own uid and root are the operator. The kernel says who connected, nothing else does.
fn allowed(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| is_operator(peer.uid(), rustix::process::geteuid().as_raw()))
}

fn is_operator(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

async fn answer(stream: UnixStream, office: Office) {
    let at = office.clone();
    let service = service_fn(move |request| {
        let office = at.clone();
        async move { Ok::<_, Infallible>(respond(request, office).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(QUESTION_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = office.closed() => connection.as_mut().graceful_shutdown(),
    }
    // What is under way may finish; the server's own stop bounds it.
    let _ = connection.await;
}

async fn respond(request: Request<Incoming>, office: Office) -> Response<Body> {
    match ask(request, office).await {
        Ok(response) => response,
        Err(refused) => {
            let problem = Problem { error: refused.message, hint: refused.hint };
            let body = serde_json::to_vec(&problem).expect("a problem is two texts");
            json(refused.kind.status(), whole(body.into()))
        }
    }
}

async fn ask(request: Request<Incoming>, office: Office) -> Result<Response<Body>, Refused> {
    let path = request.uri().path();
    let verb = path.strip_prefix("/v1/").and_then(find).ok_or_else(|| {
        Refused::not_there("this server does not know that command").hint("is it of another version?")
    })?;
    if request.method() != Method::POST {
        return Err(Refused::usage("questions are posted"));
    }
    // A web page can make a browser post a form, but not JSON, to wherever it can reach.
    if request.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(Refused::usage("questions are `application/json`"));
    }
    let body = Limited::new(request.into_body(), QUESTION_MAX).collect();
    let body: Bytes = match tokio::time::timeout(QUESTION_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(Refused::usage("the question is too long, or was cut short")),
        Err(_) => return Err(Refused::usage("the question did not come in time")),
    };
    let answer = verb.answer(office, body).await?;
    Ok(json(StatusCode::OK, answer))
}

fn json(status: StatusCode, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store")
        .body(body)
        .expect("the headers are constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_own_user_and_root_are_the_operator_and_nobody_else_is() {
        assert!(is_operator(0, 1000));
        assert!(is_operator(1000, 1000));
        assert!(!is_operator(1001, 1000));
        assert!(!is_operator(1000, 0));
    }
}
