//! What the holder asks the daemon for, where one is to be had. Where none is, or it cannot, the holder does it itself.

use hallpass_model::jose::base64url;
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::wire::oauth::{Scopes, TokenType};
use url::Url;
use zeroize::Zeroizing;

use super::client::{Daemon, NoAnswer};
use super::wire::{
    self, Deposit, Done, HeadersAsked, HeadersGiven, Held, NotTakenAsked, Records, RenameAsked, SignedOut,
    TokenAlone, TokenAsked, TokenGiven, Which,
};
use crate::Holder;
use crate::error::HolderError;
use crate::identity::{Identity, ProfileName};
use crate::logout::Receipt;
use crate::not_taken::NotTaken;
use crate::owed::OfKey;
use crate::pass::{ActingFor, GivenBack, Pass, PassRequest};
use crate::pins::Pins;
use crate::present::{Binding, Headers, Learned};
use crate::record::Record;
use crate::status::{Opened, Status};
use crate::vault::Rung;

/// What came of asking without a runtime.
#[derive(Debug)]
pub enum Fast {
    /// A token.
    Given(Secret<AccessToken>),
    /// An error that asking another way would not mend.
    Failed(HolderError),
    /// Ask another way.
    NotHere,
}

impl Daemon {
    /// Asks for a token without a runtime, a thread or a look at the disk: for the command that does nothing else.
    pub fn token(&self, asked: &TokenAsked) -> Fast {
        match self.ask_slowly::<TokenAlone>("POST", wire::TOKEN, asked) {
            Ok(given) => Fast::Given(Secret::from_text(given.access_token)),
            Err(NoAnswer::Problem(problem)) => match problem.into_error() {
                Some(error) => Fast::Failed(error),
                None => Fast::NotHere,
            },
            Err(NoAnswer::Nobody | NoAnswer::Broken(_)) => Fast::NotHere,
        }
    }
}

impl Holder {
    /// The same holder, asking this daemon.
    #[must_use]
    pub fn with_daemon(mut self, daemon: Daemon) -> Self {
        self.daemon = Some(std::sync::Arc::new(daemon));
        self
    }

    /// The daemon, where it is to be asked about this sign-in: not about one that is in this very process.
    fn daemon_for(&self, identity: &Identity) -> Option<&Daemon> {
        let daemon = self.daemon.as_deref()?;
        (!self.shelf.is_in_memory(identity) && daemon.is_asked()).then_some(daemon)
    }

    /// A pass from the daemon. `None` where the holder is to see to it itself.
    pub(crate) async fn daemon_token(
        &self,
        identity: &Identity,
        request: &PassRequest,
        lease: bool,
    ) -> Option<Result<Pass, HolderError>> {
        let daemon = self.daemon_for(identity)?;
        let asked = TokenAsked { lease, ..asked(daemon, identity, request) };
        match daemon.ask::<TokenGiven>("POST", wire::TOKEN, &asked).await {
            Ok(given) => Some(Ok(pass(given))),
            Err(NoAnswer::Problem(problem)) => problem.into_error().map(Err),
            Err(NoAnswer::Nobody | NoAnswer::Broken(_)) => None,
        }
    }

    /// The same from nothing that is kept, of a sign-in that the daemon alone holds.
    pub(crate) async fn daemon_fresh(
        &self,
        identity: &Identity,
        request: &PassRequest,
    ) -> Option<Result<Pass, HolderError>> {
        let daemon = self.daemon_that_holds(identity)?;
        let asked = TokenAsked { fresh: true, ..asked(daemon, identity, request) };
        let given = daemon.ask::<TokenGiven>("POST", wire::TOKEN, &asked).await;
        Some(given.map(pass).map_err(NoAnswer::into_error))
    }

    /// A pass to be presented like this, of a sign-in that the daemon alone holds: who makes its proofs, if any go with it,
    /// and the last nonce of its API.
    pub(crate) async fn daemon_present(
        &self,
        identity: &Identity,
        request: &PassRequest,
        binding: Binding,
    ) -> Option<Result<(Pass, Option<Signer>, Option<String>), HolderError>> {
        let daemon = self.daemon_that_holds(identity)?;
        let asked = TokenAsked { binding: Some(binding), ..asked(daemon, identity, request) };
        let mut given = match daemon.ask::<TokenGiven>("POST", wire::TOKEN, &asked).await {
            Ok(given) => given,
            Err(none) => return Some(Err(none.into_error())),
        };
        let bound = given.token_type == TokenType::Dpop.text();
        let nonce = given.nonce.take();
        let signer = bound.then(|| Signer { daemon: daemon.clone(), asked });
        Some(Ok((pass(given), signer, nonce)))
    }

