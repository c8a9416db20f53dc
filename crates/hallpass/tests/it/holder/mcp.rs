//! A remote MCP server, for a local agent that never sees the token. Client and server are the public SDK's (npm).

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::helpers::interop::interop;
use super::machine::{Machine, Said, in_time, until};

/// A program that speaks JSON, a value a line.
struct Spoken {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Spoken {
    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    /// One of `tests/interop`, told what to do; `None` where `make test` has not put it there.
    async fn start(program: &str, job: &Value) -> Option<Self> {
        let (node, program) = (interop("node")?, interop(program)?);
        interop("node_modules/@modelcontextprotocol/client")?;
        let mut command = Command::new(node);
        command.arg(program);
        let mut started = Self::of(command);
        started.tell(&job.to_string()).await;
        Some(started)
    }

    async fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Option<Value> {
        let line = in_time(self.output.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    }

    /// All that it says until it ends.
    async fn hear_all(mut self) -> (Vec<Value>, String) {
        let mut all = Vec::new();
        while let Some(said) = self.hear().await {
            all.push(said);
        }
        drop(self.input.take());
        let said = Said(in_time(self.child.wait_with_output()).await.unwrap());
        (all, said.err())
    }
}

/// The SDK's server, and what it took.
struct Server {
    origin: String,
    took: Arc<Mutex<Vec<Value>>>,
    _process: Arc<tokio::sync::Mutex<Option<Child>>>,
}

impl Server {
    /// One that takes tokens of this issuer.
    async fn start(issuer: &str) -> Option<Self> {
        let jwks = format!("{issuer}/jwks");
        let mut started = Spoken::start("mcp-server.mjs", &json!({ "issuer": issuer, "jwks": jwks })).await?;
        let origin = started.hear().await.unwrap()["url"].as_str().unwrap().to_owned();
        let took: Arc<Mutex<Vec<Value>>> = Arc::default();
        let noting = took.clone();
        let Spoken { child, input, mut output } = started;
        tokio::spawn(async move {
            let _input = input;
            while let Ok(Some(line)) = output.next_line().await {
                noting.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Some(Self { origin, took, _process: Arc::new(tokio::sync::Mutex::new(Some(child))) })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    fn requests(&self) -> Vec<Value> {
        self.took.lock().unwrap().iter().map(|said| said["request"].clone()).collect()
    }
}

/// Somebody signed in for the server's API, and the server.
async fn signed_in(path: &str) -> Option<(Machine, Server)> {
    let machine = Machine::new().await;
    let server = Server::start(&machine.world.issuer_url).await?;
    let resource = server.at(path);
    machine.world.add_resource(&resource, "notes:read", None).await;
    machine.login(&["--resource", &resource]).await;
    Some((machine, server))
}

/// What the SDK's client says that has `hallpass mcp-proxy` for a local server.
async fn through_proxy(machine: &Machine, arguments: &[&str], job: Value) -> (Vec<Value>, String) {
    let command = machine.hallpass(&[&["mcp-proxy"][..], arguments].concat());
    let command = command.as_std();
    let text = |text: &std::ffi::OsStr| text.to_str().unwrap().to_owned();
    let environment: serde_json::Map<String, Value> = command
        .get_envs()
        .filter_map(|(name, value)| Some((text(name), Value::from(text(value?)))))
        .collect();
    let mut job = job;
    job["command"] = text(command.get_program()).into();
    job["args"] = command.get_args().map(text).collect();
    job["env"] = environment.into();
    Spoken::start("mcp-client.mjs", &job).await.unwrap().hear_all().await
}

fn result<'a>(heard: &'a [Value], name: &str) -> &'a Value {
    let found = heard.iter().find(|said| said["name"] == name);
    &found.unwrap_or_else(|| panic!("no result of {name}: {heard:?}"))["result"]
}

#[tokio::test]
async fn an_agent_calls_tools_of_a_remote_server_by_either_revision() {
    for (revision, path) in [("modern", "/mcp"), ("legacy", "/mcp"), ("legacy", "/old")] {
        let Some((machine, server)) = signed_in(path).await else { return };
        let calls = json!([{ "name": "whoami" }, { "name": "region", "arguments": { "region": "café" } }, { "name": "slow" }]);
        let job = json!({ "revision": revision, "calls": calls, "linger": 300 });
        let (heard, errors) = through_proxy(&machine, &[&server.at(path)], job).await;
        assert_eq!(result(&heard, "whoami")["sub"], machine.world.ada.to_string(), "{heard:?} {errors}");
        assert_eq!(result(&heard, "region")["region"], "café");
        assert_eq!(result(&heard, "slow")["slow"], true);
        assert!(heard.iter().any(|said| said["progress"] == 1), "{heard:?}");
        let requests = server.requests();
        let posted = requests.iter().filter(|request| request["method"] == "POST").collect::<Vec<_>>();
        let tools = |request: &&&Value| request["mcp"]["mcp-name"] == "region";
        match revision {
            "modern" => {
                let call = posted.iter().find(tools).unwrap_or_else(|| panic!("{requests:?}"));
                assert_eq!(call["mcp"]["mcp-param-region"], "=?base64?Y2Fmw6k=?=");
            }
            _ => assert!(!posted.iter().any(|request| request["mcp"]["mcp-method"].is_string())),
        }
        if path == "/old" {
            let of_session = |method: &str| {
                requests.iter().any(|request| {
                    request["method"] == method && request["mcp"]["mcp-session-id"].is_string()
                })
            };
            assert!(of_session("GET") && of_session("DELETE"), "{requests:?}");
            assert!(
                heard.iter().any(|said| said["notified"] == "notifications/tools/list_changed"),
                "{heard:?}"
            );
        }
    }
}

/// SECURITY: not even where the server is careless.
#[tokio::test]
async fn the_token_reaches_the_server_and_never_the_agent() {
    let Some((machine, server)) = signed_in("/mcp").await else { return };
    let job = json!({ "revision": "modern", "calls": [{ "name": "repeat" }] });
    let (heard, errors) = through_proxy(&machine, &[&server.at("/mcp")], job).await;
    let sent = result(&heard, "repeat")["sent"].as_str().unwrap_or_else(|| panic!("{heard:?} {errors}"));
    assert!(sent.len() > 100 && sent.bytes().all(|byte| byte == b'*'), "{sent}");
    assert!(!format!("{heard:?}{errors}").contains("eyJ"), "{heard:?}{errors}");
    let posts = server.requests().into_iter().filter(|request| request["method"] == "POST");
    let with_token =
        |request: &Value| request["headers"].as_array().unwrap().iter().any(|name| name == "authorization");
    assert!(posts.collect::<Vec<_>>().iter().all(with_token));
}

#[tokio::test]
async fn an_agents_run_is_in_the_token_and_ends_with_the_proxy() {
    let Some((machine, server)) = signed_in("/mcp").await else { return };
    let said = machine.run(&["agents", "add", "coder", "--kind", "coding", "--scope", "notes:read"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let url = server.at("/mcp");
    let arguments = ["--agent", "coder", "--purpose", "read notes", "--scope", "notes:read", url.as_str()];
    let job = json!({ "revision": "modern", "calls": [{ "name": "whoami" }] });
    let (heard, errors) = through_proxy(&machine, &arguments, job).await;
    let who = result(&heard, "whoami");
    assert!(who["act"]["sub"].as_str().unwrap_or_default().starts_with("agt_"), "{who} {errors}");
    until("the run is over", async || machine.run(&["agents", "--json"]).await.json()["runs"] == json!([]))
        .await;
    let bare = machine.run(&["mcp-proxy", "--agent", "coder", &url]).await;
    assert_eq!(bare.code(), 2, "an agent says what for: {}", bare.err());
}

/// A server of our own making: it answers as the test says, and keeps what came.
#[derive(Clone)]
struct Odd {
    origin: String,
    metadata: Value,
    answer: Arc<dyn Fn(&Value) -> Response + Send + Sync>,
    tokens: Arc<Mutex<Vec<String>>>,
    /// Where streams were taken up again.
    resumed: Arc<Mutex<Vec<String>>>,
}

impl Odd {
    async fn start(
        metadata: impl FnOnce(&str) -> Value,
        answer: impl Fn(&Value) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let odd = Self {
            metadata: metadata(&origin),
            origin,
            answer: Arc::new(answer),
            tokens: Arc::default(),
            resumed: Arc::default(),
        };
        let router = Router::new().fallback(odd_answer).with_state(odd.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        odd
    }

    fn url(&self) -> String {
        format!("{}/mcp", self.origin)
    }
}

async fn odd_answer(State(odd): State<Odd>, request: Request) -> Response {
    if let Some(token) = request.headers().get(AUTHORIZATION) {
        odd.tokens.lock().unwrap().push(token.to_str().unwrap().to_owned());
    }
    if let Some(id) = request.headers().get("last-event-id") {
        odd.resumed.lock().unwrap().push(id.to_str().unwrap().to_owned());
    }
    if request.uri().path().starts_with("/.well-known/") {
        return match odd.metadata.is_null() {
            true => StatusCode::NOT_FOUND.into_response(),
            false => odd.metadata.to_string().into_response(),
        };
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    (odd.answer)(&serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn ok(message: &Value) -> Response {
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "tools": [] } });
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// SECURITY: a token of one issuer is never sent to a server of another's, nor one for another API to this one.
#[tokio::test]
async fn a_server_that_takes_other_tokens_gets_none() {
    let machine = Machine::signed_in().await;
    let ours = machine.world.issuer_url.clone();
    let cases: [(Value, &str); 4] = [
        (json!({ "authorization_servers": ["https://id.elsewhere.example"] }), "takes tokens of"),
        // By the byte: not even a slash more.
        (json!({ "authorization_servers": [format!("{ours}/")] }), "takes tokens of"),
        (
            json!({ "resource": "https://bank.example/api", "authorization_servers": [ours] }),
            "not of this server",
        ),
        (json!({ "resource": 7 }), "not of this server"),
    ];
    for (metadata, told) in cases {
        let odd = Odd::start(
            |origin| {
                let mut whole = json!({ "resource": format!("{origin}/mcp") });
                metadata.as_object().unwrap().iter().for_each(|(name, value)| whole[name] = value.clone());
                whole
            },
            ok,
        )
        .await;
        let said = machine.run(&["mcp-proxy", &odd.url()]).await;
        assert_eq!((said.code(), said.out().as_str()), (5, ""), "{}", said.err());
        assert!(said.err().contains(told) && said.err().contains("hint:"), "{}", said.err());
        assert!(odd.tokens.lock().unwrap().is_empty(), "no token was sent");
    }
    // Not even where a configuration says so, which may be anybody's.
    let odd = Odd::start(|_| Value::Null, ok).await;
    let said = machine.run(&["mcp-proxy", "--resource", hallpass_testkit::world::NOTES, &odd.url()]).await;
    assert_eq!(said.code(), 5, "{}", said.err());
    assert!(
        said.err().contains("is not sent there") && odd.tokens.lock().unwrap().is_empty(),
        "{}",
        said.err()
    );
    let silent = Odd::start(|_| Value::Null, ok).await;
    let said = machine.run(&["mcp-proxy", &silent.url()]).await;
    assert_eq!(said.code(), 2, "{}", said.err());
    assert!(
        said.err().contains("reaches no API") && silent.tokens.lock().unwrap().is_empty(),
        "{}",
        said.err()
    );
}

/// Whoever waits hears why there is no answer, and the proxy goes on.
#[tokio::test]
async fn what_goes_wrong_is_an_answer_and_not_the_end() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let odd = Odd::start(
        |origin| json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [issuer] }),
        |message| match message["method"].as_str().unwrap_or_default() {
            "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "away" => (StatusCode::FOUND, [("location", "https://evil.example/")]).into_response(),
            "text" => "hello".into_response(),
            "cut" => ([(CONTENT_TYPE, "text/event-stream")], "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n")
                .into_response(),
            "scope" => {
                let challenge = "Bearer error=\"insufficient_scope\", scope=\"notes:write\"";
                (StatusCode::FORBIDDEN, [(WWW_AUTHENTICATE, challenge)]).into_response()
            }
            "older" => {
                let challenge = "Bearer error=\"insufficient_user_authentication\"";
                (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
            }
            "own" => {
                let own = json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32601, "message": "none" } });
                (StatusCode::BAD_REQUEST, own.to_string()).into_response()
            }
            _ => ok(message),
        },
    )
    .await;
    machine.world.add_resource(&odd.url(), "notes:read", None).await;
    machine.login(&["--resource", &odd.url()]).await;
    let mut proxy = Spoken::of(machine.hallpass(&["mcp-proxy", &odd.url()]));
    for line in ["no json", "", "7", "\u{0}"] {
        proxy.tell(line).await;
    }
    let cases = [
        ("broken", "status 500"),
        ("away", "sends elsewhere"),
        ("text", "neither JSON nor a stream"),
        ("scope", "`notes:write`"),
        ("older", "--step-up"),
    ];
    for (n, (method, told)) in cases.into_iter().enumerate() {
        proxy.tell(&json!({ "jsonrpc": "2.0", "id": n, "method": method }).to_string()).await;
        let answer = proxy.hear().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(n), &json!(-32000)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{answer}");
    }
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": "a", "method": "own" }).to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["error"]["code"], -32601);
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": "b", "method": "cut" }).to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["method"], "x");
    let answer = proxy.hear().await.unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().contains("without the answer"), "{answer}");
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/list" }).to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["result"], json!({ "tools": [] }));
    drop(proxy.input.take());
    let said = Said(in_time(proxy.child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
}

#[tokio::test]
async fn a_sign_in_that_ends_is_an_answer_to_whoever_waits() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let odd = Odd::start(
        |origin| json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [issuer] }),
        |_| {
            let challenge = "Bearer error=\"invalid_token\"";
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response()
        },
    )
    .await;
    machine.world.add_resource(&odd.url(), "notes:read", None).await;
    machine.login(&["--resource", &odd.url()]).await;
    let mut proxy = Spoken::of(machine.hallpass(&["mcp-proxy", &odd.url()]));
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string()).await;
    let answer = proxy.hear().await.unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().contains("does not take this token"), "{answer}");
    let tokens = odd.tokens.lock().unwrap().clone();
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "another was tried, once");
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }).to_string()).await;
    until("it says that nobody is signed in", async || {
        let answer = proxy.hear().await.unwrap();
        answer["id"] == 2 && answer["error"]["message"].as_str().unwrap().contains("hallpass login")
    })
    .await;
}

