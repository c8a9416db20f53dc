//! Agents: a run acts for its person and as itself, has no more than either may, and ends in many ways.

use hallpass_model::agent::CHAIN_MAX;
use hallpass_model::id::CredentialId;
use hallpass_model::ledger::Key;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::agents::{AgentLine, AgentsList, RunLine, RunsEnded};
use hallpass_model::wire::errors::ErrorCode;
use hallpass_store::Filter;
use hallpass_testkit::client::{Refused, Reply, encode};
use hallpass_testkit::world::NOTES;
use hallpass_testkit::{Tokens, World};
use http::StatusCode;

/// A person's tool, as it speaks of agents.
async fn say(world: &World, login: &Tokens, path: &str, form: &[(&str, &str)]) -> Reply {
    let request = world.http.post(world.at(path)).bearer_auth(&login.access).body(encode(form));
    world.send(request.header("content-type", "application/x-www-form-urlencoded")).await
}

async fn register(world: &World, login: &Tokens, form: &[(&str, &str)]) -> AgentLine {
    let reply = say(world, login, "api/agents", form).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    serde_json::from_value(reply.json()).unwrap()
}

/// An agent that may read notes.
async fn reader(world: &World, login: &Tokens) -> AgentLine {
    register(world, login, &[("name", "coder"), ("kind", "coding"), ("scope", "notes:read")]).await
}

async fn list(world: &World, login: &Tokens) -> AgentsList {
    let reply = world.send(world.http.get(world.at("api/agents")).bearer_auth(&login.access)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    serde_json::from_value(reply.json()).unwrap()
}

async fn begin(world: &World, subject: &Tokens, agent: &str) -> Result<Tokens, Refused> {
    world.exchange(subject, &[("resource", NOTES), ("agent", agent), ("purpose", "fix a bug")]).await
}

/// A token of a new run for the issuer itself: what starts another.
async fn begin_here(world: &World, subject: &Tokens, agent: &str) -> Result<Tokens, Refused> {
    let form = [("resource", world.issuer_url.as_str()), ("agent", agent), ("purpose", "ask another")];
    world.exchange(subject, &form).await
}

async fn go_on(world: &World, subject: &Tokens, run: &str) -> Result<Tokens, Refused> {
    world.exchange(subject, &[("resource", NOTES), ("run", run)]).await
}

fn run_of(pass: &Tokens) -> String {
    pass.claims().act.expect("somebody acts").run.expect("in a run")
}

/// What the ledger has of a run since a login.
async fn entries_about(world: &World, login: &Tokens, run: &str) -> Vec<&'static str> {
    let page = world.store.list_ledger(&Filter::default(), login.ledger, 1_000).await.unwrap();
    let entries = page.items.iter().map(|row| row.entry().unwrap());
    let about = entries.filter(|entry| entry.detail.find(&Key::RUN).is_some_and(|id| id.to_string() == run));
    about.map(|entry| entry.event.text()).collect()
}

#[tokio::test]
async fn a_run_acts_for_its_person_as_itself_wherever_its_pass_is_looked_at() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    let agent = register(&world, &login, &[("name", "coder"), ("scope", "notes:read openid")]).await;
    let pass = begin(&world, &login, "coder").await.unwrap();

    let (claims, subject) = (pass.claims(), login.claims());
    let act = claims.act.clone().unwrap();
    let run = run_of(&pass);
    assert_eq!((claims.sub, claims.sid), (subject.sub.clone(), subject.sid), "the person, and their session");
    assert_eq!((act.sub.clone(), act.depth()), (agent.id.to_string(), 1));
    assert_eq!(claims.lin, [subject.jti, run.clone()], "the run is an ancestor");
    assert_eq!(claims.scope.to_string(), "notes:read");
    assert_eq!(claims.purpose.as_deref(), Some("fix a bug"));

    let said = world.introspect(&pass.access).await;
    assert_eq!(
        (&said["act"]["sub"], &said["act"]["run"]),
        (&agent.id.to_string().into(), &run.clone().into())
    );
    let here = world
        .exchange(&login, &[("resource", &world.issuer_url), ("run", &run)])
        .await
        .expect("its person's tool may ask for it again");
    let info = world.send(world.http.get(world.at("userinfo")).bearer_auth(&here.access)).await.json();
    assert_eq!((&info["sub"], &info["act"]["run"]), (&subject.sub.into(), &run.clone().into()));

    let about = entries_about(&world, &login, &run).await;
    assert_eq!(about, ["run_started", "exchanged", "exchanged"]);
    let [line] = &list(&world, &login).await.runs[..] else { panic!("one run") };
    assert_eq!((line.agent.as_str(), line.purpose.as_str()), ("coder", "fix a bug"));
    assert_eq!((line.used.tokens, line.used.exchanges, line.used.resources), (2, 2, 1));
}

