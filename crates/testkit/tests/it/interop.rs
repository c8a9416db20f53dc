//! Do we speak with other people's OAuth? npm's openid-client, PyPI's authlib and google-auth against our issuer, our holder
//! against npm's oidc-provider.

mod authlib; // authlib's services log in here
mod google; // google-auth's external accounts exchange a job's token here
mod holder; // our holder logs in there
mod issuer; // openid-client logs in here
mod login_provider; // people log in here by oidc-provider
mod openapi; // schemathesis holds the administrators' API to its description
mod mcp; // the MCP SDK logs in here

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program of `tests/interop`, which speaks JSON, a value a line.
struct Npm {
    program: &'static str,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Npm {
    fn start(program: &'static str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop");
        assert!(
            folder.join("node_modules").exists(),
            "run `scripts/setup test` first: npm's packages are missing"
        );
        let mut child = Command::new(folder.join("node"))
            .arg(folder.join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the pinned Node.js starts");
        let input = child.stdin.take().expect("it was piped");
        let output = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        Self { program, child, input, output }
    }

    /// The next value it says; nothing once it has ended.
    async fn hear(&mut self) -> Option<Value> {
        let line = self.output.next_line().await.expect("its output is text")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}: {line}", self.program)))
    }

    /// Tells it a line.
    async fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }
}
