//! The device grant's polls (RFC 8628, sections 3.4 and 3.5), and polls that are held open (RFC 7240, section 4.3).
//!
//! 1. A poll is one change in the store: it measures the pace, and redeems the code if the person has answered.
//! 2. A client that sends `Prefer: wait=N` has a pending poll held until there is an answer, N seconds are over, or
//!    [`lifetimes::DEVICE_POLL_HOLD`] is. One held poll a code, and so many in all; beyond that it is not held.
//! 3. The store's word that something was answered is only a hint: what counts is the next poll's outcome.

use std::collections::HashSet;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use hallpass_model::id::GrantId;
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes;
use hallpass_model::secret::Secret;
use hallpass_model::session::{ProofOfKey, Refusal};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::PreferWait;
use hallpass_store::{PollDevice, Polled, Wanted};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{Answer, PREFERENCE_APPLIED, open, refresh_tokens, wanted_at_opening};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::out_of_grant;
use crate::{Issuer, limits};

/// Polls once, or until somebody answered.
pub(super) async fn redeem(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let code = asked.form.required("device_code")?;
    let wanted = wanted_at_opening(asked)?;
    caller.use_up(asked).await?;
    let hold = hold(asked, code);
    let applied = hold.as_ref().map(|hold| hold.wait.to_string());
    // Subscribed before the first look, so that no answer falls between the two.
    let mut answers = asked.issuer.store.device_answers();
    let mut poll = Poll { asked, caller, proof, wanted, held: false };
    let polled = loop {
        match (poll.once(code).await?, &hold) {
            (Polled::Pending { grant, .. }, Some(hold)) => {
                if !hold.until_answered(grant, &mut answers, &asked.issuer).await {
                    break Err(pending());
                }
                poll.held = true;
            }
            (Polled::Opened(opened), _) => break Ok(open(asked, caller, *opened)),
            (other, _) => {
                if matches!(other, Polled::Refused(Refusal::Unknown)) {
                    asked.issuer.store.count_stranger("unknown device code");
                }
                break Err(refused(other));
            }
        }
    };
    match (polled, applied) {
        (Ok(tokens), preference_applied) => Ok(Answer { tokens, preference_applied }),
        (Err(error), Some(applied)) => Err(error.header(PREFERENCE_APPLIED, applied)),
        (Err(error), None) => Err(error),
    }
}

struct Poll<'a> {
    asked: &'a Asked,
    caller: &'a ClientCaller,
    proof: Option<ProofOfKey>,
    wanted: Wanted,
    held: bool,
}

impl Poll<'_> {
    async fn once(&self, code: &str) -> Result<Polled, OAuthError> {
        let (issuer, held) = (&self.asked.issuer, self.held);
        let poll = PollDevice {
            device_code: Secret::from_text(code.to_owned()),
            org: self.asked.org.id(),
            client: self.caller.client.id,
            proof: self.proof,
            held,
            refresh: refresh_tokens(self.asked, self.caller),
            wanted: self.wanted.clone(),
            address: self.asked.address_text(),
        };
        let now = if held { issuer.clock.now() } else { self.asked.now };
        Ok(issuer.store.change(Actor::Nobody, now, poll).await?)
    }
}

fn pending() -> OAuthError {
    OAuthError::new(ErrorCode::AuthorizationPending, "nobody has answered yet; poll again after the interval")
}

fn refused(polled: Polled) -> OAuthError {
    match polled {
        Polled::SlowDown { .. } => OAuthError::new(
            ErrorCode::SlowDown,
            "polled too soon; wait five seconds longer between polls from now on",
        ),
        Polled::Denied => OAuthError::new(ErrorCode::AccessDenied, "the person said no"),
        Polled::Expired => OAuthError::new(ErrorCode::ExpiredToken, "the device code is over; start again"),
        // SECURITY: one sentence for every other reason; the ledger knows which it was.
        Polled::Refused(refusal) => OAuthError::invalid_grant(
            "the device code is not valid for this client and key, or was used; start again",
        )
        .because(refusal),
        Polled::NotRaised(why) => OAuthError::invalid_grant(
            "the session that this was to raise is over, or may not be raised so; log in anew",
        )
        .because(why),
        Polled::OutOfGrant(why) => out_of_grant(why),
        Polled::Pending { .. } | Polled::Opened(_) => pending(),
    }
}

/// A poll that may be held, if the client asked for it and there is room.
fn hold<'a>(asked: &'a Asked, code: &str) -> Option<Hold<'a>> {
    let prefer = asked.headers.get_all("prefer").iter();
    let wanted = prefer.filter_map(|value| value.to_str().ok()).find_map(PreferWait::parse)?;
    let wait = wanted.0.min(lifetimes::DEVICE_POLL_HOLD);
    let hash = digest(&SHA256, code.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes");
    let place = asked.issuer.held_polls.enter(hash)?;
    Some(Hold { wait: PreferWait(wait), until: Instant::now() + wait.to_std(), _place: place })
}

struct Hold<'a> {
    wait: PreferWait,
    until: Instant,
    _place: Place<'a>,
}

impl Hold<'_> {
    /// Waits for the store's word that this device login was answered. `false` when there is no more time.
    async fn until_answered(
        &self,
        grant: GrantId,
        answers: &mut broadcast::Receiver<GrantId>,
        issuer: &Issuer,
    ) -> bool {
        loop {
            let answered = tokio::select! {
                () = tokio::time::sleep_until(self.until) => return false,
                () = issuer.stopped() => return false,
                answered = answers.recv() => answered,
            };
            match answered {
                Ok(answered) if answered != grant => {}
                // Ours; or some were missed, and ours may be among them.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return true,
                Err(broadcast::error::RecvError::Closed) => return false,
            }
        }
    }
}

/// Codes whose poll is being held, by hash.
#[derive(Default)]
pub(crate) struct HeldPolls(Mutex<HashSet<[u8; 32]>>);

impl HeldPolls {
    /// How many are being held.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).len()
    }

    /// `None` if this code's poll is being held already, or there is no room.
    fn enter(&self, code: [u8; 32]) -> Option<Place<'_>> {
        let mut held = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let entered = held.len() < limits::HELD_POLLS_MAX && held.insert(code);
        // Made only if entered: a place that is dropped gives the code's own up.
        entered.then(|| Place { polls: self, code })
    }
}

/// A place among the held polls, given up however the poll ends.
struct Place<'a> {
    polls: &'a HeldPolls,
    code: [u8; 32],
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.polls.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&self.code);
    }
}
