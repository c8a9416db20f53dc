//! What a client that registers itself says of itself, and what it is told (RFC 7591, and RFC 7592 for what comes after).
//!
//! SECURITY: all of it is the word of whoever has a token to register with. What they may have is the org's word.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client_document::{BadDocument, REDIRECT_URIS_MAX, Written};
use super::oauth::{GrantType, Scopes};
use super::redirect::{BadRedirect, RedirectUri};
use crate::client::{CLIENT_KEYS_MAX, ClientAuthentication};
use crate::jose::JwkSet;
use crate::secret::{RegistrationToken, Secret};
use crate::time::Timestamp;

/// Why what a client says of itself is not taken. The sentences are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistration {
    /// Not the JSON object it should be.
    #[error("the body is not a JSON object of client metadata, each member of its own type")]
    Malformed,
    /// A redirect URI that cannot be one.
    #[error("a redirect URI cannot be registered: {}", told(.0))]
    Redirect(BadRedirect),
    /// More than [`REDIRECT_URIS_MAX`].
    #[error("there may be {REDIRECT_URIS_MAX} redirect_uris at most")]
    ManyRedirects,
    /// The authorization code without one.
    #[error("authorization_code needs redirect_uris: https, or a loopback literal")]
    NoRedirect,
    /// Nobody has a secret by registering.
    #[error("no secret is given out by registration: use private_key_jwt with jwks or jwks_uri, or none")]
    Secret,
    /// It would prove itself in a way that is not known here.
    #[error("token_endpoint_auth_method is none or private_key_jwt")]
    Authentication,
    /// It is to prove itself by a key, and has none, or both a set and an address of one.
    #[error(
        "private_key_jwt needs one of jwks (1 to {CLIENT_KEYS_MAX} public keys) and jwks_uri (an https address)"
    )]
    Keys,
    /// It acts for nobody but itself, which is no person's yes.
    #[error(
        "client_credentials is not had by registration: an administrator adds a service with its key, hallpass admin client add --kind service"
    )]
    Service,
    /// Long gone.
    #[error("implicit and password are not used here: use authorization_code with PKCE")]
    OutOfDate,
    /// It trades what others were issued.
    #[error(
        "an exchange is not had by registration: an administrator adds the client, or a trust for what runs it"
    )]
    Exchange,
    /// One that is not known.
    #[error(
        "grant_types are authorization_code, refresh_token and urn:ietf:params:oauth:grant-type:device_code"
    )]
    GrantType,
    /// What gives it tokens for the first time is missing.
    #[error("grant_types need authorization_code or urn:ietf:params:oauth:grant-type:device_code")]
    NoGrant,
    /// Not what the grant types come to (RFC 7591, section 2.1).
    #[error("response_types are code with authorization_code, and none without")]
    ResponseTypes,
    /// Not scopes.
    #[error("scope is not a list of scopes with a space between two")]
    Scope,
    /// A statement that somebody signed.
    #[error("no software statement is trusted here: say the same in the metadata itself")]
    Statement,
    /// It says another `client_id`, or none (RFC 7592, section 2.2).
    #[error("client_id must be the one that is changed")]
    Another,
    /// What is never the client's to say (RFC 7592, section 2.2).
    #[error(
        "registration_access_token, registration_client_uri and client_id_issued_at are not the client's to say"
    )]
    NotTheirs,
}

fn told(bad: &BadRedirect) -> String {
    match bad.hint() {
        Some(hint) => format!("{bad}; {hint}"),
        None => bad.to_string(),
    }
}

impl From<BadDocument> for BadRegistration {
    fn from(bad: BadDocument) -> Self {
        match bad {
            BadDocument::Malformed => Self::Malformed,
            BadDocument::Another => Self::Another,
            BadDocument::Secret => Self::Secret,
            BadDocument::Authentication => Self::Authentication,
            BadDocument::Keys => Self::Keys,
            BadDocument::Redirects => Self::NoRedirect,
            BadDocument::Grant => Self::NoGrant,
        }
    }
}

