//! Where it is played: a provider, its own or one of ours in a temporary folder, and how to sign in there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::TortureArgs;
use super::home::{Home, Said, made_up, write_private};
use super::proxy::{Door, Proxy, Upstream};
use crate::env;
use crate::failure::Failure;
use crate::holding::state_folder;

/// Our own issuer, where none is named.
const ORG: &str = "torture";
const PERSON: &str = "tester";
const API: &str = "https://api.hallpass.test/";
const SCOPE: &str = "everything";
/// How long a server may take to start, or an approval to be given by a program.
const PATIENCE: Duration = Duration::from_secs(120);

/// A provider and how to sign in there.
pub(super) struct Stage {
    pub(super) proxy: Arc<Proxy>,
    pub(super) issuer: String,
    /// Whether it is one of ours, whose ledger can be read.
    pub(super) ours: bool,
    root: TempDir,
    ca: PathBuf,
    approval: Approval,
    login: Vec<String>,
    which: Vec<String>,
    /// Whether the sign-in is one the person already had.
    existing: bool,
}

/// Who approves a sign-in.
enum Approval {
    /// The operator of our own issuer, which ends with this.
    Ours { data: PathBuf, _server: Child },
    /// A program, which gets what `hallpass login --json` says first.
    Program(String),
    /// The person at the terminal.
    Person,
}

