//! Takes tokens out of what streams by.
//!
//! A token is found as it is, in base64 (both alphabets, wherever in the encoded text it begins), URL-escaped, and with
//! the escaped slashes of some JSON writers; also where its letters are broken into lines, as `base64` does (RFC 2045,
//! section 6.8). It may come in pieces of any size.
//!
//! 1. What cannot be the beginning of one of these words goes on at once.
//! 2. What may be is held back, for as long as [`Scrubber::patience`] says: whoever types sees each letter, and a token
//!    that was written in two pieces is still found.
//! 3. What was let go because the time was up is remembered: if the word is completed after all, its rest is taken out.
//!
//! SECURITY: this helps against accidents: an API that repeats what it was sent, a program that prints its settings.
//! Whoever wants a token to get through writes it backwards.

use std::sync::Arc;
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

/// A word shorter than this, in bytes, is no secret, and would be found everywhere.
const WORD_LEN_MIN: usize = 8;
/// So much of a word is a coincidence, as in every text: held back for no longer than nobody notices.
const COINCIDENCE_LEN: usize = 8;
const PATIENCE_WITH_COINCIDENCE: Duration = Duration::from_millis(20);
/// More than that is a token on its way: the rest is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The words that are taken out. Wiped when dropped.
pub(crate) struct Words {
    words: Vec<Zeroizing<Vec<u8>>>,
    /// Which bytes a word begins with.
    begins: Box<[bool; 256]>,
}

/// What stands in a word's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// As many stars: what was said about the length stays true.
    Stars,
    /// For people to read.
    Label,
}

const LABEL: &[u8] = b"[token]";
/// A line break within a word at most, in bytes: CR and LF. More is a paragraph, and a text that ends so is not held back.
const BREAK_LEN_MAX: usize = 2;

/// Takes words out of one stream.
pub(super) struct Scrubber {
    mask: Mask,
    /// What may be the beginning of a word.
    held: Zeroizing<Vec<u8>>,
    /// How much of that was let go already.
    shown: usize,
}

impl Words {
    /// All forms of these secrets.
    pub(crate) fn of<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut words: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in secrets.filter(|secret| secret.len() >= WORD_LEN_MIN) {
            for form in forms(secret) {
                if form.len() >= WORD_LEN_MIN && !words.contains(&form) {
                    words.push(form);
                }
            }
        }
        // The longest first: of two that begin alike, the one that takes more is meant.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let mut begins = Box::new([false; 256]);
        for word in &words {
            begins[usize::from(word[0])] = true;
        }
        Self { words, begins }
    }

    /// What a text that begins with a word's first letter begins with: the longest word that is there as a whole.
    fn at(&self, text: &[u8]) -> At {
        let mut found = At::NoWord;
        for word in &self.words {
            match begins_with(text, word) {
                At::NoWord => {}
                At::Half => found = At::Half,
                whole @ At::Whole(_) => return whole,
            }
        }
        found
    }

    /// The same text without the words, all at once.
    pub(crate) fn taken_out_of(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut scrubber = Scrubber::new(Mask::Stars);
        let mut out = Vec::with_capacity(text.len());
        scrubber.push(self, text, &mut out);
        scrubber.finish(&mut out);
        (out != text).then_some(out)
    }
}

/// What there is of words at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// None.
    NoWord,
    /// The text ends before one does.
    Half,
    /// One, which takes so many bytes.
    Whole(usize),
}

