//! Presenting a pass to its API: bound to the sign-in's key, with a proof for each request (RFC 9449, section 7), or as
//! bearer where the API takes nothing else.
//!
//! The key never leaves: what is given out is the proof, good for one request. Where the daemon alone has it, the daemon makes
//! the proof.

use std::fmt;
use std::sync::{Arc, Mutex};

use hallpass_model::lifetimes::{CLOCK_SKEW, DPOP_WINDOW};
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::dpop::{NONCE_LEN_MAX, Request};
use hallpass_model::wire::oauth::TokenType;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::daemon::Signer;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::not_taken::NotTaken;
use crate::pass::{Pass, PassRequest};
use crate::refresh::session_key;
use crate::shelf::Identity;
use crate::{Clock, Holder};

/// How a pass is to be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    key: Key,
    clock: Clock,
    learned: Mutex<Learned>,
}

/// What makes the proofs.
enum Key {
    /// Nothing: the pass is bearer.
    None,
    Here(SessionKey),
    Daemons(Signer),
}

/// What the API's answers taught us.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learned {
    pub(crate) nonce: Option<String>,
    /// Its clock less ours, in milliseconds.
    pub(crate) offset: i64,
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
        if let Some(socket) = &self.pass_socket {
            if binding == Binding::Key {
                let what = "a pass socket gives bearer tokens, which have no proofs".into();
                return Err(HolderError::Unsupported { what });
            }
            return Ok(self.presentable(socket.pass(request, false).await?, Key::None, None));
        }
        if let Some(workload) = self.workload(identity) {
            // Nothing is kept, so the key is this pass's alone.
            let key = (binding != Binding::Bearer).then(SessionKey::generate);
            let pass = Box::pin(self.workload_pass(workload, request, key.as_ref(), false)).await?;
            return Ok(self.presentable(pass, key.map_or(Key::None, Key::Here), None));
        }
        if let Some(from_daemon) = self.daemon_present(identity, request, binding).await {
            let (pass, signer, nonce) = from_daemon?;
            return Ok(self.presentable(pass, signer.map_or(Key::None, Key::Daemons), nonce));
        }
        let key = self.key_for(identity, binding)?;
        let wanted = if key.is_some() { TokenType::Dpop } else { TokenType::Bearer };
        let (pass, nonce) = self.pass_of(identity, request, &wanted, true).await?;
        Ok(self.presentable(pass, key.map_or(Key::None, Key::Here), nonce))
    }

    fn presentable(&self, pass: Pass, key: Key, nonce: Option<String>) -> Presentable {
        let learned = Mutex::new(Learned { nonce, offset: 0 });
        Presentable(Arc::new(Inner { pass, key, clock: self.clock.clone(), learned }))
    }

    /// The key that a pass is to be bound to, if it is to be bound.
    pub(crate) fn key_for(
        &self,
        identity: &Identity,
        binding: Binding,
    ) -> Result<Option<SessionKey>, HolderError> {
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
        Ok(key)
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
        if self.keeps_nothing(identity) {
            return self.present(identity, request, binding).await;
        }
        if self.daemon_alone_holds(identity) {
            self.not_taken(identity, NotTaken::Token(token))?;
            return self.present(identity, request, binding).await;
        }
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

    /// Whether passes come from elsewhere each time: a pass socket, or what says what a workload is.
    fn keeps_nothing(&self, identity: &Identity) -> bool {
        self.pass_socket.is_some() || self.workload(identity).is_some()
    }

    /// Keeps what was learned of the API beside the kept pass, so that the next process needs no second try.
    ///
    /// # Errors
    /// Those of opening and writing the record.
    pub fn keep_learned(&self, identity: &Identity, presentable: &Presentable) -> Result<(), HolderError> {
        let Some(nonce) = presentable.nonce() else { return Ok(()) };
        if self.keeps_nothing(identity) {
            return Ok(());
        }
        if self.daemon_alone_holds(identity) {
            return Ok(()); // it is told with the next question for a proof
        }
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

    /// Whether an address belongs to the API that the pass is for, as far as that is known.
    pub fn is_for(&self, url: &Url) -> bool {
        self.0
            .pass
            .resource
            .as_ref()
            .is_none_or(|resource| resource_of(std::slice::from_ref(resource), url).is_some())
    }

    /// Whether a proof goes with each request.
    pub fn bound(&self) -> bool {
        !matches!(self.0.key, Key::None)
    }

    /// The headers for one request: a new proof each time. Where the daemon has the key, it is asked, which takes as long as
    /// it takes.
    ///
    /// # Errors
    /// Those of the daemon, and `Usage` if `url` is an address that no token may be sent to: not HTTP, plain HTTP to another machine, or with
    /// credentials in it.
    pub fn headers(&self, method: &str, url: &Url) -> Result<Headers, HolderError> {
        fit_for_a_token(url)?;
        let token = self.0.pass.token.expose_text();
        let learned = self.0.learned.lock().expect("no thread panics holding this").clone();
        let key = match &self.0.key {
            Key::None => {
                let authorization = Secret::from_text(format!("Bearer {token}"));
                return Ok(Headers { authorization, proof: None });
            }
            Key::Daemons(signer) => return signer.headers(method, url, &learned),
            Key::Here(key) => key,
        };
        let request = Request { method, uri: url.as_str(), access_token: Some(token) };
        let now = Timestamp::from_millis((self.0.clock)().millis().saturating_add(learned.offset));
        let proof = key.proof(&request, learned.nonce.as_deref(), now);
        Ok(Headers { authorization: Secret::from_text(format!("DPoP {token}")), proof: Some(proof) })
    }

    /// Takes over what another process learned of the API.
    pub(crate) fn set_learned(&self, learned: Learned) {
        let mut own = self.0.learned.lock().expect("no thread panics holding this");
        own.offset = learned.offset;
        // Without one, what is kept beside the pass will do.
        own.nonce = learned.nonce.filter(|nonce| nonce.len() <= NONCE_LEN_MAX).or(own.nonce.take());
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

    /// Whether the API wants the person to prove who they are more strongly, or more lately (RFC 9470, section 3).
    pub fn wants_step_up(&self) -> bool {
        self.status == 401 && self.names_error("insufficient_user_authentication")
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
        if self.pass_socket.is_some() {
            return Ok(None); // whoever made the socket said which; `is_for` compares
        }
        if self.workload(identity).is_some() {
            let origin = url.origin().ascii_serialization();
            let what =
                format!("a workload has no sign-in that says which API is at `{origin}`: `--resource URL`");
            return Err(HolderError::Usage { what });
        }
        let (resources, ours) = match self.daemon_opened(identity) {
            Some(opened) => opened.map(|opened| (opened.resources, opened.bound))?, // only ours are bound
            None => {
                let record = self.standing(identity)?.record;
                (record.resources, record.ours)
            }
        };
        if let Some(resource) = resource_of(&resources, url) {
            return Ok(Some(resource.to_owned()));
        }
        if resources.is_empty() && !ours {
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
