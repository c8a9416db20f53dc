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
mod not_taken; // a token that a server did not take
mod role; // a pass traded for a session of a cloud's role
mod present; // and how the API is shown it
mod logout; // revoked there, wiped here
mod owed; // what is wiped here and may be alive there
mod prints; // what copies of a token are recognised by
mod status; // what is known here
mod checkup; // what a sign-in needs, looked at
mod wrapped; // what tools keep that insist on keeping it
pub mod daemon; // one process that holds them for the others
pub mod exec; // a command with a pass of its own
mod identity; // an issuer, a client, a profile
mod which; // which sign-in is meant
mod shelf; // where records stand
mod record; // one sign-in, encrypted
mod vault; // where the keys of records rest
mod locked; // a key that is not swapped out
mod sealing; // a private file, encrypted
mod lock; // one renewal at a time
mod private; // files that are nobody else's business
mod profile; // what is known of a profile, also while nobody is signed in
mod pins; // what was true at login, and must stay so
mod dpop; // the key a session is bound to
pub mod adapters; // programs that ask in their own way: git, registries, kubectl, cloud SDKs
mod provider; // the HTTP client of any provider, and the only one here
mod client; // who we are at a provider
pub mod presets; // what is known beforehand about some providers
mod machine; // what this machine is called

use std::path::PathBuf;
use std::sync::Arc;

use hallpass_model::time::Timestamp;

pub use checkup::{IssuerSeen, Offered};
pub use error::HolderError;
pub use identity::{Identity, ProfileName};
pub use login::{
    Cancelled, Choice, Flow, LoginEvent, LoginRequest, NoFlow, Offers, OnEvent, Opener, SignedIn,
    Surroundings, choose,
};
pub use logout::{Credential, Fate, Receipt};
pub use not_taken::NotTaken;
pub use owed::{Owed, Retried, RetryFate};
pub use pass::{Pass, PassRequest};
pub use present::{Binding, Headers, Presentable, Told};
pub use prints::Prints;
pub use profile::Profile;
pub use provider::http_date;
pub use role::RoleRequest;
pub use shelf::Unreadable;
pub use status::{Opened, Status};
pub use vault::{AskPassphrase, Asking, Places, Rung, keyring_idle_life};
pub use which::{Wanted, told_apart};
pub use wrapped::{KEPT_LEN_MAX, KeptFile, Wrapped};

use provider::{Provider, Trust};
use shelf::Shelf;
use vault::Vault;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a holder needs to know.
pub struct Settings {
    /// The program's own state folder; made, and made private, when first written to. Without one nothing is ever
    /// written, and [`Rung::Memory`] is the only one there is.
    pub state: Option<PathBuf>,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What time it is.
    pub clock: Clock,
    /// Who is asked for a passphrase.
    pub ask_passphrase: AskPassphrase,
    /// Where this machine keeps keys, besides the kernel.
    pub places: Places,
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
    ca_file: Option<PathBuf>,
    /// Who is asked first.
    daemon: Option<Arc<daemon::Daemon>>,
}

impl Holder {
    /// Opens nothing and writes nothing yet.
    pub fn new(settings: Settings) -> Self {
        let vault = Vault::new(settings.ask_passphrase, settings.places);
        let shelf = Shelf::open(settings.state.as_deref(), &machine::name(), vault);
        let trust = Trust { ca_file: settings.ca_file.clone() };
        Self {
            locks: lock::folders(shelf.folder()),
            renewals: Arc::default(),
            provider: Provider::new(trust, settings.clock.clone()),
            clock: settings.clock,
            ca_file: settings.ca_file,
            daemon: None,
            shelf: Arc::new(shelf),
        }
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("folder", &self.shelf.folder()).finish_non_exhaustive()
    }
}
