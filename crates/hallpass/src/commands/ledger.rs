//! `hallpass ledger`: reading the record, keeping checkpoints of it, and proving it.

use clap::{Args, Subcommand};

use super::admin::PlaceArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;

mod checkpoint;
mod list;
mod proof;
mod prove;
mod verify;

/// Read the record of every decision and change, and prove that it is whole
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: LedgerCommand,

    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    List(list::ListArgs),
    Checkpoint(checkpoint::CheckpointArgs),
    Verify(verify::VerifyArgs),
    Prove(prove::ProveArgs),
    Key(checkpoint::KeyArgs),
}

/// Runs one of the ledger's commands.
pub(crate) async fn ledger(args: LedgerArgs, out: &mut Output) -> Result<Exit, Failure> {
    match args.what {
        LedgerCommand::List(list) => list::list(list, args.place.client(out).await?, out).await,
        LedgerCommand::Checkpoint(checkpoint) => {
            checkpoint::checkpoint(checkpoint, args.place.client(out).await?, out).await
        }
        LedgerCommand::Key(key) => checkpoint::key(key, args.place.client(out).await?, out).await,
        LedgerCommand::Prove(prove) => prove::prove(prove, args.place.client(out).await?, out).await,
        LedgerCommand::Verify(verify) => verify::verify(verify, &args.place, out),
    }
}
