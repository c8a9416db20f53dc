//! A CI job, which nobody signs in: it comes in by a trust, with what it is given by what runs it.

mod sources;

use hallpass_model::client::ClientKind;
use hallpass_model::principal::Owner;
use hallpass_model::time::Lifetime;
use hallpass_model::trust::{IssuerKeys, Preset, Rule};
use hallpass_model::wire::oauth::Scopes;
use hallpass_store::{AddClient, AddPerson, AddTrust, OwnedId, SetPersonStanding, TransferOwned, Which};
use hallpass_testkit::outside_issuer::{JOB_KEY, OutsideIssuer};
use hallpass_testkit::world::NOTES;
use serde_json::json;
use tokio::process::Command;

use super::api::{Api, Kind};
use super::machine::{Machine, Said, in_time};

/// A runner of CI jobs, which has no sign-in, and a trust by which the jobs of one repository's environment come in.
struct Runner {
    machine: Machine,
    outside: OutsideIssuer,
}

impl Runner {
    async fn new() -> Self {
        Self::letting_in(Preset::Github, None, &["repository_id=74", "environment=prod"]).await
    }

    async fn letting_in(preset: Preset, audience: Option<&str>, conditions: &[&str]) -> Self {
        let machine = Machine::new().await;
        let outside = OutsideIssuer::start().await;
        outside.runs(
            json!({ "sub": "repo:acme/site:environment:prod", "repository_id": "74", "environment": "prod" }),
        );
        let world = &machine.world;
        let scopes = Scopes::parse("notes:read").unwrap();
        let client = world
            .add_client(AddClient { scopes: scopes.clone(), ..world.new_client("site", ClientKind::Ci) })
            .await;
        let trust = AddTrust {
            org: world.org,
            handle: "site-prod".parse().unwrap(),
            client,
            environment: "dev".parse().unwrap(),
            rule: Rule {
                preset,
                // A JWT-SVID is by its trust domain.
                issuer: match preset {
                    Preset::Spiffe => "spiffe://prod.example".to_owned(),
                    _ => outside.url().to_owned(),
                },
                audience: audience.unwrap_or(&world.issuer_url).to_owned(),
                conditions: conditions.iter().map(|condition| condition.parse().unwrap()).collect(),
            },
            keys: match preset {
                Preset::Spiffe => IssuerKeys::At(format!("{}/keys", outside.url())),
                _ => IssuerKeys::Discovered,
            },
            scopes,
            longest: Lifetime::minutes(5),
        };
        world.change(trust).await.unwrap();
        Self { machine, outside }
    }

    /// `hallpass` as a job of GitHub Actions has it.
    fn hallpass(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.hallpass(arguments);
        command
            .env("CI", "true")
            .env("HALLPASS_ISSUER", &self.machine.world.issuer_url)
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", self.outside.job_url())
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", JOB_KEY);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        Said(in_time(self.hallpass(arguments).output()).await.unwrap())
    }
}

const EXEC: [&str; 5] = ["exec", "--purpose", "deploy", "--resource", NOTES];

#[tokio::test]
async fn a_job_runs_a_command_with_a_pass_of_its_own_and_nobody_signed_in() {
    let runner = Runner::new().await;
    let world = &runner.machine.world;
    let token = runner.machine.path("token");
    let keep = format!("printf %s \"$HALLPASS_TOKEN\" > {}", token.display());
    let said = runner.run(&[&EXEC[..], &["--scope", "notes:read", "--", "sh", "-c", &keep]].concat()).await;
    assert_eq!(said.code(), 0, "{}", said.err());
    assert!(said.err().contains("as a job of GitHub Actions, by a trust of"), "{}", said.err());
    let token = std::fs::read_to_string(token).unwrap();
    assert!(token.starts_with("ey") && !world.accepts(&token).await, "it died with the command");
    let recorded = world.ledger_from(0).await;
    let released: Vec<&str> =
        recorded.iter().map(String::as_str).filter(|event| event.starts_with("released")).collect();
    assert_eq!(released, ["released: run_over"], "{recorded:?}");
    // Nothing of it is kept.
    assert!(!runner.machine.path(".local/state/hallpass").exists());
}

