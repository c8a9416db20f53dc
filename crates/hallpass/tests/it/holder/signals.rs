//! What reaches a command: what was sent to us alone, and what was sent to all of us, once.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::killed::pid;
use super::machine::{Home, Machine, in_time, until};

/// What the command writes down of each signal. It ends by SIGTERM, with 7.
fn note_every_signal(home: &Home) -> String {
    let notes = "trap 'echo term >> seen; exit 7' TERM; trap 'echo usr1 >> seen' USR1; \
                 trap 'echo usr2 >> seen' USR2; trap 'echo winch >> seen' WINCH; \
                 echo $PPID > parent.new; mv parent.new parent";
    format!("{notes}; {}", home.while_it_lasts(":"))
}

/// `exec` with a command that notes every signal, in the person's home.
fn noting(home: &Home, before: &str) -> Command {
    let script = format!("{before}{}", note_every_signal(home));
    let mut command = home.hallpass(&["exec", "--purpose", "a test", "--", "sh", "-c", &script]);
    command.current_dir(home.path("."));
    command
}

/// Starts it and waits until it notes. What the kernel says is its parent is `hallpass`.
async fn started(home: &Home, command: &mut Command) -> (Child, Pid) {
    let child = command.spawn().unwrap();
    let parent = home.path("parent");
    until("the command runs", async || parent.exists()).await;
    let parent = std::fs::read_to_string(parent).unwrap().trim().parse().unwrap();
    (child, Pid::from_raw(parent).unwrap())
}

fn seen(home: &Home) -> String {
    std::fs::read_to_string(home.path("seen")).unwrap_or_default().replace('\n', " ")
}

async fn until_seen(home: &Home, all: &str) {
    until(&format!("`{all}`, not `{}`", seen(home)), async || seen(home).ends_with(all)).await;
    assert_eq!(seen(home), all);
}

#[tokio::test]
async fn a_signal_sent_to_us_reaches_the_command() {
    let machine = Machine::signed_in().await;
    let (mut child, parent) = started(&machine, &mut noting(&machine, "")).await;
    assert_eq!(parent, pid(&child));
    kill_process(parent, Signal::USR1).unwrap();
    until_seen(&machine, "usr1 ").await;
    kill_process(parent, Signal::TERM).unwrap();
    until_seen(&machine, "usr1 term ").await;
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn a_signal_sent_to_the_whole_group_reaches_the_command_once() {
    let machine = Machine::signed_in().await;
    let (mut child, parent) = started(&machine, noting(&machine, "").process_group(0)).await;
    // Each time one to us alone comes last: what had been passed on before would have come before it.
    kill_process_group(parent, Signal::USR1).unwrap();
    until_seen(&machine, "usr1 ").await;
    kill_process(parent, Signal::USR2).unwrap();
    until_seen(&machine, "usr1 usr2 ").await;
    // What was heard once is not taken for what comes later.
    kill_process(parent, Signal::USR1).unwrap();
    until_seen(&machine, "usr1 usr2 usr1 ").await;
    kill_process_group(parent, Signal::TERM).unwrap();
    until_seen(&machine, "usr1 usr2 usr1 term ").await;
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn a_command_in_a_group_of_its_own_is_told_what_our_group_was_told() {
    let machine = Machine::signed_in().await;
    let script = format!("exec setsid --wait sh -c \"{}\"", note_every_signal(&machine).replace('$', "\\$"));
    let mut command = machine.hallpass(&["exec", "--purpose", "a test", "--", "sh", "-c", &script]);
    let (mut child, _) = started(&machine, command.current_dir(machine.path(".")).process_group(0)).await;
    kill_process_group(pid(&child), Signal::TERM).unwrap();
    until_seen(&machine, "term ").await;
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(7));
}

/// `script` makes a terminal, and the command changes its size.
#[tokio::test]
async fn after_the_terminal_has_changed_a_signal_still_reaches_the_command() {
    let machine = Machine::signed_in().await;
    let run = noting(&machine, "trap 'echo winch >> seen' WINCH; stty rows 33 cols 99; ");
    let run = run.as_std();
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    let line: Vec<_> = std::iter::once(run.get_program()).chain(run.get_args()).map(quoted).collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    terminal.env_clear().envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    terminal.current_dir(PathBuf::from(run.get_current_dir().unwrap()));
    terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).kill_on_drop(true);
    let (mut child, parent) = started(&machine, &mut terminal).await;
    until_seen(&machine, "winch ").await;
    for (signal, all) in [(Signal::USR1, "winch usr1 "), (Signal::TERM, "winch usr1 term ")] {
        kill_process(parent, signal).unwrap();
        until_seen(&machine, all).await;
    }
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn what_we_are_told_to_ignore_the_command_ignores_too() {
    let machine = Machine::signed_in().await;
    let run = ["exec", "--quiet", "--purpose", "a test", "--", "grep", "SigIgn", "/proc/self/status"];
    let run = machine.hallpass(&run);
    let run = run.as_std();
    let mut shell = Command::new("sh");
    // What `nohup` ignores, and what a script's background does.
    shell
        .args(["-c", "trap '' HUP INT QUIT; exec \"$0\" \"$@\""])
        .arg(run.get_program())
        .args(run.get_args());
    shell.env_clear().envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = in_time(shell.stdin(std::process::Stdio::null()).output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mask = u64::from_str_radix(said.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(mask & 0b111, 0b111, "{said}");
}
