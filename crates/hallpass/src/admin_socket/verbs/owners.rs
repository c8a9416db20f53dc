//! Who answers for what.

use hallpass_store::{Owned, OwnedId, OwnerTransferred, TransferOwner};

use super::{clients, resources};
use crate::admin_socket::forms::{OwnerShown, OwnerTransfer};
use crate::admin_socket::office::Office;
use crate::admin_socket::refused::Refused;

pub(super) async fn transfer(office: &Office, form: OwnerTransfer) -> Result<OwnerShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let thing = match form.thing.split_once(':') {
        Some(("client", handle)) => OwnedId::Client(clients::load(office, &org, handle).await?.id),
        Some(("resource", url)) => OwnedId::Resource(resources::load(office, &org, url).await?.id),
        _ => {
            return Err(Refused::usage(format_args!(
                "`{}` is nothing that has an owner of its own",
                form.thing
            ))
            .hint("name `client:HANDLE` or `resource:URL`"));
        }
    };
    let to = office.owner(&org, &form.to).await?;
    let anew = match office.change(TransferOwner { org: org.id, thing, to }).await? {
        OwnerTransferred::Done => true,
        OwnerTransferred::Already => false,
        OwnerTransferred::NotThere => {
            return Err(Refused::not_there(format_args!("there is no `{}` in `{}`", form.thing, org.name)));
        }
        OwnerTransferred::Refused(why) => return Err(Refused::not_added(why, &form.thing, &form.to)),
    };
    Ok(OwnerShown { thing: form.thing, owner: form.to, anew })
}

/// Things as `client:notes-api` or `resource:https://notes.example`, as this command takes them.
pub(super) fn render_owned(things: &[Owned]) -> Vec<String> {
    let render = |thing: &Owned| match thing {
        Owned::Client(handle) => format!("client:{handle}"),
        Owned::Resource(url) => format!("resource:{url}"),
    };
    things.iter().map(render).collect()
}
