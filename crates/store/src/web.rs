//! Logins to the issuer's own pages. Each is one org and one person; the cookie of one opens no other.

use hallpass_model::cut::{Stamp, Target, Why};
use hallpass_model::grant::Authentication;
use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{WEB_ABSOLUTE, WEB_IDLE};
use hallpass_model::secret::{Fingerprint, KeyMaterial, Secret, WebCookie};
use hallpass_model::spelling::Prefix;
use hallpass_model::time::{Lifetime, Timestamp};
use rusqlite::Connection;

use crate::change::{Change, Tx};
use crate::cuts::{CutMade, any_of, cut};
use crate::error::StoreError;
use crate::open::Store;
use crate::refusals::{RefusedSubject, refuse};
use crate::seal::Keys;
use crate::sql::{Columns, Sql, json};

/// Which login to an org's pages: what a change made in a browser is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebLogin {
    fingerprint: Fingerprint,
    org: OrgId,
    person: PrincipalId,
}

/// A login to an org's pages.
#[derive(Debug)]
pub struct WebSession {
    /// Which it is.
    pub login: WebLogin,
    /// Where.
    pub org: OrgId,
    /// Who.
    pub person: PrincipalId,
    /// How they proved who they are, and when.
    pub authentication: Authentication,
    /// What form tokens are made with. Derived from the cookie, never stored.
    pub form_key: Secret<KeyMaterial>,
    /// When they logged in.
    pub created: Timestamp,
    /// When a page was last asked for, to the minute.
    pub seen: Timestamp,
    /// When it ends in any case.
    pub expires: Timestamp,
}

impl WebSession {
    /// Whether it is time for a [`TouchWeb`]: a page each minute is enough to know that somebody is there.
    pub fn wants_touch(&self, now: Timestamp) -> bool {
        now.since(self.seen) >= TOUCH_EVERY
    }
}

/// A write a minute for each person who clicks.
const TOUCH_EVERY: Lifetime = Lifetime::minutes(1);

/// A login just made.
#[derive(Debug)]
pub struct WebOpened {
    /// What the browser keeps, shown this once.
    pub cookie: Secret<WebCookie>,
    /// The login.
    pub session: WebSession,
}

/// Logs a person in to their org's pages, inside the change in which they proved who they are.
pub(crate) fn open_web(
    tx: &mut Tx<'_>,
    org: OrgId,
    person: PrincipalId,
    authentication: Authentication,
) -> Result<WebOpened, StoreError> {
    let (cookie, fingerprint) = tx.new_secret::<WebCookie>(Prefix::Web);
    let stamp = tx.issue_stamp();
    let (created, expires) = (tx.now, tx.now + WEB_ABSOLUTE);
    tx.db().run(
        "INSERT INTO web_sessions (fingerprint, org, person, authentication, stamp, created, seen, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
        (
            &fingerprint.0,
            org.bytes(),
            person.bytes(),
            json(&authentication),
            stamp.0,
            created.millis(),
            expires.millis(),
        ),
    )?;
    let amr: Vec<&str> = authentication.amr.iter().map(|amr| amr.text()).collect();
    let detail = Detail::new()
        .with(Key::ACR, authentication.acr.text())
        .with(Key::AMR, amr.join(" "))
        .with(Key::FLOW, "web");
    tx.record(Entry { org: Some(org), principal: Some(person), detail, ..tx.entry(Event::SignedIn) });
    let form_key = tx.keys().form_key(&fingerprint);
    let login = WebLogin { fingerprint, org, person };
    let session =
        WebSession { login, org, person, authentication, form_key, created, seen: created, expires };
    Ok(WebOpened { cookie, session })
}

impl WebLogin {
    /// Whether it is still theirs, and not over.
    pub(crate) fn stands(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let found = find_web(tx.db(), tx.keys(), self.fingerprint, self.org, tx.now)?;
        Ok(found.is_some_and(|web| web.person == self.person))
    }
}

/// A change that a person makes in their browser: only while the login they make it with stands.
///
/// SECURITY: whoever asked was found logged in before, by a reader. What ended their login since must come first: a "yes"
/// that is on its way when everything a person holds is cut would else be stamped after the cut, and outlive it.
#[derive(Debug, Clone)]
pub struct InBrowser<C> {
    /// The login.
    pub login: WebLogin,
    /// The change.
    pub change: C,
}

/// The login that a change was made with is over. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the login it was done with is over")]
pub struct LoginOver;

