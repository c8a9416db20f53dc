//! `hallpass admin client`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hallpass_model::jose::{JwkSet, SigningKey};

use super::client_proofs::{self, KeyCommand, RotateArgs, SecretCommand};
use super::table::{Table, facts};
use super::{HandleArgs, OrgArg, give, give_list};
use super::{documents, registration, step_up};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::keyfile;
use crate::output::Output;
use hallpass_issuer::admin::forms::{ClientAdd, ClientEnvironment, ClientFapi, ClientShown, ListOf, OneOf};

/// Add, list, show, disable and enable clients: software that asks for credentials
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client
    ///
    /// Its kind fixes which grant types it may use. One that can keep a key proves itself with it
    /// (`private_key_jwt`). A secret is the exception, for a service that cannot yet, and until a date.
    #[command(after_help = "\
Examples:
  hallpass admin client add notes-api --kind service --owner team:platform --new-key notes-api.pem
  hallpass admin client add web-ide --kind cli --owner person:ada --redirect-uri http://127.0.0.1/callback \\
      --scope notes:read
  hallpass admin client add old-batch --kind service --owner team:platform --secrets-until 2027-03-31")]
    Add(Box<ClientAddArgs>),
    /// List the clients of an org
    List(OrgArg),
    /// Show a client
    Show(HandleArgs),
    /// Take a client out of use, and cut everything issued to it
    Disable(HandleArgs),
    /// Put a client back to use; what was cut stays cut
    Enable(HandleArgs),
    /// Say of which environment's resources a client may have tokens
    #[command(after_help = "\
Examples:
  hallpass admin client environment web-ide prod
  hallpass admin client environment web-ide --any")]
    Environment(EnvironmentArgs),
    /// Hold a client to FAPI 2.0's security profile, or let it off
    ///
    /// From then on its authorization requests are pushed (RFC 9126), it proves itself by a key and by nothing else, and every
    /// token of its is bound to a key (RFC 9449). Tokens that are out live out their minutes.
    #[command(after_help = "\
Examples:
  hallpass admin client fapi bank-portal
  hallpass admin client fapi bank-portal --off")]
    Fapi(FapiArgs),
    /// Demand that people prove who they are strongly, or lately, before anything is issued to it (RFC 9470)
    #[command(after_help = "\
