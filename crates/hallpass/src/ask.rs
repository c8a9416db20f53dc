//! A yes from the person at the terminal, before something that is hard to undo.

use std::io::{BufRead, IsTerminal};

use crate::env;
use crate::failure::Failure;
use crate::output::Output;

/// Asks, and fails unless the answer is yes. Where nobody can or may be asked it fails at once: silence is no yes.
pub(crate) fn confirm(out: &mut Output, no_input: bool, question: &str) -> Result<(), Failure> {
    let input = std::io::stdin();
    if no_input || !input.is_terminal() || env::HALLPASS_NO_INPUT.is_set() {
        return Err(Failure::usage("this needs a yes, and nobody is here to give it").hint("give `--yes`"));
    }
    out.prompt(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    input
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::could_not_run(format_args!("cannot read the answer: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::no("nothing was done")),
    }
}

/// One of several, by its number. Fails at once where nobody can or may be asked; `flag` says what to give then.
pub(crate) fn choose<T: Copy>(
    out: &mut Output,
    no_input: bool,
    question: &str,
    flag: &str,
    among: &[(&str, T)],
) -> Result<T, Failure> {
    let input = std::io::stdin();
    if no_input || !input.is_terminal() || env::HALLPASS_NO_INPUT.is_set() {
        return Err(Failure::usage(format_args!("`{flag}` is missing, and nobody is here to be asked")));
    }
    out.tell(question);
    for (number, (name, _)) in among.iter().enumerate() {
        out.tell(format_args!("  {}. {name}", number + 1));
    }
    loop {
        out.prompt(format_args!("1 to {}: ", among.len()));
        let mut answer = String::new();
        let read = input.lock().read_line(&mut answer);
        match read.map_err(|error| Failure::could_not_run(format_args!("cannot read the answer: {error}")))? {
            0 => return Err(Failure::no("nothing was chosen")),
            _ => {
                let number = answer.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                if let Some((_, chosen)) = number.and_then(|at| among.get(at)) {
                    return Ok(*chosen);
                }
            }
        }
    }
}
