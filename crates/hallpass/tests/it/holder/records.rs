//! Records that cannot be read, machines that can keep none, and what a logout says and leaves with.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_store::Answer;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;
use tokio::process::Command;

use super::machine::{Machine, Said, in_time};

/// The file of the one sign-in.
async fn record(machine: &Machine) -> PathBuf {
    let status = machine.run(&["status", "--json"]).await.json();
    status["sign_ins"][0]["file"].as_str().unwrap().into()
}

fn open_to_others(file: &PathBuf) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
}

#[tokio::test]
async fn a_record_others_can_read_is_shown_as_that_and_logout_wipes_it_and_leaves_with_no() {
    let machine = Machine::signed_in().await;
    let file = record(&machine).await;
    let shown = file.to_str().unwrap();
    open_to_others(&file);
    let status = machine.run(&["status", "--json"]).await;
    assert_eq!(status.code(), 4);
    let unreadable = &status.json()["unreadable"][0];
    assert_eq!(unreadable["file"], shown);
    assert!(unreadable["problem"].as_str().unwrap().contains("0600"), "{unreadable}");
    let status = machine.run(&["status"]).await;
    assert!(status.out().contains(shown) && status.err().contains("may be alive"), "{}", status.out());
    let token = machine.run(&["token"]).await;
    assert_eq!(token.code(), 70);
    assert!(token.err().contains("not safe to use"), "{}", token.err());

    let receipt = machine.run(&["logout", "--json"]).await;
    assert_eq!(receipt.code(), 1, "{}", receipt.err());
    let receipt = receipt.json();
    let sign_in = &receipt["sign_ins"][0];
    assert_eq!((receipt["may_be_alive"].as_bool(), sign_in["issuer"].as_str()), (Some(true), None));
    assert_eq!(sign_in["wiped_file"], shown);
    assert!(!file.exists());
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
}

#[tokio::test]
async fn an_unreadable_record_is_found_by_the_name_of_its_issuer() {
    let machine = Machine::signed_in().await;
    let file = record(&machine).await;
    std::fs::write(&file, "HALLPASS-RECORD 2\n").unwrap();
    // It may be anybody's, so nothing is said to be signed out.
    let elsewhere = machine.run(&["logout", "--issuer", "https://id.example/acme"]).await;
    assert_eq!(elsewhere.code(), 70, "{}", elsewhere.err());
    assert!(elsewhere.err().contains("another version") && elsewhere.err().contains("--all"));
    assert!(file.exists());
    let said = machine.run(&["logout", "--issuer", &machine.world.issuer_url]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    assert!(said.out().contains(&machine.world.issuer_url) && !file.exists(), "{}", said.out());
}

#[tokio::test]
async fn logout_everywhere_gives_up_all_of_it_whoever_reads_the_receipts() {
    let providers = [
        SmallProvider::start(Manner::default()).await,
        SmallProvider::start(Manner { cannot_revoke_now: true, ..Manner::default() }).await,
        SmallProvider::start(Manner::default()).await,
    ];
    let machine = Machine::new().await;
    for provider in &providers {
        let said = machine.run(&["login", &provider.issuer, "--flow", "device"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = machine.hallpass(&["logout", "--all"]);
    let said = Said(in_time(command.stdout(writer).output()).await.unwrap());
    assert_eq!(said.code(), 1, "one may be alive: {}", said.err());
    assert!(said.err().contains("not revoked there: the session"), "{}", said.err());
    let alive = providers.iter().map(|provider| provider.alive());
    assert_eq!(alive.collect::<Vec<_>>(), [0, 1, 0]);
    let left = machine.run(&["logout", "--json"]).await;
    assert_eq!(left.code(), 0);
    assert_eq!(
        left.out(),
        "{\"schema\":\"hallpass.logout/1\",\"sign_ins\":[],\"copies\":[],\"may_be_alive\":false}\n",
        "an answer also where there was nothing to do"
    );
}

#[tokio::test]
async fn a_sign_in_for_one_run_needs_neither_a_disk_nor_a_home() {
    let machine = Machine::new().await;
    let more = ["--one-run", "--", "sh", "-c", "test -n \"$HALLPASS_TOKEN\" && exit 9"];
    // A folder nobody can make anything in, not even root.
    for folder in [Some("/proc/self/nowhere"), None] {
        let keep = |command: &mut Command| {
            command.env_remove("HOME");
            if let Some(folder) = folder {
                command.env("HALLPASS_STATE_DIR", folder);
            }
        };
        let (child, code) = machine.start_login_changed(&more, keep).await;
        machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 9, "{}", said.err());
        assert!(said.err().contains("signed out again"), "{}", said.err());

        // Anything else says so, before anybody is asked.
        let mut command = machine.hallpass(&["login", &machine.world.issuer_url, "--flow", "device"]);
        keep(&mut command);
        let said = Said(in_time(command.output()).await.unwrap());
        assert_eq!(said.code(), 70, "{}", said.err());
        assert!(said.err().contains("HALLPASS_STATE_DIR") && !said.err().contains("Enter"), "{}", said.err());
    }
}

#[tokio::test]
async fn a_sign_in_for_one_run_leaves_the_one_that_is_kept_alone() {
    let machine = Machine::signed_in().await;
    let (child, code) = machine.start_login(&["--one-run", "--", "true"]).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(machine.run(&["token", "--ttl", "60s"]).await.code(), 0);
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_a_person_is_asked() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let secret = machine.path("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    open_to_others(&secret);
    let too_long = format!("{}m", ACCESS_TOKEN_MAX.as_seconds() / 60 + 1);
    let run = ["--one-run", "--flow", "device"];
    let table: [(Vec<&str>, i32, &str); 7] = [
        ([&run[..], &["--", "true"]].concat(), 2, "--resource"),
        (
            [&run[..], &["--resource", NOTES, "--resource", "https://b/", "--", "true"]].concat(),
            2,
            "--resource",
        ),
        ([&run[..], &["--resource", NOTES, "--ttl", &too_long, "--", "true"]].concat(), 5, "15m"),
        ([&run[..], &["--resource", NOTES, "--", "ture", "x"]].concat(), 127, "`ture`"),
        (vec!["--flow", "device", "--client-secret-file", secret.to_str().unwrap()], 2, "0600"),
        (vec![], 4, "--flow device"),
        (vec!["--no-input"], 4, "--flow device"),
    ];
    for (more, code, word) in table {
        let said = machine.run(&[&["login", &issuer], &more[..]].concat()).await;
        assert_eq!(said.code(), code, "{more:?}: {}", said.err());
        assert!(said.err().contains(word) && !said.err().contains("Enter"), "{more:?}: {}", said.err());
    }
    // One line, where nobody is there to read more.
    let said = machine.run(&["login", &issuer]).await;
    assert_eq!(said.err().lines().count(), 1, "{}", said.err());
}

#[tokio::test]
async fn status_leaves_with_its_answer_whoever_reads_it() {
    let machine = Machine::signed_in().await;
    open_to_others(&record(&machine).await);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = machine.hallpass(&["status"]);
    let said = Said(in_time(command.stdout(Stdio::from(writer)).output()).await.unwrap());
    assert_eq!(said.code(), 4, "{}", said.err());
}
