//! D-Bus messages (D-Bus Specification, "Message Protocol"): as much of them as asking for a secret takes.
//!
//! Written little-endian; read in either order, as each message says its own. What is read may hold a secret, so it
//! stands in memory that is wiped.

use zeroize::Zeroizing;

/// A message at most, in bytes. The longest one asked for is a list of a few object paths; the specification allows
/// 128 MiB, which nobody who answers us has a reason to send.
pub(super) const MESSAGE_LEN_MAX: usize = 256 * 1024;
/// Endianness, type, flags, version, length of the body, serial, length of the header fields.
pub(super) const FIXED_LEN: usize = 16;

/// The types of messages that matter here.
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// The header fields, by their numbers.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// What a method is called with.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
    pub(super) body: Writer,
}

impl Call<'_> {
    /// The message, with this serial.
    pub(super) fn render(self, serial: u32) -> Zeroizing<Vec<u8>> {
        let mut message = Writer::default();
        for byte in [b'l', METHOD_CALL, 0, 1] {
            message.byte(byte);
        }
        message.u32(self.body.bytes.len() as u32);
        message.u32(serial);
        message.array(8, |fields| {
            for (code, kind, text) in [
                (PATH, "o", self.path),
                (INTERFACE, "s", self.interface),
                (MEMBER, "s", self.member),
                (DESTINATION, "s", self.destination),
            ] {
                fields.align(8);
                fields.byte(code);
                fields.signature(kind);
                fields.text(text);
            }
            if !self.signature.is_empty() {
                fields.align(8);
                fields.byte(SIGNATURE);
                fields.signature("g");
                fields.signature(self.signature);
            }
        });
        message.align(8);
        message.bytes.extend_from_slice(&self.body.bytes);
        message.bytes
    }
}

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    /// The answer.
    Return(Reader),
    /// The name of an error, such as `org.freedesktop.Secret.Error.IsLocked`. Its words are not read: they are for
    /// programmers.
    Error(String),
}

/// Writes values down.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    pub(super) fn bool(&mut self, yes: bool) {
        self.u32(u32::from(yes));
    }

    /// A string or an object path.
    pub(super) fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.byte(0);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.byte(text.len() as u8);
        self.bytes.extend_from_slice(text.as_bytes());
        self.byte(0);
    }

    /// An array of bytes.
    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
    }

    /// An array, or a dictionary, of elements that are aligned so.
    pub(super) fn array(&mut self, element: usize, write: impl FnOnce(&mut Self)) {
        self.u32(0);
        let len_at = self.bytes.len() - 4;
        // The padding before the first element does not count.
        self.align(element);
        let start = self.bytes.len();
        write(self);
        let len = (self.bytes.len() - start) as u32;
        self.bytes[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// A dictionary of texts by texts.
    pub(super) fn texts(&mut self, pairs: &[(&str, &str)]) {
        self.array(8, |dictionary| {
            for (key, value) in pairs {
                dictionary.align(8);
                dictionary.text(key);
                dictionary.text(value);
            }
        });
    }

    pub(super) fn align(&mut self, to: usize) {
        let padded = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(padded, 0);
    }
}

/// Reads values. `None` where the bytes do not hold what is asked for.
pub(super) struct Reader {
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
    big_endian: bool,
}

/// How long a message is in all, from its first [`FIXED_LEN`] bytes. `None` if it is none, or too long.
pub(super) fn message_len(fixed: &[u8; FIXED_LEN]) -> Option<usize> {
    let mut reader = Reader::new(Zeroizing::new(fixed.to_vec()))?;
    reader.at = 4;
    let body = reader.u32()? as usize;
    reader.at = 12;
    let fields = reader.u32()? as usize;
    let len = FIXED_LEN.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (len <= MESSAGE_LEN_MAX).then_some(len)
}

/// Reads a whole message: the serial it answers, and what it says. `Ok(None)` for what answers nothing.
pub(super) fn parse(message: Zeroizing<Vec<u8>>) -> Result<Option<(u32, Reply)>, Malformed> {
    let mut reader = Reader::new(message).ok_or(Malformed)?;
    reader.at = 1;
    let kind = reader.byte().ok_or(Malformed)?;
    reader.at = 12;
    let (mut answers, mut error) = (None, String::new());
    let end = reader.array(8).ok_or(Malformed)?;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte().ok_or(Malformed)?;
        let value = reader.signature().ok_or(Malformed)?;
        match (code, value.as_str()) {
            (REPLY_SERIAL, "u") => answers = Some(reader.u32().ok_or(Malformed)?),
            (ERROR_NAME, "s") => error = reader.text().ok_or(Malformed)?,
            (_, "s" | "o") => _ = reader.text().ok_or(Malformed)?,
            (_, "g") => _ = reader.signature().ok_or(Malformed)?,
            (_, "u") => _ = reader.u32().ok_or(Malformed)?,
            _ => return Err(Malformed),
        }
    }
    reader.align(8);
    Ok(match (kind, answers) {
        (METHOD_RETURN, Some(serial)) => Some((serial, Reply::Return(reader))),
        (ERROR, Some(serial)) => Some((serial, Reply::Error(error))),
        _ => None,
    })
}