/// What a client asks to be registered as, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name, if it says one.
    pub name: Option<String>,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// What it may use.
    pub grant_types: Vec<GrantType>,
    /// What it may ask for, if it says: all that there is to have where it does not.
    pub scopes: Option<Scopes>,
    /// How it proves that it is itself.
    pub authentication: ClientAuthentication,
}

/// What is said where a client registers, and in no document.
#[derive(Deserialize)]
struct Besides {
    response_types: Option<Vec<String>>,
    scope: Option<String>,
    software_statement: Option<Value>,
    registration_access_token: Option<Value>,
    registration_client_uri: Option<Value>,
    client_id_issued_at: Option<Value>,
}

impl Registration {
    /// Reads what a new client says (RFC 7591, section 3.1). Members that are not known are ignored (section 2).
    ///
    /// # Errors
    /// Where it is not taken.
    pub fn read(body: &[u8]) -> Result<Self, BadRegistration> {
        Self::of(Written::read(body)?, body)
    }

    /// Reads what is to be so of `client_id` from now on (RFC 7592, section 2.2).
    ///
    /// # Errors
    /// Where it is not taken.
    pub fn read_anew(client_id: &str, body: &[u8]) -> Result<Self, BadRegistration> {
        let written = Written::read(body)?;
        if written.client_id.as_deref() != Some(client_id) {
            return Err(BadRegistration::Another);
        }
        Self::of(written, body)
    }

    fn of(written: Written, body: &[u8]) -> Result<Self, BadRegistration> {
        let besides: Besides = crate::jose::json_object(body).ok_or(BadRegistration::Malformed)?;
        if besides.software_statement.is_some() {
            return Err(BadRegistration::Statement);
        }
        let theirs = [
            &besides.registration_access_token,
            &besides.registration_client_uri,
            &besides.client_id_issued_at,
        ];
        if theirs.into_iter().any(Option::is_some) {
            return Err(BadRegistration::NotTheirs);
        }
        let authentication = written.authentication()?;
        let grant_types = grant_types(written.grant_types.as_deref())?;
        let by_code = grant_types.contains(&GrantType::AuthorizationCode);
        let implied: &[&str] = if by_code { &["code"] } else { &[] };
        if besides.response_types.is_some_and(|said| said != implied) {
            return Err(BadRegistration::ResponseTypes);
        }
        // Counted before any is looked at.
        match written.redirect_uris.len() {
            0 if by_code => return Err(BadRegistration::NoRedirect),
            0..=REDIRECT_URIS_MAX => {}
            _ => return Err(BadRegistration::ManyRedirects),
        }
        for uri in &written.redirect_uris {
            RedirectUri::parse(uri).map_err(BadRegistration::Redirect)?;
        }
        let scopes = besides.scope.as_deref().map(Scopes::parse).transpose();
        Ok(Self {
            name: written.name(),
            scopes: scopes.map_err(|_| BadRegistration::Scope)?,
            redirect_uris: written.redirect_uris,
            grant_types,
            authentication,
        })
    }
}

/// Those that a client may have by registering: what needs a person's yes.
fn grant_types(said: Option<&[String]>) -> Result<Vec<GrantType>, BadRegistration> {
    let Some(said) = said else { return Ok(vec![GrantType::AuthorizationCode]) };
    let mut kept = Vec::new();
    for text in said {
        let grant_type = GrantType::parse(text);
        match grant_type {
            GrantType::AuthorizationCode | GrantType::RefreshToken | GrantType::DeviceCode => {
                if !kept.contains(&grant_type) {
                    kept.push(grant_type);
                }
            }
            GrantType::ClientCredentials => return Err(BadRegistration::Service),
            GrantType::TokenExchange | GrantType::JwtBearer => return Err(BadRegistration::Exchange),
            _ if matches!(text.as_str(), "implicit" | "password") => return Err(BadRegistration::OutOfDate),
            _ => return Err(BadRegistration::GrantType),
        }
    }
    match kept.iter().any(|kept| *kept != GrantType::RefreshToken) {
        true => Ok(kept),
        false => Err(BadRegistration::NoGrant),
    }
}

