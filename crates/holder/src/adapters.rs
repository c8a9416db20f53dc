//! Programs that ask for credentials in their own way: git, registries, kubectl, package managers, cloud SDKs.
//!
//! Each is a pair of pure functions over bytes: from what the program sends to a question, and from an answer to what it
//! reads. Nothing here reads the environment, prints, or hands anything out; whoever calls decides, by [`Place`], whether
//! a question is about a place that a credential is for. What a program sends is taken for hostile: a repository, a
//! registry or a page it read may have chosen it.

pub mod place; // where a credential may go, compared exactly
pub mod git; // key=value lines on standard input
pub mod docker; // a bare server name in, JSON out, errors too
pub mod kubectl; // ExecCredential
pub mod cargo; // one JSON message a line
pub mod keyring; // what pip and uv run by that name
pub mod aws; // `credential_process`, the container endpoint, and the STS answer both come from
pub mod gcp; // an executable-sourced external account

use std::fmt;

use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::time::{Lifetime, Timestamp};

pub use place::Place;

/// The longest question a program is listened to for, in bytes: certificate chains and challenges fit many times.
pub const QUESTION_LEN_MAX: usize = 1024 * 1024;

/// How long a token is said to live where its provider does not say: a program that holds it must ask again soon, and asking
/// costs nothing while the token is good. Without an expiry several programs never ask again.
pub const UNKNOWN_LIFE: Lifetime = Lifetime::minutes(5);

/// What is handed to a program.
#[derive(Clone, Copy)]
pub struct Handed<'a> {
    /// The token.
    pub token: &'a Secret<AccessToken>,
    /// Who to be, for programs that cannot do without a name.
    pub username: &'a str,
    /// When it is over: always there.
    pub expires: Timestamp,
}

impl Handed<'_> {
    /// The token as text that stands in one line and needs no escaping anywhere: what RFC 6750, section 2.1, lets a bearer
    /// token be. `None` for anything else, which could be read as more than a token.
    pub fn line(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.token.expose()).ok()?;
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',' | b';');
        (!text.is_empty() && text.bytes().all(plain)).then_some(text)
    }
}

impl fmt::Debug for Handed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("username", &self.username).field("expires", &self.expires).finish()
    }
}

/// A question that cannot be answered because it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(
    /// What is wrong with it, as a fragment. Nothing of the question is repeated.
    pub &'static str,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_could_be_read_as_more_than_a_token_is_never_handed_out() {
        let line = |text: &str| {
            let token = Secret::from_text(text.to_owned());
            let handed = Handed { token: &token, username: "x", expires: Timestamp::from_seconds(0) };
            handed.line().map(str::to_owned)
        };
        assert_eq!(line("eyJ0.e-_~+/=").as_deref(), Some("eyJ0.e-_~+/="));
        for bad in ["", "a b", "a\nquit=1", "a\r", "a\0", "a\"b", "a\\", "é"] {
            assert_eq!(line(bad), None, "{bad:?}");
        }
        let token = Secret::from_text("canary".into());
        let handed = Handed { token: &token, username: "x", expires: Timestamp::from_seconds(0) };
        assert!(!format!("{handed:?}").contains("canary"));
    }
}