/// It is no message.
#[derive(Debug)]
pub(super) struct Malformed;

impl Reader {
    fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let big_endian = match bytes.first()? {
            b'l' => false,
            b'B' => true,
            _ => return None,
        };
        Some(Self { bytes, at: 0, big_endian })
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let big = self.big_endian;
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// A string or an object path.
    pub(super) fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        let text = String::from_utf8(self.take(len)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// The signature of a variant, or one as a value.
    pub(super) fn signature(&mut self) -> Option<String> {
        let len = usize::from(self.byte()?);
        let text = String::from_utf8(self.take(len)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// An array of bytes.
    pub(super) fn blob(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let len = self.u32()? as usize;
        self.take(len).map(|bytes| Zeroizing::new(bytes.to_vec()))
    }

    /// An array of object paths.
    pub(super) fn paths(&mut self) -> Option<Vec<String>> {
        let end = self.array(4)?;
        let mut paths = Vec::new();
        while self.at < end {
            paths.push(self.text()?);
        }
        Some(paths)
    }

    /// Goes past the padding before a structure.
    pub(super) fn structure(&mut self) {
        self.align(8);
    }

    /// Where the array that begins here ends.
    fn array(&mut self, element: usize) -> Option<usize> {
        let len = self.u32()? as usize;
        self.align(element);
        let end = self.at.checked_add(len)?;
        (end <= self.bytes.len()).then_some(end)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} bytes of an answer>", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to the call of this serial, as a service would write it.
    fn answer(serial: u32, write: impl FnOnce(&mut Writer)) -> Zeroizing<Vec<u8>> {
        let mut body = Writer::default();
        write(&mut body);
        let mut message = Writer::default();
        for byte in [b'l', METHOD_RETURN, 1, 1] {
            message.byte(byte);
        }
        message.u32(body.bytes.len() as u32);
        message.u32(7);
        message.array(8, |fields| {
            fields.byte(REPLY_SERIAL);
            fields.signature("u");
            fields.u32(serial);
        });
        message.align(8);
        message.bytes.extend_from_slice(&body.bytes);
        message.bytes
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_has_it() {
        let mut body = Writer::default();
        body.text("default");
        let call =
            Call { destination: "a.b", path: "/a", interface: "a.b", member: "M", signature: "s", body };
        let message = call.render(2);
        assert_eq!(&message[..16], b"l\x01\0\x01\x0c\0\0\0\x02\0\0\0\x47\0\0\0");
        assert_eq!(&message[16..27], b"\x01\x01o\0\x02\0\0\0/a\0");
        assert_eq!(message_len(message[..16].try_into().unwrap()), Some(message.len()));
        assert_eq!(&message[message.len() - 12..], b"\x07\0\0\0default\0");
    }

    #[test]
    fn an_answer_reads_back_and_what_was_cut_short_does_not() {
        let whole = answer(3, |body| {
            body.array(4, |paths| {
                paths.text("/one");
                paths.text("/two");
            });
            body.align(8);
            body.text("/session");
            body.blob(b"");
            body.blob(&[7; 32]);
            body.text("text/plain");
        });
        let Some((3, Reply::Return(mut reader))) = parse(whole.clone()).unwrap() else { panic!("no answer") };
        assert_eq!(reader.paths().unwrap(), ["/one", "/two"]);
        reader.structure();
        assert_eq!(reader.text().unwrap(), "/session");
        assert!(reader.blob().unwrap().is_empty());
        assert_eq!(reader.blob().unwrap().as_slice(), [7; 32]);
        for len in 0..whole.len() {
            let Ok(Some((_, Reply::Return(mut reader)))) = parse(Zeroizing::new(whole[..len].to_vec()))
            else {
                continue;
            };
            let all = (|| {
                reader.paths()?;
                reader.structure();
                reader.text()?;
                reader.blob()?;
                reader.blob()?;
                reader.text()
            })();
            assert!(all.is_none(), "cut to {len}");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_no_message() {
        let mut fixed = [0u8; FIXED_LEN];
        fixed[0] = b'l';
        assert_eq!(message_len(&fixed), Some(FIXED_LEN));
        fixed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(message_len(&fixed), None);
        fixed[0] = b'x';
        assert_eq!(message_len(&fixed), None);
    }

    #[test]
    fn both_byte_orders_are_read() {
        let mut reader = Reader::new(Zeroizing::new(vec![b'B', 0, 0, 0, 0, 0, 0, 5])).unwrap();
        reader.at = 4;
        assert_eq!(reader.u32(), Some(5));
    }
}
