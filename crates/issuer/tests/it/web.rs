//! The pages: who may see them, which forms are believed, and that nothing of one org is believed at another.

use hallpass_model::lifetimes::{CEREMONY, ENROLMENT_LINK, RECENT_LOGIN, SETUP_LINK, WEB_ABSOLUTE, WEB_IDLE};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_store::{LinkPurpose, MakeCut, SetPersonStanding};
use hallpass_testkit::passkey::SoftPasskey;
use hallpass_testkit::{Visitor, World};
use http::StatusCode;

/// Sets the server of an empty world up: org `other`, with a passkey in the visitor's hand.
async fn set_up<'w>(world: &'w World, name: &str) -> Visitor<'w> {
    let link = world.link(LinkPurpose::SetUp).await;
    let mut visitor = world.visitor();
    visitor.get("/setup").await;
    let form = [
        ("link", link.expose_text()),
        ("name", name),
        ("title", "The Other Org"),
        ("person", "Bob"),
        ("handle", "bob"),
    ];
    let reply = visitor.make_passkey("/setup", &form).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    assert_eq!(reply.header("location"), Some(format!("/{name}/passkeys?done=welcome").as_str()));
    visitor
}

#[tokio::test]
async fn a_set_up_makes_the_org_its_administrator_and_their_login_and_spends_the_link() {
    let world = World::new().await;
    let link = world.link(LinkPurpose::SetUp).await;
    let mut bob = world.visitor();
    bob.get("/setup").await;
    let form = [
        ("link", link.expose_text()),
        ("name", "other"),
        ("title", "Other"),
        ("person", "Bob"),
        ("handle", "bob"),
    ];
    assert_eq!(bob.make_passkey("/setup", &form).await.status, StatusCode::SEE_OTHER);

    let page = bob.get("/other/admin/people").await;
    assert!(page.body.contains("Bob") && page.body.contains("administrator"), "{}", page.body);

    let mut again = world.visitor();
    again.get("/setup").await;
    let form = [
        ("link", link.expose_text()),
        ("name", "third"),
        ("title", "T"),
        ("person", "Eve"),
        ("handle", "eve"),
    ];
    let refused = again.make_passkey("/setup", &form).await;
    assert_eq!(refused.status, StatusCode::GONE, "a link works once");
}

