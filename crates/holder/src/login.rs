//! Signing a person in.
//!
//! 1. Find the issuer's endpoints, and who we are there.
//! 2. Choose how to ask the person, and say why.
//! 3. Prove that there is somewhere to keep what will come, before anybody is sent anywhere, and that what it replaces
//!    can be opened, or say that it cannot.
//! 4. Ask: a browser on this machine (`browser`), a code typed on another (`device`), or a browser on another whose last
//!    address is pasted here (`paste`). Where no code can be had after all, that is said, and another way is taken.
//! 5. Judge what came, and write down whom it is for: later answers are compared with that.
//! 6. Save it durably. What cannot be saved is revoked again.
//! 7. Revoke what the new sign-in replaces.
//!
//! Where the sign-in that is here is to be made stronger, and can be, it is that which is asked for and kept (`raise`).

mod browser;
mod choose;
mod code; // what both ways by a browser share
mod device;
mod key; // an API key, and nobody who is asked
mod paste;
mod raise; // the sign-in that is here, made stronger
mod settle; // what came of it

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;

use hallpass_model::device::{DeviceClaim, DeviceClass};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::{Scopes, TokenResponse};
use serde::{Deserialize, Serialize};

pub use browser::Opener;
pub use choose::{Choice, NoFlow, Offers, Surroundings, choose};
pub use paste::{AskPasted, NotTheAnswer, PASTED_LEN_MAX, PastedLine};

use crate::Holder;
use crate::client::OurClient;
use crate::dpop::SessionKey;
use crate::endpoints::Endpoints;
use crate::environment::{device_class, machine_name};
use crate::error::HolderError;
use crate::identity::ProfileName;
use crate::presets::{self, Preset};
use crate::provider::{Fields, Provider, With};
use crate::shelf::Identity;
use crate::vault::{Chosen, Rung};
use crate::which::Wanted;
use choose::without_codes;
use raise::{Asking, ToRaise};

/// How the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Flow {
    /// A browser here, sent back to a port here (RFC 8252), with PKCE.
    Browser,
    /// A code typed into a browser anywhere (RFC 8628).
    Device,
    /// A browser anywhere, with PKCE, whose last address is pasted here.
    Paste,
    /// Nobody is asked: there is an API key.
    ApiKey,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::Browser => "browser",
            Flow::Device => "device",
            Flow::Paste => "paste",
            Flow::ApiKey => "API key",
        })
    }
}

impl FromStr for Flow {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "browser" => Ok(Flow::Browser),
            "device" => Ok(Flow::Device),
            "paste" => Ok(Flow::Paste),
            _ => Err("it is `browser`, `device` or `paste`"),
        }
    }
}

/// What is wanted of a login.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoginRequest {
    /// An issuer's address, or the name of a preset.
    pub issuer: String,
    /// Its endpoints, where somebody names them by hand.
    pub endpoints: Endpoints,
    /// The client to be. Needed where the provider has none for everybody.
    pub client_id: Option<String>,
    /// For providers that give public clients a secret all the same.
    pub client_secret: Option<Secret<KeyMaterial>>,
    /// The name of the sign-in, if it is to have one.
    pub profile: Option<ProfileName>,
    /// Whoever comes back takes the place of whom the profile, or the sign-in that is here, was pinned to.
    pub as_new: bool,
    /// The organisation that whoever comes back must be of.
    pub org: Option<String>,
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
    /// What brings a line that the person pastes. Without it there is no [`Flow::Paste`].
    pub ask_pasted: Option<AskPasted>,
    /// What this machine is called.
    pub device_name: String,
    /// What sort of machine it is.
    pub device_class: DeviceClass,
    /// Where the key is to rest, if the person chose. `Memory` for a login that dies with one command.
    pub rung: Option<Rung>,
    /// How long ago at most whoever signs in may have proved who they are to the issuer; zero asks them anew (OIDC Core,
    /// section 3.1.2.1). By a code typed elsewhere (RFC 8628) only our issuer is asked for it.
    pub max_age: Option<Lifetime>,
    /// Make the sign-in that is here as strong as the person proves it anew (RFC 9470), where it and its issuer can: the same
    /// session, whose passes go on. Else a new sign-in takes its place, which is said.
    pub raise: bool,
    /// How strongly they are to have proved it, one of these, the most wanted first (RFC 9470).
    pub acr_values: Vec<String>,
    /// It is for one command, which will have a pass without anybody naming its API again: with our issuer just one must
    /// then be named here, and nobody is asked before that is so.
    pub for_one_command: bool,
    /// It is not to outlive a few minutes, nor to be renewed: our issuer is asked for so short a session, and a refresh
    /// token that a provider gives all the same is not kept. For machines where others are the same user.
    pub brief: bool,
}

