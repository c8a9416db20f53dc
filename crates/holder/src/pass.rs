//! A pass: an access token for one API, narrower and shorter than the sign-in it comes from.
//!
//! With our issuer it is got by exchange (RFC 8693): the subject is the session's own token, which is for the issuer
//! and never sent to an API. Other providers' own access token is all there is to hand out.

use hallpass_model::id::{CredentialId, LeaseId};
use hallpass_model::principal::Handle;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{GrantType, Scopes, TokenResponse, TokenType, token_type};

use crate::Holder;
use crate::client::OurClient;
use crate::error::HolderError;
use crate::not_taken::NotTaken;
use crate::provider::{Fields, NoAnswer, With};
use crate::record::{AccessHeld, PassHeld, Record};
use crate::refresh::{copy, session_key};
use crate::shelf::{Identity, Loaded};

/// A kept pass is handed out again while it is good for this much more: the command it is for must still be in time.
const HAND_OUT_AGAIN: Lifetime = Lifetime::seconds(30);

/// What is wanted of a pass.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PassRequest {
    /// The API. May be left out where the sign-in has just one.
    pub resource: Option<String>,
    /// How far; all that was granted for the API if empty.
    pub scopes: Scopes,
    /// How long; the issuer's own choice if `None`. The issuer may cut it.
    pub lifetime: Option<Lifetime>,
    /// Why.
    pub purpose: Option<Purpose>,
    /// The agent that it is for, where it is not for the person alone.
    pub acting: Option<ActingFor>,
}

/// For whom a pass is, besides the person: an agent of theirs, which the pass then names (RFC 8693, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActingFor {
    /// A run that begins, of the person's agent of this name.
    NewRun(Handle),
    /// A run that goes on.
    Run(CredentialId),
}

impl PassRequest {
    /// For this API.
    #[must_use]
    pub fn resource(self, resource: impl Into<Option<String>>) -> Self {
        Self { resource: resource.into(), ..self }
    }

    /// So far.
    #[must_use]
    pub fn scopes(self, scopes: Scopes) -> Self {
        Self { scopes, ..self }
    }

    /// For so long.
    #[must_use]
    pub fn lifetime(self, lifetime: impl Into<Option<Lifetime>>) -> Self {
        Self { lifetime: lifetime.into(), ..self }
    }

    /// For this agent of the person's.
    #[must_use]
    pub fn acting(self, acting: impl Into<Option<ActingFor>>) -> Self {
        Self { acting: acting.into(), ..self }
    }

    /// For this.
    #[must_use]
    pub fn purpose(self, purpose: impl Into<Option<Purpose>>) -> Self {
        Self { purpose: purpose.into(), ..self }
    }
}

/// An access token for one API.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pass {
    /// The token: a bearer token, but for what [`Presentable`](crate::Presentable) has.
    pub token: Secret<AccessToken>,
    /// When it is over, if the provider says.
    pub expires: Option<Timestamp>,
    /// How far it reaches, if the provider says.
    pub scope: Option<Scopes>,
    /// The API it is for, if that is known.
    pub resource: Option<String>,
    /// Whether it is a token of its own, which can be revoked alone. Otherwise it is the sign-in's, shared by all.
    pub own: bool,
    /// The run of an agent that it is of.
    pub run: Option<CredentialId>,
    /// The lease it is held under.
    pub(crate) lease: Option<LeaseId>,
    /// How it is given back, where the sign-in it came from is another process's.
    pub(crate) given_back: Option<Box<GivenBack>>,
}

/// Where a pass is given back, and as whom: a public client, which has nothing to prove.
#[derive(Debug)]
pub(crate) struct GivenBack {
    pub(crate) metadata: IssuerMetadata,
    pub(crate) client_id: String,
}

impl GivenBack {
    pub(crate) fn client(&self) -> OurClient {
        OurClient::new(self.client_id.clone(), None)
    }
}

