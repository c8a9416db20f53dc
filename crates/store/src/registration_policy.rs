//! What an org says of clients that register themselves (RFC 7591), and the token that it gives out for that.
//!
//! 1. An org says what such clients may have at most, and who answers for them. Where it says nothing, nobody registers.
//! 2. Whoever registers has a token for that: one is good at a time, so often and until then. There is no open registration.

use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{INITIAL_ACCESS_TOKEN, INITIAL_ACCESS_TOKEN_MAX};
use hallpass_model::principal::{Handle, Owner};
use hallpass_model::secret::{InitialAccessToken, Secret};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::directory::{NotAdded, accepts_from, registered};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql, owner_columns};
use crate::terms::{Terms, most};

/// Clients in use that registered themselves in one org: a bound on what whoever has a token can have kept.
pub const REGISTERED_CLIENTS_MAX: usize = 1_000;
/// Uses of one initial access token at most: as many installations as one team sets up in a week.
pub const REGISTRATION_USES_MAX: u32 = 100;

/// What an org says of clients that register themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// Who answers for them.
    pub owner: Owner,
    /// The most they may ask for, beside who the person is.
    pub scopes: Scopes,
    /// The environment whose resources they may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
    /// Since when.
    pub created: Timestamp,
    /// What there is to register with, if anything was made.
    pub token: Option<InitialToken>,
}

/// What is known of an initial access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialToken {
    /// Its id, which is no secret.
    pub id: CredentialId,
    /// How often it may still be used.
    pub uses: u32,
    /// When it is over.
    pub expires: Timestamp,
}

impl RegistrationPolicy {
    /// What such a client may ask for: what the policy says, and who the person is.
    pub fn most(&self) -> Scopes {
        most(&self.scopes)
    }
}

/// Lets clients register themselves from now on, or says anew what they may have. Those there are keep no more than that.
#[derive(Debug, Clone)]
pub struct AllowRegistration {
    /// Where.
    pub org: OrgId,
    /// Who answers for them.
    pub owner: Owner,
    /// The most they may ask for, beside who the person is.
    pub scopes: Scopes,
    /// The environment whose resources they may have tokens for; any, if there is none.
    pub environment: Option<Handle>,
}

impl Change for AllowRegistration {
    type Outcome = Result<(), NotAdded>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if let Err(why) = accepts_from(tx.db(), self.org, &self.owner)? {
            return Ok(Err(why));
        }
        let terms = self.terms();
        let (person, team) = owner_columns(&self.owner);
        tx.db().run(
            "INSERT INTO registration_policies (org, owner_person, owner_team, scopes, environment, created) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (org) DO UPDATE SET \
             owner_person = ?2, owner_team = ?3, scopes = ?4, environment = ?5",
            (self.org.bytes(), person, team, self.scopes.to_string(), terms.environment(), tx.now.millis()),
        )?;
        // Those that registered under an older word keep of it what the new one says, and get no more by it.
        let there: Vec<(ClientId, Scopes)> = tx.db().all(
            "SELECT c.id, c.scopes FROM registrations r JOIN clients c ON c.id = r.client WHERE r.org = ?1",
            [self.org.bytes()],
            |row| Ok((row.id(0)?, row.word(1)?)),
        )?;
        let most = most(&self.scopes);
        for (client, scopes) in there {
            terms.hold(tx, client, &scopes.within(&most))?;
        }
        terms.record(tx, self.org, "registration", "clients");
        Ok(Ok(()))
    }
}

impl AllowRegistration {
    fn terms(&self) -> Terms<'_> {
        Terms { owner: &self.owner, scopes: &self.scopes, environment: self.environment.as_ref() }
    }
}

/// Lets no client register itself from now on, nor say anything anew. Those there are stay.
#[derive(Debug, Clone, Copy)]
pub struct ForbidRegistration {
    /// Where.
    pub org: OrgId,
}

