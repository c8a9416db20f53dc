//! Holders that crash, race and lose answers, and thieves, over the real store: no order of things logs a legitimate
//! holder out, and every replay cuts.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use hallpass_model::cut::Why;
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::Actor;
use hallpass_model::time::Lifetime;
use hallpass_store::{Redeemed, StorePlace};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::world::{World, key, open, token};

/// What may happen between two refreshes that matter.
#[derive(Debug, Clone)]
enum Step {
    /// The holder refreshes and saves what it is given.
    Refresh,
    /// The store makes it durable; the answer never arrives, and the holder keeps what it saved before.
    AnswerLost,
    /// The holder dies while it waits: its request may or may not have been taken.
    HolderDies,
    /// Two processes of the holder ask at once, and the last of them to write saves its answer.
    Race,
    /// The issuer is stopped and started again.
    Restart,
    /// The issuer is killed while it works on a refresh, and nobody gets its answer: somewhere on its way, or when it
    /// was committed and not answered. What it finds when it starts again is what was on the disk at that instant.
    Killed {
        /// Whether it was committed.
        committed: bool,
    },
    /// Time passes.
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Refresh),
        3 => Just(Step::AnswerLost),
        2 => Just(Step::HolderDies),
        2 => Just(Step::Race),
        1 => Just(Step::Restart),
        2 => any::<bool>().prop_map(|committed| Step::Killed { committed }),
        2 => (0u32..5_000).prop_map(Step::Wait),
    ]
}

/// A holder, its key if it has one, and the last token it saved.
struct Holder {
    world: World,
    key: Option<Thumbprint>,
    saved: String,
    /// How many tokens it has saved, its first one included: what a thief may have copied on the way.
    seen: Vec<String>,
}

impl Holder {
    async fn new(key: Option<Thumbprint>) -> Self {
        let world = World::new().await;
        let saved = token(&world.log_in(key).await);
        Self { world, key, seen: vec![saved.clone()], saved }
    }

    /// Refreshes with what is saved; the answer, or what it was refused for.
    async fn ask(&self) -> Result<String, String> {
        match self.world.refresh(&self.saved, self.key).await {
            Redeemed::Next(opened) | Redeemed::Again(opened, _) => Ok(token(&opened)),
            refused => Err(format!("{refused:?}")),
        }
    }

    fn save(&mut self, answer: String) {
        if answer != self.saved {
            self.seen.push(answer.clone());
            self.saved = answer;
        }
    }

    async fn step(mut self, step: &Step) -> Result<Self, String> {
        match step {
            Step::Refresh => {
                let answer = self.ask().await?;
                self.save(answer);
            }
            Step::AnswerLost => drop(self.ask().await?),
            Step::HolderDies => {
                let (store, now, redeem) =
                    (self.world.store.clone(), self.world.now, self.world.redeem(&self.saved, self.key));
                let asking = tokio::spawn(async move { store.change(Actor::Nobody, now, redeem).await });
                tokio::task::yield_now().await;
                asking.abort();
                // The store must be let go of before it can be opened again.
                let _died = asking.await;
            }
            Step::Race => {
                let (one, two) = tokio::join!(self.ask(), self.ask());
                let (one, two) = (one?, two?);
                if one != two {
                    return Err("two successors of one token".into());
                }
                self.save(two);
            }
            Step::Restart => {
                let place = StorePlace::new(self.world.folder.path().join("data"));
                drop(self.world.store);
                self.world.store = open(place).map_err(|error| error.to_string())?;
            }
            Step::Killed { committed } => {
                let mut ledger = self.world.store.ledger_follow();
                let (store, now, redeem) =
                    (self.world.store.clone(), self.world.now, self.world.redeem(&self.saved, self.key));
                let asking = tokio::spawn(async move { store.change(Actor::Nobody, now, redeem).await });
                tokio::task::yield_now().await;
                if *committed {
                    // It is said before whoever asked is answered.
                    ledger.changed().await.map_err(|error| error.to_string())?;
                }
                let folder = as_on_disk(&self.world.folder.path().join("data"));
                asking.abort();
                let _killed = asking.await;
                let place = StorePlace::new(folder.path().join("data"));
                self.world.store = open(place).map_err(|error| error.to_string())?;
                self.world.folder = folder;
            }
            Step::Wait(millis) => self.world.wait(Lifetime::millis(*millis)),
        }
        Ok(self)
    }
}

/// A copy of what is on the disk now, whatever is being written to it. The log is only ever added to until it is copied
/// into the database, which takes more than a test writes, so that this is the disk as a kill at this instant leaves it.
fn as_on_disk(data: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&to).unwrap();
    std::fs::copy(data.join("hallpass.db"), to.join("hallpass.db")).unwrap();
    // After a clean stop there is none until something is written.
    let log = "hallpass.db-wal";
    match std::fs::copy(data.join(log), to.join(log)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    folder
}

/// Lives through the steps; then a thief comes with everything that was copied on the way.
async fn live(key: Option<Thumbprint>, steps: Vec<Step>) -> Result<(), String> {
    let mut holder = Holder::new(key).await;
    for step in &steps {
        holder = holder.step(step).await.map_err(|why| format!("{step:?}: {why}"))?;
    }
    // Two more, so that whatever was ever saved has a successor that was used.
    for _ in 0..2 {
        holder = holder.step(&Step::Refresh).await?;
    }
    holder.world.wait(Lifetime::seconds(2));
    let stolen = &holder.seen[..holder.seen.len() - 2];
    let thief = stolen.get(steps.len() % stolen.len()).ok_or("nothing was saved")?;
    match holder.world.refresh(thief, key).await {
        Redeemed::Ended(Why::Reuse) => {}
        other => return Err(format!("a replay was not seen: {other:?}")),
    }
    match holder.ask().await {
        Err(refused) if refused.contains("Cut") => {}
        other => return Err(format!("the session lives on after a replay: {other:?}")),
    }
    crate::ledger::verify(&holder.world.store).await;
    Ok(())
}

fn run(key: Option<Thumbprint>, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(live(key, steps)).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_legitimate_key_bound_holder_is_logged_out_and_every_replay_cuts(
        steps in proptest::collection::vec(step(), 1..40),
        hours in proptest::collection::vec(0u32..200, 1..4),
    ) {
        // A bound session's retry comes as late as it likes.
        let mut steps = steps;
        for (i, hours) in hours.into_iter().enumerate() {
            steps.insert((i * 7).min(steps.len()), Step::Wait(hours * 3_600_000));
        }
        run(Some(key(1)), steps)?;
    }

    #[test]
    fn no_bearer_that_asks_again_in_time_is_logged_out_and_every_replay_cuts(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        // In time: a lost answer is asked for again before anything else takes its turn.
        let steps = steps.into_iter().flat_map(|step| match step {
            lost @ (Step::AnswerLost | Step::HolderDies | Step::Killed { .. }) => vec![lost, Step::Wait(20_000), Step::Refresh],
            other => vec![other],
        });
        run(None, steps.collect())?;
    }
}
