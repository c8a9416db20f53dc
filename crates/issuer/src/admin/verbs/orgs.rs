//! Orgs, and what they shorten.

use hallpass_model::jose::{Algorithm, SigningKey};
use hallpass_model::lifetimes;
use hallpass_model::principal::{Handle, Org, OrgLimits};
use hallpass_model::secret::Secret;
use hallpass_model::time::Lifetime;
use hallpass_store::{
    AddOrg, SetOrgLimits, SetOrgStanding, SigningKeyRotated, SigningKeyRow, Taken, WhyRotated,
};

use super::links::enrol;
use super::people::shown as shown_person;
use crate::admin::forms::{
    InOrg, Nothing, OrgAdd, OrgAdded, OrgKeysShown, OrgLimitsSet, OrgRotateKey, OrgRungsSet, OrgShown,
    SigningKeyShown,
};
use crate::admin::office::{Office, PAGE, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: OrgAdd) -> Result<OrgAdded, Refused> {
    let name = Handle::org_name(&form.name).map_err(Refused::usage)?;
    let handle: Handle = form.administrator.parse().map_err(Refused::usage)?;
    let key = SigningKey::generate();
    let add = AddOrg {
        title: form.title.unwrap_or_else(|| form.name.clone()),
        administrator: (handle.clone(), form.administrator_name.unwrap_or(form.administrator)),
        signing: SigningKeyRow { kid: key.kid().to_owned(), pkcs8: Secret::new(key.to_pkcs8().to_vec()) },
        name,
    };
    let added = office.change(add).await?.map_err(|Taken| {
        Refused::conflict(format_args!("the name `{}` is taken: names of orgs are never reused", form.name))
    })?;
    let org = office.org(Some(&form.name)).await?;
    let administrator = office.person(&org, handle.as_str()).await?;
    let link = enrol(office, &org, added.administrator).await?;
    Ok(OrgAdded {
        administrator: shown_person(office, &org, administrator).await?,
        org: shown(office, org).await?,
        link,
    })
}

pub(super) async fn list(office: &Office, Nothing {}: Nothing) -> Result<Vec<OrgShown>, Refused> {
    let mut all = Vec::new();
    let mut after: Option<Handle> = None;
    loop {
        let page = office.store().list_orgs(after.as_ref(), PAGE).await?;
        after = page.items.last().map(|org| org.name.clone());
        for org in page.items {
            all.push(shown(office, org).await?);
        }
        if !page.more {
            return Ok(all);
        }
    }
}

pub(super) async fn show(office: &Office, form: InOrg) -> Result<OrgShown, Refused> {
    shown(office, office.org(form.org.as_deref()).await?).await
}

pub(super) async fn disable(office: &Office, form: InOrg) -> Result<OrgShown, Refused> {
    stand(office, form.org.as_deref(), false).await
}

pub(super) async fn enable(office: &Office, form: InOrg) -> Result<OrgShown, Refused> {
    stand(office, form.org.as_deref(), true).await
}

async fn stand(office: &Office, name: Option<&str>, active: bool) -> Result<OrgShown, Refused> {
    let org = office.org(name).await?;
    let outcome = office.change(SetOrgStanding { org: org.id, active }).await?;
    Refused::unless_set(outcome, &format!("org `{}`", org.name))?;
    shown(office, office.org(name).await?).await
}

pub(super) async fn keys(office: &Office, form: InOrg) -> Result<OrgKeysShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let now = office.now();
    let kept = office.store().list_signing_keys(org.id, now).await?;
    let keys = kept.iter().map(|key| SigningKeyShown {
        kid: key.kid.clone(),
        algorithm: SigningKey::from_pkcs8(key.pkcs8.expose())
            .map(|key| key.algorithm().text().to_owned())
            .unwrap_or_default(),
        state: match key.retired {
            Some(_) => "signed",
            None if key.signs_from > now => "next",
            None => "signs",
        }
        .to_owned(),
        signs_from: key.signs_from.to_string(),
        signed_until: key.retired.map(|at| at.to_string()),
    });
    Ok(OrgKeysShown { org: org.name.to_string(), keys: keys.collect() })
}

