//! What a client says of itself: `private_key_jwt` (RFC 7523, section 2.2) as RFC 10070 narrows it.

use serde::{Deserialize, Serialize};

use super::claims::Audience;
use crate::jose::{BadToken, JwkSet, Profile, SigningKey, Typ, verify};
use crate::lifetimes::{CLIENT_ASSERTION_MAX, CLOCK_SKEW};
use crate::time::{Lifetime, Timestamp};

/// The value of `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion's `jti` at most, in bytes: it is remembered until the assertion is over.
pub const JTI_LEN_MAX: usize = 128;

/// The claims of a client's assertion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionClaims {
    /// The client.
    pub iss: String,
    /// The client again.
    pub sub: String,
    /// The issuer's identifier, alone (RFC 10070).
    pub aud: Audience,
    /// When it is over, in whole seconds.
    pub exp: i64,
    /// When it was made, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// When it begins, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Its own id, good for one use.
    pub jti: String,
}

impl AssertionClaims {
    /// Until when its `jti` must be remembered, so that it is used once.
    pub fn remembered_until(&self) -> Timestamp {
        Timestamp::from_seconds(self.exp) + CLOCK_SKEW
    }
}

/// What the issuer expects of an assertion.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedClient<'a> {
    /// The client it must be about.
    pub client_id: &'a str,
    /// The issuer's own identifier. Not the token endpoint: another issuer could publish ours as its own and
    /// pass on what it is sent (RFC 10070).
    pub issuer: &'a str,
    /// Whether the form before RFC 10070 (`JWT` or no type) is taken from this client now
    /// ([`Client::takes_older_assertions`](crate::client::Client::takes_older_assertions)).
    pub older_form: bool,
}

/// Verifies an assertion with the client's registered keys and judges it.
///
/// The caller still has to see that its `jti` was not used before.
pub fn judge(
    token: &str,
    keys: &JwkSet,
    expected: &ExpectedClient<'_>,
    now: Timestamp,
) -> Result<AssertionClaims, BadToken> {
    let profile =
        if expected.older_form { &Profile::OLDER_CLIENT_ASSERTION } else { &Profile::CLIENT_ASSERTION };
    let claims: AssertionClaims = verify(token, profile, keys)?.claims;
    if claims.iss != expected.client_id {
        return Err(BadToken::Issuer);
    }
    if claims.sub != expected.client_id {
        return Err(BadToken::Subject);
    }
    if claims.aud.single() != Some(expected.issuer) {
        return Err(BadToken::Audience);
    }
    if claims.jti.is_empty() || claims.jti.len() > JTI_LEN_MAX {
        return Err(BadToken::Claims);
    }
    let expires = Timestamp::from_seconds(claims.exp);
    if now >= expires + CLOCK_SKEW {
        return Err(BadToken::Expired);
    }
    if expires > now + CLIENT_ASSERTION_MAX + CLOCK_SKEW {
        return Err(BadToken::TooLongLived);
    }
    if [claims.iat, claims.nbf].into_iter().flatten().any(|t| Timestamp::from_seconds(t) > now + CLOCK_SKEW) {
        return Err(BadToken::NotYet);
    }
    Ok(claims)
}

