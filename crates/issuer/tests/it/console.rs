//! The console: who sees and does what in it, what it never shows, and the picture of what came of what.

use std::collections::HashMap;

use hallpass_issuer::{ConsoleLine, console_lines};
use hallpass_model::agent::{AgentKind, Budget};
use hallpass_model::client::ClientKind;
use hallpass_model::jose::SigningKey;
use hallpass_model::ledger::Proof;
use hallpass_model::lifetimes::RECENT_LOGIN;
use hallpass_model::principal::Owner;
use hallpass_model::role::TeamRole;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{
    AddClient, AddPerson, AddTeam, LinkPurpose, OwnedId, RegisterAgent, SetTeamRole, TeamRoleSet,
    TransferOwned, Which,
};
use hallpass_testkit::client::{Reply, Tokens, encode};
use hallpass_testkit::world::{ALL_SCOPES, NOTES};
use hallpass_testkit::{Visitor, World};
use http::StatusCode;
use serde_json::Value;

mod client_lineage;
mod hints;
mod migrating;
mod registration;
mod resting;
mod weighing;

/// Text a stranger may choose.
const HOSTILE: &str = "\"><script>alert(1)</script><b onmouseover=x>";

/// Grace, in a team `graces` of this role.
async fn grace_as(world: &World, role: Option<TeamRole>) -> Visitor<'_> {
    let grace = world.add_person("grace").await;
    let team = AddTeam { org: world.org, handle: "graces".parse().unwrap(), members: vec![grace] };
    let team = world.change(team).await.unwrap();
    assert_eq!(world.change(SetTeamRole { org: world.org, team, role }).await, TeamRoleSet::Done);
    world.visitor_as(grace).await
}

/// Posts what a form of this page asks.
async fn post(visitor: &mut Visitor<'_>, page: &str, form: &[(&str, &str)]) -> Reply {
    if visitor.csrf.is_empty() || visitor.get("/acme/admin").await.status != StatusCode::OK {
        visitor.get("/acme/sessions").await;
    }
    visitor.post(&format!("/acme/admin/{page}"), form).await
}

/// The same, where it must have been done.
async fn done(visitor: &mut Visitor<'_>, page: &str, form: &[(&str, &str)]) -> String {
    let reply = post(visitor, page, form).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{form:?}: {}", reply.body);
    reply.header("location").unwrap().to_owned()
}

async fn add_trust_and_key(world: &World, ada: &mut Visitor<'_>) {
    world.add_service("worker", &SigningKey::generate(), "notes:read").await;
    let client = [("do", "add"), ("handle", "deployer"), ("kind", "ci"), ("owner", "person:ada")];
    done(ada, "clients", &client).await;
    let trust = [
        ("do", "add"),
        ("handle", "github"),
        ("client", "deployer"),
        ("preset", "github"),
        ("environment", "prod"),
        ("when", "repository_owner_id=1\r\nrepository_id=2\r\nref=refs/heads/main"),
    ];
    done(ada, "trusts", &trust).await;
    let key = [
        ("do", "add"),
        ("handle", "nightly"),
        ("client", "worker"),
        ("scopes", "notes:read"),
        ("resources", NOTES),
    ];
    let made = post(ada, "keys", &key).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
}

/// Bob, who administers an org of his own, `other`.
async fn bob_of_other(world: &World) -> Visitor<'_> {
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
    bob
}

/// Which roles the description of the HTTP API gives each verb.
async fn roles_of_verbs(world: &World) -> HashMap<String, Vec<String>> {
    let described = world.get("api/admin/openapi.json").await.json();
    let roles = |about: &Value| {
        let roles = about["post"]["x-roles"].as_array().unwrap().clone();
        roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect()
    };
    let paths = described["paths"].as_object().unwrap();
    paths.iter().map(|(path, about)| (path[1..].to_owned(), roles(about))).collect()
}

