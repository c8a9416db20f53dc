//! The device flow (RFC 8628): a code typed into a browser anywhere.
//!
//! 1. Ask for the codes, naming the machine and the purpose, and the key the tokens are to be bound to.
//! 2. Show the code and where to type it.
//! 3. Poll until there is an answer, at the pace the provider sets; with ours, let it hold the poll open instead, so
//!    that an approval is known at once.
//!
//! Stopping tells our issuer, which ends the codes, or the session they became. With others, a poll that is on its way is
//! waited for, and what it brings is given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hallpass_model::lifetimes::{DEVICE_POLL_HOLD, DEVICE_POLL_INTERVAL};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{DeviceAuthorization, GrantType, TokenResponse};
use tokio::time::Instant;

use super::{Cancelled, Granted, Login, LoginEvent, NotGranted, OnEvent};
use crate::error::HolderError;
use crate::provider::{Fields, NoAnswer, With, needed, refused};

/// How long saying that we stop may take: the person is waiting for their prompt.
const GOODBYE: Duration = Duration::from_secs(2);
/// The longest pause between two polls, however often the connection fails.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the person is told how long is left.
const TICK: Duration = Duration::from_secs(1);

impl Login<'_> {
    /// Asks for codes, shows them, and waits.
    pub(super) async fn by_device(
        &self,
        on_event: OnEvent<'_>,
        mut cancelled: Cancelled<'_>,
    ) -> Result<Granted, NotGranted> {
        let url = &self.metadata.device_authorization_endpoint;
        let url = needed(url, self.metadata, "does not offer sign-in by a code on another device")?;
        let form = self.client.proven_in(self.asked(), self.metadata);
        // A session that is to be raised is shown with a proof of its key; else the codes are bound by `dpop_jkt` in the form.
        let with = if self.raises.is_some() { self.with() } else { With { key: None, ..self.with() } };
        let answer = tokio::select! {
            answer = self.provider.post(url, &form, with) => answer,
            () = cancelled.as_mut() => return Err(HolderError::Cancelled.into()),
        };
        let answer = answer.map_err(|none| self.no_codes(none, url))?;
        let codes = DeviceAuthorization::parse(&answer.body).map_err(|_| HolderError::Unexpected {
            place: url.to_string(),
            what: "something that is not a device authorization".into(),
        })?;
        on_event(LoginEvent::Code {
            code: &hallpass_model::purpose::plain(codes.user_code.expose_text(), 40),
            address: &web_address(&codes.verification_uri, url)?,
            complete: match &codes.verification_uri_complete {
                Some(complete) => Some(web_address(complete.expose_text(), url)?),
                None => None,
            }
            .as_deref(),
            lasts: codes.expires_in,
        });
        let over = Instant::now() + codes.expires_in.to_std();
        let mut tick = tokio::time::interval(TICK);
        let polls = Polls::default();
        let mut polling = std::pin::pin!(self.poll(&codes, over, &polls));
        loop {
            tokio::select! {
                tokens = &mut polling => {
                    return Ok(Granted { tokens: tokens?, nonce: None, page: None });
                }
                _ = tick.tick() => {
                    let left = over.saturating_duration_since(Instant::now());
                    let left = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
                    on_event(LoginEvent::Waiting { left: Lifetime::millis(left) });
                }
                () = cancelled.as_mut() => {
                    polls.stop.store(true, Ordering::Relaxed);
                    match &self.bound {
                        // Ours ends the codes even while it holds a poll open for them.
                        Some(_) => self.give_up(&codes).await,
                        None if polls.asking.load(Ordering::Relaxed) => self.give_back_what_comes(polling).await,
                        None => {}
                    }
                    return Err(HolderError::Cancelled.into());
                }
            }
        }
    }

    /// What it means that there are no codes. RFC 8628, section 3.2, leaves the words to the provider, and those of a tenant
    /// that forbids this flow, a client that is not set up for it, and an endpoint that is not there differ widely.
    fn no_codes(&self, none: NoAnswer, url: &url::Url) -> NotGranted {
        use ErrorCode as E;
        let issuer = &self.metadata.issuer;
        match none {
            NoAnswer::Refused { body, .. }
                if matches!(
                    body.error,
                    E::UnauthorizedClient
                        | E::AccessDenied
                        | E::InvalidGrant
                        | E::InvalidClient
                        | E::UnsupportedGrantType
                        | E::Unknown(_)
                ) =>
            {
                // Nobody was asked yet, so nobody said no: it is a rule.
                let (issuer, code, told) = (issuer.clone(), body.error, body.error_description);
                NotGranted::NoCodes(HolderError::Refused { issuer, code, told })
            }
            none @ NoAnswer::Unexpected { .. } => NotGranted::NoCodes(none.into_error(url, issuer)),
            none => NotGranted::Failed(none.into_error(url, issuer)),
        }
    }

    /// Step 3.
    async fn poll(
        &self,
        codes: &DeviceAuthorization,
        over: Instant,
        polls: &Polls,
    ) -> Result<TokenResponse, NotGranted> {
        let issuer = &self.metadata.issuer;
        let form = Fields::new()
            .with("grant_type", GrantType::DeviceCode.text())
            .with_secret("device_code", &codes.device_code);
        let form = self.client.proven_in(self.redeemed_for(form), self.metadata);
        let mut pace = Pace::new(codes.interval);
        let hold = self.bound.is_some().then_some(DEVICE_POLL_HOLD);
        if hold.is_none() {
            // Nobody approves faster than they type; the first poll need not come at once.
            wait(pace.pause(), over).await?;
        }
        loop {
            let started = Instant::now();
            let with = With { hold, ..self.with() };
            polls.asking.store(true, Ordering::Relaxed);
            let answer = self.provider.token(self.metadata, &form, with).await;
            polls.asking.store(false, Ordering::Relaxed);
            match answer {
                Ok(tokens) => return Ok(tokens),
                Err(_) if polls.stop.load(Ordering::Relaxed) => return Err(HolderError::Cancelled.into()),
                Err(NoAnswer::Refused { body, held }) => match body.error {
                    ErrorCode::AuthorizationPending => pace.pending(held),
                    ErrorCode::SlowDown => pace.slow_down(),
                    // Whatever the person answers, this client gets nothing by this grant.
                    ErrorCode::UnauthorizedClient | ErrorCode::UnsupportedGrantType => {
                        return Err(NotGranted::NoCodes(refused(issuer, body)));
                    }
                    _ => return Err(refused(issuer, body).into()),
                },
                // RFC 8628, section 3.5: on a time-out, poll less often from now on.
                Err(NoAnswer::Unreachable { .. }) => pace.failed(),
                Err(NoAnswer::Unexpected { what }) => {
                    return Err(HolderError::Unexpected { place: issuer.clone(), what }.into());
                }
                Err(NoAnswer::NotSent { why }) => return Err(HolderError::Usage { what: why }.into()),
            }
            wait(pace.pause().saturating_sub(pace.counts(started)), over).await?;
        }
    }

    /// Tells the issuer that nobody waits any more. Best effort, and brief.
    async fn give_up(&self, codes: &DeviceAuthorization) {
        if let Some(url) = &self.metadata.revocation_endpoint {
            let form =
                Fields::new().with_secret("token", &codes.device_code).with("token_type_hint", "device_code");
            let form = self.client.proven_in(form, self.metadata);
            let with = self.client.with(self.metadata);
            let _ = tokio::time::timeout(GOODBYE, self.provider.post(url, &form, with)).await;
        }
    }
}

