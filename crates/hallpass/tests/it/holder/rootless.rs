//! Places where little is there: a container of a user without rights, sandboxes, no home, no name, no /proc.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use tokio::process::{Child, Command};

use super::machine::{Machine, Said, in_time, until};
use crate::program::put_into;

/// A user without rights, whom only the passwd of the test knows.
const ADA: u32 = 48_711;

/// A machine with an issuer, and that user's own place on it: a home, a program, a passphrase.
struct Place {
    machine: Machine,
    folder: PathBuf,
}

impl Place {
    async fn new() -> Self {
        let machine = Machine::new().await;
        // The way to it is open, and what is in it is ada's.
        std::fs::set_permissions(machine.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
        let folder = machine.path("place");
        for (name, mode) in [("", 0o755), ("home", 0o700), ("run", 0o700)] {
            std::fs::create_dir(folder.join(name)).unwrap();
            std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            chown(folder.join(name), Some(ADA), Some(ADA)).unwrap();
        }
        put_into(&folder);
        let passphrase = folder.join("passphrase");
        std::fs::copy(machine.path("passphrase"), &passphrase).unwrap();
        chown(&passphrase, Some(ADA), Some(ADA)).unwrap();
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nada:x:{ADA}:{ADA}::{}:/bin/sh\n",
            folder.join("home").display()
        );
        std::fs::write(folder.join("passwd"), passwd).unwrap();
        Self { machine, folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A command of ada's in a folder that is hers, with a name (`named`) or as a number alone.
    fn command(&self, named: bool, words: &[&str]) -> Command {
        let with_name = "mount --bind \"$1\" /etc/passwd && shift && exec \"$@\"";
        let passwd = self.at("passwd");
        let id = ADA.to_string();
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if named {
            command.args(["sh", "-c", with_name, "sh", &passwd]);
        }
        command
            .args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.at("home"))
            .env("XDG_RUNTIME_DIR", self.at("run"))
            .env("HALLPASS_PASSPHRASE_FILE", self.at("passphrase"))
            .env("HALLPASS_NO_INPUT", "1")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, words: &[&str]) -> Said {
        self.run_changed(words, |_| {}).await
    }

    async fn run_changed(&self, words: &[&str], change: impl FnOnce(&mut Command)) -> Said {
        let mut command = self.command(false, words);
        change(&mut command);
        Said(in_time(command.output()).await.unwrap())
    }

    /// Signs in by a command that begins with these words, and says how that ended.
    async fn sign_in(&self, before: &[&str], more: &[&str], change: impl FnOnce(&mut Command)) -> Said {
        let (program, shown) = (self.at("hallpass"), self.folder.join("shown"));
        let issuer = self.machine.world.issuer_url.clone();
        let login = [
            &program,
            "login",
            &issuer,
            "--flow",
            "device",
            "--json",
            "--resource",
            NOTES,
            "--scope",
            "notes:read",
        ];
        let words = [before, &login, more].concat();
        let _ = std::fs::remove_file(&shown);
        let mut command = self.command(false, &words);
        change(&mut command);
        command.stdout(std::fs::File::create(&shown).unwrap());
        let mut child = command.spawn().unwrap();
        if let Some(code) = code(&mut child, &shown).await {
            self.machine.world.answer_device(&code, self.machine.world.ada, Answer::Yes).await;
        }
        Said(in_time(child.wait_with_output()).await.unwrap())
    }
}

/// The code that is shown, if one is before the command ends.
async fn code(child: &mut Child, shown: &Path) -> Option<String> {
    let mut found = None;
    until("a code is shown, or why none is", async || {
        let text = std::fs::read_to_string(shown).unwrap();
        let line = text.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        found = line.and_then(|line| line["user_code"].as_str().map(str::to_owned));
        found.is_some() || child.try_wait().unwrap().is_some()
    })
    .await;
    found
}

#[tokio::test]
async fn a_rootless_container_of_podman_gets_passes_from_the_socket_and_its_keyring_is_said_to_be_forbidden()
{
    let place = Place::new().await;
    let root = place.folder.join("rootfs");
    for name in ["bin", "proc", "sys", "dev", "tmp", "usr", "lib", "lib64", "run", "etc"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/sh")).unwrap();
    let mut own = Command::new("chown");
    assert!(own.args(["-R", &ADA.to_string()]).arg(&root).status().await.unwrap().success());
    let podman = format!(
        "podman --root {home}/store --runroot {run}/containers --storage-driver vfs --cgroup-manager cgroupfs \
         --runtime runc --log-level error run --rm --network host --ulimit host --volume /usr:/usr:ro --volume /lib:/lib:ro \
         --volume /lib64:/lib64:ro --volume {program}:/bin/hallpass:ro", // whole by itself
        home = place.at("home"),
        run = place.at("run"),
        program = place.at("hallpass-main"),
    );
    let said = place.sign_in(&[], &[], |_| {}).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    // Under the engine's own rules for system calls, in a namespace in which ada is root.
    let inside = "id -u; hallpass exec --purpose inside -- sh -c 'echo $HALLPASS_TOKEN'; hallpass token --scope notes:write; echo $?";
    let script = format!(
        "{podman} --volume $HALLPASS_TOKEN_SOCKET:/pass.sock --env HALLPASS_TOKEN_SOCKET=/pass.sock --rootfs {} /bin/sh -c \"$0\"",
        root.display()
    );
    let program = place.at("hallpass");
    let words =
        [&program, "exec", "--as", "socket", "--purpose", "outside", "--", "sh", "-c", &script, inside];
    let said = Said(in_time(place.command(true, &words).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    let (out, err) = (said.out(), said.err());
    let lines: Vec<_> = out.lines().collect();
    assert!(matches!(lines[..], ["0", token, "5"] if token.starts_with("eyJ")), "{out} {err}");
    assert!(!place.machine.world.accepts(lines[1]).await);
    let issuer = &place.machine.world.issuer_url;
    let script = format!(
        "{podman} --rootfs {} /bin/sh -c 'hallpass login {issuer} --flow device --store keyring'",
        root.display()
    );
    let said = Said(in_time(place.command(true, &["sh", "-c", &script]).output()).await.unwrap());
    assert_eq!(said.code(), 70, "{}", said.err());
    assert!(said.err().contains("the kernel keyring is forbidden here"), "{}", said.err());
    assert!(!said.err().contains("shared"), "a container's root is nobody else: {}", said.err());
}

#[tokio::test]
async fn in_namespaces_of_its_own_a_sign_in_is_made_kept_and_used_and_files_stay_the_user_s() {
    let place = Place::new().await;
    let inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let said = place.sign_in(&inside, &[], |_| {}).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(!said.err().contains("shared"), "{}", said.err());
    let program = place.at("hallpass");
    let exec = [&program, "exec", "--purpose", "x", "--", "sh", "-c", "echo $HALLPASS_TOKEN"];
    // Inside, and outside, where ada is ada again.
    for before in [&inside[..], &[]] {
        let said = place.run(&[before, &exec].concat()).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(!place.machine.world.accepts(said.out().trim()).await, "it died with its command");
    }
    let mut find = Command::new("find");
    let foreign = find.arg(place.at("home")).args(["!", "-uid", &ADA.to_string()]).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&foreign.stdout), "", "all is the user's own");
}

/// What is done to a command before it starts.
type Change = fn(&mut Command);

/// A place that lacks something, and what is said there.
struct Lacking<'a> {
    what: &'a str,
    before: &'a [&'a str],
    more: &'a [&'a str],
    change: Change,
    why: &'a str,
    hint: &'a str,
}

