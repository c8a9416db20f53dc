//! Tokens that API keys buy (RFC 8693), and keys that are sent to an API directly (RFC 7662).
//!
//! A token is one more ledger entry, and a use of the key is counted in memory ([`key_users`](crate::key_users)): nothing of
//! the key's own rows is written.

use std::net::IpAddr;

use hallpass_model::api_key::{ApiKey, Asked, KeyRefusal, KeySecret, Way};
use hallpass_model::device::DeviceClass;
use hallpass_model::id::{ClientId, CredentialId, LeaseId, OrgId};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Field, Key};
use hallpass_model::principal::OrgLimits;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{self, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use rusqlite::Connection;

use crate::api_keys::{find_by_fingerprint, is_in_use};
use crate::change::{Change, Tx};
use crate::client_tokens::ClientToken;
use crate::error::StoreError;
use crate::leases::open_lease;
use crate::open::Store;
use crate::orgs::find_org;
use crate::reach::{OutOfGrant, Reach, Reached, Wanted, environment_of, to_resource};
use crate::refusals::{RecordRefusal, RefusedSubject, refuse};
use crate::sql::{Columns, Sql};
use crate::step_up::Proved;

/// Who shows a key, as far as that is seen and claimed.
#[derive(Debug, Clone)]
pub struct Presenter {
    /// Where it came from.
    pub from: Option<IpAddr>,
    /// What the machine is called, as claimed; empty where nothing is said.
    pub machine: String,
    /// What sort of machine it is, as claimed.
    pub class: DeviceClass,
    /// Why, as claimed.
    pub purpose: Option<Purpose>,
}

/// Buys a token.
#[derive(Debug)]
pub struct BuyToken {
    /// Where.
    pub org: OrgId,
    /// The key's secret.
    pub secret: Secret<secret::ApiKey>,
    /// Who shows it.
    pub presenter: Presenter,
    /// The key of the holder's that the token is bound to, if one was proved.
    pub bound_to: Option<Thumbprint>,
    /// What it is for.
    pub wanted: Wanted,
    /// Whether it is handed to one run, and ends with it.
    pub lease: bool,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bought {
    /// A token.
    Issued(Box<BoughtToken>),
    /// Nothing: there is no such key here.
    Unknown,
    /// Nothing, for this reason. Whoever asked holds the key, and may know it.
    Refused(KeyRefusal),
}

/// A token that a key bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoughtToken {
    /// The secret that bought it.
    pub secret: CredentialId,
    /// It.
    pub token: ClientToken,
    /// When the secret ends.
    pub key_ends: Timestamp,
    /// The lease it is under, if one was asked for.
    pub lease: Option<LeaseId>,
}

impl Change for BuyToken {
    type Outcome = Bought;

    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError> {
        let fingerprint = tx.keys().fingerprint(&self.secret);
        let Some((key, secret)) = find_by_fingerprint(tx.db(), self.org, &fingerprint.0)? else {
            return Ok(Bought::Unknown);
        };
        tx.acts(Actor::Client(key.client));
        let (reached, scopes, expires) = match self.judge(tx, &key, &secret)? {
            Ok(given) => given,
            Err(why) => {
                let subject = RefusedSubject { client: Some(key.client), ..RefusedSubject::org(self.org) };
                refuse(tx, &subject, why.rule())?;
                return Ok(Bought::Refused(why));
            }
        };
        let credential = CredentialId::new(tx.now, tx.entropy());
        let stamp = tx.issue_stamp();
        let entry = Entry { org: Some(self.org), client: Some(key.client), ..tx.entry(Event::Exchanged) };
        let lease = match self.lease {
            true => Some(open_lease(tx, &entry, credential, expires, None)?),
            false => None,
        };
        let mut detail = Detail::new()
            .with(Key::GRANT_TYPE, "token_exchange")
            .with(Key::KIND, "api_key")
            .with(Key::PARENT, secret.id.to_string())
            .with(Key::SCOPE, scopes.to_string())
            .with(Key::EXPIRES, expires.millis());
        if let Some(bound_to) = self.bound_to {
            detail = detail.with(Key::JKT, bound_to.to_string());
        }
        let entry =
            Entry { credential: Some(credential), resource: reached.resource(), lease, detail, ..entry };
        let address = self.presenter.from.map(|from| from.to_string()).unwrap_or_default();
        tx.record_personal(
            entry,
            &[
                (Field::Purpose, self.presenter.purpose.as_ref().map_or("", Purpose::as_str)),
                (Field::Address, &address),
                (Field::Machine, &self.presenter.machine),
            ],
        );
        Ok(Bought::Issued(Box::new(BoughtToken {
            secret: secret.id,
            token: ClientToken { credential, lin: vec![secret.id, key.id], stamp, reached, scopes, expires },
            key_ends: secret.ends(&key),
            lease,
        })))
    }
}

impl BuyToken {
    fn judge(
        &self,
        tx: &Tx<'_>,
        key: &ApiKey,
        secret: &KeySecret,
    ) -> Result<Result<(Reached, Scopes, Timestamp), KeyRefusal>, StoreError> {
        if let Err(why) = key.may_be_used(secret, Way::Exchange, self.presenter.from, tx.now) {
            return Ok(Err(why));
        }
        if !is_in_use(tx.db(), key)? {
            return Ok(Err(KeyRefusal::Disabled));
        }
        let resource = match &self.wanted.reach {
            Reach::Unsaid => None,
            // SECURITY: what a key buys is for an API. The issuer's own doors are for whoever logged in.
            Reach::Issuer => return Ok(Err(KeyRefusal::Resource)),
            Reach::Resource(url) => Some(url.as_str()),
        };
        let limits = find_org(tx.db(), self.org)?.map_or(OrgLimits::default(), |org| org.limits);
        let narrowed = narrowed(tx.db(), key)?;
        let asked = Asked { resource, scopes: self.wanted.scopes.as_ref(), lifetime: self.wanted.lifetime };
        let given = match narrowed.give(secret, asked, &limits, tx.now) {
            Ok(given) => given,
            Err(why) => return Ok(Err(why)),
        };
        let explicit = self.wanted.scopes.is_some();
        let within = at_api(tx.db(), key, &given.resource, &given.scopes, explicit, tx.now)?;
        Ok(within.map(|(reached, scopes)| (reached, scopes, given.expires)))
    }
}

/// The key as far as its client goes today: what the client was narrowed to since is not given by an older key.
fn narrowed(db: &Connection, key: &ApiKey) -> Result<ApiKey, StoreError> {
    let client: Option<(Scopes, bool)> =
        db.one("SELECT scopes, any_scope FROM clients WHERE id = ?1", [key.client.bytes()], |row| {
            Ok((row.word(0)?, row.get(1)?))
        })?;
    Ok(match client {
        Some((_, true)) => key.clone(),
        Some((scopes, false)) => ApiKey { scopes: key.scopes.within(&scopes), ..key.clone() },
        None => ApiKey { scopes: Scopes::none(), ..key.clone() },
    })
}

/// What of these scopes a key has at one of its APIs: it is held to the same, whether it buys a token or is sent there itself.
fn at_api(
    db: &Connection,
    key: &ApiKey,
    url: &str,
    asked: &Scopes,
    explicit: bool,
    now: Timestamp,
) -> Result<Result<(Reached, Scopes), KeyRefusal>, StoreError> {
    let proved = Proved { client: key.client, authentication: None, now };
    let within = match to_resource(db, key.org, url, asked, explicit, proved)? {
        Ok(within) => within,
        Err(why) => return Ok(Err(of_grant(why))),
    };
    // SECURITY: what is of one environment opens nothing of another, wherever the resource has moved since.
    Ok(match environment_of(db, key.org, url)? == Some(key.environment.clone()) {
        true => Ok(within),
        false => Err(KeyRefusal::Environment),
    })
}

fn of_grant(why: OutOfGrant) -> KeyRefusal {
    match why {
        OutOfGrant::Resource => KeyRefusal::Resource,
        OutOfGrant::Ambiguous => KeyRefusal::Ambiguous,
        OutOfGrant::Disabled => KeyRefusal::ResourceDisabled,
        OutOfGrant::Environment => KeyRefusal::Environment,
        OutOfGrant::Suspended => KeyRefusal::ResourceSuspended,
        OutOfGrant::Unmet(_) => KeyRefusal::Unmet,
        OutOfGrant::Scope => KeyRefusal::Scope,
    }
}

/// A key that was sent to an API, which may be: what it says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectUse {
    /// Whom it is about.
    pub client: ClientId,
    /// The secret.
    pub credential: CredentialId,
    /// Its key.
    pub key: CredentialId,
    /// The API's own address, of those that the key is for.
    pub resource: String,
    /// What it may do there.
    pub scopes: Scopes,
    /// When it was made.
    pub issued: Timestamp,
    /// When it may not be sent any more.
    pub expires: Timestamp,
}

