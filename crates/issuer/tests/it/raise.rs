//! Raising the session that is there (RFC 9470): the same session, as strong as its person has just proved anew.

use hallpass_model::cut::{Target, Why};
use hallpass_model::grant::{Acr, Amr, Approval, Authentication};
use hallpass_model::id::SessionId;
use hallpass_model::jose::SigningKey;
use hallpass_model::raise::NotRaised;
use hallpass_model::step_up::Demand;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{Answer, AnswerDevice, Approver, DeviceAnswered, MakeCut, SetClientDemand};
use hallpass_testkit::World;
use hallpass_testkit::client::{Reply, Tokens, encode};
use hallpass_testkit::world::NOTES;
use http::StatusCode;

const CLI: (&str, &str) = ("client_id", "hallpass-cli");
const BACK: &str = "http://127.0.0.1:53211/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A minute later, a device login that is to raise the session of these tokens.
async fn start(world: &World, tokens: &Tokens) -> Reply {
    world.clock.advance(Lifetime::minutes(1));
    let form = [CLI, ("step_up_token", tokens.refresh.as_str())];
    world.ask_bound("device_authorization", &form, tokens.key.as_ref().unwrap()).await
}

async fn answer(world: &World, user_code: &str, by: Approver) -> DeviceAnswered {
    let grant = world.store.find_device_by_user_code(world.org, user_code).await.unwrap().unwrap().id;
    let answer = Answer::Yes;
    world.change(AnswerDevice { org: world.org, grant, by, answer, address: "127.0.0.1".into() }).await
}

fn ada(world: &World) -> Approver {
    let (principal, authentication) = (world.ada, world.by_passkey());
    Approver { principal, authentication, approval: Approval::DevicePage }
}

async fn collect(world: &World, device_code: &str, key: &SigningKey) -> Reply {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        CLI,
        ("device_code", device_code),
        ("resource", &world.issuer_url),
    ];
    world.ask_token(&form, Some(key)).await
}

async fn auth_time(world: &World, session: SessionId) -> i64 {
    world.store.find_session(session).await.unwrap().unwrap().grant.authentication.at.seconds()
}

#[tokio::test]
async fn the_same_session_goes_on_and_is_as_lately_proved_as_its_person_has_just_shown() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let before = world.store.find_session(login.session()).await.unwrap().unwrap();
    let started = start(&world, &login).await;
    assert_eq!(started.status, StatusCode::OK, "{}", started.body);
    let started = started.json();
    let size = world.ledger_size().await;
    let answered = answer(&world, started["user_code"].as_str().unwrap(), ada(&world)).await;
    assert_eq!(answered, DeviceAnswered::Approved);
    let device_code = started["device_code"].as_str().unwrap();
    let key = login.key.clone().unwrap();
    let reply = collect(&world, device_code, &key).await;
    assert!(reply.json()["session_expires_in"].as_i64().unwrap() > 0);
    let raised = world.tokens(reply, "hallpass-cli", Some(&key)).await.unwrap();
    assert_eq!(raised.session(), login.session());
    assert_eq!(raised.refresh, "", "those that are there go on");
    assert_eq!(raised.claims().auth_time, Some(world.clock.now().seconds()));
    assert_eq!(world.ledger_from(size).await, ["approved", "raised"]);

    let after = world.store.find_session(login.session()).await.unwrap().unwrap();
    assert_eq!(
        (after.expires, after.created, after.binding),
        (before.expires, before.created, before.binding)
    );
    assert_eq!(
        (&after.grant.scopes, &after.grant.resources),
        (&before.grant.scopes, &before.grant.resources)
    );
    // The refresh token of before is the newest still, and what comes of it says so.
    let refreshed = world.refresh(&login).await.unwrap();
    assert_eq!(refreshed.session(), login.session());
    assert_eq!(refreshed.claims().auth_time, raised.claims().auth_time);
    let exchanged = world.exchange(&refreshed, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(exchanged.claims().auth_time, raised.claims().auth_time);
    assert!(world.accepts(&pass.access).await, "what is on its way goes on");

    // A second time it is over; and giving the code back ends nothing, as it opened nothing.
    let again = collect(&world, device_code, &key).await;
    assert_eq!(again.refused().code, ErrorCode::ExpiredToken);
    world.revoke(device_code, "hallpass-cli").await;
    assert!(world.refresh(&refreshed).await.is_ok());
}

