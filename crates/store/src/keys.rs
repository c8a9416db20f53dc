//! What orgs sign with, and how one key takes another's place.
//!
//! 1. The next key is published, for [`SIGNING_KEY_AHEAD`] before it signs: whoever keeps the published keys has it by then.
//! 2. The one before it stays published for [`SIGNING_KEY_OVERLAP`] after its last signature, and is then taken away.
//! 3. One that somebody else may have is taken away at once, and with it everything it signed; sign-ins go on, as nothing of
//!    them is signed.

use hallpass_model::id::OrgId;
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{SIGNING_KEY, SIGNING_KEY_AHEAD, SIGNING_KEY_OVERLAP};
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;

use crate::change::{Change, News, Tx};
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
    /// When it began to sign, or will.
    pub signs_from: Timestamp,
    /// When it signed its last, if another took its place. It stays published for a while.
    pub retired: Option<Timestamp>,
}

/// Keeps an org's first key, encrypted.
pub(crate) fn insert_key(tx: &mut Tx<'_>, org: OrgId, key: &SigningKeyRow) -> Result<(), StoreError> {
    insert(tx, org, key, tx.now, "first")
}

fn insert(
    tx: &mut Tx<'_>,
    org: OrgId,
    key: &SigningKeyRow,
    signs_from: Timestamp,
    reason: &'static str,
) -> Result<(), StoreError> {
    let sealed = tx.keys().seal(&row(&org, &key.kid), key.pkcs8.expose(), tx.entropy());
    let due = if signs_from > tx.now { signs_from } else { signs_from + SIGNING_KEY };
    tx.db().run(
        "INSERT INTO signing_keys (org, kid, sealed, created, signs_from, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (org.bytes(), &key.kid, sealed, tx.now.millis(), signs_from.millis(), due.millis()),
    )?;
    let detail =
        Detail::new().with(Key::KIND, "signing").with(Key::KID, key.kid.clone()).with(Key::REASON, reason);
    tx.record(Entry { org: Some(org), detail, ..tx.entry(Event::KeyRotated) });
    Ok(())
}

/// Why a key takes another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRotated {
    /// Its time is up.
    Scheduled,
    /// Somebody said so.
    Command,
    /// Somebody else may have the one before: nothing that it signed counts any more.
    Emergency,
}

/// Has an org sign with another key.
#[derive(Debug)]
pub struct RotateSigningKey {
    /// Which org.
    pub org: OrgId,
    /// The new key.
    pub key: SigningKeyRow,
    /// Why.
    pub why: WhyRotated,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKeyRotated {
    /// The key signs from then on.
    Done {
        /// From when on.
        signs_from: Timestamp,
    },
    /// Another is on its way already, and signs from then on.
    Already {
        /// Its `kid`.
        kid: String,
        /// From when on.
        signs_from: Timestamp,
    },
    /// There is no such org.
    NotThere,
}

impl Change for RotateSigningKey {
    type Outcome = SigningKeyRotated;

