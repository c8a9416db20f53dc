//! Lists of a person's sessions, and of the machines they are on.

use hallpass_model::cut::{Target, Why};
use hallpass_model::device::{Device, DeviceClass};
use hallpass_model::id::{PrincipalId, SessionId};
use hallpass_model::rung::Rung;
use hallpass_model::session::Session;
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, Row};

use crate::cuts::find_cut;
use crate::error::StoreError;
use crate::open::Store;
use crate::orgs::read_limits;
use crate::page::PAGE_MAX;
use crate::sessions::{is_session_dead, read_session, within};
use crate::sql::{Columns, Sql};

/// A session for a list, with the names of what it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// The session.
    pub session: Session,
    /// Its client's `client_id`.
    pub client: String,
    /// Its client's name.
    pub client_name: String,
    /// Its device, where that is known.
    pub device: Option<Device>,
    /// When it was last refreshed, or a token of it exchanged.
    pub used: Timestamp,
    /// Where its key rests on that machine, as its holder last said.
    pub rung: Option<Rung>,
    /// What sort of machine it is, likewise.
    pub class: Option<DeviceClass>,
}

/// Some of a person's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// The sessions, the newest login first.
    pub items: Vec<SessionSummary>,
    /// Where the rest of them begins; there may be a rest though none is here. Nothing, where there is none.
    pub next: Option<SessionId>,
}

/// A session that was cut because somebody else had its token, as far as anybody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StolenSession {
    /// The session, as it was.
    pub summary: SessionSummary,
    /// When it was cut.
    pub cut: Timestamp,
}

impl Store {
    /// A person's live sessions, the newest login first, older than the one given.
    ///
    /// Reads a bounded number of rows, most of which may be of sessions that were cut: whoever wants them all asks again
    /// while there is a [`Sessions::next`], whatever came.
    pub async fn list_sessions_of(
        &self,
        principal: PrincipalId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Sessions, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        self.read(|db| {
            let mut sessions = Sessions { items: Vec::new(), next: before };
            for _ in 0..PIECES {
                let rows = piece(db, principal, sessions.next)?;
                let whole = rows.len() == PIECE as usize;
                for summary in rows {
                    let session = &summary.session;
                    let id = session.id;
                    if session.alive(now).is_ok() && is_session_dead(db, session)?.is_none() {
                        if sessions.items.len() == limit {
                            return Ok(sessions);
                        }
                        sessions.items.push(summary);
                    }
                    sessions.next = Some(id);
                }
                if !whole {
                    sessions.next = None;
                    break;
                }
            }
            Ok(sessions)
        })
    }

    /// A person's sessions that were cut as stolen, the newest login first. They are told for as long as their rows are
    /// kept, which is [`CUT_SESSION_KEPT`]; only the newest logins are looked at.
    ///
    /// [`CUT_SESSION_KEPT`]: hallpass_model::lifetimes::CUT_SESSION_KEPT
    pub async fn list_stolen_of(&self, principal: PrincipalId) -> Result<Vec<StolenSession>, StoreError> {
        self.read(|db| {
            let (mut stolen, mut before) = (Vec::new(), None);
            for _ in 0..PIECES {
                let rows = piece(db, principal, before)?;
                before = rows.last().map(|summary| summary.session.id);
                for summary in rows {
                    let cut = find_cut(db, Target::Session(summary.session.id))?;
                    if let Some((Why::Reuse | Why::CodeReplayed, cut)) = cut {
                        stolen.push(StolenSession { summary, cut });
                    }
                }
                if before.is_none() || stolen.len() >= STOLEN_SHOWN {
                    break;
                }
            }
            stolen.truncate(STOLEN_SHOWN);
            Ok(stolen)
        })
    }

    /// The machines a person's sessions live or lived on.
    pub async fn list_devices(&self, principal: PrincipalId) -> Result<Vec<Device>, StoreError> {
        self.read(|db| {
            db.all(
                "SELECT d.id, d.org, d.principal, d.name, d.class, d.created, max(d.seen, coalesce((SELECT max(s.seen) \
                 FROM sessions s WHERE s.principal = d.principal AND s.device = d.id), 0)) \
                 FROM devices d WHERE d.principal = ?1",
                [principal.bytes()],
                |row| {
                    Ok(Device {
                        id: row.id(0)?,
                        org: row.id(1)?,
                        principal: row.id(2)?,
                        name: row.text(3)?,
                        class: row.word(4)?,
                        created: row.time(5)?,
                        seen: row.time(6)?,
                    })
                },
            )
        })
    }
}

/// Rows read at a time.
const PIECE: u32 = 100;
/// How often at most for one list: what one read may cost, however many sessions a person has had.
const PIECES: u32 = 10;
/// Stolen sessions told of at most: whoever loses more than these has read enough.
const STOLEN_SHOWN: usize = 10;

/// Some of a person's rows, over or not, the newest first.
fn piece(
    db: &Connection,
    principal: PrincipalId,
    before: Option<SessionId>,
) -> Result<Vec<SessionSummary>, StoreError> {
    db.all(
        "SELECT s.id, s.org, s.principal, s.client, s.device, s.permitted, s.jkt, s.origin, s.stamp, s.created, \
         s.expires, s.idle_until, s.newest, s.since, s.retries, s.network, s.alternations, s.seen, \
         c.handle, c.name, d.name, d.class, d.created, d.seen, o.access_token, o.session_idle, o.session_absolute, o.rungs, \
         s.rung, s.class \
         FROM sessions s JOIN clients c ON c.id = s.client JOIN orgs o ON o.id = s.org \
         LEFT JOIN devices d ON d.id = s.device \
         WHERE s.principal = ?1 AND s.id < ?2 ORDER BY s.id DESC LIMIT ?3",
        (principal.bytes(), before.map_or([0xFF; 16], |session| *session.bytes()), PIECE),
        read_summary,
    )
}

/// One session, over or not, with the names of what it is on.
pub(crate) fn summary(db: &Connection, session: SessionId) -> Result<Option<SessionSummary>, StoreError> {
    db.one(
        "SELECT s.id, s.org, s.principal, s.client, s.device, s.permitted, s.jkt, s.origin, s.stamp, s.created, \
         s.expires, s.idle_until, s.newest, s.since, s.retries, s.network, s.alternations, s.seen, \
         c.handle, c.name, d.name, d.class, d.created, d.seen, o.access_token, o.session_idle, o.session_absolute, o.rungs, \
         s.rung, s.class \
         FROM sessions s JOIN clients c ON c.id = s.client JOIN orgs o ON o.id = s.org \
         LEFT JOIN devices d ON d.id = s.device WHERE s.id = ?1",
        [session.bytes()],
        read_summary,
    )
}

fn read_summary(row: &Row<'_>) -> rusqlite::Result<SessionSummary> {
    let used = row.time(17)?;
    let session = within(read_session(row)?, &read_limits(row, 24)?, used);
    let device = match session.device {
        Some(id) => Some(Device {
            id,
            org: session.org,
            principal: session.principal,
            name: row.text(20)?,
            class: row.word(21)?,
            created: row.time(22)?,
            seen: row.time(23)?.max(used),
        }),
        None => None,
    };
    let word = |at| row.get::<_, Option<String>>(at);
    let (rung, class) = (word(28)?, word(29)?);
    let rung = rung.and_then(|rung| Rung::named(&rung));
    let class = class.map(|class| class.parse().expect("any word is a class"));
    Ok(SessionSummary {
        rung,
        class,
        used,
        client: row.text(18)?,
        client_name: row.text(19)?,
        device,
        session,
    })
}
