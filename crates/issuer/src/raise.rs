//! Raising the session that is there (RFC 9470), in place of opening another that takes its place.
//!
//! 1. A request that is pushed (RFC 9126), or a device authorization, shows its session by `step_up_token`, the session's
//!    newest refresh token, with a DPoP proof of the key that this is bound to. It is looked at and not traded. Never in a URL:
//!    that is no place for a token, and proves no key. (An access token would not do: where the client itself demands a newer
//!    login, there is none to be had.)
//! 2. What is asked for is what the session has: `scope` and `resource` say nothing beside it. The login must be made from
//!    now on, and be no weaker than the one before.
//! 3. The page says which session it is, on which machine, and refuses everybody but its person.
//! 4. What answers is bound to the same key. Redeeming it changes the session in one transaction, in which all of this is
//!    asked again (`store/raise.rs`). Its refresh tokens, passes and leases go on.

use hallpass_model::client::Client;
use hallpass_model::id::SessionId;
use hallpass_model::raise::{NotRaised, proves};
use hallpass_model::session::{ProofOfKey, RefreshToken, Refusal, Session};
use hallpass_model::step_up::Demand;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{RecordRefusal, RefusedSubject};
use http::StatusCode;

use crate::error::OAuthError;
use crate::form::Asked;
use crate::pages::asking::Raised;
use crate::pages::when::Moment;
use crate::trouble::Trouble;
use crate::web::Person;

/// The parameter.
pub(crate) const STEP_UP_TOKEN: &str = "step_up_token";

/// The session that a request shows, to have it raised; `None` if it shows none.
pub(crate) async fn shown(
    asked: &Asked,
    client: &Client,
    proof: Option<ProofOfKey>,
) -> Result<Option<Session>, OAuthError> {
    let Some(text) = asked.form.find(STEP_UP_TOKEN) else { return Ok(None) };
    if asked.form.find("scope").is_some() || asked.form.find("resource").is_some() {
        return Err(OAuthError::invalid_request(
            "a session that is raised keeps its scopes and resources: name none, or log in anew",
        ));
    }
    let store = &asked.issuer.store;
    let found = match RefreshToken::parse(text) {
        Ok(token) => store.find_session_shown(&token).await?,
        Err(_) => None,
    };
    // SECURITY: nothing is recorded about a session for a token that is not authentic; anybody can name one.
    let Some(session) = found else {
        store.count_stranger("unknown step-up token");
        return Err(gone());
    };
    let record = |rule| {
        let place = RefusedSubject {
            principal: Some(session.principal),
            client: Some(session.client),
            device: session.device,
            session: Some(session.id),
            ..RefusedSubject::org(session.org)
        };
        asked.record_refusal_of(place, rule)
    };
    if session.org != asked.org.id() || session.client != client.id {
        record("token_of_other_client").await?;
        return Err(gone());
    }
    match proves(&session, proof.map(|proof| proof.key)) {
        Ok(()) => {}
        Err(NotRaised::Unbound) => {
            let told = "a session that is bound to no key cannot be raised; log in anew";
            return Err(OAuthError::invalid_request(told));
        }
        // SECURITY: a refresh token that was copied raises nothing, and ends nothing by trying.
        Err(why) => {
            record("proof_missing").await?;
            let told = "the session is bound to a key; send a DPoP proof by it";
            return Err(OAuthError::new(ErrorCode::InvalidDpopProof, told).because(why));
        }
    }
    let dead = match session.alive(asked.now) {
        Ok(()) => store.is_session_dead(&session).await?.map(Refusal::Cut),
        Err(why) => Some(why),
    };
    match dead {
        None => Ok(Some(session)),
        Some(why) => {
            record(if matches!(why, Refusal::Cut(_)) { "cut" } else { "expired" }).await?;
            Err(gone().because(why))
        }
    }
}

fn gone() -> OAuthError {
    OAuthError::invalid_request(
        "the session was revoked, or is over, or this is not its newest token; log in anew",
    )
}

/// A login from now on, and no weaker than the one the session came of.
pub(crate) fn demand(session: &Session) -> Demand {
    let acr = Some(session.grant.authentication.acr);
    Demand { acr, max_age: Some(Lifetime::seconds(0)), sso: false }
}

/// What a page says of the session that is to be raised, to its own person and to nobody else.
pub(crate) async fn on_page(person: &Person, raises: Option<SessionId>) -> Result<Option<Raised>, Trouble> {
    let Some(id) = raises else { return Ok(None) };
    let store = &person.visit.issuer.store;
    let session = store.find_session(id).await?.ok_or_else(|| over(person))?;
    if session.principal != person.person.id {
        let subject = RefusedSubject {
            principal: Some(person.person.id),
            client: Some(session.client),
            session: Some(id),
            ..RefusedSubject::org(person.org.id())
        };
        let record = RecordRefusal { subject, rule: "session_of_other_person" };
        let actor = hallpass_model::ledger::Actor::Principal(person.person.id);
        store.change(actor, person.visit.now, record).await?;
        return Err(refused(person, NotRaised::OtherPerson));
    }
    let machine = match session.device {
        Some(device) => store.device_name(device).await?,
        None => None,
    };
    Ok(Some(Raised {
        machine,
        since: Moment::new(session.created, person.visit.now).short,
        until: Moment::new(session.expires, person.visit.now).short,
    }))
}

/// Why nothing was raised, in words for the person who would have.
pub(crate) fn refused(person: &Person, why: NotRaised) -> Trouble {
    match why {
        NotRaised::OtherPerson => Trouble::new(
            StatusCode::FORBIDDEN,
            "This is somebody else's session",
            "A program wants a session made stronger, and it is not a session of yours. Nothing was changed.",
            "If you have another account here, log out and log in by that. If someone sent you this link, tell an administrator.",
        )
        .at(person.head()),
        NotRaised::NoBetter => Trouble::new(
            StatusCode::FORBIDDEN,
            "Your login is no stronger",
            "The session came of a login that was as strong as yours now, or stronger, and as late. Nothing was changed.",
            "Log in again by your strongest way, and run the command once more.",
        )
        .at(person.head()),
        NotRaised::Session(_) | NotRaised::Unbound => over(person),
    }
}

fn over(person: &Person) -> Trouble {
    Trouble::new(
        StatusCode::GONE,
        "The session is over",
        "The session that was to be made stronger was ended meanwhile.",
        "Go back to your terminal and log in anew.",
    )
    .at(person.head())
    .link(person.path("sessions"), "Your sessions")
}
