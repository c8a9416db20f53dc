//! A home that processes run in: what their environment says, and the programs that are started there.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hallpass_model::random::{Entropy, SystemEntropy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::proxy::Door;
use crate::behind;
use crate::commands::torture::TURNS;
use crate::env;
use crate::failure::{Exit, Failure};

/// This very program, even if its file was replaced since it started.
const OURSELVES: &str = "/proc/self/exe";
/// One command at most: a renewal may wait for another's lock as long as that may take, twice.
const COMMAND_AT_MOST: Duration = Duration::from_secs(150);

/// Where processes run, and which sign-in they find there.
#[derive(Clone)]
pub(super) struct Home {
    /// What their environment says, besides what is the door's.
    environment: Vec<(&'static str, PathBuf)>,
    /// Where records are.
    state: PathBuf,
    /// Which sign-in is meant.
    which: Vec<String>,
    /// What stands before the program: another machine's clothes.
    wrapped: Vec<String>,
}

impl Home {
    /// A new one under `root`, whose processes trust the run's own certificates.
    pub(super) fn new(root: &Path, name: &str, ca: &Path, which: Vec<String>) -> std::io::Result<Self> {
        let home = root.join(name);
        let state = home.join("state/hallpass");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join("state"))?;
        let passphrase = home.join("passphrase");
        write_private(&passphrase, made_up().as_bytes())?;
        let environment = vec![
            (env::HOME.name, home.clone()),
            (env::XDG_CONFIG_HOME.name, home.join("config")),
            (env::HALLPASS_STATE_DIR.name, state.clone()),
            (env::HALLPASS_PASSPHRASE_FILE.name, passphrase),
            (env::HALLPASS_CA_FILE.name, ca.to_owned()),
            // The system's own certificates are of no use there, and take time to read.
            (env::SSL_CERT_FILE.name, ca.to_owned()),
        ];
        Ok(Self { environment: with_rung(environment), state, which, wrapped: Vec::new() })
    }

    /// The person's own, with the sign-in they have.
    pub(super) fn own(state: PathBuf, ca: &Path, which: Vec<String>) -> Self {
        let own = [env::HOME, env::XDG_CONFIG_HOME, env::HALLPASS_PASSPHRASE_FILE];
        let mut environment: Vec<_> =
            own.into_iter().filter_map(|variable| Some((variable.name, variable.path()?))).collect();
        environment.extend([
            (env::HALLPASS_STATE_DIR.name, state.clone()),
            (env::HALLPASS_CA_FILE.name, ca.to_owned()),
            (env::SSL_CERT_FILE.name, ca.to_owned()),
        ]);
        Self { environment: with_rung(environment), state, which, wrapped: Vec::new() }
    }

