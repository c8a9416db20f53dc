//! What is refused: on record where it names somebody who exists (invariant 3), counted where it names nobody.

use std::future::Future;

use hallpass_model::client::ClientKind;
use hallpass_model::grant::{Approval, Grant};
use hallpass_model::jose::SigningKey;
use hallpass_model::lifetimes::{AUTHORIZATION_CODE, DEVICE_CODE};
use hallpass_model::secret::Secret;
use hallpass_model::session::{RefreshToken, SessionKey};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::{GrantType, Scopes, token_type};
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{Answer, CodeIssued, IssueCode, SetClientStanding, SetPersonStanding};
use hallpass_testkit::client::encode;
use hallpass_testkit::visitor::field;
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://127.0.0.1:49152/callback";

/// A world with a second command-line client.
async fn world() -> World {
    let world = World::new().await;
    world.add_client(world.new_client("other-cli", ClientKind::Cli)).await;
    world
}

/// Tries it, a minute after the last one, so that it is not counted together with that.
async fn recorded(world: &World, rule: &str, attempt: impl Future<Output = Reply>) {
    world.clock.advance(Lifetime::seconds(61));
    let before = world.ledger_size().await;
    let reply = attempt.await;
    let entries = world.ledger_from(before).await;
    assert!(
        entries.contains(&format!("denied: {rule}")),
        "{rule}: {entries:?} after {} {}",
        reply.status,
        reply.body
    );
    assert_eq!(reply.json()["access_token"].as_str(), None, "{rule}");
}

async fn counted(world: &World, rule: &'static str, attempt: impl Future<Output = Reply>) {
    let before = (world.ledger_size().await, world.store.strangers().get(rule).copied().unwrap_or_default());
    let reply = attempt.await;
    assert!(reply.status.is_client_error(), "{rule}: {}", reply.status);
    let after = (world.ledger_size().await, world.store.strangers().get(rule).copied().unwrap_or_default());
    assert_eq!(after, (before.0, before.1 + 1), "{rule}");
}

/// A form with some of its fields put differently; an empty one is left out.
fn changed<'a>(good: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = good.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

async fn poll(world: &World, start: &[(&str, &str)], answer: Option<Answer>, with: &[(&str, &str)]) -> Reply {
    let start = [&[("scope", "openid notes:read"), ("resource", NOTES)], start].concat();
    let started = world.start_device("hallpass-cli", &start).await.json();
    let device_code = started["device_code"].as_str().unwrap();
    if let Some(answer) = answer {
        world.answer_device(started["user_code"].as_str().unwrap(), world.ada, answer).await;
    }
    let good = [
        ("grant_type", GrantType::DeviceCode.text()),
        ("client_id", "hallpass-cli"),
        ("device_code", device_code),
    ];
    let late = with.contains(&("late", "yes"));
    if late {
        world.clock.advance(DEVICE_CODE);
    }
    let twice = with.contains(&("twice", "yes"));
    if twice {
        assert_eq!(world.post("token", &good).await.status, 200);
    }
    let with = if late || twice { &[] } else { with };
    world.post("token", &changed(&good, with)).await
}

#[tokio::test]
async fn a_refused_poll_is_on_record() {
    let world = world().await;
    let key = SigningKey::generate().thumbprint().to_string();
    let bound = [("dpop_jkt", key.as_str())];
    for (start, answer) in [(&[][..], None), (&[], Some(Answer::Yes))] {
        recorded(&world, "other_client", poll(&world, start, answer, &[("client_id", "other-cli")])).await;
    }
    recorded(&world, "proof_missing", poll(&world, &bound, Some(Answer::Yes), &[])).await;
    recorded(&world, "device_code_over", poll(&world, &[], Some(Answer::Yes), &[("late", "yes")])).await;
    recorded(&world, "device_code_spent", poll(&world, &[], Some(Answer::Yes), &[("twice", "yes")])).await;
    let elsewhere = [("resource", "https://nowhere.example/")];
    recorded(&world, "resource", poll(&world, &[], Some(Answer::Yes), &elsewhere)).await;
    recorded(&world, "scope", poll(&world, &[], Some(Answer::Yes), &[("scope", "notes:write")])).await;
    recorded(&world, "person_said_no", poll(&world, &[], Some(Answer::No), &[])).await;
}

/// Asks for a code, as the consent page does.
async fn issue(world: &World, key: Option<&SigningKey>) -> CodeIssued {
    let issue = IssueCode {
        raises: None,
        org: world.org,
        client: world.cli,
        principal: world.ada,
        grant: Grant {
            scopes: Scopes::parse("openid notes:read").expect("scopes"),
            resources: vec![NOTES.to_owned()],
            purpose: None,
            authentication: world.by_passkey(),
            approval: Approval::Browser,
        },
        redirect_uri: CALLBACK.to_owned(),
        code_challenge: CodeChallenge::of(&Secret::from_text(VERIFIER.to_owned())),
        nonce: None,
        dpop_jkt: key.map(SigningKey::thumbprint),
        device: None,
        address: "127.0.0.1".to_owned(),
    };
    world.change(issue).await
}

