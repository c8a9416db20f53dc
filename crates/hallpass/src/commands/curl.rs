//! `hallpass curl`: the person's own curl, with a token that stays where it belongs.
//!
//! 1. The arguments are read as curl reads them: what would send the token elsewhere or write it down is refused.
//! 2. The headers reach curl by a pipe that it reads as its configuration: in nobody's arguments, environment or files.
//! 3. An API that wants its own nonce in the proof gets it, once (RFC 9449, section 9).
//! 4. Redirects are followed here, each with a proof of its own; to another origin nothing of ours goes along.

mod arguments; // what curl was asked for
mod head; // what the API answered
mod ride; // one curl, from its start to its end
mod scrub; // secrets left out of what it says

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::Args;
use hallpass_holder::{Binding, Holder, Identity, PassRequest, Presentable};
use hallpass_model::purpose::Purpose;

use crate::failure::{Exit, Failure, STEP_UP};
use crate::holding::{Source, WhichArgs, parse_purpose, parse_resource, parse_scope, scopes};
use crate::output::{Form, Output};
use arguments::{Asked, Known};
use head::Head;
use ride::Ride;

/// Ask an API by curl, with a token bound to your sign-in's key
///
/// Takes curl's own arguments, and answers as curl does. Each request goes with a token for its API alone and a proof made
/// for it (RFC 9449). An API that knows no proofs is asked with `--bearer`. Options of hallpass come before curl's; `~/.curlrc`
/// is not read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass curl https://api.example/notes
  hallpass curl --scope notes:write -sS -X POST -d @note.txt https://api.example/notes
  hallpass curl --bearer -- --json '{\"text\":\"hello\"}' https://api.example/notes")]
pub(crate) struct CurlArgs {
    /// The API it is for; otherwise the one of the sign-in that the address belongs to
    #[arg(long, value_name = "URL", value_parser = parse_resource)]
    resource: Option<String>,

    /// How far the token reaches; all that was granted for the API otherwise
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<String>,

    /// What it is for, in a few words
    #[arg(long, value_name = "TEXT", value_parser = parse_purpose)]
    purpose: Option<Purpose>,

    /// Present the token as bearer, for an API that knows no proofs
    #[arg(long)]
    bearer: bool,

    #[command(flatten)]
    which: WhichArgs,

    /// Arguments of curl, with one address among them
    #[arg(
        value_name = "CURL ARGUMENTS",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    curl: Vec<OsString>,
}

/// Who asks, and for what.
struct Asking<'a> {
    holder: &'a Holder,
    identity: &'a Identity,
    request: PassRequest,
    binding: Binding,
}

pub(crate) async fn curl(args: CurlArgs, out: &mut Output) -> Result<Exit, Failure> {
    if out.form() == Form::Json {
        return Err(Failure::usage("`hallpass curl` answers what the API answers")
            .hint("if `--json` is for curl, put `--` before curl's arguments"));
    }
    let mut asked = Asked::read(&args.curl, &known().await?)?;
    let Source { holder, identity, .. } = args.which.source(out).await?;
    let named = args.resource.is_some();
    let resource = match args.resource {
        Some(named) => Some(named),
        None => holder.resource_at(&identity, &asked.url)?,
    };
    let request =
        PassRequest::default().resource(resource).scopes(scopes(&args.scopes)).purpose(args.purpose);
    let binding = if args.bearer { Binding::Bearer } else { Binding::AsSignedIn };
    let asking = Asking { holder: &holder, identity: &identity, request, binding };
    let presentable = holder.present(&identity, &asking.request, binding).await?;
    // SECURITY: what a pass socket gives is for the API that its maker named, and goes nowhere else.
    if !named && !presentable.is_for(&asked.url) {
        let given = presentable.pass().resource.as_deref().unwrap_or_default();
        return Err(Failure::usage(format_args!(
            "what there is here is for {given}, and `{}` is not of it",
            asked.url
        )));
    }
    ask(&asking, presentable, &mut asked, out).await
}