/// Walks the console's own table, against what the other way in says of each verb.
#[tokio::test]
async fn each_role_sees_and_does_what_the_table_of_roles_gives_it_and_nothing_else() {
    for (role, team) in [
        ("administrator", None),
        ("responder", Some(TeamRole::Responder)),
        ("auditor", Some(TeamRole::Auditor)),
        ("person", None),
    ] {
        let world = World::new().await;
        let mut ada = world.visitor_as(world.ada).await;
        add_trust_and_key(&world, &mut ada).await;
        world.visitor_as(world.add_person("linus").await).await;
        let spare = AddTeam { org: world.org, handle: "spares".parse().unwrap(), members: vec![] };
        world.change(spare).await.unwrap();
        let session = world.sign_in("linus", "hallpass-cli").await.session().to_string();
        let roles = roles_of_verbs(&world).await;
        let mut visitor = grace_as(&world, team).await;
        if role == "administrator" {
            visitor = ada;
        }
        let front = visitor.get("/acme/admin").await;
        assert_eq!(front.status == StatusCode::OK, role != "person", "{role}");
        for ConsoleLine { page, action, verb } in console_lines() {
            let may = roles[verb].iter().any(|may| may == role);
            let of = match page {
                "people" => "linus",
                "teams" => "spares",
                "clients" => "notes-api",
                "resources" => NOTES,
                "trusts" => "github",
                "keys" => "nightly",
                "lineage" => session.as_str(),
                _ => "",
            };
            let query = encode(&[("of", of)]);
            let Some(action) = action else {
                let path = match page {
                    "lineage" => format!("/acme/admin/{page}?{query}"),
                    page => format!("/acme/admin/{page}"),
                };
                let seen = visitor.get(&path).await;
                assert_eq!(seen.status == StatusCode::OK, may, "{role}: {path}: {}", seen.body);
                // A tab, or the form that asks whose lineage is to be drawn.
                let tab = format!("=\"/acme/admin/{page}\"");
                assert_eq!(front.body.contains(&tab), may, "{role}: {tab}");
                continue;
            };
            let refused = |reply: &Reply| {
                reply.status == StatusCode::FORBIDDEN
                    && (reply.body.contains("You may not do that here")
                        || reply.body.contains("There is nothing here for you"))
            };
            let asked = visitor.get(&format!("/acme/admin/{page}?{query}&do={action}&which=none")).await;
            assert_eq!(!refused(&asked), may, "{role}: {page} {action}: {} {}", asked.status, asked.body);
            let tried = post(&mut visitor, page, &[("do", action), ("of", of), ("which", "none")]).await;
            assert_eq!(!refused(&tried), may, "{role}: {page} {action}: {} {}", tried.status, tried.body);
            assert!(!tried.status.is_server_error(), "{role}: {page} {action}: {}", tried.body);
            if !may && role != "person" {
                assert!(tried.body.contains("takes the role"), "who may is said: {}", tried.body);
            }
        }
    }
}

