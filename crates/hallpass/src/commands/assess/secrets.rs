//! What looks like a token, and what can be read of it.

use std::collections::BTreeSet;

use hallpass_model::jose::base64url;
use serde_json::Value;
use zeroize::Zeroize;

/// A shorter text is a word.
pub(super) const LEN_MIN: usize = 16;
/// What well-known tokens begin with, and what they are.
const PREFIXES: &[(&str, Kind)] = &[
    ("hpr_", Kind::Refresh),
    ("hpk_", Kind::Access),
    ("ghr_", Kind::Refresh),
    ("gho_", Kind::Access),
    ("ghp_", Kind::Access),
    ("ghu_", Kind::Access),
    ("ghs_", Kind::Access),
    ("github_pat_", Kind::Access),
    ("glpat-", Kind::Access),
    ("npm_", Kind::Access),
    ("pypi-", Kind::Access),
    ("hf_", Kind::Access),
    ("xoxb-", Kind::Access),
    ("xoxp-", Kind::Access),
    ("sk-ant-", Kind::Access),
    ("dapi", Kind::Access),
    ("ya29.", Kind::Access),
    ("1//0", Kind::Refresh),
];
/// The names that tokens stand under in files and answers.
const NAMES: &[(&str, Kind)] = &[
    ("refresh_token", Kind::Refresh),
    ("refreshtoken", Kind::Refresh),
    ("refresh-token", Kind::Refresh),
    ("access_token", Kind::Access),
    ("accesstoken", Kind::Access),
    ("access-token", Kind::Access),
    ("oauth_token", Kind::Access),
    ("auth_token", Kind::Access),
    ("id_token", Kind::Id),
    ("api_key", Kind::Access),
    ("apikey", Kind::Access),
    ("client_secret", Kind::Refresh),
];

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Trades itself for others: what must not be seen.
    Refresh,
    /// An API takes it.
    Access,
    /// It says who signed in.
    Id,
}

impl Kind {
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::Refresh => "refresh token",
            Kind::Access => "access token",
            Kind::Id => "ID token",
        }
    }
}

/// A token, for as long as the assessment lasts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: Text,
}

/// A text that is wiped when dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(String);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::ops::Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// All the tokens in a text, by what they begin with, by the name they stand under, and by their form.
pub(super) fn find(text: &str) -> BTreeSet<Token> {
    let mut found = BTreeSet::new();
    let mut under: Option<Kind> = None;
    for (word, ends_line) in words(text) {
        let named = NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name) || is_flag(word, name));
        if let Some((_, kind)) = named {
            under = (!ends_line).then_some(*kind);
            continue;
        }
        // The name says more than the form: some refresh tokens look like access tokens.
        let kind = under.filter(|_| word.len() >= LEN_MIN && !is_place(word)).or_else(|| kind_of(word));
        if let Some(kind) = kind {
            found.insert(Token { kind, text: word.to_owned().into() });
        }
        if ends_line || word.len() >= LEN_MIN {
            under = None;
        }
    }
    found
}

/// A path, as a command that looks for a token in a file has it: where one is, and none.
fn is_place(word: &str) -> bool {
    ["/", "./", "../", "~/"].iter().any(|beginning| word.starts_with(beginning))
}

/// `--refresh-token`, as arguments have it.
fn is_flag(word: &str, name: &str) -> bool {
    word.strip_prefix("--").is_some_and(|flag| flag.eq_ignore_ascii_case(name))
}

fn kind_of(word: &str) -> Option<Kind> {
    if word.len() < LEN_MIN {
        return None;
    }
    let by_prefix = PREFIXES.iter().find(|(prefix, _)| word.starts_with(prefix)).map(|(_, kind)| *kind);
    by_prefix.or_else(|| {
        let claims = claims(word)?;
        Some(if claims.get("nonce").is_some() || claims.get("at_hash").is_some() {
            Kind::Id
        } else {
            Kind::Access
        })
    })
}

