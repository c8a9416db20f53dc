//! Debian's oidc-agent, with an account at npm's oidc-provider: what `oidc-token` asks.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::ask_once;
use crate::process::{self, Running};
use crate::side::Server;
use crate::{Failure, peer};

/// The account's short name.
const ACCOUNT: &str = "bench";
/// How long the agent may take to listen.
const START_TIME_OUT: Duration = Duration::from_secs(10);

/// An agent that runs, and its provider. Both end when this is dropped.
pub(crate) struct Agent {
    _provider: Server,
    agent: Running,
    folder: tempfile::TempDir,
}

impl Agent {
    /// Starts both, and gives the agent an account whose access tokens are JWTs, as ours are.
    pub(crate) fn start() -> Result<Self, Failure> {
        let provider = peer::start(0, true)?;
        let folder = tempfile::Builder::new().prefix("hallpass-bench-").tempdir()?;
        fs::create_dir(folder.path().join("accounts"))?;
        let mut command = agent_program("oidc-agent", folder.path().into());
        let agent = command.arg("--console").arg("--socket-path").arg(folder.path().join("agent.sock"));
        let agent = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let agent = agent.map_err(|error| format!("oidc-agent (Debian's oidc-agent-cli): {error}"))?;
        let agent = Self { _provider: provider, agent: Running(agent), folder };
        let asked = Instant::now();
        while !agent.folder.path().join("agent.sock").exists() {
            if asked.elapsed() > START_TIME_OUT {
                return Err("oidc-agent does not listen".into());
            }
            process::pause(Duration::from_millis(5));
        }
        agent.add_account()?;
        Ok(agent)
    }

    /// By a refresh token that the provider has at hand: nobody needs a browser.
    fn add_account(&self) -> Result<(), Failure> {
        let address = &self._provider.address;
        let (status, token) = ask_once(address, "POST", "/bench/agents/1")?;
        if status != 200 {
            return Err(format!("no refresh token for oidc-agent: {status}").into());
        }
        let mut command = agent_program("oidc-gen", self.folder.path().into());
        command
            .args(["--manual", "--client-id=bench-agent", "--client-secret=bench-secret"])
            .args(["--redirect-uri=http://localhost:4242", "--scope=notes:read offline_access"])
            .arg(format!("--issuer=http://{address}"))
            .args([
                "--rt-env=BENCH_REFRESH_TOKEN",
                "--pw-env=BENCH_PASSWORD",
                "--prompt=none",
                "--confirm-default",
            ])
            .arg(ACCOUNT)
            .env("BENCH_REFRESH_TOKEN", String::from_utf8(token)?.trim())
            .env("BENCH_PASSWORD", "correct horse");
        let output = command.output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("oidc-gen: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }

    /// `oidc-token`, for the account.
    pub(crate) fn token(&self) -> Command {
        let mut command = agent_program("oidc-token", self.folder.path().into());
        command.arg(ACCOUNT).stdout(Stdio::null());
        command
    }

    /// MiB of memory that the agent holds, both its processes.
    pub(crate) fn rss_mib(&self) -> Result<f64, Failure> {
        let own = self.agent.0.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        children.chain([own]).map(process::rss_mib).sum()
    }
}

fn agent_program(name: &str, folder: PathBuf) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &folder)
        .env("OIDC_CONFIG_DIR", folder.join("accounts"))
        .env("OIDC_SOCK", folder.join("agent.sock"))
        .stdin(Stdio::null());
    command
}
