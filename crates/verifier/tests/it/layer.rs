//! The tower layer, as an API mounts it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_verifier::layer::RequireToken;
use hallpass_verifier::{AccessClaims, Dpop, Lifetime, ResourceMetadata, StepUp, Verifier};
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

/// RFC 9470, section 3.
#[tokio::test]
async fn a_route_that_demands_a_fresh_login_challenges_with_what_would_do() {
    let key = SigningKey::generate();
    let verifier = Verifier::with_keys(ISSUER, NOTES, JwkSet::new(vec![key.public().clone()]));
    let step_up =
        StepUp { acr_values: vec!["phr".into(), "phrh".into()], max_age: Some(Lifetime::minutes(5)) };
    let ask = async |change: &dyn Fn(&mut AccessClaims)| {
        let layer = RequireToken::new(verifier.clone(), "notes:read".parse().unwrap(), Arc::new(|| NOW));
        let layer = layer.with_step_up(step_up.clone());
        let router: Router = Router::new().route("/", get(|| async { "purged" }).layer(layer));
        let mut claims = claims(ISSUER);
        claims.acr = Some("phr".into());
        claims.auth_time = Some(NOW.seconds() - 200);
        change(&mut claims);
        let token = key.sign(Typ::AccessToken, &claims);
        let request = Request::builder().uri("/").header("authorization", format!("Bearer {token}"));
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let challenge = answer.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
        (answer.status(), challenge)
    };
    assert_eq!(ask(&|_| {}).await, (StatusCode::OK, None));
    let wanted = format!(
        r#"Bearer realm="{NOTES}", error="insufficient_user_authentication", error_description="this needs a stronger or more recent login", acr_values="phr phrh", max_age=300"#
    );
    let refused = (StatusCode::UNAUTHORIZED, Some(wanted));
    assert_eq!(ask(&|claims| claims.auth_time = Some(NOW.seconds() - 400)).await, refused);
    assert_eq!(ask(&|claims| claims.auth_time = None).await, refused);
    assert_eq!(ask(&|claims| claims.acr = Some("pwd".into())).await, refused);
    assert_eq!(ask(&|claims| claims.acr = None).await, refused);
    let unscoped = ask(&|claims| claims.scope = "mail:send".parse().unwrap()).await;
    assert_eq!(unscoped.0, StatusCode::FORBIDDEN, "a scope that is missing is told first");
}

/// RFC 9728, section 5.1: whoever is refused learns where it says whose tokens it takes, and what it says is true of it.
#[tokio::test]
async fn a_refusal_leads_to_what_the_resource_says_of_itself() {
    let resource = "https://notes.example/v1";
    let key = SigningKey::generate();
    let keys = JwkSet::new(vec![key.public().clone()]);
    let verifier = Verifier::with_keys(ISSUER, resource, keys).with_metadata();
    let at = ResourceMetadata::url_of(resource).unwrap();
    assert_eq!(at.as_str(), "https://notes.example/.well-known/oauth-protected-resource/v1");
    let layer = RequireToken::new(verifier.clone(), "notes:read".parse().unwrap(), Arc::new(|| NOW));
    let router: Router = Router::new().route("/", get(async || "notes").layer(layer));
    let answer = router.oneshot(Request::builder().uri("/").body(Body::empty()).unwrap()).await.unwrap();
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    assert_eq!(challenge, format!(r#"Bearer realm="{resource}", resource_metadata="{at}""#));

    let says = verifier.metadata(&"notes:read".parse().unwrap());
    assert_eq!(
        (says.resource.as_str(), &says.authorization_servers[..]),
        (resource, &[ISSUER.to_owned()][..])
    );
    assert!(!says.takes_proofs(), "it was not told to take any");
    let dpop = Dpop::at("https://notes.example").unwrap();
    let says = verifier.clone().with_dpop(dpop).metadata(&Default::default());
    assert!(says.takes_proofs() && !says.dpop_bound_access_tokens_required);
    assert!(says.dpop_signing_alg_values_supported.contains(&"ES256".to_owned()));
    let only = Dpop::at("https://notes.example").unwrap().only();
    assert!(verifier.with_dpop(only).metadata(&Default::default()).dpop_bound_access_tokens_required);
}
