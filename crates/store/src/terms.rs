//! On which terms a client is here that came by itself, by a document of its own or by registering: who answers for it, what
//! it may ask for at most, and of which environment it is.

use hallpass_model::id::{ClientId, OrgId};
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::principal::{Handle, Owner};
use hallpass_model::wire::oauth::Scopes;

use crate::change::{News, Tx};
use crate::clients::always_asked;
use crate::directory::registered;
use crate::error::StoreError;
use crate::sql::{Sql, owner_columns};

/// What an org says of clients that came by themselves in one way.
pub(crate) struct Terms<'a> {
    /// Who answers for them.
    pub(crate) owner: &'a Owner,
    /// The most they may ask for, beside who the person is.
    pub(crate) scopes: &'a Scopes,
    /// The environment whose resources they may have tokens for; any, if there is none.
    pub(crate) environment: Option<&'a Handle>,
}

impl Terms<'_> {
    /// The environment as its column has it.
    pub(crate) fn environment(&self) -> Option<&str> {
        self.environment.map(Handle::as_str)
    }

    /// Has a client that is here already be so on these terms, with these scopes.
    pub(crate) fn hold(&self, tx: &Tx<'_>, client: ClientId, scopes: &Scopes) -> Result<(), StoreError> {
        let (person, team) = owner_columns(self.owner);
        tx.db().run(
            "UPDATE clients SET owner_person = ?2, owner_team = ?3, scopes = ?4, environment = ?5 WHERE id = ?1",
            (client.bytes(), person, team, scopes.to_string(), self.environment()),
        )?;
        Ok(())
    }

    /// Records that clients may come by themselves from now on: in this way, by this name of it.
    pub(crate) fn record(&self, tx: &mut Tx<'_>, org: OrgId, way: &'static str, name: &str) {
        let detail = registered(way, name, Some(self.owner))
            .with(Key::SCOPE, self.scopes.to_string())
            .with(Key::ENVIRONMENT, self.environment().unwrap_or("any").to_owned());
        tx.record(Entry { org: Some(org), detail, ..tx.entry(Event::Registered) });
        tx.announce(News::Directory);
    }
}

/// What such a client may ask for: what the terms say, and who the person is.
pub(crate) fn most(scopes: &Scopes) -> Scopes {
    let always = always_asked();
    Scopes::collect(always.iter().chain(scopes.iter())).unwrap_or_else(|_| scopes.clone())
}
