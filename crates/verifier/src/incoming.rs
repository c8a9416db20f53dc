//! A request, as far as a token is judged by it: the `Authorization` header and nowhere else (RFC 6750, section 2.1;
//! RFC 9449, section 7.1). A token in a query string ends up in logs, so it is not looked for there.

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, Uri};

use crate::Rejection;

/// What is looked at of a request.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Incoming<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target. Of it only the path counts; where it was sent is what [`Dpop::at`](crate::Dpop::at) says.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Incoming<'a> {
    /// From its parts.
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { method, uri, headers }
    }
}

impl<'a, B> From<&'a Request<B>> for Incoming<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self::new(request.method(), request.uri(), request.headers())
    }
}

/// The scheme a token came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has it may use it (RFC 6750).
    Bearer,
    /// With a proof of the key it is bound to (RFC 9449).
    Dpop,
}

/// The token of a request that has exactly one, and how it came.
pub(crate) fn token(headers: &HeaderMap) -> Result<(Scheme, &str), Rejection> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Err(Rejection::Missing) };
    if all.next().is_some() {
        return Err(Rejection::Malformed("there are two Authorization headers"));
    }
    let text = value.to_str().map_err(|_| Rejection::Malformed("the Authorization header is not ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let scheme = match scheme {
        bearer if bearer.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
        dpop if dpop.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
        _ => return Err(Rejection::Missing),
    };
    match token.trim_start_matches(' ') {
        "" => Err(Rejection::Malformed("the Authorization header has no token")),
        token => Ok((scheme, token)),
    }
}
