//! Cuts: the only way anything is revoked, and the one question every path asks.
//!
//! A cut is kept for as long as anything it could kill lives. When it is forgotten, what it could have killed stays dead
//! without it, whatever the clock does next:
//!
//! 1. A session's cut goes together with the session's row, and a token of a session that has no row is dead.
//! 2. A credential's kills what lives no longer than an access token: as it goes, all of that which was issued at or
//!    before it is dead for good. A cut of what became a session is made as that session's.
//! 3. Any other kills what lives no longer than a session: as it goes, everything issued at or before it is.

use std::collections::BTreeSet;

use hallpass_model::cut::{Axis, Cut, Place, Stamp, Target, Why};
use hallpass_model::id::{CredentialId, OrgId, PrincipalId, SessionId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, CLOCK_SKEW, CUT_SESSION_KEPT, SESSION_ABSOLUTE};
use hallpass_model::time::Timestamp;
use rusqlite::Connection;

use crate::change::{Change, News, Tx};
use crate::error::StoreError;
use crate::notices::OwnerBytes;
use crate::open::Store;
use crate::refusals::{RefusedSubject, refuse};
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
            crate::client_secrets::forget(tx, credential)?;
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
        let Some(whose) = whose else { return Ok(SessionEnded::NotThere) };
        if let Some(of) = self.of.filter(|of| *of != whose) {
            let subject = RefusedSubject { principal: Some(of), ..RefusedSubject::org(self.org) };
            refuse(tx, &subject, "session_of_another")?;
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
    // What became of a code outlives it, and is what a cut of the code is about.
    let target = match target {
        Target::Credential(origin) => session_of(tx.db(), origin)?.map_or(target, Target::Session),
        other => other,
    };
    let Some(about) = about(tx, target)? else { return Ok(CutMade::NotThere) };
    if org.is_some_and(|org| about.org.is_some_and(|its| its != org)) {
        return Ok(CutMade::NotThere);
    }
    let detail = about.detail.clone().with(Key::AXIS, target.axis().text()).with(Key::REASON, why.text());
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
    cut_recording_with(tx, target, why, entry, Beside::default())
}

/// What goes with a cut's entry.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// What is personal.
    pub(crate) personal: &'a [(Field, &'a str)],
    /// Who is told besides those who are by what is cut.
    pub(crate) also: BTreeSet<OwnerBytes>,
    /// Nobody is told: they were not long ago.
    pub(crate) untold: bool,
}

/// The same, with what goes with the entry.
pub(crate) fn cut_recording_with(
    tx: &mut Tx<'_>,
    target: Target,
    why: Why,
    entry: Entry,
    beside: Beside<'_>,
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
    let entry = Entry { detail, ..entry };
    tx.record_personal(entry.clone(), beside.personal);
    if !beside.untold {
        crate::notices::tell(tx, target, why, &entry, beside.also)?;
    }
    tx.announce(News::Cut(target));
    crate::key_ends::note_cut(tx, target, why)?;
    crate::run_ends::note_cut(tx, target, why)?;
    Ok(CutMade::Cut(Cut { target, upto, why }))
}

/// Until when a cut is kept: nothing it could kill lives longer, by the clock it was made by.
fn keep_until(axis: Axis, now: Timestamp, upto: Stamp) -> Timestamp {
    // What was issued under a clock that has since jumped back lives by that clock.
    let latest = now.max(Timestamp::from_millis(upto.0));
    latest
        + match axis {
            Axis::Credential => ACCESS_TOKEN_MAX + CLOCK_SKEW,
            // The session's row goes with it.
            Axis::Session => CUT_SESSION_KEPT,
            _ => SESSION_ABSOLUTE + ACCESS_TOKEN_MAX + CLOCK_SKEW,
        }
}

/// Forgets cuts that nothing can need any more, at most so many; says how many.
pub(crate) fn forget_old(tx: &Tx<'_>, over: Timestamp, limit: u32) -> Result<usize, StoreError> {
    let old: Vec<([u8; 17], Stamp)> = tx.db().all(
        "SELECT target, upto FROM cuts WHERE keep_until < ?1 LIMIT ?2",
        (over.millis(), limit),
        |row| Ok((row.get(0)?, row.stamp(1)?)),
    )?;
    for (target, upto) in &old {
        match Axis::from_code(target[0]) {
            // INVARIANT: both in one change. A session whose cut went first would live again.
            Some(Axis::Session) => {
                tx.db().run("DELETE FROM sessions WHERE id = ?1", [&target[1..]])?;
            }
            Some(Axis::Credential) => raise(tx.db(), BRIEF, *upto, Why::Forgotten, tx.now)?,
            _ => raise(tx.db(), EVERYTHING, *upto, Why::Forgotten, tx.now)?,
        }
        tx.db().run("DELETE FROM cuts WHERE target = ?1", [&target[..]])?;
    }
    Ok(old.len())
}

