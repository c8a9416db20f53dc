//! An upgrade: another program is put at the daemon's place. The programs are really different files, started as people do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

use super::super::machine::{Home, Machine, Said, in_time, until};
use super::wiped::{can_look, seen};
use crate::program::{PROGRAM, WHOLE};

/// Who ask for tokens all the while.
const ASKERS: usize = 4;

impl Home {
    /// Puts this program at a place of its own, as an installer does: written beside it, and renamed. The place of what people
    /// call.
    fn install(&self, version: &str) -> PathBuf {
        let front = self.path("bin/hallpass");
        self.put(&self.whole(), Path::new(WHOLE), version);
        self.put(&front, Path::new(PROGRAM), version);
        front
    }

    /// The place of the program that the daemon is.
    fn whole(&self) -> PathBuf {
        self.path("libexec/hallpass/hallpass-main")
    }

    /// The same of any program. What follows its end is nobody's business but makes it another file.
    fn put(&self, place: &Path, program: &Path, version: &str) {
        let new = place.with_extension("new");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(program, &new).unwrap();
        std::fs::File::options().append(true).open(&new).unwrap().write_all(version.as_bytes()).unwrap();
        std::fs::rename(new, place).unwrap();
    }

    /// A command of the program at this place.
    fn by(&self, place: &Path, arguments: &[&str]) -> Command {
        let like = self.hallpass(arguments);
        let like = like.as_std();
        let mut command = Command::new(place);
        command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run_by(&self, place: &Path, arguments: &[&str]) -> Said {
        let started = async {
            loop {
                match self.by(place, arguments).spawn() {
                    // A program that was copied just now is open for writing in whatever another test is starting, until
                    // that runs.
                    Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                        tokio::task::yield_now().await;
                    }
                    spawned => break spawned.unwrap().wait_with_output().await,
                }
            }
        };
        Said(in_time(started).await.unwrap())
    }

