//! `hallpass curl` and `hallpass token --dpop`, with the curl of this machine, against APIs that judge for real.

use std::process::Stdio;

use hallpass_model::lifetimes::DPOP_WINDOW;
use tokio::io::AsyncWriteExt;

use super::api::{Api, Kind};
use super::machine::{Machine, Said, in_time};

/// Somebody signed in for an API of this kind.
async fn desk(kind: Kind) -> (Machine, Api) {
    let machine = Machine::new().await;
    let api = Api::start(&machine.world.issuer_url, kind).await;
    machine.world.add_resource(&api.url, "notes:read notes:write", None).await;
    machine.login(&["--resource", &api.url]).await;
    (machine, api)
}

async fn with_nonces() -> (Machine, Api) {
    desk(Kind { nonces: true, ..Kind::default() }).await
}

#[tokio::test]
async fn curl_asks_with_a_bound_token_and_a_proof_that_no_process_shows() {
    let (machine, api) = desk(Kind::default()).await;
    let said = machine.run(&["curl", &api.at("notes?page=2")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes?page=2 proven \n"), "{}", said.err());
    let seen = api.seen();
    let [one] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(one.scheme(), Some("DPoP"));
    assert!(!one.in_arguments && !one.in_environment);

    // The pass is kept, and each request has a proof of its own.
    machine.run(&["curl", &api.at("notes")]).await;
    let again = api.seen().remove(0);
    assert_eq!(again.header("authorization"), one.header("authorization"));
    assert_ne!(again.header("dpop"), one.header("dpop"));
    // A bearer pass for the same API is another.
    let bearer = machine.run(&["token", "--resource", &api.url]).await.out();
    assert!(!one.header("authorization").unwrap().contains(bearer.trim()));
}

#[tokio::test]
async fn a_nonce_is_answered_once_and_remembered_by_the_next_command() {
    let (machine, api) = with_nonces().await;
    let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    assert_eq!(said.err(), "", "the challenge is nobody's business");
    assert_eq!(api.seen().len(), 2, "asked, and asked again with the nonce");
    assert_eq!(machine.run(&["curl", "-sS", &api.at("other")]).await.out(), "GET /other proven \n");
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn curl_s_own_arguments_mean_what_they_mean_to_curl() {
    let (machine, api) = with_nonces().await;
    let url = api.at("notes");
    let said = machine.run(&["curl", "-sSd", "a=b", &url]).await;
    assert_eq!(said.out(), "POST /notes proven a=b\n", "{}", said.err());
    let said = machine.run(&["curl", "-sS", "-X", "PATCH", "--json", "{}", &url]).await;
    assert_eq!(said.out(), "PATCH /notes proven {}\n", "{}", said.err());
    let said = machine.run(&["curl", "-sS", "-G", "-d", "q=1", &url]).await;
    assert_eq!(said.out(), "GET /notes?q=1 proven \n", "{}", said.err());

    let (file, head) = (machine.path("answer"), machine.path("head"));
    let (file, head) = (file.to_str().unwrap(), head.to_str().unwrap());
    let said = machine.run(&["curl", "-sSo", file, "-D", head, "-w", "%{http_code}", &url]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "200"), "{}", said.err());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "GET /notes proven \n");
    assert!(std::fs::read_to_string(head).unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    let said = machine.run(&["curl", "-sSI", &url]).await;
    assert!(said.out().starts_with("HTTP/1.1 200 OK\r\n"), "{}", said.out());

    // Its codes are its own: 22 for what `--fail` calls a failure, 7 where nobody listens.
    let said = machine.run(&["curl", "-sSf", "--scope", "notes:write", &url]).await;
    assert_eq!(said.code(), 2, "hallpass's own options come first: {}", said.err());
    let said = machine.run(&["curl", "--scope", "notes:write", "-sSf", &url]).await;
    assert_eq!((said.code(), said.out().as_str()), (22, ""), "{}", said.err());
    let nobody = ["curl", "--resource", &api.url, "-sS", "http://127.0.0.1:1/"];
    assert_eq!(machine.run(&nobody).await.code(), 7);
}

#[tokio::test]
async fn a_body_from_standard_input_arrives_and_is_not_sent_twice() {
    let (machine, api) = with_nonces().await;
    let send = async |text: &str| {
        let mut command = machine.hallpass(&["curl", "-sS", "-d", "@-", &api.at("notes")]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        Said(in_time(child.wait_with_output()).await.unwrap())
    };
    // The nonce is not known yet, and the body is gone: the person sees the API's own refusal.
    assert!(send("hello").await.out().contains("nonce"));
    assert_eq!(api.seen().len(), 1);
    assert_eq!(send("hello").await.out(), "POST /notes proven hello\n");
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn a_redirect_never_carries_the_token_to_another_origin() {
    let stranger = Api::start_stranger().await;
    let kind = Kind { nonces: true, elsewhere: stranger.at("collect"), ..Kind::default() };
    let (machine, api) = desk(kind).await;
    let said = machine.run(&["curl", "-sS", &api.at("elsewhere")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, ""), "not followed without `--location`");
    assert!(stranger.seen().is_empty());

    let said = machine.run(&["curl", "-sSL", &api.at("elsewhere")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "the stranger's answer\n"), "{}", said.err());
    let seen = stranger.seen();
    let [one] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((one.header("authorization"), one.header("dpop")), (None, None));
    assert_eq!((one.method.as_str(), one.path.as_str()), ("GET", "/collect"));

    api.seen();
    let said = machine.run(&["curl", "-sSL", &api.at("here")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    let proofs: Vec<_> = api.seen().iter().map(|seen| seen.header("dpop").unwrap().to_owned()).collect();
    assert!(proofs.len() == 2 && proofs[0] != proofs[1], "to the same origin, with a proof for each place");
    let limited = ["curl", "-sSL", "--max-redirs", "0", &api.at("here")];
    assert_eq!(machine.run(&limited).await.code(), 0);
}

#[tokio::test]
async fn a_token_goes_to_its_own_api_and_not_over_plain_http() {
    let (machine, api) = desk(Kind::default()).await;
    let stranger = Api::start_stranger().await;
    let said = machine.run(&["curl", &stranger.at("notes")]).await;
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(said.err().contains(&api.url), "it names where the sign-in reaches: {}", said.err());
    assert!(stranger.seen().is_empty());
    let far = ["curl", "--resource", &api.url, "http://api.example/"];
    assert_eq!(machine.run(&far).await.code(), 2);
    let credentials = api.url.replace("http://", "http://me:secret@");
    assert_eq!(machine.run(&["curl", &credentials]).await.code(), 2);
}

#[tokio::test]
async fn an_api_that_knows_no_proofs_is_asked_with_bearer_when_the_person_says_so() {
    let (machine, api) = desk(Kind { bearer_only: true, ..Kind::default() }).await;
    let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!(said.code(), 0, "as curl has it: an answer came");
    assert!(said.err().contains("--bearer"), "{}", said.err());
    assert_eq!(api.seen().len(), 1, "nothing is weakened without being told to");
    let said = machine.run(&["curl", "--bearer", "-sS", &api.at("notes")]).await;
    assert_eq!((said.out().as_str(), said.err().as_str()), ("GET /notes bearer \n", ""));
}

#[tokio::test]
async fn what_curl_says_leaves_the_token_out() {
    let (machine, api) = desk(Kind::default()).await;
    let said = machine.run(&["curl", "-v", &api.at("notes")]).await;
    assert_eq!(said.out(), "GET /notes proven \n");
    assert!(said.err().contains("> Authorization: DPoP [left out]"), "{}", said.err());
    let seen = api.seen().remove(0);
    let token = seen.header("authorization").unwrap().split(' ').nth(1).unwrap();
    assert!(!said.err().contains(token) && !said.err().contains(seen.header("dpop").unwrap()));
}

#[tokio::test]
async fn a_pass_that_was_cut_is_replaced_once() {
    let (machine, api) = desk(Kind { refuses_first: true, ..Kind::default() }).await;
    let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    let seen = api.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].header("authorization"), seen[1].header("authorization"));
}

#[tokio::test]
async fn an_api_with_another_time_is_asked_again_at_its_own() {
    let ahead_by_seconds = DPOP_WINDOW.as_seconds() as u32 + 30;
    let (machine, api) = desk(Kind { ahead_by_seconds, ..Kind::default() }).await;
    let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn what_curl_is_not_asked_is_said_and_why() {
    let (machine, api) = desk(Kind::default()).await;
    let url = api.at("notes");
    for (arguments, code, word) in [
        (&["-k", url.as_str()][..], 5, "--cacert"),
        (&["-K", "file", url.as_str()], 5, "--config"),
        (&["--trace", "-", url.as_str()], 5, "--verbose"),
        (&["-H", "Authorization: Basic x", url.as_str()], 5, "hallpass makes"),
        (&["--retry", "2", url.as_str()], 5, "proof"),
        (&["--no-such-option", url.as_str()], 2, "--no-such-option"),
        (&["--json", "{}", url.as_str()], 2, "`--`"),
    ] {
        let said = machine.run(&[&["curl"], arguments].concat()).await;
        assert_eq!(said.code(), code, "{arguments:?} {}", said.err());
        assert!(said.err().contains(word), "{arguments:?} {}", said.err());
    }
    assert!(api.seen().is_empty());
    let mut command = machine.hallpass(&["curl", &url]);
    command.env("PATH", "/nowhere");
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 127, "{}", said.err());
    assert!(said.err().contains("token --dpop"), "{}", said.err());
}

#[tokio::test]
async fn a_script_s_own_client_gets_the_headers_of_one_request() {
    let (machine, api) = desk(Kind::default()).await;
    let url = api.at("notes");
    let said = machine.run(&["token", "--dpop", "POST", &url]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let use_them = async |method: &str, headers: &str| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sS", "-X", method, "-H", "@-", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(headers.as_bytes()).await.unwrap();
        String::from_utf8(in_time(child.wait_with_output()).await.unwrap().stdout).unwrap()
    };
    assert!(use_them("GET", &said.out()).await.contains("another HTTP method"));
    assert_eq!(use_them("POST", &said.out()).await, "POST /notes proven \n");
    assert!(use_them("POST", &said.out()).await.contains("used before"), "good for one request");

    let json = machine.run(&["token", "--json", "--dpop", "POST", &url]).await.json();
    assert_eq!(
        (json["schema"].as_str(), json["token_type"].as_str()),
        (Some("hallpass.token/1"), Some("DPoP"))
    );
    let authorization = format!("Authorization: DPoP {}", json["access_token"].as_str().unwrap());
    assert_eq!(said.out().lines().next(), Some(authorization.as_str()), "the same pass");
    let headers = format!("{authorization}\nDPoP: {}\n", json["dpop"].as_str().unwrap());
    assert_eq!(use_them("POST", &headers).await, "POST /notes proven \n");
    assert_eq!(machine.run(&["token", "--dpop", "GE T", &url]).await.code(), 2);
    assert_eq!(machine.run(&["token", "--dpop", "GET", "notes"]).await.code(), 2);
    assert_eq!(machine.run(&["token", "--nonce", "x"]).await.code(), 2);
}

#[tokio::test]
async fn a_script_can_hand_in_the_nonce_that_the_api_asked_for() {
    let (machine, api) = with_nonces().await;
    let url = api.at("notes");
    let ask = async |more: &[&str]| {
        let headers = machine.run(&[&["token", "--dpop", "GET", &url], more].concat()).await.out();
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sSi", "-H", "@-", &url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(headers.as_bytes()).await.unwrap();
        String::from_utf8(in_time(child.wait_with_output()).await.unwrap().stdout).unwrap()
    };
    let challenged = ask(&[]).await;
    let nonce = challenged.lines().find_map(|line| line.strip_prefix("dpop-nonce: ")).unwrap().trim();
    assert!(ask(&["--nonce", nonce]).await.ends_with("GET /notes proven \n"));
    assert!(ask(&[]).await.ends_with("GET /notes proven \n"), "it is remembered");
    // It may look like a flag.
    let said = machine.run(&["token", "--dpop", "GET", &url, "--nonce", "-n-"]).await;
    let proof = said.out().lines().find_map(|line| line.strip_prefix("DPoP: ").map(str::to_owned));
    let proof: serde_json::Value = hallpass_testkit::client::claims(&proof.unwrap());
    assert_eq!(proof["nonce"], "-n-");
}
