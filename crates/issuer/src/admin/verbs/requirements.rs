//! What an org requires of everything in it, and what is there that does not meet it.

use hallpass_model::principal::{Org, Requirements};
use hallpass_model::step_up::Demand;
use hallpass_store::SetOrgRequirements;

use super::{orgs, step_up, trusts};
use crate::admin::forms::{InOrg, ListOf, OrgRequire, OrgShown, UnmetShown};
use crate::admin::office::{Office, PAGE};
use crate::admin::refused::Refused;

pub(super) async fn require(office: &Office, form: OrgRequire) -> Result<OrgShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let requires = Requirements {
        demand: Demand { sso: form.sso_only, ..step_up::demand(form.acr.as_deref(), form.max_age)? },
        static_by_exception: form.static_by_exception,
    };
    if form.sso_only && office.store().login_provider(org.id).await?.is_none() {
        return Err(Refused::by_rule("the org has no login of its own, and nobody could log in any more")
            .hint("set one with `hallpass admin org login set` first"));
    }
    // Asking for what is so already is no change, and leaves no entry.
    if requires != org.requires {
        office.change(SetOrgRequirements { org: org.id, requires }).await?;
    }
    orgs::shown(office, office.org(form.org.as_deref()).await?).await
}

/// What does not meet what its org requires, each with the rule that it breaks. What a demand asks of people is not among it:
/// that is asked of them at each grant, and of each session at its next renewal.
pub(super) async fn check(office: &Office, form: InOrg) -> Result<Vec<UnmetShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut unmet = keys_unmet(office, &org).await?;
    unmet.extend(trusts_unmet(office, &org).await?);
    Ok(unmet)
}

async fn keys_unmet(office: &Office, org: &Org) -> Result<Vec<UnmetShown>, Refused> {
    let (now, most) = (office.now(), org.limits.api_key());
    let mut unmet = Vec::new();
    let mut after = None;
    loop {
        let page = office.store().list_api_keys(org.id, after.as_ref(), PAGE).await?;
        for key in &page.items {
            let secrets = office.store().api_key_secrets(key).await?;
            let alive: Vec<_> = secrets.iter().filter(|secret| secret.is_alive(key, now)).collect();
            if alive.is_empty() {
                continue;
            }
            let thing = format!("key:{}", key.handle);
            let excepted = key.exception.as_ref().is_some_and(|exception| now < exception.until);
            if org.requires.static_by_exception && !excepted {
                unmet.push(UnmetShown {
                    thing: thing.clone(),
                    rule: "static_credential".to_owned(),
                    told: match &key.exception {
                        None => "it is a long-lived secret, and there is no exception for it".to_owned(),
                        Some(over) => format!("the exception for it ended on {}", over.until),
                    },
                    hint: format!(
                        "move its users to something better: `hallpass admin key migrate {}`",
                        key.handle
                    ),
                });
            }
            if let Some(long) = alive.iter().find(|secret| secret.ends(key) > secret.created + most) {
                unmet.push(UnmetShown {
                    thing,
                    rule: "lifetime".to_owned(),
                    told: format!("a secret of it lives until {}: more than {most}", long.ends(key)),
                    hint: format!("`hallpass admin key rotate {}`, and revoke the older one", key.handle),
                });
            }
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.handle.clone()),
            _ => return Ok(unmet),
        }
    }
}

async fn trusts_unmet(office: &Office, org: &Org) -> Result<Vec<UnmetShown>, Refused> {
    let most = org.limits.access_token(Some(hallpass_model::lifetimes::ACCESS_TOKEN_MAX));
    let mut unmet = Vec::new();
    for trust in trusts::list(office, ListOf::all_of(org)).await? {
        let thing = format!("trust:{}", trust.handle);
        if trust.longest > most {
            unmet.push(UnmetShown {
                thing: thing.clone(),
                rule: "lifetime".to_owned(),
                told: format!("it gives tokens for {}, and they live {most} at most here", trust.longest),
                hint: format!("add it anew with `--longest {most}`; until then its tokens are shortened"),
            });
        }
        unmet.extend(trust.findings.into_iter().map(|finding| UnmetShown {
            thing: thing.clone(),
            rule: finding.rule,
            told: finding.told,
            hint: finding.hint,
        }));
    }
    Ok(unmet)
}
