//! What orgs sign with.

use hallpass_model::id::OrgId;
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::SIGNING_KEY_OVERLAP;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;

use crate::change::Tx;
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql};

/// A signing key to keep.
#[derive(Debug)]
pub struct SigningKeyRow {
    /// Its `kid`.
    pub kid: String,
    /// Its PKCS#8 document.
    pub pkcs8: Secret<KeyMaterial>,
}

/// A signing key as it was kept.
#[derive(Debug)]
pub struct StoredSigningKey {
    /// Its `kid`.
    pub kid: String,
    /// Its PKCS#8 document.
    pub pkcs8: Secret<KeyMaterial>,
    /// When it was made.
    pub created: Timestamp,
    /// When it signed its last, if another took its place. It stays published for a while.
    pub retired: Option<Timestamp>,
}

/// Keeps a key, encrypted.
pub(crate) fn insert_key(tx: &mut Tx<'_>, org: OrgId, key: &SigningKeyRow) -> Result<(), StoreError> {
    let sealed = tx.keys().seal(&row(&org, &key.kid), key.pkcs8.expose(), tx.entropy());
    tx.db().run(
        "INSERT INTO signing_keys (org, kid, sealed, created) VALUES (?1, ?2, ?3, ?4)",
        (org.bytes(), &key.kid, sealed, tx.now.millis()),
    )?;
    let detail = Detail::new().with(Key::KIND, "signing").with(Key::KID, key.kid.clone());
    tx.record(Entry { org: Some(org), detail, ..tx.entry(Event::KeyRotated) });
    Ok(())
}

fn row<'a>(org: &'a OrgId, kid: &'a str) -> [&'a [u8]; 3] {
    [b"signing key", org.bytes(), kid.as_bytes()]
}

impl Store {
    /// The keys of an org that are published at `now`, newest first: the first one signs.
    pub async fn list_signing_keys(
        &self,
        org: OrgId,
        now: Timestamp,
    ) -> Result<Vec<StoredSigningKey>, StoreError> {
        let published_since = now - SIGNING_KEY_OVERLAP;
        let rows: Vec<(String, Vec<u8>, Timestamp, Option<Timestamp>)> = self.read(|db| {
            db.all(
                "SELECT kid, sealed, created, retired FROM signing_keys \
                 WHERE org = ?1 AND (retired IS NULL OR retired > ?2) ORDER BY retired IS NOT NULL, created DESC",
                (org.bytes(), published_since.millis()),
                |row| Ok((row.text(0)?, row.get(1)?, row.time(2)?, row.maybe_time(3)?)),
            )
        })?;
        rows.into_iter()
            .map(|(kid, sealed, created, retired)| {
                let pkcs8 = self.inner.keys.open(&row(&org, &kid), &sealed)?;
                Ok(StoredSigningKey { kid, pkcs8: Secret::new(pkcs8.to_vec()), created, retired })
            })
            .collect()
    }
}
