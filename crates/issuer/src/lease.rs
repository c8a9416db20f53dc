//! The run connection: a pass that was handed to one command lives as long as the command's connection does.
//!
//! 1. An exchange with `lease=true` opens a lease, and its run has [`lifetimes::RUN_RESUME`] to connect.
//! 2. The run posts its lease with its pass, and the answer stays open: a line a few seconds apart says so.
//! 3. When the connection drops, the run has `RUN_RESUME` to come back; a newer connection replaces an older one.
//! 4. A run that does not come (back) in time is lost, and its pass is cut (`tidy`). A run that ends revokes its
//!    pass. When the pass is cut or expires by other means, the last line says why.
//!
//! [`lifetimes::RUN_RESUME`]: hallpass_model::lifetimes::RUN_RESUME

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use hallpass_model::cut::{Place, Target, Why};
use hallpass_model::id::{CredentialId, LeaseId, OrgId};
use hallpass_model::ledger::Actor;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{EndLease, LeaseConnected, LeaseDropped, LeaseState, StoreError};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::caller::TokenCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::{Issuer, limits};

/// How often a line says that the run is still there: often enough that both sides notice a dead network well
/// within the time there is to come back.
const EVERY: Duration = Duration::from_secs(5);

/// Places for run connections.
pub(crate) struct Runs(Arc<Semaphore>);

impl Runs {
    /// How many places are free.
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::RUNS_MAX)))
    }
}

/// Connects a run to its lease.
pub(crate) async fn connect(asked: Asked) -> Result<Response, OAuthError> {
    connected(&asked).await.map_err(|error| asked.refuse(error))
}

async fn connected(asked: &Asked) -> Result<Response, OAuthError> {
    asked.slow_down()?;
    let caller = TokenCaller::authenticate(asked, &asked.org.endpoint("lease")).await?;
    let unknown = || OAuthError::new(ErrorCode::InvalidRequest, "there is no such open lease of this pass");
    let lease: LeaseId = asked.form.required("lease")?.parse().map_err(|_| unknown())?;
    let credential = caller.token.claims.credential_id().ok_or_else(unknown)?;
    let issuer = &asked.issuer;
    let place = issuer.runs.0.clone().try_acquire_owned().map_err(|_| OAuthError::busy())?;
    // Before the first look at the cuts, so that none falls between the two.
    let cuts = issuer.store.cuts_made();
    let Some((connection, expires)) = open(issuer, asked.org.id(), lease, credential, asked.now).await?
    else {
        asked.record_refusal_of((&caller.token.place).into(), "lease").await?;
        return Err(unknown());
    };
    let run = Run {
        issuer: issuer.clone(),
        connection,
        pass: caller.token.place.clone(),
        expires,
        cuts,
        first: true,
        _place: place,
    };
    let lines = stream::unfold(Some(run), async |run| {
        let mut run = run?;
        match run.next().await {
            Next::Open => Some((Ok::<_, Infallible>(line("open", None)), Some(run))),
            Next::Ended(why) => {
                run.end().await;
                Some((Ok(line("ended", Some(why))), None))
            }
            Next::Stopping => None,
        }
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(Box::pin(lines))).into_response())
}

/// Notes that the run is there, in a task of its own: whoever asked may be gone before it is noted, and then what was
/// noted must be taken back all the same, or the lease would wait for nobody, for ever.
async fn open(
    issuer: &Issuer,
    org: OrgId,
    lease: LeaseId,
    credential: CredentialId,
    now: Timestamp,
) -> Result<Option<(Connection, Timestamp)>, OAuthError> {
    let issuer = issuer.clone();
    let noting = tokio::spawn(async move {
        let connected = LeaseConnected { org, lease, credential };
        let opened = issuer.store.change(Actor::Nobody, now, connected).await?;
        Ok::<_, StoreError>(opened.and_then(|opened| match opened.state {
            LeaseState::Connected { connection } => {
                Some((Connection { issuer, lease, connection }, opened.expires))
            }
            LeaseState::Awaited { .. } => None,
        }))
    });
    let noted = noting.await.unwrap_or(Err(StoreError::Broken));
    Ok(noted?)
}

fn line(state: &'static str, why: Option<&'static str>) -> Bytes {
    let mut line = match why {
        Some(why) => serde_json::json!({ "state": state, "why": why }),
        None => serde_json::json!({ "state": state }),
    }
    .to_string();
    line.push('\n');
    line.into()
}

/// A run that is connected.
struct Run {
    issuer: Issuer,
    connection: Connection,
    /// Where its pass stands.
    pass: Place,
    expires: Timestamp,
    cuts: broadcast::Receiver<Target>,
    first: bool,
    _place: OwnedSemaphorePermit,
}

enum Next {
    Open,
    Ended(&'static str),
    Stopping,
}

impl Run {
    /// The next line: at once the first time, then after a while, or when the pass is over.
    async fn next(&mut self) -> Next {
        let line = tokio::time::Instant::now() + EVERY;
        loop {
            if self.issuer.clock.now() >= self.expires {
                return Next::Ended("expired");
            }
            // What is said of cuts is a hint; this is what is so.
            if let Ok(Some(why)) = self.issuer.store.is_dead(&self.pass).await {
                return Next::Ended(why.text());
            }
            if std::mem::take(&mut self.first) {
                return Next::Open;
            }
            let left = self.expires.since(self.issuer.clock.now()).to_std();
            tokio::select! {
                () = tokio::time::sleep_until(line) => self.first = true,
                () = tokio::time::sleep(left) => {}
                () = self.issuer.stopped() => return Next::Stopping,
                () = heard_of(&mut self.cuts, &self.pass) => {}
            }
        }
    }

    /// Tidies the lease away: its pass is over already.
    async fn end(&self) {
        let end = EndLease { lease: self.connection.lease, why: Why::RunOver };
        if let Err(error) = self.issuer.store.change(Actor::System, self.issuer.clock.now(), end).await {
            tracing::warn!(%error, lease.id = %self.connection.lease, "an ended lease could not be tidied away");
        }
    }
}

/// Resolves when a cut was made that may be this pass's.
pub(crate) async fn heard_of(cuts: &mut broadcast::Receiver<Target>, pass: &Place) {
    loop {
        match cuts.recv().await {
            Ok(target) if pass.targets().any(|own| own == target) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The store is closed, so nothing more will be heard.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One connection of a lease. However it ends, the store hears of it.
struct Connection {
    issuer: Issuer,
    lease: LeaseId,
    connection: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (issuer, lease, connection) = (self.issuer.clone(), self.lease, self.connection);
        // Outside a runtime the process is ending, and every lease waits anew when it starts again.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let dropped = LeaseDropped { lease, connection };
            if let Err(error) = issuer.store.change(Actor::System, issuer.clock.now(), dropped).await {
                tracing::warn!(%error, lease.id = %lease, "a dropped run could not be noted");
            }
        });
    }
}
