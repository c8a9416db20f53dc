//! `hallpass wrap`: a tool that insists on keeping its tokens in a file, and the memory that it takes for its folder.
//!
//! 1. The folders of the named files are looked at, and what is kept for them is opened, with their lock held.
//! 2. We enter a room of our own (`room`): a mount namespace, in which each of those folders is memory that is never swapped
//!    out. What was kept is laid out in it, beside what else is in the folder on disk.
//! 3. What of it lay on disk in the clear is sealed, and then removed there.
//! 4. The command runs in that room. Whenever it has changed something there, that is sealed at once: a kill loses nothing.
//! 5. When it is over, what it left is sealed once more, and the memory goes with the room.

mod contents; // what is in a folder
mod room; // a mount namespace of our own

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use hallpass_holder::exec::look_up;
use hallpass_holder::{Holder, HolderError, Wrapped};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use self::contents::Contents;
use self::room::Room;
use crate::env;
use crate::failure::{Exit, Failure};
use crate::holding::HolderArgs;
use crate::output::Output;

/// How long another run of the same tool is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often to look whether it is over.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// A tool writes several files in a row; they are sealed together.
const SETTLE: Duration = Duration::from_millis(20);

/// Run a tool that insists on keeping its tokens in a file, without that file on disk
///
/// The folder of each `--file` is memory while the command runs, for it alone; what it changes there is encrypted at once, and
/// laid out again at the next run. What lies there in the clear is taken over and removed. Where no such room can be made, it
/// refuses and says why. The exit code is the command's own; 125 if hallpass failed, 126 if the command cannot be run, 127 if it
/// is not found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass wrap --file ~/.legacy/token.json -- legacy deploy
  hallpass wrap --file ~/.aws/sso/cache/x.json --file ~/.aws/cli/cache/x.json -- aws s3 ls")]
pub(crate) struct WrapArgs {
    /// A file that the command keeps tokens in; may be given several times
    #[arg(long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    holder: HolderArgs,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) async fn wrap(args: WrapArgs, out: &mut Output) -> Result<Exit, Failure> {
    look_up(&args.command, env::PATH.value().as_deref())?;
    let folders = folders(&args.files)?;
    let holder = args.holder.open()?;
    let mut wrapped = alone(&holder, &folders).await?;
    let on_disk = Contents::read(&folders).map_err(cannot("read the folders"))?;
    // Its keeper has no business with our lock, but whatever it leaves running in the room has.
    let room = Room::enter(&folders).map_err(no_room)?;
    on_disk.lay_out().map_err(cannot("lay out what is there"))?;
    contents::lay_out(wrapped.kept()).map_err(cannot("lay out what was kept"))?;
    let named: Vec<PathBuf> = args.files.iter().map(|file| absolute(file)).collect();
    take_over(&holder, &mut wrapped, &on_disk, &room, &named, out)?;
    wrapped.share_lock().map_err(cannot("hand on the lock"))?;
    let ended = run(&args.command, &holder, &mut wrapped, &on_disk, &folders, &named, out).await;
    let kept = keep(&holder, &mut wrapped, &on_disk, &folders, &[]);
    holder.let_go(wrapped);
    kept?;
    Ok(exit_of(ended?))
}

/// The folders of the files, each once, made if need be, and none whose loss from sight would hurt.
fn folders(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    for file in files {
        let file = absolute(file);
        let parent = file.parent().filter(|_| file.file_name().is_some());
        let parent =
            parent.ok_or_else(|| Failure::usage(format_args!("`{}` is not a file", file.display())))?;
        make(parent)?;
        let folder = parent.canonicalize().map_err(cannot("find the folder"))?;
        let holds = |other: Option<PathBuf>| {
            other.and_then(|other| other.canonicalize().ok()).is_some_and(|other| other.starts_with(&folder))
        };
        if holds(env::HOME.path())
            || holds(std::env::current_dir().ok())
            || holds(env::HALLPASS_STATE_DIR.path())
        {
            let told = format!(
                "`{}` holds more than this tool's files, so it cannot be memory alone",
                folder.display()
            );
            return Err(Failure::refused(told).hint(
                "tell the tool, by its own setting, to keep its file in a folder of its own, and name that",
            ));
        }
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.sort();
    let nested = folders.windows(2).any(|two| two[1].starts_with(&two[0]));
    match nested {
        true => {
            Err(Failure::usage("one of the folders is within another: name files of the outer one alone"))
        }
        false => Ok(folders),
    }
}

fn make(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot("make the folder"))
}

