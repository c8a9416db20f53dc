//! `hallpass logout --retry`: what earlier logouts could not deliver.

use hallpass_holder::{Holder, Owed, ProfileName, Retried, RetryFate};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{self, Form, Output};

/// `hallpass.logout.retry/1`.
#[derive(Serialize)]
struct Answer<'a> {
    owed: Vec<One<'a>>,
    may_be_alive: bool,
}

/// One logout that was not delivered.
#[derive(Serialize)]
struct One<'a> {
    profile: Option<&'a str>,
    issuer: &'a str,
    client_id: &'a str,
    what: &'a [String],
    since: String,
    fate: &'static str,
    why: Option<&'a str>,
    lives_until: Option<String>,
}

pub(super) async fn retry(holder: &Holder, out: &mut Output) -> Result<Exit, Failure> {
    let all = holder.retry_owed().await?;
    let may_be_alive = all.iter().any(|one| one.fate != RetryFate::Revoked);
    let written = match out.form() {
        Form::Text => say(&all, out),
        Form::Json => {
            let owed = all.iter().map(one).collect();
            out.json("hallpass.logout.retry/1", &Answer { owed, may_be_alive })
        }
    };
    output::leave(written, if may_be_alive { Exit::NO } else { Exit::DONE })
}

fn say(all: &[Retried], out: &mut Output) -> Result<(), Failure> {
    if all.is_empty() {
        out.say("nothing is owed; there was nothing to do");
    }
    for Retried { owed, fate, .. } in all {
        let (issuer, what) = (&owed.identity.issuer, owed.what.join(", "));
        match fate {
            RetryFate::Revoked => out.answer(format_args!("revoked at {issuer}: {what}"))?,
            RetryFate::StillOwed { why } => {
                out.warn(format_args!("still owed to {issuer}: {what}: {why}{}", until(owed)));
            }
            RetryFate::GivenUp { why } => {
                out.warn(format_args!("given up at {issuer}: {what}: {why}"));
            }
        }
    }
    Ok(())
}

/// Until when it may be alive, to follow something else.
pub(in crate::commands) fn until(owed: &Owed) -> String {
    owed.until.map(|until| format!("; it may be alive until {until}")).unwrap_or_default()
}

fn one(retried: &Retried) -> One<'_> {
    let Retried { owed, fate, .. } = retried;
    let (fate, why) = match fate {
        RetryFate::Revoked => ("revoked", None),
        RetryFate::StillOwed { why } => ("owed", Some(why.as_str())),
        RetryFate::GivenUp { why } => ("given-up", Some(why.as_str())),
    };
    One {
        profile: owed.identity.profile.as_ref().map(ProfileName::as_str),
        issuer: &owed.identity.issuer,
        client_id: &owed.identity.client_id,
        what: &owed.what,
        since: owed.since.to_string(),
        fate,
        why,
        lives_until: owed.until.map(|until| until.to_string()),
    }
}
