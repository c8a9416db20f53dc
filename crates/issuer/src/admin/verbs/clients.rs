//! Clients.

use hallpass_model::client::{Client, ClientAuthentication, ClientKind};
use hallpass_model::jose::JwkSet;
use hallpass_model::lifetimes::{CLIENT_SECRETS, OLDER_ASSERTIONS};
use hallpass_model::principal::{Handle, Org};
use hallpass_model::time::{Lifetime, Timestamp};
use hallpass_model::wire::oauth::{GrantType, Scopes};
use hallpass_model::wire::redirect::RedirectUri;
use hallpass_store::{AddClient, NotFapi, SetClientEnvironment, SetClientFapi, SetClientStanding};

use crate::admin::forms::{ClientAdd, ClientEnvironment, ClientFapi, ClientShown, ListOf, OneOf};
use crate::admin::office::{Office, render_standing};
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: ClientAdd) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let kind = parse_kind(&form.kind)?;
    let owner = office.owner(&org, &form.owner).await?;
    let secrets_until = secrets_until(form.secrets_until.as_deref(), kind, office.now())?;
    let authentication = authentication(office, &form, kind, secrets_until).await?;
    let older = older_assertions(form.older_assertions_until.as_deref(), &authentication, office.now())?;
    let add = AddClient {
        org: org.id,
        handle,
        name: form.name.clone().unwrap_or_else(|| form.handle.clone()),
        kind,
        owner,
        authentication,
        grant_types: grant_types(kind, &form.grant_types)?,
        redirect_uris: redirect_uris(&form.redirect_uris)?,
        scopes: scopes(&form.scopes)?,
        any_scope: false,
        device_flow_barred: scopes(&form.device_flow_barred)?,
        older_assertions_until: older,
        secrets_until,
        environment: parse_environment(form.environment.as_deref())?,
    };
    office
        .change(add)
        .await?
        .map_err(|why| Refused::not_added(why, &format!("the client `{}`", form.handle), &form.owner))?;
    find(office, &org, &form.handle).await
}

pub(super) async fn environment(office: &Office, form: ClientEnvironment) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let environment = parse_environment(form.environment.as_deref())?;
    let client = load(office, &org, &form.handle).await?;
    let set = SetClientEnvironment { org: org.id, client: client.id, environment };
    match office.change(set).await? {
        true => find(office, &org, &form.handle).await,
        false => Err(Refused::not_there(format_args!("there is no client `{}`", form.handle))),
    }
}

pub(super) async fn fapi(office: &Office, form: ClientFapi) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let set = SetClientFapi { org: org.id, client: client.id, fapi: form.fapi };
    match office.change(set).await? {
        Ok(()) => find(office, &org, &form.handle).await,
        Err(NotFapi::NotThere) => Err(Refused::not_there(format_args!("there is no client `{}`", form.handle))),
        Err(why) => Err(Refused::by_rule(format_args!("`{}` cannot be held to it: {why}", form.handle)).hint(match why {
            NotFapi::Secret => "give it a key (`hallpass admin client key add`), and add it anew without `--secrets-until`",
            NotFapi::Redirect => "add it anew with redirect URIs that are https or loopback",
            _ => "give it a key: `hallpass admin client key add`",
        })),
    }
}

pub(super) fn parse_environment(text: Option<&str>) -> Result<Option<Handle>, Refused> {
    text.map(str::parse).transpose().map_err(Refused::usage)
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<ClientShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_clients(org.id, after, size).await?;
        pages.turn(&page, |client| client.handle.clone());
        for client in &page.items {
            all.push(shown(office, &org, client).await?);
        }
    }
    Ok(all)
}

pub(super) async fn show(office: &Office, form: OneOf) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    find(office, &org, &form.handle).await
}

pub(super) async fn disable(office: &Office, form: OneOf) -> Result<ClientShown, Refused> {
    stand(office, form, false).await
}

pub(super) async fn enable(office: &Office, form: OneOf) -> Result<ClientShown, Refused> {
    stand(office, form, true).await
}

async fn stand(office: &Office, form: OneOf, active: bool) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let outcome = office.change(SetClientStanding { org: org.id, client: client.id, active }).await?;
    Refused::unless_set(outcome, &format!("client `{}`", form.handle))?;
    find(office, &org, &form.handle).await
}

