//! What came of a session: its runs and the passes handed to commands, as far as they are known, to be drawn. And by what
//! somebody comes in as a client.

use hallpass_model::api_key::{ApiKey, KeySecret};
use hallpass_model::cut::Why;
use hallpass_model::id::{ClientId, CredentialId, SessionId};
use hallpass_model::time::Timestamp;
use hallpass_model::trust::Trust;

use crate::api_keys;
use crate::error::StoreError;
use crate::leases::{self, Lease};
use crate::open::Store;
use crate::runs::{self, Run};
use crate::session_list::{SessionSummary, summary};
use crate::sessions::is_session_dead;
use crate::trusts;

/// A session and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLineage {
    /// The session.
    pub summary: SessionSummary,
    /// Why it is dead, if it, or anything above it, was cut.
    pub cut: Option<Why>,
    /// Its runs, over or not, the newest first.
    pub runs: Vec<Run>,
    /// The passes that commands hold on to now, the newest first.
    pub leases: Vec<Lease>,
    /// Whether there are more of either.
    pub more: bool,
}

/// By what somebody comes in as a client without a person: nothing is kept of the passes they get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLineage {
    /// Its API keys with their secrets, over or not, the newest first.
    pub keys: Vec<(ApiKey, Vec<KeySecret>)>,
    /// Its trusts, in use or not, the newest first.
    pub trusts: Vec<Trust>,
    /// Whether there are more of either.
    pub more: bool,
}

impl Store {
    /// By what somebody comes in as this client: at most so many keys, and so many trusts, found by an index.
    pub async fn lineage_of_client(&self, client: ClientId, limit: u32) -> Result<ClientLineage, StoreError> {
        self.read(|db| {
            let mut keys = api_keys::of_client(db, client, limit + 1)?;
            let mut trusts = trusts::of_client(db, client, limit + 1)?;
            let more = keys.len().max(trusts.len()) > limit as usize;
            keys.truncate(limit as usize);
            trusts.truncate(limit as usize);
            let with_secrets = |key: ApiKey| {
                let secrets = api_keys::secrets_of(db, &key)?;
                Ok((key, secrets))
            };
            let keys = keys.into_iter().map(with_secrets).collect::<Result<_, StoreError>>()?;
            Ok(ClientLineage { keys, trusts, more })
        })
    }

    /// The client that somebody with this API key, or with this secret of one, comes in as.
    pub async fn client_of_api_key(&self, id: CredentialId) -> Result<Option<ClientId>, StoreError> {
        self.read(|db| api_keys::client_of(db, id))
    }

    /// What came of a session, while its row is kept: at most so many runs, and so many leases.
    ///
    /// It looks at no row beyond these, by an index, however much came of it.
    pub async fn lineage_of(
        &self,
        session: SessionId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<SessionLineage>, StoreError> {
        self.read(|db| {
            let Some(summary) = summary(db, session)? else { return Ok(None) };
            let mut runs = runs::of_session(db, session, limit + 1)?;
            let mut leases = leases::of_session(db, session, now, limit + 1)?;
            let more = runs.len().max(leases.len()) > limit as usize;
            runs.truncate(limit as usize);
            leases.truncate(limit as usize);
            let cut = is_session_dead(db, &summary.session)?;
            Ok(Some(SessionLineage { summary, cut, runs, leases, more }))
        })
    }
}
