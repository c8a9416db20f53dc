//! In what office a verb is done: the operator's, or that of somebody of an org by what they are there.

use std::str::FromStr;
use std::sync::Arc;

use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::ledger::Actor;
use hallpass_model::principal::{Org, Owner, Principal, Standing, Team};
use hallpass_model::role::{Act, Role, may};
use hallpass_model::time::Timestamp;
use hallpass_store::{ByRole, CameBy, Change, NotByRole, Page, RecordRefusal, RefusedSubject, Roles, Store};

use super::forms::{ListOf, Question};
use super::refused::Refused;
use super::verbs::About;
use crate::{BaseUrl, Issuer};

/// Rows asked for at a time.
pub(crate) const PAGE: u32 = 500;

/// In what office a verb is done: whose it is, and so of what, and in whose name. Cheap to clone.
#[derive(Clone)]
pub struct Office {
    issuer: Issuer,
    by: By,
}

/// Who has the office.
#[derive(Clone)]
enum By {
    /// The server's operator, to whom everything of the server is open.
    Operator { local_approval: bool },
    /// Somebody of an org, by what they are there.
    Member(Arc<Member>),
}

/// Somebody of an org who asks for something to be done there.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Where.
    pub(crate) org: Arc<Org>,
    /// Who.
    pub(crate) person: PrincipalId,
    /// What they came by.
    pub(crate) came_by: CameBy,
    /// What they do, once that is known to be theirs to do.
    act: Option<Act>,
}

impl Member {
    /// Somebody who has proved who they are; whether they may is asked for each thing they do.
    pub(crate) fn new(org: Arc<Org>, person: PrincipalId, came_by: CameBy) -> Self {
        Self { org, person, came_by, act: None }
    }
}

impl Office {
    /// The operator's own office, which everything of the server is open to. `local_approval` is whether logins may be
    /// approved here.
    ///
    /// SECURITY: for who is known to be the server's own user or root, and nobody else.
    pub fn of_operator(issuer: Issuer, local_approval: bool) -> Self {
        Self { issuer, by: By::Operator { local_approval } }
    }

    /// The office of somebody of an org: nothing of another is seen or changed in it.
    pub(crate) fn of_member(issuer: Issuer, member: Member) -> Self {
        Self { issuer, by: By::Member(Arc::new(member)) }
    }

    /// The same office, for this one act about this one thing, if it is theirs to do. Its question is of their org from now on,
    /// whatever it said.
    ///
    /// SECURITY: nothing is done without this. A refusal is recorded.
    pub(crate) async fn permit<Q: Question>(
        mut self,
        act: Act,
        about: About,
        question: &mut Q,
    ) -> Result<Self, Refused> {
        let By::Member(member) = &self.by else {
            return match may(Role::Operator, act) {
                true => Ok(self),
                false => Err(Refused::by_rule("the operator may not do that")),
            };
        };
        let org = member.org.clone();
        let asked = question.org();
        if let Some(asked) = asked {
            if asked.as_deref().is_some_and(|asked| asked != org.name.as_str()) {
                return Err(Refused::usage(format_args!(
                    "this is `{}`, and no other org is seen from here",
                    org.name
                )));
            }
            *asked = Some(org.name.to_string());
        }
        let roles = self.issuer.store.roles_of(org.id, member.person).await?;
        let act = if roles.may(act) {
            Some(act)
        } else if may(Role::Owner, act) && self.answers(&roles, member, about, question.thing()).await? {
            None
        } else {
            return Err(self.refuse(member, &roles, act).await?);
        };
        self.by = By::Member(Arc::new(Member { act, ..Member::clone(member) }));
        Ok(self)
    }

    /// Whether they answer for this thing, alone or in a team.
    async fn answers(
        &self,
        roles: &Roles,
        member: &Member,
        about: About,
        thing: Option<&str>,
    ) -> Result<bool, Refused> {
        let Some(thing) = thing else { return Ok(false) };
        let (store, org) = (self.store(), member.org.id);
        let owner = match about {
            About::Nothing => None,
            About::Client => store.find_client_by_handle(org, thing).await?.map(|client| client.owner),
            About::Resource => store.find_resource_by_url(org, thing).await?.map(|resource| resource.owner),
            About::Key => store.find_api_key_by_handle(org, thing).await?.map(|key| key.owner),
            About::Trust => match store.find_trust_by_handle(org, thing).await? {
                Some(trust) => store.find_client(trust.client).await?.map(|client| client.owner),
                None => None,
            },
        };
        Ok(owner.is_some_and(|owner| roles.answers(member.person, &owner)))
    }

