//! How strongly, and how lately, a person must have proved who they are (RFC 9470).
//!
//! A client may demand it of every grant, and a resource of each of its scopes. An API may demand it of a route, by its own
//! verifier, whose issuer may be anybody's: there it is [`StepUp`], in the words of the wire.

use serde::{Deserialize, Serialize};

use crate::grant::{Acr, Amr, Authentication};
use crate::lifetimes::CLOCK_SKEW;
use crate::time::{Lifetime, Timestamp};
use crate::wire::claims::AccessClaims;

/// What is demanded of how a person proved who they are. By default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demand {
    /// At least as strongly as this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
    /// At most so long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Lifetime>,
    /// By the organisation's own provider, and in no other way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sso: bool,
}

impl Demand {
    /// Whether anything is demanded at all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Both: the stronger, and the shorter.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let max_age = match (self.max_age, other.max_age) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { acr: self.acr.max(other.acr), max_age, sso: self.sso || other.sso }
    }

    /// Whether this authentication will do now.
    ///
    /// SECURITY: an operator's word ([`Acr::Local`]) never does, however fresh: nobody proved who they are.
    pub fn is_met_by(&self, authentication: &Authentication, now: Timestamp) -> bool {
        if self.is_nothing() {
            return true;
        }
        authentication.acr > Acr::Local
            && (!self.sso || authentication.amr.contains(&Amr::Sso))
            && self.acr.is_none_or(|least| authentication.acr >= least)
            && self.max_age.is_none_or(|most| now <= authentication.at + most)
    }

    /// The moment that an authentication asked for at `now` must not lie before.
    pub fn not_before(&self, now: Timestamp) -> Option<Timestamp> {
        self.max_age.map(|most| now - most)
    }
}

impl std::fmt::Display for Demand {
    /// As the parameters of a challenge: `acr_values="phr", max_age=300` (RFC 9470, section 3).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        StepUp::from(*self).fmt(f)
    }
}

/// What an API demands of a token's authentication, whoever issued it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// One of these, in the order in which they are preferred; any where there is none.
    pub acr_values: Vec<String>,
    /// At most so long ago.
    pub max_age: Option<Lifetime>,
}

impl From<Demand> for StepUp {
    fn from(demand: Demand) -> Self {
        Self {
            acr_values: demand.acr.iter().map(|acr| acr.text().to_owned()).collect(),
            max_age: demand.max_age,
        }
    }
}

impl StepUp {
    /// Whether a token that says this will do now. What it does not say (RFC 9470, section 6.1) it does not satisfy.
    pub fn is_met_by(&self, claims: &AccessClaims, now: Timestamp) -> bool {
        let acr = self.acr_values.is_empty()
            || claims.acr.as_ref().is_some_and(|acr| self.acr_values.contains(acr));
        acr && self.max_age.is_none_or(|most| {
            // A token from the future is none of a fresh login.
            claims.auth_time.is_some_and(|at| {
                let at = Timestamp::from_seconds(at);
                now <= at + most + CLOCK_SKEW && at <= now + CLOCK_SKEW
            })
        })
    }
}

impl std::fmt::Display for StepUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut join = "";
        if !self.acr_values.is_empty() {
            // What could end the quotation is left out: the values are an API's own settings.
            let values = self.acr_values.join(" ");
            let quoted: String =
                values.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
            write!(f, "acr_values=\"{quoted}\"")?;
            join = ", ";
        }
        if let Some(most) = self.max_age {
            write!(f, "{join}max_age={}", most.as_seconds())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::claims::sample;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn proved(acr: Acr, ago: i64) -> Authentication {
        Authentication { at: Timestamp::from_seconds(NOW.seconds() - ago), acr, amr: Vec::new() }
    }

    #[test]
    fn a_demand_is_met_by_what_is_strong_and_late_enough() {
        let five = Demand { max_age: Some(Lifetime::minutes(5)), acr: None, sso: false };
        let strong = Demand { acr: Some(Acr::PhishingResistant), max_age: None, sso: false };
        for (demand, acr, ago, met) in [
            (Demand::default(), Acr::Local, 99_999, true),
            (five, Acr::PhishingResistant, 300, true),
            (five, Acr::PhishingResistant, 301, false),
            (strong, Acr::PhishingResistant, 99_999, true),
            (strong, Acr::Local, 0, false),
            // Nobody proved who they are, however lately.
            (five, Acr::Local, 0, false),
            (five.and(strong), Acr::PhishingResistant, 301, false),
        ] {
            assert_eq!(demand.is_met_by(&proved(acr, ago), NOW), met, "{demand} {acr:?} {ago}");
        }
    }

    #[test]
    fn two_demands_are_the_stronger_and_the_shorter() {
        let one = Demand { acr: Some(Acr::PhishingResistant), max_age: Some(Lifetime::hours(1)), sso: false };
        let two = Demand { acr: None, max_age: Some(Lifetime::minutes(5)), sso: false };
        let both =
            Demand { acr: Some(Acr::PhishingResistant), max_age: Some(Lifetime::minutes(5)), sso: false };
        assert_eq!((one.and(two), two.and(one), one.and(Demand::default())), (both, both, one));
        assert_eq!(both.to_string(), r#"acr_values="phr", max_age=300"#);
        assert_eq!(two.to_string(), "max_age=300");
    }

    #[test]
    fn a_token_that_does_not_say_does_not_satisfy() {
        let step =
            StepUp { acr_values: vec!["gold".into(), "phr".into()], max_age: Some(Lifetime::minutes(5)) };
        let good = sample::access();
        let now = Timestamp::from_seconds(1_000_000);
        let with = |acr: Option<&str>, at: Option<i64>| AccessClaims {
            acr: acr.map(str::to_owned),
            auth_time: at,
            ..good.clone()
        };
        assert!(step.is_met_by(&with(Some("phr"), Some(999_800)), now));
        for (acr, at) in [
            (None, Some(999_800)),
            (Some("silver"), Some(999_800)),
            (Some("phr"), None),
            (Some("phr"), Some(999_000)),
            (Some("phr"), Some(1_009_000)),
        ] {
            assert!(!step.is_met_by(&with(acr, at), now), "{acr:?} {at:?}");
        }
        let hostile = StepUp { acr_values: vec!["a\"\r\n, x=\"".into()], max_age: None };
        assert_eq!(hostile.to_string(), r#"acr_values="a, x=""#);
    }
}
