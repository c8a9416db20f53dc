//! Gets, holds, renews and gives up credentials on one machine: what a command-line program embeds.
//!
//! [`Holder`] signs a person in, hands out access tokens that are never stale, runs commands with a pass that dies with
//! them, and gives everything back. It works with any OAuth or OIDC provider; with a Hallpass issuer its tokens are
//! bound to a key of this machine, and each command gets one of its own.
//!
//! In reading order:

mod error; // what went wrong, by what the person can do next
mod login; // asking a person, in a browser here or anywhere
mod refresh; // single flight: the lock, the re-read, the save before the answer
mod pass; // a token for one API
mod logout; // revoked there, wiped here
mod status; // what is known here
pub mod exec; // a command with a pass of its own
mod shelf; // where records stand
mod record; // one sign-in, encrypted
mod vault; // where the keys of records rest
mod lock; // one renewal at a time
mod private; // files that are nobody else's business
mod pins; // what was true at login, and must stay so
mod dpop; // the key a session is bound to
mod provider; // the HTTP client of any provider, and the only one here
mod client; // who we are at a provider
pub mod presets; // what is known beforehand about some providers
mod machine; // what this machine is called

use std::path::PathBuf;
use std::sync::Arc;

use hallpass_model::time::Timestamp;

pub use error::HolderError;
pub use login::{
    Cancelled, Choice, Flow, LoginEvent, LoginRequest, NoFlow, Offers, OnEvent, Opener, SignedIn,
    Surroundings, choose,
};
pub use logout::Receipt;
pub use pass::{Pass, PassRequest};
pub use shelf::Identity;
pub use status::{Opened, Status};
pub use vault::{AskPassphrase, Asking, Rung, keyring_idle_life};

use provider::{Provider, Trust};
use shelf::Shelf;
use vault::Vault;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a holder needs to know.
pub struct Settings {
    /// The program's own state folder; made, and made private, when first written to.
    pub state: PathBuf,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What time it is.
    pub clock: Clock,
    /// Who is asked for a passphrase.
    pub ask_passphrase: AskPassphrase,
}

/// The credentials of this user on this machine. Cheap to clone: clones share what is in memory.
#[derive(Clone)]
pub struct Holder {
    shelf: Arc<Shelf>,
    provider: Arc<Provider>,
    clock: Clock,
    locks: Vec<PathBuf>,
    /// Shared by the renewals under way here.
    renewals: Arc<tokio::sync::RwLock<()>>,
    state: PathBuf,
    ca_file: Option<PathBuf>,
}

impl Holder {
    /// Opens nothing and writes nothing yet.
    pub fn new(settings: Settings) -> Self {
        let vault = Vault::new(settings.ask_passphrase);
        let shelf = Shelf::open(&settings.state, &machine::name(), vault);
        // From here and now: a watcher reads it again, and from another folder.
        let ca_file = settings.ca_file.map(|file| std::path::absolute(&file).unwrap_or(file));
        let trust = Trust { ca_file: ca_file.clone() };
        Self {
            locks: lock::folders(shelf.folder()),
            renewals: Arc::default(),
            provider: Provider::new(trust, settings.clock.clone()),
            clock: settings.clock,
            state: settings.state,
            ca_file,
            shelf: Arc::new(shelf),
        }
    }

    /// The sign-ins that are here, whether or not they still stand.
    pub fn list(&self) -> Result<Vec<Identity>, HolderError> {
        Ok(self.shelf.list()?.iter().map(record::Header::identity).collect())
    }

    /// The sign-in that is meant: the only one of this issuer and client, or the only one there is.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none, `Ambiguous` if there are several: it is never guessed.
    pub fn find(&self, issuer: Option<&str>, client_id: Option<&str>) -> Result<Identity, HolderError> {
        let issuer = issuer
            .map(|named| presets::Preset::named(named).and_then(|preset| preset.issuer).unwrap_or(named));
        let mut fitting = self.list()?;
        fitting.retain(|identity| {
            issuer.is_none_or(|issuer| identity.issuer == issuer)
                && client_id.is_none_or(|client| identity.client_id == client)
        });
        match fitting.len() {
            0 => Err(HolderError::NotSignedIn { issuer: issuer.map(str::to_owned) }),
            1 => Ok(fitting.remove(0)),
            _ => {
                let named = |identity: &Identity| match issuer {
                    Some(_) => format!("{} as {}", identity.issuer, identity.client_id),
                    None => identity.issuer.clone(),
                };
                let mut choices: Vec<String> = fitting.iter().map(named).collect();
                choices.dedup();
                Err(HolderError::Ambiguous { choices })
            }
        }
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("state", &self.state).finish_non_exhaustive()
    }
}
