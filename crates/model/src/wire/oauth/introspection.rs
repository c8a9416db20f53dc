//! What the introspection endpoint answers (RFC 7662, section 2.2).

use serde::{Deserialize, Serialize};

use super::{BadResponse, Scopes, TokenType};
use crate::wire::claims::{AccessClaims, Act, Audience, Cnf};

/// Whether a token is good, and only then what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntrospectionResponse {
    /// Whether it is good now. If not, nothing else is said (section 2.2).
    pub active: bool,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scopes>,
    /// The client it was issued to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// How it is presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<TokenType>,
    /// When it is over, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was issued, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// When it begins, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The session it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When the person last proved who they are, in whole seconds (RFC 9470, section 6.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How strongly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The key it is bound to (RFC 9449, section 6.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Cnf>,
    /// Who acts for the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The device it is held on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// The issue stamp, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ist: Option<i64>,
    /// Ancestors that stand in no other claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lin: Vec<String>,
}

impl IntrospectionResponse {
    /// The one answer for a token that is unknown, over, cut, or not the caller's to know of.
    pub fn inactive() -> Self {
        Self::default()
    }

    /// The answer for a good access token: what it says.
    pub fn active(claims: AccessClaims) -> Self {
        let token_type = if claims.cnf.is_some() { TokenType::Dpop } else { TokenType::Bearer };
        Self {
            active: true,
            scope: (!claims.scope.is_empty()).then_some(claims.scope),
            client_id: Some(claims.client_id),
            token_type: Some(token_type),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            nbf: claims.nbf,
            sub: Some(claims.sub),
            aud: Some(claims.aud),
            iss: Some(claims.iss),
            jti: Some(claims.jti),
            sid: claims.sid,
            auth_time: claims.auth_time,
            acr: claims.acr,
            amr: claims.amr,
            cnf: claims.cnf,
            act: claims.act,
            purpose: claims.purpose,
            dev: claims.dev,
            ist: claims.ist,
            lin: claims.lin,
        }
    }

    /// Reads an answer. What an inactive one says besides is dropped.
    pub fn parse(body: &[u8]) -> Result<Self, BadResponse> {
        let response: Self = super::object(body)?;
        Ok(if response.active { response } else { Self::inactive() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::claims::sample;

    #[test]
    fn an_inactive_token_is_said_to_be_so_and_nothing_else() {
        assert_eq!(serde_json::to_string(&IntrospectionResponse::inactive()).unwrap(), r#"{"active":false}"#);
        let chatty = br#"{"active":false,"sub":"ann","exp":1}"#;
        assert_eq!(IntrospectionResponse::parse(chatty), Ok(IntrospectionResponse::inactive()));
    }

    #[test]
    fn an_active_one_says_what_the_token_says_its_binding_included() {
        let claims = sample::access();
        let answer = serde_json::to_value(IntrospectionResponse::active(claims.clone())).unwrap();
        let own = serde_json::to_value(&claims).unwrap();
        for (name, value) in own.as_object().unwrap() {
            assert_eq!(&answer[name], value, "{name}");
        }
        assert_eq!(answer["active"], true);
        assert_eq!(answer["token_type"], "DPoP");
        assert_eq!(answer.as_object().unwrap().len(), own.as_object().unwrap().len() + 2);
        let bytes = serde_json::to_vec(&answer).unwrap();
        assert_eq!(IntrospectionResponse::parse(&bytes), Ok(IntrospectionResponse::active(claims)));
    }

    #[test]
    fn rfc_7662_section_2_2_s_example_is_read() {
        let body = br#"{ "active": true, "client_id": "l238j323ds-23ij4", "username": "jdoe",
            "scope": "read write dolphin", "sub": "Z5O3upPC88QrAjx00dis",
            "aud": "https://protected.example.net/resource", "iss": "https://server.example.com/",
            "exp": 1419356238, "iat": 1419350238, "extension_field": "twenty-seven" }"#;
        let read = IntrospectionResponse::parse(body).unwrap();
        assert!(read.active && read.scope.unwrap().has("dolphin"));
        assert_eq!(read.exp, Some(1_419_356_238));
        assert!(IntrospectionResponse::parse(b"{}").is_err());
        assert!(IntrospectionResponse::parse(b"[true]").is_err());
    }
}
