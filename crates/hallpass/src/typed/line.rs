//! A line as it is typed, key by key, where the terminal itself is told to leave them alone.

use hallpass_model::secret::{Kind, Secret};
use zeroize::Zeroizing;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_H: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESCAPE: u8 = 0x1b;
const CTRL_BACKSLASH: u8 = 0x1c;
const DELETE: u8 = 0x7f;

/// A line as it is typed. Wiped.
pub(super) struct Line {
    bytes: Zeroizing<Vec<u8>>,
    len_max: usize,
    too_long: bool,
    sequence: Sequence,
}

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// It goes on.
    More,
    /// It is whole.
    End,
    /// The person would rather stop.
    Stop,
}

/// Where in what a key such as an arrow sends we are (ECMA-48, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    Outside,
    Begun,
    Inside,
}

impl Line {
    /// An empty one. Of more than so many bytes the rest is dropped.
    pub(super) fn new(len_max: usize) -> Self {
        // Room for all of it at once: growing would leave copies behind.
        let bytes = Zeroizing::new(Vec::with_capacity(len_max));
        Self { bytes, len_max, too_long: false, sequence: Sequence::Outside }
    }

    /// Takes a key, as a terminal would that shows the line.
    pub(super) fn key(&mut self, key: u8) -> Key {
        match (self.sequence, key) {
            (Sequence::Begun, b'[' | b'O') => self.sequence = Sequence::Inside,
            (Sequence::Begun, _) | (Sequence::Inside, 0x40..=0x7e) => self.sequence = Sequence::Outside,
            (Sequence::Inside, _) => {}
            (Sequence::Outside, _) => return self.plain(key),
        }
        Key::More
    }

    fn plain(&mut self, key: u8) -> Key {
        let line = &mut *self.bytes;
        match key {
            b'\n' | b'\r' => return Key::End,
            CTRL_C | CTRL_BACKSLASH => return Key::Stop,
            CTRL_D if line.is_empty() => return Key::Stop,
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
            ESCAPE => self.sequence = Sequence::Begun,
            control if control.is_ascii_control() => {}
            _ if line.len() == self.len_max => self.too_long = true,
            byte => line.push(byte),
        }
        Key::More
    }

    /// Whether some of it was dropped.
    pub(super) fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// What was typed.
    pub(super) fn take<K: Kind>(self) -> Secret<K> {
        Secret::new(self.bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::Passphrase;

    use super::*;

    fn typed(keys: &str, len_max: usize) -> (Line, Key) {
        let mut line = Line::new(len_max);
        let did = keys.bytes().map(|key| line.key(key)).find(|did| *did != Key::More);
        (line, did.unwrap_or(Key::More))
    }

    #[test]
    fn a_line_is_edited_as_at_any_prompt() {
        for (keys, meant) in [
            ("correct horse\n", "correct horse"),
            ("correct horse\r\n", "correct horse"),
            ("corx\x7frect hors\x08se\n", "correct horse"),
            ("grün\x7f\x7fün\n", "grün"),
            ("all wrong\x15right\n", "right"),
            ("one two \x17three\n", "one three"),
            ("one\x17two\n", "two"),
            ("le\x1b[D\x1b[1;5C\x1bOHft\x07\n", "left"),
            ("\x1b[200~pasted\x1b[201~\n", "pasted"),
            ("not\x04 the end\n", "not the end"),
            ("\x7f\x15\x17\n", ""),
        ] {
            let (line, did) = typed(keys, 100);
            assert_eq!(did, Key::End, "{keys:?}");
            assert!(!line.is_too_long());
            assert_eq!(line.take::<Passphrase>().expose_text(), meant, "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_stops_and_what_is_too_long_is_known_to_be() {
        for stop in ["\x03", "half\x03", "\x04", "half\x1c"] {
            assert_eq!(typed(stop, 100).1, Key::Stop);
        }
        assert_eq!(typed("half", 100).1, Key::More);
        let (line, did) = typed("four!\n", 4);
        assert!(line.is_too_long() && did == Key::End);
        assert!(line.take::<Passphrase>().matches(b"four"));
    }
}
