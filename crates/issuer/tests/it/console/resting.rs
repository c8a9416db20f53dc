//! The console's form of where an org's keys may rest.

use hallpass_model::rung::Rung;

use super::*;

async fn rungs(world: &World) -> Option<Vec<Rung>> {
    world.store.find_org(world.org).await.unwrap().unwrap().limits.rungs.map(Into::into)
}

#[tokio::test]
async fn where_keys_may_rest_is_read_ticked_and_unticked() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let form = ada.get("/acme/admin/org?do=rungs").await.body;
    assert_eq!(form.matches("type=\"checkbox\"").count(), Rung::ALL.len(), "{form}");
    assert!(!form.contains(" checked"), "{form}");
    let tick = [("do", "rungs"), ("rungs.tpm", "yes"), ("rungs.keychain", "yes"), ("rungs.cloud", "yes")];
    done(&mut ada, "org", &tick).await;
    assert_eq!(rungs(&world).await, Some(vec![Rung::Keychain, Rung::Tpm]));
    let mut grace = grace_as(&world, Some(TeamRole::Auditor)).await;
    let page = grace.get("/acme/admin/org").await.body;
    assert!(page.contains("<code>keychain</code>") && page.contains("<code>tpm</code>"), "{page}");
    assert!(!page.contains("do=rungs"), "{page}");
    assert_eq!(post(&mut grace, "org", &tick).await.status, StatusCode::FORBIDDEN);
    let mut bob = bob_of_other(&world).await;
    assert!(!bob.get("/other/admin/org").await.body.contains("<code>tpm</code>"));

    let form = ada.get("/acme/admin/org?do=rungs").await.body;
    assert_eq!(form.matches(" checked").count(), 2, "what is so is ticked already: {form}");
    assert!(form.contains("name=\"rungs.tpm\" value=\"yes\" checked"), "{form}");
    let before = world.ledger_size().await;
    done(&mut ada, "org", &[("do", "rungs")]).await;
    assert_eq!(rungs(&world).await, None, "anywhere");
    assert_eq!(world.ledger_size().await, before + 1);
}
