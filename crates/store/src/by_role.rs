//! What a person changes in their org by a role that they have there.

use hallpass_model::cut::Place;
use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::role::Act;

use crate::change::{Change, Tx};
use crate::cuts::is_dead;
use crate::error::StoreError;
use crate::refusals::{RefusedSubject, refuse};
use crate::teams::roles_of;
use crate::web::WebLogin;

/// A change that somebody makes by a role of theirs: only while they have it, and while what they came by stands.
///
/// SECURITY: both were looked up before, by a reader. Whoever was taken out of the administrators' team, or had all that they hold
/// ended, must not change one thing more by a request that was on its way.
#[derive(Debug, Clone)]
pub struct ByRole<C> {
    /// Where.
    pub org: OrgId,
    /// Who.
    pub person: PrincipalId,
    /// What they came by.
    pub came_by: CameBy,
    /// What it is that they do; nothing to be asked again where they do it as the owner of the very thing.
    pub act: Option<Act>,
    /// The change.
    pub change: C,
}

/// What a person came by.
#[derive(Debug, Clone)]
pub enum CameBy {
    /// A login in a browser.
    Browser(WebLogin),
    /// An access token, by where it stands.
    Token(Place),
}

/// Why somebody changed nothing. It is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotByRole {
    /// The login, or the token, is over.
    #[error("the login it was done with is over")]
    Over,
    /// They have no role any more that may.
    #[error("they have no role any more that may")]
    Role,
}

impl<C: Change> Change for ByRole<C> {
    type Outcome = Result<C::Outcome, NotByRole>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Self { org, person, came_by, act, change } = self;
        let over = match &came_by {
            CameBy::Browser(login) => !login.stands(tx)?,
            CameBy::Token(place) => is_dead(tx.db(), place)?.is_some(),
        };
        let subject = RefusedSubject { principal: Some(person), ..RefusedSubject::org(org) };
        if over {
            refuse(tx, &subject, "login_over")?;
            return Ok(Err(NotByRole::Over));
        }
        if let Some(act) = act
            && !roles_of(tx.db(), org, person)?.may(act)
        {
            refuse(tx, &subject, "role")?;
            return Ok(Err(NotByRole::Role));
        }
        Ok(Ok(change.apply(tx)?))
    }
}