/// Makes an assertion: the client's side. `jti` must be new each time, `lifetime` a minute or so.
pub fn assertion(
    key: &SigningKey,
    client_id: &str,
    issuer: &str,
    jti: &str,
    now: Timestamp,
    lifetime: Lifetime,
) -> String {
    let claims = AssertionClaims {
        iss: client_id.to_owned(),
        sub: client_id.to_owned(),
        aud: Audience::one(issuer),
        exp: (now + lifetime).seconds(),
        iat: Some(now.seconds()),
        nbf: None,
        jti: jti.to_owned(),
    };
    key.sign(Typ::ClientAuthentication, &claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::claims::sample::{ISSUER, NOW};
    use serde_json::{Value, json};

    const EXPECTED: ExpectedClient<'_> =
        ExpectedClient { client_id: "ci", issuer: ISSUER, older_form: false };

    struct Client {
        key: SigningKey,
        keys: JwkSet,
    }

    impl Client {
        fn new() -> Self {
            let key = SigningKey::generate();
            let keys = JwkSet::new(vec![key.public().clone()]);
            Self { key, keys }
        }

        fn judge(&self, typ: Typ, claims: &Value, expected: &ExpectedClient<'_>) -> Result<(), BadToken> {
            judge(&self.key.sign(typ, claims), &self.keys, expected, NOW).map(drop)
        }
    }

    fn claims() -> Value {
        json!({ "iss": "ci", "sub": "ci", "aud": ISSUER, "exp": NOW.seconds() + 60, "iat": NOW.seconds(), "jti": "1" })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn what_a_client_makes_the_issuer_accepts() {
        let client = Client::new();
        let token = assertion(&client.key, "ci", ISSUER, "id-1", NOW, Lifetime::minutes(1));
        let read = judge(&token, &client.keys, &EXPECTED, NOW).unwrap();
        assert_eq!((read.jti.as_str(), read.sub.as_str()), ("id-1", "ci"));
        assert_eq!(read.remembered_until(), NOW + Lifetime::minutes(1) + CLOCK_SKEW);
    }

    #[test]
    fn the_audience_is_the_issuer_identifier_alone() {
        let client = Client::new();
        let verdict = |aud: Value| client.judge(Typ::ClientAuthentication, &with("aud", aud), &EXPECTED);
        assert_eq!(verdict(json!(ISSUER)), Ok(()));
        assert_eq!(verdict(json!([ISSUER])), Ok(()));
        let token_endpoint = format!("{ISSUER}/token");
        for aud in [
            json!(token_endpoint),
            json!(format!("{ISSUER}/par")),
            json!(format!("{ISSUER}/")),
            json!([ISSUER, token_endpoint]),
            json!([ISSUER, ISSUER]),
            json!("https://id.example"),
        ] {
            assert_eq!(verdict(aud.clone()), Err(BadToken::Audience), "{aud}");
        }
        // The audience rule is the same for the older form.
        let older = ExpectedClient { older_form: true, ..EXPECTED };
        let verdict = client.judge(Typ::IdToken, &with("aud", json!(token_endpoint)), &older);
        assert_eq!(verdict, Err(BadToken::Audience));
    }

    #[test]
    fn the_older_form_is_accepted_only_from_a_client_allowed_to_be_that_old() {
        let client = Client::new();
        let older = ExpectedClient { older_form: true, ..EXPECTED };
        assert_eq!(client.judge(Typ::IdToken, &claims(), &EXPECTED), Err(BadToken::Type));
        assert_eq!(client.judge(Typ::IdToken, &claims(), &older), Ok(()));
        assert_eq!(client.judge(Typ::ClientAuthentication, &claims(), &older), Ok(()));
        for typ in [Typ::AccessToken, Typ::DpopProof] {
            assert!(client.judge(typ, &claims(), &older).is_err());
        }
    }

    #[test]
    fn it_is_about_the_client_by_the_client() {
        let client = Client::new();
        for (name, reason) in [("iss", BadToken::Issuer), ("sub", BadToken::Subject)] {
            let verdict = client.judge(Typ::ClientAuthentication, &with(name, json!("other")), &EXPECTED);
            assert_eq!(verdict, Err(reason));
        }
        let stranger = Client::new();
        let token = stranger.key.sign(Typ::ClientAuthentication, &claims());
        assert_eq!(judge(&token, &client.keys, &EXPECTED, NOW), Err(BadToken::UnknownKey));
    }

    #[test]
    fn it_lives_a_short_while_and_is_good_for_one_use() {
        let client = Client::new();
        let skew = CLOCK_SKEW.as_seconds();
        let longest = CLIENT_ASSERTION_MAX.as_seconds() + skew;
        for (name, value, verdict) in [
            ("exp", json!(NOW.seconds() - skew + 1), Ok(())),
            ("exp", json!(NOW.seconds() - skew), Err(BadToken::Expired)),
            ("exp", json!(NOW.seconds() + longest), Ok(())),
            ("exp", json!(NOW.seconds() + longest + 1), Err(BadToken::TooLongLived)),
            ("exp", json!(i64::MAX), Err(BadToken::TooLongLived)),
            ("exp", json!(1.5), Err(BadToken::Claims)),
            ("exp", Value::Null, Err(BadToken::Claims)),
            ("iat", json!(NOW.seconds() + skew + 1), Err(BadToken::NotYet)),
            ("nbf", json!(NOW.seconds() + skew + 1), Err(BadToken::NotYet)),
            ("nbf", json!(NOW.seconds() + skew), Ok(())),
            ("iat", Value::Null, Ok(())),
            ("jti", json!(""), Err(BadToken::Claims)),
            ("jti", json!("j".repeat(JTI_LEN_MAX)), Ok(())),
            ("jti", json!("j".repeat(JTI_LEN_MAX + 1)), Err(BadToken::Claims)),
            ("jti", Value::Null, Err(BadToken::Claims)),
        ] {
            let result = client.judge(Typ::ClientAuthentication, &with(name, value.clone()), &EXPECTED);
            assert_eq!(result, verdict, "{name} {value}");
        }
    }
}
