//! A program of somebody's own that signs its users in: one issuer, one client, one sign-in.
//!
//! [`App`] says what the program is; [`App::open`] gives the [`Account`] of whoever runs it. Whatever is not said is not
//! looked up: without [`App::environment`] no variable is read, no browser started and no proxy used, and without
//! [`App::state`] nothing is written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hallpass_model::secret::{Passphrase, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;

use crate::endpoints::Endpoints;
use crate::environment::{Environment, device_class, machine_name};
use crate::error::HolderError;
use crate::identity::Identity;
use crate::login::{AskPasted, Cancelled, Flow, LoginRequest, OnEvent, Opener, SignedIn, Surroundings};
use crate::logout::Receipt;
use crate::pass::{Pass, PassRequest};
use crate::present::{Binding, Presentable};
use crate::status::Status;
use crate::vault::{AskPassphrase, Asking, Places, Rung};
use crate::{Clock, Holder, Settings};

/// What a program is, and how it signs its users in.
#[must_use = "nothing happens before `open`"]
pub struct App {
    name: String,
    issuer: String,
    endpoints: Endpoints,
    client_id: Option<String>,
    scopes: String,
    resources: Vec<String>,
    state: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    ask_passphrase: AskPassphrase,
    ask_pasted: Option<AskPasted>,
    clock: Clock,
    surroundings: Surroundings,
    opener: Opener,
    places: Places,
    rung: Option<Rung>,
    proxies: bool,
}

