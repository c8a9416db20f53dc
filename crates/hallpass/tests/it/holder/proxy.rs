//! The proxy of a run: the API gets the token, and the command never does.

use std::process::Stdio;
use std::sync::atomic::Ordering;

use rustix::process::{Signal, kill_process};
use tokio::process::{Child, Command};

use super::behind::{Api, Vouching};
use super::killed::pid;
use super::machine::{Machine, Said, in_time, until};

mod hostile; // requests that nobody means well with
mod limits; // what is slow, long or many
mod parent; // the person's own proxy
mod raw; // requests byte for byte

/// Somebody signed in for an API that really answers.
struct Place {
    machine: Machine,
    api: Api,
    vouching: Option<Vouching>,
}

impl Place {
    async fn over_http() -> Self {
        Self::with(None).await
    }

    async fn over_https() -> Self {
        Self::with(Some(Vouching::new())).await
    }

    async fn with(vouching: Option<Vouching>) -> Self {
        let (machine, api) = (Machine::new().await, Api::start(vouching.as_ref()).await);
        machine
            .world
            .add_resource(&api.origin, "notes:read notes:write", Some(machine.world.notes_api))
            .await;
        machine.login(&["--resource", &api.origin]).await;
        if let Some(vouching) = &vouching {
            std::fs::write(machine.path("api.pem"), &vouching.pem).unwrap();
        }
        Self { machine, api, vouching }
    }

    fn exec(&self, more: &[&str], line: &str) -> Command {
        let arguments =
            ["exec", "--purpose", "a test", "--quiet", "--as", "proxy", "--resource", &self.api.origin];
        let mut command = self.machine.hallpass(&[&arguments, more, &["--", "sh", "-c", line]].concat());
        command.current_dir(self.machine.path(".")).env("API", &self.api.origin);
        if self.vouching.is_some() {
            command.env("SSL_CERT_FILE", self.machine.path("api.pem"));
        }
        command
    }

    async fn run(&self, more: &[&str], line: &str) -> Said {
        Said(in_time(self.exec(more, line).output()).await.unwrap())
    }

    /// A run that says where its proxy is and waits.
    async fn start(&self, more: &[&str]) -> (Child, String) {
        let (place, go) = (self.machine.path("place"), self.machine.path("go"));
        let waits = self.machine.while_it_lasts(&format!("[ ! -e {} ]", go.display()));
        let line = format!(
            "curl -s $HALLPASS_PROXY_URL/first; env > {0}.new; mv {0}.new {0}; {waits}",
            place.display()
        );
        let child = self.exec(more, &line).stdout(Stdio::null()).spawn().unwrap();
        until("the command runs", async || place.exists()).await;
        (child, std::fs::read_to_string(&place).unwrap())
    }
}

fn variable<'a>(environment: &'a str, name: &str) -> &'a str {
    let line = environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in {environment}"))
}

#[tokio::test]
async fn the_api_gets_the_token_and_the_command_never_has_it() {
    let place = Place::over_http().await;
    let line = "curl -sS $HALLPASS_PROXY_URL/notes?x=1; env; cat /proc/self/environ | tr '\\0' '\\n'";
    let said = place.run(&[], line).await;
    assert_eq!((said.code(), said.err().as_str()), (0, ""));
    assert!(said.out().starts_with("noted"), "{}", said.out());
    let seen = place.api.last();
    assert_eq!(seen.path, "/notes?x=1");
    let token = seen.token().unwrap();
    assert!(!said.out().contains(token) && !said.out().contains("HALLPASS_TOKEN"), "{}", said.out());
    assert_eq!(place.machine.world.introspect(token).await["active"], false, "it is over with its command");
}