#[tokio::test]
async fn looking_at_a_link_spends_nothing_and_time_ends_it() {
    let world = World::new().await;
    let link = world.link(LinkPurpose::SetUp).await;
    let mut bob = world.visitor();
    for _ in 0..3 {
        bob.get("/setup").await;
    }
    let form = [
        ("link", link.expose_text()),
        ("name", "other"),
        ("title", "Other"),
        ("person", "Bob"),
        ("handle", "bob"),
    ];
    assert_eq!(bob.begin("/setup", &form).await.status, StatusCode::OK);
    world.clock.advance(SETUP_LINK);
    assert_eq!(bob.begin("/setup", &form).await.status, StatusCode::GONE);

    let enrolment = world.link(LinkPurpose::Enrol { person: world.ada }).await;
    let mut ada = world.visitor();
    world.clock.advance(ENROLMENT_LINK);
    assert_eq!(ada.enrol("acme", enrolment.expose_text()).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_set_up_refuses_names_that_cannot_be() {
    let world = World::new().await;
    let link = world.link(LinkPurpose::SetUp).await;
    let mut bob = world.visitor();
    bob.get("/setup").await;
    for (name, handle, person) in [
        ("assets", "bob", "Bob"),
        ("Other", "bob", "Bob"),
        ("other", "B", "Bob"),
        ("other", "bob", " "),
        ("acme", "bob", "Bob"),
    ] {
        let form = [
            ("link", link.expose_text()),
            ("name", name),
            ("title", "O"),
            ("person", person),
            ("handle", handle),
        ];
        let refused = bob.begin("/setup", &form).await;
        assert!(refused.status.is_client_error(), "{name} {handle} {person}");
        assert!(refused.json()["error"].is_string());
    }
}

#[tokio::test]
async fn an_enrolment_link_works_once_and_a_login_follows_with_the_passkey() {
    let world = World::new().await;
    let link = world.link(LinkPurpose::Enrol { person: world.ada }).await;
    let mut ada = world.visitor();
    assert_eq!(ada.enrol("acme", link.expose_text()).await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.visitor().enrol("acme", link.expose_text()).await.status, StatusCode::GONE);

    ada.cookies.clear();
    assert_eq!(ada.get("/acme/sessions").await.status, StatusCode::SEE_OTHER);
    let reply = ada.log_in("acme", &[("to", "sessions")]).await;
    assert_eq!(reply.header("location"), Some("/acme/sessions"), "{}", reply.body);
    assert_eq!(ada.get("/acme/sessions").await.status, StatusCode::OK);
}

/// Every page of a person's leads who is not logged in to the login, and remembers only our own places.
#[tokio::test]
async fn who_is_not_logged_in_is_sent_to_the_login_and_from_there_only_to_our_pages() {
    let world = World::new().await;
    let mut stranger = world.visitor();
    for (path, location) in [
        ("/acme/sessions", "/acme/login?to=sessions"),
        ("/acme/passkeys", "/acme/login?to=passkeys"),
        ("/acme/admin", "/acme/login?to=admin"),
        ("/acme/admin/people?of=ada&done=x", "/acme/login?to=admin&page=people&of=ada"),
        ("/acme/admin/https%3A%2F%2Fevil.example?of=x", "/acme/login?to=admin"),
        ("/acme/device?user_code=wdjbmjht", "/acme/login?to=device&user_code=WDJB-MJHT"),
        ("/acme/device?user_code=%22%3E%3Cscript%3E", "/acme/login?to=device"),
        ("/acme/consent?request=https://evil.example", "/acme/login?to=sessions"),
    ] {
        let reply = stranger.get(path).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (StatusCode::SEE_OTHER, Some(location)),
            "{path}"
        );
    }
    let mut ada = world.visitor_as(world.ada).await;
    let reply = ada.log_in("acme", &[("to", "//evil.example"), ("continue", "https://evil.example")]).await;
    assert_eq!(reply.header("location"), Some("/acme/sessions"));
}

/// Holds the isolation of orgs that share a host: cookies.
#[tokio::test]
async fn one_org_s_login_is_no_login_at_another() {
    let world = World::new().await;
    let mut bob = set_up(&world, "other").await;
    assert_eq!(bob.get("/other/sessions").await.status, StatusCode::OK);
    assert_eq!(bob.get("/acme/sessions").await.status, StatusCode::SEE_OTHER);

    // Renamed by hand, as a page cannot but a person can.
    let (name, value) =
        bob.cookies.iter().find(|(name, _)| name.ends_with("-login-other")).expect("he is logged in");
    let (name, value) = (name.replace("-login-other", "-login-acme"), value.clone());
    bob.cookies.insert(name, value);
    assert_eq!(bob.get("/acme/sessions").await.status, StatusCode::SEE_OTHER);
    assert_eq!(bob.get("/acme/admin/people").await.status, StatusCode::SEE_OTHER);
}

/// Holds the isolation of orgs that share a host: form tokens.
#[tokio::test]
async fn one_org_s_form_token_is_refused_at_another() {
    let world = World::new().await;
    let mut visitor = set_up(&world, "other").await;
    visitor.get("/other/sessions").await;
    let theirs = visitor.csrf.clone();
    let link = world.link(LinkPurpose::Enrol { person: world.ada }).await;
    assert_eq!(visitor.enrol("acme", link.expose_text()).await.status, StatusCode::SEE_OTHER);
    visitor.get("/acme/sessions").await;
    let ours = visitor.csrf.clone();
    assert_ne!(theirs, ours);

    visitor.csrf = theirs;
    assert_eq!(visitor.post("/acme/sessions", &[("act", "end-all")]).await.status, StatusCode::FORBIDDEN);
    visitor.csrf = ours;
    assert_eq!(visitor.post("/acme/sessions", &[("act", "end-all")]).await.status, StatusCode::SEE_OTHER);

    // And before a login: the same browser, two orgs.
    visitor.get("/other/login?again=1").await;
    assert_eq!(visitor.begin("/acme/login", &[]).await.status, StatusCode::FORBIDDEN);
}

/// Holds the isolation of orgs that share a host: passkeys and their assertions.
#[tokio::test]
async fn one_org_s_passkey_and_its_assertion_are_refused_at_another() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let mut bob = set_up(&world, "other").await;

    // Ada's passkey, used at the other org's own ceremony: the relying party is the same, so the browser offers it.
    bob.passkey = ada.passkey.take();
    bob.cookies.retain(|name, _| name.ends_with("browser"));
    let refused = bob.log_in("other", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("not known to this organisation"), "{}", refused.body);
    assert!(bob.cookies.keys().all(|name| !name.contains("login")));

    // An assertion made for acme's ceremony, brought to the other org's, and the other way round.
    bob.get("/acme/login").await;
    let at_acme = bob.begin("/acme/login", &[]).await.json();
    let shown = bob.passkey.as_mut().expect("he holds it").get(&at_acme["options"], &world.base_url);
    bob.get("/other/login").await;
    let refused = bob.finish("/other/login", &at_acme, &shown, &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    bob.get("/other/login").await;
    let at_other = bob.begin("/other/login", &[]).await.json();
    let shown = bob.passkey.as_mut().expect("he holds it").get(&at_other["options"], &world.base_url);
    bob.get("/acme/login").await;
    let refused = bob.finish("/acme/login", &at_other, &shown, &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "a ceremony of the other org's ends nothing here");
    assert!(bob.cookies.keys().all(|name| !name.contains("login")));
}

#[tokio::test]
async fn one_org_s_enrolment_link_is_refused_at_another_and_not_spent() {
    let world = World::new().await;
    set_up(&world, "other").await;
    let link = world.link(LinkPurpose::Enrol { person: world.ada }).await;
    assert_eq!(world.visitor().enrol("other", link.expose_text()).await.status, StatusCode::GONE);
    assert_eq!(world.visitor().enrol("acme", link.expose_text()).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_ceremony_ends_once_in_its_own_browser_and_in_time() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    ada.cookies.clear();
    ada.get("/acme/login").await;
    let begun = ada.begin("/acme/login", &[]).await.json();
    let mut passkey = ada.passkey.take().expect("she enrolled");
    let shown = passkey.get(&begun["options"], &world.base_url);

    // A browser that learned the handle and the assertion.
    let mut thief = world.visitor();
    thief.get("/acme/login").await;
    assert_eq!(thief.finish("/acme/login", &begun, &shown, &[]).await.status, StatusCode::FORBIDDEN);
    // Nothing was used up: it goes on where it began, once.
    assert_eq!(ada.finish("/acme/login", &begun, &shown, &[]).await.status, StatusCode::SEE_OTHER);
    ada.get("/acme/login?again=1").await;
    assert_eq!(ada.finish("/acme/login", &begun, &shown, &[]).await.status, StatusCode::FORBIDDEN);

    ada.get("/acme/login?again=1").await;
    let begun = ada.begin("/acme/login", &[]).await.json();
    let shown = passkey.get(&begun["options"], &world.base_url);
    world.clock.advance(CEREMONY);
    assert_eq!(ada.finish("/acme/login", &begun, &shown, &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_passkey_counts_only_with_its_person_verified_here_for_this_challenge() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    type Spoil = fn(&mut SoftPasskey, &mut serde_json::Value) -> &'static str;
    let spoils: [(&str, Spoil); 4] = [
        ("not verified", |passkey, _| {
            passkey.verifies = false;
            "http://localhost"
        }),
        ("another origin", |_, _| "https://evil.example"),
        ("another challenge", |_, options| {
            options["challenge"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
            "http://localhost"
        }),
        ("another person", |passkey, _| {
            passkey.user_handle = "AAAAAAAAAAAAAAAAAAAAAA".into();
            "http://localhost"
        }),
    ];
    for (what, spoil) in spoils {
        ada.get("/acme/login?again=1").await;
        let begun = ada.begin("/acme/login", &[]).await.json();
        let passkey = ada.passkey.as_mut().expect("she enrolled");
        let (verifies, user_handle) = (passkey.verifies, passkey.user_handle.clone());
        let mut options = begun["options"].clone();
        let origin = match spoil(passkey, &mut options) {
            "http://localhost" => world.base_url.as_str(),
            elsewhere => elsewhere,
        };
        let shown = passkey.get(&options, origin);
        (passkey.verifies, passkey.user_handle) = (verifies, user_handle);
        assert_eq!(
            ada.finish("/acme/login", &begun, &shown, &[]).await.status,
            StatusCode::FORBIDDEN,
            "{what}"
        );
    }
    assert_eq!(ada.log_in("acme", &[]).await.status, StatusCode::SEE_OTHER, "unspoilt, it logs in");
}

#[tokio::test]
async fn a_form_needs_our_origin_and_this_browser_s_token() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    ada.get("/acme/sessions").await;
    let (csrf, home) = (ada.csrf.clone(), world.base_url.clone());
    let good = [("csrf", csrf.as_str()), ("act", "end-all")];

    for origin in ["https://evil.example", "null", "http://localhost", "http://127.0.0.1:80"] {
        let refused = ada.post_from(origin, "/acme/sessions", &good).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}");
    }
    let bare = ada.form("/acme/sessions", &good);
    assert_eq!(ada.send(bare).await.status, StatusCode::FORBIDDEN, "no word from the browser at all");
    let site =
        ada.form("/acme/sessions", &good).header("origin", &home).header("sec-fetch-site", "cross-site");
    assert_eq!(ada.send(site).await.status, StatusCode::FORBIDDEN);
    for token in ["", "x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let form = [("csrf", token), ("act", "end-all")];
        assert_eq!(
            ada.post_from(&home, "/acme/sessions", &form).await.status,
            StatusCode::FORBIDDEN,
            "{token}"
        );
    }
    // Another person's token, in their own browser good.
    let grace = world.add_person("grace").await;
    let mut theirs = world.visitor_as(grace).await;
    theirs.get("/acme/sessions").await;
    ada.csrf = theirs.csrf.clone();
    assert_eq!(ada.post("/acme/sessions", &[("act", "end-all")]).await.status, StatusCode::FORBIDDEN);

    assert_eq!(ada.post_from(&home, "/acme/sessions", &good).await.status, StatusCode::SEE_OTHER);
    let site = ada.form("/acme/sessions", &good).header("sec-fetch-site", "same-origin");
    assert_eq!(ada.send(site).await.status, StatusCode::SEE_OTHER);
}

/// Every endpoint that takes a person's form refuses one without a token.
#[tokio::test]
async fn no_page_takes_a_form_without_its_token() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let home = world.base_url.clone();
    use hallpass_issuer::Access;
    let ours = hallpass_issuer::endpoints().into_iter().filter(|endpoint| {
        let pages = matches!(endpoint.access, Access::Person | Access::Link);
        endpoint.method == http::Method::POST && (pages || endpoint.path == "/{org}/login")
    });
    let mut tried = 0;
    for endpoint in ours {
        let path = endpoint.path.replace("{org}", "acme");
        for form in [&[][..], &[("step", "begin")], &[("csrf", "AAAAAAAAAAAAAAAAAAAAAA")]] {
            let refused = ada.post_from(&home, &path, form).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {form:?}");
        }
        tried += 1;
    }
    assert!(tried >= 10, "the table has them: {tried}");
}

#[tokio::test]
async fn a_login_ends_by_idleness_by_age_by_logging_out_and_by_a_cut() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let is_in = async |ada: &mut Visitor<'_>| ada.get("/acme/sessions").await.status == StatusCode::OK;

    let mut passed = Lifetime::millis(0);
    while passed < WEB_ABSOLUTE {
        assert!(is_in(&mut ada).await, "a page now and then keeps it alive: {passed}");
        let step = Lifetime::millis((WEB_IDLE.as_millis() - 1_000) as u32);
        world.clock.advance(step);
        passed = Lifetime::millis((passed.as_millis() + step.as_millis()) as u32);
    }
    assert!(!is_in(&mut ada).await, "and not for ever");

    ada.log_in("acme", &[]).await;
    assert!(is_in(&mut ada).await);
    world.clock.advance(WEB_IDLE);
    assert!(!is_in(&mut ada).await);

    ada.log_in("acme", &[]).await;
    assert!(is_in(&mut ada).await);
    let kept = ada.cookies.clone();
    let out = ada.post("/acme/logout", &[]).await;
    assert_eq!(out.header("location"), Some("/acme/login"));
    assert!(!is_in(&mut ada).await);
    ada.cookies = kept;
    assert!(!is_in(&mut ada).await, "a cookie that was kept is worth nothing");

    ada.log_in("acme", &[]).await;
    let target = hallpass_model::cut::Target::Principal(world.ada);
    world
        .change(MakeCut { org: Some(world.org), target, why: hallpass_model::cut::Why::EndedByAdministrator })
        .await;
    assert!(!is_in(&mut ada).await);

    let grace = world.add_person("grace").await;
    let mut grace_s = world.visitor_as(grace).await;
    assert!(is_in(&mut grace_s).await);
    world.change(SetPersonStanding { org: world.org, person: grace, active: false }).await;
    assert!(!is_in(&mut grace_s).await);
    let refused = grace_s.log_in("acme", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("disabled"));
}

#[tokio::test]
async fn a_login_s_cookie_is_hidden_from_scripts_and_other_sites() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let reply = ada.log_in("acme", &[]).await;
    let set = reply.header("set-cookie").expect("a login is left with the browser");
    let port = world.base_url.rsplit(':').next().unwrap();
    assert!(set.starts_with(&format!("hallpass-{port}-login-acme=hpw_")), "{set}");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(part), "{set} lacks {part}");
    }
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    for path in [
        "/",
        "/setup",
        "/acme/login?again=1",
        "/acme/enrol",
        "/acme/sessions",
        "/acme/passkeys",
        "/acme/admin",
        "/acme/admin/people",
        "/acme/admin/ledger",
        "/acme/device",
        "/nowhere/at/all",
    ] {
        let page = ada.get(path).await;
        let header = |name| page.header(name).unwrap_or_else(|| panic!("{path} lacks {name}"));
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert!(page.header("permissions-policy").is_some());
        assert!(page.body.contains("<html lang=\"en\">"), "{path}");
    }
}

