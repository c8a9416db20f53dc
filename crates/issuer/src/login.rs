//! Logging in to an org's pages with a passkey, and out again.

use axum::response::{IntoResponse, Response};
use hallpass_model::grant::{Acr, Amr, Authentication};
use hallpass_model::ledger::Actor;
use hallpass_model::secret::{Secret, WebCookie};
use hallpass_model::spelling::{self, Prefix, RANDOM_BYTES, user_code};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Form;
use hallpass_store::{
    BeginCeremony, CeremonyKind, EndWeb, FinishLogin, LoginRefusal, RecordRefusal, RefusedSubject,
    TakeCeremony, WebOpened,
};
use http::StatusCode;
use http::header::SET_COOKIE;

use crate::Issuer;
use crate::authorize::see_other;
use crate::console;
use crate::error::json;
use crate::pages::Frame;
use crate::pages::answer::page;
use crate::pages::entering::LoginPage;
use crate::passkey::{Begun, Presented};
use crate::trouble::Trouble;
use crate::web::cookies::{self, CookieOf};
use crate::web::{Person, Stranger};

/// Where a login leads. SECURITY: one of our own pages, never an address that came with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Your sessions.
    Sessions,
    /// Your passkeys.
    Passkeys,
    /// Your passkeys, for the first time.
    Welcome,
    /// The console: which page of it, and what is asked there.
    Console(Option<&'static str>, Vec<(&'static str, String)>),
    /// Entering a code, which a link may have brought.
    Device(Option<String>),
    /// A client's request that waits for an answer.
    Consent(String),
}

impl Target {
    /// What the page at `path` was asked for with `form`.
    pub(crate) fn of(path: &str, form: &Form) -> Self {
        let mut segments = path.trim_matches('/').split('/').skip(1);
        match (segments.next().unwrap_or_default(), segments.next()) {
            ("admin", page) => Self::console(page, form),
            (page, _) => Self::named(page, form),
        }
    }

    /// What the fields of a login form say.
    pub(crate) fn asked(form: &Form) -> Self {
        Self::named(form.find("to").unwrap_or_default(), form)
    }

    fn named(page: &str, form: &Form) -> Self {
        match page {
            "passkeys" => Self::Passkeys,
            "admin" => Self::console(form.find("page"), form),
            "device" => {
                let typed = form.find("user_code").or_else(|| form.find("code"));
                Self::Device(typed.and_then(user_code::parse))
            }
            "consent" => match form.find("request") {
                Some(handle) if spelling::parse::<RANDOM_BYTES>(Prefix::Web, handle).is_ok() => {
                    Self::Consent(handle.to_owned())
                }
                _ => Self::Sessions,
            },
            _ => Self::Sessions,
        }
    }

    /// SECURITY: a page that there is, and nothing of its query but what is asked for: what is typed into forms stays out of
    /// addresses.
    fn console(page: Option<&str>, form: &Form) -> Self {
        let page = page.and_then(console::find_page);
        let asked = ["of", "do", "which"].into_iter();
        let query = asked.filter_map(|name| Some((name, form.find(name)?.to_owned())));
        Self::Console(page, query.filter(|_| page.is_some()).collect())
    }

    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let to = |page: &str| ("to", page.to_owned());
        match self {
            Self::Sessions => vec![to("sessions")],
            Self::Passkeys => vec![to("passkeys")],
            Self::Welcome => vec![to("passkeys"), ("done", "welcome".to_owned())],
            Self::Console(page, query) => {
                let page = page.map(|page| ("page", page.to_owned()));
                std::iter::once(to("admin")).chain(page).chain(query.iter().cloned()).collect()
            }
            Self::Device(None) => vec![to("device")],
            Self::Device(Some(code)) => vec![to("device"), ("user_code", user_code::render(code))],
            Self::Consent(handle) => vec![to("consent"), ("request", handle.clone())],
        }
    }

    /// The page itself, with what it needs.
    fn address(&self, org: &str) -> String {
        let fields = self.fields();
        let (segments, query): (Vec<_>, Vec<_>) =
            fields.iter().partition(|(name, _)| matches!(*name, "to" | "page"));
        let path: Vec<&str> = segments.iter().map(|(_, segment)| segment.as_str()).collect();
        let join = if query.is_empty() { "" } else { "?" };
        format!("/{org}/{}{join}{}", path.join("/"), encode(query.into_iter()))
    }

    /// The login page, which leads here.
    pub(crate) fn to_login(&self, path: &str) -> Response {
        let org = path.trim_matches('/').split('/').next().unwrap_or_default();
        self.login(org, "")
    }

    /// The login page, which leads here, also for somebody who is logged in already: they must prove it again.
    pub(crate) fn to_login_again(&self, org: &str) -> Response {
        self.login(org, "&again=1")
    }

    fn login(&self, org: &str, more: &str) -> Response {
        see_other(&format!("/{org}/login?{}{more}", encode(self.fields().iter())))
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Sessions | Self::Passkeys | Self::Welcome => "To see what can act for you, and end it.",
            Self::Console(..) => "To the console of this organisation.",
            Self::Device(_) => "Then enter the code that your terminal shows.",
            Self::Consent(_) => "Then you are asked whether a program may act for you.",
        }
    }
}

