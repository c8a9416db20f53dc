//! What every registered thing has in common: an owner who can answer, and a standing.

use hallpass_model::id::OrgId;
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::OLDER_ASSERTIONS;
use hallpass_model::principal::{Owner, Standing};
use rusqlite::Connection;

use crate::change::Tx;
use crate::error::StoreError;
use crate::sql::{Columns, Sql};

/// Why a thing was not added. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAdded {
    /// Its short name or URL is in use in this org, or was.
    #[error("the name is taken")]
    Taken,
    /// There is no such org.
    #[error("there is no such org")]
    NoOrg,
    /// The org is disabled.
    #[error("the org is disabled")]
    OrgDisabled,
    /// The owner is nobody in this org.
    #[error("the owner is nobody in this org")]
    NoOwner,
    /// The owner is disabled.
    #[error("the owner is disabled, and cannot answer for anything")]
    OwnerDisabled,
    /// The owner is a team without an active member.
    #[error("nobody active is in the team, so it cannot answer for anything")]
    OwnerEmpty,
    /// One of the members is no person of this org.
    #[error("one of the members is no active person of this org")]
    NoMember,
    /// The client that is to introspect is none of this org.
    #[error("the server's client is none of this org")]
    NoServer,
    /// The kind of client may not use one of the grant types.
    #[error("this kind of client may not use one of the grant types")]
    GrantType,
    /// An exception from a rule would last too long.
    #[error("an exception lasts {OLDER_ASSERTIONS} at most")]
    ExceptionTooLong,
    /// Only a service keeps a secret of its own.
    #[error("only a service can keep a secret of its own")]
    NoSecretKeeper,
    /// A client that proves itself by a secret has an exception, with an end.
    #[error("a client proves itself by a secret until a date, and none was given")]
    NoException,
}

/// What came of taking a thing out of use, or back into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingSet {
    /// It stands so now. Taking out of use has also cut what was issued.
    Done(Standing),
    /// It stood so before; nothing was changed.
    Already(Standing),
    /// There is no such thing in this org.
    NotThere,
    /// It is the last active member of the administrators: the org would be left without anybody.
    LastAdministrator,
    /// It cannot be put back into use: whoever answered for it left, and nobody has taken it over.
    Unowned,
}

/// Whether an org may have things added to it.
pub(crate) fn org_accepts(db: &Connection, org: OrgId) -> Result<Result<(), NotAdded>, StoreError> {
    let standing = db.one("SELECT disabled FROM orgs WHERE id = ?1", [org.bytes()], |row| row.standing(0))?;
    Ok(match standing {
        None => Err(NotAdded::NoOrg),
        Some(Standing::Disabled(_) | Standing::Suspended(_)) => Err(NotAdded::OrgDisabled),
        Some(Standing::Active) => Ok(()),
    })
}

/// Whether an org may have a thing added to it that `owner` answers for.
pub(crate) fn accepts_from(
    db: &Connection,
    org: OrgId,
    owner: &Owner,
) -> Result<Result<(), NotAdded>, StoreError> {
    match org_accepts(db, org)? {
        Ok(()) => may_own(db, org, owner),
        Err(why) => Ok(Err(why)),
    }
}

/// Whether `owner` can answer for things of this org.
pub(crate) fn may_own(
    db: &Connection,
    org: OrgId,
    owner: &Owner,
) -> Result<Result<(), NotAdded>, StoreError> {
    let standing = match owner {
        Owner::Person(id) => db.one(
            "SELECT disabled FROM principals WHERE id = ?1 AND org = ?2",
            (id.bytes(), org.bytes()),
            |row| row.standing(0),
        )?,
        Owner::Team(id) => db.one(
            "SELECT disabled FROM teams WHERE id = ?1 AND org = ?2",
            (id.bytes(), org.bytes()),
            |row| row.standing(0),
        )?,
    };
    Ok(match (standing, owner) {
        (None, _) => Err(NotAdded::NoOwner),
        (Some(Standing::Disabled(_) | Standing::Suspended(_)), _) => Err(NotAdded::OwnerDisabled),
        (Some(Standing::Active), Owner::Team(team)) if !crate::teams::has_active_member(db, *team)? => {
            Err(NotAdded::OwnerEmpty)
        }
        (Some(Standing::Active), _) => Ok(()),
    })
}

/// The details of a registration: what it is, its short name, who answers for it.
pub(crate) fn registered(kind: &'static str, slug: &str, owner: Option<&Owner>) -> Detail {
    let detail = Detail::new().with(Key::KIND, kind).with(Key::SLUG, slug.to_owned());
    match owner {
        Some(Owner::Person(id)) => detail.with(Key::OWNER, id.to_string()),
        Some(Owner::Team(id)) => detail.with(Key::OWNER, id.to_string()),
        None => detail,
    }
}

/// What stands in the way of a thing being put to use, or taken out of it, if anything does.
///
/// INVARIANT: nothing is in use that nobody answers for. What is suspended, or was disabled when its owner left, is taken
/// over first ([`TransferOwned`](crate::TransferOwned)).
pub(crate) fn stands_already(
    db: &Connection,
    org: OrgId,
    (standing, owner): (Standing, &Owner),
    active: bool,
) -> Result<Option<StandingSet>, StoreError> {
    Ok(match (standing, active) {
        (Standing::Active, true) | (Standing::Disabled(_), false) => Some(StandingSet::Already(standing)),
        (Standing::Suspended(_), true) => Some(StandingSet::Unowned),
        (Standing::Disabled(_), true) if may_own(db, org, owner)?.is_err() => Some(StandingSet::Unowned),
        _ => None,
    })
}

/// The standing that was asked for.
pub(crate) fn standing_of(active: bool, now: hallpass_model::time::Timestamp) -> Standing {
    if active { Standing::Active } else { Standing::Disabled(now) }
}

/// Records that a thing was taken out of use, or put back into it.
pub(crate) fn record_standing(tx: &mut Tx<'_>, entry: Entry, kind: &'static str, active: bool) {
    let detail = entry.detail.clone().with(Key::KIND, kind);
    tx.record(match active {
        true => Entry { event: Event::Changed, detail: detail.with(Key::CHANGE, "enabled"), ..entry },
        false => Entry { event: Event::Disabled, detail, ..entry },
    });
}
