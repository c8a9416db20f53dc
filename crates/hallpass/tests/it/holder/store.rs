//! Where the key of a sign-in rests: a desktop's keyring, and what is said when that fails.

use hallpass_model::principal::OrgLimits;
use hallpass_model::rung::Rung;
use hallpass_store::{Answer, SetOrgLimits};
use hallpass_testkit::desktop::Desktop;
use tokio::process::Command;

use super::machine::{Machine, Said, in_time};

/// Runs it on this desktop.
async fn run(machine: &Machine, desktop: &Desktop, arguments: &[&str]) -> Said {
    let mut command = machine.hallpass(arguments);
    on(&mut command, desktop);
    Said(in_time(command.output()).await.unwrap())
}

fn on(command: &mut Command, desktop: &Desktop) {
    command.env_remove("HALLPASS_STORE").env_remove("HALLPASS_PASSPHRASE_FILE");
    command.env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
}

async fn sign_in(machine: &Machine, desktop: &Desktop, more: &[&str]) -> Said {
    let (child, code) = machine.start_login_changed(more, |command| on(command, desktop)).await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    Said(in_time(child.wait_with_output()).await.unwrap())
}

#[tokio::test]
async fn on_a_desktop_the_key_rests_in_its_keyring_and_leaves_it_at_logout() {
    let (machine, desktop) = (Machine::new().await, Desktop::start());
    let said = sign_in(&machine, &desktop, &[]).await;
    assert!(said.err().contains("the key will rest in the Secret Service"), "{}", said.err());
    assert_eq!(desktop.kept(), 1);
    let status = run(&machine, &desktop, &["status", "--json"]).await.json();
    assert_eq!(status["sign_ins"][0]["key"], "secret-service");
    let token = run(&machine, &desktop, &["token"]).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    let receipt = run(&machine, &desktop, &["logout", "--json"]).await;
    assert_eq!(receipt.code(), 0, "{}", receipt.err());
    assert_eq!(receipt.json()["sign_ins"][0]["wiped_key"], "secret-service");
    assert_eq!(desktop.kept(), 0);
}

#[tokio::test]
async fn a_keyring_that_locks_mid_run_loses_nothing_and_a_login_goes_lower_only_if_it_is_told_to() {
    let (machine, mut desktop) = (Machine::new().await, Desktop::start());
    sign_in(&machine, &desktop, &[]).await;
    desktop.lock();
    let token = run(&machine, &desktop, &["token"]).await;
    assert_eq!((token.code(), token.out().as_str()), (75, ""));
    assert!(token.err().contains("is locked") && token.err().contains("nothing was lost"), "{}", token.err());
    let issuer = machine.world.issuer_url.as_str();
    let again = run(&machine, &desktop, &["login", issuer, "--flow", "device"]).await;
    assert_eq!(again.code(), 70, "{}", again.err());
    assert!(again.err().contains("not moved to a lower place") && again.err().contains("--store"));
    desktop.kill_keyring();
    let token = run(&machine, &desktop, &["token"]).await;
    assert!(token.code() == 75 && token.err().contains("is not on the session bus"), "{}", token.err());
    desktop.start_keyring();
    assert_eq!(run(&machine, &desktop, &["token"]).await.code(), 0);

    let passphrase = machine.path("passphrase");
    let (child, code) = machine
        .start_login_changed(&["--store", "passphrase"], |command| {
            on(command, &desktop);
            command.env("HALLPASS_PASSPHRASE_FILE", passphrase);
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert!(said.code() == 0 && said.err().contains("will rest lower, as you asked"), "{}", said.err());
    assert_eq!(desktop.kept(), 0, "the earlier key went with its sign-in");
}

#[tokio::test]
async fn a_logout_while_the_keyring_is_locked_wipes_the_record_and_says_what_is_left() {
    let (machine, desktop) = (Machine::new().await, Desktop::start());
    sign_in(&machine, &desktop, &[]).await;
    desktop.lock();
    let receipt = run(&machine, &desktop, &["logout", "--json"]).await;
    assert_eq!(receipt.code(), 1, "{}", receipt.err());
    let sign_in = &receipt.json()["sign_ins"][0];
    assert!(sign_in["wiped_file"].is_string() && sign_in["wiped_key"].is_null(), "{sign_in}");
    assert!(sign_in["not_wiped"].as_str().unwrap().contains("is locked"), "{sign_in}");
    assert_eq!(run(&machine, &desktop, &["status"]).await.code(), 4);
}

#[tokio::test]
async fn a_rung_that_the_org_does_not_allow_is_refused_by_its_name_and_nothing_is_lost() {
    let (machine, desktop) = (Machine::new().await, Desktop::start());
    let demand = async |rungs: &[Rung]| {
        let limits = OrgLimits { rungs: rungs.to_vec().try_into().ok(), ..OrgLimits::default() };
        machine.world.change(SetOrgLimits { org: machine.world.org, limits }).await.unwrap();
    };
    demand(&[Rung::SecretService]).await;
    let issuer = machine.world.issuer_url.as_str();
    let refused = machine.run(&["login", issuer, "--flow", "device"]).await; // by passphrase
    assert_eq!(refused.code(), 5, "{}", refused.err());
    assert!(refused.err().contains("rule `rung`") && refused.err().contains("secret-service"));
    assert!(refused.err().contains("--store"), "{}", refused.err());
    assert_eq!(sign_in(&machine, &desktop, &[]).await.code(), 0);
}

#[tokio::test]
async fn a_server_without_a_session_bus_signs_in_without_waiting_for_one() {
    let machine = Machine::new().await;
    let nowhere = format!("unix:path={}", machine.path("no-bus").display());
    let passphrase = machine.path("passphrase");
    let (child, code) = machine
        .start_login_changed(&[], |command| {
            command.env_remove("HALLPASS_STORE").env("DBUS_SESSION_BUS_ADDRESS", nowhere);
            command.env("HALLPASS_PASSPHRASE_FILE", passphrase);
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(
        !said.err().contains("session bus"),
        "what most servers lack is not talked about: {}",
        said.err()
    );
    machine.run(&["logout"]).await;
}
