//! Proofs: the RFC's own, ours, and every way one is refused.

use super::*;
use crate::random::Seeded;
use crate::time::Lifetime;
use crate::wire::claims::sample::NOW;
use proptest::prelude::*;
use serde_json::{Value, json};

/// RFC 9449, section 5 (to the token endpoint) and section 7.1 (to a resource).
const RFC_HEADER: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
const RFC_AT_TOKEN: &str = "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
const RFC_AT_RESOURCE: &str = "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

const TOKEN: Request<'_> =
    Request { method: "POST", uri: "https://id.example/acme/token", access_token: None };

fn verdict(header: &str) -> Result<Proof, BadProof> {
    Proof::verify(header, &TOKEN, Freshness::Clock, NOW)
}

fn claims() -> Value {
    json!({ "jti": "1", "htm": TOKEN.method, "htu": TOKEN.uri, "iat": NOW.seconds() })
}

fn signed_with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    SigningKey::generate().sign(Typ::DpopProof, &claims)
}

#[test]
fn rfc_9449_s_own_proofs_hold() {
    let at_token = Request { method: "POST", uri: "https://server.example.com/token", access_token: None };
    let now = Timestamp::from_seconds(1_562_262_616);
    let proof =
        Proof::verify(&format!("{RFC_HEADER}.{RFC_AT_TOKEN}"), &at_token, Freshness::Clock, now).unwrap();
    assert_eq!(proof.key.to_string(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!((proof.jti.as_str(), proof.issued), ("-BwC3ESc6acc2lTc", now));
    let at_resource = Request {
        method: "GET",
        uri: "https://resource.example.org/protectedresource",
        access_token: Some("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
    };
    let header = format!("{RFC_HEADER}.{RFC_AT_RESOURCE}");
    assert_eq!(Proof::verify(&header, &at_resource, Freshness::Clock, now).unwrap().key, proof.key);
    let other = Request { access_token: Some("another"), ..at_resource };
    assert_eq!(Proof::verify(&header, &other, Freshness::Clock, now), Err(BadProof::AccessToken));
}

#[test]
fn what_the_holder_makes_is_accepted_and_used_once() {
    let entropy = Seeded::new(3);
    let mut memory = ReplayMemory::new();
    for key in [SigningKey::generate(), SigningKey::generate_ed25519()] {
        let request = Request {
            method: "GET",
            uri: "https://notes.example/list?page=2#top",
            access_token: Some("token"),
        };
        let header = proof(&key, &request, Some("n"), NOW, &entropy);
        let read = Proof::verify(&header, &request, Freshness::Clock, NOW).unwrap();
        assert_eq!((read.key, read.nonce.as_deref()), (key.thumbprint(), Some("n")));
        assert_eq!(read.take(&mut memory, NOW), Ok(()));
        let again = Proof::verify(&header, &request, Freshness::Clock, NOW + DPOP_WINDOW).unwrap();
        assert_eq!(again.take(&mut memory, NOW + DPOP_WINDOW), Err(BadProof::Replayed));
    }
}

#[test]
fn a_proof_is_a_proof_by_type_and_carries_a_public_key() {
    let key = SigningKey::generate();
    for typ in [Typ::AccessToken, Typ::IdToken, Typ::ClientAuthentication] {
        assert_eq!(verdict(&key.sign(typ, &claims())), Err(BadProof::Token(BadToken::Type)));
    }
    for bad in ["", "a.b.c", "a.b", &format!("{RFC_HEADER}.{RFC_AT_TOKEN}, {RFC_HEADER}.{RFC_AT_TOKEN}")] {
        assert!(matches!(verdict(bad), Err(BadProof::Token(_))), "{bad}");
    }
}

/// Signs claims under a header of the test's own making.
fn signed_under(header: impl Fn(Value) -> Value) -> String {
    let key = SigningKey::generate();
    let jwk = serde_json::to_value(key.public()).unwrap();
    let header = header(json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk })).to_string();
    let signed = format!("{}.{}", base64url::render(header), base64url::render(claims().to_string()));
    let signing = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(signing, &key.to_pkcs8()).unwrap();
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url::render(signature.as_ref()))
}

