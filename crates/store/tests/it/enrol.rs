//! Links, passkeys, logins to the pages.

use hallpass_model::cut::{Target, Why};
use hallpass_model::grant::Approval;
use hallpass_model::ledger::{Actor, Event, Key};
use hallpass_model::lifetimes::{CEREMONY, ENROLMENT_LINK, SETUP_LINK, WEB_ABSOLUTE, WEB_IDLE};
use hallpass_model::secret::{OneTimeLink, Secret, WebCookie};
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddPasskey, AddPerson, Answer, AnswerDevice, Approver, BeginCeremony, Ceremony, CeremonyKind,
    DeviceAnswered, DeviceState, EndOthers, EndWeb, FinishEnrolment, FinishLogin, InBrowser, LinkPurpose,
    LoginRefusal, MakeCut, MakeLink, NewPasskey, PasskeyRefusal, PasskeyRemoved, RemovePasskey, RemovedBy,
    SetPersonStanding, SetUp, StartDevice, TakeCeremony, TouchWeb, WebOpened,
};

use crate::world::{World, add_org, by_passkey};

fn passkey(byte: u8) -> NewPasskey {
    NewPasskey { credential: vec![byte; 16], name: format!("key {byte}"), state: "{}".into() }
}

fn again<K: hallpass_model::secret::Kind>(secret: &Secret<K>) -> Secret<K> {
    Secret::new(secret.expose().to_vec())
}

async fn enrolment_link(world: &World) -> Secret<OneTimeLink> {
    world.change(MakeLink { purpose: LinkPurpose::Enrol { person: world.ada } }).await.unwrap().link
}

async fn enrol(world: &World, link: &Secret<OneTimeLink>, byte: u8) -> Result<WebOpened, LoginRefusal> {
    let finish =
        FinishEnrolment { link: again(link), passkey: passkey(byte), authentication: by_passkey(world.now) };
    world.change(finish).await
}

#[tokio::test]
async fn the_set_up_link_makes_the_first_org_once() {
    let world = World::new().await;
    let older = world.change(MakeLink { purpose: LinkPurpose::SetUp }).await.unwrap().link;
    let made = world.change(MakeLink { purpose: LinkPurpose::SetUp }).await.unwrap();
    assert_eq!(made.expires, world.now + SETUP_LINK);
    assert_eq!(world.store.find_link(&older, world.now).await.unwrap(), None, "a new one ends the older");
    let found = world.store.find_link(&made.link, world.now).await.unwrap().unwrap();
    assert_eq!(found.purpose, LinkPurpose::SetUp);

    let set_up = |link: &Secret<OneTimeLink>, name| SetUp {
        link: again(link),
        org: add_org(name),
        passkey: passkey(1),
        authentication: by_passkey(world.now),
    };
    assert!(matches!(world.change(set_up(&older, "first")).await, Err(LoginRefusal::Link)));
    assert!(matches!(world.change(set_up(&made.link, "acme")).await, Err(LoginRefusal::Taken)));
    let done = world.change(set_up(&made.link, "first")).await.unwrap();
    let web = world.store.find_web(&done.web.cookie, done.added.org, world.now).await.unwrap().unwrap();
    assert_eq!(web.person, done.added.administrator);
    assert_eq!(world.store.list_passkeys(web.person).await.unwrap().len(), 1);
    assert!(
        matches!(world.change(set_up(&made.link, "second")).await, Err(LoginRefusal::Link)),
        "it is spent"
    );
}

#[tokio::test]
async fn a_link_is_over_at_its_end_and_not_before() {
    let mut world = World::new().await;
    let link = enrolment_link(&world).await;
    world.wait(ENROLMENT_LINK);
    assert_eq!(world.store.find_link(&link, world.now).await.unwrap(), None);
    assert!(matches!(enrol(&world, &link, 1).await, Err(LoginRefusal::Link)));
    world.now = world.now - Lifetime::millis(1);
    enrol(&world, &link, 1).await.unwrap();
}