    /// Nobody is signed in as far as is known: what a daemon holds that does not answer is not known.
    pub(crate) fn unless_the_daemon_is_stuck(&self, not_signed_in: HolderError) -> HolderError {
        match self.daemon.as_deref().and_then(Daemon::stuck) {
            Some(why) => HolderError::NoDaemon { why },
            None => not_signed_in,
        }
    }

    /// Whether the daemon holds this sign-in, and nobody else.
    pub(crate) fn daemon_alone_holds(&self, identity: &Identity) -> bool {
        self.daemon_that_holds(identity).is_some()
    }

    fn daemon_that_holds(&self, identity: &Identity) -> Option<&Daemon> {
        self.daemon.as_ref()?;
        // What is here, or cannot be read here, is not the daemon's.
        if !matches!(self.shelf.header(identity), Ok(None)) {
            return None;
        }
        let daemon = self.daemon_for(identity)?;
        self.daemon_held().contains(identity).then_some(daemon)
    }

    /// What stands in a record that the daemon alone holds. `None` if it holds none such.
    pub(crate) fn daemon_opened(&self, identity: &Identity) -> Option<Result<Opened, HolderError>> {
        self.daemon_that_holds(identity)?;
        let opened = self.daemon_status(identity)?.opened;
        Some(opened.and_then(|opened| match &opened.ended {
            Some(why) => Err(crate::refresh::ended(identity, why.clone())),
            None => Ok(opened),
        }))
    }

    /// Whom and what a sign-in that the daemon holds was pinned to.
    pub(crate) fn daemon_pins(&self, identity: &Identity) -> Option<Pins> {
        self.held().into_iter().find(|held| held.identity == *identity)?.pins
    }

    /// Moves a sign-in that the daemon alone holds under another profile.
    pub(crate) async fn daemon_rename(
        &self,
        identity: &Identity,
        to: &ProfileName,
    ) -> Result<(), HolderError> {
        let Some(daemon) = self.daemon.as_deref() else { return Ok(()) };
        let asked = RenameAsked { identity: identity.clone(), to: to.clone() };
        daemon.ask::<Done>("POST", wire::RENAME, &asked).await.map(|_| ()).map_err(NoAnswer::into_error)
    }

    /// What the daemon alone holds. Nothing where none is to be had.
    pub(crate) fn daemon_held(&self) -> Vec<Identity> {
        self.held().into_iter().map(|held| held.identity).collect()
    }

    fn held(&self) -> Vec<Held> {
        let Some(daemon) = self.daemon.as_deref().filter(|daemon| daemon.is_asked()) else {
            return Vec::new();
        };
        daemon
            .ask_at_once::<Records>("GET", wire::RECORDS, &Done {})
            .map_or_else(|_| Vec::new(), |all| all.records)
    }

    /// What is known about a sign-in that the daemon alone holds.
    pub(crate) fn daemon_status(&self, identity: &Identity) -> Option<Status> {
        self.daemon_for(identity)?;
        let held = self.held().into_iter().find(|held| held.identity == *identity)?;
        let opened = match (held.opened, held.problem) {
            (Some(opened), _) => Ok(opened),
            (None, None) => Err(HolderError::DaemonLocked),
            (None, Some(why)) => Err(HolderError::NoDaemon { why }),
        };
        Some(Status { identity: held.identity, rung: Rung::Daemon, file: None, moved: false, opened })
    }

    /// Gives up a sign-in that the daemon alone holds. `None` if it holds none such.
    pub(crate) async fn daemon_logout(&self, identity: &Identity, api_key: OfKey) -> Option<Receipt> {
        let daemon = self.daemon_for(identity)?;
        if !self.daemon_held().contains(identity) {
            return None;
        }
        let which = Which { identity: identity.clone(), revoke_key: api_key == OfKey::Revoked };
        let mut receipt = Receipt { identity: Some(identity.clone()), ..Receipt::default() };
        match daemon.ask::<SignedOut>("POST", wire::LOGOUT, &which).await {
            Ok(out) => {
                (receipt.credentials, receipt.not_owed) = (out.credentials, out.not_owed);
                receipt.wiped_key = out.wiped.then_some(Rung::Daemon);
            }
            Err(none) => receipt.not_wiped = Some(none.into_error().to_string()),
        }
        Some(receipt)
    }

    /// Tells the daemon, if one runs, that what it has in mind about a sign-in is not so any more.
    pub(crate) fn daemon_forgets(&self, identity: &Identity) {
        if let Some(daemon) = self.daemon.as_deref().filter(|daemon| daemon.is_asked()) {
            let which = Which { identity: identity.clone(), revoke_key: false };
            // Where none runs there is nobody to forget, and one that does looks at the disk before it answers.
            let _ = daemon.ask_at_once::<Done>("POST", wire::FORGET, &which);
        }
    }

