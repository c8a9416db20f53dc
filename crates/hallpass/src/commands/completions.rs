//! `hallpass completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hallpass completions bash > ~/.local/share/bash-completion/completions/hallpass
  hallpass completions fish > ~/.config/fish/completions/hallpass.fish
  hallpass completions zsh  > \"${fpath[1]}/_hallpass\"")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs, out: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "hallpass", &mut script);
    out.answer(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::DONE)
}
