//! A server's door: it lets in whoever shows a token that the issuer says is alive, and remembers who came.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass_testkit::world::NOTES;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::super::machine::Machine;

/// Somebody signed in as profile `work`, and the door of a server.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) machine: Arc<Machine>,
    admitted: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<HashSet<String>>>,
}

impl Gate {
    pub(super) async fn new() -> Self {
        let machine = Machine::new().await;
        machine.login(&["--profile", "work"]).await;
        Self { machine: Arc::new(machine), admitted: Arc::default(), refused: Arc::default() }
    }

    /// Whether a request may come in, by the token in its header or, where it is a password, in that.
    pub(super) async fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(header) = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()) else {
            return false;
        };
        let token = match header.split_once(' ') {
            Some(("Bearer", token)) => token.to_owned(),
            Some(("Basic", pair)) => {
                let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
                pair.split_once(':').unwrap().1.to_owned()
            }
            _ => return false,
        };
        self.admits_token(&token).await
    }

    pub(super) async fn admits_token(&self, token: &str) -> bool {
        if token.is_empty()
            || self.refused.lock().unwrap().contains(token)
            || !self.machine.world.accepts(token).await
        {
            return false;
        }
        self.admitted.lock().unwrap().push(token.to_owned());
        true
    }

    /// The tokens that were let in, in order.
    pub(super) fn admitted(&self) -> Vec<String> {
        self.admitted.lock().unwrap().clone()
    }

    /// Lets a token in no more, though it is alive.
    pub(super) fn refuse(&self, token: &str) {
        self.refused.lock().unwrap().insert(token.to_owned());
    }

    /// Writes `config.toml`. `PORT` in it is the server's.
    pub(super) fn configure(&self, text: &str) {
        let folder = self.machine.path(".config/hallpass");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), text).unwrap();
    }

    /// An entry for profile `work` and the one API.
    pub(super) fn entry(&self, kind: &str, at: &str, more: &str) -> String {
        format!(
            "[[target]]\nkind = \"{kind}\"\nat = \"{at}\"\nprofile = \"work\"\nresource = \"{NOTES}\"\n{more}\n"
        )
    }

    /// A link by which a program finds its helper, in a folder to be put on its PATH.
    pub(super) fn link(&self, name: &str) -> PathBuf {
        let folder = self.machine.path("links");
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(hallpass(), folder.join(name)).unwrap();
        folder
    }

    /// Has a program told about its helper, as a person does it, and looks that once is enough.
    pub(super) async fn setup(&self, tool: &str) {
        let said = self.machine.run(&["setup", tool, "--yes"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(
            said.err().contains("+++ ") || said.err().contains(" -> "),
            "what changes is shown: {}",
            said.err()
        );
        let said = self.machine.run(&["setup", tool, "--yes"]).await;
        assert!(said.code() == 0 && said.err().contains("it is as it should be"), "{}", said.err());
    }

    /// Where programs look for programs, once the person did as `hallpass setup` says.
    pub(super) fn path(&self) -> String {
        let ours = ["links", ".local/share/hallpass/keyring", ".local/share/hallpass/bin"];
        let ours = ours.map(|folder| self.machine.path(folder).display().to_string());
        format!("{}:/usr/bin:/bin", ours.join(":"))
    }

    /// Another program, as this person runs it: with the environment `hallpass` has here, and the links on its PATH.
    pub(super) fn program(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let ours = self.machine.hallpass::<&str>(&[]);
        let mut command = Command::new(program.as_ref());
        command
            .args(arguments)
            .env_clear()
            .envs(ours.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("PATH", self.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// The program.
pub(super) fn hallpass() -> &'static str {
    env!("CARGO_BIN_EXE_hallpass")
}

/// A port for a server to come.
pub(super) async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Serves until the test ends.
pub(super) fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}
