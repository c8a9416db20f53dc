//! `hallpass exec`, and the watcher it leaves behind.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hallpass_holder::exec::{
    Beside, Ended, Leased, Outcome, ProxyRequest, Release, RunEvent, RunRequest, Way,
};
use hallpass_holder::{ActingFor, Holder, Identity, PassRequest};
use hallpass_model::lifetimes::{ACCESS_TOKEN_MAX, EXEC_PASS};
use hallpass_model::principal::Handle;
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use url::Url;

use super::agents;
use crate::failure::{Exit, Failure};
use crate::holding::{
    OURSELVES, Source, WhichArgs, certificates, parse_purpose, parse_resource, parse_scope, runtime, scopes,
};
use crate::output::Output;
use crate::{ambient, clock, env, roots};

/// The hidden commands that become the watcher, the witness and the holder of files of a run.
pub(crate) const WATCH: &str = "watch-run";
pub(crate) const WITNESS: &str = "witness-run";
pub(crate) const FILES: &str = "files-run";
/// And those that stand between us and a command with a terminal of its own.
pub(crate) const TERMINAL: &str = "terminal-run";
pub(crate) const TURN: &str = "turn-run";
/// What a token's life has lost when we look at it, for a person to read a round number.
const LOST_ON_THE_WAY: Duration = Duration::from_millis(900);
/// A longer life is said in whole minutes.
const SAID_IN_SECONDS: Lifetime = Lifetime::minutes(2);

/// Run a command with a token of its own that dies with it
///
/// The command has the token in the way that `--as` says, and in no other. It is narrower than your sign-in, lives no
/// longer than `--ttl`, and is revoked when the command ends, also when hallpass is killed. The exit code is the
/// command's own; 125 if hallpass failed (also over its own arguments), 126 if the command cannot be run, 127 if it is
/// not found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass exec --purpose 'read my notes' -- sh -c 'curl -H \"Authorization: Bearer $HALLPASS_TOKEN\" https://api.example/notes'
  hallpass exec --scope deploy --ttl 5m --purpose 'deploy 1.4' --env API_TOKEN -- ./deploy.sh
  hallpass exec --as proxy --purpose 'read my notes' -- sh -c 'curl $HALLPASS_PROXY_URL/notes'
  hallpass exec --as socket --scope packages:read --purpose build -- \\
    sh -c 'podman run -v $HALLPASS_TOKEN_SOCKET:/pass.sock -e HALLPASS_TOKEN_SOCKET=/pass.sock build'
  hallpass exec --agent coder --as proxy --purpose 'fix the build' -- ./agent.sh   # seen as itself, with a budget
  hallpass exec --as file --clean --purpose 'nightly sync' -- ./sync.sh   # reads $HALLPASS_TOKEN_FILE when it needs it")]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    run: RunArgs,

    /// What the token is for, in a few words; the ledger keeps it
    #[arg(long, value_name = "TEXT", value_parser = parse_purpose)]
    purpose: Purpose,

    /// The agent of yours that acts: the token names it, and what it may have is all there is (`hallpass agents`)
    #[arg(long, value_name = "NAME")]
    agent: Option<Handle>,

    /// The API it is for; may be left out where the sign-in has just one
    #[arg(long, value_name = "URL", value_parser = parse_resource)]
    resource: Option<String>,

    /// How far it reaches; all that was granted for the API otherwise
    #[arg(long = "scope", value_name = "SCOPE", value_parser = parse_scope)]
    scopes: Vec<String>,

    #[command(flatten)]
    which: WhichArgs,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How the token is given.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// How long it lives at most, such as `90s` or `10m`; 15m is the longest there is
    #[arg(long, value_name = "TIME", default_value_t = EXEC_PASS)]
    ttl: Lifetime,

    /// How the command gets it
    #[arg(long = "as", value_enum, value_name = "WAY", default_value_t = As::Env)]
    way: As,

    /// The environment variable that holds it, or says where it is; otherwise `HALLPASS_TOKEN`, `HALLPASS_TOKEN_FD`,
    /// `HALLPASS_TOKEN_FILE`, `HALLPASS_PROXY_URL` or `HALLPASS_TOKEN_SOCKET`
    #[arg(long = "env", value_name = "NAME", value_parser = parse_variable)]
    variable: Option<String>,

    /// With `--as proxy`: another host that gets the token, such as `https://files.example`
    #[arg(long = "to", value_name = "URL", value_parser = parse_origin)]
    to: Vec<Url>,

    /// With `--as proxy`: refuse requests to hosts that were not named
    #[arg(long)]
    only: bool,

    /// Take the token out of what the command writes, also in base64; it keeps its terminal
    #[arg(long)]
    mask: bool,

    /// Take other credentials out of the command's environment, such as `AWS_SECRET_ACCESS_KEY`
    #[arg(long)]
    clean: bool,
}

