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
        ("sign-in", &*format!("{}: its record opens, with its key in the passphrase", provider.issuer)),
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

/// A server that answers each request with this, and nothing else; and how often it was asked.
async fn answering(answer: &'static str) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}/acme", listener.local_addr().unwrap());
    let asked = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let counts = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request).await;
            if answer.is_empty() {
                std::future::pending::<()>().await; // it hangs, and so do all behind it
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (issuer, asked)
}

#[tokio::test]
async fn whether_each_record_opens_is_said_and_what_to_do_where_it_does_not() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    assert_eq!(home.run(&["login", &provider.issuer, "--flow", "device"]).await.code(), 0);
    let looked = async |change: fn(&mut tokio::process::Command, &Home)| {
        let mut command = home.hallpass(&["doctor", "--json", "--offline"]);
        change(&mut command, &home);
        let said = Said(in_time(command.output()).await.unwrap());
        (said.code(), (*about(&said.json(), "sign-in").last().unwrap()).clone())
    };
    let (code, said) = looked(|_, _| {}).await;
    assert!(code == 0 && said["said"].as_str().unwrap().contains("its record opens"), "{said}");

    // Nobody is asked for a passphrase.
    let (code, said) = looked(|command, _| _ = command.env_remove("HALLPASS_PASSPHRASE_FILE")).await;
    assert!(code == 0 && said["said"].as_str().unwrap().contains("was not tried"), "{said}");

    let (code, said) = looked(|command, home| {
        plant(&home.path("wrong"), "wrong horse\n");
        command.env("HALLPASS_PASSPHRASE_FILE", home.path("wrong"));
    })
    .await;
    assert!(code == 1 && said["todo"].as_str().unwrap().contains("HALLPASS_PASSPHRASE_FILE"), "{said}");

    // What was changed and a wrong passphrase look alike; what was cut short does not.
    let record = record_of(&home);
    let bytes = std::fs::read(&record).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&record, changed).unwrap();
    let (code, said) = looked(|_, _| {}).await;
    assert!(code == 1 && said["todo"].as_str().unwrap().contains("hallpass login"), "{said}");
    std::fs::write(&record, &bytes[..22]).unwrap();
    let (code, said) = looked(|_, _| {}).await;
    assert!(code == 1 && said["said"].as_str().unwrap().contains("cut short"), "{said}");
}

/// The only record of a home.
fn record_of(home: &Home) -> PathBuf {
    let mut folders = vec![home.path(".local/state/hallpass")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "record") => return path,
                _ => {}
            }
        }
    }
    panic!("no record");
}

#[tokio::test]
async fn a_page_for_guests_another_issuer_and_a_strange_certificate_each_have_their_own_remedy() {
    let home = Home::new();
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 28\r\nconnection: close\r\n\r\n\
                <html>Welcome, guest!</html>";
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://portal.example/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let another = "HTTP/1.1 200 OK\r\ncontent-length: 35\r\nconnection: close\r\n\r\n{\"issuer\":\"https://other.example/\"}";
    let vouching = super::behind::Vouching::new();
    let api = super::behind::Api::start(Some(&vouching)).await;
    for (issuer, said, todo) in [
        (answering(page).await.0, "a web page where", "open a browser"),
        (answering(elsewhere).await.0, "a web page where", "open a browser"),
        (answering(another).await.0, "another issuer's", "it is another"),
        (api.origin.clone(), "certificate", "HALLPASS_CA_FILE"),
    ] {
        let looked = doctor(&home, &["--json", "--issuer", &issuer]).await;
        let found = about(&looked.json(), "issuer")[0].clone();
        assert_eq!((looked.code(), found["level"].as_str()), (1, Some("act")), "{found}");
        assert!(found["said"].as_str().unwrap().contains(said), "{found}");
        assert!(found["todo"].as_str().unwrap().contains(todo), "{found}");
    }
}

/// Bounded by their own patience, and not by each other's: an issuer that hangs costs no more than one.
#[tokio::test]
async fn issuers_that_hang_are_given_up_together_and_offline_asks_nobody() {
    let home = Home::new();
    let ((first, asked), (second, also)) = (answering("").await, answering("").await);
    let count = |asked: &std::sync::atomic::AtomicUsize| asked.load(std::sync::atomic::Ordering::Relaxed);
    let mut command = home.hallpass(&["doctor", "--json", "--offline"]);
    let said = Said(in_time(command.env("HALLPASS_ISSUER", &first).output()).await.unwrap());
    assert!(
        about(&said.json(), "issuer")[0]["said"].as_str().unwrap().contains("--offline"),
        "{}",
        said.err()
    );
    assert_eq!(count(&asked), 0);

    let mut command = home.hallpass(&["doctor", "--json", "--issuer", &second]);
    let said = Said(in_time(command.env("HALLPASS_ISSUER", &first).output()).await.unwrap());
    let answer = said.json();
    let issuers = about(&answer, "issuer");
    assert_eq!(
        (issuers.len(), count(&asked), count(&also)),
        (2, 1, 1),
        "each was asked once, and neither waited for"
    );
    assert!(issuers.iter().all(|one| one["said"].as_str().unwrap().contains("in time")), "{answer}");
}

#[tokio::test]
async fn what_git_s_cache_and_the_desktop_s_keyring_hold_is_named_and_not_opened() {
    let (home, mut desktop) = (Home::new(), hallpass_testkit::desktop::Desktop::bare());
    let folder = home.path(".cache/git/credential");
    std::fs::create_dir_all(&folder).unwrap();
    set_mode(&folder, 0o700);
    let socket = folder.join("socket");
    let mut git = std::process::Command::new("git");
    git.args(["credential-cache", "--socket"]).arg(&socket).arg("store").env("HOME", home.path(""));
    git.stdin(std::process::Stdio::piped());
    let mut git = git.spawn().unwrap();
    let said = b"protocol=https\nhost=git.example\nusername=ada\npassword=canary\n";
    std::io::Write::write_all(&mut git.stdin.take().unwrap(), said).unwrap();
    assert!(git.wait().unwrap().success());
    // A keyring without a password, as GNOME Keyring writes it down.
    let keyring = "[keyring]\ndisplay-name=other\nctime=0\nmtime=0\nlock-on-idle=false\nlock-after=false\n\n\
                   [1]\nitem-type=0\ndisplay-name=gh\nsecret=canary\nmtime=0\nctime=0\n\n\
                   [1:attribute0]\nname=service\ntype=string\nvalue=gh:github.com\n";
    plant(&desktop.home().join(".local/share/keyrings/other.keyring"), keyring);
    desktop.start_keyring();

    let mut command = home.hallpass(&["doctor", "--json", "--offline"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", desktop.address());
    let said = Said(in_time(command.output()).await.unwrap());
    let answer = said.json();
    let says = |name: &str, words: &str| {
        about(&answer, name).iter().any(|one| one["said"].as_str().unwrap().contains(words))
    };
    assert!(says("git", "its cache keeps credentials in memory"), "{answer}");
    assert!(says("keyring", "holds 1 of gh"), "{answer}");
    assert!(!said.out().contains("canary"));
    let mut git = std::process::Command::new("git");
    assert!(git.args(["credential-cache", "--socket"]).arg(&socket).arg("exit").status().unwrap().success());
}