#[tokio::test]
async fn an_enrolment_link_adds_a_passkey_and_logs_in_once() {
    let world = World::new().await;
    let older = enrolment_link(&world).await;
    let link = enrolment_link(&world).await;
    assert!(matches!(enrol(&world, &older, 1).await, Err(LoginRefusal::Link)));
    let web = enrol(&world, &link, 1).await.unwrap();
    assert_eq!(web.session.person, world.ada);
    assert!(matches!(enrol(&world, &link, 2).await, Err(LoginRefusal::Link)));
    // A link that fails for another reason is not spent.
    let link = enrolment_link(&world).await;
    assert!(matches!(enrol(&world, &link, 1).await, Err(LoginRefusal::Passkey(PasskeyRefusal::Taken))));
    enrol(&world, &link, 2).await.unwrap();
    assert_eq!((world.count(Event::Invited).await, world.count(Event::Enrolled).await), (3, 2));
}

#[tokio::test]
async fn a_disabled_person_has_no_link_and_no_login() {
    let world = World::new().await;
    let grace = AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace".into() };
    let grace = world.change(grace).await.unwrap();
    let made = world.change(MakeLink { purpose: LinkPurpose::Enrol { person: grace } }).await.unwrap();
    let add = AddPasskey { person: grace, passkey: passkey(5) };
    let key = world.change(add.clone()).await.unwrap();
    world.change(SetPersonStanding { org: world.org, person: grace, active: false }).await;
    assert_eq!(world.store.find_link(&made.link, world.now).await.unwrap(), None);
    assert!(matches!(enrol(&world, &made.link, 1).await, Err(LoginRefusal::Link)));
    assert!(world.change(MakeLink { purpose: LinkPurpose::Enrol { person: grace } }).await.is_none());
    assert_eq!(world.change(add).await, Err(PasskeyRefusal::NoPerson));
    let login =
        FinishLogin { org: world.org, passkey: key, state: None, authentication: by_passkey(world.now) };
    assert!(matches!(world.change(login).await, Err(LoginRefusal::Disabled)));
}

#[tokio::test]
async fn an_enrolment_link_ends_with_everything_its_person_holds() {
    let world = World::new().await;
    let grace = AddPerson { org: world.org, handle: "grace".parse().unwrap(), name: "Grace".into() };
    let grace = world.change(grace).await.unwrap();
    let link =
        async || world.change(MakeLink { purpose: LinkPurpose::Enrol { person: grace } }).await.unwrap().link;
    let cut = |target| MakeCut { org: None, target, why: Why::EndedByAdministrator };
    for target in [Target::Principal(grace), Target::Org(world.org)] {
        let leaked = link().await;
        world.change(cut(target)).await;
        assert_eq!(world.store.find_link(&leaked, world.now).await.unwrap(), None, "{target}");
        assert!(matches!(enrol(&world, &leaked, 1).await, Err(LoginRefusal::Link)), "{target}");
    }
    // Nor does disabling and enabling somebody bring back what they were sent before.
    let leaked = link().await;
    for active in [false, true] {
        world.change(SetPersonStanding { org: world.org, person: grace, active }).await;
    }
    assert!(matches!(enrol(&world, &leaked, 1).await, Err(LoginRefusal::Link)));
    enrol(&world, &link().await, 1).await.unwrap();
}

