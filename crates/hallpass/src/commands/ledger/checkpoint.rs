//! `hallpass ledger checkpoint` and `hallpass ledger key`.

use std::path::PathBuf;

use clap::Args;

use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};
use hallpass_issuer::admin::forms::{CheckpointShown, Nothing};

/// Sign how the ledger stands, to keep elsewhere
///
/// Whoever holds a checkpoint can prove later that nothing before it was changed, removed or reordered, even against
/// somebody who has the database and the key. Keep it where the server cannot write.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass ledger checkpoint /mnt/elsewhere/hallpass-$(date +%F).checkpoint
  hallpass ledger checkpoint | ssh witness 'cat > hallpass.checkpoint'")]
pub(super) struct CheckpointArgs {
    /// The file to write it to, in place of what is there; standard output if left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Print the public key that checkpoints are verified with
#[derive(Debug, Args)]
pub(super) struct KeyArgs {}

pub(super) async fn checkpoint(
    args: CheckpointArgs,
    mut server: AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let checkpoint: CheckpointShown = server.ask("ledger.checkpoint", &Nothing {}).await?;
    if let Some(file) = &args.file {
        write(file, &checkpoint.note).map_err(|error| {
            Failure::could_not_run(format_args!(
                "cannot write the checkpoint to `{}`: {error}",
                file.display()
            ))
        })?;
        out.say(format_args!("signed {} entries into `{}`", checkpoint.size, file.display()));
    }
    match out.form() {
        Form::Json => out.json("hallpass.ledger.checkpoint/1", &checkpoint)?,
        Form::Text if args.file.is_none() => out.answer(checkpoint.note.trim_end())?,
        Form::Text => {}
    }
    Ok(Exit::DONE)
}

pub(super) async fn key(
    KeyArgs {}: KeyArgs,
    mut server: AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let checkpoint: CheckpointShown = server.ask("ledger.checkpoint", &Nothing {}).await?;
    match out.form() {
        Form::Json => out.json("hallpass.ledger.key/1", &serde_json::json!({ "key": checkpoint.key }))?,
        Form::Text => out.answer(&checkpoint.key)?,
    }
    Ok(Exit::DONE)
}

/// Whole or not at all: half a checkpoint proves nothing, and neither does half a proof.
pub(super) fn write(file: &std::path::Path, note: &str) -> std::io::Result<()> {
    use std::io::Write;
    let folder =
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".hallpass-").tempfile_in(folder)?;
    new.write_all(note.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
