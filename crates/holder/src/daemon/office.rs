//! What the daemon holds, and its answers.

mod records;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::TokenType;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Offered;
use super::channel::Handed;
use super::conversation::{Answer, Shown, read, render, request};
use super::hand_over::{Coming, NotHanded};
use super::kept::{Kept, Moment, Stamp, Until, steady};
use super::lock::{HeldKey, State};
use super::memory::{self, Locked};
use super::problem::{ANOTHER_STATE, LOCKED, Problem};
use super::program::Program;
use super::server::Serve;
use super::wire::{DaemonStatus, Run, TokenAsked, TokenGiven};
use crate::Holder;
use crate::error::HolderError;
use crate::identity::{Identity, ProfileName};
use crate::pass::{Pass, PassRequest};
use crate::present::Binding;
use crate::vault::RecordKey;
use crate::which::Wanted;

/// How long the end of one sign-in may take when the daemon stops.
const END_TIME_OUT: Duration = Duration::from_secs(5);
/// Sign-ins that the daemon alone holds, at most: more than a person has, and less than fills the memory.
const HELD_MAX: usize = 256;

/// Everything the daemon has. Cheap to clone.
#[derive(Clone)]
pub(super) struct Office(Arc<Inner>);

struct Inner {
    holder: Holder,
    /// The program's version.
    version: String,
    state: Option<PathBuf>,
    started: Timestamp,
    kept: Kept,
    memory: Locked,
    lock: Mutex<State>,
    /// How many wrong passphrases came since the last right one.
    wrong: tokio::sync::Mutex<u32>,
    offered: Offered,
    /// Who listens for the end of which sign-in.
    ears: Mutex<HashMap<Identity, JoinHandle<()>>>,
    /// When somebody last asked for a token.
    asked: Mutex<Duration>,
    /// Sign-ins whose tokens may be over though they say otherwise, or the other way round.
    distrusted: Mutex<HashSet<Identity>>,
    /// One at a time asks an issuer the same question.
    turns: Mutex<HashMap<TokenAsked, Arc<tokio::sync::Mutex<()>>>>,
    stop: watch::Sender<bool>,
    /// What is started where another takes over.
    program: Option<Program>,
    /// Who takes over, once somebody has.
    handing: tokio::sync::Mutex<Option<u32>>,
    /// To the loop that lets people in.
    successors: mpsc::Sender<Coming>,
    /// How many questions wait for that to come to its end.
    waiting: AtomicUsize,
    not_handed: Mutex<Option<NotHanded>>,
    /// Held by whoever does something that nobody asked for, one at a time.
    still: tokio::sync::Mutex<()>,
}

/// A question that waits for the daemon to be handed over, for as long as it does.
pub(super) struct Waits(Office);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Office {
    /// Whose holder asks no daemon itself. With what another had in mind, if this one takes over from it.
    pub(super) fn new(
        serve: Serve,
        successors: mpsc::Sender<Coming>,
        handed: Option<Handed>,
    ) -> Result<Self, HolderError> {
        let Serve { holder, state, version, offered, program, .. } = serve;
        let started = (holder.clock)();
        let kept = Kept::new();
        let inner = Inner {
            holder,
            version,
            state,
            started,
            memory: memory::lock(kept.is_locked()),
            kept,
            lock: Mutex::default(),
            wrong: tokio::sync::Mutex::default(),
            offered,
            ears: Mutex::default(),
            asked: Mutex::new(steady()),
            distrusted: Mutex::default(),
            turns: Mutex::default(),
            stop: watch::Sender::new(false),
            program,
            handing: tokio::sync::Mutex::default(),
            successors,
            waiting: AtomicUsize::new(0),
            not_handed: Mutex::default(),
            still: tokio::sync::Mutex::default(),
        };
        let office = Self(Arc::new(inner));
        if let Some(handed) = handed {
            office.take_over(handed)?;
        }
        Ok(office)
    }

