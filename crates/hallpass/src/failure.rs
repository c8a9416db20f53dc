//! What a person is told when a command does not do what was asked, and the code it leaves with.

mod of_holder;

pub(crate) use of_holder::STEP_UP;

use std::fmt::Display;
use std::process::{ExitCode, Termination};

/// What Ctrl-C sends.
const SIGINT: i32 = 2;

/// The code a command leaves with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done.
    pub(crate) const DONE: Exit = Exit(0);
    /// The answer is no: a leak found, a chain broken, something may still be alive after logout.
    pub(crate) const NO: Exit = Exit(1);
    /// Wrong usage, or an ambiguous identity.
    pub(crate) const USAGE: Exit = Exit(2);
    /// A person must sign in (as `gh` has it).
    pub(crate) const SIGN_IN: Exit = Exit(4);
    /// Refused by a rule.
    pub(crate) const REFUSED: Exit = Exit(5);
    /// Could not run.
    pub(crate) const COULD_NOT_RUN: Exit = Exit(70);
    /// Try again later: the network, or busy.
    pub(crate) const TRY_LATER: Exit = Exit(75);
    /// `exec` itself failed; the command did not start.
    pub(crate) const EXEC_FAILED: Exit = Exit(125);
    /// `exec` found the command but could not run it.
    pub(crate) const NOT_RUNNABLE: Exit = Exit(126);
    /// `exec` did not find the command.
    pub(crate) const NOT_FOUND: Exit = Exit(127);

    /// Ctrl-C: as shells say that SIGINT ended it.
    pub(crate) const INTERRUPTED: Exit = Exit::of_signal(SIGINT);

    /// The child's own code, passed through.
    pub(crate) const fn of_child(code: u8) -> Exit {
        Exit(code)
    }

    /// 128 + n, as shells say that signal `n` ended a child.
    pub(crate) const fn of_signal(signal: i32) -> Exit {
        Exit(128u8.saturating_add(signal as u8))
    }

    /// The number itself.
    pub(crate) const fn code(self) -> u8 {
        self.0
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.0)
    }
}

/// What a person is told: a message, perhaps what to do next, and the exit code.
///
/// The message is a lower-case fragment without a full stop; what was typed stands in backticks; the cause
/// follows a colon. SECURITY: no secret ever goes into either text.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

impl Failure {
    /// The answer is no (1).
    pub(crate) fn no(message: impl Display) -> Self {
        Self::new(message, Exit::NO)
    }

    /// Wrong usage, or an ambiguous identity (2).
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(message, Exit::USAGE)
    }

    /// A person must sign in (4).
    pub(crate) fn needs_person(message: impl Display) -> Self {
        Self::new(message, Exit::SIGN_IN)
    }

    /// A rule refused (5). The message says which, the hint what would satisfy it.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self::new(message, Exit::REFUSED)
    }

    /// Could not run (70).
    pub(crate) fn could_not_run(message: impl Display) -> Self {
        Self::new(message, Exit::COULD_NOT_RUN)
    }

    /// Try again later (75).
    pub(crate) fn try_later(message: impl Display) -> Self {
        Self::new(message, Exit::TRY_LATER)
    }

    /// With another exit code.
    pub(crate) fn leaving_with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// With what to do next.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// What happened.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, if anything is known to help.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The code to leave with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    fn new(message: impl Display, exit: Exit) -> Self {
        Self { message: message.to_string(), hint: None, exit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_leaves_with_its_own_code() {
        let codes = [
            (Failure::no("x"), 1),
            (Failure::usage("x"), 2),
            (Failure::needs_person("x"), 4),
            (Failure::refused("x"), 5),
            (Failure::could_not_run("x"), 70),
            (Failure::try_later("x"), 75),
        ];
        for (failure, code) in codes {
            assert_eq!(failure.exit().code(), code);
        }
        assert_eq!(Exit::of_signal(9).code(), 137);
        assert_eq!(Exit::of_child(3).code(), 3);
    }

    #[test]
    fn a_hint_stands_beside_the_message() {
        let failure = Failure::needs_person("your sign-in has ended").hint("run `hallpass login`");
        assert_eq!(failure.message(), "your sign-in has ended");
        assert_eq!(failure.hint_text(), Some("run `hallpass login`"));
    }
}
