//! What a caller is told, and what only we know.
//!
//! `told` is a fixed sentence, so that nothing of the request or the store can ride out in it; `because` is for
//! the trace, and holds ids and rules, never a secret, a body or an address.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hallpass_model::principal::Handle;
use hallpass_model::rung::Rungs;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::errors::{ErrorCode, OAuthErrorBody};
use hallpass_model::wire::oauth::BadForm;
use hallpass_model::wire::registration::BadRegistration;
use hallpass_store::StoreError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The header that carries a nonce for the next proof (RFC 9449, section 8).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// An OAuth error: what the caller is told, and what only we know.
pub(crate) struct OAuthError {
    code: ErrorCode,
    status: StatusCode,
    told: Told,
    /// Which rule refused, where the caller may know it.
    rule: Option<&'static str>,
    because: Option<Box<dyn Error + Send + Sync>>,
    /// Challenges, a nonce, when to try again. Boxed, as most errors have none.
    headers: Option<Box<HeaderMap>>,
}

enum Told {
    Sentence(&'static str),
    Missing(&'static str),
    Rungs(Rungs),
    Suspended { since: Timestamp, org: Handle },
    StepUp(Demand),
    Registration(BadRegistration),
}

impl OAuthError {
    /// An error with this code, its usual status, and this sentence.
    pub(crate) fn new(code: ErrorCode, told: &'static str) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { code, status, told: Told::Sentence(told), rule: None, because: None, headers: None }
    }

    /// The key of this sign-in rests where its org allows none to.
    pub(crate) fn rung(allowed: Rungs) -> Self {
        Self { told: Told::Rungs(allowed), ..Self::new(ErrorCode::RungNotAllowed, "") }
    }

    /// Whoever answered for the client that asks left, and nobody has taken it over. To whom to turn is a role, not a name.
    ///
    /// SECURITY: for who proved to be that client, and for nobody else.
    pub(crate) fn suspended(since: Timestamp, org: &Handle) -> Self {
        let told = Told::Suspended { since, org: org.clone() };
        Self { told, ..Self::new(ErrorCode::UnauthorizedClient, "") }
    }

    /// The person must prove who they are more strongly, or more lately (RFC 9470). The RFC's challenge is a resource's; a
    /// grant is refused in the same words, with the status that the token endpoint's errors have.
    pub(crate) fn step_up(demand: Demand) -> Self {
        Self { told: Told::StepUp(demand), ..Self::new(ErrorCode::InsufficientUserAuthentication, "") }
            .status(StatusCode::BAD_REQUEST)
    }

    /// What a client that registers says of itself cannot be taken (RFC 7591, section 3.2.2).
    pub(crate) fn registration(bad: BadRegistration) -> Self {
        let code = match bad {
            BadRegistration::Redirect(_) | BadRegistration::ManyRedirects | BadRegistration::NoRedirect => {
                ErrorCode::InvalidRedirectUri
            }
            BadRegistration::Statement => ErrorCode::UnapprovedSoftwareStatement,
            _ => ErrorCode::InvalidClientMetadata,
        };
        Self { told: Told::Registration(bad), ..Self::new(code, "") }
    }

    /// The request itself is wrong.
    pub(crate) fn invalid_request(told: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, told)
    }

    /// What was presented is wrong, over, or somebody else's.
    pub(crate) fn invalid_grant(told: &'static str) -> Self {
        Self::new(ErrorCode::InvalidGrant, told)
    }

    /// The client is unknown or did not prove who it is: one sentence for every reason.
    pub(crate) fn invalid_client() -> Self {
        Self::new(
            ErrorCode::InvalidClient,
            "the client is not known here, or did not prove who it is; a public client sends client_id, others a client_assertion, or a secret that is still good",
        )
    }

    /// Something broke here.
    pub(crate) fn server_error() -> Self {
        Self::new(ErrorCode::ServerError, "something broke here; it was written down")
    }

    /// Too much at once.
    pub(crate) fn busy() -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, "busy; try again in a moment")
            .after(Duration::from_secs(1))
    }

    /// One network asks too often.
    pub(crate) fn too_many(wait: Duration) -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, "too many requests from one network; try again later")
            .status(StatusCode::TOO_MANY_REQUESTS)
            .after(wait)
    }

    /// No such place: an unknown org, path, or one that is out of use.
    pub(crate) fn not_found() -> Self {
        Self::invalid_request("there is nothing at this address").status(StatusCode::NOT_FOUND)
    }

    /// What only we may know: a rule, an id, another error.
    pub(crate) fn because(mut self, because: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.because = Some(because.into());
        self
    }

    /// Its code as one of the words of ours: none that somebody else made up.
    pub(crate) fn code_word(&self) -> &'static str {
        self.code.word()
    }

    /// With the rule that refused, for a caller that may know it.
    pub(crate) fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// With another status than the code's own.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.get_or_insert_default().append(name, value);
        }
        self
    }

    /// With a time to wait, rounded up to whole seconds.
    pub(crate) fn after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// As a resource answers (RFC 6750, section 3; RFC 9449, section 7.1): with the schemes that are accepted,
    /// and the error if the caller tried at all.
    pub(crate) fn challenge(self, realm: &str, tried: bool) -> Self {
        let error = match tried {
            true => {
                // What would be enough (RFC 9470, section 3).
                let demand = match &self.told {
                    Told::StepUp(demand) => format!(", {demand}"),
                    _ => String::new(),
                };
                format!(", error=\"{}\", error_description=\"{}\"{demand}", self.code, self.told_text())
            }
            false => String::new(),
        };
        self.header(WWW_AUTHENTICATE, format!("Bearer realm=\"{realm}\"{error}"))
            .header(WWW_AUTHENTICATE, format!("DPoP realm=\"{realm}\", algs=\"ES256 EdDSA\"{error}"))
    }

    /// The code.
    pub(crate) fn code(&self) -> &ErrorCode {
        &self.code
    }

    /// The status.
    pub(crate) fn http_status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub(crate) fn told_text(&self) -> String {
        match &self.told {
            Told::Sentence(sentence) => (*sentence).to_owned(),
            Told::Suspended { since, org } => format!(
                "this client is suspended since {since}, as whoever answered for it left; the administrators of {org} have somebody take it over"
            ),
            Told::StepUp(demand) => {
                let strongly = if demand.acr.is_some() { " with a passkey" } else { "" };
                let lately = demand.max_age.map(|most| format!(", at most {most} ago")).unwrap_or_default();
                format!("the person must have proved who they are{strongly}{lately}: log in once more")
            }
            Told::Rungs(allowed) => format!(
                "the rule `rung` refused it: here the key of a sign-in may rest in {} alone; log in again so that it does",
                allowed.to_string().replace(' ', ", ")
            ),
            Told::Registration(bad) => bad.to_string(),
            Told::Missing(name) => format!("the parameter {name} is missing"),
        }
    }

    /// Writes it down once, where it is handled.
    pub(crate) fn trace(&self) {
        let (code, told) = (self.code.text(), self.told_text());
        match &self.because {
            Some(because) if self.status.is_server_error() => {
                tracing::error!(error.code = code, because = %Chain(&**because), "failed: {told}");
            }
            Some(because) => {
                tracing::info!(error.code = code, because = %Chain(&**because), "refused: {told}")
            }
            None => tracing::debug!(error.code = code, "refused: {told}"),
        }
    }
}

