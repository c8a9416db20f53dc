//! The HTTP client of any OAuth or OIDC provider, and the only one in the crate.
//!
//! Redirects are never followed, bodies are bounded, everything has a time-out. It learns each server's DPoP nonce and
//! how far our clock is from the server's, as both stand in every answer.

mod form;
mod transport;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_model::jose::JwkSet;
use hallpass_model::secret::{AccessToken, Assertion, KeyMaterial, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::dpop::Request as ProvenRequest;
use hallpass_model::wire::errors::{ErrorCode, OAuthErrorBody};
use hallpass_model::wire::metadata::{BadIssuer, IssuerMetadata, oidc_url, rfc8414_url};
use hallpass_model::wire::oauth::{PreferWait, TokenResponse};
use reqwest::Method;
use url::Url;
use zeroize::Zeroizing;

pub(crate) use form::Fields;
pub use transport::http_date;
#[cfg(feature = "exec")]
pub(crate) use transport::words;
pub(crate) use transport::{Answer, BesideHeader, Transport, Trust, is_loopback};

use crate::Clock;
use crate::dpop::SessionKey;
use crate::error::HolderError;

/// How long to wait for a connection.
pub(crate) const CONNECT_TIME_OUT: Duration = Duration::from_secs(10);
/// How long one exchange of a request and its answer may take. The lock around a renewal is waited for twice as long.
pub(crate) const TIME_OUT: Duration = Duration::from_secs(30);
/// A held poll: what we ask for, and time for the answer to arrive.
const HELD_TIME_OUT: Duration = Duration::from_secs(40);
/// A nonce that is remembered across processes is used this long: half of what our issuer accepts (RFC 9449, section 8,
/// has the server say when it is over anyway).
pub(crate) const NONCE_REMEMBERED: Lifetime = Lifetime::minutes(4);

/// A token at most, in bytes. The largest that providers give (groups and rights of a large organisation in one JWT) are half
/// of it; twice as much fits neither one variable of an environment beside others, nor a line of git's protocol.
pub(crate) const TOKEN_LEN_MAX: usize = 32 * 1024;

/// Clocks that differ by more than this, in milliseconds, may be why a proof is refused.
const CLOCKS_APART: u64 = 5_000;

/// The HTTP client of any provider.
pub(crate) struct Provider {
    transport: Transport,
    clock: Clock,
    /// By origin.
    learned: Mutex<HashMap<String, Learned>>,
}

/// What stands where metadata should, if it is for people: whoever signs this network's guests in answers like that.
pub(crate) const PAGE: &str = "a web page where the issuer's metadata should be";

/// Whether an answer is a page for people, or leads to one.
fn is_page(answer: &Answer) -> bool {
    // 511 is for this very case (RFC 6585, section 6). A 404 may have a page, and says all the same that nothing is there.
    let elsewhere = matches!(answer.status, 302 | 303 | 307 | 511);
    let page = answer.body.trim_ascii_start().first() == Some(&b'<');
    elsewhere || answer.status == 200 && page
}

/// What a server's answers taught us.
#[derive(Default, Clone)]
struct Learned {
    nonce: Option<String>,
    /// Its clock less ours, in milliseconds.
    offset: i64,
}

/// What an answer taught us that we did not know when we asked.
struct New {
    nonce: bool,
    /// That the server's clock is not where we took it to be.
    time: bool,
}

impl New {
    /// Whether another proof may do where this one did not: with the nonce that the server wants (RFC 9449, section 8), or
    /// made at the time that it is there (section 4.3, point 11).
    fn helps(&self, answer: &Answer) -> bool {
        (self.nonce && wants_nonce(answer)) || (self.time && bad_proof(answer))
    }
}

/// What goes with a request besides its form.
#[derive(Default, Clone, Copy)]
pub(crate) struct With<'a> {
    /// Prove that this key is held.
    pub(crate) key: Option<&'a SessionKey>,
    /// Present this access token: bound to `key` if there is one, else as a bearer token.
    pub(crate) token: Option<&'a Secret<AccessToken>>,
    /// The client's own credentials, for providers that want them in a header.
    pub(crate) basic: Option<(&'a str, &'a Secret<KeyMaterial>)>,
    /// Ask the server to hold its answer back this long.
    pub(crate) hold: Option<Lifetime>,
    /// Ask for the answer in XML rather than JSON.
    pub(crate) xml: bool,
}

