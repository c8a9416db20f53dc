//! What a directory asks for, beside what was chosen.

use hallpass_holder::{Holder, HolderError, Identity};

use super::select::Says;
use crate::binding::Binding;
use crate::failure::Failure;
use crate::output::Output;

/// What a directory says a token is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The API, where it names just one.
    pub(crate) resource: Option<String>,
    /// The scopes.
    pub(crate) scopes: Vec<String>,
}

impl Bound {
    pub(super) fn of(binding: Binding) -> Self {
        let mut resources = binding.resources;
        let only = resources.pop().filter(|_| resources.is_empty());
        Self { resource: only, scopes: binding.scopes }
    }
}

/// The directory's voice.
pub(crate) fn says(binding: &Binding) -> Says {
    Says {
        place: binding.place(),
        profile: binding.profile.clone(),
        issuer: binding.issuer.clone(),
        client_id: None,
    }
}

/// Says whether a choice overrides what the directory asks for, and refuses a sign-in of another organisation, unless a
/// person named it.
pub(super) fn agrees(
    holder: &Holder,
    identity: &Identity,
    place: &str,
    binding: &Binding,
    on_purpose: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let asks = says(binding);
    if !asks.names(identity) {
        let chosen = match &identity.profile {
            Some(profile) => format!("profile `{profile}`"),
            None => format!("the sign-in to `{}`", identity.issuer),
        };
        let asked = match (&binding.profile, &binding.issuer) {
            (Some(profile), _) => format!("profile `{profile}`"),
            (None, issuer) => format!("`{}`", issuer.as_deref().unwrap_or_default()),
        };
        out.say(format_args!(
            "{chosen}, by {place}, overrides {asked}, which `{}` asks for",
            binding.place()
        ));
    }
    let Some(org) = &binding.org else { return Ok(()) };
    match holder.is_of(identity, org) {
        Err(other @ HolderError::AnotherOrg { .. }) if on_purpose => {
            out.warn(format_args!("{other}, which `{}` asks for", binding.place()));
            Ok(())
        }
        Err(other @ HolderError::AnotherOrg { .. }) => {
            let failure = Failure::refused(format_args!("{other}, which `{}` asks for", binding.place()));
            Err(failure.hint(
                "name a sign-in of that organisation with `--profile`, or sign in to it: `hallpass login`",
            ))
        }
        agreed => Ok(agreed?),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_api_is_the_one_that_is_meant_and_several_are_none() {
        let bound = |text: &str| {
            Bound::of(Binding::parse(Path::new(".hallpass.toml"), text.into()).unwrap()).resource
        };
        assert_eq!(bound("resource = 'https://a.example/'").as_deref(), Some("https://a.example/"));
        assert_eq!(bound("resource = ['https://a.example/', 'https://b.example/']"), None);
        assert_eq!(bound(""), None);
    }
}
