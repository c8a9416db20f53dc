//! Reports of leaked credentials: whoever holds one whole may end it, and can do nothing else by that.

use std::time::{Duration, Instant};

use hallpass_model::cut::{Target, Why};
use hallpass_model::ledger::{Actor, Entry, Event};
use hallpass_model::principal::Owner;
use hallpass_model::spelling::{Prefix, render};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_store::{Answer, Filter, LinkPurpose, MakeCut, OwnedId, RotateApiKey, TransferOwned, Which};
use hallpass_testkit::world::{ALL_SCOPES, NOTES};
use hallpass_testkit::{Reply, Visitor, World};
use http::StatusCode;
use serde_json::json;

use crate::notices::{Sides, sides, told};
use crate::{api_keys, client_proofs, registration, token_code};

async fn report(world: &World, token: &str) -> Reply {
    let reply = world.post("leaked", &[("token", token)]).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (204, ""));
    reply
}

/// Reported, and it was alive: one entry says so.
async fn ends(world: &World, token: &str, entries: &[&str]) -> Entry {
    let from = world.ledger_size().await;
    report(world, token).await;
    assert_eq!(world.ledger_from(from).await, entries);
    assert_eq!(world.ledger_from(from).await.len() as u64, world.ledger_size().await - from);
    report(world, token).await;
    assert_eq!(world.ledger_size().await, from + entries.len() as u64, "dead already: nothing new");
    let first = world.store.list_ledger(&Filter::default(), from, 1).await.unwrap().items.remove(0);
    let entry = first.entry().unwrap();
    assert_eq!((entry.event, entry.actor, entry.org), (Event::Leaked, Actor::Nobody, Some(world.org)));
    entry
}

/// Reported, and nothing came of it.
async fn is_nothing(world: &World, token: &str) {
    let from = world.ledger_size().await;
    report(world, token).await;
    assert_eq!(world.ledger_from(from).await, [""; 0], "{:.12}", token);
}

async fn is_told(world: &World, owner: Owner, seq: u64) -> bool {
    told(world, world.ada, &[owner]).await.contains(&seq)
}

/// The cookie of a login to the pages.
fn cookie_of(visitor: &Visitor<'_>) -> String {
    let login = visitor.cookies.iter().find(|(name, _)| name.ends_with("-login-acme"));
    login.unwrap().1.clone()
}

/// All that a person may hold, alive: the pass before its session, which would end it.
async fn of_ada(world: &World) -> Vec<String> {
    let login = world.sign_in("ada", "hallpass-cli").await;
    let cookie = cookie_of(&world.visitor_as(world.ada).await);
    let link = world.link(LinkPurpose::Enrol { person: world.ada }).await.expose_text().to_owned();
    let code = token_code::code(world, None).await;
    let started = world.start_device("hallpass-cli", &[("scope", ALL_SCOPES)]).await.json();
    world.answer_device(started["user_code"].as_str().unwrap(), world.ada, Answer::Yes).await;
    let device = started["device_code"].as_str().unwrap().to_owned();
    vec![login.access, login.refresh, cookie, link, code, device]
}

/// A world in which a client registered itself, and both tokens for that, alive.
async fn of_registration() -> (World, Vec<String>) {
    let (world, initial) = registration::open(5).await;
    let client = registration::registered(&world, &initial).await;
    let managing = client["registration_access_token"].as_str().unwrap().to_owned();
    (world, vec![managing, initial])
}

#[tokio::test]
async fn an_access_token_dies_alone_and_both_sides_are_told() {
    let Sides { world, grace, team, linus } = sides().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    let other = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    assert!(world.accepts(&pass.access).await);
    let seq = world.ledger_size().await;
    let entry = ends(&world, &pass.access, &["leaked: leaked"]).await;
    assert!(!world.accepts(&pass.access).await);
    assert!(world.accepts(&other.access).await, "a sister");
    assert!(world.refresh(&login).await.is_ok(), "what it came of");
    assert_eq!((entry.principal, entry.client), (Some(world.ada), Some(world.cli)));
    assert_eq!(
        (entry.session, entry.device.is_some()),
        (Some(login.session()), login.claims().dev.is_some())
    );
    for (owner, person) in
        [(Owner::Person(grace), grace), (team, linus), (Owner::Person(world.ada), world.ada)]
    {
        assert_eq!(told(&world, person, &[owner]).await, [seq]);
    }
}

