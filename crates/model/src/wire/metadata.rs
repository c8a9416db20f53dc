//! Where an issuer's endpoints are: RFC 8414 and OIDC Discovery, one document for both.

use serde::{Deserialize, Serialize};
use url::Url;

use super::oauth::BadResponse;

/// An issuer identifier at most, in bytes.
const ISSUER_LEN_MAX: usize = 1_000;

/// Why an issuer or its metadata is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIssuer {
    /// Not an https URL without query and fragment (RFC 8414, section 2); http is for loopback alone.
    #[error("it is not an https URL without user, query and fragment")]
    Malformed,
    /// The document names another issuer (RFC 8414, section 3.3).
    #[error("the metadata is another issuer's")]
    Another,
    /// An endpoint is not reached over TLS though the issuer is.
    #[error("the metadata names an endpoint that is not https")]
    Endpoint,
    /// The document is not metadata.
    #[error("the metadata is not the JSON object it should be")]
    Document(#[from] BadResponse),
}

/// Where RFC 8414 (section 3.1) puts the metadata: the well-known segment between host and path.
pub fn rfc8414_url(issuer: &str) -> Result<Url, BadIssuer> {
    let mut url = issuer_url(issuer)?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Ok(url)
}

/// Where OIDC Discovery (section 4) puts it: appended.
pub fn oidc_url(issuer: &str) -> Result<Url, BadIssuer> {
    let mut url = issuer_url(issuer)?;
    let path = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
    url.set_path(&format!("{path}/.well-known/openid-configuration"));
    Ok(url)
}

/// Reads an issuer identifier. The text itself stays what is compared.
pub fn issuer_url(issuer: &str) -> Result<Url, BadIssuer> {
    if issuer.len() > ISSUER_LEN_MAX || issuer.contains(['?', '#', '\\']) || !issuer.is_ascii() {
        return Err(BadIssuer::Malformed);
    }
    let url = Url::parse(issuer).map_err(|_| BadIssuer::Malformed)?;
    let plain = url.username().is_empty() && url.password().is_none();
    let written_so = issuer.starts_with("https://") || issuer.starts_with("http://");
    if plain && written_so && (url.scheme() == "https" || is_loopback(&url)) {
        Ok(url)
    } else {
        Err(BadIssuer::Malformed)
    }
}

/// Whether this is plain http to this very machine, by literal or as `localhost`.
fn is_loopback(url: &Url) -> bool {
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && here
}

/// The metadata document, served and read. Members that are not known are ignored; lists that are missing
/// read as empty, so a caller applies the RFC's default where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerMetadata {
    /// The issuer identifier, byte for byte.
    pub issuer: String,
    /// Where people log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<Url>,
    /// Where tokens are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<Url>,
    /// Where the issuer's keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<Url>,
    /// Where a device login starts (RFC 8628, section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<Url>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<Url>,
    /// Where tokens are introspected (RFC 7662).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<Url>,
    /// Where a client reads who logged in (OIDC Core, section 5.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userinfo_endpoint: Option<Url>,
    /// Where authorization requests are pushed (RFC 9126).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where clients register (RFC 7591).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<Url>,
    /// Where people read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<Url>,
    /// Scopes it knows, if it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// Response types.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    /// Response modes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_modes_supported: Vec<String>,
    /// Grant types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_types_supported: Vec<String>,
    /// How clients prove who they are at the token endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// With which algorithms they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// The same at the revocation endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// The same at the revocation endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// The same at the introspection endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// The same at the introspection endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// PKCE methods. A client that needs PKCE refuses an issuer that does not say `S256`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<String>,
    /// Algorithms of DPoP proofs (RFC 9449, section 5.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Whether `iss` comes with every authorization response (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a `client_id` may be the address of a client's document (Client ID Metadata Documents, section 5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_id_metadata_document_supported: bool,
    /// Whether a request may be passed by reference. Where an issuer does not say, OIDC Discovery (section 3) takes it for yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_uri_parameter_supported: Option<bool>,
    /// Kinds of `sub` (OIDC Discovery, section 3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_types_supported: Vec<String>,
    /// Algorithms of ID tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Claims it may give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims_supported: Vec<String>,
    /// Whether single claims may be asked for (OIDC Core, section 5.5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claims_parameter_supported: bool,
    /// Authentication strengths it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr_values_supported: Vec<String>,
    /// Prompts it knows (OIDC Prompt Create, section 4.2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt_values_supported: Vec<String>,
    /// Ours: whether a device login's poll may be held open with `Prefer: wait` (RFC 7240).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hallpass_device_wait_supported: bool,
    /// Ours: whether a step-up raises the session that is there (RFC 9470), where it is shown by `step_up_token`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hallpass_step_up_supported: bool,
}

