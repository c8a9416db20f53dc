//! Browsers: which page is asked for, by whom, and whether a form is to be believed.
//!
//! A handler says by its argument who may come: [`Stranger`] is anybody at an org's pages, [`Person`] somebody who is
//! logged in to that very org. Each of them reads the request whole, and believes a POST only with both proofs of `forms`; so
//! no handler can forget to ask. Nothing is changed in a person's name
//! but by [`Person::change`], which wants to hear what act of the table of roles it is.

pub(crate) mod cookies; // what they are called, and how long browsers keep them
pub(crate) mod forms; // whether a posted form came from a page of ours

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use hallpass_model::ledger::Actor;
use hallpass_model::principal::Principal;
use hallpass_model::role::Act;
use hallpass_model::secret::{Secret, WebCookie};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Form;
use hallpass_store::{Change, InBrowser, RecordRefusal, RefusedSubject, Roles, TouchWeb, WebSession};
use http::header::{ACCEPT, SET_COOKIE};
use http::{HeaderMap, Method};

use crate::form::{at_org, posted};
use crate::listen::RequesterAddress;
use crate::login::Target;
use crate::org::OrgIssuer;
use crate::pages::{Frame, Here, OrgHead, PersonHead};
use crate::routes::{Access, Routes};
use crate::trouble::Trouble;
use crate::{
    Issuer, agents_page, assets, consent, console, device_page, enrol, login, notices_page, passkeys_page,
    provider_login, report_page, sessions_page, setup, trouble,
};
use cookies::CookieOf;

/// The pages, and who may ask for them.
pub(crate) fn routes(routes: Routes) -> Routes {
    routes
        .get("/", Access::Anyone, trouble::no_org)
        .get("/assets/{name}", Access::Anyone, assets::asset)
        .get("/setup", Access::Anyone, setup::show)
        .post("/setup", Access::Link, setup::answer)
        .get("/{org}", Access::Anyone, login::front)
        .get("/{org}/", Access::Anyone, login::front)
        .get("/{org}/enrol", Access::Anyone, enrol::show)
        .post("/{org}/enrol", Access::Link, enrol::answer)
        .get("/{org}/login", Access::Anyone, login::show)
        .post("/{org}/login", Access::Anyone, login::answer)
        .post("/{org}/login/provider", Access::Anyone, provider_login::begin)
        .get("/{org}/login/provider", Access::Anyone, provider_login::back)
        .get("/{org}/report", Access::Anyone, report_page::show)
        .post("/{org}/report", Access::Finder, report_page::answer)
        .post("/{org}/logout", Access::Person, login::log_out)
        .get("/{org}/consent", Access::Person, consent::show)
        .post("/{org}/consent", Access::Person, consent::answer)
        .get("/{org}/device", Access::Person, device_page::show)
        .post("/{org}/device", Access::Person, device_page::answer)
        .get("/{org}/device/answer", Access::Person, device_page::answered)
        .post("/{org}/device/end", Access::Person, device_page::end)
        .get("/{org}/sessions", Access::Person, sessions_page::show)
        .post("/{org}/sessions", Access::Person, sessions_page::end)
        .get("/{org}/agents", Access::Person, agents_page::show)
        .post("/{org}/agents", Access::Person, agents_page::change)
        .get("/{org}/notices", Access::Person, notices_page::show)
        .post("/{org}/notices", Access::Person, notices_page::read)
        .get("/{org}/passkeys", Access::Person, passkeys_page::show)
        .post("/{org}/passkeys", Access::Person, passkeys_page::change)
        .get("/{org}/admin", Access::Person, console::front)
        .get("/{org}/admin/", Access::Person, console::front)
        .get("/{org}/admin/{page}", Access::Person, console::show)
        .post("/{org}/admin/{page}", Access::Person, console::change)
}

/// A request to a page, read; nobody is believed yet.
pub(crate) struct Visit {
    /// The issuing service.
    pub(crate) issuer: Issuer,
    /// Where it came from, as far as we can see.
    pub(crate) address: Option<IpAddr>,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its parameters: the body's for POST, the query's for GET.
    pub(crate) form: Form,
    /// When it came. The clock is read once an operation.
    pub(crate) now: Timestamp,
    method: Method,
    path: String,
}

impl Visit {
    async fn read(request: Request, issuer: &Issuer) -> Result<Self, Trouble> {
        let (parts, body) = request.into_parts();
        let form = if parts.method == Method::POST {
            forms::judge_origin(&issuer.settings.base_url, &parts.headers).map_err(Trouble::forged)?;
            posted(&parts.headers, body).await?
        } else {
            Form::parse(parts.uri.query().unwrap_or_default().as_bytes())?
        };
        Ok(Self {
            issuer: issuer.clone(),
            address: parts.extensions.get::<RequesterAddress>().map(|address| address.0),
            headers: parts.headers,
            form,
            now: issuer.clock.now(),
            method: parts.method,
            path: parts.uri.path().to_owned(),
        })
    }