fn encode<'a>(fields: impl Iterator<Item = &'a (&'static str, String)>) -> String {
    let pairs = fields.map(|(name, value)| (*name, value.as_str()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// `GET /{org}`: on to the sessions.
pub(crate) async fn front(stranger: Stranger) -> Response {
    see_other(&Target::Sessions.address(stranger.org.org.name.as_str()))
}

/// `GET /{org}/login`
pub(crate) async fn show(stranger: Stranger) -> Result<Response, Trouble> {
    let again = stranger.visit.form.find("again").is_some();
    let target = Target::asked(&stranger.visit.form);
    if !again && stranger.login().await?.is_some() {
        return Ok(see_other(&target.address(stranger.org.org.name.as_str())));
    }
    let notice = again.then_some(match target {
        Target::Consent(_) => "The program asks you to log in once more, to be sure that it is you.",
        _ => "This needs a login of the last few minutes. Log in once more, then repeat what you did.",
    });
    login_page(&stranger, target, StatusCode::OK, notice).await
}

pub(crate) async fn login_page(
    stranger: &Stranger,
    target: Target,
    status: StatusCode,
    notice: Option<&'static str>,
) -> Result<Response, Trouble> {
    let org = stranger.head();
    let provider = stranger.visit.issuer.store.login_provider(stranger.org.id()).await?;
    let shown = LoginPage {
        provider: provider.map(|provider| provider.name),
        provider_alone: stranger.org.org.requires.demand.sso,
        again: stranger.visit.form.find("again").is_some(),
        frame: Frame::of(&org, "Log in"),
        org,
        csrf: stranger.browser.csrf.clone(),
        reason: target.reason(),
        notice,
        target: target.fields(),
    };
    Ok(stranger.browser.remember(&stranger.visit.issuer, page(status, &shown)))
}

/// `POST /{org}/login`: begins the ceremony, or ends it.
pub(crate) async fn answer(stranger: Stranger) -> Response {
    if stranger.visit.form.find("step") == Some("begin") {
        return begin(&stranger).await.unwrap_or_else(Trouble::json);
    }
    match finish(&stranger).await {
        Ok(response) => response,
        Err(Refused::Login(notice)) => {
            let target = Target::asked(&stranger.visit.form);
            let shown = login_page(&stranger, target, StatusCode::FORBIDDEN, Some(notice)).await;
            shown.unwrap_or_else(|trouble| trouble.at(stranger.head()).into_response())
        }
        Err(Refused::Trouble(trouble)) => trouble.at(stranger.head()).into_response(),
    }
}

async fn begin(stranger: &Stranger) -> Result<Response, Trouble> {
    if stranger.org.org.requires.demand.sso {
        return Err(Trouble::provider_alone());
    }
    let begun = stranger.visit.issuer.relying_party.begin_login().map_err(Trouble::ceremony)?;
    let kind = CeremonyKind::Login { org: stranger.org.id() };
    begin_ceremony(&stranger.visit, Actor::Nobody, kind, &stranger.browser.cookie, begun).await
}

/// Keeps the server's half of a ceremony and gives the browser its own.
pub(crate) async fn begin_ceremony(
    visit: &crate::web::Visit,
    actor: Actor,
    kind: CeremonyKind,
    browser: &Secret<WebCookie>,
    begun: Begun,
) -> Result<Response, Trouble> {
    visit.count_write()?;
    let begin = BeginCeremony { kind, bound_to: Some(again(browser)), state: begun.state };
    let handle = visit.issuer.store.change(actor, visit.now, begin).await?;
    let answer = serde_json::json!({ "ceremony": handle.expose_text(), "options": begun.options });
    Ok(json(StatusCode::OK, &answer))
}

/// Takes the server's half of a ceremony out, once, if it is of this kind and began in this browser.
pub(crate) async fn take_ceremony(
    visit: &crate::web::Visit,
    actor: Actor,
    browser: &Secret<WebCookie>,
    is_right: impl FnOnce(&CeremonyKind) -> bool,
) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(handle) = visit.form.secret("ceremony") else { return Ok(None) };
    let take = TakeCeremony { handle, bound_to: Some(again(browser)) };
    let taken = visit.issuer.store.change(actor, visit.now, take).await?;
    Ok(taken.filter(|ceremony| is_right(&ceremony.kind)).map(|ceremony| ceremony.state))
}

pub(crate) fn again(secret: &Secret<WebCookie>) -> Secret<WebCookie> {
    Secret::new(secret.expose().to_vec())
}

/// Why a login came to nothing.
enum Refused {
    /// They may try again on the same page.
    Login(&'static str),
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

const UNKNOWN: &str = "That passkey is not known to this organisation. Choose another, or ask an administrator for an enrolment link.";
const OVER: &str = "That took too long, or was done in another browser. Try once more.";

async fn finish(stranger: &Stranger) -> Result<Response, Refused> {
    let (visit, org) = (&stranger.visit, &stranger.org);
    let form = &visit.form;
    let Some(credential) = form.find("credential") else { return Err(Trouble::no_script().into()) };
    if org.org.requires.demand.sso {
        let record = RecordRefusal { subject: RefusedSubject::org(org.id()), rule: "sso_only" };
        visit.issuer.store.change(Actor::Nobody, visit.now, record).await?;
        return Err(Trouble::provider_alone().into());
    }
    let right = |kind: &CeremonyKind| *kind == CeremonyKind::Login { org: org.id() };
    let state = take_ceremony(visit, Actor::Nobody, &stranger.browser.cookie, right).await?;
    let state = state.ok_or(Refused::Login(OVER))?;
    let refused = |why: crate::passkey::BadPasskey| {
        tracing::info!(org.id = %org.id(), because = %why, "a passkey login was refused");
        Refused::Login("The passkey was refused. Try once more.")
    };
    let presented = Presented::parse(credential).map_err(|why| {
        visit.issuer.store.count_stranger("malformed passkey");
        refused(why)
    })?;
    // SECURITY: looked for in this org alone. Orgs share the relying party id, so a browser may bring another's.
    let Some(passkey) = visit.issuer.store.find_passkey(org.id(), presented.credential()).await? else {
        visit.issuer.store.count_stranger("unknown passkey");
        return Err(Refused::Login(UNKNOWN));
    };
    let state = match visit.issuer.relying_party.finish_login(&state, &presented, &passkey.state) {
        Ok(state) => state,
        Err(why) => {
            let subject = RefusedSubject { principal: Some(passkey.person), ..RefusedSubject::org(org.id()) };
            let record = RecordRefusal { subject, rule: "passkey" };
            visit.issuer.store.change(Actor::Nobody, visit.now, record).await?;
            return Err(refused(why));
        }
    };
    let login =
        FinishLogin { org: org.id(), passkey: passkey.id, state, authentication: by_passkey(visit.now) };
    let opened = visit.issuer.store.change(Actor::Principal(passkey.person), visit.now, login).await?;
    match opened {
        Ok(opened) => Ok(logged_in(&visit.issuer, org.org.name.as_str(), &opened, &Target::asked(form))),
        Err(LoginRefusal::Disabled) => {
            Err(Refused::Login("You are disabled in this organisation. Ask an administrator."))
        }
        Err(_) => Err(Refused::Login(UNKNOWN)),
    }
}

/// How somebody who used or made a passkey proved who they are: a key, with the person verified by its authenticator.
pub(crate) fn by_passkey(now: Timestamp) -> Authentication {
    Authentication { at: now, acr: Acr::PhishingResistant, amr: vec![Amr::Pop, Amr::User, Amr::Mfa] }
}

/// Leaves the login with the browser and leads on. 303, so that no form goes along.
pub(crate) fn logged_in(issuer: &Issuer, org: &str, opened: &WebOpened, target: &Target) -> Response {
    let mut response = see_other(&target.address(org));
    let set = cookies::set(&issuer.settings.base_url, CookieOf::Login(org), &opened.cookie);
    response.headers_mut().append(SET_COOKIE, set);
    response
}

/// `POST /{org}/logout`
pub(crate) async fn log_out(person: Person) -> Result<Response, Trouble> {
    let actor = person.actor();
    let end = EndWeb { cookie: again(&person.cookie) };
    person.visit.issuer.store.change(actor, person.visit.now, end).await?;
    let org = person.org.org.name.as_str();
    let mut response = see_other(&format!("/{org}/login"));
    let clear = cookies::clear(&person.visit.issuer.settings.base_url, CookieOf::Login(org));
    response.headers_mut().append(SET_COOKIE, clear);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(query: &str) -> Target {
        Target::asked(&Form::parse(query.as_bytes()).unwrap())
    }

    #[test]
    fn a_login_leads_to_our_own_pages_and_nowhere_else() {
        assert_eq!(target("to=passkeys").address("acme"), "/acme/passkeys");
        assert_eq!(
            target("to=device&user_code=wdjb-mjht").address("acme"),
            "/acme/device?user_code=WDJB-MJHT"
        );
        for elsewhere in [
            "",
            "to=https://evil.example",
            "to=//evil.example",
            "to=consent&request=//evil.example",
            "to=consent&request=hpw_x%0d%0aSet-Cookie:a",
            "continue=https://evil.example",
        ] {
            assert_eq!(target(elsewhere).address("acme"), "/acme/sessions", "{elsewhere}");
        }
        assert_eq!(target("to=device&user_code=%2F%2Fevil").address("acme"), "/acme/device");
        assert_eq!(
            target("to=admin&page=clients&of=%2F%2Fevil%0d%0a&do=rotate&jwks=secret").address("acme"),
            "/acme/admin/clients?of=%2F%2Fevil%0D%0A&do=rotate"
        );
        assert_eq!(target("to=admin&page=..%2F..%2Fevil&of=x").address("acme"), "/acme/admin");
    }
}
