//! An organisation's own provider, and who is who there.
//!
//! SECURITY: a person is known by the provider's issuer and its subject, and by nothing else: an e-mail address or a name may be
//! somebody else's tomorrow, and at some providers today.

use hallpass_model::grant::Authentication;
use hallpass_model::id::{OrgId, PrincipalId, TeamId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::principal::Handle;
use hallpass_model::secret::{ClientSecret, OneTimeLink, Secret};
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, Row};

use crate::change::{Change, News, Tx};
use crate::enrol::LoginRefusal;
use crate::error::StoreError;
use crate::links::{LinkPurpose, find_link, spend};
use crate::open::Store;
use crate::people::insert_person;
use crate::refusals::{RefusedSubject, refuse};
use crate::seal::Keys;
use crate::sql::{Columns, Sql};
use crate::web::{WebOpened, open_web};

/// A subject at most, in bytes (OIDC Core, section 2: 255 ASCII characters).
pub const SUBJECT_LEN_MAX: usize = 255;
/// Handles that are tried for somebody new, where others have the name already.
const HANDLES_TRIED: u32 = 100;

/// An organisation's own provider.
#[derive(Debug)]
pub struct LoginProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// What we prove that by; none where we sign with the org's own key.
    pub secret: Option<Secret<ClientSecret>>,
    /// What people call it.
    pub name: String,
    /// Whether whoever it signs in becomes a person of the org.
    pub newcomers: bool,
    /// Since when.
    pub created: Timestamp,
}

/// Has an organisation's people log in by a provider of its own from now on, in place of the one before; or by none.
#[derive(Debug)]
pub struct SetLoginProvider {
    /// Where.
    pub org: OrgId,
    /// By which.
    pub provider: Option<NewProvider>,
}

/// A provider to log in by.
#[derive(Debug)]
pub struct NewProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// What we prove that by; none where we sign with the org's own key.
    pub secret: Option<Secret<ClientSecret>>,
    /// What people call it.
    pub name: String,
    /// Whether whoever it signs in becomes a person of the org.
    pub newcomers: bool,
}

impl Change for SetLoginProvider {
    /// Whether there is such an org, and something changed.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let there = tx.db().one("SELECT 1 FROM orgs WHERE id = ?1", [self.org.bytes()], |_| Ok(()))?;
        let removed = tx.db().run("DELETE FROM login_providers WHERE org = ?1", [self.org.bytes()])?;
        if there.is_none() || (removed == 0 && self.provider.is_none()) {
            return Ok(false);
        }
        let mut detail = Detail::new().with(Key::KIND, "org").with(Key::CHANGE, "login_provider");
        if let Some(provider) = &self.provider {
            let sealed = provider
                .secret
                .as_ref()
                .map(|secret| tx.keys().seal(&row(&self.org), secret.expose(), tx.entropy()));
            tx.db().run(
                "INSERT INTO login_providers (org, issuer, client_id, secret, name, newcomers, created) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (
                    self.org.bytes(),
                    &provider.issuer,
                    &provider.client_id,
                    sealed,
                    &provider.name,
                    provider.newcomers,
                    tx.now.millis(),
                ),
            )?;
            detail = detail.with(Key::URL, provider.issuer.clone());
        }
        tx.record(Entry { org: Some(self.org), detail, ..tx.entry(Event::Changed) });
        tx.announce(News::Directory);
        Ok(true)
    }
}

/// Logs somebody in whom the org's provider has just vouched for.
#[derive(Debug)]
pub struct FinishProviderLogin {
    /// Where.
    pub org: OrgId,
    /// The provider's issuer: still the org's.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// How they proved that there.
    pub authentication: Authentication,
    /// The enrolment link that they came with, if they did: it says who they are here.
    pub link: Option<Secret<OneTimeLink>>,
    /// What the provider calls them, should they be new here.
    pub newcomer: Newcomer,
}

/// What a provider calls somebody: words, which say nothing of who they are.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// A short name for them.
    pub handle: Handle,
    /// Their name.
    pub name: String,
}

