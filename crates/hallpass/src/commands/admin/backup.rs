//! `hallpass admin backup` and `hallpass admin restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hallpass_model::random::SystemEntropy;
use hallpass_store::{Restore, RestoreError, Restored, Returned};
use serde::Serialize;

use super::{PlaceArgs, give};
use crate::admin_socket::client::AdminClient;
use crate::commands::serve::open;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{ask, clock, folder};
use hallpass_issuer::admin::forms::{Backup, BackupMade};

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
/// from stolen ones. Passkeys removed and people disabled since come back, and are named. The database that is there is
/// kept beside it, under another name.
///
/// The backup's ledger is verified first: a backup is signed to its last entry.
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

    /// Go on from a ledger that is not as it was signed, and record that
    #[arg(long)]
    accept_ledger: bool,

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
    let how = Restore {
        from: &args.file,
        place: &open::place(&settings),
        keep_sessions: args.keep_sessions,
        accept_ledger: args.accept_ledger,
    };
    let restored = hallpass_store::restore(&how, keys, Arc::new(SystemEntropy), clock::now())
        .map_err(|error| told(&settings.data, error))?;
    out.say(format_args!("restored `{file}` into `{data}`"));
    say(&restored, args.keep_sessions, out);
    give(out, "hallpass.admin.restore/1", &shown(&settings.data, restored), |_| String::new())
}

fn told(data: &Path, error: RestoreError) -> Failure {
    match error {
        RestoreError::NotABackup { .. } => {
            Failure::could_not_run(error).hint("name a file that `hallpass admin backup` wrote")
        }
        RestoreError::Ledger { .. } => Failure::no(error).hint(
            "take another backup; `--accept-ledger` goes on from this one as it is, and the ledger will say so",
        ),
        RestoreError::Gap { .. } => Failure::no(error).hint("take another backup"),
        RestoreError::Open(error) => open::told(data, error),
    }
}

fn say(restored: &Restored, keep_sessions: bool, out: &mut Output) {
    if let Some(replaced) = &restored.replaced {
        out.say(format_args!(
            "what stood there is kept as `{}`; remove it once you are sure",
            replaced.display()
        ));
    }
    for wrong in &restored.accepted {
        out.warn(format_args!("accepted of the ledger: {wrong}"));
    }
    match keep_sessions {
        true => out.warn(
            "sessions were kept: what was revoked since the backup lives again until it ends by itself",
        ),
        false => out.say("every session ended; people log in again"),
    }
    match &restored.returned {
        Some(returned) => say_returned(returned, out),
        None if restored.replaced.is_some() => out.warn(
            "the database that stood there could not be read: passkeys removed and people disabled since the backup may be back",
        ),
        None => out.warn("passkeys removed and people disabled since the backup are back: nothing here says which"),
    }
}

fn say_returned(returned: &Returned, out: &mut Output) {
    for person in &returned.people {
        out.warn(format_args!(
            "`{}` of `{}` was disabled since the backup, and is active again",
            person.person, person.org
        ));
    }
    for passkey in &returned.passkeys {
        out.warn(format_args!(
            "the passkey {} (`{}`) of `{}` of `{}` was removed since the backup, and opens the door again",
            passkey.passkey, passkey.name, passkey.person, passkey.org
        ));
    }
    if returned.unnamed > 0 {
        out.warn(format_args!("and {} more came back", returned.unnamed));
    }
}

fn shown(data: &Path, mut restored: Restored) -> RestoredShown<'_> {
    let returned = restored.returned.take().map(|returned| ReturnedShown {
        people: returned
            .people
            .into_iter()
            .map(|person| PersonReturned { org: person.org, person: person.person })
            .collect(),
        passkeys: returned
            .passkeys
            .into_iter()
            .map(|passkey| PasskeyReturned {
                org: passkey.org,
                person: passkey.person,
                passkey: passkey.passkey.to_string(),
                name: passkey.name,
            })
            .collect(),
        unnamed: returned.unnamed,
    });
    let Restored { replaced, checkpoint, accepted, .. } = restored;
    RestoredShown { data, replaced, checkpoint, accepted, returned }
}

/// The answer of `--json`.
#[derive(Serialize)]
struct RestoredShown<'a> {
    data: &'a Path,
    /// Where the database that stood there was put.
    replaced: Option<PathBuf>,
    /// A signed checkpoint over the ledger, the entry of the restore included.
    checkpoint: String,
    /// What was wrong with the backup's ledger, and was accepted.
    accepted: Vec<String>,
    /// What came back to life; null where there was nothing to compare the backup with.
    returned: Option<ReturnedShown>,
}

#[derive(Serialize)]
struct ReturnedShown {
    people: Vec<PersonReturned>,
    passkeys: Vec<PasskeyReturned>,
    /// How many there were beyond those.
    unnamed: u64,
}

#[derive(Serialize)]
struct PersonReturned {
    org: String,
    person: String,
}

#[derive(Serialize)]
struct PasskeyReturned {
    org: String,
    person: String,
    passkey: String,
    name: String,
}
