//! A browser on this machine, sent back to a port here (RFC 8252), with PKCE (RFC 7636).
//!
//! 1. Listen on a port of the loopback literal that the system chooses.
//! 2. Send the browser to the provider with a `state`, a code challenge, and, for an ID token, a nonce.
//! 3. Take one answer whose `state` is ours and whose `iss` is the issuer (RFC 9207). Everything else that knocks is
//!    turned away and changes nothing.
//! 4. Trade the code for tokens. The browser waits, and is told how it went.

use std::process::{Command, Stdio};

use hallpass_model::jose::base64url;
use hallpass_model::lifetimes::AUTHORIZE_REQUEST;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{AuthorizationCode, Secret};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::{ErrorCode, OAuthErrorBody};
use hallpass_model::wire::oauth::{Form, GrantType};
use hallpass_model::wire::pkce::{CodeChallenge, METHOD, code_verifier};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{Cancelled, Granted, Login, LoginEvent, OnEvent};
use crate::error::HolderError;
use crate::provider::{Fields, needed, refused};

mod listener;

pub(super) use listener::WaitingPage;

/// How often the person is told how long is left.
const TICK: std::time::Duration = std::time::Duration::from_secs(1);

/// What opens addresses here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// The desktop's own.
    Desktop,
    /// A program and its arguments, as `BROWSER` has it; `%s` stands for the address, which is otherwise appended. It is
    /// given no terminal, so it may not be one that draws in it.
    Program(String),
    /// None: the person opens it.
    Nobody,
}

/// What the answer must agree with.
pub(super) struct Expected<'a> {
    pub(super) state: &'a str,
    pub(super) issuer: &'a str,
    pub(super) issuer_is_named: bool,
    pub(super) path: &'a str,
}

/// An answer that is ours.
pub(super) enum Answered {
    Code(Secret<AuthorizationCode>),
    Error(OAuthErrorBody),
}

impl Login<'_> {
    /// Sends a browser and waits for it to come back.
    pub(super) async fn by_browser(
        &self,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<Granted, HolderError> {
        let url = &self.metadata.authorization_endpoint;
        let url = needed(url, self.metadata, "does not offer sign-in by a browser here")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        // The literal, never `localhost`, which may lead elsewhere (RFC 8252, section 8.3).
        let redirect_uri = format!("http://127.0.0.1:{port}{}", self.preset.redirect_path);

        let (state, verifier) = (unguessable(), code_verifier(&SystemEntropy));
        let nonce = self.scopes.has("openid").then(unguessable);
        let mut fields = self
            .client
            .id_in(self.asked())
            .with("response_type", "code")
            .with("redirect_uri", redirect_uri.as_str())
            .with("state", state.as_str())
            .with("code_challenge", CodeChallenge::of(&verifier).to_string())
            .with("code_challenge_method", METHOD)
            .with_some("nonce", nonce.as_deref());
        for (name, value) in self.preset.authorize_extra {
            fields = fields.with(name, *value);
        }
        let mut address = url.clone();
        let own = address.query().map(|query| format!("{query}&")).unwrap_or_default();
        address.set_query(Some(&format!("{own}{}", fields.query())));
        let opened = open(&self.request.opener, address.as_str());
        on_event(LoginEvent::Address { address: address.as_str(), opened });

        let expected = Expected {
            state: &state,
            issuer: &self.metadata.issuer,
            issuer_is_named: self.metadata.authorization_response_iss_parameter_supported,
            path: self.preset.redirect_path,
        };
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
        let form = Fields::new()
            .with("grant_type", GrantType::AuthorizationCode.text())
            .with_secret("code", &code)
            .with("redirect_uri", redirect_uri)
            .with_secret("code_verifier", &verifier);
        let form = self.client.proven_in(self.redeemed_for(form), self.metadata);
        let mut redeeming = std::pin::pin!(self.provider.token(self.metadata, &form, self.with()));
        let redeemed = tokio::select! {
            redeemed = &mut redeeming => redeemed,
            () = cancelled.as_mut() => {
                tokio::join!(page.answer(false), self.give_back_what_comes(redeeming));
                return Err(HolderError::Cancelled);
            }
        };
        match redeemed {
            Ok(tokens) => Ok(Granted { tokens, nonce, page: Some(page) }),
            Err(none) => {
                page.answer(false).await;
                let place = self.metadata.token_endpoint.as_ref().unwrap_or(url);
                Err(none.into_error(place, &self.metadata.issuer))
            }
        }
    }
}

