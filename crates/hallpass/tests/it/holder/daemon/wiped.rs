use std::io::{Read, Seek, SeekFrom};

use hallpass_testkit::small_provider::{Manner, SmallProvider};
use hallpass_testkit::world::NOTES;

use super::super::machine::{Home, Machine, until};

/// All that a process can write to, as root may read it.
pub(super) fn memory(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let mut file = std::fs::File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let mut all = Vec::new();
    for map in maps.lines() {
        let mut fields = map.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        if !rights.starts_with("rw") || map.contains("[vvar") {
            continue;
        }
        let (from, to) = range.split_once('-').expect("a range");
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).expect("an address"));
        let mut bytes = vec![0; (to - from) as usize];
        if file.seek(SeekFrom::Start(from)).is_ok() && file.read_exact(&mut bytes).is_ok() {
            all.extend(bytes);
        }
    }
    let listens_at = b"run/daemon.sock";
    assert!(all.windows(listens_at.len()).any(|window| window == listens_at), "what is there is found");
    all
}

/// Where a piece of a secret is, if it is anywhere.
pub(super) fn seen(memory: &[u8], secret: &str) -> Option<String> {
    let secret = secret.trim().as_bytes();
    // A piece is as good as the whole to whoever looks for one. The first part of a token says nothing about it.
    let piece = &secret[secret.len() - 24..];
    let at = memory.windows(piece.len()).position(|window| window == piece)?;
    let around = &memory[at.saturating_sub(40)..(at + 60).min(memory.len())];
    Some(String::from_utf8_lossy(around).into_owned())
}

/// Root alone can look; elsewhere there is nothing to see, which is another test's promise.
pub(super) fn can_look() -> bool {
    rustix::process::getuid().as_raw() == 0
}

#[tokio::test]
async fn after_a_logout_no_byte_of_a_token_is_in_the_daemon_s_memory() {
    if !can_look() {
        return;
    }
    for store in ["daemon", "passphrase"] {
        let machine = Machine::new().await;
        let pid = machine.daemon().await;
        machine.login(&["--store", store]).await;
        let mut token = String::new();
        for _ in 0..5 {
            token = machine.run(&["token"]).await.out();
        }
        assert!(machine.world.accepts(token.trim()).await);
        assert_eq!(machine.run(&["logout"]).await.code(), 0);
        until("no byte of it is left", async || seen(&memory(pid), &token).is_none()).await;
    }
}

/// The same of refresh tokens, which a small provider makes so that they can be looked for.
#[tokio::test]
async fn after_a_logout_no_refresh_token_is_in_the_daemon_s_memory() {
    if !can_look() {
        return;
    }
    let provider = SmallProvider::start(Manner { says_expires_in: Some(10), ..Manner::default() }).await;
    let home = Home::new();
    let pid = home.daemon().await;
    let login = ["login", &provider.issuer, "--flow", "device", "--store", "daemon", "--resource", NOTES];
    let said = home.run(&login).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    for _ in 0..3 {
        assert_eq!(home.run(&["token"]).await.code(), 0);
    }
    assert!(provider.asked("refresh_token") > 0);
    assert_eq!(home.run(&["logout"]).await.code(), 0);
    let memory = memory(pid);
    let at = memory.windows(8).position(|window| window == b"refresh-");
    let around = at.map(|at| String::from_utf8_lossy(&memory[at.saturating_sub(40)..at + 40]).into_owned());
    assert_eq!(around, None);
}

#[tokio::test]
async fn while_it_is_locked_no_byte_of_a_token_is_in_its_memory() {
    if !can_look() {
        return;
    }
    let machine = Machine::new().await;
    let pid = machine.daemon().await;
    machine.login(&["--store", "daemon"]).await;
    let token = machine.run(&["token"]).await.out();
    assert_eq!(machine.run(&["daemon", "lock"]).await.code(), 0);
    assert_eq!(seen(&memory(pid), &token), None);
    assert_eq!(machine.run(&["daemon", "unlock"]).await.code(), 0);
    assert_eq!(machine.run(&["token"]).await.out(), token);
}