#[tokio::test]
async fn a_run_has_no_more_than_its_agent_may_and_its_person_has() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    register(&world, &login, &[("name", "coder"), ("scope", "notes:read admin:all"), ("longest", "60")])
        .await;
    let form = [("resource", NOTES), ("scope", "notes:write"), ("agent", "coder"), ("purpose", "more")];
    let refused = world.exchange(&login, &form).await.unwrap_err();
    assert_eq!((refused.code, refused.rule.as_deref()), (ErrorCode::InvalidScope, Some("agent_scope")));
    let elsewhere = [("resource", "https://nowhere.example/"), ("agent", "coder"), ("purpose", "more")];
    assert_eq!(world.exchange(&login, &elsewhere).await.unwrap_err().code, ErrorCode::InvalidTarget);
    assert!(list(&world, &login).await.runs.is_empty(), "what was told no has not begun");
    assert!(!world.ledger_since(&login).await.iter().any(|entry| entry.starts_with("run_started")));
    let form = [("resource", NOTES), ("scope", "admin:all"), ("agent", "coder"), ("purpose", "more")];
    assert_eq!(world.exchange(&login, &form).await.unwrap_err().code, ErrorCode::InvalidScope);
    let pass = begin(&world, &login, "coder").await.unwrap();
    assert_eq!((pass.scope.as_str(), pass.expires_in), ("notes:read", 60), "and no longer than its run");
    // Nor does a narrower token of the person's give more to an agent than it has itself.
    let narrow =
        world.exchange(&login, &[("resource", &world.issuer_url), ("scope", "openid")]).await.unwrap();
    assert_eq!(begin(&world, &narrow, "coder").await.unwrap_err().code, ErrorCode::InvalidScope);
    world.clock.advance(Lifetime::seconds(61));
    let login = world.refresh(&login).await.unwrap();
    let refused = go_on(&world, &login, &run_of(&pass)).await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("run_over"));
}

/// Over its budget an agent gets nothing before its person says so, and it cannot say so itself.
#[tokio::test]
async fn a_run_over_its_budget_waits_for_its_person() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    world.add_resource("https://mail.example/", "mail:send", None).await;
    let form = [("name", "coder"), ("scope", "notes:read openid"), ("tokens", "2"), ("exchanges", "5")];
    register(&world, &login, &form).await;
    let here = begin_here(&world, &login, "coder").await.unwrap();
    let run = run_of(&here);
    go_on(&world, &login, &run).await.unwrap();
    for _ in 0..2 {
        let refused = go_on(&world, &login, &run).await.unwrap_err();
        assert_eq!((refused.code, refused.rule.as_deref()), (ErrorCode::AccessDenied, Some("budget_tokens")));
    }
    let [line] = &list(&world, &login).await.runs[..] else { panic!("one run") };
    assert_eq!(line.spent.map(|spent| spent.text()), Some("tokens"));

    // SECURITY: with the run's own token nothing is decided.
    for (path, form) in [
        ("api/runs/continue", vec![("run", run.as_str())]),
        ("api/agents", vec![("name", "coder"), ("scope", "notes:write")]),
        ("api/runs/end", vec![("all", "true")]),
        ("api/agents/retire", vec![("agent", "coder")]),
    ] {
        let reply = say(&world, &here, path, &form).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path} {}", reply.body);
    }
    assert_eq!(go_on(&world, &login, &run).await.unwrap_err().rule.as_deref(), Some("budget_tokens"));
    let reply = say(&world, &login, "api/runs/continue", &[("run", &run)]).await;
    let line: RunLine = serde_json::from_value(reply.json()).unwrap();
    assert_eq!((line.budget.tokens, line.budget.exchanges, line.spent), (4, 10, None));
    go_on(&world, &login, &run).await.unwrap();

    // A loop that is told no runs out of requests.
    let elsewhere = [("resource", "https://mail.example/"), ("run", run.as_str())];
    let mut rules = Vec::new();
    for _ in 0..7 {
        rules.push(world.exchange(&login, &elsewhere).await.unwrap_err().rule);
    }
    assert_eq!(rules.last().unwrap().as_deref(), Some("budget_exchanges"), "{rules:?}");
}

