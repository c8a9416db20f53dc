use hallpass_holder::{HolderError, PassRequest};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;

use crate::desk::{Desk, NOTES};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

#[tokio::test]
async fn a_pass_is_kept_while_it_is_good_and_got_again_for_other_wishes() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let first = desk.token(&identity).await.unwrap();
    assert_eq!(desk.beside().token(&identity).await.unwrap(), first);
    assert_eq!(provider.asked("token-exchange"), 1);
    let form = provider.last_form("token");
    assert_eq!((form["resource"].as_str(), form["binding"].as_str()), (NOTES, "bearer"));
    let narrower = PassRequest { scopes: Scopes::parse("notes:read").unwrap(), ..PassRequest::default() };
    let shorter = PassRequest { lifetime: Some(Lifetime::seconds(90)), ..PassRequest::default() };
    for request in [narrower, shorter] {
        let other = desk.holder.token(&identity, &request).await.unwrap();
        assert_ne!(other.token.expose_text(), first);
    }
    assert_eq!(provider.asked("token-exchange"), 3);
    assert_eq!(provider.asked("refresh_token"), 0);
}

#[tokio::test]
async fn a_subject_that_is_not_taken_is_renewed_once() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    desk.token(&identity).await.unwrap();
    let subject = provider.last_form("token")["subject_token"].clone();
    provider.revoke_for_test(&subject);
    let other = PassRequest { resource: Some("https://other.example/".into()), ..PassRequest::default() };
    desk.holder.token(&identity, &other).await.unwrap();
    assert_eq!(provider.asked("refresh_token"), 1);
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_says_sign_in_again_and_keeps_saying_it() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    provider.end_sessions();
    for _ in 0..2 {
        let outcome = desk.token(&identity).await;
        assert!(matches!(outcome, Err(HolderError::SignInEnded { .. })), "{outcome:?}");
    }
    assert_eq!(provider.asked("refresh_token"), 1, "what is over is not asked for again");
    assert!(desk.holder.status(&identity).unwrap().opened.unwrap().ended.is_some());
}

#[tokio::test]
async fn the_api_is_never_guessed() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let mut two = crate::desk::request(&provider);
    two.resources.push("https://other.example/".into());
    let identity = desk.login(two).await.unwrap().identity;
    assert!(matches!(desk.token(&identity).await, Err(HolderError::Usage { .. })));
    let forbidden =
        PassRequest { resource: Some("https://forbidden.example/".into()), ..PassRequest::default() };
    assert!(matches!(desk.holder.token(&identity, &forbidden).await, Err(HolderError::Refused { .. })));
}
