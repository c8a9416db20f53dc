//! AWS: `credential_process`, the endpoint for containers, and the answer of STS that both come from.
//!
//! A token of ours becomes a session of a role (`AssumeRoleWithWebIdentity`). What comes back is compared with what was asked
//! for: credentials of another account are not handed out.

use hallpass_model::secret::{KeyMaterial, Secret};
use hallpass_model::time::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Malformed;

/// An answer of STS at most, in bytes: they are a few thousand long.
const ANSWER_LEN_MAX: usize = 64 * 1024;
/// A name of a session at most, in characters (AssumeRoleWithWebIdentity).
const SESSION_NAME_LEN_MAX: usize = 64;

/// A role: `arn:aws:iam::123456789012:role/deploy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    arn: String,
    account: String,
}

impl Role {
    /// Reads the name of a role.
    pub fn parse(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [at_first, partition, "iam", "", account, resource] = parts[..] else { return None };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&b);
        let role = resource.strip_prefix("role/")?;
        let named =
            at_first == "arn" && partition.starts_with("aws") && !role.is_empty() && role.bytes().all(plain);
        (named && is_account(account)).then(|| Self { arn: arn.to_owned(), account: account.to_owned() })
    }

    /// As it is written.
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// Credentials of a role, for an hour or so. Shown nowhere but in the answer.
#[derive(Debug)]
pub struct Session {
    access_key_id: String,
    secret_access_key: Secret<KeyMaterial>,
    session_token: Secret<KeyMaterial>,
    expiration: String,
    account: String,
}

/// Why STS gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum NoSession {
    /// It said so: its code, such as `AccessDenied`, and whether trying again later can help.
    Refused {
        /// Its code.
        code: String,
        /// Whether it is busy rather than unwilling.
        later: bool,
    },
    /// It answered something else, or about another account.
    NotBelieved(&'static str),
}

/// The parameters of the request, but for the token.
pub fn request<'a>(role: &'a Role, session_name: &'a str, seconds: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role.arn()),
        ("RoleSessionName", session_name),
        ("DurationSeconds", seconds),
    ]
}

/// A name for the session that STS takes: what it does not take becomes `-`.
pub fn session_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    let mut name: String =
        text.chars().take(SESSION_NAME_LEN_MAX).map(|c| if plain(c) { c } else { '-' }).collect();
    while name.len() < 2 {
        name.push('-');
    }
    name
}

impl Session {
    /// Reads what STS answered to a request for this role.
    pub fn parse(status: u16, body: &[u8], role: &Role) -> Result<Self, NoSession> {
        let not_believed = NoSession::NotBelieved("STS answered something that is no answer");
        let text = match std::str::from_utf8(body) {
            Ok(text) if body.len() <= ANSWER_LEN_MAX => text,
            _ => return Err(not_believed),
        };
        if status != 200 {
            let code = element(text, "Error").and_then(|error| element(error, "Code")).and_then(decoded);
            let plain =
                |code: &str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
            let later = status >= 500 || status == 429;
            return match code.filter(|code| plain(code)) {
                Some(code) => {
                    let later = later || matches!(code.as_str(), "Throttling" | "IDPCommunicationError");
                    Err(NoSession::Refused { code: code.to_string(), later })
                }
                None if later => Err(NoSession::Refused { code: status.to_string(), later }),
                None => Err(not_believed),
            };
        }
        let result = element(text, "AssumeRoleWithWebIdentityResult").ok_or(not_believed)?;
        let credentials =
            element(result, "Credentials").ok_or(NoSession::NotBelieved("STS gave no credentials"))?;
        let member = |name| element(credentials, name).and_then(decoded).filter(|text| is_line(text));
        let lacking = || NoSession::NotBelieved("STS left out a part of the credentials");
        let arn = element(result, "AssumedRoleUser").and_then(|user| element(user, "Arn")).and_then(decoded);
        let account =
            arn.as_ref().and_then(|arn| arn.split(':').nth(4)).filter(|account| is_account(account));
        match account {
            Some(account) if account == role.account => {}
            // SECURITY: whoever answers for STS must not lead what is uploaded into an account of theirs.
            _ => {
                return Err(NoSession::NotBelieved(
                    "STS gave credentials that are not of the role's account",
                ));
            }
        }
        let secret = |name| Some(Secret::from_text(member(name)?.to_string()));
        Ok(Self {
            access_key_id: member("AccessKeyId").ok_or_else(lacking)?.to_string(),
            secret_access_key: secret("SecretAccessKey").ok_or_else(lacking)?,
            session_token: secret("SessionToken").ok_or_else(lacking)?,
            // Without it programs take the credentials for ever good.
            expiration: member("Expiration").ok_or_else(lacking)?.to_string(),
            account: role.account.clone(),
        })
    }

