//! What the holder's commands show, byte for byte, with what differs from run to run in brackets.
//! `SNAPSHOTS=overwrite cargo test -p hallpass` writes it anew.

use std::process::Stdio;

use hallpass_model::jose::base64url;
use hallpass_store::Answer;
use hallpass_testkit::world::NOTES;
use snapbox::{assert_data_eq, file};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::machine::{Machine, Said, in_time};

/// What a person typed and saw, one command after the other.
struct Session {
    machine: Machine,
    seen: String,
}

impl Session {
    async fn new() -> Self {
        Self { machine: Machine::new().await, seen: String::new() }
    }

    fn note(&mut self, arguments: &[&str], out: &str, err: &str, code: i32) {
        let line: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let seen = format!("$ hallpass {}\n{out}{err}exit {code}\n\n", line.join(" "));
        self.seen += &redacted(&seen, &self.machine);
    }

    /// Runs a command to its end.
    async fn run(&mut self, arguments: &[&str]) {
        let said = self.machine.run(arguments).await;
        self.note(arguments, &said.out(), &said.err(), said.code());
    }

    /// A login by code, which ada answers.
    async fn login(&mut self, more: &[&str], answer: Answer) {
        let issuer = self.machine.world.issuer_url.clone();
        let arguments = [&["login", &issuer, "--flow", "device", "--resource", NOTES], more].concat();
        let mut child = self.machine.hallpass(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut err = String::new();
        let code = loop {
            let from = err.len();
            assert_ne!(in_time(lines.read_line(&mut err)).await.unwrap(), 0, "no code: {err}");
            if let Some(code) = err[from..].trim().strip_prefix("Enter  ") {
                break code.to_owned();
            }
        };
        self.machine.world.answer_device(&code, self.machine.world.ada, answer).await;
        in_time(lines.read_to_string(&mut err)).await.unwrap();
        let said = Said(in_time(child.wait_with_output()).await.unwrap());
        let err = err.replace(&code, "[CODE]");
        self.note(&arguments, &said.out().replace(&code, "[CODE]"), &err, said.code());
    }

    fn seen(&self) -> String {
        format!("{}\n", self.seen.trim_end())
    }
}

fn quoted(word: &str) -> String {
    match word.contains(' ') {
        true => format!("'{word}'"),
        false => word.to_owned(),
    }
}

/// What differs from run to run: where the issuer and the files are, tokens, times, and names made of those.
fn redacted(text: &str, machine: &Machine) -> String {
    let home = machine.path("");
    let text = text.replace(&machine.world.issuer_url, "[ISSUER]");
    let text = text.replace(home.to_str().unwrap().trim_end_matches('/'), "[HOME]");
    let mut redacted = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "\",/".contains(c)) {
        let end = word.trim_end_matches(|c: char| c.is_whitespace() || "\",/".contains(c)).len();
        let (word, rest) = word.split_at(end);
        redacted += match word {
            time if time.len() == "2026-11-22T10:00:00Z".len() && time.ends_with('Z') => "[TIME]",
            token if token.split('.').count() == 3 && token.split('.').all(is_base64url) => "[TOKEN]",
            record if record.ends_with(".record") => "[RECORD]",
            folder if folder.len() == 16 && folder.bytes().all(|b| b.is_ascii_hexdigit()) => "[MACHINE]",
            other => other,
        };
        redacted += rest;
    }
    // Whatever sort of machine the tests run on.
    ["container", "laptop", "server"].iter().fold(redacted, |text, class| {
        text.replace(&format!("\"device_class\":\"{class}\""), "\"device_class\":\"[CLASS]\"")
    })
}

fn is_base64url(part: &str) -> bool {
    part.len() > 40 && base64url::parse(part).is_some()
}

#[tokio::test]
async fn a_session_from_login_to_logout() {
    let mut session = Session::new().await;
    session.run(&["status"]).await;
    session.run(&["token"]).await;
    session.login(&["--scope", "notes:read", "--purpose", "see what a pass is"], Answer::Yes).await;
    session.run(&["status"]).await;
    session.run(&["token"]).await;
    session
        .run(&["exec", "--purpose", "read my notes", "--", "sh", "-c", "echo I have ${HALLPASS_TOKEN:+one}"])
        .await;
    session.run(&["exec", "--purpose", "write one", "--scope", "notes:write", "--", "true"]).await;
    session
        .run(&["exec", "--purpose", "elsewhere", "--resource", "https://elsewhere.example/", "--", "true"])
        .await;
    session.run(&["exec", "--purpose", "all day", "--ttl", "8h", "--", "true"]).await;
    session.run(&["exec", "--quiet", "--purpose", "fail", "--", "sh", "-c", "exit 3"]).await;
    session.run(&["logout"]).await;
    session.run(&["logout"]).await;
    assert_data_eq!(session.seen(), file!["../transcripts/holder-session.txt"].raw());
}

#[tokio::test]
async fn the_same_for_programs() {
    let mut session = Session::new().await;
    session.run(&["status", "--json"]).await;
    session.login(&["--json", "--scope", "notes:read"], Answer::Yes).await;
    session.run(&["status", "--json"]).await;
    session.run(&["token", "--json"]).await;
    session.run(&["logout", "--json"]).await;
    session.run(&["logout", "--json"]).await;
    assert_data_eq!(session.seen(), file!["../transcripts/holder-json.txt"].raw());
}

#[tokio::test]
async fn what_is_said_when_it_does_not_work() {
    let mut session = Session::new().await;
    session.login(&[], Answer::No).await;
    let issuer = session.machine.world.issuer_url.clone();
    session.run(&["login"]).await;
    session.run(&["login", "id.example"]).await;
    session.run(&["login", "microsoft"]).await;
    session.run(&["login", "http://id.example/acme"]).await;
    session.run(&["login", &issuer]).await;
    session.run(&["login", &issuer, "--flow", "device", "--client-id", "nobody"]).await;
    session.run(&["login", &issuer, "--flow", "device", "--resource", "https://elsewhere.example/"]).await;
    session.run(&["login", &issuer, "--flow", "device", "--store", "memory"]).await;
    session.run(&["login", &issuer, "--flow", "device", "--one-run", "--", "true"]).await;
    session.run(&["login", &issuer, "--flow", "device", "--ca-file", "/nowhere.pem"]).await;
    session.run(&["logout", "--issuer", "https://id.example/acme"]).await;
    assert_data_eq!(session.seen(), file!["../transcripts/holder-failures.txt"].raw());
}
