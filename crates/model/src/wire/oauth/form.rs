//! `application/x-www-form-urlencoded`, strictly: each parameter once (RFC 6749, section 3.2).

use zeroize::Zeroizing;

use crate::secret::{Kind, Secret};

/// A form or a query at most, in bytes. Two 8 KiB tokens (an exchange), escaped, and room beside them.
pub const FORM_LEN_MAX: usize = 64 * 1024;
/// Parameters in one form at most: three times what the longest standard request has.
const PARAMETERS_MAX: usize = 64;
/// The parameters that may come more than once (RFC 8707, section 2; RFC 8693, section 2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// Why a form is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// Longer than a request may be.
    #[error("the form is longer than {FORM_LEN_MAX} bytes")]
    TooLong,
    /// More parameters than a request may have.
    #[error("the form has more than {PARAMETERS_MAX} parameters")]
    TooMany,
    /// A broken escape, or text that is not UTF-8.
    #[error("the form is not well-formed")]
    Malformed,
    /// A parameter that may come once came twice.
    #[error("the parameter `{0}` is given more than once")]
    Repeated(String),
    /// A parameter that is needed is not there.
    #[error("the parameter `{0}` is missing")]
    Missing(&'static str),
}

/// The parameters of a request. Values may be secrets, so they are wiped on drop and `Debug` shows names alone.
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a body or a query. A parameter without a value counts as not given (RFC 6749, section 3.1), but
    /// giving it twice is still an error.
    pub fn parse(body: &[u8]) -> Result<Self, BadForm> {
        if body.len() > FORM_LEN_MAX {
            return Err(BadForm::TooLong);
        }
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in body.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(BadForm::TooMany);
            }
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if !REPEATABLE.contains(&name.as_str()) && parameters.iter().any(|(n, _)| *n == *name) {
                return Err(BadForm::Repeated(name.chars().take(64).filter(|c| !c.is_control()).collect()));
            }
            parameters.push((name.to_string(), value));
        }
        Ok(Self(parameters))
    }

    /// The parameter of this name, if it was given and is not empty.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The parameter of this name, which must be there.
    pub fn required(&self, name: &'static str) -> Result<&str, BadForm> {
        self.find(name).ok_or(BadForm::Missing(name))
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The parameter of this name, as a secret.
    pub fn secret<K: Kind>(&self, name: &str) -> Option<Secret<K>> {
        self.find(name).map(|value| Secret::from_text(value.to_owned()))
    }

    /// The names that were given, for a record of what was asked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a `Content-Type` is this form's (RFC 6749, section 3.2 and appendix B: UTF-8).
    pub fn is_content_type(header: &str) -> bool {
        let (media_type, parameters) = header.split_once(';').unwrap_or((header, ""));
        let charset = parameters.trim();
        media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
            && (charset.is_empty() || charset.replace('"', "").eq_ignore_ascii_case("charset=utf-8"))
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// `+` and `%XX`, and nothing that does not decode to UTF-8.
pub(super) fn decode(text: &[u8]) -> Result<Zeroizing<String>, BadForm> {
    // Reserved at once, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            0 => return Err(BadForm::Malformed),
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(*d).to_digit(16));
                let (high, low) = digit().zip(digit()).ok_or(BadForm::Malformed)?;
                // Nothing here holds a NUL, and some stores cannot.
                Some((high * 16 + low) as u8).filter(|byte| *byte != 0).ok_or(BadForm::Malformed)?
            }
            other => *other,
        });
    }
    let text = std::mem::take(&mut *bytes);
    String::from_utf8(text).map(Zeroizing::new).map_err(|bad| {
        drop(Zeroizing::new(bad.into_bytes()));
        BadForm::Malformed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::RefreshToken;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_found_by_name_and_unescaped() {
        let form =
            Form::parse(b"grant_type=refresh_token&scope=a+b&state=%7B%22x%22%7D&name=%C3%A9").unwrap();
        assert_eq!(form.find("grant_type"), Some("refresh_token"));
        assert_eq!(form.find("scope"), Some("a b"));
        assert_eq!(form.find("state"), Some(r#"{"x"}"#));
        assert_eq!(form.find("name"), Some("é"));
        assert_eq!(form.find("Scope"), None);
        assert_eq!(form.required("code"), Err(BadForm::Missing("code")));
        assert_eq!(form.names().collect::<Vec<_>>(), ["grant_type", "scope", "state", "name"]);
    }

    #[test]
    fn a_repeated_parameter_is_refused_however_it_is_spelled() {
        for body in ["a=1&a=2", "a=1&a=1", "a&a", "a=&a=2", "%61=1&a=2", "client_id=x&b=2&client_id=y"] {
            assert!(matches!(Form::parse(body.as_bytes()), Err(BadForm::Repeated(_))), "{body}");
        }
        assert_eq!(
            Form::parse(b"x=1&x=2").unwrap_err().to_string(),
            "the parameter `x` is given more than once"
        );
    }

    #[test]
    fn resource_and_audience_may_be_repeated() {
        let form =
            Form::parse(b"resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb&audience=c&audience=").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["https://a", "https://b"]);
        assert_eq!(form.all("audience").collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn a_parameter_without_a_value_counts_as_not_given() {
        let form = Form::parse(b"scope=&state&&code=1&").unwrap();
        assert_eq!((form.find("scope"), form.find("state"), form.find("code")), (None, None, Some("1")));
        assert_eq!(form.required("scope"), Err(BadForm::Missing("scope")));
    }

    #[test]
    fn a_broken_escape_is_refused_and_not_guessed_at() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%C3%28", "%FF=1", "a=%00"] {
            assert_eq!(Form::parse(body.as_bytes()).unwrap_err(), BadForm::Malformed, "{body}");
        }
        assert_eq!(Form::parse(b"a=\xff").unwrap_err(), BadForm::Malformed);
        assert_eq!(Form::parse(b"a=\0").unwrap_err(), BadForm::Malformed);
    }

    #[test]
    fn a_form_is_bounded_in_length_and_number() {
        assert!(Form::parse(&vec![b'a'; FORM_LEN_MAX]).is_ok());
        assert_eq!(Form::parse(&vec![b'a'; FORM_LEN_MAX + 1]).unwrap_err(), BadForm::TooLong);
        let many = |n: usize| (0..n).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(many(PARAMETERS_MAX).as_bytes()).is_ok());
        assert_eq!(Form::parse(many(PARAMETERS_MAX + 1).as_bytes()).unwrap_err(), BadForm::TooMany);
    }

    #[test]
    fn debug_and_errors_show_no_value() {
        let form = Form::parse(b"refresh_token=canary").unwrap();
        assert!(!format!("{form:?}").contains("canary"));
        assert!(form.secret::<RefreshToken>("refresh_token").unwrap().matches(b"canary"));
        let refusal = Form::parse(b"a=canary&a=canary").unwrap_err();
        assert!(!refusal.to_string().contains("canary"));
    }

    #[test]
    fn only_the_form_s_own_content_type_is_its() {
        for good in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded",
            "application/x-www-form-urlencoded; charset=UTF-8",
            "application/x-www-form-urlencoded;charset=\"utf-8\"",
        ] {
            assert!(Form::is_content_type(good), "{good}");
        }
        for bad in [
            "",
            "application/json",
            "application/x-www-form-urlencoded2",
            "multipart/form-data; x=application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-7",
        ] {
            assert!(!Form::is_content_type(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>()) {
            let _ = Form::parse(&body);
        }

        #[test]
        fn it_reads_what_the_url_library_writes(pairs in proptest::collection::btree_map("[^\0]{1,8}", "[^\0]{1,8}", 0..8)) {
            let mut written = url::form_urlencoded::Serializer::new(String::new());
            written.extend_pairs(&pairs);
            let form = Form::parse(written.finish().as_bytes()).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(form.find(name), Some(value.as_str()));
            }
        }
    }
}
