//! Logins on devices: how they are opened, and read.

use hallpass_model::client::ClientKind;
use hallpass_model::cut::{Place, Stamp, Why};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::Grant;
use hallpass_model::id::{ClientId, CredentialId, DeviceId, GrantId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::principal::OrgLimits;
use hallpass_model::rung::Rung;
use hallpass_model::secret::{RefreshToken as RefreshTokenKind, Secret};
use hallpass_model::session::{Binding, RefreshToken, Refusal, Rotation, Session, SessionKey};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};
use zeroize::Zeroizing;

use crate::change::Tx;
use crate::cuts::{any_of, session_of};
use crate::error::StoreError;
use crate::open::Store;
use crate::orgs::read_limits;
use crate::reach::Reached;
use crate::seal::Keys;
use crate::sql::{Columns, Sql, json};

/// A session that was opened or refreshed, and what an access token of it says.
#[derive(Debug)]
pub struct Opened {
    /// The session, as it stands now.
    pub session: Session,
    /// The refresh token, if there is to be one.
    pub refresh_token: Option<Secret<RefreshTokenKind>>,
    /// The access token's id.
    pub credential: CredentialId,
    /// The access token's issue stamp.
    pub stamp: Stamp,
    /// Whom the access token is for.
    pub reached: Reached,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends: never after the session.
    pub expires: Timestamp,
    /// The nonce of the authorization request, for the ID token.
    pub nonce: Option<String>,
    /// Whether the session was there before, and raised (RFC 9470). Then its refresh tokens go on as they are.
    pub raised: bool,
}

/// Whether a session that is opened gets refresh tokens. Without them nothing of it outlives one access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokens {
    /// The client may not refresh.
    Never,
    /// If `offline_access` was agreed to (OIDC Core, section 11).
    IfAgreed,
    /// In any case: the session is what the person logged in for.
    Always,
}

impl RefreshTokens {
    fn given(self, granted: &Scopes) -> bool {
        match self {
            Self::Never => false,
            Self::IfAgreed => granted.has("offline_access"),
            Self::Always => true,
        }
    }
}

impl Store {
    /// The session of this id, over or not.
    pub async fn find_session(&self, session: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(|db| Ok(load(db, session)?.map(|loaded| loaded.session)))
    }

    /// The session that a device login became, over or not.
    pub async fn find_session_of(&self, grant: GrantId) -> Result<Option<Session>, StoreError> {
        self.read(|db| match session_of(db, origin_of(grant))? {
            Some(session) => Ok(load(db, session)?.map(|loaded| loaded.session)),
            None => Ok(None),
        })
    }

    /// Why a session is dead, if it or anything above it was cut. That its time is over shows in the session itself.
    pub async fn is_session_dead(&self, session: &Session) -> Result<Option<Why>, StoreError> {
        self.read(|db| is_session_dead(db, session))
    }
}

/// What a session is opened with.
pub(crate) struct Opening {
    pub(crate) org: OrgId,
    pub(crate) principal: PrincipalId,
    pub(crate) client: ClientId,
    pub(crate) device: Option<DeviceClaim>,
    pub(crate) grant: Grant,
    pub(crate) key: Option<Thumbprint>,
    /// The code it comes of.
    pub(crate) origin: CredentialId,
    /// Whether it gets a refresh token.
    pub(crate) refresh: RefreshTokens,
    pub(crate) limits: OrgLimits,
    pub(crate) reached: Reached,
    pub(crate) scopes: Scopes,
    pub(crate) lifetime: Option<hallpass_model::time::Lifetime>,
    pub(crate) address: Option<String>,
    pub(crate) flow: &'static str,
    pub(crate) nonce: Option<String>,
}

