//! `hallpass admin client rotate`, `client secret` and `client key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hallpass_model::time::Lifetime;

use super::clients::{new_key, one, read_jwks, settle_key, show};
use super::table::Table;
use super::{HandleArgs, OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    ClientKeyAdd, ClientKeyOf, ClientKeyShown, ClientRotate, ClientSecretMade, ClientSecretOf,
    ClientSecretShown, ClientShown,
};

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    client: HandleArgs,

    /// How long the older secret goes on beside the new one; a week if left out
    #[arg(long, value_name = "TIME")]
    overlap: Option<Lifetime>,

    /// How long the new one lives, if less than 90 days
    #[arg(long, value_name = "TIME")]
    ttl: Option<Lifetime>,

    /// Let the client go without a key until this date from now on, a year ahead at most
    #[arg(long, value_name = "DATE")]
    secrets_until: Option<String>,
}

/// List the secrets of a client, or take one back
#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// List a client's secrets: when each ends, and about when it was last used
    List(HandleArgs),
    /// Take a secret back at once; what it opened the door to is dead
    Remove(SecretRemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct SecretRemoveArgs {
    #[command(flatten)]
    client: HandleArgs,

    /// The secret's id, as `hallpass admin client secret list` shows it
    #[arg(value_name = "ID")]
    secret: String,
}

/// Add, list and remove the keys of a client
///
/// A client may have several at once: add the next one, carry it out, then remove the older.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Add a key beside those there are
    Add(KeyAddArgs),
    /// List a client's keys; those that it publishes itself are fetched now
    List(HandleArgs),
    /// Remove a key: what it signs is refused from then on
    Remove(KeyRemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeyAddArgs {
    #[command(flatten)]
    client: HandleArgs,

    /// A file with its public keys, as a JWK set
    #[arg(long, value_name = "FILE", conflicts_with = "new_key", required_unless_present = "new_key")]
    jwks: Option<PathBuf>,

    /// Make a key pair: the private key goes into this new file, the public one to the server
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct KeyRemoveArgs {
    #[command(flatten)]
    client: HandleArgs,

    /// The key's id, as `hallpass admin client key list` shows it
    // One in 64 begins with a hyphen: it is base64url, unless whoever made the key called it otherwise.
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
}

pub(super) async fn rotate(
    args: RotateArgs,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = ClientRotate {
        org: args.client.org.org,
        handle: args.client.handle,
        lifetime: args.ttl,
        overlap: args.overlap,
        until: args.secrets_until,
    };
    show_secret(server.ask("client.rotate", &form).await?, out)
}

/// The first secret of a client that was just added.
pub(super) async fn first_secret(
    org: OrgArg,
    handle: String,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let form = ClientRotate { org: org.org, handle, lifetime: None, overlap: None, until: None };
    show_secret(server.ask("client.rotate", &form).await?, out)
}

fn show_secret(made: ClientSecretMade, out: &mut Output) -> Result<Exit, Failure> {
    if let Some(older) = &made.older {
        out.say(format_args!("the older secret, `{}`, goes on until {}", older.id, older.expires));
    }
    out.say(format_args!(
        "the secret of `{}`, shown this once, is good until {}:",
        made.client, made.expires
    ));
    give(out, "hallpass.admin.client-secret/1", &made, |made| made.secret.text().to_owned())
}

pub(super) async fn secret(
    command: SecretCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        SecretCommand::List(args) => {
            let secrets: Vec<ClientSecretShown> = server.ask("client.secret.list", &one(args)).await?;
            give_list(out, "hallpass.admin.client-secrets/1", &secrets, "no secret", |secrets| {
                let mut table = Table::new(["ID", "STATE", "MADE", "ENDS", "LAST USED"]);
                for secret in secrets {
                    table.row([
                        &secret.id,
                        &secret.state,
                        &secret.created,
                        &secret.expires,
                        secret.used.as_deref().unwrap_or("never"),
                    ]);
                }
                table
            })
        }
        SecretCommand::Remove(args) => {
            let form =
                ClientSecretOf { org: args.client.org.org, handle: args.client.handle, secret: args.secret };
            let client: ClientShown = server.ask("client.secret.remove", &form).await?;
            out.say(format_args!("took back `{}`; what it opened the door to is dead", form.secret));
            show(client, out)
        }
    }
}

pub(super) async fn key(
    command: KeyCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        KeyCommand::Add(args) => add_key(args, server, out).await,
        KeyCommand::List(args) => {
            let keys: Vec<ClientKeyShown> = server.ask("client.key.list", &one(args)).await?;
            give_list(out, "hallpass.admin.client-keys/1", &keys, "no key", |keys| {
                let mut table = Table::new(["KID", "THUMBPRINT"]);
                for key in keys {
                    table.row([&key.kid, &key.thumbprint]);
                }
                table
            })
        }
        KeyCommand::Remove(args) => {
            let form = ClientKeyOf { org: args.client.org.org, handle: args.client.handle, kid: args.kid };
            let client: ClientShown = server.ask("client.key.remove", &form).await?;
            out.say(format_args!(
                "removed the key `{}`; tokens it got live 15 minutes at most: `hallpass admin cut client {}` ends them now",
                form.kid, client.id
            ));
            show(client, out)
        }
    }
}

async fn add_key(args: KeyAddArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let jwks = match (&args.jwks, &args.new_key) {
        (Some(file), _) => read_jwks(file)?,
        (None, Some(file)) => new_key(file)?,
        (None, None) => unreachable!("one of the two is required"),
    };
    let form = ClientKeyAdd { org: args.client.org.org, handle: args.client.handle, jwks };
    let added = server.ask::<_, ClientShown>("client.key.add", &form).await;
    let added = settle_key(args.new_key.as_deref(), added, out)?;
    show(added, out)
}
