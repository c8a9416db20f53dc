//! What is known of a profile, also while nobody is signed in under it: where it signs in, and whom and what it was pinned
//! to. Nothing in it is secret. It stands in a file of its own beside the records, outlives a logout, and so notices
//! when somebody else comes back.

use std::io::ErrorKind;
use std::path::PathBuf;

use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use serde::{Deserialize, Serialize};

use crate::Holder;
use crate::endpoints::Endpoints;
use crate::error::HolderError;
use crate::identity::{Identity, ProfileName};
use crate::pins::{Differs, Pins};
use crate::private;
use crate::record::Record;
use crate::which::Wanted;

const EXTENSION: &str = "profile";

/// What is known of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Its sign-in.
    pub identity: Identity,
    /// Whether a record of it is here.
    pub signed_in: bool,
    /// Who, for people; claimed by the provider.
    pub person: Option<String>,
    /// Whom it is about, as the provider calls them.
    pub subject: Option<String>,
    /// The organisations that its tokens named.
    pub orgs: Vec<String>,
    /// What its access token was for, if it says so.
    pub audience: Option<String>,
    /// The APIs it was asked for.
    pub resources: Vec<String>,
    /// What was granted.
    pub scope: Scopes,
    /// The provider's endpoints, as far as they were named by hand.
    pub endpoints: Endpoints,
    /// When somebody last signed in.
    pub last: Timestamp,
}

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    profile: ProfileName,
    issuer: String,
    client_id: String,
    person: Option<String>,
    pins: Pins,
    resources: Vec<String>,
    scope: Scopes,
    #[serde(default, skip_serializing_if = "Endpoints::is_empty")]
    endpoints: Endpoints,
    last: Timestamp,
}

impl Kept {
    fn identity(&self) -> Identity {
        Identity::new(&*self.issuer, &*self.client_id).under(Some(self.profile.clone()))
    }

    fn shown(self, signed_in: bool) -> Profile {
        Profile {
            identity: self.identity(),
            signed_in,
            person: self.person,
            subject: self.pins.whom().map(str::to_owned),
            orgs: self.pins.orgs().into_iter().collect(),
            audience: self.pins.access.get("aud").cloned(),
            resources: self.resources,
            scope: self.scope,
            endpoints: self.endpoints,
            last: self.last,
        }
    }
}