impl Change for ForbidRegistration {
    /// How many stay in use; `None` if none could register.
    type Outcome = Option<usize>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        if tx.db().run("DELETE FROM registration_policies WHERE org = ?1", [self.org.bytes()])? == 0 {
            return Ok(None);
        }
        let detail = registered("registration", "clients", None);
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Disabled) });
        tx.announce(News::Directory);
        Ok(Some(in_use(tx.db(), self.org)?))
    }
}

/// Makes a token to register clients with. An older one is good no more.
#[derive(Debug, Clone, Copy)]
pub struct MakeInitialToken {
    /// Where.
    pub org: OrgId,
    /// How many clients it registers.
    pub uses: u32,
    /// How long it lives, if not as long as the table says.
    pub lifetime: Option<Lifetime>,
}

/// A new token. It is in no other place.
#[derive(Debug)]
pub struct InitialTokenMade {
    /// Its id, which is no secret.
    pub id: CredentialId,
    /// It.
    pub token: Secret<InitialAccessToken>,
    /// How many clients it registers.
    pub uses: u32,
    /// When it is over.
    pub expires: Timestamp,
}

impl Change for MakeInitialToken {
    /// `None` if no client may register itself.
    type Outcome = Option<InitialTokenMade>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let id = CredentialId::new(tx.now, tx.entropy());
        let (token, fingerprint) = tx.new_secret::<InitialAccessToken>(Prefix::InitialAccess);
        let lifetime = self.lifetime.unwrap_or(INITIAL_ACCESS_TOKEN).min(INITIAL_ACCESS_TOKEN_MAX);
        let (uses, expires) = (self.uses.clamp(1, REGISTRATION_USES_MAX), tx.now + lifetime);
        let stamp = tx.issue_stamp();
        let made = tx.db().run(
            "UPDATE registration_policies SET token = ?2, token_fingerprint = ?3, token_stamp = ?4, token_uses = ?5, \
             token_expires = ?6 WHERE org = ?1",
            (self.org.bytes(), id.bytes(), &fingerprint.0, stamp.0, uses, expires.millis()),
        )?;
        if made == 0 {
            return Ok(None);
        }
        let detail = Detail::new()
            .with(Key::KIND, "initial_access_token")
            .with(Key::COUNT, uses)
            .with(Key::EXPIRES, expires.millis());
        tx.record(Entry { org: Some(self.org), credential: Some(id), detail, ..tx.entry(Event::Issued) });
        Ok(Some(InitialTokenMade { id, token, uses, expires }))
    }
}

impl Store {
    /// What this org says of clients that register themselves: nothing, where none may.
    pub async fn registration_policy(&self, org: OrgId) -> Result<Option<RegistrationPolicy>, StoreError> {
        self.read(|db| find_policy(db, org))
    }
}

/// How many clients are in use that registered themselves, as far as that counts.
pub(crate) fn in_use(db: &Connection, org: OrgId) -> Result<usize, StoreError> {
    let limit = i64::try_from(REGISTERED_CLIENTS_MAX).unwrap_or(i64::MAX);
    let there = db.all(
        "SELECT 1 FROM registrations r JOIN clients c ON c.id = r.client \
         WHERE r.org = ?1 AND c.disabled IS NULL LIMIT ?2",
        (org.bytes(), limit),
        |_| Ok(()),
    )?;
    Ok(there.len())
}

pub(crate) fn find_policy(db: &Connection, org: OrgId) -> Result<Option<RegistrationPolicy>, StoreError> {
    db.one(
        "SELECT owner_person, owner_team, scopes, environment, created, token, token_uses, token_expires \
         FROM registration_policies WHERE org = ?1",
        [org.bytes()],
        read_policy,
    )
}

fn read_policy(row: &Row<'_>) -> rusqlite::Result<RegistrationPolicy> {
    let token = match row.maybe_id(5)? {
        Some(id) => Some(InitialToken { id, uses: row.get(6)?, expires: row.time(7)? }),
        None => None,
    };
    Ok(RegistrationPolicy {
        owner: row.owner(0)?,
        scopes: row.word(2)?,
        environment: row.maybe_word(3)?,
        created: row.time(4)?,
        token,
    })
}
