//! The API key of `--api-key-stdin`: from a pipe or file, or typed at the terminal without being shown.

use std::io::{IsTerminal, Read, stdin};

use hallpass_model::secret::{ApiKey, Secret};
use hallpass_model::spelling::{BadSpelling, Prefix};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::typed::typed;

/// What is read of standard input at most, in bytes: a key is a line, and a wrong file may be large.
const READ_MAX: u64 = 1024;

/// Reads the key, less the end of its line, and judges it by its spelling: what is cut short is found before anybody is asked.
pub(super) fn read(may_ask: bool) -> Result<Secret<ApiKey>, Failure> {
    let text = match stdin().is_terminal() {
        true if may_ask => at_the_terminal()?,
        true => {
            return Err(Failure::usage("standard input is a terminal, and nobody may be asked there")
                .hint("pipe the key in: `hallpass login ISSUER --api-key-stdin < FILE`"));
        }
        false => piped()?,
    };
    judged(&text)
}

fn at_the_terminal() -> Result<Zeroizing<String>, Failure> {
    let line = typed("API key (not shown): ").map_err(|error| match error.kind() {
        std::io::ErrorKind::Interrupted => hallpass_holder::HolderError::Cancelled.into(),
        _ => cannot(&error),
    })?;
    String::from_utf8(line.expose().to_vec()).map(Zeroizing::new).map_err(|_| no_key(BadSpelling::Malformed))
}

fn piped() -> Result<Zeroizing<String>, Failure> {
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(READ_MAX as usize + 1));
    stdin().take(READ_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if bytes.len() as u64 <= READ_MAX => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(no_key(BadSpelling::Malformed)),
    }
}

fn judged(text: &str) -> Result<Secret<ApiKey>, Failure> {
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Failure::usage("there is no API key on standard input")
            .hint("pipe it in: `hallpass login ISSUER --api-key-stdin < FILE`"));
    }
    hallpass_model::api_key::judge_spelling(text).map_err(no_key)?;
    Ok(Secret::new(text.as_bytes().to_vec()))
}

/// SECURITY: what was given is not repeated, whatever it is.
fn no_key(bad: BadSpelling) -> Failure {
    let failure = Failure::usage(format_args!("what is on standard input is no API key: {bad}"));
    failure.hint(match bad {
        BadSpelling::Prefix => {
            format!("an API key of a Hallpass issuer begins with `{}`", Prefix::ApiKey.text())
        }
        _ => "take the whole line, as it was shown when the key was made".to_owned(),
    })
}

fn cannot(error: &std::io::Error) -> Failure {
    Failure::could_not_run(format_args!("the API key cannot be read from standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use hallpass_model::spelling::{RANDOM_BYTES, render};

    use super::*;

    #[test]
    fn a_key_is_a_line_without_its_end_and_what_is_cut_short_is_found_at_once() {
        let key = render(Prefix::ApiKey, &[7; RANDOM_BYTES]);
        for end in ["", "\n", "\r\n"] {
            assert!(judged(&format!("{}{end}", &*key)).unwrap().matches(key.as_bytes()));
        }
        let device = render(Prefix::Device, &[7; RANDOM_BYTES]);
        for bad in ["", "\n", "sk_live_1", &key[..key.len() - 1], &format!("{} {}", &*key, &*key), &*device] {
            let failure = judged(bad).map(|_| ()).unwrap_err();
            assert_eq!(failure.exit(), crate::failure::Exit::USAGE, "{bad}");
            assert!(bad.len() < 8 || !failure.message().contains(bad.trim()), "{}", failure.message());
        }
    }
}
