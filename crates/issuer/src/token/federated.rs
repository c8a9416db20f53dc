//! By what an outside issuer says, a CI job, a pod or a service comes in by a trust: by token exchange (RFC 8693), or by an
//! assertion as an authorization grant (RFC 7523, section 2.1).
//!
//! 1. The subject token names its issuer. Only the trusts of that issuer are looked at; with none, nobody is asked for keys.
//! 2. Its signature is checked with that issuer's keys, then its times.
//! 3. A trust lets it in if all of the trust's rule holds. If several do, the request must say which is meant: nothing
//!    is guessed.
//! 4. What comes out is a token about the trust's client: no refresh token, minutes long, with the trust's root as its
//!    ancestor, so that taking the trust out of use kills it.
//!
//! No client proves who it is here: the subject token is the proof (RFC 8693, section 2.1). It may be shown more than
//! once while it is good: GitLab gives a job one for its whole life, and a JWT-SVID is used again until it is over. As an
//! authorization grant it is made for us alone, and good for one use.

use std::sync::Arc;

use hallpass_model::client::Client;
use hallpass_model::jose::{BadToken, Thumbprint};
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::{CLOCK_SKEW, GRANT_ASSERTION_MAX};
use hallpass_model::time::Timestamp;
use hallpass_model::trust::Trust;
use hallpass_model::wire::assertion::JTI_LEN_MAX;
use hallpass_model::wire::claims::Audience;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, TokenResponse, token_type};
use hallpass_store::{
    Federated, FederatedRefusal, FederatedToken, IssueByTrust, Once, Outsider, RefusedSubject, Wanted,
};
use http::header::AUTHORIZATION;

use super::exchange::Wish;
use super::{AboutClient, Answer};
use crate::error::OAuthError;
use crate::form::Asked;
use crate::outside::NotFetched;
use crate::outsider::{NotRead, Read};
use crate::target::{out_of_grant, wanted};

/// Whether the subject is a token of an outside issuer.
pub(super) fn is_asked(form: &Form) -> bool {
    matches!(form.find("subject_token_type"), Some(token_type::JWT | token_type::ID_TOKEN))
}

/// By which of the two standards it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Token exchange.
    Exchange,
    /// An authorization grant.
    Assertion,
}

/// Exchanges a token of an outside issuer.
pub(super) async fn exchange(asked: &Asked) -> Result<Answer, OAuthError> {
    redeem(asked, By::Exchange).await
}

/// Takes an assertion of an outside issuer as an authorization grant.
pub(super) async fn bearer(asked: &Asked) -> Result<Answer, OAuthError> {
    redeem(asked, By::Assertion).await
}

async fn redeem(asked: &Asked, by: By) -> Result<Answer, OAuthError> {
    let wish = Wish::of_no_person(&asked.form)?;
    let another = ["client_assertion", "client_secret"].iter().any(|name| asked.form.find(name).is_some());
    if another || asked.headers.contains_key(AUTHORIZATION) {
        return Err(OAuthError::invalid_request("the outside token is the proof; send no other"));
    }
    let proof =
        asked.issuer.proofs.at_token_endpoint(&asked.headers, &asked.org.endpoint("token"), asked.now)?;
    let (trust, read) = outsider(asked, by).await?;
    let once = match by {
        By::Exchange => None,
        By::Assertion => match once(asked, &trust, &read) {
            Ok(once) => Some(once),
            Err(bad) => {
                asked.record_refusal_of(RefusedSubject::org(asked.org.id()), "outside_token").await?;
                return Err(by.not_let_in().because(bad));
            }
        },
    };
    let key = proof.map(|proof| proof.key).filter(|_| !wish.unbound);
    let issue = IssueByTrust {
        org: asked.org.id(),
        trust: trust.id,
        outsider: Outsider { subject: read.subject().to_owned(), address: asked.address_text() },
        key,
        wanted: Wanted { lifetime: wish.lifetime, ..wanted(asked)? },
        purpose: wish.purpose.clone(),
        lease: wish.lease,
        once,
    };
    let issued = match asked.issuer.store.change(Actor::Nobody, asked.now, issue).await? {
        Federated::Issued(issued) => issued,
        Federated::Refused(refusal) => return Err(by.refused(asked, refusal)),
    };
    let client = asked.issuer.store.find_client(issued.client).await?;
    let client = client.ok_or_else(|| by.refused(asked, FederatedRefusal::Unknown))?;
    Ok(answer(asked, by, &client, &wish, key, issued).into())
}

fn answer(
    asked: &Asked,
    by: By,
    client: &Client,
    wish: &Wish,
    key: Option<Thumbprint>,
    issued: FederatedToken,
) -> TokenResponse {
    let about = AboutClient { client, token: issued.token, key, purpose: wish.purpose.as_ref() };
    TokenResponse {
        // RFC 8693, section 2.2.1, and no member of the other's answer.
        issued_token_type: (by == By::Exchange).then(|| token_type::ACCESS_TOKEN.to_owned()),
        lease: issued.lease,
        ..about.answer(asked)
    }
}

