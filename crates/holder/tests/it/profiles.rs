//! Several people at one issuer and client, side by side.

use hallpass_holder::{HolderError, LoginRequest, Wanted};

use crate::desk::{Desk, at, request};
use hallpass_testkit::small_provider::{Manner, SmallProvider};

fn under(profile: &str, provider: &SmallProvider) -> LoginRequest {
    request(provider).with(|request| request.profile = Some(profile.parse().unwrap()))
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

#[tokio::test]
async fn somebody_else_who_comes_back_is_signed_out_again_and_the_earlier_sign_in_stands() {
    for drift in
        [|manner: &mut Manner| manner.org = "rival", |manner: &mut Manner| manner.subject = "prn_eve"]
    {
        for profile in [Some("work"), None] {
            let provider = SmallProvider::start(Manner::default()).await;
            let desk = Desk::new();
            let asked = || {
                request(&provider).with(|request| request.profile = profile.map(|name| name.parse().unwrap()))
            };
            let ada = desk.login(asked()).await.unwrap().identity;
            provider.change(drift);
            let Err(error) = desk.login(asked()).await else { panic!("somebody else has ada's place") };
            assert!(matches!(error, HolderError::SomebodyElse { not_revoked: None, .. }), "{error}");
            assert!(error.to_string().ends_with("what came was revoked"), "{error}");
            assert_eq!(provider.alive(), 1, "what was minted for somebody else is dead, ada's lives");
            provider.change(|manner| (manner.org, manner.subject) = ("acme", "prn_ada"));
            desk.beside_later(6).token(&ada).await.unwrap();

            // Said on purpose, it is another's from now on, and ada's is revoked.
            provider.change(drift);
            desk.login(asked().with(|request| request.as_new = true)).await.unwrap();
            assert_eq!(provider.alive(), 1);
            desk.login(asked()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_profile_remembers_whose_it_is_after_a_logout_and_until_it_is_forgotten() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    let ada = desk.login(under("work", &provider)).await.unwrap().identity;
    desk.holder.logout(&ada).await.unwrap();
    let name = ada.profile.clone().unwrap();
    let known = desk.holder.profile(&name).unwrap().unwrap();
    assert_eq!((known.signed_in, known.subject.as_deref()), (false, Some("prn_ada")));
    assert_eq!((known.identity, known.orgs), (ada, vec!["acme".to_owned()]));

    provider.change(|manner| manner.subject = "prn_eve");
    let outcome = desk.beside().login(under("work", &provider)).await;
    assert!(matches!(outcome, Err(HolderError::SomebodyElse { .. })), "{outcome:?}");
    assert_eq!(provider.alive(), 0);
    assert!(desk.holder.forget_profile(&name).unwrap());
    desk.login(under("work", &provider)).await.unwrap();
}

#[tokio::test]
async fn what_came_for_somebody_else_and_cannot_be_revoked_is_said_to_live() {
    let provider = SmallProvider::start(Manner::default()).await;
    let desk = Desk::new();
    desk.login(under("work", &provider)).await.unwrap();
    provider.change(|manner| (manner.subject, manner.cannot_revoke_now) = ("prn_eve", true));
    let error = desk.login(under("work", &provider)).await.unwrap_err().to_string();
    assert!(error.contains("could not be revoked") && error.contains("503"), "{error}");
}

/// What a provider does whose tokens are over at once.
fn over_at_once() -> Manner {
    Manner { ours: false, says_expires_in: Some(10), ..Manner::default() }
}

#[tokio::test]
async fn a_quarantined_sign_in_is_shown_serves_nobody_and_ends_with_a_login_of_the_same_person() {
    for rotates in [true, false] {
        let provider = SmallProvider::start(Manner { rotates, ..over_at_once() }).await;
        let desk = Desk::new();
        let ada = desk.login(under("work", &provider)).await.unwrap().identity;
        provider.change(|manner| manner.org = "rival");
        let outcome = desk.token(&ada).await;
        assert!(matches!(outcome, Err(HolderError::AnotherTenant { not_revoked: None, .. })), "{outcome:?}");
        assert_eq!(provider.alive(), 0, "also where the provider gave no new refresh token");

        // Nobody asks for more from it, whatever the provider would say now.
        provider.change(|manner| manner.org = "acme");
        let refreshes = provider.asked("refresh_token");
        let said = desk.beside().token(&ada).await.unwrap_err().to_string();
        assert!(said.contains("quarantined") && said.contains("`acme` and is now `rival`"), "{said}");
        assert!(desk.holder.is_of(&ada, "acme").is_err());
        assert_eq!(provider.asked("refresh_token"), refreshes);
        let opened = desk.holder.status(&ada).unwrap().opened.unwrap();
        assert!(opened.quarantined && opened.ended.unwrap().contains("quarantined"));

        // Somebody of the other tenant does not lift it; the same person does.
        provider.change(|manner| manner.org = "rival");
        assert!(desk.login(under("work", &provider)).await.is_err());
        assert!(desk.holder.status(&ada).unwrap().opened.unwrap().quarantined);
        provider.change(|manner| (manner.org, manner.says_expires_in) = ("acme", Some(300)));
        desk.login(under("work", &provider)).await.unwrap();
        assert!(!desk.holder.status(&ada).unwrap().opened.unwrap().quarantined);
        desk.token(&ada).await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_in_serves_the_organisation_that_it_is_of_and_no_other() {
    let provider = SmallProvider::start(Manner { org: "globex", ..Manner::default() }).await;
    let desk = Desk::new();
    let ada = desk.login(under("work", &provider)).await.unwrap().identity;
    for org in ["globex", "acme", &provider.issuer] {
        desk.holder.is_of(&ada, org).unwrap(); // by its token, by the last word of the issuer, by the issuer
    }
    let refused = desk.holder.is_of(&ada, "rival").unwrap_err();
    assert_eq!(refused.to_string(), "the sign-in as profile `work` is of `globex`, not of `rival`");

    // A login for an organisation is over when somebody of another comes back.
    let for_org = |org: &str| request(&provider).with(|request| request.org = Some(org.into()));
    assert!(matches!(desk.login(for_org("rival")).await, Err(HolderError::AnotherOrg { .. })));
    assert_eq!(provider.alive(), 1);
    desk.login(for_org("globex")).await.unwrap();
}

#[tokio::test]
async fn a_renamed_profile_is_the_same_sign_in_and_takes_nobody_s_name() {
    let provider = SmallProvider::start(over_at_once()).await;
    let desk = Desk::new();
    let work = desk.login(under("work", &provider)).await.unwrap().identity;
    desk.login(under("home", &provider)).await.unwrap();
    let name = |text: &str| text.parse::<hallpass_holder::ProfileName>().unwrap();
    let taken = desk.holder.rename_profile(&name("work"), &name("home")).await;
    assert!(matches!(taken, Err(HolderError::Usage { .. })), "{taken:?}");
    assert!(desk.holder.rename_profile(&name("nobody"), &name("x")).await.is_err());

    desk.holder.rename_profile(&name("work"), &name("job")).await.unwrap();
    assert!(matches!(desk.token(&work).await, Err(HolderError::NotSignedIn { .. })));
    let job = work.under(Some(name("job")));
    let other = desk.beside();
    other.token(&job).await.unwrap();
    assert_eq!((provider.asked("refresh_token"), provider.alive()), (1, 2), "no sign-in was lost");
    let known: Vec<_> = other.holder.profiles().unwrap().into_iter().map(|one| one.identity).collect();
    assert_eq!(
        known.iter().filter_map(|one| one.profile.clone()).collect::<Vec<_>>(),
        [name("home"), name("job")]
    );
    other.holder.logout(&job).await.unwrap();
    assert_eq!(provider.alive(), 1);
}