/// Holds T-150.
#[tokio::test]
async fn nobody_raises_a_session_that_is_not_theirs_or_whose_key_they_do_not_have() {
    let world = World::new().await;
    let eve = world.add_person("eve").await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let at = auth_time(&world, login.session()).await;
    world.clock.advance(Lifetime::minutes(1));

    // By a copied token: without the key, and by another.
    let form = [CLI, ("step_up_token", login.refresh.as_str())];
    for path in ["device_authorization", "par"] {
        let more = [("response_type", "code"), ("redirect_uri", BACK), ("code_challenge", CHALLENGE)];
        let form = [&form[..], &more, &[("code_challenge_method", "S256")]].concat();
        assert_eq!(world.post(path, &form).await.refused().code, ErrorCode::InvalidDpopProof, "{path}");
        let other = world.ask_bound(path, &form, &SigningKey::generate()).await;
        assert_eq!(other.refused().code, ErrorCode::InvalidDpopProof, "{path}");
    }
    let unbound = world.sign_in("ada", "hallpass-cli").await;
    let form = [CLI, ("step_up_token", unbound.refresh.as_str())];
    let refused = world.ask_bound("device_authorization", &form, &SigningKey::generate()).await;
    assert!(refused.refused().told.contains("bound to no key"), "{}", refused.body);
    // In an address, and with more than it has.
    let query = encode(&[
        CLI,
        ("response_type", "code"),
        ("redirect_uri", BACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("step_up_token", &login.refresh),
    ]);
    let sent = world.send(world.http.get(world.at(&format!("authorize?{query}")))).await;
    assert!(sent.header("location").unwrap().contains("error=invalid_request"), "{}", sent.body);
    let key = login.key.clone().unwrap();
    let wider = [CLI, ("step_up_token", login.refresh.as_str()), ("scope", "notes:write")];
    let wider = world.ask_bound("device_authorization", &wider, &key).await;
    assert!(wider.refused().told.contains("keeps its scopes"), "{}", wider.body);

    // By somebody else who is talked into it, by an operator, and by a login of before.
    let started = start(&world, &login).await.json();
    let code = started["user_code"].as_str().unwrap();
    let by_eve = Approver { principal: eve, ..ada(&world) };
    assert_eq!(answer(&world, code, by_eve).await, DeviceAnswered::NotRaised(NotRaised::OtherPerson));
    let local = Authentication { at: world.clock.now(), acr: Acr::Local, amr: vec![Amr::Local] };
    let local = Approver { authentication: local, approval: Approval::AdminSocket, ..ada(&world) };
    assert!(matches!(answer(&world, code, local).await, DeviceAnswered::Unmet(_)));
    let old = Authentication { at: world.clock.now() - Lifetime::minutes(1), ..world.by_passkey() };
    let old = Approver { authentication: old, ..ada(&world) };
    assert!(matches!(answer(&world, code, old).await, DeviceAnswered::Unmet(_)));
    assert_eq!(answer(&world, code, ada(&world)).await, DeviceAnswered::Approved);
    // The answer is redeemed with the key of the session, or not at all.
    let device_code = started["device_code"].as_str().unwrap();
    let stolen = collect(&world, device_code, &SigningKey::generate()).await;
    assert_eq!(stolen.refused().code, ErrorCode::InvalidGrant);
    assert_eq!(auth_time(&world, login.session()).await, at);
    assert!(world.refresh(&login).await.is_ok(), "no try ended anything");
}

#[tokio::test]
async fn a_session_that_was_cut_or_is_over_is_raised_neither_at_the_start_nor_at_the_end() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let key = login.key.clone().unwrap();
    let started = start(&world, &login).await.json();
    assert_eq!(
        answer(&world, started["user_code"].as_str().unwrap(), ada(&world)).await,
        DeviceAnswered::Approved
    );
    let waiting = start(&world, &login).await.json();
    let cut = MakeCut {
        org: Some(world.org),
        target: Target::Session(login.session()),
        why: Why::EndedByAdministrator,
    };
    world.change(cut).await;
    let collected = collect(&world, started["device_code"].as_str().unwrap(), &key).await;
    assert_eq!(collected.refused().code, ErrorCode::InvalidGrant, "{}", collected.body);
    let answered = answer(&world, waiting["user_code"].as_str().unwrap(), ada(&world)).await;
    assert!(matches!(answered, DeviceAnswered::NotRaised(NotRaised::Session(_))), "{answered:?}");
    assert!(start(&world, &login).await.refused().told.contains("log in anew"));

    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    world.clock.advance(Lifetime::days(60));
    assert!(start(&world, &login).await.refused().told.contains("log in anew"));
}

