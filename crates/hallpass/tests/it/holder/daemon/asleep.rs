//! A machine that sleeps: nothing of the daemon runs, and time goes on. And a daemon that never wakes up.

use hallpass_model::time::Lifetime;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use rustix::process::{Pid, Signal, kill_process};

use super::super::machine::{Home, Machine, now, until};

/// As short as a token can be that is kept at all: it is handed out while it is good for half a minute more.
const LIVES_SECONDS: u32 = 32;

fn send(signal: Signal, to: u32) {
    kill_process(Pid::from_raw(to as i32).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_daemon_that_slept_for_longer_than_its_token_lived_hands_out_one_that_is_good() {
    let lives = Some(i64::from(LIVES_SECONDS));
    let provider = SmallProvider::start(Manner { ours: false, says_expires_in: lives, ..Manner::default() });
    let provider = provider.await;
    let mut asleep = Vec::new();
    for store in ["daemon", "passphrase"] {
        let home = Home::new();
        let daemon = home.daemon().await;
        let login = ["login", &provider.issuer, "--flow", "device", "--client-id", "mine", "--store", store];
        assert_eq!(home.run(&login).await.code(), 0);
        let token = home.run(&["token"]).await.out();
        send(Signal::STOP, daemon);
        asleep.push((store, home, daemon, token));
    }
    let over = now() + Lifetime::seconds(LIVES_SECONDS);
    until("the tokens are over", async || now() > over).await;
    for (store, home, daemon, before) in asleep {
        send(Signal::CONT, daemon);
        let said = home.run(&["token"]).await;
        assert_eq!(said.code(), 0, "{store}: {}", said.err());
        assert_ne!(said.out(), before, "{store}: that one is over");
        assert_eq!(home.daemon_status().await["pid"], daemon);
    }
}

#[tokio::test]
async fn a_daemon_that_is_stuck_keeps_nobody_waiting_for_long() {
    let machine = Machine::signed_in().await;
    let daemon = machine.daemon().await;
    let token = machine.run(&["token"]).await.out();
    send(Signal::STOP, daemon);
    let who = format!("process {daemon} did not answer in time");
    let (said, status, doctor) = tokio::join!(
        machine.run(&["token"]),
        machine.run(&["daemon", "status"]),
        machine.run(&["doctor", "--json"])
    );
    assert_eq!((said.code(), said.out()), (0, token), "what rests on disk is had without it: {}", said.err());
    assert!(status.code() == 70 && status.err().contains(&who), "{}", status.err());
    let doctor = doctor.json();
    let findings = doctor["findings"].as_array().unwrap();
    let told =
        |one: &serde_json::Value| one["level"] == "act" && one["said"].as_str().unwrap().contains(&who);
    assert!(findings.iter().any(told), "{doctor}");
    send(Signal::KILL, daemon);
    assert_ne!(machine.daemon().await, daemon, "another takes its place");
}

#[tokio::test]
async fn what_a_stuck_daemon_holds_is_not_taken_for_signed_out() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();
    let daemon = machine.daemon_status().await["pid"].as_u64().unwrap() as u32;
    send(Signal::STOP, daemon);
    let said = machine.run(&["token"]).await;
    assert_eq!(said.code(), 70, "nobody is told to sign in again: {}", said.err());
    assert!(said.err().contains(&format!("process {daemon} did not answer in time")), "{}", said.err());
    send(Signal::CONT, daemon);
    assert_eq!(machine.run(&["token"]).await.out(), token);
}
