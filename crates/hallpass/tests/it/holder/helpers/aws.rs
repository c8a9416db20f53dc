use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hallpass_model::time::Lifetime;

use rustix::process::{Signal, kill_process};

use super::super::killed::pid;
use super::super::machine::{Said, in_time, now, until};
use super::gate::{Gate, listener, serve};
use super::interop::{interop, python};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

#[derive(Clone)]
struct Sts {
    gate: Gate,
    account: &'static str,
    lasts: Lifetime,
}

/// Speaks as much of the query protocol of AWS STS as has two actions. The sessions it gives are known by our token.
async fn sts(gate: &Gate, account: &'static str, lasts: Lifetime) -> String {
    let (listener, port) = listener().await;
    let state = Sts { gate: gate.clone(), account, lasts };
    serve(listener, Router::new().route("/", post(answer)).with_state(state));
    format!("http://localhost:{port}")
}

async fn answer(State(sts): State<Sts>, headers: HeaderMap, body: Bytes) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let find = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let refused = |code: &str| {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        );
        (StatusCode::FORBIDDEN, body).into_response()
    };
    let account = sts.account;
    match find("Action") {
        Some("AssumeRoleWithWebIdentity") => {
            assert_eq!((find("Version"), find("RoleArn")), (Some("2011-06-15"), Some(ROLE)));
            assert_eq!((find("DurationSeconds"), headers.get("authorization")), (Some("3600"), None));
            let token = find("WebIdentityToken").unwrap();
            if !sts.gate.admits_token(token).await {
                return refused("InvalidIdentityToken");
            }
            let until = now() + sts.lasts;
            format!(
                "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <AssumeRoleWithWebIdentityResult><AssumedRoleUser>\
                 <Arn>arn:aws:sts::{account}:assumed-role/deploy/{}</Arn></AssumedRoleUser><Credentials>\
                 <AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                 <SessionToken>session:{token}</SessionToken><Expiration>{until}</Expiration></Credentials>\
                 </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
                find("RoleSessionName").unwrap()
            )
            .into_response()
        }
        Some("GetCallerIdentity") => {
            let session = headers.get("x-amz-security-token").and_then(|header| header.to_str().ok());
            match session.and_then(|session| session.strip_prefix("session:")) {
                Some(_) => format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                     <Arn>arn:aws:sts::{account}:assumed-role/deploy/x</Arn><UserId>x</UserId><Account>{account}</Account>\
                     </GetCallerIdentityResult></GetCallerIdentityResponse>"
                )
                .into_response(),
                None => refused("MissingAuthenticationToken"),
            }
        }
        other => panic!("{other:?}"),
    }
}

const ARN: &str = "arn:aws:sts::123456789012:assumed-role/deploy/x\n";

fn entry(gate: &Gate, sts: &str) {
    gate.configure(&gate.entry("aws", sts, &format!("role = \"{ROLE}\"")));
}

#[tokio::test]
async fn boto3_takes_on_the_role_and_asks_again_before_it_is_over() {
    if interop(".venv/installed-locks").is_none() {
        return;
    }
    let gate = Gate::new().await;
    // What is good for long is asked for once; what boto3 takes for all but over, each time.
    for (lasts, asked) in [(Lifetime::hours(1), 1), (Lifetime::minutes(5), 3)] {
        let sts = sts(&gate, "123456789012", lasts).await;
        entry(&gate, &sts);
        if asked == 1 {
            gate.setup("aws").await;
        }
        let before = gate.admitted().len();
        let mut command = python(&gate, &["boto3_client.py", &sts, "3"]).unwrap();
        let said = Said(in_time(command.env("AWS_PROFILE", "deploy").output()).await.unwrap());
        assert_eq!((said.code(), said.out()), (0, ARN.repeat(3)), "{}", said.err());
        assert!(gate.admitted().len() - before >= asked, "{asked}");
    }
}

#[tokio::test]
async fn a_command_asks_the_endpoint_for_as_long_as_it_runs() {
    if interop(".venv/installed-locks").is_none() {
        return;
    }
    let gate = Gate::new().await;
    let sts = sts(&gate, "123456789012", Lifetime::minutes(5)).await;
    entry(&gate, &sts);
    let program = interop(".venv/bin/python").unwrap();
    let arguments = [
        "helper",
        "aws",
        "--role",
        ROLE,
        "--serve",
        "--",
        program.to_str().unwrap(),
        "boto3_client.py",
        &sts,
        "3",
    ];
    let mut command = gate.machine.hallpass(&arguments);
    command.current_dir(interop("").unwrap());
    let said = Said(in_time(command.output()).await.unwrap());
    assert_eq!((said.code(), said.out()), (0, ARN.repeat(3)), "{}", said.err());

    let shell = "curl -s -o /dev/null -w '%{http_code} ' \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"; \
                 curl -s -H \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"; \
                 exit 7";
    let said = gate.machine.run(&["helper", "aws", "--role", ROLE, "--serve", "--", "sh", "-c", shell]).await;
    assert_eq!(said.code(), 7, "{}", said.err());
    let out = said.out();
    let credentials = out.strip_prefix("403 ").expect("nobody else is answered");
    let credentials: serde_json::Value = serde_json::from_str(credentials).unwrap();
    assert!(
        credentials["Token"].as_str().unwrap().starts_with("session:")
            && credentials["Expiration"].is_string()
    );
}

