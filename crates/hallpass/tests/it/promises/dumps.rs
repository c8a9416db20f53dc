//! Memory that holds secrets is not written to disk, and not open to other processes of the same user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use rustix::process::{Pid, Signal, kill_process};

use super::server::{DEADLINE, PROGRAM, Server, free_port};
use crate::program::{WHOLE, put_into};

/// Somebody who is not root: a process of root's shows nothing about who may look into it.
const NOBODY: u32 = 65_534;

/// The kernel gives the files of a process that cannot be dumped to root (proc(5)): nobody else may open its memory,
/// attach to it, or have it written to a core dump.
#[tokio::test]
async fn no_process_that_holds_secrets_can_be_dumped() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let someone = Someone::new(folder.path());

    let mut plain = someone.start(Path::new("/bin/cat"), &[]);
    assert_eq!(owner(&plain), someone.uid, "a process like any other is its user's to look into");
    plain.kill().await.expect("it is our child");

    let data = folder.path().join("data");
    let data = data.to_str().expect("temporary folders have plain names");
    let mut server =
        someone.start(&someone.program, &["serve", "--json", "--listen", "127.0.0.1:0", "--data", data]);
    let mut said = BufReader::new(server.stdout.take().expect("its output is a pipe")).lines();
    let line = said.next_line().await.expect("its output is text");
    assert!(line.is_some_and(|line| line.contains("ready")), "it does not start");
    assert_eq!(owner(&server), 0, "the server can be looked into");
    assert!(
        limits(&server).contains("Max core file size        0                    0"),
        "{}",
        limits(&server)
    );
    server.kill().await.expect("it is our child");

    let mut watcher = someone.start(&someone.program, &["watch-run"]);
    let mut ready = [0u8; 6];
    watcher.stdout.as_mut().expect("its output is a pipe").read_exact(&mut ready).await.expect("it is ready");
    assert_eq!(owner(&watcher), 0, "the watcher of a run can be looked into");
    watcher.kill().await.expect("it is our child");
}

/// The same of the daemon, which holds them for long, and of whoever takes over from it; and where it crashes there is no core.
#[tokio::test]
async fn the_daemon_and_its_successor_cannot_be_dumped_or_looked_into() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let someone = Someone::new(folder.path());
    let program = someone.installed("one");
    let with_cores = "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"";
    let mut daemon = someone
        .start(Path::new("/bin/sh"), &["-c", with_cores, program.to_str().expect("plain"), "daemon", "run"]);
    let first = someone.daemon().await;
    assert_eq!(Some(first), daemon.id());
    let installed = someone.installed("two");
    let handed = someone.said(&installed, &["daemon", "start", "--json"]).await;
    assert_eq!(handed["handed_over"], true, "{handed}");
    let second = someone.daemon().await;
    assert_ne!(first, second);

    let mut plain = someone.start(Path::new("/bin/cat"), &[]);
    assert!(
        someone.looks_into(plain.id().expect("it runs")).await,
        "into its own user's processes anybody looks"
    );
    plain.kill().await.expect("it is our child");
    for process in [first, second] {
        assert_eq!(owner_of(process), 0, "the daemon can be looked into");
        assert!(!someone.looks_into(process).await);
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("everybody's to read");
        assert!(limits.contains("Max core file size        0                    0"), "{limits}");
    }
    let _ = kill_process(Pid::from_raw(second as i32).expect("a process"), Signal::ABORT);
    timeout(DEADLINE, gone(second)).await.expect("it crashes");
    // Who stands for it leaves as one whose daemon failed.
    let left = timeout(DEADLINE, daemon.wait()).await.expect("it ends").expect("it is our child");
    assert_eq!(left.code(), Some(1));
    let cores = std::fs::read_dir(folder.path()).expect("it is ours").flatten();
    let cores = cores.filter(|file| file.file_name().to_string_lossy().starts_with("core")).count();
    assert_eq!(cores, 0);
}

