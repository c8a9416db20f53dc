//! What a client says of itself at the https URL that is its `client_id` (Client ID Metadata Documents,
//! draft-ietf-oauth-client-id-metadata-document-02).
//!
//! SECURITY: all of it is a stranger's word. The one thing that is proved is who answers at the host, so that is what people
//! are shown.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use url::{Host, Url};

use super::redirect::{REDIRECT_URI_LEN_MAX, RedirectUri};
use crate::client::{CLIENT_KEYS_MAX, ClientAuthentication};
use crate::jose::JwkSet;
use crate::principal::Handle;

/// The address of a document at most, in bytes: it is a `client_id`, and stands in every token.
pub const DOCUMENT_URL_LEN_MAX: usize = 256;
/// A document at most, in bytes (section 6.6 recommends it).
pub const DOCUMENT_LEN_MAX: usize = 5 * 1024;
/// Redirect URIs of one document: a few apps on a few systems.
pub const REDIRECT_URIS_MAX: usize = 16;
/// The address of a client's keys at most, in bytes: as a redirect URI.
const JWKS_URI_LEN_MAX: usize = REDIRECT_URI_LEN_MAX;
/// A name at most, in characters: it is shown to people beside the host.
const NAME_LEN_MAX: usize = 80;

/// Why a `client_id` is no document's address (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDocumentUrl {
    /// Longer than [`DOCUMENT_URL_LEN_MAX`].
    #[error("it is too long")]
    Long,
    /// Not `https`.
    #[error("it is not an https URL")]
    NotHttps,
    /// It has a user name, a password, a query or a fragment.
    #[error("it has a user name, a password, a query or a fragment")]
    Extra,
    /// Without a path, every page of the host would be one client.
    #[error("it has no path")]
    NoPath,
    /// Another spelling of the same address, which would be another client: dot segments, capitals, a default port.
    #[error("it is not spelled as it is asked for")]
    Spelling,
}

/// Whether a `client_id` means to be the address of a document at all. Short names have no colon.
pub fn is_document(client_id: &str) -> bool {
    client_id.contains("://")
}

/// The address of a client's document: what it is called on the wire, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocumentUrl(Url);

impl DocumentUrl {
    /// Reads a `client_id`.
    ///
    /// # Errors
    /// Where it is no such address (section 3).
    pub fn parse(text: &str) -> Result<Self, BadDocumentUrl> {
        if text.len() > DOCUMENT_URL_LEN_MAX {
            return Err(BadDocumentUrl::Long);
        }
        let url = Url::parse(text).map_err(|_| BadDocumentUrl::NotHttps)?;
        if url.scheme() != "https" {
            return Err(BadDocumentUrl::NotHttps);
        }
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || url.query().is_some() || url.fragment().is_some() {
            return Err(BadDocumentUrl::Extra);
        }
        if url.path() == "/" {
            return Err(BadDocumentUrl::NoPath);
        }
        match url.as_str() == text {
            true => Ok(Self(url)),
            false => Err(BadDocumentUrl::Spelling),
        }
    }

    /// As it is written everywhere.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Who answers there: the host, and the port where it is not 443.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The short name that administrators have for it: of its host, and of all of it.
    pub fn handle(&self) -> Handle {
        let host = self.0.host_str().unwrap_or_default();
        let kept: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(24).collect();
        let hash = digest(&SHA256, self.0.as_str().as_bytes());
        let hash = u32::from_be_bytes(hash.as_ref()[..4].try_into().expect("SHA-256 gives 32 bytes"));
        let text = format!("{}-{hash:08x}", kept.to_ascii_lowercase().replace('.', "-").trim_matches('-'));
        text.parse().unwrap_or_else(|_| format!("document-{hash:08x}").parse().expect("this is a short name"))
    }
}

/// Where documents are taken from: one host, or any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocumentHost(String);

/// Why a text names no host of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no host, such as `client.example` or `client.example:8443`")]
pub struct BadDocumentHost;

impl DocumentHost {
    /// What stands for any host.
    pub const ANY: &'static str = "*";

    /// Reads a host, or [`ANY`](Self::ANY).
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse(text: &str) -> Result<Self, BadDocumentHost> {
        if text == Self::ANY {
            return Ok(Self(text.to_owned()));
        }
        let url: Url = format!("https://{text}/client").parse().map_err(|_| BadDocumentHost)?;
        // A star within a host is no wildcard here, so nobody may think that it is.
        let named = matches!(url.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)))
            && !text.contains('*');
        let read = DocumentUrl::parse(url.as_str()).map_err(|_| BadDocumentHost)?;
        match named && read.host() == text {
            true => Ok(Self(text.to_owned())),
            false => Err(BadDocumentHost),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a document is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// Not the JSON object it should be.
    #[error("it is not the JSON object it should be")]
    Malformed,
    /// It names another `client_id`, or none (section 4.1).
    #[error("its client_id is not the address it is at")]
    Another,
    /// A secret that is published is none (section 4.1).
    #[error("it has a client_secret, or a way to prove itself that needs one")]
    Secret,
    /// It proves itself in a way that is not known here.
    #[error("its token_endpoint_auth_method is neither none nor private_key_jwt")]
    Authentication,
    /// It is to prove itself by a key, and has none, or both a set and an address of one.
    #[error("private_key_jwt needs one of jwks and jwks_uri, and at most {CLIENT_KEYS_MAX} keys")]
    Keys,
    /// No redirect URI, or more than [`REDIRECT_URIS_MAX`], or one that is none.
    #[error("it needs 1 to {REDIRECT_URIS_MAX} redirect_uris: https, or a loopback literal")]
    Redirects,
    /// It does not ask for the authorization code, which is all that it may have.
    #[error("its grant_types are without authorization_code")]
    Grant,
}

