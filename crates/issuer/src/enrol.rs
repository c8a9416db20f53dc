//! Enrolment: a person's first passkey, or another after a loss, by a one-time link.
//!
//! The link's secret stands behind the `#` of its address, where browsers keep it to themselves: it is in no log and no
//! `Referer`, and is spent by the POST that brings the passkey. Opening the link spends nothing.

use axum::response::{IntoResponse, Response};
use hallpass_model::id::PrincipalId;
use hallpass_model::ledger::Actor;
use hallpass_store::{CeremonyKind, FinishEnrolment, LinkPurpose, LoginRefusal};
use http::StatusCode;

use crate::login::{Target, begin_ceremony, by_passkey, logged_in, take_ceremony};
use crate::pages::Frame;
use crate::pages::answer::page;
use crate::pages::entering::EnrolPage;
use crate::passkey::{NewHolder, UserHandle};
use crate::passkeys_page::{made, refused};
use crate::trouble::Trouble;
use crate::web::Stranger;

/// `GET /{org}/enrol`
pub(crate) async fn show(stranger: Stranger) -> Result<Response, Trouble> {
    let org = stranger.head();
    let provider = stranger.visit.issuer.store.login_provider(stranger.org.id()).await?;
    let shown = EnrolPage {
        frame: Frame::of(&org, "Join"),
        org,
        csrf: stranger.browser.csrf.clone(),
        provider: provider.map(|provider| provider.name),
        provider_alone: stranger.org.org.requires.demand.sso,
    };
    Ok(stranger.browser.remember(&stranger.visit.issuer, page(StatusCode::OK, &shown)))
}

/// `POST /{org}/enrol`: begins the ceremony, or ends it and spends the link.
pub(crate) async fn answer(stranger: Stranger) -> Response {
    if stranger.visit.form.find("step") == Some("begin") {
        return begin(&stranger).await.unwrap_or_else(Trouble::json);
    }
    finish(&stranger).await.unwrap_or_else(|trouble| trouble.at(stranger.head()).into_response())
}

async fn begin(stranger: &Stranger) -> Result<Response, Trouble> {
    if stranger.org.org.requires.demand.sso {
        return Err(Trouble::provider_alone());
    }
    let person = enrolled(stranger).await?;
    let store = &stranger.visit.issuer.store;
    let Some(row) = store.find_person(person).await? else { return Err(link_over()) };
    let known = store.list_passkeys(person).await?;
    let known: Vec<&str> = known.iter().map(|passkey| passkey.state.as_str()).collect();
    let user = known.first().map(|kept| UserHandle::of(kept)).transpose().map_err(Trouble::ceremony)?;
    let user = user.unwrap_or_else(|| UserHandle::from(person));
    let holder = NewHolder::of(&stranger.org.org, row.handle.as_str(), &row.name, user);
    let begun =
        stranger.visit.issuer.relying_party.begin_registration(&holder, &known).map_err(Trouble::ceremony)?;
    begin_ceremony(
        &stranger.visit,
        Actor::Nobody,
        CeremonyKind::Enrol { person },
        &stranger.browser.cookie,
        begun,
    )
    .await
}

async fn finish(stranger: &Stranger) -> Result<Response, Trouble> {
    if stranger.org.org.requires.demand.sso {
        return Err(Trouble::provider_alone());
    }
    let visit = &stranger.visit;
    let person = enrolled(stranger).await?;
    let Some(credential) = visit.form.find("credential") else { return Err(Trouble::no_script()) };
    let right = |kind: &CeremonyKind| *kind == CeremonyKind::Enrol { person };
    let state = take_ceremony(visit, Actor::Nobody, &stranger.browser.cookie, right).await?;
    let passkey = made(&visit.issuer, &state.ok_or_else(Trouble::ceremony_over)?, credential, None)?;
    let Some(link) = visit.form.secret("link") else { return Err(link_over()) };
    let enrolment = FinishEnrolment { link, passkey, authentication: by_passkey(visit.now) };
    match visit.issuer.store.change(Actor::Principal(person), visit.now, enrolment).await? {
        Ok(opened) => Ok(logged_in(&visit.issuer, stranger.org.org.name.as_str(), &opened, &Target::Welcome)),
        Err(LoginRefusal::Passkey(refusal)) => Err(refused(refusal)),
        Err(_) => Err(link_over()),
    }
}

/// Whom the link enrols, here and now. SECURITY: a link of another org enrols nobody here.
async fn enrolled(stranger: &Stranger) -> Result<PrincipalId, Trouble> {
    let Some(link) = stranger.visit.form.secret("link") else { return Err(link_over()) };
    let found = stranger.visit.issuer.store.find_link(&link, stranger.visit.now).await?;
    match found.filter(|link| link.org == Some(stranger.org.id())).map(|link| link.purpose) {
        Some(LinkPurpose::Enrol { person }) => Ok(person),
        _ => {
            stranger.visit.issuer.store.count_stranger("unknown link");
            Err(link_over())
        }
    }
}

fn link_over() -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "This link does not work",
        "It was used already, is more than a day old, or was replaced by a newer one. Part of it may be missing.",
        "Ask an administrator of your organisation for a new enrolment link.",
    )
}
