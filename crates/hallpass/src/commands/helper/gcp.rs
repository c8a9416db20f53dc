//! For Google's libraries. SECURITY: nothing is written to standard error: their Python library reads it as a part of the
//! answer.

use hallpass_holder::adapters::gcp::{self, Asked, Question};

use super::{Desk, Further, remedy, unfit};
use crate::env;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::targets::{At, Kind};

pub(super) async fn answer(out: &mut Output) -> Result<Exit, Failure> {
    match token(out).await {
        Ok(()) => Ok(Exit::DONE),
        Err(failure) => {
            // Left with 0: only then the library shows what is said here, and not that a program failed.
            out.answer(gcp::refusal(&code(failure.exit()), &remedy(&failure)))?;
            Ok(Exit::DONE)
        }
    }
}

/// A code in the answer, as HTTP would have it.
fn code(exit: Exit) -> String {
    let code = match exit {
        Exit::SIGN_IN => 401,
        Exit::REFUSED | Exit::NO => 403,
        Exit::USAGE => 400,
        Exit::TRY_LATER => 503,
        _ => 500,
    };
    code.to_string()
}

async fn token(out: &mut Output) -> Result<(), Failure> {
    let question = Question::parse(Asked {
        audience: env::GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE.text(),
        token_type: env::GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE.text(),
        impersonated: env::GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL.text(),
        revoke: env::GOOGLE_EXTERNAL_ACCOUNT_REVOKE.text().is_some_and(|text| text == "1"),
    })?;
    let desk = Desk::open(Kind::Gcp)?;
    let fits = |at: &At| match at {
        At::Gcp { audience, impersonate } => {
            *audience == question.audience && *impersonate == question.impersonated
        }
        _ => false,
    };
    let Some(meant) = desk.find(None, fits)? else {
        return Err(Failure::no("this audience and service account are in no entry of config.toml"));
    };
    let given = meant.token(Further::default()).await?;
    out.piece(&question.answer(&given.handed()).ok_or_else(unfit)?)
}
