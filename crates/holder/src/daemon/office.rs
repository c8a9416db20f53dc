//! What the daemon holds, and its answers.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hallpass_model::jose::base64url;
use hallpass_model::secret::Secret;
use hallpass_model::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::Offered;
use super::conversation::{Answer, Shown, read, render, request};
use super::kept::{Kept, Moment, Stamp, Until, steady};
use super::lock::State;
use super::memory::{self, Locked};
use super::problem::{ANOTHER_STATE, BAD_REQUEST, LOCKED, Problem};
use super::wire::{
    DaemonStatus, Deposit, Done, Ended, Held, NotTakenAsked, Records, Run, SignedOut, Stopped, TokenAsked,
    TokenGiven, Which,
};
use crate::Holder;
use crate::client::OurClient;
use crate::identity::{Identity, ProfileName};
use crate::not_taken::NotTaken;
use crate::pass::Pass;
use crate::record::Record;
use crate::vault::Rung;
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
}

impl Office {
    /// `holder` asks no daemon itself.
    pub(super) fn new(holder: Holder, version: String, state: Option<PathBuf>, offered: Offered) -> Self {
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
        };
        Self(Arc::new(inner))
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
        }))
    }

    pub(super) async fn token(&self, body: &[u8]) -> Result<Answer, Problem> {
        let mut asked: TokenAsked = read(body)?;
        let inner = &self.0;
        if let Some(state) = asked.state.take()
            && Some(&state) != inner.state.as_ref()
        {
            return Err(Problem::new(ANOTHER_STATE, "this daemon reads the records of another folder"));
        }
        if self.state().is_locked() {
            return Err(Problem::new(LOCKED, "the daemon is locked"));
        }
        *inner.asked.lock().expect("no thread panics holding this") = steady();
        // A wish for a shorter life, or a run, is for a pass of its own.
        if asked.lease || asked.lifetime.is_some() {
            let (pass, identity) = self.anew(&asked).await?;
            let run = match asked.lease {
                true => {
                    let metadata = inner.holder.standing(&identity)?.record.metadata;
                    Some(Box::new(Run { lease: pass.lease, metadata }))
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

    /// Keeps an answer for the next who asks.
    pub(super) fn keep(&self, asked: TokenAsked, pass: Pass, identity: Identity, stamp: Stamp) -> Answer {
        let expires = pass.expires;
        let answer = render(&Shown(given(pass, identity, None)).0);
        // Locked meanwhile: then nothing is kept.
        if let Some(expires) = expires.filter(|_| !self.state().is_locked()) {
            let now = self.now();
            self.0.kept.put(asked, &answer, Until::of(expires, now), stamp, now);
        }
        answer
    }

    /// Asks the holder, which asks the issuer if it must.
    async fn anew(&self, asked: &TokenAsked) -> Result<(Pass, Identity), Problem> {
        let holder = &self.0.holder;
        let identity = self.meant(asked)?;
        let request = request(asked)?;
        if self.distrusted().remove(&identity) {
            // Where it cannot be renewed, it is used as it is.
            let _ = holder.renew(&identity).await;
        }
        let pass = match asked.lease {
            true => holder.leased(&identity, &request, None).await?,
            false => holder.token(&identity, &request).await?,
        };
        self.listen(&identity);
        Ok((pass, identity))
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

    /// The sign-ins that are here alone.
    pub(super) fn held(&self) -> Vec<Identity> {
        self.0.holder.shelf.list_memory()
    }

    pub(super) fn records(&self) -> Result<Answer, Problem> {
        let holder = &self.0.holder;
        let locked = self.state().is_locked();
        let records = self.held().into_iter().map(|identity| {
            if locked {
                return Held { identity, opened: None, problem: None };
            }
            let (opened, problem) = match holder.status(&identity).and_then(|status| status.opened) {
                Ok(opened) => (Some(opened), None),
                Err(why) => (None, Some(why.to_string())),
            };
            Held { identity, opened, problem }
        });
        Ok(render(&Records { records: records.collect() }))
    }

    /// Takes a sign-in in. The one whose place it takes is ended at its issuer.
    pub(super) async fn deposit(&self, body: &[u8]) -> Result<Answer, Problem> {
        let bad = || Problem::new(BAD_REQUEST, "that is no record of this version");
        let mut deposit: Deposit = read(body)?;
        let shown = Zeroizing::new(std::mem::take(&mut deposit.record));
        let record = Zeroizing::new(base64url::parse(&shown).ok_or_else(bad)?);
        let record = Record::parse(&record).ok_or_else(bad)?;
        let (holder, identity) = (&self.0.holder, deposit.identity);
        if self.state().is_locked() {
            return Err(Problem::new(LOCKED, "the daemon is locked"));
        }
        if !holder.shelf.is_in_memory(&identity) && self.held().len() >= HELD_MAX {
            return Err(Problem::new("full", format!("it holds {HELD_MAX} sign-ins already")));
        }
        let earlier = holder.shelf.find_replaced(&identity, Rung::Memory).ok().flatten();
        holder
            .shelf
            .replace(&identity, Rung::Memory, record, (holder.clock)())
            .map_err(|(error, _)| Problem::from(error))?;
        self.0.kept.clear();
        self.mute(Some(&identity));
        self.listen(&identity);
        if let Some(earlier) = earlier {
            let holder = holder.clone();
            tokio::spawn(async move {
                let _ = holder.give_back_record(&earlier.record, &OurClient::of(&earlier)).await;
            });
        }
        Ok(render(&Done {}))
    }

    pub(super) async fn logout(&self, body: &[u8]) -> Result<Answer, Problem> {
        let Which { identity } = read(body)?;
        if !self.0.holder.shelf.is_in_memory(&identity) {
            return Err(Problem::new("not_held", "that sign-in does not rest here"));
        }
        self.mute(Some(&identity));
        let receipt = self.0.holder.logout(&identity).await;
        self.0.kept.clear();
        let receipt = receipt?;
        Ok(render(&SignedOut {
            credentials: receipt.credentials,
            wiped: receipt.wiped_key.is_some(),
            not_owed: receipt.not_owed,
        }))
    }

    /// Looks at everything anew, from the next question on.
    pub(super) fn forget(&self, body: &[u8]) -> Result<Answer, Problem> {
        let Which { identity } = read(body)?;
        self.mute(Some(&identity));
        self.0.kept.clear();
        // It may be a new sign-in in the place of the old.
        if self.0.holder.shelf.header(&identity).ok().flatten().is_some() {
            self.listen(&identity);
        }
        Ok(render(&Done {}))
    }

    /// A token was not taken somewhere: the next question for it brings a fresh one.
    pub(super) fn not_taken(&self, body: &[u8]) -> Result<Answer, Problem> {
        if self.state().is_locked() {
            return Err(Problem::new(LOCKED, "the daemon is locked"));
        }
        let mut told: NotTakenAsked = read(body)?;
        let token = told.token.take().map(Secret::from_text);
        let (resource, scope) = (told.resource.take(), told.scope.take());
        let request = request(&TokenAsked { resource, scope, ..TokenAsked::default() })?;
        let which = token.as_ref().map_or(NotTaken::KeptFor(&request), NotTaken::Token);
        self.0.holder.not_taken(&told.identity, which)?;
        self.0.kept.clear();
        Ok(render(&Done {}))
    }

    /// Ends what is here alone, at its issuer too: nobody could ever use it, or end it, again.
    pub(super) async fn stop(&self) -> Result<Answer, Problem> {
        let ended = self.end_all().await;
        self.0.stop.send_replace(true);
        Ok(render(&Stopped { ended }))
    }

    /// The same, told by a signal.
    pub(super) async fn end_all(&self) -> Vec<Ended> {
        self.mute(None);
        let mut ended = Vec::new();
        for identity in self.held() {
            let logout = tokio::time::timeout(END_TIME_OUT, self.0.holder.logout(&identity)).await;
            let revoked = matches!(&logout, Ok(Ok(receipt)) if !receipt.may_be_alive());
            ended.push(Ended { issuer: identity.issuer, revoked });
        }
        self.0.kept.clear();
        ended
    }
}

fn given(pass: Pass, identity: Identity, run: Option<Box<Run>>) -> TokenGiven {
    TokenGiven {
        access_token: pass.token.expose_text().to_owned(),
        token_type: "Bearer".into(),
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
