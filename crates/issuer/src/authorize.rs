//! The authorization endpoint (RFC 6749, section 4.1.1; PKCE with S256 only; RFC 9207).
//!
//! 1. Who asks, and where the answer goes, is checked first: an unknown client or a redirect URI that is not its own
//!    is told to the person here. Nothing is ever sent to a URI that was not verified.
//! 2. Everything else that is wrong is sent there, with `iss` and the client's `state`.
//! 3. A good request is kept by the store, and the browser goes on to the login and the consent page with its handle.
//!    There is no silent yes: a public client cannot prove who it is (RFC 8252, section 8.6).
//!    One that its client [pushed](crate::pushed) was checked when it came, and is only taken out here.
//! 4. [`finish`] takes the request out again, once, with the person's answer, and issues the code.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hallpass_model::client::{Client, ClientKind};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, PrincipalId, SessionId};
use hallpass_model::jose::{BadThumbprint, Thumbprint};
use hallpass_model::ledger::Actor;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::Secret;
use hallpass_model::session::Session;
use hallpass_model::step_up::Demand;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, GrantType, Prompts, Scopes};
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_model::wire::redirect::RedirectUri;
use hallpass_store::{
    CodeIssued, InBrowser, IssueCode, RecordRefusal, RefusedSubject, SaveRequest, TakeRequest, WebLogin,
};
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL, LOCATION};
use serde::{Deserialize, Serialize};

use crate::client_document;
use crate::error::OAuthError;
use crate::form::{Asked, AskedToAuthorize};
use crate::org::OrgIssuer;
use crate::pages::OrgHead;
use crate::pushed::{self, Named};
use crate::target::{consented_resources, consented_scopes};
use crate::trouble::Trouble;
use crate::{Issuer, raise, token};

/// `state` at most: what a client puts there fits many times, and it is kept for a stranger.
const STATE_MAX: usize = 2_000;
/// `nonce` at most: it is copied into the ID token.
const NONCE_MAX: usize = 512;
/// `login_hint` at most: a handle.
const LOGIN_HINT_MAX: usize = 128;

/// A request that was found good, while its person logs in and decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AuthorizeRequest {
    /// Which client asks.
    pub(crate) client: ClientId,
    /// Where the answer goes: verified.
    pub(crate) redirect_uri: String,
    /// The client's own, given back as it came.
    pub(crate) state: Option<String>,
    /// What is asked for.
    pub(crate) scopes: Scopes,
    /// Where it is asked for.
    pub(crate) resources: Vec<String>,
    /// Why, as the requester claims.
    pub(crate) purpose: Option<Purpose>,
    /// The machine, as the requester claims.
    pub(crate) device: Option<DeviceClaim>,
    /// What the ID token gives back.
    pub(crate) nonce: Option<String>,
    /// Who the client thinks will log in.
    pub(crate) login_hint: Option<String>,
    /// The person must prove who they are after this moment (`prompt=login`, `max_age`, and what client and scopes demand).
    pub(crate) authenticated_after: Option<Timestamp>,
    /// And at least as strongly as this.
    #[serde(default)]
    pub(crate) acr: Option<Acr>,
    /// And by the org's own provider.
    #[serde(default)]
    pub(crate) sso: bool,
    /// The session that the answer is to raise, where it is to open none.
    #[serde(default)]
    pub(crate) raises: Option<SessionId>,
    challenge: String,
    dpop_jkt: Option<Thumbprint>,
}

impl AuthorizeRequest {
    /// The same, its code bound to this key; `None` if another was named.
    pub(crate) fn bound_to(mut self, key: Thumbprint) -> Option<Self> {
        match self.dpop_jkt.replace(key) {
            Some(named) if named != key => None,
            _ => Some(self),
        }
    }
}

