//! What came of asking: judged, written down, saved. What cannot be kept is given back.

use std::time::Duration;

use hallpass_model::lifetimes::AUTHORIZE_REQUEST;
use hallpass_model::secret::Secret;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::id_token::{self, ExpectedLogin, IdClaims};
use hallpass_model::wire::oauth::{TokenResponse, TokenType};

use super::{Cancelled, Flow, Granted, Login, LoginEvent, OnEvent, SignedIn};
use crate::Holder;
use crate::error::HolderError;
use crate::owed::OfKey;
use crate::pins::Pins;
use crate::profile;
use crate::provider::{With, fits};
use crate::record::{AccessHeld, Expiry, Record, Standing};
use crate::refresh::copy;
use crate::shelf::{Identity, Loaded};
use crate::vault::Rung;

impl Holder {
    /// Step 3: whether there is an earlier sign-in that can be opened. A passphrase of its own is asked for now, not once
    /// somebody has approved the new one; and that it will stay alive is said while the person can still stop.
    pub(super) fn may_replace(
        &self,
        identity: &Identity,
        rung: Rung,
        on_event: OnEvent<'_>,
    ) -> Result<bool, HolderError> {
        match self.shelf.find_replaced(identity, rung) {
            Ok(earlier) => Ok(earlier.is_some()),
            Err(HolderError::Cancelled) => Err(HolderError::Cancelled),
            Err(why) => {
                on_event(LoginEvent::Note(&format!(
                    "the earlier sign-in cannot be opened, so it will not be revoked: end it on the issuer's own pages \
                     ({why})"
                )));
                Ok(false)
            }
        }
    }
}