/// How the polls stand, for whoever wants to stop.
#[derive(Default)]
struct Polls {
    /// One is on its way, and may open a session.
    asking: AtomicBool,
    /// There is to be no other.
    stop: AtomicBool,
}

/// An address to show, from the provider. SECURITY: a web address and nothing else: it goes into a QR code.
fn web_address(text: &str, from: &url::Url) -> Result<String, HolderError> {
    let bad = || HolderError::Unexpected {
        place: from.to_string(),
        what: "an address for the code that is not a web address".into(),
    };
    let url = url::Url::parse(text).map_err(|_| bad())?;
    let same_scheme = url.scheme() == "https" || (url.scheme() == "http" && from.scheme() == "http");
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if same_scheme && plain { Ok(text.to_owned()) } else { Err(bad()) }
}

/// Waits, but not past the end of the codes.
async fn wait(pause: Duration, over: Instant) -> Result<(), HolderError> {
    if Instant::now() + pause >= over {
        tokio::time::sleep_until(over).await;
        return Err(HolderError::TimedOut);
    }
    tokio::time::sleep(pause).await;
    Ok(())
}

/// How often to poll (RFC 8628, section 3.5).
#[derive(Debug)]
struct Pace {
    interval: Duration,
    failures: u32,
    held: bool,
}

impl Pace {
    fn new(interval: Lifetime) -> Self {
        Self { interval: interval.to_std(), failures: 0, held: false }
    }

    /// Nobody has answered yet. A poll that was held back has waited long enough in itself.
    fn pending(&mut self, held: bool) {
        self.failures = 0;
        self.held = held;
    }

    /// Five seconds more, for this poll and all later ones.
    fn slow_down(&mut self) {
        self.failures = 0;
        self.held = false;
        self.interval += DEVICE_POLL_INTERVAL.to_std();
    }

    /// No answer: twice as long each time.
    fn failed(&mut self) {
        self.failures += 1;
        self.held = false;
    }

    /// How long to wait before the next poll.
    fn pause(&self) -> Duration {
        (self.interval * 2u32.saturating_pow(self.failures.min(10))).min(PAUSE_MAX.max(self.interval))
    }

    /// How much of that a held poll has waited already.
    fn counts(&self, started: Instant) -> Duration {
        if self.held { started.elapsed() } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_down_adds_five_seconds_for_good() {
        let mut pace = Pace::new(Lifetime::seconds(5));
        assert_eq!(pace.pause(), Duration::from_secs(5));
        pace.slow_down();
        pace.pending(false);
        assert_eq!(pace.pause(), Duration::from_secs(10));
        pace.slow_down();
        assert_eq!(pace.pause(), Duration::from_secs(15));
    }

    #[test]
    fn time_outs_double_the_pause_until_there_is_an_answer() {
        let mut pace = Pace::new(Lifetime::seconds(5));
        let pauses: Vec<u64> = (0..5)
            .map(|_| {
                pace.failed();
                pace.pause().as_secs()
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 60, 60]);
        pace.pending(false);
        assert_eq!(pace.pause(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_that_was_held_back_counts_as_waiting() {
        let mut pace = Pace::new(Lifetime::seconds(5));
        let started = Instant::now();
        tokio::time::advance(Duration::from_secs(25)).await;
        pace.pending(true);
        assert_eq!(pace.pause().saturating_sub(pace.counts(started)), Duration::ZERO);
        pace.pending(false);
        assert_eq!(pace.pause().saturating_sub(pace.counts(started)), Duration::from_secs(5));
    }

    #[test]
    fn only_a_web_address_is_shown() {
        let from: url::Url = "https://id.example/device".parse().unwrap();
        assert!(web_address("https://id.example/device?code=ABC", &from).is_ok());
        for bad in [
            "http://id.example/",
            "javascript:alert(1)",
            "https://id.example/\u{1b}[2J",
            "device",
            "file:///x",
        ] {
            assert!(web_address(bad, &from).is_err(), "{bad}");
        }
    }
}
