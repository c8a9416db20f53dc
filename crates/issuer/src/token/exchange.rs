//! Token exchange (RFC 8693): a narrower token of one's own, from a token for the issuer itself. What comes from an outside
//! issuer is exchanged in [`federated`](super::federated).
//!
//! It never widens scope, audience, life or authentication strength, and never unbinds what is bound for somebody
//! who cannot prove the key:
//!
//! 1. The subject is an access token whose audience is the issuer, presented by the client it was issued to.
//! 2. If the subject is bound to a key, that key is proved in this very request.
//! 3. The target is a resource that was agreed to at login, or the issuer again.
//! 4. What comes out is bound as the subject is, unless `binding=bearer` was asked for a resource: many APIs know
//!    nothing of DPoP. Whoever asks has just proved the key, so nothing is unbound for anybody else.
//! 5. The ancestors are named in the token, so that a cut of any of them is a cut of it.
//! 6. An agent that acts for the person is named by `agent` as its run begins, and by `run` from then on: it has no token of
//!    its own to send as `actor_token`. What comes out says so in `act`, and `run` stands beside it in the answer.

use std::sync::Arc;

use hallpass_model::ledger::Actor;
use hallpass_model::purpose::Purpose;
use hallpass_model::session::{ProofOfKey, Refusal};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{BadForm, Form, TokenResponse, token_type};
use hallpass_store::{ActingFor, Exchange, ExchangeRefusal, Exchanged, Narrowed, Reach, RunRefusal, Subject};

use super::{Answer, alone};
use crate::caller::ClientCaller;
use crate::error::OAuthError;
use crate::form::Asked;
use crate::target::{audience, out_of_grant, wanted};
use crate::tokens::{NewAccessToken, OwnToken};

/// Exchanges an access token for a narrower one.
pub(super) async fn redeem(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Answer, OAuthError> {
    let wish = Wish::read(&asked.form)?;
    let subject = subject(asked, caller, proof).await?;
    let mut wanted = wanted(asked)?;
    wanted.lifetime = wish.lifetime;
    if wish.unbound && !matches!(wanted.reach, Reach::Resource(_)) {
        return Err(OAuthError::invalid_request(
            "a token for the issuer itself stays bound; name a resource",
        ));
    }
    caller.use_up(asked).await?;
    let exchange = Exchange {
        subject: Subject { place: subject.place.clone(), scopes: subject.claims.scope.clone() },
        org: asked.org.id(),
        client: caller.client.id,
        proof,
        wanted,
        purpose: wish.purpose.clone(),
        lease: wish.lease,
        acting: wish.acting.clone(),
        address: asked.address_text(),
    };
    match asked.issuer.store.change(Actor::Nobody, asked.now, exchange).await? {
        Exchanged::Issued(issued) => Ok(answer(asked, caller, &subject, &wish, *issued).into()),
        Exchanged::Refused(refusal) => Err(refused(refusal)),
    }
}

fn answer(
    asked: &Asked,
    caller: &ClientCaller,
    subject: &OwnToken,
    wish: &Wish,
    issued: Narrowed,
) -> TokenResponse {
    // SECURITY: the subject's own key, unless a bearer token was asked for: the key was proved in this request
    // (`subject`), or there is none.
    let key = subject.claims.jkt().filter(|_| !wish.unbound);
    let grant = &issued.session.grant;
    let access_token = NewAccessToken {
        subject: subject.claims.sub.clone(),
        client: &caller.client,
        audience: audience(&asked.org, issued.reached),
        scope: issued.scopes.clone(),
        credential: issued.credential,
        stamp: issued.stamp,
        expires: issued.expires,
        session: Some(issued.session.id),
        device: issued.session.device,
        authentication: Some(&grant.authentication),
        key,
        purpose: wish.purpose.as_ref().or(grant.purpose.as_ref()),
        acting: issued.acting.clone(),
        lineage: issued.lin,
    }
    .mint(&asked.issuer, &asked.org, asked.now);
    TokenResponse {
        issued_token_type: Some(token_type::ACCESS_TOKEN.to_owned()),
        lease: issued.lease,
        run: issued.acting.first().map(|acting| acting.run),
        ..alone(access_token, key, issued.scopes, issued.expires.since(asked.now))
    }
}

/// What the request asks for besides the target.
pub(super) struct Wish {
    pub(super) lifetime: Option<Lifetime>,
    pub(super) purpose: Option<Purpose>,
    pub(super) lease: bool,
    pub(super) unbound: bool,
    pub(super) acting: Option<ActingFor>,
}

impl Wish {
    /// The same from somebody who is no person, and so has no agents.
    pub(super) fn of_no_person(form: &Form) -> Result<Self, OAuthError> {
        let wish = Self::read(form)?;
        match wish.acting {
            None => Ok(wish),
            Some(_) => {
                Err(OAuthError::invalid_request("an agent acts for a person, and this is nobody's session"))
            }
        }
    }

    pub(super) fn read(form: &Form) -> Result<Self, OAuthError> {
        let refused = |told| Err(OAuthError::invalid_request(told));
        if form.find("actor_token").is_some() || form.find("actor_token_type").is_some() {
            return refused("an agent has no token of its own: name it with agent, and send no actor_token");
        }
        if form.find("requested_token_type").is_some_and(|wanted| wanted != token_type::ACCESS_TOKEN) {
            return refused("only access tokens are issued by exchange");
        }
        let lifetime = match form.find("lifetime").map(str::parse::<u32>) {
            None => None,
            Some(Ok(seconds)) if seconds > 0 => Some(Lifetime::seconds(seconds)),
            Some(_) => return refused("lifetime is a number of seconds above zero"),
        };
        let lease = match form.find("lease") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return refused("lease is true or false"),
        };
        let unbound = match form.find("binding") {
            None => false,
            Some("bearer") => true,
            Some(_) => return refused("binding is bearer, or left out"),
        };
        let acting = match (form.find("agent"), form.find("run")) {
            (None, None) => None,
            (Some(agent), None) => match agent.parse() {
                Ok(handle) => Some(ActingFor::NewRun(handle)),
                Err(_) => return refused("agent is the name of an agent"),
            },
            (None, Some(run)) => match run.parse() {
                Ok(run) => Some(ActingFor::Run(run)),
                Err(_) => return refused("run is the id of a run"),
            },
            (Some(_), Some(_)) => {
                return refused("agent begins a run, and run goes on with one: send one of them");
            }
        };
        Ok(Self { lifetime, purpose: form.find("purpose").and_then(Purpose::parse), lease, unbound, acting })
    }
}