impl LoginRequest {
    /// A sign-in at this issuer, by a person who sits in these surroundings: no scopes, no API, no browser opened, the flow and the
    /// place of the key chosen. What is to be otherwise is set field by field.
    pub fn new(issuer: impl Into<String>, surroundings: Surroundings) -> Self {
        Self {
            issuer: issuer.into(),
            endpoints: Endpoints::default(),
            client_id: None,
            client_secret: None,
            profile: None,
            as_new: false,
            org: None,
            scopes: Scopes::none(),
            resources: Vec::new(),
            purpose: None,
            flow: None,
            opener: Opener::Nobody,
            ask_pasted: None,
            device_name: machine_name(),
            device_class: device_class(&surroundings),
            rung: None,
            max_age: None,
            raise: false,
            acr_values: Vec::new(),
            for_one_command: false,
            brief: false,
            surroundings,
        }
    }

    /// The same, changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
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
    /// The address to open in a browser anywhere, and where that ends: at a page that cannot be loaded, whose address is to
    /// be pasted here.
    ToPaste {
        /// The address.
        address: &'a str,
        /// What the one to be pasted begins with.
        ends_at: &'a str,
        /// How long that is waited for.
        lasts: Lifetime,
    },
    /// What was pasted is not the answer.
    NotTheAnswer {
        /// Why not.
        why: NotTheAnswer,
        /// How many more lines are asked for.
        left: u32,
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
#[non_exhaustive]
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
    /// When the API key is over, where it is one.
    pub api_key_ends: Option<Timestamp>,
    /// Whether it was here before, and was made stronger.
    pub raised: Option<Raised>,
}

/// A sign-in that was made stronger (RFC 9470): the same session as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Raised {
    /// When its session ends, as it did before; none where the issuer does not say.
    pub until: Option<Timestamp>,
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
    identity: &'a Identity,
    rung: Rung,
    /// There is an earlier sign-in that can be opened, and so revoked when this one stands.
    replaces: bool,
    /// The sign-in that is to be made stronger, where none is to take its place.
    raises: Option<&'a ToRaise>,
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

/// Why a flow brought nothing.
enum NotGranted {
    /// The provider, or the person's organisation there, lets this client have no codes. Another flow may do.
    NoCodes(HolderError),
    /// It is over.
    Failed(HolderError),
}

impl From<HolderError> for NotGranted {
    fn from(error: HolderError) -> Self {
        Self::Failed(error)
    }
}

impl Holder {
    /// Signs a person in. Nothing is kept if it fails or is cancelled, neither here nor, as far as it can be reached, at
    /// the provider.
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
        let ours = is_ours(&metadata);
        if ours && request.for_one_command && request.resources.len() != 1 {
            let what = "a sign-in for one command is for one API: name it with `--resource URL`, once";
            return Err(HolderError::Usage { what: what.into() });
        }
        let offers = offers(&metadata, &request);
        let mut choice = choose(request.flow, offers, &request.surroundings)?;
        let identity = Identity::new(&*metadata.issuer, client.id()).under(request.profile.clone());
        self.names_no_other(&identity)?;
        if let Some(to_raise) = self.to_raise(&metadata, &identity, &request, on_event).await? {
            on_event(LoginEvent::Chose(&choice));
            let asking = Asking {
                preset,
                metadata: &metadata,
                client: &client,
                identity: &identity,
                request: &request,
            };
            return self.raise(to_raise, asking, choice, offers, on_event, cancelled).await;
        }
        if request.rung == Some(Rung::Daemon) {
            self.daemon_ready()?;
        }
        let Chosen { rung, notes } = self.shelf.choose(request.rung, &identity)?;
        notes.iter().for_each(|note| on_event(LoginEvent::Note(note)));
        on_event(LoginEvent::Rung(rung));
        let replaces = self.may_replace(&identity, rung, on_event)?;
        on_event(LoginEvent::Chose(&choice));