pub(super) async fn load(
    office: &Office,
    org: &Org,
    handle: &str,
) -> Result<std::sync::Arc<Client>, Refused> {
    let client = office.store().find_client_by_handle(org.id, handle).await?;
    client.ok_or_else(|| Refused::not_there(format_args!("there is no client `{handle}` in `{}`", org.name)))
}

pub(super) async fn find(office: &Office, org: &Org, handle: &str) -> Result<ClientShown, Refused> {
    let client = load(office, org, handle).await?;
    shown(office, org, &client).await
}

fn parse_kind(text: &str) -> Result<ClientKind, Refused> {
    Ok(match text {
        "cli" => ClientKind::Cli,
        "service" => ClientKind::Service,
        "ci" => ClientKind::Ci,
        "agent" => ClientKind::Agent,
        _ => {
            return Err(Refused::usage(format_args!(
                "`{text}` is no kind of client: `cli`, `service`, `ci` or `agent`"
            )));
        }
    })
}

fn render_kind(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Cli => "cli",
        ClientKind::Service => "service",
        ClientKind::Ci => "ci",
        ClientKind::Agent => "agent",
    }
}

/// A service has a key, or publishes one, or has a secret until a date: nothing else could prove that it is itself. The
/// others may have a key.
async fn authentication(
    office: &Office,
    form: &ClientAdd,
    kind: ClientKind,
    secrets_until: Option<Timestamp>,
) -> Result<ClientAuthentication, Refused> {
    match (&form.jwks, &form.jwks_uri) {
        (Some(_), Some(_)) => Err(Refused::usage("keys are fetched or given, not both")),
        (Some(jwks), None) => Ok(ClientAuthentication::PrivateKeyJwt(key_set(jwks)?)),
        (None, Some(url)) => {
            published(office, url).await?;
            Ok(ClientAuthentication::PrivateKeyJwtAt(url.clone()))
        }
        (None, None) if secrets_until.is_some() => Ok(ClientAuthentication::Secret),
        (None, None) if kind == ClientKind::Service => {
            Err(Refused::usage("a service proves itself by a key, and none was given").hint(
                "give `--new-key FILE` to make one, `--jwks FILE` with its public half, or `--jwks-uri URL` where it publishes it",
            ))
        }
        (None, None) => Ok(ClientAuthentication::None),
    }
}

/// A set of public keys, as it was given.
pub(super) fn key_set(jwks: &serde_json::Value) -> Result<JwkSet, Refused> {
    let keys: JwkSet = serde_json::from_value(jwks.clone())
        .map_err(|error| Refused::usage(format_args!("the JWK set cannot be used: {error}")))?;
    match keys.keys().is_empty() {
        true => Err(Refused::usage("the JWK set holds no key that can be used")
            .hint("EC P-256, Ed25519, or RSA of 2048 bits or more")),
        false => Ok(keys),
    }
}

/// The keys that a client publishes, fetched as they will be when it asks for a token.
pub(super) async fn published(office: &Office, url: &str) -> Result<JwkSet, Refused> {
    office.issuer().published_keys(url).await.map_err(|error| {
        Refused::by_rule(error).hint(
            "it must be an https address that this server reaches, with a JWK set of public keys there, no larger than a page",
        )
    })
}

