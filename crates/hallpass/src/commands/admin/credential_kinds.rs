//! `hallpass admin credential-kinds`.

use clap::Args;
use hallpass_model::credential_kind::TABLE;
use serde::Serialize;

use super::give_list;
use super::table::Table;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Show every kind of credential, its life and its end
///
/// Needs no server: it is the table that the issuer keeps to.
#[derive(Debug, Args)]
pub(super) struct CredentialKindsArgs {}

/// A row of `hallpass.admin.credential-kinds/1`.
#[derive(Serialize)]
struct Row {
    kind: &'static str,
    held_by: &'static str,
    answered_for_by: &'static str,
    /// Null for a key that signs and is never sent.
    longest: Option<String>,
    rests: &'static str,
    rotates: &'static str,
    revoked_by: &'static str,
    reviewed: &'static str,
}

pub(super) fn show(out: &mut Output) -> Result<Exit, Failure> {
    let rows: Vec<Row> = TABLE
        .iter()
        .map(|kind| Row {
            kind: kind.name,
            held_by: kind.held_by,
            answered_for_by: kind.answered_for_by,
            longest: kind.longest.map(|longest| longest.to_string()),
            rests: kind.rests,
            rotates: kind.rotates,
            revoked_by: kind.revoked_by,
            reviewed: kind.reviewed,
        })
        .collect();
    give_list(out, "hallpass.admin.credential-kinds/1", &rows, "", |rows| {
        let mut table = Table::new(["KIND", "HELD BY", "LONGEST", "RESTS", "ENDS BY"]);
        for row in rows {
            table.row([
                row.kind,
                row.held_by,
                row.longest.as_deref().unwrap_or("as its key"),
                row.rests,
                row.revoked_by,
            ]);
        }
        table
    })
}
