//! Cuts, as every path of the issuer keeps them: dead is dead, an hour later too, and a new login lives.

use hallpass_issuer::Sweeper;
use hallpass_model::cut::{Target, Why};
use hallpass_model::device::DeviceClaim;
use hallpass_model::lifetimes::STEADY_CLOCK;
use hallpass_model::time::{Clock, Lifetime, Timestamp};
use hallpass_store::MakeCut;
use hallpass_testkit::world::{ALL_SCOPES, NOTES};
use hallpass_testkit::{Tokens, World};

struct Held {
    login: Tokens,
    pass: Tokens,
    /// Cut that and what it was is over; nothing new is.
    targets: Vec<(Target, &'static str)>,
}

/// A login on a machine, with a pass.
async fn hold(world: &World) -> Held {
    let claim =
        [("device_install", "install-0001"), ("device_name", "adas-laptop"), ("device_class", "laptop")];
    assert!(DeviceClaim::parse(Some(claim[0].1), None, None, None).is_some());
    let extra = [&claim[..], &[("scope", ALL_SCOPES), ("resource", NOTES)]].concat();
    let started = world.start_device("hallpass-cli", &extra).await.json();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    world.answer_device(&text("user_code"), world.ada, hallpass_store::Answer::Yes).await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", &text("device_code")),
        ("resource", &world.issuer_url),
    ];
    let reply = world.ask_token(&form, None).await;
    let login = world.tokens(reply, "hallpass-cli", None).await.unwrap();
    let pass = world.exchange(&login, &[("resource", NOTES), ("lifetime", "900")]).await.unwrap();
    let claims = login.claims();
    let targets = vec![
        (Target::Org(world.org), "org"),
        (Target::Principal(world.ada), "principal"),
        (Target::Client(world.cli), "client"),
        (Target::Device(claims.device_id().expect("the holder named its machine")), "device"),
        (Target::Session(login.session()), "session"),
        (Target::Credential(claims.credential_id().unwrap()), "credential"),
    ];
    Held { login, pass, targets }
}

async fn everything_refuses(world: &World, held: &Held, axis: &str) {
    assert!(!world.accepts(&held.pass.access).await, "{axis}: introspection");
    assert!(world.exchange(&held.login, &[("resource", NOTES)]).await.is_err(), "{axis}: exchange");
    let userinfo = world.send(world.http.get(world.at("userinfo")).bearer_auth(&held.login.access)).await;
    assert_eq!(userinfo.status, 401, "{axis}: userinfo");
    // A credential's cut kills it and what came of it; the session it came of lives on.
    if axis != "credential" {
        assert!(world.refresh(&held.login).await.is_err(), "{axis}: refresh");
    }
}

#[tokio::test]
async fn a_cut_on_any_axis_kills_what_is_below_it_then_and_an_hour_later() {
    for axis in 0..6 {
        let world = World::new().await;
        let held = hold(&world).await;
        assert!(world.accepts(&held.pass.access).await);
        let (target, name) = held.targets[axis];
        world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
        everything_refuses(&world, &held, name).await;

        let new = hold(&world).await;
        assert!(world.accepts(&new.pass.access).await, "{name}: a new login lives, in the same millisecond");
        assert!(world.refresh(&new.login).await.is_ok(), "{name}");

        world.clock.advance(Lifetime::hours(1));
        everything_refuses(&world, &held, name).await;
    }
}

/// A sweeper that has seen the clock go evenly for long enough to throw things away.
pub(crate) fn sweeper(world: &World) -> Sweeper {
    let sweeper = Sweeper::new(&world.issuer);
    world.clock.advance(STEADY_CLOCK);
    sweeper
}

#[tokio::test]
async fn a_cut_on_any_axis_holds_an_hour_later_with_the_sweep_at_work_and_when_the_clock_is_set_back() {
    for axis in 0..6 {
        let world = World::new().await;
        let mut sweeper = sweeper(&world);
        let began = world.clock.now();
        let held = hold(&world).await;
        let (target, name) = held.targets[axis];
        world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
        for minutes in [16, 1, 43] {
            world.clock.advance(Lifetime::minutes(minutes));
            world.issuer.sweep(&mut sweeper).await.unwrap();
            everything_refuses(&world, &held, name).await;
        }
        // What was issued has its time again, and the cut of a credential is long forgotten.
        world.clock.set(began);
        everything_refuses(&world, &held, name).await;
    }
}

#[tokio::test]
async fn a_clock_that_jumps_brings_nothing_back_and_kills_nothing_new() {
    for jump in [-3_600_000, 3_600_000i64] {
        for axis in 0..6 {
            let world = World::new().await;
            let held = hold(&world).await;
            let (target, name) = held.targets[axis];
            world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
            world.clock.set(Timestamp::from_millis(world.clock.now().millis() + jump));
            everything_refuses(&world, &held, name).await;
            let new = hold(&world).await;
            assert!(world.accepts(&new.pass.access).await, "{name}, {jump}");
            assert!(world.refresh(&new.login).await.is_ok(), "{name}, {jump}");
        }
    }
}

#[tokio::test]
async fn a_clock_set_forward_for_one_sweep_and_back_loses_nothing_and_revives_nothing() {
    for days in [31, 91, 200] {
        // Those whose cuts leave another person's session alone.
        for axis in [1, 3, 4, 5] {
            let world = World::new().await;
            let mut sweeper = sweeper(&world);
            let held = hold(&world).await;
            world.add_person("grace").await;
            let lives = world.sign_in("grace", "hallpass-cli").await;
            let (target, name) = held.targets[axis];
            world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
            world.issuer.sweep(&mut sweeper).await.unwrap();
            let right = world.clock.now();
            world.clock.set(right + Lifetime::days(days));
            world.issuer.sweep(&mut sweeper).await.unwrap();
            world.clock.set(right);
            world.issuer.sweep(&mut sweeper).await.unwrap();
            everything_refuses(&world, &held, name).await;
            assert!(world.refresh(&lives).await.is_ok(), "{name}, {days} days");
            assert!(
                world.accepts(&world.exchange(&lives, &[("resource", NOTES)]).await.unwrap().access).await
            );
        }
    }
}
