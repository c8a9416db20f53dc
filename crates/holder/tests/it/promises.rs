//! What the library promises of its types: that they are shared between threads, and show no secret.

use hallpass_holder::app::{Account, App};
use hallpass_holder::{
    Binding, Flow, Holder, HolderError, Identity, LoginRequest, PassRequest, Presentable, Secret,
};

use crate::desk::{Desk, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

/// That this compiles is the promise.
#[test]
fn what_threads_share_they_may() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send>(_: T) {}
    shared::<(App, Account, Holder, Presentable, HolderError, Identity, PassRequest, LoginRequest)>();
    let futures = |account: &Account, request: &PassRequest, identity: &Identity, login: LoginRequest| {
        let never = std::pin::pin!(std::future::pending());
        sent(account.login(None, &mut |_| {}, never));
        let never = std::pin::pin!(std::future::pending());
        sent(account.holder().login(login, &mut |_| {}, never));
        sent((account.token(request), account.present(request), account.logout()));
        sent((account.holder().renew(identity), account.holder().settled()));
    };
    let _ = futures;
    #[cfg(feature = "client")]
    shared::<(hallpass_holder::api::ApiClient, hallpass_holder::api::ApiError)>();
}

#[tokio::test]
async fn what_is_printed_for_a_programmer_shows_no_secret() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let asked =
        request(&provider).with(|request| request.client_secret = Some(Secret::from_text("a-canary".into())));
    assert!(!format!("{asked:?}").contains("a-canary"));
    let signed_in = desk.login(request(&provider)).await.unwrap();
    let (holder, identity) = (&desk.holder, &signed_in.identity);
    let bearer = holder.token(identity, &PassRequest::default()).await.unwrap();
    let presentable = holder.present(identity, &PassRequest::default(), Binding::AsSignedIn).await.unwrap();
    let headers = presentable.headers("GET", &"https://notes.example/x".parse().unwrap()).unwrap();
    let secrets = [
        bearer.token.expose_text().to_owned(),
        presentable.pass().token.expose_text().to_owned(),
        headers.authorization.expose_text().to_owned(),
        headers.proof.clone().unwrap(),
        provider.last_form("token")["subject_token"].clone(),
        "correct horse".to_owned(),
    ];
    let status = holder.status(identity).unwrap();
    let prints = holder.prints(std::slice::from_ref(identity)).unwrap();
    let profiles = holder.profiles().unwrap();
    let shown = format!(
        "{signed_in:?} {bearer:?} {presentable:?} {headers:?} {status:?} {prints:?} {profiles:?} {holder:?} {:?}",
        holder.logout(identity).await.unwrap(),
    );
    for secret in &secrets {
        assert!(secret.len() >= 8 && !shown.contains(secret.as_str()), "{shown}");
    }
    assert_eq!(signed_in.flow, Flow::Device);
}
