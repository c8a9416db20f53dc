//! Where everything is: RFC 8414 and OIDC Discovery in one document, and the public keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hallpass_model::grant::Acr;
use hallpass_model::jose::Algorithm;
use hallpass_model::role::{Act, Role, may};
use hallpass_model::wire::metadata::IssuerMetadata;
use hallpass_model::wire::oauth::GrantType;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use url::Url;

use crate::Issuer;
use crate::admin_api;
use crate::error::OAuthError;
use crate::form::at_org;
use crate::keys::OrgKeys;
use crate::org::OrgIssuer;

/// An org named by a path, for its public documents.
pub(crate) struct AtOrg(pub(crate) Arc<OrgIssuer>);

impl FromRequestParts<Issuer> for AtOrg {
    type Rejection = OAuthError;
    async fn from_request_parts(parts: &mut Parts, issuer: &Issuer) -> Result<Self, OAuthError> {
        let org = at_org(parts, issuer).await?;
        match may(Role::Anyone, Act::ReadMetadata) {
            true => Ok(Self(org)),
            false => Err(OAuthError::not_found()),
        }
    }
}

/// The metadata document (RFC 8414, section 3.2).
pub(crate) async fn show(State(_): State<Issuer>, AtOrg(org): AtOrg) -> Response {
    public_json(org.metadata.clone())
}

/// The org's public keys (RFC 7517).
pub(crate) async fn jwks(State(_): State<Issuer>, AtOrg(org): AtOrg) -> Response {
    public_json(org.jwks.clone())
}

/// How long others may keep both documents: a new signing key is published longer than this before it signs, and
/// verifiers fetch again for a key they do not know.
const KEPT_BY_OTHERS: &str = "public, max-age=300";

fn public_json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, KEPT_BY_OTHERS)], body).into_response()
}

/// Scopes that no resource owns: who logged in, for longer, and the org itself.
pub(crate) const OWN_SCOPES: [&str; 5] =
    ["openid", "profile", "offline_access", admin_api::READ_SCOPE, admin_api::CHANGE_SCOPE];

/// How what clients sign may be signed.
const SIGNED_BY_CLIENTS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

/// How clients prove who they are, the better ways first: whoever takes the first that it knows takes the best.
const CLIENTS_PROVE_BY: [&str; 4] = ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"];

/// What of an org's metadata depends on how it is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Has<'a> {
    /// How its own tokens are signed: by the keys that it publishes.
    pub(crate) signs: &'a [Algorithm],
    /// Whether it takes clients that are known by a document of their own.
    pub(crate) documents: bool,
    /// Whether clients may register themselves.
    pub(crate) registration: bool,
    /// Whether its people may log in by a provider of its own.
    pub(crate) provider: bool,
}

pub(crate) fn render(issuer: &str, scopes: &BTreeSet<String>, has: Has<'_>) -> Bytes {
    let endpoint = |name: &str| Url::parse(&format!("{issuer}/{name}")).ok();
    let texts = |algorithms: &[Algorithm]| algorithms.iter().map(|a| a.text().to_owned()).collect::<Vec<_>>();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let grant_types = [
        GrantType::AuthorizationCode,
        GrantType::DeviceCode,
        GrantType::RefreshToken,
        GrantType::ClientCredentials,
        GrantType::TokenExchange,
        GrantType::JwtBearer,
    ];
    let document = IssuerMetadata {
        authorization_endpoint: endpoint("authorize"),
        token_endpoint: endpoint("token"),
        jwks_uri: endpoint("jwks"),
        device_authorization_endpoint: endpoint("device_authorization"),
        revocation_endpoint: endpoint("revoke"),
        introspection_endpoint: endpoint("introspect"),
        userinfo_endpoint: endpoint("userinfo"),
        pushed_authorization_request_endpoint: endpoint("par"),
        registration_endpoint: endpoint("register").filter(|_| has.registration),
        scopes_supported: OWN_SCOPES.into_iter().map(str::to_owned).chain(scopes.iter().cloned()).collect(),
        response_types_supported: words(&["code"]),
        response_modes_supported: words(&["query"]),
        grant_types_supported: grant_types.iter().map(|g| g.text().to_owned()).collect(),
        token_endpoint_auth_methods_supported: words(&CLIENTS_PROVE_BY),
        token_endpoint_auth_signing_alg_values_supported: texts(&SIGNED_BY_CLIENTS),
        revocation_endpoint_auth_methods_supported: words(&CLIENTS_PROVE_BY),
        revocation_endpoint_auth_signing_alg_values_supported: texts(&SIGNED_BY_CLIENTS),
        introspection_endpoint_auth_methods_supported: words(&CLIENTS_PROVE_BY[1..]),
        introspection_endpoint_auth_signing_alg_values_supported: texts(&SIGNED_BY_CLIENTS),
        code_challenge_methods_supported: words(&["S256"]),
        dpop_signing_alg_values_supported: texts(&SIGNED_BY_CLIENTS),
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: has.documents,
        request_uri_parameter_supported: Some(false),
        subject_types_supported: words(&["public"]),
        id_token_signing_alg_values_supported: texts(has.signs),
        acr_values_supported: strengths(has.provider),
        claims_supported: words(&[
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "nonce",
            "auth_time",
            "acr",
            "amr",
            "at_hash",
            "sid",
            "name",
            "preferred_username",
        ]),
        prompt_values_supported: words(&["none", "login", "consent"]),
        hallpass_device_wait_supported: true,
        hallpass_step_up_supported: true,
        ..IssuerMetadata::new(issuer)
    };
    serde_json::to_vec(&document).expect("metadata is a struct of strings").into()
}

/// How strongly people can log in here, as a client may ask for it.
fn strengths(provider: bool) -> Vec<String> {
    let of_provider = [Acr::MultiFactor, Acr::Sso].into_iter().filter(|_| provider);
    [Acr::PhishingResistant].into_iter().chain(of_provider).map(|acr| acr.text().to_owned()).collect()
}

pub(crate) fn render_jwks(keys: &OrgKeys) -> Bytes {
    serde_json::to_vec(&keys.published).expect("a key set is a struct of strings").into()
}