/// What is asked of an exchange.
pub(crate) struct Wish<'a> {
    pub(crate) request: &'a PassRequest,
    pub(crate) wanted: &'a TokenType,
    pub(crate) lease: bool,
}

impl Holder {
    /// An access token for an API: from what is kept while that is good, otherwise fresh.
    ///
    /// It needs a tokio runtime, and its future may be dropped at any time: see [`settled`](Self::settled).
    pub async fn token(&self, identity: &Identity, request: &PassRequest) -> Result<Pass, HolderError> {
        if let Some(socket) = &self.pass_socket {
            return socket.pass(request, false).await;
        }
        if let Some(workload) = self.workload(identity) {
            return Box::pin(self.workload_pass(workload, request, None, false)).await;
        }
        if let Some(answered) = self.daemon_token(identity, request, false).await {
            return answered;
        }
        Ok(self.pass_of(identity, request, &TokenType::Bearer, true).await?.0)
    }

    /// The same from nothing that is kept: the sign-in is [renewed](Self::renew) first.
    pub async fn fresh_token(&self, identity: &Identity, request: &PassRequest) -> Result<Pass, HolderError> {
        if let Some(workload) = self.workload(identity) {
            return Box::pin(self.workload_pass(workload, request, None, false)).await;
        }
        if let Some(answered) = self.daemon_fresh(identity, request).await {
            return answered;
        }
        self.renew(identity).await?;
        Ok(self.pass_of(identity, request, &TokenType::Bearer, false).await?.0)
    }

    /// The same of either type, and the last nonce of its API. `may_be_kept` says whether one that is kept will do.
    pub(crate) async fn pass_of(
        &self,
        identity: &Identity,
        request: &PassRequest,
        wanted: &TokenType,
        may_be_kept: bool,
    ) -> Result<(Pass, Option<String>), HolderError> {
        let loaded = self.standing(identity)?;
        // A pass of an agent's is its run's alone.
        let may_be_kept = may_be_kept && request.acting.is_none();
        if !loaded.record.ours {
            return Ok((self.shared_token(identity, request, None).await?, None));
        }
        let resource = self.target(&loaded, request)?;
        let purpose = request.purpose.as_ref().map(ToString::to_string);
        let now = (self.clock)();
        let kept = loaded.record.passes.iter().find(|held| {
            held.resource == resource
                && held.access.token_type == *wanted
                && held.asked == request.scopes
                && held.purpose == purpose
                && held.access.good(now, HAND_OUT_AGAIN)
        });
        // A wish for a shorter life is for a pass of its own.
        if let (true, Some(kept), None) = (may_be_kept, kept, request.lifetime) {
            return Ok((pass(&kept.access, Some(resource), true, None), kept.nonce.clone()));
        }
        let wish = Wish { request, wanted, lease: false };
        let (mut loaded, tokens) =
            self.beside_owed(Box::pin(self.exchange(identity, &resource, &wish))).await?;
        let access = self.as_held(&loaded.record, &tokens);
        let fresh = Pass { run: tokens.run, ..pass(&access, Some(resource.clone()), true, None) };
        if request.lifetime.is_none() && request.acting.is_none() {
            let asked = request.scopes.clone();
            loaded.record.keep_pass(PassHeld { resource, asked, purpose, access, nonce: None }, now);
            // Overtaken or gone: then it is just not kept.
            self.shelf.save(&mut loaded, now)?;
        }
        Ok((fresh, None))
    }

