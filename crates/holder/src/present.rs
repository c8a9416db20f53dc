//! Presenting a pass to its API: bound to the sign-in's key, with a proof for each request (RFC 9449, section 7), or as
//! bearer where the API takes nothing else.
//!
//! The key never leaves: what is given out is the proof, good for one request.

use std::fmt;
use std::sync::{Arc, Mutex};

use hallpass_model::lifetimes::{CLOCK_SKEW, DPOP_WINDOW};
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{NONCE_LEN_MAX, Request};
use hallpass_model::wire::oauth::TokenType;
use url::Url;

use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::pass::{Pass, PassRequest};
use crate::refresh::session_key;
use crate::shelf::Identity;
use crate::{Clock, Holder};

/// How a pass is to be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Binding {
    /// With a proof where the sign-in is bound to a key, else as bearer.
    #[default]
    AsSignedIn,
    /// With a proof. A sign-in that is bound to no key cannot.
    Key,
    /// As bearer: for an API that knows no proofs. Whoever gets hold of it can use it.
    Bearer,
}

/// A pass, and what it takes to present it to its API. Cheap to clone: clones share what they learn of the API.
#[derive(Clone)]
pub struct Presentable(Arc<Inner>);

struct Inner {
    pass: Pass,
    key: Option<SessionKey>,
    clock: Clock,
    learned: Mutex<Learned>,
}

/// What the API's answers taught us.
#[derive(Default)]
struct Learned {
    nonce: Option<String>,
    /// Its clock less ours, in milliseconds.
    offset: i64,
}

/// The headers of one request. Their values are secrets: for the API alone, over TLS, never in arguments or logs.
#[non_exhaustive]
pub struct Headers {
    /// `Authorization`.
    pub authorization: Secret<AccessToken>,
    /// `DPoP`, where the pass is bound to a key. Good for one request.
    pub proof: Option<String>,
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<headers>")
    }
}

/// What an API said of a request, as far as it matters to the next one.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Told<'a> {
    /// The status of its answer.
    pub status: u16,
    /// The values of its `WWW-Authenticate` headers, one a line.
    pub challenge: &'a str,
    /// Its `DPoP-Nonce`.
    pub nonce: Option<&'a str>,
    /// Its `Date`, read.
    pub date: Option<Timestamp>,
}

impl Holder {
    /// A pass for an API, to be presented as `binding` says. From what is kept while that is good, otherwise fresh.
    ///
    /// # Errors
    /// Those of [`token`](Self::token), and `Unsupported` if a key was asked for and the sign-in is bound to none.
    pub async fn present(
        &self,
        identity: &Identity,
        request: &PassRequest,
        binding: Binding,
    ) -> Result<Presentable, HolderError> {
        let loaded = self.standing(identity)?;
        let key = match binding {
            Binding::Bearer => None,
            Binding::AsSignedIn | Binding::Key => session_key(&loaded)?,
        };
        if key.is_none() && binding == Binding::Key {
            return Err(HolderError::Unsupported {
                what: format!("the sign-in to `{}` is bound to no key, so it has no proofs", identity.issuer),
            });
        }
        let wanted = if key.is_some() { TokenType::Dpop } else { TokenType::Bearer };
        let (pass, nonce) = self.pass_of(identity, request, &wanted, true).await?;
        let learned = Mutex::new(Learned { nonce, offset: 0 });
        Ok(Presentable(Arc::new(Inner { pass, key, clock: self.clock.clone(), learned })))
    }

    /// The same after the API refused a token that should have been good: that one is not handed out again.
    ///
    /// # Errors
    /// Those of [`present`](Self::present).
    pub async fn present_another(
        &self,
        identity: &Identity,
        request: &PassRequest,
        binding: Binding,
        refused: &Presentable,
    ) -> Result<Presentable, HolderError> {
        let token = &refused.0.pass.token;
        let mut loaded = self.standing(identity)?;
        if loaded.record.ours {
            loaded.record.passes.retain(|held| !held.access.token.matches(token.expose()));
            // Overtaken or gone: then somebody else wrote, and `present` reads that.
            self.shelf.save(&mut loaded, (self.clock)())?;
        } else {
            self.fresh(identity, Some(token)).await?;
        }
        self.present(identity, request, binding).await
    }

