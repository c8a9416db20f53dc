//! Signing a person in.
//!
//! 1. Find the issuer's endpoints, and who we are there.
//! 2. Prove that there is somewhere to keep what will come, before anybody is sent anywhere.
//! 3. Choose how to ask the person, and say why.
//! 4. Ask: a browser on this machine (`browser`), or a code typed on another (`device`).
//! 5. Judge what came, and write down whom it is for: later answers are compared with that.
//! 6. Save it durably. What cannot be saved is revoked again.
//! 7. Revoke what the new sign-in replaces.

mod browser;
mod choose;
mod device;

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;

use hallpass_model::device::{DeviceClaim, DeviceClass};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::id_token::{self, ExpectedLogin, IdClaims};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{Scopes, TokenResponse, TokenType};
use serde::{Deserialize, Serialize};

pub use browser::Opener;
pub use choose::{Choice, NoFlow, Offers, Surroundings, choose};

use crate::Holder;
use crate::client::OurClient;
use crate::dpop::SessionKey;
use crate::error::HolderError;
use crate::pins::Pins;
use crate::presets::{self, Preset};
use crate::provider::{Fields, Provider, With};
use crate::record::{AccessHeld, Record, Standing};
use crate::shelf::{Identity, Loaded};
use crate::vault::Rung;

/// How the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// A browser here, sent back to a port here (RFC 8252), with PKCE.
    Browser,
    /// A code typed into a browser anywhere (RFC 8628).
    Device,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::Browser => "browser",
            Flow::Device => "device",
        })
    }
}

impl FromStr for Flow {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "browser" => Ok(Flow::Browser),
            "device" => Ok(Flow::Device),
            _ => Err("it is `browser` or `device`"),
        }
    }
}

/// What is wanted of a login.
#[derive(Debug)]
pub struct LoginRequest {
    /// An issuer's address, or the name of a preset.
    pub issuer: String,
    /// The client to be. Needed where the provider has none for everybody.
    pub client_id: Option<String>,
    /// For providers that give public clients a secret all the same.
    pub client_secret: Option<Secret<KeyMaterial>>,
    /// What to ask for.
    pub scopes: Scopes,
    /// For which APIs (RFC 8707).
    pub resources: Vec<String>,
    /// Why.
    pub purpose: Option<Purpose>,
    /// The flow, if the person chose one.
    pub flow: Option<Flow>,
    /// What is known about where the person sits.
    pub surroundings: Surroundings,
    /// What opens addresses here.
    pub opener: Opener,
    /// What this machine is called.
    pub device_name: String,
    /// What sort of machine it is.
    pub device_class: DeviceClass,
    /// Where the key is to rest, if the person chose. `Memory` for a login that dies with one command.
    pub rung: Option<Rung>,
}

/// What happens on the way, for the person to see.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginEvent<'a> {
    /// Where the key will rest.
    Rung(Rung),
    /// How the person will be asked, and why so.
    Chose(&'a Choice),
    /// The address a browser was sent to, or must be sent to by hand.
    Address {
        /// The address.
        address: &'a str,
        /// Whether a browser was started.
        opened: bool,
    },
    /// The code to type, and where.
    Code {
        /// The code, as shown.
        code: &'a str,
        /// Where to type it.
        address: &'a str,
        /// The same with the code in it, for a QR code.
        complete: Option<&'a str>,
        /// How long it is good.
        lasts: Lifetime,
    },
    /// Still waiting for the person.
    Waiting {
        /// How long the request is still good.
        left: Lifetime,
    },
    /// Something this provider does not have, and what that means.
    Note(&'a str),
}

/// Who signed in, and how far.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Which sign-in this is.
    pub identity: Identity,
    /// Who, for people; claimed by the provider.
    pub person: Option<String>,
    /// What was granted.
    pub scope: Scopes,
    /// For which APIs.
    pub resources: Vec<String>,
    /// Where the key rests.
    pub rung: Rung,
    /// How the person was asked.
    pub flow: Flow,
    /// Whether it can be renewed without asking again.
    pub renewable: bool,
    /// Whether its tokens are bound to a key of this machine.
    pub bound: bool,
    /// When the access token is over, if the provider says.
    pub expires: Option<Timestamp>,
}

/// Told when the person wants to stop.
pub type Cancelled<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