#[tokio::test]
async fn an_owner_sees_what_they_answer_for_and_runs_it_and_nothing_besides() {
    let world = World::new().await;
    let mut grace = grace_as(&world, None).await;
    assert!(!grace.get("/acme/sessions").await.body.contains("/acme/admin"), "there is nothing for her yet");
    let team = world.store.find_team_by_handle(world.org, "graces").await.unwrap().unwrap();
    let which = Which::These(vec![OwnedId::Client(world.notes_api)]);
    world.change(TransferOwned { org: world.org, which, to: Owner::Team(team.id) }).await.unwrap();

    assert!(grace.get("/acme/sessions").await.body.contains("href=\"/acme/admin\""));
    let front = grace.get("/acme/admin").await.body;
    assert!(front.contains("href=\"/acme/admin/owned\"") && !front.contains("/acme/admin/people"), "{front}");
    let owned = grace.get("/acme/admin/owned").await.body;
    assert!(owned.contains("href=\"/acme/admin/clients?of=notes-api\""), "{owned}");
    let page = grace.get("/acme/admin/clients?of=notes-api").await.body;
    assert!(page.contains("do=add-keys") && page.contains("do=disable"), "{page}");
    assert!(!page.contains("do=environment") && !page.contains("do=transfer"), "no owner widens: {page}");
    for path in ["clients", "clients?of=hallpass-cli", "people", "ledger", "lineage?of=x", "org"] {
        let refused = grace.get(&format!("/acme/admin/{path}")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let widened = [("do", "environment"), ("of", "notes-api"), ("environment", "")];
    assert_eq!(post(&mut grace, "clients", &widened).await.status, StatusCode::FORBIDDEN);
    let jwks = serde_json::json!({ "keys": [SigningKey::generate().public()] }).to_string();
    done(&mut grace, "clients", &[("do", "add-keys"), ("of", "notes-api"), ("jwks", &jwks)]).await;
    done(&mut grace, "clients", &[("do", "disable"), ("of", "notes-api")]).await;
    let client = world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
    assert!(!client.standing.is_active());
}

#[tokio::test]
async fn administrators_alone_see_and_change_the_people() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let mut grace_s = world.visitor_as(grace).await;
    assert_eq!(grace_s.get("/acme/admin/people").await.status, StatusCode::FORBIDDEN);
    grace_s.get("/acme/sessions").await;
    for act in ["link", "disable", "end", "remove-passkey", "add"] {
        let refused = grace_s.post("/acme/admin/people", &[("do", act), ("of", "ada")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{act}");
    }

    let mut ada = world.visitor_as(world.ada).await;
    ada.get("/acme/admin/people").await;
    let added =
        ada.post("/acme/admin/people", &[("do", "add"), ("name", "Linus"), ("handle", "linus")]).await;
    let link = added
        .body
        .split("/acme/enrol#")
        .nth(1)
        .expect("the link is shown")
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    for path in ["/acme/admin/people", "/acme/admin/people?of=linus"] {
        let page = ada.get(path).await;
        assert!(page.body.contains("Linus") && !page.body.contains(&link), "it is shown once: {path}");
    }
    assert_eq!(world.visitor().enrol("acme", &link).await.status, StatusCode::SEE_OTHER);

    let lost = world.store.list_passkeys(grace).await.unwrap()[0].id.to_string();
    let before = world.ledger_size().await;
    let remove = [("do", "remove-passkey"), ("of", "grace"), ("which", lost.as_str())];
    let removed = ada.post("/acme/admin/people", &remove).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.body);
    assert_eq!(world.ledger_from(before).await, ["removed: lost"]);
    assert_eq!(grace_s.log_in("acme", &[]).await.status, StatusCode::FORBIDDEN);

    let resource = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    let which = Which::These(vec![OwnedId::Resource(resource)]);
    world.change(TransferOwned { org: world.org, which, to: Owner::Person(grace) }).await.unwrap();
    let asked = ada.get("/acme/admin/people?of=grace&do=disable").await;
    assert!(asked.body.contains("suspended until somebody takes them over"), "{}", asked.body);
    let disabled = ada.post("/acme/admin/people", &[("do", "disable"), ("of", "grace")]).await;
    let done = disabled.header("location").unwrap_or_else(|| panic!("{}", disabled.body)).to_owned();
    assert!(done.ends_with("&done=disable&left=1"), "{done}");
    assert!(
        ada.get(&done).await.body.contains("suspended until somebody takes it over"),
        "what became of it is said"
    );
    let herself = ada.post("/acme/admin/people", &[("do", "disable"), ("of", "ada")]).await;
    assert_eq!(herself.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn an_administrator_of_one_org_reaches_nobody_of_another() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let run = begin_run(&world, &login, "coder", "Fix the build").await;
    let of_acme = world.ledger_size().await - 1;
    let mut bob = bob_of_other(&world).await;
    let (ada, session) = (world.ada.to_string(), login.session().to_string());
    let client = world.notes_api.to_string();
    for path in [
        "people?of=ada".to_owned(),
        format!("people?of={ada}"),
        "clients?of=notes-api".to_owned(),
        format!("clients?of={client}"),
        format!("resources?{}", encode(&[("of", NOTES)])),
        format!("lineage?of={session}"),
        format!("lineage?of={run}"),
        format!("lineage?of={ada}"),
        format!("ledger?proof={of_acme}"),
    ] {
        let seen = bob.get(&format!("/other/admin/{path}")).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND, "{path}: {}", seen.body);
    }
    let entries = bob.get(&format!("/other/admin/ledger?session={session}")).await;
    assert!(entries.body.contains("There is none."), "{}", entries.body);
    let before = world.ledger_size().await;
    for (page, action, of, which) in [
        ("people", "disable", "ada", ""),
        ("people", "end-session", "bob", session.as_str()),
        ("people", "end-run", "bob", run.as_str()),
        ("lineage", "session", session.as_str(), session.as_str()),
        ("lineage", "run", run.as_str(), run.as_str()),
        ("lineage", "person", ada.as_str(), ada.as_str()),
    ] {
        bob.get("/other/admin").await;
        let form = [("do", action), ("of", of), ("which", which)];
        let refused = bob.post(&format!("/other/admin/{page}"), &form).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{page} {action}: {}", refused.body);
    }
    assert_eq!(world.ledger_size().await, before);
    assert!(world.refresh(&login).await.is_ok());
}

#[tokio::test]
async fn a_forged_form_and_an_old_login_change_nothing() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    ada.get("/acme/admin").await;
    let csrf = ada.csrf.clone();
    let disable = [("csrf", csrf.as_str()), ("do", "disable"), ("of", "notes-api")];
    let forged = ada.post_from("https://evil.example", "/acme/admin/clients", &disable).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let tokenless = ada.form("/acme/admin/clients", &disable[1..]).header("origin", &world.base_url);
    assert_eq!(ada.send(tokenless).await.status, StatusCode::FORBIDDEN);
    // Nor by an address that is only opened.
    assert_eq!(ada.get("/acme/admin/clients?do=disable&of=notes-api").await.status, StatusCode::OK);

    world.clock.advance(RECENT_LOGIN);
    let page = "/acme/admin/clients?of=notes-api";
    assert_eq!(ada.get(page).await.status, StatusCode::OK, "looking wants no new login");
    let again = "/acme/login?to=admin&page=clients&of=notes-api&do=disable&again=1";
    let asked = ada.get("/acme/admin/clients?do=disable&of=notes-api").await;
    assert_eq!(asked.header("location"), Some(again), "before anything is typed");
    let tried = post(&mut ada, "clients", &[("do", "disable"), ("of", "notes-api"), ("x", "typed")]).await;
    assert_eq!(tried.header("location"), Some(again));
    let client = world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
    assert!(client.standing.is_active(), "nothing was changed by any of these");

    let target = [("to", "admin"), ("page", "clients"), ("of", "notes-api"), ("do", "disable")];
    let back = ada.log_in("acme", &target).await;
    assert_eq!(back.header("location"), Some("/acme/admin/clients?of=notes-api&do=disable"));
    done(&mut ada, "clients", &[("do", "disable"), ("of", "notes-api")]).await;
}

/// A run of this agent of Ada's, which holds a pass for the notes.
async fn begin_run(world: &World, login: &Tokens, agent: &str, purpose: &str) -> String {
    let register = RegisterAgent {
        org: world.org,
        person: world.ada,
        handle: agent.parse().unwrap(),
        kind: AgentKind::Coding,
        scopes: Scopes::parse("notes:read").unwrap(),
        longest: Lifetime::hours(1),
        budget: Budget::default(),
    };
    world.change(register).await;
    let asked = [("resource", NOTES), ("agent", agent), ("purpose", purpose), ("lease", "true")];
    world.exchange(login, &asked).await.unwrap();
    let runs = world.store.list_runs_of(world.ada, hallpass_model::time::Clock::now(&*world.clock)).await;
    runs.unwrap()[0].id.to_string()
}

#[tokio::test]
async fn what_strangers_wrote_stays_text_on_every_page() {
    let world = World::new().await;
    let name = HOSTILE.to_owned();
    let eve = AddPerson { org: world.org, handle: "eve".parse().unwrap(), name: name.clone() };
    world.change(eve).await.unwrap();
    world
        .add_client(AddClient {
            name,
            scopes: Scopes::parse(ALL_SCOPES).unwrap(),
            ..world.new_client("evil", ClientKind::Cli)
        })
        .await;
    let login = world.sign_in("ada", "evil").await;
    begin_run(&world, &login, "coder", HOSTILE).await;
    let mut ada = world.visitor_as(world.ada).await;
    let session = login.session().to_string();
    let mut shown = 0;
    for path in [
        "people",
        "people?of=eve",
        "people?of=ada",
        "people?of=eve&do=disable",
        "clients",
        "clients?of=evil",
        "clients?of=evil&do=transfer",
        "ledger",
        "ledger?event=run_started",
        &format!("lineage?of={session}"),
        &format!("people?of={}", encode(&[("", HOSTILE)]).trim_start_matches('=')),
        &format!("ledger?{}", encode(&[("client", HOSTILE)])),
        &format!("clients?{}", encode(&[("after", HOSTILE)])),
    ] {
        let page = ada.get(&format!("/acme/admin/{path}")).await.body;
        assert!(!page.contains("<script>alert") && !page.contains("<b onmouseover"), "{path}: {page}");
        shown += usize::from(page.contains("&#60;script&#62;alert(1)"));
    }
    assert!(shown >= 8, "it is shown, escaped: {shown}");
    let typed = [("do", "add"), ("handle", HOSTILE), ("kind", "cli"), ("owner", HOSTILE)];
    let back = post(&mut ada, "clients", &typed).await;
    assert_eq!(back.status, StatusCode::BAD_REQUEST);
    assert!(back.body.contains("&#60;script&#62;") && !back.body.contains("<script>alert"), "{}", back.body);
}

#[tokio::test]
async fn a_form_that_comes_back_says_why_and_keeps_what_was_typed_but_no_keys() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    let private = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"the-private-half"}]}"#;
    let typed = [
        ("do", "add"),
        ("handle", "ledgers"),
        ("name", "The Ledgers"),
        ("kind", "service"),
        ("owner", "team:nobodies"),
        ("scopes", "notes:read\r\nnotes:write"),
        ("jwks", private),
    ];
    let back = post(&mut ada, "clients", &typed).await;
    assert_eq!(back.status, StatusCode::NOT_FOUND);
    for kept in ["There is no team “nobodies”", "value=\"ledgers\"", "value=\"The Ledgers\"", "notes:write"]
    {
        assert!(back.body.contains(kept), "{kept}: {}", back.body);
    }
    assert!(back.body.contains("<option value=\"service\" selected>"), "{}", back.body);
    assert!(!back.body.contains("the-private-half"), "{}", back.body);
    let login = [
        ("do", "login"),
        ("issuer", "nowhere"),
        ("client_id", "hallpass"),
        ("client_secret", "the-provider-s-secret"),
    ];
    let back = post(&mut ada, "org", &login).await;
    assert!(back.status.is_client_error() && back.body.contains("value=\"hallpass\""), "{}", back.body);
    assert!(!back.body.contains("the-provider-s-secret"), "{}", back.body);
    let missing = post(&mut ada, "teams", &[("do", "add"), ("members", "ada")]).await;
    assert!(missing.body.contains("“Short name” is missing"), "{}", missing.body);
}

