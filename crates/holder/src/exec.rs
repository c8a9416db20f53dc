//! A command with a pass of its own, which dies with the command.
//!
//! 1. A watcher is started (`watcher`): in a session and process group of its own, it holds a pipe whose end of file
//!    means that we are gone. And a witness (`witness`), which stays in ours and tells for whom a signal was.
//! 2. A pass is got, under a lease where the issuer is ours, and its end is entrusted to the watcher.
//! 3. The command runs (`child`), with the pass in its environment and nowhere else.
//! 4. When it is over the pass is revoked, and the watcher is told that there is nothing left to do. If we do not get
//!    that far, the watcher revokes; if it is gone too, our issuer notices that the run's connection dropped, and cuts.

mod beside;
mod child;
mod watcher;
mod witness;

use std::ffi::OsString;
use std::time::Duration;

use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::Scopes;

pub use beside::Beside;
pub use child::{Ended, look_up};
pub use watcher::watch;
pub use witness::witness;

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::pass::{Pass, PassRequest};
use crate::shelf::Identity;
use crate::vault::Rung;
use child::Signals;
use watcher::{Charge, Entrusted, Hint, Watcher};
use witness::Witness;

/// How long the revocation at the end may keep the person waiting. The watcher goes on after that.
const RELEASE_TIME_OUT: Duration = Duration::from_secs(5);
/// How long a watcher goes on trying to revoke a sign-in that was for one run. A pass it tries to revoke until that is
/// over; a sign-in lives for weeks, and no process should wait that long for a network.
const SIGN_IN_RETRIED: Lifetime = Lifetime::hours(1);

/// A command to run, and what it is to have.
#[derive(Debug)]
pub struct RunRequest {
    /// The pass.
    pub pass: PassRequest,
    /// The environment variable it goes into.
    pub variable: String,
    /// The command and its arguments; not empty.
    pub command: Vec<OsString>,
    /// Where it is looked up: `PATH`.
    pub path: Option<OsString>,
    /// How to start what runs beside it.
    pub beside: Beside,
}

/// What the command got, for the person to see before it starts.
#[derive(Debug)]
pub struct Leased<'a> {
    /// The API, if that is known.
    pub resource: Option<&'a str>,
    /// How far it reaches, if the provider says.
    pub scope: Option<&'a Scopes>,
    /// When it is over, if the provider says.
    pub until: Option<Timestamp>,
    /// Whether it ends with the command. Otherwise its lifetime is the only bound.
    pub ends_with_command: bool,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// How the command ended.
    pub ended: Ended,
    /// What became of the pass.
    pub release: Release,
}

/// What became of a pass when its command was over.
#[derive(Debug, PartialEq, Eq)]
pub enum Release {
    /// Revoked at the issuer.
    Revoked,
    /// Not yet: the watcher goes on trying until it is over by itself.
    Pending {
        /// Why not yet.
        why: String,
    },
    /// It cannot be revoked alone: its lifetime is the bound.
    LeftToExpire,
}