/// Sees what happens on the way.
pub type OnEvent<'a> = &'a mut (dyn FnMut(LoginEvent<'_>) + Send);

/// A login under way: all that the flows need.
struct Login<'a> {
    provider: &'a Provider,
    metadata: &'a IssuerMetadata,
    preset: &'static Preset,
    client: &'a OurClient,
    request: &'a LoginRequest,
    scopes: Scopes,
    /// There where the issuer is ours.
    bound: Option<Bound<'a>>,
    holder: &'a Holder,
}

/// What only our own issuer is told.
struct Bound<'a> {
    key: &'a SessionKey,
    device: DeviceClaim,
}

/// What a flow brought back.
struct Granted {
    tokens: TokenResponse,
    /// The nonce that was sent, where the flow has one.
    nonce: Option<String>,
    /// The browser that waits to be told how it went.
    page: Option<browser::WaitingPage>,
}

impl Holder {
    /// Signs a person in. Nothing is kept if it fails or is cancelled.
    pub async fn login(
        &self,
        request: LoginRequest,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<SignedIn, HolderError> {
        let (preset, metadata) = tokio::select! {
            found = self.find_issuer(&request) => found?,
            () = cancelled.as_mut() => return Err(HolderError::Cancelled),
        };
        let client = who_we_are(preset, &metadata, &request)?;
        let rung = self.shelf.vault().choose(request.rung)?;
        on_event(LoginEvent::Rung(rung));
        let choice = choose(request.flow, offers(&metadata), &request.surroundings)?;
        on_event(LoginEvent::Chose(&choice));

        let ours = is_ours(&metadata);
        let key = ours.then(SessionKey::generate);
        let bound = match &key {
            Some(key) => Some(Bound { key, device: self.device_claim(&request)? }),
            None => None,
        };
        let login = Login {
            provider: &self.provider,
            metadata: &metadata,
            preset,
            client: &client,
            scopes: wanted(preset, &metadata, &request.scopes),
            request: &request,
            bound,
            holder: self,
        };
        let mut granted = match choice.flow {
            Flow::Browser => login.by_browser(on_event, cancelled).await?,
            Flow::Device => login.by_device(on_event, cancelled).await?,
        };
        let page = granted.page.take();
        let outcome = self.settle(&login, granted, choice.flow, rung, on_event).await;
        if let Some(page) = page {
            page.answer(outcome.is_ok()).await;
        }
        outcome
    }

    /// Step 1: the issuer's endpoints.
    async fn find_issuer(
        &self,
        request: &LoginRequest,
    ) -> Result<(&'static Preset, IssuerMetadata), HolderError> {
        let named = Preset::named(&request.issuer);
        let issuer = match named {
            Some(preset) => preset.issuer.ok_or_else(|| HolderError::Usage {
                what: format!(
                    "`{}` is not enough: name {}",
                    preset.name,
                    preset.name_is_not_enough.unwrap_or("the issuer's address")
                ),
            })?,
            None => &request.issuer,
        };
        let known = named.or_else(|| Preset::of_issuer(issuer));
        if let Some(metadata) = known.and_then(Preset::metadata) {
            return Ok((known.expect("it had metadata"), metadata));
        }
        let metadata = self.provider.discover(issuer).await?;
        let otherwise = if is_ours(&metadata) { &presets::HALLPASS } else { &presets::GENERIC };
        Ok((known.unwrap_or(otherwise), metadata))
    }

    /// Steps 5 to 7.
    async fn settle(
        &self,
        login: &Login<'_>,
        granted: Granted,
        flow: Flow,
        rung: Rung,
        on_event: OnEvent<'_>,
    ) -> Result<SignedIn, HolderError> {
        let identity =
            Identity { issuer: login.metadata.issuer.clone(), client_id: login.client.id().to_owned() };
        let claims = match login.judge(&granted, on_event).await {
            Ok(claims) => claims,
            Err(error) => {
                self.give_back(login.metadata, login.client, &granted.tokens).await;
                return Err(error);
            }
        };
        let person = login.person(&granted.tokens, claims.as_ref()).await;
        let record = login.record(granted.tokens, claims.as_ref(), person, flow, (self.clock)());
        for note in notes(&record) {
            on_event(LoginEvent::Note(note));
        }
        let earlier = self.shelf.find(&identity).ok().flatten();
        let saved = match self.shelf.replace(&identity, rung, record, (self.clock)()) {
            Ok(saved) => saved,
            Err((error, record)) => {
                self.give_back_record(&record, login.client).await;
                return Err(error);
            }
        };
        if let Some(earlier) = earlier {
            // The old session would otherwise live on where nobody can see or end it.
            self.give_back_record(&earlier.record, login.client).await;
        }
        Ok(signed_in(&saved))
    }
}

impl Login<'_> {
    /// What is asked for, in either flow; who asks is added there.
    fn asked(&self) -> Fields {
        let mut fields = Fields::new()
            .with_some("scope", (!self.scopes.is_empty()).then(|| self.scopes.to_string()))
            .with_each("resource", &self.request.resources);
        if let Some(bound) = &self.bound {
            fields = fields
                .with("dpop_jkt", bound.key.thumbprint().to_string())
                .with("device_install", bound.device.install.as_str())
                .with("device_name", bound.device.name.as_str())
                .with("device_class", bound.device.class.to_string())
                .with_some("purpose", self.request.purpose.as_ref().map(Purpose::as_str));
        }
        fields
    }

