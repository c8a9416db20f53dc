//! What clients prove themselves by besides one key: several, keys that they publish, and secrets as the exception.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::id::{ClientId, CredentialId};
use hallpass_model::jose::{SigningKey, Typ};
use hallpass_model::lifetimes::{CLIENT_ASSERTION_MAX, CLIENT_SECRET, CLIENT_SECRET_OVERLAP, CLIENT_SECRETS};
use hallpass_model::spelling::{self, Prefix, RANDOM_BYTES};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::assertion::ASSERTION_TYPE;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddClient, AddClientKeys, ClientSecretMade, KeysNotChanged, MakeCut, NotAdded, RemoveClientKey,
    RemoveClientSecret, RotateClientSecret, SecretNotMade,
};
use hallpass_testkit::client::encode;
use hallpass_testkit::outside_issuer::{Fault, OutsideIssuer};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};

/// A world with the service `batch`, which has a secret for 30 days and no key.
pub(crate) struct Works {
    pub(crate) world: World,
    pub(crate) client: ClientId,
}

impl Works {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let until = world.clock.now() + Lifetime::days(300);
        let client = world.add_client(batch(&world, Some(until))).await;
        Self { world, client }
    }

    fn rotation(&self) -> RotateClientSecret {
        RotateClientSecret {
            org: self.world.org,
            client: self.client,
            lifetime: None,
            overlap: CLIENT_SECRET_OVERLAP,
            until: None,
        }
    }

    pub(crate) async fn made(&self) -> ClientSecretMade {
        self.world.change(self.rotation()).await.unwrap()
    }

    pub(crate) async fn ask(&self, secret: &str) -> Reply {
        let form = [("client_id", "batch"), ("client_secret", secret), ("resource", NOTES)];
        self.world.post("token", &[&[("grant_type", "client_credentials")], &form[..]].concat()).await
    }

    async fn ask_basic(&self, joined: &str, extra: &[(&str, &str)]) -> Reply {
        let form = encode(&[&[("grant_type", "client_credentials"), ("resource", NOTES)], extra].concat());
        let asking = self
            .world
            .http
            .post(self.world.at("token"))
            .header("authorization", format!("Basic {}", STANDARD.encode(joined)))
            .header("content-type", "application/x-www-form-urlencoded");
        self.world.send(asking.body(form)).await
    }

    async fn used(&self, secret: CredentialId) -> Option<hallpass_model::time::Timestamp> {
        let uses = self.world.store.client_secret_uses(self.client).await.unwrap();
        uses.iter().find(|(id, _)| *id == secret).and_then(|(_, used)| *used)
    }
}

fn batch(world: &World, until: Option<hallpass_model::time::Timestamp>) -> AddClient {
    AddClient {
        scopes: Scopes::parse("notes:read").unwrap(),
        authentication: ClientAuthentication::Secret,
        secrets_until: until,
        ..world.new_client("batch", ClientKind::Service)
    }
}

fn text(made: &ClientSecretMade) -> String {
    made.secret.expose_text().to_owned()
}

#[tokio::test]
async fn a_secret_opens_the_door_by_either_way_and_the_token_names_it_as_its_ancestor() {
    let works = Works::new().await;
    let made = works.made().await;
    let secret = text(&made);
    assert!(
        secret.starts_with("hps_") && spelling::parse::<RANDOM_BYTES>(Prefix::ClientSecret, &secret).is_ok()
    );
    let escaped = format!("b%61tch:{}", secret.replace('_', "%5F"));
    for reply in [
        works.ask(&secret).await,
        works.ask_basic(&format!("batch:{secret}"), &[]).await,
        // RFC 6749, section 2.3.1: each half is form-encoded first, and may escape more than it must.
        works.ask_basic(&escaped, &[("client_id", "batch")]).await,
    ] {
        assert_eq!(reply.status, 200, "{}", reply.body);
        let tokens = works.world.tokens(reply, "batch", None).await.unwrap();
        assert!(tokens.claims().sub.starts_with("cli_"), "never a person's");
        assert_eq!((tokens.claims().lin, tokens.refresh.as_str()), (vec![made.id.to_string()], ""));
        assert!(works.world.accepts(&tokens.access).await);
    }
    // Introspection and revocation take it too, and nothing of it is in the record.
    let form = [("client_id", "batch"), ("client_secret", secret.as_str()), ("token", "x")];
    assert_eq!(works.world.post("introspect", &form).await.json()["active"], false);
    assert_eq!(works.world.post("revoke", &form).await.status, 200);
}

