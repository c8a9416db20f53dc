//! Tokens for clients themselves (RFC 6749, section 4.4), and the assertions by which they prove who they are.

use hallpass_model::cut::Stamp;
use hallpass_model::id::{ClientId, CredentialId, OrgId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Key};
use hallpass_model::secret::Assertion as AssertionKind;
use hallpass_model::session::Refusal;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;

use crate::change::{Change, Tx};
use crate::client_secrets::{self, SecretUse};
use crate::error::StoreError;
use crate::reach::{OutOfGrant, Reach, Reached, Wanted, to_resource};
use crate::refusals::{RefusedSubject, refuse};
use crate::step_up::Proved;
use crate::used::Mark;

/// A client's assertion, already verified: good for one use.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Its `jti`.
    pub jti: String,
    /// Until when its `jti` must be remembered ([`remembered_until`]).
    ///
    /// [`remembered_until`]: hallpass_model::wire::assertion::AssertionClaims::remembered_until
    pub expires: Timestamp,
}

/// How a client proved who it is, verified.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// By an assertion, not yet used up.
    Assertion(Assertion),
    /// By a secret of this id.
    Secret(SecretUse),
}

/// Uses up a client's assertion where that is all it is for: revocation and introspection.
#[derive(Debug, Clone)]
pub struct SpendAssertion {
    /// Where.
    pub org: OrgId,
    /// Whose.
    pub client: ClientId,
    /// The assertion.
    pub assertion: Assertion,
}

impl Change for SpendAssertion {
    /// Whether it was its first use.
    type Outcome = bool;

    fn apply(self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        spend(tx, self.org, self.client, &self.assertion)
    }
}

/// Issues a token to a client for itself.
#[derive(Debug, Clone)]
pub struct IssueForClient {
    /// Where.
    pub org: OrgId,
    /// To whom.
    pub client: ClientId,
    /// How it proved who it is.
    pub proof: ClientProof,
    /// The key the token is bound to, if one was proved.
    pub key: Option<Thumbprint>,
    /// What the token is for.
    pub wanted: Wanted,
}

/// A token about a client, which acts for itself: by its own proof, by a trust, or by an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// Its id.
    pub credential: CredentialId,
    /// Its ancestors, where it has any: the secret that opened the door and its key, or a trust's root.
    pub lin: Vec<CredentialId>,
    /// Its issue stamp.
    pub stamp: Stamp,
    /// Whom it is for.
    pub reached: Reached,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends.
    pub expires: Timestamp,
}

/// What came of asking for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientIssued {
    /// It is issued.
    Issued(ClientToken),
    /// The assertion was used before.
    Replayed,
    /// The secret was taken back, or came to its end, just now.
    SecretOver,
    /// The client or org is disabled, or the client is not of this org.
    Refused(Refusal),
    /// Not for that resource or scope. The assertion is used up.
    OutOfGrant(OutOfGrant),
}

impl Change for IssueForClient {
    type Outcome = ClientIssued;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(asking) = tx.core.asking.find(&tx.core.db, self.org, self.client)? else {
            return Ok(ClientIssued::Refused(Refusal::OtherOrg));
        };
        tx.acts(Actor::Client(self.client));
        let subject = RefusedSubject { client: Some(self.client), ..RefusedSubject::org(self.org) };
        let lin = match &self.proof {
            ClientProof::Assertion(assertion) => match spend(tx, self.org, self.client, assertion)? {
                true => Vec::new(),
                false => return Ok(ClientIssued::Replayed),
            },
            ClientProof::Secret(used) => match client_secrets::use_now(tx, self.client, used)? {
                true => vec![used.secret],
                false => {
                    refuse(tx, &subject, "client_secret")?;
                    return Ok(ClientIssued::SecretOver);
                }
            },
        };
        if !asking.in_use {
            refuse(tx, &subject, "disabled")?;
            return Ok(ClientIssued::Refused(Refusal::Disabled));
        }
        let (reached, scopes) = match self.reach(tx, &asking.granted)? {
            Ok(within) => within,
            Err(why) => {
                refuse(tx, &subject, why.rule())?;
                return Ok(ClientIssued::OutOfGrant(why));
            }
        };
        let credential = CredentialId::new(tx.now, tx.entropy());
        let stamp = tx.issue_stamp();
        let expires = tx.now + asking.limits.access_token(self.wanted.lifetime);
        let mut detail = Detail::new()
            .with(Key::GRANT_TYPE, "client_credentials")
            .with(Key::SCOPE, scopes.to_string())
            .with(Key::EXPIRES, expires.millis());
        if let Some(key) = self.key {
            detail = detail.with(Key::JKT, key.to_string());
        }
        if let Some(parent) = lin.first() {
            detail = detail.with(Key::PARENT, parent.to_string());
        }
        let entry = Entry {
            org: Some(self.org),
            client: Some(self.client),
            credential: Some(credential),
            resource: reached.resource(),
            detail,
            ..tx.entry(Event::Issued)
        };
        tx.record(entry);
        Ok(ClientIssued::Issued(ClientToken { credential, lin, stamp, reached, scopes, expires }))
    }
}

impl IssueForClient {
    /// A client asks for itself: any resource of its org is in reach, its own scopes are the bound.
    fn reach(
        &self,
        tx: &Tx<'_>,
        granted: &Scopes,
    ) -> Result<Result<(Reached, Scopes), OutOfGrant>, StoreError> {
        let asked = match self.wanted.of(granted) {
            Ok(asked) => asked,
            Err(why) => return Ok(Err(why)),
        };
        match &self.wanted.reach {
            Reach::Unsaid | Reach::Issuer => Ok(Ok((Reached::Issuer, asked))),
            Reach::Resource(url) => to_resource(
                tx.db(),
                self.org,
                url,
                &asked,
                self.wanted.scopes.is_some(),
                Proved { client: self.client, authentication: None, now: tx.now },
            ),
        }
    }
}

/// Remembers a client's assertion; false, and the refusal recorded, if it is remembered already.
fn spend(tx: &mut Tx<'_>, org: OrgId, client: ClientId, assertion: &Assertion) -> Result<bool, StoreError> {
    let first = is_first_use(tx, &[client.bytes(), assertion.jti.as_bytes()], assertion.expires)?;
    if !first {
        let subject = RefusedSubject { client: Some(client), ..RefusedSubject::org(org) };
        refuse(tx, &subject, "assertion_replayed")?;
    }
    Ok(first)
}

/// Remembers an assertion by these parts of it, which no other has; false if it is remembered already. It is kept until it is
/// over by our clock even if that runs ahead of the one it was judged by.
pub(crate) fn is_first_use(tx: &mut Tx<'_>, parts: &[&[u8]], expires: Timestamp) -> Result<bool, StoreError> {
    let whole = tx.keys().mark::<AssertionKind>(parts).0;
    let mark: Mark = whole[..size_of::<Mark>()].try_into().expect("a fingerprint is longer than a mark");
    tx.core.used.remember(&tx.core.db, mark, expires)
}
