//! `hallpass admin`: the directory through the admin socket, backups and their restoring.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use hallpass_testkit::chip::Chip;

use crate::program::{Server, command, run};

#[test]
fn everything_names_its_owner_or_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let resource =
        ["resource", "add", "https://notes.example", "--environment", "dev", "--scope", "notes:read"];
    server.admin(&resource).failed(2, &["--owner"]);
    for (owner, code, words) in [
        ("ada", 2, "is no owner"),
        ("person:nobody", 1, "there is no person `nobody`"),
        ("team:nobody", 1, "there is no team `nobody`"),
    ] {
        server.admin(&[&resource[..], &["--owner", owner]].concat()).failed(code, &[words]);
    }
    let added = server.admin(&[&resource[..], &["--owner", "person:ada"]].concat()).json();
    assert_eq!((added["owner"].as_str(), added["state"].as_str()), (Some("person:ada"), Some("active")));
    server.admin(&[&resource[..], &["--owner", "person:ada"]].concat()).failed(1, &["is there already"]);
}

#[test]
fn an_org_s_key_is_shown_and_replaced() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let states = |keys: &serde_json::Value| -> Vec<String> {
        let keys = keys["keys"].as_array().unwrap().iter();
        keys.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&server.admin(&["org", "keys", "acme"]).json()), ["signs"]);
    assert_eq!(states(&server.admin(&["org", "rotate-key", "acme"]).json()), ["signs", "next"]);
    server.admin(&["org", "rotate-key", "acme"]).failed(1, &["another key is on its way", "--emergency"]);
    assert_eq!(states(&server.admin(&["org", "rotate-key", "acme", "--emergency"]).json()), ["signs"]);
    let listed = server.ledger(&["list", "--json"]).out;
    assert!(listed.contains("emergency") && listed.contains("key_rotated"), "{listed}");
    server.admin(&["org", "rotate-key", "nowhere"]).failed(1, &["nowhere"]);
}

#[test]
fn an_owner_who_is_disabled_answers_for_nothing_new() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "add", "grace"]).json();
    server.admin(&["team", "add", "platform", "--member", "grace"]).json();
    server.admin(&["team", "join", "platform", "--member", "ada"]).json();
    let left = server.admin(&["team", "leave", "platform", "--member", "ada"]).json();
    assert_eq!(left["members"], serde_json::json!(["grace"]));
    server.admin(&["person", "disable", "grace"]).json();
    for owner in ["person:grace", "team:platform"] {
        let add = [
            "resource",
            "add",
            "https://a.example",
            "--environment",
            "dev",
            "--scope",
            "a",
            "--owner",
            owner,
        ];
        server.admin(&add).failed(5, &["answer for anything", "hint: "]);
    }
}

#[test]
fn a_client_s_trusts_go_with_it_and_are_named_and_none_is_taken_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "add", "grace"]).json();
    let client =
        ["client", "add", "deployer", "--kind", "ci", "--owner", "person:grace", "--scope", "site:deploy"];
    server.admin(&client).json();
    for (trust, repository) in [("site", "repository_id=74"), ("docs", "repository_id=75")] {
        let add = [
            "trust",
            "add",
            trust,
            "--client",
            "deployer",
            "--environment",
            "prod",
            "--scope",
            "site:deploy",
        ];
        let when = ["--preset", "github", "--when", repository, "--when", "environment=prod"];
        server.admin(&[&add[..], &when].concat()).json();
    }
    // By itself it would take its client along, and the other trust.
    let alone = server.admin(&["owner", "transfer", "trust:site", "--to", "person:ada"]);
    alone.failed(5, &["`client:deployer` answers for it", "hint: name `client:deployer`"]);
    server.admin(&["owner", "transfer", "trust:none", "--to", "person:ada"]).failed(1, &["none"]);
    let agent = server.admin(&["owner", "transfer", "agent:robot", "--to", "person:ada"]);
    agent.failed(5, &["acts for the person who registered it", "hallpass agents add"]);
    assert_eq!(server.admin(&["client", "show", "deployer"]).json()["owner"], "person:grace");

    server.admin(&["trust", "disable", "docs"]).json();
    let left = server.admin(&["person", "disable", "grace"]);
    assert_eq!(
        left.json()["suspended"],
        serde_json::json!(["client:deployer", "trust:site"]),
        "what was in use"
    );
    let all = ["owner", "transfer", "--from", "person:grace", "--all", "--to", "person:ada"];
    let preview = server.admin(&[&all[..], &["--dry-run"]].concat()).json();
    let things: Vec<_> = preview["list"].as_array().unwrap().iter().map(|row| row["thing"].clone()).collect();
    assert_eq!(things, ["client:deployer", "trust:docs", "trust:site"]);
    let row = &preview["list"][1];
    assert_eq!(
        (row["change"].as_str(), row["with"].as_str()),
        (Some("with its client"), Some("client:deployer"))
    );
    assert_eq!(server.admin(&all).json()["list"], preview["list"]);
    assert_eq!(server.admin(&["trust", "show", "site"]).json()["owner"], "person:ada");
}

