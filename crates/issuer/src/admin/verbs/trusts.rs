//! Trusts.

use hallpass_model::jose::JwkSet;
use hallpass_model::lifetimes::ACCESS_TOKEN;
use hallpass_model::principal::{Handle, Org};
use hallpass_model::trust::{Condition, Gravity, IssuerKeys, Preset, Rule, Trust};
use hallpass_store::{AddTrust, SetTrustStanding, TrustNotAdded};

use super::clients::{list_scopes, scopes};
use crate::admin::forms::{ListOf, OneOf, TrustAdd, TrustShown, TrustTest, TrustTested, TrustWeighed};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: TrustAdd) -> Result<TrustShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let environment: Handle = form.environment.parse().map_err(Refused::usage)?;
    let scopes = scopes(&form.scopes)?;
    let rule = rule(office, &org, &form)?;
    let keys = keys(&form)?;
    let own_issuer = office.base_url().issuer(&org.name);
    let findings = hallpass_model::trust::lint(&rule, &own_issuer);
    // What would let strangers in is not written down, not even for a while.
    if let Some(worst) = findings.into_iter().find(|finding| finding.gravity == Gravity::Refused) {
        return Err(Refused::by_rule(format_args!("{}: {}", worst.rule, worst.told)).hint(worst.hint));
    }
    let client = office.store().find_client_by_handle(org.id, &form.client).await?;
    let client = client.ok_or_else(|| {
        Refused::not_there(format_args!("there is no client `{}` in `{}`", form.client, org.name))
            .hint("add one: `hallpass admin client add NAME --kind ci --owner OWNER`")
    })?;
    let longest = form.longest.unwrap_or(ACCESS_TOKEN);
    let add = AddTrust { org: org.id, handle, client: client.id, environment, rule, keys, scopes, longest };
    office.change(add).await?.map_err(|why| not_added(why, &form))?;
    find(office, &org, &form.handle).await
}

fn not_added(why: TrustNotAdded, form: &TrustAdd) -> Refused {
    let what = format!("the trust `{}`", form.handle);
    match why {
        TrustNotAdded::Directory(why) => Refused::not_added(why, &what, ""),
        TrustNotAdded::Kind => Refused::by_rule(format_args!("`{}` is for people: {why}", form.client))
            .hint("add a client for the job: `hallpass admin client add NAME --kind ci --owner OWNER`"),
        TrustNotAdded::Environment => Refused::by_rule(why)
            .hint("name the client's own by `--environment`; `hallpass admin client show` says which it is"),
        TrustNotAdded::Scope => Refused::by_rule(why)
            .hint("`hallpass admin client show` lists its scopes; a trust gives some of them"),
        TrustNotAdded::NoClient => Refused::not_there(why),
        TrustNotAdded::TooLong | TrustNotAdded::TooMany => Refused::by_rule(why),
    }
}

fn rule(office: &Office, org: &Org, form: &TrustAdd) -> Result<Rule, Refused> {
    let preset: Preset = form.preset.parse().map_err(Refused::usage)?;
    let issuer = match (&form.issuer, preset.issuer()) {
        (Some(issuer), _) => issuer.clone(),
        (None, Some(only)) => only.to_owned(),
        (None, None) => {
            return Err(Refused::usage(format_args!("`{preset}` has many issuers")).hint(match preset {
                Preset::Spiffe => "name the trust domain: `--issuer spiffe://prod.example`",
                _ => "name the issuer as its tokens do in `iss`: `--issuer https://...`",
            }));
        }
    };
    let conditions: Result<Vec<Condition>, _> = form.when.iter().map(|text| text.parse()).collect();
    let conditions = conditions.map_err(Refused::usage)?;
    if conditions.len() > hallpass_model::trust::CONDITIONS_MAX {
        let most = hallpass_model::trust::CONDITIONS_MAX;
        return Err(Refused::usage(format_args!("a trust has {most} conditions at most")));
    }
    let audience = form.audience.clone().unwrap_or_else(|| office.base_url().issuer(&org.name));
    Ok(Rule { preset, issuer, audience, conditions })
}

