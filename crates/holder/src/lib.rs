//! Gets, holds, renews and gives up credentials on one machine: what a command-line program embeds.
//!
//! With any OAuth or OIDC provider: a sign-in that is never lost to two processes at once, a crash or a lost answer; kept
//! encrypted, under a key that is not in the file; given up for good. With a Hallpass issuer its tokens are also bound to
//! a key of this machine (RFC 9449), and each command can have one of its own.
//!
//! # A program in ten lines
//!
//! With the features `clap` and `client`; `examples/acme-cli` is this one, whole.
//!
//! ```no_run
//! # #[cfg(all(feature = "clap", feature = "client"))]
//! # mod example {
//! use hallpass_holder::{app::App, cli::{AccountCommand, Console}, environment::Environment};
//!
//! #[derive(clap::Parser)]
//! enum Acme {
//!     #[command(flatten)]
//!     Account(AccountCommand), // login, logout, status, token
//!     /// List the notes
//!     Notes,
//! }
//!
//! async fn run(command: Acme) -> Result<(), Box<dyn std::error::Error>> {
//!     let account = App::new("acme", "https://id.example/acme")
//!         .client_id("acme-cli").scopes("notes:read").resource("https://notes.example/")
//!         .environment(&Environment::new(&|name| std::env::var_os(name))).open()?;
//!     match command {
//!         Acme::Account(command) => {
//!             let (mut answers, mut people) = (std::io::stdout(), std::io::stderr());
//!             account.run(&command, &mut Console::new(&mut answers, &mut people)).await?
//!         }
//!         Acme::Notes => println!("{}", account.client()?.get("notes").send().await?.text().await?),
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # What it does not do behind its program's back
//!
//! It prints nothing, reads no environment variable and starts no browser but as it is told: what is said goes to the
//! program ([`LoginEvent`]), and what the environment says is handed in ([`environment::Environment`]). The HTTP client
//! reads proxy variables, but for [`Holder::without_proxies`], and finds the system's certificates where `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` say. It installs no signal handler, but for
//! [`exec`] and, while a person signs in, `cli`.
//!
//! # Features
//!
//! None by default: signing in and out, status, tokens and proofs for any HTTP client are here without one.
//!
//! - `clap`: `cli`, the commands of an account.
//! - `client`: `api`, a client for an API. Its types are [reqwest](https://docs.rs/reqwest)'s.
//! - `http2`: HTTP/2 besides HTTP/1.1.
//! - `exec`: `exec`, a command with a pass of its own.
//! - `daemon`: to be the daemon. Asking one needs no feature.
//! - `adapters`: `adapters`, how git, registries, kubectl and cloud SDKs ask.
//!
//! # What is promised
//!
//! Versions are semantic: the public items, in `docs/reference/holder-api.txt`, change only with the version. Structs and
//! enums that will grow are `non_exhaustive`: they have a constructor, and their fields are set one by one. An enum that is
//! not is whole, and whoever asks by it should see each case. What `exec`, `daemon` and `adapters` are asked by is younger,
//! and plain.
//!
//! Types of other crates in it, whose new major version is one of this crate's: [`Url`], clap's derived traits (`clap`),
//! reqwest's requests and answers (`client`), zeroize's `Zeroizing` (`adapters`), and tokio, on whose runtime the futures
//! run. Times are [`Timestamp`]s, milliseconds since 1970 UTC; lengths of time are [`Lifetime`]s.
//!
//! [`Holder`], [`app::Account`], [`Presentable`] and the client are `Send + Sync`, and so are errors; futures are `Send`. No
//! `Debug` shows a secret.
//!
//! # In reading order

#![cfg_attr(
    not(all(feature = "exec", feature = "daemon", feature = "adapters")),
    allow(dead_code, reason = "what those lean on stands in rooms that are here without them")
)]

mod error; // what went wrong, by what the person can do next
pub mod app; // a program of somebody's own, in a few lines
#[cfg(feature = "client")]
pub mod api; // a client for its API
#[cfg(feature = "clap")]
pub mod cli; // its commands
mod login; // asking a person, in a browser here or anywhere
mod refresh; // single flight: the lock, the re-read, the save before the answer
mod pass; // a token for one API
mod api_key; // a pass that an API key buys
mod workload; // a CI job's, a pod's, a service's, by what it is
mod not_taken; // a token that a server did not take
#[cfg(feature = "adapters")]
mod role; // a pass traded for a session of a cloud's role
mod present; // and how the API is shown it
mod logout; // revoked there, wiped here
mod revoke; // one token, where it was issued
mod leaked; // one that was found where it should not be
mod owed; // what is wiped here and may be alive there
mod prints; // what copies of a token are recognised by
mod status; // what is known here
mod checkup; // what a sign-in needs, looked at
mod wrapped; // what tools keep that insist on keeping it
pub mod daemon; // one process that holds them for the others
#[cfg(feature = "exec")]
pub mod exec; // a command with a pass of its own
mod pass_socket; // where a command of a command gets its own
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
#[cfg(feature = "adapters")]
pub mod adapters; // programs that ask in their own way: git, registries, kubectl, cloud SDKs
mod provider; // the HTTP client of any provider, and the only one here
mod client; // who we are at a provider
mod endpoints; // of a provider that does not say where they are
pub mod environment; // what it says, to whoever hands it in
pub mod presets; // what is known beforehand about some providers
mod copies; // of other machines' sign-ins, said to the issuer
mod machine; // what this machine is called
#[cfg(test)]
mod hostile; // what strangers write

