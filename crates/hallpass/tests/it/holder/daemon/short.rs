//! The short way of `hallpass token`: one question to the daemon, and nothing else is said or answered than by the long way.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::holder::machine::{Home, Said, in_time, until};
use crate::holder::which::{configure, login, two_profiles};

/// A socket in front of the daemon's that keeps what is asked.
struct Between {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Between {
    fn start(home: &Home) -> Self {
        let (socket, daemon) = (home.path("between.sock"), home.socket());
        let listener = UnixListener::bind(&socket).unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noting = asked.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, daemon.clone(), noting.clone()));
            }
        });
        Self { socket, asked }
    }

    /// What was asked since this was called last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A question is read to where it says it ends, and its answer to where it does.
async fn pass_on(mut client: UnixStream, daemon: PathBuf, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut question = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&question);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= len.parse().ok()? {
                asked.lock().unwrap().push(head.split(" HTTP/").next()?.to_owned());
                break;
            }
        }
        if client.read_buf(&mut question).await.ok()? == 0 {
            return None;
        }
    }
    let mut daemon = UnixStream::connect(daemon).await.ok()?;
    daemon.write_all(&question).await.ok()?;
    tokio::io::copy(&mut daemon, &mut client).await.ok()?;
    None
}

/// Where somebody stands, and what is set there.
struct Here<'a> {
    home: &'a Home,
    between: Between,
    folder: PathBuf,
}

impl<'a> Here<'a> {
    async fn start(home: &'a Home) -> Self {
        home.daemon().await;
        let folder = home.path("src/project/deep");
        std::fs::create_dir_all(&folder).unwrap();
        Self { home, between: Between::start(home), folder }
    }

    /// The directory says this, and somebody has looked at it.
    async fn directory(&self, text: &str) {
        std::fs::write(self.home.path("src/project/.hallpass.toml"), text).unwrap();
        let trusted = self.home.run(&["trust", self.home.path("src/project").to_str().unwrap()]).await;
        assert_eq!(trusted.code(), 0, "{}", trusted.err());
    }

    async fn say(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = self.home.hallpass(arguments);
        command.env("HALLPASS_SOCKET", &self.between.socket).current_dir(&self.folder);
        Said(in_time(command.envs(environment.iter().copied()).output()).await.unwrap())
    }

    /// Both ways say the same; whether the short one was taken.
    async fn is_short(&self, arguments: &[&str], environment: &[(&str, &str)]) -> bool {
        self.between.asked();
        let short = self.say(arguments, environment).await;
        let asked = self.between.asked();
        // A flag that the short way does not know, and that changes nothing where nobody is there to be asked.
        let long = self.say(&[arguments, &["--no-input"]].concat(), environment).await;
        let all = |said: &Said| (said.code(), said.out(), said.err());
        assert_eq!(all(&short), all(&long), "{arguments:?} {environment:?}");
        let by_records = self.between.asked().iter().any(|asked| asked == "GET /v1/records");
        assert!(by_records || long.code() == 2, "that was the long way: {arguments:?} {environment:?}");
        asked == ["POST /v1/token"]
    }
}

const TOKEN: &[&str] = &["token"];

#[tokio::test]
async fn settings_environment_and_a_trusted_directory_are_heard_on_the_short_way() {
    let (_provider, home) = two_profiles().await;
    let here = Here::start(&home).await;
    // Several would do: the long way may ask somebody.
    assert!(!here.is_short(TOKEN, &[]).await);
    assert!(here.is_short(&["token", "--profile", "home"], &[]).await);
    assert!(here.is_short(TOKEN, &[("HALLPASS_PROFILE", "work")]).await);
    assert!(here.is_short(TOKEN, &[("HALLPASS_PROFILE", "work"), ("HALLPASS_DAEMON", "on")]).await);
    assert!(here.is_short(TOKEN, &[("HALLPASS_PROFILE", "nobody")]).await, "an error is an answer too");
    assert!(!here.is_short(TOKEN, &[("HALLPASS_PROFILE", "../x")]).await);

    configure(&home, "default_profile = 'work'\n[profile.later]\nissuer = 'https://id.example'");
    assert!(here.is_short(TOKEN, &[]).await);
    let by_default = here.say(TOKEN, &[]).await.out();
    here.directory("profile = 'home'\norg = 'acme'").await;
    assert!(here.is_short(TOKEN, &[]).await);
    assert_ne!(here.say(TOKEN, &[]).await.out(), by_default, "the directory is nearer");
    // It binds one that may not be meant.
    assert!(!here.is_short(TOKEN, &[("HALLPASS_PROFILE", "work")]).await);
    assert!(!here.is_short(&["token", "--profile", "work"], &[]).await);

    here.directory("profile = 'home'\norg = 'rival'").await;
    assert!(!here.is_short(TOKEN, &[]).await);
    assert_eq!(here.say(TOKEN, &[]).await.code(), 5);
    std::fs::write(home.path("src/project/.hallpass.toml"), "profile = 'home' # changed").unwrap();
    assert!(here.is_short(TOKEN, &[]).await, "not followed, and said to be");
    assert_eq!(here.say(TOKEN, &[]).await.out(), by_default);

    configure(&home, "defualt_profile = 'work'");
    assert!(!here.is_short(TOKEN, &[]).await);
    assert_eq!(here.say(TOKEN, &[]).await.code(), 2);
}

#[tokio::test]
async fn what_a_directory_says_a_token_is_for_is_asked_for_on_the_short_way() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    login(&home, &provider, &[]).await;
    let here = Here::start(&home).await;
    here.directory("resource = 'https://wiki.example/'\nscope = ['wiki:read', 'wiki:write']").await;
    assert!(here.is_short(TOKEN, &[]).await);
    let asked = provider.last_form("token");
    assert_eq!((&*asked["resource"], &*asked["scope"]), ("https://wiki.example/", "wiki:read wiki:write"));
    assert!(here.is_short(&["token", "--scope", "wiki:read"], &[]).await);
    assert_eq!(provider.last_form("token")["scope"], "wiki:read");
    let exchanges = provider.asked("token-exchange");
    for _ in 0..3 {
        assert!(here.is_short(TOKEN, &[]).await);
    }
    assert_eq!(provider.asked("token-exchange"), exchanges, "it is kept ready");
}

#[tokio::test]
async fn a_kept_answer_is_not_given_where_another_organisation_is_asked_for() {
    let provider = SmallProvider::start(Manner::default()).await;
    let home = Home::new();
    login(&home, &provider, &["--resource", "https://wiki.example/"]).await;
    let here = Here::start(&home).await;
    let of_acme = here.say(TOKEN, &[]).await;
    assert_eq!(of_acme.code(), 0, "{}", of_acme.err());
    until("it is kept ready", async || {
        assert_eq!(here.say(TOKEN, &[]).await.code(), 0);
        home.daemon_status().await["ready"].as_u64() > Some(0)
    })
    .await;
    here.directory("org = 'rival'").await;
    let refused = here.say(TOKEN, &[]).await;
    assert_eq!((refused.code(), refused.out().as_str()), (5, ""), "{}", refused.err());
}
