//! The client, inside one process: a sign-in that lives in its memory.

use hallpass_holder::api::{ApiClient, ApiError};
use hallpass_holder::app::{Account, App};
use hallpass_holder::{Binding, Flow, HolderError, LoginEvent, PassRequest, Rung};
use hallpass_store::Answer;

use crate::desk::{Api, Office, Trap, hostile, now};

/// Ada, signed in by a program that keeps nothing on disk.
async fn signed_in(office: &Office) -> Account {
    let account = App::new("acme", &office.world.issuer_url)
        .client_id("acme-cli")
        .scopes("notes:read notes:write")
        .resource(&office.api.url)
        .clock(now)
        .open()
        .unwrap();
    let (told, mut code) = tokio::sync::mpsc::unbounded_channel();
    let mut see = |event: LoginEvent<'_>| {
        if let LoginEvent::Code { code, .. } = event {
            told.send(code.to_owned()).unwrap();
        }
    };
    let never = std::pin::pin!(std::future::pending());
    let login = account.login(Some(Flow::Device), &mut see, never);
    let approval = async {
        let code = code.recv().await.unwrap();
        office.world.answer_device(&code, office.world.ada, Answer::Yes).await;
        Ok(())
    };
    let (signed_in, ()) = tokio::try_join!(login, approval).unwrap();
    assert_eq!((signed_in.rung, signed_in.bound), (Rung::Memory, true));
    account
}

#[tokio::test]
async fn a_client_proves_its_key_learns_the_nonce_and_keeps_its_token() {
    let office = Office::open().await;
    let client = signed_in(&office).await.client().unwrap();
    let text = async |client: &ApiClient| client.get("notes").send().await.unwrap().text().await.unwrap();
    assert_eq!(text(&client).await, "GET /notes proven\n");
    assert_eq!(office.api.seen().len(), 2, "the API's nonce was answered");
    assert_eq!(text(&client).await, "GET /notes proven\n");
    let again = office.api.seen();
    assert_eq!(again.len(), 1);
    assert!(!format!("{client:?}").contains(again[0].split(' ').nth(1).unwrap()));
    assert_eq!(text(&client.presenting(Binding::Bearer)).await, "GET /notes bearer\n");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once_and_a_refusal_that_stays_is_the_answer() {
    let office = Office::open().await;
    let client = signed_in(&office).await.client().unwrap();
    client.get("notes").send().await.unwrap();
    let before = office.api.seen().pop().unwrap();
    office.api.refuse(1);
    assert_eq!(client.get("notes").send().await.unwrap().status(), 200);
    let after = office.api.seen();
    assert_eq!(after[0], before);
    assert_ne!(after[1], before);
    office.api.refuse(2);
    assert_eq!(client.get("notes").send().await.unwrap().status(), 401);
    assert_eq!(office.api.seen().len(), 2, "once");
}

#[tokio::test]
async fn a_token_goes_to_its_api_alone_and_follows_no_redirect() {
    let office = Office::open().await;
    let stranger = Api::start(None).await;
    let client = signed_in(&office).await.client().unwrap();
    let refused = client.get(&stranger.url).send().await;
    assert!(matches!(refused, Err(ApiError::Elsewhere { .. })), "{refused:?}");
    assert_eq!(stranger.seen(), Vec::<String>::new());
    assert!(matches!(client.get("http://[").send().await, Err(ApiError::Address { .. })));
    let answer = client.get("away").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (303, "/away"));
}

#[tokio::test]
async fn a_session_that_is_over_is_told_by_name_and_a_client_needs_an_api() {
    let office = Office::open().await;
    let account = signed_in(&office).await;
    let (holder, identity) = (account.holder(), account.identity().unwrap());
    let nameless = ApiClient::new(holder, &identity, PassRequest::default());
    assert!(matches!(nameless, Err(HolderError::Usage { .. })));
    let client = account.client().unwrap();
    client.get("notes").send().await.unwrap();
    account.logout().await.unwrap();
    office.api.refuse(1);
    let refused = client.get("notes").send().await;
    assert!(matches!(refused, Err(ApiError::Holder(HolderError::NotSignedIn { .. }))), "{refused:?}");
}

/// A test may not change its own environment: this one runs the one below in a process that has a hostile one.
#[tokio::test]
async fn an_account_looks_at_no_variable_that_it_was_not_handed() {
    let trap = Trap::set().await;
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again
        .args(["--ignored", "--exact", "--nocapture", "library::in_a_hostile_environment"])
        .envs(hostile(&trap));
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        again.env(name, &trap.proxy);
    }
    let home = trap.folder.path().join("home");
    for name in ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        again.env(name, &home);
    }
    again
        .env("DISPLAY", ":7")
        .env("WAYLAND_DISPLAY", "wayland-7")
        .env("BROWSER", &trap.program)
        .env_remove("NO_PROXY");
    again
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", trap.socket.display()))
        .env("RUST_LOG", "trace");
    let ended = again.output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    // Nothing is printed but by the test's own runner: that it begins, the test, and how it went.
    assert_eq!(said.lines().filter(|line| !line.is_empty()).count(), 3, "{said}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert!(trap.sprung().is_empty(), "{:?}", trap.sprung());
}

#[tokio::test]
#[ignore = "run by the test above, in an environment of its own"]
async fn in_a_hostile_environment() {
    let office = Office::open().await;
    let account = signed_in(&office).await;
    assert_eq!(account.client().unwrap().get("notes").send().await.unwrap().status(), 200);
    account.token(&PassRequest::default().resource(office.api.url.clone())).await.unwrap();
    account.logout().await.unwrap();
}