/// What a document says, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDocument {
    /// Its name, as it says: its host where it says nothing.
    pub name: String,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// How it proves that it is itself.
    pub authentication: ClientAuthentication,
    /// Whether it asks for refresh tokens.
    pub refreshes: bool,
}

/// What a client says of itself, as it is written (RFC 7591, section 2), at its own address or where it registers. What is not
/// known is ignored.
#[derive(Deserialize)]
pub(super) struct Written {
    pub(super) client_id: Option<String>,
    client_name: Option<String>,
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    pub(super) grant_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    jwks: Option<JwkSet>,
    jwks_uri: Option<String>,
    client_secret: Option<serde_json::Value>,
    client_secret_expires_at: Option<serde_json::Value>,
}

impl Written {
    /// Reads it.
    pub(super) fn read(body: &[u8]) -> Result<Self, BadDocument> {
        crate::jose::json_object(body).ok_or(BadDocument::Malformed)
    }

    /// The name it gives, as that may be shown.
    pub(super) fn name(&self) -> Option<String> {
        self.client_name.as_deref().map(shown).filter(|name| !name.is_empty())
    }

    /// How it proves that it is itself.
    pub(super) fn authentication(&self) -> Result<ClientAuthentication, BadDocument> {
        if self.client_secret.is_some() || self.client_secret_expires_at.is_some() {
            return Err(BadDocument::Secret);
        }
        match (self.token_endpoint_auth_method.as_deref(), (&self.jwks, &self.jwks_uri)) {
            // RFC 7591 has `client_secret_basic` where nothing is said, which nobody may have here.
            (None | Some("none"), _) => Ok(ClientAuthentication::None),
            (Some("private_key_jwt"), (Some(keys), None))
                if (1..=CLIENT_KEYS_MAX).contains(&keys.keys().len()) =>
            {
                Ok(ClientAuthentication::PrivateKeyJwt(keys.clone()))
            }
            (Some("private_key_jwt"), (None, Some(at)))
                if at.starts_with("https://") && at.len() <= JWKS_URI_LEN_MAX =>
            {
                Ok(ClientAuthentication::PrivateKeyJwtAt(at.clone()))
            }
            (Some("private_key_jwt"), _) => Err(BadDocument::Keys),
            (Some(other), _) if other.starts_with("client_secret") => Err(BadDocument::Secret),
            (Some(_), _) => Err(BadDocument::Authentication),
        }
    }
}

impl ClientDocument {
    /// Reads what was answered at `url`.
    ///
    /// # Errors
    /// Where it is no document of that client's.
    pub fn read(url: &DocumentUrl, body: &[u8]) -> Result<Self, BadDocument> {
        let written = Written::read(body)?;
        // SECURITY: compared by the byte (section 4.1), or a document could be served for somebody else's name.
        if written.client_id.as_deref() != Some(url.as_str()) {
            return Err(BadDocument::Another);
        }
        let authentication = written.authentication()?;
        let redirects = &written.redirect_uris;
        let good = redirects.iter().all(|uri| RedirectUri::parse(uri).is_ok());
        if !good || !(1..=REDIRECT_URIS_MAX).contains(&redirects.len()) {
            return Err(BadDocument::Redirects);
        }
        let name = written.name();
        let grants = written.grant_types.unwrap_or_else(|| vec!["authorization_code".to_owned()]);
        let asks = |name: &str| grants.iter().any(|grant| grant == name);
        if !asks("authorization_code") {
            return Err(BadDocument::Grant);
        }
        Ok(Self {
            name: name.unwrap_or_else(|| url.host()),
            redirect_uris: written.redirect_uris,
            authentication,
            refreshes: asks("refresh_token"),
        })
    }
}

