//! `hallpass serve`: a data folder is filled once through the store, as logins would fill it, and each start gets a copy.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hallpass_model::client::{ClientAuthentication, ClientKind};
use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::id::{ClientId, OrgId, PrincipalId};
use hallpass_model::jose::{JwkSet, SigningKey, Typ};
use hallpass_model::ledger::{Actor, LedgerKey};
use hallpass_model::lifetimes::CLIENT_ASSERTION_MAX;
use hallpass_model::principal::Owner;
use hallpass_model::random::{Entropy, SystemEntropy};
use hallpass_model::secret::Secret;
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::assertion::{ASSERTION_TYPE, assertion};
use hallpass_model::wire::oauth::{Scopes, token_type};
use hallpass_model::wire::pkce::CodeChallenge;
use hallpass_store::{
    AddClient, AddOrg, AddResource, AddTrust, CodeIssued, CodeRedeemed, IssueCode, KeyEncryptionKey, Reach,
    RedeemCode, RefreshTokens, SigningKeyRow, Store, StoreKeys, StorePlace, Wanted,
};

use crate::clients::{CLIENT, client_key, same_token};
use crate::http::{form_once, member};
use crate::load::{CONNECTIONS, Job, Kind, Pace, Tally};
use crate::side::{Question, Server, free_port};
use crate::{Failure, process, round};

/// Starts it on a copy of the filled folder; with no sessions, on an empty one.
pub(crate) fn start(sessions: usize) -> Result<Server, Failure> {
    let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
    let data = folder.path().join("data");
    if sessions > 0 {
        copy(&filled(sessions)?.folder.path().join("data"), &data)?;
    }
    let port = free_port()?;
    let mut command = Command::new(program()?);
    command
        .args(["serve", "--quiet", "--log", "error", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.path().join("log"))?);
    let tokens = folder.path().join("refresh-tokens");
    if sessions > 0 {
        fs::copy(filled(sessions)?.folder.path().join("refresh-tokens"), &tokens)?;
    }
    let refresh = Question {
        head: head(port, "token", ""),
        form: "grant_type=refresh_token&client_id=hallpass-cli&refresh_token=".to_owned(),
        tokens,
    };
    Server::launch(command, format!("127.0.0.1:{port}"), "/readyz", folder, refresh, sessions)
}

/// Has the server issue access tokens, by a refresh each; the caller shows a token of its own.
pub(crate) fn introspection(server: &Server, tokens: usize) -> Result<Question, Failure> {
    let filled = filled(server.sessions)?;
    let port = port_of(server)?;
    let (file, few) = (server.folder.path().join("access-tokens"), server.folder.path().join("few"));
    let all = fs::read_to_string(&server.refresh.tokens)?;
    let (now, later): (Vec<&str>, Vec<&str>) =
        (all.lines().take(tokens).collect(), all.lines().skip(tokens).collect());
    fs::write(&few, now.join("\n"))?;
    // Those that stay are refreshed next time: a rotated token is of no more use.
    fs::write(&server.refresh.tokens, later.join("\n"))?;
    let job = Job {
        address: server.address.clone(),
        pid: server.pid(),
        head: server.refresh.head.clone(),
        form: server.refresh.form.clone(),
        tokens: few,
        kind: Kind::Refresh,
        pace: Pace::Once,
        access_tokens: Some(file.clone()),
        connections: CONNECTIONS,
    };
    let _: Tally = round::ask(&job)?;
    Ok(Question {
        head: head(
            port,
            "introspect",
            &format!("Authorization: Bearer {}\r\n", caller(server, port, &filled)?),
        ),
        form: "token_type_hint=access_token&token=".to_owned(),
        tokens: file,
    })
}

/// The API's own token, for the issuer.
fn caller(server: &Server, port: u16, filled: &Filled) -> Result<String, Failure> {
    let issuer = issuer(port);
    let mut jti = [0u8; 16];
    SystemEntropy.fill(&mut jti);
    let jti = hallpass_model::jose::base64url::render(jti);
    let proof = assertion(&filled.api_key, "bench-api", &issuer, &jti, process::now(), CLIENT_ASSERTION_MAX);
    let form = format!(
        "grant_type=client_credentials&resource=http%3A%2F%2Flocalhost%3A{port}%2F{ORG}\
         &client_assertion_type={}&client_assertion={proof}",
        ASSERTION_TYPE.replace(':', "%3A")
    );
    let (status, body) = form_once(&server.address, &head(port, "token", ""), &form)?;
    let token = member(&body, "access_token").filter(|_| status == 200).map(str::to_owned);
    token.ok_or_else(|| format!("no token for the caller: {}", String::from_utf8_lossy(&body)).into())
}

/// A data folder with everything in it, and the refresh tokens of its sessions.
struct Filled {
    folder: tempfile::TempDir,
    api_key: SigningKey,
}