/// Why the token endpoint, or one like it, gave nothing.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// It said so, in OAuth's words.
    Refused { body: OAuthErrorBody, held: bool },
    /// It could not be reached, or is busy. Nothing is known about what it did.
    Unreachable { why: String },
    /// It answered something else. Nothing is known about what it did.
    Unexpected { what: String },
    /// It was not asked: something the person named for it cannot be used.
    NotSent { why: String },
}

impl Provider {
    pub(crate) fn new(trust: Trust, clock: Clock) -> Arc<Self> {
        Arc::new(Self { transport: Transport::new(trust), clock, learned: Mutex::default() })
    }

    /// What is trusted besides the system's certificates.
    #[cfg(feature = "client")]
    pub(crate) fn trust(&self) -> &Trust {
        self.transport.trust()
    }

    /// Finds an issuer's metadata: RFC 8414 first, then OIDC Discovery. Whichever is taken names this issuer, byte for
    /// byte.
    pub(crate) async fn discover(&self, issuer: &str) -> Result<IssuerMetadata, HolderError> {
        let bad = |why| HolderError::BadIssuer { issuer: shown(issuer), why };
        let mut seen = None;
        for url in [rfc8414_url(issuer).map_err(bad)?, oidc_url(issuer).map_err(bad)?] {
            let answer = self.send(Method::GET, &url, None, With::default()).await;
            let answer = answer.map_err(|none| none.into_error(&url, issuer))?;
            if is_page(&answer) {
                seen.get_or_insert(HolderError::Unexpected { place: url.to_string(), what: PAGE.into() });
                continue;
            }
            if answer.status != 200 {
                seen.get_or_insert(HolderError::Unexpected {
                    place: url.to_string(),
                    what: format!("{} where the issuer's metadata should be", answer.status),
                });
                continue;
            }
            match IssuerMetadata::parse(&answer.body, issuer) {
                Ok(metadata) => return Ok(metadata),
                Err(why @ (BadIssuer::Another | BadIssuer::Endpoint)) => seen = Some(bad(why)),
                Err(why) => {
                    seen.get_or_insert(bad(why));
                }
            }
        }
        Err(seen.expect("there was an answer that would not do"))
    }

    /// The issuer's keys.
    pub(crate) async fn keys(&self, metadata: &IssuerMetadata) -> Result<JwkSet, HolderError> {
        let url =
            needed(&metadata.jwks_uri, metadata, "has no `jwks_uri`, so its ID tokens cannot be verified")?;
        let answer = self.send(Method::GET, url, None, With::default()).await;
        let answer = answer.map_err(|none| none.into_error(url, &metadata.issuer))?;
        let keys = if answer.status == 200 { serde_json::from_slice(&answer.body).ok() } else { None };
        keys.ok_or_else(|| HolderError::Unexpected {
            place: url.to_string(),
            what: "something that is not a set of keys".into(),
        })
    }

    /// Reads what the userinfo endpoint says, if it says anything (OIDC Core, section 5.3). Best effort.
    pub(crate) async fn userinfo(
        &self,
        metadata: &IssuerMetadata,
        with: With<'_>,
    ) -> Option<serde_json::Value> {
        let url = metadata.userinfo_endpoint.as_ref()?;
        let answer = self.send(Method::GET, url, None, with).await.ok()?;
        if answer.status == 200 { serde_json::from_slice(&answer.body).ok() } else { None }
    }

    /// Asks the token endpoint.
    pub(crate) async fn token(
        &self,
        metadata: &IssuerMetadata,
        form: &Fields,
        with: With<'_>,
    ) -> Result<TokenResponse, NoAnswer> {
        let Some(url) = &metadata.token_endpoint else {
            return Err(NoAnswer::Unexpected { what: "metadata without a token endpoint".into() });
        };
        let answer = self.post(url, form, with).await?;
        TokenResponse::parse(&answer.body)
            .map_err(|_| NoAnswer::Unexpected { what: format!("{} without a token", answer.status) })
    }