    /// For which audience the session's own access token is redeemed: with our issuer, the issuer itself, so that it
    /// can be exchanged and is never sent to an API.
    fn redeemed_for(&self, fields: Fields) -> Fields {
        match self.bound {
            Some(_) => fields.with("resource", self.metadata.issuer.as_str()),
            None => fields.with_each("resource", &self.request.resources),
        }
    }

    fn with(&self) -> With<'_> {
        With { key: self.bound.as_ref().map(|bound| bound.key), ..self.client.with(self.metadata) }
    }

    /// Step 5: whether what came may be believed.
    async fn judge(&self, granted: &Granted, on_event: OnEvent<'_>) -> Result<Option<IdClaims>, HolderError> {
        let not_believed = |why: String| HolderError::NotBelieved { why };
        let tokens = &granted.tokens;
        let expected_type = if self.bound.is_some() { TokenType::Dpop } else { TokenType::Bearer };
        if tokens.token_type != expected_type {
            return Err(not_believed(format!(
                "its token is of type `{}`, not `{}`",
                hallpass_model::purpose::plain(tokens.token_type.text(), 40),
                expected_type.text()
            )));
        }
        let Some(id_token) = &tokens.id_token else {
            if self.scopes.has("openid") {
                on_event(LoginEvent::Note("the provider gave no ID token, so it does not say who signed in"));
            }
            return Ok(None);
        };
        if !self.scopes.has("openid") {
            return Ok(None); // nobody asked for it, and nothing here was made to believe it
        }
        let keys = self.provider.keys(self.metadata).await?;
        let expected = ExpectedLogin {
            issuer: &self.metadata.issuer,
            client_id: self.client.id(),
            nonce: granted.nonce.as_deref(),
            max_age: None,
            access_token: Some(tokens.access_token.expose_text()),
        };
        let at = self.metadata.token_endpoint.as_ref();
        let now = at.map_or_else(|| (self.holder.clock)(), |url| self.provider.server_time(url));
        id_token::judge(id_token.expose_text(), &keys, &expected, now)
            .map(Some)
            .map_err(|why| not_believed(format!("its ID token: {why}")))
    }

    /// A name for people. Best effort.
    async fn person(&self, tokens: &TokenResponse, claims: Option<&IdClaims>) -> Option<String> {
        let with = With {
            token: Some(&tokens.access_token),
            key: self.bound.as_ref().map(|bound| bound.key),
            ..With::default()
        };
        let said = self.provider.userinfo(self.metadata, with).await;
        // SECURITY: an answer about somebody else is not used (OIDC Core, section 5.3.2).
        let said = said
            .filter(|said| claims.is_none_or(|c| said.get("sub").and_then(|s| s.as_str()) == Some(&c.sub)));
        let name = ["email", "preferred_username", "login", "name"]
            .into_iter()
            .find_map(|member| said.as_ref()?.get(member)?.as_str().map(str::to_owned))
            .or_else(|| claims.map(|claims| claims.sub.clone()))?;
        Some(hallpass_model::purpose::plain(&name, 100))
    }

    fn record(
        &self,
        tokens: TokenResponse,
        claims: Option<&IdClaims>,
        person: Option<String>,
        flow: Flow,
        now: Timestamp,
    ) -> Record {
        let granted = tokens.scope.clone();
        Record {
            metadata: self.metadata.clone(),
            ours: self.bound.is_some(),
            client_secret: self.client.secret().map(|secret| Secret::new(secret.expose().to_vec())),
            pins: Pins::of(claims, &tokens.access_token),
            person,
            key: self.bound.as_ref().map(|bound| bound.key.render()),
            access: Some(AccessHeld {
                token: tokens.access_token,
                token_type: tokens.token_type,
                expires: tokens.expires_in.map(|lasts| now + lasts),
                scope: tokens.scope,
            }),
            refresh: tokens.refresh_token,
            passes: Vec::new(),
            scope: granted.unwrap_or_else(|| self.scopes.clone()),
            resources: self.request.resources.clone(),
            purpose: self.request.purpose.as_ref().map(ToString::to_string),
            flow,
            signed_in: now,
            renewed: now,
            renewing: None,
            standing: Standing::Good,
            nonce: self.metadata.token_endpoint.as_ref().and_then(|url| self.provider.nonce(url)),
        }
    }
}