/// RFC 6749, section 2.3: one means alone; section 5.2: the header is answered in its scheme.
#[tokio::test]
async fn whatever_is_not_the_client_s_one_good_secret_is_refused_alike() {
    let works = Works::new().await;
    let (world, secret) = (&works.world, text(&works.made().await));
    let key = SigningKey::generate();
    world.add_service("robot", &key, "notes:read").await;
    let other = spelling::render(Prefix::ClientSecret, &[7; RANDOM_BYTES]);
    let before = world.ledger_size().await;
    for (what, wrong) in [
        ("another", other.as_str()),
        ("cut short", &secret[..secret.len() - 1]),
        ("in capitals", &secret.to_uppercase()),
        ("something else", "hunter2"),
    ] {
        let reply = works.ask(wrong).await;
        assert_eq!((reply.status.as_u16(), reply.refused().code), (401, ErrorCode::InvalidClient), "{what}");
        let reply = works.ask_basic(&format!("batch:{wrong}"), &[]).await;
        assert_eq!(reply.status, 401, "{what}");
        assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{what}");
    }
    assert_eq!(world.ledger_from(before).await, ["denied: client_secret"], "counted within the minute");

    // Its secret is no other client's, nor is it a public client's, nor one's that has a key.
    for id in ["robot", "hallpass-cli", "notes-api", "nobody"] {
        assert_eq!(works.ask_basic(&format!("{id}:{secret}"), &[]).await.status, 401, "{id}");
    }
    assert_eq!(works.ask_basic(&format!("batch:{secret}"), &[("client_id", "robot")]).await.status, 401);
    // Nothing, or an assertion, is no proof of a client that has a secret.
    let bare = world.post("token", &[("grant_type", "client_credentials"), ("client_id", "batch")]).await;
    assert_eq!(bare.status, 401);
    let [kind, signed] = world.assertion("batch", &key);
    let asserted = [("grant_type", "client_credentials"), (kind.0, kind.1.as_str()), (signed.0, &signed.1)];
    assert_eq!(world.post("token", &asserted).await.status, 401);
    // More than one means is a request that is wrong.
    let both = [&asserted[..], &[("client_secret", secret.as_str())]].concat();
    assert_eq!(world.post("token", &both).await.refused().code, ErrorCode::InvalidRequest);
    let twice = works.ask_basic(&format!("batch:{secret}"), &[("client_secret", &secret)]).await;
    assert_eq!(twice.refused().code, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn guesses_are_limited() {
    let works = Works::new().await;
    let mut last = 401;
    for n in 0..700u32 {
        let guess = spelling::render(Prefix::ClientSecret, &[(n % 251) as u8; RANDOM_BYTES]);
        last = works.ask(&guess).await.status.as_u16();
        if last != 401 {
            break;
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn two_are_good_while_one_is_carried_out_and_the_older_ends_on_its_date() {
    let works = Works::new().await;
    let first = works.made().await;
    assert_eq!(first.expires, works.world.clock.now() + CLIENT_SECRET);
    let second = works.made().await;
    let older_ends = works.world.clock.now() + CLIENT_SECRET_OVERLAP;
    assert_eq!(second.older, Some((first.id, older_ends)));
    assert_eq!(
        works.world.change(works.rotation()).await.unwrap_err(),
        SecretNotMade::TooMany(older_ends),
        "a third would end neither"
    );
    for made in [&first, &second] {
        assert_eq!(works.ask(&text(made)).await.status, 200);
    }
    works.world.clock.set(older_ends);
    assert_eq!(works.ask(&text(&first)).await.status, 401, "its date has come");
    assert_eq!(works.ask(&text(&second)).await.status, 200);
    works.world.clock.set(second.expires);
    assert_eq!(works.ask(&text(&second)).await.status, 401, "and nothing lives on");
    let third = works.made().await;
    assert_eq!((third.older, works.ask(&text(&third)).await.status.as_u16()), (None, 200));
}

#[tokio::test]
async fn a_secret_is_an_exception_with_an_end_which_every_secret_keeps_to() {
    let works = Works::new().await;
    let world = &works.world;
    let now = world.clock.now();
    let add = |handle: &str, change: fn(AddClient) -> AddClient| {
        change(AddClient { handle: handle.parse().unwrap(), ..batch(world, Some(now + Lifetime::days(1))) })
    };
    assert_eq!(world.change(batch(world, None)).await, Err(NotAdded::NoException));
    let too_long =
        AddClient { secrets_until: Some(now + CLIENT_SECRETS + Lifetime::seconds(1)), ..add("a", |add| add) };
    assert_eq!(world.change(too_long).await, Err(NotAdded::ExceptionTooLong));
    for kind in [ClientKind::Cli, ClientKind::Ci, ClientKind::Agent] {
        let other = AddClient { kind, grant_types: kind.grant_types().to_vec(), ..add("a", |add| add) };
        assert_eq!(world.change(other).await, Err(NotAdded::NoSecretKeeper), "{kind:?}");
    }
    let before = world.ledger_size().await;
    let brief = world.add_client(add("brief", |add| add)).await;
    assert_eq!(world.ledger_from(before).await, ["registered", "excepted: client_secret"]);

    let rotate = |client, until| RotateClientSecret { client, until, ..works.rotation() };
    let made = world.change(rotate(brief, None)).await.unwrap();
    assert_eq!(made.expires, now + Lifetime::days(1), "no longer than the exception");
    world.clock.set(made.expires);
    assert_eq!(world.change(rotate(brief, None)).await.unwrap_err(), SecretNotMade::ExceptionOver);
    let far = Some(world.clock.now() + CLIENT_SECRETS + Lifetime::seconds(1));
    assert_eq!(world.change(rotate(brief, far)).await.unwrap_err(), SecretNotMade::ExceptionTooLong);
    let later = world.clock.now() + Lifetime::days(2);
    let until = Some(later);
    assert_eq!(world.change(rotate(brief, until)).await.unwrap().expires, later);

    let key = SigningKey::generate();
    let robot = world.add_service("robot", &key, "notes:read").await;
    assert_eq!(world.change(rotate(robot, None)).await.unwrap_err(), SecretNotMade::NoException);
    assert_eq!(world.change(rotate(world.cli, until)).await.unwrap_err(), SecretNotMade::NoSecretKeeper);
}

#[tokio::test]
async fn a_secret_that_is_taken_back_kills_what_it_opened_the_door_to_and_no_more() {
    let works = Works::new().await;
    let (first, second) = (works.made().await, works.made().await);
    let mut tokens = Vec::new();
    for made in [&first, &second] {
        let reply = works.ask(&text(made)).await;
        tokens.push(works.world.tokens(reply, "batch", None).await.unwrap().access);
    }
    let remove = RemoveClientSecret { org: works.world.org, client: works.client, secret: first.id };
    assert!(works.world.change(remove).await && !works.world.change(remove).await);
    assert_eq!(works.ask(&text(&first)).await.status, 401);
    assert_eq!(works.ask(&text(&second)).await.status, 200);
    assert!(!works.world.accepts(&tokens[0]).await && works.world.accepts(&tokens[1]).await);

    // A cut of it, by whomever, takes it back too.
    let cut = MakeCut {
        org: None,
        target: hallpass_model::cut::Target::Credential(second.id),
        why: hallpass_model::cut::Why::EndedByAdministrator,
    };
    works.world.change(cut).await;
    assert_eq!(works.ask(&text(&second)).await.status, 401);
    assert!(!works.world.accepts(&tokens[1]).await);
}

#[tokio::test]
async fn when_it_was_last_used_is_known_without_a_write_for_each_use() {
    let works = Works::new().await;
    let made = works.made().await;
    assert_eq!(works.used(made.id).await, None);
    let began = works.world.clock.now();
    assert_eq!(works.ask(&text(&made)).await.status, 200);
    assert_eq!(works.used(made.id).await, Some(began));
    works.world.clock.advance(Lifetime::seconds(59));
    assert_eq!(works.ask(&text(&made)).await.status, 200);
    assert_eq!(works.used(made.id).await, Some(began), "within the minute nothing is written");
    works.world.clock.advance(Lifetime::seconds(2));
    let form = [("client_id", "batch"), ("client_secret", &*text(&made)), ("token", "x")];
    assert_eq!(works.world.post("introspect", &form).await.status, 200);
    assert_eq!(works.used(made.id).await, Some(works.world.clock.now()), "where no token comes of it, too");
}

#[tokio::test]
async fn a_client_has_several_keys_while_one_is_carried_out_and_moves_to_them_from_a_secret() {
    let works = Works::new().await;
    let world = &works.world;
    let (one, two) = (SigningKey::generate(), SigningKey::generate());
    let add =
        |client, key: &SigningKey| AddClientKeys { org: world.org, client, keys: vec![key.public().clone()] };
    let remove =
        |client, key: &SigningKey| RemoveClientKey { org: world.org, client, kid: key.kid().to_owned() };
    let ask = async |client: &str, key: &SigningKey| {
        let [kind, signed] = world.assertion(client, key);
        let form = [("grant_type", "client_credentials"), (kind.0, kind.1.as_str()), (signed.0, &signed.1)];
        world.post("token", &form).await.status.as_u16()
    };
    let robot = world.add_service("robot", &one, "notes:read").await;
    assert_eq!((ask("robot", &one).await, ask("robot", &two).await), (200, 401));
    world.change(add(robot, &two)).await.unwrap();
    assert_eq!((ask("robot", &one).await, ask("robot", &two).await), (200, 200));
    assert_eq!(world.change(add(robot, &two)).await, Err(KeysNotChanged::Known));
    world.change(remove(robot, &one)).await.unwrap();
    assert_eq!((ask("robot", &one).await, ask("robot", &two).await), (401, 200));
    assert_eq!(world.change(remove(robot, &one)).await, Err(KeysNotChanged::NoKey));
    assert_eq!(world.change(remove(robot, &two)).await, Err(KeysNotChanged::Last));
    for _ in 1..hallpass_model::client::CLIENT_KEYS_MAX {
        world.change(add(robot, &SigningKey::generate())).await.unwrap();
    }
    assert_eq!(world.change(add(robot, &SigningKey::generate())).await, Err(KeysNotChanged::TooMany));
    assert_eq!(world.change(add(world.cli, &one)).await, Err(KeysNotChanged::Public));

    // From a secret to a key: either works, until the secret's date.
    let secret = works.made().await;
    world.change(add(works.client, &one)).await.unwrap();
    assert_eq!((ask("batch", &one).await, works.ask(&text(&secret)).await.status.as_u16()), (200, 200));
    world.clock.set(secret.expires);
    assert_eq!((ask("batch", &one).await, works.ask(&text(&secret)).await.status.as_u16()), (200, 401));
}

async fn publisher() -> (World, OutsideIssuer) {
    let world = World::new().await;
    let outside = OutsideIssuer::start().await;
    let add = AddClient {
        scopes: Scopes::parse("notes:read").unwrap(),
        authentication: ClientAuthentication::PrivateKeyJwtAt(format!("{}/keys", outside.url())),
        ..world.new_client("publisher", ClientKind::Service)
    };
    world.add_client(add).await;
    (world, outside)
}

/// An assertion by the key that is published now.
async fn ask_published(world: &World, outside: &OutsideIssuer) -> Reply {
    let now = world.clock.now();
    let claims = serde_json::json!({
        "iss": "publisher", "sub": "publisher", "aud": world.issuer_url, "iat": now.seconds(),
        "exp": (now + CLIENT_ASSERTION_MAX).seconds(),
        "jti": CredentialId::new(now, &hallpass_model::random::SystemEntropy).to_string(),
    });
    let signed = outside.sign(Typ::ClientAuthentication, &claims);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &signed),
    ];
    world.post("token", &form).await
}

#[tokio::test]
async fn keys_that_a_client_publishes_are_fetched_once_and_made_up_ones_are_no_flood() {
    let (world, outside) = publisher().await;
    for _ in 0..3 {
        let reply = ask_published(&world, &outside).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(outside.fetched(), 1);
    let known = outside.clone();
    for _ in 0..20 {
        let [kind, signed] = world.assertion("publisher", &SigningKey::generate());
        let form = [("grant_type", "client_credentials"), (kind.0, kind.1.as_str()), (signed.0, &signed.1)];
        assert_eq!(world.post("token", &form).await.status, 401);
    }
    assert_eq!(outside.fetched(), 1, "within the rest after a fetch nothing is asked, whatever key is named");
    assert_eq!(ask_published(&world, &known).await.status, 200);
}

#[tokio::test]
async fn an_address_that_answers_nonsense_lets_nobody_in_and_is_left_alone() {
    for fault in [Fault::Huge, Fault::Redirects, Fault::Broken, Fault::Silent] {
        let (world, outside) = publisher().await;
        outside.set_fault(fault);
        let refused = ask_published(&world, &outside).await.refused().code;
        assert_eq!(refused, ErrorCode::TemporarilyUnavailable, "{fault:?}");
        let fetched = outside.fetched();
        assert_eq!(ask_published(&world, &outside).await.refused().code, ErrorCode::TemporarilyUnavailable);
        assert_eq!(outside.fetched(), fetched, "{fault:?}");
        let told =
            world.issuer.published_keys(&format!("{}/keys", outside.url())).await.unwrap_err().to_string();
        let words = match fault {
            Fault::Huge => "more than 256 KiB",
            Fault::Redirects => "with status 30",
            Fault::Broken => "with status 5",
            _ => "cannot be reached",
        };
        assert!(told.contains(words), "{fault:?}: {told}");
    }
}

#[tokio::test]
async fn an_address_inside_is_not_asked() {
    let (world, _) = publisher().await;
    for url in
        ["https://10.1.2.3/keys", "https://169.254.169.254/latest", "http://keys.example/", "ftp://x/", "x"]
    {
        let told = world.issuer.published_keys(url).await.unwrap_err().to_string();
        assert!(told.contains("is not asked"), "{told}");
    }
}

/// The herd after a deployment: each with an assertion of its own, and no key in memory.
#[tokio::test]
async fn many_at_once_fetch_the_keys_that_a_client_publishes_once() {
    let (world, outside) = publisher().await;
    let asking = (0..300).map(|_| ask_published(&world, &outside));
    for reply in futures_util::future::join_all(asking).await {
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(outside.fetched(), 1);
}
