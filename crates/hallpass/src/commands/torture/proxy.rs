//! Stands between the processes and their provider: TLS by the run's own authority, a door for each process, and faults.
//!
//! A process is led here by `HTTPS_PROXY` and `HALLPASS_CA_FILE`, as by any company's proxy, and knows nothing else about
//! it. Each has a door (a port) of its own, so that the one whose request was seen can be killed. A door asks for a
//! password that only this run's processes have: nobody else of this machine gets out through it.

mod door; // who is behind a port
mod tamper; // what becomes of one request
mod upstream; // the provider itself

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hallpass_model::random::{Entropy, SystemEntropy};
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::chain::{Chain, Print};
use super::fault::Severity;
use super::wire::{self, Request};
use crate::authority::Authority;
use crate::failure::Failure;

pub(super) use door::Door;
pub(super) use upstream::Upstream;

/// The proxy of one run.
pub(super) struct Proxy {
    authority: Authority,
    upstream: Upstream,
    /// `Proxy-Authorization` of this run's processes.
    password: String,
    /// How far the provider's clock seems to be off, in seconds.
    clock_shift: AtomicI64,
    seen: Mutex<Seen>,
}

/// What went through so far.
#[derive(Default)]
struct Seen {
    severity: Option<Severity>,
    /// Requests that may have met a fault.
    asked: u64,
    chain: Chain,
    tally: Tally,
    /// Refused already: several processes hear it.
    refused: HashSet<Print>,
    /// Revoked, and the provider said that it was.
    revoked: HashSet<Print>,
    /// The refresh token, or else the access token, of the last answer with tokens.
    last: Option<Print>,
    /// Renewals of living processes under way, by sign-in.
    under_way: BTreeMap<usize, usize>,
}

/// What was counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Renewals that the provider answered with tokens.
    pub(super) refreshes: u64,
    /// Those of them that asked for a lost answer again.
    pub(super) retries: u64,
    /// Spent tokens that were presented although their successor had arrived.
    pub(super) replays: u64,
    /// Renewals that began while another living process had one under way.
    pub(super) at_once: u64,
    /// Processes that were killed.
    pub(super) kills: u64,
    /// Sign-ins the provider ended after an answer was lost.
    pub(super) excused: u64,
    /// Sign-ins the provider ended though no answer was lost.
    pub(super) unexcused: u64,
    /// Requests that the provider itself did not answer.
    pub(super) unanswered: u64,
    /// What was done, by its name.
    pub(super) faults: BTreeMap<&'static str, u64>,
}

impl Proxy {
    pub(super) fn new(upstream: Upstream) -> Result<Arc<Self>, Failure> {
        let authority = Authority::new("hallpass torture")
            .map_err(|error| Failure::could_not_run(format_args!("no certificate could be made: {error}")))?;
        let mut password = [0u8; 16];
        SystemEntropy.fill(&mut password);
        Ok(Arc::new(Self {
            authority,
            upstream,
            password: hallpass_model::jose::base64url::render(password),
            clock_shift: AtomicI64::new(0),
            seen: Mutex::default(),
        }))
    }

    /// The certificate that processes are to trust.
    pub(super) fn pem(&self) -> &str {
        self.authority.pem()
    }

    /// How rough it is from now on.
    pub(super) fn set(&self, severity: Severity) {
        self.seen().severity = Some(severity);
    }

    /// Sets the provider's clock ahead, as far as anybody can see from its answers.
    pub(super) fn shift_clock(&self, seconds: i64) {
        self.clock_shift.store(seconds, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn tally(&self) -> Tally {
        self.seen().tally.clone()
    }

    /// What was counted since this was asked last.
    pub(super) fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.seen().tally)
    }

    /// Whether the newest refresh token that the provider gave was revoked there since.
    pub(super) fn last_was_revoked(&self) -> bool {
        let seen = self.seen();
        seen.last.is_some_and(|last| seen.revoked.contains(&last))
    }

    /// Opens a door for one process at a time. `sign_in` tells apart those that do not share one.
    pub(super) async fn open(self: &Arc<Self>, sign_in: usize) -> Result<Arc<Door>, Failure> {
        let failed = |error| Failure::could_not_run(format_args!("no port could be opened: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let door = Arc::new(Door::new(port, sign_in, &self.password));
        let (proxy, at) = (self.clone(), Arc::downgrade(&door));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(door) = at.upgrade() else { return };
                let proxy = proxy.clone();
                // Whatever goes wrong with one connection, its process hears: it was closed.
                tokio::spawn(async move { proxy.attend(stream, &door).await });
            }
        });
        Ok(door)
    }

    /// One connection, from `CONNECT` to its end.
    async fn attend(self: Arc<Self>, stream: TcpStream, door: &Arc<Door>) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some(connect) = Request::read(&mut stream).await? else { return Ok(()) };
        // Nothing leads a process here over plain http.
        if connect.method != "CONNECT" || !door.may_pass(&connect) {
            return wire::write(&mut stream, b"HTTP/1.1 407 -\r\ncontent-length: 0\r\n\r\n").await;
        }
        wire::write(&mut stream, b"HTTP/1.1 200 -\r\n\r\n").await?;
        let authority = connect.target.strip_suffix(":443").unwrap_or(&connect.target).to_owned();
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        let server = self.authority.server(host).map_err(std::io::Error::other)?;
        let mut tls = TlsAcceptor::from(server).accept(stream).await?;
        while let Some(request) = Request::read(&mut tls).await? {
            if !self.answer(&authority, request, &mut tls, door).await? {
                return Ok(()); // dropped in the middle, without a farewell
            }
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no thread panics holding this")
    }
}