#[test]
fn what_an_owner_who_leaves_answered_for_is_suspended_until_somebody_takes_it_over() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "add", "grace"]).json();
    server.admin(&["team", "add", "platform", "--member", "grace"]).json();
    let resource = |url, owner| {
        ["resource", "add", url, "--environment", "dev", "--scope", "a", "--owner", owner].map(str::to_owned)
    };
    for (url, owner) in [("https://a.example", "person:grace"), ("https://b.example", "team:platform")] {
        let add = resource(url, owner);
        server.admin(&add.each_ref().map(String::as_str)).json();
    }
    server.admin(&["client", "add", "hers", "--kind", "cli", "--owner", "person:grace"]).json();

    let disabled = server.admin(&["person", "disable", "grace"]);
    let all = ["client:hers", "resource:https://a.example", "resource:https://b.example"];
    assert_eq!(disabled.json()["suspended"], serde_json::json!(all));
    for thing in all {
        assert!(disabled.err.contains(&format!("suspended `{thing}`: nobody answers")), "{}", disabled.err);
    }
    assert!(disabled.err.contains("hallpass admin owner transfer"), "{}", disabled.err);
    let hers = || server.admin(&["client", "show", "hers"]).json();
    assert_eq!(hers()["owner"], "person:grace");
    assert!(hers()["state"].as_str().unwrap().starts_with("suspended 2"), "{}", hers());
    server.admin(&["client", "enable", "hers"]).failed(5, &["nobody answers for client `hers`", "hint: "]);

    let transfer = |thing, to| server.admin(&["owner", "transfer", thing, "--to", to]);
    transfer("client:hers", "person:grace").failed(5, &["is disabled, and cannot answer"]);
    transfer("client:hers", "team:platform").failed(5, &["nobody active"]);
    transfer("client:nobody", "person:ada").failed(1, &["no client `nobody`"]);
    transfer("team:platform", "person:ada").failed(2, &["nothing that has an owner", "client:HANDLE"]);
    server.admin(&["owner", "transfer", "--to", "person:ada"]).failed(2, &["what is taken over", "--all"]);
    let not_theirs =
        ["owner", "transfer", "--from", "team:platform", "--client", "hers", "--to", "person:ada"];
    server.admin(&not_theirs).failed(5, &["`team:platform` does not answer for `client:hers`"]);

    // In bulk: what is previewed is what is then done.
    let all_of_grace = ["owner", "transfer", "--from", "person:grace", "--all", "--to", "person:ada"];
    let preview = server.admin(&[&all_of_grace[..], &["--dry-run"]].concat());
    assert!(preview.err.contains("nothing was changed"), "{}", preview.err);
    assert!(hers()["state"].as_str().unwrap().starts_with("suspended"), "a preview changes nothing");
    let done = server.admin(&all_of_grace).json();
    assert_eq!(preview.json()["list"], done["list"]);
    let row = |thing: &str| {
        let change = "owner, suspension lifted";
        serde_json::json!({ "thing": thing, "from": "person:grace", "to": "person:ada", "change": change })
    };
    assert_eq!(done["list"], serde_json::json!([row("client:hers"), row("resource:https://a.example")]));
    assert_eq!((hers()["owner"].as_str(), hers()["state"].as_str()), (Some("person:ada"), Some("active")));
    let again = transfer("client:hers", "person:ada").json();
    assert_eq!(again["list"][0]["change"], "none");

    let listed = server.ledger(&["list", "--event", "owner_changed"]);
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.out);
    assert!(listed.out.contains("client hers of grace to ada"), "{}", listed.out);
    assert_eq!(server.ledger(&["list", "--event", "suspended"]).out.lines().count(), 3);

    let enabled = server.admin(&["person", "enable", "grace"]).json();
    assert_eq!(enabled["suspended"], serde_json::Value::Null);
    let other = server.admin(&["resource", "show", "https://b.example"]).json();
    assert!(
        other["state"].as_str().unwrap().starts_with("suspended"),
        "coming back takes nothing back: {other}"
    );
}

