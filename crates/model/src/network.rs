//! Networks: addresses that begin with the same bits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that begin with the same bits: `10.0.0.0/8`, `::1`.
///
/// An IPv4 address written as an IPv6 one (`::ffff:10.0.0.1`) is the IPv4 address, in what is compared and in what it is
/// compared with: a socket that takes both kinds names its IPv4 peers so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network such as `10.0.0.0/8`")]
pub struct BadNetwork(String);

/// The part of an IPv4 address that is kept of whoever used something: the network, not the machine.
const PREFIX_V4: u32 = 24;
/// The same of an IPv6 address: what one site is given.
const PREFIX_V6: u32 = 48;

/// How many bits of an IPv6 address say that it is an IPv4 one (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u32 = 96;

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_start(own.to_bits().into(), other.to_bits().into(), 32 - self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_start(own.to_bits(), other.to_bits(), 128 - self.bits)
            }
            _ => false,
        }
    }

    /// What is kept of an address to know its users by: its first 24 bits, or 48 of an IPv6 one.
    pub fn around(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let address = Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << (32 - PREFIX_V4)));
                Self { address: IpAddr::V4(address), bits: PREFIX_V4 }
            }
            IpAddr::V6(v6) => {
                let address = Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - PREFIX_V6)));
                Self { address: IpAddr::V6(address), bits: PREFIX_V6 }
            }
        }
    }
}

/// Whether two numbers are the same but for their last `rest` bits.
fn same_start(one: u128, other: u128, rest: u32) -> bool {
    one.checked_shr(rest) == other.checked_shr(rest)
}

impl std::str::FromStr for Network {
    type Err = BadNetwork;
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.chars().take(64).collect());
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if bits > most {
            return Err(bad());
        }
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) if address.is_ipv6() && bits >= MAPPED_BITS => {
                Ok(Self { address: v4, bits: bits - MAPPED_BITS })
            }
            _ => Ok(Self { address, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_begins_alike() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "::1"));
        assert!(has("2001:db8::/32", "2001:db8:1::") && !has("2001:db8::/32", "2001:db9::"));
        assert!(has("::1", "::1") && !has("::1", "::2"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "localhost"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_ipv4_address_is_one_however_it_is_written() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3") && !has("10.0.0.0/8", "::ffff:11.1.2.3"));
        assert!(has("::ffff:10.0.0.0/104", "10.1.2.3") && !has("::ffff:10.0.0.0/104", "11.1.2.3"));
        assert!(has("::ffff:10.0.0.1", "10.0.0.1") && !has("::ffff:10.0.0.1", "10.0.0.2"));
        assert!(!has("::/0", "::ffff:10.1.2.3"), "every IPv6 address is no IPv4 one");
        assert_eq!("::ffff:10.0.0.0/104".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn of_an_address_its_network_is_kept() {
        let around = |address: &str| Network::around(address.parse().unwrap()).to_string();
        assert_eq!(around("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(around("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(around("2001:db8:1:2::7"), "2001:db8:1::/48");
        assert_eq!("192.0.2.0/24".parse::<Network>().unwrap(), Network::around("192.0.2.9".parse().unwrap()));
    }
}
