//! The administrators' API: the verbs of administration over HTTP, for who has a role in the org or answers for the thing.

use std::sync::Arc;

use hallpass_model::cut::{Place, Stamp};
use hallpass_model::id::{OrgId, PrincipalId};
use hallpass_model::jose::SigningKey;
use hallpass_model::principal::Owner;
use hallpass_model::role::{Act, TeamRole};
use hallpass_model::time::{Clock, Lifetime};
use hallpass_store::{
    AddTeam, ByRole, CameBy, ChangeTeamMembers, NotByRole, SetTeamRole, TeamRoleSet, TransferOwned, Which,
};
use hallpass_testkit::World;
use hallpass_testkit::client::{Reply, Tokens, encode};
use hallpass_testkit::world::NOTES;
use http::StatusCode;
use serde_json::{Value, json};

const ADMIN: &str = "openid notes:read hallpass:admin";

async fn ask(world: &World, by: &Tokens, verb: &str, question: Value) -> Reply {
    let request = world.http.post(world.at(&format!("api/admin/{verb}"))).json(&question);
    world.send(proven(world, by, verb, request)).await
}

fn proven(
    world: &World,
    by: &Tokens,
    verb: &str,
    request: reqwest::RequestBuilder,
) -> reqwest::RequestBuilder {
    match &by.key {
        Some(key) => {
            let proof =
                world.proof(key, "POST", &world.at(&format!("api/admin/{verb}")), None, Some(&by.access));
            request.header("authorization", format!("DPoP {}", by.access)).header("dpop", proof)
        }
        None => request.bearer_auth(&by.access),
    }
}

async fn sign_in(world: &World, person: &str, scope: &str) -> Tokens {
    world.sign_in_for(person, "hallpass-cli", &[NOTES], scope).await
}

/// A person in a team of this role.
async fn add_with_role(world: &World, handle: &str, role: Option<TeamRole>) -> PrincipalId {
    let person = world.add_person(handle).await;
    let team =
        AddTeam { org: world.org, handle: format!("{handle}s").parse().unwrap(), members: vec![person] };
    let team = world.change(team).await.unwrap();
    assert_eq!(world.change(SetTeamRole { org: world.org, team, role }).await, TeamRoleSet::Done);
    person
}

/// What the description says there is: each verb, the roles that may, and a question that can be read.
async fn described(world: &World) -> Vec<(String, Vec<String>, Value)> {
    let described = world.get("api/admin/openapi.json").await.json();
    let member = |schema: &Value| match schema["type"].as_str().or(schema["type"][0].as_str()) {
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("integer") => json!(1),
        Some("object") => json!({}),
        _ => json!("nothing"),
    };
    let verb = |(path, about): (&String, &Value)| {
        let about = &about["post"];
        let name = about["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = &described["components"]["schemas"][name.rsplit('/').next().unwrap()];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let question = required.iter().map(|name| {
            let name = name.as_str().unwrap();
            (name.to_owned(), member(&schema["properties"][name]))
        });
        let roles = about["x-roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_owned());
        (path[1..].to_owned(), roles.collect(), Value::Object(question.collect()))
    };
    described["paths"].as_object().unwrap().iter().map(verb).collect()
}

fn challenges(reply: &Reply) -> String {
    reply.headers.get_all("www-authenticate").iter().map(|one| one.to_str().unwrap()).collect()
}

fn is_of_no_role(reply: &Reply) -> bool {
    reply.status == StatusCode::FORBIDDEN && reply.body.contains("may not do that")
}

