//! People who answer together.

use hallpass_model::id::{OrgId, PrincipalId, TeamId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::principal::{Handle, Owner, Team};
use hallpass_model::role::{Act, Role, TeamRole, may};
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, StandingSet, org_accepts, record_standing, registered, standing_of};
use crate::error::StoreError;
use crate::leaving::{LeftBehind, OwnerSet, suspend_of, team_left};
use crate::open::Store;
use crate::page::Page;
use crate::sql::{Columns, Sql, disabled_column};

/// Adds a team.
#[derive(Debug, Clone)]
pub struct AddTeam {
    /// Where.
    pub org: OrgId,
    /// Its short name.
    pub handle: Handle,
    /// Who is in it: active persons of the org.
    pub members: Vec<PrincipalId>,
}

impl Change for AddTeam {
    type Outcome = Result<TeamId, NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = org_accepts(tx.db(), self.org)? {
            return Ok(Err(why));
        }
        if find_by_handle(tx.db(), self.org, self.handle.as_str())?.is_some() {
            return Ok(Err(NotAdded::Taken));
        }
        if !are_active(tx.db(), self.org, &self.members)? {
            return Ok(Err(NotAdded::NoMember));
        }
        let id = TeamId::new(tx.now, tx.entropy());
        tx.db().run(
            "INSERT INTO teams (id, org, handle, created) VALUES (?1, ?2, ?3, ?4)",
            (id.bytes(), self.org.bytes(), self.handle.as_str(), tx.now.millis()),
        )?;
        let detail = registered("team", self.handle.as_str(), None).with(Key::TEAM, id.to_string());
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Registered) });
        for person in &self.members {
            add_member(tx, self.org, id, *person)?;
        }
        tx.announce(News::Directory);
        Ok(Ok(id))
    }
}

/// Says who is in a team from now on.
#[derive(Debug, Clone)]
pub struct SetTeamMembers {
    /// Where.
    pub org: OrgId,
    /// Which team.
    pub team: TeamId,
    /// All its members: active persons of the org.
    pub members: Vec<PrincipalId>,
}

/// What came of changing a team's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersSet {
    /// They are as asked: so many joined, so many left.
    Done {
        /// How many joined.
        joined: usize,
        /// How many left.
        left: usize,
        /// What became of what the team answered for, where nobody is left in it who can.
        behind: LeftBehind,
    },
    /// There is no such team in this org.
    NotThere,
    /// One of them is no active person of this org.
    NoMember,
    /// The administrators' team would have no active member left.
    LastAdministrator,
}

impl Change for SetTeamMembers {
    type Outcome = MembersSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(team) = find_team(tx.db(), self.team)?.filter(|team| team.org == self.org) else {
            return Ok(MembersSet::NotThere);
        };
        let joining: Vec<_> =
            self.members.iter().filter(|person| !team.members.contains(person)).copied().collect();
        let leaving: Vec<_> =
            team.members.iter().filter(|person| !self.members.contains(person)).copied().collect();
        // Somebody disabled may stay in a team; only who joins must be active.
        if !are_active(tx.db(), self.org, &joining)? {
            return Ok(MembersSet::NoMember);
        }
        let stays = self.members.iter().filter(|person| team.members.contains(person));
        if is_administrators(tx.db(), self.org, self.team)?
            && joining.is_empty()
            && !any_active(tx.db(), self.org, stays)?
        {
            return Ok(MembersSet::LastAdministrator);
        }
        for person in &joining {
            add_member(tx, self.org, self.team, *person)?;
        }
        for person in &leaving {
            tx.db().run(
                "DELETE FROM members WHERE team = ?1 AND person = ?2",
                (self.team.bytes(), person.bytes()),
            )?;
            record_member(tx, self.org, self.team, *person, "member_left");
        }
        let behind = team_left(tx, self.org, self.team)?;
        tx.announce(News::Directory);
        Ok(MembersSet::Done { joined: joining.len(), left: leaving.len(), behind })
    }
}

/// Has people join a team and leave it, whoever else does meanwhile: what is not named stays as it is.
#[derive(Debug, Clone)]
pub struct ChangeTeamMembers {
    /// Where.
    pub org: OrgId,
    /// Which team.
    pub team: TeamId,
    /// Who joins; whoever is in it already stays.
    pub joining: Vec<PrincipalId>,
    /// Who leaves.
    pub leaving: Vec<PrincipalId>,
}

impl Change for ChangeTeamMembers {
    type Outcome = MembersSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Self { org, team, joining, leaving } = self;
        let Some(known) = find_team(tx.db(), team)?.filter(|known| known.org == org) else {
            return Ok(MembersSet::NotThere);
        };
        let mut members = known.members;
        members.retain(|person| !leaving.contains(person));
        for person in joining {
            if !members.contains(&person) {
                members.push(person);
            }
        }
        SetTeamMembers { org, team, members }.apply(tx)
    }
}

