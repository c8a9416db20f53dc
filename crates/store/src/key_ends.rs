//! API keys rotated, taken back, and left behind for something better.
//!
//! A secret that was cut says so in its own row: its cut is forgotten long before a key of three months is over. What a cut
//! of its client or its org kills, or a restore, is asked of the cuts, which are kept for as long as any key lives.

use hallpass_model::api_key::{ApiKey, NotExcepted, SECRETS_ALIVE_MAX, judge_exception};
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{CredentialId, OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::API_KEY_OVERLAP;
use hallpass_model::secret::{self, Secret};
use hallpass_model::time::{Lifetime, Timestamp};

use crate::api_keys::{
    KeyMade, about, expiry, find, find_by_fingerprint, insert_secret, requires_exception, secrets_of,
};
use crate::change::{Change, Tx};
use crate::cuts::{CutMade, cut_recording};
use crate::error::StoreError;
use crate::sql::{Columns, Sql};

/// Gives a key a new secret, and the one before an earlier end.
#[derive(Debug, Clone, Copy)]
pub struct RotateApiKey {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub key: CredentialId,
    /// How long the old secret is still good at most; [`API_KEY_OVERLAP`] where nothing is said.
    pub overlap: Option<Lifetime>,
    /// How long the new one lives; the table's, or the org's if that is less, where nothing is said.
    pub lasts: Option<Lifetime>,
}

/// What came of it.
#[derive(Debug)]
pub struct KeyRotated {
    /// The new secret.
    pub made: KeyMade,
    /// The old one, and when it is over.
    pub old: (CredentialId, Timestamp),
}

/// Why a key was not rotated. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyNotRotated {
    /// There is no such key in this org.
    #[error("there is no such API key")]
    NotThere,
    /// None of its secrets is alive.
    #[error("the API key is over")]
    Over,
    /// It has two already.
    #[error("a key has {SECRETS_ALIVE_MAX} secrets alive at most, and the older one is good until {0}")]
    Twice(Timestamp),
    /// Its users are being moved to something better by a date.
    #[error("the API key ends on {0}, as its users are being moved")]
    Ending(Timestamp),
    /// Longer than any key lives here.
    #[error("an API key lives {0} at most here")]
    TooLong(Lifetime),
    /// The exception by which it is there is over by then.
    #[error(transparent)]
    Exception(#[from] NotExcepted),
}

impl Change for RotateApiKey {
    type Outcome = Result<KeyRotated, KeyNotRotated>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(key) = find(tx.db(), self.org, self.key)? else { return Ok(Err(KeyNotRotated::NotThere)) };
        if let Some(ends) = key.ends {
            return Ok(Err(KeyNotRotated::Ending(ends)));
        }
        let mut alive = secrets_of(tx.db(), &key)?;
        alive.retain(|secret| secret.is_alive(&key, tx.now));
        let Some(old) = alive.last() else { return Ok(Err(KeyNotRotated::Over)) };
        if alive.len() >= SECRETS_ALIVE_MAX {
            return Ok(Err(KeyNotRotated::Twice(alive[0].expires)));
        }
        let expires = match expiry(tx, self.org, self.lasts)? {
            Ok(expires) => expires,
            Err(most) => return Ok(Err(KeyNotRotated::TooLong(most))),
        };
        let requires = requires_exception(tx.db(), self.org)?;
        if let Err(why) = judge_exception(requires, key.exception.as_ref(), expires) {
            return Ok(Err(why.into()));
        }
        // It may end sooner by itself, and never ends later.
        let old_ends = old.expires.min(tx.now + self.overlap.unwrap_or(API_KEY_OVERLAP));
        tx.db().run(
            "UPDATE api_key_secrets SET expires = ?2 WHERE id = ?1",
            (old.id.bytes(), old_ends.millis()),
        )?;
        let old = (old.id, old_ends);
        let made = insert_secret(tx, key.id, Some(old.0), expires)?;
        let detail = Detail::new()
            .with(Key::KIND, "api_key")
            .with(Key::SLUG, key.handle.to_string())
            .with(Key::PARENT, old.0.to_string())
            .with(Key::EXPIRES, made.expires.millis());
        let entry = about(tx, Event::KeyRotated, &key);
        tx.record(Entry { credential: Some(made.id), detail, ..entry });
        Ok(Ok(KeyRotated { made, old }))
    }
}

/// Takes a key back, or one of its secrets: it, and every token it bought, is dead from this commit on.
#[derive(Debug, Clone, Copy)]
pub struct RevokeApiKey {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub key: CredentialId,
    /// One of its secrets alone.
    pub secret: Option<CredentialId>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It is dead now.
    Done,
    /// It was before.
    Already,
    /// There is no such key, or no such secret of it.
    NotThere,
}

impl Change for RevokeApiKey {
    type Outcome = KeyRevoked;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(key) = find(tx.db(), self.org, self.key)? else { return Ok(KeyRevoked::NotThere) };
        let credential = match self.secret {
            None => key.id,
            Some(id) if secrets_of(tx.db(), &key)?.iter().any(|secret| secret.id == id) => id,
            Some(_) => return Ok(KeyRevoked::NotThere),
        };
        revoke(tx, &key, credential, Why::EndedByAdministrator)
    }
}

/// Takes one secret back, as whoever holds it wishes (RFC 7009): it alone, and what it bought.
#[derive(Debug)]
pub struct RevokeByKey {
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The secret.
    pub secret: Secret<secret::ApiKey>,
}