#[test]
fn the_header_s_key_must_be_public_asymmetric_and_the_one_that_signed() {
    let with = |name: &'static str, value: Value| {
        signed_under(move |mut header| {
            header[name] = value.clone();
            header
        })
    };
    let in_jwk = |name: &'static str, value: Value| {
        signed_under(move |mut header| {
            header["jwk"][name] = value.clone();
            header
        })
    };
    assert!(verdict(&signed_under(|header| header)).is_ok());
    let other = serde_json::to_value(SigningKey::generate().public()).unwrap();
    for (header, reason) in [
        (in_jwk("d", json!("AQ")), BadToken::Header),
        (in_jwk("d", Value::Null), BadToken::Header),
        (in_jwk("x", json!("AQ")), BadToken::Header),
        (in_jwk("kty", json!("oct")), BadToken::Header),
        (with("jwk", json!({ "kty": "oct", "k": "AQ" })), BadToken::Header),
        (with("jwk", Value::Null), BadToken::Header),
        (with("jwk", other), BadToken::Signature),
        (with("alg", json!("none")), BadToken::Algorithm),
        (with("alg", json!("HS256")), BadToken::Algorithm),
        (with("alg", json!("EdDSA")), BadToken::Algorithm),
        (with("typ", json!("JWT")), BadToken::Type),
        (with("typ", Value::Null), BadToken::Type),
        (with("crit", json!(["x"])), BadToken::Header),
        (with("jku", json!("https://evil.example")), BadToken::Header),
        (with("x5c", json!(["AQ"])), BadToken::Header),
    ] {
        assert_eq!(verdict(&header), Err(BadProof::Token(reason)));
    }
    assert!(verdict(&with("typ", json!("application/dpop+jwt"))).is_ok());
}

#[test]
fn a_proof_without_its_claims_is_refused() {
    for name in ["jti", "htm", "htu", "iat"] {
        assert_eq!(
            verdict(&signed_with(name, Value::Null)),
            Err(BadProof::Token(BadToken::Claims)),
            "{name}"
        );
    }
    assert_eq!(verdict(&signed_with("iat", json!(1.5))), Err(BadProof::Token(BadToken::Claims)));
    assert_eq!(verdict(&signed_with("jti", json!(""))), Err(BadProof::Jti));
    assert_eq!(verdict(&signed_with("jti", json!("j".repeat(JTI_LEN_MAX + 1)))), Err(BadProof::Jti));
    assert!(verdict(&signed_with("jti", json!("j".repeat(JTI_LEN_MAX)))).is_ok());
}

#[test]
fn another_method_or_address_is_refused() {
    for method in ["GET", "post", "", "POST "] {
        assert_eq!(verdict(&signed_with("htm", json!(method))), Err(BadProof::Method), "{method}");
    }
    for uri in [
        "https://id.example/acme/token/",
        "https://id.example/acme/Token",
        "https://id.example/other/token",
        "http://id.example/acme/token",
        "https://id.example:8443/acme/token",
        "https://id.example.evil.example/acme/token",
        "https://user@id.example/acme/token",
        "https://id.example/acme%2Ftoken",
        "https://id.example/acme/token%",
        "/acme/token",
        "acme/token",
        "javascript:alert(1)",
        "",
    ] {
        assert_eq!(verdict(&signed_with("htu", json!(uri))), Err(BadProof::Address), "{uri}");
    }
}

#[test]
fn an_address_is_compared_as_rfc_3986_makes_it_normal() {
    for uri in [
        "https://id.example/acme/token",
        "HTTPS://ID.Example/acme/token",
        "https://id.example:443/acme/token",
        "https://id.example/acme/%74oken",
        "https://id.example/acme/./token",
        "https://id.example/x/../acme/token",
        "https://id.example/acme/token?code=1",
        "https://id.example/acme/token#part",
    ] {
        assert!(verdict(&signed_with("htu", json!(uri))).is_ok(), "{uri}");
    }
    assert_eq!(normal("https://a.example"), normal("https://a.example/"));
    assert_eq!(normal("https://a.example/%7euser"), normal("https://a.example/~user"));
    assert_eq!(normal("https://a.example/a%2fb"), normal("https://a.example/a%2Fb"));
    assert_ne!(normal("https://a.example/a%2fb"), normal("https://a.example/a/b"));
    assert_eq!(normal("http://127.0.0.1:80/"), normal("http://127.0.0.1/"));
    assert_eq!(normal("http://[::1]:8080/a"), Some("http://[::1]:8080/a".into()));
    for bad in [
        "https://a.example/%",
        "https://a.example/%2",
        "https://a.example/%+a",
        "https://a.example/%zz",
        "ftp://a.example/",
    ] {
        assert_eq!(normal(bad), None, "{bad}");
    }
}

