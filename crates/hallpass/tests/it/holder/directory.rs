//! Which sign-in a directory asks for, and what `hallpass profile` does.

use std::path::{Path, PathBuf};

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::process::Command;

use super::machine::{Home, Said, in_time};
use super::which::{configure, login, two_profiles, whose};

/// A repository with such a file in it, and a folder below.
fn repository(home: &Home, text: &str) -> PathBuf {
    let below = home.path("src/project/deep/down");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(home.path("src/project/.hallpass.toml"), text).unwrap();
    below
}

fn inside(home: &Home, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = home.hallpass(arguments);
    command.current_dir(folder);
    command
}

async fn said(mut command: Command) -> Said {
    Said(in_time(command.output()).await.unwrap())
}

#[tokio::test]
async fn a_directory_s_wish_is_followed_only_after_trust_and_only_as_it_was_looked_at() {
    let (_provider, home) = two_profiles().await;
    configure(&home, "default_profile = 'work'");
    let below = repository(&home, "profile = 'home'");
    let token = || inside(&home, &below, &["token"]);
    // Nobody has looked at it: it is named, and not followed.
    let told = said(token()).await;
    assert!(told.err().contains("src/project/.hallpass.toml` is not trusted"), "{}", told.err());
    assert!(told.err().contains("hallpass trust"), "{}", told.err());
    assert_eq!(whose(token()).await, "prn_ada");

    let trusted = said(inside(&home, &home.path("src/project"), &["trust", "--json"])).await.json();
    assert_eq!((&trusted["schema"], &trusted["profile"]), (&"hallpass.trust/1".into(), &"home".into()));
    assert_eq!(said(token()).await.err(), "");
    assert_eq!(whose(token()).await, "prn_bob");
    // Elsewhere it says nothing.
    assert_eq!(whose(home.hallpass(&["token"])).await, "prn_ada");

    std::fs::write(home.path("src/project/.hallpass.toml"), "profile = 'home' # changed").unwrap();
    let told = said(token()).await;
    assert!(told.err().contains("has changed since you trusted it"), "{}", told.err());
    assert_eq!(whose(token()).await, "prn_ada");
    let project = home.path("src/project");
    let project = project.to_str().unwrap();
    assert_eq!(home.run(&["trust", project]).await.code(), 0);
    assert_eq!(whose(token()).await, "prn_bob");
    assert_eq!(home.run(&["trust", project, "--undo"]).await.code(), 0);
    assert_eq!(whose(token()).await, "prn_ada");
}

#[tokio::test]
async fn a_choice_that_overrides_a_directory_s_is_said() {
    let (_provider, home) = two_profiles().await;
    let below = repository(&home, "profile = 'home'");
    assert_eq!(home.run(&["trust", home.path("src/project").to_str().unwrap()]).await.code(), 0);
    let by_flag = || inside(&home, &below, &["token", "--profile", "work"]);
    assert_eq!(whose(by_flag()).await, "prn_ada");
    let told = said(by_flag()).await;
    assert!(
        told.err().contains("profile `work`, by the command line, overrides profile `home`"),
        "{}",
        told.err()
    );
    let mut by_environment = inside(&home, &below, &["token"]);
    by_environment.env("HALLPASS_PROFILE", "work");
    let told = said(by_environment).await;
    assert!(told.err().contains("by the environment, overrides profile `home`"), "{}", told.err());
    let shown = said(inside(&home, &below, &["profile", "show", "--json"])).await.json();
    assert_eq!(shown["profile"], "home");
    assert!(shown["chosen_by"].as_str().unwrap().ends_with(".hallpass.toml"), "{shown}");
}

#[tokio::test]
async fn a_directory_s_org_is_a_condition_and_its_api_and_scopes_are_what_tokens_are_for() {
    let provider = SmallProvider::start(Manner { org: "globex", ..Manner::default() }).await;
    let home = Home::new();
    login(&home, &provider, &["--profile", "work"]).await;
    let below = repository(&home, "org = 'initech'\nresource = 'https://wiki.example/'\nscope = 'wiki:read'");
    let project = home.path("src/project");
    assert_eq!(home.run(&["trust", project.to_str().unwrap()]).await.code(), 0);
    // The only sign-in there is would do, were it not of another organisation.
    for arguments in [&["token"][..], &["exec", "--purpose", "x", "--", "true"]] {
        let refused = said(inside(&home, &below, arguments)).await;
        assert_eq!(refused.code(), if arguments[0] == "exec" { 125 } else { 5 }, "{}", refused.err());
        assert!(refused.err().contains("is of `globex`, not of `initech`"), "{}", refused.err());
        assert_eq!(refused.out(), "");
    }
    let warned = said(inside(&home, &below, &["token", "--profile", "work"])).await;
    assert_eq!(warned.code(), 0, "somebody named it: {}", warned.err());
    assert!(warned.err().contains("warning:") && warned.err().contains("initech"), "{}", warned.err());
    let asked = provider.last_form("token");
    assert_eq!((&*asked["resource"], &*asked["scope"]), ("https://wiki.example/", "wiki:read"));
    // A login here is for its organisation, too.
    let line = ["login", &provider.issuer, "--profile", "other", "--flow", "device"];
    let refused = said(inside(&home, &below, &line)).await;
    assert_eq!((refused.code(), provider.alive()), (5, 1), "{}", refused.err());
}

