//! A credential that somebody found, reported: dead at once, and sent to nobody whose it is not.

use std::process::Stdio;

use hallpass_model::principal::Owner;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::io::AsyncWriteExt;

use super::machine::{Machine, Said, in_time};

/// `hallpass report`, with this on standard input.
async fn report(machine: &Machine, text: &str, arguments: &[&str]) -> Said {
    let arguments = [&["report"], arguments].concat();
    let mut child = machine.hallpass(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(text.as_bytes()).await; // whoever reads no further has gone
    drop(stdin);
    Said(in_time(child.wait_with_output()).await.unwrap())
}

#[tokio::test]
async fn a_token_that_was_found_is_dead_at_once_by_whoever_found_it() {
    let owner = Machine::signed_in().await;
    let world = &owner.world;
    let token = owner.run(&["token"]).await.out().trim().to_owned();
    assert!(world.accepts(&token).await);
    let seq = world.ledger_size().await;
    // Whoever found it is signed in nowhere: another folder, and no issuer but the one that is named.
    let finder = [("HALLPASS_STATE_DIR", owner.path("finder"))];
    let arguments = ["report", "--issuer", &world.issuer_url, "--found", "build log 17", "--json"];
    let mut command = owner.hallpass(&arguments);
    let mut child = command.envs(finder).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).await.unwrap();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(
        said.json(),
        serde_json::json!({ "schema": "hallpass.report/1", "issuer": world.issuer_url, "kind": "access token" })
    );
    assert!(said.err().contains("it is dead now") && !said.err().contains(&token[..20]), "{}", said.err());
    assert!(!world.accepts(&token).await);
    assert_eq!(world.ledger_from(seq).await, ["leaked: leaked"]);
    let told = world.store.list_notices(world.org, world.ada, &[Owner::Person(world.ada)], 10).await.unwrap();
    assert!(told.iter().any(|notice| notice.seq == seq));
    // The sign-in goes on, and its issuer is the one that is meant.
    let next = owner.run(&["token", "--fresh"]).await.out().trim().to_owned();
    assert!(world.accepts(&next).await);
    let said = report(&owner, &next, &[]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, ""), "{}", said.err());
    assert!(!world.accepts(&next).await);
}

#[tokio::test]
async fn what_is_not_this_issuer_s_or_not_whole_is_sent_nowhere() {
    let machine = Machine::signed_in().await;
    let world = &machine.world;
    let key = hallpass_model::spelling::render(hallpass_model::spelling::Prefix::ApiKey, &[7; 20]);
    let token = machine.run(&["token"]).await.out().trim().to_owned();
    let elsewhere = ["--issuer", "https://id.example/globex"];
    for (text, arguments, words) in [
        ("", &[][..], "there is no credential"),
        ("hunter2", &[], "sent nowhere"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", &[], "revoke it where it was issued"),
        (&key[..key.len() - 2], &[], "hand in all of it"),
        (&"x".repeat(9_000), &[], "more than 8192 bytes"),
        (&token, &elsewhere, "of another issuer"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln", &[], "which issuer it is of"),
    ] {
        let said = report(&machine, text, arguments).await;
        assert_eq!(said.code(), 2, "{text:.20}: {}", said.err());
        assert!(said.err().contains(words) && said.err().contains("hint: "), "{words}: {}", said.err());
        assert!(text.len() < 5 || !said.err().contains(&text[..text.len().min(20)]), "{}", said.err());
    }
    assert!(said_how_to_go_on(&report(&machine, &token, &elsewhere).await, &world.issuer_url));
    let nowhere = Machine::new().await;
    let said = report(&nowhere, &key, &[]).await;
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("no issuer is named") && said.err().contains("hallpass report --issuer"));
    assert!(world.accepts(&token).await);

    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let said = report(&machine, &key, &["--issuer", &provider.issuer]).await;
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains("no Hallpass issuer"), "{}", said.err());
}

fn said_how_to_go_on(said: &Said, issuer: &str) -> bool {
    said.err().contains(&format!("hallpass report --issuer {issuer}"))
}
