//! The API as it runs, asked by somebody who is signed in, and by somebody who has only got hold of what they sent.
#![expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

use std::process::Stdio;

use hallpass_holder::app::{Account, App};
use hallpass_holder::{Binding, Flow, LoginEvent, PassRequest, Told, Url};
use hallpass_store::Answer;
use hallpass_testkit::World;
use hallpass_testkit::clock::{Following, real_now};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The API's own identifier: not where it listens, which no test knows beforehand.
const NOTES: &str = "https://notes.example/";

/// An issuer, the API beside it, and Ada, who is signed in for it.
struct Bench {
    account: Account,
    api: Url,
    http: reqwest::Client,
    _process: Child,
    _world: World,
    _time: Following,
}

impl Bench {
    async fn start() -> Self {
        let world = World::new().await;
        let time = world.clock.follow_real();
        let mut command = Command::new(env!("CARGO_BIN_EXE_notes-api"));
        command.args(["--issuer", &world.issuer_url, "--audience", NOTES]).env_clear();
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = said.next_line().await.unwrap().unwrap();
        let api = ready.strip_prefix("ready ").unwrap().parse().unwrap();
        let account = signed_in(&world).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { account, api, http, _process: process, _world: world, _time: time }
    }

    fn notes(&self) -> Url {
        self.api.join("notes").unwrap()
    }

    /// Sends these headers, and nothing else.
    async fn send(&self, headers: &[(&str, &str)]) -> Response {
        let request = headers
            .iter()
            .fold(self.http.get(self.notes()), |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }
}

/// Ada, signed in by a program that keeps nothing on disk.
async fn signed_in(world: &World) -> Account {
    let app = App::new("notes-test", &world.issuer_url).client_id("hallpass-cli");
    let account = app.scopes("notes:read notes:write").resource(NOTES).clock(real_now).open().unwrap();
    let (told, mut code) = tokio::sync::mpsc::unbounded_channel();
    let mut see = |event: LoginEvent<'_>| {
        if let LoginEvent::Code { code, .. } = event {
            told.send(code.to_owned()).unwrap();
        }
    };
    let never = std::pin::pin!(std::future::pending());
    let approve = async {
        world.answer_device(&code.recv().await.unwrap(), world.ada, Answer::Yes).await;
        Ok(())
    };
    tokio::try_join!(account.login(Some(Flow::Device), &mut see, never), approve).unwrap();
    account
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn challenges(answer: &Response) -> String {
    let all = answer.headers().get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_note_is_written_and_read_with_a_bound_token_and_the_nonce_that_is_demanded() {
    let bench = Bench::start().await;
    let client = bench.account.client().unwrap().at(bench.api.clone());
    let written = client.post("notes").json(&json!({ "text": "hello" })).send().await.unwrap();
    assert_eq!(written.status(), 201);
    let read: Value = client.get("notes").send().await.unwrap().json().await.unwrap();
    assert_eq!(read[0]["text"], "hello");
    assert!(read[0]["by"].as_str().unwrap().starts_with("prn_"), "{read}");
}

#[tokio::test]
async fn what_was_sent_once_opens_nothing_again_with_the_proof_or_without() {
    let bench = Bench::start().await;
    let request = PassRequest::default();
    let identity = bench.account.identity().unwrap();
    let presentable = bench.account.holder().present(&identity, &request, Binding::Key).await.unwrap();
    let headers = presentable.headers("GET", &bench.notes()).unwrap();
    let (authorization, first) = (headers.authorization.expose_text().to_owned(), headers.proof.unwrap());

    let asked = bench.send(&[("authorization", &authorization), ("dpop", &first)]).await;
    assert_eq!(asked.status(), 401);
    let challenge = challenges(&asked);
    assert!(challenge.contains(r#"error="use_dpop_nonce""#), "{challenge}");
    let told = Told::new(401).challenge(&challenge).nonce(header(&asked, "dpop-nonce"));
    assert!(presentable.learn(&told));
    let proof = presentable.headers("GET", &bench.notes()).unwrap().proof.unwrap();
    let good = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(bench.send(&good).await.status(), 200);

    let again = bench.send(&good).await;
    assert_eq!(again.status(), 401);
    assert!(challenges(&again).contains(r#"error="invalid_dpop_proof""#), "{}", challenges(&again));
    let bearer = authorization.replacen("DPoP ", "Bearer ", 1);
    for stolen in [
        &[("authorization", bearer.as_str())][..],
        &[("authorization", &bearer), ("dpop", &proof)],
        &[("authorization", &authorization)],
    ] {
        assert_eq!(bench.send(stolen).await.status(), 401);
    }
    let in_query = format!("{}?access_token={}", bench.notes(), &authorization[5..]);
    assert_eq!(bench.http.get(in_query).send().await.unwrap().status(), 401);
    let elsewhere = presentable.headers("POST", &bench.notes()).unwrap().proof.unwrap();
    assert_eq!(bench.send(&[("authorization", &authorization), ("dpop", &elsewhere)]).await.status(), 401);
}