/// How a command gets its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum As {
    /// In an environment variable
    Env,
    /// By an inherited descriptor of a file in memory, whose number the variable holds
    Fd,
    /// In a file in memory, whose path the variable holds; it is renewed while the command runs
    File,
    /// Not at all: a proxy adds it to requests to the API, whose place the variable's address takes; it is renewed
    Proxy,
    /// When it asks, from a socket whose path the variable holds: for a container or a build inside, which gets passes
    /// no wider than this one
    Socket,
}

impl As {
    fn way(self, run: &RunArgs) -> Way {
        match self {
            As::Env => Way::Env,
            As::Fd => Way::Fd,
            As::File => Way::File,
            As::Proxy => {
                Way::Proxy(ProxyRequest { to: run.to.clone(), only: run.only, roots: roots::files() })
            }
            As::Socket => Way::Socket { runtime: runtime() },
        }
    }

    fn variable(self) -> &'static str {
        match self {
            As::Env => "HALLPASS_TOKEN",
            As::Fd => "HALLPASS_TOKEN_FD",
            As::File => "HALLPASS_TOKEN_FILE",
            As::Proxy => "HALLPASS_PROXY_URL",
            As::Socket => "HALLPASS_TOKEN_SOCKET",
        }
    }
}

impl RunArgs {
    pub(super) fn ttl(&self) -> Lifetime {
        self.ttl
    }

    /// Refuses flags that would do nothing.
    pub(super) fn fits(&self) -> Result<(), Failure> {
        match self.way {
            As::Proxy => Ok(()),
            _ if self.to.is_empty() && !self.only => Ok(()),
            _ => Err(Failure::usage("`--to` and `--only` are for `--as proxy`")),
        }
    }
}

pub(crate) async fn exec(args: ExecArgs, out: &mut Output) -> Result<Exit, Failure> {
    too_long(args.run.ttl)?;
    can_run()?;
    args.run.fits()?;
    let Source { holder, identity, bound } = args.which.source(out).await?;
    let pass = PassRequest::default()
        .resource(args.resource.or(bound.resource))
        .scopes(scopes(if args.scopes.is_empty() { &bound.scopes } else { &args.scopes }))
        .lifetime(args.run.ttl)
        .acting(args.agent.map(ActingFor::NewRun))
        .purpose(args.purpose);
    run(&holder, &identity, pass, args.run, args.command, out).await
}

