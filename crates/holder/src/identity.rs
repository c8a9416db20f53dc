//! Which sign-in: an issuer, the client we are there, and the name a person gave to it, if any.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// A profile's name at most, in bytes: it is typed, and it stands in one line with an issuer.
const NAME_LEN_MAX: usize = 64;

/// Which sign-in. Two people at one issuer and client stand side by side under profiles of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// The profile; `None` for a sign-in that was given no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
}

impl Identity {
    /// The sign-in without a name.
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), client_id: client_id.into(), profile: None }
    }

    /// The same issuer and client under this profile.
    pub fn under(self, profile: Option<ProfileName>) -> Self {
        Self { profile, ..self }
    }

    /// A name for files and locks: short, of harmless characters, and different for every identity.
    pub(crate) fn name(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.issuer.as_bytes());
        hash.update(&[0]);
        hash.update(self.client_id.as_bytes());
        if let Some(profile) = &self.profile {
            hash.update(&[0]);
            hash.update(profile.as_str().as_bytes());
        }
        hash.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The name of a profile: letters, digits, `-`, `_` and `.`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

impl ProfileName {
    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProfileName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let all = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        match first && all && text.len() <= NAME_LEN_MAX {
            true => Ok(Self(text.to_owned())),
            false => Err(
                "a profile's name has letters, digits, `-`, `_` and `.`, begins with a letter or digit, and \
                          is 64 long at most",
            ),
        }
    }
}

impl TryFrom<String> for ProfileName {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProfileName> for String {
    fn from(name: ProfileName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identity_has_a_name_of_its_own_and_an_unnamed_one_keeps_the_one_it_had() {
        let unnamed = Identity::new("https://id.example/acme", "hallpass-cli");
        assert_eq!(unnamed.name(), "07d34502ed72d29cd04571070160fb66");
        let named = |name: &str| unnamed.clone().under(Some(name.parse().unwrap())).name();
        let names = [unnamed.name(), named("work"), named("home"), Identity::new("i", "c").name()];
        for (at, name) in names.iter().enumerate() {
            assert!(names.iter().skip(at + 1).all(|other| other != name), "{name}");
        }
        // A client id that ends as another with a profile does: the zero between them tells them apart.
        assert_ne!(
            Identity::new("i", "cwork").name(),
            Identity::new("i", "c").under("work".parse().ok()).name()
        );
    }

    #[test]
    fn a_profile_s_name_is_harmless_anywhere() {
        for good in ["work", "acme.prod", "2", "a-b_c"] {
            assert_eq!(good.parse::<ProfileName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "-x", "_x", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad}");
        }
    }
}
