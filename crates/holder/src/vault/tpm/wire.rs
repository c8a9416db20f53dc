//! How commands and answers are written (TCG "TPM 2.0 Library", part 1, section 18, and part 2): numbers with the high byte
//! first, and byte strings after their length.

/// What is written to a TPM.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(super) fn short(mut self, number: u16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn word(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Bytes after their length (`TPM2B_...`).
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        self.short(bytes.len() as u16).raw(bytes)
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// What a TPM wrote. Each part is `None` where the bytes end too soon.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Bytes after their length (`TPM2B_...`).
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.short()?;
        self.take(len.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_what_is_cut_short_does_not() {
        let bytes = Writer::default().byte(7).short(0x8001).word(0x0102_0304).sized(b"abc").end();
        assert_eq!(bytes, [7, 0x80, 1, 1, 2, 3, 4, 0, 3, b'a', b'b', b'c']);
        let read = |bytes: &[u8]| {
            let mut reader = Reader(bytes);
            let parts = (reader.byte()?, reader.short()?, reader.word()?, reader.sized()?.to_vec());
            Some((parts, reader.0.len()))
        };
        assert_eq!(read(&bytes), Some(((7, 0x8001, 0x0102_0304, b"abc".to_vec()), 0)));
        assert!((0..bytes.len()).all(|len| read(&bytes[..len]).is_none()));
    }
}
