//! Tokens for whoever comes in by a trust: a job, a pod, a service, which proved to an outside issuer what it is.

use hallpass_model::id::{ClientId, CredentialId, LeaseId, OrgId, TrustId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Field, Key};
use hallpass_model::principal::{Handle, Standing};
use hallpass_model::purpose::Purpose;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::Scopes;

use crate::change::{Change, Tx};
use crate::client_tokens::{ClientToken, is_first_use};
use crate::error::StoreError;
use crate::leases::open_lease;
use crate::orgs::read_limits;
use crate::reach::{OutOfGrant, Reach, Reached, Wanted, environment_of, to_resource};
use crate::refusals::{RefusedSubject, refuse};
use crate::sql::{Columns, Sql};
use crate::step_up::Proved;

/// Issues a token by a trust.
///
/// The caller has verified the outside token and found that the trust's rule holds for it, all of it.
#[derive(Debug, Clone)]
pub struct IssueByTrust {
    /// Where.
    pub org: OrgId,
    /// By which trust.
    pub trust: TrustId,
    /// Who came.
    pub outsider: Outsider,
    /// The key the token is bound to, if one was proved.
    pub key: Option<Thumbprint>,
    /// What the token is for.
    pub wanted: Wanted,
    /// Why, as claimed.
    pub purpose: Option<Purpose>,
    /// Whether it is handed to one run, and ends with it.
    pub lease: bool,
    /// What the outside token is called by, where it is an authorization grant (RFC 7523, section 2.1), good for one use.
    /// One that is exchanged (RFC 8693) may be shown more than once.
    pub once: Option<Once>,
}

/// What an outside token that is good for one use is called by.
#[derive(Debug, Clone)]
pub struct Once {
    /// Who made it.
    pub issuer: String,
    /// Its `jti`, which its issuer gives to no other.
    pub jti: String,
    /// Until when that must be remembered.
    pub expires: Timestamp,
}

/// Who came in, in the outside issuer's words: for the personal side of the record, as a subject may be a person's name.
#[derive(Debug, Clone)]
pub struct Outsider {
    /// The outside token's `sub`.
    pub subject: String,
    /// The address it came from.
    pub address: Option<String>,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Federated {
    /// A token.
    Issued(FederatedToken),
    /// None.
    Refused(FederatedRefusal),
}

/// A token by a trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedToken {
    /// Whom it is about.
    pub client: ClientId,
    /// It.
    pub token: ClientToken,
    /// The lease it is under, if one was asked for.
    pub lease: Option<LeaseId>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FederatedRefusal {
    /// There is no such trust in this org.
    #[error("there is no such trust here")]
    Unknown,
    /// The trust, its client or the org is out of use.
    #[error("the trust, its client or the org is disabled")]
    Disabled,
    /// Whoever answered for the trust's client left, at this moment, and nobody has taken it over.
    #[error("the trust's client is suspended since {0}")]
    Suspended(Timestamp),
    /// It was good for one use, and that was made.
    #[error("it was used before")]
    Replayed,
    /// The resource is of another environment than the trust.
    #[error("the resource is of another environment than the trust")]
    Environment,
    /// Not for that resource or scope.
    #[error(transparent)]
    OutOfGrant(#[from] OutOfGrant),
}

impl FederatedRefusal {
    fn rule(self) -> &'static str {
        match self {
            Self::Unknown => "trust_unknown",
            Self::Disabled => "disabled",
            Self::Suspended(_) => "suspended",
            Self::Replayed => "assertion_replayed",
            Self::Environment => "environment",
            Self::OutOfGrant(why) => why.rule(),
        }
    }
}

impl Change for IssueByTrust {
    type Outcome = Federated;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(trust) = self.load(tx)? else {
            refuse(tx, &RefusedSubject::org(self.org), FederatedRefusal::Unknown.rule())?;
            return Ok(Federated::Refused(FederatedRefusal::Unknown));
        };
        tx.acts(Actor::Client(trust.client));
        let (reached, scopes) = match self.judge(tx, &trust)? {
            Ok(within) => within,
            Err(why) => {
                let subject = RefusedSubject { client: Some(trust.client), ..RefusedSubject::org(self.org) };
                refuse(tx, &subject, why.rule())?;
                return Ok(Federated::Refused(why));
            }
        };
        let credential = CredentialId::new(tx.now, tx.entropy());
        let stamp = tx.issue_stamp();
        let expires = tx.now + trust.longest_here(self.wanted.lifetime);
        let entry = Entry { org: Some(self.org), client: Some(trust.client), ..tx.entry(Event::Issued) };
        let lease = match self.lease {
            true => Some(open_lease(tx, &entry, credential, expires, None)?),
            false => None,
        };
        let mut detail = Detail::new()
            .with(Key::GRANT_TYPE, if self.once.is_some() { "jwt_bearer" } else { "token_exchange" })
            .with(Key::TRUST, self.trust.to_string())
            .with(Key::PARENT, trust.root.to_string())
            .with(Key::SCOPE, scopes.to_string())
            .with(Key::EXPIRES, expires.millis());
        if let Some(key) = self.key {
            detail = detail.with(Key::JKT, key.to_string());
        }
        let entry =
            Entry { credential: Some(credential), resource: reached.resource(), lease, detail, ..entry };
        tx.record_personal(
            entry,
            &[
                (Field::Purpose, self.purpose.as_ref().map_or("", Purpose::as_str)),
                (Field::Address, self.outsider.address.as_deref().unwrap_or_default()),
                (Field::Subject, &self.outsider.subject),
            ],
        );
        Ok(Federated::Issued(FederatedToken {
            client: trust.client,
            token: ClientToken { credential, lin: vec![trust.root], stamp, reached, scopes, expires },
            lease,
        }))
    }
}

