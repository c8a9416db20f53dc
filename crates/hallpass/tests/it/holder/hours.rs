//! A command that runs for hours, on a clock that is turned: API and holder go by it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use hallpass_holder::exec::{Beside, Ended, ProxyRequest, Release, RunEvent, RunRequest, Way};
use hallpass_holder::{Flow, Holder, LoginRequest, PassRequest, Rung, Settings, Surroundings};
use hallpass_model::device::DeviceClass;
use hallpass_model::time::{Clock, Lifetime, Timestamp};
use hallpass_testkit::clock::TestClock;
use hallpass_testkit::small_provider::{Manner, SmallProvider};

use super::behind::Api;
use super::machine::{now, until};

const FIVE_MINUTES: Lifetime = Lifetime::minutes(5);
const TURNS: usize = 36;

/// A login at a provider, for this API.
fn request(provider: &SmallProvider, api: &Api) -> LoginRequest {
    LoginRequest::new(provider.issuer.clone(), Surroundings::default()).with(|request| {
        request.client_id = Some("some-cli".to_owned());
        request.resources = vec![api.origin.clone()];
        request.flow = Some(Flow::Device);
        request.device_name = "a test".to_owned();
        request.device_class = DeviceClass::Unknown;
        request.rung = Some(Rung::Memory);
    })
}

/// An API that takes a token for five minutes from when it first saw it.
async fn api_that_counts_minutes(clock: Arc<TestClock>) -> Api {
    let first: Mutex<HashMap<String, Timestamp>> = Mutex::default();
    let good = move |token: &str| {
        let now = clock.now();
        let since = *first.lock().unwrap().entry(token.to_owned()).or_insert(now);
        !token.is_empty() && now.since(since) < FIVE_MINUTES
    };
    Api::start_with(None, Arc::new(good)).await
}

/// A program's main thread has so much, and a debug build's futures need more than a test's thread has.
const STACK_LEN: usize = 8 * 1024 * 1024;

#[test]
fn a_command_of_three_hours_has_a_good_token_of_five_minutes_all_the_time() {
    let hours = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(three_hours());
    };
    std::thread::Builder::new().stack_size(STACK_LEN).spawn(hours).unwrap().join().unwrap();
}

async fn three_hours() {
    let manner = Manner { ours: false, says_expires_in: Some(300), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let clock = Arc::new(TestClock::default());
    clock.set(now());
    let api = api_that_counts_minutes(clock.clone()).await;
    let turned = clock.clone();
    let holder = Holder::new(Settings::new(Arc::new(move || turned.now())));
    let never = std::pin::pin!(std::future::pending());
    let identity =
        Box::pin(holder.login(request(&provider, &api), &mut |_| {}, never)).await.unwrap().identity;

    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "cd {}; for turn in $(seq {TURNS}); do curl -sf $HALLPASS_PROXY_URL/$turn > /dev/null || exit 1; touch done-$turn; \
         n=0; while [ ! -e go-$turn ] && [ $n -lt 2000 ]; do n=$((n + 1)); sleep 0.03; done; done",
        folder.path().display()
    );
    let request = RunRequest {
        pass: PassRequest::default().lifetime(FIVE_MINUTES),
        way: Way::Proxy(ProxyRequest::default()),
        variable: "HALLPASS_PROXY_URL".to_owned(),
        without: Vec::new(),
        mask: false,
        command: ["sh", "-c", &line].map(Into::into).to_vec(),
        path: None,
        beside: Beside {
            program: env!("CARGO_BIN_EXE_hallpass").into(),
            watcher: vec!["watch-run".into()],
            witness: vec!["witness-run".into()],
            files: vec!["files-run".into()],
            terminal: vec!["terminal-run".into()],
            environment: Vec::new(),
        },
    };
    let mut troubles = Vec::new();
    let mut on_event = |event: RunEvent<'_>| {
        if let RunEvent::NotRenewed { why } = event {
            troubles.push(why);
        }
    };
    let run = Box::pin(holder.exec(&identity, &request, &mut on_event));
    let turning = async {
        for turn in 1..=TURNS {
            let done = folder.path().join(format!("done-{turn}"));
            until("the command has had its answer", async || done.exists()).await;
            clock.advance(FIVE_MINUTES);
            std::fs::write(folder.path().join(format!("go-{turn}")), "").unwrap();
        }
    };
    let turning = async {
        turning.await;
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = run => outcome.unwrap(),
        () = turning => unreachable!("it has no end of its own"),
    };
    assert_eq!((outcome.ended, outcome.release), (Ended::Code(0), Release::LeftToExpire));
    assert!(troubles.is_empty(), "{troubles:?}");
    let tokens: HashSet<_> = api.seen().iter().map(|seen| seen.token().unwrap().to_owned()).collect();
    assert_eq!((api.seen().len(), tokens.len()), (TURNS, TURNS), "each was asked for with another token");
}
