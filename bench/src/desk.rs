//! People at a desk: an issuer of ours in a folder of its own, homes in which somebody is signed in there, and what is run
//! in them.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::Failure;
use crate::ours::program;
use crate::process::Running;

const ORG: &str = "bench";
const PERSON: &str = "ada";
pub(crate) const API: &str = "https://notes.example/";

/// An issuer. It ends when this is dropped.
pub(crate) struct Desk {
    issuer: String,
    folder: tempfile::TempDir,
    _server: Running,
}

/// A home folder, with one sign-in, and no daemon.
pub(crate) struct Home {
    folder: PathBuf,
    /// Since when there is the sign-in.
    pub(crate) since: Instant,
}

/// A home's daemon. It ends when this is dropped.
pub(crate) struct Daemon {
    pub(crate) pid: u32,
    stop: Command,
}

impl Desk {
    pub(crate) fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
        let mut command = Command::new(program()?);
        command
            .args(["serve", "--json", "--local-approval", "--listen", "127.0.0.1:0", "--log", "error"])
            .arg("--data")
            .arg(folder.path().join("server"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log"))?);
        let mut server = Running(command.spawn()?);
        let mut lines = BufReader::new(server.0.stdout.take().expect("it was piped")).lines();
        let ready: Value = serde_json::from_str(&lines.next().ok_or("the issuer did not start")??)?;
        std::thread::spawn(move || lines.for_each(drop));
        let base = ready["url"].as_str().ok_or("the issuer does not say where it is")?;
        let desk = Self { issuer: format!("{base}/{ORG}"), folder, _server: server };
        let owner = format!("person:{PERSON}");
        desk.operate(&["admin", "org", "add", ORG, "--administrator", PERSON])?;
        let resource = ["admin", "resource", "add", API, "--environment", "dev", "--scope", "notes:read"];
        desk.operate(&[&resource[..], &["--owner", &owner]].concat())?;
        Ok(desk)
    }

    /// A folder of its own, for sockets and the like.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new home, with somebody signed in.
    pub(crate) fn home(&self, name: &str) -> Result<Home, Failure> {
        let home = Home { folder: self.folder.path().join(name), since: Instant::now() };
        fs::create_dir(&home.folder)?;
        let passphrase = home.folder.join("passphrase");
        fs::write(&passphrase, "correct horse\n")?;
        fs::set_permissions(&passphrase, Permissions::from_mode(0o600))?;
        let login = ["login", &self.issuer, "--flow", "device", "--json", "--quiet", "--resource", API];
        let mut command = home.hallpass(&login)?;
        command.stdout(Stdio::piped()).stderr(File::create(home.folder.join("log"))?);
        let mut child = Running(command.spawn()?);
        let mut lines = BufReader::new(child.0.stdout.take().expect("it was piped")).lines();
        let shown: Value = serde_json::from_str(&lines.next().ok_or("no code was shown")??)?;
        let code = shown["user_code"].as_str().ok_or("no code was shown")?;
        self.operate(&["admin", "approve", code, "--org", ORG, "--as", PERSON])?;
        lines.for_each(drop);
        match child.0.wait()?.success() {
            true => Ok(home),
            false => {
                Err(format!("nobody could sign in: {}", fs::read_to_string(home.folder.join("log"))?).into())
            }
        }
    }

    /// How many entries of a kind the issuer's ledger has.
    pub(crate) fn entries(&self, event: &str) -> Result<u64, Failure> {
        let listed = self.operate(&["ledger", "list", "--json", "--event", event])?;
        Ok(listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64)
    }

    /// A command of the issuer's operator: what it answers.
    fn operate(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new(program()?);
        command.args(arguments).arg("--data").arg(self.folder.path().join("server")).env_clear();
        let output = command.stdin(Stdio::null()).output()?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(format!("{}: {said}", arguments.join(" ")).into())
            }
        }
    }
}

impl Home {
    /// `hallpass`, with nothing in its environment but what a person has. Nobody reads what it says.
    pub(crate) fn hallpass(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = Command::new(program()?);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.folder)
            .env("HALLPASS_SOCKET", self.folder.join("run/daemon.sock"))
            .env("HALLPASS_STORE", "passphrase")
            .env("HALLPASS_PASSPHRASE_FILE", self.folder.join("passphrase"))
            // Whoever measures may be root, which is otherwise taken for others' account too.
            .env("HALLPASS_HOST", "own")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Ok(command)
    }

    /// Starts the daemon.
    pub(crate) fn daemon(&self) -> Result<Daemon, Failure> {
        let output = self.hallpass(&["daemon", "start", "--json"])?.stdout(Stdio::piped()).output()?;
        let started: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("no daemon: {}", String::from_utf8_lossy(&output.stderr)))?;
        let pid =
            started["pid"].as_u64().and_then(|pid| pid.try_into().ok()).ok_or("a daemon without a number")?;
        Ok(Daemon { pid, stop: self.hallpass(&["daemon", "stop"])? })
    }

    /// Has settings and a trusted directory name the sign-in, as they do for whoever has several.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        let config = self.folder.join(".config/hallpass");
        fs::create_dir_all(&config)?;
        fs::write(
            config.join("config.toml"),
            "store = \"passphrase\"\n\n[profile.other]\nissuer = \"https://id.example\"\n",
        )?;
        fs::write(self.folder.join(".hallpass.toml"), format!("resource = \"{API}\"\n"))?;
        match self.hallpass(&["trust"])?.stderr(Stdio::null()).status()?.success() {
            true => Ok(()),
            false => Err("the directory could not be trusted".into()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