    /// What exists in this memory alone.
    pub(super) fn handed(&self, place: &Path) -> Result<Handed, Problem> {
        let (shelf, lock) = (&self.0.holder.shelf, self.state());
        let (locked, sealing) = match &*lock {
            State::Open => (false, None),
            State::Locked(sealing) => (true, sealing.clone()),
        };
        let mut keys = if locked { Vec::new() } else { self.keys()? };
        let worked_out = shelf.vault().worked_out().into_iter();
        keys.extend(worked_out.map(|(place, key)| HeldKey { place, key: *key }));
        Ok(Handed {
            place: place.to_owned(),
            state: self.0.state.clone(),
            records: shelf.sealed_in_memory().iter().map(|record| Handed::shown(record)).collect(),
            keys,
            locked,
            sealing,
            wrong: self.0.wrong.try_lock().map_or(0, |wrong| *wrong),
            distrusted: self.distrusted().iter().cloned().collect(),
        })
    }

    /// Takes over what another had in mind.
    fn take_over(&self, mut handed: Handed) -> Result<(), HolderError> {
        let not_known = || HolderError::NoDaemon { why: "what it had in mind cannot be read".into() };
        if handed.state != self.0.state {
            return Err(HolderError::NoDaemon { why: "it is of another state folder".into() });
        }
        let shelf = &self.0.holder.shelf;
        shelf.put_in_memory(handed.records().ok_or_else(not_known)?)?;
        for held in &handed.keys {
            shelf.vault().put_back(&held.place, &RecordKey::new(held.key))?;
        }
        if handed.locked {
            *self.state() = State::Locked(handed.sealing.take());
        }
        *self.0.wrong.try_lock().map_err(|_| not_known())? = handed.wrong;
        self.distrusted().extend(handed.distrusted.drain(..));
        Ok(())
    }

    /// Another has taken over: nothing is left here of what it has.
    pub(super) fn wipe(&self) {
        self.forget_idle();
        self.0.holder.shelf.clear_memory();
    }

    pub(super) fn program(&self) -> Option<&Program> {
        self.0.program.as_ref()
    }

    pub(super) fn handing(&self) -> &tokio::sync::Mutex<Option<u32>> {
        &self.0.handing
    }

    pub(super) fn successors(&self) -> &mpsc::Sender<Coming> {
        &self.0.successors
    }

