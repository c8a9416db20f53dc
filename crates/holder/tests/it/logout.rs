use hallpass_holder::{HolderError, LoginRequest, Rung};

use crate::desk::{Desk, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

#[tokio::test]
async fn a_logout_revokes_there_wipes_here_and_says_both() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let receipt = desk.beside().holder.logout(&identity).await.unwrap();
    assert!(!receipt.may_be_alive());
    assert_eq!(receipt.revoked, ["the session and every pass from it"]);
    assert!(receipt.wiped_file.is_some_and(|file| !file.exists()));
    assert_eq!(provider.alive(), 0);
    assert!(matches!(desk.token(&identity).await, Err(HolderError::NotSignedIn { .. })));
    assert!(matches!(desk.holder.logout(&identity).await, Err(HolderError::NotSignedIn { .. })));
}

#[tokio::test]
async fn what_cannot_be_revoked_is_wiped_all_the_same_and_said() {
    let provider = SmallProvider::start(Manner { ours: false, ..Manner::default() }).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    // The person forgot the passphrase: the record cannot be opened, so nothing can be revoked.
    let file = desk.holder.status(&identity).unwrap().file.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let receipt = desk.beside().holder.logout(&identity).await.unwrap();
    assert!(receipt.may_be_alive() && receipt.wiped_file.is_some());
    assert!(desk.holder.list().unwrap().is_empty());
    assert_eq!(provider.alive(), 1);
}

#[tokio::test]
async fn a_login_in_memory_is_gone_with_the_holder() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let request = LoginRequest { rung: Some(Rung::Memory), ..request(&provider) };
    let identity = desk.login(request).await.unwrap().identity;
    desk.token(&identity).await.unwrap();
    assert!(matches!(desk.beside().token(&identity).await, Err(HolderError::NotSignedIn { .. })));
    desk.holder.logout(&identity).await.unwrap();
    assert_eq!(provider.alive(), 0);
}
