//! `hallpass ledger prove`.

use std::path::PathBuf;

use clap::Args;

use super::checkpoint::write;
use super::verify::read_text;
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};
use hallpass_issuer::admin::forms::{ProofAsk, ProofShown};

/// Write a proof that an entry is in the ledger, or that the ledger only grew since a checkpoint
///
/// Whoever has the ledger's public key checks it with `hallpass ledger verify --proof`, without the ledger and without the
/// server. A proof of an entry shows that entry, but not its personal fields, and no other entry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass ledger prove --entry 41 entry-41.proof
  hallpass ledger prove --since last-week.checkpoint grown.proof")]
pub(super) struct ProveArgs {
    /// The entry, by its number, as `hallpass ledger list` shows it
    #[arg(long, value_name = "NUMBER", required_unless_present = "since", conflicts_with = "since")]
    entry: Option<u64>,

    /// The checkpoint that the ledger is to begin with
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,

    /// The file to write it to, in place of what is there; standard output if left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn prove(
    args: ProveArgs,
    mut server: AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let since = args.since.as_deref().map(|file| read_text(file, "checkpoint")).transpose()?;
    let shown: ProofShown = server.ask("ledger.prove", &ProofAsk { entry: args.entry, since }).await?;
    if let Some(file) = &args.file {
        write(file, &shown.proof).map_err(|error| {
            Failure::could_not_run(format_args!("cannot write the proof to `{}`: {error}", file.display()))
        })?;
        out.say(format_args!("proved by a ledger of {} entries in `{}`", shown.size, file.display()));
    }
    match out.form() {
        Form::Json => out.json("hallpass.ledger.proof/1", &shown)?,
        Form::Text if args.file.is_none() => out.answer(shown.proof.trim_end())?,
        Form::Text => {}
    }
    Ok(Exit::DONE)
}
