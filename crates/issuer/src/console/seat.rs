//! What whoever is logged in may see and do, so that a page offers nothing that would be refused. Each verb asks again.

use hallpass_model::principal::Owner;
use hallpass_model::role::{Role, may};
use hallpass_store::Roles;

use super::kinds::{Column, Look, column};
use crate::admin::{Refused, find};
use crate::web::Person;

/// What somebody is in their org.
pub(super) struct Seat {
    handle: String,
    roles: Roles,
    /// They, and their teams, as owners are written.
    owners: Vec<String>,
    /// Whether they answer for anything.
    pub(super) owns: bool,
}

/// What is said of a thing that somebody answers for.
pub(super) const OWNED: &[Column] = &[
    column("What", "thing", Look::Thing),
    column("Answered for by", "owner", Look::Thing),
    column("State", "state", Look::State),
];

impl Seat {
    pub(super) async fn of(person: &Person) -> Result<Self, Refused> {
        let store = &person.visit.issuer.store;
        let handle = person.person.handle.to_string();
        let mut owners = vec![format!("person:{handle}")];
        for team in &person.roles.teams {
            if let Some(team) = store.find_team(*team).await? {
                owners.push(format!("team:{}", team.handle));
            }
        }
        let owns = store.owns_anything(&owners_of(person)).await?;
        Ok(Self { handle, roles: person.roles.clone(), owners, owns })
    }

    /// Whether there is anything for them in the console.
    pub(super) fn sees_anything(&self) -> bool {
        self.owns || has_role(&self.roles)
    }

    /// Whether they may do this, to a thing of this owner.
    pub(super) fn may(&self, verb: &str, owner: Option<&str>) -> bool {
        let Some(verb) = find(verb) else { return false };
        let answers = owner.is_some_and(|owner| self.owners.iter().any(|own| own == owner));
        self.roles.may(verb.act()) || answers && may(Role::Owner, verb.act())
    }

    /// That they may not, and who may.
    pub(super) fn refusal(&self, verb: &str) -> Refused {
        let act = find(verb).map(|verb| verb.act());
        let roles = Role::IN_ORG.into_iter().filter(|role| act.is_some_and(|act| may(*role, act)));
        let roles: Vec<_> = roles.map(Role::text).collect();
        Refused::by_rule(format_args!("you are {} here, and may not do that", self.words().join(" and ")))
            .hint(format_args!("it takes the role {}", roles.join(" or ")))
    }

    /// Whether it is they.
    pub(super) fn is(&self, handle: &str) -> bool {
        self.handle == handle
    }

    /// What they are, in words.
    pub(super) fn words(&self) -> Vec<&'static str> {
        let roles = self.roles.roles.iter().filter(|role| **role != Role::Person);
        let mut words: Vec<_> = roles.map(|role| role.text()).collect();
        if self.owns {
            words.push(Role::Owner.text());
        }
        if words.is_empty() {
            words.push(Role::Person.text());
        }
        words
    }
}

/// Whether they have a role beside being a person.
fn has_role(roles: &Roles) -> bool {
    roles.roles.iter().any(|role| Role::IN_ORG.contains(role))
}

/// They, and their teams.
fn owners_of(person: &Person) -> Vec<Owner> {
    let teams = person.roles.teams.iter().map(|team| Owner::Team(*team));
    std::iter::once(Owner::Person(person.person.id)).chain(teams).collect()
}

impl Person {
    /// Whether the console has anything for them.
    pub(crate) async fn sees_console(&self) -> Result<bool, hallpass_store::StoreError> {
        Ok(has_role(&self.roles) || self.visit.issuer.store.owns_anything(&owners_of(self)).await?)
    }
}
