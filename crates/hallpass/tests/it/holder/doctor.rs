//! What `hallpass doctor` finds, what it says about it, and what it never shows.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::machine::{Home, Said, in_time};

/// Where known tools keep tokens, as the program itself knows it.
const PLACES: &str = include_str!("../../../src/leftovers/places.toml");

/// `doctor` in a home of its own, and nothing else in its environment.
async fn doctor(home: &Home, more: &[&str]) -> Said {
    let mut arguments = vec!["doctor"];
    arguments.extend(more);
    let mut command = home.hallpass(&arguments);
    command.env("XDG_RUNTIME_DIR", home.path("run"));
    Said(in_time(command.output()).await.unwrap())
}

fn plant(file: &Path, contents: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, contents).unwrap();
    set_mode(file, 0o600);
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What is said of one thing.
fn about<'a>(answer: &'a Value, name: &str) -> Vec<&'a Value> {
    answer["findings"].as_array().unwrap().iter().filter(|finding| finding["about"] == name).collect()
}

fn token<'a>(answer: &'a Value, file: &Path) -> Option<&'a Value> {
    let file = file.canonicalize().unwrap();
    answer["tokens"].as_array().unwrap().iter().find(|token| token["file"] == file.to_str().unwrap())
}

#[tokio::test]
async fn what_every_known_tool_left_is_found_and_none_of_it_shown() {
    let home = Home::new();
    let table: toml::Value = toml::from_str(PLACES).unwrap();
    let mut planted: Vec<(PathBuf, String)> = Vec::new();
    for place in table["place"].as_array().unwrap() {
        let Some(example) = place.get("example").and_then(|example| example.as_str()) else { continue };
        let at = place["at"].as_str().unwrap().replace('*', "x");
        let (folder, rest) = at.split_once('/').unwrap();
        let folder = match folder {
            "home" => home.path(""),
            "config" => home.path(".config"),
            "data" => home.path(".local/share"),
            "cache" => home.path(".cache"),
            "runtime" => home.path("run"),
            other => panic!("{other}"),
        };
        let file = folder.join(rest);
        plant(&file, &example.replace("CANARY", &format!("canary{}secret", planted.len())));
        planted.push((file, place["tool"].as_str().unwrap().to_owned()));
    }
    assert!(planted.len() > 50);
    let said = doctor(&home, &["--json"]).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    let answer = said.json();
    assert_eq!(answer["schema"], "hallpass.doctor/1");
    for (file, tool) in &planted {
        let found = token(&answer, file).unwrap_or_else(|| panic!("{} of {tool}", file.display()));
        assert_eq!(
            (found["tool"].as_str().unwrap(), found["mode"].as_str().unwrap()),
            (tool.as_str(), "0600")
        );
        assert!(
            found["kinds"][0]["count"].as_u64().unwrap() > 0 && !found["todo"].as_str().unwrap().is_empty()
        );
    }
    let text = doctor(&home, &[]).await;
    for shown in [said.out(), said.err(), text.out(), text.err()] {
        assert!(!shown.contains("canary"), "a secret is shown");
    }
    assert!(text.out().contains("huggingface: access token without an end in"), "{}", text.out());
}

#[tokio::test]
async fn no_link_out_of_the_home_is_followed_no_pipe_waited_for_and_nothing_huge_read() {
    let (home, elsewhere) = (Home::new(), tempfile::tempdir().unwrap());
    let far = elsewhere.path().join("npmrc");
    plant(&far, "//r/:_authToken=canary\n");
    std::os::unix::fs::symlink(&far, home.path(".npmrc")).unwrap();
    let within = home.path("dotfiles/pypirc");
    plant(&within, "password = canary\n");
    std::os::unix::fs::symlink(&within, home.path(".pypirc")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(home.path(".netrc")).status().unwrap();
    assert!(pipe.success());
    let huge = std::fs::File::create(home.path(".vault-token")).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::fs::create_dir_all(home.path(".git-credentials")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.path(".terraformrc")).unwrap();

    let said = doctor(&home, &["--json"]).await;
    let answer = said.json();
    let found: Vec<&str> =
        answer["tokens"].as_array().unwrap().iter().map(|token| token["file"].as_str().unwrap()).collect();
    assert_eq!(found, [within.canonicalize().unwrap().to_str().unwrap()]);
    let said: Vec<&str> =
        about(&answer, "tokens").iter().map(|finding| finding["said"].as_str().unwrap()).collect();
    let says = |file: &str, why: &str| {
        assert!(said.iter().any(|one| one.contains(file) && one.contains(why)), "{file} {why}: {said:?}");
    };
    says(".npmrc", "leads out of your home");
    says(".netrc", "not a plain file");
    says(".vault-token", "too large");
    says(".terraformrc", "leads out of your home");
}

#[tokio::test]
async fn who_can_read_a_token_is_said_with_the_folder_that_keeps_them_out() {
    let home = Home::new();
    let file = home.path(".netrc");
    plant(&file, "machine x login y password canary\n");
    set_mode(&file, 0o644);
    set_mode(&home.path(""), 0o700);
    let answer = doctor(&home, &["--json"]).await.json();
    let found = token(&answer, &file).unwrap();
    assert_eq!(found["readable_by"][0], "everyone");
    assert_eq!((found["open_to_others"].as_bool(), found["kept_out_by"].is_string()), (Some(false), true));
    set_mode(&home.path(""), 0o755);
    let answer = doctor(&home, &["--json"]).await.json();
    assert_eq!(token(&answer, &file).unwrap()["open_to_others"], true);
    let text = doctor(&home, &[]).await;
    assert!(
        text.out().contains("READABLE by everyone") && text.out().contains("chmod 600"),
        "{}",
        text.out()
    );
}

#[tokio::test]
async fn a_machine_in_order_needs_nothing_done() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
    let said = doctor(&home, &["--json"]).await;
    let answer = said.json();
    assert_eq!((said.code(), answer["needs_doing"].as_bool()), (0, Some(false)), "{answer}");
    for (name, words) in [
        ("sign-in", provider.issuer.as_str()),
        ("issuer", "device flow, revocation"),
        ("clock", "agrees"),
        ("folder", "can be written"),
        ("daemon", "does not run"),
    ] {
        let said = about(&answer, name)[0]["said"].as_str().unwrap();
        assert!(said.contains(words), "{name}: {said}");
    }
}

