//! Programs of the systems that run jobs, which print a token for whoever is named.

use std::process::Stdio;
use std::time::Duration;

use hallpass_model::jose::OUTSIDE_TOKEN_LEN_MAX;
use hallpass_model::purpose::plain;
use hallpass_model::secret::{Assertion, Secret};
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::error::HolderError;

/// Such a program asks its service over the network, and no job shall hang for it.
const ANSWER_AT_MOST: Duration = Duration::from_secs(30);
/// What it says when it fails, at most, in bytes: enough for its reason, too little to flood a log.
const SAID_LEN_MAX: usize = 400;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobCommand {
    /// Buildkite's documentation, "buildkite-agent oidc".
    Buildkite,
    /// CircleCI's documentation, "OpenID Connect tokens with custom claims".
    Circleci,
}

impl JobCommand {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Buildkite => "a job of Buildkite",
            Self::Circleci => "a job of CircleCI",
        }
    }

    /// The program, and what it is told.
    fn line(self, audience: &str) -> (&'static str, Vec<String>) {
        let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Buildkite => ("buildkite-agent", line(&["oidc", "request-token", "--audience", audience])),
            Self::Circleci => {
                let claims = serde_json::json!({ "aud": audience }).to_string();
                ("circleci", line(&["run", "oidc", "get", "--claims", &claims]))
            }
        }
    }

    /// A token for this audience. The program is found as the job's own commands are, by its `PATH`.
    pub(super) async fn assertion(self, audience: &str) -> Result<Secret<Assertion>, HolderError> {
        let (program, arguments) = self.line(audience);
        let failed = |why: String| HolderError::Usage {
            what: format!("`{program}`, which says what this job is, gave no token: {why}"),
        };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        // Room for all of it at once: growing would leave copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(OUTSIDE_TOKEN_LEN_MAX + 2));
        let mut said = Vec::new();
        let mut stdout =
            child.stdout.take().expect("it was asked for").take(OUTSIDE_TOKEN_LEN_MAX as u64 + 2);
        let mut stderr = child.stderr.take().expect("it was asked for");
        let all = async {
            let head = async {
                (&mut stderr).take(SAID_LEN_MAX as u64).read_to_end(&mut said).await?;
                // The rest is thrown away: a program that cannot go on writing does not end.
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
            };
            let (read, _) = tokio::join!(stdout.read_to_end(&mut out), head);
            read?;
            drop(stdout);
            child.wait().await
        };
        let ended = tokio::time::timeout(ANSWER_AT_MOST, all).await;
        let ended = ended.map_err(|_| failed(format!("it took more than {} s", ANSWER_AT_MOST.as_secs())))?;
        let ended = ended.map_err(|error| failed(error.to_string()))?;
        if !ended.success() {
            let said = plain(&String::from_utf8_lossy(&said), 200);
            return Err(failed(format!("{ended}: {said}")));
        }
        match std::str::from_utf8(&out).map(str::trim) {
            Ok("") | Err(_) => Err(failed("it printed none".into())),
            Ok(token) => Ok(Secret::from_text(token.to_owned())),
        }
    }
}
