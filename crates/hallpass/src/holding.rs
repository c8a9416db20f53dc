//! What every command about sign-ins shares: which one is meant, and the holder that has it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hallpass_holder::daemon::{self, Daemon, Offered, Program, Start, TokenAsked, Use};
use hallpass_holder::{
    Ambient, Asking, Holder, HolderError, Identity, LetIn, PassSocket, ProfileName, Settings,
};
use hallpass_model::purpose::Purpose;
use hallpass_model::secret::{Passphrase, Secret};

use crate::behind::BEHIND;
use crate::binding::Nearest;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::{clock, env, passphrase, surroundings};

mod bound; // what a directory asks for
mod select; // which of several

use bound::Bound;
use select::Says;
pub(crate) use select::{another_is_meant_here, profile_of_environment};

/// This very program, even if its file was replaced since it started.
pub(crate) const OURSELVES: &str = "/proc/self/exe";
/// What makes it the daemon, away from the terminal it was started at.
const DETACHED: [&str; 3] = ["daemon", "run", "--detached"];

/// How the holder is set up.
#[derive(Debug, Args)]
pub(crate) struct HolderArgs {
    /// Trust these certificates besides the system's (HALLPASS_CA_FILE)
    #[arg(long, value_name = "FILE", help_heading = "Holder")]
    ca_file: Option<PathBuf>,

    /// Ask nobody anything: fail instead (HALLPASS_NO_INPUT)
    #[arg(long, help_heading = "Holder")]
    no_input: bool,
}

/// Which sign-in is meant.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The profile you signed in as; needed where there are several sign-ins (HALLPASS_PROFILE)
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<ProfileName>,

    /// The issuer you signed in to; needed where there are several (HALLPASS_ISSUER)
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,

    /// The client you signed in as; needed where there are several (HALLPASS_CLIENT_ID)
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,

    #[command(flatten)]
    pub(crate) holder: HolderArgs,
}

impl WhichArgs {
    /// The sign-in at this issuer.
    pub(crate) fn at(issuer: String) -> Self {
        let holder = HolderArgs { ca_file: None, no_input: false };
        Self { profile: None, issuer: Some(issuer), client_id: None, holder }
    }
}

impl HolderArgs {
    /// For programs that others call: nobody is asked anything.
    pub(crate) fn nobody_asked() -> Self {
        Self { ca_file: None, no_input: true }
    }

    /// The same, and nobody is asked anything.
    pub(crate) fn quietly(&self) -> Self {
        Self { ca_file: self.ca_file.clone(), no_input: true }
    }

    /// The holder of this user's credentials.
    pub(crate) fn open(&self) -> Result<Holder, Failure> {
        Ok(self.holder(Some(state_folder()?)).with_daemon(self.daemon()?))
    }

    /// The holder that the daemon itself has: it asks no other, and nobody, but takes a passphrase that it is given.
    pub(crate) fn open_for_daemon(&self) -> Result<(Holder, PathBuf, Offered), Failure> {
        let state = state_folder()?;
        let (offered, file) = (Offered::default(), env::HALLPASS_PASSPHRASE_FILE.path());
        let given = offered.clone();
        let ask = move |asking| match (&*given.lock().expect("no thread panics holding this"), asking) {
            (Some(passphrase), Asking::Open) => Ok(Some(Secret::new(passphrase.expose().to_vec()))),
            _ => passphrase::find(asking, file.as_deref(), false),
        };
        let holder = Holder::new(Settings::new(Arc::new(clock::now)).with(|settings| {
            settings.state = Some(state.clone());
            settings.ca_file = self.ca_file();
            settings.ask_passphrase = Arc::new(ask);
            settings.places = surroundings::places();
        }));
        Ok((holder, state, offered))
    }

    /// The daemon of this user, whether it runs or not.
    pub(crate) fn daemon(&self) -> Result<Daemon, Failure> {
        let wanted = match env::HALLPASS_DAEMON.text() {
            None => Use::default(),
            Some(named) => named
                .parse()
                .map_err(|why| Failure::usage(format_args!("HALLPASS_DAEMON is `{named}`: {why}")))?,
        };
        let (state, socket) = (state_folder()?, socket());
        let passphrase = env::HALLPASS_PASSPHRASE_FILE.path().and_then(|file| std::path::absolute(file).ok());
        let paths = [
            (env::HALLPASS_STATE_DIR, Some(state.clone())),
            (env::HALLPASS_SOCKET, Some(socket.clone())),
            (env::HALLPASS_CA_FILE, self.ca_file()),
            (env::HALLPASS_PASSPHRASE_FILE, passphrase),
            (env::HALLPASS_TPM, surroundings::named_tpm()),
        ];
        let paths =
            paths.into_iter().filter_map(|(variable, path)| Some((variable.name.into(), path?.into())));
        let start = Start {
            program: OURSELVES.into(),
            called: place().map_or_else(|| OURSELVES.into(), |place| place.into()),
            arguments: DETACHED.iter().map(Into::into).collect(),
            environment: paths.chain(certificates()).collect(),
        };
        Ok(Daemon::new(socket, wanted, Some(state), Some(start)))
    }

