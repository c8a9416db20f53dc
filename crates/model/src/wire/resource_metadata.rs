//! What an API says of itself: whose tokens it takes, and how (RFC 9728).

use serde::{Deserialize, Serialize};
use url::Url;

/// Where the document stands, before the path of the resource (RFC 9728, section 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// A document at most, in bytes: ours have a hundredth of it.
pub const RESOURCE_METADATA_LEN_MAX: usize = 64 * 1024;

/// The document of a protected resource (section 2). What is not known is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceMetadata {
    /// Which resource: the `aud` of tokens for it.
    pub resource: String,
    /// The issuers whose tokens it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// Scopes it understands, if it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// How a bearer token may come to it: `header`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bearer_methods_supported: Vec<String>,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Algorithms of the proofs it takes (RFC 9449), if it takes any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Whether it takes nothing but tokens with a proof.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens_required: bool,
}

/// Why a document is not that of an API that is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResourceMetadata {
    /// Not the JSON object it should be.
    #[error("it is not the JSON object it should be")]
    Malformed,
    /// It is another resource's (section 3.3).
    #[error("it is of `{0}`")]
    Another(String),
}

impl ResourceMetadata {
    /// Where the document of this resource is (section 3.1): the well-known segment between host and path. `None` where the
    /// resource has no address.
    pub fn url_of(resource: &str) -> Option<Url> {
        let mut url = Url::parse(resource).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
        let path = url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
        url.set_path(&format!("{WELL_KNOWN}{path}"));
        url.set_fragment(None);
        Some(url)
    }

    /// Reads the document that was found for the API at `asked`.
    ///
    /// SECURITY: the resource must be what is asked, or something that it is below of, path segment by path segment: a document
    /// that names another API would have a token for that one sent here (section 7.3).
    ///
    /// # Errors
    /// Where it is none, or another's.
    pub fn read(document: &[u8], asked: &Url) -> Result<Self, BadResourceMetadata> {
        let read: Self = serde_json::from_slice(document).map_err(|_| BadResourceMetadata::Malformed)?;
        match Url::parse(&read.resource).is_ok_and(|resource| is_below(asked, &resource)) {
            true => Ok(read),
            false => Err(BadResourceMetadata::Another(read.resource.chars().take(200).collect())),
        }
    }

    /// Whether it takes tokens that are bound to a key.
    pub fn takes_proofs(&self) -> bool {
        self.dpop_bound_access_tokens_required || !self.dpop_signing_alg_values_supported.is_empty()
    }
}

/// Whether an address is a resource's own, or below it: what is asked there may be sent a token for that resource.
pub fn is_below(asked: &Url, resource: &Url) -> bool {
    let path = resource.path().strip_suffix('/').unwrap_or(resource.path());
    let rest = asked.path().strip_prefix(path);
    let queries = resource.query().is_none() || resource.query() == asked.query();
    asked.origin() == resource.origin()
        && queries
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_segment_stands_before_the_path() {
        let at = |resource: &str| ResourceMetadata::url_of(resource).map(String::from);
        let expected = "https://api.example/.well-known/oauth-protected-resource";
        assert_eq!(at("https://api.example").as_deref(), Some(expected));
        assert_eq!(at("https://api.example/").as_deref(), Some(expected));
        assert_eq!(at("https://api.example/mcp"), Some(format!("{expected}/mcp")));
        assert_eq!(at("https://api.example/a/mcp?x=1"), Some(format!("{expected}/a/mcp?x=1")));
        assert_eq!(at("urn:notes"), None);
    }

    #[test]
    fn a_document_is_of_the_api_that_is_asked_or_of_what_is_above_it() {
        let read = |resource: &str, asked: &str| {
            let document = serde_json::json!({ "resource": resource, "unknown": 1 }).to_string();
            ResourceMetadata::read(document.as_bytes(), &asked.parse().unwrap())
        };
        let asked = "https://api.example/team/mcp";
        for good in [asked, "https://api.example/team", "https://api.example/team/", "https://api.example"] {
            assert!(read(good, asked).is_ok(), "{good}");
        }
        for another in [
            "https://other.example/team/mcp",
            "https://api.example:8443/team/mcp",
            "http://api.example/team/mcp",
            "https://api.example/te",
            "https://api.example/team/mcp/more",
            "https://api.example/team/mcp?x=1",
            "notes",
        ] {
            assert_eq!(read(another, asked), Err(BadResourceMetadata::Another(another.to_owned())));
        }
        assert_eq!(
            ResourceMetadata::read(b"[]", &asked.parse().unwrap()),
            Err(BadResourceMetadata::Malformed)
        );
    }
}