#[test]
fn the_last_administrator_stays_and_a_lost_one_is_recovered() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["person", "disable", "ada"]).failed(5, &["last administrator", "hint: "]);
    let made = server.admin(&["recover", "acme", "--handle", "grace"]).json();
    assert!(made["link"]["url"].as_str().unwrap().contains("/acme/enrol#hpl_"));
    server.admin(&["person", "disable", "ada"]).json();
    let listed = server.ledger(&["list", "--event", "recovered"]);
    assert_eq!(listed.out.lines().count(), 1, "{}", listed.out);
}

#[test]
fn an_enrolment_link_stands_on_standard_output_alone() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let data = server.folder.to_str().unwrap();
    let added = run(&["admin", "--data", data, "person", "add", "grace"]);
    assert!(added.out.contains("/acme/enrol#hpl_"), "{}", added.out);
    assert!(!added.err.contains("hpl_"), "{}", added.err);
    let ledger = server.ledger(&["list", "--json"]);
    assert!(!ledger.out.contains("hpl_"));
}

#[test]
fn where_there_are_several_orgs_none_is_guessed() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["org", "add", "other", "--administrator", "eve"]).json();
    server.admin(&["person", "list"]).failed(2, &["several orgs", "--org"]);
    let people = server.admin(&["person", "list", "--org", "other"]).json();
    assert_eq!(people["list"].as_array().unwrap().len(), 1);
    server.admin(&["person", "show", "eve", "--org", "acme"]).failed(1, &["no person `eve` in `acme`"]);
    server.admin(&["org", "add", "healthz", "--administrator", "eve"]).failed(2, &["reserved"]);
}

#[test]
fn a_kind_of_client_fixes_its_grant_types_and_a_service_has_a_key() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let service = ["client", "add", "api", "--kind", "service", "--owner", "person:ada"];
    server.admin(&service).failed(2, &["proves itself by a key", "--new-key"]);
    let key = root.path().join("api.pem");
    let with_key = [&service[..], &["--new-key", key.to_str().unwrap()]].concat();
    server
        .admin(&[&with_key[..], &["--grant-type", "authorization_code"]].concat())
        .failed(5, &["may not use", "hint: "]);
    assert!(!key.exists(), "a key for nothing is not left behind");
    let added = server.admin(&with_key).json();
    assert_eq!(added["authentication"], "private_key_jwt");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(std::fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    server.admin(&with_key).failed(70, &["never written over"]);
}