/// Whether an issuer is one of ours: it says something only ours says.
fn is_ours(metadata: &IssuerMetadata) -> bool {
    metadata.hallpass_device_wait_supported
}

fn offers(metadata: &IssuerMetadata) -> Offers {
    Offers {
        browser: metadata.authorization_endpoint.is_some(),
        device: metadata.device_authorization_endpoint.is_some(),
    }
}

fn who_we_are(
    preset: &Preset,
    metadata: &IssuerMetadata,
    request: &LoginRequest,
) -> Result<OurClient, HolderError> {
    let id = request.client_id.clone().or_else(|| preset.client_id.map(str::to_owned));
    let id = id.ok_or_else(|| HolderError::Usage {
        what: format!("`{}` has no client for everybody: name yours with `--client-id`", metadata.issuer),
    })?;
    let secret = request.client_secret.as_ref().map(|secret| Secret::new(secret.expose().to_vec()));
    Ok(OurClient::new(id, secret))
}

/// What to ask for: what the person wants, and what the preset adds. `offline_access` only where it is known.
fn wanted(preset: &Preset, metadata: &IssuerMetadata, asked: &Scopes) -> Scopes {
    let known = &metadata.scopes_supported;
    let preset = preset.scopes.iter().copied().filter(|scope| {
        *scope != "offline_access" || known.is_empty() || known.iter().any(|known| known == scope)
    });
    Scopes::collect(preset.chain(asked.iter())).unwrap_or_else(|_| asked.clone())
}

/// What this provider does not have, and what that means.
fn notes(record: &Record) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let expires = record.access.as_ref().and_then(|access| access.expires);
    if record.refresh.is_none() && expires.is_some() {
        notes.push("the provider gave no refresh token: when the access token is over, sign in again");
    }
    if expires.is_none() {
        notes.push("the provider does not say how long its token lives: it may be for ever");
    }
    if !record.ours && record.metadata.revocation_endpoint.is_none() {
        notes.push("the provider has no revocation endpoint: `hallpass logout` can only wipe what is here");
    }
    notes
}

pub(crate) fn signed_in(loaded: &Loaded) -> SignedIn {
    let record = &loaded.record;
    SignedIn {
        identity: loaded.header.identity(),
        person: record.person.clone(),
        scope: record.scope.clone(),
        resources: record.resources.clone(),
        rung: loaded.header.key.rung(),
        flow: record.flow,
        renewable: record.refresh.is_some(),
        bound: record.key.is_some(),
        expires: record.access.as_ref().and_then(|access| access.expires),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_access_is_asked_for_where_it_is_known_or_nothing_is() {
        let mut metadata = IssuerMetadata::new("https://id.example");
        let asked = Scopes::parse("notes:read openid").unwrap();
        let all = wanted(&presets::GENERIC, &metadata, &asked).to_string();
        assert_eq!(all, "openid offline_access notes:read");
        metadata.scopes_supported = vec!["openid".into()];
        assert_eq!(wanted(&presets::GENERIC, &metadata, &asked).to_string(), "openid notes:read");
    }

    #[test]
    fn what_a_provider_does_not_have_is_said() {
        let mut record = Record::for_tests("r");
        assert_eq!(notes(&record).len(), 1);
        record.refresh = None;
        record.access.as_mut().unwrap().expires = None;
        let notes = notes(&record);
        assert!(notes.len() == 2 && notes[0].contains("for ever"), "{notes:?}");
    }
}
