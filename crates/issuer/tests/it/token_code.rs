//! The authorization code grant at `/token`.

use std::sync::Arc;

use hallpass_model::grant::{Approval, Grant};
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::AUTHORIZATION_CODE;
use hallpass_model::secret::Secret;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::id_token::{IdClaims, at_hash};
use hallpass_model::wire::oauth::Scopes;
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{CodeIssued, IssueCode};
use hallpass_testkit::client::claims;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Refused, Tokens, World};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1:49152/callback";

/// A code, as the consent page would issue it.
pub(crate) async fn code(world: &World, key: Option<&SigningKey>) -> String {
    let verifier = Secret::from_text(VERIFIER.to_owned());
    let issue = IssueCode {
        raises: None,
        org: world.org,
        client: world.cli,
        principal: world.ada,
        grant: Grant {
            scopes: Scopes::parse("openid profile offline_access notes:read").expect("scopes"),
            resources: vec![NOTES.to_owned()],
            purpose: None,
            authentication: world.by_passkey(),
            approval: Approval::Browser,
        },
        redirect_uri: CALLBACK.to_owned(),
        code_challenge: CodeChallenge::of(&verifier),
        nonce: Some("n-0S6_WzA2Mj".to_owned()),
        dpop_jkt: key.map(SigningKey::thumbprint),
        device: None,
        address: "127.0.0.1".to_owned(),
    };
    match world.change(issue).await {
        CodeIssued::Issued { code, .. } => code.expose_text().to_owned(),
        CodeIssued::Refused(refusal) => panic!("{refusal}"),
        CodeIssued::NotRaised(why) => panic!("{why}"),
    }
}

