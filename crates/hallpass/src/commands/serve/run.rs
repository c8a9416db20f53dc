//! The server from its first answer to its last.

use std::net::SocketAddr;
use std::sync::Arc;

use hallpass_issuer::admin::Office;
use hallpass_issuer::{BaseUrl, Issuer, Listen, ListenError, Listener, OutsideRoots, TlsFiles};
use hallpass_model::random::SystemEntropy;
use hallpass_model::time::{Clock, Lifetime, Timestamp};
use hallpass_store::Store;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{notify, setup};
use crate::admin_socket::server::AdminSocket;
use crate::clock::SystemClock;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};
use crate::settings::{LogFormat, Settings};

/// The line of `--json`, once it listens.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    data: &'a std::path::Path,
}

/// Listens, answers, and stops when told to.
pub(super) async fn run(settings: &Settings, store: Store, out: &mut Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let listener = listen(settings).await?;
    let address = listener.address().map_err(|error| {
        Failure::could_not_run(format_args!("the listening address cannot be known: {error}"))
    })?;
    let base_url = match &settings.base_url {
        Some(base_url) => base_url.clone(),
        None => localhost(address),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuer_settings = hallpass_issuer::Settings {
        base_url: base_url.clone(),
        outside_networks: settings.outside_networks.clone(),
        outside_roots: outside_roots(settings)?,
    };
    let issuer = Issuer::new(store.clone(), clock.clone(), Arc::new(SystemEntropy), issuer_settings);

    let (stop, stopping) = watch::channel(false);
    let metrics = match settings.metrics_listen {
        Some(address) => Some(listen_for_metrics(address).await?),
        None => None,
    };
    let metrics_at = metrics.as_ref().and_then(|listener| listener.local_addr().ok());
    let office = Office::of_operator(issuer.clone(), settings.local_approval);
    let socket = AdminSocket::bind(&settings.data)
        .map_err(|error| Failure::could_not_run(format_args!("cannot open the admin socket: {error}")))?;
    let admin = tokio::spawn(socket.serve(office));
    let serving = tokio::spawn(hallpass_issuer::serve(issuer.clone(), listener));
    if let Some(listener) = metrics {
        tokio::spawn(hallpass_issuer::serve_metrics(issuer.clone(), listener, stopping));
    }
    announce(settings, &base_url, (address, metrics_at), out)?;
    remind(&store, crate::clock::now()).await;
    setup::offer(&store, &base_url, &settings.data, out).await?;
    notify::tell(notify::READY);

    signals.next().await;
    notify::tell(notify::STOPPING);
    tracing::info!("stopping: no new request is accepted");
    issuer.stop();
    stop.send_replace(true);
    tokio::select! {
        // The issuer bounds its own drain; commands under way are short.
        _ = async { tokio::join!(serving, admin) } => tracing::info!("stopped"),
        () = signals.next() => tracing::warn!("stopped at once, as told a second time"),
    }
    setup::clear(&settings.data);
    Ok(Exit::DONE)
}

async fn listen(settings: &Settings) -> Result<Listener, Failure> {
    let tls =
        settings.tls.as_ref().map(|tls| TlsFiles { certificates: tls.cert.clone(), key: tls.key.clone() });
    let listen = Listen { address: settings.listen, tls, trusted_proxies: settings.trusted_proxies.clone() };
    Listener::bind(&listen).await.map_err(|error| {
        let because = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let message = format!("{error}{because}");
        match &error {
            ListenError::Bind(_, cause) if cause.kind() == std::io::ErrorKind::AddrInUse => {
                Failure::try_later(message).hint("stop what listens there, or name another port with `--listen`; port 0 is any free one")
            }
            ListenError::Bind(_, cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
                Failure::could_not_run(message).hint("ports under 1024 take a privilege: `setcap cap_net_bind_service=+ep` on `hallpass-main`, or a proxy in front")
            }
            ListenError::Bind(..) => Failure::could_not_run(message).hint("name an address of this machine with `--listen`"),
            ListenError::PlainHttp(_) => Failure::usage(message),
            ListenError::Tls(_) => Failure::could_not_run(message).hint("look at `--tls-cert` and `--tls-key`"),
        }
    })
}

async fn listen_for_metrics(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::could_not_run(format_args!("`{address}` cannot be listened on for metrics: {error}"))
            .hint("name another by `--metrics-listen`; port 0 is any free one")
    })
}

/// A server on loopback knows its own URL. The name, not the number: an IP address cannot have passkeys.
fn localhost(address: SocketAddr) -> BaseUrl {
    format!("http://localhost:{}", address.port()).parse().expect("localhost with a port is a base URL")
}

fn announce(
    settings: &Settings,
    base_url: &BaseUrl,
    (listen, metrics): (SocketAddr, Option<SocketAddr>),
    out: &mut Output,
) -> Result<(), Failure> {
    let url = base_url.origin();
    match settings.log_format {
        LogFormat::Text => out.tell(format_args!("listening on {url}")),
        LogFormat::Json => tracing::info!("listening on {url}"),
    }
    if settings.local_approval {
        out.warn("the operator may approve logins through the admin socket, for anybody");
    }
    match out.form() {
        Form::Json => {
            out.json("hallpass.serve.ready/1", &Ready { url, listen, metrics, data: &settings.data })
        }
        Form::Text => Ok(()),
    }
}

/// The signals that mean stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::could_not_run(format_args!("cannot listen for signals: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn outside_roots(settings: &Settings) -> Result<OutsideRoots, Failure> {
    let Some(file) = &settings.outside_ca else { return Ok(OutsideRoots::default()) };
    let cannot = |why: String| Failure::usage(format_args!("`{}` cannot be used: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| cannot(error.to_string()))?;
    OutsideRoots::from_pem(&pem)
        .map_err(|bad| cannot(bad.to_string()).hint("`--outside-ca` takes a file of PEM certificates"))
}

/// A key-encryption key that is older than this is worth a reminder at each start.
const KEK_DUE: Lifetime = Lifetime::days(365);

/// Says when it is time for another key-encryption key. That is the operator's to make: it is not in the server's own hands.
async fn remind(store: &Store, now: Timestamp) {
    if let Ok(Some(since)) = store.kek_since().await
        && now >= since + KEK_DUE
    {
        tracing::warn!(%since, "the key-encryption key is older than a year: have another take its place (`--previous-kek`)");
    }
}