async fn redeem(world: &World, key: Option<&SigningKey>, late: Lifetime, with: &[(&str, &str)]) -> Reply {
    let CodeIssued::Issued { code, .. } = issue(world, key).await else { panic!("no code") };
    world.clock.advance(late);
    present(world, code.expose_text(), with).await
}

async fn present(world: &World, code: &str, with: &[(&str, &str)]) -> Reply {
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", "hallpass-cli"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    world.post("token", &changed(&good, with)).await
}

#[tokio::test]
async fn a_refused_code_is_on_record() {
    let world = world().await;
    let at_once = Lifetime::seconds(0);
    let other = "a".repeat(43);
    let nowhere = "https://nowhere.example/";
    for (rule, with) in [
        ("code_of_other_client", ("client_id", "other-cli")),
        ("code_verifier", ("code_verifier", other.as_str())),
        ("code_redirect_uri", ("redirect_uri", "http://127.0.0.1:49152/other")),
        ("resource", ("resource", nowhere)),
        ("scope", ("scope", "notes:write")),
    ] {
        recorded(&world, rule, redeem(&world, None, at_once, &[with])).await;
    }
    let key = SigningKey::generate();
    recorded(&world, "code_proof", redeem(&world, Some(&key), at_once, &[])).await;
    recorded(&world, "code_over", redeem(&world, None, AUTHORIZATION_CODE, &[])).await;
    recorded(&world, "code_replayed", async {
        let CodeIssued::Issued { code, .. } = issue(&world, None).await else { panic!("no code") };
        assert_eq!(present(&world, code.expose_text(), &[]).await.status, 200);
        present(&world, code.expose_text(), &[]).await
    })
    .await;
}

#[tokio::test]
async fn a_refused_refresh_or_exchange_is_on_record() {
    let world = world().await;
    let nowhere = "https://nowhere.example/";
    for (rule, with) in [
        ("other_client", ("client_id", "other-cli")),
        ("resource", ("resource", nowhere)),
        ("scope", ("scope", "admin")),
    ] {
        recorded(&world, rule, async {
            let login = world.sign_in("ada", "hallpass-cli").await;
            let good = [
                ("grant_type", "refresh_token"),
                ("client_id", "hallpass-cli"),
                ("refresh_token", &login.refresh),
            ];
            world.post("token", &changed(&good, &[with])).await
        })
        .await;
    }
    for (rule, bound, with) in [
        ("subject_of_other_client", false, ("client_id", "other-cli")),
        ("resource", false, ("resource", nowhere)),
        ("scope", false, ("scope", "admin")),
        ("proof_missing", true, ("resource", NOTES)),
        ("subject_audience", false, ("subject_token", "a pass")),
    ] {
        recorded(&world, rule, async {
            let login = match bound {
                true => world.sign_in_bound("ada", "hallpass-cli").await,
                false => world.sign_in("ada", "hallpass-cli").await,
            };
            let mut subject = login.access.clone();
            if with.1 == "a pass" {
                subject = world.exchange(&login, &[("resource", NOTES)]).await.unwrap().access;
            }
            let good = [
                ("grant_type", GrantType::TokenExchange.text()),
                ("client_id", "hallpass-cli"),
                ("subject_token", &subject),
                ("subject_token_type", token_type::ACCESS_TOKEN),
            ];
            let with = if with.1 == "a pass" { &[][..] } else { &[with] };
            world.post("token", &changed(&good, with)).await
        })
        .await;
    }
}

/// A client asks for a token of its own.
async fn for_itself(world: &World, client: &str, key: &SigningKey, with: &[(&str, &str)]) -> Reply {
    let [kind, signed] = world.assertion(client, key);
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        (kind.0, &kind.1),
        (signed.0, &signed.1),
    ];
    world.post("token", &changed(&good, with)).await
}

