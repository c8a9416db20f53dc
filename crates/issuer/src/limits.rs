//! How much of anything one request, one caller or everybody together may use. Each number stands with its reason.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A request body at most: what a form may be.
pub(crate) const BODY_MAX: usize = hallpass_model::wire::oauth::FORM_LEN_MAX;
/// A whole body must have come after this: 64 KiB in ten seconds is a modem.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Request line and headers at most: an 8 KiB token and an 8 KiB proof, and as much again.
pub(crate) const HEADERS_MAX: usize = 32 * 1024;
/// Headers in one request at most: a browser sends twenty.
pub(crate) const HEADER_COUNT_MAX: usize = 64;
/// The headers must have come after this, and a connection that is kept open must be used again: slow clients
/// hold a connection, so they may hold it this long.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// A TLS handshake at most.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once: under the usual limit of 1,024 open files, with room for the store's.
pub(crate) const CONNECTIONS_MAX: usize = 900;
/// Connections from one network at once: all commands of a company behind one address, and still as much left for the rest.
pub(crate) const CONNECTIONS_BY_NETWORK: usize = CONNECTIONS_MAX / 2;
/// Streams at once on one HTTP/2 connection: a browser opens a dozen.
pub(crate) const STREAMS_MAX: u32 = 64;
/// How often an idle HTTP/2 connection is asked whether it is still there, and how long it may take to answer.
pub(crate) const HTTP2_PING: Duration = Duration::from_secs(30);
/// An HTTP/2 connection on which nothing goes on at most: twice as long as a poll is held, many times a run's lines.
pub(crate) const HTTP2_IDLE: Duration = Duration::from_secs(60);
/// How long requests under way may go on once the server was told to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// How long the accept loop rests when the system has no more sockets to give.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Polls of the token endpoint held open at once (`Prefer: wait`), everybody together: each holds a connection,
/// and they may not hold more than a quarter of them.
pub(crate) const HELD_POLLS_MAX: usize = CONNECTIONS_MAX / 4;
/// Run connections at once: half of all connections.
pub(crate) const RUNS_MAX: usize = CONNECTIONS_MAX / 2;
/// Streams of sessions at once: a quarter of all connections. A holder that finds no place hears of a cut when it renews.
pub(crate) const WATCHERS_MAX: usize = CONNECTIONS_MAX / 4;

/// Access tokens whose signature is remembered as checked: the working set of a busy verifier, about 10 MB.
pub(crate) const VERIFIED_TOKENS_MAX: usize = 8 * 1024;
/// Access tokens that are known by their hash to be signed here: what a thousand logins a minute bring in a token's longest
/// life and more, about 5 MB.
pub(crate) const MINTED_TOKENS_MAX: usize = 64 * 1024;
/// Orgs kept in memory with their keys parsed: about 10 KB each.
pub(crate) const ORGS_MAX: usize = 1024;
/// Rows asked of the store at once where all of them are wanted.
pub(crate) const PAGE: u32 = 500;

/// Requests a minute from one network that make the store keep something for a stranger (a device flow begun, an
/// authorization request saved): an office behind one address logging in at nine o'clock.
pub(crate) const STRANGER_WRITES_A_MINUTE: u32 = 600;
/// Refusals a minute to one network at the endpoints that take secrets: above what a broken script in a loop of
/// one second makes, far below what guessing 160 bits needs.
pub(crate) const REFUSALS_A_MINUTE: u32 = 600;
/// Networks remembered by each of the two limits above. More at once share one allowance.
const NETWORKS_MAX: usize = 16 * 1024;

/// The limits by network.
pub(crate) struct NetworkLimits {
    /// Making the store keep something.
    pub(crate) writes: NetworkLimit,
    /// Being refused.
    pub(crate) refusals: NetworkLimit,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            writes: NetworkLimit::a_minute(STRANGER_WRITES_A_MINUTE),
            refusals: NetworkLimit::a_minute(REFUSALS_A_MINUTE),
        }
    }
}

/// One allowance a network, refilled as time passes (the generic cell rate algorithm: one moment for each network,
/// that at which its allowance would be whole again).
pub(crate) struct NetworkLimit {
    whole_again: Mutex<HashMap<Network, Instant>>,
    /// What using one costs, in time.
    each: Duration,
    /// A whole allowance, in time.
    all: Duration,
}

impl NetworkLimit {
    pub(crate) fn a_minute(most: u32) -> Self {
        let all = Duration::from_secs(60);
        Self { whole_again: Mutex::default(), each: all / most, all }
    }

    /// How long this network must wait until it may use one again; `None` if it may now.
    pub(crate) fn wait(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let map = self.whole_again.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let network = network_in(&map, address);
        let spent = map.get(&network)?.saturating_duration_since(now) + self.each;
        spent.checked_sub(self.all).filter(|wait| !wait.is_zero())
    }

    /// Uses one of this network's allowance up. `Err` says after how long it may ask again.
    pub(crate) fn spend(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait(address, now) {
            return Err(wait);
        }
        let mut map = self.whole_again.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if map.len() >= NETWORKS_MAX {
            map.retain(|_, whole_again| *whole_again > now);
        }
        let network = network_in(&map, address);
        let whole_again = map.entry(network).or_insert(now);
        *whole_again = (*whole_again).max(now) + self.each;
        Ok(())
    }
}

fn network_in(map: &HashMap<Network, Instant>, address: Option<IpAddr>) -> Network {
    let network = address.map_or(Network::Others, Network::of);
    if map.len() < NETWORKS_MAX || map.contains_key(&network) { network } else { Network::Others }
}

/// Whose allowance is used: an IPv4 address, or the /64 that one IPv6 subscriber has all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    One(IpAddr),
    Others,
}

impl Network {
    fn of(address: IpAddr) -> Self {
        Self::One(network_of(address))
    }
}

/// The network an address is in: itself for IPv4, its /64 for IPv6.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_s_allowance_is_its_own_and_comes_back() {
        let (limit, now) = (NetworkLimit::a_minute(3), Instant::now());
        let noisy = Some("2001:db8::1".parse().unwrap());
        let same_network = Some("2001:db8::2".parse().unwrap());
        let other = Some("2001:db8:0:1::1".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(limit.spend(noisy, now), Ok(()));
        }
        assert_eq!(limit.spend(same_network, now), Err(Duration::from_secs(20)));
        assert_eq!(limit.spend(other, now), Ok(()));
        assert_eq!(limit.spend(noisy, now + Duration::from_secs(20)), Ok(()));
        assert!(limit.spend(noisy, now + Duration::from_secs(20)).is_err());
    }

    #[test]
    fn many_networks_do_not_grow_the_memory() {
        let (limit, now) = (NetworkLimit::a_minute(1), Instant::now());
        for n in 0..(NETWORKS_MAX as u32 + 100) {
            let _ = limit.spend(Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert!(limit.whole_again.lock().unwrap().len() <= NETWORKS_MAX + 1);
    }
}
