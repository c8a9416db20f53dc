//! People and their passkeys.

use hallpass_model::id::PasskeyId;
use hallpass_model::ledger::Actor;
use hallpass_model::principal::{Handle, Org, Principal};
use hallpass_store::{AddPerson, PasskeyRemoved, RemovePasskey, RemovedBy, SetPersonStanding};

use super::links::enrol;
use super::owners::render_owned;
use crate::admin::forms::{
    ListOf, OneOf, PasskeyRemove, PasskeyShown, PersonAdd, PersonAdded, PersonErased, PersonShown,
};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: PersonAdd) -> Result<PersonAdded, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let add = AddPerson { org: org.id, handle, name: form.name.unwrap_or_else(|| form.handle.clone()) };
    let id = office.change(add).await?.map_err(|why| {
        Refused::not_added(why, &format!("the person `{}`", form.handle), "team:administrators")
    })?;
    let person = office.person(&org, &form.handle).await?;
    let link = enrol(office, &org, id).await?;
    Ok(PersonAdded { person: shown(office, &org, person).await?, link })
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<PersonShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_people(org.id, after, size).await?;
        pages.turn(&page, |person| person.handle.clone());
        for person in page.items {
            all.push(shown(office, &org, person).await?);
        }
    }
    Ok(all)
}

pub(super) async fn show(office: &Office, form: OneOf) -> Result<PersonShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    shown(office, &org, person).await
}

pub(super) async fn disable(office: &Office, form: OneOf) -> Result<PersonShown, Refused> {
    stand(office, form, false).await
}

pub(super) async fn enable(office: &Office, form: OneOf) -> Result<PersonShown, Refused> {
    stand(office, form, true).await
}

async fn stand(office: &Office, form: OneOf, active: bool) -> Result<PersonShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let set = office.change(SetPersonStanding { org: org.id, person: person.id, active }).await?;
    Refused::unless_set(set.standing, &format!("person `{}`", form.handle))?;
    let person = office.person(&org, &form.handle).await?;
    let (suspended, handed_over) = (render_owned(&set.left.suspended), render_owned(&set.left.handed_over));
    Ok(PersonShown { suspended, handed_over, ..shown(office, &org, person).await? })
}

pub(super) async fn erase(office: &Office, form: OneOf) -> Result<PersonErased, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let entries = office.store().erase_personal(Actor::Operator, office.now(), org.id, person.id).await?;
    Ok(PersonErased {
        org: org.name.to_string(),
        handle: person.handle.to_string(),
        id: person.id.to_string(),
        entries,
    })
}

pub(super) async fn list_passkeys(office: &Office, form: OneOf) -> Result<Vec<PasskeyShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let passkeys = office.store().list_passkeys(person.id).await?;
    Ok(passkeys.iter().map(shown_passkey).collect())
}

pub(super) async fn remove_passkey(office: &Office, form: PasskeyRemove) -> Result<PasskeyShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let person = office.person(&org, &form.handle).await?;
    let id: PasskeyId = form.passkey.parse().map_err(Refused::usage)?;
    let absent = || Refused::not_there(format_args!("`{}` has no passkey `{id}`", person.handle));
    let passkeys = office.store().list_passkeys(person.id).await?;
    let passkey = passkeys.iter().find(|passkey| passkey.id == id).ok_or_else(absent)?;
    let remove = RemovePasskey { org: org.id, passkey: id, by: RemovedBy::Administrator };
    match office.change(remove).await? {
        PasskeyRemoved::Removed => Ok(shown_passkey(passkey)),
        PasskeyRemoved::NotThere | PasskeyRemoved::LastOne => Err(absent()),
    }
}

fn shown_passkey(passkey: &hallpass_store::Passkey) -> PasskeyShown {
    PasskeyShown {
        id: passkey.id.to_string(),
        name: passkey.name.clone(),
        created: passkey.created.to_string(),
        used: passkey.used.map(|used| used.to_string()),
    }
}

pub(super) async fn shown(office: &Office, org: &Org, person: Principal) -> Result<PersonShown, Refused> {
    let mut teams = Vec::new();
    for id in office.store().list_teams_of(person.id).await? {
        if let Some(team) = office.store().find_team(id).await? {
            teams.push(team.handle.to_string());
        }
    }
    Ok(PersonShown {
        id: person.id.to_string(),
        org: org.name.to_string(),
        handle: person.handle.to_string(),
        name: person.name,
        owner: office.render_owner(&person.owner).await?,
        state: render_standing(person.standing),
        teams,
        created: person.created.to_string(),
        suspended: Vec::new(),
        handed_over: Vec::new(),
    })
}