impl<'a> Lacking<'a> {
    fn new(what: &'a str, change: Change) -> Self {
        Self { what, before: &[], more: &[], change, why: "", hint: "" }
    }

    fn inside(self, before: &'a [&'a str]) -> Self {
        Self { before, ..self }
    }

    fn asked(self, more: &'a [&'a str]) -> Self {
        Self { more, ..self }
    }

    fn says(self, why: &'a str, hint: &'a str) -> Self {
        Self { why, hint, ..self }
    }
}

/// What is missing is said, before anybody is asked, and what would do instead.
#[tokio::test]
async fn what_a_place_lacks_is_said_before_anybody_is_asked_with_what_would_do_instead() {
    let place = Arc::new(Place::new().await);
    let read_only = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"];
    let no_proc = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--tmpfs", "/proc"];
    let empty: [&str; 0] = [];
    let no_home: Change = |command| {
        command.env_remove("HOME");
    };
    let home_of_root: Change = |command| {
        command.env("HOME", "/");
    };
    let no_such_home: Change = |command| {
        command.env("HOME", "/nonexistent");
    };
    let as_it_is: Change = |_| {};
    let places = [
        Lacking::new("no HOME", no_home).says("no home folder", "--one-run"),
        Lacking::new("the home of an image", home_of_root)
            .says("cannot make `/.local/state`", "HALLPASS_STATE_DIR"),
        Lacking::new("a home that is not there", no_such_home).says("cannot make `/nonexistent", "--one-run"),
        Lacking::new("a disk that cannot be written", as_it_is)
            .inside(&read_only)
            .says("Read-only file system", "--one-run"),
        Lacking::new("no /proc", as_it_is)
            .inside(&no_proc)
            .asked(&["--one-run", "--", "true"])
            .says("`/proc/self/exe` is not there", "mount /proc"),
        Lacking::new("nowhere for the key", as_it_is)
            .asked(&["--store", "secret-service"])
            .says("no session bus", "--one-run"),
    ];
    for Lacking { what, before, more, change, why, hint } in places {
        let said = place.sign_in(before, more, change).await;
        assert_eq!(said.code(), 70, "{what}: {}", said.err());
        assert!(said.err().contains(why) && said.err().contains(hint), "{what}: {}", said.err());
        assert!(!said.err().contains("shared"), "{what}: it is one person's: {}", said.err());
        assert_eq!(
            std::fs::read_to_string(place.folder.join("shown")).unwrap(),
            "",
            "{what}: nobody was asked"
        );
    }
    // For one command, each will do but for the last two.
    for (before, change) in [(&empty[..], no_home), (&empty[..], no_such_home), (&read_only[..], as_it_is)] {
        let said = place.sign_in(before, &["--one-run", "--", "true"], change).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains("signed out again"), "{}", said.err());
    }
}