/// Takes a team out of use, so that it may own nothing, or puts it back into use. What it owned is suspended.
#[derive(Debug, Clone, Copy)]
pub struct SetTeamStanding {
    /// Where.
    pub org: OrgId,
    /// Which team.
    pub team: TeamId,
    /// Whether it is in use from now on.
    pub active: bool,
}

impl Change for SetTeamStanding {
    type Outcome = OwnerSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(team) = find_team(tx.db(), self.team)?.filter(|team| team.org == self.org) else {
            return Ok(StandingSet::NotThere.into());
        };
        if team.standing.is_active() == self.active {
            return Ok(StandingSet::Already(team.standing).into());
        }
        if !self.active && is_administrators(tx.db(), self.org, self.team)? {
            return Ok(StandingSet::LastAdministrator.into());
        }
        let standing = standing_of(self.active, tx.now);
        tx.db().run(
            "UPDATE teams SET disabled = ?2 WHERE id = ?1",
            (self.team.bytes(), disabled_column(standing)),
        )?;
        let detail = Detail::new().with(Key::TEAM, self.team.to_string());
        let entry = Entry { org: Some(self.org), detail, ..tx.entry(Event::Disabled) };
        record_standing(tx, entry, "team", self.active);
        let left = match self.active {
            true => LeftBehind::default(),
            false => suspend_of(tx, self.org, Owner::Team(self.team))?,
        };
        tx.announce(News::Directory);
        Ok(OwnerSet { standing: StandingSet::Done(standing), left })
    }
}

/// Says what a team's members are in their org from now on.
#[derive(Debug, Clone, Copy)]
pub struct SetTeamRole {
    /// Where.
    pub org: OrgId,
    /// Which team.
    pub team: TeamId,
    /// What they are; nothing beside people who answer for things, where it is left out.
    pub role: Option<TeamRole>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamRoleSet {
    /// They are that from now on, or were already.
    Done,
    /// There is no such team in this org.
    NotThere,
    /// The administrators' team has the one role that it is there for.
    Administrators,
}

impl Change for SetTeamRole {
    type Outcome = TeamRoleSet;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(team) = find_team(tx.db(), self.team)?.filter(|team| team.org == self.org) else {
            return Ok(TeamRoleSet::NotThere);
        };
        if is_administrators(tx.db(), self.org, self.team)? {
            return Ok(TeamRoleSet::Administrators);
        }
        if team.role == self.role {
            return Ok(TeamRoleSet::Done);
        }
        let role = self.role.map(TeamRole::text);
        tx.db().run("UPDATE teams SET role = ?2 WHERE id = ?1", (self.team.bytes(), role))?;
        let detail = Detail::new()
            .with(Key::KIND, "team")
            .with(Key::TEAM, self.team.to_string())
            .with(Key::CHANGE, "role")
            .with(Key::ROLE, role.unwrap_or("none"));
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Changed) });
        tx.announce(News::Directory);
        Ok(TeamRoleSet::Done)
    }
}

/// What somebody is in their org.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    /// Everything that they are: a person always, if they are in use at all.
    pub roles: Vec<Role>,
    /// The teams that are in use and that they are in: what these answer for, they answer for.
    pub teams: Vec<TeamId>,
}

impl Roles {
    /// Whether they may do this, but for what they may as somebody's owner.
    pub fn may(&self, act: Act) -> bool {
        self.roles.iter().any(|role| may(*role, act))
    }

    /// Whether this owner is they, or a team of theirs.
    pub fn answers(&self, person: PrincipalId, owner: &Owner) -> bool {
        match owner {
            Owner::Person(id) => *id == person,
            Owner::Team(id) => self.teams.contains(id),
        }
    }
}

/// What a person is in their org, now.
pub(crate) fn roles_of(db: &Connection, org: OrgId, person: PrincipalId) -> Result<Roles, StoreError> {
    let active = any_active(db, org, std::iter::once(&person))?;
    if !active {
        return Ok(Roles::default());
    }
    let teams: Vec<(TeamId, Option<TeamRole>, bool)> = db.all(
        "SELECT t.id, t.role, o.administrators = t.id FROM members m JOIN teams t ON t.id = m.team \
         JOIN orgs o ON o.id = t.org WHERE m.person = ?1 AND t.org = ?2 AND t.disabled IS NULL",
        (person.bytes(), org.bytes()),
        |row| Ok((row.id(0)?, row.maybe_word(1)?, row.get(2)?)),
    )?;
    let mut roles = vec![Role::Person];
    for (_, role, administrators) in &teams {
        let role = if *administrators { Some(Role::Administrator) } else { role.map(Role::from) };
        roles.extend(role.filter(|role| !roles.contains(role)));
    }
    Ok(Roles { roles, teams: teams.into_iter().map(|(team, ..)| team).collect() })
}

impl Store {
    /// What a person is in their org.
    pub async fn roles_of(&self, org: OrgId, person: PrincipalId) -> Result<Roles, StoreError> {
        self.read(|db| roles_of(db, org, person))
    }

    /// The team of this id.
    pub async fn find_team(&self, team: TeamId) -> Result<Option<Team>, StoreError> {
        self.read(|db| find_team(db, team))
    }

