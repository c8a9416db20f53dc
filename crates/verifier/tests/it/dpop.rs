//! Tokens bound to a key, as an API that mounts the layer sees them (RFC 9449, sections 4.3, 7 and 9).

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_model::lifetimes::{DPOP_NONCE, DPOP_WINDOW};
use hallpass_model::random::SystemEntropy;
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::claims::Cnf;
use hallpass_model::wire::dpop::{Request as Proven, ath, proof};
use hallpass_verifier::layer::RequireToken;
use hallpass_verifier::{AccessClaims, BadBase, Dpop, ProvenKey, Verifier};
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::judging::{ISSUER, NOTES, NOW, claims};

const NONCE_KEY: &[u8; 32] = b"a nonce key of 32 bytes, no more";

/// An API at `https://notes.example`, a caller with a key, and a token bound to that key.
struct Bench {
    issuer: SigningKey,
    key: SigningKey,
    router: Router,
    clock: Arc<AtomicI64>,
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn challenges(&self) -> Vec<&str> {
        self.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
    }

    fn nonce(&self) -> Option<&str> {
        self.headers.get("dpop-nonce").map(|value| value.to_str().unwrap())
    }

    /// The code that the `DPoP` challenge names.
    fn error(&self) -> Option<String> {
        let challenges = self.challenges();
        let dpop = challenges.iter().find(|challenge| challenge.starts_with("DPoP "))?;
        Some(dpop.split_once("error=\"")?.1.split('"').next().unwrap().to_owned())
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(Dpop::at("https://notes.example").unwrap())
    }

    fn with(dpop: Dpop) -> Self {
        let (issuer, key) = (SigningKey::generate(), SigningKey::generate());
        let verifier = Verifier::with_keys(ISSUER, NOTES, JwkSet::new(vec![issuer.public().clone()]));
        let clock = Arc::new(AtomicI64::new(NOW.millis()));
        let read = clock.clone();
        let layer = RequireToken::new(
            verifier.with_dpop(dpop),
            "notes:read".parse().unwrap(),
            Arc::new(move || Timestamp::from_millis(read.load(Ordering::SeqCst))),
        );
        let who = |claims: axum::Extension<AccessClaims>, key: Option<axum::Extension<ProvenKey>>| async move {
            let key = key.map_or("nobody's".to_owned(), |key| key.0.0.to_string());
            format!("{} {key}", claims.sub)
        };
        Self { issuer, key, router: Router::new().fallback(any(who)).layer(layer), clock }
    }

    fn token_of(&self, change: impl FnOnce(&mut AccessClaims)) -> String {
        let mut claims = claims(ISSUER);
        change(&mut claims);
        self.issuer.sign(Typ::AccessToken, &claims)
    }

    fn bound(&self) -> String {
        self.token_of(|claims| claims.cnf = Some(Cnf::jkt(self.key.thumbprint())))
    }

    fn bearer(&self) -> String {
        self.token_of(|_| {})
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    fn advance(&self, by: Lifetime) {
        self.clock.fetch_add(by.as_millis(), Ordering::SeqCst);
    }

    /// A good proof for `GET /list` with this token.
    fn proof(&self, token: &str, nonce: Option<&str>) -> String {
        let request = Proven { method: "GET", uri: "https://notes.example/list", access_token: Some(token) };
        proof(&self.key, &request, nonce, self.now(), &SystemEntropy)
    }

    /// A proof that is good but for one claim.
    fn proof_but(&self, token: &str, name: &str, value: Value) -> String {
        let mut claims = json!({
            "jti": "one of a kind",
            "htm": "GET",
            "htu": "https://notes.example/list",
            "iat": self.now().seconds(),
            "ath": ath(token),
        });
        claims[name] = value;
        self.key.sign(Typ::DpopProof, &claims)
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 4096).await.unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// `GET /list` with a token as bound, and a proof.
    async fn list(&self, token: &str, proof: &str) -> Reply {
        self.send("GET", "/list", &[("authorization", &format!("DPoP {token}")), ("dpop", proof)]).await
    }

    async fn refuses(&self, token: &str, proof: &str) -> Option<String> {
        let reply = self.list(token, proof).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.body);
        reply.error()
    }
}

