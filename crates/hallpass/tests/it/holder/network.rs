//! How the holder reaches its issuer: which authorities it trusts, and through which proxy it goes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hallpass_issuer::{Issuer, Listen, Listener, Settings, TlsFiles, serve};
use hallpass_model::random::SystemEntropy;
use hallpass_store::{Answer, Filter, LeaseState};
use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::machine::{Machine, Said, in_time, until};

/// A certificate for `localhost`, of an authority that no system trusts: itself.
pub(super) fn authority() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../issuer/tests/it/tls/localhost.pem")
}

/// The world's issuer, behind TLS: `https://localhost:PORT/acme`.
pub(super) async fn behind_tls(machine: &Machine) -> String {
    let tls = TlsFiles { certificates: authority(), key: authority().with_extension("key") };
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: Some(tls), trusted_proxies: vec![] };
    let listener = Listener::bind(&listen).await.unwrap();
    let base_url = format!("https://localhost:{}", listener.address().unwrap().port());
    let world = &machine.world;
    let settings = Settings {
        base_url: base_url.parse().unwrap(),
        outside_networks: Vec::new(),
        outside_roots: Default::default(),
    };
    let issuer = Issuer::new(world.store.clone(), world.clock.clone(), Arc::new(SystemEntropy), settings);
    tokio::spawn(serve(issuer, listener));
    format!("{base_url}/acme")
}

/// A proxy that opens tunnels (RFC 9110, section 9.3.6), answers everything else itself, and keeps what it was asked for and
/// what it could read.
pub(super) struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    asked: Vec<String>,
    credentials: Vec<String>,
    sent: Vec<u8>,
}

impl Proxy {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noting = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, noting.clone()));
            }
        });
        Self { address, seen }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().asked.clone()
    }

    /// How those who asked showed who they are (RFC 9110, section 11.7.2).
    pub(super) fn credentials(&self) -> Vec<String> {
        self.seen.lock().unwrap().credentials.clone()
    }

    pub(super) fn read(&self, word: &str) -> bool {
        self.seen.lock().unwrap().sent.windows(word.len()).any(|window| window == word.as_bytes())
    }
}

async fn tunnel(stream: TcpStream, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut client = BufReader::new(stream);
    let mut first = String::new();
    client.read_line(&mut first).await.ok()?;
    seen.lock().unwrap().asked.push(first.trim().to_owned());
    let mut line = String::new();
    while line.trim_end() != "" || line.is_empty() {
        line.clear();
        client.read_line(&mut line).await.ok()?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("proxy-authorization")
        {
            seen.lock().unwrap().credentials.push(value.trim().to_owned());
        }
    }
    if !first.starts_with("CONNECT ") {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\nfrom the parent";
        return client.write_all(answer.as_bytes()).await.ok();
    }
    let target = first.strip_prefix("CONNECT ")?.split(' ').next()?;
    let (mut from_server, mut to_server) = TcpStream::connect(target).await.ok()?.into_split();
    let (mut from_client, mut to_client) = client.into_inner().into_split();
    to_client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut chunk = [0; 4096];
    loop {
        let read = from_client.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        seen.lock().unwrap().sent.extend_from_slice(&chunk[..read]);
        to_server.write_all(&chunk[..read]).await.ok()?;
    }
}

/// A login by a prepared command, which ada approves if it comes as far as a code.
async fn login(machine: &Machine, mut command: Command) -> Said {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if let Some(line) = in_time(lines.next_line()).await.unwrap() {
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let code = said["user_code"].as_str().unwrap();
        machine.world.answer_device(code, machine.world.ada, Answer::Yes).await;
        while let Ok(Some(_)) = lines.next_line().await {}
    }
    Said(in_time(child.wait_with_output()).await.unwrap())
}

fn login_to(machine: &Machine, issuer: &str, more: &[&str]) -> Command {
    let arguments = ["login", issuer, "--flow", "device", "--json", "--resource", NOTES];
    machine.hallpass(&[&arguments, more].concat())
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let machine = Machine::new().await;
    let issuer = behind_tls(&machine).await;
    let authority = authority();
    let named = authority.to_str().unwrap();

    let refused = login(&machine, login_to(&machine, &issuer, &[])).await;
    assert_eq!(refused.code(), 70, "{}", refused.err());
    assert!(refused.err().contains("--ca-file") && refused.err().contains("HALLPASS_CA_FILE"));

    let by_flag = login(&machine, login_to(&machine, &issuer, &["--ca-file", named])).await;
    assert_eq!(by_flag.code(), 0, "{}", by_flag.err());
    assert_eq!(machine.run(&["token"]).await.code(), 70, "trust is not remembered");

    for variable in ["HALLPASS_CA_FILE", "SSL_CERT_FILE"] {
        let mut command = login_to(&machine, &issuer, &[]);
        command.env(variable, named);
        let by_variable = login(&machine, command).await;
        assert_eq!(by_variable.code(), 0, "{variable}: {}", by_variable.err());
    }
    // Besides the system's, or what stands for them; not instead.
    let mut command = login_to(&machine, &issuer, &["--ca-file", named]);
    command.env("SSL_CERT_FILE", "/dev/null");
    assert_eq!(login(&machine, command).await.code(), 0);
}

