//! Hearing that a session was cut: the daemon keeps the session's own stream at our issuer open, and when that says that it
//! is over, or a renewal does, nothing of it is kept but the reason.

use std::time::Duration;

use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::{AccessToken, Secret};
use url::Url;

use super::office::Office;
use crate::error::HolderError;
use crate::identity::Identity;
use crate::lock;
use crate::provider::NoAnswer;
use crate::record::Standing;
use crate::refresh::{copy, session_key};

/// The issuer says every 15 seconds that the stream is open: three missed, and it is not.
const QUIET_AT_MOST: Duration = Duration::from_secs(45);
/// A stream that dropped is opened again after this pause, doubling, and up to as much again by chance: an issuer that starts
/// again is not met by everybody at once.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// What is read of one event at most, in bytes: each is a word or two.
const EVENT_MAX: usize = 4 * 1024;

/// How a stream ended.
enum Heard {
    /// The session is over.
    Ended(String),
    /// It dropped.
    Nothing,
    /// This issuer has none.
    NoStream,
}

impl Office {
    /// Listens for the end of a sign-in, unless that is done already.
    pub(super) fn listen(&self, identity: &Identity) {
        if self.state().is_locked() {
            return;
        }
        let mut ears = self.ears();
        ears.retain(|_, ear| !ear.is_finished());
        if !ears.contains_key(identity) {
            let (office, heard) = (self.clone(), identity.clone());
            let ear = tokio::spawn(async move { office.hear(heard).await });
            ears.insert(identity.clone(), ear);
        }
    }

    /// Listens for the end of everything that is here and can be opened.
    pub(super) fn listen_to_all(&self) {
        for identity in self.holder().list().unwrap_or_default() {
            self.listen(&identity);
        }
    }

    /// Listens no more: to this one, or to none.
    pub(super) fn mute(&self, identity: Option<&Identity>) {
        self.ears().retain(|own, ear| {
            let other = identity.is_some_and(|identity| identity != own);
            if !other {
                ear.abort();
            }
            other
        });
    }

    async fn hear(&self, identity: Identity) {
        let holder = self.holder();
        let (mut pause, mut refused) = (PAUSE, None);
        loop {
            match self.hear_once(&identity, &mut refused).await {
                Ok(Heard::Ended(why)) => return self.end(&identity, &why).await,
                Ok(Heard::NoStream) => return,
                Ok(Heard::Nothing) => pause = PAUSE,
                Err(HolderError::SignInEnded { why, .. }) => return self.end(&identity, &why).await,
                Err(
                    HolderError::Unreachable { .. }
                    | HolderError::Locked { .. }
                    | HolderError::Unexpected { .. },
                ) => {}
                // It is not here any more, or cannot be opened: whoever opens it listens again.
                Err(_) => return,
            }
            let by_chance = pause.mul_f64(chance());
            tokio::time::sleep(pause + by_chance).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if holder.shelf.header(&identity).ok().flatten().is_none() {
                return;
            }
        }
    }

    async fn hear_once(
        &self,
        identity: &Identity,
        refused: &mut Option<Secret<AccessToken>>,
    ) -> Result<Heard, HolderError> {
        let holder = self.holder();
        let record = holder.standing(identity)?.record;
        // An API key opens no session, and so has no stream of one.
        if !record.ours || record.api_key.is_some() {
            return Ok(Heard::NoStream);
        }
        let loaded = holder.fresh(identity, refused.take().as_ref()).await?;
        let (Some(key), Some(access)) = (session_key(&loaded)?, &loaded.record.access) else {
            return Ok(Heard::NoStream);
        };
        holder.recall_nonce(&loaded.record);
        let issuer = loaded.record.metadata.issuer.trim_end_matches('/');
        let Ok(url) = format!("{issuer}/session").parse::<Url>() else { return Ok(Heard::NoStream) };
        match holder.provider.listen(&url, &access.token, &key, QUIET_AT_MOST).await {
            Ok(response) => Ok(read(response).await),
            // The session may be fine though the token is not; if it is over, renewing says so.
            Err(NoAnswer::Refused { .. }) => {
                *refused = Some(copy(&access.token));
                Err(HolderError::Unexpected { place: identity.issuer.clone(), what: "a refusal".into() })
            }
            Err(NoAnswer::Unexpected { .. }) => Ok(Heard::NoStream),
            Err(none) => Err(none.into_error(&url, &identity.issuer)),
        }
    }

    /// Keeps the reason, and nothing else.
    async fn end(&self, identity: &Identity, why: &str) {
        let holder = self.holder();
        let renewing = lock::renewing(identity, &holder.locks).await;
        let now = (holder.clock)();
        let outcome = match holder.shelf.find(identity) {
            Ok(Some(mut loaded)) => {
                let rung = loaded.header.key.rung();
                loaded.record.give_up(Standing::Ended { why: why.to_owned() });
                let written = holder.shelf.save(&mut loaded, now).map(|_| ());
                // Under a key of its own: what was written with the old one is noise then, wherever copies of it are.
                match holder.shelf.replace(identity, rung, loaded.record, now) {
                    Ok(_) => Ok(()),
                    Err(_) => written,
                }
            }
            other => other.map(|_| ()),
        };
        if outcome.is_err() {
            let _ = holder.shelf.wipe(identity);
        }
        drop(renewing);
        self.forget_all();
    }
}

/// Reads the events of a stream.
async fn read(mut response: reqwest::Response) -> Heard {
    let mut event = Vec::new();
    loop {
        let Ok(Ok(Some(chunk))) = tokio::time::timeout(QUIET_AT_MOST, response.chunk()).await else {
            return Heard::Nothing;
        };
        event.extend_from_slice(&chunk);
        while let Some(end) = event.windows(2).position(|two| two == b"\n\n") {
            if let Some(why) = ended(&event[..end]) {
                return Heard::Ended(why);
            }
            event.drain(..end + 2);
        }
        if event.len() > EVENT_MAX {
            return Heard::Nothing;
        }
    }
}

/// The reason, if the event says that the session is over.
fn ended(event: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Said {
        why: String,
    }
    let text = std::str::from_utf8(event).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("event:") != Some("ended") {
        return None;
    }
    let said = field("data:").and_then(|data| serde_json::from_str::<Said>(data).ok());
    let why = said.map_or_else(
        || "the issuer ended it".to_owned(),
        |said| format!("the issuer ended it: {}", said.why),
    );
    Some(hallpass_model::purpose::plain(&why, 200))
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut byte = [0u8; 1];
    SystemEntropy.fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_event_that_says_so_ends_a_session() {
        assert_eq!(
            ended(b"event: ended\ndata: {\"why\":\"operator\"}").unwrap(),
            "the issuer ended it: operator"
        );
        assert_eq!(ended(b"event: ended").unwrap(), "the issuer ended it");
        for other in [&b"event: open\ndata: {}"[..], b": still open", b"", b"data: {\"why\":\"x\"}", b"\xff"]
        {
            assert!(ended(other).is_none());
        }
    }
}