    /// Keeps what was learned of the API beside the kept pass, so that the next process needs no second try.
    ///
    /// # Errors
    /// Those of opening and writing the record.
    pub fn keep_learned(&self, identity: &Identity, presentable: &Presentable) -> Result<(), HolderError> {
        let Some(nonce) = presentable.nonce() else { return Ok(()) };
        let mut loaded = self.standing(identity)?;
        let token = &presentable.0.pass.token;
        let kept = loaded.record.passes.iter_mut().find(|held| held.access.token.matches(token.expose()));
        let Some(held) = kept.filter(|held| held.nonce.as_ref() != Some(&nonce)) else { return Ok(()) };
        held.nonce = Some(nonce);
        // Overtaken or gone: then it is just not kept.
        self.shelf.save(&mut loaded, (self.clock)()).map(|_| ())
    }
}

impl Presentable {
    /// The pass itself.
    pub fn pass(&self) -> &Pass {
        &self.0.pass
    }

    /// Whether a proof goes with each request.
    pub fn bound(&self) -> bool {
        self.0.key.is_some()
    }

    /// The headers for one request: a new proof each time.
    ///
    /// # Errors
    /// `Usage` if `url` is an address that no token may be sent to: not HTTP, plain HTTP to another machine, or with
    /// credentials in it.
    pub fn headers(&self, method: &str, url: &Url) -> Result<Headers, HolderError> {
        fit_for_a_token(url)?;
        let token = self.0.pass.token.expose_text();
        let scheme = if self.bound() { "DPoP" } else { "Bearer" };
        let proof = self.0.key.as_ref().map(|key| {
            let request = Request { method, uri: url.as_str(), access_token: Some(token) };
            let learned = self.0.learned.lock().expect("no thread panics holding this");
            let now = Timestamp::from_millis((self.0.clock)().millis().saturating_add(learned.offset));
            key.proof(&request, learned.nonce.as_deref(), now)
        });
        Ok(Headers { authorization: Secret::from_text(format!("{scheme} {token}")), proof })
    }

    /// Learns from an answer. Whether the same request, with new headers, may be taken now: once, when the API wants a
    /// nonce of its own in the proof (section 9), or the time of its own clock.
    pub fn learn(&self, told: &Told<'_>) -> bool {
        let mut learned = self.0.learned.lock().expect("no thread panics holding this");
        let mut helps = false;
        if let Some(nonce) = told.nonce.filter(|nonce| nonce.len() <= NONCE_LEN_MAX) {
            let new = learned.nonce.as_deref() != Some(nonce);
            learned.nonce = Some(nonce.to_owned());
            helps |= new && told.wants_nonce();
        }
        if let Some(date) = told.date {
            let offset = date.millis().saturating_sub((self.0.clock)().millis());
            // Only a clock that is off by more than honest ones explains a refusal.
            let far = offset.saturating_sub(learned.offset).saturating_abs()
                > CLOCK_SKEW.as_millis().min(DPOP_WINDOW.as_millis());
            if far && told.refuses_proof() {
                learned.offset = offset;
                helps = true;
            }
        }
        helps && self.bound()
    }

    /// The last nonce of the API.
    fn nonce(&self) -> Option<String> {
        self.0.learned.lock().expect("no thread panics holding this").nonce.clone()
    }
}

impl<'a> Told<'a> {
    /// An answer of this status. The rest is set field by field.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With what its `WWW-Authenticate` headers say.
    #[must_use]
    pub fn challenge(self, challenge: &'a str) -> Self {
        Self { challenge, ..self }
    }

    /// With its `DPoP-Nonce`.
    #[must_use]
    pub fn nonce(self, nonce: impl Into<Option<&'a str>>) -> Self {
        Self { nonce: nonce.into(), ..self }
    }

