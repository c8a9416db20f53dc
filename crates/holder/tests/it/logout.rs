use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use hallpass_holder::{Fate, HolderError, Identity, Rung, Wanted};

use crate::desk::{Desk, at, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

#[tokio::test]
async fn a_logout_revokes_there_wipes_here_and_says_both() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let receipt = desk.beside().holder.logout(&identity).await.unwrap();
    assert!(!receipt.may_be_alive());
    let [session] = &receipt.credentials[..] else { panic!("{:?}", receipt.credentials) };
    assert_eq!(
        (session.what.as_str(), &session.fate),
        ("the session and every pass from it", &Fate::Revoked)
    );
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
    let request = request(&provider).with(|request| request.rung = Some(Rung::Memory));
    let identity = desk.login(request).await.unwrap().identity;
    desk.token(&identity).await.unwrap();
    assert!(matches!(desk.beside().token(&identity).await, Err(HolderError::NotSignedIn { .. })));
    desk.holder.logout(&identity).await.unwrap();
    assert_eq!(provider.alive(), 0);
}

#[tokio::test]
async fn a_login_in_memory_leaves_the_sign_in_on_disk_alone() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let in_memory = desk.beside();
    in_memory.login(request(&provider).with(|request| request.rung = Some(Rung::Memory))).await.unwrap();
    in_memory.holder.logout(&identity).await.unwrap();
    assert_eq!(provider.revoked(), ["refresh-2-1"]);
    desk.beside().token(&identity).await.unwrap();
}

/// A sign-in whose file others may read, and so change.
async fn open_to_others(provider: &SmallProvider) -> (Desk, Identity, PathBuf) {
    let desk = Desk::new();
    let identity = desk.signed_in(provider).await;
    let file = desk.holder.status(&identity).unwrap().file.unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    (desk, identity, file)
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_never_taken_for_none() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, identity, file) = open_to_others(&provider).await;
    assert!(desk.holder.list().unwrap().is_empty());
    // It may be the one that is meant, unless it is known to be another's.
    assert!(matches!(desk.holder.find(&Wanted::default()), Err(HolderError::Unsafe { .. })));
    assert_eq!(desk.holder.find(&at(&identity.issuer)).unwrap(), identity);
    let another = desk.holder.find(&at("https://id.example"));
    assert!(matches!(another, Err(HolderError::Unsafe { .. })));
    let another = desk.holder.find(&Wanted { client_id: Some("hallpass-cli"), ..at("https://id.example") });
    assert!(matches!(another, Err(HolderError::NotSignedIn { .. })));
    assert!(matches!(desk.token(&identity).await, Err(HolderError::Unsafe { .. })));

    let mut unreadable = desk.holder.unreadable().unwrap();
    let receipt = desk.holder.wipe_unreadable(unreadable.remove(0));
    assert_eq!((receipt.identity.as_ref(), receipt.wiped_file.as_ref()), (None, Some(&file)));
    assert!(receipt.may_be_alive() && !file.exists());
    assert_eq!(provider.alive(), 1);
}

#[tokio::test]
async fn beside_a_record_that_cannot_be_read_nothing_is_guessed() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, _, file) = open_to_others(&provider).await;
    let other = SmallProvider::start(Manner::default()).await;
    let readable = desk.signed_in(&other).await;
    let Err(HolderError::Ambiguous { choices }) = desk.holder.find(&Wanted::default()) else {
        panic!("it was guessed");
    };
    assert_eq!(choices, [readable.issuer.clone(), file.display().to_string()]);
    assert_eq!(desk.holder.find(&at(&readable.issuer)).unwrap(), readable);
}

#[tokio::test]
async fn a_login_over_what_cannot_be_opened_says_that_it_stays_alive_before_anybody_is_asked() {
    let provider = SmallProvider::start(Manner::default()).await;
    let (desk, identity, _) = open_to_others(&provider).await;
    let notes = desk.notes_of_login(request(&provider)).await;
    assert!(notes[0].contains("will not be revoked") && notes[0].contains("0600"), "{notes:?}");
    desk.token(&identity).await.unwrap();
    assert_eq!(provider.alive(), 2);
    // Now the record is fine, but nobody remembers its passphrase.
    let forgetful = desk.beside_typing(Some("another horse"));
    let notes = forgetful.notes_of_login(request(&provider)).await;
    assert!(notes[0].contains("does not open the record"), "{notes:?}");
    // And what can be opened is revoked without a word, or with one where it cannot be.
    assert!(forgetful.notes_of_login(request(&provider)).await.is_empty());
    assert_eq!(provider.alive(), 3);
    provider.change(|manner| manner.cannot_revoke_now = true);
    let notes = forgetful.notes_of_login(request(&provider)).await;
    assert!(notes[0].contains("could not be revoked") && notes[0].contains("503"), "{notes:?}");
    assert!(notes[0].contains("later commands try again"), "{notes:?}");
}

#[tokio::test]
async fn whoever_stops_at_the_prompt_for_a_passphrase_has_changed_nothing() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let identity = desk.signed_in(&provider).await;
    let stopping = desk.beside_typing(None);
    assert!(matches!(stopping.holder.logout(&identity).await, Err(HolderError::Cancelled)));
    assert!(matches!(stopping.holder.status(&identity), Err(HolderError::Cancelled)));
    assert!(matches!(stopping.token(&identity).await, Err(HolderError::Cancelled)));
    assert!(matches!(stopping.login(request(&provider)).await, Err(HolderError::Cancelled)));
    desk.beside().token(&identity).await.unwrap();
    assert_eq!(provider.alive(), 1);
}
