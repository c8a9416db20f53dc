//! What copies of a sign-in's tokens are recognised by, once the tokens themselves are gone.

use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{Candidate, Fingerprint, Kind, Pepper, Secret};

use crate::Holder;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::record::Record;

/// A copy that was made of a token is text that somebody else's file holds: shorter text is a word, not a token.
const LEN_MIN: usize = 8;

/// Fingerprints of what a sign-in holds, under a key that is this value's alone. Holds no secret.
#[derive(Debug)]
pub struct Prints {
    pepper: Pepper,
    all: Vec<(Fingerprint, String)>,
}

impl Prints {
    /// Of nothing yet.
    fn new() -> Self {
        let mut key = [0u8; 32];
        SystemEntropy.fill(&mut key);
        Self { pepper: Pepper::new(&key), all: Vec::new() }
    }

    fn add<K: Kind>(&mut self, token: &Secret<K>, what: &str) {
        if token.expose().len() >= LEN_MIN {
            self.all.push((self.pepper.fingerprint::<Candidate>(token.expose()), what.to_owned()));
        }
    }

    fn add_all(&mut self, record: &Record) {
        if let Some(refresh) = &record.refresh {
            self.add(refresh, "the refresh token");
        }
        if let Some(held) = &record.api_key {
            self.add(&held.key, "the API key");
        }
        if let Some(access) = &record.access {
            self.add(&access.token, "the access token");
        }
        for pass in &record.passes {
            self.add(&pass.access.token, &format!("the pass for {}", pass.resource));
        }
    }

    /// What a text is a copy of, if it is one.
    pub fn recognise(&self, candidate: &[u8]) -> Option<&str> {
        if candidate.len() < LEN_MIN {
            return None;
        }
        let print = self.pepper.fingerprint::<Candidate>(candidate);
        self.all.iter().find(|(known, _)| *known == print).map(|(_, what)| what.as_str())
    }

    /// Whether there is nothing to recognise.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Holder {
    /// Fingerprints of all that these sign-ins hold, so that copies can be recognised when they are wiped. A record that
    /// does not open has none.
    ///
    /// # Errors
    /// `Cancelled` if the person stopped at the prompt for a passphrase.
    pub fn prints(&self, identities: &[Identity]) -> Result<Prints, HolderError> {
        let mut prints = Prints::new();
        for identity in identities {
            match self.shelf.find(identity) {
                Ok(Some(loaded)) => prints.add_all(&loaded.record),
                Err(HolderError::Cancelled) => return Err(HolderError::Cancelled),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(prints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_recognised_and_nothing_of_it_is_kept() {
        let mut prints = Prints::new();
        prints.add_all(&Record::for_tests("hpr_canary-refresh"));
        assert_eq!(prints.recognise(b"hpr_canary-refresh"), Some("the refresh token"));
        assert_eq!(prints.recognise(b"access-1"), Some("the access token"));
        assert_eq!(prints.recognise(b"hpr_canary-refres"), None);
        assert!(!format!("{prints:?}").contains("canary"));
        prints.all.clear();
        prints.add(&Secret::<Candidate>::from_text("short".into()), "x");
        assert!(prints.is_empty());
    }
}
