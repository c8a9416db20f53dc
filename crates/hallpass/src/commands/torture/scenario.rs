//! What is tried besides the storm, one thing at a time. Each says what it did, and what should have been.

mod folders; // other homes, other machines
mod places; // a disk that is full, a keyring that locks
mod provider; // a tenant that changes, a clock that jumps
mod signing_out; // a logout in the middle of a renewal

use std::sync::Arc;

use super::home::{Home, Said};
use super::proxy::{Door, Proxy};
use super::report::Finding;
use super::stage::Stage;
use crate::failure::Failure;
use crate::output::Output;

/// What a scenario is played with.
pub(super) struct Players {
    pub(super) stage: Arc<Stage>,
    /// The sign-in that everything is about.
    pub(super) home: Home,
    /// A door for what is done to it.
    pub(super) door: Arc<Door>,
    /// Whether the provider forgives an answer that was lost. None if that was not tried.
    pub(super) forgives: Option<bool>,
    pub(super) processes: usize,
}

impl Players {
    fn proxy(&self) -> &Proxy {
        &self.stage.proxy
    }

    /// Whether a lost answer may be tried: it costs nothing, or nobody's time.
    fn may_lose_an_answer(&self) -> bool {
        self.forgives == Some(true) || self.stage.signs_in_by_itself()
    }

    /// After what may have ended the sign-in: there is one again. What should not have ended is named in `wrong`.
    async fn stands_again(&self, may_have_ended: bool, wrong: &mut Vec<String>) -> Result<(), Failure> {
        let said = self.home.token(&self.door).await?;
        if said.done() {
            return Ok(());
        }
        if self.home.records().is_empty() {
            wrong.push("the record was wiped".into());
        }
        if !may_have_ended || !said.says_to_sign_in() {
            wrong.push(format!("afterwards it cannot be renewed: {}", said.told()));
        }
        match self.stage.signs_in_by_itself() {
            true => self.stage.sign_in(&self.home, &self.door).await,
            false => Ok(()),
        }
    }
}

/// One renewal whose answer is lost, and the next: does the provider forgive it, and if not, is that said?
pub(super) async fn lost_answer(players: &mut Players) -> Result<Finding, Failure> {
    const NAME: &str = "lost_answer";
    const TRIED: &str = "the answer to a renewal is lost once";
    if !players.stage.signs_in_by_itself() {
        let why =
            "a provider without a retry rule would end your sign-in; with `--approve COMMAND` it is tried";
        return Ok(Finding::not_tried(NAME, TRIED, why));
    }
    players.proxy().take_tally();
    players.door.lose_next_answer();
    let first = players.home.token(&players.door).await?;
    let second = players.home.token(&players.door).await?;
    let mut wrong = Vec::new();
    if first.done() || !first.out.is_empty() {
        wrong.push("a renewal without an answer gave a token".into());
    }
    players.forgives = Some(second.done());
    let seen = match second.done() {
        true => "the provider gives it again",
        false => "the provider ends the sign-in for it: kept, and said so",
    };
    if !second.done() {
        if !second.says_to_sign_in() {
            wrong.push(format!("the sign-in is over, and that was not said: {}", second.told()));
        }
        if players.proxy().take_tally().unexcused > 0 {
            wrong.push("it was refused although no answer had been lost".into());
        }
        players.stands_again(true, &mut wrong).await?;
    }
    Ok(Finding::of(NAME, TRIED, &wrong, seen.into()))
}

/// All others, in an order in which the sign-in is needed less and less.
pub(super) async fn others(players: &Players, out: &mut Output) -> Result<Vec<Finding>, Failure> {
    let mut findings = vec![folders::two_folders(players, out).await?];
    findings.push(folders::two_hosts(players).await?);
    findings.push(provider::clock(players).await?);
    findings.push(places::full_disk(players).await?);
    findings.push(places::locked_keyring(players).await?);
    findings.push(provider::tenant(players).await?);
    findings.push(signing_out::during_a_renewal(players).await?);
    Ok(findings)
}

/// That nothing which looks like a token was said where a command failed.
fn gave_nothing(said: &Said, what: &str, wrong: &mut Vec<String>) {
    if said.done() {
        wrong.push(format!("{what}, and it did not fail"));
    } else if !said.out.is_empty() {
        wrong.push(format!("{what}, and it gave out something all the same"));
    }
}
