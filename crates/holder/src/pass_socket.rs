//! A run's pass socket, seen from inside of it: where what a command starts gets passes of its own, each no wider than
//! the command's.
//!
//! Whoever is told of such a socket asks there and nowhere else: no sign-in of theirs is looked for, none is needed, and
//! where the socket says no, nobody else is asked. It speaks as the daemon does.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "exec")]
use hallpass_model::secret::AccessToken;
use hallpass_model::secret::Secret;
use hallpass_model::wire::oauth::Scopes;
use serde::{Deserialize, Serialize};

use crate::Holder;
use crate::daemon::client::{NoAnswer, ask_over};
use crate::daemon::wire::{self, Done, TokenAsked, TokenGiven};
use crate::error::HolderError;
#[cfg(feature = "exec")]
use crate::exec::Release;
use crate::identity::Identity;
use crate::pass::{Pass, PassRequest};

/// `POST`: a pass of one run, which is not needed any more.
pub(crate) const GIVE_BACK: &str = "/v1/give-back";

/// A pass socket, as somebody who asks sees it.
#[derive(Debug, Clone)]
pub struct PassSocket {
    place: PathBuf,
}

/// What a pass socket gives: the answer of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gives {
    /// The issuer of the passes.
    pub issuer: String,
    /// The client they are issued to.
    pub client_id: String,
    /// The API they are for.
    pub resource: String,
    /// How far one reaches at most.
    pub scope: String,
    /// How many seconds one lives at most.
    pub lifetime: u32,
    /// What they are for.
    pub purpose: Option<String>,
    /// How many it still gives.
    pub left: usize,
}

/// The question of [`GIVE_BACK`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivingBack {
    /// SECURITY: a secret that is worth nothing once this is answered.
    pub(crate) access_token: String,
}

impl Drop for GivingBack {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.access_token);
    }
}

impl PassSocket {
    /// The socket at this path.
    pub fn new(place: PathBuf) -> Self {
        Self { place }
    }

    /// Where it is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What it gives.
    ///
    /// # Errors
    /// `NoPassSocket` if nobody answers there.
    pub async fn gives(&self) -> Result<Gives, HolderError> {
        self.ask("GET", wire::STATUS, &Done {}).await
    }

    /// A pass: one that others have too, or one of a run's own.
    pub(crate) async fn pass(&self, request: &PassRequest, lease: bool) -> Result<Pass, HolderError> {
        let asked = TokenAsked {
            resource: request.resource.clone(),
            scope: (!request.scopes.is_empty()).then(|| request.scopes.to_string()),
            lifetime: request.lifetime.and_then(|lifetime| lifetime.as_seconds().try_into().ok()),
            purpose: request.purpose.as_ref().map(ToString::to_string),
            lease,
            ..TokenAsked::default()
        };
        let given: TokenGiven = self.ask("POST", wire::TOKEN, &asked).await?;
        Ok(Pass {
            token: Secret::from_text(given.access_token),
            expires: given.expires,
            scope: given.scope.as_deref().and_then(|scope| Scopes::parse_tolerant(scope).ok()),
            resource: given.resource,
            own: given.own,
            run: None,
            lease: None,
            given_back: None,
        })
    }

    /// Gives passes back, as a run ends. Where that fails they end with the command that opened the socket.
    #[cfg(feature = "exec")]
    pub(crate) async fn take_back(&self, passes: impl Iterator<Item = &Secret<AccessToken>>) -> Release {
        let mut release = Release::LeftToExpire;
        for pass in passes {
            let back = GivingBack { access_token: pass.expose_text().to_owned() };
            match self.ask::<Done>("POST", GIVE_BACK, &back).await {
                Ok(_) => release = Release::Revoked,
                Err(error) => return Release::Pending { why: error.to_string() },
            }
        }
        release
    }

    /// Who listens there is not looked at: in a user namespace everybody outside is nobody. It is whoever made the path.
    async fn ask<A: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A, HolderError> {
        let failed = |why: String| HolderError::NoPassSocket { place: self.place.clone(), why };
        let stream = UnixStream::connect(&self.place).map_err(|error| failed(error.to_string()))?;
        ask_over(stream, method, path, question).await.map_err(|none| match none {
            NoAnswer::Nobody => failed("nobody listens there".into()),
            NoAnswer::Broken(why) => failed(why),
            NoAnswer::Problem(problem) => {
                let why = problem.message.clone();
                problem.into_error().unwrap_or_else(|| failed(why))
            }
        })
    }
}

impl Gives {
    /// The sign-in that the passes come of, as far as is told here.
    pub fn identity(&self) -> Identity {
        Identity::new(&self.issuer, &self.client_id)
    }
}

impl Holder {
    /// The same holder, with a pass socket in place of every sign-in.
    #[must_use]
    pub fn with_pass_socket(mut self, socket: PassSocket) -> Self {
        self.pass_socket = Some(Arc::new(socket));
        self
    }
}
