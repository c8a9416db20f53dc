//! Redirect URIs: what may be registered, and what matches it (RFC 8252; RFC 9700, section 2.1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// A redirect URI at most, in bytes: what browsers and proxies pass on without trouble.
pub const REDIRECT_URI_LEN_MAX: usize = 2_000;

/// The loopback literals, as they stand at the start of a redirect URI (RFC 8252, section 7.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Why a redirect URI cannot be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRedirect {
    /// Not an absolute URI of the characters RFC 3986 has, or too long.
    #[error("it is not an absolute URI")]
    Malformed,
    /// It has a fragment (RFC 6749, section 3.1.2).
    #[error("it has a fragment")]
    Fragment,
    /// It has a user name or password.
    #[error("it has a user name or password")]
    Userinfo,
    /// `http` to anything but a loopback literal.
    #[error("plain `http` is for `http://127.0.0.1` and `http://[::1]` alone")]
    PlainHttp,
    /// `http://localhost` (RFC 8252, section 8.3): the name may lead elsewhere, and listeners differ on it.
    #[error("`localhost` is a name and may lead elsewhere")]
    Localhost,
    /// A private scheme that nobody's domain stands behind (RFC 8252, section 7.1).
    #[error("a private scheme must be a domain name in reverse, such as `com.example.app`")]
    Scheme,
}

impl BadRedirect {
    /// What would be accepted in its place.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            BadRedirect::Localhost | BadRedirect::PlainHttp => {
                Some("register `http://127.0.0.1/PATH` and `http://[::1]/PATH`; any port then matches")
            }
            BadRedirect::Scheme => Some("use https, a loopback literal, or a scheme with a dot in it"),
            _ => None,
        }
    }
}

/// A redirect URI as registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Reads a URI for registration. The text is kept as it is: matching is by the byte.
    pub fn parse(text: &str) -> Result<Self, BadRedirect> {
        if text.is_empty() || text.len() > REDIRECT_URI_LEN_MAX || !text.bytes().all(is_uri_byte) {
            return Err(BadRedirect::Malformed);
        }
        let url = Url::parse(text).map_err(|_| BadRedirect::Malformed)?;
        if text.contains('#') {
            return Err(BadRedirect::Fragment);
        }
        let authority =
            text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(""));
        if authority.contains('@') {
            return Err(BadRedirect::Userinfo);
        }
        match url.scheme() {
            // The URL type would read `https:example` as `https://example`; a browser elsewhere might not.
            // Nor is a star in the host a wildcard here, so nobody may think it is.
            "https" if text.starts_with("https://") && !authority.is_empty() && !authority.contains('*') => {}
            "https" => return Err(BadRedirect::Malformed),
            "http" if split_loopback(text).is_some() => {}
            "http" if url.host_str().is_some_and(is_localhost) => return Err(BadRedirect::Localhost),
            "http" => return Err(BadRedirect::PlainHttp),
            scheme if !scheme.contains('.') => return Err(BadRedirect::Scheme),
            scheme if !text.starts_with(scheme) => return Err(BadRedirect::Malformed),
            _ => {}
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether it leads to this machine's loopback interface.
    pub fn is_loopback(&self) -> bool {
        split_loopback(&self.0).is_some()
    }

    /// Whether `presented` is this URI: byte for byte, but for the port of a loopback literal (RFC 8252,
    /// section 7.3). The address family must be the one registered.
    pub fn matches(&self, presented: &str) -> bool {
        if presented == self.0 {
            return true;
        }
        match (split_loopback(&self.0), split_loopback(presented)) {
            (Some(own), Some(theirs)) => presented.len() <= REDIRECT_URI_LEN_MAX && own == theirs,
            _ => false,
        }
    }
}

