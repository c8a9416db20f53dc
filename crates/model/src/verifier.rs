//! Judging an access token without asking its issuer (RFC 9068, section 4).

use crate::jose::{BadToken, JwkSet, Profile, Thumbprint, read_without_signature, verify};
use crate::lifetimes::CLOCK_SKEW;
use crate::time::{Lifetime, Timestamp};
use crate::wire::claims::{ACTORS_MAX, AccessClaims};
use crate::wire::oauth::Scopes;

/// What a resource expects of a token presented to it.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The issuer, byte for byte.
    pub issuer: &'a str,
    /// The resource's own identifier, byte for byte.
    pub audience: &'a str,
    /// Scopes that are needed, all of them.
    pub scopes: &'a Scopes,
    /// The key proven along with the request (`wire::dpop`); `None` if the token came as `Bearer`.
    pub proven: Option<Thumbprint>,
}

/// Whether this token opens this resource now. Checks form, type, algorithm, signature, issuer, time (with
/// `CLOCK_SKEW`), audience, key binding and scopes, in that order; does **not** know of cuts.
pub fn judge(
    token: &str,
    keys: &JwkSet,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<AccessClaims, BadToken> {
    let claims = read(token, keys, expected.issuer, now, CLOCK_SKEW)?;
    if !claims.aud.has(expected.audience) {
        return Err(BadToken::Audience);
    }
    bound(&claims, expected.proven)?;
    if !claims.scope.include(expected.scopes) {
        return Err(BadToken::Scope);
    }
    Ok(claims)
}

/// Whether the token may be used by whoever proved `proven` (RFC 9449, section 7): a bound one needs a proof
/// by its key, and an unbound one must not be passed off as bound.
pub fn bound(claims: &AccessClaims, proven: Option<Thumbprint>) -> Result<(), BadToken> {
    match (claims.cnf, proven) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(BadToken::ProofNeeded),
        (Some(cnf), Some(key)) if cnf.jkt == Some(key) => Ok(()),
        (_, Some(_)) => Err(BadToken::WrongKey),
    }
}

/// Reads a token of this issuer's that is not over by more than `skew`. Does **not** check audience, scope or
/// key binding: for the issuer's own questions (introspection, revocation, exchange), where the skew is zero.
pub fn read(
    token: &str,
    keys: &JwkSet,
    issuer: &str,
    now: Timestamp,
    skew: Lifetime,
) -> Result<AccessClaims, BadToken> {
    judge_claims(verify(token, &Profile::ACCESS_TOKEN, keys)?.claims, issuer, now, skew)
}

/// The same for a token whose signature need not be checked.
///
/// SECURITY: only for text that the caller knows, to the byte, to be signed by one of `keys`: because the caller signed it.
/// A key that is not among them any more still makes it count for nothing.
pub fn read_known(
    token: &str,
    keys: &JwkSet,
    issuer: &str,
    now: Timestamp,
    skew: Lifetime,
) -> Result<AccessClaims, BadToken> {
    judge_claims(read_without_signature(token, &Profile::ACCESS_TOKEN, keys)?, issuer, now, skew)
}