    /// A pass for one run, under a lease of our issuer's. `refused` is one that an API did not take: where the sign-in's
    /// own token is all there is, that is renewed.
    pub(crate) async fn leased(
        &self,
        identity: &Identity,
        request: &PassRequest,
        refused: Option<&Secret<AccessToken>>,
    ) -> Result<Pass, HolderError> {
        self.may_act(identity, request)?;
        if let Some(socket) = &self.pass_socket {
            return socket.pass(request, true).await;
        }
        if let Some(workload) = self.workload(identity) {
            return Box::pin(self.workload_pass(workload, request, None, true)).await;
        }
        let daemons = self.daemon_alone_holds(identity);
        if let (true, Some(refused)) = (daemons, refused) {
            self.not_taken(identity, NotTaken::Token(refused))?;
        }
        if (daemons || refused.is_none())
            && let Some(answered) = self.daemon_token(identity, request, true).await
        {
            return answered;
        }
        let loaded = self.standing(identity)?;
        if !loaded.record.ours {
            return self.shared_token(identity, request, refused).await;
        }
        let resource = self.target(&loaded, request)?;
        let wish = Wish { request, wanted: &TokenType::Bearer, lease: true };
        let (loaded, tokens) = self.beside_owed(Box::pin(self.exchange(identity, &resource, &wish))).await?;
        let lease = tokens.lease;
        let leased = pass(&self.as_held(&loaded.record, &tokens), Some(resource), true, lease);
        Ok(Pass { run: tokens.run, ..leased })
    }

    /// Refuses an agent where there is no person's session for it to act below.
    fn may_act(&self, identity: &Identity, request: &PassRequest) -> Result<(), HolderError> {
        let cannot = |what: &str| Err(HolderError::Unsupported { what: what.to_owned() });
        match &request.acting {
            None => Ok(()),
            Some(_) if self.pass_socket.is_some() => cannot(
                "a pass socket gives passes of the run that opened it: an agent is started outside of that",
            ),
            Some(_) if self.workload(identity).is_some() => {
                cannot("an agent acts for a person, and this machine came in as itself")
            }
            Some(_) => Ok(()),
        }
    }

