//! `hallpass assess`: what a security team asks of any command line's login, answered by watching it.
//!
//! 1. The tool is run in a home of its own (`scene`), on a terminal without a display, with a proxy that notes what goes
//!    through it (`proxy`), also under TLS: the tool is told to trust the run's own authority, as by any company's proxy.
//! 2. Meanwhile its files, arguments and environments are looked at, as anybody of the same user could (`seen`).
//! 3. What looks like a token is found (`secrets`, `traffic`), and what a token says of itself is read, unverified.
//! 4. It is run without a terminal, and without a network (`run`).
//! 5. Where there is an API to ask, a token is revoked, and the API asked until it refuses: that is measured.
//! 6. Each question is answered from that (`questions`, `headless`): pass, fail, or not testable and why.

mod headless;
mod proxy;
mod questions;
pub(crate) mod run;
mod scene;
mod secrets;
mod seen;
mod traffic;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hallpass_holder::exec::look_up;
use serde::Serialize;
use tokio::time::Instant;

use self::proxy::Proxy;
use self::questions::{Answered, BITES, BITES_SECONDS, Known, TENANTS, Verdict};
use self::run::Ran;
use self::scene::{Network, Scene};
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
/// The tool is run in a home of its own and on a terminal without a display; answer it as you would. Then it is run in two more,
/// without a terminal and without a network, and stopped once it says where to go on. Nothing of yours is shown to it, and what it
/// keeps is removed at the end. What it says under TLS is read where it trusts the certificates that its environment names
/// (SSL_CERT_FILE and its like). Each verdict comes with its evidence, and never a token; what cannot be seen is not testable, and
/// why. The exit code is 1 if it fails any.
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

    /// How long it may take to end, or to say where to go on, where nobody answers it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    headless_within: u64,

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
    let ca_file = env::HALLPASS_CA_FILE.path();
    let proxy = Arc::new(Proxy::start(ca_file.as_deref()).await?);
    let scene = Scene::new(&args.variables, proxy)?;
    let mut seen = Seen::default();
    let ran = sign_in(&args, &scene, &mut seen, out).await?;
    let handed_out = match &args.token {
        Some(line) => token_of(&scene, line).await,
        None => None,
    };
    seen.look_at_files(&scene.home());
    // The others share the proxy: what was seen is what the first run showed.
    let known = known(&scene, &seen, handed_out);

    let network = network(&args, &scene, &known).await?;
    let elsewhere = scene.another(&args.variables)?;
    let patience = Duration::from_secs(args.headless_within);
    let alone = run::alone(&elsewhere, &args.command, patience, Network::There).await?;
    let log = |line: Option<String>| async {
        match line {
            Some(line) => scene.ask(&line, ASK_TIME_OUT, Network::There).await.map(|asked| asked.out),
            None => None,
        }
    };
    let before = log(args.log.clone()).await;
    // Another tenant's token is asked for before anything is revoked.
    let tenants = tenants(&args, &scene).await;
    let bites = bites(&args, &scene, &known, ca_file.as_deref()).await?;
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
        headless::display(&ran),
        headless::terminal(&alone),
        network,
        tenants,
    ]
    .map(|answer| answer.without(&known));
    let passes = answers.iter().all(|answer| answer.verdict != Verdict::Fail);
    let written = match out.form() {
        Form::Json => out.json("hallpass.assess/1", &Answer { answers: &answers, passes }),
        Form::Text => say(&answers, known.blind.as_deref(), out),
    };
    output::leave(written, if passes { Exit::DONE } else { Exit::NO })
}

/// Runs the tool. One that failed because it did not trust our certificates is run once more, and its TLS left alone.
async fn sign_in(
    args: &AssessArgs,
    scene: &Scene,
    seen: &mut Seen,
    out: &mut Output,
) -> Result<Ran, Failure> {
    let patience = Duration::from_secs(args.patience);
    let ran = run::at_terminal(scene, &args.command, patience, seen, out).await?;
    if ran.code == Some(0) || !scene.proxy().give_way() {
        return Ok(ran);
    }
    out.say("it did not trust the certificates that it was given; once more, and its TLS is left alone");
    run::at_terminal(scene, &args.command, patience, seen, out).await
}

