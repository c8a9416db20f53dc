//! `hallpass helper`: what other programs run to be handed a token.
//!
//! Each program has a manner of its own in which it asks and is refused; the files below have one each. What they share is
//! here: which entry of `config.toml` is meant, whose sign-in that is, and the token. A helper asks nobody, starts no
//! browser, and hands nothing out but to the place that the entry names.

use std::ffi::OsString;
use std::io::Read;

use clap::{Args, Subcommand};
use hallpass_holder::adapters::{Handed, Malformed, QUESTION_LEN_MAX, UNKNOWN_LIFE};
use hallpass_holder::{Holder, HolderError, Identity, NotTaken, PassRequest, Wanted};
use hallpass_model::purpose::{Purpose, plain};
use hallpass_model::secret::{AccessToken, Secret};
use hallpass_model::time::Timestamp;
use hallpass_model::wire::oauth::Scopes;
use zeroize::Zeroizing;

use crate::binding::Nearest;
use crate::clock;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::holding::{HolderArgs, another_is_meant_here};
use crate::output::Output;
use crate::targets::{At, Kind, Target};

mod by_name; // the names programs look for
mod git;
mod docker;
mod kubectl;
mod cargo;
mod aws;
mod pip;
mod pnpm;
mod gcp;

pub(crate) use by_name::called_as;

/// What a person is told in one line at most, in characters.
const REMEDY_LEN_MAX: usize = 400;

/// Hand a token to a program that asks in its own way
///
/// Programs run this; `hallpass setup` tells them to. Which program may be handed what, and where it goes, is said by the
/// `[[target]]` entries of config.toml. Nobody is asked anything, and what is not named there is not handed out.
#[derive(Debug, Args)]
pub(crate) struct HelperArgs {
    #[command(subcommand)]
    program: Program,
}

/// Who asks.
#[derive(Debug, Subcommand)]
enum Program {
    /// Speak git's credential helper protocol
    Git(Words),
    /// Speak the protocol of docker's credential helpers
    Docker(Words),
    /// Answer kubectl and other clients of Kubernetes (ExecCredential)
    Kubectl,
    /// Speak cargo's credential provider protocol
    Cargo(Words),
    /// Answer AWS programs (credential_process, or an endpoint for one command)
    Aws(aws::AwsArgs),
    /// Be `keyring` for pip and uv
    Pip(Words),
    /// Print the token of a registry for pnpm (tokenHelper)
    Pnpm(pnpm::PnpmArgs),
    /// Answer Google's libraries (an executable-sourced external account)
    Gcp,
}

/// What the program says in its arguments.
#[derive(Debug, Args)]
struct Words {
    /// The program's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    words: Vec<OsString>,
}

/// Answers one program.
pub(crate) async fn helper(args: HelperArgs, out: &mut Output) -> Result<Exit, Failure> {
    match args.program {
        Program::Git(Words { words }) => git::answer(&words, out).await,
        Program::Docker(Words { words }) => docker::answer(&words, out).await,
        Program::Kubectl => kubectl::answer(out).await,
        Program::Cargo(_) => cargo::answer(out).await,
        Program::Aws(args) => aws::answer(args, out).await,
        Program::Pip(Words { words }) => pip::answer(&words, out).await,
        Program::Pnpm(args) => pnpm::answer(&args, out).await,
        Program::Gcp => gcp::answer(out).await,
    }
}

/// The entries for one program, and the sign-ins they name.
struct Desk {
    holder: Holder,
    targets: Vec<Target>,
}

/// An entry that is meant, and whose sign-in it is.
struct Meant<'a> {
    desk: &'a Desk,
    target: &'a Target,
    username: String,
    identity: Identity,
}

/// A token, to be handed to one program.
struct Given {
    token: Secret<AccessToken>,
    username: String,
    expires: Timestamp,
}

/// More than the entry itself says about the token.
#[derive(Default)]
struct Further {
    scopes: Option<Scopes>,
    purpose: Option<Purpose>,
}

impl Desk {
    /// Reads the entries for this program.
    fn open(kind: Kind) -> Result<Self, Failure> {
        let mut targets = Config::load()?.targets;
        targets.retain(|target| target.kind() == kind);
        Ok(Self { holder: HolderArgs::nobody_asked().open()?, targets })
    }

