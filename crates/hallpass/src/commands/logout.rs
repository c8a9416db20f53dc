//! `hallpass logout`.

use clap::Args;
use hallpass_holder::{Holder, HolderError, Identity, Receipt};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::output::{Form, Output};

/// Sign out: revoke at the issuer, wipe here, and print what was done
///
/// Wiping here always happens. The exit code is 1 if anything may still be alive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass logout
  hallpass logout --issuer https://id.example/acme
  hallpass logout --all")]
pub(crate) struct LogoutArgs {
    /// Sign out everywhere
    #[arg(long, conflicts_with_all = ["issuer", "client_id"])]
    all: bool,

    #[command(flatten)]
    which: WhichArgs,
}

/// `hallpass.logout/1`: one value for each sign-in.
#[derive(Serialize)]
struct Answer<'a> {
    issuer: &'a str,
    client_id: &'a str,
    revoked: &'a [&'static str],
    not_revoked: Vec<NotRevoked<'a>>,
    wiped_file: Option<String>,
    wiped_key: Option<&'static str>,
    not_wiped: Option<&'a str>,
    may_be_alive: bool,
    lives_until: Option<String>,
}

#[derive(Serialize)]
struct NotRevoked<'a> {
    what: &'static str,
    why: &'a str,
}

pub(crate) async fn logout(args: LogoutArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.which.holder.open()?;
    let identities = match args.all {
        true => holder.list()?,
        false => match args.which.find(&holder) {
            Ok(identity) => vec![identity],
            Err(failure) if failure.exit() == Exit::SIGN_IN => Vec::new(),
            Err(failure) => return Err(failure),
        },
    };
    if identities.is_empty() {
        out.say("nobody is signed in; there was nothing to do");
    }
    let mut exit = Exit::DONE;
    for identity in identities {
        if give_up(&holder, &identity, out).await? {
            exit = Exit::NO;
        }
    }
    Ok(exit)
}

/// Gives one sign-in up and prints the receipt. Whether anything may still be alive.
async fn give_up(holder: &Holder, identity: &Identity, out: &mut Output) -> Result<bool, Failure> {
    let receipt = match holder.logout(identity).await {
        Ok(receipt) => receipt,
        Err(HolderError::NotSignedIn { .. }) => return Ok(false), // somebody else was quicker
        Err(error) => return Err(error.into()),
    };
    match out.form() {
        Form::Text => say(&receipt, out)?,
        Form::Json => out.json("hallpass.logout/1", &answer(&receipt))?,
    }
    Ok(receipt.may_be_alive())
}

fn say(receipt: &Receipt, out: &mut Output) -> Result<(), Failure> {
    out.answer(format_args!("signed out of {}", receipt.identity.issuer))?;
    for what in &receipt.revoked {
        out.answer(format_args!("  revoked there: {what}"))?;
    }
    if let Some(file) = &receipt.wiped_file {
        out.answer(format_args!("  wiped here: {}", file.display()))?;
    }
    if let Some(rung) = receipt.wiped_key {
        out.answer(format_args!("  wiped here: its key in the {rung}"))?;
    }
    for (what, why) in &receipt.not_revoked {
        out.warn(format_args!("not revoked there: {what}: {why}"));
    }
    if let Some(why) = &receipt.not_wiped {
        out.warn(format_args!("not wiped here: {why}"));
    }
    if receipt.may_be_alive() {
        match receipt.lives_until {
            Some(until) => out.warn(format_args!("it may be alive until {until}")),
            None => out.warn("it may still be alive: end it on the issuer's own pages"),
        }
    }
    Ok(())
}

fn answer(receipt: &Receipt) -> Answer<'_> {
    Answer {
        issuer: &receipt.identity.issuer,
        client_id: &receipt.identity.client_id,
        revoked: &receipt.revoked,
        not_revoked: receipt.not_revoked.iter().map(|(what, why)| NotRevoked { what, why }).collect(),
        wiped_file: receipt.wiped_file.as_ref().map(|file| file.display().to_string()),
        wiped_key: receipt.wiped_key.map(|rung| rung.text()),
        not_wiped: receipt.not_wiped.as_deref(),
        may_be_alive: receipt.may_be_alive(),
        lives_until: receipt.lives_until.map(|until| until.to_string()),
    }
}