    /// The same records, found from another home with other folders.
    pub(super) fn found_from(&self, root: &Path, name: &str) -> std::io::Result<Self> {
        let home = root.join(name);
        for folder in ["config", "run", "tmp"] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join(folder))?;
        }
        let mut other = self.clone();
        for (variable, folder) in
            [("HOME", "."), ("XDG_CONFIG_HOME", "config"), ("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")]
        {
            other.environment.retain(|(name, _)| *name != variable);
            other.environment.push((variable, home.join(folder)));
        }
        // The default place of records, by way of a link, instead of naming it.
        if let Some(parent) = self.state.parent().filter(|_| self.state.ends_with("hallpass")) {
            std::os::unix::fs::symlink(parent, home.join("state"))?;
            other.environment.retain(|(name, _)| *name != env::HALLPASS_STATE_DIR.name);
            other.environment.push((env::XDG_STATE_HOME.name, home.join("state")));
        }
        Ok(other)
    }

    /// The same home, on another machine.
    pub(super) fn on_other_machine(&self, machine_id: &Path) -> Self {
        let script = "mount --bind \"$1\" /etc/machine-id && shift && exec \"$@\"";
        let wrapped = ["unshare", "--mount", "sh", "-c", script, "sh"].map(str::to_owned);
        let machine_id = machine_id.display().to_string();
        Self { wrapped: wrapped.into_iter().chain([machine_id]).collect(), ..self.clone() }
    }

    /// The same, where a write that the disk has no room for is an error and not a signal.
    pub(super) fn with_small_disk(&self, blocks: Option<u32>) -> Self {
        let limit = blocks.map(|blocks| format!("ulimit -f {blocks}; ")).unwrap_or_default();
        let script = format!("trap '' XFSZ; {limit}exec \"$@\"");
        Self { wrapped: vec!["sh".into(), "-c".into(), script, "sh".into()], ..self.clone() }
    }

    /// The program with these arguments, behind this door.
    pub(super) fn command(&self, door: &Door, arguments: &[&str]) -> Command {
        let program = behind::front().unwrap_or_else(|_| OURSELVES.into());
        let mut words = self.wrapped.iter().map(Into::into).chain([program.into_os_string()]);
        let mut command = Command::new(words.next().expect("there is the program at least"));
        command
            .args(words)
            .args(arguments)
            .env_clear()
            .env(env::PATH.name, env::PATH.value().unwrap_or_default())
            .env(env::HALLPASS_NO_INPUT.name, "1")
            // What is tried here is files and locks; nothing else may hold the sign-in.
            .env("HALLPASS_DAEMON", "off")
            .env(env::HTTPS_PROXY.name, door.proxy())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// `hallpass token`, from nothing that is kept.
    pub(super) async fn token(&self, door: &Door) -> Result<Said, Failure> {
        self.run(door, &["token", "--fresh"]).await
    }

    /// Runs a command about the sign-in to its end.
    pub(super) async fn run(&self, door: &Door, arguments: &[&str]) -> Result<Said, Failure> {
        let all: Vec<&str> = arguments.iter().copied().chain(self.which.iter().map(String::as_str)).collect();
        let child = self.command(door, &all).spawn().map_err(not_started)?;
        door.behind(child.id());
        let said = Said::of(child).await;
        door.behind(None);
        said
    }

    /// Starts a process that renews whenever it is told to.
    pub(super) fn turns(&self, door: &Arc<Door>) -> Result<Turns, Failure> {
        let all: Vec<&str> = [TURNS].into_iter().chain(self.which.iter().map(String::as_str)).collect();
        let mut command = self.command(door, &all);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(not_started)?;
        door.behind(child.id());
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        Ok(Turns { child, input, output, door: door.clone() })
    }

    /// The files of records there are.
    pub(super) fn records(&self) -> Vec<PathBuf> {
        let machines = std::fs::read_dir(&self.state).into_iter().flatten().flatten();
        let files =
            machines.flat_map(|machine| std::fs::read_dir(machine.path()).into_iter().flatten().flatten());
        let files = files.map(|file| file.path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "record")).collect()
    }

    /// What says which sign-in is meant.
    pub(super) fn which(&self) -> impl Iterator<Item = &str> {
        self.which.iter().map(String::as_str)
    }

    /// The file with the passphrase, if it is of this run.
    pub(super) fn passphrase(&self) -> Option<&Path> {
        let found = self.environment.iter().find(|(name, _)| *name == env::HALLPASS_PASSPHRASE_FILE.name);
        found.map(|(_, path)| path.as_path())
    }
}

/// A process that renews whenever it is told to.
pub(super) struct Turns {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    door: Arc<Door>,
}

impl Turns {
    /// One renewal: the code that `hallpass token` would have left with. None if it was killed.
    pub(super) async fn turn(&mut self) -> Option<u8> {
        self.input.write_all(b"\n").await.ok()?;
        self.output.next_line().await.ok()??.parse().ok()
    }

    /// Waits for its end.
    pub(super) async fn end(mut self) {
        drop(self.input);
        let _ = self.child.wait().await;
        self.door.behind(None);
    }
}

/// What a command said, and how it ended.
pub(super) struct Said {
    /// None if a signal ended it.
    pub(super) code: Option<u8>,
    /// SECURITY: may hold a token; looked at, never shown.
    pub(super) out: Vec<u8>,
    pub(super) err: String,
}

impl Said {
    pub(super) async fn of(child: Child) -> Result<Self, Failure> {
        let ended = tokio::time::timeout(COMMAND_AT_MOST, child.wait_with_output()).await;
        let late = || Failure::try_later("a command did not come to an end in time");
        let Output { status, stdout, stderr } = ended.map_err(|_| late())?.map_err(not_started)?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(Self { code, out: stdout, err: String::from_utf8_lossy(&stderr).into_owned() })
    }

    pub(super) fn done(&self) -> bool {
        self.code == Some(Exit::DONE.code())
    }

    /// Whether it says to sign in again, by its code and in words.
    pub(super) fn says_to_sign_in(&self) -> bool {
        self.code == Some(Exit::SIGN_IN.code()) && self.err.contains("hint: run `hallpass login ")
    }

    /// Its last word to people, for a report.
    pub(super) fn told(&self) -> String {
        let line = self.err.lines().find(|line| line.contains("error: ")).unwrap_or_default();
        let code = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        format!("{code}: {}", hallpass_model::purpose::plain(line, 200))
    }
}

/// The rung that the person chose for everything holds here too.
fn with_rung(mut environment: Vec<(&'static str, PathBuf)>) -> Vec<(&'static str, PathBuf)> {
    environment.extend(env::HALLPASS_STORE.path().map(|rung| (env::HALLPASS_STORE.name, rung)));
    environment
}

/// Writes a file that is nobody else's business.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// A word that nobody guesses.
pub(super) fn made_up() -> String {
    let mut bytes = [0u8; 16];
    SystemEntropy.fill(&mut bytes);
    hallpass_model::jose::base64url::render(bytes)
}

fn not_started(error: std::io::Error) -> Failure {
    Failure::could_not_run(format_args!("a command could not be run: {error}"))
}
