//! Who is calling: a client that says who it is and proves it where it can, or whoever holds an access token.

use std::sync::Arc;

use hallpass_model::client::{Client, ClientAuthentication, ClientKind};
use hallpass_model::jose::{BadToken, JwkSet, peek_unverified};
use hallpass_model::ledger::Actor;
use hallpass_model::principal::Standing;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::verifier::bound;
use hallpass_model::wire::assertion::{self, ASSERTION_TYPE, ExpectedClient};
use hallpass_model::wire::dpop::Request;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{BadForm, GrantType};
use hallpass_store::{Assertion, RefreshTokens, SpendAssertion};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::error::OAuthError;
use crate::form::Asked;
use crate::tokens::OwnToken;

/// A client of the org at whose endpoint the request came, in use, that proved who it is if it can.
pub(crate) struct ClientCaller {
    /// Its row.
    pub(crate) client: Arc<Client>,
    /// What it signed, not yet used up.
    pub(crate) assertion: Option<Assertion>,
}

impl ClientCaller {
    /// Finds out which client asks (RFC 6749, section 2.3; RFC 7523, section 2.2).
    ///
    /// SECURITY: every failure is the same error, so that nobody learns which clients exist. An assertion is
    /// verified here and not yet used up: call [`ClientCaller::use_up`] before anything changes.
    pub(crate) async fn authenticate(asked: &Asked) -> Result<Self, OAuthError> {
        let refused = |why: &'static str| OAuthError::invalid_client().because(why);
        if asked.headers.contains_key(AUTHORIZATION) {
            // RFC 6749, section 5.2: answer in the scheme that was tried.
            asked.issuer.store.count_stranger("authorization header");
            return Err(refused("an Authorization header").header(WWW_AUTHENTICATE, "Basic realm=\"token\""));
        }
        if asked.form.find("client_secret").is_some() {
            asked.issuer.store.count_stranger("client secret");
            return Err(refused("a client secret"));
        }
        let signed = asked.form.find("client_assertion");
        let handle = match (asked.form.find("client_id"), signed) {
            (Some(id), _) => id.to_owned(),
            // RFC 7521, section 4.2: the assertion names the client. Believed only once verified.
            (None, Some(signed)) => {
                let named =
                    peek_unverified(signed).map_err(|bad| OAuthError::invalid_client().because(bad))?;
                named.issuer.ok_or_else(|| refused("an assertion without an issuer"))?
            }
            (None, None) => return Err(OAuthError::from(BadForm::Missing("client_id"))),
        };
        let client = asked.issuer.store.find_client_by_handle(asked.org.id(), &handle).await?;
        let Some(client) = client else {
            asked.issuer.store.count_stranger("unknown client");
            return Err(refused("unknown client"));
        };
        if let Standing::Disabled(_) = client.standing {
            asked.record_refusal(client.id, "disabled").await?;
            return Err(refused("a disabled client"));
        }
        let assertion = match (&client.authentication, signed) {
            (ClientAuthentication::None, None) => None,
            (ClientAuthentication::None, Some(_)) => {
                asked.record_refusal(client.id, "client_assertion").await?;
                return Err(refused("a public client with an assertion"));
            }
            (ClientAuthentication::PrivateKeyJwt(_), None) => {
                asked.record_refusal(client.id, "client_assertion_missing").await?;
                return Err(refused("no assertion"));
            }
            (ClientAuthentication::PrivateKeyJwt(_), Some(_))
                if asked.form.find("client_assertion_type") != Some(ASSERTION_TYPE) =>
            {
                asked.record_refusal(client.id, "client_assertion").await?;
                return Err(refused("an unknown client_assertion_type"));
            }
            (ClientAuthentication::PrivateKeyJwt(keys), Some(signed)) => {
                match judge_assertion(asked, &client, keys, signed) {
                    Ok(assertion) => Some(assertion),
                    Err(bad) => {
                        // The operator, who can do something about it, learns that only the type is the older one.
                        let rule = match bad {
                            BadToken::Type => "client_assertion_type",
                            _ => "client_assertion",
                        };
                        asked.record_refusal(client.id, rule).await?;
                        return Err(OAuthError::invalid_client().because(bad));
                    }
                }
            }
        };
        if let Standing::Suspended(since) = client.standing {
            asked.record_refusal(client.id, "suspended").await?;
            // SECURITY: only who proved to be this client is told that, and why.
            return Err(match client.is_public() {
                true => refused("a suspended client"),
                false => OAuthError::suspended(since, &asked.org.org.name).because("a suspended client"),
            });
        }
        Ok(Self { client, assertion })
    }

    /// Uses the assertion up, where there was one: good once (RFC 7523, section 3, check 7).
    pub(crate) async fn use_up(&self, asked: &Asked) -> Result<(), OAuthError> {
        let Some(assertion) = &self.assertion else { return Ok(()) };
        let spend =
            SpendAssertion { org: asked.org.id(), client: self.client.id, assertion: assertion.clone() };
        match asked.issuer.store.change(self.actor(), asked.now, spend).await? {
            true => Ok(()),
            false => Err(OAuthError::invalid_client().because("an assertion that was used before")),
        }
    }