pub(super) async fn rotate_key(office: &Office, form: OrgRotateKey) -> Result<OrgKeysShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let why = if form.emergency { WhyRotated::Emergency } else { WhyRotated::Command };
    let algorithm = match form.algorithm.as_deref() {
        None => None,
        Some("ES256") => Some(Algorithm::Es256),
        Some("EdDSA") => Some(Algorithm::EdDsa),
        Some(other) => {
            return Err(Refused::usage(format_args!("`{other}` is nothing to sign by: `ES256` or `EdDSA`")));
        }
    };
    match office.issuer().rotate_signing_key(office.actor(), org.id, why, algorithm).await? {
        SigningKeyRotated::Done { .. } => keys(office, InOrg { org: form.org }).await,
        SigningKeyRotated::Already { kid, signs_from } => Err(Refused::conflict(format_args!(
            "another key is on its way: `{kid}` signs from {signs_from} on"
        ))
        .hint("where the one that signs may be somebody else's, `--emergency` waits for nothing")),
        SigningKeyRotated::NotThere => {
            Err(Refused::not_there(format_args!("there is no org `{}`", org.name)))
        }
    }
}

pub(super) async fn limits(office: &Office, form: OrgLimitsSet) -> Result<OrgShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let asked = [
        ("an access token", form.access_token, lifetimes::ACCESS_TOKEN_MAX),
        ("an idle session", form.session_idle, lifetimes::SESSION_IDLE),
        ("a session", form.session_absolute, lifetimes::SESSION_ABSOLUTE),
        ("an API key", form.api_key, lifetimes::API_KEY_MAX),
    ];
    for (what, wanted, most) in asked {
        if let Some(wanted) = wanted.filter(|wanted| *wanted > most) {
            return Err(Refused::by_rule(format_args!(
                "{what} lives at most {most}, and `{wanted}` is longer"
            ))
            .hint("an org may shorten a lifetime, never lengthen it"));
        }
        if wanted == Some(Lifetime::millis(0)) {
            return Err(Refused::usage(format_args!("{what} cannot live no time at all")));
        }
    }
    let limits = match form.reset {
        true => OrgLimits { rungs: org.limits.rungs, ..OrgLimits::default() },
        false => OrgLimits {
            access_token: form.access_token.or(org.limits.access_token),
            session_idle: form.session_idle.or(org.limits.session_idle),
            session_absolute: form.session_absolute.or(org.limits.session_absolute),
            api_key: form.api_key.or(org.limits.api_key),
            rungs: org.limits.rungs,
        },
    };
    // Asking only to see is no change, and leaves no entry.
    if limits != org.limits {
        office.change(SetOrgLimits { org: org.id, limits }).await?;
    }
    shown(office, office.org(form.org.as_deref()).await?).await
}

pub(super) async fn rungs(office: &Office, form: OrgRungsSet) -> Result<OrgShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let limits = OrgLimits { rungs: form.rungs.try_into().ok(), ..org.limits };
    if limits != org.limits {
        office.change(SetOrgLimits { org: org.id, limits }).await?;
    }
    shown(office, office.org(form.org.as_deref()).await?).await
}

pub(super) async fn shown(office: &Office, org: Org) -> Result<OrgShown, Refused> {
    let administrators = match office.store().find_team(org.administrators).await? {
        Some(team) => office.handles(team.members).await?,
        None => Vec::new(),
    };
    Ok(OrgShown {
        id: org.id.to_string(),
        issuer: office.base_url().issuer(&org.name),
        name: org.name.to_string(),
        title: org.title,
        state: render_standing(org.standing),
        administrators,
        limits: org.limits,
        requires: org.requires,
        created: org.created.to_string(),
    })
}
