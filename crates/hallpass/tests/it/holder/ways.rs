//! By which way a command gets its pass: a descriptor, a file in memory. And what it does not get.

use std::os::unix::fs::MetadataExt;

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::killed::pid;
use super::machine::{Machine, Said, in_time, until};

/// `exec` with a shell's line.
fn exec<'a>(more: &[&'a str], line: &'a str) -> Vec<&'a str> {
    [&["exec", "--purpose", "a test"], more, &["--", "sh", "-c", line]].concat()
}

#[tokio::test]
async fn a_descriptor_holds_the_pass_and_the_environment_does_not() {
    let machine = Machine::signed_in().await;
    let line = "cat <&$HALLPASS_TOKEN_FD; echo; cat /dev/fd/$HALLPASS_TOKEN_FD; echo; \
                cat /proc/self/fd/$HALLPASS_TOKEN_FD; echo; env | sort > env; \
                echo x 2> refused > /dev/fd/$HALLPASS_TOKEN_FD; cat refused >&2";
    let line = line.replace("cat <&$HALLPASS_TOKEN_FD", "bash -c 'cat <&$HALLPASS_TOKEN_FD'");
    let mut command = machine.hallpass(&exec(&["--as", "fd"], &line));
    let said = Said(in_time(command.current_dir(machine.path(".")).output()).await.unwrap());
    let out = said.out();
    let tokens: Vec<_> = out.lines().collect();
    assert!(tokens.len() == 3 && tokens.iter().all(|token| *token == tokens[0]), "{out} {}", said.err());
    assert_eq!(machine.world.introspect(tokens[0]).await["active"], false, "it is over with its command");
    assert!(tokens[0].split('.').count() == 3);
    let environment = std::fs::read_to_string(machine.path("env")).unwrap();
    assert!(environment.contains("HALLPASS_TOKEN_FD=") && !environment.contains(tokens[0]), "{environment}");
    assert!(!environment.contains("HALLPASS_TOKEN="));
    assert!(said.err().contains("it is not renewed: a command that runs longer than 10m"), "{}", said.err());
}

#[tokio::test]
async fn the_variable_of_a_descriptor_or_file_is_as_asked() {
    let machine = Machine::signed_in().await;
    let said = machine
        .run(&exec(&["--as", "fd", "--env", "API_FD", "--quiet"], "test -s /dev/fd/$API_FD && echo there"))
        .await;
    assert_eq!((said.out().as_str(), said.err().as_str()), ("there\n", ""));
    let said = machine
        .run(&exec(&["--as", "file", "--env", "API_FILE", "--quiet"], "test -s $API_FILE && echo there"))
        .await;
    assert_eq!((said.out().as_str(), said.err().as_str()), ("there\n", ""));
}

/// A run that says where its file is and waits.
async fn start_with_file(machine: &Machine, more: &[&str]) -> (Child, String) {
    let (place, go) = (machine.path("place"), machine.path("go"));
    let waits = machine.while_it_lasts(&format!("[ ! -e {} ]", go.display()));
    let line = format!("echo $HALLPASS_TOKEN_FILE > {0}.new; mv {0}.new {0}; {waits}", place.display());
    let child = machine.hallpass(&exec(&[&["--as", "file"], more].concat(), &line)).spawn().unwrap();
    until("the command runs", async || place.exists()).await;
    (child, std::fs::read_to_string(&place).unwrap().trim().to_owned())
}

#[tokio::test]
async fn a_file_is_in_memory_alone_and_is_gone_with_the_run() {
    let machine = Machine::signed_in().await;
    let (child, place) = start_with_file(&machine, &[]).await;
    let token = std::fs::read_to_string(&place).unwrap();
    assert!(machine.world.accepts(&token).await);
    let file = std::fs::metadata(&place).unwrap();
    assert_eq!((file.mode() & 0o777, file.nlink()), (0o400, 0), "it has no name in any folder");
    let link = std::fs::read_link(&place).unwrap();
    assert_eq!(link.to_str(), Some("/memfd:hallpass (deleted)"));
    // The process that holds it has nothing else of ours.
    let holder = std::path::Path::new(&place).parent().unwrap().parent().unwrap();
    assert_eq!(std::fs::read(holder.join("environ")).unwrap(), b"");
    assert!(std::fs::write(&place, "another").is_err(), "it is sealed");
    machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!said.err().contains("it is not renewed"), "{}", said.err());
    until("the file is gone", async || !std::path::Path::new(&place).exists()).await;
    assert!(!machine.world.accepts(&token).await);
}