/// Stands for everything.
const EVERYTHING: &[u8] = &[0xFF];
/// Stands for all that lives no longer than an access token: those tokens, codes and device codes.
const BRIEF: &[u8] = &[0xFE];

/// From now on all of this that was issued at or before `upto` is dead. Never taken back, and never forgotten.
fn raise(db: &Connection, floor: &[u8], upto: Stamp, why: Why, now: Timestamp) -> Result<(), StoreError> {
    db.run(
        "INSERT INTO cuts (target, upto, why, made, keep_until) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (target) DO UPDATE SET upto = excluded.upto, why = excluded.why, made = excluded.made \
         WHERE excluded.upto > upto",
        (floor, upto.0, why.text(), now.millis(), i64::MAX),
    )?;
    Ok(())
}

/// Why and when this very thing was cut, if it was.
pub(crate) fn find_cut(db: &Connection, target: Target) -> Result<Option<(Why, Timestamp)>, StoreError> {
    db.one("SELECT why, made FROM cuts WHERE target = ?1", [&target_bytes(target)[..]], |row| {
        Ok((row.word::<Known>(0)?.0, row.time(1)?))
    })
}

/// When the last cut was made on any of these, or on everything.
pub(crate) fn last_made(db: &Connection, targets: [Target; 2]) -> Result<Option<Timestamp>, StoreError> {
    let [one, other] = targets.map(target_bytes);
    db.one(
        "SELECT made FROM cuts WHERE target IN (x'FF', ?1, ?2) ORDER BY made DESC LIMIT 1",
        (&one[..], &other[..]),
        |row| row.time(0),
    )
}

/// Whether what lives no longer than an access token is dead, and why: itself, or anything above it, was cut; or the
/// session it names is unknown, as it is once that is over and forgotten.
pub(crate) fn is_dead(db: &Connection, place: &Place) -> Result<Option<Why>, StoreError> {
    if let Some(why) = any_in(db, place.targets(), place.stamp, Some(BRIEF))? {
        return Ok(Some(why));
    }
    let Some(session) = place.session else { return Ok(None) };
    let known = db.one("SELECT 1 FROM sessions WHERE id = ?1", [session.bytes()], |_| Ok(()))?;
    Ok(known.is_none().then_some(Why::Forgotten))
}

/// Whether a cut on any of these targets kills what was issued at `stamp` and may live as long as a session.
pub(crate) fn any_of(
    db: &Connection,
    targets: impl IntoIterator<Item = Target>,
    stamp: Stamp,
) -> Result<Option<Why>, StoreError> {
    any_in(db, targets, stamp, None)
}

/// One query over its targets, more only for a long lineage.
fn any_in(
    db: &Connection,
    targets: impl IntoIterator<Item = Target>,
    stamp: Stamp,
    floor: Option<&[u8]>,
) -> Result<Option<Why>, StoreError> {
    let mut targets = targets.into_iter();
    loop {
        let mut keys: [Option<[u8; 17]>; SLOTS] = [None; SLOTS];
        let mut used = 0;
        for slot in &mut keys {
            *slot = targets.next().map(target_bytes);
            used += usize::from(slot.is_some());
        }
        if let Some(why) = any_cut(db, &keys, stamp, floor)? {
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
    floor: Option<&[u8]>,
) -> Result<Option<Why>, StoreError> {
    let key = |i: usize| keys[i].as_ref().map(|key| &key[..]);
    // An empty slot is NULL, which equals nothing. `x'FF'` stands for everything. The session and credential axes are
    // numbers 4 and 5: there dead is dead.
    db.one(
        "SELECT why FROM cuts WHERE target IN (x'FF', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10) \
         AND (upto >= ?9 OR target BETWEEN x'04' AND x'06') LIMIT 1",
        (key(0), key(1), key(2), key(3), key(4), key(5), key(6), key(7), stamp.0, floor),
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
    raise(db, EVERYTHING, upto, Why::Restored, now)
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
        // A run of an agent is one that is known.
        Target::Credential(id) => Some(match crate::runs::find(db, id)? {
            Some(run) => Entry {
                org: Some(run.org),
                principal: Some(run.person),
                client: Some(run.client),
                device: run.device,
                session: Some(run.session),
                credential: Some(id),
                detail: crate::runs::with_acting(Detail::new(), run.acting()),
                ..entry
            },
            None => Entry { credential: Some(id), ..entry },
        }),
    })
}

/// The session that a code or a device login became.
pub(crate) fn session_of(db: &Connection, origin: CredentialId) -> Result<Option<SessionId>, StoreError> {
    db.one("SELECT id FROM sessions WHERE origin = ?1", [origin.bytes()], |row| row.id(0))
}

impl Store {
    /// Why an access token that stands here is dead, if it or anything above it was cut, or its session is forgotten.
    pub async fn is_dead(&self, place: &Place) -> Result<Option<Why>, StoreError> {
        self.read(|db| is_dead(db, place))
    }
}
