//! `hallpass admin key`: made, shown, rotated, revoked, and left behind.

use crate::program::{Ended, Server};
use serde_json::{Value, json};

const NOTES: &str = "https://notes.example";

fn with_client(server: Server) -> Server {
    let scope = ["--scope", "notes:read"];
    let client = ["client", "add", "nightly", "--kind", "ci", "--owner", "person:ada"];
    server.admin(&[&client[..], &scope].concat()).json();
    let resource = ["resource", "add", NOTES, "--owner", "person:ada", "--environment", "prod"];
    server.admin(&[&resource[..], &scope].concat()).json();
    server
}

fn add(server: &Server, more: &[&str]) -> Ended {
    let add = ["key", "add", "backup", "--client", "nightly", "--resource", NOTES, "--scope", "notes:read"];
    server.admin(&[&add[..], more].concat())
}

/// Buys a token, as a tool without a holder of ours does.
fn exchange(server: &Server, secret: &str, more: &str) -> String {
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={secret}\
         &subject_token_type=urn%3Ahallpass%3Aparams%3Aoauth%3Atoken-type%3Aapi-key{more}"
    );
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    crate::program::answer(server.send("POST", "/acme/token", form, &body))
}

#[test]
fn a_key_is_shown_once_and_known_by_everything_but_itself() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let made = add(&server, &["--network", "127.0.0.0/8", "--network", "::1", "--lasts", "20d"]).json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("hpk_"), "it begins as they do");
    assert_eq!(
        (made["key"]["owner"].as_str(), made["key"]["state"].as_str()),
        (Some("person:ada"), Some("active"))
    );
    assert_eq!(made["key"]["networks"], json!(["127.0.0.0/8", "::1/128"]));

    assert!(
        exchange(&server, &secret, "&device_name=cron-1&device_class=server&purpose=backup")
            .contains("200 OK")
    );
    let shown = server.admin(&["key", "show", "backup"]);
    assert!(!shown.out.contains(&secret[4..]), "never again");
    let shown = shown.json();
    assert_eq!(
        (shown["uses"].clone(), shown["users"][0]["machine"].clone()),
        (json!(1), json!("cron-1")),
        "{shown}"
    );
    assert_eq!(shown["users"][0]["network"], "127.0.0.0/24");
    let listed = server.admin(&["key", "list"]).json();
    assert_eq!(listed["list"][0]["uses"], 1);

    add(&server, &[]).failed(1, &["is there already"]);
    let revoked = server.admin(&["key", "revoke", "backup"]).json();
    assert!(revoked["state"].as_str().unwrap().starts_with("revoked "), "{revoked}");
    assert!(exchange(&server, &secret, "").contains("key_revoked"));
    server.admin(&["key", "rotate", "backup"]).failed(5, &["the API key is over"]);

    // Nowhere: not in the ledger, not in what the server said, not on its disk.
    let ledger = server.ledger(&["list", "--json"]).out + &server.admin(&["key", "show", "backup"]).out;
    let folder = server.folder.clone();
    let said = server.stop();
    let canary = &secret[4..secret.len() - 6];
    assert!(!ledger.contains(canary) && !said.contains(canary));
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        assert!(!bytes.windows(canary.len()).any(|there| there == canary.as_bytes()), "{:?}", entry.path());
    }
}

#[test]
fn what_a_key_must_be_is_said_before_it_is_made() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    add(&server, &["--lasts", "91d"]).failed(5, &["lives 90d at most", "hint: "]);
    add(&server, &["--network", "10.0.0.0/33"]).failed(2, &["is not an address or a network"]);
    add(&server, &["--owner", "ada"]).failed(2, &["is no owner"]);
    add(&server, &["--scope", "notes:write"]).failed(5, &["may not ask for one of the scopes"]);
    add(&server, &["--resource", "https://nowhere.example"]).failed(1, &["there is no resource"]);
    add(&server, &["--direct-until", "2027-01-01"]).failed(2, &["--reason"]);
    add(&server, &["--direct-until", "2020-01-01", "--reason", "x"])
        .failed(5, &["lasts no longer than the key"]);
    let cli = ["key", "add", "x", "--client", "hallpass-cli", "--resource", NOTES, "--scope", "notes:read"];
    server.admin(&cli).failed(5, &["is for people", "hint: people sign in"]);
    let other = ["resource", "add", "https://dev.example", "--owner", "person:ada", "--environment", "dev"];
    server.admin(&[&other[..], &["--scope", "notes:read"]].concat()).json();
    add(&server, &["--resource", "https://dev.example"]).failed(5, &["several environments", "hint: "]);
    server.admin(&["limits", "acme", "--api-key", "10d"]).json();
    add(&server, &["--lasts", "11d"]).failed(5, &["lives 10d at most"]);
    server.admin(&["limits", "acme", "--api-key", "91d"]).failed(5, &["lives at most 90d"]);
    let made = add(&server, &[]).json();
    assert_eq!(made["key"]["secrets"].as_array().unwrap().len(), 1, "by the org's own limit: {made}");
}

