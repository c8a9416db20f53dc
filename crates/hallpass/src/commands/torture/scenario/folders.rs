//! Other homes and other machines over the same sign-in, or beside it.

use std::time::Duration;

use super::Players;
use crate::commands::torture::fault::Severity;
use crate::commands::torture::home::{made_up, write_private};
use crate::commands::torture::report::Finding;
use crate::commands::torture::storm::{Plan, storm};
use crate::failure::Failure;
use crate::output::Output;

/// As long as a storm over two folders is, at most.
const LENGTH: Duration = Duration::from_secs(10);
/// And as many renewals: as many as make every process wait for another.
const REFRESHES: u64 = 60;

/// Processes whose HOME, XDG folders and TMPDIR differ, over one record and one keychain.
pub(super) async fn two_folders(players: &Players, out: &mut Output) -> Result<Finding, Failure> {
    let (name, tried) = (
        "two_config_folders",
        "processes with different HOME, XDG and temporary folders renew one sign-in over one keychain",
    );
    let root = players.stage.root();
    let mut homes = Vec::new();
    for number in 0..players.processes {
        let found = players.home.found_from(root, &format!("folders-{number}"));
        homes.push(found.map_err(|error| {
            Failure::could_not_run(format_args!("a temporary folder cannot be used: {error}"))
        })?);
    }
    let plan = Plan { homes, length: LENGTH, refreshes: Some(REFRESHES), severity: Severity::Mild };
    let came = storm(&players.stage, &players.door, plan, out).await?;
    let mut wrong = came.wrong;
    if came.tally.at_once > 0 {
        wrong.push(format!("{} renewals began while another was under way", came.tally.at_once));
    }
    if came.tally.replays > 0 || came.tally.unexcused > 0 {
        wrong.push(format!("{} replays, {} sign-ins lost", came.tally.replays, came.tally.unexcused));
    }
    if came.tally.refreshes == 0 {
        wrong.push("nothing was renewed".into());
    }
    let seen = format!("{} renewals, never two at once", came.tally.refreshes);
    Ok(Finding::of(name, tried, &wrong, seen))
}

/// Another machine (by its machine-id) over the same home: its sign-in and this one's do not touch.
pub(super) async fn two_hosts(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) =
        ("two_hosts", "a second machine signs in, renews and signs out over the same home folder");
    if !players.stage.signs_in_by_itself() {
        return Ok(Finding::not_tried(name, tried, "it takes a second sign-in: give `--approve COMMAND`"));
    }
    let machine_id = players.stage.root().join("machine-id");
    let made = write_private(&machine_id, format!("{}\n", blank(&made_up())).as_bytes());
    let host = players.home.on_other_machine(&machine_id);
    let door = players.stage.proxy.open(1).await?;
    // Only where it can be another machine at all.
    let may = host.run(&door, &["status"]).await?;
    if made.is_err() || may.code == Some(1) && may.err.contains("unshare") {
        let why = "no process here may see another machine-id (a mount namespace of its own is forbidden)";
        return Ok(Finding::not_tried(name, tried, why));
    }
    let mut wrong = Vec::new();
    let before = players.home.records();
    players.stage.sign_in(&host, &door).await?;
    let after = players.home.records();
    if after.len() != before.len() + 1 || !before.iter().all(|file| after.contains(file)) {
        wrong.push("the two machines' records are not in places of their own".into());
    }
    for (who, home, door) in [("this", &players.home, &players.door), ("the other", &host, &door)] {
        let said = home.token(door).await?;
        if !said.done() {
            wrong.push(format!("{who} machine cannot renew: {}", said.told()));
        }
    }
    let out = host.run(&door, &["logout"]).await?;
    let said = players.home.token(&players.door).await?;
    if !out.done() || !said.done() {
        wrong.push(format!("the other machine's logout ended this one's sign-in: {}", said.told()));
    }
    if players.home.records() != before {
        wrong.push("the other machine's logout left a record, or took this one's".into());
    }
    Ok(Finding::of(name, tried, &wrong, "each kept its own, and the other's logout took none".into()))
}

/// 32 hexadecimal digits, as machine-id(5) has them.
fn blank(word: &str) -> String {
    word.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).take(32).map(char::from).collect()
}
