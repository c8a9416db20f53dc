//! Every way a token is wrong, and the few in which it is right.

use super::*;
use crate::jose::{SigningKey, Typ};
use proptest::prelude::*;
use serde_json::{Value, json};

/// RFC 7515, appendix A: the same payload, signed by RSA (A.2) and on P-256 (A.3).
const RFC_PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn rfc_token(header: &str, signature: &str) -> String {
    format!("{header}.{RFC_PAYLOAD}.{signature}")
}

#[test]
fn rfc_7515_appendix_a_3_s_es256_token_verifies() {
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }] });
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let token = rfc_token(
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    let verified: Verified<Value> = verify(&token, &Profile::ID_TOKEN, &keys).unwrap();
    assert_eq!(verified.claims["iss"], "joe");
    assert_eq!(verify::<Value>(&token, &Profile::ACCESS_TOKEN, &keys), Err(BadToken::Type));
}

#[test]
fn rfc_7515_appendix_a_2_s_rs256_token_verifies() {
    let keys = json!({ "keys": [{ "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }] });
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let token = rfc_token(
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    assert!(verify::<Value>(&token, &Profile::ID_TOKEN, &keys).is_ok());
}

/// A key, its set, and a way to sign any header over any payload with it.
struct Bench {
    pair: aws_lc_rs::signature::EcdsaKeyPair,
    key: SigningKey,
    keys: JwkSet,
}

impl Bench {
    fn new() -> Self {
        let key = SigningKey::generate();
        let signing = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(signing, &key.to_pkcs8()).unwrap();
        let keys = JwkSet::new(vec![key.public().clone()]);
        Self { pair, key, keys }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.key.kid() })
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut header = self.header();
        header[name] = value;
        header
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        self.sign_parts(&base64url::render(header), &base64url::render(payload))
    }

    fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{header}.{payload}");
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let signature = self.pair.sign(&rng, signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64url::render(signature.as_ref()))
    }

    fn judge(&self, token: &str) -> Result<Value, BadToken> {
        verify::<Value>(token, &Profile::ACCESS_TOKEN, &self.keys).map(|v| v.claims)
    }

    fn judge_header(&self, header: &Value) -> Result<Value, BadToken> {
        self.judge(&self.sign(&header.to_string(), "{}"))
    }
}

#[test]
fn the_type_is_pinned_and_spelled_as_a_media_type_may_be() {
    let bench = Bench::new();
    for typ in ["at+jwt", "at+JWT", "application/at+jwt", "Application/AT+JWT"] {
        assert!(bench.judge_header(&bench.with("typ", json!(typ))).is_ok(), "{typ}");
    }
    for typ in ["JWT", "jwt", "", "at+jwt ", "application/", "text/at+jwt", "dpop+jwt", "secevent+jwt"] {
        assert_eq!(bench.judge_header(&bench.with("typ", json!(typ))), Err(BadToken::Type), "{typ}");
    }
    assert_eq!(bench.judge_header(&bench.with("typ", Value::Null)), Err(BadToken::Type));
}

#[test]
fn each_kind_of_token_is_refused_where_another_is_expected() {
    let bench = Bench::new();
    let accepted = |typ: Typ, profile: &Profile| {
        verify::<Value>(&bench.key.sign(typ, &json!({})), profile, &bench.keys).is_ok()
    };
    let access = Profile::ACCESS_TOKEN;
    let profiles = [access, Profile::ID_TOKEN, Profile::CLIENT_ASSERTION, Profile::OLDER_CLIENT_ASSERTION];
    let kinds = [Typ::AccessToken, Typ::IdToken, Typ::ClientAuthentication, Typ::DpopProof];
    let table = kinds.map(|typ| profiles.map(|profile| accepted(typ, &profile)));
    assert_eq!(
        table,
        [
            [true, false, false, false],
            [false, true, false, true], // an ID token is told from an old assertion by its claims alone
            [false, false, true, true],
            [false, false, false, false],
        ]
    );
}

#[test]
fn an_algorithm_that_is_not_the_key_s_is_refused() {
    let bench = Bench::new();
    for alg in ["none", "None", "HS256", "HS512", "ES384", "es256", "RS512", ""] {
        assert_eq!(bench.judge_header(&bench.with("alg", json!(alg))), Err(BadToken::Algorithm), "{alg}");
    }
    // Known, and not this key's: no key fits.
    for alg in ["RS256", "PS256", "EdDSA", "Ed25519"] {
        assert_eq!(bench.judge_header(&bench.with("alg", json!(alg))), Err(BadToken::UnknownKey), "{alg}");
    }
    assert_eq!(bench.judge_header(&json!({ "typ": "at+jwt" })), Err(BadToken::Malformed));
}

#[test]
fn an_unsigned_token_is_refused_however_it_is_spelled() {
    let bench = Bench::new();
    let header = base64url::render(bench.with("alg", json!("none")).to_string());
    assert_eq!(bench.judge(&format!("{header}.e30.")), Err(BadToken::Algorithm));
    let header = base64url::render(bench.header().to_string());
    assert_eq!(bench.judge(&format!("{header}.e30.")), Err(BadToken::Signature));
    assert_eq!(bench.judge(&format!("{header}.e30")), Err(BadToken::Malformed));
}

#[test]
fn a_symmetric_signature_made_with_the_public_key_is_refused() {
    let bench = Bench::new();
    let public = serde_json::to_vec(bench.key.public()).unwrap();
    let header = base64url::render(bench.with("alg", json!("HS256")).to_string());
    let signed = format!("{header}.e30");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", base64url::render(tag.as_ref()));
    assert_eq!(bench.judge(&token), Err(BadToken::Algorithm));
}

#[test]
fn a_header_with_a_key_a_pointer_or_an_extension_is_refused() {
    let bench = Bench::new();
    let own = serde_json::to_value(bench.key.public()).unwrap();
    for (name, value) in [
        ("jwk", own),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["AQ"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("b64", json!(false)),
    ] {
        assert_eq!(bench.judge_header(&bench.with(name, value)), Err(BadToken::Header), "{name}");
    }
    // What is only a name for a key harms nobody; nor does what nobody knows.
    assert!(bench.judge_header(&bench.with("x5t", json!("AQ"))).is_ok());
    assert!(bench.judge_header(&bench.with("unheard-of", json!({}))).is_ok());
}

#[test]
fn a_repeated_header_member_is_refused() {
    let bench = Bench::new();
    let kid = bench.key.kid();
    for twice in [
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"{kid}","alg":"none"}}"#),
        format!(r#"{{"typ":"JWT","alg":"ES256","kid":"{kid}","typ":"at+jwt"}}"#),
        format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"x","kid":"{kid}"}}"#),
    ] {
        assert_eq!(bench.judge(&bench.sign(&twice, "{}")), Err(BadToken::Malformed), "{twice}");
    }
}