/// What the person said, and how they proved that it was they.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    /// Who.
    pub(crate) person: PrincipalId,
    /// The login they said it with.
    pub(crate) login: WebLogin,
    /// How they proved it.
    pub(crate) authentication: Authentication,
    /// Their browser's address, for the erasable side of the record.
    pub(crate) address: String,
    /// Yes or no.
    pub(crate) yes: bool,
}

/// Reads an authorization request; answers with an error at the client, or with the way to the login page.
pub(crate) async fn authorize(to_authorize: AskedToAuthorize) -> Result<Response, OAuthError> {
    let AskedToAuthorize { asked, flaw } = to_authorize;
    asked.slow_down()?;
    match pushed::named(&asked).await {
        Ok(Named::Kept(handle)) => return Ok(on_to_consent(&asked, &handle)),
        Ok(Named::Plain) => {}
        Err(error) => return here(&asked, asked.refuse(error)),
    }
    let (client, redirect_uri) = match recipient(&asked).await {
        Ok(recipient) => recipient,
        Err(error) => return here(&asked, asked.refuse(error)),
    };
    let state = asked.form.find("state").filter(|state| state.len() <= STATE_MAX);
    let reply = Reply { org: &asked.org, redirect_uri: &redirect_uri, state };
    let read = match flaw {
        Some(flaw) => Err(flaw.into()),
        None => match pushed::may_be_plain(&asked, &client).await {
            Ok(()) if asked.form.find(raise::STEP_UP_TOKEN).is_some() => {
                let told = "a session to raise is shown in a request that is pushed, never in an address";
                Err(OAuthError::invalid_request(told))
            }
            Ok(()) => read(&asked, &client, &redirect_uri, None).await,
            Err(error) => Err(error),
        },
    };
    let saved = match read {
        Ok(request) => save(&asked, request).await,
        Err(error) => Err(asked.refuse(asked.record_beyond(client.id, error).await)),
    };
    Ok(saved.unwrap_or_else(|error| reply.error(error)))
}

/// Tells whoever asks, and nobody else: a person in a browser by a page, a program as ever.
fn here(asked: &Asked, error: OAuthError) -> Result<Response, OAuthError> {
    let accept = asked.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/html") {
        return Err(error);
    }
    Ok(Trouble::from(error).at(OrgHead::from(&*asked.org.org)).into_response())
}

/// Keeps the request, and sends the browser on: to the consent page, which sends whoever is not logged in (enough)
/// to the login page first.
async fn save(asked: &Asked, request: AuthorizeRequest) -> Result<Response, OAuthError> {
    asked.count_write()?;
    let save = SaveRequest { org: asked.org.id(), client: request.client, request: request.render() };
    let handle = asked.issuer.store.change(Actor::Nobody, asked.now, save).await?;
    Ok(on_to_consent(asked, handle.expose_text()))
}

fn on_to_consent(asked: &Asked, handle: &str) -> Response {
    see_other(&format!("{}?request={handle}", asked.org.endpoint("consent")))
}

/// The request that waits under this handle at this org, if it has not run out of time.
pub(crate) async fn load_request(
    issuer: &Issuer,
    org: &OrgIssuer,
    handle: &str,
) -> Result<Option<AuthorizeRequest>, OAuthError> {
    let now = issuer.clock.now();
    let handle = Secret::from_text(handle.to_owned());
    let kept = issuer.store.find_request(&handle, org.id(), now).await?;
    kept.map(|kept| read_back(&kept.request)).transpose()
}

