//! Reading a request: whole, bounded in size and time, of the right type, each parameter once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use hallpass_model::id::ClientId;
use hallpass_model::ledger::Actor;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::{BadForm, Form};
use hallpass_store::{RecordRefusal, RefusedSubject};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use zeroize::Zeroizing;

use crate::Issuer;
use crate::error::OAuthError;
use crate::limits;
use crate::listen::RequesterAddress;
use crate::org::OrgIssuer;

/// A request at one org's endpoint, read and not yet believed.
pub(crate) struct Asked {
    /// The issuing service.
    pub(crate) issuer: Issuer,
    /// The org at whose endpoint it came.
    pub(crate) org: Arc<OrgIssuer>,
    /// Where it came from, as far as we can see.
    pub(crate) address: Option<IpAddr>,
    /// Its method.
    pub(crate) method: Method,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its parameters: the body's for POST, the query's for GET.
    pub(crate) form: Form,
    /// When it came. The clock is read once an operation.
    pub(crate) now: Timestamp,
}

impl FromRequest<Issuer> for Asked {
    type Rejection = OAuthError;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, OAuthError> {
        let whole = Whole::read(request, issuer).await?;
        let form = Form::parse(&whole.parameters)?;
        Ok(whole.asked(issuer, form))
    }
}

/// A request at the authorization endpoint, where even a malformed one is answered at the client if that much can
/// be read (RFC 6749, section 4.1.2.1).
pub(crate) struct AskedToAuthorize {
    /// The request; where there is a flaw, with `client_id`, `redirect_uri` and `state` alone.
    pub(crate) asked: Asked,
    /// What is wrong with the parameters as a whole.
    pub(crate) flaw: Option<BadForm>,
}

impl FromRequest<Issuer> for AskedToAuthorize {
    type Rejection = OAuthError;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, OAuthError> {
        let whole = Whole::read(request, issuer).await?;
        let (form, flaw) = match Form::parse(&whole.parameters) {
            Ok(form) => (form, None),
            Err(flaw) => (Form::parse(&only_the_way_back(&whole.parameters))?, Some(flaw)),
        };
        Ok(Self { asked: whole.asked(issuer, form), flaw })
    }
}

/// The parameters that say where an answer goes, as they were written.
fn only_the_way_back(parameters: &[u8]) -> Vec<u8> {
    let names: [&[u8]; 3] = [b"client_id=", b"redirect_uri=", b"state="];
    let pairs = parameters.split(|byte| *byte == b'&');
    let kept: Vec<&[u8]> = pairs.filter(|pair| names.iter().any(|name| pair.starts_with(name))).collect();
    kept.join(&b'&')
}

/// A request, read whole, its parameters not yet parsed.
struct Whole {
    org: Arc<OrgIssuer>,
    parts: Parts,
    /// The body's for POST, the query's for GET.
    parameters: Zeroizing<Vec<u8>>,
}

impl Whole {
    async fn read(request: Request, issuer: &Issuer) -> Result<Self, OAuthError> {
        let (mut parts, body) = request.into_parts();
        let org = at_org(&mut parts, issuer).await?;
        let query = parts.uri.query().unwrap_or_default();
        let parameters = if parts.method == Method::POST {
            // SECURITY: what is in a query ends up in logs and histories (RFC 6749, section 2.3.1; RFC 6750, 5.3).
            if !query.is_empty() {
                return Err(OAuthError::invalid_request("parameters belong in the body, never in the query"));
            }
            posted_bytes(&parts.headers, body).await?
        } else {
            Zeroizing::new(query.as_bytes().to_vec())
        };
        Ok(Self { org, parts, parameters })
    }

    fn asked(self, issuer: &Issuer, form: Form) -> Asked {
        Asked {
            issuer: issuer.clone(),
            org: self.org,
            address: self.parts.extensions.get::<RequesterAddress>().map(|address| address.0),
            method: self.parts.method,
            headers: self.parts.headers,
            form,
            now: issuer.clock.now(),
        }
    }
}

impl Asked {
    /// Refuses whoever was refused too often lately.
    pub(crate) fn slow_down(&self) -> Result<(), OAuthError> {
        match self.issuer.limits.refusals.wait(self.address, Instant::now()) {
            Some(wait) => Err(OAuthError::too_many(wait)),
            None => Ok(()),
        }
    }

    /// Counts a refusal against the network it goes to, unless it is one of those that honest clients meet.
    pub(crate) fn refuse(&self, error: OAuthError) -> OAuthError {
        use hallpass_model::wire::errors::ErrorCode as Code;
        let honest = matches!(error.code(), Code::UseDpopNonce | Code::AuthorizationPending | Code::SlowDown);
        if !honest && error.http_status().is_client_error() {
            // Over already: the next request hears of it.
            let _ = self.issuer.limits.refusals.spend(self.address, Instant::now());
        }
        error
    }

    /// Records a refusal about a client of this org: once a minute for each rule, however often.
    pub(crate) async fn record_refusal(
        &self,
        client: ClientId,
        rule: &'static str,
    ) -> Result<(), OAuthError> {
        let subject = RefusedSubject { client: Some(client), ..RefusedSubject::org(self.org.id()) };
        self.record_refusal_of(subject, rule).await
    }

    /// The same, about whomever a token names that we have verified.
    pub(crate) async fn record_refusal_of(
        &self,
        subject: RefusedSubject,
        rule: &'static str,
    ) -> Result<(), OAuthError> {
        Ok(self.issuer.store.change(Actor::Nobody, self.now, RecordRefusal { subject, rule }).await?)
    }

