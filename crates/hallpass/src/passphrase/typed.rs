//! A line that is typed at the terminal and never shown.
//!
//! It is the terminal itself that is asked (`/dev/tty`), so that it works while standard input and output are pipes. Its
//! keys come one by one, Ctrl-C among them: as a signal it would end us before the terminal is again what it was.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};

use hallpass_model::secret::{Passphrase, Secret};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::LEN_MAX;
use crate::surroundings::TERMINAL;

/// Asks, and waits for a line.
///
/// # Errors
/// `Interrupted` if the person would rather stop.
pub(super) fn typed(prompt: &str) -> Result<Secret<Passphrase>, Error> {
    let mut terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let quiet = Quiet::begin(&terminal)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let line = read_line(&mut &terminal);
    drop(quiet);
    // The end of the line was not shown either.
    terminal.write_all(b"\n")?;
    line
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> Result<Self, Error> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that went away needs no putting right.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_H: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const CTRL_BACKSLASH: u8 = 0x1c;
const DELETE: u8 = 0x7f;

/// Reads a line as a terminal would give it, but for what must not be shown.
fn read_line(keys: &mut impl Read) -> Result<Secret<Passphrase>, Error> {
    // Room for all of it at once: growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LEN_MAX as usize));
    loop {
        match key(keys)? {
            b'\n' | b'\r' => return Ok(Secret::new(line.to_vec())),
            CTRL_C | CTRL_BACKSLASH => return Err(ErrorKind::Interrupted.into()),
            CTRL_D if line.is_empty() => return Err(ErrorKind::Interrupted.into()),
            DELETE | CTRL_H => {
                // A character is its first byte and all that go on with it (RFC 3629).
                while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
            }
            CTRL_U => line.clear(),
            CTRL_W => {
                let word = line.trim_ascii_end();
                let start = word.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
                line.truncate(start);
            }
            ESCAPE => skip_sequence(keys)?,
            control if control.is_ascii_control() => {}
            _ if line.len() as u64 == LEN_MAX => return Err(Error::other("it is too long")),
            byte => line.push(byte),
        }
    }
}

/// Skips what a key such as an arrow sends after the escape character (ECMA-48, section 5.4).
fn skip_sequence(keys: &mut impl Read) -> Result<(), Error> {
    if matches!(key(keys)?, b'[' | b'O') {
        while !(0x40..=0x7e).contains(&key(keys)?) {}
    }
    Ok(())
}

fn key(keys: &mut impl Read) -> Result<u8, Error> {
    let mut byte = Zeroizing::new([0u8]);
    keys.read_exact(&mut *byte)?; // a signal that somebody handles is no key
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(keys: &str) -> Result<String, ErrorKind> {
        let read = read_line(&mut keys.as_bytes());
        read.map(|line| line.expose_text().to_owned()).map_err(|error| error.kind())
    }

    #[test]
    fn a_line_is_edited_as_at_any_prompt() {
        for (keys, typed) in [
            ("correct horse\n", "correct horse"),
            ("correct horse\r\n", "correct horse"),
            ("corx\x7frect hors\x08se\n", "correct horse"),
            ("grün\x7f\x7fün\n", "grün"),
            ("all wrong\x15right\n", "right"),
            ("one two \x17three\n", "one three"),
            ("one\x17two\n", "two"),
            ("le\x1b[D\x1b[1;5C\x1bOHft\x07\n", "left"),
            ("not\x04 the end\n", "not the end"),
            ("\x7f\x15\x17\n", ""),
        ] {
            assert_eq!(line(keys).as_deref(), Ok(typed), "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_stops_and_a_terminal_that_goes_away_is_an_error() {
        for stop in ["\x03", "half\x03", "\x04", "half\x1c"] {
            assert_eq!(line(stop), Err(ErrorKind::Interrupted));
        }
        assert_eq!(line("half"), Err(ErrorKind::UnexpectedEof));
        assert!(line(&"x".repeat(LEN_MAX as usize + 1)).is_err());
    }
}