impl App {
    /// A program called `name` (its state folder is, and requests say so) whose users sign in at `issuer`: an address such
    /// as `https://id.example/acme`, of any OAuth or OIDC provider.
    pub fn new(name: impl Into<String>, issuer: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            endpoints: Endpoints::default(),
            client_id: None,
            scopes: String::new(),
            resources: Vec::new(),
            state: None,
            ca_file: None,
            ask_passphrase: Arc::new(|_| Ok(None)),
            ask_pasted: None,
            clock: Arc::new(system_time),
            surroundings: Surroundings::default(),
            opener: Opener::Nobody,
            places: Places::default(),
            rung: None,
            proxies: false,
        }
    }

    /// The issuer's endpoints, where it publishes no metadata, or not all of them.
    pub fn endpoints(self, endpoints: Endpoints) -> Self {
        Self { endpoints, ..self }
    }

    /// The `client_id` that the program is registered with. Needed but at a Hallpass issuer.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        Self { client_id: Some(id.into()), ..self }
    }

    /// The scopes to ask for at sign-in, with spaces between them.
    pub fn scopes(self, scopes: impl Into<String>) -> Self {
        Self { scopes: scopes.into(), ..self }
    }

    /// An API that the program speaks to (RFC 8707), by its own identifier. May be called for several.
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.resources.push(url.into());
        self
    }

    /// The folder for the program's state; made, and made private, at the first sign-in. Without one a sign-in lives as
    /// long as the process.
    pub fn state(self, folder: impl Into<PathBuf>) -> Self {
        Self { state: Some(folder.into()), ..self }
    }

    /// A file of PEM certificates to trust besides the system's.
    pub fn ca_file(self, file: impl Into<PathBuf>) -> Self {
        Self { ca_file: Some(file.into()), ..self }
    }

    /// Who is asked for a passphrase, where this machine has no keyring for the key of the sign-in. Nobody, otherwise: the
    /// sign-in then fails before anybody is sent to a browser.
    pub fn ask_passphrase(
        self,
        ask: impl Fn(Asking) -> io::Result<Option<Secret<Passphrase>>> + Send + Sync + 'static,
    ) -> Self {
        Self { ask_passphrase: Arc::new(ask), ..self }
    }

    /// Who is asked to paste the address where a browser elsewhere ended, where the issuer gives no codes and a browser
    /// reaches no port here. Nobody, otherwise: such a sign-in fails.
    pub fn ask_pasted(self, ask: AskPasted) -> Self {
        Self { ask_pasted: Some(ask), ..self }
    }

    /// Where the key of a new sign-in is to rest. The best place there is, otherwise.
    pub fn rung(self, rung: Rung) -> Self {
        Self { rung: Some(rung), ..self }
    }

    /// Another clock than the system's.
    pub fn clock(self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Looks around in an environment: for the state folder if none was named, for a browser and for reasons not to start
    /// one, for a keyring on the session bus, and for proxies. For the process's own: `&Environment::new(&|name| std::env::var_os(name))`.
    pub fn environment(self, environment: &Environment<'_>) -> Self {
        Self {
            state: self.state.clone().or_else(|| environment.state_folder(&self.name)),
            surroundings: environment.surroundings(),
            opener: environment.opener(),
            places: environment.places(),
            proxies: true,
            ..self
        }
    }

    /// The account of whoever runs the program. Opens nothing and writes nothing yet.
    ///
    /// # Errors
    /// `Usage` if the scopes are none.
    pub fn open(self) -> Result<Account, HolderError> {
        let scopes = Scopes::parse_tolerant(&self.scopes)
            .map_err(|bad| HolderError::Usage { what: format!("the scopes of this program: {bad}") })?;
        let holder = Holder::new(Settings {
            state: self.state.clone(),
            ca_file: self.ca_file.clone(),
            clock: self.clock.clone(),
            ask_passphrase: self.ask_passphrase.clone(),
            places: self.places.clone(),
        });
        let holder = if self.proxies { holder } else { holder.without_proxies() };
        Ok(Account(Arc::new(Inner { holder, scopes, app: self })))
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("name", &self.name).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The one sign-in of a program on this machine, whether there is one yet or not. Cheap to clone.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    holder: Holder,
    scopes: Scopes,
    app: App,
}

impl Account {
    /// Signs the person in. `on_event` sees what they must be shown: a code, an address. `cancelled` ends when they want to
    /// stop; `Box::pin(std::future::pending())`, as a pinned reference, never does. `flow` is how they are asked, if that is
    /// not to be chosen by where they sit.
    ///
    /// # Errors
    /// All but `NotSignedIn`. Nothing is kept then, neither here nor, as far as it can be reached, at the issuer.
    pub async fn login(
        &self,
        flow: Option<Flow>,
        on_event: OnEvent<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<SignedIn, HolderError> {
        let app = &self.0.app;
        let request = LoginRequest {
            issuer: app.issuer.clone(),
            endpoints: app.endpoints.clone(),
            client_id: app.client_id.clone(),
            profile: None,
            client_secret: None,
            scopes: self.0.scopes.clone(),
            resources: app.resources.clone(),
            purpose: None,
            flow,
            brief: false,
            as_new: false,
            raise: false,
            org: None,
            device_class: device_class(&app.surroundings),
            surroundings: app.surroundings.clone(),
            opener: app.opener.clone(),
            ask_pasted: app.ask_pasted.clone(),
            device_name: machine_name(),
            rung: app.rung.or_else(|| app.state.is_none().then_some(Rung::Memory)),
            max_age: None,
            acr_values: Vec::new(),
            for_one_command: false,
        };
        self.0.holder.login(request, on_event, cancelled).await
    }

    /// Revokes the sign-in at its issuer and wipes it here.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none; what could not be revoked stands in the receipt.
    pub async fn logout(&self) -> Result<Receipt, HolderError> {
        self.0.holder.logout(&self.identity()?).await
    }

    /// What is known here about the sign-in, without asking the issuer.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none.
    pub fn status(&self) -> Result<Status, HolderError> {
        self.0.holder.status(&self.identity()?)
    }

    /// A bearer token for the program's API that is good now: renewed if need be, and never twice at once, whatever other
    /// processes do. Prefer [`present`](Self::present), or the `client` feature: those bind it to a key.
    ///
    /// # Errors
    /// Those of [`Holder::token`], and `NotSignedIn`.
    pub async fn token(&self, request: &PassRequest) -> Result<Pass, HolderError> {
        self.0.holder.token(&self.identity()?, request).await
    }

    /// A pass for an API, and what it takes to present it: for an HTTP client other than the `client` feature's.
    ///
    /// # Errors
    /// Those of [`Holder::present`], and `NotSignedIn`.
    pub async fn present(&self, request: &PassRequest) -> Result<Presentable, HolderError> {
        self.0.holder.present(&self.identity()?, request, Binding::AsSignedIn).await
    }

    /// A client for the program's API, which asks with the sign-in's tokens: see [`api`](crate::api).
    ///
    /// # Errors
    /// `NotSignedIn`, and `Usage` where the API is not clear: name it with [`ApiClient::new`](crate::api::ApiClient::new).
    #[cfg(feature = "client")]
    pub fn client(&self) -> Result<crate::api::ApiClient, HolderError> {
        let resource = match self.0.app.resources.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        let request = PassRequest { resource, ..PassRequest::default() };
        crate::api::ApiClient::new(&self.0.holder, &self.identity()?, request)
    }

    /// Which sign-in it is.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none.
    pub fn identity(&self) -> Result<Identity, HolderError> {
        let app = &self.0.app;
        let client_id = app.client_id.as_deref();
        let wanted = crate::Wanted { issuer: Some(&app.issuer), client_id, profile: None };
        self.0.holder.find(&wanted)
    }

    /// The holder underneath, for what is not here.
    pub fn holder(&self) -> &Holder {
        &self.0.holder
    }

    #[cfg(feature = "clap")]
    pub(crate) fn name(&self) -> &str {
        &self.0.app.name
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Account").field(&self.0.app).finish()
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of whoever names no other")]
fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |since| since.as_millis() as i64))
}
