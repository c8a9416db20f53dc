//! What both ways by a browser share: the request for a code (RFC 6749, section 4.1), with PKCE (RFC 7636), what counts as
//! its answer, and the trade of that for tokens.

use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{AuthorizationCode, CodeVerifier, Secret};
use hallpass_model::wire::errors::{ErrorCode, OAuthErrorBody};
use hallpass_model::wire::oauth::{Form, GrantType, TokenResponse};
use hallpass_model::wire::pkce::{CodeChallenge, METHOD, code_verifier};
use url::Url;

use super::{Cancelled, Login};
use crate::error::HolderError;
use crate::provider::{Fields, needed};

/// A request that a browser is sent with, and what only we know of it.
pub(super) struct CodeRequest {
    /// Where the browser is sent.
    pub(super) address: Url,
    /// Where it is sent back to.
    pub(super) redirect_uri: String,
    /// What an ID token must repeat, where one is asked for.
    pub(super) nonce: Option<String>,
    state: String,
    verifier: Secret<CodeVerifier>,
}

/// What the answer must agree with.
pub(super) struct Expected<'a> {
    pub(super) state: &'a str,
    pub(super) issuer: &'a str,
    pub(super) issuer_is_named: bool,
    pub(super) path: &'a str,
}

/// An answer that is ours.
pub(super) enum Answered {
    Code(Secret<AuthorizationCode>),
    Error(OAuthErrorBody),
}

impl Login<'_> {
    /// A request whose answer goes to a port of the loopback literal.
    pub(super) async fn code_request(&self, port: u16) -> Result<CodeRequest, HolderError> {
        let url = &self.metadata.authorization_endpoint;
        let url = needed(url, self.metadata, "does not offer sign-in by a browser")?;
        // The literal, never `localhost`, which may lead elsewhere (RFC 8252, section 8.3).
        let redirect_uri = format!("http://127.0.0.1:{port}{}", self.preset.redirect_path);
        let (state, verifier) = (unguessable(), code_verifier(&SystemEntropy));
        let nonce = self.scopes.has("openid").then(unguessable);
        let asked = match self.raises {
            Some(_) => self.client.proven_in(self.asked(), self.metadata),
            None => self.client.id_in(self.asked()),
        };
        let mut fields = asked
            .with("response_type", "code")
            .with("redirect_uri", redirect_uri.as_str())
            .with("state", state.as_str())
            .with("code_challenge", CodeChallenge::of(&verifier).to_string())
            .with("code_challenge_method", METHOD)
            .with_some("nonce", nonce.as_deref());
        for (name, value) in self.preset.authorize_extra {
            fields = fields.with(name, *value);
        }
        // What shows the session that is to be raised is no part of an address.
        let fields = if self.raises.is_some() { self.pushed(fields).await? } else { fields };
        let mut address = url.clone();
        let own = address.query().map(|query| format!("{query}&")).unwrap_or_default();
        address.set_query(Some(&format!("{own}{}", fields.query())));
        Ok(CodeRequest { address, redirect_uri, nonce, state, verifier })
    }

    /// What its answer must agree with.
    pub(super) fn expected_of<'a>(&'a self, request: &'a CodeRequest) -> Expected<'a> {
        Expected {
            state: &request.state,
            issuer: &self.metadata.issuer,
            issuer_is_named: self.metadata.authorization_response_iss_parameter_supported,
            path: self.preset.redirect_path,
        }
    }

    /// Trades the code for tokens.
    pub(super) async fn redeem(
        &self,
        request: &CodeRequest,
        code: &Secret<AuthorizationCode>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<TokenResponse, HolderError> {
        let form = Fields::new()
            .with("grant_type", GrantType::AuthorizationCode.text())
            .with_secret("code", code)
            .with("redirect_uri", request.redirect_uri.as_str())
            .with_secret("code_verifier", &request.verifier);
        let form = self.client.proven_in(self.redeemed_for(form), self.metadata);
        let mut redeeming = std::pin::pin!(self.provider.token(self.metadata, &form, self.with()));
        let redeemed = tokio::select! {
            redeemed = &mut redeeming => redeemed,
            () = cancelled.as_mut() => {
                self.give_back_what_comes(redeeming).await;
                return Err(HolderError::Cancelled);
            }
        };
        let place = self.metadata.token_endpoint.as_ref().unwrap_or(&request.address);
        redeemed.map_err(|none| none.into_error(place, &self.metadata.issuer))
    }
}