/// An agent in a hurry: its input stays open, and the proxy goes all the same, and tells the server.
#[tokio::test]
async fn a_proxy_that_is_told_to_go_goes_though_its_input_is_open() {
    let Some((machine, server)) = signed_in("/old").await else { return };
    let mut proxy = Spoken::of(machine.hallpass(&["mcp-proxy", &server.at("/old")]));
    let begin = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } },
    });
    proxy.tell(&begin.to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["id"], 1);
    let pid = rustix::process::Pid::from_raw(i32::try_from(proxy.child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = in_time(proxy.child.wait()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    until("the server knows that the session is over", async || {
        server.requests().iter().any(|request| request["method"] == "DELETE")
    })
    .await;
}

/// A proxy to an odd server, for somebody who is signed in for it.
async fn proxy_to(answer: impl Fn(&Value) -> Response + Send + Sync + 'static) -> (Machine, Odd, Spoken) {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let says =
        |origin: &str| json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [issuer] });
    let odd = Odd::start(says, answer).await;
    machine.world.add_resource(&odd.url(), "notes:read", None).await;
    machine.login(&["--resource", &odd.url()]).await;
    let proxy = Spoken::of(machine.hallpass(&["mcp-proxy", &odd.url()]));
    (machine, odd, proxy)
}