    /// The team of this short name.
    pub async fn find_team_by_handle(&self, org: OrgId, handle: &str) -> Result<Option<Team>, StoreError> {
        self.read(|db| find_by_handle(db, org, handle))
    }

    /// The teams a person is in.
    pub async fn list_teams_of(&self, person: PrincipalId) -> Result<Vec<TeamId>, StoreError> {
        self.read(|db| {
            db.all("SELECT team FROM members WHERE person = ?1", [person.bytes()], |row| row.id(0))
        })
    }

    /// The teams of an org, by short name, after the one given.
    pub async fn list_teams(
        &self,
        org: OrgId,
        after: Option<&Handle>,
        limit: u32,
    ) -> Result<Page<Team>, StoreError> {
        let teams = self.read(|db| {
            let rows = db.all(
                "SELECT id, org, handle, disabled, created, role FROM teams WHERE org = ?1 AND handle > ?2 \
                 ORDER BY handle LIMIT ?3",
                (org.bytes(), after.map_or("", Handle::as_str), Page::<Team>::rows(limit)),
                read_team,
            )?;
            rows.into_iter().map(|team| with_members(db, team)).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Page::of(teams, limit))
    }
}

pub(crate) fn find_team(db: &Connection, team: TeamId) -> Result<Option<Team>, StoreError> {
    db.one(
        "SELECT id, org, handle, disabled, created, role FROM teams WHERE id = ?1",
        [team.bytes()],
        read_team,
    )?
    .map(|team| with_members(db, team))
    .transpose()
}

fn find_by_handle(db: &Connection, org: OrgId, handle: &str) -> Result<Option<Team>, StoreError> {
    db.one(
        "SELECT id, org, handle, disabled, created, role FROM teams WHERE org = ?1 AND handle = ?2",
        (org.bytes(), handle),
        read_team,
    )?
    .map(|team| with_members(db, team))
    .transpose()
}

/// Whether somebody in it could answer.
pub(crate) fn has_active_member(db: &Connection, team: TeamId) -> Result<bool, StoreError> {
    let one = db.one(
        "SELECT 1 FROM members m JOIN principals p ON p.id = m.person WHERE m.team = ?1 AND p.disabled IS NULL LIMIT 1",
        [team.bytes()],
        |_| Ok(()),
    )?;
    Ok(one.is_some())
}

/// Whether the org would be without an active administrator but for this person.
pub(crate) fn is_last_administrator(
    db: &Connection,
    org: OrgId,
    person: PrincipalId,
) -> Result<bool, StoreError> {
    let active: Vec<PrincipalId> = db.all(
        "SELECT p.id FROM orgs o JOIN members m ON m.team = o.administrators JOIN principals p ON p.id = m.person \
         WHERE o.id = ?1 AND p.disabled IS NULL LIMIT 2",
        [org.bytes()],
        |row| row.id(0),
    )?;
    Ok(active == [person])
}

fn is_administrators(db: &Connection, org: OrgId, team: TeamId) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM orgs WHERE id = ?1 AND administrators = ?2",
        (org.bytes(), team.bytes()),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

fn are_active(db: &Connection, org: OrgId, people: &[PrincipalId]) -> Result<bool, StoreError> {
    for person in people {
        if !any_active(db, org, std::iter::once(person))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_active<'a>(
    db: &Connection,
    org: OrgId,
    people: impl Iterator<Item = &'a PrincipalId>,
) -> Result<bool, StoreError> {
    for person in people {
        let active = db.one(
            "SELECT 1 FROM principals WHERE id = ?1 AND org = ?2 AND disabled IS NULL",
            (person.bytes(), org.bytes()),
            |_| Ok(()),
        )?;
        if active.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn add_member(tx: &mut Tx<'_>, org: OrgId, team: TeamId, person: PrincipalId) -> Result<(), StoreError> {
    tx.db().run(
        "INSERT INTO members (team, person) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        (team.bytes(), person.bytes()),
    )?;
    record_member(tx, org, team, person, "member_joined");
    Ok(())
}

fn record_member(tx: &mut Tx<'_>, org: OrgId, team: TeamId, person: PrincipalId, change: &'static str) {
    let detail =
        Detail::new().with(Key::KIND, "team").with(Key::TEAM, team.to_string()).with(Key::CHANGE, change);
    tx.record(Entry { org: Some(org), principal: Some(person), detail, ..tx.entry(Event::Changed) });
}

fn with_members(db: &Connection, team: Team) -> Result<Team, StoreError> {
    let members = db.all("SELECT person FROM members WHERE team = ?1", [team.id.bytes()], |row| row.id(0))?;
    Ok(Team { members, ..team })
}

fn read_team(row: &Row<'_>) -> rusqlite::Result<Team> {
    Ok(Team {
        id: row.id(0)?,
        org: row.id(1)?,
        handle: row.word(2)?,
        members: Vec::new(),
        standing: row.standing(3)?,
        created: row.time(4)?,
        role: row.maybe_word(5)?,
    })
}
