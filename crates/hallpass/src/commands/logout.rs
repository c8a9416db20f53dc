//! `hallpass logout`.

use clap::Args;
use hallpass_holder::{Holder, HolderError, Identity, ProfileName, Receipt, Unreadable};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::output::{self, Form, Output};

/// Sign out: revoke at the issuer, wipe here, and print what was done
///
/// Wiping here always happens, also of what cannot be read. The exit code is 1 if anything may still be alive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass logout
  hallpass logout --issuer https://id.example/acme
  hallpass logout --all")]
pub(crate) struct LogoutArgs {
    /// Sign out everywhere
    #[arg(long, conflicts_with_all = ["profile", "issuer", "client_id"])]
    all: bool,

    #[command(flatten)]
    which: WhichArgs,
}

/// `hallpass.logout/1`.
#[derive(Serialize)]
struct Answer<'a> {
    sign_ins: Vec<SignIn<'a>>,
    may_be_alive: bool,
}

/// One receipt. Issuer and client are unknown where the record does not even say those.
#[derive(Serialize)]
struct SignIn<'a> {
    profile: Option<&'a str>,
    issuer: Option<&'a str>,
    client_id: Option<&'a str>,
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
    let (identities, unreadable) = meant(&args, &holder, out)?;
    // All of it before a word is said: a receipt that cannot be written must not keep the next one signed in.
    let mut receipts: Vec<Receipt> = unreadable.into_iter().map(|one| holder.wipe_unreadable(one)).collect();
    let mut stopped = Ok(());
    for identity in identities {
        match holder.logout(&identity).await {
            Ok(receipt) => receipts.push(receipt),
            Err(HolderError::NotSignedIn { .. }) => {} // somebody else was quicker
            Err(error) => {
                stopped = Err(Failure::from(error));
                break;
            }
        }
    }
    let told = tell(&receipts, out);
    stopped?;
    told
}

/// Tells what was done, and leaves with whether anything may still be alive.
pub(super) fn tell(receipts: &[Receipt], out: &mut Output) -> Result<Exit, Failure> {
    let may_be_alive = receipts.iter().any(Receipt::may_be_alive);
    let written = write(receipts, may_be_alive, out);
    output::leave(written, if may_be_alive { Exit::NO } else { Exit::DONE })
}

/// What is to be given up: what was named, everything, or the only thing there is, readable or not.
fn meant(
    args: &LogoutArgs,
    holder: &Holder,
    out: &mut Output,
) -> Result<(Vec<Identity>, Vec<Unreadable>), Failure> {
    let (identities, unreadable) = (holder.list()?, holder.unreadable()?);
    let named = args.which.names_any()?;
    let only = !named && identities.is_empty() && unreadable.len() == 1;
    if args.all || only {
        return Ok((identities, unreadable));
    }
    match args.which.find_any(holder, out) {
        Ok((identity, _)) => Ok((vec![identity], Vec::new())),
        Err(failure) if failure.exit() == Exit::SIGN_IN => Ok((Vec::new(), Vec::new())),
        Err(failure) if unreadable.is_empty() => Err(failure),
        Err(failure) => Err(failure.hint("`hallpass logout --all` wipes that too")),
    }
}

fn write(receipts: &[Receipt], may_be_alive: bool, out: &mut Output) -> Result<(), Failure> {
    if receipts.is_empty() {
        out.say("nobody is signed in; there was nothing to do");
    }
    match out.form() {
        Form::Text => receipts.iter().try_for_each(|receipt| say(receipt, out)),
        Form::Json => {
            let sign_ins = receipts.iter().map(sign_in).collect();
            out.json("hallpass.logout/1", &Answer { sign_ins, may_be_alive })
        }
    }
}

fn say(receipt: &Receipt, out: &mut Output) -> Result<(), Failure> {
    let done = match &receipt.identity {
        Some(Identity { issuer, profile: Some(profile), .. }) => {
            out.answer(format_args!("signed out of {issuer}, profile {profile}"))
        }
        Some(Identity { issuer, .. }) => out.answer(format_args!("signed out of {issuer}")),
        None => out.answer("wiped a record that cannot be read, and does not say where it signs in"),
    };
    // What went wrong is said whether or not anybody reads the rest.
    let done = done.and_then(|()| {
        for what in &receipt.revoked {
            out.answer(format_args!("  revoked there: {what}"))?;
        }
        if let Some(file) = &receipt.wiped_file {
            out.answer(format_args!("  wiped here: {}", file.display()))?;
        }
        if let Some(rung) = receipt.wiped_key {
            out.answer(format_args!("  wiped here: its key in the {rung}"))?;
        }
        Ok(())
    });
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
    done
}

fn sign_in(receipt: &Receipt) -> SignIn<'_> {
    let identity = receipt.identity.as_ref();
    SignIn {
        profile: identity.and_then(|identity| identity.profile.as_ref()).map(ProfileName::as_str),
        issuer: identity.map(|identity| identity.issuer.as_str()),
        client_id: identity.map(|identity| identity.client_id.as_str()),
        revoked: &receipt.revoked,
        not_revoked: receipt.not_revoked.iter().map(|(what, why)| NotRevoked { what, why }).collect(),
        wiped_file: receipt.wiped_file.as_ref().map(|file| file.display().to_string()),
        wiped_key: receipt.wiped_key.map(|rung| rung.text()),
        not_wiped: receipt.not_wiped.as_deref(),
        may_be_alive: receipt.may_be_alive(),
        lives_until: receipt.lives_until.map(|until| until.to_string()),
    }
}
