//! Revocation by whoever holds a token (RFC 7009): an access token is cut alone, a refresh token is its session, and a
//! device code is the login that was begun with it, however far that has come.

use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::{ClientId, CredentialId, LeaseId, OrgId};
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Key};
use hallpass_model::secret::{DeviceCode, Secret};
use hallpass_model::session::{RefreshToken, Session};

use crate::change::{Change, News, Tx};
use crate::cuts::{CutMade, cut_recording, is_dead};
use crate::device::{DeviceState, read_grant};
use crate::error::StoreError;
use crate::leases;
use crate::refusals::{RefusedSubject, refuse};
use crate::sessions::{about, load};
use crate::sql::{Columns, Sql};

/// Cuts an access token. The caller has verified it, and that it was issued to the client that sent it.
#[derive(Debug, Clone)]
pub struct RevokeAccessToken {
    /// Its place on every axis; `credentials` holds its own id first.
    pub place: Place,
    /// Whether the run of an agent that it is of is over with it.
    pub run_over: bool,
}

impl Change for RevokeAccessToken {
    /// Whether it was cut now.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let place = self.place;
        let Some(credential) = place.credentials.first().copied() else { return Ok(false) };
        if is_dead(tx.db(), &place)?.is_some() {
            return Ok(false);
        }
        tx.acts(place.principal.map_or(Actor::Client(place.client), Actor::Principal));
        // Whoever holds one of its passes may end a run, as they may end that.
        if let (true, Some(acting)) = (self.run_over, place.acting)
            && let Some(run) = crate::runs::find(tx.db(), acting.run)?
        {
            crate::run_ends::end(tx, &run, Why::RunOver)?;
            leases::forget(tx, credential, Why::RunOver)?;
            return Ok(true);
        }
        // Whoever gives back the pass of a run says that the run is over.
        let lease: Option<LeaseId> =
            tx.db()
                .one("SELECT id FROM leases WHERE credential = ?1", [credential.bytes()], |row| row.id(0))?;
        if let Some(lease) = lease {
            return leases::end(tx, lease, Why::RunOver);
        }
        let detail = Detail::new().with(Key::AXIS, "credential").with(Key::REASON, Why::SignedOut.text());
        let entry = Entry {
            org: Some(place.org),
            principal: place.principal,
            client: Some(place.client),
            device: place.device,
            session: place.session,
            credential: Some(credential),
            detail: match place.acting {
                Some(acting) => crate::runs::with_acting(detail, acting),
                None => detail,
            },
            ..tx.entry(Event::Cut)
        };
        let made = cut_recording(tx, Target::Credential(credential), Why::SignedOut, entry)?;
        Ok(matches!(made, CutMade::Cut(_)))
    }
}

/// Ends the session of a refresh token, whichever of its generations it is.
#[derive(Debug)]
pub struct RevokeRefreshToken {
    /// The token, as parsed; its MAC is checked here.
    pub token: RefreshToken,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
}

impl Change for RevokeRefreshToken {
    /// Whether the session ended now.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let Some(loaded) = load(tx.db(), self.token.session())? else { return Ok(false) };
        let session = &loaded.session;
        // SECURITY: ids are public, so naming a session ends nothing; and a token of another client's is neither
        // revoked nor confirmed (RFC 7009, section 2.1).
        let authentic = self.token.authenticate(&loaded.key(tx.keys())?).is_ok();
        if !authentic {
            return Ok(false);
        }
        if session.org != self.org || session.client != self.client {
            refuse(tx, &about(tx, Event::Denied, session).into(), "token_of_other_client")?;
            return Ok(false);
        }
        sign_out(tx, session)
    }
}

/// Ends the device login of a device code: nobody waits for it any more.
#[derive(Debug)]
pub struct RevokeDeviceCode {
    /// The device code.
    pub device_code: Secret<DeviceCode>,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
}

impl Change for RevokeDeviceCode {
    /// Whether there was anything to end.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.device_code);
        let found = tx.db().one(
            "SELECT id, org, client, scopes, resources, purpose, device, address, created, expires, state, principal, \
             session, demand, raises FROM device_grants WHERE device_code = ?1",
            [&fingerprint.0],
            read_grant,
        )?;
        let Some(found) = found else { return Ok(false) };
        if found.org != self.org || found.client != self.client {
            let subject = RefusedSubject { client: Some(found.client), ..RefusedSubject::org(found.org) };
            refuse(tx, &subject, "token_of_other_client")?;
            return Ok(false);
        }
        // A poll that is held open for it need not wait any longer.
        tx.announce(News::Answered(found.id));
        match found.state {
            // As little on record as its beginning is, and nothing left that a person could still say yes to.
            DeviceState::Waiting => {
                Ok(tx.db().run("DELETE FROM device_grants WHERE id = ?1", [found.id.bytes()])? == 1)
            }
            DeviceState::Denied { .. } => Ok(false),
            DeviceState::Approved { by } => {
                tx.acts(Actor::Principal(by));
                // The device code's name as a credential is its grant's own id.
                let credential = CredentialId::from_bytes(*found.id.bytes());
                let detail =
                    Detail::new().with(Key::AXIS, "credential").with(Key::REASON, Why::SignedOut.text());
                let entry = Entry {
                    org: Some(found.org),
                    principal: Some(by),
                    client: Some(found.client),
                    credential: Some(credential),
                    detail: detail.with(Key::GRANT, found.id.to_string()),
                    ..tx.entry(Event::Cut)
                };
                let made = cut_recording(tx, Target::Credential(credential), Why::SignedOut, entry)?;
                Ok(matches!(made, CutMade::Cut(_)))
            }
            // What it raised was there before it, and goes on.
            DeviceState::Spent { .. } if found.raises.is_some() => Ok(false),
            DeviceState::Spent { session, .. } => match load(tx.db(), session)? {
                Some(loaded) => sign_out(tx, &loaded.session),
                None => Ok(false),
            },
        }
    }
}

fn sign_out(tx: &mut Tx<'_>, session: &Session) -> Result<bool, StoreError> {
    tx.acts(Actor::Principal(session.principal));
    let detail = Detail::new().with(Key::AXIS, "session").with(Key::REASON, Why::SignedOut.text());
    let entry = Entry { detail, ..about(tx, Event::Cut, session) };
    let made = cut_recording(tx, Target::Session(session.id), Why::SignedOut, entry)?;
    Ok(matches!(made, CutMade::Cut(_)))
}