        let key = ours.then(SessionKey::generate);
        let bound = match &key {
            Some(key) => Some(Bound { key, device: self.device_claim(&request, rung)? }),
            None => None,
        };
        let login = Login {
            provider: &self.provider,
            metadata: &metadata,
            preset,
            client: &client,
            identity: &identity,
            rung,
            replaces,
            raises: None,
            scopes: wanted(preset, &metadata, &request.scopes, request.brief),
            request: &request,
            bound,
            holder: self,
        };
        let mut granted = login.ask_somehow(&mut choice, offers, on_event, cancelled.as_mut()).await?;
        let page = granted.page.take();
        let outcome = login.settle(granted, choice.flow, on_event, cancelled).await;
        if let Some(page) = page {
            page.answer(outcome.is_ok()).await;
        }
        outcome
    }

    /// A profile is the name of one sign-in.
    fn names_no_other(&self, identity: &Identity) -> Result<(), HolderError> {
        let Some(profile) = &identity.profile else { return Ok(()) };
        let wanted = Wanted { profile: Some(profile), ..Wanted::default() };
        match self.candidates(&wanted)?.into_iter().find(|other| other != identity) {
            None => Ok(()),
            Some(other) => Err(HolderError::Usage {
                what: format!(
                    "profile `{profile}` is a sign-in to `{}` as `{}`: sign out of that first, or use another name",
                    other.issuer, other.client_id
                ),
            }),
        }
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
        if let Some(metadata) = request.endpoints.alone(issuer)? {
            if request.scopes.has("openid") {
                let what = "`openid` asks for an ID token, and where nothing is looked up there are no keys to verify it \
                            with: leave it out";
                return Err(HolderError::Usage { what: what.into() });
            }
            return Ok((known.unwrap_or(&presets::BY_HAND), metadata));
        }
        let mut metadata = match known.and_then(Preset::metadata) {
            Some(metadata) => metadata,
            None => self.provider.discover(issuer).await?,
        };
        let otherwise = if is_ours(&metadata) { &presets::HALLPASS } else { &presets::GENERIC };
        request.endpoints.put_into(&mut metadata)?;
        Ok((known.unwrap_or(otherwise), metadata))
    }
}

