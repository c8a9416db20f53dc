//! The device flow: `/device_authorization`, and its grant at `/token`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass_model::client::ClientKind;
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::DEVICE_CODE;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, Answer};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Refused, Reply, World};

struct Started {
    device_code: String,
    user_code: String,
}

async fn start(world: &World, extra: &[(&str, &str)]) -> Started {
    let reply =
        world.start_device("hallpass-cli", &[&[("scope", "openid notes:read")], extra].concat()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json = reply.json();
    let text = |name: &str| json[name].as_str().expect("a text").to_owned();
    Started { device_code: text("device_code"), user_code: text("user_code") }
}

async fn poll(world: &World, device_code: &str) -> Reply {
    world.post("token", &form(device_code)).await
}

fn form(device_code: &str) -> [(&'static str, &str); 3] {
    [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", device_code),
    ]
}

fn code(reply: &Reply) -> ErrorCode {
    reply.refused().code
}

#[tokio::test]
async fn what_is_answered_is_what_rfc_8628_says() {
    let world = World::new().await;
    let reply = world.start_device("hallpass-cli", &[("scope", "openid")]).await;
    let json = reply.json();
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!((json["expires_in"].as_i64(), json["interval"].as_i64()), (Some(600), Some(5)));
    let (user_code, page) = (json["user_code"].as_str().unwrap(), json["verification_uri"].as_str().unwrap());
    assert_eq!(user_code.len(), 9, "XXXX-XXXX");
    assert_eq!(page, world.at("device"));
    assert_eq!(json["verification_uri_complete"], format!("{page}?user_code={user_code}"));
    let device_code = json["device_code"].as_str().unwrap();
    assert!(
        device_code.starts_with("hpd_")
            && !json["verification_uri_complete"].to_string().contains(device_code)
    );
}

#[tokio::test]
async fn what_a_client_may_not_ask_is_refused_at_the_start() {
    let world = World::new().await;
    let barred = AddClient {
        scopes: Scopes::parse("notes:read notes:write").unwrap(),
        device_flow_barred: Scopes::parse("notes:write").unwrap(),
        ..world.new_client("careful", ClientKind::Cli)
    };
    world.add_client(barred).await;
    world.add_client(world.new_client("helper", ClientKind::Agent)).await;
    for (client, extra, expected) in [
        ("careful", ("scope", "notes:write"), ErrorCode::InvalidScope),
        ("careful", ("scope", "mail:send"), ErrorCode::InvalidScope),
        ("careful", ("resource", "https://elsewhere.example/"), ErrorCode::InvalidTarget),
        ("careful", ("dpop_jkt", "short"), ErrorCode::InvalidRequest),
        ("helper", ("scope", "openid"), ErrorCode::UnauthorizedClient),
        ("nobody", ("scope", "openid"), ErrorCode::InvalidClient),
    ] {
        let reply = world.start_device(client, &[extra]).await;
        assert_eq!(code(&reply), expected, "{client} {extra:?}: {}", reply.body);
    }
    assert_eq!(world.start_device("careful", &[("scope", "notes:read")]).await.status, 200);
}

#[tokio::test]
async fn nobody_has_answered_until_somebody_has() {
    let world = World::new().await;
    let started = start(&world, &[("resource", NOTES)]).await;
    assert_eq!(code(&poll(&world, &started.device_code).await), ErrorCode::AuthorizationPending);
    world.answer_device(&started.user_code, world.ada, Answer::Yes).await;
    world.clock.advance(Lifetime::seconds(5));
    let reply = poll(&world, &started.device_code).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["scope"], "notes:read", "granted, and known to the one resource");
    assert!(reply.json()["refresh_token"].is_string(), "a person's own tool keeps its login");
}

/// RFC 8628, section 3.5: each `slow_down` counts for every later poll, and the first poll is never too soon.
#[tokio::test]
async fn polling_too_fast_slows_down_for_good() {
    let world = World::new().await;
    let started = start(&world, &[]).await;
    let mut answers = Vec::new();
    for wait in [0, 1, 5, 9, 10, 15, 20] {
        world.clock.advance(Lifetime::seconds(wait));
        answers.push((wait, code(&poll(&world, &started.device_code).await)));
    }
    use ErrorCode::{AuthorizationPending as Pending, SlowDown};
    assert_eq!(
        answers,
        [
            (0, Pending),
            (1, SlowDown),
            (5, SlowDown),
            (9, SlowDown),
            (10, SlowDown),
            (15, SlowDown),
            (20, SlowDown)
        ],
        "5, 10, 15, 20, 25, 30 seconds were asked for in turn"
    );
    world.clock.advance(Lifetime::seconds(35));
    assert_eq!(code(&poll(&world, &started.device_code).await), Pending);
}

#[tokio::test]
async fn a_no_an_end_and_a_collected_code_are_told_apart() {
    let world = World::new().await;
    let denied = start(&world, &[]).await;
    world.answer_device(&denied.user_code, world.ada, Answer::No).await;
    assert_eq!(code(&poll(&world, &denied.device_code).await), ErrorCode::AccessDenied);

    let collected = start(&world, &[]).await;
    world.answer_device(&collected.user_code, world.ada, Answer::Yes).await;
    assert_eq!(poll(&world, &collected.device_code).await.status, 200);
    assert_eq!(code(&poll(&world, &collected.device_code).await), ErrorCode::ExpiredToken, "single use");

    let late = start(&world, &[]).await;
    world.clock.advance(DEVICE_CODE);
    assert_eq!(code(&poll(&world, &late.device_code).await), ErrorCode::ExpiredToken);
}

#[tokio::test]
async fn of_two_polls_that_race_one_wins() {
    let world = World::new().await;
    for _ in 0..10 {
        let started = start(&world, &[]).await;
        world.answer_device(&started.user_code, world.ada, Answer::Yes).await;
        let (one, two) = tokio::join!(poll(&world, &started.device_code), poll(&world, &started.device_code));
        let won = [&one, &two].into_iter().filter(|reply| reply.status == 200).count();
        assert_eq!(won, 1, "{} {}", one.body, two.body);
    }
}

#[tokio::test]
async fn a_device_code_is_its_client_s_alone_and_its_key_s() {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", ClientKind::Cli)).await;
    let (right, wrong) = (SigningKey::generate(), SigningKey::generate());
    let jkt = right.thumbprint().to_string();
    let started = start(&world, &[("dpop_jkt", &jkt)]).await;
    world.answer_device(&started.user_code, world.ada, Answer::Yes).await;

    let mut other_client = form(&started.device_code);
    other_client[1].1 = "other-cli";
    assert_eq!(code(&world.ask_token(&other_client, Some(&right)).await), ErrorCode::InvalidGrant);
    assert_eq!(code(&world.ask_token(&form(&started.device_code), None).await), ErrorCode::InvalidGrant);
    assert_eq!(
        code(&world.ask_token(&form(&started.device_code), Some(&wrong)).await),
        ErrorCode::InvalidGrant
    );
    assert_eq!(code(&poll(&world, "hpd_made-up").await), ErrorCode::InvalidGrant);

    let reply = world.ask_token(&form(&started.device_code), Some(&right)).await;
    let tokens = world.tokens(reply, "hallpass-cli", Some(&Arc::new(right))).await;
    assert_eq!(tokens.expect("the phished approval is worth nothing to anybody else").token_type, "DPoP");
}

async fn until_held(world: &World) {
    while world.issuer.held_polls() == 0 {
        tokio::task::yield_now().await;
    }
}

async fn held(world: &World, device_code: &str, seconds: u32) -> Reply {
    let request = world.http.post(world.at("token")).body(encode(&form(device_code)));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    world.send(request.header("prefer", format!("respond-async, wait={seconds}"))).await
}

#[tokio::test]
async fn a_held_poll_learns_of_the_answer_at_once() {
    let world = World::new().await;
    let started = start(&world, &[]).await;
    let (held, answered) = tokio::join!(held(&world, &started.device_code, 20), async {
        until_held(&world).await;
        world.answer_device(&started.user_code, world.ada, Answer::Yes).await;
        Instant::now()
    });
    assert!(answered.elapsed() < Duration::from_millis(300), "{:?}", answered.elapsed());
    assert_eq!(held.status, 200, "{}", held.body);
    assert_eq!(held.header("preference-applied"), Some("wait=20"));
}

#[tokio::test]
async fn a_held_poll_ends_when_its_time_is_over_and_counts_as_no_haste() {
    let world = World::new().await;
    let started = start(&world, &[]).await;
    let first = held(&world, &started.device_code, 1).await;
    assert_eq!(
        (code(&first), first.header("preference-applied")),
        (ErrorCode::AuthorizationPending, Some("wait=1"))
    );
    world.clock.advance(Lifetime::seconds(5));
    assert_eq!(code(&poll(&world, &started.device_code).await), ErrorCode::AuthorizationPending);
}

#[tokio::test]
async fn one_poll_of_a_code_is_held_and_no_more() {
    let world = World::new().await;
    let started = start(&world, &[]).await;
    let began = Instant::now();
    let (one, two) = tokio::join!(held(&world, &started.device_code, 2), async {
        until_held(&world).await;
        world.clock.advance(Lifetime::seconds(5));
        let second = held(&world, &started.device_code, 2).await;
        (second, began.elapsed())
    });
    assert_eq!(one.header("preference-applied"), Some("wait=2"));
    assert_eq!(two.0.header("preference-applied"), None);
    assert!(two.1 < Duration::from_secs(1), "answered at once");
}

#[tokio::test]
async fn strangers_cannot_fill_the_disk_with_logins_begun() {
    let world = World::new().await;
    let mut refused = None;
    for _ in 0..700 {
        let reply = world.start_device("hallpass-cli", &[]).await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("one network has an allowance");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    let told: Refused = refused.refused();
    assert_eq!(told.code, ErrorCode::TemporarilyUnavailable);
}

#[tokio::test]
async fn a_holder_may_ask_for_a_session_that_nothing_renews() {
    let world = World::new().await;
    let started = start(&world, &[("resource", NOTES)]).await;
    world.answer_device(&started.user_code, world.ada, Answer::Yes).await;
    let brief = [&form(&started.device_code)[..], &[("session", "brief"), ("resource", NOTES)]].concat();
    let json = world.post("token", &brief).await.json();
    assert!(json["refresh_token"].is_null(), "{json}");
    assert_eq!(json["expires_in"], 900, "as long as any access token may");
    let sessions = async || {
        let now = hallpass_model::time::Clock::now(&*world.clock);
        world.store.list_sessions_of(world.ada, None, 10, now).await.unwrap().items.len()
    };
    assert_eq!(sessions().await, 1);
    world.clock.advance(Lifetime::minutes(15));
    assert_eq!(sessions().await, 0, "the session is no longer than that either");
}
