//! `hallpass admin trust`: which outside identity becomes which client, and why one is not let in.

use hallpass_model::jose::Typ;
use hallpass_testkit::outside_issuer::OutsideIssuer;
use serde_json::json;

use crate::program::{Ended, Server};

const ADD: [&str; 10] = [
    "trust",
    "add",
    "site",
    "--client",
    "site-deploy",
    "--environment",
    "prod",
    "--scope",
    "site:deploy",
    "--preset",
];

fn with_client(server: Server) -> Server {
    let client =
        ["client", "add", "site-deploy", "--kind", "ci", "--owner", "person:ada", "--scope", "site:deploy"];
    server.admin(&client).json();
    server
}

fn add(server: &Server, more: &[&str]) -> Ended {
    server.admin(&[&ADD[..], more].concat())
}

#[test]
fn a_rule_that_would_let_strangers_in_is_refused_and_says_what_it_lacks() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    add(&server, &["github"]).failed(5, &["no-condition", "hint: add `--when repository_id=NUMBER`"]);
    add(&server, &["github", "--when", "repository=acme/site"])
        .failed(5, &["owner-not-pinned", "names change hands"]);
    let shared = ["github", "--when", "repository_id=74", "--audience", "sts.amazonaws.com"];
    add(&server, &shared).failed(5, &["audience-shared"]);
    add(&server, &["gitlab", "--when", "project_id=20"])
        .failed(2, &["has many issuers", "--issuer https://"]);
    add(&server, &["github", "--when", "repository_id"]).failed(2, &["not of the form CLAIM=PATTERN"]);
    add(&server, &["github", "--when", "ref=refs/**"]).failed(2, &["`**` is not to be had"]);
    add(&server, &["spiffe", "--issuer", "spiffe://prod.example", "--when", "sub=spiffe://prod.example/ci"])
        .failed(2, &["--jwks-uri"]);
    assert_eq!(server.admin(&["trust", "list"]).json()["list"], json!([]));

    let good = ["github", "--when", "repository_id=74", "--when", "environment=prod"];
    let shown = add(&server, &good).json();
    assert_eq!(
        (shown["owner"].as_str(), shown["issuer"].as_str()),
        (Some("person:ada"), Some("https://token.actions.githubusercontent.com"))
    );
    assert_eq!(shown["findings"], json!([]));
    add(&server, &good).failed(1, &["is there already"]);
}

#[test]
fn a_trust_is_for_a_client_that_is_no_person_s_and_gives_no_more_than_that_may_ask_for() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let when = ["github", "--when", "repository_id=74", "--when", "environment=prod"];
    let by = |client: &str, scope: &str| {
        let add =
            ["trust", "add", "x", "--client", client, "--environment", "prod", "--scope", scope, "--preset"];
        server.admin(&[&add[..], &when].concat())
    };
    by("nobody", "site:deploy").failed(1, &["there is no client `nobody`", "hint: "]);
    by("hallpass-cli", "site:deploy").failed(5, &["is for people", "hint: "]);
    by("site-deploy", "site:delete").failed(5, &["may not ask for one of the scopes"]);
    let long = [&when[..], &["--longest", "1h"]].concat();
    add(&server, &long).failed(5, &["15m at most"]);
}

#[test]
fn lint_looks_over_all_and_its_code_says_whether_something_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let ended = server.admin(&["trust", "lint"]);
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "{\"schema\":\"hallpass.admin.trusts/1\",\"list\":[]}\n")
    );
    let added = add(&server, &["github", "--when", "repository_id=74"]);
    assert!(added.code == 0 && added.err.contains("warning: any-branch"), "{}", added.err);
    let ended = server.admin(&["trust", "lint"]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("any-branch"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_line_by_line_why_it_is_not_let_in() {
    let root = tempfile::tempdir().unwrap();
    let outside = OutsideIssuer::start().await;
    let server = with_client(Server::start(root.path(), &["--outside-network", "127.0.0.0/8"]).with_org());
    let when =
        ["--when", "project_id=20", "--when", "ref_path=refs/heads/main", "--when", "ref_protected=true"];
    let shown = add(&server, &[&["gitlab", "--issuer", outside.url()][..], &when].concat()).json();
    let now = hallpass_testkit::clock::real_now().seconds();
    let claims = json!({
        "iss": outside.url(), "aud": shown["audience"], "sub": "project_path:acme/site:ref_type:branch:ref:main",
        "project_id": "20", "ref_path": "refs/heads/main", "iat": now, "exp": now + 300,
    });
    let file = root.path().join("token.jwt");
    let test = |claims: &serde_json::Value| {
        std::fs::write(&file, outside.sign(Typ::IdToken, claims)).unwrap();
        server.admin(&["trust", "test", "--token", file.to_str().unwrap()])
    };
    let ended = test(&claims);
    assert_eq!(ended.code, 1, "{}", ended.err);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let lines = told["trusts"][0]["lines"].as_array().unwrap();
    let failed: Vec<_> = lines.iter().filter(|line| line["holds"] == false).collect();
    assert_eq!(failed.len(), 1, "{told}");
    assert_eq!((failed[0]["claim"].as_str(), failed[0]["found"].is_null()), (Some("ref_protected"), true));

    let mut good = claims.clone();
    good["ref_protected"] = json!("true");
    let ended = test(&good);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    good["exp"] = json!(now - 1);
    let ended = test(&good);
    assert!(ended.code == 1 && ended.out.contains("it has expired"), "{}", ended.out);
    good["iss"] = json!("https://gitlab.example");
    let ended = test(&good);
    assert!(ended.code == 1 && ended.out.contains("no trust names"), "{}", ended.out);
}

/// Without the operator's word nothing inside is asked, though a trust names it.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_inside_is_asked_only_where_the_operator_named_its_network() {
    let root = tempfile::tempdir().unwrap();
    let outside = OutsideIssuer::start().await;
    let server = with_client(Server::start(root.path(), &[]).with_org());
    let when =
        ["--when", "project_id=20", "--when", "ref_path=refs/heads/main", "--when", "ref_protected=true"];
    add(&server, &[&["gitlab", "--issuer", outside.url()][..], &when].concat()).json();
    let file = root.path().join("token.jwt");
    let now = hallpass_testkit::clock::real_now().seconds();
    let claims = json!({ "iss": outside.url(), "sub": "x", "exp": now + 60 });
    std::fs::write(&file, outside.sign(Typ::IdToken, &claims)).unwrap();
    let ended = server.admin(&["trust", "test", "--token", file.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("--outside-network") && outside.fetched() == 0, "{}", ended.out);
}
