//! The refresh token grant at `/token`: rotation as its holder sees it.

use std::sync::Arc;

use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::{BEARER_RETRY, SESSION_IDLE};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::SetPersonStanding;
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Tokens, World};

fn form(tokens: &Tokens) -> [(&'static str, &str); 3] {
    [("grant_type", "refresh_token"), ("client_id", "hallpass-cli"), ("refresh_token", &tokens.refresh)]
}

#[tokio::test]
async fn each_refresh_brings_the_next_token_and_a_lost_answer_the_same_again() {
    let world = World::new().await;
    let first = world.sign_in_bound("ada", "hallpass-cli").await;
    let second = world.refresh(&first).await.unwrap();
    let again = world.refresh(&first).await.expect("the answer was lost");
    assert_ne!(first.refresh, second.refresh);
    assert_eq!(second.refresh, again.refresh);
    assert_eq!(world.ledger_since(&first).await, ["refreshed", "retried"]);
    world.clock.advance(Lifetime::days(7));
    assert!(world.refresh(&first).await.is_ok(), "a key-bound session may ask again at any time");
}

#[tokio::test]
async fn a_bearer_session_s_retry_has_a_window_and_the_error_says_so() {
    let world = World::new().await;
    let first = world.sign_in("ada", "hallpass-cli").await;
    world.refresh(&first).await.unwrap();
    assert!(world.refresh(&first).await.is_ok(), "within the window");
    world.clock.advance(BEARER_RETRY + Lifetime::millis(1));
    let refused = world.refresh(&first).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidGrant);
    assert!(refused.told.contains("too late"), "{}", refused.told);
}

/// Holds T-08: nobody may kill a session by naming it, and bad luck kills none.
#[tokio::test]
async fn what_proves_nothing_ends_nothing() {
    let world = World::new().await;
    let (other_org, bob) = world.add_org("globex").await;
    assert_ne!(other_org, world.org);
    let _ = bob;
    world.add_client(world.new_client("other-cli", hallpass_model::client::ClientKind::Cli)).await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let mut broken = login.refresh.clone();
    broken.replace_range(10..11, if &broken[10..11] == "0" { "1" } else { "0" });

    let no_proof = world.ask_token(&form(&login), None).await;
    assert_eq!(no_proof.refused().code, ErrorCode::InvalidDpopProof);
    let mut other_client = form(&login);
    other_client[1].1 = "other-cli";
    let other_client = world.ask_token(&other_client, login.key.as_deref()).await;
    assert_eq!(other_client.refused().code, ErrorCode::InvalidGrant);
    let mut altered = form(&login);
    altered[2].1 = &broken;
    assert_eq!(world.ask_token(&altered, login.key.as_deref()).await.refused().code, ErrorCode::InvalidGrant);
    let elsewhere = world.http.post(format!("{}/globex/token", world.base_url)).body(encode(&form(&login)));
    let elsewhere = elsewhere.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(world.send(elsewhere).await.refused().code, ErrorCode::InvalidGrant);

    assert!(world.refresh(&login).await.is_ok(), "the session lives");
}

/// Holds T-07's other half: a stolen token is worthless without the key, and trying it ends the session.
#[tokio::test]
async fn a_valid_proof_by_another_key_ends_the_session() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let thief = Tokens { key: Some(Arc::new(SigningKey::generate())), ..login.clone() };
    assert_eq!(world.refresh(&thief).await.unwrap_err().code, ErrorCode::InvalidGrant);
    let refused = world.refresh(&login).await.unwrap_err();
    assert!(refused.told.contains("a copy of its token"), "the holder is told: {}", refused.told);
    assert_eq!(world.ledger_since(&login).await, ["reused: other_key", "denied: cut"]);
    // And so is the person.
    let page = world.visitor_as(world.ada).await.get("/acme/sessions").await;
    assert!(page.body.contains("Somebody may have a copy of your token"), "{}", page.body);
}

#[tokio::test]
async fn scopes_and_resource_may_be_narrowed_for_one_token_and_never_widened() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let narrow = world.refresh_with(&login, &[("resource", NOTES), ("scope", "notes:read")]).await.unwrap();
    assert_eq!((narrow.scope.as_str(), narrow.claims().aud.single()), ("notes:read", Some(NOTES)));
    let wide = world.refresh_with(&narrow, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(wide.scope, "notes:read notes:write", "the session goes on with all of it");
    for (extra, expected) in [
        (("scope", "admin"), ErrorCode::InvalidScope),
        (("resource", "https://elsewhere.example/"), ErrorCode::InvalidTarget),
    ] {
        assert_eq!(world.refresh_with(&wide, &[extra]).await.unwrap_err().code, expected);
    }
    assert!(world.refresh(&wide).await.is_ok(), "a refusal of that kind used nothing up");
}

#[tokio::test]
async fn an_idle_session_and_a_disabled_person_are_told_apart() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.add_person("grace").await;
    let grace = world.sign_in("grace", "hallpass-cli").await;
    world.clock.advance(SESSION_IDLE);
    assert!(world.refresh(&login).await.unwrap_err().told.contains("not used for too long"));
    let again = world.sign_in("grace", "hallpass-cli").await;
    let person = again.claims().principal_id().unwrap();
    world.change(SetPersonStanding { org: world.org, person, active: false }).await;
    let refused = world.refresh(&again).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidGrant);
    assert!(world.refresh(&grace).await.is_err());
}

/// RFC 9449, sections 4.3 and 8.
#[tokio::test]
async fn a_proof_needs_our_nonce_once_and_the_right_request() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let key = login.key.as_deref().unwrap();
    let send = async |proofs: &[String]| {
        let mut request = world.http.post(world.at("token")).body(encode(&form(&login)));
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for proof in proofs {
            request = request.header("dpop", proof);
        }
        world.send(request).await
    };
    let token = world.at("token");

    let without = send(&[world.proof(key, "POST", &token, None, None)]).await;
    assert_eq!((without.status.as_u16(), without.refused().code), (400, ErrorCode::UseDpopNonce));
    let nonce = without.header("dpop-nonce").expect("a nonce to use").to_owned();
    let nonce = Some(nonce.as_str());

    let good = world.proof(key, "POST", &token, nonce, None);
    let bad = [
        vec![world.proof(key, "GET", &token, nonce, None)],
        vec![world.proof(key, "POST", &world.at("revoke"), nonce, None)],
        vec![world.proof(key, "POST", &format!("{}/globex/token", world.base_url), nonce, None)],
        vec![good.clone(), world.proof(key, "POST", &token, nonce, None)],
        vec!["not.a.proof".to_owned()],
    ];
    for proofs in &bad {
        let reply = send(proofs).await;
        assert_eq!(
            (reply.status.as_u16(), reply.refused().code),
            (400, ErrorCode::InvalidDpopProof),
            "{}",
            reply.body
        );
    }

    let fine = send(std::slice::from_ref(&good)).await;
    assert_eq!(fine.status, 200, "{}", fine.body);
    assert!(fine.header("dpop-nonce").is_some(), "the next nonce rides on success");
    assert_eq!(send(&[good]).await.refused().code, ErrorCode::InvalidDpopProof, "a proof is good once");
    assert!(world.refresh(&login).await.is_ok(), "none of that ended the session");
}