    /// The holder of a sign-in that is kept in memory alone: a machine without a home folder will do.
    pub(crate) fn open_for_one_run(&self) -> Holder {
        self.holder(state_folder().ok())
    }

    fn holder(&self, state: Option<PathBuf>) -> Holder {
        let file = env::HALLPASS_PASSPHRASE_FILE.path();
        // It is typed at the terminal itself, wherever our input and output go.
        let ask = self.may_ask() && surroundings::a_terminal_is_there();
        Holder::new(Settings::new(Arc::new(clock::now)).with(|settings| {
            settings.state = state;
            settings.ca_file = self.ca_file();
            settings.ask_passphrase = Arc::new(move |asking| passphrase::find(asking, file.as_deref(), ask));
            settings.places = surroundings::places();
        }))
    }

    /// A passphrase, from its file or the person at the terminal. `None` where there is neither.
    pub(crate) fn passphrase(&self, asking: Asking) -> Result<Option<Secret<Passphrase>>, Failure> {
        let file = env::HALLPASS_PASSPHRASE_FILE.path();
        let ask = self.may_ask() && surroundings::a_terminal_is_there();
        passphrase::find(asking, file.as_deref(), ask).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted => Failure::no("cancelled").leaving_with(Exit::INTERRUPTED),
            _ => Failure::could_not_run(format_args!("no passphrase: {error}")),
        })
    }

    /// Absolute: a run's watcher reads it again, from another folder.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        let named = self.ca_file.clone().or_else(|| env::HALLPASS_CA_FILE.path())?;
        Some(std::path::absolute(&named).unwrap_or(named))
    }

    /// Whether anybody may be asked anything.
    pub(crate) fn may_ask(&self) -> bool {
        !self.no_input && !env::HALLPASS_NO_INPUT.is_set()
    }
}

/// Where passes come from.
pub(crate) struct Source {
    pub(crate) holder: Holder,
    pub(crate) identity: Identity,
    /// What a directory says a pass is for.
    pub(crate) bound: Bound,
}

impl WhichArgs {
    /// Where passes come from: the pass socket of a command outside, where there is one, and else a sign-in or
    /// an identity of this machine's.
    pub(crate) async fn source(&self, out: &mut Output) -> Result<Source, Failure> {
        let Some(place) = env::HALLPASS_TOKEN_SOCKET.path() else {
            let (holder, identity) = self.whose(out)?;
            let bound = self.bound(&identity)?;
            return Ok(Source { holder, identity, bound });
        };
        // SECURITY: whoever made the socket meant less than a sign-in that may be here, too.
        if !self.flags().nothing() {
            let both = "a sign-in is named, and HALLPASS_TOKEN_SOCKET says that tokens come from a socket";
            return Err(
                Failure::usage(both).hint("leave `--profile`, `--issuer` and `--client-id` out, or unset it")
            );
        }
        let socket = PassSocket::new(place);
        let identity = socket.gives().await?.identity();
        let holder = self.holder.holder(None).with_pass_socket(socket);
        Ok(Source { holder, identity, bound: Bound::default() })
    }

    /// The sign-in to use, and the holder that has it. Where this is a job or a pod that is given an identity, and an issuer
    /// is named for it, it is that one's: no person's sign-in is looked for, unless a profile is named.
    pub(crate) fn whose(&self, out: &mut Output) -> Result<(Holder, Identity), Failure> {
        let profile = self.profile.is_some() || profile_of_environment()?.is_some();
        let ambient = if profile { None } else { surroundings::ambient()? };
        let issuer = self.issuer.clone().or_else(|| env::HALLPASS_ISSUER.text());
        if let (Some(ambient), Some(issuer)) = (&ambient, &issuer) {
            return Ok(self.as_workload(ambient, issuer, out));
        }
        let holder = self.holder.open()?;
        let identity = match self.find(&holder, out) {
            Err(failure) if failure.exit() == Exit::SIGN_IN => {
                let machine = if profile { None } else { surroundings::machine() };
                if let (Some(machine), Some(issuer)) = (&machine, &issuer) {
                    return Ok(self.as_workload(machine, issuer, out));
                }
                return Err(match ambient.or(machine) {
                    Some(ambient) => failure.hint(format_args!(
                        "this is {}: name the issuer it comes in to, with HALLPASS_ISSUER or `--issuer`",
                        ambient.name()
                    )),
                    None => failure,
                });
            }
            found => found?,
        };
        Ok((holder, identity))
    }

