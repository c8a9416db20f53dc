//! Reads along between the holder and the issuer, so that a test knows every secret that was handed over.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was said on every connection, both ways.
#[derive(Clone, Default)]
pub(super) struct Tap {
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A port to connect to, held until it is used.
pub(super) struct Port(TcpListener);

impl Port {
    pub(super) async fn open() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port is bound"))
    }

    pub(super) fn number(&self) -> u16 {
        self.0.local_addr().expect("a bound socket has an address").port()
    }
}

impl Tap {
    /// Passes everything on from `port` to the server at `to`.
    pub(super) fn open(port: Port, to: u16) -> Self {
        let tap = Self::default();
        let heard = tap.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = port.0.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(heard.clone().pass(near_in, far_out));
                tokio::spawn(heard.clone().pass(far_in, near_out));
            }
        });
        tap
    }

    async fn pass(self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
        let stream = {
            let mut heard = self.heard.lock().expect("nobody panics here");
            heard.push(Vec::new());
            heard.len() - 1
        };
        let mut buffer = [0u8; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            self.heard.lock().expect("nobody panics here")[stream].extend_from_slice(&buffer[..len]);
            if to.write_all(&buffer[..len]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }

    /// Every value that a JSON member of this name had.
    pub(super) fn members(&self, name: &str) -> Vec<String> {
        let start = format!("\"{name}\":\"");
        let heard = self.heard.lock().expect("nobody panics here");
        let texts = heard.iter().map(|stream| String::from_utf8_lossy(stream).into_owned());
        texts.flat_map(|text| all_between(&text, &start, '"')).collect()
    }

    /// Every value that a form's field of this name had.
    pub(super) fn fields(&self, name: &str) -> Vec<String> {
        let heard = self.heard.lock().expect("nobody panics here");
        let forms = heard.iter().flat_map(|stream| bodies(stream));
        let pairs = forms.flat_map(|form| url::form_urlencoded::parse(form).into_owned().collect::<Vec<_>>());
        pairs.filter(|(field, _)| field == name).map(|(_, value)| value).collect()
    }

    /// Every JSON answer that has a member of this name, whole.
    pub(super) fn answers_with(&self, name: &str) -> Vec<Vec<u8>> {
        let member = format!("\"{name}\":");
        let heard = self.heard.lock().expect("nobody panics here");
        let all = heard.iter().flat_map(|stream| bodies(stream));
        all.filter(|body| String::from_utf8_lossy(body).contains(&member)).map(<[u8]>::to_vec).collect()
    }
}

/// The bodies of the messages of a connection, one way, as their heads give their length (RFC 9112, section 6.2).
fn bodies(stream: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = stream;
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let (head, after) = rest.split_at(end + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let length =
            all_between(&head, "content-length: ", '\r').pop().and_then(|length| length.parse().ok());
        let (body, next) = after.split_at(length.unwrap_or(0).min(after.len()));
        found.push(body);
        rest = next;
    }
    found
}

fn all_between(text: &str, start: &str, end: char) -> Vec<String> {
    let after = text.split(start).skip(1);
    after.filter_map(|rest| rest.split(end).next()).map(str::to_owned).collect()
}