impl fmt::Debug for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthError({}, {}, {:?})", self.code, self.told_text(), self.because)
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        self.trace();
        let body = OAuthErrorBody {
            rule: self.rule.map(str::to_owned),
            ..OAuthErrorBody::new(self.code.clone(), &self.told_text())
        };
        let mut response = json(self.status, &body);
        if let Some(headers) = self.headers {
            response.headers_mut().extend(*headers);
        }
        response.extensions_mut().insert(ToldInJson(body.error_description.unwrap_or_default()));
        response
    }
}

/// Rides with an error's answer, so that a browser can be told the same sentence as a page.
#[derive(Clone)]
pub(crate) struct ToldInJson(pub(crate) String);

/// A JSON answer that nobody may keep (RFC 6749, section 5.1).
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("wire types are structs of JSON values");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body).into_response()
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        let answer = match error {
            // These pass, and nothing was lost: the holder asks again.
            StoreError::Busy | StoreError::Full | StoreError::ReadOnly | StoreError::Closed => Self::busy(),
            _ => Self::server_error(),
        };
        answer.because(error)
    }
}

impl From<BadForm> for OAuthError {
    fn from(bad: BadForm) -> Self {
        let told = match bad {
            BadForm::Missing(name) => {
                return Self { told: Told::Missing(name), ..Self::invalid_request("") };
            }
            BadForm::Repeated(_) => "a parameter is given more than once",
            BadForm::Malformed => {
                "the parameters are not well-formed application/x-www-form-urlencoded UTF-8"
            }
            BadForm::TooMany => "there are more parameters than any request has",
            BadForm::TooLong => {
                return Self::invalid_request("the request is longer than any this endpoint takes")
                    .status(StatusCode::PAYLOAD_TOO_LARGE);
            }
        };
        Self::invalid_request(told)
    }
}

/// No such method at this path.
pub(crate) fn method_not_allowed() -> OAuthError {
    OAuthError::invalid_request("this address does not take this method")
        .status(StatusCode::METHOD_NOT_ALLOWED)
}

/// An error and what caused it, on one line.
struct Chain<'a>(&'a (dyn Error + Send + Sync));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
