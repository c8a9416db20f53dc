//! The other places where a workload finds out what it is: SPIFFE's Workload API, the metadata services of clouds, the
//! programs of CI systems.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use hallpass_model::trust::Preset;
use hallpass_testkit::outside_issuer::{ENTRA_APPLICATION, JOB_KEY};
use hallpass_testkit::world::NOTES;
use serde_json::json;

use super::{Runner, Said, in_time};
use crate::holder::helpers::interop::interop;

/// A Workload API: gRPC's own library, with the messages that the `spiffe` package has.
struct WorkloadApi {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl WorkloadApi {
    fn start(runner: &Runner, socket: &str) -> Self {
        let mut child = python()
            .arg(socket)
            .arg(runner.outside.job_url())
            .env("JOB_KEY", JOB_KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut api = Self { child, input, output };
        api.heard("ready");
        api
    }

    /// The workload is this from now on.
    fn says(&mut self, state: &str) {
        writeln!(self.input, "{state}").unwrap();
        self.heard(state);
    }

    fn heard(&mut self, word: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }
}

impl Drop for WorkloadApi {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The Workload API's program, which is a client, too.
fn python() -> Command {
    let mut command = Command::new(interop(".venv/bin/python").unwrap());
    command.arg(interop("workload_api.py").unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

const SPIFFE_ID: &str = "spiffe://prod.example/ci/site";

/// `hallpass token` for the notes, with these variables and the issuer's name.
async fn ask(runner: &Runner, variables: &[(&str, &str)]) -> Said {
    let mut command = runner.machine.hallpass(&["token", "--resource", NOTES]);
    command.env("HALLPASS_ISSUER", &runner.machine.world.issuer_url).envs(variables.iter().copied());
    Said(in_time(command.output()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_with_a_spiffe_identity_comes_in_by_the_workload_api() {
    if interop(".venv/installed-locks").is_none() {
        return; // `make test` installs it
    }
    let condition = format!("sub={SPIFFE_ID}");
    let runner = Runner::letting_in(Preset::Spiffe, None, &[&condition]).await;
    runner.outside.runs(json!({ "sub": SPIFFE_ID }));
    let socket = runner.machine.path("agent.sock");
    let mut api = WorkloadApi::start(&runner, socket.to_str().unwrap());
    let named = format!("unix://{}", socket.display());
    // The server is one that others' clients understand.
    let theirs = python()
        .args(["--client", socket.to_str().unwrap(), &runner.machine.world.issuer_url])
        .output()
        .unwrap();
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));

    let variables = [("SPIFFE_ENDPOINT_SOCKET", named.as_str())];
    let said = ask(&runner, &variables).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("as a workload with a SPIFFE identity"), "{}", said.err());
    assert!(runner.machine.world.accepts(said.out().trim()).await);
    assert_eq!(runner.outside.asked(), 2, "an SVID for each exchange, and one for the other client");

    api.says("unknown");
    let said = ask(&runner, &variables).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""), "{}", said.err());
    assert!(said.err().contains("has no identity for this process (no identity issued)"), "{}", said.err());
    api.says("away");
    let said = ask(&runner, &variables).await;
    assert_eq!(said.code(), 75, "{}", said.err());
    assert!(said.err().contains("the agent is starting: 100% of nothing"), "{}", said.err());
    drop(api);
    let said = ask(&runner, &variables).await;
    assert_eq!(said.code(), 75, "{}", said.err());
    let said = ask(&runner, &[("SPIFFE_ENDPOINT_SOCKET", "tcp://192.0.2.1:8000")]).await;
    assert_eq!(said.code(), 2);
    assert!(said.err().contains("is not on this machine"), "{}", said.err());
}

#[tokio::test]
async fn a_machine_of_google_cloud_comes_in_as_its_service_account() {
    let runner = Runner::letting_in(Preset::Gcp, None, &["sub=104"]).await;
    runner.outside.runs(json!({ "sub": "104" }));
    let host = [("GCE_METADATA_HOST", runner.outside.metadata_host())];
    for variables in [&[host[0], ("K_SERVICE", "site")][..], &host] {
        let said = ask(&runner, variables).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains("as a service account of Google Cloud"), "{}", said.err());
        assert!(runner.machine.world.accepts(said.out().trim()).await);
    }
    // It is never asked over a network.
    let said = ask(&runner, &[("GCE_METADATA_HOST", "192.0.2.1")]).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""), "{}", said.err());
    assert!(said.err().contains("neither link-local nor this machine"), "{}", said.err());
}

