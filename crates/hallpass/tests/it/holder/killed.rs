//! Whatever is killed, the pass dies: at once by the watcher, within `RUN_RESUME` by the issuer.

use std::time::Duration;

use hallpass_model::lifetimes::RUN_RESUME;
use hallpass_store::Answer;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

use super::machine::{Machine, Said, in_time, until};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

/// Sooner than the issuer would cut by itself: then it was the watcher.
const BY_THE_WATCHER: Duration = RUN_RESUME.to_std();

pub(super) fn pid(child: &tokio::process::Child) -> Pid {
    Pid::from_raw(child.id().unwrap() as i32).unwrap()
}

/// The processes whose parent this is, by their arguments.
pub(super) fn children(parent: Pid) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may hold anything; what follows the last one does not.
        let own_parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        if own_parent == Some(parent.as_raw_nonzero().get()) {
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((Pid::from_raw(id).unwrap(), String::from_utf8_lossy(&arguments).replace('\0', " ")));
        }
    }
    found
}

pub(super) fn watcher_of(parent: Pid) -> Pid {
    let found = children(parent);
    found
        .iter()
        .find(|(_, arguments)| arguments.starts_with("hallpass-watcher"))
        .unwrap_or_else(|| panic!("{found:?}"))
        .0
}

/// The command of a run: its child that is none of ours.
fn command_of(parent: Pid) -> Pid {
    let found = children(parent);
    found
        .iter()
        .find(|(_, arguments)| !arguments.starts_with("hallpass-"))
        .unwrap_or_else(|| panic!("{found:?}"))
        .0
}

/// Kills a run's watcher and its parent as if at once: stopped first, as between two kills a parent that runs on would
/// start another watcher, which would do its job.
pub(super) fn kill_both(parent: Pid) {
    let watcher = watcher_of(parent);
    kill_process(parent, Signal::STOP).unwrap();
    kill_process(watcher, Signal::KILL).unwrap();
    kill_process(parent, Signal::KILL).unwrap();
}

fn gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn when_the_command_is_killed() {
    let machine = Machine::signed_in().await;
    let (mut child, token) = machine.start_run().await;
    let watcher = watcher_of(pid(&child));
    kill_process(command_of(pid(&child)), Signal::KILL).unwrap();
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(137));
    assert!(!machine.world.accepts(&token).await);
    until("the watcher goes", async || gone(watcher)).await;
}

#[tokio::test]
async fn when_hallpass_is_killed() {
    let machine = Machine::signed_in().await;
    let (mut child, token) = machine.start_run().await;
    let watcher = watcher_of(pid(&child));
    let start = Instant::now();
    kill_process(pid(&child), Signal::KILL).unwrap();
    machine.until_dead(&token).await;
    assert!(start.elapsed() < BY_THE_WATCHER);
    until("the watcher goes", async || gone(watcher)).await;
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}

/// The watcher leaves the folder that the path is relative to.
#[tokio::test]
async fn when_hallpass_is_killed_that_trusts_certificates_by_a_relative_path() {
    let machine = Machine::signed_in().await;
    std::fs::write(machine.path("ca.pem"), include_str!("ca.pem")).unwrap();
    let ways: [(&[&str], &[&str]); 3] =
        [(&["--ca-file", "ca.pem"], &[]), (&[], &["HALLPASS_CA_FILE"]), (&[], &["SSL_CERT_FILE"])];
    for (more, variables) in ways {
        let run = machine.start_run_with(more, |command| {
            command.current_dir(machine.path("."));
            command.envs(variables.iter().map(|variable| (variable, "ca.pem")));
        });
        let (mut child, token) = run.await;
        let start = Instant::now();
        kill_process(pid(&child), Signal::KILL).unwrap();
        machine.until_dead(&token).await;
        assert!(start.elapsed() < BY_THE_WATCHER, "{more:?} {variables:?}");
        machine.let_go();
        in_time(child.wait()).await.unwrap();
        for file in ["token", "go"] {
            std::fs::remove_file(machine.path(file)).unwrap();
        }
    }
}