pub(crate) async fn redeem(
    world: &World,
    code: &str,
    changed: &[(&str, &str)],
    key: Option<&Arc<SigningKey>>,
) -> Result<Tokens, Refused> {
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", "hallpass-cli"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let kept = good.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name));
    let form: Vec<_> = kept.chain(changed.iter().copied().filter(|(_, value)| !value.is_empty())).collect();
    let reply = world.ask_token(&form, key.map(|key| &**key)).await;
    if reply.status == 200 {
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    world.tokens(reply, "hallpass-cli", key).await
}

#[tokio::test]
async fn a_code_becomes_tokens_for_the_one_resource_that_was_agreed_to() {
    let world = World::new().await;
    let login = redeem(&world, &code(&world, None).await, &[], None).await.unwrap();

    let claims = login.claims();
    assert_eq!((claims.aud.single(), claims.scope.to_string().as_str()), (Some(NOTES), "notes:read"));
    assert_eq!((claims.sub, claims.client_id.as_str()), (world.ada.to_string(), "hallpass-cli"));
    assert_eq!((claims.acr.as_deref(), claims.exp - claims.iat), (Some("phr"), 300));
    assert!(world.accepts(&login.access).await);
}

#[tokio::test]
async fn the_id_token_says_who_logged_in_and_hangs_on_its_access_token() {
    let world = World::new().await;
    let login = redeem(&world, &code(&world, None).await, &[], None).await.unwrap();
    let id: IdClaims = claims(login.id_token.as_deref().expect("openid was agreed to"));
    assert_eq!((id.iss, id.sub), (world.issuer_url.clone(), world.ada.to_string()));
    assert!(id.aud.has("hallpass-cli"));
    assert_eq!((id.nonce.as_deref(), id.at_hash), (Some("n-0S6_WzA2Mj"), Some(at_hash(&login.access))));
    assert_eq!((id.acr.as_deref(), id.amr.join(" ")), (Some("phr"), "pop user mfa".to_owned()));
    assert!(id.auth_time.is_some());
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let world = World::new().await;
    let login = redeem(&world, &code(&world, None).await, &[], None).await.unwrap();
    let id_token = login.id_token.unwrap();
    assert!(!world.accepts(&id_token).await);
    let reply = world.send(world.http.get(world.at("userinfo")).bearer_auth(&id_token)).await;
    assert_eq!(reply.status, 401);
}

/// Holds the promise of RFC 6749, section 4.1.2, and of the cuts: a code is worth one login, and a second try ends it.
#[tokio::test]
async fn a_code_redeemed_twice_ends_what_it_became() {
    let world = World::new().await;
    let code = code(&world, None).await;
    let login = redeem(&world, &code, &[], None).await.unwrap();
    assert!(world.accepts(&login.access).await);

    let refused = redeem(&world, &code, &[], None).await.unwrap_err();

    assert_eq!(refused.code, ErrorCode::InvalidGrant);
    assert!(!world.accepts(&login.access).await);
    assert!(world.refresh(&login).await.is_err());
}

#[tokio::test]
async fn somebody_who_only_stole_the_code_cannot_end_the_login() {
    let world = World::new().await;
    let code = code(&world, None).await;
    let login = redeem(&world, &code, &[], None).await.unwrap();
    let other = "a".repeat(43);
    assert!(redeem(&world, &code, &[("code_verifier", &other)], None).await.is_err());
    assert!(world.accepts(&login.access).await, "without the code verifier a replay proves nothing");
}

#[tokio::test]
async fn a_code_is_bound_to_client_redirect_uri_and_code_verifier() {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", hallpass_model::client::ClientKind::Cli)).await;
    let code = code(&world, None).await;
    let wrong_verifier = "b".repeat(43);
    for (name, value, expected) in [
        ("client_id", "other-cli", ErrorCode::InvalidGrant),
        ("redirect_uri", "http://127.0.0.1:49153/callback", ErrorCode::InvalidGrant),
        ("code_verifier", &wrong_verifier, ErrorCode::InvalidGrant),
        ("code_verifier", "short", ErrorCode::InvalidGrant),
        ("code_verifier", "", ErrorCode::InvalidRequest),
        ("code", "hpc_made-up", ErrorCode::InvalidGrant),
        ("code", "", ErrorCode::InvalidRequest),
    ] {
        let refused = redeem(&world, &code, &[(name, value)], None).await.unwrap_err();
        assert_eq!(refused.code, expected, "{name}={value}");
    }
    assert!(redeem(&world, &code, &[], None).await.is_ok(), "nothing of that spent it");
}

/// OAuth 2.1 has no `redirect_uri` at the token endpoint: PKCE ties the code to whoever asked for it.
#[tokio::test]
async fn a_client_of_oauth_2_1_sends_no_redirect_uri_along() {
    let world = World::new().await;
    let login = redeem(&world, &code(&world, None).await, &[("redirect_uri", "")], None).await.unwrap();
    assert!(world.accepts(&login.access).await);
}

#[tokio::test]
async fn a_code_is_over_after_its_time() {
    let world = World::new().await;
    let code = code(&world, None).await;
    world.clock.advance(AUTHORIZATION_CODE);
    assert_eq!(redeem(&world, &code, &[], None).await.unwrap_err().code, ErrorCode::InvalidGrant);
}

/// RFC 9449, section 10: the key is promised before anybody agrees.
#[tokio::test]
async fn a_code_bound_to_a_key_needs_that_key() {
    let world = World::new().await;
    let (right, wrong) = (Arc::new(SigningKey::generate()), Arc::new(SigningKey::generate()));
    let code = code(&world, Some(&right)).await;
    assert!(redeem(&world, &code, &[], None).await.is_err());
    assert!(redeem(&world, &code, &[], Some(&wrong)).await.is_err());
    let login = redeem(&world, &code, &[], Some(&right)).await.unwrap();
    assert_eq!(login.claims().jkt(), Some(right.thumbprint()));
}

#[tokio::test]
async fn a_resource_that_was_not_agreed_to_costs_no_code() {
    let world = World::new().await;
    world.add_resource("https://mail.example/", "mail:send", None).await;
    let code = code(&world, None).await;
    for resource in ["https://mail.example/", "https://nowhere.example/"] {
        let refused = redeem(&world, &code, &[("resource", resource)], None).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidTarget, "{resource}");
    }
    let two = [("resource", NOTES), ("resource", world.issuer_url.as_str())];
    assert_eq!(redeem(&world, &code, &two, None).await.unwrap_err().code, ErrorCode::InvalidTarget);
    assert!(redeem(&world, &code, &[("resource", NOTES)], None).await.is_ok());
}
