//! An API of somebody's, over http or https, that keeps what it was sent and answers as its paths say.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::machine::now;

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    /// The token it came with.
    pub(super) fn token(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }
}

/// An API that runs until the test is over.
#[derive(Clone)]
pub(super) struct Api {
    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub(super) origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Which tokens are good.
    good: Judge,
    /// So many requests more are refused, whatever their token.
    pub(super) refuses: Arc<AtomicUsize>,
}

/// Who vouches for the https ones.
pub(super) struct Vouching {
    pub(super) pem: String,
    config: Arc<ServerConfig>,
}

impl Vouching {
    pub(super) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let encoded = hallpass_model::jose::base64url::render(certificate.der());
        let padding = "=".repeat((4 - encoded.len() % 4) % 4);
        let encoded = encoded.replace('-', "+").replace('_', "/") + &padding;
        let lines: Vec<_> =
            encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { pem, config: Arc::new(config) }
    }
}

/// Says whether a token is good.
pub(super) type Judge = Arc<dyn Fn(&str) -> bool + Send + Sync>;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

impl Api {
    pub(super) async fn start(vouching: Option<&Vouching>) -> Self {
        Self::start_with(vouching, Arc::new(is_good)).await
    }

    /// One that judges tokens so.
    pub(super) async fn start_with(vouching: Option<&Vouching>, good: Judge) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let origin = match vouching {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let api = Self { origin, good, seen: Arc::default(), refuses: Arc::default() };
        let (accepting, tls) =
            (api.clone(), vouching.map(|vouching| TlsAcceptor::from(vouching.config.clone())));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (api, tls) = (accepting.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => api.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                api.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        api
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = hyper::service::service_fn(|request| {
            let api = self.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ = connection.with_upgrades().await;
    }

    /// All that came.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The last that came.
    pub(super) fn last(&self) -> Seen {
        self.seen().pop().expect("a request came")
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let body = match self.streamed(&parts, body).await {
            Ok(answer) => return answer,
            Err(body) => body,
        };
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = parts.uri.path_and_query().unwrap().to_string();
        let seen =
            Seen { method: parts.method, path: path.clone(), headers: parts.headers, body: body.clone() };
        self.seen.lock().unwrap().push(seen.clone());
        let token = seen.token().unwrap_or_default().to_owned();
        let refuses =
            self.refuses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if refuses.is_ok() || !(self.good)(&token) {
            return answer(StatusCode::UNAUTHORIZED, "refused");
        }
        match path.split('?').next().unwrap() {
            "/reflects" => reflected(&token),
            "/token" => answer(
                StatusCode::OK,
                "{\"access_token\": \"opaque-access-0123456789\", \"refresh_token\": \"opaque-refresh-0123456789\", \
                 \"expires_in\": 300, \"scope\": \"notes:read\"}",
            ),
            "/compressed" => {
                let mut response = answer(StatusCode::OK, "not really");
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                response
            }
            "/moved" => {
                let mut response = answer(StatusCode::FOUND, "");
                let to = format!("{}/notes", self.origin).parse().unwrap();
                response.headers_mut().insert(header::LOCATION, to);
                response
            }
            "/back" => {
                let mut response = answer(StatusCode::OK, "");
                *response.body_mut() = whole(body);
                response
            }
            "/pieces" => Response::new(pieces(["in ", "pieces ", "of any ", "length"].map(Bytes::from))),
            "/much" => {
                let mib = path.split('?').nth(1).unwrap().parse::<usize>().unwrap();
                Response::new(pieces(std::iter::repeat_n(
                    Bytes::from_static(MUCH),
                    mib * 1024 * 1024 / MUCH.len(),
                )))
            }
            "/coded" => {
                let mut response = Response::new(pieces(["not really"].map(Bytes::from)));
                response
                    .headers_mut()
                    .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("gzip, chunked"));
                response
            }
            "/socket" => {
                tokio::spawn(async move {
                    let mut socket = TokioIo::new(upgrade.await.unwrap());
                    let mut word = [0; 5];
                    socket.read_exact(&mut word).await.unwrap();
                    let said = format!("{} {token}", String::from_utf8_lossy(&word));
                    for piece in said.as_bytes().chunks(7) {
                        socket.write_all(piece).await.unwrap();
                        socket.flush().await.unwrap();
                    }
                });
                let mut response = answer(StatusCode::SWITCHING_PROTOCOLS, "");
                response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("chat"));
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                response
            }
            _ => answer(StatusCode::OK, "noted"),
        }
    }

    /// Answers what is never held: a body that is sent back as it comes, or counted.
    async fn streamed(
        &self,
        parts: &http::request::Parts,
        mut body: Incoming,
    ) -> Result<Response<Body>, Incoming> {
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|token| (self.good)(token)) {
            return Err(body);
        }
        match parts.uri.path() {
            "/echoes" => Ok(Response::new(body.boxed_unsync())),
            "/counts" => {
                let mut len = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    len += frame.data_ref().map_or(0, Bytes::len);
                }
                Ok(Response::new(whole(len.to_string().into())))
            }
            _ => Err(body),
        }
    }
}

/// A piece of what is long.
static MUCH: &[u8] = &[b'.'; 64 * 1024];

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// A body that does not say how long it is.
fn pieces(pieces: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// What it said when it was sent this token, in pieces, and in all forms.
fn reflected(token: &str) -> Response<Body> {
    let base64 = hallpass_model::jose::base64url::render(format!("user:{token}"));
    let text = format!("{{\"token\":\"{token}\",\"basic\":\"{base64}\",\"end\":true}}");
    let pieces: Vec<_> = text.as_bytes().chunks(11).map(Bytes::copy_from_slice).collect();
    let mut response = Response::new(self::pieces(pieces));
    response.headers_mut().insert("x-token", token.parse().unwrap());
    response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
    response
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// A signed token that is not over.
fn is_good(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(hallpass_model::jose::base64url::parse).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap_or_default();
    claims["exp"].as_i64().is_some_and(|expires| now().seconds() < expires)
}
