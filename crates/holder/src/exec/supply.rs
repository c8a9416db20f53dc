//! The passes of one run: one at a time is in use, and it is renewed before it is over, for as long as the command runs.
//!
//! 1. A pass is due when a part of its life is left ([`margin`]). It is renewed then, ahead of its end; whoever needs one
//!    meanwhile gets the one that is still good.
//! 2. One renewal at a time, and the watcher is entrusted with the new pass before anybody uses it.
//! 3. The one before stays alive until it is over by itself: somebody may have read it just now. What is not over when
//!    the command ends is revoked with the last.
//!
//! The holder's clock decides, and is looked at again and again: a machine sleeps, and clocks are set.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::time::{Lifetime, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::Release;
use super::scrub::Words;
use super::watcher::{Charge, Recharge};
use crate::Holder;
use crate::error::HolderError;
use crate::pass::{ActingFor, Pass, PassRequest};
use crate::provider::Trust;
use crate::shelf::Identity;

/// A pass is due this long before its end: time to try more than once over a bad network.
const MARGIN_MAX: Lifetime = Lifetime::seconds(60);
/// The same for a token that all share: the holder renews it no earlier ([`Holder::fresh`]).
const MARGIN_OF_SHARED_MAX: Lifetime = Lifetime::seconds(30);
/// And at most this part of its life: a short one is not renewed all the time.
const MARGIN_PART: u32 = 4;
/// And not less: a token's end is a whole second, and we know it to a second.
const MARGIN_MIN: Lifetime = Lifetime::seconds(1);
/// How often the clock is looked at: a machine that slept, or whose clock was set, notices within this.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// A renewal that failed is tried again after this pause.
const RETRY_PAUSE: Duration = Duration::from_secs(3);
/// How long the watcher may take to be told. One that does not read is as good as dead, and is replaced when it is.
const RECHARGE_TIME_OUT: Duration = Duration::from_secs(10);

/// The passes of one run.
pub(super) struct Supply {
    holder: Holder,
    identity: Identity,
    request: PassRequest,
    /// All that are not over, the one in use last; never empty.
    held: Mutex<Vec<Arc<Held>>>,
    renewing: tokio::sync::Mutex<()>,
    /// Whether the pass in use was used: one that nobody uses is not renewed ahead.
    used: AtomicBool,
    newest: watch::Sender<Arc<Held>>,
    recharges: mpsc::Sender<Recharge>,
    troubles: mpsc::Sender<String>,
    /// What is taken out of what streams by, and for which pass it was made.
    words: Mutex<Option<(Arc<Held>, Arc<Words>)>>,
    /// The run's pass socket, which the watcher takes away where nobody else does.
    socket: OnceLock<PathBuf>,
}

/// A pass of a run.
pub(super) struct Held {
    pub(super) pass: Pass,
    since: Timestamp,
}

impl Held {
    /// Whether it is good for this much more. One that does not say when it is over is good until it is refused.
    pub(super) fn good(&self, now: Timestamp, margin: Lifetime) -> bool {
        self.pass.expires.is_none_or(|expires| now + margin < expires)
    }

    /// How long it was good for when it came, if the provider says.
    pub(super) fn lasts(&self) -> Option<Lifetime> {
        self.pass.expires.map(|expires| expires.since(self.since))
    }

    /// How long before its end it is due.
    fn margin(&self) -> Lifetime {
        let most = if self.pass.own { MARGIN_MAX } else { MARGIN_OF_SHARED_MAX };
        self.lasts().map_or(most, |lasts| part(lasts).min(most))
    }
}

fn part(of: Lifetime) -> Lifetime {
    Lifetime::from_std(of.to_std() / MARGIN_PART).max(MARGIN_MIN)
}

/// The ends of a supply's pipes.
pub(super) struct Pipes {
    /// What the watcher is to be told.
    pub(super) recharges: mpsc::Receiver<Recharge>,
    /// Why a renewal failed, for the person.
    pub(super) troubles: mpsc::Receiver<String>,
}

impl Supply {
    /// A run's supply, which begins with this pass.
    pub(super) fn new(
        holder: Holder,
        identity: Identity,
        request: PassRequest,
        pass: Pass,
    ) -> (Arc<Self>, Pipes) {
        // What began with the first pass goes on with the next.
        let acting = pass.run.map(ActingFor::Run);
        let request = PassRequest { acting, ..request };
        let first = Arc::new(Held { pass, since: (holder.clock)() });
        let ((recharges, told), (troubles, heard)) = (mpsc::channel(1), mpsc::channel(1));
        let supply = Self {
            holder,
            identity,
            request,
            newest: watch::channel(first.clone()).0,
            held: Mutex::new(vec![first]),
            renewing: tokio::sync::Mutex::default(),
            used: AtomicBool::new(true),
            recharges,
            troubles,
            words: Mutex::default(),
            socket: OnceLock::new(),
        };
        (Arc::new(supply), Pipes { recharges: told, troubles: heard })
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        (self.holder.clock)()
    }

    /// Whom the holder trusts.
    pub(super) fn trust(&self) -> Trust {
        Trust { ca_file: self.holder.ca_file.clone(), no_proxy: false }
    }

    /// The pass in use, whatever its state.
    pub(super) fn newest(&self) -> Arc<Held> {
        self.newest.borrow().clone()
    }

    /// What is taken out of what streams by, now.
    pub(super) fn words(&self) -> Arc<Words> {
        let newest = self.newest();
        let mut words = self.words.lock().expect("no thread panics holding this");
        match &*words {
            Some((made_for, words)) if Arc::ptr_eq(made_for, &newest) => words.clone(),
            _ => {
                let held = self.held();
                let made = Arc::new(Words::of(held.iter().map(|held| held.pass.token.expose())));
                *words = Some((newest, made.clone()));
                made
            }
        }
    }

