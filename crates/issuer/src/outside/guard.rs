//! Where may be asked: public addresses, and networks that the operator named.
//!
//! SECURITY: an address that a document names may lead inside (server-side request forgery). It is the resolved address
//! that is judged, and that very one is connected to, so that a name which resolves differently the next time gains
//! nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::fetch::NotFetched;
use hallpass_model::network::Network;

/// Who says where may be asked.
#[derive(Clone)]
pub(super) struct Guard {
    named: Arc<[Network]>,
}

impl Guard {
    pub(super) fn new(named: Vec<Network>) -> Self {
        Self { named: named.into() }
    }

    /// Judges an address as it is written. A name's addresses are judged when it is resolved.
    pub(super) fn judge(&self, url: &Url) -> Result<(), NotFetched> {
        let refused = |why: &'static str| Err(NotFetched::Forbidden { url: url.as_str().to_owned(), why });
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return refused("it holds a user name, a password or a fragment");
        }
        let literal = match url.host() {
            None => return refused("it has no host"),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        // Plain HTTP never leaves this machine, and not even on it unless the operator named it.
        let here = literal.is_some_and(|address| address.is_loopback());
        if url.scheme() != "https" && !(url.scheme() == "http" && here) {
            return refused("it is not https");
        }
        match literal {
            Some(address) if !self.permits(address) => {
                refused("it is not public; name its network with `--outside-network` if it is meant")
            }
            _ => Ok(()),
        }
    }

    fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.named.iter().any(|network| network.contains(address))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found.filter(|address| guard.permits(address.ip())).collect();
            match permitted.is_empty() {
                true => Err(NotPublic.into()),
                false => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

/// A name has no address that may be asked.
#[derive(Debug, thiserror::Error)]
#[error("it has no public address; name its network with `--outside-network` if it is meant")]
struct NotPublic;

/// Whether an address is anybody's to reach: none of the special-purpose registries' (RFC 6890) but those that are
/// globally reachable, and none that carries such a one inside.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared address space (RFC 6598), IETF protocol assignments, benchmarking (RFC 2544), 6to4 relays (RFC 7526).
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b))
        || (a, b, c) == (192, 88, 99);
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address, which is where they lead.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        [0x2002, high, low, ..] => inside(high, low),
        // Global unicast is 2000::/3; of it, documentation (RFC 3849, RFC 9637), Teredo, ORCHID and benchmarking are not.
        [0x2001, 0xdb8, ..] | [0x2001, 0..=0x1ff, ..] => false,
        [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_not_asked_however_it_is_written() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in
            ["8.8.8.8", "140.82.112.3", "2606:4700::1111", "64:ff9b::808:808", "100.128.0.1", "172.32.0.1"]
        {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_address_is_https_and_says_no_more_than_where() {
        let guard = Guard::new(vec![]);
        let judged = |text: &str| guard.judge(&text.parse().unwrap()).is_ok();
        assert!(judged("https://gitlab.example/oauth/discovery/keys?x=1"));
        for bad in [
            "http://gitlab.example/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://169.254.169.254/latest",
            "http://127.0.0.1/",
            "https://user@gitlab.example/",
            "https://gitlab.example/#x",
            "ftp://gitlab.example/",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            assert!(!judged(bad), "{bad}");
        }
        let named = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
        assert!(named.judge(&"http://127.0.0.1:8/".parse().unwrap()).is_ok());
        assert!(named.judge(&"https://10.1.2.3/".parse().unwrap()).is_ok());
        assert!(named.judge(&"http://10.1.2.3/".parse().unwrap()).is_err());
    }

    /// A name that leads inside: the resolver itself gives nothing to connect to.
    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_has_no_address() {
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(Guard::new(vec![]).resolve(name()).await.is_err());
        let named = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        assert!(named.resolve(name()).await.is_ok());
    }
}
