//! A browser anywhere, whose last address is pasted here: where it can reach no port here, and no code can be had.
//!
//! 1. Show the address of the request. Its answer goes to a port of the loopback literal on which nothing listens.
//! 2. The person signs in. Their browser cannot load the last page, and shows its address, with the answer in it.
//! 3. Take the pasted line that is this address and whose `state` is ours and whose `iss` is the issuer (RFC 9207). With
//!    every other it is said what is wrong with it, and another is asked for, a few times.
//! 4. Trade the code for tokens.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use hallpass_model::lifetimes::AUTHORIZE_REQUEST;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{AuthorizationCode, Secret};
use tokio::time::Instant;

use super::code::{Answered, CodeRequest, Expected};
use super::{Cancelled, Granted, Login, LoginEvent, OnEvent};
use crate::error::HolderError;
use crate::provider::refused;

/// A pasted line at most, in bytes: some providers' codes have a few thousand, and nobody copies more by hand.
pub const PASTED_LEN_MAX: usize = 32 * 1024;
/// So many lines are asked for: whoever has not found the address by then reads on elsewhere.
const LINES_MAX: u32 = 5;
/// Ports that nothing is registered at, so that hardly anything listens where the browser runs (RFC 6335, section 6).
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A pasted line under way. `None` where nobody pastes any more.
pub type PastedLine = Pin<Box<dyn Future<Output = io::Result<Option<Secret<AuthorizationCode>>>> + Send>>;

/// Brings the next line that the person pastes, which is as secret as the code in it: it should not be shown, and is in no
/// log. Dropped where nobody waits for it any more.
#[derive(Clone)]
pub struct AskPasted(Arc<dyn Fn() -> PastedLine + Send + Sync>);

impl AskPasted {
    /// Asks by this. An `Interrupted` error is a person who would rather stop.
    pub fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Option<Secret<AuthorizationCode>>>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(ask())))
    }
}

impl fmt::Debug for AskPasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<asks for a pasted line>")
    }
}

/// Why a pasted line is not the answer to a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTheAnswer {
    /// It is empty.
    #[error("nothing was pasted")]
    Empty,
    /// It is longer than [`PASTED_LEN_MAX`].
    #[error("it is too long to be an address")]
    TooLong,
    /// It has white space within.
    #[error("it has spaces or line breaks in it: copy the address as one line")]
    Broken,
    /// It is no address.
    #[error("it is not an address: copy all of it, not the code alone")]
    NoAddress,
    /// It is a page of the provider's.
    #[error("it is a page of the provider: go on there, until a page cannot be loaded")]
    NotYet,
    /// It is some other address.
    #[error("it is another address than that of the page that could not be loaded")]
    Elsewhere,
    /// It is the answer to another request, or not all of one.
    #[error("it is not the answer to this sign-in: it is of another one, or was cut or changed")]
    Another,
}

impl Login<'_> {
    /// Shows an address, and waits for the one where that ends.
    pub(super) async fn by_paste(
        &self,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<Granted, HolderError> {
        let ask = self.request.ask_pasted.as_ref().ok_or(HolderError::NobodyThere)?;
        let asked = self.code_request(some_port()).await?;
        on_event(LoginEvent::ToPaste {
            address: asked.address.as_str(),
            ends_at: &asked.redirect_uri,
            lasts: AUTHORIZE_REQUEST,
        });
        let over = Instant::now() + AUTHORIZE_REQUEST.to_std();
        for left in (0..LINES_MAX).rev() {
            let line = tokio::select! {
                line = (ask.0)() => line,
                () = tokio::time::sleep_until(over) => return Err(HolderError::TimedOut),
                () = cancelled.as_mut() => return Err(HolderError::Cancelled),
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => return Err(HolderError::Cancelled),
                Err(stopped) if stopped.kind() == io::ErrorKind::Interrupted => {
                    return Err(HolderError::Cancelled);
                }
                Err(source) => {
                    return Err(HolderError::Run { doing: "cannot read what is pasted", source });
                }
            };
            match judge(&line, &asked, &self.expected_of(&asked)) {
                Ok(answered) => {
                    drop(line);
                    let code = match answered? {
                        Answered::Code(code) => code,
                        Answered::Error(body) => return Err(refused(&self.metadata.issuer, body)),
                    };
                    let tokens = self.redeem(&asked, &code, cancelled).await?;
                    return Ok(Granted { tokens, nonce: asked.nonce, page: None });
                }
                Err(why) => on_event(LoginEvent::NotTheAnswer { why, left }),
            }
        }
        Err(HolderError::NoAnswerPasted)
    }
}

