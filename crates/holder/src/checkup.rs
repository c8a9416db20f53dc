//! Looking at what a sign-in needs, without signing in: issuers and rungs.

use hallpass_model::wire::metadata::IssuerMetadata;

use crate::Holder;
use crate::error::HolderError;
use crate::presets::Preset;
use crate::vault::Rung;

/// What was seen of an issuer.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuerSeen {
    /// What its metadata say, or why there are none.
    pub metadata: Result<Offered, HolderError>,
    /// How far our clock is behind the issuer's, in milliseconds, if an answer said (RFC 9110, section 6.6.1). Within a
    /// second the two agree.
    pub clock_behind: Option<i64>,
}

/// What an issuer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// Signing in by a browser.
    pub browser: bool,
    /// Signing in by a code typed anywhere.
    pub device: bool,
    /// Revoking: a logout can end what it gave.
    pub revocation: bool,
    /// Tokens bound to a key.
    pub bound: bool,
    /// It is a Hallpass issuer.
    pub ours: bool,
}

impl Holder {
    /// Asks an issuer for its metadata, and looks at its clock.
    pub async fn look_at(&self, issuer: &str) -> IssuerSeen {
        let known = Preset::of_issuer(issuer).and_then(Preset::metadata);
        let found = match known {
            Some(metadata) => Ok(metadata),
            None => self.provider.discover(issuer).await,
        };
        let clock_behind = found.as_ref().ok().and_then(|metadata| {
            let url = metadata.token_endpoint.as_ref()?;
            Some(self.provider.server_time(url).millis() - (self.clock)().millis())
        });
        IssuerSeen { metadata: found.map(|metadata| offered(&metadata)), clock_behind }
    }

    /// Which rungs of this machine work, each tried by a real write and read; the others with why not. The passphrase is
    /// not among them: it works wherever somebody has one.
    pub fn try_rungs(&self) -> Vec<(Rung, Result<(), String>)> {
        self.shelf.vault().try_all()
    }

    /// How many items of other programs stand in the desktop's keyring under these attributes, which are not secret. None is
    /// opened, and nobody is asked to unlock anything.
    ///
    /// # Errors
    /// Why it cannot be asked, in words that follow its name.
    pub fn on_desktop(&self, attributes: &[(&str, &str)]) -> Result<usize, String> {
        self.shelf.vault().count_on_desktop(attributes)
    }

    /// Whether a record could be written here: by writing as much, and removing it again.
    ///
    /// # Errors
    /// What is wrong with the folder or the disk.
    pub fn try_disk(&self) -> Result<(), HolderError> {
        self.shelf.prove()
    }
}

fn offered(metadata: &IssuerMetadata) -> Offered {
    Offered {
        browser: metadata.authorization_endpoint.is_some(),
        device: metadata.device_authorization_endpoint.is_some(),
        revocation: metadata.revocation_endpoint.is_some(),
        bound: !metadata.dpop_signing_alg_values_supported.is_empty(),
        ours: metadata.hallpass_device_wait_supported,
    }
}
