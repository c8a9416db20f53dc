//! What was true at login, and must stay so: issuer, subject, org, audience.
//!
//! A refresh that mints for the provider's *current default* organisation moves a session to another tenant without a
//! word. So whatever a token says about whom and what it is for is written down at login and compared ever after.

use std::collections::{BTreeMap, BTreeSet};

use hallpass_model::jose::base64url;
use hallpass_model::purpose::plain;
use hallpass_model::secret::{AccessToken, IdToken, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::claims::Audience;
use hallpass_model::wire::id_token::IdClaims;
use serde::{Deserialize, Serialize};

use crate::shelf::Identity;

/// Members by which providers name the tenant in their tokens.
const TENANT_CLAIMS: [&str; 6] = ["org", "org_id", "tid", "tenant", "tenant_id", "hd"];

/// What was true at login. Each is known only if some token said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pins {
    /// Whom the ID token is about, verified.
    pub(crate) subject: Option<String>,
    /// What the ID token says of the tenant, verified. `None` where there was none.
    pub(crate) id: Option<BTreeMap<String, String>>,
    /// Whom the userinfo endpoint speaks of, where there is no ID token: some providers have nothing else.
    pub(crate) account: Option<String>,
    /// What the access token says, where it is a JWT. Read, not verified: it is for the API to judge. It came from
    /// the token endpoint over TLS, and is only ever compared with what came from there before.
    pub(crate) access: BTreeMap<String, String>,
}

/// A difference, and what it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Differs {
    pub(crate) what: &'static str,
    pub(crate) pinned: String,
    pub(crate) came: String,
}

impl Pins {
    /// What these tokens say.
    pub(crate) fn of(
        id: Option<(&IdClaims, &Secret<IdToken>)>,
        account: Option<String>,
        access: &Secret<AccessToken>,
    ) -> Self {
        Self {
            subject: id.map(|(claims, _)| claims.sub.clone()),
            id: id.and_then(|(_, token)| said(token.expose())).map(tenants),
            account: account.filter(|_| id.is_none()),
            access: said(access.expose()).unwrap_or_default(),
        }
    }

    /// Compares whom and which organisation two sign-ins are of, as far as both say. What the tokens are for may differ:
    /// that is what the person asks for each time.
    pub(crate) fn same_person(&self, now: &Pins) -> Result<(), Differs> {
        for (earlier, came) in [(&self.subject, &now.subject), (&self.account, &now.account)] {
            if let (Some(earlier), Some(came)) = (earlier, came) {
                same("the subject", earlier, Some(came))?;
            }
        }
        let empty = BTreeMap::new();
        let ids = (self.id.as_ref().unwrap_or(&empty), now.id.as_ref().unwrap_or(&empty));
        for (earlier, came) in [ids, (&self.access, &now.access)] {
            for (name, earlier) in earlier.iter().filter(|(name, _)| *name != "aud") {
                if let Some(came) = came.get(name) {
                    same(words(name), earlier, Some(came))?;
                }
            }
        }
        Ok(())
    }

    /// The organisations that some token named.
    pub(crate) fn orgs(&self) -> BTreeSet<String> {
        let each = self.id.iter().chain([&self.access]).flatten();
        each.filter(|(name, _)| is_tenant(name)).map(|(_, value)| value.clone()).collect()
    }

    /// Whom it is about, as far as is known.
    pub(crate) fn whom(&self) -> Option<&str> {
        let claimed = || self.access.get("sub");
        self.subject.as_ref().or(self.account.as_ref()).or_else(claimed).map(String::as_str)
    }

