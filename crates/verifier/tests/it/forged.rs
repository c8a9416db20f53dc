//! Access tokens and proofs that somebody made up, presented to the verifier (RFC 7515, 7517, 8725, 9068 and 9449).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use hallpass_model::jose::{SigningKey, Typ, base64url};
use hallpass_model::wire::dpop::ath;
use hallpass_verifier::{BadProof, BadToken, Dpop, Incoming, JwkSet, Rejection, Scopes, Verifier};
use http::{HeaderMap, HeaderValue, Method, Uri};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::judging::{ISSUER, NOTES, NOW, claims};

/// An issuer's key, and a verifier that knows it.
struct Forge {
    key: SigningKey,
    verifier: Verifier,
}

impl Forge {
    fn new() -> Self {
        Self::knowing(SigningKey::generate(), |_| {})
    }

    /// The verifier knows the key as it was published: as `change` made it.
    fn knowing(key: SigningKey, change: impl FnOnce(&mut Value)) -> Self {
        let mut published = serde_json::to_value(key.public()).unwrap();
        change(&mut published);
        let keys = serde_json::from_value(json!({ "keys": [published] })).unwrap();
        Self { key, verifier: Verifier::with_keys(ISSUER, NOTES, keys) }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": self.key.kid() })
    }

    /// What becomes of a token with this header, which the issuer's key signed.
    fn judge_header(&self, name: &str, value: Value) -> Result<(), BadToken> {
        let mut header = self.header();
        header[name] = value;
        self.judge(&sign(&self.key, &header, &good()))
    }

    /// What becomes of a token with this claim.
    fn judge_claim(&self, name: &str, value: Value) -> Result<(), BadToken> {
        let mut claims = good();
        claims[name] = value;
        self.judge(&sign(&self.key, &self.header(), &claims))
    }

    fn judge(&self, token: &str) -> Result<(), BadToken> {
        self.verifier.judge(token, &Scopes::none(), NOW).map(drop)
    }
}

fn good() -> Value {
    serde_json::to_value(claims(ISSUER)).unwrap()
}

/// Header and claims, and the two as they are signed.
fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64url::render(header.to_string()), base64url::render(claims.to_string()))
}

/// Signed with ES256, whatever the header says.
fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    sign_text(key, &unsigned(header, claims))
}

fn sign_text(key: &SigningKey, signed: &str) -> String {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.to_pkcs8()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64url::render(signature.as_ref()))
}

#[test]
fn what_is_forged_here_is_good_until_something_is_changed() {
    let forge = Forge::new();
    assert_eq!(forge.judge(&sign(&forge.key, &forge.header(), &good())), Ok(()));
    assert_eq!(forge.judge_header("kid", Value::Null), Ok(()), "the one key there is");
    assert_eq!(forge.judge_header("typ", json!("application/AT+JWT")), Ok(()));
}

#[test]
fn a_token_without_a_signature_is_refused_however_its_algorithm_is_spelled() {
    let forge = Forge::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = forge.header();
        header["alg"] = json!(alg);
        let unsigned = unsigned(&header, &good());
        for signature in ["", "AA"] {
            assert_eq!(forge.judge(&format!("{unsigned}.{signature}")), Err(BadToken::Algorithm), "{alg}");
        }
        assert_eq!(forge.judge_header("alg", json!(alg)), Err(BadToken::Algorithm), "{alg}");
    }
    let unsigned = unsigned(&forge.header(), &good());
    assert_eq!(forge.judge(&format!("{unsigned}.")), Err(BadToken::Signature));
}

#[test]
fn a_token_under_a_symmetric_key_is_refused_though_the_key_is_the_public_one() {
    let forge = Forge::new();
    let published = serde_json::to_value(forge.key.public()).unwrap();
    let part = |name: &str| base64url::parse(published[name].as_str().unwrap()).unwrap();
    let secrets = [published.to_string().into_bytes(), [part("x"), part("y")].concat(), vec![]];
    for alg in ["HS256", "HS512"] {
        let mut header = forge.header();
        header["alg"] = json!(alg);
        let unsigned = unsigned(&header, &good());
        for secret in &secrets {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), unsigned.as_bytes());
            let token = format!("{unsigned}.{}", base64url::render(tag.as_ref()));
            assert_eq!(forge.judge(&token), Err(BadToken::Algorithm), "{alg}");
        }
    }
}

/// RFC 8725, section 3.1: the key says what it is for, not the token.
#[test]
fn an_algorithm_that_the_key_is_not_for_is_refused_though_the_signature_is_good() {
    for alg in ["EdDSA", "RS256", "PS256"] {
        assert_eq!(Forge::new().judge_header("alg", json!(alg)), Err(BadToken::UnknownKey), "{alg}");
    }
    let unnamed = |published: &mut Value| drop(published.as_object_mut().unwrap().remove("alg"));
    let forge = Forge::knowing(SigningKey::generate(), unnamed);
    assert_eq!(forge.judge_header("alg", json!("ES256")), Ok(()), "its type says so");
    assert_eq!(forge.judge_header("alg", json!("EdDSA")), Err(BadToken::UnknownKey));
}

