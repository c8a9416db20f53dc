//! Sign-ins that `hallpass torture` loses, at our issuer and at npm's oidc-provider, while 16 processes renew and are killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Failure;
use crate::ours::program;
use crate::process::Running;
use crate::report::{Line, Name, Wanted};

/// As many renewals as meet a hundred kills.
const OURS: &str = "4000";
/// There each lost answer costs another login.
const PEERS: &str = "400";
/// Neither takes longer, on the slowest machine.
const MINUTES: &str = "20";
const PEER: &str = "https://provider.test";

/// What `hallpass torture --json` says.
#[derive(Deserialize)]
struct Report {
    processes: u64,
    seconds: f64,
    refreshes: u64,
    kills: u64,
    retries: u64,
    lost_sessions: u64,
    ended_by_a_lost_answer: u64,
    replays: u64,
    held: bool,
}

/// Both names, or those that are wanted.
pub(crate) fn lines(wanted: &Wanted) -> Result<Vec<Line>, Failure> {
    let wanted: Vec<Name> = Name::TORTURE.into_iter().filter(|name| wanted.has(*name)).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    crate::say("torture: hallpass");
    let ours = run(&["--refreshes", OURS])?;
    crate::say("torture: oidc-provider");
    let peers = at_peer()?;
    let figures = |report: &Report| {
        format!(
            "{} renewals by {} processes in {} s, {} kills, {} lost, {} replays",
            report.refreshes,
            report.processes,
            report.seconds,
            report.kills,
            report.lost_sessions,
            report.replays
        )
    };
    let note = format!(
        "ours {}, {} answers asked for again, all scenarios held: {}, peer {}, and {} ended by a lost answer, held: {}; faults by \
         a proxy, kill -9 by it, the program as it is shipped; the peer rotates and has no retry rule",
        figures(&ours),
        ours.retries,
        ours.held,
        figures(&peers),
        peers.ended_by_a_lost_answer,
        peers.held
    );
    let line = |name| match name {
        Name::TortureKills => {
            Line::new(name, ours.kills as f64, "kills", Some(peers.kills as f64), note.clone())
        }
        _ => Line::new(
            name,
            ours.lost_sessions as f64,
            "sessions",
            Some(peers.lost_sessions as f64),
            note.clone(),
        ),
    };
    Ok(wanted.into_iter().map(line).collect())
}

fn at_peer() -> Result<Report, Failure> {
    let mut command = Command::new("tests/interop/node");
    command.args(["tests/interop/provider.mjs", "0", PEER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Running(command.stderr(Stdio::null()).spawn()?);
    let mut lines = BufReader::new(server.0.stdout.take().expect("it was piped")).lines();
    let ready = lines.next().ok_or("the other provider did not start")??;
    let ready: serde_json::Value = serde_json::from_str(&ready)?;
    // Whatever else it says is read, so that it does not die of a closed pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let at = format!("http://127.0.0.1:{}", ready["port"]);
    let approve = format!("curl --silent --fail --data-binary @- {at}/test/device");
    let mut arguments =
        vec!["--refreshes", PEERS, "--issuer", PEER, "--at", &at, "--client-id", "native-cli"];
    arguments.extend(["--scope", "openid notes:read", "--approve", &approve]);
    run(&arguments)
}

/// Its exit code is part of what it reports: what broke is a number here.
fn run(arguments: &[&str]) -> Result<Report, Failure> {
    let mut command = Command::new(program()?);
    command.args(["torture", "--json", "--quiet", "--processes", "16", "--minutes", MINUTES]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output()?;
    Ok(serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("no report of the torture: {error}"))?)
}