fn invalid_proof() -> Option<String> {
    Some("invalid_dpop_proof".to_owned())
}

fn invalid_token() -> Option<String> {
    Some("invalid_token".to_owned())
}

#[tokio::test]
async fn a_bound_token_with_its_proof_is_let_in_and_the_handler_knows_the_key() {
    let bench = Bench::new();
    let token = bench.bound();
    for scheme in ["DPoP", "dpop"] {
        let (authorization, proof) = (format!("{scheme} {token}"), bench.proof(&token, None));
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        let reply = bench.send("GET", "/list?page=2", &headers).await;
        let expected = format!("{} {}", claims(ISSUER).sub, bench.key.thumbprint());
        assert_eq!((reply.status, reply.body), (StatusCode::OK, expected));
        assert_eq!(reply.headers.get("dpop-nonce"), None, "none is wanted here");
    }
}

#[tokio::test]
async fn a_bound_token_sent_as_bearer_is_refused_with_its_proof_or_without() {
    let bench = Bench::new();
    let (token, authorization) = (bench.bound(), format!("Bearer {}", bench.bound()));
    let proof = bench.proof(&token, None);
    for headers in [
        &[("authorization", authorization.as_str())][..],
        &[("authorization", authorization.as_str()), ("dpop", proof.as_str())],
    ] {
        let reply = bench.send("GET", "/list", headers).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert!(reply.challenges()[0].contains(r#"error="invalid_token""#), "{:?}", reply.challenges());
    }
}

#[tokio::test]
async fn a_bearer_token_sent_as_bound_is_refused() {
    let bench = Bench::new();
    let token = bench.bearer();
    assert_eq!(bench.refuses(&token, &bench.proof(&token, None)).await, invalid_token());
}

#[tokio::test]
async fn a_token_bound_to_another_key_is_refused() {
    let bench = Bench::new();
    let token = bench.token_of(|c| c.cnf = Some(Cnf::jkt(SigningKey::generate().thumbprint())));
    assert_eq!(bench.refuses(&token, &bench.proof(&token, None)).await, invalid_token());
}

#[tokio::test]
async fn a_bound_token_comes_with_exactly_one_proof() {
    let bench = Bench::new();
    let token = bench.bound();
    let authorization = format!("DPoP {token}");
    let (one, two) = (bench.proof(&token, None), bench.proof(&token, None));
    let authorized = ("authorization", authorization.as_str());
    let none = bench.send("GET", "/list", &[authorized]).await;
    assert_eq!((none.status, none.error()), (StatusCode::UNAUTHORIZED, invalid_proof()));
    let both = bench.send("GET", "/list", &[authorized, ("dpop", &one), ("DPoP", &two)]).await;
    assert_eq!((both.status, both.error()), (StatusCode::UNAUTHORIZED, invalid_proof()));
    assert_eq!(bench.refuses(&token, &format!("{one}, {two}")).await, invalid_proof());
}

#[tokio::test]
async fn a_token_sent_in_two_ways_is_refused() {
    let bench = Bench::new();
    let (bound, bearer) = (bench.bound(), bench.bearer());
    let (as_bound, as_bearer) = (format!("DPoP {bound}"), format!("Bearer {bearer}"));
    let proof = bench.proof(&bound, None);
    let headers = [("authorization", as_bearer.as_str()), ("authorization", &as_bound), ("dpop", &proof)];
    assert_eq!(bench.send("GET", "/list", &headers).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_proof_for_another_method_address_or_token_is_refused() {
    let bench = Bench::new();
    let token = bench.bound();
    for (claim, value) in [
        ("htm", json!("POST")),
        ("htm", json!("get")),
        ("htu", json!("https://notes.example/other")),
        ("htu", json!("https://notes.example:8443/list")),
        ("htu", json!("http://notes.example/list")),
        ("htu", json!("https://evil.example/list")),
        ("htu", json!("https://notes.example@evil.example/list")),
        ("htu", json!("/list")),
        ("ath", json!(ath(&bench.bearer()))),
        ("ath", json!("")),
        ("ath", Value::Null),
    ] {
        let proof = bench.proof_but(&token, claim, value.clone());
        assert_eq!(bench.refuses(&token, &proof).await, invalid_proof(), "{claim} {value}");
    }
}

#[tokio::test]
async fn the_same_address_written_otherwise_is_the_same() {
    let bench = Bench::new();
    let token = bench.bound();
    for htu in [
        "https://notes.example/list",
        "HTTPS://Notes.EXAMPLE:443/list",
        "https://notes.example/l%69st",
        "https://notes.example/%6C%69st?page=1#end",
        "https://notes.example/a/../list",
    ] {
        let proof = bench.proof_but(&token, "htu", json!(htu));
        let proof = with_jti(&bench, &proof, htu);
        assert_eq!(bench.list(&token, &proof).await.status, StatusCode::OK, "{htu}");
    }
    // And the request's own spelling counts no more than the proof's.
    let (authorization, proof) = (format!("DPoP {token}"), bench.proof(&token, None));
    let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(bench.send("GET", "/%6c%69st", &headers).await.status, StatusCode::OK);
}

/// The proof again, with an id of its own.
fn with_jti(bench: &Bench, proof: &str, jti: &str) -> String {
    let claims = hallpass_model::jose::base64url::parse(proof.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["jti"] = json!(jti);
    bench.key.sign(Typ::DpopProof, &claims)
}

/// SECURITY: whoever had a proof made for an address of their own must not be able to name that address here.
#[tokio::test]
async fn where_a_request_was_sent_is_told_by_nobody_but_the_resource() {
    let bench = Bench::new();
    let token = bench.bound();
    let proof = bench.proof_but(&token, "htu", json!("https://evil.example/list"));
    let authorization = format!("DPoP {token}");
    for header in ["host", "x-forwarded-host", "forwarded"] {
        let value = if header == "forwarded" { "host=evil.example" } else { "evil.example" };
        let headers = [("authorization", authorization.as_str()), ("dpop", &proof), (header, value)];
        for path in ["/list", "https://evil.example/list"] {
            let reply = bench.send("GET", path, &headers).await;
            assert_eq!(
                (reply.status, reply.error()),
                (StatusCode::UNAUTHORIZED, invalid_proof()),
                "{header}"
            );
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_address_is_the_one_that_callers_use() {
    let bench = Bench::with(Dpop::at("https://example/notes/").unwrap());
    let token = bench.bound();
    let proof = bench.proof_but(&token, "htu", json!("https://example/notes/list"));
    assert_eq!(bench.list(&token, &proof).await.status, StatusCode::OK);
    let inside = with_jti(&bench, &bench.proof_but(&token, "htu", json!("https://example/list")), "2");
    assert_eq!(bench.refuses(&token, &inside).await, invalid_proof());
    for bad in ["notes.example", "https://a@b/", "https://b/?q", "https://b/#f", "ftp://b/", ""] {
        assert_eq!(Dpop::at(bad).err(), Some(BadBase), "{bad}");
    }
}

#[tokio::test]
async fn a_proof_is_good_around_the_time_it_was_made_and_once() {
    let bench = Bench::new();
    let token = bench.bound();
    let (old, used) = (bench.proof(&token, None), bench.proof(&token, None));
    assert_eq!(bench.list(&token, &used).await.status, StatusCode::OK);
    assert_eq!(bench.refuses(&token, &used).await, invalid_proof(), "used before");
    bench.advance(DPOP_WINDOW);
    assert_eq!(bench.refuses(&token, &used).await, invalid_proof(), "still remembered");
    assert_eq!(bench.list(&token, &old).await.status, StatusCode::OK);
    let old = bench.proof(&token, None);
    bench.advance(DPOP_WINDOW + Lifetime::seconds(1));
    assert_eq!(bench.refuses(&token, &old).await, invalid_proof(), "too old");
    let early = bench.proof_but(&token, "iat", json!(bench.now().seconds() + DPOP_WINDOW.as_seconds() + 1));
    assert_eq!(bench.refuses(&token, &early).await, invalid_proof(), "from the future");
}

/// Two that arrive at once are two: one of them is let in.
#[tokio::test]
async fn of_many_copies_of_one_proof_exactly_one_is_let_in() {
    let bench = Arc::new(Bench::new());
    let token = bench.bound();
    let proof = bench.proof(&token, None);
    let let_in = Arc::new(Mutex::new(0));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (bench, token, proof, let_in) = (bench.clone(), token.clone(), proof.clone(), let_in.clone());
        all.spawn(async move {
            *let_in.lock().unwrap() += usize::from(bench.list(&token, &proof).await.status == StatusCode::OK);
        });
    }
    all.join_all().await;
    assert_eq!(*let_in.lock().unwrap(), 1);
}

/// Only who has a good token can have a proof remembered: strangers do not fill our memory, nor use others' proofs up.
#[tokio::test]
async fn a_proof_that_came_with_a_bad_token_is_not_used_up() {
    let bench = Bench::new();
    let token = bench.bound();
    let proof = bench.proof(&token, None);
    let scopeless = bench.token_of(|c| {
        c.cnf = Some(Cnf::jkt(bench.key.thumbprint()));
        c.scope = "other".parse().unwrap();
    });
    let refused = bench.proof_but(&scopeless, "jti", json!("shared"));
    assert_eq!(bench.list(&scopeless, &refused).await.status, StatusCode::FORBIDDEN);
    let good = bench.proof_but(&token, "jti", json!("shared"));
    assert_eq!(bench.list(&token, &good).await.status, StatusCode::OK);
    assert_eq!(bench.list(&token, &proof).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_proof_must_be_signed_by_the_public_key_it_carries_under_its_own_type() {
    let bench = Bench::new();
    let token = bench.bound();
    let good = bench.proof(&token, None);
    let (signed, _) = good.rsplit_once('.').unwrap();
    let claims = good.split('.').nth(1).unwrap();
    let with_header = |header: Value| {
        let header = hallpass_model::jose::base64url::render(header.to_string());
        format!("{header}.{claims}.{}", good.rsplit_once('.').unwrap().1)
    };
    let jwk = serde_json::to_value(bench.key.public()).unwrap();
    let mut private = jwk.clone();
    private["d"] = json!("AQ");
    for bad in [
        format!("{signed}."),
        format!("{signed}.AAAA"),
        with_header(json!({ "typ": "dpop+jwt", "alg": "none", "jwk": jwk })),
        with_header(json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": jwk })),
        with_header(json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk })),
        with_header(json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": private })),
        with_header(json!({ "typ": "JWT", "alg": "ES256", "jwk": jwk })),
        bench.key.sign(Typ::AccessToken, &json!({ "jti": "1", "htm": "GET" })),
        String::new(),
    ] {
        assert_eq!(bench.refuses(&token, &bad).await, invalid_proof(), "{bad}");
    }
}

#[tokio::test]
async fn a_nonce_is_asked_for_taken_renewed_and_over() {
    let bench = Bench::with(Dpop::at("https://notes.example").unwrap().with_nonces(NONCE_KEY));
    let token = bench.bound();
    let asked = bench.list(&token, &bench.proof(&token, None)).await;
    assert_eq!((asked.status, asked.error().as_deref()), (StatusCode::UNAUTHORIZED, Some("use_dpop_nonce")));
    assert_eq!(asked.headers["cache-control"], "no-store");
    let first = asked.nonce().expect("the nonce that is wanted").to_owned();

    let taken = bench.list(&token, &bench.proof(&token, Some(&first))).await;
    assert_eq!((taken.status, taken.nonce()), (StatusCode::OK, None), "it is the newest");
    bench.advance(Lifetime::millis((DPOP_NONCE.as_millis() / 2) as u32));
    let renewed = bench.list(&token, &bench.proof(&token, Some(&first))).await;
    assert_eq!(renewed.status, StatusCode::OK);
    assert_ne!(renewed.nonce().expect("a newer one comes with the answer"), first);
    assert_eq!(renewed.headers["cache-control"], "no-store", "RFC 9449, section 8.2");
    bench.advance(DPOP_NONCE);
    let over = bench.list(&token, &bench.proof(&token, Some(&first))).await;
    assert_eq!((over.status, over.error().as_deref()), (StatusCode::UNAUTHORIZED, Some("use_dpop_nonce")));
    for made_up in ["", "made up", "AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(
            bench.refuses(&token, &bench.proof(&token, Some(made_up))).await.as_deref(),
            Some("use_dpop_nonce")
        );
    }
}

#[tokio::test]
async fn a_used_proof_stays_used_for_as_long_as_its_nonce_is_good() {
    let bench = Bench::with(Dpop::at("https://notes.example").unwrap().with_nonces(NONCE_KEY));
    let token = bench.token_of(|c| {
        c.cnf = Some(Cnf::jkt(bench.key.thumbprint()));
        c.exp = NOW.seconds() + 3600;
    });
    let nonce = bench.list(&token, &bench.proof(&token, None)).await.nonce().unwrap().to_owned();
    let used = bench.proof(&token, Some(&nonce));
    assert_eq!(bench.list(&token, &used).await.status, StatusCode::OK);
    for _ in 0..9 {
        bench.advance(Lifetime::millis((DPOP_NONCE.as_millis() / 10) as u32));
        let again = bench.list(&token, &used).await;
        assert_eq!(again.status, StatusCode::UNAUTHORIZED, "{}", again.body);
    }
}

#[tokio::test]
async fn several_servers_that_share_a_nonce_key_take_one_another_s_nonces() {
    let dpop = || Dpop::at("https://notes.example").unwrap();
    let one = Bench::with(dpop().with_nonces(NONCE_KEY));
    let nonce = one.list(&one.bound(), &one.proof(&one.bound(), None)).await.nonce().unwrap().to_owned();
    let two = Bench::with(dpop().with_nonces(NONCE_KEY));
    let token = two.bound();
    assert_eq!(two.list(&token, &two.proof(&token, Some(&nonce))).await.status, StatusCode::OK);
    let other = Bench::with(dpop().with_nonces(&[7; 32]));
    let token = other.bound();
    assert_eq!(
        other.refuses(&token, &other.proof(&token, Some(&nonce))).await.as_deref(),
        Some("use_dpop_nonce")
    );
}

#[tokio::test]
async fn a_challenge_names_each_scheme_that_is_taken_and_the_algorithms() {
    let bench = Bench::new();
    let reply = bench.send("GET", "/list", &[]).await;
    let algs = r#"algs="ES256 EdDSA PS256 RS256""#;
    let (bearer, dpop) = (format!(r#"Bearer realm="{NOTES}""#), format!(r#"DPoP realm="{NOTES}", {algs}"#));
    assert_eq!(reply.challenges(), [bearer.as_str(), dpop.as_str()]);

    let token = bench.bound();
    let reply = bench.list(&token, "not a proof").await;
    assert_eq!(reply.challenges()[0], bearer);
    let named = format!(r#"{dpop}, error="invalid_dpop_proof", error_description=""#);
    assert!(reply.challenges()[1].starts_with(&named), "{:?}", reply.challenges());

    let scopeless = bench.token_of(|c| {
        c.cnf = Some(Cnf::jkt(bench.key.thumbprint()));
        c.scope = "other".parse().unwrap();
    });
    let reply = bench.list(&scopeless, &bench.proof(&scopeless, None)).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(reply.challenges()[1], format!(r#"{dpop}, error="insufficient_scope", scope="notes:read""#));
}

#[tokio::test]
async fn a_resource_may_take_bound_tokens_only() {
    let bench = Bench::with(Dpop::at("https://notes.example").unwrap().only());
    let token = bench.bound();
    assert_eq!(bench.list(&token, &bench.proof(&token, None)).await.status, StatusCode::OK);
    let authorization = format!("Bearer {}", bench.bearer());
    let reply = bench.send("GET", "/list", &[("authorization", &authorization)]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let challenges = reply.challenges();
    assert!(challenges.len() == 1 && challenges[0].starts_with("DPoP "), "{challenges:?}");
}