#[tokio::test]
async fn what_is_owed_an_issuer_that_is_away_and_a_bad_proxy_need_doing_something_about() {
    let provider = SmallProvider::start(Manner { cannot_revoke_now: true, ..Manner::default() }).await;
    let home = Home::new();
    assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
    assert_eq!(home.run(&["logout"]).await.code(), 1);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = format!("http://{nobody}/acme");
    let mut command = home.hallpass(&["doctor", "--json", "--issuer", &issuer]);
    command.env("HTTPS_PROXY", "http://ada:canary@proxy.example:3128").env("ALL_PROXY", "http://");
    command.env("SSL_CERT_FILE", home.path("passphrase"));
    let said = Said(in_time(command.output()).await.unwrap());
    let answer = said.json();
    assert_eq!(said.code(), 1);
    assert!(about(&answer, "owed")[0]["todo"].as_str().unwrap().contains("--retry"));
    assert!(about(&answer, "issuer")[0]["said"].as_str().unwrap().contains(&issuer));
    assert_eq!(about(&answer, "proxy").len(), 2);
    assert!(about(&answer, "certificates")[0]["said"].as_str().unwrap().contains("holds no certificate"));
    assert!(said.out().contains("proxy.example:3128") && !said.out().contains("canary"), "{}", said.out());
}

/// An issuer whose clock stands still, long ago.
async fn issuer_of_long_ago() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let body = serde_json::json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "response_types_supported": ["code"],
    })
    .to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    issuer
}

#[tokio::test]
async fn a_clock_that_is_not_the_issuer_s_and_a_daemon_that_is_none_are_found() {
    let home = Home::new();
    plant(&home.path("daemon.sock"), "not a socket");
    let issuer = issuer_of_long_ago().await;
    let mut command = home.hallpass(&["doctor", "--json", "--issuer", &issuer]);
    command.env("HALLPASS_SOCKET", home.path("daemon.sock"));
    let said = Said(in_time(command.output()).await.unwrap());
    let answer = said.json();
    let clock = about(&answer, "clock")[0];
    assert_eq!(clock["level"], "act");
    assert!(clock["said"].as_str().unwrap().contains("ahead of"), "{clock}");
    let daemon = about(&answer, "daemon")[0];
    assert!(
        daemon["level"] == "act" && daemon["said"].as_str().unwrap().contains("is not a socket"),
        "{daemon}"
    );
}

#[tokio::test]
async fn copies_that_other_tools_made_are_named_at_logout_and_never_shown() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    let login = ["login", &provider.issuer, "--flow", "device", "--client-id", "mine"];
    assert_eq!(home.run(&login).await.code(), 0);
    let token = home.run(&["token"]).await.out().trim().to_owned();
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("ada:{token}"));
    plant(&home.path(".git-credentials"), &format!("https://ada:{token}@git.example\n"));
    plant(
        &home.path(".docker/config.json"),
        &format!("{{\"auths\":{{\"r.example\":{{\"auth\":\"{encoded}\"}}}}}}"),
    );
    plant(&home.path(".npmrc"), &format!("//r.example/:_authToken={token}\n"));
    plant(&home.path(".netrc"), "machine x login y password another-token-of-somebody\n");
    plant(&home.path(".bash_history"), &format!("curl -H 'Authorization: Bearer {token}' https://x\n"));
    let said = home.run(&["logout", "--json"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let answer = said.json();
    let copies = answer["copies"].as_array().unwrap();
    let mut tools: Vec<&str> = copies.iter().map(|copy| copy["tool"].as_str().unwrap()).collect();
    tools.sort_unstable();
    assert_eq!(tools, ["bash", "docker", "git", "npm"], "{copies:?}");
    assert!(copies.iter().all(|copy| copy["what"] == "the access token" && copy["todo"].is_string()));
    assert!(!said.out().contains(&token) && !said.err().contains(&token));

    assert_eq!(home.run(&login).await.code(), 0);
    plant(&home.path(".npmrc"), &format!("//r.example/:_authToken={}", home.run(&["token"]).await.out()));
    let said = home.run(&["logout"]).await;
    assert!(said.err().contains("a copy of the access token is in") && said.err().contains("it is dead now"));
    assert_eq!(
        said.err().matches("a copy of").count(),
        1,
        "the others are not of this sign-in: {}",
        said.err()
    );
}
