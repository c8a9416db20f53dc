//! The token in a request: the `Authorization` header and nowhere else (RFC 6750, section 2.1). A token in a
//! query string ends up in logs, so it is not looked for there.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::Rejection;

/// The bearer token of a request that has exactly one.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Rejection> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Err(Rejection::Missing) };
    if all.next().is_some() {
        return Err(Rejection::Malformed("there are two Authorization headers"));
    }
    let text = value.to_str().map_err(|_| Rejection::Malformed("the Authorization header is not ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("DPoP") {
        return Err(Rejection::Scheme);
    }
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Rejection::Missing);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Rejection::Malformed("the Authorization header has no token")),
        token => Ok(token),
    }
}
