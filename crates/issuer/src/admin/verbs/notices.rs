//! What owners are told.

use hallpass_model::id::PrincipalId;
use hallpass_model::principal::{Org, Owner};
use hallpass_store::ReadNotices;

use crate::admin::forms::{NoticeShown, NoticesOf, NoticesRead, NoticesReadShown};
use crate::admin::office::{Office, PAGE};
use crate::admin::refused::Refused;
use crate::admin::story::Story;

pub(super) async fn list(office: &Office, form: NoticesOf) -> Result<Vec<NoticeShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let (person, owners) = whose(office, &org, form.person.as_deref()).await?;
    let mut story = Story::new(office.clone());
    let mut all = Vec::new();
    for notice in office.store().list_notices(org.id, person, &owners, PAGE).await? {
        if form.unread && notice.read {
            continue;
        }
        // What was pruned from the ledger is told no more.
        let Some(entry) = office.store().find_ledger_entry(notice.seq).await? else { continue };
        all.push(NoticeShown { read: notice.read, entry: story.tell(entry).await });
    }
    Ok(all)
}

pub(super) async fn read(office: &Office, form: NoticesRead) -> Result<NoticesReadShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let (person, _) = whose(office, &org, None).await?;
    office.change(ReadNotices { person, upto: form.upto }).await?;
    Ok(NoticesReadShown { upto: form.upto })
}

/// The person who is told, and all that they are told as.
async fn whose(
    office: &Office,
    org: &Org,
    named: Option<&str>,
) -> Result<(PrincipalId, Vec<Owner>), Refused> {
    let named = match named {
        Some(handle) => Some(office.person(org, handle).await?.id),
        None => None,
    };
    let person = match (named, office.person_of()) {
        (Some(named), Some(own)) if named != own => {
            return Err(Refused::by_rule("what others are told is theirs to read"));
        }
        (Some(person), _) | (None, Some(person)) => person,
        (None, None) => return Err(Refused::usage("it must be said whose").hint("name a person")),
    };
    let teams = office.store().roles_of(org.id, person).await?.teams;
    Ok((person, std::iter::once(Owner::Person(person)).chain(teams.into_iter().map(Owner::Team)).collect()))
}