/// What the system locks for somebody with this limit, in KiB, and what the daemon says of it.
#[tokio::test]
async fn what_of_its_memory_is_locked_the_daemon_says_and_goes_on_with_less() {
    let provider = SmallProvider::start(Manner::default()).await;
    for (limit, said, shown) in [
        ("64", "keys-locked", "its keys are locked"),
        ("0", "not-locked", "nothing is locked: the limit on locked memory (`ulimit -l`) is too low"),
    ] {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let someone = Someone::new(folder.path());
        let program = someone.program.to_str().expect("plain").to_owned();
        let limited = format!("ulimit -l {limit}; exec \"$0\" \"$@\"");
        let mut daemon = someone.start(Path::new("/bin/sh"), &["-c", &limited, &program, "daemon", "run"]);
        let pid = someone.daemon().await;
        let status = someone.said(&someone.program, &["daemon", "status", "--json"]).await;
        assert_eq!(status["memory"], said, "with {limit} KiB");
        assert_eq!(locked_kib(pid) > 0, said == "keys-locked", "with {limit} KiB");
        let text = someone.text(&someone.program, &["daemon", "status"]).await;
        assert!(text.contains(shown), "{text}");
        let doctor = someone.said(&someone.program, &["doctor", "--json"]).await;
        let of_memory = |finding: &&serde_json::Value| {
            finding["about"] == "daemon"
                && finding["said"].as_str().is_some_and(|said| said.contains("ulimit -l"))
        };
        let found = doctor["findings"].as_array().expect("a list").iter().filter(of_memory).count();
        assert_eq!(found, usize::from(said == "not-locked"), "{doctor}");

        let login = [
            "login",
            &provider.issuer,
            "--flow",
            "device",
            "--store",
            "daemon",
            "--resource",
            "https://notes.example/",
        ];
        someone.text(&someone.program, &login).await;
        let token = someone.text(&someone.program, &["token"]).await;
        assert!(token.starts_with("ey"), "it goes on: {token}");
        daemon.kill().await.expect("it is our child");
    }
    // Whom no limit holds has all of it locked that is not the program's own text.
    if rustix::process::getuid().as_raw() == 0 {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let root = Someone { uid: 0, root: false, home: folder.path().to_owned(), program: PROGRAM.into() };
        let mut daemon = root.start(Path::new(PROGRAM), &["daemon", "run"]);
        let pid = root.daemon().await;
        let status = root.said(&root.program, &["daemon", "status", "--json"]).await;
        assert_eq!(status["memory"], "locked");
        assert!(unlocked_writable(pid).is_empty(), "{:?}", unlocked_writable(pid));
        daemon.kill().await.expect("it is our child");
    }
}

fn locked_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("everybody's to read");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("the kernel says it");
    locked.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The memory that a process can write to and that may be swapped out.
fn unlocked_writable(process: u32) -> Vec<String> {
    let smaps = std::fs::read_to_string(format!("/proc/{process}/smaps")).expect("root may look");
    let (mut unlocked, mut map) = (Vec::new(), String::new());
    for line in smaps.lines() {
        match line.strip_prefix("VmFlags:") {
            Some(flags) if map.contains(" rw") && !flags.split_whitespace().any(|flag| flag == "lo") => {
                unlocked.push(map.clone());
            }
            Some(_) => {}
            None if line.split_whitespace().next().is_some_and(|first| first.contains('-')) => {
                map = line.to_owned()
            }
            None => {}
        }
    }
    unlocked.retain(|map| !map.contains("[vvar"));
    unlocked
}

/// The same of a run: the command is its user's to look into, and neither who started it nor who watches it is.
#[tokio::test]
async fn a_run_s_own_processes_cannot_be_dumped_and_its_command_can() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let mut server = Server::new(folder.path(), free_port(), free_port());
    server.public = server.port;
    server.start().await;
    server.command(&["admin", "org", "add", "acme", "--administrator", "ada"]).await;
    let api = ["admin", "resource", "add", "https://notes.example", "--owner", "person:ada"];
    server.command(&[&api[..], &["--environment", "dev", "--scope", "notes:read"]].concat()).await;

    let home = tempfile::tempdir().expect("there is room for a temporary folder");
    let someone = Someone::new(home.path());
    let issuer = server.issuer();
    let run =
        ["login", &issuer, "--one-run", "--flow", "device", "--json", "--resource", "https://notes.example"];
    let mut hallpass = someone.start(&someone.program, &[&run[..], &["--", "/bin/cat"]].concat());
    let mut said = BufReader::new(hallpass.stdout.take().expect("its output is a pipe")).lines();
    let line = said.next_line().await.expect("its output is text").expect("it shows a code");
    let shown: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
    let code = shown["user_code"].as_str().expect("it shows a code");
    server.command(&["admin", "approve", code, "--as", "ada"]).await;

    let (command, watcher) = timeout(DEADLINE, children(&hallpass)).await.expect("the command starts");
    assert_eq!(owner_of(command), someone.uid, "the command is a process like any other");
    assert_eq!(owner_of(watcher), 0, "the watcher, with the pass in hand, can be looked into");
    assert_eq!(owner(&hallpass), 0, "hallpass, with the session in hand, can be looked into");
    hallpass.kill().await.expect("it is our child");
    // Not before the watcher has ended the sign-in: without a server it would try for long.
    timeout(DEADLINE, gone(watcher)).await.expect("the watcher goes");
}