#[tokio::test]
async fn a_browser_is_told_what_is_wrong_as_a_page_and_a_program_as_json() {
    let world = World::new().await;
    let mut visitor = world.visitor();
    let page = visitor.get("/acme/authorize?client_id=nobody").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("<h1>") && page.body.contains("client_id"), "{}", page.body);
    assert_eq!(visitor.get("/no-such-org/login").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("authorize?client_id=nobody").await.json()["error"], "invalid_request");
}

#[tokio::test]
async fn a_person_adds_a_second_passkey_and_keeps_at_least_one() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    ada.get("/acme/passkeys").await;
    let only = world.store.list_passkeys(world.ada).await.unwrap();
    let remove = [("step", "remove"), ("passkey", &*only[0].id.to_string())];
    let kept = ada.post("/acme/passkeys", &remove).await;
    assert_eq!(kept.header("location"), Some("/acme/passkeys?done=last"));

    let first = ada.passkey.take();
    ada.get("/acme/passkeys").await;
    let added = ada.make_passkey("/acme/passkeys", &[("name", "Key in the drawer")]).await;
    assert_eq!(added.header("location"), Some("/acme/passkeys?done=added"), "{}", added.body);
    let both = world.store.list_passkeys(world.ada).await.unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(
        first.unwrap().user_handle,
        ada.passkey.as_ref().unwrap().user_handle,
        "filed under one person"
    );

    let removed = ada.post("/acme/passkeys", &remove).await;
    assert_eq!(removed.header("location"), Some("/acme/passkeys?done=removed"));
    assert_eq!(ada.log_in("acme", &[]).await.status, StatusCode::SEE_OTHER, "the second one logs in");
}

