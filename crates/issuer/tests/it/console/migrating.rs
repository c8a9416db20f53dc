//! The console's page of an API key that is to be left behind.

use super::*;
use hallpass_model::time::Clock;
use hallpass_model::wire::oauth::token_type;

/// Comes by the key from a machine of this name and class.
async fn come(world: &World, secret: &str, name: &str, class: &str) {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", secret),
        ("subject_token_type", token_type::API_KEY),
        ("device_name", name),
        ("device_class", class),
        ("purpose", "nightly report"),
    ];
    let reply = world.ask_token(&form, None).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

/// A world with the key `nightly` of the client `worker`, and its secret.
async fn with_key() -> (World, String) {
    let world = World::new().await;
    world.add_service("worker", &SigningKey::generate(), "notes:read").await;
    let mut ada = world.visitor_as(world.ada).await;
    let key = [
        ("do", "add"),
        ("handle", "nightly"),
        ("client", "worker"),
        ("scopes", "notes:read"),
        ("resources", NOTES),
    ];
    let made = post(&mut ada, "keys", &key).await;
    let secret = made.body.split("hpk_").nth(1).unwrap_or_else(|| panic!("{}", made.body));
    let secret = format!("hpk_{}", secret.split('<').next().unwrap());
    (world, secret)
}

#[tokio::test]
async fn whoever_uses_a_key_is_seen_with_what_they_should_have_and_whether_they_still_come_by_it() {
    let (world, secret) = with_key().await;
    let mut ada = world.visitor_as(world.ada).await;
    let page = "/acme/admin/keys?of=nightly";
    assert!(ada.get(page).await.body.contains("Nobody has used it."));
    come(&world, &secret, "runner-7", "build-agent").await;
    come(&world, &secret, HOSTILE, "laptop").await;
    let before = world.ledger_size().await;
    let seen = ada.get(page).await.body;
    for said in [
        "runner-7",
        "nightly report",
        "workload federation, by a trust",
        "authorization code with PKCE",
        "hallpass admin trust add nightly",
        "do=migrate",
    ] {
        assert!(seen.contains(said), "{said}: {seen}");
    }
    assert!(seen.contains("&#60;script&#62;alert(1)") && !seen.contains("<script>alert"), "{seen}");
    assert!(!seen.contains("left behind") && !seen.contains("do=end"), "{seen}");
    assert_eq!(world.ledger_size().await, before, "looking begins nothing");

    done(&mut ada, "keys", &[("do", "migrate"), ("of", "nightly")]).await;
    let seen = ada.get(page).await.body;
    assert_eq!(seen.matches("not once").count(), 2, "{seen}");
    assert!(seen.contains("Left behind since") && !seen.contains("do=migrate"), "{seen}");
    come(&world, &secret, "runner-7", "build-agent").await;
    let seen = ada.get(page).await.body;
    assert_eq!((seen.matches("not once").count(), seen.matches(">once<").count()), (1, 1), "{seen}");

    let end = (world.clock.now() + Lifetime::days(3)).to_string();
    done(&mut ada, "keys", &[("do", "end"), ("of", "nightly"), ("end", &end)]).await;
    let seen = ada.get(page).await.body;
    assert!(seen.contains(&format!("<dt>Ends</dt><dd><time datetime=\"{}", &end[..10])), "{seen}");
    let later = (world.clock.now() + Lifetime::days(9)).to_string();
    let late = post(&mut ada, "keys", &[("do", "end"), ("of", "nightly"), ("end", &later)]).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert!(late.body.contains("is not put off"), "{}", late.body);
    let missing = post(&mut ada, "keys", &[("do", "end"), ("of", "nightly")]).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_owner_leaves_a_key_behind_an_auditor_looks_and_nobody_elsewhere_sees_it() {
    let (world, secret) = with_key().await;
    come(&world, &secret, "runner-7", "build-agent").await;
    let mut ada = world.visitor_as(world.ada).await;
    let mut linus = world.visitor_as(world.add_person("linus").await).await;
    let to = [("do", "transfer"), ("of", "nightly"), ("to", "person:linus")];
    done(&mut ada, "keys", &to).await;
    let page = linus.get("/acme/admin/keys?of=nightly").await.body;
    assert!(page.contains("runner-7") && page.contains("do=migrate"), "{page}");
    done(&mut linus, "keys", &[("do", "migrate"), ("of", "nightly")]).await;

    let mut grace = grace_as(&world, Some(TeamRole::Auditor)).await;
    let page = grace.get("/acme/admin/keys?of=nightly").await.body;
    assert!(page.contains("runner-7") && page.contains("not once") && !page.contains("do="), "{page}");
    let refused = post(&mut grace, "keys", &[("do", "migrate"), ("of", "nightly")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let mut bob = bob_of_other(&world).await;
    let unseen = bob.get("/other/admin/keys?of=nightly").await;
    assert_eq!(unseen.status, StatusCode::NOT_FOUND);
    assert!(!unseen.body.contains("runner-7"));
}
