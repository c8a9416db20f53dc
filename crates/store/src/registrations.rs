//! Clients that register themselves (RFC 7591) and look after that (RFC 7592), where an org lets them: that is its
//! [policy](crate::registration_policy).
//!
//! What a client says anew is judged by what the org says now, never by what it said when the client came.

use hallpass_model::client::{Client, ClientAuthentication, ClientKind};
use hallpass_model::cut::{Stamp, Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{REGISTRATION_TOKEN, USE_NOTED_AGAIN};
use hallpass_model::secret::{Fingerprint, InitialAccessToken, RegistrationToken, Secret};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::{GrantType, Scopes};
use hallpass_model::wire::registration::Registration;
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::clients::{AddClient, find_by_id, insert_client, key_columns};
use crate::cuts::any_of;
use crate::directory::{may_own, record_standing, standing_of};
use crate::error::StoreError;
use crate::open::Store;
use crate::owners::{OwnedId, stand};
use crate::registration_policy::{REGISTERED_CLIENTS_MAX, RegistrationPolicy, find_policy, in_use};
use crate::seal::Keys;
use crate::sql::{Columns, Sql, json};

/// Why a client is not registered, or stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// No client may register itself in this org.
    #[error("no client may register itself in this org")]
    Forbidden,
    /// The token is over, used up, another's, or none.
    #[error("the token is over, used up, another's, or none")]
    Token,
    /// It asks for more than the org lets such clients have.
    #[error("it asks for a scope that the org lets no such client have")]
    Scope,
    /// Nobody answers for such clients at present.
    #[error("nobody answers for clients that register themselves")]
    Unowned,
    /// There are [`REGISTERED_CLIENTS_MAX`].
    #[error("there are as many such clients as may be")]
    Full,
    /// It is held to FAPI 2.0, and would not meet that any more.
    #[error("it is held to FAPI 2.0's security profile, and would not meet it any more")]
    Fapi,
}

/// What is said of a client that registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfRegistered {
    /// Its short name, which is its `client_id`.
    pub handle: String,
    /// What it calls itself.
    pub name: String,
    /// Since when.
    pub created: Timestamp,
}

/// A client as it is registered now, and what it manages that with.
#[derive(Debug)]
pub struct RegisteredClient {
    /// It.
    pub client: Client,
    /// Its token, in no other place.
    pub token: Secret<RegistrationToken>,
}

/// Registers a client that has a token for that, which is used up by one.
#[derive(Debug)]
pub struct RegisterClient {
    /// Where.
    pub org: OrgId,
    /// What was presented.
    pub token: Secret<InitialAccessToken>,
    /// What the client says of itself.
    pub registration: Registration,
}

impl Change for RegisterClient {
    type Outcome = Result<RegisteredClient, NotRegistered>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let policy = match judge_initial(tx.db(), tx.keys(), self.org, &self.token, tx.now)? {
            Ok(policy) => policy,
            Err(why) => return Ok(Err(why)),
        };
        let scopes = match allowed(tx.db(), self.org, &policy, &self.registration)? {
            Ok(scopes) => scopes,
            Err(why) => return Ok(Err(why)),
        };
        if in_use(tx.db(), self.org)? >= REGISTERED_CLIENTS_MAX {
            return Ok(Err(NotRegistered::Full));
        }
        tx.db().run(
            "UPDATE registration_policies SET token_uses = token_uses - 1 WHERE org = ?1",
            [self.org.bytes()],
        )?;
        let id = ClientId::new(tx.now, tx.entropy());
        let hex: String = id.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let said = self.registration;
        let add = AddClient {
            org: self.org,
            handle: format!("registered-{hex}").parse().map_err(|_| StoreError::Broken)?,
            name: said.name.unwrap_or_else(|| NAMELESS.to_owned()),
            kind: kind(&said.grant_types),
            owner: policy.owner,
            authentication: said.authentication,
            grant_types: said.grant_types,
            redirect_uris: said.redirect_uris,
            scopes,
            any_scope: false,
            device_flow_barred: Scopes::default(),
            older_assertions_until: None,
            secrets_until: None,
            environment: policy.environment,
        };
        insert_client(tx, id, &add)?;
        let parent = policy.token.map(|token| token.id);
        let token = give_token(tx, self.org, id, parent)?;
        tx.announce(News::Directory);
        let client = find_by_id(tx.db(), id)?.ok_or(StoreError::Broken)?;
        Ok(Ok(RegisteredClient { client, token }))
    }
}

