//! Credentials that were found where they should not be: dead from this commit on, and their owners know.
//!
//! 1. The whole secret is all the proof there is, and all that is needed: whoever found it may end it.
//! 2. It alone dies, and what came of it; never what it came of.
//! 3. What is dead already is not ended again, and nothing is recorded: whoever holds a secret gets one entry for it at most.
//! 4. Passes are made as often as one likes: those of one session, or of one client for itself, are told of once in
//!    [`TOLD_AGAIN`], so that nobody pushes other notices out by reporting their own. Each is recorded.

use std::collections::BTreeSet;

use hallpass_model::cut::{Place, Stamp, Target, Why};
use hallpass_model::grant::Grant;
use hallpass_model::id::{ClientId, CredentialId, GrantId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::secret::{
    ApiKey, AuthorizationCode, ClientSecret, DeviceCode, InitialAccessToken, OneTimeLink, RegistrationToken,
    Secret, WebCookie,
};
use hallpass_model::session::RefreshToken;
use hallpass_model::time::Lifetime;
use rusqlite::Row;

use crate::api_keys::find_by_fingerprint;
use crate::change::{Change, News, Tx};
use crate::cuts::{Beside, CutMade, any_of, cut_recording_with, is_dead};
use crate::error::StoreError;
use crate::links::{Link, LinkPurpose, find_link};
use crate::notices;
use crate::resources::find_by_url;
use crate::sessions::{about, is_session_dead, load};
use crate::sql::{Columns, Sql};
use crate::web::find_web;

/// When somebody is told again that a pass of the same session or client was found: as soon as they will have read the first.
const TOLD_AGAIN: Lifetime = Lifetime::hours(1);

/// Ends a credential that was found where it should not be.
#[derive(Debug)]
pub struct RecordLeak {
    /// The org at whose endpoint it was reported.
    pub org: OrgId,
    /// The credential, whole.
    pub leaked: Leaked,
    /// Where it was found, in the words of whoever says so: fit to be shown, and without the credential.
    pub found: Option<String>,
}

/// A credential, whole, of one of the kinds that an issuer gives out.
#[derive(Debug)]
pub enum Leaked {
    /// An access token, verified by the caller.
    AccessToken {
        /// Its place on every axis; `credentials` holds its own id first.
        place: Place,
        /// The resource it is for, or the issuer itself.
        audience: Option<String>,
    },
    /// A refresh token, of whichever generation; its MAC is checked here. It is its session.
    RefreshToken(RefreshToken),
    /// An API key: this secret of it.
    ApiKey(Secret<ApiKey>),
    /// A client's secret.
    ClientSecret(Secret<ClientSecret>),
    /// What clients register themselves with.
    InitialAccessToken(Secret<InitialAccessToken>),
    /// What a client manages its registration with. The client goes on.
    RegistrationToken(Secret<RegistrationToken>),
    /// A way in for a person who has no passkey yet.
    OneTimeLink(Secret<OneTimeLink>),
    /// A login to the issuer's own pages.
    WebCookie(Secret<WebCookie>),
    /// An authorization code that nobody has redeemed. Spent ones lie in every browser's history.
    AuthorizationCode(Secret<AuthorizationCode>),
    /// A device code that nothing was collected with.
    DeviceCode(Secret<DeviceCode>),
}

impl Change for RecordLeak {
    /// Whether it was alive, and ended now.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let leak = Leak { org: self.org, found: self.found.as_deref() };
        match self.leaked {
            Leaked::AccessToken { place, audience } => leak.access_token(tx, &place, audience.as_deref()),
            Leaked::RefreshToken(token) => leak.refresh_token(tx, &token),
            Leaked::ApiKey(secret) => leak.api_key(tx, &secret),
            Leaked::ClientSecret(secret) => leak.client_secret(tx, &secret),
            Leaked::InitialAccessToken(token) => leak.initial_access_token(tx, &token),
            Leaked::RegistrationToken(token) => leak.registration_token(tx, &token),
            Leaked::OneTimeLink(link) => leak.one_time_link(tx, &link),
            Leaked::WebCookie(cookie) => leak.web_cookie(tx, &cookie),
            Leaked::AuthorizationCode(code) => leak.authorization_code(tx, &code),
            Leaked::DeviceCode(code) => leak.device_code(tx, &code),
        }
    }
}

/// Where one was reported, and what was said of it.
struct Leak<'a> {
    org: OrgId,
    found: Option<&'a str>,
}