#[tokio::test]
async fn a_refresh_token_is_its_session_whichever_generation_is_found() {
    let Sides { world, grace, .. } = sides().await;
    for bound in [false, true] {
        let first = match bound {
            false => world.sign_in("ada", "hallpass-cli").await,
            true => world.sign_in_bound("ada", "hallpass-cli").await,
        };
        let second = world.refresh(&first).await.unwrap();
        let third = world.refresh(&second).await.unwrap();
        let pass = world.exchange(&third, &[("resource", NOTES)]).await.unwrap();
        let bystander = world.sign_in("ada", "hallpass-cli").await;
        let seq = world.ledger_size().await;
        // Whoever found it has no key to prove.
        ends(&world, &first.refresh, &["leaked: leaked"]).await;
        assert!(is_told(&world, Owner::Person(grace), seq).await);
        assert!(!world.accepts(&pass.access).await);
        let refused = world.refresh(&third).await.unwrap_err();
        assert!(refused.told.contains("found where others could read it"), "{}", refused.told);
        assert!(world.refresh(&bystander).await.is_ok());
    }
}

#[tokio::test]
async fn of_an_api_key_the_secret_that_was_found_dies_with_what_it_bought() {
    let works = api_keys::Works::new().await;
    let world = &works.world;
    let bought = works.token().await;
    // Whoever answers for the key need not answer for its client, and is told of what it bought, too.
    let linus = world.add_person("linus").await;
    let which = Which::These(vec![OwnedId::ApiKey(works.key)]);
    world.change(TransferOwned { org: world.org, which, to: Owner::Person(linus) }).await.unwrap();
    let (another, seq) = (works.token().await, world.ledger_size().await);
    ends(world, &another, &["leaked: leaked"]).await;
    assert!(is_told(world, Owner::Person(linus), seq).await);
    assert!(world.accepts(&bought).await);
    let rotated =
        world.change(RotateApiKey { org: world.org, key: works.key, overlap: None, lasts: None }).await;
    let newer = rotated.unwrap().made;
    let seq = world.ledger_size().await;
    let entry = ends(world, &works.secret, &["leaked: leaked"]).await;
    assert_ne!(entry.credential, Some(newer.id));
    assert!(is_told(world, Owner::Person(linus), seq).await);
    assert!(!world.accepts(&bought).await);
    assert_eq!(works.exchange(&[]).await.status, 400);
    let works = api_keys::Works { secret: newer.secret.expose_text().to_owned(), ..works };
    assert!(works.world.accepts(&works.token().await).await, "its successor goes on");
    works.world.clock.advance(Lifetime::days(31));
    is_nothing(&works.world, &works.secret).await;
}

#[tokio::test]
async fn a_client_s_secret_opens_nothing_more_and_both_sides_are_told() {
    let works = client_proofs::Works::new().await;
    let world = &works.world;
    let made = works.made().await;
    let secret = made.secret.expose_text().to_owned();
    let token = world.tokens(works.ask(&secret).await, "batch", None).await.unwrap();
    let linus = world.add_person("linus").await;
    let notes = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    let which = Which::These(vec![OwnedId::Resource(notes)]);
    let to = Owner::Person(linus);
    world.change(TransferOwned { org: world.org, which, to }).await.unwrap();
    let seq = world.ledger_size().await;
    let entry = ends(world, &secret, &["leaked: leaked"]).await;
    assert_eq!((entry.client, entry.credential), (Some(works.client), Some(made.id)));
    assert!(!world.accepts(&token.access).await);
    assert_eq!(works.ask(&secret).await.status, 401);
    assert!(is_told(world, Owner::Person(world.ada), seq).await, "whoever answers for the client");
    assert!(is_told(world, Owner::Person(linus), seq).await, "whoever answers for the API");
    assert!(works.made().await.older.is_none(), "another is made at once");
}