/// A person uses a machine of a cloud: what they ask for is theirs, and what their machine is comes after it.
#[tokio::test]
async fn a_sign_in_comes_before_what_the_machine_is_and_after_what_a_container_is() {
    let runner = Runner::letting_in(Preset::Gcp, None, &["sub=104"]).await;
    runner.outside.runs(json!({ "sub": "104" }));
    runner.machine.login(&[]).await;
    let client = async |variables: &[(&str, &str)]| {
        let said = ask(&runner, variables).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        runner.machine.world.introspect(said.out().trim()).await["client_id"].clone()
    };
    let host = ("GCE_METADATA_HOST", runner.outside.metadata_host());
    assert_ne!(client(&[host]).await, "site");
    assert_eq!(client(&[host, ("CLOUD_RUN_JOB", "site")]).await, "site");
}

#[tokio::test]
async fn a_managed_identity_of_azure_comes_in_by_the_audience_that_its_tenant_knows() {
    let runner = Runner::letting_in(Preset::Azure, Some(ENTRA_APPLICATION), &["oid=0f1e"]).await;
    runner.outside.runs(json!({ "sub": "0f1e", "oid": "0f1e", "tid": "aa", "ver": "2.0" }));
    let machine = format!("http://{}/", runner.outside.metadata_host());
    let machine = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.as_str());
    let endpoint = format!("{}/msi/token", runner.outside.url());
    let application = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", JOB_KEY)];
    let audience = ("HALLPASS_ID_TOKEN_AUDIENCE", ENTRA_APPLICATION);
    for variables in [&[machine, audience][..], &[application[0], application[1], audience]] {
        let said = ask(&runner, variables).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains("as a managed identity of Azure"), "{}", said.err());
        assert!(runner.machine.world.accepts(said.out().trim()).await);
    }
    let said = ask(&runner, &[machine]).await;
    assert_eq!((said.code(), said.out().as_str()), (5, ""), "{}", said.err());
    assert!(said.err().contains("AADSTS50001"), "{}", said.err());
}

/// The programs are stand-ins: what they print is what the outside issuer signs for whom they are told.
#[tokio::test]
async fn jobs_of_buildkite_and_circleci_ask_the_program_that_runs_them() {
    let runner = Runner::new().await;
    let bin = runner.machine.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let program = |name: &str, text: &str| {
        let text = text.replace("JOB", &runner.outside.job_url()).replace("KEY", JOB_KEY);
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    program(
        "buildkite-agent",
        "#!/bin/sh
[ \"$1 $2 $3\" = 'oidc request-token --audience' ] || exit 9
curl -s -H 'Authorization: bearer KEY' --data-urlencode \"audience=$4\" -G 'JOB' | sed 's/.*\"value\":\"\\([^\"]*\\)\".*/\\1/'
",
    );
    program(
        "circleci",
        "#!/bin/sh
[ \"$1 $2 $3 $4\" = 'run oidc get --claims' ] || exit 9
aud=\"$(echo \"$5\" | sed 's/^{\"aud\":\"\\(.*\\)\"}$/\\1/')\"
curl -s -H 'Authorization: bearer KEY' --data-urlencode \"audience=$aud\" -G 'JOB' | sed 's/.*\"value\":\"\\([^\"]*\\)\".*/\\1/'
",
    );
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let jobs = [("BUILDKITE_AGENT_ACCESS_TOKEN", "Buildkite"), ("CIRCLE_OIDC_TOKEN_V2", "CircleCI")];
    for (variable, name) in jobs {
        let said = ask(&runner, &[(variable, "x"), ("PATH", &path)]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(said.err().contains(&format!("as a job of {name}")), "{}", said.err());
        assert!(runner.machine.world.accepts(said.out().trim()).await);
    }
    program("buildkite-agent", "#!/bin/sh\necho 'fatal: failed to get OIDC token: 422' >&2\nexit 1\n");
    let said = ask(&runner, &[(jobs[0].0, "x"), ("PATH", &path)]).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""));
    assert!(said.err().contains("failed to get OIDC token: 422"), "{}", said.err());
    let said = ask(&runner, &[(jobs[0].0, "x"), ("PATH", "/nowhere")]).await;
    assert_eq!(said.code(), 2);
    assert!(said.err().contains("`buildkite-agent`, which says what this job is"), "{}", said.err());
}
