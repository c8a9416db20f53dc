//! What may be said of a sign-in by watching its refresh tokens go by, whoever its provider is.
//!
//! A refresh token is *spent* once the provider answered it with a successor. To present a spent one again is only right
//! where that answer was lost: it never reached a process that lived to save it. Anything else is a **replay**, which a
//! strict provider takes for a theft. A refusal is a **loss**, and excused only by an answer that was lost.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Stands for a token. SECURITY: keyed, and forgotten with the run; the token itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Print(u64);

/// What is known of one refresh token.
#[derive(Debug, Default, Clone, Copy)]
struct Known {
    /// A successor was given for it, or may have been.
    answered: bool,
    /// That answer was delivered whole to a process that went on.
    delivered: bool,
    /// That answer, or one of several, was lost.
    lost: bool,
}

/// What was noticed when a token was presented or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noticed {
    /// All is as it should be.
    Nothing,
    /// The same again after a lost answer.
    Retry,
    /// A spent token, though its successor had arrived.
    Replay,
}

/// How a refusal is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The provider forgives no lost answer, and one was lost.
    Excused,
    /// Nothing was lost on the way: the holder lost it.
    Unexcused,
}

/// All refresh tokens of a run.
#[derive(Debug, Default)]
pub(super) struct Chain {
    keyed: RandomState,
    known: HashMap<Print, Known>,
    /// Whose successor each is.
    before: HashMap<Print, Print>,
}

impl Chain {
    pub(super) fn print(&self, token: &str) -> Print {
        Print(self.keyed.hash_one(token))
    }

    /// A token goes to the provider.
    pub(super) fn presented(&mut self, token: Print) -> Noticed {
        // Whoever presents it has it: the answer that brought it was not lost after all.
        if let Some(before) = self.before.get(&token) {
            self.known.entry(*before).or_default().delivered = true;
        }
        let known = self.known.entry(token).or_default();
        match (known.answered, known.delivered) {
            (_, true) => Noticed::Replay,
            (true, false) => Noticed::Retry,
            (false, false) => Noticed::Nothing,
        }
    }

    /// The provider answered it with a successor, which nobody has yet. One that is its own successor does not rotate.
    pub(super) fn answered(&mut self, token: Print, successor: Option<Print>) {
        if let Some(successor) = successor.filter(|successor| *successor != token) {
            self.known.entry(token).or_default().answered = true;
            self.before.insert(successor, token);
        }
    }

    /// That answer reached its process whole.
    pub(super) fn delivered(&mut self, token: Print) {
        let known = self.known.entry(token).or_default();
        known.delivered = known.answered;
    }

    /// That answer, if there was one, reached nobody; or whom it reached did not live to save it.
    pub(super) fn lost(&mut self, token: Print) {
        let known = self.known.entry(token).or_default();
        known.lost |= known.answered;
    }

    /// It reached a process that was killed soon after, and may not have saved it. Whether it had, its successor tells.
    pub(super) fn maybe_not_saved(&mut self, token: Print) {
        self.known.entry(token).or_default().delivered = false;
        self.lost(token);
    }

    /// The provider says that it is over.
    pub(super) fn refused(&self, token: Print) -> Loss {
        match self.known.get(&token) {
            Some(known) if known.lost => Loss::Excused,
            _ => Loss::Unexcused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Chain, Print, Print, Print) {
        let chain = Chain::default();
        let (a, b, c) = (chain.print("a"), chain.print("b"), chain.print("c"));
        (chain, a, b, c)
    }

    #[test]
    fn tokens_in_their_order_are_neither_retries_nor_replays() {
        let (mut chain, a, b, c) = three();
        for (token, next) in [(a, b), (b, c)] {
            assert_eq!(chain.presented(token), Noticed::Nothing);
            chain.answered(token, Some(next));
            chain.delivered(token);
        }
        assert_eq!(chain.presented(c), Noticed::Nothing);
        assert_eq!(chain.refused(c), Loss::Unexcused);
    }

    #[test]
    fn a_spent_token_is_a_replay_unless_its_answer_was_lost() {
        let (mut chain, a, b, _) = three();
        chain.answered(a, Some(b));
        assert_eq!(chain.presented(a), Noticed::Retry, "nobody has the answer yet");
        chain.delivered(a);
        assert_eq!(chain.presented(a), Noticed::Replay);
        assert_eq!(chain.refused(a), Loss::Unexcused);
    }

    #[test]
    fn a_lost_answer_excuses_until_its_successor_is_seen() {
        let (mut chain, a, b, _) = three();
        chain.answered(a, Some(b));
        chain.lost(a);
        assert_eq!(chain.presented(a), Noticed::Retry);
        assert_eq!(chain.refused(a), Loss::Excused);
        assert_eq!(chain.presented(b), Noticed::Nothing, "it had been saved before the kill");
        assert_eq!(chain.presented(a), Noticed::Replay);
    }

    #[test]
    fn what_reached_a_process_that_was_killed_soon_after_may_be_lost_until_its_successor_is_seen() {
        let (mut chain, a, b, _) = three();
        chain.answered(a, Some(b));
        chain.delivered(a);
        chain.maybe_not_saved(a);
        assert_eq!(chain.presented(a), Noticed::Retry);
        assert_eq!(chain.refused(a), Loss::Excused);
        chain.maybe_not_saved(a);
        assert_eq!(chain.presented(b), Noticed::Nothing, "it was saved");
        assert_eq!(chain.presented(a), Noticed::Replay);
    }

    #[test]
    fn a_request_that_never_arrived_excuses_nothing() {
        let (mut chain, a, b, _) = three();
        chain.lost(a);
        assert_eq!(chain.refused(a), Loss::Unexcused);
        chain.answered(a, Some(b));
        chain.lost(a);
        chain.answered(a, Some(b));
        chain.delivered(a);
        assert_eq!(chain.presented(a), Noticed::Replay, "the second answer arrived");
    }

    #[test]
    fn what_does_not_rotate_may_be_presented_for_ever() {
        let (mut chain, a, _, _) = three();
        for successor in [None, Some(a)] {
            chain.answered(a, successor);
            chain.delivered(a);
            assert_eq!(chain.presented(a), Noticed::Nothing);
        }
    }
}