#[test]
fn a_client_is_let_off_the_newer_assertions_until_a_date_and_no_longer_than_a_year() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let key = root.path().join("api.pem");
    let service = ["client", "add", "api", "--kind", "service", "--owner", "person:ada", "--new-key"];
    let service = [&service[..], &[key.to_str().unwrap(), "--older-assertions-until"]].concat();
    let until = |date: &str| server.admin(&[&service[..], &[date]].concat());
    until("soon").failed(2, &["`soon` is no date", "hint: "]);
    until("2020-01-01").failed(2, &["is over already"]);
    until("9999-01-01").failed(5, &["more than 365d away", "hint: "]);
    let next_year = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 360);
    let day = next_year.to_string()[..10].to_owned();
    let added = until(&day).json();
    assert_eq!(added["older_assertions_until"], format!("{day}T00:00:00Z"));
    let cli =
        ["client", "add", "c", "--kind", "cli", "--owner", "person:ada", "--older-assertions-until", &day];
    server.admin(&cli).failed(2, &["without a key"]);
    assert_eq!(
        server.admin(&["client", "show", "hallpass-cli"]).json()["older_assertions_until"],
        serde_json::Value::Null
    );
    let listed = server.ledger(&["list", "--event", "excepted"]);
    assert_eq!(listed.out.lines().count(), 1, "{}", listed.out);
}

#[test]
fn lifetimes_may_be_shortened_and_never_lengthened() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["limits", "acme", "--session-idle", "31d"]).failed(5, &["at most 30d", "never lengthen"]);
    server.admin(&["limits", "acme", "--session-idle", "never"]).failed(2, &["not a length of time"]);
    let org = server.admin(&["limits", "acme", "--session-idle", "7d"]).json();
    assert_eq!(org["limits"]["session_idle"], 7 * 86_400_000);
}

#[test]
fn an_org_says_where_keys_may_rest_and_shortening_a_life_does_not_take_that_back() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server.admin(&["org", "rungs", "acme", "dotfile"]).failed(2, &["`secret-service`"]);
    server.admin(&["org", "rungs", "acme"]).failed(2, &["RUNG"]);
    let org = server.admin(&["org", "rungs", "acme", "tpm", "secret-service"]).json();
    assert_eq!(org["limits"]["rungs"], serde_json::json!(["secret-service", "tpm"]));
    server.admin(&["limits", "acme", "--session-idle", "7d"]).json();
    let org = server.admin(&["limits", "acme", "--reset"]).json();
    assert_eq!(org["limits"]["rungs"], serde_json::json!(["secret-service", "tpm"]));
    let org = server.admin(&["org", "rungs", "acme", "--any"]).json();
    assert_eq!(org["limits"]["rungs"], serde_json::Value::Null);
}

#[test]
fn approving_here_takes_a_server_that_was_told_so() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    server
        .admin(&["approve", "BCDF-GHJK", "--as", "ada"])
        .failed(5, &["does not let the operator approve", "--local-approval"]);
    server.stop();
    let server = Server::start(root.path(), &["--local-approval"]);
    server.admin(&["approve", "BCDF-GHJK", "--as", "ada"]).failed(1, &["no login waits with that code"]);
}

