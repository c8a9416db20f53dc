//! Organisations' own providers.

use hallpass_model::principal::Org;
use hallpass_model::secret::Secret;
use hallpass_model::wire::metadata::issuer_url;
use hallpass_store::{NewProvider, SetLoginProvider};

use crate::admin::forms::{InOrg, OrgLoginSet, OrgLoginShown};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

/// What people call a provider, at most, in characters: it stands on a button.
const TITLE_LEN_MAX: usize = 40;
/// Who we are there, at most, in bytes.
const CLIENT_ID_LEN_MAX: usize = 256;

pub(super) async fn set(office: &Office, form: OrgLoginSet) -> Result<OrgLoginShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let issuer = issuer_url(&form.issuer)
        .map_err(|bad| Refused::usage(format_args!("`{}` cannot be an issuer: {bad}", form.issuer)))?;
    let title = form.title.unwrap_or_else(|| issuer.host_str().unwrap_or_default().to_owned());
    if title.is_empty() || title.chars().count() > TITLE_LEN_MAX || title.chars().any(char::is_control) {
        return Err(Refused::usage(format_args!(
            "a title is one line of {TITLE_LEN_MAX} characters at most"
        )));
    }
    let fits = !form.client_id.is_empty() && form.client_id.len() <= CLIENT_ID_LEN_MAX;
    if !fits || form.client_id.chars().any(char::is_control) {
        return Err(Refused::usage("the client_id is what the provider calls this server: one short line"));
    }
    // What cannot be reached now would let nobody in: said before anybody depends on it.
    office.issuer().look_at_provider(&form.issuer).await.map_err(|why| {
        Refused::by_rule(format_args!("`{}` cannot be used: {why}", form.issuer)).hint(
            "is that its issuer, byte for byte, and does it answer from here? `hallpass serve --outside-network` names \
             networks of your own, `--outside-ca` their certificates",
        )
    })?;
    let provider = NewProvider {
        issuer: form.issuer,
        client_id: form.client_id,
        secret: form.client_secret.map(|secret| Secret::from_text(secret.as_str().to_owned())),
        name: title,
        newcomers: form.newcomers,
    };
    office.change(SetLoginProvider { org: org.id, provider: Some(provider) }).await?;
    shown(office, &org).await
}

pub(super) async fn show(office: &Office, form: InOrg) -> Result<OrgLoginShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    shown(office, &org).await
}

pub(super) async fn remove(office: &Office, form: InOrg) -> Result<OrgLoginShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    if org.requires.demand.sso {
        return Err(Refused::by_rule("the org requires that people log in by it, and nobody could any more")
            .hint("take that back first: `hallpass admin org require`"));
    }
    let before = shown(office, &org).await?;
    office.change(SetLoginProvider { org: org.id, provider: None }).await?;
    Ok(before)
}

async fn shown(office: &Office, org: &Org) -> Result<OrgLoginShown, Refused> {
    let found = office.store().login_provider(org.id).await?;
    let provider = found.ok_or_else(|| {
        Refused::not_there(format_args!("`{}` has no login of its own", org.name))
            .hint("`hallpass admin org login set` gives it one")
    })?;
    let issuer = office.base_url().issuer(&org.name);
    Ok(OrgLoginShown {
        org: org.name.to_string(),
        issuer: provider.issuer,
        client_id: provider.client_id,
        authentication: if provider.secret.is_some() { "client_secret" } else { "private_key_jwt" }
            .to_owned(),
        title: provider.name,
        newcomers: provider.newcomers,
        redirect_uri: format!("{issuer}/login/provider"),
        jwks_uri: format!("{issuer}/jwks"),
        created: provider.created.to_string(),
    })
}