/// Takes the request out, once, and answers the client with what the person said.
pub(crate) async fn finish(
    issuer: &Issuer,
    org: &OrgIssuer,
    handle: &str,
    consent: Consent,
) -> Result<Response, OAuthError> {
    let now = issuer.clock.now();
    let actor = Actor::Principal(consent.person);
    let take = TakeRequest { handle: Secret::from_text(handle.to_owned()), org: org.id() };
    let Some(kept) = issuer.store.change(actor, now, take).await? else {
        return Err(OAuthError::invalid_request(
            "this login was waiting for too long, or was answered; start again",
        ));
    };
    let request = read_back(&kept.request)?;
    let reply = Reply { org, redirect_uri: &request.redirect_uri, state: request.state.as_deref() };
    let record = async |rule| {
        let subject = RefusedSubject {
            principal: Some(consent.person),
            client: Some(request.client),
            ..RefusedSubject::org(org.id())
        };
        issuer.store.change(actor, now, RecordRefusal { subject, rule }).await
    };
    if !consent.yes {
        record("person_said_no").await?;
        return Ok(reply.error(OAuthError::new(ErrorCode::AccessDenied, "the person said no")));
    }
    if request.authenticated_after.is_some_and(|after| consent.authentication.at < after) {
        record("login_too_old").await?;
        let told = "the person must prove again who they are";
        return Ok(reply.error(OAuthError::new(ErrorCode::LoginRequired, told)));
    }
    let by_provider = consent.authentication.amr.contains(&Amr::Sso);
    if request.acr.is_some_and(|least| consent.authentication.acr < least) || (request.sso && !by_provider) {
        record("step_up").await?;
        return Ok(reply.error(unmet()));
    }
    let challenge = request.challenge.parse::<CodeChallenge>().map_err(|_| OAuthError::server_error())?;
    let issue = IssueCode {
        org: org.id(),
        client: request.client,
        principal: consent.person,
        grant: Grant {
            scopes: request.scopes.clone(),
            resources: request.resources.clone(),
            purpose: request.purpose.clone(),
            authentication: consent.authentication,
            approval: Approval::Browser,
        },
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: challenge,
        nonce: request.nonce.clone(),
        dpop_jkt: request.dpop_jkt,
        device: request.device.clone(),
        raises: request.raises,
        address: consent.address,
    };
    let issue = InBrowser { login: consent.login, change: issue };
    Ok(match issuer.store.change(actor, now, issue).await? {
        Ok(CodeIssued::Issued { code, .. }) => reply.code(code.expose_text()),
        Ok(CodeIssued::Refused(refusal)) => {
            let told = "the person, client or org is disabled";
            reply.error(OAuthError::new(ErrorCode::AccessDenied, told).because(refusal))
        }
        Ok(CodeIssued::NotRaised(why)) => {
            let told = "the session may not be raised by this login";
            reply.error(OAuthError::new(ErrorCode::AccessDenied, told).because(why))
        }
        Err(over) => {
            let told = "the person's login ended before the answer counted; start again";
            reply.error(OAuthError::new(ErrorCode::LoginRequired, told).because(over))
        }
    })
}

fn read_back(kept: &str) -> Result<AuthorizeRequest, OAuthError> {
    serde_json::from_str(kept).map_err(|error| OAuthError::server_error().because(error))
}

/// Who asks and where the answer goes. What is wrong here is never redirected (RFC 6749, section 4.1.2.1).
pub(crate) async fn recipient(asked: &Asked) -> Result<(Arc<Client>, String), OAuthError> {
    let handle = asked.form.required("client_id")?;
    client_document::admit(asked).await?;
    let unknown = || OAuthError::invalid_request("the client_id is not known here");
    let client = asked.issuer.store.find_client_by_client_id(asked.org.id(), handle).await?;
    let Some(client) = client else {
        asked.issuer.store.count_stranger("unknown client");
        return Err(unknown());
    };
    if !client.standing.is_active() {
        asked.record_refusal(client.id, "disabled").await?;
        return Err(unknown());
    }
    // Required though RFC 6749 would let it be left out where one is registered: nothing is guessed.
    let presented = asked.form.required("redirect_uri")?;
    let mut registered = client.redirect_uris.iter().filter_map(|uri| RedirectUri::parse(uri).ok());
    if !registered.any(|uri| uri.matches(presented)) {
        asked.record_refusal(client.id, "redirect_uri").await?;
        return Err(OAuthError::invalid_request("the redirect_uri is not one this client registered"));
    }
    let redirect_uri = presented.to_owned();
    Ok((client, redirect_uri))
}

