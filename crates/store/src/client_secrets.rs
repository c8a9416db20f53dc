//! Secrets of clients that have no key: an exception, with an end.
//!
//! 1. A secret is shown once, when it is made. What is kept is its keyed hash.
//! 2. Two are good at once: a newer one bounds the life of the older, so that both work while the newer is carried out.
//! 3. Each is the ancestor of the tokens it opened the door to: taking it back kills those.
//! 4. When it was last used is written down at most once in [`USE_NOTED_AGAIN`], with the token that it is used for where
//!    there is one, so that no request costs a write of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hallpass_model::client::{
    CLIENT_SECRETS_MAX, Client, ClientAuthentication, ClientKind, ClientSecrets, KeptSecret,
};
use hallpass_model::cut::{Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{CLIENT_SECRET, CLIENT_SECRETS, USE_NOTED_AGAIN};
use hallpass_model::secret::{ClientSecret, Fingerprint, Secret};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::{Lifetime, Timestamp};
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::cuts::CutMade;
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql};

/// Makes a secret for a client that may have one. One that it has already goes on for a while beside it.
#[derive(Debug, Clone)]
pub struct RotateClientSecret {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub client: ClientId,
    /// How long it lives, if less than the table and the exception allow.
    pub lifetime: Option<Lifetime>,
    /// How long the older one goes on at most.
    pub overlap: Lifetime,
    /// Until when the exception holds from now on, if that is to change.
    pub until: Option<Timestamp>,
}

/// A new secret. It is in no other place.
#[derive(Debug)]
pub struct ClientSecretMade {
    /// Its id, which is no secret.
    pub id: CredentialId,
    /// It.
    pub secret: Secret<ClientSecret>,
    /// When it is over.
    pub expires: Timestamp,
    /// The older one and when that is over now, if there is one.
    pub older: Option<(CredentialId, Timestamp)>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretNotMade {
    /// There is no such client in this org.
    #[error("there is no such client in this org")]
    NotThere,
    /// Only a service keeps a secret of its own.
    #[error("only a service can keep a secret of its own")]
    NoSecretKeeper,
    /// It was never let off having a key.
    #[error("it was not let off having a key")]
    NoException,
    /// It was, and that is over.
    #[error("the date until which it was let off having a key is over")]
    ExceptionOver,
    /// An exception would last too long.
    #[error("a client is let off having a key for {CLIENT_SECRETS} at most")]
    ExceptionTooLong,
    /// As many as may be are good already; the first of them ends then.
    #[error("two secrets are good already, the older one until {0}")]
    TooMany(Timestamp),
}

impl Change for RotateClientSecret {
    type Outcome = Result<ClientSecretMade, SecretNotMade>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = tx.db().one(
            "SELECT kind, secrets_until, fapi FROM clients WHERE id = ?1 AND org = ?2",
            (self.client.bytes(), self.org.bytes()),
            |row| Ok((row.json::<ClientKind>(0)?, row.maybe_time(1)?, row.get::<_, bool>(2)?)),
        )?;
        let Some((kind, until, fapi)) = found else { return Ok(Err(SecretNotMade::NotThere)) };
        // SECURITY: what is held to FAPI 2.0 proves itself by a key and by nothing else.
        if fapi {
            return Ok(Err(SecretNotMade::NoException));
        }
        if kind != ClientKind::Service {
            return Ok(Err(SecretNotMade::NoSecretKeeper));
        }
        let until = match (self.until, until) {
            (Some(until), _) if until > tx.now + CLIENT_SECRETS => {
                return Ok(Err(SecretNotMade::ExceptionTooLong));
            }
            (Some(until), _) | (None, Some(until)) if until <= tx.now => {
                return Ok(Err(SecretNotMade::ExceptionOver));
            }
            (Some(until), _) | (None, Some(until)) => until,
            (None, None) => return Ok(Err(SecretNotMade::NoException)),
        };
        let secrets = ClientSecrets { until, kept: kept(tx.db(), self.client)? };
        let older: Vec<&KeptSecret> = secrets.good(tx.now).collect();
        if older.len() >= CLIENT_SECRETS_MAX {
            let first = older.iter().map(|secret| secret.expires).min().unwrap_or(tx.now);
            return Ok(Err(SecretNotMade::TooMany(first)));
        }
        let older = older.first().map(|older| (older.id, older.expires.min(tx.now + self.overlap)));
        if let Some((id, expires)) = older {
            tx.db().run(
                "UPDATE client_secrets SET expires = ?2 WHERE id = ?1",
                (id.bytes(), expires.millis()),
            )?;
        }
        // What is over opens nothing, and its tokens are over too.
        tx.db().run(
            "DELETE FROM client_secrets WHERE client = ?1 AND expires <= ?2",
            (self.client.bytes(), tx.now.millis()),
        )?;
        if self.until.is_some() {
            tx.db().run(
                "UPDATE clients SET secrets_until = ?2 WHERE id = ?1",
                (self.client.bytes(), until.millis()),
            )?;
            crate::clients::except(tx, self.org, self.client, "client_secret", until);
        }
        let made = self.make(tx, until)?;
        tx.announce(News::Directory);
        Ok(Ok(ClientSecretMade { older, ..made }))
    }
}

