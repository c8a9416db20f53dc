//! `hallpass assess`, of a tool that does everything wrong, of one that does everything right, and of ourselves.

use std::sync::Arc;

use hallpass_model::jose::base64url;
use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::behind::{Api, Vouching};
use super::machine::{Home, Machine, Said, in_time};
use super::network::{authority, behind_tls};

/// The answer to one question.
fn answer<'a>(all: &'a Value, words: &str) -> &'a Value {
    let answers = all["answers"].as_array().unwrap();
    answers.iter().find(|one| one["question"].as_str().unwrap().contains(words)).unwrap()
}

/// Asserts a verdict, with these words in its evidence.
#[track_caller]
fn assert_answer(all: &Value, words: &str, verdict: &str, evidence: &[&str]) {
    let answer = answer(all, words);
    assert_eq!(answer["verdict"], verdict, "{answer}");
    let said = answer["evidence"].to_string();
    evidence.iter().for_each(|words| assert!(said.contains(words), "`{words}` is not in {said}"));
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/notes", listener.local_addr().unwrap());
    (listener, url)
}

/// The token of a request, and the connection to answer on.
async fn asked(listener: &TcpListener) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = vec![0u8; 16 * 1024];
    let len = stream.read(&mut request).await.unwrap();
    let head = String::from_utf8_lossy(&request[..len]).into_owned();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
    (line.and_then(|line| line.rsplit_once(' ')).map_or("", |(_, token)| token).to_owned(), stream)
}

