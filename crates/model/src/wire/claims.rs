//! What an access token says (RFC 9068), ours and others': the same claims, with more of them in ours.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::oauth::Scopes;
use crate::agent::Acting;
use crate::id::{CredentialId, DeviceId, PrincipalId, SessionId};
use crate::jose::Thumbprint;
use crate::time::Timestamp;

/// Actors in one chain at most: a person's agent's agent's tool is four; more is a loop.
pub const ACTORS_MAX: usize = 8;
/// Audiences in one token at most. Ours have one; some providers add their own userinfo endpoint.
pub const AUDIENCES_MAX: usize = 16;

/// The claims of an access token.
///
/// `sub`, `client_id`, `jti`, `sid` and `dev` are any text in other issuers' tokens, and our ids in ours: the
/// methods read them as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is about: in ours, a principal.
    pub sub: String,
    /// Whom it is for. Ours names one resource.
    pub aud: Audience,
    /// The client it was issued to.
    pub client_id: String,
    /// When it was issued, in whole seconds.
    pub iat: i64,
    /// When it is over, in whole seconds.
    pub exp: i64,
    /// When it begins, in whole seconds. Ours begin at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Its own id: in ours, a credential.
    pub jti: String,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Scopes::is_empty")]
    pub scope: Scopes,
    /// The session it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When the person last proved who they are, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How strongly they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which means they did (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The key it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Cnf>,
    /// Who acts for the subject (RFC 8693, section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Why it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The device it is held on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// The issue stamp cuts are compared with, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ist: Option<i64>,
    /// Ancestors that stand in no other claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lin: Vec<String>,
}

impl AccessClaims {
    /// When it was issued, to the second.
    pub fn issued(&self) -> Timestamp {
        Timestamp::from_seconds(self.iat)
    }

    /// When it is over: it is dead at this very moment.
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_seconds(self.exp)
    }

    /// The issue stamp, exact.
    pub fn issue_stamp(&self) -> Option<Timestamp> {
        self.ist.map(Timestamp::from_millis)
    }

    /// The key it is bound to, if it is bound by DPoP.
    pub fn jkt(&self) -> Option<Thumbprint> {
        self.cnf.and_then(|cnf| cnf.jkt)
    }

    /// `jti` as our credential id.
    pub fn credential_id(&self) -> Option<CredentialId> {
        self.jti.parse().ok()
    }

    /// `sub` as our principal id.
    pub fn principal_id(&self) -> Option<PrincipalId> {
        self.sub.parse().ok()
    }

    /// `sid` as our session id.
    pub fn session_id(&self) -> Option<SessionId> {
        self.sid.as_deref()?.parse().ok()
    }

    /// `dev` as our device id.
    pub fn device_id(&self) -> Option<DeviceId> {
        self.dev.as_deref()?.parse().ok()
    }

    /// `lin` as our credential ids: `None` if one of them is not.
    pub fn ancestors(&self) -> Option<Vec<CredentialId>> {
        self.lin.iter().map(|id| id.parse().ok()).collect()
    }
}

/// Whom a token is for: one, or several, written as a string or as a list (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(Vec<String>);

impl Audience {
    /// One.
    pub fn one(audience: impl Into<String>) -> Self {
        Self(vec![audience.into()])
    }

    /// Whether it is for this one, perhaps among others. Compared byte for byte.
    pub fn has(&self, audience: &str) -> bool {
        self.0.iter().any(|a| a == audience)
    }

    /// The one it is for; `None` if there are several.
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.single() {
            Some(one) => s.serialize_str(one),
            None => self.0.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Several(Vec<String>),
        }
        match Either::deserialize(d)? {
            Either::One(one) => Ok(Self(vec![one])),
            Either::Several(several) if (1..=AUDIENCES_MAX).contains(&several.len()) => Ok(Self(several)),
            Either::Several(_) => Err(D::Error::custom("an audience list is empty or too long")),
        }
    }
}

/// The key a token is bound to (RFC 7800). A binding of another kind reads as one with no `jkt`, which is
/// never taken for a bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cnf {
    /// The DPoP key's thumbprint (RFC 9449, section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<Thumbprint>,
}

impl Cnf {
    /// Bound to this DPoP key.
    pub const fn jkt(thumbprint: Thumbprint) -> Self {
        Self { jkt: Some(thumbprint) }
    }
}

/// Who acts for the subject. The outermost is acting now; deeper ones are history and decide nothing
/// (RFC 8693, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The actor.
    pub sub: String,
    /// The actor's issuer, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The actor's client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Ours: which run of the actor, where it is an agent: a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Act>>,
}

impl Act {
    /// The agent and its run, if the actor is one of ours.
    pub fn acting(&self) -> Option<Acting> {
        Some(Acting { agent: self.sub.parse().ok()?, run: self.run.as_deref()?.parse().ok()? })
    }

