//! The kernel's keyring when it is full, forbidden, or has lost its key: nothing is lowered unasked, and all of it is said.
//!
//! As users of their own, whom nobody else is here: their keyrings may be filled and emptied. That takes root.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::machine::{Machine, Said, in_time, until};
use crate::program::put_into;

/// A user id that has a keyring of its own, and a home with a passphrase in it.
struct Stranger {
    machine: Machine,
    home: PathBuf,
    program: PathBuf,
    uid: u32,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // What is theirs in the kernel goes with them.
        let mut clear = std::process::Command::new("keyctl");
        clear.args([
            "session",
            "-",
            "sh",
            "-c",
            "keyctl get_persistent @s; keyctl clear %:_persistent.$0; keyctl clear @u",
        ]);
        as_user(clear.arg(self.uid.to_string()), self.uid);
        let _ = clear.stdin(Stdio::null()).output();
    }
}

fn as_user(command: &mut std::process::Command, uid: u32) {
    use std::os::unix::process::CommandExt;
    command.uid(uid).gid(uid);
}

impl Stranger {
    /// `None` where nobody can become somebody else, or the kernel's keyring is not allowed.
    async fn new(uid: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let machine = Machine::new().await;
        let home = machine.path("stranger");
        std::fs::create_dir(&home).unwrap();
        // They may enter, and read nothing else.
        std::fs::set_permissions(machine.path(""), std::fs::Permissions::from_mode(0o711)).unwrap();
        let passphrase = home.join("passphrase");
        std::fs::copy(machine.path("passphrase"), &passphrase).unwrap();
        // Where this was built may be nobody else's business.
        let program = put_into(&home);
        for path in [&home, &passphrase, &program] {
            chown(path, Some(uid), Some(uid)).unwrap();
        }
        let stranger = Self { machine, home, program, uid };
        let probe = stranger.keys("keyctl get_persistent @s").await;
        probe.status.success().then_some(stranger)
    }

    fn command<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[S]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("HALLPASS_HOST", "own")
            .env("HALLPASS_DAEMON", "off")
            .uid(self.uid)
            .gid(self.uid)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        Said(in_time(self.command(&self.program, arguments).output()).await.unwrap())
    }

    /// Runs it where the kernel's keyring answers with this error, as a container's seccomp profile has it.
    fn forbidden(&self, error: i32, arguments: &[&str]) -> Command {
        let program = self.program.to_str().unwrap();
        let error = error.to_string();
        let mut all = vec!["-c", FORBID, &error, program];
        all.extend(arguments);
        self.command("python3", &all)
    }

    async fn run_forbidden(&self, error: i32, arguments: &[&str]) -> Said {
        Said(in_time(self.forbidden(error, arguments).output()).await.unwrap())
    }

    /// Signs in, by a command that begins a login.
    async fn sign_in(&self, mut command: Command) -> Said {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(line) = in_time(lines.next_line()).await.unwrap() else {
            return Said(in_time(child.wait_with_output()).await.unwrap());
        };
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let code = said["user_code"].as_str().unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.machine.world.answer_device(code, self.machine.world.ada, Answer::Yes).await;
        Said(in_time(child.wait_with_output()).await.unwrap())
    }

    fn login(&self, more: &[&str]) -> Vec<String> {
        let issuer = self.machine.world.issuer_url.as_str();
        let login = ["login", issuer, "--flow", "device", "--json", "--resource", NOTES];
        login.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    async fn signed_in_by_keyring(&self) {
        let said = self.sign_in(self.command(&self.program, &self.login(&["--store", "keyring"]))).await;
        assert_eq!(said.code(), 0, "{}", said.err());
    }

    /// A script of `keyctl`, in a session that has the keyring, with `$key` in it where there is a key of ours.
    async fn keys(&self, script: &str) -> Output {
        let found =
            "key=0x$(sed -n 's/^\\([0-9a-f]*\\) I--Q--- .* perm .* hallpass:[0-9a-f]*:.*/\\1/p' /proc/keys)";
        let script = format!("ring=$(keyctl get_persistent @s) && {found}; {script}");
        in_time(self.command("keyctl", &["session", "-", "sh", "-ec", &script]).output()).await.unwrap()
    }
}