#[tokio::test]
async fn a_key_in_the_keyring_outside_is_said_to_be_out_of_reach_in_a_namespace_and_is_not_lost() {
    let place = Place::new().await;
    let said = place.sign_in(&[], &["--store", "keyring"], |_| {}).await;
    if said.code() == 70 && said.err().contains("the kernel keyring is") {
        return; // a container that forbids it
    }
    assert_eq!(said.code(), 0, "{}", said.err());
    let program = place.at("hallpass");
    let sandbox = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc"];
    let said = place.run(&[&sandbox[..], &[&program, "token"]].concat()).await;
    assert_eq!(said.code(), 75, "{}", said.err());
    assert!(said.err().contains("is another one in this user namespace"), "{}", said.err());
    let said = place.run(&[&program, "token"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(place.run(&[&program, "logout"]).await.code(), 0);
}

/// A number that no passwd knows is what most images run by; the sign-in is made without a runtime folder too.
#[tokio::test]
async fn a_number_without_a_name_signs_in_and_each_way_works_in_a_sandbox() {
    let place = Place::new().await;
    let no_runtime = |command: &mut Command| {
        command.env_remove("XDG_RUNTIME_DIR");
    };
    let said = place.sign_in(&[], &["--store", "passphrase"], no_runtime).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let program = place.at("hallpass");
    let sandbox = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid"];
    for way in ["env", "fd", "file", "proxy", "socket"] {
        let words = [&program, "exec", "--as", way, "--purpose", "x", "--", "true"];
        let said = place.run_changed(&[&sandbox[..], &words].concat(), no_runtime).await;
        assert_eq!(said.code(), 0, "{way}: {}", said.err());
    }
    // Without /proc a token is to be had, and a command of its own is refused beforehand.
    let no_proc = ["bwrap", "--bind", "/", "/", "--dev", "/dev", "--tmpfs", "/proc"];
    let said = place.run(&[&no_proc[..], &[&program, "token"]].concat()).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let before = place.machine.world.ledger_size().await;
    let words = [&program, "exec", "--purpose", "x", "--", "true"];
    let said = place.run(&[&no_proc[..], &words].concat()).await;
    assert_eq!(said.code(), 125, "{}", said.err());
    assert!(said.err().contains("mount /proc here"), "{}", said.err());
    assert_eq!(place.machine.world.ledger_size().await, before, "no pass was minted for nothing");
    let _ = std::fs::remove_dir_all(format!("/var/tmp/hallpass-{ADA}"));
}