#[tokio::test]
async fn a_secret_is_shown_once_in_the_answer_that_makes_it_and_in_no_address() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    add_trust_and_key(&world, &mut ada).await;
    let until = (hallpass_model::time::Clock::now(&*world.clock) + Lifetime::days(20)).to_string();
    let billing = [
        ("do", "add"),
        ("handle", "billing"),
        ("kind", "service"),
        ("owner", "person:ada"),
        ("secrets_until", &until),
    ];
    done(&mut ada, "clients", &billing).await;
    for (page, form, prefix) in [
        ("clients", vec![("do", "rotate"), ("of", "billing")], "hps_"),
        ("keys", vec![("do", "rotate"), ("of", "nightly")], "hpk_"),
        ("people", vec![("do", "link"), ("of", "ada")], "/acme/enrol#"),
    ] {
        let made = post(&mut ada, page, &form).await;
        assert_eq!((made.status, made.header("location")), (StatusCode::OK, None), "{}", made.body);
        assert_eq!(made.header("cache-control"), Some("no-store"));
        let secret = made.body.split(prefix).nth(1).unwrap_or_else(|| panic!("{}", made.body));
        let secret = secret.split('<').next().unwrap();
        assert!(secret.len() > 20, "{secret}");
        let of = form[1].1;
        for path in [format!("{page}?of={of}"), page.to_owned(), "ledger".to_owned()] {
            let later = ada.get(&format!("/acme/admin/{path}")).await;
            assert_eq!(later.status, StatusCode::OK);
            assert!(!later.body.contains(secret), "{path}");
        }
    }
}

