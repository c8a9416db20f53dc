//! A home folder that was copied to another machine: it does not open there, is named, and its person is told.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use hallpass_store::Answer;
use tokio::process::Command;

use super::machine::{Machine, Said, in_time};

/// `hallpass` on another machine, with this home: another machine id, and, as another user namespace has, another keyring.
fn elsewhere(home: &Path, arguments: &[&str]) -> Command {
    let id = home.join("other-machine-id");
    std::fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount --bind \"$HOME/other-machine-id\" /etc/machine-id && exec \"$@\"")
        .args(["sh", env!("CARGO_BIN_EXE_hallpass")])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", home)
        .env("HALLPASS_HOST", "own")
        .env("HALLPASS_DAEMON", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run_elsewhere(home: &Path, arguments: &[&str]) -> Said {
    Said(in_time(elsewhere(home, arguments).output()).await.unwrap())
}

async fn copied(machine: &Machine) -> PathBuf {
    let copy = machine.path("copy");
    std::fs::create_dir(&copy).unwrap();
    let mut cp = Command::new("cp");
    cp.args(["-a", "--"]).arg(machine.path(".local")).arg(&copy);
    assert!(cp.status().await.unwrap().success());
    copy
}

/// Signs in with the key in the kernel's keyring, if that is allowed here.
async fn signed_in() -> Option<Machine> {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    // Nobody approves it: what matters is whether it gets that far.
    let probe = ["login", &issuer, "--flow", "device", "--client-id", "nobody", "--store", "keyring"];
    let forbidden = machine.run(&probe).await.err().contains("the kernel keyring is");
    if forbidden {
        return None; // a container that forbids it
    }
    machine.login(&["--store", "keyring"]).await;
    Some(machine)
}

#[tokio::test]
async fn a_copied_home_does_not_open_on_another_machine_and_is_named_a_foreign_copy() {
    let Some(machine) = signed_in().await else { return };
    let copy = copied(&machine).await;
    let token = run_elsewhere(&copy, &["token"]).await;
    assert_eq!((token.code(), token.out().as_str()), (4, ""), "{}", token.err());
    assert!(token.err().contains("is a foreign copy, made on another machine"), "{}", token.err());
    assert!(token.err().contains(&format!("hallpass login {}", machine.world.issuer_url)));
    let status = run_elsewhere(&copy, &["status", "--json"]).await;
    assert_eq!(status.code(), 4);
    assert_eq!(status.json()["foreign"][0]["issuer"], machine.world.issuer_url.as_str());

    // Put where that machine looks for its own, too.
    let folders = copy.join(".local/state/hallpass");
    let ours = std::fs::read_dir(&folders).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(&ours, folders.join(other_name())).unwrap();
    let token = run_elsewhere(&copy, &["token"]).await;
    assert_eq!(token.code(), 4, "{}", token.err());
    assert!(token.err().contains("is a foreign copy"), "{}", token.err());
    // Nothing was wiped: here it opens as before.
    assert_eq!(machine.run(&["token"]).await.code(), 0);
    machine.run(&["logout"]).await;
}

#[tokio::test]
async fn a_copy_that_is_found_is_said_to_the_issuer_once_and_its_person_is_told() {
    let Some(machine) = signed_in().await else { return };
    let copy = copied(&machine).await;
    let before = machine.world.ledger_size().await;
    let passphrase = copy.join("passphrase");
    std::fs::copy(machine.path("passphrase"), &passphrase).unwrap();
    let issuer = machine.world.issuer_url.clone();
    for _ in 0..2 {
        let arguments = ["login", &issuer, "--flow", "device", "--json", "--store", "passphrase"];
        let (child, code) = machine
            .start_login_at(&issuer, &[], |command| {
                *command = elsewhere(&copy, &arguments);
                command.env("HALLPASS_PASSPHRASE_FILE", &passphrase);
            })
            .await;
        machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
    }
    let recorded = machine.world.ledger_from(before).await;
    assert_eq!(recorded.iter().filter(|entry| entry.starts_with("copied")).count(), 1, "{recorded:?}");
    let page = machine.world.visitor_as(machine.world.ada).await.get("/acme/sessions").await.body;
    assert!(page.contains("A copy of your sign-ins was found"), "{page}");
    machine.run(&["logout"]).await;
}

#[tokio::test]
async fn two_hosts_over_one_home_each_have_their_own_sign_in() {
    let Some(machine) = signed_in().await else { return };
    let home = machine.path("");
    let passphrase = machine.path("passphrase");
    let issuer = machine.world.issuer_url.clone();
    let arguments = ["login", &issuer, "--flow", "device", "--json", "--store", "passphrase"];
    let (child, code) = machine
        .start_login_at(&issuer, &[], |command| {
            *command = elsewhere(&home, &arguments);
            command.env("HALLPASS_PASSPHRASE_FILE", &passphrase);
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    assert_eq!(Said(in_time(child.wait_with_output()).await.unwrap()).code(), 0);
    // Neither overwrote the other's, and a logout on one leaves the other signed in.
    assert_eq!(machine.run(&["status", "--json"]).await.json()["sign_ins"][0]["key"], "keyring");
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
    let mut status = elsewhere(&home, &["status", "--json"]);
    status.env("HALLPASS_PASSPHRASE_FILE", &passphrase);
    let status = Said(in_time(status.output()).await.unwrap());
    assert_eq!(status.json()["sign_ins"][0]["key"], "passphrase", "{}", status.err());
}

#[tokio::test]
async fn another_install_id_with_a_key_that_works_is_said_and_nothing_is_wiped() {
    let machine = Machine::signed_in().await;
    let folders = machine.path(".local/state/hallpass");
    let ours = std::fs::read_dir(&folders).unwrap().next().unwrap().unwrap().path();
    std::fs::write(ours.join("install"), "another-install-id").unwrap();
    let status = machine.run(&["status", "--json"]).await;
    assert_eq!((status.code(), status.json()["sign_ins"][0]["moved"].as_bool()), (0, Some(true)));
    assert!(machine.run(&["status"]).await.out().contains("another id than when you signed in"));
    assert_eq!(machine.run(&["token"]).await.code(), 0);
}

#[tokio::test]
async fn after_logout_no_byte_of_a_token_is_in_any_file_of_the_home() {
    let machine = Machine::signed_in().await;
    let token = machine.run(&["token"]).await.out();
    let token = token.trim();
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
    let (mut folders, mut looked_at) = (vec![machine.path("")], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap_or_default();
            looked_at += 1;
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|there| there == needle);
            for part in token.as_bytes().chunks_exact(24) {
                assert!(!has(part), "{}", path.display());
            }
            assert!(!has(b"hpr_") && path.extension().is_none_or(|it| it != "record"), "{}", path.display());
        }
    }
    assert!(looked_at > 1, "there was something to look at");
}

/// What the other machine's folder is called.
fn other_name() -> String {
    use aws_lc_rs::digest;
    let id = concat!("hallpass machine\0", "0123456789abcdef0123456789abcdef");
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
