//! What is of one environment gets nothing of another, whichever way it asks.

use hallpass_model::client::ClientKind;
use hallpass_model::jose::SigningKey;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::{AddClient, SetClientEnvironment};
use hallpass_testkit::World;
use hallpass_testkit::client::{Refused, encode};
use hallpass_testkit::world::NOTES;

/// [`NOTES`] is of `dev`.
async fn set(world: &World, client: &str, environment: Option<&str>) {
    let client = world.store.find_client_by_handle(world.org, client).await.unwrap().unwrap().id;
    let environment = environment.map(|text| text.parse().unwrap());
    assert!(world.change(SetClientEnvironment { org: world.org, client, environment }).await);
}

fn another(refused: &Refused) -> bool {
    refused.code == ErrorCode::InvalidTarget && refused.told.contains("another environment")
}

#[tokio::test]
async fn a_client_of_one_environment_has_nothing_of_another_s_resources() {
    let world = World::new().await;
    let own = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().environment.clone();
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = [("resource", NOTES)];
    set(&world, "hallpass-cli", Some(own.as_str())).await;
    world.exchange(&login, &pass).await.expect("its own environment's");

    // What was agreed to before gives nothing after.
    set(&world, "hallpass-cli", Some("stage")).await;
    assert!(another(&world.exchange(&login, &pass).await.unwrap_err()));
    assert!(another(&world.refresh_with(&login, &pass).await.unwrap_err()));
    let login = world.refresh(&login).await.expect("the sign-in itself is of no environment");
    // Nobody is asked for what their client never gets.
    let device = world.start_device("hallpass-cli", &[("scope", "notes:read"), ("resource", NOTES)]).await;
    assert!(another(&device.refused()), "{}", device.body);
    let asked = [
        ("client_id", "hallpass-cli"),
        ("redirect_uri", "http://127.0.0.1:49152/callback"),
        ("response_type", "code"),
        ("scope", "notes:read"),
        ("resource", NOTES),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let sent = world.get(&format!("authorize?{}", encode(&asked))).await;
    assert!(
        sent.header("location").unwrap().contains("error=invalid_target"),
        "{:?}",
        sent.header("location")
    );
    let entries = world.ledger_since(&login).await;
    assert!(entries.contains(&"denied: environment".to_owned()), "{entries:?}");

    set(&world, "hallpass-cli", None).await;
    world.exchange(&login, &pass).await.expect("a client of none has any");
}

#[tokio::test]
async fn a_service_of_one_environment_has_no_token_for_another_s() {
    let world = World::new().await;
    let key = SigningKey::generate();
    let keys = hallpass_model::jose::JwkSet::new(vec![key.public().clone()]);
    let add = AddClient {
        environment: Some("stage".parse().unwrap()),
        scopes: "notes:read".parse().unwrap(),
        authentication: hallpass_model::client::ClientAuthentication::PrivateKeyJwt(keys),
        ..world.new_client("batch", ClientKind::Service)
    };
    world.add_client(add).await;
    let ask = async |resource: Option<&str>| {
        let [kind, signed] = world.assertion("batch", &key);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            (kind.0, kind.1.as_str()),
            (signed.0, signed.1.as_str()),
        ];
        form.extend(resource.map(|resource| ("resource", resource)));
        world.post("token", &form).await
    };
    let refused = ask(Some(NOTES)).await;
    assert!(another(&refused.refused()), "{}", refused.body);
    assert_eq!(ask(None).await.status, http::StatusCode::OK);
    set(&world, "batch", None).await;
    assert_eq!(ask(Some(NOTES)).await.status, http::StatusCode::OK);
}