#[test]
fn a_list_is_not_a_header_and_not_claims() {
    let bench = Bench::new();
    let header = bench.header().to_string();
    assert_eq!(bench.judge(&bench.sign(r#"["ES256","at+jwt"]"#, "{}")), Err(BadToken::Malformed));
    for payload in ["[]", "1", "null", "\"text\"", "", "{", "{} {}"] {
        assert_eq!(bench.judge(&bench.sign(&header, payload)), Err(BadToken::Claims), "{payload}");
    }
    assert!(bench.judge(&bench.sign(&header, " {} ")).is_ok());
}

#[test]
fn only_three_parts_of_canonical_base64url_are_a_token() {
    let bench = Bench::new();
    let good = bench.sign(&bench.header().to_string(), "{}");
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        format!("{header}.{payload}"),
        format!("{good}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}.{payload}.+{}", &signature[1..]),
        format!("{header}.{payload}.é{}", &signature[2..]),
    ] {
        assert_eq!(bench.judge(&bad), Err(BadToken::Malformed), "{bad}");
    }
    // The payload is read after the signature, so a signer's own bad spelling is refused too.
    for payload in ["e30=", "e31", "e3 0", "e30\t", "e"] {
        assert_eq!(bench.judge(&bench.sign_parts(header, payload)), Err(BadToken::Malformed), "{payload}");
    }
    assert!(bench.judge(&bench.sign_parts(header, "e30")).is_ok());
    // 86 characters hold four bits more than 64 bytes: the last one has sixteen spellings, and one is read.
    let last = good.chars().last().unwrap();
    let spellings: Vec<bool> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        .chars()
        .map(|c| bench.judge(&format!("{}{c}", &good[..good.len() - 1])).is_ok())
        .collect();
    assert_eq!(spellings.iter().filter(|ok| **ok).count(), 1, "{last}");
}

#[test]
fn any_one_changed_character_is_noticed() {
    let bench = Bench::new();
    let good = bench.sign(&bench.header().to_string(), r#"{"sub":"ann"}"#);
    assert!(bench.judge(&good).is_ok());
    for at in 0..good.len() {
        let old = good.as_bytes()[at];
        let new = if old == b'A' { b'B' } else { b'A' };
        let mut changed = good.clone().into_bytes();
        changed[at] = new;
        assert!(bench.judge(std::str::from_utf8(&changed).unwrap()).is_err(), "at {at}");
    }
}

#[test]
fn a_signature_of_another_length_or_form_is_refused() {
    let bench = Bench::new();
    let good = bench.sign(&bench.header().to_string(), "{}");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let signature = base64url::parse(signature).unwrap();
    let asn1 = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let der = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(asn1, &bench.key.to_pkcs8()).unwrap();
    let der = der.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    for bad in [&signature[..63], &[&signature[..], &[0]].concat(), &[0; 64], der.as_ref(), &[]] {
        let token = format!("{signed}.{}", base64url::render(bad));
        assert_eq!(bench.judge(&token), Err(BadToken::Signature));
    }
}

#[test]
fn a_token_is_bounded_before_it_is_read() {
    let bench = Bench::new();
    let filler =
        |n: usize| bench.sign(&bench.header().to_string(), &format!(r#"{{"a":"{}"}}"#, "a".repeat(n)));
    let fits =
        (1..).map(|n| filler(5_800 + n)).take_while(|t| t.len() <= ACCESS_TOKEN_LEN_MAX).last().unwrap();
    assert!(bench.judge(&fits).is_ok());
    assert_eq!(bench.judge(&filler(6_200)), Err(BadToken::TooLong));
    assert_eq!(bench.judge(&".".repeat(ACCESS_TOKEN_LEN_MAX + 1)), Err(BadToken::TooLong));
    // ID tokens may be longer, and end too.
    let long = bench.key.sign(Typ::IdToken, &json!({ "groups": "g".repeat(20_000) }));
    assert!(verify::<Value>(&long, &Profile::ID_TOKEN, &bench.keys).is_ok());
    let longer = bench.key.sign(Typ::IdToken, &json!({ "groups": "g".repeat(60_000) }));
    assert_eq!(verify::<Value>(&longer, &Profile::ID_TOKEN, &bench.keys), Err(BadToken::TooLong));
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let bench = Bench::new();
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(bench.judge(&bench.sign(&bench.header().to_string(), &deep)), Err(BadToken::Claims));
}

#[test]
fn a_key_that_is_not_the_issuer_s_is_unknown_and_a_borrowed_kid_does_not_help() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let token = theirs.sign(&theirs.header().to_string(), "{}");
    assert_eq!(ours.judge(&token), Err(BadToken::UnknownKey));
    let borrowed = theirs.sign(&ours.header().to_string(), "{}");
    assert_eq!(ours.judge(&borrowed), Err(BadToken::Signature));
    assert_eq!(
        verify::<Value>(&token, &Profile::ACCESS_TOKEN, &JwkSet::default()),
        Err(BadToken::UnknownKey)
    );
}

#[test]
fn of_two_keys_with_one_kid_either_may_have_signed() {
    let (one, two) = (Bench::new(), Bench::new());
    let named = |b: &Bench| {
        let mut jwk = serde_json::to_value(b.key.public()).unwrap();
        jwk["kid"] = json!("same");
        jwk
    };
    let keys = json!({ "keys": [named(&one), named(&two)] });
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    for bench in [&one, &two] {
        let token = bench.sign(&bench.with("kid", json!("same")).to_string(), "{}");
        let verified = verify::<Value>(&token, &Profile::ACCESS_TOKEN, &keys).unwrap();
        assert_eq!(verified.key, bench.key.thumbprint());
    }
}

#[test]
fn rsa_keys_verify_what_they_are_for_and_nothing_else() {
    use aws_lc_rs::signature::{
        KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    };
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let keys = |alg: Option<&str>| -> JwkSet {
        let mut key = json!({ "kty": "RSA", "kid": "r", "n": base64url::render(&public.n), "e": base64url::render(&public.e) });
        if let Some(alg) = alg {
            key["alg"] = json!(alg);
        }
        serde_json::from_value(json!({ "keys": [key] })).unwrap()
    };
    let token = |alg: &str, encoding: &'static dyn RsaEncoding| {
        let header = json!({ "typ": "JWT", "alg": alg, "kid": "r" }).to_string();
        let signed = format!("{}.e30", base64url::render(header));
        let mut signature = vec![0; pair.public_modulus_len()];
        let rng = aws_lc_rs::rand::SystemRandom::new();
        pair.sign(encoding, &rng, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", base64url::render(signature))
    };
    let judge = |token: &str, keys: &JwkSet| verify::<Value>(token, &Profile::ID_TOKEN, keys).map(|_| ());
    let (rs, ps) = (token("RS256", &RSA_PKCS1_SHA256), token("PS256", &RSA_PSS_SHA256));
    for (alg, rs_verdict, ps_verdict) in [
        (None, Ok(()), Ok(())),
        (Some("RS256"), Ok(()), Err(BadToken::UnknownKey)),
        (Some("PS256"), Err(BadToken::UnknownKey), Ok(())),
    ] {
        assert_eq!(judge(&rs, &keys(alg)), rs_verdict);
        assert_eq!(judge(&ps, &keys(alg)), ps_verdict);
    }
    // The right key, and the padding of the other algorithm.
    assert_eq!(judge(&token("RS256", &RSA_PSS_SHA256), &keys(None)), Err(BadToken::Signature));
}

#[test]
fn a_peek_tells_what_the_token_says_and_verifies_nothing() {
    let bench = Bench::new();
    let token = bench.sign(&bench.header().to_string(), r#"{"iss":"https://a.example"}"#);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let peek = peek_unverified(&format!("{signed}.AAAA")).unwrap();
    assert_eq!(peek.kid.as_deref(), Some(bench.key.kid()));
    assert_eq!(peek.issuer.as_deref(), Some("https://a.example"));
    assert!(peek_unverified("a.b.c").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        let _ = peek_unverified(&text);
        let _ = verify::<Value>(&text, &Profile::ID_TOKEN, &JwkSet::default());
        let _ = verify_with_embedded_key::<Value>(&text);
    }

    #[test]
    fn no_header_or_payload_panics(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), sig in any::<Vec<u8>>()) {
        let token = [header, payload, sig].map(base64url::render).join(".");
        let _ = peek_unverified(&token);
        let _ = verify::<Value>(&token, &Profile::ACCESS_TOKEN, &JwkSet::default());
        let _ = verify_with_embedded_key::<Value>(&token);
    }
}

/// A second opinion: whatever we accept, an independent library accepts too, whatever was done to it.
mod second_opinion {
    use super::*;
    use jsonwebtoken::{Algorithm as Theirs, DecodingKey, Validation, decode};

    fn accepts(token: &str, key: &SigningKey) -> bool {
        let jwk = serde_json::from_value(serde_json::to_value(key.public()).unwrap()).unwrap();
        let mut validation = Validation::new(Theirs::ES256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).is_ok()
    }

    #[test]
    fn what_it_signs_we_accept() {
        let bench = Bench::new();
        let key = jsonwebtoken::EncodingKey::from_ec_der(&bench.key.to_pkcs8());
        let mut header = jsonwebtoken::Header::new(Theirs::ES256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(bench.key.kid().to_owned());
        let token = jsonwebtoken::encode(&header, &json!({ "sub": "ann" }), &key).unwrap();
        assert_eq!(bench.judge(&token), Ok(json!({ "sub": "ann" })));
    }

    proptest! {
        #[test]
        fn what_we_accept_it_accepts(at in 0usize..400, new in "[A-Za-z0-9_.=-]", cut in proptest::option::of(0usize..400)) {
            let bench = Bench::new();
            let mut token = bench.sign(&bench.header().to_string(), r#"{"sub":"ann"}"#);
            let at = at % token.len();
            token.replace_range(at..=at, &new);
            if let Some(cut) = cut {
                token.truncate(cut % token.len());
            }
            if bench.judge(&token).is_ok() {
                prop_assert!(accepts(&token, &bench.key));
            }
        }
    }
}
