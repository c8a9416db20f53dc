//! One keep-alive HTTP/1.1 connection, with as little work as a load may have: a real client would take from the server the
//! processor that is being measured. It knows only what both sides send: a status, headers, and a body of a stated length.

use std::io::{Read, Write};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// A connection, and what every request on it says first.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// An answer: its status and its body.
#[derive(Debug)]
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    pub(crate) body: &'c [u8],
}

impl Connection {
    /// Connects to `address`, to send form posts that begin with `head` (request line and headers, but for the length).
    pub(crate) async fn open(address: &str, head: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, head: head.to_owned(), request: Vec::new(), answer: Vec::with_capacity(4096) })
    }

    /// Sends one form and reads the whole answer.
    pub(crate) async fn post(&mut self, form: &str, value: &str) -> Result<Answer<'_>, Failure> {
        self.request.clear();
        self.request.extend_from_slice(self.head.as_bytes());
        let length = form.len() + value.len();
        self.request.extend_from_slice(format!("Content-Length: {length}\r\n\r\n{form}{value}").as_bytes());
        self.stream.write_all(&self.request).await?;

        self.answer.clear();
        let (status, start, end) = loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(framed) = frame(&self.answer)? {
                break framed;
            }
        };
        Ok(Answer { status, body: &self.answer[start..end] })
    }
}

/// Sends one form on a connection of its own: status and body.
pub(crate) fn form_once(address: &str, head: &str, form: &str) -> Result<(u16, Vec<u8>), Failure> {
    exchange(address, &format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{form}", form.len()))
}

/// Asks one thing on a connection of its own, and waits for it: status and body.
pub(crate) fn ask_once(address: &str, method: &str, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    exchange(address, &request)
}

fn exchange(address: &str, request: &str) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let (status, start, end) = frame(&answer)?.ok_or("an answer cut short")?;
    Ok((status, answer[start..end].to_vec()))
}

/// Status, and where the body begins and ends, once all of it is there.
fn frame(answer: &[u8]) -> Result<Option<(u16, usize, usize)>, Failure> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    let status = text.get(9..12).and_then(|code| code.parse().ok()).ok_or("no status line")?;
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or("an answer without a length")?;
    let (start, end) = (head + 4, head + 4 + length);
    Ok((answer.len() >= end).then_some((status, start, end)))
}

/// The text of a member of a JSON object, without reading the rest; for members that hold no escapes, as tokens do not.
pub(crate) fn member<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, after) = text.split_once(&format!("\"{name}\":"))?;
    after.trim_start().strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_only_with_all_of_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert!(frame(&answer[..20]).unwrap().is_none());
        assert!(frame(&answer[..answer.len() - 1]).unwrap().is_none());
        assert_eq!(frame(answer).unwrap(), Some((200, 38, 43)));
        assert!(frame(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn a_member_is_found_with_or_without_a_space() {
        let body = br#"{"access_token":"a","refresh_token": "hpr_x","n":1}"#;
        assert_eq!(member(body, "refresh_token"), Some("hpr_x"));
        assert_eq!(member(body, "access_token"), Some("a"));
        assert_eq!(member(body, "n"), None);
    }
}