    /// Posts a form. Only a success comes back as an answer; GitHub's errors, which come with 200, do not.
    pub(crate) async fn post(&self, url: &Url, form: &Fields, with: With<'_>) -> Result<Answer, NoAnswer> {
        let answer = self.send(Method::POST, url, Some(form), with).await?.in_json();
        let error = OAuthErrorBody::parse(&answer.body);
        match (answer.status, error) {
            (200..300, None) => Ok(answer),
            (200..500, Some(body)) if answer.status != 429 => {
                Err(NoAnswer::Refused { body: without_secrets(body, form, with), held: answer.held })
            }
            (status @ (429 | 500..), _) => {
                Err(NoAnswer::Unreachable { why: format!("it answered {status}") })
            }
            (status, _) => Err(NoAnswer::Unexpected { what: format!("{status} without an OAuth error") }),
        }
    }

    /// Asks what runs a CI job for a token that says what the job is, as GitHub Actions has it ("OpenID Connect", the request
    /// by `curl`).
    pub(crate) async fn job_token(
        &self,
        url: &Url,
        key: &Secret<AccessToken>,
    ) -> Result<Secret<Assertion>, NoAnswer> {
        #[derive(serde::Deserialize)]
        struct Body {
            value: Zeroizing<String>,
        }
        let answer = self.send(Method::GET, url, None, With { token: Some(key), ..With::default() }).await?;
        match answer.status {
            200 => match serde_json::from_slice::<Body>(&answer.body) {
                Ok(body) => Ok(Secret::from_text(body.value.to_string())),
                Err(_) => Err(NoAnswer::Unexpected { what: "200 without the job's token".into() }),
            },
            429 | 500.. => Err(NoAnswer::Unreachable { why: format!("it answered {}", answer.status) }),
            status => Err(NoAnswer::Unexpected { what: format!("{status} where the job's token should be") }),
        }
    }

    /// Asks a cloud's metadata service for a token that says what this machine is.
    pub(crate) async fn machine_token(
        &self,
        url: &Url,
        header: BesideHeader<'_>,
    ) -> Result<Secret<Assertion>, NoAnswer> {
        #[derive(serde::Deserialize)]
        struct Body {
            access_token: Zeroizing<String>,
        }
        let answer = self.transport.beside(url, header).await?;
        let text = || std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        match answer.status {
            // Google's is the token itself.
            200 if matches!(header, BesideHeader::Google) => match text() {
                "" => Err(NoAnswer::Unexpected { what: "200 without the machine's token".into() }),
                token => Ok(Secret::from_text(token.to_owned())),
            },
            200 => match serde_json::from_slice::<Body>(&answer.body) {
                Ok(body) => Ok(Secret::from_text(body.access_token.to_string())),
                Err(_) => Err(NoAnswer::Unexpected { what: "200 without the machine's token".into() }),
            },
            // 410: the service is being brought up to date ("Azure Instance Metadata Service", "Retry guidance").
            410 | 429 | 500.. => Err(NoAnswer::Unreachable { why: format!("it answered {}", answer.status) }),
            status => Err(match OAuthErrorBody::parse(&answer.body) {
                Some(body) => NoAnswer::Refused { body, held: false },
                None => {
                    NoAnswer::Unexpected { what: format!("{status} where the machine's token should be") }
                }
            }),
        }
    }

    /// Posts a form to a service that is no OAuth provider, and gives whatever it answers.
    pub(crate) async fn post_elsewhere(&self, url: &Url, form: &Fields) -> Result<Answer, NoAnswer> {
        self.send(Method::POST, url, Some(form), With { xml: true, ..With::default() }).await
    }

    /// Opens an answer that stays open.
    pub(crate) async fn open(
        &self,
        url: &Url,
        form: &Fields,
        token: &Secret<AccessToken>,
        quiet_at_most: Duration,
    ) -> Result<reqwest::Response, NoAnswer> {
        self.transport.open(url, form, token, quiet_at_most).await
    }