/// Maximal runs of what tokens are made of, and whether the line ends behind each.
fn words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.lines().flat_map(|line| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._~+/-".contains(c);
        let all: Vec<&str> = line.split(|c| !is_part(c)).filter(|word| !word.is_empty()).collect();
        let last = all.len();
        all.into_iter().enumerate().map(move |(at, word)| (word, at + 1 == last))
    })
}

/// The types (RFC 7515, section 4.1.9) of what is signed and opens something: a proof (RFC 9449), a status list or a set of
/// metadata does not.
const TYPES: &[&str] = &["jwt", "at+jwt", "application/at+jwt"];

/// The claims of a signed token, unverified: what it says of itself.
pub(super) fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let header: Value = serde_json::from_slice(&base64url::parse(header)?).ok()?;
    header.get("alg")?;
    let is_token = |kind: &str| TYPES.iter().any(|one| kind.eq_ignore_ascii_case(one));
    if header.get("typ").is_some_and(|kind| !kind.as_str().is_some_and(is_token)) {
        return None;
    }
    serde_json::from_slice(&base64url::parse(claims)?).ok()
}

/// How long a token lives as it says itself, in seconds.
pub(super) fn lifetime(claims: &Value, now: i64) -> Option<i64> {
    let whole = |name: &str| claims.get(name).and_then(Value::as_f64).map(|number| number as i64);
    Some(whole("exp")? - whole("iat").unwrap_or(now))
}

/// How far it reaches, each scope once.
pub(super) fn scopes(claims: &Value) -> Option<Vec<String>> {
    let value = ["scope", "scp", "scopes"].iter().find_map(|name| claims.get(*name))?;
    Some(match value {
        Value::String(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => return None,
    })
}

/// Whose it is: the issuer and the tenant, by the names that providers use.
pub(super) fn tenant(claims: &Value) -> Option<String> {
    let issuer = claims.get("iss")?.as_str()?;
    let tenant = ["org", "org_id", "tid", "tenant", "hd"].iter().find_map(|name| claims.get(*name)?.as_str());
    Some(format!("{issuer} {}", tenant.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        find(text).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn tokens_are_known_by_prefix_name_and_form() {
        assert_eq!(kinds("x = hpr_0123456789abcdef"), [Kind::Refresh]);
        assert_eq!(kinds("{\"refresh_token\": \"abcdefghijklmnop\", \"n\": 1}"), [Kind::Refresh]);
        assert_eq!(kinds("refreshToken: abcdefghijklmnopqrst\nother: abcdefghijklmnopqrst"), [Kind::Refresh]);
        assert_eq!(kinds("tool --access-token abcdefghijklmnop"), [Kind::Access]);
        assert_eq!(kinds("--refresh-token=abcdefghijklmnop"), [Kind::Refresh]);
        let jwt = format!(
            "{}.{}.c2ln",
            base64url::render(br#"{"alg":"ES256"}"#),
            base64url::render(br#"{"exp":400,"iat":100,"scope":"a b","iss":"https://i","org":"acme"}"#)
        );
        assert_eq!(kinds(&format!("cookie {jwt};")), [Kind::Access]);
        let claims = claims(&jwt).unwrap();
        assert_eq!((lifetime(&claims, 0), scopes(&claims).unwrap().len()), (Some(300), 2));
        assert_eq!(tenant(&claims).unwrap(), "https://i acme");
        let proof = format!("{}.e30.c2ln", base64url::render(br#"{"alg":"ES256","typ":"dpop+jwt"}"#));
        for none in [
            &format!("dpop: {proof}"),
            "",
            "a sentence about a refresh_token and no more",
            "v1.2.3",
            "access_token=\n0123456789abcdefgh",
        ] {
            assert!(kinds(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn where_a_token_is_looked_for_is_no_token() {
        let sed = r#"sed s/.*refresh_token":"\([^"]*\).*/\1/ /dev/shm/somewhere-else/home/.tool"#;
        assert!(find(sed).is_empty());
        assert_eq!(find("refresh_token=abcdef/ghijklmnop").len(), 1);
    }
}
