//! `hallpass ledger verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use hallpass_model::ledger::{BadKey, VerifierKey};
use hallpass_store::{CopyError, DATABASE, LedgerCopy, Verified};
use serde::Serialize;

use super::proof;
use crate::commands::admin::PlaceArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Prove that the ledger is whole: nothing changed, removed, reordered or dropped
///
/// Works without a server, on a copy; or, with `--proof`, on a proof alone, as `hallpass ledger prove` writes it. It says what it cannot prove: without a checkpoint from elsewhere, whoever had the
/// database and the ledger's key could have written another history. Exits with 1 when the ledger is broken.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass ledger verify --database /backup/hallpass.db --key ledger.pub
  hallpass ledger verify --since last-week.checkpoint --key ledger.pub
  hallpass ledger verify --proof entry-41.proof --key ledger.pub")]
pub(super) struct VerifyArgs {
    /// A checkpoint that was kept elsewhere
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,

    /// A file with the ledger's public key, as `hallpass ledger key` prints it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The database, or a copy of it; the one in the data folder if left out
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,

    /// A proof to check instead, which needs no database
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "database")]
    proof: Option<PathBuf>,
}

/// The answer of `--json`.
#[derive(Serialize)]
struct Outcome {
    sound: bool,
    entries: u64,
    /// The size of the largest checkpoint that the entries agree with.
    proven: Option<u64>,
    root: Option<String>,
    findings: Vec<String>,
    /// How many findings there were beyond those.
    unnamed: u64,
    /// What the check cannot prove.
    not_proven: Vec<String>,
}

pub(super) fn verify(args: VerifyArgs, place: &PlaceArgs, out: &mut Output) -> Result<Exit, Failure> {
    let key = args.key.as_deref().map(read_key).transpose()?;
    let since = args.since.as_deref().map(|file| read_text(file, "checkpoint")).transpose()?;
    if let (Some(file), Some(key)) = (&args.proof, &key) {
        return proof::verify(file, key, since.as_deref(), out);
    }
    let database = match args.database {
        Some(database) => database,
        None => place.data()?.join(DATABASE),
    };
    let verified =
        LedgerCopy::open(&database).and_then(|copy| copy.verify(key, since.as_deref())).map_err(told)?;
    tell(&outcome(&verified), out)
}

fn outcome(verified: &Verified) -> Outcome {
    let report = &verified.report;
    let findings = report.findings.iter().map(ToString::to_string);
    Outcome {
        sound: verified.is_sound(),
        entries: report.entries,
        proven: report.proven,
        root: report.root.map(|root| root.to_string()),
        findings: findings.chain(verified.beside.iter().map(ToString::to_string)).collect(),
        unnamed: report.unnamed + verified.unnamed,
        not_proven: report.limits.iter().map(ToString::to_string).collect(),
    }
}

fn tell(outcome: &Outcome, out: &mut Output) -> Result<Exit, Failure> {
    match out.form() {
        Form::Json => out.json("hallpass.ledger.verify/1", outcome)?,
        Form::Text => {
            for finding in &outcome.findings {
                out.answer(format_args!("broken: {finding}"))?;
            }
            if outcome.unnamed > 0 {
                out.answer(format_args!("broken: and {} more", outcome.unnamed))?;
            }
            if outcome.sound {
                out.answer(format_args!("sound: {} entries, each as it was recorded", outcome.entries))?;
            }
            for limit in &outcome.not_proven {
                out.answer(format_args!("not proven: {limit}"))?;
            }
        }
    }
    match outcome.sound {
        true => Ok(Exit::DONE),
        false => Err(Failure::no("the ledger is broken").hint(
            "keep this copy as it is, and compare it with a backup and with checkpoints kept elsewhere",
        )),
    }
}

fn read_key(file: &Path) -> Result<VerifierKey, Failure> {
    let text = read_text(file, "key")?;
    text.trim().parse().map_err(|bad: BadKey| {
        let failure =
            Failure::usage(format_args!("`{}` does not hold the ledger's public key: {bad}", file.display()));
        failure.hint("`hallpass ledger key > FILE` writes it, on the server's machine")
    })
}

/// What a proof's file holds: an entry may be long.
pub(super) fn read_proof(file: &Path) -> Result<String, Failure> {
    read_up_to(PROOF_MAX, file, "proof")
}

pub(super) fn read_text(file: &Path, what: &str) -> Result<String, Failure> {
    read_up_to(FILE_MAX, file, what)
}

fn read_up_to(most: u64, file: &Path, what: &str) -> Result<String, Failure> {
    let cannot =
        |why: String| Failure::usage(format_args!("cannot read the {what} in `{}`: {why}", file.display()));
    let about = std::fs::metadata(file).map_err(|error| cannot(error.to_string()))?;
    if about.len() > most {
        return Err(cannot(format!("it is too long to be a {what}")));
    }
    std::fs::read_to_string(file).map_err(|error| cannot(error.to_string()))
}

/// A checkpoint with many witnesses' signatures is a page.
const FILE_MAX: u64 = 64 * 1024;
/// More than any entry and the hashes around it.
const PROOF_MAX: u64 = 4_000_000;

fn told(error: CopyError) -> Failure {
    match &error {
        CopyError::Unreadable { .. } => {
            Failure::could_not_run(error).hint("name the database, or a copy of it, with `--database`")
        }
        CopyError::NotOurs { .. } => {
            Failure::usage(error).hint("name the database, or a copy of it, with `--database`")
        }
        CopyError::Damaged(_) => {
            Failure::no(error).hint("keep this copy as it is, and compare it with a backup")
        }
        CopyError::Checkpoint(_) => Failure::usage(error)
            .hint("a checkpoint is of one ledger, signed by its key, and not changed since"),
    }
}