#[tokio::test]
async fn the_ledger_is_read_newest_first_found_in_and_proved() {
    let world = World::new().await;
    let mut ada = world.visitor_as(world.ada).await;
    for n in 0..60 {
        done(&mut ada, "teams", &[("do", "add"), ("handle", &format!("t{n}"))]).await;
    }
    let page = ada.get("/acme/admin/ledger").await.body;
    let (newest, older) = (page.find("t59").unwrap(), page.find("t58").unwrap());
    assert!(newest < older && !page.contains(">team t5<"), "the newest alone, first");
    let further = page.split("href=\"").find(|href| href.contains("before=")).unwrap();
    let further = further.split('"').next().unwrap().replace("&#38;", "&");
    let page = ada.get(&further).await.body;
    assert!(page.contains("team t2") && !page.contains("t59"), "{page}");

    done(&mut ada, "clients", &[("do", "disable"), ("of", "hallpass-cli")]).await;
    let page = ada.get("/acme/admin/ledger?client=hallpass-cli&event=disabled").await.body;
    assert!(page.contains("disabled") && !page.contains("team t"), "{page}");
    assert!(page.contains(&format!("href=\"/acme/admin/clients?of={}\"", world.cli)), "{page}");
    let named = ada.get(&format!("/acme/admin/clients?of={}", world.cli)).await;
    assert_eq!(named.header("location"), Some("/acme/admin/clients?of=hallpass-cli"));
    let wrong = ada.get("/acme/admin/ledger?client=nobody").await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);

    let proof = page.split("href=\"").find(|href| href.contains("proof=")).unwrap();
    let proof = ada.get(proof.split('"').next().unwrap()).await.body;
    let pre = |at: usize| {
        let text = proof.split("<pre class=\"copy\">").nth(at).unwrap().split("</pre>").next().unwrap();
        let plain = [("&#34;", "\""), ("&#38;", "&"), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">")];
        plain.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let Ok(Proof::Entry(proven)) = Proof::parse(&pre(1)) else { panic!("{proof}") };
    proven.verify(&world.store.ledger_verifier()).unwrap();
    assert_eq!(pre(2).trim(), world.store.ledger_verifier().to_string());
    assert!(String::from_utf8(proven.leaf.clone()).unwrap().contains("disabled"));
}