#[tokio::test]
async fn programs_that_speak_https_only_go_through_it_by_themselves() {
    let place = Place::over_https().await;
    let python =
        "import os,urllib.request; print(urllib.request.urlopen(os.environ['API']+'/python').read())";
    let node = "fetch(process.env.API + '/node').then(r => r.text()).then(console.log)";
    let node_binary = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop/node");
    for (line, path) in [
        ("curl -sS $API/curl".to_owned(), "/curl"),
        ("curl -sS $HALLPASS_PROXY_URL/reverse".to_owned(), "/reverse"),
        (format!("python3 -c \"{python}\""), "/python"),
        (format!("{node_binary} -e \"{node}\""), "/node"),
        ("git ls-remote $API/repo.git || true".to_owned(), "/repo.git/info/refs?service=git-upload-pack"),
    ] {
        let mut command = place.exec(&[], &line);
        let said = Said(in_time(command.env("HOME", place.machine.path("")).output()).await.unwrap());
        assert_eq!(said.code(), 0, "{line}: {} {}", said.out(), said.err());
        let seen = place.api.seen().into_iter().rfind(|seen| seen.path == path);
        let seen = seen.unwrap_or_else(|| panic!("{line}: {} {}", said.out(), said.err()));
        assert!(seen.token().is_some_and(|token| token.starts_with("ey")), "{line}");
    }
}

#[tokio::test]
async fn the_certificates_of_a_run_vouch_for_the_named_hosts_alone() {
    let place = Place::over_https().await;
    let line =
        "cat $SSL_CERT_FILE > bundle; test $SSL_CERT_FILE = $GIT_SSL_CAINFO && readlink $SSL_CERT_FILE";
    let said = place.run(&[], line).await;
    assert_eq!(said.out(), "/memfd:hallpass (deleted)\n", "{}", said.err());
    let bundle = std::fs::read_to_string(place.machine.path("bundle")).unwrap();
    assert!(bundle.contains(&place.vouching.as_ref().unwrap().pem), "and whom the person trusts");
    let own = bundle.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    std::fs::write(place.machine.path("own.pem"), own).unwrap();
    let own = place.machine.path("own.pem");
    let shown = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(own).output().await;
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(shown.contains("Name Constraints: critical") && shown.contains("DNS:localhost"), "{shown}");
    assert!(!bundle.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn other_hosts_are_passed_through_untouched_or_refused() {
    let place = Place::over_https().await;
    let (other, plain) = (Api::start(place.vouching.as_ref()).await, Api::start(None).await);
    let line = format!(
        "curl -sS -H 'Authorization: Bearer own' {}/a; curl -sS -H 'Authorization: Bearer own' {}/b",
        other.origin, plain.origin
    );
    let said = place.run(&[], &line).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "refusedrefused"), "{}", said.err());
    for api in [&other, &plain] {
        let seen = api.last();
        assert_eq!(seen.token(), Some("own"), "what is sent elsewhere is the command's own affair");
        assert!(seen.headers.get("proxy-authorization").is_none());
    }
    let said = place.run(&["--only"], &line).await;
    assert!(said.out().contains("this host was not named"), "{} {}", said.out(), said.err());
    assert!(said.err().contains("CONNECT tunnel failed, response 403"), "{}", said.err());
    assert_eq!((other.seen().len(), plain.seen().len()), (1, 1));
    // Named, it gets the token too, and has an address of its own in the environment.
    let line = format!("curl -sS {}/c; env | grep HALLPASS_PROXY_URL_LOCALHOST", other.origin);
    let said = place.run(&["--only", "--to", &other.origin], &line).await;
    assert!(said.out().starts_with("noted"), "{} {}", said.out(), said.err());
    assert_eq!(said.out().lines().count(), 2, "{}", said.out());
    assert!(other.last().token().unwrap().starts_with("ey"));
}

#[tokio::test]
async fn nobody_but_the_command_and_what_it_starts_is_answered() {
    let place = Place::over_http().await;
    let (mut child, environment) = place.start(&[]).await;
    let (address, proxy) =
        (variable(&environment, "HALLPASS_PROXY_URL"), variable(&environment, "http_proxy"));
    // One of the same user who has read the keys.
    let stranger = async |arguments: &[&str]| {
        let said = Command::new("curl").args(["-sS", "-i"]).args(arguments).output().await.unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let before = place.api.seen().len();
    let notes = format!("{}/notes", place.api.origin);
    for arguments in [vec![format!("{address}/notes")], vec!["--proxy".into(), proxy.to_owned(), notes]] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = stranger(&arguments).await;
        assert!(said.starts_with("HTTP/1.1 403") && said.contains("for another command"), "{said}");
    }
    assert_eq!(place.api.seen().len(), before);
    place.machine.let_go();
    assert!(in_time(child.wait()).await.unwrap().success());
    // The command itself needs the key too: another user's process could not have it.
    let line = "p=${HALLPASS_PROXY_URL%/*}; curl -s $p/; curl -s $p/wrong/notes; \
                curl -s -o /dev/null -w '%{http_code}\n' -x $p $API/notes; \
                curl -s -o /dev/null -w '%{http_code}\n' -x http://hallpass:wrong@${p#http://} $API/notes";
    let said = place.run(&[], line).await;
    let missing = "hallpass: the run's key is missing, or another's\n";
    assert_eq!(said.out(), format!("{missing}{missing}407\n407\n"), "{}", said.err());
    assert_eq!(place.api.seen().len(), before);
}