impl Stage {
    pub(super) async fn set(args: &TortureArgs) -> Result<Self, Failure> {
        let folder = |error| Failure::could_not_run(format_args!("no temporary folder can be had: {error}"));
        let root = tempfile::Builder::new().prefix("hallpass-torture-").tempdir().map_err(folder)?;
        let mut login = Vec::new();
        let (issuer, at, approval) = match &args.issuer {
            Some(issuer) => {
                let approval = args.approve.clone().map_or(Approval::Person, Approval::Program);
                (issuer.clone(), args.at.clone(), approval)
            }
            None => {
                let (issuer, at, approval) = ours(root.path()).await?;
                login.extend(["--resource", API, "--scope", SCOPE].map(str::to_owned));
                (issuer, Some(at), approval)
            }
        };
        let address = through_a_proxy(&issuer)?;
        let proxy = Proxy::new(Upstream::new(&address, at, args.ca_file().as_deref())?)?;
        let ca = root.path().join("ca.pem");
        write_private(&ca, proxy.pem().as_bytes()).map_err(folder)?;
        let mut which = vec!["--issuer".to_owned(), issuer.clone()];
        if let Some(client) = &args.client_id {
            which.extend(["--client-id".to_owned(), client.clone()]);
            login.extend(["--client-id".to_owned(), client.clone()]);
        }
        for (flag, values) in [("--scope", &args.scopes), ("--resource", &args.resources)] {
            login.extend(values.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        let ours = args.issuer.is_none();
        Ok(Self { proxy, issuer, ours, root, ca, approval, login, which, existing: args.existing })
    }

    /// The home of the sign-in that everything is about.
    pub(super) fn home(&self) -> Result<Home, Failure> {
        match self.existing {
            true => Ok(Home::own(state_folder()?, &self.ca, self.which.clone())),
            false => self.another_home("home"),
        }
    }

    /// A home with nothing in it yet.
    pub(super) fn another_home(&self, name: &str) -> Result<Home, Failure> {
        Home::new(self.root(), name, &self.ca, self.which.clone()).map_err(|error| {
            Failure::could_not_run(format_args!("a temporary folder cannot be used: {error}"))
        })
    }

    /// A folder that is gone with the run.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Whether signing in costs nobody's time.
    pub(super) fn signs_in_by_itself(&self) -> bool {
        !matches!(self.approval, Approval::Person) && !self.existing
    }

    /// Signs in, unless there is a sign-in that was told to be used.
    pub(super) async fn first_sign_in(&self, home: &Home, door: &Door) -> Result<(), Failure> {
        match self.existing {
            true => Ok(()),
            false => self.sign_in(home, door).await,
        }
    }

    /// Signs in.
    pub(super) async fn sign_in(&self, home: &Home, door: &Door) -> Result<(), Failure> {
        let mut arguments = vec!["login", self.issuer.as_str(), "--json"];
        arguments.extend(self.login.iter().map(String::as_str));
        let by_person = matches!(self.approval, Approval::Person);
        if !by_person {
            arguments.extend(["--flow", "device"]);
        }
        let mut command = home.command(door, &arguments);
        if by_person {
            // They see the code, or their browser opens.
            let theirs = [env::DISPLAY, env::WAYLAND_DISPLAY, env::BROWSER, env::TERM];
            command.envs(theirs.iter().filter_map(|variable| Some((variable.name, variable.value()?))));
            command.stderr(Stdio::inherit());
        }
        let mut child = command.spawn().map_err(not_started)?;
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        if let Ok(Some(line)) = lines.next_line().await
            && !by_person
        {
            self.approve(&line).await?;
        }
        // Whatever else it says is read, so that it does not wait for a reader.
        let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let said = Said::of(child).await?;
        rest.abort();
        match said.done() {
            true => Ok(()),
            false => Err(Failure::could_not_run(format_args!(
                "nobody could sign in to {}: {}",
                self.issuer,
                said.told()
            ))),
        }
    }

    /// Says yes to a code.
    async fn approve(&self, line: &str) -> Result<(), Failure> {
        let code = serde_json::from_str::<Value>(line).ok();
        let code = code.as_ref().and_then(|code| code["user_code"].as_str()).unwrap_or_default();
        let mut command = match &self.approval {
            Approval::Ours { data, .. } => {
                let mut command = ourselves(&["admin", "approve", code, "--org", ORG, "--as", PERSON]);
                command.arg("--data").arg(data);
                command
            }
            Approval::Program(program) => {
                let mut command = Command::new("sh");
                command.args(["-c", program]);
                command
            }
            Approval::Person => return Ok(()),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(not_started)?;
        if let Some(mut input) = child.stdin.take() {
            let _ = input.write_all(format!("{line}\n").as_bytes()).await; // it may not want to know
        }
        let said = Said::of(child).await?;
        match said.done() {
            true => Ok(()),
            false => {
                Err(Failure::could_not_run(format_args!("nobody approved the sign-in: {}", said.told())))
            }
        }
    }

    /// How many entries of a kind our own issuer's ledger has. None if it is not ours.
    pub(super) async fn entries(&self, event: &str) -> Result<Option<u64>, Failure> {
        let Approval::Ours { data, .. } = &self.approval else { return Ok(None) };
        let mut command = ourselves(&["ledger", "list", "--json", "--event", event]);
        let said = said(command.arg("--data").arg(data)).await?;
        Ok(Some(said.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64))
    }
}

/// An issuer of ours, in a folder of its own: its name, where it really listens, and who approves there. Its name is
/// new each time, so that nothing of another run is taken for this one's.
async fn ours(root: &Path) -> Result<(String, Url, Approval), Failure> {
    let data = root.join("server");
    let name = made_up().to_ascii_lowercase().replace(['-', '_'], "x");
    let base = format!("https://{name}.hallpass.test");
    let mut command =
        ourselves(&["serve", "--json", "--local-approval", "--listen", "127.0.0.1:0", "--log", "error"]);
    command.args(["--trusted-proxy", "127.0.0.1", "--base-url", &base]).arg("--data").arg(&data);
    let mut server = command
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let mut lines = BufReader::new(server.stdout.take().expect("it was piped")).lines();
    let ready = tokio::time::timeout(PATIENCE, lines.next_line()).await.ok().and_then(Result::ok).flatten();
    let ready: Option<Value> = ready.and_then(|line| serde_json::from_str(&line).ok());
    let listen = ready.as_ref().and_then(|ready| ready["listen"].as_str());
    let at = listen.and_then(|listen| Url::parse(&format!("http://{listen}/")).ok());
    let at = at.ok_or_else(|| Failure::could_not_run("an issuer of our own did not start"))?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

    let owner = format!("person:{PERSON}");
    let admin: [&[&str]; 2] = [
        &["admin", "org", "add", ORG, "--administrator", PERSON],
        &["admin", "resource", "add", API, "--owner", &owner, "--environment", "dev", "--scope", SCOPE],
    ];
    for arguments in admin {
        let said = said(ourselves(arguments).arg("--data").arg(&data)).await?;
        if !said.done() {
            return Err(Failure::could_not_run(format_args!(
                "our own issuer could not be set up: {}",
                said.told()
            )));
        }
    }
    Ok((format!("{base}/{ORG}"), at, Approval::Ours { data, _server: server }))
}

/// This program as the operator of our own issuer: with none of the person's settings.
fn ourselves(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(arguments)
        .env_clear()
        .env(env::HOME.name, "/nonexistent")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn said(command: &mut Command) -> Result<Said, Failure> {
    Said::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_started)?).await
}

/// An issuer that is reached through a proxy. One over plain http on this very machine never is: its tokens would show.
fn through_a_proxy(issuer: &str) -> Result<Url, Failure> {
    let url = Url::parse(issuer)
        .map_err(|error| Failure::usage(format_args!("`{issuer}` is not an issuer: {error}")))?;
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(url),
        _ => Err(Failure::usage(format_args!("`{issuer}` is not an https address")).hint(
            "a sign-in over plain http never goes through a proxy: have the provider call itself by an https name, and say \
             where it really listens with `--at http://127.0.0.1:PORT`",
        )),
    }
}

fn not_started(error: std::io::Error) -> Failure {
    Failure::could_not_run(format_args!("a command could not be run: {error}"))
}
