//! A proxy for one command: it adds the token, so that the command never has it, and it is fresh however long the command
//! runs.
//!
//! 1. It listens on this machine, and answers one who has the run's key and is the command, or was started by it (`peer`).
//! 2. As a reverse proxy: `HALLPASS_PROXY_URL` stands in the API's place. The key is in its path.
//! 3. As a forward proxy, for programs that are told by `HTTPS_PROXY`: TLS to the named hosts ends here, by certificates
//!    of an authority that lives as long as the run (`authority`); TLS to others passes through, or is refused.
//! 4. A request to a named host loses the credentials that came with it, and gets the token (`forward`). SECURITY: for
//!    the named scheme, host and port alone; what names them is the command line, and never a file.
//! 5. The token is taken out of what comes back (`scrub`).
//!
//! It speaks HTTP/1.1 and WebSockets. HTTP/2 is not offered; a client that insists is refused.

mod authority;
mod body;
mod forward;
mod headers;
mod named;
mod peer;
mod tunnel;

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

use self::body::{Body, say};
use self::named::{Named, random_key};
use super::child::Given;
use super::memory::{self, Files, Slot};
use super::supply::Supply;
use crate::error::HolderError;
use crate::provider::Trust;

/// Connections at a time; one more waits. A parallel build opens some dozens.
const CONNECTIONS_MAX: usize = 512;
/// A request's head at most, in bytes: cookies and signed headers stay far below. It is looked at after each piece that is
/// read, so one that comes in a single large piece may be somewhat longer.
const HEAD_LEN_MAX: usize = 64 * 1024;
/// How long a client may take to send a head, and to do nothing on a connection that is kept.
const HEAD_TIME_OUT: Duration = Duration::from_secs(60);
/// How long a client may take to agree on TLS.
const HANDSHAKE_TIME_OUT: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted: no busy loop where descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A bundle of certificates at most, in bytes: the system's is a quarter of a megabyte.
const ROOTS_LEN_MAX: u64 = 8 * 1024 * 1024;
/// Who clients say they are (RFC 7617). The key is what counts.
const USER: &str = "hallpass";

/// What a proxy is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyRequest {
    /// Origins that get the token besides the API's own.
    pub to: Vec<Url>,
    /// No other hosts: what is not named is refused.
    pub only: bool,
    /// Files of PEM certificates that the command trusts already: it gets them together with the run's own.
    pub roots: Vec<PathBuf>,
}

/// Variables that name a file of certificates to trust, and whose programs.
pub const TRUST_VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",                      // OpenSSL, Go, Rust, uv
    "CURL_CA_BUNDLE",                     // curl
    "REQUESTS_CA_BUNDLE",                 // Python's requests
    "PIP_CERT",                           // pip
    "HTTPLIB2_CA_CERTS",                  // Python's httplib2
    "NODE_EXTRA_CA_CERTS",                // Node.js
    "NPM_CONFIG_CAFILE",                  // npm
    "DENO_CERT",                          // Deno
    "GIT_SSL_CAINFO",                     // git
    "CARGO_HTTP_CAINFO",                  // cargo
    "AWS_CA_BUNDLE",                      // AWS
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", // Google Cloud
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",   // gRPC
    "NIX_SSL_CERT_FILE",                  // Nix
    "BUNDLE_SSL_CA_CERT",                 // Bundler
    "PERL_LWP_SSL_CA_FILE",               // Perl's LWP
];
/// Variables that name a proxy. Some programs look for one spelling, some for the other.
const PROXY_VARIABLES: &[&str] =
    &["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// Variables that name hosts to go to without one: we know better, and go through the person's own where they say so.
const NO_PROXY_VARIABLES: &[&str] = &["NO_PROXY", "no_proxy"];

/// A proxy that listens.
pub(super) struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    named: Vec<Named>,
    only: bool,
    key: Secret<KeyMaterial>,
    address: SocketAddr,
    authority: authority::Authority,
    supply: Arc<Supply>,
    command: Arc<OnceLock<Pid>>,
    far: reqwest::Client,
    near: reqwest::Client,
    parent: Matcher,
    /// When an API last refused a token that was not over.
    refused: Mutex<Option<Timestamp>>,
    places: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
}

