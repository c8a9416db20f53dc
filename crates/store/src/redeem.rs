//! Refresh: the hot path. The rule is the model's ([`Session::redeem`]); here it is asked, and carried out.

use hallpass_model::cut::{Stamp, Target, Why};
use hallpass_model::device::DeviceClass;
use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::ledger::{Detail, Entry, Event, Field, Key};
use hallpass_model::rung::{Rung, Rungs};
use hallpass_model::session::{
    ProofOfKey, Redemption, RefreshToken, Refusal, Replay, Rotation, Session, SessionKey, Signal, Verdict,
};
use hallpass_model::wire::oauth::Scopes;

use crate::change::{Change, Tx};
use crate::cuts::cut_recording;
use crate::error::StoreError;
use crate::reach::{OutOfGrant, Reached, Wanted, reach};
use crate::refusals::refuse;
use crate::sessions::{Loaded, Opened, about, is_session_dead, load};
use crate::sql::Sql;
use crate::step_up::Proved;

/// Trades a refresh token for its successor and what an access token says.
#[derive(Debug)]
pub struct Redeem {
    /// The token, as parsed; its MAC is checked here.
    pub token: RefreshToken,
    /// The org at whose endpoint it was presented.
    pub org: OrgId,
    /// The client that presented it.
    pub client: ClientId,
    /// The DPoP proof that came with it, if one did and it was valid.
    pub proof: Option<ProofOfKey>,
    /// A short hash of the network it came from.
    pub from: Option<u32>,
    /// The address it came from, kept beside the record when the network is another than last time.
    pub address: Option<String>,
    /// What the access token is for.
    pub wanted: Wanted,
    /// Where the session's key rests, as its holder says now.
    pub rung: Option<Rung>,
    /// What sort of machine it is, likewise.
    pub class: Option<DeviceClass>,
}

/// What a refresh came to.
#[derive(Debug)]
pub enum Redeemed {
    /// The successor.
    Next(Opened),
    /// The same successor as before: an answer was lost, or two asked at once.
    Again(Opened, Option<Signal>),
    /// Nothing; nothing changed.
    Refused(Refusal),
    /// Not for that resource or scope; nothing changed.
    OutOfGrant(OutOfGrant),
    /// Its key rests where its org allows none to; nothing changed. Those it allows.
    RungNotAllowed(Rungs),
    /// The session is over, because of this very request.
    Ended(Why),
}

impl Change for Redeem {
    type Outcome = Redeemed;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        // SECURITY: nothing is recorded or changed for a token that is not authentic; anybody can name a session.
        let Some(loaded) = load(tx.db(), self.token.session())? else {
            return Ok(Redeemed::Refused(Refusal::Unknown));
        };
        let key = loaded.key(tx.keys())?;
        let Ok(token) = self.token.authenticate(&key) else { return Ok(Redeemed::Refused(Refusal::Unknown)) };
        let session = &loaded.session;
        tx.acts(hallpass_model::ledger::Actor::Principal(session.principal));

        let asked = Redemption {
            token,
            org: self.org,
            client: self.client,
            proof: self.proof,
            from: self.from,
            after_restore: session.stamp <= tx.core.adopt_upto,
        };
        if let Some(refusal) = stands(tx, &loaded, &asked)? {
            return refused(tx, session, refusal);
        }
        let verdict = session.redeem(&asked, tx.now);
        match verdict {
            Verdict::Refused(refusal) => return refused(tx, session, refusal),
            Verdict::Replay(replay) => return replayed(tx, session, replay, token.generation()),
            Verdict::RetryTooLate => return too_late(tx, session, token.generation()),
            Verdict::Next(_) | Verdict::Again(..) | Verdict::Adopted(_) => {}
        }
        if let Some(rungs) = loaded.limits.rungs.filter(|_| loaded.on_a_machine)
            && !self.rung.is_some_and(|rung| rungs.has(rung))
        {
            refuse(tx, &about(tx, Event::Denied, session).into(), "rung")?;
            return Ok(Redeemed::RungNotAllowed(rungs));
        }
        let (reached, scopes) = match reach(
            tx.db(),
            session.org,
            &session.grant.scopes,
            &session.grant.resources,
            &self.wanted,
            Proved::by(session, tx.now),
        )? {
            Ok(within) => within,
            Err(why) => {
                refuse(tx, &about(tx, Event::Denied, session).into(), why.rule())?;
                return Ok(Redeemed::OutOfGrant(why));
            }
        };
        let (rotation, event, signal) = match verdict {
            Verdict::Next(rotation) => (rotation, Event::Refreshed, None),
            Verdict::Adopted(rotation) => (rotation, Event::Adopted, None),
            Verdict::Again(rotation, signal) => (rotation, Event::Retried, signal),
            Verdict::Refused(_) | Verdict::Replay(_) | Verdict::RetryTooLate => {
                unreachable!("answered above")
            }
        };
        let turn = Turn { rotation, event, signal, reached, scopes, generation: token.generation() };
        let opened = advance(tx, loaded, &key, self, turn)?;
        Ok(match event {
            Event::Retried => Redeemed::Again(opened, signal),
            _ => Redeemed::Next(opened),
        })
    }
}

