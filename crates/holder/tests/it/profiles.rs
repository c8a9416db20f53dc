//! Several people at one issuer and client, side by side.

use hallpass_holder::{HolderError, LoginRequest, Wanted};

use crate::desk::{Desk, at, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

fn under(profile: &str, provider: &SmallProvider) -> LoginRequest {
    LoginRequest { profile: Some(profile.parse().unwrap()), ..request(provider) }
}

#[tokio::test]
async fn two_people_at_one_issuer_and_client_stand_side_by_side() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let ada = desk.login(under("work", &provider)).await.unwrap().identity;
    provider.change(|manner| manner.subject = "prn_bob");
    let bob = desk.login(under("home", &provider)).await.unwrap().identity;
    let unnamed = desk.signed_in(&provider).await;
    assert_eq!(desk.holder.list().unwrap().len(), 3);
    assert_eq!(provider.alive(), 3, "no sign-in took another's place");

    // Each is renewed and signed out alone.
    let later = desk.beside_later(6);
    for one in [&ada, &bob, &unnamed] {
        provider.change(|manner| manner.subject = if one == &ada { "prn_ada" } else { "prn_bob" });
        later.token(one).await.unwrap();
    }
    desk.holder.logout(&bob).await.unwrap();
    assert_eq!(provider.alive(), 2);
    desk.beside().token(&ada).await.unwrap();
    assert!(matches!(desk.token(&bob).await, Err(HolderError::NotSignedIn { profile: Some(_), .. })));
}

#[tokio::test]
async fn a_profile_is_found_by_name_and_several_without_one_are_all_named() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let work = desk.login(under("work", &provider)).await.unwrap().identity;
    let home = desk.login(under("home", &provider)).await.unwrap().identity;
    let named = |profile| desk.holder.find(&Wanted { profile, ..Wanted::default() });
    assert_eq!(named(work.profile.as_ref()).unwrap(), work);
    assert_eq!(named(home.profile.as_ref()).unwrap(), home);
    for wanted in [Wanted::default(), at(&provider.issuer)] {
        let Err(HolderError::Ambiguous { choices }) = desk.holder.find(&wanted) else {
            panic!("it was guessed");
        };
        assert!(choices[0].starts_with("home (") && choices[1].starts_with("work ("), "{choices:?}");
    }
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(named(Some(&nobody)), Err(HolderError::NotSignedIn { profile: Some(_), .. })));
}

#[tokio::test]
async fn one_name_is_never_two_sign_ins() {
    let (here, there) =
        (SmallProvider::start(Manner::default()).await, SmallProvider::start(Manner::default()).await);
    let desk = Desk::new();
    desk.login(under("work", &here)).await.unwrap();
    let Err(HolderError::Usage { what }) = desk.login(under("work", &there)).await else {
        panic!("one name has two sign-ins");
    };
    assert!(what.contains(&here.issuer), "{what}");
    assert_eq!(there.asked("device_code"), 0, "nobody was asked");
}
