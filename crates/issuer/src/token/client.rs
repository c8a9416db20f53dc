//! The client credentials grant (RFC 6749, section 4.4): a service asks for itself, by its own key, or by a secret.

use hallpass_model::ledger::Actor;
use hallpass_model::session::ProofOfKey;
use hallpass_store::{ClientIssued, IssueForClient};

use super::{AboutClient, Answer};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::{out_of_grant, wanted};

/// Issues an access token whose subject is the client. Never a refresh token (section 4.4.3).
pub(super) async fn issue(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let client = &caller.client;
    let Some(proof_of_client) = caller.proof.clone() else {
        return Err(OAuthError::invalid_client().because("client credentials of a public client"));
    };
    let key = proof.map(|proof| proof.key);
    let issue = IssueForClient {
        org: asked.org.id(),
        client: client.id,
        proof: proof_of_client,
        key,
        wanted: wanted(asked)?,
    };
    let token = match asked.issuer.store.change(Actor::Nobody, asked.now, issue).await? {
        ClientIssued::Issued(token) => token,
        ClientIssued::Replayed => {
            return Err(OAuthError::invalid_client().because("an assertion that was used before"));
        }
        ClientIssued::SecretOver => {
            return Err(OAuthError::invalid_client().because("a secret that is over just now"));
        }
        ClientIssued::Refused(refusal) => return Err(OAuthError::invalid_client().because(refusal)),
        ClientIssued::OutOfGrant(why) => return Err(out_of_grant(why)),
    };
    Ok(AboutClient { client, token, key, purpose: None }.answer(asked).into())
}