    async fn daemon_by(&self, place: &Path) -> u64 {
        let said = self.run_by(place, &["daemon", "start", "--json"]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert_eq!(said.json()["started"], true);
        said.json()["pid"].as_u64().unwrap()
    }
}

fn runs(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// Commands that ask for tokens until they are told to stop, and programs that ask the socket themselves.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    askers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(machine: &Arc<Machine>, place: &Path, token: &str) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let askers = (0..ASKERS * 2).map(|n| {
            let (machine, place, token) = (machine.clone(), place.to_owned(), token.to_owned());
            let (stop, answered) = (stop.clone(), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if n < ASKERS {
                        let said = machine.run_by(&place, &["token"]).await;
                        assert_eq!((said.code(), said.out()), (0, token.clone()), "{}", said.err());
                    } else {
                        let (status, given) = machine.ask("POST", "/v1/token", "{}").await;
                        assert_eq!((status, given["access_token"].as_str()), (200, Some(token.trim())));
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let askers = askers.collect();
        Self { stop, answered, askers }
    }

    /// Waits until so many more were answered.
    async fn answers(&self, more: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        until("they are answered", async || {
            assert!(!self.askers.iter().any(|asker| asker.is_finished()), "somebody was not answered");
            self.answered.load(Ordering::Relaxed) >= before + more
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for asker in self.askers {
            in_time(asker).await.expect("everybody was answered, always");
        }
    }
}

#[tokio::test]
async fn an_upgrade_takes_over_while_everybody_is_answered_and_no_sign_in_is_lost() {
    let machine = Arc::new(Machine::new().await);
    let place = machine.install("one");
    let first = machine.daemon_by(&place).await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();
    let load = Load::start(&machine, &place, &token);
    load.answers(20).await;

    let mut before = first;
    for version in ["two", "three"] {
        machine.install(version);
        let said = machine.run_by(&place, &["daemon", "start", "--json"]).await;
        let handed = said.json();
        assert_eq!((said.code(), &handed["handed_over"]), (0, &true.into()), "{handed} {}", said.err());
        let pid = handed["pid"].as_u64().unwrap();
        assert_ne!(pid, before);
        until("the old one is gone", async || !runs(before)).await;
        before = pid;
        load.answers(20).await;
    }
    load.end().await;

    let status = machine.daemon_status().await;
    assert_eq!((status["pid"].as_u64(), status["held"].as_u64()), (Some(before), Some(1)));
    assert_eq!(status["program"].as_str(), place.to_str());
    assert!(status["not_handed_over"].is_null(), "{status}");
    if can_look() {
        for told in ["cmdline", "environ"] {
            let told = std::fs::read(format!("/proc/{before}/{told}")).unwrap();
            assert_eq!(seen(&told, &token), None);
        }
    }
    // The key came along, too: a pass for a run is had by proving it.
    let (child, of_run) = machine.start_run().await;
    assert!(machine.world.accepts(&of_run).await);
    machine.let_go();
    assert!(in_time(child.wait_with_output()).await.unwrap().status.success());
    // There is nothing to take over from itself.
    let again = machine.run_by(&place, &["daemon", "start", "--json"]).await.json();
    assert_eq!((&again["handed_over"], again["pid"].as_u64()), (&false.into(), Some(before)));
    let ended = machine.run(&["daemon", "stop", "--json"]).await.json();
    assert_eq!(ended["ended"][0]["revoked"], true, "{ended}");
    assert!(!machine.socket().exists());
}

#[tokio::test]
async fn an_upgrade_is_noticed_though_nobody_says_so() {
    let machine = Machine::new().await;
    let place = machine.install("one");
    let first = machine.daemon_by(&place).await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();
    machine.install("two");
    until("the new one answers", async || machine.daemon_status().await["pid"] != first).await;
    assert_eq!(machine.run(&["token"]).await.out(), token);
}

/// What becomes the daemon's successor here is a shell, which runs the script of this name in the daemon's folder: it says
/// what a successor says, and goes wrong at an instant of its own choosing.
const SCRIPT: &str = "daemon";

#[tokio::test]
async fn a_successor_that_dies_or_hangs_at_any_instant_leaves_the_daemon_as_it_was() {
    let machine = Machine::new().await;
    let place = machine.install("one");
    let mut daemon = machine.by(&place, &["daemon", "run"]);
    let mut daemon = daemon.current_dir(machine.path("")).spawn().unwrap();
    let pid = u64::from(daemon.id().unwrap());
    until("it runs", async || machine.run(&["daemon", "status"]).await.code() == 0).await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();

    for (n, (script, why)) in [
        ("echo out of order >&2; exit 1", "it ended: out of order"),
        ("exec sleep 1000", "it did not answer in time"),
        ("printf 'hphand 9' >&0; exec sleep 1000", "another version"),
        ("printf 'hphand 1' >&0; kill -9 $$", "it"),
        // Told everything, and dead before it says that it has it.
        ("printf 'hphand 1' >&0; head -c 200 <&0 >/dev/null; kill -9 $$", "it ended"),
        ("printf 'hphand 1' >&0; exec sleep 1000", "it did not answer in time"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(machine.path(SCRIPT), script).unwrap();
        machine.put(&machine.whole(), &std::fs::canonicalize("/bin/sh").unwrap(), &n.to_string());
        let said = machine.run(&["daemon", "start", "--json"]).await;
        let told = said.json();
        assert_eq!((said.code(), told["pid"].as_u64()), (0, Some(pid)), "{script}: {}", said.err());
        assert!(told["not_handed_over"].as_str().unwrap().contains(why), "{script}: {told}");
        assert!(said.err().contains("goes on as it was"), "{}", said.err());
        assert_eq!(machine.run(&["token"]).await.out(), token, "{script}");
        let status = machine.daemon_status().await;
        assert_eq!((&status["held"], &status["not_handed_over"]), (&1.into(), &told["not_handed_over"]));
        assert_eq!(children(pid), Vec::<u64>::new(), "{script}: nothing of it is left");
    }

    machine.install("two");
    let told = machine.run(&["daemon", "start", "--json"]).await.json();
    assert_eq!(told["handed_over"], true, "{told}");
    assert_eq!(machine.run(&["token"]).await.out(), token);
    // Whoever supervises the daemon watches the process that it started: that stands for the new one, and ends with it.
    assert!(daemon.try_wait().unwrap().is_none());
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::TERM).unwrap();
    assert!(in_time(daemon.wait()).await.unwrap().success());
    assert!(!machine.socket().exists());
    assert!(!machine.world.accepts(token.trim()).await, "told to stop, it signs out");
}

fn children(of: u64) -> Vec<u64> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u64>().ok());
    let is_child = |pid: &u64| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{of}"))
    };
    pids.filter(is_child).collect()
}

/// SECURITY: whoever can change the program of the daemon would be handed all that it holds.
#[tokio::test]
async fn a_program_that_others_can_change_takes_nothing_over() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new().await;
    let place = machine.install("one");
    let pid = machine.daemon_by(&place).await;
    machine.install("two");
    let change = |mode| {
        for file in [&place, &machine.whole()] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    // Who started it takes this for how things are here; who holds the sign-ins does not.
    change(0o775);
    let said = machine.run_by(&place, &["daemon", "start", "--json"]).await;
    assert_eq!(said.json()["pid"].as_u64(), Some(pid));
    assert!(said.err().contains("others can change") && said.err().contains("chmod go-w"), "{}", said.err());
    change(0o755);
    let told = machine.run_by(&place, &["daemon", "start", "--json"]).await.json();
    assert_eq!(told["handed_over"], true, "{told}");
}

/// SECURITY: whoever can reach the socket does not say which program is started.
#[tokio::test]
async fn a_daemon_of_another_place_is_left_alone_and_that_is_said() {
    let machine = Machine::new().await;
    let place = machine.install("one");
    let pid = machine.daemon_by(&place).await;
    let other = machine.run(&["daemon", "start", "--json"]).await;
    assert_eq!((other.code(), other.json()["pid"].as_u64()), (0, Some(pid)));
    assert!(other.err().contains(place.to_str().unwrap()), "{}", other.err());
    let named: Value = machine.ask("POST", "/v1/hand-over", "{\"program\":\"/bin/sh\"}").await.1;
    assert_eq!((&named["handed_over"], named["pid"].as_u64()), (&false.into(), Some(pid)), "{named}");
    let by_hand = machine.run(&["daemon", "run", "--take-over"]).await;
    assert_eq!(by_hand.code(), 2, "{}", by_hand.err());
}

#[tokio::test]
async fn what_is_locked_stays_locked_and_what_was_opened_stays_open() {
    let machine = Machine::signed_in().await;
    let place = machine.install("one");
    // It was given a passphrase that it could not ask for again.
    let mut start = machine.by(&place, &["daemon", "start", "--no-input"]);
    start.env_remove("HALLPASS_PASSPHRASE_FILE");
    assert!(in_time(start.output()).await.unwrap().status.success());
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 500);
    assert_eq!(machine.run(&["daemon", "unlock"]).await.code(), 0);
    assert_eq!(machine.ask("POST", "/v1/token", "{}").await.0, 200);

    machine.install("two");
    assert_eq!(machine.run_by(&place, &["daemon", "start", "--json"]).await.json()["handed_over"], true);
    let (status, given) = machine.ask("POST", "/v1/token", "{}").await;
    assert_eq!(status, 200, "{given}");

    machine.login(&["--store", "daemon", "--profile", "two"]).await;
    assert_eq!(machine.run(&["daemon", "lock"]).await.code(), 0);
    machine.install("three");
    assert_eq!(machine.run_by(&place, &["daemon", "start", "--json"]).await.json()["handed_over"], true);
    assert_eq!(machine.ask("POST", "/v1/token", "{\"profile\":\"two\"}").await.0, 423);
    assert_eq!(machine.run(&["daemon", "unlock"]).await.code(), 0);
    assert_eq!(machine.run(&["token", "--profile", "two"]).await.code(), 0);
}