/// What an authorization grant must be besides what a trust asks: for this issuer alone (RFC 10070), brief, and told from
/// every other of its issuer's, so that it is good once (RFC 7523, section 3).
fn once(asked: &Asked, trust: &Trust, read: &Read) -> Result<Once, BadToken> {
    let aud: Audience = serde_json::from_value(read.claims["aud"].clone()).map_err(|_| BadToken::Claims)?;
    // SECURITY: one that is for somebody else too could be carried on from there.
    if aud.single() != Some(&asked.org.issuer) {
        return Err(BadToken::Audience);
    }
    // RFC 7519, section 2: seconds, which may have a part. That it has one, and is not over, was judged before.
    let exp = read.claims["exp"].as_f64().ok_or(BadToken::Claims)?;
    let expires = Timestamp::from_seconds(exp as i64) + CLOCK_SKEW;
    if expires > asked.now + GRANT_ASSERTION_MAX + CLOCK_SKEW {
        return Err(BadToken::TooLongLived);
    }
    let jti = read.claims["jti"].as_str().filter(|jti| !jti.is_empty() && jti.len() <= JTI_LEN_MAX);
    let jti = jti.ok_or(BadToken::Claims)?.to_owned();
    Ok(Once { issuer: trust.rule.issuer.clone(), jti, expires })
}

/// Who came, and by which trust.
async fn outsider(asked: &Asked, by: By) -> Result<(Trust, Arc<Read>), OAuthError> {
    let text = asked.form.required(match by {
        By::Exchange => "subject_token",
        By::Assertion => "assertion",
    })?;
    let (said, trusts) = match asked.issuer.trusts_for(asked.org.id(), text).await? {
        Ok(found) => found,
        Err(nobody) => {
            // What names nobody we know is counted and no more: strangers must not fill the record.
            asked.issuer.store.count_stranger("unknown outside token");
            return Err(by.not_let_in().because(nobody));
        }
    };
    let meant = meant(asked, trusts).await?;
    let mut let_in: Vec<(Trust, Arc<Read>)> = Vec::new();
    let mut wrong = None;
    for looked in asked.issuer.look(&said, text, meant, asked.now).await {
        match looked.read {
            Err(NotRead::Keys(error)) => return Err(unreachable(error)),
            Err(NotRead::Token(bad)) => wrong = Some(bad),
            Ok(read) => match read.good {
                Err(bad) => wrong = Some(bad),
                Ok(()) if looked.trust.rule.weigh(&read.claims).holds() => {
                    let_in.push((looked.trust, read));
                }
                Ok(()) => {}
            },
        }
    }
    let record = |rule| asked.record_refusal_of(RefusedSubject::org(asked.org.id()), rule);
    match (let_in.pop(), let_in.is_empty(), wrong) {
        (Some(only), true, _) => Ok(only),
        (Some(_), false, _) => Err(OAuthError::invalid_request(
            "several trusts let this token in; say which is meant with `trust`",
        )),
        (None, _, Some(bad)) => {
            record("outside_token").await?;
            Err(by.not_let_in().because(bad))
        }
        (None, _, None) => {
            record("trust").await?;
            Err(by.not_let_in().because("no trust whose rule holds"))
        }
    }
}

/// Of these trusts, those that the request may mean.
async fn meant(asked: &Asked, trusts: Vec<Trust>) -> Result<Vec<Trust>, OAuthError> {
    let client = match asked.form.find("client_id") {
        None => None,
        Some(handle) => {
            let client = asked.issuer.store.find_client_by_handle(asked.org.id(), handle).await?;
            Some(client.ok_or_else(|| OAuthError::invalid_client().because("unknown client"))?.id)
        }
    };
    let handle = asked.form.find("trust");
    let meant = |trust: &Trust| {
        client.is_none_or(|client| client == trust.client)
            && handle.is_none_or(|handle| handle == trust.handle.as_str())
    };
    Ok(trusts.into_iter().filter(meant).collect())
}

/// Nobody's fault who asks: they may try again.
fn unreachable(error: NotFetched) -> OAuthError {
    OAuthError::new(
        ErrorCode::TemporarilyUnavailable,
        "the outside issuer's keys cannot be fetched now; try again",
    )
    .because(error)
}

impl By {
    /// RFC 8693, section 2.2.2: `invalid_request` for whatever is wrong with the subject; RFC 7523, section 3.1:
    /// `invalid_grant`.
    fn wrong(self, told: &'static str) -> OAuthError {
        match self {
            Self::Exchange => OAuthError::invalid_request(told),
            Self::Assertion => OAuthError::invalid_grant(told),
        }
    }

    /// One sentence for every reason, as a stranger may be asking; the operator has the reason in the trace, and `trust
    /// test`.
    fn not_let_in(self) -> OAuthError {
        self.wrong(
            "no trust of this org lets this token in; an administrator sees why with `hallpass admin trust test`",
        )
    }

    fn refused(self, asked: &Asked, refusal: FederatedRefusal) -> OAuthError {
        match refusal {
            FederatedRefusal::OutOfGrant(why) => return out_of_grant(why),
            FederatedRefusal::Unknown => self.not_let_in(),
            // SECURITY: whoever asks has proved by the outside token who they are.
            FederatedRefusal::Suspended(since) => OAuthError::suspended(since, &asked.org.org.name),
            FederatedRefusal::Disabled => {
                self.wrong("the trust, its client or the org is disabled; ask who answers for it")
            }
            FederatedRefusal::Replayed => {
                self.wrong("the assertion was used before; have its issuer make another")
            }
            FederatedRefusal::Environment => OAuthError::new(
                ErrorCode::InvalidTarget,
                "the resource is of another environment than the trust; ask for one of the trust's own",
            ),
        }
        .because(refusal)
    }
}
