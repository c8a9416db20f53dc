//! What the operator's commands are answered with: the store, and what the operator's server was told.

use hallpass_model::id::OrgId;
use hallpass_model::ledger::Actor;
use hallpass_model::principal::{Org, Owner, Principal, Standing, Team};
use hallpass_model::time::Timestamp;
use hallpass_store::{Change, Store};

use super::refused::Refused;
use crate::{BaseUrl, Issuer};

/// Rows asked for at a time.
pub(crate) const PAGE: u32 = 500;

/// The office behind the operator's commands. Cheap to clone.
#[derive(Clone)]
pub struct Office {
    issuer: Issuer,
    local_approval: bool,
}

impl Office {
    /// The operator's own office, which everything of the server is open to. `local_approval` is whether logins may be
    /// approved here.
    ///
    /// SECURITY: for who is known to be the server's own user or root, and nobody else.
    pub fn of_operator(issuer: Issuer, local_approval: bool) -> Self {
        Self { issuer, local_approval }
    }

    /// Where the server is reached.
    pub(crate) fn base_url(&self) -> &BaseUrl {
        &self.issuer.settings.base_url
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.issuer.store
    }

    /// The service that answers everybody else.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether logins may be approved here.
    pub(crate) fn local_approval(&self) -> bool {
        self.local_approval
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.issuer.clock.now()
    }

    /// Resolves when the server is told to stop.
    pub async fn closed(&self) {
        self.issuer.stopped().await;
    }

    /// Changes something in the operator's name.
    pub(crate) async fn change<C: Change>(&self, change: C) -> Result<C::Outcome, Refused> {
        Ok(self.store().change(Actor::Operator, self.now(), change).await?)
    }

    /// The org of this name, or the only one. INVARIANT: where there are several, none is guessed.
    pub(crate) async fn org(&self, name: Option<&str>) -> Result<Org, Refused> {
        if let Some(name) = name {
            let org = self.store().find_org_by_name(name).await?;
            return org
                .map(|org| Org::clone(&org))
                .ok_or_else(|| Refused::not_there(format_args!("there is no org `{name}`")));
        }
        let mut orgs = self.store().list_orgs(None, 2).await?.items;
        match (orgs.pop(), orgs.pop()) {
            (None, _) => Err(Refused::not_there("there is no org yet").hint(
                "open the set-up link, `hallpass admin setup-link`, or add one with `hallpass admin org add`",
            )),
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(Refused::usage("there are several orgs").hint("name one with `--org`")),
        }
    }

    /// The person of this short name.
    pub(crate) async fn person(&self, org: &Org, handle: &str) -> Result<Principal, Refused> {
        let person = self.store().find_person_by_handle(org.id, handle).await?;
        person.ok_or_else(|| {
            Refused::not_there(format_args!("there is no person `{handle}` in `{}`", org.name))
        })
    }

    /// The team of this short name.
    pub(crate) async fn team(&self, org: &Org, handle: &str) -> Result<Team, Refused> {
        let team = self.store().find_team_by_handle(org.id, handle).await?;
        team.ok_or_else(|| Refused::not_there(format_args!("there is no team `{handle}` in `{}`", org.name)))
    }

    /// The owner that `person:ada` or `team:platform` names.
    pub(crate) async fn owner(&self, org: &Org, typed: &str) -> Result<Owner, Refused> {
        match typed.split_once(':') {
            Some(("person", handle)) => Ok(Owner::Person(self.person(org, handle).await?.id)),
            Some(("team", handle)) => Ok(Owner::Team(self.team(org, handle).await?.id)),
            _ => Err(Refused::usage(format_args!("`{typed}` is no owner"))
                .hint("everything is owned: name `person:HANDLE` or `team:HANDLE`")),
        }
    }

    /// An owner as `person:ada` or `team:platform`.
    pub(crate) async fn render_owner(&self, owner: &Owner) -> Result<String, Refused> {
        Ok(match owner {
            Owner::Person(id) => match self.store().find_person(*id).await? {
                Some(person) => format!("person:{}", person.handle),
                None => format!("person:{id}"),
            },
            Owner::Team(id) => match self.store().find_team(*id).await? {
                Some(team) => format!("team:{}", team.handle),
                None => format!("team:{id}"),
            },
        })
    }

    /// The short names of people, in the order given.
    pub(crate) async fn handles(
        &self,
        people: impl IntoIterator<Item = hallpass_model::id::PrincipalId>,
    ) -> Result<Vec<String>, Refused> {
        let mut handles = Vec::new();
        for id in people {
            let person = self.store().find_person(id).await?;
            handles.push(person.map_or_else(|| id.to_string(), |person| person.handle.to_string()));
        }
        Ok(handles)
    }

    /// The name of an org, for showing.
    pub(crate) async fn org_name(&self, org: OrgId) -> Result<String, Refused> {
        Ok(self.store().find_org(org).await?.map_or_else(|| org.to_string(), |org| org.name.to_string()))
    }
}

/// `active`, or since when it is not.
pub(crate) fn render_standing(standing: Standing) -> String {
    match standing {
        Standing::Active => "active".to_owned(),
        Standing::Suspended(at) => format!("suspended {at}"),
        Standing::Disabled(at) => format!("disabled {at}"),
    }
}
