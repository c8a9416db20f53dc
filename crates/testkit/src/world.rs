//! An issuer with an org, a person, clients and an API in it, served on an ephemeral port, in one line of a test.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hallpass_issuer::{Issuer, Listen, Listener, OutsideRoots, Settings, serve};
use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, OrgId, PrincipalId, SessionId};
use hallpass_model::jose::{JwkSet, SigningKey};
use hallpass_model::ledger::{Actor, LedgerKey};
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::principal::Owner;
use hallpass_model::random::{Entropy, Seeded};
use hallpass_model::secret::Secret;
use hallpass_model::time::Clock;
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::oauth::{GrantType, Scopes, token_type};
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{
    AddClient, AddOrg, AddPerson, AddResource, Answer, AnswerDevice, Approver, Change, CodeIssued,
    CodeRedeemed, Filter, IssueCode, KeyEncryptionKey, Reach, RedeemCode, RefreshTokens, SigningKeyRow,
    Store, StoreKeys, StorePlace, Wanted,
};
use tempfile::TempDir;

use crate::client::{Refused, Reply, Tokens};
use crate::clock::{START, TestClock};
use crate::disk;

/// The one API of a world: `notes:read` and `notes:write`.
pub const NOTES: &str = "https://notes.example/";

/// An issuer with an org in it, and short ways to do what tests do.
///
/// Org `acme` has the administrator `ada`, the public client `hallpass-cli`, the API [`NOTES`] and that API's own
/// server, the client `notes-api`.
pub struct World {
    /// The issuer, as it is served.
    pub issuer: Issuer,
    /// Its store.
    pub store: Store,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Where it is reached: `http://localhost:PORT`.
    pub base_url: String,
    /// The issuer of org `acme`.
    pub issuer_url: String,
    /// Org `acme`.
    pub org: OrgId,
    /// Its administrator.
    pub ada: PrincipalId,
    /// The client `hallpass-cli`.
    pub cli: ClientId,
    /// The client `notes-api`.
    pub notes_api: ClientId,
    /// The key `notes-api` signs its assertions with.
    pub notes_api_key: SigningKey,
    /// A client that follows no redirect and keeps no cookie.
    pub http: reqwest::Client,
    /// The data folder.
    pub data: PathBuf,
    /// What the data folder is in, removed with the world.
    pub folder: TempDir,
    pub(crate) nonce: Mutex<Option<String>>,
    entropy: Arc<dyn Entropy>,
}

/// A certificate for `localhost` that outside sites of tests show, and that the world's issuer believes.
pub const LOCALHOST_PEM: &[u8] = include_bytes!("../../issuer/tests/it/tls/localhost.pem");
/// Its key, PKCS #8 in PEM.
pub const LOCALHOST_KEY: &[u8] = include_bytes!("../../issuer/tests/it/tls/localhost.key");