/// Asks until there is an answer for the person.
async fn ask(
    asking: &Asking<'_>,
    mut presentable: Presentable,
    asked: &mut Asked,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let home = asked.url.origin();
    let (mut learned, mut renewed, mut left_home) = (false, false, false);
    let mut followed = 0;
    let mut dumped = Vec::new();
    loop {
        let headers = match left_home {
            false => Some(presentable.headers(asked.method(), &asked.url)?),
            true => None,
        };
        let quiet = std::io::stdout().is_terminal() && !asked.goes_into_a_file();
        let mut ride = Ride::start(&asked.render(), headers.as_ref(), quiet)?;
        let Some(head) = ride.head().await else { return ride.finish(out).await };
        let challenge = head.challenge();
        let told = head.told(&challenge);
        if !left_home {
            let helps = presentable.learn(&told);
            keep(asking, &presentable);
            // The body is read once: what cannot be sent again is not begun again.
            if helps && !learned && !asked.reads_input() {
                learned = true;
                ride.stop().await;
                continue;
            }
            if told.refuses_token() && !renewed && !asked.reads_input() {
                renewed = true;
                ride.stop().await;
                let Asking { holder, identity, request, binding } = asking;
                presentable = holder.present_another(identity, request, *binding, &presentable).await?;
                continue;
            }
        }
        dumped.extend_from_slice(ride.dumped());
        if let Some(to) = next(asked, &head, followed)? {
            followed += 1;
            learned = false;
            ride.stop().await;
            left_home |= to.origin() != home;
            asked.redirected(head.status, to);
            continue;
        }
        dump(asked, &dumped, out)?;
        if told.wants_step_up() {
            out.warn(format_args!("this API wants a stronger or more recent login: {STEP_UP}"));
        }
        if let Some(why) = unheard(presentable.bound() && !left_home, &head, &challenge) {
            out.warn(why);
        }
        return ride.finish(out).await;
    }
}

/// Where to go on, if redirects are followed.
fn next(asked: &Asked, head: &Head, followed: usize) -> Result<Option<url::Url>, Failure> {
    let Some(to) = head.redirects_to(&asked.url).filter(|_| asked.redirects > 0) else { return Ok(None) };
    if followed >= asked.redirects {
        let told = format!("more than {} redirects", asked.redirects);
        return Err(Failure::could_not_run(told).hint("`--max-redirs` sets how many are followed"));
    }
    Ok(Some(to))
}

/// What is learned of the API saves the next command a second try. It is no reason to fail.
fn keep(asking: &Asking<'_>, presentable: &Presentable) {
    let _ = asking.holder.keep_learned(asking.identity, presentable);
}

/// Writes the headers where `--dump-header` has them.
fn dump(asked: &Asked, dumped: &[u8], out: &mut Output) -> Result<(), Failure> {
    match &asked.dump_header {
        None => Ok(()),
        Some(place) if place == "-" => out.piece(dumped),
        Some(place) => std::fs::write(place, dumped).map_err(|error| {
            Failure::could_not_run(format_args!("cannot write `{}`: {error}", place.to_string_lossy()))
        }),
    }
}

/// What a person should know of a refusal that is not about them.
fn unheard(bound: bool, head: &Head, challenge: &str) -> Option<&'static str> {
    let knows = challenge.to_ascii_lowercase().contains("dpop");
    (bound && head.status == 401 && !knows && !challenge.is_empty()).then_some(
        "this API does not speak of proofs (DPoP): if it takes bearer tokens alone, use `--bearer`",
    )
}

/// The options of the curl on this machine.
async fn known() -> Result<Known, Failure> {
    let help = tokio::process::Command::new("curl").args(["-q", "--help", "all"]).output().await;
    let help = help.map_err(ride::not_started)?;
    Ok(Known::read(&String::from_utf8_lossy(&help.stdout)))
}