    /// The API that is meant.
    fn target(&self, loaded: &Loaded, request: &PassRequest) -> Result<String, HolderError> {
        if let Some(resource) = &request.resource {
            return Ok(resource.clone());
        }
        match loaded.record.resources.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(HolderError::Usage { what: "the API must be named: `--resource URL`".into() }),
            several => Err(HolderError::Usage {
                what: format!(
                    "this sign-in reaches several APIs: name one with `--resource`: {}",
                    several.join(", ")
                ),
            }),
        }
    }

    /// Exchanges the session's token. If it was not taken, it is renewed once: the session may be fine though the
    /// token is cut or over, and if the session is over, renewing says so.
    async fn exchange(
        &self,
        identity: &Identity,
        resource: &str,
        wish: &Wish<'_>,
    ) -> Result<(Loaded, TokenResponse), HolderError> {
        let loaded = self.standing(identity)?;
        if loaded.record.api_key.is_some() {
            if wish.request.acting.is_some() {
                let what = "an agent acts for a person, and an API key is nobody's sign-in".to_owned();
                return Err(HolderError::Unsupported { what });
            }
            return self.bought(loaded, resource, wish).await;
        }
        let loaded = self.fresh(identity, None).await?;
        self.recall_nonce(&loaded.record);
        let none = match self.exchange_once(&loaded, resource, wish).await {
            Ok(tokens) => return Ok((loaded, tokens)),
            Err(none) => none,
        };
        let not_taken = matches!(&none, NoAnswer::Refused { body, .. } if matches!(
            body.error,
            // RFC 8693, section 2.2.2, says `invalid_request` of a subject token that is not valid.
            ErrorCode::InvalidGrant | ErrorCode::InvalidToken | ErrorCode::InvalidRequest
        ));
        let place = loaded.record.metadata.token_endpoint.clone().expect("a request was sent there");
        if !not_taken {
            return Err(none.into_error(&place, &identity.issuer));
        }
        let refused = loaded.record.access.as_ref().map(|access| copy(&access.token));
        let loaded = self.fresh(identity, refused.as_ref()).await?;
        match self.exchange_once(&loaded, resource, wish).await {
            Ok(tokens) => Ok((loaded, tokens)),
            Err(none) => Err(none.into_error(&place, &identity.issuer)),
        }
    }

    async fn exchange_once(
        &self,
        loaded: &Loaded,
        resource: &str,
        wish: &Wish<'_>,
    ) -> Result<TokenResponse, NoAnswer> {
        let unusable = |what: &str| NoAnswer::Unexpected { what: what.to_owned() };
        let access = loaded.record.access.as_ref().ok_or_else(|| unusable("no token to exchange"))?;
        let key = session_key(loaded).ok().flatten().ok_or_else(|| unusable("no key to prove"))?;
        let Wish { request, wanted, lease } = *wish;
        let (client, metadata) = (OurClient::of(loaded), &loaded.record.metadata);
        let form = Fields::new()
            .with("grant_type", GrantType::TokenExchange.text())
            .with_secret("subject_token", &access.token)
            .with("subject_token_type", token_type::ACCESS_TOKEN)
            .with("requested_token_type", token_type::ACCESS_TOKEN)
            .with("resource", resource)
            .with_some("scope", (!request.scopes.is_empty()).then(|| request.scopes.to_string()))
            .with_some("lifetime", request.lifetime.map(|lifetime| lifetime.as_seconds().to_string()))
            .with_some("purpose", request.purpose.as_ref().map(Purpose::as_str))
            .with_some("lease", lease.then_some("true"));
        let form = match &request.acting {
            None => form,
            Some(ActingFor::NewRun(agent)) => form.with("agent", agent.as_str()),
            Some(ActingFor::Run(run)) => form.with("run", run.to_string()),
        };
        let form = form
            // What commands and older APIs can use. The key is proven in this very request. Otherwise it stays bound to it.
            .with_some("binding", (*wanted == TokenType::Bearer).then_some("bearer"));
        let form = client.proven_in(form, metadata);
        let with = With { key: Some(&key), ..client.with(metadata) };
        let tokens = self.provider.token(metadata, &form, with).await?;
        if tokens.token_type != *wanted {
            return Err(unusable("a pass of another type than was asked for"));
        }
        if tokens.issued_token_type.as_deref() != Some(token_type::ACCESS_TOKEN) {
            return Err(unusable("a pass that is not an access token"));
        }
        Ok(tokens)
    }

    /// The sign-in's own access token, with providers that have nothing narrower.
    async fn shared_token(
        &self,
        identity: &Identity,
        request: &PassRequest,
        refused: Option<&Secret<AccessToken>>,
    ) -> Result<Pass, HolderError> {
        let loaded = Box::pin(self.fresh(identity, refused)).await?;
        let record = &loaded.record;
        let cannot = |what: String| Err(HolderError::Unsupported { what });
        if request.acting.is_some() {
            return cannot(format!("`{}` knows no agents: its tokens are the person's own", identity.issuer));
        }
        if let Some(resource) =
            request.resource.as_ref().filter(|resource| !record.resources.contains(resource))
        {
            return cannot(format!(
                "`{}` gives tokens only for what was named at sign-in: sign in again with `--resource {resource}`",
                identity.issuer
            ));
        }
        if !record.scope.include(&request.scopes) {
            return cannot(format!(
                "`{}` gives tokens only as far as was granted at sign-in: `{}`",
                identity.issuer, record.scope
            ));
        }
        let access = record.access.as_ref().expect("a fresh sign-in has a token");
        let resource = request.resource.clone().or_else(|| match record.resources.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        });
        Ok(pass(access, resource, false, None))
    }

    /// A pass as it came: another is always to be had, by exchange.
    fn as_held(&self, record: &Record, tokens: &TokenResponse) -> AccessHeld {
        AccessHeld::of(tokens, true, (self.clock)(), self.server_now(&record.metadata))
    }
}

fn pass(access: &AccessHeld, resource: Option<String>, own: bool, lease: Option<LeaseId>) -> Pass {
    Pass {
        token: copy(&access.token),
        expires: access.expires.at(),
        scope: access.scope.clone(),
        resource,
        own,
        run: None,
        lease,
        given_back: None,
    }
}
