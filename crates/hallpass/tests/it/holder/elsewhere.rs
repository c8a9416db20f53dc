//! Other providers than ours, each with a way of its own.

use hallpass_model::time::Lifetime;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;
use serde_json::{Value, json};

use super::machine::{Home, Said, in_time, until};

/// A provider from before metadata, ID tokens and lifetimes.
fn like_github(answers_forms: bool) -> Manner {
    Manner {
        ours: false,
        publishes: false,
        answers_forms,
        errors_with_200: true,
        opaque: true,
        gives_refresh_tokens: false,
        says_expires_in: None,
        says_scope: "repo,read:user".into(),
        says_token_type: Some("bearer"),
        approves: None,
        ..Manner::default()
    }
}

/// Its endpoints, as flags.
fn by_hand(provider: &SmallProvider) -> Vec<String> {
    let at = |flag: &str, path: &str| [format!("--{flag}-endpoint"), format!("{}/{path}", provider.issuer)];
    [
        at("token", "token"),
        at("device-authorization", "device_authorization"),
        at("authorization", "authorize"),
        at("revocation", "revoke"),
        at("userinfo", "user"),
    ]
    .concat()
}

/// Signs in by a code; the person says yes once it was asked for.
async fn login(home: &Home, provider: &SmallProvider, more: &[&str]) -> Said {
    let (child, _) = home.start_login_at(&provider.issuer, more, |_| ()).await;
    let before = provider.asked("device_code");
    if before == 0 {
        until("it has polled", async || provider.asked("device_code") > 0).await;
    }
    provider.change(|manner| manner.approves = Some(true));
    Said(in_time(child.wait_with_output()).await.unwrap())
}

async fn status(home: &Home) -> Value {
    home.run(&["status", "--json"]).await.json()["sign_ins"][0].clone()
}

