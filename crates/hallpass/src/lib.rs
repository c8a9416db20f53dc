//! The program: commands, wiring, every print, every exit code. It is two files: [`front`] is called, and becomes [`main`]
//! for whatever it does not know (docs/decisions/0008).

use std::ffi::OsString;
use std::process::{ExitCode, Termination};

use clap::Parser;

use crate::args::Arguments;
use crate::failure::Exit;
use crate::output::{Form, Output};

mod args; // what may be typed
mod commands; // every command on one page
mod output; // the only file that prints
mod failure; // what a person is told, with a hint, and the exit code
mod env; // every environment variable, declared in place
mod ambient; // other people's variables that hold a credential
mod settings; // the server's settings: file, environment, flags
mod ask; // a yes from the person at the terminal
mod keyfile; // keys in files of their own
mod written; // what a person wrote down in TOML
mod config; // the holder's settings of this person
mod binding; // which sign-in a directory asks for
mod leftovers; // tokens that other tools left lying around
mod targets; // which program is handed what
mod holding; // which sign-in is meant, and the holder that has it
mod surroundings; // where the person sits
mod passphrase; // where a passphrase comes from
mod typed; // a line at the terminal that is never shown
mod handed_in; // a secret on standard input
mod folder; // the data folder, the server's own and nobody else's
mod logging; // the server's log
mod fast; // the short way of `hallpass token`
mod behind; // from the small program that is called to the whole one, and back
mod wiping; // memory that is given back is wiped first
mod clock; // the one place that asks what time it is
mod authority; // the certificates of one run
mod namespace; // namespaces of our own
mod roots; // whom this machine's programs trust
mod admin_socket; // how the operator's commands reach a server that runs

/// The small program that people and other programs call. Nothing of the whole one is woken where it has the answer.
pub fn front() -> ExitCode {
    keep_memory_private();
    if let Some(exit) = fast::token(std::env::args_os().skip(1)) {
        return exit.report();
    }
    let failure = behind::step_aside(std::env::args_os());
    let exit = if names_exec(std::env::args_os().skip(1)) { Exit::EXEC_FAILED } else { failure.exit() };
    Output::standard(Form::Text, false).failure(&failure);
    exit.report()
}

/// The whole program.
pub fn main() -> ExitCode {
    keep_memory_private();
    behind::keep_name();
    let arguments = match Arguments::try_parse_from(commands::called_as(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(told) => return usage(&told).report(),
    };
    let form = if arguments.json { Form::Json } else { Form::Text };
    let mut out = Output::standard(form, arguments.quiet);
    let exit = match commands::run(arguments.command, &mut out) {
        Ok(exit) => exit,
        Err(failure) => {
            out.failure(&failure);
            failure.exit()
        }
    };
    exit.report()
}

/// What clap has to say: help and the version are answers, everything else is wrong usage. Of `exec` too, whose other
/// codes are its command's: nobody shall take a flag we do not know for something the command said.
fn usage(told: &clap::Error) -> Exit {
    // Nobody is left to be told that the terminal is closed.
    let _ = told.print();
    match told.use_stderr() {
        false => Exit::DONE,
        true if names_exec(std::env::args_os().skip(1)) => Exit::EXEC_FAILED,
        true => Exit::USAGE,
    }
}

/// Whether the command is `exec`, or `wrap`, which leaves like it. No flag before a command takes a value, so it is the
/// first that is none.
fn names_exec(arguments: impl Iterator<Item = OsString>) -> bool {
    let mut words = arguments.filter(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    words.next().is_some_and(|command| command == "exec" || command == "wrap")
}

/// SECURITY: no core dump and no other process of the same user reads secrets out of memory. A command that `exec`
/// starts gets its own default back from the kernel.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // A kernel that cannot do this is no reason not to run.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_first_word_that_is_no_flag() {
        let named = |line: &str| names_exec(line.split(' ').map(OsString::from));
        assert!(named("exec --purposse x -- true") && named("--json -q exec") && named("wrap -- true"));
        for other in ["", "--json", "login --purpose exec", "-q token exec"] {
            assert!(!named(other), "{other}");
        }
    }
}