#[tokio::test]
async fn an_administrator_does_over_http_what_the_operator_does_and_the_ledger_names_them() {
    let world = World::new().await;
    let ada = world.sign_in_for_bound("ada", "hallpass-cli", ADMIN).await;
    let before = world.ledger_size().await;
    let added = ask(&world, &ada, "team.add", json!({ "handle": "platform", "members": ["ada"] })).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.body);
    assert_eq!(added.json()["members"], json!(["ada"]));
    let client = json!({ "handle": "deployer", "kind": "ci", "owner": "team:platform" });
    let client = ask(&world, &ada, "client.add", client).await;
    assert_eq!((client.status, &client.json()["owner"]), (StatusCode::OK, &json!("team:platform")));
    assert_eq!(world.ledger_from(before).await, ["registered", "changed", "registered"]);
    let told = ask(&world, &ada, "ledger.list", json!({ "event": "registered" })).await;
    let last: Value = serde_json::from_str(told.body.lines().last().unwrap()).unwrap();
    assert_eq!((&last["who"], &last["what"]), (&json!("ada"), &json!("client deployer")));

    let again = ask(&world, &ada, "team.add", json!({ "handle": "platform" })).await;
    assert_eq!((again.status, &again.json()["error"]), (StatusCode::CONFLICT, &json!("conflict")));
    let absent = ask(&world, &ada, "client.show", json!({ "handle": "nobody" })).await;
    assert_eq!((absent.status, &absent.json()["error"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let operators = ask(&world, &ada, "org.add", json!({ "name": "globex", "administrator": "hank" })).await;
    assert!(operators.body.contains("only the server's operator"), "{}", operators.body);
}

#[tokio::test]
async fn each_verb_is_for_the_roles_that_the_description_names_and_for_nobody_else() {
    let world = World::new().await;
    add_with_role(&world, "rosa", Some(TeamRole::Responder)).await;
    add_with_role(&world, "audrey", Some(TeamRole::Auditor)).await;
    add_with_role(&world, "grace", None).await;
    let verbs = described(&world).await;
    assert!(verbs.len() > 70, "{}", verbs.len());
    for (who, role) in
        [("grace", "person"), ("audrey", "auditor"), ("rosa", "responder"), ("ada", "administrator")]
    {
        for (verb, roles, question) in &verbs {
            world.clock.advance(Lifetime::minutes(2));
            let by = sign_in(&world, who, ADMIN).await;
            let reply = ask(&world, &by, verb, question.clone()).await;
            let may = roles.iter().any(|named| named == role || named == "person");
            assert_eq!(
                !is_of_no_role(&reply),
                may,
                "{who}: {verb} {question}: {} {}",
                reply.status,
                reply.body
            );
            assert_ne!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{who}: {verb}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn an_owner_runs_what_they_answer_for_alone_or_in_a_team_and_nothing_else() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let notes_api = world.store.find_client_by_handle(world.org, "notes-api").await.unwrap().unwrap();
    let team = AddTeam { org: world.org, handle: "notes".parse().unwrap(), members: vec![grace] };
    let team = world.change(team).await.unwrap();
    let own = sign_in(&world, "grace", ADMIN).await;
    let key = json!({ "handle": "notes-api", "jwks": { "keys": [SigningKey::generate().public()] } });
    let show = json!({ "handle": "notes-api" });
    for (verb, question) in [("client.show", &show), ("client.key.add", &key), ("client.disable", &show)] {
        assert!(is_of_no_role(&ask(&world, &own, verb, question.clone()).await), "{verb}");
    }
    assert_eq!(ask(&world, &own, "owner.list", json!({})).await.json(), json!([]));

    let which = Which::These(vec![hallpass_store::OwnedId::Client(notes_api.id)]);
    let transfer = TransferOwned { org: world.org, which, to: Owner::Team(team) };
    world.change(transfer).await.unwrap();
    for (verb, question) in [("client.show", &show), ("client.key.add", &key), ("client.disable", &show)] {
        let reply = ask(&world, &own, verb, question.clone()).await;
        assert_eq!(reply.status, StatusCode::OK, "{verb}: {}", reply.body);
    }
    let owned = ask(&world, &own, "owner.list", json!({})).await.json();
    assert_eq!((&owned[0]["thing"], &owned[0]["owner"]), (&json!("client:notes-api"), &json!("team:notes")));
    for verb in ["client.enable", "client.environment", "client.fapi", "client.require"] {
        let question = json!({ "handle": "notes-api", "fapi": true });
        let question = if verb == "client.fapi" { question } else { show.clone() };
        assert!(is_of_no_role(&ask(&world, &own, verb, question).await), "{verb}: no owner widens");
    }
    let others = ask(&world, &own, "client.show", json!({ "handle": "hallpass-cli" })).await;
    assert!(is_of_no_role(&others), "{}", others.body);
    let hers = ask(&world, &own, "owner.list", json!({ "owner": "person:ada" })).await;
    assert_eq!(hers.status, StatusCode::FORBIDDEN, "{}", hers.body);
}

#[tokio::test]
async fn a_token_looks_by_one_scope_and_changes_by_another_and_by_none_does_neither() {
    let world = World::new().await;
    for (scope, looks, changes) in [
        ("openid notes:read", 403, 403),
        ("openid hallpass:read", 200, 403),
        ("openid hallpass:admin", 200, 200),
    ] {
        let by = sign_in(&world, "ada", scope).await;
        let looked = ask(&world, &by, "team.list", json!({})).await;
        let handle = format!("t{changes}{looks}");
        let changed = ask(&world, &by, "team.add", json!({ "handle": handle })).await;
        assert_eq!(
            (looked.status.as_u16(), changed.status.as_u16()),
            (looks, changes),
            "{scope}: {}",
            changed.body
        );
        if changes == 403 {
            assert_eq!(changed.json()["error"], "insufficient_scope");
            assert!(challenges(&changed).contains("insufficient_scope"));
        }
    }
    // A pass for an API is none for the issuer, whatever it may do there.
    let by = sign_in(&world, "ada", ADMIN).await;
    let pass = world.exchange(&by, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(ask(&world, &pass, "team.list", json!({})).await.status, StatusCode::UNAUTHORIZED);
    // No client asks for it that is not a person's own tool, or registered for it.
    let other = world.new_client("other", hallpass_model::client::ClientKind::Cli);
    world.add_client(other).await;
    let asked = world.start_device("other", &[("scope", "openid hallpass:admin")]).await;
    assert_eq!(asked.refused().code.to_string(), "invalid_scope");
    // Nor is it a resource's to define.
    let defined = json!({ "url": "https://evil.example", "owner": "person:ada", "environment": "dev", "scopes": ["hallpass:admin"] });
    let defined = ask(&world, &by, "resource.add", defined).await;
    assert_eq!(defined.status, StatusCode::FORBIDDEN, "{}", defined.body);
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_key_nor_an_agent_s_nor_a_client_s_own() {
    let world = World::new().await;
    let ada = world.sign_in_for_bound("ada", "hallpass-cli", ADMIN).await;
    assert_eq!(ask(&world, &ada, "team.list", json!({})).await.status, StatusCode::OK);
    let stolen = Tokens { key: None, ..ada.clone() };
    let other = Tokens { key: Some(Arc::new(SigningKey::generate())), ..ada.clone() };
    for thief in [stolen, other] {
        assert_eq!(ask(&world, &thief, "team.list", json!({})).await.status, StatusCode::UNAUTHORIZED);
    }
    let replayed = {
        let proof = world.proof(
            ada.key.as_ref().unwrap(),
            "POST",
            &world.at("api/admin/team.list"),
            None,
            Some(&ada.access),
        );
        let request = world.http.post(world.at("api/admin/team.add")).json(&json!({ "handle": "x" }));
        world
            .send(request.header("authorization", format!("DPoP {}", ada.access)).header("dpop", proof))
            .await
    };
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED, "a proof for looking is none for changing");

    let by = sign_in(&world, "ada", ADMIN).await;
    let agent = world.http.post(world.at("api/agents")).bearer_auth(&by.access);
    let form = encode(&[("name", "coder"), ("scope", "notes:read hallpass:admin")]);
    world.send(agent.header("content-type", "application/x-www-form-urlencoded").body(form)).await;
    let issuer = world.issuer_url.clone();
    let run = [("resource", issuer.as_str()), ("agent", "coder"), ("purpose", "take over")];
    if let Ok(run) = world.exchange(&by, &run).await {
        let reply = ask(&world, &run, "team.list", json!({})).await;
        assert!(reply.status.is_client_error(), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_change_takes_a_login_of_that_day_and_looking_does_not() {
    let world = World::new().await;
    let by = sign_in(&world, "ada", ADMIN).await;
    world.clock.advance(Lifetime::hours(8) + Lifetime::seconds(1));
    let by = world.refresh_with(&by, &[("resource", &world.issuer_url)]).await.unwrap();
    assert_eq!(ask(&world, &by, "team.list", json!({})).await.status, StatusCode::OK);
    let late = ask(&world, &by, "team.add", json!({ "handle": "late" })).await;
    assert_eq!(
        (late.status, &late.json()["error"]),
        (StatusCode::UNAUTHORIZED, &json!("insufficient_user_authentication"))
    );
    assert!(challenges(&late).contains("max_age=28800"), "{:?}", late.headers);
}

#[tokio::test]
async fn nothing_of_another_org_is_seen_or_changed() {
    let world = World::new().await;
    let (globex, hank) = world.add_org("globex").await;
    let before = world.ledger_size().await;
    let by = sign_in(&world, "ada", ADMIN).await;
    for (verb, question) in [
        ("team.list", json!({ "org": "globex" })),
        ("org.show", json!({ "org": "globex" })),
        ("ledger.list", json!({ "org": "globex" })),
        ("cut", json!({ "org": "globex", "axis": "org", "id": globex.to_string() })),
    ] {
        let reply = ask(&world, &by, verb, question).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{verb}: {}", reply.body);
    }
    for (axis, id) in [("org", globex.to_string()), ("principal", hank.to_string())] {
        let reply = ask(&world, &by, "cut", json!({ "axis": axis, "id": id })).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{axis}: {}", reply.body);
    }
    let told = ask(&world, &by, "ledger.list", json!({})).await;
    assert!(!told.body.contains(&globex.to_string()) && told.body.contains("\"issued\""), "{}", told.body);
    let its = ask(&world, &by, "ledger.list", json!({ "principal": hank.to_string() })).await;
    assert_eq!(its.body, "");
    let own_org = entry_of(&world, world.org, before).await;
    let proven = ask(&world, &by, "ledger.prove", json!({ "entry": own_org })).await;
    assert_eq!(proven.status, StatusCode::OK, "{}", proven.body);
    let foreign =
        ask(&world, &by, "ledger.prove", json!({ "entry": entry_of(&world, globex, 0).await })).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{}", foreign.body);
}

async fn entry_of(world: &World, org: OrgId, from: u64) -> u64 {
    let filter = hallpass_store::Filter { org: Some(org), ..Default::default() };
    world.store.list_ledger(&filter, from, 1).await.unwrap().items[0].seq
}

/// Whoever was taken out of a role, or had everything ended, changes nothing by a request that was on its way.
#[tokio::test]
async fn a_change_that_is_on_its_way_when_its_role_or_its_token_ends_does_not_come_about() {
    let world = World::new().await;
    let grace = world.add_person("grace").await;
    let org = world.store.find_org(world.org).await.unwrap().unwrap();
    let join =
        ChangeTeamMembers { org: world.org, team: org.administrators, joining: vec![grace], leaving: vec![] };
    world.change(join).await;
    let by = sign_in(&world, "grace", ADMIN).await;
    assert_eq!(ask(&world, &by, "team.add", json!({ "handle": "first" })).await.status, StatusCode::OK);
    let place = Place {
        org: world.org,
        principal: Some(grace),
        client: world.store.find_client_by_handle(world.org, "hallpass-cli").await.unwrap().unwrap().id,
        device: None,
        session: Some(by.session()),
        credentials: Vec::new(),
        acting: None,
        stamp: Stamp(world.clock.now().millis()),
    };
    let late = |handle: &str| ByRole {
        org: world.org,
        person: grace,
        came_by: CameBy::Token(place.clone()),
        act: Some(Act::RunDirectory),
        change: AddTeam { org: world.org, handle: handle.parse().unwrap(), members: vec![] },
    };
    assert!(world.change(late("second")).await.unwrap().is_ok());
    let leave =
        ChangeTeamMembers { org: world.org, team: org.administrators, joining: vec![], leaving: vec![grace] };
    world.change(leave.clone()).await;
    assert_eq!(world.change(late("third")).await, Err(NotByRole::Role));
    let join = ChangeTeamMembers { joining: vec![grace], leaving: vec![], ..leave };
    world.change(join).await;
    world.revoke(&by.refresh, "hallpass-cli").await;
    assert_eq!(world.change(late("fourth")).await, Err(NotByRole::Over));
    assert_eq!(ask(&world, &by, "team.list", json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bad_questions_are_told_what_is_wrong_and_lists_come_in_pages() {
    let world = World::new().await;
    let by = sign_in(&world, "ada", ADMIN).await;
    let long = "a".repeat(300_000);
    let deep = "[".repeat(100_000);
    let url = world.at("api/admin/team.add");
    for (kind, body, status) in [
        ("application/json", "", 400),
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", r#"[null, "x", []]"#, 400),
        ("application/json", r#"{"handle":"x","handle":"y"}"#, 400),
        ("application/json", r#"{"handle":1}"#, 400),
        ("application/json", r#"{"handle":"x","colour":"red"}"#, 400),
        ("application/json", r#"{"handle":"X y"}"#, 400),
        ("application/json", &long, 413),
        ("application/json", &deep, 400),
        ("text/plain", r#"{"handle":"x"}"#, 415),
        ("application/x-www-form-urlencoded", "handle=x", 415),
    ] {
        let request =
            world.http.post(&url).header("content-type", kind).body(body.to_owned()).bearer_auth(&by.access);
        let reply = world.send(request).await;
        assert_eq!(reply.status.as_u16(), status, "{kind} {body:.40}: {}", reply.body);
        assert!(!reply.json()["error"].as_str().unwrap().is_empty());
    }
    let query = world.http.post(format!("{url}?handle=x")).json(&json!({})).bearer_auth(&by.access);
    assert_eq!(world.send(query).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&world, &by, "team.burn", json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("api/admin/team.add").await.status, StatusCode::METHOD_NOT_ALLOWED);

    for n in 0..5 {
        ask(&world, &by, "team.add", json!({ "handle": format!("t{n}") })).await;
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = ask(&world, &by, "team.list", json!({ "after": after, "limit": 2 })).await.json();
        let page = page.as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = last["handle"].clone();
        seen.extend(page.iter().map(|team| team["handle"].as_str().unwrap().to_owned()));
    }
    assert_eq!(seen, ["administrators", "t0", "t1", "t2", "t3", "t4"]);
}
