//! Where a credential may go. Compared exactly: scheme, host and port as they are written, a path by whole segments.
//!
//! SECURITY: a URL library makes many spellings the same (case, IDN, percent, tabs, backslashes, dots), and the program that
//! will send the credential may disagree with it about which. Here one spelling is a place and any other is none.

use std::fmt;
use std::str::FromStr;

/// A host at most, in bytes (RFC 1035, section 2.3.4).
const HOST_LEN_MAX: usize = 253;
/// A path at most, in bytes.
const PATH_LEN_MAX: usize = 4096;

/// Where a credential may go: `https://git.example`, `https://git.example:8443/team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    scheme: Scheme,
    host: String,
    port: u16,
    path: Vec<String>,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAPlace(&'static str);

impl Place {
    /// Whether a credential for this place may go to `asked`: the same scheme, host and port, and a path that is this one or
    /// below it.
    pub fn holds(&self, asked: &Place) -> bool {
        self.same_server(asked) && asked.path.starts_with(&self.path)
    }

    /// Whether both are the same scheme, host and port.
    pub fn same_server(&self, other: &Place) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// Reads what programs give that name no scheme: `registry.example:5000`. It is this place if host and port are; the
    /// port that is not written is that of https.
    pub fn is_named(&self, authority: &str) -> bool {
        match server(authority, Scheme::Https) {
            Ok((host, port)) => host == self.host && port == self.port,
            Err(_) => false,
        }
    }

    /// Whether what goes there could be read on the way: plain http, and not to this very machine.
    pub fn is_open_to_all(&self) -> bool {
        self.scheme == Scheme::Http && !matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }

    /// How many segments its path has.
    pub fn depth(&self) -> usize {
        self.path.len()
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (Scheme::Https, rest),
            (_, Some(rest)) => (Scheme::Http, rest),
            _ => return Err(NotAPlace("it does not begin with `https://` or `http://`")),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = server(authority, scheme)?;
        Ok(Self { scheme, host, port, path: segments(path)? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        write!(f, "{scheme}://{}", self.authority())?;
        self.path.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Https => 443,
            Scheme::Http => 80,
        }
    }
}

/// `host` or `host:port`, in lower case, with nothing that could be read in two ways.
fn server(authority: &str, scheme: Scheme) -> Result<(String, u16), NotAPlace> {
    let (host, port) = match authority.rfind(':').filter(|_| !authority.ends_with(']')) {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    let named = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.to_string() == inner),
        None => host.split('.').all(|label| !label.is_empty()) && host.bytes().all(plain),
    };
    if !named || host.len() > HOST_LEN_MAX {
        return Err(NotAPlace("its host is not a plain name in lower case"));
    }
    let port = match port {
        None => scheme.port(),
        Some(digits) => {
            let number = digits.parse::<u16>().ok().filter(|port| *port != 0 && port.to_string() == digits);
            number.ok_or(NotAPlace("its port is not a number"))?
        }
    };
    Ok((host.to_owned(), port))
}

/// The segments of a path. A `/` at its end changes nothing; an empty, dotted or escaped segment is refused, since
/// programs and servers differ about where it leads.
fn segments(path: &str) -> Result<Vec<String>, NotAPlace> {
    const REFUSED: NotAPlace = NotAPlace("its path is not plain");
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let plain =
        |b: u8| b.is_ascii_graphic() && !matches!(b, b'%' | b'?' | b'#' | b'\\' | b'"' | b'<' | b'>' | b';');
    if path.len() > PATH_LEN_MAX || !path.bytes().all(plain) {
        return Err(REFUSED);
    }
    let each: Vec<String> = path.split('/').map(str::to_owned).collect();
    match each.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
        true => Err(REFUSED),
        false => Ok(each),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_port_of_the_scheme_may_be_written_or_not_and_nothing_else_is_the_same() {
        let git = place("https://git.example");
        for same in ["https://git.example/", "https://git.example:443", "https://git.example/any/repo.git"] {
            assert!(git.holds(&place(same)), "{same}");
        }
        for other in [
            "http://git.example",
            "http://git.example:443",
            "https://git.example:8443",
            "https://evil.git.example",
            "https://git.example.evil",
            "https://xgit.example",
            "https://gitxexample",
        ] {
            assert!(!git.holds(&place(other)), "{other}");
        }
    }

    #[test]
    fn a_path_holds_what_is_below_it_by_whole_segments() {
        let team = place("https://git.example/team/");
        assert!(team.holds(&place("https://git.example/team")));
        assert!(team.holds(&place("https://git.example/team/repo.git")));
        for other in ["https://git.example", "https://git.example/teams", "https://git.example/x/team"] {
            assert!(!team.holds(&place(other)), "{other}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_place() {
        for bad in [
            "",
            "git.example",
            "ssh://git.example",
            "HTTPS://git.example",
            "https://",
            "https:///x",
            "https://Git.example",
            "https://gıt.example",
            "https://git.example.",
            "https://.git.example",
            "https://git..example",
            "https://git.example:",
            "https://git.example:0443",
            "https://git.example:0",
            "https://git.example:65536",
            "https://git.example:443:443",
            "https://user@git.example",
            "https://git.example@evil.example",
            "https://git.example:x@evil.example",
            "https://git.example\\@evil.example",
            "https://git.example\t",
            "https://git.example\n.evil",
            "https://git%2eexample",
            "https://git.example?x",
            "https://git.example#x",
            "https://[::1",
            "https://[0:0::1]",
            "https://[::1%25eth0]",
            "https://git.example/a/../b",
            "https://git.example/a/./b",
            "https://git.example//a",
            "https://git.example/a//",
            "https://git.example/%2e%2e/b",
            "https://git.example/a\\b",
            "https://git.example/a?b",
            "https://git.example/a;b",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad:?}");
        }
        assert!(format!("https://{}", "a".repeat(HOST_LEN_MAX + 1)).parse::<Place>().is_err());
    }

    #[test]
    fn a_name_without_a_scheme_is_the_place_of_its_host_and_port() {
        let registry = place("https://registry.example:5000");
        assert!(registry.is_named("registry.example:5000"));
        for other in
            ["registry.example", "registry.example:443", "Registry.example:5000", "x@registry.example:5000"]
        {
            assert!(!registry.is_named(other), "{other}");
        }
        assert!(place("https://registry.example").is_named("registry.example:443"));
        assert!(place("http://[::1]:80").is_named("[::1]:80"));
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        assert!(place("http://git.example").is_open_to_all());
        for near in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:9", "https://git.example"] {
            assert!(!place(near).is_open_to_all(), "{near}");
        }
    }

    #[test]
    fn it_reads_back_as_it_is_shown() {
        for text in ["https://git.example", "http://localhost:8080/a/b", "https://[::1]:8443"] {
            assert_eq!(place(text).to_string(), text);
        }
        assert_eq!(place("https://git.example:443/a/").to_string(), "https://git.example/a");
    }
}