#[tokio::test]
async fn passkeys_are_changed_only_soon_after_a_login_and_only_one_s_own() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let grace = world.add_person("grace").await;
    let _grace_s = world.visitor_as(grace).await;
    let hers = world.store.list_passkeys(grace).await.unwrap()[0].id.to_string();
    ada.get("/acme/passkeys").await;
    let stolen = ada.post("/acme/passkeys", &[("step", "remove"), ("passkey", &hers)]).await;
    assert_eq!(stolen.status, StatusCode::NOT_FOUND);

    world.clock.advance(RECENT_LOGIN);
    ada.get("/acme/passkeys").await;
    assert_eq!(ada.begin("/acme/passkeys", &[("name", "x")]).await.status, StatusCode::FORBIDDEN);
    let again = ada.post("/acme/passkeys", &[("step", "remove"), ("passkey", &hers)]).await;
    assert_eq!(again.header("location"), Some("/acme/login?to=passkeys&again=1"));
}

#[tokio::test]
async fn ending_a_session_works_at_once_and_only_one_s_own() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let (one, two) = (world.sign_in("ada", "hallpass-cli").await, world.sign_in("ada", "hallpass-cli").await);
    let grace = world.add_person("grace").await;
    let hers = world.sign_in("grace", "hallpass-cli").await;

    ada.get("/acme/sessions").await;
    let foreign =
        ada.post("/acme/sessions", &[("act", "end"), ("session", &hers.session().to_string())]).await;
    assert_eq!(foreign.header("location"), Some("/acme/sessions?done=gone"));
    assert!(world.refresh(&hers).await.is_ok(), "it was somebody else's");

    let ended = ada.post("/acme/sessions", &[("act", "end"), ("session", &one.session().to_string())]).await;
    assert_eq!(ended.header("location"), Some("/acme/sessions?done=ended"));
    assert!(world.refresh(&one).await.is_err());
    let two = world.refresh(&two).await.expect("the other lives");

    let mut elsewhere = world.visitor();
    elsewhere.passkey = ada.passkey.take();
    elsewhere.log_in("acme", &[]).await;
    assert_eq!(elsewhere.get("/acme/sessions").await.status, StatusCode::OK);
    let all = ada.post("/acme/sessions", &[("act", "end-all")]).await;
    assert_eq!(all.header("location"), Some("/acme/sessions?done=all"));
    assert!(world.refresh(&two).await.is_err());
    assert_eq!(elsewhere.get("/acme/sessions").await.status, StatusCode::SEE_OTHER, "other browsers, too");
    assert_eq!(ada.get("/acme/sessions").await.status, StatusCode::OK, "and not this one");
    let _ = (grace, world.clock.now());
}
