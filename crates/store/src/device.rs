//! The device flow (RFC 8628): a request, and a person's answer.

use hallpass_model::cut::{Target, Why};
use hallpass_model::device::DeviceClaim;
use hallpass_model::grant::{Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, GrantId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Entry, Event, Key};
use hallpass_model::lifetimes::{DEVICE_CODE, DEVICE_POLL_INTERVAL};
use hallpass_model::purpose::Purpose;
use hallpass_model::raise::{NotRaised, Raise};
use hallpass_model::secret::{DeviceCode, Secret, UserCode};
use hallpass_model::session::Refusal;
use hallpass_model::spelling::{Prefix, user_code};
use hallpass_model::step_up::Demand;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;
use rusqlite::{Connection, Row};

use crate::authorize::{approved, record_approval};
use crate::change::{Change, News, Tx};
use crate::cuts::{CutMade, cut, session_of};
use crate::error::StoreError;
use crate::open::Store;
use crate::raise;
use crate::refusals::{RefusedSubject, refuse};
use crate::seal::Keys;
use crate::sessions::{load, may_issue, origin_of};
use crate::sql::{Columns, Sql, json};

/// Begins a device login. Not recorded: nobody has proved who they are, and strangers may not buy disk.
#[derive(Debug, Clone)]
pub struct StartDevice {
    /// Where.
    pub org: OrgId,
    /// For which client.
    pub client: ClientId,
    /// Scopes asked for.
    pub scopes: Scopes,
    /// Resources asked for, by their URLs.
    pub resources: Vec<String>,
    /// Why, as claimed.
    pub purpose: Option<Purpose>,
    /// The machine, as claimed.
    pub device: Option<DeviceClaim>,
    /// The requester's address as we saw it.
    pub requester_address: String,
    /// The key the device code is bound to.
    pub jkt: Option<Thumbprint>,
    /// What is demanded of how whoever approves it proved who they are, counted from now.
    pub demand: Demand,
    /// The session that it is to raise, where it is to open none (RFC 9470).
    pub raises: Option<SessionId>,
}

/// A device login's two codes, shown this once.
#[derive(Debug)]
pub struct DeviceStarted {
    /// Its id.
    pub grant: GrantId,
    /// What the client polls with.
    pub device_code: Secret<DeviceCode>,
    /// What the person types, without the dash ([`user_code::render`]).
    pub user_code: Secret<UserCode>,
    /// Until when both work.
    pub expires: Timestamp,
    /// How long to wait between polls.
    pub interval: Lifetime,
}

impl Change for StartDevice {
    type Outcome = DeviceStarted;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let grant = GrantId::new(tx.now, tx.entropy());
        let (device_code, fingerprint) = tx.new_secret::<DeviceCode>(Prefix::Device);
        let expires = tx.now + DEVICE_CODE;
        // Among a million live codes one in 25,000 new ones is taken: try again.
        for _ in 0..USER_CODE_TRIES {
            let user_code = user_code::new(tx.entropy());
            let inserted = tx.db().run(
                "INSERT INTO device_grants (id, device_code, user_code, org, client, scopes, resources, purpose, device, \
                 address, jkt, pace, state, created, expires, demand, raises) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'waiting', ?13, ?14, ?15, ?16) \
                 ON CONFLICT (org, user_code) DO NOTHING",
                (
                    grant.bytes(),
                    &fingerprint.0,
                    user_code_mark(tx.keys(), self.org, &user_code),
                    self.org.bytes(),
                    self.client.bytes(),
                    self.scopes.to_string(),
                    self.resources.join("\n"),
                    self.purpose.as_ref().map(Purpose::as_str),
                    self.device.as_ref().map(json),
                    &self.requester_address,
                    self.jkt.as_ref().map(Thumbprint::bytes),
                    DEVICE_POLL_INTERVAL.as_millis(),
                    tx.now.millis(),
                    expires.millis(),
                    (!self.demand.is_nothing()).then(|| json(&self.demand)),
                    self.raises.as_ref().map(SessionId::bytes),
                ),
            )?;
            if inserted == 1 {
                let user_code = Secret::from_text(user_code);
                return Ok(DeviceStarted {
                    grant,
                    device_code,
                    user_code,
                    expires,
                    interval: DEVICE_POLL_INTERVAL,
                });
            }
        }
        Err(StoreError::Busy)
    }
}