/// What a client is told of its registration (RFC 7591, section 3.2.1; RFC 7592, section 3): what was registered, and nothing
/// that was not.
pub struct Registered<'a> {
    /// Its `client_id`.
    pub client_id: &'a str,
    /// Since when.
    pub issued: Timestamp,
    /// What it manages its registration with.
    pub token: &'a Secret<RegistrationToken>,
    /// Where.
    pub uri: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Where answers may be sent.
    pub redirect_uris: &'a [String],
    /// What it may use.
    pub grant_types: &'a [GrantType],
    /// What it may ask for.
    pub scopes: &'a Scopes,
    /// How it proves that it is itself.
    pub authentication: &'a ClientAuthentication,
}

impl Registered<'_> {
    /// The form that carries it over the wire. SECURITY: for a `no-store` response body alone.
    pub fn reveal(&self) -> RevealedRegistration<'_> {
        let (method, jwks, jwks_uri) = match self.authentication {
            ClientAuthentication::None | ClientAuthentication::Secret => ("none", None, None),
            ClientAuthentication::PrivateKeyJwt(keys) => ("private_key_jwt", Some(keys), None),
            ClientAuthentication::PrivateKeyJwtAt(at) => ("private_key_jwt", None, Some(at.as_str())),
        };
        let by_code = self.grant_types.contains(&GrantType::AuthorizationCode);
        RevealedRegistration {
            client_id: self.client_id,
            client_id_issued_at: self.issued.seconds(),
            registration_access_token: self.token.expose_text(),
            registration_client_uri: self.uri,
            client_name: self.name,
            redirect_uris: self.redirect_uris,
            grant_types: self.grant_types.iter().map(GrantType::text).collect(),
            response_types: if by_code { &["code"] } else { &[] },
            scope: self.scopes.to_string(),
            token_endpoint_auth_method: method,
            jwks,
            jwks_uri,
        }
    }
}

/// A registration with its token shown: made to be written to the wire and dropped.
#[derive(Serialize)]
pub struct RevealedRegistration<'a> {
    client_id: &'a str,
    client_id_issued_at: i64,
    registration_access_token: &'a str,
    registration_client_uri: &'a str,
    client_name: &'a str,
    redirect_uris: &'a [String],
    grant_types: Vec<&'a str>,
    response_types: &'static [&'static str],
    scope: String,
    token_endpoint_auth_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<&'a JwkSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a str>,
}

