//! `hallpass serve`: what it starts on, what it refuses to start on, and how it stops.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::process::Signal;

use crate::program::{Server, answer, command, ended, run};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What serving on this folder says when it does not start.
fn refusal(data: &Path, more: &[&str]) -> crate::program::Ended {
    let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    all.extend(more);
    run(&all)
}

#[test]
fn an_empty_folder_becomes_a_server_with_files_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]);
    assert!(server.says("listening on").contains(&server.url));
    assert!(server.url.starts_with("http://localhost:"));
    server.says("setup-link");
    let link = fs::read_to_string(server.folder.join("setup-link")).unwrap();
    let secret = link.trim().split('#').next_back().unwrap();
    assert!(secret.starts_with("hpl_"), "{link}");

    assert_eq!(mode(&server.folder), 0o700);
    assert_eq!(mode(&server.folder.join("keys")), 0o700);
    for file in ["keys/kek", "keys/ledger", "hallpass.db", "admin.sock", "setup-link"] {
        assert_eq!(mode(&server.folder.join(file)), 0o600, "{file}");
    }
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));

    let folder = server.folder.clone();
    let said = server.stop();
    assert!(!said.contains(secret), "the log holds the file's path only: {said}");
    assert!(!folder.join("setup-link").exists() && !folder.join("admin.sock").exists());
}

#[test]
fn a_set_up_server_starts_again_and_offers_no_link() {
    let root = tempfile::tempdir().unwrap();
    Server::start(root.path(), &[]).with_org().stop();
    let server = Server::start(root.path(), &[]);
    assert!(server.get("/acme/.well-known/openid-configuration").starts_with("HTTP/1.1 200"));
    assert!(!server.folder.join("setup-link").exists());
    server.admin(&["setup-link"]).failed(1, &["set up already", "hint: "]);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_does_no_harm() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]);
    refusal(&server.folder, &[]).failed(75, &["another server is running on", "hint: "]);
    server.admin(&["org", "list"]).json();
}

#[test]
fn a_missing_key_is_never_made_anew_over_a_database() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for (key, flag) in [("kek", "--kek"), ("ledger", "--ledger-key")] {
        Server::start(root.path(), &[]).stop();
        let (place, aside) = (data.join("keys").join(key), root.path().join("aside"));
        fs::rename(&place, &aside).unwrap();
        refusal(&data, &[]).failed(70, &["is missing", "hint: ", flag]);
        assert!(!place.exists(), "{key} was made anew");
        fs::rename(&aside, &place).unwrap();
    }
}

#[test]
fn a_wrong_key_is_refused_by_its_name() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    Server::start(root.path(), &[]).stop();
    let other = tempfile::tempdir().unwrap();
    Server::start(other.path(), &[]).stop();
    let key = |name: &str| other.path().join("data/keys").join(name);
    refusal(&data, &["--kek", key("kek").to_str().unwrap()])
        .failed(70, &["key-encryption key", "is not the one"]);
    refusal(&data, &["--ledger-key", key("ledger").to_str().unwrap()])
        .failed(70, &["ledger key", "is not the one"]);
    refusal(&data, &["--kek", key("ledger").to_str().unwrap()])
        .failed(70, &["does not hold a key-encryption key"]);
    // And with its own it starts.
    Server::start(root.path(), &[]).stop();
}

#[test]
fn keys_may_rest_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let (kek, ledger) = (root.path().join("kek"), root.path().join("ledger"));
    let places = ["--kek", kek.to_str().unwrap(), "--ledger-key", ledger.to_str().unwrap()];
    let server = Server::start(root.path(), &places);
    assert!(!server.folder.join("keys").exists());
    assert_eq!((mode(&kek), mode(&ledger)), (0o600, 0o600));
    server.stop();
    Server::start(root.path(), &places).stop();
}

#[test]
fn a_key_that_others_may_read_and_a_link_to_one_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    Server::start(root.path(), &[]).stop();
    let kek = data.join("keys/kek");
    fs::set_permissions(&kek, PermissionsExt::from_mode(0o640)).unwrap();
    refusal(&data, &[]).failed(70, &["open to others (mode 0640)", "chmod 600"]);
    fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
    let link = root.path().join("link");
    symlink(&kek, &link).unwrap();
    refusal(&data, &["--kek", link.to_str().unwrap()]).failed(70, &["is a symbolic link"]);
}

