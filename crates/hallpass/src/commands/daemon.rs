//! `hallpass daemon`: the process that holds sign-ins for the others.

use clap::{Args, Subcommand};
use hallpass_holder::daemon::{DaemonStatus, Ended, LOOK_EVERY, Serve, bind};
use hallpass_holder::{Asking, HolderError};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::on_this_thread;
use crate::failure::{Exit, Failure};
use crate::holding::{HolderArgs, socket};
use crate::output::{self, Form, Output};
use crate::wiping;

/// Keep sign-ins warm in one process that hands out access tokens
///
/// Commands ask it where it runs, and do without it otherwise. It renews ahead of time, hands out access tokens and
/// nothing else, and listens on a socket that is yours alone: any program can ask it by `curl --unix-socket`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass daemon start
  curl --unix-socket \"$XDG_RUNTIME_DIR/hallpass/daemon.sock\" -d '{}' http://hallpass/v1/token
  hallpass daemon stop")]
pub(crate) struct DaemonArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Start(StartArgs),
    Status(StatusArgs),
    Lock(LockArgs),
    Unlock(UnlockArgs),
    Stop(StopArgs),
    Run(RunArgs),
}

/// Start it, unless it runs
#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    holder: HolderArgs,
}

/// Show whether it runs, and what it holds
///
/// The exit code is 1 if none runs.
#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    holder: HolderArgs,
}

/// Wipe what it keeps ready, and give nothing out until it is unlocked
///
/// With a passphrase, which is then asked for to unlock it: what it alone holds is sealed under it. Where nobody is there to
/// choose one, and it alone holds nothing, it locks without.
#[derive(Debug, Args)]
struct LockArgs {
    #[command(flatten)]
    holder: HolderArgs,
}

/// Unlock it, and open what on disk waits for that passphrase
#[derive(Debug, Args)]
struct UnlockArgs {
    #[command(flatten)]
    holder: HolderArgs,
}

/// Stop it, and sign out of what it alone holds
///
/// The exit code is 1 if something that ended here may still be alive at its issuer.
#[derive(Debug, Args)]
struct StopArgs {
    #[command(flatten)]
    holder: HolderArgs,
}

/// Be the daemon, in the foreground
///
/// For systemd and other supervisors; `start` does this in the background.
#[derive(Debug, Args)]
struct RunArgs {
    /// Leave the terminal, and say nothing once it listens
    #[arg(long, hide = true)]
    detached: bool,

    #[command(flatten)]
    holder: HolderArgs,
}

/// `hallpass.daemon.start/1`.
#[derive(Serialize)]
struct Started {
    started: bool,
    socket: String,
    pid: Option<u32>,
}

/// `hallpass.daemon.status/1`.
#[derive(Serialize)]
struct Status {
    running: bool,
    socket: String,
    #[serde(flatten)]
    known: Option<Known>,
}

#[derive(Serialize)]
struct Known {
    version: String,
    pid: u32,
    started: String,
    state: Option<String>,
    locked: bool,
    memory: String,
    held: usize,
    ready: usize,
}

/// `hallpass.daemon.lock/1` and `hallpass.daemon.unlock/1`.
#[derive(Serialize)]
struct Locked {
    locked: bool,
    sealed: bool,
}

/// `hallpass.daemon.stop/1`.
#[derive(Serialize)]
struct Stopped {
    stopped: bool,
    ended: Vec<Ended>,
    may_be_alive: bool,
}

pub(crate) fn daemon(args: DaemonArgs, out: &mut Output) -> Result<Exit, Failure> {
    match args.action {
        Action::Start(args) => start(&args, out),
        Action::Status(args) => status(&args, out),
        Action::Lock(args) => lock(&args, out),
        Action::Unlock(args) => unlock(&args, out),
        Action::Stop(args) => stop(&args, out),
        Action::Run(args) => run(&args, out),
    }
}

fn start(args: &StartArgs, out: &mut Output) -> Result<Exit, Failure> {
    let daemon = args.holder.daemon()?;
    let started = daemon.start()?;
    let socket = daemon.socket().display().to_string();
    match out.form() {
        Form::Text if started => out.say(format_args!("the daemon runs, and listens at {socket}")),
        Form::Text => out.say(format_args!("the daemon runs already, and listens at {socket}")),
        Form::Json => {
            let pid = daemon.status()?.map(|status| status.pid);
            out.json("hallpass.daemon.start/1", &Started { started, socket, pid })?;
        }
    }
    Ok(Exit::DONE)
}

fn status(args: &StatusArgs, out: &mut Output) -> Result<Exit, Failure> {
    let daemon = args.holder.daemon()?;
    let socket = daemon.socket().display().to_string();
    let known = daemon.status()?.map(known);
    let exit = if known.is_some() { Exit::DONE } else { Exit::NO };
    let written = match out.form() {
        Form::Json => {
            out.json("hallpass.daemon.status/1", &Status { running: known.is_some(), socket, known })
        }
        Form::Text => match known {
            Some(known) => lines(&known, &socket).iter().try_for_each(|line| out.answer(line)),
            None => out.answer(format_args!("no daemon runs at {socket}")),
        },
    };
    output::leave(written, exit)
}