#[tokio::test]
async fn when_its_whole_process_group_is_killed() {
    let machine = Machine::signed_in().await;
    let run = machine.start_run_with(&[], |command| {
        command.process_group(0);
    });
    let (mut child, token) = run.await;
    let start = Instant::now();
    kill_process_group(pid(&child), Signal::KILL).unwrap();
    machine.until_dead(&token).await;
    assert!(start.elapsed() < BY_THE_WATCHER);
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn when_the_watcher_and_its_parent_are_killed_together_the_issuer_cuts() {
    let machine = Machine::signed_in().await;
    let (mut child, token) = machine.start_run().await;
    let before = machine.world.ledger_size().await;
    let start = Instant::now();
    kill_both(pid(&child));
    machine.until_dead(&token).await;
    let took = start.elapsed();
    assert!(took < RUN_RESUME.to_std() * 2, "{took:?}");
    let recorded = machine.world.ledger_from(before).await;
    assert!(recorded.iter().any(|entry| entry.contains("run_lost")), "{recorded:?}");
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn when_the_watcher_alone_is_killed_another_takes_its_place_and_the_run_goes_on() {
    let machine = Machine::signed_in().await;
    let (mut child, token) = machine.start_run().await;
    let parent = pid(&child);
    let first = watcher_of(parent);
    kill_process(first, Signal::KILL).unwrap();
    until("there is another", async || {
        children(parent)
            .iter()
            .any(|(id, arguments)| *id != first && arguments.starts_with("hallpass-watcher"))
    })
    .await;
    // Longer than the issuer waits for a run that is lost.
    let patience = Instant::now() + RUN_RESUME.to_std() + Duration::from_secs(2);
    until("the time is over", async || Instant::now() > patience).await;
    assert!(machine.world.accepts(&token).await);
    machine.let_go();
    assert!(in_time(child.wait()).await.unwrap().success());
    assert!(!machine.world.accepts(&token).await);
}

#[tokio::test]
async fn when_hallpass_is_killed_in_a_login_for_one_run_the_whole_session_dies() {
    let machine = Machine::new().await;
    let (mut child, code) = machine.start_login(&["--one-run", "--", "sh", "-c", &machine.script()]).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let token = machine.token_of_run().await;
    assert!(machine.world.accepts(&token).await);
    let watcher = watcher_of(pid(&child));
    let before = machine.world.ledger_size().await;
    let start = Instant::now();
    kill_process(pid(&child), Signal::KILL).unwrap();
    until("the watcher goes", async || gone(watcher)).await;
    assert!(start.elapsed() < BY_THE_WATCHER);
    assert!(!machine.world.accepts(&token).await);
    let recorded = machine.world.ledger_from(before).await;
    assert_eq!(recorded, ["released: run_over", "cut: signed_out"]);
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}

/// A run with an issuer whose revocation endpoint is out of order by the time the run ends.
async fn run_that_cannot_be_revoked() -> (SmallProvider, Machine, tokio::process::Child, String) {
    let provider = SmallProvider::start(Manner::default()).await;
    let machine = Machine::new().await;
    let login = ["login", &provider.issuer, "--flow", "device", "--resource", "https://notes.example/"];
    let said = machine.run(&login).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let (child, token) = machine.start_run().await;
    provider.change(|manner| manner.cannot_revoke_now = true);
    (provider, machine, child, token)
}

#[tokio::test]
async fn when_hallpass_is_killed_while_the_issuer_is_down_the_watcher_tries_until_it_is_back() {
    let (provider, machine, mut child, token) = run_that_cannot_be_revoked().await;
    kill_process(pid(&child), Signal::KILL).unwrap();
    until("it tries and tries again", async || provider.asked("revoke") >= 3).await;
    assert!(provider.revoked().is_empty());
    provider.change(|manner| manner.cannot_revoke_now = false);
    until("it is revoked", async || provider.revoked() == [token.clone()]).await;
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn when_the_command_ends_while_the_issuer_is_down_it_is_said_and_the_watcher_goes_on() {
    let (provider, machine, child, token) = run_that_cannot_be_revoked().await;
    machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "the code is the command's");
    assert!(said.err().contains("warning: the token is not revoked yet: it answered 503"), "{}", said.err());
    provider.change(|manner| manner.cannot_revoke_now = false);
    until("it is revoked", async || provider.revoked() == [token.clone()]).await;
}