impl Expected<'_> {
    /// Judges the query of a redirect. `None` if it is not an answer to our request at all.
    pub(super) fn judge(&self, query: &str) -> Option<Result<Answered, HolderError>> {
        let form = Form::parse(query.as_bytes()).ok()?;
        // SECURITY: before anything is sent or shown. Compared whole, in constant time, though it is used once.
        let state = Secret::<AuthorizationCode>::from_text(form.find("state")?.to_owned());
        if !state.matches(self.state.as_bytes()) {
            return None;
        }
        let not_believed = |why: &str| Some(Err(HolderError::NotBelieved { why: why.to_owned() }));
        match form.find("iss") {
            Some(issuer) if issuer != self.issuer => {
                return not_believed("it names another issuer");
            }
            None if self.issuer_is_named => {
                return not_believed("it does not name the issuer, though this issuer always does");
            }
            _ => {}
        }
        match (form.find("code"), form.find("error")) {
            (Some(code), None) => Some(Ok(Answered::Code(Secret::from_text(code.to_owned())))),
            (None, Some(error)) => {
                let told = form.find("error_description").unwrap_or_default();
                let mut body = OAuthErrorBody::new(ErrorCode::parse(error), told);
                if told.is_empty() {
                    body.error_description = None;
                }
                Some(Ok(Answered::Error(body)))
            }
            _ => not_believed("it has neither a code nor an error"),
        }
    }
}

#[cfg(test)]
impl CodeRequest {
    pub(super) fn for_tests(address: &str, redirect_uri: &str, state: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            redirect_uri: redirect_uri.into(),
            nonce: None,
            state: state.into(),
            verifier: code_verifier(&SystemEntropy),
        }
    }
}

fn unguessable() -> String {
    let mut bytes = [0u8; 32];
    SystemEntropy.fill(&mut bytes);
    base64url::render(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { state: "s1", issuer: "https://id.example", issuer_is_named: true, path: "/callback" };

    #[test]
    fn only_an_answer_with_our_state_counts() {
        for query in ["", "code=c", "code=c&state=s2", "code=c&state=s", "code=c&state=s1&state=s1", "%zz"] {
            assert!(EXPECTED.judge(query).is_none(), "{query}");
        }
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        let good = "code=c&state=s1&iss=https%3A%2F%2Fid.example";
        assert!(matches!(EXPECTED.judge(good), Some(Ok(Answered::Code(_)))));
        for query in
            ["code=c&state=s1", "code=c&state=s1&iss=https%3A%2F%2Fid.example%2F", "code=c&state=s1&iss=x"]
        {
            assert!(matches!(EXPECTED.judge(query), Some(Err(HolderError::NotBelieved { .. }))), "{query}");
        }
        let silent = Expected { issuer_is_named: false, ..EXPECTED };
        assert!(matches!(silent.judge("code=c&state=s1"), Some(Ok(_))));
        assert!(matches!(silent.judge("code=c&state=s1&iss=x"), Some(Err(_))));
    }

    #[test]
    fn an_error_is_an_answer_too() {
        let query = "error=access_denied&state=s1&iss=https%3A%2F%2Fid.example&error_description=no";
        assert!(
            matches!(EXPECTED.judge(query), Some(Ok(Answered::Error(body))) if body.error == ErrorCode::AccessDenied)
        );
        let both = "error=x&code=c&state=s1&iss=https%3A%2F%2Fid.example";
        assert!(matches!(EXPECTED.judge(both), Some(Err(_))));
    }
}
