//! API keys.

use hallpass_model::advice::{Advice, instead_of_key};
use hallpass_model::api_key::{ApiKey, Excepted, KeySecret};
use hallpass_model::id::CredentialId;
use hallpass_model::network::Network;
use hallpass_model::principal::{Handle, Org};
use hallpass_model::purpose::Purpose;
use hallpass_model::time::Timestamp;
use hallpass_store::{
    AddApiKey, KeyMade, KeyNotAdded, KeyNotRotated, KeyRevoked, KeyUser, MigrateApiKey, NotMigrating,
    RevokeApiKey, RotateApiKey,
};
use zeroize::Zeroizing;

use super::clients::{list_scopes, parse_moment, scopes};
use crate::admin::forms::{
    KeyAdd, KeyMadeShown, KeyMigrate, KeyMigration, KeyMove, KeyRevoke, KeyRotate, KeySecretShown, KeyShown,
    KeyUserShown, ListOf, OneOf, Revealed,
};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn add(office: &Office, form: KeyAdd) -> Result<KeyMadeShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let handle: Handle = form.handle.parse().map_err(Refused::usage)?;
    let client = super::clients::load(office, &org, &form.client).await.map_err(|refused| {
        refused
            .hint("add one for whoever has the key: `hallpass admin client add NAME --kind ci --owner OWNER`")
    })?;
    let owner = match &form.owner {
        Some(owner) => Some(office.owner(&org, owner).await?),
        None => None,
    };
    let networks: Result<Vec<Network>, _> = form.networks.iter().map(|text| text.parse()).collect();
    let add = AddApiKey {
        org: org.id,
        handle,
        client: client.id,
        owner,
        scopes: scopes(&form.scopes)?,
        resources: form.resources.clone(),
        networks: networks.map_err(Refused::usage)?,
        lasts: form.lasts,
        direct: excepted(form.direct_until.as_deref(), form.reason.as_deref())?,
        exception: excepted(form.exception_until.as_deref(), form.exception.as_deref())?,
    };
    let made = office.change(add).await?.map_err(|why| not_added(why, &form))?;
    let key = load(office, &org, &form.handle).await?;
    made_shown(office, &org, &key, made, None).await
}

fn excepted(until: Option<&str>, reason: Option<&str>) -> Result<Option<Excepted>, Refused> {
    match (until, reason) {
        (None, None) => Ok(None),
        (Some(until), Some(reason)) => {
            let reason: Purpose = reason.parse().map_err(Refused::usage)?;
            Ok(Some(Excepted { reason, until: parse_moment(until)? }))
        }
        _ => Err(Refused::usage("an exception has a reason and an end: give both")),
    }
}

fn not_added(why: KeyNotAdded, form: &KeyAdd) -> Refused {
    let what = format!("the API key `{}`", form.handle);
    match why {
        KeyNotAdded::Directory(why) => {
            Refused::not_added(why, &what, form.owner.as_deref().unwrap_or("of the client"))
        }
        KeyNotAdded::NoClient => Refused::not_there(why),
        KeyNotAdded::NoResource(_) => {
            Refused::not_there(why).hint("`hallpass admin resource list` shows them")
        }
        KeyNotAdded::Kind => Refused::by_rule(format_args!("`{}` is for people: {why}", form.client))
            .hint("people sign in; for a job, `hallpass admin client add NAME --kind ci --owner OWNER`"),
        KeyNotAdded::Scope => Refused::by_rule(why)
            .hint("`hallpass admin client show` and `resource show` list them; a key has some of both"),
        KeyNotAdded::Environments => Refused::by_rule(why)
            .hint("make a key for each environment: what leaks in one must not open another"),
        KeyNotAdded::Environment => Refused::by_rule(why)
            .hint("`hallpass admin client show` says which the client's is; add a client for the other"),
        KeyNotAdded::TooLong(_) => {
            Refused::by_rule(why).hint("it can be rotated before it ends: `hallpass admin key rotate`")
        }
        KeyNotAdded::Direct => {
            Refused::by_rule(why).hint("name a date before the key's own end; `--lasts` says when that is")
        }
        KeyNotAdded::Exception(_) => Refused::by_rule(why)
            .hint("`--exception TEXT --exception-until DATE`; `hallpass advise` says what needs none"),
        KeyNotAdded::Resources | KeyNotAdded::Networks => Refused::usage(why),
    }
}

pub(super) async fn list(office: &Office, form: ListOf) -> Result<Vec<KeyShown>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    written(office).await?;
    let mut pages = office.pages(&form)?;
    let mut all = Vec::new();
    while let Some((after, size)) = pages.next() {
        let page = office.store().list_api_keys(org.id, after, size).await?;
        pages.turn(&page, |key| key.handle.clone());
        for key in &page.items {
            all.push(shown(office, &org, key).await?);
        }
    }
    Ok(all)
}

