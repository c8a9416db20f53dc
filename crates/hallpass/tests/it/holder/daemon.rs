use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::machine::{Home, Machine, Said, in_time, until};

mod cut; // it hears that its session is over
mod locking; // nothing is given out in between
mod short; // one question, and the same answer
mod wiped; // no byte of a token is in its memory

impl Home {
    /// Starts the daemon, and gives its process.
    pub(super) async fn daemon(&self) -> u32 {
        let said = self.run(&["daemon", "start", "--json"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        said.json()["pid"].as_u64().unwrap() as u32
    }

    pub(super) async fn daemon_status(&self) -> Value {
        self.run(&["daemon", "status", "--json"]).await.json()
    }

    /// Asks the daemon as any program may.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let question =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = self.ask_bytes(question.as_bytes()).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// What comes of any bytes at all. An error where it hung up.
    pub(super) async fn ask_bytes(&self, bytes: &[u8]) -> std::io::Result<String> {
        let mut stream = tokio::net::UnixStream::connect(self.socket()).await?;
        stream.write_all(bytes).await?;
        let mut answer = String::new();
        in_time(stream.read_to_string(&mut answer)).await?;
        Ok(answer)
    }

    /// The same command, kept from asking the daemon.
    pub(super) async fn run_without_daemon(&self, arguments: &[&str]) -> Said {
        Said(in_time(self.hallpass(arguments).env("HALLPASS_DAEMON", "off").output()).await.unwrap())
    }
}

#[tokio::test]
async fn the_daemon_starts_says_what_it_holds_and_stops() {
    let machine = Machine::signed_in().await;
    assert_eq!(machine.run(&["daemon", "status"]).await.code(), 1);
    let pid = machine.daemon().await;
    assert_eq!(machine.run(&["daemon", "start", "--json"]).await.json()["started"], false);
    let folder = std::fs::metadata(machine.socket().parent().unwrap()).unwrap();
    let socket = std::fs::metadata(machine.socket()).unwrap();
    assert_eq!((folder.permissions().mode() & 0o777, socket.permissions().mode() & 0o777), (0o700, 0o600));

    let status = machine.daemon_status().await;
    assert_eq!((status["running"].as_bool(), status["pid"].as_u64()), (Some(true), Some(u64::from(pid))));
    let second = machine.run(&["daemon", "run"]).await;
    assert!(second.code() == 70 && second.err().contains("one runs already"), "{}", second.err());

    assert_eq!(machine.run(&["daemon", "stop"]).await.code(), 0);
    assert_eq!(machine.run(&["daemon", "status"]).await.code(), 1);
    assert!(!machine.socket().exists());
    assert_eq!(machine.run(&["daemon", "stop"]).await.code(), 0, "there was nothing to do");
    assert_eq!(machine.run(&["token"]).await.code(), 0, "everything works without it");
}

#[tokio::test]
async fn a_dead_daemon_s_socket_is_no_daemon() {
    let machine = Machine::signed_in().await;
    let pid = machine.daemon().await;
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    until("it is gone", async || UnixStream::connect(machine.socket()).is_err()).await;
    assert!(machine.socket().exists());
    assert_eq!(machine.run(&["token"]).await.code(), 0);
    assert_ne!(machine.daemon().await, pid);
}

#[tokio::test]
async fn the_daemon_hands_out_what_a_command_without_it_would() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    let token = machine.run(&["token"]).await.out();
    assert!(machine.world.accepts(token.trim()).await);
    assert_eq!(machine.run_without_daemon(&["token"]).await.out(), token, "one pass, kept in the record");
    until("it is kept ready", async || {
        assert_eq!(machine.run(&["token", "--resource", NOTES]).await.out(), token);
        machine.daemon_status().await["ready"].as_u64() > Some(0)
    })
    .await;
    let (status, given) = machine.ask("POST", "/v1/token", "{}").await;
    assert_eq!((status, given["access_token"].as_str()), (200, Some(token.trim())));

    let wrong = machine.run(&["token", "--resource", "https://other.example"]).await;
    let alone = machine.run_without_daemon(&["token", "--resource", "https://other.example"]).await;
    assert_eq!((wrong.code(), wrong.err()), (alone.code(), alone.err()), "and says no in the same words");
}

#[tokio::test]
async fn after_a_logout_that_the_daemon_was_not_told_of_it_hands_out_nothing() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    for _ in 0..3 {
        assert_eq!(machine.run(&["token"]).await.code(), 0);
    }
    assert_eq!(machine.run_without_daemon(&["logout"]).await.code(), 0);
    assert_eq!(machine.run(&["token"]).await.code(), 4);
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 401);
}

#[tokio::test]
async fn a_run_has_its_pass_from_the_daemon_and_it_dies_with_the_command() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon"]).await;
    let (child, token) = machine.start_run().await;
    assert!(machine.world.accepts(&token).await);
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
    machine.until_dead(&token).await;
}

