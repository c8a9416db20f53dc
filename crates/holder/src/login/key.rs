//! Signing in by an API key: nobody is asked, and no session is opened.
//!
//! 1. The key is judged by its spelling before anybody is asked: a part of it that is missing is found here.
//! 2. A first pass is bought, which says that the key is good, whose it is and how long it lives.
//! 3. The key is sealed in a record as a refresh token is. From then on the sign-in is one as any other.

use hallpass_model::api_key::judge_spelling;
use hallpass_model::secret::{ApiKey, Secret};
use hallpass_model::spelling::BadSpelling;
use hallpass_model::wire::claims::AccessClaims;
use hallpass_model::wire::oauth::{Scopes, TokenResponse, TokenType};

use super::{Bound, Flow, Login, LoginEvent, LoginRequest, OnEvent, SignedIn, is_ours};
use crate::Holder;
use crate::api_key::{Shown, client_of};
use crate::client::OurClient;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::{PassRequest, Wish};
use crate::pins::Pins;
use crate::record::{AccessHeld, ApiKeyHeld, PassHeld, Record, Standing};
use crate::vault::{Chosen, Rung};

/// A first pass, and the API it is for.
struct First {
    tokens: TokenResponse,
    resource: String,
}

impl Holder {
    /// Signs in by an API key of our issuer's. Nothing is kept if it fails.
    ///
    /// # Errors
    /// `Usage` for what is no key by its spelling, `Refused` for what the issuer says is none, and those of
    /// [`login`](Self::login).
    pub async fn login_by_key(
        &self,
        request: LoginRequest,
        api_key: Secret<ApiKey>,
        on_event: OnEvent<'_>,
    ) -> Result<SignedIn, HolderError> {
        let spelled = std::str::from_utf8(api_key.expose()).map_err(|_| BadSpelling::Malformed);
        if let Err(bad) = spelled.and_then(judge_spelling) {
            return Err(HolderError::Usage { what: format!("what was given is no API key: {bad}") });
        }
        let (preset, metadata) = self.find_issuer(&request).await?;
        if !is_ours(&metadata) {
            let what = format!("`{}` is no Hallpass issuer, and takes no API keys of ours", metadata.issuer);
            return Err(HolderError::Unsupported { what });
        }
        if request.rung == Some(Rung::Daemon) {
            self.daemon_ready()?;
        }
        let session_key = SessionKey::generate();
        let shown = Shown {
            metadata: &metadata,
            api_key: &api_key,
            session_key: &session_key,
            class: request.device_class,
            client_id: request.client_id.as_deref(),
        };
        let firsts = self.first_passes(&shown, &request).await?;
        let unknown = || HolderError::NotBelieved { why: "its token does not say whose it is".into() };
        let client_id = client_of(&firsts[0].tokens).ok_or_else(unknown)?;
        let client = OurClient::new(client_id.clone(), None);
        let identity = Identity::new(&*metadata.issuer, client_id).under(request.profile.clone());
        let outcome = async {
            self.names_no_other(&identity)?;
            let Chosen { rung, notes } = self.shelf.choose(request.rung, &identity)?;
            notes.iter().for_each(|note| on_event(LoginEvent::Note(note)));
            on_event(LoginEvent::Rung(rung));
            let replaces = self.may_replace(&identity, rung, on_event)?;
            Ok((rung, replaces))
        };
        let (rung, replaces) = match outcome.await {
            Ok(place) => place,
            Err(error) => {
                for first in &firsts {
                    let _ = self.give_back(&metadata, &client, &first.tokens).await;
                }
                return Err(error);
            }
        };
        let device = self.device_claim(&request, rung)?;
        let login = Login {
            provider: &self.provider,
            metadata: &metadata,
            preset,
            client: &client,
            identity: &identity,
            rung,
            replaces,
            raises: None,
            scopes: request.scopes.clone(),
            request: &request,
            bound: Some(Bound { key: &session_key, device }),
            holder: self,
        };
        login.settle_key(firsts, api_key, on_event).await
    }