pub(super) async fn show(office: &Office, form: OneOf) -> Result<KeyShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    find(office, &org, &form.handle).await
}

pub(super) async fn rotate(office: &Office, form: KeyRotate) -> Result<KeyMadeShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let key = load(office, &org, &form.handle).await?;
    let rotate = RotateApiKey { org: org.id, key: key.id, overlap: form.overlap, lasts: form.lasts };
    let rotated = office.change(rotate).await?.map_err(|why| not_rotated(why, &form.handle))?;
    made_shown(office, &org, &key, rotated.made, Some(rotated.old)).await
}

fn not_rotated(why: KeyNotRotated, handle: &str) -> Refused {
    let refused = match why {
        KeyNotRotated::NotThere => return Refused::not_there(why),
        _ => Refused::by_rule(why),
    };
    match why {
        KeyNotRotated::Over => refused.hint("make another: `hallpass admin key add`"),
        KeyNotRotated::Twice(_) => refused.hint(format_args!(
            "`hallpass admin key show {handle}` says who still has it; `key revoke {handle} --secret ID` ends it now"
        )),
        KeyNotRotated::Ending(_) => {
            refused.hint(format_args!("`hallpass admin key migrate {handle}` says who still uses it"))
        }
        KeyNotRotated::Exception(_) => {
            refused.hint("name a shorter life with `--lasts`, or make another key by another exception")
        }
        _ => refused,
    }
}

pub(super) async fn revoke(office: &Office, form: KeyRevoke) -> Result<KeyShown, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let key = load(office, &org, &form.handle).await?;
    let secret: Option<CredentialId> =
        form.secret.as_deref().map(str::parse).transpose().map_err(Refused::usage)?;
    match office.change(RevokeApiKey { org: org.id, key: key.id, secret }).await? {
        KeyRevoked::Done | KeyRevoked::Already => find(office, &org, &form.handle).await,
        KeyRevoked::NotThere => Err(Refused::not_there(format_args!("`{}` has no such secret", form.handle))),
    }
}

/// Shows who has to be moved to what, and who still comes by the key.
pub(super) async fn migrate(office: &Office, form: KeyMigrate) -> Result<KeyMigration, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let key = load(office, &org, &form.handle).await?;
    // What was counted so far was before the migration.
    written(office).await?;
    let end = form.end.as_deref().map(parse_moment).transpose()?;
    office.change(MigrateApiKey { org: org.id, key: key.id, end }).await?.map_err(|why| match why {
        NotMigrating::NotThere => Refused::not_there(why),
        NotMigrating::Past => Refused::usage(why),
        NotMigrating::Over | NotMigrating::Later(_) => Refused::by_rule(why),
    })?;
    let shown = find(office, &org, &form.handle).await?;
    let moves = moves(office, &org, &shown);
    Ok(KeyMigration { key: shown, moves })
}

/// Who uses it, and what they should have in its place. Nothing begins by looking.
pub(super) async fn users(office: &Office, form: OneOf) -> Result<Vec<KeyMove>, Refused> {
    let org = office.org(form.org.as_deref()).await?;
    let shown = find(office, &org, &form.handle).await?;
    Ok(moves(office, &org, &shown))
}

fn moves(office: &Office, org: &Org, shown: &KeyShown) -> Vec<KeyMove> {
    let issuer = office.base_url().issuer(&org.name);
    let moved = shown.users.iter().map(|user| {
        let class = user.class.parse().unwrap_or(hallpass_model::device::DeviceClass::Unknown);
        let advice = instead_of_key(class).filled(&shown.as_blanks(&issuer));
        user.moved_to(advice)
    });
    moved.collect()
}

/// What was counted is written down, for whoever looks.
async fn written(office: &Office) -> Result<(), Refused> {
    office.store().write_key_uses(office.now()).await?;
    Ok(())
}

pub(super) async fn load(office: &Office, org: &Org, handle: &str) -> Result<ApiKey, Refused> {
    let key = office.store().find_api_key_by_handle(org.id, handle).await?;
    key.ok_or_else(|| {
        Refused::not_there(format_args!("there is no API key `{handle}` in `{}`", org.name))
            .hint("`hallpass admin key list` shows them")
    })
}

async fn find(office: &Office, org: &Org, handle: &str) -> Result<KeyShown, Refused> {
    written(office).await?;
    let key = load(office, org, handle).await?;
    shown(office, org, &key).await
}

