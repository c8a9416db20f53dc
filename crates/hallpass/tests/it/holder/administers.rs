//! `hallpass admin --at ISSUER`: an org administered from anywhere, by what its person is there.

use hallpass_model::principal::Owner;
use hallpass_store::{ChangeTeamMembers, OwnedId, TransferOwned, Which};

use super::machine::Machine;

async fn signed_in(scope: &str) -> Machine {
    let machine = Machine::new().await;
    let said = machine.login(&["--scope", scope]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    machine
}

async fn admin(machine: &Machine, words: &[&str]) -> super::machine::Said {
    let issuer = machine.world.issuer_url.clone();
    machine.run(&[&["admin", "--at", &issuer], words].concat()).await
}

#[tokio::test]
async fn an_administrator_does_from_their_own_machine_what_the_operator_does_on_the_server() {
    let machine = signed_in("hallpass:admin").await;
    let added = admin(&machine, &["team", "add", "platform", "--member", "ada"]).await;
    assert_eq!(added.code(), 0, "{}", added.err());
    let role = admin(&machine, &["team", "role", "platform", "auditor", "--json"]).await;
    assert_eq!((role.code(), &role.json()["role"]), (0, &"auditor".into()), "{}", role.err());
    let client = ["client", "add", "deployer", "--kind", "ci", "--owner", "team:platform", "--json"];
    let client = admin(&machine, &client).await;
    assert_eq!((client.code(), &client.json()["owner"]), (0, &"team:platform".into()), "{}", client.err());
    let listed = admin(&machine, &["client", "list"]).await;
    assert!(listed.out().contains("deployer") && listed.out().contains("notes-api"), "{}", listed.out());
    let told =
        machine.run(&["ledger", "--at", &machine.world.issuer_url, "list", "--event", "registered"]).await;
    assert!(told.out().lines().last().unwrap().contains("ada"), "{} {}", told.out(), told.err());

    let again = admin(&machine, &["team", "add", "platform", "--member", "ada"]).await;
    assert_eq!(again.code(), 1, "{}", again.err());
    let operators = admin(&machine, &["org", "add", "globex", "--administrator", "hank"]).await;
    assert_eq!(operators.code(), 5, "{}", operators.err());
    assert!(operators.err().contains("hint: on the server's own machine"), "{}", operators.err());
    let elsewhere = admin(&machine, &["team", "list", "--org", "globex"]).await;
    assert_eq!(elsewhere.code(), 2, "{}", elsewhere.err());
}

#[tokio::test]
async fn what_is_not_theirs_to_do_says_what_it_takes() {
    let machine = signed_in("notes:read").await;
    let refused = admin(&machine, &["team", "list"]).await;
    assert_eq!(refused.code(), 5, "{}", refused.err());
    assert!(refused.err().contains("--scope hallpass:admin"), "{}", refused.err());

    let machine = signed_in("hallpass:admin").await;
    let world = &machine.world;
    let grace = world.add_person("grace").await;
    let team = world.store.find_org(world.org).await.unwrap().unwrap().administrators;
    let swap = ChangeTeamMembers { org: world.org, team, joining: vec![grace], leaving: vec![world.ada] };
    world.change(swap).await;
    let refused = admin(&machine, &["team", "add", "mine", "--member", "ada"]).await;
    assert_eq!(refused.code(), 5, "{}", refused.err());
    for word in ["you are person here", "hint: it takes the role administrator"] {
        assert!(refused.err().contains(word), "{}", refused.err());
    }
    // What she answers for she still runs.
    let shown = admin(&machine, &["client", "show", "notes-api"]).await;
    assert_eq!(shown.code(), 0, "{}", shown.err());
    let client = world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
    let which = Which::These(vec![OwnedId::Client(client.id)]);
    world.change(TransferOwned { org: world.org, which, to: Owner::Person(grace) }).await.unwrap();
    let shown = admin(&machine, &["client", "show", "notes-api"]).await;
    assert_eq!(shown.code(), 5, "{}", shown.err());
}
