//! Credentials that were found where they should not be: dead from this commit on, and their owners know.
//!
//! 1. The whole secret is all the proof there is, and all that is needed: whoever found it may end it.
//! 2. It alone dies, and what came of it; never what it came of.
//! 3. What is dead already is not ended again, and nothing is recorded: whoever holds a secret gets one entry for it at most.

use std::collections::BTreeSet;

use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::{ClientId, CredentialId, OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::secret::{
    ApiKey, AuthorizationCode, ClientSecret, DeviceCode, InitialAccessToken, OneTimeLink, RegistrationToken,
    Secret, WebCookie,
};
use hallpass_model::session::RefreshToken;

use crate::api_keys::find_by_fingerprint;
use crate::change::{Change, News, Tx};
use crate::cuts::{CutMade, cut_recording_with, is_dead};
use crate::error::StoreError;
use crate::notices;
use crate::resources::find_by_url;
use crate::sessions::{about, load};
use crate::sql::{Columns, Sql};

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
        let ended = self.cut(tx, Target::Credential(credential), entry)?;
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
        let detail = Detail::new().with(Key::KIND, "refresh_token");
        let entry = Entry { detail, ..about(tx, Event::Leaked, session) };
        self.cut(tx, Target::Session(session.id), entry)
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
        self.cut(tx, Target::Credential(secret.id), entry)
    }

    fn client_secret(&self, tx: &mut Tx<'_>, secret: &Secret<ClientSecret>) -> Result<bool, StoreError> {
        let found: Option<(CredentialId, ClientId)> = tx.db().one(
            "SELECT s.id, c.id FROM client_secrets s JOIN clients c ON c.id = s.client \
             WHERE s.fingerprint = ?1 AND c.org = ?2 AND s.expires > ?3",
            (&tx.keys().fingerprint(secret).0, self.org.bytes(), tx.now.millis()),
            |row| Ok((row.id(0)?, row.id(1)?)),
        )?;
        let Some((id, client)) = found else { return Ok(false) };
        let detail = Detail::new().with(Key::KIND, "client_secret");
        let entry = Entry { client: Some(client), credential: Some(id), detail, ..self.entry(tx) };
        let ended = self.cut(tx, Target::Credential(id), entry)?;
        crate::client_secrets::forget(tx, id)?;
        Ok(ended)
    }

    fn initial_access_token(
        &self,
        tx: &mut Tx<'_>,
        token: &Secret<InitialAccessToken>,
    ) -> Result<bool, StoreError> {
        let found = tx.db().one(
            "SELECT token, owner_person, owner_team FROM registration_policies WHERE org = ?1 \
             AND token_fingerprint = ?2 AND token_uses > 0 AND token_expires > ?3",
            (self.org.bytes(), &tx.keys().fingerprint(token).0, tx.now.millis()),
            |row| Ok((row.id::<CredentialId>(0)?, row.owner(1)?)),
        )?;
        let Some((id, owner)) = found else { return Ok(false) };
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
        // Its row stays: it says that the client registered itself.
        let client: Option<ClientId> = tx.db().one(
            "UPDATE registrations SET expires = ?3 WHERE fingerprint = ?2 AND org = ?1 AND expires > ?3 RETURNING client",
            (self.org.bytes(), &tx.keys().fingerprint(token).0, tx.now.millis()),
            |row| row.id(0),
        )?;
        let Some(client) = client else { return Ok(false) };
        let detail = Detail::new().with(Key::KIND, "registration_access_token");
        let entry = Entry { client: Some(client), detail, ..self.entry(tx) };
        let owners = notices::of_client(tx.db(), client)?.into_iter().collect();
        self.told(tx, entry, owners)
    }

    fn one_time_link(&self, tx: &mut Tx<'_>, link: &Secret<OneTimeLink>) -> Result<bool, StoreError> {
        // One that sets a server up is of no org, and there is none yet to report it to.
        let person: Option<PrincipalId> = tx.db().one(
            "DELETE FROM links WHERE fingerprint = ?1 AND expires > ?3 \
             AND person IN (SELECT id FROM principals WHERE org = ?2) RETURNING person",
            (&tx.keys().fingerprint(link).0, self.org.bytes(), tx.now.millis()),
            |row| row.id(0),
        )?;
        let Some(person) = person else { return Ok(false) };
        let detail = Detail::new().with(Key::KIND, "enrolment");
        let entry = Entry { principal: Some(person), detail, ..self.entry(tx) };
        // Whoever is not here yet reads nothing: the administrators invited them.
        let owners = notices::administrators(tx.db(), self.org)?.into_iter().chain([*person.bytes()]);
        self.told(tx, entry, owners.collect())
    }

    fn web_cookie(&self, tx: &mut Tx<'_>, cookie: &Secret<WebCookie>) -> Result<bool, StoreError> {
        let person: Option<PrincipalId> = tx.db().one(
            "DELETE FROM web_sessions WHERE fingerprint = ?1 AND org = ?2 AND expires > ?3 RETURNING person",
            (&tx.keys().fingerprint(cookie).0, self.org.bytes(), tx.now.millis()),
            |row| row.id(0),
        )?;
        let Some(person) = person else { return Ok(false) };
        let detail = Detail::new().with(Key::KIND, "web_cookie");
        let entry = Entry { principal: Some(person), detail, ..self.entry(tx) };
        self.told(tx, entry, BTreeSet::from([*person.bytes()]))
    }

    fn authorization_code(
        &self,
        tx: &mut Tx<'_>,
        code: &Secret<AuthorizationCode>,
    ) -> Result<bool, StoreError> {
        let found: Option<(CredentialId, ClientId, PrincipalId)> = tx.db().one(
            "DELETE FROM codes WHERE fingerprint = ?1 AND org = ?2 AND expires > ?3 AND session IS NULL \
             RETURNING credential, client, principal",
            (&tx.keys().fingerprint(code).0, self.org.bytes(), tx.now.millis()),
            |row| Ok((row.id(0)?, row.id(1)?, row.id(2)?)),
        )?;
        let Some((id, client, person)) = found else { return Ok(false) };
        self.brief(tx, "authorization_code", id, client, person)
    }

    fn device_code(&self, tx: &mut Tx<'_>, code: &Secret<DeviceCode>) -> Result<bool, StoreError> {
        let found: Option<(CredentialId, ClientId, Option<PrincipalId>)> = tx.db().one(
            "DELETE FROM device_grants WHERE device_code = ?1 AND org = ?2 AND expires > ?3 \
             AND state IN ('waiting', 'approved') RETURNING id, client, principal",
            (&tx.keys().fingerprint(code).0, self.org.bytes(), tx.now.millis()),
            |row| Ok((row.id(0)?, row.id(1)?, row.maybe_id(2)?)),
        )?;
        let Some((id, client, person)) = found else { return Ok(false) };
        // A poll that is held open for it need not wait any longer.
        tx.announce(News::Answered(hallpass_model::id::GrantId::from_bytes(*id.bytes())));
        match person {
            Some(person) => self.brief(tx, "device_code", id, client, person),
            // As little on record as its beginning is: anybody may begin one.
            None => Ok(true),
        }
    }

    /// What would have become a session within minutes: its person is told, and whoever answers for the client.
    fn brief(
        &self,
        tx: &mut Tx<'_>,
        kind: &'static str,
        credential: CredentialId,
        client: ClientId,
        person: PrincipalId,
    ) -> Result<bool, StoreError> {
        let entry = Entry {
            principal: Some(person),
            client: Some(client),
            credential: Some(credential),
            detail: Detail::new().with(Key::KIND, kind),
            ..self.entry(tx)
        };
        let owners = notices::of_client(tx.db(), client)?.into_iter().chain([*person.bytes()]);
        self.told(tx, entry, owners.collect())
    }

    fn entry(&self, tx: &Tx<'_>) -> Entry {
        Entry { org: Some(self.org), ..tx.entry(Event::Leaked) }
    }

    fn remark(&self) -> [(Field, &str); 1] {
        [(Field::Remark, self.found.unwrap_or_default())]
    }

    fn cut(&self, tx: &mut Tx<'_>, target: Target, entry: Entry) -> Result<bool, StoreError> {
        let detail =
            entry.detail.clone().with(Key::AXIS, target.axis().text()).with(Key::REASON, Why::Leaked.text());
        let entry = Entry { detail, ..entry };
        let made = cut_recording_with(tx, target, Why::Leaked, entry, &self.remark())?;
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
