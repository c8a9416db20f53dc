//! The small program that is called, and the whole one that it becomes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{Ended, PROGRAM, WHOLE, ended};

fn run(program: &Path, arguments: &[&str]) -> Ended {
    ended(&mut command(program, arguments))
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", "/nonexistent");
    command
}

/// Both, where `make install` puts them.
fn installed(root: &Path) -> [PathBuf; 2] {
    let [front, whole] = [root.join("bin/hallpass"), root.join("libexec/hallpass/hallpass-main")];
    for (from, to) in [(PROGRAM, &front), (WHOLE, &whole)] {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    [front, whole]
}

/// What would be run if it were found by a name: it says so.
fn planted(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for name in ["hallpass", "hallpass-main"] {
        std::fs::write(folder.join(name), "#!/bin/sh\necho planted\n").unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn what_the_front_does_not_know_the_whole_program_does_under_the_name_that_it_was_called_by() {
    let root = tempfile::tempdir().unwrap();
    let [front, _] = installed(root.path());
    let version = format!("hallpass {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&front, &["--version"]).out, version);
    // By a link, as other programs call it, and from elsewhere.
    let link = root.path().join("docker-credential-hallpass");
    symlink(&front, &link).unwrap();
    let said = run(&link, &["version"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("docker-credential-hallpass"), "{}", said.out);
    assert_eq!(run(&front, &["no-such-command"]).code, 2);
    assert_eq!(run(&front, &["exec", "--no-such-flag"]).code, 125);
}

#[test]
fn a_front_alone_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let front = folder.path().join("hallpass");
    std::fs::copy(PROGRAM, &front).unwrap();
    run(&front, &["status"])
        .failed(70, &["the rest of this program is missing", "hint: install hallpass again"]);
    run(&front, &["exec", "--purpose", "x", "--", "true"]).failed(125, &["missing"]);
    run(&front, &["token"]).failed(70, &["missing"]);
}

/// SECURITY: neither the name that it was called by, nor the folder, nor PATH, nor any variable says which program is run.
#[test]
fn a_program_that_somebody_planted_is_not_run() {
    let root = tempfile::tempdir().unwrap();
    let (evil, good) = (root.path().join("evil"), root.path().join("good"));
    planted(&evil);
    std::fs::create_dir(&good).unwrap();
    let front = good.join("hallpass");
    std::fs::copy(PROGRAM, &front).unwrap();
    let link = evil.join("called");
    symlink(&front, &link).unwrap();
    for program in [&front, &link] {
        let mut command = command(program, &["status"]);
        command.arg0(evil.join("hallpass")).current_dir(&evil).env("PATH", &evil).env("HOME", &evil);
        ended(&mut command).failed(70, &["missing"]);
    }
    // One beside it that another user could have put there, as into `/tmp`.
    std::fs::copy(WHOLE, good.join("hallpass-main")).unwrap();
    assert_eq!(run(&front, &["--version"]).code, 0);
    std::fs::set_permissions(good.join("hallpass-main"), std::fs::Permissions::from_mode(0o777)).unwrap();
    run(&front, &["--version"]).failed(70, &["others can change it", "is not run"]);
    std::fs::set_permissions(good.join("hallpass-main"), std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(good.join("hallpass-main"), Some(65_534), None).unwrap();
        run(&front, &["--version"]).failed(70, &["belongs to another user"]);
    }
}
