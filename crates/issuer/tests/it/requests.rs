//! Bad input, at every endpoint: a clear error, and nothing lost.

use std::sync::Arc;
use std::time::Duration;

use hallpass_issuer::{Access, Issuer, Listen, Listener, Settings, endpoints, serve};
use hallpass_testkit::client::encode;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(world: &World, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
    world.send(world.http.post(world.at(path)).header("content-type", content_type).body(body)).await
}

#[tokio::test]
async fn a_path_a_method_and_a_type_that_are_not_there_are_said_in_json() {
    let world = World::new().await;
    for path in ["nowhere", "token/", "token/more"] {
        let reply = world.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["error"].as_str()),
            (404, Some("invalid_request")),
            "{path}"
        );
    }
    let reply = world.get("token").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("POST")));
    assert_eq!(reply.json()["error"], "invalid_request");
    for kind in [
        "application/json",
        "multipart/form-data",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-16",
    ] {
        let reply = post(&world, "token", kind, b"grant_type=x".to_vec()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["error"].as_str()),
            (415, Some("invalid_request")),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_too_long_or_malformed_are_said_to_be() {
    let world = World::new().await;
    let long = format!("grant_type={}", "x".repeat(70_000)).into_bytes();
    let many = (0..100).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&").into_bytes();
    for (body, status) in [
        (long, 413),
        (many, 400),
        (b"grant_type=%zz".to_vec(), 400),
        (b"grant_type=%ff".to_vec(), 400),
        (b"grant_type=a&grant_type=b".to_vec(), 400),
        (b"".to_vec(), 400),
        (b"\0\xff\xfe".to_vec(), 400),
    ] {
        let reply = post(&world, "token", FORM, body.clone()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["error"].as_str()),
            (status, Some("invalid_request")),
            "{:?}",
            &body[..body.len().min(20)]
        );
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn parameters_in_the_query_of_a_post_are_refused() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let whole = encode(&[
        ("grant_type", "refresh_token"),
        ("client_id", "hallpass-cli"),
        ("refresh_token", &login.refresh),
    ]);
    let reply = post(&world, "token?client_id=hallpass-cli", FORM, whole.clone().into_bytes()).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"].as_str()), (400, Some("invalid_request")));
    assert!(reply.refused().told.contains("query"), "{}", reply.body);
    assert_eq!(post(&world, "token", FORM, whole.into_bytes()).await.status, 200);
}

#[tokio::test]
async fn malformed_tokens_are_refused_wherever_one_is_taken() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let (header, rest) = login.access.split_once('.').unwrap();
    let none = format!(
        "{}.{}.",
        hallpass_model::jose::base64url::render(r#"{"alg":"none","typ":"at+jwt"}"#),
        rest.split('.').next().unwrap()
    );
    let long = "a".repeat(20_000);
    for token in ["", "x", "a.b.c", "..", header, none.as_str(), long.as_str(), "hpr_", "hpd_x", "é"] {
        let userinfo = world
            .http
            .get(world.at("userinfo"))
            .header("authorization", format!("Bearer {token}").as_bytes());
        assert_eq!(world.send(userinfo).await.status, 401, "userinfo: {:.20}", token);
        assert_eq!(
            world.revoke(&format!("{token}x"), "hallpass-cli").await.status,
            200,
            "revoke: {token:.20}"
        );
        let refresh =
            [("grant_type", "refresh_token"), ("client_id", "hallpass-cli"), ("refresh_token", token)];
        assert_eq!(world.ask_token(&refresh, None).await.status, 400, "refresh: {token:.20}");
    }
    assert!(world.refresh(&login).await.is_ok());
}

/// Org isolation: whatever belongs to org A is refused at org B, at every endpoint that takes anything.
#[tokio::test]
async fn what_is_one_org_s_is_refused_at_another_s_on_every_endpoint() {
    let world = World::new().await;
    world.add_org("globex").await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let bound = world.sign_in_bound("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES), ("lease", "true")]).await.unwrap();
    let [(kind_name, kind), (signed_name, signed)] = world.assertion("notes-api", &world.notes_api_key);
    let assertion = [(kind_name, kind.as_str()), (signed_name, signed.as_str())];
    let lease = pass.lease.unwrap().to_string();
    let mut walked = 0;
    for endpoint in endpoints() {
        let at_globex = format!("{}{}", world.base_url, endpoint.path.replace("{org}", "globex"));
        let form: Vec<(&str, &str)> = match (endpoint.access, endpoint.path) {
            (Access::Client, "/{org}/token") => {
                vec![
                    ("grant_type", "refresh_token"),
                    ("client_id", "hallpass-cli"),
                    ("refresh_token", &login.refresh),
                ]
            }
            (Access::Client, "/{org}/device_authorization") => vec![("client_id", "notes-api")],
            (Access::Client, "/{org}/revoke") => {
                vec![("client_id", "hallpass-cli"), ("token", &login.refresh)]
            }
            (Access::Verifier, _) => [&assertion[..], &[("token", pass.access.as_str())]].concat(),
            (Access::Token, _) => vec![("lease", &lease)],
            _ => continue,
        };
        walked += 1;
        let mut callers = vec![None];
        if matches!(endpoint.access, Access::Token | Access::Verifier) {
            callers = vec![Some(&login.access), Some(&pass.access), Some(&bound.access)];
        }
        for caller in callers {
            let mut request = match endpoint.method {
                Method::GET => world.http.get(&at_globex),
                _ => world.http.post(&at_globex).header("content-type", FORM).body(encode(&form)),
            };
            if let Some(token) = caller {
                request = request.bearer_auth(token);
            }
            let reply = world.send(request).await;
            let refused = reply.status.is_client_error();
            let told_nothing = endpoint.path == "/{org}/revoke" && reply.status == 200;
            assert!(
                refused || told_nothing,
                "{} {}: {} {}",
                endpoint.method,
                endpoint.path,
                reply.status,
                reply.body
            );
        }
    }
    assert!(walked >= 7, "the table was walked: {walked}");
    let at_globex =
        world.http.post(format!("{}/globex/introspect", world.base_url)).header("content-type", FORM);
    let by_key = [&assertion[..], &[("token", pass.access.as_str())]].concat();
    assert_eq!(world.send(at_globex.body(encode(&by_key))).await.status, 401, "acme's assertion at globex");
    assert!(
        world.accepts(&pass.access).await && world.refresh(&login).await.is_ok(),
        "and nothing of it was lost"
    );
}

#[tokio::test]
async fn every_answer_forbids_sniffing_framing_and_referrers() {
    let world = World::new().await;
    for reply in [world.get("jwks").await, world.get("nowhere").await, world.post("token", &[]).await] {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    }
}

#[tokio::test]
async fn health_is_told() {
    let world = World::new().await;
    for (path, status) in [("healthz", "ok"), ("readyz", "ready")] {
        let reply = world.send(world.http.get(format!("{}/{path}", world.base_url))).await;
        assert_eq!((reply.status.as_u16(), reply.json()["status"].as_str()), (200, Some(status)));
    }
}

/// Time stands still but for timers, which go off at once when nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn slow_clients_lose_their_connection() {
    let (address, _world) = quiet_server(None).await;
    let mut headers = TcpStream::connect(address).await.unwrap();
    headers.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut nothing = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    let _ = headers.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200"), "the headers never came whole");
    let _ = nothing.read_to_end(&mut rest).await;

    let mut body = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /acme/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: {FORM}\r\ncontent-length: 100\r\n\r\ngrant"
    );
    body.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = body.read_to_end(&mut answer).await;
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn headers_that_are_too_long_are_refused() {
    let world = World::new().await;
    let request = world.http.get(world.at("jwks")).header("x-long", "x".repeat(100_000));
    assert_eq!(world.send(request).await.status, 431);
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_under_way() {
    let world = World::new().await;
    let started = world.start_device("hallpass-cli", &[]).await.json();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "hallpass-cli"),
        ("device_code", started["device_code"].as_str().unwrap()),
    ];
    let held = world
        .http
        .post(world.at("token"))
        .header("content-type", FORM)
        .header("prefer", "wait=25")
        .body(encode(&form));
    let (reply, ()) = tokio::join!(world.send(held), async {
        while world.issuer.held_polls() == 0 {
            tokio::task::yield_now().await;
        }
        world.issuer.stop();
    });
    assert_eq!(reply.json()["error"], "authorization_pending", "answered, not dropped");
    while TcpStream::connect(world.base_url.trim_start_matches("http://")).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// A second server over a world's store, on a socket of its own.
async fn quiet_server(tls: Option<hallpass_issuer::TlsFiles>) -> (std::net::SocketAddr, World) {
    let world = World::new().await;
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls, trusted_proxies: vec![] };
    let listener = Listener::bind(&listen).await.unwrap();
    let address = listener.address().unwrap();
    let settings = Settings {
        base_url: format!("http://localhost:{}", address.port()).parse().unwrap(),
        outside_networks: Vec::new(),
        outside_roots: Default::default(),
    };
    let entropy = Arc::new(hallpass_model::random::SystemEntropy);
    let issuer = Issuer::new(world.store.clone(), world.clock.clone(), entropy, settings);
    tokio::spawn(serve(issuer, listener));
    (address, world)
}

#[tokio::test]
async fn tls_from_certificate_files_speaks_http_2_and_a_plain_client_gets_nothing() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls");
    let files = hallpass_issuer::TlsFiles {
        certificates: format!("{folder}/localhost.pem").into(),
        key: format!("{folder}/localhost.key").into(),
    };
    let (address, _world) = quiet_server(Some(files)).await;
    let root = reqwest::Certificate::from_pem(include_bytes!("tls/localhost.pem")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let reply = client.get(format!("https://localhost:{}/healthz", address.port())).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.version()), (200, http::Version::HTTP_2));
    let plain = client.get(format!("http://localhost:{}/healthz", address.port())).send().await;
    assert!(plain.is_err());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let missing =
        hallpass_issuer::TlsFiles { certificates: "/nowhere.pem".into(), key: "/nowhere.key".into() };
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: Some(missing), trusted_proxies: vec![] };
    let error = Listener::bind(&listen).await.err().expect("there is no such file");
    let text = format!("{}: {}", error, std::error::Error::source(&error).expect("a cause"));
    assert!(text.contains("/nowhere.pem"), "{text}");
}
