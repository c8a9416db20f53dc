//! A proxy on this machine that notes what goes through it. TLS ends here, by certificates of an authority that lives as long as
//! the run; where the tool does not trust those, that is noted, and the host's TLS is passed on unopened from then on.
//!
//! SECURITY: what it is certain of towards the real host is what any client is: the system's certificates, and those that the
//! person named in `HALLPASS_CA_FILE`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority as Place;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::traffic::{Exchange, Traffic};
use crate::authority::Authority;
use crate::failure::Failure;

/// A request at most, in bytes: one that signs in is small, one that uploads something is no affair of ours.
const BODY_LEN_MAX: usize = 16 * 1024 * 1024;
/// How long a host may take to answer: longer than any poll that is held open.
const ANSWER_TIME_OUT: Duration = Duration::from_secs(120);
/// How long a tool may take to agree on TLS.
const HANDSHAKE_TIME_OUT: Duration = Duration::from_secs(10);
/// Headers that are about one connection, or that are said anew (RFC 9110, section 7.6.1), and the one that would have answers
/// come packed, so that nobody could read them here.
const BY_HOP: &[header::HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
];

type Body = BoxBody<Bytes, reqwest::Error>;

/// A proxy that listens until it is dropped.
pub(super) struct Proxy {
    pub(super) address: String,
    inner: Arc<Inner>,
    listening: tokio::task::JoinHandle<()>,
}

struct Inner {
    authority: Authority,
    client: reqwest::Client,
    traffic: Mutex<Traffic>,
    /// Hosts whose TLS is passed on as it is.
    unopened: Mutex<BTreeSet<String>>,
}

impl Proxy {
    pub(super) async fn start(ca_file: Option<&Path>) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::could_not_run(format_args!("cannot listen for the tool: {error}"))
        };
        let authority = Authority::new("hallpass assess")
            .map_err(|error| Failure::could_not_run(format_args!("no certificate could be made: {error}")))?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(cannot)?;
        let address = format!("http://{}", listener.local_addr().map_err(cannot)?);
        let inner = Inner {
            authority,
            client: client(ca_file, ANSWER_TIME_OUT)?,
            traffic: Mutex::default(),
            unopened: Mutex::default(),
        };
        let inner = Arc::new(inner);
        let serving = inner.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that fails is the tool's to notice.
                tokio::spawn(serve(serving.clone(), TokioIo::new(stream), None));
            }
        });
        Ok(Self { address, inner, listening })
    }

    /// The certificate that the tool is to trust.
    pub(super) fn pem(&self) -> &str {
        self.inner.authority.pem()
    }

    /// What went through so far.
    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.inner.traffic()
    }

    /// Passes on unopened, from now on, what goes to the hosts where the tool did not trust us. Whether there are new ones.
    pub(super) fn give_way(&self) -> bool {
        let refused = self.traffic().refused.clone();
        let mut unopened = self.inner.unopened.lock().expect("nobody panics holding this");
        let before = unopened.len();
        unopened.extend(refused);
        unopened.len() > before
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Inner {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("nobody panics holding this")
    }
}

/// A client that asks as the tool would, by way of the person's own proxy if there is one.
pub(super) fn client(ca_file: Option<&Path>, at_most: Duration) -> Result<reqwest::Client, Failure> {
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .timeout(at_most);
    if let Some(path) = ca_file {
        let named = |why: String| {
            Failure::usage(format_args!("the certificates in `{}` cannot be used: {why}", path.display()))
        };
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let trusted =
            reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| named(error.to_string()))?;
        client = client.tls_certs_merge(trusted);
    }
    client.build().map_err(|error| Failure::could_not_run(format_args!("no connection can be made: {error}")))
}

/// A connection; within a tunnel, to whom it goes.
fn serve(
    inner: Arc<Inner>,
    stream: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    within: Option<Place>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let service = service_fn(move |request| {
            let (inner, within) = (inner.clone(), within.clone());
            async move { Ok::<_, Infallible>(answer(&inner, request, within).await) }
        });
        let _ = http1::Builder::new().serve_connection(stream, service).with_upgrades().await;
    })
}

async fn answer(inner: &Arc<Inner>, request: Request<Incoming>, within: Option<Place>) -> Response<Body> {
    if request.method() == Method::CONNECT && within.is_none() {
        return connect(inner, request);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let address = match (&within, request.uri().authority()) {
        (Some(place), _) => format!("https://{place}{path}"),
        (None, Some(place)) => format!("http://{place}{path}"),
        (None, None) => return say(StatusCode::BAD_REQUEST, "this is a proxy"),
    };
    ask(inner, request, &address)
        .await
        .unwrap_or_else(|why| say(StatusCode::BAD_GATEWAY, &format!("nothing came back: {why}")))
}

/// Opens a tunnel, and looks into it if the tool lets us.
fn connect(inner: &Arc<Inner>, mut request: Request<Incoming>) -> Response<Body> {
    let Some(place) = request.uri().authority().filter(|place| place.port().is_some()).cloned() else {
        return say(StatusCode::BAD_REQUEST, "a tunnel goes to a host and a port");
    };
    let (upgraded, inner) = (hyper::upgrade::on(&mut request), inner.clone());
    tokio::spawn(async move {
        let Ok(stream) = upgraded.await else { return };
        let stream = TokioIo::new(stream);
        let unopened = inner.unopened.lock().expect("nobody panics holding this").contains(place.as_str());
        match unopened {
            true => pass_on(stream, &place).await,
            false => look_into(inner, stream, place).await,
        }
    });
    Response::new(empty())
}

async fn pass_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, place: &Place) {
    if let Ok(mut to) = TcpStream::connect(place.as_str()).await {
        // Whichever end it was that failed, the other notices.
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
    }
}

async fn look_into(
    inner: Arc<Inner>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: Place,
) {
    let Ok(config) = inner.authority.server(place.host().trim_matches(['[', ']'])) else { return };
    match tokio::time::timeout(HANDSHAKE_TIME_OUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => serve(inner, TokioIo::new(stream), Some(place)).await,
        // It said so, or just went: it has its own idea of whom to trust.
        _ => _ = inner.traffic().refused.insert(place.to_string()),
    }
}

/// Asks the host, and notes what was asked and what came back.
async fn ask(
    inner: &Arc<Inner>,
    request: Request<Incoming>,
    address: &str,
) -> Result<Response<Body>, String> {
    let (head, body) = request.into_parts();
    let body =
        Limited::new(body, BODY_LEN_MAX).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let noted = Arc::new(Mutex::new(Exchange::new(address, &head.headers, &body)));
    inner.traffic().exchanges.push(noted.clone());
    let mut asking = inner.client.request(head.method, address).body(body);
    for (name, value) in head.headers.iter().filter(|(name, _)| !BY_HOP.contains(name)) {
        asking = asking.header(name, value);
    }
    let answered = asking.send().await.map_err(|error| error.without_url().to_string())?;
    let (mut head, body) = Response::<reqwest::Body>::from(answered).into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    head.headers.remove(header::CONNECTION);
    {
        let mut noted = noted.lock().expect("nobody panics holding this");
        noted.answered(&head.headers);
    }
    head.version = http::Version::HTTP_11;
    let body = body.map_frame(move |frame| {
        if let Some(bytes) = frame.data_ref() {
            noted.lock().expect("nobody panics holding this").hear(bytes);
        }
        frame
    });
    Ok(Response::from_parts(head, body.boxed()))
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

fn say(status: StatusCode, why: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{why}\n"))).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
