//! `hallpass token`: how fast it is beside a program that does nothing and beside `oidc-token`, how often many at once renew,
//! and what the daemon takes meanwhile.
//!
//! 1. Rounds of calls, the programs in turn, each timed from before it is started until it is waited for. A round's figure
//!    is the median of its calls; what is reported is the median of the rounds, and of their ratios.
//! 2. Meanwhile two more sign-ins grow old: until the tokens in their records are over. Then a thousand calls at once ask for
//!    one, of a daemon that has just started, and of the records alone; the issuer's ledger says how often it renewed.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hallpass_model::lifetimes::ACCESS_TOKEN;

use crate::agent::Agent;
use crate::desk::{API, Desk, Home};
use crate::report::{Line, Name, Spread, Wanted, rounded};
use crate::{Failure, echo, process};

/// Calls of each program in a round.
const CALLS: usize = 200;
/// Not counted: by then everybody has what they ask for at hand.
const WARM_UP: usize = 20;
/// The names that the calls give.
const TIMED: [Name; 2] = [Name::TokenFloorRatio, Name::TokenOidcAgentRatio];
/// `hallpass token` at once.
const PARALLEL: usize = 1_000;
/// Without a daemon each of them opens the record itself, with a password hash that takes 19 MiB: so many at a time.
const PARALLEL_ALONE: usize = 64;
/// A daemon is at rest so long after it was last asked.
const REST: Duration = Duration::from_secs(60);
/// A token is not handed out any more when it is over, or nearly; and the clocks of a request's ends differ.
const OVER: Duration = Duration::from_secs(5);

/// Those of the four that are wanted.
pub(crate) fn lines(wanted: &Wanted, rounds: usize) -> Result<Vec<Line>, Failure> {
    let wanted = |name: Name| wanted.has(name);
    if !Name::HOLDER.into_iter().any(wanted) {
        return Ok(Vec::new());
    }
    let desk = Desk::start()?;
    let mut lines = Vec::new();
    // They grow old first.
    let old = match wanted(Name::ParallelTokenRefreshes) {
        true => Some((desk.home("many-with-a-daemon")?, desk.home("many-without")?)),
        false => None,
    };
    let timed = TIMED.into_iter().any(wanted);
    if timed || wanted(Name::DaemonRssMib) {
        let home = desk.home("one")?;
        let daemon = home.daemon()?;
        let agent = Agent::start()?;
        warm(&home)?;
        if timed {
            let rounds = calls(&desk, &home, &agent, rounds)?;
            lines.extend(TIMED.into_iter().filter(|name| wanted(*name)).map(|name| rounds.line(name)));
        }
        if wanted(Name::DaemonRssMib) {
            crate::say("token: a daemon at rest");
            process::pause(REST);
            lines.push(rest(process::rss_mib(daemon.pid)?, agent.rss_mib()?));
        }
    }
    if let Some((with_daemon, without)) = old {
        lines.push(parallel(&desk, &with_daemon, &without)?);
    }
    Ok(lines)
}

