//! A way to a host that was not named: straight, or through the person's own proxy.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long it may take to get there.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(20);
/// The head of a proxy's answer at most, in bytes.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// Connects to a host and port.
pub(super) async fn connect(to: &Authority, parent: &Matcher) -> std::io::Result<TcpStream> {
    let uri: Uri = format!("https://{to}/").parse().map_err(Error::other)?;
    let connected = tokio::time::timeout(CONNECT_TIME_OUT, async {
        let Some(proxy) = parent.intercept(&uri) else { return TcpStream::connect(to.as_str()).await };
        if proxy.uri().scheme_str() != Some("http") {
            return Err(Error::other("your own proxy is reached neither straight nor by http"));
        }
        let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']);
        let mut stream = TcpStream::connect((host, proxy.uri().port_u16().unwrap_or(80))).await?;
        let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(own) = proxy.basic_auth() {
            head.extend_from_slice(b"Proxy-Authorization: ");
            head.extend_from_slice(own.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        stream.write_all(&head).await?;
        answered(&mut stream).await?;
        Ok(stream)
    });
    let stream = connected.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Reads the head of a proxy's answer, and not a byte more: what follows is the host's.
async fn answered(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_LEN_MAX {
            return Err(Error::other("your own proxy's answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match status.first() {
        Some(b'2') => Ok(()),
        _ => Err(Error::other(format!("your own proxy answered {}", String::from_utf8_lossy(status)))),
    }
}