/// Five misses in a row do not happen by chance.
const USER_CODE_TRIES: u32 = 5;

/// A device login, for the page and the admin socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceGrant {
    /// Its id.
    pub id: GrantId,
    /// Where.
    pub org: OrgId,
    /// For which client.
    pub client: ClientId,
    /// Scopes asked for.
    pub scopes: Scopes,
    /// Resources asked for.
    pub resources: Vec<String>,
    /// Why, as claimed.
    pub purpose: Option<Purpose>,
    /// The machine, as claimed.
    pub device: Option<DeviceClaim>,
    /// The requester's address as we saw it.
    pub requester_address: String,
    /// When it began.
    pub created: Timestamp,
    /// Until when it can be answered and collected.
    pub expires: Timestamp,
    /// How far it has come.
    pub state: DeviceState,
    /// What is demanded of how whoever approves it proved who they are, counted from when it began.
    pub demand: Demand,
    /// The session that it is to raise, where it is to open none.
    pub raises: Option<SessionId>,
}

impl DeviceGrant {
    /// Whether somebody who proved who they are in this way may approve it. Judged as of its beginning: it is theirs to
    /// take ten minutes over it.
    pub fn may_be_approved_by(&self, authentication: &Authentication) -> bool {
        self.demand.is_met_by(authentication, self.created)
    }

    /// Who has answered it.
    pub fn answered_by(&self) -> Option<PrincipalId> {
        match self.state {
            DeviceState::Waiting => None,
            DeviceState::Approved { by } | DeviceState::Denied { by } | DeviceState::Spent { by, .. } => {
                Some(by)
            }
        }
    }
}

/// How far a device login has come. That its time is over shows in its `expires`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has answered.
    Waiting,
    /// Somebody said yes, and the client has not collected it.
    Approved {
        /// Who.
        by: PrincipalId,
    },
    /// Somebody said no.
    Denied {
        /// Who.
        by: PrincipalId,
    },
    /// The client has collected it.
    Spent {
        /// Who said yes.
        by: PrincipalId,
        /// What it became.
        session: SessionId,
    },
}

/// Answers a device login.
#[derive(Debug, Clone)]
pub struct AnswerDevice {
    /// Where.
    pub org: OrgId,
    /// Which.
    pub grant: GrantId,
    /// Who, and how they proved it.
    pub by: Approver,
    /// Yes or no.
    pub answer: Answer,
    /// Their browser's address, for the personal side of the record.
    pub address: String,
}

/// Who answers, and how they proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    /// Who.
    pub principal: PrincipalId,
    /// How they proved it.
    pub authentication: Authentication,
    /// Where they said it.
    pub approval: Approval,
}

/// What a person says to a device login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Let it in.
    Yes,
    /// Do not.
    No,
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAnswered {
    /// The client can collect it.
    Approved,
    /// It is over.
    Denied,
    /// It was answered before.
    Already(DeviceState),
    /// Its time is over.
    Expired,
    /// There is no such device login here.
    NotThere,
    /// The org, person or client is disabled.
    Refused(Refusal),
    /// Whoever approves it must prove who they are more strongly, or more lately.
    Unmet(Demand),
    /// The session that it was to raise may not be raised so.
    NotRaised(NotRaised),
}

