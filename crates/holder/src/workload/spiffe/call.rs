//! One call of the Workload API, over HTTP/2 (gRPC over HTTP2).

use std::time::Duration;

use hallpass_model::purpose::plain;
use hallpass_model::secret::{Assertion, Secret};
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::{Place, message};
use crate::error::HolderError;

/// The agent is on this machine; what it must ask its server for it has by then, or says so.
const ANSWER_AT_MOST: Duration = Duration::from_secs(10);
/// A JWT-SVID for each identity that the workload has, each a few hundred bytes.
const ANSWER_LEN_MAX: usize = 256 * 1024;
/// gRPC's names of what is told apart here ("Status codes and their use in gRPC").
const OK: &str = "0";
const PERMISSION_DENIED: &str = "7";
const UNAVAILABLE: &str = "14";

pub(super) async fn fetch(place: &Place, audience: &str) -> Result<Secret<Assertion>, HolderError> {
    let call = async {
        match place {
            Place::Unix(path) => {
                call(place, UnixStream::connect(path).await.map_err(|error| away(place, &error))?, audience)
                    .await
            }
            Place::Tcp(address) => {
                call(place, TcpStream::connect(address).await.map_err(|error| away(place, &error))?, audience)
                    .await
            }
        }
    };
    let silent = |_| away(place, &format_args!("it did not answer within {} s", ANSWER_AT_MOST.as_secs()));
    tokio::time::timeout(ANSWER_AT_MOST, call).await.map_err(silent)?
}

async fn call(
    place: &Place,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    audience: &str,
) -> Result<Secret<Assertion>, HolderError> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| away(place, &error))?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://localhost/SpiffeWorkloadAPI/FetchJWTSVID")
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        // SPIFFE Workload Endpoint, section 6: it proves that no web page made the request.
        .header("workload.spiffe.io", "true")
        .body(Full::new(message::request(audience)))
        .expect("each part is a constant");
    let answered = async {
        let answer = sender.send_request(request).await.map_err(|error| away(place, &error))?;
        let (head, body) = answer.into_parts();
        if head.status != 200 {
            return Err(odd(place, format!("it answered {}", head.status)));
        }
        let body = Limited::new(body, ANSWER_LEN_MAX).collect().await;
        let body = body.map_err(|error| odd(place, format!("its answer did not arrive whole: {error}")))?;
        // Where there is nothing else to say, the status stands among the headers.
        let trailers = body.trailers().unwrap_or(&head.headers);
        judge(place, trailers)?;
        let body = body.to_bytes();
        let svid =
            message::first_svid(&body).ok_or_else(|| odd(place, "its answer has no SVID in it".into()))?;
        Ok(Secret::from_text(svid.to_owned()))
    };
    let answered = answered.await;
    connection.abort();
    answered
}

/// Whether the call went well, by its trailers.
fn judge(place: &Place, trailers: &HeaderMap) -> Result<(), HolderError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let said = || {
        // gRPC over HTTP2, "Responses": it is percent-encoded.
        plain(&percent_decode_str(text("grpc-message").unwrap_or_default()).decode_utf8_lossy(), 200)
    };
    match text("grpc-status") {
        Some(OK) => Ok(()),
        // SPIFFE Workload API, section 6.1: the caller is known to have no identity.
        Some(PERMISSION_DENIED) => Err(HolderError::Usage {
            what: format!(
                "the SPIFFE Workload API at `{place}` has no identity for this process ({}): register it there",
                said()
            ),
        }),
        Some(UNAVAILABLE) => Err(away(place, &said())),
        Some(code) => Err(odd(place, format!("it answered with gRPC status {code}: {}", said()))),
        None => Err(odd(place, "it answered without a gRPC status".into())),
    }
}

fn away(place: &Place, why: &dyn std::fmt::Display) -> HolderError {
    HolderError::Unreachable { place: place.to_string(), why: why.to_string() }
}

fn odd(place: &Place, what: String) -> HolderError {
    HolderError::Unexpected { place: place.to_string(), what }
}