impl RotateClientSecret {
    fn make(&self, tx: &mut Tx<'_>, until: Timestamp) -> Result<ClientSecretMade, StoreError> {
        let id = CredentialId::new(tx.now, tx.entropy());
        let (secret, fingerprint) = tx.new_secret::<ClientSecret>(Prefix::ClientSecret);
        let lifetime = self.lifetime.map_or(CLIENT_SECRET, |lifetime| lifetime.min(CLIENT_SECRET));
        let expires = until.min(tx.now + lifetime);
        tx.db().run(
            "INSERT INTO client_secrets (id, client, fingerprint, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            (id.bytes(), self.client.bytes(), &fingerprint.0, tx.now.millis(), expires.millis()),
        )?;
        let detail = Detail::new().with(Key::KIND, "client_secret").with(Key::EXPIRES, expires.millis());
        let (org, client) = (Some(self.org), Some(self.client));
        tx.record(Entry { org, client, credential: Some(id), detail, ..tx.entry(Event::Issued) });
        Ok(ClientSecretMade { id, secret, expires, older: None })
    }
}

/// Takes a secret back at once: it opens nothing from now on, and what it opened the door to is dead.
#[derive(Debug, Clone, Copy)]
pub struct RemoveClientSecret {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub secret: CredentialId,
}

impl Change for RemoveClientSecret {
    /// Whether there was one.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let there = tx.db().one(
            "SELECT 1 FROM client_secrets s JOIN clients c ON c.id = s.client WHERE s.id = ?1 AND c.id = ?2 AND c.org = ?3",
            (self.secret.bytes(), self.client.bytes(), self.org.bytes()),
            |_| Ok(()),
        )?;
        if there.is_none() {
            return Ok(false);
        }
        let target = Target::Credential(self.secret);
        let detail = Detail::new()
            .with(Key::AXIS, target.axis().text())
            .with(Key::KIND, "client_secret")
            .with(Key::REASON, Why::EndedByAdministrator.text());
        let (org, client) = (Some(self.org), Some(self.client));
        let entry = Entry { org, client, credential: Some(self.secret), detail, ..tx.entry(Event::Cut) };
        let _made: CutMade = crate::cuts::cut_recording(tx, target, Why::EndedByAdministrator, entry)?;
        forget(tx, self.secret)?;
        Ok(true)
    }
}

/// Forgets the secret of this id, if there is one. Its cut is the caller's.
pub(crate) fn forget(tx: &mut Tx<'_>, secret: CredentialId) -> Result<(), StoreError> {
    if tx.db().run("DELETE FROM client_secrets WHERE id = ?1", [secret.bytes()])? > 0 {
        tx.announce(News::Directory);
    }
    Ok(())
}

