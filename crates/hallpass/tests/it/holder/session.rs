use std::os::unix::process::ExitStatusExt;

use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use rustix::process::{Pid, Signal, kill_process};

use super::machine::{Machine, Said, in_time};

#[tokio::test]
async fn a_person_signs_in_looks_gets_a_token_and_signs_out() {
    let machine = Machine::new().await;
    let said = machine.run(&["status"]).await;
    assert_eq!(said.code(), 4, "{}", said.err());
    assert_eq!(machine.run(&["token"]).await.code(), 4);

    let said = machine.login(&[]).await;
    assert!(said.err().contains("a code to type in any browser: you asked for it"), "{}", said.err());
    let status = machine.run(&["status", "--json"]).await.json();
    let sign_in = &status["sign_ins"][0];
    assert_eq!(
        (status["schema"].as_str(), sign_in["key"].as_str()),
        (Some("hallpass.status/1"), Some("passphrase"))
    );
    assert_eq!((sign_in["stands"].as_bool(), sign_in["bound"].as_bool()), (Some(true), Some(true)));
    assert!(machine.run(&["status"]).await.out().contains("a test"));

    let token = machine.run(&["token"]).await.out().trim().to_owned();
    assert!(machine.world.accepts(&token).await);
    assert_eq!(machine.run(&["token", "--resource", NOTES]).await.out().trim(), token, "from what is kept");

    let said = machine.run(&["logout", "--json"]).await;
    let receipt = said.json();
    assert_eq!((said.code(), receipt["may_be_alive"].as_bool()), (0, Some(false)), "{}", said.err());
    assert!(!machine.world.accepts(&token).await, "what came from the session died with it");
    assert_eq!(machine.run(&["status"]).await.code(), 4);
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
}

#[tokio::test]
async fn a_denial_leaves_with_refused_and_keeps_nothing() {
    let machine = Machine::new().await;
    let (child, code) = machine.start_login(&[]).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::No).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 5, "{}", said.err());
    assert_eq!(machine.run(&["status"]).await.code(), 4);
}

#[tokio::test]
async fn stopping_a_login_keeps_nothing() {
    let machine = Machine::new().await;
    let (child, _code) = machine.start_login(&[]).await;
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::INT).unwrap();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!((said.0.status.signal(), said.code()), (None, 130), "{}", said.err());
    assert!(said.err().contains("nothing was kept"));
    assert_eq!(machine.run(&["status"]).await.code(), 4);
}

#[tokio::test]
async fn a_login_for_one_run_leaves_nothing_here_and_nothing_alive_there() {
    let machine = Machine::new().await;
    let (child, code) =
        machine.start_login(&["--one-run", "--", "sh", "-c", "test -n \"$HALLPASS_TOKEN\" && exit 9"]).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 9, "{}", said.err());
    assert_eq!(machine.run(&["status"]).await.code(), 4);
    let recorded = machine.world.ledger_from(0).await;
    assert!(recorded.iter().any(|entry| entry.contains("cut")), "{recorded:?}");
}

#[tokio::test]
async fn sixteen_processes_renew_at_once_and_nobody_is_logged_out() {
    let machine = Machine::signed_in().await;
    // The session's own token is over, so every one of them must renew.
    machine.world.clock.advance(hallpass_model::time::Lifetime::minutes(6));
    let stale = machine.run(&["status", "--json"]).await.json();
    assert_eq!(stale["sign_ins"][0]["stands"], true);
    let mut all = Vec::new();
    for n in 0..16 {
        let ttl = format!("{}s", 60 + n); // a pass of its own each, so that nothing kept is handed out
        all.push(machine.hallpass(&["token", "--ttl", &ttl]).spawn().unwrap());
    }
    for child in all {
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
    }
    assert_eq!(machine.run(&["token"]).await.code(), 0);
}

#[tokio::test]
async fn a_login_with_nowhere_to_keep_it_says_so_before_anybody_is_asked() {
    let machine = Machine::new().await;
    let arguments = ["login", &machine.world.issuer_url, "--flow", "device", "--rung", "passphrase"];
    let mut command = machine.hallpass(&arguments);
    command.env_remove("HALLPASS_PASSPHRASE_FILE").env_remove("HALLPASS_RUNG");
    command.env("HALLPASS_NO_INPUT", "1"); // whoever runs the tests may sit at a terminal
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(said.err().contains("HALLPASS_PASSPHRASE_FILE"), "{}", said.err());
    assert!(!said.err().contains("Enter"), "{}", said.err());
}
