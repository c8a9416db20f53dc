//! Answers HTTP: authorize, token, device, revoke, introspect, metadata, pages.
//!
//! Every handler is the same five steps: read the request into types (`form`), find out who asks (`caller`),
//! decide by a pure rule of the model, change state and ledger in one transaction of the store, answer.
//!
//! In reading order:

mod routes; // every endpoint on one page: method, path, who may call, handler
mod form; // reading a request
mod caller; // who is calling
mod error; // what they are told
mod org; // one tenant as an issuer: its URL, its keys, its rows kept in memory
mod keys; // an org's signing keys
mod dpop; // proofs of possession: nonces, and which were used
mod tokens; // minting, and reading back, access and ID tokens
mod minted; // which access tokens this process signed
mod metadata; // where everything is
mod outside; // keys of outside issuers and documents of clients, fetched through a guard
mod published; // what a client publishes of itself
mod outsider; // who an outside token says has come
mod target; // what a token is asked for: one resource, these scopes
mod authorize; // a login in a browser, begun and finished
mod client_document; // clients that say what they are at an address of their own
mod registration; // clients that register themselves, and manage that
mod pushed; // a login in a browser, its request sent ahead
mod raise; // the session that is there, made stronger in place of opening another
mod device_authorization; // a login where there is no browser, begun
mod token; // codes and tokens traded for tokens, one file a grant type
mod revoke; // tokens given back
mod introspect; // what a token is, to whom it is meant for
mod userinfo; // who logged in
mod lease; // the connection of a run, whose end is its pass's end
mod session_stream; // a session's own stream, for its holder
mod web; // browsers: cookies, forms, who is logged in, every page
mod passkey; // the relying party's half of WebAuthn
mod provider_login; // logging in by the org's own provider
mod login; // logging in to an org's pages, and out
mod consent; // whether a person lets a client act for them
mod agents_api; // a person's agents and their runs, for the person's own tool
mod admin_api; // the verbs of administration, for who has a role
mod copied; // a copy of another machine's sign-ins was found
mod leaked; // a credential was found where it should not be
mod report_page; // the same, by somebody with a browser alone
mod device_page; // answering a device login
mod sessions_page; // what can act for a person, ended
mod agents_page; // what acts for a person as itself, ended
mod notices_page; // what a person is told of what was ended
mod passkeys_page; // a person's passkeys
mod console; // pages for who administers, responds, audits or owns
pub mod admin; // what can be done about everything here
mod enrol; // a first passkey, by a one-time link
mod setup; // the first org and its administrator, by a one-time link
mod trouble; // what a person is told when something is wrong
mod pages; // what each page shows
mod assets; // what pages load
mod tidy; // what is done now and then, whoever asks
mod metrics; // what the server counts of itself
mod health; // whether the server can work
mod limits; // how much of anything anybody may use
mod listen; // sockets to requests
mod tls; // the server's certificate
mod base_url; // where the server is reached from outside

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use hallpass_model::random::Entropy;
use hallpass_model::time::Clock;
use hallpass_store::Store;
use tokio::sync::watch;

pub use base_url::{BadBaseUrl, BaseUrl};
pub use console::{ConsoleLine, console_lines};
pub use hallpass_model::network::{BadNetwork, Network};
pub use listen::{Listen, ListenError, Listener, TlsFiles};
pub use metrics::serve_metrics;
pub use outside::{BadRoots, OutsideRoots};
pub use outsider::{TestedToken, TestedTrust};
pub use published::NotPublished;
pub use routes::{Access, Endpoint, endpoints};
pub use tidy::Sweeper;
pub use tls::BadTlsFiles;

/// What an operator decides about the issuer. What stands in the store is not here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server is reached from outside.
    pub base_url: BaseUrl,
    /// Networks that are not public and from which keys of outside issuers may be fetched all the same: a GitLab or a
    /// cluster of the organisation's own.
    pub outside_networks: Vec<Network>,
    /// Whose certificates are believed there, beside those the system trusts.
    pub outside_roots: OutsideRoots,
}

/// The issuing service: what every handler may use. Cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Parts>);

/// The parts of an [`Issuer`].
pub struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: Settings,
    pub(crate) orgs: org::Orgs,
    pub(crate) proofs: dpop::Proofs,
    pub(crate) verified: tokens::Verified,
    pub(crate) minted: minted::Minted,
    pub(crate) outside: outside::Outside,
    pub(crate) limits: limits::NetworkLimits,
    pub(crate) held_polls: token::HeldPolls,
    pub(crate) runs: lease::Runs,
    pub(crate) watchers: session_stream::Watchers,
    pub(crate) relying_party: passkey::RelyingParty,
    pub(crate) metrics: metrics::Metrics,
    stop: watch::Sender<bool>,
}

impl Deref for Issuer {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Issuer {
    /// Puts an issuer together.
    pub fn new(store: Store, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, settings: Settings) -> Self {
        let relying_party = passkey::RelyingParty::new(&settings.base_url);
        let proofs = dpop::Proofs::new(&*entropy);
        let outside =
            outside::Outside::new(settings.outside_networks.clone(), settings.outside_roots.clone());
        let metrics = metrics::Metrics::new(clock.now());
        Self(Arc::new(Parts {
            store,
            clock,
            entropy,
            settings,
            orgs: org::Orgs::default(),
            proofs,
            verified: tokens::Verified::default(),
            minted: minted::Minted::default(),
            outside,
            limits: limits::NetworkLimits::default(),
            held_polls: token::HeldPolls::default(),
            runs: lease::Runs::default(),
            watchers: session_stream::Watchers::default(),
            relying_party,
            metrics,
            stop: watch::Sender::new(false),
        }))
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Tells it to stop: nothing new is accepted, and what waits is answered.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// How many streams of sessions are open.
    pub fn watchers(&self) -> usize {
        self.watchers.len()
    }

    /// How many polls of device codes are being held open.
    pub fn held_polls(&self) -> usize {
        self.held_polls.len()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when it was told to stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as `self`.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Every endpoint and page, as one service.
pub fn router(issuer: Issuer) -> Router {
    routes::router(issuer)
}

/// Serves until [`Issuer::stop`] is called, then lets what is under way finish, for a while.
pub async fn serve(issuer: Issuer, listener: Listener) {
    let stop = issuer.stop.subscribe();
    issuer.await_runs().await;
    let tidying = tokio::spawn(tidy::now_and_then(issuer.clone()));
    listener.serve(router(issuer.clone()), stop).await;
    // It ends by itself when the issuer is told to stop, which it was.
    let _ = tidying.await;
    issuer.write_key_uses().await;
}
