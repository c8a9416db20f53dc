//! Who may do what to whom: one table, read by the code and walked by tests.

use std::str::FromStr;

/// Who is asking, in relation to an org and a thing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The server's own uid, or root, through the admin socket.
    Operator,
    /// In the org's administrators' team.
    Administrator,
    /// In a team whose members may stop anything of the org, and grant nothing.
    Responder,
    /// In a team whose members may see what there is in the org and what happened, with proofs, and change nothing.
    Auditor,
    /// Whoever answers for the very thing that is asked about, alone or in a team.
    Owner,
    /// A person, about what is their own.
    Person,
    /// A registered client, about what was issued to it or is meant for it.
    Client,
    /// Anybody at all, whatever else they are.
    Anyone,
}

impl Role {
    /// What somebody can be in an org beside a person.
    pub const IN_ORG: [Self; 4] = [Self::Administrator, Self::Responder, Self::Auditor, Self::Owner];

    /// As it is written where a team has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Administrator => "administrator",
            Self::Responder => "responder",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
            Self::Person => "person",
            Self::Client => "client",
            Self::Anyone => "anyone",
        }
    }
}

/// What a team's members are in its org, beside what they are as people. The administrators' team is none of these: an org has
/// one, from its first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TeamRole {
    /// They may stop anything, and grant nothing.
    Responder,
    /// They may see everything, and change nothing.
    Auditor,
}

impl TeamRole {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::Responder, Self::Auditor];

    /// As it is written.
    pub fn text(self) -> &'static str {
        Role::from(self).text()
    }
}

/// It is none that a team may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a team's role is `responder` or `auditor`")]
pub struct NoTeamRole;

impl FromStr for TeamRole {
    type Err = NoTeamRole;

    fn from_str(text: &str) -> Result<Self, NoTeamRole> {
        Self::ALL.into_iter().find(|role| role.text() == text).ok_or(NoTeamRole)
    }
}

impl From<TeamRole> for Role {
    fn from(role: TeamRole) -> Self {
        match role {
            TeamRole::Responder => Self::Responder,
            TeamRole::Auditor => Self::Auditor,
        }
    }
}

/// Something that can be done. What has no command, page or endpoint yet has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Add, list or disable orgs.
    RunOrgs,
    /// Say what an org requires and shortens, by which provider its people log in, and which key it signs with.
    SetOrg,
    /// See what there is in an org: who, what, which sessions.
    ReadDirectory,
    /// See a client, a resource, a trust or an API key, and how it proves itself.
    ReadThing,
    /// Add people, teams, clients, resources, trusts and keys, put them back to use, and say who answers for what and what is
    /// demanded; hand out enrolment links.
    RunDirectory,
    /// Give a client or an API key another proof, and take an old one away.
    RotateProof,
    /// Take a client, a resource, a trust or an API key out of use.
    TakeOutOfUse,
    /// Take a person, a team or an agent out of use.
    TakePersonOutOfUse,
    /// Remove a person's passkey that they have lost.
    RemoveLostPasskey,
    /// Erase what the ledger holds that is personal about somebody.
    ErasePersonal,
    /// Make a person administrator where none is left.
    RecoverAdministrator,
    /// End any session of the org.
    EndAnySession,
    /// Approve a device flow without a browser, where the server allows it.
    ApproveLocally,
    /// Back up and restore.
    BackUp,
    /// Read the ledger, and have what it says proved.
    ReadLedger,
    /// See what one answers for, alone or in a team.
    ReadOwn,
    /// See, and end, one's own sessions, and what one has said yes to.
    EndOwnSession,
    /// Register agents that act for oneself, end their runs, and let one go on.
    RunOwnAgents,
    /// Add, or remove, one's own passkeys.
    RunOwnPasskeys,
    /// Answer a client that asks to act for oneself: at the consent page, or by the device flow.
    ApproveForOneself,
    /// Revoke a token that was issued to the caller.
    RevokeOwnToken,
    /// Learn of a token that is meant for the caller.
    Introspect,
    /// Read metadata and public keys.
    ReadMetadata,
}

/// The table. A row that is missing is a refusal.
pub const TABLE: &[(Act, &[Role])] = {
    use Role::{Administrator, Anyone, Auditor, Client, Operator, Owner, Person, Responder};
    &[
        (Act::RunOrgs, &[Operator]),
        (Act::SetOrg, &[Operator, Administrator]),
        (Act::ReadDirectory, &[Operator, Administrator, Responder, Auditor]),
        (Act::ReadThing, &[Operator, Administrator, Responder, Auditor, Owner]),
        (Act::RunDirectory, &[Operator, Administrator]),
        (Act::RotateProof, &[Operator, Administrator, Owner]),
        (Act::TakeOutOfUse, &[Operator, Administrator, Responder, Owner]),
        (Act::TakePersonOutOfUse, &[Operator, Administrator, Responder]),
        (Act::RemoveLostPasskey, &[Operator, Administrator]),
        (Act::ErasePersonal, &[Operator]),
        (Act::RecoverAdministrator, &[Operator]),
        (Act::EndAnySession, &[Operator, Administrator, Responder]),
        (Act::ApproveLocally, &[Operator]),
        (Act::BackUp, &[Operator]),
        (Act::ReadLedger, &[Operator, Administrator, Responder, Auditor]),
        (Act::ReadOwn, &[Operator, Person]),
        (Act::EndOwnSession, &[Person]),
        (Act::RunOwnAgents, &[Person]),
        (Act::RunOwnPasskeys, &[Person]),
        (Act::ApproveForOneself, &[Person]),
        (Act::RevokeOwnToken, &[Client]),
        (Act::Introspect, &[Client]),
        (Act::ReadMetadata, &[Anyone]),
    ]
};

/// Whether `role` may do this.
pub fn may(role: Role, act: Act) -> bool {
    let given = |roles: &[Role]| roles.contains(&role) || roles.contains(&Role::Anyone);
    TABLE.iter().any(|(row, roles)| *row == act && given(roles))
}