impl<C: Change> Change for InBrowser<C> {
    type Outcome = Result<C::Outcome, LoginOver>;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let WebLogin { org, person, .. } = self.login;
        if !self.login.stands(tx)? {
            let subject = RefusedSubject { principal: Some(person), ..RefusedSubject::org(org) };
            refuse(tx, &subject, "login_over")?;
            return Ok(Err(LoginOver));
        }
        Ok(Ok(self.change.apply(tx)?))
    }
}

/// Notes that somebody is still there. Not recorded.
#[derive(Debug)]
pub struct TouchWeb {
    /// The browser's cookie.
    pub cookie: Secret<WebCookie>,
}

impl Change for TouchWeb {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        // A login that is over is not revived, and a clock that jumped back takes nothing away.
        tx.db().run(
            "UPDATE web_sessions SET seen = ?2 WHERE fingerprint = ?1 AND seen < ?2 AND seen > ?3",
            (&tx.keys().fingerprint(&self.cookie).0, tx.now.millis(), (tx.now - WEB_IDLE).millis()),
        )?;
        Ok(())
    }
}

/// Logs a browser out.
#[derive(Debug)]
pub struct EndWeb {
    /// The browser's cookie.
    pub cookie: Secret<WebCookie>,
}

impl Change for EndWeb {
    /// Whether there was a login.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let ended: Option<(OrgId, PrincipalId)> = tx.db().one(
            "DELETE FROM web_sessions WHERE fingerprint = ?1 RETURNING org, person",
            [&tx.keys().fingerprint(&self.cookie).0],
            |row| Ok((row.id(0)?, row.id(1)?)),
        )?;
        let Some((org, person)) = ended else { return Ok(false) };
        tx.record(Entry { org: Some(org), principal: Some(person), ..tx.entry(Event::SignedOut) });
        Ok(true)
    }
}

/// Ends everything a person holds, but for the browser they do it in: one cut, which that login outlives.
#[derive(Debug)]
pub struct EndOthers {
    /// Where.
    pub org: OrgId,
    /// Who.
    pub person: PrincipalId,
    /// The cookie of the browser they do it in.
    pub keep: Secret<WebCookie>,
}

impl Change for EndOthers {
    type Outcome = CutMade;

    fn apply(self, tx: &mut Tx<'_>) -> Result<CutMade, StoreError> {
        let made = cut(tx, Some(self.org), Target::Principal(self.person), Why::EndedByPerson)?;
        // INVARIANT: what is issued after a cut lives, so the login that is kept is stamped anew, in the same change.
        let stamp = tx.issue_stamp();
        tx.db().run(
            "UPDATE web_sessions SET stamp = ?2 WHERE fingerprint = ?1 AND org = ?3 AND person = ?4",
            (&tx.keys().fingerprint(&self.keep).0, stamp.0, self.org.bytes(), self.person.bytes()),
        )?;
        Ok(made)
    }
}

impl Store {
    /// The login of this cookie at this org's pages, if it is one and nothing has ended it.
    pub async fn find_web(
        &self,
        cookie: &Secret<WebCookie>,
        org: OrgId,
        now: Timestamp,
    ) -> Result<Option<WebSession>, StoreError> {
        let fingerprint = self.inner.keys.fingerprint(cookie);
        self.read(|db| find_web(db, &self.inner.keys, fingerprint, org, now))
    }
}

pub(crate) fn find_web(
    db: &Connection,
    keys: &Keys,
    fingerprint: Fingerprint,
    org: OrgId,
    now: Timestamp,
) -> Result<Option<WebSession>, StoreError> {
    let found: Option<(WebSession, Stamp)> = db.one(
        "SELECT w.person, w.authentication, w.created, w.seen, w.expires, w.stamp FROM web_sessions w \
         JOIN principals p ON p.id = w.person JOIN orgs o ON o.id = w.org \
         WHERE w.fingerprint = ?1 AND w.org = ?2 AND w.expires > ?3 AND w.seen > ?4 \
         AND p.disabled IS NULL AND o.disabled IS NULL",
        (&fingerprint.0, org.bytes(), now.millis(), (now - WEB_IDLE).millis()),
        |row| {
            let person = row.id(0)?;
            let session = WebSession {
                login: WebLogin { fingerprint, org, person },
                org,
                person,
                authentication: row.json(1)?,
                form_key: keys.form_key(&fingerprint),
                created: row.time(2)?,
                seen: row.time(3)?,
                expires: row.time(4)?,
            };
            Ok((session, row.stamp(5)?))
        },
    )?;
    let Some((session, stamp)) = found else { return Ok(None) };
    let dead = any_of(db, [Target::Org(org), Target::Principal(session.person)], stamp)?.is_some();
    Ok((!dead).then_some(session))
}
