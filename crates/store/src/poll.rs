//! Polls of the device flow (RFC 8628, section 3.4): not too fast, and collected once.

use hallpass_model::cut::Place;
use hallpass_model::grant::Grant;
use hallpass_model::id::{ClientId, GrantId, OrgId, PrincipalId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::Actor;
use hallpass_model::raise::NotRaised;
use hallpass_model::secret::{DeviceCode, Secret};
use hallpass_model::session::{ProofOfKey, Refusal};
use hallpass_model::time::{Lifetime, Timestamp};
use rusqlite::Row;

use crate::change::{Change, Tx};
use crate::cuts::is_dead;
use crate::device::{DeviceGrant, DeviceState, read_grant};
use crate::error::StoreError;
use crate::raise::{Raising, Unraised, raise};
use crate::reach::{OutOfGrant, Wanted, reach};
use crate::refusals::{RefusedSubject, refuse};
use crate::sessions::{Opened, Opening, RefreshTokens, known_device, may_issue, open_session, origin_of};
use crate::sql::{Columns, Sql};
use crate::step_up::Proved;

/// Asks whether a device login was answered, and collects it if so.
#[derive(Debug)]
pub struct PollDevice {
    /// The device code.
    pub device_code: Secret<DeviceCode>,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
    /// The DPoP proof that came with it, if one did and it was valid.
    pub proof: Option<ProofOfKey>,
    /// Whether the poll is held open (`Prefer: wait`): such a one is never too fast.
    pub held: bool,
    /// Whether there is to be a refresh token.
    pub refresh: RefreshTokens,
    /// What the access token is for.
    pub wanted: Wanted,
    /// The address it came from, for the personal side of the record.
    pub address: Option<String>,
}

/// What a poll came to.
#[derive(Debug)]
pub enum Polled {
    /// Nobody has answered.
    Pending {
        /// Which device login, to wait for its answer.
        grant: GrantId,
        /// How long to wait before the next poll.
        interval: Lifetime,
    },
    /// Nobody has answered, and it is polled too fast: wait longer from now on (RFC 8628, section 3.5).
    SlowDown {
        /// How long to wait before each later poll.
        interval: Lifetime,
    },
    /// Somebody said no.
    Denied,
    /// Its time is over, or it was collected before.
    Expired,
    /// The session it became.
    Opened(Box<Opened>),
    /// Not for that resource or scope; it can still be collected.
    OutOfGrant(OutOfGrant),
    /// The session that it was to raise may not be raised so.
    NotRaised(NotRaised),
    /// Not by this client, at this org or without the key it is bound to; or disabled or cut since.
    Refused(Refusal),
}

/// What a poll looks at besides the grant.
struct Polling {
    found: DeviceGrant,
    jkt: Option<Thumbprint>,
    pace: i64,
    polled: Option<Timestamp>,
    permitted: Option<Grant>,
    stamp: Option<i64>,
}

impl Change for PollDevice {
    type Outcome = Polled;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.device_code);
        let polling = tx.db().one(
            "SELECT id, org, client, scopes, resources, purpose, device, address, created, expires, state, principal, \
             session, jkt, pace, polled, permitted, stamp, demand, raises FROM device_grants WHERE device_code = ?1",
            [&fingerprint.0],
            read_polling,
        )?;
        let Some(polling) = polling else { return Ok(Polled::Refused(Refusal::Unknown)) };
        if let Some(refusal) = self.judge(&polling) {
            // Whoever has the code and not its client or key may have been sold it, approved by somebody else.
            refuse(tx, &subject(&polling.found), crate::redeem::rule(refusal))?;
            return Ok(Polled::Refused(refusal));
        }
        match polling.found.state {
            DeviceState::Spent { .. } => {
                refuse(tx, &subject(&polling.found), "device_code_spent")?;
                Ok(Polled::Expired)
            }
            _ if tx.now >= polling.found.expires => {
                refuse(tx, &subject(&polling.found), "device_code_over")?;
                Ok(Polled::Expired)
            }
            // The person's "no" is on record already: this is the news of it.
            DeviceState::Denied { .. } => Ok(Polled::Denied),
            DeviceState::Waiting => self.wait(tx, &polling),
            DeviceState::Approved { by } => self.collect(tx, polling, by),
        }
    }
}

impl PollDevice {
    fn judge(&self, polling: &Polling) -> Option<Refusal> {
        if polling.found.org != self.org {
            return Some(Refusal::OtherOrg);
        }
        if polling.found.client != self.client {
            return Some(Refusal::OtherClient);
        }
        let proven = self.proof.map(|proof| proof.key);
        (polling.jkt.is_some() && polling.jkt != proven).then_some(Refusal::ProofMissing)
    }