#[test]
fn a_token_of_another_type_or_of_none_is_refused() {
    let forge = Forge::new();
    for typ in
        [json!("JWT"), json!("dpop+jwt"), json!("logout+jwt"), json!("at+jwt+x"), json!(""), Value::Null]
    {
        assert_eq!(forge.judge_header("typ", typ.clone()), Err(BadToken::Type), "{typ}");
    }
}

/// RFC 8725, section 3.10, and RFC 7515, section 4.1.11.
#[test]
fn a_header_that_brings_a_key_points_at_one_or_names_an_extension_is_refused() {
    let forge = Forge::new();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["AQ"])),
        ("jwk", serde_json::to_value(forge.key.public()).unwrap()),
    ] {
        assert_eq!(forge.judge_header(name, value), Err(BadToken::Header), "{name}");
    }
    let stranger = SigningKey::generate();
    let own = json!({ "typ": "at+jwt", "alg": "ES256", "jwk": stranger.public() });
    assert_eq!(forge.judge(&sign(&stranger, &own, &good())), Err(BadToken::Header), "it proves nothing");
}

#[test]
fn another_s_key_is_not_helped_by_a_borrowed_or_missing_key_id() {
    let forge = Forge::new();
    let stranger = SigningKey::generate();
    let borrowed = forge.header();
    assert_eq!(forge.judge(&sign(&stranger, &borrowed, &good())), Err(BadToken::Signature));
    let mut nameless = forge.header();
    nameless.as_object_mut().unwrap().remove("kid");
    assert_eq!(forge.judge(&sign(&stranger, &nameless, &good())), Err(BadToken::Signature));
    for kid in [json!(stranger.kid()), json!(""), json!("../../dev/null"), json!("x' OR 1=1 --")] {
        assert_eq!(forge.judge_header("kid", kid.clone()), Err(BadToken::UnknownKey), "{kid}");
    }
    // Of two that would fit, a token that names none is by neither: nothing is guessed.
    let both = JwkSet::new(vec![forge.key.public().clone(), stranger.public().clone()]);
    let verifier = Verifier::with_keys(ISSUER, NOTES, both);
    let judged = verifier.judge(&sign(&forge.key, &nameless, &good()), &Scopes::none(), NOW);
    assert_eq!(judged, Err(BadToken::UnknownKey));
}

