//! `hallpass admin key`.

use clap::{Args, Subcommand};
use hallpass_model::time::Lifetime;

use super::table::{Table, facts, plain};
use super::{HandleArgs, OrgArg, give, give_list};
use crate::admin_socket::client::AdminClient;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use hallpass_issuer::admin::forms::{
    KeyAdd, KeyMadeShown, KeyMigrate, KeyMigration, KeyRevoke, KeyRotate, KeyShown, ListOf, OneOf,
};

/// Make, show, rotate and revoke API keys, and move their users to something better
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key, and print it once
    ///
    /// A key is the exception, for what can neither sign in nor say what it is: `hallpass advise` says what needs none. It
    /// proves that whoever has it is the client, and buys tokens that live for minutes, for its APIs and within its scopes.
    /// The server keeps its fingerprint alone.
    #[command(after_help = "\
Examples:
  hallpass admin client add nightly --kind ci --owner team:data --scope notes:read
  hallpass admin key add nightly --client nightly --resource https://notes.example --scope notes:read \\
      --network 10.0.0.0/8 --lasts 30d | ssh backup.example 'hallpass login ISSUER --api-key-stdin'
  hallpass admin key add vendor --client vendor --resource https://notes.example --scope notes:read \\
      --direct-until 2027-01-31 --reason 'their tool cannot exchange it'")]
    Add(Box<KeyAddArgs>),
    /// List the keys of an org
    List(OrgArg),
    /// Show a key, its secrets, and who uses it
    Show(HandleArgs),
    /// Give a key a new secret, printed once; the old one goes on for a while
    Rotate(KeyRotateArgs),
    /// Revoke a key, and every token it bought, at once
    Revoke(KeyRevokeArgs),
    /// Begin to move its users to something better, and show who still comes by the key
    ///
    /// Says for each of its users what they should have in its place, and what to type to set that up. Both go on side by side
    /// until the date of `--end`, on which the key is over. Asked again, it shows who has used the key since it began.
    Migrate(KeyMigrateArgs),
}

#[derive(Debug, Args)]
pub(super) struct KeyAddArgs {
    /// Its short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// Who comes in by it: a client of kind `ci` or `service`
    #[arg(long, value_name = "CLIENT")]
    client: String,

    /// Who answers for it: `person:HANDLE` or `team:HANDLE`; whoever answers for the client, if left out
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,

    /// A scope that its tokens may have
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    scopes: Vec<String>,

    /// An API that its tokens are for; all of one environment
    #[arg(long = "resource", required = true, value_name = "URL")]
    resources: Vec<String>,

    /// A network it may come from, such as `10.0.0.0/8` or `2001:db8::/32`; anywhere, if left out
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,

    /// How long it lives, such as `30d`; 90d is the longest there is, and an org may have less
    #[arg(long, value_name = "TIME")]
    lasts: Option<Lifetime>,

    /// Let it be sent to its APIs directly until this date: an exception, and recorded as one
    #[arg(long, value_name = "DATE", requires = "reason")]
    direct_until: Option<String>,

    /// Why it must be
    #[arg(long, value_name = "TEXT", requires = "direct_until")]
    reason: Option<String>,

    /// Why there must be a key at all, for an org that asks
    #[arg(long, value_name = "TEXT", requires = "exception_until")]
    exception: Option<String>,

