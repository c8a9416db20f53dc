//! The key of a sign-in is in nobody's answer: every command there is says things, and none of them is the key.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use hallpass_model::jose::base64url;
use hallpass_testkit::world::NOTES;

use super::api::{Api, Kind};
use super::machine::Machine;
use crate::promises::canary::scalar;
use crate::promises::record;
use crate::promises::scanner::Scanner;

/// Commands of the server, which has no sign-in's key.
const SERVER: [&str; 3] = ["serve", "admin", "ledger"];
/// A command that has said nothing by now says nothing more to somebody who gave it nothing to do.
const LONG_ENOUGH: Duration = Duration::from_secs(5);

#[tokio::test]
async fn no_command_gives_the_key_of_a_sign_in_away() {
    let machine = Machine::new().await;
    let api = Api::start(&machine.world.issuer_url, Kind { nonces: true, ..Kind::default() }).await;
    machine.world.add_resource(&api.url, "notes:read notes:write", None).await;
    machine.login(&["--resource", &api.url]).await;
    let (url, man) = (api.at("notes"), machine.path("man"));
    let man = man.to_str().unwrap();
    let mut sought = Scanner::default();
    learn(&machine, &mut sought);

    let mut all: Vec<Vec<String>> = [
        &["exec", "--purpose", "x", "--resource", NOTES, "--", "sh", "-c", "env; ls -l /proc/self/fd"][..],
        &["token", "--resource", NOTES],
        &["token", "--dpop", "GET", &url],
        &["token", "--json", "--dpop", "GET", &url],
        &["curl", "-v", &url],
        &["curl", "--bearer", "-v", "-d", "x", &url],
        &["completions", "bash"],
        &["man", man],
    ]
    .iter()
    .map(|words| words.iter().map(ToString::to_string).collect())
    .collect();
    // And whatever else there is, given nothing to do.
    for command in commands(&machine, &[]).await {
        if SERVER.contains(&command.as_str()) || command == "logout" {
            continue;
        }
        all.push(vec![command.clone()]);
        all.push(vec![command.clone(), "--json".into()]);
        for below in commands(&machine, &[&command]).await {
            all.push(vec![command.clone(), below, "--json".into()]);
        }
    }
    assert!(all.len() > 20, "{all:?}");
    all.push(vec!["logout".into(), "--json".into()]);

    let mut found = Vec::new();
    for words in &all {
        let (out, err) = said(&machine, words).await;
        found.extend(sought.find(&format!("the answer of {words:?}"), &out, &[]));
        found.extend(sought.find(&format!("what is said by {words:?}"), &err, &[]));
    }
    assert!(found.is_empty(), "{found:?}");
    // What finds nothing must be able to find: the same bytes in one answer.
    assert_eq!(sought.known("key of the sign-in"), 1);
}

/// Opens the record by its written form alone, as nobody else can.
fn learn(machine: &Machine, sought: &mut Scanner) {
    let mut folders = vec![machine.path(".local")];
    let mut records = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if entry.path().extension().is_some_and(|end| end == "record") => {
                    records.push(entry.path())
                }
                false => {}
            }
        }
    }
    let [record] = records.as_slice() else { panic!("{records:?}") };
    let record = record::open(&std::fs::read(record).unwrap(), "correct horse");
    let key = record["key"].as_str().and_then(base64url::parse).unwrap();
    sought.learn("key of the sign-in", scalar(&key));
    let planted = [b"x=".as_slice(), base64url::render(&key).as_bytes()].concat();
    assert!(!sought.find("planted", &planted, &[]).is_empty());
}

/// The commands that a help lists.
async fn commands(machine: &Machine, of: &[&str]) -> Vec<String> {
    let help = machine.run(&[of, &["--help"]].concat()).await.out();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    let names =
        listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).filter(|name| name != "help").collect()
}

/// What a command says, to its end or until it is stopped.
async fn said(machine: &Machine, words: &[String]) -> (Vec<u8>, Vec<u8>) {
    let (out, err) = (machine.path("out"), machine.path("err"));
    let mut command = machine.hallpass(words);
    command.env("HALLPASS_NO_INPUT", "1").stdin(Stdio::null());
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    if tokio::time::timeout(LONG_ENOUGH, child.wait()).await.is_err() {
        child.kill().await.unwrap();
    }
    (std::fs::read(out).unwrap(), std::fs::read(err).unwrap())
}