/// A connection's place; what it was upgraded to keeps it.
type Place = Arc<OwnedSemaphorePermit>;

impl Proxy {
    /// Listens, and says what the command is given.
    pub(super) async fn open(
        request: &ProxyRequest,
        variable: &str,
        supply: Arc<Supply>,
        files: &Files,
    ) -> Result<(Self, Given), HolderError> {
        let named = named(request, &supply)?;
        let failed = |source| HolderError::Run { doing: "cannot listen for the command", source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let made = |error: rcgen::Error| failed(std::io::Error::other(error.to_string()));
        let authority =
            authority::Authority::new(named.iter().map(Named::host), supply.now()).map_err(made)?;
        let trust = supply.trust();
        let given = Given::default();
        let shared = Shared {
            only: request.only,
            key: random_key(),
            address: listener.local_addr().map_err(failed)?,
            command: given.started.clone(),
            far: client(&trust, false)?,
            near: client(&trust, true)?,
            // As the HTTP client does: what the person's own environment says.
            parent: Matcher::from_env(),
            refused: Mutex::default(),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tasks: Mutex::default(),
            named,
            authority,
            supply,
        };
        let proxy = Self { listener, shared: Arc::new(shared) };
        let certificates = proxy.certificates(&request.roots).map_err(failed)?;
        let certificates = files.put(Slot::Certificates, certificates).await?;
        let given = proxy.give(given, variable, certificates);
        Ok((proxy, given))
    }

    /// Serves for ever.
    pub(super) async fn serve(&self) -> Infallible {
        loop {
            let place = self.shared.places.clone().acquire_owned().await.expect("it is never closed");
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = connection(self.shared.clone(), stream, peer, Arc::new(place));
                    self.shared.spawn(connection);
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// What the command is given. SECURITY: keys that are good for this proxy and this command alone, and no token.
    fn give(&self, mut given: Given, variable: &str, certificates: PathBuf) -> Given {
        let Shared { address, key, named, .. } = &*self.shared;
        let url = |named: &Named| format!("http://{address}/{}", named.key.expose_text());
        for (at, one) in named.iter().enumerate() {
            if at == 0 {
                given.variable(variable, url(one));
            }
            given.variable(format!("{variable}_{}", one.suffix()), url(one));
        }
        let proxy = format!("http://{USER}:{}@{address}", key.expose_text());
        for name in PROXY_VARIABLES {
            given.variable(name, proxy.as_str());
        }
        given.variable("NODE_USE_ENV_PROXY", "1"); // Node.js looks at those only then
        let certificates = certificates.into_os_string().into_encoded_bytes();
        for name in TRUST_VARIABLES {
            given.variable(name, certificates.clone());
        }
        given.without.extend(NO_PROXY_VARIABLES.iter().map(OsString::from));
        given
    }

    /// The run's own authority, and whom the command trusts already.
    fn certificates(&self, roots: &[PathBuf]) -> std::io::Result<std::os::fd::OwnedFd> {
        use std::io::Read;
        let mut bundle = self.shared.authority.pem().as_bytes().to_vec();
        for path in roots {
            // One that cannot be read is one that the command could not have used either.
            if let Ok(file) = std::fs::File::open(path) {
                bundle.push(b'\n');
                let _ = file.take(ROOTS_LEN_MAX).read_to_end(&mut bundle);
            }
        }
        memory::sealed(&bundle)
    }
}

/// What goes on for a command ends with it.
impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.tasks.lock().expect("no thread panics holding this").abort_all();
    }
}

/// The origins that get the token.
fn named(request: &ProxyRequest, supply: &Supply) -> Result<Vec<Named>, HolderError> {
    let resource = supply.newest().pass.resource.clone().and_then(|text| text.parse::<Url>().ok());
    // Some APIs' names are no addresses (`api://…`): then the hosts must be named.
    let resource = resource.filter(|url| request.to.is_empty() || ["http", "https"].contains(&url.scheme()));
    let mut named: Vec<Named> = Vec::new();
    for base in resource.into_iter().chain(request.to.iter().cloned()) {
        let one = Named::new(base)?;
        if !named.iter().any(|other| other.base.origin() == one.base.origin()) {
            named.push(one);
        }
    }
    if named.is_empty() {
        let what = "the proxy must know where the token goes: name the API's address with `--to`";
        return Err(HolderError::Usage { what: what.into() });
    }
    Ok(named)
}

fn client(trust: &Trust, near: bool) -> Result<reqwest::Client, HolderError> {
    let built = trust
        .client(near)
        .and_then(|builder| builder.http1_only().build().map_err(|error| crate::provider::words(&error)));
    built.map_err(|what| HolderError::Usage { what })
}

impl Shared {
    /// Does something that ends with the run.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().expect("no thread panics holding this");
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn find(&self, scheme: &str, authority: &http::uri::Authority) -> Option<&Named> {
        self.named.iter().find(|named| named.is(scheme, authority))
    }

