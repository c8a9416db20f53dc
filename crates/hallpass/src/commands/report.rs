//! `hallpass report`: a credential was found where it should not be.

use clap::Args;
use hallpass_holder::Holder;
use hallpass_model::jose::peek_unverified;
use hallpass_model::secret::{AccessToken, Candidate, Kind as _, Secret};
use hallpass_model::spelling::{BadSpelling, judge};
use serde::Serialize;

use crate::env;
use crate::failure::{Exit, Failure};
use crate::handed_in::HandedIn;
use crate::holding::HolderArgs;
use crate::output::{Form, Output};

const CREDENTIAL: HandedIn =
    HandedIn { what: "credential", most: 8 * 1024, piped_by: "hallpass report --issuer URL < FILE" };

/// Report a leaked credential: it is dead at once, and whoever answers for it is told
///
/// For whoever found a credential of a Hallpass issuer in a log, a repository, a chat or an image. It is read from standard
/// input: from a pipe or file, or pasted, and then not shown. Nobody need be signed in: that it is whole is all the proof there
/// is. It alone dies, with what came of it. The issuer never says whether it was alive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass report --issuer https://id.example/acme --found 'build log 1234' < found.txt
  git show HEAD~3:.env | sed -n 's/^TOKEN=//p' | hallpass report --found 'app.git, .env'")]
pub(crate) struct ReportArgs {
    /// The issuer it is of; one that is signed in to, where nothing is said and there is only one (HALLPASS_ISSUER)
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// Where it was found, for whoever answers for it: an address or a path, 200 characters of it
    #[arg(long, value_name = "TEXT")]
    found: Option<String>,

    #[command(flatten)]
    holder: HolderArgs,
}

/// `hallpass.report/1`.
#[derive(Serialize)]
struct Answer<'a> {
    issuer: &'a str,
    kind: &'static str,
}

pub(crate) async fn report(args: ReportArgs, out: &mut Output) -> Result<Exit, Failure> {
    let credential = CREDENTIAL.read(args.holder.may_ask())?;
    let kind = kind_of(&credential)?;
    let holder = args.holder.open()?;
    let issuer = match args.issuer.or_else(|| env::HALLPASS_ISSUER.text()) {
        Some(issuer) => issuer,
        None => only_issuer(&holder)?,
    };
    // SECURITY: a token says of itself whose it is, and anybody could have written that. It is sent nowhere by it.
    let of = peek_unverified(&credential).ok().and_then(|token| token.issuer);
    if kind == SIGNED && of.is_none() {
        let none = CREDENTIAL.none("it does not say which issuer it is of, so it was sent nowhere");
        return Err(none.hint("revoke it where it was issued"));
    }
    if let Some(other) = of.filter(|of| *of != issuer) {
        let failure =
            Failure::usage(format_args!("this token says that it is of another issuer than `{issuer}`"));
        return Err(match is_plain(&other) {
            true => failure
                .hint(format_args!("if you trust that one with it: `hallpass report --issuer {other}`")),
            false => failure.hint("name its issuer by `--issuer`"),
        });
    }
    let credential: Secret<Candidate> = Secret::new(credential.as_bytes().to_vec());
    holder.report_leak(&issuer, &credential, args.found.as_deref()).await?;
    out.say(format_args!(
        "handed in to {issuer}: if this {kind} is one of its own and was alive, it is dead now, and its owners are told"
    ));
    if out.form() == Form::Json {
        out.json("hallpass.report/1", &Answer { issuer: &issuer, kind })?;
    }
    Ok(Exit::DONE)
}

/// What is signed, and is one of ours as an access token alone.
const SIGNED: &str = AccessToken::NAME;

/// The issuer that is signed in to, by whatever client or profile.
fn only_issuer(holder: &Holder) -> Result<String, Failure> {
    let mut issuers: Vec<String> = holder.list()?.into_iter().map(|identity| identity.issuer).collect();
    issuers.sort();
    issuers.dedup();
    let why = match issuers.as_slice() {
        [only] => return Ok(only.clone()),
        [] => "no issuer is named",
        _ => "there are sign-ins to several issuers",
    };
    Err(Failure::usage(why).hint(
        "name the one it is of: `hallpass report --issuer https://id.example/acme`, or set HALLPASS_ISSUER",
    ))
}

/// What it is by its spelling. What is no credential of a Hallpass issuer is sent to none: it would be leaked once more.
fn kind_of(text: &str) -> Result<&'static str, Failure> {
    match judge(text) {
        Ok(prefix) => Ok(prefix.name()),
        Err(BadSpelling::Prefix) if peek_unverified(text).is_ok() => Ok(SIGNED),
        Err(BadSpelling::Prefix) => Err(CREDENTIAL
            .none("it does not look like one of a Hallpass issuer, so it was sent nowhere")
            .hint("revoke it where it was issued; of ours, hand in the credential alone, without what stands around it")),
        Err(bad) => Err(CREDENTIAL.none(bad).hint("hand in all of it, and nothing that stands around it")),
    }
}

/// Whether an address that a stranger wrote may stand in a command to be copied.
fn is_plain(address: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'.' | b'-' | b'_' | b'~');
    address.len() <= 200 && address.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use hallpass_model::spelling::{Prefix, RANDOM_BYTES, render};

    use super::*;

    #[test]
    fn each_kind_is_known_by_its_spelling_and_what_is_not_ours_is_sent_nowhere() {
        for prefix in Prefix::ALL.into_iter().filter(|prefix| *prefix != Prefix::Refresh) {
            let whole = render(prefix, &[7; RANDOM_BYTES]);
            assert_eq!(kind_of(&whole).unwrap(), prefix.name());
            let cut = kind_of(&whole[..whole.len() - 1]).unwrap_err();
            assert!(cut.exit() == Exit::USAGE && !cut.message().contains(&whole[4..12]), "{}", cut.message());
        }
        for other in ["ghp_16C7e42F292c6912E7710c838347Ae178B4a", "hunter2", "TOKEN=hpk_x", "a.b.c"] {
            let refused = kind_of(other).unwrap_err();
            assert!(refused.message().contains("sent nowhere") && !refused.message().contains(other));
        }
    }

    #[test]
    fn an_address_by_a_stranger_does_nothing_where_it_is_pasted() {
        assert!(is_plain("https://id.example:8443/acme"));
        for bad in ["https://a/$(id)", "https://a/;id", "https://a/ b", "https://a/\u{1b}[2J", "`id`"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
