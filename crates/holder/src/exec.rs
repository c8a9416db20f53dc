//! A command with a pass of its own, which dies with the command.
//!
//! 1. A watcher is started (`watcher`): in a session and process group of its own, it holds a pipe whose end of file
//!    means that we are gone. And a witness (`witness`), which stays in ours and tells for whom a signal was.
//! 2. A pass is got, under a lease where the issuer is ours, and its end is entrusted to the watcher.
//! 3. The command runs (`child`), and has the pass in one way ([`Way`]) and no other. Where it can be given another
//!    while it runs, the pass is renewed before it is over (`supply`).
//! 4. When it is over what is left is revoked, and the watcher is told that there is nothing left to do. If we do not
//!    get that far, the watcher revokes; if it is gone too, our issuer notices that the run's connection dropped, and
//!    cuts.

mod beside;
mod child;
mod mask;
mod memory;
mod proxy;
mod scrub;
mod socket;
mod supply;
mod watcher;
mod witness;

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hallpass_model::id::CredentialId;
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;

pub use beside::Beside;
pub use child::{Ended, look_up};
pub use mask::{monitor, start_in_turn};
pub use memory::hold_files;
pub use proxy::{ProxyRequest, TRUST_VARIABLES};
#[cfg(feature = "client")]
pub(crate) use scrub::Words;
pub use watcher::watch;
pub use witness::witness;

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::pass::PassRequest;
use crate::shelf::Identity;
use crate::vault::Rung;
use child::{Given, Signals};
use mask::Masked;
use memory::{Files, Slot};
use proxy::Proxy;
use socket::Socket;
use supply::{Held, Pipes, Supply};
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
    /// How the command gets it.
    pub way: Way,
    /// The environment variable that holds it, or says where it is.
    pub variable: String,
    /// Variables that the command does not get.
    pub without: Vec<OsString>,
    /// Whether the pass is taken out of what the command writes.
    pub mask: bool,
    /// The command and its arguments; not empty.
    pub command: Vec<OsString>,
    /// Where it is looked up: `PATH`.
    pub path: Option<OsString>,
    /// How to start what runs beside it.
    pub beside: Beside,
}

/// How a command gets its pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// In an environment variable. It stays the same one while the command runs.
    Env,
    /// By a descriptor of a sealed file in memory, whose number the variable holds. It stays the same one.
    Fd,
    /// In a file in memory, whose path the variable holds. It is replaced before it is over.
    File,
    /// Not at all: a proxy adds it to requests for named hosts. The variable holds the proxy's address in the API's place.
    Proxy(ProxyRequest),
    /// When it asks, over a Unix socket whose path the variable holds: as many as it needs, each no wider than the
    /// request. For what runs inside of it: a container, a build.
    Socket {
        /// Where sockets may be: a folder of the user's alone, made if need be.
        runtime: PathBuf,
    },
}

impl Way {
    /// Whether the command has a good pass however long it runs.
    pub fn renews(&self) -> bool {
        matches!(self, Way::File | Way::Proxy(_) | Way::Socket { .. })
    }
}

/// What a run tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// What the command got, just before it starts.
    Leased(Leased<'a>),
    /// The pass could not be renewed. It is tried again.
    NotRenewed {
        /// Why not.
        why: String,
    },
}

/// What the command got, for the person to see before it starts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leased<'a> {
    /// The API, if that is known.
    pub resource: Option<&'a str>,
    /// The run of an agent, if it is one's.
    pub run: Option<CredentialId>,
    /// How far it reaches, if the provider says.
    pub scope: Option<&'a Scopes>,
    /// When it is over, if the provider says.
    pub until: Option<Timestamp>,
    /// How long it is good for, if the provider says.
    pub lasts: Option<Lifetime>,
    /// Whether it ends with the command. Otherwise its lifetime is the only bound.
    pub ends_with_command: bool,
    /// Whether it is renewed while the command runs.
    pub renewed: bool,
}

/// How it went.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The run of an agent, if it was one's.
    pub run: Option<CredentialId>,
    /// How the command ended.
    pub ended: Ended,
    /// What became of the pass.
    pub release: Release,
}