    /// Whether the passkey script asks, and not the browser itself.
    pub(crate) fn is_script(&self) -> bool {
        self.headers.get(ACCEPT).is_some_and(|accept| accept == "application/json")
    }

    /// A segment of the path, from 0; nothing where it has none.
    pub(crate) fn segment(&self, at: usize) -> &str {
        self.path.trim_matches('/').split('/').nth(at).unwrap_or_default()
    }

    /// Counts something that the store will keep for whoever asks.
    pub(crate) fn count_write(&self) -> Result<(), Trouble> {
        self.issuer.limits.writes.spend(self.address, Instant::now()).map_err(|wait| {
            let next = format!("Wait {} seconds, then try again.", wait.as_secs() + 1);
            Trouble::too_many("Too many requests came from your network.", next)
        })
    }

    fn cookie(&self, which: CookieOf<'_>) -> Option<Secret<WebCookie>> {
        cookies::find(&self.issuer.settings.base_url, &self.headers, which)
    }

    /// A refusal in the form that whoever asks can read.
    fn refuse(&self, trouble: Trouble) -> Response {
        if self.is_script() { trouble.json() } else { trouble.into_response() }
    }
}

/// The browser of somebody who need not be logged in, tied to it by a cookie of its own.
pub(crate) struct Browser {
    /// What the cookie holds.
    pub(crate) cookie: Secret<WebCookie>,
    /// Whether it must be told to the browser yet.
    new: bool,
    /// The token of the forms shown to it.
    pub(crate) csrf: String,
}

impl Browser {
    /// Finds the browser's cookie, or makes one. A form is believed only with the token of this browser and place.
    fn of(visit: &Visit, place: &str) -> Result<Self, Trouble> {
        let found = visit.cookie(CookieOf::Browser);
        let new = found.is_none();
        if visit.method == Method::POST {
            let Some(cookie) = &found else { return Err(Trouble::forged(forms::Forged::Token)) };
            forms::judge_token(cookie.expose(), place, visit.form.find("csrf")).map_err(Trouble::forged)?;
        }
        let cookie = found.unwrap_or_else(|| cookies::new_browser(&*visit.issuer.entropy));
        let csrf = forms::token(cookie.expose(), place);
        Ok(Self { cookie, new, csrf })
    }

    /// Leaves the cookie with the browser, if it is a new one.
    pub(crate) fn remember(&self, issuer: &Issuer, mut response: Response) -> Response {
        if self.new {
            let set = cookies::set(&issuer.settings.base_url, CookieOf::Browser, &self.cookie);
            response.headers_mut().append(SET_COOKIE, set);
        }
        response
    }
}

/// Anybody at the server's own pages, which belong to no org.
pub(crate) struct Newcomer {
    pub(crate) visit: Visit,
    pub(crate) browser: Browser,
}

impl FromRequest<Issuer> for Newcomer {
    type Rejection = Response;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, Response> {
        let visit = Visit::read(request, issuer).await.map_err(IntoResponse::into_response)?;
        // No org's name begins with a slash.
        let browser = Browser::of(&visit, "/setup").map_err(|trouble| visit.refuse(trouble))?;
        Ok(Self { visit, browser })
    }
}

/// Anybody at the pages of an org.
pub(crate) struct Stranger {
    pub(crate) visit: Visit,
    pub(crate) org: Arc<OrgIssuer>,
    pub(crate) browser: Browser,
}

impl FromRequest<Issuer> for Stranger {
    type Rejection = Response;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, Response> {
        let (org, visit) = at_org_pages(request, issuer).await?;
        let browser = Browser::of(&visit, org.org.name.as_str()).map_err(|trouble| visit.refuse(trouble))?;
        Ok(Self { visit, org, browser })
    }
}

impl Stranger {
    /// The org, as pages name it.
    pub(crate) fn head(&self) -> OrgHead {
        OrgHead::from(&*self.org.org)
    }

    /// The login of this browser to this org, if it has one.
    pub(crate) async fn login(&self) -> Result<Option<WebSession>, Trouble> {
        find_login(&self.visit, &self.org).await.map(|found| found.map(|(_, web)| web))
    }
}

/// Somebody who is logged in to this very org, in this browser.
pub(crate) struct Person {
    pub(crate) visit: Visit,
    pub(crate) org: Arc<OrgIssuer>,
    /// Who.
    pub(crate) person: Principal,
    /// Their login.
    pub(crate) web: WebSession,
    /// What the login's cookie holds.
    pub(crate) cookie: Secret<WebCookie>,
    /// What they are in this org.
    pub(crate) roles: Roles,
    /// Whether the console has anything for them.
    pub(crate) console: bool,
    /// The token of the forms shown to them.
    pub(crate) csrf: String,
}

impl FromRequest<Issuer> for Person {
    type Rejection = Response;

