//! The API key of `--api-key-stdin`.

use hallpass_model::secret::{ApiKey, Secret};
use hallpass_model::spelling::{BadSpelling, Prefix};

use crate::failure::Failure;
use crate::handed_in::HandedIn;

const API_KEY: HandedIn =
    HandedIn { what: "API key", most: 1024, piped_by: "hallpass login ISSUER --api-key-stdin < FILE" };

/// Reads the key and judges it by its spelling: what is cut short is found before anybody is asked.
pub(super) fn read(may_ask: bool) -> Result<Secret<ApiKey>, Failure> {
    judged(&API_KEY.read(may_ask)?)
}

fn judged(text: &str) -> Result<Secret<ApiKey>, Failure> {
    hallpass_model::api_key::judge_spelling(text).map_err(no_key)?;
    Ok(Secret::new(text.as_bytes().to_vec()))
}

fn no_key(bad: BadSpelling) -> Failure {
    API_KEY.none(bad).hint(match bad {
        BadSpelling::Prefix => {
            format!("an API key of a Hallpass issuer begins with `{}`", Prefix::ApiKey.text())
        }
        _ => "take the whole line, as it was shown when the key was made".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use hallpass_model::spelling::{RANDOM_BYTES, render};

    use super::*;

    #[test]
    fn a_key_is_a_line_without_its_end_and_what_is_cut_short_is_found_at_once() {
        let read = |text: &str| API_KEY.line(text).and_then(|line| judged(&line));
        let key = render(Prefix::ApiKey, &[7; RANDOM_BYTES]);
        for end in ["", "\n", "\r\n"] {
            assert!(read(&format!("{}{end}", &*key)).unwrap().matches(key.as_bytes()));
        }
        let device = render(Prefix::Device, &[7; RANDOM_BYTES]);
        for bad in ["", "\n", "sk_live_1", &key[..key.len() - 1], &format!("{} {}", &*key, &*key), &*device] {
            let failure = read(bad).map(|_| ()).unwrap_err();
            assert_eq!(failure.exit(), crate::failure::Exit::USAGE, "{bad}");
            assert!(bad.len() < 8 || !failure.message().contains(bad.trim()), "{}", failure.message());
        }
    }
}