/// A secret that was presented, and whether that is to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretUse {
    /// Its id.
    pub secret: CredentialId,
    /// Whether the last use that was written down is long enough ago.
    pub note: bool,
}

/// Whether a secret is good at this moment of the store's own; its use is written down if that is due.
pub(crate) fn use_now(tx: &Tx<'_>, client: ClientId, used: &SecretUse) -> Result<bool, StoreError> {
    let good = tx.db().one(
        "SELECT 1 FROM client_secrets s JOIN clients c ON c.id = s.client \
         WHERE s.id = ?1 AND c.id = ?2 AND min(s.expires, c.secrets_until) > ?3",
        (used.secret.bytes(), client.bytes(), tx.now.millis()),
        |_| Ok(()),
    )?;
    if good.is_some() && used.note {
        tx.db().run(
            "UPDATE client_secrets SET used = max(coalesce(used, 0), ?2) WHERE id = ?1",
            (used.secret.bytes(), tx.now.millis()),
        )?;
    }
    Ok(good.is_some())
}

/// Writes down that a secret was used, where no token comes of it.
#[derive(Debug, Clone, Copy)]
pub struct NoteSecretUse {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub used: SecretUse,
}

impl Change for NoteSecretUse {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        use_now(tx, self.client, &self.used).map(drop)
    }
}

/// What is kept of a client's secrets, oldest first.
pub(crate) fn kept(db: &Connection, client: ClientId) -> Result<Vec<KeptSecret>, StoreError> {
    db.all(
        "SELECT id, fingerprint, created, expires FROM client_secrets WHERE client = ?1 ORDER BY created, id",
        [client.bytes()],
        |row| {
            Ok(KeptSecret {
                id: row.id(0)?,
                fingerprint: Fingerprint(row.get(1)?),
                created: row.time(2)?,
                expires: row.time(3)?,
            })
        },
    )
}

/// When each secret's use was last written down, as far as this process knows. As many as there are secrets that work.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<CredentialId, Timestamp>>);

impl Uses {
    /// Whether a use now is to be written down. Says so once, until it is due again.
    fn is_due(&self, secret: CredentialId, now: Timestamp) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = noted.get(&secret).is_none_or(|last| now >= *last + USE_NOTED_AGAIN || now < *last);
        if due {
            if noted.len() >= USES_MAX {
                noted.clear();
            }
            noted.insert(secret, now);
        }
        due
    }
}

/// Secrets whose last use is remembered, at about a hundred bytes each. Beyond it all are written down once more.
const USES_MAX: usize = 64 * 1024;

impl Store {
    /// Which of a client's good secrets this is, if it is one.
    ///
    /// SECURITY: every secret that is kept is compared, in time that does not depend on what was sent.
    pub fn match_client_secret(
        &self,
        client: &Client,
        presented: &Secret<ClientSecret>,
        now: Timestamp,
    ) -> Option<SecretUse> {
        if client.authentication == ClientAuthentication::None {
            return None;
        }
        let fingerprint = self.inner.keys.fingerprint(presented);
        let mut matched = None;
        for secret in client.secrets.iter().flat_map(|secrets| secrets.good(now)) {
            if secret.fingerprint.matches(&fingerprint) {
                matched = Some(secret.id);
            }
        }
        let secret = matched?;
        Some(SecretUse { secret, note: self.inner.secret_uses.is_due(secret, now) })
    }

    /// About when each of a client's secrets was last used, oldest secret first.
    pub async fn client_secret_uses(
        &self,
        client: ClientId,
    ) -> Result<Vec<(CredentialId, Option<Timestamp>)>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT id, used FROM client_secrets WHERE client = ?1 ORDER BY created, id",
                [client.bytes()],
                |row| Ok((row.id(0)?, row.maybe_time(1)?)),
            )
        })
    }
}
