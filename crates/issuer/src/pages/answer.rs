//! A page as an HTTP answer: the headers every page carries.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

/// What pages may do: load our own stylesheet, script and mark, and post forms here. Nothing inline, no frames either way.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Headers of every page, but for the content security policy.
const EVERY_PAGE: [(HeaderName, HeaderValue); 8] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // Nothing to other sites, as `no-referrer`; but with that one browsers write `Origin: null` on our own forms, and
    // then it could not be checked (Fetch, section 3.2.6).
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), microphone=(), geolocation=(), \
             payment=(), usb=()",
        ),
    ),
];

/// Answers with a page.
pub(crate) fn page(status: StatusCode, page: &impl Template) -> Response {
    page_with_policy(status, page, HeaderValue::from_static(POLICY))
}

/// Answers with a page whose forms may lead on to `elsewhere`.
///
/// Chromium holds `form-action` against redirects, too, so the page whose answer goes back to a program on this computer
/// must name it. Neither an IPv6 literal (CSP, section 2.3.1 has no production for it) nor an app's private scheme, whose
/// origin is opaque, can be named by its origin: there the scheme stands for it.
pub(crate) fn page_leading_to(page: &impl Template, elsewhere: &url::Url) -> Response {
    let source = match (elsewhere.scheme(), elsewhere.host()) {
        ("http" | "https", Some(url::Host::Domain(_) | url::Host::Ipv4(_))) => {
            elsewhere.origin().ascii_serialization()
        }
        (scheme, _) => format!("{scheme}:"),
    };
    let policy = format!("{POLICY} {source}");
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(POLICY));
    page_with_policy(StatusCode::OK, page, policy)
}

fn page_with_policy(status: StatusCode, page: &impl Template, policy: HeaderValue) -> Response {
    let Ok(html) = page.render() else {
        tracing::error!("a page could not be rendered");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut headers = HeaderMap::from_iter(EVERY_PAGE);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    (status, headers, html).into_response()
}
