//! A proxy on this machine that notes what goes through it. What is under TLS it passes on unopened, and notes to whom.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

/// A request or an answer at most, in bytes: those with tokens in them are small.
const LEN_MAX: usize = 1024 * 1024;

/// What went through.
#[derive(Default)]
pub(super) struct Traffic {
    /// Requests and answers that were not under TLS.
    pub(super) clear: Vec<Zeroizing<String>>,
    /// To whom it went under TLS.
    pub(super) sealed: BTreeSet<String>,
}

/// A proxy that listens until it is dropped.
pub(super) struct Proxy {
    pub(super) address: String,
    pub(super) traffic: Arc<Mutex<Traffic>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let traffic: Arc<Mutex<Traffic>> = Arc::default();
        let noted = traffic.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                // A connection that fails is the tool's to notice.
                tokio::spawn(async move { pass_on(stream, &noted).await.ok() });
            }
        });
        Ok(Self { address, traffic, listening })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn pass_on(mut from: TcpStream, traffic: &Mutex<Traffic>) -> std::io::Result<()> {
    let request = read_head_and_body(&mut from).await?;
    let head = String::from_utf8_lossy(&request).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method == "CONNECT" {
        traffic.lock().expect("nobody panics holding this").sealed.insert(target.to_owned());
        let mut to = TcpStream::connect(target).await?;
        from.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        tokio::io::copy_bidirectional(&mut from, &mut to).await?;
        return Ok(());
    }
    let Ok(url) = url::Url::parse(target) else { return Ok(()) };
    let host = url.host_str().unwrap_or_default();
    let mut to = TcpStream::connect((host, url.port_or_known_default().unwrap_or(80))).await?;
    // The server is told the path alone, and to end the connection, so that its answer has an end.
    let path = &url[url::Position::BeforePath..];
    let rest = head.split_once("\r\n").map_or("", |(_, rest)| rest);
    let rest: String = rest
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"))
        .collect();
    to.write_all(format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{rest}").as_bytes()).await?;
    let mut answer = Zeroizing::new(Vec::new());
    to.take(LEN_MAX as u64).read_to_end(&mut answer).await?;
    from.write_all(&answer).await?;
    let mut traffic = traffic.lock().expect("nobody panics holding this");
    traffic.clear.push(Zeroizing::new(head));
    traffic.clear.push(Zeroizing::new(String::from_utf8_lossy(&answer).into_owned()));
    Ok(())
}

async fn read_head_and_body(from: &mut TcpStream) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut chunk = [0u8; 8 * 1024];
    loop {
        let len = from.read(&mut chunk).await?;
        bytes.extend_from_slice(&chunk[..len]);
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok(bytes);
            }
        }
        if len == 0 || bytes.len() > LEN_MAX {
            return Ok(bytes);
        }
    }
}
