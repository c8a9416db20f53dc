//! `hallpass login`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use hallpass_holder::exec::look_up;
use hallpass_holder::{
    Flow, Holder, HolderError, Identity, LoginEvent, LoginRequest, PassRequest, ProfileName, Rung, SignedIn,
};
use hallpass_model::device::DeviceClass;
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Lifetime;
use hallpass_model::wire::errors::ErrorCode;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::exec::{self, RunArgs};
use super::status::key_lives;
use crate::failure::{Exit, Failure};
use crate::holding::{HolderArgs, parse_purpose, parse_resource, parse_scope, scopes};
use crate::output::{Form, Output};
use crate::surroundings::host::Shared;
use crate::{env, passphrase, surroundings, typed};

mod api_key; // read from standard input
mod by_hand; // endpoints
mod screen;
mod target; // what is to be signed in to

/// Sign in
///
/// Opens a browser here where one can reach this machine, and shows a code to type anywhere else; it says which it
/// chose and why. What is kept is encrypted, its key in the desktop's keyring, the kernel's, or made from a passphrase.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass login https://id.example/acme --resource https://api.example --scope notes:read
  hallpass login https://id.example/acme --flow device --purpose 'release 1.4'
  hallpass login github --client-id Iv1.0123456789abcdef
  hallpass login https://git.example --client-id 0123 \\
    --token-endpoint https://git.example/login/oauth/access_token \\
    --device-authorization-endpoint https://git.example/login/device/code
  hallpass login https://id.example/acme --resource https://api.example --one-run -- ./report.sh
  hallpass login https://id.example/acme --api-key-stdin < key-file")]
pub(crate) struct LoginArgs {
    /// The issuer's address, or `github`, `gitlab`, `google` (HALLPASS_ISSUER)
    #[arg(value_name = "ISSUER")]
    issuer: Option<String>,

    /// The client to be, with providers that have none for everybody (HALLPASS_CLIENT_ID)
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,

    /// A name for this sign-in, so that several can stand side by side (HALLPASS_PROFILE)
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,

    /// Take whoever signs in, also where the profile or the sign-in that is here was somebody else's
    #[arg(long)]
    as_new: bool,

    /// A file with the client's secret, with providers that give one to programs like this
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,

    /// Sign in by an API key, read from standard input: from a pipe or file, or typed, and then not shown
    ///
    /// Nobody is asked, and no browser is needed. The key is sealed as everything else is, buys tokens that live for minutes,
    /// and goes nowhere but to its issuer. Never in arguments or in the environment: others see those.
    #[arg(long, conflicts_with_all = ["flow", "client_secret_file"])]
    api_key_stdin: bool,

    /// What to ask for; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<String>,

    /// The API to ask for it; may be given several times
    #[arg(long = "resource", value_name = "URL", value_parser = parse_resource)]
    resources: Vec<String>,

    /// What it is for, in a few words; shown to whoever approves it
    #[arg(long, value_name = "TEXT", value_parser = parse_purpose)]
    purpose: Option<Purpose>,

    /// How to ask: `browser` (here), `device` (a code, anywhere) or `paste` (a browser anywhere, its last address here)
    #[arg(long, value_name = "FLOW")]
    flow: Option<Flow>,

    /// Where the key is to rest: `secret-service`, `keyring`, `tpm`, `passphrase`, ... (HALLPASS_STORE)
    #[arg(long, value_name = "RUNG", conflicts_with = "one_run")]
    store: Option<Rung>,

    /// Keep it in memory, for the command after `--` alone, and sign out when that ends
    #[arg(long, requires = "command")]
    one_run: bool,

    /// Prove anew who you are, for what demands a fresh login: makes the sign-in that is here stronger
    #[arg(long, conflicts_with_all = ["one_run", "as_new"])]
    step_up: bool,

    /// Prove anew who you are if that was longer ago than this, such as `15m`
    #[arg(long, value_name = "TIME", conflicts_with = "step_up")]
    max_age: Option<Lifetime>,

    #[command(flatten)]
    endpoints: by_hand::EndpointArgs,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    holder: HolderArgs,

    /// The command of `--one-run` and its arguments
    #[arg(last = true, value_name = "COMMAND", requires = "one_run")]
    command: Vec<OsString>,
}

/// `hallpass.login/1`.
#[derive(Serialize)]
struct Answer<'a> {
    profile: Option<&'a str>,
    issuer: &'a str,
    client_id: &'a str,
    person: Option<&'a str>,
    scope: String,
    resources: &'a [String],
    flow: String,
    key: &'static str,
    renewable: bool,
    bound: bool,
    access_expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_expires: Option<String>,
    /// Whether the session that was here was made stronger, and none opened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    raised: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_expires: Option<String>,
}

