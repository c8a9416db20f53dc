//! API keys: the tokens they buy, and their end. Keys that are sent to an API directly are in `sent_keys`.

use std::sync::Arc;

use hallpass_model::client::ClientKind;
use hallpass_model::id::CredentialId;
use hallpass_model::jose::SigningKey;
use hallpass_model::ledger::Field;
use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::time::{Clock, Lifetime};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::oauth::{Scopes, token_type};
use hallpass_store::{
    AddApiKey, AddClient, AddResource, Filter, RevokeApiKey, RotateApiKey, SetClientStanding,
    SetPersonStanding,
};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Reply, World};
use serde_json::json;

const MAIL: &str = "https://mail.example/";

/// A world with a client `nightly`, and a key of it.
pub(crate) struct Works {
    pub(crate) world: World,
    pub(crate) key: CredentialId,
    pub(crate) secret: String,
}

impl Works {
    pub(crate) async fn new() -> Self {
        Self::with(|add| add).await
    }

    pub(crate) async fn with(change: impl FnOnce(AddApiKey) -> AddApiKey) -> Self {
        let world = World::new().await;
        let scopes = Scopes::parse("notes:read notes:write mail:send").unwrap();
        let client =
            world.add_client(AddClient { scopes, ..world.new_client("nightly", ClientKind::Ci) }).await;
        world.add_resource(MAIL, "mail:send", None).await;
        let made = world.change(change(add(&world, client))).await.unwrap();
        Self { key: made.key, secret: made.secret.expose_text().to_owned(), world }
    }

    pub(crate) async fn exchange(&self, extra: &[(&str, &str)]) -> Reply {
        exchange(&self.world, &self.secret, extra, None).await
    }

    pub(crate) async fn token(&self) -> String {
        let reply = self.exchange(&[]).await;
        self.world.tokens(reply, "nightly", None).await.unwrap().access
    }

    /// Refused by this rule, which the answer says and the ledger has.
    async fn refused(&self, extra: &[(&str, &str)], code: ErrorCode, rule: &str) {
        let from = self.world.ledger_size().await;
        let reply = self.exchange(extra).await;
        assert_eq!(reply.refused().code, code, "{rule}: {}", reply.body);
        assert_eq!(reply.json()["rule"], rule, "{}", reply.body);
        assert_eq!(self.world.ledger_from(from).await, [format!("denied: {rule}")]);
    }

    pub(crate) async fn users(&self) -> Vec<hallpass_store::KeyUser> {
        let world = &self.world;
        world.store.write_key_uses(world.clock.now()).await.unwrap();
        let key = world.store.find_api_key_by_handle(world.org, "nightly").await.unwrap().unwrap();
        world.store.list_key_users(&key).await.unwrap()
    }
}

fn add(world: &World, client: hallpass_model::id::ClientId) -> AddApiKey {
    AddApiKey {
        org: world.org,
        handle: "nightly".parse().unwrap(),
        client,
        owner: None,
        scopes: Scopes::parse("notes:read").unwrap(),
        resources: vec![NOTES.into()],
        networks: Vec::new(),
        lasts: Some(Lifetime::days(30)),
        direct: None,
        exception: None,
    }
}

async fn exchange(world: &World, secret: &str, extra: &[(&str, &str)], key: Option<&SigningKey>) -> Reply {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", secret),
        ("subject_token_type", token_type::API_KEY),
    ];
    world.ask_token(&[&form, extra].concat(), key).await
}