#[tokio::test]
async fn a_refused_client_is_on_record() {
    let world = world().await;
    let key = &world.notes_api_key;
    let nowhere = "https://nowhere.example/";
    for (rule, client, with) in [
        ("resource", "notes-api", ("resource", nowhere)),
        ("scope", "notes-api", ("scope", "notes:read")),
        ("client_assertion", "hallpass-cli", ("scope", "")),
        ("client_assertion_missing", "notes-api", ("client_assertion", "")),
    ] {
        recorded(&world, rule, for_itself(&world, client, key, &[with])).await;
    }
    recorded(&world, "client_assertion", for_itself(&world, "notes-api", &SigningKey::generate(), &[])).await;
    let scope = world.start_device("hallpass-cli", &[("scope", "admin")]);
    recorded(&world, "scope", scope).await;
    recorded(&world, "resource", world.start_device("hallpass-cli", &[("resource", nowhere)])).await;
    let query = |redirect_uri: &str, scope: &str| {
        encode(&[
            ("response_type", "code"),
            ("client_id", "hallpass-cli"),
            ("redirect_uri", redirect_uri),
            ("scope", scope),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
    };
    let elsewhere = format!("authorize?{}", query("https://evil.example/", "openid"));
    recorded(&world, "redirect_uri", world.get(&elsewhere)).await;
    let more = format!("authorize?{}", query(CALLBACK, "admin"));
    recorded(&world, "scope", world.get(&more)).await;

    let disable = SetClientStanding { org: world.org, client: world.cli, active: false };
    world.change(disable).await;
    let again = format!("authorize?{}", query(CALLBACK, "openid"));
    recorded(&world, "disabled", world.get(&again)).await;
    recorded(&world, "disabled", world.start_device("hallpass-cli", &[])).await;
    recorded(&world, "disabled", async {
        assert!(matches!(issue(&world, None).await, CodeIssued::Refused(_)));
        world.get("jwks").await
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_refused_for_what_it_is_is_on_record() {
    let world = world().await;
    let bearer = |path: &str, token: &str| world.http.post(world.at(path)).bearer_auth(token);
    recorded(&world, "audience", async {
        let login = world.sign_in("ada", "hallpass-cli").await;
        let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
        world.send(bearer("userinfo", &pass.access)).await
    })
    .await;
    recorded(&world, "scope", async {
        let login = world.sign_in("ada", "hallpass-cli").await;
        let narrow = [("resource", world.issuer_url.as_str()), ("scope", "notes:read")];
        let narrow = world.exchange(&login, &narrow).await.unwrap();
        world.send(bearer("userinfo", &narrow.access)).await
    })
    .await;
    recorded(&world, "proof_missing", async {
        let login = world.sign_in_bound("ada", "hallpass-cli").await;
        world.send(bearer("userinfo", &login.access)).await
    })
    .await;
    recorded(&world, "cut", async {
        let login = world.sign_in("ada", "hallpass-cli").await;
        assert_eq!(world.revoke(&login.access, "hallpass-cli").await.status, 200);
        world.send(bearer("userinfo", &login.access)).await
    })
    .await;
    recorded(&world, "token_of_a_person", async {
        let login = world.sign_in("ada", "hallpass-cli").await;
        world.send(bearer("introspect", &login.access)).await
    })
    .await;
    recorded(&world, "public_client", world.post("introspect", &[("client_id", "hallpass-cli")])).await;
    for refresh in [true, false] {
        recorded(&world, "token_of_other_client", async {
            let login = world.sign_in("ada", "hallpass-cli").await;
            let token = if refresh { &login.refresh } else { &login.access };
            let reply = world.revoke(token, "other-cli").await;
            assert_eq!(reply.status, 200, "which tells nothing");
            reply
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_person_is_refused_is_on_record() {
    let world = world().await;
    let grace = world.add_person("grace").await;
    let mut visitor = world.visitor_as(grace).await;

    let started = world.start_device("hallpass-cli", &[("scope", "openid")]).await.json();
    let user_code = started["user_code"].as_str().unwrap();
    world.answer_device(user_code, world.ada, Answer::Yes).await;
    visitor.get("/acme/device").await;
    recorded(&world, "answered_by_another", visitor.post("/acme/device", &[("code", user_code)])).await;

    let others = world.open_sessions(world.ada, 1).await[0].to_string();
    let end = [("act", "end"), ("session", others.as_str())];
    recorded(&world, "session_of_another", visitor.post("/acme/sessions", &end)).await;

    let query = encode(&[
        ("response_type", "code"),
        ("client_id", "hallpass-cli"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let asked = visitor.get(&format!("/acme/authorize?{query}")).await;
    let asked = asked.header("location").unwrap().replace(&world.base_url, "");
    let page = visitor.get(&asked).await;
    let request = field(&page.body, "request").unwrap();
    let no = [("request", request.as_str()), ("answer", "no")];
    recorded(&world, "person_said_no", visitor.post("/acme/consent", &no)).await;

    visitor.get("/acme/login?again=1").await;
    let disable = SetPersonStanding { org: world.org, person: grace, active: false };
    world.change(disable).await;
    recorded(&world, "disabled", visitor.log_in("acme", &[])).await;
}

#[tokio::test]
async fn a_stranger_is_counted_and_buys_no_disk() {
    let world = world().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    // Of a session that exists, and not authentic: anybody can name one.
    let forged = RefreshToken::render(&SessionKey::from_bytes([7; 32].into()), login.session(), 0);
    for (rule, client, grant_type, (name, value)) in [
        ("unknown client", "nobody", "refresh_token", ("refresh_token", login.refresh.as_str())),
        ("malformed refresh token", "hallpass-cli", "refresh_token", ("refresh_token", "hpr_nobody")),
        ("unknown refresh token", "hallpass-cli", "refresh_token", ("refresh_token", forged.expose_text())),
        ("unknown device code", "hallpass-cli", GrantType::DeviceCode.text(), ("device_code", "hpd_nobody")),
    ] {
        let form = [("client_id", client), ("grant_type", grant_type), (name, value)];
        counted(&world, rule, world.post("token", &form)).await;
    }
    let userinfo = world.http.get(world.at("userinfo")).bearer_auth("nobody");
    counted(&world, "unknown access token", world.send(userinfo)).await;
    counted(&world, "unknown code", present(&world, "hpc_nobody", &[])).await;
}
