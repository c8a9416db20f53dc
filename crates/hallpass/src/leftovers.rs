//! Tokens that other tools keep in files anybody can use them from who reads them: where, of what kind, and who can.
//!
//! What is looked for is data (`places.toml`). Nothing found is ever shown, kept or compared but by fingerprint. Files are
//! opened without following a link out of the person's own folders, never waited for, and never read beyond a bound.

mod judge; // what a file holds
mod look; // opening files that may be anything
mod places; // where to look
mod readers; // who can read a file

use std::path::PathBuf;

use hallpass_holder::Prints;

use look::Look;
pub(crate) use places::Folders;
use places::Place;
pub(crate) use readers::{Readers, readers};

/// Tokens in one file.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// Whose they are.
    pub(crate) tool: String,
    /// Where.
    pub(crate) file: PathBuf,
    /// What they are, each once, and how many.
    pub(crate) kinds: Vec<(String, usize)>,
    /// Who can read them.
    pub(crate) readers: Readers,
    /// What to do about it.
    pub(crate) todo: String,
}

/// A file that was not looked into.
#[derive(Debug)]
pub(crate) struct NotLooked {
    /// Whose it is.
    pub(crate) tool: String,
    /// Where.
    pub(crate) file: PathBuf,
    /// Why not.
    pub(crate) why: &'static str,
}

/// A copy of a token of ours.
#[derive(Debug)]
pub(crate) struct Copied {
    /// Whose file it is in.
    pub(crate) tool: String,
    /// Which.
    pub(crate) file: PathBuf,
    /// Of what: `the access token`.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) todo: String,
}

/// Looks in all places for tokens.
pub(crate) fn leftovers(folders: &Folders) -> (Vec<Leftover>, Vec<NotLooked>) {
    let (mut found, mut not_looked) = (Vec::new(), Vec::new());
    for (place, file) in files(folders) {
        if place.only_copies() {
            continue;
        }
        match look::look(&file, folders) {
            Look::Nothing => {}
            Look::NotLooked(why) => not_looked.push(NotLooked { tool: place.tool.clone(), file, why }),
            Look::Bytes(bytes, there) => {
                let kinds = judge::kinds(place, &bytes);
                if !kinds.is_empty() {
                    let readers = readers(&there);
                    found.push(Leftover {
                        tool: place.tool.clone(),
                        file: there,
                        kinds,
                        readers,
                        todo: place.todo.clone(),
                    });
                }
            }
        }
    }
    (found, not_looked)
}

/// Looks in all places for copies of what left these fingerprints.
pub(crate) fn copies(folders: &Folders, prints: &Prints) -> Vec<Copied> {
    let mut found = Vec::new();
    if prints.is_empty() {
        return found;
    }
    for (place, file) in files(folders) {
        let Look::Bytes(bytes, there) = look::look(&file, folders) else { continue };
        for what in judge::copies(&bytes, prints) {
            found.push(Copied {
                tool: place.tool.clone(),
                file: there.clone(),
                what,
                todo: place.todo.clone(),
            });
        }
    }
    found
}

/// Each file once, however many variables lead to it.
fn files(folders: &Folders) -> Vec<(&'static Place, PathBuf)> {
    let mut files: Vec<(&Place, PathBuf)> = Vec::new();
    for place in places::all() {
        for file in place.files(folders) {
            if !files.iter().any(|(_, other)| *other == file) {
                files.push((place, file));
            }
        }
    }
    files
}