impl Store {
    /// Judges a key that was sent to an API, for the client that serves it. `None` for whatever is wrong: a refusal about a
    /// key there is is recorded, and the API is told nothing.
    ///
    /// Reads alone, unless it is refused: the use is to be counted ([`Store::count_key_use`]).
    pub async fn judge_direct_use(
        &self,
        org: OrgId,
        secret: &Secret<secret::ApiKey>,
        server: ClientId,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<DirectUse>, StoreError> {
        let Some((key, secret)) = self.find_api_key_by_secret(org, secret).await? else {
            self.count_stranger("unknown API key");
            return Ok(None);
        };
        match self.read(|db| judge_direct(db, &key, &secret, server, from, now))? {
            Ok(used) => Ok(Some(used)),
            Err(why) => {
                let subject = RefusedSubject { client: Some(key.client), ..RefusedSubject::org(org) };
                let refused = RecordRefusal { subject, rule: why.rule() };
                self.change(Actor::Client(server), now, refused).await?;
                Ok(None)
            }
        }
    }
}

fn judge_direct(
    db: &Connection,
    key: &ApiKey,
    secret: &KeySecret,
    server: ClientId,
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<Result<DirectUse, KeyRefusal>, StoreError> {
    if let Err(why) = key.may_be_used(secret, Way::Direct, from, now) {
        return Ok(Err(why));
    }
    if !is_in_use(db, key)? {
        return Ok(Err(KeyRefusal::Disabled));
    }
    let narrowed = narrowed(db, key)?;
    let mut refused = KeyRefusal::Resource;
    for url in &key.resources {
        // SECURITY: of the key's APIs those alone that the caller serves: to anybody else it is no key at all.
        let served = db.one(
            "SELECT 1 FROM resources WHERE org = ?1 AND url = ?2 AND server = ?3",
            (key.org.bytes(), url, server.bytes()),
            |_| Ok(()),
        )?;
        if served.is_none() {
            continue;
        }
        let scopes = match at_api(db, key, url, &narrowed.scopes, false, now)? {
            Ok((_, scopes)) => scopes,
            Err(why) => {
                refused = why;
                continue;
            }
        };
        let until = key.direct.as_ref().map_or(now, |direct| direct.until);
        return Ok(Ok(DirectUse {
            client: key.client,
            credential: secret.id,
            key: key.id,
            resource: url.clone(),
            scopes,
            issued: secret.created,
            expires: until.min(secret.ends(key)),
        }));
    }
    Ok(Err(refused))
}
