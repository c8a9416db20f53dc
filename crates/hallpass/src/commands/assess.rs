//! `hallpass assess`: what a security team asks of any command line's login, answered by watching it.
//!
//! 1. The tool is run in a home of its own (`scene`), on a terminal without a display, with a proxy that notes what goes
//!    through it.
//! 2. Meanwhile its files, arguments and environments are looked at, as anybody of the same user could (`seen`).
//! 3. What looks like a token is found (`secrets`), and what a token says of itself is read, unverified.
//! 4. Where there is an API to ask, a token is revoked, and the API asked until it refuses: that is measured.
//! 5. Each question is answered from that (`questions`): pass, fail, or not testable and why.

mod proxy;
mod questions;
pub(crate) mod scene;
mod secrets;
mod seen;

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use hallpass_holder::exec::look_up;
use serde::Serialize;
use tokio::time::Instant;

use self::questions::{Answered, BITES, BITES_SECONDS, Known, TENANTS, Verdict};
use self::scene::Scene;
use self::secrets::{Kind, Token};
use self::seen::Seen;
use crate::failure::{Exit, Failure};
use crate::output::{self, Form, Output};
use crate::{clock, env};

/// How long a line of the shell may take.
const ASK_TIME_OUT: Duration = Duration::from_secs(30);
/// How often the API is asked whether a token is dead.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Ask of a tool's login what a security team asks, and watch it for the answer
///
/// The tool is run in a home of its own and on a terminal without a display; answer it as you would. Nothing of yours is shown to
/// it, and what it keeps is removed at the end. Each verdict comes with its evidence; what cannot be seen is not testable, and why.
/// The exit code is 1 if it fails any.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass assess -- gh auth login
  hallpass assess --token 'hallpass token' --logout 'hallpass logout' --api https://api.example/notes --scope notes:read \\
    --env HALLPASS_STORE=keyring -- hallpass login https://id.example/acme --resource https://api.example")]
pub(crate) struct AssessArgs {
    /// A command that prints an access token of the tool's
    #[arg(long, value_name = "COMMAND")]
    token: Option<String>,

    /// A command that signs the tool out
    #[arg(long, value_name = "COMMAND")]
    logout: Option<String>,

    /// An address that answers 2xx to a good token, and 401 or 403 to a dead one
    #[arg(long, value_name = "URL")]
    api: Option<url::Url>,

    /// How far the task needs it to reach; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// A command that prints the issuer's log, to see whether misuse shows in it
    #[arg(long, value_name = "COMMAND")]
    log: Option<String>,

    /// A command that prints a token of one tenant; given twice, for two
    #[arg(long = "tenant", value_name = "COMMAND")]
    tenants: Vec<String>,

    /// A variable for the tool; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_variable)]
    variables: Vec<(String, String)>,

    /// How long a revocation may take to bite, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = BITES_SECONDS)]
    bites_within: u64,

    /// How long the tool may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,

    /// The tool and its arguments: what signs in
    #[arg(last = true, required = true, value_name = "TOOL")]
    command: Vec<OsString>,
}

/// `hallpass.assess/1`.
#[derive(Serialize)]
struct Answer<'a> {
    answers: &'a [Answered],
    passes: bool,
}

pub(crate) async fn assess(args: AssessArgs, out: &mut Output) -> Result<Exit, Failure> {
    look_up(&args.command, env::PATH.value().as_deref())?;
    let cannot = |error| Failure::could_not_run(format_args!("cannot make a place to run it: {error}"));
    let scene = Scene::new(&args.variables).await.map_err(cannot)?;
    let mut seen = Seen::default();
    let ran = scene.run(&args.command, Duration::from_secs(args.patience), &mut seen, out).await?;
    let handed_out = match &args.token {
        Some(line) => token_of(&scene, line).await,
        None => None,
    };
    let known = Known { tokens: known(&scene, &seen), handed_out };
    seen.look_at_files(&scene.home());

    let log = |line: Option<String>| async {
        match line {
            Some(line) => scene.ask(&line, ASK_TIME_OUT).await.map(|(_, text)| text),
            None => None,
        }
    };
    let before = log(args.log.clone()).await;
    let bites = bites(&args, &scene, &known).await;
    let after = match bites.verdict {
        Verdict::NotTestable => None,
        Verdict::Pass | Verdict::Fail => log(args.log.clone()).await,
    };
    let logged = before.as_ref().zip(after.as_ref()).map(|(before, after)| (before.as_str(), after.as_str()));
    let answers = [
        questions::ephemeral(&known, clock::now().seconds()),
        questions::safe(&known, &seen, &ran),
        questions::scope(&known, &args.scopes),
        bites,
        questions::logs(&known, &ran.said, logged),
        questions::headless(&ran),
        tenants(&args, &scene).await,
    ];
    let passes = answers.iter().all(|answer| answer.verdict != Verdict::Fail);
    let written = match out.form() {
        Form::Json => out.json("hallpass.assess/1", &Answer { answers: &answers, passes }),
        Form::Text => say(&answers, &scene, out),
    };
    output::leave(written, if passes { Exit::DONE } else { Exit::NO })
}

