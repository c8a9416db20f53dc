//! Your sessions: whatever lives can be seen, and ended.

use hallpass_model::cut::Why;
use hallpass_model::time::Lifetime;
use hallpass_store::EndSession;
use hallpass_testkit::World;
use http::StatusCode;

/// How many sessions a page shows with a button that ends it.
fn shown(body: &str) -> usize {
    body.matches("name=\"session\"").count()
}

#[tokio::test]
async fn sessions_that_ended_hide_none_that_lives() {
    let world = World::new().await;
    let oldest = world.open_sessions(world.ada, 1).await[0];
    world.clock.advance(Lifetime::seconds(1));
    for session in world.open_sessions(world.ada, 130).await {
        world.change(EndSession { org: world.org, session, of: None, why: Why::SignedOut }).await;
    }
    let mut ada = world.visitor_as(world.ada).await;
    let page = ada.get("/acme/sessions").await;
    assert!(page.body.contains(&oldest.to_string()) && page.body.contains("End all others"), "{}", page.body);
    assert!(!page.body.contains("Older sessions"));
    ada.post("/acme/sessions", &[("act", "end"), ("session", &oldest.to_string())]).await;
    assert!(ada.get("/acme/sessions").await.body.contains("No program can act for you"));
}

#[tokio::test]
async fn more_sessions_than_fit_a_page_are_a_link_away() {
    let world = World::new().await;
    world.open_sessions(world.ada, 1).await;
    world.clock.advance(Lifetime::seconds(1));
    world.open_sessions(world.ada, 103).await;
    let mut ada = world.visitor_as(world.ada).await;
    let newest = ada.get("/acme/sessions").await;
    assert_eq!(shown(&newest.body), 100);
    let (_, older) = newest.body.split_once("/acme/sessions?before=").expect("there are older ones");
    let (older, _) = older.split_once('"').unwrap();
    let older = ada.get(&format!("/acme/sessions?before={older}")).await;
    assert_eq!((older.status, shown(&older.body)), (StatusCode::OK, 4));
    assert!(older.body.contains("The newest sessions") && older.body.contains("End all others"));
    assert!(!older.body.contains("Older sessions"));
}