/// Opens a session: everything about it was checked in this same transaction.
pub(crate) fn open_session(tx: &mut Tx<'_>, opening: Opening) -> Result<Opened, StoreError> {
    let device = match &opening.device {
        Some(claim) => Some(note_device(tx, opening.org, opening.principal, claim)?),
        None => None,
    };
    let key = SessionKey::new(tx.entropy());
    // Without a refresh token nothing outlives the longest access token.
    let refresh = opening.refresh.given(&opening.grant.scopes);
    let (absolute, idle) = match refresh {
        true => (opening.limits.session_absolute(), opening.limits.session_idle()),
        false => (ACCESS_TOKEN_MAX, ACCESS_TOKEN_MAX),
    };
    let expires = tx.now + absolute;
    let session = Session {
        id: SessionId::new(tx.now, tx.entropy()),
        org: opening.org,
        principal: opening.principal,
        client: opening.client,
        device,
        grant: opening.grant,
        binding: opening.key.map_or(Binding::Bearer, Binding::Key),
        origin: opening.origin,
        rotation: Rotation::first(tx.now),
        stamp: tx.issue_stamp(),
        created: tx.now,
        idle_until: (tx.now + idle).min(expires),
        expires,
    };
    insert(tx, &session, &key, opening.device.as_ref())?;
    let access_expires = (tx.now + opening.limits.access_token(opening.lifetime)).min(expires);
    let credential = CredentialId::new(tx.now, tx.entropy());

    let detail = Detail::new()
        .with(Key::FLOW, opening.flow)
        .with(Key::SCOPE, session.grant.scopes.to_string())
        .with(Key::EXPIRES, expires.millis())
        .with(Key::PARENT, session.origin.to_string());
    let detail = match opening.key {
        Some(key) => detail.with(Key::JKT, key.to_string()),
        None => detail,
    };
    let entry = Entry {
        credential: Some(credential),
        resource: opening.reached.resource(),
        detail,
        ..about(tx, Event::Issued, &session)
    };
    tx.record_personal(
        entry,
        &[
            (Field::Address, opening.address.as_deref().unwrap_or_default()),
            (Field::Machine, opening.device.as_ref().map_or("", |claim| &claim.name)),
            (Field::Purpose, session.grant.purpose.as_ref().map_or("", |purpose| purpose.as_str())),
        ],
    );
    let refresh_token = refresh.then(|| RefreshToken::render(&key, session.id, 0));
    Ok(Opened {
        refresh_token,
        credential,
        stamp: session.stamp,
        reached: opening.reached,
        scopes: opening.scopes,
        expires: access_expires,
        nonce: opening.nonce,
        raised: false,
        session,
    })
}

fn insert(
    tx: &Tx<'_>,
    session: &Session,
    key: &SessionKey,
    device: Option<&DeviceClaim>,
) -> Result<(), StoreError> {
    let sealed = tx.keys().seal(&[b"session", session.id.bytes()], key.expose(), tx.entropy());
    let jkt = match &session.binding {
        Binding::Key(key) => Some(key.bytes()),
        Binding::Bearer => None,
    };
    tx.db().run(
        "INSERT INTO sessions (id, org, principal, client, device, permitted, jkt, origin, sealed, stamp, created, \
         expires, idle_until, seen, newest, since, retries, network, alternations, rung, class) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?11, 0, ?11, 0, NULL, 0, ?14, ?15)",
        rusqlite::params![
            session.id.bytes(),
            session.org.bytes(),
            session.principal.bytes(),
            session.client.bytes(),
            session.device.as_ref().map(DeviceId::bytes),
            json(&session.grant),
            jkt,
            session.origin.bytes(),
            sealed,
            session.stamp.0,
            session.created.millis(),
            session.expires.millis(),
            session.idle_until.millis(),
            device.and_then(|claim| claim.rung).map(Rung::text),
            device.map(|claim| claim.class.to_string()),
        ],
    )?;
    Ok(())
}

/// The device of this claim, if it is known: what a person may have cut.
pub(crate) fn known_device(
    db: &Connection,
    principal: PrincipalId,
    claim: Option<&DeviceClaim>,
) -> Result<Option<DeviceId>, StoreError> {
    let Some(claim) = claim else { return Ok(None) };
    db.one(
        "SELECT id FROM devices WHERE principal = ?1 AND install = ?2",
        (principal.bytes(), &claim.install),
        |row| row.id(0),
    )
}

/// The device of this claim, known or new. Its name and class are as last claimed.
fn note_device(
    tx: &mut Tx<'_>,
    org: OrgId,
    principal: PrincipalId,
    claim: &DeviceClaim,
) -> Result<DeviceId, StoreError> {
    let known: Option<DeviceId> = tx.db().one(
        "UPDATE devices SET name = ?3, class = ?4, seen = ?5 WHERE principal = ?1 AND install = ?2 RETURNING id",
        (principal.bytes(), &claim.install, &claim.name, claim.class.to_string(), tx.now.millis()),
        |row| row.id(0),
    )?;
    if let Some(device) = known {
        return Ok(device);
    }
    let id = DeviceId::new(tx.now, tx.entropy());
    tx.db().run(
        "INSERT INTO devices (id, org, principal, install, name, class, created, seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
        (
            id.bytes(),
            org.bytes(),
            principal.bytes(),
            &claim.install,
            &claim.name,
            claim.class.to_string(),
            tx.now.millis(),
        ),
    )?;
    let detail = Detail::new().with(Key::KIND, "device");
    let entry = tx.entry(Event::Registered);
    let entry = Entry { org: Some(org), principal: Some(principal), device: Some(id), detail, ..entry };
    tx.record_personal(entry, &[(Field::Machine, &claim.name)]);
    Ok(id)
}

/// A session's row, and what else a refresh needs to know.
pub(crate) struct Loaded {
    pub(crate) session: Session,
    pub(crate) sealed: Vec<u8>,
    pub(crate) limits: OrgLimits,
    /// Whether its org, person and client are all in use.
    pub(crate) in_use: bool,
    /// Whether its client runs on a person's machine, so that its org may say where the key rests there.
    pub(crate) on_a_machine: bool,
}