impl Leak<'_> {
    fn access_token(
        &self,
        tx: &mut Tx<'_>,
        place: &Place,
        audience: Option<&str>,
    ) -> Result<bool, StoreError> {
        let Some(credential) = place.credentials.first().copied() else { return Ok(false) };
        if is_dead(tx.db(), place)?.is_some() {
            return Ok(false);
        }
        let resource = match audience {
            Some(url) => find_by_url(tx.db(), self.org, url)?.map(|resource| resource.id),
            None => None,
        };
        let detail = Detail::new().with(Key::KIND, "access_token");
        let entry = Entry {
            principal: place.principal,
            client: Some(place.client),
            device: place.device,
            session: place.session,
            credential: Some(credential),
            resource,
            detail: match place.acting {
                Some(acting) => crate::runs::with_acting(detail, acting),
                None => detail,
            },
            ..self.entry(tx)
        };
        // What an API key bought is its owner's concern, too.
        let mut also = BTreeSet::new();
        for ancestor in place.credentials.iter().skip(1) {
            also.extend(notices::of_api_key(tx.db(), *ancestor)?.map(|(owner, _)| notices::bytes(owner)));
        }
        let untold = !is_news(tx, place)?;
        let ended = self.cut(
            tx,
            Target::Credential(credential),
            entry,
            Beside { also, untold, ..Beside::default() },
        )?;
        crate::leases::forget(tx, credential, Why::Leaked)?;
        Ok(ended)
    }

    fn refresh_token(&self, tx: &mut Tx<'_>, token: &RefreshToken) -> Result<bool, StoreError> {
        let Some(loaded) = load(tx.db(), token.session())? else { return Ok(false) };
        let session = &loaded.session;
        // SECURITY: ids are public, so naming a session ends nothing: the MAC does.
        if session.org != self.org || token.authenticate(&loaded.key(tx.keys())?).is_err() {
            return Ok(false);
        }
        if is_session_dead(tx.db(), session)?.is_some() || session.alive(tx.now).is_err() {
            return Ok(false);
        }
        let detail = Detail::new().with(Key::KIND, "refresh_token");
        let entry = Entry { detail, ..about(tx, Event::Leaked, session) };
        self.cut(tx, Target::Session(session.id), entry, Beside::default())
    }

    fn api_key(&self, tx: &mut Tx<'_>, secret: &Secret<ApiKey>) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(secret);
        let Some((key, secret)) = find_by_fingerprint(tx.db(), self.org, &fingerprint.0)? else {
            return Ok(false);
        };
        if !secret.is_alive(&key, tx.now) {
            return Ok(false);
        }
        let detail = Detail::new().with(Key::KIND, "api_key").with(Key::SLUG, key.handle.to_string());
        let entry = Entry { client: Some(key.client), credential: Some(secret.id), detail, ..self.entry(tx) };
        self.cut(tx, Target::Credential(secret.id), entry, Beside::default())
    }

    fn client_secret(&self, tx: &mut Tx<'_>, secret: &Secret<ClientSecret>) -> Result<bool, StoreError> {
        let found: Option<(CredentialId, ClientId)> = tx.db().one(
            "SELECT s.id, c.id FROM client_secrets s JOIN clients c ON c.id = s.client \
             WHERE s.fingerprint = ?1 AND c.org = ?2 AND min(s.expires, c.secrets_until) > ?3",
            (&tx.keys().fingerprint(secret).0, self.org.bytes(), tx.now.millis()),
            |row| Ok((row.id(0)?, row.id(1)?)),
        )?;
        let Some((id, client)) = found else { return Ok(false) };
        let detail = Detail::new().with(Key::KIND, "client_secret");
        let entry = Entry { client: Some(client), credential: Some(id), detail, ..self.entry(tx) };
        let ended = self.cut(tx, Target::Credential(id), entry, Beside::default())?;
        crate::client_secrets::forget(tx, id)?;
        Ok(ended)
    }

    fn initial_access_token(
        &self,
        tx: &mut Tx<'_>,
        token: &Secret<InitialAccessToken>,
    ) -> Result<bool, StoreError> {
        let found = tx.db().one(
            "SELECT token, owner_person, owner_team, token_stamp FROM registration_policies WHERE org = ?1 \
             AND token_fingerprint = ?2 AND token_uses > 0 AND token_expires > ?3",
            (self.org.bytes(), &tx.keys().fingerprint(token).0, tx.now.millis()),
            |row| Ok((row.id::<CredentialId>(0)?, row.owner(1)?, row.stamp(3)?)),
        )?;
        let Some((id, owner, stamp)) = found else { return Ok(false) };
        if any_of(tx.db(), [Target::Org(self.org)], stamp)?.is_some() {
            return Ok(false);
        }
        tx.db().run(
            "UPDATE registration_policies SET token = NULL, token_fingerprint = NULL, token_uses = 0 WHERE org = ?1",
            [self.org.bytes()],
        )?;
        let detail = Detail::new().with(Key::KIND, "initial_access_token");
        let entry = Entry { credential: Some(id), detail, ..self.entry(tx) };
        self.told(tx, entry, BTreeSet::from([notices::bytes(owner)]))
    }

    fn registration_token(
        &self,
        tx: &mut Tx<'_>,
        token: &Secret<RegistrationToken>,
    ) -> Result<bool, StoreError> {
        let found: Option<(ClientId, Stamp)> = tx.db().one(
            "SELECT client, stamp FROM registrations WHERE fingerprint = ?2 AND org = ?1 AND expires > ?3",
            (self.org.bytes(), &tx.keys().fingerprint(token).0, tx.now.millis()),
            |row| Ok((row.id(0)?, row.stamp(1)?)),
        )?;
        let Some((client, stamp)) = found else { return Ok(false) };
        if any_of(tx.db(), [Target::Org(self.org), Target::Client(client)], stamp)?.is_some() {
            return Ok(false);
        }
        // Its row stays: it says that the client registered itself. By any clock it is over: a request that was asked a moment
        // ago, or a clock that is set back, must not find it alive.
        tx.db().run(
            "UPDATE registrations SET expires = 0 WHERE org = ?1 AND client = ?2",
            (self.org.bytes(), client.bytes()),
        )?;
        let detail = Detail::new().with(Key::KIND, "registration_access_token");
        let entry = Entry { client: Some(client), detail, ..self.entry(tx) };
        let owners = notices::of_client(tx.db(), client)?.into_iter().collect();
        self.told(tx, entry, owners)
    }

    fn one_time_link(&self, tx: &mut Tx<'_>, link: &Secret<OneTimeLink>) -> Result<bool, StoreError> {
        // One that sets a server up is of no org, and there is none yet to report it to.
        let person = match find_link(tx.db(), tx.keys(), link, tx.now)? {
            Some(Link { purpose: LinkPurpose::Enrol { person }, org, .. }) if org == Some(self.org) => person,
            _ => return Ok(false),
        };
        crate::links::spend(tx, link)?;
        let detail = Detail::new().with(Key::KIND, "enrolment");
        let entry = Entry { principal: Some(person), detail, ..self.entry(tx) };
        // Whoever is not here yet reads nothing: the administrators invited them.
        let owners = notices::administrators(tx.db(), self.org)?.into_iter().chain([*person.bytes()]);
        self.told(tx, entry, owners.collect())
    }

    fn web_cookie(&self, tx: &mut Tx<'_>, cookie: &Secret<WebCookie>) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(cookie);
        let Some(web) = find_web(tx.db(), tx.keys(), fingerprint, self.org, tx.now)? else {
            return Ok(false);
        };
        let person = web.person;
        tx.db().run("DELETE FROM web_sessions WHERE fingerprint = ?1", [&fingerprint.0])?;
        let detail = Detail::new().with(Key::KIND, "web_cookie");
        let entry = Entry { principal: Some(person), detail, ..self.entry(tx) };
        self.told(tx, entry, BTreeSet::from([*person.bytes()]))
    }

    fn authorization_code(
        &self,
        tx: &mut Tx<'_>,
        code: &Secret<AuthorizationCode>,
    ) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(code);
        let found = tx.db().one(
            "SELECT credential, client, principal, permitted, stamp FROM codes \
             WHERE fingerprint = ?1 AND org = ?2 AND expires > ?3 AND session IS NULL",
            (&fingerprint.0, self.org.bytes(), tx.now.millis()),
            Brief::read,
        )?;
        let Some(found) = found else { return Ok(false) };
        self.brief(tx, "authorization_code", found, |tx| {
            tx.db().run("DELETE FROM codes WHERE fingerprint = ?1", [&fingerprint.0])
        })
    }

    fn device_code(&self, tx: &mut Tx<'_>, code: &Secret<DeviceCode>) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(code);
        let waiting: Option<GrantId> = tx.db().one(
            "DELETE FROM device_grants WHERE device_code = ?1 AND org = ?2 AND expires > ?3 AND state = 'waiting' RETURNING id",
            (&fingerprint.0, self.org.bytes(), tx.now.millis()),
            |row| row.id(0),
        )?;
        if let Some(id) = waiting {
            // As little on record as its beginning is: anybody may begin one. A poll that is held open need not wait longer.
            tx.announce(News::Answered(id));
            return Ok(true);
        }
        let found = tx.db().one(
            "SELECT id, client, principal, permitted, stamp FROM device_grants \
             WHERE device_code = ?1 AND org = ?2 AND expires > ?3 AND state = 'approved'",
            (&fingerprint.0, self.org.bytes(), tx.now.millis()),
            Brief::read,
        )?;
        let Some(found) = found else { return Ok(false) };
        tx.announce(News::Answered(GrantId::from_bytes(*found.credential.bytes())));
        self.brief(tx, "device_code", found, |tx| {
            tx.db().run("DELETE FROM device_grants WHERE device_code = ?1", [&fingerprint.0])
        })
    }

    /// What would have become a session within minutes: its person is told, and both sides of that session.
    fn brief(
        &self,
        tx: &mut Tx<'_>,
        kind: &'static str,
        found: Brief,
        end: impl FnOnce(&Tx<'_>) -> Result<usize, StoreError>,
    ) -> Result<bool, StoreError> {
        let above = [
            Target::Org(self.org),
            Target::Client(found.client),
            Target::Principal(found.principal),
            Target::Credential(found.credential),
        ];
        if any_of(tx.db(), above, found.stamp)?.is_some() {
            return Ok(false);
        }
        end(tx)?;
        let mut owners = BTreeSet::from([*found.principal.bytes()]);
        owners.extend(notices::of_client(tx.db(), found.client)?);
        for url in &found.grant.resources {
            owners.extend(notices::of_resource(tx.db(), self.org, url)?);
        }
        let entry = Entry {
            principal: Some(found.principal),
            client: Some(found.client),
            credential: Some(found.credential),
            detail: Detail::new().with(Key::KIND, kind),
            ..self.entry(tx)
        };
        self.told(tx, entry, owners)
    }

    fn entry(&self, tx: &Tx<'_>) -> Entry {
        Entry { org: Some(self.org), ..tx.entry(Event::Leaked) }
    }

    fn remark(&self) -> [(Field, &str); 1] {
        [(Field::Remark, self.found.unwrap_or_default())]
    }

    fn cut(
        &self,
        tx: &mut Tx<'_>,
        target: Target,
        entry: Entry,
        beside: Beside<'_>,
    ) -> Result<bool, StoreError> {
        let detail =
            entry.detail.clone().with(Key::AXIS, target.axis().text()).with(Key::REASON, Why::Leaked.text());
        let entry = Entry { detail, ..entry };
        let beside = Beside { personal: &self.remark(), ..beside };
        let made = cut_recording_with(tx, target, Why::Leaked, entry, beside)?;
        Ok(matches!(made, CutMade::Cut(_)))
    }

    /// Records and tells what ended with its row, and so needs no cut.
    fn told(
        &self,
        tx: &mut Tx<'_>,
        entry: Entry,
        owners: BTreeSet<notices::OwnerBytes>,
    ) -> Result<bool, StoreError> {
        tx.record_personal(entry, &self.remark());
        notices::tell_these(tx, self.org, owners)?;
        Ok(true)
    }
}

/// A code that nobody has used.
struct Brief {
    credential: CredentialId,
    client: ClientId,
    principal: PrincipalId,
    grant: Grant,
    stamp: Stamp,
}

impl Brief {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            credential: row.id(0)?,
            client: row.id(1)?,
            principal: row.id(2)?,
            grant: row.json(3)?,
            stamp: row.stamp(4)?,
        })
    }
}

/// Whether nobody was told lately of a pass of this session, or of this client for itself; from now on somebody was.
fn is_news(tx: &Tx<'_>, place: &Place) -> Result<bool, StoreError> {
    let subject = place.session.as_ref().map_or(place.client.bytes(), SessionId::bytes);
    let noted = tx.db().run(
        "INSERT INTO leaks_told (subject, expires) VALUES (?1, ?2) \
         ON CONFLICT (subject) DO UPDATE SET expires = excluded.expires WHERE expires <= ?3",
        (subject, (tx.now + TOLD_AGAIN).millis(), tx.now.millis()),
    )?;
    Ok(noted > 0)
}
