//! The kinds of credential there are: who holds each, who answers for it, how long it lives, and how it ends. One table,
//! which the documentation and `hallpass admin credential-kinds` print.
//!
//! What it says of lives is what the code enforces: the numbers are the constants of [`lifetimes`](crate::lifetimes).

use crate::lifetimes::{
    ACCESS_TOKEN_MAX, API_KEY_MAX, AUTHORIZATION_CODE, CLIENT_ASSERTION_MAX, CLIENT_SECRET, DEVICE_CODE,
    DPOP_WINDOW, ENROLMENT_LINK, ID_TOKEN, INITIAL_ACCESS_TOKEN_MAX, REGISTRATION_TOKEN, SESSION_ABSOLUTE,
    SETUP_LINK, WEB_ABSOLUTE,
};
use crate::time::Lifetime;

/// One kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialKind {
    /// Its name, in the field's words.
    pub name: &'static str,
    /// Who holds it.
    pub held_by: &'static str,
    /// Who answers for it.
    pub answered_for_by: &'static str,
    /// How long it lives at most. `None` for a key of a person's or a client's own, which signs and is never sent.
    pub longest: Option<Lifetime>,
    /// Where it may rest.
    pub rests: &'static str,
    /// How it is replaced.
    pub rotates: &'static str,
    /// How it is taken back before its time.
    pub revoked_by: &'static str,
    /// When somebody looks whether it should be there at all.
    pub reviewed: &'static str,
}

