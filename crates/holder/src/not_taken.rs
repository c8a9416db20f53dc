//! A token that a server did not take is not handed out again. Nothing is logged out by it: whoever says so may be wrong.

use hallpass_model::secret::{AccessToken, Secret};

use crate::Holder;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::pass::PassRequest;
use crate::record::{AccessHeld, Record};
use crate::shelf::Saved;

/// How often to start over when others write in between. Each time somebody else has made progress.
const TRIES: usize = 5;

/// Which token was not taken.
#[derive(Debug, Clone, Copy)]
pub enum NotTaken<'a> {
    /// This one. Where another is kept by now, that one stays: it was not refused.
    Token(&'a Secret<AccessToken>),
    /// Whichever is kept for this: the program that was refused does not say.
    KeptFor(&'a PassRequest),
}

impl Holder {
    /// Marks a token that a server did not take, so that the next question for it brings a fresh one. Whether it was kept
    /// here.
    ///
    /// Where it cannot be renewed it stays: to lose it would be to sign out.
    pub fn not_taken(&self, identity: &Identity, which: NotTaken<'_>) -> Result<bool, HolderError> {
        for _ in 0..TRIES {
            let Some(mut loaded) = self.shelf.find(identity)? else {
                return self.daemon_not_taken(identity, which).map(|()| false);
            };
            if !mark(&mut loaded.record, which) {
                return Ok(false);
            }
            match self.shelf.save(&mut loaded, (self.clock)())? {
                Saved::Yes => {
                    self.daemon_forgets(identity);
                    return Ok(true);
                }
                Saved::Gone => return Ok(false),
                Saved::Overtaken => {}
            }
        }
        Err(HolderError::Locked { waited_seconds: 0 })
    }
}

/// Takes it out of the record. Whether it was there.
fn mark(record: &mut Record, which: NotTaken<'_>) -> bool {
    let before = record.passes.len();
    record.passes.retain(|held| match which {
        NotTaken::Token(token) => !held.access.token.matches(token.expose()),
        NotTaken::KeptFor(request) => {
            request.resource.as_ref().is_some_and(|resource| held.resource != *resource)
                || held.asked != request.scopes
        }
    });
    // A Hallpass issuer's session token is never handed out, and so never refused.
    let shared = !record.ours && record.refresh.is_some();
    let meant = |access: &AccessHeld| match which {
        NotTaken::Token(token) => access.token.matches(token.expose()),
        NotTaken::KeptFor(_) => true,
    };
    let marked = shared && record.access.take_if(|access| meant(access)).is_some();
    marked || record.passes.len() < before
}

#[cfg(test)]
mod tests {
    use hallpass_model::time::{Lifetime, Timestamp};
    use hallpass_model::wire::oauth::{Scopes, TokenType};

    use super::*;
    use crate::record::{Expiry, PassHeld};

    fn secret(text: &str) -> Secret<AccessToken> {
        Secret::from_text(text.into())
    }

    #[test]
    fn a_token_that_was_not_taken_is_not_kept_and_any_other_is() {
        let mut record = Record::for_tests("refresh-1");
        assert!(!mark(&mut record, NotTaken::Token(&secret("access-0"))));
        assert!(record.access.is_some());
        assert!(mark(&mut record, NotTaken::Token(&secret("access-1"))));
        assert!(record.access.is_none() && record.refresh.is_some());
        assert!(!mark(&mut record, NotTaken::Token(&secret("access-1"))), "once");
    }

    #[test]
    fn a_token_that_cannot_be_renewed_stays() {
        let mut record = Record::for_tests("refresh-1");
        record.refresh = None;
        assert!(!mark(&mut record, NotTaken::Token(&secret("access-1"))));
        assert!(record.access.is_some());
    }

    #[test]
    fn of_a_hallpass_session_passes_are_dropped_and_never_its_own_token() {
        let mut record = Record::for_tests("refresh-1");
        record.ours = true;
        let start = Timestamp::from_seconds(1_700_000_000);
        for name in ["a", "b"] {
            let access = AccessHeld {
                token: secret(&format!("pass-{name}")),
                token_type: TokenType::Bearer,
                expires: Expiry::Said(start + Lifetime::minutes(5)),
                scope: None,
            };
            let resource = format!("https://{name}.example");
            record.keep_pass(
                PassHeld { resource, asked: Scopes::none(), purpose: None, access, nonce: None },
                start,
            );
        }
        assert!(!mark(&mut record, NotTaken::Token(&secret("access-1"))));
        assert!(mark(&mut record, NotTaken::Token(&secret("pass-a"))));
        assert_eq!(record.passes.len(), 1);
        let request = PassRequest { resource: Some("https://b.example".into()), ..PassRequest::default() };
        assert!(mark(&mut record, NotTaken::KeptFor(&request)));
        assert!(record.passes.is_empty() && record.access.is_some());
    }
}