    pub(super) fn waits_for_hand_over(&self) -> Waits {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self.clone())
    }

    /// How many questions wait for the daemon to be handed over.
    pub(super) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn not_handed(&self) -> Option<NotHanded> {
        self.0.not_handed.lock().expect("no thread panics holding this").clone()
    }

    pub(super) fn set_not_handed(&self, not: Option<NotHanded>) {
        *self.0.not_handed.lock().expect("no thread panics holding this") = not;
    }

    /// Nothing is done that nobody asked for, until this is dropped.
    pub(super) async fn keep_still(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.still.lock().await
    }

    /// Resolves once the daemon is to stop.
    pub(super) async fn stopped(&self) {
        let mut stop = self.0.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Waits until nothing is on its way that would be lost.
    pub(super) async fn settled(&self) {
        self.0.holder.settled().await;
    }

    pub(super) fn status(&self) -> Result<Answer, Problem> {
        let inner = &self.0;
        let (locked, sealed) = match &*self.state() {
            State::Open => (false, false),
            State::Locked(sealing) => (true, sealing.is_some()),
        };
        Ok(render(&DaemonStatus {
            version: inner.version.clone(),
            pid: std::process::id(),
            started: inner.started,
            state: inner.state.clone(),
            locked,
            sealed,
            memory: inner.memory.text().into(),
            held: self.held().len(),
            ready: inner.kept.len(),
            program: inner.program.as_ref().map(|program| program.place().to_owned()),
            not_handed_over: self.not_handed().map(|not| not.why),
        }))
    }

    pub(super) async fn token(&self, body: &[u8]) -> Result<Answer, Problem> {
        let mut asked: TokenAsked = read(body)?;
        let inner = &self.0;
        self.let_in(&mut asked)?;
        // A wish for a shorter life, a run, or one that is fresh, is for a pass of its own.
        if asked.is_of_a_run() || asked.fresh || asked.lifetime.is_some() {
            let (pass, identity) = self.anew(&asked).await?;
            if asked.fresh {
                self.0.kept.clear(); // it may be in the place of what is kept
            }
            let run = match asked.is_of_a_run() {
                true => {
                    let metadata = inner.holder.standing(&identity)?.record.metadata;
                    Some(Box::new(Run { lease: pass.pass.lease, metadata, agents: pass.pass.run }))
                }
                false => None,
            };
            return Ok(render(&Shown(given(pass, identity, run)).0));
        }
        if let Some(answer) = self.kept(&asked) {
            return Ok(answer);
        }
        let turn = self.turn(&asked);
        let _turn = turn.lock().await;
        if let Some(answer) = self.kept(&asked) {
            return Ok(answer);
        }
        // Before the first look: what changes after it shows.
        let stamp = self.stamp();
        let outcome = self.anew(&asked).await;
        self.turns().remove(&asked);
        let (pass, identity) = outcome?;
        Ok(self.keep(asked, pass, identity, stamp))
    }

    /// Whether a question for a token is answered here, and now.
    pub(super) fn let_in(&self, asked: &mut TokenAsked) -> Result<(), Problem> {
        let inner = &self.0;
        if let Some(state) = asked.state.take()
            && Some(&state) != inner.state.as_ref()
        {
            return Err(Problem::new(ANOTHER_STATE, "this daemon reads the records of another folder"));
        }
        self.is_open()?;
        *inner.asked.lock().expect("no thread panics holding this") = steady();
        Ok(())
    }

    /// Whether it is not locked.
    pub(super) fn is_open(&self) -> Result<(), Problem> {
        match self.state().is_locked() {
            true => Err(Problem::new(LOCKED, "the daemon is locked")),
            false => Ok(()),
        }
    }

    /// Keeps an answer for the next who asks.
    pub(super) fn keep(
        &self,
        asked: TokenAsked,
        pass: Presented,
        identity: Identity,
        stamp: Stamp,
    ) -> Answer {
        let expires = pass.pass.expires;
        let answer = render(&Shown(given(pass, identity, None)).0);
        // Locked meanwhile: then nothing is kept.
        if let Some(expires) = expires.filter(|_| !self.state().is_locked()) {
            let now = self.now();
            self.0.kept.put(asked, &answer, Until::of(expires, now), stamp, now);
        }
        answer
    }

    /// Asks the holder, which asks the issuer if it must.
    async fn anew(&self, asked: &TokenAsked) -> Result<(Presented, Identity), Problem> {
        let holder = &self.0.holder;
        let identity = self.meant(asked)?;
        let request = request(asked)?;
        self.trust(&identity).await;
        let pass = match asked.lease {
            true => Presented::bearer(holder.leased(&identity, &request, None).await?),
            false if asked.fresh => {
                holder.renew(&identity).await?;
                self.pass(&identity, &request, asked.binding, false).await?
            }
            false => self.pass(&identity, &request, asked.binding, true).await?,
        };
        self.listen(&identity);
        Ok((pass, identity))
    }

    /// Whatever was distrusted is renewed. Where it cannot be, it is used as it is.
    pub(super) async fn trust(&self, identity: &Identity) {
        if self.distrusted().remove(identity) {
            let _ = self.0.holder.renew(identity).await;
        }
    }

    /// A pass, to be presented like this.
    pub(super) async fn pass(
        &self,
        identity: &Identity,
        request: &PassRequest,
        binding: Option<Binding>,
        may_be_kept: bool,
    ) -> Result<Presented, HolderError> {
        let holder = &self.0.holder;
        let token_type = match holder.key_for(identity, binding.unwrap_or(Binding::Bearer))? {
            Some(_) => TokenType::Dpop,
            None => TokenType::Bearer,
        };
        let (pass, nonce) = holder.pass_of(identity, request, &token_type, may_be_kept).await?;
        Ok(Presented { pass, token_type, nonce })
    }

    pub(super) fn meant(&self, asked: &TokenAsked) -> Result<Identity, Problem> {
        meant(&self.0.holder, asked)
    }

    pub(super) fn holder(&self) -> &Holder {
        &self.0.holder
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock.lock().expect("no thread panics holding this")
    }

    pub(super) fn wrong_passphrases(&self) -> &tokio::sync::Mutex<u32> {
        &self.0.wrong
    }

    pub(super) fn offered(&self) -> &Offered {
        &self.0.offered
    }

    pub(super) fn kept_answers(&self) -> &Kept {
        &self.0.kept
    }

    pub(super) fn last_asked(&self) -> Duration {
        *self.0.asked.lock().expect("no thread panics holding this")
    }

    /// Forgets what is only kept for speed.
    pub(super) fn forget_all(&self) {
        self.0.kept.clear();
    }

    /// The same, and what was worked out from passphrases: what is here alone stays.
    pub(super) fn forget_idle(&self) {
        self.0.kept.clear();
        self.0.holder.shelf.vault().forget_passphrases();
    }

    /// The clock was set: what says how long it is good may be wrong by as much.
    pub(super) fn distrust_all(&self) {
        self.0.kept.clear();
        self.distrusted().extend(self.0.holder.list().unwrap_or_default());
    }

    pub(super) fn ears(&self) -> MutexGuard<'_, HashMap<Identity, JoinHandle<()>>> {
        self.0.ears.lock().expect("no thread panics holding this")
    }

    fn distrusted(&self) -> MutexGuard<'_, HashSet<Identity>> {
        self.0.distrusted.lock().expect("no thread panics holding this")
    }

    fn kept(&self, asked: &TokenAsked) -> Option<Answer> {
        self.0.kept.find(asked, self.stamp(), self.now())
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp::of(self.0.holder.shelf.folder(), (self.0.holder.clock)())
    }

    pub(super) fn now(&self) -> Moment {
        Moment::at((self.0.holder.clock)())
    }

    pub(super) fn turn(&self, asked: &TokenAsked) -> Arc<tokio::sync::Mutex<()>> {
        self.turns().entry(asked.clone()).or_default().clone()
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, HashMap<TokenAsked, Arc<tokio::sync::Mutex<()>>>> {
        self.0.turns.lock().expect("no thread panics holding this")
    }
}

