use std::process::Stdio;

use hallpass_model::cut::{Target, Why};
use hallpass_store::MakeCut;
use hallpass_testkit::world::NOTES;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::super::machine::{Said, in_time};
use super::gate::Gate;

/// Runs a helper with a question on its standard input.
pub(super) async fn ask(mut command: Command, question: &str) -> Said {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(question.as_bytes()).await; // it may not want to hear it all
    drop(stdin);
    Said(in_time(child.wait_with_output()).await.unwrap())
}

async fn git_get(gate: &Gate, question: &str) -> Said {
    ask(gate.machine.hallpass(&["helper", "git", "get"]), question).await
}

#[tokio::test]
async fn a_token_goes_to_the_place_of_an_entry_and_nowhere_else() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("git", "https://git.example:8443/team", "username = \"ada\""));
    let said = git_get(&gate, "protocol=https\nhost=git.example:8443\npath=team/x.git\n\n").await;
    assert_eq!(said.code(), 0, "{}", said.err());
    let out = said.out();
    let token = out.lines().find_map(|line| line.strip_prefix("password=")).unwrap();
    assert!(gate.machine.world.accepts(token).await);
    assert!(out.contains("username=ada\n") && out.contains("password_expiry_utc="), "{out}");

    for other in [
        "protocol=http\nhost=git.example:8443\npath=team/x.git\n",
        "protocol=https\nhost=git.example\npath=team/x.git\n",
        "protocol=https\nhost=git.example:8443\n",
        "protocol=https\nhost=git.example:8443\npath=teams/x.git\n",
        "protocol=https\nhost=git.example:8443\npath=team/../x.git\n",
        "protocol=https\nhost=evil.git.example:8443\npath=team/x.git\n",
        "protocol=https\nhost=GIT.example:8443\npath=team/x.git\n",
        "protocol=https\nhost=git.example:8443\npath=team/x.git\nusername=bob\n",
    ] {
        let said = git_get(&gate, other).await;
        assert_eq!((said.code(), said.out().as_str(), said.err().as_str()), (0, "", ""), "{other}");
    }
}

#[tokio::test]
async fn another_sign_in_than_the_surroundings_name_is_not_used() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("git", "https://git.example", ""));
    let question = "protocol=https\nhost=git.example\n\n";
    let mut command = gate.machine.hallpass(&["helper", "git", "get"]);
    command.env("HALLPASS_PROFILE", "home");
    let said = ask(command, question).await;
    assert_eq!((said.code(), said.out().as_str()), (5, "quit=1\n"));
    assert!(
        said.err().contains("the environment names") && said.err().lines().count() == 1,
        "{}",
        said.err()
    );
    let mut command = gate.machine.hallpass(&["helper", "git", "get"]);
    command.env("HALLPASS_PROFILE", "work");
    assert!(ask(command, question).await.out().contains("password="));
}

#[tokio::test]
async fn of_several_entries_the_surroundings_choose_and_nothing_is_guessed() {
    let gate = Gate::new().await;
    gate.machine.login(&["--profile", "home"]).await;
    let work = gate.entry("git", "https://git.example", "");
    gate.configure(&format!("{work}{}", work.replace("\"work\"", "\"home\"")));
    let question = "protocol=https\nhost=git.example\n\n";
    let said = git_get(&gate, question).await;
    assert_eq!((said.code(), said.out().as_str()), (2, "quit=1\n"));
    assert!(said.err().contains("several entries"), "{}", said.err());
    let mut command = gate.machine.hallpass(&["helper", "git", "get"]);
    command.env("HALLPASS_PROFILE", "home");
    let said = ask(command, question).await;
    assert!(said.out().contains("password="), "{}", said.err());
}

#[tokio::test]
async fn whoever_must_sign_in_is_told_so_in_one_line_and_git_asks_nobody_else() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("git", "https://git.example", ""));
    assert_eq!(gate.machine.run(&["logout"]).await.code(), 0);
    let said = git_get(&gate, "protocol=https\nhost=git.example\n\n").await;
    assert_eq!((said.code(), said.out().as_str()), (4, "quit=1\n"));
    assert!(said.err().contains("hallpass login --profile work"), "{}", said.err());
    assert_eq!(said.err().lines().count(), 1, "{}", said.err());
}