#[tokio::test]
async fn a_key_buys_a_token_about_its_client_and_nothing_to_keep() {
    let works = Works::new().await;
    let world = &works.world;
    let from = world.ledger_size().await;
    let reply = works
        .exchange(&[("purpose", "nightly report"), ("device_name", "cron-1"), ("client_id", "nightly")])
        .await;
    let answer = reply.json();
    assert_eq!(answer["issued_token_type"], token_type::ACCESS_TOKEN, "{answer}");
    assert_eq!(answer["api_key_expires_in"], 30 * 86_400, "{answer}");
    let tokens = world.tokens(reply, "nightly", None).await.unwrap();
    let claims = tokens.claims();
    assert!(claims.sub.starts_with("cli_"), "never a person's: {}", claims.sub);
    assert_eq!(
        (claims.client_id.as_str(), claims.aud.single(), tokens.scope.as_str(), claims.purpose.as_deref()),
        ("nightly", Some(NOTES), "notes:read", Some("nightly report"))
    );
    assert_eq!((claims.exp - claims.iat, tokens.refresh.as_str(), claims.sid), (300, "", None));
    assert_eq!(claims.lin.last(), Some(&works.key.to_string()), "the key is its ancestor");
    assert!(world.accepts(&tokens.access).await);

    assert_eq!(world.ledger_from(from).await, ["exchanged"]);
    let page = world.store.list_ledger(&Filter::default(), from, 10).await.unwrap();
    let personal = page.items[0].personal.as_ref().unwrap();
    let machine =
        personal.iter().find(|(name, _)| *name == Field::Machine.text()).map(|(_, text)| text.to_owned());
    assert_eq!(machine.as_deref(), Some("cron-1"), "what is personal can be erased");
}