#[tokio::test]
async fn the_token_is_the_only_credential_that_reaches_the_api() {
    let place = Place::over_http().await;
    let line = "curl -sS -H 'Authorization: Bearer own' -H 'Cookie: a=own' -H 'X-Api-Key: own' -H 'X-Other: stays' \
                -H 'Accept-Encoding: gzip' \"$HALLPASS_PROXY_URL/notes?access_token=own&x=1\"";
    let said = place.run(&[], line).await;
    assert_eq!(said.out(), "noted", "{}", said.err());
    let seen = place.api.last();
    assert!(seen.token().unwrap().starts_with("ey"));
    assert!(!format!("{:?} {}", seen.headers, seen.path).contains("own"), "{seen:?}");
    assert_eq!((seen.path.as_str(), &seen.headers["x-other"]), ("/notes?x=1", &"stays".parse().unwrap()));
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn a_token_that_comes_back_is_taken_out_and_what_cannot_be_looked_into_is_refused() {
    let place = Place::over_https().await;
    for address in ["$HALLPASS_PROXY_URL", "$API"] {
        let said = place.run(&[], &format!("curl -sS -i {address}/reflects")).await;
        let token = place.api.last().token().unwrap().to_owned();
        let out = said.out();
        assert!(!out.contains(&token) && !out.contains(&token[20..60]), "{out}");
        assert!(out.contains("x-token: ****") && out.ends_with("\",\"end\":true}"), "{out}");
        let basic = hallpass_model::jose::base64url::render(format!("user:{token}"));
        assert!(!out.contains(&basic[20..60]), "{out}");
    }
    let said = place.run(&[], "curl -sS -i $HALLPASS_PROXY_URL/compressed").await;
    assert!(said.out().starts_with("HTTP/1.1 502") && said.out().contains("compressed"), "{}", said.out());
    let before = place.api.seen().len();
    let said = place
        .run(&[], "curl -sS -i -X TRACE $HALLPASS_PROXY_URL/notes; curl -sS -i -X TRACE $API/notes")
        .await;
    assert_eq!(said.out().matches("HTTP/1.1 405").count(), 2, "{}", said.out());
    assert_eq!(place.api.seen().len(), before);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_what_does_nothing_twice_is_sent_again() {
    let place = Place::over_http().await;
    place.api.refuses.store(1, Ordering::Relaxed);
    let said = place.run(&[], "curl -sS -X PUT -d body $HALLPASS_PROXY_URL/notes").await;
    assert_eq!(said.out(), "noted", "{}", said.err());
    let seen = place.api.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].token(), seen[1].token());
    assert!(seen.iter().all(|seen| seen.body == "body" && seen.method == "PUT"));
    // What may do something twice is not, and the next request has another token.
    place.api.refuses.store(1, Ordering::Relaxed);
    let line = "curl -sS -d body $HALLPASS_PROXY_URL/a; curl -sS $HALLPASS_PROXY_URL/b";
    assert_eq!(place.run(&[], line).await.out(), "refusednoted");
    let seen = place.api.seen();
    assert_eq!(seen.len(), 4);
    assert_ne!(seen[2].token(), seen[3].token());
    // An API that refuses everything is believed.
    place.api.refuses.store(100, Ordering::Relaxed);
    let line = "for i in 1 2 3; do curl -sS $HALLPASS_PROXY_URL/c; done";
    assert_eq!(place.run(&[], line).await.out(), "refusedrefusedrefused");
    let tokens: std::collections::HashSet<_> =
        place.api.seen()[4..].iter().map(|seen| seen.token().unwrap().to_owned()).collect();
    assert_eq!((place.api.seen().len(), tokens.len()), (8, 2));
}