impl Login<'_> {
    /// Steps 5 to 7.
    pub(super) async fn settle(
        &self,
        granted: Granted,
        flow: Flow,
        on_event: OnEvent<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<SignedIn, HolderError> {
        let shelf = &self.holder.shelf;
        let earlier = match self.replaces {
            true => shelf.find_replaced(self.identity, self.rung).ok().flatten(),
            false => None,
        };
        let looked_at = async {
            let claims = self.judge(&granted, on_event).await?;
            let (person, account) = self.person(&granted.tokens, claims.as_ref()).await;
            let id = claims.as_ref().zip(granted.tokens.id_token.as_ref());
            let pins = Pins::of(id, account, &granted.tokens.access_token);
            self.expected(earlier.as_ref(), &pins)?;
            Ok((pins, person))
        };
        // The last moment to stop: from here on it is saved, and a sign-in that is saved is one.
        let looked_at = tokio::select! {
            looked_at = looked_at => looked_at,
            () = cancelled => Err(HolderError::Cancelled),
        };
        let (pins, person) = match looked_at {
            Ok(looked_at) => looked_at,
            Err(error) => {
                let given_back = self.holder.give_back(self.metadata, self.client, &granted.tokens).await;
                return Err(error.after_giving_back(given_back));
            }
        };
        let now = (self.holder.clock)();
        let record = self.record(granted.tokens, pins, person, flow, now);
        for note in notes(&record) {
            on_event(LoginEvent::Note(note));
        }
        self.keep(record, earlier, on_event).await
    }

    /// Steps 6 and 7: saved durably, in the place of what was there.
    pub(super) async fn keep(
        &self,
        record: Record,
        earlier: Option<Loaded>,
        on_event: OnEvent<'_>,
    ) -> Result<SignedIn, HolderError> {
        let (shelf, now) = (&self.holder.shelf, (self.holder.clock)());
        let kept = match self.rung {
            Rung::Daemon => self.holder.deposit(self.identity, record).await,
            rung => shelf.replace(self.identity, rung, record, now).map(|saved| saved.record),
        };
        let record = match kept {
            Ok(record) => record,
            Err((error, record)) => {
                self.holder.give_back_record(&record, self.client).await;
                return Err(error);
            }
        };
        self.only_one(on_event).await;
        self.holder.report_copies(self.identity, &record).await;
        // The old session would otherwise live on where nobody can see or end it.
        if let Some(earlier) = earlier
            && let Err(why) = self.holder.give_up_replaced(&earlier).await
        {
            on_event(LoginEvent::Note(&format!("the earlier sign-in could not be revoked: {why}")));
        }
        if self.rung != Rung::Memory
            && let Err(why) = self.holder.pin_profile(self.identity, &record, &self.request.endpoints)
        {
            on_event(LoginEvent::Note(&format!(
                "what the profile is pinned to could not be written down: {why}"
            )));
        }
        Ok(signed_in(self.identity, self.rung, &record))
    }

    /// There is one sign-in of an identity, wherever it rests: what the new one does not stand in the place of is given
    /// up, and the daemon, if one runs, looks again.
    async fn only_one(&self, on_event: OnEvent<'_>) {
        let holder = self.holder;
        let given_up = match self.rung {
            Rung::Memory => return,
            Rung::Daemon => holder.shelf.wipe(self.identity).map(|_| ()),
            _ => match holder
                .daemon_logout(self.identity, OfKey::LivesOn)
                .await
                .and_then(|receipt| receipt.not_wiped)
            {
                Some(why) => Err(HolderError::NoDaemon { why }),
                None => Ok(()),
            },
        };
        if let Err(why) = given_up {
            on_event(LoginEvent::Note(&format!("the earlier sign-in could not be wiped ({why})")));
        }
        holder.daemon_forgets(self.identity);
    }

    /// Waits a little for the answer to a request that opens a session there, and gives back what it brings: a request
    /// that is dropped instead leaves a session that nobody holds and nobody ends.
    pub(super) async fn give_back_what_comes<E>(
        &self,
        answer: impl Future<Output = Result<TokenResponse, E>>,
    ) {
        if let Ok(Ok(tokens)) = tokio::time::timeout(LAST_ANSWER, answer).await {
            let _ = self.holder.give_back(self.metadata, self.client, &tokens).await;
        }
    }

    /// Step 5: whether what came may be believed.
    pub(super) async fn judge(
        &self,
        granted: &Granted,
        on_event: OnEvent<'_>,
    ) -> Result<Option<IdClaims>, HolderError> {
        let not_believed = |why: String| HolderError::NotBelieved { why };
        let tokens = &granted.tokens;
        fits(tokens)?;
        let expected_type = if self.bound.is_some() { TokenType::Dpop } else { TokenType::Bearer };
        if tokens.token_type != expected_type {
            return Err(not_believed(format!(
                "its token is of type `{}`, not `{}`",
                hallpass_model::purpose::plain(tokens.token_type.text(), 40),
                expected_type.text()
            )));
        }
        let Some(id_token) = &tokens.id_token else {
            if self.scopes.has("openid") {
                on_event(LoginEvent::Note("the provider gave no ID token, so it does not say who signed in"));
            }
            return Ok(None);
        };
        if !self.scopes.has("openid") {
            return Ok(None); // nobody asked for it, and nothing here was made to believe it
        }
        let keys = self.provider.keys(self.metadata).await?;
        let expected = ExpectedLogin {
            issuer: &self.metadata.issuer,
            client_id: self.client.id(),
            nonce: granted.nonce.as_deref(),
            // Counted from when the browser was sent, which waits as long as this.
            max_age: self.request.max_age.map(|most| most + AUTHORIZE_REQUEST),
            access_token: Some(tokens.access_token.expose_text()),
        };
        let now = self.holder.server_now(self.metadata);
        id_token::judge(id_token.expose_text(), &keys, &expected, now)
            .map(Some)
            .map_err(|why| not_believed(format!("its ID token: {why}")))
    }

    /// Whether whoever came back is who was meant.
    pub(super) fn expected(&self, earlier: Option<&Loaded>, pins: &Pins) -> Result<(), HolderError> {
        if !self.request.as_new {
            let earlier = earlier.map(|earlier| &earlier.record.pins);
            // The new one takes its place, too, wherever it is to rest itself.
            let held = (self.rung != Rung::Memory).then(|| self.holder.daemon_pins(self.identity)).flatten();
            for earlier in [earlier, held.as_ref()] {
                self.holder.same_person(self.identity, earlier, pins)?;
            }
        }
        match &self.request.org {
            Some(org) => profile::is_of(self.identity, pins, org),
            None => Ok(()),
        }
    }

    /// A name for people, and whom the provider's userinfo is about. Best effort.
    async fn person(
        &self,
        tokens: &TokenResponse,
        claims: Option<&IdClaims>,
    ) -> (Option<String>, Option<String>) {
        let with = With {
            token: Some(&tokens.access_token),
            key: self.bound.as_ref().map(|bound| bound.key),
            ..With::default()
        };
        let said = self.provider.userinfo(self.metadata, with).await;
        // SECURITY: an answer about somebody else is not used (OIDC Core, section 5.3.2).
        let said = said
            .filter(|said| claims.is_none_or(|c| said.get("sub").and_then(|s| s.as_str()) == Some(&c.sub)));
        let name = ["email", "preferred_username", "login", "name"]
            .into_iter()
            .find_map(|member| said.as_ref()?.get(member)?.as_str().map(str::to_owned))
            .or_else(|| claims.map(|claims| claims.sub.clone()));
        // GitHub has a number that stays, where OIDC has a subject.
        let account = said.as_ref().and_then(|said| said.get("sub").or_else(|| said.get("id")));
        let account = account.map(|account| match account {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        (name.map(|name| hallpass_model::purpose::plain(&name, 100)), account)
    }

    fn record(
        &self,
        tokens: TokenResponse,
        pins: Pins,
        person: Option<String>,
        flow: Flow,
        now: Timestamp,
    ) -> Record {
        let granted = tokens.scope.clone();
        let refresh = tokens.refresh_token.as_ref().filter(|_| !self.request.brief).map(copy);
        Record {
            metadata: self.metadata.clone(),
            ours: self.bound.is_some(),
            client_secret: self.client.secret().map(|secret| Secret::new(secret.expose().to_vec())),
            pins,
            person,
            key: self.bound.as_ref().map(|bound| bound.key.render()),
            access: Some(AccessHeld::of(
                &tokens,
                refresh.is_some(),
                now,
                self.holder.server_now(self.metadata),
            )),
            refresh,
            api_key: None,
            passes: Vec::new(),
            roles: Vec::new(),
            scope: granted.unwrap_or_else(|| self.scopes.clone()),
            resources: self.request.resources.clone(),
            purpose: self.request.purpose.as_ref().map(ToString::to_string),
            device_class: self.request.device_class,
            device_rung: self.rung,
            flow,
            signed_in: now,
            renewed: now,
            renewing: None,
            standing: Standing::Good,
            nonce: self.metadata.token_endpoint.as_ref().and_then(|url| self.provider.nonce(url)),
        }
    }
}

/// How long an answer that is on its way is waited for by a person who wants to stop: most take a tenth of a second.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// What this provider does not have, and what that means.
fn notes(record: &Record) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let expires = record.access.as_ref().map_or(Expiry::Unknown, |access| access.expires);
    if record.refresh.is_none() && expires.at().is_some() {
        notes.push("the provider gave no refresh token: when the access token is over, sign in again");
    }
    match expires {
        Expiry::Said(_) => {}
        Expiry::Assumed(_) => notes.push(
            "the provider does not say how long its token lives: it is taken to be ten minutes, and renewed then",
        ),
        Expiry::Unknown => notes.push("the provider does not say how long its token lives: it may be for ever"),
    }
    if !record.ours && record.metadata.revocation_endpoint.is_none() {
        notes.push("the provider has no revocation endpoint: `hallpass logout` can only wipe what is here");
    }
    notes
}

pub(super) fn signed_in(identity: &Identity, rung: Rung, record: &Record) -> SignedIn {
    SignedIn {
        identity: identity.clone(),
        person: record.person.clone(),
        scope: record.scope.clone(),
        resources: record.resources.clone(),
        rung,
        flow: record.flow,
        renewable: record.refresh.is_some() || record.api_key.is_some(),
        bound: record.key.is_some(),
        expires: record.access.as_ref().and_then(|access| access.expires.at()),
        api_key_ends: record.api_key.as_ref().and_then(|held| held.ends),
        raised: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_does_not_have_is_said() {
        let mut record = Record::for_tests("r");
        assert_eq!(notes(&record).len(), 1);
        record.refresh = None;
        record.access.as_mut().unwrap().expires = Expiry::Unknown;
        let notes = notes(&record);
        assert!(notes.len() == 2 && notes[0].contains("for ever"), "{notes:?}");
    }
}
