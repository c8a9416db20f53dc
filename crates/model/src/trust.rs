//! A trust: the rule by which an outside identity (a CI job, a pod, a SPIFFE id) becomes a principal here.
//!
//! 1. An outside issuer signs what a workload is: the claims of a token that is meant for us (`aud`).
//! 2. A [`Rule`] says which issuer, which audience, and what each of some claims must be. All of it must hold.
//! 3. [`Rule::weigh`] answers line by line, so that a person can be told why a job was not let in.
//! 4. [`lint`] says before a rule is used what is wrong with it: most break-ins by federation went through a rule
//!    that let in more than its author meant.
//!
//! The signature and the times are judged elsewhere, and before: these functions take claims that are already believed
//! to be the issuer's.

mod lint; // what is wrong with a rule
mod pattern; // what a claim must be
mod preset; // issuers whose claims and traps are known

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ClientId, CredentialId, OrgId, TrustId};
use crate::jose::JwkSet;
use crate::principal::{Handle, Standing};
use crate::time::{Lifetime, Timestamp};
use crate::wire::oauth::Scopes;

pub use lint::{Finding, Gravity, lint};
pub use pattern::{BadPattern, Pattern};
pub use preset::{Preset, UnknownPreset};

/// Conditions of one rule at most: the issuers known here have thirty claims at the outside, and a rule is read by people.
pub const CONDITIONS_MAX: usize = 32;
/// The name or pointer of a claim at most, in bytes: that of any issuer known here is under a hundred.
pub const CLAIM_LEN_MAX: usize = 128;

/// Where a claim stands in a token: its name, or where it is nested a JSON pointer (RFC 6901), such as
/// `/kubernetes.io/namespace`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Claim(String);

/// Text that names no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no claim: give its name, or a JSON pointer such as `/kubernetes.io/namespace`")]
pub struct BadClaim(String);

impl Claim {
    /// Its spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there.
    fn find<'a>(&self, claims: &'a Value) -> Option<&'a Value> {
        match self.0.starts_with('/') {
            true => claims.pointer(&self.0),
            // Names hold dots (`oidc.circleci.com/project-id`) and slashes, so no name is taken for a path.
            false => claims.get(&self.0),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Claim {
    type Err = BadClaim;
    fn from_str(text: &str) -> Result<Self, BadClaim> {
        let visible = |c: char| c.is_ascii_graphic() && c != '=';
        let named =
            !text.is_empty() && text != "/" && text.len() <= CLAIM_LEN_MAX && text.chars().all(visible);
        match named {
            true => Ok(Self(text.to_owned())),
            false => Err(BadClaim(text.chars().take(CLAIM_LEN_MAX).collect())),
        }
    }
}

impl TryFrom<String> for Claim {
    type Error = BadClaim;
    fn try_from(text: String) -> Result<Self, BadClaim> {
        text.parse()
    }
}

impl From<Claim> for String {
    fn from(claim: Claim) -> Self {
        claim.0
    }
}

/// What one claim must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which.
    pub claim: Claim,
    /// What it must be.
    pub pattern: Pattern,
}

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCondition {
    /// Not `CLAIM=PATTERN`.
    #[error("`{0}` is not of the form CLAIM=PATTERN, such as `repository_id=123`")]
    Form(String),
    /// The part before the `=`.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// The part after it.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
}

impl FromStr for Condition {
    type Err = BadCondition;
    /// `CLAIM=PATTERN`.
    fn from_str(text: &str) -> Result<Self, BadCondition> {
        let form = || BadCondition::Form(text.chars().take(CLAIM_LEN_MAX).collect());
        let (claim, pattern) = text.split_once('=').ok_or_else(form)?;
        Ok(Self { claim: claim.parse()?, pattern: pattern.parse()? })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.claim, self.pattern)
    }
}