/// Waits until no other run has it.
async fn alone(holder: &Holder, folders: &[PathBuf]) -> Result<Wrapped, Failure> {
    let waited = async {
        loop {
            match holder.wrapped(folders) {
                Err(HolderError::Locked { .. }) => tokio::time::sleep(WAIT_STEP).await,
                outcome => return outcome,
            }
        }
    };
    match tokio::time::timeout(WAIT_MAX, waited).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::try_later("another run of this tool has its files")
            .hint("end that one, or what it left running, and try again")),
    }
}

/// Seals what lies on disk in the clear, and then removes it there.
fn take_over(
    holder: &Holder,
    wrapped: &mut Wrapped,
    on_disk: &Contents,
    room: &Room,
    named: &[PathBuf],
    out: &mut Output,
) -> Result<(), Failure> {
    let there: Vec<&PathBuf> = named.iter().filter(|file| on_disk.has(file)).collect();
    if there.is_empty() {
        return Ok(());
    }
    let sealed =
        contents::snapshot(&Contents::default(), room.folders(), &[]).map_err(cannot("read the room"))?;
    let changed = sealed.into_iter().filter(|file| named.contains(&file.path) || on_disk.differs(file));
    holder.keep(wrapped, changed.collect())?;
    for file in there {
        room.remove_on_disk(file).map_err(cannot("remove what lay in the clear"))?;
        out.say(format_args!("took over {}: it is encrypted now, and no longer on disk", file.display()));
    }
    Ok(())
}

/// Runs the command, and seals whatever it changes meanwhile.
async fn run(
    command: &[OsString],
    holder: &Holder,
    wrapped: &mut Wrapped,
    on_disk: &Contents,
    folders: &[PathBuf],
    named: &[PathBuf],
    out: &mut Output,
) -> Result<ExitStatus, Failure> {
    let catch = |kind| signal(kind).map_err(cannot("catch signals"));
    let (mut interrupt, mut quit) = (catch(SignalKind::interrupt())?, catch(SignalKind::quit())?);
    let (mut terminate, mut hang_up) = (catch(SignalKind::terminate())?, catch(SignalKind::hangup())?);
    let changes = room::Changes::watch(folders).map_err(cannot("watch the folders"))?;
    let mut child = Command::new(&command[0]).args(&command[1..]).spawn().map_err(|source| {
        Failure::from(HolderError::Start { command: command[0].to_string_lossy().into_owned(), source })
    })?;
    let pass_on = |child: &tokio::process::Child, signal| {
        let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    };
    loop {
        tokio::select! {
            ended = child.wait() => return ended.map_err(cannot("wait for the command")),
            // A terminal sends these to the command itself.
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => pass_on(&child, rustix::process::Signal::TERM),
            _ = hang_up.recv() => pass_on(&child, rustix::process::Signal::HUP),
            () = changes.some() => {
                tokio::time::sleep(SETTLE).await;
                if let Err(failure) = keep(holder, wrapped, on_disk, folders, named) {
                    out.warn(format_args!("what the command changed is not sealed yet: {}", failure.message()));
                }
            }
        }
    }
}

/// Seals what differs from the disk, if that differs from what is sealed. While the command runs, a named file that is empty
/// is one that is being written.
fn keep(
    holder: &Holder,
    wrapped: &mut Wrapped,
    on_disk: &Contents,
    folders: &[PathBuf],
    being_written: &[PathBuf],
) -> Result<(), Failure> {
    let now = contents::snapshot(on_disk, folders, being_written).map_err(cannot("read the room"))?;
    let empty = |file: &PathBuf| now.iter().all(|kept| kept.path != *file) && file.exists();
    if being_written.iter().any(empty) || contents::same(&now, wrapped.kept()) {
        return Ok(());
    }
    Ok(holder.keep(wrapped, now)?)
}

fn absolute(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

fn cannot(doing: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::could_not_run(format_args!("cannot {doing}: {error}"))
}

/// There is no other way that keeps it off the disk, so there is none.
fn no_room(error: std::io::Error) -> Failure {
    Failure::could_not_run(format_args!("no room in memory can be made here: {error}")).hint(
        "it needs a user namespace of its own, or root: containers need `--security-opt seccomp=unconfined` or CAP_SYS_ADMIN, \
         and some systems forbid it by kernel.apparmor_restrict_unprivileged_userns or user.max_user_namespaces. Nothing was \
         run, and nothing was written",
    )
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::of_child(code as u8),
        (None, signal) => Exit::of_signal(signal.unwrap_or_default()),
    }
}
