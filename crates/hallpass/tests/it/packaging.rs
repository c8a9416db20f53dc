//! The Debian package, its service, and the image: what is in them, and that it runs.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Ended, PROGRAM, command, ended, run};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn tool(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(project()).stdin(Stdio::null());
    command
}

/// The package, unpacked into a folder.
fn unpacked(folder: &Path) -> PathBuf {
    let programs = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    let out = folder.join("out");
    let packed =
        ended(&mut tool("scripts/deb", &["--programs", programs, "--out", out.to_str().unwrap(), "--quick"]));
    assert_eq!(packed.code, 0, "{}", packed.err);
    let root = folder.join("root");
    let package = packed.out.trim();
    for arguments in
        [["-x", package, root.to_str().unwrap()], ["-e", package, root.join("DEBIAN").to_str().unwrap()]]
    {
        let said = ended(&mut tool("dpkg-deb", &arguments));
        assert_eq!(said.code, 0, "{}", said.err);
    }
    root
}

#[test]
fn the_package_has_the_program_its_service_its_pages_and_nothing_that_others_could_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = unpacked(folder.path());
    for file in [
        "usr/bin/hallpass",
        "usr/libexec/hallpass/hallpass-main",
        "lib/systemd/system/hallpass.service",
        "etc/hallpass/hallpass.toml",
        "usr/share/man/man1/hallpass-exec.1.gz",
        "usr/share/bash-completion/completions/hallpass",
        "usr/share/doc/hallpass/copyright",
        "DEBIAN/postinst",
    ] {
        let about = std::fs::metadata(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(about.permissions().mode() & 0o022, 0, "{file}");
    }
    let control = std::fs::read_to_string(root.join("DEBIAN/control")).unwrap();
    assert!(control.contains("Depends: adduser, libc6 (>= 2."), "{control}");
    // It runs from where it is put: the small program finds the whole one.
    let mut installed = Command::new(root.join("usr/bin/hallpass"));
    let said = ended(installed.arg("--version").env_clear().env("HOME", "/nonexistent"));
    assert_eq!((said.code, said.out), (0, run(&["--version"]).out), "{}", said.err);
    // The settings that it brings are settings.
    let toml = root.join("etc/hallpass/hallpass.toml");
    let explained =
        run(&["serve", "--explain", "--settings", toml.to_str().unwrap(), "--data", "/nonexistent/x"]);
    assert!(explained.code == 0 && explained.out.contains("127.0.0.1:8484"), "{}", explained.err);
    for script in ["postinst", "prerm", "postrm"] {
        let checked = ended(&mut tool("sh", &["-n", root.join("DEBIAN").join(script).to_str().unwrap()]));
        assert_eq!(checked.code, 0, "{script}: {}", checked.err);
    }
}

/// systemd's own words on the service: it reads it, and finds it confined.
#[test]
fn systemd_takes_the_service_and_finds_it_confined() {
    let folder = tempfile::tempdir().unwrap();
    let root = unpacked(folder.path());
    let root = format!("--root={}", root.display());
    let verified = ended(&mut tool(
        "systemd-analyze",
        &["verify", &root, "--man=no", "--recursive-errors=no", "hallpass.service"],
    ));
    assert_eq!((verified.code, verified.err.as_str()), (0, ""), "{}", verified.out);
    // Out of 100: what may face the network by systemd's own measure is below 50.
    let arguments = ["security", "--offline=yes", "--threshold=20", &root, "hallpass.service"];
    let confined = ended(&mut tool("systemd-analyze", &arguments));
    assert_eq!(confined.code, 0, "{}", confined.out);
}

fn make_keys(folder: &Path) -> Ended {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    run(&["serve", "--make-keys", "--data", &at("data"), "--kek", &at("kek"), "--ledger-key", &at("ledger")])
}