/// How an outside identity becomes a client of ours, and how far it reaches then.
///
/// Who answers for the client answers for its trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Its id.
    pub id: TrustId,
    /// The tenant it is registered in.
    pub org: OrgId,
    /// Its short name, unique in the org.
    pub handle: Handle,
    /// Who comes in by it: the subject of the tokens it gives. A CI job's, or a service's that runs where it is given an
    /// identity.
    pub client: ClientId,
    /// What its tokens are for: a resource of another environment refuses them.
    pub environment: Handle,
    /// What a token from outside must say.
    pub rule: Rule,
    /// Where the outside issuer's keys are.
    pub keys: IssuerKeys,
    /// The most that its tokens allow, of what the client may ask for.
    pub scopes: Scopes,
    /// How long its tokens live at most.
    pub longest: Lifetime,
    /// The ancestor of every token it gave: a cut of it is a cut of them.
    pub root: CredentialId,
    /// Whether anybody comes in by it.
    pub standing: Standing,
    /// When it was added.
    pub created: Timestamp,
}

/// Where an outside issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerKeys {
    /// Where its discovery document says (OpenID Connect Discovery, section 4).
    Discovered,
    /// At this address.
    At(String),
    /// These: for an issuer that cannot be reached from here. They are replaced by hand.
    Given(JwkSet),
}

/// What a token from outside must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whose claims and traps it is about.
    pub preset: Preset,
    /// Its `iss`, byte for byte. A JWT-SVID need not have one: there it is the trust domain (`spiffe://prod.example`).
    pub issuer: String,
    /// One of its `aud`, byte for byte.
    pub audience: String,
    /// What else it must say: all of it.
    pub conditions: Vec<Condition>,
}

/// How a token stands to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// One for the issuer, one for the audience, and one for each condition, in the rule's order.
    pub lines: Vec<Line>,
}

impl Weighed {
    /// Whether all of it holds.
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.holds)
    }
}

/// What a rule says of one claim, and what the claim is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which claim.
    pub claim: String,
    /// What it must be.
    pub wanted: String,
    /// What it is, as text; `None` where it is absent, or is neither text, number, boolean nor a list of those.
    pub found: Option<String>,
    /// Whether that holds.
    pub holds: bool,
}

impl Rule {
    /// Weighs the claims of a token whose signature is the issuer's.
    pub fn weigh(&self, claims: &Value) -> Weighed {
        let mut lines = vec![self.weigh_issuer(claims), self.weigh_audience(claims)];
        lines.extend(self.conditions.iter().map(|condition| condition.weigh(claims)));
        Weighed { lines }
    }

    fn weigh_issuer(&self, claims: &Value) -> Line {
        let named = claims.get("iss").and_then(Value::as_str);
        let (claim, found, holds) = match (self.preset, named) {
            // SPIFFE JWT-SVID, section 3: `iss` is not among what must be there. The subject names its trust domain,
            // whose keys it was verified with.
            (Preset::Spiffe, _) => {
                let subject = claims.get("sub").and_then(Value::as_str);
                let inside = |sub: &str| {
                    sub.strip_prefix(self.issuer.as_str()).is_some_and(|path| path.starts_with('/'))
                };
                ("sub", subject, subject.is_some_and(inside))
            }
            (_, named) => ("iss", named, named == Some(self.issuer.as_str())),
        };
        Line {
            claim: claim.to_owned(),
            wanted: match self.preset {
                Preset::Spiffe => format!("{}/...", self.issuer),
                _ => self.issuer.clone(),
            },
            found: found.map(str::to_owned),
            holds,
        }
    }

    fn weigh_audience(&self, claims: &Value) -> Line {
        let found = claims.get("aud").and_then(texts);
        let holds = found.as_ref().is_some_and(|all| all.contains(&self.audience));
        Line {
            claim: "aud".to_owned(),
            wanted: self.audience.clone(),
            found: found.map(|all| all.join(", ")),
            holds,
        }
    }
}

impl Condition {
    fn weigh(&self, claims: &Value) -> Line {
        let found = self.claim.find(claims).and_then(texts);
        // SECURITY: an absent claim never holds, whatever the pattern: issuers leave out what does not apply to a job.
        let holds = found.as_ref().is_some_and(|all| all.iter().any(|text| self.pattern.matches(text)));
        Line {
            claim: self.claim.to_string(),
            wanted: self.pattern.to_string(),
            found: found.map(|all| all.join(", ")),
            holds,
        }
    }
}

/// A claim as text: itself, or each of a list. `None` for `null` and for what has parts with names.
fn texts(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        value => one(value).map(|text| vec![text]),
    }
}

#[cfg(test)]
mod tests;