/// Runs a command with a pass, and leaves with its code.
pub(super) async fn run(
    holder: &Holder,
    identity: &Identity,
    pass: PassRequest,
    run: RunArgs,
    command: Vec<OsString>,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let without = if run.clean { ambient::found(env::names()) } else { Vec::new() };
    if run.clean {
        out.say(taken_out(without.len()));
    }
    let request = RunRequest {
        pass,
        way: run.way.way(&run),
        variable: run.variable.unwrap_or_else(|| run.way.variable().to_owned()),
        without,
        mask: run.mask,
        command,
        path: env::PATH.value(),
        beside: Beside {
            program: OURSELVES.into(),
            watcher: vec![WATCH.into()],
            witness: vec![WITNESS.into()],
            files: vec![FILES.into()],
            terminal: vec![TERMINAL.into()],
            environment: certificates(),
        },
    };
    let outcome = holder.exec(identity, &request, &mut |event| tell(&event, out)).await;
    let Outcome { ended, release, run, .. } = outcome.map_err(|error| ours(error.into()))?;
    // Where its last token was over before the command was, nothing that was given back said so.
    if let (Some(run), Release::LeftToExpire) = (run, &release) {
        agents::end_quietly(holder, identity, run).await;
    }
    if let Release::Pending { why } = release {
        out.warn(format_args!("the token is not revoked yet: {why}"));
        out.warn("a watcher goes on trying, and the token is over by itself when its time is up");
    }
    Ok(match ended {
        Ended::Code(code) => Exit::of_child(code),
        Ended::Signal(signal) => Exit::of_signal(signal),
    })
}

/// A failure of `exec` itself: whatever it is, its code is none that a command has. A person who stops it knows that
/// they did, and so does the shell they typed it at.
pub(crate) fn ours(failure: Failure) -> Failure {
    match failure.exit() {
        Exit::NOT_FOUND | Exit::NOT_RUNNABLE | Exit::INTERRUPTED => failure,
        _ => failure.leaving_with(Exit::EXEC_FAILED),
    }
}

/// The watcher's whole life.
pub(crate) async fn watch() -> Result<Exit, Failure> {
    hallpass_holder::exec::watch(Arc::new(clock::now))
        .await
        .map_err(|error| Failure::could_not_run(format_args!("the watcher cannot watch: {error}")))?;
    Ok(Exit::DONE)
}

/// The witness's whole life.
pub(crate) fn witness() -> Result<Exit, Failure> {
    hallpass_holder::exec::witness()
        .map_err(|error| Failure::could_not_run(format_args!("the witness cannot listen: {error}")))?;
    Ok(Exit::DONE)
}

/// The whole life of the holder of files.
pub(crate) fn hold_files() -> Result<Exit, Failure> {
    hallpass_holder::exec::hold_files()
        .map_err(|error| Failure::could_not_run(format_args!("the files cannot be held: {error}")))?;
    Ok(Exit::DONE)
}

