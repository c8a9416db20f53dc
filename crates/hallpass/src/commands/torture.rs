//! `hallpass torture`.
//!
//! 1. A provider: the one that is named, or an issuer of ours in a temporary folder (`torture/stage.rs`).
//! 2. A proxy that every process of the run goes through (`torture/proxy.rs`): it loses, holds, doubles and kills, and counts
//!    what refresh tokens go by (`torture/chain.rs`), which needs no word from the provider.
//! 3. Processes of this very program, started as anybody starts it (`torture/home.rs`), renew one sign-in (`torture/storm.rs`).
//! 4. Then what takes more than chance, one scenario at a time (`torture/scenario.rs`).
//!
//! SECURITY: tokens pass through here in the clear. They are looked at and passed on, not kept and not shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use url::Url;

use crate::env;
use crate::failure::{Exit, Failure};
use crate::holding::{parse_resource, parse_scope};
use crate::output::Output;

mod chain; // what refresh tokens going by tell
mod fault; // what can go wrong, and what is next
mod home; // where processes run, and the processes
mod proxy; // between them and the provider
mod report; // what was tried, what held, what broke
mod scenario; // what takes more than chance
mod stage; // the provider, and signing in there
mod storm; // many processes, one sign-in
mod turns; // a process that renews many times
mod wire; // HTTP by hand

pub(crate) use turns::{TurnsArgs, turns};

use fault::Severity;
use home::Home;
use report::{Finding, Report};
use scenario::Players;
use stage::Stage;
use storm::{Plan, Storm, storm};

/// The hidden command that becomes a process of many renewals.
pub(crate) const TURNS: &str = "torture-turns";

/// Try to lose a sign-in by all that goes wrong: kills, lost answers, many at once
///
/// Many processes share one sign-in, renew it all the time, and are killed, while a proxy between them and the provider
/// loses, holds, cuts and doubles what is said. Then single scenarios, from a full disk to a logout in the middle of a
/// renewal. It says what was tried, what held and what broke. The exit code is 1 if anything broke.
///
/// Without an issuer it starts one of its own, in a temporary folder. With one it signs in there, anew, and signs out at
/// the end; your own sign-in is not touched unless you say so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass torture
  hallpass torture --processes 16 --minutes 2 --json
  hallpass torture --issuer https://id.example/acme --resource https://api.example --scope notes:read
  hallpass torture --issuer https://id.example --client-id cli --approve ./approve-code")]
pub(crate) struct TortureArgs {
    /// How many processes share the sign-in
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    processes: u16,

    /// How long they renew it, at most
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,

    /// How many renewals are enough
    #[arg(long, value_name = "N")]
    refreshes: Option<u64>,

    /// The provider to try it with, instead of one of our own
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// Where the provider really listens, if not at its own address
    #[arg(long, value_name = "URL", requires = "issuer")]
    at: Option<Url>,

    /// The client to be, with providers that have none for everybody
    #[arg(long, value_name = "ID", requires = "issuer")]
    client_id: Option<String>,

    /// What to ask for; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope, requires = "issuer")]
    scopes: Vec<String>,

    /// The API to ask for it; may be given several times
    #[arg(long = "resource", value_name = "URL", value_parser = parse_resource, requires = "issuer")]
    resources: Vec<String>,

    /// Approve each sign-in by this shell command; it reads what `hallpass login --json` says of the code
    ///
    /// Without it you approve one sign-in yourself, and what would cost you another is not tried.
    #[arg(long, value_name = "COMMAND", requires = "issuer")]
    approve: Option<String>,

    /// Use the sign-in that you have there, which may end it
    #[arg(long, requires = "issuer", conflicts_with_all = ["approve", "scopes", "resources"])]
    existing: bool,

    /// Trust these certificates of the provider besides the system's (HALLPASS_CA_FILE)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl TortureArgs {
    fn ca_file(&self) -> Option<PathBuf> {
        self.ca_file.clone().or_else(|| env::HALLPASS_CA_FILE.path())
    }
}

pub(crate) async fn torture(args: TortureArgs, out: &mut Output) -> Result<Exit, Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        done = tried(&args, out) => done,
        // What was started ends with what holds it.
        _ = interrupted => Err(Failure::no("stopped; what it started is ended").leaving_with(Exit::INTERRUPTED)),
    }
}