#[tokio::test]
async fn a_file_outlives_its_token_by_far_and_is_never_half_written() {
    let machine = Machine::signed_in().await;
    let (child, place) = start_with_file(&machine, &["--ttl", "2s"]).await;
    let mut seen = Vec::new();
    until("five tokens came one after the other", async || {
        let token = std::fs::read_to_string(&place).unwrap();
        assert_eq!(token.split('.').count(), 3, "half a token: {token}");
        if seen.last() != Some(&token) {
            assert!(machine.world.accepts(&token).await, "it is renewed before it is over");
            seen.push(token);
        }
        seen.len() >= 5
    })
    .await;
    machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    for token in &seen {
        assert!(!machine.world.accepts(token).await);
    }
}

#[tokio::test]
async fn a_file_is_renewed_with_a_provider_that_has_one_token_for_all() {
    let provider =
        SmallProvider::start(Manner { ours: false, says_expires_in: Some(2), ..Manner::default() }).await;
    let machine = Machine::new().await;
    let login = ["login", &provider.issuer, "--client-id", "some-cli", "--flow", "device"];
    let said = machine.run(&login).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let (child, place) = start_with_file(&machine, &[]).await;
    let first = std::fs::read_to_string(&place).unwrap();
    until("another came", async || std::fs::read_to_string(&place).unwrap() != first).await;
    machine.let_go();
    assert_eq!(Said(in_time(child.wait_with_output()).await.unwrap()).code(), 0);
}

#[tokio::test]
async fn when_hallpass_is_killed_every_token_of_a_file_dies_and_so_does_the_file() {
    let machine = Machine::signed_in().await;
    let (mut child, place) = start_with_file(&machine, &["--ttl", "6s"]).await;
    let first = std::fs::read_to_string(&place).unwrap();
    until("another came", async || std::fs::read_to_string(&place).unwrap() != first).await;
    let second = std::fs::read_to_string(&place).unwrap();
    assert!(machine.world.accepts(&second).await);
    kill_process(pid(&child), Signal::KILL).unwrap();
    machine.until_dead(&second).await;
    machine.until_dead(&first).await;
    until("the file is gone", async || !std::path::Path::new(&place).exists()).await;
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_to_be_clean_has_no_other_credential() {
    let machine = Machine::signed_in().await;
    let others = ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "SOME_API_KEY", "HALLPASS_TOKEN"];
    let mut command = machine.hallpass(&exec(&["--clean"], "env; echo token=$HALLPASS_TOKEN"));
    command.envs(others.iter().map(|name| (name, "canary"))).env("AWS_REGION", "stays");
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!said.out().contains("canary") && said.out().contains("AWS_REGION=stays"), "{}", said.out());
    assert!(!said.out().contains("HALLPASS_PASSPHRASE_FILE"), "{}", said.out());
    assert!(said.out().contains("token=ey"), "{}", said.out());
    // These, and what a test's person has: a passphrase in a file, and a daemon's socket.
    assert!(said.err().starts_with("7 other credentials are not passed on\n"), "{}", said.err());
    // Without the word, everything stays.
    let mut command = machine.hallpass(&exec(&[], "echo $GITHUB_TOKEN"));
    let said = Said(in_time(command.env("GITHUB_TOKEN", "canary").output()).await.unwrap());
    assert_eq!(said.out(), "canary\n");
}

/// Whoever reads a descriptor of the command reads it by the command: nobody else inherits it.
#[tokio::test]
async fn nobody_but_the_command_inherits_the_descriptor() {
    let machine = Machine::signed_in().await;
    let go = machine.path("go");
    let waits = machine.while_it_lasts(&format!("[ ! -e {} ]", go.display()));
    let line = format!("touch {}; {waits}", machine.path("runs").display());
    let mut child = machine.hallpass(&exec(&["--as", "fd"], &line)).spawn().unwrap();
    until("the command runs", async || machine.path("runs").exists()).await;
    let us = pid(&child);
    let holds = |pid: Pid| {
        let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
        let links = std::fs::read_dir(folder).unwrap().flatten();
        links
            .filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| link.to_str() == Some("/memfd:hallpass (deleted)"))
    };
    let with_it: Vec<_> = super::killed::children(us).into_iter().filter(|(pid, _)| holds(*pid)).collect();
    assert_eq!(with_it.len(), 1, "{with_it:?}");
    assert!(with_it[0].1.starts_with("sh -c"), "{with_it:?}");
    assert!(!holds(us), "and we let go of it");
    machine.let_go();
    in_time(child.wait()).await.unwrap();
}
