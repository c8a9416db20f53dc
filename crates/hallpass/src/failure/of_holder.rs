//! What a person is told when the holder could not do what was asked.

use std::io::ErrorKind;

use hallpass_holder::HolderError;
use hallpass_model::wire::errors::ErrorCode;
use hallpass_model::wire::metadata::BadIssuer;

use super::{Exit, Failure};

impl From<HolderError> for Failure {
    fn from(error: HolderError) -> Self {
        use HolderError as E;
        let told = error.to_string();
        match error {
            E::NotSignedIn { profile: Some(profile), .. }
            | E::SignInEnded { profile: Some(profile), .. }
            | E::KeyGone { profile: Some(profile), .. } => Failure::needs_person(told)
                .hint(format_args!("run `hallpass login --profile {profile}`, then try again")),
            E::ForeignCopy { ref issuer, .. } => {
                let hint = format!("run `hallpass login {issuer}` on this machine, then try again");
                Failure::needs_person(told).hint(hint)
            }
            E::NotSignedIn { issuer: None, .. } => {
                Failure::needs_person(told).hint("run `hallpass login ISSUER`, then try again")
            }
            E::NotSignedIn { issuer: Some(issuer), .. }
            | E::SignInEnded { issuer, .. }
            | E::KeyGone { issuer, .. } => {
                Failure::needs_person(told).hint(format_args!("run `hallpass login {issuer}`, then try again"))
            }
            E::AnotherTenant { .. } => Failure::needs_person(told)
                .hint("nothing was handed out; sign in again, and tell whoever runs the issuer"),
            E::SomebodyElse { .. } => Failure::refused(told).hint(
                "sign in as the same one, name another `--profile`, or give this one to whoever came with `--as-new`",
            ),
            E::AnotherOrg { .. } => Failure::refused(told)
                .hint("name a sign-in of that organisation with `--profile`, or sign in to it: `hallpass login`"),
            E::NobodyThere => Failure::needs_person(told),
            E::NoAnswerPasted => Failure::needs_person(told).hint(
                "run the command again, sign in by the address it shows, and paste the whole address of the page that cannot be loaded",
            ),
            E::TimedOut => Failure::needs_person(told).hint("run the command again for a new code"),
            E::Ambiguous { .. } => {
                Failure::usage(told).hint("say which with `--profile` or `--issuer`, or set HALLPASS_PROFILE")
            }
            E::Usage { .. } => Failure::usage(told),
            E::Wider { .. } => Failure::refused(told)
                .hint("ask for less, or have the command outside (`hallpass exec --as socket`) open it wider"),
            E::NoPassSocket { .. } => Failure::could_not_run(told).hint(
                "HALLPASS_TOKEN_SOCKET names it: the command that opened it may be over, or it is not mounted here",
            ),
            E::BadIssuer { why: BadIssuer::Malformed, .. } => {
                Failure::usage(told).hint("an issuer is an address such as `https://id.example/acme`")
            }
            // What the TLS library says of a chain it does not trust: trying again mends nothing.
            E::Unreachable { why, .. } if why.contains("invalid peer certificate") => Failure::could_not_run(told)
                .hint("if an authority of your own signed it, name its certificate by `--ca-file` or HALLPASS_CA_FILE"),
            E::Unreachable { .. } => Failure::try_later(told).hint("nothing was lost; try again in a while"),
            E::Locked { .. } => Failure::try_later(told),
            E::Denied => Failure::refused(told),
            E::Refused { code: ErrorCode::InsufficientUserAuthentication, .. } => {
                Failure::needs_person(told).hint(STEP_UP)
            }
            E::Refused { ref code, .. } => {
                let failure = Failure::refused(told);
                match of_refusal(code) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            E::Cancelled => Failure::no(told).leaving_with(Exit::INTERRUPTED),
            E::NoRung { .. } => Failure::could_not_run(told).hint(
                "set HALLPASS_PASSPHRASE_FILE, run this at a terminal, or keep it in memory for one command: \
                 `hallpass login ISSUER --resource URL --one-run -- COMMAND`",
            ),
            E::DaemonLocked => Failure::needs_person(told).hint("run `hallpass daemon unlock`, then try again"),
            E::RungFailed { .. } => Failure::try_later(told).hint("nothing was lost; try again when it can be had"),
            E::RungForbidden { ref place, .. } => {
                let place = place.display();
                Failure::could_not_run(told).hint(format_args!(
                    "`ls -l {place}` names the group that may, `tss` on most systems: whoever runs this machine adds you by \
                     `usermod -aG tss NAME`, and it holds from your next log-in on; or name another place by `--store`"
                ))
            }
            E::SealedElsewhere { .. } => {
                Failure::needs_person(told).hint("run `hallpass login ISSUER` on this machine, then try again")
            }
            E::WouldLower { .. } => Failure::could_not_run(told)
                .hint("make it usable again, or name another place: `--store keyring` or `--store passphrase`"),
            E::PassphraseNeeded => Failure::needs_person(told)
                .hint("run this at a terminal, or name a file with the passphrase in HALLPASS_PASSPHRASE_FILE"),
            E::WrongPassphrase => Failure::could_not_run(told)
                .hint("try again; if it is the right one, the record was changed: sign in again"),
            E::Damaged { .. } => {
                Failure::could_not_run(told).hint("`hallpass logout` wipes it; then sign in again")
            }
            E::Start { ref source, .. } => {
                let exit = match source.kind() {
                    ErrorKind::NotFound => Exit::NOT_FOUND,
                    _ => Exit::NOT_RUNNABLE,
                };
                Failure::could_not_run(told).leaving_with(exit)
            }
            _ => Failure::could_not_run(told),
        }
    }
}

/// How a person meets a demand for a fresh login (RFC 9470).
pub(crate) const STEP_UP: &str =
    "run `hallpass login --step-up`, which asks you to prove anew who you are, then try again";

/// What would satisfy the rule that refused.
fn of_refusal(code: &ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::InvalidTarget => Some(
            "the API must be known to the issuer, of the client's environment, and named at sign-in: `hallpass login ISSUER --resource URL`",
        ),
        ErrorCode::RungNotAllowed => Some(
            "sign in again with `--store` and one of those; if this machine has none, ask whoever runs the org",
        ),
        ErrorCode::InvalidScope | ErrorCode::InsufficientScope => Some(
            "ask for scopes that were granted at sign-in: `hallpass status` shows them; an agent's are in `hallpass agents`",
        ),
        ErrorCode::UnauthorizedClient | ErrorCode::UnsupportedGrantType => Some(
            "this client may not do that here: ask whoever runs the issuer, or name another with `--client-id`",
        ),
        ErrorCode::InvalidClient => Some("the client is not known there: name yours with `--client-id`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hallpass_holder::Rung;

    use super::*;

    #[test]
    fn each_failure_leaves_with_the_code_for_what_the_person_can_do() {
        let issuer = || "https://id.example".to_owned();
        let table = [
            (HolderError::NotSignedIn { issuer: None, profile: None }, 4),
            (HolderError::SignInEnded { issuer: issuer(), profile: None, why: "cut".into() }, 4),
            (HolderError::Ambiguous { choices: vec!["a".into(), "b".into()] }, 2),
            (HolderError::Unreachable { place: issuer(), why: "no route".into() }, 75),
            (HolderError::Denied, 5),
            (HolderError::Refused { issuer: issuer(), code: ErrorCode::InvalidScope, told: None }, 5),
            (HolderError::Cancelled, 130),
            (HolderError::NoRung { why: "x".into() }, 70),
            (HolderError::RungForbidden { rung: Rung::Tpm, place: "/dev/tpmrm0".into() }, 70),
            (HolderError::SealedElsewhere { rung: Rung::Tpm }, 4),
            (HolderError::Start { command: "x".into(), source: ErrorKind::NotFound.into() }, 127),
            (HolderError::Start { command: "x".into(), source: ErrorKind::PermissionDenied.into() }, 126),
            // Whatever kind of error it is: the command did not have it.
            (HolderError::Run { doing: "cannot start the watcher", source: ErrorKind::NotFound.into() }, 70),
        ];
        for (error, code) in table {
            let failure = Failure::from(error);
            assert_eq!(failure.exit().code(), code, "{}", failure.message());
            assert!(
                failure.message().starts_with(|c: char| c == '`' || c.is_lowercase()),
                "{}",
                failure.message()
            );
        }
    }
}