    /// Records that somebody may not, and says who may.
    async fn refuse(&self, member: &Member, roles: &Roles, act: Act) -> Result<Refused, Refused> {
        let subject = RefusedSubject { principal: Some(member.person), ..RefusedSubject::org(member.org.id) };
        let record = RecordRefusal { subject, rule: "role" };
        self.store().change(Actor::Principal(member.person), self.now(), record).await?;
        let are: Vec<_> = roles.roles.iter().map(|role| role.text()).collect();
        let may: Vec<_> = Role::IN_ORG.into_iter().filter(|role| may(*role, act)).map(Role::text).collect();
        Ok(match may.is_empty() {
            true => Refused::by_rule("only the server's operator may do that")
                .hint("on the server's own machine: `hallpass admin`"),
            false => {
                Refused::by_rule(format_args!("you are {} here, and may not do that", are.join(" and ")))
                    .hint(format_args!("it takes the role {}", may.join(" or ")))
            }
        })
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
        matches!(self.by, By::Operator { local_approval: true })
    }

    /// Whose office it is; nobody's for the operator, who is no person.
    pub(crate) fn person_of(&self) -> Option<PrincipalId> {
        match &self.by {
            By::Operator { .. } => None,
            By::Member(member) => Some(member.person),
        }
    }

    /// Themselves and the teams that they are in, as owners; nothing for the operator, who is neither.
    pub(crate) async fn own_as_owner(&self) -> Result<Option<Vec<Owner>>, Refused> {
        let By::Member(member) = &self.by else { return Ok(None) };
        let teams = self.store().roles_of(member.org.id, member.person).await?.teams;
        Ok(Some(
            std::iter::once(Owner::Person(member.person)).chain(teams.into_iter().map(Owner::Team)).collect(),
        ))
    }

    /// The only org that is seen from here; nothing where all of them are.
    pub(crate) fn confined_to(&self) -> Option<&Org> {
        match &self.by {
            By::Operator { .. } => None,
            By::Member(member) => Some(&member.org),
        }
    }

    /// In whose name things are changed.
    pub(crate) fn actor(&self) -> Actor {
        match &self.by {
            By::Operator { .. } => Actor::Operator,
            By::Member(member) => Actor::Principal(member.person),
        }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.issuer.clock.now()
    }

    /// Resolves when the server is told to stop.
    pub async fn closed(&self) {
        self.issuer.stopped().await;
    }

    /// Changes something in the name of whose office it is.
    pub(crate) async fn change<C: Change>(&self, change: C) -> Result<C::Outcome, Refused> {
        let (actor, now) = (self.actor(), self.now());
        let By::Member(member) = &self.by else { return Ok(self.store().change(actor, now, change).await?) };
        let Member { org, person, came_by, act } = Member::clone(member);
        let by_role = ByRole { org: org.id, person, came_by, act, change };
        self.store().change(actor, now, by_role).await?.map_err(|why| match why {
            NotByRole::Over => Refused::by_rule(why).hint("log in again"),
            NotByRole::Role => Refused::by_rule(why),
        })
    }

    /// A walk through a list: all of it for the operator, unless they say, and no more than a page for anybody else.
    pub(crate) fn pages<K: FromStr>(&self, form: &ListOf) -> Result<Pages<K>, Refused>
    where
        K::Err: std::fmt::Display,
    {
        let most = self.confined_to().map(|_| PAGE);
        Ok(Pages {
            after: form.after.as_deref().map(str::parse).transpose().map_err(Refused::usage)?,
            left: form.limit.map(|limit| limit.min(most.unwrap_or(limit))).or(most),
            over: false,
        })
    }

    /// The org of this name, or the only one. INVARIANT: where there are several, none is guessed.
    pub(crate) async fn org(&self, name: Option<&str>) -> Result<Org, Refused> {
        if let Some(own) = self.confined_to() {
            return match name.is_none_or(|name| name == own.name.as_str()) {
                true => Ok(own.clone()),
                false => {
                    Err(Refused::not_there(format_args!("there is no org `{}`", name.unwrap_or_default())))
                }
            };
        }
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

/// A walk through a list, page by page.
pub(crate) struct Pages<K> {
    after: Option<K>,
    /// How many more are wanted; all where it is not said.
    left: Option<u32>,
    over: bool,
}

impl<K> Pages<K> {
    /// After what the next page begins, and how much of it is wanted; nothing where that was the last.
    pub(crate) fn next(&self) -> Option<(Option<&K>, u32)> {
        let size = self.left.map_or(PAGE, |left| left.min(PAGE));
        (!self.over && size > 0).then_some((self.after.as_ref(), size))
    }

    /// Turns this page over.
    pub(crate) fn turn<T>(&mut self, page: &Page<T>, name: impl FnOnce(&T) -> K) {
        self.over = !page.more;
        if let Some(last) = page.items.last() {
            self.after = Some(name(last));
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(page.items.len() as u32);
        }
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
