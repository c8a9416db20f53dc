//! A provider's endpoints, as somebody names them by hand: of a provider that publishes no metadata, or not all of it.

use hallpass_model::wire::metadata::{BadIssuer, IssuerMetadata, issuer_url};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::HolderError;
use crate::provider::is_loopback;

/// An address at most, in bytes: a path and a tenant, and room beside them.
const ADDRESS_LEN_MAX: usize = 2_048;
/// How a client with a secret proves who it is where nobody says: those that publish no metadata read it in the form.
const AUTH_METHOD: &str = "client_secret_post";

/// A provider's endpoints, each an address (https, or http to this very machine). Where the token endpoint is named, these are
/// all there are, and nothing is looked up; otherwise they stand in the place of what the issuer's metadata say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Where a browser is sent (RFC 6749, section 3.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// Where tokens are given (RFC 6749, section 3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where a sign-in by a code begins (RFC 8628, section 3.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization: Option<String>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
    /// Where it says who signed in (OIDC Core, section 5.3), in whatever words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo: Option<String>,
}

impl Endpoints {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, named)| named.is_none())
    }

    /// These, and those of `others` where there is none of these.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            authorization: self.authorization.or(others.authorization),
            token: self.token.or(others.token),
            device_authorization: self.device_authorization.or(others.device_authorization),
            revocation: self.revocation.or(others.revocation),
            userinfo: self.userinfo.or(others.userinfo),
        }
    }

    /// Metadata that say nothing else, where the token endpoint is named.
    pub(crate) fn alone(&self, issuer: &str) -> Result<Option<IssuerMetadata>, HolderError> {
        if self.token.is_none() {
            return Ok(None);
        }
        let bad = |why: BadIssuer| HolderError::BadIssuer { issuer: plain(issuer), why };
        issuer_url(issuer).map_err(bad)?;
        let mut metadata = IssuerMetadata::new(issuer);
        metadata.token_endpoint_auth_methods_supported = vec![AUTH_METHOD.into()];
        self.put_into(&mut metadata)?;
        if metadata.authorization_endpoint.is_none() && metadata.device_authorization_endpoint.is_none() {
            let what = "with `--token-endpoint` nothing is looked up: name where a person signs in too, by \
                        `--device-authorization-endpoint` or `--authorization-endpoint`";
            return Err(HolderError::Usage { what: what.into() });
        }
        Ok(Some(metadata))
    }

    /// Puts them in the place of what metadata say.
    pub(crate) fn put_into(&self, metadata: &mut IssuerMetadata) -> Result<(), HolderError> {
        let places = [
            &mut metadata.authorization_endpoint,
            &mut metadata.token_endpoint,
            &mut metadata.device_authorization_endpoint,
            &mut metadata.revocation_endpoint,
            &mut metadata.userinfo_endpoint,
        ];
        for (place, (name, named)) in places.into_iter().zip(self.named()) {
            if let Some(address) = named {
                *place = Some(judge(name, address)?);
            }
        }
        Ok(())
    }

    fn named(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("authorization", self.authorization.as_ref()),
            ("token", self.token.as_ref()),
            ("device authorization", self.device_authorization.as_ref()),
            ("revocation", self.revocation.as_ref()),
            ("userinfo", self.userinfo.as_ref()),
        ]
    }
}

/// SECURITY: tokens and codes go there.
fn judge(name: &str, address: &str) -> Result<Url, HolderError> {
    let bad = |why: &str| HolderError::Usage {
        what: format!("`{}` cannot be the {name} endpoint: {why}", plain(address)),
    };
    if address.len() > ADDRESS_LEN_MAX || !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("it is no address"));
    }
    let url = Url::parse(address).map_err(|_| bad("it is no address"))?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(bad("it is not https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("it has a name, a password or a fragment in it"));
    }
    Ok(url)
}

fn plain(text: &str) -> String {
    hallpass_model::purpose::plain(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://git.example";

    fn some(address: &str) -> Option<String> {
        Some(address.into())
    }

    #[test]
    fn a_token_endpoint_stands_for_all_metadata_and_needs_a_place_to_sign_in() {
        let at = |path: &str| Some(format!("{ISSUER}/{path}"));
        let token = Endpoints { token: at("token"), ..Endpoints::default() };
        assert!(!token.is_empty() && Endpoints::default().is_empty());
        let lacking = token.alone(ISSUER).unwrap_err().to_string();
        assert!(lacking.contains("--device-authorization-endpoint"), "{lacking}");
        for whole in [
            Endpoints { device_authorization: at("device"), ..token.clone() },
            Endpoints { authorization: at("authorize"), ..token.clone() },
        ] {
            let metadata = whole.alone(ISSUER).unwrap().unwrap();
            assert_eq!(metadata.token_endpoint.unwrap().as_str(), "https://git.example/token");
            assert!(metadata.revocation_endpoint.is_none() && metadata.jwks_uri.is_none());
            assert!(matches!(whole.alone("git.example"), Err(HolderError::BadIssuer { .. })));
        }
        let beside = Endpoints { revocation: at("revoke"), ..Endpoints::default() };
        assert_eq!(beside.alone(ISSUER).unwrap(), None);
        let mut metadata = IssuerMetadata::new(ISSUER);
        metadata.token_endpoint = Some("https://git.example/as-it-says".parse().unwrap());
        beside.put_into(&mut metadata).unwrap();
        assert_eq!(metadata.token_endpoint.unwrap().path(), "/as-it-says");
        assert_eq!(metadata.revocation_endpoint.unwrap().path(), "/revoke");
        assert_eq!(beside.clone().or(token.clone()), Endpoints { token: token.token, ..beside });
    }

    #[test]
    fn an_endpoint_is_https_or_on_this_machine() {
        for good in [
            "https://git.example/token?tenant=1",
            "http://127.0.0.1:1/t",
            "http://[::1]/t",
            "http://localhost/t",
        ] {
            assert!(judge("token", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/token",
            "git.example/token",
            "http://git.example/token",
            "http://localhost.evil.example/",
            "ftp://git.example/",
            "https://u:p@git.example/",
            "https://git.example/#x",
            "https://git.example/a b",
            &*format!("https://git.example/{}", "x".repeat(ADDRESS_LEN_MAX)),
        ] {
            let refused = Endpoints { revocation: some(bad), ..Endpoints::default() };
            let refused = refused.put_into(&mut IssuerMetadata::new(ISSUER));
            assert!(
                matches!(refused, Err(HolderError::Usage { ref what }) if what.contains("revocation")),
                "{bad}"
            );
        }
    }
}
