//! A TPM 2.0 in software (swtpm), behind a Unix socket: what a program says to it, it would say to a chip.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// `TPM2_Clear` by whoever may do so without a password: the owner's seed is made anew, and all that was sealed is lost.
const CLEAR: [u8; 27] = *b"\x80\x02\0\0\0\x1b\0\0\x01\x26\x40\0\0\x0a\0\0\0\x09\x40\0\0\x09\0\0\0\0\0";
/// `TPM2_HierarchyChangeAuth` of the owner, who had no password, to `owned`.
const OWN: [u8; 34] =
    *b"\x80\x02\0\0\0\x22\0\0\x01\x29\x40\0\0\x01\0\0\0\x09\x40\0\0\x09\0\0\0\0\0\0\x05owned";

/// A TPM that no other has the keys of. It ends with this.
pub struct Chip {
    folder: TempDir,
    process: Child,
}

impl Drop for Chip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Chip {
    /// A new one, as it comes from its maker, started.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let process = spawn(folder.path());
        Self { folder, process }
    }

    /// Where it takes commands.
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// As its machine is switched off and on again: what is loaded is gone, and its seeds stay.
    pub fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = spawn(self.folder.path());
    }

    /// As its owner gives it away.
    pub fn clear(&self) {
        self.say(&CLEAR);
    }

    /// As its owner sets a password.
    pub fn own(&self) {
        self.say(&OWN);
    }

    /// Stops it where it stands: it is there, and answers nothing.
    pub fn hang(&self) {
        let pid = Pid::from_raw(self.process.id() as i32).expect("it runs");
        rustix::process::kill_process(pid, Signal::STOP).expect("it is ours");
    }

    /// Says a command to it that must be done.
    pub fn say(&self, command: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.socket()).expect("it takes commands");
        stream.write_all(command).expect("it reads");
        let mut answer = vec![0u8; 10];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(answer[6..10], [0; 4], "it is done");
        let whole = u32::from_be_bytes(answer[2..6].try_into().expect("four bytes"));
        answer.resize(whole as usize, 0);
        stream.read_exact(&mut answer[10..]).expect("it answers in full");
        answer
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("tpm.sock")
}

fn spawn(folder: &Path) -> Child {
    let place = socket(folder);
    let _ = std::fs::remove_file(&place);
    let child = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .arg("--tpmstate")
        .arg(format!("dir={}", folder.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", place.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`scripts/setup test` installs swtpm");
    let waited = std::time::Instant::now();
    while UnixStream::connect(&place).is_err() {
        assert!(waited.elapsed().as_secs() < 30, "the TPM comes up");
        std::thread::yield_now();
    }
    child
}
