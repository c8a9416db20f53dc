//! What went wrong, by what the person can do next.

use std::path::{Path, PathBuf};

use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::metadata::BadIssuer;

use crate::identity::ProfileName;
use crate::vault::Rung;

/// What went wrong, by what the person can do next. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HolderError {
    /// Sign in: nobody has, here.
    #[error("nobody is signed in{}{}", at(.issuer.as_deref()), under(.profile.as_ref()))]
    NotSignedIn {
        /// The issuer, if one was named.
        issuer: Option<String>,
        /// The profile, if one was named.
        profile: Option<ProfileName>,
    },
    /// Sign in again: the issuer said definitely that it is over, or what is needed to go on is gone.
    #[error("your sign-in to `{issuer}`{} has ended: {why}", under(.profile.as_ref()))]
    SignInEnded {
        /// The issuer.
        issuer: String,
        /// The profile, if it has one.
        profile: Option<ProfileName>,
        /// What is known about the reason.
        why: String,
    },
    /// Say which: several would do.
    #[error("there are several sign-ins: {}", list(.choices))]
    Ambiguous {
        /// What tells them apart: profiles, issuers, or `issuer as client`.
        choices: Vec<String>,
    },
    /// Wait: the network, a time-out, or a server that is busy. Everything is kept.
    #[error("`{place}` cannot be reached: {why}")]
    Unreachable {
        /// The address.
        place: String,
        /// Why.
        why: String,
    },
    /// Wait: another process holds what is needed.
    #[error("another process is renewing this sign-in and has not finished in {waited_seconds} s")]
    Locked {
        /// How long we waited, in seconds.
        waited_seconds: u64,
    },
    /// Ask the owner: the issuer refused, and signing in again would not help.
    #[error("`{issuer}` refused: {}", refusal(.code, .told.as_deref()))]
    Refused {
        /// The issuer.
        issuer: String,
        /// Its code.
        code: ErrorCode,
        /// Its sentence, made fit to show.
        told: Option<String>,
    },
    /// Ask whoever runs the account: AWS does not let this sign-in take on the role.
    #[error("`{sts}` does not let this sign-in take on the role ({code})")]
    RoleRefused {
        /// The endpoint of STS.
        sts: String,
        /// Its code.
        code: String,
    },
    /// The person said no.
    #[error("the request was denied")]
    Denied,
    /// Nobody answered in time.
    #[error("nobody approved the request in time")]
    TimedOut,
    /// Paste the whole address of the last page: what was pasted is not the answer to this sign-in.
    #[error("nothing that was pasted is the answer to this sign-in")]
    NoAnswerPasted,
    /// Say how to ask, or give the job an identity of its own: a person must sign in, and none is there.
    #[error(
        "nobody is there to sign in: use `--flow device` if somebody reads what is said here, or give the job an \
         identity of its own"
    )]
    NobodyThere,
    /// Stopped by the person who started it.
    #[error("cancelled; nothing was kept")]
    Cancelled,
    /// Take it up with whoever runs the provider: it answered something no provider should.
    #[error("`{place}` answered {what}")]
    Unexpected {
        /// The address.
        place: String,
        /// What it answered, in words of ours.
        what: String,
    },
    /// The issuer is not one, or its metadata is not usable.
    #[error("`{issuer}` cannot be used as an issuer: {why}")]
    BadIssuer {
        /// As typed, cut to a line.
        issuer: String,
        /// Why.
        why: BadIssuer,
    },
    /// SECURITY: what came back belongs to somebody else. It was refused, and revoked as far as that can be.
    #[error(
        "the answer is not for whom you signed in as: {what} was `{pinned}` and is now {came}; {}",
        given_back(.not_revoked.as_deref())
    )]
    AnotherTenant {
        /// What differs.
        what: &'static str,
        /// As it was at login.
        pinned: String,
        /// As it came.
        came: String,
        /// Why what came may still be alive at its provider, if it may.
        not_revoked: Option<String>,
    },
    /// Sign in as the one who was meant: somebody else, or somebody of another organisation, came back. It was revoked.
    #[error("somebody else signed in{}: {what} was `{pinned}` and is now {came}; {}", under(.profile.as_ref()), given_back(.not_revoked.as_deref()))]
    SomebodyElse {
        /// The profile, if it has one.
        profile: Option<ProfileName>,
        /// What differs.
        what: &'static str,
        /// As it was.
        pinned: String,
        /// As it came.
        came: String,
        /// Why what came may still be alive at its provider, if it may.
        not_revoked: Option<String>,
    },
    /// Use another sign-in: this one is not of the organisation that was named.
    #[error("the sign-in{} is of `{of}`, not of `{wanted}`", under(.profile.as_ref()))]
    AnotherOrg {
        /// The organisation that was named.
        wanted: String,
        /// The profile, if it has one.
        profile: Option<ProfileName>,
        /// What it is of, as far as is known: an organisation, or the issuer.
        of: String,
    },
    /// An ID token or login response that must not be believed.
    #[error("the login answer cannot be believed: {why}")]
    NotBelieved {
        /// Why.
        why: String,
    },
    /// This provider cannot do what was asked.
    #[error("{what}")]
    Unsupported {
        /// What it cannot do.
        what: String,
    },
    /// What was asked for cannot be.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
    },
    /// Ask for less: a run's pass socket gives no more than its command line says.
    #[error("{what}")]
    Wider {
        /// The rule, and what was asked for.
        what: String,
    },
    /// Ask whoever runs the command that opened it: the pass socket does not answer.
    #[error("the pass socket `{}` does not answer: {why}", .place.display())]
    NoPassSocket {
        /// Where it is said to be.
        place: PathBuf,
        /// Why not.
        why: String,
    },
    /// There is nowhere to keep a secret.
    #[error("there is nowhere safe to keep the sign-in: {why}")]
    NoRung {
        /// Why each rung failed.
        why: String,
    },
    /// Unlock: the key is where it was put, and cannot be had just now. Nothing was lost.
    #[error("the key of your sign-in is in the {rung}, which {why}")]
    RungFailed {
        /// Where it is.
        rung: Rung,
        /// Why it cannot be had.
        why: String,
    },
    /// Ask whoever runs this machine: it is there, and this user may not use it.
    #[error("the {rung} may not be used by this user: `{}` is closed to them", .place.display())]
    RungForbidden {
        /// Which.
        rung: Rung,
        /// Its device or socket.
        place: PathBuf,
    },
    /// Sign in on this machine: the key is one that only another machine's rung opens.
    #[error("the key was sealed by the {rung} of another machine, and does not open here")]
    SealedElsewhere {
        /// By which.
        rung: Rung,
    },
    /// Unlock, or name a place: a sign-in goes to a lower rung only if it is told to.
    #[error("your sign-in rests in the {rung}, which {why}; it is not moved to a lower place unasked")]
    WouldLower {
        /// Where it rests.
        rung: Rung,
        /// Why it cannot be used.
        why: String,
    },
    /// Unlock: a passphrase is needed and nobody is there to give it.
    #[error("the passphrase is needed, and nobody is there to type it")]
    PassphraseNeeded,
    /// Unlock: it was the wrong one, or the record was changed.
    #[error("the passphrase does not open the record")]
    WrongPassphrase,
    /// Unlock: the daemon is locked, and gives nothing out until it is unlocked.
    #[error("the daemon is locked")]
    DaemonLocked,
    /// Start it, or do without: only the daemon could do this, and none is to be had.
    #[error("there is no daemon to ask: {why}")]
    NoDaemon {
        /// Why not.
        why: String,
    },
    /// Sign in again: the key of the record is gone, as its rung said it might be.
    #[error("the key of your sign-in to `{issuer}`{} is no longer in the {rung}", under(.profile.as_ref()))]
    KeyGone {
        /// The issuer.
        issuer: String,
        /// The profile, if it has one.
        profile: Option<ProfileName>,
        /// Where it was.
        rung: Rung,
    },
    /// SECURITY: the record does not open with its own key: it was changed, cut short, or is a copy from elsewhere.
    #[error("the record `{}` was changed or damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Sign in on this machine: the record was made on another one, and opens there alone.
    #[error(
        "nobody is signed in to `{issuer}` on this machine: the record `{}` is a foreign copy, made on another machine, \
         and does not open here",
        .path.display()
    )]
    ForeignCopy {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
    },
    /// SECURITY: a file or folder that others could read or change is not used.
    #[error("`{}` is not safe to use: {why}", .path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The disk, or another part of the system.
    #[error("{doing} `{}`: {source}", .path.display())]
    Disk {
        /// What was being done: `cannot write`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's word for it.
        source: std::io::Error,
    },
    /// A command could not be started.
    #[error("cannot run `{command}`: {source}")]
    Start {
        /// The command's first word.
        command: String,
        /// The system's word for it.
        source: std::io::Error,
    },
    /// Something around a command failed, not the command.
    #[error("{doing}: {source}")]
    Run {
        /// What was being done: `cannot catch signals`.
        doing: &'static str,
        /// The system's word for it.
        source: std::io::Error,
    },
}

impl HolderError {
    /// With what came of giving back what came.
    pub(crate) fn after_giving_back(mut self, given_back: Result<(), String>) -> Self {
        if let Self::AnotherTenant { not_revoked, .. } | Self::SomebodyElse { not_revoked, .. } = &mut self {
            *not_revoked = given_back.err();
        }
        self
    }

    /// Of a file operation.
    pub(crate) fn disk<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<'a> {
        move |source| Self::Disk { doing, path: path.to_owned(), source }
    }
}

fn given_back(not_revoked: Option<&str>) -> String {
    match not_revoked {
        None => "what came was revoked".into(),
        Some(why) => format!("what came could not be revoked: {why}"),
    }
}

fn at(issuer: Option<&str>) -> String {
    issuer.map(|issuer| format!(" to `{issuer}`")).unwrap_or_default()
}

fn under(profile: Option<&ProfileName>) -> String {
    profile.map(|profile| format!(" as profile `{profile}`")).unwrap_or_default()
}

fn list(choices: &[String]) -> String {
    choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
}

fn refusal(code: &ErrorCode, told: Option<&str>) -> String {
    match told {
        Some(told) => format!("{told} ({code})"),
        None => code.to_string(),
    }
}
