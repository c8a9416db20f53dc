//! `make bench`: our issuer and npm's oidc-provider, measured in turn by the same load; and our holder beside Debian's
//! oidc-agent ([`token`]).
//!
//! The peer is measured as it is cheapest, and, for refreshes, once more signing its access tokens as we do. Each round
//! starts each side afresh, gives it 100,000 sessions, and asks of it, in this order: as many refreshes as it can
//! answer; half as many, at fixed instants, for the latency (open loop: a slow answer delays no later question, and counts
//! from when it was due); as many introspections of 200 tokens as it can; 50,000 tokens introspected once each. The sides take
//! turns in going first. What is reported is the median of the rounds, with the least and the most. The load runs in a process
//! of its own ([`load`]); a server's processor time is what the system counted for its process over the same window.

mod agent; // Debian's oidc-agent
mod clients; // services and jobs
mod desk; // people who are signed in at an issuer of ours
mod echo; // a server that does nothing
mod http; // one keep-alive connection
mod load; // the process that asks
mod ours; // hallpass serve
mod peer; // npm's oidc-provider
mod process; // what the system says of a process
mod report; // medians, the table, target/bench.json
mod round; // what is asked of a side, in order
mod side; // those that are measured
mod token; // `hallpass token` and its daemon
mod torture; // sign-ins lost while processes are killed

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::{Name, Report, Wanted};
use crate::round::Plan;
use crate::side::Side;

/// Measure issuer and holder beside other implementations
#[derive(Parser)]
struct Args {
    /// Measure only this, or these with commas between
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Name>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each load is measured for, after its warm-up
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Sessions that each side has
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Sessions that are there where growth is measured, beside a thousand
    #[arg(long, default_value_t = 1_000_000)]
    many_sessions: usize,
    /// Where the numbers go
    #[arg(long, default_value = "target/bench.json")]
    out: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Be the load: a job on standard input, what came of it on standard output
    #[command(hide = true)]
    Load,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.role {
        Some(Role::Load) => load::serve(),
        None => {
            let outcome = measure(&args);
            ours::clean_up();
            outcome
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), Failure> {
    let wanted = Wanted(args.only.clone());
    let plan = Plan::for_names(&wanted, args.seconds, args.sessions);
    let mut report = Report::default();
    let by_rounds = Name::ALL.into_iter().any(|name| wanted.has(name));
    for round in 0..if by_rounds { args.rounds } else { 0 } {
        // Whoever goes first meets a cooler machine: the sides take turns.
        let mut order = SIDES;
        order.rotate_left(round % SIDES.len());
        for side in order.into_iter().filter(|side| plan.includes(*side)) {
            say(&format!("round {} of {}: {side}", round + 1, args.rounds));
            report.add(side, round::run(side, &plan)?);
        }
    }
    let mut lines = report.lines(&wanted);
    let machines = clients::Plan {
        rounds: args.rounds,
        window: std::time::Duration::from_secs(args.seconds),
        many: args.many_sessions,
    };
    lines.extend(clients::lines(&wanted, &machines)?);
    lines.extend(token::lines(&wanted, args.rounds)?);
    lines.extend(torture::lines(&wanted)?);
    for line in &lines {
        say(&line.to_string());
    }
    report::write(&args.out, &lines)?;
    say(&format!("written to {}", args.out.display()));
    Ok(())
}

const SIDES: [Side; 3] = [Side::Ours, Side::Peer, Side::PeerSigned];

/// Why there is no number: a server that would not start, an answer that was an error.
type Failure = Box<dyn std::error::Error>;

/// Tells whoever is waiting.
#[expect(
    clippy::print_stderr,
    reason = "the numbers go to a file; this is for the person who waits for them"
)]
fn say(line: &str) {
    eprintln!("{line}");
}
