//! One home on real NFS and two hosts, in a kernel of their own: this machine's may have neither an NFS server nor a client.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// A kernel that runs as a program is slow, and a build beside it makes it slower.
const AT_MOST: Duration = Duration::from_secs(400);

/// The kernel and all it runs.
struct Kernel(std::process::Child);

impl Drop for Kernel {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id() as i32).unwrap();
        let _ = kill_process_group(group, Signal::KILL); // it may be over
        let _ = self.0.wait();
    }
}

/// What has that kernel run on any processor, made in this folder: `nfs/registers.c` says why.
fn whole_registers(folder: &Path) -> PathBuf {
    let library = folder.join("registers.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/holder/nfs/registers.c");
    let mut compiler = std::process::Command::new("cc");
    let made = compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source);
    assert!(made.status().expect("the compiler that builds SQLite").success());
    library
}

#[tokio::test]
async fn two_hosts_over_one_home_on_real_nfs_renew_at_once_and_neither_loses_its_sign_in() {
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let console = std::fs::File::create(&said).unwrap();
    let mut command = std::process::Command::new("/usr/bin/linux.uml");
    command.env_clear().env("LD_PRELOAD", whole_registers(folder.path()));
    command
        .args(["mem=1536M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "umid=nfs"])
        .args(["con=null", "con0=null,fd:1", "ssl=null", "init=/bin/sh"])
        .arg(format!("uml_dir={}/", folder.path().display()))
        .arg(concat!("HALLPASS=", env!("CARGO_BIN_EXE_hallpass")))
        .args(["--", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/holder/nfs/hosts.sh")])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .process_group(0);
    let mut kernel =
        Kernel(command.spawn().expect("a kernel as a program (user-mode-linux): `scripts/setup test`"));
    let over = async {
        while kernel.0.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(AT_MOST, over).await;
    let said = String::from_utf8_lossy(&std::fs::read(&said).unwrap()).into_owned();
    assert!(in_time.is_ok(), "not in time: {said}");
    let came: BTreeMap<&str, &str> =
        said.lines().filter_map(|line| line.trim_end().strip_prefix("@ ")?.split_once(' ')).collect();
    let one_of_two = "\"stands\":true";
    let expected = [
        ("mounted", "2"),
        ("sign-in-a", "0"),
        ("sign-in-b", "0"),
        ("records", "2"),
        ("renewals-that-failed", "0"),
        ("stands-a", one_of_two),
        ("stands-b", one_of_two),
        ("entries-that-tell-of-theft", "0"),
        ("logout-b", "0"),
        ("token-a", "0"),
        ("token-b", "4"),
        ("token-of-a-home-that-is-gone", "4"),
        ("sign-in-of-root", "2"),
        ("asked-of-root", "0"),
    ];
    for (what, value) in expected {
        assert_eq!(came.get(what).copied(), Some(value), "{what}: {said}");
    }
    assert!(!came.contains_key("lost"), "{said}");
    assert!(came["entries-of-renewals"].parse::<u32>().unwrap() >= 4, "{said}");
    assert!(came["told-root"].contains("/srv/ada"), "{said}");
}