/// What was seen of tokens in files and in traffic.
fn known(scene: &Scene, seen: &Seen) -> std::collections::BTreeSet<Token> {
    let mut tokens = std::collections::BTreeSet::new();
    for contents in seen.files.values() {
        tokens.extend(secrets::find(&String::from_utf8_lossy(contents)));
    }
    for text in seen.arguments.iter().chain(&seen.environments) {
        tokens.extend(secrets::find(text));
    }
    let traffic = scene.proxy().traffic.lock().expect("nobody panics holding this");
    tokens.extend(traffic.clear.iter().flat_map(|text| secrets::find(text)));
    tokens
}

async fn token_of(scene: &Scene, line: &str) -> Option<Token> {
    let (code, text) = scene.ask(line, ASK_TIME_OUT).await?;
    let last = text.lines().last().unwrap_or_default().trim();
    (code == 0 && !last.is_empty()).then(|| Token { kind: Kind::Access, text: last.to_owned().into() })
}

/// Revokes, and asks the API until it refuses.
async fn bites(args: &AssessArgs, scene: &Scene, known: &Known) -> Answered {
    let not_testable = |why: &str| Answered::not_testable(BITES, why);
    let Some(api) = &args.api else { return not_testable("name an API to ask with --api") };
    let Some(logout) = &args.logout else {
        return not_testable("name a command that signs out with --logout");
    };
    let access = known.handed_out.as_ref().or(known.tokens.iter().find(|token| token.kind == Kind::Access));
    let Some(access) = access else {
        return not_testable("no access token was seen: name a command with --token");
    };
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(ASK_TIME_OUT).build();
    let Ok(client) = client else { return not_testable("the system's certificates cannot be read") };
    let asked = || async {
        let mut value = reqwest::header::HeaderValue::from_str(&format!("Bearer {}", &*access.text)).ok()?;
        value.set_sensitive(true);
        let request = client.get(api.clone()).header(reqwest::header::AUTHORIZATION, value);
        request.send().await.ok().map(|answer| answer.status().as_u16())
    };
    match asked().await {
        Some(200..300) => {}
        Some(status) => {
            return not_testable(&format!("the API answers {status} to a token that should be good"));
        }
        None => return not_testable("the API does not answer"),
    }
    let started = Instant::now();
    let left = scene.ask(logout, ASK_TIME_OUT).await.map(|(code, _)| code);
    let told = match left {
        Some(code) => format!("signing out left with {code} after {:.1} s", started.elapsed().as_secs_f64()),
        None => "signing out did not end in time".into(),
    };
    let revoked = Instant::now();
    while revoked.elapsed() < Duration::from_secs(args.bites_within) {
        if let Some(401 | 403) = asked().await {
            let after =
                format!("the API refused the token {:.1} s after that", revoked.elapsed().as_secs_f64());
            return Answered::new(BITES, Verdict::Pass, vec![told, after]);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let longer = format!("the API still took the token {:.0} s after that", revoked.elapsed().as_secs_f64());
    Answered::new(BITES, Verdict::Fail, vec![told, longer])
}

async fn tenants(args: &AssessArgs, scene: &Scene) -> Answered {
    let [first, second] = &args.tenants[..] else {
        return Answered::not_testable(TENANTS, "name a command for each of two tenants with --tenant");
    };
    let mut answers = Vec::new();
    for line in [first, second, first] {
        answers.push(token_of(scene, line).await);
    }
    questions::tenants(&answers)
}

fn say(answers: &[Answered], scene: &Scene, out: &mut Output) -> Result<(), Failure> {
    let sealed = {
        let traffic = scene.proxy().traffic.lock().expect("nobody panics holding this");
        traffic.sealed.iter().cloned().collect::<Vec<_>>().join(", ")
    };
    if !sealed.is_empty() {
        out.say(format_args!("it spoke TLS to {sealed}; that was not opened"));
    }
    for answer in answers {
        let verdict = match answer.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::NotTestable => "not testable",
        };
        out.answer(format_args!("{verdict:<13}{}", answer.question))?;
        for line in &answer.evidence {
            out.answer(format_args!("{:<13}  {line}", ""))?;
        }
    }
    Ok(())
}

fn parse_variable(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("it is `NAME=VALUE`")?;
    match name.is_empty() {
        true => Err("it is `NAME=VALUE`"),
        false => Ok((name.to_owned(), value.to_owned())),
    }
}