#[tokio::test]
async fn a_file_of_certificates_that_cannot_be_used_is_wrong_usage_and_named() {
    let machine = Machine::new().await;
    let empty = machine.path("empty.pem");
    std::fs::write(&empty, "").unwrap();
    // Over plain http on this machine nobody needs it; it is still not what the person thinks it is.
    for issuer in ["https://localhost:1/acme", machine.world.issuer_url.as_str()] {
        for path in [machine.path("none.pem"), empty.clone()] {
            let path = path.to_str().unwrap();
            let said = login(&machine, login_to(&machine, issuer, &["--ca-file", path])).await;
            assert_eq!(said.code(), 2, "{}", said.err());
            assert!(said.err().contains(path) && !said.err().contains("try again"), "{}", said.err());
        }
    }
}

#[tokio::test]
async fn a_machine_without_certificates_can_still_speak_to_itself() {
    let machine = Machine::new().await;
    let mut command = login_to(&machine, &machine.world.issuer_url, &[]);
    command.env("SSL_CERT_FILE", "/dev/null");
    let said = login(&machine, command).await;
    assert_eq!(said.code(), 0, "{}", said.err());
}

#[tokio::test]
async fn a_run_s_watcher_trusts_what_was_named_from_another_folder() {
    let machine = Machine::new().await;
    let issuer = behind_tls(&machine).await;
    std::fs::copy(authority(), machine.path("ca.pem")).unwrap();
    let here = |mut command: Command| {
        command.current_dir(machine.path("")).env("HALLPASS_CA_FILE", "ca.pem");
        command
    };
    let said = login(&machine, here(login_to(&machine, &issuer, &[]))).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let wait = machine.while_it_lasts(&format!("[ ! -e {} ]", machine.path("go").display()));
    let exec = machine.hallpass(&["exec", "--purpose", "x", "--", "sh", "-c", &wait]);
    let child = here(exec).spawn().unwrap();
    until("the watcher is connected", async || {
        let store = &machine.world.store;
        let recorded = store.list_ledger(&Filter::default(), 0, 1_000).await.unwrap().items;
        let Some(lease) = recorded.iter().find_map(|row| row.entry().unwrap().lease) else { return false };
        let lease = store.find_lease(lease).await.unwrap();
        lease.is_some_and(|lease| matches!(lease.state, LeaseState::Connected { .. }))
    })
    .await;
    machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
}

#[tokio::test]
async fn everything_goes_through_the_proxy_unless_the_person_says_otherwise() {
    let machine = Machine::new().await;
    let issuer = behind_tls(&machine).await;
    let proxy = Proxy::start().await;
    let by_proxy = |mut command: Command| {
        command.env("HALLPASS_CA_FILE", authority()).env("HTTPS_PROXY", proxy.url());
        command
    };
    let said = login(&machine, by_proxy(login_to(&machine, &issuer, &[]))).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let place = issuer.trim_start_matches("https://").trim_end_matches("/acme");
    let tunnel = format!("CONNECT {place} HTTP/1.1");
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == tunnel), "{asked:?}");
    // And what it carried it could not read.
    assert!(!proxy.read("device_code") && !proxy.read("hallpass-cli"));

    // The watcher goes the same way: to keep the run's connection, and to revoke.
    let before = proxy.asked().len();
    let exec = machine.hallpass(&["exec", "--purpose", "x", "--", "true"]);
    let said = Said(in_time(by_proxy(exec).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(proxy.asked().len() >= before + 2, "{:?}", proxy.asked());

    for without in ["localhost", "*", "example.org, localhost"] {
        let before = proxy.asked().len();
        let mut command = by_proxy(machine.hallpass(&["token", "--ttl", "60s"]));
        let said = Said(in_time(command.env("NO_PROXY", without).output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
        assert_eq!(proxy.asked().len(), before, "NO_PROXY={without}");
    }
}

#[tokio::test]
async fn what_is_said_to_this_very_machine_in_plain_http_never_goes_through_a_proxy() {
    let machine = Machine::new().await;
    let proxy = Proxy::start().await;
    let mut command = login_to(&machine, &machine.world.issuer_url, &[]);
    for variable in ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(variable, proxy.url());
    }
    let said = login(&machine, command).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(proxy.asked(), [] as [&str; 0]);
}
