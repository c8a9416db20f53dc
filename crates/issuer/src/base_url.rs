//! Where the server is reached from outside; every issuer's URL begins with it.

use hallpass_model::principal::Handle;
use url::{Host, Url};

/// `https://host[:port]`, or `http://localhost:port` on loopback. No path: an org's name is the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a URL cannot be the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBaseUrl {
    /// Not a URL.
    #[error("it is not a URL")]
    Malformed,
    /// Plain HTTP to another machine.
    #[error("it must be https, or http://localhost for this machine alone")]
    PlainHttp,
    /// A passkey belongs to a domain name.
    #[error("it must have a domain name: passkeys cannot belong to an IP address")]
    IpAddress,
    /// A path, query, fragment or user name.
    #[error("it must end after the host and port")]
    More,
}

impl BaseUrl {
    /// Its origin, without a slash at the end.
    pub fn origin(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The host: the passkeys' relying party id.
    pub fn host(&self) -> &str {
        self.0.host_str().expect("a base URL has a domain name")
    }

    /// As a URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is reached over TLS, so that cookies may say `Secure`.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The issuer of an org.
    pub fn issuer(&self, org: &Handle) -> String {
        format!("{}/{org}", self.origin())
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = BadBaseUrl;
    fn from_str(text: &str) -> Result<Self, BadBaseUrl> {
        let url = Url::parse(text).map_err(|_| BadBaseUrl::Malformed)?;
        let more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err(BadBaseUrl::More);
        }
        match (url.scheme(), url.host()) {
            ("https" | "http", Some(Host::Ipv4(_) | Host::Ipv6(_))) => Err(BadBaseUrl::IpAddress),
            ("https", Some(Host::Domain(_))) => Ok(Self(url)),
            ("http", Some(Host::Domain("localhost"))) => Ok(Self(url)),
            ("http", _) => Err(BadBaseUrl::PlainHttp),
            _ => Err(BadBaseUrl::Malformed),
        }
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_https_or_localhost_and_nothing_more() {
        let parse = |text: &str| text.parse::<BaseUrl>();
        assert_eq!(parse("http://localhost:8420").unwrap().origin(), "http://localhost:8420");
        let base = parse("https://id.example.com/").unwrap();
        assert_eq!(base.issuer(&"acme".parse().unwrap()), "https://id.example.com/acme");
        for (text, why) in [
            ("http://127.0.0.1:8420", BadBaseUrl::IpAddress),
            ("https://[::1]", BadBaseUrl::IpAddress),
            ("http://id.example.com", BadBaseUrl::PlainHttp),
            ("https://id.example.com/base", BadBaseUrl::More),
            ("https://id.example.com/?a", BadBaseUrl::More),
            ("https://ada@id.example.com", BadBaseUrl::More),
            ("ftp://id.example.com", BadBaseUrl::Malformed),
            ("id.example.com", BadBaseUrl::Malformed),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }
}
