//! The people of an org, for its administrators: enrolment links, lost passkeys, disabling.

use axum::response::{IntoResponse, Response};
use hallpass_model::cut::{Target as CutTarget, Why};
use hallpass_model::id::PrincipalId;
use hallpass_model::principal::{Handle, Principal};
use hallpass_model::purpose::plain;
use hallpass_model::role::Act;
use hallpass_store::{
    AddPerson, CutMade, LinkPurpose, MakeCut, MakeLink, PasskeyRemoved, RemovePasskey, RemovedBy,
    SetPersonStanding, StandingSet,
};
use http::StatusCode;

use crate::admin::enrolment_url;
use crate::admin::forms::Revealed;
use crate::authorize::see_other;
use crate::login::Target;
use crate::pages::Here;
use crate::pages::account::{PeoplePage, PersonLine, PersonPage};
use crate::pages::answer::page;
use crate::passkeys_page::line;
use crate::trouble::Trouble;
use crate::web::Administrator;

/// People on one page.
const SHOWN: u32 = 50;
/// A name for people, at most: it must fit a heading.
const NAME_MAX: usize = 80;

/// `GET /{org}/people`: all of them, or one.
pub(crate) async fn show(administrator: Administrator) -> Result<Response, Trouble> {
    let form = &administrator.visit.form;
    let done = form.find("done").and_then(notice);
    match form.find("person") {
        Some(id) => {
            let person = load(&administrator, id).await?;
            one(&administrator, person, None, done).await
        }
        None => all(&administrator, StatusCode::OK, done).await,
    }
}

fn notice(done: &str) -> Option<&'static str> {
    match done {
        "removed" => {
            Some("The passkey is removed. What was begun with it goes on: end that, too, if it was stolen.")
        }
        "ended" => Some("Everything they held is ended, and they are logged out everywhere."),
        "disabled" => Some("Disabled. Everything they held is ended."),
        "suspended" => Some(
            "Disabled. Everything they held is ended, and what they answered for is suspended until somebody takes it over.",
        ),
        "enabled" => Some("Enabled."),
        "last" => {
            Some("They are the last active administrator. Add another to the administrators' team first.")
        }
        _ => None,
    }
}

async fn all(
    administrator: &Administrator,
    status: StatusCode,
    notice: Option<&'static str>,
) -> Result<Response, Trouble> {
    let store = &administrator.visit.issuer.store;
    let after = administrator.visit.form.find("after").and_then(|after| after.parse::<Handle>().ok());
    let listed = store.list_people(administrator.org.id(), after.as_ref(), SHOWN).await?;
    let next = listed.more.then(|| listed.items.last().map(|last| last.handle.to_string())).flatten();
    let mut people = Vec::with_capacity(listed.items.len());
    for person in listed.items {
        people.push(row(administrator, &person).await?);
    }
    let shown = PeoplePage {
        frame: administrator.frame(Here::People, "People"),
        org: administrator.head(),
        csrf: administrator.csrf.clone(),
        people,
        next,
        notice,
    };
    Ok(page(status, &shown))
}

async fn row(administrator: &Administrator, person: &Principal) -> Result<PersonLine, Trouble> {
    let store = &administrator.visit.issuer.store;
    Ok(PersonLine {
        id: person.id.to_string(),
        name: person.name.clone(),
        handle: person.handle.to_string(),
        administrator: store.list_teams_of(person.id).await?.contains(&administrator.org.org.administrators),
        disabled: !person.standing.is_active(),
        passkeys: store.list_passkeys(person.id).await?.len(),
    })
}

