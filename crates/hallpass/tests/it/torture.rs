//! `hallpass torture`, in short: real processes, really killed, against our issuer and against one that forgives nothing.
//! `make torture` is the long form.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::program::{command, run};

/// As many renewals as a busy machine does in some seconds, and as meet several kills.
const REFRESHES: &str = "120";
/// A machine that builds meanwhile is slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// What it reports, and everything it said.
fn tortured(more: &[&str]) -> (Value, String) {
    let mut arguments =
        vec!["torture", "--json", "--processes", "8", "--minutes", "2", "--refreshes", REFRESHES];
    arguments.extend(more);
    let mut command = command(&arguments);
    // The rung is the best this machine has: a keyring, or else a passphrase of its own.
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = waiting.recv_timeout(PATIENCE).expect("it came to an end").unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    assert_eq!(report["schema"], "hallpass.torture/1");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["held"], true);
    (report, format!("{out}{err}"))
}

/// What became of a scenario, and its words.
fn finding(report: &Value, name: &str) -> (String, String) {
    let all = report["findings"].as_array().unwrap();
    let found =
        all.iter().find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"));
    (found["outcome"].as_str().unwrap().to_owned(), found["why"].as_str().unwrap().to_owned())
}

fn no_secret(said: &str) {
    for beginning in ["eyJ", "hpr_", "hpd_", "torture:"] {
        assert!(!said.contains(beginning), "`{beginning}`: {said}");
    }
}

#[test]
fn a_short_torture_of_our_issuer_loses_nothing_and_replays_nothing() {
    let (report, said) = tortured(&[]);
    no_secret(&said);
    assert_eq!(report["ours"], true);
    assert_eq!(report["forgives_lost_answers"], true);
    assert!(report["refreshes"].as_u64().unwrap() >= REFRESHES.parse().unwrap(), "{report:#}");
    assert!(report["kills"].as_u64().unwrap() > 0, "{report:#}");
    for none in ["lost_sessions", "ended_by_a_lost_answer", "replays", "renewals_at_once"] {
        assert_eq!(report[none], 0, "{none}: {report:#}");
    }
    for name in [
        "lost_answer",
        "storm",
        "ledger",
        "two_config_folders",
        "clock_jumps",
        "full_disk",
        "keyring_locks",
        "tenant_switched",
        "logout_during_refresh",
    ] {
        assert_eq!(finding(&report, name).0, "held", "{name}: {report:#}");
    }
    // Not every machine lets a process see another machine-id.
    let (outcome, why) = finding(&report, "two_hosts");
    assert!(outcome == "held" || why.contains("mount namespace"), "{outcome} {why}");
}

/// npm's oidc-provider, under an https name that the proxy of the run leads to it. It ends when its input closes.
struct OidcProvider(Child, String);

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl OidcProvider {
    fn start() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
        assert!(
            folder.join("node_modules").exists(),
            "run `scripts/setup test` first: npm's packages are missing"
        );
        let mut child = Command::new(folder.join("node"))
            .arg(folder.join("provider.mjs"))
            .args(["0", ISSUER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the pinned Node.js starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        // Whatever else it says is read, so that it does not die of a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, format!("http://127.0.0.1:{}", ready["port"]))
    }
}

const ISSUER: &str = "https://provider.test";

#[test]
fn a_short_torture_of_a_provider_that_forgives_nothing_loses_only_what_a_lost_answer_ends_and_says_so() {
    let provider = OidcProvider::start();
    let at = provider.1.as_str();
    let approve = format!("curl --silent --fail --data-binary @- {at}/test/device");
    let (report, said) = tortured(&[
        "--issuer",
        ISSUER,
        "--at",
        at,
        "--client-id",
        "native-cli",
        "--scope",
        "openid notes:read",
        "--approve",
        &approve,
    ]);
    no_secret(&said);
    assert_eq!((&report["ours"], &report["forgives_lost_answers"]), (&false.into(), &false.into()));
    assert!(report["kills"].as_u64().unwrap() > 0, "{report:#}");
    for none in ["lost_sessions", "replays", "renewals_at_once"] {
        assert_eq!(report[none], 0, "{none}: {report:#}");
    }
    for name in [
        "lost_answer",
        "storm",
        "two_config_folders",
        "full_disk",
        "tenant_switched",
        "logout_during_refresh",
    ] {
        assert_eq!(finding(&report, name).0, "held", "{name}: {report:#}");
    }
}

#[test]
fn an_issuer_that_no_proxy_leads_to_is_refused_with_what_to_do() {
    let refused = run(&["torture", "--issuer", "http://localhost:8417/acme"]);
    refused.failed(2, &["is not an https address", "--at"]);
}
