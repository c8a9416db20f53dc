//! How many refreshes a second the store makes durable, and what each costs.
//!
//! `cargo run --release -p hallpass-store --example redeem_rate -- [SESSIONS] [AT ONCE] [SECONDS]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it measures, prints and stops")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hallpass_model::grant::{Acr, Amr, Approval, Authentication, Grant};
use hallpass_model::ledger::{Actor, LedgerKey};
use hallpass_model::random::SystemEntropy;
use hallpass_model::secret::Secret;
use hallpass_model::session::RefreshToken;
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use hallpass_model::wire::pkce::{CodeChallenge, code_verifier};
use hallpass_store::{
    AddOrg, CodeIssued, CodeRedeemed, IssueCode, KeyEncryptionKey, Reach, Redeem, RedeemCode, Redeemed,
    RefreshTokens, SigningKeyRow, Store, StoreKeys, StorePlace, Wanted,
};

fn now() -> Timestamp {
    Timestamp::from_millis(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
    )
}

/// User and system time of this process, in the hundredths of a second that Linux counts in.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>().unwrap());
    let (sessions, at_once) = (numbers.next().unwrap_or(1_000), numbers.next().unwrap_or(64));
    let length = Duration::from_secs(numbers.next().unwrap_or(5));

    let folder = std::env::temp_dir().join(format!("hallpass-redeem-rate-{}", std::process::id()));
    let keys = StoreKeys {
        previous: None,
        kek: KeyEncryptionKey::generate(&SystemEntropy),
        ledger: LedgerKey::generate("rate", &SystemEntropy).unwrap(),
    };
    let store = Store::open(StorePlace::new(&folder), keys, Arc::new(SystemEntropy), now()).unwrap();
    let org = AddOrg {
        name: "acme".parse().unwrap(),
        title: "Acme".into(),
        administrator: ("ada".parse().unwrap(), "Ada".into()),
        signing: SigningKeyRow { kid: "k".into(), pkcs8: Secret::new(vec![0; 100]) },
    };
    let added = store.change(Actor::Operator, now(), org).await.unwrap().unwrap();
    let cli = store.find_client_by_handle(added.org, "hallpass-cli").await.unwrap().unwrap().id;

    let begin = Instant::now();
    let share = sessions.div_ceil(at_once);
    let opening: Vec<_> = (0..at_once)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tokens = Vec::new();
                for _ in 0..share {
                    tokens.push(log_in(&store, added.org, added.administrator, cli).await);
                }
                tokens
            })
        })
        .collect();
    let mut held = Vec::new();
    for task in opening {
        held.push(task.await.unwrap());
    }
    println!("{} sessions opened in {:?}", share * at_once, begin.elapsed());

    let done = Arc::new(AtomicU64::new(0));
    let (begin, spent) = (Instant::now(), cpu());
    let refreshing: Vec<_> = held
        .into_iter()
        .map(|mut tokens| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut slowest = Duration::ZERO;
                'all: loop {
                    for token in &mut tokens {
                        if begin.elapsed() > length {
                            break 'all;
                        }
                        let asked = Instant::now();
                        let redeem = Redeem {
                            token: RefreshToken::parse(token).unwrap(),
                            org: added.org,
                            client: cli,
                            proof: None,
                            from: Some(1),
                            address: None,
                            wanted: Wanted { reach: Reach::Issuer, ..Wanted::default() },
                            rung: None,
                            class: None,
                        };
                        match store.change(Actor::Nobody, now(), redeem).await.unwrap() {
                            Redeemed::Next(opened) => {
                                *token = opened.refresh_token.unwrap().expose_text().to_owned();
                            }
                            other => panic!("{other:?}"),
                        }
                        slowest = slowest.max(asked.elapsed());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                slowest
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for task in refreshing {
        slowest = slowest.max(task.await.unwrap());
    }
    let (took, spent, done) = (begin.elapsed(), cpu() - spent, done.load(Ordering::Relaxed));
    println!(
        "{done} refreshes in {took:?}: {:.0} a second, {:.1} µs of CPU each, slowest {slowest:?}",
        done as f64 / took.as_secs_f64(),
        spent.as_secs_f64() * 1e6 / done as f64,
    );
    drop(store);
    std::fs::remove_dir_all(folder).unwrap();
}

async fn log_in(
    store: &Store,
    org: hallpass_model::id::OrgId,
    person: hallpass_model::id::PrincipalId,
    client: hallpass_model::id::ClientId,
) -> String {
    let verifier = code_verifier(&SystemEntropy);
    let issue = IssueCode {
        raises: None,
        org,
        client,
        principal: person,
        grant: Grant {
            scopes: Scopes::parse("openid offline_access").unwrap(),
            resources: Vec::new(),
            purpose: None,
            authentication: Authentication { at: now(), acr: Acr::PhishingResistant, amr: vec![Amr::Pop] },
            approval: Approval::Browser,
        },
        redirect_uri: "http://127.0.0.1/callback".into(),
        code_challenge: CodeChallenge::of(&verifier),
        nonce: None,
        dpop_jkt: None,
        device: None,
        address: "192.0.2.1".into(),
    };
    let CodeIssued::Issued { code, .. } = store.change(Actor::Nobody, now(), issue).await.unwrap() else {
        panic!("no code")
    };
    let redeem = RedeemCode {
        code,
        org,
        client,
        redirect_uri: Some("http://127.0.0.1/callback".into()),
        code_verifier: verifier,
        proof: None,
        refresh: RefreshTokens::Always,
        wanted: Wanted::default(),
        address: None,
    };
    match store.change(Actor::Nobody, now(), redeem).await.unwrap() {
        CodeRedeemed::Opened(opened) => opened.refresh_token.unwrap().expose_text().to_owned(),
        refused => panic!("{refused:?}"),
    }
}
