//! Who an outside token says has come, and how it stands to the trusts of an org.

use std::sync::Arc;

use hallpass_model::id::OrgId;
use hallpass_model::jose::{BadToken, JwkSet, Profile, Unverified, peek_unverified, verify};
use hallpass_model::lifetimes::CLOCK_SKEW;
use hallpass_model::time::Timestamp;
use hallpass_model::trust::{Trust, Weighed};
use hallpass_store::StoreError;
use serde_json::Value;

use crate::Issuer;
use crate::outside::NotFetched;

/// Why nobody is looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nobody {
    /// The text is no token, or names no issuer.
    #[error("not a token that names its issuer")]
    Malformed(#[from] BadToken),
    /// No trust names the issuer.
    #[error("an outside issuer that no trust names")]
    Issuer,
}

/// A trust, and what the token is in the eyes of its issuer.
pub(crate) struct Looked {
    pub(crate) trust: Trust,
    pub(crate) read: Reading,
}

type Reading = Result<Arc<Read>, NotRead>;

/// A token whose signature is its issuer's.
pub(crate) struct Read {
    pub(crate) claims: Value,
    /// Whether it is good now.
    pub(crate) good: Result<(), BadToken>,
}

impl Read {
    /// Whom it is about.
    pub(crate) fn subject(&self) -> &str {
        self.claims["sub"].as_str().unwrap_or_default()
    }
}

