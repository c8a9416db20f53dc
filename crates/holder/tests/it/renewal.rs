//! Renewal: nothing is lost by bad luck.

use hallpass_holder::{HolderError, Identity};

use crate::desk::{Desk, request, until};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

/// A plain provider whose tokens are over almost at once, so that every use renews.
fn short_lived() -> Manner {
    Manner { ours: false, says_expires_in: Some(10), ..Manner::default() }
}

async fn over_soon(manner: Manner) -> (SmallProvider, Desk, Identity) {
    let provider = SmallProvider::start(manner).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    (provider, desk, identity)
}

#[tokio::test]
async fn many_at_once_renew_once_even_where_a_second_use_is_taken_for_a_theft() {
    let (provider, desk, identity) = over_soon(Manner { strict: true, ..short_lived() }).await;
    // From here on a renewed token is good for a while.
    provider.change(|manner| manner.says_expires_in = Some(300));
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (desk, identity) = (desk.beside(), identity.clone());
        all.spawn(async move { desk.token(&identity).await.unwrap() });
    }
    let tokens = all.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_any_more_is_saved_all_the_same() {
    let (provider, desk, identity) = over_soon(Manner { strict: true, ..short_lived() }).await;
    provider.change(|manner| manner.says_expires_in = Some(300));
    let all = provider.gate.acquire_many(1_000).await.unwrap();
    tokio::select! {
        outcome = desk.token(&identity) => panic!("the provider has not answered: {outcome:?}"),
        arrived = provider.at_gate.acquire() => arrived.unwrap().forget(),
    }
    drop(all);
    desk.holder.settled().await;
    desk.beside().token(&identity).await.unwrap();
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_is_asked_for_is_made_though_the_token_is_good_and_once_for_all_who_ask_meanwhile() {
    let provider = SmallProvider::start(Manner { ours: false, strict: true, ..Manner::default() }).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let first = desk.token(&identity).await.unwrap();
    let all = provider.gate.acquire_many(1_000).await.unwrap();
    let mut renewing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (desk, identity) = (desk.beside(), identity.clone());
        renewing.spawn(async move { desk.holder.renew(&identity).await.unwrap() });
    }
    // One has come through; the others have read the token that it replaces, and wait for the lock.
    provider.at_gate.acquire().await.unwrap().forget();
    drop(all);
    renewing.join_all().await;
    assert_ne!(desk.beside().token(&identity).await.unwrap(), first);
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_is_asked_for_makes_do_with_no_older_token() {
    let (provider, desk, identity) = over_soon(short_lived()).await;
    provider.change(|manner| manner.broken = Some(503));
    let outcome = desk.holder.renew(&identity).await;
    assert!(matches!(outcome, Err(HolderError::Unreachable { .. })), "{outcome:?}");
    desk.token(&identity).await.unwrap();
    let provider =
        SmallProvider::start(Manner { gives_refresh_tokens: false, ours: false, ..Manner::default() }).await;
    let identity = desk.signed_in(&provider).await;
    let outcome = desk.holder.renew(&identity).await;
    assert!(matches!(outcome, Err(HolderError::Unsupported { .. })), "{outcome:?}");
}

#[tokio::test]
async fn every_renewal_in_a_row_uses_the_newest_token() {
    let (provider, desk, identity) = over_soon(Manner { strict: true, ..short_lived() }).await;
    for _ in 0..5 {
        desk.beside().token(&identity).await.unwrap();
    }
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (5, 1));
}

