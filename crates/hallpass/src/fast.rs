//! The short way of `hallpass token`: where a daemon runs, the question is put to it before anything else of this program is
//! woken: no runtime, no reading of certificates, no tree of commands.
//!
//! Only the plain forms of the command go this way, only where one question finds the sign-in that is meant, and only an
//! answer that is whole comes of it. Everything else is left to the long way, which says the same: tests compare them.

use std::ffi::OsString;

use hallpass_holder::daemon::{Daemon, Fast, TokenAsked, Use};
use hallpass_holder::{HolderError, ProfileName};

use crate::failure::{Exit, Failure};
use crate::holding::{
    HolderArgs, WhichArgs, parse_purpose, parse_resource, parse_scope, scopes, socket, state_folder,
};
use crate::output::{Form, Output};
use crate::{env, surroundings};

/// The answer, where the short way has one.
pub(crate) fn token(arguments: impl Iterator<Item = OsString>) -> Option<Exit> {
    let asked = read(arguments)?;
    // A job that is given an identity comes in as itself: whatever the daemon has is somebody else's.
    // And where a socket gives passes, nothing else does.
    if !daemon_may_be_asked()
        || !matches!(surroundings::ambient(), Ok(None))
        || env::HALLPASS_TOKEN_SOCKET.is_set()
    {
        return None;
    }
    let (asked, warning) = around(asked)?;
    let state = state_folder().ok()?;
    let daemon = Daemon::new(socket(), Use::Auto, Some(state.clone()), None);
    let answer = daemon.token(&TokenAsked { state: Some(state), ..asked });
    // The long way may ask a person which of several is meant, and a machine of a cloud's may come in as itself.
    match answer {
        Fast::NotHere | Fast::Failed(HolderError::Ambiguous { .. }) => return None,
        Fast::Failed(HolderError::NotSignedIn { .. }) if surroundings::machine().is_some() => return None,
        _ => {}
    }
    let mut out = Output::standard(Form::Text, false);
    if let Some(warning) = warning {
        out.warn(warning);
    }
    Some(match answer {
        Fast::Given(given) => match out.answer(given.expose_text()) {
            Ok(()) => Exit::DONE,
            Err(failure) => failed(&failure, &mut out),
        },
        Fast::Failed(error) => failed(&error.into(), &mut out),
        Fast::NotHere => return None,
    })
}

fn failed(failure: &Failure, out: &mut Output) -> Exit {
    out.failure(failure);
    failure.exit()
}

/// `token`, and none but these flags, each once and with its value beside it. `None` for anything else.
fn read(mut arguments: impl Iterator<Item = OsString>) -> Option<TokenAsked> {
    if arguments.next()?.to_str()? != "token" {
        return None;
    }
    let mut asked = TokenAsked::default();
    let mut reach: Vec<String> = Vec::new();
    while let Some(flag) = arguments.next() {
        let flag = flag.into_string().ok()?;
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), value.to_owned()),
            None => (flag, arguments.next()?.into_string().ok()?),
        };
        if value.is_empty() || value.starts_with('-') {
            return None;
        }
        let place = match flag.as_str() {
            "--issuer" => &mut asked.issuer,
            "--client-id" => &mut asked.client_id,
            "--profile" => {
                value.parse::<ProfileName>().ok()?;
                &mut asked.profile
            }
            "--resource" => {
                parse_resource(&value).ok()?;
                &mut asked.resource
            }
            "--purpose" => {
                parse_purpose(&value).ok()?;
                &mut asked.purpose
            }
            "--scope" => {
                reach.push(parse_scope(&value).ok()?);
                continue;
            }
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let reach = scopes(&reach);
    asked.scope = (!reach.is_empty()).then(|| reach.to_string());
    Some(asked)
}

/// `off` is for the long way, and so is a word that is none. Where it is to be started first (`on`) and runs, it runs.
fn daemon_may_be_asked() -> bool {
    env::HALLPASS_DAEMON.text().is_none_or(|named| matches!(named.parse(), Ok(Use::Auto | Use::On)))
}

/// The same question with what environment, directory and settings say, and what is to be said about them.
fn around(asked: TokenAsked) -> Option<(TokenAsked, Option<String>)> {
    let which = WhichArgs {
        profile: asked.profile.as_deref().map(str::parse).transpose().ok()?,
        issuer: asked.issuer.clone(),
        client_id: asked.client_id.clone(),
        holder: HolderArgs::nobody_asked(),
    };
    which.as_question(asked)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;

    fn read_line(line: &str) -> Option<TokenAsked> {
        read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_plain_forms_are_read() {
        assert_eq!(read_line("token"), Some(TokenAsked::default()));
        let asked =
            read_line("token --resource https://api.example --scope a --scope=b --purpose x").unwrap();
        assert_eq!(asked.resource.as_deref(), Some("https://api.example"));
        assert_eq!((asked.scope.as_deref(), asked.purpose.as_deref()), (Some("a b"), Some("x")));
        assert_eq!(
            read_line("token --issuer=https://id.example").unwrap().issuer.unwrap(),
            "https://id.example"
        );
    }

    /// Whatever goes the short way, clap takes for the same command; and what clap refuses goes the long way, to be told.
    #[test]
    fn nothing_goes_the_short_way_that_clap_reads_otherwise() {
        for line in [
            "token",
            "token --json",
            "token -q",
            "--json token",
            "token --ttl 5m",
            "token --fresh",
            "token --profile work",
            "token --profile work --issuer https://id.example",
            "token --profile ../x",
            "token --profile=",
            "token --resource https://api.example",
            "token --resource=https://api.example --scope a",
            "token --resource nowhere",
            "token --resource https://a.example --resource https://b.example",
            "token --scope a --scope b",
            "token --scope",
            "token --scope=",
            "token --issuer",
            "token --issuer -x",
            "token --issuer https://id.example --client-id c",
            "token --issuer=a=b",
            "token --purpose deploy",
            "token --dpop GET https://api.example/",
            "token extra",
            "token --",
            "token --help",
            "token --no-input",
            "token --resour https://api.example",
            "status",
            "",
        ] {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let by_clap = Arguments::try_parse_from(std::iter::once("hallpass").chain(words.clone()));
            if let Some(asked) = read(words.map(OsString::from)) {
                let by_clap = by_clap.unwrap_or_else(|told| panic!("{line}: {told}"));
                let commands::Command::Token(args) = by_clap.command else { panic!("{line}") };
                assert!(!by_clap.json && !by_clap.quiet, "{line}");
                assert_eq!(args.asked(), Some(asked), "{line}");
            }
        }
    }

    use crate::commands;
}
