//! Teams.

use hallpass_model::id::PrincipalId;
use hallpass_model::principal::{Handle, Org, Team};
use hallpass_model::role::Role;
use hallpass_store::{
    AddTeam, ChangeTeamMembers, LeftBehind, MembersSet, SetTeamMembers, SetTeamRole, SetTeamStanding,
    TeamRoleSet,
};

use super::owners::render_owned;
use crate::admin::forms::{self, ListOf, OneOf, TeamAdd, TeamMembers, TeamShown};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: TeamAdd) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let members = members_of(office, &org, &form.members).await?;
    office
        .change(AddTeam { org: org.id, handle, members })
        .await?
        .map_err(|why| Refused::not_added(why, &format!("the team `{}`", form.handle), &form.handle))?;
    shown(office, &org, office.team(&org, &form.handle).await?).await
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<TeamShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_teams(org.id, after, size).await?;
        pages.turn(&page, |team| team.handle.clone());
        for team in page.items {
            all.push(shown(office, &org, team).await?);
        }
    }
    Ok(all)
}

pub(super) async fn show(office: &Office, form: OneOf) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    shown(office, &org, office.team(&org, &form.handle).await?).await
}

pub(super) async fn role(office: &Office, form: forms::TeamRoleSet) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let team = office.team(&org, &form.handle).await?;
    let role = form.role.as_deref().map(str::parse).transpose().map_err(Refused::usage)?;
    match office.change(SetTeamRole { org: org.id, team: team.id, role }).await? {
        TeamRoleSet::Done => shown(office, &org, office.team(&org, &form.handle).await?).await,
        TeamRoleSet::NotThere => Err(Refused::not_there(format_args!("there is no team `{}`", form.handle))),
        TeamRoleSet::Administrators => {
            Err(Refused::by_rule("the administrators' team has the role that it is there for")
                .hint("give the role to a team of its own"))
        }
    }
}

pub(super) async fn members(office: &Office, form: TeamMembers) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let team = office.team(&org, &form.handle).await?;
    let members = members_of(office, &org, &form.members).await?;
    let set = office.change(SetTeamMembers { org: org.id, team: team.id, members }).await?;
    changed(office, &org, &form.handle, set).await
}

pub(super) async fn join(office: &Office, form: TeamMembers) -> Result<TeamShown, Refused> {
    change(office, form, |joining| (joining, Vec::new())).await
}

pub(super) async fn leave(office: &Office, form: TeamMembers) -> Result<TeamShown, Refused> {
    change(office, form, |leaving| (Vec::new(), leaving)).await
}

async fn change(
    office: &Office,
    form: TeamMembers,
    which: impl FnOnce(Vec<PrincipalId>) -> (Vec<PrincipalId>, Vec<PrincipalId>),
) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let team = office.team(&org, &form.handle).await?;
    let (joining, leaving) = which(members_of(office, &org, &form.members).await?);
    let change = ChangeTeamMembers { org: org.id, team: team.id, joining, leaving };
    let set = office.change(change).await?;
    changed(office, &org, &form.handle, set).await
}

async fn changed(office: &Office, org: &Org, handle: &str, set: MembersSet) -> Result<TeamShown, Refused> {
    let behind = match set {
        MembersSet::Done { behind, .. } => behind,
        MembersSet::NotThere => {
            return Err(Refused::not_there(format_args!("there is no team `{handle}`")));
        }
        MembersSet::NoMember => {
            return Err(
                Refused::by_rule("one of them is disabled").hint("`hallpass admin person list` says who")
            );
        }
        MembersSet::LastAdministrator => {
            return Err(Refused::by_rule("the org would be left without an active administrator")
                .hint("name at least one person who is active"));
        }
    };
    left(office, org, handle, &behind).await
}

pub(super) async fn disable(office: &Office, form: OneOf) -> Result<TeamShown, Refused> {
    stand(office, form, false).await
}

pub(super) async fn enable(office: &Office, form: OneOf) -> Result<TeamShown, Refused> {
    stand(office, form, true).await
}

async fn stand(office: &Office, form: OneOf, active: bool) -> Result<TeamShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let team = office.team(&org, &form.handle).await?;
    let set = office.change(SetTeamStanding { org: org.id, team: team.id, active }).await?;
    Refused::unless_set(set.standing, &format!("team `{}`", form.handle))?;
    left(office, &org, &form.handle, &set.left).await
}

/// The team as it is after a change, and what it left behind.
async fn left(office: &Office, org: &Org, handle: &str, left: &LeftBehind) -> Result<TeamShown, Refused> {
    let team = shown(office, org, office.team(org, handle).await?).await?;
    let (suspended, handed_over) = (render_owned(&left.suspended), render_owned(&left.handed_over));
    Ok(TeamShown { suspended, handed_over, ..team })
}

async fn members_of(office: &Office, org: &Org, handles: &[String]) -> Result<Vec<PrincipalId>, Refused> {
    let mut members = Vec::new();
    for handle in handles {
        members.push(office.person(org, handle).await?.id);
    }
    Ok(members)
}

async fn shown(office: &Office, org: &Org, team: Team) -> Result<TeamShown, Refused> {
    Ok(TeamShown {
        id: team.id.to_string(),
        org: org.name.to_string(),
        handle: team.handle.to_string(),
        state: render_standing(team.standing),
        members: office.handles(team.members).await?,
        role: match team.id == org.administrators {
            true => Some(Role::Administrator.text().to_owned()),
            false => team.role.map(|role| role.text().to_owned()),
        },
        created: team.created.to_string(),
        suspended: Vec::new(),
        handed_over: Vec::new(),
    })
}