#[test]
fn by_the_clock_a_proof_is_good_for_a_window_either_way() {
    let window = DPOP_WINDOW.as_seconds();
    for (offset, fresh) in [(-window, true), (window, true), (-window - 1, false), (window + 1, false)] {
        let header = signed_with("iat", json!(NOW.seconds() + offset));
        assert_eq!(verdict(&header).is_ok(), fresh, "{offset}");
    }
    for iat in [i64::MIN, i64::MAX, 0] {
        assert_eq!(verdict(&signed_with("iat", json!(iat))), Err(BadProof::Time));
    }
}

#[test]
fn with_a_nonce_the_machine_s_own_clock_does_not_count() {
    let nonces = Nonces::new(&[1; 32]);
    let entropy = Seeded::new(1);
    let key = SigningKey::generate();
    let wrong_clock = NOW + Lifetime::days(400);
    let made = |nonce: Option<&str>| proof(&key, &TOKEN, nonce, wrong_clock, &entropy);
    let judge = |header: &str, now| Proof::verify(header, &TOKEN, Freshness::Nonce(&nonces), now);
    let nonce = nonces.issue(NOW);
    let good = made(Some(&nonce));
    assert!(judge(&good, NOW).is_ok());
    assert_eq!(judge(&made(None), NOW), Err(BadProof::Nonce));
    assert_eq!(judge(&made(Some("")), NOW), Err(BadProof::Nonce));
    assert_eq!(judge(&made(Some("made up")), NOW), Err(BadProof::Nonce));
    assert_eq!(judge(&good, NOW + DPOP_NONCE), Err(BadProof::Nonce));
    // It is remembered for as long as the nonce may be good.
    let mut memory = ReplayMemory::new();
    let half = Lifetime::millis((DPOP_NONCE.as_millis() / 2) as u32);
    judge(&good, NOW).unwrap().take(&mut memory, NOW).unwrap();
    let again = judge(&good, NOW + half).unwrap();
    assert_eq!(again.take(&mut memory, NOW + half), Err(BadProof::Replayed));
}

#[test]
fn a_nonce_lives_between_half_its_time_and_all_of_it() {
    let nonces = Nonces::new(&[1; 32]);
    let half = Lifetime::millis((DPOP_NONCE.as_millis() / 2) as u32);
    let ms = Lifetime::millis(1);
    for offset in [0u32, 1, 123_456, 299_999] {
        let issued = NOW + Lifetime::millis(offset);
        let nonce = nonces.issue(issued);
        assert!(nonces.accepts(&nonce, issued), "{offset}");
        assert!(nonces.accepts(&nonce, issued + half), "{offset}");
        assert!(!nonces.accepts(&nonce, issued + DPOP_NONCE), "{offset}");
    }
    // One of the far future, or of another server, is not ours.
    assert!(!nonces.accepts(&nonces.issue(NOW + DPOP_NONCE), NOW));
    assert!(!nonces.accepts(&Nonces::new(&[2; 32]).issue(NOW), NOW));
    assert_eq!(nonces.issue(NOW), nonces.issue(NOW + ms));
    assert!(!format!("{nonces:?}").contains(&nonces.issue(NOW)));
}

#[test]
fn each_refusal_has_its_code() {
    assert_eq!(BadProof::Nonce.code(), ErrorCode::UseDpopNonce);
    assert_eq!(BadProof::Busy.code(), ErrorCode::TemporarilyUnavailable);
    for refusal in
        [BadProof::Time, BadProof::Replayed, BadProof::Token(BadToken::Signature), BadProof::Method]
    {
        assert_eq!(refusal.code(), ErrorCode::InvalidDpopProof);
    }
}

proptest! {
    #[test]
    fn no_input_panics(text in ".*", uri in ".*") {
        let request = Request { method: "GET", uri: &uri, access_token: Some(&text) };
        let _ = Proof::verify(&text, &request, Freshness::Clock, NOW);
        let _ = Nonces::new(&[0; 32]).accepts(&text, NOW);
    }

    #[test]
    fn normal_is_the_same_done_twice(path in "[a-zA-Z0-9%/.~_!$&'()*+,;=:@ -]{0,30}") {
        if let Some(once) = normal(&format!("https://a.example/{path}")) {
            prop_assert_eq!(normal(&once), Some(once.clone()));
        }
    }
}