/// As the service has it: keys made beforehand, handed in read-only, and the checkpoint elsewhere; and whoever waits is told.
#[test]
fn the_server_runs_with_keys_that_are_handed_in_and_says_when_it_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (credentials, state) = (folder.path().join("credentials"), folder.path().join("state"));
    for made in [&credentials, &state] {
        std::fs::DirBuilder::new().mode(0o700).create(made).unwrap();
    }
    let made = make_keys(&credentials);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("back them up apart"), "{}", made.err);
    // systemd makes them root's, readable for us by a list whose mask shows as the group's bits; and the folder is shut.
    for key in ["kek", "ledger"] {
        std::fs::set_permissions(credentials.join(key), std::fs::Permissions::from_mode(0o440)).unwrap();
    }
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o500)).unwrap();
    let socket = folder.path().join("notify");
    let waiting = UnixDatagram::bind(&socket).unwrap();
    waiting.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let checkpoint = state.join("newest");
    let serve = |named: Option<&Path>| {
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
        serve.env("NOTIFY_SOCKET", &socket);
        serve.arg("--data").arg(state.join("data"));
        serve.arg("--kek").arg(credentials.join("kek")).arg("--ledger-key").arg(credentials.join("ledger"));
        serve.arg("--checkpoint").arg(&checkpoint).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(named) = named {
            serve.env("CREDENTIALS_DIRECTORY", named);
        }
        serve
    };
    let refused = ended(&mut serve(None));
    refused.failed(70, &["is open to others", "hint:"]);
    let mut server = serve(Some(&credentials)).spawn().unwrap();
    let mut said = [0; 64];
    let len = waiting.recv(&mut said).unwrap();
    assert_eq!(&said[..len], b"READY=1");
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let len = waiting.recv(&mut said).unwrap();
    assert_eq!(&said[..len], b"STOPPING=1");
    assert!(server.wait().unwrap().success());
    assert_eq!(std::fs::metadata(&checkpoint).unwrap().mode() & 0o077, 0);
    assert!(std::fs::read_to_string(&checkpoint).unwrap().contains("hallpass/"), "a signed note");
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn keys_are_made_once_and_never_beside_a_database_that_has_others() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(make_keys(folder.path()).code, 0);
    let first = std::fs::read(folder.path().join("kek")).unwrap();
    assert_eq!(make_keys(folder.path()).code, 0);
    assert_eq!(std::fs::read(folder.path().join("kek")).unwrap(), first);
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("hallpass.db"), "a database").unwrap();
    std::fs::remove_file(folder.path().join("kek")).unwrap();
    make_keys(folder.path()).failed(70, &["is missing", "backup"]);
    assert!(!folder.path().join("kek").exists());
}

/// The image holds what the server needs: it starts in there, as nobody in particular, and answers.
#[test]
fn the_image_serves_as_a_user_without_rights_and_holds_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        at("graph"),
        at("run")
    );
    std::fs::write(folder.path().join("storage.conf"), storage).unwrap();
    let with_storage = |program: &str, arguments: &[&str]| {
        let mut command = tool(program, arguments);
        command.env("CONTAINERS_STORAGE_CONF", at("storage.conf")).env("TMPDIR", folder.path());
        command.env("BUILDAH_ISOLATION", "chroot");
        command
    };
    let programs = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    let built =
        ended(&mut with_storage("scripts/container", &["--programs", programs, "--name", "hallpass-test"]));
    assert_eq!(built.code, 0, "{}", built.err);
    let from = ended(&mut with_storage("buildah", &["from", "--pull-never", "hallpass-test"]));
    assert_eq!(from.code, 0, "{}", from.err);
    let container = from.out.trim();
    let said = ended(&mut with_storage("buildah", &["inspect", "--type", "container", container]));
    let about: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err));
    let config = &about["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"][0], "/usr/bin/hallpass");
    let inside = |arguments: &[&str]| {
        let whole = [&["run", container, "--", "/usr/bin/hallpass"][..], arguments].concat();
        with_storage("buildah", &whole)
    };
    let version = ended(&mut inside(&["--version"]));
    assert_eq!((version.code, version.out), (0, run(&["--version"]).out), "{}", version.err);
    let mut serve = inside(&["serve", "--json", "--data", "/data/hallpass", "--listen", "127.0.0.1:0"]);
    let mut server = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let listen = ready["listen"].as_str().unwrap();
    let healthy = ended(&mut tool("curl", &["-sf", "--noproxy", "*", &format!("http://{listen}/healthz")]));
    assert_eq!(healthy.code, 0, "{}", healthy.err);
    let _ = server.kill();
    let _ = server.wait();
    // What buildah started in there goes with it, or is told to.
    let _ = ended(&mut tool("pkill", &["-f", "data /data/hallpass --listen 127.0.0.1:0"]));
    let removed = ended(&mut with_storage("buildah", &["rm", container]));
    assert_eq!(removed.code, 0, "{}", removed.err);
}