/// The table.
pub const TABLE: &[CredentialKind] = &[
    CredentialKind {
        name: "access token",
        held_by: "a person's tool, a service, a job",
        answered_for_by: "the person, or the owner of the client",
        longest: Some(ACCESS_TOKEN_MAX),
        rests: "memory; a person's own also sealed in their record",
        rotates: "a new one by refresh, exchange or assertion",
        revoked_by: "logout, the end of its run, or a cut of anything it came of",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "pass of a run",
        held_by: "one command",
        answered_for_by: "whoever ran it; the owner of a job's client",
        longest: Some(ACCESS_TOKEN_MAX),
        rests: "the command's environment, a descriptor or memory; with a proxy nowhere the command sees",
        rotates: "renewed while the command runs, for a file and a proxy",
        revoked_by: "the end of the command, however it ends",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "pass of an agent's run",
        held_by: "one command that an agent runs",
        answered_for_by: "the person it acts for",
        longest: Some(ACCESS_TOKEN_MAX),
        rests: "as any pass of a run; best nowhere the agent sees, by a proxy",
        rotates: "renewed within the run's budget, 24 hours at most",
        revoked_by: "the end of the command, ending the run or the agent, or a cut of the person's session",
        reviewed: "by its person, on the agents page, and whenever its budget is used up",
    },
    CredentialKind {
        name: "refresh token",
        held_by: "a person's tool",
        answered_for_by: "the person",
        longest: Some(SESSION_ABSOLUTE),
        rests: "sealed in a record whose key is in a keyring, a passphrase or the daemon",
        rotates: "at each use, bound to the machine's key",
        revoked_by: "logout, the sessions page, a replay, or a cut of person, client, device or session",
        reviewed: "by its person, on the sessions page",
    },
    CredentialKind {
        name: "token by a trust",
        held_by: "a CI job, a pod, a service",
        answered_for_by: "the owner of the client that it became",
        longest: Some(ACCESS_TOKEN_MAX),
        rests: "memory of the job",
        rotates: "a new one by what runs the job",
        revoked_by: "the end of its run, or taking the trust or the client out of use",
        reviewed: "with its trust, by `hallpass admin trust lint`",
    },
    CredentialKind {
        name: "client key",
        held_by: "a service",
        answered_for_by: "the owner of the client",
        longest: None,
        rests: "a file or a key store of the service; the issuer has the public half",
        rotates: "another beside it, until every place has that; or as the service publishes them",
        revoked_by: "removing it, or taking the client out of use",
        reviewed: "with its client",
    },
    CredentialKind {
        name: "client secret",
        held_by: "a service that cannot have a key yet",
        answered_for_by: "the owner of the client",
        longest: Some(CLIENT_SECRET),
        rests: "a secret store of the service; the issuer has its keyed hash",
        rotates: "a new one beside it, `hallpass admin client rotate`; the older ends on its date",
        revoked_by: "taking it back, or taking the client out of use",
        reviewed: "when its exception ends, within a year",
    },
    CredentialKind {
        name: "API key",
        held_by: "what can neither sign in nor say what it is",
        answered_for_by: "its owner: a person or a team",
        longest: Some(API_KEY_MAX),
        rests: "a secret store of whoever has it; the issuer has its keyed hash",
        rotates: "a new one beside it, `hallpass admin key rotate`; the older ends on its date",
        revoked_by: "revoking it, taking its client out of use, or its owner leaving",
        reviewed: "with its users, by `hallpass admin key show` and `hallpass admin org check`",
    },
    CredentialKind {
        name: "initial access token",
        held_by: "whoever sets up a program that registers itself",
        answered_for_by: "the administrator who made it",
        longest: Some(INITIAL_ACCESS_TOKEN_MAX),
        rests: "the message it is sent by; the issuer has its keyed hash",
        rotates: "a new one ends the one before",
        revoked_by: "its last use, a new one, or letting no client register itself any more",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "registration access token",
        held_by: "a client that registered itself",
        answered_for_by: "the owner of the client",
        longest: Some(REGISTRATION_TOKEN),
        rests: "a secret store of the client; the issuer has its keyed hash",
        rotates: "at each change of the registration; it lives on while it is used",
        revoked_by: "the end of the registration, taking the client out of use, or a cut of it",
        reviewed: "with its client, by `hallpass admin client registration show`",
    },
    CredentialKind {
        name: "client assertion",
        held_by: "a service, for one request",
        answered_for_by: "the owner of the client",
        longest: Some(CLIENT_ASSERTION_MAX),
        rests: "memory",
        rotates: "one a request",
        revoked_by: "its one use",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "DPoP proof",
        held_by: "whoever holds the key, for one request",
        answered_for_by: "as for the token it goes with",
        longest: Some(DPOP_WINDOW),
        rests: "memory",
        rotates: "one a request",
        revoked_by: "its one use",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "authorization code",
        held_by: "a browser's redirect",
        answered_for_by: "the person",
        longest: Some(AUTHORIZATION_CODE),
        rests: "the address of one page",
        rotates: "never",
        revoked_by: "its one use; a second use ends what the first gave",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "device code",
        held_by: "a tool that waits for an approval",
        answered_for_by: "the person who approves",
        longest: Some(DEVICE_CODE),
        rests: "memory",
        rotates: "never",
        revoked_by: "its one use, a no, or Ctrl-C at the tool",
        reviewed: "on the approval page",
    },
    CredentialKind {
        name: "ID token",
        held_by: "a tool, at login",
        answered_for_by: "the person",
        longest: Some(ID_TOKEN),
        rests: "nowhere: it is read and dropped",
        rotates: "never",
        revoked_by: "nothing: it opens no API",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "web login",
        held_by: "a browser, in a cookie",
        answered_for_by: "the person",
        longest: Some(WEB_ABSOLUTE),
        rests: "the browser; the issuer keeps its fingerprint",
        rotates: "never",
        revoked_by: "logging out, or disabling the person",
        reviewed: "never: it is over the same day",
    },
    CredentialKind {
        name: "passkey",
        held_by: "a person's authenticator",
        answered_for_by: "the person",
        longest: None,
        rests: "the authenticator; the issuer has the public half",
        rotates: "by adding another",
        revoked_by: "removing it; an administrator can, if it is lost",
        reviewed: "by its person, on the passkeys page",
    },
    CredentialKind {
        name: "enrolment link",
        held_by: "a person who has no passkey yet",
        answered_for_by: "the administrator who made it",
        longest: Some(ENROLMENT_LINK),
        rests: "the message it is sent by",
        rotates: "a new one ends the one before",
        revoked_by: "its one use",
        reviewed: "never: it is over first",
    },
    CredentialKind {
        name: "set-up link",
        held_by: "the operator of a new server",
        answered_for_by: "the operator",
        longest: Some(SETUP_LINK),
        rests: "a terminal, or a file of the operator's own",
        rotates: "a new one ends the one before",
        revoked_by: "its one use",
        reviewed: "never: it is over first",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_has_an_end_and_what_has_none_is_a_key_that_is_never_sent() {
        for kind in TABLE {
            assert_eq!(
                kind.longest.is_none(),
                matches!(kind.name, "client key" | "passkey"),
                "{}",
                kind.name
            );
        }
    }

    #[test]
    fn every_cell_says_something_and_no_kind_is_there_twice() {
        for (at, kind) in TABLE.iter().enumerate() {
            let cells = [
                kind.name,
                kind.held_by,
                kind.answered_for_by,
                kind.rests,
                kind.rotates,
                kind.revoked_by,
                kind.reviewed,
            ];
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{}", kind.name);
            assert!(TABLE[..at].iter().all(|other| other.name != kind.name), "{}", kind.name);
        }
    }

    /// `docs/reference/credential-kinds.md` is this table.
    #[test]
    fn the_documentation_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/credential-kinds.md");
        let documented = std::fs::read_to_string(path).unwrap();
        let rows: Vec<&str> = documented.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        let ours: Vec<String> = TABLE
            .iter()
            .map(|kind| {
                let longest = kind.longest.map_or("as its key".to_owned(), |longest| longest.to_string());
                format!(
                    "| {} | {} | {} | {longest} | {} | {} | {} | {} |",
                    kind.name,
                    kind.held_by,
                    kind.answered_for_by,
                    kind.rests,
                    kind.rotates,
                    kind.revoked_by,
                    kind.reviewed
                )
            })
            .collect();
        assert_eq!(rows, ours);
    }
}
