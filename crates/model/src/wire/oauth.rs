//! Requests and responses of the OAuth endpoints: the words both ends share.

mod basic;
mod device_authorization;
mod form;
mod introspection;
mod prefer;
mod scopes;
mod token_response;

pub use basic::{BASIC_LEN_MAX, BasicCredentials, read_basic};
pub use device_authorization::{DeviceAuthorization, RevealedDeviceAuthorization};
pub use form::{BadForm, FORM_LEN_MAX, Form};
pub use introspection::IntrospectionResponse;
pub use prefer::PreferWait;
pub use scopes::{BadScopes, SCOPE_LEN_MAX, SCOPES_MAX, Scopes};
pub use token_response::{RevealedTokenResponse, TokenResponse, TokenType};

use std::fmt;

/// A response body that is not what its endpoint should have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is not the JSON object this endpoint should send")]
pub struct BadResponse;

/// `grant_type`: by what a client asks for a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// RFC 6749, section 4.1.
    AuthorizationCode,
    /// RFC 6749, section 6.
    RefreshToken,
    /// RFC 6749, section 4.4.
    ClientCredentials,
    /// RFC 8628.
    DeviceCode,
    /// RFC 8693.
    TokenExchange,
    /// RFC 7523, section 2.1.
    JwtBearer,
    /// Another's, or a later one.
    Unknown(String),
}

impl GrantType {
    /// As the wire has it.
    pub fn text(&self) -> &str {
        match self {
            GrantType::AuthorizationCode => "authorization_code",
            GrantType::RefreshToken => "refresh_token",
            GrantType::ClientCredentials => "client_credentials",
            GrantType::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            GrantType::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            GrantType::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            GrantType::Unknown(text) => text,
        }
    }

    /// Reads the wire's form. Never fails: what is not known is `Unknown`.
    pub fn parse(text: &str) -> Self {
        let known = [
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::ClientCredentials,
            GrantType::DeviceCode,
            GrantType::TokenExchange,
            GrantType::JwtBearer,
        ];
        known.into_iter().find(|g| g.text() == text).unwrap_or_else(|| GrantType::Unknown(text.to_owned()))
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

text_serde!(GrantType);

/// Token type identifiers of RFC 8693, section 3.
pub mod token_type {
    /// An access token.
    pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
    /// A refresh token.
    pub const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// An ID token.
    pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
    /// A JWT of any kind.
    pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    /// Ours: an API key. An identifier is any URI (RFC 8693, section 3), and none is registered for what is opaque, long-lived
    /// and no OAuth token.
    pub const API_KEY: &str = "urn:hallpass:params:oauth:token-type:api-key";
}

/// `prompt` of an authorization request (OIDC Core, section 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prompts {
    /// Ask nobody anything: answer at once or fail.
    pub none: bool,
    /// Prove again who you are.
    pub login: bool,
    /// Ask again whether this is wanted.
    pub consent: bool,
    /// Ask which account.
    pub select_account: bool,
}

/// A `prompt` that contradicts itself or has an unknown value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`prompt` is `none` alone, or any of `login`, `consent` and `select_account`")]
pub struct BadPrompt;

impl Prompts {
    /// Reads the parameter. `none` beside anything else is an error.
    pub fn parse(text: &str) -> Result<Self, BadPrompt> {
        let mut prompts = Prompts::default();
        for word in text.split_ascii_whitespace() {
            match word {
                "none" => prompts.none = true,
                "login" => prompts.login = true,
                "consent" => prompts.consent = true,
                "select_account" => prompts.select_account = true,
                _ => return Err(BadPrompt),
            }
        }
        if prompts.none && (prompts.login || prompts.consent || prompts.select_account) {
            return Err(BadPrompt);
        }
        Ok(prompts)
    }
}

/// Reads a JSON object. A list is not one, though serde would take it for a struct without names.
fn object<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, BadResponse> {
    crate::jose::json_object(body).ok_or(BadResponse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_type_reads_back_and_an_unknown_one_is_kept() {
        for text in [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:token-exchange",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ] {
            let grant_type = GrantType::parse(text);
            assert!(!matches!(grant_type, GrantType::Unknown(_)), "{text}");
            assert_eq!(grant_type.text(), text);
            assert_eq!(
                serde_json::from_str::<GrantType>(&serde_json::to_string(&grant_type).unwrap()).unwrap(),
                grant_type
            );
        }
        for text in ["password", "implicit", "Authorization_Code", ""] {
            assert_eq!(GrantType::parse(text), GrantType::Unknown(text.into()));
        }
    }

    #[test]
    fn prompt_none_stands_alone() {
        assert_eq!(
            Prompts::parse("login consent"),
            Ok(Prompts { login: true, consent: true, ..Prompts::default() })
        );
        assert!(Prompts::parse("none").unwrap().none);
        for bad in ["none login", "consent none", "other", "Login"] {
            assert_eq!(Prompts::parse(bad), Err(BadPrompt), "{bad}");
        }
        assert_eq!(Prompts::parse(""), Ok(Prompts::default()));
    }
}
