//! What is to be signed in to: flags, then the environment, then what is known about the profile.

use hallpass_holder::{Holder, HolderError, Identity, ProfileName, Rung, Wanted};

use super::LoginArgs;
use crate::config::{Config, ProfileConfig};
use crate::env;
use crate::failure::Failure;
use crate::holding::scopes;
use hallpass_model::wire::oauth::Scopes;

/// What is to be signed in to.
pub(super) struct Target {
    pub(super) profile: Option<ProfileName>,
    pub(super) issuer: String,
    pub(super) client_id: Option<String>,
    pub(super) resources: Vec<String>,
    pub(super) scopes: Scopes,
    /// Where the settings want the key to rest.
    pub(super) store: Option<Rung>,
}

/// What is known about a profile before anybody signs in.
#[derive(Default)]
struct Known {
    config: ProfileConfig,
    earlier: Option<Identity>,
}

impl Known {
    fn find(
        profile: Option<&ProfileName>,
        config: &mut Config,
        holder: &Holder,
    ) -> Result<Self, HolderError> {
        let Some(profile) = profile else { return Ok(Self::default()) };
        let wanted = Wanted { profile: Some(profile), ..Wanted::default() };
        Ok(Self {
            config: config.profiles.remove(profile).unwrap_or_default(),
            earlier: holder.candidates(&wanted)?.into_iter().next(),
        })
    }

    fn issuer(&self) -> Option<String> {
        let earlier = || self.earlier.as_ref().map(|earlier| earlier.issuer.clone());
        self.config.issuer.clone().or_else(earlier)
    }

    fn client_id(&self) -> Option<String> {
        let earlier = || self.earlier.as_ref().map(|earlier| earlier.client_id.clone());
        self.config.client_id.clone().or_else(earlier)
    }
}

/// Works it out.
pub(super) fn target(args: &LoginArgs, holder: &Holder) -> Result<Target, Failure> {
    let mut config = Config::load()?;
    let named = match &args.profile {
        Some(profile) => Some(profile.clone()),
        None => crate::holding::profile_of_environment()?,
    };
    let by_default = named.is_none();
    let mut profile = named.or_else(|| config.default_profile.clone());
    let mut known = Known::find(profile.as_ref(), &mut config, holder)?;
    let typed = args.issuer.clone();
    // A default that is elsewhere is not what somebody means who types an issuer.
    if by_default && typed.is_some() && known.issuer().is_some_and(|issuer| Some(issuer) != typed) {
        (profile, known) = (None, Known::default());
    }
    let of_environment = || env::HALLPASS_ISSUER.text();
    let issuer = match args.profile {
        Some(_) => typed.or_else(|| known.issuer()).or_else(of_environment),
        None => typed.or_else(of_environment).or_else(|| known.issuer()),
    };
    let issuer = match (issuer, &profile) {
        (Some(issuer), _) => issuer,
        (None, None) => only_issuer(holder)?,
        (None, Some(profile)) => {
            return Err(Failure::usage(format_args!(
                "no issuer is named, and nothing is known about profile `{profile}`"
            ))
            .hint(format_args!("`hallpass login https://id.example/acme --profile {profile}`")));
        }
    };
    let client_id = args.client_id.clone();
    let client_id = client_id.or_else(|| known.client_id()).or_else(|| env::HALLPASS_CLIENT_ID.text());
    Ok(Target {
        profile,
        issuer,
        client_id,
        resources: if args.resources.is_empty() { known.config.resources } else { args.resources.clone() },
        scopes: scopes(if args.scopes.is_empty() { &known.config.scopes } else { &args.scopes }),
        store: known.config.store.or(config.store),
    })
}

/// The issuer there is a sign-in to already.
fn only_issuer(holder: &Holder) -> Result<String, Failure> {
    match holder.find(&Wanted::default()) {
        Ok(identity) => Ok(identity.issuer),
        Err(HolderError::NotSignedIn { .. }) => Err(Failure::usage("no issuer is named")
            .hint("`hallpass login https://id.example/acme`, or set HALLPASS_ISSUER")),
        Err(error) => Err(error.into()),
    }
}