/// Until when the client is let off the newer form of assertions.
fn older_assertions(
    typed: Option<&str>,
    authentication: &ClientAuthentication,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refused> {
    let Some(typed) = typed else { return Ok(None) };
    if matches!(authentication, ClientAuthentication::None | ClientAuthentication::Secret) {
        return Err(Refused::usage("a client without a key sends no assertions, older or newer"));
    }
    exception_end(
        typed,
        OLDER_ASSERTIONS,
        "an exception has an end; by then the client's library has caught up, or somebody looks again",
        now,
    )
    .map(Some)
}

/// Until when the client may prove itself by a secret.
pub(super) fn secrets_until(
    typed: Option<&str>,
    kind: ClientKind,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refused> {
    let Some(typed) = typed else { return Ok(None) };
    if kind != ClientKind::Service {
        return Err(Refused::by_rule(format_args!("a client of kind `{}` has no secret", render_kind(kind)))
            .hint(kind.better_pattern()));
    }
    exception_end(
        typed,
        CLIENT_SECRETS,
        "a secret is an exception, and an exception has an end; by then the service has a key, or somebody looks again",
        now,
    )
    .map(Some)
}

/// The end of an exception: a day, which it ends before, or a moment.
fn exception_end(
    typed: &str,
    most: Lifetime,
    hint: &'static str,
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let until = parse_moment(typed)?;
    if until <= now {
        return Err(Refused::usage(format_args!("`{typed}` is over already")));
    }
    if until > now + most {
        return Err(Refused::by_rule(format_args!("`{typed}` is more than {most} away")).hint(hint));
    }
    Ok(until)
}

/// A day, as it begins (UTC), or a moment.
pub(super) fn parse_moment(typed: &str) -> Result<Timestamp, Refused> {
    let day = typed.parse::<jiff::civil::Date>().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    let moment =
        typed.parse::<jiff::Timestamp>().or_else(|_| day.map(|day| day.timestamp())).map_err(|_| {
            Refused::usage(format_args!("`{typed}` is no date"))
                .hint("write `2027-03-31`, or a moment such as `2027-03-31T12:00:00Z`")
        })?;
    Ok(Timestamp::from_millis(moment.as_millisecond()))
}

/// Those asked for, by their short or full names; all of the kind's where none is.
fn grant_types(kind: ClientKind, asked: &[String]) -> Result<Vec<GrantType>, Refused> {
    if asked.is_empty() {
        return Ok(kind.grant_types().to_vec());
    }
    let mut grant_types = Vec::new();
    for text in asked {
        let grant_type = match text.as_str() {
            "device_code" => GrantType::DeviceCode,
            "token-exchange" => GrantType::TokenExchange,
            text => GrantType::parse(text),
        };
        if !kind.grant_types().contains(&grant_type) {
            return Err(Refused::by_rule(format_args!(
                "a client of kind `{}` may not use `{text}`",
                render_kind(kind)
            ))
            .hint(kind.better_pattern()));
        }
        grant_types.push(grant_type);
    }
    Ok(grant_types)
}

fn redirect_uris(uris: &[String]) -> Result<Vec<String>, Refused> {
    for uri in uris {
        if let Err(bad) = RedirectUri::parse(uri) {
            let refused = Refused::usage(format_args!("`{uri}` cannot be a redirect URI: {bad}"));
            return Err(match bad.hint() {
                Some(hint) => refused.hint(hint),
                None => refused,
            });
        }
    }
    Ok(uris.to_vec())
}

pub(super) fn scopes(texts: &[String]) -> Result<Scopes, Refused> {
    // Each may itself be a list, as scopes are written everywhere else.
    Scopes::collect(texts.iter().flat_map(|text| text.split_ascii_whitespace()))
        .map_err(|bad| Refused::usage(format_args!("the scopes cannot be used: {bad}")))
}

pub(super) fn list_scopes(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(str::to_owned).collect()
}

async fn shown(office: &Office, org: &Org, client: &Client) -> Result<ClientShown, Refused> {
    let demand = office.store().client_demand(client.id).await?;
    Ok(ClientShown {
        id: client.id.to_string(),
        org: org.name.to_string(),
        handle: client.handle.to_string(),
        document: client.document.clone(),
        name: client.name.clone(),
        kind: render_kind(client.kind).to_owned(),
        owner: office.render_owner(&client.owner).await?,
        state: render_standing(client.standing),
        authentication: match &client.authentication {
            ClientAuthentication::None => "none".to_owned(),
            ClientAuthentication::PrivateKeyJwt(_) | ClientAuthentication::PrivateKeyJwtAt(_) => {
                "private_key_jwt".to_owned()
            }
            ClientAuthentication::Secret => "client_secret".to_owned(),
        },
        jwks_uri: match &client.authentication {
            ClientAuthentication::PrivateKeyJwtAt(url) => Some(url.clone()),
            _ => None,
        },
        secrets_until: client.secrets.as_ref().map(|secrets| secrets.until.to_string()),
        grant_types: client.grant_types.iter().map(|grant_type| grant_type.text().to_owned()).collect(),
        redirect_uris: client.redirect_uris.clone(),
        scopes: list_scopes(&client.scopes),
        any_scope: client.any_scope,
        device_flow_barred: list_scopes(&client.device_flow_barred),
        older_assertions_until: client.older_assertions_until.map(|until| until.to_string()),
        environment: client.environment.as_ref().map(Handle::to_string),
        acr: demand.acr.map(|acr| acr.text().to_owned()),
        max_age: demand.max_age,
        pushed_requests: client.pushed_only || client.fapi,
        fapi: client.fapi,
        created: client.created.to_string(),
    })
}