/// Says anew what a client is, within what the org lets such clients have now. Its token is another from then on.
#[derive(Debug)]
pub struct ChangeRegistration {
    /// Where.
    pub org: OrgId,
    /// Its `client_id`.
    pub client_id: String,
    /// What was presented.
    pub token: Secret<RegistrationToken>,
    /// What the client says of itself.
    pub registration: Registration,
}

impl Change for ChangeRegistration {
    type Outcome = Result<RegisteredClient, NotRegistered>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(id) = find_registered(tx.db(), tx.keys(), self.org, &self.client_id, &self.token, tx.now)?
        else {
            return Ok(Err(NotRegistered::Token));
        };
        tx.acts(hallpass_model::ledger::Actor::Client(id.client));
        let Some(policy) = find_policy(tx.db(), self.org)? else { return Ok(Err(NotRegistered::Forbidden)) };
        let scopes = match allowed(tx.db(), self.org, &policy, &self.registration)? {
            Ok(scopes) => scopes,
            Err(why) => return Ok(Err(why)),
        };
        let client = find_by_id(tx.db(), id.client)?.ok_or(StoreError::Broken)?;
        let said = self.registration;
        if client.fapi && !meets_fapi(&said) {
            return Ok(Err(NotRegistered::Fapi));
        }
        let (jwks, jwks_uri) = key_columns(&said.authentication);
        let grant_types: Vec<&str> = said.grant_types.iter().map(GrantType::text).collect();
        tx.db().run(
            "UPDATE clients SET name = ?2, redirect_uris = ?3, jwks = ?4, jwks_uri = ?5, grant_types = ?6, scopes = ?7, \
             kind = ?8 WHERE id = ?1",
            (
                client.id.bytes(),
                said.name.as_deref().unwrap_or(NAMELESS),
                said.redirect_uris.join("\n"),
                jwks,
                jwks_uri,
                grant_types.join(" "),
                scopes.to_string(),
                json(&kind(&said.grant_types)),
            ),
        )?;
        let detail = Detail::new()
            .with(Key::KIND, "client")
            .with(Key::CHANGE, "registration")
            .with(Key::GRANT_TYPE, grant_types.join(" "))
            .with(Key::SCOPE, scopes.to_string());
        tx.record(Entry { org: Some(self.org), client: Some(client.id), detail, ..tx.entry(Event::Changed) });
        let token = give_token(tx, self.org, client.id, None)?;
        tx.announce(News::Directory);
        let client = find_by_id(tx.db(), client.id)?.ok_or(StoreError::Broken)?;
        Ok(Ok(RegisteredClient { client, token }))
    }
}

/// Takes a client out of use at its own wish, and cuts everything that was issued to it.
#[derive(Debug)]
pub struct EndRegistration {
    /// Where.
    pub org: OrgId,
    /// Its `client_id`.
    pub client_id: String,
    /// What was presented.
    pub token: Secret<RegistrationToken>,
}

impl Change for EndRegistration {
    /// Whether the token was good for that.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let found = find_registered(tx.db(), tx.keys(), self.org, &self.client_id, &self.token, tx.now)?;
        let Some(Found { client, .. }) = found else { return Ok(false) };
        tx.acts(hallpass_model::ledger::Actor::Client(client));
        tx.db().run(
            "DELETE FROM registrations WHERE org = ?1 AND client = ?2",
            (self.org.bytes(), client.bytes()),
        )?;
        stand(tx, OwnedId::Client(client), standing_of(false, tx.now))?;
        let entry = Entry { org: Some(self.org), client: Some(client), ..tx.entry(Event::Disabled) };
        record_standing(tx, entry, "client", false);
        crate::cuts::cut(tx, Some(self.org), Target::Client(client), Why::Disabled)?;
        tx.announce(News::Directory);
        Ok(true)
    }
}