impl Change for RevokeByKey {
    /// Whether it ended now.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.secret);
        let Some((key, secret)) = find_by_fingerprint(tx.db(), self.org, &fingerprint.0)? else {
            return Ok(false);
        };
        tx.acts(hallpass_model::ledger::Actor::Client(key.client));
        Ok(revoke(tx, &key, secret.id, Why::SignedOut)? == KeyRevoked::Done)
    }
}

fn revoke(
    tx: &mut Tx<'_>,
    key: &ApiKey,
    credential: CredentialId,
    why: Why,
) -> Result<KeyRevoked, StoreError> {
    let dead = secrets_of(tx.db(), key)?
        .iter()
        .filter(|secret| credential == key.id || credential == secret.id)
        .all(|secret| secret.revoked.is_some());
    if dead {
        return Ok(KeyRevoked::Already);
    }
    let detail = Detail::new()
        .with(Key::KIND, "api_key")
        .with(Key::SLUG, key.handle.to_string())
        .with(Key::AXIS, "credential")
        .with(Key::REASON, why.text());
    let entry = about(tx, Event::Cut, key);
    let entry = Entry { credential: Some(credential), detail, ..entry };
    Ok(match cut_recording(tx, Target::Credential(credential), why, entry)? {
        CutMade::Cut(_) => KeyRevoked::Done,
        CutMade::Already(_) | CutMade::NotThere => KeyRevoked::Already,
    })
}

/// Has a cut say so in the rows of the secrets that it kills: inside the cut itself, whoever makes it.
pub(crate) fn note_cut(tx: &mut Tx<'_>, target: Target, why: Why) -> Result<(), StoreError> {
    match target {
        Target::Credential(id) => {
            for statement in [
                "UPDATE api_key_secrets SET revoked = ?2, why = ?3 WHERE id = ?1 AND revoked IS NULL",
                "UPDATE api_key_secrets SET revoked = ?2, why = ?3 WHERE key = ?1 AND revoked IS NULL",
            ] {
                tx.db().run(statement, (id.bytes(), tx.now.millis(), why.text()))?;
            }
            Ok(())
        }
        // A token of a key does not name whoever answers for it, so their keys are cut one by one: there are few.
        Target::Principal(person) => of_person_ended(tx, person, why),
        _ => Ok(()),
    }
}

fn of_person_ended(tx: &mut Tx<'_>, person: PrincipalId, why: Why) -> Result<(), StoreError> {
    let keys: Vec<(OrgId, CredentialId)> =
        tx.db().all("SELECT org, id FROM api_keys WHERE owner_person = ?1", [person.bytes()], |row| {
            Ok((row.id(0)?, row.id(1)?))
        })?;
    for (org, id) in keys {
        if let Some(key) = find(tx.db(), org, id)? {
            revoke(tx, &key, key.id, why)?;
        }
    }
    Ok(())
}

/// Begins to move the users of a key to something better, and says when the key is over.
#[derive(Debug, Clone, Copy)]
pub struct MigrateApiKey {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub key: CredentialId,
    /// When the key is over: earlier than it would be by itself, if a date is given.
    pub end: Option<Timestamp>,
}

/// Why nothing came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotMigrating {
    /// There is no such key in this org.
    #[error("there is no such API key")]
    NotThere,
    /// None of its secrets is alive.
    #[error("the API key is over")]
    Over,
    /// That is past.
    #[error("the end is past: revoke the key instead")]
    Past,
    /// An end can come nearer, and not be put off.
    #[error("the API key ends on {0} already, and an end is not put off")]
    Later(Timestamp),
}

impl Change for MigrateApiKey {
    type Outcome = Result<(), NotMigrating>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(key) = find(tx.db(), self.org, self.key)? else { return Ok(Err(NotMigrating::NotThere)) };
        let secrets = secrets_of(tx.db(), &key)?;
        if !secrets.iter().any(|secret| secret.is_alive(&key, tx.now)) {
            return Ok(Err(NotMigrating::Over));
        }
        if self.end.is_some_and(|end| end <= tx.now) {
            return Ok(Err(NotMigrating::Past));
        }
        let last =
            secrets.iter().filter(|secret| secret.revoked.is_none()).map(|secret| secret.ends(&key)).max();
        if let (Some(end), Some(last)) = (self.end, last)
            && end > last
        {
            return Ok(Err(NotMigrating::Later(last)));
        }
        let mut change = None;
        if key.migrating_since.is_none() {
            tx.db().run(
                "UPDATE api_keys SET migrating_since = ?2 WHERE id = ?1",
                (key.id.bytes(), tx.now.millis()),
            )?;
            for secret in &secrets {
                tx.db().run(
                    "UPDATE api_key_users SET uses_before = uses WHERE secret = ?1",
                    [secret.id.bytes()],
                )?;
            }
            change = Some("migrating");
        }
        if let Some(end) = self.end.filter(|end| key.ends != Some(*end)) {
            tx.db().run("UPDATE api_keys SET ends = ?2 WHERE id = ?1", (key.id.bytes(), end.millis()))?;
            change = Some("end");
        }
        if let Some(change) = change {
            let detail = Detail::new()
                .with(Key::KIND, "api_key")
                .with(Key::SLUG, key.handle.to_string())
                .with(Key::CHANGE, change);
            let detail = match self.end.or(key.ends) {
                Some(end) => detail.with(Key::EXPIRES, end.millis()),
                None => detail,
            };
            let entry = about(tx, Event::Changed, &key);
            tx.record(Entry { detail, ..entry });
        }
        Ok(Ok(()))
    }
}
