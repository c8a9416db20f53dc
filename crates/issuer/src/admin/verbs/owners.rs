//! Who answers for what.

use hallpass_model::principal::Org;
use hallpass_store::{NotTransferred, Owned, OwnedId, TakenOver, Takeover, TransferOwned, Which};

use super::{clients, keys, resources, trusts};
use crate::admin::forms::{OwnedBy, OwnedShown, OwnerShown, OwnerTransfer};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn transfer(office: &Office, form: OwnerTransfer) -> Result<Vec<OwnerShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let from = match &form.from {
        Some(from) => Some(office.owner(&org, from).await?),
        None => None,
    };
    let mut things = Vec::with_capacity(form.things.len());
    for typed in &form.things {
        things.push(thing(office, &org, typed).await?);
    }
    let which = match (from, form.all) {
        (Some(from), true) if things.is_empty() => Which::AllOf(from),
        (Some(from), false) if !things.is_empty() => Which::TheseOf(from, things),
        (None, false) if !things.is_empty() => Which::These(things),
        _ => {
            return Err(Refused::usage("it must be said what is taken over").hint(
                "name things, such as `client:HANDLE`, or `--from OWNER --all` for everything of theirs",
            ));
        }
    };
    let transfer = TransferOwned { org: org.id, which, to: office.owner(&org, &form.to).await? };
    let taken = match form.dry_run {
        true => office.store().preview_transfer(&transfer).await?,
        false => office.change(transfer).await?,
    };
    match taken {
        Ok(taken) => shown(office, &form, taken).await,
        Err(NotTransferred::NotThere) => {
            Err(Refused::not_there(format_args!("one of them is nothing of `{}`", org.name)))
        }
        Err(NotTransferred::NotTheirs(thing)) => Err(Refused::by_rule(format_args!(
            "`{}` does not answer for `{}`; nothing was changed",
            form.from.as_deref().unwrap_or_default(),
            render(&thing)
        ))),
        Err(NotTransferred::Refused(why)) => Err(Refused::not_added(why, "it", &form.to)),
    }
}

/// What somebody answers for: they themselves, and the teams that they are in, where nobody is named.
pub(super) async fn list(office: &Office, form: OwnedBy) -> Result<Vec<OwnedShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let own = office.own_as_owner().await?;
    let owners = match (&form.owner, own) {
        (None, Some(own)) => own,
        (None, None) => {
            return Err(Refused::usage("it must be said whose").hint("name `person:HANDLE` or `team:HANDLE`"));
        }
        (Some(typed), own) => {
            let owner = office.owner(&org, typed).await?;
            if own.is_some_and(|own| !own.contains(&owner)) {
                return Err(Refused::by_rule(format_args!("`{typed}` is neither you nor a team of yours")));
            }
            vec![owner]
        }
    };
    let mut all = Vec::new();
    for owner in owners {
        let typed = office.render_owner(&owner).await?;
        for (thing, standing) in office.store().list_owned(org.id, owner).await? {
            let state = render_standing(standing);
            all.push(OwnedShown { thing: render(&thing), owner: typed.clone(), state });
        }
    }
    Ok(all)
}

async fn thing(office: &Office, org: &Org, typed: &str) -> Result<OwnedId, Refused> {
    Ok(match typed.split_once(':') {
        Some(("client", handle)) => OwnedId::Client(clients::load(office, org, handle).await?.id),
        Some(("resource", url)) => OwnedId::Resource(resources::load(office, org, url).await?.id),
        Some(("key", handle)) => OwnedId::ApiKey(keys::load(office, org, handle).await?.id),
        // Taken by its own name it would quietly take its client along, and all other trusts of that.
        Some(("trust", handle)) => {
            let client = trusts::client_of(office, org, handle).await?;
            return Err(Refused::by_rule(format_args!(
                "`{typed}` has no owner of its own: whoever answers for `client:{client}` answers for it"
            ))
            .hint(format_args!("name `client:{client}`; `--dry-run` shows which trusts go with it")));
        }
        Some(("agent", _)) => {
            return Err(Refused::by_rule(format_args!(
                "`{typed}` acts for the person who registered it, and for nobody else"
            ))
            .hint("whoever takes over its work registers an agent of their own: `hallpass agents add`"));
        }
        _ => {
            return Err(Refused::usage(format_args!("`{typed}` is nothing that has an owner of its own"))
                .hint("name `client:HANDLE`, `resource:URL` or `key:HANDLE`"));
        }
    })
}

async fn shown(
    office: &Office,
    form: &OwnerTransfer,
    taken: Vec<TakenOver>,
) -> Result<Vec<OwnerShown>, Refused> {
    let mut all = Vec::with_capacity(taken.len());
    for TakenOver { thing, from, change } in taken {
        let with = match &thing {
            Owned::Trust { client, .. } => Some(format!("client:{client}")),
            _ => None,
        };
        all.push(OwnerShown {
            thing: render(&thing),
            with,
            from: office.render_owner(&from).await?,
            to: form.to.clone(),
            change: match change {
                Takeover::Nothing => "none",
                Takeover::Owner => "owner",
                Takeover::Lifted(_) => "owner, suspension lifted",
                Takeover::WithClient => "with its client",
            }
            .to_owned(),
        });
    }
    Ok(all)
}

/// Things as `client:notes-api` or `resource:https://notes.example`; a client's trusts after it, as `trust:deploy`.
pub(super) fn render_owned(things: &[Owned]) -> Vec<String> {
    things.iter().map(render).collect()
}

fn render(thing: &Owned) -> String {
    match thing {
        Owned::Client(handle) => format!("client:{handle}"),
        Owned::Resource(url) => format!("resource:{url}"),
        Owned::ApiKey(handle) => format!("key:{handle}"),
        Owned::Trust { handle, .. } => format!("trust:{handle}"),
    }
}