    /// Whether a session it opens gets a refresh token: where it may refresh, and `offline_access` was agreed to; a
    /// person's own command-line tool always, as the session is what the person logged in for.
    pub(crate) fn refresh(&self) -> RefreshTokens {
        match (self.client.may_use(&GrantType::RefreshToken), self.client.kind) {
            (false, _) => RefreshTokens::Never,
            (true, ClientKind::Cli) => RefreshTokens::Always,
            (true, _) => RefreshTokens::IfAgreed,
        }
    }

    /// Asks the table of roles whether a client may do this at all. A refusal is recorded.
    pub(crate) async fn permit(&self, asked: &Asked, act: Act) -> Result<(), OAuthError> {
        if may(Role::Client, act) {
            return Ok(());
        }
        asked.record_refusal(self.client.id, "role").await?;
        Err(OAuthError::new(ErrorCode::UnauthorizedClient, "no client may do this here"))
    }

    /// As the ledger names it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::Client(self.client.id)
    }
}

fn judge_assertion(
    asked: &Asked,
    client: &Client,
    keys: &JwkSet,
    signed: &str,
) -> Result<Assertion, BadToken> {
    // SECURITY: the issuer's own identifier and nothing else (RFC 10070); never the token endpoint's address. The type
    // that the RFC adds is demanded, but of a client that was let off it for a while (decision 0004).
    let expected = ExpectedClient {
        client_id: client.handle.as_str(),
        issuer: &asked.org.issuer,
        older_form: client.takes_older_assertions(asked.now),
    };
    let claims = assertion::judge(signed, keys, &expected, asked.now)?;
    Ok(Assertion { expires: claims.remembered_until(), jti: claims.jti })
}

/// Whoever holds an access token of this org, alive, not cut, and used as it is bound.
pub(crate) struct TokenCaller {
    /// The token.
    pub(crate) token: Arc<OwnToken>,
}

impl TokenCaller {
    /// Reads the `Authorization` header (RFC 6750, section 2.1; RFC 9449, section 7.1) and believes nothing else:
    /// no token in a query, nor in a body. `endpoint` is the address a proof must be for.
    pub(crate) async fn authenticate(asked: &Asked, endpoint: &str) -> Result<Self, OAuthError> {
        let realm = asked.org.issuer.as_str();
        if asked.form.find("access_token").is_some() {
            return Err(OAuthError::invalid_request("an access token belongs in the Authorization header"));
        }
        let (scheme, text) = match authorization(asked) {
            Some(found) => found,
            None => {
                return Err(OAuthError::new(ErrorCode::InvalidToken, "an access token is needed here")
                    .challenge(realm, false));
            }
        };
        let refused = |told| OAuthError::new(ErrorCode::InvalidToken, told).challenge(realm, true);
        let token = asked.issuer.own_token(&asked.org, text, asked.now).await?.map_err(|error| {
            asked.issuer.store.count_stranger("unknown access token");
            refused("the access token is not valid here").because(error)
        })?;
        let proven = match scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => {
                let request =
                    Request { method: asked.method.as_str(), uri: endpoint, access_token: Some(text) };
                let proof = asked.issuer.proofs.with_access_token(&asked.headers, &request, asked.now);
                Some(
                    proof
                        .map_err(|error| error.status(http::StatusCode::UNAUTHORIZED).challenge(realm, true))?
                        .key,
                )
            }
        };
        if let Err(bad) = bound(&token.claims, proven) {
            asked.record_refusal_of((&token.place).into(), "proof_missing").await?;
            let told = "the access token is bound to a key and must be used with its proof";
            return Err(refused(told).because(bad));
        }
        if let Some(why) = asked.issuer.store.is_dead(&token.place).await? {
            asked.record_refusal_of((&token.place).into(), "cut").await?;
            return Err(refused("the access token is not valid here").because(why.text()));
        }
        Ok(Self { token })
    }

    /// Refuses a token that is meant for another audience than the issuer itself.
    pub(crate) async fn require_audience(&self, asked: &Asked) -> Result<(), OAuthError> {
        match self.token.claims.aud.has(&asked.org.issuer) {
            true => Ok(()),
            false => Err(self.refused(asked, "audience", "the access token is for another audience").await),
        }
    }

    /// Refuses the token: recorded by this rule, told by this sentence.
    pub(crate) async fn refused(&self, asked: &Asked, rule: &'static str, told: &'static str) -> OAuthError {
        if let Err(failed) = asked.record_refusal_of((&self.token.place).into(), rule).await {
            return failed;
        }
        OAuthError::new(ErrorCode::InvalidToken, told).challenge(&asked.org.issuer, true)
    }
}

enum Scheme {
    Bearer,
    Dpop,
}

/// The one `Authorization` header, if it carries an access token.
fn authorization(asked: &Asked) -> Option<(Scheme, &str)> {
    let mut all = asked.headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    let scheme = match scheme {
        bearer if bearer.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        dpop if dpop.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
        _ => return None,
    };
    Some((scheme, token.trim_start()))
}