impl fmt::Debug for RevealedRegistration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<registration of {}>", self.client_id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "client_name": "An editor",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid notes:read",
        })
    }

    fn read(metadata: &Value) -> Result<Registration, BadRegistration> {
        Registration::read(metadata.to_string().as_bytes())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut metadata = good();
        metadata[name] = value;
        metadata
    }

    #[test]
    fn what_is_said_is_read_and_the_unknown_ignored() {
        let read = read(&with("tls_client_auth_subject_dn", json!({ "any": [1] }))).unwrap();
        assert_eq!(read.name.as_deref(), Some("An editor"));
        assert_eq!(read.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
        assert_eq!(read.scopes, Some(Scopes::parse("openid notes:read").unwrap()));
        assert_eq!(read.authentication, ClientAuthentication::None);
        let silent = super::Registration::read(br#"{"redirect_uris":["https://a.example/back"]}"#).unwrap();
        assert_eq!((silent.name, silent.scopes), (None, None));
        assert_eq!(silent.grant_types, [GrantType::AuthorizationCode]);
        let device = json!({ "grant_types": ["urn:ietf:params:oauth:grant-type:device_code"] });
        assert_eq!(super::Registration::read(device.to_string().as_bytes()).unwrap().redirect_uris.len(), 0);
    }

    #[test]
    fn what_cannot_be_registered_is_not_and_says_why() {
        let many: Vec<String> = (0..10_000).map(|n| format!("https://a.example/{n}")).collect();
        let keys = json!({ "keys": [] });
        let cases = [
            (json!([]), BadRegistration::Malformed),
            (with("redirect_uris", json!("https://a.example/")), BadRegistration::Malformed),
            (with("scope", json!(["notes:read"])), BadRegistration::Malformed),
            (
                with("redirect_uris", json!(["javascript:alert(1)"])),
                BadRegistration::Redirect(BadRedirect::Scheme),
            ),
            (
                with("redirect_uris", json!(["https://a.example/#x"])),
                BadRegistration::Redirect(BadRedirect::Fragment),
            ),
            (
                with("redirect_uris", json!(["https://u:p@a.example/"])),
                BadRegistration::Redirect(BadRedirect::Userinfo),
            ),
            (with("redirect_uris", json!(many)), BadRegistration::ManyRedirects),
            (with("redirect_uris", json!([])), BadRegistration::NoRedirect),
            (with("grant_types", json!(["client_credentials"])), BadRegistration::Service),
            (with("grant_types", json!(["implicit"])), BadRegistration::OutOfDate),
            (with("grant_types", json!(["password"])), BadRegistration::OutOfDate),
            (with("grant_types", json!([GrantType::TokenExchange.text()])), BadRegistration::Exchange),
            (with("grant_types", json!(["telepathy"])), BadRegistration::GrantType),
            (with("grant_types", json!(["refresh_token"])), BadRegistration::NoGrant),
            (with("grant_types", json!([])), BadRegistration::NoGrant),
            (with("response_types", json!(["token"])), BadRegistration::ResponseTypes),
            (with("response_types", json!([])), BadRegistration::ResponseTypes),
            (with("token_endpoint_auth_method", json!("client_secret_basic")), BadRegistration::Secret),
            (with("client_secret", json!("x")), BadRegistration::Secret),
            (with("token_endpoint_auth_method", json!("tls_client_auth")), BadRegistration::Authentication),
            (with("token_endpoint_auth_method", json!("private_key_jwt")), BadRegistration::Keys),
            (with("scope", json!("no\"tes")), BadRegistration::Scope),
            (with("software_statement", json!("ey")), BadRegistration::Statement),
            (with("registration_access_token", json!("hpm_")), BadRegistration::NotTheirs),
        ];
        for (metadata, why) in cases {
            assert_eq!(read(&metadata), Err(why), "{metadata:.100}");
        }
        let mut by_key = with("token_endpoint_auth_method", json!("private_key_jwt"));
        for (jwks, jwks_uri) in [(keys, Value::Null), (Value::Null, json!("http://a.example/jwks"))] {
            (by_key["jwks"], by_key["jwks_uri"]) = (jwks, jwks_uri);
            assert_eq!(read(&by_key), Err(BadRegistration::Keys));
        }
        by_key["jwks_uri"] = json!("https://a.example/jwks");
        assert_eq!(
            read(&by_key).unwrap().authentication,
            ClientAuthentication::PrivateKeyJwtAt("https://a.example/jwks".to_owned())
        );
    }

    #[test]
    fn a_change_names_the_client_that_it_is_of() {
        let body = with("client_id", json!("registered-1")).to_string();
        assert!(Registration::read_anew("registered-1", body.as_bytes()).is_ok());
        for other in ["registered-2", ""] {
            assert_eq!(Registration::read_anew(other, body.as_bytes()), Err(BadRegistration::Another));
        }
        let none = good().to_string();
        assert_eq!(Registration::read_anew("registered-1", none.as_bytes()), Err(BadRegistration::Another));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), text in ".*") {
            let _ = Registration::read(&body);
            let _ = read(&with("redirect_uris", json!([text])));
            let _ = read(&with("client_name", json!(text)));
        }
    }
}
