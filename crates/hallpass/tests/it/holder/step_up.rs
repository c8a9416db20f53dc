//! A login that is too weak, or too old, for what is asked (RFC 9470), and the way through.

use hallpass_model::cut::{Target, Why};
use hallpass_model::grant::{Acr, Amr, Approval, Authentication};
use hallpass_model::id::SessionId;
use hallpass_model::step_up::Demand;
use hallpass_model::time::Clock;
use hallpass_model::wire::claims::AccessClaims;
use hallpass_store::{
    Answer, AnswerDevice, Approver, DeviceAnswered, MakeCut, ScopeDemandSet, SetScopeDemand,
};
use hallpass_testkit::World;
use hallpass_testkit::client::claims;
use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::machine::{Machine, Said, in_time};

/// The operator says yes in ada's name: nobody proved who they are.
async fn answer_locally(world: &World, code: &str) -> DeviceAnswered {
    let found = world.store.find_device_by_user_code(world.org, code).await.unwrap().unwrap();
    let authentication = Authentication { at: world.clock.now(), acr: Acr::Local, amr: vec![Amr::Local] };
    let by = Approver { principal: world.ada, authentication, approval: Approval::AdminSocket };
    let answer = AnswerDevice {
        org: world.org,
        grant: found.id,
        by,
        answer: Answer::Yes,
        address: "admin socket".into(),
    };
    world.change(answer).await
}

#[tokio::test]
async fn a_scope_that_demands_more_says_what_to_run_and_that_leads_through() {
    let machine = Machine::new().await;
    let world = &machine.world;
    let (child, code) = machine.start_login(&[]).await;
    assert_eq!(answer_locally(world, &code).await, DeviceAnswered::Approved);
    assert_eq!(Said(in_time(child.wait_with_output()).await.unwrap()).code(), 0);
    let resource = world.store.find_resource_by_url(world.org, NOTES).await.unwrap().unwrap().id;
    let demand = Demand { acr: Some(Acr::PhishingResistant), max_age: None, sso: false };
    let set = SetScopeDemand { org: world.org, resource, scope: "notes:write".into(), demand };
    assert_eq!(world.change(set).await, ScopeDemandSet::Done);

    let ask = ["token", "--resource", NOTES, "--fresh", "--scope", "notes:write"];
    let refused = machine.run(&ask).await;
    assert_eq!((refused.code(), refused.out().as_str()), (4, ""), "{}", refused.err());
    for word in ["must have proved who they are", "hint: run `hallpass login --step-up`"] {
        assert!(refused.err().contains(word), "{}", refused.err());
    }
    let other = ["token", "--resource", NOTES, "--fresh", "--scope", "notes:read"];
    assert_eq!(machine.run(&other).await.code(), 0, "what demands nothing is had as ever");

    // Nothing is named: the session that is here is made stronger, and what runs by it goes on.
    let before = session(&machine).await;
    let (run, pass) = machine.start_run().await;
    let (child, code) = start_step_up(&machine, &["--flow", "device"], "user_code").await;
    // SECURITY: local approval never satisfies step-up.
    assert!(matches!(answer_locally(world, &code).await, DeviceAnswered::Unmet(_)));
    world.answer_device(&code, world.ada, Answer::Yes).await;
    let done = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(done.code(), 0, "{}", done.err());
    let token = machine.run(&ask).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    assert!(world.accepts(token.out().trim()).await);
    assert_eq!(session(&machine).await, before, "the same session");
    assert!(world.accepts(&pass).await, "the run's pass goes on");
    machine.let_go();
    assert_eq!(Said(in_time(run.wait_with_output()).await.unwrap()).code(), 0);
    assert_eq!(machine.run(&["logout"]).await.code(), 0);
}

/// The session that the sign-in of this machine is.
async fn session(machine: &Machine) -> SessionId {
    let token = machine.run(&["token", "--resource", NOTES, "--fresh", "--scope", "notes:read"]).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    claims::<AccessClaims>(token.out().trim()).session_id().unwrap()
}

/// A step-up under way, and what its first line says by this name.
async fn start_step_up(machine: &Machine, more: &[&str], name: &str) -> (Child, String) {
    let arguments = [&["login", "--step-up", "--json"], more].concat();
    let mut child = machine.hallpass(&arguments).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let Some(line) = in_time(lines.next_line()).await.unwrap() else {
        panic!("nothing is asked: {}", Said(child.wait_with_output().await.unwrap()).err());
    };
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, said[name].as_str().unwrap_or_else(|| panic!("no {name}: {said}")).to_owned())
}

#[tokio::test]
async fn a_browser_here_makes_the_session_stronger_and_no_token_is_in_its_address() {
    let machine = Machine::signed_in().await;
    let world = &machine.world;
    let before = session(&machine).await;
    let (child, address) = start_step_up(&machine, &["--flow", "browser"], "address").await;
    assert!(address.contains("request_uri=") && !address.contains("hpr_"), "{address}");
    let mut ada = world.visitor_as(world.ada).await;
    let on = ada.get(address.strip_prefix(&world.base_url).unwrap()).await;
    let consent = on.header("location").unwrap().to_owned();
    let request = consent.split("request=").nth(1).unwrap();
    ada.log_in("acme", &[("to", "consent"), ("request", request)]).await;
    let page = ada.get(&format!("/acme/consent?request={request}")).await;
    assert!(page.body.contains("A session is to be made stronger"), "{}", page.body);
    let said = ada.post("/acme/consent", &[("request", request), ("answer", "yes")]).await;
    world.http.get(said.header("location").unwrap()).send().await.unwrap();
    let done = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(done.code(), 0, "{}", done.err());
    assert_eq!(session(&machine).await, before);
    let raised = world.store.find_session(before).await.unwrap().unwrap();
    assert_eq!(raised.grant.approval, Approval::Browser, "it was the device page's before");
}

#[tokio::test]
async fn what_is_to_reach_elsewhere_or_stands_no_more_is_signed_in_anew_and_that_is_said() {
    let machine = Machine::signed_in().await;
    let world = &machine.world;
    let first = session(&machine).await;
    let wider = ["login", "--step-up", "--flow", "device", "--json", "--scope", "notes:read"];
    let mut child = machine.hallpass(&wider).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: serde_json::Value =
        serde_json::from_str(&in_time(lines.next_line()).await.unwrap().unwrap()).unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    world.answer_device(said["user_code"].as_str().unwrap(), world.ada, Answer::Yes).await;
    let done = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(done.code(), 0, "{}", done.err());
    assert!(done.err().contains("a new sign-in takes the place"), "{}", done.err());
    let second = session(&machine).await;
    assert_ne!(second, first);

    let target = Target::Session(second);
    world.change(MakeCut { org: Some(world.org), target, why: Why::EndedByAdministrator }).await;
    let (child, code) = start_step_up(&machine, &["--flow", "device"], "user_code").await;
    world.answer_device(&code, world.ada, Answer::Yes).await;
    let done = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(done.code(), 0, "{}", done.err());
    assert!(done.err().contains("is over, so a new sign-in takes the place"), "{}", done.err());
    assert_ne!(session(&machine).await, second);
}

#[tokio::test]
async fn a_step_up_without_a_sign_in_says_to_sign_in() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let said = machine.run(&["login", &issuer, "--step-up", "--flow", "device"]).await;
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(said.err().contains("hint: run `hallpass login"), "{}", said.err());
}
