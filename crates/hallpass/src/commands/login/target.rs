//! What is to be signed in to: flags, then the environment, then what this directory asks for, then what is known about
//! the profile.

use hallpass_holder::{Endpoints, Holder, HolderError, Profile, ProfileName, Rung, Wanted};
use hallpass_model::wire::oauth::Scopes;

use super::LoginArgs;
use crate::binding::{Binding, Nearest};
use crate::config::{Config, ProfileConfig};
use crate::env;
use crate::failure::Failure;
use crate::holding::{profile_of_environment, scopes};
use crate::output::Output;

/// What is to be signed in to.
pub(super) struct Target {
    pub(super) profile: Option<ProfileName>,
    pub(super) issuer: String,
    pub(super) client_id: Option<String>,
    /// Its endpoints, as far as somebody named them.
    pub(super) endpoints: Endpoints,
    /// The organisation that whoever signs in must be of.
    pub(super) org: Option<String>,
    pub(super) resources: Vec<String>,
    pub(super) scopes: Scopes,
    /// Where the settings want the key to rest.
    pub(super) store: Option<Rung>,
}

/// What is known about a profile before anybody signs in: what the settings say, and what it was last time.
#[derive(Default)]
struct Known {
    profile: Option<ProfileName>,
    config: ProfileConfig,
    last: Option<Profile>,
}

impl Known {
    fn find(profile: ProfileName, config: &Config, holder: &Holder) -> Result<Self, HolderError> {
        Ok(Self {
            config: config.profiles.get(&profile).cloned().unwrap_or_default(),
            last: holder.profile(&profile)?,
            profile: Some(profile),
        })
    }

    fn issuer(&self) -> Option<String> {
        let last = || self.last.as_ref().map(|last| last.identity.issuer.clone());
        self.config.issuer.clone().or_else(last)
    }

    /// The endpoints of its issuer, and of no other.
    fn endpoints(&self, issuer: &str) -> Endpoints {
        if self.issuer().as_deref() != Some(issuer) {
            return Endpoints::default();
        }
        let last = self.last.as_ref().filter(|last| last.identity.issuer == issuer);
        self.config.endpoints.clone().or(last.map(|last| last.endpoints.clone()).unwrap_or_default())
    }

    fn client_id(&self) -> Option<String> {
        let last = || self.last.as_ref().map(|last| last.identity.client_id.clone());
        self.config.client_id.clone().or_else(last)
    }
}

/// Works it out.
pub(super) fn target(args: &LoginArgs, holder: &Holder, out: &mut Output) -> Result<Target, Failure> {
    let config = Config::load()?;
    let nearest = Nearest::find()?;
    if let Some(warning) = nearest.warning() {
        out.warn(warning);
    }
    let binding = match nearest {
        Nearest::Trusted(binding) => Some(binding),
        _ => None,
    };
    let typed = args.issuer.clone();
    let known = known(args, binding.as_ref(), &config, holder)?;
    let of_profile = || known.issuer();
    let of_environment = || env::HALLPASS_ISSUER.text();
    // What a directory asks for under another profile is not for this one.
    let binding = binding.filter(|binding| binding.profile.is_none() || binding.profile == known.profile);
    let of_directory = || binding.as_ref().and_then(|binding| binding.issuer.clone());
    let issuer = match args.profile {
        Some(_) => typed.or_else(of_profile).or_else(of_environment).or_else(of_directory),
        None => typed.or_else(of_environment).or_else(of_profile).or_else(of_directory),
    };
    let issuer = match (issuer, &known.profile) {
        (Some(issuer), _) => issuer,
        (None, None) => only_issuer(holder)?,
        (None, Some(profile)) => {
            return Err(Failure::usage(format_args!(
                "no issuer is named, and nothing is known about profile `{profile}`"
            ))
            .hint(format_args!("`hallpass login https://id.example/acme --profile {profile}`")));
        }
    };
    let binding = binding.filter(|binding| binding.issuer.as_ref().is_none_or(|asked| *asked == issuer));
    let client_id = args.client_id.clone();
    let client_id = client_id.or_else(|| known.client_id()).or_else(|| env::HALLPASS_CLIENT_ID.text());
    let (resources, asked) = what_for(args, binding.as_ref(), &known);
    Ok(Target {
        endpoints: args.endpoints.named().or(known.endpoints(&issuer)),
        issuer,
        client_id,
        org: known.config.org.or_else(|| binding.and_then(|binding| binding.org)),
        resources,
        scopes: scopes(&asked),
        store: known.config.store.or(config.store),
        profile: known.profile,
    })
}

/// What the sign-in that is here reaches, as far as nothing else is named: a step-up asks for no more, and loses nothing.
pub(super) fn as_it_is(target: &mut Target, holder: &Holder) -> Result<(), Failure> {
    let wanted = Wanted {
        issuer: Some(&target.issuer),
        client_id: target.client_id.as_deref(),
        profile: target.profile.as_ref(),
    };
    let identity = holder.find(&wanted)?;
    let opened = holder.status(&identity)?.opened?;
    if target.resources.is_empty() {
        target.resources = opened.resources;
    }
    if target.scopes.is_empty() {
        target.scopes = opened.scope;
    }
    target.client_id = Some(identity.client_id);
    target.profile = identity.profile;
    Ok(())
}

/// The profile that is meant, and what is known about it. A directory's or the default one that is known to be elsewhere
/// is not what somebody means who types an issuer.
fn known(
    args: &LoginArgs,
    binding: Option<&Binding>,
    config: &Config,
    holder: &Holder,
) -> Result<Known, Failure> {
    if let Some(named) = args.profile.clone().map_or_else(profile_of_environment, |named| Ok(Some(named)))? {
        return Ok(Known::find(named, config, holder)?);
    }
    let by_directory = binding.and_then(|binding| binding.profile.as_ref());
    for profile in by_directory.into_iter().chain(&config.default_profile) {
        let known = Known::find(profile.clone(), config, holder)?;
        match (&args.issuer, known.issuer()) {
            (Some(typed), Some(issuer)) if *typed != issuer => {}
            _ => return Ok(known),
        }
    }
    Ok(Known::default())
}

/// The APIs and scopes: those of the strongest voice that names any.
fn what_for(args: &LoginArgs, binding: Option<&Binding>, known: &Known) -> (Vec<String>, Vec<String>) {
    let last = known.last.as_ref().map(|last| {
        let scopes = last.scope.iter().map(str::to_owned).collect();
        (last.resources.clone(), scopes)
    });
    let voices = [
        Some((args.resources.clone(), args.scopes.clone())),
        binding.map(|binding| (binding.resources.clone(), binding.scopes.clone())),
        Some((known.config.resources.clone(), known.config.scopes.clone())),
        last,
    ];
    let voices = || voices.iter().flatten();
    let resources = voices().map(|(resources, _)| resources).find(|resources| !resources.is_empty());
    let scopes = voices().map(|(_, scopes)| scopes).find(|scopes| !scopes.is_empty());
    (resources.cloned().unwrap_or_default(), scopes.cloned().unwrap_or_default())
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