#[tokio::test]
async fn registration_ends_and_a_client_that_registered_itself_goes_on() {
    let (world, initial) = registration::open(5).await;
    let client = registration::registered(&world, &initial).await;
    let seq = world.ledger_size().await;
    ends(&world, &initial, &["leaked"]).await;
    assert!(is_told(&world, Owner::Person(world.ada), seq).await);
    assert_eq!(registration::register(&world, &initial, &registration::metadata()).await.status, 401);

    let token = client["registration_access_token"].as_str().unwrap();
    let manage = |token: &str| {
        world.send(world.http.get(client["registration_client_uri"].as_str().unwrap()).bearer_auth(token))
    };
    assert_eq!(manage(token).await.status, 200);
    ends(&world, token, &["leaked"]).await;
    assert_eq!(manage(token).await.status, 401);
    // Also by a clock that is set back, and for a request that was on its way.
    let now = world.clock.now();
    world.clock.set(now - Lifetime::seconds(1));
    assert_eq!(manage(token).await.status, 401);
    world.clock.set(now);
    assert_eq!(world.store.registered_clients(world.org).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_way_in_for_a_person_and_a_login_to_the_pages_end() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let link = world.link(LinkPurpose::Enrol { person: grace }).await.expose_text().to_owned();
    let seq = world.ledger_size().await;
    let entry = ends(&world, &link, &["leaked"]).await;
    assert_eq!(entry.principal, Some(grace));
    assert!(is_told(&world, Owner::Person(grace), seq).await);
    assert_eq!(world.visitor().enrol("acme", &link).await.status, StatusCode::GONE);

    let mut visitor = world.visitor_as(world.ada).await;
    assert_eq!(visitor.get("/acme/sessions").await.status, 200);
    ends(&world, &cookie_of(&visitor), &["leaked"]).await;
    assert_eq!(visitor.get("/acme/sessions").await.status, 303, "to the login");
}

#[tokio::test]
async fn codes_that_nobody_has_used_end_and_spent_ones_end_nothing() {
    let Sides { world, grace, team, linus } = sides().await;
    let (code, seq) = (token_code::code(&world, None).await, world.ledger_size().await);
    ends(&world, &code, &["leaked"]).await;
    for (owner, person) in
        [(Owner::Person(grace), grace), (team, linus), (Owner::Person(world.ada), world.ada)]
    {
        assert!(told(&world, person, &[owner]).await.contains(&seq), "both sides, and the person");
    }
    assert!(token_code::redeem(&world, &code, &[], None).await.is_err());
    // A spent one lies in the history of a browser: no reason to end the login it became.
    let code = token_code::code(&world, None).await;
    let login = token_code::redeem(&world, &code, &[], None).await.unwrap();
    is_nothing(&world, &code).await;
    assert!(world.refresh(&login).await.is_ok());

    let started = world.start_device("hallpass-cli", &[("scope", ALL_SCOPES)]).await.json();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    is_nothing(&world, &text("device_code")).await;
    assert!(world.store.find_device_by_user_code(world.org, &text("user_code")).await.unwrap().is_none());
    let started = world.start_device("hallpass-cli", &[("scope", ALL_SCOPES)]).await.json();
    world.answer_device(started["user_code"].as_str().unwrap(), world.ada, Answer::Yes).await;
    ends(&world, started["device_code"].as_str().unwrap(), &["leaked"]).await;
}

/// SECURITY: the whole secret is needed, and another org's ends nothing here.
#[tokio::test]
async fn what_is_not_whole_or_not_ours_ends_nothing_and_is_answered_alike() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let dead = world.sign_in("ada", "hallpass-cli").await;
    world.revoke(&dead.refresh, "hallpass-cli").await;
    let secret = render(Prefix::ApiKey, &[9; 20]);
    let (access, refresh) = (login.access.as_str(), login.refresh.as_str());
    let unsigned = access.rsplit_once('.').unwrap().0;
    for token in [
        &access[..access.len() - 10],
        &format!("{unsigned}.AAAA"),
        &*secret,
        dead.refresh.as_str(),
        dead.access.as_str(),
    ] {
        is_nothing(&world, token).await;
    }
    // By their spelling alone, which says nothing of what there is.
    let session = login.session().to_string();
    let long = "a".repeat(20_000);
    for token in [&refresh[..refresh.len() - 1], &session, "x", "hpk_", "é", &long] {
        let from = world.ledger_size().await;
        let reply = world.post("leaked", &[("token", token)]).await;
        assert_eq!((reply.status.as_u16(), world.ledger_size().await), (400, from), "{token:.12}");
        assert!(reply.refused().told.contains("not all of it"), "{}", reply.body);
    }
    // A token that names the session, with a MAC of nobody's.
    let mut forged = hallpass_model::spelling::parse::<56>(Prefix::Refresh, refresh).unwrap();
    forged[55] ^= 1;
    is_nothing(&world, &render(Prefix::Refresh, &forged[..])).await;
    assert!(world.refresh(&login).await.is_ok());
    let reply = world.post("leaked", &[("found", "somewhere")]).await;
    assert_eq!((reply.status.as_u16(), reply.json()["error"].clone()), (400, json!("invalid_request")));
}

