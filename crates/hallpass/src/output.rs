//! The only file that prints.
//!
//! Standard output carries the answer and nothing else, so that it can be piped. Everything said to a person
//! goes to standard error. Nothing depends on colour.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use console::{Color, Style};
use serde::Serialize;

use crate::env;
use crate::failure::{Exit, Failure};

/// Where the answer and what is said to a person go.
pub(crate) struct Output {
    form: Form,
    quiet: bool,
    colour: bool,
    redraws: bool,
    answers: Box<dyn Write + Send>,
    people: Box<dyn Write + Send>,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people and pipes.
    Text,
    /// `--json`: one JSON value, whose `"schema"` names its written form and version.
    Json,
}

/// A JSON answer: the schema's name and version beside the answer's own members.
#[derive(Serialize)]
struct Versioned<'a, T: Serialize> {
    schema: &'a str,
    #[serde(flatten)]
    answer: &'a T,
}

impl Output {
    /// The process's own standard output and standard error.
    pub(crate) fn standard(form: Form, quiet: bool) -> Self {
        let able = io::stderr().is_terminal() && !is_dumb();
        Self {
            form,
            quiet,
            colour: able && !env::NO_COLOR.is_set(),
            redraws: able,
            answers: Box::new(io::stdout()),
            people: Box::new(io::stderr()),
        }
    }

    /// How the answer is wanted.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// One line of the answer.
    pub(crate) fn answer(&mut self, line: impl Display) -> Result<(), Failure> {
        written(writeln!(self.answers, "{line}").and_then(|()| self.answers.flush()))
    }

    /// A piece of an answer as it is: one that is somebody else's, or in a protocol of another program's.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        written(self.answers.write_all(bytes).and_then(|()| self.answers.flush()))
    }

    /// A piece of what somebody else's program says to people, as it is.
    pub(crate) fn pass_on(&mut self, bytes: &[u8]) {
        let _ = self.people.write_all(bytes);
        let _ = self.people.flush();
    }

    /// The answer as JSON on one line. `schema` is a documented name with its version: `hallpass.status/1`.
    pub(crate) fn json(&mut self, schema: &str, answer: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(&Versioned { schema, answer }).map_err(|e| {
            Failure::could_not_run(format_args!("the answer could not be written as JSON: {e}"))
        })?;
        self.answer(text)
    }

    /// Something worth knowing that is not the answer. Silent when quiet.
    pub(crate) fn say(&mut self, line: impl Display) {
        if !self.quiet {
            self.tell(line);
        }
    }

    /// Something a person must see to go on (a code, an address): not silenced.
    pub(crate) fn tell(&mut self, line: impl Display) {
        // Nobody is left to be told that standard error is closed.
        let _ = writeln!(self.people, "{line}");
    }

    /// A question, on whose line the answer is typed.
    pub(crate) fn prompt(&mut self, question: impl Display) {
        let _ = write!(self.people, "{question}");
        let _ = self.people.flush();
    }

    /// Something that went less well than it should.
    pub(crate) fn warn(&mut self, line: impl Display) {
        let label = self.painted("warning:", Color::Yellow);
        self.tell(format_args!("{label} {line}"));
    }

    /// Whether a line can be written over: on a terminal that is more than a typewriter.
    pub(crate) fn redraws(&self) -> bool {
        self.redraws
    }

    /// Writes over the current line, where [`Self::redraws`] says so. `redraw("")` clears it.
    pub(crate) fn redraw(&mut self, line: impl Display) {
        let _ = write!(self.people, "\r\x1b[2K{line}");
        let _ = self.people.flush();
    }

    /// Clears the current line, where one may have been written over.
    pub(crate) fn clear_line(&mut self) {
        if self.redraws {
            self.redraw("");
        }
    }

    /// Tells why a command failed, and what to do next. The last thing said.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if failure.message().is_empty() {
            return;
        }
        let label = self.painted("error:", Color::Red);
        self.tell(format_args!("{label} {}", failure.message()));
        if let Some(hint) = failure.hint_text() {
            let label = self.painted("hint:", Color::Cyan);
            self.tell(format_args!("{label} {hint}"));
        }
    }

    /// Text to stand out, if colour is wanted.
    pub(crate) fn bold(&self, text: &str) -> String {
        Style::new().bold().force_styling(self.colour).apply_to(text).to_string()
    }

    fn painted(&self, text: &str, colour: Color) -> String {
        Style::new().fg(colour).bold().force_styling(self.colour).apply_to(text).to_string()
    }
}