    /// With its `Date`.
    #[must_use]
    pub fn date(self, date: impl Into<Option<Timestamp>>) -> Self {
        Self { date: date.into(), ..self }
    }

    fn wants_nonce(&self) -> bool {
        self.status == 401 && self.names_error("use_dpop_nonce")
    }

    fn refuses_proof(&self) -> bool {
        self.status == 401 && self.names_error("invalid_dpop_proof")
    }

    /// Whether the API says that the token is no longer good: another may be.
    pub fn refuses_token(&self) -> bool {
        self.status == 401 && self.names_error("invalid_token")
    }

    fn names_error(&self, code: &str) -> bool {
        self.challenge.contains(&format!("error=\"{code}\""))
            || self.challenge.contains(&format!("error={code}"))
    }
}

impl fmt::Debug for Presentable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presentable").field("pass", &self.0.pass).field("bound", &self.bound()).finish()
    }
}

/// SECURITY: a token goes over TLS, or to this very machine.
fn fit_for_a_token(url: &Url) -> Result<(), HolderError> {
    let refused = |what: &str| Err(HolderError::Usage { what: what.into() });
    if !url.username().is_empty() || url.password().is_some() {
        return refused("an address with credentials in it is not asked with a token");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if crate::provider::is_loopback(url) => Ok(()),
        "http" => refused("a token is not sent over plain http to another machine: use `https://`"),
        _ => refused("a token is sent to `https://` addresses only"),
    }
}

/// The API among `resources` that an address belongs to: of the same origin, with a path that the address goes on from;
/// of several the longest.
fn resource_of<'a>(resources: &'a [String], url: &Url) -> Option<&'a str> {
    let within = |resource: &&String| {
        let Ok(base) = Url::parse(resource) else { return false };
        let path = base.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(path);
        base.origin() == url.origin() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    resources.iter().filter(within).max_by_key(|resource| resource.len()).map(String::as_str)
}

impl Holder {
    /// The API of a sign-in that an address belongs to, by the resources named at login. `None` where nothing was named
    /// and the provider's tokens are for whatever takes them.
    ///
    /// # Errors
    /// Those of opening the record, and `Usage` where the address belongs to no API of this sign-in.
    pub fn resource_at(&self, identity: &Identity, url: &Url) -> Result<Option<String>, HolderError> {
        let loaded = self.standing(identity)?;
        let resources = &loaded.record.resources;
        if let Some(resource) = resource_of(resources, url) {
            return Ok(Some(resource.to_owned()));
        }
        if resources.is_empty() && !loaded.record.ours {
            return Ok(None);
        }
        let origin = url.origin().ascii_serialization();
        let what = match resources.as_slice() {
            [] => format!("no API was named at sign-in, so which is at `{origin}` must be: `--resource URL`"),
            some => format!("this sign-in reaches no API at `{origin}`, only {}", some.join(", ")),
        };
        Err(HolderError::Usage { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_goes_over_tls_or_to_this_machine() {
        for good in ["https://api.example/x", "http://127.0.0.1:8418/", "http://localhost/"] {
            assert!(fit_for_a_token(&url(good)).is_ok(), "{good}");
        }
        for bad in
            ["http://api.example/", "ftp://api.example/", "https://a:b@api.example/", "file:///etc/passwd"]
        {
            assert!(fit_for_a_token(&url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_belongs_to_the_api_whose_origin_and_path_it_has() {
        let resources = ["https://api.example/".to_owned(), "https://api.example/v2".into(), "urn:x".into()];
        let of = |text| resource_of(&resources, &url(text));
        assert_eq!(of("https://api.example/notes"), Some("https://api.example/"));
        assert_eq!(of("https://api.example/v2"), Some("https://api.example/v2"));
        assert_eq!(of("https://api.example/v2/x"), Some("https://api.example/v2"));
        assert_eq!(of("https://api.example/v22"), Some("https://api.example/"));
        for other in ["https://api.example:8443/", "http://api.example/", "https://api.example.evil.example/"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