#[test]
fn a_folder_open_to_others_or_that_is_none_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (wide, file) = (root.path().join("wide"), root.path().join("file"));
    fs::create_dir(&wide).unwrap();
    fs::set_permissions(&wide, PermissionsExt::from_mode(0o755)).unwrap();
    refusal(&wide, &[]).failed(70, &["open to others (mode 0755)", "chmod 700"]);
    assert_eq!(fs::read_dir(&wide).unwrap().count(), 0, "nothing was put in it");
    fs::write(&file, "").unwrap();
    refusal(&file, &[]).failed(70, &["is not a folder"]);
    // As root permissions do not bind; a path below a file cannot be made by anybody.
    refusal(&file.join("below"), &[]).failed(70, &["cannot make the data folder", "hint: "]);
}

#[test]
fn plain_http_stays_on_this_machine_unless_a_proxy_is_named() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let data = data.to_str().unwrap();
    run(&["serve", "--data", data, "--listen", "0.0.0.0:0"])
        .failed(2, &["will not serve plain HTTP", "--trusted-proxy"]);
    assert!(!Path::new(data).exists(), "nothing was made");
    let behind = ["--trusted-proxy", "10.0.0.0/8", "--base-url", "https://id.example"];
    let server = Server::start(root.path(), &behind);
    assert_eq!(server.url, "https://id.example");
}

#[test]
fn a_port_in_use_is_said_and_may_be_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = root.path().join("data");
    run(&["serve", "--data", data.to_str().unwrap(), "--listen", &address])
        .failed(75, &[&address, "in use", "hint: "]);
}

#[test]
fn told_to_stop_it_answers_what_waits_and_ends_well() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let begun = answer(server.send(
        "POST",
        "/acme/device_authorization",
        form,
        "client_id=hallpass-cli&scope=openid",
    ));
    let body: serde_json::Value = serde_json::from_str(begun.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let poll = format!(
        "client_id=hallpass-cli&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code={}",
        body["device_code"].as_str().unwrap()
    );
    let held = server.send_when_asked("/acme/token", "Prefer: wait=25\r\n", &poll);
    server.signal(Signal::TERM);
    let (status, said) = server.end();
    assert!(status.success(), "{said}");
    let answer = answer(held);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("authorization_pending"), "{answer}");
}

#[test]
fn the_log_holds_no_address_query_or_secret() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &["--log", "debug", "--log-format", "json"]).with_org();
    let _ = server.get("/acme/authorize?client_id=hallpass-cli&state=canary-in-the-query");
    let _ = server.get("/nowhere/canary-in-the-path");
    let said = server.stop();
    assert!(said.contains("\"http.route\""), "it does log requests: {said}");
    assert!(!said.contains("canary") && !said.contains("127.0.0.1"), "{said}");
    for line in said.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn settings_are_explained_with_their_places() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("hallpass.toml");
    fs::write(&file, "[server]\nlog = \"warn\"\n").unwrap();
    let mut explain =
        command(&["serve", "--explain", "--json", "--settings", file.to_str().unwrap(), "--data", "/srv/x"]);
    let rows = ended(explain.env("HALLPASS_LISTEN", "127.0.0.1:1")).json();
    let source = |key: &str| {
        let rows = rows["settings"].as_array().unwrap();
        rows.iter().find(|row| row["key"] == key).unwrap()["source"].as_str().unwrap().to_owned()
    };
    assert!(source("log").ends_with("hallpass.toml, line 2"));
    assert_eq!((source("listen"), source("data")), ("HALLPASS_LISTEN".to_owned(), "--data".to_owned()));
}

#[test]
fn another_key_encryption_key_takes_the_place_of_the_one_before_as_the_server_starts() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let (old, new) = (server.folder.join("keys/kek"), server.folder.join("keys/kek-2"));
    server.stop();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let data = root.path().join("data");
    let alone = |kek: &str| {
        run(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--kek", kek])
    };
    alone(new).failed(70, &["is missing", "backup"]);

    let server = Server::start(root.path(), &["--kek", new, "--previous-kek", old]);
    assert_eq!(server.admin(&["org", "keys", "acme"]).json()["keys"].as_array().unwrap().len(), 1);
    assert!(server.ledger(&["list", "--json"]).out.contains("\"encryption\""));
    server.stop();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(new).unwrap().mode() & 0o777, 0o600);
    alone(old).failed(70, &["key-encryption key", "--kek"]);
    let server = Server::start(root.path(), &["--kek", new]);
    assert!(server.get("/acme/jwks").contains("\"kty\""));
}
