//! Many processes renew one sign-in for as long as it is wanted, while the proxy loses, holds, doubles and kills.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::{Severity, below};
use super::home::Home;
use super::proxy::{Door, Tally};
use super::stage::Stage;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Every so many processes is one `hallpass token`, which ends after one renewal; the others go on for a while.
const ONCE_EVERY: usize = 4;
/// As long as those go on, in renewals.
const TURNS_AT_MOST: u64 = 60;
/// How often it is said how far it is, where a line can be written over and where not.
const SAY_EVERY: Duration = Duration::from_secs(1);
const SAY_EVERY_LINE: Duration = Duration::from_secs(15);
/// A process that could not renew waits this long: the next thing it hears would be the same.
const PAUSE: Duration = Duration::from_millis(5);

/// What is wanted.
pub(super) struct Plan {
    /// Where each process finds the sign-in.
    pub(super) homes: Vec<Home>,
    /// When it is enough.
    pub(super) length: Duration,
    /// How many renewals are enough.
    pub(super) refreshes: Option<u64>,
    pub(super) severity: Severity,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Storm {
    pub(super) tally: Tally,
    pub(super) seconds: f64,
    /// How the processes' renewals ended: their codes, and how often.
    pub(super) codes: BTreeMap<u8, u64>,
    /// What is not as it should be, in words.
    pub(super) wrong: Vec<String>,
    /// Sign-ins after the first.
    pub(super) signed_in_again: u64,
}

/// What the processes share.
struct Shared {
    stage: Arc<Stage>,
    door: Arc<Door>,
    home: Home,
    plan: Plan,
    until: Instant,
    over: AtomicBool,
    /// How often somebody signed in. Taken while somebody does.
    signing_in: Mutex<()>,
    sign_ins: AtomicU64,
    codes: std::sync::Mutex<BTreeMap<u8, u64>>,
    wrong: std::sync::Mutex<Vec<String>>,
}

/// Has them renew until it is enough. `door` is for what is done beside them.
pub(super) async fn storm(
    stage: &Arc<Stage>,
    door: &Arc<Door>,
    plan: Plan,
    out: &mut Output,
) -> Result<Storm, Failure> {
    let start = Instant::now();
    let shared = Arc::new(Shared {
        stage: stage.clone(),
        door: door.clone(),
        home: plan.homes.first().expect("there is one process at least").clone(),
        until: start + plan.length,
        plan,
        over: AtomicBool::new(false),
        signing_in: Mutex::default(),
        sign_ins: AtomicU64::new(0),
        codes: std::sync::Mutex::default(),
        wrong: std::sync::Mutex::default(),
    });
    stage.proxy.take_tally();
    stage.proxy.set(shared.plan.severity);
    let mut processes = JoinSet::new();
    for (number, home) in shared.plan.homes.iter().enumerate() {
        let (shared, home) = (shared.clone(), home.clone());
        let door = stage.proxy.open(door.sign_in()).await?;
        processes.spawn(async move { shared.one_process(number, &home, &door).await });
    }
    let mut say = tokio::time::interval(if out.redraws() { SAY_EVERY } else { SAY_EVERY_LINE });
    say.tick().await;
    let ended = loop {
        tokio::select! {
            ended = processes.join_next() => match ended {
                None => break Ok(()),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => break Err(failure),
                Some(Err(stopped)) => std::panic::resume_unwind(stopped.into_panic()),
            },
            _ = say.tick() => shared.say(start, out),
        }
    };
    out.clear_line();
    stage.proxy.set(Severity::Calm);
    ended?;
    let tally = stage.proxy.take_tally();
    shared.look_afterwards().await?;
    let take = |list: &std::sync::Mutex<Vec<String>>| std::mem::take(&mut *list.lock().expect("no panic"));
    Ok(Storm {
        tally,
        seconds: start.elapsed().as_secs_f64(),
        codes: shared.codes.lock().expect("no thread panics holding this").clone(),
        wrong: take(&shared.wrong),
        signed_in_again: shared.sign_ins.load(Ordering::Relaxed),
    })
}

impl Shared {
    /// Process after process in one place.
    async fn one_process(&self, number: usize, home: &Home, door: &Arc<Door>) -> Result<(), Failure> {
        while !self.enough() {
            let before = self.sign_ins.load(Ordering::Acquire);
            let ended = match number % ONCE_EVERY {
                0 => {
                    let code = home.token(door).await?.code;
                    self.count(code);
                    code == Some(Exit::SIGN_IN.code())
                }
                _ => self.turns(home, door).await?,
            };
            if ended {
                self.sign_in_again(before).await?;
            }
        }
        Ok(())
    }