/// What a browser may have on its way when everything its person holds is ended.
#[tokio::test]
async fn what_is_done_in_a_browser_counts_only_while_its_login_stands() {
    let world = World::new().await;
    let web = enrol(&world, &enrolment_link(&world).await, 1).await.unwrap();
    let login = web.session.login;
    let start = StartDevice {
        raises: None,
        org: world.org,
        client: world.cli,
        scopes: crate::world::grant(world.now).scopes,
        resources: Vec::new(),
        purpose: None,
        device: None,
        requester_address: String::new(),
        jkt: None,
        demand: hallpass_model::step_up::Demand::default(),
    };
    let started = world.change(start).await;
    let answer = AnswerDevice {
        org: world.org,
        grant: started.grant,
        by: Approver {
            principal: world.ada,
            authentication: by_passkey(world.now),
            approval: Approval::DevicePage,
        },
        answer: Answer::Yes,
        address: String::new(),
    };
    let link = MakeLink { purpose: LinkPurpose::Enrol { person: world.ada } };
    let add = AddPasskey { person: world.ada, passkey: passkey(7) };
    let others = || EndOthers { org: world.org, person: world.ada, keep: again(&web.cookie) };
    // Each was let in by a reader, and reaches the writer after the cut.
    let cut = MakeCut { org: None, target: Target::Principal(world.ada), why: Why::EndedByAdministrator };
    world.change(cut).await;
    assert!(world.change(InBrowser { login, change: answer.clone() }).await.is_err());
    assert!(world.change(InBrowser { login, change: world.code() }).await.is_err());
    assert!(world.change(InBrowser { login, change: link }).await.is_err());
    assert!(world.change(InBrowser { login, change: add.clone() }).await.is_err());
    assert!(
        world.change(InBrowser { login, change: others() }).await.is_err(),
        "nor does it keep itself alive"
    );
    assert!(world.store.find_web(&web.cookie, world.org, world.now).await.unwrap().is_none());
    let grant = world.store.find_device_grant(started.grant).await.unwrap().unwrap();
    assert_eq!(grant.state, DeviceState::Waiting);
    assert_eq!((world.count(Event::Approved).await, world.count(Event::Enrolled).await), (0, 1));
    let denied = world.ledger().await.into_iter().find(|entry| entry.event == Event::Denied).unwrap();
    assert_eq!(denied.detail.find(&Key::RULE), Some(&"login_over".into()), "and the ledger says so");

    // A login that stands, and one that was ended by its person or by time.
    let web = enrol(&world, &enrolment_link(&world).await, 2).await.unwrap();
    let login = web.session.login;
    let answered = world.change(InBrowser { login, change: answer }).await;
    assert_eq!(answered, Ok(DeviceAnswered::Approved));
    assert!(world.change(InBrowser { login, change: add.clone() }).await.unwrap().is_ok());
    let keep = EndOthers { keep: again(&web.cookie), ..others() };
    world.change(InBrowser { login, change: keep }).await.unwrap();
    assert!(world.change(InBrowser { login, change: link }).await.unwrap().is_some(), "it outlives its own");
    assert!(
        world
            .store
            .change(Actor::Nobody, world.now + WEB_IDLE, InBrowser { login, change: link })
            .await
            .unwrap()
            .is_err()
    );
    world.change(EndWeb { cookie: again(&web.cookie) }).await;
    assert!(world.change(InBrowser { login, change: link }).await.is_err());
}

