//! What a logout could not deliver: kept, encrypted, and delivered later.

use std::path::PathBuf;
use std::time::Instant;

use hallpass_holder::{Fate, Identity, PassRequest, RetryFate};
use hallpass_model::time::Lifetime;

use crate::desk::{Desk, NOTES, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

/// The files that say what is owed.
fn files(desk: &Desk) -> Vec<PathBuf> {
    fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path().is_dir() {
                true => walk(&entry.path(), found),
                false if entry.path().extension().is_some_and(|e| e == "owed") => found.push(entry.path()),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(desk.state.path(), &mut found);
    found
}

/// Somebody who signed out while the issuer could not take it.
async fn signed_out_in_vain(provider: &SmallProvider) -> (Desk, Identity) {
    let desk = Desk::new();
    let identity = desk.signed_in(provider).await;
    provider.change(|manner| manner.cannot_revoke_now = true);
    let receipt = desk.holder.logout(&identity).await.unwrap();
    assert!(receipt.may_be_alive() && receipt.not_owed.is_none());
    assert!(
        receipt.credentials.iter().all(|one| matches!(&one.fate, Fate::Owed { why } if why.contains("503")))
    );
    assert!(receipt.wiped_file.is_some_and(|file| !file.exists()), "wiped here all the same");
    (desk, identity)
}

#[tokio::test]
async fn what_a_logout_could_not_revoke_is_owed_encrypted_and_revoked_by_a_retry() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let (desk, identity) = signed_out_in_vain(&provider).await;
    let file = files(&desk).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let has = |needle: &str| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
    assert!(has(&identity.issuer) && !has("refresh-1"), "whose it is, and no secret");

    let owed = desk.beside().holder.owed().unwrap().remove(0);
    assert_eq!((&owed.identity, owed.tried, owed.given_up), (&identity, 1, false));
    assert_eq!(owed.what, ["the refresh token", "the access token"]);
    let again = desk.beside().holder.retry_owed().await.unwrap();
    assert!(matches!(&again[0].fate, RetryFate::StillOwed { why } if why.contains("503")), "{again:?}");
    assert_eq!((desk.holder.owed().unwrap()[0].tried, provider.alive()), (2, 1));

    provider.change(|manner| manner.cannot_revoke_now = false);
    let again = desk.beside().holder.retry_owed().await.unwrap();
    assert_eq!((again.len(), &again[0].fate), (1, &RetryFate::Revoked));
    assert_eq!((provider.alive(), files(&desk).len()), (0, 0));
    assert_eq!(provider.revoked().len(), 2, "{:?}", provider.revoked());
    assert!(desk.holder.retry_owed().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_command_that_asks_another_provider_anyway_delivers_what_is_owed_once_it_is_time() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, _) = signed_out_in_vain(&provider).await;
    let other = SmallProvider::start(Manner::default()).await;
    let signed_in = desk.signed_in(&other).await;
    provider.change(|manner| manner.cannot_revoke_now = false);
    desk.token(&signed_in).await.unwrap();
    assert_eq!((provider.alive(), files(&desk).len()), (1, 1), "it was tried just now");
    // A pass of its own, so that the issuer is asked.
    let request = PassRequest::default().lifetime(Lifetime::minutes(2));
    desk.beside_later(2).holder.token(&signed_in, &request).await.unwrap();
    assert_eq!((provider.alive(), files(&desk).len()), (0, 0));
    assert_eq!(other.alive(), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_keeps_a_command_waiting_no_longer_than_a_blink() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, _) = signed_out_in_vain(&provider).await;
    let other = SmallProvider::start(Manner::default()).await;
    let signed_in = desk.signed_in(&other).await;
    provider.change(|manner| (manner.cannot_revoke_now, manner.holds) = (false, Some("revoke")));
    let request = PassRequest::default().lifetime(Lifetime::minutes(2));
    let started = Instant::now();
    desk.beside_later(2).holder.token(&signed_in, &request).await.unwrap();
    // The bound is 250 ms; a machine that is busy with a build is slow. Without the bound it is 10 s.
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert_eq!((provider.alive(), files(&desk).len()), (1, 1), "and it is still owed");
}

#[tokio::test]
async fn nobody_is_asked_for_a_passphrase_to_deliver_what_is_owed_beside_something_else() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, _) = signed_out_in_vain(&provider).await;
    provider.change(|manner| manner.cannot_revoke_now = false);
    let (holder, asked) = desk.beside_counting_questions(2);
    let other = SmallProvider::start(Manner::default()).await;
    let never = std::pin::pin!(std::future::pending());
    let signed_in = holder.login(request(&other), &mut |_| {}, never).await.unwrap().identity;
    let before = asked.load(std::sync::atomic::Ordering::Relaxed);
    holder.token(&signed_in, &PassRequest::default().lifetime(Lifetime::minutes(2))).await.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), before);
    assert_eq!((provider.alive(), files(&desk).len()), (1, 1), "still owed, for a command that may ask");
}

