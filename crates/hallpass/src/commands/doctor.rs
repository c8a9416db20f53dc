//! `hallpass doctor`.

mod around; // clock, browser, proxy, certificates, other helpers
mod here; // sign-ins, rungs, the folder, the daemon
mod tokens; // what other tools left lying around
mod kept; // what other tools keep where no file shows it

use clap::Args;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::holding::HolderArgs;
use crate::output::{self, Form, Output};

/// Look at all that a sign-in needs, and for tokens that other tools left lying around
///
/// It changes nothing, sends no token anywhere, asks nobody, and shows none. What it asks over the network, it asks at the same
/// time, and waits some seconds at most. The exit code is 1 if something needs doing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass doctor
  hallpass doctor --issuer https://id.example/acme
  hallpass doctor --offline
  hallpass doctor --json")]
pub(crate) struct DoctorArgs {
    /// An issuer to look at besides those you are signed in to
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// Ask no issuer: look only at what is here
    #[arg(long, conflicts_with = "issuer")]
    offline: bool,

    #[command(flatten)]
    holder: HolderArgs,
}

/// What was found of one thing.
#[derive(Debug, Serialize)]
struct Finding {
    /// Which thing: `clock`.
    about: &'static str,
    level: Level,
    /// What is so.
    said: String,
    /// What to do about it.
    todo: Option<String>,
}

/// How good or bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Something needs doing.
    Act,
}

impl Finding {
    fn good(about: &'static str, said: impl Into<String>) -> Self {
        Self { about, level: Level::Good, said: said.into(), todo: None }
    }

    fn note(about: &'static str, said: impl Into<String>) -> Self {
        Self { about, level: Level::Note, said: said.into(), todo: None }
    }

    fn act(about: &'static str, said: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { about, level: Level::Act, said: said.into(), todo: Some(todo.into()) }
    }
}

/// `hallpass.doctor/1`.
#[derive(Serialize)]
struct Answer<'a> {
    findings: &'a [Finding],
    tokens: &'a [tokens::Token],
    needs_doing: bool,
}

pub(crate) async fn doctor(args: DoctorArgs, out: &mut Output) -> Result<Exit, Failure> {
    let holder = args.holder.quietly().open()?;
    let mut findings = here::look(&holder);
    let asked = (!args.offline).then_some(args.issuer.as_deref());
    findings.extend(around::look(&holder, asked, args.holder.ca_file().as_deref()).await);
    findings.extend(kept::look(&holder));
    let (tokens, more) = tokens::look();
    findings.extend(more);
    let needs_doing = !tokens.is_empty() || findings.iter().any(|finding| finding.level == Level::Act);
    let written = match out.form() {
        Form::Json => {
            let answer = Answer { findings: &findings, tokens: &tokens, needs_doing };
            out.json("hallpass.doctor/1", &answer)
        }
        Form::Text => say(&findings, &tokens, out),
    };
    output::leave(written, if needs_doing { Exit::NO } else { Exit::DONE })
}

fn say(findings: &[Finding], tokens: &[tokens::Token], out: &mut Output) -> Result<(), Failure> {
    for finding in findings {
        let mark = match finding.level {
            Level::Good => "good",
            Level::Note => "note",
            Level::Act => "act ",
        };
        out.answer(format_args!("{mark}  {:<12} {}", finding.about, finding.said))?;
        if let Some(todo) = &finding.todo {
            out.answer(format_args!("{:>19}{todo}", ""))?;
        }
    }
    if tokens.is_empty() {
        return out.answer("good  tokens       no other tool's tokens lie where they were looked for");
    }
    for token in tokens {
        out.answer(format_args!("act   tokens       {token}"))?;
        out.answer(format_args!("{:>19}{}", "", token.todo()))?;
    }
    Ok(())
}
