//! cargo's credential provider protocol, version 1: one JSON message a line, until standard input ends.
//!
//! cargo says what for: `read`, `publish` with the crate and its version, `yank`, `owners`. So what changes a registry gets a
//! token of its own, narrower and with its reason, and is never kept by cargo for another operation.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Handed, Malformed, QUESTION_LEN_MAX};

/// The first line: the versions that are spoken here.
pub const HELLO: &str = "{\"v\":[1]}\n";

/// What cargo asks.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// The registry's index, as cargo has it: `sparse+https://...`, or an address that git fetches.
    pub index: String,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What is wanted of a registry.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A token to read with.
    Read,
    /// A token to change something with, and what, in a few words: `publish left-pad 1.2.0`.
    Change(String),
    /// To keep a token: not here.
    Login,
    /// To forget it.
    Logout,
    /// Something newer than this program.
    Unknown,
}

/// Why there is no token, as cargo's own errors have it. With the first two cargo asks the next provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// Not a registry of ours.
    UrlNotSupported,
    /// Not something we do.
    OperationNotSupported,
    /// Ours, and it did not work: cargo stops, and shows this.
    Other(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Asked {
    v: u32,
    kind: String,
    operation: Option<String>,
    name: Option<String>,
    vers: Option<String>,
    registry: Registry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    index_url: String,
}

impl Question {
    /// Reads one line.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        if line.len() > QUESTION_LEN_MAX {
            return Err(Malformed("the request is too long"));
        }
        let asked: Asked =
            serde_json::from_slice(line).map_err(|_| Malformed("the request cannot be read"))?;
        if asked.v != 1 {
            return Err(Malformed("the request is of another version"));
        }
        let wanted = match (asked.kind.as_str(), asked.operation.as_deref()) {
            ("get", Some("read")) => Wanted::Read,
            ("get", Some(operation @ ("publish" | "yank" | "unyank" | "owners"))) => {
                let mut what = operation.to_owned();
                for part in [&asked.name, &asked.vers].into_iter().flatten() {
                    what.push(' ');
                    what.push_str(part);
                }
                Wanted::Change(what)
            }
            ("login", _) => Wanted::Login,
            ("logout", _) => Wanted::Logout,
            _ => Wanted::Unknown,
        };
        Ok(Self { index: asked.registry.index_url, wanted })
    }
}

/// The answer to `get`: the whole of the `Authorization` header that cargo will send, so the scheme is in it.
pub fn answer(handed: &Handed<'_>, wanted: &Wanted) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(rename = "Ok")]
        ok: Token<'a>,
    }
    #[derive(Serialize)]
    struct Token<'a> {
        kind: &'static str,
        token: &'a str,
        cache: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration: Option<i64>,
        operation_independent: bool,
    }
    let bearer = Zeroizing::new(format!("Bearer {}", handed.line()?));
    // What changes something is asked for each time; what reads may be used again until it is over.
    let reads = *wanted == Wanted::Read;
    let token = Token {
        kind: "get",
        token: &bearer,
        cache: if reads { "expires" } else { "never" },
        expiration: reads.then(|| handed.expires.seconds()),
        operation_independent: false,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(bearer.len() + 512));
    serde_json::to_writer(&mut *bytes, &Answer { ok: token }).expect("texts and numbers are JSON");
    bytes.push(b'\n');
    Some(bytes)
}

/// The answer to `logout`.
pub const LOGGED_OUT: &str = "{\"Ok\":{\"kind\":\"logout\"}}\n";

/// The answer where there is no token, one line.
pub fn refusal(no: &No) -> String {
    let error = match no {
        No::UrlNotSupported => serde_json::json!({ "kind": "url-not-supported" }),
        No::OperationNotSupported => serde_json::json!({ "kind": "operation-not-supported" }),
        No::Other(message) => serde_json::json!({ "kind": "other", "message": message, "caused-by": [] }),
    };
    format!("{}\n", serde_json::json!({ "Err": error }))
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{AccessToken, Secret};
    use hallpass_model::time::Timestamp;

    use super::*;

    fn asked(members: &str) -> Wanted {
        let line = format!(
            r#"{{"v":1,"registry":{{"index-url":"sparse+https://r.example/","name":"r"}},{members}}}"#
        );
        let question = Question::parse(line.as_bytes()).unwrap();
        assert_eq!(question.index, "sparse+https://r.example/");
        question.wanted
    }

    #[test]
    fn what_is_wanted_is_told_apart_and_a_change_says_what_it_changes() {
        assert_eq!(asked(r#""kind":"get","operation":"read","args":[]"#), Wanted::Read);
        assert_eq!(
            asked(r#""kind":"get","operation":"publish","name":"left-pad","vers":"1.2.0","cksum":"x""#),
            Wanted::Change("publish left-pad 1.2.0".into())
        );
        assert_eq!(
            asked(r#""kind":"get","operation":"owners","name":"x""#),
            Wanted::Change("owners x".into())
        );
        assert_eq!(asked(r#""kind":"login","token":"canary","login-url":"https://x""#), Wanted::Login);
        assert_eq!(asked(r#""kind":"logout""#), Wanted::Logout);
        assert_eq!(asked(r#""kind":"get","operation":"own-everything""#), Wanted::Unknown);
        assert_eq!(asked(r#""kind":"dance""#), Wanted::Unknown);
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_repeated() {
        for bad in [
            "",
            "canary",
            "{}",
            r#"{"v":1,"kind":"get"}"#,
            r#"{"v":2,"kind":"get","registry":{"index-url":"canary"}}"#,
            r#"{"v":1,"kind":"get","registry":{"index-url":7}}"#,
        ] {
            let refused = Question::parse(bad.as_bytes()).unwrap_err();
            assert!(!refused.to_string().contains("canary"), "{refused}");
        }
        assert!(Question::parse(&vec![b' '; QUESTION_LEN_MAX + 1]).is_err());
    }

    #[test]
    fn a_token_to_read_with_is_kept_until_it_is_over_and_one_to_publish_with_never() {
        let token: Secret<AccessToken> = Secret::from_text("t0ken".into());
        let handed = Handed { token: &token, username: "x", expires: Timestamp::from_seconds(1_700_000_000) };
        let text = |wanted: &Wanted| String::from_utf8(answer(&handed, wanted).unwrap().to_vec()).unwrap();
        assert_eq!(
            text(&Wanted::Read),
            "{\"Ok\":{\"kind\":\"get\",\"token\":\"Bearer t0ken\",\"cache\":\"expires\",\
             \"expiration\":1700000000,\"operation_independent\":false}}\n"
        );
        assert_eq!(
            text(&Wanted::Change("publish x 1.0.0".into())),
            "{\"Ok\":{\"kind\":\"get\",\"token\":\"Bearer t0ken\",\"cache\":\"never\",\
             \"operation_independent\":false}}\n"
        );
    }

    #[test]
    fn errors_are_one_line_whatever_is_in_them() {
        assert_eq!(refusal(&No::UrlNotSupported), "{\"Err\":{\"kind\":\"url-not-supported\"}}\n");
        let told = refusal(&No::Other("sign in\nagain".into()));
        assert_eq!(told.matches('\n').count(), 1, "{told}");
    }
}