fn keys(form: &TrustAdd) -> Result<IssuerKeys, Refused> {
    match (&form.jwks_uri, &form.jwks) {
        (Some(_), Some(_)) => Err(Refused::usage("keys are fetched or given, not both")),
        (Some(url), None) => Ok(IssuerKeys::At(url.clone())),
        (None, Some(set)) => {
            let set: JwkSet = serde_json::from_value(set.clone())
                .map_err(|error| Refused::usage(format_args!("the keys cannot be read: {error}")))?;
            match set.keys().is_empty() {
                true => Err(Refused::usage("there is no key in it that signs")),
                false => Ok(IssuerKeys::Given(set)),
            }
        }
        (None, None) if form.preset == Preset::Spiffe.name() => {
            Err(Refused::usage("a trust domain says nowhere where its keys are")
                .hint("name its bundle endpoint with `--jwks-uri`, or give its keys with `--jwks`"))
        }
        (None, None) => Ok(IssuerKeys::Discovered),
    }
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<TrustShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_trusts(org.id, after, size).await?;
        pages.turn(&page, |trust| trust.handle.clone());
        for trust in &page.items {
            all.push(shown(office, &org, trust).await?);
        }
    }
    Ok(all)
}

/// The trusts whose rules have something wrong with them, each with what it is.
pub(super) async fn lint(office: &Office, form: ListOf) -> Result<Vec<TrustShown>, Refused> {
    let all = list(office, form).await?;
    Ok(all.into_iter().filter(|trust| !trust.findings.is_empty()).collect())
}

pub(super) async fn show(office: &Office, form: OneOf) -> Result<TrustShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    find(office, &org, &form.handle).await
}

pub(super) async fn disable(office: &Office, form: OneOf) -> Result<TrustShown, Refused> {
    stand(office, form, false).await
}

pub(super) async fn enable(office: &Office, form: OneOf) -> Result<TrustShown, Refused> {
    stand(office, form, true).await
}

async fn stand(office: &Office, form: OneOf, active: bool) -> Result<TrustShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let trust = load(office, &org, &form.handle).await?;
    let outcome = office.change(SetTrustStanding { org: org.id, trust: trust.id, active }).await?;
    Refused::unless_set(outcome, &format!("trust `{}`", form.handle))?;
    find(office, &org, &form.handle).await
}

/// How a token stands to the trusts of an org. Nothing is issued.
pub(super) async fn test(office: &Office, form: TrustTest) -> Result<TrustTested, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    if let Some(handle) = &form.trust {
        load(office, &org, handle).await?;
    }
    let tested = office
        .issuer()
        .test_outside_token(org.id, form.token.text().trim(), form.trust.as_deref(), office.now())
        .await?;
    let trusts = tested.trusts.into_iter().map(|trust| TrustWeighed {
        lets_in: trust.lets_in(),
        trust: trust.handle,
        wrong: trust.wrong,
        lines: trust.weighed.map_or_else(Vec::new, |weighed| weighed.lines),
    });
    Ok(TrustTested { nobody: tested.nobody, trusts: trusts.collect() })
}

async fn load(office: &Office, org: &Org, handle: &str) -> Result<Trust, Refused> {
    let trust = office.store().find_trust_by_handle(org.id, handle).await?;
    trust.ok_or_else(|| {
        Refused::not_there(format_args!("there is no trust `{handle}` in `{}`", org.name))
            .hint("`hallpass admin trust list` shows them")
    })
}

/// The client that a trust lets somebody become, by its `client_id`.
pub(super) async fn client_of(office: &Office, org: &Org, handle: &str) -> Result<String, Refused> {
    Ok(find(office, org, handle).await?.client)
}

async fn find(office: &Office, org: &Org, handle: &str) -> Result<TrustShown, Refused> {
    let trust = load(office, org, handle).await?;
    shown(office, org, &trust).await
}

async fn shown(office: &Office, org: &Org, trust: &Trust) -> Result<TrustShown, Refused> {
    let client = office.store().find_client(trust.client).await?;
    let (handle, owner) = match client {
        Some(client) => (client.handle.to_string(), office.render_owner(&client.owner).await?),
        None => (trust.client.to_string(), String::new()),
    };
    Ok(TrustShown {
        id: trust.id.to_string(),
        org: org.name.to_string(),
        handle: trust.handle.to_string(),
        client: handle,
        owner,
        environment: trust.environment.to_string(),
        preset: trust.rule.preset.to_string(),
        issuer: trust.rule.issuer.clone(),
        audience: trust.rule.audience.clone(),
        when: trust.rule.conditions.iter().map(ToString::to_string).collect(),
        keys: match &trust.keys {
            IssuerKeys::Discovered => "discovered".to_owned(),
            IssuerKeys::At(url) => url.clone(),
            IssuerKeys::Given(_) => "given".to_owned(),
        },
        scopes: list_scopes(&trust.scopes),
        longest: trust.longest,
        state: render_standing(trust.standing),
        created: trust.created.to_string(),
        findings: hallpass_model::trust::lint(&trust.rule, &office.base_url().issuer(&org.name)),
    })
}
