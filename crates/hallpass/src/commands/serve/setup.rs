//! The way in to a server that has no org yet: a link for the first administrator.
//!
//! It is shown on a terminal, where the operator sits, or left in a file of the server's own. Never in a log.

use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hallpass_issuer::BaseUrl;
use hallpass_model::ledger::Actor;
use hallpass_model::lifetimes::SETUP_LINK;
use hallpass_store::{LinkPurpose, MakeLink, Store};

use crate::clock;
use crate::failure::Failure;
use crate::output::Output;

/// Where the link is left when nobody is at a terminal.
const FILE: &str = "setup-link";

/// Offers a set-up link if there is no org yet.
pub(super) async fn offer(
    store: &Store,
    base_url: &BaseUrl,
    data: &Path,
    out: &mut Output,
) -> Result<(), Failure> {
    let file = data.join(FILE);
    remove(&file);
    let failed = |error| Failure::could_not_run(format_args!("cannot make the set-up link: {error}"));
    if !store.list_orgs(None, 1).await.map_err(failed)?.items.is_empty() {
        return Ok(());
    }
    let made = store.change(Actor::Operator, clock::now(), MakeLink { purpose: LinkPurpose::SetUp }).await;
    let Some(made) = made.map_err(failed)? else { return Ok(()) };
    let url = hallpass_issuer::admin::setup_url(base_url, &made.link);
    if std::io::stderr().is_terminal() {
        out.tell(format_args!("set this server up within {SETUP_LINK}, at this address, which works once:"));
        out.tell(format_args!("  {}", url.text()));
        return Ok(());
    }
    leave(&file, url.text()).map_err(|error| {
        Failure::could_not_run(format_args!("cannot leave the set-up link in `{}`: {error}", file.display()))
    })?;
    out.say(format_args!("a link for setting this server up within {SETUP_LINK} is in `{}`", file.display()));
    tokio::spawn(remove_when_over(store.clone(), file));
    Ok(())
}

/// SECURITY: a new file, 0600: never through a link, never into a file somebody else holds open.
fn leave(file: &Path, url: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(url.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Removes the file once the link is spent, or its time is up.
async fn remove_when_over(store: Store, file: PathBuf) {
    let spent = async {
        // A set-up is recorded, so the ledger has grown.
        let mut size = store.ledger_follow();
        while store.list_orgs(None, 1).await.is_ok_and(|orgs| orgs.items.is_empty()) {
            if size.changed().await.is_err() {
                return;
            }
        }
    };
    // Nothing to report when the time is up first: that ends the link, too.
    let _ = tokio::time::timeout(SETUP_LINK.to_std(), spent).await;
    remove(&file);
}

/// Removes a link that is of no use any more.
pub(super) fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "a set-up link that is over could not be removed");
        }
        _ => {}
    }
}

/// Removes the link's file from a data folder.
pub(super) fn clear(data: &Path) {
    remove(&data.join(FILE));
}
