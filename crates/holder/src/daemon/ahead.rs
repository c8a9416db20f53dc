//! What the daemon does when nobody asks: it renews what is in use before it is over, forgets what nobody uses, and notices
//! when the clock was set.
//!
//! Nothing here sleeps for long: the clock on the wall is looked at again and again, as machines sleep and clocks are set.
//! A token that nobody asked for since it came is let go; the sign-in itself is renewed when the next one is wanted.

use std::time::Duration;

use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::TokenType;

use super::conversation::request;
use super::kept::Moment;
use super::memory;
use super::office::Office;
use super::wire::TokenAsked;
use crate::error::HolderError;

/// How often to look, unless told otherwise: well within the margin below.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A token in use is renewed when it is good for less than this: before it is not handed out any more, with time to try
/// more than once.
const AHEAD: Lifetime = Lifetime::seconds(50);
/// The wall's clock and the machine's own go apart by so much only when somebody sets one.
const SET: Duration = Duration::from_secs(5);
/// Nobody asked for so long: the daemon is at rest, and need not take memory for what it might be asked.
const AT_REST: Duration = Duration::from_secs(30);
/// Nobody asked for so long: what is only kept for speed is forgotten.
const IDLE: Duration = Duration::from_secs(60 * 60);

impl Office {
    /// Goes on until it is dropped.
    pub(super) async fn tend(&self, look_every: Duration) -> std::convert::Infallible {
        let mut before = self.now();
        let mut rested = None;
        self.listen_to_all();
        loop {
            tokio::time::sleep(look_every).await;
            let now = self.now();
            let asked = self.last_asked();
            if now.steady.saturating_sub(asked) > AT_REST && rested != Some(asked) {
                memory::rest();
                rested = Some(asked);
            }
            if was_set(before, now) {
                self.distrust_all();
            }
            before = now;
            if self.state().is_locked() {
                continue;
            }
            if now.steady.saturating_sub(self.last_asked()) > IDLE {
                self.forget_idle();
            }
            for asked in self.kept_answers().due(now, AHEAD) {
                self.renew_ahead(&asked).await;
            }
        }
    }

    /// Renews one answer. What cannot be renewed now is tried again at the next look, and after that when it is asked for.
    async fn renew_ahead(&self, asked: &TokenAsked) {
        let turn = self.turn(asked);
        let Ok(_turn) = turn.try_lock() else { return }; // somebody is at it
        let stamp = self.stamp();
        let Ok(identity) = self.meant(asked) else { return };
        let Ok(request) = request(asked) else { return };
        let holder = self.holder();
        let fresh = async {
            if !holder.standing(&identity)?.record.ours {
                // The sign-in's own token is all there is, and shared.
                holder.renew(&identity).await?;
            }
            holder.pass_of(&identity, &request, &TokenType::Bearer, false).await
        };
        match fresh.await {
            Ok((pass, _)) => drop(self.keep(asked.clone(), pass, identity, stamp)),
            // Said to whoever asks next.
            Err(HolderError::SignInEnded { .. } | HolderError::NotSignedIn { .. }) => self.forget_all(),
            Err(_) => {}
        }
        self.turns().remove(asked);
    }
}

/// Whether somebody set the clock in between.
fn was_set(before: Moment, now: Moment) -> bool {
    let wall = now.wall.millis() - before.wall.millis();
    let steady = now.steady.as_millis() as i64 - before.steady.as_millis() as i64;
    wall.abs_diff(steady) > SET.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use hallpass_model::time::Timestamp;

    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_from_a_machine_that_slept() {
        let at = |wall: i64, steady: u64| Moment {
            wall: Timestamp::from_seconds(1_700_000_000 + wall),
            steady: Duration::from_secs(steady),
        };
        assert!(!was_set(at(0, 0), at(5, 5)) && !was_set(at(0, 0), at(8 * 3600, 8 * 3600)), "it slept");
        assert!(was_set(at(0, 0), at(3600, 5)) && was_set(at(0, 0), at(-3600, 5)));
    }
}
