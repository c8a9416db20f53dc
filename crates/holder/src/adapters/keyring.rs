//! What pip, uv and twine run by the name `keyring`, in both of its forms: `keyring get SERVICE USER`, which answers with the
//! password, and `keyring --mode=creds --output=json get SERVICE [USER]`, which answers with name and password.

use std::ffi::{OsStr, OsString};

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Handed, Place};

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// A password, or a name and a password.
    Get {
        /// Whose. pip and uv try the address first, and then the bare host, which says too little to hand anything out.
        service: String,
        /// Who to be, if the address says.
        username: Option<String>,
        /// How it is written.
        form: Form,
    },
    /// To keep a password: not here.
    Set {
        /// Whose.
        service: String,
    },
    /// Something for the real `keyring` alone.
    Other,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The password, in a line.
    Password,
    /// The name, in a line, and the password, in another.
    Lines,
    /// Both, in JSON.
    Json,
}

impl Question {
    /// Reads the arguments. What is not understood is for the real one.
    pub fn parse(arguments: &[OsString]) -> Self {
        Self::understood(arguments).unwrap_or(Self::Other)
    }

    fn understood(arguments: &[OsString]) -> Option<Self> {
        let (mut creds, mut json, mut words) = (false, false, Vec::new());
        let mut rest = arguments.iter().map(OsString::as_os_str);
        while let Some(argument) = rest.next() {
            let text = argument.to_str()?;
            let (name, mut value) = match text.split_once('=') {
                Some((name, value)) if text.starts_with("--") => (name, Some(value.to_owned())),
                _ => (text, None),
            };
            match name {
                "--mode" | "--output" => {
                    let value =
                        value.take().or_else(|| rest.next().and_then(OsStr::to_str).map(str::to_owned))?;
                    match (name, value.as_str()) {
                        ("--mode", "creds") => creds = true,
                        ("--mode", "password") => creds = false,
                        ("--output", "json") => json = true,
                        ("--output", "plain") => json = false,
                        _ => return None,
                    }
                }
                _ if text.starts_with('-') => return None,
                _ => words.push(text.to_owned()),
            }
        }
        let mut words = words.into_iter();
        match (words.next()?.as_str(), words.next()?, words.next(), words.next()) {
            ("get", service, username, None) => {
                let form = match (creds, json) {
                    (true, true) => Form::Json,
                    (true, false) => Form::Lines,
                    (false, false) if username.is_some() => Form::Password,
                    _ => return None,
                };
                Some(Self::Get { service, username: username.filter(|name| !name.is_empty()), form })
            }
            ("set", service, Some(_), None) => Some(Self::Set { service }),
            _ => None,
        }
    }
}

/// Whether a credential for this index may go to what the program calls `service`.
pub fn is_for(place: &Place, service: &str) -> bool {
    service.parse::<Place>().is_ok_and(|asked| place.holds(&asked))
}

/// What the program reads.
pub fn answer(handed: &Handed<'_>, form: Form) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    struct Answer<'a> {
        username: &'a str,
        password: &'a str,
    }
    let password = handed.line()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(password.len() + handed.username.len() * 6 + 64));
    match form {
        Form::Password => bytes.extend(password.as_bytes()),
        Form::Lines => {
            [handed.username, "\n", password].iter().for_each(|part| bytes.extend(part.as_bytes()))
        }
        Form::Json => {
            let answer = Answer { username: handed.username, password };
            serde_json::to_writer(&mut *bytes, &answer).expect("two texts are JSON");
        }
    }
    bytes.push(b'\n');
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{AccessToken, Secret};
    use hallpass_model::time::Timestamp;

    use super::*;

    fn parse(line: &str) -> Question {
        Question::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn both_contracts_are_understood() {
        let get = |service: &str, username: Option<&str>, form| Question::Get {
            service: service.into(),
            username: username.map(str::to_owned),
            form,
        };
        let index = "https://pypi.example/simple/";
        assert_eq!(parse(&format!("get {index} ada")), get(index, Some("ada"), Form::Password));
        let json = "--mode=creds --output=json get";
        assert_eq!(parse(&format!("{json} {index} ada")), get(index, Some("ada"), Form::Json));
        assert_eq!(parse(&format!("{json} {index}")), get(index, None, Form::Json));
        assert_eq!(parse(&format!("--mode creds get {index}")), get(index, None, Form::Lines));
        assert_eq!(parse(&format!("get {index} ada --mode creds")), get(index, Some("ada"), Form::Lines));
        assert_eq!(parse("set https://x ada"), Question::Set { service: "https://x".into() });
    }

    #[test]
    fn anything_else_is_for_the_real_one() {
        for other in [
            "",
            "get",
            "get https://x",
            "--output=json get https://x ada",
            "get https://x ada more",
            "del https://x ada",
            "diagnose",
            "--list-backends",
            "-b some.Backend get https://x ada",
            "--mode=other get https://x ada",
            "--mode",
        ] {
            assert_eq!(parse(other), Question::Other, "{other}");
        }
    }

    #[test]
    fn an_index_is_known_by_its_address_and_never_by_a_bare_host() {
        let place: Place = "https://pypi.example/simple".parse().unwrap();
        for same in ["https://pypi.example/simple", "https://pypi.example/simple/left-pad/"] {
            assert!(is_for(&place, same), "{same}");
        }
        for other in [
            "pypi.example",
            "http://pypi.example/simple",
            "https://pypi.example/",
            "https://u@pypi.example/simple",
        ] {
            assert!(!is_for(&place, other), "{other}");
        }
    }

    #[test]
    fn an_answer_is_what_each_form_reads() {
        let token: Secret<AccessToken> = Secret::from_text("t0ken".into());
        let handed = Handed { token: &token, username: "ada", expires: Timestamp::from_seconds(9) };
        let text = |form| String::from_utf8(answer(&handed, form).unwrap().to_vec()).unwrap();
        assert_eq!(text(Form::Password), "t0ken\n");
        assert_eq!(text(Form::Lines), "ada\nt0ken\n");
        assert_eq!(text(Form::Json), "{\"username\":\"ada\",\"password\":\"t0ken\"}\n");
    }
}
