//! For cargo: one answer for each line it sends, until it closes the pipe.

use std::io::{BufRead, Read};

use hallpass_holder::adapters::QUESTION_LEN_MAX;
use hallpass_holder::adapters::cargo::{self, HELLO, No, Question, Wanted};
use hallpass_model::purpose::{PURPOSE_MAX, Purpose, plain};
use zeroize::Zeroizing;

use super::{Desk, Further, remedy, tell_of_directory, unfit};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

pub(super) async fn answer(out: &mut Output) -> Result<Exit, Failure> {
    out.piece(HELLO.as_bytes())?;
    tell_of_directory(out)?;
    while let Some(line) = line()? {
        match told(&line).await {
            Ok(answer) => out.piece(&answer)?,
            Err(no) => out.piece(cargo::refusal(&no).as_bytes())?,
        }
    }
    Ok(Exit::DONE)
}

/// The next line, without its end. A longer one than is listened to comes cut, and cannot be read.
fn line() -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let mut line = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(QUESTION_LEN_MAX as u64 + 1).read_until(b'\n', &mut line);
    match read {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(error) => Err(Failure::could_not_run(format_args!("the request cannot be read: {error}"))),
    }
}

async fn told(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, No> {
    let stopped = |failure: Failure| No::Other(remedy(&failure));
    let question = Question::parse(line).map_err(|bad| No::Other(bad.to_string()))?;
    let desk = Desk::open(Kind::Cargo).map_err(stopped)?;
    let fits = |at: &At| matches!(at, At::Cargo { index, .. } if *index == question.index);
    let meant = desk.find(None, fits).map_err(stopped)?.ok_or(No::UrlNotSupported)?;
    let further = match &question.wanted {
        Wanted::Read => Further::default(),
        Wanted::Change(what) => {
            let At::Cargo { change_scopes, .. } = &meant.target.at else { return Err(No::UrlNotSupported) };
            let purpose = Purpose::parse(&plain(&format!("cargo {what}"), PURPOSE_MAX));
            Further { scopes: change_scopes.clone(), purpose }
        }
        Wanted::Login | Wanted::Logout | Wanted::Unknown => return Err(No::OperationNotSupported),
    };
    let given = meant.token(further).await.map_err(stopped)?;
    cargo::answer(&given.handed(), &question.wanted).ok_or_else(|| stopped(unfit()))
}