#[tokio::test]
async fn an_entry_that_would_send_a_token_in_the_clear_or_to_whoever_is_refused() {
    let gate = Gate::new().await;
    for (entry, why) in [
        (gate.entry("git", "http://git.example", ""), "in the clear"),
        (gate.entry("git", "https://git.example/../x", ""), "not plain"),
        (gate.entry("git", "https://*.example", ""), "plain name"),
        (gate.entry("svn", "https://git.example", ""), "known are git"),
        (gate.entry("docker", "https://r.example", "username = \"<token>\""), "meaning of its own"),
        (gate.entry("git", "https://git.example", "scop = \"x\""), "did you mean `scope`"),
        (
            format!("[[target]]\nkind = \"git\"\nat = \"https://git.example\"\nresource = \"{NOTES}\"\n"),
            "`profile` is missing",
        ),
        ("[target]\nkind = \"git\"\n".to_owned(), "list of tables"),
    ] {
        gate.configure(&entry);
        let said = git_get(&gate, "protocol=https\nhost=git.example\n\n").await;
        assert_eq!((said.code(), said.out().as_str()), (2, "quit=1\n"), "{entry}");
        assert!(said.err().contains(why), "{why}: {}", said.err());
    }
}

#[tokio::test]
async fn what_a_server_did_not_take_the_daemon_does_not_hand_out_again() {
    for store in ["passphrase", "daemon"] {
        let gate = Gate::new().await;
        gate.configure(&gate.entry("git", "https://git.example", ""));
        assert_eq!(gate.machine.run(&["daemon", "start"]).await.code(), 0);
        assert_eq!(gate.machine.run(&["logout"]).await.code(), 0);
        gate.machine.login(&["--profile", "work", "--store", store]).await;
        let question = "protocol=https\nhost=git.example\n";
        let password = |said: Said| {
            let out = said.out();
            out.lines()
                .find_map(|line| line.strip_prefix("password="))
                .unwrap_or_else(|| panic!("{}", said.err()))
                .to_owned()
        };
        let first = password(git_get(&gate, question).await);
        assert_eq!(password(git_get(&gate, question).await), first, "{store}: from what is kept");
        for refused in ["another", &first] {
            let told = format!("{question}password={refused}\n\n");
            let said = ask(gate.machine.hallpass(&["helper", "git", "erase"]), &told).await;
            assert_eq!((said.code(), said.out().as_str(), said.err().as_str()), (0, "", ""), "{store}");
            let next = password(git_get(&gate, question).await);
            assert_eq!(next == first, refused == "another", "{store}");
        }
        assert_eq!(gate.machine.run(&["status"]).await.code(), 0, "{store}: and nobody was signed out");
    }
}

#[tokio::test]
async fn helpers_ask_nobody_even_at_a_terminal() {
    let gate = Gate::new().await;
    gate.configure(&gate.entry("git", "https://git.example", ""));
    let mut command = gate.machine.hallpass(&["helper", "git", "get"]);
    command.env_remove("HALLPASS_PASSPHRASE_FILE");
    let said = ask(command, "protocol=https\nhost=git.example\n\n").await;
    assert_eq!((said.code(), said.out().as_str()), (4, "quit=1\n"), "{}", said.err());
    assert!(said.err().contains("HALLPASS_PASSPHRASE_FILE"), "{}", said.err());
}

/// How a program asks its helper: its name, its arguments, its question, and the environment that goes with it.
type Asked = (&'static str, &'static [&'static str], &'static str, (&'static str, &'static str));

const ASKED: [Asked; 8] = [
    ("git", &["git", "get"], "protocol=https\nhost=x.example\n\n", ("X", "")),
    ("docker", &["docker", "get"], "x.example\n", ("X", "")),
    ("kubectl", &["kubectl"], "", ("KUBERNETES_EXEC_INFO", KUBERNETES)),
    ("cargo", &["cargo"], CARGO, ("X", "")),
    ("aws", &["aws", "--role", "arn:aws:iam::123456789012:role/deploy"], "", ("X", "")),
    ("pip", &["pip", "get", "https://x.example/simple", "oauth2"], "", ("X", "")),
    ("pnpm", &["pnpm", "https://x.example"], "", ("X", "")),
    ("gcp", &["gcp"], "", ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "//iam.example/pools/p")),
];
const KUBERNETES: &str = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false,"cluster":{"server":"https://x.example","certificate-authority-data":"eA=="}}}"#;
const CARGO: &str = "{\"v\":1,\"registry\":{\"index-url\":\"sparse+https://x.example/index/\",\"name\":\"x\"},\"kind\":\"get\",\"operation\":\"read\",\"args\":[]}\n";

