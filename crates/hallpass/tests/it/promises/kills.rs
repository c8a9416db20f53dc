//! Kill -9 of the issuer, again and again, while sixteen holders refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hallpass_model::random::{Entropy, Seeded};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::timeout;

use super::client::Client;
use super::server::{DEADLINE, Server, free_port};

/// How often the issuer is killed.
const KILLS: usize = 100;
/// How many sessions are refreshed all the while.
const HOLDERS: usize = 16;
/// Between two kills come at most so many refreshes: some kills meet the first after a start, some a busy server.
const REFRESHES_BETWEEN: u64 = 32;
/// And then at most so many microseconds: so that a kill meets any instant, not just that after an answer.
const THEN_MICROSECONDS: u64 = 4_000;
/// Every so many kills meet a server that is still starting, up to so many microseconds after its birth.
const STARTING_EVERY: usize = 5;
const STARTING_MICROSECONDS: u64 = 40_000;
/// How long a holder waits before it tries again what failed.
const PAUSE: Duration = Duration::from_millis(3);

/// Invariant 7: no legitimate session dies of bad luck.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_lose_no_session() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let port = free_port();
    let mut server = Server::new(folder.path(), port, port);
    server.start().await;
    server.command(&["admin", "org", "add", "acme", "--administrator", "ada"]).await;
    let mut holders = Vec::new();
    for _ in 0..HOLDERS {
        holders.push(Client::log_in(&server).await);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let (acknowledged, mut seen) = watch::channel(0u64);
    let running: Vec<_> = holders
        .into_iter()
        .map(|holder| tokio::spawn(keep_refreshing(holder, stop.clone(), acknowledged.clone())))
        .collect();
    kill_again_and_again(&mut server, &mut seen).await;
    stop.store(true, Ordering::Relaxed);

    let mut lost = Vec::new();
    for holder in running {
        match timeout(DEADLINE, holder)
            .await
            .expect("a holder stops when told to")
            .expect("it does not panic")
        {
            Ok(mut holder) => {
                let last = holder.refresh().await.expect("the server runs");
                assert!(holder.keep(&last), "a holder cannot refresh: {}", last.body);
                acknowledged.send_modify(|count| *count += 1);
                assert_eq!(holder.userinfo().await.expect("the server runs").status, 200);
            }
            Err(why) => lost.push(why),
        }
    }
    assert!(lost.is_empty(), "{} of {HOLDERS} sessions were lost: {lost:?}", lost.len());

    let refreshed = entries(&server, "refreshed").await + entries(&server, "retried").await;
    let acknowledged = *acknowledged.borrow();
    assert!(acknowledged >= (KILLS as u64), "hardly anything was refreshed: {acknowledged}");
    assert!(refreshed >= acknowledged, "{acknowledged} refreshes were acknowledged, {refreshed} recorded");
    assert_eq!(entries(&server, "reused").await, 0);
    assert_eq!(entries(&server, "cut").await, 0);
    let key = folder.path().join("ledger.pub");
    std::fs::write(&key, server.command(&["ledger", "key"]).await.stdout).expect("there is room for a key");
    assert!(server.end(Signal::TERM).await.success());
    server.command(&["ledger", "verify", "--key", key.to_str().expect("a plain path")]).await;
}

/// Kills and starts the server, and leaves it running.
async fn kill_again_and_again(server: &mut Server, seen: &mut watch::Receiver<u64>) {
    let random = Random(Seeded::new(16));
    for kill in 0..KILLS {
        if kill % STARTING_EVERY == STARTING_EVERY - 1 {
            server.end(Signal::KILL).await;
            server.spawn();
            tokio::time::sleep(Duration::from_micros(random.below(STARTING_MICROSECONDS))).await;
        } else {
            let enough = *seen.borrow() + random.below(REFRESHES_BETWEEN);
            // What this gives holds the count still, so it is let go at once.
            let waited = timeout(DEADLINE, seen.wait_for(|count| *count >= enough)).await.is_ok();
            if !waited {
                return; // the holders know why
            }
            tokio::time::sleep(Duration::from_micros(random.below(THEN_MICROSECONDS))).await;
        }
        server.end(Signal::KILL).await;
        server.start().await;
    }
}

/// What a holder does: refresh, save, use; and keep what it has when the server is not there.
async fn keep_refreshing(
    mut holder: Client,
    stop: Arc<AtomicBool>,
    acknowledged: watch::Sender<u64>,
) -> Result<Client, String> {
    while !stop.load(Ordering::Relaxed) {
        match holder.refresh().await {
            Ok(answer) if holder.keep(&answer) => {
                acknowledged.send_modify(|count| *count += 1);
                if let Ok(used) = holder.userinfo().await
                    && used.status.is_client_error()
                {
                    return Err(format!("a fresh access token was refused: {} {}", used.status, used.body));
                }
            }
            Ok(answer) if answer.text("error") == "invalid_grant" || answer.status.is_success() => {
                return Err(format!("{} {}", answer.status, answer.body));
            }
            Ok(answer) if answer.status.is_client_error() && answer.status != 429 => {
                return Err(format!("{} {}", answer.status, answer.body));
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    Ok(holder)
}

/// How many entries of a kind the ledger has.
async fn entries(server: &Server, event: &str) -> u64 {
    let listed = server.command(&["ledger", "list", "--json", "--event", event]).await;
    listed.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64
}

struct Random(Seeded);

impl Random {
    fn below(&self, end: u64) -> u64 {
        let mut bytes = [0u8; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % end
    }
}
