//! git's credential helper protocol (gitcredentials, git-credential): `key=value` lines.
//!
//! 1. git says what it wants credentials for, and, since 2.46, what it understands: `capability[]=authtype`.
//! 2. With `authtype` it is given the scheme and the token, from which it builds the header; otherwise name and password.
//! 3. `ephemeral` tells every other helper in the chain not to keep a copy. An older git knows no such thing, which is why
//!    `hallpass setup git` takes the other helpers out of the chain for this place.

use hallpass_model::secret::{AccessToken, Secret};
use zeroize::Zeroizing;

use super::{Handed, Malformed, Place, QUESTION_LEN_MAX};

/// A line at most, in bytes, its end included (git refuses longer ones itself).
const LINE_LEN_MAX: usize = 65_535;

/// What `capability` answers: its version, and what it offers.
pub const CAPABILITIES: &str = "version 0\ncapability authtype\n";

/// What git asks, or tells.
#[derive(Debug, Default)]
pub struct Question {
    protocol: Option<String>,
    host: Option<String>,
    path: Option<String>,
    /// Who to be, where git already knows.
    pub username: Option<String>,
    /// Whether git understands `authtype`.
    pub authtype: bool,
    challenges: Vec<String>,
    /// The token that was not taken, or is to be kept: with `store` and `erase`.
    secret: Option<Secret<AccessToken>>,
}

impl Question {
    /// Reads what git wrote. Unknown keys are passed over.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > QUESTION_LEN_MAX {
            return Err(Malformed("the question is too long"));
        }
        let mut question = Self::default();
        for line in bytes.split(|b| *b == b'\n') {
            if line.is_empty() {
                break; // the end of it; whatever follows is not ours to read
            }
            if line.len() >= LINE_LEN_MAX || line.contains(&0) {
                return Err(Malformed("a line that git does not write"));
            }
            let at = line.iter().position(|b| *b == b'=').ok_or(Malformed("a line without a key"))?;
            let (key, value) = (&line[..at], &line[at + 1..]);
            if matches!(key, b"password" | b"credential") {
                question.secret = Some(Secret::new(value.to_vec()));
                continue;
            }
            let text = || {
                std::str::from_utf8(value)
                    .map(str::to_owned)
                    .map_err(|_| Malformed("a value that is not text"))
            };
            match key {
                b"protocol" => once(&mut question.protocol, text()?)?,
                b"host" => once(&mut question.host, text()?)?,
                b"path" => once(&mut question.path, text()?)?,
                b"username" => once(&mut question.username, text()?)?,
                b"capability[]" if value.is_empty() => question.authtype = false,
                b"capability[]" => question.authtype |= value == b"authtype",
                b"wwwauth[]" if value.is_empty() => question.challenges.clear(),
                b"wwwauth[]" => question.challenges.push(String::from_utf8_lossy(value).into_owned()),
                _ => {}
            }
        }
        Ok(question)
    }

    /// What it is about; `None` if that is nothing a token goes to.
    pub fn place(&self) -> Option<Place> {
        let (protocol, host) = (self.protocol.as_deref()?, self.host.as_deref()?);
        if host.contains('/') {
            return None; // it would be read as the beginning of a path
        }
        let path = self.path.as_deref().unwrap_or_default();
        format!("{protocol}://{host}/{path}").parse().ok()
    }

    /// The token that was refused or approved.
    pub fn secret(&self) -> Option<&Secret<AccessToken>> {
        self.secret.as_ref()
    }

    /// Whether the server takes a token as such: it said so, or was not asked yet.
    fn takes_bearer(&self) -> bool {
        let bearer = |challenge: &String| {
            challenge.split([' ', ',']).next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
        };
        self.challenges.is_empty() || self.challenges.iter().any(bearer)
    }

    /// What git reads: a credential, and when it is over. Nothing, if the token cannot stand in a line.
    pub fn answer(&self, handed: &Handed<'_>) -> Zeroizing<Vec<u8>> {
        let Some(token) = handed.line() else { return Zeroizing::default() };
        // Taken at once: growing would leave copies of the token behind.
        let mut text = Zeroizing::new(String::with_capacity(token.len() + handed.username.len() + 256));
        if self.authtype {
            // The capability comes before whatever depends on it.
            text.push_str("capability[]=authtype\nephemeral=1\n");
        }
        let line = |text: &mut String, key: &str, value: &str| {
            for part in [key, "=", value, "\n"] {
                text.push_str(part);
            }
        };
        if self.authtype && self.takes_bearer() {
            line(&mut text, "authtype", "Bearer");
            line(&mut text, "credential", token);
        } else {
            line(&mut text, "username", handed.username);
            line(&mut text, "password", token);
        }
        line(&mut text, "password_expiry_utc", &handed.expires.seconds().to_string());
        Zeroizing::new(std::mem::take(&mut *text).into_bytes())
    }
}