impl Holder {
    /// The profiles that are known here, in the order of their names.
    pub fn profiles(&self) -> Result<Vec<Profile>, HolderError> {
        let Some(folder) = self.shelf.folder() else { return Ok(Vec::new()) };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(HolderError::disk("cannot read", folder)(source)),
        };
        let mut profiles = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let Some(name) = name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.')) else {
                continue;
            };
            if let Ok(name) = name.parse()
                && let Some(profile) = self.profile(&name)?
            {
                profiles.push(profile);
            }
        }
        profiles.sort_by(|a, b| a.identity.profile.cmp(&b.identity.profile));
        Ok(profiles)
    }

    /// What is known of one profile.
    pub fn profile(&self, name: &ProfileName) -> Result<Option<Profile>, HolderError> {
        let Some(kept) = self.kept_profile(name)? else { return Ok(None) };
        let identity = kept.identity();
        let signed_in = self.shelf.header(&identity)?.is_some() || self.daemon_held().contains(&identity);
        Ok(Some(kept.shown(signed_in)))
    }

    /// Gives a profile another name. Its sign-in goes on under that.
    ///
    /// # Errors
    /// `Usage` if there is none of the name, or one of the new name already.
    pub async fn rename_profile(&self, name: &ProfileName, to: &ProfileName) -> Result<(), HolderError> {
        let usage = |what: String| Err(HolderError::Usage { what });
        let Some(kept) = self.kept_profile(name)? else {
            return usage(format!("there is no profile `{name}`"));
        };
        let taken = Wanted { profile: Some(to), ..Wanted::default() };
        if self.kept_profile(to)?.is_some() || !self.candidates(&taken)?.is_empty() {
            return usage(format!("there is a profile `{to}` already"));
        }
        let from = kept.identity();
        if self.daemon_held().contains(&from) {
            return usage(format!(
                "the daemon holds `{name}` by its name: sign out, and in again under the new one"
            ));
        }
        if self.shelf.header(&from)?.is_some() {
            // Opened once before the lock is held, which nobody keeps while a person is asked for a passphrase.
            self.shelf.find(&from)?;
            let renewing = crate::lock::renewing(&from, &self.locks).await?;
            self.shelf.rename(&from, Some(to.clone()), (self.clock)())?;
            drop(renewing);
        }
        self.keep_profile(&Kept { profile: to.clone(), ..kept })?;
        self.forget_profile(name).map(|_| ())
    }

    /// Forgets what is known of a profile. Whether anything was. Its sign-in is not touched: sign out first.
    pub fn forget_profile(&self, name: &ProfileName) -> Result<bool, HolderError> {
        match self.profile_file(name) {
            Some(file) => private::remove(&file),
            None => Ok(false),
        }
    }

    /// Whether a sign-in is of an organisation: by its issuer's address or the last word of that, or by what its tokens
    /// said at login. What is asked before it serves a target that belongs to one.
    ///
    /// # Errors
    /// `AnotherOrg` if it is not, or if nothing is known about its organisation.
    pub fn is_of(&self, identity: &Identity, org: &str) -> Result<(), HolderError> {
        let opened = self.status(identity)?.opened?;
        match opened.ended {
            None => one_of(identity, opened.orgs, org),
            Some(why) => Err(crate::refresh::ended(identity, why)),
        }
    }

    /// Compares whoever signed in with whom the profile was pinned to: at its last sign-in, which may be over, or by the
    /// record that is here.
    pub(crate) fn same_person(
        &self,
        identity: &Identity,
        earlier: Option<&Pins>,
        now: &Pins,
    ) -> Result<(), HolderError> {
        let kept = match &identity.profile {
            Some(profile) => self.kept_profile(profile)?.map(|kept| kept.pins),
            None => None,
        };
        for pins in kept.iter().chain(earlier) {
            pins.same_person(now).map_err(|Differs { what, pinned, came }| HolderError::SomebodyElse {
                profile: identity.profile.clone(),
                what,
                pinned,
                came,
                not_revoked: None,
            })?;
        }
        Ok(())
    }

    /// Writes down what a sign-in under a profile is pinned to.
    pub(crate) fn pin_profile(
        &self,
        identity: &Identity,
        record: &Record,
        endpoints: &Endpoints,
    ) -> Result<(), HolderError> {
        let Some(profile) = identity.profile.clone() else { return Ok(()) };
        self.keep_profile(&Kept {
            profile,
            issuer: identity.issuer.clone(),
            client_id: identity.client_id.clone(),
            person: record.person.clone(),
            pins: record.pins.clone(),
            resources: record.resources.clone(),
            scope: record.scope.clone(),
            endpoints: endpoints.clone(),
            last: record.signed_in,
        })
    }

    fn keep_profile(&self, kept: &Kept) -> Result<(), HolderError> {
        let Some(file) = self.profile_file(&kept.profile) else { return Ok(()) };
        let text = serde_json::to_vec(kept).expect("a profile is a struct of JSON values");
        private::write(&file, &text)
    }

    fn kept_profile(&self, name: &ProfileName) -> Result<Option<Kept>, HolderError> {
        let Some(file) = self.profile_file(name) else { return Ok(None) };
        let Some(bytes) = private::read(&file)? else { return Ok(None) };
        match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if kept.profile == *name => Ok(Some(kept)),
            _ => Err(HolderError::Damaged { path: file, why: "it is not what is known of this profile" }),
        }
    }

    fn profile_file(&self, name: &ProfileName) -> Option<PathBuf> {
        Some(self.shelf.folder()?.join(format!("{name}.{EXTENSION}")))
    }
}

/// Whether what was pinned is of this organisation.
pub(crate) fn is_of(identity: &Identity, pins: &Pins, org: &str) -> Result<(), HolderError> {
    one_of(identity, pins.orgs(), org)
}

/// Whether an organisation is one of those that the tokens named, or the issuer itself.
fn one_of(identity: &Identity, orgs: impl IntoIterator<Item = String>, org: &str) -> Result<(), HolderError> {
    let orgs: Vec<String> = orgs.into_iter().collect();
    let issuer = [Some(identity.issuer.clone()), last_word(&identity.issuer)];
    match orgs.iter().chain(issuer.iter().flatten()).any(|one| one == org) {
        true => Ok(()),
        false => Err(HolderError::AnotherOrg {
            wanted: hallpass_model::purpose::plain(org, 200),
            profile: identity.profile.clone(),
            of: orgs.into_iter().next().unwrap_or_else(|| identity.issuer.clone()),
        }),
    }
}

/// The last word of an issuer's path, which is the org at ours.
fn last_word(issuer: &str) -> Option<String> {
    let url = url::Url::parse(issuer).ok()?;
    let word = url.path_segments()?.next_back()?.to_owned();
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_org_is_named_by_the_issuer_or_by_what_its_tokens_said() {
        let ours = Identity::new("https://id.example/acme", "hallpass-cli");
        let pins = Pins { access: [("tid".to_owned(), "t-1".to_owned())].into(), ..Pins::default() };
        for org in ["acme", "https://id.example/acme", "t-1"] {
            assert!(is_of(&ours, &pins, org).is_ok(), "{org}");
        }
        for org in ["", "rival", "id.example", "t-2", "https://id.example/"] {
            assert!(matches!(is_of(&ours, &pins, org), Err(HolderError::AnotherOrg { .. })), "{org}");
        }
        let nothing_known = Identity::new("https://accounts.example", "c");
        assert!(is_of(&nothing_known, &Pins::default(), "acme").is_err(), "silence is no yes");
    }
}