#[tokio::test]
async fn a_lineage_is_drawn_and_what_is_ended_in_it_takes_along_what_is_below() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let coder = begin_run(&world, &login, "coder", "Fix the build").await;
    let tester = begin_run(&world, &login, "tester", "Try it").await;
    let session = login.session().to_string();
    let mut ada = world.visitor_as(world.ada).await;
    for of in [&session, &coder, &tester, &world.ada.to_string()] {
        let page = ada.get(&format!("/acme/admin/lineage?of={of}")).await;
        assert_eq!(page.status, StatusCode::OK, "{of}: {}", page.body);
        assert_eq!(page.body.matches("class=\"node alive").count(), 6, "{of}: {}", page.body);
        assert_eq!(page.body.matches("class=\"edge\"").count(), 5);
        assert_eq!(page.body.matches(" asked\"").count(), 2, "{of}: in the picture and in the list");
        for said in ["Fix the build", "Try it", "coder", "tester", "Hallpass"] {
            assert!(page.body.contains(said), "{said}: {}", page.body);
        }
        assert!(!page.body.contains(" style="));
    }
    let asked = format!("/acme/admin/lineage?of={session}&do=run&which={coder}");
    let asked = ada.get(&asked).await;
    assert!(asked.body.contains("everything below it"), "{}", asked.body);
    assert!(asked.body.contains("<b>coder</b>"), "what is ended is named: {}", asked.body);
    done(&mut ada, "lineage", &[("do", "run"), ("of", &session), ("which", &coder)]).await;
    let page = ada.get(&format!("/acme/admin/lineage?of={session}")).await.body;
    assert_eq!(page.matches("class=\"node cut").count(), 1, "{page}");
    assert!(page.contains("cut: ended by administrator"), "{page}");
    assert!(world.refresh(&login).await.is_ok(), "what is above goes on");

    done(&mut ada, "lineage", &[("do", "session"), ("of", &session), ("which", &session)]).await;
    let page = ada.get(&format!("/acme/admin/lineage?of={session}")).await.body;
    assert_eq!(page.matches("class=\"node alive").count(), 1, "the person: {page}");
    assert!(world.refresh(&login).await.is_err());
    for of in ["ses_01h455vb4pex5vsknk084sn02q", "nonsense", ""] {
        let page = ada.get(&format!("/acme/admin/lineage?of={of}")).await;
        assert!(page.status.is_client_error(), "{of}");
    }
}

