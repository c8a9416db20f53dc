//! Memory that holds secrets is not written to disk, and not open to other processes of the same user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::server::PROGRAM;

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

/// A user who is not root: ourselves, or somebody root may be.
struct Someone {
    uid: u32,
    root: bool,
    program: PathBuf,
}

impl Someone {
    fn new(folder: &Path) -> Self {
        let uid = rustix::process::getuid().as_raw();
        if uid != 0 {
            return Self { uid, root: false, program: PROGRAM.into() };
        }
        // Where root builds, others may not be able to look.
        let program = folder.join("hallpass");
        std::fs::copy(PROGRAM, &program).expect("there is room for the program");
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may do that");
        Self { uid: NOBODY, root: true, program }
    }

    fn start(&self, program: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).kill_on_drop(true);
        if self.root {
            command.uid(self.uid).gid(self.uid);
        }
        command.spawn().expect("it starts")
    }
}

/// Who may look into a process: the owner of what the kernel shows of it.
fn owner(process: &Child) -> u32 {
    let file = format!("/proc/{}/environ", process.id().expect("it runs"));
    std::fs::metadata(file).expect("it runs").uid()
}

fn limits(process: &Child) -> String {
    // Root's to read; what is not root's is told by the owner alone.
    let file = format!("/proc/{}/limits", process.id().expect("it runs"));
    std::fs::read_to_string(file).expect("limits are everybody's to read")
}
