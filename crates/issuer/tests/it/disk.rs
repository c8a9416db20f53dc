//! A disk that fails: the answer says "later", never "no", and nothing is lost by it.

use hallpass_model::client::ClientKind;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_testkit::client::encode;
use hallpass_testkit::disk;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Tokens, World};
use http::StatusCode;

/// What a holder may do with what it holds.
async fn holder_asks(world: &World, login: &Tokens, pass: &Tokens) -> Vec<(&'static str, Reply)> {
    let refresh =
        [("grant_type", "refresh_token"), ("client_id", "hallpass-cli"), ("refresh_token", &login.refresh)];
    let exchange = exchange("hallpass-cli", &login.access);
    vec![
        ("refresh", world.ask_token(&refresh, login.key.as_deref()).await),
        ("exchange", world.ask_token(&exchange, login.key.as_deref()).await),
        ("revoke a pass", world.revoke(&pass.access, "hallpass-cli").await),
        ("revoke a session", world.revoke(&login.refresh, "hallpass-cli").await),
    ]
}

fn exchange<'a>(client: &'a str, subject: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", client),
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", NOTES),
    ]
}

#[tokio::test]
async fn on_a_full_disk_a_holder_is_told_to_come_back_and_its_session_is_whole_when_it_does() {
    let world = World::on_a_disk_that_can_fail().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES), ("binding", "bearer")]).await.unwrap();
    let before = world.ledger_size().await;

    disk::set_full(&world.data, true);
    for (what, reply) in holder_asks(&world, &login, &pass).await {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {}", reply.body);
        assert_eq!(reply.refused().code, ErrorCode::TemporarilyUnavailable, "{what}");
        assert!(reply.header("retry-after").is_some(), "{what}");
    }
    assert_eq!(world.ledger_size().await, before, "what did not happen is not recorded");

    disk::set_full(&world.data, false);
    assert!(
        world.accepts(&pass.access).await,
        "what could not be revoked is alive, and nobody was told otherwise"
    );
    let next = world.refresh(&login).await.expect("the very token that was refused before");
    let pass = world.exchange(&next, &[("resource", NOTES), ("binding", "bearer")]).await.unwrap();
    assert_eq!(world.revoke(&pass.access, "hallpass-cli").await.status, 200);
    assert!(!world.accepts(&pass.access).await);
}

/// A store that cannot be read says nothing of a token: not that it is bad, not that it is revoked, not that it is dead.
#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_verdict_on_a_token() {
    let world = World::on_a_disk_that_can_fail().await;
    world.add_client(world.new_client("other-cli", ClientKind::Cli)).await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    // Never seen by the endpoints yet, so that what it says of itself has to be looked up.
    let fresh = world.refresh(&login).await.unwrap();
    // A change in the directory makes all stale that is remembered of it. Of org and callers these remember it again, so
    // that the first thing to be looked up below is the client that the token names.
    world.add_person("grace").await;
    assert_eq!(world.revoke("rubbish", "other-cli").await.status, 200);
    assert!(!world.accepts("rubbish").await);

    disk::set_unreadable(&world.data, true);
    let userinfo = world.http.get(world.at("userinfo")).bearer_auth(&fresh.access);
    let [kind, signed] = world.assertion("notes-api", &world.notes_api_key);
    let introspect = world.http.post(world.at("introspect")).body(encode(&[
        ("token", &*fresh.access),
        (kind.0, &kind.1),
        (signed.0, &signed.1),
    ]));
    let answers = [
        ("revoke", world.revoke(&fresh.access, "other-cli").await),
        ("exchange", world.ask_token(&exchange("other-cli", &fresh.access), None).await),
        ("userinfo", world.send(userinfo).await),
        (
            "introspect",
            world.send(introspect.header("content-type", "application/x-www-form-urlencoded")).await,
        ),
    ];
    disk::set_unreadable(&world.data, false);

    for (what, reply) in answers {
        assert!(reply.status.is_server_error(), "{what}: {} {}", reply.status, reply.body);
        assert_eq!(reply.header("www-authenticate"), None, "{what}");
    }
    let userinfo = world.send(world.http.get(world.at("userinfo")).bearer_auth(&fresh.access)).await;
    assert_eq!(userinfo.status, 200);
    assert!(world.refresh(&fresh).await.is_ok(), "nothing was lost");
}
