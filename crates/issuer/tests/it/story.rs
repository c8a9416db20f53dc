//! The main job, end to end: a login, a narrower pass, its end, a refresh, a theft.

use hallpass_model::wire::errors::ErrorCode;
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;

#[tokio::test]
async fn a_login_a_pass_and_its_end() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    assert_eq!(login.token_type, "DPoP");
    assert!(login.id_token.is_some());

    let pass = world
        .exchange(
            &login,
            &[("resource", NOTES), ("scope", "notes:read"), ("binding", "bearer"), ("purpose", "read")],
        )
        .await
        .expect("ada agreed to it");
    assert_eq!((pass.scope.as_str(), pass.token_type.as_str()), ("notes:read", "Bearer"));
    assert!(world.accepts(&pass.access).await);

    assert_eq!(world.revoke(&pass.access, "hallpass-cli").await.status, 200);
    assert!(!world.accepts(&pass.access).await);
    assert_eq!(world.ledger_since(&login).await, ["exchanged", "cut: signed_out"]);
    assert!(world.refresh(&login).await.is_ok(), "the login lives on");
}

/// Holds T-07: a stolen refresh token does not outlive the theft.
#[tokio::test]
async fn replaying_a_spent_refresh_token_cuts_the_session() {
    let world = World::new().await;
    let first = world.sign_in("ada", "hallpass-cli").await;
    let second = world.refresh(&first).await.expect("the first use is fine");
    let third = world.refresh(&second).await.expect("the successor was used: first is now spent for good");

    let refused = world.refresh(&first).await.expect_err("whoever sends it again is not who we gave it to");

    assert_eq!(refused.code, ErrorCode::InvalidGrant);
    let refused = world.refresh(&third).await.expect_err("whoever holds the newest one loses it too");
    assert_eq!(refused.code, ErrorCode::InvalidGrant);
    assert_eq!(world.ledger_since(&third).await, ["reused: old_generation", "denied: cut"]);
}