/// What became of a pass when its command was over.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Runs a command with a pass of its own. `on_event` is told what it got, just before it starts, and what goes wrong
    /// while it runs.
    ///
    /// # Errors
    /// Only what keeps the command from starting; then there is no pass either.
    pub async fn exec(
        &self,
        identity: &Identity,
        request: &RunRequest,
        on_event: &mut (dyn FnMut(RunEvent<'_>) + Send),
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
            tokio::try_join!(self.leased(identity, &request.pass, None), watcher.ready(), witness.ready())
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
        let (supply, pipes) = Supply::new(self.clone(), identity.clone(), request.pass.clone(), pass);
        // On the heap: a command's whole run is too much for the stack of a caller's thread.
        let ended = Box::pin(async {
            if let Some(charge) = self.charge(identity, &supply.held())? {
                watcher.entrust(charge).await?;
            }
            let (given, provides) = give(request, &supply).await?;
            if provides.socket.is_some()
                && let Some(charge) = supply.charge()?
            {
                watcher.entrust(charge).await?;
            }
            on_event(RunEvent::Leased(leased(&supply.newest(), &request.way)));
            let words = supply.clone();
            let words: scrub::Current = Arc::new(move || words.words());
            let masked = request.mask.then(|| Masked::prepare(&words)).transpose()?;
            let meanwhile = meanwhile(&request.way, &supply, pipes, &mut watcher, &provides, on_event);
            child::run(request, given, masked, &mut signals, &mut witness, meanwhile).await
        });
        let ended = ended.await;
        // A renewal that is on its way goes on.
        tokio::select! {
            () = self.settled() => {}
            () = signals.stop() => {}
        }
        let release = self.release(identity, &supply.held(), true).await;
        // Where the watcher has more to revoke than passes, or could do what we could not, it is left to it.
        if !matches!(release, Release::Pending { .. }) && !self.is_for_one_run(identity) {
            watcher.dismiss().await;
        }
        Ok(Outcome { run: supply.newest().pass.run, ended: ended?, release })
    }

    /// Gives passes back. `ends_run` says whether an agent's run is over with them.
    async fn release(&self, identity: &Identity, held: &[Arc<Held>], ends_run: bool) -> Release {
        let own = held.iter().filter(|held| held.pass.own);
        if let Some(socket) = &self.pass_socket {
            return socket.take_back(own.map(|held| &held.pass.token)).await;
        }
        let pending = |why: String| Release::Pending { why };
        let mut release = Release::LeftToExpire;
        let revoke_all = async {
            for held in own {
                let (metadata, client) = match (&held.pass.given_back, self.shelf.find(identity)) {
                    (Some(back), _) => (back.metadata.clone(), back.client()),
                    (None, Ok(Some(loaded))) => {
                        let client = OurClient::of(&loaded);
                        (loaded.record.metadata, client)
                    }
                    // Logged out meanwhile: the issuer ended the session, and every pass with it, or the watcher will
                    // see to it.
                    (None, Ok(None)) => return pending("the sign-in was given up meanwhile".into()),
                    (None, Err(error)) => return pending(error.to_string()),
                };
                let revoked = match ends_run && held.pass.run.is_some() {
                    true => self.revoke_with_run(&metadata, &client, &held.pass.token).await,
                    false => self.revoke(&metadata, &client, &held.pass.token, "access_token").await,
                };
                if let Err(none) = revoked {
                    return pending(crate::logout::words(none));
                }
                release = Release::Revoked;
            }
            release
        };
        let revoked = tokio::time::timeout(RELEASE_TIME_OUT, revoke_all).await;
        revoked.unwrap_or_else(|_| pending("the issuer did not answer in time".into()))
    }

    /// What the watcher is to see to. Nothing, where nothing can be revoked.
    fn charge(&self, identity: &Identity, held: &[Arc<Held>]) -> Result<Option<Charge>, HolderError> {
        // Whoever opened the socket that they came from sees to their end.
        if self.pass_socket.is_some() {
            return Ok(None);
        }
        let mut entrusted: Vec<_> = held
            .iter()
            .filter(|held| held.pass.own)
            .map(|held| {
                let hint = if held.pass.run.is_some() { Hint::AgentsPass } else { Hint::AccessToken };
                let one = Entrusted::new(&held.pass.token, hint, supply::over_by(held));
                one.under(held.pass.lease)
            })
            .collect();
        if let Some(back) = held.iter().find_map(|held| held.pass.given_back.as_ref()) {
            let revocable = !entrusted.is_empty() && back.metadata.revocation_endpoint.is_some();
            return Ok(revocable.then(|| Charge {
                client: back.client(),
                metadata: back.metadata.clone(),
                entrusted,
                ca_file: self.ca_file.clone(),
                socket: None,
            }));
        }
        if self.workload(identity).is_some() {
            return Ok(None);
        }
        let loaded = self.standing(identity)?;
        if let Some(refresh) = loaded.record.refresh.as_ref().filter(|_| self.is_for_one_run(identity)) {
            // The whole sign-in dies with the command.
            let until = (self.clock)() + SIGN_IN_RETRIED;
            entrusted.push(Entrusted::new(refresh, Hint::RefreshToken, until));
        }
        if entrusted.is_empty() || loaded.record.metadata.revocation_endpoint.is_none() {
            return Ok(None);
        }
        Ok(Some(Charge {
            client: OurClient::of(&loaded),
            metadata: loaded.record.metadata,
            entrusted,
            ca_file: self.ca_file.clone(),
            socket: None,
        }))
    }

    fn is_for_one_run(&self, identity: &Identity) -> bool {
        self.shelf.header(identity).ok().flatten().is_some_and(|header| header.key.rung() == Rung::Memory)
    }
}

/// What a command's pass is provided by, while it runs.
#[derive(Default)]
struct Provides {
    files: Option<Files>,
    proxy: Option<Proxy>,
    socket: Option<Socket>,
}

/// Gives a command its pass, in the way that was asked for.
async fn give(request: &RunRequest, supply: &Arc<Supply>) -> Result<(Given, Provides), HolderError> {
    let newest = supply.newest();
    let token = newest.pass.token.expose();
    let sealed = || {
        let failed = |source| HolderError::Run { doing: "cannot make a file in memory", source };
        memory::sealed(token).map_err(failed)
    };
    let (mut given, mut provides) = (Given::default(), Provides::default());
    match &request.way {
        Way::Env => given.variable(&request.variable, token),
        Way::Fd => {
            let file = sealed()?;
            given.variable(&request.variable, file.as_raw_fd().to_string());
            given.inherited.push(file);
        }
        Way::File => {
            let holder = provides.files.insert(Files::start(&request.beside)?);
            let path = holder.put(Slot::Token, sealed()?).await?;
            given.variable(&request.variable, path.into_os_string().into_encoded_bytes());
        }
        Way::Proxy(asked) => {
            let holder = provides.files.insert(Files::start(&request.beside)?);
            let (proxy, with_it) = Proxy::open(asked, &request.variable, supply.clone(), holder).await?;
            provides.proxy = Some(proxy);
            given = with_it;
        }
        Way::Socket { runtime } => {
            let socket = provides.socket.insert(Socket::open(runtime, supply.clone())?);
            given.variable(&request.variable, socket.place().as_os_str().as_encoded_bytes());
        }
    }
    Ok((given, provides))
}

/// What goes on while the command runs.
async fn meanwhile(
    way: &Way,
    supply: &Supply,
    mut pipes: Pipes,
    watcher: &mut Watcher,
    provides: &Provides,
    on_event: &mut (dyn FnMut(RunEvent<'_>) + Send),
) -> Infallible {
    let renewing = async {
        match way.renews() {
            // Who reads a file is not seen.
            true => supply.keep_ahead(*way == Way::File).await,
            false => std::future::pending().await,
        }
    };
    let replacing = async {
        let mut renewals = supply.renewals();
        while let (Way::File, Some(files), Ok(())) = (way, &provides.files, renewals.changed().await) {
            let newest = renewals.borrow_and_update().clone();
            // Where this fails the command has the one before, which is good for a while, and the next may do.
            if let Ok(file) = memory::sealed(newest.pass.token.expose()) {
                let _ = files.put(Slot::Token, file).await;
            }
        }
        std::future::pending().await
    };
    let proxying = async {
        match &provides.proxy {
            Some(proxy) => proxy.serve().await,
            None => std::future::pending().await,
        }
    };
    let giving = async {
        match &provides.socket {
            Some(socket) => socket.serve().await,
            None => std::future::pending().await,
        }
    };
    let telling = async {
        let mut told = None;
        while let Some(why) = pipes.troubles.recv().await {
            if told.as_ref() != Some(&why) {
                on_event(RunEvent::NotRenewed { why: told.insert(why).clone() });
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        never = watcher.keep_up(&mut pipes.recharges) => never,
        never = renewing => never,
        never = replacing => never,
        never = proxying => never,
        never = giving => never,
        never = telling => never,
    }
}

fn leased<'a>(held: &'a Held, way: &Way) -> Leased<'a> {
    let pass = &held.pass;
    Leased {
        resource: pass.resource.as_deref(),
        run: pass.run,
        scope: pass.scope.as_ref(),
        until: pass.expires,
        lasts: held.lasts(),
        ends_with_command: pass.own,
        renewed: way.renews(),
    }
}
