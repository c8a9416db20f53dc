//! A session's own stream, `/session`: its holder hears of the cut.

use hallpass_model::cut::{Target, Why};
use hallpass_store::MakeCut;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Tokens, World};

/// A session's token for the issuer itself.
async fn session(world: &World) -> Tokens {
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.refresh_with(&login, &[("resource", &world.issuer_url)]).await.unwrap()
}

async fn open(world: &World, token: &str) -> reqwest::Response {
    world.http.get(world.at("session")).bearer_auth(token).send().await.unwrap()
}

async fn event(stream: &mut reqwest::Response) -> String {
    String::from_utf8(stream.chunk().await.unwrap().unwrap_or_default().to_vec()).unwrap()
}

#[tokio::test]
async fn a_stream_says_that_it_is_open_and_why_its_session_ended() {
    let world = World::new().await;
    let (own, other) = (session(&world).await, session(&world).await);
    let mut stream = open(&world, &own.access).await;
    let kind = stream.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!((stream.status().as_u16(), kind.as_str()), (200, "text/event-stream"));
    assert_eq!(event(&mut stream).await, "event: open\ndata: {}\n\n");
    let mut others = open(&world, &other.access).await;
    assert_eq!(event(&mut others).await, "event: open\ndata: {}\n\n");

    world
        .change(MakeCut { org: None, target: Target::Principal(world.ada), why: Why::EndedByAdministrator })
        .await;
    for stream in [&mut stream, &mut others] {
        let said = event(stream).await;
        assert!(said.starts_with("event: ended\ndata: {\"why\":\""), "{said}");
        assert_eq!(event(stream).await, "", "and it is over");
    }
    assert_eq!(open(&world, &own.access).await.status().as_u16(), 401);
}

#[tokio::test]
async fn a_stream_is_the_session_s_own_and_a_few_at_most() {
    let world = World::new().await;
    let own = session(&world).await;
    let pass = world.exchange(&own, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(open(&world, &pass.access).await.status().as_u16(), 401, "a pass is for an API");
    assert_eq!(open(&world, "nonsense").await.status().as_u16(), 401);
    let mut streams = Vec::new();
    for _ in 0..4 {
        let stream = open(&world, &own.access).await;
        assert_eq!(stream.status().as_u16(), 200);
        streams.push(stream);
    }
    assert_eq!(open(&world, &own.access).await.status().as_u16(), 503);
    assert_eq!(world.issuer.watchers(), 4);
}
