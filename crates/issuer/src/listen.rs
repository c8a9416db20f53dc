//! The accept loop: sockets to requests.
//!
//! 1. Plain HTTP is served on loopback alone, or to trusted proxies and nobody else; anywhere else it takes a certificate.
//! 2. Connections are counted: one network has its share, and all wait their turn when there are too many.
//! 3. A slow client loses its connection: at the handshake, at the headers, at the body (`form`), at doing nothing.
//! 4. Who asks is the peer, unless the peer is a trusted proxy: then whom its `X-Forwarded-For` names last.
//! 5. Told to stop, it accepts nothing more and lets the requests under way finish, for a while.

mod connection; // one connection, from its first byte to its last
mod places; // who holds how many

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::limits;
use crate::tls;
use connection::Connection;
use hallpass_model::network::Network;
use places::Places;

/// Where to listen, and how.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port; port 0 is any free one.
    pub address: SocketAddr,
    /// The certificate to serve TLS with.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` is believed. Nobody else's is, and off loopback nobody else gets plain HTTP.
    pub trusted_proxies: Vec<Network>,
}

/// PEM files: a certificate chain, and its private key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificates: PathBuf,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Tokens would cross a network in the clear.
    #[error("plain HTTP is served on loopback only, and `{0}` is not loopback")]
    PlainHttp(SocketAddr),
    /// The address is taken or not ours.
    #[error("`{0}` cannot be listened on")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// A file of the certificate's cannot be read or used.
    #[error("the certificate cannot be used")]
    Tls(#[from] tls::BadTlsFiles),
}

/// A socket that listens, not yet accepting.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    trusted_proxies: Arc<[Network]>,
    /// Tokens would cross a network in the clear to anybody but the proxies that were named.
    proxies_only: bool,
}

impl Listener {
    /// Binds the address and reads the certificate.
    pub async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        let proxies_only = listen.tls.is_none() && !listen.address.ip().is_loopback();
        if proxies_only && listen.trusted_proxies.is_empty() {
            return Err(ListenError::PlainHttp(listen.address));
        }
        let tls = listen.tls.as_ref().map(tls::acceptor).transpose()?;
        let socket = TcpListener::bind(listen.address)
            .await
            .map_err(|error| ListenError::Bind(listen.address, error))?;
        Ok(Self { socket, tls, trusted_proxies: listen.trusted_proxies.as_slice().into(), proxies_only })
    }

    /// Where it listens: with the port it was given, if any free one was asked for.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` says true, then until the requests under way are done or [`limits::DRAIN`] is over.
    pub(crate) async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let places = Places::default();
        loop {
            let place = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                place = places.one() => place,
            };
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = self.socket.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok((socket, peer)) => (socket, peer.ip()),
                Err(error) => {
                    // A connection that broke before it was accepted, or no socket left: neither is the end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(limits::ACCEPT_REST).await;
                    continue;
                }
            };
            let is_proxy = self.trusted_proxies.iter().any(|network| network.contains(peer));
            // SECURITY: before anything is read: whoever is on that network sees what is sent to the others on it.
            if self.proxies_only && !is_proxy {
                tracing::debug!("hung up on a peer that is no trusted proxy: this is plain HTTP");
                continue;
            }
            // A proxy brings everybody, so it alone has no share of its own.
            let Some(place) = place.of(peer, is_proxy) else {
                tracing::debug!("hung up on a peer whose network holds its share of connections already");
                continue;
            };
            let connection = Connection {
                router: router.clone(),
                peer,
                trusted_proxies: self.trusted_proxies.clone(),
                stop: stop.clone(),
            };
            let tls = self.tls.clone();
            tokio::spawn(async move {
                connection.run(socket, tls).await;
                drop(place);
            });
        }
        drop(self.socket);
        if tokio::time::timeout(limits::DRAIN, places.all()).await.is_err() {
            tracing::warn!("requests under way were ended: they took too long");
        }
    }
}

/// Who asks. SECURITY: a header of an untrusted peer's is never believed, and of a trusted chain only the part
/// that trusted proxies wrote: from the right, up to the first address that is not one of theirs.
fn requester(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    let chain = headers.get_all("x-forwarded-for").iter().rev();
    let hops = chain.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
    for hop in hops {
        if !is_trusted(address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// Where a request came from, as `listen` saw it. Never logged; kept only where a person is shown it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequesterAddress(pub(crate) IpAddr);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn asked(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        requester(peer.parse().unwrap(), &headers(forwarded), &networks(trusted)).to_string()
    }

    #[test]
    fn a_stranger_s_forwarded_header_is_not_believed() {
        assert_eq!(asked("203.0.113.9", &["1.2.3.4"], &[]), "203.0.113.9");
        assert_eq!(asked("203.0.113.9", &["1.2.3.4"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn of_a_trusted_chain_the_last_address_that_is_not_a_proxy_is_believed() {
        let trusted = &["10.0.0.0/8", "::1"];
        assert_eq!(asked("10.0.0.1", &["203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(asked("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], trusted), "203.0.113.9");
        assert_eq!(asked("10.0.0.1", &["6.6.6.6", "203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(asked("::1", &["2001:db8::5"], trusted), "2001:db8::5");
        assert_eq!(asked("10.0.0.1", &["203.0.113.9, rubbish"], trusted), "10.0.0.1");
        assert_eq!(asked("::ffff:10.0.0.1", &["203.0.113.9"], trusted), "203.0.113.9");
    }

    #[tokio::test]
    async fn plain_http_off_loopback_is_refused_unless_a_proxy_is_named() {
        let mut listen = Listen { address: "0.0.0.0:0".parse().unwrap(), tls: None, trusted_proxies: vec![] };
        assert!(matches!(Listener::bind(&listen).await, Err(ListenError::PlainHttp(_))));
        listen.trusted_proxies = networks(&["10.0.0.0/8"]);
        assert!(Listener::bind(&listen).await.is_ok());
    }

    /// What a peer on this machine is answered by a server on every interface that names these proxies.
    async fn answered(trusted: &[&str]) -> String {
        let listen =
            Listen { address: "0.0.0.0:0".parse().unwrap(), tls: None, trusted_proxies: networks(trusted) };
        let listener = Listener::bind(&listen).await.unwrap();
        let port = listener.address().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", axum::routing::get(async || "served"));
        let serving = tokio::spawn(listener.serve(router, stopped));
        let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        // Hung up on is an error or an end, as the system has it.
        let _ = peer.write_all(request.as_bytes()).await;
        let _ = peer.read_to_string(&mut answer).await;
        stop.send_replace(true);
        serving.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn plain_http_off_loopback_is_spoken_with_trusted_proxies_and_nobody_else() {
        assert_eq!(answered(&["10.0.0.0/8"]).await, "", "naming a proxy opens the door to that proxy alone");
        assert!(answered(&["10.0.0.0/8", "127.0.0.1"]).await.ends_with("served"));
    }
}
