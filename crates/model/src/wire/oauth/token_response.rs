//! What the token endpoint answers (RFC 6749, section 5.1; RFC 8693, section 2.2.1).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BadResponse, Scopes};
use crate::id::{CredentialId, LeaseId};
use crate::secret::{AccessToken, IdToken, RefreshToken, Secret};
use crate::time::Lifetime;

/// `token_type`: how the token is presented. Case does not count (RFC 6749, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenType {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
    /// `N_A`: what came is no access token (RFC 8693, section 2.2.1).
    NotApplicable,
    /// Another's. A client must not use a token whose type it does not understand (RFC 6749, section 7.1).
    Unknown(String),
}

impl TokenType {
    /// As the wire has it.
    pub fn text(&self) -> &str {
        match self {
            TokenType::Bearer => "Bearer",
            TokenType::Dpop => "DPoP",
            TokenType::NotApplicable => "N_A",
            TokenType::Unknown(text) => text,
        }
    }

    /// Reads the wire's form. Never fails: what is not known is `Unknown`.
    pub fn parse(text: &str) -> Self {
        [TokenType::Bearer, TokenType::Dpop, TokenType::NotApplicable]
            .into_iter()
            .find(|t| t.text().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| TokenType::Unknown(text.to_owned()))
    }
}

text_serde!(TokenType);

/// A successful answer of the token endpoint. It holds secrets, so it is printed and serialized only by
/// `reveal`.
#[derive(Debug)]
pub struct TokenResponse {
    /// The token. After an exchange, of the kind `issued_token_type` says.
    pub access_token: Secret<AccessToken>,
    /// How it is presented.
    pub token_type: TokenType,
    /// How long it lives; unknown if the provider does not say.
    pub expires_in: Option<Lifetime>,
    /// Trades itself for the next one.
    pub refresh_token: Option<Secret<RefreshToken>>,
    /// How long the refresh token lives, if the provider says.
    pub refresh_token_expires_in: Option<Lifetime>,
    /// What was granted; what was asked for if it is missing (RFC 6749, section 5.1).
    pub scope: Option<Scopes>,
    /// Who logged in (OIDC Core, section 3.1.3.3).
    pub id_token: Option<Secret<IdToken>>,
    /// What kind of token was issued (RFC 8693, section 2.2.1).
    pub issued_token_type: Option<String>,
    /// Ours: the lease a run's token is held under.
    pub lease: Option<LeaseId>,
    /// Ours: the run of an agent that the token is of.
    pub run: Option<CredentialId>,
    /// Ours: how long the API key that was exchanged still lives.
    pub api_key_expires_in: Option<Lifetime>,
    /// Ours: how long the session that was raised still lives; there only where one was (RFC 9470).
    pub session_expires_in: Option<Lifetime>,
}

impl TokenResponse {
    /// Reads a provider's answer, tolerantly: lifetimes may be strings, unknown members and a missing `scope`
    /// or `expires_in` are ignored. The body is the caller's to wipe.
    pub fn parse(body: &[u8]) -> Result<Self, BadResponse> {
        let raw: Raw = super::object(body)?;
        if raw.access_token.is_empty() {
            return Err(BadResponse);
        }
        Ok(Self {
            access_token: Secret::from_text(raw.access_token),
            token_type: TokenType::parse(raw.token_type.as_deref().unwrap_or("Bearer")),
            expires_in: raw.expires_in.and_then(Seconds::read),
            refresh_token: raw.refresh_token.filter(|t| !t.is_empty()).map(Secret::from_text),
            refresh_token_expires_in: raw.refresh_token_expires_in.and_then(Seconds::read),
            scope: raw.scope.and_then(Granted::read),
            id_token: raw.id_token.filter(|t| !t.is_empty()).map(Secret::from_text),
            issued_token_type: raw.issued_token_type,
            lease: raw.lease.and_then(|lease| lease.parse().ok()),
            run: raw.run.and_then(|run| run.parse().ok()),
            api_key_expires_in: raw.api_key_expires_in.and_then(Seconds::read),
            session_expires_in: raw.session_expires_in.and_then(Seconds::read),
        })
    }

    /// The form that carries the secrets over the wire. SECURITY: for a `no-store` response body alone.
    pub fn reveal(&self) -> RevealedTokenResponse<'_> {
        RevealedTokenResponse {
            access_token: self.access_token.expose_text(),
            token_type: &self.token_type,
            expires_in: self.expires_in.map(Lifetime::as_seconds),
            refresh_token: self.refresh_token.as_ref().map(Secret::expose_text),
            refresh_token_expires_in: self.refresh_token_expires_in.map(Lifetime::as_seconds),
            scope: self.scope.as_ref(),
            id_token: self.id_token.as_ref().map(Secret::expose_text),
            issued_token_type: self.issued_token_type.as_deref(),
            lease: self.lease,
            run: self.run,
            api_key_expires_in: self.api_key_expires_in.map(Lifetime::as_seconds),
            session_expires_in: self.session_expires_in.map(Lifetime::as_seconds),
        }
    }
}

/// A token response with its secrets shown: made to be written to the wire and dropped.
#[derive(Serialize)]
pub struct RevealedTokenResponse<'a> {
    access_token: &'a str,
    token_type: &'a TokenType,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a Scopes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<CredentialId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_expires_in: Option<i64>,
}

impl fmt::Debug for RevealedTokenResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<token response>")
    }
}

#[derive(Deserialize)]
struct Raw {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
    #[serde(alias = "refresh_expires_in")] // Keycloak's spelling
    refresh_token_expires_in: Option<Seconds>,
    scope: Option<Granted>,
    id_token: Option<String>,
    issued_token_type: Option<String>,
    lease: Option<String>,
    run: Option<String>,
    api_key_expires_in: Option<Seconds>,
    session_expires_in: Option<Seconds>,
}