Example:
  hallpass admin client require prod-console --acr phr --max-age 8h")]
    Require(step_up::ClientRequireArgs),
    /// Make a new secret for a client that has one; the older goes on for a while
    ///
    /// The secret is shown this once, on standard output.
    Rotate(RotateArgs),
    #[command(subcommand)]
    Documents(documents::DocumentsCommand),
    #[command(subcommand)]
    Registration(registration::RegistrationCommand),
    #[command(subcommand)]
    Secret(SecretCommand),
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Args)]
pub(super) struct FapiArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// Let it off again
    #[arg(long)]
    off: bool,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct EnvironmentArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// The environment, such as `prod`: a resource of another refuses it
    #[arg(value_name = "ENVIRONMENT", required_unless_present = "any")]
    environment: Option<String>,

    /// Any environment
    #[arg(long, conflicts_with = "environment")]
    any: bool,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct ClientAddArgs {
    /// Its short name, which is its `client_id`
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// Where it runs
    #[arg(long, value_parser = ["cli", "service", "ci", "agent"])]
    kind: String,

    /// Who answers for it: `person:HANDLE` or `team:HANDLE`
    #[arg(long, value_name = "OWNER")]
    owner: String,

    /// The name shown to people; the short name if left out
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// A grant type it may use; all of its kind's if left out
    #[arg(long = "grant-type", value_name = "TYPE")]
    grant_types: Vec<String>,

    /// Where an answer may be sent; loopback addresses take any port
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,

    /// A scope it may ask for
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// The environment whose resources it may have tokens for, such as `prod`; any if left out
    #[arg(long, value_name = "ENVIRONMENT")]
    environment: Option<String>,

    /// A scope it may not ask for by device flow, which can be phished
    #[arg(long = "bar-device-scope", value_name = "SCOPE")]
    device_flow_barred: Vec<String>,

    /// Take assertions of the type before RFC 10070 (`JWT`) from it until this date, a year ahead at most
    ///
    /// For a library that does not send the newer type, `client-authentication+jwt`, yet. The exception is recorded, and
    /// ends by itself: as the day begins, UTC.
    #[arg(long, value_name = "DATE")]
    older_assertions_until: Option<String>,

    /// A file with its public keys, as a JWK set
    #[arg(long, value_name = "FILE", conflicts_with = "new_key")]
    jwks: Option<PathBuf>,

    /// Make a key pair: the private key goes into this new file, the public one to the server
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,

    /// Where it publishes its public keys itself, as a JWK set
    #[arg(long, value_name = "URL", conflicts_with_all = ["jwks", "new_key"])]
    jwks_uri: Option<String>,

    /// Let a service that has no key prove itself by a secret until this date, a year ahead at most
    ///
    /// The secret is shown this once, on standard output. The exception is recorded, and ends by itself: as the day begins,
    /// UTC.
    #[arg(long, value_name = "DATE", conflicts_with_all = ["jwks", "new_key", "jwks_uri"])]
    secrets_until: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: ClientCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        ClientCommand::Add(args) => add(*args, server, out).await,
        ClientCommand::List(args) => {
            let clients: Vec<ClientShown> =
                server.ask("client.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.clients/1", &clients, "no client yet", |clients| {
                let mut table = Table::new(["HANDLE", "KIND", "OWNER", "STATE", "PROVES ITSELF BY"]);
                for client in clients {
                    table.row([
                        &client.handle,
                        &client.kind,
                        &client.owner,
                        &client.state,
                        &client.authentication,
                    ]);
                }
                table
            })
        }
        ClientCommand::Show(args) => show(server.ask("client.show", &one(args)).await?, out),
        ClientCommand::Disable(args) => {
            let client: ClientShown = server.ask("client.disable", &one(args)).await?;
            out.say(format_args!("disabled `{}` and cut everything issued to it", client.handle));
            show(client, out)
        }
        ClientCommand::Environment(args) => {
            let EnvironmentArgs { handle, environment, any: _, org } = args;
            let form = ClientEnvironment { org: org.org, handle, environment };
            let client: ClientShown = server.ask("client.environment", &form).await?;
            out.say("tokens it has for resources of others live out their minutes");
            show(client, out)
        }
        ClientCommand::Fapi(args) => {
            let form = ClientFapi { org: args.org.org, handle: args.handle, fapi: !args.off };
            show(server.ask("client.fapi", &form).await?, out)
        }
        ClientCommand::Require(args) => step_up::client(args, server, out).await,
        ClientCommand::Enable(args) => {
            let client: ClientShown = server.ask("client.enable", &one(args)).await?;
            out.say(format_args!("enabled `{}`; what was cut stays cut", client.handle));
            show(client, out)
        }
        ClientCommand::Rotate(args) => client_proofs::rotate(args, server, out).await,
        ClientCommand::Documents(command) => documents::run(command, server, out).await,
        ClientCommand::Registration(command) => registration::run(command, server, out).await,
        ClientCommand::Secret(command) => client_proofs::secret(command, server, out).await,
        ClientCommand::Key(command) => client_proofs::key(command, server, out).await,
    }
}