impl Expected<'_> {
    /// Judges the query of a redirect. `None` if it is not an answer to our request at all.
    pub(super) fn judge(&self, query: &str) -> Option<Result<Answered, HolderError>> {
        let form = Form::parse(query.as_bytes()).ok()?;
        // SECURITY: before anything is sent or shown. Compared whole, in constant time, though it is used once.
        let state = Secret::<AuthorizationCode>::from_text(form.find("state")?.to_owned());
        if !state.matches(self.state.as_bytes()) {
            return None;
        }
        let not_believed = |why: &str| Some(Err(HolderError::NotBelieved { why: why.to_owned() }));
        match form.find("iss") {
            Some(issuer) if issuer != self.issuer => {
                return not_believed("it names another issuer");
            }
            None if self.issuer_is_named => {
                return not_believed("it does not name the issuer, though this issuer always does");
            }
            _ => {}
        }
        match (form.find("code"), form.find("error")) {
            (Some(code), None) => Some(Ok(Answered::Code(Secret::from_text(code.to_owned())))),
            (None, Some(error)) => {
                let told = form.find("error_description").unwrap_or_default();
                let mut body = OAuthErrorBody::new(ErrorCode::parse(error), told);
                if told.is_empty() {
                    body.error_description = None;
                }
                Some(Ok(Answered::Error(body)))
            }
            _ => not_believed("it has neither a code nor an error"),
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

fn unguessable() -> String {
    let mut bytes = [0u8; 32];
    SystemEntropy.fill(&mut bytes);
    base64url::render(bytes)
}

fn no_port(error: std::io::Error) -> HolderError {
    HolderError::Unsupported {
        what: format!(
            "no port could be opened for the browser to come back to ({error}): try `--flow device`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { state: "s1", issuer: "https://id.example", issuer_is_named: true, path: "/callback" };

    #[test]
    fn only_an_answer_with_our_state_counts() {
        for query in ["", "code=c", "code=c&state=s2", "code=c&state=s", "code=c&state=s1&state=s1", "%zz"] {
            assert!(EXPECTED.judge(query).is_none(), "{query}");
        }
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        let good = "code=c&state=s1&iss=https%3A%2F%2Fid.example";
        assert!(matches!(EXPECTED.judge(good), Some(Ok(Answered::Code(_)))));
        for query in
            ["code=c&state=s1", "code=c&state=s1&iss=https%3A%2F%2Fid.example%2F", "code=c&state=s1&iss=x"]
        {
            assert!(matches!(EXPECTED.judge(query), Some(Err(HolderError::NotBelieved { .. }))), "{query}");
        }
        let silent = Expected { issuer_is_named: false, ..EXPECTED };
        assert!(matches!(silent.judge("code=c&state=s1"), Some(Ok(_))));
        assert!(matches!(silent.judge("code=c&state=s1&iss=x"), Some(Err(_))));
    }

    #[test]
    fn an_error_is_an_answer_too() {
        let query = "error=access_denied&state=s1&iss=https%3A%2F%2Fid.example&error_description=no";
        assert!(
            matches!(EXPECTED.judge(query), Some(Ok(Answered::Error(body))) if body.error == ErrorCode::AccessDenied)
        );
        let both = "error=x&code=c&state=s1&iss=https%3A%2F%2Fid.example";
        assert!(matches!(EXPECTED.judge(both), Some(Err(_))));
    }
}