#[tokio::test]
async fn each_exchange_has_a_fresh_token_of_the_job_s() {
    let runner = Runner::new().await;
    for asked in 1..=3 {
        let said = runner.run(&["token", "--resource", NOTES]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        assert!(runner.machine.world.accepts(said.out().trim()).await);
        assert_eq!(runner.outside.asked(), asked);
    }
}

#[tokio::test]
async fn a_job_that_no_trust_lets_in_is_told_what_to_look_at_and_gets_nothing() {
    let runner = Runner::new().await;
    runner.outside.runs(json!({ "sub": "repo:acme/fork:pull_request", "repository_id": "75" }));
    let said = runner.run(&[&EXEC[..], &["--", "true"]].concat()).await;
    assert_eq!(said.code(), 125);
    assert!(said.err().contains("hallpass admin trust test"), "{}", said.err());
    let said = runner.run(&["token", "--resource", NOTES]).await;
    assert_eq!((said.code(), said.out().as_str()), (5, ""), "{}", said.err());
}

/// The thread from a person who leaves to a job that works again.
#[tokio::test]
async fn a_job_whose_owner_left_is_told_since_when_and_to_whom_to_turn_until_somebody_takes_it_over() {
    let runner = Runner::new().await;
    let world = &runner.machine.world;
    let org = world.org;
    let grace = AddPerson { org, handle: "grace".parse().unwrap(), name: "Grace Hopper".into() };
    let grace = world.change(grace).await.unwrap();
    let site = world.store.find_client_by_handle(org, "site").await.unwrap().unwrap().id;
    let which = Which::These(vec![OwnedId::Client(site)]);
    let to = |owner| TransferOwned { org, which: which.clone(), to: Owner::Person(owner) };
    world.change(to(grace)).await.unwrap();
    let ask = ["token", "--resource", NOTES];
    let before = runner.run(&ask).await;
    assert_eq!(before.code(), 0, "{}", before.err());

    world.change(SetPersonStanding { org, person: grace, active: false }).await;
    assert!(!world.accepts(before.out().trim()).await);
    let said = runner.run(&ask).await;
    assert_eq!((said.code(), said.out().as_str()), (5, ""), "{}", said.err());
    for word in ["suspended since 2", "the administrators of acme", "hint: "] {
        assert!(said.err().contains(word), "{}", said.err());
    }
    assert!(!said.err().contains("race"), "no name goes out: {}", said.err());

    world.change(to(world.ada)).await.unwrap();
    let after = runner.run(&ask).await;
    assert_eq!(after.code(), 0, "{}", after.err());
    assert!(world.accepts(after.out().trim()).await && !world.accepts(before.out().trim()).await);
}

#[tokio::test]
async fn a_job_without_an_issuer_or_an_api_is_told_to_name_one() {
    let runner = Runner::new().await;
    let said = runner.run(&["token"]).await;
    assert_eq!(said.code(), 2);
    assert!(said.err().contains("--resource"), "{}", said.err());
    let mut nameless = runner.hallpass(&["token", "--resource", NOTES]);
    let said = Said(in_time(nameless.env_remove("HALLPASS_ISSUER").output()).await.unwrap());
    assert_eq!(said.code(), 4);
    assert!(
        said.err().contains("this is a job of GitHub Actions") && said.err().contains("HALLPASS_ISSUER"),
        "{}",
        said.err()
    );
}

/// GitLab gives a job its token in a variable, Kubernetes a pod its own in a file that is replaced now and then.
#[tokio::test]
async fn a_token_in_a_variable_or_in_a_file_is_as_good() {
    let runner = Runner::new().await;
    let world = &runner.machine.world;
    let now = hallpass_testkit::clock::real_now().seconds();
    let claims = json!({
        "iss": runner.outside.url(), "aud": world.issuer_url, "sub": "x", "repository_id": "74", "environment": "prod",
        "iat": now, "exp": now + 300,
    });
    let job = runner.outside.sign(hallpass_model::jose::Typ::IdToken, &claims);
    let file = runner.machine.path("projected");
    std::fs::write(&file, format!("{job}\n")).unwrap();
    let ask = async |name: &str, value: &std::ffi::OsStr| {
        let mut command = runner.machine.hallpass(&["token", "--resource", NOTES]);
        command.env("HALLPASS_ISSUER", &world.issuer_url).env(name, value);
        Said(in_time(command.output()).await.unwrap())
    };
    for (name, value) in [("HALLPASS_ID_TOKEN", job.as_ref()), ("HALLPASS_ID_TOKEN_FILE", file.as_os_str())] {
        let said = ask(name, value).await;
        assert_eq!(said.code(), 0, "{name}: {}", said.err());
        assert!(world.accepts(said.out().trim()).await, "{name}");
        assert!(!said.err().contains(&job), "{name}");
    }
    let said = ask("HALLPASS_ID_TOKEN_FILE", runner.machine.path("nowhere").as_os_str()).await;
    assert_eq!(said.code(), 2);
    assert!(said.err().contains("nowhere"), "{}", said.err());
}

/// Nothing of the job's is kept, so the key of its proofs is one pass's alone.
#[tokio::test]
async fn a_job_asks_an_api_with_a_bound_token_and_must_name_it() {
    let runner = Runner::new().await;
    let kind = Kind { nonces: true, ..Kind::default() };
    let api = Api::start(&runner.machine.world.issuer_url, kind).await;
    runner.machine.world.add_resource(&api.url, "notes:read", None).await;
    for _ in 0..2 {
        let said = runner.run(&["curl", "--resource", &api.url, "-sS", &api.at("notes")]).await;
        assert_eq!((said.code(), said.out().as_str()), (0, "GET /notes proven \n"), "{}", said.err());
    }
    assert_eq!(runner.outside.asked(), 2);
    let said = runner.run(&["token", "--resource", &api.url, "--dpop", "GET", &api.at("notes")]).await;
    assert!(said.out().starts_with("Authorization: DPoP ey"), "{}", said.err());
    let said = runner.run(&["curl", "-sS", &api.at("notes")]).await;
    assert_eq!((said.code(), said.out().as_str()), (2, ""));
    assert!(said.err().contains("`--resource URL`"), "{}", said.err());
}

/// A build agent that stays, where somebody signed in once: the job is not them.
#[tokio::test]
async fn a_person_s_sign_in_on_the_same_machine_is_not_the_job_s() {
    let runner = Runner::new().await;
    runner.machine.login(&[]).await;
    let client = async || {
        let said = runner.run(&["token", "--resource", NOTES]).await;
        assert_eq!(said.code(), 0, "{}", said.err());
        runner.machine.world.introspect(said.out().trim()).await["client_id"].clone()
    };
    assert_eq!(client().await, "site");
    // Nor where a daemon has theirs at hand.
    let started = runner.machine.run(&["daemon", "start"]).await;
    assert_eq!(started.code(), 0, "{}", started.err());
    assert_eq!(client().await, "site");
}