/// What a command leaves with whose exit code is part of its answer: that nobody read the answer, or that it could not be
/// written, changes nothing about what is so.
pub(crate) fn leave(written: Result<(), Failure>, exit: Exit) -> Result<Exit, Failure> {
    match written {
        Ok(()) => Ok(exit),
        Err(failure) if failure.exit() == Exit::DONE => Ok(exit),
        Err(failure) if exit == Exit::DONE => Err(failure),
        Err(failure) => Err(failure.leaving_with(exit)),
    }
}

/// A terminal that prints, and does nothing else. Colour is never shown against `NO_COLOR` either (no-color.org).
fn is_dumb() -> bool {
    env::TERM.text().is_some_and(|term| term == "dumb")
}

/// A reader that went away (`| head`) is no failure worth words: the command just stops.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::no("").leaving_with(Exit::DONE),
        _ => Failure::could_not_run(format_args!("the answer could not be written: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pages(quiet: bool) -> (Output, Page, Page) {
        let (answers, people) = (Page::default(), Page::default());
        let output = Output {
            form: Form::Text,
            quiet,
            colour: false,
            redraws: false,
            answers: Box::new(answers.clone()),
            people: Box::new(people.clone()),
        };
        (output, answers, people)
    }

    #[test]
    fn the_answer_and_what_is_said_go_different_ways() {
        let (mut output, answers, people) = pages(false);
        output.answer("token").unwrap();
        output.say("until noon");
        output.failure(&Failure::usage("`x` is not an address").hint("try `https://x`"));
        assert_eq!(answers.text(), "token\n");
        assert_eq!(people.text(), "until noon\nerror: `x` is not an address\nhint: try `https://x`\n");
    }

    #[test]
    fn quiet_silences_what_is_said_but_not_warnings_and_failures() {
        let (mut output, _, people) = pages(true);
        output.say("until noon");
        output.warn("the clock is off");
        assert_eq!(people.text(), "warning: the clock is off\n");
    }

    #[test]
    fn a_json_answer_names_its_schema() {
        #[derive(Serialize)]
        struct Answer {
            signed_in: bool,
        }
        let (mut output, answers, _) = pages(false);
        output.json("hallpass.status/1", &Answer { signed_in: true }).unwrap();
        assert_eq!(answers.text(), "{\"schema\":\"hallpass.status/1\",\"signed_in\":true}\n");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut output, _, people) = pages(false);
        output.answers = Box::new(Gone);
        let failure = output.answer("x").unwrap_err();
        output.failure(&failure);
        assert_eq!((failure.exit(), people.text().as_str()), (Exit::DONE, ""));
    }
    #[test]
    fn an_exit_code_that_is_an_answer_is_kept_whoever_reads() {
        let gone = || Err(Failure::no("").leaving_with(Exit::DONE));
        assert_eq!(leave(gone(), Exit::NO).unwrap(), Exit::NO);
        assert_eq!(leave(Ok(()), Exit::NO).unwrap(), Exit::NO);
        let full = || Err(Failure::could_not_run("the answer could not be written: no space"));
        assert_eq!(leave(full(), Exit::NO).unwrap_err().exit(), Exit::NO);
        assert_eq!(leave(full(), Exit::DONE).unwrap_err().exit(), Exit::COULD_NOT_RUN);
    }
}
