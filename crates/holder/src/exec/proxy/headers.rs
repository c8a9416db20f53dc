//! What does not pass: headers of one connection, credentials of the command's own, and tokens that come back.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use url::Url;

use super::named::{Named, origin};
use crate::exec::scrub::Words;

/// Headers of one connection, not of a message (RFC 9110, section 7.6.1).
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// Headers that programs put a credential in. To a named host the token is the only one: two would leave it to the API
/// which of them counts.
pub(super) const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "dpop",
    "api-key",
    "apikey",
    "job-token",
    "ocp-apim-subscription-key",
    "private-token",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-functions-key",
    "x-goog-api-key",
    "x-vault-token",
];
/// The query parameter that holds a token (RFC 6750, section 2.3).
const IN_THE_QUERY: &str = "access_token";

/// Takes out what is of one connection, also what its `Connection` header names.
pub(super) fn leave_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // It cannot name away what frames the message.
        .filter(|name| name != header::CONTENT_LENGTH && name != header::HOST)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_THE_CONNECTION {
        headers.remove(*name);
    }
}

/// Takes out the credentials that came with a request.
pub(super) fn leave_credentials(headers: &mut HeaderMap, url: &mut Url) {
    for name in CREDENTIALS {
        headers.remove(*name);
    }
    let Some(query) = url.query() else { return };
    let is_token = |part: &str| {
        let name = part.split('=').next().unwrap_or_default();
        url::form_urlencoded::parse(name.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case(IN_THE_QUERY))
    };
    if query.split('&').any(is_token) {
        let rest: Vec<&str> = query.split('&').filter(|part| !is_token(part)).collect();
        let rest = rest.join("&");
        url.set_query((!rest.is_empty()).then_some(&rest));
    }
}

/// What a connection is to become, where the request wants another protocol. HTTP/2 it does not become.
pub(super) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    let said = headers.get(header::CONNECTION)?.to_str().ok()?;
    let upgrades = said.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    let to_http = wanted.to_str().is_ok_and(|to| to.to_ascii_lowercase().contains("h2c"));
    (upgrades && !to_http).then(|| wanted.clone())
}

/// Whether a request inside a tunnel is for the host that the tunnel goes to.
pub(super) fn host_is<B>(request: &Request<B>, scheme: &str, named: &Named) -> bool {
    let in_header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let in_uri = request.uri().authority().map(http::uri::Authority::as_str);
    [in_header, in_uri].into_iter().flatten().all(|host| {
        let authority = host.parse().ok();
        authority
            .and_then(|authority| origin(scheme, &authority))
            .is_some_and(|url| url.origin() == named.base.origin())
    })
}

/// Takes tokens out of headers.
pub(super) fn scrub(headers: &mut HeaderMap, words: &Words) {
    for value in headers.values_mut() {
        if let Some(clean) = words.taken_out_of(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static("*"));
        }
    }
}

/// Whether a body comes as nobody can look into it: in a content coding, or in a transfer coding that nobody was asked for
/// (RFC 9110, section 8.4; RFC 9112, section 7).
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    [(header::CONTENT_ENCODING, "identity"), (header::TRANSFER_ENCODING, "chunked")].into_iter().any(
        |(name, plain)| {
            headers.get_all(name).iter().any(|value| {
                let value = value.to_str().unwrap_or("?");
                let mut words = value.split(',').map(str::trim);
                words.any(|word| !word.is_empty() && !word.eq_ignore_ascii_case(plain))
            })
        },
    )
}

/// Leads a redirection within the named address back through the reverse proxy.
pub(super) fn lead_back(headers: &mut HeaderMap, named: &Named, here: &str) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let Some(to) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        let Ok(uri) = to.parse::<Uri>() else { continue };
        // What stands as a path alone means the origin's root, where the proxy has the key.
        let absolute = match uri.authority() {
            Some(_) => to.parse::<Url>(),
            None if to.starts_with('/') && !to.starts_with("//") => named.base.join(to),
            None => continue,
        };
        let Ok(url) = absolute else { continue };
        let base = named.base.path().trim_end_matches('/');
        let Some(rest) =
            url.path().strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            continue;
        };
        if url.origin() != named.base.origin() {
            continue;
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let fragment = url.fragment().map(|fragment| format!("#{fragment}")).unwrap_or_default();
        if let Ok(value) = format!("{here}{rest}{query}{fragment}").parse() {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value)));
        lines.collect()
    }

    #[test]
    fn what_belongs_to_a_connection_stays_there() {
        let mut all = headers(&[
            ("connection", "keep-alive, X-Mine, content-length"),
            ("x-mine", "1"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("accept", "a/b"),
        ]);
        leave_connection(&mut all);
        let left: Vec<_> = all.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-length", "accept"]);
    }

    #[test]
    fn a_command_s_own_credentials_do_not_reach_a_named_host() {
        let mut all = headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-api-key", "k"),
            ("accept", "a/b"),
        ]);
        let mut url = "https://api.example/x?a=1&access_token=y&b=%20&Access%5FToken=z".parse().unwrap();
        leave_credentials(&mut all, &mut url);
        assert_eq!(all.len(), 1);
        assert_eq!(url.as_str(), "https://api.example/x?a=1&b=%20");
        let mut url = "https://api.example/x?access_token=y".parse().unwrap();
        leave_credentials(&mut all, &mut url);
        assert_eq!(url.as_str(), "https://api.example/x");
    }

    #[test]
    fn http_2_is_no_upgrade() {
        let wants =
            |to| wanted_upgrade(&headers(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", to)]));
        assert!(wants("websocket").is_some() && wants("h2c").is_none());
        assert!(wanted_upgrade(&headers(&[("upgrade", "websocket")])).is_none());
    }

    #[test]
    fn a_redirection_within_the_api_leads_through_the_proxy() {
        let named = Named::new("https://api.example/v1".parse().unwrap()).unwrap();
        let led = |to: &'static str| {
            let mut all = headers(&[("location", to)]);
            lead_back(&mut all, &named, "http://127.0.0.1:9/key");
            all["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(led("https://api.example/v1/x?y#z"), "http://127.0.0.1:9/key/x?y#z");
        assert_eq!(led("/v1/x"), "http://127.0.0.1:9/key/x");
        for elsewhere in ["https://api.example/v2", "https://other.example/v1/x", "x", "//other.example/v1"] {
            assert_eq!(led(elsewhere), elsewhere);
        }
    }

    #[test]
    fn a_compressed_body_is_seen_to_be_one() {
        assert!(is_encoded(&headers(&[("content-encoding", "gzip")])));
        assert!(is_encoded(&headers(&[("content-encoding", "identity, br")])));
        assert!(is_encoded(&headers(&[("transfer-encoding", "gzip, chunked")])));
        for plain in [("content-encoding", "identity"), ("transfer-encoding", "Chunked"), ("te", "gzip")] {
            assert!(!is_encoded(&headers(&[plain])));
        }
    }
}
