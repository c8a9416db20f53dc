//! One-time links: the first administrator's set-up, and everybody's enrolment.

use hallpass_model::cut::{Stamp, Target};
use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{ENROLMENT_LINK, SETUP_LINK};
use hallpass_model::secret::{OneTimeLink, Secret};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::Timestamp;
use rusqlite::Connection;

use crate::change::{Change, Tx};
use crate::cuts::any_of;
use crate::error::StoreError;
use crate::open::Store;
use crate::seal::Keys;
use crate::sql::{Columns, Sql};

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// The first org and its administrator.
    SetUp,
    /// A passkey for this person.
    Enrol {
        /// Who.
        person: PrincipalId,
    },
}

/// Makes a link. A new set-up link ends the older, a person's new one their older.
#[derive(Debug, Clone, Copy)]
pub struct MakeLink {
    /// What for.
    pub purpose: LinkPurpose,
}

/// A link, shown this once.
#[derive(Debug)]
pub struct LinkMade {
    /// Its secret part.
    pub link: Secret<OneTimeLink>,
    /// Until when it works.
    pub expires: Timestamp,
}

impl Change for MakeLink {
    /// `None` if there is no such active person.
    type Outcome = Option<LinkMade>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let (link, fingerprint) = tx.new_secret::<OneTimeLink>(Prefix::Link);
        let (person, org, lifetime) = match self.purpose {
            LinkPurpose::SetUp => {
                tx.db().run("DELETE FROM links WHERE person IS NULL", ())?;
                (None, None, SETUP_LINK)
            }
            LinkPurpose::Enrol { person } => {
                let Some(org) = active_person(tx.db(), person)? else { return Ok(None) };
                tx.db().run("DELETE FROM links WHERE person = ?1", [person.bytes()])?;
                (Some(person), Some(org), ENROLMENT_LINK)
            }
        };
        let expires = tx.now + lifetime;
        let stamp = tx.issue_stamp();
        tx.db().run(
            "INSERT INTO links (fingerprint, person, stamp, expires) VALUES (?1, ?2, ?3, ?4)",
            (&fingerprint.0, person.as_ref().map(PrincipalId::bytes), stamp.0, expires.millis()),
        )?;
        let kind = if person.is_some() { "enrolment" } else { "set_up" };
        let detail = Detail::new().with(Key::KIND, kind).with(Key::EXPIRES, expires.millis());
        tx.record(Entry { org, principal: person, detail, ..tx.entry(Event::Invited) });
        Ok(Some(LinkMade { link, expires }))
    }
}

/// A link that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// What for.
    pub purpose: LinkPurpose,
    /// The org of the person it enrols.
    pub org: Option<OrgId>,
    /// Until when.
    pub expires: Timestamp,
}

impl Store {
    /// The link, if it works at `now` and nothing has ended it. It is not spent by looking.
    pub async fn find_link(
        &self,
        link: &Secret<OneTimeLink>,
        now: Timestamp,
    ) -> Result<Option<Link>, StoreError> {
        self.read(|db| find_link(db, &self.inner.keys, link, now))
    }
}

/// The same, inside a change.
pub(crate) fn find_link(
    db: &Connection,
    keys: &Keys,
    link: &Secret<OneTimeLink>,
    now: Timestamp,
) -> Result<Option<Link>, StoreError> {
    let found: Option<(Option<PrincipalId>, Timestamp, Stamp)> = db.one(
        "SELECT person, expires, stamp FROM links WHERE fingerprint = ?1 AND expires > ?2",
        (&keys.fingerprint(link).0, now.millis()),
        |row| Ok((row.maybe_id(0)?, row.time(1)?, row.stamp(2)?)),
    )?;
    let Some((person, expires, stamp)) = found else { return Ok(None) };
    let Some(person) = person else {
        return Ok(Some(Link { purpose: LinkPurpose::SetUp, org: None, expires }));
    };
    let Some(org) = active_person(db, person)? else { return Ok(None) };
    // SECURITY: a link is a way in like any other. Whoever ends all that a person holds ends their link, too.
    if any_of(db, [Target::Org(org), Target::Principal(person)], stamp)?.is_some() {
        return Ok(None);
    }
    Ok(Some(Link { purpose: LinkPurpose::Enrol { person }, org: Some(org), expires }))
}

/// Spends a link: it works no more.
pub(crate) fn spend(tx: &Tx<'_>, link: &Secret<OneTimeLink>) -> Result<(), StoreError> {
    tx.db().run("DELETE FROM links WHERE fingerprint = ?1", [&tx.keys().fingerprint(link).0])?;
    Ok(())
}

fn active_person(db: &Connection, person: PrincipalId) -> Result<Option<OrgId>, StoreError> {
    db.one(
        "SELECT p.org FROM principals p JOIN orgs o ON o.id = p.org \
         WHERE p.id = ?1 AND p.disabled IS NULL AND o.disabled IS NULL",
        [person.bytes()],
        |row| row.id(0),
    )
}