#[tokio::test]
async fn the_pushed_request_s_page_says_which_session_and_refuses_another_person() {
    let world = World::new().await;
    let eve = world.add_person("eve").await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let key = login.key.clone().unwrap();
    world.clock.advance(Lifetime::minutes(1));
    let push = async || {
        let form = [
            CLI,
            ("step_up_token", &login.refresh),
            ("response_type", "code"),
            ("redirect_uri", BACK),
            ("state", "s1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let pushed = world.ask_bound("par", &form, &key).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
        let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
        format!("/acme/authorize?{}", encode(&[CLI, ("request_uri", &uri)]))
    };
    let request_of = |reply: &Reply| {
        let location: url::Url =
            format!("http://x{}", reply.header("location").unwrap().trim_start_matches(&world.base_url))
                .parse()
                .unwrap();
        location.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned()
    };
    let mut mallory = world.visitor_as(eve).await;
    let theirs = request_of(&mallory.get(&push().await).await);
    let page = mallory.get(&format!("/acme/consent?request={theirs}")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.body);
    assert!(
        page.body.contains("somebody else&#39;s session") || page.body.contains("somebody else's session"),
        "{}",
        page.body
    );

    let mut person = world.visitor_as(world.ada).await;
    world.clock.advance(Lifetime::seconds(1));
    let request = request_of(&person.get(&push().await).await);
    let sent = person.get(&format!("/acme/consent?request={request}")).await;
    assert!(
        sent.header("location").is_some_and(|there| there.contains("again=1")),
        "a login of before: {}",
        sent.body
    );
    world.clock.advance(Lifetime::seconds(1));
    person.log_in("acme", &[("to", "consent"), ("request", &request)]).await;
    let page = person.get(&format!("/acme/consent?request={request}")).await;
    assert!(
        page.body.contains("A session is to be made stronger") && page.body.contains("It gets nothing new"),
        "{}",
        page.body
    );
    let reply = person.post("/acme/consent", &[("request", &request), ("answer", "yes")]).await;
    let location: url::Url = reply.header("location").unwrap().parse().unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        CLI,
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", &world.issuer_url),
    ];
    let raised =
        world.tokens(world.ask_token(&form, Some(&key)).await, "hallpass-cli", Some(&key)).await.unwrap();
    assert_eq!(raised.session(), login.session());
    // RFC 6749, section 4.1.2: it is used once. What it raised was there before it, and does not die of a second try.
    assert_eq!(world.ask_token(&form, Some(&key)).await.refused().code, ErrorCode::InvalidGrant);
    assert!(world.refresh(&login).await.is_ok());
}

#[tokio::test]
async fn a_client_that_demands_a_newer_login_of_every_renewal_gets_it_by_raising() {
    let world = World::new().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let five = Demand { acr: None, max_age: Some(Lifetime::minutes(5)), sso: false };
    let set = SetClientDemand { org: world.org, client: world.cli, demand: five, pushed_only: false };
    assert!(world.change(set).await);
    world.clock.advance(Lifetime::minutes(20));
    assert_eq!(world.refresh(&login).await.unwrap_err().code, ErrorCode::InsufficientUserAuthentication);
    let started = start(&world, &login).await.json();
    answer(&world, started["user_code"].as_str().unwrap(), ada(&world)).await;
    let collected =
        collect(&world, started["device_code"].as_str().unwrap(), login.key.as_ref().unwrap()).await;
    assert_eq!(collected.status, StatusCode::OK, "{}", collected.body);
    assert!(world.refresh(&login).await.is_ok());
}