async fn made_shown(
    office: &Office,
    org: &Org,
    key: &ApiKey,
    made: KeyMade,
    old: Option<(CredentialId, Timestamp)>,
) -> Result<KeyMadeShown, Refused> {
    Ok(KeyMadeShown {
        key: shown(office, org, key).await?,
        // SECURITY: the one answer that carries the secret. It goes to standard output at the other end, once.
        secret: Revealed::new(Zeroizing::new(made.secret.expose_text().to_owned())),
        secret_id: made.id.to_string(),
        expires: made.expires.to_string(),
        old_ends: old.map(|(_, ends)| ends.to_string()),
    })
}

async fn shown(office: &Office, org: &Org, key: &ApiKey) -> Result<KeyShown, Refused> {
    let now = office.now();
    let client = office.store().find_client(key.client).await?;
    let secrets = office.store().api_key_secrets(key).await?;
    let users = office.store().list_key_users(key).await?;
    let alive =
        secrets.iter().filter(|secret| secret.is_alive(key, now)).map(|secret| secret.ends(key)).max();
    let state = match alive {
        Some(_) => "active".to_owned(),
        None => secrets.last().map_or("over".to_owned(), |secret| state(secret, key, now)),
    };
    Ok(KeyShown {
        id: key.id.to_string(),
        org: org.name.to_string(),
        handle: key.handle.to_string(),
        client: client.map_or_else(|| key.client.to_string(), |client| client.handle.to_string()),
        owner: office.render_owner(&key.owner).await?,
        environment: key.environment.to_string(),
        scopes: list_scopes(&key.scopes),
        resources: key.resources.clone(),
        networks: key.networks.iter().map(ToString::to_string).collect(),
        direct_until: key.direct.as_ref().map(|direct| direct.until.to_string()),
        direct_reason: key.direct.as_ref().map(|direct| direct.reason.to_string()),
        exception_until: key.exception.as_ref().map(|exception| exception.until.to_string()),
        exception_reason: key.exception.as_ref().map(|exception| exception.reason.to_string()),
        migrating_since: key.migrating_since.map(|since| since.to_string()),
        state,
        ends: alive.or(key.ends).map(|ends| ends.to_string()),
        uses: users.iter().map(|user| user.uses).sum(),
        last_used: users.iter().map(|user| user.last).max().map(|last| last.to_string()),
        secrets: secrets.iter().map(|secret| secret_shown(secret, key, &users, now)).collect(),
        users: users.iter().map(|user| user_shown(user, key)).collect(),
        created: key.created.to_string(),
    })
}

fn state(secret: &KeySecret, key: &ApiKey, now: Timestamp) -> String {
    match &secret.revoked {
        Some((at, why)) => format!("revoked {at} ({})", why.text()),
        None if now >= secret.ends(key) => "over".to_owned(),
        None => "active".to_owned(),
    }
}

fn secret_shown(secret: &KeySecret, key: &ApiKey, users: &[KeyUser], now: Timestamp) -> KeySecretShown {
    let its = || users.iter().filter(|user| user.secret == secret.id);
    KeySecretShown {
        id: secret.id.to_string(),
        succeeds: secret.succeeds.map(|id| id.to_string()),
        state: state(secret, key, now),
        ends: secret.ends(key).to_string(),
        uses: its().map(|user| user.uses).sum(),
        last_used: its().map(|user| user.last).max().map(|last| last.to_string()),
        created: secret.created.to_string(),
    }
}

fn user_shown(user: &KeyUser, key: &ApiKey) -> KeyUserShown {
    KeyUserShown {
        secret: user.secret.to_string(),
        way: user.way.text().to_owned(),
        network: user.network.as_ref().map(ToString::to_string),
        machine: user.machine.clone(),
        class: user.class.to_string(),
        purpose: user.purpose.clone(),
        uses: user.uses,
        uses_since: key.migrating_since.map(|_| user.uses_since),
        first: user.first.to_string(),
        last: user.last.to_string(),
    }
}

impl KeyShown {
    /// What stands in the commands that set something better up, in place of what must be filled in.
    fn as_blanks<'a>(&'a self, issuer: &'a str) -> hallpass_model::advice::Blanks<'a> {
        hallpass_model::advice::Blanks {
            name: &self.handle,
            owner: &self.owner,
            issuer,
            environment: &self.environment,
            scopes: &self.scopes,
            resource: self.resources.first().map_or("URL", String::as_str),
        }
    }
}

impl KeyUserShown {
    fn moved_to(&self, advice: Advice) -> KeyMove {
        KeyMove {
            network: self.network.clone(),
            machine: self.machine.clone(),
            class: self.class.clone(),
            purpose: self.purpose.clone(),
            way: self.way.clone(),
            uses: self.uses,
            uses_since: self.uses_since,
            last: self.last.clone(),
            pattern: advice.pattern.name().to_owned(),
            because: advice.because.to_owned(),
            but: advice.but.iter().map(|but| (*but).to_owned()).collect(),
            commands: advice.commands,
        }
    }
}
