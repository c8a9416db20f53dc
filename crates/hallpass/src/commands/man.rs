//! `hallpass man DIR`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::args::Arguments;
use crate::env;
use crate::failure::{Exit, Failure};
use crate::output::{Form, Output};

/// Write the manual pages into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass man ~/.local/share/man/man1
  man hallpass-exec")]
pub(crate) struct ManArgs {
    /// The folder; it is made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn man(args: &ManArgs, out: &mut Output) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let cannot = |error: std::io::Error| {
        Failure::could_not_run(format_args!("cannot write the manual into `{}`: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(cannot)?;
    let mut page = OpenOptions::new().append(true).open(folder.join("hallpass.1")).map_err(cannot)?;
    page.write_all(environment().as_bytes()).map_err(cannot)?;
    match out.form() {
        Form::Json => out.json("hallpass.man/1", &serde_json::json!({ "folder": folder }))?,
        Form::Text => out.say(format_args!("wrote the manual pages into `{}`", folder.display())),
    }
    Ok(Exit::DONE)
}

/// The manual's section about the environment, from the one list of variables (man-pages(7)).
fn environment() -> String {
    let mut section = String::from(".SH ENVIRONMENT\n");
    for variable in env::ALL {
        let about = variable.about.trim().replace('\\', "\\\\").replace('-', "\\-");
        section.push_str(&format!(".TP\n\\fB{}\\fR\n{about}\n", variable.name));
    }
    section
}
