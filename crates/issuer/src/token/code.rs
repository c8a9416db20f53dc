//! The authorization code grant (RFC 6749, section 4.1.3; RFC 7636, section 4.5).

use hallpass_model::ledger::Actor;
use hallpass_model::session::ProofOfKey;
use hallpass_model::wire::oauth::BadForm;
use hallpass_store::{CodeRedeemed, CodeRefusal, RedeemCode};

use super::{Answer, open, refresh_tokens, wanted_at_opening};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::out_of_grant;

/// Redeems an authorization code: once. A second time ends what the first produced.
pub(super) async fn redeem(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let form = &asked.form;
    let redeem = RedeemCode {
        code: form.secret("code").ok_or(BadForm::Missing("code"))?,
        org: asked.org.id(),
        client: caller.client.id,
        // OAuth 2.1 has done away with it here, as PKCE says the same; what RFC 6749 has clients send must be right.
        redirect_uri: form.find("redirect_uri").map(str::to_owned),
        code_verifier: form.secret("code_verifier").ok_or(BadForm::Missing("code_verifier"))?,
        proof,
        refresh: refresh_tokens(asked, caller),
        wanted: wanted_at_opening(asked)?,
        address: asked.address_text(),
    };
    caller.use_up(asked).await?;
    match asked.issuer.store.change(Actor::Nobody, asked.now, redeem).await? {
        CodeRedeemed::Opened(opened) => Ok(open(asked, caller, *opened).into()),
        CodeRedeemed::Refused(CodeRefusal::OutOfGrant(why)) => Err(out_of_grant(why)),
        CodeRedeemed::Refused(refusal) => {
            if refusal == CodeRefusal::Unknown {
                asked.issuer.store.count_stranger("unknown code");
            }
            // SECURITY: one sentence for every other reason; the ledger knows which it was.
            Err(OAuthError::invalid_grant(
                "the code is over, or not valid for this client, redirect URI, code verifier and key; log in again",
            )
            .because(refusal))
        }
    }
}
