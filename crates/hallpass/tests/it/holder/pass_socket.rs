//! A run's pass socket: what is inside of a command gets passes no wider than the command's, and none outlives it.

use std::path::PathBuf;
use std::process::Stdio;

use hallpass_testkit::world::NOTES;
use rustix::process::{Signal, kill_process};
use tokio::process::Command;

use super::api::{Api, Kind};
use super::killed::{kill_both, pid};
use super::machine::{Machine, Said, in_time, until};

/// A run that opened a socket and waits to be let go.
struct Outer {
    child: tokio::process::Child,
    socket: PathBuf,
}

/// Opens one for `notes:read`, by a run with these arguments more.
async fn outer(machine: &Machine, more: &[&str]) -> Outer {
    let script = machine.script().replace("$HALLPASS_TOKEN", "$HALLPASS_TOKEN_SOCKET");
    let mut arguments = vec!["exec", "--as", "socket", "--scope", "notes:read", "--purpose", "outside"];
    arguments.extend(more);
    arguments.extend(["--", "sh", "-c", &script]);
    let mut command = machine.hallpass(&arguments);
    let child = command.env("XDG_RUNTIME_DIR", machine.path("")).spawn().unwrap();
    Outer { child, socket: machine.token_of_run().await.into() }
}

impl Outer {
    /// `hallpass` as it is run inside: with the socket, and nothing else of this machine's. `bare` has no home either.
    async fn inside(&self, machine: &Machine, arguments: &[&str]) -> Said {
        let mut command = machine.hallpass(arguments);
        command.env_remove("HOME").env_remove("HALLPASS_SOCKET").env_remove("HALLPASS_PASSPHRASE_FILE");
        command.env("HALLPASS_TOKEN_SOCKET", &self.socket);
        Said(in_time(command.output()).await.unwrap())
    }

    async fn end(self, machine: &Machine) -> Said {
        machine.let_go();
        let said = Said(in_time(self.child.wait_with_output()).await.unwrap());
        assert!(!self.socket.exists() && !self.socket.parent().unwrap().exists(), "{:?}", self.socket);
        said
    }
}

async fn asked(socket: &std::path::Path, path: &str, question: Option<&str>) -> (u16, serde_json::Value) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--write-out", "\n%{http_code}", "--unix-socket"]).arg(socket);
    if let Some(question) = question {
        command.args(["--data", question]);
    }
    command.arg(format!("http://hallpass{path}")).stdin(Stdio::null());
    let said = Said(in_time(command.output()).await.unwrap());
    let out = said.out();
    let (body, code) = out.rsplit_once('\n').unwrap();
    (code.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn inside_of_a_command_less_is_given_more_is_refused_and_nothing_outlives_it() {
    let machine = Machine::signed_in().await;
    let outer = outer(&machine, &["--ttl", "5m"]).await;
    let said = outer.inside(&machine, &["token", "--json"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let plain = said.json();
    assert_eq!((plain["scope"].as_str(), plain["resource"].as_str()), (Some("notes:read"), Some(NOTES)));
    let plain = plain["access_token"].as_str().unwrap().to_owned();
    assert!(machine.world.accepts(&plain).await);
    let claims = machine.world.introspect(&plain).await;
    assert_eq!((claims["scope"].as_str(), claims["aud"].as_str()), (Some("notes:read"), Some(NOTES)));

    // A command inside has one of its own, which dies with it, also where nothing of ours can be reached but the socket.
    let said = outer
        .inside(&machine, &["exec", "--purpose", "inside", "--", "sh", "-c", "printf %s \"$HALLPASS_TOKEN\""])
        .await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let of_command = said.out();
    assert_ne!(of_command, plain);
    assert!(!machine.world.accepts(&of_command).await, "given back when its command ended");
    assert!(machine.world.accepts(&plain).await, "and no other");
    let part = of_command.split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&hallpass_model::jose::base64url::parse(part).unwrap()).unwrap();
    assert_eq!(claims["purpose"], "outside", "why is said outside");
    assert!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 300,
        "no longer than outside"
    );

    for (arguments, rule) in [
        (&["--scope", "notes:write"][..], "reaches `notes:read` at most, and `notes:write` was asked for"),
        (
            &["--resource", "https://mail.example/"],
            "for `https://notes.example/`, and `https://mail.example/`",
        ),
    ] {
        for (command, rest, code) in
            [("token", &[][..], 5), ("exec", &["--purpose", "inside", "--", "true"][..], 125)]
        {
            let said = outer.inside(&machine, &[&[command], arguments, rest].concat()).await;
            assert_eq!(said.code(), code, "{command} {arguments:?}: {}", said.err());
            assert!(said.err().contains(rule) && said.err().contains("hint: ask for less"), "{}", said.err());
        }
    }
    let named = outer.inside(&machine, &["token", "--issuer", &machine.world.issuer_url]).await;
    assert_eq!(named.code(), 2, "{}", named.err());

    let said = outer.end(&machine).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!machine.world.accepts(&plain).await, "when the command outside has ended, all are dead");
}

