//! The tower layer, as an API mounts it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_verifier::layer::RequireToken;
use hallpass_verifier::{AccessClaims, Verifier};
use http::{Request, StatusCode};
use tower::ServiceExt;

use crate::judging::{ISSUER, NOTES, NOW, claims};

async fn ask(headers: &[(&str, &str)], scope: &str, path: &str) -> (StatusCode, Option<String>) {
    let key = SigningKey::generate();
    let verifier = Verifier::with_keys(ISSUER, NOTES, JwkSet::new(vec![key.public().clone()]));
    let token = key.sign(Typ::AccessToken, &claims(ISSUER));
    let layer = RequireToken::new(verifier, scope.parse().unwrap(), Arc::new(|| NOW));
    let hello = |axum::Extension(claims): axum::Extension<AccessClaims>| async move { claims.sub };
    let router: Router = Router::new().route("/", get(hello).layer(layer));
    let mut request = Request::builder().uri(path.replace("TOKEN", &token));
    for (name, value) in headers {
        request = request.header(*name, value.replace("TOKEN", &token));
    }
    let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
    (answer.status(), challenge)
}

const GOOD: (&str, &str) = ("authorization", "Bearer TOKEN");

#[tokio::test]
async fn a_good_token_reaches_the_handler_with_its_claims() {
    assert_eq!(ask(&[GOOD], "notes:read", "/").await, (StatusCode::OK, None));
    assert_eq!(ask(&[("authorization", "bearer TOKEN")], "notes:read", "/").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_missing_token_is_challenged_with_what_is_protected_and_without_an_error() {
    let challenged = (StatusCode::UNAUTHORIZED, Some(format!(r#"Bearer realm="{NOTES}""#)));
    assert_eq!(ask(&[], "notes:read", "/").await, challenged);
    assert_eq!(ask(&[("authorization", "Basic TOKEN")], "notes:read", "/").await, challenged);
    assert_eq!(ask(&[("authorization", "DPoP TOKEN")], "notes:read", "/").await, challenged);
}

#[tokio::test]
async fn a_token_in_the_query_is_not_looked_at() {
    assert_eq!(ask(&[], "notes:read", "/?access_token=TOKEN").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_tokens_a_scheme_without_one_and_a_missing_scope_say_what_is_wrong() {
    assert_eq!(ask(&[GOOD, GOOD], "notes:read", "/").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&[("authorization", "Bearer")], "notes:read", "/").await.0, StatusCode::BAD_REQUEST);
    let (status, challenge) = ask(&[GOOD], "notes:read notes:write", "/").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let scopes = r#"error="insufficient_scope", scope="notes:read notes:write""#;
    assert_eq!(challenge.unwrap(), format!(r#"Bearer realm="{NOTES}", {scopes}"#));
    let (status, challenge) = ask(&[("authorization", "Bearer x.y.z")], "notes:read", "/").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(challenge.unwrap().starts_with(&format!(r#"Bearer realm="{NOTES}", error="invalid_token""#)));
}
