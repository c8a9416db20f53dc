//! Signing out where the issuer cannot be reached, and what is done about it later.

use std::process::Stdio;

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::process::Command;

use super::machine::{Home, Said, in_time};

/// The same command where there is no network at all, not even to this machine.
async fn offline(home: &Home, arguments: &[&str]) -> Said {
    let there = home.hallpass(arguments);
    let there = there.as_std();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(there.get_program()).args(there.get_args());
    command.env_clear().envs(there.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Said(in_time(command.stdin(Stdio::null()).output()).await.unwrap())
}

#[tokio::test]
async fn a_logout_without_a_network_wipes_here_and_revokes_there_when_there_is_one_again() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
    let said = offline(&home, &["logout", "--json"]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    let sign_in = &said.json()["sign_ins"][0];
    assert_eq!(sign_in["credentials"][0]["fate"], "owed", "{sign_in}");
    assert!(sign_in["lives_until"].is_string() && sign_in["wiped_file"].is_string(), "{sign_in}");
    assert!(!std::path::Path::new(sign_in["wiped_file"].as_str().unwrap()).exists());
    assert_eq!(provider.alive(), 1);

    // It is shown, and a retry without a network says that it is still owed.
    let status = home.run(&["status", "--json"]).await;
    assert_eq!(
        (status.code(), status.json()["owed"][0]["issuer"].as_str()),
        (4, Some(provider.issuer.as_str()))
    );
    let status = home.run(&["status"]).await;
    assert!(status.err().contains("not revoked yet") && status.err().contains("--retry"), "{}", status.err());
    assert_eq!(offline(&home, &["logout", "--retry"]).await.code(), 1);

    let said = home.run(&["logout", "--retry"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.out().contains("revoked at") && said.out().contains(&provider.issuer), "{}", said.out());
    assert_eq!(provider.alive(), 0);
    let said = home.run(&["logout", "--retry", "--json"]).await;
    assert_eq!(said.json()["owed"].as_array().unwrap().len(), 0);
    assert!(home.run(&["status", "--json"]).await.json()["owed"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn signing_out_everywhere_owes_each_issuer_its_own() {
    let providers =
        [SmallProvider::start(Manner::default()).await, SmallProvider::start(Manner::default()).await];
    let home = Home::new();
    for provider in &providers {
        assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
        provider.change(|manner| manner.cannot_revoke_now = true);
    }
    let said = home.run(&["logout", "--all"]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    providers[0].change(|manner| manner.cannot_revoke_now = false);
    let said = home.run(&["logout", "--retry", "--json"]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    let fates: Vec<_> =
        said.json()["owed"].as_array().unwrap().iter().map(|one| one["fate"].clone()).collect();
    assert!(fates.contains(&"revoked".into()) && fates.contains(&"owed".into()), "{fates:?}");
    assert_eq!((providers[0].alive(), providers[1].alive()), (0, 1));
}
