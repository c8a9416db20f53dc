//! A machine with a person at it, and an issuer whose time is the real one.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use hallpass_store::Answer;
use hallpass_testkit::World;
use hallpass_testkit::clock::Following;
pub(super) use hallpass_testkit::clock::real_now as now;
use hallpass_testkit::world::NOTES;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Nothing here takes longer; a machine that is busy with a build is slow.
const AT_MOST: Duration = Duration::from_secs(60);

/// A person's home on a machine, and the program as they run it there.
pub(super) struct Home(TempDir);

/// A machine with a person at it, and an issuer.
pub(super) struct Machine {
    pub(super) world: World,
    home: Home,
    _time: Following,
}

impl std::ops::Deref for Machine {
    type Target = Home;
    fn deref(&self) -> &Home {
        &self.home
    }
}

/// Nothing that was started here outlives the test: no command whose `hallpass` was killed, no watcher that goes on trying
/// to reach an issuer that ended with the test. (That one shows its environment to root alone; it gives up by itself.)
impl Drop for Home {
    fn drop(&mut self) {
        let ours = self.0.path().as_os_str().as_encoded_bytes();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if environment.windows(ours.len()).any(|text| text == ours)
                && let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok())
                && let Some(pid) = Pid::from_raw(pid)
            {
                let _ = kill_process(pid, Signal::KILL); // it may be gone already
            }
        }
    }
}

impl Machine {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        // Runs are cut by the issuer's clock, while processes run in real time.
        let time = world.clock.follow_real();
        Self { world, home: Home::new(), _time: time }
    }

    /// The same with somebody signed in.
    pub(super) async fn signed_in() -> Self {
        let machine = Self::new().await;
        machine.login(&[]).await;
        machine
    }

    /// Signs ada in by device flow, for the one API; she approves.
    pub(super) async fn login(&self, more: &[&str]) -> Said {
        let (child, code) = self.start_login(more).await;
        self.world.answer_device(&code, self.world.ada, Answer::Yes).await;
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
        said
    }

    /// A login that shows a code, and the code.
    pub(super) async fn start_login(&self, more: &[&str]) -> (Child, String) {
        self.start_login_changed(more, |_| {}).await
    }

    /// The same, by a command that is changed before.
    pub(super) async fn start_login_changed(
        &self,
        more: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> (Child, String) {
        self.start_login_at(&self.world.issuer_url, more, change).await
    }

    /// Waits until the API's server would refuse this token.
    pub(super) async fn until_dead(&self, token: &str) {
        until("the pass is dead", async || !self.world.accepts(token).await).await;
    }
}

impl Home {
    pub(super) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let home = Self(tempfile::tempdir().unwrap());
        let passphrase = home.path("passphrase");
        std::fs::write(&passphrase, "correct horse\n").unwrap();
        std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
        home
    }

    /// A place for a test's files.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the daemon listens, if one runs.
    pub(super) fn socket(&self) -> PathBuf {
        self.path("run/daemon.sock")
    }

    /// `hallpass`, with nothing in its environment but what a person has. It does not outlive the test.
    pub(super) fn hallpass<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.0.path())
            .env("HALLPASS_STORE", "passphrase")
            .env("HALLPASS_HOST", "own")
            .env("HALLPASS_PASSPHRASE_FILE", self.path("passphrase"))
            // Whoever runs the tests may have a daemon of their own.
            .env("HALLPASS_SOCKET", self.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(super) async fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Said {
        Said(in_time(self.hallpass(arguments).output()).await.unwrap())
    }

    /// A login at an issuer, for the one API, that shows a code, by a command that is changed before; and the code.
    pub(super) async fn start_login_at(
        &self,
        issuer: &str,
        more: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> (Child, String) {
        let mut arguments = vec!["login", issuer, "--flow", "device", "--json", "--resource", NOTES];
        arguments.extend(["--scope", "notes:read notes:write", "--purpose", "a test"]);
        arguments.extend(more);
        let mut command = self.hallpass(&arguments);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = in_time(lines.next_line()).await.unwrap();
        let Some(line) = line else {
            let said = Said(child.wait_with_output().await.unwrap());
            panic!("no code: {}", said.err());
        };
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["schema"], "hallpass.login.code/1");
        // Whatever else it says is read, so that it does not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (child, said["user_code"].as_str().unwrap().to_owned())
    }

    /// Starts a command that writes its token into a file and then waits to be let go, and returns the token.
    pub(super) async fn start_run(&self) -> (Child, String) {
        self.start_run_with(&[], |_| ()).await
    }

    /// The same with arguments of its own, and whatever else the test does to it.
    pub(super) async fn start_run_with(
        &self,
        more: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> (Child, String) {
        let mut arguments = vec!["exec", "--purpose", "a test"];
        arguments.extend(more);
        let script = self.script();
        arguments.extend(["--", "sh", "-c", &script]);
        let mut command = self.hallpass(&arguments);
        prepare(&mut command);
        let child = command.spawn().unwrap();
        (child, self.token_of_run().await)
    }

    /// A script for the shell that writes its token into a file and then waits to be let go.
    pub(super) fn script(&self) -> String {
        let (token, go) = (self.path("token"), self.path("go"));
        let (token, go) = (token.display(), go.display());
        let waits = self.while_it_lasts(&format!("[ ! -e {go} ]"));
        format!("printf %s \"$HALLPASS_TOKEN\" > {token}.new && mv {token}.new {token}; {waits}")
    }

    /// A loop of the shell that waits while this is so, and no longer than there is somebody to wait for: until the test
    /// is over and its home is gone, and not for ever where nobody was left to clear that away.
    pub(super) fn while_it_lasts(&self, condition: &str) -> String {
        let (home, at_most) = (self.path(""), AT_MOST.as_secs() * 20 * 2);
        format!(
            "n=0; while {condition} && [ -d {} ] && [ $n -lt {at_most} ]; do n=$((n + 1)); sleep 0.05; done",
            home.display()
        )
    }

    /// What that script wrote.
    pub(super) async fn token_of_run(&self) -> String {
        let path = self.path("token");
        until("the command runs", async || path.exists()).await;
        std::fs::read_to_string(&path).unwrap()
    }

    /// Lets such a command end.
    pub(super) fn let_go(&self) {
        std::fs::write(self.path("go"), "").unwrap();
    }
}

/// What a command said.
pub(super) struct Said(pub(super) Output);

impl Said {
    pub(super) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(super) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(super) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out()).unwrap_or_else(|_| panic!("{} {}", self.out(), self.err()))
    }
}

/// Waits until something is true.
pub(super) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(AT_MOST, waited).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

/// Not for ever.
pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_MOST, work).await.expect("it ends in time")
}
