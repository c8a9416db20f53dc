//! What a pass socket gives at most, and what is asked of it held against that.

use hallpass_model::lifetimes::ACCESS_TOKEN_MAX;
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Lifetime;
use hallpass_model::wire::oauth::Scopes;

use crate::daemon::problem::{Problem, WIDER};
use crate::daemon::wire::TokenAsked;
use crate::error::HolderError;
use crate::exec::supply::Supply;
use crate::identity::Identity;
use crate::pass::{ActingFor, PassRequest};
use crate::present::Binding;

/// What a pass socket gives at most.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) identity: Identity,
    pub(super) resource: String,
    pub(super) scopes: Scopes,
    pub(super) lifetime: Lifetime,
    pub(super) purpose: Option<Purpose>,
    /// The agent's run that all of it is.
    acting: Option<ActingFor>,
}

impl Bounds {
    /// Those of a run: what its first pass came to, which may be less than was asked for.
    ///
    /// # Errors
    /// `Unsupported` where a pass would be the sign-in's own token, as wide as everything.
    pub(super) fn of(supply: &Supply) -> Result<Self, HolderError> {
        let first = supply.newest();
        let wide = || HolderError::Unsupported {
            what: format!(
                "`{}` has no tokens that are narrower than the sign-in, so none can be handed out by a socket",
                supply.identity().issuer
            ),
        };
        if !first.pass.own {
            return Err(wide());
        }
        let asked = supply.request();
        Ok(Self {
            identity: supply.identity().clone(),
            resource: first.pass.resource.clone().ok_or_else(wide)?,
            scopes: first.pass.scope.clone().unwrap_or_else(|| asked.scopes.clone()),
            lifetime: asked.lifetime.unwrap_or(ACCESS_TOKEN_MAX),
            purpose: asked.purpose.clone(),
            acting: asked.acting.clone(),
        })
    }

    /// What is asked for, as it is asked of the issuer. A longer life is cut, as an issuer cuts it; a purpose is the
    /// run's, whatever is claimed inside of it. Anything else that is wider is refused, and the rule is named.
    pub(super) fn narrow(&self, asked: &TokenAsked, request: PassRequest) -> Result<PassRequest, Problem> {
        let wider = |rule: String| Err(Problem::new(WIDER, rule));
        if asked.fresh || !matches!(asked.binding, None | Some(Binding::Bearer)) {
            return wider("this socket gives bearer passes, and renews no sign-in".into());
        }
        if request.acting.is_some() {
            return wider("this socket gives passes of its own run, and starts no agent".into());
        }
        let Identity { issuer, client_id, .. } = &self.identity;
        if asked.issuer.as_ref().is_some_and(|other| other != issuer)
            || asked.client_id.as_ref().is_some_and(|other| other != client_id)
            || asked.profile.as_ref().is_some_and(|profile| !profile.is_empty())
            || asked.org.is_some()
        // whose it is is not told inside
        {
            return wider("this socket gives passes of one sign-in, and another was asked for".into());
        }
        if let Some(other) = request.resource.filter(|other| *other != self.resource) {
            return wider(format!("this socket is for `{}`, and `{other}` was asked for", self.resource));
        }
        let beyond = request.scopes.without(&self.scopes);
        if !beyond.is_empty() {
            return wider(format!(
                "this socket reaches `{}` at most, and `{beyond}` was asked for",
                self.scopes
            ));
        }
        Ok(PassRequest {
            resource: Some(self.resource.clone()),
            // In one order, so that the same reach is the same pass.
            scopes: if request.scopes.is_empty() {
                self.scopes.clone()
            } else {
                self.scopes.within(&request.scopes)
            },
            lifetime: Some(request.lifetime.map_or(self.lifetime, |asked| asked.min(self.lifetime))),
            purpose: self.purpose.clone(),
            acting: self.acting.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::conversation::request;

    fn bounds() -> Bounds {
        Bounds {
            identity: Identity::new("https://id.example/acme", "hallpass-cli"),
            resource: "https://notes.example/".into(),
            scopes: Scopes::parse("notes:read notes:list").unwrap(),
            lifetime: Lifetime::minutes(5),
            purpose: "a build".parse().ok(),
            acting: None,
        }
    }

    fn asked(json: &str) -> Result<PassRequest, String> {
        let asked: TokenAsked = serde_json::from_str(json).unwrap();
        let request = request(&asked).map_err(|problem| problem.message)?;
        bounds().narrow(&asked, request).map_err(|problem| {
            assert_eq!((problem.error.as_str(), problem.status()), (WIDER, 403));
            problem.message
        })
    }

    #[test]
    fn less_is_given_and_what_is_not_said_is_the_run_s() {
        let all = asked("{}").unwrap();
        assert_eq!(all.scopes, bounds().scopes);
        assert_eq!(
            (all.lifetime, all.resource.as_deref()),
            (Some(Lifetime::minutes(5)), Some("https://notes.example/"))
        );
        assert_eq!(all.purpose.unwrap().as_str(), "a build");
        let less = asked(
            r#"{"scope": "notes:list", "lifetime": 60, "resource": "https://notes.example/", "purpose": "x"}"#,
        );
        let less = less.unwrap();
        assert_eq!(
            (less.scopes.to_string().as_str(), less.lifetime),
            ("notes:list", Some(Lifetime::minutes(1)))
        );
        assert_eq!(less.purpose.unwrap().as_str(), "a build", "why is said outside");
        assert_eq!(
            asked(r#"{"scope": "notes:list notes:read"}"#).unwrap().scopes,
            bounds().scopes,
            "in one order"
        );
    }

    #[test]
    fn more_is_refused_with_the_rule_and_a_longer_life_is_cut() {
        for (json, names) in [
            (r#"{"scope": "notes:write"}"#, "`notes:read notes:list` at most, and `notes:write`"),
            (r#"{"scope": "notes:read notes:write"}"#, "and `notes:write` was"),
            (
                r#"{"resource": "https://notes.example"}"#,
                "for `https://notes.example/`, and `https://notes.example`",
            ),
            (r#"{"resource": "https://mail.example/"}"#, "and `https://mail.example/`"),
            (r#"{"issuer": "https://id.example/other"}"#, "one sign-in"),
            (r#"{"client_id": "another"}"#, "one sign-in"),
            (r#"{"profile": "work"}"#, "one sign-in"),
            (r#"{"org": "acme"}"#, "one sign-in"),
        ] {
            let why = asked(json).unwrap_err();
            assert!(why.contains(names), "{json}: {why}");
        }
        assert_eq!(asked(r#"{"lifetime": 86400}"#).unwrap().lifetime, Some(Lifetime::minutes(5)));
    }
}