impl World {
    /// A world whose time begins at [`START`].
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let place = StorePlace::new(folder.path().join("data"));
        Self::stored_in(place, folder).await
    }

    /// The same, its store on a disk that can fail: [`disk`], by [`World::data`].
    pub async fn on_a_disk_that_can_fail() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        Self::stored_in(disk::place(folder.path()), folder).await
    }

    async fn stored_in(place: StorePlace, folder: TempDir) -> Self {
        let clock = Arc::new(TestClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(Seeded::new(1));
        let data = place.data.clone();
        let store = open_store(place, &entropy);

        let (issuer, base_url) = serve_store(&store, &clock, &entropy).await;
        let (org, ada) = add_org(&store, "acme", "ada").await;
        let cli = store.find_client_by_handle(org, "hallpass-cli").await.expect("the store reads");
        let notes_api_key = SigningKey::generate();
        let mut world = Self {
            issuer,
            store,
            clock,
            issuer_url: format!("{base_url}/acme"),
            base_url,
            org,
            ada,
            cli: cli.expect("an org is born with it").id,
            notes_api: ClientId::from_bytes([0; 16]),
            notes_api_key,
            http: http_client(),
            data,
            folder,
            nonce: Mutex::default(),
            entropy,
        };
        world.notes_api = world.add_service("notes-api", &world.notes_api_key, "").await;
        world.add_resource(NOTES, "notes:read notes:write", Some(world.notes_api)).await;
        world
    }

    /// Another process serves the same store from now on, as after a restart: what the one before kept in memory is forgotten.
    pub async fn serve_anew(&mut self) {
        (self.issuer, self.base_url) = serve_store(&self.store, &self.clock, &self.entropy).await;
        self.issuer_url = format!("{}/acme", self.base_url);
    }

    /// Makes a change, as the operator.
    pub async fn change<C: Change>(&self, change: C) -> C::Outcome {
        self.store.change(Actor::Operator, self.clock.now(), change).await.expect("the store works")
    }

    /// Adds a person to `acme`.
    pub async fn add_person(&self, handle: &str) -> PrincipalId {
        let add = AddPerson {
            org: self.org,
            handle: handle.parse().expect("a short name"),
            name: handle.to_owned(),
        };
        self.change(add).await.expect("the person is added")
    }

    /// Adds an API to `acme`, owned by ada.
    pub async fn add_resource(&self, url: &str, scopes: &str, server: Option<ClientId>) {
        let add = AddResource {
            org: self.org,
            url: url.to_owned(),
            name: url.to_owned(),
            owner: Owner::Person(self.ada),
            environment: "dev".parse().expect("a short name"),
            scopes: Scopes::parse(scopes).expect("scopes"),
            server,
        };
        self.change(add).await.expect("the resource is added");
    }

    /// Adds a service client to `acme`, owned by ada, that signs with `key`.
    pub async fn add_service(&self, handle: &str, key: &SigningKey, scopes: &str) -> ClientId {
        let keys = JwkSet::new(vec![key.public().clone()]);
        self.add_client(AddClient {
            scopes: Scopes::parse(scopes).expect("scopes"),
            authentication: ClientAuthentication::PrivateKeyJwt(keys),
            ..self.new_client(handle, ClientKind::Service)
        })
        .await
    }

    /// A public client of this kind with all its grant types, owned by ada, to be changed and added.
    pub fn new_client(&self, handle: &str, kind: ClientKind) -> AddClient {
        AddClient {
            org: self.org,
            handle: handle.parse().expect("a short name"),
            name: handle.to_owned(),
            kind,
            owner: Owner::Person(self.ada),
            authentication: ClientAuthentication::None,
            grant_types: kind.grant_types().to_vec(),
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned(), "http://[::1]/callback".to_owned()],
            scopes: Scopes::none(),
            any_scope: false,
            device_flow_barred: Scopes::none(),
            older_assertions_until: None,
            secrets_until: None,
            environment: None,
        }
    }

    /// Adds a client.
    pub async fn add_client(&self, client: AddClient) -> ClientId {
        self.change(client).await.expect("the client is added")
    }

    /// Adds a second org, with an administrator `bob`.
    pub async fn add_org(&self, name: &str) -> (OrgId, PrincipalId) {
        add_org(&self.store, name, "bob").await
    }

    /// How a person proves who they are with a passkey, just now.
    pub fn by_passkey(&self) -> Authentication {
        Authentication {
            at: self.clock.now(),
            acr: Acr::PhishingResistant,
            amr: vec![Amr::Pop, Amr::User, Amr::Mfa],
        }
    }

    /// The `client_assertion` parameters of a client that signs with `key`.
    pub fn assertion(&self, client: &str, key: &SigningKey) -> [(&'static str, String); 2] {
        let mut jti = [0u8; 16];
        self.entropy.fill(&mut jti);
        let jti = hallpass_model::jose::base64url::render(jti);
        let signed = assertion(key, client, &self.issuer_url, &jti, self.clock.now(), CLIENT_ASSERTION_MAX);
        [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", signed)]
    }

    /// Begins a device login.
    pub async fn start_device(&self, client: &str, extra: &[(&str, &str)]) -> Reply {
        self.post("device_authorization", &[&[("client_id", client)], extra].concat()).await
    }

    /// Answers a device login in a person's name.
    pub async fn answer_device(&self, user_code: &str, person: PrincipalId, answer: Answer) {
        let found = self.store.find_device_by_user_code(self.org, user_code).await.expect("the store reads");
        let by =
            Approver { principal: person, authentication: self.by_passkey(), approval: Approval::DevicePage };
        let grant = found.expect("the code is known").id;
        self.change(AnswerDevice { org: self.org, grant, by, answer, address: "127.0.0.1".to_owned() }).await;
    }

    /// Logs a person in by device flow: all scopes, [`NOTES`] in reach, no key.
    pub async fn sign_in(&self, person: &str, client: &str) -> Tokens {
        self.log_in(person, client, None, &[("scope", ALL_SCOPES), ("resource", NOTES)]).await
    }

    /// The same, for these APIs and scopes.
    pub async fn sign_in_for(&self, person: &str, client: &str, resources: &[&str], scope: &str) -> Tokens {
        let asked: Vec<_> = resources.iter().map(|resource| ("resource", *resource)).collect();
        self.log_in(person, client, None, &[&asked[..], &[("scope", scope)]].concat()).await
    }

    /// The same, bound to a new key.
    pub async fn sign_in_bound(&self, person: &str, client: &str) -> Tokens {
        let key = Some(Arc::new(SigningKey::generate()));
        self.log_in(person, client, key, &[("scope", ALL_SCOPES), ("resource", NOTES)]).await
    }

    /// The same with this scope and no API in reach: for the issuer's own endpoints.
    pub async fn sign_in_for_bound(&self, person: &str, client: &str, scope: &str) -> Tokens {
        let key = Some(Arc::new(SigningKey::generate()));
        self.log_in(person, client, key, &[("scope", scope)]).await
    }

    async fn log_in(
        &self,
        person: &str,
        client: &str,
        key: Option<Arc<SigningKey>>,
        asked: &[(&str, &str)],
    ) -> Tokens {
        let started = self.start_device(client, asked).await.json();
        let text =
            |name: &str| started[name].as_str().unwrap_or_else(|| panic!("no {name}: {started}")).to_owned();
        let found = self.store.find_person_by_handle(self.org, person).await.expect("the store reads");
        self.answer_device(&text("user_code"), found.expect("the person is known").id, Answer::Yes).await;
        let device_code = text("device_code");
        let form = [
            ("grant_type", GrantType::DeviceCode.text()),
            ("client_id", client),
            ("device_code", &device_code),
            ("resource", &self.issuer_url),
        ];
        let reply = self.ask_token(&form, key.as_deref()).await;
        self.tokens(reply, client, key.as_ref()).await.expect("an approved login is collected")
    }

    /// So many sessions of a person's, past the endpoints: where their number is what counts.
    pub async fn open_sessions(&self, person: PrincipalId, count: usize) -> Vec<SessionId> {
        let code_verifier = || Secret::from_text("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned());
        let redirect_uri = "http://127.0.0.1/callback";
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            let issue = IssueCode {
                raises: None,
                org: self.org,
                client: self.cli,
                principal: person,
                grant: Grant {
                    scopes: Scopes::parse(ALL_SCOPES).expect("scopes"),
                    resources: vec![NOTES.to_owned()],
                    purpose: None,
                    authentication: self.by_passkey(),
                    approval: Approval::Browser,
                },
                redirect_uri: redirect_uri.to_owned(),
                code_challenge: CodeChallenge::of(&code_verifier()),
                nonce: None,
                dpop_jkt: None,
                device: None,
                address: String::new(),
            };
            let CodeIssued::Issued { code, .. } = self.change(issue).await else { panic!("no code") };
            let redeem = RedeemCode {
                code,
                org: self.org,
                client: self.cli,
                redirect_uri: Some(redirect_uri.to_owned()),
                code_verifier: code_verifier(),
                proof: None,
                refresh: RefreshTokens::Always,
                wanted: Wanted { reach: Reach::Issuer, ..Wanted::default() },
                address: None,
            };
            let CodeRedeemed::Opened(opened) = self.change(redeem).await else { panic!("not opened") };
            sessions.push(opened.session.id);
        }
        sessions
    }

    /// Refreshes.
    pub async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, Refused> {
        self.refresh_with(tokens, &[("resource", &self.issuer_url)]).await
    }

    /// Refreshes, with these parameters besides.
    pub async fn refresh_with(&self, tokens: &Tokens, extra: &[(&str, &str)]) -> Result<Tokens, Refused> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &tokens.client),
            ("refresh_token", &tokens.refresh),
        ];
        let reply = self.ask_token(&[&form, extra].concat(), tokens.key.as_deref()).await;
        self.tokens(reply, &tokens.client, tokens.key.as_ref()).await
    }

    /// Exchanges the access token for one for an API.
    pub async fn exchange(&self, tokens: &Tokens, extra: &[(&str, &str)]) -> Result<Tokens, Refused> {
        let form = [
            ("grant_type", GrantType::TokenExchange.text()),
            ("client_id", &tokens.client),
            ("subject_token", &tokens.access),
            ("subject_token_type", token_type::ACCESS_TOKEN),
        ];
        let reply = self.ask_token(&[&form, extra].concat(), tokens.key.as_deref()).await;
        self.tokens(reply, &tokens.client, tokens.key.as_ref()).await
    }

    /// Revokes a token, as the client it was issued to.
    pub async fn revoke(&self, token: &str, client: &str) -> Reply {
        self.post("revoke", &[("client_id", client), ("token", token)]).await
    }

    /// What introspection says of a token, to the server of [`NOTES`].
    pub async fn introspect(&self, token: &str) -> serde_json::Value {
        let [kind, signed] = self.assertion("notes-api", &self.notes_api_key);
        let form = [("token", token), (kind.0, &kind.1), (signed.0, &signed.1)];
        let reply = self.post("introspect", &form).await;
        assert_eq!(reply.status, http::StatusCode::OK, "{}", reply.body);
        reply.json()
    }

    /// Whether [`NOTES`] would accept this token now.
    pub async fn accepts(&self, access_token: &str) -> bool {
        self.introspect(access_token).await["active"] == true
    }

    /// How many entries the ledger has.
    pub async fn ledger_size(&self) -> u64 {
        self.store.ledger_size().await.expect("the store reads")
    }

    /// What the ledger has recorded since these tokens came, by kind: `refreshed`, `cut: reuse`.
    pub async fn ledger_since(&self, tokens: &Tokens) -> Vec<String> {
        self.ledger_from(tokens.ledger).await
    }

    /// What the ledger has recorded from this entry on.
    pub async fn ledger_from(&self, seq: u64) -> Vec<String> {
        let page = self.store.list_ledger(&Filter::default(), seq, 1_000).await.expect("the store reads");
        page.items.iter().map(|row| told(&row.entry().expect("an entry reads back"))).collect()
    }
}

