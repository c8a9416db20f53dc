//! An agent of a person's: registered, started, seen, let go on, and ended, by the commands that a person types.

use std::process::Stdio;

use hallpass_testkit::world::NOTES;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::killed::pid;
use super::machine::{Machine, Said, in_time, until};

async fn with_agent(more: &[&str]) -> Machine {
    let machine = Machine::signed_in().await;
    let add = ["agents", "add", "coder", "--kind", "coding", "--scope", "notes:read"];
    let said = machine.run(&[&add, more].concat()).await;
    assert_eq!((said.code(), said.out().as_str()), (0, ""), "{}", said.err());
    assert!(said.err().contains("`coder` may have `notes:read`"), "{}", said.err());
    machine
}

/// What runs, as its person's tool lists it.
async fn runs(machine: &Machine) -> Vec<Value> {
    let said = machine.run(&["agents", "--json"]).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert_eq!(said.json()["schema"], "hallpass.agents/1");
    said.json()["runs"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_command_that_an_agent_runs_is_seen_as_the_agent_s_and_ends_with_it() {
    let machine = with_agent(&[]).await;
    let (child, token) = machine.start_run_with(&["--agent", "coder"], |_| ()).await;
    let said = machine.world.introspect(&token).await;
    assert_eq!(
        (&said["scope"], said["act"]["sub"].as_str().unwrap().split_once('_').unwrap().0),
        (&"notes:read".into(), "agt")
    );
    let [run] = &runs(&machine).await[..] else { panic!("one run") };
    assert_eq!(
        (&run["agent"], &run["purpose"], &run["run"]),
        (&"coder".into(), &"a test".into(), &said["act"]["run"])
    );
    let shown = machine.run(&["agents"]).await;
    for word in ["coder", "a test", run["run"].as_str().unwrap(), "1/200 tokens", "notes:read"] {
        assert!(shown.out().contains(word), "{word}: {}", shown.out());
    }
    machine.let_go();
    let ended = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert!(ended.err().contains("an agent acts, in run crd_"), "{}", ended.err());
    assert!(!machine.world.accepts(&token).await && runs(&machine).await.is_empty());
}

/// One command each, and one that is killed.
#[tokio::test]
async fn a_run_is_ended_by_one_command_and_by_its_own_death() {
    let machine = with_agent(&[]).await;
    for end in
        [&["agents", "end", "RUN"][..], &["agents", "end", "--agent", "coder"], &["agents", "end", "--all"]]
    {
        let (mut child, token) = machine.start_run_with(&["--agent", "coder"], |_| ()).await;
        let run = runs(&machine).await[0]["run"].as_str().unwrap().to_owned();
        let end: Vec<_> = end.iter().map(|word| if *word == "RUN" { run.as_str() } else { word }).collect();
        let said = machine.run(&end).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains("1 run"), "{}", said.err());
        assert!(!machine.world.accepts(&token).await && runs(&machine).await.is_empty(), "{end:?}");
        machine.let_go();
        in_time(child.wait()).await.unwrap();
        std::fs::remove_file(machine.path("go")).unwrap();
        std::fs::remove_file(machine.path("token")).unwrap();
    }
    let (mut child, token) = machine.start_run_with(&["--agent", "coder"], |_| ()).await;
    kill_process(pid(&child), Signal::KILL).unwrap();
    in_time(child.wait()).await.unwrap();
    machine.until_dead(&token).await;
    until("the run ends with it", async || runs(&machine).await.is_empty()).await;
    let again = machine.run(&["agents", "end", "crd_01h455vb4pex5vsknk084sn02q"]).await;
    assert_eq!(again.code(), 1, "{}", again.err());
    assert!(again.err().contains("there is no such run"), "{}", again.err());
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_retired_or_wants_more_starts_nothing() {
    let machine = with_agent(&[]).await;
    let exec = |more: &[&str]| {
        let all = [&["exec", "--purpose", "a test"], more, &["--", "true"]].concat();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let machine = &machine;
        async move { machine.run(&all).await }
    };
    for (more, told) in [
        (&["--agent", "nobody"][..], "no agent of this name"),
        (&["--agent", "coder", "--scope", "notes:write"], "the agent may not have"),
        (&["--agent", "No Name"], "--agent"),
    ] {
        let said = exec(more).await;
        assert_eq!(said.code(), 125, "{more:?} {}", said.err());
        assert!(said.err().contains(told), "{more:?} {}", said.err());
    }
    let retired = machine.run(&["agents", "retire", "coder"]).await;
    assert_eq!(retired.code(), 0, "{}", retired.err());
    assert!(exec(&["--agent", "coder"]).await.err().contains("taken out of use"));
    let listed = machine.run(&["agents"]).await;
    assert!(listed.out().contains("retired") && listed.err().contains("nothing runs"), "{}", listed.out());
    let bad = machine.run(&["agents", "add", "x", "--scope", "a", "--longest", "25h"]).await;
    assert_eq!(bad.code(), 5, "{}", bad.err());
    assert!(bad.err().contains("24 hours at most"), "{}", bad.err());
}

/// The person is asked, and what they say holds while the command goes on.
#[tokio::test]
async fn a_run_over_its_budget_goes_on_when_its_person_says_so() {
    let machine = with_agent(&["--tokens", "1"]).await;
    let (file, read) = (machine.path("where"), machine.path("read"));
    let script = format!(
        "printf %s \"$HALLPASS_TOKEN_FILE\" > {where}.new && mv {where}.new {where}; {waits}",
        where = file.display(),
        waits = machine.while_it_lasts(&format!("[ ! -e {} ]", read.display())),
    );
    let exec = [
        "exec",
        "--agent",
        "coder",
        "--purpose",
        "a test",
        "--as",
        "file",
        "--ttl",
        "4s",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let child = machine.hallpass(&exec).stderr(Stdio::piped()).spawn().unwrap();
    until("the command runs", async || file.exists()).await;
    let place = std::fs::read_to_string(&file).unwrap();
    let first = std::fs::read_to_string(&place).unwrap();
    until("it asks its person", async || {
        runs(&machine).await.first().is_some_and(|run| run["waits_for_you"] == "tokens")
    })
    .await;
    let run = runs(&machine).await[0]["run"].as_str().unwrap().to_owned();
    let on = machine.run(&["agents", "continue", &run]).await;
    assert_eq!(on.code(), 0, "{}", on.err());
    assert!(on.err().contains("`coder` goes on: 2 tokens"), "{}", on.err());
    until("it has another", async || std::fs::read_to_string(&place).unwrap() != first).await;
    std::fs::write(&read, "").unwrap();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(
        said.err().contains("used up its budget") && said.err().contains("hallpass agents continue"),
        "{}",
        said.err()
    );
}

/// What the daemon alone holds acts for an agent, too, and keeps no token of one for anybody else.
#[tokio::test]
async fn an_agent_runs_by_a_sign_in_that_the_daemon_holds() {
    let machine = with_agent(&[]).await;
    machine.daemon().await;
    let agents = machine
        .run(&[
            "exec",
            "--agent",
            "coder",
            "--purpose",
            "a test",
            "--",
            "sh",
            "-c",
            "printf %s $HALLPASS_TOKEN",
        ])
        .await;
    assert_eq!(agents.code(), 0, "{}", agents.err());
    let own = machine.run(&["token", "--resource", NOTES, "--purpose", "a test"]).await;
    let acts = |token: &str| {
        let claims = hallpass_model::jose::base64url::parse(token.trim().split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap().get("act").is_some()
    };
    assert!(acts(&agents.out()) && !acts(&own.out()));
    assert!(runs(&machine).await.is_empty());
}
