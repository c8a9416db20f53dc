//! Your passkeys: a second one, and taking one away that is not the last.

use axum::response::{IntoResponse, Response};
use hallpass_model::lifetimes::RECENT_LOGIN;
use hallpass_model::purpose::plain;
use hallpass_model::role::Act;
use hallpass_store::{
    AddPasskey, CeremonyKind, NewPasskey, Passkey, PasskeyRefusal, PasskeyRemoved, RemovePasskey, RemovedBy,
};
use http::StatusCode;

use crate::authorize::see_other;
use crate::login::{Target, begin_ceremony, take_ceremony};
use crate::pages::Here;
use crate::pages::account::{PasskeyLine, PasskeysPage};
use crate::pages::answer::page;
use crate::pages::when::Moment;
use crate::passkey::{NewHolder, UserHandle};
use crate::trouble::Trouble;
use crate::web::Person;

/// What a person calls a passkey, at most.
const NAME_MAX: usize = 64;

/// `GET /{org}/passkeys`
pub(crate) async fn show(person: Person) -> Result<Response, Trouble> {
    person.permit(Act::RunOwnPasskeys).await?;
    let passkeys = person.visit.issuer.store.list_passkeys(person.person.id).await?;
    let shown = PasskeysPage {
        frame: person.frame(Here::Passkeys, "Your passkeys"),
        org: person.head(),
        csrf: person.csrf.clone(),
        passkeys: passkeys.iter().map(|passkey| line(passkey, &person)).collect(),
        notice: person.visit.form.find("done").and_then(notice),
    };
    Ok(page(StatusCode::OK, &shown))
}

fn notice(done: &str) -> Option<&'static str> {
    match done {
        "welcome" => {
            Some("Welcome. You are logged in. Add a second passkey, on another device, while you are here.")
        }
        "added" => Some("Added. You can log in with it from now on."),
        "removed" => Some("Removed. It logs in no more."),
        "last" => Some("That is your only passkey. Add another before you remove it."),
        _ => None,
    }
}

/// One passkey, for a page.
pub(crate) fn line(passkey: &Passkey, person: &Person) -> PasskeyLine {
    let now = person.visit.now;
    PasskeyLine {
        id: passkey.id.to_string(),
        name: passkey.name.clone(),
        added: Moment::new(passkey.created, now),
        used: passkey.used.map(|used| Moment::new(used, now)),
    }
}

/// `POST /{org}/passkeys`: begins adding one, ends it, or removes one.
pub(crate) async fn change(person: Person) -> Response {
    let step = person.visit.form.find("step");
    // SECURITY: whoever finds a browser unlocked must not make themselves a way back in.
    if !person.is_recent() {
        return match step {
            Some("begin") => Trouble::not_recent().json(),
            _ => Target::Passkeys.to_login_again(person.org.org.name.as_str()),
        };
    }
    match step {
        Some("begin") => begin(&person).await.unwrap_or_else(Trouble::json),
        Some("remove") => {
            remove(&person).await.unwrap_or_else(|trouble| trouble.at(person.head()).into_response())
        }
        _ => add(&person).await.unwrap_or_else(|trouble| trouble.at(person.head()).into_response()),
    }
}

impl Person {
    /// Whether they logged in recently enough to change how they, or others, log in.
    pub(crate) fn is_recent(&self) -> bool {
        self.visit.now.since(self.web.authentication.at) < RECENT_LOGIN
    }
}

async fn begin(person: &Person) -> Result<Response, Trouble> {
    person.permit(Act::RunOwnPasskeys).await?;
    let known = person.visit.issuer.store.list_passkeys(person.person.id).await?;
    let known: Vec<&str> = known.iter().map(|passkey| passkey.state.as_str()).collect();
    // Filed beside the ones they have. A person who is logged in has one.
    let user = known.first().map(|kept| UserHandle::of(kept)).transpose().map_err(Trouble::ceremony)?;
    let user = user.unwrap_or_else(|| UserHandle::from(person.person.id));
    let holder = NewHolder::of(&person.org.org, person.person.handle.as_str(), &person.person.name, user);
    let begun =
        person.visit.issuer.relying_party.begin_registration(&holder, &known).map_err(Trouble::ceremony)?;
    let kind = CeremonyKind::AddPasskey { person: person.person.id };
    begin_ceremony(&person.visit, person.actor(), kind, &person.cookie, begun).await
}

async fn add(person: &Person) -> Result<Response, Trouble> {
    let form = &person.visit.form;
    let Some(credential) = form.find("credential") else { return Err(Trouble::no_script()) };
    let right = |kind: &CeremonyKind| *kind == CeremonyKind::AddPasskey { person: person.person.id };
    let state = take_ceremony(&person.visit, person.actor(), &person.cookie, right).await?;
    let state = state.ok_or_else(Trouble::ceremony_over)?;
    let passkey = made(&person.visit.issuer, &state, credential, form.find("name"))?;
    let add = AddPasskey { person: person.person.id, passkey };
    match person.change(Act::RunOwnPasskeys, add).await? {
        Ok(_) => Ok(see_other(&format!("{}?done=added", person.path("passkeys")))),
        Err(refusal) => Err(refused(refusal).link(person.path("passkeys"), "Your passkeys")),
    }
}

/// Judges a passkey that was just made, and names it.
pub(crate) fn made(
    issuer: &crate::Issuer,
    state: &[u8],
    credential: &str,
    name: Option<&str>,
) -> Result<NewPasskey, Trouble> {
    let made = issuer.relying_party.finish_registration(state, credential).map_err(Trouble::ceremony)?;
    let name = plain(name.unwrap_or_default(), NAME_MAX);
    let name = if name.is_empty() { "First passkey".to_owned() } else { name };
    Ok(NewPasskey { credential: made.credential, name, state: made.state })
}

/// A passkey that the store would not take.
pub(crate) fn refused(refusal: PasskeyRefusal) -> Trouble {
    Trouble::new(
        StatusCode::CONFLICT,
        "The passkey was not added",
        format!("Nothing was changed: {refusal}."),
        "Look at the list of your passkeys. Remove one that you do not use, or make the new one on another device.",
    )
}

async fn remove(person: &Person) -> Result<Response, Trouble> {
    let passkey = person.visit.form.required("passkey")?.parse().map_err(|_| Trouble::not_found())?;
    let by = RemovedBy::Themselves(person.person.id);
    let remove = RemovePasskey { org: person.org.id(), passkey, by };
    let done = match person.change(Act::RunOwnPasskeys, remove).await? {
        PasskeyRemoved::Removed => "removed",
        PasskeyRemoved::LastOne => "last",
        PasskeyRemoved::NotThere => return Err(Trouble::not_found()),
    };
    Ok(see_other(&format!("{}?done={done}", person.path("passkeys"))))
}
