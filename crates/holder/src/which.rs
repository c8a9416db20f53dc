//! Which sign-in is meant. It is never guessed.

use hallpass_model::client::HALLPASS_CLI;

use crate::Holder;
use crate::error::HolderError;
use crate::identity::{Identity, ProfileName};
use crate::presets::Preset;
use crate::record::Header;
use crate::shelf::{Foreign, Listed, Unreadable};

/// What is known about the sign-in that is meant. What is `None` may be anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The issuer, or the name of a preset that has just one.
    pub issuer: Option<&'a str>,
    /// The client.
    pub client_id: Option<&'a str>,
    /// The profile.
    pub profile: Option<&'a ProfileName>,
}

impl Wanted<'_> {
    /// Whether a sign-in is as wanted.
    pub fn fits(&self, identity: &Identity) -> bool {
        self.issuer.is_none_or(|issuer| identity.issuer == issuer_named(issuer))
            && self.client_id.is_none_or(|client| identity.client_id == client)
            && self.profile.is_none_or(|profile| identity.profile.as_ref() == Some(profile))
    }
}

impl Holder {
    /// The sign-ins that are here, whether or not they still stand.
    pub fn list(&self) -> Result<Vec<Identity>, HolderError> {
        Ok(self.everything()?.0)
    }

    /// What is here, and what the daemon alone holds.
    fn everything(&self) -> Result<(Vec<Identity>, Vec<Unreadable>), HolderError> {
        let Listed { headers, unreadable } = self.shelf.list()?;
        let mut all: Vec<Identity> = headers.iter().map(Header::identity).collect();
        let held = self.daemon_held().into_iter().filter(|held| !all.contains(held)).collect::<Vec<_>>();
        all.extend(held);
        Ok((all, unreadable))
    }

    /// The files here that should be records and do not even say whose they are.
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, HolderError> {
        Ok(self.shelf.list()?.unreadable)
    }

    /// The sign-in that is meant: the only one that fits.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none, `Ambiguous` if there are several. A record that cannot be read counts: it may be the
    /// one that is meant, and if it is the only one, its own error is the answer.
    pub fn find(&self, wanted: &Wanted<'_>) -> Result<Identity, HolderError> {
        let wanted = Wanted { issuer: wanted.issuer.map(issuer_named), ..*wanted };
        let (mut fitting, mut unreadable) = self.everything()?;
        fitting.retain(|identity| wanted.fits(identity));
        if let Some(issuer) = wanted.issuer {
            // The file of a record tells whose it is to whoever knows whose it may be.
            let client_id = wanted.client_id.unwrap_or(HALLPASS_CLI);
            let meant = Identity::new(issuer, client_id).under(wanted.profile.cloned());
            let own = unreadable.iter().position(|one| one.name() == meant.name());
            if let Some(own) = own {
                unreadable.remove(own);
                fitting.push(meant);
            }
        }
        if wanted.issuer.is_some() && wanted.client_id.is_some() || !fitting.is_empty() && wanted.is_narrow()
        {
            unreadable.clear(); // they are others'
        }
        if let (true, Some(copy)) =
            (fitting.is_empty() && unreadable.is_empty(), self.foreign_that_fits(&wanted))
        {
            return Err(HolderError::ForeignCopy { issuer: copy.issuer, path: copy.file });
        }
        match (fitting.len(), unreadable.len()) {
            (0, 0) => Err(self.unless_the_daemon_is_stuck(HolderError::NotSignedIn {
                issuer: wanted.issuer.map(str::to_owned),
                profile: wanted.profile.cloned(),
            })),
            (1, 0) => Ok(fitting.remove(0)),
            (0, 1) => Err(unreadable.remove(0).why),
            _ => {
                let mut choices = told_apart(&fitting);
                choices.extend(unreadable.iter().map(|one| one.file.display().to_string()));
                Err(HolderError::Ambiguous { choices })
            }
        }
    }

    /// The records here that were made on another machine.
    pub fn foreign(&self) -> Vec<Foreign> {
        self.shelf.foreign()
    }

    /// One of those that would be the one that is meant.
    fn foreign_that_fits(&self, wanted: &Wanted<'_>) -> Option<Foreign> {
        self.foreign().into_iter().find(|copy| {
            wanted.issuer.is_none_or(|issuer| issuer == copy.issuer)
                && wanted.client_id.is_none_or(|client| client == copy.client_id)
                && wanted.profile.is_none()
        })
    }

    /// All the sign-ins that fit, for a person to choose from.
    pub fn candidates(&self, wanted: &Wanted<'_>) -> Result<Vec<Identity>, HolderError> {
        Ok(self.list()?.into_iter().filter(|identity| wanted.fits(identity)).collect())
    }
}

impl Wanted<'_> {
    /// Whether a sign-in that fits is surely the one that is meant, whatever cannot be read.
    fn is_narrow(&self) -> bool {
        self.issuer.is_some() || self.profile.is_some()
    }
}

/// An issuer, where a preset stands for just one.
fn issuer_named(issuer: &str) -> &str {
    Preset::named(issuer).and_then(|preset| preset.issuer).unwrap_or(issuer)
}

/// What tells sign-ins apart, in a few words each.
pub fn told_apart(all: &[Identity]) -> Vec<String> {
    let each = |one: &Identity| {
        let alone = all.iter().filter(|other| other.issuer == one.issuer).count() == 1;
        match (&one.profile, alone) {
            (Some(profile), true) => format!("{profile} ({})", one.issuer),
            (Some(profile), false) => format!("{profile} ({} as {})", one.issuer, one.client_id),
            (None, true) => one.issuer.clone(),
            (None, false) => format!("{} as {}", one.issuer, one.client_id),
        }
    };
    all.iter().map(each).collect()
}