/// SECURITY: of every kind.
#[tokio::test]
async fn one_org_s_credentials_end_by_no_report_to_another() {
    let works = client_proofs::Works::new().await;
    let world = &works.world;
    let secret = works.made().await.secret.expose_text().to_owned();
    let of_ada = of_ada(world).await;
    let whole = [&[secret], of_ada.as_slice()].concat();
    let keys = api_keys::Works::new().await;
    let (registering, of_registration) = of_registration().await;
    for (world, whole) in [
        (world, whole.as_slice()),
        (&keys.world, std::slice::from_ref(&keys.secret)),
        (&registering, &of_registration),
    ] {
        world.add_org("globex").await;
        for token in whole {
            let from = world.ledger_size().await;
            let elsewhere = world.http.post(format!("{}/globex/leaked", world.base_url));
            let reply = world.send(elsewhere.form(&[("token", token.as_str())])).await;
            assert_eq!((reply.status.as_u16(), world.ledger_size().await), (204, from), "{token:.4}");
        }
    }
    // Each was alive: the pass goes before its session.
    for (world, whole) in [
        (world, whole.as_slice()),
        (&keys.world, std::slice::from_ref(&keys.secret)),
        (&registering, &of_registration),
    ] {
        for token in whole {
            let from = world.ledger_size().await;
            report(world, token).await;
            assert_eq!(world.ledger_size().await, from + 1, "{token:.4}");
        }
    }
}

#[tokio::test]
async fn what_anything_above_has_ended_is_dead_and_says_nothing_anew() {
    let world = World::new().await;
    let of_ada = of_ada(&world).await;
    let (registering, of_registration) = of_registration().await;
    let all =
        |world: &World, target| MakeCut { org: Some(world.org), target, why: Why::EndedByAdministrator };
    world.change(all(&world, Target::Principal(world.ada))).await;
    registering.change(all(&registering, Target::Org(registering.org))).await;
    for token in &of_ada {
        is_nothing(&world, token).await;
    }
    for token in &of_registration {
        is_nothing(&registering, token).await;
    }
}

/// Whoever may have any number of passes does not bury what else their owners are told.
#[tokio::test]
async fn passes_of_one_session_are_told_of_once_an_hour_and_each_is_recorded() {
    let Sides { world, grace, .. } = sides().await;
    let login = world.sign_in_bound("ada", "hallpass-cli").await;
    let owner = Owner::Person(grace);
    let before = told(&world, grace, &[owner]).await.len();
    for _ in 0..3 {
        let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
        ends(&world, &pass.access, &["leaked: leaked"]).await;
    }
    assert_eq!(told(&world, grace, &[owner]).await.len(), before + 1);
    world.clock.advance(Lifetime::hours(1));
    let login = world.refresh(&login).await.unwrap();
    let pass = world.exchange(&login, &[("resource", NOTES)]).await.unwrap();
    ends(&world, &pass.access, &["leaked: leaked"]).await;
    assert_eq!(told(&world, grace, &[owner]).await.len(), before + 2);
}

