//! Which sign-in is meant: flag, environment, `default_profile`, the only one there is; never a guess.

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::process::Command;

use super::machine::{Home, Said, in_time};
use super::terminal::Terminal;

/// Somebody with two sign-ins at one provider: ada's under `work`, bob's under `home`.
pub(super) async fn two_profiles() -> (SmallProvider, Home) {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    for (profile, subject) in [("work", "prn_ada"), ("home", "prn_bob")] {
        provider.change(|manner| manner.subject = subject);
        login(&home, &provider, &["--profile", profile]).await;
    }
    (provider, home)
}

pub(super) async fn login(home: &Home, provider: &SmallProvider, more: &[&str]) -> Said {
    let line = [&["login", &*provider.issuer, "--flow", "device", "--client-id", "mine"], more].concat();
    let said = home.run(&line).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    said
}

/// Whose token that command printed.
pub(super) async fn whose(mut command: Command) -> String {
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    let claims = said.out().split('.').nth(1).and_then(hallpass_model::jose::base64url::parse).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

/// Writes this person's settings.
pub(super) fn configure(home: &Home, text: &str) {
    let folder = home.path(".config/hallpass");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

#[tokio::test]
async fn the_flag_comes_before_the_environment_and_that_before_the_default() {
    let (provider, home) = two_profiles().await;
    configure(&home, "default_profile = 'work'");
    assert_eq!(whose(home.hallpass(&["token"])).await, "prn_ada");
    let mut by_environment = home.hallpass(&["token"]);
    by_environment.env("HALLPASS_PROFILE", "home");
    assert_eq!(whose(by_environment).await, "prn_bob");
    let mut by_flag = home.hallpass(&["token", "--profile", "work"]);
    by_flag.env("HALLPASS_PROFILE", "home");
    assert_eq!(whose(by_flag).await, "prn_ada");
    // An issuer that several sign-ins share leaves something for the default to say.
    assert_eq!(whose(home.hallpass(&["token", "--issuer", &provider.issuer])).await, "prn_ada");
}

#[tokio::test]
async fn two_candidates_and_nobody_to_ask_is_exit_2_and_both_are_named() {
    let (_provider, home) = two_profiles().await;
    for arguments in [vec!["token"], vec!["logout"]] {
        let said = home.run(&arguments).await;
        assert_eq!((said.code(), said.out().as_str()), (2, ""), "{}", said.err());
        assert!(said.err().contains("`home (") && said.err().contains("`work ("), "{}", said.err());
        assert!(said.err().contains("hint: say which with `--profile`"), "{}", said.err());
    }
    let said = home.run(&["exec", "--purpose", "x", "--", "true"]).await;
    assert_eq!(said.code(), 125, "no code that a command could have: {}", said.err());
    let said = home.run(&["token", "--profile", "nobody"]).await;
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(said.err().contains("hallpass login --profile nobody"), "{}", said.err());
}

#[tokio::test]
async fn a_person_at_a_terminal_is_asked() {
    let (provider, home) = two_profiles().await;
    let line = "\"$HALLPASS\" token > out; echo left with $?";
    let mut terminal = Terminal::run(&home, line, &[]);
    terminal.shows("which sign-in? [1-2] ").await;
    assert!(terminal.screen().contains(&format!("2  work ({} as mine)", provider.issuer)));
    terminal.press("2\r").await;
    assert!(terminal.end().await.contains("left with 0"));
    let mut cat = Command::new("cat");
    cat.arg(home.path("out"));
    assert_eq!(whose(cat).await, "prn_ada");

    for (typed, environment) in [("3\r", ("CI", "")), ("", ("HALLPASS_NO_INPUT", "1")), ("", ("CI", "true"))]
    {
        let mut terminal = Terminal::run(&home, line, &[environment]);
        terminal.press(typed).await;
        let screen = terminal.end().await;
        assert!(screen.contains("left with 2"), "{screen}");
        assert_eq!(screen.contains("which sign-in?"), !typed.is_empty(), "{screen}");
    }
}

#[tokio::test]
async fn a_profile_of_the_settings_says_what_is_signed_in_to() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    configure(
        &home,
        &format!(
            "[profile.work]\nissuer = '{}'\nclient_id = 'mine'\nscope = 'notes:read'\nresource = 'https://api.example'",
            provider.issuer
        ),
    );
    let said = home.run(&["login", "--profile", "work", "--flow", "device", "--json"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let answer: serde_json::Value = serde_json::from_str(said.out().lines().last().unwrap()).unwrap();
    assert_eq!((&answer["profile"], &answer["client_id"]), (&"work".into(), &"mine".into()));
    let asked = provider.last_form("device_authorization");
    assert!(asked["scope"].contains("notes:read") && asked["resource"] == "https://api.example", "{asked:?}");
    // Flags say otherwise; and a sign-in that is there is known by its name alone.
    let line = ["login", "--profile", "work", "--flow", "device", "--resource", "https://other.example"];
    assert_eq!(home.run(&line).await.code(), 0);
    assert_eq!(provider.last_form("device_authorization")["resource"], "https://other.example");
    let status = home.run(&["status", "--json"]).await.json();
    assert_eq!(status["sign_ins"][0]["profile"], "work");
    assert_eq!(status["sign_ins"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn settings_that_cannot_be_read_stop_everything_that_they_decide() {
    let (_provider, home) = two_profiles().await;
    configure(&home, "default_profle = 'work'");
    for arguments in [vec!["token"], vec!["login", "https://id.example"]] {
        let said = home.run(&arguments).await;
        assert_eq!(said.code(), 2, "{}", said.err());
        assert!(said.err().contains("did you mean `default_profile`?"), "{}", said.err());
    }
}