#[tokio::test]
async fn a_role_that_is_not_given_is_one_line_and_another_account_is_refused() {
    let gate = Gate::new().await;
    let ask = async || gate.machine.run(&["helper", "aws", "--role", ROLE]).await;
    entry(&gate, &sts(&gate, "210987654321", Lifetime::hours(1)).await);
    let said = ask().await;
    assert_eq!((said.code(), said.out().as_str()), (70, ""), "{}", said.err());
    assert!(said.err().contains("not of the role's account"), "{}", said.err());

    entry(&gate, &sts(&gate, "123456789012", Lifetime::hours(1)).await);
    let said = ask().await;
    let credentials = said.json();
    assert_eq!((&credentials["Version"], &credentials["AccountId"]), (&1.into(), &"123456789012".into()));
    // It is kept until a quarter of an hour before its end; one that is shorter is not.
    let admitted = gate.admitted();
    assert_eq!(
        (ask().await.json(), gate.admitted().len()),
        (credentials, admitted.len()),
        "from what is kept"
    );
    entry(&gate, &sts(&gate, "123456789012", Lifetime::minutes(14)).await);
    assert_eq!((ask().await.code(), ask().await.code()), (0, 0));
    assert_eq!(gate.admitted().len(), admitted.len() + 2, "asked for each time");
    gate.refuse(&gate.admitted().pop().unwrap());
    let said = ask().await;
    assert_ne!(said.code(), 0);
    assert!(said.err().contains("InvalidIdentityToken") && said.err().lines().count() == 1, "{}", said.err());

    let said = gate.machine.run(&["helper", "aws", "--role", "arn:aws:iam::123456789012:role/other"]).await;
    assert_eq!((said.code(), said.out().as_str()), (1, ""), "{}", said.err());
}

/// In the record, as encrypted as the rest of it, and gone with it.
#[tokio::test]
async fn a_session_that_is_kept_stands_in_no_file_and_ends_with_the_sign_in() {
    let gate = Gate::new().await;
    entry(&gate, &sts(&gate, "123456789012", Lifetime::hours(1)).await);
    let ask = async || gate.machine.run(&["helper", "aws", "--role", ROLE]).await;
    let session = ask().await.json()["SessionToken"].as_str().unwrap().to_owned();
    assert_eq!(ask().await.json()["SessionToken"], session.as_str());
    assert_eq!(gate.admitted().len(), 1);
    let mut folders = vec![gate.machine.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
                assert!(!text.contains(&session), "{}", entry.path().display());
            }
        }
    }
    assert_eq!(gate.machine.run(&["logout"]).await.code(), 0);
    let said = ask().await;
    assert_eq!((said.code(), said.out().as_str()), (4, ""), "{}", said.err());
}

#[tokio::test]
async fn the_command_beside_an_endpoint_hears_who_ends_it_and_is_answered_until_it_has_ended() {
    let gate = Gate::new().await;
    entry(&gate, &sts(&gate, "123456789012", Lifetime::hours(1)).await);
    let (ready, asks) = (gate.machine.path("ready"), gate.machine.path("asks"));
    let ask = "curl -s -o /dev/null -w '%{http_code}' -H \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" \
               \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"";
    let waits = gate.machine.while_it_lasts("true");
    let script = format!(
        "trap '{ask} > {asks}; exit 9' TERM; touch {ready}; {waits}",
        ask = ask.replace('\'', ""),
        asks = asks.display(),
        ready = ready.display()
    );
    let mut command =
        gate.machine.hallpass(&["helper", "aws", "--role", ROLE, "--serve", "--", "sh", "-c", &script]);
    let child = command.spawn().unwrap();
    until("the command runs", async || ready.exists()).await;
    kill_process(pid(&child), Signal::TERM).unwrap();
    let said = Said(in_time(child.wait_with_output()).await.unwrap());
    assert_eq!(said.code(), 9, "{}", said.err());
    assert_eq!(std::fs::read_to_string(asks).unwrap(), "200");
}
