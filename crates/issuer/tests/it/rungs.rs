//! Where the key of a sign-in rests: what its holder says of that, who sees it, and what an org demands.

use hallpass_model::device::DeviceClass;
use hallpass_model::principal::OrgLimits;
use hallpass_model::rung::Rung;
use hallpass_model::time::Clock;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{Answer, SetOrgLimits};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, Tokens, World};

/// Begins a login on a machine that says this of itself.
async fn start(world: &World, rung: &str) -> Reply {
    let claim = [
        ("device_install", "install-0001"),
        ("device_name", "adas-laptop"),
        ("device_class", "laptop"),
        ("device_rung", rung),
        ("scope", "notes:read"),
        ("resource", NOTES),
    ];
    world.start_device("hallpass-cli", &claim).await
}

async fn sign_in(world: &World, rung: &str) -> Tokens {
    let started = start(world, rung).await.json();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    world.answer_device(&text("user_code"), world.ada, Answer::Yes).await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", &text("device_code")),
        ("resource", &world.issuer_url),
    ];
    let reply = world.ask_token(&form, None).await;
    world.tokens(reply, "hallpass-cli", None).await.unwrap()
}

async fn demand(world: &World, rungs: &[Rung]) {
    let rungs = rungs.to_vec().try_into().ok();
    let limits = OrgLimits { rungs, ..OrgLimits::default() };
    world.change(SetOrgLimits { org: world.org, limits }).await.unwrap();
}

/// The one session of ada's, as a list has it.
async fn listed(world: &World) -> hallpass_store::SessionSummary {
    let now = world.clock.now();
    world.store.list_sessions_of(world.ada, None, 10, now).await.unwrap().items.remove(0)
}

#[tokio::test]
async fn rung_and_class_are_kept_on_the_session_and_shown_to_its_person() {
    let world = World::new().await;
    let first = sign_in(&world, "secret-service").await;
    let kept = listed(&world).await;
    assert_eq!((kept.rung, kept.class), (Some(Rung::SecretService), Some(DeviceClass::Laptop)));
    let page = world.visitor_as(world.ada).await.get("/acme/sessions").await.body;
    assert!(page.contains("one person’s; the key rests in the Secret Service, as it says"), "{page}");
    let said = [("device_rung", "keyring"), ("device_class", "shared-host")];
    let second = world.refresh_with(&first, &said).await.unwrap();
    let kept = listed(&world).await;
    assert_eq!((kept.rung, kept.class), (Some(Rung::Keyring), Some(DeviceClass::SharedHost)));
    // Who says nothing changes nothing.
    world.refresh(&second).await.unwrap();
    assert_eq!(listed(&world).await.rung, Some(Rung::Keyring));
}

#[tokio::test]
async fn an_org_s_demand_is_met_at_login_before_anybody_is_asked() {
    let world = World::new().await;
    demand(&world, &[Rung::SecretService, Rung::Tpm]).await;
    let seq = world.ledger_size().await;
    for rung in ["keyring", "a-rung-of-later", ""] {
        let refused = start(&world, rung).await.refused();
        assert_eq!(refused.code, ErrorCode::RungNotAllowed, "{rung}");
        assert!(
            refused.told.contains("rule `rung`") && refused.told.contains("secret-service, tpm"),
            "{}",
            refused.told
        );
    }
    assert_eq!(world.ledger_from(seq).await, ["denied: rung"], "coalesced");
    assert_eq!(start(&world, "tpm").await.status, 200);
    // The same where a browser is sent.
    let query = encode(&[
        ("client_id", "hallpass-cli"),
        ("redirect_uri", "http://127.0.0.1:49152/callback"),
        ("response_type", "code"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("device_install", "install-0001"),
        ("device_rung", "keyring"),
    ]);
    let reply = world.get(&format!("authorize?{query}")).await;
    let location = reply.header("location").unwrap_or_else(|| panic!("{} {}", reply.status, reply.body));
    assert!(location.contains("error=rung_not_allowed"), "{location}");
}

#[tokio::test]
async fn an_org_s_demand_is_met_at_refresh_and_ends_no_session() {
    let world = World::new().await;
    let login = sign_in(&world, "keyring").await;
    demand(&world, &[Rung::SecretService]).await;
    for said in [&[("device_rung", "keyring")][..], &[]] {
        let refused = world.refresh_with(&login, said).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::RungNotAllowed);
        assert!(refused.told.contains("secret-service"), "{}", refused.told);
    }
    demand(&world, &[]).await;
    assert!(world.refresh_with(&login, &[("device_rung", "keyring")]).await.is_ok(), "nothing was used up");
}