impl Change for AnswerDevice {
    type Outcome = DeviceAnswered;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(found) = find(tx.db(), self.grant)?.filter(|found| found.org == self.org) else {
            return Ok(DeviceAnswered::NotThere);
        };
        let subject = RefusedSubject {
            principal: Some(self.by.principal),
            client: Some(found.client),
            ..RefusedSubject::org(self.org)
        };
        if found.state != DeviceState::Waiting {
            // Their own answer sent twice is no refusal: they are shown what they said.
            if found.answered_by() != Some(self.by.principal) {
                refuse(tx, &subject, "answered_by_another")?;
            }
            return Ok(DeviceAnswered::Already(found.state));
        }
        if tx.now >= found.expires {
            refuse(tx, &subject, "user_code_over")?;
            return Ok(DeviceAnswered::Expired);
        }
        if let Err(refusal) = may_issue(tx.db(), self.org, self.by.principal, found.client)? {
            refuse(tx, &subject, crate::redeem::rule(refusal))?;
            return Ok(DeviceAnswered::Refused(refusal));
        }
        if self.answer == Answer::Yes && !found.may_be_approved_by(&self.by.authentication) {
            refuse(tx, &subject, "step_up")?;
            return Ok(DeviceAnswered::Unmet(found.demand));
        }
        if let (Answer::Yes, Some(session)) = (self.answer, found.raises) {
            let by = Raise {
                org: self.org,
                client: found.client,
                principal: self.by.principal,
                authentication: &self.by.authentication,
            };
            if let Err(why) = raise::judge(tx, session, &by)? {
                return Ok(DeviceAnswered::NotRaised(why));
            }
        }
        tx.announce(News::Answered(self.grant));
        match self.answer {
            Answer::Yes => self.approve(tx, &found),
            Answer::No => deny(tx, &found, self.by.principal),
        }
    }
}

impl AnswerDevice {
    fn approve(self, tx: &mut Tx<'_>, found: &DeviceGrant) -> Result<DeviceAnswered, StoreError> {
        let grant = Grant {
            scopes: found.scopes.clone(),
            resources: found.resources.clone(),
            purpose: found.purpose.clone(),
            authentication: self.by.authentication,
            approval: self.by.approval,
        };
        let stamp = tx.issue_stamp();
        tx.db().run(
            "UPDATE device_grants SET state = 'approved', principal = ?2, permitted = ?3, stamp = ?4, answered = ?5 \
             WHERE id = ?1",
            (found.id.bytes(), self.by.principal.bytes(), json(&grant), stamp.0, tx.now.millis()),
        )?;
        let entry = Entry {
            org: Some(found.org),
            principal: Some(self.by.principal),
            client: Some(found.client),
            session: found.raises,
            detail: approved(&grant, "device").with(Key::GRANT, found.id.to_string()),
            ..tx.entry(Event::Approved)
        };
        record_approval(tx, entry, &grant, found.device.as_ref(), &self.address);
        Ok(DeviceAnswered::Approved)
    }
}

fn deny(tx: &mut Tx<'_>, found: &DeviceGrant, by: PrincipalId) -> Result<DeviceAnswered, StoreError> {
    tx.db().run(
        "UPDATE device_grants SET state = 'denied', principal = ?2, answered = ?3 WHERE id = ?1",
        (found.id.bytes(), by.bytes(), tx.now.millis()),
    )?;
    let entry = Entry {
        org: Some(found.org),
        principal: Some(by),
        client: Some(found.client),
        detail: hallpass_model::ledger::Detail::new()
            .with(Key::RULE, "person_said_no")
            .with(Key::GRANT, found.id.to_string()),
        ..tx.entry(Event::Denied)
    };
    tx.record(entry);
    Ok(DeviceAnswered::Denied)
}

/// "This was not me": takes an approval back, or ends what it became, however long ago.
#[derive(Debug, Clone, Copy)]
pub struct EndAfterApproval {
    /// Where.
    pub org: OrgId,
    /// Which device login.
    pub grant: GrantId,
    /// Who said yes to it.
    pub by: PrincipalId,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedAfterApproval {
    /// It had not been collected, and cannot be now.
    Denied,
    /// The session it became is cut.
    SessionCut(SessionId),
    /// Nothing is left of it to end.
    Already,
    /// They said yes to no such device login.
    NotThere,
}

impl Change for EndAfterApproval {
    type Outcome = EndedAfterApproval;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let found = find(tx.db(), self.grant)?.filter(|found| found.org == self.org);
        let Some(found) = found else { return self.end_later(tx) };
        match found.state {
            DeviceState::Approved { by } if by == self.by => {
                tx.announce(News::Answered(self.grant));
                deny(tx, &found, by)?;
                Ok(EndedAfterApproval::Denied)
            }
            DeviceState::Spent { by, session } if by == self.by => self.end_session(tx, session),
            DeviceState::Denied { by } if by == self.by => Ok(EndedAfterApproval::Already),
            _ => Ok(EndedAfterApproval::NotThere),
        }
    }
}

