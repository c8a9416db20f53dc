//! The example program, from login to logout.

use std::path::PathBuf;
use std::process::Stdio;

use hallpass_store::Answer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::desk::{Api, Desk, Office, Trap, hostile};

#[tokio::test]
async fn a_program_signs_its_user_in_asks_its_api_and_signs_out() {
    let office = Office::open().await;
    let desk = Desk::new(&office.world.issuer_url, "acme-cli", &office.api.url);
    let said = desk.run(&["notes"]).await;
    assert!(!said.good && said.err.starts_with("acme: nobody is signed in"), "{said:?}");

    let said =
        desk.login(async |code| office.world.answer_device(&code, office.world.ada, Answer::Yes).await).await;
    assert!(said.good && said.err.contains("signed in to"), "{said:?}");
    assert_eq!(said.out, "", "a login has no answer");
    let said = desk.run(&["status"]).await;
    assert!(said.good && said.out.contains("notes:read notes:write"), "{said:?}");
    let said = desk.run(&["notes"]).await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("GET /notes proven\n", ""));
    assert_eq!(desk.run(&["write", "hello"]).await.out, "POST /notes proven\n");
    assert!(office.api.seen().iter().all(|header| header.starts_with("DPoP ")));

    let token = desk.run(&["token"]).await.out;
    assert!(office.world.accepts(token.trim()).await);
    assert!(!desk.holds(token.trim()), "nothing rests in plain text");
    let said = desk.run(&["logout"]).await;
    assert!(said.good && said.err.contains("signed out"), "{said:?}");
    assert!(!office.world.accepts(token.trim()).await, "what it had is dead there");
    assert!(!desk.run(&["status"]).await.good);
    assert!(!desk.run(&["notes"]).await.good);
}

/// Its author named what it may look at: nothing of what `hallpass` reads is among it.
#[tokio::test]
async fn no_variable_of_ours_means_anything_to_somebody_else_s_program() {
    let (office, trap) = (Office::open().await, Trap::set().await);
    let mut desk = Desk::new(&office.world.issuer_url, "acme-cli", &office.api.url);
    desk.besides = hostile(&trap);
    let said =
        desk.login(async |code| office.world.answer_device(&code, office.world.ada, Answer::Yes).await).await;
    assert!(said.good && said.out.is_empty(), "{said:?}");
    let said = desk.run(&["notes"]).await;
    assert_eq!((said.out.as_str(), said.err.as_str()), ("GET /notes proven\n", ""));
    let with = desk.run(&["status"]).await;
    desk.besides.clear();
    let without = desk.run(&["status"]).await;
    assert_eq!((with.out, with.err), (without.out, without.err));
    desk.besides = hostile(&trap);
    let said = desk.run(&["logout"]).await;
    assert!(said.good && said.err.ends_with("signed out\n"), "{said:?}");
    assert!(trap.sprung().is_empty(), "{:?}", trap.sprung());
}

#[tokio::test]
async fn many_of_a_program_at_once_ask_with_one_pass() {
    let office = Office::open().await;
    let desk = Desk::new(&office.world.issuer_url, "acme-cli", &office.api.url);
    desk.login(async |code| office.world.answer_device(&code, office.world.ada, Answer::Yes).await).await;
    desk.run(&["notes"]).await;
    office.api.seen();
    let all = std::array::from_fn::<_, 8, _>(|_| desk.run(&["notes"]));
    for said in futures(all).await {
        assert_eq!(said.out, "GET /notes proven\n", "{said:?}");
    }
    let mut tokens = office.api.seen();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
}

/// All of them at once.
async fn futures<T, const N: usize>(all: [impl Future<Output = T>; N]) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Against npm's `oidc-provider`, which `make test` installs. Without it there is nothing to test against.
#[tokio::test]
async fn the_same_program_works_with_another_implementation() {
    let Some((_provider, issuer, client_id, resource)) = start_provider().await else { return };
    let desk = Desk::new(&issuer, &client_id, &resource);
    let said = desk
        .login(async |code| {
            let body = serde_json::json!({ "user_code": code }).to_string();
            let asked = reqwest::Client::new().post(format!("{issuer}/test/device")).body(body).send();
            assert!(asked.await.unwrap().text().await.unwrap().contains("\"done\":true"));
        })
        .await;
    assert!(said.good && said.err.contains("as alice"), "{said:?}");
    let token = desk.run(&["token"]).await.out;
    assert!(token.trim().len() > 20 && !desk.holds(token.trim()), "{token}");
    assert!(desk.run(&["status"]).await.out.contains("as alice"));
    let said = desk.run(&["logout"]).await;
    // It does not take access tokens back: what is still alive for some minutes is said, and is no success.
    assert!(!said.good && said.err.contains("revoked the refresh token"), "{said:?}");
    assert!(said.err.contains("may still be alive"), "{said:?}");
    assert!(desk.run(&["token"]).await.err.contains("nobody is signed in"));
}

async fn start_provider() -> Option<(Child, String, String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
    if !folder.join("node_modules/oidc-provider").exists() {
        return None;
    }
    let mut command = Command::new(folder.join("node"));
    command.arg("provider.mjs").current_dir(&folder).kill_on_drop(true);
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let said: serde_json::Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    // Whatever else it says is read, so that it does not die of a closed pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    Some((process, text("ready"), text("client_id"), text("resource")))
}

/// An API of somebody else's never sees the program's token.
#[tokio::test]
async fn an_api_that_is_not_the_program_s_gets_nothing() {
    let office = Office::open().await;
    let stranger = Api::start(None).await;
    let desk = Desk::new(&office.world.issuer_url, "acme-cli", &office.api.url);
    desk.login(async |code| office.world.answer_device(&code, office.world.ada, Answer::Yes).await).await;
    let elsewhere = Desk { api: stranger.url.clone(), ..desk };
    let said = elsewhere.run(&["notes"]).await;
    assert!(!said.good, "{said:?}");
    assert_eq!(stranger.seen(), Vec::<String>::new());
}