async fn one(
    administrator: &Administrator,
    person: Principal,
    link: Option<Revealed>,
    notice: Option<&'static str>,
) -> Result<Response, Trouble> {
    let passkeys = administrator.visit.issuer.store.list_passkeys(person.id).await?;
    let shown = PersonPage {
        frame: administrator.frame(Here::People, &person.name),
        org: administrator.head(),
        csrf: administrator.csrf.clone(),
        yourself: person.id == administrator.person.id,
        person: row(administrator, &person).await?,
        passkeys: passkeys.iter().map(|passkey| line(passkey, administrator)).collect(),
        link,
        notice,
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The person of this id, in this org and no other.
async fn load(administrator: &Administrator, id: &str) -> Result<Principal, Trouble> {
    let missing = || Trouble::not_found().at(administrator.head());
    let id: PrincipalId = id.parse().map_err(|_| missing())?;
    let person = administrator.visit.issuer.store.find_person(id).await?;
    person.filter(|person| person.org == administrator.org.id()).ok_or_else(missing)
}

/// `POST /{org}/people`
pub(crate) async fn change(administrator: Administrator) -> Response {
    // SECURITY: an enrolment link is a way in as somebody else: not from a browser that was left unlocked.
    if !administrator.is_recent() {
        return Target::People.to_login_again(administrator.org.org.name.as_str());
    }
    act(&administrator).await.unwrap_or_else(|trouble| trouble.at(administrator.head()).into_response())
}

async fn act(administrator: &Administrator) -> Result<Response, Trouble> {
    let form = &administrator.visit.form;
    let act = form.find("act").unwrap_or_default();
    if act == "add" {
        return add(administrator).await;
    }
    let person = load(administrator, form.required("person")?).await?;
    let done = match act {
        "link" => return invite(administrator, person).await,
        _ if person.id == administrator.person.id => return Err(Trouble::not_yourself()),
        "remove-passkey" => remove_passkey(administrator, &person).await?,
        "end" => end(administrator, &person).await?,
        "disable" => stand(administrator, &person, false).await?,
        "enable" => stand(administrator, &person, true).await?,
        _ => return Err(Trouble::no_answer()),
    };
    Ok(see_other(&format!("{}?person={}&done={done}", administrator.path("people"), person.id)))
}

async fn add(administrator: &Administrator) -> Result<Response, Trouble> {
    let form = &administrator.visit.form;
    let bad = |what: String| {
        Trouble::new(StatusCode::BAD_REQUEST, "Nobody was added", what, "Go back, change it, and try again.")
    };
    let handle = form.find("handle").unwrap_or_default().parse::<Handle>();
    let handle = handle.map_err(|why| bad(format!("{why}.")))?;
    let name = plain(form.find("name").unwrap_or_default(), NAME_MAX);
    if name.is_empty() {
        return Err(bad("The name is missing.".into()));
    }
    let add = AddPerson { org: administrator.org.id(), handle, name };
    let added = administrator.change(Act::RunDirectory, add).await?;
    let person = added.map_err(|why| bad(format!("Nothing was changed: {why}.")))?;
    let person = load(administrator, &person.to_string()).await?;
    invite(administrator, person).await
}

/// The link is shown in the answer itself, this once: no address leads to it.
async fn invite(administrator: &Administrator, person: Principal) -> Result<Response, Trouble> {
    let make = MakeLink { purpose: LinkPurpose::Enrol { person: person.id } };
    let issuer = &administrator.visit.issuer;
    let made = administrator.change(Act::RunDirectory, make).await?;
    let Some(made) = made else { return Err(Trouble::not_found()) };
    let link = enrolment_url(&issuer.settings.base_url, &administrator.org.org.name, &made.link);
    one(administrator, person, Some(link), None).await
}

async fn remove_passkey(administrator: &Administrator, person: &Principal) -> Result<&'static str, Trouble> {
    let passkey = administrator.visit.form.required("passkey")?.parse().map_err(|_| Trouble::not_found())?;
    let own = administrator.visit.issuer.store.list_passkeys(person.id).await?;
    if own.iter().all(|known| known.id != passkey) {
        return Err(Trouble::not_found());
    }
    let remove = RemovePasskey { org: administrator.org.id(), passkey, by: RemovedBy::Administrator };
    match administrator.change(Act::RemoveLostPasskey, remove).await? {
        PasskeyRemoved::Removed => Ok("removed"),
        PasskeyRemoved::NotThere | PasskeyRemoved::LastOne => Err(Trouble::not_found()),
    }
}

async fn end(administrator: &Administrator, person: &Principal) -> Result<&'static str, Trouble> {
    let cut = MakeCut {
        org: Some(administrator.org.id()),
        target: CutTarget::Principal(person.id),
        why: Why::EndedByAdministrator,
    };
    match administrator.change(Act::EndAnySession, cut).await? {
        CutMade::Cut(_) | CutMade::Already(_) => Ok("ended"),
        CutMade::NotThere => Err(Trouble::not_found()),
    }
}

async fn stand(
    administrator: &Administrator,
    person: &Principal,
    active: bool,
) -> Result<&'static str, Trouble> {
    let stand = SetPersonStanding { org: administrator.org.id(), person: person.id, active };
    let set = administrator.change(Act::RunDirectory, stand).await?;
    match set.standing {
        StandingSet::Done(standing) | StandingSet::Already(standing) if standing.is_active() => Ok("enabled"),
        StandingSet::Done(_) if !set.left.suspended.is_empty() => Ok("suspended"),
        StandingSet::Done(_) | StandingSet::Already(_) => Ok("disabled"),
        StandingSet::LastAdministrator => Ok("last"),
        // A person's owner is the administrators' team, of whom there is always one.
        StandingSet::NotThere | StandingSet::Unowned => Err(Trouble::not_found()),
    }
}
