//! What an ID token says (OIDC Core, section 2), and when a client believes it (section 3.1.3.7).

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::claims::Audience;
use crate::jose::{BadToken, JwkSet, Profile, base64url, verify};
use crate::lifetimes::CLOCK_SKEW;
use crate::time::{Lifetime, Timestamp};

/// The claims of an ID token. It says who logged in, to the client; it opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdClaims {
    /// Who issued it.
    pub iss: String,
    /// Who logged in.
    pub sub: String,
    /// The client, perhaps among others.
    pub aud: Audience,
    /// When it is over, in whole seconds.
    pub exp: i64,
    /// When it was issued, in whole seconds.
    pub iat: i64,
    /// The request it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// When the person last proved who they are, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How strongly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// The client it was issued to, where there are several audiences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    /// Half a hash of the access token that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
    /// The session at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// What a client expects of an ID token.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedLogin<'a> {
    /// The issuer, byte for byte.
    pub issuer: &'a str,
    /// The client's own id.
    pub client_id: &'a str,
    /// The nonce that was sent; `None` where the flow has none (the device grant, a refresh).
    pub nonce: Option<&'a str>,
    /// How long ago the person may have proved who they are, if that was asked for.
    pub max_age: Option<Lifetime>,
    /// The access token that came with it. Its hash is checked if the ID token has one.
    pub access_token: Option<&'a str>,
}

/// Verifies an ID token and judges it as a client must (OIDC Core, section 3.1.3.7).
pub fn judge(
    token: &str,
    keys: &JwkSet,
    expected: &ExpectedLogin<'_>,
    now: Timestamp,
) -> Result<IdClaims, BadToken> {
    let claims: IdClaims = verify(token, &Profile::ID_TOKEN, keys)?.claims;
    if claims.iss != expected.issuer {
        return Err(BadToken::Issuer);
    }
    if !claims.aud.has(expected.client_id) {
        return Err(BadToken::Audience);
    }
    let meant_for = |azp: &String| azp == expected.client_id;
    if claims.aud.single().is_none() && claims.azp.is_none() || !claims.azp.iter().all(meant_for) {
        return Err(BadToken::Audience);
    }
    if now >= Timestamp::from_seconds(claims.exp) + CLOCK_SKEW {
        return Err(BadToken::Expired);
    }
    if Timestamp::from_seconds(claims.iat) > now + CLOCK_SKEW {
        return Err(BadToken::NotYet);
    }
    if expected.nonce.is_some() && claims.nonce.as_deref() != expected.nonce {
        return Err(BadToken::Nonce);
    }
    if let Some(max_age) = expected.max_age {
        let auth_time = claims.auth_time.ok_or(BadToken::Claims)?;
        if now > Timestamp::from_seconds(auth_time) + max_age + CLOCK_SKEW {
            return Err(BadToken::OldLogin);
        }
    }
    if let (Some(hash), Some(access_token)) = (&claims.at_hash, expected.access_token)
        && *hash != at_hash(access_token)
    {
        return Err(BadToken::OtherAccessToken);
    }
    Ok(claims)
}

