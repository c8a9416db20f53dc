//! A person at a machine: a holder with a state folder of its own, and short ways to do what tests do.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hallpass_holder::{
    AskPassphrase, Asking, Flow, Holder, HolderError, Identity, LoginEvent, LoginRequest, PassRequest, Rung,
    Settings, SignedIn, Surroundings, Wanted,
};
use hallpass_model::device::DeviceClass;
use hallpass_model::secret::Secret;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;

use hallpass_testkit::small_provider::SmallProvider;

/// The system's time: the provider runs on it too.
pub(crate) use hallpass_testkit::clock::real_now as now;

/// The one API.
pub(crate) const NOTES: &str = "https://notes.example/";

/// A person at a machine.
pub(crate) struct Desk {
    pub(crate) holder: Holder,
    pub(crate) state: Arc<tempfile::TempDir>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Another process of the same person: the same folder, nothing in memory.
    pub(crate) fn beside(&self) -> Self {
        Self::over(self.state.clone())
    }

    /// The same, so many minutes later.
    pub(crate) fn beside_later(&self, minutes: u32) -> Self {
        Self::over_at(self.state.clone(), Lifetime::minutes(minutes))
    }

    /// A copy of the folder, elsewhere.
    pub(crate) fn copied(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .args(["-a", "--"])
            .arg(self.state.path().join("hallpass"))
            .arg(copy.path())
            .status();
        assert!(copied.unwrap().success());
        Self::over(Arc::new(copy))
    }

    /// This one, so many minutes later.
    pub(crate) fn later(self, minutes: u32) -> Self {
        self.beside_later(minutes)
    }

    fn over(state: Arc<tempfile::TempDir>) -> Self {
        Self::over_at(state, Lifetime::minutes(0))
    }

    /// The same, with somebody who knows another passphrase, or stops at the prompt if `None`.
    pub(crate) fn beside_typing(&self, passphrase: Option<&'static str>) -> Self {
        let typed = move |_| match passphrase {
            Some(passphrase) => Ok(Some(Secret::from_text(passphrase.into()))),
            None => Err(std::io::ErrorKind::Interrupted.into()),
        };
        let folder = Some(self.state.path().join("hallpass"));
        Self::of(self.state.clone(), folder, Lifetime::minutes(0), Arc::new(typed))
    }

    /// The same, so many minutes later, counting how often somebody is asked for the passphrase: a person at a terminal,
    /// who has it in their head alone.
    pub(crate) fn beside_counting_questions(&self, minutes: u32) -> (Holder, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let ask: AskPassphrase = Arc::new(move |asking| {
            if asking == Asking::Quietly {
                return Ok(None);
            }
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Some(Secret::from_text("correct horse".into())))
        });
        let folder = Some(self.state.path().join("hallpass"));
        (Self::of(self.state.clone(), folder, Lifetime::minutes(minutes), ask).holder, asked)
    }

    /// One whose sign-ins are kept there, if anywhere.
    pub(crate) fn in_folder(folder: Option<PathBuf>) -> Self {
        let state = Arc::new(tempfile::tempdir().unwrap());
        Self::of(state, folder, Lifetime::minutes(0), Arc::new(|_| Ok(None)))
    }

    fn over_at(state: Arc<tempfile::TempDir>, later: Lifetime) -> Self {
        let folder = Some(state.path().join("hallpass"));
        Self::of(state, folder, later, Arc::new(|_| Ok(Some(Secret::from_text("correct horse".into())))))
    }

    fn of(
        state: Arc<tempfile::TempDir>,
        folder: Option<PathBuf>,
        later: Lifetime,
        ask_passphrase: AskPassphrase,
    ) -> Self {
        let holder = Holder::new(Settings::new(Arc::new(move || now() + later)).with(|settings| {
            settings.state = folder;
            settings.ask_passphrase = ask_passphrase;
        }));
        Self { holder, state }
    }

    /// The notes that a login gives.
    pub(crate) async fn notes_of_login(&self, request: LoginRequest) -> Vec<String> {
        let mut notes = Vec::new();
        let mut see = |event: LoginEvent<'_>| {
            if let LoginEvent::Note(note) = event {
                notes.push(note.to_owned());
            }
        };
        self.login_seeing(request, &mut see).await.unwrap();
        notes
    }

    /// A login that its person stops once `when` is true. `seen` runs when the holder has heard that.
    pub(crate) async fn stopped_login(
        &self,
        request: LoginRequest,
        on_event: &mut (dyn FnMut(LoginEvent<'_>) + Send),
        when: impl Future<Output = ()> + Send,
        seen: impl FnOnce() + Send,
    ) -> Result<SignedIn, HolderError> {
        let stopped = std::pin::pin!(async {
            when.await;
            seen();
        });
        self.holder.login(request, on_event, stopped).await
    }

    pub(crate) async fn login(&self, request: LoginRequest) -> Result<SignedIn, HolderError> {
        self.login_seeing(request, &mut |_| {}).await
    }

    pub(crate) async fn login_seeing(
        &self,
        request: LoginRequest,
        on_event: &mut (dyn FnMut(LoginEvent<'_>) + Send),
    ) -> Result<SignedIn, HolderError> {
        let never = std::pin::pin!(std::future::pending());
        self.holder.login(request, on_event, never).await
    }

    /// Signs in by device flow, for the one API.
    pub(crate) async fn signed_in(&self, provider: &SmallProvider) -> Identity {
        self.login(request(provider)).await.unwrap().identity
    }

    /// An access token, as text.
    pub(crate) async fn token(&self, identity: &Identity) -> Result<String, HolderError> {
        let pass = self.holder.token(identity, &PassRequest::default()).await?;
        Ok(pass.token.expose_text().to_owned())
    }
}

/// A login by device flow, for the one API.
pub(crate) fn request(provider: &SmallProvider) -> LoginRequest {
    base_request(&provider.issuer, Flow::Device)
}

/// A login for the one API.
pub(crate) fn base_request(issuer: &str, flow: Flow) -> LoginRequest {
    LoginRequest::new(issuer.to_owned(), Surroundings::default()).with(|request| {
        request.client_id = Some("hallpass-cli".into());
        request.scopes = Scopes::parse("notes:read").unwrap();
        request.resources = vec![NOTES.into()];
        request.purpose = Some("a test".parse().unwrap());
        request.flow = Some(flow);
        request.device_name = "desk".into();
        request.device_class = DeviceClass::Laptop;
        request.rung = Some(Rung::Passphrase);
    })
}

/// A sign-in at this issuer.
pub(crate) fn at(issuer: &str) -> Wanted<'_> {
    Wanted { issuer: Some(issuer), ..Wanted::default() }
}

/// Waits until something is true, at most ten seconds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waited).await.expect("it becomes true");
}