/// Why a token cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NotRead {
    /// The keys are not to be had.
    #[error(transparent)]
    Keys(#[from] NotFetched),
    /// It is not the issuer's.
    #[error(transparent)]
    Token(#[from] BadToken),
}

/// How a token stands to the trusts of an org, for whoever writes them.
#[derive(Debug)]
pub struct TestedToken {
    /// Why no trust was looked at: the text is no token, or no trust names its issuer.
    pub nobody: Option<String>,
    /// Trust by trust.
    pub trusts: Vec<TestedTrust>,
}

/// How it stands to one.
#[derive(Debug)]
pub struct TestedTrust {
    /// The trust's short name.
    pub handle: String,
    /// What is wrong with the token itself: its signature, its times.
    pub wrong: Option<String>,
    /// Line by line. Nothing where the signature is not the issuer's: what it says is then worth nothing.
    pub weighed: Option<Weighed>,
}

impl TestedTrust {
    /// Whether it would be let in.
    pub fn lets_in(&self) -> bool {
        self.wrong.is_none() && self.weighed.as_ref().is_some_and(Weighed::holds)
    }
}

impl Issuer {
    /// Says how a token stands to the trusts that are in use, or to one of them. Nothing is issued, and nothing recorded.
    pub async fn test_outside_token(
        &self,
        org: OrgId,
        text: &str,
        only: Option<&str>,
        now: Timestamp,
    ) -> Result<TestedToken, StoreError> {
        let (said, mut trusts) = match self.trusts_for(org, text).await? {
            Ok(found) => found,
            Err(nobody) => return Ok(TestedToken { nobody: Some(nobody.to_string()), trusts: Vec::new() }),
        };
        trusts.retain(|trust| only.is_none_or(|only| only == trust.handle.as_str()));
        let tested = self.look(&said, text, trusts, now).await.into_iter().map(|looked| {
            let (wrong, weighed) = match &looked.read {
                Err(not_read) => (Some(not_read.to_string()), None),
                Ok(read) => {
                    (read.good.err().map(|bad| bad.to_string()), Some(looked.trust.rule.weigh(&read.claims)))
                }
            };
            TestedTrust { handle: looked.trust.handle.to_string(), wrong, weighed }
        });
        Ok(TestedToken { nobody: None, trusts: tested.collect() })
    }

    /// The trusts by which a token may come in, by the issuer that it names. Nothing of it is believed yet.
    pub(crate) async fn trusts_for(
        &self,
        org: OrgId,
        text: &str,
    ) -> Result<Result<(Unverified, Vec<Trust>), Nobody>, StoreError> {
        let said = match peek_unverified(text) {
            Ok(said) => said,
            Err(bad) => return Ok(Err(bad.into())),
        };
        let mut trusts = Vec::new();
        for issuer in said.issuer.clone().into_iter().chain(said.subject.as_deref().and_then(trust_domain)) {
            trusts.extend(self.store.trusts_of_issuer(org, &issuer).await?);
        }
        Ok(match trusts.is_empty() {
            true => Err(Nobody::Issuer),
            false => Ok((said, trusts)),
        })
    }

    /// Reads a token with the keys of each trust's issuer.
    pub(crate) async fn look(
        &self,
        said: &Unverified,
        text: &str,
        trusts: Vec<Trust>,
        now: Timestamp,
    ) -> Vec<Looked> {
        // Trusts of one issuer mostly have one set of keys: the signature is checked once for each set.
        let mut read_before: Vec<(Arc<JwkSet>, Reading)> = Vec::new();
        let mut looked = Vec::new();
        for trust in trusts {
            let read = match self.outside.keys(&trust, said.kid.as_deref()).await {
                Err(error) => Err(error.into()),
                Ok(keys) => match read_before.iter().find(|(known, _)| *known == keys) {
                    Some((_, read)) => read.clone(),
                    None => {
                        let read = read(text, &keys, now).map(Arc::new).map_err(NotRead::Token);
                        read_before.push((keys, read.clone()));
                        read
                    }
                },
            };
            looked.push(Looked { trust, read });
        }
        looked
    }
}

/// The trust domain of a SPIFFE id. A JWT-SVID need not name an issuer (SPIFFE JWT-SVID, section 3).
fn trust_domain(subject: &str) -> Option<String> {
    let (domain, _) = subject.strip_prefix("spiffe://")?.split_once('/')?;
    Some(format!("spiffe://{domain}"))
}

fn read(text: &str, keys: &JwkSet, now: Timestamp) -> Result<Read, BadToken> {
    let claims: Value = verify(text, &Profile::OUTSIDE, keys)?.claims;
    if !claims["sub"].is_string() {
        return Err(BadToken::Claims);
    }
    let good = in_time(&claims, now);
    Ok(Read { claims, good })
}

/// Whether it is good now. A token without an end is none (RFC 7523, section 3; SPIFFE JWT-SVID, section 3.3).
fn in_time(claims: &Value, now: Timestamp) -> Result<(), BadToken> {
    let at = |claim: &str| match &claims[claim] {
        Value::Null => Ok(None),
        // RFC 7519, section 2: seconds, which may have a part.
        value => match value.as_f64().filter(|seconds| seconds.abs() < SECONDS_MAX) {
            Some(seconds) => Ok(Some(Timestamp::from_seconds(seconds as i64))),
            None => Err(BadToken::Claims),
        },
    };
    let expires = at("exp")?.ok_or(BadToken::Claims)?;
    if now >= expires {
        return Err(BadToken::Expired);
    }
    let early = |at: Option<Timestamp>| at.is_some_and(|at| at > now + CLOCK_SKEW);
    if early(at("nbf")?) || early(at("iat")?) {
        return Err(BadToken::NotYet);
    }
    Ok(())
}

/// A moment later than any that is meant: the year 33658.
const SECONDS_MAX: f64 = 1e12;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_token_is_good_between_its_times_and_has_an_end() {
        let at = |claims: Value| in_time(&claims, NOW);
        let now = NOW.seconds();
        assert_eq!(at(json!({ "exp": now + 1, "iat": now - 5, "nbf": now - 5 })), Ok(()));
        assert_eq!(at(json!({ "exp": now as f64 + 0.5 })), Err(BadToken::Expired));
        assert_eq!(at(json!({ "exp": now })), Err(BadToken::Expired));
        assert_eq!(at(json!({ "exp": now + 60, "nbf": now + 31 })), Err(BadToken::NotYet));
        assert_eq!(at(json!({ "exp": now + 60, "iat": now + 31 })), Err(BadToken::NotYet));
        assert_eq!(at(json!({ "exp": now + 60, "iat": now + 30 })), Ok(()));
        for bad in
            [json!({}), json!({ "exp": null }), json!({ "exp": "2000000000" }), json!({ "exp": 1e300 })]
        {
            assert_eq!(at(bad.clone()), Err(BadToken::Claims), "{bad}");
        }
    }

    #[test]
    fn a_spiffe_id_names_its_trust_domain() {
        assert_eq!(trust_domain("spiffe://prod.example/ci/deploy").as_deref(), Some("spiffe://prod.example"));
        assert_eq!(trust_domain("repo:acme/site:ref:refs/heads/main"), None);
        assert_eq!(trust_domain("spiffe://prod.example"), None);
    }
}
