use std::os::unix::fs::PermissionsExt;

use hallpass_testkit::world::NOTES;

use super::machine::{Machine, Said, in_time};

#[tokio::test]
async fn a_command_gets_a_pass_of_its_own_that_dies_with_it() {
    let machine = Machine::signed_in().await;
    let (child, token) = machine.start_run().await;
    assert!(machine.world.accepts(&token).await);
    let claims = machine.world.introspect(&token).await;
    assert_eq!(claims["aud"], NOTES);
    let pid = child.id().unwrap();
    // In the environment of the command alone: neither ours nor the watcher's, and nobody's arguments.
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(&token), "{:?}", entry.path());
    }
    let ours = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&ours).contains(&token));
    machine.let_go();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(
        said.err().starts_with(&format!("leased `notes:read notes:write` for {NOTES} until ")),
        "{}",
        said.err()
    );
    assert!(!machine.world.accepts(&token).await, "when hallpass has ended, the pass is dead");
}

#[tokio::test]
async fn the_code_of_the_command_is_ours_and_our_own_failures_have_others() {
    let machine = Machine::signed_in().await;
    let script = machine.path("not-a-program");
    std::fs::write(&script, "hello").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o600)).unwrap();
    let script = script.to_str().unwrap();
    let table: [(&[&str], i32); 8] = [
        (&["--", "true"], 0),
        (&["--", "sh", "-c", "exit 3"], 3),
        (&["--", "sh", "-c", "kill -9 $$"], 137),
        (&["--", "no-such-program-anywhere"], 127),
        (&["--", script], 126),
        (&["--ttl", "16m", "--", "true"], 125),
        (&["--resource", "https://unknown.example/", "--", "true"], 125),
        (&["--no-such-flag", "--", "true"], 125),
    ];
    for (arguments, code) in table {
        let said = machine.run(&[&["exec", "--purpose", "a test"], arguments].concat()).await;
        assert_eq!(said.code(), code, "{arguments:?}: {}", said.err());
    }
    let said = machine.run(&["exec", "--purpose", "x", "--ttl", "16m", "--", "true"]).await;
    assert!(said.err().contains("15m"), "{}", said.err());
}

#[tokio::test]
async fn scope_time_and_variable_are_as_asked_and_quiet_is_quiet() {
    let machine = Machine::signed_in().await;
    let arguments = [
        "exec",
        "--quiet",
        "--purpose",
        "read",
        "--scope",
        "notes:read",
        "--ttl",
        "90s",
        "--env",
        "API_TOKEN",
        "--",
        "sh",
        "-c",
        "echo $API_TOKEN; echo ${HALLPASS_TOKEN-none}",
    ];
    let said = machine.run(&arguments).await;
    assert_eq!((said.code(), said.err().as_str()), (0, ""));
    let (token, other) = {
        let out = said.out();
        let (a, b) = out.trim().split_once('\n').unwrap();
        (a.to_owned(), b.to_owned())
    };
    assert_eq!(other, "none");
    let claims = hallpass_model::jose::base64url::parse(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((claims["scope"].as_str(), claims["purpose"].as_str()), (Some("notes:read"), Some("read")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 90);
    assert!(claims.get("cnf").is_none());
}
