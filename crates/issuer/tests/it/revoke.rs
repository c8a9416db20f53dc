//! Revocation of what is no token yet: the code of a device login that nobody waits for any more.

use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{Answer, AnswerDevice, Approver, DeviceAnswered};
use hallpass_testkit::world::{ALL_SCOPES, NOTES};
use hallpass_testkit::{Tokens, World};

struct Codes {
    device: String,
    user: String,
}

async fn start(world: &World) -> Codes {
    let started = world.start_device("hallpass-cli", &[("scope", ALL_SCOPES), ("resource", NOTES)]).await;
    let text = |name: &str| started.json()[name].as_str().unwrap().to_owned();
    Codes { device: text("device_code"), user: text("user_code") }
}

async fn poll(world: &World, device_code: &str) -> Result<Tokens, ErrorCode> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", device_code),
        ("resource", &world.issuer_url),
    ];
    let reply = world.ask_token(&form, None).await;
    world.tokens(reply, "hallpass-cli", None).await.map_err(|refused| refused.code)
}

#[tokio::test]
async fn a_device_login_nobody_waits_for_cannot_be_approved_any_more() {
    let world = World::new().await;
    let codes = start(&world).await;
    let before = world.ledger_size().await;
    let found = world.store.find_device_by_user_code(world.org, &codes.user).await.unwrap().unwrap();
    assert_eq!(world.revoke(&codes.device, "hallpass-cli").await.status, 200);
    assert!(world.store.find_device_by_user_code(world.org, &codes.user).await.unwrap().is_none());
    // The page may have been open already.
    let by = Approver {
        principal: world.ada,
        authentication: world.by_passkey(),
        approval: hallpass_model::grant::Approval::DevicePage,
    };
    let address = "127.0.0.1".to_owned();
    let late = AnswerDevice { org: world.org, grant: found.id, by, answer: Answer::Yes, address };
    assert_eq!(world.change(late).await, DeviceAnswered::NotThere);
    assert_eq!(poll(&world, &codes.device).await.unwrap_err(), ErrorCode::InvalidGrant);
    assert_eq!(world.ledger_size().await, before, "as little on record as its beginning");
}

#[tokio::test]
async fn a_device_login_that_was_approved_or_collected_ends_with_its_code() {
    let world = World::new().await;
    let approved = start(&world).await;
    world.answer_device(&approved.user, world.ada, Answer::Yes).await;
    let before = world.ledger_size().await;
    world.revoke(&approved.device, "hallpass-cli").await;
    assert_eq!(world.ledger_from(before).await, ["cut: signed_out"]);
    assert_eq!(poll(&world, &approved.device).await.unwrap_err(), ErrorCode::InvalidGrant);

    let collected = start(&world).await;
    world.answer_device(&collected.user, world.ada, Answer::Yes).await;
    let tokens = poll(&world, &collected.device).await.unwrap();
    world.revoke(&collected.device, "hallpass-cli").await;
    assert_eq!(world.ledger_since(&tokens).await, ["cut: signed_out"]);
    assert!(world.refresh(&tokens).await.is_err());
    assert_eq!(
        world.revoke(&collected.device, "hallpass-cli").await.status,
        200,
        "once more changes nothing"
    );
    assert_eq!(world.ledger_since(&tokens).await.len(), 2, "the refused refresh alone");
}

#[tokio::test]
async fn a_poll_that_is_held_open_is_answered_at_once_when_its_code_is_ended() {
    let world = World::new().await;
    let codes = start(&world).await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", codes.device.as_str()),
    ];
    let request = world.http.post(world.at("token")).form(&form).header("prefer", "wait=25");
    let held = world.send(request);
    let revoke = async {
        while world.issuer.held_polls() == 0 {
            tokio::task::yield_now().await;
        }
        world.revoke(&codes.device, "hallpass-cli").await
    };
    let both = async { tokio::join!(held, revoke) };
    let at_once = std::time::Duration::from_secs(10); // a poll that is not told waits for 25
    let (reply, _) = tokio::time::timeout(at_once, both).await.expect("it is answered at once");
    assert_eq!(reply.refused().code, ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn another_client_s_or_org_s_device_code_is_not_ended() {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", hallpass_model::client::ClientKind::Cli)).await;
    world.add_org("rival").await;
    let codes = start(&world).await;
    assert_eq!(world.revoke(&codes.device, "other-cli").await.status, 200);
    let elsewhere = format!("{}/rival/revoke", world.base_url);
    let form = [("client_id", "hallpass-cli"), ("token", codes.device.as_str())];
    assert_eq!(world.send(world.http.post(elsewhere).form(&form)).await.status, 200);
    world.answer_device(&codes.user, world.ada, Answer::Yes).await;
    assert!(poll(&world, &codes.device).await.is_ok());
}
