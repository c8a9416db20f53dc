use std::time::{Duration, Instant};

use hallpass_holder::{HolderError, LoginEvent, PassRequest, Rung, SignedIn};

use crate::desk::{Desk, NOTES, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

#[tokio::test]
async fn a_login_shows_the_code_binds_a_key_and_keeps_what_it_got() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let mut shown = Vec::new();
    let signed_in = desk
        .login_seeing(request(&provider), &mut |event| {
            if let LoginEvent::Code { code, address, .. } = event {
                shown.push(format!("{code} {address}"));
            }
        })
        .await
        .unwrap();
    assert_eq!(shown, [format!("BCDF-GHJK {}/device", provider.issuer)]);
    assert!(signed_in.bound && signed_in.renewable);
    let asked = provider.last_form("device_authorization");
    assert_eq!(asked["scope"], "openid profile offline_access notes:read");
    assert_eq!((asked["resource"].as_str(), asked["purpose"].as_str()), (NOTES, "a test"));
    assert_eq!((asked["device_name"].as_str(), asked["device_class"].as_str()), ("desk", "laptop"));
    assert!(asked["device_install"].len() >= 16 && asked["dpop_jkt"].len() == 43);
    assert_eq!(provider.last_form("token")["resource"], provider.issuer);
    // Another process of the same person finds it.
    assert_eq!(desk.beside().holder.list().unwrap(), [signed_in.identity]);
}

#[tokio::test]
async fn the_machine_keeps_its_install_id_from_login_to_login() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    desk.signed_in(&provider).await;
    let first = provider.last_form("device_authorization")["device_install"].clone();
    desk.beside().signed_in(&provider).await;
    assert_eq!(provider.last_form("device_authorization")["device_install"], first);
    assert_eq!(provider.alive(), 1, "the session it replaces is revoked");
}