#[test]
fn a_session_is_listed_with_the_sort_of_its_machine_and_where_its_key_rests() {
    let (root, chip) = (tempfile::tempdir().unwrap(), Chip::start());
    let server = Server::start(root.path(), &["--local-approval"]).with_org();
    let issuer = format!("{}/acme", server.url);
    let home = root.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut login = command(&["login", &issuer, "--flow", "device", "--json", "--store", "tpm"]);
    login.env("HOME", &home).env("HALLPASS_HOST", "shared").env("HALLPASS_DAEMON", "off");
    login.env("HALLPASS_TPM", chip.socket()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut login = login.spawn().unwrap();
    let mut lines = BufReader::new(login.stdout.take().unwrap()).lines();
    let shown: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    server.admin(&["approve", shown["user_code"].as_str().unwrap(), "--as", "ada"]).json();
    let _rest: Vec<_> = lines.collect();
    assert!(login.wait().unwrap().success());
    let listed = server.admin(&["session", "list", "--person", "ada"]).json();
    let session = &listed["list"][0];
    assert_eq!((session["class"].as_str(), session["rung"].as_str()), (Some("shared-host"), Some("tpm")));
    let data = server.folder.to_str().unwrap();
    let table = run(&["admin", "--data", data, "session", "list", "--person", "ada"]);
    assert!(table.out.contains("CLASS") && table.out.contains("KEY"), "{}", table.out);
    assert!(table.out.contains("shared-host") && table.out.contains("tpm"), "{}", table.out);

    let id = session["id"].as_str().unwrap();
    let lineage = server.admin(&["lineage", id]).json();
    let sorts: Vec<_> = lineage["nodes"].as_array().unwrap().iter().map(|node| &node["sort"]).collect();
    assert_eq!(sorts, ["person", "device", "session"], "{lineage}");
    let tree = run(&["admin", "--data", data, "lineage", id]);
    assert!(tree.out.contains("\n    session ") && tree.out.contains(", alive, "), "{}", tree.out);
    assert_eq!(server.admin(&["agent", "list", "ada"]).json()["list"], serde_json::json!([]));
    assert_eq!(server.admin(&["agent", "end-all", "ada"]).json()["runs"], 0);
    run(&["admin", "--data", data, "agent", "retire", "coder", "--person", "ada"])
        .failed(1, &["`ada` has no agent `coder` in use"]);
    run(&["admin", "--data", data, "agent", "end", id]).failed(2, &["crd"]);
}

#[test]
fn without_a_server_the_command_says_so() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().to_str().unwrap();
    run(&["admin", "--data", data, "org", "list"]).failed(75, &["no server is running on", "hallpass serve"]);
}

#[test]
fn a_backup_is_made_while_serving_and_put_back_when_not() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let file = root.path().join("backup.db");
    let file = file.to_str().unwrap();
    server.admin(&["person", "add", "grace"]).json();
    server.admin(&["backup", file]).json();
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
    server.admin(&["backup", file]).failed(1, &["exists already"]);
    server.admin(&["person", "add", "later"]).json();
    server.admin(&["person", "disable", "grace"]).json();

    let data = server.folder.clone();
    let restore =
        |more: &[&str]| run(&[&["admin", "restore", file, "--data", data.to_str().unwrap()], more].concat());
    restore(&["--yes"]).failed(75, &["another server is running"]);
    server.stop();
    restore(&[]).failed(2, &["needs a yes", "--yes"]);
    let done = restore(&["--yes", "--json"]).json();
    assert!(Path::new(done["replaced"].as_str().unwrap()).exists(), "what stood there is kept");
    let grace = serde_json::json!([{ "org": "acme", "person": "grace" }]);
    assert_eq!(done["returned"]["people"], grace, "who came back is named");

    let server = Server::start(root.path(), &[]);
    server.admin(&["person", "show", "ada"]).json();
    server.admin(&["person", "show", "later"]).failed(1, &["no person `later`"]);
    let listed = server.ledger(&["list", "--event", "restored"]);
    assert!(listed.out.contains("restored"), "{}", listed.out);
    assert_eq!(server.ledger(&["verify"]).code, 0);
}

