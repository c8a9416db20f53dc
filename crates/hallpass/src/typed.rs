//! A line that is typed at the terminal and never shown.
//!
//! It is the terminal itself that is asked (`/dev/tty`), so that it works while standard input and output are pipes. Its
//! keys come one by one, Ctrl-C among them: as a signal it would end us before the terminal is again what it was.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};

use hallpass_model::secret::{Passphrase, Secret};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::passphrase::PASSPHRASE_LEN_MAX;
use crate::surroundings::TERMINAL;

mod line;
mod pasted; // one that is pasted, which may have several

use line::{Key, Line};
pub(crate) use pasted::asked_at_the_terminal;

/// A special character that no key sends (`_POSIX_VDISABLE`).
const NO_KEY: u8 = 0;

/// Asks, and waits for a line.
///
/// # Errors
/// `Interrupted` if the person would rather stop.
pub(crate) fn typed(prompt: &str) -> Result<Secret<Passphrase>, Error> {
    let mut terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let quiet = Quiet::begin(&terminal, Keys::NoSignals)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let line = read_line(&mut &terminal);
    drop(quiet);
    // The end of the line was not shown either.
    terminal.write_all(b"\n")?;
    line
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

/// What becomes of the keys that send a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// They are keys as any other.
    NoSignals,
    /// Ctrl-C is a signal. Those that would stop us, or end us at once, are keys: the terminal would go on showing nothing.
    SignalsButStops,
}

impl Quiet {
    fn begin(terminal: &File, keys: Keys) -> Result<Self, Error> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON;
        match keys {
            Keys::NoSignals => quiet.local_modes -= LocalModes::ISIG,
            Keys::SignalsButStops => {
                for code in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                    quiet.special_codes[code] = NO_KEY;
                }
            }
        }
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that went away needs no putting right.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Reads a line as a terminal would give it, but for what must not be shown.
fn read_line(keys: &mut impl Read) -> Result<Secret<Passphrase>, Error> {
    let mut line = Line::new(PASSPHRASE_LEN_MAX);
    loop {
        let mut key = Zeroizing::new([0u8]);
        keys.read_exact(&mut *key)?; // a signal that somebody handles is no key
        match line.key(key[0]) {
            Key::More => {}
            Key::Stop => return Err(ErrorKind::Interrupted.into()),
            Key::End if line.is_too_long() => return Err(Error::other("it is too long")),
            Key::End => return Ok(line.take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_its_end_and_one_that_stops_before_or_never_ends_is_an_error() {
        let line = |keys: &str| {
            let read = read_line(&mut keys.as_bytes());
            read.map(|line| line.expose_text().to_owned()).map_err(|error| error.kind())
        };
        assert_eq!(line("correct horse\nmore"), Ok("correct horse".into()));
        assert_eq!(line("half\x03"), Err(ErrorKind::Interrupted));
        assert_eq!(line("half"), Err(ErrorKind::UnexpectedEof));
        assert!(line(&("x".repeat(PASSPHRASE_LEN_MAX + 1) + "\n")).is_err());
    }
}
