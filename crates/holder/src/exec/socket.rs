//! A run's pass socket: a Unix socket that hands out passes of the run, and nothing else, for as long as its command runs.
//! It is for what is inside of the command and has no sign-in: a container, an image build.
//!
//! 1. It is made in a folder of its own, and goes with the run. If we are killed, the watcher takes it away.
//! 2. It speaks as the daemon does (`docs/reference/pass-socket.md`). Each pass is got by exchange, under a lease of its
//!    own, and the watcher is entrusted with it before anybody has it: all of them die with the run.
//! 3. SECURITY: what is asked for is held against what the command line says (`bounds`), before any issuer is asked.
//! 4. Who asks is not looked at: a container's users are others to the kernel. On this machine the folder keeps everybody
//!    else out; inside, whoever can reach the path can ask. So it gives little: so many passes at once, and so many in all.

mod bounds;

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use http::Method;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::bounds::Bounds;
use super::supply::{Held, Supply};
use crate::daemon::conversation::{Answer, Question, Shown, converse, read, render, request};
use crate::daemon::problem::{BAD_REQUEST, NOT_FOUND, Problem, WIDER};
use crate::daemon::wire::{self, Done, TokenAsked, TokenGiven};
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass_socket::{GIVE_BACK, Gives, GivingBack};
use crate::private;

/// The socket's own name, and its name before it listens.
const SOCKET: &str = "pass.sock";
const NOT_YET: &str = "pass.new";
/// What the folders of runs are called before their number.
const RUN: &str = "run-";
/// Numbers that are tried for a folder: those of other process namespaces may be taken.
const NUMBERS_MAX: u32 = 1000;
/// Passes in use at once: more steps than a build does side by side. The watcher keeps a connection for each.
const AT_ONCE_MAX: usize = 32;
/// Passes of one run in all: whoever gets hold of the path cannot keep the issuer, or its ledger, busy for ever.
const IN_ALL_MAX: usize = 1000;
/// A pass that several have is given out while it is good for this much more.
const HAND_OUT_AGAIN: Lifetime = Lifetime::seconds(30);
/// Questions at once. More wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// After a connection that could not be accepted: no busy loop where descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A pass socket that listens. It is gone when this is.
pub(super) struct Socket {
    place: PathBuf,
    listener: UnixListener,
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    supply: Arc<Supply>,
    bounds: Bounds,
    /// Passes that several have, by how far they reach.
    kept: Mutex<Vec<(Scopes, Arc<Held>)>>,
    left: AtomicUsize,
}