fn known(status: DaemonStatus) -> Known {
    Known {
        version: status.version,
        pid: status.pid,
        started: status.started.to_string(),
        state: status.state.map(|state| state.display().to_string()),
        locked: status.locked,
        memory: status.memory,
        held: status.held,
        ready: status.ready,
    }
}

fn lines(known: &Known, socket: &str) -> Vec<String> {
    let row = |name: &str, text: String| format!("{name:<10} {text}");
    let mut lines = vec![
        row("daemon", format!("process {}, hallpass {}, since {}", known.pid, known.version, known.started)),
        row("socket", socket.to_owned()),
        row("records", known.state.clone().unwrap_or_else(|| "none on disk".into())),
        row("ready", format!("{} tokens", known.ready)),
        row("memory", in_memory(&known.memory).to_owned()),
    ];
    if known.held > 0 {
        lines.push(row("held", format!("{} sign-ins, here alone: they end with the daemon", known.held)));
    }
    if known.locked {
        lines.push(row("locked", "until `hallpass daemon unlock`".into()));
    }
    lines
}

fn in_memory(memory: &str) -> &'static str {
    match memory {
        "locked" => "all of it is locked: nothing is swapped out",
        "keys-locked" => "its keys are locked: what is swapped out is sealed",
        _ => {
            "nothing is locked: the limit on locked memory (`ulimit -l`) is too low, so keys may be swapped out"
        }
    }
}

fn lock(args: &LockArgs, out: &mut Output) -> Result<Exit, Failure> {
    let daemon = args.holder.daemon()?;
    if !daemon.runs() {
        return Err(none_runs());
    }
    let passphrase = args.holder.passphrase(Asking::New)?;
    daemon.lock(passphrase.as_ref())?;
    match (out.form(), passphrase.is_some()) {
        (Form::Json, sealed) => out.json("hallpass.daemon.lock/1", &Locked { locked: true, sealed })?,
        (Form::Text, true) => {
            out.say("the daemon is locked, until `hallpass daemon unlock` and the passphrase")
        }
        (Form::Text, false) => out.say("the daemon is locked, until `hallpass daemon unlock`"),
    }
    Ok(Exit::DONE)
}

fn unlock(args: &UnlockArgs, out: &mut Output) -> Result<Exit, Failure> {
    let daemon = args.holder.daemon()?;
    let Some(status) = daemon.status()? else { return Err(none_runs()) };
    let passphrase = match status.sealed {
        true => Some(args.holder.passphrase(Asking::Open)?.ok_or(HolderError::PassphraseNeeded)?),
        false => args.holder.passphrase(Asking::Quietly)?,
    };
    daemon.unlock(passphrase.as_ref())?;
    match out.form() {
        Form::Json => {
            out.json("hallpass.daemon.unlock/1", &Locked { locked: false, sealed: status.sealed })?
        }
        Form::Text => out.say("the daemon is unlocked"),
    }
    Ok(Exit::DONE)
}

fn none_runs() -> Failure {
    Failure::no("no daemon runs")
}

fn stop(args: &StopArgs, out: &mut Output) -> Result<Exit, Failure> {
    let stopped = args.holder.daemon()?.stop()?;
    let ended = stopped.clone().unwrap_or_default();
    let may_be_alive = ended.iter().any(|one| !one.revoked);
    let written = match out.form() {
        Form::Json => out.json(
            "hallpass.daemon.stop/1",
            &Stopped { stopped: stopped.is_some(), ended: ended.clone(), may_be_alive },
        ),
        Form::Text if stopped.is_none() => {
            out.say("no daemon runs; there was nothing to do");
            Ok(())
        }
        Form::Text => {
            ended.iter().try_for_each(|one| out.answer(format_args!("signed out of {}", one.issuer)))
        }
    };
    for one in ended.iter().filter(|one| !one.revoked) {
        out.warn(format_args!("not revoked there: {}: end it on the issuer's own pages", one.issuer));
    }
    output::leave(written, if may_be_alive { Exit::NO } else { Exit::DONE })
}

fn run(args: &RunArgs, out: &mut Output) -> Result<Exit, Failure> {
    wiping::wipe_what_is_given_back();
    let (holder, state, offered) = args.holder.open_for_daemon()?;
    let place = socket();
    if args.detached {
        // Whoever started us is a leader at most of a group that we are not in.
        let _ = rustix::process::setsid();
    }
    let bound = bind(&place)?;
    out.say(format_args!("the daemon listens at {}", place.display()));
    if args.detached {
        leave_the_terminal().map_err(|error| {
            Failure::could_not_run(format_args!("the daemon cannot leave the terminal: {error}"))
        })?;
    }
    let serve = Serve {
        holder,
        state: Some(state),
        version: env!("CARGO_PKG_VERSION").into(),
        offered,
        look_every: LOOK_EVERY,
    };
    on_this_thread(async {
        bound
            .serve(serve, told_to_stop())
            .await
            .map_err(|error| Failure::could_not_run(format_args!("the daemon cannot listen: {error}")))?;
        Ok(Exit::DONE)
    })
}

/// Whoever waited for us to listen goes, and what we would say to them has no reader.
fn leave_the_terminal() -> std::io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

async fn told_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await; // then the default ends us
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
