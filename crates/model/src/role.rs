//! Who may do what to whom: one table, read by the code and walked by tests.

/// Who is asking, in relation to an org and a thing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The server's own uid, or root, through the admin socket.
    Operator,
    /// In the org's administrators' team.
    Administrator,
    /// A person, about what is their own.
    Person,
    /// A registered client, about what was issued to it or is meant for it.
    Client,
    /// Anybody at all, whatever else they are.
    Anyone,
}

/// Something that can be done. What has no command, page or endpoint yet has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Add, list, show or disable orgs.
    RunOrgs,
    /// Add, list, show or disable people, teams, clients and resources; hand out enrolment links.
    RunDirectory,
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
    /// Read the ledger.
    ReadLedger,
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
pub const TABLE: &[(Act, &[Role])] = &[
    (Act::RunOrgs, &[Role::Operator]),
    (Act::RunDirectory, &[Role::Operator, Role::Administrator]),
    (Act::RemoveLostPasskey, &[Role::Operator, Role::Administrator]),
    (Act::ErasePersonal, &[Role::Operator]),
    (Act::RecoverAdministrator, &[Role::Operator]),
    (Act::EndAnySession, &[Role::Operator, Role::Administrator]),
    (Act::ApproveLocally, &[Role::Operator]),
    (Act::BackUp, &[Role::Operator]),
    (Act::ReadLedger, &[Role::Operator]),
    (Act::EndOwnSession, &[Role::Person]),
    (Act::RunOwnAgents, &[Role::Person]),
    (Act::RunOwnPasskeys, &[Role::Person]),
    (Act::ApproveForOneself, &[Role::Person]),
    (Act::RevokeOwnToken, &[Role::Client]),
    (Act::Introspect, &[Role::Client]),
    (Act::ReadMetadata, &[Role::Anyone]),
];

/// Whether `role` may do this.
pub fn may(role: Role, act: Act) -> bool {
    let given = |roles: &[Role]| roles.contains(&role) || roles.contains(&Role::Anyone);
    TABLE.iter().any(|(row, roles)| *row == act && given(roles))
}