/// Reads everything else. What is wrong here is told to the client.
pub(crate) async fn read(
    asked: &Asked,
    client: &Client,
    redirect_uri: &str,
    raises: Option<&Session>,
) -> Result<AuthorizeRequest, OAuthError> {
    let form = &asked.form;
    token::may_use(asked, client, &GrantType::AuthorizationCode).await?;
    refuse_what_is_not_supported(form)?;
    let challenge =
        CodeChallenge::parse(form.required("code_challenge")?, form.find("code_challenge_method")).map_err(
            |bad| {
                OAuthError::invalid_request("PKCE is required, with code_challenge_method S256").because(bad)
            },
        )?;
    let within = |name, most, told| match form.find(name) {
        Some(text) if text.len() > most => Err(OAuthError::invalid_request(told)),
        text => Ok(text.map(str::to_owned)),
    };
    let device = DeviceClaim::parse(
        form.find("device_install"),
        form.find("device_name"),
        form.find("device_class"),
        form.find("device_rung"),
    );
    let (device, scopes, resources) = match raises {
        Some(session) => (None, session.grant.scopes.clone(), session.grant.resources.clone()),
        None => {
            rung_is_allowed(asked, client, device.as_ref()).await?;
            let scopes = consented_scopes(form, client, &asked.org)?;
            let resources = consented_resources(asked, client).await?;
            (device, scopes, resources.iter().map(|resource| resource.url.clone()).collect::<Vec<_>>())
        }
    };
    let demand = demand(asked, client.id, &scopes, &resources).await?;
    let demand = raises.map_or(demand, |session| demand.and(raise::demand(session)));
    Ok(AuthorizeRequest {
        client: client.id,
        redirect_uri: redirect_uri.to_owned(),
        state: within("state", STATE_MAX, "the state is too long")?,
        scopes,
        resources,
        purpose: form.find("purpose").and_then(Purpose::parse),
        device,
        nonce: within("nonce", NONCE_MAX, "the nonce is too long")?,
        login_hint: within("login_hint", LOGIN_HINT_MAX, "the login_hint is too long")?,
        authenticated_after: asked_anew(form, asked.now)?.max(demand.not_before(asked.now)),
        acr: demand.acr,
        sso: demand.sso,
        raises: raises.map(|session| session.id),
        challenge: challenge.to_string(),
        dpop_jkt: dpop_jkt(form)?,
    })
}

/// Whether the key of this sign-in will rest where the org allows it, as the holder says. Before anybody is asked; and
/// again at each refresh. Asked of clients on people's machines alone.
pub(crate) async fn rung_is_allowed(
    asked: &Asked,
    client: &Client,
    device: Option<&DeviceClaim>,
) -> Result<(), OAuthError> {
    let allowed = asked.org.org.limits.rungs.filter(|_| client.kind == ClientKind::Cli);
    let rung = device.and_then(|device| device.rung);
    match allowed.filter(|allowed| !rung.is_some_and(|rung| allowed.has(rung))) {
        None => Ok(()),
        Some(allowed) => {
            asked.record_refusal(client.id, "rung").await?;
            Err(OAuthError::rung(allowed))
        }
    }
}

fn refuse_what_is_not_supported(form: &Form) -> Result<(), OAuthError> {
    let refused = |code, told| Err(OAuthError::new(code, told));
    for (name, code) in [
        ("request", ErrorCode::RequestNotSupported),
        ("request_uri", ErrorCode::RequestUriNotSupported),
        ("registration", ErrorCode::RegistrationNotSupported),
    ] {
        if form.find(name).is_some() {
            return refused(code, "requests are plain parameters here");
        }
    }
    match form.required("response_type")? {
        "code" => {}
        _ => return refused(ErrorCode::UnsupportedResponseType, "the response_type must be code"),
    }
    match form.find("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => refused(ErrorCode::InvalidRequest, "the response_mode must be query"),
    }
}