/// Judges a line. SECURITY: nothing in it is copied but into what is wiped.
fn judge(
    line: &Secret<AuthorizationCode>,
    asked: &CodeRequest,
    expected: &Expected<'_>,
) -> Result<Result<Answered, HolderError>, NotTheAnswer> {
    if line.expose().len() > PASTED_LEN_MAX {
        return Err(NotTheAnswer::TooLong);
    }
    let text = std::str::from_utf8(line.expose()).map_err(|_| NotTheAnswer::NoAddress)?.trim();
    if text.is_empty() {
        return Err(NotTheAnswer::Empty);
    }
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(NotTheAnswer::Broken);
    }
    // Browsers leave the scheme out of what they show, and some of what is copied by hand.
    let without_scheme = |address| str::strip_prefix(address, "http://").unwrap_or(address);
    let (pasted, ours) = (without_scheme(text), without_scheme(&asked.redirect_uri));
    let query = pasted.strip_prefix(ours).and_then(|rest| rest.strip_prefix('?'));
    if let Some(query) = query {
        let query = query.split('#').next().unwrap_or_default();
        return expected.judge(query).ok_or(NotTheAnswer::Another);
    }
    let provider = asked.address.origin().ascii_serialization();
    Err(
        if text.strip_prefix(&*provider).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) {
            NotTheAnswer::NotYet
        } else if pasted.starts_with("127.0.0.1:") {
            NotTheAnswer::Another
        } else if text.contains("://") {
            NotTheAnswer::Elsewhere
        } else {
            NotTheAnswer::NoAddress
        },
    )
}

fn some_port() -> u16 {
    let mut bytes = [0u8; 2];
    SystemEntropy.fill(&mut bytes);
    DYNAMIC_PORTS.start() | u16::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> Result<Result<(), HolderError>, NotTheAnswer> {
        let asked = CodeRequest::for_tests(
            "https://id.example/authorize?client_id=c",
            "http://127.0.0.1:50000/callback",
            "s1",
        );
        let expected =
            Expected { state: "s1", issuer: "https://id.example", issuer_is_named: true, path: "/callback" };
        let judged = judge(&Secret::from_text(line.into()), &asked, &expected);
        judged.map(|answered| answered.map(|_| ()))
    }

    #[test]
    fn a_pasted_line_is_the_whole_address_of_this_very_answer_or_it_is_said_what_it_is() {
        use NotTheAnswer::*;
        let good = "127.0.0.1:50000/callback?code=c&state=s1&iss=https%3A%2F%2Fid.example";
        for line in [good.to_owned(), format!("http://{good}"), format!("  http://{good}#_=_ \t")] {
            assert!(matches!(judged(&line), Ok(Ok(()))), "{line}");
        }
        let long = format!("http://{good}&x={}", "x".repeat(PASTED_LEN_MAX));
        for (line, why) in [
            ("", Empty),
            (" \t ", Empty),
            (&*long, TooLong),
            (&*good.replace("&state", "\n&state"), Broken),
            (&*good.replace("&state", " &state"), Broken),
            ("SplxlOBeZQQYbYS6WxSbIA", NoAddress),
            ("code=SplxlOBeZQQYbYS6WxSbIA", NoAddress),
            ("https://id.example/consent?x=1", NotYet),
            ("https://id.example", NotYet),
            ("https://id.example.evil.example/", Elsewhere),
            ("https://app.example/callback?code=c&state=s1", Elsewhere),
            ("http://127.0.0.1:50000/callback", Another),
            ("http://127.0.0.1:50001/callback?code=c&state=s1", Another),
            ("http://127.0.0.1:50000/callback/x?code=c&state=s1", Another),
            ("http://127.0.0.1:50000/callback?code=c&state=s2", Another),
            ("http://127.0.0.1:50000/callback?code=c", Another),
            ("http://127.0.0.1:50000/callback?code=c&state=s1&code=d", Another),
        ] {
            assert_eq!(judged(line).map(|_| ()), Err(why), "{line}");
        }
    }

    #[test]
    fn a_pasted_answer_of_another_issuer_is_not_believed() {
        for iss in ["", "&iss=https%3A%2F%2Fevil.example"] {
            let line = format!("http://127.0.0.1:50000/callback?code=c&state=s1{iss}");
            assert!(matches!(judged(&line), Ok(Err(HolderError::NotBelieved { .. }))), "{line}");
        }
    }

    #[test]
    fn the_port_is_one_that_nothing_is_registered_at() {
        assert!((0..1_000).all(|_| DYNAMIC_PORTS.contains(&some_port())));
    }
}
