//! What a request shows of the client that sent it: which it is, and one means of proof (RFC 6749, section 2.3).

use hallpass_model::jose::peek_unverified;
use hallpass_model::secret::{ClientSecret, Secret};
use hallpass_model::wire::oauth::{BadForm, read_basic};
use http::header::AUTHORIZATION;

use super::refused;
use crate::error::OAuthError;
use crate::form::Asked;

/// What a request shows. Nothing of it is believed yet.
pub(super) struct Presented<'a> {
    /// The client it says it is.
    pub(super) client_id: String,
    /// By what it would prove that.
    pub(super) means: Means<'a>,
}

/// By what a client would prove who it is.
pub(super) enum Means<'a> {
    /// By nothing: a public client.
    Nothing,
    /// By an assertion.
    Assertion(&'a str),
    /// By a secret: in the header, or in the body.
    Secret(Secret<ClientSecret>),
}

impl<'a> Presented<'a> {
    /// Reads it. More than one means is an error (RFC 6749, section 2.3), and so are two names.
    pub(super) fn read(asked: &'a Asked) -> Result<Self, OAuthError> {
        let named = asked.form.find("client_id");
        let assertion = asked.form.find("client_assertion");
        let posted = asked.form.secret::<ClientSecret>("client_secret");
        let in_header = asked.headers.contains_key(AUTHORIZATION);
        if [assertion.is_some(), posted.is_some(), in_header].into_iter().filter(|is| *is).count() > 1 {
            return Err(OAuthError::invalid_request(
                "a client proves who it is by one means, not by several",
            ));
        }
        if in_header {
            return Self::in_header(asked, named);
        }
        let means = match (assertion, posted) {
            (Some(signed), _) => Means::Assertion(signed),
            (None, Some(secret)) => Means::Secret(secret),
            (None, None) => Means::Nothing,
        };
        let client_id = match (named, assertion) {
            (Some(id), _) => id.to_owned(),
            // RFC 7521, section 4.2: the assertion names the client. Believed only once verified.
            (None, Some(signed)) => {
                let said =
                    peek_unverified(signed).map_err(|bad| OAuthError::invalid_client().because(bad))?;
                said.issuer.ok_or_else(|| refused("an assertion without an issuer"))?
            }
            (None, None) => return Err(OAuthError::from(BadForm::Missing("client_id"))),
        };
        Ok(Self { client_id, means })
    }

    fn in_header(asked: &Asked, named: Option<&str>) -> Result<Self, OAuthError> {
        let mut all = asked.headers.get_all(AUTHORIZATION).iter();
        let only = match (all.next(), all.next()) {
            (Some(only), None) => only.to_str().ok(),
            _ => None,
        };
        let Some(basic) = only.and_then(read_basic) else {
            asked.issuer.store.count_stranger("authorization header");
            return Err(refused("an Authorization header that is not Basic"));
        };
        if named.is_some_and(|named| named != basic.client_id) {
            return Err(refused("one client in the header and another in the body"));
        }
        let means = basic.secret.map_or(Means::Nothing, Means::Secret);
        Ok(Self { client_id: basic.client_id, means })
    }
}
