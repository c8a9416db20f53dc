//! Cuts: the only way anything is revoked, and the one question every path asks.

use hallpass_model::cut::{Axis, Cut, Place, Stamp, Target, Why};
use hallpass_model::id::{CredentialId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Key};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, CLOCK_SKEW, SESSION_ABSOLUTE};
use hallpass_model::time::Timestamp;
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql};

/// Cuts everything on one axis. What is already covered is not cut, or recorded, again.
#[derive(Debug, Clone, Copy)]
pub struct MakeCut {
    /// The org whose thing it must be; none where the operator speaks for all.
    pub org: Option<OrgId>,
    /// What.
    pub target: Target,
    /// Why.
    pub why: Why,
}

/// What came of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutMade {
    /// It is made.
    Cut(Cut),
    /// This one covered it already.
    Already(Cut),
    /// There is no such thing, in this org.
    NotThere,
}

impl Change for MakeCut {
    type Outcome = CutMade;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let made = cut(tx, self.org, self.target, self.why)?;
        if let (CutMade::Cut(_), Target::Credential(credential)) = (made, self.target) {
            crate::leases::forget(tx, credential, self.why)?;
        }
        Ok(made)
    }
}

/// Ends one session, as its person or an administrator does.
#[derive(Debug, Clone, Copy)]
pub struct EndSession {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub session: SessionId,
    /// Whose it must be; none for an administrator, who may end anybody's.
    pub of: Option<PrincipalId>,
    /// Why.
    pub why: Why,
}

/// What came of ending a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnded {
    /// It is over.
    Ended,
    /// It was over already.
    Already,
    /// There is no such session, or it is somebody else's.
    NotThere,
}

impl Change for EndSession {
    type Outcome = SessionEnded;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let whose: Option<PrincipalId> = tx.db().one(
            "SELECT principal FROM sessions WHERE id = ?1 AND org = ?2",
            (self.session.bytes(), self.org.bytes()),
            |row| row.id(0),
        )?;
        if whose.is_none_or(|whose| self.of.is_some_and(|of| of != whose)) {
            return Ok(SessionEnded::NotThere);
        }
        Ok(match cut(tx, Some(self.org), Target::Session(self.session), self.why)? {
            CutMade::Cut(_) => SessionEnded::Ended,
            CutMade::Already(_) => SessionEnded::Already,
            CutMade::NotThere => SessionEnded::NotThere,
        })
    }
}

/// Makes a cut inside a change, with an entry that says so.
pub(crate) fn cut(
    tx: &mut Tx<'_>,
    org: Option<OrgId>,
    target: Target,
    why: Why,
) -> Result<CutMade, StoreError> {
    let Some(about) = about(tx, target)? else { return Ok(CutMade::NotThere) };
    if org.is_some_and(|org| about.org.is_some_and(|its| its != org)) {
        return Ok(CutMade::NotThere);
    }
    let detail = Detail::new().with(Key::AXIS, target.axis().text()).with(Key::REASON, why.text());
    let entry = Entry { org: about.org.or(org), detail, ..about };
    cut_recording(tx, target, why, entry)
}

/// Makes a cut, with an entry of the caller's where the cut is the consequence of another event.
pub(crate) fn cut_recording(
    tx: &mut Tx<'_>,
    target: Target,
    why: Why,
    entry: Entry,
) -> Result<CutMade, StoreError> {
    let key = target_bytes(target);
    let known = tx.db().one("SELECT upto, why FROM cuts WHERE target = ?1", [&key[..]], |row| {
        Ok(Cut { target, upto: row.stamp(0)?, why: row.word::<Known>(1)?.0 })
    })?;
    if let Some(known) = known {
        let nothing_since = tx.core.clock.after_cut && known.upto == tx.core.clock.last;
        if !target.axis().is_stamped() || nothing_since {
            return Ok(CutMade::Already(known));
        }
    }
    let upto = tx.cut_stamp();
    tx.db().run(
        "INSERT INTO cuts (target, upto, why, made, keep_until) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (target) DO UPDATE SET upto = excluded.upto, why = excluded.why, made = excluded.made, \
         keep_until = max(keep_until, excluded.keep_until)",
        (&key[..], upto.0, why.text(), tx.now.millis(), keep_until(target.axis(), tx.now, upto).millis()),
    )?;
    let detail = entry.detail.clone().with(Key::STAMP, upto.0);
    tx.record(Entry { detail, ..entry });
    tx.announce(News::Cut(target));
    Ok(CutMade::Cut(Cut { target, upto, why }))
}

/// Until when a cut may be needed: nothing it could kill lives longer.
fn keep_until(axis: Axis, now: Timestamp, upto: Stamp) -> Timestamp {
    // What was issued under a clock that has since jumped back lives by that clock.
    let latest = now.max(Timestamp::from_millis(upto.0));
    latest
        + match axis {
            Axis::Credential => ACCESS_TOKEN_MAX + CLOCK_SKEW,
            _ => SESSION_ABSOLUTE + ACCESS_TOKEN_MAX + CLOCK_SKEW,
        }
}