    /// One process of many renewals. Whether it was told to sign in.
    async fn turns(&self, home: &Home, door: &Arc<Door>) -> Result<bool, Failure> {
        let mut turns = home.turns(door)?;
        let mut left = 1 + below(TURNS_AT_MOST);
        let mut ended = false;
        while left > 0 && !ended && !self.enough() {
            let Some(code) = turns.turn().await else { break };
            self.count(Some(code));
            ended = code == Exit::SIGN_IN.code();
            if code != Exit::DONE.code() {
                tokio::time::sleep(PAUSE).await;
            }
            left -= 1;
        }
        turns.end().await;
        Ok(ended)
    }

    /// The sign-in is over, says a process: what there is of it is looked at, and somebody signs in again, once.
    async fn sign_in_again(&self, before: u64) -> Result<(), Failure> {
        let _signing_in = self.signing_in.lock().await;
        if self.sign_ins.load(Ordering::Acquire) > before || self.enough() {
            return Ok(());
        }
        self.look_at_what_ended().await?;
        if !self.stage.signs_in_by_itself() {
            self.over.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.stage.sign_in(&self.home, &self.door).await?;
        self.sign_ins.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A sign-in that is over is still there, and says what to do.
    async fn look_at_what_ended(&self) -> Result<(), Failure> {
        if self.home.records().is_empty() {
            self.wrong("a record was wiped though nobody signed out");
        }
        let said = self.home.run(&self.door, &["token"]).await?;
        if !said.says_to_sign_in() {
            self.wrong(&format!("it was over, and that was not said: {}", said.told()));
        }
        Ok(())
    }

    /// After the last process: it can still be renewed, unless a lost answer ended it at the very last.
    async fn look_afterwards(&self) -> Result<(), Failure> {
        let said = self.home.token(&self.door).await?;
        if said.done() {
            return Ok(());
        }
        self.look_at_what_ended().await?;
        if said.code == Some(Exit::SIGN_IN.code()) && self.stage.signs_in_by_itself() {
            return self.stage.sign_in(&self.home, &self.door).await;
        }
        self.wrong(&format!("afterwards it cannot be renewed: {}", said.told()));
        Ok(())
    }

    fn enough(&self) -> bool {
        let renewed = || self.plan.refreshes.is_some_and(|most| self.stage.proxy.tally().refreshes >= most);
        self.over.load(Ordering::Relaxed) || Instant::now() >= self.until || renewed()
    }

    fn count(&self, code: Option<u8>) {
        if let Some(code) = code {
            *self.codes.lock().expect("no thread panics holding this").entry(code).or_default() += 1;
        }
    }

    fn wrong(&self, what: &str) {
        self.wrong.lock().expect("no thread panics holding this").push(what.to_owned());
    }

    fn say(&self, start: Instant, out: &mut Output) {
        let Tally { refreshes, kills, excused, unexcused, .. } = self.stage.proxy.tally();
        let seconds = start.elapsed().as_secs();
        let mut line = format!("{seconds} s: {refreshes} renewals, {kills} kills, {unexcused} sign-ins lost");
        // By a provider that forgives no lost answer; what was to be expected is not what is looked for.
        if excused > 0 {
            line += &format!(", {excused} ended by a lost answer");
        }
        match out.redraws() {
            true => out.redraw(line),
            false => out.say(line),
        }
    }
}
