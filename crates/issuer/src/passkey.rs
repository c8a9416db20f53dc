//! Passkeys: the relying party's half of WebAuthn (Level 3), by webauthn-rs, and the only place that knows of it.
//!
//! 1. Beginning a ceremony gives the browser's options and a state. The state goes to the store, never to the browser:
//!    whoever could replay it could replay an assertion.
//! 2. Finishing takes the state out of the store, once, and judges what the browser brought.
//!
//! Orgs share a host, and so the relying party id. SECURITY: a passkey is tied to its org by the store's row, found by org
//! and credential id together, and by a user handle that only that row has. The browser may offer another org's passkey
//! at the login page; it is refused.

use hallpass_model::id::PrincipalId;
use hallpass_model::principal::Org;
use hallpass_model::random::Entropy;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::base_url::BaseUrl;

/// The relying party: every org of this server.
pub(crate) struct RelyingParty(Webauthn);

/// A ceremony that has begun.
pub(crate) struct Begun {
    /// What `navigator.credentials` is called with.
    pub(crate) options: Value,
    /// What only the store may keep.
    pub(crate) state: Vec<u8>,
}

/// Whom a passkey is made for.
pub(crate) struct NewHolder<'a> {
    pub(crate) org: &'a str,
    pub(crate) org_title: &'a str,
    pub(crate) handle: &'a str,
    pub(crate) name: &'a str,
    /// What the authenticator files the passkey under: the same for all passkeys of one person, and nobody else's.
    pub(crate) user: UserHandle,
}

/// What an authenticator files a passkey under (WebAuthn, section 5.4.3). Says nothing about the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UserHandle(pub(crate) Uuid);

/// A passkey as the store keeps it: opaque text to the store.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    user: UserHandle,
    passkey: Passkey,
}

/// A passkey that was just made.
pub(crate) struct Made {
    /// The authenticator's own id of it.
    pub(crate) credential: Vec<u8>,
    /// What the store keeps.
    pub(crate) state: String,
}

/// What a browser brought to a login, not judged yet.
pub(crate) struct Presented(PublicKeyCredential);

/// Why a ceremony came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadPasskey {
    /// What the browser brought, or the state, is not of its form.
    #[error("what the browser brought is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It says that it is filed under somebody else.
    #[error("the passkey is filed under another person or org")]
    OtherUser,
    /// The library's own judgement.
    #[error("the passkey was refused: {0}")]
    Refused(#[from] WebauthnError),
}

#[derive(Serialize, Deserialize)]
struct RegistrationState {
    user: UserHandle,
    ceremony: PasskeyRegistration,
}

impl RelyingParty {
    /// The relying party at this address.
    pub(crate) fn new(base: &BaseUrl) -> Self {
        let party = WebauthnBuilder::new(base.host(), base.url()).and_then(WebauthnBuilder::build);
        Self(party.expect("a base URL has a domain name, which is its own relying party id"))
    }

    /// Begins making a passkey. `known` are those the person has already, which the browser will not make again.
    pub(crate) fn begin_registration(
        &self,
        holder: &NewHolder<'_>,
        known: &[&str],
    ) -> Result<Begun, BadPasskey> {
        let known = known.iter().map(|kept| Kept::read(kept).map(|kept| kept.passkey.cred_id().clone()));
        let known = known.collect::<Result<Vec<_>, _>>()?;
        // Orgs share the relying party id, so that the browser lists passkeys of several: the name says which org's.
        let account = format!("{}@{}", holder.handle, holder.org);
        let (options, ceremony) =
            self.0.start_passkey_registration(holder.user.0, &account, holder.name, Some(known))?;
        let mut options = serde_json::to_value(options)?["publicKey"].take();
        options["rp"]["name"] = json!(holder.org_title);
        // The login page does not ask who somebody is, so the authenticator must know: a discoverable credential.
        options["authenticatorSelection"]["residentKey"] = json!("required");
        options["authenticatorSelection"]["requireResidentKey"] = json!(true);
        Ok(Begun { options, state: serde_json::to_vec(&RegistrationState { user: holder.user, ceremony })? })
    }

    /// Judges a new passkey. The person was verified by the authenticator, or it is refused.
    pub(crate) fn finish_registration(&self, state: &[u8], credential: &str) -> Result<Made, BadPasskey> {
        let RegistrationState { user, ceremony } = serde_json::from_slice(state)?;
        let credential: RegisterPublicKeyCredential = serde_json::from_str(credential)?;
        let passkey = self.0.finish_passkey_registration(&credential, &ceremony)?;
        let credential = passkey.cred_id().to_vec();
        Ok(Made { credential, state: serde_json::to_string(&Kept { user, passkey })? })
    }

    /// Begins a login, by whoever holds a passkey.
    pub(crate) fn begin_login(&self) -> Result<Begun, BadPasskey> {
        let (options, ceremony) = self.0.start_discoverable_authentication()?;
        let options = serde_json::to_value(options)?["publicKey"].take();
        Ok(Begun { options, state: serde_json::to_vec(&ceremony)? })
    }

    /// Judges a login with the passkey that `presented` named. Returns the passkey's new state, if it changed: its counter.
    pub(crate) fn finish_login(
        &self,
        state: &[u8],
        presented: &Presented,
        kept: &str,
    ) -> Result<Option<String>, BadPasskey> {
        let ceremony: DiscoverableAuthentication = serde_json::from_slice(state)?;
        let mut kept = Kept::read(kept)?;
        // SECURITY: WebAuthn, section 7.2, step 6: who was not known beforehand is who the user handle says.
        let (user, _) = self.0.identify_discoverable_authentication(&presented.0)?;
        if UserHandle(user) != kept.user {
            return Err(BadPasskey::OtherUser);
        }
        let result = self.0.finish_discoverable_authentication_v2(&presented.0, ceremony, &kept.passkey)?;
        Ok(match kept.passkey.update_credential(&result) {
            Some(true) => Some(serde_json::to_string(&kept)?),
            _ => None,
        })
    }
}

impl Kept {
    fn read(text: &str) -> Result<Self, BadPasskey> {
        Ok(serde_json::from_str(text)?)
    }
}

impl From<PrincipalId> for UserHandle {
    fn from(person: PrincipalId) -> Self {
        Self(Uuid::from_bytes(*person.bytes()))
    }
}

impl UserHandle {
    /// One for somebody who has no id yet.
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(Uuid::from_bytes(bytes))
    }

    /// The handle that a person's passkey is filed under, so that the next one is filed beside it.
    pub(crate) fn of(kept: &str) -> Result<Self, BadPasskey> {
        Ok(Kept::read(kept)?.user)
    }
}

impl Presented {
    /// Reads what the browser brought.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPasskey> {
        Ok(Self(serde_json::from_str(text)?))
    }

    /// The authenticator's own id of the passkey.
    pub(crate) fn credential(&self) -> &[u8] {
        self.0.get_credential_id()
    }
}

impl<'a> NewHolder<'a> {
    /// Somebody of an org.
    pub(crate) fn of(org: &'a Org, handle: &'a str, name: &'a str, user: UserHandle) -> Self {
        Self { org: org.name.as_str(), org_title: &org.title, handle, name, user }
    }
}