async fn gone(process: u32) {
    let status = format!("/proc/{process}/status");
    while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The command of a run, and its watcher.
async fn children(hallpass: &Child) -> (u32, u32) {
    let pid = hallpass.id().expect("it runs");
    loop {
        let ours: Vec<(u32, String)> =
            processes().filter(|(parent, ..)| *parent == pid).map(|(_, pid, name)| (pid, name)).collect();
        let named =
            |is_it: &dyn Fn(&str) -> bool| ours.iter().find(|(_, name)| is_it(name)).map(|(pid, _)| *pid);
        // Before it becomes the command, the fork shows our own arguments, which name it at their end.
        let command = named(&|name| name.starts_with("/bin/cat"));
        if let (Some(command), Some(watcher)) = (command, named(&|name| name.contains("watcher"))) {
            return (command, watcher);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Every process: its parent, its id, and its arguments.
fn processes() -> impl Iterator<Item = (u32, u32, String)> {
    let folders = std::fs::read_dir("/proc").expect("there is a /proc").filter_map(Result::ok);
    folders.filter_map(|folder| {
        let pid = folder.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(folder.path().join("status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let arguments = std::fs::read(folder.path().join("cmdline")).ok()?;
        Some((parent, pid, String::from_utf8_lossy(&arguments).into_owned()))
    })
}

/// A user who is not root: ourselves, or somebody root may be.
struct Someone {
    uid: u32,
    root: bool,
    home: PathBuf,
    program: PathBuf,
}

impl Someone {
    fn new(folder: &Path) -> Self {
        let uid = rustix::process::getuid().as_raw();
        if uid != 0 {
            return Self { uid, root: false, home: folder.to_owned(), program: PROGRAM.into() };
        }
        // Where root builds, others may not be able to look.
        let program = put_into(folder);
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may do that");
        Self { uid: NOBODY, root: true, home: folder.to_owned(), program }
    }

    /// Puts this program at a place of its own, as an installer does.
    fn installed(&self, version: &str) -> PathBuf {
        use std::io::Write;
        let (new, place) = (self.home.join(".new"), self.home.join("hallpass-main"));
        std::fs::copy(WHOLE, &new).expect("there is room for the program");
        let mut file = std::fs::File::options().append(true).open(&new).expect("it is ours");
        file.write_all(version.as_bytes()).expect("there is room");
        drop(file);
        std::fs::rename(new, &place).expect("it is ours");
        std::fs::copy(PROGRAM, self.home.join("hallpass")).expect("there is room for the program");
        self.home.join("hallpass")
    }

    /// The process of the daemon, once it answers.
    async fn daemon(&self) -> u32 {
        let answers = async {
            loop {
                let status = self.said(&self.program, &["daemon", "status", "--json"]).await;
                if let Some(pid) = status["pid"].as_u64() {
                    break pid as u32;
                }
            }
        };
        timeout(DEADLINE, answers).await.expect("it answers in time")
    }

    async fn said(&self, program: &Path, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(program, arguments).await).expect("it is JSON")
    }

    async fn text(&self, program: &Path, arguments: &[&str]) -> String {
        let output = self.start(program, arguments).wait_with_output();
        let output = timeout(DEADLINE, output).await.expect("it ends in time").expect("it is our child");
        String::from_utf8(output.stdout).expect("it is text")
    }

    /// Whether another process of this user reads the memory of that one.
    async fn looks_into(&self, process: u32) -> bool {
        let looks = ["-c", "head -c 1 /proc/$0/environ && head -1 /proc/$0/maps", &process.to_string()]
            .map(str::to_owned);
        let looks: Vec<&str> = looks.iter().map(String::as_str).collect();
        let mut child = self.start(Path::new("/bin/sh"), &looks);
        child.wait().await.expect("it is our child").success()
    }

    fn start(&self, program: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("HOME", &self.home)
            .env("HALLPASS_SOCKET", self.home.join("run/daemon.sock"))
            .env("HALLPASS_HOST", "own")
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.stderr(Stdio::null()).kill_on_drop(true);
        if self.root {
            command.uid(self.uid).gid(self.uid);
        }
        command.spawn().expect("it starts")
    }
}

/// Who may look into a process: the owner of what the kernel shows of it.
fn owner(process: &Child) -> u32 {
    owner_of(process.id().expect("it runs"))
}

fn owner_of(process: u32) -> u32 {
    std::fs::metadata(format!("/proc/{process}/environ")).expect("it runs").uid()
}

fn limits(process: &Child) -> String {
    // Root's to read; what is not root's is told by the owner alone.
    let file = format!("/proc/{}/limits", process.id().expect("it runs"));
    std::fs::read_to_string(file).expect("limits are everybody's to read")
}
