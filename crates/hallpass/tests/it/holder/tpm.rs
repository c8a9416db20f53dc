//! The key of a sign-in sealed by a TPM: a real one, in software.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hallpass_store::Answer;
use hallpass_testkit::chip::Chip;
use tokio::process::Command;

use super::machine::{Machine, Said, in_time};

async fn run(machine: &Machine, chip: &Chip, arguments: &[&str]) -> Said {
    let mut command = machine.hallpass(arguments);
    with(&mut command, &chip.socket());
    Said(in_time(command.output()).await.unwrap())
}

fn with(command: &mut Command, place: &Path) {
    command.env_remove("HALLPASS_STORE").env_remove("HALLPASS_PASSPHRASE_FILE");
    command.env("HALLPASS_TPM", place);
}

async fn sign_in(machine: &Machine, chip: &Chip) -> Said {
    let (child, code) =
        machine.start_login_changed(&["--store", "tpm"], |command| with(command, &chip.socket())).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    said
}

/// The files beside the record with sealed keys in them.
fn sealed(machine: &Machine) -> Vec<PathBuf> {
    let machines = std::fs::read_dir(machine.path(".local/state/hallpass")).unwrap();
    let files = machines.flatten().flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    let files = files.flatten().map(|entry| entry.path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "sealed")).collect()
}

#[tokio::test]
async fn a_key_sealed_by_the_tpm_outlives_a_restart_and_leaves_at_logout() {
    let (machine, mut chip) = (Machine::new().await, Chip::start());
    let said = sign_in(&machine, &chip).await;
    assert!(said.err().contains("the key will rest in the TPM"), "{}", said.err());
    let status = run(&machine, &chip, &["status"]).await;
    assert!(status.out().contains("TPM"), "{}", status.out());
    assert!(status.out().contains("until logout, or the TPM is cleared"), "{}", status.out());
    let page = machine.world.visitor_as(machine.world.ada).await.get("/acme/sessions").await.body;
    assert!(page.contains("the key rests in the TPM, as it says"), "{page}");
    let files = sealed(&machine);
    assert_eq!(files.len(), 1);
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    chip.restart();
    let token = run(&machine, &chip, &["token"]).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    let receipt = run(&machine, &chip, &["logout", "--json"]).await;
    assert_eq!(receipt.code(), 0, "{}", receipt.err());
    assert_eq!(receipt.json()["sign_ins"][0]["wiped_key"], "tpm");
    assert_eq!(sealed(&machine), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_record_that_another_tpm_sealed_is_a_foreign_copy_and_one_from_before_a_clear_has_no_key() {
    let (machine, chip, other) = (Machine::new().await, Chip::start(), Chip::start());
    sign_in(&machine, &chip).await;
    // The same machine by its id, as a clone of a disk is.
    let token = run(&machine, &other, &["token"]).await;
    assert_eq!((token.code(), token.out().as_str()), (4, ""), "{}", token.err());
    assert!(token.err().contains("is a foreign copy, made on another machine"), "{}", token.err());
    assert!(token.err().contains(&format!("hallpass login {}", machine.world.issuer_url)));
    assert_eq!(run(&machine, &chip, &["token"]).await.code(), 0, "and nothing was wiped");
    chip.clear();
    let token = run(&machine, &chip, &["token"]).await;
    assert_eq!(token.code(), 4, "{}", token.err());
    assert!(token.err().contains("is no longer in the TPM"), "{}", token.err());
    sign_in(&machine, &chip).await;
    assert_eq!(run(&machine, &chip, &["token"]).await.code(), 0);
    assert_eq!(sealed(&machine).len(), 1, "the one that opens nothing went with its record");
    run(&machine, &chip, &["logout"]).await;
}

#[tokio::test]
async fn a_tpm_that_hangs_or_is_gone_loses_nothing_and_where_it_was_asked_for_no_other_place_is_taken() {
    let (machine, mut chip) = (Machine::new().await, Chip::start());
    sign_in(&machine, &chip).await;
    chip.hang();
    let token = run(&machine, &chip, &["token"]).await;
    assert_eq!((token.code(), token.out().as_str()), (75, ""), "{}", token.err());
    assert!(token.err().contains("in the TPM, which does not answer in time"), "{}", token.err());
    let issuer = machine.world.issuer_url.as_str();
    // A passphrase would be to be had.
    let mut again = machine.hallpass(&["login", issuer, "--flow", "device", "--store", "tpm"]);
    again.env("HALLPASS_TPM", machine.path("none"));
    let again = Said(in_time(again.output()).await.unwrap());
    assert_eq!(again.code(), 70, "{}", again.err());
    assert!(again.err().contains("the TPM is not on this machine"), "{}", again.err());
    chip.restart();
    assert_eq!(run(&machine, &chip, &["token"]).await.code(), 0);
    run(&machine, &chip, &["logout"]).await;
}

#[tokio::test]
async fn a_tpm_that_is_closed_to_this_user_says_which_group_may_use_it() {
    let (machine, chip) = (Machine::new().await, Chip::start());
    let socket = chip.socket();
    // Root may open everything but what belongs to somebody who is not in its user namespace.
    let _ = std::os::unix::fs::chown(&socket, Some(1), Some(1));
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new("unshare");
    let login = ["login", machine.world.issuer_url.as_str(), "--flow", "device", "--store", "tpm"];
    command.arg("--user").args(rustix::process::geteuid().is_root().then_some("--map-root-user"));
    command.arg(env!("CARGO_BIN_EXE_hallpass")).args(login);
    command
        .env_clear()
        .env("HOME", machine.path(""))
        .env("HALLPASS_HOST", "own")
        .env("HALLPASS_DAEMON", "off");
    command.env("HALLPASS_TPM", &socket).kill_on_drop(true);
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 70, "{}", said.err());
    assert!(said.err().contains("the TPM may not be used by this user"), "{}", said.err());
    assert!(said.err().contains("hint: ") && said.err().contains("usermod -aG tss"), "{}", said.err());
}

#[tokio::test]
async fn the_daemon_uses_the_tpm_that_it_is_told_of() {
    let (machine, chip) = (Machine::new().await, Chip::start());
    sign_in(&machine, &chip).await;
    // By a path that is right in this folder alone, which is not the daemon's.
    let socket = chip.socket();
    let mut start = machine.hallpass(&["daemon", "start"]);
    with(&mut start, Path::new(socket.file_name().unwrap()));
    let started = Said(in_time(start.current_dir(socket.parent().unwrap()).output()).await.unwrap());
    assert_eq!(started.code(), 0, "{}", started.err());
    // Whoever asks the daemon needs no TPM.
    let mut token = machine.hallpass(&["token"]);
    with(&mut token, &machine.path("none"));
    let token = Said(in_time(token.env("HALLPASS_DAEMON", "on").output()).await.unwrap());
    let logout = run(&machine, &chip, &["logout"]).await;
    assert_eq!(run(&machine, &chip, &["daemon", "stop"]).await.code(), 0);
    assert_eq!((token.code(), logout.code()), (0, 0), "{}{}", token.err(), logout.err());
}
