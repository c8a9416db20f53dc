//! A login that is too weak, or too old, for what is asked (RFC 9470), and the way through.

use hallpass_model::grant::{Acr, Amr, Approval, Authentication};
use hallpass_model::step_up::Demand;
use hallpass_model::time::Clock;
use hallpass_store::{Answer, AnswerDevice, Approver, DeviceAnswered, ScopeDemandSet, SetScopeDemand};
use hallpass_testkit::World;
use hallpass_testkit::world::NOTES;
use tokio::io::{AsyncBufReadExt, BufReader};

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

    // Nothing is named: it asks for what the sign-in that is here has.
    let step_up = ["login", "--step-up", "--flow", "device", "--json"];
    let mut child = machine.hallpass(&step_up).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: serde_json::Value =
        serde_json::from_str(&in_time(lines.next_line()).await.unwrap().unwrap()).unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let code = said["user_code"].as_str().unwrap();
    // SECURITY: local approval never satisfies step-up.
    assert!(matches!(answer_locally(world, code).await, DeviceAnswered::Unmet(_)));
    world.answer_device(code, world.ada, Answer::Yes).await;
    let done = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(done.code(), 0, "{}", done.err());
    let token = machine.run(&ask).await;
    assert_eq!(token.code(), 0, "{}", token.err());
    assert!(world.accepts(token.out().trim()).await);
}

#[tokio::test]
async fn a_step_up_without_a_sign_in_says_to_sign_in() {
    let machine = Machine::new().await;
    let issuer = machine.world.issuer_url.clone();
    let said = machine.run(&["login", &issuer, "--step-up", "--flow", "device"]).await;
    assert_eq!(said.code(), 4, "{}", said.err());
    assert!(said.err().contains("hint: run `hallpass login"), "{}", said.err());
}