/// What was granted, as providers write it: with spaces (RFC 6749, section 3.3), with commas, or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Granted {
    Text(String),
    List(Vec<String>),
    Other(serde::de::IgnoredAny),
}

impl Granted {
    /// `None` for what is no list of scopes: what was granted is then what was asked for.
    fn read(self) -> Option<Scopes> {
        match self {
            Granted::Text(text) => Scopes::parse_tolerant(&text.replace(',', " ")).ok(),
            Granted::List(scopes) => Scopes::collect(scopes.iter().map(String::as_str)).ok(),
            Granted::Other(_) => None,
        }
    }
}

/// A number of seconds as providers write it: a number, or a number in a string.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Seconds {
    Whole(i64),
    Fraction(f64),
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl Seconds {
    /// `None` for what is no number: the lifetime is then unknown. Less than nothing is nothing.
    pub(super) fn read(self) -> Option<Lifetime> {
        let seconds = match self {
            Seconds::Whole(n) => n as f64,
            Seconds::Fraction(n) => n,
            Seconds::Text(text) => text.trim().parse::<f64>().ok()?,
            Seconds::Other(_) => return None,
        };
        // `as` saturates, and takes what is not a number for zero.
        seconds.is_finite().then(|| Lifetime::seconds(seconds as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> TokenResponse {
        TokenResponse::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn rfc_6749_section_5_1_s_example_is_read() {
        let response = read(
            r#"{ "access_token":"2YotnFZFEjr1zCsicMWpAA", "token_type":"example", "expires_in":3600,
                 "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA", "example_parameter":"example_value" }"#,
        );
        assert!(response.access_token.matches(b"2YotnFZFEjr1zCsicMWpAA"));
        assert_eq!(response.token_type, TokenType::Unknown("example".into()));
        assert_eq!(response.expires_in, Some(Lifetime::hours(1)));
        assert!(response.refresh_token.unwrap().matches(b"tGzv3JOkF0XG5Qx2TlKWIA"));
    }

    #[test]
    fn other_providers_ways_are_tolerated() {
        let lifetime =
            |json: &str| read(&format!(r#"{{"access_token":"a","expires_in":{json}}}"#)).expires_in;
        for json in ["3600", "\"3600\"", "3600.0", "\" 3600 \""] {
            assert_eq!(lifetime(json), Some(Lifetime::hours(1)), "{json}");
        }
        for json in ["null", "\"soon\"", "\"\"", "[]", "{}", "true", "\"NaN\"", "\"inf\""] {
            assert_eq!(lifetime(json), None, "{json}");
        }
        assert_eq!(lifetime("-5"), Some(Lifetime::seconds(0)));
        let scope = |json: &str| {
            let scope = read(&format!(r#"{{"access_token":"a","scope":{json}}}"#)).scope;
            scope.map(|scope| scope.to_string())
        };
        for json in [r#""repo gist""#, r#""repo,gist""#, r#"" repo, gist ""#, r#"["repo","gist"]"#] {
            assert_eq!(scope(json).as_deref(), Some("repo gist"), "{json}");
        }
        for json in ["null", "7", "{}", r#""a\"b""#, r#"["a b"]"#] {
            assert_eq!(scope(json), None, "{json}");
        }
        assert_eq!(scope(r#""""#).as_deref(), Some(""));
        assert_eq!(lifetime("1e300"), Some(Lifetime::seconds(u32::MAX)));
        for (text, wanted) in [
            ("bearer", TokenType::Bearer),
            ("BEARER", TokenType::Bearer),
            ("dpop", TokenType::Dpop),
            ("n_a", TokenType::NotApplicable),
        ] {
            assert_eq!(read(&format!(r#"{{"access_token":"a","token_type":"{text}"}}"#)).token_type, wanted);
        }
        let bare =
            read(r#"{"access_token":"a","refresh_token":"","scope":"","id_token":null,"lease":"other"}"#);
        assert!(bare.refresh_token.is_none() && bare.id_token.is_none() && bare.lease.is_none());
        assert_eq!((bare.token_type, bare.scope), (TokenType::Bearer, Some(Scopes::none())));
        assert_eq!(
            read(r#"{"access_token":"a","refresh_expires_in":1800}"#).refresh_token_expires_in,
            Some(Lifetime::minutes(30))
        );
    }

    #[test]
    fn a_body_without_a_token_is_no_token_response() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"access_token":""}"#,
            r#"{"access_token":1}"#,
            r#"["a","b"]"#,
            "<html>",
            r#"{"error":"invalid_grant"}"#,
            r#"{"access_token":"a","access_token":"b"}"#,
        ] {
            assert!(TokenResponse::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_revealed_response_reads_back_and_debug_reveals_nothing() {
        let body = r#"{"access_token":"canary1","token_type":"DPoP","expires_in":300,"refresh_token":"canary2","refresh_token_expires_in":60,"scope":"a b","id_token":"canary3","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","lease":"lse_01h455vb4pex5vsknk084sn02q","run":"crd_01h455vb4pex5vsknk084sn02q","api_key_expires_in":86400,"session_expires_in":3600}"#;
        let response = read(body);
        assert_eq!(serde_json::to_string(&response.reveal()).unwrap(), body);
        assert!(!format!("{response:?} {:?}", response.reveal()).contains("canary"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>(), text in ".*") {
            let _ = TokenResponse::parse(&body);
            let quoted = serde_json::to_string(&text).unwrap();
            let _ = TokenResponse::parse(format!(r#"{{"access_token":"a","expires_in":{quoted},"scope":{quoted}}}"#).as_bytes());
        }
    }
}
