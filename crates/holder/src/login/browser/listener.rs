//! The port the browser comes back to: one answer, read strictly, then closed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::error::HolderError;
use crate::login::code::{Answered, Expected};

/// A request's head at most, in bytes: a code and a state, and a browser's headers.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// How long a connection may take to say what it wants. Browsers open some that never do.
const HEAD_TIME_OUT: Duration = Duration::from_secs(10);
/// Connections at once: a browser opens a few; nobody else has business here.
const CONNECTIONS_MAX: usize = 16;
/// How long telling the browser may take.
const ANSWER_TIME_OUT: Duration = Duration::from_secs(2);

/// The browser, waiting to be told how it went.
pub(in crate::login) struct WaitingPage {
    stream: TcpStream,
}

impl WaitingPage {
    /// Tells it.
    pub(in crate::login) async fn answer(self, signed_in: bool) {
        let (title, text) = match signed_in {
            true => ("You are signed in", "You can close this page and go back to the terminal."),
            false => ("You are not signed in", "The terminal says why. You can close this page."),
        };
        respond(self.stream, "200 OK", &page(title, text)).await;
    }
}

/// Waits for the one answer that is ours.
pub(super) async fn wait(
    listener: TcpListener,
    expected: &Expected<'_>,
) -> Result<(Answered, WaitingPage), HolderError> {
    let host = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let (found, mut requests) = mpsc::channel(CONNECTIONS_MAX);
    let mut reading = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if reading.len() < CONNECTIONS_MAX => {
                if let Ok((stream, _)) = accepted {
                    let found = found.clone();
                    reading.spawn(async move {
                        let read = tokio::time::timeout(HEAD_TIME_OUT, read_head(stream)).await;
                        if let Ok(Some(request)) = read {
                            // Nobody listens any more once there is an answer.
                            let _ = found.send(request).await;
                        }
                    });
                }
            }
            Some(_) = reading.join_next(), if !reading.is_empty() => {}
            Some((head, stream)) = requests.recv() => {
                match judge(&head, &host, expected) {
                    Knock::Answer(answered) => {
                        let page = WaitingPage { stream };
                        return match *answered {
                            Ok(answered) => Ok((answered, page)),
                            Err(error) => {
                                page.answer(false).await;
                                Err(error)
                            }
                        };
                    }
                    Knock::Other(status) => {
                        tokio::spawn(async move { respond(stream, status, &page("Nothing here", "")).await });
                    }
                }
            }
        }
    }
}

enum Knock {
    Answer(Box<Result<Answered, HolderError>>),
    Other(&'static str),
}

fn judge(head: &str, host: &str, expected: &Expected<'_>) -> Knock {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // SECURITY: a page elsewhere whose name was made to resolve here has another Host (DNS rebinding).
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    if hosts != [host] {
        return Knock::Other("421 Misdirected Request");
    }
    if method != "GET" {
        return Knock::Other("405 Method Not Allowed");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != expected.path {
        return Knock::Other("404 Not Found");
    }
    match expected.judge(query) {
        Some(answered) => Knock::Answer(Box::new(answered)),
        None => Knock::Other("400 Bad Request"),
    }
}

async fn read_head(mut stream: TcpStream) -> Option<(String, TcpStream)> {
    let mut head = Vec::with_capacity(2 * 1024);
    let mut chunk = [0u8; 2 * 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(&chunk[..read]);
        if head.len() > HEAD_LEN_MAX {
            return None;
        }
    }
    Some((String::from_utf8(head).ok()?, stream))
}

async fn respond(mut stream: TcpStream, status: &'static str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.shutdown().await;
    };
    // A browser that went away is not told.
    let _ = tokio::time::timeout(ANSWER_TIME_OUT, told).await;
}

/// A page without style or script, so that its policy can forbid everything.
fn page(title: &str, text: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected<'static> {
        Expected { state: "s1", issuer: "https://id.example", issuer_is_named: false, path: "/callback" }
    }

    async fn knock(address: std::net::SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn strangers_are_turned_away_and_the_one_answer_is_taken() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = tokio::spawn(async move { wait(listener, &expected()).await });
        let _silent = TcpStream::connect(address).await.unwrap();
        let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let here = address.to_string();
        for (head, status) in [
            (get("/callback?code=theirs&state=wrong", &here), "400"),
            (get("/callback?code=theirs&state=s1", "evil.example"), "421"),
            (get("/favicon.ico", &here), "404"),
            (format!("POST /callback?code=theirs&state=s1 HTTP/1.1\r\nHost: {here}\r\n\r\n"), "405"),
        ] {
            assert!(knock(address, &head).await.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        }
        assert!(!waiting.is_finished());
        let browser =
            tokio::spawn(async move { knock(address, &get("/callback?code=ours&state=s1", &here)).await });
        let (answered, page) = waiting.await.unwrap().unwrap();
        assert!(matches!(answered, Answered::Code(code) if code.matches(b"ours")));
        page.answer(true).await;
        let seen = browser.await.unwrap();
        assert!(seen.contains("You are signed in") && seen.contains("default-src 'none'"));
        assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    }
}