/// SECURITY: a key that comes twice was smuggled in: git itself writes each once.
fn once(slot: &mut Option<String>, value: String) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed("a key that comes twice")),
    }
}

/// What makes git stop asking: no other helper, and no prompt that nobody could answer rightly.
pub const QUIT: &str = "quit=1\n";

#[cfg(test)]
mod tests {
    use hallpass_model::time::Timestamp;

    use super::*;

    fn answer(question: &str, token: &str) -> String {
        let token: Secret<AccessToken> = Secret::from_text(token.into());
        let handed =
            Handed { token: &token, username: "ada", expires: Timestamp::from_seconds(1_700_000_000) };
        let question = Question::parse(question.as_bytes()).unwrap();
        String::from_utf8(question.answer(&handed).to_vec()).unwrap()
    }

    #[test]
    fn an_older_git_is_given_a_name_a_password_and_its_end() {
        assert_eq!(
            answer("protocol=https\nhost=git.example\n\n", "t0ken"),
            "username=ada\npassword=t0ken\npassword_expiry_utc=1700000000\n"
        );
    }

    #[test]
    fn a_git_that_offers_authtype_is_given_a_bearer_token_that_nobody_else_keeps() {
        let asked = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example\n";
        let bearer = "capability[]=authtype\nephemeral=1\nauthtype=Bearer\ncredential=t0ken\n\
                      password_expiry_utc=1700000000\n";
        assert_eq!(answer(asked, "t0ken"), bearer);
        assert_eq!(answer(&format!("{asked}wwwauth[]=bearer realm=\"x\"\n"), "t0ken"), bearer);
        let basic = answer(&format!("{asked}wwwauth[]=Basic realm=\"x\"\n"), "t0ken");
        assert!(
            basic.starts_with("capability[]=authtype\nephemeral=1\nusername=ada\npassword=t0ken\n"),
            "{basic}"
        );
        let reset = answer(&format!("{asked}capability[]=\n"), "t0ken");
        assert!(reset.starts_with("username=ada\n"), "{reset}");
        let reset = answer(&format!("{asked}wwwauth[]=Basic\nwwwauth[]=\n"), "t0ken");
        assert_eq!(reset, bearer);
    }

    #[test]
    fn a_token_that_would_be_read_as_more_lines_is_not_written() {
        assert_eq!(answer("protocol=https\nhost=git.example\n", "t0ken\nquit=1"), "");
    }

    #[test]
    fn the_place_is_where_the_credential_will_be_sent() {
        let place = |text: &str| {
            let question = Question::parse(text.as_bytes()).unwrap();
            question.place().map(|place| place.to_string())
        };
        assert_eq!(
            place("protocol=https\nhost=git.example:8443\n").as_deref(),
            Some("https://git.example:8443")
        );
        assert_eq!(
            place("protocol=https\nhost=git.example\npath=team/x.git\n").as_deref(),
            Some("https://git.example/team/x.git")
        );
        for none in [
            "",
            "protocol=https\n",
            "host=git.example\n",
            "protocol=ssh\nhost=git.example\n",
            "protocol=https\nhost=git.example/x\n",
            "protocol=https\nhost=git.example\rx\n",
            "protocol=https\nhost=git.example\npath=../x\n",
            "protocol=https\nhost=git.example\npath=a%2fb\n",
            "protocol=https\n\nhost=git.example\n",
        ] {
            assert_eq!(place(none), None, "{none:?}");
        }
    }

    #[test]
    fn hostile_questions_are_refused_and_never_repeated() {
        let long = format!("host={}\n", "a".repeat(LINE_LEN_MAX));
        let many = "x=y\n".repeat(QUESTION_LEN_MAX / 4 + 1);
        for bad in
            ["no key\n", "host=a\0b\n", "host=a\nhost=b\n", "protocol=https\nprotocol=http\n", &long, &many]
        {
            let refused = Question::parse(bad.as_bytes()).unwrap_err();
            assert!(!refused.to_string().contains("host=a"), "{refused}");
        }
        assert!(Question::parse(b"host=\xff\n").is_err());
        let mut seed = 7u32;
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..64)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"hostpl=\n\0[]/.:\xff"[(seed >> 24) as usize % 15]
                })
                .collect();
            let _ = Question::parse(&bytes).map(|question| question.place());
        }
    }

    #[test]
    fn what_was_not_taken_is_known_by_either_key_and_never_shown() {
        for key in ["password", "credential"] {
            let question = Question::parse(format!("host=x\n{key}=canary=1\n").as_bytes()).unwrap();
            assert!(question.secret().unwrap().matches(b"canary=1"));
            assert!(!format!("{question:?}").contains("canary"));
        }
    }
}