    fn wait(&self, tx: &Tx<'_>, polling: &Polling) -> Result<Polled, StoreError> {
        let fast = !self.held
            && polling.polled.is_some_and(|polled| {
                // A clock that jumped back says nothing about how fast the client is.
                tx.now >= polled && tx.now.since(polled).as_millis() + JITTER.as_millis() < polling.pace
            });
        let pace = if fast { polling.pace + SLOW_DOWN.as_millis() } else { polling.pace };
        tx.db().run(
            "UPDATE device_grants SET polled = ?2, pace = ?3 WHERE id = ?1",
            (polling.found.id.bytes(), tx.now.millis(), pace),
        )?;
        let interval = Lifetime::millis(u32::try_from(pace).unwrap_or(u32::MAX));
        Ok(match fast {
            true => Polled::SlowDown { interval },
            false => Polled::Pending { grant: polling.found.id, interval },
        })
    }

    fn collect(self, tx: &mut Tx<'_>, polling: Polling, by: PrincipalId) -> Result<Polled, StoreError> {
        let found = polling.found;
        tx.acts(Actor::Principal(by));
        let (Some(grant), Some(stamp)) = (polling.permitted, polling.stamp) else {
            return Err(StoreError::Damaged("an approved device login without what was agreed to".into()));
        };
        let device = known_device(tx.db(), by, found.device.as_ref())?;
        let subject = RefusedSubject { device, ..subject(&found) };
        let limits = match may_issue(tx.db(), found.org, by, found.client)? {
            Ok(limits) => limits,
            Err(refusal) => {
                refuse(tx, &subject, crate::redeem::rule(refusal))?;
                return Ok(Polled::Refused(refusal));
            }
        };
        let origin = origin_of(found.id);
        let place = Place {
            org: found.org,
            principal: Some(by),
            client: found.client,
            device,
            session: None,
            credentials: vec![origin],
            acting: None,
            stamp: hallpass_model::cut::Stamp(stamp),
        };
        if let Some(why) = is_dead(tx.db(), &place)? {
            refuse(tx, &subject, "cut")?;
            return Ok(Polled::Refused(Refusal::Cut(why)));
        }
        if let Some(session) = found.raises {
            let raising = Raising {
                session,
                org: found.org,
                client: found.client,
                principal: by,
                authentication: grant.authentication,
                approval: grant.approval,
                key: self.proof.map(|proof| proof.key),
                origin,
                wanted: self.wanted,
                address: self.address,
                flow: "device",
                nonce: None,
            };
            return Ok(match raise(tx, raising)? {
                Ok(opened) => {
                    spend(tx, &found, &opened)?;
                    Polled::Opened(Box::new(opened))
                }
                Err(Unraised::NotRaised(why)) => Polled::NotRaised(why),
                Err(Unraised::OutOfGrant(why)) => Polled::OutOfGrant(why),
            });
        }
        let (reached, scopes) = match reach(
            tx.db(),
            found.org,
            &grant.scopes,
            &grant.resources,
            &self.wanted,
            Proved { client: found.client, authentication: Some(&grant.authentication), now: tx.now },
        )? {
            Ok(within) => within,
            Err(why) => {
                refuse(tx, &subject, why.rule())?;
                return Ok(Polled::OutOfGrant(why));
            }
        };
        let opened = open_session(
            tx,
            Opening {
                org: found.org,
                principal: by,
                client: found.client,
                device: found.device.clone(),
                grant,
                key: self.proof.map(|proof| proof.key),
                origin,
                refresh: self.refresh,
                limits,
                reached,
                scopes,
                lifetime: self.wanted.lifetime,
                address: self.address,
                flow: "device",
                nonce: None,
            },
        )?;
        spend(tx, &found, &opened)?;
        Ok(Polled::Opened(Box::new(opened)))
    }
}

/// It is collected.
fn spend(tx: &Tx<'_>, found: &DeviceGrant, opened: &Opened) -> Result<(), StoreError> {
    tx.db().run(
        "UPDATE device_grants SET state = 'spent', session = ?2 WHERE id = ?1",
        (found.id.bytes(), opened.session.id.bytes()),
    )?;
    Ok(())
}

/// Whom a refused poll is about. Before anybody has answered, the client alone.
fn subject(found: &DeviceGrant) -> RefusedSubject {
    let (principal, session) = match found.state {
        DeviceState::Waiting => (None, None),
        DeviceState::Approved { by } | DeviceState::Denied { by } => (Some(by), None),
        DeviceState::Spent { by, session } => (Some(by), Some(session)),
    };
    RefusedSubject {
        org: found.org,
        principal,
        client: Some(found.client),
        device: None,
        session,
        acting: None,
    }
}

/// What each `slow_down` adds (RFC 8628, section 3.5).
const SLOW_DOWN: Lifetime = Lifetime::seconds(5);
/// A poll this much early is on time: networks are not clocks.
const JITTER: Lifetime = Lifetime::seconds(1);

fn read_polling(row: &Row<'_>) -> rusqlite::Result<Polling> {
    Ok(Polling {
        found: read_grant(row)?,
        jkt: row.get::<_, Option<[u8; 32]>>(13)?.map(Thumbprint::from_bytes),
        pace: row.get(14)?,
        polled: row.maybe_time(15)?,
        permitted: row.maybe_json(16)?,
        stamp: row.get(17)?,
    })
}
