//! `hallpass setup`: tells other programs to ask `hallpass helper`, and takes it back.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::ask::confirm;
use crate::config::{self, Config};
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};
use crate::targets::Target;

mod block; // lines of ours in a file of another's
mod json; // members of ours in JSON of another's
mod change; // a file before and after
mod places; // where programs keep their configuration
mod plan; // what each program is told
mod copies; // who else would keep, or has, a copy

use change::{Change, Link};
use places::Places;
use plan::Tool;

/// Tell a program to ask hallpass for its tokens
///
/// Writes the program's own configuration, for the places that the `[[target]]` entries of config.toml name. What would change
/// is shown first. Lines that are not ours stay as they are; `--undo` takes ours out again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass setup git
  hallpass setup docker --yes
  hallpass setup git --undo")]
pub(crate) struct SetupArgs {
    /// The program
    #[arg(value_enum)]
    tool: Tool,

    /// Take out again what was put in
    #[arg(long)]
    undo: bool,

    /// Do it without asking
    #[arg(long, short)]
    yes: bool,

    /// Ask nobody anything: fail instead (HALLPASS_NO_INPUT)
    #[arg(long)]
    no_input: bool,
}

/// What is to be done, and said.
#[derive(Default)]
struct Plan {
    changes: Vec<Change>,
    links: Vec<Link>,
    /// What the person must do themselves.
    next: Vec<String>,
}

/// `hallpass.setup/1`.
#[derive(Serialize)]
struct Answer<'a> {
    tool: &'a str,
    undone: bool,
    changed: Vec<PathBuf>,
    next: Vec<String>,
    copies: Vec<String>,
}

pub(crate) fn setup(args: SetupArgs, out: &mut Output) -> Result<Exit, Failure> {
    let places = Places::find()?;
    let targets = if args.undo { Vec::new() } else { targets(args.tool)? };
    let mut plan = plan::plan(args.tool, &targets, args.undo, &places)?;
    plan.changes.retain(Change::is_one);
    let mut links = Vec::new();
    for link in plan.links.drain(..) {
        if link.is_one()? {
            links.push(link);
        }
    }
    if plan.changes.is_empty() && links.is_empty() {
        out.say(if args.undo { "nothing of ours is there" } else { "it is as it should be" });
    } else {
        plan.changes.iter().for_each(|change| change.show(out));
        links.iter().for_each(|link| link.show(out));
        if !args.yes {
            confirm(out, args.no_input, "Write this?")?;
        }
        for change in &plan.changes {
            change.apply()?;
        }
        for link in &links {
            link.apply()?;
        }
    }
    let copies = copies::found(args.tool, &targets, &places);
    copies.iter().for_each(|copy| out.warn(copy));
    plan.next.iter().for_each(|step| out.say(step));
    if out.form() == Form::Json {
        let changed = plan.changes.iter().map(|change| change.path.clone());
        let changed = changed.chain(links.iter().map(|link| link.path.clone())).collect();
        let tool = args.tool.name();
        out.json("hallpass.setup/1", &Answer { tool, undone: args.undo, changed, next: plan.next, copies })?;
    }
    Ok(Exit::DONE)
}

/// The entries for this program.
fn targets(tool: Tool) -> Result<Vec<Target>, Failure> {
    let mut targets = Config::load()?.targets;
    targets.retain(|target| target.kind() == tool.kind());
    match targets.is_empty() {
        false => Ok(targets),
        true => {
            let file = config::file().map(|file| file.display().to_string());
            let file = file.unwrap_or_else(|| "config.toml".into());
            Err(Failure::usage(format_args!("no entry of `{file}` is for {}", tool.kind())).hint(
                format_args!(
                    "add one: [[target]] with kind = \"{}\", at = \"https://...\" and profile = \"...\"",
                    tool.kind()
                ),
            ))
        }
    }
}
