//! The origins that get the token: scheme, host and port, and nothing that was not named.

use hallpass_model::secret::{KeyMaterial, Secret};
use http::Uri;
use http::uri::Authority;
use url::{Host, Url};

use crate::error::HolderError;
use crate::provider::is_loopback;

/// An origin that gets the token.
pub(super) struct Named {
    /// Where requests of the reverse proxy go: the API as it was named, or an origin.
    pub(super) base: Url,
    /// What a path of the reverse proxy begins with, for this origin.
    pub(super) key: Secret<KeyMaterial>,
}

impl Named {
    /// SECURITY: a token never leaves this machine in the clear.
    pub(super) fn new(base: Url) -> Result<Self, HolderError> {
        let fits = (base.scheme() == "https" && base.host().is_some()) || is_loopback(&base);
        if !fits || !base.username().is_empty() || base.password().is_some() {
            let what = format!(
                "the proxy adds the token for https addresses, and on this machine for http ones: `{}` is neither",
                hallpass_model::purpose::plain(base.as_str(), 200)
            );
            return Err(HolderError::Usage { what });
        }
        Ok(Self { base, key: random_key() })
    }

    /// Whether this is the origin's host and port.
    pub(super) fn is(&self, scheme: &str, authority: &Authority) -> bool {
        origin(scheme, authority).is_some_and(|url| url.origin() == self.base.origin())
    }

    /// The name in a certificate: no brackets.
    pub(super) fn host(&self) -> String {
        match self.base.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    /// The address that a path of the reverse proxy means.
    pub(super) fn under_base(&self, rest: &str, query: Option<&str>) -> Option<Url> {
        let base = self.base.path().trim_end_matches('/');
        let mut url = self.base.clone();
        url.set_query(None);
        // SECURITY: what climbs out of the path that was named is resolved first, and then is not under it any more.
        url.set_path(&format!("{base}{rest}"));
        let under = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        url.set_query(query);
        (under && url.origin() == self.base.origin()).then_some(url)
    }

    /// The address of a request that came to the origin itself.
    pub(super) fn at_origin(&self, uri: &Uri) -> Option<Url> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let text = format!("{}{path}", self.base.origin().ascii_serialization());
        text.parse().ok().filter(|url: &Url| url.origin() == self.base.origin())
    }

    /// What a variable's name ends in, for this origin: `API_EXAMPLE`.
    pub(super) fn suffix(&self) -> String {
        let port = self.base.port().map(|port| format!("_{port}")).unwrap_or_default();
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        format!("{}{port}", self.host().chars().map(letter).collect::<String>())
    }
}

/// An origin's address. None where the text is none.
pub(super) fn origin(scheme: &str, authority: &Authority) -> Option<Url> {
    if authority.as_str().contains('@') {
        return None;
    }
    format!("{scheme}://{authority}/").parse().ok()
}

/// Bytes of randomness in what lets somebody in: nobody guesses 256 bits.
const KEY_LEN: usize = 32;

/// What only the command knows.
pub(super) fn random_key() -> Secret<KeyMaterial> {
    use hallpass_model::random::{Entropy, SystemEntropy};
    let mut bytes = zeroize::Zeroizing::new([0u8; KEY_LEN]);
    SystemEntropy.fill(&mut *bytes);
    Secret::from_text(hallpass_model::jose::base64url::render(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str) -> Named {
        Named::new(url.parse().unwrap()).unwrap()
    }

    #[test]
    fn no_token_is_added_where_it_would_be_read_on_its_way() {
        for bad in
            ["http://api.example/", "http://10.0.0.1/", "ftp://api.example/", "https://me:pw@api.example/"]
        {
            assert!(Named::new(bad.parse().unwrap()).is_err(), "{bad}");
        }
        for good in
            ["https://api.example/v1", "http://127.0.0.1:8080/", "http://[::1]:1/", "http://localhost/"]
        {
            named(good);
        }
    }

    #[test]
    fn an_origin_is_its_scheme_host_and_port_and_nothing_else() {
        let api = named("https://API.example/v1");
        let is = |scheme: &str, authority: &str| api.is(scheme, &authority.parse().unwrap());
        assert!(
            is("https", "api.example") && is("https", "api.example:443") && is("https", "API.EXAMPLE:443")
        );
        for (scheme, authority) in [
            ("http", "api.example"),
            ("https", "api.example:8443"),
            ("https", "api.example.evil.example"),
            ("https", "evil-api.example"),
            ("https", "sub.api.example"),
            ("https", "api.example@evil.example"),
        ] {
            assert!(!is(scheme, authority), "{scheme}://{authority}");
        }
    }

    #[test]
    fn a_path_stays_under_what_was_named() {
        let api = named("https://api.example/v1/");
        let url = |rest: &str, query| api.under_base(rest, query).map(String::from);
        assert_eq!(url("/notes", Some("a=b")).as_deref(), Some("https://api.example/v1/notes?a=b"));
        assert_eq!(url("/", None).as_deref(), Some("https://api.example/v1/"));
        assert_eq!(url("//evil.example/x", None).as_deref(), Some("https://api.example/v1//evil.example/x"));
        for out in ["/../v2/secret", "/..", "/%2e%2e/v2", ""] {
            assert_eq!(url(out, None), None, "{out}");
        }
        let root = named("https://notes.example/");
        assert_eq!(root.under_base("/x", None).unwrap().as_str(), "https://notes.example/x");
        assert_eq!(root.suffix(), "NOTES_EXAMPLE");
        assert_eq!(named("http://127.0.0.1:8080/").suffix(), "127_0_0_1_8080");
    }
}