#[tokio::test]
async fn a_provider_without_metadata_serves_from_login_to_logout_and_is_remembered() {
    for answers_forms in [true, false] {
        let provider = SmallProvider::start(like_github(answers_forms)).await;
        let home = Home::new();
        let by_hand = by_hand(&provider);
        let mut flags: Vec<&str> = by_hand.iter().map(String::as_str).collect();
        flags.extend(["--client-id", "0123", "--profile", "git"]);
        let said = login(&home, &provider, &flags).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains("it may be for ever"), "{}", said.err());
        assert_eq!(provider.last_form("device_authorization")["scope"], "notes:read notes:write");

        let seen = status(&home).await;
        assert_eq!((&seen["person"], &seen["scope"]), (&json!("ada"), &json!("repo read:user")), "{seen}");
        assert_eq!((&seen["renewable"], &seen["access_expires"]), (&json!(false), &Value::Null), "{seen}");
        let shown = home.run(&["status"]).await.out();
        assert!(shown.contains("good for as long as the provider likes"), "{shown}");

        let token = home.run(&["token"]).await.out().trim().to_owned();
        assert!(token.starts_with("gho_"), "{token}");
        let ran =
            home.run(&["exec", "--purpose", "x", "--", "sh", "-c", "printf %s \"$HALLPASS_TOKEN\""]).await;
        assert_eq!((ran.out(), ran.code()), (token.clone(), 0), "{}", ran.err());
        assert!(provider.revoked().is_empty(), "a run gives back no token that is not its own");

        let out = home.run(&["logout"]).await;
        assert_eq!(out.code(), 0, "{} {}", out.out(), out.err());
        assert_eq!(provider.revoked(), [token], "its revocation endpoint was named by hand as well");

        // Under its profile nothing need be named again.
        let said = login(&home, &provider, &["--profile", "git"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert_eq!(status(&home).await["client_id"], "0123");
    }
}

#[tokio::test]
async fn endpoints_in_the_settings_serve_renewals_too_and_how_long_a_token_is_taken_to_live_is_said() {
    let manner = Manner { gives_refresh_tokens: true, approves: Some(true), ..like_github(true) };
    let provider = SmallProvider::start(manner).await;
    let home = Home::new();
    let issuer = &provider.issuer;
    let settings = format!(
        "[profile.git]\nissuer = \"{issuer}\"\nclient_id = \"0123\"\ntoken_endpoint = \"{issuer}/token\"\n\
         device_authorization_endpoint = \"{issuer}/device_authorization\"\n\
         revocation_endpoint = \"{issuer}/revoke\"\n"
    );
    std::fs::create_dir_all(home.path(".config/hallpass")).unwrap();
    std::fs::write(home.path(".config/hallpass/config.toml"), settings).unwrap();
    let said = login(&home, &provider, &["--profile", "git"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("taken to be ten minutes"), "{}", said.err());
    let seen = status(&home).await;
    assert_eq!((&seen["renewable"], &seen["access_expires_assumed"]), (&json!(true), &json!(true)), "{seen}");
    assert!(seen["access_expires"].is_string(), "{seen}");
    let shown = home.run(&["status"]).await.out();
    assert!(shown.contains("does not say how long they live: renewed after ten minutes"), "{shown}");

    let first = home.run(&["token"]).await.out();
    let second = home.run(&["token", "--fresh"]).await;
    assert!(second.code() == 0 && second.out() != first, "{}", second.err());
    assert_eq!(provider.asked("refresh_token"), 1);
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    assert_eq!((provider.revoked()[0].as_str(), provider.alive()), ("refresh-1-2", 0));
}

#[tokio::test]
async fn endpoints_that_lack_something_or_cannot_be_trusted_are_refused_before_anything_is_sent() {
    let provider = SmallProvider::start(like_github(false)).await;
    let home = Home::new();
    let issuer = provider.issuer.as_str();
    let (token, device) = (format!("{issuer}/token"), format!("{issuer}/device_authorization"));
    let whole = ["--token-endpoint", &token, "--device-authorization-endpoint", &device];
    for (flags, code, words) in [
        (&["--token-endpoint", &token][..], 2, "name where a person signs in too"),
        (
            &["--token-endpoint", "http://git.example/token"],
            2,
            "cannot be the token endpoint: it is not https",
        ),
        (&["--token-endpoint", "git.example/token"], 2, "cannot be the token endpoint: it is no address"),
        (&[&whole[..], &["--scope", "openid"]].concat(), 2, "`openid` asks for an ID token"),
        (&[&whole[..], &["--flow", "browser"]].concat(), 70, "does not offer sign-in by a browser"),
        (
            &["--device-authorization-endpoint", &device],
            70,
            "if it publishes no metadata, name its endpoints",
        ),
        (&[], 70, "`--token-endpoint`, and `--device-authorization-endpoint`"),
    ] {
        let all = [&["login", issuer, "--client-id", "0123"], flags].concat();
        let all = if flags.contains(&"--flow") { all } else { [&all[..], &["--flow", "device"]].concat() };
        let said = home.run(&all).await;
        assert_eq!(said.code(), code, "{flags:?}: {}", said.err());
        assert!(said.err().contains(words), "{flags:?}: {}", said.err());
    }
    assert!(provider.last_form("device_authorization").is_empty());
}

#[tokio::test]
async fn endpoints_of_one_issuer_are_not_used_for_another() {
    let (one, other) = (
        SmallProvider::start(Manner { approves: Some(true), ..like_github(false) }).await,
        SmallProvider::start(Manner { ours: false, ..Manner::default() }).await,
    );
    let home = Home::new();
    let by_hand = by_hand(&one);
    let mut flags: Vec<&str> = by_hand.iter().map(String::as_str).collect();
    flags.extend(["--client-id", "0123", "--profile", "git"]);
    assert_eq!(login(&home, &one, &flags).await.code(), 0);
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    let before = one.asked("device_code");
    let said = login(&home, &other, &["--client-id", "0123", "--profile", "git", "--as-new"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!((one.asked("device_code"), other.asked("device_code")), (before, 1));
}

#[tokio::test]
async fn a_type_a_lifetime_and_scopes_are_read_however_they_are_written() {
    for (kind, scope) in [
        ("BEARER", json!("notes:read,notes:write")),
        ("bearer", json!(["notes:read", "notes:write"])),
        ("Bearer", json!(" notes:read  notes:write ")),
    ] {
        let manner = Manner {
            ours: false,
            says_token_type: Some(kind),
            says_scope: scope,
            expires_in_is_text: true,
            ..Manner::default()
        };
        let provider = SmallProvider::start(manner).await;
        let home = Home::new();
        let said = login(&home, &provider, &["--client-id", "0123"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        let seen = status(&home).await;
        assert_eq!(seen["scope"], "notes:read notes:write", "{seen}");
        assert!(
            seen["access_expires"].is_string() && seen["access_expires_assumed"] == json!(false),
            "{seen}"
        );
    }
}

/// What a helper for git is asked.
const QUESTION: &str = "protocol=https\nhost=git.example\n\n";

#[tokio::test]
async fn tokens_of_sixteen_kilobytes_are_kept_renewed_and_handed_on_and_longer_ones_refused() {
    let provider =
        SmallProvider::start(Manner { ours: false, longer_by: 16 * 1024, ..Manner::default() }).await;
    let home = Home::new();
    let said =
        login(&home, &provider, &["--client-id", "0123", "--profile", "big", "--scope", "openid"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let token = home.run(&["token", "--fresh"]).await.out().trim().to_owned();
    assert!(token.len() > 16 * 1024, "{}", token.len());
    assert_eq!(provider.asked("refresh_token"), 1);
    assert!(provider.last_form("token")["refresh_token"].len() > 16 * 1024);
    for way in ["env", "fd", "file"] {
        let script = match way {
            "env" => "printf %s \"$HALLPASS_TOKEN\"",
            "fd" => "cat /dev/fd/$HALLPASS_TOKEN_FD",
            _ => "cat \"$HALLPASS_TOKEN_FILE\"",
        };
        let ran = home.run(&["exec", "--purpose", "x", "--as", way, "--", "sh", "-c", script]).await;
        assert_eq!((ran.out().trim(), ran.code()), (token.as_str(), 0), "{way}: {}", ran.err());
    }
    std::fs::create_dir_all(home.path(".config/hallpass")).unwrap();
    let targets: String = [("git", "https://git.example"), ("docker", "https://docker.example")]
        .map(|(kind, url)| {
            format!(
                "[[target]]\nkind = \"{kind}\"\nat = \"{url}\"\nprofile = \"big\"\nresource = \"{NOTES}\"\n\
                 username = \"ada\"\n\n"
            )
        })
        .concat();
    std::fs::write(home.path(".config/hallpass/config.toml"), targets).unwrap();
    for (words, question) in
        [(&["helper", "git", "get"], QUESTION), (&["helper", "docker", "get"], "https://docker.example\n")]
    {
        std::fs::write(home.path("question"), question).unwrap();
        let question = std::fs::File::open(home.path("question")).unwrap();
        let said = Said(in_time(home.hallpass(words).stdin(question).output()).await.unwrap());
        assert!(said.code() == 0 && said.out().contains(&token), "{words:?}: {}", said.err());
    }

    // One that no longer fits is given back, at a renewal and at a sign-in.
    provider.change(|manner| manner.longer_by = 40_000);
    let said = home.run(&["token", "--fresh"]).await;
    assert!(said.code() != 0 && said.err().contains("32768 are the most"), "{}", said.err());
    assert_eq!(provider.alive(), 0);
    let said = login(&home, &provider, &["--client-id", "0123", "--profile", "big"]).await;
    assert_eq!((said.code(), provider.alive()), (70, 0), "{}", said.err());
    assert!(said.err().contains("access token has ") && said.err().contains("32768"), "{}", said.err());
    provider.change(|manner| (manner.longer_by, manner.cannot_revoke_now) = (64 * 1024, true));
    let said = login(&home, &provider, &["--client-id", "0123", "--profile", "big"]).await;
    assert!(said.code() == 70 && said.err().contains("32768 are the most"), "{}", said.err());
}

#[tokio::test]
async fn a_clock_that_is_five_minutes_off_either_way_signs_in_proves_its_key_and_renews() {
    for ahead in [-300, 300] {
        for proofs_by_clock in [true, false] {
            let manner = Manner { ahead, proofs_by_clock, ..Manner::default() };
            let provider = SmallProvider::start(manner).await;
            let home = Home::new();
            let said = login(&home, &provider, &[]).await;
            assert_eq!(said.code(), 0, "{ahead}, {proofs_by_clock}: {}", said.err());
            let first = home.run(&["token"]).await;
            assert_eq!(first.code(), 0, "{ahead}, {proofs_by_clock}: {}", first.err());
            // Each process learns for itself how far the clocks are apart.
            let renewed = home.run(&["token", "--fresh"]).await;
            assert_eq!(renewed.code(), 0, "{ahead}, {proofs_by_clock}: {}", renewed.err());
            let seen = status(&home).await;
            // Of one form and in one zone, so that what is later is greater.
            let over = seen["access_expires"].as_str().unwrap().to_owned();
            let at = |seconds| (super::machine::now() + Lifetime::seconds(seconds)).to_string();
            assert!(at(200) < over && over < at(310), "by our own clock: {seen}");
        }
    }
}