impl Change for FinishProviderLogin {
    type Outcome = Result<WebOpened, LoginRefusal>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let provider = tx.db().one(
            "SELECT newcomers FROM login_providers WHERE org = ?1 AND issuer = ?2",
            (self.org.bytes(), &self.issuer),
            |row| row.get::<_, bool>(0),
        )?;
        let Some(newcomers) = provider else { return Ok(Err(LoginRefusal::UnknownSubject)) };
        let linked: Option<PrincipalId> = tx.db().one(
            "SELECT person FROM login_links WHERE org = ?1 AND issuer = ?2 AND subject = ?3",
            (self.org.bytes(), &self.issuer, &self.subject),
            |row| row.id(0),
        )?;
        let person = match (linked, &self.link) {
            (Some(person), None) => person,
            (linked, Some(link)) => {
                let found = find_link(tx.db(), tx.keys(), link, tx.now)?;
                let found = found.filter(|found| found.org == Some(self.org)).map(|found| found.purpose);
                let Some(LinkPurpose::Enrol { person }) = found else { return Ok(Err(LoginRefusal::Link)) };
                // SECURITY: whoever is somebody here already does not become somebody else by another's link.
                if linked.is_some_and(|linked| linked != person) {
                    let subject = RefusedSubject { principal: linked, ..RefusedSubject::org(self.org) };
                    refuse(tx, &subject, "linked_to_another")?;
                    return Ok(Err(LoginRefusal::LinkedToAnother));
                }
                spend(tx, link)?;
                if linked.is_none() {
                    self.link_to(tx, person)?;
                }
                person
            }
            (None, None) if newcomers => {
                let person = self.welcome(tx)?;
                let Some(person) = person else { return Ok(Err(LoginRefusal::Disabled)) };
                self.link_to(tx, person)?;
                person
            }
            (None, None) => return Ok(Err(LoginRefusal::UnknownSubject)),
        };
        let active = tx.db().one(
            "SELECT p.disabled IS NULL AND o.disabled IS NULL FROM principals p JOIN orgs o ON o.id = p.org \
             WHERE p.id = ?1 AND p.org = ?2",
            (person.bytes(), self.org.bytes()),
            |row| row.get::<_, bool>(0),
        )?;
        if active != Some(true) {
            let subject = RefusedSubject { principal: Some(person), ..RefusedSubject::org(self.org) };
            refuse(tx, &subject, "disabled")?;
            return Ok(Err(LoginRefusal::Disabled));
        }
        tx.db().run(
            "UPDATE login_links SET used = ?4 WHERE org = ?1 AND issuer = ?2 AND subject = ?3",
            (self.org.bytes(), &self.issuer, &self.subject, tx.now.millis()),
        )?;
        Ok(Ok(open_web(tx, self.org, person, self.authentication)?))
    }
}

impl FinishProviderLogin {
    fn link_to(&self, tx: &mut Tx<'_>, person: PrincipalId) -> Result<(), StoreError> {
        tx.db().run(
            "INSERT INTO login_links (org, issuer, subject, person, created) VALUES (?1, ?2, ?3, ?4, ?5)",
            (self.org.bytes(), &self.issuer, &self.subject, person.bytes(), tx.now.millis()),
        )?;
        let detail = Detail::new()
            .with(Key::KIND, "person")
            .with(Key::CHANGE, "login_link")
            .with(Key::URL, self.issuer.clone());
        let entry =
            Entry { org: Some(self.org), principal: Some(person), detail, ..tx.entry(Event::Changed) };
        tx.record_personal(entry, &[(Field::Remark, self.subject.as_str())]);
        Ok(())
    }

    /// Makes a person of somebody new. SECURITY: a name that is taken is somebody else's, and never a reason to be them.
    fn welcome(&self, tx: &mut Tx<'_>) -> Result<Option<PrincipalId>, StoreError> {
        let team: Option<TeamId> = tx.db().one(
            "SELECT administrators FROM orgs WHERE id = ?1 AND disabled IS NULL",
            [self.org.bytes()],
            |row| row.id(0),
        )?;
        let Some(team) = team else { return Ok(None) };
        for tried in 1..=HANDLES_TRIED {
            let handle: Option<Handle> = match tried {
                1 => Some(self.newcomer.handle.clone()),
                more => format!("{}-{more}", self.newcomer.handle).parse().ok(),
            };
            let Some(handle) = handle else { return Ok(None) };
            if crate::people::find_by_handle(tx.db(), self.org, handle.as_str())?.is_none() {
                let person = insert_person(tx, self.org, team, &handle, &self.newcomer.name)?;
                tx.announce(News::Directory);
                return Ok(Some(person));
            }
        }
        Ok(None)
    }
}

impl Store {
    /// The provider that an org's people log in by, if there is one.
    pub async fn login_provider(&self, org: OrgId) -> Result<Option<LoginProvider>, StoreError> {
        self.read(|db| find(db, &self.inner.keys, org))
    }

    /// Whom an org's people are at its providers: issuer and subject of each of a person's links.
    pub async fn login_links(&self, person: PrincipalId) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT issuer, subject FROM login_links WHERE person = ?1 ORDER BY created",
                [person.bytes()],
                |row| Ok((row.text(0)?, row.text(1)?)),
            )
        })
    }
}

/// Forgets who a person is at any provider: it is personal.
pub(crate) fn forget(tx: &Tx<'_>, person: PrincipalId) -> Result<(), StoreError> {
    tx.db().run("DELETE FROM login_links WHERE person = ?1", [person.bytes()])?;
    Ok(())
}

fn find(db: &Connection, keys: &Keys, org: OrgId) -> Result<Option<LoginProvider>, StoreError> {
    let found = db.one(
        "SELECT issuer, client_id, secret, name, newcomers, created FROM login_providers WHERE org = ?1",
        [org.bytes()],
        |row: &Row<'_>| {
            let provider = LoginProvider {
                issuer: row.text(0)?,
                client_id: row.text(1)?,
                secret: None,
                name: row.text(3)?,
                newcomers: row.get(4)?,
                created: row.time(5)?,
            };
            Ok((provider, row.get::<_, Option<Vec<u8>>>(2)?))
        },
    )?;
    let Some((mut provider, sealed)) = found else { return Ok(None) };
    if let Some(sealed) = sealed {
        provider.secret = Some(Secret::new(keys.open(&row(&org), &sealed)?.to_vec()));
    }
    Ok(Some(provider))
}

/// What a sealed secret is bound to.
fn row(org: &OrgId) -> [&[u8]; 2] {
    [b"login_providers", org.bytes()]
}