#[test]
fn a_token_that_was_changed_anywhere_is_refused() {
    let forge = Forge::new();
    let token = sign(&forge.key, &forge.header(), &good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let mut more = good();
    more["scope"] = json!("notes:read notes:write admin");
    let more = base64url::render(more.to_string());
    assert_eq!(forge.judge(&format!("{header}.{more}.{signature}")), Err(BadToken::Signature));
    for bad in [
        format!("{signed}.{signature}="),
        format!("{signed}.{signature}.AA"),
        format!("{signed} .{signature}"),
        format!("{signed}={signature}"),
        format!("{header}..{signature}"),
        signed.to_owned(),
        String::new(),
        "..".to_owned(),
    ] {
        let judged = forge.judge(&bad);
        assert!(matches!(judged, Err(BadToken::Malformed | BadToken::Signature)), "{bad}: {judged:?}");
    }
    // Good signatures over what is not written as it must be.
    let padded = format!("{header}.{}=", base64url::render(good().to_string()));
    assert_eq!(forge.judge(&sign_text(&forge.key, &padded)), Err(BadToken::Malformed));
    let list = format!("{header}.{}", base64url::render("[1]"));
    assert_eq!(forge.judge(&sign_text(&forge.key, &list)), Err(BadToken::Claims));
    let twice = good().to_string().replacen('{', r#"{"sub":"somebody-else","#, 1);
    let twice = format!("{header}.{}", base64url::render(twice));
    assert_eq!(forge.judge(&sign_text(&forge.key, &twice)), Err(BadToken::Claims));
}

#[test]
fn a_token_is_bounded_before_it_is_read() {
    let forge = Forge::new();
    assert_eq!(forge.judge_claim("purpose", json!("x".repeat(9_000))), Err(BadToken::TooLong));
    assert_eq!(forge.judge(&"a.".repeat(1_000_000)), Err(BadToken::TooLong));
}

#[test]
fn a_claim_that_is_missing_or_of_another_form_is_refused() {
    let forge = Forge::new();
    for name in ["iss", "sub", "aud", "exp", "iat", "client_id", "jti"] {
        assert_eq!(forge.judge_claim(name, Value::Null), Err(BadToken::Claims), "{name}");
    }
    for exp in [json!("1800000300"), json!(true), json!([1_800_000_300])] {
        assert_eq!(forge.judge_claim("exp", exp.clone()), Err(BadToken::Claims), "{exp}");
    }
    assert_eq!(forge.judge_claim("nbf", json!(NOW.seconds() + 31)), Err(BadToken::NotYet));
    assert_eq!(forge.judge_claim("nbf", json!(NOW.seconds() + 29)), Ok(()), "clocks differ");
    let deep = (0..20).fold(json!({ "sub": "first" }), |act, _| json!({ "sub": "next", "act": act }));
    assert_eq!(forge.judge_claim("act", deep), Err(BadToken::Claims));
}

/// RFC 7800, section 3.1: what is bound in a way that nobody here can check is no bearer token.
#[test]
fn a_token_bound_in_a_way_unknown_here_is_refused() {
    let forge = Forge::new();
    let by_certificate = json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" });
    assert_eq!(forge.judge_claim("cnf", by_certificate), Err(BadToken::ProofNeeded));
}

#[test]
fn a_published_key_is_used_for_signatures_of_its_size_alone() {
    let judged = |change: &dyn Fn(&mut Value)| {
        let key = SigningKey::generate();
        let mut published = serde_json::to_value(key.public()).unwrap();
        change(&mut published);
        serde_json::from_value::<JwkSet>(json!({ "keys": [published] })).map(|set| set.keys().len())
    };
    assert_eq!(judged(&|_| {}).unwrap(), 1);
    assert_eq!(judged(&|key| key["use"] = json!("enc")).unwrap(), 0);
    assert_eq!(judged(&|key| key["key_ops"] = json!(["encrypt"])).unwrap(), 0);
    assert_eq!(judged(&|key| key["kid"] = json!("k".repeat(300))).unwrap(), 0);
    let small = json!({ "kty": "RSA", "n": base64url::render([0xff; 128]), "e": "AQAB" });
    assert_eq!(judged(&|key| *key = small.clone()).unwrap(), 0, "1024 bits");
    let one = json!({ "kty": "RSA", "n": base64url::render([0xff; 256]), "e": "AQ" });
    assert_eq!(judged(&|key| *key = one.clone()).unwrap(), 0, "an exponent of one signs nothing");
    assert!(judged(&|key| key["d"] = json!("AQ")).is_err(), "whoever published that must be told");
    assert!(judged(&|key| *key = json!({ "kty": "oct", "k": "AQ" })).is_err());
    let many = json!({ "keys": vec![json!({}); 65] });
    assert!(serde_json::from_value::<JwkSet>(many).is_err());
}

/// A proof that the token's own key signed, under a header and with claims that may be wrong.
struct Proofs {
    forge: Forge,
    key: SigningKey,
    token: String,
}

impl Proofs {
    fn new() -> Self {
        let (forge, key) = (Forge::new(), SigningKey::generate());
        let mut claims = good();
        claims["cnf"] = json!({ "jkt": key.thumbprint().to_string() });
        let token = sign(&forge.key, &forge.header(), &claims);
        Self { forge, key, token }
    }

    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.public() })
    }

    fn claims(&self) -> Value {
        let (htu, ath) = ("https://notes.example/list", ath(&self.token));
        json!({ "jti": "1", "htm": "GET", "htu": htu, "iat": NOW.seconds(), "ath": ath })
    }

    async fn judge(&self, proof: &str) -> Result<(), Rejection> {
        let dpop = Dpop::at("https://notes.example").unwrap();
        let mut headers = HeaderMap::new();
        let bytes = |text: &str| HeaderValue::from_str(text).unwrap();
        headers.insert("authorization", bytes(&format!("DPoP {}", self.token)));
        headers.insert("dpop", bytes(proof));
        let uri = Uri::from_static("/list");
        let incoming = Incoming::new(&Method::GET, &uri, &headers);
        let verifier = self.forge.verifier.clone().with_dpop(dpop);
        verifier.accept(incoming, &Scopes::none(), NOW).await.map(drop).map_err(|refused| refused.why)
    }

    async fn judge_header(&self, name: &str, value: Value) -> Result<(), Rejection> {
        let mut header = self.header();
        header[name] = value;
        self.judge(&sign(&self.key, &header, &self.claims())).await
    }

    async fn judge_claim(&self, name: &str, value: Value) -> Result<(), Rejection> {
        let mut claims = self.claims();
        claims[name] = value;
        self.judge(&sign(&self.key, &self.header(), &claims)).await
    }
}

fn refused(why: BadToken) -> Result<(), Rejection> {
    Err(Rejection::Proof(BadProof::Token(why)))
}

