//! What clients prove themselves by: keys, and secrets where they were let off having one.

use hallpass_model::client::{Client, ClientAuthentication, KeptSecret};
use hallpass_model::id::CredentialId;
use hallpass_model::jose::PublicJwk;
use hallpass_model::lifetimes::{CLIENT_SECRET, CLIENT_SECRET_OVERLAP};
use hallpass_model::time::Timestamp;
use hallpass_store::{
    AddClientKeys, KeysNotChanged, RemoveClientKey, RemoveClientSecret, RotateClientSecret, SecretNotMade,
};
use zeroize::Zeroizing;

use super::clients::{find, key_set, load, published, secrets_until};
use crate::admin::forms::{
    ClientKeyAdd, ClientKeyOf, ClientKeyShown, ClientRotate, ClientSecretMade, ClientSecretOf,
    ClientSecretShown, ClientShown, OneOf, Revealed,
};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

/// Makes a new secret. The older one goes on for the overlap.
pub(super) async fn rotate(office: &Office, form: ClientRotate) -> Result<ClientSecretMade, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let now = office.now();
    if form.lifetime.is_some_and(|lifetime| lifetime > CLIENT_SECRET) {
        return Err(Refused::by_rule(format_args!("a client's secret lives {CLIENT_SECRET} at most"))
            .hint("rotate it before it ends: the older one goes on for a while"));
    }
    let rotate = RotateClientSecret {
        org: org.id,
        client: client.id,
        lifetime: form.lifetime,
        overlap: form.overlap.unwrap_or(CLIENT_SECRET_OVERLAP),
        until: secrets_until(form.until.as_deref(), client.kind, now)?,
    };
    let made = office.change(rotate).await?.map_err(|why| not_made(why, &form.handle))?;
    let older = match made.older {
        None => None,
        Some((id, _)) => list(office, &*load(office, &org, &form.handle).await?, now)
            .await?
            .into_iter()
            .find(|shown| shown.id == id.to_string()),
    };
    Ok(ClientSecretMade {
        client: form.handle,
        id: made.id.to_string(),
        secret: Revealed::new(Zeroizing::new(made.secret.expose_text().to_owned())),
        expires: made.expires.to_string(),
        older,
    })
}

fn not_made(why: SecretNotMade, handle: &str) -> Refused {
    let told = format!("no secret was made for `{handle}`: {why}");
    match why {
        SecretNotMade::NotThere => Refused::not_there(told),
        SecretNotMade::NoSecretKeeper | SecretNotMade::ExceptionTooLong => Refused::by_rule(told),
        SecretNotMade::NoException | SecretNotMade::ExceptionOver => Refused::by_rule(told).hint(format_args!(
            "give it a key, `hallpass admin client key add {handle} --new-key FILE`, or say until when it goes without: `--secrets-until DATE`"
        )),
        SecretNotMade::TooMany(_) => Refused::by_rule(told).hint(format_args!(
            "wait for that, or take one back: `hallpass admin client secret list {handle}` names them"
        )),
    }
}

/// A client's secrets, oldest first.
pub(super) async fn list_secrets(office: &Office, form: OneOf) -> Result<Vec<ClientSecretShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    list(office, &client, office.now()).await
}

async fn list(office: &Office, client: &Client, now: Timestamp) -> Result<Vec<ClientSecretShown>, Refused> {
    let Some(secrets) = &client.secrets else { return Ok(Vec::new()) };
    let uses = office.store().client_secret_uses(client.id).await?;
    let used = |secret: &KeptSecret| uses.iter().find(|(id, _)| *id == secret.id).and_then(|(_, used)| *used);
    let shown = secrets.kept.iter().map(|secret| ClientSecretShown {
        id: secret.id.to_string(),
        created: secret.created.to_string(),
        expires: secret.expires.min(secrets.until).to_string(),
        used: used(secret).map(|used| used.to_string()),
        state: if secrets.good(now).any(|good| good.id == secret.id) { "good" } else { "over" }.to_owned(),
    });
    Ok(shown.collect())
}

/// Takes a secret back.
pub(super) async fn remove_secret(office: &Office, form: ClientSecretOf) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let not_there = || {
        Refused::not_there(format_args!("`{}` has no secret `{}`", form.handle, form.secret))
            .hint(format_args!("`hallpass admin client secret list {}` names them", form.handle))
    };
    let secret: CredentialId = form.secret.parse().map_err(|_| not_there())?;
    match office.change(RemoveClientSecret { org: org.id, client: client.id, secret }).await? {
        true => find(office, &org, &form.handle).await,
        false => Err(not_there()),
    }
}

/// Adds keys to a client's.
pub(super) async fn add_keys(office: &Office, form: ClientKeyAdd) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let keys = key_set(&form.jwks)?.keys().to_vec();
    let outcome = office.change(AddClientKeys { org: org.id, client: client.id, keys }).await?;
    outcome.map_err(|why| keys_stay(why, &form.handle))?;
    find(office, &org, &form.handle).await
}

/// Takes a key from a client's.
pub(super) async fn remove_key(office: &Office, form: ClientKeyOf) -> Result<ClientShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let outcome = office.change(RemoveClientKey { org: org.id, client: client.id, kid: form.kid }).await?;
    outcome.map_err(|why| keys_stay(why, &form.handle))?;
    find(office, &org, &form.handle).await
}

fn keys_stay(why: KeysNotChanged, handle: &str) -> Refused {
    let told = format!("the keys of `{handle}` stay as they are: {why}");
    match why {
        KeysNotChanged::NotThere => Refused::not_there(told),
        KeysNotChanged::NoKey => Refused::not_there(told)
            .hint(format_args!("`hallpass admin client key list {handle}` names them")),
        KeysNotChanged::Known => Refused::conflict(told),
        KeysNotChanged::Last => Refused::by_rule(told).hint("add the next one first, or disable the client"),
        KeysNotChanged::Public => {
            Refused::by_rule(told).hint("register another client beside it, and move whoever uses this one")
        }
        KeysNotChanged::Published => Refused::by_rule(told)
            .hint("publish the newer key beside the older one; it is fetched when it is first seen"),
        KeysNotChanged::TooMany => Refused::by_rule(told).hint("remove those that are in use nowhere"),
        KeysNotChanged::NoKid => Refused::usage(told).hint("give each key a `kid` of its own in the JWK set"),
    }
}

/// A client's keys: those that are here, or those that it publishes now.
pub(super) async fn list_keys(office: &Office, form: OneOf) -> Result<Vec<ClientKeyShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let client = load(office, &org, &form.handle).await?;
    let shown = |key: &PublicJwk| ClientKeyShown {
        kid: key.kid().unwrap_or_default().to_owned(),
        thumbprint: key.thumbprint().to_string(),
    };
    Ok(match &client.authentication {
        ClientAuthentication::None | ClientAuthentication::Secret => Vec::new(),
        ClientAuthentication::PrivateKeyJwt(keys) => keys.keys().iter().map(shown).collect(),
        ClientAuthentication::PrivateKeyJwtAt(url) => {
            published(office, url).await?.keys().iter().map(shown).collect()
        }
    })
}
