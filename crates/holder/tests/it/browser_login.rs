use hallpass_holder::{Flow, HolderError, LoginEvent, SignedIn};
use url::Url;

use crate::desk::{Desk, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

/// A browser that does as it is told: opens the address, follows one redirect, shows what it sees.
async fn browse(address: String, change: impl FnOnce(&mut Url)) -> String {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let redirected = client.get(address).send().await.unwrap();
    let mut back: Url = redirected.headers()["location"].to_str().unwrap().parse().unwrap();
    change(&mut back);
    client.get(back).send().await.unwrap().text().await.unwrap()
}

async fn login_by_browser(
    desk: &Desk,
    provider: &SmallProvider,
    change: impl FnOnce(&mut Url) + Send + 'static,
) -> (Result<SignedIn, HolderError>, String) {
    let request = request(provider).with(|request| request.flow = Some(Flow::Browser));
    let mut browser = None;
    let mut change = Some(change);
    let outcome = desk
        .login_seeing(request, &mut |event| {
            if let LoginEvent::Address { address, opened } = event {
                assert!(!opened);
                browser = Some(tokio::spawn(browse(address.to_owned(), change.take().unwrap())));
            }
        })
        .await;
    (outcome, browser.unwrap().await.unwrap())
}

#[tokio::test]
async fn a_browser_brings_the_code_back_and_is_told_how_it_went() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let (signed_in, page) = login_by_browser(&desk, &provider, |_| {}).await;
    assert_eq!(signed_in.unwrap().flow, Flow::Browser);
    assert!(page.contains("You are signed in"), "{page}");
    let asked = provider.last_form("authorize");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["redirect_uri"].starts_with("http://127.0.0.1:"));
    assert!(asked["state"].len() >= 32 && asked["nonce"].len() >= 32 && asked["dpop_jkt"].len() == 43);
}

#[tokio::test]
async fn logins_at_once_have_a_code_verifier_and_a_port_each() {
    let provider = SmallProvider::start(Manner::default()).await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let provider = provider.clone();
        logins.spawn(async move { login_by_browser(&Desk::new(), &provider, |_| {}).await.0.map(|_| ()) });
    }
    for outcome in logins.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(provider.alive(), 4);
}

#[tokio::test]
async fn an_answer_from_another_issuer_is_refused_before_its_code_is_sent_anywhere() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let mix_up = |back: &mut Url| {
        let pairs: Vec<(String, String)> =
            back.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
        back.query_pairs_mut().clear().extend_pairs(pairs).append_pair("iss", "https://evil.example");
    };
    let (outcome, page) = login_by_browser(&desk, &provider, mix_up).await;
    assert!(matches!(outcome, Err(HolderError::NotBelieved { .. })));
    assert!(page.contains("not signed in"), "{page}");
    assert_eq!(provider.asked("authorization_code"), 0);
    assert!(desk.holder.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_reaches_the_browser_and_the_terminal() {
    let provider = SmallProvider::start(Manner { approves: Some(false), ..Manner::default() }).await;
    let (outcome, page) = login_by_browser(&Desk::new(), &provider, |_| {}).await;
    assert!(matches!(outcome, Err(HolderError::Denied)));
    assert!(page.contains("not signed in"), "{page}");
}

#[tokio::test]
async fn stopping_while_the_code_is_redeemed_gives_back_what_comes() {
    let manner = Manner { holds: Some("authorization_code"), ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let desk = Desk::new();
    let request = request(&provider).with(|request| request.flow = Some(Flow::Browser));
    let mut browser = None;
    let mut open = |event: LoginEvent<'_>| {
        if let LoginEvent::Address { address, .. } = event {
            browser = Some(tokio::spawn(browse(address.to_owned(), |_| {})));
        }
    };
    let held = async { provider.held.acquire().await.unwrap().forget() };
    let go_on = || provider.change(|manner| manner.holds = None);
    let outcome = desk.stopped_login(request, &mut open, held, go_on).await;
    assert!(matches!(outcome, Err(HolderError::Cancelled)), "{outcome:?}");
    assert_eq!((provider.asked("authorization_code"), provider.alive()), (1, 0));
    assert_eq!(provider.revoked()[0], "refresh-1-1");
    assert!(desk.holder.list().unwrap().is_empty());
    let page = browser.unwrap().await.unwrap();
    assert!(page.contains("not signed in"), "{page}");
}