#[tokio::test]
async fn one_org_s_passkey_is_unknown_in_another() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let key = world.change(AddPasskey { person: world.ada, passkey: passkey(1) }).await.unwrap();
    assert!(world.store.find_passkey(world.org, &[1; 16]).await.unwrap().is_some());
    assert_eq!(world.store.find_passkey(other.org, &[1; 16]).await.unwrap(), None);
    let login = |org| FinishLogin {
        org,
        passkey: key,
        state: Some("{\"n\":1}".into()),
        authentication: by_passkey(world.now),
    };
    assert!(matches!(world.change(login(other.org)).await, Err(LoginRefusal::UnknownPasskey)));
    let web = world.change(login(world.org)).await.unwrap();
    assert_eq!(world.store.list_passkeys(world.ada).await.unwrap()[0].state, "{\"n\":1}");
    // The cookie, too, opens its own org's pages and no other's.
    assert!(world.store.find_web(&web.cookie, world.org, world.now).await.unwrap().is_some());
    assert!(world.store.find_web(&web.cookie, other.org, world.now).await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_removes_their_own_last_passkey_and_an_administrator_may() {
    let world = World::new().await;
    let other = world.change(add_org("other")).await.unwrap();
    let first = world.change(AddPasskey { person: world.ada, passkey: passkey(1) }).await.unwrap();
    let second = world.change(AddPasskey { person: world.ada, passkey: passkey(2) }).await.unwrap();
    let remove = |org, passkey, by| RemovePasskey { org, passkey, by };
    let own = RemovedBy::Themselves(world.ada);
    let not_own = RemovedBy::Themselves(other.administrator);
    assert_eq!(world.change(remove(world.org, first, not_own)).await, PasskeyRemoved::NotThere);
    assert_eq!(
        world.change(remove(other.org, first, RemovedBy::Administrator)).await,
        PasskeyRemoved::NotThere
    );
    assert_eq!(world.change(remove(world.org, first, own)).await, PasskeyRemoved::Removed);
    assert_eq!(world.change(remove(world.org, first, own)).await, PasskeyRemoved::NotThere);
    assert_eq!(world.change(remove(world.org, second, own)).await, PasskeyRemoved::LastOne);
    assert_eq!(
        world.change(remove(world.org, second, RemovedBy::Administrator)).await,
        PasskeyRemoved::Removed
    );
    assert_eq!(world.count(Event::Removed).await, 2);
}

#[tokio::test]
async fn a_ceremony_is_taken_once_in_time_and_by_its_own_browser() {
    let mut world = World::new().await;
    let browser = || Some(Secret::<WebCookie>::from_text("this browser".into()));
    let begin = || BeginCeremony {
        kind: CeremonyKind::Login { org: world.org },
        bound_to: browser(),
        state: vec![4, 2],
    };
    let handle = world.change(begin()).await;
    let take = |handle: &Secret<WebCookie>, bound_to| TakeCeremony { handle: again(handle), bound_to };
    let another = Some(Secret::from_text("another".into()));
    assert_eq!(world.change(take(&handle, another)).await, None);
    assert_eq!(world.change(take(&handle, None)).await, None);
    let taken = world.change(take(&handle, browser())).await;
    assert_eq!(taken, Some(Ceremony { kind: CeremonyKind::Login { org: world.org }, state: vec![4, 2] }));
    assert_eq!(world.change(take(&handle, browser())).await, None);
    let late = world.change(begin()).await;
    world.wait(CEREMONY);
    assert_eq!(world.change(take(&late, browser())).await, None);
}

#[tokio::test]
async fn a_web_login_ends_when_idle_when_old_and_when_told() {
    let mut world = World::new().await;
    let link = enrolment_link(&world).await;
    let web = enrol(&world, &link, 1).await.unwrap();
    let begin = world.now;
    while world.now.since(begin) < WEB_ABSOLUTE {
        let found = world.store.find_web(&web.cookie, world.org, world.now).await.unwrap().unwrap();
        assert_eq!(found.form_key.expose(), web.session.form_key.expose());
        assert_eq!(found.wants_touch(world.now), world.now != begin);
        world.change(TouchWeb { cookie: again(&web.cookie) }).await;
        world.wait(Lifetime::minutes(29));
    }
    world.now = begin + WEB_ABSOLUTE;
    assert!(world.store.find_web(&web.cookie, world.org, world.now).await.unwrap().is_none(), "old");

    let idle = enrol(&world, &enrolment_link(&world).await, 2).await.unwrap();
    world.wait(WEB_IDLE);
    assert!(world.store.find_web(&idle.cookie, world.org, world.now).await.unwrap().is_none(), "idle");
    world.change(TouchWeb { cookie: again(&idle.cookie) }).await;
    assert!(
        world.store.find_web(&idle.cookie, world.org, world.now).await.unwrap().is_none(),
        "and stays so"
    );

    let left = enrol(&world, &enrolment_link(&world).await, 3).await.unwrap();
    assert!(world.change(EndWeb { cookie: again(&left.cookie) }).await);
    assert!(!world.change(EndWeb { cookie: again(&left.cookie) }).await);
    assert!(world.store.find_web(&left.cookie, world.org, world.now).await.unwrap().is_none(), "left");
    assert_eq!((world.count(Event::SignedIn).await, world.count(Event::SignedOut).await), (3, 1));
}

#[tokio::test]
async fn ending_all_else_keeps_the_browser_it_is_done_in() {
    let world = World::new().await;
    let one = enrol(&world, &enrolment_link(&world).await, 1).await.unwrap();
    let two = enrol(&world, &enrolment_link(&world).await, 2).await.unwrap();
    let session = world.log_in(None).await;
    world.change(EndOthers { org: world.org, person: world.ada, keep: again(&one.cookie) }).await;
    assert!(world.store.find_web(&one.cookie, world.org, world.now).await.unwrap().is_some());
    assert!(world.store.find_web(&two.cookie, world.org, world.now).await.unwrap().is_none());
    assert!(world.store.is_dead(&crate::cuts::place(&session)).await.unwrap().is_some());
}
