//! What our issuer says of a person's agents and their runs: JSON of its own, for the holder. Times are milliseconds since 1970
//! UTC, lives are milliseconds.

use serde::{Deserialize, Serialize};

use super::oauth::Scopes;
use crate::agent::{AgentKind, Budget, Spent};
use crate::id::{AgentId, CredentialId, DeviceId, SessionId};
use crate::time::{Lifetime, Timestamp};

/// Agents of a person, and what of them runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentsList {
    /// All that they registered, those out of use included.
    pub agents: Vec<AgentLine>,
    /// What goes on, the newest first.
    pub runs: Vec<RunLine>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLine {
    /// The `sub` of `act`.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: AgentKind,
    /// The most it may do.
    pub scope: Scopes,
    /// How long a run may last.
    pub longest: Lifetime,
    /// What a run may use.
    pub budget: Budget,
    /// When it was registered.
    pub created: Timestamp,
    /// Since when it starts nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<Timestamp>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLine {
    /// Its id.
    pub run: CredentialId,
    /// The agent's name.
    pub agent: String,
    /// Why, as claimed.
    pub purpose: String,
    /// What it may have at most.
    pub scope: Scopes,
    /// The APIs it had passes for.
    pub resources: Vec<String>,
    /// Below which session of the person.
    pub session: SessionId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Which run started it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<CredentialId>,
    /// What it may use.
    pub budget: Budget,
    /// What it has used.
    pub used: Budget,
    /// Which part of its budget it ran out of: it gets nothing more before its person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// Since when.
    pub began: Timestamp,
    /// When it last asked for anything.
    pub seen: Timestamp,
    /// When it is over in any case.
    pub expires: Timestamp,
}

/// What ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsEnded {
    /// How many runs, those that were started by others included.
    pub ended: usize,
}