    /// Whether a request to a forward proxy comes with the run's key (RFC 7617).
    fn has_key(&self, request: &Request<Incoming>) -> bool {
        let expected = hallpass_model::jose::base64url::render(format!("{USER}:{}", self.key.expose_text()));
        let expected = Secret::<KeyMaterial>::from_text(expected.replace('-', "+").replace('_', "/"));
        let given = request.headers().get(header::PROXY_AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|text| text.split_once(' ')).is_some_and(|(scheme, key)| {
            scheme.eq_ignore_ascii_case("basic") && expected.matches(key.trim_end_matches('=').as_bytes())
        })
    }
}

/// A connection, from its first byte to its last.
async fn connection(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, place: Place) {
    let _ = stream.set_nodelay(true);
    let (command, ours) = (shared.command.get().copied(), shared.address);
    let looked = tokio::task::spawn_blocking(move || {
        command.is_some_and(|command| peer::belongs_to(command, peer, ours))
    });
    let belongs = looked.await.unwrap_or(false);
    let service = service_fn(move |request| {
        let (shared, place) = (shared.clone(), place.clone());
        async move {
            let answer = match belongs {
                true => answer(&shared, request, &place).await,
                false => {
                    let why = "this proxy is for another command, or its command's parent has ended";
                    say(StatusCode::FORBIDDEN, why)
                }
            };
            Ok::<_, Infallible>(answer)
        }
    });
    serve(stream, service).await;
}

async fn serve<S>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_OUT)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Whatever it ended by, it is the client's own affair.
    let _ = connection.await;
}

/// Answers one request.
async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, place: &Place) -> Response<Body> {
    let to = request.uri().authority().filter(|_| request.uri().scheme().is_some());
    // A program that is told of the proxy asks it for itself, too.
    let ourselves = to.is_none_or(|to| to.as_str() == shared.address.to_string());
    if request.method() != Method::CONNECT && ourselves {
        return reverse(shared, request, place).await;
    }
    if !shared.has_key(&request) {
        let mut refused =
            say(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "the run's key is missing, or another's");
        let challenge = header::HeaderValue::from_static("Basic realm=\"hallpass\"");
        refused.headers_mut().insert(header::PROXY_AUTHENTICATE, challenge);
        return refused;
    }
    if request.method() == Method::CONNECT {
        return connect(shared, request, place).await;
    }
    let uri = request.uri().clone();
    let (scheme, authority) =
        (uri.scheme_str().unwrap_or_default(), uri.authority().expect("it is absolute"));
    match shared.find(scheme, authority) {
        Some(named) => match named.at_origin(&uri) {
            Some(url) => forward::with_token(shared, named, url, request, place, None).await,
            None => say(StatusCode::BAD_REQUEST, "that is no address"),
        },
        None if shared.only => not_named(),
        None => forward::untouched(shared, request, place).await,
    }
}

/// A request to the proxy itself: the key is the first part of its path, and says which origin is meant.
async fn reverse(shared: &Arc<Shared>, request: Request<Incoming>, place: &Place) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let (key, rest) = path.find('/').map_or((path.as_str(), "/"), |at| path.split_at(at));
    let Some(named) = shared.named.iter().find(|named| named.key.matches(key.as_bytes())) else {
        return say(StatusCode::FORBIDDEN, "the run's key is missing, or another's");
    };
    match named.under_base(rest, request.uri().query()) {
        Some(url) => {
            let here = format!("http://{}/{key}", shared.address);
            forward::with_token(shared, named, url, request, place, Some(&here)).await
        }
        None => say(StatusCode::BAD_REQUEST, "that is not under the address that was named"),
    }
}

