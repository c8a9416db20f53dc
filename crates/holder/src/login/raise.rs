//! Making the sign-in that is here stronger (RFC 9470): the same session, key and refresh tokens, so that passes and runs go on.
//!
//! 1. It must be renewable, bound to a key, and its issuer one of ours that can. Otherwise a new one takes its place.
//! 2. The request shows the session's refresh token, which is not traded by it, with a proof of its key. In a browser flow it is pushed (RFC 9126): an
//!    address is no place for a token.
//! 3. What comes back is an access token of the same session. It goes into the record beside the refresh token, which stays.
//!    Should the answer be lost, nothing is: the next renewal brings the same.

use hallpass_model::secret::{RefreshToken, Secret};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::Scopes;
use serde::Deserialize;

use super::settle::signed_in;
use super::{
    Bound, Cancelled, Choice, Granted, Login, LoginEvent, LoginRequest, Offers, OnEvent, Raised, SignedIn,
};
use crate::Holder;
use crate::client::OurClient;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::presets::Preset;
use crate::provider::{Fields, NoAnswer, needed};
use crate::record::AccessHeld;
use crate::refresh::{copy, gone, session_key};
use crate::shelf::{Identity, Loaded, Saved};

/// How often to start over when others write in between. Each time somebody else has made progress.
const TRIES: usize = 5;

/// A sign-in that can be made stronger.
pub(super) struct ToRaise {
    token: Secret<RefreshToken>,
    key: SessionKey,
    scope: Scopes,
    loaded: Loaded,
}

/// Who asks whom.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) preset: &'static Preset,
    pub(super) metadata: &'a IssuerMetadata,
    pub(super) client: &'a OurClient,
    pub(super) identity: &'a Identity,
    pub(super) request: &'a LoginRequest,
}

impl Holder {
    /// Step 1. Says why a new sign-in takes the place of the one that is here, if that is how it is.
    pub(super) async fn to_raise(
        &self,
        metadata: &IssuerMetadata,
        identity: &Identity,
        request: &LoginRequest,
        on_event: OnEvent<'_>,
    ) -> Result<Option<ToRaise>, HolderError> {
        if !request.raise {
            return Ok(None);
        }
        let mut anew = |why: &str| {
            on_event(LoginEvent::Note(&format!(
                "{why}, so a new sign-in takes the place of the one that is here"
            )));
            Ok(None)
        };
        if !metadata.hallpass_step_up_supported {
            return anew("this issuer cannot make a session stronger");
        }
        match self.shelf.find(identity) {
            Ok(Some(_)) => {}
            Ok(None) => return anew("the sign-in that is here is in the daemon's memory alone"),
            Err(HolderError::Cancelled) => return Err(HolderError::Cancelled),
            Err(why) => return anew(&format!("the sign-in that is here cannot be opened ({why})")),
        }
        // Whether it is over must be known before anybody is asked, and the issuer alone knows.
        match self.renew(identity).await {
            Ok(()) => {}
            // A client that demands a newer login refuses every renewal: that very login is on its way.
            Err(HolderError::Refused { code: ErrorCode::InsufficientUserAuthentication, .. }) => {}
            Err(HolderError::SignInEnded { .. } | HolderError::NotSignedIn { .. }) => {
                return anew("the sign-in that is here is over");
            }
            Err(HolderError::Unsupported { .. }) => return anew("the sign-in that is here is not renewed"),
            Err(error) => return Err(error),
        }
        let loaded = self.shelf.find(identity)?.ok_or_else(|| gone(identity))?;
        match (loaded.record.refresh.as_ref().map(copy), session_key(&loaded)?) {
            (Some(token), Some(key)) if loaded.record.ours => {
                let scope = loaded.record.scope.clone();
                Ok(Some(ToRaise { token, key, scope, loaded }))
            }
            _ => anew("the sign-in that is here is no session that can be made stronger"),
        }
    }

