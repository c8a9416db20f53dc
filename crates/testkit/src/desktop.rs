//! A desktop session without a desktop: a session bus of its own, with a real GNOME Keyring on it, unlocked.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What opens the keyring.
const PASSWORD: &str = "the person's own password";
/// The collection that a login unlocks, which is the default one.
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";
const SERVICE: &str = "org.freedesktop.secrets";

/// A session bus, and perhaps a keyring on it. Both end with it.
pub struct Desktop {
    home: TempDir,
    bus: Child,
    keyring: Option<Child>,
    address: String,
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.kill_keyring();
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

impl Desktop {
    /// A session bus on which nobody keeps secrets, and which starts nobody who would.
    pub fn bare() -> Self {
        let home = tempfile::tempdir().expect("there is room for a folder");
        let config = home.path().join("bus.conf");
        std::fs::write(&config, CONFIG.replace("SOCKET", &home.path().join("bus").display().to_string()))
            .expect("the folder is ours");
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`scripts/setup test` installs dbus");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().expect("it was piped"))
            .read_line(&mut address)
            .expect("it says where");
        Self { home, bus, keyring: None, address: address.trim().to_owned() }
    }

    /// A session bus with a keyring that is unlocked.
    pub fn start() -> Self {
        let mut desktop = Self::bare();
        desktop.start_keyring();
        desktop
    }

    /// Where the bus is: `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder that the keyring keeps its files under.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts the keyring, unlocked, also where there was one before.
    pub fn start_keyring(&mut self) {
        let mut keyring = self
            .command("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .arg(format!("--control-directory={}", self.home().join("control").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`scripts/setup test` installs gnome-keyring");
        let mut password = keyring.stdin.take().expect("it was piped");
        password.write_all(PASSWORD.as_bytes()).expect("it reads its password");
        drop(password);
        self.keyring = Some(keyring);
        let waited = std::time::Instant::now();
        while !self.send("ReadAlias", &["string:default"]).is_some_and(|said| said.contains(COLLECTION)) {
            assert!(waited.elapsed().as_secs() < 30, "the keyring comes up");
            std::thread::yield_now();
        }
    }

    /// Starts a keyring that nobody ever logged in to: it has nothing to keep things in.
    pub fn start_keyring_empty(&mut self) {
        let keyring = self
            .command("gnome-keyring-daemon")
            .args(["--foreground", "--components=secrets"])
            .arg(format!("--control-directory={}", self.home().join("control").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`scripts/setup test` installs gnome-keyring");
        self.keyring = Some(keyring);
        let waited = std::time::Instant::now();
        while self.send("ReadAlias", &["string:default"]).is_none() {
            assert!(waited.elapsed().as_secs() < 30, "the keyring comes up");
            std::thread::yield_now();
        }
    }

    /// Writes down what crosses the bus from now on, as anybody may who runs as this user.
    pub fn listen(&self) -> Listener {
        let mut process = self
            .command("dbus-monitor")
            .args(["--session", "--binary"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`scripts/setup test` installs dbus-bin");
        let stream = process.stdout.take().expect("it was piped");
        let mut listener = Listener { process, stream, heard: Vec::new() };
        // It is told of its own name last before it hears everything; from then on nothing is missed.
        while !listener.hears(b"NameLost") {
            listener.read();
        }
        listener
    }

    /// Locks it, as a screen lock or a log-out may.
    pub fn lock(&self) {
        self.send("Lock", &[&format!("array:objpath:{COLLECTION}")]).expect("the keyring is there");
    }

    /// Ends the keyring as a crash would.
    pub fn kill_keyring(&mut self) {
        if let Some(mut keyring) = self.keyring.take() {
            let _ = keyring.kill();
            let _ = keyring.wait();
        }
    }

    /// Stops the keyring where it stands: it is there, and answers nothing.
    pub fn hang_keyring(&self) {
        let pid = self.keyring.as_ref().expect("a keyring was started").id();
        let pid = rustix::process::Pid::from_raw(pid as i32).expect("it runs");
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours");
    }

    /// How many secrets of ours it keeps, locked or not.
    pub fn kept(&self) -> usize {
        let said = self.send("SearchItems", &["dict:string:string:application,hallpass"]);
        said.expect("the keyring is there").matches("object path").count()
    }

    fn send(&self, member: &str, arguments: &[&str]) -> Option<String> {
        let said = self
            .command("dbus-send")
            .args(["--session", "--print-reply", "--reply-timeout=5000"])
            .args([&format!("--dest={SERVICE}"), "/org/freedesktop/secrets"])
            .arg(format!("org.freedesktop.Secret.Service.{member}"))
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .expect("`scripts/setup test` installs dbus-bin");
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .env("HOME", self.home())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }
}

/// Somebody who writes down what crosses a bus.
pub struct Listener {
    process: Child,
    stream: std::process::ChildStdout,
    heard: Vec<u8>,
}

impl Listener {
    /// All that was heard, up to something that must come.
    pub fn heard_until(&mut self, what: &[u8]) -> Vec<u8> {
        while !self.hears(what) {
            self.read();
        }
        self.heard.clone()
    }

    fn hears(&self, what: &[u8]) -> bool {
        self.heard.windows(what.len()).any(|part| part == what)
    }

    fn read(&mut self) {
        let mut bytes = [0u8; 4096];
        let read = self.stream.read(&mut bytes).expect("it writes");
        assert!(read > 0, "it listens");
        self.heard.extend(&bytes[..read]);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A bus for one user that starts no service.
const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