    /// Whether it is good beyond this moment, as far as STS wrote the end as it always does: in UTC, to the second or finer.
    pub(crate) fn is_good_beyond(&self, at: Timestamp) -> bool {
        let form = "0000-00-00T00:00:00";
        let as_usual = self.expiration.ends_with('Z')
            && self.expiration.len() > form.len()
            && self.expiration.bytes().zip(form.bytes()).all(|(is, form)| match form {
                b'0' => is.is_ascii_digit(),
                other => is == other,
            });
        // Such texts are in the order of what they say.
        as_usual && *self.expiration > *at.to_string()
    }

    /// As it is kept: what `credential_process` answers.
    pub(crate) fn kept(&self) -> Secret<KeyMaterial> {
        Secret::new(self.for_process().to_vec())
    }

    /// What was kept of a role's session.
    pub(crate) fn from_kept(kept: &Secret<KeyMaterial>, role: &Role) -> Option<Self> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Kept {
            access_key_id: String,
            secret_access_key: Zeroizing<String>,
            session_token: Zeroizing<String>,
            expiration: String,
            account_id: String,
        }
        let kept: Kept = serde_json::from_slice(kept.expose()).ok()?;
        (kept.account_id == role.account).then(|| Self {
            access_key_id: kept.access_key_id,
            secret_access_key: crate::sealing::secret(kept.secret_access_key),
            session_token: crate::sealing::secret(kept.session_token),
            expiration: kept.expiration,
            account: kept.account_id,
        })
    }

    /// What `credential_process` answers.
    pub fn for_process(&self) -> Zeroizing<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer<'a> {
            version: u8,
            access_key_id: &'a str,
            secret_access_key: &'a str,
            session_token: &'a str,
            expiration: &'a str,
            account_id: &'a str,
        }
        self.render(&Answer {
            version: 1,
            access_key_id: &self.access_key_id,
            secret_access_key: self.secret_access_key.expose_text(),
            session_token: self.session_token.expose_text(),
            expiration: &self.expiration,
            account_id: &self.account,
        })
    }

    /// What the endpoint for containers answers (`AWS_CONTAINER_CREDENTIALS_FULL_URI`).
    pub fn for_container(&self) -> Zeroizing<Vec<u8>> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer<'a> {
            access_key_id: &'a str,
            secret_access_key: &'a str,
            token: &'a str,
            expiration: &'a str,
            account_id: &'a str,
        }
        self.render(&Answer {
            access_key_id: &self.access_key_id,
            secret_access_key: self.secret_access_key.expose_text(),
            token: self.session_token.expose_text(),
            expiration: &self.expiration,
            account_id: &self.account,
        })
    }

    fn render(&self, answer: &impl Serialize) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.session_token.expose().len() + 2048));
        serde_json::to_writer(&mut *bytes, answer).expect("texts are JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// The answer of the endpoint for containers where there is nothing.
pub fn container_refusal(code: &str, message: &str) -> String {
    serde_json::json!({ "code": code, "message": message }).to_string()
}

/// Checks a duration that a role's session may have, in seconds (AssumeRoleWithWebIdentity: 15 minutes to 12 hours).
pub fn duration(seconds: i64) -> Result<i64, Malformed> {
    match (900..=43_200).contains(&seconds) {
        true => Ok(seconds),
        false => Err(Malformed("a role is taken on for 15 minutes to 12 hours")),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What stands between `<name ...>` and `</name>`, if the element is there exactly once and holds none of its own name. As
/// much XML as STS writes: no comments, no CDATA, no document types.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    if text.contains("<!") {
        return None;
    }
    let close = format!("</{name}>");
    let mut found = None;
    for (at, _) in text.match_indices('<') {
        let Some(rest) = text[at + 1..].strip_prefix(name) else { continue };
        let inside = match rest.chars().next()? {
            '>' => &rest[1..],
            c if c.is_ascii_whitespace() => &rest[rest.find('>')? + 1..],
            _ => continue, // a longer name
        };
        if found.is_some() {
            return None;
        }
        found = Some(&inside[..inside.find(&close)?]);
    }
    found
}

/// Text of an element, its five entities read.
fn decoded(text: &str) -> Option<Zeroizing<String>> {
    if text.contains('<') {
        return None;
    }
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text.trim();
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find(';')? + at;
        plain.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>prn_ada</SubjectFromWebIdentityToken>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/deploy/ada</Arn>
      <AssumedRoleId>AROA:ada</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>sess/ion+tok&amp;en==</SessionToken>
      <SecretAccessKey>canary-secret</SecretAccessKey>
      <Expiration>2026-11-25T12:00:00Z</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
    <Provider>id.example</Provider>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#;

    fn role() -> Role {
        Role::parse("arn:aws:iam::123456789012:role/team/deploy").unwrap()
    }

    #[test]
    fn a_role_is_known_by_its_whole_name() {
        assert_eq!(role().arn(), "arn:aws:iam::123456789012:role/team/deploy");
        assert!(Role::parse("arn:aws-cn:iam::123456789012:role/x").is_some());
        for bad in [
            "",
            "deploy",
            "arn:aws:iam::1234:role/x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam:eu:123456789012:role/x",
            "arn:aws:sts::123456789012:assumed-role/x/y",
            "arn:aws:iam::123456789012:role/x y",
            "arn:aws:iam::123456789012:role/x&y",
        ] {
            assert!(Role::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn both_answers_have_the_members_programs_read_and_always_an_end() {
        let session = Session::parse(200, ANSWER.as_bytes(), &role()).unwrap();
        assert!(!format!("{session:?}").contains("canary") && !format!("{session:?}").contains("sess/ion"));
        assert_eq!(
            String::from_utf8(session.for_process().to_vec()).unwrap(),
            "{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLE\",\"SecretAccessKey\":\"canary-secret\",\
             \"SessionToken\":\"sess/ion+tok&en==\",\"Expiration\":\"2026-11-25T12:00:00Z\",\
             \"AccountId\":\"123456789012\"}\n"
        );
        let container: serde_json::Value = serde_json::from_slice(&session.for_container()).unwrap();
        assert_eq!(container["Token"], "sess/ion+tok&en==");
        assert_eq!(container["Expiration"], "2026-11-25T12:00:00Z");
        let without = ANSWER.replace("Expiration", "Expires");
        assert!(matches!(Session::parse(200, without.as_bytes(), &role()), Err(NoSession::NotBelieved(_))));
    }

    #[test]
    fn what_is_kept_reads_back_for_its_own_account_and_says_how_long_it_is_good() {
        let session = Session::parse(200, ANSWER.as_bytes(), &role()).unwrap();
        let back = Session::from_kept(&session.kept(), &role()).unwrap();
        assert_eq!(back.for_process(), session.for_process());
        let other = Role::parse("arn:aws:iam::210987654321:role/deploy").unwrap();
        assert!(Session::from_kept(&session.kept(), &other).is_none());
        // 2026-11-25T12:00:00Z
        let end = Timestamp::from_seconds(1_795_608_000);
        assert!(session.is_good_beyond(Timestamp::from_seconds(end.seconds() - 1)));
        assert!(!session.is_good_beyond(end));
        for strange in ["2026-11-25T14:00:00+02:00", "tomorrow, never Z", "9999", ""] {
            let session = Session {
                expiration: strange.into(),
                ..Session::from_kept(&session.kept(), &role()).unwrap()
            };
            assert!(!session.is_good_beyond(Timestamp::from_seconds(0)), "{strange}");
        }
    }

    #[test]
    fn credentials_of_another_account_are_not_handed_out() {
        let other = ANSWER.replace("sts::123456789012", "sts::210987654321");
        let refused = Session::parse(200, other.as_bytes(), &role()).unwrap_err();
        assert_eq!(
            refused,
            NoSession::NotBelieved("STS gave credentials that are not of the role's account")
        );
    }

    #[test]
    fn a_refusal_is_its_code_and_nothing_it_says_is_repeated() {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                    <Message>canary</Message></Error></ErrorResponse>";
        let refused = Session::parse(403, body.as_bytes(), &role()).unwrap_err();
        assert_eq!(refused, NoSession::Refused { code: "AccessDenied".into(), later: false });
        let busy = Session::parse(503, b"busy", &role()).unwrap_err();
        assert_eq!(busy, NoSession::Refused { code: "503".into(), later: true });
        let strange = body.replace("AccessDenied", "eyJhbGciOi canary");
        assert!(matches!(Session::parse(403, strange.as_bytes(), &role()), Err(NoSession::NotBelieved(_))));
    }

    #[test]
    fn what_is_not_the_answer_of_sts_gives_nothing() {
        let twice =
            ANSWER.replace("<Provider>", "<Credentials><AccessKeyId>x</AccessKeyId></Credentials><Provider>");
        let nested = ANSWER.replace("ASIAEXAMPLE", "<b>x</b>");
        let entity = ANSWER.replace("ASIAEXAMPLE", "&x;");
        let doctype = format!("<!DOCTYPE x [<!ENTITY x 'y'>]>{ANSWER}");
        let lines = ANSWER.replace("ASIAEXAMPLE", "a\nb");
        let long = format!("{ANSWER}{}", " ".repeat(ANSWER_LEN_MAX));
        for bad in [
            "",
            "<",
            "<AssumeRoleWithWebIdentityResult>",
            "{}",
            &twice,
            &nested,
            &entity,
            &doctype,
            &lines,
            &long,
        ] {
            assert!(Session::parse(200, bad.as_bytes(), &role()).is_err(), "{bad}");
        }
        for end in 0..ANSWER.len() {
            let cut = Session::parse(200, &ANSWER.as_bytes()[..end], &role());
            assert!(cut.is_err() || end > ANSWER.find("</AssumeRoleWithWebIdentityResult>").unwrap());
        }
    }

    #[test]
    fn a_session_s_name_is_one_that_sts_takes() {
        assert_eq!(session_name("ada@example.org"), "ada@example.org");
        assert_eq!(session_name("Ada L."), "Ada-L.");
        assert_eq!(session_name(""), "--");
        assert_eq!(session_name(&"x".repeat(99)).len(), SESSION_NAME_LEN_MAX);
        assert!(duration(900).is_ok() && duration(899).is_err() && duration(43_201).is_err());
    }
}