    /// Opens a stream of the session that a token is of, proving its key (RFC 9449, section 7.1); once more if the server
    /// wants another proof.
    pub(crate) async fn listen(
        &self,
        url: &Url,
        token: &Secret<AccessToken>,
        key: &SessionKey,
        quiet_at_most: Duration,
    ) -> Result<reqwest::Response, NoAnswer> {
        let mut again = true;
        loop {
            let presented = token.expose_text();
            let request = ProvenRequest { method: "GET", uri: url.as_str(), access_token: Some(presented) };
            let proof = key.proof(&request, self.nonce(url).as_deref(), self.server_time(url));
            let answer = match self.transport.listen(url, token, proof, quiet_at_most).await? {
                Ok(response) => return Ok(response),
                Err(answer) => answer,
            };
            let learned = self.learn(url, &answer);
            if again && learned.helps(&answer) {
                again = false;
                continue;
            }
            return Err(match answer.status {
                401 | 403 => NoAnswer::Refused {
                    body: OAuthErrorBody::parse(&answer.body).unwrap_or(OAuthErrorBody {
                        error: ErrorCode::InvalidToken,
                        error_description: None,
                        error_uri: None,
                        rule: None,
                    }),
                    held: false,
                },
                429 | 500.. => NoAnswer::Unreachable { why: format!("it answered {}", answer.status) },
                status => NoAnswer::Unexpected { what: format!("{status} where a stream should be") },
            });
        }
    }

    /// The last nonce of this server.
    pub(crate) fn nonce(&self, url: &Url) -> Option<String> {
        self.learned(url).nonce
    }

    /// Takes over a nonce another process learned.
    pub(crate) fn remember_nonce(&self, url: &Url, nonce: String) {
        let mut learned = self.learned.lock().expect("no thread panics holding this");
        learned.entry(origin(url)).or_default().nonce.get_or_insert(nonce);
    }

    /// The time at this server, as its answers say.
    pub(crate) fn server_time(&self, url: &Url) -> Timestamp {
        Timestamp::from_millis((self.clock)().millis().saturating_add(self.learned(url).offset))
    }

    /// Sends a request, and sends it once more if the server wants another proof, and its answer says what that needs.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        form: Option<&Fields>,
        with: With<'_>,
    ) -> Result<Answer, NoAnswer> {
        let time_out = if with.hold.is_some() { HELD_TIME_OUT } else { TIME_OUT };
        let mut again = with.key.is_some();
        loop {
            let presented = with.token.map(Secret::expose_text);
            let proof = with.key.map(|key| {
                let request =
                    ProvenRequest { method: method.as_str(), uri: url.as_str(), access_token: presented };
                key.proof(&request, self.nonce(url).as_deref(), self.server_time(url))
            });
            let prefer = with.hold.map(|hold| PreferWait(hold).to_string());
            let request = transport::Outgoing {
                proof,
                token: presented,
                basic: with.basic,
                prefer,
                time_out,
                xml: with.xml,
            };
            let answer = self.transport.send(method.clone(), url, form, request).await?;
            let learned = self.learn(url, &answer);
            if again && learned.helps(&answer) {
                again = false;
                continue;
            }
            return Ok(answer);
        }
    }

    /// What there was in the answer that we did not know.
    fn learn(&self, url: &Url, answer: &Answer) -> New {
        let now = (self.clock)();
        let mut all = self.learned.lock().expect("no thread panics holding this");
        let learned = all.entry(origin(url)).or_default();
        let before = learned.offset;
        if let Some(date) = answer.date {
            // The header has whole seconds: within one, the clocks agree.
            let offset = date.millis() - now.millis();
            learned.offset = if (-1_000..=1_000).contains(&offset) { 0 } else { offset };
        }
        let nonce = answer.nonce.as_ref().filter(|nonce| learned.nonce.as_ref() != Some(nonce));
        if let Some(nonce) = nonce {
            learned.nonce = Some(nonce.clone());
        }
        New { nonce: nonce.is_some(), time: before.abs_diff(learned.offset) > CLOCKS_APART }
    }

    fn learned(&self, url: &Url) -> Learned {
        let all = self.learned.lock().expect("no thread panics holding this");
        all.get(&origin(url)).cloned().unwrap_or_default()
    }
}

