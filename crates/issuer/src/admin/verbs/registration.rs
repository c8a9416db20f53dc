//! Whether clients may register themselves, what they may have, and what they register with.

use hallpass_model::lifetimes::INITIAL_ACCESS_TOKEN_MAX;
use hallpass_model::principal::{Handle, Org};
use hallpass_store::{
    AllowRegistration, ForbidRegistration, MakeInitialToken, REGISTRATION_USES_MAX, SelfRegistered,
};
use zeroize::Zeroizing;

use super::clients::{list_scopes, parse_environment, scopes};
use crate::admin::forms::{
    InOrg, RegisteredShown, RegistrationAllow, RegistrationForbidden, RegistrationShown, RegistrationToken,
    RegistrationTokenMade, Revealed,
};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn allow(office: &Office, form: RegistrationAllow) -> Result<RegistrationShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let allow = AllowRegistration {
        org: org.id,
        owner: office.owner(&org, &form.owner).await?,
        scopes: scopes(&form.scopes)?,
        environment: parse_environment(form.environment.as_deref())?,
    };
    let added = office.change(allow).await?;
    added.map_err(|why| Refused::not_added(why, "registration", &form.owner))?;
    shown(office, &org).await
}

pub(super) async fn show(office: &Office, form: InOrg) -> Result<RegistrationShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    shown(office, &org).await
}

pub(super) async fn token(
    office: &Office,
    form: RegistrationToken,
) -> Result<RegistrationTokenMade, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let uses = form.uses.unwrap_or(1);
    if !(1..=REGISTRATION_USES_MAX).contains(&uses) {
        return Err(Refused::by_rule(format_args!(
            "a token registers 1 to {REGISTRATION_USES_MAX} clients, not {uses}"
        ))
        .hint("make another when it is used up"));
    }
    if form.lifetime.is_some_and(|lifetime| lifetime > INITIAL_ACCESS_TOKEN_MAX) {
        return Err(Refused::by_rule(format_args!(
            "a token to register with lives {INITIAL_ACCESS_TOKEN_MAX} at most"
        ))
        .hint("make another when it is over: it is needed once, while a program is set up"));
    }
    let make = MakeInitialToken { org: org.id, uses, lifetime: form.lifetime };
    let made = office.change(make).await?.ok_or_else(|| not_allowed(&org))?;
    Ok(RegistrationTokenMade {
        org: org.name.to_string(),
        endpoint: endpoint(office, &org),
        id: made.id.to_string(),
        token: Revealed::new(Zeroizing::new(made.token.expose_text().to_owned())),
        uses: made.uses,
        expires: made.expires.to_string(),
    })
}

pub(super) async fn forbid(office: &Office, form: InOrg) -> Result<RegistrationForbidden, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let left = office.change(ForbidRegistration { org: org.id }).await?;
    let clients_left = left.ok_or_else(|| not_allowed(&org))?;
    Ok(RegistrationForbidden { org: org.name.to_string(), clients_left })
}

async fn shown(office: &Office, org: &Org) -> Result<RegistrationShown, Refused> {
    let policy = office.store().registration_policy(org.id).await?.ok_or_else(|| not_allowed(org))?;
    let token = policy.token.filter(|token| token.uses > 0 && office.now() < token.expires);
    let registered = office.store().registered_clients(org.id).await?;
    Ok(RegistrationShown {
        org: org.name.to_string(),
        endpoint: endpoint(office, org),
        owner: office.render_owner(&policy.owner).await?,
        scopes: list_scopes(&policy.scopes),
        environment: policy.environment.as_ref().map(Handle::to_string),
        created: policy.created.to_string(),
        uses: token.map(|token| token.uses),
        expires: token.map(|token| token.expires.to_string()),
        clients: registered.into_iter().map(registered_shown).collect(),
    })
}

fn registered_shown(client: SelfRegistered) -> RegisteredShown {
    RegisteredShown { handle: client.handle, name: client.name, created: client.created.to_string() }
}

fn endpoint(office: &Office, org: &Org) -> String {
    format!("{}/register", office.issuer().settings.base_url.issuer(&org.name))
}

fn not_allowed(org: &Org) -> Refused {
    Refused::not_there(format_args!("no client may register itself in `{}`", org.name))
        .hint("`hallpass admin client registration allow` lets them, and says what they may have")
}
