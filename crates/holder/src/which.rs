//! Which sign-in is meant. It is never guessed.

use hallpass_model::client::HALLPASS_CLI;

use crate::Holder;
use crate::error::HolderError;
use crate::presets::Preset;
use crate::record::Header;
use crate::shelf::{Identity, Listed, Unreadable};

impl Holder {
    /// The sign-ins that are here, whether or not they still stand.
    pub fn list(&self) -> Result<Vec<Identity>, HolderError> {
        Ok(self.everything()?.0)
    }

    /// What is here, and what the daemon alone holds.
    fn everything(&self) -> Result<(Vec<Identity>, Vec<Unreadable>), HolderError> {
        let Listed { headers, unreadable } = self.shelf.list()?;
        let mut all: Vec<Identity> = headers.iter().map(Header::identity).collect();
        all.extend(self.daemon_held());
        all.sort_by(|a, b| (&a.issuer, &a.client_id).cmp(&(&b.issuer, &b.client_id)));
        all.dedup();
        Ok((all, unreadable))
    }

    /// The files here that should be records and do not even say whose they are.
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, HolderError> {
        Ok(self.shelf.list()?.unreadable)
    }

    /// The sign-in that is meant: the only one of this issuer and client, or the only one there is.
    ///
    /// # Errors
    /// `NotSignedIn` if there is none, `Ambiguous` if there are several. A record that cannot be read counts: it may be the
    /// one that is meant, and if it is the only one, its own error is the answer.
    pub fn find(&self, issuer: Option<&str>, client_id: Option<&str>) -> Result<Identity, HolderError> {
        let issuer =
            issuer.map(|named| Preset::named(named).and_then(|preset| preset.issuer).unwrap_or(named));
        let (mut fitting, mut unreadable) = self.everything()?;
        fitting.retain(|identity| {
            issuer.is_none_or(|issuer| identity.issuer == issuer)
                && client_id.is_none_or(|client| identity.client_id == client)
        });
        if let Some(issuer) = issuer {
            // The file of a record tells whose it is to whoever knows whose it may be.
            let client_id_known = client_id.is_some();
            let client_id = client_id.unwrap_or(HALLPASS_CLI).to_owned();
            let meant = Identity { issuer: issuer.to_owned(), client_id };
            let own = unreadable.iter().position(|one| one.name() == meant.name());
            if let Some(own) = own {
                unreadable.remove(own);
                fitting.push(meant);
            }
            if client_id_known || !fitting.is_empty() {
                unreadable.clear(); // they are others'
            }
        }
        match (fitting.len(), unreadable.len()) {
            (0, 0) => Err(HolderError::NotSignedIn { issuer: issuer.map(str::to_owned) }),
            (1, 0) => Ok(fitting.remove(0)),
            (0, 1) => Err(unreadable.remove(0).why),
            _ => {
                let named = |identity: &Identity| match issuer {
                    Some(_) => format!("{} as {}", identity.issuer, identity.client_id),
                    None => identity.issuer.clone(),
                };
                let mut choices: Vec<String> = fitting.iter().map(named).collect();
                choices.dedup();
                choices.extend(unreadable.iter().map(|one| one.file.display().to_string()));
                Err(HolderError::Ambiguous { choices })
            }
        }
    }
}