/// Makes a registration access token live as long again as it did when it was made: it was used.
#[derive(Debug)]
pub struct RenewRegistration {
    /// Where.
    pub org: OrgId,
    /// Its `client_id`.
    pub client_id: String,
    /// What was presented.
    pub token: Secret<RegistrationToken>,
}

impl Change for RenewRegistration {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let found = find_registered(tx.db(), tx.keys(), self.org, &self.client_id, &self.token, tx.now)?;
        if let Some(Found { client, .. }) = found {
            // With a stamp of now: what was alive a moment ago must outlive the forgetting of older cuts.
            let stamp = tx.issue_stamp();
            tx.db().run(
                "UPDATE registrations SET stamp = ?3, expires = ?4 WHERE org = ?1 AND client = ?2",
                (self.org.bytes(), client.bytes(), stamp.0, (tx.now + REGISTRATION_TOKEN).millis()),
            )?;
        }
        Ok(())
    }
}

/// What a client is called that says no name.
const NAMELESS: &str = "A program without a name";

/// Where such a client runs, as far as what it uses shows.
fn kind(grant_types: &[GrantType]) -> ClientKind {
    match grant_types.contains(&GrantType::DeviceCode) {
        true => ClientKind::Cli,
        false => ClientKind::Agent,
    }
}

/// What a client may ask for by this policy, if it may have what it says at all.
fn allowed(
    db: &Connection,
    org: OrgId,
    policy: &RegistrationPolicy,
    said: &Registration,
) -> Result<Result<Scopes, NotRegistered>, StoreError> {
    if may_own(db, org, &policy.owner)?.is_err() {
        return Ok(Err(NotRegistered::Unowned));
    }
    let most = policy.most();
    Ok(match &said.scopes {
        None => Ok(most),
        Some(asked) if asked.within(&most) == *asked => Ok(asked.clone()),
        Some(_) => Err(NotRegistered::Scope),
    })
}

/// As [`SetClientFapi`](crate::SetClientFapi) has it.
fn meets_fapi(said: &Registration) -> bool {
    let by_web = |uri: &String| uri.starts_with("https://") || uri.starts_with("http://");
    said.authentication != ClientAuthentication::None && said.redirect_uris.iter().all(by_web)
}

/// Gives a client a token to manage its registration with, in place of any that it has.
fn give_token(
    tx: &mut Tx<'_>,
    org: OrgId,
    client: ClientId,
    parent: Option<CredentialId>,
) -> Result<Secret<RegistrationToken>, StoreError> {
    let (token, fingerprint) = tx.new_secret::<RegistrationToken>(Prefix::Registration);
    let (stamp, expires) = (tx.issue_stamp(), tx.now + REGISTRATION_TOKEN);
    tx.db().run(
        "INSERT INTO registrations (org, client, fingerprint, stamp, expires) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (org, client) DO UPDATE SET fingerprint = ?3, stamp = ?4, expires = ?5",
        (org.bytes(), client.bytes(), &fingerprint.0, stamp.0, expires.millis()),
    )?;
    let detail =
        Detail::new().with(Key::KIND, "registration_access_token").with(Key::EXPIRES, expires.millis());
    let detail = match parent {
        Some(parent) => detail.with(Key::PARENT, parent.to_string()),
        None => detail,
    };
    tx.record(Entry { org: Some(org), client: Some(client), detail, ..tx.entry(Event::Issued) });
    Ok(token)
}