/// What a hidden command is told that stands before a command.
#[derive(Debug, Args)]
pub(crate) struct BecomingArgs {
    /// The descriptor by which it is told.
    descriptor: i32,

    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The monitor's whole life.
pub(crate) fn lead_terminal(args: &BecomingArgs) -> Result<Exit, Failure> {
    hallpass_holder::exec::monitor(args.descriptor, &[TURN.into()], &args.command).map_err(|error| {
        Failure::could_not_run(format_args!("the command's terminal cannot be led: {error}"))
    })?;
    Ok(Exit::DONE)
}

/// Becomes the command. Comes back where that cannot be.
pub(crate) fn take_turn(args: &BecomingArgs) -> Result<Exit, Failure> {
    let error = hallpass_holder::exec::start_in_turn(args.descriptor, &args.command);
    let exit =
        if error.kind() == std::io::ErrorKind::NotFound { Exit::NOT_FOUND } else { Exit::NOT_RUNNABLE };
    let command = args.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    Err(Failure::could_not_run(format_args!("`{command}` cannot be run: {error}")).leaving_with(exit))
}

/// Refuses where nothing can run beside a command, before anything is asked of anybody.
pub(super) fn can_run() -> Result<(), Failure> {
    if std::path::Path::new(OURSELVES).exists() {
        return Ok(());
    }
    let why = format!(
        "`{OURSELVES}` is not there, and nothing can be started that ends the token with the command"
    );
    Err(Failure::could_not_run(why).hint(
        "mount /proc here, or get the token outside and hand it in: `hallpass exec --as socket`, `--as fd`",
    ))
}

/// Refuses before anything is asked of anybody.
pub(super) fn too_long(ttl: Lifetime) -> Result<(), Failure> {
    if ttl <= ACCESS_TOKEN_MAX {
        return Ok(());
    }
    let longer = format!("`--ttl {ttl}` is longer than a token may live, which is {ACCESS_TOKEN_MAX}");
    Err(Failure::refused(longer)
        .hint("the command may run longer than its token; what it needs late, it should ask for late"))
}

/// How many were taken out. SECURITY: never which values, and not which names either: where this is kept, they tell
/// what else is to be had on this machine.
fn taken_out(count: usize) -> String {
    match count {
        0 => "there is no other credential in the environment".into(),
        1 => "1 other credential is not passed on".into(),
        more => format!("{more} other credentials are not passed on"),
    }
}

fn tell(event: &RunEvent<'_>, out: &mut Output) {
    match event {
        RunEvent::Leased(leased) => say(leased, out),
        RunEvent::NotRenewed { why } => {
            out.warn(format_args!("the token could not be renewed, and is tried again: {why}"));
        }
        _ => {}
    }
}

fn say(leased: &Leased<'_>, out: &mut Output) {
    let scope = match leased.scope {
        Some(scope) if !scope.is_empty() => format!("`{scope}`"),
        _ => "a token".into(),
    };
    let place = leased.resource.map(|resource| format!(" for {resource}")).unwrap_or_default();
    let until = match leased.until {
        Some(until) => format!(" until {until}"),
        None => ", and the provider does not say for how long".into(),
    };
    out.say(format_args!("leased {scope}{place}{until}"));
    if let Some(run) = leased.run {
        out.say(format_args!("an agent acts, in run {run}: `hallpass agents end {run}` ends it"));
    }
    if let (false, Some(lasts)) = (leased.renewed, leased.lasts) {
        let lasts = rounded(lasts);
        out.say(format_args!(
            "it is not renewed: a command that runs longer than {lasts} needs `--as proxy` or `--as file`"
        ));
    }
    if !leased.ends_with_command {
        out.say("this provider has no tokens of their own for commands: it lives on after the command, until it is over");
    }
}

/// Reads `--to`: an https address, or a host; on this machine also an http address.
fn parse_origin(text: &str) -> Result<Url, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url: Url = text.parse().map_err(|error| format!("it is not an address: {error}"))?;
    let nobody = url.username().is_empty() && url.password().is_none();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match url.has_host() && nobody && bare {
        true => Ok(url),
        false => Err("it is a host, or a scheme, a host and a port, and nothing more".into()),
    }
}

/// How long, for a person.
fn rounded(lasts: Lifetime) -> Lifetime {
    let lasts = Lifetime::from_std(lasts.to_std() + LOST_ON_THE_WAY);
    match u32::try_from(lasts.as_seconds()) {
        Ok(seconds) if lasts >= SAID_IN_SECONDS => Lifetime::minutes(seconds / 60),
        Ok(seconds) => Lifetime::seconds(seconds),
        Err(_) => lasts,
    }
}

/// A name an environment can have, and no program reads for itself.
fn parse_variable(text: &str) -> Result<String, &'static str> {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("a name has letters, digits and `_`, and does not begin with a digit");
    }
    // A token there would be printed by the loader, or looked for as a program.
    if text == "PATH" || text.starts_with("LD_") {
        return Err("the system reads that one itself");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_an_environment_can_have_are_taken() {
        assert!(parse_variable("API_TOKEN").is_ok() && parse_variable("_x1").is_ok());
        for bad in ["", "1X", "A-B", "A=B", "PATH", "LD_PRELOAD", "Ä"] {
            assert!(parse_variable(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_a_host_and_no_more() {
        assert_eq!(parse_origin("api.example").unwrap().as_str(), "https://api.example/");
        assert_eq!(parse_origin("http://127.0.0.1:80").unwrap().as_str(), "http://127.0.0.1/");
        for bad in ["", "https://api.example/v1", "api.example?x", "mailto:x@y", "https://"] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_that_would_live_too_long_is_refused_beforehand() {
        assert!(too_long(Lifetime::minutes(15)).is_ok());
        assert_eq!(too_long(Lifetime::minutes(16)).unwrap_err().exit(), Exit::REFUSED);
    }
}
