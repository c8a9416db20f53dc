//! What can happen: the kinds of entry.

use std::fmt;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What happened. The spellings are part of the leaf format: one may be added, none changed or reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event { $($(#[$doc])* $name,)* }

        impl Event {
            /// Every kind, for tables, completions and tests.
            pub const ALL: &[Event] = &[$(Event::$name,)*];

            /// As it is written: `policy_changed`.
            pub const fn text(self) -> &'static str {
                match self { $(Event::$name => $text,)* }
            }
        }

        impl std::str::FromStr for Event {
            type Err = UnknownEvent;
            fn from_str(text: &str) -> Result<Self, UnknownEvent> {
                match text {
                    $($text => Ok(Event::$name),)*
                    _ => Err(UnknownEvent(text.chars().take(64).collect())),
                }
            }
        }
    };
}

events! {
    /// A credential was issued on a new session or to a client: the first tokens of a login, a service's token.
    Issued = "issued";
    /// A refresh token was traded for its successor, for the first time.
    Refreshed = "refreshed";
    /// The same refresh token was presented again and the same successor handed out: an answer was lost.
    Retried = "retried";
    /// A spent refresh token, or one under another key, was presented: the session was cut for it.
    Reused = "reused";
    /// A narrower token was made from another (RFC 8693).
    Exchanged = "exchanged";
    /// A request about an existing subject was refused; `count` says how many within the minute.
    Denied = "denied";
    /// Everything on one axis below one id was revoked, by a person, a client or a rule.
    Cut = "cut";
    /// Something reached its end and was tidied away.
    Expired = "expired";
    /// A person, or the operator in their name, said yes to a request.
    Approved = "approved";
    /// A credential was found, or reported, where it should not be.
    Leaked = "leaked";
    /// A holder's record turned up on a machine it was not made on.
    Copied = "copied";
    /// A thing was suspended because who answered for it left.
    Suspended = "suspended";
    /// A thing was switched off: nothing is issued to it any more.
    Disabled = "disabled";
    /// An exception to a rule was recorded, with an approver and an end.
    Excepted = "excepted";
    /// Someone looked over what a thing may do and confirmed or narrowed it.
    Reviewed = "reviewed";
    /// Another person or team now answers for a thing.
    OwnerChanged = "owner_changed";
    /// The rules changed.
    PolicyChanged = "policy_changed";
    /// A signing or encryption key was replaced.
    KeyRotated = "key_rotated";
    /// The store was put back from a backup.
    Restored = "restored";

    /// A thing was added: an org, person, team, client, resource or device; `kind` says which.
    Registered = "registered";
    /// Properties of a registered thing changed (roles, members, scopes, shortened lifetimes); `change` says which.
    Changed = "changed";
    /// A one-time link was made, for set-up or for enrolling a passkey.
    Invited = "invited";
    /// A passkey was added to a person.
    Enrolled = "enrolled";
    /// A passkey was taken from a person.
    Removed = "removed";
    /// A person logged in to the issuer's own pages.
    SignedIn = "signed_in";
    /// A person logged out of the issuer's own pages.
    SignedOut = "signed_out";
    /// A session ended by its own rules or its holder's wish, nothing being wrong.
    Ended = "ended";
    /// A refresh token ahead of its row was accepted, as the restore of a backup allowed.
    Adopted = "adopted";
    /// A credential was handed to one task for a while.
    Leased = "leased";
    /// The task was over and its credential dead.
    Released = "released";
    /// An API key was sent to an API directly, by an exception; `count` says how often since it was last written.
    Used = "used";
    /// The operator gave an org without a reachable administrator a way in again.
    Recovered = "recovered";
    /// A copy of the store was written for safe keeping.
    BackedUp = "backed_up";
    /// Personal fields of earlier entries were erased; their leaves stand.
    Erased = "erased";
    /// A run of an agent began.
    RunStarted = "run_started";
    /// A run of an agent is over; `reason` says why.
    RunEnded = "run_ended";
    /// The ledger goes on although something signed disagreed with it, or was missing; `reason` says what, and the
    /// operator that it should.
    Accepted = "accepted";
    /// A session's person proved anew who they are, and the session is as strong, and as lately so, from then on (RFC 9470).
    Raised = "raised";
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// A text that names no event of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no event this version knows")]
pub struct UnknownEvent(pub String);
