//! The client credentials grant (RFC 6749, section 4.4): a service asks for itself, by its own key.

use hallpass_model::ledger::Actor;
use hallpass_model::session::ProofOfKey;
use hallpass_store::{ClientIssued, IssueForClient};

use super::{Answer, alone};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::{audience, out_of_grant, wanted};
use crate::tokens::NewAccessToken;

/// Issues an access token whose subject is the client. Never a refresh token (section 4.4.3).
pub(super) async fn issue(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let client = &caller.client;
    let Some(assertion) = caller.assertion.clone() else {
        return Err(OAuthError::invalid_client().because("client credentials without an assertion"));
    };
    let key = proof.map(|proof| proof.key);
    let issue =
        IssueForClient { org: asked.org.id(), client: client.id, assertion, key, wanted: wanted(asked)? };
    let issued = match asked.issuer.store.change(Actor::Nobody, asked.now, issue).await? {
        ClientIssued::Issued(issued) => issued,
        ClientIssued::Replayed => {
            return Err(OAuthError::invalid_client().because("an assertion that was used before"));
        }
        ClientIssued::Refused(refusal) => return Err(OAuthError::invalid_client().because(refusal)),
        ClientIssued::OutOfGrant(why) => return Err(out_of_grant(why)),
    };
    let access_token = NewAccessToken {
        // SECURITY: a client's id is of another form than a person's, so neither can pass for the other.
        subject: client.id.to_string(),
        client,
        audience: audience(&asked.org, issued.reached),
        scope: issued.scopes.clone(),
        credential: issued.credential,
        stamp: issued.stamp,
        expires: issued.expires,
        session: None,
        device: None,
        authentication: None,
        key,
        purpose: None,
        lineage: Vec::new(),
    }
    .mint(&asked.issuer, &asked.org, asked.now);
    Ok(alone(access_token, key, issued.scopes, issued.expires.since(asked.now)).into())
}
