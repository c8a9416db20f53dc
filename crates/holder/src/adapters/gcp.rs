//! Google's executable-sourced external accounts: a question in the environment, an answer in JSON on standard output.
//!
//! Their Python library reads standard error as a part of the answer, so whoever answers writes nothing there. No output
//! file is ever written: it would leave a token on the disk.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Handed, Malformed};

/// A token of ours is a JWT.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// What the library says in the environment, by the end of each name after `GOOGLE_EXTERNAL_ACCOUNT_`.
#[derive(Debug, Default, Clone)]
pub struct Asked {
    /// `AUDIENCE`: the provider of the workload identity pool, as Google names it.
    pub audience: Option<String>,
    /// `TOKEN_TYPE`.
    pub token_type: Option<String>,
    /// `IMPERSONATED_EMAIL`: the service account that will be taken on.
    pub impersonated: Option<String>,
    /// `REVOKE`.
    pub revoke: bool,
}

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// For which pool.
    pub audience: String,
    /// As which service account, if as one.
    pub impersonated: Option<String>,
    token_type: &'static str,
}

impl Question {
    /// Judges what stands in the environment.
    pub fn parse(asked: Asked) -> Result<Self, Malformed> {
        if asked.revoke {
            return Err(Malformed("nothing is revoked this way; run `hallpass logout`"));
        }
        let token_type = match asked.token_type.as_deref() {
            Some(JWT) => JWT,
            Some(ID_TOKEN) => ID_TOKEN,
            _ => return Err(Malformed("the account file asks for a token type that is not spoken here")),
        };
        let audience = asked.audience.filter(|text| !text.is_empty());
        let audience = audience.ok_or(Malformed("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE is not set"))?;
        Ok(Self { audience, impersonated: asked.impersonated.filter(|text| !text.is_empty()), token_type })
    }

    /// What the library reads.
    pub fn answer(&self, handed: &Handed<'_>) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        struct Answer<'a> {
            version: u8,
            success: bool,
            token_type: &'static str,
            id_token: &'a str,
            expiration_time: i64,
        }
        let id_token = handed.line()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(id_token.len() + 512));
        let answer = Answer {
            version: 1,
            success: true,
            token_type: self.token_type,
            id_token,
            expiration_time: handed.expires.seconds(),
        };
        serde_json::to_writer(&mut *bytes, &answer).expect("texts and numbers are JSON");
        bytes.push(b'\n');
        Some(bytes)
    }
}

/// What the library reads where there is nothing.
pub fn refusal(code: &str, message: &str) -> String {
    serde_json::json!({ "version": 1, "success": false, "code": code, "message": message }).to_string()
}

#[cfg(test)]
mod tests {
    use hallpass_model::secret::{AccessToken, Secret};
    use hallpass_model::time::Timestamp;

    use super::*;

    fn asked() -> Asked {
        Asked {
            audience: Some(
                "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/h".into(),
            ),
            token_type: Some(JWT.into()),
            ..Asked::default()
        }
    }

    #[test]
    fn the_answer_has_what_the_library_reads_and_always_an_end() {
        let token: Secret<AccessToken> = Secret::from_text("t0ken".into());
        let handed = Handed { token: &token, username: "x", expires: Timestamp::from_seconds(1_700_000_000) };
        let question = Question::parse(asked()).unwrap();
        assert_eq!(
            String::from_utf8(question.answer(&handed).unwrap().to_vec()).unwrap(),
            "{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\
             \"id_token\":\"t0ken\",\"expiration_time\":1700000000}\n"
        );
    }

    #[test]
    fn what_does_not_say_for_whom_or_asks_for_something_else_is_refused() {
        for bad in [
            Asked { audience: None, ..asked() },
            Asked { audience: Some(String::new()), ..asked() },
            Asked { token_type: None, ..asked() },
            Asked { token_type: Some("urn:ietf:params:oauth:token-type:saml2".into()), ..asked() },
            Asked { revoke: true, ..asked() },
        ] {
            assert!(Question::parse(bad).is_err());
        }
    }

    #[test]
    fn a_refusal_is_json_whatever_is_in_it() {
        let told: serde_json::Value = serde_json::from_str(&refusal("403", "say \"x\"\n")).unwrap();
        assert_eq!((told["success"].as_bool(), told["version"].as_i64()), (Some(false), Some(1)));
        assert_eq!(told["message"], "say \"x\"\n");
    }
}