    fn apply(self, tx: &mut Tx<'_>) -> Result<SigningKeyRotated, StoreError> {
        let known = tx.db().one("SELECT 1 FROM orgs WHERE id = ?1", [self.org.bytes()], |_| Ok(()))?;
        if known.is_none() {
            return Ok(SigningKeyRotated::NotThere);
        }
        if self.why == WhyRotated::Emergency {
            // SECURITY: unpublished in the change that makes the new one, so there is no moment with both.
            let gone: Vec<String> = tx.db().all(
                "DELETE FROM signing_keys WHERE org = ?1 RETURNING kid",
                [self.org.bytes()],
                |row| row.text(0),
            )?;
            for kid in gone {
                take_away(tx, self.org, kid, "emergency");
            }
            insert(tx, self.org, &self.key, tx.now, "emergency")?;
            tx.announce(News::Directory);
            return Ok(SigningKeyRotated::Done { signs_from: tx.now });
        }
        let next = tx.db().one(
            "SELECT kid, signs_from FROM signing_keys WHERE org = ?1 AND retired IS NULL AND signs_from > ?2",
            (self.org.bytes(), tx.now.millis()),
            |row| Ok(SigningKeyRotated::Already { kid: row.text(0)?, signs_from: row.time(1)? }),
        )?;
        if let Some(already) = next {
            return Ok(already);
        }
        // It is asked about no more: the next one's turn is what it waits for.
        tx.db().run(
            "UPDATE signing_keys SET due = NULL WHERE org = ?1 AND retired IS NULL",
            [self.org.bytes()],
        )?;
        let signs_from = tx.now + SIGNING_KEY_AHEAD;
        let reason = if self.why == WhyRotated::Scheduled { "scheduled" } else { "command" };
        insert(tx, self.org, &self.key, signs_from, reason)?;
        tx.announce(News::Directory);
        Ok(SigningKeyRotated::Done { signs_from })
    }
}

fn take_away(tx: &mut Tx<'_>, org: OrgId, kid: String, reason: &'static str) {
    let detail = Detail::new().with(Key::KIND, "signing").with(Key::KID, kid).with(Key::REASON, reason);
    let entry = tx.entry(Event::Disabled);
    tx.record(Entry { org: Some(org), detail, ..entry });
}

/// Keys whose time has come: what was published begins to sign, and what signed its last long ago is taken away. A piece at a
/// time, like [`Sweep`](crate::Sweep).
#[derive(Debug, Clone, Copy)]
pub struct AdvanceSigningKeys;

/// Keys that are looked at in one change.
const DUE_AT_ONCE: u32 = 100;

impl Change for AdvanceSigningKeys {
    /// The orgs whose key has signed long enough, and which need another.
    type Outcome = Vec<OrgId>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Vec<OrgId>, StoreError> {
        let due: Vec<(OrgId, String, Timestamp, Option<Timestamp>, Timestamp)> = tx.db().all(
            "SELECT org, kid, signs_from, retired, due FROM signing_keys WHERE due <= ?1 LIMIT ?2",
            (tx.now.millis(), DUE_AT_ONCE),
            |row| Ok((row.id(0)?, row.text(1)?, row.time(2)?, row.maybe_time(3)?, row.time(4)?)),
        )?;
        let (mut wanting, mut changed) = (Vec::new(), false);
        for (org, kid, signs_from, retired, due) in due {
            if retired.is_some() {
                tx.db().run("DELETE FROM signing_keys WHERE org = ?1 AND kid = ?2", (org.bytes(), &kid))?;
                take_away(tx, org, kid, "retired");
                changed = true;
            } else if due == signs_from {
                tx.db().run(
                    "UPDATE signing_keys SET retired = ?3, due = ?4 WHERE org = ?1 AND kid <> ?2 AND retired IS NULL",
                    (org.bytes(), &kid, tx.now.millis(), (tx.now + SIGNING_KEY_OVERLAP).millis()),
                )?;
                tx.db().run(
                    "UPDATE signing_keys SET due = ?3 WHERE org = ?1 AND kid = ?2",
                    (org.bytes(), &kid, (tx.now + SIGNING_KEY).millis()),
                )?;
                changed = true;
            } else {
                wanting.push(org);
            }
        }
        if changed {
            tx.announce(News::Directory);
        }
        Ok(wanting)
    }
}

fn row<'a>(org: &'a OrgId, kid: &'a str) -> [&'a [u8]; 3] {
    [b"signing key", org.bytes(), kid.as_bytes()]
}

impl Store {
    /// The keys of an org that are published at `now`: the first one signs.
    pub async fn list_signing_keys(
        &self,
        org: OrgId,
        now: Timestamp,
    ) -> Result<Vec<StoredSigningKey>, StoreError> {
        let published_since = now - SIGNING_KEY_OVERLAP;
        let rows: Vec<(Vec<u8>, StoredSigningKey)> = self.read(|db| {
            db.all(
                "SELECT kid, sealed, created, signs_from, retired FROM signing_keys \
                 WHERE org = ?1 AND (retired IS NULL OR retired > ?2) \
                 ORDER BY signs_from > ?3, retired IS NOT NULL, signs_from DESC",
                (org.bytes(), published_since.millis(), now.millis()),
                |row| {
                    let key = StoredSigningKey {
                        kid: row.text(0)?,
                        pkcs8: Secret::new(Vec::new()), // until it is opened, below
                        created: row.time(2)?,
                        signs_from: row.time(3)?,
                        retired: row.maybe_time(4)?,
                    };
                    Ok((row.get(1)?, key))
                },
            )
        })?;
        rows.into_iter()
            .map(|(sealed, key)| {
                let pkcs8 = self.inner.keys.open(&row(&org, &key.kid), &sealed)?;
                Ok(StoredSigningKey { pkcs8: Secret::new(pkcs8.to_vec()), ..key })
            })
            .collect()
    }
}
