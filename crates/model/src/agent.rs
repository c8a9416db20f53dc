//! Agents: software that acts for a person, as itself. The person registers it once, with the most it may have; each run of it
//! is theirs and its own, in every token and entry.
//!
//! 1. A run is a credential below the person's session: each of its passes names it as an ancestor, so one cut ends all of it,
//!    and whatever ends the session, the device or the person ends it as well.
//! 2. It reaches no further than the person's session, nor than the agent may, nor than the run above it where an agent starts
//!    another.
//! 3. It has a [`Budget`]. Once that is spent it gets nothing more until the person says so.
//!
//! What is decided here is pure: the store has found the rows, and asks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, CredentialId, OrgId, PrincipalId};
use crate::lifetimes::{AGENT_RUN, AGENT_RUN_MAX};
use crate::principal::Handle;
use crate::time::{Lifetime, Timestamp};
use crate::wire::oauth::Scopes;

/// Agents of one person: more than anybody keeps an eye on.
pub const AGENTS_OF_PERSON_MAX: usize = 64;
/// Live runs of one person at once: ending all of them stays one quick change.
pub const RUNS_OF_PERSON_MAX: usize = 64;
/// Runs below one another: an agent that starts one that starts one. Each rides in every token, and whoever reads more of a
/// chain than this has lost sight of who asked (RFC 8693, section 4.1).
pub const CHAIN_MAX: usize = 4;

/// What an agent is, as its person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Writes and runs code.
    Coding,
    /// Answers, looks things up, fills things in.
    Assistant,
    /// Does the same thing again and again, with nobody watching.
    Automation,
    /// Anything else.
    Other,
}

impl AgentKind {
    /// All of them.
    pub const ALL: [AgentKind; 4] = [Self::Coding, Self::Assistant, Self::Automation, Self::Other];

    /// Its word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::Assistant => "assistant",
            Self::Automation => "automation",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl FromStr for AgentKind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.text() == text);
        found.ok_or("an agent is `coding`, `assistant`, `automation` or `other`")
    }
}

/// An agent as its person registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id: the `sub` of `act`.
    pub id: AgentId,
    /// The tenant.
    pub org: OrgId,
    /// Whose it is.
    pub person: PrincipalId,
    /// Its name, unique among its person's.
    pub handle: Handle,
    /// What it is.
    pub kind: AgentKind,
    /// The most it may do. It never has what its person has not.
    pub scopes: Scopes,
    /// How long a run of it may last.
    pub longest: Lifetime,
    /// What a run of it may use.
    pub budget: Budget,
    /// When it was registered.
    pub created: Timestamp,
    /// Since when it starts nothing any more.
    pub retired: Option<Timestamp>,
}

/// What one run may use before its person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// Passes handed out.
    pub tokens: u32,
    /// Requests for them, those that were refused included: what a loop that is told no runs into.
    pub exchanges: u32,
    /// Different APIs.
    pub resources: u32,
}

impl Default for Budget {
    /// A pass every few minutes for a working day, and some that are refused; the APIs of one task.
    fn default() -> Self {
        Self { tokens: 200, exchanges: 400, resources: 4 }
    }
}

/// The most that any of a budget's numbers may be: beyond that it bounds nothing.
pub const BUDGET_MAX: u32 = 100_000;

impl Budget {
    /// Whether each number means something.
    pub fn is_sound(&self) -> bool {
        [self.tokens, self.exchanges, self.resources].iter().all(|n| (1..=BUDGET_MAX).contains(n))
    }

    /// This much again. Never beyond what a number can hold.
    #[must_use]
    pub fn and_again(self, more: Budget) -> Self {
        Self {
            tokens: self.tokens.saturating_add(more.tokens),
            exchanges: self.exchanges.saturating_add(more.exchanges),
            resources: self.resources.saturating_add(more.resources),
        }
    }

    /// What would be over the budget if one more pass were handed out. `is_new` says whether it is for an API that the run
    /// had none for.
    pub fn spent(&self, used: &Budget, is_new: bool) -> Option<Spent> {
        if used.exchanges >= self.exchanges {
            return Some(Spent::Exchanges);
        }
        if used.tokens >= self.tokens {
            return Some(Spent::Tokens);
        }
        (is_new && used.resources >= self.resources).then_some(Spent::Resources)
    }
}

/// Which part of a budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spent {
    /// Passes.
    Tokens,
    /// Requests for passes.
    Exchanges,
    /// Different APIs.
    Resources,
}

impl Spent {
    /// The word the store keeps and people read.
    pub fn text(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Exchanges => "exchanges",
            Self::Resources => "resources",
        }
    }

    /// The rule it is refused by.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Tokens => "budget_tokens",
            Self::Exchanges => "budget_exchanges",
            Self::Resources => "budget_resources",
        }
    }
}

impl FromStr for Spent {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Tokens, Self::Exchanges, Self::Resources].into_iter().find(|it| it.text() == text).ok_or(())
    }
}

/// Which agent acts, in which run: the outermost actor of a token. Those below it are history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Acting {
    /// The agent.
    pub agent: AgentId,
    /// Its run: the credential that all the run's passes come of.
    pub run: CredentialId,
}

/// How long a run of an agent may last, of what is asked for: nothing said is the table's.
pub fn longest(asked: Option<Lifetime>) -> Option<Lifetime> {
    let longest = asked.unwrap_or(AGENT_RUN);
    (longest > Lifetime::seconds(0) && longest <= AGENT_RUN_MAX).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_by_each_of_its_numbers_alone() {
        let budget = Budget { tokens: 2, exchanges: 5, resources: 1 };
        let used = |tokens, exchanges, resources| Budget { tokens, exchanges, resources };
        assert_eq!(budget.spent(&used(1, 4, 1), false), None);
        assert_eq!(budget.spent(&used(2, 4, 1), false), Some(Spent::Tokens));
        assert_eq!(budget.spent(&used(0, 5, 0), true), Some(Spent::Exchanges));
        assert_eq!(budget.spent(&used(1, 4, 1), true), Some(Spent::Resources));
        assert_eq!(budget.and_again(budget).spent(&used(2, 5, 1), true), None);
        for spent in [Spent::Tokens, Spent::Exchanges, Spent::Resources] {
            assert_eq!(spent.text().parse(), Ok(spent));
        }
    }

    #[test]
    fn a_budget_of_nothing_or_of_anything_is_none() {
        assert!(Budget::default().is_sound());
        assert!(!Budget { tokens: 0, ..Budget::default() }.is_sound());
        assert!(!Budget { resources: BUDGET_MAX + 1, ..Budget::default() }.is_sound());
        let most = Budget { tokens: u32::MAX, exchanges: 1, resources: 1 };
        assert_eq!(most.and_again(most).tokens, u32::MAX);
    }

    #[test]
    fn a_run_has_an_end() {
        assert_eq!(longest(None), Some(AGENT_RUN));
        assert_eq!(longest(Some(AGENT_RUN_MAX)), Some(AGENT_RUN_MAX));
        assert_eq!(longest(Some(AGENT_RUN_MAX + Lifetime::seconds(1))), None);
        assert_eq!(longest(Some(Lifetime::seconds(0))), None);
    }
}