    /// How many actors there are, this one included.
    pub fn depth(&self) -> usize {
        let mut depth = 1;
        let mut actor = self;
        while let Some(before) = &actor.act {
            depth += 1;
            actor = before;
        }
        depth
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! Claims for tests.

    use super::*;

    /// Issued at this second.
    pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    /// By this issuer.
    pub(crate) const ISSUER: &str = "https://id.example/acme";
    /// For this resource.
    pub(crate) const NOTES: &str = "https://notes.example/";

    /// Every claim there is, bound to a key.
    pub(crate) fn access() -> AccessClaims {
        AccessClaims {
            iss: ISSUER.into(),
            sub: "prn_01h455vb4pex5vsknk084sn02q".into(),
            aud: Audience::one(NOTES),
            client_id: "hallpass-cli".into(),
            iat: NOW.seconds(),
            exp: NOW.seconds() + 300,
            nbf: Some(NOW.seconds()),
            jti: "crd_01h455vb4pex5vsknk084sn02q".into(),
            scope: Scopes::parse("notes:read notes:write").expect("they are scopes"),
            sid: Some("ses_01h455vb4pex5vsknk084sn02q".into()),
            auth_time: Some(NOW.seconds() - 60),
            acr: Some("phr".into()),
            amr: vec!["hwk".into(), "user".into()],
            cnf: Some(Cnf::jkt(Thumbprint::from_bytes([7; 32]))),
            act: Some(Act { sub: "agent".into(), iss: None, client_id: None, run: None, act: None }),
            purpose: Some("deploy".into()),
            dev: Some("dev_01h455vb4pex5vsknk084sn02q".into()),
            ist: Some(NOW.millis() + 123),
            lin: vec!["crd_7zzzzzzzzzzzzzzzzzzzzzzzzz".into()],
        }
    }

    /// The same without what is optional, for a bearer token.
    pub(crate) fn bearer() -> AccessClaims {
        AccessClaims {
            nbf: None,
            sid: None,
            auth_time: None,
            acr: None,
            amr: vec![],
            cnf: None,
            act: None,
            purpose: None,
            dev: None,
            ist: None,
            lin: vec![],
            ..access()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn our_claims_read_back_and_name_our_ids() {
        let claims = sample::access();
        let text = serde_json::to_string(&claims).unwrap();
        assert_eq!(serde_json::from_str::<AccessClaims>(&text).unwrap(), claims);
        let ids = (claims.credential_id(), claims.principal_id(), claims.session_id(), claims.device_id());
        assert!(matches!(ids, (Some(_), Some(_), Some(_), Some(_))));
        assert_eq!(claims.ancestors().unwrap().len(), 1);
        assert_eq!(claims.issue_stamp().unwrap().millis(), sample::NOW.millis() + 123);
        assert_eq!(claims.jkt(), Some(Thumbprint::from_bytes([7; 32])));
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        let value = serde_json::to_value(sample::bearer()).unwrap();
        let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"]);
        assert_eq!(value["aud"], sample::NOTES);
    }

    #[test]
    fn rfc_9068_section_2_s_example_is_read() {
        let claims = json!({ "iss": "https://authorization-server.example.com/", "sub": "5ba552d67",
            "aud": "https://rs.example.com/", "exp": 1639528912, "iat": 1618354090,
            "jti": "dbe39bf3a3ba4238a513f51d6e1691c4", "client_id": "s6BhdRkqt3",
            "scope": "openid profile reademail", "roles": ["a"], "sid": "any text" });
        let claims: AccessClaims = serde_json::from_value(claims).unwrap();
        assert!(claims.scope.has("reademail"));
        assert_eq!((claims.credential_id(), claims.session_id()), (None, None));
        let others = AccessClaims { lin: vec!["other".into()], ..sample::bearer() };
        assert_eq!(others.ancestors(), None);
    }

    #[test]
    fn a_claim_that_is_missing_repeated_or_of_another_form_is_refused() {
        let good = serde_json::to_value(sample::access()).unwrap();
        for required in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(required);
            assert!(serde_json::from_value::<AccessClaims>(claims).is_err(), "{required}");
            let text = good.to_string().replacen('{', &format!("{{\"{required}\":{},", good[required]), 1);
            assert!(serde_json::from_str::<AccessClaims>(&text).is_err(), "{required} twice");
        }
        for (name, value) in [
            ("exp", json!(1_800_000_300.5)),
            ("exp", json!(1.8e9)),
            ("exp", json!("1800000300")),
            ("iat", json!(true)),
            ("nbf", json!(1.5)),
            ("aud", json!([])),
            ("aud", json!([1])),
            ("aud", json!(vec!["a"; AUDIENCES_MAX + 1])),
            ("scope", json!(["a", "b"])),
            ("scope", json!("a\"b")),
            ("sub", json!(7)),
            ("cnf", json!({ "jkt": "short" })),
            ("cnf", json!("text")),
            ("act", json!({})),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            assert!(serde_json::from_value::<AccessClaims>(claims).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn an_audience_is_a_string_or_a_list() {
        let read = |value: serde_json::Value| serde_json::from_value::<Audience>(value).unwrap();
        assert_eq!(read(json!("a")), read(json!(["a"])));
        assert_eq!(read(json!("a")).single(), Some("a"));
        let two = read(json!(["a", "b"]));
        assert!(two.has("b") && !two.has("A") && two.single().is_none());
        assert_eq!(serde_json::to_value(&two).unwrap(), json!(["a", "b"]));
        assert_eq!(two.iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn actors_are_counted_to_the_last() {
        let chain = json!({ "sub": "a", "act": { "sub": "b", "act": { "sub": "c" } } });
        assert_eq!(serde_json::from_value::<Act>(chain).unwrap().depth(), 3);
    }
}