fn events(text: String) -> Response {
    ([(CONTENT_TYPE, "text/event-stream")], text).into_response()
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_taken_up_where_it_was() {
    let (_machine, odd, mut proxy) = proxy_to(|message| match message.is_null() {
        false => events("id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n".into()),
        // Only the stream that goes on has no message in it.
        true => events("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\n\n".into()),
    })
    .await;
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["method"], "x");
    assert_eq!(proxy.hear().await.unwrap()["result"], json!({ "tools": [] }));
    assert_eq!(*odd.resumed.lock().unwrap(), ["7"]);
}

/// MCP, 2026-07-28: the end of the answer's stream says that nobody waits for it any more.
#[tokio::test]
async fn a_call_that_is_called_off_is_let_go_of_at_the_server() {
    /// Says when it is gone.
    struct Gone(Arc<Mutex<bool>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let (gone, heard) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (is_gone, hears) = (gone.clone(), heard.clone());
    let (_machine, _odd, mut proxy) = proxy_to(move |message| {
        hears.lock().unwrap().push(message["method"].clone());
        if message["method"] != "tools/call" {
            return ok(message);
        }
        let guard = Gone(is_gone.clone());
        let first = "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n";
        let begun = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(first) });
        let never = futures_util::stream::once(async move {
            let _guard = guard;
            std::future::pending().await
        });
        let body = axum::body::Body::from_stream(futures_util::StreamExt::chain(begun, never));
        ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
    })
    .await;
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let call = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": { "name": "n", "_meta": meta } });
    proxy.tell(&call.to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["method"], "x", "it is under way");
    let off = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    proxy.tell(&off.to_string()).await;
    until("the server sees it end", async || *gone.lock().unwrap()).await;
    proxy.tell(&json!({ "jsonrpc": "2.0", "id": 6, "method": "ping" }).to_string()).await;
    assert_eq!(proxy.hear().await.unwrap()["id"], 6, "nothing else came of the one that was called off");
    assert!(!heard.lock().unwrap().contains(&json!("notifications/cancelled")));
}