/// What the org says, to whoever has a token that is good for one client more.
fn judge_initial(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    token: &Secret<InitialAccessToken>,
    now: Timestamp,
) -> Result<Result<RegistrationPolicy, NotRegistered>, StoreError> {
    let Some(policy) = find_policy(db, org)? else { return Ok(Err(NotRegistered::Forbidden)) };
    let kept: Option<([u8; 32], Stamp)> = db.one(
        "SELECT token_fingerprint, token_stamp FROM registration_policies \
         WHERE org = ?1 AND token IS NOT NULL AND token_uses > 0 AND token_expires > ?2",
        (org.bytes(), now.millis()),
        |row| Ok((row.get(0)?, row.stamp(1)?)),
    )?;
    let Some((kept, stamp)) = kept else { return Ok(Err(NotRegistered::Token)) };
    // SECURITY: a way in like any other: whoever ends all that an org issued ends this, too.
    let good = Fingerprint(kept).matches(&keys.fingerprint(token))
        && any_of(db, [Target::Org(org)], stamp)?.is_none();
    Ok(if good { Ok(policy) } else { Err(NotRegistered::Token) })
}

/// A client that was found by its token.
struct Found {
    client: ClientId,
    expires: Timestamp,
}

/// The client in use of this `client_id` in this org, if the token is its own and good.
///
/// SECURITY: a client that is out of use, or suspended, manages nothing, and after a cut its token is dead as all that it had.
fn find_registered(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    client_id: &str,
    token: &Secret<RegistrationToken>,
    now: Timestamp,
) -> Result<Option<Found>, StoreError> {
    let found: Option<(ClientId, [u8; 32], Stamp, Timestamp)> = db.one(
        "SELECT c.id, r.fingerprint, r.stamp, r.expires FROM clients c JOIN registrations r ON r.org = c.org AND r.client = c.id \
         WHERE c.org = ?1 AND c.handle = ?2 AND c.disabled IS NULL AND r.expires > ?3",
        (org.bytes(), client_id, now.millis()),
        |row| Ok((row.id(0)?, row.get(1)?, row.stamp(2)?, row.time(3)?)),
    )?;
    let Some((client, kept, stamp, expires)) = found else { return Ok(None) };
    let good = Fingerprint(kept).matches(&keys.fingerprint(token))
        && any_of(db, [Target::Org(org), Target::Client(client)], stamp)?.is_none();
    Ok(good.then_some(Found { client, expires }))
}

impl Store {
    /// Whether a client may be registered with this token now.
    pub async fn may_register(
        &self,
        org: OrgId,
        token: &Secret<InitialAccessToken>,
        now: Timestamp,
    ) -> Result<Result<(), NotRegistered>, StoreError> {
        self.read(|db| Ok(judge_initial(db, &self.inner.keys, org, token, now)?.map(drop)))
    }

    /// The client of this `client_id`, if the token is its own and good; and whether its use is to be written down.
    pub async fn find_registration(
        &self,
        org: OrgId,
        client_id: &str,
        token: &Secret<RegistrationToken>,
        now: Timestamp,
    ) -> Result<Option<(Client, bool)>, StoreError> {
        self.read(|db| {
            let Some(found) = find_registered(db, &self.inner.keys, org, client_id, token, now)? else {
                return Ok(None);
            };
            let note = found.expires < now + REGISTRATION_TOKEN - USE_NOTED_AGAIN;
            Ok(find_by_id(db, found.client)?.map(|client| (client, note)))
        })
    }

    /// The clients in use that registered themselves, oldest first.
    pub async fn registered_clients(&self, org: OrgId) -> Result<Vec<SelfRegistered>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT c.handle, c.name, c.created FROM registrations r JOIN clients c ON c.id = r.client \
                 WHERE r.org = ?1 AND c.disabled IS NULL ORDER BY r.client",
                [org.bytes()],
                |row| Ok(SelfRegistered { handle: row.text(0)?, name: row.text(1)?, created: row.time(2)? }),
            )
        })
    }
}