#[tokio::test]
async fn trouble_keeps_everything_and_the_old_token_is_used_while_it_can_be() {
    let (provider, desk, identity) = over_soon(Manner { strict: true, ..short_lived() }).await;
    let first = desk.token(&identity).await.unwrap();
    for status in [500, 503, 429] {
        provider.change(|manner| manner.broken = Some(status));
        assert_eq!(desk.token(&identity).await.unwrap(), first, "{status}");
    }
    // What no provider should answer is said, and nothing is lost by it.
    for status in [200, 302, 403, 404] {
        provider.change(|manner| manner.broken = Some(status));
        let outcome = desk.token(&identity).await;
        assert!(matches!(outcome, Err(HolderError::Unexpected { .. })), "{status} {outcome:?}");
    }
    provider.change(|manner| manner.broken = None);
    assert_ne!(desk.token(&identity).await.unwrap(), first);
    assert_eq!(provider.alive(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_where_the_provider_allows_it() {
    let (provider, desk, identity) = over_soon(Manner { ours: true, ..short_lived() }).await;
    provider.change(|manner| manner.lose_answers = 1);
    // The pass is got with the token that is still good; the renewal that failed is tried again next time.
    desk.token(&identity).await.unwrap();
    provider.change(|manner| manner.says_expires_in = Some(300));
    let narrower = hallpass_holder::PassRequest::default().scopes("notes:read".parse().unwrap());
    desk.holder.token(&identity, &narrower).await.unwrap();
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (2, 1));
}

#[tokio::test]
async fn where_a_lost_answer_ends_the_session_the_error_says_why() {
    let (provider, desk, identity) = over_soon(Manner { strict: true, ..short_lived() }).await;
    provider.change(|manner| manner.lose_answers = 1);
    desk.token(&identity).await.unwrap();
    match desk.token(&identity).await {
        Err(HolderError::SignInEnded { why, .. }) => assert!(why.contains("never answered"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_that_repeats_the_token_is_neither_shown_nor_kept() {
    let (provider, desk, identity) = over_soon(short_lived()).await;
    desk.token(&identity).await.unwrap();
    provider.end_sessions();
    provider.change(|manner| manner.says_of_refused = "the token TOKEN is over");
    let outcome = desk.token(&identity).await;
    assert!(matches!(&outcome, Err(HolderError::SignInEnded { .. })), "{outcome:?}");
    let kept = desk.beside().holder.status(&identity).unwrap().opened.unwrap().ended.unwrap();
    for text in [outcome.unwrap_err().to_string(), kept] {
        assert!(!text.contains("refresh-1"), "{text}");
    }
}

#[tokio::test]
async fn a_logout_during_a_renewal_is_not_undone_and_what_it_brings_is_given_back() {
    let (provider, desk, identity) = over_soon(short_lived()).await;
    let all = provider.gate.acquire_many(1_000).await.unwrap();
    let late = desk.beside();
    let renewing = tokio::spawn({
        let identity = identity.clone();
        async move { late.token(&identity).await }
    });
    provider.at_gate.acquire().await.unwrap().forget();
    let leaving = desk.beside();
    let logout = tokio::spawn({
        let identity = identity.clone();
        async move { leaving.holder.logout(&identity).await }
    });
    // It waits for the renewal, but not for ever.
    until(|| desk.holder.list().unwrap().is_empty()).await;
    let receipt = logout.await.unwrap().unwrap();
    assert!(!receipt.may_be_alive());
    drop(all);
    let outcome = renewing.await.unwrap();
    assert!(
        matches!(outcome, Err(HolderError::SignInEnded { .. } | HolderError::NotSignedIn { .. })),
        "{outcome:?}"
    );
    assert!(desk.holder.list().unwrap().is_empty(), "nothing came back");
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn a_new_login_during_a_renewal_stands() {
    let (provider, desk, identity) = over_soon(short_lived()).await;
    let all = provider.gate.acquire_many(1_000).await.unwrap();
    let late = desk.beside();
    let renewing = tokio::spawn({
        let identity = identity.clone();
        async move { late.token(&identity).await }
    });
    provider.at_gate.acquire().await.unwrap().forget();
    provider.change(|manner| manner.says_expires_in = Some(300));
    desk.beside().login(request(&provider)).await.unwrap();
    drop(all);
    let _ = renewing.await.unwrap();
    let token = desk.token(&identity).await.unwrap();
    assert_eq!(provider.alive(), 1);
    assert_eq!(desk.beside().token(&identity).await.unwrap(), token);
}

#[tokio::test]
async fn a_token_for_another_org_or_person_is_refused_revoked_and_quarantined() {
    for drift in
        [|manner: &mut Manner| manner.org = "rival", |manner: &mut Manner| manner.subject = "prn_eve"]
    {
        let (provider, desk, identity) = over_soon(short_lived()).await;
        provider.change(drift);
        let outcome = desk.token(&identity).await;
        assert!(matches!(outcome, Err(HolderError::AnotherTenant { .. })), "{outcome:?}");
        assert!(provider.revoked().iter().any(|token| token == "refresh-1-2"), "{:?}", provider.revoked());
        let outcome = desk.beside().token(&identity).await;
        assert!(matches!(outcome, Err(HolderError::SignInEnded { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_an_error_and_nobody_sees_the_token() {
    use std::os::unix::fs::PermissionsExt;
    let (provider, desk, identity) = over_soon(Manner { ours: true, ..short_lived() }).await;
    if rustix::process::geteuid().is_root() {
        return; // root writes everywhere
    }
    let folder =
        std::fs::read_dir(desk.state.path().join("hallpass")).unwrap().next().unwrap().unwrap().path();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let outcome = desk.token(&identity).await;
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(outcome, Err(HolderError::Disk { .. })), "{outcome:?}");
    assert_eq!(provider.asked("refresh_token"), 0, "the mark could not be saved, so nothing was sent");
}

#[tokio::test]
async fn a_damaged_record_is_an_error_that_names_it_and_is_not_touched() {
    let (_provider, desk, identity) = over_soon(short_lived()).await;
    let status = desk.holder.status(&identity).unwrap();
    let file = status.file.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(desk.beside().token(&identity).await.is_err());
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}