/// Whether anything above or at this place was cut, and why: one query over its targets.
pub(crate) fn is_dead(db: &Connection, place: &Place) -> Result<Option<Why>, StoreError> {
    any_of(db, place.targets(), place.stamp)
}

/// Whether a cut on any of these targets kills what was issued at `stamp`.
pub(crate) fn any_of(
    db: &Connection,
    targets: impl IntoIterator<Item = Target>,
    stamp: Stamp,
) -> Result<Option<Why>, StoreError> {
    let mut targets = targets.into_iter();
    loop {
        let mut keys: [Option<[u8; 17]>; SLOTS] = [None; SLOTS];
        let mut used = 0;
        for slot in &mut keys {
            *slot = targets.next().map(target_bytes);
            used += usize::from(slot.is_some());
        }
        if let Some(why) = any_cut(db, &keys, stamp)? {
            return Ok(Some(why));
        }
        if used < SLOTS {
            return Ok(None);
        }
    }
}

/// Targets asked for at once: a session's, and a token's with two ancestors. Longer lineages ask again.
const SLOTS: usize = 8;

fn any_cut(
    db: &Connection,
    keys: &[Option<[u8; 17]>; SLOTS],
    stamp: Stamp,
) -> Result<Option<Why>, StoreError> {
    let key = |i: usize| keys[i].as_ref().map(|key| &key[..]);
    // An empty slot is NULL, which equals nothing. `x'FF'` stands for everything, after a restore. The session and
    // credential axes are numbers 4 and 5: there dead is dead.
    db.one(
        "SELECT why FROM cuts WHERE target IN (x'FF', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         AND (upto >= ?9 OR target BETWEEN x'04' AND x'06') LIMIT 1",
        (key(0), key(1), key(2), key(3), key(4), key(5), key(6), key(7), stamp.0),
        |row| Ok(row.word::<Known>(0)?.0),
    )
}

/// The axis's number, then the id.
fn target_bytes(target: Target) -> [u8; 17] {
    let mut bytes = [target.axis().code(); 17];
    bytes[1..].copy_from_slice(target.id_bytes());
    bytes
}

/// Cuts everything issued at or before this stamp: what a restore does.
pub(crate) fn cut_everything(db: &Connection, upto: Stamp, now: Timestamp) -> Result<(), StoreError> {
    db.run(
        "INSERT INTO cuts (target, upto, why, made, keep_until) VALUES (x'FF', ?1, ?2, ?3, ?4) \
         ON CONFLICT (target) DO UPDATE SET upto = excluded.upto, made = excluded.made, keep_until = excluded.keep_until",
        (upto.0, Why::Restored.text(), now.millis(), keep_until(Axis::Org, now, upto).millis()),
    )?;
    Ok(())
}

/// The word of a reason, as a column has it.
struct Known(Why);

impl std::str::FromStr for Known {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().map(Known)
    }
}

/// An entry about what a target names, if there is such a thing. A credential is known to no table.
fn about(tx: &Tx<'_>, target: Target) -> Result<Option<Entry>, StoreError> {
    let (db, entry) = (tx.db(), tx.entry(Event::Cut));
    Ok(match target {
        Target::Org(id) => db.one("SELECT id FROM orgs WHERE id = ?1", [id.bytes()], |row| {
            Ok(Entry { org: Some(row.id(0)?), ..entry })
        })?,
        Target::Principal(id) => db.one("SELECT org FROM principals WHERE id = ?1", [id.bytes()], |row| {
            Ok(Entry { org: Some(row.id(0)?), principal: Some(id), ..entry })
        })?,
        Target::Client(id) => db.one("SELECT org FROM clients WHERE id = ?1", [id.bytes()], |row| {
            Ok(Entry { org: Some(row.id(0)?), client: Some(id), ..entry })
        })?,
        Target::Device(id) => {
            db.one("SELECT org, principal FROM devices WHERE id = ?1", [id.bytes()], |row| {
                Ok(Entry { org: Some(row.id(0)?), principal: Some(row.id(1)?), device: Some(id), ..entry })
            })?
        }
        Target::Session(id) => db.one(
            "SELECT org, principal, client, device FROM sessions WHERE id = ?1",
            [id.bytes()],
            |row| {
                Ok(Entry {
                    org: Some(row.id(0)?),
                    principal: Some(row.id(1)?),
                    client: Some(row.id(2)?),
                    device: row.maybe_id(3)?,
                    session: Some(id),
                    ..entry
                })
            },
        )?,
        Target::Credential(id) => Some(Entry { credential: Some(id), ..entry }),
    })
}

impl Store {
    /// Why this is dead, if it or anything above it was cut.
    pub async fn is_dead(&self, place: &Place) -> Result<Option<Why>, StoreError> {
        self.read(|db| {
            // A session's own origin stands in no claim of its tokens.
            let origin: Option<CredentialId> = match place.session {
                Some(session) => {
                    db.one("SELECT origin FROM sessions WHERE id = ?1", [session.bytes()], |row| row.id(0))?
                }
                None => None,
            };
            match origin.filter(|origin| !place.credentials.contains(origin)) {
                Some(origin) => {
                    let mut place = place.clone();
                    place.credentials.push(origin);
                    is_dead(db, &place)
                }
                None => is_dead(db, place),
            }
        })
    }
}
