//! What is done now and then, whoever asks: runs that were lost are cut, and what is over is tidied away.

use std::time::Duration;

use hallpass_model::cut::Why;
use hallpass_model::id::{OrgId, SessionId};
use hallpass_model::jose::{Algorithm, SigningKey};
use hallpass_model::ledger::Actor;
use hallpass_model::secret::Secret;
use hallpass_model::time::{Lifetime, Steady};
use hallpass_store::{
    AdvanceSigningKeys, AwaitAllRuns, EndLease, RotateSigningKey, SigningKeyRotated, SigningKeyRow,
    StoreError, Sweep, WhyRotated,
};

use crate::Issuer;

/// How often lost runs are looked for: a tenth of the time they have to come back.
const LOOK_AT_RUNS: Duration = Duration::from_secs(1);
/// After how many of those the store is swept: nothing waits for it.
const SWEEP_EVERY: u32 = 60;
/// How long one sweep may go on. It takes its turn among the refreshes piece by piece, and is a small part of the minute;
/// in this time it looks at some hundred thousand sessions.
const SWEEP_MAX: Lifetime = Lifetime::seconds(5);

/// Runs until the issuer is told to stop.
pub(crate) async fn now_and_then(issuer: Issuer) {
    let mut tick = tokio::time::interval(LOOK_AT_RUNS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut ticks, mut sweeper) = (0u32, Sweeper::new(&issuer));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = issuer.stopped() => return,
        }
        if let Err(error) = issuer.cut_lost_runs().await {
            tracing::warn!(%error, "lost runs could not be cut; trying again");
        }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(SWEEP_EVERY) {
            issuer.write_key_uses().await;
        }
        if ticks.is_multiple_of(SWEEP_EVERY)
            && let Err(error) = issuer.advance_signing_keys().await
        {
            tracing::warn!(%error, "signing keys could not be changed; trying again");
        }
        if ticks.is_multiple_of(SWEEP_EVERY)
            && let Err(error) = issuer.sweep(&mut sweeper).await
        {
            tracing::warn!(%error, "what is over could not be tidied away; trying again");
        }
    }
}

/// What one sweep leaves to the next: how far it came, and what it has seen of the clock.
#[derive(Debug)]
pub struct Sweeper {
    after: Option<SessionId>,
    steady: Steady,
}

impl Sweeper {
    /// One that has seen nothing but the time.
    pub fn new(issuer: &Issuer) -> Self {
        let mut steady = Steady::default();
        steady.look(issuer.clock.now(), issuer.clock.ticked());
        Self { after: None, steady }
    }
}

impl Issuer {
    /// Before anybody can connect: every run from before the start has as long to come back as one that just dropped.
    ///
    /// Where that cannot be noted, as on a full disk, those that do not come back live on to the end of their passes,
    /// which is minutes away.
    pub(crate) async fn await_runs(&self) {
        if let Err(error) = self.store.change(Actor::System, self.clock.now(), AwaitAllRuns).await {
            tracing::error!(%error, "the runs from before the start are not awaited");
        }
    }

    /// Cuts the pass of every run that did not come (back) in time.
    pub async fn cut_lost_runs(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for lease in self.store.lost_runs(now).await? {
            self.store.change(Actor::System, now, EndLease { lease, why: Why::RunLost }).await?;
        }
        Ok(())
    }

    /// Has orgs sign with the key whose turn it is, takes away what signed its last long ago, and makes the next where one has
    /// signed long enough.
    pub async fn advance_signing_keys(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for org in self.store.change(Actor::System, now, AdvanceSigningKeys).await? {
            self.rotate_signing_key(Actor::System, org, WhyRotated::Scheduled, None).await?;
        }
        Ok(())
    }

    /// Makes an org another key to sign with: of this algorithm, or of the one that it signs by now.
    pub async fn rotate_signing_key(
        &self,
        actor: Actor,
        org: OrgId,
        why: WhyRotated,
        algorithm: Option<Algorithm>,
    ) -> Result<SigningKeyRotated, StoreError> {
        let algorithm = match algorithm {
            Some(algorithm) => algorithm,
            None => {
                let kept = self.store.list_signing_keys(org, self.clock.now()).await?;
                let signs = kept.iter().find(|key| key.retired.is_none());
                let signs = signs.and_then(|key| SigningKey::from_pkcs8(key.pkcs8.expose()).ok());
                signs.map_or(Algorithm::Es256, |key| key.algorithm())
            }
        };
        let key = match algorithm {
            Algorithm::EdDsa => SigningKey::generate_ed25519(),
            _ => SigningKey::generate(),
        };
        let pkcs8 = Secret::new(key.to_pkcs8().to_vec());
        let key = SigningKeyRow { kid: key.kid().to_owned(), pkcs8 };
        self.store.change(actor, self.clock.now(), RotateSigningKey { org, key, why }).await
    }

    /// Writes down how API keys were used since it was last written. What cannot be written stays counted.
    pub(crate) async fn write_key_uses(&self) {
        if let Err(error) = self.store.write_key_uses(self.clock.now()).await {
            tracing::warn!(%error, "how API keys were used could not be written down; trying again");
        }
    }

    /// Tidies away what is over, on from where the last sweep ended, until nothing is left to or the time is up.
    pub async fn sweep(&self, sweeper: &mut Sweeper) -> Result<(), StoreError> {
        let began = self.clock.ticked();
        loop {
            let (now, ticked) = (self.clock.now(), self.clock.ticked());
            let steady = sweeper.steady.look(now, ticked);
            let sweep = Sweep { after: sweeper.after, steady };
            let swept = self.store.change(Actor::System, now, sweep).await?;
            sweeper.after = swept.after;
            if !swept.more || ticked >= began + SWEEP_MAX || self.is_stopping() {
                return Ok(());
            }
        }
    }
}
