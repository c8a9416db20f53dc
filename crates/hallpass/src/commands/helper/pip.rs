//! For pip, uv and twine: the program they run by the name `keyring`. What is not ours goes to the real one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use hallpass_holder::adapters::keyring::{self, Question};

use super::{Desk, Further, question, remedy, tell_of_directory, unfit};
use crate::behind;
use crate::env;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

/// Set for the real `keyring`, so that another of our links that it may be answers for itself and passes nothing on.
const PASSED_ON: &str = "HALLPASS_KEYRING_PASSED_ON";

pub(super) async fn answer(words: &[OsString], out: &mut Output) -> Result<Exit, Failure> {
    match told(words, out).await {
        Ok(true) => Ok(Exit::DONE),
        Ok(false) => pass_on(words),
        Err(failure) => {
            out.tell(remedy(&failure));
            Ok(failure.exit())
        }
    }
}

/// Whether it was ours.
async fn told(words: &[OsString], out: &mut Output) -> Result<bool, Failure> {
    let asked = Question::parse(words);
    let (service, username) = match &asked {
        Question::Get { service, username, .. } => (service, username.as_deref()),
        Question::Set { service } => (service, None),
        Question::Other => return Ok(false),
    };
    let desk = Desk::open(Kind::Pip)?;
    let fits = |at: &At| matches!(at, At::Pip(place) if keyring::is_for(place, service));
    let Some(meant) = desk.find(username, fits)? else { return Ok(false) };
    match &asked {
        Question::Get { form, .. } => {
            tell_of_directory(out)?;
            let given = meant.token(Further::default()).await?;
            out.piece(&keyring::answer(&given.handed(), *form).ok_or_else(unfit)?)?;
        }
        // What would be kept is ours already.
        Question::Set { .. } | Question::Other => drop(question()?),
    }
    Ok(true)
}

/// Becomes the real `keyring`: the first on the PATH that is not this very program, or its front. Without one, nothing is found.
fn pass_on(words: &[OsString]) -> Result<Exit, Failure> {
    let (Some(real), false) = (real(), env::HALLPASS_KEYRING_PASSED_ON.is_set()) else { return Ok(Exit::NO) };
    let error = Command::new(&real).args(words).env(PASSED_ON, "1").exec();
    Err(Failure::could_not_run(format_args!("cannot run `{}`: {error}", real.display())))
}

fn real() -> Option<PathBuf> {
    let ours = behind::both().ok()?;
    let path = env::PATH.value()?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("keyring"))
        .find(|file| file.is_file() && std::fs::canonicalize(file).is_ok_and(|found| !ours.contains(&found)))
}
