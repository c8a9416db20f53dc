//! BuildKit itself, as the docker daemon has it: what a build gets by a secret mount, and that nothing of it stays.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass_model::jose::base64url;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::containers::api;
use super::machine::{Machine, Said, in_time, until};

/// How long the daemon may take to end what it runs.
const STOP_AT_MOST: Duration = Duration::from_secs(30);
/// Debian's own: another one before it on the path may have no builder.
const DOCKER: &str = "/usr/bin/docker";

/// A docker daemon of the test's own: its data, sockets and temporary files in one folder, no network, no rules.
struct Docker {
    process: Child,
    folder: TempDir,
}

impl Docker {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("none.json"), "{}").unwrap();
        std::fs::create_dir(at("tmp")).unwrap();
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = Command::new("dockerd");
        command
            .arg("--config-file")
            .arg(at("none.json"))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("docker.sock").display()))
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
            .args(["--ip-masq=false", "--storage-driver", "vfs"])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", at("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut docker = Self {
            process: command.spawn().expect("a docker daemon (docker.io): `scripts/setup test`"),
            folder,
        };
        until("the docker daemon answers", async || {
            if let Some(ended) = docker.process.try_wait().unwrap() {
                panic!("{ended}: {}", std::fs::read_to_string(docker.at("log")).unwrap());
            }
            std::os::unix::net::UnixStream::connect(docker.at("docker.sock")).is_ok()
        })
        .await;
        docker
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A shell's line that runs the client.
    fn client(&self) -> String {
        let at = |name| self.at(name).display().to_string();
        format!("DOCKER_BUILDKIT=1 DOCKER_CONFIG={} {DOCKER} -H unix://{}", at("client"), at("docker.sock"))
    }
}

/// It ends what it runs, and takes its mounts away. What is stuck is ended with its group.
impl Drop for Docker {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.process.id() as i32).unwrap();
        let _ = kill_process(pid, Signal::TERM);
        let give_up = Instant::now() + STOP_AT_MOST;
        while self.process.try_wait().unwrap().is_none() && Instant::now() < give_up {
            std::thread::yield_now();
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.process.wait();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(place).starts_with(self.folder.path()) {
                let _ = Command::new("umount").arg("--lazy").arg(place).status();
            }
        }
    }
}

/// What somebody would write that wants to keep a text: as it is, in hexadecimal, in base64 of either alphabet, wherever in
/// the encoded text it begins.
fn forms(text: &str) -> Vec<String> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![text.to_owned(), hex.to_uppercase(), hex];
    for before in 0..3 {
        // The first and last characters depend on what stands beside.
        let encoded = base64url::render(["x".repeat(before).as_bytes(), text.as_bytes()].concat());
        let middle = &encoded[4..encoded.len() - 4];
        forms.push(middle.to_owned());
        forms.push(middle.replace('-', "+").replace('_', "/"));
    }
    forms
}

/// The files below a folder that hold a text in any of its forms, though it be broken into lines.
pub(super) fn holding(folder: &Path, forms: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(holding(&path, forms));
        } else if kind.is_file() {
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            bytes.retain(|byte| !b"\r\n".contains(byte));
            if forms.iter().any(|form| has(&bytes, form.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Looks for the first byte, and then for the rest: many megabytes are looked through.
fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    let (first, mut rest) = (wanted[0], bytes);
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(wanted) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[tokio::test]
async fn a_build_by_buildkit_gets_a_pass_by_a_secret_mount_and_nothing_of_it_stays() {
    let machine = Arc::new(Machine::signed_in().await);
    let (port, shown) = api(machine.clone()).await;
    let docker = Docker::start().await;
    let context = docker.at("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::copy("/bin/busybox", context.join("sh")).unwrap();
    // What a step must not do, with another secret: the search below must find each.
    let control: String = (0..6).map(|word| format!("control-{word}-{port}-")).collect();
    std::fs::write(docker.at("control"), &control).unwrap();
    let recipe = format!(
        "FROM scratch\nCOPY sh /bin/sh\n\
         RUN --mount=type=secret,id=pass wget -q -O /fetched --header \"Authorization: Bearer $(cat /run/secrets/pass)\" \
         http://127.0.0.1:{port}/notes\n\
         RUN --mount=type=secret,id=control cat /run/secrets/control >/as-it-is\n\
         RUN --mount=type=secret,id=control {{ printf x; cat /run/secrets/control; }} | base64 >/in-base64\n\
         RUN --mount=type=secret,id=control hexdump -v -e '1/1 \"%02x\"' /run/secrets/control >/in-hex\n"
    );
    std::fs::write(context.join("Dockerfile"), recipe).unwrap();
    let (client, tar) = (docker.client(), docker.at("saved.tar"));
    let build = format!(
        "{{ {client} build --network host --progress plain --secret id=pass,src=$HALLPASS_TOKEN_FILE \
         --secret id=control,src={control} -t built {context} && {client} history --no-trunc built >{history} && \
         {client} save built >{tar}; }} >&2",
        control = docker.at("control").display(),
        context = context.display(),
        history = docker.at("history").display(),
        tar = tar.display(),
    );
    let arguments =
        ["exec", "--as", "file", "--scope", "notes:read", "--purpose", "build", "--", "sh", "-c", &build];
    let said = Said(in_time(machine.hallpass(&arguments).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    let (token, good) = shown.lock().unwrap().pop().expect("the build asked the API");
    assert!(good && !token.is_empty(), "the build had a pass that was good");
    assert!(!machine.world.accepts(&token).await, "when the build is over, so is its pass");

    std::fs::remove_file(docker.at("control")).unwrap();
    let found = holding(docker.folder.path(), &forms(&control));
    for planted in ["/as-it-is", "/in-base64", "/in-hex", "saved.tar"] {
        assert!(found.iter().any(|file| file.ends_with(planted)), "the search finds {planted}: {found:?}");
    }
    // Layers, caches, metadata, the daemon's log, the image's history, and the image as it is given away.
    assert_eq!(holding(docker.folder.path(), &forms(&token)), Vec::<String>::new());
    assert!(!std::fs::read_to_string(docker.at("history")).unwrap().is_empty());
    assert!(!said.err().contains(&token));
}