    /// Records what is refused for a reason that stands in the client's registration or the directory: a scope, a
    /// resource. What is merely malformed says nothing of anybody.
    pub(crate) async fn record_beyond(&self, client: ClientId, error: OAuthError) -> OAuthError {
        use hallpass_model::wire::errors::ErrorCode as Code;
        let rule = match error.code() {
            Code::InvalidScope => "scope",
            Code::InvalidTarget => "resource",
            _ => return error,
        };
        match self.record_refusal(client, rule).await {
            Ok(()) => error,
            Err(failed) => failed,
        }
    }

    /// Counts something that the store will keep for whoever asks.
    pub(crate) fn count_write(&self) -> Result<(), OAuthError> {
        let spent = self.issuer.limits.writes.spend(self.address, Instant::now());
        spent.map_err(OAuthError::too_many)
    }

    /// Where it came from, for the erasable side of the record.
    pub(crate) fn address_text(&self) -> Option<String> {
        self.address.map(|address| address.to_string())
    }

    /// A short hash of the network it came from, to see whether two requests came from one.
    pub(crate) fn network_hash(&self) -> Option<u32> {
        let network = limits::network_of(self.address?);
        let hash = digest(&SHA256, network.to_string().as_bytes());
        Some(u32::from_be_bytes(hash.as_ref()[..4].try_into().expect("SHA-256 gives 32 bytes")))
    }
}

/// A request at one org's endpoint without a body, and what else its path names.
pub(crate) struct AskedAt {
    /// The request.
    pub(crate) asked: Asked,
    /// What else the path names, by its name there.
    pub(crate) path: HashMap<String, String>,
}

impl FromRequest<Issuer> for AskedAt {
    type Rejection = OAuthError;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, OAuthError> {
        let (mut parts, _) = request.into_parts();
        let org = at_org(&mut parts, issuer).await?;
        let path = path(&mut parts, issuer).await?;
        let whole = Whole { org, parts, parameters: Zeroizing::default() };
        Ok(Self { asked: whole.asked(issuer, Form::parse(b"")?), path })
    }
}

/// A request at one org's endpoint whose body is JSON, read and not yet believed.
pub(crate) struct AskedInJson {
    /// All of it but the body.
    pub(crate) asked: Asked,
    /// The body, as it came.
    pub(crate) body: Bytes,
    /// What else the path names, by its name there.
    pub(crate) path: HashMap<String, String>,
}

impl FromRequest<Issuer> for AskedInJson {
    type Rejection = OAuthError;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, OAuthError> {
        let (mut parts, body) = request.into_parts();
        let org = at_org(&mut parts, issuer).await?;
        let path = path(&mut parts, issuer).await?;
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(OAuthError::invalid_request("all is said in the body, nothing in the query"));
        }
        // A web page can make a browser post a form, but not JSON, to wherever it can reach.
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(OAuthError::invalid_request("the body must be application/json")
                .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = whole(body, JSON_MAX).await?;
        let whole = Whole { org, parts, parameters: Zeroizing::default() };
        Ok(Self { asked: whole.asked(issuer, Form::parse(b"")?), body, path })
    }
}

/// What a path names, by its name there.
async fn path(parts: &mut Parts, issuer: &Issuer) -> Result<HashMap<String, String>, OAuthError> {
    let path = Path::<HashMap<String, String>>::from_request_parts(parts, issuer).await;
    let Path(path) = path.map_err(|_| OAuthError::not_found())?;
    Ok(path)
}

/// A body of JSON, at most: a form with a JWK set in it.
const JSON_MAX: usize = 256 * 1024;

/// The org a path names, in use.
pub(crate) async fn at_org(parts: &mut Parts, issuer: &Issuer) -> Result<Arc<OrgIssuer>, OAuthError> {
    let Path(path) =
        Path::<OrgPath>::from_request_parts(parts, issuer).await.map_err(|_| OAuthError::not_found())?;
    issuer.org(&path.org).await?.ok_or_else(OAuthError::not_found)
}

#[derive(serde::Deserialize)]
struct OrgPath {
    org: String,
}

/// Reads a posted form.
pub(crate) async fn posted(headers: &HeaderMap, body: Body) -> Result<Form, OAuthError> {
    Ok(Form::parse(&posted_bytes(headers, body).await?)?)
}

async fn posted_bytes(headers: &HeaderMap, body: Body) -> Result<Zeroizing<Vec<u8>>, OAuthError> {
    let content_type = headers.get(CONTENT_TYPE);
    let is_form = content_type.is_some_and(|value| value.to_str().is_ok_and(Form::is_content_type));
    if content_type.is_some() && !is_form {
        return Err(no_form());
    }
    let body = Zeroizing::new(whole(body, limits::BODY_MAX).await?.to_vec());
    // What says all in its headers has no body, and so no type of one: `userinfo` (OIDC Core, section 5.3.1).
    if is_form || body.is_empty() { Ok(body) } else { Err(no_form()) }
}

/// A body, of so many bytes at most, that came in time.
async fn whole(body: Body, most: usize) -> Result<Bytes, OAuthError> {
    let whole = Limited::new(body, most).collect();
    match tokio::time::timeout(limits::BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadForm::TooLong.into()),
        Ok(Err(error)) => {
            Err(OAuthError::invalid_request("the body ended before it was whole").because(error))
        }
        Err(_) => Err(OAuthError::invalid_request("the body took too long to come")
            .status(StatusCode::REQUEST_TIMEOUT)
            .header(CONNECTION, "close")),
    }
}

fn no_form() -> OAuthError {
    OAuthError::invalid_request("the body must be application/x-www-form-urlencoded")
        .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}