#[tokio::test]
async fn a_run_reaches_no_more_apis_than_its_budget_has() {
    let world = World::new().await;
    world.add_resource("https://mail.example/", "mail:send", None).await;
    let login = world
        .sign_in_for("ada", "hallpass-cli", &[NOTES, "https://mail.example/"], "mail:send notes:read")
        .await;
    let form = [("name", "coder"), ("scope", "notes:read mail:send"), ("resources", "1")];
    register(&world, &login, &form).await;
    let run = run_of(&begin(&world, &login, "coder").await.unwrap());
    let mail = [("resource", "https://mail.example/"), ("run", run.as_str())];
    let refused = world.exchange(&login, &mail).await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("budget_resources"));
    go_on(&world, &login, &run).await.expect("the one it has it keeps");
}

/// Each way to end it kills every pass of it at once, and it gets no other.
#[tokio::test]
async fn a_run_ends_alone_with_its_agent_or_with_all_of_them() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    reader(&world, &login).await;
    register(&world, &login, &[("name", "other"), ("scope", "notes:read")]).await;
    for (path, which) in [
        ("api/runs/end", "run"),
        ("api/runs/end", "agent"),
        ("api/runs/end", "all"),
        ("api/agents/retire", "agent"),
    ] {
        let [first, second] = [begin(&world, &login, "coder"), begin(&world, &login, "other")].map(Box::pin);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let again = go_on(&world, &login, &run_of(&first)).await.unwrap();
        assert!(world.accepts(&first.access).await && world.accepts(&again.access).await);
        let run = run_of(&first);
        let form = match which {
            "run" => ("run", run.as_str()),
            "agent" => ("agent", "coder"),
            _ => ("all", "true"),
        };
        let reply = say(&world, &login, path, &[form]).await;
        let ended: RunsEnded = serde_json::from_value(reply.json()).unwrap();
        assert!(!world.accepts(&first.access).await && !world.accepts(&again.access).await, "{path} {which}");
        assert_eq!(world.accepts(&second.access).await, which != "all", "{path} {which}");
        assert_eq!(go_on(&world, &login, &run).await.unwrap_err().rule.as_deref(), Some("run_over"));
        assert!(
            ended.ended >= 1
                && list(&world, &login).await.runs.iter().all(|line| line.run.to_string() != run)
        );
    }
    let refused = begin(&world, &login, "coder").await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("agent_retired"));
    let back = say(&world, &login, "api/agents", &[("name", "coder"), ("scope", "notes:read")]).await;
    assert_eq!(back.status, StatusCode::OK, "it is known, and back");
    begin(&world, &login, "coder").await.unwrap();
}

#[tokio::test]
async fn a_run_ends_with_the_session_above_it_and_by_whoever_gives_its_pass_back() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    reader(&world, &login).await;
    let given_back = begin(&world, &login, "coder").await.unwrap();
    let form = [("client_id", "hallpass-cli"), ("token", given_back.access.as_str()), ("run_over", "true")];
    world.post("revoke", &form).await;
    let refused = go_on(&world, &login, &run_of(&given_back)).await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("run_over"));

    let kept = begin(&world, &login, "coder").await.unwrap();
    world.revoke(&kept.access, "hallpass-cli").await;
    let again = go_on(&world, &login, &run_of(&kept)).await.expect("one pass less is no end of the run");
    world.revoke(&login.refresh, "hallpass-cli").await;
    assert!(!world.accepts(&again.access).await);
    let login = world.sign_in("ada", "hallpass-cli").await;
    assert!(list(&world, &login).await.runs.is_empty());
    let refused = go_on(&world, &login, &run_of(&kept)).await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("run_unknown"), "and from another session there is none");
}

/// RFC 8693, section 4.1: a chain is history, and its outermost acts. It is bounded, and its end is the end of all below.
#[tokio::test]
async fn an_agent_that_starts_an_agent_gives_it_no_more_than_it_has() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    register(&world, &login, &[("name", "narrow"), ("scope", "notes:read openid"), ("longest", "600")]).await;
    register(&world, &login, &[("name", "wide"), ("scope", "notes:read notes:write openid")]).await;
    let mut chain = vec![begin_here(&world, &login, "narrow").await.unwrap()];
    while chain.len() < CHAIN_MAX {
        chain.push(begin_here(&world, chain.last().unwrap(), "wide").await.unwrap());
    }
    let refused = begin_here(&world, chain.last().unwrap(), "wide").await.unwrap_err();
    assert_eq!(refused.rule.as_deref(), Some("runs_too_deep"));
    let last = chain.last().unwrap();
    let act = last.claims().act.unwrap();
    assert_eq!((act.depth(), last.claims().scope.to_string().as_str()), (CHAIN_MAX, "openid notes:read"));
    assert_eq!(
        act.act.unwrap().run,
        chain[CHAIN_MAX - 2].claims().act.unwrap().run,
        "who started it comes next"
    );

    // SECURITY: not for a run beside it, nor for one above it.
    let beside = begin_here(&world, &login, "wide").await.unwrap();
    for run in [run_of(&chain[0]), run_of(last)] {
        assert_eq!(go_on(&world, &beside, &run).await.unwrap_err().rule.as_deref(), Some("run_unknown"));
    }
    let below = go_on(&world, &chain[0], &run_of(&chain[1])).await.expect("for the one that it started");
    let of_last =
        world.exchange(last, &[("resource", NOTES)]).await.expect("what is made of a run's token is its own");
    assert_eq!(run_of(&of_last), run_of(last));

    world.clock.advance(Lifetime::seconds(1));
    say(&world, &login, "api/runs/end", &[("run", &run_of(&chain[0]))]).await;
    for dead in [&below, &of_last] {
        assert!(!world.accepts(&dead.access).await);
    }
    let fresh = world.exchange(&beside, &[("resource", NOTES)]).await.unwrap();
    assert!(world.accepts(&fresh.access).await, "and nobody beside it");
    assert_eq!(list(&world, &login).await.runs.len(), 1);
}