async fn add(args: ClientAddArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let jwks = match (&args.jwks, &args.new_key) {
        (Some(file), _) => Some(read_jwks(file)?),
        (None, Some(file)) => Some(new_key(file)?),
        (None, None) => None,
    };
    let by_secret = args.secrets_until.is_some();
    let form = ClientAdd {
        org: args.org.org.clone(),
        handle: args.handle,
        name: args.name,
        kind: args.kind,
        owner: args.owner,
        grant_types: args.grant_types,
        redirect_uris: args.redirect_uris,
        scopes: args.scopes,
        device_flow_barred: args.device_flow_barred,
        environment: args.environment,
        older_assertions_until: args.older_assertions_until,
        jwks,
        jwks_uri: args.jwks_uri,
        secrets_until: args.secrets_until,
    };
    let added = server.ask::<_, ClientShown>("client.add", &form).await;
    let added = settle_key(args.new_key.as_deref(), added, out)?;
    if by_secret {
        out.say(format_args!("added `{}`", added.handle));
        return client_proofs::first_secret(args.org, added.handle, server, out).await;
    }
    show(added, out)
}

/// Says where the private key is that was made for what was asked, or removes it where nothing came of that.
pub(super) fn settle_key(
    new_key: Option<&Path>,
    added: Result<ClientShown, Failure>,
    out: &mut Output,
) -> Result<ClientShown, Failure> {
    if let Some(file) = new_key {
        match &added {
            Ok(_) => out.say(format_args!(
                "the private key is in `{}`; the server has only the public one",
                file.display()
            )),
            // The key was made for nobody. What cannot be removed is of no use to anybody.
            Err(_) => drop(std::fs::remove_file(file)),
        }
    }
    added
}

pub(super) fn read_jwks(file: &Path) -> Result<serde_json::Value, Failure> {
    let cannot = |cause: String| {
        Failure::usage(format_args!("cannot read a JWK set from `{}`: {cause}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| cannot(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| cannot(error.to_string()))
}

/// Makes a key pair. The private half is written as PKCS#8 PEM into a file that was not there, 0600; the public half is
/// returned as a JWK set.
pub(super) fn new_key(file: &Path) -> Result<serde_json::Value, Failure> {
    let key = SigningKey::generate();
    keyfile::write_new(file, &hallpass_model::jose::pkcs8_to_pem(&key.to_pkcs8())).map_err(|error| {
        let failure =
            Failure::could_not_run(format_args!("cannot make the key file `{}`: {error}", file.display()));
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.hint("name another file; a key is never written over")
            }
            _ => failure,
        }
    })?;
    Ok(serde_json::to_value(JwkSet::new(vec![key.public().clone()])).expect("public keys are plain JSON"))
}

pub(super) fn one(args: HandleArgs) -> OneOf {
    OneOf { org: args.org.org, handle: args.handle }
}

pub(super) fn show(client: ClientShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.client/1", &client, |client| {
        facts([
            ("client_id", client.document.clone().unwrap_or_else(|| client.handle.clone())),
            ("short name", client.document.as_ref().map(|_| client.handle.clone()).unwrap_or_default()),
            ("name", client.name.clone()),
            ("id", client.id.clone()),
            ("kind", client.kind.clone()),
            ("owner", client.owner.clone()),
            ("state", client.state.clone()),
            ("proves itself by", client.authentication.clone()),
            ("grant types", client.grant_types.join(" ")),
            ("redirect URIs", client.redirect_uris.join(" ")),
            (
                "scopes",
                match client.any_scope {
                    true => "whatever the resources define".to_owned(),
                    false => client.scopes.join(" "),
                },
            ),
            ("environment", client.environment.clone().unwrap_or_else(|| "any".to_owned())),
            ("barred by device flow", client.device_flow_barred.join(" ")),
            ("keys published at", client.jwks_uri.clone().unwrap_or_default()),
            ("secrets until", client.secrets_until.clone().unwrap_or_default()),
            ("older assertions until", client.older_assertions_until.clone().unwrap_or_default()),
            ("people prove themselves by", client.acr.clone().unwrap_or_default()),
            ("and that lately", client.max_age.map(|most| most.to_string()).unwrap_or_default()),
            ("requests", if client.pushed_requests { "pushed alone".into() } else { String::new() }),
            ("profile", if client.fapi { "FAPI 2.0".into() } else { String::new() }),
            ("added", client.created.clone()),
        ])
    })
}
