//! HTTP/1.1 by hand, so that an answer can be cut in two, or given twice: what a library would never write.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A request's head at most, in bytes: our own children send it, and a proof and a token fit many times.
const HEAD_LEN_MAX: usize = 64 * 1024;
/// A request's body at most, in bytes.
const BODY_LEN_MAX: usize = 512 * 1024;

/// A request as a child sent it. SECURITY: holds secrets; it is passed on and never shown, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// An answer as the provider gave it. SECURITY: as [`Request`].
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the next request of a connection; none where it was closed between two.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_LEN_MAX {
                return Err(bad("a request's head is too long"));
            }
            // The children's connections are buffered by whoever calls.
            match from.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && head.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let text = String::from_utf8(head).map_err(|_| bad("a request's head is not text"))?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (first.next(), first.next()) else {
            return Err(bad("a request without an address"));
        };
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map(|(_, value)| std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()));
        let length = match length {
            None => 0,
            Some(Some(length)) if length <= BODY_LEN_MAX => length,
            Some(_) => return Err(bad("a request's length makes no sense")),
        };
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        Ok(Some(Self { method: method.to_owned(), target: target.to_owned(), headers, body }))
    }

    /// The value of a field of its form, decoded.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let found = url::form_urlencoded::parse(&self.body).find(|(field, _)| field == name);
        found.map(|(_, value)| value.into_owned())
    }
}

impl Answer {
    /// One of our own, in the provider's stead.
    pub(super) fn instead(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), b"text/html".to_vec())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// Its bytes on the wire.
    pub(super) fn render(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} -\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            if !by_hop(name) {
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Its body, where that is JSON.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Writes and flushes.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Headers that are about one connection, or that we say ourselves (RFC 9110, section 7.6.1).
pub(super) fn by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "keep-alive"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn bad(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_is_read_and_an_answer_says_its_own_length() {
        let bytes = b"POST /token HTTP/1.1\r\nHost: id.example\r\nContent-Length: 26\r\n\r\ngrant_type=refresh%5Ftoken";
        let mut from = &bytes[..];
        let request = Request::read(&mut from).await.unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/token"));
        assert_eq!(request.field("grant_type").as_deref(), Some("refresh_token"));
        assert!(Request::read(&mut from).await.unwrap().is_none());

        let headers =
            vec![("transfer-encoding".into(), b"chunked".to_vec()), ("date".into(), b"now".to_vec())];
        let answer = Answer { status: 200, headers, body: b"{}".to_vec() };
        let text = String::from_utf8(answer.render()).unwrap();
        assert_eq!(text, "HTTP/1.1 200 -\r\ndate: now\r\ncontent-length: 2\r\n\r\n{}");
    }

    #[tokio::test]
    async fn a_request_that_makes_no_sense_is_an_error() {
        for bytes in [&b"GET\r\n\r\n"[..], b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"GET / HT"] {
            let mut from = bytes;
            assert!(Request::read(&mut from).await.is_err());
        }
    }
}
