//! `hallpass logout`.

mod receipt; // what is said of it
mod retry; // what earlier logouts could not deliver

pub(super) use receipt::warn;
pub(super) use retry::until;

use clap::Args;
use futures_util::future::join_all;
use hallpass_holder::{Holder, HolderError, Identity, Prints, Receipt, Unreadable};

use crate::failure::{Exit, Failure};
use crate::holding::WhichArgs;
use crate::leftovers::{Folders, copies};
use crate::output::{self, Output};

/// Sign out: revoke at the issuer, wipe here, and print what was done
///
/// Wiping here always happens, also of what cannot be read. What cannot be revoked now is written down, encrypted, and
/// tried again by later commands. Copies of its tokens in other tools' files are named. The exit code is 1 if anything may still
/// be alive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass logout
  hallpass logout --issuer https://id.example/acme
  hallpass logout --all
  hallpass logout --retry")]
pub(crate) struct LogoutArgs {
    /// Sign out everywhere
    #[arg(long, conflicts_with_all = ["profile", "issuer", "client_id"])]
    all: bool,

    /// Revoke what earlier logouts could not, and sign out of nothing
    #[arg(long, conflicts_with_all = ["all", "profile", "issuer", "client_id"])]
    retry: bool,

    /// Revoke an API key, too, for everybody who has it
    ///
    /// Without it the key is wiped here and lives on: it may be others' as well.
    #[arg(long, conflicts_with_all = ["retry", "all"])]
    revoke_key: bool,

    #[command(flatten)]
    which: WhichArgs,
}

pub(crate) async fn logout(args: LogoutArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.which.holder.open()?;
    if args.retry {
        return retry::retry(&holder, out).await;
    }
    let (identities, unreadable) = meant(&args, &holder, out)?;
    // Taken while the tokens are still here; what is compared later is not the tokens.
    let prints = holder.prints(&identities)?;
    // All of it before a word is said: a receipt that cannot be written must not keep the next one signed in.
    let mut receipts: Vec<Receipt> = unreadable.into_iter().map(|one| holder.wipe_unreadable(one)).collect();
    let mut stopped = Ok(());
    // All at once: an issuer that hangs must not keep the next sign-in alive, nor the person waiting for each.
    let ends = identities.iter().map(async |identity| match args.revoke_key {
        true => holder.logout_revoking_key(identity).await,
        false => holder.logout(identity).await,
    });
    for ended in join_all(ends).await {
        match ended {
            Ok(receipt) => receipts.push(receipt),
            Err(HolderError::NotSignedIn { .. }) => {} // somebody else was quicker
            Err(error) => stopped = stopped.and(Err(Failure::from(error))),
        }
    }
    let told = tell(&receipts, &prints, out);
    stopped?;
    told
}

/// Tells what was done and which copies other tools keep, and leaves with whether anything may still be alive.
pub(super) fn tell(receipts: &[Receipt], prints: &Prints, out: &mut Output) -> Result<Exit, Failure> {
    let may_be_alive = receipts.iter().any(Receipt::may_be_alive);
    let copies = Folders::here().map(|folders| copies(&folders, prints)).unwrap_or_default();
    let written = receipt::write(receipts, &copies, may_be_alive, out);
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