/// What of a trust, its client and its org decides.
struct Loaded {
    client: ClientId,
    environment: Handle,
    root: CredentialId,
    granted: Scopes,
    longest: Lifetime,
    limits: hallpass_model::principal::OrgLimits,
    in_use: bool,
    client_stands: Standing,
}

impl Loaded {
    /// The least of what is asked for, what the trust gives, and what the org allows.
    fn longest_here(&self, wanted: Option<Lifetime>) -> Lifetime {
        self.limits.access_token(wanted).min(self.longest)
    }
}

impl IssueByTrust {
    fn load(&self, tx: &Tx<'_>) -> Result<Option<Loaded>, StoreError> {
        tx.db().one(
            "SELECT t.client, o.access_token, o.session_idle, o.session_absolute, \
             o.disabled IS NULL AND c.disabled IS NULL AND t.disabled IS NULL, o.rungs, \
             t.environment, t.root, t.scopes, t.longest, c.scopes, c.any_scope, c.disabled \
             FROM trusts t JOIN clients c ON c.id = t.client JOIN orgs o ON o.id = t.org WHERE t.id = ?1 AND t.org = ?2",
            (self.trust.bytes(), self.org.bytes()),
            |row| {
                let granted: Scopes = row.word(8)?;
                // What the client was narrowed to since is not given by an older trust.
                let granted = if row.get(11)? { granted } else { granted.within(&row.word(10)?) };
                Ok(Loaded {
                    client: row.id(0)?,
                    limits: read_limits(row, 1)?,
                    in_use: row.get(4)?,
                    environment: row.word(6)?,
                    root: row.id(7)?,
                    granted,
                    longest: Lifetime::seconds(row.get(9)?),
                    client_stands: row.standing(12)?,
                })
            },
        )
    }

    fn judge(
        &self,
        tx: &mut Tx<'_>,
        trust: &Loaded,
    ) -> Result<Result<(Reached, Scopes), FederatedRefusal>, StoreError> {
        if let Standing::Suspended(since) = trust.client_stands {
            return Ok(Err(FederatedRefusal::Suspended(since)));
        }
        if !trust.in_use {
            return Ok(Err(FederatedRefusal::Disabled));
        }
        if let Some(Once { issuer, jti, expires }) = &self.once
            && !is_first_use(tx, &[self.org.bytes(), issuer.as_bytes(), jti.as_bytes()], *expires)?
        {
            return Ok(Err(FederatedRefusal::Replayed));
        }
        let asked = match self.wanted.of(&trust.granted) {
            Ok(asked) => asked,
            Err(why) => return Ok(Err(why.into())),
        };
        let Reach::Resource(url) = &self.wanted.reach else { return Ok(Ok((Reached::Issuer, asked))) };
        let within = match to_resource(
            tx.db(),
            self.org,
            url,
            &asked,
            self.wanted.scopes.is_some(),
            Proved { client: trust.client, authentication: None, now: tx.now },
        )? {
            Ok(within) => within,
            Err(why) => return Ok(Err(why.into())),
        };
        // SECURITY: what proves to be a job of one environment opens nothing of another.
        match environment_of(tx.db(), self.org, url)? == Some(trust.environment.clone()) {
            true => Ok(Ok(within)),
            false => Ok(Err(FederatedRefusal::Environment)),
        }
    }
}
