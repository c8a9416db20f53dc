//! HTTP/1.1 as far as two of us need it: one question a connection, an answer that ends with it (RFC 9112). Written down
//! here, and without a runtime, as a command that asks for a token starts and ends within a millisecond.

use zeroize::Zeroizing;

/// Room for an answer, taken at once: growing would leave copies behind.
pub(super) const ANSWER_USUAL: usize = 16 * 1024;
/// Room for a short answer, as one with a token of ours is: whoever asks for nothing else need not touch and wipe more.
pub(super) const ANSWER_SHORT: usize = 4 * 1024;
/// An answer at most, in bytes: a few hundred sign-ins, or the largest token there is.
pub(super) const ANSWER_MAX: usize = 1024 * 1024;

/// Writes a question down.
pub(super) fn question(method: &str, path: &str, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: hallpass\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Takes an answer apart: its status and its body. `None` if it is not whole.
pub(super) fn answer(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let said = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    (said == body.len()).then_some((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_cut_short_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(answer(whole), Some((200, &b"hello"[..])));
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len]), None, "{len}");
        }
        assert_eq!(answer(b"HTTP/1.1 2\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(answer(b"nonsense\r\n\r\n"), None);
    }

    #[test]
    fn a_question_says_how_long_it_is() {
        let asked = question("POST", "/v1/token", b"{}");
        let text = std::str::from_utf8(&asked).unwrap();
        assert!(text.starts_with("POST /v1/token HTTP/1.1\r\n") && text.ends_with("\r\n\r\n{}"));
        assert!(text.contains("content-length: 2\r\n"));
    }
}