/// Each is filled once, whatever is measured with it.
static FILLED: Mutex<Vec<(usize, Arc<Filled>)>> = Mutex::new(Vec::new());

/// The folder filled with so many sessions; made the first time.
fn filled(sessions: usize) -> Result<Arc<Filled>, Failure> {
    let mut all = FILLED.lock().map_err(|_| "filling failed")?;
    if let Some((_, filled)) = all.iter().find(|(number, _)| *number == sessions) {
        return Ok(filled.clone());
    }
    crate::say(&format!("opening {sessions} sessions of ours, once"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let made = runtime.block_on(fill(sessions))?;
    runtime.shutdown_timeout(Duration::from_secs(5));
    let made = Arc::new(made);
    all.push((sessions, made.clone()));
    Ok(made)
}

/// Removes the folders: what is static is not dropped.
pub(crate) fn clean_up() {
    if let Ok(mut all) = FILLED.lock() {
        all.clear();
    }
}

async fn fill(sessions: usize) -> Result<Filled, Failure> {
    let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
    let keys = write_keys(&folder.path().join("data"))?;
    let place = StorePlace::new(folder.path().join("data"));
    let store = Store::open(place, keys, Arc::new(SystemEntropy), process::now())?;
    let api_key = SigningKey::generate();
    let world = add_world(&store, &api_key).await?;

    let mut opening = tokio::task::JoinSet::new();
    for hand in 0..TASKS {
        let (store, many) = (store.clone(), sessions / TASKS + usize::from(hand < sessions % TASKS));
        opening.spawn(async move {
            let mut tokens = String::new();
            for _ in 0..many {
                tokens.push_str(&open_session(&store, world).await?);
                tokens.push('\n');
            }
            Ok::<_, String>(tokens)
        });
    }
    let mut tokens = String::new();
    while let Some(opened) = opening.join_next().await {
        tokens.push_str(&opened??);
    }
    fs::write(folder.path().join("refresh-tokens"), tokens)?;
    drop(store);
    Ok(Filled { folder, api_key })
}

#[derive(Clone, Copy)]
struct World {
    org: OrgId,
    ada: PrincipalId,
    cli: ClientId,
}

/// An org, its administrator, an API and the API's own client.
async fn add_world(store: &Store, api_key: &SigningKey) -> Result<World, Failure> {
    let key = SigningKey::generate();
    let org = AddOrg {
        name: ORG.parse()?,
        title: "Bench".to_owned(),
        administrator: ("ada".parse()?, "Ada".to_owned()),
        signing: SigningKeyRow { kid: key.kid().to_owned(), pkcs8: Secret::new(key.to_pkcs8().to_vec()) },
    };
    let added = store.change(Actor::Operator, process::now(), org).await?.map_err(|_| "the name is taken")?;
    let owner = Owner::Person(added.administrator);
    let service = AddClient {
        org: added.org,
        handle: "bench-api".parse()?,
        name: "bench-api".to_owned(),
        kind: ClientKind::Service,
        owner,
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![api_key.public().clone()])),
        grant_types: ClientKind::Service.grant_types().to_vec(),
        redirect_uris: Vec::new(),
        scopes: Scopes::none(),
        any_scope: false,
        device_flow_barred: Scopes::none(),
        older_assertions_until: None,
        secrets_until: None,
        environment: None,
    };
    let api = store
        .change(Actor::Operator, process::now(), service.clone())
        .await?
        .map_err(|_| "the client is not added")?;
    let service = AddClient {
        handle: CLIENT.parse()?,
        name: CLIENT.to_owned(),
        authentication: ClientAuthentication::PrivateKeyJwt(JwkSet::new(vec![client_key().public().clone()])),
        scopes: Scopes::parse("notes:read")?,
        ..service.clone()
    };
    let service = store
        .change(Actor::Operator, process::now(), service)
        .await?
        .map_err(|_| "the client is not added")?;
    let trust = AddTrust {
        org: added.org,
        handle: "bench-job".parse()?,
        client: service,
        environment: "dev".parse()?,
        rule: Rule {
            preset: Preset::Oidc,
            issuer: OUTSIDE.to_owned(),
            audience: AUDIENCE.to_owned(),
            conditions: vec!["sub=job".parse()?],
        },
        keys: IssuerKeys::Given(JwkSet::new(vec![client_key().public().clone()])),
        scopes: Scopes::parse("notes:read")?,
        longest: hallpass_model::lifetimes::ACCESS_TOKEN,
    };
    store.change(Actor::Operator, process::now(), trust).await?.map_err(|_| "the trust is not added")?;
    let notes = AddResource {
        org: added.org,
        url: NOTES.to_owned(),
        name: NOTES.to_owned(),
        owner,
        environment: "dev".parse()?,
        scopes: Scopes::parse("notes:read")?,
        server: Some(api),
    };
    store.change(Actor::Operator, process::now(), notes).await?.map_err(|_| "the resource is not added")?;
    let cli = store.find_client_by_handle(added.org, "hallpass-cli").await?.ok_or("no hallpass-cli")?.id;
    Ok(World { org: added.org, ada: added.administrator, cli })
}