#[tokio::test]
async fn a_command_outlives_its_token_by_far() {
    let place = Place::over_http().await;
    let line = "n=0; while [ ! -e go ] && [ $n -lt 900 ]; do n=$((n + 1)); curl -s $HALLPASS_PROXY_URL/n; sleep 0.1; done";
    let child = place.exec(&["--ttl", "2s"], line).spawn().unwrap();
    until("four tokens came one after the other", async || {
        let seen = place.api.seen();
        let tokens: std::collections::HashSet<_> = seen.iter().filter_map(|seen| seen.token()).collect();
        tokens.len() >= 4
    })
    .await;
    place.machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.out().replace("noted", "").is_empty(), "no request was refused: {}", said.out());
}

#[tokio::test]
async fn bodies_of_any_length_and_redirections_pass() {
    let place = Place::over_https().await;
    let line = "head -c 20000000 /dev/urandom > big; curl -sS -T big $HALLPASS_PROXY_URL/back | cmp - big && \
                curl -sS --data-binary @big $API/back | cmp - big && \
                head -c 1000 big | curl -sS -T - $HALLPASS_PROXY_URL/back | wc -c && \
                curl -sS -L $HALLPASS_PROXY_URL/moved";
    let said = place.run(&[], line).await;
    assert_eq!(said.out(), "1000\nnoted", "{}", said.err());
    let seen = place.api.last();
    assert_eq!(seen.path, "/notes");
    assert!(seen.token().is_some());
}

#[tokio::test]
async fn a_connection_may_become_another_and_http_2_is_not_spoken() {
    let place = Place::over_https().await;
    let script = r#"
import os, socket, urllib.parse
url = urllib.parse.urlsplit(os.environ['HALLPASS_PROXY_URL'])
s = socket.create_connection((url.hostname, url.port))
s.sendall(f'GET {url.path}/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n'.encode())
f = s.makefile('rb')
print(f.readline().decode().strip())
while f.readline().strip(): pass
s.sendall(b'hello')
print(f.read().decode())
"#;
    std::fs::write(place.machine.path("chat.py"), script).unwrap();
    let said = place.run(&[], "python3 chat.py").await;
    let token = place.api.last().token().unwrap().to_owned();
    let stars = "*".repeat(token.len());
    assert_eq!(said.out(), format!("HTTP/1.1 101 Switching Protocols\nhello {stars}\n"), "{}", said.err());
    let line = "curl -sS --http2 -o /dev/null -w '%{http_version}\n' $API/a; \
                curl -s --noproxy '*' --http2-prior-knowledge -o /dev/null $HALLPASS_PROXY_URL/b || echo refused";
    assert_eq!(place.run(&[], line).await.out(), "1.1\nrefused\n");
}

#[tokio::test]
async fn when_hallpass_is_killed_the_proxy_is_gone_and_the_token_dies() {
    let place = Place::over_http().await;
    let (mut child, environment) = place.start(&[]).await;
    let token = place.api.last().token().unwrap().to_owned();
    assert!(place.machine.world.accepts(&token).await);
    kill_process(pid(&child), Signal::KILL).unwrap();
    place.machine.until_dead(&token).await;
    let address = variable(&environment, "HALLPASS_PROXY_URL");
    let said = Command::new("curl").args(["-s", address]).output().await.unwrap();
    assert_eq!(said.status.code(), Some(7), "nobody listens");
    let bundle = variable(&environment, "SSL_CERT_FILE");
    until("the certificates are gone", async || !std::path::Path::new(bundle).exists()).await;
    place.machine.let_go();
    in_time(child.wait()).await.unwrap();
}

#[tokio::test]
async fn flags_of_the_proxy_are_refused_elsewhere_and_so_is_an_api_in_the_clear() {
    let machine = Machine::signed_in().await;
    let exec = ["exec", "--purpose", "a test"];
    let said = machine.run(&[&exec[..], &["--only", "--", "true"]].concat()).await;
    assert_eq!(said.code(), 125);
    assert!(said.err().contains("`--to` and `--only` are for `--as proxy`"), "{}", said.err());
    let arguments = ["--as", "proxy", "--to", "http://api.example", "--", "true"];
    let said = machine.run(&[&exec[..], &arguments].concat()).await;
    assert_eq!(said.code(), 125);
    assert!(said.err().contains("adds the token for https addresses"), "{}", said.err());
}
