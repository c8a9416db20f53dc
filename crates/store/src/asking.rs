//! What of a client and its org decides when the client asks for itself, remembered by the writer.
//!
//! INVARIANT: it is read in the writer's own transaction, and forgotten in the very change that says that the directory
//! changed ([`Tx::announce`](crate::change::Tx::announce)), or that is undone. So no grant is judged by what was so once.

use std::collections::HashMap;
use std::sync::Arc;

use hallpass_model::id::{ClientId, OrgId};
use hallpass_model::principal::OrgLimits;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::orgs::read_limits;
use crate::sql::{Columns, Sql};

/// What decides.
pub(crate) struct Asking {
    /// The most it may ask for.
    pub(crate) granted: Scopes,
    /// What its org has narrowed.
    pub(crate) limits: OrgLimits,
    /// Whether both are in use.
    pub(crate) in_use: bool,
}

/// Those who asked lately.
#[derive(Default)]
pub(crate) struct Askers(HashMap<(OrgId, ClientId), Arc<Asking>>);

impl Askers {
    /// What decides for this client; none if it is not one of this org.
    pub(crate) fn find(
        &mut self,
        db: &Connection,
        org: OrgId,
        client: ClientId,
    ) -> Result<Option<Arc<Asking>>, StoreError> {
        if let Some(known) = self.0.get(&(org, client)) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = db.one(
            "SELECT c.scopes, o.access_token, o.session_idle, o.session_absolute, \
             o.disabled IS NULL AND c.disabled IS NULL, o.rungs \
             FROM clients c JOIN orgs o ON o.id = c.org WHERE c.id = ?1 AND c.org = ?2",
            (client.bytes(), org.bytes()),
            |row| Ok(Asking { granted: row.word(0)?, limits: read_limits(row, 1)?, in_use: row.get(4)? }),
        )?;
        let Some(found) = found.map(Arc::new) else { return Ok(None) };
        if self.0.len() >= REMEMBERED_MAX {
            self.forget();
        }
        self.0.insert((org, client), Arc::clone(&found));
        Ok(Some(found))
    }

    /// Forgets all: something changed, or what was read may never have been so.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Clients that are remembered, at some hundred bytes each.
const REMEMBERED_MAX: usize = 4_096;