impl Login<'_> {
    /// Step 4, by another flow where no code can be had after all.
    async fn ask_somehow(
        &self,
        choice: &mut Choice,
        offers: Offers,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<Granted, HolderError> {
        let mut granted = self.ask(choice.flow, on_event, cancelled.as_mut()).await;
        if let Err(NotGranted::NoCodes(why)) = &granted
            && self.request.flow.is_none()
            && let Some(other) = without_codes(offers, &self.request.surroundings)
        {
            on_event(LoginEvent::Note(&format!("no code can be had: {why}")));
            on_event(LoginEvent::Chose(&other));
            *choice = other;
            granted = self.ask(choice.flow, on_event, cancelled).await;
        }
        match granted {
            Ok(granted) => Ok(granted),
            Err(NotGranted::NoCodes(error) | NotGranted::Failed(error)) => Err(error),
        }
    }

    /// Step 4, in this flow.
    async fn ask(
        &self,
        flow: Flow,
        on_event: OnEvent<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<Granted, NotGranted> {
        match flow {
            Flow::Browser => self.by_browser(on_event, cancelled).await.map_err(NotGranted::Failed),
            Flow::Device => self.by_device(on_event, cancelled).await,
            Flow::Paste => self.by_paste(on_event, cancelled).await.map_err(NotGranted::Failed),
            Flow::ApiKey => {
                let what = "an API key asks nobody: it is given, and not chosen as a flow".to_owned();
                Err(NotGranted::Failed(HolderError::Usage { what }))
            }
        }
    }

    /// What is asked for, in any flow; who asks is added there.
    fn asked(&self) -> Fields {
        if let Some(to_raise) = self.raises {
            return self.asked_to_raise(to_raise);
        }
        let mut fields = Fields::new()
            .with_some("scope", (!self.scopes.is_empty()).then(|| self.scopes.to_string()))
            .with_each("resource", &self.request.resources)
            .with_some("max_age", self.request.max_age.map(|most| most.as_seconds().to_string()))
            .with_some(
                "acr_values",
                (!self.request.acr_values.is_empty()).then(|| self.request.acr_values.join(" ")),
            );
        if let Some(bound) = &self.bound {
            fields = fields
                .with("dpop_jkt", bound.key.thumbprint().to_string())
                .with("device_install", bound.device.install.as_str())
                .with("device_name", bound.device.name.as_str())
                .with("device_class", bound.device.class.to_string())
                .with_some("device_rung", bound.device.rung.map(Rung::text))
                .with_some("purpose", self.request.purpose.as_ref().map(Purpose::as_str));
        }
        fields
    }

    /// For which audience the session's own access token is redeemed: with our issuer, the issuer itself, so that it
    /// can be exchanged and is never sent to an API.
    fn redeemed_for(&self, fields: Fields) -> Fields {
        let brief = self.request.brief.then_some("brief");
        match self.bound {
            Some(_) => fields.with("resource", self.metadata.issuer.as_str()).with_some("session", brief),
            None => fields.with_each("resource", &self.request.resources),
        }
    }

    fn with(&self) -> With<'_> {
        With { key: self.bound.as_ref().map(|bound| bound.key), ..self.client.with(self.metadata) }
    }
}

/// Whether an issuer is one of ours: it says something only ours says.
pub(crate) fn is_ours(metadata: &IssuerMetadata) -> bool {
    metadata.hallpass_device_wait_supported
}

fn offers(metadata: &IssuerMetadata, request: &LoginRequest) -> Offers {
    Offers {
        browser: metadata.authorization_endpoint.is_some(),
        device: metadata.device_authorization_endpoint.is_some(),
        paste: request.ask_pasted.is_some(),
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
fn wanted(preset: &Preset, metadata: &IssuerMetadata, asked: &Scopes, brief: bool) -> Scopes {
    let known = &metadata.scopes_supported;
    let preset = preset.scopes.iter().copied().filter(|scope| {
        *scope != "offline_access"
            || (!brief && (known.is_empty() || known.iter().any(|known| known == scope)))
    });
    Scopes::collect(preset.chain(asked.iter())).unwrap_or_else(|_| asked.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_access_is_asked_for_where_it_is_known_or_nothing_is() {
        let mut metadata = IssuerMetadata::new("https://id.example");
        let asked = Scopes::parse("notes:read openid").unwrap();
        let all = wanted(&presets::GENERIC, &metadata, &asked, false).to_string();
        assert_eq!(all, "openid offline_access notes:read");
        let brief = wanted(&presets::GENERIC, &metadata, &asked, true).to_string();
        assert_eq!(brief, "openid notes:read", "nothing is to be renewed");
        metadata.scopes_supported = vec!["openid".into()];
        assert_eq!(wanted(&presets::GENERIC, &metadata, &asked, false).to_string(), "openid notes:read");
    }
}