fn judge_claims(
    claims: AccessClaims,
    issuer: &str,
    now: Timestamp,
    skew: Lifetime,
) -> Result<AccessClaims, BadToken> {
    if claims.iss != issuer {
        return Err(BadToken::Issuer);
    }
    if now >= claims.expires() + skew {
        return Err(BadToken::Expired);
    }
    let begins = claims.iat.max(claims.nbf.unwrap_or(i64::MIN));
    if Timestamp::from_seconds(begins) > now + CLOCK_SKEW {
        return Err(BadToken::NotYet);
    }
    if claims.act.as_ref().is_some_and(|act| act.depth() > ACTORS_MAX) {
        return Err(BadToken::Claims);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{SigningKey, Typ};
    use crate::wire::claims::sample::{self, ISSUER, NOTES, NOW};
    use crate::wire::claims::{Act, Audience, Cnf};
    use serde_json::{Value, json};

    struct Bench {
        key: SigningKey,
        keys: JwkSet,
    }

    impl Bench {
        fn new() -> Self {
            let key = SigningKey::generate();
            let keys = JwkSet::new(vec![key.public().clone()]);
            Self { key, keys }
        }

        fn judge(&self, claims: &AccessClaims, now: Timestamp) -> Result<AccessClaims, BadToken> {
            self.judge_proven(claims, None, now)
        }

        fn judge_proven(
            &self,
            claims: &AccessClaims,
            proven: Option<Thumbprint>,
            now: Timestamp,
        ) -> Result<AccessClaims, BadToken> {
            let scopes = Scopes::parse("notes:read").unwrap();
            let expected = Expected { issuer: ISSUER, audience: NOTES, scopes: &scopes, proven };
            judge(&self.key.sign(Typ::AccessToken, claims), &self.keys, &expected, now)
        }
    }

    #[test]
    fn a_good_token_reads_back_as_it_was_signed() {
        for key in [SigningKey::generate(), SigningKey::generate_ed25519()] {
            let bench = Bench { keys: JwkSet::new(vec![key.public().clone()]), key };
            assert_eq!(bench.judge(&sample::bearer(), NOW), Ok(sample::bearer()));
        }
    }

    #[test]
    fn a_token_known_to_be_signed_counts_for_nothing_once_its_key_is_gone_or_its_time_is_up() {
        let bench = Bench::new();
        let token = bench.key.sign(Typ::AccessToken, &sample::bearer());
        let read = |keys: &JwkSet, issuer, now| read_known(&token, keys, issuer, now, Lifetime::seconds(0));
        assert_eq!(read(&bench.keys, ISSUER, NOW), Ok(sample::bearer()));
        let others = JwkSet::new(vec![SigningKey::generate().public().clone()]);
        assert_eq!(read(&others, ISSUER, NOW), Err(BadToken::UnknownKey));
        assert_eq!(read(&bench.keys, "https://id.example/other", NOW), Err(BadToken::Issuer));
        assert_eq!(read(&bench.keys, ISSUER, sample::bearer().expires()), Err(BadToken::Expired));
        let id_token = bench.key.sign(Typ::IdToken, &sample::bearer());
        let another_type = read_known(&id_token, &bench.keys, ISSUER, NOW, Lifetime::seconds(0));
        assert_eq!(another_type, Err(BadToken::Type));
    }

    #[test]
    fn another_issuer_s_token_is_refused_to_the_byte() {
        let bench = Bench::new();
        for iss in ["https://id.example/other", "https://id.example/acme/", "https://ID.example/acme", ""] {
            let claims = AccessClaims { iss: iss.into(), ..sample::bearer() };
            assert_eq!(bench.judge(&claims, NOW), Err(BadToken::Issuer), "{iss}");
        }
    }

    #[test]
    fn a_token_for_another_resource_is_refused_and_one_for_several_is_not() {
        let bench = Bench::new();
        for aud in ["https://other.example/", "https://notes.example", ""] {
            let claims = AccessClaims { aud: Audience::one(aud), ..sample::bearer() };
            assert_eq!(bench.judge(&claims, NOW), Err(BadToken::Audience), "{aud}");
        }
        let several = serde_json::from_value(json!(["https://userinfo.example", NOTES])).unwrap();
        assert!(bench.judge(&AccessClaims { aud: several, ..sample::bearer() }, NOW).is_ok());
    }

    #[test]
    fn a_token_lives_from_its_start_until_and_not_at_its_end_give_or_take_the_skew() {
        let bench = Bench::new();
        let ms = Lifetime::millis(1);
        let claims = sample::bearer();
        let end = claims.expires() + CLOCK_SKEW;
        assert!(bench.judge(&claims, end - ms).is_ok());
        assert_eq!(bench.judge(&claims, end), Err(BadToken::Expired));
        let start = claims.issued() - CLOCK_SKEW;
        assert!(bench.judge(&claims, start).is_ok());
        assert_eq!(bench.judge(&claims, start - ms), Err(BadToken::NotYet));
        let later = AccessClaims { nbf: Some(NOW.seconds() + 31), ..claims.clone() };
        assert_eq!(bench.judge(&later, NOW), Err(BadToken::NotYet));
        for exp in [i64::MIN, -1, 0] {
            assert_eq!(bench.judge(&AccessClaims { exp, ..claims.clone() }, NOW), Err(BadToken::Expired));
        }
        assert_eq!(bench.judge(&AccessClaims { iat: i64::MAX, ..claims }, NOW), Err(BadToken::NotYet));
    }

    #[test]
    fn the_issuer_s_own_reading_allows_no_skew_at_the_end() {
        let bench = Bench::new();
        let token = bench.key.sign(Typ::AccessToken, &sample::access());
        let read = |now| read(&token, &bench.keys, ISSUER, now, Lifetime::millis(0));
        let end = sample::access().expires();
        assert_eq!(read(end - Lifetime::millis(1)), Ok(sample::access()));
        assert_eq!(read(end), Err(BadToken::Expired));
    }

    #[test]
    fn every_scope_that_is_needed_must_be_there() {
        let bench = Bench::new();
        for scope in ["", "notes:write", "notes:rea", "notes:read2"] {
            let claims = AccessClaims { scope: Scopes::parse(scope).unwrap(), ..sample::bearer() };
            assert_eq!(bench.judge(&claims, NOW), Err(BadToken::Scope), "{scope}");
        }
    }

    #[test]
    fn a_bound_token_needs_a_proof_by_its_own_key() {
        let bench = Bench::new();
        let (own, other) = (Thumbprint::from_bytes([7; 32]), Thumbprint::from_bytes([8; 32]));
        let bound = sample::access();
        assert_eq!(bench.judge_proven(&bound, None, NOW), Err(BadToken::ProofNeeded));
        assert_eq!(bench.judge_proven(&bound, Some(other), NOW), Err(BadToken::WrongKey));
        assert!(bench.judge_proven(&bound, Some(own), NOW).is_ok());
        assert_eq!(bench.judge_proven(&sample::bearer(), Some(own), NOW), Err(BadToken::WrongKey));
    }

    #[test]
    fn a_token_bound_in_a_way_unknown_here_is_never_taken_for_a_bearer_token() {
        let bench = Bench::new();
        let judge_value = |claims: &Value, proven| {
            let scopes = Scopes::none();
            let expected = Expected { issuer: ISSUER, audience: NOTES, scopes: &scopes, proven };
            judge(&bench.key.sign(Typ::AccessToken, claims), &bench.keys, &expected, NOW)
        };
        let mut claims = serde_json::to_value(sample::bearer()).unwrap();
        claims["cnf"] = json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" });
        assert_eq!(judge_value(&claims, None), Err(BadToken::ProofNeeded));
        assert_eq!(judge_value(&claims, Some(Thumbprint::from_bytes([7; 32]))), Err(BadToken::WrongKey));
        assert_eq!(
            bound(&AccessClaims { cnf: Some(Cnf { jkt: None }), ..sample::bearer() }, None),
            Err(BadToken::ProofNeeded)
        );
    }

    #[test]
    fn an_endless_chain_of_actors_is_refused() {
        let bench = Bench::new();
        let chain = |n: usize| {
            (0..n).fold(None, |act, i| {
                Some(Act {
                    sub: i.to_string(),
                    iss: None,
                    client_id: None,
                    run: None,
                    act: act.map(Box::new),
                })
            })
        };
        let with = |n| AccessClaims { act: chain(n), ..sample::bearer() };
        assert!(bench.judge(&with(ACTORS_MAX), NOW).is_ok());
        assert_eq!(bench.judge(&with(ACTORS_MAX + 1), NOW), Err(BadToken::Claims));
    }

    #[test]
    fn an_id_token_never_passes_for_an_access_token() {
        let bench = Bench::new();
        let scopes = Scopes::none();
        let expected = Expected { issuer: ISSUER, audience: NOTES, scopes: &scopes, proven: None };
        for typ in [Typ::IdToken, Typ::ClientAuthentication, Typ::DpopProof] {
            let token = bench.key.sign(typ, &sample::bearer());
            assert!(matches!(judge(&token, &bench.keys, &expected, NOW), Err(BadToken::Type)));
        }
    }

    #[test]
    fn a_token_of_one_org_does_not_verify_in_another() {
        let (acme, other) = (Bench::new(), Bench::new());
        let token = acme.key.sign(Typ::AccessToken, &sample::bearer());
        let scopes = Scopes::none();
        let expected = Expected { issuer: ISSUER, audience: NOTES, scopes: &scopes, proven: None };
        assert_eq!(judge(&token, &other.keys, &expected, NOW), Err(BadToken::UnknownKey));
    }
}