#[tokio::test]
async fn a_provider_without_a_revocation_endpoint_is_owed_nothing_and_that_is_said() {
    let manner = Manner { ours: false, revokes: false, ..Manner::default() };
    let provider = SmallProvider::start(manner).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let receipt = desk.holder.logout(&identity).await.unwrap();
    assert!(receipt.may_be_alive() && files(&desk).is_empty());
    assert!(receipt.lives_until().is_none(), "nobody knows when the refresh token ends");
    let access = &receipt.credentials[1];
    assert!(matches!(&access.fate, Fate::Alive { why } if why.contains("no revocation endpoint")));
    assert!(access.lives_until.is_some(), "but the access token's end is known");
}

#[tokio::test]
async fn a_passes_end_is_in_the_receipt_where_its_session_could_not_be_ended() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    desk.token(&identity).await.unwrap();
    provider.change(|manner| manner.cannot_revoke_now = true);
    let receipt = desk.holder.logout(&identity).await.unwrap();
    let [session, pass] = &receipt.credentials[..] else { panic!("{:?}", receipt.credentials) };
    assert!(matches!(session.fate, Fate::Owed { .. }) && matches!(pass.fate, Fate::Owed { .. }));
    assert_eq!(pass.what, format!("the pass for {NOTES}"));
    assert!(pass.lives_until < session.lives_until && receipt.lives_until() == session.lives_until);
}

#[tokio::test]
async fn what_has_ended_by_itself_is_given_up_its_secrets_wiped_and_that_is_said() {
    let provider =
        SmallProvider::start(Manner { gives_refresh_tokens: false, ours: false, ..Manner::default() }).await;
    let (desk, _) = signed_out_in_vain(&provider).await;
    let long = std::fs::metadata(&files(&desk)[0]).unwrap().len();
    // Five minutes later the access token is over, whatever anybody does.
    let other = SmallProvider::start(Manner::default()).await;
    let signed_in = desk.signed_in(&other).await;
    desk.beside_later(10).token(&signed_in).await.unwrap();
    let owed = desk.beside_later(10).holder.owed().unwrap().remove(0);
    assert!(owed.given_up && owed.why.contains("time was up"), "{owed:?}");
    assert!(std::fs::metadata(&files(&desk)[0]).unwrap().len() < long, "no secret is left in it");
    let retried = desk.beside_later(10).holder.retry_owed().await.unwrap();
    assert!(matches!(retried[0].fate, RetryFate::GivenUp { .. }) && files(&desk).is_empty(), "{retried:?}");
    assert_eq!(provider.asked("revoke"), 1, "it was not tried again");
}

#[tokio::test]
async fn a_logout_that_dies_before_it_could_revoke_has_written_down_what_it_owes() {
    let provider = SmallProvider::start(Manner { holds: Some("revoke"), ..Manner::default() }).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let holder = desk.holder.clone();
    let logout = tokio::spawn(async move { holder.logout(&identity).await });
    provider.held.acquire().await.unwrap().forget();
    logout.abort();
    assert!(logout.await.unwrap_err().is_cancelled());
    provider.change(|manner| manner.holds = None);
    let beside = desk.beside();
    assert!(beside.holder.list().unwrap().is_empty(), "wiped");
    assert_eq!(beside.holder.retry_owed().await.unwrap()[0].fate, RetryFate::Revoked);
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn a_sign_in_that_replaces_another_owes_its_revocation_like_a_logout() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    desk.signed_in(&provider).await;
    provider.change(|manner| manner.cannot_revoke_now = true);
    desk.signed_in(&provider).await;
    assert_eq!((provider.alive(), files(&desk).len()), (2, 1));
    provider.change(|manner| manner.cannot_revoke_now = false);
    assert_eq!(desk.beside().holder.retry_owed().await.unwrap()[0].fate, RetryFate::Revoked);
    assert_eq!(provider.revoked(), ["refresh-1-1"]);
}

#[tokio::test]
async fn a_changed_file_is_not_believed() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, _) = signed_out_in_vain(&provider).await;
    provider.change(|manner| manner.cannot_revoke_now = false);
    let file = files(&desk).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let retried = desk.beside().holder.retry_owed().await.unwrap();
    assert!(
        matches!(&retried[0].fate, RetryFate::StillOwed { why } if why.contains("changed")),
        "{retried:?}"
    );
    assert_eq!(provider.asked("revoke"), 1);
}