/// As the documentation of the socket has it.
#[tokio::test]
async fn whoever_speaks_http_and_json_gets_passes_and_nothing_else() {
    let machine = Machine::signed_in().await;
    let outer = outer(&machine, &[]).await;
    let (code, gives) = asked(&outer.socket, "/v1/status", None).await;
    assert_eq!(
        (code, gives["scope"].as_str(), gives["purpose"].as_str()),
        (200, Some("notes:read"), Some("outside"))
    );
    assert_eq!((gives["resource"].as_str(), gives["lifetime"].as_u64()), (Some(NOTES), Some(600)));

    let (code, given) = asked(&outer.socket, "/v1/token", Some("{}")).await;
    assert_eq!(code, 200, "{given}");
    let shared = given["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        asked(&outer.socket, "/v1/token", Some("{}")).await.1["access_token"],
        shared.as_str(),
        "the same again"
    );
    let text = given.to_string();
    assert!(!text.contains("hpr_") && given.get("run").is_none() && given.get("profile").is_none(), "{text}");
    // One that others have is not ended for them; one of a run's own is.
    let back = |token: &str| serde_json::json!({ "access_token": token }).to_string();
    assert_eq!(asked(&outer.socket, "/v1/give-back", Some(&back(&shared))).await.0, 400);
    let (_, own) = asked(&outer.socket, "/v1/token", Some(r#"{"lease": true}"#)).await;
    let own = own["access_token"].as_str().unwrap().to_owned();
    assert!(machine.world.accepts(&own).await && own != shared);
    assert_eq!(asked(&outer.socket, "/v1/give-back", Some(&back(&own))).await.0, 200);
    assert!(!machine.world.accepts(&own).await && machine.world.accepts(&shared).await);
    assert_eq!(asked(&outer.socket, "/v1/give-back", Some(&back(&own))).await.0, 404, "once");

    let (code, refused) = asked(&outer.socket, "/v1/token", Some(r#"{"scope": "notes:write"}"#)).await;
    assert_eq!((code, refused["error"].as_str()), (403, Some("wider")), "{refused}");
    // What the daemon answers, this does not.
    for path in ["/v1/records", "/v1/logout", "/v1/stop", "/v1/lock", "/v1/not-taken", "/v1/forget", "/"] {
        for question in [None, Some("{}")] {
            assert_eq!(asked(&outer.socket, path, question).await.0, 404, "{path}");
        }
    }
    for bad in ["", "[]", "{\"refresh_token\": 1}", "{\"scope\": \"\\u0000\"}"] {
        assert_eq!(asked(&outer.socket, "/v1/token", Some(bad)).await.0, 400, "{bad}");
    }
    assert!(machine.world.accepts(&shared).await);
    outer.end(&machine).await;
    assert!(!machine.world.accepts(&shared).await);
}

#[tokio::test]
async fn when_the_command_outside_is_killed_its_socket_goes_and_every_pass_of_it_dies() {
    for both in [false, true] {
        let machine = Machine::signed_in().await;
        let mut outer = outer(&machine, &[]).await;
        let mut tokens = Vec::new();
        for question in ["{}", r#"{"lease": true}"#, r#"{"lifetime": 120}"#] {
            let (code, given) = asked(&outer.socket, "/v1/token", Some(question)).await;
            assert_eq!(code, 200, "{given}");
            tokens.push(given["access_token"].as_str().unwrap().to_owned());
        }
        match both {
            false => kill_process(pid(&outer.child), Signal::KILL).unwrap(),
            true => kill_both(pid(&outer.child)),
        }
        for token in &tokens {
            machine.until_dead(token).await;
        }
        let said = outer.inside(&machine, &["token"]).await;
        assert_eq!(said.code(), 70, "{}", said.err());
        assert!(said.err().contains("the command that opened it may be over"), "{}", said.err());
        machine.let_go();
        in_time(outer.child.wait()).await.unwrap();
        let folder = outer.socket.parent().unwrap().to_owned();
        if !both {
            until("the watcher takes the socket away", async || !folder.exists()).await;
        } else {
            // Nobody was left to; the next such run does.
            assert!(outer.socket.exists());
            for file in ["token", "go"] {
                std::fs::remove_file(machine.path(file)).unwrap();
            }
            let next = self::outer(&machine, &[]).await;
            assert!(!folder.exists());
            next.end(&machine).await;
        }
    }
}

/// A socket inside of a socket, and a program that renews there.
#[tokio::test]
async fn a_command_inside_narrows_further_and_is_renewed_from_the_socket() {
    let machine = Machine::signed_in().await;
    let script = machine.script().replace("$HALLPASS_TOKEN", "$HALLPASS_TOKEN_SOCKET");
    let ours = env!("CARGO_BIN_EXE_hallpass");
    let inner = format!(
        "{ours} exec --as socket --scope notes:read --purpose inside -- sh -c '{}'",
        script.replace('\'', "'\\''")
    );
    let arguments = ["exec", "--as", "socket", "--purpose", "outside", "--", "sh", "-c", &inner];
    let child = machine.hallpass(&arguments).env("XDG_RUNTIME_DIR", machine.path("")).spawn().unwrap();
    let outer = Outer { child, socket: machine.token_of_run().await.into() };
    let said = outer.inside(&machine, &["token", "--scope", "notes:write"]).await;
    assert_eq!(said.code(), 5, "the outermost would, the one between does not: {}", said.err());
    let said = outer.inside(&machine, &["token"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let token = said.out().trim().to_owned();
    assert!(machine.world.accepts(&token).await);
    // A file is renewed from it, and the file's own command ends alone.
    let file = ["exec", "--as", "file", "--ttl", "5s", "--purpose", "x", "--", "sh", "-c"];
    let script = "a=$(cat $HALLPASS_TOKEN_FILE); while [ \"$a\" = \"$(cat $HALLPASS_TOKEN_FILE)\" ]; do sleep 0.1; done; echo renewed";
    let said = outer.inside(&machine, &[&file[..], &[script]].concat()).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "renewed\n"), "{}", said.err());
    let said = outer.end(&machine).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!machine.world.accepts(&token).await);
}

/// In a user namespace everybody outside is nobody, and a user of a container is nobody outside.
#[tokio::test]
async fn another_user_of_a_namespace_reaches_a_socket_it_was_given_and_outside_none_does() {
    let machine = Machine::signed_in().await;
    let outer = outer(&machine, &[]).await;
    let (ours, whole) = (crate::program::PROGRAM, crate::program::WHOLE);
    // Mounted somewhere else, as into a container, and asked there by the user without a number of its own.
    let script = format!(
        "mount -t tmpfs none /mnt && touch /mnt/pass.sock && mount --bind {} /mnt/pass.sock && \
         cp {whole} /mnt/hallpass && \
         HALLPASS_TOKEN_SOCKET=/mnt/pass.sock setpriv --reuid=65534 --clear-groups /mnt/hallpass token",
        outer.socket.display()
    );
    let mut command = Command::new("unshare");
    let said = command
        .args(["--mount", "sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let said = Said(in_time(said.stdin(Stdio::null()).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(machine.world.accepts(said.out().trim()).await);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", &format!("{ours} token")]);
    let said = command.env_clear().env("PATH", "/usr/bin:/bin").env("HALLPASS_TOKEN_SOCKET", &outer.socket);
    let said = Said(in_time(said.stdin(Stdio::null()).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(machine.world.accepts(said.out().trim()).await);
    // On this machine its folder keeps others out.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups", "curl", "--silent", "--unix-socket"]).arg(&outer.socket);
    let said = command.args(["--data", "{}", "http://hallpass/v1/token"]).stdin(Stdio::null());
    let said = Said(in_time(said.output()).await.unwrap());
    assert_ne!(said.code(), 0);
    assert_eq!(said.out(), "");
    outer.end(&machine).await;
}

#[tokio::test]
async fn a_provider_without_narrower_tokens_opens_no_socket() {
    use hallpass_testkit::small_provider::{Manner, SmallProvider};
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let machine = Machine::new().await;
    let login =
        ["login", &provider.issuer, "--client-id", "some-cli", "--flow", "device", "--resource", NOTES];
    let said = machine.run(&login).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let arguments = ["exec", "--as", "socket", "--purpose", "x", "--", "touch", "started"];
    let mut command = machine.hallpass(&arguments);
    command.env("XDG_RUNTIME_DIR", machine.path("")).current_dir(machine.path(""));
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!(said.code(), 125, "{}", said.err());
    assert!(said.err().contains("no tokens that are narrower"), "{}", said.err());
    assert!(!machine.path("started").exists());
}

#[tokio::test]
async fn curl_inside_asks_the_api_that_the_socket_is_for_and_no_other() {
    let machine = Machine::new().await;
    let api = Api::start(&machine.world.issuer_url, Kind::default()).await;
    let stranger = Api::start_stranger().await;
    machine.world.add_resource(&api.url, "notes:read", None).await;
    machine.login(&["--resource", &api.url]).await;
    let outer = outer(&machine, &["--resource", &api.url]).await;
    let said = outer.inside(&machine, &["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes bearer \n"), "{}", said.err());
    let said = outer.inside(&machine, &["curl", "-sS", &stranger.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""));
    assert!(said.err().contains(&format!("is for {}", api.url)), "{}", said.err());
    assert!(stranger.seen().is_empty());
    outer.end(&machine).await;
}