/// Everything a person can be asked for in a world.
pub const ALL_SCOPES: &str = "openid profile offline_access notes:read notes:write";

fn told(entry: &hallpass_model::ledger::Entry) -> String {
    use hallpass_model::ledger::Key;
    let detail = [Key::REASON, Key::RULE].into_iter().find_map(|key| entry.detail.find(&key).cloned());
    match detail {
        Some(detail) => format!("{}: {detail}", entry.event.text()),
        None => entry.event.text().to_owned(),
    }
}

fn open_store(place: StorePlace, entropy: &Arc<dyn Entropy>) -> Store {
    let keys = StoreKeys {
        previous: None,
        kek: KeyEncryptionKey::from_bytes(&[7; 32]),
        ledger: LedgerKey::generate("world.test/ledger", &Seeded::new(7))
            .expect("a name and a seed make a key"),
    };
    Store::open(place, keys, entropy.clone(), START).expect("a new store opens")
}

/// An issuer over a store, served on a free port, and where that is.
async fn serve_store(store: &Store, clock: &Arc<TestClock>, entropy: &Arc<dyn Entropy>) -> (Issuer, String) {
    let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls: None, trusted_proxies: Vec::new() };
    let listener = Listener::bind(&listen).await.expect("a free port is bound");
    let port = listener.address().expect("a bound socket has an address").port();
    let base_url = format!("http://localhost:{port}");
    let settings = Settings {
        base_url: base_url.parse().expect("localhost is a base URL"),
        // Outside issuers of tests are on this machine.
        outside_networks: vec!["127.0.0.0/8".parse().expect("loopback is a network")],
        outside_roots: OutsideRoots::from_pem(LOCALHOST_PEM).expect("it is a certificate"),
    };
    let issuer = Issuer::new(store.clone(), clock.clone(), entropy.clone(), settings);
    tokio::spawn(serve(issuer.clone(), listener));
    (issuer, base_url)
}

async fn add_org(store: &Store, name: &str, administrator: &str) -> (OrgId, PrincipalId) {
    let key = SigningKey::generate();
    let add = AddOrg {
        name: name.parse().expect("a short name"),
        title: name.to_uppercase(),
        administrator: (administrator.parse().expect("a short name"), administrator.to_owned()),
        signing: SigningKeyRow { kid: key.kid().to_owned(), pkcs8: Secret::new(key.to_pkcs8().to_vec()) },
    };
    let added =
        store.change(Actor::Operator, START, add).await.expect("the store works").expect("the name is free");
    (added.org, added.administrator)
}

fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    client.build().expect("a client without anything special is made")
}