    fn as_workload(&self, ambient: &Ambient, issuer: &str, out: &mut Output) -> (Holder, Identity) {
        out.say(format_args!("as {}, by a trust of `{issuer}`", ambient.name()));
        let client = self.client_id.clone().or_else(|| env::HALLPASS_CLIENT_ID.text());
        let identity = Identity::new(issuer, client.unwrap_or_default());
        let by = LetIn::default()
            .by_trust(env::HALLPASS_TRUST.text())
            .for_audience(env::HALLPASS_ID_TOKEN_AUDIENCE.text());
        (self.holder.open_for_one_run().as_workload(identity.clone(), ambient.clone(), by), identity)
    }

    /// The sign-in to use: by flag, by environment, by this directory's `.hallpass.toml`, by `default_profile`, or the
    /// only one there is. Never guessed: where several would do, a person at the terminal is asked, and elsewhere it is an
    /// error.
    pub(crate) fn find(&self, holder: &Holder, out: &mut Output) -> Result<Identity, Failure> {
        let nearest = Nearest::find()?;
        if let Some(warning) = nearest.warning() {
            out.warn(warning);
        }
        let (identity, place) = self.meant(holder, &nearest, out)?;
        if let Nearest::Trusted(binding) = &nearest {
            bound::agrees(holder, &identity, &place, binding, self.chosen_on_purpose()?, out)?;
        }
        Ok(identity)
    }

    /// The sign-in that is meant, whether or not it may be used in here.
    pub(crate) fn find_any(&self, holder: &Holder, out: &mut Output) -> Result<(Identity, String), Failure> {
        self.meant(holder, &Nearest::find()?, out)
    }

    fn meant(
        &self,
        holder: &Holder,
        nearest: &Nearest,
        out: &mut Output,
    ) -> Result<(Identity, String), Failure> {
        let voices = self.voices(nearest)?;
        match select::find(holder, &voices) {
            Err(HolderError::Ambiguous { choices })
                if self.holder.may_ask() && surroundings::somebody_answers() =>
            {
                let asked = select::ask(holder, &voices, out)?;
                let asked = asked.ok_or(HolderError::Ambiguous { choices })?;
                Ok((asked, "you chose it".into()))
            }
            found => Ok(found?),
        }
    }

    /// What this directory says a token is for, where no flag does and the sign-in is the one it asks for.
    pub(crate) fn bound(&self, identity: &Identity) -> Result<Bound, Failure> {
        Ok(match Nearest::find()? {
            Nearest::Trusted(binding) if bound::says(&binding).names(identity) => Bound::of(binding),
            _ => Bound::default(),
        })
    }

    /// The one question to the daemon that finds what [`find`](Self::find) and [`bound`](Self::bound) find, and what is to be
    /// said beside its answer. `None` where one question does not do, or something is wrong that they would tell of.
    pub(crate) fn as_question(&self, asked: TokenAsked) -> Option<(TokenAsked, Option<String>)> {
        let nearest = Nearest::find().ok()?;
        let voices = self.voices(&nearest).ok()?;
        let says = voices.into_iter().find(|voice| !voice.nothing()).unwrap_or_default();
        if says.issuer.is_some() && says.client_id.is_some() && says.profile.is_some() {
            return None; // the daemon takes a sign-in that is said in full for one that was found
        }
        let profile = says.profile.map(|profile| profile.to_string());
        let mut asked = TokenAsked { issuer: says.issuer, client_id: says.client_id, profile, ..asked };
        let warning = nearest.warning();
        if let Nearest::Trusted(binding) = nearest {
            // It binds the sign-in that it asks for, and whether another was chosen shows only once that is found.
            if self.chosen_on_purpose().ok()? {
                return None;
            }
            asked.org = binding.org.clone();
            let bound = Bound::of(binding);
            asked.resource = asked.resource.or(bound.resource);
            let reach = scopes(&bound.scopes);
            asked.scope = asked.scope.or_else(|| (!reach.is_empty()).then(|| reach.to_string()));
        }
        Some((asked, warning))
    }

    /// Whether a person said which one, here and now or for this terminal.
    fn chosen_on_purpose(&self) -> Result<bool, Failure> {
        self.names_any()
    }

    /// Whether a sign-in is one of those that are named. All are, where none is.
    pub(crate) fn names(&self, identity: &Identity) -> Result<bool, Failure> {
        let voices = [self.flags(), select::environment()?];
        let says = voices.iter().find(|voice| !voice.nothing());
        Ok(says.is_none_or(|says| says.names(identity)))
    }

    /// Whether a flag or the environment names any.
    pub(crate) fn names_any(&self) -> Result<bool, Failure> {
        Ok(!self.flags().nothing() || !select::environment()?.nothing())
    }