#[test]
fn a_rotation_shows_the_new_one_once_and_says_when_the_old_one_ends() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let old = add(&server, &[]).json()["secret"].as_str().unwrap().to_owned();
    let rotated = server.admin(&["key", "rotate", "backup", "--overlap", "1h"]).json();
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert!(new != old && rotated["old_ends"].is_string(), "{}", rotated["old_ends"]);
    let line: Vec<Value> = rotated["key"]["secrets"].as_array().unwrap().clone();
    assert_eq!((line.len(), line[1]["succeeds"].clone()), (2, line[0]["id"].clone()), "one line");
    server
        .admin(&["key", "rotate", "backup"])
        .failed(5, &["two", "hint: "].map(|w| if w == "two" { "secrets alive at most" } else { w }));
    for secret in [&old, &new] {
        assert!(exchange(&server, secret, "").contains("200 OK"));
    }
    let first = line[0]["id"].as_str().unwrap();
    server.admin(&["key", "revoke", "backup", "--secret", first]).json();
    assert!(
        exchange(&server, &old, "").contains("key_revoked") && exchange(&server, &new, "").contains("200 OK")
    );
    server
        .admin(&["key", "revoke", "backup", "--secret", "crd_01h455vb4pex5vsknk084sn02q"])
        .failed(1, &["no such secret"]);
}

#[test]
fn the_users_of_a_key_are_told_what_to_have_in_its_place_and_who_still_comes_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let secret = add(&server, &[]).json()["secret"].as_str().unwrap().to_owned();
    for who in [
        "&device_name=runner-7&device_class=build-agent&purpose=deploy",
        "&device_name=ada&device_class=laptop",
    ] {
        assert!(exchange(&server, &secret, who).contains("200 OK"));
    }
    let migration = server.admin(&["key", "migrate", "backup"]).json();
    let moves = migration["moves"].as_array().unwrap();
    assert!(moves.len() == 2 && moves.iter().all(|one| one["uses_since"] == 0), "{migration}");
    let of = |class: &str| moves.iter().find(|one| one["class"] == class).unwrap();
    let commands = |class: &str| of(class)["commands"].to_string();
    assert!(
        commands("laptop").contains(&format!("hallpass login {}/acme --resource {NOTES}", server.url)),
        "{}",
        commands("laptop")
    );
    assert!(
        commands("build-agent").contains("admin trust add backup --client backup"),
        "{}",
        commands("build-agent")
    );
    assert!(
        commands("build-agent").contains("--owner person:ada --scope notes:read"),
        "{}",
        commands("build-agent")
    );

    // Both go on side by side, and whoever still comes is seen.
    assert!(
        exchange(&server, &secret, "&device_name=runner-7&device_class=build-agent&purpose=deploy")
            .contains("200 OK")
    );
    let ended = server.admin(&["key", "migrate", "backup", "--end", "2020-01-01"]);
    ended.failed(2, &["the end is past"]);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let migration = server.admin(&["key", "migrate", "backup", "--end", &soon.to_string()]).json();
    let still: Vec<_> =
        migration["moves"].as_array().unwrap().iter().filter(|one| one["uses_since"] != 0).collect();
    assert_eq!((still.len(), still[0]["machine"].clone()), (1, json!("runner-7")), "{migration}");
    assert_eq!(migration["key"]["ends"].as_str().unwrap()[..10], soon.to_string()[..10]);
    server.admin(&["key", "rotate", "backup"]).failed(5, &["its users are being moved"]);
    let later = soon + jiff::SignedDuration::from_hours(24);
    server.admin(&["key", "migrate", "backup", "--end", &later.to_string()]).failed(5, &["is not put off"]);
}

/// What was counted and not written is written as the server stops.
#[test]
fn a_use_is_known_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let secret = add(&server, &[]).json()["secret"].as_str().unwrap().to_owned();
    assert!(exchange(&server, &secret, "").contains("200 OK"));
    server.stop();
    let server = Server::start(root.path(), &[]);
    assert_eq!(server.admin(&["key", "show", "backup"]).json()["uses"], 1);
}

#[test]
fn what_an_org_requires_is_met_by_new_keys_and_what_does_not_meet_it_is_found() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    add(&server, &[]).json();
    let check = || server.admin(&["org", "check", "acme"]);
    assert_eq!(check().json()["list"], json!([]));
    server.admin(&["org", "require", "acme"]).failed(2, &["--nothing"]);
    server.admin(&["org", "require", "acme", "--acr", "gold"]).failed(2, &["nobody can log in", "hint: "]);
    let set = ["org", "require", "acme", "--acr", "phr", "--max-age", "12h", "--static-by-exception"];
    let org = server.admin(&set).json();
    assert_eq!(
        org["requires"],
        json!({"demand": {"acr": "phr", "max_age": 43_200_000}, "static_by_exception": true})
    );

    let plain = ["key", "add", "x", "--client", "nightly", "--resource", NOTES, "--scope", "notes:read"];
    server.admin(&plain).failed(5, &["only by exception", "hint: `--exception"]);
    let until = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 40)).to_string();
    let exception = ["--exception", "the scale knows nothing else", "--exception-until", &until];
    server.admin(&[&plain[..], &exception].concat()).json();
    server.admin(&["limits", "acme", "--api-key", "20d"]).json();
    let found = check();
    assert_eq!(found.code, 1, "{}", found.err);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    let found: Vec<_> =
        found["list"].as_array().unwrap().iter().map(|one| json!([one["thing"], one["rule"]])).collect();
    let unmet = [("key:backup", "static_credential"), ("key:backup", "lifetime"), ("key:x", "lifetime")];
    assert_eq!(found, unmet.map(|(thing, rule)| json!([thing, rule])));
    server.admin(&["key", "revoke", "backup"]).json();
    let left = check().out;
    assert!(left.contains("key:x") && !left.contains("key:backup"), "what is over breaks nothing: {left}");

    let org = server.admin(&["org", "require", "acme", "--nothing"]).json();
    assert_eq!(org["requires"], json!({"demand": {}, "static_by_exception": false}));
}
