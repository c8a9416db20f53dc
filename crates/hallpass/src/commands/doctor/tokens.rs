//! What other tools left lying around.

use std::fmt;

use serde::Serialize;

use super::Finding;
use crate::leftovers::{Folders, Leftover, leftovers};

/// Tokens in one file.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    tool: String,
    file: String,
    kinds: Vec<Kind>,
    mode: String,
    owner: String,
    /// Who can read them besides their owner and root.
    readable_by: Vec<String>,
    /// The folder above that keeps those out all the same.
    kept_out_by: Option<String>,
    open_to_others: bool,
    todo: String,
}

#[derive(Debug, Serialize)]
struct Kind {
    kind: String,
    count: usize,
}

pub(super) fn look() -> (Vec<Token>, Vec<Finding>) {
    let Some(folders) = Folders::here() else {
        return (Vec::new(), vec![Finding::note("tokens", "there is no home folder to look in")]);
    };
    let (found, not_looked) = leftovers(&folders);
    let findings = not_looked.iter().map(|one| {
        Finding::note(
            "tokens",
            format!("{} of {} was not looked into: {}", one.file.display(), one.tool, one.why),
        )
    });
    (found.into_iter().map(token).collect(), findings.collect())
}

fn token(found: Leftover) -> Token {
    Token {
        open_to_others: found.readers.open_to_others(),
        tool: found.tool,
        file: found.file.display().to_string(),
        kinds: found.kinds.into_iter().map(|(kind, count)| Kind { kind, count }).collect(),
        mode: found.readers.mode,
        owner: found.readers.owner,
        readable_by: found.readers.others,
        kept_out_by: found.readers.kept_out_by.map(|folder| folder.display().to_string()),
        todo: found.todo,
    }
}

impl Token {
    /// What to do, the most urgent first.
    pub(super) fn todo(&self) -> String {
        match self.open_to_others {
            true => format!("`chmod 600 {}` now; {}", self.file, self.todo),
            false => self.todo.clone(),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds.iter().map(|kind| match kind.count {
            1 => kind.kind.clone(),
            count => format!("{count} times {}", kind.kind),
        });
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        write!(f, "{}: {kinds} in {} ({}, of {})", self.tool, self.file, self.mode, self.owner)?;
        match (&self.readable_by[..], &self.kept_out_by) {
            ([], _) => Ok(()),
            (others, None) => write!(f, ", READABLE by {}", others.join(", ")),
            (others, Some(folder)) => {
                write!(f, ", open to {}, who are kept out by {folder}", others.join(", "))
            }
        }
    }
}
