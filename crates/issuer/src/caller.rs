//! Who is calling: a client that says who it is and proves it where it can, or whoever holds an access token.

mod presented; // what a request shows of the client that sent it

use std::sync::Arc;

use hallpass_model::client::{Client, ClientAuthentication, ClientKind};
use hallpass_model::jose::{BadToken, JwkSet, peek_unverified};
use hallpass_model::ledger::Actor;
use hallpass_model::principal::Standing;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::secret::{ClientSecret, Secret};
use hallpass_model::spelling::{self, Prefix, RANDOM_BYTES};
use hallpass_model::verifier::bound;
use hallpass_model::wire::assertion::{self, ASSERTION_TYPE, ExpectedClient};
use hallpass_model::wire::dpop::Request;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::GrantType;
use hallpass_store::{Assertion, ClientProof, NoteSecretUse, RefreshTokens, SpendAssertion};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::error::OAuthError;
use crate::form::Asked;
use crate::tokens::OwnToken;
use presented::{Means, Presented};

/// A client of the org at whose endpoint the request came, in use, that proved who it is if it can.
pub(crate) struct ClientCaller {
    /// Its row.
    pub(crate) client: Arc<Client>,
    /// How it proved who it is; nothing for a public client. An assertion is not yet used up.
    pub(crate) proof: Option<ClientProof>,
}

impl ClientCaller {
    /// Finds out which client asks (RFC 6749, section 2.3; RFC 7523, section 2.2).
    ///
    /// SECURITY: every failure is the same error, so that nobody learns which clients exist. An assertion is
    /// verified here and not yet used up: call [`ClientCaller::use_up`] before anything changes.
    pub(crate) async fn authenticate(asked: &Asked) -> Result<Self, OAuthError> {
        let presented = match Presented::read(asked) {
            Ok(presented) => presented,
            Err(error) => return Err(challenged(asked, error)),
        };
        Self::known(asked, presented).await.map_err(|error| challenged(asked, error))
    }

    async fn known(asked: &Asked, presented: Presented<'_>) -> Result<Self, OAuthError> {
        let client =
            asked.issuer.store.find_client_by_client_id(asked.org.id(), &presented.client_id).await?;
        let Some(client) = client else {
            asked.issuer.store.count_stranger("unknown client");
            return Err(refused("unknown client"));
        };
        if let Standing::Disabled(_) = client.standing {
            asked.record_refusal(client.id, "disabled").await?;
            return Err(refused("a disabled client"));
        }
        let proof = match presented.means {
            Means::Nothing if client.is_public() => None,
            Means::Nothing => {
                asked.record_refusal(client.id, "client_assertion_missing").await?;
                return Err(refused("neither an assertion nor a secret"));
            }
            Means::Secret(secret) => Some(by_secret(asked, &client, &secret).await?),
            Means::Assertion(signed) => Some(by_assertion(asked, &client, signed).await?),
        };
        if let Standing::Suspended(since) = client.standing {
            asked.record_refusal(client.id, "suspended").await?;
            // SECURITY: only who proved to be this client is told that, and why.
            return Err(match client.is_public() {
                true => refused("a suspended client"),
                false => OAuthError::suspended(since, &asked.org.org.name).because("a suspended client"),
            });
        }
        Ok(Self { client, proof })
    }

    /// Uses an assertion up, where there was one: good once (RFC 7523, section 3, check 7). Of a secret it is noted that it
    /// was used, now and then.
    pub(crate) async fn use_up(&self, asked: &Asked) -> Result<(), OAuthError> {
        match &self.proof {
            Some(ClientProof::Assertion(assertion)) => {
                let spend = SpendAssertion {
                    org: asked.org.id(),
                    client: self.client.id,
                    assertion: assertion.clone(),
                };
                match asked.issuer.store.change(self.actor(), asked.now, spend).await? {
                    true => Ok(()),
                    false => Err(refused("an assertion that was used before")),
                }
            }
            Some(ClientProof::Secret(used)) if used.note => {
                let note = NoteSecretUse { client: self.client.id, used: *used };
                Ok(asked.issuer.store.change(self.actor(), asked.now, note).await?)
            }
            Some(ClientProof::Secret(_)) | None => Ok(()),
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

fn refused(why: &'static str) -> OAuthError {
    OAuthError::invalid_client().because(why)
}

/// RFC 6749, section 5.2: whoever tried the header is answered in its scheme.
fn challenged(asked: &Asked, error: OAuthError) -> OAuthError {
    let tried = asked.headers.contains_key(AUTHORIZATION);
    match error.code() {
        ErrorCode::InvalidClient if tried => error.header(WWW_AUTHENTICATE, "Basic realm=\"token\""),
        _ => error,
    }
}

async fn by_secret(
    asked: &Asked,
    client: &Client,
    secret: &Secret<ClientSecret>,
) -> Result<ClientProof, OAuthError> {
    if let Some(used) = asked.issuer.store.match_client_secret(client, secret, asked.now) {
        return Ok(ClientProof::Secret(used));
    }
    asked.record_refusal(client.id, "client_secret").await?;
    // For the operator's trace: a secret that was cut short is another mistake than one that is over.
    let spelled = secret.as_text().map(|text| spelling::parse::<RANDOM_BYTES>(Prefix::ClientSecret, text));
    Err(match spelled {
        Some(Err(bad)) => OAuthError::invalid_client().because(bad),
        _ => refused("a secret that is over, or another's"),
    })
}

async fn by_assertion(asked: &Asked, client: &Client, signed: &str) -> Result<ClientProof, OAuthError> {
    let judged = if asked.form.find("client_assertion_type") != Some(ASSERTION_TYPE) {
        Err(refused("an unknown client_assertion_type"))
    } else {
        match &client.authentication {
            ClientAuthentication::None => Err(refused("a public client with an assertion")),
            ClientAuthentication::Secret => Err(refused("an assertion of a client without a key")),
            ClientAuthentication::PrivateKeyJwt(keys) => Ok(judge_assertion(asked, client, keys, signed)),
            ClientAuthentication::PrivateKeyJwtAt(url) => {
                let kid = peek_unverified(signed).ok().and_then(|said| said.kid);
                let keys = asked.issuer.outside.keys_at(url, kid.as_deref()).await;
                let keys = keys.map_err(|error| {
                    let told = "the client's keys cannot be fetched from its jwks_uri now; try again";
                    OAuthError::new(ErrorCode::TemporarilyUnavailable, told).because(error)
                })?;
                Ok(judge_assertion(asked, client, &keys, signed))
            }
        }
    };
    // The operator, who can do something about it, learns that only the type is the older one.
    let (rule, error) = match judged {
        Ok(Ok(assertion)) => return Ok(ClientProof::Assertion(assertion)),
        Ok(Err(BadToken::Type)) => {
            ("client_assertion_type", OAuthError::invalid_client().because(BadToken::Type))
        }
        Ok(Err(bad)) => ("client_assertion", OAuthError::invalid_client().because(bad)),
        Err(error) => ("client_assertion", error),
    };
    asked.record_refusal(client.id, rule).await?;
    Err(error)
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
        client_id: client.client_id(),
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

/// What the one `Authorization` header carries by the Bearer scheme, whatever it is (RFC 6750, section 2.1).
pub(crate) fn bearer(asked: &Asked) -> Option<&str> {
    authorization(asked).and_then(|(scheme, text)| matches!(scheme, Scheme::Bearer).then_some(text))
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