/// A pass, and how it is presented.
pub(super) struct Presented {
    pass: Pass,
    token_type: TokenType,
    /// The last nonce of its API.
    nonce: Option<String>,
}

impl Presented {
    fn bearer(pass: Pass) -> Self {
        Self { pass, token_type: TokenType::Bearer, nonce: None }
    }
}

fn given(presented: Presented, identity: Identity, run: Option<Box<Run>>) -> TokenGiven {
    let Presented { pass, token_type, nonce } = presented;
    TokenGiven {
        access_token: pass.token.expose_text().to_owned(),
        token_type: token_type.text().to_owned(),
        nonce,
        expires: pass.expires,
        scope: pass.scope.map(|scope| scope.to_string()),
        resource: pass.resource,
        identity,
        own: pass.own,
        run,
    }
}

/// The sign-in that is meant: never guessed, here either.
fn meant(holder: &Holder, asked: &TokenAsked) -> Result<Identity, Problem> {
    let profile = match asked.profile.as_deref() {
        None | Some("") => None,
        Some(name) => {
            let name = name.parse::<ProfileName>();
            Some(name.map_err(|why| Problem::new("usage", format!("`profile`: {why}")))?)
        }
    };
    let identity = match (&asked.issuer, &asked.client_id, &asked.profile) {
        (Some(issuer), Some(client_id), Some(_)) => Identity::new(issuer, client_id).under(profile), // said in full
        (issuer, client_id, _) => holder.find(&Wanted {
            issuer: issuer.as_deref(),
            client_id: client_id.as_deref(),
            profile: profile.as_ref(),
        })?,
    };
    if let Some(org) = &asked.org {
        holder.is_of(&identity, org)?;
    }
    Ok(identity)
}