pub(crate) async fn login(args: LoginArgs, out: &mut Output) -> Result<Exit, Failure> {
    if args.one_run {
        exec::too_long(args.run.ttl())?;
        exec::can_run()?;
        args.run.fits()?;
        look_up(&args.command, env::PATH.value().as_deref())?;
    }
    let holder = if args.one_run { args.holder.open_for_one_run() } else { args.holder.open()? };
    let request = request(&args, &holder, out)?;
    let strict = request.brief;
    let api_key = match args.api_key_stdin {
        true => Some(api_key::read(args.holder.may_ask())?),
        false => None,
    };
    let mut screen = screen::Screen::new(out, &request.issuer);
    let mut stopped = std::pin::pin!(stopped());
    let flow = request.flow;
    let mut on_event = |event: LoginEvent<'_>| screen.show(&event);
    let outcome = match api_key {
        Some(api_key) => tokio::select! {
            outcome = holder.login_by_key(request, api_key, &mut on_event) => outcome,
            () = stopped.as_mut() => Err(HolderError::Cancelled),
        },
        None => holder.login(request, &mut on_event, stopped.as_mut()).await,
    };
    screen.clear();
    let signed_in = outcome.map_err(|error| failed(error, flow, strict))?;
    if !args.one_run {
        answer(&signed_in, out)?;
        return Ok(Exit::DONE);
    }
    say(&signed_in, out);
    let pass =
        PassRequest::default().scopes(scopes(&args.scopes)).lifetime(args.run.ttl()).purpose(args.purpose);
    let exit = exec::run(&holder, &signed_in.identity, pass, args.run, args.command, out).await;
    let alive = give_up_quietly(&holder, &signed_in, out).await;
    match exit {
        Ok(Exit::DONE) if alive => Ok(Exit::NO),
        exit => exit,
    }
}

fn request(args: &LoginArgs, holder: &Holder, out: &mut Output) -> Result<LoginRequest, Failure> {
    let mut target = target::target(args, holder, out)?;
    if args.step_up {
        target::as_it_is(&mut target, holder)?;
    }
    let mut at = surroundings::surroundings_of_who_looks();
    at.terminal &= args.holder.may_ask();
    let shared = surroundings::host::shared(&at)?;
    let rung = match (args.one_run, args.store, env::HALLPASS_STORE.text()) {
        (true, _, _) => Some(Rung::Memory),
        (false, Some(rung), _) => Some(rung),
        (false, None, Some(named)) => Some(
            named
                .parse()
                .map_err(|why| Failure::usage(format_args!("HALLPASS_STORE is `{named}`: {why}")))?,
        ),
        (false, None, None) => target.store,
    };
    // Whoever names a place has decided. Nobody else leaves anything on a machine that others use as the same user.
    let strict = shared.is_some() && rung.is_none();
    let rung = if strict { Some(Rung::Daemon) } else { rung };
    if let Some(shared) = &shared {
        say_shared(shared, strict, args, out);
    }
    let mut request = LoginRequest::new(target.issuer, at.clone());
    request.endpoints = target.endpoints;
    request.client_id = target.client_id;
    request.profile = target.profile;
    request.as_new = args.as_new;
    request.org = target.org;
    request.client_secret = args.client_secret_file.as_deref().map(client_secret).transpose()?;
    request.scopes = target.scopes;
    request.resources = target.resources;
    request.purpose = args.purpose.clone();
    request.flow = args.flow;
    request.opener = surroundings::opener();
    request.ask_pasted =
        (at.terminal && surroundings::a_terminal_is_there()).then(typed::asked_at_the_terminal);
    request.device_name = surroundings::machine_name();
    request.device_class = surroundings::device_class(&at, shared.as_ref());
    request.rung = rung;
    request.for_one_command = args.one_run;
    request.brief = strict;
    request.max_age = if args.step_up { Some(Lifetime::seconds(0)) } else { args.max_age };
    request.raise =
        args.step_up && args.scopes.is_empty() && args.resources.is_empty() && args.store.is_none();
    if args.step_up && !request.raise {
        out.say("what it reaches, or where it rests, is to be another, so a new sign-in takes the place of the one that is here");
    }
    Ok(request)
}

fn client_secret(path: &std::path::Path) -> Result<Secret<KeyMaterial>, Failure> {
    passphrase::secret_file(path).map_err(Failure::usage)
}

/// Says that others are here too, and what that means.
fn say_shared(shared: &Shared, strict: bool, args: &LoginArgs, out: &mut Output) {
    let (sort, why) = (sort_of(shared.class), &shared.why);
    out.warn(format_args!("this {sort}: {why}"));
    match (args.one_run, strict) {
        (true, _) => {}
        (false, true) if args.api_key_stdin => {
            out.say("so the key is kept in memory alone, and given again after that (HALLPASS_HOST=own, if that is wrong)")
        }
        (false, true) => {
            out.say("so the sign-in is kept in memory alone, and cannot be renewed (HALLPASS_HOST=own, if that is wrong)")
        }
        (false, false) => out.say("so whatever is kept here is theirs as well; you named the place"),
    }
}

/// What a machine is that is not one person's alone.
pub(super) fn sort_of(class: DeviceClass) -> &'static str {
    match class {
        DeviceClass::BuildAgent => "is a build agent",
        _ => "machine is shared with others",
    }
}

/// A part of every address at which issuers publish metadata (RFC 8615).
const METADATA: &str = "/.well-known/";

