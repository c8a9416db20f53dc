//! An org signs with one key after another, and nobody who did nothing wrong notices.

use hallpass_model::jose::{Algorithm, peek_unverified};
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::{SIGNING_KEY, SIGNING_KEY_AHEAD, SIGNING_KEY_OVERLAP};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::verifier::{Expected, judge};
use hallpass_store::{SigningKeyRotated, WhyRotated};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;

/// The keys that verifiers find, by their ids.
async fn published(world: &World) -> Vec<String> {
    let keys = world.get("jwks").await.json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn signed_by(token: &str) -> String {
    peek_unverified(token).unwrap().kid.unwrap()
}

fn all_but_a_second(lifetime: Lifetime) -> Lifetime {
    Lifetime::seconds(u32::try_from(lifetime.as_seconds()).unwrap() - 1)
}

async fn rotate(world: &World, why: WhyRotated) -> SigningKeyRotated {
    world.issuer.rotate_signing_key(Actor::Operator, world.org, why, None).await.unwrap()
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_the_one_before_until_all_of_it_is_dead() {
    let world = World::new().await;
    let [first] = &published(&world).await[..] else { panic!("one key") };
    let login = world.sign_in("ada", "hallpass-cli").await;
    assert_eq!(signed_by(&login.access), *first);

    let SigningKeyRotated::Done { .. } = rotate(&world, WhyRotated::Command).await else {
        panic!("not done")
    };
    let both = published(&world).await;
    assert_eq!((both.len(), &both[0]), (2, first), "published, and the older signs");
    assert!(
        matches!(rotate(&world, WhyRotated::Command).await, SigningKeyRotated::Already { .. }),
        "one at a time"
    );
    world.clock.advance(all_but_a_second(SIGNING_KEY_AHEAD));
    world.issuer.advance_signing_keys().await.unwrap();
    let login = world.refresh(&login).await.unwrap();
    assert_eq!(signed_by(&login.access), *first, "not yet");
    let pass = world.exchange(&login, &[("resource", NOTES), ("lifetime", "900")]).await.unwrap();

    world.clock.advance(Lifetime::seconds(1));
    world.issuer.advance_signing_keys().await.unwrap();
    let next = world.refresh(&login).await.unwrap();
    assert_eq!(signed_by(&next.access), both[1]);
    assert!(world.accepts(&pass.access).await, "what the one before signed lives out its minutes");
    assert_eq!(published(&world).await.len(), 2);

    world.clock.advance(SIGNING_KEY_OVERLAP);
    world.issuer.advance_signing_keys().await.unwrap();
    assert_eq!(published(&world).await, [both[1].clone()]);
    world.refresh(&next).await.expect("and sign-ins go on");
}

#[tokio::test]
async fn a_key_that_signed_long_enough_is_replaced_by_itself() {
    let world = World::new().await;
    let first = published(&world).await;
    world.clock.advance(all_but_a_second(SIGNING_KEY));
    world.issuer.advance_signing_keys().await.unwrap();
    assert_eq!(published(&world).await, first);
    world.clock.advance(Lifetime::seconds(1));
    for _ in 0..2 {
        world.issuer.advance_signing_keys().await.unwrap();
        assert_eq!(published(&world).await.len(), 2, "one, however often it is looked at");
    }
    world.clock.advance(SIGNING_KEY_AHEAD);
    world.issuer.advance_signing_keys().await.unwrap();
    let login = world.sign_in("ada", "hallpass-cli").await;
    assert_ne!(signed_by(&login.access), first[0]);
}

/// SECURITY: whoever has the key can sign what they like; from this moment on none of it counts.
#[tokio::test]
async fn in_an_emergency_the_key_is_gone_at_once_with_all_that_it_signed_and_sign_ins_go_on() {
    let world = World::new().await;
    let first = published(&world).await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    // Another on its way may be theirs as well.
    rotate(&world, WhyRotated::Command).await;
    let both = published(&world).await;
    assert!(world.accepts(&pass.access).await);

    assert!(matches!(rotate(&world, WhyRotated::Emergency).await, SigningKeyRotated::Done { .. }));
    let now = published(&world).await;
    assert!(now.len() == 1 && !both.contains(&now[0]) && now != first, "{now:?}");
    assert!(!world.accepts(&pass.access).await);
    assert!(world.exchange(&login, &[("resource", NOTES)]).await.is_err(), "its own token is as dead");
    let login = world.refresh(&login).await.expect("nothing of the sign-in itself was signed");
    assert_eq!(signed_by(&login.access), now[0]);
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert!(world.accepts(&pass.access).await);
}

/// EdDSA by choice: tokens, ID tokens and metadata go along, verifiers know both, and the next rotation keeps to it.
#[tokio::test]
async fn an_org_signs_by_ed25519_where_somebody_says_so_and_goes_on_with_it() {
    let world = World::new().await;
    let before = world.sign_in_for("ada", "hallpass-cli", &[NOTES], "openid notes:read").await;
    let how = Some(Algorithm::EdDsa);
    world.issuer.rotate_signing_key(Actor::Operator, world.org, WhyRotated::Command, how).await.unwrap();
    let says = async || {
        world.get(".well-known/openid-configuration").await.json()["id_token_signing_alg_values_supported"]
            .clone()
    };
    assert_eq!(says().await, serde_json::json!(["ES256", "EdDSA"]));
    world.clock.advance(SIGNING_KEY_AHEAD);
    world.issuer.advance_signing_keys().await.unwrap();
    let login = world.sign_in_for("ada", "hallpass-cli", &[NOTES], "openid notes:read").await;
    let kid = signed_by(&login.access);
    let keys = world.get("jwks").await.json();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == *kid).unwrap();
    assert_eq!((&key["crv"], &key["alg"]), (&"Ed25519".into(), &"EdDSA".into()));
    let refreshed = world.refresh(&before).await.unwrap();
    assert_eq!(signed_by(&refreshed.access), kid);
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert!(world.accepts(&pass.access).await);
    // As any verifier judges it, by what is published.
    let (keys, scopes) = (serde_json::from_value(keys).unwrap(), "notes:read".parse().unwrap());
    let expected = Expected { issuer: &world.issuer_url, audience: NOTES, scopes: &scopes, proven: None };
    assert!(judge(&pass.access, &keys, &expected, world.clock.now()).is_ok());
    rotate(&world, WhyRotated::Emergency).await;
    assert_eq!(says().await, serde_json::json!(["EdDSA"]), "it keeps to it");
}
