use hallpass_holder::{Binding, HolderError, PassRequest, Told};
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
    let narrower = PassRequest::default().scopes(Scopes::parse("notes:read").unwrap());
    let shorter = PassRequest::default().lifetime(Lifetime::seconds(90));
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
    let other = PassRequest::default().resource("https://other.example/".to_owned());
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
    let forbidden = PassRequest::default().resource("https://forbidden.example/".to_owned());
    assert!(matches!(desk.holder.token(&identity, &forbidden).await, Err(HolderError::Refused { .. })));
}

#[tokio::test]
async fn a_bound_pass_is_kept_beside_a_bearer_pass_with_the_api_s_nonce() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let bearer = desk.token(&identity).await.unwrap();
    let request = PassRequest::default();
    let url = format!("{NOTES}list").parse().unwrap();
    let first = desk.holder.present(&identity, &request, Binding::AsSignedIn).await.unwrap();
    let form = provider.last_form("token");
    assert!(first.bound() && !form.contains_key("binding"));
    let headers = first.headers("GET", &url).unwrap();
    let token = first.pass().token.expose_text();
    assert_eq!(headers.authorization.expose_text(), format!("DPoP {token}"));
    assert_ne!(token, bearer);
    assert!(!format!("{first:?} {headers:?}").contains(token), "nothing is shown by accident");

    let refused = Told::new(401).challenge("DPoP error=\"use_dpop_nonce\"").nonce("n1");
    assert!(first.learn(&refused), "it may be asked again");
    assert!(!first.learn(&refused), "and not for ever");
    desk.holder.keep_learned(&identity, &first).unwrap();
    let beside = desk.beside();
    let second = beside.holder.present(&identity, &request, Binding::Key).await.unwrap();
    assert_eq!(second.pass().token.expose_text(), token);
    let proof = second.headers("GET", &url).unwrap().proof.unwrap();
    let claims = hallpass_model::jose::base64url::parse(proof.split('.').nth(1).unwrap()).unwrap();
    assert!(String::from_utf8(claims).unwrap().contains("\"nonce\":\"n1\""));
    assert_eq!(desk.token(&identity).await.unwrap(), bearer, "the other is kept too");
    assert_eq!(provider.asked("token-exchange"), 2);
    let plain = desk.holder.present(&identity, &request, Binding::Bearer).await.unwrap();
    assert_eq!((plain.bound(), plain.pass().token.expose_text()), (false, bearer.as_str()));
}

#[tokio::test]
async fn a_sign_in_without_a_key_has_no_proofs_and_says_so() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let request = PassRequest::default();
    let plain = desk.holder.present(&identity, &request, Binding::AsSignedIn).await.unwrap();
    assert!(!plain.bound() && plain.headers("GET", &NOTES.parse().unwrap()).unwrap().proof.is_none());
    let refused = desk.holder.present(&identity, &request, Binding::Key).await;
    assert!(matches!(refused, Err(HolderError::Unsupported { .. })), "{refused:?}");
}