/// How much of a word a text begins with. Line breaks within it are passed over.
fn begins_with(text: &[u8], word: &[u8]) -> At {
    let mut at = 0;
    for (number, letter) in word.iter().enumerate() {
        if number > 0 {
            at += text[at..].iter().take(BREAK_LEN_MAX).take_while(|byte| is_break(**byte)).count();
        }
        match text.get(at) {
            None => return At::Half,
            Some(byte) if byte == letter => at += 1,
            Some(_) => return At::NoWord,
        }
    }
    At::Whole(at)
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl Scrubber {
    pub(super) fn new(mask: Mask) -> Self {
        Self { mask, held: Zeroizing::default(), shown: 0 }
    }

    /// Takes a piece in, and writes what can go on.
    pub(super) fn push(&mut self, words: &Words, piece: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() && !piece.iter().any(|byte| words.begins[usize::from(*byte)]) {
            out.extend_from_slice(piece);
            return;
        }
        self.held.extend_from_slice(piece);
        let text = std::mem::take(&mut *self.held);
        let mut shown = std::mem::take(&mut self.shown);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let next = rest.iter().position(|byte| words.begins[usize::from(*byte)]).unwrap_or(rest.len());
            if next > 0 {
                out.extend_from_slice(&rest[shown.min(next)..next]);
                shown = shown.saturating_sub(next);
                at += next;
                continue;
            }
            let passed = match words.at(rest) {
                At::Whole(len) => {
                    match self.mask {
                        Mask::Stars => out.extend(rest[shown.min(len)..len].iter().map(|byte| star(*byte))),
                        Mask::Label => out.extend_from_slice(LABEL),
                    }
                    len
                }
                At::Half => {
                    self.held.extend_from_slice(rest);
                    self.shown = shown;
                    break;
                }
                At::NoWord => {
                    out.extend_from_slice(&rest[shown.min(1)..1]);
                    1
                }
            };
            shown = shown.saturating_sub(passed);
            at += passed;
        }
        Zeroizing::new(text);
    }

    /// How long what is held back is held back at most, if anything is.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.held.len() {
            len if len <= self.shown => None,
            1..=COINCIDENCE_LEN => Some(PATIENCE_WITH_COINCIDENCE),
            _ => Some(PATIENCE),
        }
    }

    /// The time is up: lets go of what is held back, and remembers it.
    pub(super) fn let_go(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.held[self.shown..]);
        self.shown = self.held.len();
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.let_go(out);
        self.held.zeroize();
        self.shown = 0;
    }
}

/// What stands in a letter's place. Lines stay lines.
fn star(byte: u8) -> u8 {
    if is_break(byte) { byte } else { b'*' }
}

/// Words that change while streams go by.
pub(super) type Current = Arc<dyn Fn() -> Arc<Words> + Send + Sync>;

/// All forms of one secret.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(secret.to_vec())];
    for alphabet in [STANDARD, URL_SAFE] {
        forms.extend((0..3).map(|offset| inside_base64(secret, offset, alphabet)));
    }
    forms.extend([false, true].map(|upper| url_escaped(secret, upper)));
    let mut slashes = Zeroizing::new(Vec::with_capacity(secret.len() * 2));
    for byte in secret {
        if *byte == b'/' {
            slashes.push(b'\\');
        }
        slashes.push(*byte);
    }
    forms.push(slashes);
    forms
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What of a secret's base64 does not depend on what stands around it, where it begins at this offset of a group of three
/// bytes.
fn inside_base64(secret: &[u8], offset: usize, alphabet: &[u8; 64]) -> Zeroizing<Vec<u8>> {
    let bits = |index: usize| {
        // The sextet at `index`, of a stream in which `offset` zero bytes come before the secret.
        (0..6).fold(0usize, |sextet, bit| {
            let at = index * 6 + bit;
            let byte = (at / 8).checked_sub(offset).and_then(|at| secret.get(at)).copied().unwrap_or(0);
            sextet << 1 | usize::from(byte >> (7 - at % 8) & 1)
        })
    };
    let first = (offset * 8).div_ceil(6);
    let end = (offset + secret.len()) * 8 / 6;
    Zeroizing::new((first..end).map(|index| alphabet[bits(index)]).collect())
}

fn url_escaped(secret: &[u8], upper: bool) -> Zeroizing<Vec<u8>> {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut escaped = Zeroizing::new(Vec::with_capacity(secret.len() * 3));
    for byte in secret {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(*byte),
            other => escaped.extend([b'%', digits[usize::from(other >> 4)], digits[usize::from(other & 15)]]),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