impl EndAfterApproval {
    /// The request is swept away minutes after its code is over. The session it became remembers where it came from.
    fn end_later(&self, tx: &mut Tx<'_>) -> Result<EndedAfterApproval, StoreError> {
        let Some(id) = session_of(tx.db(), origin_of(self.grant))? else {
            return Ok(EndedAfterApproval::NotThere);
        };
        let session = load(tx.db(), id)?.map(|loaded| loaded.session);
        match session.filter(|session| session.org == self.org && session.principal == self.by) {
            Some(_) => self.end_session(tx, id),
            None => Ok(EndedAfterApproval::NotThere),
        }
    }

    fn end_session(&self, tx: &mut Tx<'_>, session: SessionId) -> Result<EndedAfterApproval, StoreError> {
        match cut(tx, Some(self.org), Target::Session(session), Why::EndedByPerson)? {
            CutMade::Cut(_) => Ok(EndedAfterApproval::SessionCut(session)),
            _ => Ok(EndedAfterApproval::Already),
        }
    }
}

impl Store {
    /// The device login of a code that a person typed, in whatever case and with whatever dashes.
    ///
    /// SECURITY: does not count the guess. A page that a stranger can reach asks by [`crate::GuessUserCode`].
    pub async fn find_device_by_user_code(
        &self,
        org: OrgId,
        typed: &str,
    ) -> Result<Option<DeviceGrant>, StoreError> {
        self.read(|db| find_by_user_code(db, &self.inner.keys, org, typed))
    }

    /// The device login of this id.
    pub async fn find_device_grant(&self, grant: GrantId) -> Result<Option<DeviceGrant>, StoreError> {
        self.read(|db| find(db, grant))
    }
}

/// The same, inside a change.
pub(crate) fn find_by_user_code(
    db: &Connection,
    keys: &Keys,
    org: OrgId,
    typed: &str,
) -> Result<Option<DeviceGrant>, StoreError> {
    let Some(code) = user_code::parse(typed) else { return Ok(None) };
    db.one(
        "SELECT id, org, client, scopes, resources, purpose, device, address, created, expires, state, principal, session, demand, raises \
         FROM device_grants WHERE org = ?1 AND user_code = ?2",
        (org.bytes(), user_code_mark(keys, org, &code)),
        read_grant,
    )
}

fn find(db: &Connection, grant: GrantId) -> Result<Option<DeviceGrant>, StoreError> {
    db.one(
        "SELECT id, org, client, scopes, resources, purpose, device, address, created, expires, state, principal, session, demand, raises \
         FROM device_grants WHERE id = ?1",
        [grant.bytes()],
        read_grant,
    )
}

fn user_code_mark(keys: &Keys, org: OrgId, code: &str) -> [u8; 32] {
    keys.mark::<UserCode>(&[org.bytes(), code.as_bytes()]).0
}

pub(crate) fn read_grant(row: &Row<'_>) -> rusqlite::Result<DeviceGrant> {
    let (by, session): (Option<PrincipalId>, Option<SessionId>) = (row.maybe_id(11)?, row.maybe_id(12)?);
    let state = match (row.text(10)?.as_str(), by, session) {
        ("waiting", ..) => DeviceState::Waiting,
        ("approved", Some(by), _) => DeviceState::Approved { by },
        ("denied", Some(by), _) => DeviceState::Denied { by },
        ("spent", Some(by), Some(session)) => DeviceState::Spent { by, session },
        _ => return Err(crate::sql::unreadable(10)),
    };
    Ok(DeviceGrant {
        id: row.id(0)?,
        org: row.id(1)?,
        client: row.id(2)?,
        scopes: row.word(3)?,
        resources: row.text(4)?.lines().map(str::to_owned).collect(),
        purpose: row.get::<_, Option<String>>(5)?.and_then(|text| Purpose::parse(&text)),
        device: row.maybe_json(6)?,
        requester_address: row.text(7)?,
        created: row.time(8)?,
        expires: row.time(9)?,
        state,
        demand: row.maybe_json(row.as_ref().column_index("demand")?)?.unwrap_or_default(),
        raises: row.maybe_id(row.as_ref().column_index("raises")?)?,
    })
}
