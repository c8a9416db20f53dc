use std::time::{Duration, Instant};

use hallpass_model::cut::{Target, Why};
use hallpass_store::{Answer, MakeCut};

use super::super::machine::{Machine, in_time, until};
use super::wiped::{can_look, memory, seen};

/// How soon what was cut is gone here.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A machine that is busy with a build may be late once.
const TRIES: usize = 3;

async fn cut(machine: &Machine) {
    let target = Target::Principal(machine.world.ada);
    machine.world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
}

#[tokio::test]
async fn within_a_second_of_a_cut_memory_and_record_are_gone() {
    for store in ["daemon", "passphrase"] {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let machine = Machine::new().await;
            let pid = machine.daemon().await;
            machine.login(&["--store", store]).await;
            let token = machine.run(&["token"]).await.out();
            until("the daemon listens", async || machine.world.issuer.watchers() > 0).await;
            let records = machine.path(".local/state/hallpass");
            let before = newest(&records);

            cut(&machine).await;
            let began = Instant::now();
            until("it is gone", async || match store {
                "daemon" => {
                    machine.ask("GET", "/v1/records", "").await.1["records"][0]["opened"]["ended"].is_string()
                }
                _ => newest(&records) != before,
            })
            .await;
            took.push(began.elapsed());

            if can_look() {
                until("no byte of it is left", async || seen(&memory(pid), &token).is_none()).await;
            }
            let status = machine.run(&["status", "--json"]).await;
            let sign_in = &status.json()["sign_ins"][0];
            assert_eq!((status.code(), sign_in["stands"].as_bool()), (4, Some(false)));
            assert!(sign_in["problem"].as_str().unwrap().contains("the issuer ended it"), "{sign_in}");
            assert_eq!(
                (sign_in["renewable"].as_bool(), sign_in["bound"].as_bool()),
                (Some(false), Some(false))
            );
            assert_eq!(machine.run(&["token"]).await.code(), 4);
            if took.iter().any(|took| *took < AT_ONCE) {
                break;
            }
        }
        assert!(took.iter().any(|took| *took < AT_ONCE), "{store}: {took:?}");
    }
}

/// Of two people's worth of sign-ins here, just those end that the cut is of.
#[tokio::test]
async fn a_cut_ends_what_it_is_of_and_leaves_the_others_alone() {
    let machine = Machine::new().await;
    let bob = machine.world.add_person("bob").await;
    for (profile, person) in [("one", machine.world.ada), ("two", machine.world.ada), ("three", bob)] {
        let (child, code) = machine.start_login(&["--store", "daemon", "--profile", profile]).await;
        machine.world.answer_device(&code, person, Answer::Yes).await;
        assert!(in_time(child.wait_with_output()).await.unwrap().status.success());
    }
    let pid = machine.daemon_status().await["pid"].as_u64().unwrap() as u32;
    let token = async |profile: &str| machine.run(&["token", "--profile", profile]).await;
    let mut tokens = Vec::new();
    for profile in ["one", "two", "three"] {
        tokens.push(token(profile).await.out());
    }
    until("the daemon listens", async || machine.world.issuer.watchers() == 3).await;

    let device = claim(&tokens[2], "dev").parse().unwrap();
    for (target, ends, stand) in [
        (Target::Session(claim(&tokens[0], "sid").parse().unwrap()), "one", &["two", "three"][..]),
        (Target::Principal(machine.world.ada), "two", &["three"][..]),
        (Target::Device(device), "three", &[][..]),
    ] {
        let cut = MakeCut { org: None, target, why: Why::EndedByAdministrator };
        machine.world.change(cut).await;
        until("it is over here", async || ended(&machine).await.contains(&ends.to_owned())).await;
        if can_look() {
            let index = 3 - stand.len() - 1;
            until("no byte of it is left", async || seen(&memory(pid), &tokens[index]).is_none()).await;
        }
        assert_eq!(token(ends).await.code(), 4);
        for profile in stand {
            let said = token(profile).await;
            assert_eq!(said.code(), 0, "{ends} was cut, and not {profile}: {}", said.err());
            assert!(machine.world.accepts(said.out().trim()).await);
        }
        assert_eq!(ended(&machine).await.len(), 3 - stand.len());
    }
}

/// The profiles whose sign-ins in the daemon are over.
async fn ended(machine: &Machine) -> Vec<String> {
    let records = machine.ask("GET", "/v1/records", "").await.1["records"].take();
    let over = |record: &&serde_json::Value| record["opened"]["ended"].is_string();
    let profile = |record: &serde_json::Value| record["profile"].as_str().unwrap().to_owned();
    records.as_array().unwrap().iter().filter(over).map(profile).collect()
}

/// What a token says.
fn claim(token: &str, name: &str) -> String {
    let claims = token.split('.').nth(1).and_then(hallpass_model::jose::base64url::parse).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

/// What the records look like.
fn newest(records: &std::path::Path) -> Vec<Vec<u8>> {
    let folders = std::fs::read_dir(records).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let records = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "record"));
    records.filter_map(|file| std::fs::read(file.path()).ok()).collect()
}