/// An entry for each of them.
fn for_all(gate: &Gate) {
    let entries = [
        gate.entry("git", "https://x.example", ""),
        gate.entry("docker", "https://x.example", ""),
        gate.entry("kubectl", "https://x.example", ""),
        gate.entry("cargo", "sparse+https://x.example/index/", "registry = \"x\""),
        gate.entry("aws", "https://sts.example", "role = \"arn:aws:iam::123456789012:role/deploy\""),
        gate.entry("pip", "https://x.example/simple", ""),
        gate.entry("pnpm", "https://x.example", ""),
        gate.entry("gcp", "", "").replace("at = \"\"\n", "audience = \"//iam.example/pools/p\"\n"),
    ];
    gate.configure(&entries.concat());
}

async fn ask_as(gate: &Gate, one: usize, change: impl FnOnce(&mut Command)) -> Said {
    let (_, arguments, question, (name, value)) = ASKED[one];
    let mut command = gate.machine.hallpass(&[&["helper"], arguments].concat());
    command
        .env(name, value)
        .env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:jwt");
    change(&mut command);
    ask(command, question).await
}

/// What each program is told, in its own protocol, where there is nothing to hand out: a code, where it is said, and what
/// else is said besides.
fn assert_refused(tool: &str, said: &Said, hint: &str) {
    let (out, err) = (said.out(), said.err());
    let (code, told) = match tool {
        "git" => (4, &err),
        // Clients show what is on standard output.
        "docker" => (1, &out),
        // An answer each, and not a failure of the helper's own.
        "cargo" | "gcp" => (0, &out),
        _ => (4, &err),
    };
    assert_eq!(said.code(), code, "{tool}: {out} {err}");
    assert!(told.contains(hint) && told.contains("hallpass"), "{tool}: {out} {err}");
    match tool {
        "git" => assert_eq!(out, "quit=1\n"),
        "docker" => assert_eq!((out.lines().count(), err.as_str()), (1, ""), "{tool}"),
        "cargo" => {
            let answers: Vec<serde_json::Value> =
                out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!((answers.len(), &answers[0]["v"][0]), (2, &1.into()), "{out}");
            assert_eq!(answers[1]["Err"]["kind"], "other", "{out}");
        }
        "gcp" => {
            let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!((&answer["success"], &answer["code"]), (&false.into(), &"401".into()), "{out}");
            assert_eq!(err, "", "Google's library reads it as a part of the answer");
        }
        _ => assert_eq!((out.as_str(), err.lines().count()), ("", 1), "{tool}: {out} {err}"),
    }
}

#[tokio::test]
async fn each_program_is_refused_in_its_own_words_where_nobody_is_signed_in_or_the_sign_in_has_ended() {
    let gate = Gate::new().await;
    for_all(&gate);
    // The issuer has ended it, and nobody here knows until it is used.
    let target = Target::Principal(gate.machine.world.ada);
    gate.machine.world.change(MakeCut { org: None, target, why: Why::EndedByAdministrator }).await;
    for (one, (tool, ..)) in ASKED.iter().enumerate() {
        assert_refused(tool, &ask_as(&gate, one, |_| {}).await, "hallpass login --profile work");
    }
    gate.machine.run(&["logout"]).await;
    for (one, (tool, ..)) in ASKED.iter().enumerate() {
        assert_refused(tool, &ask_as(&gate, one, |_| {}).await, "hallpass login --profile work");
    }
}

/// What a directory asks for is followed only when somebody has looked at it; whoever works there is told that it is not.
#[tokio::test]
async fn a_directory_that_nobody_trusted_is_named_on_standard_error_and_not_followed() {
    let gate = Gate::new().await;
    for_all(&gate);
    let repository = gate.machine.path("repository");
    std::fs::create_dir_all(&repository).unwrap();
    std::fs::write(repository.join(".hallpass.toml"), "profile = \"somebody-elses\"\n").unwrap();
    for (one, (tool, ..)) in ASKED.iter().enumerate() {
        let said = ask_as(&gate, one, |command| {
            command
                .current_dir(&repository)
                .env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", repository.join("output"));
        })
        .await;
        match *tool {
            "gcp" => assert_eq!(said.err(), "", "Google's library reads it as a part of the answer"),
            _ => assert!(said.err().contains(".hallpass.toml` is not trusted"), "{tool}: {}", said.err()),
        }
        if *tool != "aws" {
            assert_eq!(said.code(), 0, "{tool}: {}", said.err());
        }
        assert!(!said.out().contains("somebody-elses"), "{tool}");
    }
    assert!(!repository.join("output").exists(), "a token in a file is what Google's cache would be");
}