/// The moment after which the person must have proved who they are, as far as `prompt` says one (OIDC Core, section 3.1.2.1).
fn asked_anew(form: &Form, now: Timestamp) -> Result<Option<Timestamp>, OAuthError> {
    let prompts = form.find("prompt").map(Prompts::parse).transpose();
    let prompts = prompts
        .map_err(|bad| OAuthError::invalid_request("the prompt is not one this issuer knows").because(bad))?
        .unwrap_or_default();
    if prompts.none {
        // A person is always asked here, so without anybody to ask there is no answer.
        return Err(OAuthError::new(
            ErrorCode::InteractionRequired,
            "a person must be asked, and prompt=none forbids it",
        ));
    }
    Ok((prompts.login || prompts.select_account).then_some(now))
}

/// How long ago the person may have proved who they are, as the request wants it.
fn max_age(form: &Form) -> Result<Option<Lifetime>, OAuthError> {
    match form.find("max_age").map(str::parse::<u32>) {
        None => Ok(None),
        Some(Ok(seconds)) => Ok(Some(Lifetime::seconds(seconds))),
        Some(Err(_)) => Err(OAuthError::invalid_request("max_age is a number of seconds")),
    }
}

/// What is demanded of how the person proves who they are: by the request (`acr_values`, `max_age`), by the client, and by
/// each scope that is asked for (RFC 9470, section 5).
pub(crate) async fn demand(
    asked: &Asked,
    client: ClientId,
    scopes: &Scopes,
    resources: &[String],
) -> Result<Demand, OAuthError> {
    // Of several values any will do (OIDC Core, section 3.1.2.1); with none that can be had, nothing comes of going on.
    let acr = match asked.form.find("acr_values").map(|values| values.split_ascii_whitespace()) {
        None => None,
        Some(mut values) => Some(values.find_map(Acr::parse).ok_or_else(unmet)?),
    };
    let said = Demand { acr, max_age: max_age(&asked.form)?, sso: false };
    let demanded = asked.issuer.store.demand_of(asked.org.id(), client, scopes, resources).await?;
    Ok(said.and(demanded))
}

/// OpenID Connect Core Error Code `unmet_authentication_requirements` 1.0; RFC 9470, section 5.
fn unmet() -> OAuthError {
    let told = "nobody can log in here as strongly as acr_values asks; see acr_values_supported";
    OAuthError::new(ErrorCode::UnmetAuthenticationRequirements, told)
}

/// The key a code or device code will be bound to (RFC 9449, section 10).
pub(crate) fn dpop_jkt(form: &Form) -> Result<Option<Thumbprint>, OAuthError> {
    let jkt = form.find("dpop_jkt").map(str::parse).transpose();
    jkt.map_err(|bad: BadThumbprint| {
        OAuthError::invalid_request("dpop_jkt is not a key's thumbprint").because(bad)
    })
}

/// An answer to the client, by way of the browser.
struct Reply<'a> {
    org: &'a OrgIssuer,
    /// SECURITY: verified, or there is no reply.
    redirect_uri: &'a str,
    state: Option<&'a str>,
}

impl Reply<'_> {
    fn code(&self, code: &str) -> Response {
        self.send(&[("code", code)])
    }

    fn error(&self, error: OAuthError) -> Response {
        error.trace();
        self.send(&[("error", error.code().text()), ("error_description", &error.told_text())])
    }

    fn send(&self, parameters: &[(&str, &str)]) -> Response {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = self.state {
            query.append_pair("state", state);
        }
        // RFC 9207: with every answer, errors included, so that a client can tell issuers apart.
        query.append_pair("iss", &self.org.issuer);
        let join = if self.redirect_uri.contains('?') { '&' } else { '?' };
        see_other(&format!("{}{join}{}", self.redirect_uri, query.finish()))
    }
}

/// 303: the browser goes on with GET, and takes no form along (RFC 9700, section 4.12).
pub(crate) fn see_other(location: &str) -> Response {
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}