#[tokio::test]
async fn nobody_uses_another_s_agent_or_run() {
    let world = World::new().await;
    world.add_person("grace").await;
    let (ada, grace) =
        (world.sign_in("ada", "hallpass-cli").await, world.sign_in("grace", "hallpass-cli").await);
    reader(&world, &ada).await;
    let pass = begin(&world, &ada, "coder").await.unwrap();
    let run = run_of(&pass);
    assert_eq!(begin(&world, &grace, "coder").await.unwrap_err().rule.as_deref(), Some("agent_unknown"));
    assert_eq!(go_on(&world, &grace, &run).await.unwrap_err().rule.as_deref(), Some("run_unknown"));
    let ended: RunsEnded =
        serde_json::from_value(say(&world, &grace, "api/runs/end", &[("run", &run)]).await.json()).unwrap();
    assert_eq!(ended.ended, 0);
    assert_eq!(
        say(&world, &grace, "api/runs/continue", &[("run", &run)]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        say(&world, &grace, "api/agents/retire", &[("agent", "coder")]).await.status,
        StatusCode::NOT_FOUND
    );
    assert!(list(&world, &grace).await.runs.is_empty() && list(&world, &grace).await.agents.is_empty());
    assert!(world.accepts(&pass.access).await);
    // A run that is made up, and one that says nothing of why.
    let made_up = CredentialId::from_bytes([9; 16]).to_string();
    assert_eq!(go_on(&world, &ada, &made_up).await.unwrap_err().rule.as_deref(), Some("run_unknown"));
    let mute = world.exchange(&ada, &[("resource", NOTES), ("agent", "coder")]).await.unwrap_err();
    assert_eq!(mute.rule.as_deref(), Some("run_purpose"));
    let service = world.assertion("notes-api", &world.notes_api_key);
    let form = [
        ("grant_type", "client_credentials"),
        (service[0].0, service[0].1.as_str()),
        (service[1].0, service[1].1.as_str()),
        ("agent", "coder"),
    ];
    let token = world.post("token", &form).await.json();
    assert!(
        token["access_token"].is_string() && token.get("run").is_none(),
        "a client's own token has no agent: {token}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_said() {
    let world = World::new().await;
    let login = world.sign_in("ada", "hallpass-cli").await;
    for (form, told) in [
        (vec![("scope", "notes:read")], "name"),
        (vec![("name", "Not A Name"), ("scope", "a")], "an agent's name"),
        (vec![("name", "a")], "scope"),
        (vec![("name", "a"), ("scope", "a"), ("kind", "robot")], "an agent is"),
        (vec![("name", "a"), ("scope", "a"), ("longest", "86401")], "longest"),
        (vec![("name", "a"), ("scope", "a"), ("longest", "0")], "longest"),
        (vec![("name", "a"), ("scope", "a"), ("tokens", "0")], "numbers from 1"),
        (vec![("name", "a"), ("scope", "a"), ("resources", "-1")], "numbers from 1"),
    ] {
        let reply = say(&world, &login, "api/agents", &form).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form:?}");
        assert!(reply.body.contains(told), "{form:?}: {}", reply.body);
    }
    for form in [vec![], vec![("run", "crd_x")], vec![("all", "yes")], vec![("agent", "a"), ("all", "true")]]
    {
        let reply = say(&world, &login, "api/runs/end", &form).await;
        assert!(reply.status.is_client_error(), "{form:?} {}", reply.body);
    }
    let both = [("resource", NOTES), ("agent", "a"), ("run", "crd_x")];
    assert_eq!(world.exchange(&login, &both).await.unwrap_err().code, ErrorCode::InvalidRequest);
}