/// Whether it may be that no codes are allowed there.
fn no_codes(error: &HolderError) -> bool {
    use ErrorCode::{AccessDenied, InvalidGrant, UnauthorizedClient, Unknown, UnsupportedGrantType};
    match error {
        HolderError::Refused { code, .. } => matches!(
            code,
            AccessDenied | InvalidGrant | Unknown(_) | UnauthorizedClient | UnsupportedGrantType
        ),
        HolderError::Unexpected { .. } => true,
        _ => false,
    }
}

/// A sign-in that could not be had. Where it is the disk that is wanting, memory may do; where it is the flow that was asked
/// for, another.
fn failed(error: HolderError, flow: Option<Flow>, strict: bool) -> Failure {
    if matches!(&error, HolderError::Unexpected { place, .. } if place.contains(METADATA)) {
        return Failure::from(error).hint(
            "if it publishes no metadata, name its endpoints: `--token-endpoint`, and `--device-authorization-endpoint` or \
             `--authorization-endpoint`",
        );
    }
    if flow == Some(Flow::Device) && no_codes(&error) {
        return Failure::from(error).hint(
            "if codes are not allowed there, sign in without one: `--flow browser`, or `--flow paste` where no browser \
             reaches this machine",
        );
    }
    if strict && matches!(error, HolderError::NoRung { .. } | HolderError::NoDaemon { .. }) {
        return Failure::from(error).hint(
            "run one command with it: `hallpass login ISSUER --resource URL --one-run -- COMMAND`; or say where it is to \
             rest all the same: `--store keyring`",
        );
    }
    let disk = matches!(error, HolderError::Disk { .. } | HolderError::Unsafe { .. });
    let failure = Failure::from(error);
    match disk {
        true => failure.hint(
            "name another folder in HALLPASS_STATE_DIR, or keep it in memory for one command: `hallpass login ISSUER \
             --resource URL --one-run -- COMMAND`",
        ),
        false => failure,
    }
}

/// Ctrl-C, or whatever else would end us.
async fn stopped() {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await; // then the default ends us, and nothing was kept either
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

fn say(signed_in: &SignedIn, out: &mut Output) {
    let Identity { issuer, profile, .. } = &signed_in.identity;
    let under = profile.as_ref().map(|profile| format!(", profile {profile}")).unwrap_or_default();
    if let Some(raised) = signed_in.raised {
        let who = signed_in.person.as_deref().unwrap_or("you");
        let until = raised.until.map(|until| format!(", and ends {until} as before")).unwrap_or_default();
        out.say(format_args!(
            "the session at {issuer} that was here is as strong as your login now: {who}{under}"
        ));
        out.say(format_args!("it is the same session: its passes and commands go on{until}"));
        return;
    }
    if signed_in.flow == Flow::ApiKey {
        let client = out.bold(&signed_in.identity.client_id);
        let until =
            signed_in.api_key_ends.map(|ends| format!(", which is good until {ends}")).unwrap_or_default();
        out.say(format_args!("signed in to {issuer} as {client}{under}, by an API key{until}"));
    } else if let Some(person) = &signed_in.person {
        out.say(format_args!("signed in to {issuer} as {}{under}", out.bold(person)));
    } else {
        out.say(format_args!("signed in to {issuer}{under}"));
    }
    match signed_in.rung {
        Rung::Daemon => {
            out.say("it rests in the memory of the daemon alone, and is over when the daemon ends (`hallpass daemon stop`)");
        }
        Rung::Passphrase => out.say("its key is made from your passphrase, and rests nowhere"),
        rung => out.say(format_args!("its key rests in the {rung}, {}", key_lives(rung))),
    }
}

fn answer(signed_in: &SignedIn, out: &mut Output) -> Result<(), Failure> {
    if out.form() == Form::Text {
        say(signed_in, out);
        return Ok(());
    }
    out.json(
        "hallpass.login/1",
        &Answer {
            profile: signed_in.identity.profile.as_ref().map(ProfileName::as_str),
            issuer: &signed_in.identity.issuer,
            client_id: &signed_in.identity.client_id,
            person: signed_in.person.as_deref(),
            scope: signed_in.scope.to_string(),
            resources: &signed_in.resources,
            flow: signed_in.flow.to_string(),
            key: signed_in.rung.text(),
            renewable: signed_in.renewable,
            bound: signed_in.bound,
            access_expires: signed_in.expires.map(|expires| expires.to_string()),
            api_key_expires: signed_in.api_key_ends.map(|ends| ends.to_string()),
            raised: signed_in.raised.is_some(),
            session_expires: signed_in.raised.and_then(|raised| raised.until).map(|until| until.to_string()),
        },
    )
}

/// Signs out after a run. Standard output is the command's; only what went wrong is said. Whether anything may still be
/// alive.
async fn give_up_quietly(holder: &Holder, signed_in: &SignedIn, out: &mut Output) -> bool {
    match holder.logout(&signed_in.identity).await {
        Ok(receipt) if receipt.may_be_alive() => {
            super::logout::warn(&receipt.credentials, out);
            true
        }
        Ok(_) => {
            out.say("signed out again");
            false
        }
        Err(error) => {
            out.warn(error);
            true
        }
    }
}
