//! For git: `get`, `store`, `erase` and `capability`.

use std::ffi::OsString;

use hallpass_holder::adapters::git::{CAPABILITIES, QUIT, Question};

use super::{Desk, Further, Meant, question, remedy, tell_of_directory, unfit};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

pub(super) async fn answer(words: &[OsString], out: &mut Output) -> Result<Exit, Failure> {
    // git adds the word itself, after whatever is configured.
    let told = match words.last().and_then(|word| word.to_str()) {
        Some("capability") => out.piece(CAPABILITIES.as_bytes()),
        Some("get") => get(out).await,
        Some("erase") => erase(),
        // What git would keep is ours already; its words are read, so that it does not write to nobody.
        Some("store") => question().map(drop),
        // As gitcredentials(7) has it: operations to come are passed over.
        _ => Ok(()),
    };
    match told {
        Ok(()) => Ok(Exit::DONE),
        Err(failure) => {
            out.tell(remedy(&failure));
            // Nobody else has this token, and what a person would type at git's prompt is none.
            out.piece(QUIT.as_bytes())?;
            Ok(failure.exit())
        }
    }
}

async fn get(out: &mut Output) -> Result<(), Failure> {
    let question = Question::parse(&question()?)?;
    let desk = Desk::open(Kind::Git)?;
    let Some(meant) = meant(&desk, &question)? else { return Ok(()) };
    tell_of_directory(out)?;
    let given = meant.token(Further::default()).await?;
    match question.answer(&given.handed()) {
        empty if empty.is_empty() => Err(unfit()),
        answer => out.piece(&answer),
    }
}

/// Nothing is logged out: git erases whatever a server refused, and the server may be wrong.
fn erase() -> Result<(), Failure> {
    let question = Question::parse(&question()?)?;
    let desk = Desk::open(Kind::Git)?;
    match (meant(&desk, &question)?, question.secret()) {
        (Some(meant), token @ Some(_)) => meant.not_taken(token),
        _ => Ok(()),
    }
}

fn meant<'a>(desk: &'a Desk, question: &Question) -> Result<Option<Meant<'a>>, Failure> {
    let Some(place) = question.place() else { return Ok(None) };
    desk.find(question.username.as_deref(), |at| matches!(at, At::Git(git) if git.holds(&place)))
}