/// `at_hash`: the left half of the access token's SHA-256 (OIDC Core, section 3.1.3.6). All algorithms here
/// end in 256.
pub fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    base64url::render(&hash.as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{SigningKey, Typ};
    use crate::wire::claims::sample::{ISSUER, NOW};
    use serde_json::json;

    fn claims() -> IdClaims {
        IdClaims {
            iss: ISSUER.into(),
            sub: "ann".into(),
            aud: Audience::one("app"),
            exp: NOW.seconds() + 300,
            iat: NOW.seconds(),
            nonce: Some("n-0S6_WzA2Mj".into()),
            auth_time: Some(NOW.seconds() - 60),
            acr: None,
            amr: vec!["hwk".into()],
            azp: None,
            at_hash: Some(at_hash("token")),
            sid: None,
        }
    }

    const EXPECTED: ExpectedLogin<'_> = ExpectedLogin {
        issuer: ISSUER,
        client_id: "app",
        nonce: Some("n-0S6_WzA2Mj"),
        max_age: Some(Lifetime::minutes(5)),
        access_token: Some("token"),
    };

    fn verdict(claims: &IdClaims, expected: &ExpectedLogin<'_>, now: Timestamp) -> Result<(), BadToken> {
        let key = SigningKey::generate();
        let keys = JwkSet::new(vec![key.public().clone()]);
        judge(&key.sign(Typ::IdToken, claims), &keys, expected, now).map(|read| assert_eq!(&read, claims))
    }

    #[test]
    fn a_good_one_is_believed() {
        assert_eq!(verdict(&claims(), &EXPECTED, NOW), Ok(()));
        let device = ExpectedLogin { nonce: None, max_age: None, access_token: None, ..EXPECTED };
        assert_eq!(verdict(&IdClaims { nonce: None, auth_time: None, ..claims() }, &device, NOW), Ok(()));
    }

    #[test]
    fn another_issuer_client_or_request_is_refused() {
        for (bad, reason) in [
            (IdClaims { iss: format!("{ISSUER}/"), ..claims() }, BadToken::Issuer),
            (IdClaims { aud: Audience::one("other"), ..claims() }, BadToken::Audience),
            (IdClaims { azp: Some("other".into()), ..claims() }, BadToken::Audience),
            (IdClaims { nonce: Some("other".into()), ..claims() }, BadToken::Nonce),
            (IdClaims { nonce: None, ..claims() }, BadToken::Nonce),
            (IdClaims { at_hash: Some(at_hash("other")), ..claims() }, BadToken::OtherAccessToken),
            (IdClaims { auth_time: None, ..claims() }, BadToken::Claims),
            (IdClaims { auth_time: Some(NOW.seconds() - 331), ..claims() }, BadToken::OldLogin),
        ] {
            assert_eq!(verdict(&bad, &EXPECTED, NOW), Err(reason));
        }
        assert_eq!(
            verdict(&IdClaims { auth_time: Some(NOW.seconds() - 330), ..claims() }, &EXPECTED, NOW),
            Ok(())
        );
        // Not every provider sends a hash with a code; OIDC Core makes it optional there.
        assert_eq!(verdict(&IdClaims { at_hash: None, ..claims() }, &EXPECTED, NOW), Ok(()));
    }

    #[test]
    fn several_audiences_need_the_authorized_party_to_be_us() {
        let aud = serde_json::from_value::<Audience>(json!(["app", "api"])).unwrap();
        let several =
            |azp: Option<&str>| IdClaims { aud: aud.clone(), azp: azp.map(str::to_owned), ..claims() };
        assert_eq!(verdict(&several(None), &EXPECTED, NOW), Err(BadToken::Audience));
        assert_eq!(verdict(&several(Some("api")), &EXPECTED, NOW), Err(BadToken::Audience));
        assert_eq!(verdict(&several(Some("app")), &EXPECTED, NOW), Ok(()));
    }

    #[test]
    fn it_is_over_when_it_says_give_or_take_the_skew() {
        let relaxed = ExpectedLogin { max_age: None, ..EXPECTED };
        let end = Timestamp::from_seconds(claims().exp) + CLOCK_SKEW;
        assert_eq!(verdict(&claims(), &relaxed, end - Lifetime::millis(1)), Ok(()));
        assert_eq!(verdict(&claims(), &relaxed, end), Err(BadToken::Expired));
        let start = NOW - CLOCK_SKEW;
        assert_eq!(verdict(&claims(), &relaxed, start), Ok(()));
        assert_eq!(verdict(&claims(), &relaxed, start - Lifetime::millis(1)), Err(BadToken::NotYet));
    }

    #[test]
    fn an_access_token_never_passes_for_an_id_token() {
        let key = SigningKey::generate();
        let keys = JwkSet::new(vec![key.public().clone()]);
        let token = key.sign(Typ::AccessToken, &claims());
        assert_eq!(judge(&token, &keys, &EXPECTED, NOW), Err(BadToken::Type));
    }

    #[test]
    fn oidc_core_appendix_a_s_hash_comes_out() {
        assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
