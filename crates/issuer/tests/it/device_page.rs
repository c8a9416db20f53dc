//! Answering a device login in a browser: the code, the question, the answer, and taking it back.

use hallpass_model::lifetimes::DEVICE_CODE;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::GrantType;
use hallpass_store::{GUESSES_BY_ADDRESS, GUESSES_BY_PERSON};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Tokens, World};
use http::StatusCode;

struct Started {
    user_code: String,
    device_code: String,
}

async fn start(world: &World) -> Started {
    let extra = [
        ("scope", "openid offline_access notes:read"),
        ("resource", NOTES),
        ("purpose", "deploy <b>release</b> 4.2"),
        ("device_install", "install-0001"),
        ("device_name", "build-7 <script>"),
        ("device_class", "server"),
    ];
    let started = world.start_device("hallpass-cli", &extra).await.json();
    let text = |name: &str| started[name].as_str().expect("a text").to_owned();
    Started { user_code: text("user_code"), device_code: text("device_code") }
}

async fn poll(world: &World, started: &Started) -> Reply {
    let form = [
        ("grant_type", GrantType::DeviceCode.text()),
        ("client_id", "hallpass-cli"),
        ("device_code", &*started.device_code),
        ("resource", &*world.issuer_url),
    ];
    world.ask_token(&form, None).await
}

async fn collect(world: &World, started: &Started) -> Tokens {
    world.tokens(poll(world, started).await, "hallpass-cli", None).await.expect("it was approved")
}

fn code_of(reply: &Reply) -> ErrorCode {
    reply.refused().code
}

#[tokio::test]
async fn a_right_code_shows_who_asks_for_what_and_approves_nothing() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;

    let opened = ada.get(&format!("/acme/device?user_code={}", started.user_code)).await;
    assert!(opened.body.contains(&started.user_code), "a link brings the code along");
    assert!(!opened.body.contains("build-7"), "and says nothing about the request yet");
    assert_eq!(code_of(&poll(&world, &started).await), ErrorCode::AuthorizationPending);

    let asked = ada.post("/acme/device", &[("code", &started.user_code.to_lowercase())]).await;
    assert_eq!(asked.status, StatusCode::OK);
    for shown in [
        "ada",
        "ACME",
        "Read notes",
        NOTES,
        "90 days at most",
        "build-7 &#60;script&#62;",
        "deploy &#60;b&#62;release",
        "In the requester's own words",
        "127.0.0.1",
        &started.user_code,
        "Does your terminal show exactly this code?",
    ] {
        assert!(asked.body.contains(shown), "lacks {shown}: {}", asked.body);
    }
    assert!(asked.body.contains("The same address"), "both are on this machine");
    world.clock.advance(Lifetime::seconds(10));
    assert_eq!(code_of(&poll(&world, &started).await), ErrorCode::AuthorizationPending);
}

#[tokio::test]
async fn yes_lets_it_in_and_the_answer_page_ends_it() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;
    ada.get("/acme/device").await;
    let answered = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    let place = answered.header("location").expect("the answer has a page of its own").to_owned();
    let tokens = collect(&world, &started).await;
    let claims = tokens.claims();
    assert_eq!(claims.acr.as_deref(), Some("phr"));
    assert_eq!(claims.amr, ["pop", "user", "mfa"]);

    let page = ada.get(&place).await;
    assert!(page.body.contains("may act for you") && page.body.contains("It was not me"), "{}", page.body);
    let request =
        hallpass_testkit::visitor::field(&page.body, "request").expect("the button names the request");

    // The id of a request is public: nobody else can look at it or end it.
    let grace = world.add_person("grace").await;
    let mut grace_s = world.visitor_as(grace).await;
    assert_eq!(grace_s.get(&place).await.status, StatusCode::NOT_FOUND);
    grace_s.get("/acme/sessions").await;
    assert_eq!(
        grace_s.post("/acme/device/end", &[("request", &request)]).await.status,
        StatusCode::NOT_FOUND
    );
    let tokens = world.refresh(&tokens).await.expect("it lives");

    let ended = ada.post("/acme/device/end", &[("request", &request)]).await;
    assert_eq!(ended.header("location"), Some(place.as_str()));
    assert!(world.refresh(&tokens).await.is_err());
    assert!(ada.get(&place).await.body.contains("can no longer act for you"));
}

#[tokio::test]
async fn the_answer_page_ends_what_came_of_it_long_after_the_code_is_over() {
    let world = World::new().await;
    let mut sweeper = crate::cuts::sweeper(&world);
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;
    world.clock.advance(Lifetime::minutes(9));
    ada.get("/acme/device").await;
    let answered = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    let place = answered.header("location").expect("the answer has a page of its own").to_owned();
    let tokens = collect(&world, &started).await;
    world.clock.advance(Lifetime::minutes(2));
    world.issuer.sweep(&mut sweeper).await.unwrap();

    let page = ada.get(&place).await;
    assert!(page.body.contains("It was not me"), "a reload shows it still: {}", page.body);
    let request = hallpass_testkit::visitor::field(&page.body, "request").unwrap();
    let grace = world.add_person("grace").await;
    let mut grace_s = world.visitor_as(grace).await;
    assert_eq!(grace_s.get(&place).await.status, StatusCode::NOT_FOUND, "to whom it belongs");
    let ended = ada.post("/acme/device/end", &[("request", &request)]).await;
    assert_eq!(ended.header("location"), Some(place.as_str()), "{}", ended.body);
    assert!(world.refresh(&tokens).await.is_err());
    assert!(ada.get(&place).await.body.contains("can no longer act for you"));
}