/// What the rule allowed, to be carried out.
struct Turn {
    rotation: Rotation,
    event: Event,
    signal: Option<Signal>,
    reached: Reached,
    scopes: Scopes,
    generation: u64,
}

/// Cuts and standings, which the rule does not know. Nobody but its own client at its own org learns of them.
fn stands(tx: &Tx<'_>, loaded: &Loaded, asked: &Redemption) -> Result<Option<Refusal>, StoreError> {
    let session = &loaded.session;
    if asked.org != session.org || asked.client != session.client {
        return Ok(None);
    }
    if let Some(why) = is_session_dead(tx.db(), session)? {
        return Ok(Some(Refusal::Cut(why)));
    }
    Ok((!loaded.in_use).then_some(Refusal::Disabled))
}

fn advance(
    tx: &mut Tx<'_>,
    loaded: Loaded,
    key: &SessionKey,
    redeem: Redeem,
    turn: Turn,
) -> Result<Opened, StoreError> {
    let Loaded { mut session, limits, .. } = loaded;
    let before = session.rotation.from;
    let rotation = turn.rotation;
    session.rotation = rotation;
    // A clock that jumped back takes no time away.
    session.idle_until = session.idle_until_after(tx.now, limits.session_idle()).max(session.idle_until);
    tx.db().run(
        "UPDATE sessions SET newest = ?2, since = ?3, retries = ?4, network = ?5, alternations = ?6, idle_until = ?7, \
         seen = max(seen, ?8), rung = coalesce(?9, rung), class = coalesce(?10, class) WHERE id = ?1",
        (
            session.id.bytes(),
            rotation.newest as i64,
            rotation.since.millis(),
            rotation.retries,
            rotation.from,
            rotation.alternations,
            session.idle_until.millis(),
            tx.now.millis(),
            redeem.rung.map(Rung::text),
            redeem.class.map(|class| class.to_string()),
        ),
    )?;
    let stamp: Stamp = tx.issue_stamp();
    let credential = CredentialId::new(tx.now, tx.entropy());
    let mut detail = Detail::new().with(Key::GENERATION, turn.generation as i64);
    if let Some(signal) = turn.signal {
        detail = detail.with(Key::REASON, signal_word(signal));
    }
    let entry = Entry {
        credential: Some(credential),
        resource: turn.reached.resource(),
        detail,
        ..about(tx, turn.event, &session)
    };
    match redeem.address.filter(|_| redeem.from != before) {
        Some(address) => tx.record_personal(entry, &[(Field::Address, &address)]),
        None => tx.record(entry),
    }
    Ok(Opened {
        raised: false,
        refresh_token: Some(RefreshToken::render(key, session.id, rotation.newest)),
        credential,
        stamp,
        reached: turn.reached,
        scopes: turn.scopes,
        expires: (tx.now + limits.access_token(redeem.wanted.lifetime)).min(session.expires),
        nonce: None,
        session,
    })
}

fn refused(tx: &mut Tx<'_>, session: &Session, refusal: Refusal) -> Result<Redeemed, StoreError> {
    refuse(tx, &about(tx, Event::Denied, session).into(), rule(refusal))?;
    Ok(Redeemed::Refused(refusal))
}

fn replayed(
    tx: &mut Tx<'_>,
    session: &Session,
    replay: Replay,
    generation: u64,
) -> Result<Redeemed, StoreError> {
    let reason = match replay {
        Replay::OldGeneration => "old_generation",
        Replay::OtherKey => "other_key",
    };
    let detail = Detail::new().with(Key::REASON, reason).with(Key::GENERATION, generation as i64);
    let entry = Entry { detail, ..about(tx, Event::Reused, session) };
    cut_recording(tx, Target::Session(session.id), Why::Reuse, entry)?;
    Ok(Redeemed::Ended(Why::Reuse))
}

fn too_late(tx: &mut Tx<'_>, session: &Session, generation: u64) -> Result<Redeemed, StoreError> {
    let detail = Detail::new()
        .with(Key::AXIS, "session")
        .with(Key::REASON, Why::RetryTooLate.text())
        .with(Key::GENERATION, generation as i64);
    let entry = Entry { detail, ..about(tx, Event::Cut, session) };
    cut_recording(tx, Target::Session(session.id), Why::RetryTooLate, entry)?;
    Ok(Redeemed::Ended(Why::RetryTooLate))
}

fn signal_word(signal: Signal) -> &'static str {
    match signal {
        Signal::ManyRetries => "many_retries",
        Signal::AlternatingNetworks => "alternating_networks",
    }
}

/// The word a refusal is recorded under.
pub(crate) fn rule(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::OtherOrg => "other_org",
        Refusal::OtherClient => "other_client",
        Refusal::ProofMissing => "proof_missing",
        Refusal::Overtaken => "overtaken",
        Refusal::Ahead => "ahead",
        Refusal::Idle => "idle",
        Refusal::Expired => "expired",
        Refusal::Cut(_) => "cut",
        Refusal::Disabled => "disabled",
    }
}