impl Loaded {
    /// Its key, decrypted.
    pub(crate) fn key(&self, keys: &Keys) -> Result<SessionKey, StoreError> {
        let plain = keys.open(&[b"session", self.session.id.bytes()], &self.sealed)?;
        let mut key = Zeroizing::new([0u8; 32]);
        if plain.len() != key.len() {
            return Err(StoreError::Damaged("a session's key has another length".into()));
        }
        key.copy_from_slice(&plain);
        Ok(SessionKey::from_bytes(key))
    }
}

/// The row of a session, over or not. Its ends are as its org has them now: whoever shortens a life shortens those that
/// are being lived, too.
pub(crate) fn load(db: &Connection, session: SessionId) -> Result<Option<Loaded>, StoreError> {
    db.one(
        "SELECT s.id, s.org, s.principal, s.client, s.device, s.permitted, s.jkt, s.origin, s.stamp, s.created, \
         s.expires, s.idle_until, s.newest, s.since, s.retries, s.network, s.alternations, s.sealed, \
         o.access_token, o.session_idle, o.session_absolute, \
         o.disabled IS NULL AND p.disabled IS NULL AND c.disabled IS NULL, s.seen, o.rungs, c.kind \
         FROM sessions s JOIN orgs o ON o.id = s.org JOIN principals p ON p.id = s.principal \
         JOIN clients c ON c.id = s.client WHERE s.id = ?1",
        [session.bytes()],
        |row| {
            let limits = read_limits(row, 18)?;
            Ok(Loaded {
                session: within(read_session(row)?, &limits, row.time(22)?),
                sealed: row.get(17)?,
                limits,
                in_use: row.get(21)?,
                on_a_machine: row.json::<ClientKind>(24)? == ClientKind::Cli,
            })
        },
    )
}

/// The session with its ends no later than its org allows now, where it was last refreshed or exchanged at `seen`.
pub(crate) fn within(mut session: Session, limits: &OrgLimits, seen: Timestamp) -> Session {
    session.expires = session.expires.min(session.created + limits.session_absolute());
    session.idle_until = session.idle_until.min(seen + limits.session_idle()).min(session.expires);
    session
}

/// Whether a session or anything above it was cut, and why. Its origin needs no look: a cut of that is made as its own.
pub(crate) fn is_session_dead(db: &Connection, session: &Session) -> Result<Option<Why>, StoreError> {
    let place = Place {
        org: session.org,
        principal: Some(session.principal),
        client: session.client,
        device: session.device,
        session: Some(session.id),
        credentials: Vec::new(),
        acting: None,
        stamp: session.stamp,
    };
    any_of(db, place.targets(), session.stamp)
}

/// The name that a device login has as a credential, so that it can be cut: its own id.
pub(crate) fn origin_of(grant: GrantId) -> CredentialId {
    CredentialId::from_bytes(*grant.bytes())
}

/// An entry about a session.
pub(crate) fn about(tx: &Tx<'_>, event: Event, session: &Session) -> Entry {
    Entry {
        org: Some(session.org),
        principal: Some(session.principal),
        client: Some(session.client),
        device: session.device,
        session: Some(session.id),
        ..tx.entry(event)
    }
}

/// Whether these may be issued to, and the org's limits if so.
pub(crate) fn may_issue(
    db: &Connection,
    org: OrgId,
    principal: PrincipalId,
    client: ClientId,
) -> Result<Result<OrgLimits, Refusal>, StoreError> {
    let found = db.one(
        "SELECT o.access_token, o.session_idle, o.session_absolute, \
         o.disabled IS NULL AND p.disabled IS NULL AND c.disabled IS NULL, o.rungs \
         FROM orgs o JOIN principals p ON p.org = o.id JOIN clients c ON c.org = o.id \
         WHERE o.id = ?1 AND p.id = ?2 AND c.id = ?3",
        (org.bytes(), principal.bytes(), client.bytes()),
        |row| Ok((read_limits(row, 0)?, row.get::<_, bool>(3)?)),
    )?;
    Ok(match found {
        Some((limits, true)) => Ok(limits),
        Some((_, false)) => Err(Refusal::Disabled),
        None => Err(Refusal::OtherOrg),
    })
}

/// The first seventeen columns, as every statement that reads sessions has them.
pub(crate) fn read_session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let jkt: Option<[u8; 32]> = row.get(6)?;
    Ok(Session {
        id: row.id(0)?,
        org: row.id(1)?,
        principal: row.id(2)?,
        client: row.id(3)?,
        device: row.maybe_id(4)?,
        grant: row.json(5)?,
        binding: jkt.map_or(Binding::Bearer, |key| Binding::Key(Thumbprint::from_bytes(key))),
        origin: row.id(7)?,
        stamp: row.stamp(8)?,
        created: row.time(9)?,
        expires: row.time(10)?,
        idle_until: row.time(11)?,
        rotation: Rotation {
            newest: row.get::<_, i64>(12)? as u64,
            since: row.time(13)?,
            retries: row.get(14)?,
            from: row.get(15)?,
            alternations: row.get(16)?,
        },
    })
}