#[test]
fn a_secret_is_shown_once_and_ends_and_its_successor_goes_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let batch = ["client", "add", "batch", "--kind", "service", "--owner", "person:ada", "--secrets-until"];
    let until = |date: &str| server.admin(&[&batch[..], &[date]].concat());
    until("9999-01-01").failed(5, &["more than 365d away", "hint: a secret is an exception"]);
    let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 300);
    let added = until(&day.to_string()[..10]);
    let secret = added.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("hps_") && !added.err.contains(&secret), "{}", added.err);

    let rotated = server.admin(&["client", "rotate", "batch", "--overlap", "1h", "--ttl", "30d"]).json();
    assert!(rotated["secret"].as_str().unwrap().starts_with("hps_"));
    let listed = server.admin(&["client", "secret", "list", "batch"]).json();
    let [older, newer] = &listed["list"].as_array().unwrap()[..] else { panic!("two: {listed}") };
    assert_eq!(
        (&older["id"], &older["state"], &older["used"]),
        (&rotated["older"]["id"], &"good".into(), &serde_json::Value::Null)
    );
    assert_eq!(newer["expires"], rotated["expires"]);
    server
        .admin(&["client", "rotate", "batch"])
        .failed(5, &["two secrets are good already", "secret list batch"]);
    let id = older["id"].as_str().unwrap();
    server.admin(&["client", "secret", "remove", "batch", id]).json();
    server.admin(&["client", "secret", "remove", "batch", id]).failed(1, &["has no secret", "hint: "]);
    assert_eq!(server.admin(&["client", "show", "batch"]).json()["authentication"], "client_secret");

    let job = [
        "client",
        "add",
        "job",
        "--kind",
        "ci",
        "--owner",
        "person:ada",
        "--secrets-until",
        &day.to_string()[..10],
    ];
    server.admin(&job).failed(5, &["of kind `ci` has no secret", "hint: a CI job exchanges"]);
    server.admin(&["client", "rotate", "hallpass-cli"]).failed(5, &["only a service"]);
    assert!(!server.ledger(&["list"]).out.contains("hps_"));
}

#[test]
fn programs_register_themselves_by_a_token_that_is_shown_once_and_while_it_is_allowed() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let registration = |args: &[&str]| server.admin(&[&["client", "registration"], args].concat());
    registration(&["show"]).failed(1, &["no client may register itself", "registration allow"]);
    registration(&["token"]).failed(1, &["no client may register itself"]);
    let allow = ["allow", "--owner", "person:ada", "--scope", "notes:read", "--environment", "dev"];
    let allowed = registration(&allow).json();
    assert_eq!((&allowed["uses"], &allowed["environment"]), (&serde_json::Value::Null, &"dev".into()));
    registration(&["token", "--uses", "101"]).failed(5, &["1 to 100 clients"]);
    registration(&["token", "--ttl", "8d"]).failed(5, &["7d at most"]);
    let made = registration(&["token", "--uses", "2", "--ttl", "2h"]);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("hpi_") && !made.err.contains(&token), "{}", made.err);
    let shown = registration(&["show"]).json();
    assert_eq!((&shown["uses"], &shown["owner"]), (&2.into(), &"person:ada".into()));
    assert!(shown["endpoint"].as_str().unwrap().ends_with("/acme/register"));
    assert_eq!(registration(&["forbid"]).json()["clients_left"], 0);
    registration(&["forbid"]).failed(1, &["no client may register itself"]);
    assert!(!server.ledger(&["list"]).out.contains("hpi_"));
}

#[test]
fn a_client_s_keys_are_added_beside_each_other_and_the_last_stays() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &[]).with_org();
    let file = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let (one, two) = (file("one.pem"), file("two.pem"));
    server
        .admin(&["client", "add", "api", "--kind", "service", "--owner", "person:ada", "--new-key", &one])
        .json();
    server.admin(&["client", "key", "add", "api", "--new-key", &two]).json();
    let listed = server.admin(&["client", "key", "list", "api"]).json();
    let kids: Vec<&str> =
        listed["list"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids.len(), 2);
    server.admin(&["client", "key", "remove", "api", kids[0]]).json();
    server
        .admin(&["client", "key", "remove", "api", kids[0]])
        .failed(1, &["no key of that id", "key list api"]);
    server.admin(&["client", "key", "remove", "api", kids[1]]).failed(5, &["its only key", "hint: "]);

    // An id may begin with a hyphen, as one thumbprint in 64 does. (The key is RFC 7517 A.1's.)
    let set = file("set.json");
    let key = serde_json::json!({
        "kty": "EC", "crv": "P-256", "kid": "-Jw--x",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    });
    std::fs::write(&set, serde_json::json!({ "keys": [key] }).to_string()).unwrap();
    server.admin(&["client", "key", "add", "api", "--jwks", &set]).json();
    server.admin(&["client", "key", "remove", "api", "-Jw--x"]).json();
    assert_eq!(server.admin(&["client", "key", "list", "api"]).json()["list"].as_array().unwrap().len(), 1);

    let three = file("three.pem");
    server
        .admin(&["client", "key", "add", "hallpass-cli", "--new-key", &three])
        .failed(5, &["public client"]);
    assert!(!Path::new(&three).exists(), "a key for nobody is not left behind");

    for (url, words) in
        [("http://keys.example/", "it is not https"), ("https://10.0.0.1/keys", "is not public")]
    {
        let add = ["client", "add", "p", "--kind", "service", "--owner", "person:ada", "--jwks-uri", url];
        server.admin(&add).failed(5, &["is not asked", words, "hint: "]);
    }
}

