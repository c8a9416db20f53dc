//! Token exchange (RFC 8693) by an API key: it buys a token that lives for minutes.
//!
//! 1. The key is the subject token, of a type of ours. Exchange is the one grant that trades a secret for a narrower token
//!    of another kind and says how far, for whom and how long; `client_credentials` would make the key a client secret,
//!    which it is not: it has an end, scopes, APIs and networks of its own, and a client may have several.
//! 2. No client proves who it is: the key does, as it names its client (RFC 8693, section 2.1). So the token is about the
//!    client. A `client_id` that is sent all the same must be the key's.
//! 3. What comes out is within the key's scopes, for one of its APIs, and over before the key is. There is no refresh token:
//!    the key buys another. Its ancestors are the key and this secret of it, so that a cut of either kills it.
//! 4. With a DPoP proof it is bound to that key, unless `binding=bearer` is asked for.
//!
//! Whoever holds the whole key is told what is wrong with it. A text that is no key of this org is a guess, whatever it looks
//! like: all are answered alike, counted, and slowed down by the network they come from.

use hallpass_model::api_key::{KeyRefusal, Way, judge_spelling};
use hallpass_model::client::Client;
use hallpass_model::device::{DEVICE_NAME_MAX, DeviceClass};
use hallpass_model::jose::Thumbprint;
use hallpass_model::ledger::Actor;
use hallpass_model::purpose::plain;
use hallpass_model::secret::Secret;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Form, TokenResponse, token_type};
use hallpass_store::{Bought, BoughtToken, BuyToken, Presenter, RefusedSubject, Wanted};

use super::exchange::Wish;
use super::{AboutClient, Answer};
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::wanted;

/// Whether the subject is an API key.
pub(super) fn is_asked(form: &Form) -> bool {
    form.find("subject_token_type") == Some(token_type::API_KEY)
}

/// Exchanges it.
pub(super) async fn redeem(asked: &Asked) -> Result<Answer, OAuthError> {
    let wish = Wish::of_no_person(&asked.form)?;
    if asked.form.find("client_assertion").is_some() || asked.form.find("client_secret").is_some() {
        return Err(OAuthError::invalid_request("the API key is the proof; send no other"));
    }
    let proof =
        asked.issuer.proofs.at_token_endpoint(&asked.headers, &asked.org.endpoint("token"), asked.now)?;
    let text = asked.form.required("subject_token")?;
    let (store, org) = (&asked.issuer.store, asked.org.id());
    let secret = Secret::from_text(text.to_owned());
    // Looked for before anything is queued to be written: a guess costs a read.
    let known = match judge_spelling(text) {
        Ok(()) => store.find_api_key_by_secret(org, &secret).await?,
        Err(_) => None,
    };
    let Some((key, _)) = known else { return Err(unknown(asked)) };
    let client = store.find_client(key.client).await?;
    let client = client.ok_or_else(|| unknown(asked))?;
    if asked.form.find("client_id").is_some_and(|named| named != client.client_id()) {
        let subject = RefusedSubject { client: Some(client.id), ..RefusedSubject::org(org) };
        asked.record_refusal_of(subject, "key_of_other_client").await?;
        return Err(OAuthError::invalid_client()
            .rule("key_of_other_client")
            .because("an API key of another client"));
    }
    let presenter = Presenter {
        from: asked.address,
        machine: plain(asked.form.find("device_name").unwrap_or_default(), DEVICE_NAME_MAX),
        class: asked
            .form
            .find("device_class")
            .map_or(DeviceClass::Unknown, |word| word.parse().unwrap_or(DeviceClass::Unknown)),
        purpose: wish.purpose.clone(),
    };
    let bound_to = proof.map(|proof| proof.key).filter(|_| !wish.unbound);
    let buy = BuyToken {
        org,
        secret,
        presenter: presenter.clone(),
        bound_to,
        wanted: Wanted { lifetime: wish.lifetime, ..wanted(asked)? },
        lease: wish.lease,
    };
    match store.change(Actor::Nobody, asked.now, buy).await? {
        Bought::Issued(bought) => {
            store.count_key_use(org, bought.secret, Way::Exchange, &presenter, asked.now);
            Ok(answer(asked, &client, &wish, bound_to, *bought).into())
        }
        Bought::Unknown => Err(unknown(asked)),
        Bought::Refused(refusal) => Err(refused(refusal)),
    }
}

fn answer(
    asked: &Asked,
    client: &Client,
    wish: &Wish,
    bound_to: Option<Thumbprint>,
    bought: BoughtToken,
) -> TokenResponse {
    let about = AboutClient { client, token: bought.token, key: bound_to, purpose: wish.purpose.as_ref() };
    TokenResponse {
        issued_token_type: Some(token_type::ACCESS_TOKEN.to_owned()),
        lease: bought.lease,
        api_key_expires_in: Some(bought.key_ends.since(asked.now)),
        ..about.answer(asked)
    }
}

/// One answer for everything that is no key of this org's. RFC 8693, section 2.2.2: `invalid_request` for whatever is wrong
/// with the subject.
fn unknown(asked: &Asked) -> OAuthError {
    asked.issuer.store.count_stranger("unknown API key");
    OAuthError::invalid_request("this is no API key of this org")
        .rule("key_unknown")
        .because("an unknown API key")
}

fn refused(refusal: KeyRefusal) -> OAuthError {
    let (code, told) = match refusal {
        KeyRefusal::Revoked => (
            ErrorCode::InvalidRequest,
            "the API key was revoked; whoever answers for it can make another, or something better",
        ),
        KeyRefusal::Expired => (
            ErrorCode::InvalidRequest,
            "the API key is over; whoever answers for it can make another, or something better",
        ),
        KeyRefusal::Network | KeyRefusal::AddressUnsaid => {
            (ErrorCode::InvalidRequest, "the API key may not be used from this network")
        }
        KeyRefusal::Disabled => (
            ErrorCode::InvalidRequest,
            "the API key's client, its owner or the org is disabled; ask an administrator",
        ),
        KeyRefusal::Resource => {
            (ErrorCode::InvalidTarget, "the resource is not one of the API key's; ask for one that is")
        }
        KeyRefusal::Ambiguous => {
            (ErrorCode::InvalidTarget, "the API key is for several resources; say which one the token is for")
        }
        KeyRefusal::ResourceDisabled => (ErrorCode::InvalidTarget, "the resource is disabled; ask its owner"),
        KeyRefusal::ResourceSuspended => (
            ErrorCode::InvalidTarget,
            "the resource is suspended, as nobody answers for it; ask an administrator",
        ),
        KeyRefusal::Unmet => (
            ErrorCode::InvalidScope,
            "a scope is for people who prove who they are, which a key cannot; sign in for it",
        ),
        KeyRefusal::Environment => (
            ErrorCode::InvalidTarget,
            "the resource is of another environment than the API key or its client",
        ),
        KeyRefusal::Scope => {
            (ErrorCode::InvalidScope, "a scope is not one of the API key's, or not one the resource knows")
        }
        // They are about a key that is sent to an API, which this one was not.
        KeyRefusal::NotDirect | KeyRefusal::DirectOver => {
            (ErrorCode::InvalidRequest, "the API key is not to be used so")
        }
    };
    OAuthError::new(code, told).rule(refusal.rule()).because(refusal)
}
