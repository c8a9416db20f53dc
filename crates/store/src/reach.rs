//! What of a grant a token is wanted for: one audience, and scopes it knows.
//!
//! 1. A `resource` that is named must be in the grant, or be the issuer itself.
//! 2. None named: the grant's only resource, or the issuer where it has none. Several: nothing is guessed.
//! 3. A token for a resource holds what was granted and the resource knows; one for the issuer the whole grant.
//! 4. A client that is of one environment has tokens for resources of that one alone.
//! 5. What the client, or a scope, demands of how the person proved who they are must be met. A scope that was not named, and
//!    whose demand is not met, is left out, unless nothing is left.

use hallpass_model::id::{OrgId, ResourceId};
use hallpass_model::principal::{Handle, Standing};
use hallpass_model::step_up::Demand;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::sql::{Columns, Sql};
use crate::step_up::{Proved, ScopeDemands};

/// What a token is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whom it is for.
    pub reach: Reach,
    /// What it may do; all that is granted, where nothing is said.
    pub scopes: Option<Scopes>,
    /// How long; the org's usual time where nothing is said. Cut to the org's limit.
    pub lifetime: Option<Lifetime>,
}

impl Wanted {
    /// The scopes it is wanted for, of those that are granted: all that are named must be among them.
    pub(crate) fn of(&self, granted: &Scopes) -> Result<Scopes, OutOfGrant> {
        match &self.scopes {
            Some(scopes) if !granted.include(scopes) => Err(OutOfGrant::Scope),
            Some(scopes) => Ok(scopes.clone()),
            None => Ok(granted.clone()),
        }
    }
}

/// Whom a token is asked for (RFC 8707).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// It was not said.
    #[default]
    Unsaid,
    /// The issuer itself.
    Issuer,
    /// This resource, by its URL.
    Resource(String),
}

/// Whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The issuer itself.
    Issuer,
    /// A resource.
    Resource {
        /// Its id.
        id: ResourceId,
        /// Its `aud`.
        url: String,
    },
}

impl Reached {
    /// The resource, unless it is the issuer.
    pub fn resource(&self) -> Option<ResourceId> {
        match self {
            Self::Issuer => None,
            Self::Resource { id, .. } => Some(*id),
        }
    }
}

/// Why a grant does not give what is wanted. Nothing was changed or used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OutOfGrant {
    /// `invalid_target`: not among what was agreed to, or no such resource in this org.
    #[error("the resource is not one that was agreed to")]
    Resource,
    /// `invalid_target`: several were agreed to, and none was named.
    #[error("several resources were agreed to: name one")]
    Ambiguous,
    /// `invalid_target`: it is out of use.
    #[error("the resource is disabled")]
    Disabled,
    /// `invalid_target`: whoever answered for it left, and nobody has taken it over.
    #[error("the resource is suspended")]
    Suspended,
    /// `invalid_target`: of another environment than the client's.
    #[error("the resource is of another environment than the client")]
    Environment,
    /// `insufficient_user_authentication`: the person must prove who they are more strongly, or more lately.
    #[error("the person must prove again who they are: {0}")]
    Unmet(Demand),
    /// `invalid_scope`: more than was agreed to, or nothing that the resource knows.
    #[error("the scope is not within what was agreed to")]
    Scope,
}

impl OutOfGrant {
    /// The word it is recorded under.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Ambiguous => "resource_unsaid",
            Self::Disabled => "resource_disabled",
            Self::Suspended => "resource_suspended",
            Self::Environment => "environment",
            Self::Unmet(_) => "step_up",
            Self::Scope => "scope",
        }
    }
}

/// Finds what of these scopes and resources is wanted.
pub(crate) fn reach(
    db: &Connection,
    org: OrgId,
    granted: &Scopes,
    resources: &[String],
    wanted: &Wanted,
    proved: Proved<'_>,
) -> Result<Result<(Reached, Scopes), OutOfGrant>, StoreError> {
    if let Some(demand) = proved.client_wants(db)? {
        return Ok(Err(OutOfGrant::Unmet(demand)));
    }
    let url = match (&wanted.reach, resources) {
        (Reach::Issuer, _) | (Reach::Unsaid, []) => None,
        (Reach::Unsaid, [only]) => Some(only),
        (Reach::Unsaid, _) => return Ok(Err(OutOfGrant::Ambiguous)),
        (Reach::Resource(url), _) if resources.contains(url) => Some(url),
        (Reach::Resource(_), _) => return Ok(Err(OutOfGrant::Resource)),
    };
    let asked = match wanted.of(granted) {
        Ok(asked) => asked,
        Err(why) => return Ok(Err(why)),
    };
    match url {
        None => Ok(Ok((Reached::Issuer, asked))),
        Some(url) => to_resource(db, org, url, &asked, wanted.scopes.is_some(), proved),
    }
}

/// Of which environment the resource of this URL is.
pub(crate) fn environment_of(db: &Connection, org: OrgId, url: &str) -> Result<Option<Handle>, StoreError> {
    db.one("SELECT environment FROM resources WHERE org = ?1 AND url = ?2", (org.bytes(), url), |row| {
        row.word(0)
    })
}

/// A token for this resource, with those of the scopes that it knows.
pub(crate) fn to_resource(
    db: &Connection,
    org: OrgId,
    url: &str,
    asked: &Scopes,
    explicit: bool,
    proved: Proved<'_>,
) -> Result<Result<(Reached, Scopes), OutOfGrant>, StoreError> {
    let found = db.one(
        "SELECT r.id, r.scopes, r.disabled, r.demands, c.environment IS NULL OR c.environment = r.environment \
         FROM resources r JOIN clients c ON c.id = ?3 WHERE r.org = ?1 AND r.url = ?2",
        (org.bytes(), url, proved.client.bytes()),
        |row| {
            let demands = row.maybe_json::<ScopeDemands>(3)?.unwrap_or_default();
            Ok((row.id::<ResourceId>(0)?, row.word::<Scopes>(1)?, row.standing(2)?, demands, row.get(4)?))
        },
    )?;
    Ok(match found {
        None => Err(OutOfGrant::Resource),
        Some((_, _, Standing::Suspended(_), ..)) => Err(OutOfGrant::Suspended),
        Some((_, _, Standing::Disabled(_), ..)) => Err(OutOfGrant::Disabled),
        // SECURITY: whatever was agreed to, and whichever of the two has moved since.
        Some((.., false)) => Err(OutOfGrant::Environment),
        Some((id, known, _, demands, true)) => {
            let scopes = match proved.within(asked.within(&known), &demands, explicit) {
                Ok(scopes) => scopes,
                Err(demand) => return Ok(Err(OutOfGrant::Unmet(demand))),
            };
            match scopes.is_empty() && explicit && !asked.is_empty() {
                true => Err(OutOfGrant::Scope),
                false => Ok((Reached::Resource { id, url: url.to_owned() }, scopes)),
            }
        }
    })
}
