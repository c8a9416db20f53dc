//! Token exchange by what an outside issuer says (RFC 8693), and the keys that are fetched for it.

use hallpass_model::client::ClientKind;
use hallpass_model::jose::{SigningKey, Typ};
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Scopes, token_type};
use hallpass_store::{AddClient, AddTrust, SetClientStanding, SetTrustStanding, StandingSet};
use hallpass_testkit::outside_issuer::{Fault, OutsideIssuer};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use serde_json::{Value, json};

/// A world with an outside issuer, and a trust `site` by which one of its projects' jobs come in.
struct Works {
    world: World,
    outside: OutsideIssuer,
}

impl Works {
    async fn new() -> Self {
        let world = World::new().await;
        let outside = OutsideIssuer::start().await;
        let scopes = Scopes::parse("notes:read").unwrap();
        let client = AddClient { scopes, ..world.new_client("site-deploy", ClientKind::Ci) };
        world.add_client(client).await;
        let works = Self { world, outside };
        works.trust(works.add("site", &["project_id=20", "ref_path=refs/heads/main"]).await).await;
        works
    }

    async fn add(&self, handle: &str, when: &[&str]) -> AddTrust {
        let client =
            self.world.store.find_client_by_handle(self.world.org, "site-deploy").await.unwrap().unwrap();
        AddTrust {
            org: self.world.org,
            handle: handle.parse().unwrap(),
            client: client.id,
            environment: "dev".parse().unwrap(),
            rule: Rule {
                preset: Preset::Gitlab,
                issuer: self.outside.url().to_owned(),
                audience: self.world.issuer_url.clone(),
                conditions: when.iter().map(|text| text.parse().unwrap()).collect(),
            },
            keys: IssuerKeys::Discovered,
            scopes: Scopes::parse("notes:read").unwrap(),
            longest: Lifetime::minutes(5),
        }
    }

    async fn trust(&self, add: AddTrust) {
        self.world.change(add).await.unwrap();
    }

    /// What GitLab says of a job, as its documentation has it ("Token payload"), cut to what matters here.
    fn claims(&self) -> Value {
        let now = self.world.clock.now().seconds();
        json!({
            "iss": self.outside.url(), "aud": self.world.issuer_url,
            "sub": "project_path:acme/site:ref_type:branch:ref:main", "project_id": "20", "namespace_id": "72",
            "project_path": "acme/site", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
            "ref_protected": "true", "pipeline_source": "push", "job_id": "302", "jti": "1",
            "iat": now, "nbf": now - 5, "exp": now + 300,
        })
    }

    fn job(&self) -> String {
        self.outside.sign(Typ::IdToken, &self.claims())
    }

    async fn exchange(&self, token: &str, extra: &[(&str, &str)]) -> Reply {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", token_type::JWT),
        ];
        self.world.post("token", &[&form, extra].concat()).await
    }

    /// As an authorization grant (RFC 7523, section 2.1).
    async fn bearer(&self, assertion: &str, extra: &[(&str, &str)]) -> Reply {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion),
            ("resource", NOTES),
        ];
        self.world.post("token", &[&form, extra].concat()).await
    }

    async fn refused(&self, token: &str) -> ErrorCode {
        self.exchange(token, &[("resource", NOTES)]).await.refused().code
    }
}

#[tokio::test]
async fn a_job_gets_a_token_about_its_client_and_nothing_to_keep() {
    let works = Works::new().await;
    let from = works.world.ledger_size().await;
    let reply = works.exchange(&works.job(), &[("resource", NOTES), ("purpose", "deploy")]).await;
    assert_eq!(reply.json()["issued_token_type"], token_type::ACCESS_TOKEN, "{}", reply.body);
    let tokens = works.world.tokens(reply, "site-deploy", None).await.unwrap();
    let claims = tokens.claims();
    assert!(claims.sub.starts_with("cli_"), "never a person's: {}", claims.sub);
    assert_eq!(
        (claims.client_id.as_str(), claims.aud.single(), tokens.scope.as_str(), claims.purpose.as_deref()),
        ("site-deploy", Some(NOTES), "notes:read", Some("deploy"))
    );
    assert_eq!((claims.exp - claims.iat, tokens.refresh.as_str()), (300, ""));
    assert!(works.world.accepts(&tokens.access).await);
    assert_eq!(works.world.ledger_from(from).await, ["issued"]);

    // An ID token by its own name is the same, and so is a job that shows its token again: GitLab gives it but one.
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &works.job()),
        ("subject_token_type", token_type::ID_TOKEN),
        ("resource", NOTES),
    ];
    assert_eq!(works.world.post("token", &form).await.status, 200);
}