async fn tried(args: &TortureArgs, out: &mut Output) -> Result<Exit, Failure> {
    let stage = Arc::new(Stage::set(args).await?);
    let home = stage.home()?;
    let door = stage.proxy.open(0).await?;
    out.say(format_args!("trying {} with {} processes", stage.issuer, args.processes));
    stage.first_sign_in(&home, &door).await?;
    let _locks = Locks::of(&stage, &home);

    let processes = usize::from(args.processes);
    let mut players =
        Players { stage: stage.clone(), home: home.clone(), door: door.clone(), forgives: None, processes };
    let mut findings = vec![scenario::lost_answer(&mut players).await?];
    let severity = match (players.forgives, stage.signs_in_by_itself()) {
        (Some(true), _) => Severity::Full,
        (_, true) => Severity::Hard,
        (_, false) => Severity::Mild,
    };
    let plan = Plan {
        homes: vec![home.clone(); processes],
        length: Duration::from_secs(u64::from(args.minutes) * 60),
        refreshes: args.refreshes,
        severity,
    };
    let came = storm(&stage, &door, plan, out).await?;
    findings.push(of_storm(&came, severity, &players));
    findings.extend(ledger(&stage).await?);
    findings.extend(scenario::others(&players, out).await?);
    // After the last scenario nobody is signed in; if it could not be played, somebody still is.
    if !args.existing && !home.records().is_empty() {
        home.run(&door, &["logout"]).await?;
    }
    let report = Report { processes, forgives_lost_answers: players.forgives, storm: came, findings };
    report.write(&stage, out)?;
    Ok(if report.held() { Exit::DONE } else { Exit::NO })
}

/// The locks of an issuer of our own, whose name is new each time: they stand outside of its folder, where every home of
/// this user finds them, and nobody needs them again.
struct Locks(Vec<PathBuf>);

impl Locks {
    fn of(stage: &Stage, home: &Home) -> Self {
        let folder = PathBuf::from(format!("/var/tmp/hallpass-{}", rustix::process::geteuid().as_raw()));
        let records = if stage.ours { home.records() } else { Vec::new() };
        let names = records.iter().filter_map(|file| file.file_stem()?.to_str());
        Self(names.map(|name| folder.join(format!("{name}.lock"))).collect())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for lock in &self.0 {
            let _ = std::fs::remove_file(lock); // it may stand elsewhere
        }
    }
}

fn of_storm(came: &Storm, severity: Severity, players: &Players) -> Finding {
    let tally = &came.tally;
    let mut wrong = came.wrong.clone();
    let lost = if players.forgives == Some(true) { tally.excused + tally.unexcused } else { tally.unexcused };
    for (often, what) in [
        (lost, "sign-ins were lost"),
        (tally.replays, "spent refresh tokens were presented again"),
        (tally.at_once, "renewals began while another was under way"),
    ] {
        if often > 0 {
            wrong.push(format!("{often} {what}"));
        }
    }
    if tally.refreshes == 0 {
        wrong.push("nothing was renewed".into());
    }
    let seen = match (severity, tally.excused) {
        (Severity::Mild, _) => {
            "nothing was lost; answers were not, as that may cost you a sign-in each: give `--approve COMMAND`".into()
        }
        (_, 0) => "nothing was lost, nothing was presented twice, never two at once".to_owned(),
        (_, ended) => {
            format!("{ended} sign-ins ended, each after an answer was lost, and each said to sign in again; none was wiped")
        }
    };
    Finding::of(
        "storm",
        "processes renew one sign-in and are killed, while answers are lost, held and doubled",
        &wrong,
        seen,
    )
}

/// What our own issuer wrote down. Nothing of the storm was reuse, and nothing was cut.
async fn ledger(stage: &Stage) -> Result<Option<Finding>, Failure> {
    let (Some(reused), Some(cut)) = (stage.entries("reused").await?, stage.entries("cut").await?) else {
        return Ok(None);
    };
    let retried = stage.entries("retried").await?.unwrap_or_default();
    let wrong: Vec<String> = [(reused, "reused"), (cut, "cut")]
        .into_iter()
        .filter(|(often, _)| *often > 0)
        .map(|(often, event)| format!("{often} entries say `{event}`"))
        .collect();
    let seen = format!("no entry says `reused` or `cut`; {retried} say `retried`");
    Ok(Some(Finding::of("ledger", "the issuer's own ledger after the storm", &wrong, seen)))
}