    /// Compares what a renewal brought with what was pinned. What a token does not say cannot differ, but a JWT that
    /// used to say something and no longer does, differs.
    pub(crate) fn compare(
        &self,
        identity: &Identity,
        id: Option<&Secret<IdToken>>,
        access: &Secret<AccessToken>,
    ) -> Result<(), Differs> {
        // It came from the token endpoint over TLS, which may stand for its signature (OIDC Core, section 3.1.3.7,
        // point 6); after a refresh these three must be as they were (section 12.2).
        if let Some(now) = id.and_then(|id| said(id.expose())) {
            same("the issuer", &identity.issuer, now.get("iss"))?;
            if let Some(subject) = &self.subject {
                same("the subject", subject, now.get("sub"))?;
            }
            let audience = now.get("aud").map(String::as_str).unwrap_or_default();
            if !audience.split(' ').any(|one| one == identity.client_id) {
                same("the audience", &identity.client_id, now.get("aud"))?;
            }
            if let Some(id) = &self.id {
                all_the_same(id, &tenants(now))?;
            }
        }
        // An opaque token says nothing.
        let Some(now) = said(access.expose()) else {
            return Ok(());
        };
        match self.access.is_empty() {
            true => Ok(()), // so was the first
            false => all_the_same(&self.access, &now),
        }
    }
}

/// Compares all that was said with all that is. A tenant that appears is another tenant than none.
fn all_the_same(pinned: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Result<(), Differs> {
    for (name, pinned) in pinned {
        same(words(name), pinned, now.get(name))?;
    }
    match now.iter().find(|(name, _)| is_tenant(name) && !pinned.contains_key(*name)) {
        Some((name, came)) => {
            Err(Differs { what: words(name), pinned: "none".into(), came: format!("`{}`", plain(came, 200)) })
        }
        None => Ok(()),
    }
}

fn is_tenant(claim: &str) -> bool {
    TENANT_CLAIMS.contains(&claim)
}

fn tenants(said: BTreeMap<String, String>) -> BTreeMap<String, String> {
    said.into_iter().filter(|(name, _)| is_tenant(name)).collect()
}

fn same(what: &'static str, pinned: &str, came: Option<&String>) -> Result<(), Differs> {
    match came {
        Some(came) if came == pinned => Ok(()),
        came => {
            let came = came.map_or("gone".to_owned(), |came| format!("`{}`", plain(came, 200)));
            Err(Differs { what, pinned: pinned.to_owned(), came })
        }
    }
}

fn words(claim: &str) -> &'static str {
    match claim {
        "iss" => "the issuer",
        "sub" => "the subject",
        "aud" => "the audience",
        _ => "the organisation",
    }
}

/// When an access token says that it is over, where it is a JWT. Read, not verified.
pub(crate) fn expiry(access: &Secret<AccessToken>) -> Option<Timestamp> {
    let exp = claims(access.expose())?.get("exp")?.as_f64()?;
    // `as` saturates.
    exp.is_finite().then(|| Timestamp::from_seconds(exp as i64))
}

