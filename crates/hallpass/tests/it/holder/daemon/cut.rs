use std::time::{Duration, Instant};

use hallpass_model::cut::{Target, Why};
use hallpass_store::MakeCut;

use super::super::machine::{Machine, until};
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

/// What the records look like.
fn newest(records: &std::path::Path) -> Vec<Vec<u8>> {
    let folders = std::fs::read_dir(records).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let records = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "record"));
    records.filter_map(|file| std::fs::read(file.path()).ok()).collect()
}
