//! What is done now and then, whoever asks.

use std::sync::Arc;

use hallpass_issuer::{Issuer, Listen, Listener, Settings, Sweeper, serve};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, CLOCK_SKEW, RUN_RESUME, SESSION_IDLE, STEADY_CLOCK};
use hallpass_model::random::SystemEntropy;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_store::{LeaseConnected, LeaseState};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;

#[tokio::test]
async fn one_sweep_goes_on_until_nothing_is_left_to() {
    let world = World::new().await;
    let sessions = world.open_sessions(world.ada, 450).await;
    let mut sweeper = Sweeper::new(&world.issuer);
    world.clock.advance(SESSION_IDLE + ACCESS_TOKEN_MAX + CLOCK_SKEW + Lifetime::seconds(1));
    world.issuer.sweep(&mut sweeper).await.unwrap();
    for session in sessions {
        assert_eq!(world.store.find_session(session).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_server_that_just_started_throws_nothing_away() {
    let world = World::new().await;
    let session = world.open_sessions(world.ada, 1).await[0];
    // It was away for a year, or its clock is wrong: it cannot know.
    world.clock.set(world.clock.now() + Lifetime::days(365));
    let mut sweeper = Sweeper::new(&world.issuer);
    for _ in 0..3 {
        world.issuer.sweep(&mut sweeper).await.unwrap();
        assert!(world.store.find_session(session).await.unwrap().is_some());
        world.clock.advance(Lifetime::minutes(19));
    }
    world.clock.advance(STEADY_CLOCK);
    world.issuer.sweep(&mut sweeper).await.unwrap();
    assert_eq!(world.store.find_session(session).await.unwrap(), None);
}

#[tokio::test]
async fn runs_from_before_a_start_are_awaited_before_anybody_is_served() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        let pass = world.exchange(&login, &[("resource", NOTES), ("lease", "true")]).await.unwrap();
        let (lease, credential) = (pass.lease.unwrap(), pass.claims().credential_id().unwrap());
        let connect = LeaseConnected { org: world.org, lease, credential };
        assert!(world.change(connect).await.is_some());
        runs.push((pass, connect));
    }
    // A server that starts where another left off with all of them connected.
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: None, trusted_proxies: Vec::new() };
    let listener = Listener::bind(&listen).await.unwrap();
    let port = listener.address().unwrap().port();
    let settings = Settings {
        base_url: world.base_url.parse().unwrap(),
        outside_networks: Vec::new(),
        outside_roots: Default::default(),
    };
    let issuer = Issuer::new(world.store.clone(), world.clock.clone(), Arc::new(SystemEntropy), settings);
    tokio::spawn(serve(issuer.clone(), listener));
    let reply = world.send(world.http.get(format!("http://localhost:{port}/healthz"))).await;
    assert_eq!(reply.status, 200);
    // It serves: whoever comes back from here on is not taken for lost.
    for (_, connect) in &runs[1..] {
        assert!(world.change(*connect).await.is_some());
    }
    world.clock.advance(RUN_RESUME);
    issuer.cut_lost_runs().await.unwrap();
    assert!(!world.accepts(&runs[0].0.access).await, "it did not come back");
    for (pass, connect) in &runs[1..] {
        assert!(world.accepts(&pass.access).await);
        let lease = world.store.find_lease(connect.lease).await.unwrap().unwrap();
        assert_eq!(lease.state, LeaseState::Connected { connection: 2 });
    }
    issuer.stop();
}