    /// The entry that is meant. `None`: it is not ours, and the program may ask somebody else.
    ///
    /// Where several would do, what the surroundings name (`HALLPASS_PROFILE`, a trusted `.hallpass.toml`) decides, and
    /// after it the longer path. An entry of another profile than the surroundings name is refused and not passed over: whoever works
    /// for one tenant here has no business with another's token.
    fn find(&self, asked: Option<&str>, fits: impl Fn(&At) -> bool) -> Result<Option<Meant<'_>>, Failure> {
        let fitting = self.targets.iter().filter(|target| fits(&target.at));
        let named: Vec<(&Target, String)> =
            fitting.filter_map(|target| Some((target, target.username(asked)?))).collect();
        let Some((first, _)) = named.first() else { return Ok(None) };
        let mut meant = Vec::new();
        let mut not_signed_in = None;
        for (target, username) in &named {
            let wanted = Wanted {
                issuer: target.issuer.as_deref(),
                client_id: target.client_id.as_deref(),
                profile: target.profile.as_ref(),
            };
            match self.holder.find(&wanted) {
                Ok(identity) => {
                    meant.push(Meant { desk: self, target, username: username.clone(), identity })
                }
                Err(error) => not_signed_in = Some(error),
            }
        }
        let mut elsewhere = None;
        for one in std::mem::take(&mut meant) {
            match another_is_meant_here(&self.holder, &one.identity)? {
                None => meant.push(one),
                Some(says) => elsewhere = Some(says),
            }
        }
        if let (true, Some(says)) = (meant.is_empty(), elsewhere) {
            return Err(Failure::refused(format_args!(
                "`{first}` belongs to another sign-in than the one that {says} names"
            ))
            .hint("give that one an entry of its own in config.toml, or work elsewhere"));
        }
        let longest = meant.iter().map(|one| one.target.depth()).max().unwrap_or_default();
        meant.retain(|one| one.target.depth() == longest);
        match (meant.len(), not_signed_in) {
            (1, _) => Ok(meant.pop()),
            (0, Some(error)) => Err(of_target(error, first)),
            (0, None) => Ok(None),
            _ => Err(Failure::usage(format_args!("several entries of config.toml are for `{first}`"))
                .hint("set HALLPASS_PROFILE, or name yourself in the address: `https://NAME@HOST`")),
        }
    }
}

impl Desk {
    /// Who signed in, for records of other people's. An issuer where nobody knows.
    fn person(&self, identity: &Identity) -> String {
        let opened = self.holder.status(identity).ok().and_then(|status| status.opened.ok());
        opened.and_then(|opened| opened.person).unwrap_or_else(|| "hallpass".to_owned())
    }
}

impl Meant<'_> {
    fn request(&self, further: Further) -> PassRequest {
        PassRequest::default()
            .resource(self.target.resource.clone())
            .scopes(further.scopes.unwrap_or_else(|| self.target.scopes.clone()))
            .purpose(further.purpose)
    }

    /// A token that is good now.
    async fn token(&self, further: Further) -> Result<Given, Failure> {
        let pass = self.desk.holder.token(&self.identity, &self.request(further)).await;
        let pass = pass.map_err(|error| of_target(error, self.target))?;
        let expires = pass.expires.unwrap_or_else(|| clock::now() + UNKNOWN_LIFE);
        Ok(Given { token: pass.token, username: self.username.clone(), expires })
    }

    /// The token that is kept was not taken: the next question brings a fresh one.
    fn not_taken(&self, token: Option<&Secret<AccessToken>>) -> Result<(), Failure> {
        let request = self.request(Further::default());
        let which = token.map_or(NotTaken::KeptFor(&request), NotTaken::Token);
        self.desk.holder.not_taken(&self.identity, which)?;
        Ok(())
    }
}

impl Given {
    fn handed(&self) -> Handed<'_> {
        Handed { token: &self.token, username: &self.username, expires: self.expires }
    }
}

/// Names a `.hallpass.toml` that nobody has looked at: what it asks for is not followed, and whoever works there may think that
/// it is. On standard error, which programs pass on to the person.
fn tell_of_directory(out: &mut Output) -> Result<(), Failure> {
    if let Some(warning) = Nearest::find()?.warning() {
        out.tell(plain(&format!("hallpass: {warning}"), REMEDY_LEN_MAX));
    }
    Ok(())
}

/// A token that is no token of ours: it would be read as more than one.
fn unfit() -> Failure {
    Failure::could_not_run("the token has characters that cannot be handed on")
}

/// What went wrong for an entry. Whoever is told does not see which sign-in was meant, so it is named.
fn of_target(error: HolderError, target: &Target) -> Failure {
    let needs_login = matches!(error, HolderError::NotSignedIn { .. } | HolderError::SignInEnded { .. });
    let failure = Failure::from(error);
    match (&target.profile, needs_login) {
        (Some(profile), true) => failure.hint(format_args!("run `hallpass login --profile {profile}`")),
        _ => failure,
    }
}

/// A failure and its remedy in one line, for programs that show one.
fn remedy(failure: &Failure) -> String {
    let text = match failure.hint_text() {
        Some(hint) => format!("{}; {hint}", failure.message()),
        None => failure.message().to_owned(),
    };
    plain(&format!("hallpass: {text}"), REMEDY_LEN_MAX)
}

/// The question on standard input, whole.
fn question() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(QUESTION_LEN_MAX + 2));
    // One more than is listened to, so that a longer one is known as that.
    let read = std::io::stdin().lock().take(QUESTION_LEN_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::could_not_run(format_args!("the question cannot be read: {error}")))?;
    Ok(bytes)
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure::usage(malformed)
    }
}
