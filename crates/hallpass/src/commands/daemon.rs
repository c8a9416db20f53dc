//! `hallpass daemon`: the process that holds sign-ins for the others.

use std::ffi::OsString;
use std::os::fd::AsFd;

use clap::{Args, Subcommand};
use hallpass_holder::daemon::{Bound, DaemonStatus, End, Ended, HandedOver, LOOK_EVERY, Serve, bind};
use hallpass_holder::{Asking, HolderError};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::on_this_thread;
use crate::failure::{Exit, Failure};
use crate::holding::{HolderArgs, ourselves, socket};
use crate::output::{self, Form, Output};
use crate::wiping;

/// What makes a daemon take over from the one that started it.
const TAKE_OVER: &str = "--take-over";

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
///
/// Where one runs and another version was put at its program's place since, it hands itself over to that at once: the sign-ins
/// that it alone holds go on, and nobody who asks meanwhile is refused. It does so by itself, too, within seconds.
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

    /// Take over from the daemon that started this, by the channel on standard input
    #[arg(long, hide = true)]
    take_over: bool,

    #[command(flatten)]
    holder: HolderArgs,
}

/// `hallpass.daemon.start/1`.
#[derive(Serialize)]
struct Started {
    started: bool,
    socket: String,
    pid: Option<u32>,
    /// Whether one that ran handed itself over to the program that is there now.
    handed_over: bool,
    /// Why it did not, where there is another program.
    not_handed_over: Option<String>,
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
    program: Option<String>,
    not_handed_over: Option<String>,
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
    let outcome = if started { None } else { daemon.hand_over()? };
    let handed_over = outcome.as_ref().is_some_and(|outcome| outcome.handed_over);
    if let Some(warning) = outcome.as_ref().and_then(not_handed) {
        out.warn(warning);
    }
    match out.form() {
        Form::Text if started => out.say(format_args!("the daemon runs, and listens at {socket}")),
        Form::Text if handed_over => {
            out.say(format_args!("the daemon handed itself over to this version, and listens at {socket}"))
        }
        Form::Text => out.say(format_args!("the daemon runs already, and listens at {socket}")),
        Form::Json => {
            let pid = daemon.status()?.map(|status| status.pid);
            let not_handed_over = outcome.and_then(|outcome| outcome.why);
            let started = Started { started, socket, pid, handed_over, not_handed_over };
            out.json("hallpass.daemon.start/1", &started)?;
        }
    }
    Ok(Exit::DONE)
}

/// What a person should know of a daemon that goes on as it was.
fn not_handed(outcome: &HandedOver) -> Option<String> {
    let theirs = outcome.program.as_ref()?;
    if let Some(why) = &outcome.why {
        return Some(format!(
            "it did not hand itself over to `{}`, and goes on as it was: {why}",
            theirs.display()
        ));
    }
    let own = ourselves(Vec::new())?.place().to_owned();
    (!outcome.handed_over && own != *theirs).then(|| {
        format!(
            "its program is `{}`, and not this one; to have this one, run `hallpass daemon stop` first: that signs out of what \
             it alone holds",
            theirs.display()
        )
    })
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
        program: status.program.map(|program| program.display().to_string()),
        not_handed_over: status.not_handed_over,
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
    if let Some(program) = &known.program {
        lines.insert(1, row("program", program.clone()));
    }
    if let Some(why) = &known.not_handed_over {
        lines
            .push(row("old", format!("it did not hand itself over to the program that is there now: {why}")));
    }
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
    no_core();
    let (holder, state, offered) = args.holder.open_for_daemon()?;
    let place = socket();
    if args.detached {
        // Whoever started us is a leader at most of a group that we are not in.
        let _ = rustix::process::setsid();
    }
    let cannot_leave =
        |error| Failure::could_not_run(format_args!("the daemon cannot leave the terminal: {error}"));
    let bound = match args.take_over {
        true => {
            let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(cannot_leave)?;
            Bound::taken_over(channel)?
        }
        false => bind(&place)?,
    };
    match (args.take_over, args.detached) {
        // Whoever started us hears on standard error why it is not to be, and nothing else.
        (true, _) => rustix::stdio::dup2_stdin(nowhere().map_err(cannot_leave)?)
            .map_err(|error| cannot_leave(error.into()))?,
        (false, detached) => {
            out.say(format_args!("the daemon listens at {}", place.display()));
            if detached {
                leave_the_terminal().map_err(cannot_leave)?;
            }
        }
    }
    let serve = Serve {
        holder,
        state: Some(state),
        version: env!("CARGO_PKG_VERSION").into(),
        offered,
        look_every: LOOK_EVERY,
        program: ourselves(taking_over()),
    };
    on_this_thread(async {
        match bound.serve(serve, told_to_stop()).await? {
            // A supervisor watches the process that it started.
            End::HandedOver(successor) if !args.detached => stand_for(successor).await,
            End::HandedOver(_) | End::Stopped => Ok(Exit::DONE),
        }
    })
}

/// Our own arguments, with which a successor takes over from us.
fn taking_over() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == TAKE_OVER) {
        arguments.push(TAKE_OVER.into());
    }
    arguments
}

/// Stays until the successor ends, and ends it when told to: nothing secret is left in this process.
async fn stand_for(mut successor: tokio::process::Child) -> Result<Exit, Failure> {
    let pid = successor.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    let ended = tokio::select! {
        ended = successor.wait() => ended,
        () = told_to_stop() => {
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::TERM); // it may be gone already
            }
            successor.wait().await
        }
    };
    let ended = ended.map_err(|error| Failure::could_not_run(format_args!("the daemon is lost: {error}")))?;
    Ok(if ended.success() { Exit::DONE } else { Exit::NO })
}

/// SECURITY: besides what holds for every command of ours: no setting of the system's has a core of the daemon written.
fn no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Whoever may not lower it has none anyway.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Whoever waited for us to listen goes, and what we would say to them has no reader.
fn leave_the_terminal() -> std::io::Result<()> {
    let nowhere = nowhere()?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

fn nowhere() -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")
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