    /// Tells the daemon of a token that was not taken, of a sign-in that it alone holds.
    pub(crate) fn daemon_not_taken(
        &self,
        identity: &Identity,
        which: NotTaken<'_>,
    ) -> Result<(), HolderError> {
        let Some(daemon) = self.daemon_for(identity) else { return Ok(()) };
        let (token, request) = match which {
            NotTaken::Token(token) => (std::str::from_utf8(token.expose()).ok().map(str::to_owned), None),
            NotTaken::KeptFor(request) => (None, Some(request)),
        };
        let scopes = request.map(|request| &request.scopes).filter(|scopes| !scopes.is_empty());
        let told = NotTakenAsked {
            identity: identity.clone(),
            token,
            resource: request.and_then(|request| request.resource.clone()),
            scope: scopes.map(ToString::to_string),
        };
        match daemon.ask_at_once::<Done>("POST", wire::NOT_TAKEN, &told) {
            Ok(_) | Err(NoAnswer::Nobody) => Ok(()), // where none runs, nothing is kept
            Err(none) => Err(none.into_error()),
        }
    }

    /// Proves that the daemon can hold a sign-in, before anybody is asked for one. It is started if need be.
    pub(crate) fn daemon_ready(&self) -> Result<(), HolderError> {
        let nobody = |why: &str| HolderError::NoDaemon { why: why.into() };
        let daemon = self.daemon.as_deref().ok_or_else(|| nobody("this program has none"))?;
        if !daemon.is_asked() {
            return Err(nobody("it is turned off"));
        }
        daemon.start()?;
        match daemon.status()? {
            Some(status) if status.locked => Err(HolderError::DaemonLocked),
            Some(status) if status.state != daemon.state => {
                Err(nobody("the one that runs is of another state folder"))
            }
            Some(_) => Ok(()),
            None => Err(nobody("none runs")),
        }
    }

    /// Has the daemon hold a sign-in. What it does not take is given back, so that what is in it can be revoked.
    pub(crate) async fn deposit(
        &self,
        identity: &Identity,
        record: Record,
    ) -> Result<Record, (HolderError, Box<Record>)> {
        let Some(daemon) = self.daemon.as_deref() else {
            return Err((HolderError::NoDaemon { why: "this program has none".into() }, Box::new(record)));
        };
        let shown = Zeroizing::new(base64url::render(&*record.render()));
        let mut deposit = Deposit { identity: identity.clone(), record: shown.to_string() };
        let taken = daemon.ask::<Done>("POST", wire::RECORDS, &deposit).await;
        zeroize::Zeroize::zeroize(&mut deposit.record);
        match taken {
            Ok(_) => Ok(record),
            Err(none) => Err((none.into_error(), Box::new(record))),
        }
    }
}

/// Who makes proofs with a key that is not here.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    daemon: Daemon,
    asked: TokenAsked,
}

impl Signer {
    /// What goes with one request.
    pub(crate) fn headers(&self, method: &str, url: &Url, learned: &Learned) -> Result<Headers, HolderError> {
        let asked = HeadersAsked {
            method: method.to_owned(),
            url: url.clone(),
            token: self.asked.clone(),
            nonce: learned.nonce.clone(),
            ahead: learned.offset,
        };
        let given: HeadersGiven =
            self.daemon.ask_slowly("POST", wire::HEADERS, &asked).map_err(NoAnswer::into_error)?;
        let authorization = Secret::from_text(given.authorization.clone());
        Ok(Headers { authorization, proof: given.dpop.clone() })
    }
}

fn asked(daemon: &Daemon, identity: &Identity, request: &PassRequest) -> TokenAsked {
    TokenAsked {
        issuer: Some(identity.issuer.clone()),
        client_id: Some(identity.client_id.clone()),
        profile: Some(identity.profile.as_ref().map(ToString::to_string).unwrap_or_default()),
        resource: request.resource.clone(),
        scope: (!request.scopes.is_empty()).then(|| request.scopes.to_string()),
        lifetime: request.lifetime.and_then(|lifetime| lifetime.as_seconds().try_into().ok()),
        purpose: request.purpose.as_ref().map(ToString::to_string),
        agent: match &request.acting {
            Some(ActingFor::NewRun(agent)) => Some(agent.to_string()),
            _ => None,
        },
        run: match &request.acting {
            Some(ActingFor::Run(run)) => Some(*run),
            _ => None,
        },
        state: daemon.state.clone(),
        ..TokenAsked::default()
    }
}

fn pass(given: TokenGiven) -> Pass {
    Pass {
        token: Secret::from_text(given.access_token),
        expires: given.expires,
        scope: given.scope.as_deref().and_then(|scope| Scopes::parse_tolerant(scope).ok()),
        resource: given.resource,
        own: given.own,
        run: given.run.as_ref().and_then(|run| run.agents),
        lease: given.run.as_ref().and_then(|run| run.lease),
        given_back: given
            .run
            .map(|run| Box::new(GivenBack { metadata: run.metadata, client_id: given.identity.client_id })),
    }
}
