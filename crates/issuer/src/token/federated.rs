//! Token exchange (RFC 8693) by what an outside issuer says: a CI job, a pod or a service comes in by a trust.
//!
//! 1. The subject token names its issuer. Only the trusts of that issuer are looked at; with none, nobody is asked for keys.
//! 2. Its signature is checked with that issuer's keys, then its times.
//! 3. A trust lets it in if all of the trust's rule holds. If several do, the request must say which is meant: nothing
//!    is guessed.
//! 4. What comes out is a token about the trust's client: no refresh token, minutes long, with the trust's root as its
//!    ancestor, so that taking the trust out of use kills it.
//!
//! No client proves who it is here: the subject token is the proof (RFC 8693, section 2.1). It may be shown more than
//! once while it is good: GitLab gives a job one for its whole life, and a JWT-SVID is used again until it is over.

use hallpass_model::client::Client;
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::Actor;
use hallpass_model::trust::Trust;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, TokenResponse, token_type};
use hallpass_store::{
    Federated, FederatedRefusal, FederatedToken, IssueByTrust, Outsider, RefusedSubject, Wanted,
};

use super::exchange::Wish;
use super::{AboutClient, Answer};
use crate::error::OAuthError;
use crate::form::Asked;
use crate::outside::NotFetched;
use crate::outsider::NotRead;
use crate::target::{out_of_grant, wanted};

/// Whether the subject is a token of an outside issuer.
pub(super) fn is_asked(form: &Form) -> bool {
    matches!(form.find("subject_token_type"), Some(token_type::JWT | token_type::ID_TOKEN))
}

/// Exchanges it.
pub(super) async fn redeem(asked: &Asked) -> Result<Answer, OAuthError> {
    let wish = Wish::read(&asked.form)?;
    if asked.form.find("client_assertion").is_some() || asked.form.find("client_secret").is_some() {
        return Err(OAuthError::invalid_request("the subject token is the proof; send no other"));
    }
    let proof =
        asked.issuer.proofs.at_token_endpoint(&asked.headers, &asked.org.endpoint("token"), asked.now)?;
    let (trust, subject) = outsider(asked).await?;
    let key = proof.map(|proof| proof.key).filter(|_| !wish.unbound);
    let issue = IssueByTrust {
        org: asked.org.id(),
        trust: trust.id,
        outsider: Outsider { subject, address: asked.address_text() },
        key,
        wanted: Wanted { lifetime: wish.lifetime, ..wanted(asked)? },
        purpose: wish.purpose.clone(),
        lease: wish.lease,
    };
    let issued = match asked.issuer.store.change(Actor::Nobody, asked.now, issue).await? {
        Federated::Issued(issued) => issued,
        Federated::Refused(refusal) => return Err(refused(asked, refusal)),
    };
    let client = asked.issuer.store.find_client(issued.client).await?;
    let client = client.ok_or_else(|| refused(asked, FederatedRefusal::Unknown))?;
    Ok(answer(asked, &client, &wish, key, issued).into())
}

fn answer(
    asked: &Asked,
    client: &Client,
    wish: &Wish,
    key: Option<Thumbprint>,
    issued: FederatedToken,
) -> TokenResponse {
    let about = AboutClient {
        client,
        reached: issued.reached,
        scopes: issued.scopes,
        credential: issued.credential,
        lineage: issued.lin,
        stamp: issued.stamp,
        expires: issued.expires,
        key,
        purpose: wish.purpose.as_ref(),
    };
    TokenResponse {
        issued_token_type: Some(token_type::ACCESS_TOKEN.to_owned()),
        lease: issued.lease,
        ..about.answer(asked)
    }
}

/// Who came, and by which trust.
async fn outsider(asked: &Asked) -> Result<(Trust, String), OAuthError> {
    let text = asked.form.required("subject_token")?;
    let (said, trusts) = match asked.issuer.trusts_for(asked.org.id(), text).await? {
        Ok(found) => found,
        Err(nobody) => {
            // What names nobody we know is counted and no more: strangers must not fill the record.
            asked.issuer.store.count_stranger("unknown outside token");
            return Err(not_let_in().because(nobody));
        }
    };
    let meant = meant(asked, trusts).await?;
    let mut let_in: Vec<(Trust, String)> = Vec::new();
    let mut wrong = None;
    for looked in asked.issuer.look(&said, text, meant, asked.now).await {
        match looked.read {
            Err(NotRead::Keys(error)) => return Err(unreachable(error)),
            Err(NotRead::Token(bad)) => wrong = Some(bad),
            Ok(read) => match read.good {
                Err(bad) => wrong = Some(bad),
                Ok(()) if looked.trust.rule.weigh(&read.claims).holds() => {
                    let_in.push((looked.trust, read.subject().to_owned()));
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
            Err(not_let_in().because(bad))
        }
        (None, _, None) => {
            record("trust").await?;
            Err(not_let_in().because("no trust whose rule holds"))
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

/// RFC 8693, section 2.2.2: `invalid_request` for whatever is wrong with the subject. One sentence for every reason, as a
/// stranger may be asking; the operator has the reason in the trace, and `trust test`.
fn not_let_in() -> OAuthError {
    OAuthError::invalid_request(
        "no trust of this org lets this token in; an administrator sees why with `hallpass admin trust test`",
    )
}

/// Nobody's fault who asks: they may try again.
fn unreachable(error: NotFetched) -> OAuthError {
    OAuthError::new(
        ErrorCode::TemporarilyUnavailable,
        "the outside issuer's keys cannot be fetched now; try again",
    )
    .because(error)
}

fn refused(asked: &Asked, refusal: FederatedRefusal) -> OAuthError {
    match refusal {
        FederatedRefusal::OutOfGrant(why) => return out_of_grant(why),
        FederatedRefusal::Unknown => not_let_in(),
        // SECURITY: whoever asks has proved by the outside token who they are.
        FederatedRefusal::Suspended(since) => OAuthError::suspended(since, &asked.org.org.name),
        FederatedRefusal::Disabled => OAuthError::invalid_request(
            "the trust, its client or the org is disabled; ask who answers for it",
        ),
        FederatedRefusal::Environment => OAuthError::new(
            ErrorCode::InvalidTarget,
            "the resource is of another environment than the trust; ask for one of the trust's own",
        ),
    }
    .because(refusal)
}
