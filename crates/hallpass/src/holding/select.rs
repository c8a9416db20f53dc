//! Which sign-in is meant, of several: what the strongest voice says, and what weaker ones add where that is not enough.

use hallpass_holder::{Holder, HolderError, Identity, ProfileName, Wanted, told_apart};

use crate::binding::Nearest;
use crate::env;
use crate::failure::Failure;
use crate::output::Output;

/// What one place says about which sign-in is meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    /// The place, for people.
    pub(crate) place: String,
    /// The profile.
    pub(crate) profile: Option<ProfileName>,
    /// The issuer.
    pub(crate) issuer: Option<String>,
    /// The client.
    pub(crate) client_id: Option<String>,
}

impl Says {
    pub(super) fn nothing(&self) -> bool {
        self.profile.is_none() && self.issuer.is_none() && self.client_id.is_none()
    }

    /// Whether a sign-in is as this says.
    pub(super) fn names(&self, identity: &Identity) -> bool {
        self.wanted().fits(identity)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            issuer: self.issuer.as_deref(),
            client_id: self.client_id.as_deref(),
            profile: self.profile.as_ref(),
        }
    }

    /// What this leaves open, filled in by a weaker voice.
    fn filled_by(&self, weaker: &Says) -> Says {
        let of = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        Says {
            place: self.place.clone(),
            profile: self.profile.clone().or_else(|| weaker.profile.clone()),
            issuer: of(&self.issuer, &weaker.issuer),
            client_id: of(&self.client_id, &weaker.client_id),
        }
    }
}

/// The profile that the environment names.
pub(crate) fn profile_of_environment() -> Result<Option<ProfileName>, Failure> {
    let Some(named) = env::HALLPASS_PROFILE.text() else { return Ok(None) };
    let read = named.parse().map(Some);
    read.map_err(|why| Failure::usage(format_args!("HALLPASS_PROFILE is `{named}`: {why}")))
}

/// The environment's voice.
pub(super) fn environment() -> Result<Says, Failure> {
    Ok(Says {
        place: "the environment".into(),
        profile: profile_of_environment()?,
        issuer: env::HALLPASS_ISSUER.text(),
        client_id: env::HALLPASS_CLIENT_ID.text(),
    })
}

/// Where it is said that another sign-in than this one is meant here: by the environment, or by what this directory asks
/// for, its organisation included. `None` if nothing says so.
pub(crate) fn another_is_meant_here(holder: &Holder, identity: &Identity) -> Result<Option<String>, Failure> {
    let environment = environment()?;
    if !environment.nothing() {
        return Ok((!environment.names(identity)).then_some(environment.place));
    }
    let Nearest::Trusted(binding) = Nearest::find()? else { return Ok(None) };
    let (asks, org) = (super::bound::says(&binding), binding.org.as_deref());
    // One that is over is not refused for its organisation: whoever asks for its token is told that it is over.
    let another_org =
        || org.is_some_and(|org| matches!(holder.is_of(identity, org), Err(HolderError::AnotherOrg { .. })));
    Ok((!asks.names(identity) || another_org()).then(|| format!("`{}`", asks.place)))
}

/// The sign-in that is meant. `voices` go from the strongest to the weakest; the first that says anything decides, and
/// weaker ones are heard only where several sign-ins would do. And who decided, if anybody had to.
pub(super) fn find(holder: &Holder, voices: &[Says]) -> Result<(Identity, String), HolderError> {
    let mut voices = voices.iter().filter(|voice| !voice.nothing());
    let mut said = voices.next().cloned().unwrap_or_default();
    let mut found = holder.find(&said.wanted());
    for weaker in voices {
        let Err(HolderError::Ambiguous { .. }) = found else { break };
        let filled = said.filled_by(weaker);
        match holder.find(&filled.wanted()) {
            Err(HolderError::NotSignedIn { .. }) => {} // it speaks of another
            narrowed => (said, found) = (Says { place: weaker.place.clone(), ..filled }, narrowed),
        }
    }
    Ok((found?, said.place))
}

/// Lets the person at the terminal choose.
pub(super) fn ask(holder: &Holder, voices: &[Says], out: &mut Output) -> Result<Option<Identity>, Failure> {
    let said = voices.iter().find(|voice| !voice.nothing()).cloned().unwrap_or_default();
    let mut candidates = holder.candidates(&said.wanted())?;
    if candidates.len() < 2 {
        return Ok(None); // what is in doubt cannot even be read
    }
    for (number, choice) in told_apart(&candidates).iter().enumerate() {
        out.tell(format_args!("  {}  {choice}", number + 1));
    }
    out.prompt(format_args!("which sign-in? [1-{}] ", candidates.len()));
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::could_not_run(format_args!("cannot read the answer: {error}")))?;
    match answer.trim().parse::<usize>() {
        Ok(number) if (1..=candidates.len()).contains(&number) => {
            Ok(Some(candidates.swap_remove(number - 1)))
        }
        _ => Ok(None),
    }
}