/// A login by code, bearer: what the consent page and the token endpoint do with the store. Its refresh token.
async fn open_session(store: &Store, world: World) -> Result<String, String> {
    let now = process::now();
    let verifier = || Secret::from_text(VERIFIER.to_owned());
    let issue = IssueCode {
        org: world.org,
        client: world.cli,
        principal: world.ada,
        grant: Grant {
            scopes: Scopes::parse("offline_access notes:read").map_err(|bad| bad.to_string())?,
            resources: vec![NOTES.to_owned()],
            purpose: None,
            authentication: Authentication { at: now, acr: Acr::PhishingResistant, amr: vec![Amr::Pop] },
            approval: Approval::Browser,
        },
        redirect_uri: CALLBACK.to_owned(),
        code_challenge: CodeChallenge::of(&verifier()),
        nonce: None,
        dpop_jkt: None,
        raises: None,
        device: None,
        address: "127.0.0.1".to_owned(),
    };
    let actor = Actor::Operator;
    let issued = store.change(actor, now, issue).await.map_err(|error| error.to_string())?;
    let CodeIssued::Issued { code, .. } = issued else { return Err("no code".to_owned()) };
    let redeem = RedeemCode {
        code,
        org: world.org,
        client: world.cli,
        redirect_uri: Some(CALLBACK.to_owned()),
        code_verifier: verifier(),
        proof: None,
        refresh: RefreshTokens::Always,
        wanted: Wanted { reach: Reach::Unsaid, scopes: None, lifetime: None },
        address: None,
    };
    match store.change(Actor::Operator, now, redeem).await.map_err(|error| error.to_string())? {
        CodeRedeemed::Opened(opened) => opened
            .refresh_token
            .map(|token| token.expose_text().to_owned())
            .ok_or_else(|| "no refresh token".to_owned()),
        CodeRedeemed::Refused(refusal) => Err(refusal.to_string()),
    }
}

/// The two keys, as `hallpass serve` keeps them.
fn write_keys(data: &Path) -> Result<StoreKeys, Failure> {
    let keys = data.join("keys");
    fs::create_dir_all(&keys)?;
    for folder in [data, &keys] {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let kek = [7u8; 32];
    let ledger =
        LedgerKey::generate("localhost/hallpass/bench", &SystemEntropy).map_err(|bad| bad.to_string())?;
    let lines = [
        ("kek", "hallpass-key-encryption-key-1 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n".to_owned()),
        ("ledger", format!("{}\n", ledger.to_text().expose_text())),
    ];
    for (name, line) in lines {
        fs::write(keys.join(name), line)?;
        fs::set_permissions(keys.join(name), Permissions::from_mode(0o600))?;
    }
    Ok(StoreKeys { kek: KeyEncryptionKey::from_bytes(&kek), previous: None, ledger })
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    match Command::new("cp").arg("-a").arg(from).arg(to).status()?.success() {
        true => Ok(()),
        false => Err("the data folder could not be copied".into()),
    }
}

/// `hallpass` stands beside this program.
pub(crate) fn program() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.with_file_name("hallpass"))
}

fn port_of(server: &Server) -> Result<u16, Failure> {
    server.address.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or_else(|| "no port".into())
}

/// The issuer's identifier of a running server.
pub(crate) fn issuer_of(server: &Server) -> Result<String, Failure> {
    Ok(issuer(port_of(server)?))
}

/// A job's token by the trust that the folder has, and how it is exchanged.
pub(crate) fn exchange(server: &Server) -> Result<Question, Failure> {
    let now = process::now().seconds();
    let claims = serde_json::json!({
        "iss": OUTSIDE, "aud": AUDIENCE, "sub": "job", "jti": "1", "iat": now, "exp": now + 3_600,
    });
    let token = client_key().sign(Typ::IdToken, &claims);
    let form = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token_type={}&resource={}&subject_token=",
        token_type::JWT.replace(':', "%3A"),
        NOTES.replace(':', "%3A").replace('/', "%2F")
    );
    Ok(Question {
        head: server.refresh.head.clone(),
        form,
        tokens: same_token(server.folder.path().join("outside-tokens"), &token)?,
    })
}

fn issuer(port: u16) -> String {
    format!("http://localhost:{port}/{ORG}")
}

fn head(port: u16, path: &str, more: &str) -> String {
    format!(
        "POST /{ORG}/{path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n{more}"
    )
}

const ORG: &str = "bench";
/// An outside issuer: its key is given, so it is asked for nothing.
const OUTSIDE: &str = "https://ci.example";
const AUDIENCE: &str = "https://id.example/bench";
const NOTES: &str = "https://notes.example/";
const CALLBACK: &str = "http://127.0.0.1:49152/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Logins at once while filling: the store commits many together.
const TASKS: usize = 256;
