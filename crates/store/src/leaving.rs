//! What becomes of what somebody held and answered for, in the very change in which they leave.
//!
//! 1. Everything they hold ends, and every API key they answered for themselves.
//! 2. What they answered for is suspended, alone or as the last in a team who could: nothing is issued to it or for it, and
//!    what was issued to a client is cut, until somebody takes it over ([`TransferOwned`](crate::TransferOwned)).
//! 3. But for `hallpass-cli`, the org's own way in: that is handed to the administrators, of whom one can always answer.
//!    Suspended, it would lock out those who could take the rest over.

use hallpass_model::client::HALLPASS_CLI;
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{OrgId, PrincipalId, TeamId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::principal::{Owner, Standing};

use crate::change::Tx;
use crate::directory::StandingSet;
use crate::error::StoreError;
use crate::owners::{Owned, OwnedId, Thing, Trusts, about, owned_by, set_owner, stand, trusts_of};
use crate::sql::{Columns, Sql};
use crate::teams::has_active_member;

/// What became of what somebody answered for who left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// What nobody answers for, and is suspended until somebody takes it over. A client's trusts that were in use stand after
    /// it: nobody comes in by them while it is suspended.
    pub suspended: Vec<Owned>,
    /// What the administrators answer for from now on.
    pub handed_over: Vec<Owned>,
}

impl LeftBehind {
    /// Whether they answered for nothing.
    pub fn is_empty(&self) -> bool {
        self.suspended.is_empty() && self.handed_over.is_empty()
    }

    fn add(&mut self, more: Self) {
        self.suspended.extend(more.suspended);
        self.handed_over.extend(more.handed_over);
    }
}

/// What came of taking an owner, a person or a team, out of use, or back into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerSet {
    /// How it stands.
    pub standing: StandingSet,
    /// What became of what they answered for.
    pub left: LeftBehind,
}

impl From<StandingSet> for OwnerSet {
    /// Nothing was left behind.
    fn from(standing: StandingSet) -> Self {
        Self { standing, left: LeftBehind::default() }
    }
}

/// Ends what a person held who was just taken out of use, and suspends what they answered for, alone or as the last who
/// could in a team. Sessions, passes and web logins, codes and device logins that were approved and not collected, and
/// whatever came of them, are stamped and on the person's own axis: one cut is enough, however many they are.
pub(crate) fn person_left(
    tx: &mut Tx<'_>,
    org: OrgId,
    person: PrincipalId,
) -> Result<LeftBehind, StoreError> {
    crate::cuts::cut(tx, Some(org), Target::Principal(person), Why::Disabled)?;
    let mut left = suspend_of(tx, org, Owner::Person(person))?;
    let teams: Vec<TeamId> =
        tx.db().all("SELECT team FROM members WHERE person = ?1", [person.bytes()], |row| row.id(0))?;
    for team in teams {
        left.add(team_left(tx, org, team)?);
    }
    Ok(left)
}

/// Suspends what a team answered for, if nobody in it can any more.
pub(crate) fn team_left(tx: &mut Tx<'_>, org: OrgId, team: TeamId) -> Result<LeftBehind, StoreError> {
    match has_active_member(tx.db(), team)? {
        true => Ok(LeftBehind::default()),
        false => suspend_of(tx, org, Owner::Team(team)),
    }
}

/// Suspends everything that `from` answered for and that is in use.
pub(crate) fn suspend_of(tx: &mut Tx<'_>, org: OrgId, from: Owner) -> Result<LeftBehind, StoreError> {
    let administrators: Option<TeamId> =
        tx.db().one("SELECT administrators FROM orgs WHERE id = ?1", [org.bytes()], |row| row.id(0))?;
    let administrators =
        administrators.ok_or_else(|| StoreError::Damaged("an org without administrators".into()))?;
    let mut left = LeftBehind::default();
    // The administrators' team always has somebody in it who can answer.
    if from == Owner::Team(administrators) {
        return Ok(left);
    }
    for thing in owned_by(tx.db(), org, from)? {
        if matches!(thing.id, OwnedId::Client(_)) && thing.name == HALLPASS_CLI {
            set_owner(tx, org, &thing, Owner::Team(administrators), "owner_left")?;
            left.handed_over.push(thing.into());
        } else if thing.standing.is_active() {
            suspend(tx, org, &thing)?;
            let trusts = trusts_of(tx.db(), &thing, Trusts::InUse)?;
            left.suspended.push(thing.into());
            left.suspended.extend(trusts);
        }
    }
    Ok(left)
}

/// Writes the row and its record, which names who left. What was issued to a client is dead at once, in this change.
fn suspend(tx: &mut Tx<'_>, org: OrgId, thing: &Thing) -> Result<(), StoreError> {
    stand(tx, thing.id, Standing::Suspended(tx.now))?;
    let entry = about(Entry { org: Some(org), ..tx.entry(Event::Suspended) }, thing);
    let detail = entry.detail.clone().with(Key::REASON, "owner_left");
    tx.record(match thing.owner {
        Owner::Person(id) => {
            let detail = detail.with(Key::OWNER, id.to_string());
            Entry { principal: Some(id), detail, ..entry }
        }
        Owner::Team(id) => {
            Entry { detail: detail.with(Key::OWNER, id.to_string()).with(Key::TEAM, id.to_string()), ..entry }
        }
    });
    match thing.id {
        OwnedId::Client(client) => {
            crate::cuts::cut(tx, Some(org), Target::Client(client), Why::Suspended)?;
        }
        // SECURITY: to cut the key would end it for good. What its secrets bought lives for minutes, and no more is bought.
        OwnedId::ApiKey(_) | OwnedId::Resource(_) => {}
    }
    Ok(())
}
