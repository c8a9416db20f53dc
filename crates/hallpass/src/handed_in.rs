//! A secret on standard input: from a pipe or file, or typed at the terminal without being shown.

use std::io::{IsTerminal, Read, stdin};

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::typed::typed;

/// What is wanted.
pub(crate) struct HandedIn {
    /// For people: `API key`.
    pub(crate) what: &'static str,
    /// What is read at most, in bytes: it is a line, and a wrong file may be large.
    pub(crate) most: usize,
    /// How it is piped in.
    pub(crate) piped_by: &'static str,
}

const ALONE: &str = "hand in that one line alone";

impl HandedIn {
    /// Reads it, less the end of its line. Nothing is said of what it should look like.
    pub(crate) fn read(&self, may_ask: bool) -> Result<Zeroizing<String>, Failure> {
        let text = match stdin().is_terminal() {
            true if may_ask => self.at_the_terminal()?,
            true => {
                return Err(Failure::usage("standard input is a terminal, and nobody may be asked there")
                    .hint(format_args!("pipe it in: `{}`", self.piped_by)));
            }
            false => self.piped()?,
        };
        self.line(&text)
    }

    /// SECURITY: what was given is not repeated, whatever it is.
    pub(crate) fn none(&self, why: impl std::fmt::Display) -> Failure {
        Failure::usage(format_args!("what is on standard input is no {}: {why}", self.what))
    }

    /// The text without the end of its line.
    pub(crate) fn line(&self, text: &str) -> Result<Zeroizing<String>, Failure> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(Failure::usage(format_args!("there is no {} on standard input", self.what))
                .hint(format_args!("pipe it in: `{}`", self.piped_by)));
        }
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn at_the_terminal(&self) -> Result<Zeroizing<String>, Failure> {
        let prompt = format!("{} (not shown): ", self.what);
        let line = typed(&prompt).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => hallpass_holder::HolderError::Cancelled.into(),
            std::io::ErrorKind::Other => {
                self.none(error).hint(format_args!("pipe it in: `{}`", self.piped_by))
            }
            _ => self.cannot(&error),
        })?;
        String::from_utf8(line.expose().to_vec()).map(Zeroizing::new).map_err(|_| self.none("it is not text"))
    }

    fn piped(&self) -> Result<Zeroizing<String>, Failure> {
        // Room for all of it at once: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.most + 1));
        let read = stdin().take(self.most as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.cannot(&error))?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if bytes.len() <= self.most => Ok(Zeroizing::new(text.to_owned())),
            Ok(_) => Err(self.none(format_args!("it has more than {} bytes", self.most)).hint(ALONE)),
            Err(_) => Err(self.none("it is not text").hint(ALONE)),
        }
    }

    fn cannot(&self, error: &std::io::Error) -> Failure {
        Failure::could_not_run(format_args!("the {} cannot be read from standard input: {error}", self.what))
    }
}