#[tokio::test]
async fn what_rests_in_the_daemon_is_nowhere_else_and_ends_with_it() {
    let machine = Machine::new().await;
    let said = machine.login(&["--store", "daemon"]).await;
    assert_eq!(machine.daemon_status().await["held"], 1, "{}", said.err());
    let records = machine.path(".local/state/hallpass");
    assert!(!records.exists(), "nothing is on disk");

    let status = machine.run(&["status", "--json"]).await.json();
    let sign_in = &status["sign_ins"][0];
    assert_eq!((sign_in["key"].as_str(), sign_in["file"].as_str()), (Some("daemon"), None));
    assert_eq!(sign_in["key_lives"], "until the daemon ends");
    assert_eq!(sign_in["stands"], true);
    let token = machine.run(&["token"]).await.out().trim().to_owned();
    assert!(machine.world.accepts(&token).await);

    let stopped = machine.run(&["daemon", "stop", "--json"]).await.json();
    assert_eq!(
        (stopped["ended"][0]["revoked"].as_bool(), stopped["may_be_alive"].as_bool()),
        (Some(true), Some(false))
    );
    assert!(!machine.world.accepts(&token).await, "nobody could have ended it any more");
    assert_eq!(machine.run(&["status"]).await.code(), 4);
}

#[tokio::test]
async fn a_sign_in_that_rests_in_the_daemon_is_signed_out_with_a_receipt() {
    let machine = Machine::new().await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out().trim().to_owned();
    let said = machine.run(&["logout", "--json"]).await;
    let receipt = &said.json()["sign_ins"][0];
    assert_eq!((said.code(), receipt["wiped_key"].as_str()), (0, Some("daemon")), "{receipt}");
    assert_eq!(receipt["revoked"][0], "the session and every pass from it");
    assert!(!machine.world.accepts(&token).await);
    assert_eq!(machine.run(&["token"]).await.code(), 4);
    assert_eq!(machine.daemon_status().await["held"], 0);
}

#[tokio::test]
async fn a_new_login_takes_the_place_of_the_old_wherever_that_rests() {
    let machine = Machine::signed_in().await;
    let first = machine.run(&["token"]).await.out().trim().to_owned();
    machine.login(&["--store", "daemon"]).await;
    assert!(!machine.world.accepts(&first).await, "the one on disk was revoked");
    let second = machine.run(&["token"]).await.out().trim().to_owned();
    assert_eq!(machine.run(&["status", "--json"]).await.json()["sign_ins"].as_array().unwrap().len(), 1);
    machine.login(&[]).await;
    assert!(!machine.world.accepts(&second).await, "the one in the daemon was revoked");
    assert_eq!(machine.daemon_status().await["held"], 0);
    let status = machine.run(&["status", "--json"]).await.json();
    assert_eq!(
        (status["sign_ins"].as_array().unwrap().len(), status["sign_ins"][0]["key"].as_str()),
        (1, Some("passphrase"))
    );
}

#[tokio::test]
async fn a_daemon_of_another_folder_is_not_asked() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    let other = machine.path("other");
    let mut command = machine.hallpass(&["token"]);
    command.env("HALLPASS_STATE_DIR", &other);
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 4, "{}{}", said.out(), said.err());
    let (status, problem) = machine.ask("POST", "/v1/token", &json!({ "state": other }).to_string()).await;
    assert_eq!((status, problem["error"].as_str()), (421, Some("another_state")));
}

/// One question each, as fast as the machine starts them.
const PARALLEL: usize = 1_000;

