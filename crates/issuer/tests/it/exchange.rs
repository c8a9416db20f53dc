//! Token exchange at `/token` (RFC 8693): narrower, never wider.

use std::sync::Arc;

use hallpass_model::client::ClientKind;
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, SESSION_ABSOLUTE};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::token_type;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Tokens, World};

#[tokio::test]
async fn a_pass_is_narrower_and_names_its_ancestors() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let reply =
        [("resource", NOTES), ("scope", "notes:read"), ("lifetime", "600"), ("purpose", "nightly report")];
    let pass = world.exchange(&login, &reply).await.unwrap();

    let (subject, claims) = (login.claims(), pass.claims());
    assert_eq!((claims.aud.single(), claims.scope.to_string().as_str()), (Some(NOTES), "notes:read"));
    assert_eq!((claims.sub.as_str(), claims.sid.as_deref()), (subject.sub.as_str(), subject.sid.as_deref()));
    assert_eq!(
        (claims.auth_time, claims.acr.as_deref(), &claims.amr),
        (subject.auth_time, Some("phr"), &subject.amr)
    );
    assert_eq!((claims.purpose.as_deref(), pass.expires_in), (Some("nightly report"), 600));
    assert_eq!(claims.lin, std::slice::from_ref(&subject.jti), "an ancestor that stands in no other claim");
    assert_eq!(claims.jkt(), subject.jkt(), "bound as its subject is");
    assert!(pass.refresh.is_empty(), "nothing to keep");
}

#[tokio::test]
async fn scope_audience_and_life_never_widen() {
    let world = World::new().await;
    world.add_resource("https://mail.example/", "mail:send", None).await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let narrow =
        world.exchange(&login, &[("resource", &world.issuer_url), ("scope", "notes:read")]).await.unwrap();
    for (subject, extra, expected) in [
        (&login, [("resource", NOTES), ("scope", "admin")], ErrorCode::InvalidScope),
        (&narrow, [("resource", NOTES), ("scope", "notes:write")], ErrorCode::InvalidScope),
        (&login, [("resource", "https://mail.example/"), ("scope", "notes:read")], ErrorCode::InvalidTarget),
        (
            &login,
            [("resource", "https://nowhere.example/"), ("scope", "notes:read")],
            ErrorCode::InvalidTarget,
        ),
    ] {
        assert_eq!(world.exchange(subject, &extra).await.unwrap_err().code, expected, "{extra:?}");
    }
    let long = world.exchange(&login, &[("resource", NOTES), ("lifetime", "86400")]).await.unwrap();
    assert_eq!(long.expires_in, ACCESS_TOKEN_MAX.as_seconds());
    let all = world.exchange(&narrow, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(all.scope, "notes:read", "all that the subject has there");
}

#[tokio::test]
async fn a_pass_never_outlives_its_session() {
    let world = World::new().await;
    let mut login = world.sign_in("ada", "hallpass-cli").await;
    for _ in 0..4 {
        world.clock.advance(Lifetime::millis((SESSION_ABSOLUTE.as_millis() / 4 - 30_000) as u32));
        login = world.refresh(&login).await.unwrap();
    }
    let pass = world.exchange(&login, &[("resource", NOTES), ("lifetime", "900")]).await.unwrap();
    assert_eq!(pass.expires_in, 120, "two minutes were left");
}

/// Holds T-15: an API's token sent back for more is worth nothing.
#[tokio::test]
async fn a_token_for_an_api_is_no_subject() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let refused = world.exchange(&pass, &[("resource", NOTES)]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest, "RFC 8693, section 2.2.2");
}

#[tokio::test]
async fn a_subject_is_its_client_s_and_its_key_s_alone() {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", ClientKind::Cli)).await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let bearer = [("resource", NOTES), ("binding", "bearer")];

    let other_client = Tokens { client: "other-cli".to_owned(), ..login.clone() };
    assert_eq!(world.exchange(&other_client, &bearer).await.unwrap_err().code, ErrorCode::InvalidRequest);
    let no_key = Tokens { key: None, ..login.clone() };
    assert_eq!(world.exchange(&no_key, &bearer).await.unwrap_err().code, ErrorCode::InvalidDpopProof);
    let other_key = Tokens { key: Some(Arc::new(SigningKey::generate())), ..login.clone() };
    assert_eq!(world.exchange(&other_key, &bearer).await.unwrap_err().code, ErrorCode::InvalidDpopProof);

    let pass = world.exchange(&login, &bearer).await.expect("whoever holds the key may");
    assert_eq!((pass.token_type.as_str(), pass.claims().cnf), ("Bearer", None));
    assert!(world.refresh(&login).await.is_ok(), "none of that ended the session");
}

#[tokio::test]
async fn a_token_for_the_issuer_itself_is_never_unbound() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    for extra in
        [&[("resource", world.issuer_url.as_str()), ("binding", "bearer")][..], &[("binding", "bearer")]]
    {
        assert_eq!(world.exchange(&login, extra).await.unwrap_err().code, ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn what_is_not_in_this_release_is_refused_and_said() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    for extra in [
        ("actor_token", login.access.as_str()),
        ("actor_token_type", token_type::ACCESS_TOKEN),
        ("requested_token_type", token_type::REFRESH_TOKEN),
        ("lifetime", "0"),
        ("lifetime", "never"),
        ("lease", "perhaps"),
        ("binding", "none"),
    ] {
        let refused = world.exchange(&login, &[("resource", NOTES), extra]).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidRequest, "{extra:?}");
    }
    for kind in [token_type::JWT, token_type::ID_TOKEN, token_type::REFRESH_TOKEN] {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_id", "hallpass-cli"),
            ("subject_token", &login.access),
            ("subject_token_type", kind),
        ];
        assert_eq!(world.ask_token(&form, None).await.refused().code, ErrorCode::InvalidRequest);
    }
}

#[tokio::test]
async fn a_pass_dies_with_any_of_its_ancestors() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let middle = world.exchange(&login, &[("resource", &world.issuer_url)]).await.unwrap();
    let pass = world.exchange(&middle, &[("resource", NOTES)]).await.unwrap();
    let beside = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(pass.claims().lin.len(), 2);

    world.revoke(&middle.access, "hallpass-cli").await;
    assert!(!world.accepts(&pass.access).await);
    assert!(world.accepts(&beside.access).await);
    assert!(world.exchange(&middle, &[("resource", NOTES)]).await.is_err());

    world.revoke(&login.access, "hallpass-cli").await;
    assert!(!world.accepts(&beside.access).await);
}
