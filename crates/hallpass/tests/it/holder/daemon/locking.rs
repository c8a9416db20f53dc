use tokio::process::Command;

use super::super::machine::{Home, Machine, Said, in_time};

impl Home {
    /// A command whose person knows another passphrase than the one in the file, or none.
    fn knowing(&self, passphrase: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = self.hallpass(arguments);
        match passphrase {
            Some(passphrase) => {
                use std::os::unix::fs::PermissionsExt;
                let file = self.path("other-passphrase");
                std::fs::write(&file, passphrase).unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
                command.env("HALLPASS_PASSPHRASE_FILE", file);
            }
            None => _ = command.env_remove("HALLPASS_PASSPHRASE_FILE").env("HALLPASS_NO_INPUT", "1"),
        }
        command
    }

    async fn run_knowing(&self, passphrase: Option<&str>, arguments: &[&str]) -> Said {
        Said(in_time(self.knowing(passphrase, arguments).output()).await.unwrap())
    }
}

#[tokio::test]
async fn a_locked_daemon_gives_nothing_out_until_its_passphrase_unlocks_it() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();
    let said = machine.run_knowing(Some("lock it up"), &["daemon", "lock"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());

    let refused = machine.run(&["token"]).await;
    assert!(refused.code() == 4 && refused.err().contains("hallpass daemon unlock"), "{}", refused.err());
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 423);
    let status = machine.run(&["status", "--json"]).await.json();
    assert_eq!(
        (status["sign_ins"][0]["stands"].as_bool(), status["sign_ins"][0]["key"].as_str()),
        (Some(false), Some("daemon"))
    );
    let login =
        machine.run(&["login", &machine.world.issuer_url, "--flow", "device", "--store", "daemon"]).await;
    assert_eq!(login.code(), 4, "nobody is asked to approve what cannot be kept: {}", login.err());

    let wrong = machine.run_knowing(Some("lock it down"), &["daemon", "unlock"]).await;
    assert_eq!(wrong.code(), 70, "{}", wrong.err());
    let nobody = machine.run_knowing(None, &["daemon", "unlock"]).await;
    assert_eq!(nobody.code(), 4, "{}", nobody.err());
    assert_eq!(machine.run(&["token"]).await.code(), 4);

    let said = machine.run_knowing(Some("lock it up"), &["daemon", "unlock"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(machine.run(&["token"]).await.out(), token, "nothing was lost");
}

#[tokio::test]
async fn it_is_not_locked_where_that_would_lose_a_sign_in() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon"]).await;
    let refused = machine.run_knowing(None, &["daemon", "lock"]).await;
    assert_eq!(refused.code(), 4, "{}", refused.err());
    assert_eq!(machine.run(&["token"]).await.code(), 0);
}

#[tokio::test]
async fn a_screen_that_locks_itself_locks_a_daemon_that_holds_nothing_alone() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    assert_eq!(machine.run(&["token"]).await.code(), 0);
    assert_eq!(machine.run_knowing(None, &["daemon", "lock"]).await.code(), 0);
    assert_eq!(machine.daemon_status().await["ready"], 0);
    assert_eq!(machine.run(&["token"]).await.code(), 4);
    assert_eq!(machine.run_knowing(None, &["daemon", "unlock"]).await.code(), 0);
    assert_eq!(machine.run(&["token"]).await.code(), 0);
}

#[tokio::test]
async fn the_passphrase_that_unlocks_it_opens_what_on_disk_waits_for_it() {
    let machine = Machine::signed_in().await;
    let started = machine.run_knowing(None, &["daemon", "start"]).await;
    assert_eq!(started.code(), 0, "{}", started.err());
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 500, "nobody told it the passphrase");
    assert_eq!(machine.run(&["token"]).await.code(), 0, "the command knows how to open it");
    assert_eq!(machine.run(&["daemon", "unlock"]).await.code(), 0);
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 200);
}