use std::path::PathBuf;
use std::sync::Arc;

pub use hallpass_model::device::DeviceClass;
pub use hallpass_model::purpose::Purpose;
pub use hallpass_model::secret::{
    AccessToken, ApiKey, AuthorizationCode, KeyMaterial, Kind as SecretKind, Passphrase, Secret,
};
pub use hallpass_model::time::{Lifetime, Timestamp};
pub use hallpass_model::wire::errors::ErrorCode;
pub use hallpass_model::wire::metadata::BadIssuer;
pub use hallpass_model::wire::oauth::Scopes;
pub use url::Url;

pub use checkup::{IssuerSeen, Offered};
pub use endpoints::Endpoints;
pub use error::HolderError;
pub use identity::{Identity, ProfileName};
pub use login::{
    AskPasted, Cancelled, Choice, Flow, LoginEvent, LoginRequest, NoFlow, NotTheAnswer, Offers, OnEvent,
    Opener, PASTED_LEN_MAX, PastedLine, Raised, SignedIn, Surroundings, choose,
};
pub use logout::{Credential, Fate, Receipt};
pub use not_taken::NotTaken;
pub use owed::{Owed, Retried, RetryFate};
pub use pass::{ActingFor, Pass, PassRequest};
pub use pass_socket::{Gives, PassSocket};
pub use present::{Binding, Headers, Presentable, Told};
pub use prints::Prints;
pub use profile::Profile;
pub use provider::http_date;
#[cfg(feature = "adapters")]
pub use role::RoleRequest;
pub use shelf::{Foreign, Unreadable};
pub use status::{Opened, Status};
pub use vault::{AskPassphrase, Asking, Places, Rung, TPM_DEVICE, keyring_idle_life};
pub use which::{Wanted, told_apart};
pub use workload::{Ambient, JobCommand, LetIn, MetadataService, SpiffeSocket};
pub use wrapped::{KEPT_LEN_MAX, KeptFile, Wrapped};

use provider::{Provider, Trust};
use shelf::Shelf;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a holder needs to know.
#[non_exhaustive]
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

impl Settings {
    /// By this clock, and nothing else yet: nothing is written, nobody is asked for a passphrase, and keys rest nowhere but in
    /// memory and the kernel. What is to be otherwise is set field by field.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            state: None,
            ca_file: None,
            clock,
            ask_passphrase: Arc::new(|_| Ok(None)),
            places: Places::default(),
        }
    }

    /// The same, changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
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
    /// Who is asked instead of everybody else.
    pass_socket: Option<Arc<PassSocket>>,
    /// What this machine runs, where that is no person's.
    workload: Option<Arc<workload::Workload>>,
}

impl Holder {
    /// Opens nothing and writes nothing yet.
    pub fn new(settings: Settings) -> Self {
        let shelf = Shelf::open(
            settings.state.as_deref(),
            &machine::name(),
            settings.ask_passphrase,
            settings.places,
        );
        let trust = Trust { ca_file: settings.ca_file.clone(), no_proxy: false };
        Self {
            locks: lock::folders(shelf.folder()),
            renewals: Arc::default(),
            provider: Provider::new(trust, settings.clock.clone()),
            clock: settings.clock,
            ca_file: settings.ca_file,
            daemon: None,
            pass_socket: None,
            workload: None,
            shelf: Arc::new(shelf),
        }
    }
}

impl Holder {
    /// What is trusted here besides the system's certificates.
    #[cfg(feature = "client")]
    fn trust(&self) -> &Trust {
        self.provider.trust()
    }

    /// The same, whose requests go through no proxy. Otherwise the HTTP client reads the environment's (`HTTPS_PROXY`,
    /// `ALL_PROXY`, `NO_PROXY`), as people expect of it.
    #[must_use]
    pub fn without_proxies(self) -> Self {
        let trust = Trust { ca_file: self.ca_file.clone(), no_proxy: true };
        Self { provider: Provider::new(trust, self.clock.clone()), ..self }
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("folder", &self.shelf.folder()).finish_non_exhaustive()
    }
}
