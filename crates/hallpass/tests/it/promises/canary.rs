//! The whole story with the real programs, and then a search for every secret of it where it does not belong.

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::jose::{SigningKey, base64url, pkcs8_from_pem};
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::oauth::{DeviceAuthorization, TokenResponse};
use hallpass_testkit::client::{encode, send};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::browser::{self, Known};
use super::client::{Answer, Client};
use super::processes::{Lookout, Shown};
use super::record;
use super::scanner::{Scanner, written};
use super::server::{DEADLINE, MARK, PROGRAM, Server, finished, free_port, text, word};
use super::tap::{Port, Tap};

/// The name of the thread that panics on purpose.
const PANICS: &str = "panics with secrets in hand";
const NOTES: &str = "https://notes.example/";

/// Design: the server keeps no bearer secret it could leak, the holder keeps no plaintext at rest.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_anywhere_but_where_it_belongs() {
    let lookout = Lookout::begin();
    let mut story = Story::begin().await;
    story.the_operator_sets_up().await;
    story.ada_logs_in().await;
    let child = story.ada_runs_a_command(&lookout).await;
    story.ada_asks_for_a_token_and_makes_mistakes().await;
    story.grace_logs_in_with_her_browser().await;
    story.the_api_asks_about_a_token().await;
    story.somebody_else_goes_wrong().await;
    story.a_program_registers_itself().await;
    story.somebody_reports_what_they_found().await;
    story.everything_is_written_down().await;
    story.learn_from_the_wire();
    story.learn_from_forms();
    story.learn_the_holder_s_keys();
    story.everything_that_was_heard_panics();
    let mut found = story.search_files("while it runs");
    story.ada_logs_out().await;

    // The server dies as badly as it can. The core of a process that can be dumped would lie in the folder.
    let ended = story.server.end(Signal::ABORT).await;
    assert!(!ended.core_dumped(), "the server's memory was written to disk");
    let cores: Vec<_> = files(&story.folder).into_iter().filter(|file| is_core(file)).collect();
    assert!(cores.is_empty(), "{cores:?}");

    story.learn_from_the_wire();
    found.extend(story.search_files("when it is over"));
    found.extend(story.search_what_was_said());
    found.extend(story.search_processes(lookout.end(), child));
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "secrets were found where they do not belong:\n  {}", found.join("\n  "));
}

/// What finds nothing must be able to find: each way of writing a secret, in one line of a real log.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_leak_makes_the_canary_fail() {
    let mut story = Story::begin().await;
    story.the_operator_sets_up().await;
    story.ada_logs_in().await;
    story.learn_from_the_wire();
    assert_eq!(story.search_files("before"), Vec::<String>::new());
    let log = story.server.log();
    let before = std::fs::read(&log).expect("the server logs");
    let secrets = [story.tap.members("refresh_token"), story.tap.members("access_token")].concat();
    assert!(secrets.len() >= 2, "the tap has heard nothing");
    for secret in &secrets {
        let end = &secret.as_bytes()[secret.len() - 24..];
        for (form, leak) in written(end) {
            let line = [before.as_slice(), b"\nINFO refreshed token=", &leak, b"\n"].concat();
            std::fs::write(&log, line).expect("it is the test's own folder");
            assert!(!story.search_files("planted").is_empty(), "a leak written as {form} gets by");
        }
    }
    std::fs::write(&log, &before).expect("it is the test's own folder");
    assert_eq!(story.search_files("after"), Vec::<String>::new());
    let shown = Shown { pid: 1, arguments: secrets[0].clone().into_bytes(), environment: Vec::new() };
    assert!(!story.search_shown(&shown, &[]).is_empty(), "an argument gets by");
    let shown = Shown { pid: 1, arguments: Vec::new(), environment: secrets[0].clone().into_bytes() };
    assert!(!story.search_shown(&shown, &[]).is_empty(), "an environment gets by");
}