    /// Everybody who has a say, from the strongest to the weakest.
    fn voices(&self, nearest: &Nearest) -> Result<Vec<Says>, Failure> {
        let default = Says {
            place: "`default_profile`".into(),
            profile: Config::load()?.default_profile,
            ..Says::default()
        };
        let directory = match nearest {
            Nearest::Trusted(binding) => bound::says(binding),
            _ => Says::default(),
        };
        Ok(vec![self.flags(), select::environment()?, directory, default])
    }

    fn flags(&self) -> Says {
        Says {
            place: "the command line".into(),
            profile: self.profile.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
        }
    }
}

/// Reads `--resource`: an absolute address without a fragment (RFC 8707, section 2). Kept as typed.
pub(crate) fn parse_resource(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("it is not an absolute address: {error}"))?;
    if url.cannot_be_a_base() || text.contains('#') {
        return Err("it is not an absolute address without a fragment".into());
    }
    Ok(text.to_owned())
}

/// Reads `--scope`: one scope, or several with spaces between them.
pub(crate) fn parse_scope(text: &str) -> Result<String, String> {
    match hallpass_model::wire::oauth::Scopes::parse_tolerant(text) {
        Ok(scopes) if !scopes.is_empty() => Ok(scopes.to_string()),
        Ok(_) => Err("it names no scope".into()),
        Err(bad) => Err(bad.to_string()),
    }
}

/// All the scopes that were given, each once.
pub(crate) fn scopes(given: &[String]) -> hallpass_model::wire::oauth::Scopes {
    let each = given.iter().flat_map(|scopes| scopes.split(' '));
    hallpass_model::wire::oauth::Scopes::collect(each).unwrap_or_default()
}

/// Reads `--purpose`.
pub(crate) fn parse_purpose(text: &str) -> Result<Purpose, &'static str> {
    text.parse()
}

/// This program and its place, if the system tells; with these arguments it takes over from a daemon.
pub(crate) fn ourselves(arguments: Vec<OsString>) -> Option<Program> {
    let called = std::env::args_os().next().unwrap_or_default();
    Program::running(&called, env::PATH.value().as_deref(), &BEHIND, arguments).ok()
}

/// Where this program is: another may be put there while a daemon runs.
fn place() -> Option<PathBuf> {
    Some(ourselves(Vec::new())?.place().to_owned())
}

/// Where sockets of this user may be, for as long as they are logged in.
pub(crate) fn runtime() -> PathBuf {
    let place = daemon::place(None, env::XDG_RUNTIME_DIR.path().as_deref());
    place.parent().expect("a socket stands in a folder").to_owned()
}

/// Where the daemon's socket is.
pub(crate) fn socket() -> PathBuf {
    let named = env::HALLPASS_SOCKET.path().map(|named| std::path::absolute(&named).unwrap_or(named));
    daemon::place(named, env::XDG_RUNTIME_DIR.path().as_deref())
}

/// Where the system's certificates are, if the person says so by a path that only holds in this folder.
pub(crate) fn certificates() -> Vec<(OsString, OsString)> {
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let file = env::SSL_CERT_FILE.path().map(|file| absolute(file).into_os_string());
    let folders = env::SSL_CERT_DIR
        .value()
        .and_then(|folders| std::env::join_paths(std::env::split_paths(&folders).map(absolute)).ok());
    [(env::SSL_CERT_FILE, file), (env::SSL_CERT_DIR, folders)]
        .into_iter()
        .filter_map(|(variable, value)| Some((variable.name.into(), value?)))
        .collect()
}

/// Where records rest: `HALLPASS_STATE_DIR`, or `hallpass` in the state folder (XDG Base Directory).
pub(crate) fn state_folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = env::HALLPASS_STATE_DIR.path() {
        return std::path::absolute(folder)
            .map_err(|error| Failure::usage(format_args!("HALLPASS_STATE_DIR is not a folder: {error}")));
    }
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let state = env::XDG_STATE_HOME.path().and_then(absolute);
    let state = state.or_else(|| Some(env::HOME.path().and_then(absolute)?.join(".local/state")));
    state.map(|state| state.join("hallpass")).ok_or_else(|| {
        Failure::could_not_run("there is no home folder to keep sign-ins in").hint(
            "set HOME or HALLPASS_STATE_DIR, or keep it in memory for one command: \
                 `hallpass login ISSUER --resource URL --one-run -- COMMAND`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_and_scopes_are_read_strictly() {
        assert_eq!(parse_resource("https://api.example/v1").unwrap(), "https://api.example/v1");
        for bad in ["api.example", "https://api.example/#x", "mailto:x@y", ""] {
            assert!(parse_resource(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_scope(" a  b ").unwrap(), "a b");
        assert!(parse_scope("a\"b").is_err() && parse_scope(" ").is_err());
        assert_eq!(scopes(&["a b".into(), "b c".into()]).to_string(), "a b c");
    }
}