    /// Steps 2 and 3.
    pub(super) async fn raise(
        &self,
        to_raise: ToRaise,
        asking: Asking<'_>,
        mut choice: Choice,
        offers: Offers,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<SignedIn, HolderError> {
        let rung = to_raise.loaded.header.key.rung();
        let device = self.device_claim(asking.request, rung)?;
        let login = Login {
            provider: &self.provider,
            metadata: asking.metadata,
            preset: asking.preset,
            client: asking.client,
            identity: asking.identity,
            rung,
            replaces: false,
            raises: Some(&to_raise),
            request: asking.request,
            scopes: to_raise.scope.clone(),
            bound: Some(Bound { key: &to_raise.key, device }),
            holder: self,
        };
        let mut granted = login.ask_somehow(&mut choice, offers, on_event, cancelled.as_mut()).await?;
        let page = granted.page.take();
        let outcome = login.settle_raised(granted, &to_raise, on_event).await;
        if let Some(page) = page {
            page.answer(outcome.is_ok()).await;
        }
        outcome
    }
}

impl Login<'_> {
    /// What is asked for: nothing but the login.
    pub(super) fn asked_to_raise(&self, to_raise: &ToRaise) -> Fields {
        let request = self.request;
        Fields::new()
            .with_secret("step_up_token", &to_raise.token)
            .with_some("acr_values", (!request.acr_values.is_empty()).then(|| request.acr_values.join(" ")))
            .with_some("purpose", request.purpose.as_ref().map(|purpose| purpose.as_str()))
    }

    /// Sends a request ahead (RFC 9126, section 2), and gives what is left for the browser to say.
    pub(super) async fn pushed(&self, fields: Fields) -> Result<Fields, HolderError> {
        #[derive(Deserialize)]
        struct Pushed {
            request_uri: String,
        }
        let url = &self.metadata.pushed_authorization_request_endpoint;
        let url = needed(url, self.metadata, "takes no requests that are sent ahead")?;
        let answer = self.provider.post(url, &fields, self.with()).await;
        let answer = answer.map_err(|none: NoAnswer| none.into_error(url, &self.metadata.issuer))?;
        let pushed: Pushed = serde_json::from_slice(&answer.body).map_err(|_| HolderError::Unexpected {
            place: url.to_string(),
            what: "something that is not a pushed request".into(),
        })?;
        Ok(self.client.id_in(Fields::new()).with("request_uri", pushed.request_uri))
    }

    /// Step 3. Whoever else wrote to the record meanwhile keeps what they wrote.
    async fn settle_raised(
        &self,
        granted: Granted,
        to_raise: &ToRaise,
        on_event: OnEvent<'_>,
    ) -> Result<SignedIn, HolderError> {
        let holder = self.holder;
        self.judge(&granted, on_event).await?;
        let tokens = &granted.tokens;
        holder.believed(&to_raise.loaded, tokens)?;
        let until = tokens.session_expires_in.map(|lasts| (holder.clock)() + lasts);
        for _ in 0..TRIES {
            let now = (holder.clock)();
            let mut loaded = holder.shelf.find(self.identity)?.ok_or_else(|| gone(self.identity))?;
            // Another sign-in took its place while the person was asked: that one was not raised.
            let same = loaded.header.version.login == to_raise.loaded.header.version.login;
            if !same {
                return Err(gone(self.identity));
            }
            let at_server = holder.server_now(self.metadata);
            loaded.record.access = Some(AccessHeld::of(tokens, true, now, at_server));
            // They say how the person proved it before. They live on where they are in use.
            loaded.record.passes.clear();
            match holder.shelf.save(&mut loaded, now)? {
                Saved::Yes => {
                    holder.daemon_forgets(self.identity);
                    let signed_in = signed_in(self.identity, self.rung, &loaded.record);
                    return Ok(SignedIn { raised: Some(Raised { until }), ..signed_in });
                }
                Saved::Gone => return Err(gone(self.identity)),
                Saved::Overtaken => {}
            }
        }
        Err(HolderError::Locked { waited_seconds: 0 })
    }
}
