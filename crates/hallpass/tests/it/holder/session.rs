use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hallpass_store::Answer;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::machine::{Machine, Said, in_time, until};

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
    let fresh = machine.run(&["token", "--fresh"]).await.out().trim().to_owned();
    assert!(fresh != token && machine.world.accepts(&fresh).await, "from nothing that is kept");
    assert_eq!(machine.run(&["token"]).await.out().trim(), fresh, "and then it is kept");

    let said = machine.run(&["logout", "--json"]).await;
    let receipt = said.json();
    assert_eq!((said.code(), receipt["may_be_alive"].as_bool()), (0, Some(false)), "{}", said.err());
    assert!(!machine.world.accepts(&token).await, "what came from the session died with it");
    assert_eq!(machine.run(&["status"]).await.code(), 4);
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
}

/// How long an answered login may take to have its session: the issuer holds the poll open, so nobody waits for the next.
const AT_ONCE: Duration = Duration::from_millis(300);
/// A machine that is busy with a build may be late once.
const TRIES: usize = 3;

#[tokio::test]
async fn a_login_has_its_session_at_once_when_the_person_has_answered() {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let machine = Machine::new().await;
        let (child, code) = machine.start_login(&[]).await;
        until("the poll is held", async || machine.world.issuer.held_polls() > 0).await;
        machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
        let (answered, before) = (Instant::now(), machine.world.ledger_size().await);
        while machine.world.ledger_size().await == before && answered.elapsed() < AT_ONCE {
            tokio::task::yield_now().await;
        }
        took.push(answered.elapsed());
        assert_eq!(in_time(child.wait_with_output()).await.unwrap().status.code(), Some(0));
    }
    assert!(took.iter().any(|took| *took < AT_ONCE), "{took:?}");
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

/// Somebody signed in at a provider whose tokens are over almost at once, and that takes a second use of a refresh token
/// for a theft. What it gives from here on is good for a while.
async fn about_to_renew() -> (SmallProvider, Machine) {
    let manner = Manner { ours: false, strict: true, says_expires_in: Some(10), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let machine = Machine::new().await;
    let said = machine.run(&["login", &provider.issuer, "--flow", "device", "--client-id", "mine"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    provider.change(|manner| manner.says_expires_in = Some(300));
    (provider, machine)
}

#[tokio::test]
async fn sixteen_processes_renew_at_once_and_nobody_is_logged_out() {
    let (provider, machine) = about_to_renew().await;
    let all: Vec<_> = (0..16).map(|_| machine.hallpass(&["token"]).spawn().unwrap()).collect();
    let mut tokens = Vec::new();
    for child in all {
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
        tokens.push(said.out());
    }
    tokens.dedup();
    assert_eq!((tokens.len(), provider.asked("refresh_token"), provider.alive()), (1, 1, 1), "{tokens:?}");
}

/// No file may grow: root, who may write everywhere, is told the same.
#[tokio::test]
async fn where_nothing_can_be_saved_nothing_is_renewed_and_nobody_sees_a_token() {
    let (provider, machine) = about_to_renew().await;
    let token = machine.hallpass(&["token"]);
    let token = token.as_std();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    shell.arg(token.get_program()).args(token.get_args());
    shell.env_clear().envs(token.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(shell.stdin(Stdio::null()).output()).await.unwrap());
    assert_eq!((said.code(), said.out().as_str()), (70, ""), "{}", said.err());
    assert_eq!(provider.asked("refresh_token"), 0, "the mark could not be saved, so nothing was sent");
    assert_eq!(machine.run(&["token"]).await.code(), 0);
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (1, 1));
}

#[tokio::test]
async fn a_login_with_nowhere_to_keep_it_says_so_before_anybody_is_asked() {
    let machine = Machine::new().await;
    let arguments = ["login", &machine.world.issuer_url, "--flow", "device", "--store", "passphrase"];
    let mut command = machine.hallpass(&arguments);
    command.env_remove("HALLPASS_PASSPHRASE_FILE").env_remove("HALLPASS_STORE");
    command.env("HALLPASS_NO_INPUT", "1"); // whoever runs the tests may sit at a terminal
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(said.err().contains("HALLPASS_PASSPHRASE_FILE"), "{}", said.err());
    assert!(!said.err().contains("Enter"), "{}", said.err());
}
