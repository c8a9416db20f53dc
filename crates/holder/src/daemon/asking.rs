//! What the holder asks the daemon for, where one is to be had. Where none is, or it cannot, the holder does it itself.

use hallpass_model::jose::base64url;
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::wire::oauth::Scopes;
use zeroize::Zeroizing;

use super::client::{Daemon, NoAnswer};
use super::wire::{
    self, Deposit, Done, Held, NotTakenAsked, Records, SignedOut, TokenAlone, TokenAsked, TokenGiven, Which,
};
use crate::Holder;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::logout::Receipt;
use crate::not_taken::NotTaken;
use crate::pass::{GivenBack, Pass, PassRequest};
use crate::record::Record;
use crate::status::Status;
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
        let asked = TokenAsked {
            issuer: Some(identity.issuer.clone()),
            client_id: Some(identity.client_id.clone()),
            profile: Some(identity.profile.as_ref().map(ToString::to_string).unwrap_or_default()),
            resource: request.resource.clone(),
            scope: (!request.scopes.is_empty()).then(|| request.scopes.to_string()),
            lifetime: request.lifetime.and_then(|lifetime| lifetime.as_seconds().try_into().ok()),
            purpose: request.purpose.as_ref().map(ToString::to_string),
            lease,
            state: daemon.state.clone(),
            org: None, // looked at by whoever found the sign-in
        };
        match daemon.ask::<TokenGiven>("POST", wire::TOKEN, &asked).await {
            Ok(given) => Some(Ok(pass(given))),
            Err(NoAnswer::Problem(problem)) => problem.into_error().map(Err),
            Err(NoAnswer::Nobody | NoAnswer::Broken(_)) => None,
        }
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
    pub(crate) async fn daemon_logout(&self, identity: &Identity) -> Option<Receipt> {
        let daemon = self.daemon_for(identity)?;
        if !self.daemon_held().contains(identity) {
            return None;
        }
        let which = Which { identity: identity.clone() };
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
            let which = Which { identity: identity.clone() };
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

fn pass(given: TokenGiven) -> Pass {
    Pass {
        token: Secret::from_text(given.access_token),
        expires: given.expires,
        scope: given.scope.as_deref().and_then(|scope| Scopes::parse_tolerant(scope).ok()),
        resource: given.resource,
        own: given.own,
        lease: given.run.as_ref().and_then(|run| run.lease),
        given_back: given
            .run
            .map(|run| Box::new(GivenBack { metadata: run.metadata, client_id: given.identity.client_id })),
    }
}
