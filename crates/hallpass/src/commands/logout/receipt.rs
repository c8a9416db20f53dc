//! What a logout says it did.

use hallpass_holder::{Credential, Fate, Identity, ProfileName, Receipt};
use serde::Serialize;

use crate::failure::Failure;
use crate::leftovers::Copied;
use crate::output::{Form, Output};

/// `hallpass.logout/1`.
#[derive(Serialize)]
struct Answer<'a> {
    sign_ins: Vec<SignIn<'a>>,
    copies: Vec<Copy<'a>>,
    may_be_alive: bool,
}

/// A copy of a token of ours in another tool's file.
#[derive(Serialize)]
struct Copy<'a> {
    tool: &'a str,
    file: String,
    what: &'a str,
    todo: &'a str,
}

/// One receipt. Issuer and client are unknown where the record does not even say those.
#[derive(Serialize)]
struct SignIn<'a> {
    profile: Option<&'a str>,
    issuer: Option<&'a str>,
    client_id: Option<&'a str>,
    credentials: Vec<One<'a>>,
    revoked: Vec<&'a str>,
    not_revoked: Vec<NotRevoked<'a>>,
    wiped_file: Option<String>,
    wiped_key: Option<&'static str>,
    not_wiped: Option<&'a str>,
    may_be_alive: bool,
    lives_until: Option<String>,
}

/// One credential.
#[derive(Serialize)]
struct One<'a> {
    what: &'a str,
    fate: &'static str,
    why: Option<&'a str>,
    lives_until: Option<String>,
}

#[derive(Serialize)]
struct NotRevoked<'a> {
    what: &'a str,
    why: &'a str,
}

pub(super) fn write(
    receipts: &[Receipt],
    copies: &[Copied],
    may_be_alive: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if receipts.is_empty() {
        out.say("nobody is signed in; there was nothing to do");
    }
    match out.form() {
        Form::Text => {
            let said = receipts.iter().try_for_each(|receipt| say(receipt, out));
            warn_of_copies(copies, may_be_alive, out);
            said
        }
        Form::Json => {
            let sign_ins = receipts.iter().map(sign_in).collect();
            out.json(
                "hallpass.logout/1",
                &Answer { sign_ins, copies: copies.iter().map(copy).collect(), may_be_alive },
            )
        }
    }
}

/// Others' files are theirs: they are named, and not touched.
fn warn_of_copies(copies: &[Copied], may_be_alive: bool, out: &mut Output) {
    let state = if may_be_alive { "it may be alive" } else { "it is dead now" };
    for Copied { tool, file, what, todo } in copies {
        out.warn(format_args!("a copy of {what} is in {} of {tool}: {state}; {todo}", file.display()));
    }
}

fn copy(copied: &Copied) -> Copy<'_> {
    Copy {
        tool: &copied.tool,
        file: copied.file.display().to_string(),
        what: &copied.what,
        todo: &copied.todo,
    }
}

fn say(receipt: &Receipt, out: &mut Output) -> Result<(), Failure> {
    // What went wrong is said whether or not anybody reads the rest.
    let done = done(receipt, out);
    warn(&receipt.credentials, out);
    if let Some(why) = &receipt.not_wiped {
        out.warn(format_args!("not wiped here: {why}"));
    }
    if let Some(why) = &receipt.not_owed {
        out.warn(format_args!("it could not be written down to be tried again: {why}"));
    }
    if receipt.credentials.iter().any(|one| matches!(one.fate, Fate::Alive { .. })) {
        out.warn("it may still be alive: end it on the issuer's own pages");
    }
    if receipt.credentials.iter().any(|one| matches!(one.fate, Fate::Owed { .. })) {
        out.warn("later commands try again, and so does `hallpass logout --retry`");
    }
    done
}

fn done(receipt: &Receipt, out: &mut Output) -> Result<(), Failure> {
    match &receipt.identity {
        Some(Identity { issuer, profile: Some(profile), .. }) => {
            out.answer(format_args!("signed out of {issuer}, profile {profile}"))?
        }
        Some(Identity { issuer, .. }) => out.answer(format_args!("signed out of {issuer}"))?,
        None => out.answer("wiped a record that cannot be read, and does not say where it signs in")?,
    }
    for one in &receipt.credentials {
        match one.fate {
            Fate::Revoked => out.answer(format_args!("  revoked there: {}", one.what))?,
            Fate::EndedWithSession => out.answer(format_args!("  ended with it: {}", one.what))?,
            Fate::Owed { .. } | Fate::Alive { .. } => {}
        }
    }
    if let Some(file) = &receipt.wiped_file {
        out.answer(format_args!("  wiped here: {}", file.display()))?;
    }
    if let Some(rung) = receipt.wiped_key {
        out.answer(format_args!("  wiped here: its key in the {rung}"))?;
    }
    Ok(())
}

/// Says what may be alive. Also after a login for one run, whose output is its command's.
pub(in crate::commands) fn warn(credentials: &[Credential], out: &mut Output) {
    for one in credentials {
        let (Fate::Owed { why } | Fate::Alive { why }) = &one.fate else { continue };
        match one.lives_until {
            Some(until) => {
                out.warn(format_args!(
                    "not revoked there: {}: {why}; it may be alive until {until}",
                    one.what
                ));
            }
            None => out.warn(format_args!("not revoked there: {}: {why}", one.what)),
        }
    }
}

fn sign_in(receipt: &Receipt) -> SignIn<'_> {
    let identity = receipt.identity.as_ref();
    let (alive, ended): (Vec<_>, Vec<_>) = receipt.credentials.iter().partition(|one| one.may_be_alive());
    SignIn {
        profile: identity.and_then(|identity| identity.profile.as_ref()).map(ProfileName::as_str),
        issuer: identity.map(|identity| identity.issuer.as_str()),
        client_id: identity.map(|identity| identity.client_id.as_str()),
        credentials: receipt.credentials.iter().map(one).collect(),
        revoked: ended.iter().map(|one| one.what.as_str()).collect(),
        not_revoked: alive
            .iter()
            .map(|one| NotRevoked { what: &one.what, why: why(&one.fate).unwrap_or_default() })
            .collect(),
        wiped_file: receipt.wiped_file.as_ref().map(|file| file.display().to_string()),
        wiped_key: receipt.wiped_key.map(|rung| rung.text()),
        not_wiped: receipt.not_wiped.as_deref(),
        may_be_alive: receipt.may_be_alive(),
        lives_until: receipt.lives_until().map(|until| until.to_string()),
    }
}

fn one(credential: &Credential) -> One<'_> {
    One {
        what: &credential.what,
        fate: match credential.fate {
            Fate::Revoked => "revoked",
            Fate::EndedWithSession => "ended-with-session",
            Fate::Owed { .. } => "owed",
            Fate::Alive { .. } => "alive",
        },
        why: why(&credential.fate),
        lives_until: credential
            .lives_until
            .filter(|_| credential.may_be_alive())
            .map(|until| until.to_string()),
    }
}

fn why(fate: &Fate) -> Option<&str> {
    match fate {
        Fate::Owed { why } | Fate::Alive { why } => Some(why),
        Fate::Revoked | Fate::EndedWithSession => None,
    }
}
