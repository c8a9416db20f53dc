//! Signing out where the issuer cannot be reached, and what is done about it later.

use std::process::Stdio;

use hallpass_testkit::desktop::Desktop;
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

/// A refusal is an answer, and asking again brings no other; anything else may be the network's or the hour's.
#[tokio::test]
async fn what_a_provider_answers_to_a_logout_decides_whether_it_is_tried_again() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    for (answer, fate) in [
        ((503, None), "owed"),
        ((429, None), "owed"),
        ((429, Some("slow_down")), "owed"),
        ((500, Some("server_error")), "owed"),
        ((404, None), "owed"),
        ((302, None), "owed"),
        ((400, Some("unsupported_token_type")), "alive"),
        ((401, Some("invalid_client")), "alive"),
    ] {
        provider.change(|manner| manner.answers_revocation = None);
        let login = ["login", &provider.issuer, "--flow", "device", "--client-id", "mine"];
        assert_eq!(home.run(&login).await.code(), 0);
        provider.change(|manner| manner.answers_revocation = Some(answer));
        let said = home.run(&["logout", "--json"]).await;
        let sign_in = &said.json()["sign_ins"][0];
        assert_eq!(
            (said.code(), &sign_in["credentials"][0]["fate"]),
            (1, &fate.into()),
            "{answer:?}: {sign_in}"
        );
        assert!(
            sign_in["wiped_file"].is_string() && sign_in["may_be_alive"] == true,
            "{answer:?}: {sign_in}"
        );
        provider.change(|manner| manner.answers_revocation = None);
        let owed = home.run(&["logout", "--retry", "--json"]).await.json()["owed"].clone();
        let fates: Vec<_> = owed.as_array().unwrap().iter().map(|one| one["fate"].clone()).collect();
        match fate {
            "owed" => assert_eq!(fates, ["revoked"], "{answer:?}"),
            _ => assert!(fates.is_empty(), "{answer:?}: {fates:?}"),
        }
    }
}

/// Ten sign-ins, of which some cannot be ended: each is wiped, each has its line, and one issuer that hangs keeps no other
/// waiting. Seven that hang one after the other would take longer than anything here may.
#[tokio::test]
async fn signing_out_everywhere_leaves_nobody_signed_in_because_of_another() {
    let home = Home::new();
    let mut providers = Vec::new();
    for number in 0..10 {
        let provider = SmallProvider::start(Manner { revokes: number != 8, ..Manner::default() }).await;
        assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
        providers.push(provider);
    }
    providers[..7].iter().for_each(|provider| provider.change(|manner| manner.holds = Some("revoke")));
    providers[7].change(|manner| manner.cannot_revoke_now = true);
    let said = home.run(&["logout", "--all", "--json"]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    let answer = said.json();
    let sign_ins = answer["sign_ins"].as_array().unwrap();
    assert_eq!((sign_ins.len(), &answer["may_be_alive"]), (10, &true.into()));
    let fate = |number: usize| {
        let of = sign_ins.iter().find(|one| one["issuer"] == providers[number].issuer.as_str()).unwrap();
        assert!(of["wiped_file"].is_string(), "{of}");
        of["credentials"][0]["fate"].as_str().unwrap_or_default().to_owned()
    };
    let fates: Vec<_> = (0..10).map(fate).collect();
    assert_eq!(fates[..8], ["owed"; 8]);
    assert_eq!((fates[8].as_str(), fates[9].as_str()), ("alive", "revoked"));
    assert_eq!(home.run(&["status", "--json"]).await.json()["sign_ins"].as_array().unwrap().len(), 0);
    providers.iter().for_each(|provider| {
        provider.change(|manner| (manner.holds, manner.cannot_revoke_now) = (None, false));
    });
    let said = home.run(&["logout", "--retry"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let alive: Vec<_> = providers.iter().map(SmallProvider::alive).collect();
    assert_eq!(alive, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "the one without an endpoint lives on, as was said");
}

#[tokio::test]
async fn two_logouts_at_once_are_one_and_neither_fails() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    for _ in 0..5 {
        assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
        let (one, other) = tokio::join!(home.run(&["logout"]), home.run(&["logout"]));
        for said in [&one, &other] {
            // Whoever comes second finds nobody signed in, or that what it meant to end has ended.
            assert!([0, 4].contains(&said.code()), "{} {}", said.code(), said.err());
        }
        assert!([&one, &other].iter().any(|said| said.code() == 0));
        assert_eq!(provider.alive(), 0);
        assert!(home.run(&["status", "--json"]).await.json()["owed"].as_array().unwrap().is_empty());
    }
}

/// What is owed has its key in the desktop's keyring. Where that cannot be had, it is still owed; where it was emptied, as by a
/// reinstallation, that is said once, and then it is gone.
#[tokio::test]
async fn what_is_owed_outlives_a_keyring_that_is_away_and_is_given_up_with_one_that_is_gone() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (home, mut desktop) = (Home::new(), Desktop::start());
    let run = async |desktop: &Desktop, arguments: &[&str]| {
        let mut command = home.hallpass(arguments);
        command.env("HALLPASS_STORE", "secret-service").env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
        Said(in_time(command.output()).await.unwrap())
    };
    let owed = async |desktop: &Desktop| run(desktop, &["logout", "--retry", "--json"]).await;
    for comes_back in [true, false] {
        let said = run(&desktop, &["login", &provider.issuer, "--flow", "device"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        provider.change(|manner| manner.cannot_revoke_now = true);
        assert_eq!(run(&desktop, &["logout"]).await.code(), 1);
        provider.change(|manner| manner.cannot_revoke_now = false);
        desktop.kill_keyring();
        let said = owed(&desktop).await;
        assert_eq!((said.code(), &said.json()["owed"][0]["fate"]), (1, &"owed".into()), "{}", said.out());
        if comes_back {
            // The keyring is back, as after a new login to the desktop.
            desktop.start_keyring();
            let said = owed(&desktop).await;
            assert_eq!(
                (said.code(), &said.json()["owed"][0]["fate"]),
                (0, &"revoked".into()),
                "{}",
                said.out()
            );
            assert_eq!(provider.alive(), 0);
        }
    }
    let emptied = Desktop::start();
    let said = owed(&emptied).await;
    assert_eq!((said.code(), &said.json()["owed"][0]["fate"]), (1, &"given-up".into()), "{}", said.out());
    assert!(said.json()["owed"][0]["why"].as_str().unwrap().contains("no longer in the"), "{}", said.out());
    let status = run(&emptied, &["status", "--json"]).await.json();
    assert_eq!(status["owed"][0]["given_up"], true, "{status}");
}
