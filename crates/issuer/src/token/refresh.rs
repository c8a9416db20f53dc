//! The refresh token grant (RFC 6749, section 6; RFC 9449, section 5). The rule is `Session::redeem`.

use hallpass_model::cut::Why;
use hallpass_model::ledger::Actor;
use hallpass_model::rung::Rung;
use hallpass_model::session::{ProofOfKey, RefreshToken, Refusal};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{Redeem, Redeemed};

use super::{Answer, tokens};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::{out_of_grant, wanted};

/// Redeems a refresh token for its successor and an access token.
pub(super) async fn redeem(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let presented = RefreshToken::parse(asked.form.required("refresh_token")?).map_err(|bad| {
        asked.issuer.store.count_stranger("malformed refresh token");
        unknown().because(bad)
    })?;
    let wanted = wanted(asked)?;
    caller.use_up(asked).await?;
    let redeem = Redeem {
        token: presented,
        org: asked.org.id(),
        client: caller.client.id,
        proof,
        from: asked.network_hash(),
        address: asked.address_text(),
        wanted,
        rung: asked.form.find("device_rung").and_then(Rung::named),
        class: asked.form.find("device_class").map(|word| word.parse().expect("any word is a class")),
    };
    match asked.issuer.store.change(Actor::Nobody, asked.now, redeem).await? {
        Redeemed::Next(opened) | Redeemed::Again(opened, _) => Ok(tokens(asked, caller, opened).into()),
        Redeemed::Refused(refusal) => {
            if refusal == Refusal::Unknown {
                asked.issuer.store.count_stranger("unknown refresh token");
            }
            Err(refused(refusal))
        }
        Redeemed::RungNotAllowed(allowed) => Err(OAuthError::rung(allowed)),
        Redeemed::OutOfGrant(why) => Err(out_of_grant(why)),
        Redeemed::Ended(why) => Err(ended(why)),
    }
}

// SECURITY: whoever made a token up, or has somebody else's, learns one sentence.
fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the refresh token is not valid here; log in again")
}

/// What the holder of an authentic token is told: which rule refused, and what would satisfy it.
fn refused(refusal: Refusal) -> OAuthError {
    let told = match refusal {
        Refusal::Unknown | Refusal::OtherOrg | Refusal::OtherClient => return unknown().because(refusal),
        Refusal::ProofMissing => {
            let told = "the refresh token is bound to a key; send a DPoP proof by it";
            return OAuthError::new(ErrorCode::InvalidDpopProof, told).because(refusal);
        }
        Refusal::Overtaken => "a newer refresh by the same key was answered first; use what it brought",
        Refusal::Ahead => {
            "the issuer was restored from a backup and does not know this refresh token; log in again"
        }
        Refusal::Idle => "the session was not used for too long; log in again",
        Refusal::Expired => "the session has reached its end; log in again",
        Refusal::Cut(why) => cut(why),
        Refusal::Disabled => "the person, client or org of this session is disabled; ask an administrator",
    };
    OAuthError::invalid_grant(told).because(refusal)
}

/// How a session that was cut before had ended. Its holder may be the one it was stolen from.
fn cut(why: Why) -> &'static str {
    match why {
        Why::Reuse | Why::CodeReplayed => {
            "the session was ended because somebody used a copy of its token; if that was not you, look at your \
             sessions, then log in again"
        }
        Why::Leaked => {
            "the session was ended because its refresh token was found where others could read it; log in again"
        }
        Why::RetryTooLate => {
            "the session was ended because its token was sent again too late to be told from theft; log in again"
        }
        Why::SignedOut => "the session was ended by its own logout; log in again",
        Why::EndedByPerson => "the session was ended by the person; log in again",
        Why::EndedByAdministrator => "the session was ended by an administrator; log in again",
        Why::Restored => "the issuer was restored from a backup, which ended the session; log in again",
        Why::Suspended => {
            "whoever answered for this client left, which ended its sessions; an administrator has somebody take it over"
        }
        Why::Disabled | Why::RunOver | Why::RunLost | Why::Forgotten => {
            "the session was revoked; log in again"
        }
    }
}

/// What is told where this very request ended the session.
fn ended(why: Why) -> OAuthError {
    let told = match why {
        Why::RetryTooLate => {
            "the refresh token was sent again too late to be told from theft, so the session was ended; log in again"
        }
        _ => "the refresh token was used before, or with another key, so the session was ended; log in again",
    };
    OAuthError::invalid_grant(told).because(why.text())
}
