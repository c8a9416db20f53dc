//! Leaves secrets out of what curl says (`--verbose` shows each header it sends).

/// What stands in a secret's place.
const LEFT_OUT: &[u8] = b"[left out]";

/// Takes secrets out of a stream that comes in pieces.
pub(super) struct Scrubber {
    secrets: Vec<Vec<u8>>,
    /// The end of what came, which may be the start of a secret.
    held: Vec<u8>,
}

impl Scrubber {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets =
            secrets.into_iter().filter(|secret| !secret.is_empty()).map(String::into_bytes).collect();
        Self { secrets, held: Vec::new() }
    }

    /// What can be shown once this piece came.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let mut shown = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                shown.extend_from_slice(LEFT_OUT);
                at += secret.len();
            } else if self.secrets.iter().any(|secret| secret.starts_with(rest)) {
                break; // what comes next tells
            } else {
                shown.push(rest[0]);
                at += 1;
            }
        }
        self.held.drain(..at);
        shown
    }

    /// What was held back, when nothing more comes. Only the beginning of a secret.
    pub(super) fn end(self) -> Vec<u8> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_left_out_however_the_stream_is_cut() {
        let text = b"> Authorization: DPoP sec.ret.one\r\n> DPoP: sec.ret.two\r\n> se";
        for size in 1..text.len() {
            let mut scrubber = Scrubber::new(["sec.ret.one".into(), "sec.ret.two".into()]);
            let mut shown: Vec<u8> = text.chunks(size).flat_map(|piece| scrubber.take(piece)).collect();
            shown.extend(scrubber.end());
            let shown = String::from_utf8(shown).unwrap();
            let expected = "> Authorization: DPoP [left out]\r\n> DPoP: [left out]\r\n> se";
            assert_eq!(shown, expected, "in pieces of {size}");
        }
    }
}