#[tokio::test]
async fn an_approval_taken_back_before_it_was_collected_is_a_denial() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;
    ada.get("/acme/device").await;
    let answered = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    let page = ada.get(answered.header("location").unwrap()).await;
    let request = hallpass_testkit::visitor::field(&page.body, "request").unwrap();
    ada.post("/acme/device/end", &[("request", &request)]).await;
    assert_eq!(code_of(&poll(&world, &started).await), ErrorCode::AccessDenied);
}

#[tokio::test]
async fn no_turns_it_away() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;
    ada.get("/acme/device").await;
    let answered = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "no")]).await;
    assert_eq!(code_of(&poll(&world, &started).await), ErrorCode::AccessDenied);
    assert!(ada.get(answered.header("location").unwrap()).await.body.contains("was turned away"));
    // And stays away.
    ada.get("/acme/device").await;
    let again = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    assert_eq!(again.header("location"), answered.header("location"));
    assert!(ada.get(answered.header("location").unwrap()).await.body.contains("was turned away"));
}

#[tokio::test]
async fn a_code_that_somebody_else_answered_or_that_is_over_says_so() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let grace = world.add_person("grace").await;
    let mut grace_s = world.visitor_as(grace).await;
    let started = start(&world).await;
    grace_s.get("/acme/device").await;
    grace_s.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    ada.get("/acme/device").await;
    let late = ada.post("/acme/device", &[("code", &started.user_code)]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);

    let started = start(&world).await;
    world.clock.advance(DEVICE_CODE);
    ada.get("/acme/device").await;
    let late = ada.post("/acme/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    assert_eq!(late.status, StatusCode::GONE, "{}", late.body);
}

#[tokio::test]
async fn a_code_of_another_org_is_wrong_here() {
    let world = World::new().await;
    let (other, bob) = world.add_org("other").await;
    let link = world.link(hallpass_store::LinkPurpose::Enrol { person: bob }).await;
    let mut bob = world.visitor();
    bob.enrol("other", link.expose_text()).await;
    let started = start(&world).await;
    bob.get("/other/device").await;
    let refused = bob.post("/other/device", &[("code", &started.user_code), ("answer", "yes")]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(code_of(&poll(&world, &started).await), ErrorCode::AuthorizationPending);
    let _ = other;
}

/// Guesses are counted by account first: one person's mistakes lock out nobody else of their office.
#[tokio::test]
async fn guessing_is_stopped_by_account_and_then_by_network() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let started = start(&world).await;
    ada.get("/acme/device").await;
    let wrong = |n: u32| {
        let letters = b"BCDFGHJKLM";
        let digits = format!("{n:04}");
        digits.bytes().map(|d| char::from(letters[usize::from(d - b'0')])).collect::<String>() + "ZZZZ"
    };
    assert_eq!(ada.post("/acme/device", &[("code", "not a code")]).await.status, StatusCode::BAD_REQUEST);
    for n in 0..GUESSES_BY_PERSON {
        let refused = ada.post("/acme/device", &[("code", &wrong(n))]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{n}");
    }
    // Now not even the right one is looked at, nor answered.
    for form in [&[("code", &*started.user_code)][..], &[("code", &*started.user_code), ("answer", "yes")]] {
        assert_eq!(ada.post("/acme/device", form).await.status, StatusCode::TOO_MANY_REQUESTS);
    }

    let mut count = GUESSES_BY_PERSON;
    let mut n = 0;
    while count < GUESSES_BY_ADDRESS {
        let person = world.add_person(&format!("person-{n}")).await;
        let mut visitor = world.visitor_as(person).await;
        visitor.get("/acme/device").await;
        for _ in 0..GUESSES_BY_PERSON.min(GUESSES_BY_ADDRESS - count) {
            let refused = visitor.post("/acme/device", &[("code", &wrong(count))]).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "the others go on: {count}");
            count += 1;
        }
        n += 1;
    }
    let last = world.add_person("last").await;
    let mut last = world.visitor_as(last).await;
    last.get("/acme/device").await;
    assert_eq!(
        last.post("/acme/device", &[("code", &started.user_code)]).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );

    world.clock.advance(Lifetime::hours(1));
    let started = start(&world).await;
    last.log_in("acme", &[]).await;
    last.get("/acme/device").await;
    assert_eq!(
        last.post("/acme/device", &[("code", &started.user_code)]).await.status,
        StatusCode::OK,
        "an hour later"
    );
}
