//! `hallpass admin backup` and `hallpass admin restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hallpass_model::random::SystemEntropy;
use hallpass_store::RestoreError;
use serde::Serialize;

use super::{PlaceArgs, give};
use crate::admin_socket::client::AdminClient;
use crate::admin_socket::forms::{Backup, BackupMade};
use crate::commands::serve::open;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{ask, clock, folder};

/// Copy the database into a new file, while the server goes on
///
/// The copy is whole and of one moment. It does not hold the two key files: back those up apart, for the copy cannot be
/// read without the one and its ledger not continued without the other.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hallpass admin backup /backup/hallpass-$(date +%F).db")]
pub(super) struct BackupArgs {
    /// The file to make; it must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Put a backup in the place of the database, while no server runs
///
/// Every session older than the restore is cut: tokens handed out since the backup was made could otherwise not be told
/// from stolen ones. The database that is there is kept beside it, under another name.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hallpass admin restore /backup/hallpass-2026-11-22.db --data /var/lib/hallpass")]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Let sessions live on, and believe their newer tokens
    #[arg(long)]
    keep_sessions: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Ask nobody anything: fail instead (HALLPASS_NO_INPUT)
    #[arg(long)]
    no_input: bool,
}

pub(super) async fn backup(
    args: BackupArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let file = std::path::absolute(&args.file)
        .ok()
        .and_then(|file| file.into_os_string().into_string().ok())
        .ok_or_else(|| {
            Failure::usage(format_args!("`{}` is not a path a backup can have", args.file.display()))
        })?;
    let made: BackupMade = server.ask("backup", &Backup { file }).await?;
    out.say(format_args!("copied the database into `{}`; the key files are not in it", made.file));
    give(out, "hallpass.admin.backup/1", &made, |_| String::new())
}

pub(super) fn restore(args: RestoreArgs, place: &PlaceArgs, out: &mut Output) -> Result<Exit, Failure> {
    let settings = place.settings()?;
    let (file, data) = (args.file.display(), settings.data.display());
    if !args.file.is_file() {
        return Err(Failure::usage(format_args!("there is no backup `{file}`")));
    }
    if !args.yes {
        let sessions = if args.keep_sessions { "keeps every session" } else { "ends every session" };
        ask::confirm(
            out,
            args.no_input,
            &format!("put `{file}` in the place of the database in `{data}`, which {sessions}?"),
        )?;
    }
    folder::own(&settings.data)?;
    let keys = open::existing_keys(&settings)?;
    let entropy = Arc::new(SystemEntropy);
    let restored =
        hallpass_store::restore(&args.file, &settings.data, keys, args.keep_sessions, entropy, clock::now())
            .map_err(|error| match error {
                RestoreError::NotABackup { .. } => {
                    Failure::could_not_run(error).hint("name a file that `hallpass admin backup` wrote")
                }
                RestoreError::Open(error) => open::told(&settings.data, error),
            })?;
    out.say(format_args!("restored `{file}` into `{data}`"));
    if let Some(replaced) = &restored.replaced {
        out.say(format_args!(
            "what stood there is kept as `{}`; remove it once you are sure",
            replaced.display()
        ));
    }
    match args.keep_sessions {
        true => out.warn(
            "sessions were kept: what was revoked since the backup lives again until it ends by itself",
        ),
        false => out.say("every session ended; people log in again"),
    }
    let answer =
        RestoredShown { data: &settings.data, replaced: restored.replaced, checkpoint: restored.checkpoint };
    give(out, "hallpass.admin.restore/1", &answer, |_| String::new())
}

/// The answer of `--json`.
#[derive(Serialize)]
struct RestoredShown<'a> {
    data: &'a Path,
    /// Where the database that stood there was put.
    replaced: Option<PathBuf>,
    /// A signed checkpoint over the ledger, the entry of the restore included.
    checkpoint: String,
}
