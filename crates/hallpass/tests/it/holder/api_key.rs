//! A sign-in by an API key: nobody is asked, the key is sealed, and goes to the issuer alone.

use std::process::Stdio;

use hallpass_model::client::ClientKind;
use hallpass_model::network::Network;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddApiKey, AddClient, RevokeApiKey};
use hallpass_testkit::world::NOTES;
use tokio::io::AsyncWriteExt;

use super::api::{Api, Kind};
use super::machine::{Machine, Said, in_time};

/// A machine, and a key that was made for it.
struct Desk {
    machine: Machine,
    secret: String,
    key: hallpass_model::id::CredentialId,
}

impl Desk {
    async fn new() -> Self {
        Self::with(&[NOTES], Vec::new()).await
    }

    async fn with(resources: &[&str], networks: Vec<Network>) -> Self {
        let machine = Machine::new().await;
        let (secret, key) = make(&machine, resources, networks).await;
        Self { machine, secret, key }
    }

    /// `hallpass login ISSUER --api-key-stdin`, with this on standard input.
    async fn login_with(&self, text: &str, more: &[&str]) -> Said {
        let issuer = self.machine.world.issuer_url.clone();
        let arguments = [&["login", &issuer, "--api-key-stdin"], more].concat();
        let mut child = self.machine.hallpass(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let _ = stdin.write_all(text.as_bytes()).await; // whoever reads no further has gone
        drop(stdin);
        Said(in_time(child.wait_with_output()).await.unwrap())
    }

    async fn login(&self, more: &[&str]) -> Said {
        let said = self.login_with(&format!("{}\n", self.secret), more).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        said
    }
}

async fn make(
    machine: &Machine,
    resources: &[&str],
    networks: Vec<Network>,
) -> (String, hallpass_model::id::CredentialId) {
    let world = &machine.world;
    let scopes = Scopes::parse("notes:read notes:write").unwrap();
    let known = world.store.find_client_by_handle(world.org, "nightly").await.unwrap();
    let client = match known {
        Some(known) => known.id,
        None => {
            let add = AddClient { scopes: scopes.clone(), ..world.new_client("nightly", ClientKind::Ci) };
            world.add_client(add).await
        }
    };
    let add = AddApiKey {
        org: world.org,
        handle: format!("key-{}", world.ledger_size().await).parse().unwrap(),
        client,
        owner: None,
        scopes,
        resources: resources.iter().map(|url| (*url).to_owned()).collect(),
        networks,
        lasts: Some(Lifetime::days(10)),
        direct: None,
        exception: None,
    };
    let made = world.change(add).await.unwrap();
    (made.secret.expose_text().to_owned(), made.key)
}

#[tokio::test]
async fn a_key_is_added_signed_in_with_buys_a_pass_that_the_api_takes_and_is_dead_once_revoked() {
    let desk = Desk::new().await;
    let (machine, world) = (&desk.machine, &desk.machine.world);
    let said = desk.login(&[]).await;
    assert!(said.err().contains("as nightly, by an API key, which is good until "), "{}", said.err());
    let token = machine.run(&["token"]).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    assert!(world.accepts(token.out().trim()).await);

    let status = machine.run(&["status", "--json"]).await.json();
    let sign_in = &status["sign_ins"][0];
    assert_eq!(
        (sign_in["stands"].clone(), sign_in["client_id"].clone()),
        (true.into(), "nightly".into()),
        "{status}"
    );
    assert!(sign_in["api_key_expires"].is_string() && sign_in["renewable"] == true, "{status}");
    let status = machine.run(&["status"]).await.out();
    assert!(status.contains("client nightly, by an API key that is good until "), "{status}");

    world.change(RevokeApiKey { org: world.org, key: desk.key, secret: None }).await;
    assert!(!world.accepts(token.out().trim()).await);
    let said = machine.run(&["token", "--resource", NOTES, "--scope", "notes:read"]).await;
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(
        said.err().contains("the API key was revoked") && said.err().contains("hint: "),
        "{}",
        said.err()
    );
    let said = machine.run(&["status"]).await;
    assert_eq!((said.code(), said.out().contains("the API key was revoked")), (4, true), "{}", said.out());
}

#[tokio::test]
async fn a_command_and_an_api_get_passes_of_their_own() {
    let machine = Machine::new().await;
    let api = Api::start(&machine.world.issuer_url, Kind { nonces: true, ..Kind::default() }).await;
    machine.world.add_resource(&api.url, "notes:read notes:write", None).await;
    let (secret, key) = make(&machine, &[&api.url, NOTES], Vec::new()).await;
    let desk = Desk { machine, secret, key };
    let (machine, world) = (&desk.machine, &desk.machine.world);

    let said = desk.login_with(&desk.secret, &[]).await;
    assert_eq!(said.code(), 5, "several APIs, and none is named: {}", said.err());
    assert!(said.err().contains("several resources"), "{}", said.err());
    desk.login(&["--resource", &api.url, "--resource", NOTES]).await;

    let said = machine.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    let (child, token) = machine.start_run_with(&["--resource", NOTES], |_| ()).await;
    assert!(world.accepts(&token).await);
    machine.let_go();
    let ended = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(ended.code(), 0, "{}", ended.err());
    machine.until_dead(&token).await;
    let said = machine.run(&["exec", "--resource", NOTES, "--purpose", "see it", "--", "env"]).await;
    let environment = said.out();
    assert!(environment.contains("HALLPASS_TOKEN="), "{}", said.err());
    assert!(!environment.contains("hpk_"), "never the key itself");
}

#[tokio::test]
async fn what_is_no_key_is_found_before_anybody_is_asked() {
    let desk = Desk::new().await;
    let before = desk.machine.world.ledger_size().await;
    let cut = &desk.secret[..desk.secret.len() - 3];
    for (text, told) in [
        (cut, "it is not base62 of the right length"),
        ("", "there is no API key on standard input"),
        ("ghp_0123456789", "does not begin with the prefix"),
        (&format!("{} {}", desk.secret, desk.secret), "no API key"),
    ] {
        let said = desk.login_with(text, &[]).await;
        assert_eq!(said.code(), 2, "{}", said.err());
        assert!(said.err().contains(told) && said.err().contains("hint: "), "{}", said.err());
        assert!(!said.err().contains(&desk.secret[4..20]), "it is not repeated");
    }
    assert!(desk.machine.world.store.strangers().is_empty());
    assert_eq!(desk.machine.world.ledger_size().await, before);
    // A key of nobody's, well spelled.
    let other = hallpass_model::spelling::render(
        hallpass_model::spelling::Prefix::ApiKey,
        &[3; hallpass_model::spelling::RANDOM_BYTES],
    );
    let said = desk.login_with(&other, &[]).await;
    assert_eq!(said.code(), 5, "{}", said.err());
    assert!(said.err().contains("this is no API key of this org"), "{}", said.err());
    assert_eq!(desk.machine.run(&["status"]).await.code(), 4, "nothing is kept");
}

#[tokio::test]
async fn a_refusal_by_rule_is_no_end() {
    let desk = Desk::with(&[NOTES], vec!["192.0.2.0/24".parse().unwrap()]).await;
    let said = desk.login_with(&desk.secret, &[]).await;
    assert_eq!(said.code(), 5, "{}", said.err());
    assert!(said.err().contains("may not be used from this network"), "{}", said.err());

    let desk = Desk::new().await;
    desk.login(&["--scope", "notes:read"]).await;
    let said = desk.machine.run(&["token", "--scope", "notes:delete"]).await;
    assert_eq!(said.code(), 5, "{}", said.err());
    assert_eq!(desk.machine.run(&["token"]).await.code(), 0, "the sign-in stands");
}

#[tokio::test]
async fn logout_wipes_the_key_here_and_says_that_it_lives_on_and_until_when() {
    let desk = Desk::new().await;
    let (machine, world) = (&desk.machine, &desk.machine.world);
    desk.login(&[]).await;
    let token = machine.run(&["token"]).await.out();
    let said = machine.run(&["logout"]).await;
    assert_eq!(said.code(), 1, "something is still alive: {}", said.err());
    assert!(said.err().contains("the API key: it may be others' as well"), "{}", said.err());
    assert!(
        said.err().contains("may be alive until ") && said.err().contains("--revoke-key"),
        "{}",
        said.err()
    );
    assert!(said.out().contains(&format!("revoked there: the pass for {NOTES}")), "{}", said.out());
    assert!(!world.accepts(token.trim()).await);
    assert_eq!(machine.run(&["status"]).await.code(), 4);

    // The key itself goes on, elsewhere or here again.
    desk.login(&[]).await;
    let token = machine.run(&["token"]).await.out();
    let said = machine.run(&["logout", "--revoke-key"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.out().contains("revoked there: the API key and every pass it bought"), "{}", said.out());
    assert!(!world.accepts(token.trim()).await);
    let said = desk.login_with(&desk.secret, &[]).await;
    assert_eq!(said.code(), 5, "{}", said.err());
    assert!(said.err().contains("the API key was revoked"), "{}", said.err());
}

#[tokio::test]
async fn the_daemon_holds_it_alone_buys_with_it_and_ends_it() {
    let desk = Desk::new().await;
    let (machine, world) = (&desk.machine, &desk.machine.world);
    desk.login(&["--store", "daemon"]).await;
    assert!(!machine.path(".local/state/hallpass").exists(), "nothing is on disk");
    let token = machine.run(&["token"]).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    assert!(world.accepts(token.out().trim()).await);
    let another = machine.run(&["token", "--scope", "notes:read"]).await;
    assert!(world.accepts(another.out().trim()).await, "{}", another.err());
    let said = machine.run(&["logout", "--revoke-key"]).await;
    assert_eq!(said.code(), 0, "{} {}", said.out(), said.err());
    assert!(!world.accepts(token.out().trim()).await);
    machine.run(&["daemon", "stop"]).await;
}

#[tokio::test]
async fn the_key_is_nowhere_to_be_read() {
    let desk = Desk::new().await;
    let said = desk.login(&["--json"]).await;
    let mut seen = said.out() + &said.err();
    for command in [
        &["token"][..],
        &["status", "--json"],
        &["doctor"],
        &["exec", "--", "env"],
        &["token", "--scope", "nothing:such"],
    ] {
        let said = desk.machine.run(command).await;
        seen += &(said.out() + &said.err());
    }
    let world = &desk.machine.world;
    world.store.write_key_uses(hallpass_model::time::Clock::now(&*world.clock)).await.unwrap();
    let canary = &desk.secret[4..desk.secret.len() - 6];
    assert!(!seen.contains(canary), "said");
    let mut files = Vec::new();
    for folder in [desk.machine.path(""), world.data.clone()] {
        read_all(&folder, &mut files);
    }
    assert!(files.len() > 3, "there is something to look at");
    for (path, bytes) in files {
        let has = bytes.windows(canary.len()).any(|there| there == canary.as_bytes());
        assert!(!has, "{}", path.display());
    }
}

fn read_all(folder: &std::path::Path, files: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => read_all(&entry.path(), files),
            Ok(kind) if kind.is_file() => {
                files.push((entry.path(), std::fs::read(entry.path()).unwrap_or_default()))
            }
            _ => {}
        }
    }
}
