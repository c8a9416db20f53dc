//! `hallpass advise`.

use clap::{Args, ValueEnum};
use hallpass_model::advice::{Actor, Place, Required, advise as decide};
use hallpass_model::time::Lifetime;
use hallpass_model::trust::Preset;
use serde::Serialize;

use crate::ask::choose;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Say which kind of credential is right for what, why, and what to type
///
/// Asks what was not said, at a terminal.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass advise
  hallpass advise --who job --where github
  hallpass advise --who service --where server --need attribution --need offline")]
pub(crate) struct AdviseArgs {
    /// Who acts
    #[arg(long)]
    who: Option<Who>,

    /// Where: `desktop`, `terminal` (no browser there), `server`, or what runs it: `github`, `gitlab`, `buildkite`,
    /// `circleci`, `bitbucket`, `kubernetes`, `gcp`, `azure`, `spiffe`, `oidc`
    #[arg(long = "where", value_name = "PLACE", value_parser = parse_place)]
    place: Option<Place>,

    /// What is required of it
    #[arg(long = "need", value_name = "NEED")]
    needs: Vec<Need>,

    /// How long it may go on at most, such as `5m`
    #[arg(long, value_name = "TIME")]
    longest: Option<Lifetime>,

    /// Ask nobody anything: fail instead (HALLPASS_NO_INPUT)
    #[arg(long)]
    no_input: bool,
}

/// Who acts.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Who {
    /// A person at a command line
    Person,
    /// A job of continuous integration
    Job,
    /// A service, or a pod of one
    Service,
    /// Software that acts for a person
    Agent,
}

/// What is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Need {
    /// A person has proved who they are by more than one means
    Mfa,
    /// It is known which person it was
    Attribution,
    /// An API judges the token without asking anybody
    Offline,
}

/// `hallpass.advice/1`.
#[derive(Serialize)]
struct Answer {
    pattern: &'static str,
    because: &'static str,
    but: Vec<&'static str>,
    commands: Vec<String>,
}

const WHO: [(&str, Actor); 4] = [
    ("a person at a command line", Actor::Person),
    ("a job of continuous integration", Actor::Job),
    ("a service, or a pod of one", Actor::Service),
    ("software that acts for a person", Actor::Agent),
];

pub(crate) fn advise(args: &AdviseArgs, out: &mut Output) -> Result<Exit, Failure> {
    let who = match args.who {
        Some(Who::Person) => Actor::Person,
        Some(Who::Job) => Actor::Job,
        Some(Who::Service) => Actor::Service,
        Some(Who::Agent) => Actor::Agent,
        None => choose(out, args.no_input, "Who acts?", "--who", &WHO)?,
    };
    let place = match args.place {
        Some(place) => place,
        None => choose(out, args.no_input, "Where?", "--where", &places(who))?,
    };
    let needs = |need| args.needs.contains(&need);
    let required = Required {
        mfa: needs(Need::Mfa),
        attribution: needs(Need::Attribution),
        offline: needs(Need::Offline),
        longest: args.longest,
    };
    let advice = decide(who, place, required);
    let answer = Answer {
        pattern: advice.pattern.name(),
        because: advice.because,
        but: advice.but,
        commands: advice.commands,
    };
    match out.form() {
        Form::Json => out.json("hallpass.advice/1", &answer)?,
        Form::Text => out.answer(render(&answer))?,
    }
    Ok(Exit::DONE)
}

fn render(answer: &Answer) -> String {
    let mut text = format!("{}\n  because {}\n", answer.pattern, answer.because);
    for but in &answer.but {
        text.push_str(&format!("  but {but}\n"));
    }
    for command in &answer.commands {
        text.push_str(&format!("  $ {command}\n"));
    }
    text.trim_end().to_owned()
}

/// The places that make a difference for whoever acts.
fn places(who: Actor) -> Vec<(&'static str, Place)> {
    let own =
        [("a machine with a browser", Place::Desktop), ("one without: SSH, a container", Place::Terminal)];
    match who {
        Actor::Person | Actor::Agent => own.to_vec(),
        Actor::Job | Actor::Service => Preset::ALL
            .into_iter()
            .map(|preset| (preset.name(), Place::Identified(preset)))
            .chain([("none of these", Place::Anywhere)])
            .collect(),
    }
}

fn parse_place(text: &str) -> Result<Place, String> {
    match text {
        "desktop" => Ok(Place::Desktop),
        "terminal" => Ok(Place::Terminal),
        "server" => Ok(Place::Anywhere),
        other => other.parse().map(Place::Identified).map_err(|_| {
            let presets = Preset::ALL.map(Preset::name).join(", ");
            format!("it is one of desktop, terminal, server, {presets}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_place() {
        for preset in Preset::ALL {
            assert_eq!(parse_place(preset.name()), Ok(Place::Identified(preset)));
        }
        assert!(parse_place("moon").unwrap_err().contains("github"));
    }
}