/// A loopback URI as its host and what follows the port. By text and not by a URL parser, so that nothing is
/// made equal that was not written equal.
fn split_loopback(text: &str) -> Option<(&'static str, &str)> {
    let host = LOOPBACK.into_iter().find(|host| text.starts_with(host))?;
    let mut rest = &text[host.len()..];
    if let Some(after) = rest.strip_prefix(':') {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end].parse::<u16>().ok().filter(|port| *port != 0)?;
        rest = &after[end..];
    }
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// The characters of RFC 3986: unreserved, reserved and `%`.
fn is_uri_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b)
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn registered(text: &str) -> RedirectUri {
        RedirectUri::parse(text).unwrap()
    }

    #[test]
    fn https_loopback_literals_and_reverse_domain_schemes_may_be_registered() {
        for good in [
            "https://app.example/cb",
            "https://app.example:8443/cb?x=1&y=%20",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:8080/cb",
            "http://127.0.0.1",
            "http://[::1]/cb",
            "http://[::1]:1/",
            "com.example.app:/cb",
            "com.example.app://cb",
        ] {
            assert_eq!(registered(good).text(), good);
        }
        assert!(
            registered("http://[::1]/cb").is_loopback() && !registered("https://a.example").is_loopback()
        );
    }

    #[test]
    fn nothing_else_may_and_the_reason_is_told() {
        for (bad, reason) in [
            ("", BadRedirect::Malformed),
            ("/cb", BadRedirect::Malformed),
            ("https:app.example/cb", BadRedirect::Malformed),
            ("https:///cb", BadRedirect::Malformed),
            ("HTTPS://app.example/cb", BadRedirect::Malformed),
            ("https://*.example/cb", BadRedirect::Malformed),
            ("https://app.example/c b", BadRedirect::Malformed),
            ("https://app.example\\@evil.example", BadRedirect::Malformed),
            ("https://app.example/cb\n", BadRedirect::Malformed),
            ("https://é.example/cb", BadRedirect::Malformed),
            ("https://app.example/<script>", BadRedirect::Malformed),
            ("https://app.example/cb#x", BadRedirect::Fragment),
            ("https://app.example/cb#", BadRedirect::Fragment),
            ("com.example.app:/cb#x", BadRedirect::Fragment),
            ("https://user@app.example/cb", BadRedirect::Userinfo),
            ("https://user:pw@app.example/cb", BadRedirect::Userinfo),
            ("https://@app.example/cb", BadRedirect::Userinfo),
            ("http://127.0.0.1@evil.example/cb", BadRedirect::Userinfo),
            ("http://app.example/cb", BadRedirect::PlainHttp),
            ("http://127.0.0.2/cb", BadRedirect::PlainHttp),
            ("http://127.1/cb", BadRedirect::PlainHttp),
            ("http://0x7f.0.0.1/cb", BadRedirect::PlainHttp),
            ("http://[0:0:0:0:0:0:0:1]/cb", BadRedirect::PlainHttp),
            ("http://127.0.0.1.evil.example/cb", BadRedirect::PlainHttp),
            ("http://0.0.0.0/cb", BadRedirect::PlainHttp),
            ("http://127.0.0.1:0/cb", BadRedirect::PlainHttp),
            ("http://localhost/cb", BadRedirect::Localhost),
            ("http://LOCALHOST:8080/cb", BadRedirect::Localhost),
            ("http://app.localhost/cb", BadRedirect::Localhost),
            ("myapp://cb", BadRedirect::Scheme),
            ("javascript:alert(1)", BadRedirect::Scheme),
            ("data:text/html,x", BadRedirect::Scheme),
            ("file:///etc/passwd", BadRedirect::Scheme),
            ("urn:ietf:wg:oauth:2.0:oob", BadRedirect::Scheme),
            ("Com.Example.App:/cb", BadRedirect::Malformed),
        ] {
            assert_eq!(RedirectUri::parse(bad), Err(reason), "{bad}");
        }
        assert!(BadRedirect::Localhost.hint().unwrap().contains("127.0.0.1"));
        let long = format!("https://a.example/{}", "a".repeat(REDIRECT_URI_LEN_MAX));
        assert_eq!(RedirectUri::parse(&long), Err(BadRedirect::Malformed));
    }

    #[test]
    fn a_match_is_by_the_byte() {
        let own = registered("https://app.example/cb");
        assert!(own.matches("https://app.example/cb"));
        for other in [
            "https://app.example/cb/",
            "https://app.example/cb?",
            "https://app.example/cb?x=1",
            "https://app.example/cb#",
            "https://app.example/CB",
            "https://APP.example/cb",
            "https://app.example:443/cb",
            "https://app.example/./cb",
            "https://app.example/%63b",
            "https://app.example/cb ",
            "https://app.example/c",
            "https://app.example.evil.example/cb",
            "http://app.example/cb",
            "",
        ] {
            assert!(!own.matches(other), "{other}");
        }
        assert!(!registered("com.example.app:/cb").matches("com.example.app:/cb/x"));
    }

    #[test]
    fn the_port_of_a_loopback_literal_and_nothing_else_may_vary() {
        for (own, host, other) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1", "http://[::1]"),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1", "http://[::1]"),
            ("http://[::1]/cb", "http://[::1]", "http://127.0.0.1"),
        ] {
            let own = registered(own);
            for port in ["", ":1", ":9", ":80", ":65535", ":49152"] {
                assert!(own.matches(&format!("{host}{port}/cb")), "{port}");
            }
            for rest in [
                ":0/cb",
                ":65536/cb",
                ":/cb",
                ":1",
                ":1/",
                ":1/cb/",
                ":1/cb?x",
                ":1/cb#",
                ":1x/cb",
                ":-1/cb",
                ":1@evil.example/cb",
                ".evil.example/cb",
                "@evil.example/cb",
                ":1\\@evil.example/cb",
                "0/cb",
            ] {
                assert!(!own.matches(&format!("{host}{rest}")), "{rest}");
            }
            for theirs in
                [format!("{other}:1/cb"), "http://localhost:1/cb".into(), "https://127.0.0.1:1/cb".into()]
            {
                assert!(!own.matches(&theirs), "{theirs}");
            }
        }
        // Without a path there is none to match; an empty one is not `/`.
        assert!(registered("http://127.0.0.1").matches("http://127.0.0.1:5"));
        assert!(!registered("http://127.0.0.1").matches("http://127.0.0.1:5/"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", other in ".*") {
            let _ = RedirectUri::parse(&text);
            let _ = registered("http://[::1]/cb").matches(&text);
            let _ = RedirectUri::parse(&format!("http://127.0.0.1:{text}{other}"));
        }

        /// A second opinion: what matches leads, for a URL parser too, to the same scheme, host, path and query.
        #[test]
        fn what_matches_leads_to_the_same_place(rest in "[:/@.?#0-9a-z\\\\\\[\\]]{0,20}") {
            let own = registered("http://127.0.0.1/cb");
            let presented = format!("http://127.0.0.1{rest}/cb");
            if own.matches(&presented) {
                let (a, b) = (Url::parse(own.text()).unwrap(), Url::parse(&presented).unwrap());
                prop_assert_eq!((a.scheme(), a.host(), a.path(), a.query()), (b.scheme(), b.host(), b.path(), b.query()));
                prop_assert!(b.username().is_empty());
            }
        }
    }
}
