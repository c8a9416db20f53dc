//! Machines where others are the same user: said aloud, and nothing is left for them unasked.

use hallpass_model::device::DeviceClass;
use hallpass_model::time::Clock;
use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use tokio::process::Command;

use super::machine::{Machine, Said, in_time};

/// The person came by sudo, and says nothing of where anything is to be kept.
fn came_by_sudo(command: &mut Command) {
    command.env_remove("HALLPASS_HOST").env("SUDO_USER", "bob");
    command.env_remove("HALLPASS_STORE").env("HALLPASS_DAEMON", "off");
}

async fn run(machine: &Machine, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Said {
    let mut command = machine.hallpass(arguments);
    change(&mut command);
    Said(in_time(command.output()).await.unwrap())
}

/// The class of ada's one session, as she sees it.
async fn class(machine: &Machine) -> Option<DeviceClass> {
    let world = &machine.world;
    let listed = world.store.list_sessions_of(world.ada, None, 10, world.clock.now()).await.unwrap();
    listed.items.first().and_then(|session| session.class)
}

#[tokio::test]
async fn on_a_shared_machine_nothing_is_kept_unless_the_person_says_where() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.as_str();
    let login = ["login", issuer, "--flow", "device", "--resource", NOTES, "--scope", "notes:read"];
    let said = run(&machine, &login, came_by_sudo).await;
    assert_eq!(said.code(), 70, "{}", said.err());
    assert!(said.err().contains("shared with others: `bob` became this user"), "{}", said.err());
    assert!(said.err().contains("--one-run") && said.err().contains("--store keyring"), "{}", said.err());
    assert!(!machine.path(".local").exists(), "nothing was written");

    let (child, code) = machine
        .start_login_changed(&["--store", "passphrase"], |command| {
            came_by_sudo(command);
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("theirs as well; you named the place"), "{}", said.err());
    assert_eq!(class(&machine).await, Some(DeviceClass::SharedHost));
    let status = run(&machine, &["status", "--json"], came_by_sudo).await.json();
    assert_eq!(status["shared"]["class"], "shared-host");
    assert_eq!(status["sign_ins"][0]["device_class"], "shared-host");
    let status = run(&machine, &["status"], came_by_sudo).await;
    assert!(status.err().contains("`bob` became this user"), "{}", status.err());
}

#[tokio::test]
async fn on_a_build_agent_one_command_runs_with_a_sign_in_that_nothing_keeps() {
    let machine = Machine::new().await;
    let (child, code) = machine
        .start_login_changed(&["--one-run", "--", "true"], |command| {
            command.env("HALLPASS_HOST", "build-agent").env_remove("HALLPASS_STORE");
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("this is a build agent: HALLPASS_HOST says so"), "{}", said.err());
    assert!(!machine.path(".local").exists(), "nothing was written");
}

#[tokio::test]
async fn whose_machine_it_is_can_be_said_and_a_word_that_is_none_is_refused() {
    let machine = Machine::signed_in().await;
    assert!(!matches!(class(&machine).await, None | Some(DeviceClass::SharedHost | DeviceClass::BuildAgent)));
    let own = run(&machine, &["status", "--json"], |command| {
        command.env("SUDO_USER", "bob").env("HALLPASS_HOST", "own");
    });
    assert!(own.await.json()["shared"].is_null());
    let said = run(&machine, &["status"], |command| {
        command.env("HALLPASS_HOST", "mine");
    });
    assert_eq!(said.await.code(), 2);
}