#[tokio::test]
async fn a_thousand_at_once_cause_one_renewal() {
    let manner = Manner { ours: false, strict: true, says_expires_in: Some(10), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let home = Home::new();
    let said = home.run(&["login", &provider.issuer, "--flow", "device", "--client-id", "mine"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    provider.change(|manner| manner.says_expires_in = Some(300));
    home.daemon().await;

    let token = home.hallpass(&["token"]);
    let token = token.as_std();
    let mut shell = Command::new("sh");
    let all = format!("for n in $(seq {PARALLEL}); do \"$0\" token || echo failed $? & done; wait");
    shell.args(["-c", &all]).arg(token.get_program()).env_clear();
    shell.envs(token.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(shell.output()).await.unwrap());
    let mut tokens: Vec<String> = said.out().lines().map(str::to_owned).collect();
    assert_eq!(tokens.len(), PARALLEL, "{}", said.err());
    tokens.sort();
    tokens.dedup();
    assert_eq!(
        (tokens.len(), provider.asked("refresh_token"), provider.alive()),
        (1, 1, 1),
        "{}",
        said.err()
    );
}

/// SECURITY: every question there is.
#[tokio::test]
async fn no_answer_of_the_daemon_shows_a_refresh_token_or_a_key() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    let said = home
        .run(&["login", &provider.issuer, "--flow", "device", "--store", "daemon", "--resource", NOTES])
        .await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let identity = json!({ "issuer": provider.issuer, "client_id": "hallpass-cli" }).to_string();
    for (method, path, body) in [
        ("GET", "/v1/status", ""),
        ("GET", "/v1/records", ""),
        ("POST", "/v1/token", "{}"),
        ("POST", "/v1/token", "{\"lease\":true}"),
        ("POST", "/v1/records", "{}"),
        ("POST", "/v1/forget", &identity),
        ("POST", "/v1/nothing", "{}"),
        ("POST", "/v1/lock", "{\"passphrase\":\"correct horse\"}"),
        ("POST", "/v1/token", "{}"),
        ("POST", "/v1/unlock", "{\"passphrase\":\"wrong horse\"}"),
        ("POST", "/v1/unlock", "{\"passphrase\":\"correct horse\"}"),
        ("POST", "/v1/logout", &identity),
        ("POST", "/v1/stop", "{}"),
    ] {
        let (status, answer) = home.ask(method, path, body).await;
        let text = answer.to_string();
        // The provider's refresh tokens are `refresh-SESSION-GENERATION`; keys are PKCS#8, which in base64 begins so.
        for secret in ["refresh-", "MIGH", "\"key\"", "\"refresh\""] {
            assert!(!text.contains(secret), "{method} {path} ({status}): {text}");
        }
    }
}

#[tokio::test]
async fn hostile_questions_are_refused_and_the_daemon_goes_on() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    let long = "x".repeat(100 * 1024);
    let deep = "[".repeat(100_000);
    for body in ["", "{", "null", "[]", "{\"issuer\":7}", "{\"unknown\":1}", "\u{0}", &deep] {
        assert_eq!(machine.ask("POST", "/v1/token", body).await.0, 400, "{}", &body[..body.len().min(20)]);
    }
    assert_eq!(machine.ask("POST", "/v1/token", "{\"resource\":\"nowhere\"}").await.0, 400);
    assert_eq!(machine.ask("DELETE", "/v1/token", "").await.0, 400);
    assert_eq!(machine.ask("GET", "/v1/../../etc/passwd", "").await.0, 404);
    for head in [
        "nonsense".to_owned(),
        "POST /v1/token HTTP/9.9".to_owned(),
        "POST /v1/token HTTP/1.1\r\ncontent-length: -1".to_owned(),
        "POST /v1/token HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6".to_owned(),
        format!("GET /v1/status HTTP/1.1\r\nx: {long}"),
        format!("GET /{long} HTTP/1.1"),
    ] {
        let answer = machine.ask_bytes(format!("{head}\r\n\r\n").as_bytes()).await.unwrap_or_default();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{}: {answer}",
            &head[..20.min(head.len())]
        );
    }
    // A question that says it is endless is not waited for to its end.
    let endless = "POST /v1/token HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n";
    let refused = machine.ask_bytes(&[endless.as_bytes(), &vec![b' '; 2 * 1024 * 1024]].concat()).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.starts_with("HTTP/1.1 400")));
    // Those that connect and say nothing are hung up on.
    let mut silent = UnixStream::connect(machine.socket()).unwrap();
    let half = UnixStream::connect(machine.socket()).unwrap();
    half.shutdown(Shutdown::Both).unwrap();
    let mut nothing = Vec::new();
    let hung_up = tokio::task::spawn_blocking(move || silent.read_to_end(&mut nothing));
    assert_eq!(machine.run(&["token"]).await.code(), 0);
    let _ = in_time(hung_up).await.unwrap();
    assert_eq!(machine.run(&["token"]).await.code(), 0);
}

/// Somebody who is not root.
const NOBODY: u32 = 65_534;

/// SECURITY: the folder and the socket are opened to everybody here, so that the kernel's word alone is left.
#[tokio::test]
async fn another_user_gets_no_word_though_the_socket_were_open() {
    let machine = Machine::signed_in().await;
    machine.daemon().await;
    if rustix::process::getuid().as_raw() != 0 {
        return; // there is nobody else we could be
    }
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(machine.socket().parent().unwrap(), 0o711);
    open(&machine.socket(), 0o666);
    let asked = async |uid| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--unix-socket"]).arg(machine.socket()).args(["-d", "{}", "http://x/v1/token"]);
        Said(in_time(curl.uid(uid).output()).await.unwrap())
    };
    let other = asked(NOBODY).await;
    assert_eq!((other.code() == 0, other.out().as_str()), (false, ""));
    assert!(asked(0).await.out().contains("access_token"));
}

#[tokio::test]
async fn a_login_is_refused_before_anybody_is_asked_where_there_is_no_daemon_to_rest_in() {
    let machine = Machine::new().await;
    let mut command =
        machine.hallpass(&["login", &machine.world.issuer_url, "--flow", "device", "--store", "daemon"]);
    command.env("HALLPASS_DAEMON", "off");
    let said = Said(in_time(command.output()).await.unwrap());
    assert!(said.code() == 70 && said.err().contains("it is turned off"), "{}", said.err());
    assert_eq!(machine.world.issuer.held_polls(), 0);
}

#[tokio::test]
async fn a_daemon_that_is_wanted_always_is_started_by_the_first_who_asks() {
    let machine = Machine::signed_in().await;
    let mut command = machine.hallpass(&["token"]);
    command.env("HALLPASS_DAEMON", "on");
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(machine.daemon_status().await["running"], true);
}
