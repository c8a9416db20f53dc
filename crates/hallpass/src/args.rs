//! What may be typed: the command and what every command understands.

use clap::Parser;

use crate::commands::Command;

/// Give every command a pass: short-lived, narrow, attributable, revocable
///
/// `hallpass login` signs a person in, `hallpass exec` runs a command with a token of its own that dies with
/// it, and `hallpass serve` is the issuer that hands them out.
#[derive(Debug, Parser)]
#[command(
    name = "hallpass",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Exit codes:
  0 done · 1 the answer is no · 2 wrong usage · 4 a person must sign in · 5 refused by a rule
  70 could not run · 75 try again later · `exec` passes on the code of its command"
)]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Answer in JSON, one value a line, on standard output
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,

    /// Say nothing but answers, warnings and errors
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_does_in_the_imperative_without_a_full_stop() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let about = command.get_about().unwrap_or_else(|| panic!("{path}: no help")).to_string();
            assert!(!about.ends_with('.') && about.starts_with(char::is_uppercase), "{path}: {about}");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{path} {}: `{help}`", argument.get_id());
            }
            for child in command.get_subcommands() {
                walk(child, &path);
            }
        }
        let mut command = Arguments::command();
        command.build();
        walk(&command, "");
    }
}