#[tokio::test]
async fn pending_slow_down_and_a_server_in_trouble_are_waited_out() {
    let polls = vec!["slow_down", "503", "authorization_pending"];
    let provider = SmallProvider::start(Manner { ours: false, polls, ..Manner::default() }).await;
    let started = Instant::now();
    Desk::new().login(request(&provider)).await.unwrap();
    assert_eq!(provider.asked("device_code"), 4);
    // A second before each poll, as this provider wants it; two after the trouble, and five more once it was told to.
    assert!(started.elapsed() >= Duration::from_secs(1 + 1 + 2 + 6), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_denial_is_told_and_nothing_is_kept() {
    let provider = SmallProvider::start(Manner { approves: Some(false), ..Manner::default() }).await;
    let desk = Desk::new();
    assert!(matches!(desk.login(request(&provider)).await, Err(HolderError::Denied)));
    assert!(desk.holder.list().unwrap().is_empty());
}

#[tokio::test]
async fn stopping_leaves_nothing_behind_and_tells_the_issuer() {
    let provider = SmallProvider::start(Manner { approves: None, ..Manner::default() }).await;
    let desk = Desk::new();
    let polled = crate::desk::until(|| provider.asked("device_code") > 0);
    let outcome = desk.stopped_login(request(&provider), &mut |_| {}, polled, || {}).await;
    assert!(matches!(outcome, Err(HolderError::Cancelled)));
    assert!(desk.holder.list().unwrap().is_empty());
    assert!(provider.revoked()[0].starts_with("device-"));
}

/// A provider that holds one request, and a login that is stopped meanwhile; then the provider goes on.
async fn stopped_while_it_holds(manner: Manner) -> (SmallProvider, Result<SignedIn, HolderError>) {
    let provider = SmallProvider::start(manner).await;
    let desk = Desk::new();
    let held = async { provider.held.acquire().await.unwrap().forget() };
    let go_on = || provider.change(|manner| manner.holds = None);
    let outcome = desk.stopped_login(request(&provider), &mut |_| {}, held, go_on).await;
    assert!(desk.holder.list().unwrap().is_empty());
    (provider, outcome)
}

#[tokio::test]
async fn stopping_while_a_plain_provider_answers_gives_back_what_comes() {
    let manner = Manner { ours: false, holds: Some("device_code"), ..Manner::default() };
    let (provider, outcome) = stopped_while_it_holds(manner).await;
    assert!(matches!(outcome, Err(HolderError::Cancelled)), "{outcome:?}");
    assert_eq!((provider.asked("device_code"), provider.alive()), (1, 0));
    assert_eq!(provider.revoked()[0], "refresh-1-1");
}

#[tokio::test]
async fn stopping_while_what_came_is_judged_gives_it_back() {
    let (provider, outcome) =
        stopped_while_it_holds(Manner { holds: Some("jwks"), ..Manner::default() }).await;
    assert!(matches!(outcome, Err(HolderError::Cancelled)), "{outcome:?}");
    assert_eq!((provider.asked("device_code"), provider.alive()), (1, 0));
}

#[tokio::test]
async fn what_cannot_work_is_said_before_anybody_is_asked() {
    let provider = SmallProvider::start(Manner::default()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let nowhere = Desk::in_folder(Some(file.path().join("under-a-file")));
    let outcome = nowhere.login(request(&provider)).await;
    assert!(matches!(outcome, Err(HolderError::Disk { .. })), "{outcome:?}");
    for resources in [vec![], vec![NOTES.into(), "https://mail.example/".into()]] {
        let request = request(&provider).with(|request| {
            request.resources = resources;
            request.for_one_command = true;
        });
        let outcome = Desk::new().login(request).await;
        assert!(matches!(outcome, Err(HolderError::Usage { .. })), "{outcome:?}");
    }
    let nobody = request(&provider).with(|request| request.flow = None);
    assert!(matches!(Desk::new().login(nobody).await, Err(HolderError::NobodyThere)));
    assert!(provider.last_form("device_authorization").is_empty());
}

#[tokio::test]
async fn a_login_in_memory_needs_no_disk() {
    let provider = SmallProvider::start(Manner::default()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for state in [Some(file.path().join("under-a-file")), None] {
        let desk = Desk::in_folder(state);
        let request = request(&provider).with(|request| {
            request.rung = Some(Rung::Memory);
            request.for_one_command = true;
        });
        let identity = desk.login(request).await.unwrap().identity;
        assert!(provider.last_form("device_authorization")["device_install"].len() >= 16);
        desk.token(&identity).await.unwrap();
        assert!(!desk.holder.logout(&identity).await.unwrap().may_be_alive());
    }
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn an_issuer_that_says_it_is_another_is_refused_before_anybody_is_asked() {
    let manner = Manner { says_issuer: Some("http://localhost:1/acme".into()), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let outcome = Desk::new().login(request(&provider)).await;
    assert!(matches!(outcome, Err(HolderError::BadIssuer { .. })), "{outcome:?}");
    assert!(provider.last_form("device_authorization").is_empty());
}

#[tokio::test]
async fn a_plain_provider_works_and_what_it_lacks_is_said() {
    let manner = Manner {
        ours: false,
        gives_refresh_tokens: false,
        says_expires_in: None,
        revokes: false,
        errors_with_200: true,
        approves: None,
        ..Manner::default()
    };
    let provider = SmallProvider::start(manner).await;
    let desk = Desk::new();
    let (note, notes) = std::sync::mpsc::channel();
    let mut see = |event: LoginEvent<'_>| {
        if let LoginEvent::Note(text) = event {
            note.send(text.to_owned()).unwrap();
        }
    };
    let mut login = std::pin::pin!(desk.login_seeing(request(&provider), &mut see));
    tokio::select! {
        _ = &mut login => panic!("nobody has approved it"),
        () = crate::desk::until(|| provider.asked("device_code") >= 1) => {}
    }
    provider.change(|manner| manner.approves = Some(true));
    let signed_in = login.await.unwrap();
    assert!(!signed_in.bound && !signed_in.renewable);
    assert!(
        !provider.last_form("device_authorization").contains_key("device_install"),
        "not told to strangers"
    );
    assert_eq!(notes.try_iter().count(), 2);
    // Its own access token is what there is to hand out, for ever.
    let first = desk.token(&signed_in.identity).await.unwrap();
    assert_eq!(desk.beside().token(&signed_in.identity).await.unwrap(), first);
    let elsewhere = PassRequest::default().resource("https://other.example".to_owned());
    let refused = desk.holder.token(&signed_in.identity, &elsewhere).await;
    assert!(matches!(refused, Err(HolderError::Unsupported { .. })));
    let receipt = desk.holder.logout(&signed_in.identity).await.unwrap();
    assert!(receipt.may_be_alive() && receipt.wiped_file.is_some());
}

#[tokio::test]
async fn no_secret_stands_in_any_file() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let token = desk.token(&identity).await.unwrap();
    let mut folders = vec![desk.state.path().to_owned()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            read += bytes.len();
            for secret in [token.as_str(), "refresh-1", "correct horse", "PRIVATE", "prn_ada"] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} in {:?}", entry.path());
            }
        }
    }
    assert!(read > 500, "there was something to look through");
}

#[tokio::test]
async fn a_brief_sign_in_asks_for_no_refresh_token_and_keeps_none_that_comes_all_the_same() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let brief = request(&provider).with(|request| request.brief = true);
    let signed_in = desk.login(brief).await.unwrap();
    assert!(!signed_in.renewable);
    assert!(!provider.last_form("device_authorization")["scope"].contains("offline_access"));
    assert!(desk.token(&signed_in.identity).await.is_ok());
    let later = desk.later(10);
    assert!(matches!(later.token(&signed_in.identity).await, Err(HolderError::SignInEnded { .. })));
    assert_eq!(provider.asked("refresh_token"), 0);
}