/// No answer comes sooner than another: the time that a commit takes tells nobody which are alive.
#[tokio::test]
async fn no_answer_comes_before_its_time() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let mut answers = Vec::new();
    let unknown = render(Prefix::ApiKey, &[9; 20]);
    for token in [login.refresh.as_str(), &unknown, login.refresh.as_str(), &login.access] {
        let asked = Instant::now();
        let reply = report(&world, token).await;
        assert!(asked.elapsed() >= Duration::from_millis(250), "{:?}", asked.elapsed());
        let mut headers: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        answers.push(headers);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// Where it was found is told to whoever answers for it, and never holds the credential that it is about.
#[tokio::test]
async fn where_it_was_found_is_kept_as_text_from_anybody() {
    let works = api_keys::Works::new().await;
    let world = &works.world;
    let login = world.sign_in("ada", "hallpass-cli").await;
    for secret in [&works.secret, &login.access, &login.refresh] {
        let from = world.ledger_size().await;
        // A chat puts characters into it that nobody sees.
        let (kind, rest) = secret.split_at(4);
        let found = format!(
            "https://git.example/a/b#L3\u{202e}\n\u{1b}[2J TOKEN={kind}\u{200b}{rest};{}",
            "x".repeat(9_000)
        );
        // A file's line has an end.
        let token = format!("{secret}\n");
        let reply = world.post("leaked", &[("token", &token), ("found", &found)]).await;
        assert_eq!(reply.status, 204);
        let kept = world.store.list_ledger(&Filter::default(), from, 10).await.unwrap().items.remove(0);
        let remark =
            kept.personal.as_ref().unwrap().find(hallpass_model::ledger::Field::Remark).unwrap().to_owned();
        assert!(remark.starts_with("https://git.example/a/b#L3 [2J TOKEN="), "{remark}");
        assert!(remark.contains("…;x") && remark.chars().count() == 200, "{remark}");
        assert!(!remark.contains(&secret[4..20]), "{remark}");
    }
}

/// The page does what the endpoint does, and is no way around its limits.
#[tokio::test]
async fn somebody_with_a_browser_alone_reports_on_a_page() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let mut finder = world.visitor();
    let page = finder.get("/acme/report").await;
    assert_eq!(page.status, 200);
    let from = world.ledger_size().await;
    for wrong in ["", "x", &login.refresh[..30], &login.refresh.replace("hpr_", "hpk_")] {
        let reply = finder.post("/acme/report", &[("token", wrong)]).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(wrong.len() < 2 || !reply.body.contains(wrong));
    }
    let token = format!(" {}\n", login.refresh);
    let forged = world.visitor().post("/acme/report", &[("token", &token)]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let elsewhere = finder.post_from("https://evil.example", "/acme/report", &[("token", &token)]).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN);
    assert_eq!(world.ledger_size().await, from);

    let asked = Instant::now();
    let first = finder.post("/acme/report", &[("token", &token), ("found", "a chat")]).await;
    assert_eq!(world.ledger_from(from).await, ["leaked: leaked"]);
    assert!(asked.elapsed() >= Duration::from_millis(250));
    assert!(world.refresh(&login).await.is_err());
    let from = world.ledger_size().await;
    let again = finder.post("/acme/report", &[("token", &token)]).await;
    let unknown = render(Prefix::ApiKey, &[9; 20]);
    let never = finder.post("/acme/report", &[("token", &unknown)]).await;
    assert_eq!(world.ledger_size().await, from);
    assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
    assert_eq!(first.body, never.body, "nothing says which was alive");
}

#[tokio::test]
async fn one_network_reports_so_many_a_minute() {
    let world = World::new().await;
    let unknown = render(Prefix::ApiKey, &[9; 20]);
    let mut answers = Vec::new();
    for _ in 0..7 {
        // No more at once than one network may have connections.
        let form = [("token", unknown.as_str())];
        let reports = (0..100).map(|_| world.post("leaked", &form));
        answers
            .extend(futures_util::future::join_all(reports).await.iter().map(|reply| reply.status.as_u16()));
    }
    let taken = answers.iter().filter(|status| **status == 204).count();
    // Ten come back with each second that goes by.
    assert!((600..690).contains(&taken), "{taken}");
    assert_eq!(answers.iter().filter(|status| **status == 429).count(), answers.len() - taken);
}
