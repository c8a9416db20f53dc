//! What is known here about a sign-in, without asking anybody.

use std::path::PathBuf;

use hallpass_model::device::DeviceClass;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use serde::{Deserialize, Serialize};

use crate::Holder;
use crate::error::HolderError;
use crate::login::Flow;
use crate::record::{Expiry, Standing};
use crate::shelf::Identity;
use crate::vault::Rung;

/// What is known here about a sign-in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Status {
    /// Which one.
    pub identity: Identity,
    /// Where its key rests.
    pub rung: Rung,
    /// The encrypted file, if it is in one.
    pub file: Option<PathBuf>,
    /// The record was made on another machine, or this one has another install id since. It is used as it is.
    pub moved: bool,
    /// The rest, or why the record cannot be opened.
    pub opened: Result<Opened, HolderError>,
}

/// What stands in an opened record, secrets left out.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Opened {
    /// Who, for people; claimed by the provider.
    pub person: Option<String>,
    /// What was granted.
    pub scope: Scopes,
    /// For which APIs.
    pub resources: Vec<String>,
    /// Why, as said at login.
    pub purpose: Option<String>,
    /// What sort of machine it was taken for at login.
    pub device_class: DeviceClass,
    /// How the person was asked.
    pub flow: Flow,
    /// When.
    pub signed_in: Timestamp,
    /// When it was last renewed.
    pub renewed: Timestamp,
    /// When the access token is over, if the provider says.
    pub expires: Option<Timestamp>,
    /// Whether that is an assumption: the provider does not say, and the token can be renewed.
    #[serde(default)]
    pub expires_assumed: bool,
    /// Whether it can be renewed without asking again.
    pub renewable: bool,
    /// When its API key is over, where it is one and its issuer has said so.
    #[serde(default)]
    pub api_key_ends: Option<Timestamp>,
    /// Whether its tokens are bound to a key of this machine.
    pub bound: bool,
    /// Why it does not stand any more, if it does not.
    pub ended: Option<String>,
    /// SECURITY: whether it is because an answer was for somebody else. Another login takes its place.
    pub quarantined: bool,
    /// Whom it is about, as the provider calls them.
    pub subject: Option<String>,
    /// The organisations that its tokens named.
    pub orgs: Vec<String>,
}

impl Holder {
    /// What is known here about a sign-in, without asking anybody but, where the key rests in a passphrase, the person.
    ///
    /// # Errors
    /// If there is nothing, or the person stopped it at the prompt for a passphrase. That it cannot be opened is an answer.
    pub fn status(&self, identity: &Identity) -> Result<Status, HolderError> {
        if let Some(held) = self.daemon_status(identity) {
            return Ok(held);
        }
        let header = self.shelf.header(identity)?.ok_or_else(|| crate::refresh::gone(identity))?;
        let rung = header.key.rung();
        let opened = match self.shelf.find(identity) {
            Ok(Some(loaded)) => Ok(loaded.record),
            Ok(None) => return Err(crate::refresh::gone(identity)),
            Err(HolderError::Cancelled) => return Err(HolderError::Cancelled),
            Err(error) => Err(error),
        };
        let opened = opened.map(|record| {
            let life = record.access.as_ref().map_or(Expiry::Unknown, |access| access.expires);
            let expires = life.at();
            let is_over = |ends: Timestamp| ends <= (self.clock)();
            let over = record.refresh.is_none() && expires.is_some_and(is_over);
            let api_key_ends = record.api_key.as_ref().and_then(|held| held.ends);
            Opened {
                quarantined: matches!(record.standing, Standing::Quarantined { .. }),
                subject: record.pins.whom().map(str::to_owned),
                orgs: record.pins.orgs().into_iter().collect(),
                ended: match record.standing {
                    Standing::Good if api_key_ends.is_some_and(is_over) => Some("its API key is over".into()),
                    Standing::Good if over => Some("its access token is over and cannot be renewed".into()),
                    Standing::Good => None,
                    Standing::Ended { why } => Some(why),
                    Standing::Quarantined { why } => Some(crate::refresh::quarantined(&why)),
                },
                person: record.person,
                scope: record.scope,
                resources: record.resources,
                purpose: record.purpose,
                device_class: record.device_class,
                flow: record.flow,
                signed_in: record.signed_in,
                renewed: record.renewed,
                expires,
                expires_assumed: matches!(life, Expiry::Assumed(_)),
                renewable: record.refresh.is_some() || record.api_key.is_some(),
                api_key_ends,
                bound: record.key.is_some(),
            }
        });
        let file = rung.is_at_rest().then(|| self.shelf.file(identity));
        let moved = rung.is_at_rest() && self.shelf.is_moved(&header);
        Ok(Status { identity: identity.clone(), rung, file, moved, opened })
    }
}
