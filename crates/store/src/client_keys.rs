//! Keys of clients: several at once, so that a newer one can be carried out while the older is in use.

use hallpass_model::client::CLIENT_KEYS_MAX;
use hallpass_model::id::{ClientId, OrgId};
use hallpass_model::jose::{JwkSet, PublicJwk};
use hallpass_model::ledger::{Detail, Entry, Event, Key};

use crate::change::{Change, News, Tx};
use crate::error::StoreError;
use crate::sql::{Columns, Sql, json};

/// Adds keys to a client's, beside those it has. A client that had a secret alone proves itself by either from then on.
#[derive(Debug, Clone)]
pub struct AddClientKeys {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub client: ClientId,
    /// The keys.
    pub keys: Vec<PublicJwk>,
}

/// Takes a key from a client's: what it signs is refused from then on.
#[derive(Debug, Clone)]
pub struct RemoveClientKey {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub client: ClientId,
    /// Its id.
    pub kid: String,
}

/// Why a client's keys stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysNotChanged {
    /// There is no such client in this org.
    #[error("there is no such client in this org")]
    NotThere,
    /// It proves itself by nothing, and whoever uses it would have to from now on.
    #[error("it is a public client, which proves itself by nothing")]
    Public,
    /// It publishes them itself.
    #[error("it publishes its keys itself, and there is nothing to change here")]
    Published,
    /// With several keys, each must be told from the others.
    #[error("a key has no `kid`, and could not be told from the others")]
    NoKid,
    /// One of this id, or this very key, is there.
    #[error("a key of that id, or that very key, is there already")]
    Known,
    /// More keys than a client may have.
    #[error("a client has {CLIENT_KEYS_MAX} keys at most")]
    TooMany,
    /// There is no key of this id.
    #[error("it has no key of that id")]
    NoKey,
    /// It is the only one.
    #[error("it is its only key, and it could not prove itself by anything")]
    Last,
}

impl Change for AddClientKeys {
    type Outcome = Result<(), KeysNotChanged>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let mut keys = match keys_of(tx, self.org, self.client)? {
            Ok(keys) => keys.unwrap_or_default().keys().to_vec(),
            Err(why) => return Ok(Err(why)),
        };
        let mut added = Vec::new();
        for key in self.keys {
            let Some(kid) = key.kid() else { return Ok(Err(KeysNotChanged::NoKid)) };
            if keys.iter().any(|known| known.kid() == Some(kid) || known.thumbprint() == key.thumbprint()) {
                return Ok(Err(KeysNotChanged::Known));
            }
            added.push(kid.to_owned());
            keys.push(key);
        }
        if keys.len() > CLIENT_KEYS_MAX {
            return Ok(Err(KeysNotChanged::TooMany));
        }
        if keys.len() > 1 && keys.iter().any(|key| key.kid().is_none()) {
            return Ok(Err(KeysNotChanged::NoKid));
        }
        write(tx, self.client, keys)?;
        for kid in added {
            record(tx, self.org, self.client, "key_added", kid);
        }
        Ok(Ok(()))
    }
}

impl Change for RemoveClientKey {
    type Outcome = Result<(), KeysNotChanged>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let keys = match keys_of(tx, self.org, self.client)? {
            Ok(keys) => keys.unwrap_or_default(),
            Err(why) => return Ok(Err(why)),
        };
        if !keys.has(&self.kid) {
            return Ok(Err(KeysNotChanged::NoKey));
        }
        let left: Vec<PublicJwk> =
            keys.keys().iter().filter(|key| key.kid() != Some(&*self.kid)).cloned().collect();
        if left.is_empty() {
            return Ok(Err(KeysNotChanged::Last));
        }
        write(tx, self.client, left)?;
        record(tx, self.org, self.client, "key_removed", self.kid);
        Ok(Ok(()))
    }
}

/// The keys that a client has here; `None` for one that has a secret alone.
fn keys_of(
    tx: &Tx<'_>,
    org: OrgId,
    client: ClientId,
) -> Result<Result<Option<JwkSet>, KeysNotChanged>, StoreError> {
    let found = tx.db().one(
        "SELECT jwks, jwks_uri IS NOT NULL, secrets_until IS NOT NULL FROM clients WHERE id = ?1 AND org = ?2",
        (client.bytes(), org.bytes()),
        |row| Ok((row.maybe_json::<JwkSet>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?)),
    )?;
    Ok(match found {
        None => Err(KeysNotChanged::NotThere),
        Some((_, true, _)) => Err(KeysNotChanged::Published),
        Some((None, false, false)) => Err(KeysNotChanged::Public),
        Some((keys, false, _)) => Ok(keys),
    })
}

fn write(tx: &mut Tx<'_>, client: ClientId, keys: Vec<PublicJwk>) -> Result<(), StoreError> {
    let jwks = json(&JwkSet::new(keys));
    tx.db().run("UPDATE clients SET jwks = ?2 WHERE id = ?1", (client.bytes(), jwks))?;
    tx.announce(News::Directory);
    Ok(())
}

fn record(tx: &mut Tx<'_>, org: OrgId, client: ClientId, change: &'static str, kid: String) {
    let detail = Detail::new().with(Key::KIND, "client").with(Key::CHANGE, change).with(Key::KID, kid);
    tx.record(Entry { org: Some(org), client: Some(client), detail, ..tx.entry(Event::Changed) });
}