#[tokio::test]
async fn a_proof_under_a_header_that_is_not_a_proof_s_is_refused_though_its_key_signed_it() {
    let proofs = Proofs::new();
    assert_eq!(proofs.judge(&sign(&proofs.key, &proofs.header(), &proofs.claims())).await, Ok(()));
    let mut private = serde_json::to_value(proofs.key.public()).unwrap();
    private["d"] = json!("AQ");
    for (name, value, why) in [
        ("typ", json!("JWT"), BadToken::Type),
        ("typ", json!("at+jwt"), BadToken::Type),
        ("typ", Value::Null, BadToken::Type),
        ("alg", json!("none"), BadToken::Algorithm),
        ("alg", json!("HS256"), BadToken::Algorithm),
        ("alg", json!("EdDSA"), BadToken::Algorithm),
        ("jwk", private, BadToken::Header),
        ("jwk", json!({ "kty": "oct", "k": "AQ" }), BadToken::Header),
        ("jwk", Value::Null, BadToken::Header),
        ("jwk", serde_json::to_value(SigningKey::generate().public()).unwrap(), BadToken::Signature),
        ("crit", json!(["x"]), BadToken::Header),
        ("jku", json!("https://evil.example"), BadToken::Header),
        ("x5u", json!("https://evil.example"), BadToken::Header),
        ("x5c", json!(["AQ"]), BadToken::Header),
    ] {
        assert_eq!(proofs.judge_header(name, value.clone()).await, refused(why), "{name} {value}");
    }
    // Its `kid` chooses nothing: the key is the one it carries.
    assert_eq!(proofs.judge_header("kid", json!(proofs.forge.key.kid())).await, Ok(()));
    let by_issuer = proofs.forge.key.sign(Typ::DpopProof, &proofs.claims());
    assert_eq!(proofs.judge(&by_issuer).await, Err(Rejection::Token(BadToken::WrongKey)));
}

#[tokio::test]
async fn a_proof_s_own_id_is_there_and_of_a_length_that_can_be_remembered() {
    let proofs = Proofs::new();
    for jti in ["".to_owned(), "j".repeat(257)] {
        assert_eq!(proofs.judge_claim("jti", json!(jti)).await, Err(Rejection::Proof(BadProof::Jti)));
    }
    for (name, value) in [("jti", Value::Null), ("jti", json!(1)), ("iat", Value::Null), ("htu", Value::Null)]
    {
        assert_eq!(proofs.judge_claim(name, value).await, refused(BadToken::Claims), "{name}");
    }
    let far = proofs.judge_claim("iat", json!(i64::MAX)).await;
    assert_eq!(far, Err(Rejection::Proof(BadProof::Time)));
}

/// A text that is altered in a few places, a character at a time.
fn altered(good: &str, changes: &[(prop::sample::Index, u8, u8)]) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for (at, how, byte) in changes {
        let (at, byte) = (at.index(bytes.len().max(1)), b' ' + byte % 95);
        match how % 4 {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.swap(at, 0),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 1..6)
}

proptest! {
    #[test]
    fn no_altered_token_is_let_in(changes in changes(), made_up in ".{0,200}") {
        let forge = Forge::new();
        let good = sign(&forge.key, &forge.header(), &good());
        let token = altered(&good, &changes);
        prop_assert_eq!(forge.judge(&token).is_ok(), token == good);
        prop_assert!(forge.judge(&made_up).is_err());
    }

    #[test]
    fn no_altered_proof_is_taken(changes in changes()) {
        let proofs = Proofs::new();
        let good = sign(&proofs.key, &proofs.header(), &proofs.claims());
        let proof = altered(&good, &changes);
        let judged = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(proofs.judge(&proof));
        prop_assert_eq!(judged.is_ok(), proof == good, "{:?}", judged);
    }

    #[test]
    fn no_published_keys_panic(changes in changes(), made_up in ".*") {
        let published = json!({ "keys": [SigningKey::generate().public()] }).to_string();
        let _ = serde_json::from_str::<JwkSet>(&altered(&published, &changes));
        prop_assert!(serde_json::from_str::<JwkSet>(&made_up).is_err());
    }

    #[test]
    fn no_header_panics(authorization in any::<Vec<u8>>(), proof in any::<Vec<u8>>(), path in "/[a-z%/.]{0,20}") {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("authorization", [b"DPoP ", authorization.as_slice()].concat()), ("dpop", proof)] {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(name, value);
            }
        }
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
        let verifier = Forge::new().verifier.with_dpop(Dpop::at("https://notes.example").unwrap());
        let incoming = Incoming::new(&Method::GET, &uri, &headers);
        let scopes = Scopes::none();
        let accepted = verifier.accept(incoming, &scopes, NOW);
        prop_assert!(tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(accepted).is_err());
    }
}