async fn answers(mut stream: TcpStream, good: bool) {
    let status = if good { "200 OK" } else { "401 Unauthorized" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A signed token, as far as anybody looks: nobody verifies it here.
fn signed(claims: Value) -> String {
    let part = |value: Value| base64url::render(value.to_string().as_bytes());
    let signature = base64url::render(b"a signature, as far as anybody looks");
    format!("{}.{}.{signature}", part(json!({ "alg": "ES256", "typ": "at+jwt" })), part(claims))
}

async fn assess(home: &Home, arguments: &[&str]) -> Said {
    Said(in_time(home.hallpass(arguments).output()).await.unwrap())
}

#[tokio::test]
async fn a_tool_that_does_everything_wrong_fails_every_question_with_the_evidence() {
    let home = Home::new();
    let (listener, api) = listen().await;
    tokio::spawn(async move {
        loop {
            let (_, stream) = asked(&listener).await;
            answers(stream, true).await;
        }
    });
    let access = signed(
        json!({ "iss": "https://id", "org": "acme", "iat": 1, "exp": 99_999_999, "scope": "notes:read *" }),
    );
    let refresh = "rt-canary-0123456789abcdef";
    let tokens = home.path("tokens.json");
    std::fs::write(&tokens, json!({ "access_token": access, "refresh_token": refresh }).to_string()).unwrap();
    let tool = home.path("badtool");
    // Without a terminal it waits for somebody, and says nothing. A file of it is named by the token that is in it.
    let script = format!(
        "[ -t 0 ] || exec sleep 1000; cp {tokens} ~/.badtool; chmod 644 ~/.badtool; \
         R=$(sed 's/.*refresh_token\":\"\\([^\"]*\\).*/\\1/' ~/.badtool); echo access_token=$R > ~/$R; \
         sh -c 'sleep 1' badtool --refresh-token $R; echo \"debug: refresh_token=$R\"; exit 3",
        tokens = tokens.display()
    );
    std::fs::write(&tool, script).unwrap();
    // Without a network it takes its sign-in for dead, and forgets it.
    let token = format!(
        "curl -s --noproxy '*' {api} > /dev/null || rm ~/.badtool; test -e ~/.badtool && echo {access}"
    );
    let print = format!("echo {access}");
    let arguments = [
        &["assess", "--json", "--api", &api, "--logout", "true", "--token", &token, "--scope", "notes:read"]
            [..],
        &["--bites-within", "1", "--headless-within", "12", "--tenant", &print, "--tenant", &print],
        &["--", "sh", tool.to_str().unwrap()],
    ]
    .concat();
    let said = assess(&home, &arguments).await;
    assert_eq!(said.code(), 1, "{}", said.err());
    let all = said.json();
    assert_eq!((all["schema"].as_str(), all["passes"].as_bool()), (Some("hallpass.assess/1"), Some(false)));
    assert_answer(&all, "ephemeral", "fail", &["lives 99999998 s"]);
    let seen = [".badtool holds its refresh token", "mode 0644: everyone may read it", "an argument list"];
    assert_answer(&all, "refresh token safe", "fail", &seen);
    assert_answer(
        &all,
        "scope fit",
        "fail",
        &["1 were not asked for", "means everything", "no API in particular"],
    );
    assert_answer(&all, "revocation", "fail", &["still took the token"]);
    assert_answer(&all, "logs show", "fail", &["printed its refresh token"]);
    assert_answer(&all, "without a display", "fail", &["ended with 3"]);
    assert_answer(&all, "without a terminal", "fail", &["waited for somebody", "nothing at all"]);
    let cut = ["by a network namespace", "no word of why", "it was no longer signed in"];
    assert_answer(&all, "network is cut", "fail", &cut);
    assert_answer(&all, "tenants", "fail", &["the same tenant"]);
    assert!(said.out().contains("[a token] holds its"), "{}", said.out());
    assert!(!said.out().contains(refresh) && !said.out().contains(&access), "no verdict shows a token");
}

#[tokio::test]
async fn a_tool_that_does_everything_right_passes_every_question() {
    let home = Home::new();
    let (listener, api) = listen().await;
    let (out, log) = (home.path("signed-out"), home.path("log"));
    std::fs::write(&log, "").unwrap();
    let (is_out, logs) = (out.clone(), log.clone());
    tokio::spawn(async move {
        loop {
            let (_, stream) = asked(&listener).await;
            if is_out.exists() {
                let mut line = std::fs::read_to_string(&logs).unwrap();
                line.push_str("refused: a token that was revoked\n");
                std::fs::write(&logs, line).unwrap();
            }
            answers(stream, !is_out.exists()).await;
        }
    });
    let of = |org: &str| {
        let now = super::machine::now().seconds();
        let claims = json!({ "iss": "https://id", "org": org, "iat": now, "exp": now + 300, "scope": "notes:read",
            "aud": "https://notes.example" });
        format!("echo {}", signed(claims))
    };
    let (ours, theirs) = (of("acme"), of("globex"));
    let (logout, log) = (format!("touch {}", out.display()), format!("cat {}", log.display()));
    let arguments = [
        &["assess", "--json", "--api", &api, "--logout", &logout, "--token", &ours, "--scope", "notes:read"]
            [..],
        &["--log", &log, "--tenant", &ours, "--tenant", &theirs, "--"],
        &["sh", "-c", "echo open https://id.example/device; echo sealed > ~/.kept"],
    ]
    .concat();
    let said = assess(&home, &arguments).await;
    let all = said.json();
    for (words, evidence) in [
        ("ephemeral", "lives 300 s"),
        ("refresh token safe", "no token was seen in 1 files"),
        ("scope fit", "notes:read"),
        ("revocation", "the API refused the token"),
        ("logs show", "new lines in the log"),
        ("without a display", "ended with 0"),
        ("without a terminal", "ended with 0"),
        ("network is cut", "when the network was back, it handed one out"),
        ("tenants", "each command got its own"),
    ] {
        assert_answer(&all, words, "pass", &[evidence]);
    }
    assert_eq!((said.code(), all["answers"].as_array().unwrap().len()), (0, 9), "{all}");
}

/// TLS is opened by certificates that the tool is told to trust, as every program is; what its issuer says of a token that is
/// not to be read is how long it lives and how far it reaches.
#[tokio::test]
async fn what_goes_over_tls_is_seen_where_the_tool_trusts_what_its_environment_names() {
    let (home, vouching) = (Home::new(), Vouching::new());
    let api = Api::start_with(Some(&vouching), Arc::new(|_| true)).await;
    std::fs::write(home.path("api.pem"), &vouching.pem).unwrap();
    let assess = async |script: String| {
        let mut command = home.hallpass(&["assess", "--json", "--", "sh", "-c", &script]);
        command.env("HALLPASS_CA_FILE", home.path("api.pem"));
        Said(in_time(command.output()).await.unwrap())
    };
    let origin = &api.origin;
    let keeps = format!("curl -sS {origin}/token > ~/kept && chmod 640 ~/kept");
    let all = assess(keeps).await.json();
    assert_answer(&all, "ephemeral", "pass", &["lives 300 s"]);
    assert_answer(&all, "scope fit", "not-testable", &["reaches as far as `notes:read`", "--scope"]);
    let kept = ["kept holds its refresh token in the clear, with mode 0640: its group may read it"];
    assert_answer(&all, "refresh token safe", "fail", &kept);

    let tells = format!("curl -sS '{origin}/notes?access_token=opaque-access-0123456789'; echo > ~/kept");
    let all = assess(tells).await.json();
    assert_answer(&all, "logs show", "fail", &["its access token in an address"]);
    assert!(
        api.seen().iter().any(|seen| seen.path.starts_with("/notes?access_token=")),
        "it went on to the API"
    );
    assert!(!all.to_string().contains("opaque-access"), "{all}");

    // One that trusts certificates of its own is run again, and left alone.
    let pem = home.path("api.pem");
    let pinned = format!("curl -sS --cacert {} {origin}/token > /dev/null && echo > ~/kept", pem.display());
    let said = assess(pinned).await;
    let all = said.json();
    let why = format!("certificates of its own at {}", origin.trim_start_matches("https://"));
    assert_answer(&all, "ephemeral", "not-testable", &[&why]);
    assert_answer(&all, "scope fit", "not-testable", &[&why]);
    assert_answer(&all, "without a display", "pass", &["ended with 0"]);
    assert!(said.err().contains("did not trust the certificates"), "{}", said.err());

    let around = format!("curl -sS -k --noproxy '*' {origin}/token > /dev/null; echo > ~/kept");
    let all = assess(around).await.json();
    assert_answer(&all, "ephemeral", "not-testable", &["nothing of it went by the proxy"]);
}

#[tokio::test]
async fn what_cannot_be_seen_is_not_testable_and_why() {
    let home = Home::new();
    let said = assess(&home, &["assess", "--json", "--", "true"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let all = said.json();
    for (words, why) in [
        ("ephemeral", "no access token was seen"),
        ("refresh token safe", "it kept nothing"),
        ("scope fit", "no access token was seen"),
        ("revocation", "--api"),
        ("logs show", "--log"),
        ("tenants", "--tenant"),
    ] {
        assert_answer(&all, words, "not-testable", &[why]);
    }
    assert_answer(&all, "without a display", "pass", &["ended with 0"]);
    assert_answer(&all, "network is cut", "not-testable", &["it asked nobody"]);
}

/// What goes over plain HTTP is seen; a token in an answer is known by its name, and found again where it was put.
#[tokio::test]
async fn a_token_that_only_the_wire_shows_is_recognised_in_a_file() {
    let home = Home::new();
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (_, mut stream) = asked(&listener).await;
        let body = "{\"refresh_token\": \"opaque-0123456789abcdef\"}";
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let script = format!(
        "curl -s --noproxy '' {url} | sed 's/[^0-9a-z-]*\\(opaque-[0-9a-f]*\\).*/\\1/; s/.*opaque/opaque/' > kept"
    );
    let said = assess(&home, &["assess", "--json", "--", "sh", "-c", &script]).await;
    assert_answer(&said.json(), "refresh token safe", "fail", &["kept holds its refresh token in the clear"]);
}

/// Ourselves under it, signing in to an issuer, with a person who approves.
async fn of_ourselves(machine: &Machine, issuer: &str, more: &[&str]) -> Value {
    let ours = env!("CARGO_BIN_EXE_hallpass");
    let (token, passphrase) = (format!("{ours} token"), machine.path("passphrase"));
    let file = format!("HALLPASS_PASSPHRASE_FILE={}", passphrase.display());
    let arguments = [
        &["assess", "--json", "--token", &token, "--scope", "notes:read"][..],
        more,
        &["--env", "HALLPASS_STORE=passphrase", "--env", &file, "--"],
        &[ours, "login", issuer, "--flow", "device", "--resource", NOTES, "--scope", "notes:read"],
    ]
    .concat();
    let mut command = machine.hallpass(&arguments);
    command.env("HALLPASS_CA_FILE", authority());
    let mut child = command.spawn().unwrap();
    let (mut stderr, mut said, mut chunk) = (child.stderr.take().unwrap(), String::new(), [0u8; 4096]);
    let code = loop {
        let len = in_time(stderr.read(&mut chunk)).await.unwrap();
        assert_ne!(len, 0, "no code: {said}");
        said.push_str(&String::from_utf8_lossy(&chunk[..len]));
        let Some((_, after)) = said.split_once("Enter  ") else { continue };
        // On a terminal it stands out: what makes it so is no part of it.
        let plain = after.replace("\x1b[1m", "").replace("\x1b[0m", "");
        if let Some((code, _)) = plain.split_once(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            break code.to_owned();
        }
    };
    machine.world.answer_device(&code, machine.world.ada, Answer::Yes).await;
    tokio::spawn(async move { while let Ok(1..) = stderr.read(&mut chunk).await {} });
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    let all = said.json();
    assert_eq!((said.code(), all["passes"].as_bool()), (0, Some(true)), "{all}");
    assert_answer(&all, "ephemeral", "pass", &["lives 300 s"]);
    assert_answer(&all, "refresh token safe", "pass", &["no token was seen in"]);
    assert_answer(&all, "scope fit", "pass", &["notes:read"]);
    assert_answer(&all, "without a display", "pass", &["an address to open elsewhere"]);
    assert_answer(&all, "without a terminal", "pass", &["an address to open elsewhere, and waited"]);
    assert_answer(&all, "network is cut", "pass", &["when the network was back, it handed one out"]);
    all
}

#[tokio::test]
async fn hallpass_itself_passes_at_its_own_issuer_and_its_revocation_bites() {
    let machine = Arc::new(Machine::new().await);
    let (listener, api) = listen().await;
    let asks = machine.clone();
    let serves = tokio::spawn(async move {
        loop {
            let (token, stream) = asked(&listener).await;
            answers(stream, asks.world.accepts(&token).await).await;
        }
    });
    let logout = format!("{} logout", env!("CARGO_BIN_EXE_hallpass"));
    let issuer = machine.world.issuer_url.clone();
    let all = of_ourselves(&machine, &issuer, &["--logout", &logout, "--api", &api]).await;
    assert_answer(&all, "revocation", "pass", &["signing out left with 0", "the API refused the token 0."]);
    serves.abort();
}

/// Its TLS is opened, so its refresh token is known when its files are looked into.
#[tokio::test]
async fn hallpass_itself_passes_where_all_that_it_says_under_tls_is_read() {
    let machine = Machine::new().await;
    let issuer = behind_tls(&machine).await;
    of_ourselves(&machine, &issuer, &[]).await;
}
