//! Signing out in the middle of a renewal.

use super::Players;
use crate::commands::torture::home::Said;
use crate::commands::torture::report::Finding;
use crate::failure::Failure;

/// A logout while a renewal waits for its answer; then the answer comes. The last scenario: nobody is signed in after it.
pub(super) async fn during_a_renewal(players: &Players) -> Result<Finding, Failure> {
    let (name, tried) = (
        "logout_during_refresh",
        "somebody signs out while a renewal waits for its answer, which then arrives",
    );
    let mut wrong = Vec::new();
    let mut held = players.door.hold();
    let renewing = {
        let (home, door) = (players.home.clone(), players.door.clone());
        tokio::spawn(async move { home.token(&door).await })
    };
    let answered = held.answered().await;
    let door = players.stage.proxy.open(0).await?;
    let out: Said = players.home.run(&door, &["logout"]).await?;
    if !players.home.records().is_empty() {
        wrong.push("the record is still there after the logout".into());
    }
    held.let_go();
    let said = match renewing.await {
        Ok(said) => said?,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    };
    if answered != Some(200) {
        return Ok(Finding::not_tried(
            name,
            tried,
            format!("there was no renewal to wait for: {}", said.told()),
        ));
    }
    super::gave_nothing(&said, "it was logged out", &mut wrong);
    if !players.home.records().is_empty() {
        wrong.push("the late answer brought the record back".into());
    }
    let after = players.home.run(&door, &["token"]).await?;
    if !after.says_to_sign_in() {
        wrong.push(format!("somebody is still signed in: {}", after.told()));
    }
    // With ours, a session that was revoked has nothing left to give back.
    let given_back = players.proxy().last_was_revoked();
    let seen = match (given_back, out.done()) {
        (true, _) => "nothing came back, and what the late answer brought was given back to the provider",
        (false, true) => "nothing came back; the provider had ended all of it at the logout",
        (false, false) => {
            "nothing came back here; the provider takes no token back, and the logout said that something may be alive"
        }
    };
    Ok(Finding::of(name, tried, &wrong, seen.into()))
}