/// The same for the store and the ledger, by the real way in: an operator who pastes a secret where a title belongs.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_store_or_the_ledger_makes_the_canary_fail() {
    let mut story = Story::begin().await;
    story.the_operator_sets_up().await;
    story.ada_logs_in().await;
    story.learn_from_the_wire();
    assert_eq!(story.search_files("before"), Vec::<String>::new());
    let secret = story.tap.members("refresh_token").pop().expect("the tap has heard one");
    let end = &secret[secret.len() - 24..];
    let add = ["admin", "org", "add", "leaky", "--administrator", "eve", "--administrator-name", end];
    story.server.command(&add).await;
    let found = story.search_files("planted");
    assert!(found.iter().any(|line| line.contains("hallpass.db")), "the store's files get by: {found:?}");
    let ledger = story.server.command(&["ledger", "list", "--json"]).await;
    assert_eq!(story.search_what_was_said(), Vec::<String>::new());
    story.note("ledger list --json", &ledger, &[]);
    assert!(!story.search_what_was_said().is_empty(), "what the ledger says gets by");
}

/// Everything there is, and all that is known of it.
struct Story {
    folder: PathBuf,
    server: Server,
    http: reqwest::Client,
    passphrase: String,
    /// Grace's enrolment link.
    link: String,
    tap: Tap,
    scanner: Scanner,
    /// What was said to people and programs, by whom, and which secrets belong there.
    said: Vec<(String, Vec<u8>, Vec<&'static str>)>,
    _folder: tempfile::TempDir,
}

impl Story {
    async fn begin() -> Self {
        let temporary = tempfile::tempdir().expect("there is room for a temporary folder");
        let folder = temporary.path().to_owned();
        let mut scanner = Scanner::default();
        let mut passphrase = [0u8; 24];
        SystemEntropy.fill(&mut passphrase);
        let passphrase = base64url::render(passphrase);
        scanner.learn("passphrase", passphrase.as_bytes());
        private_file(&folder.join("passphrase"), &passphrase);

        let port = Port::open().await;
        let mut server = Server::new(&folder, free_port(), port.number());
        server.start().await;
        let tap = Tap::open(port, server.port);
        let http = browser::http(&server);
        let (link, said) = (String::new(), Vec::new());
        Self { folder, server, http, passphrase, link, tap, scanner, said, _folder: temporary }
    }

    /// Keys, org, people, a client with a key, an API.
    async fn the_operator_sets_up(&mut self) {
        let keys = self.server.data.join("keys");
        let kek = std::fs::read_to_string(keys.join("kek")).expect("the first start makes it");
        let kek = STANDARD.decode(kek.split_whitespace().last().unwrap_or_default());
        self.scanner.learn("key-encryption key", &kek.expect("base64"));
        let ledger = std::fs::read_to_string(keys.join("ledger")).expect("the first start makes it");
        let seed = STANDARD.decode(ledger.trim().splitn(5, '+').last().unwrap_or_default());
        self.scanner.learn("ledger key", &seed.expect("base64")[1..]);

        let setup = wait_for_file(&self.server.data.join("setup-link")).await;
        let (_, link) = setup.trim().split_once('#').expect("the secret is in the fragment");
        self.scanner.learn("set-up link", link.as_bytes());
        let known = browser::set_up(&self.http, &self.server.base_url(), link).await;
        self.learn_browser(&known);
        let file = self.server.data.join("setup-link");
        wait_until("the file of the spent link is gone", || !file.exists()).await;

        let person = self.server.command(&["admin", "person", "add", "grace"]).await;
        self.learn_link(&person);
        let link = self.server.command(&["admin", "person", "link", "grace", "--json"]).await;
        self.link = self.learn_link(&link);

        let pem = self.folder.join("notes-api.pem");
        let add = ["admin", "client", "add", "notes-api", "--kind", "service", "--owner", "person:ada"];
        let added = self.server.command(&[&add[..], &["--new-key", text(&pem)]].concat()).await;
        self.note("client add", &added, &[]);
        self.learn_client_key(&pem);
        let add = ["admin", "resource", "add", NOTES, "--owner", "person:ada", "--environment", "dev"];
        let scopes = ["--scope", "notes:read", "--scope", "notes:write", "--server", "notes-api"];
        let added = self.server.command(&[&add[..], &scopes[..]].concat()).await;
        self.note("resource add", &added, &[]);
    }

