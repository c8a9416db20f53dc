//! The picture of a client that acts for itself: its API keys and its trusts.

use hallpass_store::AddApiKey;

use super::*;

async fn drawn(ada: &mut Visitor<'_>, of: &str) -> String {
    let page = ada.get(&format!("/acme/admin/lineage?of={of}")).await;
    assert_eq!(page.status, StatusCode::OK, "{of}: {}", page.body);
    page.body
}

#[tokio::test]
async fn a_client_is_drawn_with_its_keys_and_trusts_and_each_ends_what_is_below() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    add_trust_and_key(&world, &mut ada).await;
    let client = |handle| world.store.find_client_by_handle(world.org, handle);
    let worker = client("worker").await.unwrap().unwrap().id.to_string();
    let deployer = client("deployer").await.unwrap().unwrap().id.to_string();
    let key = world.store.find_api_key_by_handle(world.org, "nightly").await.unwrap().unwrap();
    let secret = world.store.api_key_secrets(&key).await.unwrap()[0].id.to_string();
    let key = key.id.to_string();

    let page = ada.get("/acme/admin/clients?of=worker").await.body;
    assert!(page.contains(&format!("href=\"/acme/admin/lineage?of={worker}\"")), "{page}");
    for of in [&worker, &key, &secret] {
        let page = drawn(&mut ada, of).await;
        assert_eq!(page.matches("class=\"node alive").count(), 3, "{of}: {page}");
        assert_eq!(page.matches(" asked\"").count(), 2, "{of}: in the picture and in the list");
        assert!(page.contains("href=\"/acme/admin/keys?of=nightly\""), "{page}");
        assert!(page.contains("nothing is kept of them"), "that passes are missing is said: {page}");
    }
    let page = drawn(&mut ada, &deployer).await;
    assert_eq!(page.matches("class=\"node alive").count(), 2, "{page}");
    assert!(page.contains("href=\"/acme/admin/trusts?of=github\""), "{page}");

    done(&mut ada, "lineage", &[("do", "secret"), ("of", &worker), ("which", &secret)]).await;
    let page = drawn(&mut ada, &worker).await;
    assert_eq!(
        page.matches("class=\"node cut").count(),
        2,
        "the secret, and the key that has no other: {page}"
    );
    done(&mut ada, "clients", &[("do", "disable"), ("of", "deployer")]).await;
    let page = drawn(&mut ada, &deployer).await;
    assert_eq!(page.matches("class=\"node cut").count(), 2, "nobody comes in by its trust: {page}");

    let mut bob = bob_of_other(&world).await;
    for of in [&worker, &deployer, &key, &secret] {
        let unseen = bob.get(&format!("/other/admin/lineage?of={of}")).await;
        assert_eq!(unseen.status, StatusCode::NOT_FOUND, "{of}: {}", unseen.body);
    }
    bob.get("/other/admin").await;
    let form = [("do", "key"), ("of", &*key), ("which", &*key)];
    assert_eq!(bob.post("/other/admin/lineage", &form).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_client_of_many_keys_is_drawn_up_to_so_many_nodes() {
    let world = World::new().await;
    let client = world.add_service("worker", &SigningKey::generate(), "notes:read").await;
    for n in 0..125 {
        let add = AddApiKey {
            org: world.org,
            handle: format!("key-{n}").parse().unwrap(),
            client,
            owner: None,
            scopes: Scopes::parse("notes:read").unwrap(),
            resources: vec![NOTES.into()],
            networks: Vec::new(),
            lasts: None,
            direct: None,
            exception: None,
        };
        world.change(add).await.unwrap();
        world.clock.advance(Lifetime::millis(1));
    }
    let mut ada = world.visitor_as(world.ada).await;
    let page = drawn(&mut ada, &client.to_string()).await;
    assert_eq!(page.matches("class=\"node alive").count(), 120);
    assert!(page.contains("There is more: this shows the newest 120") && page.contains("key-124"), "{page}");
    assert!(!page.contains("key-0<"), "{page}");
}