/// A provider, as far as its metadata: where it is, until the test is over.
fn provider() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let here = issuer.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let metadata = serde_json::json!({
                "issuer": here, "authorization_endpoint": format!("{here}/authorize"),
                "token_endpoint": format!("{here}/token"), "jwks_uri": format!("{here}/jwks"),
            });
            let body = metadata.to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    issuer
}

#[test]
fn an_org_s_own_login_is_looked_at_before_anybody_depends_on_it() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &["--outside-network", "127.0.0.0/8"]).with_org();
    server
        .admin(&["org", "require", "acme", "--sso-only"])
        .failed(5, &["no login of its own", "org login set"]);
    let set = |issuer: &str| {
        server.admin(&["org", "login", "set", "acme", "--issuer", issuer, "--client-id", "hallpass"])
    };
    set("http://127.0.0.1:9").failed(5, &["cannot be used", "--outside-network"]);
    set("http://login.acme.example").failed(2, &["cannot be an issuer"]);
    let issuer = provider();
    set(&format!("{issuer}/")).failed(5, &["cannot be used"]); // it calls itself otherwise
    let shown = set(&issuer).json();
    assert_eq!(shown["authentication"], "private_key_jwt");
    assert_eq!(shown["redirect_uri"], format!("{}/acme/login/provider", server.url));
    server.admin(&["org", "require", "acme", "--sso-only"]).json();
    server.admin(&["org", "login", "remove", "acme"]).failed(5, &["nobody could any more"]);
    server.admin(&["org", "require", "acme", "--nothing"]).json();
    server.admin(&["org", "login", "remove", "acme"]).json();
    server.admin(&["org", "login", "show", "acme"]).failed(1, &["no login of its own"]);
    let told = server.ledger(&["list", "--json"]).out;
    assert_eq!(told.lines().filter(|line| line.contains("login_provider")).count(), 2, "set and removed");
}

/// SECURITY: no secret is an argument, and none is shown again.
#[test]
fn the_secret_of_an_org_s_own_login_comes_by_a_pipe_and_stays_inside() {
    use std::io::Write as _;
    let root = tempfile::tempdir().unwrap();
    let server = Server::start(root.path(), &["--outside-network", "127.0.0.0/8"]).with_org();
    let issuer = provider();
    let arguments = [
        "admin",
        "--json",
        "--data",
        server.folder.to_str().unwrap(),
        "org",
        "login",
        "set",
        "acme",
        "--issuer",
        &issuer,
        "--client-id",
        "hallpass",
        "--client-secret-stdin",
    ];
    let mut setting = command(&arguments);
    setting.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = setting.stderr(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a-canary-of-a-secret\n").unwrap();
    let said = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(said.status.success() && out.contains("client_secret") && !out.contains("canary"), "{out}{err}");
    let shown = server.admin(&["org", "login", "show", "acme"]);
    assert!(!shown.out.contains("canary"), "{}", shown.out);
    let folder = server.folder.clone();
    server.stop();
    for file in ["hallpass.db", "hallpass.db-wal"] {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        assert!(!bytes.windows(8).any(|part| part == b"a-canary"), "{file}");
    }
}
