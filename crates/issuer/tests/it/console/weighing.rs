//! The console's form that says how a token stands to a trust.

use hallpass_model::jose::Typ;
use hallpass_model::time::Clock;
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_store::AddTrust;
use hallpass_testkit::outside_issuer::OutsideIssuer;
use serde_json::json;

use super::*;

/// A world with a trust `site` in an outside issuer's jobs.
async fn with_trust() -> (World, OutsideIssuer) {
    let world = World::new().await;
    let outside = OutsideIssuer::start().await;
    let client = world
        .add_client(AddClient {
            scopes: Scopes::parse("notes:read").unwrap(),
            ..world.new_client("deployer", ClientKind::Ci)
        })
        .await;
    let trust = AddTrust {
        org: world.org,
        handle: "site".parse().unwrap(),
        client,
        environment: "dev".parse().unwrap(),
        rule: Rule {
            preset: Preset::Gitlab,
            issuer: outside.url().to_owned(),
            audience: world.issuer_url.clone(),
            conditions: vec!["project_id=20".parse().unwrap(), "ref=main".parse().unwrap()],
        },
        keys: IssuerKeys::Discovered,
        scopes: Scopes::parse("notes:read").unwrap(),
        longest: Lifetime::minutes(5),
    };
    world.change(trust).await.unwrap();
    (world, outside)
}

/// A job's token, from this branch.
fn job(world: &World, outside: &OutsideIssuer, branch: &str) -> String {
    let now = world.clock.now().seconds();
    let claims = json!({
        "iss": outside.url(), "aud": world.issuer_url, "sub": "project_path:acme/site", "project_id": "20",
        "ref": branch, "jti": "1", "iat": now, "nbf": now - 5, "exp": now + 300,
    });
    outside.sign(Typ::IdToken, &claims)
}

async fn test(visitor: &mut Visitor<'_>, token: &str) -> Reply {
    post(visitor, "trusts", &[("do", "test"), ("of", "site"), ("token", token)]).await
}

/// SECURITY: a job's token opens doors while it is good.
fn says_nothing_of(token: &str, reply: &Reply) {
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(!reply.body.contains(part), "{part}: {}", reply.body);
    }
    assert_eq!(reply.header("location"), None);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_token_is_weighed_line_by_line_and_shown_to_nobody_again() {
    let (world, outside) = with_trust().await;
    // Looking takes a role that looks, and no new login.
    let mut grace = grace_as(&world, Some(TeamRole::Auditor)).await;
    world.clock.advance(RECENT_LOGIN);
    assert!(grace.get("/acme/admin/trusts?of=site").await.body.contains("do=test"));
    let form = grace.get("/acme/admin/trusts?of=site&do=test").await;
    assert_eq!(form.status, StatusCode::OK, "{}", form.body);
    assert!(
        form.body.contains("autocomplete=\"off\"") && form.body.contains("method=\"post\""),
        "{}",
        form.body
    );

    let before = world.ledger_size().await;
    let good = job(&world, &outside, "main");
    let reply = test(&mut grace, &good).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.contains("It is let in") && !reply.body.contains("It is not"), "{}", reply.body);
    assert!(reply.body.contains("<code>project_id</code>"), "{}", reply.body);
    says_nothing_of(&good, &reply);

    let hostile = job(&world, &outside, HOSTILE);
    let reply = test(&mut grace, &hostile).await;
    assert!(reply.body.contains("It is not let in"), "{}", reply.body);
    assert_eq!(reply.body.matches("<span class=\"tag stop\">no</span>").count(), 1, "{}", reply.body);
    assert!(
        reply.body.contains("&#60;script&#62;") && !reply.body.contains("<script>alert"),
        "{}",
        reply.body
    );
    says_nothing_of(&hostile, &reply);

    let stranger = OutsideIssuer::start().await;
    let foreign = job(&world, &stranger, "main");
    let forged = job(&world, &outside, "main").rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    for (token, why) in [
        (foreign.as_str(), "no trust"),
        (forged.as_str(), "What is wrong with the token itself"),
        ("what-is-no-token-at-all", "It is not let in"),
    ] {
        let reply = test(&mut grace, token).await;
        assert!(reply.body.contains("It is not let in") && reply.body.contains(why), "{why}: {}", reply.body);
        says_nothing_of(token, &reply);
    }
    let missing = test(&mut grace, " ").await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    let huge = test(&mut grace, &"a".repeat(17_000)).await;
    assert!(huge.body.contains("It is not let in"), "{}", huge.body);
    assert_eq!(world.ledger_size().await, before, "nothing comes of it");
}

#[tokio::test]
async fn a_token_is_weighed_by_those_alone_who_look_and_by_the_trusts_of_their_own_org() {
    let (world, outside) = with_trust().await;
    let token = job(&world, &outside, "main");
    // Who answers for something else is in the console, and looks at no trust.
    let mut linus = world.visitor_as(world.add_person("linus").await).await;
    let mut ada = world.visitor_as(world.ada).await;
    done(&mut ada, "clients", &[("do", "transfer"), ("of", "notes-api"), ("to", "person:linus")]).await;
    assert_eq!(linus.get("/acme/admin").await.status, StatusCode::OK);
    let refused = test(&mut linus, &token).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    says_nothing_of(&token, &refused);
    let mut bob = bob_of_other(&world).await;
    bob.get("/other/admin").await;
    let form = [("do", "test"), ("of", "site"), ("token", &*token)];
    let reply = bob.post("/other/admin/trusts", &form).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.body);
    says_nothing_of(&token, &reply);
    // What is only opened weighs nothing.
    let opened =
        ada.get(&format!("/acme/admin/trusts?of=site&do=test&{}", encode(&[("token", &token)]))).await;
    assert!(!opened.body.contains("It is let in"), "{}", opened.body);
    says_nothing_of(&token, &opened);
}
