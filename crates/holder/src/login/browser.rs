//! A browser on this machine, sent back to a port here (RFC 8252), with PKCE (RFC 7636).
//!
//! 1. Listen on a port of the loopback literal that the system chooses.
//! 2. Send the browser to the provider with a `state`, a code challenge, and, for an ID token, a nonce.
//! 3. Take one answer whose `state` is ours and whose `iss` is the issuer (RFC 9207). Everything else that knocks is
//!    turned away and changes nothing.
//! 4. Trade the code for tokens. The browser waits, and is told how it went.

use std::process::{Command, Stdio};

use hallpass_model::lifetimes::AUTHORIZE_REQUEST;
use hallpass_model::time::Lifetime;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::code::Answered;
use super::{Cancelled, Granted, Login, LoginEvent, OnEvent};
use crate::error::HolderError;
use crate::provider::refused;

mod listener;

pub(super) use listener::WaitingPage;

/// How often the person is told how long is left.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);

/// What opens addresses here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opener {
    /// The desktop's own.
    Desktop,
    /// A program and its arguments, as `BROWSER` has it; `%s` stands for the address, which is otherwise appended. It is
    /// given no terminal, so it may not be one that draws in it.
    Program(String),
    /// None: the person opens it.
    Nobody,
}

impl Login<'_> {
    /// Sends a browser and waits for it to come back.
    pub(super) async fn by_browser(
        &self,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<Granted, HolderError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let asked = self.code_request(port).await?;
        let opened = open(&self.request.opener, asked.address.as_str());
        on_event(LoginEvent::Address { address: asked.address.as_str(), opened });

        let expected = self.expected_of(&asked);
        let over = Instant::now() + AUTHORIZE_REQUEST.to_std();
        let mut tick = tokio::time::interval(TICK);
        let mut answer = std::pin::pin!(listener::wait(listener, &expected));
        let (answered, page) = loop {
            tokio::select! {
                answered = &mut answer => break answered?,
                _ = tick.tick() => {
                    let left = over.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(HolderError::TimedOut);
                    }
                    let left = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
                    on_event(LoginEvent::Waiting { left: Lifetime::millis(left) });
                }
                () = cancelled.as_mut() => return Err(HolderError::Cancelled),
            }
        };
        let code = match answered {
            Answered::Code(code) => code,
            Answered::Error(body) => {
                page.answer(false).await;
                return Err(refused(&self.metadata.issuer, body));
            }
        };
        match self.redeem(&asked, &code, cancelled).await {
            Ok(tokens) => Ok(Granted { tokens, nonce: asked.nonce.clone(), page: Some(page) }),
            Err(error) => {
                page.answer(false).await;
                Err(error)
            }
        }
    }
}

/// Opens an address. False if the person must do it.
fn open(opener: &Opener, address: &str) -> bool {
    match opener {
        Opener::Nobody => false,
        Opener::Desktop => {
            let options = webbrowser::BrowserOptions::new().with_suppress_output(true).clone();
            webbrowser::open_browser_with_options(webbrowser::Browser::Default, address, &options).is_ok()
        }
        Opener::Program(line) => {
            let mut words = line.split_ascii_whitespace();
            let Some(program) = words.next() else {
                return false;
            };
            let mut command = Command::new(program);
            let mut placed = false;
            for word in words {
                placed |= word.contains("%s");
                command.arg(word.replace("%s", address));
            }
            if !placed {
                command.arg(address);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().is_ok()
        }
    }
}

fn no_port(error: std::io::Error) -> HolderError {
    HolderError::Unsupported {
        what: format!(
            "no port could be opened for the browser to come back to ({error}): try `--flow device` or `--flow paste`"
        ),
    }
}
