//! The whole story with the real programs, and then a search for every secret of it where it does not belong.

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::jose::base64url;
use hallpass_model::random::{Entropy, SystemEntropy};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::client::{Answer, Client};
use super::processes::{Lookout, Shown};
use super::scanner::{Scanner, written};
use super::server::{DEADLINE, MARK, PROGRAM, Server, finished, free_port, text, word};
use super::tap::{Port, Tap};

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
    story.somebody_else_goes_wrong().await;
    story.everything_is_written_down().await;
    story.learn_from_the_wire();
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

/// Everything there is, and all that is known of it.
struct Story {
    folder: PathBuf,
    server: Server,
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
        Self { folder, server, tap, scanner, said: Vec::new(), _folder: temporary }
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
        self.scanner.learn("set-up link", setup.trim().as_bytes());

        let org = self.server.command(&["admin", "org", "add", "acme", "--administrator", "ada"]).await;
        self.learn_link(&org);
        let person = self.server.command(&["admin", "person", "add", "grace"]).await;
        self.learn_link(&person);
        let link = self.server.command(&["admin", "person", "link", "grace", "--json"]).await;
        self.learn_link(&link);

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
            self.holder(&["login", &issuer, "--flow", "device", "--rung", "passphrase", "--json"]);
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
        // The shell itself does all of it: no process besides has the pass.
        let script = "umask 077; printf '%s %s' $$ \"$HALLPASS_TOKEN\" > \"$0.new\" && (unset HALLPASS_TOKEN; exec mv \"$0.new\" \"$0\"); read -r go < \"$1\"";
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

    /// The ledger, the lists and a backup.
    async fn everything_is_written_down(&mut self) {
        let ledger = self.server.command(&["ledger", "list", "--json"]).await;
        let events = String::from_utf8_lossy(&ledger.stdout).into_owned();
        for event in ["approved", "exchanged", "refreshed", "retried", "reused"] {
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

    fn learn_link(&mut self, output: &Output) {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let link =
            text.split(['"', '\n', ' ']).find(|word| word.starts_with("http") && word.contains("enrol"));
        let link = link.unwrap_or_else(|| panic!("no link in `{text}`"));
        self.scanner.learn("enrolment link", link.as_bytes());
        self.said.push(("what is said beside a link".to_owned(), output.stderr.clone(), Vec::new()));
    }

    fn learn_client_key(&mut self, pem: &Path) {
        let pem = std::fs::read_to_string(pem).expect("it was just made");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let document = STANDARD.decode(body).expect("PEM is base64");
        // SEC 1: an octet string of 32 bytes is the private scalar of P-256.
        let at = document.windows(2).position(|window| window == [0x04, 0x20]).expect("a P-256 key") + 2;
        self.scanner.learn("client key", &document[at..at + 32]);
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

    fn holder(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env(MARK, "holder")
            .env("HOME", &self.folder)
            .env("HALLPASS_STATE_DIR", self.folder.join("holder"))
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
                Some("setup-link") => &["set-up link"],
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
