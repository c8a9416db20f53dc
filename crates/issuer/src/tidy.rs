//! What is done now and then, whoever asks: runs that were lost are cut, and what is over is tidied away.

use std::time::Duration;

use hallpass_model::cut::Why;
use hallpass_model::id::SessionId;
use hallpass_model::ledger::Actor;
use hallpass_store::{EndLease, LeaseDropped, LeaseState, StoreError, Sweep};

use crate::Issuer;

/// How often lost runs are looked for: a tenth of the time they have to come back.
const LOOK_AT_RUNS: Duration = Duration::from_secs(1);
/// After how many of those the store is swept: nothing waits for it.
const SWEEP_EVERY: u32 = 60;

/// Runs until the issuer is told to stop.
pub(crate) async fn now_and_then(issuer: Issuer) {
    if let Err(error) = issuer.await_runs().await {
        tracing::error!(%error, "the runs from before the start could not be read");
    }
    let mut tick = tokio::time::interval(LOOK_AT_RUNS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut ticks, mut after) = (0u32, None);
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
            match issuer.sweep(after).await {
                Ok(next) => after = next,
                Err(error) => tracing::warn!(%error, "what is over could not be tidied away; trying again"),
            }
        }
    }
}

impl Issuer {
    /// When the issuer starts: every run from before has the same time to come back as one whose connection dropped.
    async fn await_runs(&self) -> Result<(), StoreError> {
        for lease in self.store.open_leases().await? {
            let dropped = LeaseDropped { lease: lease.id, connection: None };
            self.store.change(Actor::System, self.clock.now(), dropped).await?;
        }
        Ok(())
    }

    /// Cuts the pass of every run that did not come (back) in time.
    pub async fn cut_lost_runs(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for lease in self.store.open_leases().await? {
            let lost = matches!(lease.state, LeaseState::Awaited { until } if now >= until);
            if lost {
                self.store
                    .change(Actor::System, now, EndLease { lease: lease.id, why: Why::RunLost })
                    .await?;
            }
        }
        Ok(())
    }

    /// Tidies away what is over, from where the last pass ended; says where the next one goes on.
    pub async fn sweep(&self, after: Option<SessionId>) -> Result<Option<SessionId>, StoreError> {
        let mut sweep = Sweep { after };
        loop {
            let swept = self.store.change(Actor::System, self.clock.now(), sweep).await?;
            sweep.after = swept.after;
            if !swept.more || self.is_stopping() {
                return Ok(swept.after);
            }
        }
    }
}