/// How often anything was written to the database so far, counted in its log: the last frame of each commit says how large the
/// database is then, and no other frame does (SQLite's file format, section 4.1).
fn commits(data: &std::path::Path) -> usize {
    let log = std::fs::read(data.join(format!("{}-wal", hallpass_store::DATABASE))).unwrap();
    let (head, frames) = log.split_at(32);
    let page = u32::from_be_bytes(head[8..12].try_into().unwrap()) as usize;
    // What an earlier round of the log left behind it has other salts.
    let written = frames.chunks_exact(24 + page).take_while(|frame| frame[8..16] == head[16..24]);
    written.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn an_exchange_is_one_write_and_asks_nobody_for_keys_it_has() {
    let works = Works::new().await;
    assert_eq!(works.exchange(&works.job(), &[("resource", NOTES)]).await.status, 200);
    let (data, from) = (&works.world.data, works.world.ledger_size().await);
    let (before, fetched) = (commits(data), works.outside.fetched());
    for n in 1..=3 {
        let reply = works.exchange(&works.job(), &[("resource", NOTES), ("purpose", "deploy")]).await;
        assert_eq!((reply.status.as_u16(), commits(data) - before), (200, n), "{}", reply.body);
    }
    assert_eq!(works.world.ledger_from(from).await, ["issued"; 3]);
    assert_eq!(works.outside.fetched(), fetched);
}

#[tokio::test]
async fn a_token_that_no_rule_holds_for_opens_nothing() {
    let works = Works::new().await;
    let with = |claim: &str, value: Value| {
        let mut claims = works.claims();
        claims[claim] = value;
        works.outside.sign(Typ::IdToken, &claims)
    };
    let now = works.world.clock.now().seconds();
    for (what, token) in [
        ("another project", with("project_id", json!("21"))),
        ("another branch", with("ref_path", json!("refs/heads/feature"))),
        ("no branch", with("ref_path", Value::Null)),
        ("for somebody else", with("aud", json!("https://vault.example"))),
        ("of another issuer", with("iss", json!("https://gitlab.example"))),
        ("of nobody", with("iss", Value::Null)),
        ("over", with("exp", json!(now))),
        ("without an end", with("exp", Value::Null)),
        ("not good yet", with("nbf", json!(now + 60))),
        ("made later", with("iat", json!(now + 60))),
        ("about nobody", with("sub", Value::Null)),
        ("an access token's type", works.outside.sign(Typ::AccessToken, &works.claims())),
        ("a client's assertion's type", works.outside.sign(Typ::ClientAuthentication, &works.claims())),
        ("somebody else's key", SigningKey::generate().sign(Typ::IdToken, &works.claims())),
        ("rubbish", "a.b.c".to_owned()),
        ("nothing", String::new()),
        ("too long", works.job() + &"x".repeat(20_000)),
        ("no signature", unsigned(&works.claims())),
    ] {
        assert_eq!(works.refused(&token).await, ErrorCode::InvalidRequest, "{what}");
    }
    assert_eq!(
        works.exchange(&works.job(), &[("resource", NOTES)]).await.status,
        200,
        "the good one is good"
    );
}

/// RFC 8725, section 3.1: `none` is no algorithm.
fn unsigned(claims: &Value) -> String {
    use hallpass_model::jose::base64url::render;
    format!("{}.{}.", render(br#"{"alg":"none","typ":"JWT"}"#), render(claims.to_string()))
}

#[tokio::test]
async fn a_trust_gives_no_more_than_it_says_and_no_longer() {
    let works = Works::new().await;
    let job = works.job();
    let ask = async |extra: &[(&str, &str)]| works.exchange(&job, extra).await.refused().code;
    assert_eq!(ask(&[("resource", NOTES), ("scope", "notes:write")]).await, ErrorCode::InvalidScope);
    assert_eq!(ask(&[("resource", "https://nowhere.example/")]).await, ErrorCode::InvalidTarget);
    assert_eq!(ask(&[("actor_token", "x"), ("actor_token_type", "x")]).await, ErrorCode::InvalidRequest);
    assert_eq!(ask(&[("client_secret", "x")]).await, ErrorCode::InvalidRequest);
    assert_eq!(ask(&[("requested_token_type", token_type::REFRESH_TOKEN)]).await, ErrorCode::InvalidRequest);

    let longest = (ACCESS_TOKEN_MAX + Lifetime::minutes(60)).as_seconds().to_string();
    let reply = works.exchange(&job, &[("resource", NOTES), ("lifetime", &longest)]).await;
    assert_eq!(reply.json()["expires_in"], 300, "the trust's five minutes: {}", reply.body);

    // A resource of another environment is none of its business.
    let stage =
        AddTrust { environment: "stage".parse().unwrap(), ..works.add("stage", &["project_id=30"]).await };
    works.trust(stage).await;
    let mut claims = works.claims();
    claims["project_id"] = json!(30);
    assert_eq!(works.refused(&works.outside.sign(Typ::IdToken, &claims)).await, ErrorCode::InvalidTarget);
}

#[tokio::test]
async fn what_a_trust_gave_dies_with_it_and_is_given_again_once_it_is_back() {
    let works = Works::new().await;
    let world = &works.world;
    let token = async || {
        let reply = works.exchange(&works.job(), &[("resource", NOTES)]).await;
        world.tokens(reply, "site-deploy", None).await.unwrap().access
    };
    let before = token().await;
    assert!(world.accepts(&before).await);
    let trust = world.store.find_trust_by_handle(world.org, "site").await.unwrap().unwrap();
    let stand = |active| SetTrustStanding { org: world.org, trust: trust.id, active };
    assert!(matches!(world.change(stand(false)).await, StandingSet::Done(_)));
    assert!(!world.accepts(&before).await);
    assert_eq!(works.refused(&works.job()).await, ErrorCode::InvalidRequest);

    assert!(matches!(world.change(stand(true)).await, StandingSet::Done(_)));
    let after = token().await;
    assert!(world.accepts(&after).await && !world.accepts(&before).await);

    let client = SetClientStanding { org: world.org, client: trust.client, active: false };
    world.change(client).await;
    assert!(!world.accepts(&after).await);
    assert_eq!(works.refused(&works.job()).await, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn where_several_trusts_let_a_token_in_the_request_says_which_is_meant() {
    let works = Works::new().await;
    works.trust(works.add("site-any", &["project_id=20", "ref_path=refs/heads/*"]).await).await;
    assert_eq!(works.refused(&works.job()).await, ErrorCode::InvalidRequest);
    let reply = works.exchange(&works.job(), &[("resource", NOTES), ("trust", "site-any")]).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let other = works.exchange(&works.job(), &[("resource", NOTES), ("client_id", "hallpass-cli")]).await;
    assert_eq!(other.refused().code, ErrorCode::InvalidRequest);
}

/// The thundering herd after a deployment: ten thousand jobs, and no key in memory.
#[tokio::test]
async fn ten_thousand_jobs_at_once_fetch_the_keys_once() {
    let works = std::sync::Arc::new(Works::new().await);
    let job = works.job();
    let trust = works.world.store.find_trust_by_handle(works.world.org, "site").await.unwrap().unwrap();
    let org = works.world.org;
    let now = works.world.clock.now();
    let issuer = works.world.issuer.clone();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let (issuer, job) = (issuer.clone(), job.clone());
        asking.spawn(async move { issuer.test_outside_token(org, &job, None, now).await.unwrap() });
    }
    while let Some(tested) = asking.join_next().await {
        assert!(tested.unwrap().trusts[0].lets_in());
    }
    assert_eq!((works.outside.fetched(), trust.handle.as_str()), (1, "site"));
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_first_seen_and_made_up_ones_are_no_flood() {
    let works = Works::new().await;
    assert_eq!(works.exchange(&works.job(), &[("resource", NOTES)]).await.status, 200);
    assert_eq!(works.outside.fetched(), 1);
    // Within the rest after a fetch nothing is asked, whatever key a token names.
    for _ in 0..20 {
        let made_up = SigningKey::generate().sign(Typ::IdToken, &works.claims());
        assert_eq!(works.refused(&made_up).await, ErrorCode::InvalidRequest);
    }
    assert_eq!(works.outside.fetched(), 1);
}

#[tokio::test]
async fn an_issuer_that_answers_nonsense_is_nobody_s_way_in() {
    for fault in [Fault::Huge, Fault::Redirects, Fault::OtherIssuer, Fault::Broken, Fault::Silent] {
        let code = ErrorCode::TemporarilyUnavailable;
        let works = Works::new().await;
        works.outside.set_fault(fault);
        assert_eq!(works.refused(&works.job()).await, code, "{fault:?}");
        // It is left alone for a while, and everybody is told at once.
        let fetched = works.outside.fetched();
        assert_eq!(works.refused(&works.job()).await, code, "{fault:?}");
        assert_eq!(works.outside.fetched(), fetched, "{fault:?}");
    }
}

#[tokio::test]
async fn keys_that_are_given_are_fetched_from_nowhere() {
    let works = Works::new().await;
    works.outside.set_fault(Fault::Broken);
    let given = AddTrust {
        keys: IssuerKeys::Given(works.outside.keys()),
        ..works.add("given", &["project_id=20", "ref_path=refs/heads/main"]).await
    };
    works.trust(given).await;
    let reply = works.exchange(&works.job(), &[("resource", NOTES), ("trust", "given")]).await;
    assert_eq!((reply.status.as_u16(), works.outside.fetched()), (200, 0), "{}", reply.body);
}

#[tokio::test]
async fn a_test_of_a_token_says_line_by_line_what_holds() {
    let works = Works::new().await;
    let mut claims = works.claims();
    claims["ref_path"] = json!("refs/heads/feature");
    claims["exp"] = json!(works.world.clock.now().seconds() - 1);
    let token = works.outside.sign(Typ::IdToken, &claims);
    let now = works.world.clock.now();
    let tested = works.world.issuer.test_outside_token(works.world.org, &token, None, now).await.unwrap();
    let [trust] = &tested.trusts[..] else { panic!("one trust: {tested:?}") };
    assert_eq!((trust.lets_in(), trust.wrong.as_deref()), (false, Some("it has expired")));
    let failed: Vec<&str> =
        trust.weighed.as_ref().unwrap().lines.iter().filter(|l| !l.holds).map(|l| l.claim.as_str()).collect();
    assert_eq!(failed, ["ref_path"]);
}

#[tokio::test]
async fn an_assertion_is_an_authorization_grant_for_us_alone_and_good_once() {
    let works = Works::new().await;
    let job = works.job();
    let from = works.world.ledger_size().await;
    let reply = works.bearer(&job, &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()["issued_token_type"], Value::Null, "that is RFC 8693's");
    let tokens = works.world.tokens(reply, "site-deploy", None).await.unwrap();
    assert!(tokens.claims().sub.starts_with("cli_"), "never a person's");
    assert_eq!(tokens.refresh, "");
    assert!(works.world.accepts(&tokens.access).await);
    assert_eq!(works.bearer(&job, &[]).await.refused().code, ErrorCode::InvalidGrant, "its one use was made");
    assert_eq!(works.world.ledger_from(from).await, ["issued", "denied: assertion_replayed"]);
    // It is no less a token to exchange.
    assert_eq!(works.exchange(&job, &[("resource", NOTES)]).await.status, 200);

    let with = |claim: &str, value: Value| {
        let mut claims = works.claims();
        claims["jti"] = json!(claim);
        claims[claim] = value;
        works.outside.sign(Typ::IdToken, &claims)
    };
    let now = works.world.clock.now().seconds();
    let issuer = works.world.issuer_url.clone();
    for (what, assertion) in [
        ("without an id", with("jti", Value::Null)),
        ("with an empty id", with("jti", json!(""))),
        ("with an endless id", with("jti", json!("j".repeat(1_000)))),
        ("for the token endpoint", with("aud", json!(works.world.at("token")))),
        ("for somebody else besides", with("aud", json!([issuer, "https://vault.example"]))),
        ("for nobody", with("aud", Value::Null)),
        ("good for longer than a day", with("exp", json!(now + 90_000))),
        ("over", with("exp", json!(now))),
        ("without an end", with("exp", Value::Null)),
        ("of another project", with("project_id", json!("21"))),
        ("of another issuer", with("iss", json!("https://gitlab.example"))),
        ("by another's key", SigningKey::generate().sign(Typ::IdToken, &works.claims())),
        ("a client's", works.outside.sign(Typ::ClientAuthentication, &works.claims())),
        ("unsigned", unsigned(&works.claims())),
        ("rubbish", "a.b.c".to_owned()),
    ] {
        assert_eq!(works.bearer(&assertion, &[]).await.refused().code, ErrorCode::InvalidGrant, "{what}");
    }
    assert_eq!(works.bearer("", &[]).await.refused().code, ErrorCode::InvalidRequest);
    let twice = works.bearer(&with("x", Value::Null), &[("client_secret", "x")]).await;
    assert_eq!(twice.refused().code, ErrorCode::InvalidRequest, "the assertion is the proof");
    let again = works.bearer(&with("y", Value::Null), &[]).await;
    assert_eq!(again.status, 200, "a good one is good: {}", again.body);
}

/// What is wrapped, compressed, extended or endless is refused by its form, whichever way it comes.
#[tokio::test]
async fn hostile_tokens_are_refused_by_their_form() {
    use hallpass_model::jose::base64url::render;
    let works = Works::new().await;
    let job = works.job();
    let mut parts = job.split('.');
    let (payload, signature) = (parts.nth(1).unwrap().to_owned(), parts.next().unwrap().to_owned());
    let header = |header: Value| render(header.to_string());
    let kid = works.outside.keys().keys()[0].kid().unwrap().to_owned();
    let bomb = render(vec![0u8; 10_000]);
    for (what, hostile) in [
        (
            "crit",
            format!(
                "{}.{payload}.{signature}",
                header(json!({ "alg": "ES256", "kid": kid, "crit": ["x"], "x": 1 }))
            ),
        ),
        ("alg none", format!("{}.{payload}.", header(json!({ "alg": "none" })))),
        ("alg HS256", format!("{}.{payload}.{signature}", header(json!({ "alg": "HS256", "kid": kid })))),
        (
            "a key of its own",
            format!("{}.{payload}.{signature}", header(json!({ "alg": "ES256", "jwk": {} }))),
        ),
        (
            "keys elsewhere",
            format!(
                "{}.{payload}.{signature}",
                header(json!({ "alg": "ES256", "jku": "http://127.0.0.1/" }))
            ),
        ),
        (
            "nested",
            format!(
                "{}.{}.{signature}",
                header(json!({ "alg": "ES256", "kid": kid, "cty": "JWT" })),
                render(&job)
            ),
        ),
        (
            "encrypted and compressed",
            format!("{}..{bomb}.{bomb}.AA", header(json!({ "alg": "dir", "enc": "A256GCM", "zip": "DEF" }))),
        ),
        ("deep", format!("{}.{}.{signature}", header(json!({ "alg": "ES256" })), render("[".repeat(9_000)))),
    ] {
        assert_eq!(works.refused(&hostile).await, ErrorCode::InvalidRequest, "{what}");
        assert_eq!(works.bearer(&hostile, &[]).await.refused().code, ErrorCode::InvalidGrant, "{what}");
        let [kind, _] = works.world.assertion("notes-api", &SigningKey::generate());
        let form = [("grant_type", "client_credentials"), ("client_id", "notes-api"), (kind.0, &kind.1)];
        let form = [&form[..], &[("client_assertion", hostile.as_str())]].concat();
        assert_eq!(works.world.post("token", &form).await.refused().code, ErrorCode::InvalidClient, "{what}");
    }
    let endless = "x".repeat(100_000);
    assert_eq!(works.bearer(&endless, &[]).await.status, 413);
    assert_eq!(works.exchange(&endless, &[]).await.status, 413);
    let within = "x".repeat(60_000);
    assert_eq!(works.bearer(&within, &[]).await.refused().code, ErrorCode::InvalidGrant);
    assert_eq!(works.outside.fetched(), 1, "and its keys are fetched once for all of it");
}
