//! A tool that insists on a file of its own, and what is seen of that file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::machine::{Home, Said, in_time, until};

/// What stands in every token of the tool. It is in no argument: the tool puts it together.
const CANARY: &str = "hpwcanary";

/// The tool: shows what is in its file, and then runs what it is told with the next token in `$t`.
fn tool(then: &str) -> String {
    format!(
        "f=\"$HOME/.legacy/token.json\"; n=0; [ -e \"$f\" ] && {{ cat \"$f\"; n=$(sed 's/[^0-9]//g' \"$f\"); }}; \
         t=$(printf 'hpw%s-%s' canary $((n + 1))); {then}"
    )
}

/// Keeps the next token as careful tools do: whole or not at all.
const KEEP: &str = "printf %s \"$t\" > \"$f.new\" && mv \"$f.new\" \"$f\"";

fn wrap(home: &Home, script: &str) -> Command {
    let file = home.path(".legacy/token.json");
    home.hallpass(&["wrap", "--file", file.to_str().unwrap(), "--", "sh", "-c", script])
}

async fn wrapped(home: &Home, script: &str) -> Said {
    Said(in_time(wrap(home, script).output()).await.unwrap())
}

/// The files below a folder that have the token in them.
fn seen(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(seen(&path));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(CANARY) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_wrapped_tool_s_file_is_never_on_disk_and_is_there_again_at_its_next_run() {
    let home = Home::new();
    let (wrote, go) = (home.path("wrote"), home.path("go"));
    let waits = home.while_it_lasts(&format!("[ ! -e {} ]", go.display()));
    let script = tool(&format!("{KEEP}; touch {}; {waits}; exit 7", wrote.display()));
    let child = wrap(&home, &script).spawn().unwrap();
    until("it has written", async || wrote.exists()).await;
    assert!(seen(&home.path("")).is_empty(), "while it runs: {:?}", seen(&home.path("")));
    std::fs::write(&go, "").unwrap();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!((said.code(), said.out().as_str()), (7, ""), "{}", said.err());
    assert!(seen(&home.path("")).is_empty(), "and after: {:?}", seen(&home.path("")));

    let said = wrapped(&home, &tool(KEEP)).await;
    assert_eq!(said.out(), format!("{CANARY}-1"), "{}", said.err());
    let said = wrapped(&home, &tool("exit 0")).await;
    assert_eq!(said.out(), format!("{CANARY}-2"), "{}", said.err());
}

#[tokio::test]
async fn what_a_tool_wrote_outlives_the_kill_of_whatever_wraps_it() {
    let home = Home::new();
    let (wrote, go) = (home.path("wrote"), home.path("go"));
    let waits = home.while_it_lasts(&format!("[ ! -e {} ]", go.display()));
    let mut child =
        wrap(&home, &tool(&format!("{KEEP}; touch {}; {waits}", wrote.display()))).spawn().unwrap();
    until("it has written", async || wrote.exists()).await;
    let kept = || seen_kept(&home.path(".local/state/hallpass"));
    until("it is sealed", async || kept()).await;
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
    in_time(child.wait()).await.unwrap();
    // The tool goes on in its room, with the lock; the next run waits until it has ended.
    let next = wrap(&home, &tool(KEEP)).spawn().unwrap();
    std::fs::write(&go, "").unwrap();
    let said = Said(in_time(next.wait_with_output()).await.unwrap());
    assert_eq!(said.out(), format!("{CANARY}-1"), "{}", said.err());
    assert!(seen(&home.path("")).is_empty());
}

/// Whether something is kept below a folder.
fn seen_kept(folder: &Path) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == "wrapped")
            || (path.is_dir() && seen_kept(&path))
    })
}

#[tokio::test]
async fn runs_of_one_tool_come_one_after_the_other_and_none_is_lost() {
    let home = Home::new();
    let all: Vec<_> = (0..6).map(|_| wrap(&home, &tool(KEEP)).spawn().unwrap()).collect();
    for child in all {
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        assert_eq!(said.code(), 0, "{}", said.err());
    }
    assert_eq!(wrapped(&home, &tool("exit 0")).await.out(), format!("{CANARY}-6"));
}

