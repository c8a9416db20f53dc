//! Set-up: the first org, its first administrator and their passkey, by a link that only the operator has.
//!
//! As at enrolment, the link's secret stands behind the `#`, and the POST that brings the passkey spends it. Everything is
//! made in one transaction: there is no org without an administrator who can log in.

use axum::response::{IntoResponse, Response};
use hallpass_model::jose::SigningKey;
use hallpass_model::ledger::Actor;
use hallpass_model::principal::{BadHandle, Handle};
use hallpass_model::purpose::plain;
use hallpass_model::secret::{OneTimeLink, Secret};
use hallpass_store::{AddOrg, CeremonyKind, LinkPurpose, LoginRefusal, SetUp, SigningKeyRow};
use http::StatusCode;

use crate::login::{Target, begin_ceremony, by_passkey, logged_in, take_ceremony};
use crate::pages::Frame;
use crate::pages::answer::page;
use crate::pages::entering::SetUpPage;
use crate::passkey::{NewHolder, UserHandle};
use crate::passkeys_page::made;
use crate::trouble::Trouble;
use crate::web::Newcomer;

/// A name for people, at most: it must fit a heading.
const NAME_MAX: usize = 80;

/// `GET /setup`
pub(crate) async fn show(newcomer: Newcomer) -> Response {
    let shown = SetUpPage {
        frame: Frame::bare("Set up"),
        csrf: newcomer.browser.csrf.clone(),
        base: newcomer.visit.issuer.settings.base_url.origin().to_owned(),
    };
    newcomer.browser.remember(&newcomer.visit.issuer, page(StatusCode::OK, &shown))
}

/// `POST /setup`: begins the ceremony, or ends it and spends the link.
pub(crate) async fn answer(newcomer: Newcomer) -> Response {
    if newcomer.visit.form.find("step") == Some("begin") {
        return begin(&newcomer).await.unwrap_or_else(Trouble::json);
    }
    finish(&newcomer).await.unwrap_or_else(IntoResponse::into_response)
}

/// What the form says, well-formed.
struct Names {
    org: Handle,
    title: String,
    handle: Handle,
    person: String,
}

impl Names {
    fn read(newcomer: &Newcomer) -> Result<Self, Trouble> {
        let form = &newcomer.visit.form;
        let bad = |what: String| {
            Trouble::new(StatusCode::BAD_REQUEST, "A name cannot be used", what, "Change it, then try again.")
        };
        let handle = |why: BadHandle| bad(format!("{why}."));
        let name = |field, what: &str| {
            let name = plain(form.find(field).unwrap_or_default(), NAME_MAX);
            if name.is_empty() { Err(bad(format!("{what} is missing."))) } else { Ok(name) }
        };
        Ok(Self {
            org: Handle::org_name(form.find("name").unwrap_or_default()).map_err(handle)?,
            title: name("title", "The organisation's name")?,
            handle: form.find("handle").unwrap_or_default().parse().map_err(handle)?,
            person: name("person", "Your name")?,
        })
    }
}

async fn begin(newcomer: &Newcomer) -> Result<Response, Trouble> {
    let visit = &newcomer.visit;
    let link = link(newcomer)?;
    let found = visit.issuer.store.find_link(&link, visit.now).await?;
    if found.is_none_or(|found| found.purpose != LinkPurpose::SetUp) {
        visit.issuer.store.count_stranger("unknown link");
        return Err(link_over());
    }
    let names = Names::read(newcomer)?;
    if visit.issuer.store.find_org_by_name(names.org.as_str()).await?.is_some() {
        return Err(taken(&names.org));
    }
    let user = UserHandle::new(&*visit.issuer.entropy);
    let holder = NewHolder {
        org: names.org.as_str(),
        org_title: &names.title,
        handle: names.handle.as_str(),
        name: &names.person,
        user,
    };
    let begun = visit.issuer.relying_party.begin_registration(&holder, &[]).map_err(Trouble::ceremony)?;
    begin_ceremony(visit, Actor::Nobody, CeremonyKind::SetUp, &newcomer.browser.cookie, begun).await
}

async fn finish(newcomer: &Newcomer) -> Result<Response, Trouble> {
    let visit = &newcomer.visit;
    let (link, names) = (link(newcomer)?, Names::read(newcomer)?);
    let Some(credential) = visit.form.find("credential") else { return Err(Trouble::no_script()) };
    let right = |kind: &CeremonyKind| *kind == CeremonyKind::SetUp;
    let state = take_ceremony(visit, Actor::Nobody, &newcomer.browser.cookie, right).await?;
    let passkey = made(&visit.issuer, &state.ok_or_else(Trouble::ceremony_over)?, credential, None)?;
    let key = SigningKey::generate();
    let signing = SigningKeyRow { kid: key.kid().to_owned(), pkcs8: Secret::new(key.to_pkcs8().to_vec()) };
    let org = AddOrg {
        name: names.org.clone(),
        title: names.title,
        administrator: (names.handle, names.person),
        signing,
    };
    let set_up = SetUp { link, org, passkey, authentication: by_passkey(visit.now) };
    match visit.issuer.store.change(Actor::Nobody, visit.now, set_up).await? {
        Ok(done) => Ok(logged_in(&visit.issuer, names.org.as_str(), &done.web, &Target::Welcome)),
        Err(LoginRefusal::Taken) => Err(taken(&names.org)),
        Err(_) => Err(link_over()),
    }
}

fn link(newcomer: &Newcomer) -> Result<Secret<OneTimeLink>, Trouble> {
    newcomer.visit.form.secret("link").ok_or_else(link_over)
}

fn taken(name: &Handle) -> Trouble {
    let what = format!("The short name `{name}` is in use, or was once.");
    Trouble::new(
        StatusCode::CONFLICT,
        "The name is taken",
        what,
        "Choose another short name for your organisation.",
    )
}

fn link_over() -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "This set-up link does not work",
        "It was used already, is more than 15 minutes old, or was replaced by a newer one. Part of it may be missing.",
        "On the server, run `hallpass admin setup-link`: it shows a new one.",
    )
}