impl IssuerMetadata {
    /// Metadata of this issuer that says nothing yet: fill in the rest.
    pub fn new(issuer: impl Into<String>) -> Self {
        let empty = serde_json::json!({ "issuer": issuer.into() });
        serde_json::from_value(empty).expect("every member but the issuer has a default")
    }

    /// Reads the document fetched for `issuer`, which must be the issuer it names, byte for byte (RFC 8414,
    /// section 3.3). Every endpoint must be https, unless the issuer itself is on this machine's loopback.
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, BadIssuer> {
        let own = issuer_url(issuer)?;
        let read: Self = crate::jose::json_object(document).ok_or(BadResponse)?;
        if read.issuer != issuer {
            return Err(BadIssuer::Another);
        }
        let safe = |url: &&Url| url.scheme() == "https" || (is_loopback(&own) && is_loopback(url));
        if read.endpoints().all(|url| safe(&url)) { Ok(read) } else { Err(BadIssuer::Endpoint) }
    }

    /// Every address a program is sent to.
    fn endpoints(&self) -> impl Iterator<Item = &Url> {
        [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.jwks_uri,
            &self.device_authorization_endpoint,
            &self.revocation_endpoint,
            &self.introspection_endpoint,
            &self.userinfo_endpoint,
            &self.pushed_authorization_request_endpoint,
            &self.registration_endpoint,
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn metadata_stands_at_both_places() {
        for (issuer, rfc8414, oidc) in [
            (
                "https://example.com",
                "https://example.com/.well-known/oauth-authorization-server",
                "https://example.com/.well-known/openid-configuration",
            ),
            (
                "https://example.com/issuer1",
                "https://example.com/.well-known/oauth-authorization-server/issuer1",
                "https://example.com/issuer1/.well-known/openid-configuration",
            ),
            (
                "https://example.com/a/b/",
                "https://example.com/.well-known/oauth-authorization-server/a/b",
                "https://example.com/a/b/.well-known/openid-configuration",
            ),
            (
                "http://localhost:8420/acme",
                "http://localhost:8420/.well-known/oauth-authorization-server/acme",
                "http://localhost:8420/acme/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(rfc8414_url(issuer).unwrap().as_str(), rfc8414);
            assert_eq!(oidc_url(issuer).unwrap().as_str(), oidc);
        }
    }

    #[test]
    fn an_issuer_is_an_https_url_or_on_loopback() {
        for good in ["https://a.example", "http://127.0.0.1:1", "http://[::1]:1/a", "http://localhost"] {
            assert!(issuer_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a.example",
            "http://a.example",
            "http://localhost.evil.example",
            "https://a.example?x",
            "https://a.example/?",
            "https://a.example#f",
            "https://u@a.example",
            "https://u:p@a.example",
            "ftp://a.example",
            "https:a.example",
            "https:/a.example",
            "https:\\\\a.example",
            " https://a.example",
            "https://é.example",
        ] {
            assert_eq!(issuer_url(bad), Err(BadIssuer::Malformed), "{bad}");
        }
    }

    #[test]
    fn another_issuer_s_document_is_refused_to_the_byte() {
        let read = |named: &str, asked: &str| {
            IssuerMetadata::parse(json!({ "issuer": named }).to_string().as_bytes(), asked).map(drop)
        };
        assert_eq!(read("https://a.example/x", "https://a.example/x"), Ok(()));
        for named in
            ["https://a.example/x/", "https://A.example/x", "https://a.example:443/x", "https://b.example/x"]
        {
            assert_eq!(read(named, "https://a.example/x"), Err(BadIssuer::Another), "{named}");
        }
    }

    #[test]
    fn an_endpoint_that_is_not_https_is_refused_unless_all_is_on_loopback() {
        let names = [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "device_authorization_endpoint",
            "revocation_endpoint",
            "introspection_endpoint",
            "userinfo_endpoint",
            "pushed_authorization_request_endpoint",
            "registration_endpoint",
        ];
        let read = |issuer: &str, name: &str, url: &str| {
            let document = json!({ "issuer": issuer, name: url }).to_string();
            IssuerMetadata::parse(document.as_bytes(), issuer).map(drop)
        };
        for name in names {
            assert_eq!(read("https://a.example", name, "https://b.example/x"), Ok(()));
            assert_eq!(read("http://localhost:1", name, "http://localhost:1/x"), Ok(()));
            for (issuer, url) in [
                ("https://a.example", "http://a.example/x"),
                ("https://a.example", "http://127.0.0.1/x"),
                ("https://a.example", "file:///etc/passwd"),
                ("https://a.example", "javascript:alert(1)"),
                ("http://localhost:1", "http://a.example/x"),
            ] {
                assert_eq!(read(issuer, name, url), Err(BadIssuer::Endpoint), "{name} {url}");
            }
        }
    }

    #[test]
    fn another_provider_s_document_is_read_and_the_unknown_ignored() {
        // The shape of a large provider's own, shortened.
        let document = json!({
            "issuer": "https://accounts.google.com",
            "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
            "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "response_types_supported": ["code", "token"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "claims_parameter_supported": false,
            "something_new": { "a": [1] },
        });
        let read =
            IssuerMetadata::parse(document.to_string().as_bytes(), "https://accounts.google.com").unwrap();
        assert!(read.code_challenge_methods_supported.iter().any(|m| m == "S256"));
        assert!(!read.authorization_response_iss_parameter_supported);
        assert!(read.revocation_endpoint.is_none() && read.grant_types_supported.is_empty());
    }

    #[test]
    fn what_is_served_reads_back() {
        let issuer = "https://id.example/acme";
        let mut own = IssuerMetadata::new(issuer);
        own.token_endpoint = Some(Url::parse("https://id.example/acme/token").unwrap());
        own.response_types_supported = vec!["code".into()];
        own.authorization_response_iss_parameter_supported = true;
        own.hallpass_device_wait_supported = true;
        own.hallpass_step_up_supported = true;
        let document = serde_json::to_vec(&own).unwrap();
        assert_eq!(IssuerMetadata::parse(&document, issuer), Ok(own));
        let bare = serde_json::to_value(IssuerMetadata::new(issuer)).unwrap();
        assert_eq!(
            bare,
            json!({ "issuer": issuer, "response_types_supported": [], "authorization_response_iss_parameter_supported": false })
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "<html>",
            r#"["https://a.example"]"#,
            r#"{"issuer":"https://a.example","token_endpoint":7}"#,
        ] {
            let read = IssuerMetadata::parse(body.as_bytes(), "https://a.example");
            assert_eq!(read, Err(BadIssuer::Document(BadResponse)), "{body}");
        }
        let twice = br#"{"issuer":"https://b.example","issuer":"https://a.example"}"#;
        assert!(IssuerMetadata::parse(twice, "https://a.example").is_err());
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".*", body in any::<Vec<u8>>()) {
            let _ = (rfc8414_url(&text), oidc_url(&text));
            let _ = IssuerMetadata::parse(&body, &text);
            let _ = IssuerMetadata::parse(Value::String(text).to_string().as_bytes(), "https://a.example");
        }
    }
}
