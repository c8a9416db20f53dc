//! `hallpass ledger verify --proof`: a proof checked by the ledger's key alone.

use std::path::Path;

use hallpass_model::ledger::{Checkpoint, NotProven, Proof, VerifierKey};
use serde::Serialize;

use super::verify::read_proof;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// The answer of `--json`.
#[derive(Serialize)]
struct Outcome {
    proven: bool,
    /// The entry's number, of a proof of an entry.
    index: Option<u64>,
    /// The entry itself, once it is proven.
    entry: Option<serde_json::Value>,
    /// The size of the checkpoint that the ledger is shown to begin with.
    since: Option<u64>,
    /// The size of the ledger that it is shown of, and its root.
    entries: Option<u64>,
    root: Option<String>,
    /// Why nothing is proven.
    why: Option<String>,
}

/// Checks the proof in a file. `since` is the earlier checkpoint's text, where the proof starts from one.
pub(super) fn verify(
    file: &Path,
    key: &VerifierKey,
    since: Option<&str>,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let shown = file.display();
    let proof = Proof::parse(&read_proof(file)?)
        .map_err(|why| Failure::usage(format_args!("`{shown}` proves nothing: {why}")))?;
    let verified = match (&proof, since) {
        (Proof::Entry(proof), _) => proof.verify(key),
        (Proof::Growth(proof), Some(since)) => proof.verify(key, since),
        (Proof::Growth(_), None) => {
            return Err(Failure::usage(format_args!("`{shown}` starts from an earlier checkpoint"))
                .hint("name that with `--since`"));
        }
    };
    let outcome = outcome(&proof, &verified);
    match (out.form(), &outcome) {
        (Form::Json, outcome) => out.json("hallpass.ledger.proven/1", outcome)?,
        (Form::Text, Outcome { proven: true, entries: Some(entries), .. }) => match &proof {
            Proof::Entry(proof) => {
                out.answer(format_args!(
                    "proven: entry {} is in the ledger of {entries} entries",
                    proof.index
                ))?;
                // The ledger's key vouches for it from here on; before, anybody could have written it.
                if let Some(entry) = &outcome.entry {
                    out.answer(entry)?;
                }
            }
            Proof::Growth(proof) => out.answer(format_args!(
                "proven: the ledger of {entries} entries begins with the {} of the earlier checkpoint",
                proof.old
            ))?,
        },
        (Form::Text, _) => {}
    }
    match verified {
        Ok(_) => Ok(Exit::DONE),
        Err(why) => Err(Failure::no(format_args!("`{shown}` proves nothing: {why}"))),
    }
}

fn outcome(proof: &Proof, verified: &Result<Checkpoint, NotProven>) -> Outcome {
    let checkpoint = verified.as_ref().ok();
    Outcome {
        proven: verified.is_ok(),
        index: match proof {
            Proof::Entry(proof) => Some(proof.index),
            Proof::Growth(_) => None,
        },
        entry: match proof {
            Proof::Entry(proof) => checkpoint.and_then(|_| serde_json::from_slice(&proof.leaf).ok()),
            Proof::Growth(_) => None,
        },
        since: match proof {
            Proof::Entry(_) => None,
            Proof::Growth(proof) => Some(proof.old),
        },
        entries: checkpoint.map(|checkpoint| checkpoint.size),
        root: checkpoint.map(|checkpoint| checkpoint.root.to_string()),
        why: verified.as_ref().err().map(ToString::to_string),
    }
}
