//! A daemon whose clock a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hallpass_holder::daemon::{Daemon, Fast, Offered, Serve, TokenAsked, Use, bind};
use hallpass_holder::{Holder, Settings};
use hallpass_model::secret::Secret;
use hallpass_model::time::Timestamp;
use hallpass_testkit::small_provider::{Manner, SmallProvider};

use super::desk::{Desk, now};

/// Somebody sets a clock by this much.
const HOUR_MILLIS: i64 = 60 * 60 * 1_000;

#[tokio::test]
async fn what_a_token_says_of_its_end_is_not_believed_once_the_clock_was_set() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let desk = Desk::new();
    desk.signed_in(&provider).await;
    let set = Arc::new(AtomicI64::new(0));
    let clock = set.clone();
    let clock = move || Timestamp::from_millis(now().millis() + clock.load(Ordering::Relaxed));
    let holder = Holder::new(Settings::new(Arc::new(clock)).with(|settings| {
        settings.state = Some(desk.state.path().join("hallpass"));
        settings.ask_passphrase = Arc::new(|_| Ok(Some(Secret::from_text("correct horse".into()))));
    }));
    let run = tempfile::tempdir().unwrap();
    let socket = run.path().join("run/daemon.sock");
    let bound = bind(&socket).unwrap();
    let serve = Serve {
        holder,
        state: None,
        version: "test".into(),
        offered: Offered::default(),
        look_every: Duration::from_millis(5),
        program: None,
    };
    let daemon = Daemon::new(socket, Use::Auto, None, None);
    let ask = async || {
        let daemon = daemon.clone();
        let answer = tokio::task::spawn_blocking(move || daemon.token(&TokenAsked::default()));
        match answer.await.unwrap() {
            Fast::Given(token) => token.expose_text().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let person = async {
        let mut token = ask().await;
        // Set back, it would be taken for good for an hour more.
        for hours in [-1, 2] {
            let renewed = provider.asked("refresh_token");
            assert_eq!(ask().await, token, "it is kept");
            set.fetch_add(hours * HOUR_MILLIS, Ordering::Relaxed);
            // It looks at its clocks in a moment.
            while ask().await == token {
                tokio::task::yield_now().await;
            }
            token = ask().await;
            assert!(provider.asked("refresh_token") > renewed, "the clock went {hours} hours on");
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), person);
    tokio::select! {
        ended = bound.serve(serve, std::future::pending()) => panic!("{ended:?}"),
        done = in_time => done.expect("it notices"),
    }
}