    /// One for each API that is named, so that what the key does not reach is found out now; for its only one where none is.
    async fn first_passes(
        &self,
        shown: &Shown<'_>,
        request: &LoginRequest,
    ) -> Result<Vec<First>, HolderError> {
        let asked = PassRequest::default().scopes(request.scopes.clone()).purpose(request.purpose.clone());
        let wish = Wish { request: &asked, wanted: &TokenType::Dpop, lease: false };
        let named: Vec<Option<&str>> = match request.resources.as_slice() {
            [] => vec![None],
            several => several.iter().map(|resource| Some(resource.as_str())).collect(),
        };
        let mut firsts = Vec::new();
        for resource in named {
            let tokens = self.buy(shown, resource, &wish).await.map_err(|none| {
                let place = shown.metadata.token_endpoint.clone().expect("a request was sent there");
                none.into_error(&place, &shown.metadata.issuer)
            })?;
            let resource = match resource {
                Some(resource) => resource.to_owned(),
                None => audience(&tokens).ok_or_else(|| HolderError::NotBelieved {
                    why: "its token does not say which API it is for".into(),
                })?,
            };
            firsts.push(First { tokens, resource });
        }
        Ok(firsts)
    }
}

/// The API that a token says it is for. Read, not verified: it is for the API to judge.
fn audience(tokens: &TokenResponse) -> Option<String> {
    let payload = tokens.access_token.expose_text().split('.').nth(1)?;
    let claims: AccessClaims =
        serde_json::from_slice(&hallpass_model::jose::base64url::parse(payload)?).ok()?;
    claims.aud.single().map(str::to_owned)
}

impl Login<'_> {
    async fn settle_key(
        &self,
        firsts: Vec<First>,
        api_key: Secret<ApiKey>,
        on_event: OnEvent<'_>,
    ) -> Result<SignedIn, HolderError> {
        let earlier = match self.replaces {
            true => self.holder.shelf.find_replaced(self.identity, self.rung).ok().flatten(),
            false => None,
        };
        let pins = Pins::of(None, None, &firsts[0].tokens.access_token);
        self.expected(earlier.as_ref(), &pins)?;
        let now = (self.holder.clock)();
        let record = self.key_record(firsts, api_key, pins, now);
        self.keep(record, earlier, on_event).await
    }

    fn key_record(
        &self,
        firsts: Vec<First>,
        api_key: Secret<ApiKey>,
        pins: Pins,
        now: hallpass_model::time::Timestamp,
    ) -> Record {
        let at_server = self.holder.server_now(self.metadata);
        let mut scope: Vec<String> = Vec::new();
        let mut record = Record {
            metadata: self.metadata.clone(),
            ours: true,
            client_secret: None,
            pins,
            person: None,
            key: self.bound.as_ref().map(|bound| bound.key.render()),
            access: None,
            refresh: None,
            api_key: Some(ApiKeyHeld {
                key: api_key,
                ends: firsts[0].tokens.api_key_expires_in.map(|lasts| now + lasts),
            }),
            passes: Vec::new(),
            roles: Vec::new(),
            scope: Scopes::none(),
            resources: firsts.iter().map(|first| first.resource.clone()).collect(),
            purpose: self.request.purpose.as_ref().map(ToString::to_string),
            device_class: self.request.device_class,
            device_rung: self.rung,
            flow: Flow::ApiKey,
            signed_in: now,
            renewed: now,
            renewing: None,
            standing: Standing::Good,
            nonce: self.metadata.token_endpoint.as_ref().and_then(|url| self.provider.nonce(url)),
        };
        for First { tokens, resource } in firsts {
            let granted = tokens.scope.clone().unwrap_or_else(|| self.request.scopes.clone());
            scope.extend(granted.iter().map(str::to_owned));
            let pass = PassHeld {
                resource,
                asked: self.request.scopes.clone(),
                purpose: record.purpose.clone(),
                access: AccessHeld::of(&tokens, true, now, at_server),
                nonce: None,
            };
            record.keep_pass(pass, now);
        }
        record.scope = Scopes::collect(scope.iter().map(String::as_str)).unwrap_or_default();
        record
    }
}
