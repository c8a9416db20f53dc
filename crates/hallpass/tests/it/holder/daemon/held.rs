//! A sign-in that the daemon alone holds can do what one on disk can.

use std::process::Stdio;
use std::sync::atomic::Ordering;

use hallpass_model::device::DeviceClass;
use hallpass_model::lifetimes::DPOP_WINDOW;
use hallpass_model::time::Clock;
use hallpass_store::Answer;
use hallpass_testkit::small_provider::{Manner, SmallProvider};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::super::api::{Api, Kind};
use super::super::behind;
use super::super::machine::{Home, Machine, Said, in_time};

/// Somebody signed in for an API of this kind, in the daemon alone.
async fn desk(kind: Kind) -> (Machine, Api) {
    let machine = Machine::new().await;
    let api = Api::start(&machine.world.issuer_url, kind).await;
    machine.world.add_resource(&api.url, "notes:read notes:write", None).await;
    machine.login(&["--store", "daemon", "--resource", &api.url]).await;
    assert!(!machine.path(".local/state/hallpass").exists(), "nothing is on disk");
    (machine, api)
}

/// Asks an API with these headers, as a script's own client does.
async fn use_them(method: &str, url: &str, headers: &str) -> String {
    let mut command = tokio::process::Command::new("curl");
    command.args(["-sS", "-X", method, "-H", "@-", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(headers.as_bytes()).await.unwrap();
    String::from_utf8(in_time(child.wait_with_output()).await.unwrap().stdout).unwrap()
}

fn lines(given: &Value) -> String {
    let [authorization, proof] = ["authorization", "dpop"].map(|name| given[name].as_str().unwrap());
    format!("Authorization: {authorization}\nDPoP: {proof}\n")
}

#[tokio::test]
async fn the_daemon_proves_its_key_for_curl_and_for_scripts_and_keeps_it() {
    let (machine, api) = desk(Kind { nonces: true, ..Kind::default() }).await;
    let url = api.at("notes");
    let said = machine.run(&["curl", "-sS", &url]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    assert_eq!(api.seen().len(), 2, "asked, and asked again with the nonce");
    let said = machine.run(&["curl", "-sS", "-X", "PATCH", "-d", "x", &url]).await;
    assert_eq!(said.out(), "PATCH /notes proven x\n", "{}", said.err());
    assert_eq!(api.seen().len(), 1, "the nonce is remembered");

    let headers = machine.run(&["token", "--dpop", "POST", &url]).await;
    assert_eq!(headers.code(), 0, "{}", headers.err());
    assert!(use_them("GET", &url, &headers.out()).await.contains("another HTTP method"));
    assert_eq!(use_them("POST", &url, &headers.out()).await, "POST /notes proven \n");
    assert!(use_them("POST", &url, &headers.out()).await.contains("used before"), "good for one request");

    let asked = json!({ "method": "GET", "url": url }).to_string();
    let (status, given) = machine.ask("POST", "/v1/headers", &asked).await;
    assert_eq!((status, given["resource"].as_str()), (200, Some(api.url.as_str())), "{given}");
    assert_eq!(use_them("GET", &url, &lines(&given)).await, "GET /notes proven \n");
}

#[tokio::test]
async fn what_an_api_teaches_reaches_the_daemon_that_makes_the_proofs() {
    let (machine, api) = desk(Kind { nonces: true, ..Kind::default() }).await;
    let url = api.at("notes");
    let asked = |nonce: Option<&str>| json!({ "method": "GET", "url": url, "nonce": nonce }).to_string();
    let (_, given) = machine.ask("POST", "/v1/headers", &asked(None)).await;
    assert!(use_them("GET", &url, &lines(&given)).await.contains("nonce"));
    let mut command = tokio::process::Command::new("curl");
    let challenged = command.args(["-sSi", "-H", "Authorization: DPoP x", "-H", "DPoP: x", &url]);
    let challenged = String::from_utf8(in_time(challenged.output()).await.unwrap().stdout).unwrap();
    let nonce = challenged.lines().find_map(|line| line.strip_prefix("dpop-nonce: ")).unwrap().trim();
    for nonce in [Some(nonce), None] {
        let (_, given) = machine.ask("POST", "/v1/headers", &asked(nonce)).await;
        assert_eq!(use_them("GET", &url, &lines(&given)).await, "GET /notes proven \n", "{nonce:?}");
    }

    // Its clock, and that it does not take a token any more.
    let ahead_by_seconds = DPOP_WINDOW.as_seconds() as u32 + 30;
    for kind in
        [Kind { ahead_by_seconds, ..Kind::default() }, Kind { refuses_first: true, ..Kind::default() }]
    {
        let (machine, api) = desk(kind).await;
        let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
        assert_eq!(said.out(), "GET /notes proven \n", "{}", said.err());
        assert_eq!(api.seen().len(), 2);
    }
}

/// SECURITY: the daemon would make a proof for whoever it is sent to.
#[tokio::test]
async fn the_daemon_makes_no_proof_for_where_its_token_does_not_belong() {
    let (machine, api) = desk(Kind::default()).await;
    for url in
        ["http://api.example/", "https://stranger.example/", &api.url.replace("http://", "http://a:b@")]
    {
        let asked = json!({ "method": "GET", "url": url });
        assert_eq!(machine.ask("POST", "/v1/headers", &asked.to_string()).await.0, 400, "{url}");
        assert_eq!(machine.run(&["curl", url]).await.code(), 2, "{url}");
    }
    let far = json!({ "method": "GET", "url": "http://api.example/", "token": { "resource": api.url } });
    assert_eq!(machine.ask("POST", "/v1/headers", &far.to_string()).await.0, 400);
    for bad in [
        json!({ "method": "GE T", "url": api.url }),
        json!({ "method": "GET", "url": "notes" }),
        json!({ "method": "GET", "url": api.url, "token": { "lease": true } }),
        json!({ "method": "GET", "url": api.url, "key": true }),
    ] {
        assert_eq!(machine.ask("POST", "/v1/headers", &bad.to_string()).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_api_without_proofs_is_asked_with_bearer_by_a_sign_in_of_the_daemon() {
    let (machine, api) = desk(Kind { bearer_only: true, ..Kind::default() }).await;
    let said = machine.run(&["curl", "--bearer", "-sS", &api.at("notes")]).await;
    assert_eq!((said.out().as_str(), said.err().as_str()), ("GET /notes bearer \n", ""));
    // A provider without keys has no proofs, here either.
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let home = Home::new();
    let login = ["login", &provider.issuer, "--flow", "device", "--client-id", "mine", "--store", "daemon"];
    assert_eq!(home.run(&login).await.code(), 0);
    let url = api.at("notes");
    let refused = home.run(&["token", "--dpop", "GET", &url]).await;
    assert!(refused.err().contains("bound to no key"), "{}", refused.err());
    assert_eq!(home.run(&["curl", "-sS", &url]).await.code(), 0);
    assert_eq!(api.seen().pop().unwrap().scheme(), Some("Bearer"));
}

#[tokio::test]
async fn a_fresh_token_of_the_daemon_s_sign_in_is_from_nothing_that_is_kept() {
    let manner = Manner { ours: false, says_expires_in: Some(300), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let home = Home::new();
    let login = ["login", &provider.issuer, "--flow", "device", "--client-id", "mine", "--store", "daemon"];
    assert_eq!(home.run(&login).await.code(), 0);
    let kept = home.run(&["token"]).await.out();
    assert_eq!((home.run(&["token"]).await.out(), provider.asked("refresh_token")), (kept.clone(), 0));
    let fresh = home.run(&["token", "--fresh"]).await;
    assert_eq!((fresh.code(), provider.asked("refresh_token")), (0, 1), "{}", fresh.err());
    assert_ne!(fresh.out(), kept);
    assert_eq!(home.run(&["token"]).await.out(), fresh.out(), "the one before may be over");
}

#[tokio::test]
async fn a_run_whose_token_an_api_refuses_gets_another_from_the_daemon() {
    let machine = Machine::new().await;
    let api = behind::Api::start(None).await;
    machine.world.add_resource(&api.origin, "notes:read notes:write", Some(machine.world.notes_api)).await;
    machine.login(&["--store", "daemon", "--resource", &api.origin]).await;
    api.refuses.store(1, Ordering::Relaxed);
    let exec = ["exec", "--purpose", "x", "--quiet", "--as", "proxy", "--resource", &api.origin, "--"];
    let line = ["sh", "-c", "curl -sS $HALLPASS_PROXY_URL/notes"];
    let said = machine.run(&[&exec[..], &line].concat()).await;
    assert_eq!(said.out(), "noted", "{}", said.err());
    let seen = api.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].token(), seen[1].token());
}

#[tokio::test]
async fn a_sign_in_of_the_daemon_goes_on_under_another_name() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon", "--profile", "work"]).await;
    let token = machine.run(&["token"]).await.out();
    let said = machine.run(&["profile", "rename", "work", "job"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(machine.run(&["token", "--profile", "job"]).await.out(), token);
    assert_eq!(machine.run(&["token", "--profile", "work"]).await.code(), 4);
    let sign_ins = machine.run(&["status", "--json"]).await.json()["sign_ins"].take();
    assert_eq!((sign_ins.as_array().unwrap().len(), &sign_ins[0]["profile"]), (1, &"job".into()));
    // Not over one that is there.
    machine.login(&["--store", "daemon", "--profile", "two"]).await;
    assert_eq!(machine.run(&["profile", "rename", "two", "job"]).await.code(), 2);
    let doctor = machine.run(&["doctor", "--json"]).await.json();
    let findings = doctor["findings"].as_array().unwrap().iter();
    let held = findings.filter(|one| one["about"] == "sign-in" && one["level"] == "good");
    assert_eq!(held.count(), 2, "{doctor}");
}

#[tokio::test]
async fn whoever_signs_in_again_is_compared_with_whom_the_daemon_holds() {
    let machine = Machine::new().await;
    let bob = machine.world.add_person("bob").await;
    machine.login(&["--store", "daemon"]).await;
    let adas = machine.run(&["token"]).await.out();
    for store in ["daemon", "passphrase"] {
        let (child, code) = machine.start_login(&["--store", store]).await;
        machine.world.answer_device(&code, bob, Answer::Yes).await;
        let refused = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(refused.code(), 5, "{store}: {}", refused.err());
        assert!(refused.err().contains("--as-new"), "{}", refused.err());
        assert_eq!(sessions(&machine, bob).await, 0, "what came was revoked");
        assert_eq!(machine.run(&["token"]).await.out(), adas, "and hers goes on");
    }
    // The same person takes the old one's place, and somebody else does if that is said.
    machine.login(&["--store", "daemon"]).await;
    machine.until_dead(adas.trim()).await;
    let (child, code) = machine.start_login(&["--store", "daemon", "--as-new"]).await;
    machine.world.answer_device(&code, bob, Answer::Yes).await;
    assert_eq!(Said(in_time(child.wait_with_output()).await.unwrap()).code(), 0);
    assert_eq!(sessions(&machine, bob).await, 1);
}

async fn sessions(machine: &Machine, of: hallpass_model::id::PrincipalId) -> usize {
    let world = &machine.world;
    let listed = world.store.list_sessions_of(of, None, 10, world.clock.now()).await.unwrap();
    listed.items.len()
}

#[tokio::test]
async fn on_a_shared_machine_a_sign_in_is_the_daemon_s_alone_and_cannot_be_renewed() {
    let machine = Machine::new().await;
    let (child, code) = machine
        .start_login_changed(&[], |command| {
            command.env_remove("HALLPASS_HOST").env("SUDO_USER", "bob").env_remove("HALLPASS_STORE");
        })
        .await;
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("kept in memory alone, and cannot be renewed"), "{}", said.err());
    assert!(!machine.path(".local").exists(), "nothing was written");
    let status = machine.run(&["status", "--json"]).await.json();
    let sign_in = &status["sign_ins"][0];
    assert_eq!((sign_in["key"].as_str(), sign_in["renewable"].as_bool()), (Some("daemon"), Some(false)));
    assert_eq!(sign_in["device_class"], json!(DeviceClass::SharedHost));
    let token = machine.run(&["token"]).await.out();
    assert!(machine.world.accepts(token.trim()).await);
    assert_eq!(machine.run(&["daemon", "stop"]).await.code(), 0);
    assert!(!machine.world.accepts(token.trim()).await);
}