impl Socket {
    /// Listens, in a folder of its own below this one.
    ///
    /// # Errors
    /// `Unsupported` where the provider has no passes that could be narrower; else what the system says.
    pub(super) fn open(runtime: &Path, supply: Arc<Supply>) -> Result<Self, HolderError> {
        let bounds = Bounds::of(&supply)?;
        private::runtime_folder(runtime)?;
        sweep(runtime);
        let folder = folder(runtime)?;
        let (place, not_yet) = (folder.join(SOCKET), folder.join(NOT_YET));
        let failed = |source| {
            take_away(&place);
            HolderError::disk("cannot listen at", &place)(source)
        };
        let listener = UnixListener::bind(&not_yet).map_err(failed)?;
        // SECURITY: the folder's 0700 keeps everybody else out. Where the socket is mounted into a container its users,
        // whom the kernel takes for others, shall reach it.
        std::fs::set_permissions(&not_yet, Permissions::from_mode(0o666)).map_err(failed)?;
        // Under its name it has always listened: one that does not is a dead run's.
        std::fs::rename(&not_yet, &place).map_err(failed)?;
        supply.has_socket_at(&place);
        let shared = Shared { supply, bounds, kept: Mutex::default(), left: AtomicUsize::new(IN_ALL_MAX) };
        Ok(Self { place, listener, shared: Arc::new(shared), tasks: Mutex::default() })
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Answers for ever.
    pub(super) async fn serve(&self) -> Infallible {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // Before it is accepted: more of them cost us no descriptor.
            let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let shared = self.shared.clone();
                    let mut tasks = self.tasks.lock().expect("no thread panics holding this");
                    while tasks.try_join_next().is_some() {}
                    tasks.spawn(async move {
                        converse(stream, |question| shared.answer(question)).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        take_away(&self.place);
        self.tasks.lock().expect("no thread panics holding this").abort_all();
    }
}

impl Shared {
    async fn answer(&self, question: Question) -> Result<Answer, Problem> {
        let Question { method, path, body } = question;
        match (&method, path.as_str()) {
            (&Method::GET, wire::STATUS) => Ok(self.status()),
            (&Method::POST, wire::TOKEN) => self.token(read(&body)?).await,
            (&Method::POST, GIVE_BACK) => self.give_back(&read(&body)?).await,
            (_, wire::STATUS | wire::TOKEN | GIVE_BACK) => {
                Err(Problem::new(BAD_REQUEST, "that is asked by another method"))
            }
            _ => Err(Problem::new(NOT_FOUND, "this socket hands out passes, and answers nothing else")),
        }
    }

    fn status(&self) -> Answer {
        let Bounds { identity, resource, scopes, lifetime, purpose, .. } = &self.bounds;
        render(&Gives {
            issuer: identity.issuer.clone(),
            client_id: identity.client_id.clone(),
            resource: resource.clone(),
            scope: scopes.to_string(),
            lifetime: lifetime.as_seconds().try_into().unwrap_or(u32::MAX),
            purpose: purpose.as_ref().map(Purpose::to_string),
            left: self.left.load(Ordering::Relaxed),
        })
    }

    async fn token(&self, asked: TokenAsked) -> Result<Answer, Problem> {
        // A wish for a shorter life, or a run, is for a pass of its own.
        let its_own = asked.lease || asked.lifetime.is_some();
        let narrowed = self.bounds.narrow(&asked, request(&asked)?)?;
        if its_own {
            return self.another(&narrowed).await.map(|held| self.given(&held));
        }
        if narrowed.scopes == self.bounds.scopes {
            return Ok(self.given(&*self.supply.fresh().await?));
        }
        if let Some(held) = self.kept(&narrowed.scopes) {
            return Ok(self.given(&held));
        }
        let held = self.another(&narrowed).await?;
        let mut kept = self.kept.lock().expect("no thread panics holding this");
        kept.retain(|(scopes, _)| *scopes != narrowed.scopes);
        kept.push((narrowed.scopes, held.clone()));
        drop(kept);
        Ok(self.given(&held))
    }

    fn kept(&self, scopes: &Scopes) -> Option<Arc<Held>> {
        let now = self.supply.now();
        let kept = self.kept.lock().expect("no thread panics holding this");
        kept.iter()
            .find(|(reach, held)| reach == scopes && held.good(now, HAND_OUT_AGAIN))
            .map(|(_, held)| held.clone())
    }

    async fn another(&self, narrowed: &crate::PassRequest) -> Result<Arc<Held>, Problem> {
        let spend = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            let all = format!("this socket has given all the {IN_ALL_MAX} passes that it gives in one run");
            return Err(Problem::new(WIDER, all));
        }
        self.supply.another(narrowed, AT_ONCE_MAX).await?.ok_or_else(|| {
            let many =
                format!("{AT_ONCE_MAX} passes of this socket are in use, and it gives no more at once");
            Problem::new(WIDER, many)
        })
    }

    async fn give_back(&self, back: &GivingBack) -> Result<Answer, Problem> {
        let same = |held: &&Arc<Held>| held.pass.token.matches(back.access_token.as_bytes());
        let all = self.supply.held();
        let Some(held) = all.iter().find(same) else {
            return Err(Problem::new(NOT_FOUND, "that is no pass of this socket, or it is over"));
        };
        let kept = self.kept.lock().expect("no thread panics holding this").iter().any(|(_, one)| same(&one));
        if kept || same(&&self.supply.newest()) {
            return Err(Problem::new(BAD_REQUEST, "others have that pass too: it ends with the command"));
        }
        match self.supply.give_back(held).await? {
            true => Ok(render(&Done {})),
            false => {
                Err(Problem::new("unreachable", "it could not be revoked yet: it ends with the command"))
            }
        }
    }

    fn given(&self, held: &Held) -> Answer {
        let pass = &held.pass;
        let Identity { issuer, client_id, .. } = &self.bounds.identity;
        render(
            &Shown(TokenGiven {
                access_token: pass.token.expose_text().to_owned(),
                token_type: "Bearer".into(),
                expires: pass.expires,
                scope: pass.scope.as_ref().map(Scopes::to_string),
                resource: pass.resource.clone(),
                // What a person calls their sign-in is nobody's business inside.
                identity: Identity::new(issuer, client_id),
                own: pass.own,
                nonce: None,
                run: None,
            })
            .0,
        )
    }
}

/// A folder of this run alone.
fn folder(runtime: &Path) -> Result<PathBuf, HolderError> {
    let own = std::process::id();
    for number in 0..NUMBERS_MAX {
        let folder = runtime.join(match number {
            0 => format!("{RUN}{own}"),
            more => format!("{RUN}{own}-{more}"),
        });
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(HolderError::disk("cannot make", &folder)(source)),
        }
    }
    Err(HolderError::Unsafe { path: runtime.to_owned(), why: "it is full of folders of runs" })
}

/// Takes a socket away, and the folder that is its own.
pub(super) fn take_away(socket: &Path) {
    let Some(folder) = socket.parent() else { return };
    for name in [SOCKET, NOT_YET] {
        let _ = std::fs::remove_file(folder.join(name)); // what is gone is gone
    }
    let _ = std::fs::remove_dir(folder);
}

/// Takes away what runs left behind that were killed together with their watchers.
fn sweep(runtime: &Path) {
    for entry in std::fs::read_dir(runtime).into_iter().flatten().flatten() {
        let is_run = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(RUN));
        let socket = entry.path().join(SOCKET);
        if is_run(&entry.file_name())
            && UnixStream::connect(&socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        {
            take_away(&socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_run_left_is_taken_away_and_a_living_one_is_left_alone() {
        let runtime = tempfile::tempdir().unwrap();
        let (dead, living) = (folder(runtime.path()).unwrap(), folder(runtime.path()).unwrap());
        assert_ne!(dead, living, "two runs never share a folder");
        drop(std::os::unix::net::UnixListener::bind(dead.join(SOCKET)).unwrap());
        let listener = std::os::unix::net::UnixListener::bind(living.join(SOCKET)).unwrap();
        let begun = folder(runtime.path()).unwrap();
        sweep(runtime.path());
        assert!(!dead.exists() && living.join(SOCKET).exists() && begun.exists());
        drop(listener);
    }
}