impl Holder {
    /// Runs a command with a pass of its own. `on_leased` is told what it got, just before it starts.
    ///
    /// # Errors
    /// Only what keeps the command from starting; then there is no pass either.
    pub async fn exec(
        &self,
        identity: &Identity,
        request: &RunRequest,
        on_leased: &mut (dyn FnMut(Leased<'_>) + Send),
    ) -> Result<Outcome, HolderError> {
        if let Some(lifetime) = request.pass.lifetime.filter(|lifetime| *lifetime > ACCESS_TOKEN_MAX) {
            return Err(HolderError::Usage {
                what: format!("a pass lives {ACCESS_TOKEN_MAX} at most, and `{lifetime}` was asked for"),
            });
        }
        look_up(&request.command, request.path.as_deref())?;
        let mut signals = Signals::catch()?;
        let (mut watcher, mut witness) = (Watcher::start(&request.beside)?, Witness::start(&request.beside)?);
        let prepared = async {
            tokio::try_join!(self.leased(identity, &request.pass), watcher.ready(), witness.ready())
        };
        let (pass, (), ()) = tokio::select! {
            prepared = prepared => prepared?,
            // A pass that is on its way then has no connection, and our issuer cuts it. A renewal that is on its way
            // goes on, and is waited for, unless the person says so twice.
            () = signals.stop() => {
                tokio::select! {
                    () = self.settled() => {}
                    () = signals.stop() => {}
                }
                return Err(HolderError::Cancelled);
            }
        };
        let charge = self.charge(identity, &pass)?;
        if let Some(charge) = &charge
            && let Err(error) = watcher.entrust(charge).await
        {
            self.release(identity, &pass).await;
            return Err(error);
        }
        on_leased(Leased {
            resource: pass.resource.as_deref(),
            scope: pass.scope.as_ref(),
            until: pass.expires,
            ends_with_command: pass.own,
        });
        let keep_up = watcher.keep_up(charge.as_ref());
        let ended = child::run(request, &pass.token, &mut signals, &mut witness, keep_up).await;
        let release = self.release(identity, &pass).await;
        // Where the watcher has more to revoke than the pass, or could do what we could not, it is left to it.
        if !matches!(release, Release::Pending { .. }) && !self.is_for_one_run(identity) {
            watcher.dismiss().await;
        }
        Ok(Outcome { ended: ended?, release })
    }

    /// Gives a pass back.
    async fn release(&self, identity: &Identity, pass: &Pass) -> Release {
        if !pass.own {
            return Release::LeftToExpire;
        }
        let pending = |why: String| Release::Pending { why };
        if let Some(back) = &pass.given_back {
            let client = OurClient::new(back.client_id.clone(), None);
            return self.released(&back.metadata, &client, pass).await;
        }
        let loaded = match self.shelf.find(identity) {
            Ok(Some(loaded)) => loaded,
            // Logged out meanwhile: the issuer ended the session, and every pass with it, or the watcher will see to it.
            Ok(None) => return pending("the sign-in was given up meanwhile".into()),
            Err(error) => return pending(error.to_string()),
        };
        self.released(&loaded.record.metadata, &OurClient::of(&loaded), pass).await
    }

    async fn released(&self, metadata: &IssuerMetadata, client: &OurClient, pass: &Pass) -> Release {
        let pending = |why: String| Release::Pending { why };
        let revoked = self.revoke(metadata, client, &pass.token, "access_token");
        match tokio::time::timeout(RELEASE_TIME_OUT, revoked).await {
            Ok(Ok(())) => Release::Revoked,
            Ok(Err(none)) => pending(crate::logout::words(none)),
            Err(_) => pending("the issuer did not answer in time".into()),
        }
    }

    /// What the watcher is to see to. Nothing, where nothing can be revoked.
    fn charge(&self, identity: &Identity, pass: &Pass) -> Result<Option<Charge>, HolderError> {
        let now = (self.clock)();
        let mut entrusted = Vec::new();
        if pass.own {
            let until = pass.expires.unwrap_or(now + ACCESS_TOKEN_MAX);
            entrusted.push(Entrusted::new(&pass.token, Hint::AccessToken, until));
        }
        if let Some(back) = &pass.given_back {
            let revocable = !entrusted.is_empty() && back.metadata.revocation_endpoint.is_some();
            return Ok(revocable.then(|| Charge {
                client: OurClient::new(back.client_id.clone(), None),
                metadata: back.metadata.clone(),
                lease: pass.lease,
                entrusted,
                ca_file: self.ca_file.clone(),
            }));
        }
        let loaded = self.standing(identity)?;
        if let Some(refresh) = loaded.record.refresh.as_ref().filter(|_| self.is_for_one_run(identity)) {
            // The whole sign-in dies with the command.
            entrusted.push(Entrusted::new(refresh, Hint::RefreshToken, now + SIGN_IN_RETRIED));
        }
        if entrusted.is_empty() || loaded.record.metadata.revocation_endpoint.is_none() {
            return Ok(None);
        }
        Ok(Some(Charge {
            client: OurClient::of(&loaded),
            metadata: loaded.record.metadata,
            lease: pass.lease,
            entrusted,
            ca_file: self.ca_file.clone(),
        }))
    }

    fn is_for_one_run(&self, identity: &Identity) -> bool {
        self.shelf.header(identity).ok().flatten().is_some_and(|header| header.key.rung() == Rung::Memory)
    }
}