/// A request for a tunnel: to a named host it ends here, to others it passes through.
async fn connect(shared: &Arc<Shared>, mut request: Request<Incoming>, place: &Place) -> Response<Body> {
    let Some(authority) = request.uri().authority().cloned().filter(|to| to.port().is_some()) else {
        return say(StatusCode::BAD_REQUEST, "a tunnel goes to a host and a port");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let (tls, plain) = (shared.find("https", &authority), shared.find("http", &authority));
    if tls.or(plain).is_some() {
        let (shared_too, place, tls) = (shared.clone(), place.clone(), tls.is_some());
        shared.spawn(async move {
            let Ok(stream) = upgraded.await else { return };
            let scheme = if tls { "https" } else { "http" };
            inside(shared_too, TokioIo::new(stream), scheme, authority, place).await;
        });
        return Response::new(body::empty());
    }
    if shared.only {
        return not_named();
    }
    match tunnel::connect(&authority, &shared.parent).await {
        Ok(mut there) => {
            let place = place.clone();
            shared.spawn(async move {
                let _place = place;
                if let Ok(stream) = upgraded.await {
                    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(stream), &mut there).await;
                }
            });
            Response::new(body::empty())
        }
        Err(why) => say(StatusCode::BAD_GATEWAY, &format!("`{authority}` cannot be reached: {why}")),
    }
}

/// A tunnel to a named host, which ends here.
async fn inside(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: &'static str,
    authority: http::uri::Authority,
    place: Place,
) {
    let host = shared.find(scheme, &authority).map(Named::host).unwrap_or_default();
    let now = shared.supply.now();
    let service = {
        let shared = shared.clone();
        service_fn(move |request: Request<Incoming>| {
            let (shared, authority, place) = (shared.clone(), authority.clone(), place.clone());
            async move {
                let Some(named) = shared.find(scheme, &authority) else { return Ok(not_named()) };
                // SECURITY: the host that was asked for is the one that gets the request, whatever is said inside.
                if !headers::host_is(&request, scheme, named) {
                    return Ok(say(StatusCode::MISDIRECTED_REQUEST, "this tunnel goes to another host"));
                }
                Ok::<_, Infallible>(match named.at_origin(request.uri()) {
                    Some(url) => forward::with_token(&shared, named, url, request, &place, None).await,
                    None => say(StatusCode::BAD_REQUEST, "that is no address"),
                })
            }
        })
    };
    if scheme == "http" {
        return serve(stream, service).await;
    }
    let Ok(config) = shared.authority.in_place_of(&host, now) else { return };
    let handshake = TlsAcceptor::from(config).accept(stream);
    // A client that does not trust us has said so in its own words.
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME_OUT, handshake).await {
        serve(stream, service).await;
    }
}

fn not_named() -> Response<Body> {
    say(
        StatusCode::FORBIDDEN,
        "this host was not named, and the command may reach named hosts only (`--only`)",
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The clock is turned as soon as nothing else is to be done: what would wait for ever fails here.
    async fn hung_up_on(sent: &[u8]) -> (String, Duration) {
        let (mut client, proxy) = tokio::io::duplex(HEAD_LEN_MAX);
        let service = service_fn(async |_| Ok::<_, Infallible>(say(StatusCode::OK, "answered")));
        let serving = tokio::spawn(serve(proxy, service));
        let started = tokio::time::Instant::now();
        client.write_all(sent).await.unwrap();
        let mut came = String::new();
        client.read_to_string(&mut came).await.unwrap();
        serving.await.unwrap();
        (came, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_send_its_head_is_hung_up_on_and_so_is_one_that_does_nothing() {
        for slow in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Half: "] {
            let (came, took) = hung_up_on(slow.as_bytes()).await;
            assert!(!came.contains("answered") && took >= HEAD_TIME_OUT, "{slow:?} {took:?}: {came}");
        }
        let (came, took) = hung_up_on(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(
            came.contains("answered") && took >= HEAD_TIME_OUT,
            "the connection was kept: {took:?} {came}"
        );
    }
}
