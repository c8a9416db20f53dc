//! The run connection, `/lease`: a pass lives as long as the command it was handed to.

use std::time::Duration;

use hallpass_model::lifetimes::RUN_RESUME;
use hallpass_model::time::Lifetime;
use hallpass_store::LeaseState;
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Tokens, World};

/// The store hears of a dropped connection within milliseconds; this is for a busy machine.
const WAIT: Duration = Duration::from_secs(30);

async fn pass(world: &World) -> Tokens {
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.exchange(&login, &[("resource", NOTES), ("lease", "true")]).await.unwrap()
}

async fn connect(world: &World, pass: &Tokens) -> reqwest::Response {
    let lease = pass.lease.expect("a lease was asked for").to_string();
    let request =
        world.http.post(world.at("lease")).bearer_auth(&pass.access).body(encode(&[("lease", &lease)]));
    request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()
}

async fn line(run: &mut reqwest::Response) -> String {
    let chunk = run.chunk().await.unwrap().unwrap_or_default();
    String::from_utf8(chunk.to_vec()).unwrap()
}

/// Waits until the store has heard that the connection dropped.
async fn until_awaited(world: &World, pass: &Tokens) {
    loop {
        match world.store.find_lease(pass.lease.unwrap()).await.unwrap().map(|lease| lease.state) {
            Some(LeaseState::Connected { .. }) => tokio::task::yield_now().await,
            _ => return,
        }
    }
}

#[tokio::test]
async fn a_run_that_never_connects_loses_its_pass() {
    let world = World::new().await;
    let pass = pass(&world).await;
    world.issuer.cut_lost_runs().await.unwrap();
    assert!(world.accepts(&pass.access).await, "it still has time");
    world.clock.advance(RUN_RESUME);
    world.issuer.cut_lost_runs().await.unwrap();
    assert!(!world.accepts(&pass.access).await);
    assert_eq!(world.ledger_since(&pass).await, ["released: run_lost"]);
}

#[tokio::test]
async fn a_run_that_is_connected_keeps_it_and_one_that_drops_loses_it() {
    let world = World::new().await;
    let pass = pass(&world).await;
    let mut run = connect(&world, &pass).await;
    assert_eq!(
        (run.status().as_u16(), run.headers()["content-type"].to_str().unwrap()),
        (200, "application/x-ndjson")
    );
    assert_eq!(line(&mut run).await, "{\"state\":\"open\"}\n");
    world.clock.advance(Lifetime::minutes(2));
    world.issuer.cut_lost_runs().await.unwrap();
    assert!(world.accepts(&pass.access).await);

    drop(run);
    until_awaited(&world, &pass).await;
    world.clock.advance(RUN_RESUME);
    world.issuer.cut_lost_runs().await.unwrap();
    assert!(!world.accepts(&pass.access).await);
}

/// However early it goes: before it was heard, while it is being noted, or after.
#[tokio::test]
async fn a_run_that_dies_while_it_connects_loses_its_pass() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let mut passes = Vec::new();
    for turns in 0..300 {
        let pass = world.exchange(&login, &[("resource", NOTES), ("lease", "true")]).await.unwrap();
        let mut connecting = Box::pin(connect(&world, &pass));
        for _ in 0..turns {
            tokio::select! {
                biased;
                _ = &mut connecting => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(connecting);
        passes.push(pass);
    }
    for pass in &passes {
        tokio::time::timeout(WAIT, until_awaited(&world, pass)).await.expect("the drop was noted");
    }
}

#[tokio::test]
async fn a_run_that_comes_back_keeps_its_pass_and_an_older_connection_s_end_means_nothing() {
    let world = World::new().await;
    let pass = pass(&world).await;
    let mut first = connect(&world, &pass).await;
    line(&mut first).await;
    let mut second = connect(&world, &pass).await;
    line(&mut second).await;
    drop(first);
    world.clock.advance(RUN_RESUME);
    world.issuer.cut_lost_runs().await.unwrap();
    assert!(world.accepts(&pass.access).await);
}

#[tokio::test]
async fn a_run_hears_of_its_end_at_once_and_why() {
    let world = World::new().await;
    let pass = pass(&world).await;
    let mut run = connect(&world, &pass).await;
    line(&mut run).await;
    assert_eq!(world.revoke(&pass.access, "hallpass-cli").await.status, 200);
    assert_eq!(line(&mut run).await, "{\"state\":\"ended\",\"why\":\"run_over\"}\n");
    assert_eq!(world.ledger_since(&pass).await, ["released: run_over"]);
    assert_eq!(connect(&world, &pass).await.status(), 401, "and cannot come back");
}

#[tokio::test]
async fn a_lease_is_its_own_pass_s_alone() {
    let world = World::new().await;
    let (one, other) = (pass(&world).await, pass(&world).await);
    let mixed = Tokens { lease: other.lease, ..one.clone() };
    assert_eq!(connect(&world, &mixed).await.status(), 400);
    let without = world.post("lease", &[("lease", &one.lease.unwrap().to_string())]).await;
    assert_eq!(without.status, 401);
    let login = world.sign_in("ada", "hallpass-cli").await;
    let not_a_pass = Tokens { access: login.access.clone(), ..one.clone() };
    assert_eq!(connect(&world, &not_a_pass).await.status(), 400);
}
