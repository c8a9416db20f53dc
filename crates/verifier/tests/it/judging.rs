//! The plain function, with keys the caller brought.

use hallpass_model::jose::{BadToken, JwkSet, SigningKey, Typ};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::claims::{AccessClaims, Audience, Cnf};
use hallpass_verifier::{Scopes, Verifier};

pub(crate) const ISSUER: &str = "https://id.example/acme";
pub(crate) const NOTES: &str = "https://notes.example/";
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub(crate) fn claims(issuer: &str) -> AccessClaims {
    AccessClaims {
        iss: issuer.into(),
        sub: "prn_01h455vb4pex5vsknk084sn02q".into(),
        aud: Audience::one(NOTES),
        client_id: "hallpass-cli".into(),
        iat: NOW.seconds(),
        exp: NOW.seconds() + 300,
        nbf: None,
        jti: "crd_01h455vb4pex5vsknk084sn02q".into(),
        scope: "notes:read".parse().unwrap(),
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
    }
}

fn read() -> Scopes {
    "notes:read".parse().unwrap()
}

#[test]
fn a_token_for_this_api_is_let_in_and_one_for_another_is_not() {
    let key = SigningKey::generate();
    let verifier = Verifier::with_keys(ISSUER, NOTES, JwkSet::new(vec![key.public().clone()]));
    let judge = |claims: &AccessClaims| verifier.judge(&key.sign(Typ::AccessToken, claims), &read(), NOW);
    let good = claims(ISSUER);
    assert_eq!(judge(&good), Ok(good.clone()));

    let bad = |change: &dyn Fn(&mut AccessClaims)| {
        let mut claims = claims(ISSUER);
        change(&mut claims);
        judge(&claims).expect_err("it must not be let in")
    };
    assert_eq!(bad(&|c| c.aud = Audience::one("https://other.example/")), BadToken::Audience);
    assert_eq!(bad(&|c| c.iss = "https://id.example/evil".into()), BadToken::Issuer);
    assert_eq!(bad(&|c| c.exp = NOW.seconds() - 60), BadToken::Expired);
    assert_eq!(bad(&|c| c.iat = NOW.seconds() + 600), BadToken::NotYet);
    assert_eq!(bad(&|c| c.scope = "notes:write".parse().unwrap()), BadToken::Scope);
    assert_eq!(bad(&|c| c.cnf = Some(Cnf::jkt(key.thumbprint()))), BadToken::ProofNeeded);
}

#[test]
fn an_id_token_or_another_key_s_token_never_passes() {
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let verifier = Verifier::with_keys(ISSUER, NOTES, JwkSet::new(vec![key.public().clone()]));
    let claims = claims(ISSUER);
    assert_eq!(verifier.judge(&key.sign(Typ::IdToken, &claims), &read(), NOW), Err(BadToken::Type));
    assert_eq!(
        verifier.judge(&other.sign(Typ::AccessToken, &claims), &read(), NOW),
        Err(BadToken::UnknownKey)
    );
}