/// However much came of a session: the picture stays one.
#[tokio::test]
async fn a_lineage_is_drawn_up_to_so_many_nodes_and_says_that_there_is_more() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    for _ in 0..125 {
        world.exchange(&login, &[("resource", NOTES), ("lease", "true")]).await.unwrap();
    }
    let mut ada = world.visitor_as(world.ada).await;
    let page = ada.get(&format!("/acme/admin/lineage?of={}", login.session())).await.body;
    assert_eq!(page.matches("class=\"node alive").count(), 120);
    assert!(page.contains("There is more: this shows the newest 120"), "{page}");
}

#[tokio::test]
async fn everything_of_a_person_s_agents_ends_by_one_button_and_they_stay_logged_in() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    begin_run(&world, &login, "coder", "Fix the build").await;
    begin_run(&world, &login, "tester", "Try it").await;
    let mut rosa = grace_as(&world, Some(TeamRole::Responder)).await;
    let page = rosa.get("/acme/admin/people?of=ada").await.body;
    assert!(page.contains("Fix the build") && page.contains("do=retire-agent"), "{page}");
    done(&mut rosa, "people", &[("do", "end-runs"), ("of", "ada")]).await;
    let page = rosa.get("/acme/admin/people?of=ada").await.body;
    assert!(!page.contains("Fix the build") && page.contains("Nothing runs."), "{page}");
    done(&mut rosa, "people", &[("do", "retire-agent"), ("of", "ada"), ("which", "coder")]).await;
    assert!(rosa.get("/acme/admin/people?of=ada").await.body.contains("retired"));
    assert!(world.refresh(&login).await.is_ok());
}