    /// Tells of each new pass.
    pub(super) fn renewals(&self) -> watch::Receiver<Arc<Held>> {
        self.newest.subscribe()
    }

    /// All that are not over.
    pub(super) fn held(&self) -> Vec<Arc<Held>> {
        self.held.lock().expect("no thread panics holding this").clone()
    }

    /// A pass that is good for a request.
    pub(super) async fn fresh(&self) -> Result<Arc<Held>, HolderError> {
        self.used.store(true, Ordering::Relaxed);
        let newest = self.newest();
        if newest.good((self.holder.clock)(), part(newest.margin())) {
            return Ok(newest);
        }
        self.renew(&newest, false).await
    }

    /// Another pass than this one, which an API did not take.
    pub(super) async fn in_place_of(&self, refused: &Arc<Held>) -> Result<Arc<Held>, HolderError> {
        self.renew(refused, true).await
    }

    /// Renews ahead, for ever. `always` also where nobody uses it.
    pub(super) async fn keep_ahead(&self, always: bool) -> std::convert::Infallible {
        loop {
            let newest = self.newest();
            let now = (self.holder.clock)();
            let left = newest.pass.expires.map(|expires| expires.since(now + newest.margin()));
            match left {
                Some(left) if left.as_millis() == 0 => {
                    if !always && !self.used.load(Ordering::Relaxed) {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    } else if let Err(why) = self.renew(&newest, false).await {
                        let _ = self.troubles.try_send(why.to_string());
                        tokio::time::sleep(RETRY_PAUSE).await;
                    } else if Arc::ptr_eq(&newest, &self.newest()) {
                        // The holder thinks that it is still good.
                        tokio::time::sleep(RETRY_PAUSE.min(newest.margin().to_std())).await;
                    }
                }
                Some(left) => tokio::time::sleep(left.to_std().min(LOOK_AGAIN)).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn renew(&self, older: &Arc<Held>, refused: bool) -> Result<Arc<Held>, HolderError> {
        let alone = self.renewing.lock().await;
        let newest = self.newest();
        if !Arc::ptr_eq(&newest, older) {
            return Ok(newest); // somebody else was faster
        }
        let refused = refused.then_some(&newest.pass.token);
        let since = (self.holder.clock)();
        let pass = self.holder.leased(&self.identity, &self.request, refused).await?;
        if !pass.own && pass.token.matches(newest.pass.token.expose()) {
            return Ok(newest);
        }
        let renewed = Arc::new(Held { pass, since });
        self.hold(since, |held| held.push(renewed.clone()));
        self.entrust().await?;
        self.used.store(false, Ordering::Relaxed);
        self.newest.send_replace(renewed.clone());
        drop(alone);
        Ok(renewed)
    }

    /// Another pass beside the one in use. The request reaches no further than the run's own: whoever asks sees to that.
    /// `None` where so many are in use already.
    pub(super) async fn another(
        &self,
        request: &PassRequest,
        at_once_max: usize,
    ) -> Result<Option<Arc<Held>>, HolderError> {
        let _alone = self.renewing.lock().await;
        let since = (self.holder.clock)();
        self.hold(since, |_| ());
        if self.held().len() >= at_once_max {
            return Ok(None);
        }
        let pass = self.holder.leased(&self.identity, request, None).await?;
        let another = Arc::new(Held { pass, since });
        self.hold(since, |held| held.insert(0, another.clone()));
        self.entrust().await?;
        Ok(Some(another))
    }

    /// Ends a pass before the command does. Whether it is ended; if not, it is tried again at the end.
    pub(super) async fn give_back(&self, held: &Arc<Held>) -> Result<bool, HolderError> {
        let _alone = self.renewing.lock().await;
        let release = self.holder.release(&self.identity, std::slice::from_ref(held), false).await;
        if release != Release::Revoked {
            return Ok(false);
        }
        self.hold((self.holder.clock)(), |all| all.retain(|one| !Arc::ptr_eq(one, held)));
        self.entrust().await?;
        Ok(true)
    }

    /// What the watcher is to see to, now.
    pub(super) fn charge(&self) -> Result<Option<Charge>, HolderError> {
        let charge = self.holder.charge(&self.identity, &self.held())?;
        Ok(charge.map(|charge| Charge { socket: self.socket.get().cloned(), ..charge }))
    }

    /// Where the run's pass socket is, from now on.
    pub(super) fn has_socket_at(&self, place: &Path) {
        let _ = self.socket.set(place.to_owned()); // a run opens one
    }

    /// What the run is for.
    pub(super) fn request(&self) -> &PassRequest {
        &self.request
    }

    /// The sign-in that the passes come of.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    fn hold(&self, now: Timestamp, change: impl FnOnce(&mut Vec<Arc<Held>>)) {
        let mut held = self.held.lock().expect("no thread panics holding this");
        held.retain(|held| now < over_by(held));
        change(&mut held);
        drop(held);
        *self.words.lock().expect("no thread panics holding this") = None;
    }

    /// Tells the watcher. SECURITY: before anybody uses what is new.
    async fn entrust(&self) -> Result<(), HolderError> {
        let Some(charge) = self.charge()? else { return Ok(()) };
        let (taken, when_taken) = oneshot::channel();
        let told = async {
            self.recharges.send(Recharge { charge, taken }).await.ok()?;
            when_taken.await.ok()
        };
        let _ = tokio::time::timeout(RECHARGE_TIME_OUT, told).await;
        Ok(())
    }
}

/// When trying to revoke a pass has no point any more.
pub(super) fn over_by(held: &Held) -> Timestamp {
    held.pass.expires.unwrap_or(held.since + ACCESS_TOKEN_MAX)
}