#[tokio::test]
async fn a_directory_can_say_where_to_sign_in_and_nothing_that_runs_or_redirects() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    let below =
        repository(&home, &format!("profile = 'work'\nissuer = '{}'\nscope = 'notes:read'", provider.issuer));
    let project = home.path("src/project");
    assert_eq!(home.run(&["trust", project.to_str().unwrap()]).await.code(), 0);
    let signed_in =
        said(inside(&home, &below, &["login", "--client-id", "mine", "--flow", "device", "--json"])).await;
    assert_eq!(signed_in.code(), 0, "{}", signed_in.err());
    assert!(signed_in.out().contains("\"profile\":\"work\""), "{}", signed_in.out());
    assert!(provider.last_form("device_authorization")["scope"].contains("notes:read"));

    repository(&home, "browser = 'sh -c evil'");
    let refused = home.run(&["trust", project.to_str().unwrap()]).await;
    assert_eq!(refused.code(), 2, "{}", refused.err());
    assert!(refused.err().contains("unknown key `browser`"), "{}", refused.err());
}

#[tokio::test]
async fn profiles_are_listed_chosen_renamed_and_removed() {
    let (provider, home) = two_profiles().await;
    configure(&home, "# mine\n[profile.later]\nissuer = 'https://id.example'\n");
    let used = home.run(&["profile", "use", "home"]).await;
    assert_eq!(used.code(), 0, "{}", used.err());
    let settings = std::fs::read_to_string(home.path(".config/hallpass/config.toml")).unwrap();
    assert_eq!(
        settings,
        "default_profile = \"home\"\n# mine\n[profile.later]\nissuer = 'https://id.example'\n"
    );
    assert_eq!(home.run(&["profile", "use", "nobody"]).await.code(), 2);
    assert_eq!(whose(home.hallpass(&["token"])).await, "prn_bob");

    let listed = home.run(&["profile", "list", "--json"]).await.json();
    let names: Vec<_> =
        listed["profiles"].as_array().unwrap().iter().map(|one| one["profile"].clone()).collect();
    assert_eq!(names, ["home", "later", "work"]);
    assert_eq!(listed["profiles"][0]["subject"], "prn_bob");
    assert_eq!(listed["profiles"][0]["orgs"][0], "acme");
    assert_eq!(
        (&listed["profiles"][1]["signed_in"], &listed["profiles"][2]["signed_in"]),
        (&false.into(), &true.into())
    );
    assert!(home.run(&["profile", "list"]).await.out().starts_with("* home "));

    assert_eq!(home.run(&["profile", "rename", "home", "private"]).await.code(), 0);
    assert_eq!(whose(home.hallpass(&["token"])).await, "prn_bob", "it is the default by its new name");
    let removed = home.run(&["profile", "remove", "private"]).await;
    assert_eq!(removed.code(), 0, "{}", removed.err());
    assert_eq!(provider.alive(), 1, "it was signed out");
    assert_eq!(whose(home.hallpass(&["token"])).await, "prn_ada", "the only one that is left");
    assert_eq!(home.run(&["profile", "show", "--profile", "private"]).await.code(), 4);
}

#[tokio::test]
async fn a_quarantine_is_shown_and_a_login_as_somebody_else_is_signed_out_again() {
    let provider =
        SmallProvider::start(Manner { ours: false, says_expires_in: Some(10), ..Manner::default() }).await;
    let home = Home::new();
    login(&home, &provider, &["--profile", "work"]).await;
    provider.change(|manner| manner.org = "rival");
    let refused = home.run(&["token"]).await;
    assert_eq!((refused.code(), refused.out().as_str()), (4, ""), "{}", refused.err());
    assert!(refused.err().contains("`acme` and is now `rival`; what came was revoked"), "{}", refused.err());
    let status = home.run(&["status"]).await;
    assert_eq!(status.code(), 4);
    assert!(
        status.out().contains("QUARANTINE it is quarantined until somebody signs in again"),
        "{}",
        status.out()
    );
    let status = home.run(&["status", "--json"]).await.json();
    assert_eq!(status["sign_ins"][0]["quarantined"], true);

    let again = ["login", "--profile", "work", "--flow", "device"];
    let refused = home.run(&again).await;
    assert_eq!((refused.code(), provider.alive()), (5, 0), "{}", refused.err());
    assert!(refused.err().contains("--as-new"), "{}", refused.err());
    assert_eq!(home.run(&[&again[..], &["--as-new"]].concat()).await.code(), 0);
    assert_eq!(home.run(&["status", "--json"]).await.json()["sign_ins"][0]["orgs"][0], "rival");
}

#[tokio::test]
async fn a_helper_hands_nothing_out_in_a_directory_of_another_organisation_or_profile() {
    let (_provider, home) = two_profiles().await;
    configure(&home, "[[target]]\nkind = 'git'\nat = 'https://git.example'\nprofile = 'work'");
    let ask = async |below: &Path| {
        let mut command = inside(&home, below, &["helper", "git", "get"]);
        let asked = home.path("asked");
        std::fs::write(&asked, "capability[]=authtype\nprotocol=https\nhost=git.example\n\n").unwrap();
        command.stdin(std::fs::File::open(asked).unwrap());
        said(command).await
    };
    for (text, handed) in [
        ("org = 'acme'", true),
        ("profile = 'work'", true),
        ("org = 'rival'", false),
        ("profile = 'home'", false),
    ] {
        let below = repository(&home, text);
        assert_eq!(home.run(&["trust", home.path("src/project").to_str().unwrap()]).await.code(), 0);
        let told = ask(&below).await;
        assert_eq!(told.out().contains("credential="), handed, "{text}: {} {}", told.out(), told.err());
        assert!(handed || told.err().contains(".hallpass.toml"), "{text}: {}", told.err());
    }
}