/// Asks until the daemon has its answer ready, and checks that it is one.
fn warm(home: &Home) -> Result<(), Failure> {
    for _ in 0..WARM_UP {
        let output = home.hallpass(&["token"])?.stdout(Stdio::piped()).output()?;
        if !(output.status.success() && output.stdout.starts_with(b"ey")) {
            return Err(format!("no token: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    Ok(())
}

/// Milliseconds of each program, a figure for each round.
#[derive(Default)]
struct Rounds {
    floor: Vec<f64>,
    ours: Vec<f64>,
    settled: Vec<f64>,
    theirs: Vec<f64>,
}

fn calls(desk: &Desk, home: &Home, agent: &Agent, rounds: usize) -> Result<Rounds, Failure> {
    let echo = desk.folder().join("echo.sock");
    echo::listen(&echo)?;
    // The same question where settings and a directory have a say in it.
    let settled = desk.home("settled")?;
    settled.settle()?;
    let _daemon = settled.daemon()?;
    warm(&settled)?;

    let mut programs =
        [floor(&echo)?, home.hallpass(&["token"])?, settled.hallpass(&["token"])?, agent.token()];
    let mut all = Rounds::default();
    for round in 0..rounds {
        crate::say(&format!("token: round {} of {rounds}", round + 1));
        let mut took: [Vec<f64>; 4] = Default::default();
        for call in 0..WARM_UP + CALLS {
            // Whoever comes after a slow one meets colder caches: each comes after each.
            for place in 0..programs.len() {
                let place = (place + call) % programs.len();
                let ms = timed(&mut programs[place])?;
                if call >= WARM_UP {
                    took[place].push(ms);
                }
            }
        }
        let [floor, ours, settled, theirs] = took.map(|took| Spread::of(took).median);
        all.floor.push(floor);
        all.ours.push(ours);
        all.settled.push(settled);
        all.theirs.push(theirs);
    }
    Ok(all)
}

/// Milliseconds from before a program is started until it has ended well.
fn timed(program: &mut Command) -> Result<f64, Failure> {
    let started = Instant::now();
    let status = program.status()?;
    let took = started.elapsed();
    match status.success() {
        true => Ok(took.as_secs_f64() * 1000.0),
        false => Err(format!("{:?}: {status}", program.get_program()).into()),
    }
}

fn floor(socket: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("hallpass-bench-floor"));
    command.arg(socket).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

impl Rounds {
    fn line(&self, name: Name) -> Line {
        let of = |rounds: &[f64]| Spread::of(rounds.to_vec());
        let (floor, ours, settled, theirs) =
            (of(&self.floor), of(&self.ours), of(&self.settled), of(&self.theirs));
        let also = format!("where settings and a trusted directory are read too: ours {settled}");
        let how = format!("ms a call, medians of {CALLS} calls a round, the programs in turn; daemons warm");
        // Round by round: what slowed one program down slowed the other down, too.
        let against = |peer: &[f64]| {
            Spread::of(self.ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect()).median
        };
        let (value, peer, who) = match name {
            Name::TokenOidcAgentRatio => {
                (against(&self.theirs), theirs, "Debian's oidc-token, both with ES256 JWTs")
            }
            _ => {
                let who = "a Rust program that does nothing but ask once on a Unix socket";
                (against(&self.floor), floor, who)
            }
        };
        let note = format!("ours {ours}, peer {peer}; {also}; {how}; the peer is {who}");
        Line::new(name, value, "times", Some(peer.median), note)
    }
}

fn rest(ours: f64, peer: f64) -> Line {
    let note = format!(
        "ours {}, peer {} (oidc-agent, two processes); one sign-in, {} s after it was last asked",
        rounded(ours),
        rounded(peer),
        REST.as_secs()
    );
    Line::new(Name::DaemonRssMib, ours, "MiB", Some(peer), note)
}

/// A thousand at once, of a daemon and of the record.
fn parallel(desk: &Desk, with_daemon: &Home, without: &Home) -> Result<Line, Failure> {
    crate::say("token: until the tokens are over");
    let over = with_daemon.since.max(without.since) + ACCESS_TOKEN.to_std() + OVER;
    process::pause(over.saturating_duration_since(Instant::now()));
    let daemon = with_daemon.daemon()?;
    let (of_daemon, exchanged) = renewals(desk, || many(with_daemon, "auto", PARALLEL))?;
    drop(daemon);
    let (of_records, exchanged_alone) = renewals(desk, || many(without, "off", PARALLEL_ALONE))?;
    let note = format!(
        "{of_daemon} by a daemon, asked {PARALLEL} times at once, {of_records} by as many commands without one, \
         {PARALLEL_ALONE} at a time; the token in the record was over; for the API itself {exchanged} and {exchanged_alone} \
         tokens were exchanged; counted in the issuer's ledger; the worse of the two"
    );
    Ok(Line::new(Name::ParallelTokenRefreshes, of_daemon.max(of_records) as f64, "renewals", None, note))
}

/// How often the issuer renewed and exchanged meanwhile.
fn renewals(desk: &Desk, work: impl FnOnce() -> Result<(), Failure>) -> Result<(u64, u64), Failure> {
    let counted = || {
        Ok::<_, Failure>((desk.entries("refreshed")? + desk.entries("retried")?, desk.entries("exchanged")?))
    };
    let before = counted()?;
    work()?;
    let after = counted()?;
    Ok((after.0 - before.0, after.1 - before.1))
}

/// A thousand calls, so many at a time. Each must get a token.
fn many(home: &Home, daemon: &str, at_once: usize) -> Result<(), Failure> {
    crate::say(&format!("token: {PARALLEL} calls, {at_once} at once"));
    let token = home.hallpass(&["token", "--resource", API])?;
    let mut shell = Command::new("sh");
    let all =
        format!("seq {PARALLEL} | xargs -P {at_once} -n 1 sh -c 'exec \"$0\" token --resource {API}' \"$0\"");
    shell.args(["-c", &all]).arg(token.get_program()).env_clear();
    shell
        .envs(token.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("HALLPASS_DAEMON", daemon);
    let output = shell.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let different: HashSet<&str> = said.lines().collect();
    match said.lines().count() {
        PARALLEL if different.iter().all(|line| line.starts_with("ey")) => Ok(()),
        answered => Err(format!("{answered} of {PARALLEL} calls got a token").into()),
    }
}