    /// `hallpass login` by device flow, approved by the operator.
    async fn ada_logs_in(&mut self) {
        let issuer = self.server.issuer();
        let mut login =
            self.holder(&["login", &issuer, "--flow", "device", "--store", "passphrase", "--json"]);
        login.args(["--resource", NOTES, "--scope", "notes:read notes:write", "--purpose", "write a story"]);
        let mut login = login
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut stdout = BufReader::new(login.stdout.take().expect("its output is a pipe"));
        let mut answer = String::new();
        timeout(DEADLINE, stdout.read_line(&mut answer)).await.expect("it asks in time").expect("it is text");
        let shown: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let code = shown["user_code"].as_str().unwrap_or_else(|| panic!("no code in `{answer}`")).to_owned();
        self.scanner.learn("user code", code.as_bytes());
        let approved = self.server.command(&["admin", "approve", &code, "--as", "ada"]).await;
        self.note("approve", &approved, &[]);
        timeout(DEADLINE, stdout.read_to_string(&mut answer)).await.expect("it ends").expect("it is text");
        let output = timeout(DEADLINE, login.wait_with_output()).await.expect("it ends").expect("ours");
        self.note("login", &output, &["user code"]);
        self.said.push(("the answer of login".to_owned(), answer.into_bytes(), vec!["user code"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `hallpass exec`, whose command waits until every process was seen. Its process id.
    async fn ada_runs_a_command(&mut self, lookout: &Lookout) -> u32 {
        let (pass, gate) = (self.folder.join("pass"), self.folder.join("gate"));
        let made = finished(Command::new("mkfifo").arg(&gate)).await;
        assert!(made.status.success());
        // The shell itself does all of it, in one write: a process that it forked would show the pass, too.
        let script = "umask 077; printf '%s %s' $$ \"$HALLPASS_TOKEN\" > \"$0\"; read -r go < \"$1\"";
        let mut exec = self.holder(&["exec", "--purpose", "read my notes", "--scope", "notes:read", "--"]);
        exec.args(["sh", "-c", script, text(&pass), text(&gate)]);
        let exec = exec.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let exec = exec.kill_on_drop(true).spawn().expect("it starts");
        let shown = wait_for_file(&pass).await;
        let (child, pass) = shown.split_once(' ').expect("as the script writes it");
        self.scanner.learn("pass of the command", pass.as_bytes());
        let child = child.parse().expect("a process id");
        for seen in [gate.to_str().expect("a plain name"), "hallpass-watcher", "--listen", "--flow"] {
            wait_until(&format!("a process shows `{seen}`"), || lookout.saw(seen)).await;
        }
        wait_until("the command's environment is seen", || lookout.saw_in_environment(child, pass)).await;
        let go = tokio::fs::write(&gate, "go\n");
        timeout(DEADLINE, go).await.expect("the command waits for it").expect("it is a pipe of ours");
        let output = timeout(DEADLINE, exec.wait_with_output()).await.expect("it ends").expect("ours");
        self.note("exec", &output, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        child
    }

    /// `hallpass token`, and every way to get it wrong.
    async fn ada_asks_for_a_token_and_makes_mistakes(&mut self) {
        let token = finished(&mut self.holder(&["token", "--resource", NOTES])).await;
        assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
        let pass = word(&token.stdout, "ey");
        self.scanner.learn("token on standard output", pass.as_bytes());
        self.said.push(("what token says to people".to_owned(), token.stderr, Vec::new()));

        let status = finished(&mut self.holder(&["status", "--json"])).await;
        self.note("status", &status, &[]);
        let mistakes: [&[&str]; 4] = [
            &["exec", "--purpose", "nothing", "--", "no-such-command-anywhere"],
            &["token", "--resource", "https://elsewhere.example/"],
            &["token", "--scope", "notes:burn"],
            &["token", "--issuer", "http://localhost:1/acme"],
        ];
        for mistake in mistakes {
            let output = finished(&mut self.holder(mistake)).await;
            assert!(!output.status.success(), "{mistake:?}");
            self.note(&mistake.join(" "), &output, &[]);
        }
        let wrong = self.folder.join("wrong-passphrase");
        private_file(&wrong, "a wrong passphrase");
        let mut locked = self.holder(&["token"]);
        let output = finished(locked.env("HALLPASS_PASSPHRASE_FILE", &wrong)).await;
        assert!(!output.status.success());
        self.note("token with a wrong passphrase", &output, &[]);
    }

    /// Grace enrols by her link; `hallpass login` opens her browser, and the answer comes back to it.
    async fn grace_logs_in_with_her_browser(&mut self) {
        let (program, address) = browser::opener(&self.folder);
        let issuer = self.server.issuer();
        let mut login =
            self.holder_of("grace", &["login", &issuer, "--flow", "browser", "--store", "passphrase"]);
        login.args(["--resource", NOTES, "--scope", "notes:read"]).env("HALLPASS_BROWSER", program);
        let login = login.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let login = login.kill_on_drop(true).spawn().expect("it starts");
        let address = wait_for_file(&address).await;
        let (base_url, link) = (self.server.base_url(), self.link.clone());
        let known = browser::enrol_and_approve(&self.http, &base_url, &link, &address).await;
        self.learn_browser(&known);
        let output = timeout(DEADLINE, login.wait_with_output()).await.expect("it ends").expect("ours");
        self.note("login in a browser", &output, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The API asks what a token is worth, and proves who asks with its key.
    async fn the_api_asks_about_a_token(&mut self) {
        let pem = std::fs::read(self.folder.join("notes-api.pem")).expect("it was made at the set-up");
        let key = pkcs8_from_pem(&pem).expect("it is PEM");
        let key = SigningKey::from_pkcs8(&key).expect("it is a key");
        let now = hallpass_testkit::clock::real_now();
        let issuer = self.server.issuer();
        let assertion = assertion(&key, "notes-api", &issuer, "the-only-one", now, CLIENT_ASSERTION_MAX);
        let token = self.tap.members("access_token").pop().expect("one was heard");
        let form = [
            ("client_id", "notes-api"),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", &*assertion),
            ("token", &*token),
        ];
        let asked = self.http.post(format!("{issuer}/introspect")).body(encode(&form));
        let reply = send(asked.header("content-type", "application/x-www-form-urlencoded")).await;
        assert!(reply.status.is_success() && reply.json()["active"].is_boolean(), "{}", reply.body);
        self.said.push(("what introspection says".to_owned(), reply.body.into_bytes(), Vec::new()));
    }

    /// A client that refreshes, loses an answer, is stolen from, and sends its secrets where they do not belong.
    async fn somebody_else_goes_wrong(&mut self) {
        let mut client = Client::log_in(&self.server).await;
        let (stolen, access) = (client.refresh.clone(), client.access.clone());
        let lost = client.refresh().await.expect("the server runs");
        let again = client.refresh().await.expect("the server runs");
        assert_eq!(lost.text("refresh_token"), again.text("refresh_token"), "a retry brings the same");
        assert!(client.keep(&again), "{}", again.body);
        let newest = client.refresh().await.expect("the server runs");
        assert!(client.keep(&newest), "{}", newest.body);

        let who = [("client_id", "hallpass-cli")];
        let broken = format!("{stolen}x");
        let refresh = |token| [("grant_type", "refresh_token"), ("refresh_token", token)];
        let mut mistakes = vec![
            client.post("token", &[&refresh(&stolen)[..], &who].concat()).await,
            client.post("token", &[&refresh(&broken)[..], &who].concat()).await,
            client.post("token", &[&refresh(&stolen)[..], &refresh(&stolen), &who].concat()).await,
            client.post("token", &[(stolen.as_str(), stolen.as_str())]).await,
            client.post("token", &[("grant_type", stolen.as_str()), ("client_id", access.as_str())]).await,
            client.post("introspect", &[&[("token", access.as_str())][..], &who].concat()).await,
            client.post("device_authorization", &[("client_id", stolen.as_str())]).await,
            client.get(&format!("userinfo?access_token={access}")).await,
            client.get(&format!("authorize?client_id={stolen}&state={access}")).await,
            client.get(&format!("no/such/page/{stolen}")).await,
        ];
        client.refresh = stolen;
        // A proof names whole seconds. One of the second of the last refresh could have been made before it: late, and
        // no theft.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        mistakes.push(client.refresh().await);
        for mistake in mistakes {
            let Answer { status, body } = mistake.expect("the server runs");
            assert!(!status.is_success(), "{body}");
            self.said.push((format!("an error answer ({status})"), body.into_bytes(), Vec::new()));
        }
    }

    /// By a token that the operator hands out; it looks after its registration, and shows its tokens where they do not belong.
    async fn a_program_registers_itself(&mut self) {
        let registration = ["admin", "client", "registration"];
        let allow = ["allow", "--owner", "person:ada", "--scope", "notes:read"];
        let allowed = self.server.command(&[&registration[..], &allow].concat()).await;
        self.note("registration allow", &allowed, &[]);
        let made = self.server.command(&[&registration[..], &["token"]].concat()).await;
        let initial = word(&made.stdout, "hpi_");
        self.scanner.learn("initial access token", initial.as_bytes());
        self.note("registration token", &made, &["initial access token"]);

        let redirects = ["http://127.0.0.1/callback"];
        let mut said = serde_json::json!({
            "client_name": "walker", "redirect_uris": redirects, "token_endpoint_auth_method": "none",
        });
        let first_said = said.to_string();
        let http = self.http.clone();
        let asks = |method: reqwest::Method, url: &str, token: &str, body: String| {
            let asked = http.request(method, url).header("authorization", format!("Bearer {token}"));
            send(asked.header("content-type", "application/json").body(body))
        };
        let (post, put, get) = (reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::GET);
        let register = format!("{}/register", self.server.issuer());
        let registered = asks(post.clone(), &register, &initial, first_said.clone()).await;
        assert_eq!(registered.status, 201, "{}", registered.body);
        let own = |reply: &hallpass_testkit::client::Reply| {
            let reply = reply.json();
            let of = |name: &str| {
                reply[name].as_str().unwrap_or_else(|| panic!("no {name} in {reply}")).to_owned()
            };
            (of("registration_access_token"), of("registration_client_uri"))
        };
        let (first, at) = own(&registered);
        self.scanner.learn("registration access token", first.as_bytes());
        // RFC 7592, section 2.2: all of it is said anew, and of which client.
        said["client_id"] = registered.json()["client_id"].clone();
        let replaced = asks(put.clone(), &at, &first, said.to_string()).await;
        let (second, _) = own(&replaced);
        assert_ne!(first, second, "each change brings another");
        self.scanner.learn("registration access token", second.as_bytes());

        said["client_name"] = second.as_str().into();
        let mistakes = [
            asks(post.clone(), &register, &format!("{initial}x"), first_said.clone()).await,
            asks(post.clone(), &register, &second, first_said.clone()).await,
            asks(post, &register, &initial, first_said + &second).await,
            asks(put, &at, &first, said.to_string()).await,
            asks(get, &format!("{at}?token={second}"), &initial, String::new()).await,
        ];
        for reply in mistakes {
            assert!(!reply.status.is_success(), "{}", reply.body);
            let who = format!("an error answer of registration ({})", reply.status);
            self.said.push((who, reply.body.into_bytes(), Vec::new()));
        }
        let shown = self.server.command(&[&registration[..], &["show", "--json"]].concat()).await;
        self.note("registration show", &shown, &[]);
    }

    /// By the program and by a form, whole and not, with the credential in what is said of it, too.
    async fn somebody_reports_what_they_found(&mut self) {
        let lies = self.folder.join("found");
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let token = finished(&mut self.holder(&["token", "--resource", NOTES, "--fresh"])).await;
            let token = word(&token.stdout, "ey");
            self.scanner.learn("token that was found", token.as_bytes());
            tokens.push(token);
        }
        for (text, succeeds) in [
            (format!("TOKEN={}", tokens[0]), false),
            (tokens[0][..tokens[0].len() / 2].to_owned(), false),
            (tokens[0].clone(), true),
        ] {
            private_file(&lies, &text);
            let mut report = self.holder(&["report", "--issuer", &self.server.issuer(), "--json"]);
            let report = report.stdin(std::fs::File::open(&lies).expect("it was written"));
            let output = timeout(DEADLINE, report.output()).await.expect("it ends").expect("it starts");
            assert_eq!(output.status.success(), succeeds, "{}", String::from_utf8_lossy(&output.stderr));
            self.note("report", &output, &[]);
            std::fs::remove_file(&lies).expect("it was written");
        }
        let found = format!("line 3 of a log: Authorization: Bearer {}", tokens[1]);
        let form = encode(&[("token", tokens[1].as_str()), ("found", &found)]);
        let asked = self.http.post(format!("{}/leaked", self.server.issuer()));
        let asked = asked.header("content-type", "application/x-www-form-urlencoded");
        let reply = send(asked.body(form)).await;
        assert_eq!(reply.status, 204, "{}", reply.body);
    }

    /// The ledger, the lists and a backup.
    async fn everything_is_written_down(&mut self) {
        let ledger = self.server.command(&["ledger", "list", "--json"]).await;
        let events = String::from_utf8_lossy(&ledger.stdout).into_owned();
        for event in ["approved", "exchanged", "leaked", "refreshed", "retried", "reused"] {
            assert!(events.contains(&format!("\"{event}\"")), "nothing was {event}: {events}");
        }
        self.note("ledger list --json", &ledger, &[]);
        let lists: [&[&str]; 4] = [
            &["ledger", "list"],
            &["ledger", "checkpoint"],
            &["admin", "session", "list", "--person", "ada", "--json"],
            &["admin", "client", "show", "notes-api", "--json"],
        ];
        for list in lists {
            let output = self.server.command(list).await;
            self.note(&list.join(" "), &output, &[]);
        }
        let backup = self.server.data.join("backup.db");
        let output = self.server.command(&["admin", "backup", text(&backup)]).await;
        self.note("admin backup", &output, &[]);
    }

    /// `hallpass logout`.
    async fn ada_logs_out(&mut self) {
        let output = finished(&mut self.holder(&["logout", "--json"])).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.note("logout", &output, &[]);
    }

    fn learn_browser(&mut self, known: &Known) {
        assert!(!known.cookies.is_empty() && !known.form_tokens.is_empty(), "a browser keeps something");
        known.cookies.iter().for_each(|cookie| self.scanner.learn("cookie", cookie.as_bytes()));
        known.form_tokens.iter().for_each(|token| self.scanner.learn("form token", token.as_bytes()));
    }

    fn learn_link(&mut self, output: &Output) -> String {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let link =
            text.split(['"', '\n', ' ']).find(|word| word.starts_with("http") && word.contains("enrol"));
        let link = link.unwrap_or_else(|| panic!("no link in `{text}`"));
        let (_, secret) = link.split_once('#').expect("the secret is in the fragment");
        let secret = secret.to_owned();
        self.scanner.learn("enrolment link", secret.as_bytes());
        self.said.push(("what is said beside a link".to_owned(), output.stderr.clone(), Vec::new()));
        secret
    }

    fn learn_client_key(&mut self, pem: &Path) {
        let pem = std::fs::read_to_string(pem).expect("it was just made");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        self.scanner.learn("client key", scalar(&STANDARD.decode(body).expect("PEM is base64")));
    }

    /// The keys that the holders' sessions are bound to.
    fn learn_the_holder_s_keys(&mut self) {
        let records: Vec<_> = files(&self.folder.join("holder"))
            .into_iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "record"))
            .collect();
        assert_eq!(records.len(), 2, "ada's and grace's: {records:?}");
        for file in records {
            let record = record::open(&std::fs::read(file).expect("it is there"), &self.passphrase);
            let key = record["key"].as_str().and_then(base64url::parse).expect("the session has a key");
            self.scanner.learn("session's key", scalar(&key));
            let refresh = record["refresh"].as_str().expect("the session has a refresh token");
            self.scanner.learn("refresh_token", refresh.as_bytes());
        }
    }

    /// What a program says when it panics with what it was told in hand.
    fn everything_that_was_heard_panics(&mut self) {
        let tokens = self.tap.answers_with("access_token");
        let codes = self.tap.answers_with("device_code");
        assert!(tokens.len() > 3 && !codes.is_empty(), "the tap has heard little");
        let before = Arc::new(std::panic::take_hook());
        let said = Arc::new(Mutex::new(Vec::new()));
        let (hear, others) = (said.clone(), before.clone());
        std::panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some(PANICS) => hear.lock().expect("nobody panics here").push(panic.to_string()),
            _ => others(panic), // another test's
        }));
        let panic_with = |what: Box<dyn FnOnce() -> String + Send>| {
            let thread = std::thread::Builder::new().name(PANICS.to_owned());
            let _ = thread.spawn(move || panic!("{}", what())).expect("a thread starts").join();
        };
        for body in tokens {
            panic_with(Box::new(move || format!("{:?}", TokenResponse::parse(&body))));
        }
        for body in codes {
            panic_with(Box::new(move || format!("{:?}", DeviceAuthorization::parse(&body))));
        }
        std::panic::set_hook(Box::new(move |panic| before(panic)));
        let said = std::mem::take(&mut *said.lock().expect("nobody panics here"));
        assert!(said.iter().any(|panic| panic.contains("Ok(TokenResponse")), "{said:?}");
        self.said
            .extend(said.into_iter().map(|panic| ("a panic".to_owned(), panic.into_bytes(), Vec::new())));
    }

    /// Every secret that went over the wire.
    fn learn_from_the_wire(&mut self) {
        for name in ["access_token", "refresh_token", "device_code", "id_token"] {
            for secret in self.tap.members(name) {
                self.scanner.learn(name, secret.as_bytes());
            }
            assert!(self.scanner.known(name) > 0, "no {name} was heard");
        }
    }

    /// Every secret that a form brought.
    fn learn_from_forms(&mut self) {
        for name in ["code", "code_verifier", "client_assertion", "subject_token", "link"] {
            for secret in self.tap.fields(name) {
                self.scanner.learn(name, secret.as_bytes());
            }
            assert!(self.scanner.known(name) > 0, "no {name} was heard");
        }
    }

    fn holder(&self, arguments: &[&str]) -> Command {
        self.holder_of("ada", arguments)
    }

    fn holder_of(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env(MARK, "holder")
            .env("HOME", &self.folder)
            .env("HALLPASS_STATE_DIR", self.folder.join("holder").join(who))
            .env("HALLPASS_PASSPHRASE_FILE", self.folder.join("passphrase"))
            .env("HALLPASS_NO_INPUT", "1");
        command
    }

    fn note(&mut self, who: &str, output: &Output, allowed: &[&'static str]) {
        self.said.push((format!("the answer of {who}"), output.stdout.clone(), allowed.to_vec()));
        self.said.push((format!("what {who} says to people"), output.stderr.clone(), allowed.to_vec()));
    }

    /// Every file of the server and the holder, and the log.
    fn search_files(&self, when: &str) -> Vec<String> {
        let (data, holder) = (files(&self.server.data), files(&self.folder.join("holder")));
        assert!(data.len() >= 4 && !holder.is_empty(), "there is nothing to search: {data:?} {holder:?}");
        let all = data.into_iter().chain(holder).chain([self.server.log()]);
        all.flat_map(|file| {
            let allowed: &[&str] = match file.file_name().and_then(|name| name.to_str()) {
                Some("kek") => &["key-encryption key"],
                Some("ledger") => &["ledger key"],
                _ => &[],
            };
            // Files that come and go while the server works.
            let bytes = std::fs::read(&file).unwrap_or_default();
            self.scanner.find(&format!("{} {when}", file.display()), &bytes, allowed)
        })
        .collect()
    }

    fn search_what_was_said(&self) -> Vec<String> {
        self.said.iter().flat_map(|(who, bytes, allowed)| self.scanner.find(who, bytes, allowed)).collect()
    }

    fn search_processes(&self, seen: impl IntoIterator<Item = Shown>, child: u32) -> Vec<String> {
        let (children, others): (Vec<_>, Vec<_>) = seen.into_iter().partition(|shown| shown.pid == child);
        assert!(others.len() > 10, "hardly any process was seen: {}", others.len());
        let others = others.iter().flat_map(|shown| {
            // A person types the code that the login shows.
            let operator = String::from_utf8_lossy(&shown.arguments).contains("approve");
            self.search_shown(shown, if operator { &["user code"] } else { &[] })
        });
        // The command has its own pass in its environment, and nothing else anywhere.
        let own = ["pass of the command", "access_token"];
        let of_child = children.iter().flat_map(|shown| {
            let mut environment: Vec<&[u8]> = shown.environment.split(|byte| *byte == 0).collect();
            environment.retain(|pair| !pair.starts_with(b"HALLPASS_TOKEN="));
            let mut found = self.scanner.find("the command's arguments", &shown.arguments, &[]);
            found.extend(self.scanner.find("the command's other variables", &environment.join(&0), &[]));
            found.extend(self.scanner.find("the command's environment", &shown.environment, &own));
            found
        });
        others.chain(of_child).collect()
    }

    fn search_shown(&self, shown: &Shown, allowed: &[&str]) -> Vec<String> {
        let name = String::from_utf8_lossy(&shown.arguments).replace('\0', " ");
        let name: String = name.chars().take(60).collect();
        let mut found = self.scanner.find(&format!("the arguments of `{name}`"), &shown.arguments, allowed);
        found.extend(self.scanner.find(&format!("the environment of `{name}`"), &shown.environment, allowed));
        found
    }
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.is_file())
        .collect()
}

/// The private scalar of a P-256 key in PKCS#8: an octet string of 32 bytes (SEC 1, section C.4).
pub(crate) fn scalar(document: &[u8]) -> &[u8] {
    let at = document.windows(2).position(|window| window == [0x04, 0x20]).expect("a P-256 key") + 2;
    &document[at..at + 32]
}

fn is_core(file: &Path) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("core"))
}

fn private_file(path: &Path, text: &str) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("it is the test's own folder");
}

async fn wait_for_file(path: &Path) -> String {
    wait_until(&format!("{} is there", path.display()), || {
        std::fs::read_to_string(path).is_ok_and(|text| !text.is_empty())
    })
    .await;
    std::fs::read_to_string(path).expect("it is there")
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