/// A name as it may be shown: one line of a few words, without what turns text around.
fn shown(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_invisible(*c));
    let kept: String = kept.take(NAME_LEN_MAX).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that show nothing and change how others are read.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: &str = "https://client.example/oauth/mcp.json";

    fn good() -> Value {
        json!({
            "client_id": AT,
            "client_name": "An editor",
            "redirect_uris": ["http://127.0.0.1/callback", "https://client.example/back"],
            "grant_types": ["authorization_code", "refresh_token"],
        })
    }

    fn read(document: &Value) -> Result<ClientDocument, BadDocument> {
        ClientDocument::read(&DocumentUrl::parse(AT).unwrap(), document.to_string().as_bytes())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut document = good();
        document[name] = value;
        document
    }

    #[test]
    fn an_address_is_one_spelling_of_one_page() {
        let long = format!("https://client.example/{}", "a".repeat(DOCUMENT_URL_LEN_MAX));
        let bad = [
            ("http://client.example/a", BadDocumentUrl::NotHttps),
            ("client.example/a", BadDocumentUrl::NotHttps),
            ("https://client.example", BadDocumentUrl::NoPath),
            ("https://client.example/", BadDocumentUrl::NoPath),
            ("https://client.example/a#b", BadDocumentUrl::Extra),
            ("https://client.example/a?b", BadDocumentUrl::Extra),
            ("https://ada@client.example/a", BadDocumentUrl::Extra),
            ("https://Client.example/a", BadDocumentUrl::Spelling),
            ("https://client.example:443/a", BadDocumentUrl::Spelling),
            ("https://client.example/a/../b", BadDocumentUrl::Spelling),
            ("https://client.example/./b", BadDocumentUrl::Spelling),
            ("https:client.example/b", BadDocumentUrl::Spelling),
            (" https://client.example/b", BadDocumentUrl::Spelling),
            (&long, BadDocumentUrl::Long),
        ];
        for (text, why) in bad {
            assert_eq!(DocumentUrl::parse(text), Err(why), "{text}");
        }
        let url = DocumentUrl::parse("https://client.example:8443/oauth/mcp.json").unwrap();
        assert_eq!(url.host(), "client.example:8443");
        assert!(url.handle().as_str().starts_with("client-example-"), "{}", url.handle());
        assert_ne!(url.handle(), DocumentUrl::parse(AT).unwrap().handle());
    }

    #[test]
    fn a_host_is_a_host_and_nothing_around_it() {
        for good in ["client.example", "client.example:8443", "127.0.0.1:9", "*"] {
            assert_eq!(DocumentHost::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "https://client.example",
            "client.example/a",
            "Client.example",
            "a@b",
            "*.example",
            "a b",
            "A\u{80}",
        ] {
            assert!(DocumentHost::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_says_who_it_is_and_where_answers_go() {
        let read = read(&good()).unwrap();
        assert_eq!((read.name.as_str(), read.refreshes), ("An editor", true));
        assert_eq!(read.authentication, ClientAuthentication::None);
        let silent = json!({ "client_id": AT, "redirect_uris": ["http://127.0.0.1/callback"] });
        let read =
            super::ClientDocument::read(&DocumentUrl::parse(AT).unwrap(), silent.to_string().as_bytes());
        let read = read.unwrap();
        assert_eq!((read.name.as_str(), read.refreshes), ("client.example", false));
    }

    #[test]
    fn what_is_no_document_of_that_client_is_not_taken() {
        let many: Vec<String> =
            (0..=REDIRECT_URIS_MAX).map(|n| format!("https://client.example/{n}")).collect();
        let cases = [
            (with("client_id", json!("https://client.example/other")), BadDocument::Another),
            (with("client_id", json!(7)), BadDocument::Malformed),
            (json!([]), BadDocument::Malformed),
            (with("client_secret", json!("s")), BadDocument::Secret),
            (with("client_secret_expires_at", json!(0)), BadDocument::Secret),
            (with("token_endpoint_auth_method", json!("client_secret_basic")), BadDocument::Secret),
            (with("token_endpoint_auth_method", json!("tls_client_auth")), BadDocument::Authentication),
            (with("token_endpoint_auth_method", json!("private_key_jwt")), BadDocument::Keys),
            (with("redirect_uris", json!([])), BadDocument::Redirects),
            (with("redirect_uris", json!(["http://client.example/back"])), BadDocument::Redirects),
            (with("redirect_uris", json!(["javascript:alert(1)"])), BadDocument::Redirects),
            (with("redirect_uris", json!(many)), BadDocument::Redirects),
            (with("grant_types", json!(["client_credentials"])), BadDocument::Grant),
        ];
        for (document, why) in cases {
            assert_eq!(read(&document), Err(why), "{document}");
        }
    }

    #[test]
    fn a_name_is_one_line_that_reads_as_it_stands() {
        let read = read(&with("client_name", json!("  Ban\u{202e}k\n\tof   ours\u{200b}"))).unwrap();
        assert_eq!(read.name, "Bank of ours");
        let long = super::ClientDocument::read(
            &DocumentUrl::parse(AT).unwrap(),
            with("client_name", json!("x".repeat(500))).to_string().as_bytes(),
        );
        assert_eq!(long.unwrap().name.len(), NAME_LEN_MAX);
    }
}