    /// Until when that holds: no earlier than the key's end
    #[arg(long, value_name = "DATE", requires = "exception")]
    exception_until: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct KeyRotateArgs {
    /// The key's short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// How long the old secret is still good, such as `1h`; 7d if left out
    #[arg(long, value_name = "TIME")]
    overlap: Option<Lifetime>,

    /// How long the new one lives, such as `30d`
    #[arg(long, value_name = "TIME")]
    lasts: Option<Lifetime>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct KeyRevokeArgs {
    /// The key's short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// One of its secrets alone, such as the old one after a rotation
    #[arg(long, value_name = "ID")]
    secret: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

#[derive(Debug, Args)]
pub(super) struct KeyMigrateArgs {
    /// The key's short name
    #[arg(value_name = "HANDLE")]
    handle: String,

    /// When the key is over, whoever still uses it
    #[arg(long, value_name = "DATE")]
    end: Option<String>,

    #[command(flatten)]
    org: OrgArg,
}

pub(super) async fn run(
    command: KeyCommand,
    server: &mut AdminClient,
    out: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        KeyCommand::Add(args) => add(*args, server, out).await,
        KeyCommand::List(args) => {
            let keys: Vec<KeyShown> =
                server.ask("key.list", &ListOf { org: args.org, after: None, limit: None }).await?;
            give_list(out, "hallpass.admin.keys/1", &keys, "no API key yet", table)
        }
        KeyCommand::Show(args) => {
            let form = OneOf { org: args.org.org, handle: args.handle };
            show(&server.ask("key.show", &form).await?, out)
        }
        KeyCommand::Rotate(args) => {
            let form = KeyRotate {
                org: args.org.org,
                handle: args.handle,
                overlap: args.overlap,
                lasts: args.lasts,
            };
            let made: KeyMadeShown = server.ask("key.rotate", &form).await?;
            let old = made.old_ends.as_deref().unwrap_or("-");
            out.say(format_args!("the old secret of `{}` is good until {old}", made.key.handle));
            reveal(&made, out)
        }
        KeyCommand::Revoke(args) => {
            let form = KeyRevoke { org: args.org.org, handle: args.handle, secret: args.secret };
            let key: KeyShown = server.ask("key.revoke", &form).await?;
            match &form.secret {
                Some(secret) => out.say(format_args!("revoked `{secret}` and every token it bought")),
                None => out.say(format_args!("revoked `{}` and every token it bought", key.handle)),
            }
            show(&key, out)
        }
        KeyCommand::Migrate(args) => {
            let form = KeyMigrate { org: args.org.org, handle: args.handle, end: args.end };
            let migration: KeyMigration = server.ask("key.migrate", &form).await?;
            give(out, "hallpass.admin.key-migration/1", &migration, render_migration)
        }
    }
}

async fn add(args: KeyAddArgs, server: &mut AdminClient, out: &mut Output) -> Result<Exit, Failure> {
    let form = KeyAdd {
        org: args.org.org,
        handle: args.handle,
        client: args.client,
        owner: args.owner,
        scopes: args.scopes,
        resources: args.resources,
        networks: args.networks,
        lasts: args.lasts,
        direct_until: args.direct_until,
        reason: args.reason,
        exception: args.exception,
        exception_until: args.exception_until,
    };
    let made: KeyMadeShown = server.ask("key.add", &form).await?;
    if made.key.direct_until.is_some() {
        out.warn("it may be sent to its APIs directly: whoever sees it there can use it");
    }
    reveal(&made, out)
}

/// The one time that a key is shown: on standard output, to be piped to where it belongs.
fn reveal(made: &KeyMadeShown, out: &mut Output) -> Result<Exit, Failure> {
    out.say(format_args!(
        "the API key of `{}`, good until {}; it is shown this once, and kept nowhere:",
        made.key.handle, made.expires
    ));
    give(out, "hallpass.admin.key-made/1", made, |made| made.secret.text().to_owned())
}

fn table(keys: &[KeyShown]) -> Table {
    let mut table = Table::new(["HANDLE", "CLIENT", "OWNER", "STATE", "ENDS", "USES", "LAST USED"]);
    for key in keys {
        table.row([
            &key.handle,
            &key.client,
            &key.owner,
            &key.state,
            key.ends.as_deref().unwrap_or_default(),
            &key.uses.to_string(),
            key.last_used.as_deref().unwrap_or("never"),
        ]);
    }
    table
}

fn show(key: &KeyShown, out: &mut Output) -> Result<Exit, Failure> {
    give(out, "hallpass.admin.key/1", key, render)
}

fn render(key: &KeyShown) -> String {
    let excepted = |until: &Option<String>, reason: &Option<String>| match (until, reason) {
        (Some(until), Some(reason)) => format!("until {until}: {reason}"),
        _ => String::new(),
    };
    let mut text = facts([
        ("key", key.handle.clone()),
        ("id", key.id.clone()),
        ("comes in as", key.client.clone()),
        ("owner", key.owner.clone()),
        ("state", key.state.clone()),
        ("ends", key.ends.clone().unwrap_or_default()),
        ("scopes", key.scopes.join(" ")),
        ("resources", key.resources.join(" ")),
        ("environment", key.environment.clone()),
        ("networks", if key.networks.is_empty() { "any".to_owned() } else { key.networks.join(" ") }),
        ("sent to APIs", excepted(&key.direct_until, &key.direct_reason)),
        ("exception", excepted(&key.exception_until, &key.exception_reason)),
        ("users moving since", key.migrating_since.clone().unwrap_or_default()),
        ("uses", key.uses.to_string()),
        ("last used", key.last_used.clone().unwrap_or_else(|| "never".to_owned())),
        ("made", key.created.clone()),
    ]);
    let mut secrets = Table::new(["SECRET", "STATE", "ENDS", "USES", "LAST USED"]);
    for secret in &key.secrets {
        secrets.row([
            &secret.id,
            &secret.state,
            &secret.ends,
            &secret.uses.to_string(),
            secret.last_used.as_deref().unwrap_or("never"),
        ]);
    }
    text.push_str(&format!("\n{secrets}"));
    if !key.users.is_empty() {
        // What is claimed says so: nobody has proved the name of a machine.
        let mut users =
            Table::new(["NETWORK", "MACHINE (CLAIMED)", "PURPOSE (CLAIMED)", "WAY", "USES", "LAST USED"]);
        for user in &key.users {
            users.row([
                user.network.as_deref().unwrap_or("unknown"),
                &machine(&user.machine, &user.class),
                &user.purpose,
                &user.way,
                &user.uses.to_string(),
                &user.last,
            ]);
        }
        text.push_str(&format!("\n{users}"));
    }
    text
}

fn machine(name: &str, class: &str) -> String {
    match (name, class) {
        (name, "unknown") => name.to_owned(),
        ("", class) => class.to_owned(),
        (name, class) => format!("{name}, {class}"),
    }
}

fn render_migration(migration: &KeyMigration) -> String {
    let key = &migration.key;
    let since = key.migrating_since.as_deref().unwrap_or("-");
    let ends = key.ends.as_deref().unwrap_or("-");
    let mut text = format!("`{}` is being left behind since {since}; it is over on {ends}\n", key.handle);
    let still = migration.moves.iter().filter(|user| user.uses_since > Some(0)).count();
    text.push_str(&match (migration.moves.len(), still) {
        (0, _) => "nobody has used it so far\n".to_owned(),
        (all, 0) => format!("none of its {all} users has come by it since then\n"),
        (all, still) => format!("{still} of its {all} users came by it since then\n"),
    });
    for user in &migration.moves {
        let (network, machine) =
            (user.network.as_deref().unwrap_or("unknown"), machine(&user.machine, &user.class));
        text.push_str(&format!(
            "\n{}, {}, \u{201c}{}\u{201d}: {} since then, last {}\n",
            plain(network),
            plain(&machine),
            plain(&user.purpose),
            match user.uses_since.unwrap_or_default() {
                0 => "no use".to_owned(),
                1 => "1 use".to_owned(),
                uses => format!("{uses} uses"),
            },
            user.last
        ));
        text.push_str(&format!("  in its place: {}, as {}\n", user.pattern, user.because));
        for but in &user.but {
            text.push_str(&format!("  but {but}\n"));
        }
        for command in &user.commands {
            text.push_str(&format!("  $ {command}\n"));
        }
    }
    text
}