/// What was seen of tokens in files and in traffic.
fn known(scene: &Scene, seen: &Seen, handed_out: Option<Token>) -> Known {
    let traffic = scene.proxy().traffic();
    let mut tokens: BTreeSet<Token> = traffic.tokens();
    for kept in seen.files.values() {
        tokens.extend(secrets::find(&String::from_utf8_lossy(&kept.contents)));
    }
    for text in seen.arguments.iter().chain(&seen.environments) {
        tokens.extend(secrets::find(text));
    }
    let (issued, in_addresses, blind) = (traffic.issued(), traffic.in_addresses(), traffic.blind());
    Known { tokens, handed_out, issued, in_addresses, blind }
}

async fn token_of(scene: &Scene, line: &str) -> Option<Token> {
    let asked = scene.ask(line, ASK_TIME_OUT, Network::There).await?;
    let last = asked.out.lines().last().unwrap_or_default().trim();
    (asked.code == 0 && !last.is_empty()).then(|| Token { kind: Kind::Access, text: last.to_owned().into() })
}

/// Takes the network away: from one who is signed in and can be asked for a token, or from one who would sign in.
async fn network(args: &AssessArgs, scene: &Scene, known: &Known) -> Result<Answered, Failure> {
    let (without, patience) = (run::without_network(), Duration::from_secs(args.headless_within));
    let (Some(line), Some(_)) = (&args.token, &known.handed_out) else {
        let elsewhere = scene.another(&args.variables)?;
        let ran = run::alone(&elsewhere, &args.command, patience, without).await?;
        return Ok(headless::network_of_login(without, &ran));
    };
    let cut = scene.ask(line, patience, without).await;
    let afterwards = token_of(scene, line).await;
    Ok(headless::network_of_session(without, patience, cut.as_ref(), afterwards.as_ref()))
}

/// Revokes, and asks the API until it refuses.
async fn bites(
    args: &AssessArgs,
    scene: &Scene,
    known: &Known,
    ca_file: Option<&std::path::Path>,
) -> Result<Answered, Failure> {
    let not_testable = |why: &str| Ok(Answered::not_testable(BITES, why));
    let Some(api) = &args.api else { return not_testable("name an API to ask with --api") };
    let Some(logout) = &args.logout else {
        return not_testable("name a command that signs out with --logout");
    };
    let access = known.handed_out.as_ref().or(known.tokens.iter().find(|token| token.kind == Kind::Access));
    let Some(access) = access else {
        return not_testable("no access token was seen: name a command with --token");
    };
    let client = proxy::client(ca_file, ASK_TIME_OUT)?;
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
    let left = scene.ask(logout, ASK_TIME_OUT, Network::There).await.map(|asked| asked.code);
    let told = match left {
        Some(code) => format!("signing out left with {code} after {:.1} s", started.elapsed().as_secs_f64()),
        None => "signing out did not end in time".into(),
    };
    let revoked = Instant::now();
    while revoked.elapsed() < Duration::from_secs(args.bites_within) {
        if let Some(401 | 403) = asked().await {
            let after =
                format!("the API refused the token {:.1} s after that", revoked.elapsed().as_secs_f64());
            return Ok(Answered::new(BITES, Verdict::Pass, vec![told, after]));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let longer = format!("the API still took the token {:.0} s after that", revoked.elapsed().as_secs_f64());
    Ok(Answered::new(BITES, Verdict::Fail, vec![told, longer]))
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

fn say(answers: &[Answered], blind: Option<&str>, out: &mut Output) -> Result<(), Failure> {
    if let Some(why) = blind {
        out.say(why);
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