#[tokio::test]
async fn what_lay_in_the_clear_is_taken_over_and_its_neighbours_stay() {
    let home = Home::new();
    let folder = home.path(".legacy");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("token.json"), format!("{CANARY}-41")).unwrap();
    std::fs::write(folder.join("settings"), "colour = blue\n").unwrap();
    let said = wrapped(&home, &tool(&format!("cat \"$HOME/.legacy/settings\"; {KEEP}"))).await;
    assert_eq!(said.out(), format!("{CANARY}-41colour = blue\n"), "{}", said.err());
    assert!(said.err().contains("took over"), "{}", said.err());
    assert!(seen(&home.path("")).is_empty(), "{:?}", seen(&home.path("")));
    assert_eq!(std::fs::read_to_string(folder.join("settings")).unwrap(), "colour = blue\n");
    assert_eq!(wrapped(&home, &tool("exit 0")).await.out(), format!("{CANARY}-42"));
}

#[tokio::test]
async fn a_tool_that_removes_its_file_leaves_nothing_kept() {
    let home = Home::new();
    assert_eq!(wrapped(&home, &tool(KEEP)).await.code(), 0);
    assert!(seen_kept(&home.path(".local/state/hallpass")));
    assert_eq!(wrapped(&home, &tool("rm \"$f\"")).await.code(), 0);
    assert!(!seen_kept(&home.path(".local/state/hallpass")));
}

#[tokio::test]
async fn a_file_whose_folder_holds_more_than_the_tool_s_is_refused() {
    let home = Home::new();
    let file = home.path(".legacyrc");
    let ran = home.path("ran");
    let arguments = ["wrap", "--file", file.to_str().unwrap(), "--", "touch", ran.to_str().unwrap()];
    let said = home.run(&arguments).await;
    assert_eq!(said.code(), 125, "{}", said.err());
    assert!(said.err().contains("folder of its own") && !ran.exists(), "{}", said.err());
}

/// Neither root's own rights nor a user namespace: as in most containers.
#[tokio::test]
async fn where_no_room_in_memory_can_be_made_it_refuses_and_runs_nothing() {
    let home = Home::new();
    let ran = home.path("ran");
    let there = wrap(&home, &format!("touch {}", ran.display()));
    let there = there.as_std();
    let mut command = Command::new("unshare");
    let forbids = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin \
                   --inh-caps -sys_admin \"$0\" \"$@\"";
    command
        .args(["--map-root-user", "--user", "sh", "-c", forbids])
        .arg(there.get_program())
        .args(there.get_args());
    command.env_clear().envs(there.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(command.stdin(Stdio::null()).output()).await.unwrap());
    assert_eq!(said.code(), 125, "{}", said.err());
    assert!(said.err().contains("no room in memory can be made here"), "{}", said.err());
    assert!(!ran.exists() && !seen_kept(&home.path(".local/state/hallpass")));
}

/// In a user namespace of its own, as on a desktop. Root has no need of one, so it becomes somebody else first.
#[tokio::test]
async fn somebody_who_is_not_root_gets_a_room_too() {
    let home = Home::new();
    let there = wrap(&home, &tool(&format!("{KEEP}; id -u")));
    let there = there.as_std();
    let (program, arguments) = (there.get_program(), there.get_args());
    let mut command = if rustix::process::geteuid().is_root() {
        let nobody =
            std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(home.path("")).status();
        assert!(nobody.unwrap().success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program).args(arguments);
        command
    } else {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    };
    command.env_clear().envs(there.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = Said(in_time(command.stdin(Stdio::null()).output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(seen(&home.path("")).is_empty() && seen_kept(&home.path(".local/state/hallpass")));
    let file = std::fs::metadata(home.path("passphrase")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}