/// What a token says of itself, where it is a JWT.
fn said(token: &[u8]) -> Option<BTreeMap<String, String>> {
    let claims = claims(token)?;
    let mut said = BTreeMap::new();
    for name in ["iss", "sub"].iter().chain(&TENANT_CLAIMS) {
        if let Some(serde_json::Value::String(value)) = claims.get(*name) {
            said.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(audience) = claims.get("aud").and_then(|aud| Audience::deserialize(aud).ok()) {
        let mut each: Vec<&str> = audience.iter().collect();
        each.sort_unstable();
        said.insert("aud".into(), each.join(" "));
    }
    Some(said)
}

fn claims(token: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    let text = std::str::from_utf8(token).ok()?;
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&base64url::parse(claims)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token<K: hallpass_model::secret::Kind>(claims: serde_json::Value) -> Secret<K> {
        Secret::from_text(format!("e30.{}.c2ln", base64url::render(claims.to_string())))
    }

    fn identity() -> Identity {
        Identity::new("i", "c")
    }

    #[test]
    fn the_same_person_org_and_audience_pass_in_any_order() {
        let pins = Pins::of(
            None,
            None,
            &token(serde_json::json!({"iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 1})),
        );
        let later = token(serde_json::json!({"exp": 2, "aud": ["b", "a"], "sub": "s", "iss": "i"}));
        assert_eq!(pins.compare(&identity(), None, &later), Ok(()));
        assert_eq!(pins.compare(&identity(), None, &Secret::from_text("opaque".into())), Ok(()));
    }

    #[test]
    fn another_tenant_subject_issuer_or_audience_is_noticed() {
        let base = serde_json::json!({"iss": "i", "sub": "s", "aud": "a", "org_id": "one"});
        let pins = Pins::of(None, None, &token(base.clone()));
        for (name, value) in [("iss", "x"), ("sub", "x"), ("aud", "x"), ("org_id", "two"), ("tid", "new")] {
            let mut changed = base.clone();
            changed[name] = value.into();
            assert!(pins.compare(&identity(), None, &token(changed)).is_err(), "{name}");
        }
        let mut gone = base;
        gone.as_object_mut().unwrap().remove("org_id");
        let differs = pins.compare(&identity(), None, &token(gone)).unwrap_err();
        assert_eq!((differs.what, differs.came.as_str()), ("the organisation", "gone"));
    }

    #[test]
    fn an_id_token_after_a_renewal_is_about_the_same_person() {
        let opaque = Secret::from_text("opaque".into());
        let pins = Pins { subject: Some("s".into()), ..Pins::default() };
        let base = serde_json::json!({"iss": "i", "sub": "s", "aud": ["other", "c"]});
        assert_eq!(pins.compare(&identity(), Some(&token(base.clone())), &opaque), Ok(()));
        for name in ["iss", "sub", "aud"] {
            let mut changed = base.clone();
            changed[name] = "x".into();
            assert!(pins.compare(&identity(), Some(&token(changed)), &opaque).is_err(), "{name}");
        }
    }

    #[test]
    fn an_id_token_of_another_tenant_is_noticed_also_beside_an_opaque_access_token() {
        let opaque = Secret::from_text("opaque".into());
        let claims =
            serde_json::json!({"iss": "i", "sub": "s", "aud": "c", "exp": 1, "iat": 1, "tid": "one"});
        let id = token(claims.clone());
        let judged: IdClaims = serde_json::from_value(claims.clone()).unwrap();
        let pins = Pins::of(Some((&judged, &id)), Some("not needed".into()), &opaque);
        assert_eq!((pins.account.as_deref(), pins.whom()), (None, Some("s")));
        assert_eq!(pins.orgs().into_iter().collect::<Vec<_>>(), ["one"]);
        assert_eq!(pins.compare(&identity(), Some(&id), &opaque), Ok(()));
        for (name, value) in [("tid", "two"), ("hd", "new")] {
            let mut changed = claims.clone();
            changed[name] = value.into();
            let differs = pins.compare(&identity(), Some(&token(changed)), &opaque).unwrap_err();
            assert_eq!(differs.what, "the organisation");
        }
    }

    #[test]
    fn whoever_signs_in_again_is_the_same_person_of_the_same_org_for_whatever_api() {
        let of = |claims| Pins::of(None, None, &token(claims));
        let pins = of(serde_json::json!({"sub": "s", "aud": "a", "org": "one"}));
        for same in
            [serde_json::json!({"sub": "s", "aud": "b", "org": "one"}), serde_json::json!({"sub": "s"})]
        {
            assert_eq!(pins.same_person(&of(same)), Ok(()));
        }
        for other in
            [serde_json::json!({"sub": "x", "org": "one"}), serde_json::json!({"sub": "s", "org": "two"})]
        {
            assert!(pins.same_person(&of(other)).is_err());
        }
        let account = |id: &str| Pins { account: Some(id.into()), ..Pins::default() };
        assert!(account("1").same_person(&account("2")).is_err());
        assert_eq!(account("1").same_person(&Pins::default()), Ok(()), "nothing is known of it");
    }
}