/// Forbids the system calls of keys from here on, with the error that is named first, and runs the rest.
const FORBID: &str = r#"
import ctypes, os, platform, struct, sys
error, program = int(sys.argv[1]), sys.argv[2]
first, last = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
code = b"".join(struct.pack("HBBI", *line) for line in [
    (0x20, 0, 0, 0),               # which call
    (0x35, 0, 2, first),           # below the first: allowed
    (0x25, 1, 0, last),            # above the last: allowed
    (0x06, 0, 0, 0x00050000 | error),
    (0x06, 0, 0, 0x7fff0000),
])
held = ctypes.create_string_buffer(code)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
rules = Program(len(code) // 8, ctypes.addressof(held))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(rules), 0, 0) == 0, ctypes.get_errno()
os.execv(program, sys.argv[2:])
"#;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

fn passphrase_of(home: &Path) -> PathBuf {
    home.join("passphrase")
}

#[tokio::test]
async fn a_full_keyring_is_said_to_be_full_and_a_sign_in_that_rests_in_it_stays() {
    let Some(stranger) = Stranger::new(40_401).await else { return };
    stranger.signed_in_by_keyring().await;
    let spare = stranger.keys("keyctl add user spare 30-bytes-that-are-let-go-again @u").await;
    assert!(spare.status.success());
    // Up to the quota that the kernel gives each user but root, and to its last byte. It gives back in its own time what
    // was let go of before, so that there may be room again: then that is filled too.
    let fill = |sizes: &str| {
        format!(
            "i=0; for n in {sizes}; do while head -c $n /dev/zero | keyctl padd user fill$$.$i @u 2>/dev/null; \
             do i=$((i+1)); done; done; exit 0"
        )
    };
    let mut token = None;
    until("not even a link to what is there has room", async || {
        assert!(stranger.keys(&fill("2000 200 20 1")).await.status.success());
        token.insert(stranger.run(&["token"]).await).code() == 75
    })
    .await;
    let token = token.expect("it was asked for");
    assert_eq!(token.out(), "");
    assert!(token.err().contains("in the kernel keyring, which is full"), "{}", token.err());
    assert!(token.err().contains("nothing was lost"), "{}", token.err());
    // With less room than a key takes, what is in it opens as before.
    assert!(stranger.keys("keyctl unlink %user:spare @u").await.status.success());
    until("the kernel lets go of it", async || stranger.run(&["token"]).await.code() == 0).await;
    // Another sign-in asks for room that is not there, and no other place is taken in its stead. A key takes more than what
    // this leaves.
    assert!(stranger.keys(&fill("200 40")).await.status.success());
    let again =
        stranger.sign_in(stranger.command(&stranger.program, &stranger.login(&["--store", "keyring"]))).await;
    assert_eq!(again.code(), 70, "{}", again.err());
    assert!(again.err().contains("the kernel keyring is full"), "{}", again.err());
    let mut unasked = stranger.command(&stranger.program, &stranger.login(&[]));
    unasked.env("HALLPASS_PASSPHRASE_FILE", passphrase_of(&stranger.home));
    let unasked = stranger.sign_in(unasked).await;
    assert_eq!(unasked.code(), 70, "{}", unasked.err());
    assert!(unasked.err().contains("not moved to a lower place unasked"), "{}", unasked.err());
    // Under a profile of its own nothing rests yet: a passphrase is taken, and it is said why.
    let mut other = stranger.command(&stranger.program, &stranger.login(&["--profile", "other"]));
    other.env("HALLPASS_PASSPHRASE_FILE", passphrase_of(&stranger.home));
    let other = stranger.sign_in(other).await;
    assert_eq!(other.code(), 0, "{}", other.err());
    assert!(other.err().contains("the kernel keyring is full"), "{}", other.err());
    assert!(
        other.err().contains("made from a passphrase") || other.err().contains("passphrase"),
        "{}",
        other.err()
    );
}

#[tokio::test]
async fn a_key_that_the_kernel_let_go_of_is_gone_and_its_person_is_asked_to_sign_in_again() {
    let Some(stranger) = Stranger::new(40_402).await else { return };
    // A key whose time is up, one that was revoked, one that was invalidated, and what the end of the keyring's own time
    // leaves: none of it.
    for end in [
        "keyctl timeout $key 1; while keyctl print $key; do :; done >/dev/null 2>&1",
        "keyctl revoke $key",
        "keyctl invalidate $key",
        "keyctl invalidate $ring",
    ] {
        stranger.signed_in_by_keyring().await;
        assert_eq!(stranger.run(&["token"]).await.code(), 0, "before: {end}");
        let ended = stranger.keys(end).await;
        assert!(ended.status.success(), "{end}: {}", String::from_utf8_lossy(&ended.stderr));
        let token = stranger.run(&["token"]).await;
        assert_eq!((token.code(), token.out().as_str()), (4, ""), "{end}: {}", token.err());
        assert!(token.err().contains("is no longer in the kernel keyring"), "{end}: {}", token.err());
        assert!(token.err().contains("hint: run `hallpass login"), "{end}: {}", token.err());
    }
    stranger.signed_in_by_keyring().await;
    assert_eq!(stranger.run(&["logout"]).await.code(), 0);
}

#[tokio::test]
async fn a_keyring_that_a_container_forbids_is_said_to_be_and_a_sign_in_there_is_not_lost() {
    let Some(stranger) = Stranger::new(40_403).await else { return };
    // Engines answer with either.
    for error in [EPERM, ENOSYS] {
        let words = "the kernel keyring is forbidden here";
        let refused = stranger.login(&["--store", "keyring"]);
        let refused = refused.iter().map(String::as_str).collect::<Vec<_>>();
        let refused = stranger.run_forbidden(error, &refused).await;
        assert_eq!(refused.code(), 70, "{}", refused.err());
        assert!(refused.err().contains(words), "{}", refused.err());
        // Nobody asked for it: the next is taken, and it is said why.
        let profile = format!("next-{error}");
        let next = stranger.login(&["--profile", &profile]);
        let mut next = stranger.forbidden(error, &next.iter().map(String::as_str).collect::<Vec<_>>());
        next.env("HALLPASS_PASSPHRASE_FILE", passphrase_of(&stranger.home));
        let next = stranger.sign_in(next).await;
        assert_eq!(next.code(), 0, "{}", next.err());
        assert!(next.err().contains(words), "{}", next.err());
        let doctor = stranger.run_forbidden(error, &["doctor"]).await;
        assert!(doctor.out().contains(words), "{}", doctor.out());
    }
    // A sign-in that rests there cannot be had in here, and is not lost by it.
    let issuer = stranger.machine.world.issuer_url.clone();
    stranger
        .sign_in(
            stranger
                .command(&stranger.program, &stranger.login(&["--profile", "kept", "--store", "keyring"])),
        )
        .await;
    let token = stranger.run_forbidden(EPERM, &["token", "--profile", "kept"]).await;
    assert_eq!((token.code(), token.out().as_str()), (75, ""), "{}", token.err());
    assert!(token.err().contains("in the kernel keyring, which is forbidden here"), "{}", token.err());
    assert!(token.err().contains("nothing was lost"), "{}", token.err());
    let again = stranger.login(&["--profile", "kept"]);
    let mut again = stranger.forbidden(EPERM, &again.iter().map(String::as_str).collect::<Vec<_>>());
    again.env("HALLPASS_PASSPHRASE_FILE", passphrase_of(&stranger.home));
    let again = stranger.sign_in(again).await;
    assert_eq!(again.code(), 70, "{}", again.err());
    assert!(again.err().contains("not moved to a lower place unasked"), "{}", again.err());
    assert_eq!(stranger.run(&["token", "--profile", "kept"]).await.code(), 0, "{issuer}");
    // A logout in there wipes the record, and says that the key may be left.
    let receipt = stranger.run_forbidden(EPERM, &["logout", "--profile", "kept", "--json"]).await;
    assert_eq!(receipt.code(), 1, "{}", receipt.err());
    let sign_in = &receipt.json()["sign_ins"][0];
    assert!(sign_in["wiped_file"].is_string() && sign_in["wiped_key"].is_null(), "{sign_in}");
    assert!(sign_in["not_wiped"].as_str().unwrap().contains("is forbidden here"), "{sign_in}");
}