impl NoAnswer {
    /// As an error of `issuer`, for callers to whom every refusal is one.
    pub(crate) fn into_error(self, place: &Url, issuer: &str) -> HolderError {
        match self {
            NoAnswer::Refused { body, .. } => refused(issuer, body),
            NoAnswer::Unreachable { why, .. } => HolderError::Unreachable { place: authority(place), why },
            NoAnswer::Unexpected { what } => HolderError::Unexpected { place: shown(place.as_str()), what },
            NoAnswer::NotSent { why } => HolderError::Usage { what: why },
        }
    }
}

/// Whether tokens are no longer than can be kept and handed on.
///
/// # Errors
/// `NotBelieved`, so that they are given back.
pub(crate) fn fits(tokens: &TokenResponse) -> Result<(), HolderError> {
    let lengths = [
        ("access token", Some(tokens.access_token.expose().len())),
        ("refresh token", tokens.refresh_token.as_ref().map(|token| token.expose().len())),
        ("ID token", tokens.id_token.as_ref().map(|token| token.expose().len())),
    ];
    match lengths.into_iter().find(|(_, len)| len.is_some_and(|len| len > TOKEN_LEN_MAX)) {
        None => Ok(()),
        Some((what, len)) => Err(HolderError::NotBelieved {
            why: format!(
                "its {what} has {} bytes, and {TOKEN_LEN_MAX} are the most",
                len.unwrap_or_default()
            ),
        }),
    }
}

/// Takes out of a refusal what shows a secret of the request it answers: its words are shown to people, and kept.
/// SECURITY: some providers repeat the token they refuse.
fn without_secrets(mut body: OAuthErrorBody, form: &Fields, with: With<'_>) -> OAuthErrorBody {
    let shows = |text: &str| {
        form.shown_by(text)
            || with.token.is_some_and(|token| form::shows(text, token.expose_text()))
            || with.basic.is_some_and(|(_, secret)| form::shows(text, secret.expose_text()))
    };
    body.error_description = body.error_description.filter(|text| !shows(text));
    body.error_uri = body.error_uri.filter(|text| !shows(text));
    body.rule = body.rule.filter(|text| !shows(text));
    if shows(body.error.text()) {
        body.error = ErrorCode::Unknown("an error that is not shown".into());
    }
    body
}

/// A refusal by the issuer.
pub(crate) fn refused(issuer: &str, body: OAuthErrorBody) -> HolderError {
    match body.error {
        // A person says no, and that is all; a rule says which it is.
        ErrorCode::AccessDenied if body.rule.is_none() => HolderError::Denied,
        ErrorCode::ExpiredToken => HolderError::TimedOut,
        code => HolderError::Refused { issuer: issuer.to_owned(), code, told: body.error_description },
    }
}

/// An endpoint that must be there for what was asked.
pub(crate) fn needed<'a>(
    endpoint: &'a Option<Url>,
    metadata: &IssuerMetadata,
    otherwise: &str,
) -> Result<&'a Url, HolderError> {
    endpoint
        .as_ref()
        .ok_or_else(|| HolderError::Unsupported { what: format!("`{}` {otherwise}", metadata.issuer) })
}

fn bad_proof(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 401)
        && OAuthErrorBody::parse(&answer.body).is_some_and(|body| body.error == ErrorCode::InvalidDpopProof)
}

fn wants_nonce(answer: &Answer) -> bool {
    let in_body =
        || OAuthErrorBody::parse(&answer.body).is_some_and(|body| body.error == ErrorCode::UseDpopNonce);
    match answer.status {
        400 => in_body(),
        401 => answer.challenge_wants_nonce || in_body(),
        _ => false,
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn authority(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A stranger's or a person's text, fit for one line.
fn shown(text: &str) -> String {
    hallpass_model::purpose::plain(text, 200)
}