    async fn from_request(request: Request, issuer: &Issuer) -> Result<Self, Response> {
        let (org, visit) = at_org_pages(request, issuer).await?;
        match Self::of(visit, org).await {
            Ok(person) => Ok(person),
            Err((visit, Some(trouble))) => Err(visit.refuse(trouble)),
            Err((visit, None)) if visit.is_script() => Err(Trouble::logged_out().json()),
            Err((visit, None)) => Err(Target::of(&visit.path, &visit.form).to_login(&visit.path)),
        }
    }
}

impl Person {
    /// `Err` without a trouble: they must log in first.
    async fn of(visit: Visit, org: Arc<OrgIssuer>) -> Result<Self, (Visit, Option<Trouble>)> {
        match Self::find(&visit, &org).await {
            Ok(Some((person, web, cookie, roles))) => {
                let csrf = forms::token(web.form_key.expose(), org.org.name.as_str());
                let mut found = Self { visit, org, person, web, cookie, roles, console: false, csrf };
                match found.sees_console().await {
                    Ok(sees) => found.console = sees,
                    Err(error) => return Err((found.visit, Some(error.into()))),
                }
                Ok(found)
            }
            Ok(None) => Err((visit, None)),
            Err(trouble) => Err((visit, Some(trouble))),
        }
    }

    async fn find(
        visit: &Visit,
        org: &OrgIssuer,
    ) -> Result<Option<(Principal, WebSession, Secret<WebCookie>, Roles)>, Trouble> {
        let Some((cookie, web)) = find_login(visit, org).await? else { return Ok(None) };
        if visit.method == Method::POST {
            forms::judge_token(web.form_key.expose(), org.org.name.as_str(), visit.form.find("csrf"))
                .map_err(Trouble::forged)?;
        }
        let store = &visit.issuer.store;
        let Some(person) = store.find_person(web.person).await? else { return Ok(None) };
        let roles = store.roles_of(org.id(), person.id).await?;
        if web.wants_touch(visit.now) {
            let touch = TouchWeb { cookie: Secret::new(cookie.expose().to_vec()) };
            store.change(Actor::Principal(person.id), visit.now, touch).await?;
        }
        Ok(Some((person, web, cookie, roles)))
    }

    /// Asks the table of roles whether they may do this. A refusal is recorded.
    pub(crate) async fn permit(&self, act: Act) -> Result<(), Trouble> {
        if self.roles.may(act) {
            return Ok(());
        }
        self.refuse_role().await?;
        Err(Trouble::nobody_may().at(self.head()).link(self.path("sessions"), "Your sessions"))
    }

    /// Records that they asked for what no role of theirs gives them.
    pub(crate) async fn refuse_role(&self) -> Result<(), Trouble> {
        let subject =
            RefusedSubject { principal: Some(self.person.id), ..RefusedSubject::org(self.org.id()) };
        let record = RecordRefusal { subject, rule: "role" };
        Ok(self.visit.issuer.store.change(self.actor(), self.visit.now, record).await?)
    }

    /// Does what this act is in their name: if they may, and unless their login has ended since they asked.
    pub(crate) async fn change<C: Change>(&self, act: Act, change: C) -> Result<C::Outcome, Trouble> {
        self.permit(act).await?;
        let change = InBrowser { login: self.web.login, change };
        let changed = self.visit.issuer.store.change(self.actor(), self.visit.now, change).await?;
        changed.map_err(|_| Trouble::logged_out().at(self.head()))
    }

    /// As the ledger names them.
    pub(crate) fn actor(&self) -> Actor {
        Actor::Principal(self.person.id)
    }

    /// The org, as pages name it.
    pub(crate) fn head(&self) -> OrgHead {
        OrgHead::from(&*self.org.org)
    }

    /// What a page shows around its own content.
    pub(crate) fn frame(&self, here: Here, title: &str) -> Frame {
        let person =
            PersonHead { name: self.person.name.clone(), console: self.console, csrf: self.csrf.clone() };
        Frame::for_person(&self.head(), &person, here, title)
    }

    /// The path of one of this org's pages.
    pub(crate) fn path(&self, page: &str) -> String {
        format!("/{}/{page}", self.org.org.name)
    }
}

async fn at_org_pages(request: Request, issuer: &Issuer) -> Result<(Arc<OrgIssuer>, Visit), Response> {
    let (mut parts, body) = request.into_parts();
    let org = at_org(&mut parts, issuer).await.map_err(|error| Trouble::from(error).into_response())?;
    let visit = Visit::read(Request::from_parts(parts, body), issuer).await;
    let visit = visit.map_err(|trouble| trouble.at(OrgHead::from(&*org.org)).into_response())?;
    Ok((org, visit))
}

/// SECURITY: the store is asked for cookie and org together: another org's login is no login here.
async fn find_login(
    visit: &Visit,
    org: &OrgIssuer,
) -> Result<Option<(Secret<WebCookie>, WebSession)>, Trouble> {
    let Some(cookie) = visit.cookie(CookieOf::Login(org.org.name.as_str())) else { return Ok(None) };
    let web = visit.issuer.store.find_web(&cookie, org.id(), visit.now).await?;
    Ok(web.map(|web| (cookie, web)))
}