#[tokio::test]
async fn a_key_gives_no_more_than_it_has_and_no_longer() {
    let works = Works::with(|add| AddApiKey {
        resources: vec![NOTES.into(), MAIL.into()],
        scopes: Scopes::parse("notes:read mail:send").unwrap(),
        ..add
    })
    .await;
    let to_notes = ("resource", NOTES);
    works.refused(&[to_notes, ("scope", "notes:write")], ErrorCode::InvalidScope, "scope").await;
    works.refused(&[], ErrorCode::InvalidTarget, "resource_unsaid").await;
    let issuer = works.world.issuer_url.clone();
    works.refused(&[("resource", &issuer)], ErrorCode::InvalidTarget, "resource").await;
    for nothing in
        [("actor_token", "x"), ("client_secret", "x"), ("client_assertion", "x"), ("scope", "a\"b")]
    {
        assert_ne!(works.exchange(&[to_notes, nothing]).await.status, 200, "{}", nothing.0);
    }
    let refresh = [to_notes, ("requested_token_type", token_type::REFRESH_TOKEN)];
    assert_eq!(works.exchange(&refresh).await.refused().code, ErrorCode::InvalidRequest);

    let world = &works.world;
    let reply = works.exchange(&[("resource", MAIL)]).await;
    assert_eq!(world.tokens(reply, "nightly", None).await.unwrap().scope, "mail:send", "what the API knows");
    let longest = works.exchange(&[to_notes, ("lifetime", "100000")]).await.json();
    assert_eq!(longest["expires_in"], ACCESS_TOKEN_MAX.as_seconds());
    // Never longer than the key itself.
    world.clock.advance(Lifetime::minutes(30 * 24 * 60 - 1));
    let last = works.exchange(&[to_notes, ("lifetime", "900")]).await.json();
    assert_eq!((last["expires_in"].clone(), last["api_key_expires_in"].clone()), (json!(60), json!(60)));
    world.clock.advance(Lifetime::minutes(1));
    works.refused(&[to_notes], ErrorCode::InvalidRequest, "key_expired").await;
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_that_is_proved_with_the_request() {
    let works = Works::new().await;
    let (world, key) = (&works.world, Arc::new(SigningKey::generate()));
    let reply = exchange(world, &works.secret, &[], Some(&key)).await;
    let bound = world.tokens(reply, "nightly", Some(&key)).await.unwrap();
    assert_eq!((bound.token_type.as_str(), bound.claims().jkt()), ("DPoP", Some(key.public().thumbprint())));
    let reply = exchange(world, &works.secret, &[("binding", "bearer")], Some(&key)).await;
    let bearer = world.tokens(reply, "nightly", Some(&key)).await.unwrap();
    assert_eq!((bearer.token_type.as_str(), bearer.claims().cnf), ("Bearer", None));

    // What it bought is for an API: it buys nothing more (confused deputy).
    let exchanged = world.exchange(&bearer, &[("resource", NOTES)]).await;
    assert_eq!(exchanged.unwrap_err().code, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn revoked_is_dead_at_once_with_all_it_bought() {
    let works = Works::new().await;
    let (world, token) = (&works.world, works.token().await);
    assert!(world.accepts(&token).await);
    world.change(RevokeApiKey { org: world.org, key: works.key, secret: None }).await;
    assert!(!world.accepts(&token).await);
    works.refused(&[], ErrorCode::InvalidRequest, "key_revoked").await;
    // Its cut is forgotten long before the key would have been over by itself.
    world.clock.advance(Lifetime::days(29));
    works.refused(&[], ErrorCode::InvalidRequest, "key_revoked").await;
}

#[tokio::test]
async fn whoever_holds_a_key_may_revoke_it_and_nothing_else() {
    let works = Works::new().await;
    let world = &works.world;
    let rotate = RotateApiKey { org: world.org, key: works.key, overlap: None, lasts: None };
    let next = world.change(rotate).await.unwrap().made.secret.expose_text().to_owned();
    let (old_token, new_token) = (works.token().await, {
        let reply = exchange(world, &next, &[], None).await;
        world.tokens(reply, "nightly", None).await.unwrap().access
    });
    // RFC 7009, section 2.2: the same answer for what is none.
    for none in ["hpk_nothing", &works.secret[..works.secret.len() - 1], &works.key.to_string()] {
        let reply = world.post("revoke", &[("client_id", "hallpass-cli"), ("token", none)]).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""), "{}", none.len());
    }
    assert!(world.accepts(&old_token).await, "part of a key is none, and so is its id");
    let from = world.ledger_size().await;
    let reply = world.post("revoke", &[("token", &works.secret), ("token_type_hint", "api_key")]).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
    assert_eq!(world.ledger_from(from).await, ["cut: signed_out"]);
    assert!(!world.accepts(&old_token).await);
    works.refused(&[], ErrorCode::InvalidRequest, "key_revoked").await;
    // SECURITY: never an ancestor, and so not the secret that took its place.
    assert!(world.accepts(&new_token).await);
    assert_eq!(exchange(world, &next, &[], None).await.status, 200);
    let from = world.ledger_size().await;
    assert_eq!(world.post("revoke", &[("token", &works.secret)]).await.status, 200, "again");
    assert_eq!(world.ledger_from(from).await, [""; 0]);
}

#[tokio::test]
async fn a_rotation_has_both_for_a_while_and_then_the_new_one() {
    let works = Works::new().await;
    let world = &works.world;
    let overlap = Some(Lifetime::hours(1));
    let rotate = RotateApiKey { org: world.org, key: works.key, overlap, lasts: Some(Lifetime::days(60)) };
    let from = world.ledger_size().await;
    let next = world.change(rotate).await.unwrap().made.secret.expose_text().to_owned();
    assert_eq!(world.ledger_from(from).await, ["key_rotated"]);
    assert!(world.change(rotate).await.is_err(), "two at a time");
    let good = async |secret: &str| exchange(world, secret, &[], None).await.status == 200;
    assert!(good(&works.secret).await && good(&next).await);
    world.clock.advance(Lifetime::hours(1));
    assert!(!good(&works.secret).await && good(&next).await);
    world.clock.advance(Lifetime::days(59));
    assert!(good(&next).await);
    world.clock.advance(Lifetime::days(1));
    assert!(!good(&next).await);
}

#[tokio::test]
async fn it_comes_from_its_networks_alone() {
    let here = Works::with(|add| AddApiKey { networks: vec!["127.0.0.0/8".parse().unwrap()], ..add }).await;
    assert_eq!(here.exchange(&[]).await.status, 200);
    let there = Works::with(|add| AddApiKey { networks: vec!["192.0.2.0/24".parse().unwrap()], ..add }).await;
    there.refused(&[], ErrorCode::InvalidRequest, "key_network").await;
    assert!(there.users().await.is_empty(), "whoever was refused is no user");
}

#[tokio::test]
async fn what_it_belongs_to_takes_it_along() {
    let works = Works::new().await;
    let (world, token) = (&works.world, works.token().await);
    let nightly = world.store.find_client_by_handle(world.org, "nightly").await.unwrap().unwrap();
    let stand = |active| SetClientStanding { org: world.org, client: nightly.id, active };
    world.change(stand(false)).await;
    assert!(!world.accepts(&token).await);
    assert_eq!(works.exchange(&[]).await.json()["rule"], "key_revoked");
    // What was cut stays cut: a key of a client that was taken out of use is made anew.
    world.change(stand(true)).await;
    assert_eq!(works.exchange(&[]).await.json()["rule"], "key_revoked");

    let grace = Works::new().await;
    let world = &grace.world;
    let person = world.add_person("grace").await;
    let nightly = world.store.find_client_by_handle(world.org, "nightly").await.unwrap().unwrap();
    let hers = AddApiKey {
        handle: "hers".parse().unwrap(),
        owner: Some(hallpass_model::principal::Owner::Person(person)),
        ..add(world, nightly.id)
    };
    let hers = world.change(hers).await.unwrap().secret.expose_text().to_owned();
    let reply = exchange(world, &hers, &[], None).await;
    let token = world.tokens(reply, "nightly", None).await.unwrap().access;
    world.change(SetPersonStanding { org: world.org, person, active: false }).await;
    assert!(!world.accepts(&token).await, "its owner left");
    assert_eq!(exchange(world, &hers, &[], None).await.json()["rule"], "key_revoked");
    assert_eq!(grace.exchange(&[]).await.status, 200, "and another's goes on");
}

#[tokio::test]
async fn a_key_is_of_one_environment() {
    let works = Works::new().await;
    let world = &works.world;
    let prod = AddResource {
        org: world.org,
        url: "https://prod.example/".into(),
        name: "prod".into(),
        owner: hallpass_model::principal::Owner::Person(world.ada),
        environment: "prod".parse().unwrap(),
        scopes: Scopes::parse("notes:read").unwrap(),
        server: None,
    };
    world.change(prod).await.unwrap();
    let nightly = world.store.find_client_by_handle(world.org, "nightly").await.unwrap().unwrap();
    let both = AddApiKey {
        handle: "both".parse().unwrap(),
        resources: vec![NOTES.into(), "https://prod.example/".into()],
        ..add(world, nightly.id)
    };
    assert!(world.change(both).await.is_err(), "a key is of one environment");
    works.refused(&[("resource", "https://prod.example/")], ErrorCode::InvalidTarget, "resource").await;
}

#[tokio::test]
async fn a_guess_is_told_nothing_and_slowed_down() {
    let works = Works::new().await;
    let (world, from) = (&works.world, works.world.ledger_size().await);
    let mut changed = works.secret.clone().into_bytes();
    changed[10] = if changed[10] == b'a' { b'b' } else { b'a' };
    let changed = String::from_utf8(changed).unwrap();
    let well_spelled = hallpass_model::spelling::render(
        hallpass_model::spelling::Prefix::ApiKey,
        &[9; hallpass_model::spelling::RANDOM_BYTES],
    );
    let mut told = std::collections::BTreeSet::new();
    for guess in [changed.as_str(), &well_spelled, "hpk_", "x"] {
        let reply = exchange(world, guess, &[], None).await;
        told.insert((reply.status.as_u16(), reply.body));
    }
    assert_eq!(told.len(), 1, "one answer for all: {told:?}");
    assert!(told.first().unwrap().1.contains("key_unknown"));
    assert_eq!(world.ledger_size().await, from, "strangers buy no disk");
    assert!(world.store.strangers()["unknown API key"] >= 4);
    let mut slowed = false;
    for _ in 0..1_000 {
        slowed = slowed || exchange(world, &well_spelled, &[], None).await.status == 429;
    }
    assert!(slowed, "guesses from one network are limited");

    // Of another client's it is no proof.
    let other = Works::new().await;
    let reply = other.exchange(&[("client_id", "hallpass-cli")]).await;
    assert_eq!(reply.json()["rule"], "key_of_other_client");
}

#[tokio::test]
async fn who_uses_a_key_is_known_by_network_machine_and_purpose() {
    let works = Works::new().await;
    for (machine, class, purpose) in [
        ("cron-1", "server", "report"),
        ("cron-1", "server", "report"),
        ("ada-laptop", "laptop", "try it out"),
    ] {
        let extra = [("device_name", machine), ("device_class", class), ("purpose", purpose)];
        assert_eq!(works.exchange(&extra).await.status, 200);
        works.world.clock.advance(Lifetime::seconds(1));
    }
    let users = works.users().await;
    let seen: Vec<_> =
        users.iter().map(|user| (user.machine.as_str(), user.purpose.as_str(), user.uses)).collect();
    assert_eq!(seen, [("ada-laptop", "try it out", 1), ("cron-1", "report", 2)]);
    assert_eq!(users[0].network.unwrap().to_string(), "127.0.0.0/24", "a network, and no machine's address");
}