/// The subject: a token of ours, for us, from the client and key it was issued to.
///
/// RFC 8693, section 2.2.2: whatever is wrong with it is `invalid_request`.
async fn subject(
    asked: &Asked,
    caller: &ClientCaller,
    proof: Option<ProofOfKey>,
) -> Result<Arc<OwnToken>, OAuthError> {
    let text = asked.form.required("subject_token")?;
    if asked.form.find("subject_token_type").ok_or(BadForm::Missing("subject_token_type"))?
        != token_type::ACCESS_TOKEN
    {
        return Err(OAuthError::invalid_request("the subject must be an access token of this issuer"));
    }
    let token = asked.issuer.own_token(&asked.org, text, asked.now).await?;
    let token = token.map_err(|error| {
        asked.issuer.store.count_stranger("unknown subject token");
        bad_subject().because(error)
    })?;
    let record = |rule| asked.record_refusal_of((&token.place).into(), rule);
    // SECURITY: a token that was sent to an API must not come back for more (confused deputy).
    if !token.claims.aud.has(&asked.org.issuer) {
        record("subject_audience").await?;
        return Err(bad_subject().because("a subject for another audience"));
    }
    if token.place.client != caller.client.id {
        record("subject_of_other_client").await?;
        return Err(bad_subject().because("a subject of another client"));
    }
    // SECURITY: a bound subject is worth nothing without its key; a proof by another key is a refusal too.
    let proven = proof.map(|proof| proof.key);
    match (token.claims.cnf, proven) {
        (None, _) => {}
        (Some(cnf), Some(key)) if cnf.jkt == Some(key) => {}
        (Some(_), None) => {
            record("proof_missing").await?;
            let told = "the subject is bound to a key; send a DPoP proof by it";
            return Err(OAuthError::new(ErrorCode::InvalidDpopProof, told));
        }
        (Some(_), Some(_)) => {
            record("proof_of_other_key").await?;
            let told = "the proof is not by the key the subject is bound to";
            return Err(OAuthError::new(ErrorCode::InvalidDpopProof, told));
        }
    }
    Ok(token)
}

fn bad_subject() -> OAuthError {
    OAuthError::invalid_request("the subject token is not valid here; refresh it, or log in again")
}

/// RFC 8693, section 2.2.2: `invalid_request` for whatever is wrong with the subject.
fn refused(refusal: ExchangeRefusal) -> OAuthError {
    match refusal {
        ExchangeRefusal::OutOfGrant(why) => return out_of_grant(why),
        ExchangeRefusal::Session(Refusal::Disabled) => OAuthError::invalid_request(
            "the person, client or org of this session is disabled; ask an administrator",
        ),
        ExchangeRefusal::Session(Refusal::Expired | Refusal::Idle | Refusal::Cut(_))
        | ExchangeRefusal::Cut(_) => OAuthError::invalid_request(
            "the session or the subject token was revoked, or is over; log in again",
        ),
        ExchangeRefusal::Session(Refusal::ProofMissing) => {
            let told = "the session is bound to a key; send a DPoP proof by it";
            OAuthError::new(ErrorCode::InvalidDpopProof, told)
        }
        ExchangeRefusal::Run(why) => return run_refused(why),
        ExchangeRefusal::TooDeep => OAuthError::invalid_request(
            "the subject token was exchanged too many times over; use an earlier one",
        ),
        ExchangeRefusal::Session(_) | ExchangeRefusal::NoSession => bad_subject(),
    }
    .because(refusal)
}

/// What is told when an agent or its run gets nothing: not `invalid_request`, which says that another subject might help.
fn run_refused(why: RunRefusal) -> OAuthError {
    let told = match why {
        RunRefusal::NoAgent => "the person has no agent of this name; `hallpass agents add` registers one",
        RunRefusal::Retired => {
            "the agent was taken out of use by its person; `hallpass agents add` puts it back"
        }
        RunRefusal::TooMany => {
            "the person has too many runs of agents going on; `hallpass agents` lists them"
        }
        RunRefusal::TooDeep => "an agent was started by an agent too many times over",
        RunRefusal::NoPurpose => "a run of an agent says what it is for; send a purpose",
        RunRefusal::Unknown => "there is no such run of an agent here",
        RunRefusal::Over => "the run of the agent is over",
        RunRefusal::Spent(_) => {
            "the run has used up its budget; its person lets it go on with `hallpass agents continue`, or ends it"
        }
        RunRefusal::Scope => {
            return OAuthError::new(
                ErrorCode::InvalidScope,
                "the agent may not have a scope that was asked for",
            )
            .rule(why.rule());
        }
    };
    OAuthError::new(ErrorCode::AccessDenied, told).rule(why.rule()).because(why)
}
